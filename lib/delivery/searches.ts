// Contacts that nothing else reaches are searched, lib/net/birthday.ts, in turns that both sides compute, often at first
// and then ever more rarely. It is the dearest way there is: openers, which end on the way, cost little; ports are tried
// only while something waits for the contact, where its router is known to be of that kind, or where it was never met;
// of one contact at a time, and of those for whom nothing waits a few times an hour.

import { sleep } from '../base/clock.ts'
import type { Contact } from '../disk/contact.ts'
import { readMeeting } from '../disk/meetings.ts'
import { names } from '../disk/queueread.ts'
import { nextTurn, partOf, PROBES_MAX, RAREST, SEARCH_AT_MS, type Searchers, TURN_OVER_MS } from '../net/birthday.ts'
import type { OpenDatagrams } from '../net/datagram.ts'
import type { Guard } from '../net/guard.ts'
import { localAddresses } from '../net/interfaces.ts'
import type { Link } from '../net/link.ts'
import { NAT_CLASS } from '../net/outside.ts'
import type { Ending, Endpoint } from '../net/stream.ts'
import type { UdpPort } from '../net/udp.ts'
import { distinctAddresses, isGlobal } from '../wire/address.ts'
import { parseIp } from '../wire/ip.ts'
import type { Holding } from './holding.ts'
import { coupleOf, type Held as HeldContact, Missed } from './missed.ts'
import { natOf } from './nats.ts'
import { ManyPorts, tryPorts } from './search.ts'
import type { Station } from './station.ts'

/** At 100 a second. */
const SEARCH_MS = PROBES_MAX * 10

/** Contacts towards whom ports are held open at once: a process has no end of sockets. */
const OPENING_MAX = 2

/** Searches in an hour for those for whom nothing waits. */
const IDLE_MAX = 10
const HOUR_MS = 3600_000

/** Searches in a day of a contact at an address that no person has seen: it may be somebody else's, as in places.ts. */
const TOLD_MAX = 6
const DAY_MS = 24 * HOUR_MS

/** A message begins all anew, but not more often. */
const ANEW_MS = HOUR_MS

/** What a contact has told of its router counts less when something waits for it for so long: it may be elsewhere. */
const STALE_MS = 600_000

/** Machines that ports are opened towards. */
const PLACES_MAX = 2

/** A timer that is this late has slept. */
const LATE_MS = 2_000

export interface SearchesOptions {
  station: Station
  guard: Guard<Ending>
  port: UdpPort
  holding: Pick<Holding, 'places'>
  isUp: (key: string) => boolean
  /** Only this contact (KEY) is searched. */
  only?: string | undefined
  /** A link with a contact, whoever began it. */
  adopt: (link: Link) => void
  /** Of each of the many ports. */
  door?: OpenDatagrams
  /** Something a person should know; the rest goes on. */
  notice: (error: unknown) => void
  fail: (error: unknown) => void
}

interface More {
  readonly pair: Searchers
  /** Monotonic ms of searches where the contact has said that it is. */
  told: number[]
}

type Held = HeldContact & More

export class Searches {
  readonly #options: SearchesOptions
  readonly #missed: Missed<More>
  #opening = 0
  #searching = false
  /** Monotonic ms of the last searches for those for whom nothing waits. */
  #idle: number[] = []

  constructor(options: SearchesOptions) {
    this.#options = options
    const { station, only } = options
    this.#missed = new Missed({ station, only, make: (contact) => ({ pair: coupleOf(station, contact), told: [] }) })
  }

