import { createHash, createPrivateKey, sign as nodeSign } from 'node:crypto'

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import fc from 'fast-check'

import { concat, fromHex, hex, utf8 } from '../lib/base/bytes.ts'
import { Failure, Malformed } from '../lib/base/fail.ts'
import { base58 } from '../lib/base/key.ts'
import { nodeSuite } from '../lib/crypto/suite-node.ts'
import { findToken } from '../lib/wire/findtoken.ts'
import {
  encodeToken,
  formatToken,
  isExpired,
  isSameToken,
  parseToken,
  parseTokenBytes,
  REVOKED_SEQ,
  verifyToken,
} from '../lib/wire/token.ts'
import { isTransportKey } from '../lib/wire/transportkey.ts'

import type { Token, TokenFields } from '../lib/wire/token.ts'

// RFC 8032 7.1, test 1, signs for the X25519 key of Alice in RFC 7748 6.1. Texts made apart from this code.
const SEED = fromHex('9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60')
const IDENTITY = fromHex('d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a')
const TRANSPORT = fromHex('8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a')
const GOLDEN =
  'p2p1AMUs3QjMxEYbaPhvBu3f4XPYRStcGS1xyj94NmKSWrjYaifjSjWzUMBzR1HYYXyZMYtKT41sL9tXEtxefA1bZqTotxBARYXQkqcD1ovCHE' +
  '496cVLGiZkSq3JM6DZGARoJ1AnfSyEfHD3intp8WayNudjLnzAiRmouWqvQZnE5KUKgJoh8B2DdrfnEsrqk2THwYsqdJQ16UPhh8QKTm9CCecm' +
  'qy2oUpYsJy2PN9ADUgK7G8yjfoUP9z1KS'
const GOLDEN_REVOCATION =
  'p2p18AMCxim4UYj2qeFmfUjzoy8YMPFHv1hrVtS3kKi3dCLWErErDxskauztdCTyDrQiNL7ZEMx6kvjr4gRiKKJwMma1ri5Zfizw4Wh8oHARzn' +
  'doFY9e8nnXSa45Nr4URxZTvbLdVzKaPsze1LVTcVYycQyEdRfbJWFBG1nZqKykuyJSC2jiWajHJRGQpvzW9nXDX1nnLGFnMGwh'
const ALICE: TokenFields = {
  identity: IDENTITY,
  transport: TRANSPORT,
  seq: 0x190_0000_0001n,
  notAfter: 0,
  name: 'alice',
  addresses: [
    { host: '192.0.2.7', port: 21_873, tcp: true, udp: true },
    { host: '2001:db8::1', port: 21_873, tcp: true, udp: true },
  ],
  ext: [],
  revocation: false,
}

function sign(message: Uint8Array): Promise<Uint8Array> {
  const key = createPrivateKey({
    key: Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), SEED]),
    format: 'der',
    type: 'pkcs8',
  })
  return Promise.resolve(new Uint8Array(nodeSign(null, message, key)))
}

/** The text of any payload, sum included, as if it were a token. */
function textOf(payload: Uint8Array): string {
  const sum = createHash('sha256').update('p2p/1 sum').update(payload).digest().subarray(0, 4)
  return 'p2p1' + base58(concat(payload, new Uint8Array(sum)))
}

function refusal(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    assert.is(error.exit, 65)
    return error.message
  }
  throw new Error('no failure')
}

async function forged(token: Token): Promise<string> {
  try {
    await verifyToken(token)
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    assert.is(error.exit, 65)
    return error.message
  }
  return ''
}

const isMalformed = (error: unknown): boolean => error instanceof Malformed

const NEVER = (): never => {
  throw new Error('must not be called')
}

/** Payload of the golden token with a change at an offset. */
function patched(at: number, ...bytes: number[]): Uint8Array {
  const payload = parseToken(GOLDEN).bytes.slice()
  payload.set(bytes, at)
  return payload
}

