// A message at rest and in transit: a head that says what it is, then its body. The id is the hash of the head, the
// head holds the root of the body's chunk hashes, so an id vouches for every byte. What is encoded here is
// deterministic; what is decoded is bounded, typed and adds up, but its texts are still a peer's: names, subjects and
// media types go to terminals, paths and headers only through the doors meant for that.  p2p-wire(7), "Envelope".

import { equal, fromUtf8, hex, Reader, utf8, Writer } from '../base/bytes.ts'
import { Malformed } from '../base/fail.ts'
import type { Suite } from '../crypto/suite.ts'
import { parseStrict } from './strictjson.ts'

/** Bytes of body under one leaf hash. */
export const CHUNK = 1 << 20

/** A body up to this size stands in the same file as its head. */
export const INLINE_MAX = 64 * 1024

/** Largest body that is sent or accepted unless configured otherwise: 1 GiB. */
export const MESSAGE_MAX = 2 ** 30

/** Text is valid UTF-8 without NUL up to this many bytes; anything else travels as a file. */
export const TEXT_MAX = 1 << 20

export const PARTS_MAX = 48
export const HEADER_MAX = 16 * 1024
export const NAME_MAX = 255 // bytes of UTF-8: NAME_MAX of every file system in use
export const SUBJECT_MAX = 998 // code points: the line limit of RFC 5322 2.1.1
const TYPE_MAX = 255 // characters: RFC 6838 4.2 allows 127 on each side of the slash
const REACTION_MAX = 64 // bytes: the longest emoji sequences take about 40

/** Everything in a head before its header. */
export const HEAD_FIXED = 135
export const HEAD_MAX = HEAD_FIXED + HEADER_MAX

