// A large message on its way in: a directory part/KEY/ID.TAG that survives any crash and goes on from the byte where
// it stopped (p2p-spool(5), RECEIVER, R1 and R2). Only what `chunks` covers is trusted after a crash: after a power cut
// a file may have the right size and hold zeros. An fsync that failed is never tried again on the same bytes.

import { concat, equal, utf8 } from '../base/bytes.ts'
import { isCode, Malformed } from '../base/fail.ts'
import { CHUNK, type Head, rootOf } from '../wire/envelope.ts'
import { hasText } from '../wire/mail.ts'
import { Arrival, type ArrivalOptions, type Receipt } from './arrival.ts'
import { ChunkStream } from './chunkstream.ts'
import { readText, removeTree, replaceFile } from './durable.ts'
import type { FileHandle } from './filehandle.ts'
import { writeMail } from './maildir.ts'

/** Received bytes after which the message is made durable, with its chunk hashes. */
const CHECKPOINT = 16 * CHUNK

/** Bytes read at once when parts are read back. */
const BLOCK = 256 * 1024

const HASH_SIZE = 32

/** Call resume() before anything else. */
export class LargeArrival extends Arrival {
  /** The body, on its way to the part files. */
  #stream: ChunkStream
  /** Open part files by number. */
  #files = new Map<number, FileHandle>()
  /** Whole chunks whose hashes stand in `chunks`: on disk, durably. */
  #checked = 0
  /** The first chunk that a receiver found on disk beyond `chunks` when it came: it may be anything. */
  #doubtful: number | undefined
  /** That stands in `doubt`. */
  #doubtNoted = false
  #askedAgain = false
  /** Body bytes of the last checkpoint that was begun, and its end. */
  #begun = 0
  #checkpoint: Promise<void> = Promise.resolve()
  /** A write or fsync failed: the dirty pages may be marked clean, so what is not covered by `chunks` must go. */
  #broken = false

  constructor(options: ArrivalOptions) {
    super(options)
    this.#stream = this.#streamBehind([])
  }

