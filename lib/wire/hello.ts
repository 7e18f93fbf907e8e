// The two handshake messages and the payloads sealed inside them. Both are exactly 768 bytes whatever they carry, so
// that a stranger's eye sees one length and the answer is never larger than the question. Decoding is strict: one
// payload, one byte string. Nothing secret belongs into the first payload: it has no forward secrecy.

import { concat, isZero, Reader, utf8, Writer } from '../base/bytes.ts'
import { Malformed } from '../base/fail.ts'
import { formatIp, parseIp, unmap } from './ip.ts'

/** Bytes of either handshake message: below one safe datagram, and room for the longest token. */
export const HELLO_SIZE = 768

export const PAYLOAD1_SIZE = HELLO_SIZE - 32 - 48 - 16 // after e, the sealed s and the payload's own tag
export const PAYLOAD2_SIZE = HELLO_SIZE - 32 - 16

/** payload1.kind: why the caller calls. */
export const KIND = { CONTACT: 0, REQUEST: 1, INVITE: 2 } as const

const TOKEN_MAX = 512 // the longest token payload
const IDENTITY_SIZE = 32
const PROOF_SIZE = 16
const FAMILY_NONE = 0
const FAMILY_4 = 4
const FAMILY_6 = 6
const IP_SIZE = 16 // an IPv4 address fills the first 4, zeros follow

/** Features: PUSH is understood. */
export const PUSHES = 16

/** Those of this version. */
export const FEATURES = PUSHES

/** What the initiator says; p2p-wire(7), HANDSHAKE. */
export interface Payload1 {
  kind: number
  /** I of the initiator: to be matched with the T that the handshake proved. */
  identity: Uint8Array
  /** Unix microseconds, never the same twice. */
  ts: bigint
  /** seq of the initiator's own token. */
  seqOwn: bigint
  /** seq of the newest token of the responder that the initiator holds. */
  seqHeld: bigint
  features: number
  /** 0 over TCP. */
  streamId: number
  /** 16 bytes, zero unless kind is INVITE. */
  inviteProof: Uint8Array
  /** The initiator's signed token payload, or empty. */
  token: Uint8Array
}

/** What the responder says; p2p-wire(7), HANDSHAKE. */
export interface Payload2 {
  seqOwn: bigint
  /** Those both sides have. */
  features: number
  /** 0 over TCP. */
  streamId: number
  /** Unix milliseconds at the responder. */
  clock: bigint
  /** The initiator as the responder sees it. */
  observed: { ip: string; port: number } | undefined
  /** The responder's signed token payload if seqHeld was old, else empty. */
  token: Uint8Array
}

/** e of a hello of HELLO_SIZE bytes: it stands in front, in clear. */
export function ephemeralOf(hello: Uint8Array): Uint8Array {
  return hello.slice(0, 32)
}

/** Binds a handshake to the identity it is meant for: a token that carries somebody else's T leads nowhere. */
export function prologueFor(responder: Uint8Array): Uint8Array {
  return concat(utf8('p2p/1'), responder)
}

/** 672 bytes. Throws RangeError for a field of the wrong size. */
export function encodePayload1(payload: Payload1): Uint8Array {
  const writer = new Writer(PAYLOAD1_SIZE)
  writer.u8(payload.kind).bytes(sized(payload.identity, IDENTITY_SIZE)).u64(payload.ts)
  writer.u64(payload.seqOwn).u64(payload.seqHeld).u32(payload.features).u32(payload.streamId)
  writer.bytes(sized(payload.inviteProof, PROOF_SIZE))
  writeToken(writer, payload.token)
  return writer.zeros(PAYLOAD1_SIZE - writer.length).finish()
}

/** Throws Malformed. */
export function decodePayload1(bytes: Uint8Array): Payload1 {
  if (bytes.length !== PAYLOAD1_SIZE) throw new Malformed('payload of wrong length')
  const reader = new Reader(bytes)
  const kind = reader.u8()
  if (kind > KIND.INVITE) throw new Malformed('unknown kind of hello')
  const payload = {
    kind,
    identity: reader.bytes(IDENTITY_SIZE),
    ts: reader.u64(),
    seqOwn: reader.u64(),
    seqHeld: reader.u64(),
    features: reader.u32(),
    streamId: reader.u32(),
    inviteProof: reader.bytes(PROOF_SIZE),
    token: readToken(reader),
  }
  if (kind !== KIND.INVITE && !isZero(payload.inviteProof)) throw new Malformed('proof without an invite')
  reader.zeros()
  return payload
}

/** 720 bytes. Throws RangeError for a field of the wrong size. */
export function encodePayload2(payload: Payload2): Uint8Array {
  const writer = new Writer(PAYLOAD2_SIZE)
  writer.u64(payload.seqOwn).u32(payload.features).u32(payload.streamId).u64(payload.clock)
  const ip = payload.observed === undefined ? undefined : parseIp(payload.observed.ip)
  if (ip === undefined) {
    writer.u8(FAMILY_NONE).zeros(IP_SIZE).u16(0)
  } else {
    writer.u8(ip.length === 4 ? FAMILY_4 : FAMILY_6).bytes(ip).zeros(IP_SIZE - ip.length)
    writer.u16(payload.observed?.port ?? 0)
  }
  writeToken(writer, payload.token)
  return writer.zeros(PAYLOAD2_SIZE - writer.length).finish()
}

/** Throws Malformed. */
export function decodePayload2(bytes: Uint8Array): Payload2 {
  if (bytes.length !== PAYLOAD2_SIZE) throw new Malformed('payload of wrong length')
  const reader = new Reader(bytes)
  const payload = {
    seqOwn: reader.u64(),
    features: reader.u32(),
    streamId: reader.u32(),
    clock: reader.u64(),
    observed: readObserved(reader),
    token: readToken(reader),
  }
  reader.zeros()
  return payload
}

function readObserved(reader: Reader): { ip: string; port: number } | undefined {
  const family = reader.u8()
  const bytes = reader.bytes(IP_SIZE)
  const port = reader.u16()
  if (family === FAMILY_NONE) {
    if (!isZero(bytes) || port !== 0) throw new Malformed('address of no family')
    return undefined
  }
  if (family === FAMILY_4) {
    if (!isZero(bytes.subarray(4))) throw new Malformed('padding is not zero')
    return { ip: formatIp(bytes.subarray(0, 4)), port }
  }
  if (family !== FAMILY_6 || unmap(bytes).length === 4) throw new Malformed('unknown family of an address')
  return { ip: formatIp(bytes), port }
}

function readToken(reader: Reader): Uint8Array {
  const length = reader.u16()
  if (length > TOKEN_MAX) throw new Malformed('token too long')
  return reader.bytes(length)
}

function writeToken(writer: Writer, token: Uint8Array): void {
  if (token.length > TOKEN_MAX) throw new RangeError('token too long')
  writer.u16(token.length).bytes(token)
}

function sized(bytes: Uint8Array, size: number): Uint8Array {
  if (bytes.length !== size) throw new RangeError(`field is not ${size} bytes`)
  return bytes
}
