// Chunks as they come from the network, messages as they were sent: a length of two bytes, then that many. A message
// that came in one piece is given out as a view, any other is put together once. It trusts nobody and judges nothing.

/** Bytes in front of every transport message. */
export const LENGTH_SIZE = 2

const EMPTY = new Uint8Array(0)

export class Inflow {
  #chunks: Uint8Array[] = []
  #size = 0
  #at = 0 // bytes of the first chunk that are used up
  #whole: Uint8Array = EMPTY // where messages are put together that came in pieces

  get empty(): boolean {
    return this.#size === 0
  }

  /** The length the next message says it has; undefined while that is not here. */
  get length(): number | undefined {
    if (this.#size < LENGTH_SIZE) return undefined
    const [first = EMPTY, second = EMPTY] = this.#chunks
    const low = this.#at + 1 < first.length ? first[this.#at + 1] : second[0]
    return (first[this.#at] ?? 0) * 256 + (low ?? 0)
  }

  /** True if a whole message is here. */
  get complete(): boolean {
    const { length } = this
    return length !== undefined && this.#size >= LENGTH_SIZE + length
  }

  /** `chunk` is kept, not copied, and must have at least one byte. */
  push(chunk: Uint8Array): void {
    this.#chunks.push(chunk)
    this.#size += chunk.length
  }

  /** The next message without its length; only while complete, and good until the next pull(). */
  pull(): Uint8Array {
    const size = LENGTH_SIZE + (this.length ?? 0)
    return this.#take(size).subarray(LENGTH_SIZE)
  }

  clear(): void {
    this.#chunks = []
    this.#size = 0
    this.#at = 0
    this.#whole = EMPTY
  }

  #take(size: number): Uint8Array {
    const first = this.#chunks[0] ?? EMPTY
    if (this.#at + size <= first.length) {
      const view = first.subarray(this.#at, this.#at + size)
      this.#use(first, size)
      return view
    }
    if (this.#whole.length < size) this.#whole = Buffer.allocUnsafeSlow(size)
    const out = this.#whole.subarray(0, size)
    let filled = 0
    while (filled < size) {
      const chunk = this.#chunks[0] ?? EMPTY
      const part = chunk.subarray(this.#at, this.#at + size - filled)
      out.set(part, filled)
      filled += part.length
      this.#use(chunk, part.length)
    }
    return out
  }

  #use(chunk: Uint8Array, size: number): void {
    this.#size -= size
    this.#at += size
    if (this.#at < chunk.length) return
    this.#chunks.shift()
    this.#at = 0
  }
}
