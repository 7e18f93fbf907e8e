// One message on its way in: p2p-spool(5), RECEIVER, states R0 to R2. What every arrival checks of head and size, and
// the small one, which is gathered in memory and reaches the disk as finished mail. Nothing is believed before the
// root of the chunk hashes is right.

import { collect, concat, equal } from '../base/bytes.ts'
import { Malformed } from '../base/fail.ts'
import {
  decodeHead,
  type Hash,
  HEAD_MAX,
  headLength,
  type Head,
  INLINE_MAX,
  rootOf,
} from '../wire/envelope.ts'
import { composeMail, composeText, hasText, mailFromHead, type MailContext, type MailFields } from '../wire/mail.ts'
import type { NewFile } from './durable.ts'
import type { Home } from './home.ts'

/** Envelopes up to this size are gathered in memory. */
export const SMALL_MAX = INLINE_MAX + HEAD_MAX

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

  /**
   * Takes the next bytes of the envelope if they only go into memory: all of a small one, and most of a large body, without
   * the cost of a promise. False: nothing was done, and write() is to be called. Throws as write().
   */
  takesNow(_bytes: Uint8Array): boolean {
    return false
  }

  /** The next bytes of the envelope. Throws Malformed if they cannot belong to this id, sender and receiver. */
  async write(bytes: Uint8Array): Promise<void> {
    if (bytes.length > this.size - this.offset) throw new Malformed('more bytes than offered')
    let rest = bytes
    if (this.head === undefined) {
      const entered = this.enter(bytes)
      if (entered === undefined) return
      await this.begin(entered.head)
      ;({ rest } = entered)
    }
    if (rest.length === 0) return
    await this.take(rest)
    this.offset += rest.length
  }

  /** Gathers the head. Once it is whole: it, and what came behind it; both are copies. */
  protected enter(bytes: Uint8Array): { head: Head; rest: Uint8Array } | undefined {
    const held = concat(this.#start, bytes)
    const length = headLength(held)
    if (length === undefined || held.length < length) {
      this.#start = held
      this.offset += bytes.length
      return undefined
    }
    const head = this.checkHead(held.subarray(0, length))
    this.#start = new Uint8Array(0)
    this.offset = length
    this.head = head
    return { head, rest: held.subarray(length) }
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
  protected abstract begin(head: Head): Promise<void> | void
  /** Body bytes, in order. */
  protected abstract take(bytes: Uint8Array): Promise<void> | void
  /** The bytes of one part. */
  protected abstract content(head: Head, part: number): AsyncIterable<Uint8Array>

  /** Whether the body is what the id vouches for. If not, `offset` says what to ask again from; 'bad' for good. */
  abstract check(): Promise<'good' | 'again' | 'bad'> | 'good' | 'bad'
  /**
   * R2: the mail and everything it refers to are on disk, fsynced; the entry in part/KEY is not (see Inbox.commit).
   * What is returned is still to be written, with others.
   */
  abstract prepare(receipt: Receipt): Promise<NewFile | undefined>
  /** The link is gone: keeps what can be gone on from. */
  abstract suspend(): Promise<void>
  /** Forgets everything. */
  abstract discard(): Promise<void>
}

/** An envelope of at most SMALL_MAX bytes. */
export class SmallArrival extends Arrival {
  #body: Uint8Array = new Uint8Array(0)
  #fill = 0

  override takesNow(bytes: Uint8Array): boolean {
    if (bytes.length > this.size - this.offset) throw new Malformed('more bytes than offered')
    if (this.head !== undefined) {
      this.take(bytes)
      this.offset += bytes.length
      return true
    }
    const entered = this.enter(bytes)
    if (entered === undefined) return true
    const { head, rest } = entered
    if (rest.length === head.bodySize) {
      this.#body = rest // all of it, as most are: no copy
    } else {
      this.begin(head)
      this.take(rest)
    }
    this.offset += rest.length
    return true
  }

  protected override begin(head: Head): void {
    this.#body = new Uint8Array(head.bodySize)
  }

  protected override take(bytes: Uint8Array): void {
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

  check(): 'good' | 'bad' {
    const chunks = this.#body.length === 0 ? [] : [this.hash.hash(this.#body)] // it is smaller than one
    return this.head !== undefined && equal(rootOf(this.hash, chunks), this.head.root) ? 'good' : 'bad'
  }

  async prepare(receipt: Receipt): Promise<NewFile> {
    const head = this.head as Head
    this.mail = this.mailOf(head, receipt, hasText(head) ? this.#part(head, 0) : undefined)
    return { path: this.path, bytes: composeText(this.mail) ?? (await collect(composeMail(this.mail))) }
  }

  /** 64 KiB are sent again sooner than they are written, synced and read back. */
  async suspend(): Promise<void> {
    if (this.mail !== undefined && !this.committed) await this.discard()
  }

  async discard(): Promise<void> {
    await this.home.files.unlink(this.path)
  }
}
