// Standing holes: as long as a contact is not there, our NAT is kept open towards it, and hellos are sent when the other
// side can be open as well. lib/net/holes.ts says when; here are the timers and the sending. A contact that has a session
// needs none of this.

import { hex } from '../base/bytes.ts'
import { sleep } from '../base/clock.ts'
import { Failure } from '../base/fail.ts'
import { type Contact, isWelcome } from '../disk/contact.ts'
import { names } from '../disk/queueread.ts'
import { helloAt, type Hole, HOLE_RESENDS_MS, nextAct, PERIOD_MS, PERIOD_WAITING_MS } from '../net/holes.ts'
import { isOnLink } from '../net/interfaces.ts'
import type { Link } from '../net/link.ts'
import type { Endpoint } from '../net/stream.ts'
import { holeOffset, rendezvousKey } from '../net/rendezvous.ts'
import type { UdpPort } from '../net/udp.ts'
import { distinctAddresses } from '../wire/address.ts'
import { isFullDisk } from './limits.ts'
import { placesOf } from './places.ts'
import type { Station } from './station.ts'
import { type Place, UdpPlaces } from './udpplaces.ts'

/** A timer that is this late has slept, or stood still: what was open is closed. */
const LATE_MS = 10_000

/** A hello out of turn goes at most so often: NATs that it may spoil must be able to forget it. */
const HURRY_EVERY_MS = 45_000

/** It is given up after that. */
const HURRY_MS = 5_000

export interface HoldingOptions {
  station: Station
  port: UdpPort
  /** True while there is a session with the contact. */
  isUp: (key: string) => boolean
  /** Holes are held towards this KEY alone; towards all contacts without. */
  only?: string | undefined
  /** A contact has answered our hello. */
  onLink: (link: Link) => void
  /** A timer has run. */
  awake?: () => void
  /** This side cannot go on. */
  fail: (error: unknown) => void
}

interface Held {
  readonly key: string
  readonly offset: number
  /** Of the contact's T: another one makes another offset. */
  readonly transport: string
  since: number
  waits: boolean
  /** How many see to this hole themselves. */
  paused: number
  /** Monotonic ms of the last hello out of turn, and what becomes of it. */
  hurried: number
  hurrying: Promise<void> | undefined
  cancel: () => void
}

export class Holding {
  readonly #options: HoldingOptions
  readonly #stopped = new AbortController()
  readonly #held = new Map<string, Held>()
  readonly places: UdpPlaces

  constructor(options: HoldingOptions) {
    const { station, port } = options
    this.#options = options
    this.places = new UdpPlaces(station.home.clock, port, () => station.config.quietNet)
  }

  /** Begins with every contact. */
  start(): void {
    this.reload()
  }

