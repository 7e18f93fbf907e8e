// Whether the other side of a session still lives: after so much silence it is asked, after more of it counts as dead.
// Over UDP the asking also keeps the NATs between open, and shows the other side where this one is now.

import type { Clock } from '../base/clock.ts'
import type { Link } from '../net/link.ts'

/** Milliseconds of silence: p2p-wire(7), SESSION. */
interface Rhythm {
  /** The other side is asked after these. */
  readonly asks: readonly number[]
  readonly dead: number
  /** So often it is looked, while something is under way, whether nothing is said to it. */
  readonly look: number
  /** It may be asked so much earlier, at a multiple of this: to wake once for many sessions costs little more than for one. */
  readonly grain: number
}

const RHYTHMS: Readonly<Record<Link['carrier'], Rhythm>> = {
  tcp: { asks: [25_000], dead: 55_000, look: Infinity, grain: 5_000 },
  udp: { asks: [20_000, 23_000, 26_000], dead: 50_000, look: 3_000, grain: 0 }, // NATs forget after 30 s
}

/** Beside a newer session, which may wait for the very message that this one has in hand. */
const REPLACED = { asks: [1000], dead: 5000, grain: 0 }

/** A side that was asked since this one has moved must answer by then. */
const PROBE_MS = 10_000

export interface PulseOptions {
  clock: Clock
  carrier: Link['carrier']
  /** Asks for an answer. */
  ask: () => void
  /** Shows the other side where this one is. */
  announce: () => void
  /** Something is under way: a sign of life must come by itself. */
  busy: () => boolean
  dead: () => void
}

export class Pulse {
  readonly #options: PulseOptions
  #rhythm: Rhythm
  #heard: number
  #asked = 0
  #probed: number | undefined
  #stopped = false
  /** The next look is no later than that of something under way. */
  #alert = false
  #cancel = (): void => undefined

  constructor(options: PulseOptions) {
    this.#options = options
    this.#rhythm = RHYTHMS[options.carrier]
    this.#heard = options.clock.monotonic()
    this.#wait(0)
  }

  /** The other side has said something. */
  heard(): void {
    this.#heard = this.#options.clock.monotonic()
    this.#asked = 0
    this.#probed = undefined
  }

  /** Something may have got under way: from then on it is looked more often, as long as that lasts. */
  stir(): void {
    if (!this.#alert && this.#rhythm.look < Infinity && this.#options.busy()) this.#wait(this.#silent)
  }

  /** This side has moved or slept: the other one is asked now. */
  probe(): void {
    this.#probed = this.#options.clock.monotonic()
    this.#ask()
    this.#look()
  }

  /** A newer session is there: this one has little time to show that it lives. */
  replace(): void {
    this.#rhythm = { ...this.#rhythm, ...REPLACED }
    this.heard()
    this.#wait(0)
  }

  stop(): void {
    this.#stopped = true
    this.#cancel()
  }

  #ask(): void {
    this.#options.announce()
    this.#options.ask()
  }

  get #silent(): number {
    return this.#options.clock.monotonic() - this.#heard
  }

  #look(): void {
    const { clock, dead, busy, announce } = this.#options
    const { asks, look, grain } = this.#rhythm
    const now = clock.monotonic()
    const silent = this.#silent
    const probed = this.#probed !== undefined && now - this.#probed >= PROBE_MS
    if (silent >= this.#rhythm.dead || probed) return dead()
    const due = asks.filter((ms) => ms - grain <= silent).length
    if (due > this.#asked) this.#ask()
    else if (silent >= look && busy()) announce()
    this.#asked = due
    this.#wait(silent)
  }

  /** Until the next moment at which something may be due. */
  #wait(silent: number): void {
    const { asks, dead, look, grain } = this.#rhythm
    const now = this.#options.clock.monotonic()
    const ask = asks.find((ms) => ms - grain > silent)
    const next = (ask ?? dead) - silent
    const early = grain === 0 || next <= grain ? 0 : (now + next) % grain
    const probe = this.#probed === undefined ? Infinity : this.#probed + PROBE_MS - now
    this.#cancel()
    if (this.#stopped) return
    this.#alert = look < Infinity && this.#options.busy()
    const wait = Math.min(next - early, this.#alert ? look : Infinity, probe)
    this.#cancel = this.#options.clock.after(Math.max(wait, 100), () => this.#look(), true)
  }
}
