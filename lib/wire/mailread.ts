// Messages read back from their files: headers alone for lists, parts with their exact bytes for the rest. What
// mail.ts wrote is read here without loading it whole: a part's size says where the next one begins, and the boundary
// found there proves it. What another program wrote or rewrote goes through postal-mime. Nothing read is trusted.

import { collect, fromUtf8 } from '../base/bytes.ts'
import { Malformed } from '../base/fail.ts'
import { asBuffer, asciiTop, parseTop, type Headers, type Top } from './mailheaders.ts'
import { base64Size } from './mimepart.ts'
import { parseStructured, type Structured } from './mimeword.ts'

/** An open message file. */
export interface Source {
  readonly size: number
  /** Short only at the end. */
  read(position: number, length: number): Promise<Uint8Array>
  /** All of it, if it was read at once. */
  readonly whole?: Uint8Array
}

/** What of a file handle is needed here. */
export interface ReadHandle {
  read(position: number, length: number): Promise<Uint8Array>
  size(): Promise<number>
}

export interface ReadPart {
  kind: 'text' | 'reaction' | 'file'
  type: string
  name?: string
  /** Exact for what mail.ts wrote. */
  size: number
  /** Instead of content here: a file of the home, `files/ID/N`. */
  external?: string
  content(): AsyncGenerator<Uint8Array>
  /** All of the content, if it came with the headers: most texts are short. */
  held?: Uint8Array
}

export interface ReadMail {
  headers: Headers
  parts: ReadPart[]
}

/** Bytes read at first: headers and a short text. */
const FIRST_READ = 16 * 1024
/** Headers of a message or part beyond this many bytes are damage. */
const HEADERS_MAX = 1 << 20
const BLOCK = 256 * 1024
/** A message of foreign shape is parsed in memory up to this many bytes. */
const FOREIGN_MAX = 64 * 1024 * 1024
const PARTS_MAX = 1000
const EXTERNAL = /^files\/[0-9a-f]{64}\/\d{1,4}$/

/** An open file as a Source that reads its beginning once. */
export async function openSource(handle: ReadHandle): Promise<Source> {
  const size = await handle.size()
  const first = await handle.read(0, Math.min(size, FIRST_READ)) // most mails are much shorter
  if (first.length === size) return wholeSource(first)
  return {
    size,
    async read(position, length) {
      return position + length <= first.length ? first.subarray(position, position + length) : handle.read(position, length)
    },
  }
}

/** A message that is in memory. */
function wholeSource(whole: Uint8Array): Source {
  return { size: whole.length, whole, read: async (position, length) => whole.subarray(position, position + length) }
}

/** The headers that start at `at`. Throws Malformed if there is no end to them. */
export async function readHeaders(source: Source, at = 0): Promise<Top> {
  if (source.whole !== undefined) return parseTop(source.whole, at, true) as Top
  for (let size = FIRST_READ; ; size *= 4) {
    const bytes = await source.read(at, size)
    const last = bytes.length < size
    const top = parseTop(bytes, 0, last)
    if (top !== undefined) return { ...top, body: at + top.body }
    if (size >= HEADERS_MAX) throw new Malformed('headers without an end')
  }
}

/** Headers and parts of a message. Throws Malformed if it is none. */
export async function readMail(source: Source): Promise<ReadMail> {
  const short = source.whole === undefined ? undefined : readShort(source.whole)
  if (short !== undefined) return short
  const { headers, body, crlf } = await readHeaders(source)
  const parts = crlf ? undefined : await readOwn(source, headers, body)
  return { headers, parts: parts ?? (await readForeign(source)) }
}

/** A message of one part that is at hand, as most are: nothing is waited for. Undefined for any other. */
export function readShort(whole: Uint8Array): ReadMail | undefined {
  const { headers, body, crlf } = asciiTop(whole) ?? (parseTop(whole, 0, true) as Top)
  const shape = crlf ? undefined : shapeOf(headers)
  if (shape === undefined || shape.value === EXTERNAL_BODY) return undefined
  return { headers, parts: [heldLeaf(shape, whole, body, whole.length)] }
}

