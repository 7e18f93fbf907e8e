// The two halves of a birthday search, lib/net/birthday.ts: many ports opened towards a contact, and many ports of its
// machine tried. A listener does it in its turns (searches.ts), p2p-punch when it is asked to (punchways.ts).

import { sleep } from '../base/clock.ts'
import { Failure } from '../base/fail.ts'
import type { Contact } from '../disk/contact.ts'
import { OPEN_AGAIN_MS, probes, SOCKETS } from '../net/birthday.ts'
import { Crowd } from '../net/crowd.ts'
import type { OpenDatagrams } from '../net/datagram.ts'
import type { Link } from '../net/link.ts'
import type { Endpoint } from '../net/stream.ts'
import { OPENER_HOPS, type UdpPort } from '../net/udp.ts'
import { openUdx4 } from '../net/udx.ts'
import { isFullDisk } from './limits.ts'
import { SparePort } from './spareport.ts'
import type { Station } from './station.ts'
import type { OwnerOptions } from './udpowner.ts'

/** Between two openers: at most 100 a second. */
const OPENER_EVERY_MS = 10

const OPENER_SIZE = 32

/** Ports of the system's choice, all open towards the same places; contacts are answered at them. */
export class ManyPorts {
  readonly #station: Station
  readonly #crowd: Crowd
  readonly #spare: SparePort

  private constructor(station: Station, crowd: Crowd, spare: SparePort) {
    this.#station = station
    this.#crowd = crowd
    this.#spare = spare
  }

  /** Undefined if the system gives none. `door`: of each port. */
  static async open(options: OwnerOptions, door: OpenDatagrams = openUdx4): Promise<ManyPorts | undefined> {
    const crowd = new Crowd(SOCKETS, door)
    const spare = await SparePort.open(options, 0, crowd.open)
    return spare && new ManyPorts(options.station, crowd, spare)
  }

  get port(): UdpPort {
    return this.#spare.port
  }

  get size(): number {
    return this.#crowd.size
  }

  /** Opens all of them towards each place, again and again until `signal` fires. Nothing of it arrives. */
  async hold(places: readonly Endpoint[], signal: AbortSignal): Promise<void> {
    const { clock, random } = this.#station.home
    const opener = (): Uint8Array => random.bytes(OPENER_SIZE)
    while (!signal.aborted) {
      const begun = clock.monotonic()
      for (const place of places) await this.#crowd.spread(opener, place, OPENER_HOPS, clock, OPENER_EVERY_MS, signal)
      await sleep(clock, Math.max(0, OPEN_AGAIN_MS - (clock.monotonic() - begun)), signal)
    }
  }

  /** Closes those that no session needs. */
  async release(): Promise<void> {
    if (this.#spare.used) await this.#crowd.thin()
    this.#spare.release()
  }
}

export interface TryOptions {
  station: Station
  contact: Contact
  /** The home's: that is where the other side has opened its ports to. */
  port: UdpPort
  /** Where the contact is, each with the port that is known: that one is left to others. */
  places: readonly Endpoint[]
  /** For so long, in milliseconds. */
  ms: number
  signal: AbortSignal
}

/** Says hello at ports of one machine, until the contact answers at one of them: then the link. */
export async function tryPorts({ station, contact, port, places, ms, signal }: TryOptions): Promise<Link | undefined> {
  const [place] = places
  if (place === undefined || signal.aborted) return undefined
  const known = places.filter(({ ip }) => ip === place.ip).map((each) => each.port)
  try {
    const { greeting, forget } = await station.greeting(contact)
    const shots = probes(station.home.random, place.ip, ms, known)
    const outcome = await port.search(greeting, shots, signal).finally(forget)
    if (typeof outcome === 'string') return undefined
    station.greeted(contact, outcome)
    return outcome
  } catch (error) {
    // What must be noted before a hello is sent: what hinders that passes, unless the disk fails.
    if (!(error instanceof Failure) && !isFullDisk(error)) throw error
    return undefined
  }
}
