// The primitives: published values, Wycheproof, and the two back ends against each other, byte for byte.

import zlib from 'node:zlib'

import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { concat, equal, fromHex, hex, isZero, utf8 } from '../lib/base/bytes.ts'
import { Failure, Malformed } from '../lib/base/fail.ts'
import { discard, freeAtOnce } from '../lib/base/garbage.ts'
import { systemRandom } from '../lib/base/random.ts'
import { crc32 } from '../lib/base/crc32.ts'
import { hkdf, loadHash, loadSuite, type Suite, worksHere } from '../lib/crypto/suite.ts'
import { readVectors, readWycheproof } from './vectors.ts'

const EMPTY = new Uint8Array(0)
const node = await loadSuite({ P2P_CRYPTO: 'node' })
const noble = await loadSuite({ P2P_CRYPTO: 'noble' })
const SUITES = [node, noble]

const isRangeError = (error: unknown): boolean => error instanceof RangeError // uvu would call a class, not test it
const isTypeError = (error: unknown): boolean => error instanceof TypeError

function refuses(run: () => unknown, what: string): void {
  assert.throws(run, (error: unknown) => error instanceof Malformed && error.message === 'cannot open', what)
}

function dh(suite: Suite, secret: string, publicKey: string): string {
  return hex(suite.dh(suite.importPrivate(fromHex(secret)), fromHex(publicKey)))
}

// RFC 7748 sections 5.2 and 6.1
const ALICE = '77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a'
const ALICE_PUBLIC = '8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a'
const BOB = '5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb'
const BOB_PUBLIC = 'de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f'
const X25519: [secret: string, publicKey: string, shared: string][] = [
  [
    'a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4',
    'e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c',
    'c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552',
  ],
  [
    '4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d',
    'e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493',
    '95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957',
  ],
  [ALICE, BOB_PUBLIC, '4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742'],
  [BOB, ALICE_PUBLIC, '4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742'],
]

test('bytes are equal only if all of them are', () => {
  const bytes = systemRandom.bytes(40)
  assert.ok(equal(bytes, bytes.slice()))
  for (let at = 0; at < 40 * 8; at++) {
    const other = bytes.slice()
    other[at >> 3] = (other[at >> 3] as number) ^ (1 << (at & 7))
    assert.not.ok(equal(bytes, other), `bit ${at}`)
  }
  assert.not.ok(equal(bytes, bytes.subarray(1)))
  assert.not.ok(equal(EMPTY, new Uint8Array(1)))
})

test('the hash for a few bytes and the one for many are the same, and so are the sums of CRC-32', async () => {
  const { hash } = await loadHash({})
  for (let size = 0; size < 300; size++) { // beyond what is computed without node:crypto and zlib
    const bytes = Uint8Array.from({ length: size }, (_, at) => (at * 151 + size) & 0xff)
    assert.is(hex(hash(bytes.subarray(0, size >> 1), bytes.subarray(size >> 1))), hex(node.hash(bytes)), `${size} bytes`)
    const before = zlib.crc32('before')
    assert.is(crc32(bytes, before), size === 0 ? before : zlib.crc32(bytes, before), `${size} bytes`)
  }
  assert.is(crc32('zwölf'), zlib.crc32('zwölf'))
})

test('X25519 as in RFC 7748', () => {
  for (const suite of SUITES) {
    for (const [secret, publicKey, shared] of X25519) assert.is(dh(suite, secret, publicKey), shared, suite.name)
    assert.is(hex(suite.importPrivate(fromHex(ALICE)).publicKey), ALICE_PUBLIC)
    assert.is(hex(suite.importPrivate(fromHex(BOB)).publicKey), BOB_PUBLIC)
  }
})

test('X25519 iterated as in RFC 7748 section 5.2', () => {
  const iterate = (suite: Suite, count: number): string => {
    let [k, u] = [`09${'00'.repeat(31)}`, `09${'00'.repeat(31)}`]
    for (let i = 0; i < count; i++) [k, u] = [dh(suite, k, u), k]
    return k
  }
  for (const suite of SUITES) {
    assert.is(iterate(suite, 1), '422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079')
  }
  assert.is(iterate(node, 1000), '684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51')
})

