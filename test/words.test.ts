// Fingerprints: 132 bits of a hash as twelve words, the same with both back ends, forever.

import fc from 'fast-check'
import { wordlist } from '@scure/bip39/wordlists/english.js'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { concat, hex, utf8 } from '../lib/base/bytes.ts'
import { loadSuite } from '../lib/crypto/suite.ts'
import { fingerprintWords, sameWords } from '../lib/crypto/words.ts'

const SUITES = [await loadSuite({ P2P_CRYPTO: 'node' }), await loadSuite({ P2P_CRYPTO: 'noble' })]

// Computed with python3's hashlib and the BIP39 list.
const ZERO = 'amused gain monster suffer verb surround broccoli quantum genius drill explain enough'
const COUNTING = 'region inside lazy mutual venue tiger zebra board pencil practice cabbage price'

test('the words of two keys are the ones computed elsewhere', async () => {
  for (const suite of SUITES) {
    assert.is((await fingerprintWords(new Uint8Array(32), suite)).join(' '), ZERO)
    assert.is((await fingerprintWords(Uint8Array.from({ length: 32 }, (_, i) => i), suite)).join(' '), COUNTING)
  }
})

test('the words are bits 0 to 131 of the hash, 11 a word', async () => {
  const [suite] = SUITES
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ minLength: 32, maxLength: 32 }), async (identity) => {
      const digest = suite!.hash(concat(utf8('p2p/1 fingerprint'), identity))
      const words = await fingerprintWords(identity, suite!)
      const bits = words.map((word) => wordlist.indexOf(word).toString(2).padStart(11, '0')).join('')
      const expected = BigInt(`0x${hex(digest)}`).toString(2).padStart(256, '0').slice(0, 132)
      assert.is(bits, expected)
      assert.is(words.length, 12)
    }),
    { numRuns: 200 },
  )
})

test('an identity is 32 bytes', async () => {
  for (const length of [0, 31, 33]) {
    try {
      await fingerprintWords(new Uint8Array(length), SUITES[0]!)
      assert.unreachable()
    } catch (error) {
      assert.instance(error, RangeError)
    }
  }
})

test('words are compared without regard to case, commas and white space, and to nothing else', () => {
  const words = ZERO.split(' ')
  assert.is(sameWords(words, ZERO), true)
  assert.is(sameWords(words, `  ${ZERO.toUpperCase().replaceAll(' ', ',\n\t')} \n`), true)
  assert.is(sameWords(words, words.slice(1).join(' ')), false)
  assert.is(sameWords(words, `${ZERO} ${words[0]}`), false)
  assert.is(sameWords(words, [...words].reverse().join(' ')), false)
  assert.is(sameWords(words, COUNTING), false)
  assert.is(sameWords(words, words.map((word) => word.slice(0, -1)).join(' ')), false)
  assert.is(sameWords(words, ''), false)
  assert.is(sameWords([], ''), false)
  assert.is(sameWords(words.slice(1), words.slice(1).join(' ')), false)
})

test.run()
