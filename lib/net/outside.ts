// This machine's UDP port as others see it: what each of them last said, and what kind of NAT follows from that. Pure but
// for its clock. Those who say so are authenticated contacts, or servers that the configuration names; each of them can
// lie, and a lie costs a datagram that leads nowhere.

import { type Clock } from '../base/clock.ts'
import type { Address } from '../wire/address.ts'
import type { Endpoint } from './stream.ts'

/** The NAT class of tokens and ADDRS frames: p2p-wire(7). */
export const NAT_CLASS = { UNKNOWN: 0, INDEPENDENT: 1, SYMMETRIC: 2 } as const

export type NatClass = (typeof NAT_CLASS)[keyof typeof NAT_CLASS]

const FRESH_MS = 3600 * 1000 // what was seen longer ago says nothing about now
const SEERS_MAX = 64

/** Who saw this machine where, so many milliseconds ago. */
export interface Sight {
  readonly by: string
  readonly seen: Endpoint
  readonly ago: number
}

/** Who may send through a mapping: everybody, the address, or the address and port that it was made to. */
export type Filtering = 'independent' | 'address' | 'address+port'

export class Outside {
  readonly #clock: Clock
  #filtering: Filtering | undefined
  readonly #sights = new Map<string, { at: number; seen: Endpoint }>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** `seer` sees us at `seen`. True if that is news. */
  note(seer: string, seen: Endpoint): boolean {
    const news = !this.#fresh().some((each) => same(each, seen))
    this.#sights.delete(seer)
    this.#sights.set(seer, { at: this.#clock.monotonic(), seen })
    if (this.#sights.size > SEERS_MAX) for (const oldest of this.#sights.keys()) return this.#sights.delete(oldest) && news
    return news
  }

  /** `seer` saw us at `seen` so long ago; what it has said since counts more. */
  recall(seer: string, seen: Endpoint, ageMs: number): void {
    if (!this.#sights.has(seer)) this.#sights.set(seer, { at: this.#clock.monotonic() - ageMs, seen })
  }

  /** How the own NAT lets others in, in the words of RFC 4787, as a STUN server found out. */
  get filtering(): Filtering | undefined {
    return this.#filtering
  }

  noteFiltering(filtering: Filtering): void {
    this.#filtering = filtering
  }

  /** The machine has moved: nothing that was seen counts any more. */
  forget(): void {
    this.#filtering = undefined
    this.#sights.clear()
  }

  /** What was seen lately, the latest first. */
  sights(): Sight[] {
    const now = this.#clock.monotonic()
    const all = [...this.#sights].map(([by, { at, seen }]) => ({ by, seen, ago: now - at }))
    return all.filter(({ ago }) => ago < FRESH_MS).reverse().sort((a, b) => a.ago - b.ago)
  }

  #fresh(): Endpoint[] {
    return this.sights().map(({ seen }) => seen)
  }

  /** Where others can reach us over UDP, as far as they have seen us there; the latest first. */
  addresses(): Address[] {
    const all: Address[] = []
    for (const { ip, port } of this.#fresh()) {
      if (!all.some((each) => each.host === ip && each.port === port)) all.push({ host: ip, port, tcp: false, udp: true })
    }
    return all
  }

  /**
   * What follows for IPv4: unknown with less than two seers; `own` are this machine's addresses, an address among them is
   * behind no NAT.
   */
  natClass(own: readonly string[]): NatClass {
    const seen = this.#fresh().filter(({ ip }) => !ip.includes(':'))
    if (seen.some(({ ip }) => own.includes(ip))) return NAT_CLASS.INDEPENDENT
    const [first, ...others] = seen
    if (first === undefined || others.length === 0) return NAT_CLASS.UNKNOWN
    return others.every((each) => same(each, first)) ? NAT_CLASS.INDEPENDENT : NAT_CLASS.SYMMETRIC
  }
}

function same(a: Endpoint, b: Endpoint): boolean {
  return a.ip === b.ip && a.port === b.port
}
