// One message on its way in: p2p-spool(5), RECEIVER, states R0 to R2. A small envelope is gathered in memory and
// reaches the disk as finished mail; a large one is a directory part/KEY/ID.TAG that survives any crash and goes on
// from the byte where it stopped. TAG names the receiver that works on it. Nothing is believed before the root of the
// chunk hashes is right: after a power cut a file may have the right size and hold zeros.

import { concat, equal } from '../base/bytes.ts'
import { isCode, Malformed } from '../base/fail.ts'
import {
  CHUNK,
  ChunkHasher,
  decodeHead,
  type Hash,
  HEAD_MAX,
  headLength,
  type Head,
  INLINE_MAX,
} from '../wire/envelope.ts'
import { hasText, mailFromHead, type MailContext, type MailFields } from '../wire/mail.ts'
import { removeTree } from './durable.ts'
import type { FileHandle } from './files.ts'
import type { Home } from './home.ts'
import { writeMail } from './maildir.ts'

/** Envelopes up to this size are gathered in memory. */
export const SMALL_MAX = INLINE_MAX + HEAD_MAX

/** Received bytes after which a large message is made durable, with its chunk hashes. */
const CHECKPOINT = 16 * CHUNK

/** Bytes read at once when parts are read back. */
const BLOCK = 256 * 1024

const HASH_SIZE = 32

export interface ArrivalOptions {
  home: Home
  hash: Hash
  /** The sender: KEY and the bytes of it. */
  key: string
  from: Uint8Array
  to: Uint8Array
  id: string
  /** Envelope bytes, as offered. */
  size: number
  tag: string
}

/** What the mail says beyond the envelope: names, time of receipt, verified. */
export type Receipt = Omit<MailContext, 'text' | 'content' | 'external' | 'other'>

/** Feed it with write() from `offset` on until it is `full`, then check(), then prepare(). */
export abstract class Arrival {
  readonly key: string
  readonly id: string
  readonly size: number
  readonly tag: string
  /** Known once its bytes are here. */
  head: Head | undefined
  /** Its record is, or may be, in the log: suspend() leaves on disk what there is. */
  committed = false
  /** The finished mail; set by prepare(). */
  mail: MailFields | undefined
  /** Envelope bytes held so far: what WANT asks from. */
  offset = 0

  protected readonly home: Home
  protected readonly hash: Hash
  readonly #from: Uint8Array
  readonly #to: Uint8Array
  #start: Uint8Array = new Uint8Array(0) // bytes of a head that is not whole yet

  constructor(options: ArrivalOptions) {
    this.key = options.key
    this.id = options.id
    this.size = options.size
    this.tag = options.tag
    this.home = options.home
    this.hash = options.hash
    this.#from = options.from
    this.#to = options.to
  }

  get full(): boolean {
    return this.offset === this.size
  }

  /** Where it lies in part/: a file (small) or a directory (large). */
  get path(): string {
    return this.home.at('part', this.key, `${this.id}.${this.tag}`)
  }

