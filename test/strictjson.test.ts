// JSON from strangers: the public corpus JSONTestSuite, our own stricter rules, and agreement with JSON.parse.

import { existsSync, readdirSync, readFileSync } from 'node:fs'

import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { utf8 } from '../lib/base/bytes.ts'
import { Malformed } from '../lib/base/fail.ts'
import { parseStrict } from '../lib/wire/strictjson.ts'

const LIMITS = { depth: 4, size: 1 << 20 }

/** Valid JSON that we refuse on purpose. */
const STRICTER = new Set(['y_object_duplicated_key.json', 'y_object_duplicated_key_and_value.json'])

const vectors = `${process.env['P2P_VECTORS'] ?? new URL('../../shared/vectors', import.meta.url).pathname}/json/test_parsing`

function refused(input: Uint8Array | string, limits = LIMITS): boolean {
  try {
    parseStrict(input, limits)
    return false
  } catch (error) {
    if (!(error instanceof Malformed)) throw error
    return true
  }
}

if (existsSync(vectors)) {
  const names = readdirSync(vectors).filter((name) => name.endsWith('.json'))

  test('the corpus is complete', () => {
    assert.is(names.length, 318)
  })

  test('every text of the corpus is accepted or refused as it must be', () => {
    const wrong: string[] = []
    for (const name of names) {
      const no = refused(new Uint8Array(readFileSync(`${vectors}/${name}`)))
      if (name.startsWith('n_') && !no) wrong.push(name)
      if (name.startsWith('y_') && no !== STRICTER.has(name)) wrong.push(name)
    }
    assert.equal(wrong, [])
  })

  test('what is accepted means the same as to JSON.parse', () => {
    for (const name of names.filter((name) => name.startsWith('y_') && !STRICTER.has(name))) {
      const text = readFileSync(`${vectors}/${name}`, 'utf8')
      assert.equal(parseStrict(text, LIMITS), JSON.parse(text), name)
    }
  })
} else {
  console.log(`# skip: no JSON corpus at ${vectors}`)
}

test('our rules are stricter than RFC 8259', () => {
  for (const text of [
    '{"a":1,"a":1}',
    '{"a":1,"\\u0061":2}', // the same key after unescaping
    '"\\ud800"',
    '"\\udc00\\ud800"',
    '"\ud800"',
    '9007199254740992',
    '-9007199254740992',
    '1e400',
    '\ufeff{}',
    '[[[[[]]]]]',
    '{"a":[{"b":[[1]]}]}',
  ]) {
    assert.ok(refused(text), text)
  }
})

test('values at the edge of a limit pass', () => {
  assert.equal(parseStrict('[[[[]]]]', LIMITS), [[[[]]]])
  assert.is(parseStrict('9007199254740991', LIMITS), Number.MAX_SAFE_INTEGER)
  assert.is(parseStrict('"\\ud83d\\ude00"', LIMITS), '\u{1f600}')
  assert.is(parseStrict('"abc"', { depth: 0, size: 5 }), 'abc')
  assert.ok(refused('"abcd"', { depth: 0, size: 5 }))
  assert.ok(refused('"\u20ac\u20ac"', { depth: 0, size: 7 })) // 8 bytes in 4 characters
  assert.ok(refused('[]', { depth: 0, size: 5 }))
})

test('__proto__ is a key like any other', () => {
  const value = parseStrict('{"__proto__":{"x":1}}', LIMITS) as Record<string, unknown>
  assert.equal(Object.keys(value), ['__proto__'])
  assert.is((value as { x?: number }).x, undefined)
})

test('a long string is read without recursion', () => {
  const long = 'a\\n"'.slice(0, 3).repeat(300_000)
  assert.is((parseStrict(`"${long}"`, LIMITS) as string).length, 600_000)
  assert.ok(refused('['.repeat(1_000_000)))
})

test('bytes that are not UTF-8 are refused', () => {
  assert.ok(refused(Uint8Array.of(0x22, 0xff, 0x22)))
  assert.ok(refused(Uint8Array.of(0x22, 0xed, 0xa0, 0x80, 0x22))) // a surrogate in UTF-8
})

test('any value survives stringify and parse, whatever the spacing', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 4 }), fc.constantFrom(undefined, 1, '\t'), (value, indent) => {
      const text = JSON.stringify(value, undefined, indent)
      if (refused(text)) return // lone surrogates and integers beyond 2^53
      assert.equal(parseStrict(utf8(text), LIMITS), JSON.parse(text))
    }),
    { numRuns: 500 },
  )
})

test('mutated texts are refused with Malformed or mean what JSON.parse says', () => {
  const seed = '{"parts":[{"type":"text/plain","size":12,"name":"a\\u00e9\\n"}],"x":[1,-2.5e3,true,null]}'
  fc.assert(
    fc.property(fc.nat(seed.length - 1), fc.string({ unit: 'grapheme', maxLength: 3 }), fc.nat(3), (at, insert, cut) => {
      const text = seed.slice(0, at) + insert + seed.slice(at + cut)
      if (!refused(text)) assert.equal(parseStrict(text, LIMITS), JSON.parse(text))
    }),
    { numRuns: 2000 },
  )
})

test.run()
