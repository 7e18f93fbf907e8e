// One verifier, one meaning. The expected column of every table here is ours: where verifiers of the world differ,
// these tests fix which answer p2p gives.

import { ed25519 } from '@noble/curves/ed25519.js'
import { sha512 } from '@noble/hashes/sha2.js'
import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { concat, fromHex, hex, utf8 } from '../lib/base/bytes.ts'
import { systemRandom } from '../lib/base/random.ts'
import { generateSeed, isValidPublicKey, publicKeyOf, sign, verify } from '../lib/crypto/ed25519.ts'
import { readWycheproof } from './vectors.ts'

const { Point } = ed25519
const EMPTY = new Uint8Array(0)
const ORDER = 2n ** 252n + 27742317777372353535851937790883648493n

// RFC 8032 section 7.1: tests 1, 2, 3
const RFC8032: { seed: string; publicKey: string; message: string; signature: string }[] = [
  {
    seed: '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60',
    publicKey: 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a',
    message: '',
    signature:
      'e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155' +
      '5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b',
  },
  {
    seed: '4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb',
    publicKey: '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c',
    message: '72',
    signature:
      '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da' +
      '085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00',
  },
  {
    seed: 'c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7',
    publicKey: 'fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025',
    message: 'af82',
    signature:
      '6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac' +
      '18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a',
  },
]

test('keys and signatures as in RFC 8032', async () => {
  for (const { seed, publicKey, message, signature } of RFC8032) {
    assert.is(hex(await publicKeyOf(fromHex(seed))), publicKey)
    assert.is(hex(await sign(fromHex(message), fromHex(seed))), signature)
    assert.is(await verify(fromHex(signature), fromHex(message), fromHex(publicKey)), true)
    assert.is(await isValidPublicKey(fromHex(publicKey)), true)
  }
})

test('every flipped bit of a signature, message or key is refused', async () => {
  const { publicKey, message, signature } = RFC8032[1]!
  const parts = [fromHex(signature), fromHex(message), fromHex(publicKey)] as const
  for (const [i, part] of parts.entries()) {
    for (let bit = 0; bit < part.length * 8; bit += i === 1 ? 1 : 5) {
      const bent = parts.map((bytes) => new Uint8Array(bytes)) as [Uint8Array, Uint8Array, Uint8Array]
      bent[i]![bit >> 3]! ^= 1 << (bit & 7)
      assert.is(await verify(...bent), false, `part ${i} bit ${bit}`)
    }
  }
})

test('keys and signatures of other lengths are refused, not thrown', async () => {
  const { publicKey, signature } = RFC8032[0]!
  const [key, good] = [fromHex(publicKey), fromHex(signature)]
  for (const length of [0, 31, 33, 64]) {
    const bad = concat(key, key).slice(0, length)
    assert.is(await isValidPublicKey(bad), false)
    assert.is(await verify(good, EMPTY, bad), false)
  }
  for (const length of [0, 32, 63, 65]) assert.is(await verify(concat(good, good).slice(0, length), EMPTY, key), false)
})

// Every encoding of the eight points of small order, and encodings that are no canonical point.
const BAD_KEYS: [name: string, encoding: string][] = [
  ['order 1', '0100000000000000000000000000000000000000000000000000000000000000'],
  ['order 2', 'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f'],
  ['order 4', '0000000000000000000000000000000000000000000000000000000000000000'],
  ['order 4, negative', '0000000000000000000000000000000000000000000000000000000000000080'],
  ['order 8', '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05'],
  ['order 8, negative', '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85'],
  ['order 8, other', 'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a'],
  ['order 8, other, negative', 'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa'],
  ['order 1 with the sign of zero', '0100000000000000000000000000000000000000000000000000000000000080'],
  ['order 2 with the sign of zero', 'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff'],
  ['y = p', 'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f'],
  ['y = p, negative', 'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff'],
  ['y = p + 1', 'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f'],
  ['y = p + 1, negative', 'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff'],
  ['y = p + 3, a point when reduced', 'f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f'],
  ['y = p + 4, a point when reduced', 'f1ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f'],
  ['y = 2^255 - 1', 'ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f'],
  ['all ones', 'ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff'],
  ['y = 2, not on the curve', '0200000000000000000000000000000000000000000000000000000000000000'],
]

test('keys of small order, not canonical or not on the curve are invalid', async () => {
  for (const [name, encoding] of BAD_KEYS) {
    assert.is(await isValidPublicKey(fromHex(encoding)), false, name)
    // with such a key R = identity and S = 0 satisfies the equation for some messages, of small order for all
    const forged = concat(fromHex(BAD_KEYS[0]![1]), new Uint8Array(32))
    assert.is(await verify(forged, utf8('anything'), fromHex(encoding)), false, name)
  }
})

