// Many sockets that look like one: for the side of a birthday search whose router gives every destination, and every
// socket, another port. What is sent to somebody goes out from the socket that last heard from there.

import { sleep, type Clock } from '../base/clock.ts'
import type { Datagrams, OpenDatagrams, Pipe } from './datagram.ts'
import type { Endpoint } from './stream.ts'

/** Places whose socket is remembered: more than a contact has. */
const PLACES_MAX = 64

export class Crowd {
  readonly #size: number
  readonly #open: OpenDatagrams
  #members: Datagrams[] = []
  readonly #heard = new Map<string, Datagrams>()

  /** `open` is the door for each socket; they have ports of the system's choice. */
  constructor(size: number, open: OpenDatagrams) {
    this.#size = size
    this.#open = open
  }

  /** As a door: its port says nothing. Takes as many sockets as the system gives, at least one. */
  readonly open: OpenDatagrams = async (_port, onDatagram) => {
    for (let i = 0; i < this.#size; i++) {
      const member: { datagrams?: Datagrams } = {}
      try {
        member.datagrams = await this.#open(0, (bytes, from) => {
          this.#hear(from, member.datagrams)
          onDatagram(bytes, from)
        })
      } catch (error) {
        if (this.#members.length === 0) throw error
        break // too many descriptors: fewer will do
      }
      this.#members.push(member.datagrams)
    }
    return this.#together()
  }

  get size(): number {
    return this.#members.length
  }

  /** One datagram from every socket, `everyMs` apart. */
  async spread(make: () => Uint8Array, to: Endpoint, hops: number, clock: Clock, everyMs: number, signal: AbortSignal): Promise<void> {
    for (const member of this.#members) {
      if (signal.aborted) return
      member.send(make(), to, hops)
      await sleep(clock, everyMs, signal)
    }
  }

  /** Closes those that heard nothing, if one did: a session needs no more than its own. */
  async thin(): Promise<void> {
    const heard = new Set(this.#heard.values())
    if (heard.size === 0) return
    const idle = this.#members.filter((member) => !heard.has(member))
    this.#members = [...heard]
    await Promise.all(idle.map((member) => member.close()))
  }

  #hear(from: Endpoint, member: Datagrams | undefined): void {
    if (member === undefined) return
    const place = placeOf(from)
    this.#heard.delete(place)
    this.#heard.set(place, member)
    if (this.#heard.size > PLACES_MAX) for (const oldest of this.#heard.keys()) return void this.#heard.delete(oldest)
  }

  #for(to: Endpoint): Datagrams {
    return this.#heard.get(placeOf(to)) ?? (this.#members[0] as Datagrams)
  }

  #together(): Datagrams {
    const [first] = this.#members as [Datagrams]
    return {
      port: first.port,
      addresses: first.addresses,
      send: (bytes, to, hops) => this.#for(to).send(bytes, to, hops),
      connect: (id, remoteId, to): Pipe => this.#for(to).connect(id, remoteId, to),
      accept: (id, remoteId, to): Pipe => this.#for(to).accept(id, remoteId, to),
      close: async () => void (await Promise.all(this.#members.map((member) => member.close()))),
    }
  }
}

const placeOf = ({ ip, port }: Endpoint): string => `${ip} ${port}`
