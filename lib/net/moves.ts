// When this machine has woken, or its addresses are others: what was open towards outside may not be any more, and what
// was told to contacts may be wrong. The system tells node neither, so one has to look; an idle machine is not woken for
// that alone more often than its openers and pings wake it anyway. Whoever has a reason to be awake looks then.

import { type Clock } from '../base/clock.ts'
import { localAddresses } from './interfaces.ts'

const LOOK_MS = 20_000 // without any reason; that of the openers and of the pings
const JUMP_MS = 5_000 // the wall clock ran on and ours did not: the machine slept, or the clock was set

export class Moves {
  readonly #clock: Clock
  readonly #onMove: () => void
  readonly #addresses: typeof localAddresses
  #before: string
  #drift: number
  #cancel = (): void => undefined
  #stopped = false

  /** Looks from now on, and calls `onMove` after each move. `addresses` is the door to the system. */
  constructor(clock: Clock, onMove: () => void, addresses = localAddresses) {
    this.#clock = clock
    this.#onMove = onMove
    this.#addresses = addresses
    ;[this.#before, this.#drift] = [this.#place(), this.#apart()]
    this.#wait()
  }

  #place(): string {
    return this.#addresses(1).map(({ host }) => host).sort().join(' ')
  }

  #apart(): number {
    return this.#clock.now() - this.#clock.monotonic()
  }

  /** Now, since somebody is awake; without a further look for a while. */
  look(): void {
    if (this.#stopped) return
    const [place, drift] = [this.#place(), this.#apart()]
    const moved = place !== this.#before || Math.abs(drift - this.#drift) > JUMP_MS
    ;[this.#before, this.#drift] = [place, drift]
    this.#wait()
    if (moved) this.#onMove()
  }

  #wait(): void {
    this.#cancel()
    this.#cancel = this.#clock.after(LOOK_MS, () => this.look(), true)
  }

  stop(): void {
    this.#stopped = true
    this.#cancel()
  }
}