  /** Begins, or takes in that the keyring is another. */
  start(): void {
    for (const held of this.#missed.takeIn().begun) this.#schedule(held)
  }

  stop(): void {
    this.#missed.stop()
  }

  /** The contact is away again, or this machine has moved (all). */
  restart(key?: string): void {
    for (const held of this.#missed.of(key)) this.#anew(held)
  }

  /** Something is to go to this contact. */
  await(key: string): void {
    const held = this.#missed.get(key)
    if (held === undefined || this.#options.isUp(key)) return
    held.waits = true
    if (this.#options.station.home.clock.now() - held.since > ANEW_MS) this.#anew(held)
  }

  /** This contact is left alone until the result is called: somebody else searches it, or wants silence. */
  pause(key: string): () => void {
    return this.#missed.pause(key)
  }

  #anew(held: Held): void {
    held.since = this.#options.station.home.clock.now()
    this.#schedule(held)
  }

  #schedule(held: Held): void {
    const { clock } = this.#options.station.home
    held.cancel()
    if (this.#missed.stopped.aborted) return
    const now = clock.now()
    const at = nextTurn(held.pair, held.since, now, held.waits ? RAREST.waiting : RAREST.idle)
    held.cancel = clock.after(at - now, () => {
      this.#schedule(held)
      const late = clock.now() - at > LATE_MS
      if (!late && !this.#options.isUp(held.key)) this.#turn(held, at).catch((error: unknown) => this.#options.fail(error))
    }, true)
  }

  async #turn(held: Held, at: number): Promise<void> {
    const { station, isUp } = this.#options
    const { home, keyring, config } = station
    const contact = keyring.byKey(held.key)
    if (contact === undefined || !config.birthday || held.paused > 0) return
    held.waits = (await names(home, held.key)).length > 0
    const peer = held.waits && at - held.since > STALE_MS ? NAT_CLASS.UNKNOWN : natOf(contact)
    const part = partOf(station.whereabouts.place().nat, peer)
    const places = part === undefined ? [] : await this.#places(contact)
    if (part === undefined || places.length === 0 || isUp(held.key)) return
    const over = new AbortController()
    const cancel = home.clock.after(at + TURN_OVER_MS - home.clock.now(), () => over.abort(), true)
    const signal = AbortSignal.any([over.signal, this.#missed.stopped])
    const searches = part.searches && (held.waits || natOf(contact) === NAT_CLASS.SYMMETRIC || (await this.#isWorthIt(held.key)))
    const took = (link: Link): void => {
      over.abort()
      this.#options.adopt(link)
    }
    await Promise.all([
      part.opens ? this.#open(places, took, signal) : undefined,
      searches ? this.#search(held, contact, places, took, at + SEARCH_AT_MS, signal) : undefined,
    ]).finally(cancel)
  }

  /** It was never met, or a search found it the last time: nothing else may lead there. */
  async #isWorthIt(key: string): Promise<boolean> {
    const met = await readMeeting(this.#options.station.home, key)
    return met === undefined || met.found === true
  }

  /** Where the contact is behind its router, and this machine is not. */
  async #places({ addresses, sessionAddresses }: Contact): Promise<Endpoint[]> {
    const { station, holding } = this.#options
    const own = [...localAddresses(0), ...station.whereabouts.outside.addresses()].map(({ host }) => host)
    const places = await holding.places.of(distinctAddresses([...addresses, ...sessionAddresses]))
    const global = places.filter(({ ip }) => !ip.includes(':') && isGlobal({ host: ip }) && !own.includes(ip))
    return global.slice(0, PLACES_MAX)
  }

  async #open(places: readonly Endpoint[], took: (link: Link) => void, signal: AbortSignal): Promise<void> {
    if (this.#opening >= OPENING_MAX) return
    const { station, guard, door, notice } = this.#options
    this.#opening++
    try {
      const ports = await ManyPorts.open({ station, guard, onLink: took, onFault: notice }, door)
      await ports?.hold(places, signal)
      await ports?.release()
    } catch (error) {
      notice(error)
    } finally {
      this.#opening--
    }
  }

  async #search(
    held: Held,
    contact: Contact,
    places: readonly Endpoint[],
    took: (link: Link) => void,
    at: number,
    signal: AbortSignal,
  ): Promise<void> {
    const { station, port, isUp } = this.#options
    const { clock } = station.home
    await sleep(clock, at - clock.now(), signal)
    if (signal.aborted || this.#searching || isUp(held.key) || !this.#mayTry(held, contact, places)) return
    this.#searching = true
    try {
      const link = await tryPorts({ station, contact, port, places, ms: SEARCH_MS, signal })
      if (link !== undefined) took(link)
    } finally {
      this.#searching = false
    }
  }

  #mayTry(held: Held, { told, addresses }: Contact, [place]: readonly Endpoint[]): boolean {
    const now = this.#options.station.home.clock.monotonic()
    this.#idle = this.#idle.filter((at) => now - at < HOUR_MS)
    held.told = held.told.filter((at) => now - at < DAY_MS)
    const pasted = told !== true && addresses.some(({ host }) => host === place?.ip || parseIp(host) === undefined)
    if ((!held.waits && this.#idle.length >= IDLE_MAX) || (!pasted && held.told.length >= TOLD_MAX)) return false
    if (!held.waits) this.#idle.push(now)
    if (!pasted) held.told.push(now)
    return true
  }
}
