// p2p-inbox: what is listed, found, printed and saved, the cursor that never misses or repeats, and the command itself.

import { spawn, spawnSync } from 'node:child_process'
import { existsSync, lstatSync, mkdirSync, readFileSync, renameSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { collect, utf8 } from '../lib/base/bytes.ts'
import { EX, Failure } from '../lib/base/fail.ts'
import { arrivals, cursorsOf, parseCursor } from '../lib/disk/arrivals.ts'
import type { OpenMode } from '../lib/disk/files.ts'
import { realDoors, type Home } from '../lib/disk/home.ts'
import { listMessages, type Filter } from '../lib/disk/inboxfilter.ts'
import { findMessage } from '../lib/disk/inboxlookup.ts'
import { describe, openMessage, partContent, type Message, type View } from '../lib/disk/inboxview.ts'
import { listMaildir, mailName, setFlags, writeMail } from '../lib/disk/maildir.ts'
import { saveFile } from '../lib/disk/savefile.ts'
import { seenEnd } from '../lib/disk/seenlog.ts'
import { externalPath } from '../lib/wire/mail.ts'
import { composeNotice } from '../lib/wire/notice.ts'
import { parseMessageRef } from '../lib/wire/msgref.ts'
import { mainPart } from '../lib/wire/record.ts'
import { BINARY, BOB, bytesOf, deliver, deliverNotice, EVE, freshId, logSeen, mailOf, TEXTS, withHome, type Draft } from './mailbox.ts'
import { records } from './records.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))

const viewOf = (home: Home): View => ({ home, nameOf: (key) => (key === BOB.key ? 'robert' : undefined) })

async function all(view: View, filter: Filter = {}): Promise<Message[]> {
  const found: Message[] = []
  for await (const message of listMessages(view, filter, 'text')) found.push(message)
  return found
}

const subjects = (messages: Message[]): (string | undefined)[] => messages.map(({ info }) => info.subject)

async function failure(work: Promise<unknown>): Promise<Failure> {
  try {
    await work
  } catch (error) {
    if (error instanceof Failure) return error
    throw error
  }
  throw new Error('nothing was thrown')
}

/** Messages 1 to n, one a second, from bob and eve in turn. */
async function fill(home: Home, count: number, more: (i: number) => Partial<Draft> = () => ({})): Promise<string[]> {
  const ids: string[] = []
  for (let i = 1; i <= count; i++) {
    const from = i % 2 === 1 ? BOB : EVE
    ids.push((await deliver(home, { text: `m${i}\n`, from, received: BigInt(i) * 1_000_000n, ...more(i) })).id)
  }
  return ids
}

test('messages are listed oldest first and filtered by flag, sender, time and number', async () => {
  await withHome(async (home) => {
    const view = viewOf(home)
    await fill(home, 40)
    const [first] = await listMaildir(home, 'inbox')
    assert.ok(first)
    await setFlags(home, first, { add: 'S' })
    assert.equal(subjects(await all(view)), Array.from({ length: 40 }, (_, i) => `m${i + 1}`))
    assert.is((await all(view, { unseen: true })).length, 39)
    assert.equal(subjects(await all(view, { last: 2 })), ['m39', 'm40'])
    assert.equal(subjects(await all(view, { last: 0 })), [])
    assert.equal(subjects(await all(view, { key: BOB.key, last: 2 })), ['m37', 'm39'])
    assert.is((await all(view, { key: EVE.key })).length, 20)
    assert.equal(subjects(await all(view, { since: 3000, until: 5000 })), ['m3', 'm4'])
  })
})

test('a record says what the message says, with the present name of the contact', async () => {
  await withHome(async (home) => {
    const files = [{ type: 'image/png', name: 'a b.png', bytes: BINARY }]
    const { path } = await deliver(home, { text: 'grüße\n', subject: 's', files, verified: true, received: 7_000_000n, created: 5_250_000n })
    const [message] = await all(viewOf(home))
    const { id, text, ...info } = message?.info ?? { parts: [] }
    assert.match(id ?? '', /^[0-9a-f]{64}$/)
    assert.equal(text, utf8('grüße\n'))
    assert.equal(JSON.parse(JSON.stringify(info)), {
      from: 'robert', key: BOB.key, verified: true, created: 5250, received: 7000, subject: 's',
      parts: [{ type: 'image/png', name: 'a b.png', size: BINARY.length }], flags: '', path,
    })
  })
})

test('a damaged message is listed by its place, and opening it says so', async () => {
  await withHome(async (home) => {
    const view = viewOf(home)
    const { path, id } = await deliver(home, { text: 'x\n' })
    writeFileSync(path, 'x'.repeat(3 << 20))
    const [message] = await all(view)
    assert.is(message?.info.path, path)
    assert.is(message?.info.from, 'unknown')
    assert.ok(message)
    message.info.id = id
    assert.is((await failure(openMessage(view, message, async () => 0))).exit, EX.DATA)
  })
})

test('MSG is an id, a prefix of six, a Message-ID or @N', async () => {
  for (const [text, prefix] of [
    ['ABCDEF', 'abcdef'],
    [`<${'0a'.repeat(32)}@p2p.invalid>`, '0a'.repeat(32)],
    [`${'0a'.repeat(32)}@P2P.invalid`, '0a'.repeat(32)],
  ] as const) assert.equal(parseMessageRef(text), { kind: 'id', prefix })
  assert.equal(parseMessageRef('@'), { kind: 'latest', nth: 1 })
  assert.equal(parseMessageRef('@12'), { kind: 'latest', nth: 12 })
  for (const text of ['', 'abcde', 'xyzxyz', '@0', '@-1', '@x', '0a'.repeat(33), 'abcdef@example.org', '../../abcdef']) {
    try {
      parseMessageRef(text)
      assert.unreachable(text)
    } catch (error) {
      assert.is((error as Failure).exit, EX.USAGE)
    }
  }
})

test('a message is found by what names it; notices do not count as received', async () => {
  await withHome(async (home) => {
    const view = viewOf(home)
    const ids = await fill(home, 4)
    await deliverNotice(home, composeNotice({ to: BOB, date: 0, id: freshId(), subject: 'notice', text: 'x' }))
    const subject = async (text: string, key?: string): Promise<string | undefined> => (await findMessage(view, text, { key })).info.subject
    assert.is(await subject('@'), 'm4')
    assert.is(await subject('@2'), 'm3')
    assert.is(await subject('@2', BOB.key), 'm1')
    for (const [i, id] of ids.entries()) {
      for (const text of [id, id.slice(0, 12), id.slice(0, 40).toUpperCase(), `<${id}@p2p.invalid>`]) assert.is(await subject(text), `m${i + 1}`)
    }
    const wrongEnd = `${ids[0]?.slice(0, 40)}${'0'.repeat(24)}`
    for (const text of ['@5', 'ffffffffffff', wrongEnd]) assert.is((await failure(findMessage(view, text))).exit, EX.NEGATIVE, text)
    assert.is((await failure(findMessage(view, '@3', { key: BOB.key }))).exit, EX.NEGATIVE)
  })
})

test('an ambiguous prefix names the candidates; two files of one id are not ambiguous', async () => {
  await withHome(async (home) => {
    const view = viewOf(home)
    const ids = ['abcdef'.padEnd(64, '0'), 'abcdef'.padEnd(64, '1')]
    for (const id of ids) await deliver(home, { text: 'x\n', id })
    const ambiguous = await failure(findMessage(view, 'abcdef'))
    assert.is(ambiguous.exit, EX.DATA)
    for (const id of ids) assert.ok(ambiguous.message.includes(id))
    await deliver(home, { text: 'again\n', id: ids[0] ?? '' })
    assert.is((await findMessage(view, ids[0] ?? '')).info.subject, 'again')
  })
})

test('a message that a mail program wrote anew under its own name is still found', async () => {
  await withHome(async (home) => {
    const { id, path } = await deliver(home, { text: 'x\n' })
    renameSync(path, home.at('inbox', 'cur', '1700000000.R77.host:2,S'))
    assert.is((await findMessage(viewOf(home), id)).info.id, id)
  })
})

test('every text and a single file come back exactly; several files without a text are a choice', async () => {
  await withHome(async (home) => {
    const view = viewOf(home)
    const back = async (draft: Draft): Promise<Uint8Array> => {
      const { id } = await deliver(home, draft)
      return openMessage(view, await findMessage(view, id), async (mail) => collect(partContent(home, mainPart(mail))))
    }
    for (const [name, text] of Object.entries(TEXTS)) assert.ok(Buffer.compare(await back({ text }), bytesOf(text)) === 0, name)
    assert.ok(Buffer.compare(await back({ files: [{ name: 'x', bytes: BINARY }] }), BINARY) === 0)
    const two = failure(back({ files: [{ bytes: BINARY }, { bytes: BINARY }] }))
    assert.is((await two).exit, EX.DATA)
  })
})

test('a part kept beside the Maildir is read from there, and a missing one is named', async () => {
  await withHome(async (home) => {
    const view = viewOf(home)
    const id = freshId()
    const { mail } = mailOf({ text: 'look\n', id })
    mail.files = [{ type: 'a/b', name: 'big.bin', size: 3, external: externalPath(id, 1) }]
    const name = mailName(1n, id)
    await writeMail(home.files, home.at('inbox', 'new', name), mail)
    const read = async (): Promise<string> => openMessage(view, await findMessage(view, id), async ({ parts }) => {
      assert.ok(parts[1])
      return Buffer.from(await collect(partContent(home, parts[1]))).toString()
    })
    assert.is((await failure(read())).exit, EX.NO_INPUT)
    mkdirSync(home.at('files', id))
    symlinkSync(home.at('token'), home.at('files', id, '1'))
    assert.is((await failure(read())).exit, EX.NO_INPUT)
    unlinkSync(home.at('files', id, '1'))
    writeFileSync(home.at('files', id, '1'), 'big')
    assert.is(await read(), 'big')
  })
})

test('saving takes the next free number and writes through no link', async () => {
  await withHome(async (home) => {
    const directory = home.at('out')
    mkdirSync(directory)
    writeFileSync(join(directory, 'a.txt'), 'mine')
    symlinkSync(join(directory, 'target'), join(directory, 'a-1.txt'))
    const content = async function* (): AsyncGenerator<Uint8Array> {
      yield utf8('new')
    }
    assert.is(await saveFile(home.files, directory, 'a.txt', content), join(directory, 'a-2.txt'))
    assert.is(await saveFile(home.files, directory, '../../a.txt', content), join(directory, '_._.._a.txt'))
    assert.is(readFileSync(join(directory, 'a.txt'), 'utf8'), 'mine')
    assert.not.ok(existsSync(join(directory, 'target')))
    const broken = async function* (): AsyncGenerator<Uint8Array> {
      yield utf8('half')
      throw new Failure(EX.NO_INPUT, 'gone')
    }
    assert.is((await failure(saveFile(home.files, directory, 'b.txt', broken))).exit, EX.NO_INPUT)
    assert.not.ok(existsSync(join(directory, 'b.txt')))
  })
})

async function after(home: Home, cursor: number): Promise<{ ids: string[]; gone: boolean[]; cursors: number[] }> {
  const ids: string[] = []
  const gone: boolean[] = []
  const cursors: number[] = []
  for await (const arrival of arrivals(home, cursor, { follow: false, signal: new AbortController().signal })) {
    ids.push(arrival.seen.id)
    gone.push(arrival.entry === undefined)
    cursors.push(arrival.cursor)
  }
  return { ids, gone, cursors }
}

test('from any cursor on, exactly the rest comes, and what was deleted comes as gone', async () => {
  await withHome(async (home) => {
    const ids = await fill(home, 6)
    const entries = await listMaildir(home, 'inbox')
    unlinkSync(entries[2]?.path ?? '')
    const whole = await after(home, 0)
    assert.equal(whole.ids, ids)
    assert.equal(whole.gone, [false, false, true, false, false, false])
    for (const [i, cursor] of whole.cursors.entries()) assert.equal((await after(home, cursor)).ids, ids.slice(i + 1))
    assert.is(whole.cursors.at(-1), await seenEnd(home))
    const cursors = await cursorsOf(home, await listMaildir(home, 'inbox'))
    for (const [i, id] of ids.entries()) assert.is(cursors.get(id.slice(0, 32)), i === 2 ? undefined : whole.cursors[i])
  })
})

test('the record of a second receiver of the same message is passed over, on either side of the cursor', async () => {
  await withHome(async (home) => {
    const [a = '', b = ''] = await fill(home, 2)
    await logSeen(home, 3_000_000n, BOB.key, a)
    const c = (await deliver(home, { text: 'c\n' })).id
    const whole = await after(home, 0)
    assert.equal(whole.ids, [a, b, c])
    assert.equal((await after(home, whole.cursors[0] ?? 0)).ids, [b, c])
    assert.equal((await after(home, whole.cursors[1] ?? 0)).ids, [c])
  })
})

test('a torn line in the log hides nothing', async () => {
  await withHome(async (home) => {
    const [a] = await fill(home, 1)
    writeFileSync(home.at('seen'), `${readFileSync(home.at('seen'), 'latin1')}\n3000000 ${BOB.key} 00`)
    const b = (await deliver(home, { text: 'b\n' })).id
    assert.equal((await after(home, 0)).ids, [a, b])
  })
})

test('a message that is committed but not renamed yet is waited for, and so is everything behind it', async () => {
  await withHome(async (home) => {
    const id = freshId()
    const tag = await logSeen(home, 5_000_000n, BOB.key, id)
    const part = home.at('part', BOB.key, `${id}.${tag}`)
    mkdirSync(part, { recursive: true })
    await writeMail(home.files, join(part, 'mail'), mailOf({ text: 'x\n', id }).mail)
    const later = await deliver(home, { text: 'later\n' })
    assert.equal((await after(home, 0)).ids, [])
    const stop = new AbortController()
    const seen: string[] = []
    const following = (async () => {
      for await (const arrival of arrivals(home, 0, { follow: true, signal: stop.signal })) {
        assert.ok(arrival.entry)
        if (seen.push(arrival.seen.id) === 2) stop.abort()
      }
    })()
    await new Promise((done) => setTimeout(done, 200))
    assert.equal(seen, [])
    renameSync(join(part, 'mail'), home.at('inbox', 'new', mailName(5_000_000n, id)))
    await following
    assert.equal(seen, [id, later.id])
    unlinkSync(home.at('inbox', 'new', mailName(5_000_000n, id))) // deleted before the empty part goes: gone all the same
    assert.equal((await after(home, 0)).gone, [true, false])
  })
})

test('following across crashes of the consumer neither misses nor repeats, while messages arrive, move and vanish', async () => {
  await withHome(async (home) => {
    const expected: string[] = []
    const writer = (async () => {
      for (let i = 0; i < 60; i++) {
        const { id, path } = await deliver(home, { text: `${i}\n` })
        expected.push(id)
        if (i % 3 === 0) renameSync(path, home.at('inbox', 'cur', `${path.split('/').at(-1)}:2,S`))
        if (i % 7 === 0) await realDoors.files.unlink(path)
      }
    })()
    const got: string[] = []
    let cursor = 0
    for (let life = 0; got.length < 60; life++) {
      const stop = new AbortController()
      let left = 1 + (life % 5)
      for await (const arrival of arrivals(home, cursor, { follow: true, signal: stop.signal })) {
        got.push(arrival.seen.id)
        cursor = arrival.cursor
        if (--left === 0 || got.length === 60) break // as if killed
      }
    }
    await writer
    assert.equal(got, expected)
  })
})

test('a cursor is an offset or start', async () => {
  await withHome(async (home) => {
    await fill(home, 1)
    const end = await seenEnd(home)
    assert.is(await parseCursor(home, 'start'), 0)
    assert.is(await parseCursor(home, String(end)), end)
    assert.is((await failure(parseCursor(home, String(end + 1)))).exit, EX.DATA)
    for (const text of ['', '-1', 'x', '1.5', '1e3']) assert.is((await failure(parseCursor(home, text))).exit, EX.USAGE)
  })
})

interface Run {
  status: number | null
  out: string
  bytes: Buffer
  err: string
}

function run(home: Home, ...args: string[]): Run {
  const argv = ['--import', 'tsx', join(ROOT, 'bin/p2p-inbox.ts'), ...args, '--home', home.path]
  const { status, stdout, stderr } = spawnSync(process.execPath, argv, { cwd: ROOT, maxBuffer: 1 << 28 })
  return { status, out: stdout.toString(), bytes: stdout, err: stderr.toString() }
}

test('p2p-inbox list, show, cat, save and seen', async () => {
  await withHome(async (home) => {
    const ids = await fill(home, 3, (i) => (i === 2 ? { text: 'no newline \u001b[31m', files: [{ name: '../x.txt', bytes: utf8('file') }] } : {}))
    const listed = records(run(home, 'list').out)
    assert.equal(listed.map(({ id }) => id), ids)
    assert.equal(Object.keys(listed[1] ?? {}), ['v', 'type', 'id', 'from', 'key', 'verified', 'created', 'received', 'subject', 'text', 'parts', 'flags', 'path', 'cursor'])
    assert.equal(records(run(home, 'list', '--after', String(listed[0]?.['cursor'])).out), listed.slice(1))
    assert.is(run(home, 'list', '--id', '-n', '1').out, `${ids[2]}\n`)
    assert.is(run(home, 'list', '--path', '--after', 'start', '-n1').out, `${String(listed[0]?.['path'])}\n`)
    const text = run(home, 'list', '--text').out
    assert.match(text, /^1970-01-01 \d\d:\d\d {2}N {2}[0-9a-f]{8} {2}bob {11}m1\n/)
    assert.match(text, / {2}no newline .*\[file\]\n/)
    assert.not.match(text, /\u001b/)

    const cat = run(home, 'cat', '@2')
    assert.is(cat.out, 'no newline \u001b[31m')
    assert.match(cat.err, new RegExp(`^p2p-inbox: @2 is ${ids[1]?.slice(0, 8)} from eve: no newline`))
    assert.not.match(cat.err, /\u001b/)
    assert.equal(records(run(home, 'show', ids[1] ?? '').out), listed.slice(1, 2))
    assert.match(run(home, 'show', '--text', ids[1] ?? '').out, /^From: {5}eve.*\n[\s\S]*File: {5}\.\._x\.txt {2}application\/octet-stream {2}4 bytes\n\nno newline \\x1b\[31m\n$/)

    const out = join(home.path, 'out')
    assert.is(run(home, 'save', ids[1] ?? '', '-o', out).out, `${out}/_._x.txt\n`)
    assert.is(run(home, 'save', ids[1] ?? '', '-o', out).out, `${out}/_._x-1.txt\n`)
    assert.is(readFileSync(`${out}/_._x-1.txt`, 'utf8'), 'file')
    assert.is(lstatSync(`${out}/_._x.txt`).mode & 0o777, 0o600)
    assert.is(run(home, 'save', ids[0] ?? '').status, EX.NEGATIVE)

    const seen = run(home, 'seen', ids[0] ?? '', 'ffffff', ids[2] ?? '')
    assert.is(seen.status, EX.NEGATIVE)
    assert.match(seen.err, /^p2p-inbox: no message 'ffffff'$/m)
    assert.is(run(home, 'list', '--new', '--id').out, `${ids[1]}\n`)
    assert.is(run(home, 'list', '--new', '-q', '--from', EVE.key).status, EX.NO_CONTACT)
    for (const [status, ...args] of [
      [EX.USAGE, 'list', '-n', 'x'],
      [EX.USAGE, 'list', '--id', '--path'],
      [EX.USAGE, 'cat', 'abc'],
      [EX.DATA, 'list', '--after', '999999'],
      [EX.NEGATIVE, 'list', '-q', '--since', '1s'],
      [EX.OK, 'list', '--since', '1s'],
    ] as const) assert.is(run(home, ...args).status, status, args.join(' '))
  })
})

test('p2p-inbox list --follow tells what arrives and what was deleted, and ends with its reader', async () => {
  await withHome(async (home) => {
    const first = await deliver(home, { text: 'one\n' })
    unlinkSync(first.path)
    const child = spawn(process.execPath, ['--import', 'tsx', join(ROOT, 'bin/p2p-inbox.ts'), 'list', '-f', '--after', 'start', '--home', home.path], { cwd: ROOT })
    let out = ''
    const lines = async (count: number): Promise<void> => {
      while (out.split('\n').length <= count) await new Promise((done) => child.stdout.once('data', done))
    }
    child.stdout.on('data', (data: Buffer) => (out += data.toString()))
    await lines(1)
    const second = await deliver(home, { text: 'two\n' })
    await lines(2)
    const [gone, two] = records(out)
    assert.is(gone?.['id'], first.id)
    assert.is(gone?.['gone'], true)
    assert.is(two?.['id'], second.id)
    assert.is(two?.['text'], 'two\n')
    child.stdout.destroy()
    await deliver(home, { text: 'three\n' })
    const [code] = await new Promise<[number | null]>((done) => child.once('exit', (status) => done([status])))
    assert.is(code, 0)
  })
})

test('a list of many messages opens each once and reads no attachment', async () => {
  let opened = 0
  let bytes = 0
  const files = {
    ...realDoors.files,
    async short(path: string, size: number) {
      const found = await realDoors.files.short(path, size)
      if (path.includes('/inbox/')) bytes += size
      if (path.includes('/inbox/') && found !== undefined) opened += 1
      return found
    },
    async open(path: string, mode: OpenMode) {
      const handle = await realDoors.files.open(path, mode)
      if (mode !== 'own' || !path.includes('/inbox/')) return handle
      opened += 1
      return Object.assign(Object.create(Object.getPrototypeOf(handle) as object) as typeof handle, {
        read: (position: number, length: number) => ((bytes += length), handle.read(position, length)),
        size: () => handle.size(),
        close: () => handle.close(),
      })
    },
  }
  await withHome(async (home) => {
    const large = new Uint8Array(3 << 20)
    await fill(home, 100, (i) => (i === 50 ? { files: [{ name: 'large', bytes: large }] } : {}))
    opened = bytes = 0
    assert.is((await all(viewOf(home))).length, 100)
    assert.is(opened, 100)
    assert.ok(bytes < 100 * 17_000 + (1 << 20), `${bytes} bytes`)
    const entry = (await listMaildir(home, 'inbox'))[49]
    assert.ok(entry)
    assert.is((await describe(viewOf(home), entry, 'parts'))?.info.parts[0]?.size, large.length)
  }, { ...realDoors, files })
})

test.run()
