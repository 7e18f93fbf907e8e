// How much strangers may cost: counters before authentication, on a Clock, in bounded memory. Sources are single IPv4
// addresses or IPv6 /64s, the least a stranger gets for free. Addresses known to be a contact's have budgets of their
// own, so that a flood from elsewhere cannot shut friends out. It trusts only what the caller marks as known.

import { type Clock } from '../base/clock.ts'
import { fraction, type Random } from '../base/random.ts'
import { formatIp, parseIp } from '../wire/ip.ts'

/** p2p-wire(7), LIMITS. Rates are per second. */
export const LIMITS = {
  waiting: 512, // connections that have not sent their hello yet
  draining: 512, // connections that failed and are read until their time is over
  perSource: 16, // of each kind
  unconfirmed: 128, // answered, but the initiator has not shown its keys yet
  knownWaiting: 128, // beyond `waiting` and `perSource`, for known addresses only
  hellos: { rate: 200, burst: 100 }, // 200/s cost 2 % of a core
  hellosPerSource: { rate: 20, burst: 5 },
  hellosKnown: { rate: 50, burst: 50 },
  unknown: { rate: 20, burst: 20 }, // callers whose key is nobody's
  unknownPerSource: { rate: 1, burst: 1 },
} as const

const KNOWN_MS = 30 * 24 * 3600 * 1000
const KNOWN_MAX = 4096 // addresses
const SOURCES_MAX = 4096 // buckets kept; a forgotten source starts with a full one, the global budgets still hold
const QUEUE_MS = 2000 // a hello may wait this long for its budget: a burst of contacts behind one address gets through

export interface Rate {
  rate: number
  burst: number
}

/** A token bucket: `burst` at once, `rate` a second. */
export class Bucket {
  readonly #rate: number
  readonly #burst: number
  #level: number
  #at: number

  constructor(limit: Rate, now: number) {
    this.#rate = limit.rate
    this.#burst = limit.burst
    this.#level = limit.burst
    this.#at = now
  }

  #fill(now: number): number {
    const passed = Math.max(0, now - this.#at)
    this.#at = Math.max(this.#at, now)
    this.#level = Math.min(this.#burst, this.#level + (passed * this.#rate) / 1000)
    return this.#level
  }

  /** Milliseconds until one more fits, 0 for now. */
  delay(now: number): number {
    const level = this.#fill(now)
    return level >= 1 ? 0 : ((1 - level) / this.#rate) * 1000
  }

  /** Takes one, ahead of time if delay() was more than 0. */
  spend(now: number): void {
    this.#fill(now)
    this.#level -= 1
  }
}

/** A Bucket per source; the least recently used one is forgotten first. */
export class Buckets {
  readonly #limit: Rate
  readonly #map = new Map<string, Bucket>()

  constructor(limit: Rate) {
    this.#limit = limit
  }

  of(source: string, now: number): Bucket {
    const bucket = this.#map.get(source) ?? new Bucket(this.#limit, now)
    this.#map.delete(source)
    this.#map.set(source, bucket)
    if (this.#map.size > SOURCES_MAX) this.#map.delete(oldest(this.#map))
    return bucket
  }

  get size(): number {
    return this.#map.size
  }
}

function oldest<T>(map: Map<string, T>): string {
  for (const key of map.keys()) return key
  throw new Error('empty map')
}

/** The budget an address shares: itself for IPv4, its /64 for IPv6. */
export function sourceOf(ip: string): string {
  const bytes = parseIp(ip.replace(/%.*$/, '')) // the zone of a link-local address
  if (bytes === undefined) return 'unknown'
  if (bytes.length === 4) return formatIp(bytes)
  return `${formatIp(new Uint8Array([...bytes.subarray(0, 8), 0, 0, 0, 0, 0, 0, 0, 0]))}/64`
}

/** A set of connections with room for `limit`, and `perSource` of each source. */
class Room<T> {
  readonly #limit: number
  readonly #perSource: number
  readonly #members = new Map<T, string>()
  readonly #sources = new Map<string, Set<T>>()

  constructor(limit: number, perSource: number) {
    this.#limit = limit
    this.#perSource = perSource
  }

  get size(): number {
    return this.#members.size
  }

  add(item: T, source: string): void {
    this.#members.set(item, source)
    const peers = this.#sources.get(source) ?? new Set()
    this.#sources.set(source, peers.add(item))
  }

  delete(item: T): void {
    const source = this.#members.get(item)
    if (source === undefined) return
    this.#members.delete(item)
    const peers = this.#sources.get(source)
    peers?.delete(item)
    if (peers?.size === 0) this.#sources.delete(source)
  }

  full(source: string): boolean {
    return this.size >= this.#limit || (this.#sources.get(source)?.size ?? 0) >= this.#perSource
  }

