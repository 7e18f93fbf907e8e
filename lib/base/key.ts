// KEY: the name of a person to the software, base58 of the 32 bytes of an Ed25519 public key. The only door to bs58.

import bs58 from 'bs58'

import { Malformed } from './fail.ts'

/** base58 (Bitcoin's alphabet) of any bytes. */
export function base58(bytes: Uint8Array): string {
  return bs58.encode(bytes)
}

/** Strict base58; `limit` characters at most, checked before decoding since decoding is quadratic. Throws Malformed. */
export function fromBase58(text: string, limit: number): Uint8Array {
  if (text.length > limit) throw new Malformed('base58 text too long')
  const bytes = bs58.decodeUnsafe(text)
  if (bytes === undefined) throw new Malformed('not base58')
  return bytes
}

const KEY_SHAPE = /^[1-9A-HJ-NP-Za-km-z]{32,44}$/

/** True for any text that has the form of a KEY, whether or not it is one: such text is never a NAME. */
export function looksLikeKey(text: string): boolean {
  return KEY_SHAPE.test(text)
}

/** The 32 bytes of a KEY; undefined if the text is none. */
export function keyBytes(text: string): Uint8Array | undefined {
  if (!looksLikeKey(text)) return undefined
  const bytes = bs58.decodeUnsafe(text)
  return bytes?.length === 32 ? bytes : undefined
}
