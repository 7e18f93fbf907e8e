// One contact is called through the NATs on both sides, over the owner's UDP port: low openers towards all its places
// first, so that nothing arrives before the own side is open, then hellos. lib/net/holes.ts says why in this order. Whoever
// answers as the contact is handed on.

import { sleep } from '../base/clock.ts'
import { Failure } from '../base/fail.ts'
import type { Contact } from '../disk/contact.ts'
import { helloAt, HOLE_RESENDS_MS, PERIOD_WAITING_MS } from '../net/holes.ts'
import type { Link } from '../net/link.ts'
import type { Tally } from '../net/tally.ts'
import type { UdpPort } from '../net/udp.ts'
import type { Holding } from './holding.ts'
import { isFullDisk } from './limits.ts'
import { placesOf } from './places.ts'
import type { Station } from './station.ts'
import type { Place } from './udpplaces.ts'

/** Between the first two openers. */
const AGAIN_MS = 1_000

export interface PunchOptions {
  station: Station
  contact: Contact
  port: UdpPort
  holding: Holding
  tally: Tally
  /** The contact answered. */
  onLink: (link: Link) => void
  /** What is done now, in words. */
  step: (text: string) => void
  /** Fires when the contact is there, or when time is over. */
  signal: AbortSignal
}

export class Punch {
  readonly #options: PunchOptions
  #places: Place[] = []

  constructor(options: PunchOptions) {
    this.#options = options
  }

  /** Begins now. Resolves when nobody has answered, or `signal` fires: false if nothing could be sent at all. */
  async now(): Promise<boolean> {
    const { station, contact, holding, step, signal } = this.#options
    const { clock } = station.home
    if (!(await this.#find())) return false
    const asked = clock.now()
    const hole = holding.hole(contact.key) ?? { offset: 0, since: asked, period: PERIOD_WAITING_MS }
    const at = helloAt({ ...hole, period: PERIOD_WAITING_MS }, asked)
    step(`opening the way towards ${this.#named()}`)
    this.#open()
    if (at - asked > AGAIN_MS) {
      await sleep(clock, AGAIN_MS, signal)
      this.#open()
    }
    await sleep(clock, at - clock.now(), signal)
    if (signal.aborted) return true
    step(`calling ${this.#named()}`)
    return this.#hello()
  }

  #named(): string {
    const { contact } = this.#options
    const count = this.#places.length
    return `${contact.name} at ${count === 1 ? '1 address' : `${count} addresses`}`
  }

  /** Where the contact may be; false if that is nowhere. */
  async #find(): Promise<boolean> {
    const { station, contact, holding, tally } = this.#options
    const { addresses } = await placesOf(station.home, contact, station.neighbour(contact.key))
    this.#places = await holding.places.of(addresses)
    for (const place of this.#places) tally.add(place)
    return this.#places.length > 0
  }

  #open(): void {
    for (const place of this.#places) if (!this.#options.signal.aborted) this.#options.port.opener(place)
  }

  /** Says hello to all places at once; the first answer counts. False if the system lets none of them out. */
  async #hello(): Promise<boolean> {
    const { station, contact, port, signal, onLink } = this.#options
    const over = new AbortController()
    const until = AbortSignal.any([over.signal, signal])
    const { greeting, forget } = await station.greeting(contact)
    let out = false
    const calls = this.#places.map(async (place) => {
      const outcome = await port.call(greeting, place, until, HOLE_RESENDS_MS)
      if (outcome !== 'unroutable') out = true
      if (typeof outcome === 'string') return
      if (over.signal.aborted) return outcome.close()
      over.abort()
      station.greeted(contact, outcome)
      onLink(outcome)
    })
    const settled = await Promise.allSettled(calls)
    forget()
    for (const each of settled) {
      if (each.status === 'rejected' && !(each.reason instanceof Failure) && !isFullDisk(each.reason)) throw each.reason
    }
    return out
  }
}
