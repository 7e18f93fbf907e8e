// What travels inside a link: one type byte, a body, zeros. Decoding is strict and has one meaning per byte string:
// whatever decodeFrame accepts, encodeFrame gives back byte for byte. It trusts nothing about the bytes except that
// they came from the authenticated peer; sense beyond the format (who may send what, when) is the session's to judge.

import { compare, fromHex, hex, Reader, Writer } from '../base/bytes.ts'
import { Malformed } from '../base/fail.ts'
import { type Address, decodeAddresses, encodeAddresses } from './address.ts'

/** p2p-wire(7), FRAMES. Ids are 64 hex digits; byte strings are views of the frame they came in. */
export type Frame =
  | { type: 'settings'; features: number; flags: number; maxMessage: number; instance: Uint8Array }
  | { type: 'offer'; items: { id: string; size: number }[] }
  | { type: 'want'; items: { id: string; offset: number }[] }
  | { type: 'have'; ids: string[] }
  | { type: 'data'; id: string; offset: number; bytes: Uint8Array }
  | { type: 'push'; id: string; bytes: Uint8Array }
  | { type: 'ack'; ids: string[] }
  | { type: 'refuse'; id: string; code: number; retry: number }
  | { type: 'cancel'; id: string }
  | { type: 'addrs'; nat: number; addresses: Address[] }
  | { type: 'token'; token: Uint8Array }
  | { type: 'ping'; bytes: Uint8Array }
  | { type: 'pong'; bytes: Uint8Array }
  | { type: 'bye'; code: number }
  | { type: 'pad'; size: number }
  | { type: 'seek'; items: Sought[] }
  | { type: 'passed'; token: Uint8Array }
  | PipeFrame

/** A contact whose newer token is asked for, p2p-wire(7), PASSING: who, and the number of the one that is held. */
export interface Sought {
  readonly tag: Uint8Array
  readonly seq: bigint
}

/** Of a byte stream, p2p-wire(7), PIPES; the id of a pipe has 32 hex digits. */
export type PipeFrame =
  | { type: 'open'; id: string; received: number }
  | { type: 'stream'; id: string; offset: number; bytes: Uint8Array }
  | { type: 'eof'; id: string; total: number }
  | { type: 'credit'; id: string; received: number; window: number }
  | { type: 'reset'; id: string; code: number }

/** SETTINGS features: frames 20 to 24 are understood. */
export const PIPES = 2
/** SETTINGS features: tokens of common contacts may be passed on, frames 80 and 81. */
export const PASSING = 4
/** SETTINGS features: DATA and STREAM frames of DATA_LARGE bytes are understood. */
export const LARGE = 8

/** SETTINGS flags: the sender takes no mail in this session. */
export const SEND_ONLY = 1
/** SETTINGS flags: the sender has lately met two copies of the other side's home in turns. */
export const COPIES = 2

/** BYE codes. RENEW: the session is too old, its initiator dials anew. */
export const BYE = { DONE: 0, UNKNOWN_TYPE: 1, LIMIT: 2, OUT_OF_TURN: 3, RENEW: 4 } as const

/** REFUSE codes; from 10 on they are permanent. */
export const REFUSE = { DISK: 1, BUSY: 2, QUOTA: 3, TOO_BIG: 10, MALFORMED: 11, POLICY: 12 } as const

/** RESET codes. GONE: nobody here has this pipe. ENDED: whoever had it has ended without having all. DONE: with all. */
export const RESET = { GONE: 1, ENDED: 2, DONE: 3 } as const

export const OFFER_MAX = 64 // entries of one OFFER
export const LIST_MAX = 255 // entries of one WANT, HAVE or ACK: what their count byte can say
export const DATA_MAX = 32_768 // near the knee of the throughput curve of ChaCha20-Poly1305
export const DATA_LARGE = 65_280 // nothing in between: it is the most that fits, and costs half of what two frames do beside the cipher
export const PUSH_MAX = 16_384 // a whole envelope, unasked: most texts
export const PLAINTEXT_MAX = 65_519 // Noise 3: 65535 with the 16-byte tag
export const PADDED_MAX = 64 * 1024 // envelopes up to this size hide their exact size behind PAD frames

export const SEEK_MAX = 64 // entries of one SEEK
export const SEEK_TAG_SIZE = 16