/** Payload of ALICE with a name and extensions of any bytes. */
function raw(name: Uint8Array, ext: Uint8Array): Uint8Array {
  const { bytes } = parseToken(GOLDEN)
  const head = bytes.slice(0, 78)
  return concat(head, Uint8Array.of(name.length), name, Uint8Array.of(0, 0, ext.length), ext, new Uint8Array(64))
}

const NAMED = { host: 'a.b', port: 1, tcp: false, udp: true }
const anyName = fc
  .string({ unit: fc.constantFrom(...'abcäöé字ñ1. _+-'), maxLength: 20 })
  .map((text) => text.normalize('NFC').trim())
  .filter((text) => utf8(text).length <= 64)
const anyFields: fc.Arbitrary<TokenFields> = fc.record(
  {
    identity: fc.constant(IDENTITY),
    transport: fc.uint8Array({ minLength: 32, maxLength: 32 }),
    seq: fc.bigInt({ min: 0n, max: REVOKED_SEQ - 1n }),
    notAfter: fc.nat(0xffff_ffff),
    name: anyName,
    addresses: fc.array(fc.constantFrom(...ALICE.addresses, NAMED), { maxLength: 8 }),
    ext: fc.constantFrom([], [{ type: 1, value: new Uint8Array(20) }], [{ type: 2, value: Uint8Array.of(1) }], [
      { type: 1, value: new Uint8Array(20).fill(7) },
      { type: 127, value: new Uint8Array() },
    ]),
    revocation: fc.constant(false),
  },
  { noNullPrototype: true },
)
const anySignature = (): Promise<Uint8Array> => Promise.resolve(new Uint8Array(64).fill(5))

test('the format is frozen: a token made elsewhere is read, and made again to the byte', async () => {
  const token = parseToken(GOLDEN)
  const { bytes, ...fields } = token
  assert.equal(fields, ALICE)
  assert.is(formatToken(await encodeToken(ALICE, sign)), GOLDEN)
  assert.is(await forged(token), '')
  assert.equal(parseTokenBytes(bytes), token)
})

test('a revocation is a token without anything but the identity', async () => {
  const token = parseToken(GOLDEN_REVOCATION)
  assert.ok(token.revocation)
  assert.is(token.seq, REVOKED_SEQ)
  assert.is(await forged(token), '')
  const bare = { ...ALICE, transport: new Uint8Array(32), seq: REVOKED_SEQ, name: '', addresses: [], revocation: true }
  assert.is(formatToken(await encodeToken(bare, sign)), GOLDEN_REVOCATION)
  const { addresses } = ALICE
  for (const more of [{ name: 'a' }, { seq: 1n }, { notAfter: 1 }, { transport: TRANSPORT }, { addresses }]) {
    await encodeToken({ ...bare, ...more }, anySignature).then(NEVER, (error: unknown) => assert.instance(error, Malformed))
  }
})

test('the number of a revocation is nothing else', async () => {
  assert.throws(() => parseTokenBytes(patched(66, 255, 255, 255, 255, 255, 255, 255, 255)), isMalformed)
  assert.is(parseTokenBytes(patched(66, 255, 255, 255, 255, 255, 255, 255, 254)).seq, REVOKED_SEQ - 1n)
})

test('any token comes back from its text', async () => {
  await fc.assert(
    fc.asyncProperty(anyFields, async (fields) => {
      const token = await encodeToken(fields, anySignature)
      const { bytes, ...rest } = parseToken(formatToken(token))
      assert.equal(rest, fields)
      assert.is(hex(bytes), hex(token.bytes))
    }),
  )
})