  /** Who has to go before one more of `source` fits: one of that source if it has too many, else anybody. */
  victim(source: string, random: Random): T | undefined {
    const own = this.#sources.get(source)
    if (own !== undefined && own.size >= this.#perSource) return pick(own, random)
    return this.size >= this.#limit ? pick(this.#members, random) : undefined
  }
}

function pick<T>(items: ReadonlySet<T> | ReadonlyMap<T, unknown>, random: Random): T | undefined {
  let passed = Math.floor(fraction(random) * items.size)
  for (const item of items.keys()) if (passed-- === 0) return item
  return undefined
}

/** One per listener. `T` is whatever the caller counts: it is only compared by identity. */
export class Guard<T extends object = object> {
  readonly #clock: Clock
  readonly #random: Random
  readonly #known = new Map<string, number>()
  readonly #waiting = new Room<T>(LIMITS.waiting, LIMITS.perSource)
  readonly #draining = new Room<T>(LIMITS.draining, LIMITS.perSource)
  readonly #knownWaiting = new Room<T>(LIMITS.knownWaiting, LIMITS.knownWaiting)
  readonly #unconfirmed = new Room<T>(LIMITS.unconfirmed, LIMITS.unconfirmed)
  readonly #hellos: Bucket
  readonly #hellosKnown: Bucket
  readonly #hellosPerSource = new Buckets(LIMITS.hellosPerSource)
  readonly #unknown: Bucket
  readonly #unknownPerSource = new Buckets(LIMITS.unknownPerSource)

  constructor(clock: Clock, random: Random) {
    this.#clock = clock
    this.#random = random
    const now = clock.monotonic()
    this.#hellos = new Bucket(LIMITS.hellos, now)
    this.#hellosKnown = new Bucket(LIMITS.hellosKnown, now)
    this.#unknown = new Bucket(LIMITS.unknown, now)
  }

  /** For diagnosis and tests. */
  get counts(): { waiting: number; draining: number; unconfirmed: number; known: number; sources: number } {
    return {
      waiting: this.#waiting.size + this.#knownWaiting.size,
      draining: this.#draining.size,
      unconfirmed: this.#unconfirmed.size,
      known: this.#known.size,
      sources: this.#hellosPerSource.size + this.#unknownPerSource.size,
    }
  }

  /** This address is a contact's (it authenticated, or a token names it): remembered for 30 days. */
  know(ip: string): void {
    const source = sourceOf(ip)
    this.#known.delete(source)
    this.#known.set(source, this.#clock.monotonic())
    if (this.#known.size > KNOWN_MAX) this.#known.delete(oldest(this.#known))
  }

  knows(ip: string): boolean {
    const since = this.#known.get(sourceOf(ip))
    return since !== undefined && this.#clock.monotonic() - since < KNOWN_MS
  }

  /** Room for a connection that may now send its hello; false if there is none. */
  arrive(item: T, ip: string): boolean {
    const source = sourceOf(ip)
    if (!this.#waiting.full(source)) {
      this.#waiting.add(item, source)
      return true
    }
    if (!this.knows(ip) || this.#knownWaiting.full(source)) return false
    this.#knownWaiting.add(item, source)
    return true
  }

  /** Room for a failed connection, always; whoever is returned has to be destroyed for it. */
  drain(item: T, ip: string): T | undefined {
    this.leave(item)
    const source = sourceOf(ip)
    const victim = this.#draining.victim(source, this.#random)
    if (victim !== undefined) this.#draining.delete(victim)
    this.#draining.add(item, source)
    return victim
  }

  /** Room for an answered connection until its keys are confirmed; false if there is none. */
  answer(item: T, ip: string): boolean {
    const source = sourceOf(ip)
    if (this.#unconfirmed.full(source)) return false
    this.leave(item)
    this.#unconfirmed.add(item, source)
    return true
  }

  /** The connection is over, or authenticated: it counts no longer. */
  leave(item: T): void {
    for (const room of [this.#waiting, this.#knownWaiting, this.#unconfirmed, this.#draining]) room.delete(item)
  }

  /**
   * Takes the budget for one DH with a stranger. Milliseconds to wait before doing it (0: now), or undefined, and
   * nothing taken, if the budget is used up more than `patienceMs` ahead.
   */
  hello(ip: string, patienceMs = QUEUE_MS): number | undefined {
    const now = this.#clock.monotonic()
    if (this.knows(ip) && this.#hellosKnown.delay(now) === 0) {
      this.#hellosKnown.spend(now)
      return 0
    }
    const own = this.#hellosPerSource.of(sourceOf(ip), now)
    const delay = Math.max(this.#hellos.delay(now), own.delay(now))
    if (delay > patienceMs) return undefined
    this.#hellos.spend(now)
    own.spend(now)
    return delay
  }

  /** Takes the budget for going on with a caller whose key is nobody's. */
  unknown(ip: string): boolean {
    const now = this.#clock.monotonic()
    const own = this.#unknownPerSource.of(sourceOf(ip), now)
    if (own.delay(now) > 0 || this.#unknown.delay(now) > 0) return false
    own.spend(now)
    this.#unknown.spend(now)
    return true
  }
}
