// Standing holes: as long as a contact is not there, our NAT is kept open towards it, and hellos are sent when the other
// side can be open as well. lib/net/holes.ts says when; here are the timers and the sending. A contact that has a session
// needs none of this.

import { sleep } from '../base/clock.ts'
import { Failure } from '../base/fail.ts'
import { names } from '../disk/queueread.ts'
import { HELLO_MS, helloAt, type Hole, HOLE_RESENDS_MS, nextAct, PERIOD_MS, PERIOD_WAITING_MS } from '../net/holes.ts'
import { isOnLink } from '../net/interfaces.ts'
import type { Link } from '../net/link.ts'
import type { Endpoint } from '../net/stream.ts'
import { holeOffset } from '../net/rendezvous.ts'
import type { UdpPort } from '../net/udp.ts'
import { distinctAddresses } from '../wire/address.ts'
import { isFullDisk } from './limits.ts'
import { coupleOf, type Held as HeldContact, Missed } from './missed.ts'
import { placesOf } from './places.ts'
import type { Station } from './station.ts'
import { type Place, UdpPlaces } from './udpplaces.ts'

/** A timer that is this late has slept, or stood still: what was open is closed. */
const LATE_MS = 10_000

/** A hello out of turn goes at most so often: NATs that it may spoil must be able to forget it. */
const HURRY_EVERY_MS = 45_000

/** An answer to it is waited for so long. */
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

interface More {
  readonly offset: number
  /** Monotonic ms of the last hello out of turn, and what becomes of it. */
  hurried: number
  hurrying: Promise<void> | undefined
}

type Held = HeldContact & More

export class Holding {
  readonly #options: HoldingOptions
  readonly #missed: Missed<More>
  readonly places: UdpPlaces

  constructor(options: HoldingOptions) {
    const { station, port, only } = options
    this.#options = options
    this.#missed = new Missed({
      station,
      only,
      make(contact): More {
        const { suite, secret } = coupleOf(station, contact)
        return { offset: holeOffset(suite, secret), hurried: -Infinity, hurrying: undefined }
      },
    })
    this.places = new UdpPlaces(station.home.clock, port, () => station.config.quietNet)
  }

  /** Begins, or takes in that the keyring is another. */
  start(): void {
    const { home } = this.#options.station
    for (const held of this.#missed.takeIn().begun) {
      this.#schedule(held, held.since - 1)
      names(home, held.key).then((waiting) => (held.waits ||= waiting.length > 0), this.#options.fail)
    }
  }

  stop(): void {
    this.#missed.stop()
  }

  /** The contact is not there any more, or this machine has moved or slept: from the beginning. All without `key`. */
  restart(key?: string): void {
    const now = this.#options.station.home.clock.now()
    for (const held of this.#missed.of(key)) {
      held.since = now
      this.#schedule(held, now - 1)
    }
  }

  /** The hole towards this contact as it stands. */
  hole(key: string): Hole | undefined {
    const held = this.#missed.get(key)
    return held && this.#hole(held)
  }

  /** Something is to go to this contact as soon as it comes: its hole has the shorter period. */
  await(key: string): void {
    const held = this.#missed.get(key)
    if (held === undefined) return
    held.waits = true
    this.#schedule(held, this.#options.station.home.clock.now())
  }

  /** Nothing is sent towards this contact until the result is called: somebody else sees to it. */
  pause(key: string): () => void {
    return this.#missed.pause(key)
  }

  /** The contact has shown a moment ago that it is there: its NAT is open towards us. */
  follow(key: string, { ip, port }: Endpoint): void {
    const held = this.#missed.get(key)
    if (held !== undefined) void this.#hello(held, this.#missed.stopped, () => true, [{ ip, port, tcp: false }])
  }

  /**
   * Something is to go to this contact now. Resolves when it has answered, or when that leads no further: it does not
   * answer, or another hello so soon would do harm, or there is no place to say it to. In the silence it waits for the
   * next period, 13 s at most, unless that takes longer than `patienceMs`.
   */
  async hurry(key: string, patienceMs = Infinity): Promise<void> {
    const held = this.#missed.get(key)
    if (held === undefined || held.paused > 0 || this.#options.isUp(key)) return
    held.waits = true
    if (this.#wait(held) > patienceMs) return
    held.hurrying ??= this.#hurry(held).finally(() => (held.hurrying = undefined))
    return held.hurrying
  }

  async #hurry(held: Held): Promise<void> {
    const { clock } = this.#options.station.home
    if (clock.monotonic() - held.hurried < HURRY_EVERY_MS) return
    // Neighbours are called over TCP: what keeps that out keeps UDP out as well.
    const fits = ({ ip, tcp }: Place): boolean => !(tcp && isOnLink(ip))
    if (!(await this.#places(held)).some(fits)) return
    const wait = this.#wait(held)
    held.hurried = clock.monotonic() + wait
    const over = new AbortController()
    const until = AbortSignal.any([over.signal, this.#missed.stopped])
    const cancel = clock.after(wait + HURRY_MS, () => over.abort())
    const silence = Math.max(0, wait - HELLO_MS)
    const ours = (): boolean => held.paused === 0 && this.#missed.get(held.key) === held
    await sleep(clock, silence, until)
    if (ours()) await this.#open(held)
    await sleep(clock, wait - silence, until)
    if (ours()) await this.#hello(held, until, fits)
    cancel()
  }

  /** Milliseconds until a hello may go out of turn. */
  #wait(held: Held): number {
    const now = this.#options.station.home.clock.now()
    return helloAt(this.#hole(held), now) - now
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

  async #act(held: Held, what: 'opener' | 'hello'): Promise<void> {
    if (what === 'opener') await this.#open(held)
    else if (held.hurrying === undefined) await this.#hello(held, this.#missed.stopped) // else one is about to go, or has just gone
  }

  /** Opens the own NAT towards all places where the contact may be. */
  async #open(held: Held): Promise<void> {
    const places = await this.#places(held)
    if (!this.#missed.stopped.aborted) for (const place of places) this.#options.port.opener(place)
  }

  /** Where its NAT may be. */
  async #places({ key }: Held): Promise<Place[]> {
    const contact = this.#options.station.keyring.byKey(key)
    if (contact === undefined) return []
    return this.places.of(distinctAddresses([...contact.sessionAddresses, ...contact.addresses]))
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
      const known = await placesOf(station.home, contact, station.whereabouts.neighbour(contact.key))
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
