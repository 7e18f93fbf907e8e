// Frames on their way out: sealed one by one, with their lengths in front, and handed on in few large pieces. Full DATA
// frames are sealed straight into slabs, which are used again once the system has taken what was in them; nothing is
// held while nothing is sent, but one for all. It trusts its caller to give a slab back only then.

import { type CipherState, TAG_LENGTH } from '../crypto/noisestate.ts'
import { LENGTH_SIZE } from './inflow.ts'

const LARGE = LENGTH_SIZE + 65_323 + TAG_LENGTH // a large DATA frame
const COMMON = LENGTH_SIZE + 32_811 + TAG_LENGTH

/**
 * Bytes handed on in one write: of TCP, of which the system takes megabytes at once, eight large DATA frames; else half
 * as many, since what overtakes them waits for two such writes. Or twice as many of the common size.
 */
export const BATCH = { tcp: 8 * LARGE, udp: 4 * LARGE }

/** As many as BATCH.tcp. */
const SLAB = 16 * COMMON

const SMALL = 4096 // messages below this are gathered into one buffer: a copy is cheaper than a vector entry

const EMPTY = new Uint8Array(0)

/**
 * A slab of whoever had sent everything last, for whoever sends next: memory fresh from the system for each batch takes
 * a tenth of all time of sending.
 */
let spare: Uint8Array | undefined

export interface Batch {
  parts: Uint8Array[]
  /** To be called when the parts may change. */
  sent: () => void
}

export class Outflow {
  readonly #cipher: CipherState
  #parts: Uint8Array[] = []
  #size = 0
  /** The slab that is being filled, up to `#fill`; the view of it that the last part is. */
  #slab: Uint8Array = EMPTY
  #fill = 0
  #view: Uint8Array = EMPTY
  /** Slabs of this batch; those that are free; batches that are under way. */
  #slabs: Uint8Array[] = []
  #free: Uint8Array[] = []
  #underWay = 0

  constructor(cipher: CipherState) {
    this.#cipher = cipher
  }

  /** Bytes that wait to be taken. */
  get size(): number {
    return this.#size
  }

  /** Seals one message behind those that wait. `plaintext` may change afterwards. */
  push(plaintext: Uint8Array): void {
    const size = LENGTH_SIZE + plaintext.length + TAG_LENGTH
    if (size < SMALL) {
      const sealed = this.#cipher.encryptWithAd(EMPTY, plaintext)
      this.#parts.push(lengthOf(sealed.length), sealed)
    } else {
      const place = this.#place(size)
      place.set(lengthOf(size - LENGTH_SIZE))
      this.#cipher.encryptWithAd(EMPTY, plaintext, place.subarray(LENGTH_SIZE))
      this.#extend(size)
    }
    this.#size += size
  }

  #place(size: number): Uint8Array {
    if (this.#slab.length - this.#fill < size) {
      this.#slab = this.#free.pop() ?? spare ?? Buffer.allocUnsafeSlow(SLAB)
      if (this.#slab === spare) spare = undefined
      this.#fill = 0
      this.#view = EMPTY
      this.#slabs.push(this.#slab)
    }
    return this.#slab.subarray(this.#fill, this.#fill + size)
  }

  /** Neighbours in a slab are one part. */
  #extend(size: number): void {
    const joins = this.#view.length > 0 && this.#parts.at(-1) === this.#view
    const start = joins ? this.#fill - this.#view.length : this.#fill
    if (joins) this.#parts.pop()
    this.#fill += size
    this.#view = this.#slab.subarray(start, this.#fill)
    this.#parts.push(this.#view)
  }

  /** All that waits, to be written in one go. */
  take(): Batch {
    const parts = gather(this.#parts)
    const slabs = this.#slabs
    this.clear()
    this.#underWay++
    const sent = (): void => {
      this.#underWay--
      this.#free.push(...slabs)
      if (this.#underWay > 0 || this.#size > 0) return
      spare = this.#free.pop() ?? spare
      this.#free = []
    }
    return { parts, sent }
  }

  /** Forgets what waits. */
  clear(): void {
    this.#parts = []
    this.#size = 0
    this.#slab = EMPTY
    this.#fill = 0
    this.#view = EMPTY
    this.#slabs = []
  }
}

function lengthOf(size: number): Uint8Array {
  return Uint8Array.of(size >> 8, size & 0xff)
}

/** The same bytes in fewer parts: runs of small ones become one. */
function gather(parts: Uint8Array[]): Uint8Array[] {
  const out: Uint8Array[] = []
  let run: Uint8Array[] = []
  const finishRun = (): void => {
    if (run.length > 1) out.push(Buffer.concat(run))
    else out.push(...run)
    run = []
  }
  for (const part of parts) {
    if (part.length < SMALL) {
      run.push(part)
    } else {
      finishRun()
      out.push(part)
    }
  }
  finishRun()
  return out
}
