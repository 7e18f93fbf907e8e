// Text for people: what reaches a terminal, and the grammar of durations, sizes, times and names.

import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { Failure } from '../lib/base/fail.ts'
import {
  checkName,
  foldName,
  nearest,
  parseDuration,
  parseSize,
  parseTime,
  printable,
  printableLines,
  quote,
} from '../lib/base/text.ts'
import { readVectors } from './vectors.ts'

process.env['TZ'] = 'America/New_York' // local times below; has a gap and a fold

function refused(run: () => unknown, exit: number, what: string): void {
  try {
    run()
  } catch (error) {
    assert.ok(error instanceof Failure, `${what}: ${String(error)}`)
    assert.is(error.exit, exit, what)
    assert.is(error.message, printable(error.message), what)
    return
  }
  assert.unreachable(`not refused: ${what}`)
}

const DANGEROUS =
  /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/

test('printable makes visible what could act on a terminal', () => {
  for (const [text, shown] of [
    ['plain', 'plain'],
    ['\u001b[2J\u0007', '\\x1b[2J\\x07'],
    ['\u009b31m\u0085\u007f', '\\x9b31m\\x85\\x7f'],
    ['a\r\nb\tc\u0000', 'a\\r\\nb\\tc\\x00'],
    ['\u202egnp.exe\u2066\u200f\u061c', '\\u202egnp.exe\\u2066\\u200f\\u061c'],
    ['\u2028\u2029', '\\u2028\\u2029'],
    ['a\ud800b\udc00', 'a\\ud800b\\udc00'],
    [
      '\ud83d\ude00 \u{1f468}\u200d\u{1f469}\u200d\u{1f467} \u2764\ufe0f',
      '\ud83d\ude00 \u{1f468}\u200d\u{1f469}\u200d\u{1f467} \u2764\ufe0f',
    ],
    ['\ufeff\u{e0001}', '\\ufeff\\u{e0001}'],
    ['\u05e9\u05dc\u05d5\u05dd \u4f60\u597d e\u0301', '\u05e9\u05dc\u05d5\u05dd \u4f60\u597d e\u0301'],
  ] as const) {
    assert.is(printable(text), shown)
  }
})

test('printable leaves nothing dangerous, whatever comes, and is stable', () => {
  const near = fc.string({
    unit: fc.constantFrom('\u001b', '\u009b', '\u202e', '\u2028', '\ud83d', '\ude00', '\n', 'a', '\\', '\u{1f600}'),
    maxLength: 20,
  })
  fc.assert(
    fc.property(fc.oneof(fc.string({ unit: 'binary' }), near), (text) => {
      const shown = printable(text)
      assert.not.match(shown, DANGEROUS)
      assert.is(printable(shown), shown)
      assert.not.match(printableLines(text).replace(/[\n\t]/g, ''), DANGEROUS)
      assert.not.match(quote(text), DANGEROUS)
    }),
    { numRuns: 2000 },
  )
})

test('printableLines keeps lines and tabs only', () => {
  assert.is(printableLines('a\tb\r\nc\rd\u001b'), 'a\tb\nc\\rd\\x1b')
})

test('the list of naughty strings cannot hurt: printing, names, values', () => {
  const text = readVectors('strings/blns.json')
  const strings =
    text === undefined
      ? [
          '\u202e\u2066test\u2067',
          '\u001b[31m',
          'T\u0337o',
          '\ufffe',
          '../../etc',
          "'; DROP TABLE",
          '\u180e',
          '田中さん',
        ]
      : (JSON.parse(text) as string[])
  for (const each of strings) {
    assert.not.match(printable(each), DANGEROUS)
    assert.ok(Array.from(quote(each)).length <= 62)
    for (const parse of [parseDuration, parseSize, (value: string) => parseTime(value, 0), checkName]) {
      try {
        parse(each)
      } catch (error) {
        assert.ok(error instanceof Failure, `${JSON.stringify(each)}: ${String(error)}`)
      }
    }
  }
})