const BLOCK = 256 // frames grow in these steps, so that their length does not tell what they are
const TOKEN_MAX = 512 // the longest token payload
const INSTANCE_SIZE = 8
const PING_SIZE = 8
const ID_SIZE = 32
const DATA_HEAD = 1 + ID_SIZE + 8 + 2
const PIPE_ID_SIZE = 16
const IGNORED_FROM = 0x80 // unknown types from here on are skipped, below they end the session

const TYPE = {
  settings: 0x01,
  offer: 0x02,
  want: 0x03,
  have: 0x04,
  data: 0x05,
  ack: 0x06,
  refuse: 0x07,
  cancel: 0x08,
  addrs: 0x09,
  token: 0x0a,
  ping: 0x0b,
  pong: 0x0c,
  bye: 0x10,
  pad: 0x11,
  push: 0x12,
  open: 0x20,
  stream: 0x21,
  eof: 0x22,
  credit: 0x23,
  reset: 0x24,
  seek: 0x80,
  passed: 0x81,
} as const satisfies Record<Frame['type'], number>

/**
 * The plaintext of one transport message, padded with zeros to a multiple of 256 bytes (a DATA frame of DATA_MAX
 * or DATA_LARGE bytes is not). Throws RangeError if the frame breaks a limit of the format: a bug of the caller. `scratch` may be used for
 * the result, which is then good until the next call; it must have room for it, which PLAINTEXT_MAX bytes have.
 */
export function encodeFrame(frame: Frame, scratch?: Uint8Array): Uint8Array {
  if (frame.type === 'data' || frame.type === 'stream' || frame.type === 'push') return encodeData(frame, scratch)
  if (frame.type === 'pad') return encodePad(frame.size)
  const writer = new Writer(BLOCK)
  writer.u8(TYPE[frame.type])
  writeBody(writer, frame)
  return writer.zeros(blocks(writer.length) - writer.length).finish()
}

function writeBody(writer: Writer, frame: Exclude<Frame, { type: 'data' | 'push' | 'stream' | 'pad' }>): void {
  switch (frame.type) {
    case 'settings':
      writer.u32(frame.features).u32(frame.flags).u64(frame.maxMessage).bytes(sized(frame.instance, INSTANCE_SIZE))
      break
    case 'offer':
      writer.u8(limited(frame.items.length, OFFER_MAX))
      for (const item of frame.items) writer.bytes(idBytes(item.id)).u64(item.size)
      break
    case 'want':
      writer.u8(limited(frame.items.length, LIST_MAX))
      for (const item of frame.items) writer.bytes(idBytes(item.id)).u64(item.offset)
      break
    case 'have':
    case 'ack':
      writer.u8(limited(frame.ids.length, LIST_MAX))
      for (const id of frame.ids) writer.bytes(idBytes(id))
      break
    case 'refuse':
      writer.bytes(idBytes(frame.id)).u8(frame.code).u32(frame.retry)
      break
    case 'cancel':
      writer.bytes(idBytes(frame.id))
      break
    case 'addrs':
      writer.u8(frame.nat).bytes(encodeAddresses(frame.addresses))
      break
    case 'seek':
      writer.u8(limited(frame.items.length, SEEK_MAX))
      for (const { tag, seq } of frame.items) writer.bytes(sized(tag, SEEK_TAG_SIZE)).u64(seq)
      break
    case 'token':
    case 'passed':
      writer.u16(limited(frame.token.length, TOKEN_MAX, 1)).bytes(frame.token)
      break
    case 'ping':
    case 'pong':
      writer.bytes(sized(frame.bytes, PING_SIZE))
      break
    case 'bye':
      writer.u8(frame.code)
      break
    case 'open':
      writer.bytes(pipeIdBytes(frame.id)).u64(frame.received)
      break
    case 'eof':
      writer.bytes(pipeIdBytes(frame.id)).u64(frame.total)
      break
    case 'credit':
      writer.bytes(pipeIdBytes(frame.id)).u64(frame.received).u32(frame.window)
      break
    case 'reset':
      writer.bytes(pipeIdBytes(frame.id)).u8(frame.code)
      break
  }
}

