// man/p2p-record.schema.json, p2p-record(5) and the records of every version so far say the same. The stored ones in
// test/fixtures/records/ were printed by the commands of the version that a file is named after: lines are added there,
// none is changed, since scripts that were written for them must go on.

import { readdirSync, readFileSync } from 'node:fs'

import { Ajv2020 } from 'ajv/dist/2020.js'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { checkLines, checkRecord, closed, type Definition, readSchema, type Rec, records, typesOf } from './records.ts'

const schema = readSchema()
const types = typesOf(schema)
const strict = { strictSchema: true, strictTypes: true, strictTuples: true } as const
const published = new Ajv2020(strict).compile(schema)

const STORED = 'test/fixtures/records'
const stored = readdirSync(STORED).flatMap((name) =>
  readFileSync(`${STORED}/${name}`, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line, at) => ({ where: `${name}:${at + 1}`, line, record: JSON.parse(line) as Rec })),
)

const definition = (type: string): Definition => schema.$defs[type] as Definition
const fieldsOf = ({ properties = {} }: Definition): string[] => Object.keys(properties)
const sorted = (words: Iterable<string>): string[] => [...words].sort((a, b) => (a < b ? -1 : 1))
const bare = (words: Iterable<string>): string[] => sorted([...words].filter((word) => word !== 'v' && word !== 'type'))

test('the schema is one, has no misspelt keyword and names nobody', () => {
  assert.type(new Ajv2020(strict).compile(closed(schema)), 'function')
  assert.match(schema.$id, /^urn:p2p:record:1$/)
  const broken = { ...schema, $id: 'urn:p2p:broken', $defs: { ...schema.$defs, id: { type: 'string', patern: 'x' } } }
  assert.throws(() => new Ajv2020(strict).compile(broken), /patern/)
})

test('every type has v and type, every field a description', () => {
  for (const type of types) {
    const { properties = {}, required = [], description } = definition(type)
    assert.equal([properties['v'], properties['type']], [{ const: 1 }, { const: type }])
    assert.equal(required.slice(0, 2), ['v', 'type'], type)
    assert.ok(description.length > 0)
    for (const field of required) assert.ok(field in properties, `${type}.${field}`)
    for (const [field, rules] of Object.entries(properties)) {
      if (field === 'v' || field === 'type') continue
      const { description: own, $ref } = rules
      const words = own ?? schema.$defs[String($ref).replace('#/$defs/', '')]?.description
      assert.type(words, 'string', `${type}.${field} has no description`)
    }
  }
  const text = JSON.stringify(schema)
  assert.equal(Object.keys(schema.$defs).filter((name) => !text.includes(`"#/$defs/${name}"`)), [])
})

interface Documented {
  always: string[]
  sometimes: string[]
  /** What `.It Cm` lines name. */
  explained: Set<string>
  text: string
}

/** The records of the manual page by type; '' holds the fields that are explained for all of them. */
function readPage(): Map<string, Documented> {
  const page = new Map<string, Documented>()
  let current: Documented | undefined
  for (const line of readFileSync('man/p2p-record.5', 'utf8').split('\n')) {
    const [, heading] = /^\.Ss (.*)$/.exec(line) ?? []
    if (heading !== undefined) {
      current = { always: [], sometimes: [], explained: new Set(), text: '' }
      page.set(/^[a-z-]+$/.test(heading) ? heading : '', current)
    }
    if (line.startsWith('.Sh ')) current = undefined
    if (current === undefined) continue
    const [, always] = /^\.Cm (.*)$/.exec(line) ?? []
    const [, sometimes] = /^\.Op Cm (.*)$/.exec(line) ?? []
    const [, explained] = /^\.It Cm (.*)$/.exec(line) ?? []
    const beginning = !current.text.includes('\n.Pp\n') // further down .Cm stands in sentences
    if (always !== undefined && beginning) current.always.push(...always.split(' '))
    if (sometimes !== undefined && beginning) current.sometimes.push(...sometimes.split(' '))
    for (const word of explained?.split(/[ ,]+/) ?? []) current.explained.add(word)
    current.text += `${line}\n`
  }
  return page
}

test('p2p-record(5) has the same records and fields as the schema, and explains each', () => {
  const page = readPage()
  const shared = page.get('')?.explained ?? new Set()
  assert.ok(shared.has('id') && shared.has('ref'))
  assert.equal(sorted([...page.keys()].filter((type) => type !== '')), sorted(types))
  for (const type of types) {
    const { always, sometimes, explained, text } = page.get(type) as Documented
    const { required = [] } = definition(type)
    assert.equal(sorted(always), bare(required), `${type}: what is always there`)
    const optional = fieldsOf(definition(type)).filter((field) => !required.includes(field))
    assert.equal(sorted(sometimes), bare(optional), `${type}: what may be absent`)
    for (const field of [...always, ...sometimes]) {
      assert.ok(explained.has(field) || shared.has(field), `${type}.${field} is not explained`)
    }
    for (const field of explained) assert.ok(fieldsOf(definition(type)).includes(field), `${type} has no ${field}`)
    for (const path of paths(type).filter((name) => name.includes('.'))) {
      const inner = path.replace(/^.*\./, '')
      assert.ok(text.includes(`"${inner}"`) || INHERITED.has(path), `${type}: ${path} is not explained`)
    }
  }
})