test('durations', () => {
  for (const [text, seconds] of [
    ['500ms', 0.5],
    ['90s', 90],
    ['5m', 300],
    ['2h', 7200],
    ['7d', 604_800],
    ['3w', 1_814_400],
    ['inf', Infinity],
    ['0', 0],
    ['30', 30],
    ['1.5h', 5400],
    ['0.25', 0.25],
  ] as const) {
    assert.is(parseDuration(text), seconds, text)
  }
  for (const bad of [
    '',
    ' ',
    '5 m',
    '5M',
    '-5',
    '+5',
    '1e3',
    '5mm',
    'm',
    '.5',
    '5.',
    '0x10',
    'Infinity',
    'INF',
    'NaN',
    '1h30m',
    '٣',
    '9'.repeat(16),
    '999999999999',
    '5s\n',
    '\u001b[0m',
  ]) {
    refused(() => parseDuration(bad), 64, JSON.stringify(bad))
  }
})

test('sizes', () => {
  for (const [text, size] of [
    ['0', 0],
    ['65536', 65_536],
    ['64k', 65_536],
    ['64K', 65_536],
    ['10M', 10_485_760],
    ['2G', 2_147_483_648],
    ['9007199254740991', 9_007_199_254_740_991],
  ] as const) {
    assert.is(parseSize(text), size, text)
  }
  for (const bad of [
    '',
    '-1',
    '1.5M',
    '10MB',
    '10m',
    '1 k',
    'k',
    '9007199254740992',
    '9999999999999G',
    '0x10',
    'inf',
    '1e3',
    '١',
  ]) {
    refused(() => parseSize(bad), 64, JSON.stringify(bad))
  }
})

test('times', () => {
  const now = Date.parse('2026-06-15T12:00:00Z')
  for (const [text, iso] of [
    ['2026-01-31T18:30:00Z', '2026-01-31T18:30:00.000Z'],
    ['2026-01-31t18:30:00.250z', '2026-01-31T18:30:00.250Z'],
    ['2026-01-31 18:30:00+05:30', '2026-01-31T13:00:00.000Z'],
    ['2026-01-31T18:30:00.123456-08:00', '2026-02-01T02:30:00.123Z'],
    ['2016-12-31T23:59:60Z', '2017-01-01T00:00:00.000Z'],
    ['2024-02-29', '2024-02-29T05:00:00.000Z'],
    ['2026-07-01 18:30', '2026-07-01T22:30:00.000Z'],
    ['2026-03-08 02:30', '2026-03-08T07:30:00.000Z'], // in the gap
    ['2h', '2026-06-15T10:00:00.000Z'],
    ['90', '2026-06-15T11:58:30.000Z'],
    ['inf', '1970-01-01T00:00:00.000Z'],
    ['3w', '2026-05-25T12:00:00.000Z'],
  ] as const) {
    assert.is(new Date(parseTime(text, now)).toISOString(), iso, text)
  }
  for (const bad of [
    '',
    'now',
    'yesterday',
    '2026-13-01',
    '2026-02-30',
    '2026-00-10',
    '2025-02-29',
    '26-01-01',
    '2026-1-1',
    '2026-01-01T',
    '2026-01-01T10:00',
    '2026-01-01 24:00',
    '2026-01-01T10:00:00',
    '2026-01-01T10:60:00Z',
    '2026-01-01T10:00:00+24:00',
    '2026-01-01T10:00:00Z ',
    '2026-01-01 10',
    '10:00',
    '-2h',
    '2026-01-01T10:00Z',
    '2026-01-01T10:00:00.Z',
    '20260101T100000Z',
  ]) {
    refused(() => parseTime(bad, now), 64, JSON.stringify(bad))
  }
  assert.is(parseTime('0050-03-01T00:00:00Z', now), Date.parse('0050-03-01T00:00:00Z'))
})

test('times: what a date prints as RFC 3339 is read back', () => {
  fc.assert(
    fc.property(fc.date({ min: new Date('0001-01-02'), max: new Date('9999-12-30'), noInvalidDate: true }), (date) => {
      assert.is(parseTime(date.toISOString(), 0), date.getTime())
    }),
  )
})