test('any bytes are a token that encodes to the same bytes, or malformed', async () => {
  const near = fc.tuple(fc.nat(), fc.nat(255), fc.nat(40)).map(([at, value, cut]) => {
    const bytes = patched(at % 170, value)
    return bytes.subarray(0, bytes.length - (cut > 20 ? 0 : cut))
  })
  await fc.assert(
    fc.asyncProperty(fc.oneof(near, fc.uint8Array({ maxLength: 600 })), async (bytes) => {
      let token: Token
      try {
        token = parseTokenBytes(bytes)
      } catch (error) {
        assert.instance(error, Malformed)
        return
      }
      const again = await encodeToken(token, () => Promise.resolve(bytes.slice(-64)))
      assert.is(hex(again.bytes), hex(bytes))
    }),
    { numRuns: 2000 },
  )
})

test('any text is a token or bad data, whether read alone or searched', () => {
  const near = fc.tuple(fc.nat(), fc.string({ maxLength: 4 })).map(([at, patch]) => {
    const place = at % GOLDEN.length
    return GOLDEN.slice(0, place) + patch + GOLDEN.slice(place)
  })
  fc.assert(
    fc.property(fc.oneof(near, fc.string({ unit: 'binary', maxLength: 900 })), (text) => {
      for (const read of [parseToken, findToken]) {
        try {
          read(text)
        } catch (error) {
          assert.instance(error, Failure)
          assert.is((error as Failure).exit, 65)
        }
      }
    }),
    { numRuns: 500 },
  )
})

test('every single wrong character is called a typing error', () => {
  for (let at = 0; at < GOLDEN.length; at++) {
    const wrong = [...'19Aaz0Ol-é '].filter((char) => char !== GOLDEN[at])
    for (const char of at % 16 === 0 ? wrong : wrong.slice(at % 8, (at % 8) + 1)) {
      if ((at === 0 || at === GOLDEN.length - 1) && char === ' ') continue
      const text = GOLDEN.slice(0, at) + char + GOLDEN.slice(at + 1)
      assert.match(refusal(() => parseToken(text)), /typing error/, `${at} ${char}`)
    }
  }
})

test('swapped, missing and doubled characters are a typing error', () => {
  for (const at of [4, 5, 100, 250]) {
    const [a, b] = [GOLDEN[at] ?? '', GOLDEN[at + 1] ?? '']
    const texts = [GOLDEN.slice(0, at) + GOLDEN.slice(at + 1), GOLDEN.slice(0, at) + a + GOLDEN.slice(at)]
    if (a !== b) texts.push(GOLDEN.slice(0, at) + b + a + GOLDEN.slice(at + 2))
    for (const text of texts) assert.match(refusal(() => parseToken(text)), /typing error/)
  }
})

test('each way to be no token has its own words', () => {
  const say = (text: string): string => refusal(() => parseToken(text))
  assert.match(say(''), /^not a token/)
  assert.match(say('hello'), /^not a token/)
  assert.match(say('x'.repeat(300)), /^not a token/)
  assert.match(say('p2p2' + GOLDEN.slice(5)), /another version \(p2p2\)/)
  assert.match(say(GOLDEN.slice(0, 100)), /cut off: 100 characters/)
  assert.match(say('p2p1' + 'z'.repeat(203)), /cut off: 207 characters/)
  assert.match(say(GOLDEN.slice(0, 220)), /part of it is missing/)
  assert.match(say(textOf(patched(0, 2))), /token version 2/)
  assert.match(say(textOf(patched(1, 2))), /unknown flag/)
  assert.match(say(textOf(parseToken(GOLDEN).bytes.slice(0, -10))), /^token truncated/)
  assert.match(say(textOf(patched(79, 0x1b))), /control character/)
  assert.match(say(textOf(concat(parseToken(GOLDEN).bytes, Uint8Array.of(0)))), /trailing bytes/)
  assert.is(parseToken(`  ${GOLDEN}\r\n`).name, 'alice')
})