/** Explained where the same list stands on a level of its own. */
const INHERITED = new Set(['log[].addresses[].address', 'log[].addresses[].reason'])

test('p2p-send(1) explains every word that a reason can be', () => {
  const page = readFileSync('man/p2p-send.1', 'utf8')
  const words = ['deferral', 'failure'].flatMap((name) => definition(name)['enum'] as string[])
  assert.ok(words.length > 10)
  for (const word of words) assert.match(page, new RegExp(`^\\.(?:It )?Li (?:[a-z-]+ , )*${word}\\b`, 'm'))
})

test('the record shown in p2p-record(5) is one', () => {
  const text = readFileSync('man/p2p-record.5', 'utf8')
  const shown = /\n(\{"v":1,[\s\S]*?\})\n\.Ed/.exec(text)?.[1] ?? ''
  checkRecord(JSON.parse(shown.replaceAll('\n', '')))
})

/** Every field of a type with those below it: `to`, `parts[].size`, `ages.day`. */
function paths(type: string): string[] {
  const walk = (rules: Rec, at: string): string[] => {
    const { $ref, items, properties } = rules as { $ref?: string; items?: Rec; properties?: Record<string, Rec> }
    if ($ref !== undefined) return walk(schema.$defs[$ref.replace('#/$defs/', '')] as Rec, at)
    if (items !== undefined) return walk(items, `${at}[]`)
    const prefix = at === '' ? '' : `${at}.`
    return [at, ...Object.entries(properties ?? {}).flatMap(([name, inner]) => walk(inner, prefix + name))]
  }
  return walk(definition(type), '').filter((path) => path !== '' && !path.endsWith('[]'))
}

/** The fields that a record has, in the same form; what is in `ref` is its author's. */
function found(value: unknown, at = ''): string[] {
  if (Array.isArray(value)) return value.flatMap((item) => found(item, `${at}[]`))
  if (typeof value !== 'object' || value === null || at === 'ref') return [at]
  const prefix = at === '' ? '' : `${at}.`
  return [at, ...Object.entries(value).flatMap(([name, inner]) => found(inner, prefix + name))]
}

test('the stored records of every version are valid, and none has a field that is not documented', () => {
  assert.ok(stored.length > 50)
  for (const { where, record } of stored) {
    assert.ok(published(record), `${where}: ${JSON.stringify(published.errors)}`)
    try {
      checkRecord(record)
    } catch (error) {
      throw new Error(`${where}: ${(error as Error).message}`, { cause: error })
    }
  }
})

test('the stored records have every type and every field of the schema, and lack what may be absent', () => {
  const wanting: string[] = []
  for (const type of types) {
    const own = stored.filter(({ record }) => record['type'] === type)
    const seen = new Set(own.flatMap(({ record }) => found(record)))
    for (const path of paths(type).filter((name) => !seen.has(name))) wanting.push(`a '${type}' with ${path}`)
    const { required = [] } = definition(type)
    for (const field of fieldsOf(definition(type)).filter((name) => !required.includes(name))) {
      if (own.every(({ record }) => field in record)) wanting.push(`a '${type}' without ${field}`)
    }
  }
  assert.equal(wanting, [])
})

