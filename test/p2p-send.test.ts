// p2p-send as users run it: what is queued, what is printed, which exit code. Nobody listens here: delivery has its
// own tests.

import { createHash } from 'node:crypto'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { mkdir, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { createInterface } from 'node:readline'

import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { concat, utf8 } from '../lib/base/bytes.ts'
import { Failure } from '../lib/base/fail.ts'
import { nodeSuite } from '../lib/crypto/suite-node.ts'
import { batches, parseLine, parseOrder } from '../lib/delivery/letters.ts'
import { openHome, type Home } from '../lib/disk/home.ts'
import { openOutgoing } from '../lib/disk/outgoing.ts'
import { keys, list } from '../lib/disk/queueread.ts'
import type { Queued } from '../lib/disk/queued.ts'
import type { Line } from '../lib/edge/input.ts'
import type { Header } from '../lib/wire/envelope.ts'
import { argvOf, runCommand, type Ran, type RunOptions } from './command.ts'
import { type Rec, records as recordsIn } from './records.ts'

let place = ''
let alice = ''
const ID = /^[0-9a-f]{64}$/

const send = (args: string[], options: RunOptions = {}): Promise<Ran> => runCommand('p2p-send', args, { home: alice, ...options })
const records = (ran: Ran): Rec[] => recordsIn(ran.out)

test.before(async () => {
  place = await mkdtemp(`${tmpdir()}/p2p-send-`)
  alice = `${place}/alice`
  for (const name of ['alice', 'bob', 'eve']) {
    const made = await runCommand('p2p-id', ['init', '--name', name, '--no-passphrase', '--addr', '127.0.0.1'], { home: `${place}/${name}` })
    assert.is(made.code, 0, made.err)
    if (name === 'alice') continue
    const token = await runCommand('p2p-id', ['token'], { home: `${place}/${name}` })
    const added = await runCommand('p2p-id', ['add', name], { home: alice, input: token.out })
    assert.is(added.code, 0, added.err)
  }
})

test.after(() => rm(place, { recursive: true }))

test.after.each(() => rm(`${alice}/queue`, { recursive: true }).then(() => mkdir(`${alice}/queue`, { mode: 0o700 })))

interface Message {
  queued: Queued
  header: Header
  body: Uint8Array
}

/** Everything that waits, by contact in order of creation. */
async function waiting(): Promise<Message[]> {
  const home: Home = await openHome({ flag: alice, env: {} })
  const found: Message[] = []
  for (const key of await keys(home)) {
    for (const queued of await list(home, key)) {
      const outgoing = await openOutgoing(home, nodeSuite, queued)
      if (outgoing === undefined) throw new Error('gone')
      const { head, size } = outgoing
      const pieces: Uint8Array[] = []
      for (let at = head.bytes.length; at < size; at += pieces.at(-1)?.length ?? 0) pieces.push(await outgoing.read(at, 1 << 20))
      await outgoing.close()
      found.push({ queued, header: head.header, body: concat(...pieces) })
    }
  }
  return found
}

const text = (message: Message | undefined): string => new TextDecoder().decode(message?.body)

/** Nothing in any state of the queue, and nothing half done. */
function nothingLeft(): void {
  const left = readdirSync(`${alice}/queue`, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  assert.equal(left.filter((entry) => !entry.parentPath.endsWith('/clock')).map((entry) => entry.name), [])
}

test('a line from a pipe is queued exactly as it is, durable before it is told', async () => {
  const ran = await send(['bob', '--queue-only'], { input: 'see you at 8?\n' })
  assert.is(ran.code, 0, ran.err)
  const [record, ...others] = records(ran)
  assert.equal(others, [])
  const [message] = await waiting()
  assert.is(text(message), 'see you at 8?\n')
  assert.equal(message?.header, { parts: [{ type: 'text/plain', size: 14 }] })
  assert.equal({ ...record, created: undefined }, {
    v: 1,
    type: 'queued',
    id: message?.queued.id,
    to: 'bob',
    key: message?.queued.key,
    state: 'new',
    created: undefined,
    size: message?.queued.size,
    attempts: 0,
  })
  assert.is(Date.parse(record?.['created'] as string), Number((message as Message).queued.created / 1000n))
  assert.match(record?.['created'] as string, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  assert.is(readdirSync(`${alice}/sent/cur`).filter((name) => name.endsWith(':2,FS')).length, 1)
})

test('people get one line, -q nothing, and the last of --json and --text wins', async () => {
  assert.match((await send(['bob', '-m', 'x', '--queue-only', '--json', '--text'])).out, /^bob {2}queued {2}[0-9a-f]{8}\n$/)
  assert.is(records(await send(['bob', '-m', 'x', '--queue-only', '--text', '--json'])).length, 1)
  const quiet = await send(['bob', '-q', '-m', 'x', '--queue-only'])
  assert.equal([quiet.code, quiet.out, quiet.err], [0, '', ''])
})

test('bytes are kept, and what is no text becomes a file', async () => {
  const binary = Uint8Array.of(0, 255, 10, 13, 10)
  const cases: [Uint8Array, string[], object][] = [
    [new Uint8Array(0), [], { type: 'text/plain', size: 0 }],
    [utf8('no newline \u{1f600}\r\n\tx'), [], { type: 'text/plain', size: 19 }],
    [utf8('a\0b'), [], { type: 'application/octet-stream', name: 'stdin', size: 3 }],
    [binary, [], { type: 'application/octet-stream', name: 'stdin', size: 5 }],
    [binary, ['--name', 'x.png'], { type: 'application/octet-stream', name: 'x.png', size: 5 }],
    [utf8('text'), ['-a', '-', '--name', 'n.txt'], { type: 'text/plain', name: 'n.txt', size: 4 }],
    [new Uint8Array(1 << 20).fill(65), [], { type: 'text/plain', size: 1 << 20 }],
    [new Uint8Array((1 << 20) + 1).fill(65), [], { type: 'application/octet-stream', name: 'stdin', size: (1 << 20) + 1 }],
  ]
  for (const [input, args] of cases) assert.is((await send(['eve', '--queue-only', ...args], { input })).code, 0)
  const all = await waiting()
  assert.equal(all.map(({ header }) => header.parts[0]), cases.map(([, , part]) => part))
  for (const [at, { body }] of all.entries()) assert.ok(Buffer.compare(body, cases[at]?.[0] as Uint8Array) === 0, `${at}`)
})

test('a text and files make one message, the text first', async () => {
  const big = new Uint8Array(3 << 20).map((_, i) => (i * 7) & 255)
  await writeFile(`${place}/big.tar`, big)
  await writeFile(`${place}/empty.TXT`, '')
  const ran = await send(['bob', '-m', 'the files', '-a', `${place}/big.tar`, '-f', `${place}/empty.TXT`, '--file', '-', '-s', 'two\nlines ', '--queue-only'], { input: 'piped' })
  assert.is(ran.code, 0, ran.err)
  const [message] = await waiting()
  assert.equal(message?.header, {
    parts: [
      { type: 'text/plain', size: 9 },
      { type: 'application/x-tar', name: 'big.tar', size: big.length },
      { type: 'text/plain', name: 'empty.TXT', size: 0 },
      { type: 'application/octet-stream', name: 'stdin', size: 5 },
    ],
    subject: 'two lines',
  })
  const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')
  assert.is(digest(message?.body as Uint8Array), digest(concat(utf8('the files'), big, utf8('piped'))))
})

test('standard input is left alone with -m and -a', async () => {
  await writeFile(`${place}/f`, 'file')
  const script = `while read name; do ${argvOf('p2p-send').join(' ')} "$name" -q -m hi --queue-only; done`
  const child = spawn('bash', ['--norc', '-c', script], { env: { PATH: process.env['PATH'], P2P_HOME: alice }, stdio: ['pipe', 'inherit', 'inherit'] })
  child.stdin.end('bob\neve\nbob\n')
  await once(child, 'exit')
  assert.is((await waiting()).length, 3)
})

test('several names get the message once each', async () => {
  const ran = await send(['bob', 'EVE', 'Bob', '-m', 'all', '--queue-only'])
  assert.equal(records(ran).map(({ to }) => to), ['bob', 'eve'])
  assert.is((await waiting()).length, 2)
})

test('one bad name and nothing is queued, nothing is read', async () => {
  const ran = await send(['bob', 'eev', '--queue-only'], { input: 'x' })
  assert.is(ran.code, 67)
  assert.match(ran.err, /no contact named 'eev': did you mean 'eve'\?\n.*hint: p2p-id list/)
  nothingLeft()
})

test('usage errors are 64 and queue nothing', async () => {
  for (const args of [
    [],
    ['bob', '-m', 'x', '--lines'],
    ['bob', '--ndjson', '-a', 'f'],
    ['bob', '--ndjson', '--lines'],
    ['bob', '-a', '-', '-a', '-'],
    ['bob', '-m', 'x', '--wait', 'soon'],
    ['bob', '-m', 'x', '--expires', 'never'],
    ['bob', '-m'],
    ['bob', '--bogus'],
    ['bob', '-m', 'x', '--reply', 'zzz'],
  ]) {
    const ran = await send(args)
    assert.is(ran.code, 64, `${args.join(' ')}: ${ran.err}`)
    assert.is(ran.out, '')
  }
  nothingLeft()
})

test('a file that cannot be read is 66 and nothing is queued', async () => {
  await mkdir(`${place}/dir`, { recursive: true })
  for (const file of [`${place}/nope`, `${place}/dir/nope`, `${place}/f/x`]) {
    const ran = await send(['bob', '-m', 'x', '-a', file])
    assert.is(ran.code, 66, ran.err)
    assert.match(ran.err, new RegExp(`cannot read '${file}': `))
  }
  nothingLeft()
})

test('a pipe can be attached like a file', async () => {
  const script = `${argvOf('p2p-send').join(' ')} bob -q --queue-only -a <(head -c 200000 /dev/zero)`
  const child = spawn('bash', ['--norc', '-c', script], { env: { PATH: process.env['PATH'], P2P_HOME: alice }, stdio: ['ignore', 'inherit', 'inherit'] })
  assert.equal(await once(child, 'exit'), [0, null])
  assert.is((await waiting())[0]?.body.length, 200_000)
})

test('a body over the limit is 65 with both numbers, before anything is queued', async () => {
  await writeFile(`${place}/huge`, '')
  await truncate(`${place}/huge`, 2 ** 30 + 1)
  const ran = await send(['bob', '-a', `${place}/huge`])
  assert.is(ran.code, 65)
  assert.match(ran.err, /1073741825 bytes.*1073741824/)
  nothingLeft()
  const long = await send(['bob', '-m', 'x', '-s', 'x'.repeat(999)])
  assert.is(long.code, 65)
  assert.match(long.err, /999 .*998/)
  const many = await send(['bob', ...Array.from({ length: 49 }, () => ['-a', `${place}/f`]).flat()])
  assert.is(many.code, 65)
  assert.match(many.err, /49 .*48/)
  nothingLeft()
})

test('-E makes an empty input no message', async () => {
  const ran = await send(['bob', '-E'], { input: '' })
  assert.equal([ran.code, ran.out, ran.err], [0, '', ''])
  nothingLeft()
  assert.is((await send(['bob', '-E', '--queue-only'], { input: ' ' })).code, 0)
  assert.is((await waiting()).length, 1)
})

test('an expiry is kept beside the message', async () => {
  const before = Date.now()
  const [record] = records(await send(['bob', '-m', 'x', '--expires', '2d', '--queue-only']))
  const expires = Date.parse(record?.['expires'] as string)
  assert.ok(expires >= before + 172_800_000 && expires < Date.now() + 172_800_000)
  assert.is((await waiting())[0]?.queued.opts.expires, expires)
  assert.is(records(await send(['bob', '-m', 'x', '--expires', 'inf', '--queue-only']))[0]?.['expires'], undefined)
})

test('with nobody there the message is safe and deferred: 0, and 75 only for an explicit --wait', async () => {
  for (const [args, code, reason] of [[[], 0, 'refused'], [['--wait', '5s'], 75, 'refused'], [['--wait', '0'], 0, 'backoff']] as [string[], number, string][]) {
    const ran = await send(['bob', '-m', 'x', ...args])
    assert.is(ran.code, code, ran.err)
    assert.equal(records(ran).map(({ type, reason, attempts }) => [type, reason, attempts !== undefined]), [['queued', undefined, true], ['deferred', reason, reason === 'refused']])
  }
  const all = await waiting()
  assert.is(all.length, 3)
})

test('--lines sends one message a line and skips empty ones', async () => {
  const ran = await send(['bob', '--lines', '--queue-only'], { input: 'a\n\nb\r\n\nc' })
  assert.is(ran.code, 0, ran.err)
  assert.equal((await waiting()).map(text), ['a', 'b\r', 'c'])
})

test('--ndjson sends what is right, names what is broken, echoes ref', async () => {
  await writeFile(`${place}/pic.png`, 'PNG')
  const input = [
    '{"to":"bob","text":"one","ref":7}',
    'nope',
    '',
    '{"to":["bob","eve"],"file":"pic.png","text":"two","subject":"s","ref":{"a":1},"unknown":1}',
    '{"to":"bbo","text":"x","ref":"lost"}',
    '{"text":"x"}',
    '{"to":"bob"}',
    '{"to":"bob","text":"x","text":"y"}',
    `{"to":"bob","text":"${'x'.repeat(2 * 1024 * 1024)}"}`,
    '{"to":"bob","file":"missing"}',
    '{"to":"bob","text":"three"}',
  ].join('\n')
  const ran = await send(['--ndjson', '--queue-only'], { input, cwd: place })
  assert.is(ran.code, 67, 'the worst of 65, 66 and 67')
  const queued = records(ran).filter(({ type }) => type === 'queued')
  assert.equal(queued.map(({ to, ref }) => [to, ref]), [['bob', 7], ['bob', { a: 1 }], ['eve', { a: 1 }], ['bob', undefined]])
  const broken = records(ran).filter(({ type }) => type === 'error')
  assert.equal(broken.map(({ line, exit, ref }) => [line, exit, ref]), [
    [2, 65, undefined],
    [5, 67, 'lost'],
    [6, 65, undefined],
    [7, 65, undefined],
    [8, 65, undefined],
    [9, 65, undefined],
    [10, 66, undefined],
  ])
  const told = ran.err.split('\n').filter((line) => !line.includes('hint:'))
  assert.equal(told.map((line) => /line (\d+):/.exec(line)?.[1]).filter(Boolean), ['2', '5', '6', '7', '8', '9', '10'])
  const bob = (await waiting()).filter(({ header }) => header.subject === 's')
  assert.equal(bob[0]?.header.parts, [{ type: 'text/plain', size: 3 }, { type: 'application/octet-stream', name: 'pic.png', size: 3 }])
  assert.is((await waiting()).length, 4)
})

test('--dry-run reads and checks everything, tells what would go, and leaves nothing', async () => {
  const ran = await send(['bob', 'eve', '-n', '-s', 'hi', '-m', 'abc'])
  assert.is(ran.code, 0, ran.err)
  const parts = [{ type: 'text/plain', size: 3 }]
  const shown = records(ran).map((record) => ({ ...record, key: undefined }))
  assert.equal(shown, ['bob', 'eve'].map((to) => ({ v: 1, type: 'dry-run', to, key: undefined, size: 3, subject: 'hi', parts })))
  await truncate(`${place}/pic.png`, 1024).catch(() => writeFile(`${place}/pic.png`, new Uint8Array(1024)))
  assert.is((await send(['bob', '-n', '-a', 'pic.png'], { cwd: place })).code, 0)
  assert.is((await send(['bbo', '-n', '-m', 'x'])).code, 67)
  assert.is((await send(['bob', '-n', '-a', 'missing'], { cwd: place })).code, 66)
  const lines = await send(['-n', '--ndjson'], { input: '{"to":"bob","text":"x","ref":3}\n{"to":"me","text":"y"}\n{\n' })
  assert.is(lines.code, 65)
  const told = records(lines).map(({ type, to, ref }) => `${String(type)} ${String(to)} ${String(ref)}`)
  assert.equal(told.toSorted(), ['dry-run bob 3', 'dry-run me undefined', 'error undefined undefined'])
  nothingLeft()
})

test('--replace takes the place of what waits under the same tag for the same contact', async () => {
  const queue = (...args: string[]): Promise<Rec[]> => send([...args, '--queue-only']).then(records)
  const [first] = await queue('bob', '-m', 'disk 90 %', '--replace', 'df')
  await queue('bob', '-m', 'other tag', '--replace', 'load')
  await queue('bob', '-m', 'no tag')
  await queue('eve', '-m', 'other contact', '--replace', 'df')
  const [queued, replaced, ...none] = await queue('bob', '-m', 'disk 95 %', '--replace', 'df')
  assert.is(queued?.['type'], 'queued')
  assert.equal(replaced, { v: 1, type: 'replaced', id: first?.['id'], to: 'bob', key: first?.['key'], tag: 'df' })
  assert.equal(none, [])
  const texts = (await waiting()).map(text).toSorted()
  assert.equal(texts, ['disk 95 %', 'no tag', 'other contact', 'other tag'])
  const copies = readdirSync(`${alice}/sent/cur`)
  assert.not.ok(copies.some((name) => name.includes(String(first?.['id']).slice(0, 32))), 'its copy went too')
  assert.ok(copies.some((name) => name.includes(String(queued?.['id']).slice(0, 32))))
})

test('within one stream the last of a tag stays, and each record has its ref', async () => {
  const input = [1, 2, 3].map((ref) => JSON.stringify({ to: 'bob', text: `t${ref}`, replace: 'df', ref })).join('\n')
  const told = records(await send(['--ndjson', '--queue-only'], { input }))
  assert.equal(told.filter(({ type }) => type === 'replaced').map(({ ref }) => ref), [1, 2])
  assert.equal((await waiting()).map(text), ['t3'])
  for (const tag of ['', 'x'.repeat(65), 'a\nb']) assert.is((await send(['bob', '-m', 'x', '--replace', tag])).code, 64)
  assert.is((await send(['--ndjson'], { input: '{"to":"bob","text":"x","replace":""}' })).code, 65)
})

test('a message that was held back, or whose contact was there, is not replaced', async () => {
  const [held] = records(await send(['bob', '-m', 'held', '--replace', 'df', '--queue-only']))
  await runCommand('p2p-queue', ['hold', String(held?.['id'])], { home: alice })
  const [offered] = records(await send(['bob', '-m', 'offered', '--replace', 'df', '--queue-only']))
  const at = Date.parse(String(offered?.['created'])) + 1
  const event = { at, event: 'session' }
  writeFileSync(`${alice}/queue/${String(offered?.['key'])}/log`, `\n${JSON.stringify(event)}`, { flag: 'a' })
  const told = records(await send(['bob', '-m', 'new', '--replace', 'df', '--queue-only']))
  assert.equal(told.map(({ type }) => type), ['queued'])
  assert.equal((await waiting()).map(text), ['offered', 'new'])
})

test('the copy of a dropped message goes to the trash', async () => {
  const [one] = records(await send(['bob', '-m', 'never mind', '--queue-only']))
  const id = String(one?.['id'])
  assert.is((await runCommand('p2p-queue', ['drop', id], { home: alice })).code, 0)
  const copies = readdirSync(`${alice}/sent/cur`).filter((name) => name.includes(id.slice(0, 32)))
  assert.equal(copies.map((name) => name.split(':2,')[1]), ['ST'])
})

test('only broken lines is 65', async () => {
  assert.is((await send(['--ndjson'], { input: '{\n' })).code, 65)
  nothingLeft()
})

test('--ndjson is a coprocess: one line in, its record out, the next line in', async () => {
  const [program, ...args] = argvOf('p2p-send')
  const child = spawn(program as string, [...args, '--ndjson', '--queue-only'], { env: { PATH: process.env['PATH'], P2P_HOME: alice }, stdio: ['pipe', 'pipe', 'inherit'] })
  const out = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  for (let i = 0; i < 3; i++) {
    child.stdin.write(`{"to":"bob","text":"${i}","ref":${i}}\n`)
    const { value } = await out.next()
    assert.is(recordsIn(value as string)[0]?.['ref'], i)
    assert.is((await waiting()).length, i + 1, 'durable before it is told')
  }
  child.stdin.end()
  assert.equal(await once(child, 'exit'), [0, null])
})

test('the last lines of a stream are not queued: 74, whatever was queued before', async () => {
  const [key] = (await send(['bob', '--queue-only', '-m', 'first'])).out.match(/(?<="key":")[^"]+/) ?? []
  await rm(`${alice}/queue/${key}/tmp`, { recursive: true })
  await writeFile(`${alice}/queue/${key}/tmp`, 'in the way')
  for (const form of ['--lines', '--ndjson']) {
    const ran = await send(['bob', '--queue-only', form], { input: form === '--lines' ? 'one\n' : '{"text":"one"}\n' })
    assert.is(ran.code, 74, ran.err)
    assert.match(ran.err, /cannot queue the message/)
    assert.equal(records(ran), [])
  }
  await rm(`${alice}/queue/${key}/tmp`)
})

test('thousands of lines in one process keep their order', async () => {
  const input = Array.from({ length: 2000 }, (_, i) => `{"to":"${i % 2 === 0 ? 'bob' : 'eve'}","text":"${i}","ref":${i}}\n`).join('')
  const ran = await send(['--ndjson', '--queue-only'], { input })
  assert.is(ran.code, 0, ran.err)
  assert.equal(records(ran).map(({ ref }) => ref), Array.from({ length: 2000 }, (_, i) => i))
  const all = await waiting()
  assert.is(all.length, 2000)
  for (const parity of [0, 1]) {
    const own = all.map((message) => Number(text(message))).filter((n) => n % 2 === parity)
    assert.equal(own, Array.from({ length: 1000 }, (_, i) => 2 * i + parity))
  }
})

test('a reader that goes away stops nothing that was promised', async () => {
  const script = `seq 1 3000 | ${argvOf('p2p-send').join(' ')} bob --lines --queue-only | head -n 1; echo \${PIPESTATUS[1]}`
  const child = spawn('bash', ['--norc', '-c', script], { env: { PATH: process.env['PATH'], P2P_HOME: alice }, stdio: ['ignore', 'pipe', 'inherit'] })
  const lines: string[] = []
  for await (const line of createInterface({ input: child.stdout })) lines.push(line)
  assert.is(lines.at(-1), '0')
  assert.is((await waiting()).length, 3000)
})

test('a blocked contact is 77, an unknown message to answer is 1', async () => {
  assert.is((await runCommand('p2p-id', ['block', 'eve'], { home: alice })).code, 0)
  const blocked = await send(['bob', 'eve', '-m', 'x'])
  assert.is(blocked.code, 77)
  assert.is((await runCommand('p2p-id', ['unblock', 'eve'], { home: alice })).code, 0)
  assert.is((await send(['bob', '-m', 'x', '-r', 'abcdef'])).code, 1)
  assert.is((await send(['-m', 'x', '-r', '@'])).code, 1)
  nothingLeft()
})

test('an answer names the message, and goes to its sender without a name', async () => {
  const [first] = records(await send(['bob', '-m', 'question', '--queue-only']))
  const id = first?.['id'] as string
  assert.match(id, ID)
  const again = await send(['bob', '-m', 'and another', '-r', id.slice(0, 8), '--queue-only'])
  assert.is(again.code, 0, again.err)
  assert.is((await waiting())[1]?.header.reply, id)
  // a message from bob, as a receiver would write it
  const key = (await waiting())[0]?.queued.key as string
  const received = createHash('sha256').update('from bob').digest('hex')
  const mail = `From: bob <${key}@p2p.invalid>\nTo: alice\nSubject: hi\nMessage-ID: <${received}@p2p.invalid>\nDate: Tue, 10 Nov 2026 10:00:00 +0000\n\nhi\n`
  writeFileSync(`${alice}/inbox/new/1800000000000000.${received.slice(0, 32)}.p2p`, mail)
  const reply = await send(['-r', '@', '-m', 'yes', '--queue-only'])
  assert.is(reply.code, 0, reply.err)
  assert.match(reply.err, new RegExp(`replying to ${received.slice(0, 8)} from bob: hi`))
  const last = (await waiting()).at(-1)
  assert.equal([last?.queued.key, last?.header.reply], [key, received])
})

test('what a hook sends is marked as automatic', async () => {
  await send(['bob', '-m', 'x', '--queue-only'], { env: { P2P_ID: 'ab'.repeat(32) } })
  assert.is((await waiting())[0]?.header.auto, true)
})

test('a note to oneself lies in the own inbox', async () => {
  const ran = await send(['me', '-m', 'buy milk'])
  assert.is(ran.code, 0, ran.err)
  assert.equal(records(ran).map(({ type, to }) => [type, to]), [['queued', 'me'], ['delivered', 'me']])
  const notes = readdirSync(`${alice}/inbox/new`).map((name) => readFileSync(`${alice}/inbox/new/${name}`, 'utf8'))
  assert.ok(notes.some((mail) => mail.includes('buy milk')))
  assert.equal(await waiting(), [])
})

test('a home without identity is 78 and is not created', async () => {
  const ran = await send(['bob', '-m', 'x'], { home: `${place}/none` })
  assert.is(ran.code, 78)
  assert.not.ok(existsSync(`${place}/none`))
})

test('an order is refused with 65 or understood, whatever stands in it', () => {
  const value = fc.jsonValue({ maxDepth: 2 })
  const key = fc.constantFrom('to', 'text', 'file', 'subject', 'reply', 'reaction', 'expires', 'name', 'ref', 'x')
  fc.assert(
    fc.property(fc.dictionary(key, value, { noNullPrototype: true }), (object) => {
      try {
        const order = parseOrder(parseLine(utf8(JSON.stringify(object))), 0)
        assert.ok(Array.isArray(order.to) && order.letter.attachments.every((file) => 'path' in file))
      } catch (error) {
        assert.instance(error, Failure)
        assert.is((error as Failure).exit, 65)
      }
    }),
    { numRuns: 500 },
  )
})

test('lines come in batches, in order, complete, however they arrive', async () => {
  const line = (number: number): Line => ({ number, bytes: utf8(String(number)), tooLong: false })
  async function* source(pauses: boolean[]): AsyncGenerator<Line> {
    for (const [at, pause] of pauses.entries()) {
      if (pause) await new Promise((resolve) => setImmediate(resolve))
      yield line(at)
    }
  }
  await fc.assert(
    fc.asyncProperty(fc.array(fc.boolean(), { maxLength: 1500 }), fc.boolean(), async (pauses, slow) => {
      const seen: number[] = []
      for await (const batch of batches(source(pauses))) {
        if (slow) await new Promise((resolve) => setImmediate(resolve))
        assert.ok(batch.length > 0 && batch.length <= 513)
        seen.push(...batch.map(({ number }) => number))
      }
      assert.equal(seen, pauses.map((_, at) => at))
    }),
    { numRuns: 20 },
  )
  try {
    // eslint-disable-next-line require-yield -- a source that fails at once
    async function* broken(): AsyncGenerator<Line> {
      throw new Error('read error')
    }
    for await (const _ of batches(broken())) assert.unreachable()
    assert.unreachable()
  } catch (error) {
    assert.is((error as Error).message, 'read error')
  }
})

test.run()