// A text of 10^6 characters takes base58 the better part of an hour: decoding it would end this file by its time limit.
test('a text over the limit is refused before it is decoded', () => {
  const payload = concat(Uint8Array.of(1, 0), new Uint8Array(524).fill(7))
  const right = textOf(payload)
  assert.ok(right.length > 720)
  assert.match(refusal(() => parseToken(right)), /too long/)
  for (const size of [721, 1_000_000]) {
    for (const filler of ['z', '1', '0']) {
      const text = 'p2p1' + filler.repeat(size - 4)
      assert.match(refusal(() => parseToken(text)), new RegExp(`too long: ${size} characters, at most 720`))
    }
  }
  assert.match(refusal(() => parseToken('p2p1' + 'z'.repeat(716))), /typing error/)
  assert.match(refusal(() => parseToken('y'.repeat(1_000_000))), /^not a token/)
})

test('the longest payload fits the text, a longer one is refused', async () => {
  const host = 'h'.repeat(63)
  const addresses = new Array(4).fill({ host, port: 65_535, tcp: true, udp: true }) as TokenFields['addresses']
  const fields = { ...ALICE, name: 'n'.repeat(64), addresses, ext: [{ type: 9, value: new Uint8Array(28).fill(255) }] }
  const token = await encodeToken(fields, () => Promise.resolve(new Uint8Array(64).fill(255)))
  assert.is(token.bytes.length, 512)
  assert.ok(formatToken(token).length <= 720)
  assert.is(parseToken(formatToken(token)).addresses.length, 4)
  const longer = { ...fields, ext: [{ type: 9, value: new Uint8Array(29) }] }
  await encodeToken(longer, anySignature).then(NEVER, (error: unknown) => assert.instance(error, Malformed))
  assert.throws(() => parseTokenBytes(new Uint8Array(513)), isMalformed)
})

test('a name that would harm a terminal, a header or a file is refused', () => {
  const bad = ['\0', 'a\x1bb', 'a\nb', '\x7f', '\x9b', 'a\u202eb', '\u200f', 'a\u2066', 'a\u2028', '\u061c', ' a', 'a ']
  bad.push('e\u0301', '\ufeffa', 'n'.repeat(65), 'ä'.repeat(33))
  for (const name of bad) {
    assert.throws(() => parseTokenBytes(raw(utf8(name), new Uint8Array())), isMalformed, name)
  }
  for (const name of [Uint8Array.of(0xff), Uint8Array.of(0xed, 0xa0, 0x80), Uint8Array.of(0xc0, 0x80)]) {
    assert.throws(() => parseTokenBytes(raw(name, new Uint8Array())), isMalformed)
  }
  for (const name of ['', 'a b', 'Jürgen', '字', 'n'.repeat(64)]) {
    assert.is(parseTokenBytes(raw(utf8(name), new Uint8Array())).name, name)
  }
})

test('extensions are in order, of the right size, and understood if critical', () => {
  const parse = (text: string): Token => parseTokenBytes(raw(new Uint8Array(), fromHex(text)))
  assert.is(parse('').ext.length, 0)
  assert.equal(parse('020105').ext, [{ type: 2, value: Uint8Array.of(5) }])
  assert.equal(parse('7f00').ext, [{ type: 127, value: new Uint8Array() }])
  assert.is(parse('0114' + '00'.repeat(20) + '020100').ext.length, 2)
  const bad = ['8000', 'ff0100', '020100020100', '0201000114' + '00'.repeat(20), '0200', '0113' + '00'.repeat(19)]
  for (const text of [...bad, '02', '0205', '020105ff']) assert.throws(() => parse(text), isMalformed, text)
})

test('a forged token: every bit of the payload is covered by the signature', async () => {
  const { bytes } = parseToken(GOLDEN)
  for (const at of [2, 34, 66, 73, 74, 77, 79, 86, 90, bytes.length - 64, bytes.length - 1]) {
    const payload = patched(at, (bytes[at] ?? 0) ^ 1)
    assert.match(await forged(parseToken(textOf(payload))), /^forged token/, String(at))
  }
})

