// Bundles: what waits for one contact as a file that somebody carries. p2p-wire(7), BUNDLES. One Noise_X message to the
// recipient's transport key, then the content in sealed chunks of which the last is marked: a bundle that was cut is
// known as such, and nothing of a chunk is handed out before the whole chunk is authentic. The sender is who owns the
// transport key in it, which proves less than a session does: whoever has stolen the recipient's key can forge it.

import { concat, equal, Reader, utf8, Writer } from '../base/bytes.ts'
import { Malformed } from '../base/fail.ts'
import type { Random } from '../base/random.ts'
import { HandshakeState, X } from '../crypto/noise.ts'
import { type CipherState, TAG_LENGTH } from '../crypto/noisestate.ts'
import type { PrivateKey, Suite } from '../crypto/suite.ts'

const MAGIC = utf8('p2pb\x01')
const MARK_SIZE = 8
const DH_LENGTH = 32

/** e, the sealed s and the sealed payload: one length whatever it carries, as a hello. */
const HELLO_SIZE = 768
const PAYLOAD_SIZE = HELLO_SIZE - DH_LENGTH - (DH_LENGTH + TAG_LENGTH) - TAG_LENGTH

/** Bytes of a bundle before its first chunk. */
export const OPENING_SIZE = MAGIC.length + 2 * MARK_SIZE + HELLO_SIZE

/** Content bytes in one chunk; near the best size for the cipher, and small enough to hold. */
export const CHUNK_MAX = 32 * 1024

const TOKEN_MAX = 512
const CREATED_MAX = 253_402_300_799_999 // ms; the last instant of the year 9999
const MORE = 0
const LAST = 1

/** What the sealed payload says of the sender. */
export interface BundlePayload {
  /** I of the sender: to be matched with the T that the handshake proved. */
  identity: Uint8Array
  /** seq of the sender's token. */
  seq: bigint
  /** Unix ms at the sender. */
  created: number
  /** The sender's signed token payload; never an invite. */
  token: Uint8Array
}

export interface Recipient {
  identity: Uint8Array
  transport: Uint8Array
}

/** Makes a bundle piece by piece: what write() and finish() return follows `opening`, in this order. */
export class BundleWriter {
  readonly opening: Uint8Array
  readonly #cipher: CipherState
  #held: Uint8Array[] = []
  #size = 0

  constructor(suite: Suite, random: Random, s: PrivateKey, recipient: Recipient, payload: BundlePayload) {
    const { identity, transport } = recipient
    const handshake = new HandshakeState({
      suite,
      random,
      pattern: X,
      initiator: true,
      prologue: prologueFor(identity),
      s,
      rs: transport,
    })
    const hello = handshake.writeMessage(encodePayload(payload))
    const e = hello.subarray(0, DH_LENGTH)
    this.opening = concat(MAGIC, personMark(suite, e, identity), keyMark(suite, e, transport), hello)
    this.#cipher = handshake.split().send
  }

