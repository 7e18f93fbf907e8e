// What one session may have on its way at once, p2p-wire(7), LIMITS: large messages by number, small ones by number and
// bytes; and when others are asked for. It counts what it is told and trusts its caller to tell all.

export const LARGE_OPEN = 4
const SMALL_OPEN = 256
const SMALL_BYTES = 1 << 20
/** Messages up to this many bytes are small. */
export const SMALL = 64 * 1024

/** Bytes of small messages in memory: those on their way, and those that are here and wait for the disk. */
const HELD_BYTES = 4 * SMALL_BYTES

export class Window {
  /** Small ones on their way, and their bytes. */
  #small = 0
  #bytes = 0
  /** Bytes of the small ones that are here as a whole. */
  #here = 0
  #large = 0
  /** Others are asked for when half of what was on its way is here; less than any number while that is being done. */
  #askAt = 0

  hasRoom(size: number): boolean {
    if (size > SMALL) return this.#large < LARGE_OPEN
    if (this.#small === 0 && this.#here === 0) return true
    const coming = this.#bytes + size
    return this.#small < SMALL_OPEN && coming <= SMALL_BYTES && this.#here + coming <= HELD_BYTES
  }

  /** A message is on its way. */
  open(size: number): void {
    this.#count(size, 1)
  }

  /** It is no longer; `here`: arrive() was called for it. */
  close(size: number, here: boolean): void {
    if (here) this.#here -= size
    else this.#count(size, -1)
  }

  /** A small one is whole. True if it is time to ask for others. */
  arrive(size: number): boolean {
    this.#count(size, -1)
    this.#here += size
    return this.#small <= this.#askAt
  }

  /** From here on until asked() nobody else needs to ask. */
  asking(): void {
    this.#askAt = -1
  }

  asked(): void {
    this.#askAt = this.#small >> 1
  }

  #count(size: number, by: 1 | -1): void {
    if (size > SMALL) {
      this.#large += by
    } else {
      this.#small += by
      this.#bytes += by * size
    }
  }
}
