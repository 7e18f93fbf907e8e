// The ways of one punch over UDP: at once, in a slot, with a birthday search. Each begins with the home's port; a slot
// adds fresh ports, a search adds many sockets or many ports of the contact's.

import { compare } from '../base/bytes.ts'
import { sleep } from '../base/clock.ts'
import { localTime } from '../base/text.ts'
import type { Contact } from '../disk/contact.ts'
import { readMeeting } from '../disk/meetings.ts'
import { probes, SOCKETS, whyNoSearch } from '../net/birthday.ts'
import { Crowd } from '../net/crowd.ts'
import type { Guard } from '../net/guard.ts'
import { SILENCE_MS } from '../net/holes.ts'
import type { Link } from '../net/link.ts'
import { NAT_CLASS } from '../net/outside.ts'
import { rendezvousKey } from '../net/rendezvous.ts'
import { freshPort, LINGER_MS, nextSlot, type Slot } from '../net/slots.ts'
import type { Ending } from '../net/stream.ts'
import type { Tally } from '../net/tally.ts'
import { OPENER_HOPS } from '../net/udp.ts'
import { openUdx, openUdx4 } from '../net/udx.ts'
import { isGlobal } from '../wire/address.ts'
import { Punch } from './punch.ts'
import { SparePort } from './spareport.ts'
import type { Station } from './station.ts'
import type { UdpSide } from './udpside.ts'

/** Between two openers of a crowd, and two rounds of them: at most 100 a second, and NATs forget after 30 s. */
const CROWD_EVERY_MS = 10
const CROWD_AGAIN_MS = 20_000

/** The side of the open ports has begun by then. */
const SEARCH_AFTER_MS = 3_000

const OPENER_SIZE = 32

export interface WaysOptions {
  station: Station
  guard: Guard<Ending>
  udp: UdpSide
  contact: Contact
  /** NAT classes. */
  own: number
  peer: number
  /** A link with the contact, whoever began it. */
  adopt: (link: Link) => void
  fault: (error: unknown) => void
  step: (text: string) => void
  /** Fires when the contact is there, or when time is over; then everything is put back. */
  signal: AbortSignal
  /** Unix ms; Infinity without end. */
  deadline: number
}

/** Why a way was not taken, in words; undefined if it was. */
export type Refusal = { reason: 'no-slot' | 'no-search' | 'both-symmetric'; text: string }

export class Ways {
  readonly #options: WaysOptions
  readonly #spares: SparePort[] = []

  constructor(options: WaysOptions) {
    this.#options = options
  }

  /** Why a search would be of no use. */
  refuseSearch(): Refusal | undefined {
    const { contact, own, peer } = this.#options
    const text = whyNoSearch(contact.name, own, peer)
    if (text === undefined) return undefined
    return { reason: own === NAT_CLASS.SYMMETRIC && peer === own ? 'both-symmetric' : 'no-search', text }
  }