const MAGIC = utf8('p2pm\x01')
const LENGTH_AT = HEAD_FIXED - 2
export const BODY_SIZE_AT = 93
const CREATED_MAX = 253_402_300_799_999_999n // us; the last instant of the year 9999
const JSON_LIMITS = { depth: 4, size: HEADER_MAX }
const TYPE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+)\/([!#$%&'*+.^_`|~0-9A-Za-z-]+)$/ // RFC 9110 5.6.2: token "/" token
const ID = /^[0-9a-f]{64}$/

export const OCTETS = 'application/octet-stream'

/** The one function of a Suite that this file needs. */
export type Hash = Pick<Suite, 'hash' | 'hashApart' | 'hashThread'>

/** One piece of the body. `type` is what the sender claims: see mediaType(). */
export interface Part {
  type: string
  name?: string
  size: number
}

/** The JSON object of a head. `reply`, `edit`, `recall` and `receipt` are ids; `reaction` '' withdraws. */
export interface Header {
  parts: Part[]
  subject?: string
  reply?: string
  reaction?: string
  edit?: string
  recall?: string
  /** The message that was read. */
  receipt?: string
  auto?: boolean
}

export interface HeadFields {
  salt: Uint8Array
  from: Uint8Array
  to: Uint8Array
  /** Unix microseconds. */
  created: bigint
  root: Uint8Array
  header: Header
}

export interface Head extends HeadFields {
  bodySize: number
  /** The whole head as it travels. */
  bytes: Uint8Array
  /** SHA-256 of `bytes`, 64 hex digits. */
  id: string
}

/**
 * The head of a message whose body has this root; salt 16, keys and root 32 bytes; body size = sum of the parts.
 * Throws Malformed if a field breaks a rule that decodeHead would refuse.
 */
export function encodeHead(fields: HeadFields, hash: Hash): Head {
  const header = headerText(fields.header)
  const size = bodySizeOf(fields.header)
  const bytes = new Writer(HEAD_FIXED + header.length)
    .bytes(MAGIC)
    .bytes(fields.salt)
    .bytes(fields.from)
    .bytes(fields.to)
    .u64(fields.created)
    .u64(size)
    .bytes(fields.root)
    .u16(header.length)
    .bytes(header)
    .finish()
  return decodeHead(bytes, hash) // what we write, we would accept
}

/** Throws Malformed for a header that encodeHead would refuse. */
export function checkHeader(header: Header): void {
  parseHeader(headerText(header))
  bodySizeOf(header)
}

function headerText(header: Header): Uint8Array {
  const text = utf8(JSON.stringify(orderedHeader(header)))
  if (text.length > HEADER_MAX) throw new Malformed('header larger than 16 KiB')
  return text
}

/** The head in exactly these bytes (views, not copies). Throws Malformed. */
export function decodeHead(bytes: Uint8Array, hash: Hash): Head {
  const reader = new Reader(bytes)
  if (!equal(reader.bytes(MAGIC.length), MAGIC)) throw new Malformed('not a message')
  const salt = reader.bytes(16)
  const from = reader.bytes(32)
  const to = reader.bytes(32)
  const created = reader.u64()
  if (created > CREATED_MAX) throw new Malformed('creation time out of range')
  const bodySize = reader.size()
  const root = reader.bytes(32)
  const length = reader.u16()
  if (length > HEADER_MAX) throw new Malformed('header larger than 16 KiB')
  const header = parseHeader(reader.bytes(length))
  reader.end()
  if (bodySizeOf(header) !== bodySize) throw new Malformed('part sizes do not add up')
  return { salt, from, to, created, bodySize, root, header, bytes, id: hex(hash.hash(bytes)) }
}

/** What a head says of its body's size, before it is taken apart. Throws Malformed. */
export function bodySizeIn(head: Uint8Array): number {
  return new Reader(head.subarray(BODY_SIZE_AT, BODY_SIZE_AT + 8)).size()
}

/** Bytes of the head that starts with these; undefined until 135 bytes are there. Throws Malformed early. */
export function headLength(prefix: Uint8Array): number | undefined {
  const magic = Math.min(prefix.length, MAGIC.length)
  if (!equal(prefix.subarray(0, magic), MAGIC.subarray(0, magic))) throw new Malformed('not a message')
  if (prefix.length < HEAD_FIXED) return undefined
  const length = (prefix[LENGTH_AT] as number) * 256 + (prefix[LENGTH_AT + 1] as number)
  if (length > HEADER_MAX) throw new Malformed('header larger than 16 KiB')
  return HEAD_FIXED + length
}

/**
 * The media type to write into mail for a claimed one: lower case if it is token "/" token, octets for everything
 * that does not parse, has parameters, or would be a container (message/*, multipart/*): RFC 2046 5.
 */
export function mediaType(claimed: string): string {
  const match = TYPE.exec(claimed)
  const top = match?.[1]?.toLowerCase()
  return top === undefined || top === 'message' || top === 'multipart' ? OCTETS : claimed.toLowerCase()
}

/** Bytes of body that a header describes. Throws Malformed beyond 2^53 - 1. */
export function bodySizeOf(header: Header): number {
  let size = 0
  for (const part of header.parts) size += part.size
  if (!Number.isSafeInteger(size)) throw new Malformed('body too large')
  return size
}

/** Keys in the order in which they are written; the text of a header depends on its values alone. */
function orderedHeader(header: Header): Header {
  const { subject, reply, reaction, edit, recall, receipt, auto } = header
  return {
    parts: header.parts.map(({ type, name, size }) => ({ type, ...(name !== undefined && { name }), size })),
    ...(subject !== undefined && { subject }),
    ...(reply !== undefined && { reply }),
    ...(reaction !== undefined && { reaction }),
    ...(edit !== undefined && { edit }),
    ...(recall !== undefined && { recall }),
    ...(receipt !== undefined && { receipt }),
    ...(auto === true && { auto }),
  }
}

/** A header from its JSON text: known keys typed and bounded, unknown ones ignored. Throws Malformed. */
export function parseHeader(bytes: Uint8Array): Header {
  const object = asObject(parseStrict(bytes, JSON_LIMITS))
  const parts = object['parts']
  if (!Array.isArray(parts) || parts.length < 1 || parts.length > PARTS_MAX) throw new Malformed('1 to 48 parts expected')
  const header: Header = { parts: parts.map(parsePart) }
  const subject = text(object['subject'], 'subject')
  if (subject !== undefined) {
    if (subject.length > SUBJECT_MAX && [...subject].length > SUBJECT_MAX) throw new Malformed('subject too long')
    header.subject = subject
  }
  for (const key of ['reply', 'edit', 'recall', 'receipt'] as const) {
    const id = text(object[key], key)
    if (id === undefined) continue
    if (!ID.test(id)) throw new Malformed(`${key} is not an id`)
    header[key] = id
  }
  const reaction = text(object['reaction'], 'reaction')
  if (reaction !== undefined) {
    if (utf8(reaction).length > REACTION_MAX) throw new Malformed('reaction too long')
    header.reaction = reaction
  }
  const auto = object['auto']
  if (auto !== undefined && typeof auto !== 'boolean') throw new Malformed('auto is not a boolean')
  if (auto === true) header.auto = true
  return header
}

function parsePart(value: unknown): Part {
  const object = asObject(value)
  const type = text(object['type'], 'type')
  if (type === undefined || type.length > TYPE_MAX) throw new Malformed('type missing or too long')
  const size = object['size']
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0 || Object.is(size, -0)) {
    throw new Malformed('size is not a size')
  }
  const name = text(object['name'], 'name')
  if (name === undefined) return { type, size }
  if (!isPartName(name)) throw new Malformed('name is not a name')
  return { type, name, size }
}

/** True for a name that a part may carry: 1 to 255 bytes, no NUL. It is still no path. */
export function isPartName(name: string): boolean {
  return name !== '' && !name.includes('\0') && name.length <= NAME_MAX && utf8(name).length <= NAME_MAX
}

function asObject(value: unknown): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Malformed('object expected')
  return value as Record<string, unknown>
}