/** The parts if the message has the shape that mail.ts writes, else undefined. */
async function readOwn(source: Source, headers: Headers, body: number): Promise<ReadPart[] | undefined> {
  const top = structured(headers, 'content-type', 'text/plain')
  const report = top.value === 'multipart/report' // a bounce: what is behind its text says the same to programs
  if (top.value !== 'multipart/mixed' && !report) {
    const part = await readLeaf(source, headers, body, async () => source.size)
    return part === undefined ? undefined : [part]
  }
  const delimiter = Buffer.from(`\n--${top.params.get('boundary') ?? ''}`)
  if (delimiter.length < 4 || delimiter.length > 80) return undefined
  const parts: ReadPart[] = []
  const first = await find(source, body - 1, delimiter)
  let at = first < 0 ? -1 : first + delimiter.length
  while (at >= 0 && parts.length < PARTS_MAX) {
    const after = Buffer.from(await source.read(at, 2)).toString('latin1')
    if (after === '--') return parts
    if (!after.startsWith('\n')) return undefined
    const inner = await readHeaders(source, at + 1)
    let end = -1
    const part = await readLeaf(source, inner.headers, inner.body, async (guess) => {
      const there = guess === undefined ? undefined : await source.read(guess, delimiter.length)
      end = there !== undefined && delimiter.equals(there) ? (guess ?? -1) : await find(source, inner.body - 1, delimiter)
      return end
    })
    if (part === undefined || end < 0 || inner.crlf) return undefined
    parts.push(part)
    if (report) return parts
    at = end + delimiter.length
  }
  return undefined
}

function structured(headers: Headers, name: string, otherwise: string): Structured {
  return parseStructured(headers.get(name) ?? otherwise)
}

/** What the headers of one part say of it. */
interface Shape extends Structured {
  disposition: Structured
  /** In base64. */
  coded: boolean
  /** The size that is written there. */
  said: number | undefined
}

const EXTERNAL_BODY = 'message/external-body'

/** What the last part was: in a list one is like the other. */
let lastShape: { fields: readonly (string | undefined)[]; shape: Shape | undefined } | undefined

/** Undefined if it needs a real mail parser. */
function shapeOf(headers: Headers): Shape | undefined {
  const fields = [headers.get('content-type'), headers.get('content-disposition'), headers.get('content-transfer-encoding')] as const
  if (lastShape === undefined || fields.some((field, at) => field !== lastShape?.fields[at])) {
    lastShape = { fields, shape: shapeOfFields(...fields) }
  }
  return lastShape.shape
}