  /** The next slot, or why there is none in time. */
  async slot(): Promise<Slot | Refusal> {
    const { station, contact, deadline } = this.#options
    const { home, suite, keyring } = station
    const lower = [keyring.self.identity, contact.identity].sort(compare)[0] as Uint8Array
    const { skew } = (await readMeeting(home, contact.key)) ?? {}
    const now = home.clock.now()
    const slot = nextSlot(suite, this.#key(), lower, now, skew)
    if (slot.begins + slot.guard <= deadline) return slot
    const text = `the next meeting with ${contact.name} begins at ${localTime(slot.begins)}, later than the time that was given`
    return { reason: 'no-slot', text }
  }

  /**
   * Takes them. Resolves when nothing leads further, or the signal fires. The hole that this process holds towards the
   * contact is left alone meanwhile, and for so long before a slot that routers forget what went through it in vain.
   */
  async take(slot: Slot | undefined, search: boolean, tally: Tally): Promise<void> {
    const { station, udp, contact, step, signal } = this.#options
    const { port, holding } = udp
    if (port === undefined || holding === undefined || signal.aborted) return
    if (slot !== undefined) await this.#until(slot, slot.begins - slot.guard - SILENCE_MS)
    const resume = holding.pause(contact.key)
    const unwatch = port.watch((passing) => tally.note(passing))
    const punch = new Punch({ ...this.#options, port, holding, tally, onLink: (link, from) => this.#took(link, from) })
    try {
      if (slot !== undefined) await this.#until(slot, slot.begins)
      if (signal.aborted || !(await punch.find())) return
      const searching = search ? this.#search(punch, tally, slot?.guard ?? SEARCH_AFTER_MS) : Promise.resolve()
      if (slot !== undefined) {
        await this.#fresh(slot, punch, tally)
        await Promise.all([punch.meet(slot), searching])
        return
      }
      const [sent] = await Promise.all([punch.now(), searching])
      if (!sent || this.#isHopeless(tally)) return
      resume()
      holding.await(contact.key)
      if (!signal.aborted) step(`waiting for ${contact.name}`)
      await sleep(station.home.clock, Infinity, signal)
    } finally {
      unwatch()
      resume()
      for (const spare of this.#spares.splice(0)) spare.release()
    }
  }

  #key(): Uint8Array {
    const { station, contact } = this.#options
    const self = { identity: station.keyring.self.identity, key: station.ownKey }
    return rendezvousKey(station.suite, { self, peer: contact })
  }

  async #until({ begins }: Slot, at: number): Promise<void> {
    const { station, contact, step, signal } = this.#options
    const { clock } = station.home
    const left = begins - clock.now()
    if (left > 0) step(`meeting ${contact.name} at ${localTime(begins)}, in ${Math.ceil(left / 1000)} s`)
    if (at > clock.now()) await sleep(clock, at - clock.now(), signal)
  }

  #took(link: Link, from: SparePort['port']): void {
    this.#spares.find(({ port }) => port === from)?.keepFor(link)
    this.#options.adopt(link)
  }

  async #spare(port: number, open: typeof openUdx, tally: Tally): Promise<SparePort | undefined> {
    const { station, guard, adopt, fault } = this.#options
    const spare = await SparePort.open({ station, guard, onLink: adopt, onFault: fault }, port, open)
    if (spare === undefined) return undefined
    this.#spares.push(spare)
    spare.port.watch((passing) => tally.note(passing))
    return spare
  }

  /** Ports of both sides that nothing has gone through yet: as they are where a router keeps ports. */
  async #fresh({ number }: Slot, punch: Punch, tally: Tally): Promise<void> {
    const { station, contact } = this.#options
    const key = this.#key()
    const [own, theirs] = [station.keyring.self, contact].map(({ identity }) => freshPort(station.suite, key, number, identity))
    const spare = await this.#spare(own ?? 0, openUdx, tally)
    if (spare !== undefined) punch.aim(spare.port, punch.hosts.map((ip) => ({ ip, port: theirs ?? 0 })))
  }

  /** One side opens many ports, the other one searches them. */
  async #search(punch: Punch, tally: Tally, after: number): Promise<void> {
    const { station, own, step, signal, contact, deadline } = this.#options
    const { clock, random } = station.home
    if (own === NAT_CLASS.SYMMETRIC) {
      const crowd = new Crowd(SOCKETS, openUdx4)
      if ((await this.#spare(0, crowd.open, tally)) === undefined) return
      step(`opening ${crowd.size} ports towards ${contact.name}`)
      while (!signal.aborted) {
        const begun = clock.monotonic()
        for (const place of punch.places) {
          await crowd.spread(() => random.bytes(OPENER_SIZE), place, OPENER_HOPS, clock, CROWD_EVERY_MS, signal)
        }
        await sleep(clock, Math.max(0, CROWD_AGAIN_MS - (clock.monotonic() - begun)), signal)
      }
      return
    }
    const host = punch.places.find(({ ip }) => isGlobal({ host: ip })) ?? punch.places[0]
    if (host === undefined) return
    await sleep(clock, after, signal)
    step(`searching for an open port of ${contact.name}`)
    await punch.search(probes(random, host.ip, Math.min(deadline - clock.now(), LINGER_MS)))
  }

  /** What was sent cannot arrive, and nothing that comes can get in: over IPv4, with a new port for each on both sides. */
  #isHopeless({ places }: Tally): boolean {
    const { own, peer } = this.#options
    const both = own === NAT_CLASS.SYMMETRIC && peer === NAT_CLASS.SYMMETRIC
    return both && places.every(({ address }) => !address.startsWith('['))
  }
}
