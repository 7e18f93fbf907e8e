// STUN binding requests and responses (RFC 8489, and of RFC 5780 what discovers how a NAT behaves). Pure and strict: a
// message is parsed whole or Malformed. Nothing of it is authenticated; what it says of addresses costs a datagram that
// leads nowhere at worst.

import { equal, Reader, Writer } from '../base/bytes.ts'
import { crc32 } from '../base/crc32.ts'
import { Malformed } from '../base/fail.ts'
import { formatIp, parseIp } from './ip.ts'

export const STUN_PORT = 3478
export const STUN_ID_SIZE = 12

const HEADER = 20
const COOKIE = 0x2112a442
const SIZE_MAX = 548 // 6.1: over IPv4, without knowing the path
const ATTRIBUTES_MAX = 32
const REQUIRED_BELOW = 0x8000 // 14: from here on attributes may be skipped

const TYPE = { REQUEST: 0x0001, SUCCESS: 0x0101, ERROR: 0x0111 } as const

const ATTRIBUTE = {
  MAPPED_ADDRESS: 0x0001,
  CHANGE_REQUEST: 0x0003, // RFC 5780 7.2
  ERROR_CODE: 0x0009,
  UNKNOWN_ATTRIBUTES: 0x000a,
  XOR_MAPPED_ADDRESS: 0x0020,
  FINGERPRINT: 0x8028,
  RESPONSE_ORIGIN: 0x802b, // RFC 5780 7.3
  OTHER_ADDRESS: 0x802c, // RFC 5780 7.4
} as const

/** Those that a binding request may carry to whoever wants no password: USERNAME, MESSAGE-INTEGRITY, REALM, NONCE ... */
const UNDERSTOOD: readonly number[] = [0x0006, 0x0008, 0x0014, 0x0015, 0x001c, 0x001d, 0x001e]

const FINGERPRINT_XOR = 0x5354554e
const UNKNOWN_ATTRIBUTE = 420

export interface Seen {
  readonly ip: string
  readonly port: number
}

export interface StunRequest {
  readonly type: 'request'
  readonly id: Uint8Array
  /** Types of attributes that must be understood and are not. */
  readonly unknown: readonly number[]
  readonly fingerprint: boolean
}

export interface StunResponse {
  readonly type: 'response'
  readonly id: Uint8Array
  /** The asker as the server sees it; absent in an error. */
  readonly seen?: Seen
  /** Where the server has another address with another port. */
  readonly other?: Seen
}

export type StunMessage = StunRequest | StunResponse

/** Whether bytes claim to be STUN: RFC 8489 5. */
export function looksLikeStun(bytes: Uint8Array): boolean {
  if (bytes.length < HEADER || bytes.length % 4 !== 0 || ((bytes[0] ?? 0xff) & 0xc0) !== 0) return false
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  return view.getUint32(4) === COOKIE && view.getUint16(2) === bytes.length - HEADER
}

/** A binding request or its response. Throws Malformed for everything else. */
export function parseStun(bytes: Uint8Array): StunMessage {
  if (!looksLikeStun(bytes) || bytes.length > SIZE_MAX) throw new Malformed('not STUN')
  const reader = new Reader(bytes)
  const type = reader.u16()
  reader.bytes(6)
  const id = reader.bytes(STUN_ID_SIZE).slice()
  const found = readAttributes(reader, bytes)
  const fingerprint = found.has(ATTRIBUTE.FINGERPRINT)
  if (type === TYPE.REQUEST) {
    const known = (each: number): boolean => each >= REQUIRED_BELOW || UNDERSTOOD.includes(each)
    return { type: 'request', id, unknown: [...found.keys()].filter((each) => !known(each)), fingerprint }
  }
  if (type === TYPE.ERROR) return { type: 'response', id }
  if (type !== TYPE.SUCCESS) throw new Malformed('another message')
  const at = (attribute: number, mask?: Uint8Array): Seen | undefined => {
    const value = found.get(attribute)
    return value === undefined ? undefined : readAddress(value, mask)
  }
  const mask = bytes.subarray(4, HEADER)
  const seen = at(ATTRIBUTE.XOR_MAPPED_ADDRESS, mask) ?? at(ATTRIBUTE.MAPPED_ADDRESS)
  if (seen === undefined) throw new Malformed('no address')
  const other = at(ATTRIBUTE.OTHER_ADDRESS)
  return { type: 'response', id, seen, ...(other !== undefined && { other }) }
}

