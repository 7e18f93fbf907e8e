// PINGs that somebody waits for, p2p-wire(7). Guarantee: only a PONG with the random bytes of this very PING counts as its
// answer; others are left alone, for the pulse of a session asks, too.

import { hex } from '../base/bytes.ts'
import type { Clock } from '../base/clock.ts'
import type { Random } from '../base/random.ts'

const BYTES = 8

export class Echo {
  readonly #clock: Clock
  readonly #random: Random
  /** By the bytes of the PING. */
  readonly #waiting = new Map<string, (alive: boolean) => void>()

  constructor(clock: Clock, random: Random) {
    this.#clock = clock
    this.#random = random
  }

  /** Milliseconds until the answer to a PING that is sent now; undefined if `over` resolved before. */
  async ask(ping: (bytes: Uint8Array) => void, over: Promise<unknown>): Promise<number | undefined> {
    const bytes = this.#random.bytes(BYTES)
    const asked = this.#clock.monotonic()
    const answered = new Promise<boolean>((resolve) => this.#waiting.set(hex(bytes), resolve))
    ping(bytes)
    const alive = await Promise.race([answered, over.then(() => false)])
    this.#waiting.delete(hex(bytes))
    return alive ? this.#clock.monotonic() - asked : undefined
  }

  /** A PONG has come. */
  answered(bytes: Uint8Array): void {
    this.#waiting.get(hex(bytes))?.(true)
  }
}