// The u-coordinates whose every multiple by a clamped scalar is zero: orders 1, 2, 4 and 8 and their second encodings.
const SMALL_ORDER = [
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
  '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
]

test('an all-zero shared secret throws, with the top bit of the key set or not', () => {
  for (const suite of SUITES) {
    const key = suite.generate(systemRandom)
    for (const point of SMALL_ORDER) {
      const bytes = fromHex(point)
      refuses(() => suite.dh(key, bytes), point)
      bytes[31]! |= 0x80
      refuses(() => suite.dh(key, bytes), `${point} with its top bit`)
    }
  }
})

test('a key pair comes from 32 bytes of the given source, which are wiped', () => {
  for (const suite of SUITES) {
    const drawn: Uint8Array[] = []
    const key = suite.generate({
      bytes(size) {
        assert.is(size, 32)
        drawn.push(fromHex(ALICE))
        return drawn[0] ?? EMPTY
      },
    })
    assert.is(hex(key.publicKey), ALICE_PUBLIC)
    assert.is(drawn.length, 1)
    assert.ok(isZero(drawn[0] ?? Uint8Array.of(1)))
    assert.not.equal(suite.generate(systemRandom).publicKey, suite.generate(systemRandom).publicKey)
  }
})

test('importing a private key keeps no reference to the caller\'s bytes', () => {
  for (const suite of SUITES) {
    const secret = fromHex(ALICE)
    const key = suite.importPrivate(secret)
    secret.fill(0)
    assert.is(hex(suite.dh(key, fromHex(BOB_PUBLIC))), X25519[2]?.[2])
  }
})

test('wiped keys, keys of the other back end and wrong lengths are bugs', () => {
  for (const [suite, other] of [[node, noble], [noble, node]] as const) {
    const key = suite.importPrivate(fromHex(ALICE))
    const theirs = fromHex(BOB_PUBLIC)
    assert.throws(() => other.dh(key, theirs), isTypeError)
    assert.throws(() => suite.dh(key, theirs.subarray(1)), isRangeError)
    assert.throws(() => suite.importPrivate(theirs.subarray(1)), isRangeError)
    key.wipe()
    key.wipe()
    assert.throws(() => suite.dh(key, theirs), /wiped/)
    const [k, n] = [new Uint8Array(32), new Uint8Array(12)]
    for (const length of [0, 31, 33]) {
      assert.throws(() => suite.seal(new Uint8Array(length), n, EMPTY, EMPTY), isRangeError)
      assert.throws(() => suite.open(new Uint8Array(length), n, EMPTY, new Uint8Array(16)), isRangeError)
    }
    for (const length of [0, 8, 11, 13, 24]) {
      assert.throws(() => suite.seal(k, new Uint8Array(length), EMPTY, EMPTY), isRangeError)
      assert.throws(() => suite.open(k, new Uint8Array(length), EMPTY, new Uint8Array(16)), isRangeError)
    }
  }
})

// RFC 8439 section 2.8.2
const AEAD = {
  key: fromHex('808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f'),
  nonce: fromHex('070000004041424344454647'),
  ad: fromHex('50515253c0c1c2c3c4c5c6c7'),
  text: utf8(
    'Ladies and Gentlemen of the class of \'99: If I could offer you only one tip for the future, ' +
      'sunscreen would be it.',
  ),
  sealed:
    'd31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b1a71de0a9e060b29' +
    '05d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc3ff4def08e4b7a9de576d26586cec64b' +
    '61161ae10b594f09e26a7e902ecbd0600691',
}

test('ChaCha20-Poly1305 as in RFC 8439', () => {
  for (const suite of SUITES) {
    assert.is(hex(suite.seal(AEAD.key, AEAD.nonce, AEAD.ad, AEAD.text)), AEAD.sealed)
    assert.equal(suite.open(AEAD.key, AEAD.nonce, AEAD.ad, fromHex(AEAD.sealed)), AEAD.text)
  }
})

