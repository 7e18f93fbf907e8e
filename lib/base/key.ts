// KEY: the name of a person to the software, base58 of the 32 bytes of an Ed25519 public key. The only door to bs58.

import bs58 from 'bs58'

import { Malformed } from './fail.ts'

const ALPHABET = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'

/** Digits at a time: 58^9 is below 2^53. */
const DIGITS = 9

/** base58 (Bitcoin's alphabet) of any bytes. */
export function base58(bytes: Uint8Array): string {
  return bs58.encode(bytes)
}

/** Strict base58; `limit` characters at most, checked before decoding since decoding is quadratic. Throws Malformed. */
export function fromBase58(text: string, limit: number): Uint8Array {
  if (text.length > limit) throw new Malformed('base58 text too long')
  const bytes = decode(text)
  if (bytes === undefined) throw new Malformed('not base58')
  return bytes
}

/**
 * The same as bs58's, with large integers: every command decodes a token before it does anything else, and the loops
 * of bs58 take a millisecond for that in a process that has just begun.
 */
function decode(text: string): Uint8Array | undefined {
  let value = 0n
  for (let at = 0; at < text.length; at += DIGITS) {
    const digits = text.slice(at, at + DIGITS)
    let number = 0
    for (const char of digits) {
      const digit = ALPHABET.indexOf(char)
      if (digit < 0) return undefined
      number = number * 58 + digit
    }
    value = value * 58n ** BigInt(digits.length) + BigInt(number)
  }
  const zeros = /^1*/.exec(text)?.[0].length ?? 0
  const hex = value === 0n ? '' : value.toString(16)
  const bytes = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex')
  const out = new Uint8Array(zeros + bytes.length)
  out.set(bytes, zeros)
  return out
}

const KEY_SHAPE = /^[1-9A-HJ-NP-Za-km-z]{32,44}$/

/** True for any text that has the form of a KEY, whether or not it is one: such text is never a NAME. */
export function looksLikeKey(text: string): boolean {
  return KEY_SHAPE.test(text)
}

/** The 32 bytes of a KEY; undefined if the text is none. */
export function keyBytes(text: string): Uint8Array | undefined {
  if (!looksLikeKey(text)) return undefined
  const bytes = decode(text)
  return bytes?.length === 32 ? bytes : undefined
}
