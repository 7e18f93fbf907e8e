// What came in pieces as small as a packet and was not taken yet, as few large ones: whoever reads has one piece of some
// 64 KiB to look at, not fifty. It guarantees that what was taken stays as it is until the next is, and that bytes take
// hardly more memory than they are, in however small pieces they come, and those of large ones at most twice as much. It
// trusts its user to say when it is too much.

const BUFFER = 64 * 1024
const FIRST = 4096 // who gets little has little
const KEPT = 8
const MANY = BUFFER / 2 // these stay where they are

/** Buffers of all connections that nobody has any more. */
const free: Uint8Array[] = []

const EMPTY = new Uint8Array(0)

export class Gathered {
  /** Put back; their buffers may be in use. */
  #back: Uint8Array[] = []
  /** Older than the present buffer; those of them that lie in memory of others. */
  #full: Uint8Array[] = []
  readonly #foreign = new Set<Uint8Array>()
  /** The present one: taken up to #start, filled up to #fill. */
  #buffer: Uint8Array = EMPTY
  #start = 0
  #fill = 0
  /** The buffer whose last bytes the reader has. */
  #lent: Uint8Array | undefined
  #next = FIRST

  /** `bytes` are copied, unless they are many: then they must not change later. */
  push(bytes: Uint8Array): void {
    if (bytes.length >= MANY) return this.#keep(bytes)
    for (let at = 0; at < bytes.length; ) {
      if (this.#fill === this.#buffer.length) this.#begin()
      const size = Math.min(bytes.length - at, this.#buffer.length - this.#fill)
      this.#buffer.set(size === bytes.length ? bytes : bytes.subarray(at, at + size), this.#fill)
      this.#fill += size
      at += size
    }
  }

  /** What is in the present buffer before them is handed on with it if that is most of it, else as a copy. */
  #keep(bytes: Uint8Array): void {
    const waiting = this.#buffer.subarray(this.#start, this.#fill)
    if (waiting.length >= MANY) {
      this.#full.push(waiting)
      this.#buffer = EMPTY
      this.#fill = 0
    } else if (waiting.length > 0) {
      this.#full.push(new Uint8Array(waiting))
    }
    this.#start = this.#fill
    this.#full.push(bytes)
    this.#foreign.add(bytes)
  }

  #begin(): void {
    if (this.#fill > this.#start) this.#full.push(this.#buffer.subarray(this.#start))
    this.#buffer = (this.#next === BUFFER ? free.pop() : undefined) ?? Buffer.allocUnsafeSlow(this.#next)
    this.#start = 0
    this.#fill = 0
    this.#next = Math.min(2 * this.#next, BUFFER)
  }

  /** The oldest bytes; undefined if there are none. */
  take(): Uint8Array | undefined {
    const back = this.#back.pop()
    if (back !== undefined) return this.#lend(back, false)
    const old = this.#full.shift()
    if (old !== undefined) return this.#lend(old, !this.#foreign.delete(old))
    if (this.#fill === this.#start) return undefined
    const bytes = this.#buffer.subarray(this.#start, this.#fill)
    this.#start = this.#fill
    return this.#lend(bytes, this.#fill === this.#buffer.length)
  }

  #lend(bytes: Uint8Array, whole: boolean): Uint8Array {
    const { buffer } = this.#lent ?? EMPTY
    if (buffer.byteLength === BUFFER && free.length < KEPT) free.push(Buffer.from(buffer))
    this.#lent = whole ? bytes : undefined
    return bytes
  }

  /** Puts some of what was taken last back in front. */
  putBack(bytes: Uint8Array): void {
    this.#lent = undefined
    this.#back.push(bytes)
  }
}
