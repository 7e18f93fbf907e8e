// The envelope: byte layout against a head put together by hand, limits at their edges, the chunk tree at every
// boundary, and strangers' bytes that must end as Malformed.

import { createHash } from 'node:crypto'

import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { concat, fromHex, hex, utf8 } from '../lib/base/bytes.ts'
import { Malformed } from '../lib/base/fail.ts'
import {
  bodySizeOf,
  CHUNK,
  ChunkHasher,
  decodeHead,
  encodeHead,
  HEAD_FIXED,
  HEAD_MAX,
  headLength,
  isPartName,
  isText,
  mediaType,
  type HeadFields,
  type Header,
} from '../lib/wire/envelope.ts'

const sha256 = (...parts: Uint8Array[]): Uint8Array => {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return new Uint8Array(hash.digest())
}
const hash = { hash: sha256 }
const filled = (size: number, value: number): Uint8Array => new Uint8Array(size).fill(value)

const BASE: HeadFields = {
  salt: filled(16, 1),
  from: filled(32, 2),
  to: filled(32, 3),
  created: 1_700_000_000_000_001n,
  root: filled(32, 4),
  header: { parts: [{ type: 'text/plain', size: 3 }] },
}
const withHeader = (header: Header): HeadFields => ({ ...BASE, header })

/** A head with any header text, put together without the code under test. */
function raw(header: string | Uint8Array, change: { size?: bigint; created?: bigint; magic?: string } = {}): Uint8Array {
  const text = typeof header === 'string' ? utf8(header) : header
  const numbers = new DataView(new ArrayBuffer(18))
  numbers.setBigUint64(0, change.created ?? BASE.created)
  numbers.setBigUint64(8, change.size ?? 3n)
  numbers.setUint16(16, text.length)
  const bytes = new Uint8Array(numbers.buffer)
  const magic = fromHex(change.magic ?? '7032706d01')
  return concat(magic, BASE.salt, BASE.from, BASE.to, bytes.subarray(0, 16), BASE.root, bytes.subarray(16), text)
}

function refused(bytes: Uint8Array): boolean {
  try {
    decodeHead(bytes, hash)
    return false
  } catch (error) {
    if (!(error instanceof Malformed)) throw error
    return true
  }
}

const PARTS = '"parts":[{"type":"text/plain","size":3}]'

test('a head has exactly the bytes of p2p-wire(7)', () => {
  const head = encodeHead(BASE, hash)
  assert.is(hex(head.bytes), hex(raw(`{${PARTS}}`)))
  assert.is(head.id, createHash('sha256').update(head.bytes).digest('hex'))
  assert.is(head.bodySize, 3)
  // computed once by Python over the same bytes
  assert.is(head.id, 'a74f147e1783b7916bf183f15b551c29d96eb5bfefd97797d3549eceece14cbf')
})

test('the order of the given keys does not change the bytes', () => {
  const a = encodeHead(withHeader({ subject: 's', parts: [{ size: 1, name: 'n', type: 'a/b' }], auto: false }), hash)
  const b = encodeHead(withHeader({ parts: [{ type: 'a/b', name: 'n', size: 1 }], subject: 's' }), hash)
  assert.is(a.id, b.id)
})

test('decode takes back what encode was given', () => {
  const header: Header = {
    parts: [
      { type: 'text/plain', size: 0 },
      { type: 'image/png', name: '\u202e\u{1f600} "x"\r\n.png', size: 2 ** 40 },
    ],
    subject: 'gr\u00fc\u00dfe\n',
    reply: 'ab'.repeat(32),
    reaction: '\u{1f44d}',
    edit: 'cd'.repeat(32),
    recall: 'ef'.repeat(32),
    auto: true,
  }
  const head = decodeHead(encodeHead(withHeader(header), hash).bytes, hash)
  assert.equal(head.header, header)
  assert.is(head.created, BASE.created)
  assert.equal([head.salt, head.from, head.to, head.root], [BASE.salt, BASE.from, BASE.to, BASE.root])
})