test('every flipped bit, and every shorter or longer ciphertext, is refused', () => {
  for (const suite of SUITES) {
    const whole = { key: AEAD.key, nonce: AEAD.nonce, ad: AEAD.ad, sealed: fromHex(AEAD.sealed) }
    for (const part of ['key', 'nonce', 'ad', 'sealed'] as const) {
      for (let bit = 0; bit < whole[part].length * 8; bit += part === 'sealed' ? 3 : 1) {
        const bad = new Uint8Array(whole[part])
        bad[bit >> 3]! ^= 1 << (bit & 7)
        const bent = { ...whole }
        bent[part] = bad
        const { key, nonce, ad, sealed } = bent
        refuses(() => suite.open(key, nonce, ad, sealed), `${part} bit ${bit}`)
      }
    }
    const { key, nonce, ad, sealed } = whole
    for (let size = 0; size < sealed.length; size++) {
      refuses(() => suite.open(key, nonce, ad, sealed.subarray(0, size)), `${size} bytes`)
    }
    refuses(() => suite.open(key, nonce, ad, concat(sealed, Uint8Array.of(0))), 'a byte more')
    refuses(() => suite.open(key, nonce, EMPTY, sealed), 'no associated data')
  }
})

test('results are Uint8Array, not Buffer, and arguments stay as they were', () => {
  for (const suite of SUITES) {
    const text = new Uint8Array(AEAD.text)
    const sealed = suite.seal(AEAD.key, AEAD.nonce, AEAD.ad, text)
    const opened = suite.open(AEAD.key, AEAD.nonce, AEAD.ad, sealed)
    const key = suite.generate(systemRandom)
    const results = [sealed, opened, key.publicKey, suite.dh(key, fromHex(BOB_PUBLIC)), suite.hash(), suite.hmac(text)]
    for (const bytes of results) assert.is(Object.getPrototypeOf(bytes), Uint8Array.prototype)
    assert.equal(text, AEAD.text)
    assert.is(hex(sealed), AEAD.sealed)
  }
})

