// A clock that a test moves while real sockets and files are at work: days pass in a second. Time stands still while
// something is under way: while a timer of up to GUARD_MS guards it (the end of a dial, of a greeting), and until
// `idle` says that whatever is at work has set the timer that it sets in the end.

import type { Clock } from '../lib/base/clock.ts'

/** Timers of at most so much guard real work; it gets so much real time before virtual time passes over it. */
const GUARD_MS = 10_000
const REAL_MS = 400

/** The listener looks so often whether this machine has moved, or slept: it does neither here. */
const WATCH_MS = 20_000

/** Real time until a test that never comes to rest fails. */
const REST_MS = 30_000

interface Timer {
  at: number
  ms: number
  run: () => void
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

export class VirtualClock implements Clock {
  /** ms since the test began. */
  time = 0
  /** Unix ms at time 0; may be set forth and back. */
  epoch = 1_800_000_000_000
  /** From the lengths of all timers (ms): whether time may go on. */
  idle: (lengths: number[]) => boolean = () => true
  readonly #timers = new Set<Timer>()

  now = (): number => this.epoch + this.time
  micros = (): bigint => BigInt(Math.round(this.now() * 1000))
  monotonic = (): number => this.time

  after(ms: number, run: () => void): () => void {
    const timer = { at: this.time + Math.max(0, ms), ms, run }
    if (ms !== WATCH_MS) this.#timers.add(timer)
    return () => this.#timers.delete(timer)
  }

  /** Lets `ms` pass, each timer at its time with all that follows from it. */
  async advance(ms: number): Promise<void> {
    const end = this.time + ms
    for (;;) {
      await this.#settle()
      const next = this.#first(end)
      if (next === undefined) break
      this.#timers.delete(next)
      this.time = Math.max(this.time, next.at)
      next.run()
    }
    this.time = end
  }

  #first(end: number): Timer | undefined {
    let first: Timer | undefined
    for (const timer of this.#timers) if (timer.at <= end && timer.at < (first?.at ?? Infinity)) first = timer
    return first
  }

  async #settle(): Promise<void> {
    for (let i = 0; i < 4; i++) await turn()
    const since = performance.now()
    while (performance.now() - since < REAL_MS && this.#lengths().some((ms) => ms <= GUARD_MS)) await pause(1)
    while (!this.idle(this.#lengths())) {
      if (performance.now() - since > REST_MS) throw new Error(`not idle at ${this.time} ms`)
      await pause(1)
    }
  }

  #lengths(): number[] {
    return [...this.#timers].map(({ ms }) => ms)
  }
}