test('unknown keys are ignored, known ones are typed and bounded', () => {
  const good = [
    `{${PARTS},"future":{"a":[1]},"subject":"x"}`,
    `{${PARTS},"subject":"${'\u{1f600}'.repeat(998)}"}`,
    `{${PARTS},"auto":false}`,
    `{"parts":[{"type":"","size":3}]}`, // a poor claim, mapped when it is written: mediaType()
    `{"parts":[{"type":"a","size":3,"name":"${'\u00e9'.repeat(127)}"}]}`,
    `{"parts":[${Array(47).fill('{"type":"a/b","size":0}').join()},{"type":"a/b","size":3}]}`,
  ]
  for (const text of good) assert.not.ok(refused(raw(text)), text)
  const bad = [
    '',
    '[]',
    'null',
    '{}',
    '{"parts":[]}',
    '{"parts":{}}',
    '{"parts":[null]}',
    '{"parts":[{"type":"a/b"}]}',
    '{"parts":[{"size":3}]}',
    '{"parts":[{"type":"a/b","size":-3}]}',
    '{"parts":[{"type":"a/b","size":3.5}]}',
    '{"parts":[{"type":"a/b","size":"3"}]}',
    '{"parts":[{"type":"a/b","size":3},{"type":"a/b","size":-0}]}',
    '{"parts":[{"type":"a/b","size":2}]}', // does not add up
    '{"parts":[{"type":"a/b","size":9007199254740991},{"type":"a/b","size":9007199254740991}]}',
    `{"parts":[{"type":"${'a'.repeat(256)}","size":3}]}`,
    '{"parts":[{"type":"a/b","size":3,"name":""}]}',
    '{"parts":[{"type":"a/b","size":3,"name":"a\\u0000b"}]}',
    '{"parts":[{"type":"a/b","size":3,"name":null}]}',
    `{"parts":[{"type":"a/b","size":3,"name":"${'\u00e9'.repeat(128)}"}]}`,
    `{"parts":[${Array(48).fill('{"type":"a/b","size":0}').join()},{"type":"a/b","size":3}]}`,
    `{${PARTS},${PARTS}}`,
    `{${PARTS},"subject":"${'x'.repeat(999)}"}`,
    `{${PARTS},"subject":1}`,
    `{${PARTS},"reply":"${'ab'.repeat(31)}"}`,
    `{${PARTS},"reply":"${'AB'.repeat(32)}"}`,
    `{${PARTS},"edit":"me"}`,
    `{${PARTS},"recall":null}`,
    `{${PARTS},"reaction":"${'x'.repeat(65)}"}`,
    `{${PARTS},"auto":"yes"}`,
    `{${PARTS},"deep":[[[[1]]]]}`,
    `{${PARTS},"pad":"${'x'.repeat(16 * 1024)}"}`,
  ]
  for (const text of bad) assert.ok(refused(raw(text)), text)
  assert.ok(refused(raw(concat(utf8(`{${PARTS},"subject":"`), Uint8Array.of(0xc3, 0x28), utf8('"}')))))
})

test('a header may be 16 KiB and not a byte more', () => {
  const pad = (size: number): string => `{${PARTS},"pad":"${'x'.repeat(size - PARTS.length - 11)}"}`
  assert.is(pad(16_384).length, 16_384)
  assert.not.ok(refused(raw(pad(16_384))))
  assert.ok(refused(raw(pad(16_385))))
  assert.is(headLength(raw(pad(16_384))), HEAD_MAX)
  assert.throws(() => headLength(raw(pad(16_385))), (error: unknown) => error instanceof Malformed)
  const long = { parts: [{ type: 'a/b', size: 0 }], subject: '\u0001'.repeat(998) } // six bytes each when escaped
  assert.not.ok(refused(encodeHead(withHeader(long), hash).bytes))
})

test('creation times end with the year 9999', () => {
  const last = 253_402_300_799_999_999n
  assert.not.ok(refused(raw(`{${PARTS}}`, { created: last })))
  assert.ok(refused(raw(`{${PARTS}}`, { created: last + 1n })))
  assert.not.ok(refused(raw(`{${PARTS}}`, { created: 0n })))
})

test('magic, truncation and trailing bytes are refused', () => {
  const good = raw(`{${PARTS}}`)
  for (let size = 0; size < good.length; size++) assert.ok(refused(good.subarray(0, size)), String(size))
  assert.ok(refused(concat(good, Uint8Array.of(0))))
  assert.ok(refused(raw(`{${PARTS}}`, { magic: '7032706d02' })))
  assert.ok(refused(raw(`{${PARTS}}`, { size: 2n ** 53n + 3n })))
})

test('the length of a head is known after 135 bytes and wrong magic at the first byte', () => {
  const head = encodeHead(BASE, hash).bytes
  for (let size = 0; size < HEAD_FIXED; size++) assert.is(headLength(head.subarray(0, size)), undefined)
  for (let size = HEAD_FIXED; size <= head.length; size++) assert.is(headLength(head.subarray(0, size)), head.length)
  assert.throws(() => headLength(utf8('q')), (error: unknown) => error instanceof Malformed)
})

test('encode refuses what decode would refuse', () => {
  assert.throws(() => encodeHead(withHeader({ parts: [] }), hash), /1 to 48/)
  assert.throws(() => encodeHead(withHeader({ parts: [{ type: 'a/b', name: '\0', size: 1 }] }), hash), /name/)
  assert.throws(() => encodeHead(withHeader({ ...BASE.header, subject: '\ud800' }), hash), /surrogate/)
})

