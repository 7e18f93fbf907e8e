// A body on its way to the disk: cut into chunks of 1 MiB, each of which is written and hashed by other threads while
// the next comes in. Writes are done one after the other, so that what a crash leaves is a beginning; what came in
// during one is the next one, since a disk is not idle between chunks then. The memory is used again.

import { CHUNK, type Hash } from '../wire/envelope.ts'

/** Chunks in memory: the one that comes in and those under way. */
const SLOTS = 8

/** Chunks written at once, so that the others have room meanwhile. */
const AT_ONCE = 2

/** The disk falls behind as long as of so many chunks one finds no room, since what lies there is not written yet. */
const BEHIND = 8

/** So far behind it is from then on, for this body: a delay now and then is none. */
const LAG_MAX = 8 * BEHIND

/** From so many bytes on a thread that only hashes saves more than it costs. */
const THREAD_FROM = 128 * CHUNK

/** Puts bytes of the body to their place. `behind`: the disk does not keep up with what comes in. */
export type ChunkWriter = (position: number, bytes: Uint8Array, behind: boolean) => Promise<void>

/** One write of chunks that lie side by side. */
interface Batch {
  first: number
  chunks: number
  begun: boolean
  written: Promise<void>
}

export class ChunkStream {
  readonly #hash: Hash
  readonly #thread: ReturnType<NonNullable<Hash['hashThread']>> | undefined
  readonly #write: ChunkWriter
  /** Hashes of whole chunks; the last ones may still be missing. */
  readonly #hashes: Uint8Array[]
  /** Whole chunks taken in. */
  #count: number
  /** How much is here of the chunk that comes in. */
  #fill = 0
  /** Chunks on disk. */
  #written: number
  /** BEHIND for each chunk that had to wait for the disk, less one for each other, but never below 0. */
  #lag = 0
  readonly #slots: number
  /** Each chunk lies in the slot of its number, modulo their count. */
  #memory: Buffer | undefined
  /** What becomes of the chunks in the slots. */
  readonly #underWay: Promise<void>[] = []
  #batch: Batch | undefined
  #writing: Promise<void> = Promise.resolve()
  #working: Promise<unknown> = Promise.resolve()

  /**
   * Goes on behind chunks whose hashes are known, to a body of about `size` bytes. To be closed.
   */
  constructor(hash: Hash, known: Uint8Array[], size: number, write: ChunkWriter) {
    this.#hash = hash
    const left = size - known.length * CHUNK
    if (left >= THREAD_FROM) this.#thread = hash.hashThread?.()
    this.#slots = Math.max(1, Math.min(SLOTS, Math.ceil(left / CHUNK)))
    this.#hashes = [...known]
    this.#count = known.length
    this.#written = known.length
    this.#write = write
  }

  /** Bytes of whole chunks. */
  get size(): number {
    return this.#count * CHUNK
  }

  get #behind(): boolean {
    return this.#lag >= LAG_MAX
  }

  /** Where `size` bytes are from the beginning of the chunk of this number on. */
  #room(index: number, size: number): Buffer {
    this.#memory ??= this.#thread?.room(this.#slots * CHUNK) ?? Buffer.allocUnsafeSlow(this.#slots * CHUNK)
    const start = (index % this.#slots) * CHUNK
    return this.#memory.subarray(start, start + size)
  }

  /** What is here of the chunk that comes in. */
  get #begun(): Buffer {
    return this.#room(this.#count, this.#fill)
  }

  /** Takes in the next bytes, copying them, if no chunk begins or becomes whole by them; false: take() is to be called. */
  takesNow(bytes: Uint8Array): boolean {
    if (this.#fill === 0 || this.#fill + bytes.length >= CHUNK) return false
    this.#put(bytes)
    return true
  }

  /** Takes in the next bytes, copying them. `stored`: they are on disk already. Rejects if an earlier write failed. */
  async take(bytes: Uint8Array, stored = false): Promise<void> {
    for (let rest = bytes; rest.length > 0; ) {
      if (this.#fill === 0) {
        const waits = this.#count - this.#slots >= this.#written
        if (this.#lag < LAG_MAX) this.#lag = Math.max(0, this.#lag + (waits ? BEHIND : -1))
        await this.#underWay[this.#count % this.#slots]
      }
      const piece = rest.subarray(0, CHUNK - this.#fill)
      this.#put(piece)
      rest = rest.subarray(piece.length)
      if (this.#fill === CHUNK) this.#handOn(stored)
    }
  }

  /** fill(), since set() is slow where two threads see the memory. */
  #put(piece: Uint8Array): void {
    this.#room(this.#count, CHUNK).fill(piece, this.#fill, this.#fill + piece.length)
    this.#fill += piece.length
  }

  #handOn(stored: boolean): void {
    const index = this.#count++
    if (stored) this.#written++
    const chunk = this.#room(index, CHUNK)
    this.#fill = 0
    const hashing = this.#thread?.hash(chunk) ?? this.#hash.hashApart?.(chunk) ?? Promise.resolve(this.#hash.hash(chunk))
    const done = Promise.all([hashing, stored ? undefined : this.#writeChunk(index)]).then(([hash]) => {
      this.#hashes[index] = hash
    })
    this.#underWay[index % this.#slots] = done
    this.#working = Promise.all([this.#working, done])
    this.#working.catch(() => undefined) // whoever awaits it next is told
  }

  #writeChunk(index: number): Promise<void> {
    const last = this.#batch
    if (last !== undefined && !last.begun && last.chunks < AT_ONCE && index % this.#slots !== 0) {
      last.chunks++
      return last.written
    }
    const batch: Batch = { first: index, chunks: 1, begun: false, written: Promise.resolve() }
    batch.written = this.#writing.then(async () => {
      batch.begun = true
      await this.#write(batch.first * CHUNK, this.#room(batch.first, batch.chunks * CHUNK), this.#behind)
      this.#written += batch.chunks
    })
    this.#batch = batch
    this.#writing = batch.written
    return batch.written
  }

  /** Hands on what is here of a chunk, too, and resolves when all is written. It may be called again. */
  async flush(): Promise<void> {
    if (this.#fill > 0) {
      this.#batch = undefined
      this.#writing = this.#writing.then(() => this.#write(this.size, this.#begun, this.#behind))
      await this.#writing
    }
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
    return this.#fill === 0 ? [] : [this.#hash.hash(this.#begun)]
  }

  /** Resolves when nothing is under way, whatever became of it. Twice is fine. */
  async close(): Promise<void> {
    await Promise.allSettled([this.#working, this.#writing])
    this.#thread?.close()
  }
}