/** One copy and no allocation: this is the path every byte of mail and of pipes takes. */
function encodeData(frame: Frame & { type: 'data' | 'push' | 'stream' }, scratch?: Uint8Array): Uint8Array {
  const { length } = frame.bytes
  if (frame.type === 'push') limited(length, PUSH_MAX, 1)
  else if (length !== DATA_LARGE) limited(length, DATA_MAX, 1)
  const id = frame.type === 'stream' ? pipeIdBytes(frame.id) : idBytes(frame.id)
  const head = 1 + id.length + 8 + 2
  const size = chunkSize(head, length)
  const plaintext = scratch?.subarray(0, size) ?? new Uint8Array(size)
  const view = new DataView(plaintext.buffer, plaintext.byteOffset)
  plaintext[0] = TYPE[frame.type]
  plaintext.set(id, 1)
  const offset = frame.type === 'push' ? 0 : limited(frame.offset, Number.MAX_SAFE_INTEGER)
  view.setUint32(1 + id.length, Math.floor(offset / 2 ** 32))
  view.setUint32(5 + id.length, offset % 2 ** 32)
  view.setUint16(head - 2, length)
  plaintext.set(frame.bytes, head)
  return plaintext.fill(0, head + length)
}

function encodePad(size: number): Uint8Array {
  if (size % BLOCK !== 0) throw new RangeError('a PAD frame is a multiple of 256 bytes')
  const plaintext = new Uint8Array(limited(size, PLAINTEXT_MAX, BLOCK))
  plaintext[0] = TYPE.pad
  return plaintext
}

/**
 * The frame in a decrypted transport message, or undefined for an unknown type that may be skipped. Throws Malformed
 * for anything else: unknown types below 80 (hex), lengths that do not fit, padding that is not zero or too long.
 */
export function decodeFrame(plaintext: Uint8Array): Frame | undefined {
  if (plaintext.length > PLAINTEXT_MAX) throw new Malformed('frame too long')
  const reader = new Reader(plaintext)
  const type = reader.u8()
  if (type === TYPE.data) return { type: 'data', id: readId(reader), ...readChunk(reader, plaintext.length) }
  if (type === TYPE.push) return readPush(reader, plaintext.length)
  if (type === TYPE.stream) return { type: 'stream', id: readPipeId(reader), ...readChunk(reader, plaintext.length) }
  if (type >= IGNORED_FROM && type !== TYPE.seek && type !== TYPE.passed) return undefined
  if (plaintext.length % BLOCK !== 0) throw new Malformed('frame is not padded')
  const frame = readBody(type, reader, plaintext.length)
  if (frame.type !== 'pad' && reader.left >= BLOCK) throw new Malformed('frame is padded too long')
  reader.zeros()
  return frame
}

function readBody(type: number, reader: Reader, size: number): Frame {
  switch (type) {
    case TYPE.settings:
      return {
        type: 'settings',
        features: reader.u32(),
        flags: reader.u32(),
        maxMessage: reader.size(),
        instance: reader.bytes(INSTANCE_SIZE),
      }
    case TYPE.offer: {
      const count = reader.u8()
      if (count > OFFER_MAX) throw new Malformed('offer is too long')
      return { type: 'offer', items: times(count, () => ({ id: readId(reader), size: reader.size() })) }
    }
    case TYPE.want:
      return { type: 'want', items: times(reader.u8(), () => ({ id: readId(reader), offset: reader.size() })) }
    case TYPE.have:
      return { type: 'have', ids: times(reader.u8(), () => readId(reader)) }
    case TYPE.ack:
      return { type: 'ack', ids: times(reader.u8(), () => readId(reader)) }
    case TYPE.refuse:
      return { type: 'refuse', id: readId(reader), code: reader.u8(), retry: reader.u32() }
    case TYPE.cancel:
      return { type: 'cancel', id: readId(reader) }
    case TYPE.addrs:
      return { type: 'addrs', nat: reader.u8(), addresses: decodeAddresses(reader) }
    case TYPE.token:
      return { type: 'token', token: readToken(reader) }
    case TYPE.passed:
      return { type: 'passed', token: readToken(reader) }
    case TYPE.seek: {
      const count = reader.u8()
      if (count > SEEK_MAX) throw new Malformed('seek is too long')
      return { type: 'seek', items: times(count, () => ({ tag: reader.bytes(SEEK_TAG_SIZE), seq: reader.u64() })) }
    }
    case TYPE.ping:
      return { type: 'ping', bytes: reader.bytes(PING_SIZE) }
    case TYPE.pong:
      return { type: 'pong', bytes: reader.bytes(PING_SIZE) }
    case TYPE.bye:
      return { type: 'bye', code: reader.u8() }
    case TYPE.pad:
      return { type: 'pad', size }
    case TYPE.open:
      return { type: 'open', id: readPipeId(reader), received: reader.size() }
    case TYPE.eof:
      return { type: 'eof', id: readPipeId(reader), total: reader.size() }
    case TYPE.credit:
      return { type: 'credit', id: readPipeId(reader), received: reader.size(), window: reader.u32() }
    case TYPE.reset:
      return { type: 'reset', id: readPipeId(reader), code: reader.u8() }
    default:
      throw new Malformed('unknown frame type')
  }
}

