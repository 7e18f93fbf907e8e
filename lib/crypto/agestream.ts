// The payload of an age v1 file (C2SP age, "Payload"): a nonce, then STREAM, chunks of 64 KiB under ChaCha20-Poly1305 of
// which the last is marked, so that a missing end is seen. node:crypto's cipher is 15 times as fast as one in JavaScript,
// which tells for archives of some GiB. Memory: two chunks. Each chunk that comes out is authentic.

import { createCipheriv, createDecipheriv, hkdfSync } from 'node:crypto'

import { concat } from '../base/bytes.ts'
import { Malformed } from '../base/fail.ts'
import { type Random, systemRandom } from '../base/random.ts'

const CHUNK = 65_536
const TAG = 16
const NONCE = 16
const CIPHER = 'chacha20-poly1305'
const LAST_AT = 11 // of the 12 bytes of a chunk's nonce: 11 count, the last one marks the last chunk

function payloadKey(fileKey: Uint8Array, nonce: Uint8Array): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', fileKey, nonce, 'payload', 32))
}

function chunkNonce(index: number, last: boolean): Uint8Array {
  const nonce = new Uint8Array(12)
  new DataView(nonce.buffer).setBigUint64(3, BigInt(index))
  nonce[LAST_AT] = last ? 1 : 0
  return nonce
}

/** `source` in pieces of `size` bytes, told which is the last: the only one that may be shorter, or empty if all is. */
async function* blocks(
  source: AsyncIterable<Uint8Array>,
  size: number,
): AsyncGenerator<{ block: Uint8Array; last: boolean }> {
  let held = new Uint8Array(size)
  let fill = 0
  for await (const piece of source) {
    for (let at = 0; at < piece.length; ) {
      if (fill === size) {
        yield { block: held, last: false }
        held = new Uint8Array(size)
        fill = 0
      }
      const part = piece.subarray(at, at + size - fill)
      held.set(part, fill)
      fill += part.length
      at += part.length
    }
  }
  yield { block: held.subarray(0, fill), last: true }
}

/** Nonce and chunks for all of `source`. */
export async function* sealPayload(
  source: AsyncIterable<Uint8Array>,
  fileKey: Uint8Array,
  random: Random = systemRandom,
): AsyncGenerator<Uint8Array> {
  const nonce = random.bytes(NONCE)
  const key = payloadKey(fileKey, nonce)
  yield nonce
  let index = 0
  for await (const { block, last } of blocks(source, CHUNK)) {
    const cipher = createCipheriv(CIPHER, key, chunkNonce(index++, last), { authTagLength: TAG })
    yield concat(cipher.update(block), cipher.final(), cipher.getAuthTag())
  }
  key.fill(0)
}

/** What sealPayload was given. Throws Malformed for anything that was changed or cut off, and what the source throws. */
export async function* openPayload(
  source: AsyncIterable<Uint8Array>,
  fileKey: Uint8Array,
): AsyncGenerator<Uint8Array> {
  const pieces = source[Symbol.asyncIterator]()
  let start: Uint8Array = new Uint8Array(0)
  while (start.length < NONCE) {
    const next = await pieces.next()
    if (next.done === true) throw new Malformed('truncated age file')
    start = concat(start, next.value)
  }
  const key = payloadKey(fileKey, start.subarray(0, NONCE))
  const rest = async function* (): AsyncGenerator<Uint8Array> {
    yield start.subarray(NONCE)
    yield* { [Symbol.asyncIterator]: () => pieces }
  }
  let index = 0
  for await (const { block, last } of blocks(rest(), CHUNK + TAG)) {
    if (last && index > 0 && block.length === TAG) throw new Malformed('damaged age file') // empty only as the first
    yield openChunk(key, chunkNonce(index++, last), block)
  }
  key.fill(0)
}

function openChunk(key: Uint8Array, nonce: Uint8Array, block: Uint8Array): Uint8Array {
  if (block.length < TAG) throw new Malformed('truncated age file')
  const decipher = createDecipheriv(CIPHER, key, nonce, { authTagLength: TAG })
  decipher.setAuthTag(block.subarray(block.length - TAG))
  try {
    return concat(decipher.update(block.subarray(0, block.length - TAG)), decipher.final())
  } catch {
    throw new Malformed('age file damaged or cut off')
  }
}
