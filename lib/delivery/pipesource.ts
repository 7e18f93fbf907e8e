// The outgoing half of a pipe, p2p-wire(7), PIPES: what the input gives, sent in order. Guarantee: no byte is forgotten
// before the other end has acknowledged it, and no more than WINDOW bytes are kept. The other end is trusted to say how
// much it has, not more: an acknowledgement of what was never read is nonsense, and its window counts up to WINDOW.

import { DATA_LARGE, DATA_MAX } from '../wire/frame.ts'

/** Bytes under way in one direction, and kept until they are acknowledged. */
export const WINDOW = 8 << 20

/** Bytes read at once, and passed on at once: what comes in one turn of the loop goes on together. */
export const BLOCK = 4 * DATA_LARGE

/** So far beyond what was sent no more is read: it would not be in the processor's cache any more by the time it is. */
const AHEAD = 2 * BLOCK

/** What is kept lies in a ring of whole blocks: it always has room for one beside all that may be under way. */
const RING = (Math.ceil(WINDOW / BLOCK) + 1) * BLOCK

const EMPTY = new Uint8Array(0)

export interface PipeSourceOptions {
  /** Reads into this buffer: how many bytes, 0 at the end. */
  input: (into: Uint8Array) => Promise<number>
  /** A session is there, and from where to send in it is known. */
  isReady: () => boolean
  /** Sends these bytes; the end behind so many. */
  stream: (offset: number, bytes: Uint8Array) => Promise<void>
  eof: (total: number) => Promise<void>
}

export class PipeSource {
  readonly #options: PipeSourceOptions
  /** The other side, and whoever sends for us, take frames of DATA_LARGE bytes. */
  large = false
  /** Read from the input and not acknowledged yet: the byte at an offset lies at its rest by RING. */
  #ring: Uint8Array = EMPTY
  /** Offsets: acknowledged, to be sent next, behind the last byte read, that the other side has room for. */
  #acked = 0
  #next = 0
  #read = 0
  #room = 0
  /** Set at the end of the input. */
  #total: number | undefined
  #saidEnd = false
  #endAcked = false
  #wakeSender: () => void = () => undefined
  #wakeReader: () => void = () => undefined
  #over = false

  constructor(options: PipeSourceOptions) {
    this.#options = options
  }

  /** Resolves after stop(), not before. Throws what input and sending throw. */
  async run(): Promise<void> {
    await Promise.all([this.#readAll(), this.#sendAll()])
  }

  stop(): void {
    this.#over = true
    this.#wakeSender()
    this.#wakeReader()
  }

  /** Offsets: acknowledged, behind the last byte read. */
  get acked(): number {
    return this.#acked
  }

  get read(): number {
    return this.#read
  }

  /** The other end has everything, and the end. */
  get done(): boolean {
    return this.#endAcked
  }

  /** Sends from this byte on: it is ready now, in whatever session. */
  begin(received: number): void {
    this.#next = Math.max(this.#acked, received)
    this.#saidEnd = false
    this.#wakeSender()
    this.#wakeReader()
  }

  /** What the other end has, and has room for. `old` if more is known already, `nonsense` if it cannot be. */
  credit(received: number, window: number): 'fresh' | 'old' | 'nonsense' {
    const end = this.#total === undefined ? this.#read : this.#total + 1 // the end counts as one byte more
    if (received > end) return 'nonsense'
    if (received < this.#acked) return 'old'
    this.#endAcked ||= this.#total !== undefined && received === end
    this.#acked = Math.min(received, this.#read)
    this.#room = received + Math.min(window, WINDOW)
    this.#wakeSender()
    this.#wakeReader()
    return 'fresh'
  }

  get #full(): boolean {
    return this.#read - this.#acked >= WINDOW || this.#read - this.#next >= AHEAD
  }

  async #readAll(): Promise<void> {
    for (;;) {
      while (!this.#over && this.#full) await new Promise<void>((resolve) => (this.#wakeReader = resolve))
      if (this.#over) return
      if (this.#ring.length === 0) this.#ring = Buffer.allocUnsafeSlow(RING) // memory of the machine only as it is filled
      const at = this.#read % RING
      const size = await this.#options.input(this.#ring.subarray(at, Math.min(at + BLOCK, RING)))
      if (this.#over) return
      if (size === 0) break
      this.#read += size
      this.#wakeSender()
    }
    this.#total = this.#read
    this.#wakeSender()
  }

  async #sendAll(): Promise<void> {
    const { isReady, stream, eof } = this.#options
    while (!this.#over) {
      const ready = isReady()
      const bytes = ready ? this.#nextBytes() : EMPTY
      if (bytes.length > 0) {
        const offset = this.#next
        this.#next += bytes.length
        this.#wakeReader()
        await stream(offset, bytes)
      } else if (ready && this.#next === this.#total && !this.#saidEnd) {
        this.#saidEnd = true
        await eof(this.#total)
      } else {
        await new Promise<void>((resolve) => (this.#wakeSender = resolve))
      }
    }
  }

  /**
   * From #next on, as far as there is room; empty if nothing is to be sent. They stay until they are acknowledged: what
   * is overwritten while it waits somewhere to be sent again was received already, and the other side leaves it out.
   */
  #nextBytes(): Uint8Array {
    const at = this.#next % RING
    const size = Math.min(this.#read - this.#next, this.#room - this.#next, RING - at)
    if (size <= 0) return EMPTY
    return this.#ring.subarray(at, at + (this.large && size >= DATA_LARGE ? DATA_LARGE : Math.min(size, DATA_MAX)))
  }
}
