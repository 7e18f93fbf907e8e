// Chunks as they come from the network, messages as they were sent: a length of two bytes, then that many. A message
// that came in one piece is given out as a view, any other is put together once. It trusts nobody and judges nothing.

/** Bytes in front of every transport message. */
export const LENGTH_SIZE = 2

const EMPTY = new Uint8Array(0)

export class Inflow {
  /** The chunk that came last, and how much of it is used up. */
  #chunk: Uint8Array = EMPTY
  #at = 0
  /** What came before it of a message that was not whole by then. */
  #begun: Uint8Array = EMPTY
  #fill = 0

  get empty(): boolean {
    return this.#size === 0
  }

  get #size(): number {
    return this.#fill + this.#chunk.length - this.#at
  }

  /** The length the next message says it has; undefined while that is not here. */
  get length(): number | undefined {
    if (this.#size < LENGTH_SIZE) return undefined
    return this.#byte(0) * 256 + this.#byte(1)
  }

  #byte(index: number): number {
    const byte = index < this.#fill ? this.#begun[index] : this.#chunk[this.#at + index - this.#fill]
    return byte as number
  }

  /** True if a whole message is here. */
  get complete(): boolean {
    const { length } = this
    return length !== undefined && this.#size >= LENGTH_SIZE + length
  }

  /** `chunk` is not copied; the one before may change from now on. */
  push(chunk: Uint8Array): void {
    this.#begin(this.#chunk.length - this.#at)
    this.#chunk = chunk
    this.#at = 0
  }

  /** The next message without its length; only while complete, and good until the next pull() or push(). */
  pull(): Uint8Array {
    const size = LENGTH_SIZE + (this.length ?? 0)
    if (this.#fill === 0) {
      this.#at += size
      return this.#chunk.subarray(this.#at - size + LENGTH_SIZE, this.#at)
    }
    this.#begin(size - this.#fill)
    this.#fill = 0
    return this.#begun.subarray(LENGTH_SIZE, size)
  }

  clear(): void {
    this.#chunk = EMPTY
    this.#at = 0
    this.#begun = EMPTY
    this.#fill = 0
  }

  /** Puts the next `size` bytes of the chunk behind what was begun. */
  #begin(size: number): void {
    if (size <= 0) return
    const fill = this.#fill + size
    if (this.#begun.length < fill) {
      const room = Buffer.allocUnsafeSlow(Math.max(fill, 2 * this.#begun.length))
      room.set(this.#begun.subarray(0, this.#fill))
      this.#begun = room
    }
    this.#begun.set(this.#chunk.subarray(this.#at, this.#at + size), this.#fill)
    this.#at += size
    this.#fill = fill
  }
}