  /** Takes content; returns the chunks that it fills, which may be none. */
  write(bytes: Uint8Array): Uint8Array[] {
    const chunks: Uint8Array[] = []
    for (let rest = bytes; rest.length > 0; ) {
      if (this.#size === CHUNK_MAX) chunks.push(this.#seal(MORE))
      const piece = rest.subarray(0, CHUNK_MAX - this.#size)
      this.#held.push(new Uint8Array(piece))
      this.#size += piece.length
      rest = rest.subarray(piece.length)
    }
    return chunks
  }

  /** The last chunk. Nothing may be written after it. */
  finish(): Uint8Array {
    const chunk = this.#seal(LAST)
    this.#cipher.close()
    return chunk
  }

  #seal(mark: number): Uint8Array {
    const sealed = this.#cipher.encryptWithAd(new Uint8Array(0), concat(Uint8Array.of(mark), ...this.#held))
    this.#held = []
    this.#size = 0
    return new Writer(2 + sealed.length).u16(sealed.length).bytes(sealed).finish()
  }
}

export interface OpenBundle {
  /** T of the sender, proven by the handshake. */
  transport: Uint8Array
  payload: BundlePayload
  cipher: CipherState
}

/**
 * Opens the first OPENING_SIZE bytes with one of `keys`, the own transport keys. 'other': it is meant for somebody
 * else. 'old': it was made for a transport key that is not among them. Throws Malformed if it is no bundle, or damaged.
 */
export function openBundle(
  opening: Uint8Array,
  suite: Suite,
  random: Random,
  self: { identity: Uint8Array; keys: readonly PrivateKey[] },
): OpenBundle | 'other' | 'old' {
  const reader = new Reader(opening)
  if (!equal(reader.bytes(MAGIC.length), MAGIC)) throw new Malformed('not a bundle')
  const person = reader.bytes(MARK_SIZE)
  const key = reader.bytes(MARK_SIZE)
  const hello = reader.bytes(HELLO_SIZE)
  reader.end()
  const e = hello.subarray(0, DH_LENGTH)
  if (!equal(person, personMark(suite, e, self.identity))) return 'other'
  const s = self.keys.find(({ publicKey }) => equal(key, keyMark(suite, e, publicKey)))
  if (s === undefined) return 'old'
  const prologue = prologueFor(self.identity)
  const handshake = new HandshakeState({ suite, random, pattern: X, initiator: false, prologue, s })
  const payload = decodePayload(handshake.readMessage(hello))
  const transport = handshake.remoteStatic as Uint8Array
  return { transport, payload, cipher: handshake.split().receive }
}

/**
 * The content behind the opening, chunk by chunk, each authentic as a whole. Throws Malformed: 'truncated' if the
 * source ends before the chunk that is marked as the last one, else for a damaged chunk or bytes behind the last.
 */
export async function* openChunks(source: Pieces, cipher: CipherState): AsyncGenerator<Uint8Array> {
  for (;;) {
    const length = new Reader(await source.take(2)).u16()
    if (length < 1 + TAG_LENGTH || length > 1 + CHUNK_MAX + TAG_LENGTH) throw new Malformed('chunk of wrong length')
    const plain = cipher.decryptWithAd(new Uint8Array(0), await source.take(length))
    const mark = plain[0]
    if (mark !== MORE && mark !== LAST) throw new Malformed('unknown mark of a chunk')
    if (plain.length > 1) yield plain.subarray(1)
    if (mark === LAST) break
  }
  cipher.close()
  if (!(await source.ended())) throw new Malformed('bytes behind the last chunk')
}

/** What the content is made of: records one after the other. */
export const RECORD = { MESSAGE: 1, RECEIPT: 2 } as const

/** What goes before the bytes of an envelope of this size. */
export function messageRecord(size: number): Uint8Array {
  return new Writer(9).u8(RECORD.MESSAGE).u64(size).finish()
}

/** That a message (id and proof 32 bytes each, see receiptProof) is in the inbox. */
export function receiptRecord(id: Uint8Array, proof: Uint8Array): Uint8Array {
  return concat(Uint8Array.of(RECORD.RECEIPT), id, proof)
}

/** Bytes of a receipt behind its first. */
export const RECEIPT_SIZE = 64

/**
 * What only those can say who have seen the message: the key is a hash of its head, which travels sealed. Without it,
 * whoever has stolen a transport key could make a queue forget messages that never arrived.
 */
export function receiptProof(suite: Suite, head: Uint8Array, id: Uint8Array): Uint8Array {
  return suite.hmac(suite.hash(utf8('p2p/1 receipt'), head), id)
}

/** A stream of pieces of any length, taken in exact lengths; holds what is not taken yet. */
export class Pieces {
  readonly #source: AsyncIterator<Uint8Array>
  #held: Uint8Array = new Uint8Array(0)

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]()
  }

  /** The next `size` bytes. Throws Malformed if the source ends before. */
  async take(size: number): Promise<Uint8Array> {
    const parts: Uint8Array[] = []
    for (let missing = size; missing > 0; ) {
      const piece = await this.some(missing)
      if (piece.length === 0) throw new Malformed('truncated')
      parts.push(piece)
      missing -= piece.length
    }
    return parts.length === 1 ? (parts[0] as Uint8Array) : concat(...parts)
  }

  /** One to `most` bytes, as they come; none at the end of the source. */
  async some(most: number): Promise<Uint8Array> {
    while (this.#held.length === 0) {
      const { done, value } = await this.#source.next()
      if (done === true) return new Uint8Array(0)
      this.#held = value
    }
    const piece = this.#held.subarray(0, most)
    this.#held = this.#held.subarray(piece.length)
    return piece
  }

  /** Whether nothing more comes. */
  async ended(): Promise<boolean> {
    const piece = await this.some(1)
    if (piece.length === 0) return true
    this.#held = concat(piece, this.#held)
    return false
  }
}

function prologueFor(recipient: Uint8Array): Uint8Array {
  return concat(utf8('p2p/1 bundle'), recipient)
}

/** Both marks tell their finder something only with the recipient's token in hand; no two bundles share one. */
function personMark(suite: Suite, e: Uint8Array, identity: Uint8Array): Uint8Array {
  return suite.hash(utf8('p2p/1 for person'), e, identity).slice(0, MARK_SIZE)
}

function keyMark(suite: Suite, e: Uint8Array, transport: Uint8Array): Uint8Array {
  return suite.hash(utf8('p2p/1 for key'), e, transport).slice(0, MARK_SIZE)
}

function encodePayload({ identity, seq, created, token }: BundlePayload): Uint8Array {
  if (token.length > TOKEN_MAX) throw new RangeError('token too long')
  const writer = new Writer(PAYLOAD_SIZE).bytes(identity).u64(seq).u64(created).u16(token.length).bytes(token)
  return writer.zeros(PAYLOAD_SIZE - writer.length).finish()
}

function decodePayload(bytes: Uint8Array): BundlePayload {
  const reader = new Reader(bytes)
  const identity = reader.bytes(32)
  const seq = reader.u64()
  const created = reader.size()
  if (created > CREATED_MAX) throw new Malformed('creation time out of range')
  const length = reader.u16()
  if (length > TOKEN_MAX) throw new Malformed('token too long')
  const token = reader.bytes(length)
  reader.zeros()
  return { identity, seq, created, token }
}