/** A signature by a secret scalar under any public key that goes with it, torsion included. */
function signAs(scalar: bigint, publicKey: Uint8Array, message: Uint8Array, nudge = Point.ZERO): Uint8Array {
  const r = 12345678901234567890n
  const R = Point.BASE.multiply(r).add(nudge).toBytes()
  const digest = sha512(concat(R, publicKey, message))
  const h = BigInt(`0x${hex(digest.reverse())}`) % ORDER
  const S = (r + h * scalar) % ORDER
  return concat(R, fromHex(S.toString(16).padStart(64, '0')).reverse())
}

const TORSION = Point.fromHex(BAD_KEYS[4]![1])
const SCALAR = 98765432109876543210n

test('a key of mixed order is refused, though its signatures satisfy the equation of others', async () => {
  const message = utf8('mixed')
  let accepted = 0
  let nudge = TORSION
  for (let i = 1; i < 8; i++, nudge = nudge.add(TORSION)) {
    const key = Point.BASE.multiply(SCALAR).add(nudge).toBytes()
    const signature = signAs(SCALAR, key, message)
    if (ed25519.verify(signature, message, key, { zip215: false })) accepted++
    assert.is(await isValidPublicKey(key), false, `${i} times the torsion point`)
    assert.is(await verify(signature, message, key), false)
  }
  assert.is(accepted, 7, 'without our rule these were valid')
  const clean = Point.BASE.multiply(SCALAR).toBytes()
  assert.is(await verify(signAs(SCALAR, clean, message), message, clean), true)
})

test('edge cases of R and S under a good key', async () => {
  const message = utf8('edge')
  const key = Point.BASE.multiply(SCALAR).toBytes()
  const good = signAs(SCALAR, key, message)
  const bigger = BigInt(`0x${hex(new Uint8Array(good.subarray(32)).reverse())}`) + ORDER
  const table: [name: string, signature: Uint8Array, expected: boolean][] = [
    ['good', good, true],
    ['S + L', concat(good.subarray(0, 32), fromHex(bigger.toString(16).padStart(64, '0')).reverse()), false],
    ['S with its top bit', concat(good.subarray(0, 63), Uint8Array.of(good[63]! | 0x80)), false],
    ['R of mixed order', signAs(SCALAR, key, message, TORSION), true], // only the signer can make it
    ['R not canonical', concat(fromHex(BAD_KEYS[12]![1]), good.subarray(32)), false],
    ['R not a point', concat(fromHex(BAD_KEYS[18]![1]), good.subarray(32)), false],
    ['all zero', new Uint8Array(64), false],
    ['all ones', new Uint8Array(64).fill(255), false],
  ]
  for (const [name, signature, expected] of table) assert.is(await verify(signature, message, key), expected, name)
})

const wycheproof = readWycheproof('ed25519_test.json')
if (wycheproof !== undefined) {
  test('Wycheproof: Ed25519', async () => {
    for (const one of wycheproof) {
      const { pk } = one['publicKey'] as unknown as { pk: string }
      const answer = await verify(fromHex(`${one['sig']}`), fromHex(`${one['msg']}`), fromHex(pk))
      assert.is(answer, one['result'] === 'valid', `tcId ${one['tcId']}`)
    }
    assert.is(wycheproof.length, 151)
    console.log(`${wycheproof.length} Wycheproof Ed25519`)
  })
}

test('a fresh seed signs what its key verifies, and nobody else\'s key does', async () => {
  const other = await publicKeyOf(generateSeed(systemRandom))
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ minLength: 32, maxLength: 32 }), fc.uint8Array(), async (seed, message) => {
      const key = await publicKeyOf(seed)
      assert.is(await isValidPublicKey(key), true)
      const signature = await sign(message, seed)
      assert.is(await verify(signature, message, key), true)
      assert.is(await verify(signature, concat(message, Uint8Array.of(0)), key), false)
      assert.is(await verify(signature, message, other), false)
    }),
    { numRuns: 20 },
  )
})

test('a seed is 32 bytes of the given source', async () => {
  let asked = 0
  const seed = generateSeed({ bytes: (size) => new Uint8Array((asked = size)).fill(3) })
  assert.is(asked, 32)
  assert.is(seed.length, 32)
  for (const length of [0, 31, 33, 64]) {
    for (const run of [() => publicKeyOf(new Uint8Array(length)), () => sign(EMPTY, new Uint8Array(length))]) {
      try {
        await run()
        assert.unreachable()
      } catch (error) {
        assert.instance(error, RangeError)
      }
    }
  }
})

test.run()