test('SHA-256, HMAC and HKDF as in FIPS 180-4, RFC 4231 and RFC 5869', () => {
  for (const suite of SUITES) {
    assert.is(hex(suite.hash()), 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855')
    const abc = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
    assert.is(hex(suite.hash(utf8('abc'))), abc)
    assert.is(hex(suite.hash(utf8('a'), EMPTY, utf8('bc'))), abc)
    // RFC 4231 section 4.3
    const jefe = '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843'
    assert.is(hex(suite.hmac(utf8('Jefe'), utf8('what do ya want for nothing?'))), jefe)
    assert.is(hex(suite.hmac(utf8('Jefe'), utf8('what do ya '), utf8('want for nothing?'))), jefe)
    // RFC 5869 appendices A.1 and A.3
    const ikm = new Uint8Array(22).fill(0x0b)
    assert.is(
      hex(hkdf(suite, fromHex('000102030405060708090a0b0c'), ikm, fromHex('f0f1f2f3f4f5f6f7f8f9'), 42)),
      '3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865',
    )
    assert.is(
      hex(hkdf(suite, EMPTY, ikm, EMPTY, 42)),
      '8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8',
    )
    assert.is(hkdf(suite, EMPTY, ikm, EMPTY, 255 * 32).length, 255 * 32)
    assert.throws(() => hkdf(suite, EMPTY, ikm, EMPTY, 255 * 32 + 1), isRangeError)
    assert.is(hkdf(suite, EMPTY, ikm, EMPTY, 0).length, 0)
  }
})

const aead = readWycheproof('chacha20_poly1305_test.json')
if (aead !== undefined) {
  test('Wycheproof: ChaCha20-Poly1305', () => {
    for (const suite of SUITES) {
      for (const one of aead) {
        const field = (name: string): Uint8Array => fromHex(`${one[name]}`)
        const [key, nonce, ad, text] = [field('key'), field('iv'), field('aad'), field('msg')]
        const sealed = concat(field('ct'), field('tag'))
        const open = () => suite.open(key, nonce, ad, sealed)
        const name = `${suite.name} tcId ${one['tcId']}`
        if (one['result'] === 'valid') {
          assert.equal(open(), text, name)
          assert.equal(suite.seal(key, nonce, ad, text), sealed, name)
        } else {
          assert.throws(open, undefined, name)
        }
      }
    }
    assert.is(aead.length, 325)
    console.log(`${aead.length} Wycheproof AEAD, both back ends`)
  })
}

const xdh = readWycheproof('x25519_test.json')
if (xdh !== undefined) {
  test('Wycheproof: X25519, where exactly the all-zero results throw', () => {
    let zero = 0
    for (const suite of SUITES) {
      for (const one of xdh) {
        const run = () => dh(suite, `${one['private']}`, `${one['public']}`)
        if (/^0+$/.test(`${one['shared']}`)) {
          refuses(run, `${suite.name} tcId ${one['tcId']}`)
          zero++
        } else {
          assert.is(run(), one['shared'], `${suite.name} tcId ${one['tcId']}`)
        }
      }
    }
    assert.is(xdh.length, 518)
    assert.is(zero, 31 * 2)
    console.log(`${xdh.length} Wycheproof X25519, both back ends`)
  })
}

const hkdfs = readWycheproof('hkdf_sha256_test.json')
if (hkdfs !== undefined) {
  test('Wycheproof: HKDF-SHA-256', () => {
    for (const suite of SUITES) {
      for (const one of hkdfs) {
        const [ikm = EMPTY, salt = EMPTY, info = EMPTY] = ['ikm', 'salt', 'info'].map((k) => fromHex(`${one[k]}`))
        const run = () => hex(hkdf(suite, salt, ikm, info, Number(one['size'])))
        if (one['result'] === 'valid') assert.is(run(), one['okm'], `${suite.name} tcId ${one['tcId']}`)
        else assert.throws(run, undefined, `${suite.name} tcId ${one['tcId']}`)
      }
    }
    assert.is(hkdfs.length, 86)
    console.log(`${hkdfs.length} Wycheproof HKDF, both back ends`)
  })
}

const hmacs = readWycheproof('hmac_sha256_test.json')
if (hmacs !== undefined) {
  test('Wycheproof: HMAC-SHA-256', () => {
    for (const suite of SUITES) {
      for (const one of hmacs) {
        const tag = suite.hmac(fromHex(`${one['key']}`), fromHex(`${one['msg']}`))
        const same = equal(tag.subarray(0, Number(one['tagSize']) / 8), fromHex(`${one['tag']}`))
        assert.is(same, one['result'] === 'valid', `${suite.name} tcId ${one['tcId']}`)
      }
    }
    assert.is(hmacs.length, 174)
    console.log(`${hmacs.length} Wycheproof HMAC, both back ends`)
  })
}

const stablelib = readVectors('chacha/stablelib_chacha20poly1305.json')
if (stablelib !== undefined) {
  test('stablelib: ChaCha20-Poly1305', () => {
    const all = JSON.parse(stablelib) as { key: string; nonce: string; aad?: string; msg: string; result: string }[]
    for (const suite of SUITES) {
      for (const { key, nonce, aad = '', msg, result } of all) {
        assert.is(hex(suite.seal(fromHex(key), fromHex(nonce), fromHex(aad), fromHex(msg))), result)
        assert.is(hex(suite.open(fromHex(key), fromHex(nonce), fromHex(aad), fromHex(result))), msg)
      }
    }
    assert.is(all.length, 67)
    console.log(`${all.length} stablelib AEAD, both back ends`)
  })
}

const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length })
const some = (max: number) => fc.uint8Array({ maxLength: max })

test('node and noble seal, open, hash and authenticate alike', () => {
  fc.assert(
    fc.property(bytes(32), bytes(12), some(100), some(2000), some(100), (key, nonce, ad, text, more) => {
      const sealed = node.seal(key, nonce, ad, text)
      assert.equal(noble.seal(key, nonce, ad, text), sealed)
      assert.equal(node.open(key, nonce, ad, sealed), text)
      assert.equal(noble.open(key, nonce, ad, sealed), text)
      assert.equal(node.hash(text, more), noble.hash(text, more))
      assert.equal(node.hmac(more, text, ad), noble.hmac(more, text, ad))
      assert.equal(hkdf(node, nonce, text, ad, 70), hkdf(noble, nonce, text, ad, 70))
    }),
    { numRuns: 500 },
  )
})