  stop(): void {
    this.#stopped.abort()
    for (const held of this.#held.values()) held.cancel()
    this.#held.clear()
  }

  /** The keyring changed. */
  reload(): void {
    const { only, station } = this.#options
    const { keyring } = station
    if (this.#stopped.signal.aborted) return
    for (const contact of keyring.all()) {
      const held = this.#held.get(contact.key)
      if (only !== undefined && contact.key !== only) continue
      if (isWelcome(contact) && held?.transport !== hex(contact.transport)) this.#begin(contact)
    }
    for (const [key, held] of this.#held) {
      const contact = keyring.byKey(key)
      if (contact !== undefined && isWelcome(contact)) continue
      held.cancel()
      this.#held.delete(key)
    }
  }

  #begin(contact: Contact): void {
    const { station } = this.#options
    const { home, suite, keyring, ownKey } = station
    this.#held.get(contact.key)?.cancel()
    const self = { identity: keyring.self.identity, key: ownKey }
    const held: Held = {
      key: contact.key,
      offset: holeOffset(suite, rendezvousKey(suite, { self, peer: contact })),
      transport: hex(contact.transport),
      since: home.clock.now(),
      waits: false,
      paused: 0,
      hurried: -Infinity,
      hurrying: undefined,
      cancel: () => undefined,
    }
    this.#held.set(contact.key, held)
    this.#schedule(held, held.since - 1)
    names(home, contact.key).then((waiting) => (held.waits ||= waiting.length > 0), this.#options.fail)
  }

  /** The contact is not there any more, or this machine has moved or slept: from the beginning. All without `key`. */
  restart(key?: string): void {
    const now = this.#options.station.home.clock.now()
    for (const held of this.#held.values()) {
      if (key !== undefined && held.key !== key) continue
      held.since = now
      this.#schedule(held, now - 1)
    }
  }

  /** The hole towards this contact as it stands. */
  hole(key: string): Hole | undefined {
    const held = this.#held.get(key)
    return held && this.#hole(held)
  }

  /** Something is to go to this contact as soon as it comes: its hole has the shorter period. */
  await(key: string): void {
    const held = this.#held.get(key)
    if (held === undefined) return
    held.waits = true
    this.#schedule(held, this.#options.station.home.clock.now())
  }

  /** Nothing is sent towards this contact until the result is called: somebody else sees to it. */
  pause(key: string): () => void {
    const held = this.#held.get(key)
    if (held === undefined) return () => undefined
    held.paused++
    let over = false
    return () => {
      if (!over) held.paused--
      over = true
    }
  }

  /** The contact has shown a moment ago that it is there: its NAT is open towards us. */
  follow(key: string, { ip, port }: Endpoint): void {
    const held = this.#held.get(key)
    if (held !== undefined) void this.#hello(held, this.#stopped.signal, () => true, [{ ip, port, tcp: false }])
  }

  /**
   * Something is to go to this contact now. Resolves when it has answered, or when that leads no further: it does not
   * answer, or a hello would do harm.
   */
  async hurry(key: string): Promise<void> {
    const held = this.#held.get(key)
    if (held === undefined || held.paused > 0 || this.#options.isUp(key)) return
    held.waits = true
    held.hurrying ??= this.#hurry(held).finally(() => (held.hurrying = undefined))
    return held.hurrying
  }

  async #hurry(held: Held): Promise<void> {
    const { clock } = this.#options.station.home
    const now = clock.now()
    const wait = helloAt(this.#hole(held), now) - now
    if (clock.monotonic() - held.hurried < HURRY_EVERY_MS || wait > HURRY_MS) return
    held.hurried = clock.monotonic()
    const over = new AbortController()
    const until = AbortSignal.any([over.signal, this.#stopped.signal])
    const cancel = clock.after(wait + HURRY_MS, () => over.abort())
    await this.#open(held)
    await sleep(clock, wait, until)
    // Neighbours are called over TCP: what keeps that out keeps UDP out as well.
    await this.#hello(held, until, ({ ip, tcp }) => !(tcp && isOnLink(ip)))
    cancel()
  }

  #hole({ offset, since, waits }: Held): Hole {
    return { offset, since, period: waits ? PERIOD_WAITING_MS : PERIOD_MS }
  }

  #schedule(held: Held, after: number): void {
    const { clock } = this.#options.station.home
    held.cancel()
    const act = nextAct(this.#hole(held), after)
    held.cancel = clock.after(act.at - clock.now(), () => {
      const late = clock.now() - act.at
      this.#options.awake?.()
      if (this.#options.isUp(held.key)) return // when it goes all begins anew
      if (late > LATE_MS) return this.restart(held.key)
      this.#schedule(held, act.at)
      if (held.paused === 0) void this.#act(held, act.what)
    })
  }

  #act(held: Held, what: 'opener' | 'hello'): Promise<void> {
    return what === 'opener' ? this.#open(held) : this.#hello(held, this.#stopped.signal)
  }

  /** Opens the own NAT towards all places where the contact may be. */
  async #open(held: Held): Promise<void> {
    const { station, port } = this.#options
    const contact = station.keyring.byKey(held.key)
    if (contact === undefined) return
    const places = await this.places.of(distinctAddresses([...contact.sessionAddresses, ...contact.addresses]))
    if (!this.#stopped.signal.aborted) for (const place of places) port.opener(place)
  }

  /** Says hello to all places that fit, at once; the first answer counts. */
  async #hello(
    held: Held,
    signal: AbortSignal,
    fits: (place: Place) => boolean = () => true,
    there?: Place[],
  ): Promise<void> {
    const { station, port, isUp, onLink } = this.#options
    const contact = station.keyring.byKey(held.key)
    if (contact === undefined || signal.aborted || isUp(held.key)) return
    const over = new AbortController()
    const until = AbortSignal.any([over.signal, signal])
    try {
      const known = await placesOf(station.home, contact, station.neighbour(contact.key))
      const places = there ?? (await this.places.of(known.addresses)).filter(fits)
      const { greeting, forget } = await station.greeting(contact)
      const calls = places.map(async (place) => {
        const outcome = await port.call(greeting, place, until, HOLE_RESENDS_MS)
        if (typeof outcome === 'string') return
        if (over.signal.aborted) return outcome.close()
        over.abort()
        held.waits = false
        station.greeted(contact, outcome)
        onLink(outcome)
        await known.answered(outcome)
      })
      for (const call of await Promise.allSettled(calls)) if (call.status === 'rejected') this.#hindered(call.reason)
      forget()
    } catch (error) {
      this.#hindered(error)
    }
  }

  /** What must be noted before a hello is sent: what hinders that passes, unless the disk fails. */
  #hindered(error: unknown): void {
    if (!(error instanceof Failure) && !isFullDisk(error)) this.#options.fail(error)
  }
}
