// What came of a stream and was not passed on yet. However small the pieces are in which it comes, few are kept and given
// out: each takes some hundred bytes beside its own, and nobody takes 120,000 in one call.

import { concat } from '../base/bytes.ts'

/** So many in a row of less than so many bytes become one. */
const RUN = 1024
const SMALL = 4096

export class Pieces {
  #parts: Uint8Array[] = []
  /** So many of the last ones are small. */
  #run = 0
  #size = 0

  /** Bytes. */
  get size(): number {
    return this.#size
  }

  /** `bytes` may not change any more. */
  push(bytes: Uint8Array): void {
    this.#parts.push(bytes)
    this.#size += bytes.length
    this.#run = bytes.length < SMALL ? this.#run + 1 : 0
    if (this.#run < RUN) return
    this.#parts.push(concat(...this.#parts.splice(-RUN)))
    this.#run = 0
  }

  /** All of it, in order. */
  take(): Uint8Array[] {
    const parts = this.#parts
    this.#parts = []
    this.#run = 0
    this.#size = 0
    return parts
  }
}
