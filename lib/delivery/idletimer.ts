// How long a session has been of no use: a command that called hangs up on a side that moves nothing, whatever else it
// sends. Only bytes of messages, counted on this side, and what waits for the own disk are use; nothing that the other
// side says of itself is.

import type { Clock } from '../base/clock.ts'
import { SETTLED } from './limits.ts'

/** A command that called does not wait longer for a side that moves nothing. */
const IDLE_MS = 60_000

/** Between two looks, at least. */
const LOOK_MS = 1000

export interface IdleTimerOptions {
  clock: Clock
  /** Bytes that were moved so far, either way. */
  moved: () => number
  /** Something of the other side waits for the own disk. */
  atDisk: () => boolean
  /** It was idle for IDLE_MS: called once. */
  idle: () => void
}

export class IdleTimer {
  readonly #options: IdleTimerOptions
  #lastUseful: number
  #moved = 0
  #cancel: () => void = () => undefined

  /** The time counts from here, whenever it is looked at first. */
  constructor(options: IdleTimerOptions) {
    this.#options = options
    this.#lastUseful = options.clock.monotonic()
  }

  start(): void {
    const { clock, idle } = this.#options
    const now = clock.monotonic()
    const moved = this.#options.moved()
    if (moved - this.#moved >= SETTLED || this.#options.atDisk()) {
      this.#moved = moved
      this.#lastUseful = now
    }
    const left = IDLE_MS - (now - this.#lastUseful)
    if (left <= 0) return idle()
    this.#cancel = clock.after(Math.max(left, LOOK_MS), () => this.start(), true)
  }

  stop(): void {
    this.#cancel()
  }
}
