// p2p-queue as users run it, over a queue made by hand: what is listed, moved and removed, and which exit code.

import { readdirSync } from 'node:fs'
import { mkdir, mkdtemp, rm, truncate } from 'node:fs/promises'
import { tmpdir } from 'node:os'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { utf8 } from '../lib/base/bytes.ts'
import { nodeSuite } from '../lib/crypto/suite-node.ts'
import { accept } from '../lib/disk/accept.ts'
import { openHome, type Home } from '../lib/disk/home.ts'
import { loadKeyring, type Keyring } from '../lib/disk/keyring.ts'
import { fail } from '../lib/disk/queue.ts'
import { count } from '../lib/disk/queueread.ts'
import type { Queued, QueuedOptions } from '../lib/disk/queued.ts'
import { note } from '../lib/disk/queuelog.ts'
import { discard, stageBody } from '../lib/disk/staging.ts'
import { runCommand, type Ran } from './command.ts'
import { type Rec, records as recordsIn } from './records.ts'

let place = ''
let alice = ''
let home: Home
let keyring: Keyring

const queue = (...args: string[]): Promise<Ran> => runCommand('p2p-queue', args, { home: alice })
const records = (ran: Ran): Rec[] => recordsIn(ran.out)
const ids = (ran: Ran): string[] => records(ran).map(({ id }) => String(id))

test.before(async () => {
  place = await mkdtemp(`${tmpdir()}/p2p-queue-cli-`)
  alice = `${place}/alice`
  for (const name of ['alice', 'bob', 'eve']) {
    const made = await runCommand('p2p-id', ['init', '--name', name, '--no-passphrase', '--addr', '127.0.0.1'], { home: `${place}/${name}` })
    assert.is(made.code, 0, made.err)
    if (name === 'alice') continue
    const token = await runCommand('p2p-id', ['token'], { home: `${place}/${name}` })
    assert.is((await runCommand('p2p-id', ['add', name], { home: alice, input: token.out })).code, 0)
  }
  home = await openHome({ flag: alice, env: {} })
  keyring = await loadKeyring(home)
})

test.after(() => rm(place, { recursive: true }))

test.after.each(() => rm(`${alice}/queue`, { recursive: true }).then(() => mkdir(`${alice}/queue`, { mode: 0o700 })))

async function put(name: string, text: string, header = {}, opts: QueuedOptions = {}): Promise<Queued> {
  const staged = await stageBody(home, nodeSuite, [{ type: 'text/plain', content: utf8(text) }])
  const to = keyring.resolve(name)
  const queued = await accept(home, nodeSuite, keyring.self, { to, staged, header, opts })
  await discard(home, staged)
  return queued
}

const bobKey = (): string => keyring.resolve('bob').key

test('an empty queue lists nothing: 0, with -q 1', async () => {
  assert.equal([(await queue('list')).code, (await queue('list')).out], [0, ''])
  assert.is((await queue('list', '-q')).code, 1)
})

test('list gives every message with its state, attempts and reason', async () => {
  const plain = await put('bob', 'one', { subject: 'hi\u202e' }, { expires: 4_102_444_800_000 })
  const large = await put('bob', 'x'.repeat(70_000))
  const gone = await put('eve', 'three')
  await fail(home, gone, 'too-big', 'more than they take')
  const next = Date.now() + 60_000
  await note(home, bobKey(), { event: 'attempt', reason: 'timeout', text: 'off or asleep', next })
  const [first, second, third] = records(await queue('list')).sort((a, b) => Number(a['size']) - Number(b['size']))
  assert.is(third?.['id'], large.id)
  assert.is(third?.['size'], large.size)
  const bobs = [first, second].find((record) => record?.['to'] === 'bob')
  const { created, last, ...rest } = bobs as Rec
  assert.equal(rest, {
    v: 1,
    type: 'queued',
    id: plain.id,
    to: 'bob',
    key: bobKey(),
    state: 'new',
    size: plain.size,
    subject: 'hi\u202e',
    attempts: 1,
    reason: 'timeout',
    text: 'off or asleep',
    next: new Date(next).toISOString(),
    expires: '2100-01-01T00:00:00.000Z',
  })
  for (const time of [created, last]) assert.ok(Math.abs(Date.parse(time as string) - Date.now()) < 60_000)
  const eves = [first, second].find((record) => record?.['to'] === 'eve')
  assert.equal([eves?.['state'], eves?.['reason'], eves?.['text']], ['failed', 'too-big', 'more than they take'])
  const human = await queue('list', '--text')
  assert.match(human.out, /bob {2}new {2}[0-9a-f]{8} {2}1 attempt: off or asleep {2}\(hi\\u202e\)/)
  assert.match(human.out, /eve {2}failed {2}[0-9a-f]{8} {2}more than they take/)
})

test('a damaged message is listed without its subject and can be dropped', async () => {
  const queued = await put('bob', 'one', { subject: 'x' })
  await truncate(home.at('queue', queued.key, 'new', queued.file), 100)
  const [record] = records(await queue('list'))
  assert.equal([record?.['id'], record?.['subject'], record?.['size']], [queued.id, undefined, 100])
  assert.match((await queue('show', queued.id, '--text')).out, /damaged/)
  assert.is((await queue('drop', queued.id)).code, 0)
})

test('show names a message by id, prefix and Message-ID, with its parts and history', async () => {
  const queued = await put('bob', 'one', { reply: 'ab'.repeat(32) })
  await note(home, bobKey(), { event: 'attempt', reason: 'refused' })
  for (const name of [queued.id, queued.id.slice(0, 6), queued.id.toUpperCase(), `<${queued.id}@p2p.invalid>`, `${queued.id}@p2p.invalid`]) {
    const ran = await queue('show', name)
    assert.is(ran.code, 0, ran.err)
    const [record] = records(ran)
    assert.equal(record?.['parts'], [{ type: 'text/plain', size: 3 }])
    assert.is(record?.['reply'], 'ab'.repeat(32))
    assert.is((record as { log: Rec[] }).log[0]?.['event'], 'attempt')
  }
  assert.match((await queue('show', queued.id, '--text')).out, /attempt {2}refused/)
})