test('the chunk tree is right at every boundary, however the body is cut', () => {
  const body = new Uint8Array(3 * CHUNK + 5).map((_, i) => (i * 7 + (i >> 9)) & 255)
  for (const size of [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK - 1, 2 * CHUNK, 2 * CHUNK + 1, 3 * CHUNK + 5]) {
    const leaves: Uint8Array[] = []
    for (let at = 0; at < size; at += CHUNK) leaves.push(sha256(body.subarray(at, Math.min(at + CHUNK, size))))
    const root = hex(sha256(...leaves))
    for (const step of [1000, 65_536, CHUNK - 1, CHUNK, CHUNK + 1, 4 * CHUNK]) {
      const hasher = new ChunkHasher(hash)
      for (let at = 0; at < size; at += step) hasher.update(body.subarray(at, Math.min(at + step, size)))
      assert.is(hex(hasher.root()), root, `${size} by ${step}`)
      assert.is(hasher.size, size)
      assert.is(hasher.hashes().length, Math.floor(size / CHUNK))
    }
    const resumed = new ChunkHasher(hash, leaves.slice(0, 1).filter(() => size >= CHUNK))
    resumed.update(body.subarray(resumed.size, size))
    assert.is(hex(resumed.root()), root, `${size} resumed`)
  }
})

test('a hasher does not keep the caller\'s buffer, and its root may be asked twice', () => {
  const hasher = new ChunkHasher(hash)
  const buffer = utf8('abc')
  hasher.update(buffer)
  buffer.fill(0)
  assert.is(hex(hasher.root()), hex(sha256(sha256(utf8('abc')))))
  hasher.update(utf8('d'))
  assert.is(hex(hasher.root()), hex(sha256(sha256(utf8('abcd')))))
  assert.is(hex(new ChunkHasher(hash).root()), hex(sha256()))
})

test('claimed media types become harmless ones', () => {
  const table: Record<string, string> = {
    'text/plain': 'text/plain',
    'Image/PNG': 'image/png',
    'text/plain; charset=x': 'application/octet-stream',
    'message/rfc822': 'application/octet-stream',
    'Multipart/Mixed': 'application/octet-stream',
    '': 'application/octet-stream',
    'text': 'application/octet-stream',
    'text/plain\r\nX: y': 'application/octet-stream',
    'text/a/b': 'application/octet-stream',
    'text/\u00e9': 'application/octet-stream',
  }
  for (const [claimed, type] of Object.entries(table)) assert.is(mediaType(claimed), type, claimed)
})

test('text is UTF-8 without NUL up to 1 MiB', () => {
  assert.ok(isText(utf8('gr\u00fc\u00dfe \u{1f600}\r\n')))
  assert.ok(isText(new Uint8Array(0)))
  assert.ok(isText(filled(CHUNK, 65)))
  assert.not.ok(isText(filled(CHUNK + 1, 65)))
  assert.not.ok(isText(utf8('a\0b')))
  assert.not.ok(isText(Uint8Array.of(0xff)))
  assert.ok(isPartName('a'.repeat(255)))
  assert.not.ok(isPartName('a'.repeat(256)))
})

const id = fc.stringMatching(/^[0-9a-f]{64}$/)
const anyHeader: fc.Arbitrary<Header> = fc.record(
  {
    parts: fc.array(
      fc.record(
        {
          type: fc.string({ unit: 'grapheme', maxLength: 40 }),
          name: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }).filter(isPartName),
          size: fc.nat(2 ** 31 - 1),
        },
        { requiredKeys: ['type', 'size'], noNullPrototype: true },
      ),
      { minLength: 1, maxLength: 48 },
    ),
    subject: fc.string({ unit: 'grapheme', maxLength: 100 }),
    reply: id,
    reaction: fc.string({ unit: 'grapheme', maxLength: 2 }).filter((text) => utf8(text).length <= 64),
    edit: id,
    recall: id,
    auto: fc.constant(true),
  },
  { requiredKeys: ['parts'], noNullPrototype: true },
) as fc.Arbitrary<Header>

test('any header survives encode and decode', () => {
  fc.assert(
    fc.property(anyHeader, fc.bigInt(0n, 253_402_300_799_999_999n), (header, created) => {
      const head = encodeHead({ ...withHeader(header), created }, hash)
      const again = decodeHead(head.bytes, hash)
      assert.equal(again.header, header)
      assert.is(again.bodySize, bodySizeOf(header))
      assert.is(hex(encodeHead(again, hash).bytes), hex(head.bytes))
    }),
    { numRuns: 300 },
  )
})

test('arbitrary and mutated bytes end as Malformed or decode', () => {
  const good = raw(`{${PARTS},"subject":"x","reply":"${'ab'.repeat(32)}"}`)
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(good.length - 1), fc.nat(255), (noise, at, value) => {
      refused(noise)
      refused(concat(good.subarray(0, HEAD_FIXED), noise))
      const flipped = good.slice()
      flipped[at] = value
      if (!refused(flipped)) assert.is(hex(decodeHead(flipped, hash).bytes), hex(flipped))
      try {
        headLength(noise)
      } catch (error) {
        assert.instance(error, Malformed)
      }
    }),
    { numRuns: 3000 },
  )
})

test.run()
