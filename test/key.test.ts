// base58 as everybody else's: the package that encodes is asked whether what we decode is right.

import bs58 from 'bs58'
import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { hex } from '../lib/base/bytes.ts'
import { Malformed } from '../lib/base/fail.ts'
import { base58, fromBase58, keyBytes } from '../lib/base/key.ts'

const ALPHABET = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'

function decoded(text: string): string | undefined {
  try {
    return hex(fromBase58(text, 1000))
  } catch (error) {
    assert.instance(error, Malformed)
    return undefined
  }
}

test('any bytes come back, leading zeros included', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.integer({ min: 0, max: 5 }), (bytes, zeros) => {
      const padded = Uint8Array.from([...new Uint8Array(zeros), ...bytes])
      assert.is(decoded(base58(padded)), hex(padded))
    }),
  )
})

test('any text decodes as bs58 decodes it, or not at all', () => {
  const digits = fc.array(fc.constantFrom(...ALPHABET), { maxLength: 40 }).map((chars) => chars.join(''))
  const texts = fc.oneof(digits, fc.tuple(digits, fc.string({ unit: 'binary', maxLength: 3 }), digits).map((parts) => parts.join('')))
  fc.assert(
    fc.property(texts, (text) => {
      const expected = bs58.decodeUnsafe(text)
      assert.is(decoded(text), expected === undefined ? undefined : hex(expected))
    }),
    { numRuns: 500 },
  )
  for (const text of ['', '1', '11', '0', 'O', 'I', 'l', ' 1', '1 ', '\u{1f600}', '11111111\u{1f600}']) {
    const expected = bs58.decodeUnsafe(text)
    assert.is(decoded(text), expected === undefined ? undefined : hex(expected), JSON.stringify(text))
  }
})

test('a text beyond the limit is refused before it is decoded; a KEY has 32 bytes', () => {
  assert.throws(() => fromBase58('1'.repeat(11), 10), /too long/)
  const key = base58(new Uint8Array(32).fill(9))
  assert.is(hex(keyBytes(key) ?? new Uint8Array()), '09'.repeat(32))
  assert.is(keyBytes(base58(new Uint8Array(31).fill(9))), undefined)
  assert.is(keyBytes(`${key.slice(0, -1)}0`), undefined)
})

test.run()
