// A contact token: what a person hands to another so that the two can talk (p2p-wire(7), token). `p2p1` and base58 of
// payload || sum, the payload signed by the identity. A Token is well-formed and canonical; only verifyToken makes it
// believed. The length is checked before base58, which is quadratic; the sum tells a typing error from a forgery.

import { Reader, Writer, compare, concat, fromUtf8, isZero, utf8 } from '../base/bytes.ts'
import { EX, Failure, Malformed } from '../base/fail.ts'
import { base58, fromBase58 } from '../base/key.ts'
import { isAscii } from '../base/text.ts'
import { sha256 } from '../crypto/sha256.ts'
import { decodeAddresses, encodeAddresses } from './address.ts'
import { EXT_SUCCESSOR, statement, SUCCESSOR_SIZE, successorOf } from './successor.ts'
import { isTransportKey } from './transportkey.ts'

import type { Address } from './address.ts'

export interface Extension {
  readonly type: number
  readonly value: Uint8Array
}

export interface TokenFields {
  /** Ed25519 public key: who. */
  readonly identity: Uint8Array
  /** X25519 public key: how to talk to them; zeros in a revocation. */
  readonly transport: Uint8Array
  /** Grows with every token of an identity; REVOKED_SEQ in a revocation. */
  readonly seq: bigint
  /** Unix seconds; 0 = never expires. */
  readonly notAfter: number
  /** A suggestion of its owner, at most 64 bytes; may be empty. */
  readonly name: string
  readonly addresses: readonly Address[]
  readonly ext: readonly Extension[]
  readonly revocation: boolean
}

export interface Token extends TokenFields {
  /** The payload with its signature, without the sum: what travels in hellos and TOKEN frames. */
  readonly bytes: Uint8Array
}

export const TOKEN_PREFIX = 'p2p1'
export const TOKEN_TEXT_MAX = 720 // characters, prefix included: bounds the quadratic base58
export const TOKEN_TEXT_MIN = 208 // characters of the shortest payload and its sum
export const TOKEN_BYTES_MAX = 512 // bytes of a payload: it must fit a hello beside its other fields
export const TOKEN_NAME_MAX = 64 // bytes of the suggested name
export const REVOKED_SEQ = 0xffff_ffff_ffff_ffffn // no later token can beat it
export const EXT_INVITE = 0x01 // one-use secret and expiry; never kept with a contact
export const EXT_NAT = 0x02 // NAT class of the owner

const NOT_A_TOKEN = `not a token: a token starts with ${TOKEN_PREFIX}`
const VERSION = 1
const REVOCATION = 1
const SIGNATURE = 64
const SUM = 4
const CRITICAL = 0x80 // extension types from here on must be understood
const SUM_LABEL = utf8('p2p/1 sum')
const SIGN_LABEL = utf8('p2p/1 token')
const EXT_SIZES = new Map([
  [EXT_INVITE, 20],
  [EXT_NAT, 1],
  [EXT_SUCCESSOR, SUCCESSOR_SIZE],
])