function text(value: unknown, what: string): string | undefined {
  if (value !== undefined && typeof value !== 'string') throw new Malformed(`${what} is not a string`)
  return value
}

/** True if these bytes may travel as a text part: valid UTF-8, no NUL, at most 1 MiB. */
export function isText(bytes: Uint8Array): boolean {
  if (bytes.length > TEXT_MAX || bytes.includes(0)) return false
  try {
    fromUtf8(bytes)
    return true
  } catch {
    return false
  }
}

/**
 * The chunk tree of a body that arrives piece by piece: SHA-256 of each 1 MiB chunk (the last one shorter), root =
 * SHA-256 of those hashes one after the other; the root of an empty body is SHA-256 of nothing.
 * Resumes behind whole chunks whose hashes are known. Pieces are copied, never kept.
 */
export class ChunkHasher {
  readonly #hash: Hash
  readonly #done: Uint8Array[]
  #held: Uint8Array = new Uint8Array(0)
  #fill = 0

  constructor(hash: Hash, done: Uint8Array[] = []) {
    this.#hash = hash
    this.#done = [...done]
  }

  /** Bytes taken in so far, those behind the hashes it began with included. */
  get size(): number {
    return this.#done.length * CHUNK + this.#fill
  }

  update(bytes: Uint8Array): void {
    let rest = bytes
    while (rest.length > 0) {
      if (this.#fill === 0 && rest.length >= CHUNK) {
        this.#done.push(this.#hash.hash(rest.subarray(0, CHUNK)))
        rest = rest.subarray(CHUNK)
        continue
      }
      const piece = rest.subarray(0, CHUNK - this.#fill)
      this.#room(this.#fill + piece.length).set(piece, this.#fill)
      this.#fill += piece.length
      rest = rest.subarray(piece.length)
      if (this.#fill === CHUNK) {
        this.#done.push(this.#hash.hash(this.#held.subarray(0, CHUNK)))
        this.#fill = 0
      }
    }
  }

  /** Hashes of the whole chunks so far. */
  hashes(): Uint8Array[] {
    return [...this.#done]
  }

  /** The root if the body ended here; more may follow. */
  root(): Uint8Array {
    const last = this.#fill === 0 ? [] : [this.#hash.hash(this.#held.subarray(0, this.#fill))]
    return rootOf(this.#hash, [...this.#done, ...last])
  }

  #room(size: number): Uint8Array {
    if (size > this.#held.length) {
      const grown = new Uint8Array(Math.min(CHUNK, Math.max(size, this.#held.length * 2)))
      grown.set(this.#held.subarray(0, this.#fill))
      this.#held = grown
    }
    return this.#held
  }
}

/** The root of a body from the hashes of its chunks. */
export function rootOf(hash: Hash, chunks: Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(chunks.length * 32) // more than a call of concat() takes
  chunks.forEach((chunk, i) => joined.set(chunk, i * 32))
  return hash.hash(joined)
}
