// One authenticated link, both directions: settings, then each side offers what it holds while it takes what the
// other offers. p2p-wire(7), SESSION. The session ends with BYE, with the link, or with the first frame out of turn;
// nothing depends on how it ends, since every message is acknowledged or still in its sender's queue. The other side is
// authenticated, not trusted: what its frames may do is with demux.ts, how long it may do nothing with idletimer.ts.

import { hex } from '../base/bytes.ts'
import type { Clock } from '../base/clock.ts'
import type { Random } from '../base/random.ts'
import type { Contact } from '../disk/contact.ts'
import type { Delivered, Inbox } from '../disk/inbox.ts'
import type { Home } from '../disk/home.ts'
import type { Link } from '../net/link.ts'
import type { Hash } from '../wire/envelope.ts'
import { BYE, COPIES, type Frame, type PipeFrame } from '../wire/frame.ts'
import { Demux } from './demux.ts'
import { Echo } from './echo.ts'
import { IdleTimer } from './idletimer.ts'
import { type Admission, FrameMeter } from './limits.ts'
import type { Greeting } from './meeting.ts'
import type { News } from './news.ts'
import { type OfferHooks, Offering } from './offer.ts'
import type { Passing } from './passing.ts'
import { Pulse } from './pulse.ts'
import { Receiving } from './receive.ts'
import { NO_TERMS, settingsOf, termsOf } from './settings.ts'
import type { Place } from './whereabouts.ts'

/** The other side's SETTINGS must be here by then. */
const SETTINGS_MS = 10_000

/** A renewal asked for earlier is none: the other side would have us dial for ever. */
const RENEW_MIN_MS = 60_000

export interface SessionHooks extends OfferHooks {
  received(message: Delivered): void
  /** A long message is so far in. */
  arriving?(id: string, done: number, size: number): void
  /** The other side told something about itself. */
  learned(news: News): void
  /** The other side greeted. Resolves, and never rejects, when that is noted. */
  met(greeting: Greeting): Promise<void>
  /** Whether to tell the other side that it is one of two copies of a home. Never rejects. */
  takesTurns(): Promise<boolean>
}

export interface SessionOptions {
  home: Home
  /** Of this copy of the home. */
  instance: Uint8Array
  hash: Hash
  clock: Clock
  random: Random
  link: Link
  /** Who it is with, as the keyring has it now. */
  contact: () => Contact
  /** Where messages go; none: this side only sends. */
  inbox: Inbox | undefined
  admission: Admission
  /** Where this side is now, for ADDRS. */
  place: () => Place
  /** Ends by itself once both sides have nothing left. */
  oneShot: boolean
  hooks: SessionHooks
  /** Tokens of common contacts may be passed on; none: not from here. */
  passing?: Passing | undefined
  /** Takes frames of pipes; false: out of turn. None: this side has no pipes. */
  pipe?: ((frame: PipeFrame, session: Session) => boolean) | undefined
}

/** done: BYE, said or heard. worn: too old, dial anew. lost: the link broke. offended: a frame out of turn. */
export type SessionEnd = 'done' | 'worn' | 'lost' | 'offended'