test('names that are good', () => {
  for (const name of [
    'a',
    'bob',
    'Bob-2',
    'x.y_z+w',
    '7',
    'Zoë',
    '李雷',
    'Ωmega',
    'n'.repeat(64),
    'é'.repeat(64),
    'p2p2',
    'postmaster2',
    '١٢',
  ]) {
    assert.is(checkName(name), name)
  }
  assert.is(checkName('Zoe\u0308'), 'Zoë', 'becomes NFC')
})

test('names that are bad say why', () => {
  for (const [name, why] of [
    ['', /empty/],
    ['n'.repeat(65), /longer than 64/],
    [' bob', /' ' is not a letter/],
    ['a b', /' ' is not/],
    ['a/b', /'\/' is not/],
    ['a\u0000', /'\\x00' is not/],
    ['a\u001b[31m', /'\\x1b' is not/],
    ['a\u202eb', /'\\u202e' is not/],
    ['a\nb', /'\\n' is not/],
    ['a@b', /'@' is not/],
    ['a\u200bb', /is not a letter/],
    ['\ud800', /'\\ud800' is not/],
    ['😀', /is not a letter/],
    ['.bob', /begin with/],
    ['-bob', /begin with/],
    ['_', /begin with/],
    ['me', /reserved/],
    ['ME', /reserved/],
    ['\uff4d\uff45', /reserved/],
    ['All', /reserved/],
    ['p2p', /reserved/],
    ['MAILER-DAEMON', /reserved/],
    ['postmaster', /reserved/],
    ['6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2', /looks like a key/],
    ['6mkhaxgbzdvotdkl5257faiztigic2qtklgpbnnegta2', /looks like a key/],
  ] as const) {
    refused(() => checkName(name), 64, name)
    refused(() => checkName(name, 65), 65, name)
    assert.throws(() => checkName(name), why)
  }
})

test('names: whatever passes is NFC, printable, short, stable, and safe in a path, an address and a shell word', () => {
  const unit = fc.oneof(
    fc.constantFrom('a', 'B', '1', '.', '_', '+', '-', 'é', 'e\u0301', 'ß', 'ﬁ', '李', 'İ', 'K'),
    fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }),
  )
  fc.assert(
    fc.property(fc.array(unit, { maxLength: 70 }), (units) => {
      let name: string
      try {
        name = checkName(units.join(''))
      } catch (error) {
        assert.ok(error instanceof Failure)
        return
      }
      assert.is(checkName(name), name)
      assert.is(name, name.normalize('NFC'))
      assert.is(printable(name), name)
      assert.ok(Array.from(name).length <= 64)
      assert.not.match(name, /[\s/\\'"$`@<>:;&|*?()[\]{}!#~]|^[.-]/)
      assert.is(foldName(foldName(name)), foldName(name))
    }),
    { numRuns: 3000 },
  )
})

test('names are compared without case and compatibility forms', () => {
  for (const [a, b] of [
    ['Bob', 'bOB'],
    ['ﬁn', 'FIN'],
    ['straße', 'STRASSE'],
    ['Ａ', 'a'],
    ['Zoe\u0308', 'ZOË'],
    ['ΣΑΣ', 'σασ'],
    ['K', 'k'],
  ] as const)
    assert.is(foldName(a), foldName(b), `${a} ${b}`)
  for (const [a, b] of [
    ['bob', 'bab'],
    ['é', 'e'],
    ['a1', 'a2'],
  ] as const)
    assert.is.not(foldName(a), foldName(b))
})

test('folding is stable for every character there is', () => {
  for (let code = 0; code < 0x110000; code++) {
    const char = String.fromCodePoint(code)
    const folded = foldName(char)
    if (foldName(folded) !== folded) assert.unreachable(`U+${code.toString(16)}`)
  }
})

test('the nearest word is the one a person meant', () => {
  const names = ['bob', 'alice', 'verify', 'list', 'robert']
  for (const [word, meant] of [
    ['bbo', 'bob'],
    ['bo', 'bob'],
    ['Bob', 'bob'],
    ['alcie', 'alice'],
    ['lsit', 'list'],
    ['vrify', 'verify'],
    ['xyz', undefined],
    ['', undefined],
    ['carol', undefined],
    ['z', undefined],
  ] as const) {
    assert.is(nearest(word, names), meant, word)
  }
  assert.is(nearest('a', []), undefined)
})

test.run()