test('a token signed with another label is forged', async () => {
  const token = await encodeToken(ALICE, (message) => sign(message.subarray(1)))
  assert.match(await forged(token), /signature/)
})

test('a token with a weak key is forged, whoever signed it', async () => {
  const weak = ['00'.repeat(32), '01' + '00'.repeat(31), 'ec' + 'ff'.repeat(30) + '7f', 'ed' + 'ff'.repeat(30) + '7f']
  weak.push('ee' + 'ff'.repeat(30) + '7f', 'ff'.repeat(32), '09' + '00'.repeat(30) + '80')
  weak.push('e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800')
  weak.push('5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157')
  for (const text of weak) {
    assert.not.ok(isTransportKey(fromHex(text)), text)
    assert.match(await forged(await encodeToken({ ...ALICE, transport: fromHex(text) }, sign)), /a key in it/, text)
  }
  for (const text of ['00'.repeat(32), '01' + '00'.repeat(31), 'ff'.repeat(32)]) {
    const token = await encodeToken({ ...ALICE, identity: fromHex(text) }, anySignature)
    assert.match(await forged(token), /a key in it/, text)
  }
})

test('the named points are exactly those with which X25519 gives zero', () => {
  const key = nodeSuite.importPrivate(new Uint8Array(32).fill(0x42))
  const gives = (point: Uint8Array): boolean => {
    try {
      nodeSuite.dh(key, point)
      return true
    } catch {
      return false
    }
  }
  const points = ['00'.repeat(32), '01' + '00'.repeat(31), 'ec' + 'ff'.repeat(30) + '7f', '09' + '00'.repeat(31)]
  points.push('eb' + 'ff'.repeat(30) + '7f', '02' + '00'.repeat(31))
  points.push('e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800')
  points.push('5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157')
  for (const text of points) assert.is(isTransportKey(fromHex(text)), gives(fromHex(text)), text)
  assert.not.ok(isTransportKey(new Uint8Array(31).fill(9)))
})

test('expiry is exact to the second, and 0 is never', () => {
  assert.not.ok(isExpired({ notAfter: 1000 }, 999_999))
  assert.ok(isExpired({ notAfter: 1000 }, 1_000_000))
  assert.not.ok(isExpired({ notAfter: 0 }, Number.MAX_SAFE_INTEGER))
})

test('tokens that differ only in an invite secret are the same', async () => {
  const plain = await encodeToken(ALICE, sign)
  const invite = await encodeToken({ ...ALICE, ext: [{ type: 1, value: new Uint8Array(20) }] }, sign)
  const other = await encodeToken({ ...ALICE, ext: [{ type: 2, value: Uint8Array.of(1) }] }, sign)
  assert.ok(isSameToken(plain, invite))
  assert.not.ok(isSameToken(plain, other))
})

// Finding a token in what a mail reader pipes in.

const found = (text: string): string => formatToken(findToken(text))
const lines = (prefix: string, size: number, end = '\n'): string =>
  (GOLDEN.match(new RegExp(`.{1,${size}}`, 'g')) ?? []).map((line) => prefix + line).join(end)

test('a token is found alone, in prose, quoted, broken and indented', () => {
  const texts = [
    GOLDEN,
    `${GOLDEN}\n`,
    `Hi Bob,\n\nhere is mine:\n\n${GOLDEN}\n\nBye, Alice\n`,
    `token:${GOLDEN}.`,
    `<${GOLDEN}>`,
    `"${GOLDEN}"`,
    lines('', 72),
    lines('', 72, '\r\n'),
    lines('> ', 60),
    lines('> > ', 60),
    lines('>>>', 60),
    lines('    ', 60),
    `> > Hi,\n${lines('> > ', 40)}\n> > Bye\n`,
    lines('', 75, '=\n'),
    lines('', 75, '=\r\n'),
    lines('', 1),
    lines('', 10, ' '),
    lines('', 10, ' \n'),
    lines('', 30, '\u00a0\u200b'),
    lines('> ', 1),
    `\ufeff${GOLDEN}`,
  ]
  for (const text of texts) assert.is(found(text), GOLDEN, text)
})