/** Control characters of either set, bidi controls and U+2028/9: what a name must not do to a terminal or a file. */
const unsafe = (): RegExp => /[\p{Cc}\p{Cs}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/u

function checkSuggestedName(name: string): void {
  if (utf8(name).length > TOKEN_NAME_MAX) throw new Malformed('name too long')
  if (!isAscii(name) && unsafe().test(name)) throw new Malformed('control character in the name')
  if (name !== name.trim()) throw new Malformed('blank around the name')
  if (name !== name.normalize('NFC')) throw new Malformed('name not in normal form')
}

/** The signed part without its signature. Throws Malformed for fields that a parser would refuse. */
function encodeBody(fields: TokenFields): Uint8Array {
  checkFields(fields)
  const ext = concat(...fields.ext.map(({ type, value }) => concat(Uint8Array.of(type, value.length), value)))
  const name = utf8(fields.name)
  const body = new Writer()
    .u8(VERSION)
    .u8(fields.revocation ? REVOCATION : 0)
    .bytes(fields.identity)
    .bytes(fields.transport)
    .u64(fields.seq)
    .u32(fields.notAfter)
    .u8(name.length)
    .bytes(name)
    .bytes(encodeAddresses(fields.addresses))
    .u16(ext.length)
    .bytes(ext)
    .finish()
  if (body.length + SIGNATURE > TOKEN_BYTES_MAX) throw new Malformed('token too long')
  return body
}

function checkFields(fields: TokenFields): void {
  const { revocation, transport, seq, notAfter, name, addresses, ext } = fields
  checkSuggestedName(name)
  if (revocation) {
    const bare = isZero(transport) && notAfter === 0 && name === '' && addresses.length === 0 && ext.length === 0
    if (!bare || seq !== REVOKED_SEQ) throw new Malformed('a revocation carries nothing else')
  } else if (seq === REVOKED_SEQ) {
    throw new Malformed('the sequence number of a revocation')
  }
  let previous = -1
  for (const { type, value } of ext) {
    if (type <= previous) throw new Malformed('extensions out of order')
    if (type >= CRITICAL) throw new Malformed(`unknown critical extension ${type}`)
    if ((EXT_SIZES.get(type) ?? value.length) !== value.length) throw new Malformed(`extension ${type} of wrong size`)
    previous = type
  }
}

/** A token of these fields, signed over "p2p/1 token" || body. Throws Malformed for fields no parser takes. */
export async function encodeToken(
  fields: TokenFields,
  sign: (message: Uint8Array) => Promise<Uint8Array>,
): Promise<Token> {
  const body = encodeBody(fields)
  return parseTokenBytes(concat(body, await sign(concat(SIGN_LABEL, body))))
}

/** Strict parse of a payload: what it returns encodes to the same bytes. Nothing is believed yet. Throws Malformed. */
export function parseTokenBytes(bytes: Uint8Array): Token {
  if (bytes.length > TOKEN_BYTES_MAX) throw new Malformed('token too long')
  const reader = new Reader(bytes)
  const version = reader.u8()
  if (version !== VERSION) throw new Malformed(`token version ${version}`)
  const flags = reader.u8()
  if ((flags & ~REVOCATION) !== 0) throw new Malformed('unknown flag')
  const fields: TokenFields = {
    revocation: flags === REVOCATION,
    identity: reader.bytes(32).slice(),
    transport: reader.bytes(32).slice(),
    seq: reader.u64(),
    notAfter: reader.u32(),
    name: fromUtf8(reader.bytes(reader.u8())),
    addresses: decodeAddresses(reader),
    ext: decodeExtensions(new Reader(reader.bytes(reader.u16()))),
  }
  reader.bytes(SIGNATURE)
  reader.end()
  // One way to write a token: whatever the steps above let through must come out as it went in.
  if (compare(encodeBody(fields), bytes.subarray(0, bytes.length - SIGNATURE)) !== 0) throw new Malformed('not canonical')
  return { ...fields, bytes: bytes.slice() }
}

function decodeExtensions(reader: Reader): Extension[] {
  const out: Extension[] = []
  while (reader.left > 0) {
    const type = reader.u8()
    out.push({ type, value: reader.bytes(reader.u8()).slice() })
  }
  return out
}

// SHA-256 is the same everywhere; a Suite would be asked of every caller for four bytes.
function sumOf(payload: Uint8Array): Uint8Array {
  return sha256(SUM_LABEL, payload).subarray(0, SUM)
}

/** The one line that people pass on. */
export function formatToken(token: Token): string {
  return TOKEN_PREFIX + base58(concat(token.bytes, sumOf(token.bytes)))
}

/** The payload of base58 text (without p2p1) whose sum is right; else undefined. */
export function openSum(body: string): Uint8Array | undefined {
  let bytes: Uint8Array
  try {
    bytes = fromBase58(body, TOKEN_TEXT_MAX)
  } catch {
    return undefined
  }
  const payload = bytes.subarray(0, Math.max(0, bytes.length - SUM))
  return compare(sumOf(payload), bytes.subarray(payload.length)) === 0 ? payload : undefined
}

/**
 * A token from its text, blanks around it ignored: shape, length, sum and fields are judged in this order, the length
 * before anything is decoded. Nothing is believed yet: verifyToken. Throws Failure 65, each cause with its own words.
 */
export function parseToken(text: string): Token {
  const bad = (why: string): Failure => new Failure(EX.DATA, why)
  const trimmed = text.trim()
  const shaped = /^p2p[0-9]/.test(trimmed)
  if (trimmed.length > TOKEN_TEXT_MAX) {
    throw bad(shaped ? `token too long: ${trimmed.length} characters, at most ${TOKEN_TEXT_MAX}` : NOT_A_TOKEN)
  }
  const payload = openSum(trimmed.slice(TOKEN_PREFIX.length))
  if (!trimmed.startsWith(TOKEN_PREFIX)) {
    if (payload !== undefined) throw bad(`typing error in the token: it starts with ${TOKEN_PREFIX}`)
    throw bad(shaped ? `token of another version (${trimmed.slice(0, 4)}): this program reads p2p1` : NOT_A_TOKEN)
  }
  const strange = /[^1-9A-HJ-NP-Za-km-z]/u.exec(trimmed)
  if (strange !== null) {
    throw bad(`typing error in the token: character ${strange.index + 1} is none that occurs in tokens`)
  }
  if (trimmed.length < TOKEN_TEXT_MIN) {
    throw bad(`token cut off: ${trimmed.length} characters, at least ${TOKEN_TEXT_MIN}`)
  }
  if (payload === undefined) throw bad('typing error in the token, or a part of it is missing: its sum does not match')
  try {
    return parseTokenBytes(payload)
  } catch (error) {
    if (!(error instanceof Malformed)) throw error
    if (error.message === 'truncated') throw bad('token truncated: its fields go beyond its end')
    throw bad(`malformed token: ${error.message}`)
  }
}

/** Keys, then the signature, then that of an older identity if one is named. Throws Failure 65. */
export async function verifyToken(token: Token): Promise<void> {
  const { isValidPublicKey, verify } = await import('../crypto/ed25519.ts')
  const good = token.revocation || isTransportKey(token.transport)
  if (!good || !(await isValidPublicKey(token.identity))) {
    throw new Failure(EX.DATA, 'forged token: a key in it is not valid')
  }
  const body = token.bytes.subarray(0, token.bytes.length - SIGNATURE)
  const signature = token.bytes.subarray(body.length)
  if (!(await verify(signature, concat(SIGN_LABEL, body), token.identity))) {
    throw new Failure(EX.DATA, 'forged token: the signature is not by the identity it names')
  }
  const older = successorOf(token)
  if (older !== undefined && !(await verify(older.signature, statement(older.old, token.identity, older.seq), older.old))) {
    throw new Failure(EX.DATA, 'forged token: the identity it says it succeeds has not signed that')
  }
}

/** True from the instant a token no longer counts; `now` in Unix milliseconds. */
export function isExpired(token: Pick<TokenFields, 'notAfter'>, now: number): boolean {
  return token.notAfter !== 0 && now >= token.notAfter * 1000
}

/** True if the two say the same of the same identity: equal, or differing only in an invite secret. */
export function isSameToken(a: Token, b: Token): boolean {
  const plain = (token: Token): Uint8Array =>
    encodeBody({ ...token, ext: token.ext.filter(({ type }) => type !== EXT_INVITE) })
  return compare(plain(a), plain(b)) === 0
}