function shapeOfFields(typeField = 'text/plain', dispositionField = '', encodingField = '7bit'): Shape | undefined {
  const type = parseStructured(typeField)
  const disposition = parseStructured(dispositionField)
  if (type.value !== EXTERNAL_BODY && /^(?:multipart|message)\//.test(type.value)) return undefined
  const encoding = encodingField.toLowerCase()
  const coded = encoding === 'base64'
  if (type.value !== EXTERNAL_BODY && !coded && !['7bit', '8bit', 'binary'].includes(encoding)) return undefined
  const size = disposition.params.get('size')
  const said = size !== undefined && /^\d{1,15}$/.test(size) ? Number(size) : undefined
  return { ...type, disposition, coded, said }
}

/** One part; `endOf` finds where its body ends, given a guess. Undefined if it needs a real mail parser. */
async function readLeaf(
  source: Source,
  headers: Headers,
  start: number,
  endOf: (guess: number | undefined) => Promise<number>,
): Promise<ReadPart | undefined> {
  const shape = shapeOf(headers)
  if (shape === undefined) return undefined
  if (shape.value === EXTERNAL_BODY) {
    const end = await endOf(undefined)
    return end < 0 ? undefined : readExternal(source, shape, start)
  }
  const guess = guessEnd(shape, start)
  const end = await endOf(guess)
  if (end < 0) return undefined
  if (source.whole !== undefined) return heldLeaf(shape, source.whole, start, end)
  const { coded, said } = shape
  const content = (): AsyncGenerator<Uint8Array> => (coded ? decodeBase64(source, start, end) : range(source, start, end))
  // the line break before a delimiter may be the one that ends the headers
  const size = end === guess && said !== undefined ? said : coded ? await count(content()) : Math.max(0, end - start)
  return leafOf(shape, size, content)
}

/** Where a body that starts there ends if its size is as written. */
function guessEnd({ coded, said }: Shape, start: number): number | undefined {
  return coded && said !== undefined ? start + base64Size(said) : undefined
}

/** One part of which all bytes are at hand. */
function heldLeaf(shape: Shape, whole: Uint8Array, start: number, end: number): ReadPart {
  const held = inMemory(whole.subarray(start, end), shape.coded)
  const size = shape.said !== undefined && end === guessEnd(shape, start) ? shape.said : held.length
  const leaf = leafOf(shape, size, () => only(held))
  leaf.held = held
  return leaf
}

function leafOf({ value: type, params, disposition }: Shape, size: number, content: ReadPart['content']): ReadPart {
  const name = disposition.params.get('filename') ?? params.get('name')
  const text = type === 'text/plain' && disposition.value !== 'attachment' && name === undefined
  const leaf: ReadPart = { kind: disposition.value === 'reaction' ? 'reaction' : text ? 'text' : 'file', type, size, content }
  if (name !== undefined) leaf.name = name
  return leaf
}

async function readExternal(source: Source, type: Structured, start: number): Promise<ReadPart | undefined> {
  const external = type.params.get('name') ?? ''
  if (type.params.get('access-type')?.toLowerCase() !== 'local-file' || !EXTERNAL.test(external)) return undefined
  const { headers } = await readHeaders(source, start)
  const name = structured(headers, 'content-disposition', '').params.get('filename')
  const size = Number(type.params.get('size') ?? 0)
  const content = async function* (): AsyncGenerator<Uint8Array> {}
  const shape = { type: structured(headers, 'content-type', 'application/octet-stream').value, size, external, content }
  return { kind: 'file', ...shape, ...(name !== undefined && { name }) }
}

/** Where `needle` next occurs at or after `from`; -1 if nowhere. */
async function find(source: Source, from: number, needle: Buffer): Promise<number> {
  for (let at = from; ; at += BLOCK) {
    const bytes = await source.read(at, BLOCK + needle.length - 1)
    const found = asBuffer(bytes).indexOf(needle)
    if (found >= 0) return at + found
    if (bytes.length < BLOCK + needle.length - 1) return -1
  }
}

async function* range(source: Source, start: number, end: number): AsyncGenerator<Uint8Array> {
  for (let at = start; at < end; ) {
    const length = Math.min(BLOCK, end - at)
    const bytes = await source.read(at, length)
    if (bytes.length > 0) yield bytes
    if (bytes.length < length) return
    at += length
  }
}

async function* only(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  if (bytes.length > 0) yield bytes
}

/** What the generators below give piece by piece; no Buffer, whatever these bytes are. */
function inMemory(bytes: Uint8Array, coded: boolean): Uint8Array {
  const text = (): string => asBuffer(bytes).toString('latin1').replace(/[^A-Za-z0-9+/]/g, '')
  const { buffer, byteOffset, length } = coded ? Buffer.from(text(), 'base64') : bytes
  return new Uint8Array(buffer, byteOffset, length)
}

async function* decodeBase64(source: Source, start: number, end: number): AsyncGenerator<Uint8Array> {
  let held = ''
  for await (const bytes of range(source, start, end)) {
    held += asBuffer(bytes).toString('latin1').replace(/[^A-Za-z0-9+/]/g, '')
    const whole = held.length - (held.length % 4)
    if (whole > 0) yield new Uint8Array(Buffer.from(held.slice(0, whole), 'base64'))
    held = held.slice(whole)
  }
  if (held.length > 1) yield new Uint8Array(Buffer.from(held, 'base64'))
}

async function count(content: AsyncIterable<Uint8Array>): Promise<number> {
  let size = 0
  for await (const bytes of content) size += bytes.length
  return size
}

/** Any message, by postal-mime: a mail program wrote it, so there are no exact bytes of ours to keep. */
async function readForeign(source: Source): Promise<ReadPart[]> {
  const whole = await collect(range(source, 0, source.size), FOREIGN_MAX + 1)
  if (whole.length > FOREIGN_MAX) throw new Malformed('message too large to parse')
  const { default: PostalMime } = await import('postal-mime')
  const mail = await PostalMime.parse(whole, { attachmentEncoding: 'arraybuffer', forceRfc822Attachments: true })
  const one = (bytes: Uint8Array): { size: number; content: () => AsyncGenerator<Uint8Array> } => ({
    size: bytes.length,
    async *content() {
      yield bytes
    },
  })
  const text = mail.text ?? mail.html
  const type = mail.text === undefined && mail.html !== undefined ? 'text/html' : 'text/plain'
  const parts: ReadPart[] = text === undefined ? [] : [{ kind: 'text', type, ...one(new TextEncoder().encode(text)) }]
  for (const { filename, mimeType, content } of mail.attachments) {
    const bytes = typeof content === 'string' ? new TextEncoder().encode(content) : new Uint8Array(content)
    parts.push({ kind: 'file', type: mimeType, ...one(bytes), ...(filename !== null && { name: filename }) })
  }
  return parts
}

/** The text of bytes that should be UTF-8; what is not shows as U+FFFD. */
export function looseText(bytes: Uint8Array): string {
  try {
    return fromUtf8(bytes)
  } catch {
    return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes)
  }
}