function readToken(reader: Reader): Uint8Array {
  const length = reader.u16()
  if (length === 0 || length > TOKEN_MAX) throw new Malformed('token of impossible length')
  return reader.bytes(length)
}

/** DATA of a message from its first byte to its last. */
function readPush(reader: Reader, size: number): Frame {
  const id = readId(reader)
  const { offset, bytes } = readChunk(reader, size, PUSH_MAX)
  if (offset !== 0 || bytes.length > PUSH_MAX) throw new Malformed('not a whole message')
  return { type: 'push', id, bytes }
}

function readChunk(reader: Reader, size: number, most = DATA_MAX): { offset: number; bytes: Uint8Array } {
  const offset = reader.size()
  const length = reader.u16()
  if (length === 0 || (length > most && length !== DATA_LARGE) || size !== chunkSize(reader.offset, length)) {
    throw new Malformed('data of impossible length')
  }
  const bytes = reader.bytes(length)
  reader.zeros()
  return { offset, bytes }
}

/** Plaintext bytes of a DATA frame that carries `length` bytes of an envelope. */
export function dataSize(length: number): number {
  return chunkSize(DATA_HEAD, length)
}

function chunkSize(head: number, length: number): number {
  return length === DATA_MAX || length === DATA_LARGE ? head + length : blocks(head + length)
}

/**
 * The Padme size of `size`: at most 12 % more, and of all sizes below 2^E only O(log E) bits remain to be told apart
 * (Nikitin et al., PoPETs 2019, algorithm 1). `size` below 2^53.
 */
export function padmeSize(size: number): number {
  if (size < 2) return size
  const exponent = Math.floor(Math.log2(size))
  const kept = Math.floor(Math.log2(exponent)) + 1
  const step = 2 ** Math.max(0, exponent - kept)
  return Math.ceil(size / step) * step
}

/**
 * The PAD frames to send behind the DATA frames of `size` envelope bytes, so that the whole has its Padme size.
 * Nothing for more than 64 KiB.
 */
export function padFrames(size: number): Frame[] {
  if (size > PADDED_MAX) return []
  const rest = size % DATA_MAX
  const sent = Math.floor(size / DATA_MAX) * dataSize(DATA_MAX) + (rest === 0 ? 0 : dataSize(rest))
  const missing = blocks(padmeSize(sent) - sent)
  return missing === 0 ? [] : [{ type: 'pad', size: missing }] // at most 12 % of 64 KiB: one frame
}

function blocks(size: number): number {
  return Math.ceil(size / BLOCK) * BLOCK
}

function times<T>(count: number, read: () => T): T[] {
  return Array.from({ length: count }, read)
}

function readId(reader: Reader): string {
  return textOf(reader.bytes(ID_SIZE))
}

function idBytes(id: string): Uint8Array {
  return sized(bytesOf(id), ID_SIZE)
}

function readPipeId(reader: Reader): string {
  return textOf(reader.bytes(PIPE_ID_SIZE))
}

function pipeIdBytes(id: string): Uint8Array {
  return sized(bytesOf(id), PIPE_ID_SIZE)
}

/** The id that was met last in either form: thousands of frames in a row carry the same. */
let met: { text: string; bytes: Uint8Array } = { text: '', bytes: new Uint8Array(0) }

function textOf(bytes: Uint8Array): string {
  if (compare(bytes, met.bytes) !== 0) met = { text: hex(bytes), bytes: new Uint8Array(bytes) } // slice() of a Buffer is no copy
  return met.text
}

function bytesOf(id: string): Uint8Array {
  if (id === met.text) return met.bytes
  const bytes = fromHex(id)
  met = { text: hex(bytes), bytes } // lower case, whatever was asked for
  return bytes
}

function sized(bytes: Uint8Array, size: number): Uint8Array {
  if (bytes.length !== size) throw new RangeError(`field is not ${size} bytes`)
  return bytes
}

function limited(value: number, max: number, min = 0): number {
  if (!(value >= min && value <= max)) throw new RangeError(`${value} is not within ${min} to ${max}`)
  return value
}