export class Session {
  readonly link: Link
  readonly #options: SessionOptions
  readonly #meter: FrameMeter
  #offering: Offering | undefined
  #receiving: Receiving | undefined
  #demux: Demux | undefined
  #end: SessionEnd | undefined
  #stopping = false
  readonly #settled = new Set<() => void>()
  readonly #idleTimer: IdleTimer
  #cancelTimer: () => void = () => undefined
  #pulse: Pulse | undefined
  #replaced = false
  #exhausted = false
  readonly #echo: Echo
  /** This side's SETTINGS are said. */
  #introduced = false
  #told = ''
  #terms = NO_TERMS
  #begun: () => void = () => undefined
  /** Resolves when the other side's SETTINGS are here, or the session is over. */
  readonly ready: Promise<void> = new Promise((resolve) => (this.#begun = resolve))
  /** Resolves with the first error of this side's disk, after everything is closed; undefined if there was none. */
  readonly ended: Promise<{ end: SessionEnd; error?: unknown }>

  constructor(options: SessionOptions) {
    this.link = options.link
    this.#options = options
    const { clock, random } = options
    this.#meter = new FrameMeter(clock)
    this.#echo = new Echo(clock, random)
    this.#idleTimer = new IdleTimer({
      clock,
      moved: () => (this.#offering?.moved ?? 0) + (this.#receiving?.moved ?? 0),
      atDisk: () => (this.#receiving?.atDisk ?? 0) > 0,
      idle: () => this.abort(),
    })
    this.ended = this.#run()
  }

  /** Who it is with. */
  get contact(): Contact {
    return this.#options.contact()
  }

  /** Something new waits for this contact. `all`: offer again what was refused for now, too. */
  poke(all = false): void {
    this.#offering?.poke(all)
    this.#pulse?.stir()
  }

  /** Offers and asks for nothing more, finishes what is under way, says BYE. */
  stop(): void {
    this.#stopping = true
    this.#offering?.stop()
    this.#receiving?.stop()
    this.#progress()
  }

  /** A newer session is there: as stop(), and if the other side no longer answers on this one it ends soon. */
  replace(): void {
    this.stop()
    if (this.#replaced) return
    this.#replaced = true
    this.#pulse?.replace()
  }

  /** Neither side had anything left, at some time. */
  get exhausted(): boolean {
    return this.#exhausted
  }

  /** Resolves once neither side has anything left, when the session ends, or when `gone` fires. */
  async settled(gone: AbortSignal): Promise<void> {
    const left = new Promise<void>((resolve) => gone.addEventListener('abort', () => resolve(), { once: true }))
    const settled = new Promise<void>((resolve) => this.#settled.add(resolve))
    this.#progress()
    if (!gone.aborted) await Promise.race([settled, left, this.ended])
  }

  /** Asks the other side whether it is there: milliseconds until its answer, undefined if the session ended before. */
  async prove(): Promise<number | undefined> {
    await this.ready
    return this.#echo.ask((bytes) => this.#say({ type: 'ping', bytes }), this.ended)
  }

  /** Ends at once. */
  abort(): void {
    this.link.close()
  }

  /** Ends at once and says that there are too many. */
  turnAway(): void {
    this.#end = 'done'
    this.#say({ type: 'bye', code: BYE.LIMIT })
    this.link.close()
  }

  /** This machine has moved or woken: the session shows whether it lives. */
  probe(): void {
    this.#pulse?.probe()
    this.tellPlace()
  }

  /** Tells the other side where this one is, if that is news. */
  tellPlace(): void {
    if (!this.#introduced || this.link.reason !== undefined) return
    const { nat, addresses } = this.#options.place()
    const told = JSON.stringify([nat, addresses])
    if (addresses.length === 0 || told === this.#told) return
    this.#told = told
    this.#say({ type: 'addrs', nat, addresses })
  }

  /** Whether pipes can go through it; known once it is ready. */
  get pipes(): boolean {
    return this.#terms.pipes
  }

  /** Whether it may be sent STREAM frames of DATA_LARGE bytes; known once it is ready. */
  get large(): boolean {
    return this.#terms.large
  }

  /** Resolves when there is room for more. Throws Lost. */
  sendPipe(frame: PipeFrame): Promise<void> {
    return this.link.send(frame)
  }

  /** A newer token of this side. */
  sendToken(token: Uint8Array): void {
    this.#say({ type: 'token', token })
  }

  async #run(): Promise<{ end: SessionEnd; error?: unknown }> {
    let error: unknown
    try {
      await this.#talk()
    } catch (thrown) {
      if (!(thrown instanceof Error && thrown.name === 'Lost')) error = thrown
    }
    this.#cancelTimer()
    this.#idleTimer.stop()
    this.#pulse?.stop()
    this.#begun()
    this.link.close()
    await this.#receiving?.close()
    await this.#offering?.close()
    error ??= this.#receiving?.error ?? this.#offering?.error
    const end = this.#end ?? 'lost'
    return error === undefined ? { end } : { end, error }
  }

  async #talk(): Promise<void> {
    const { link } = this
    const { clock } = this.#options
    this.#cancelTimer = clock.after(SETTINGS_MS, () => this.abort(), true)
    if (link.initiator) {
      await this.#sendSettings()
      void this.#offer().hurry().then(() => clock.after(0, () => this.tellPlace(), true)) // while the other side is at work
    }
    const first = await link.receive()
    if (first === undefined) return
    if (first.type === 'bye') return void (this.#end = 'done')
    if (first.type !== 'settings') return this.#offend(BYE.OUT_OF_TURN)
    const met = this.#options.hooks.met({ instance: hex(first.instance), copies: (first.flags & COPIES) !== 0 })
    if (!link.initiator) {
      await met // what this side says of copies depends on it
      await this.#sendSettings()
    }
    this.#begin(first)
    for (;;) {
      const frame = link.next() ?? (await link.receive())
      if (frame === undefined) return
      this.#pulse?.heard()
      const inTurn = (this.#demux as Demux).take(frame)
      if (!(typeof inTurn === 'boolean' ? inTurn : await inTurn)) return this.#offend(BYE.OUT_OF_TURN)
      this.#pulse?.stir()
      if (this.#end !== undefined) return
      if (this.#receiving?.error !== undefined || this.#offering?.error !== undefined) return
      if (link.worn && !this.#stopping) this.stop()
      else if (frame.type !== 'stream') this.#progress() // an empty OFFER or a CANCEL may have been all that was missing
    }
  }

  async #sendSettings(): Promise<void> {
    const { inbox, instance, link, admission, hooks, pipe, passing } = this.#options
    const copies = await hooks.takesTurns()
    const maxMessage = admission.largest(this.contact)
    await link.send(settingsOf({ instance, receives: inbox !== undefined, maxMessage, copies, pipes: pipe !== undefined, passing: passing !== undefined }))
    this.#introduced = true
  }

  #begin(settings: Frame & { type: 'settings' }): void {
    const { link, contact, inbox, admission, hooks } = this.#options
    this.#cancelTimer()
    this.#watchPulse()
    this.#terms = termsOf(settings, this.#options.pipe !== undefined)
    const { maxMessage, large } = this.#terms
    this.#begun()
    hooks.learned({ instance: hex(settings.instance), takes: settings.maxMessage })
    if (inbox !== undefined) {
      this.#receiving = new Receiving({ inbox, link, contact, admission, delivered: (message) => hooks.received(message), progress: (...far) => hooks.arriving?.(...far) })
      this.#receiving.onProgress = () => this.#progress()
    }
    const offering = this.#offer()
    this.#demux = this.#demuxFor(offering)
    if (this.#told === '') this.tellPlace()
    if (this.#terms.passing) this.#seek()
    if (this.#stopping) return this.stop()
    offering.begin(maxMessage, large)
    this.#pulse?.stir()
    this.#progress() // all may have been said before
  }

  #offer(): Offering {
    if (this.#offering !== undefined) return this.#offering
    const { home, hash, link, contact, hooks } = this.#options
    this.#offering = new Offering({ home, hash, key: contact().key, link, hooks })
    this.#offering.onProgress = () => this.#progress()
    return this.#offering
  }

  #demuxFor(offering: Offering): Demux {
    const { hooks, passing, pipe } = this.#options
    return new Demux({
      meter: this.#meter,
      offering,
      receiving: this.#receiving,
      learned: (news) => hooks.learned(news),
      pipe: (frame) => pipe?.(frame, this) ?? false,
      seek: (items) => passing?.answer(items).forEach((token) => this.#say({ type: 'passed', token })),
      passed: (token) => passing?.accept(token),
      ping: (bytes) => this.#pong(bytes),
      pong: (bytes) => this.#echo.answered(bytes),
      bye: (code) => (this.#end = (code === BYE.RENEW && this.link.age > RENEW_MIN_MS) || this.link.worn ? 'worn' : 'done'),
    })
  }

  #seek(): void {
    const items = this.#options.passing?.seek() ?? []
    if (items.length > 0) this.#say({ type: 'seek', items })
  }

  /** Ends a one-shot that has nothing left, and a stopped session that has finished what was under way. */
  #progress(): void {
    if (this.link.reason !== undefined || this.#offering === undefined) return
    const offering = this.#offering
    const receiving = this.#receiving
    if (offering.error !== undefined || receiving?.error !== undefined) return this.link.close()
    if (this.#demux === undefined) return
    const nothingLeft = offering.finished && (receiving === undefined || (receiving.saidAll && !receiving.busy))
    if (nothingLeft) {
      this.#exhausted = true
      for (const resolve of this.#settled) resolve()
      this.#settled.clear()
    }
    const inHand = offering.sending || receiving?.inFlight === true
    const over = nothingLeft || (receiving === undefined && offering.needless) // who only sends settles without a link
    if (this.#stopping ? inHand : !(this.#options.oneShot && over)) return
    this.#end ??= this.link.worn ? 'worn' : 'done'
    this.#say({ type: 'bye', code: this.#end === 'worn' ? BYE.RENEW : BYE.DONE })
    this.link.close()
  }

  #offend(code: number): void {
    this.#end = 'offended'
    this.#say({ type: 'bye', code })
    this.link.close()
  }

  /** None while there is no room for it: who sends and does not read must not fill our memory. */
  #pong(bytes: Uint8Array): void {
    if (!this.link.full) this.#say({ type: 'pong', bytes })
  }

  /** Queues a frame whose loss matters to nobody. */
  #say(frame: Frame): void {
    this.link.send(frame).catch(() => undefined)
  }

  #watchPulse(): void {
    const { clock, random, oneShot } = this.#options
    this.#pulse = new Pulse({
      clock,
      carrier: this.link.carrier,
      ask: () => this.#say({ type: 'ping', bytes: random.bytes(8) }),
      announce: () => this.link.announce(),
      busy: () => this.#offering?.busy === true || this.#receiving?.inFlight === true,
      dead: () => this.abort(),
    })
    if (this.#replaced) this.#pulse.replace()
    if (oneShot) this.#idleTimer.start()
  }
}
