// Finds the token in a text that people and mail programs have handled: broken over lines, quoted, surrounded by prose
// that may even follow without a blank. Where it ends is told by its sum, tried at every length in one pass. Work is
// bounded whatever the text holds. Trusts nobody.

import { EX, Failure } from '../base/fail.ts'
import { openSum, parseToken, TOKEN_PREFIX, TOKEN_TEXT_MAX, TOKEN_TEXT_MIN } from './token.ts'

import type { Token } from './token.ts'

export const FIND_MAX = 64 * 1024 // bytes of text: a mail with its quotes
const STARTS_MAX = 16 // places that look like the start of a token, a millisecond each; more is not a letter to a friend
const SPOILT_MIN = 24 // characters after which a bad token is talked about rather than taken for prose

const ALPHABET = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'

/**
 * The one token in `text`; several copies of the same count once. Line breaks (also the soft ones of quoted-printable),
 * blanks, invisible characters and the `>` of quotes are removed first. Like parseToken's, the result is not yet
 * believed. Throws Failure 65: none, several, or what is wrong with the one that is there.
 */
export function findToken(text: string): Token {
  if (text.length > FIND_MAX) throw new Failure(EX.DATA, `text too long for a token: more than ${FIND_MAX} bytes`)
  const squeezed = text
    .replace(/^[\s>]+|=?(?:\r\n|\r|\n|\u2028|\u2029)[\s>]*/g, '')
    .replace(/[\s\u00ad\u200b-\u200d\u2060\ufeff]+/g, '')
  const found = new Set<string>()
  let spoilt = ''
  let starts = 0
  for (let at = squeezed.indexOf(TOKEN_PREFIX); at >= 0; at = squeezed.indexOf(TOKEN_PREFIX, at + 1)) {
    if (++starts > STARTS_MAX) throw new Failure(EX.DATA, 'several tokens in the text, or none: give one')
    const run = /^[0-9A-Za-z]*/.exec(squeezed.slice(at)) ?? ['']
    const candidate = cut(run[0])
    if (candidate !== undefined) {
      found.add(candidate)
      at += candidate.length - 1
    } else if (run[0].length > spoilt.length) {
      spoilt = run[0]
    }
  }
  const [only, ...others] = found
  if (others.length > 0) throw new Failure(EX.DATA, `${found.size} different tokens in the text: give one`)
  if (only !== undefined) return parseToken(only)
  if (spoilt.length >= SPOILT_MIN) return parseToken(spoilt)
  throw new Failure(EX.DATA, 'no token in the text: a token starts with p2p1')
}

/** The longest beginning of `run` whose sum is right; base58 is decoded once, growing by a character at a time. */
function cut(run: string): string | undefined {
  const longest = run.slice(0, TOKEN_TEXT_MAX)
  const value: number[] = [] // base 256, least significant first
  let found: string | undefined
  for (let at = TOKEN_PREFIX.length; at < longest.length; at++) {
    let carry = ALPHABET.indexOf(longest.charAt(at))
    if (carry < 0) break
    for (let index = 0; index < value.length; index++) {
      carry += (value[index] ?? 0) * 58
      value[index] = carry & 0xff
      carry >>= 8
    }
    if (carry > 0) value.push(carry)
    // A payload starts with version 1 and flags 0 or 1: few lengths are left for the sum to judge.
    const likely = value[value.length - 1] === 1 && (value[value.length - 2] ?? 2) < 2
    const candidate = longest.slice(0, at + 1)
    if (likely && candidate.length >= TOKEN_TEXT_MIN && hasSum(candidate)) found = candidate
  }
  return found
}

function hasSum(candidate: string): boolean {
  return openSum(candidate.slice(TOKEN_PREFIX.length)) !== undefined
}