test('words that follow on the next line or at once are not swallowed', () => {
  for (const after of ['Best regards', 'a', '1', 'zzzzzzzz', 'p2p', 'Bob', 'p2p1 is how they start', '0', '_', 'é']) {
    assert.is(found(`${GOLDEN}\n${after}\n`), GOLDEN, after)
    assert.is(found(`${GOLDEN}${after}`), GOLDEN, after)
    assert.is(found(`> ${lines('> ', 50)}\n> ${after}\n\nmore`), GOLDEN, after)
  }
  assert.is(found(`p2p1 tokens look like this: p2p1\n${GOLDEN}`), GOLDEN)
  assert.is(found(`abcp2p1${GOLDEN}`), GOLDEN)
})

test('a token broken anywhere, by anything a mail program puts there, is found', () => {
  const place = fc.nat(GOLDEN.length)
  const gap = fc.constantFrom('\n', '\r\n', '\n> ', '\n>> ', '\n> > ', ' ', '\t', '=\n', '=\r\n> ', '\n\n', ' \n  ')
  const prose = fc.string({ unit: fc.constantFrom(...'abcXYZ0189 .,>\n='), maxLength: 80 })
  fc.assert(
    fc.property(fc.array(fc.tuple(place, gap), { maxLength: 12 }), prose, prose, (gaps, before, after) => {
      let text = ''
      for (let at = 0; at < GOLDEN.length; at++) {
        for (const [where, what] of gaps) if (where === at) text += what
        text += GOLDEN.charAt(at)
      }
      assert.is(found(`${before}${text}${after}`), GOLDEN)
    }),
    { numRuns: 300 },
  )
})

test('copies of one token are one, two tokens are refused, none is said', async () => {
  const other = formatToken(await encodeToken({ ...ALICE, seq: 5n }, sign))
  assert.is(found(`${GOLDEN}\n--\n${lines('> ', 50)}`), GOLDEN)
  assert.match(refusal(() => findToken(`${GOLDEN}\n${other}`)), /^2 different tokens/)
  assert.match(refusal(() => findToken(GOLDEN + other)), /^2 different tokens/)
  assert.match(refusal(() => findToken('')), /^no token/)
  assert.match(refusal(() => findToken('see p2p1 for more')), /^no token/)
  assert.match(refusal(() => findToken('p2p1 '.repeat(65))), /several tokens/)
})

test('a spoilt token in a text is explained, not overlooked', () => {
  const typo = GOLDEN.slice(0, 99) + (GOLDEN[99] === 'z' ? 'y' : 'z') + GOLDEN.slice(100)
  assert.match(refusal(() => findToken(`Hi\n${typo}\nBye`)), /typing error/)
  assert.match(refusal(() => findToken(`Hi ${GOLDEN.slice(0, 100)}0${GOLDEN.slice(101)}!`)), /typing error/)
  assert.match(refusal(() => findToken(`Hi ${GOLDEN.slice(0, 100)}.`)), /cut off/)
  assert.match(refusal(() => findToken('p2p1' + 'z'.repeat(717))), /too long: 721 characters/)
  assert.match(refusal(() => findToken('p2p1' + 'z'.repeat(60_000))), /too long/)
  assert.match(refusal(() => findToken('a'.repeat(65_537))), /text too long/)
})

test('a text made to keep the finder busy is still bounded', () => {
  const hostile = ['p2p1' + '2'.repeat(65_000), 'p2p1'.repeat(16_384), ('p2p1' + 'z'.repeat(1020)).repeat(64)]
  hostile.push('=\n> '.repeat(16_384), '>'.repeat(65_536), 'p2p1' + '\n'.repeat(65_000))
  for (const text of hostile) assert.ok(refusal(() => findToken(text)))
})

test.run()
