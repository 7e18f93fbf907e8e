// The incoming half of a pipe, p2p-wire(7), PIPES: what the other end sends, passed on in order. Guarantee: no byte is
// passed on twice, none is acknowledged before the output has taken it, nor the end before the output knows of it. The
// other end is not trusted: bytes beyond the window, or behind its own end, are nonsense.

import type { Clock } from '../base/clock.ts'
import { discard } from '../base/garbage.ts'
import { Pieces } from './pieces.ts'
import { BLOCK, WINDOW } from './pipesource.ts'

/** Bytes passed on before that is said; a little later when they are fewer. */
const CREDIT_EVERY = WINDOW / 8
const CREDIT_MS = 20

export interface PipeSinkOptions {
  clock: Clock
  /** Passes bytes on, one part behind the other; resolves when they are. True: and nobody looks at the parts any more. */
  output: (parts: Uint8Array[]) => Promise<boolean | void>
  /** Nothing more will be passed on: the other side has ended. */
  outputEnd: (() => Promise<void>) | undefined
  /** A session is there in which credit may be said. */
  isReady: () => boolean
  /** Says that so much was passed on, and that so much more may come. */
  credit: (received: number, window: number) => void
  /** The end was passed on, and that said if there is a session. */
  ended: () => void
  /** The output failed. */
  fail: (error: unknown) => void
}

export class PipeSink {
  readonly #options: PipeSinkOptions
  #received = 0
  #passedOn = 0
  #credited = 0
  #total: number | undefined
  #endPassedOn = false
  #endSaid = false
  /** Received, not handed to the output yet. */
  readonly #pending = new Pieces()
  #passing = false
  #scheduled = false
  /** Their end came (again): it is to be answered behind what came before. */
  #answer = false
  #cancelCredit: (() => void) | undefined
  #over = false

  constructor(options: PipeSinkOptions) {
    this.#options = options
  }

  stop(): void {
    this.#over = true
    this.#cancelCredit?.()
  }

  /** Bytes that have come. */
  get received(): number {
    return this.#received
  }

  /** Everything was passed on, and the end, and the other end told so while there was a session. */
  get done(): boolean {
    return this.#endSaid
  }

  /** False for nonsense. */
  stream(offset: number, bytes: Uint8Array): boolean {
    const end = offset + bytes.length
    if (offset > this.#received) return true // left over from a session that broke: it comes again
    if (end > this.#passedOn + 2 * WINDOW || (this.#total ?? end) < end) return false
    if (end <= this.#received) return true
    const fresh = bytes.subarray(this.#received - offset)
    this.#received = end
    this.#pending.push(fresh)
    this.#pass()
    return true
  }

  /** False for nonsense. */
  eof(total: number): boolean {
    if (total > this.#received) return true // as above
    if (total < this.#received || (this.#total ?? total) !== total) return false
    this.#total = total
    this.#answer = true
    this.#pass()
    return true
  }

  /** The end counts as one byte more. */
  sayCredit(): void {
    this.#cancelCredit?.()
    this.#cancelCredit = undefined
    if (this.#over || !this.#options.isReady()) return
    this.#credited = this.#passedOn
    this.#options.credit(this.#passedOn + (this.#endPassedOn ? 1 : 0), WINDOW)
    this.#endSaid ||= this.#endPassedOn
  }

  /** At once if there is much; else when what is here of the other side has been looked at. */
  #pass(): void {
    if (this.#passing) return
    if (this.#pending.size >= BLOCK) return this.#passAll()
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      if (!this.#passing) this.#passAll()
    })
  }

  #passAll(): void {
    this.#passing = true
    this.#passPending()
      .catch((error: unknown) => this.#options.fail(error))
      .finally(() => {
        this.#passing = false
        if (!this.#over && (this.#pending.size > 0 || this.#answer)) this.#pass()
      })
  }

  async #passPending(): Promise<void> {
    while (this.#pending.size > 0 && !this.#over) {
      const { size } = this.#pending
      const parts = this.#pending.take()
      if ((await this.#options.output(parts)) === true) for (const part of parts) discard(part)
      this.#passedOn += size
      this.#owe()
    }
    if (!this.#answer || this.#over) return
    this.#answer = false
    if (!this.#endPassedOn) await this.#options.outputEnd?.()
    this.#endPassedOn = true
    this.sayCredit()
    this.#options.ended()
  }

  /** What was passed on is to be said, now or soon. */
  #owe(): void {
    if (this.#passedOn - this.#credited >= CREDIT_EVERY) this.sayCredit()
    else this.#cancelCredit ??= this.#options.clock.after(CREDIT_MS, () => this.sayCredit())
  }
}
