// One contact is called through the NATs on both sides, over the owner's UDP port and maybe others: low openers towards
// all its places first, so that nothing arrives before the own side is open, then hellos. lib/net/holes.ts says why in
// this order. Whoever answers as the contact is handed on.

import { sleep } from '../base/clock.ts'
import { Failure } from '../base/fail.ts'
import type { Contact } from '../disk/contact.ts'
import type { GreetOptions } from '../net/greeting.ts'
import { helloAt, HOLE_RESENDS_MS, PERIOD_WAITING_MS } from '../net/holes.ts'
import type { Link } from '../net/link.ts'
import { LINGER_MS, type Slot } from '../net/slots.ts'
import type { Endpoint } from '../net/stream.ts'
import type { Tally } from '../net/tally.ts'
import type { UdpPort } from '../net/udp.ts'
import type { Holding } from './holding.ts'
import { isFullDisk } from './limits.ts'
import { placesOf } from './places.ts'
import type { Station } from './station.ts'

/** Between two openers at the beginning, and later: NATs forget after 30 s. */
const SOON_MS = 1_000
const EVERY_MS = 20_000

/** Between two times that the same hello is sent in the window of a slot. */
const WINDOW_EVERY_MS = 500

export interface PunchOptions {
  station: Station
  contact: Contact
  port: UdpPort
  holding: Holding
  tally: Tally
  /** The contact answered, over this port. */
  onLink: (link: Link, port: UdpPort) => void
  /** What is done now, in words. */
  step: (text: string) => void
  /** Fires when the contact is there, or when time is over. */
  signal: AbortSignal
}

/** From a port of ours towards places of the contact. */
interface Aim {
  readonly port: UdpPort
  readonly places: readonly Endpoint[]
}

export class Punch {
  readonly #options: PunchOptions
  #aims: Aim[] = []

  constructor(options: PunchOptions) {
    this.#options = options
  }

  /** Takes aim from the home's port at all places where the contact may be; false if that is nowhere. */
  async find(): Promise<boolean> {
    const { station, contact, holding, port } = this.#options
    const { addresses } = await placesOf(station.home, contact, station.whereabouts.neighbour(contact.key))
    const places = await holding.places.of(addresses)
    if (places.length > 0) this.aim(port, places)
    return places.length > 0
  }

  /** Machines where the contact may be, each once, the best first. */
  get hosts(): string[] {
    return [...new Set(this.#aims.flatMap(({ places }) => places.map(({ ip }) => ip)))]
  }

  /** Where it may be on IPv4, by its home's port. */
  get places(): readonly Endpoint[] {
    return (this.#aims[0]?.places ?? []).filter(({ ip }) => !ip.includes(':'))
  }

  /** From this port as well. */
  aim(port: UdpPort, places: readonly Endpoint[]): void {
    for (const place of places) this.#options.tally.add(place)
    this.#aims.push({ port, places })
  }

  /** Begins now. Resolves when nobody has answered, or the signal fires: false if nothing could be sent at all. */
  async now(): Promise<boolean> {
    const { station, contact, holding, step, signal } = this.#options
    const { clock } = station.home
    const asked = clock.now()
    const hole = holding.hole(contact.key) ?? { offset: 0, since: asked, period: PERIOD_WAITING_MS }
    const at = helloAt({ ...hole, period: PERIOD_WAITING_MS }, asked)
    step(`opening the way towards ${this.#named()}`)
    this.#open()
    if (at - asked > SOON_MS) {
      await sleep(clock, SOON_MS, signal)
      this.#open()
    }
    await sleep(clock, at - clock.now(), signal)
    if (signal.aborted) return true
    step(`calling ${this.#named()}`)
    return this.#hello(HOLE_RESENDS_MS)
  }

  /** Meets the contact in a slot that has begun. Resolves when it is over without an answer, or the signal fires. */
  async meet({ begins, guard, window }: Slot): Promise<void> {
    const { station, step, signal } = this.#options
    const { clock } = station.home
    step(`opening the way towards ${this.#named()}`)
    while (!signal.aborted && clock.now() < begins + guard) {
      this.#open()
      await sleep(clock, Math.min(SOON_MS, begins + guard - clock.now()), signal)
    }
    if (signal.aborted) return
    step(`calling ${this.#named()}`)
    const times = Math.max(0, Math.floor(window / WINDOW_EVERY_MS))
    const calling = this.#hello(Array.from({ length: times }, (_, i) => (i + 1) * WINDOW_EVERY_MS))
    while (!signal.aborted && clock.now() < begins + LINGER_MS) {
      await sleep(clock, Math.min(EVERY_MS, begins + LINGER_MS - clock.now()), signal)
      this.#open()
    }
    await calling
  }

  #named(): string {
    const { contact } = this.#options
    const count = this.#aims.reduce((sum, { places }) => sum + places.length, 0)
    return `${contact.name} at ${count === 1 ? '1 place' : `${count} places`}`
  }

  #open(): void {
    for (const { port, places } of this.#aims) for (const place of places) if (!this.#options.signal.aborted) port.opener(place)
  }

  /** Says hello to all places at once; the first answer counts. False if the system lets none of them out. */
  async #hello(resends: readonly number[]): Promise<boolean> {
    const { station, contact, signal } = this.#options
    const over = new AbortController()
    const until = AbortSignal.any([over.signal, signal])
    const { greeting, forget } = await station.greeting(contact)
    const call = (port: UdpPort, place: Endpoint, how: GreetOptions): Promise<boolean> =>
      this.#unlessHindered(this.#take(port, port.call(how, place, until, resends), over))
    const calls = this.#aims.flatMap(({ port, places }) => places.map((place) => call(port, place, greeting)))
    const out = await Promise.all(calls).finally(forget)
    return out.includes(true)
  }

  /** False if the system let nothing out. */
  async #take(port: UdpPort, calling: ReturnType<UdpPort['call']>, over: AbortController): Promise<boolean> {
    const { station, contact, onLink } = this.#options
    const outcome = await calling
    if (typeof outcome === 'string') return outcome !== 'unroutable'
    if (over.signal.aborted) outcome.close()
    else {
      over.abort()
      // Where others see a port that is not the home's is of no use to anybody.
      if (port === this.#options.port) station.greeted(contact, outcome)
      onLink(outcome, port)
    }
    return true
  }

  /** What must be noted before a hello is sent: what hinders that passes, unless the disk fails. */
  async #unlessHindered(work: Promise<boolean>): Promise<boolean> {
    try {
      return await work
    } catch (error) {
      if (!(error instanceof Failure) && !isFullDisk(error)) throw error
      return true
    }
  }
}
