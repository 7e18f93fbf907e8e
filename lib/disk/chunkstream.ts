// A body on its way to the disk: cut into chunks of 1 MiB, each of which is written and hashed by other threads while
// the next comes in. Writes are done one after the other, so that what a crash leaves is a beginning. The buffers are
// used again.

import { CHUNK, type Hash } from '../wire/envelope.ts'

/** Chunks under way at once. */
const UNDER_WAY = 4

/** From so many bytes on a thread that only hashes saves more than it costs. */
const THREAD_FROM = 128 * CHUNK

export class ChunkStream {
  readonly #hash: Hash
  readonly #thread: ReturnType<NonNullable<Hash['hashThread']>> | undefined
  readonly #write: (position: number, bytes: Uint8Array) => Promise<void>
  /** Hashes of whole chunks; the last ones may still be missing. */
  readonly #hashes: Uint8Array[]
  /** Whole chunks taken in. */
  #count: number
  /** The chunk that comes in, and how much of it is here. */
  #chunk: Buffer = Buffer.alloc(0)
  #fill = 0
  readonly #free: Buffer[] = []
  #underWay = 0
  #writing: Promise<void> = Promise.resolve()
  #working: Promise<unknown> = Promise.resolve()
  #wake: (() => void)[] = []

  /**
   * Goes on behind chunks whose hashes are known, to a body of about `size` bytes. `write` puts bytes of it to their
   * place. To be closed.
   */
  constructor(hash: Hash, known: Uint8Array[], size: number, write: (position: number, bytes: Uint8Array) => Promise<void>) {
    this.#hash = hash
    if (size - known.length * CHUNK >= THREAD_FROM) this.#thread = hash.hashThread?.()
    this.#hashes = [...known]
    this.#count = known.length
    this.#write = write
  }

  /** Bytes of whole chunks. */
  get size(): number {
    return this.#count * CHUNK
  }

  /** Takes in the next bytes, copying them, if no chunk becomes whole by them; false: take() is to be called. */
  takesNow(bytes: Uint8Array): boolean {
    if (this.#chunk.length === 0 || this.#fill + bytes.length >= CHUNK) return false
    this.#put(bytes)
    return true
  }

  /** Takes in the next bytes, copying them. `stored`: they are on disk already. Rejects if an earlier write failed. */
  async take(bytes: Uint8Array, stored = false): Promise<void> {
    for (let rest = bytes; rest.length > 0; ) {
      if (this.#chunk.length === 0) this.#chunk = this.#free.pop() ?? this.#thread?.room(CHUNK) ?? Buffer.allocUnsafeSlow(CHUNK)
      const piece = rest.subarray(0, CHUNK - this.#fill)
      this.#put(piece)
      rest = rest.subarray(piece.length)
      if (this.#fill < CHUNK) continue
      if (this.#underWay >= UNDER_WAY) await this.#room()
      this.#handOn(stored)
    }
  }

  /** fill(), since set() is slow where two threads see the memory. */
  #put(piece: Uint8Array): void {
    this.#chunk.fill(piece, this.#fill, this.#fill + piece.length)
    this.#fill += piece.length
  }

  async #room(): Promise<void> {
    await Promise.race([this.#working, new Promise<void>((resolve) => this.#wake.push(resolve))])
  }

  #handOn(stored: boolean): void {
    const chunk = this.#chunk
    const index = this.#count++
    this.#chunk = Buffer.alloc(0)
    this.#fill = 0
    this.#underWay++
    const apart = this.#thread?.hash(chunk) ?? this.#hash.hashApart?.(chunk)
    const hashing = apart ?? Promise.resolve(this.#hash.hash(chunk))
    const done = Promise.all([hashing, stored ? undefined : this.#writeAfter(index * CHUNK, chunk)]).then(([hash]) => {
      this.#hashes[index] = hash
      this.#underWay--
      this.#free.push(chunk)
      for (const wake of this.#wake.splice(0)) wake()
    })
    this.#working = Promise.all([this.#working, done])
    this.#working.catch(() => undefined) // whoever awaits it next is told
  }

  #writeAfter(position: number, bytes: Uint8Array): Promise<void> {
    this.#writing = this.#writing.then(() => this.#write(position, bytes))
    return this.#writing
  }

  /** Hands on what is here of a chunk, too, and resolves when all is written. It may be called again. */
  async flush(): Promise<void> {
    if (this.#fill > 0) await this.#writeAfter(this.size, this.#chunk.subarray(0, this.#fill))
    await this.#working
  }

  /** The hashes of all whole chunks taken in by now, once they are written. */
  async hashes(): Promise<Uint8Array[]> {
    const count = this.#count
    await this.#working
    return this.#hashes.slice(0, count)
  }

  /** The hash of what is here of a chunk that is not whole, if anything. */
  tail(): Uint8Array[] {
    return this.#fill === 0 ? [] : [this.#hash.hash(this.#chunk.subarray(0, this.#fill))]
  }

  /** Resolves when nothing is under way, whatever became of it. Twice is fine. */
  async close(): Promise<void> {
    await Promise.allSettled([this.#working, this.#writing])
    this.#thread?.close()
  }
}
