// The ways of one punch over UDP: at once, in a slot, with a birthday search. Each begins with the home's port; a slot
// adds fresh ports, a search adds many sockets or many ports of the contact's.

import { compare } from '../base/bytes.ts'
import { sleep } from '../base/clock.ts'
import { localTime } from '../base/text.ts'
import type { Contact } from '../disk/contact.ts'
import { readMeeting } from '../disk/meetings.ts'
import { type Part, partOf, whyNoSearch } from '../net/birthday.ts'
import type { Guard } from '../net/guard.ts'
import { SILENCE_MS } from '../net/holes.ts'
import type { Link } from '../net/link.ts'
import { NAT_CLASS } from '../net/outside.ts'
import { freshPort, LINGER_MS, nextSlot, type Slot } from '../net/slots.ts'
import type { Ending } from '../net/stream.ts'
import type { Tally } from '../net/tally.ts'
import { openUdx } from '../net/udx.ts'
import { isGlobal } from '../wire/address.ts'
import { coupleOf } from './missed.ts'
import { Punch } from './punch.ts'
import { ManyPorts, tryPorts } from './search.ts'
import { SparePort } from './spareport.ts'
import type { Station } from './station.ts'
import type { UdpSide } from './udpside.ts'

/** The side of the open ports has begun by then. */
const SEARCH_AFTER_MS = 3_000

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
    const { own, peer } = this.#options
    const text = whyNoSearch(own, peer)
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
    const { port, holding, searches } = udp
    if (port === undefined || holding === undefined || searches === undefined || signal.aborted) return
    const part = search ? partOf(this.#options.own, this.#options.peer) : undefined
    if (slot !== undefined) await this.#until(slot, slot.begins - slot.guard - SILENCE_MS)
    const [resume, release] = [holding.pause(contact.key), searches.pause(contact.key)]
    const unwatch = port.watch((passing) => tally.note(passing))
    const punch = new Punch({ ...this.#options, port, holding, tally, onLink: (link, from) => this.#took(link, from) })
    try {
      if (slot !== undefined) await this.#until(slot, slot.begins)
      if (signal.aborted || !(await punch.find())) return
      const searching = part && this.#search(part, punch, tally, slot?.guard ?? SEARCH_AFTER_MS)
      if (slot !== undefined) {
        await this.#fresh(slot, punch, tally)
        await Promise.all([punch.meet(slot), searching])
        return
      }
      const sent = await punch.now()
      if (!sent || this.#isHopeless(tally)) return await searching
      resume()
      holding.await(contact.key)
      if (searching === undefined) {
        release()
        if (!signal.aborted) step(`waiting for ${contact.name}`)
      }
      await Promise.all([searching, sleep(station.home.clock, Infinity, signal)])
    } finally {
      unwatch()
      resume()
      release()
      for (const spare of this.#spares.splice(0)) spare.release()
    }
  }

  #key(): Uint8Array {
    return coupleOf(this.#options.station, this.#options.contact).secret
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

  /** Ports of both sides that nothing has gone through yet: as they are where a router keeps ports. */
  async #fresh({ number }: Slot, punch: Punch, tally: Tally): Promise<void> {
    const { station, guard, contact, adopt, fault } = this.#options
    const key = this.#key()
    const [own, theirs] = [station.keyring.self, contact].map(({ identity }) => freshPort(station.suite, key, number, identity))
    const spare = await SparePort.open({ station, guard, onLink: adopt, onFault: fault }, own ?? 0, openUdx)
    if (spare === undefined) return
    this.#spares.push(spare)
    spare.port.watch((passing) => tally.note(passing))
    punch.aim(spare.port, punch.hosts.map((ip) => ({ ip, port: theirs ?? 0 })))
  }

  /** One side opens many ports, the other one searches them; both do both where neither is known. */
  async #search({ opens, searches }: Part, punch: Punch, tally: Tally, after: number): Promise<void> {
    await Promise.all([opens ? this.#open(punch, tally) : undefined, searches ? this.#try(punch, after) : undefined])
  }

  async #open(punch: Punch, tally: Tally): Promise<void> {
    const { station, guard, adopt, fault, step, signal, contact } = this.#options
    const ports = await ManyPorts.open({ station, guard, onLink: adopt, onFault: fault })
    if (ports === undefined) return
    ports.port.watch((passing) => tally.note(passing))
    step(`opening ${ports.size} ports towards ${contact.name}`)
    await ports.hold(punch.places, signal)
    await ports.release()
  }

  async #try(punch: Punch, after: number): Promise<void> {
    const { station, udp, adopt, step, signal, contact, deadline } = this.#options
    const { clock } = station.home
    const global = punch.places.filter(({ ip }) => isGlobal({ host: ip }))
    const places = global.length > 0 ? global : punch.places
    if (places.length === 0 || udp.port === undefined) return
    await sleep(clock, after, signal)
    step(`searching for an open port of ${contact.name}`)
    const ms = Math.min(deadline - clock.now(), LINGER_MS)
    const link = await tryPorts({ station, contact, port: udp.port, places, ms, signal })
    if (link !== undefined) adopt(link)
  }

  /** What was sent cannot arrive, and nothing that comes can get in: over IPv4, with a new port for each on both sides. */
  #isHopeless({ places }: Tally): boolean {
    const { own, peer } = this.#options
    const both = own === NAT_CLASS.SYMMETRIC && peer === NAT_CLASS.SYMMETRIC
    return both && places.every(({ address }) => !address.startsWith('['))
  }
}
