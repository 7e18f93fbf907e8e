// The fingerprint people compare over the phone: 132 bits of a hash of one identity as 12 words of the BIP39 English
// list (no checksum). Each side shows its own words and the other's, side by side; they are never mixed into one value,
// which somebody in the middle could collide with half the work by choosing a key on each side.

import { concat, utf8 } from '../base/bytes.ts'
import { type Suite } from './suite.ts'

const LABEL = utf8('p2p/1 fingerprint')
const WORDS = 12
const WORD_BITS = 11

/** The 12 words of an identity (32 bytes): bits 0..131 of H(label || identity), 11 a word, from the front. */
export async function fingerprintWords(identity: Uint8Array, suite: Suite): Promise<string[]> {
  if (identity.length !== 32) throw new RangeError('identity is not 32 bytes')
  const { wordlist } = await import('@scure/bip39/wordlists/english.js')
  const digest = suite.hash(concat(LABEL, identity))
  const words: string[] = []
  let bits = 0
  let held = 0
  for (const byte of digest) {
    held = ((held << 8) | byte) & 0xf_ffff // at most 10 bits wait, 18 with this byte
    bits += 8
    if (bits < WORD_BITS) continue
    bits -= WORD_BITS
    words.push(wordlist[(held >>> bits) & 0x7ff] ?? '')
    if (words.length === WORDS) break
  }
  return words
}

/** True if `said` is these words in this order; case, commas and the amount of white space do not count. */
export function sameWords(words: readonly string[], said: string): boolean {
  const given = said.toLowerCase().split(/[\s,]+/).filter((word) => word !== '')
  return words.length === WORDS && given.length === WORDS && given.every((word, i) => word === words[i])
}