/** The first of each type counts (14). FINGERPRINT must be right and the last. */
function readAttributes(reader: Reader, bytes: Uint8Array): Map<number, Uint8Array> {
  const found = new Map<number, Uint8Array>()
  for (let count = 0; reader.left > 0; count++) {
    if (count === ATTRIBUTES_MAX) throw new Malformed('too many attributes')
    const start = reader.offset
    const type = reader.u16()
    const length = reader.u16()
    const value = reader.bytes(length)
    reader.bytes(-length & 3)
    if (type === ATTRIBUTE.FINGERPRINT) {
      if (reader.left > 0 || !equal(value, fingerprintOf(bytes.subarray(0, start)))) throw new Malformed('wrong fingerprint')
    }
    if (!found.has(type)) found.set(type, value)
  }
  return found
}

/** 14.7: over all that stands before it, which names a length with it. */
function fingerprintOf(before: Uint8Array): Uint8Array {
  return new Writer(4).u32((crc32(before) ^ FINGERPRINT_XOR) >>> 0).finish()
}

/** 14.1 and 14.2; `mask` is what the address was mixed with. */
function readAddress(value: Uint8Array, mask?: Uint8Array): Seen {
  const reader = new Reader(value)
  reader.u8()
  const family = reader.u8()
  if (family !== 1 && family !== 2) throw new Malformed('unknown family of an address')
  const mixed = reader.bytes(2 + (family === 1 ? 4 : 16))
  reader.end()
  const [port, ip] = unmask(mixed, mask)
  if (port === 0) throw new Malformed('port 0')
  return { ip: formatIp(ip), port }
}

/** The port is mixed with the first bytes of the mask, the address with the mask from its beginning. */
function unmask(mixed: Uint8Array, mask: Uint8Array = new Uint8Array(16)): [number, Uint8Array] {
  const ip = mixed.slice(2).map((byte, i) => byte ^ (mask[i] ?? 0))
  return [(((mixed[0] ?? 0) ^ (mask[0] ?? 0)) << 8) | ((mixed[1] ?? 0) ^ (mask[1] ?? 0)), ip]
}

function message(type: number, id: Uint8Array, fingerprint: boolean, attributes: (writer: Writer) => Writer): Uint8Array {
  const inside = attributes(new Writer(64)).finish()
  const length = inside.length + (fingerprint ? 8 : 0)
  const writer = new Writer(HEADER + length).u16(type).u16(length).u32(COOKIE).bytes(id).bytes(inside)
  if (!fingerprint) return writer.finish()
  const sum = fingerprintOf(writer.finish())
  return writer.u16(ATTRIBUTE.FINGERPRINT).u16(4).bytes(sum).finish()
}

/** From another address or port of the server shall the answer come: RFC 5780 7.2. */
export interface Change {
  readonly ip: boolean
  readonly port: boolean
}

/** 20 bytes, 28 with a change. */
export function encodeStunRequest(id: Uint8Array, change?: Change): Uint8Array {
  return message(TYPE.REQUEST, id, false, (writer) => {
    if (change === undefined) return writer
    return writer.u16(ATTRIBUTE.CHANGE_REQUEST).u16(4).u32((change.ip ? 4 : 0) | (change.port ? 2 : 0))
  })
}

/** The answer to a request: where it came from, or which of its attributes are not understood. */
export function encodeStunResponse({ id, unknown, fingerprint }: StunRequest, { ip, port }: Seen): Uint8Array {
  if (unknown.length > 0) {
    return message(TYPE.ERROR, id, fingerprint, (writer) => {
      writer.u16(ATTRIBUTE.ERROR_CODE).u16(4).u16(0).u8(Math.floor(UNKNOWN_ATTRIBUTE / 100)).u8(UNKNOWN_ATTRIBUTE % 100)
      writer.u16(ATTRIBUTE.UNKNOWN_ATTRIBUTES).u16(2 * unknown.length)
      for (const type of unknown) writer.u16(type)
      return writer.zeros(-2 * unknown.length & 3)
    })
  }
  const bytes = parseIp(ip)
  if (bytes === undefined) throw new RangeError('not an address')
  const mask = new Writer(16).u32(COOKIE).bytes(id).finish()
  return message(TYPE.SUCCESS, id, fingerprint, (writer) => {
    writer.u16(ATTRIBUTE.XOR_MAPPED_ADDRESS).u16(4 + bytes.length).u8(0).u8(bytes.length === 4 ? 1 : 2)
    return writer.u16(port ^ (COOKIE >>> 16)).bytes(bytes.map((byte, i) => byte ^ (mask[i] ?? 0)))
  })
}