test('node and noble agree on public keys and shared secrets, for any 32 bytes as a public key', () => {
  fc.assert(
    fc.property(bytes(32), bytes(32), (secret, point) => {
      const [a, b] = [node.importPrivate(secret), noble.importPrivate(secret)]
      assert.equal(a.publicKey, b.publicKey)
      assert.equal(node.dh(a, point), noble.dh(b, point))
    }),
    { numRuns: 100, examples: [[new Uint8Array(32), new Uint8Array(32).fill(255)]] },
  )
})

test('P2P_CRYPTO chooses the back end; by default it is node\'s', async () => {
  assert.is((await loadSuite({})).name, 'node')
  assert.is((await loadSuite({ P2P_CRYPTO: '' })).name, 'node')
  assert.is(node.name, 'node')
  assert.is(noble.name, 'noble')
  for (const wanted of ['Node', 'openssl', 'none']) {
    try {
      await loadSuite({ P2P_CRYPTO: wanted })
      assert.unreachable()
    } catch (error) {
      assert.ok(error instanceof Failure && error.exit === 78)
      assert.is(error.message, `P2P_CRYPTO is '${wanted}', not 'node' or 'noble'`)
    }
  }
})

test('the check at start notices any primitive that is absent or wrong', () => {
  assert.ok(worksHere(node) && worksHere(noble))
  const missing = (): never => {
    throw new Error('unsupported')
  }
  const wrong = (run: (...args: never[]) => Uint8Array) => (...args: never[]) => {
    const result = new Uint8Array(run(...args))
    result[0]! ^= 1
    return result
  }
  for (const part of ['dh', 'seal', 'open', 'hash', 'hmac'] as const) {
    assert.not(worksHere({ ...node, [part]: missing }), `without ${part}`)
    assert.not(worksHere({ ...node, [part]: wrong(node[part] as never) }), `with another ${part}`)
  }
  assert.not(worksHere({ ...node, importPrivate: missing }))
})

test('memory that is given back is free at once, what lies beside it or belongs to others stays, and sealing goes on', () => {
  const size = 65_280
  const given = (bytes: Uint8Array): boolean => {
    const { buffer } = bytes
    discard(bytes)
    return buffer.byteLength === 0
  }
  assert.not.ok(given(new Uint8Array(size)), 'not asked for')
  freeAtOnce()
  assert.ok(given(new Uint8Array(size)))
  assert.ok(given(new Uint8Array(size + 43).subarray(43)), 'behind the head of a frame')
  assert.not.ok(given(new Uint8Array(size + 65).subarray(65)), 'behind more')
  assert.not.ok(given(new Uint8Array(size + 1).subarray(0, size)), 'with something behind it')
  assert.not.ok(given(new Uint8Array(1000)), 'little')
  assert.not.ok(given(new Uint8Array(new SharedArrayBuffer(size))))
  const [key, nonce, plaintext] = [32, 12, size].map((length) => systemRandom.bytes(length)) as [Uint8Array, Uint8Array, Uint8Array]
  for (let i = 0; i < 3; i++) {
    const into = new Uint8Array(size + 16)
    assert.is(node.seal(key, nonce, EMPTY, plaintext, into), into)
    assert.ok(equal(into, noble.seal(key, nonce, EMPTY, plaintext)))
    const opened = node.open(key, nonce, EMPTY, into)
    assert.ok(equal(opened, plaintext))
    assert.ok(given(opened), 'nothing else lies beside what was opened')
  }
})

test('a hash in another thread is the same, and of the bytes as they were', async () => {
  for (const size of [0, 1, 63, 64, 1 << 20, (1 << 20) + 1]) {
    const bytes = systemRandom.bytes(size)
    assert.is(hex((await node.hashApart?.(bytes)) ?? EMPTY), hex(node.hash(bytes)), String(size))
    assert.is(hex((await node.hashApart?.(bytes.subarray(1))) ?? EMPTY), hex(node.hash(bytes.subarray(1))))
  }
})

test.run()