  /** The next bytes of the envelope. Throws Malformed if they cannot belong to this id, sender and receiver. */
  async write(bytes: Uint8Array): Promise<void> {
    if (bytes.length > this.size - this.offset) throw new Malformed('more bytes than offered')
    let rest = bytes
    if (this.head === undefined) {
      const held = new Uint8Array(this.#start.length + rest.length)
      held.set(this.#start)
      held.set(rest, this.#start.length)
      const length = headLength(held)
      if (length === undefined || held.length < length) {
        this.#start = held
        this.offset += rest.length
        return
      }
      const head = this.checkHead(held.slice(0, length))
      rest = rest.subarray(rest.length - (held.length - length))
      this.#start = new Uint8Array(0)
      this.offset = length
      this.head = head
      await this.begin(head)
    }
    if (rest.length === 0) return
    await this.take(rest)
    this.offset += rest.length
  }

  protected checkHead(bytes: Uint8Array): Head {
    const head = decodeHead(bytes, this.hash)
    if (head.id !== this.id) throw new Malformed('the head does not match the id')
    if (!equal(head.from, this.#from)) throw new Malformed('sent by somebody else')
    if (!equal(head.to, this.#to)) throw new Malformed('meant for somebody else')
    if (bytes.length + head.bodySize !== this.size) throw new Malformed('the size does not match the head')
    return head
  }

  protected mailOf(head: Head, receipt: Receipt, text: Uint8Array | undefined): MailFields {
    return mailFromHead(head, {
      ...receipt,
      other: this.key,
      text,
      content: (part) => this.content(head, part),
    })
  }

  /** The head is here and right. */
  protected abstract begin(head: Head): Promise<void>
  /** Body bytes, in order. */
  protected abstract take(bytes: Uint8Array): Promise<void>
  /** The bytes of one part. */
  protected abstract content(head: Head, part: number): AsyncIterable<Uint8Array>

  /** Whether the body is what the id vouches for. If not, `offset` says what to ask again from; 'bad' for good. */
  abstract check(): Promise<'good' | 'again' | 'bad'>
  /** R2: the mail and everything it refers to are on disk, fsynced; the entry in part/KEY is not (see Inbox.commit). */
  abstract prepare(receipt: Receipt): Promise<void>
  /** The link is gone: keeps what can be gone on from. */
  abstract suspend(): Promise<void>
  /** Forgets everything. */
  abstract discard(): Promise<void>
}

class SmallArrival extends Arrival {
  #body: Uint8Array = new Uint8Array(0)
  #fill = 0

  protected override async begin(head: Head): Promise<void> {
    this.#body = new Uint8Array(head.bodySize)
  }

  protected override async take(bytes: Uint8Array): Promise<void> {
    this.#body.set(bytes, this.#fill)
    this.#fill += bytes.length
  }

  protected override async *content(head: Head, part: number): AsyncGenerator<Uint8Array> {
    yield this.#part(head, part)
  }

  #part(head: Head, part: number): Uint8Array {
    const start = head.header.parts.slice(0, part).reduce((sum, { size }) => sum + size, 0)
    return this.#body.subarray(start, start + (head.header.parts[part]?.size ?? 0))
  }

  async check(): Promise<'good' | 'bad'> {
    const hasher = new ChunkHasher(this.hash)
    hasher.update(this.#body)
    return this.head !== undefined && equal(hasher.root(), this.head.root) ? 'good' : 'bad'
  }

  async prepare(receipt: Receipt): Promise<void> {
    const head = this.head as Head
    this.mail = this.mailOf(head, receipt, hasText(head) ? this.#part(head, 0) : undefined)
    try {
      await writeMail(this.home.files, this.path, this.mail)
    } catch (error) {
      if (!isCode(error, 'EEXIST')) throw error
      await this.discard() // what a disk too full even for an unlink left of an earlier attempt
      await writeMail(this.home.files, this.path, this.mail)
    }
  }

  /** 64 KiB are sent again sooner than they are written, synced and read back. */
  async suspend(): Promise<void> {
    if (this.mail !== undefined && !this.committed) await this.discard()
  }

  async discard(): Promise<void> {
    await this.home.files.unlink(this.path)
  }
}

class LargeArrival extends Arrival {
  #hasher: ChunkHasher
  /** Open part files by number. */
  #files = new Map<number, FileHandle>()
  /** Whole chunks whose hashes stand in `chunks`: on disk, durably, as they were received. */
  #checked = 0
  /** The first chunk of those that lay on disk beyond `chunks` when this process came: they may be anything. */
  #doubtful: number | undefined
  #askedAgain = false
  /** Body bytes that are not handed to the disk yet, and where they begin. */
  #pending: Uint8Array[] = []
  #pendingAt = 0
  #pendingSize = 0
  /** The write under way: the disk works while the network does. */
  #writing: Promise<void> = Promise.resolve()
  #synced = 0
  /** A write or fsync failed: the dirty pages may be marked clean, so what is not covered by `chunks` must go. */
  #broken = false

  constructor(options: ArrivalOptions) {
    super(options)
    this.#hasher = new ChunkHasher(this.hash)
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
    this.#hasher = new ChunkHasher(this.hash, hashes)
    // Behind the last checkpoint the bytes may be anything; hash them now, the root decides at the end.
    for (let at = hashes.length * CHUNK; at < body; at += BLOCK) {
      this.#hasher.update(await this.#readBody(this.head, at, Math.min(BLOCK, body - at)))
    }
    if (body > hashes.length * CHUNK) this.#doubtful = hashes.length
    await this.#cut(this.head, body)
    this.#synced = this.#checked * CHUNK
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

  protected override async take(bytes: Uint8Array): Promise<void> {
    const position = this.offset - (this.head as Head).bytes.length
    if (this.#pendingSize === 0) this.#pendingAt = position
    this.#pending.push(bytes)
    this.#pendingSize += bytes.length
    this.#hasher.update(bytes)
    if (this.#pendingSize >= CHUNK) await this.#orBroken(this.#write())
    if (position + bytes.length - this.#synced >= CHECKPOINT) await this.#orBroken(this.#checkpoint())
  }

  async #orBroken(work: Promise<void>): Promise<void> {
    try {
      await work
    } catch (error) {
      this.#broken = true
      throw error
    }
  }

  /** Hands what is pending to the disk; waits only for the write before. */
  async #write(): Promise<void> {
    const bytes = concat(...this.#pending)
    const at = this.#pendingAt
    this.#pending = []
    this.#pendingSize = 0
    await this.#writing
    this.#writing = this.#writeAt(this.head as Head, at, bytes)
    this.#writing.catch(() => undefined) // whoever awaits it next is told
  }

  async #writeAt(head: Head, position: number, bytes: Uint8Array): Promise<void> {
    let rest = bytes
    for (const { part, start, length } of spans(head, position, bytes.length)) {
      await (await this.#file(part)).write(rest.subarray(0, length), start)
      rest = rest.subarray(length)
    }
  }

  async #flush(): Promise<void> {
    if (this.#pendingSize > 0) await this.#write()
    await this.#writing
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

  /** Data durable first, then the hashes that say so. */
  async #checkpoint(): Promise<void> {
    await this.#flush()
    for (const handle of this.#files.values()) await handle.sync()
    this.#synced = this.#hasher.size
    // Hashes of bytes found on disk say nothing about what was sent: those stay in doubt until the root is right.
    const hashes = this.#doubtful === undefined ? this.#hasher.hashes().slice(this.#checked) : []
    if (hashes.length === 0) return
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
    await this.#orBroken(this.#flush())
    if (equal(this.#hasher.root(), head.root)) return 'good'
    if (this.#askedAgain) return 'bad'
    this.#askedAgain = true
    const first = await this.#firstWrong(head)
    if (first === undefined) return 'bad'
    await this.#cut(head, first * CHUNK)
    this.#hasher = new ChunkHasher(this.hash, await this.#hashes(first))
    this.#checked = first
    this.#doubtful = undefined
    this.#synced = first * CHUNK
    this.offset = head.bytes.length + first * CHUNK
    return 'again'
  }

  /** The first chunk whose bytes on disk are not what was received, or that was never covered by a checkpoint. */
  async #firstWrong(head: Head): Promise<number | undefined> {
    const recorded = await this.#hashes(this.#checked)
    for (const [index, hash] of recorded.entries()) {
      const length = Math.min(CHUNK, head.bodySize - index * CHUNK)
      const actual = this.hash.hash(await this.#readBody(head, index * CHUNK, length))
      if (!equal(actual, hash)) return index
    }
    return this.#doubtful
  }

  /** Shortens what is on disk to `body` bytes. */
  async #cut(head: Head, body: number): Promise<void> {
    const { files } = this.home
    let start = 0
    for (const [index, part] of head.header.parts.entries()) {
      const keep = Math.max(0, Math.min(part.size, body - start))
      if (((await files.stat(this.#at(index)))?.size ?? 0) > keep) await (await this.#file(index)).truncate(keep)
      start += part.size
    }
    const chunks = this.#at('chunks')
    const keep = Math.floor(body / CHUNK) * HASH_SIZE
    if (((await files.stat(chunks))?.size ?? 0) > keep) {
      const handle = await files.open(chunks, 'update')
      try {
        await handle.truncate(keep)
      } finally {
        await handle.close()
      }
    }
  }

  async prepare(receipt: Receipt): Promise<void> {
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
      if (head !== undefined && !this.#broken && !this.committed) await this.#orBroken(this.#checkpoint())
    } finally {
      if (head !== undefined && this.#broken && !this.committed) await this.#cut(head, this.#checked * CHUNK).catch(() => undefined)
      await this.#close()
    }
  }

  async discard(): Promise<void> {
    await this.#close()
    await removeTree(this.home.files, this.path)
  }

  async #close(): Promise<void> {
    await this.#writing.catch(() => undefined) // it may be about to open another file
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

/** R0 or, if an earlier attempt left something that makes sense, R1 of this message. */
export async function openArrival(options: ArrivalOptions): Promise<Arrival> {
  if (options.size <= SMALL_MAX) return new SmallArrival(options)
  const arrival = new LargeArrival(options)
  await arrival.resume()
  return arrival
}