  #at(name: string | number): string {
    return `${this.path}/${name}`
  }

  /** Picks up what an earlier receiver left in the directory, if it makes sense; else starts afresh. */
  async resume(): Promise<void> {
    const { files } = this.home
    if ((await files.stat(this.path)) === undefined) return
    try {
      this.head = this.checkHead(await files.read(this.#at('head')))
    } catch (error) {
      if (!(error instanceof Malformed) && !isCode(error, 'ENOENT')) throw error
      await removeTree(files, this.path)
      return
    }
    const body = await this.#contiguous(this.head)
    const hashes = await this.#hashes(Math.floor(body / CHUNK))
    this.#checked = hashes.length
    this.#stream = this.#streamBehind(hashes)
    const noted = await this.#readDoubt()
    this.#doubtNoted = noted !== undefined
    this.#doubtful = noted
    // Behind the last checkpoint the bytes may be anything; hash them now, the root decides at the end.
    for (let at = hashes.length * CHUNK; at < body; at += BLOCK) {
      await this.#stream.take(await this.#readBody(this.head, at, Math.min(BLOCK, body - at)), true)
    }
    if (body > hashes.length * CHUNK) this.#doubtful ??= hashes.length
    await this.#cut(this.head, body)
    this.#begun = this.#checked * CHUNK
    this.offset = this.head.bytes.length + body
  }

  /** Body bytes on disk from the start without a gap. */
  async #contiguous(head: Head): Promise<number> {
    let sum = 0
    for (const [index, part] of head.header.parts.entries()) {
      const size = (await this.home.files.stat(this.#at(index)))?.size ?? 0
      sum += Math.min(size, part.size)
      if (size < part.size) break
    }
    return sum
  }

  async #hashes(most: number): Promise<Uint8Array[]> {
    if ((await this.home.files.stat(this.#at('chunks'))) === undefined) return []
    const bytes = await this.home.files.read(this.#at('chunks'))
    const count = Math.min(most, Math.floor(bytes.length / HASH_SIZE))
    return Array.from({ length: count }, (_, i) => bytes.slice(i * HASH_SIZE, (i + 1) * HASH_SIZE))
  }

  async #readDoubt(): Promise<number | undefined> {
    const text = await readText(this.home.files, this.#at('doubt'))
    return text !== undefined && /^\d{1,15}\n$/.test(text) ? Number(text) : undefined
  }

  /** Before the hashes of such chunks come into `chunks`: they say what lies on disk, not what was received. */
  async #noteDoubt(): Promise<void> {
    if (this.#doubtful === undefined || this.#doubtNoted) return
    await replaceFile(this.home.files, this.home.random, this.#at('doubt'), utf8(`${this.#doubtful}\n`))
    this.#doubtNoted = true
  }

  protected override async begin(head: Head): Promise<void> {
    const { files } = this.home
    if (await files.mkdir(this.path)) {
      const handle = await files.open(this.#at('head'), 'create')
      try {
        await handle.write(head.bytes)
        await handle.sync()
      } finally {
        await handle.close()
      }
      await files.syncDir(this.path)
      await files.syncDir(this.home.at('part', this.key))
    }
  }

  override takesNow(bytes: Uint8Array): boolean {
    const now = this.head !== undefined && bytes.length < this.size - this.offset && this.#stream.takesNow(bytes)
    if (now) this.offset += bytes.length
    return now
  }

  protected override async take(bytes: Uint8Array): Promise<void> {
    await this.#orBroken(this.#stream.take(bytes))
    if (this.#stream.size - this.#begun >= CHECKPOINT) await this.#orBroken(this.#beginCheckpoint())
  }

  async #orBroken(work: Promise<void>): Promise<void> {
    try {
      await work
    } catch (error) {
      this.#broken = true
      throw error
    }
  }

  #streamBehind(hashes: Uint8Array[]): ChunkStream {
    return new ChunkStream(this.hash, hashes, this.size, (...piece) => this.#writeAt(this.head as Head, ...piece))
  }

  async #writeAt(head: Head, position: number, bytes: Uint8Array, behind: boolean): Promise<void> {
    let rest = bytes
    for (const { part, start, length } of spans(head, position, bytes.length)) {
      await (await this.#file(part)).write(rest.subarray(0, length), start, behind)
      rest = rest.subarray(length)
    }
  }

  async #file(part: number): Promise<FileHandle> {
    const open = this.#files.get(part)
    if (open !== undefined) return open
    const path = this.#at(part)
    const exists = (await this.home.files.stat(path)) !== undefined
    const handle = await this.home.files.open(path, exists ? 'update' : 'create')
    this.#files.set(part, handle)
    return handle
  }

  /** Resolves when the one before is done: this one goes on beside the stream. */
  async #beginCheckpoint(): Promise<void> {
    await this.#checkpoint
    this.#begun = this.#stream.size
    this.#checkpoint = this.#orBroken(this.#finishCheckpoint(this.#stream.hashes()))
    this.#checkpoint.catch(() => undefined) // whoever awaits it next is told
  }

  /** Data durable first, then the hashes that say so. */
  async #finishCheckpoint(written: Promise<Uint8Array[]>): Promise<void> {
    const hashes = (await written).slice(this.#checked)
    for (const handle of this.#files.values()) await handle.sync()
    if (hashes.length === 0) return
    await this.#noteDoubt()
    const path = this.#at('chunks')
    const exists = (await this.home.files.stat(path)) !== undefined
    const handle = await this.home.files.open(path, exists ? 'update' : 'create')
    try {
      await handle.write(concat(...hashes), this.#checked * HASH_SIZE)
      await handle.sync()
    } finally {
      await handle.close()
    }
    this.#checked += hashes.length
  }

  protected override async *content(head: Head, part: number): AsyncGenerator<Uint8Array> {
    const size = head.header.parts[part]?.size ?? 0
    if (size === 0) return
    const handle = await this.#file(part)
    for (let at = 0; at < size; at += BLOCK) yield await handle.read(at, Math.min(BLOCK, size - at))
  }

  async #readBody(head: Head, position: number, length: number): Promise<Uint8Array> {
    const out = new Uint8Array(length)
    let filled = 0
    for (const span of spans(head, position, length)) {
      out.set(await (await this.#file(span.part)).read(span.start, span.length), filled)
      filled += span.length
    }
    return out
  }

  async check(): Promise<'good' | 'again' | 'bad'> {
    const head = this.head as Head
    await this.#orBroken(this.#stream.flush())
    await this.#checkpoint
    if (equal(rootOf(this.hash, [...(await this.#stream.hashes()), ...this.#stream.tail()]), head.root)) return 'good'
    if (this.#askedAgain) return 'bad'
    this.#askedAgain = true
    const first = await this.#firstWrong(head)
    if (first === undefined) return 'bad'
    await this.#cut(head, first * CHUNK)
    await this.#stream.close()
    this.#stream = this.#streamBehind(await this.#hashes(first))
    this.#checked = first
    this.#doubtful = undefined
    this.#begun = first * CHUNK
    this.offset = head.bytes.length + first * CHUNK
    return 'again'
  }

  /** The first chunk whose bytes on disk are not what was received, or may not be. */
  async #firstWrong(head: Head): Promise<number | undefined> {
    const received = (await this.#hashes(this.#checked)).slice(0, this.#doubtful)
    for (const [index, hash] of received.entries()) {
      const actual = this.hash.hash(await this.#readBody(head, index * CHUNK, CHUNK))
      if (!equal(actual, hash)) return index
    }
    return this.#doubtful
  }

  /**
   * Shortens what is on disk to `body` bytes: the hashes first, durably, or a power cut could leave them beside other
   * bytes than those that they were made of.
   */
  async #cut(head: Head, body: number): Promise<void> {
    const { files } = this.home
    const chunks = this.#at('chunks')
    const kept = Math.floor(body / CHUNK) * HASH_SIZE
    if (((await files.stat(chunks))?.size ?? 0) > kept) {
      const handle = await files.open(chunks, 'update')
      try {
        await handle.truncate(kept)
        await handle.sync()
      } finally {
        await handle.close()
      }
    }
    let start = 0
    for (const [index, part] of head.header.parts.entries()) {
      const keep = Math.max(0, Math.min(part.size, body - start))
      if (((await files.stat(this.#at(index)))?.size ?? 0) > keep) await (await this.#file(index)).truncate(keep)
      start += part.size
    }
  }

  async prepare(receipt: Receipt): Promise<undefined> {
    const head = this.head as Head
    const { files } = this.home
    // All of them: those of an earlier process, and those without bytes, which were never written.
    for (const index of head.header.parts.keys()) await this.#orBroken((await this.#file(index)).sync())
    const text = hasText(head) ? await this.#readBody(head, 0, head.header.parts[0]?.size ?? 0) : undefined
    this.mail = this.mailOf(head, receipt, text)
    await files.unlink(this.#at('mail')) // a crash may have left one with another time of receipt
    await writeMail(files, this.#at('mail'), this.mail)
    await this.#close()
    await files.syncDir(this.path)
  }

  async suspend(): Promise<void> {
    const { head } = this
    try {
      if (head !== undefined && !this.#broken && !this.committed) await this.#orBroken(this.#keep())
    } finally {
      await this.#checkpoint.catch(() => undefined)
      if (head !== undefined && this.#broken && !this.committed) await this.#cut(head, this.#checked * CHUNK).catch(() => undefined)
      await this.#close()
    }
  }

  async #keep(): Promise<void> {
    await this.#stream.flush()
    await this.#beginCheckpoint()
    await this.#checkpoint
  }

  async discard(): Promise<void> {
    await this.#close()
    await removeTree(this.home.files, this.path)
  }

  async #close(): Promise<void> {
    await this.#stream.close() // it may be about to open another file
    await this.#checkpoint.catch(() => undefined)
    const open = [...this.#files.values()]
    this.#files.clear()
    for (const handle of open) await handle.close()
  }
}

interface Span {
  part: number
  /** Within the part. */
  start: number
  length: number
}

/** Which pieces of which parts make up `length` bytes of body from `position` on. */
function spans(head: Head, position: number, length: number): Span[] {
  const out: Span[] = []
  let begin = 0
  const end = position + length
  for (const [part, { size }] of head.header.parts.entries()) {
    const from = Math.max(position, begin)
    const to = Math.min(end, begin + size)
    if (to > from) out.push({ part, start: from - begin, length: to - from })
    begin += size
  }
  return out
}