test('the stored records tell nothing of the machine that made them', () => {
  for (const { where, line } of stored) {
    for (const path of line.match(/"\/[^"]*"/g) ?? []) assert.match(path, /^"\/home\/(?:alice|bob|nobody)\b/, where)
    assert.not.match(line, /\/(?:tmp|root|work)\//, where)
    for (const ip of line.match(/\b\d+\.\d+\.\d+\.\d+\b/g) ?? []) {
      assert.match(ip, /^(?:127\.|0\.0\.0\.0$|192\.0\.2\.)/, where)
    }
  }
})

const KEY = '6SjWSQX5UKC2w6JuUbRtJscckKgSuVnhxcH9qqhmHmcA'
const ID = 'e37c197e0aeefa11a11e03668ba5aceda8e596a370cdf062b91464a878b2f42b'
const TIME = '2026-11-23T09:31:29.990Z'
const delivered = { v: 1, type: 'delivered', id: ID, to: 'bob', key: KEY, elapsed: 0.314 }
const queued = { v: 1, type: 'queued', id: ID, to: 'bob', key: KEY, state: 'new', created: TIME, size: 9, attempts: 0 }
const message = { v: 1, type: 'message', from: 'bob', received: TIME, flags: '', path: '/home/alice/x' }

test('what is no record is refused, by the published schema too', () => {
  const wrong: [string, unknown][] = [
    ['null for what is not known', { ...queued, subject: null }],
    ['ref null', { ...queued, ref: null }],
    ['a time without milliseconds', { ...queued, created: '2026-11-23T09:31:29Z' }],
    ['microseconds', { ...queued, created: '2026-11-23T09:31:29.990123Z' }],
    ['another zone', { ...queued, created: '2026-11-23T10:31:29.990+01:00' }],
    ['a month that is none', { ...queued, created: '2026-13-23T09:31:29.990Z' }],
    ['Unix time', { ...queued, created: 1_795_426_289_990 }],
    ['a short id', { ...delivered, id: ID.slice(0, 8) }],
    ['an id in capitals', { ...delivered, id: ID.toUpperCase() }],
    ['a KEY that is none', { ...delivered, key: `${KEY.slice(0, 40)}0OIl` }],
    ['no v', { ...delivered, v: undefined }],
    ['another v', { ...delivered, v: 2 }],
    ['no type', { ...delivered, type: undefined }],
    ['an unknown type', { ...delivered, type: 'received' }],
    ['the name of a part of the schema as type', { ...delivered, type: 'id' }],
    ['a name of Object.prototype as type', { ...delivered, type: 'constructor' }],
    ['a required field missing', { ...delivered, elapsed: undefined }],
    ['a size as text', { ...queued, size: '9' }],
    ['a broken size', { ...queued, size: 9.5 }],
    ['a negative size', { ...queued, size: -1 }],
    ['a state that is none', { ...queued, state: 'sent' }],
    ['a reason that is none', { ...queued, reason: 'because', text: 'x', last: TIME }],
    ['a reason without words', { ...queued, reason: 'timeout', last: TIME }],
    ['false for absent', { ...message, truncated: false, text: '' }],
    ['truncated without a text', { ...message, truncated: true }],
    ['an empty list for absent', { ...message, parts: [] }],
    ['a relative path', { ...message, path: 'inbox/new/x' }],
    ['a part without a size', { ...message, parts: [{ type: 'text/plain' }] }],
    ['gone without a cursor', { v: 1, type: 'message', id: ID, from: 'bob', key: KEY, received: TIME, gone: true }],
    ['a contact with a name and nothing else', { v: 1, type: 'contact', name: 'bob', key: KEY }],
    ['eleven words', { v: 1, type: 'contact', key: KEY, outcome: 'revoked', words: 'a '.repeat(10) + 'a' }],
    ['up from nowhere', { v: 1, type: 'peer', name: 'bob', key: KEY, state: 'up' }],
    ['a port that is none', { v: 1, type: 'peer', name: 'bob', key: KEY, state: 'up', address: '127.0.0.1:0' }],
    ['a list', [delivered]],
    ['null', null],
    ['a string', 'delivered'],
  ]
  for (const [what, value] of wrong) {
    const record = value === undefined ? undefined : (JSON.parse(JSON.stringify(value)) as unknown)
    assert.not.ok(published(record), what)
    assert.throws(() => checkRecord(record), /not a record/, what)
  }
  for (const record of [delivered, queued, message]) {
    assert.ok(published(record))
    checkRecord(record)
  }
})

test('a field that is not documented is a reader’s to ignore, and a test’s to refuse', () => {
  const part = { type: 'text/plain', size: 1, hash: 'x' }
  for (const record of [{ ...delivered, extra: 1 }, { ...message, parts: [part] }, { ...queued, colour: 'red' }]) {
    assert.ok(published(record))
    assert.throws(() => checkRecord(record), /unevaluated/)
  }
  checkRecord({ ...queued, ref: { any: ['thing', null] } })
})

test('what commands print is looked through line by line', () => {
  const good = JSON.stringify(delivered)
  const bad = JSON.stringify({ ...delivered, extra: 1 })
  assert.equal(records(`${good}\n${good}\n`), [delivered, delivered])
  assert.throws(() => records(`${good}\n${bad}\n`), /"extra"/)
  checkLines(`bob  delivered\n${good}\n`)
  checkLines(`${good}\n${bad.slice(0, -1)}`) // torn
  assert.throws(() => checkLines(`${good}\n${bad}\n`), /"extra"/)
  assert.throws(() => checkLines('{}\n'), /unknown type/)
  checkLines('{"any":"thing"}\n', true)
  assert.throws(() => checkLines(`bob\n${bad}\n`, true), /"extra"/)
})

test.run()