test('an unknown message is 1, a bad or received one 64, an ambiguous one 65 with the candidates', async () => {
  assert.is((await queue('show', 'abcdef')).code, 1)
  assert.is((await queue('show', 'abc')).code, 64)
  assert.is((await queue('show', '@')).code, 64)
  assert.is((await queue('show')).code, 64)
  const queued = await put('bob', 'one')
  const twin = `${queued.created + 1n}.${queued.id.slice(0, 63)}${queued.id.endsWith('0') ? '1' : '0'}`
  await home.files.link(home.at('queue', queued.key, 'new', queued.file), home.at('queue', queued.key, 'new', twin))
  const ran = await queue('hold', queued.id.slice(0, 20))
  assert.is(ran.code, 65)
  assert.ok(ran.err.includes(queued.id) && ran.err.includes(twin.split('.')[1] as string), ran.err)
  assert.is(await count(home, bobKey()), 2)
})

test('hold, release and retry move messages; what cannot be moved is told and the others go on', async () => {
  const [a, b] = [await put('bob', 'a'), await put('bob', 'b')]
  const held = await queue('hold', a.id, 'ffffff', b.id)
  assert.is(held.code, 1)
  assert.equal(ids(held), [a.id, b.id])
  assert.equal(records(held).map(({ state }) => state), ['hold', 'hold'])
  assert.is(await count(home, bobKey(), 'hold'), 2)
  assert.is((await queue('hold', a.id)).code, 0, 'once more changes nothing')
  assert.is((await queue('retry', a.id)).code, 1)
  assert.is((await queue('release', a.id)).code, 0)
  await fail(home, a, 'expired')
  const refused = await queue('release', a.id)
  assert.is(refused.code, 1)
  assert.match(refused.err, new RegExp(`has failed\n.*hint: p2p-queue retry ${a.id.slice(0, 8)}`))
  const revived = records(await queue('retry', a.id))[0]
  assert.equal([revived?.['state'], revived?.['reason']], ['new', undefined])
  assert.is(await count(home, bobKey()), 1)
  assert.is((await queue('retry', a.id)).code, 0, 'due now')
})

test('drop prints each message; --to takes all of a contact, in every state', async () => {
  const [a, b, c] = [await put('bob', 'a'), await put('bob', 'b'), await put('eve', 'c')]
  assert.is((await queue('drop')).code, 64)
  assert.is((await queue('drop', a.id, '--to', 'bob')).code, 64)
  const one = await queue('drop', a.id)
  assert.equal(records(one), [{ v: 1, type: 'dropped', id: a.id, to: 'bob', key: bobKey() }])
  assert.is((await queue('drop', a.id)).code, 1)
  await fail(home, b, 'x')
  const later = await put('bob', 'later')
  assert.equal(new Set(ids(await queue('drop', '--to', 'bob'))), new Set([b.id, later.id]))
  assert.equal(ids(await queue('list')), [c.id])
  assert.is((await queue('drop', '--to', 'bbo')).code, 67)
})

test('messages for a contact that was removed are listed by its KEY and can be dropped', async () => {
  const queued = await put('eve', 'x')
  await rm(home.at('contacts', `${queued.key}.json`))
  assert.is(records(await queue('list'))[0]?.['to'], queued.key)
  assert.equal(ids(await queue('drop', '--to', queued.key)), [queued.id])
})

test('stat counts by contact and age', async () => {
  await put('bob', 'a')
  await fail(home, await put('bob', 'b'), 'x')
  await note(home, bobKey(), { event: 'attempt', reason: 'timeout' })
  const [record, ...others] = records(await queue('stat'))
  assert.equal(others, [])
  assert.equal([record?.['type'], record?.['to'], record?.['new'], record?.['hold'], record?.['failed']], ['queue', 'bob', 1, 0, 1])
  assert.equal(record?.['ages'], { hour: 2, day: 0, week: 0, older: 0 })
  assert.equal([record?.['attempts'], record?.['reason']], [1, 'timeout'])
  assert.match((await queue('stat', '--text')).out, /^bob {2}1 waiting {2}0 held {2}1 failed/)
})

test('a flush with nobody there is a complete pass: 0, and everything still waits', async () => {
  for (const text of ['a', 'b', 'c']) await put('bob', text)
  const ran = await queue('flush')
  assert.is(ran.code, 0, ran.err)
  for (const { type } of records(ran)) assert.is(type, 'deferred')
  const waiting = records(await queue('list')).filter(({ state }) => state === 'new')
  assert.is(waiting.length, 3)
  const pair = ({ id, to }: Record<string, unknown>): string => `${String(to)} ${String(id)}`
  assert.equal(records(ran).map(pair).sort(), waiting.map(pair).sort(), 'each is told, of its own contact')
  assert.is(await count(home, bobKey()), 3)
  assert.is((await queue('flush', 'bob')).code, 0)
  assert.is((await queue('flush', 'bbo')).code, 67)
})

test('nothing but records of the queue is left in it', async () => {
  const queued = await put('bob', 'x'.repeat(70_000), {}, { tag: 't' })
  await queue('drop', queued.id)
  for (const folder of ['tmp', 'new', 'hold', 'failed', 'body', 'opts']) {
    assert.equal(readdirSync(home.at('queue', bobKey(), folder)), [], folder)
  }
})

test.run()
