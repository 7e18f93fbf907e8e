// Text of peers at every place where it is shown or stored: the whole corpus is sent by a contact that obeys no rule of
// the sending side, and then read back by every command. On a terminal nothing of it acts, in a Maildir nothing of it
// is a header or a part, on the disk nothing of it is a path, and in JSON all of it is there.
// test timeout: 900 s

import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { execa } from 'execa'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { utf8 } from '../lib/base/bytes.ts'
import { nodeFiles } from '../lib/disk/files.ts'
import { loadSelf } from '../lib/disk/self.ts'
import { saveFile } from '../lib/disk/savefile.ts'
import type { Frame } from '../lib/wire/frame.ts'
import { callAs, SETTINGS } from './caller.ts'
import { corpus, DANGEROUS, everyText, rawEnvelope } from './corpus.ts'
import { type Peer, type Running, Stage, until } from './peer.ts'
import { type Rec, records } from './records.ts'
import { skipped } from './vectors.ts'

/** A message and what it says. */
interface Said {
  id: string
  bytes: Uint8Array
  text: string
  /** There is a part for it, empty or not. */
  plain: boolean
  name: string | undefined
  subject: string | undefined
  reaction: string | undefined
  type: string
  file: string
}

const fits = (text: string, bytes: number): boolean => utf8(text).length <= bytes
const wellFormed = (text: string): boolean => !/\p{Cs}/u.test(text)

/** This text in every field that may hold it: subject, text, name of a file, reaction, media type. */
function message(from: Uint8Array, to: Uint8Array, text: string, n: number): Said {
  const name = text !== '' && !text.includes('\0') && fits(text, 255) ? text : undefined
  const subject = [...text].length <= 998 ? text : undefined
  const reaction = n % 5 === 0 && fits(text, 64) ? text : undefined
  const type = text.length <= 255 ? text : 'a/b'
  const file = `file ${n}\n`
  const plain = !text.includes('\0')
  const body = utf8(text)
  const parts = [
    ...(plain ? [{ type: 'text/plain', size: body.length }] : []),
    { type, ...(name !== undefined && { name }), size: file.length },
  ]
  const header = JSON.stringify({ parts, ...(subject !== undefined && { subject }), ...(reaction !== undefined && { reaction }) })
  const { id, bytes } = rawEnvelope({ from, to, header }, new Uint8Array([...(plain ? body : []), ...utf8(file)]))
  return { id, bytes, text: plain ? text : '', plain, name, subject, reaction, type, file }
}

/** Sends all of it as a contact; resolves when each was acknowledged. */
async function pour(from: Peer, to: Peer, messages: readonly { id: string; bytes: Uint8Array }[]): Promise<void> {
  const link = await callAs(from, to)
  await link.send(SETTINGS)
  const byId = new Map(messages.map((each) => [each.id, each]))
  let offered = 0
  let answered = 0
  while (answered < messages.length) {
    if (answered === offered) {
      const batch = messages.slice(offered, offered + 64)
      await link.send({ type: 'offer', items: batch.map(({ id, bytes }) => ({ id, size: bytes.length })) })
      offered += batch.length
    }
    const frame: Frame | undefined = await link.receive()
    if (frame === undefined) throw new Error(`over: ${link.reason}`)
    if (frame.type === 'refuse') throw new Error(`refused: ${JSON.stringify(byId.get(frame.id)).slice(0, 300)}`)
    if (frame.type === 'ack') answered += frame.ids.length
    if (frame.type !== 'want') continue
    for (const { id } of frame.items) {
      const bytes = byId.get(id)?.bytes ?? new Uint8Array()
      for (let at = 0; at < bytes.length; at += 32_768) {
        await link.send({ type: 'data', id, offset: at, bytes: bytes.subarray(at, at + 32_768) })
      }
    }
  }
  link.close()
  await link.closed
}

function harmless(what: string, text: string): void {
  const found = DANGEROUS.exec(text)
  assert.is(found, null, `${what}: ${JSON.stringify(text.slice(Math.max(0, (found?.index ?? 0) - 40), (found?.index ?? 0) + 40))}`)
}

const TEXTS = everyText().filter(wellFormed)

test(`every command, ${TEXTS.length} texts in every field: nothing acts on a terminal, all of it is in the records`, async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const from = (await loadSelf(alice.home)).identity
    const to = (await loadSelf(bob.home)).identity
    const said = TEXTS.map((text, n) => message(from, to, text, n))
    const listener = bob.start('p2p-listen', ['--text'])
    await until('the listener', () => listener.out.includes('listening'))
    await pour(alice, bob, said)
    await until('every line', () => listener.out.split('\n').filter((line) => /^alice {2}message/.test(line)).length >= said.length)
    assert.is((await listener.stop()).code, 0, listener.err)
    harmless('p2p-listen', listener.out + listener.err)
    const heard = listener.out.trimEnd().split('\n').filter((line) => !/^(?:listening on|alice {2}(?:up|down|deferred |has a new address))/.test(line))
    assert.is(heard.length, said.length, 'a line for each message, and no other')

    const listed = await bob.run('p2p-inbox', ['list', '--text'])
    harmless('p2p-inbox list', listed.out + listed.err)
    assert.is(listed.out.trimEnd().split('\n').length, said.length)
    const lines = (await bob.run('p2p-inbox', ['list', '--json'])).out
    assert.not.match(lines.replaceAll('\n', ''), /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/)
    check(said, records(lines))
    await maildir(bob, said)

    // one by one: those that aim at terminals and headers, and some of the others
    const some = said.filter(({ text }) => corpus('terminal', 'header', 'bidi', 'reaction').includes(text)).filter((_, n) => n % 4 === 0)
    assert.ok(some.length > 20)
    for (const [n, each] of some.entries()) {
      const shown = await bob.run('p2p-inbox', ['show', '--text', each.id])
      harmless('show', shown.out + shown.err)
      const cat = await bob.run('p2p-inbox', ['cat', each.id])
      if (each.plain || each.reaction === undefined) assert.is(cat.out, each.plain ? each.text : each.file, 'cat: exactly the bytes')
      if (n % 3 > 0) continue
      const at = `@${said.length - said.indexOf(each)}`
      const meant = await bob.run('p2p-inbox', ['seen', '-v', at])
      harmless('@N', meant.out + meant.err)
      assert.match(meant.err, new RegExp(each.id.slice(0, 8)))
      const reply = await bob.run('p2p-send', ['--text', '-r', at, '-m', 'yes', '--queue-only'])
      assert.is(reply.code, 0, reply.err)
      harmless('p2p-send -r', reply.out + reply.err)
      const gone = await bob.run('p2p-inbox', ['delete', '--text', each.id])
      harmless('delete', gone.out + gone.err)
    }
    for (const [command, ...args] of [['p2p-queue', 'list'], ['p2p-queue', 'stat'], ['p2p'], ['p2p-id', 'show', 'alice'], ['p2p-id', 'list'], ['p2p-inbox', 'list', '--new']]) {
      const ran = await bob.run(command as string, [...args, '--text'])
      harmless(`${command} ${args.join(' ')}`, ran.out + ran.err)
    }
  })
})

/** In a record the text is whole; what becomes a header is one line and changed no further. */
function check(said: readonly Said[], told: readonly Rec[]): void {
  const byId = new Map(told.map((record) => [record['id'], record]))
  for (const { id, text, subject, name, reaction, type } of said) {
    const record = byId.get(id)
    const what = JSON.stringify(text.slice(0, 60))
    assert.ok(record, what)
    assert.is(record['text'] ?? '', text, what)
    const shown = (record['subject'] ?? '') as string
    assert.not.match(shown, /[\p{Cc}\p{Cs}]/u, what)
    if (subject !== undefined && /^[ -~]{1,900}$/.test(subject) && subject.trim() === subject) assert.is(shown, subject)
    const [part] = (record['parts'] ?? []) as { name?: string; type: string }[]
    if (name === undefined) assert.is(part?.name, undefined, what)
    else if (/[\p{L}\p{N}]/u.test(name)) assert.match(part?.name ?? '', /[\p{L}\p{N}]/u, what)
    assert.not.match(part?.name ?? '', /[\p{Cc}\p{Cs}/]/u)
    assert.match(part?.type ?? '', /^[a-z0-9!#$&^_.+%'*`|~-]+\/[a-z0-9!#$&^_.+%'*`|~-]+$/, what)
    assert.not.match(part?.type ?? '', /^(?:message|multipart)\//, type)
    // nobody reacts by writing that he does
    const clean = (reaction ?? '').replace(/[\p{Cc}\p{Cf}\s]/gu, '')
    assert.is(record['reaction'] !== undefined, reaction !== undefined, what)
    if (clean !== '' && /^[!-~]+$/.test(reaction ?? '')) assert.is(record['reaction'], reaction)
  }
}

const HEADERS = [
  'From', 'To', 'Date', 'Message-ID', 'In-Reply-To', 'References', 'Subject', 'X-P2P-Created', 'X-P2P-Sender-Date', 'X-P2P-Received',
  'X-P2P-Verified', 'X-P2P-Possible-Duplicate', 'Auto-Submitted', 'MIME-Version', 'Content-Type', 'Content-Transfer-Encoding',
]

/** Each file by itself, and as Python's email package reads it. */
async function maildir(bob: Peer, said: readonly Said[]): Promise<void> {
  const folder = bob.at('inbox', 'new')
  const names = readdirSync(folder)
  assert.is(names.length, said.length)
  for (const name of names) {
    assert.match(name, /^\d+\.[0-9a-f]{32}\.p2p$/)
    const head = readFileSync(join(folder, name), 'latin1').split('\n\n')[0] ?? ''
    assert.match(head, /^[\t\n -~]*$/)
    const fields = head.replace(/\n[ \t]/g, ' ').split('\n').map((line) => line.slice(0, line.indexOf(':')))
    assert.equal(fields.filter((field) => !HEADERS.includes(field)), [], head)
    assert.is(new Set(fields).size, fields.length, head)
    assert.match(head, /^X-P2P-Verified: no$/m)
  }
  if (spawnSync('python3', ['--version']).status !== 0) return skipped('python3: not installed: its reader does not see what peers wrote')
  const script = `import sys, os, email, email.policy
for name in sorted(os.listdir(sys.argv[1])):
    m = email.message_from_binary_file(open(os.path.join(sys.argv[1], name), 'rb'), policy=email.policy.default)
    leaves = [p for p in m.walk() if not p.is_multipart()]
    print(m['Message-ID'][1:65], len(leaves), sum(p.get_content_disposition() == 'reaction' for p in leaves), len(m.get_all('Subject') or []), m['Bcc'] is None)`
  const { stdout } = await execa('python3', ['-c', script, folder])
  const read = new Map(stdout.split('\n').map((line) => [line.slice(0, 64), line.slice(65)]))
  for (const { id, text, reaction } of said) {
    const leaves = 1 + (text === '' ? 0 : 1) + (reaction === undefined ? 0 : 1)
    const [parts, reactions, subjects, noBcc] = (read.get(id) ?? '').split(' ')
    const what = JSON.stringify(text.slice(0, 60))
    // an empty text may be a part of its own, or none
    assert.ok(Number(parts) === leaves || (text === '' && Number(parts) === leaves + 1), `${what}: ${parts} parts`)
    assert.is(Number(reactions), reaction === undefined ? 0 : 1, what)
    assert.ok(Number(subjects) <= 1 && noBcc === 'True', what)
  }
}

test('the same as JSON and for commands: records are whole, the environment holds nothing of it', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const from = (await loadSelf(alice.home)).identity
    const to = (await loadSelf(bob.home)).identity
    const said = corpus('terminal', 'header', 'reaction').map((text, n) => message(from, to, text, n))
    const out = join(stage.dir, 'hooks')
    mkdirSync(out)
    // what a command is given: its environment, its descriptor 3, its input
    const command = `env -0 >'${out}'/$P2P_ID.env; cat <&3 >'${out}'/$P2P_ID.json; cat >'${out}'/$P2P_ID.in; : >'${out}'/$P2P_ID.done`
    const listener: Running = await bob.listen(['--exec', command])
    await pour(alice, bob, said)
    await until('every record', () => listener.of('message').length === said.length)
    await until('every command', () => readdirSync(out).filter((name) => name.endsWith('.done')).length === said.length)
    await listener.stop()
    check(said, listener.of('message'))
    for (const { id, text, plain, file, reaction } of said) {
      const env = readFileSync(join(out, `${id}.env`), 'utf8').split('\0').filter((line) => line.startsWith('P2P_'))
      for (const line of env) assert.match(line, /^P2P_[A-Z]+=[\w.:/+@ -]*$/, JSON.stringify(text))
      const lines = readFileSync(join(out, `${id}.json`), 'utf8')
      assert.is(lines.trimEnd().split('\n').length, 1)
      check(said.filter((each) => each.id === id), [JSON.parse(lines) as Rec])
      const input = readFileSync(join(out, `${id}.in`), 'utf8')
      if (plain || reaction === undefined) assert.is(input, plain ? text : file)
      else assert.not.match(input, /[\0-\x09\x0b-\x1f\x7f-\x9f]/, 'a reaction alone is one line')
    }
  })
})

test('own words, tokens and bundles that hold such texts: what is said of them is harmless too', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const texts = corpus('terminal', 'header', 'bidi').filter((text) => !text.includes('\0') && text.trim() !== '')
    for (const [n, text] of texts.entries()) {
      if (n % 4 > 0) continue
      for (const [command, args, input] of [
        ['p2p-send', ['bob', '-s', text, '-m', text, '--queue-only', '--text'], ''],
        ['p2p-send', [text, '-m', 'x', '--queue-only', '--text'], ''],
        ['p2p-id', ['add', 'carol', text], ''],
        ['p2p-id', ['add', 'carol'], `${text} p2p1${'z'.repeat(200)} ${text}`],
        ['p2p-send', ['--ndjson', '--queue-only'], `${JSON.stringify({ to: text, text })}\n{"to":${text}\n`],
      ] as const) {
        const ran = await alice.run(command, [...args], { input })
        harmless(`${command} ${args[0]}`, ran.out + ran.err)
      }
    }
    for (const args of [['list', '--text'], ['stat', '--text']]) harmless('p2p-queue', (await alice.run('p2p-queue', args)).out)
    const waiting = await alice.waiting()
    for (const id of waiting.slice(0, 6)) harmless('p2p-queue show', (await alice.run('p2p-queue', ['show', '--text', id])).out)
    const bundle = join(stage.dir, 'bundle')
    const exported = await alice.run('p2p-queue', ['export', '--text', '-o', bundle, 'bob'])
    harmless('p2p-queue export', exported.out + exported.err)
    const imported = await bob.run('p2p-queue', ['import', '--text', bundle])
    assert.is(imported.code, 0, imported.err)
    harmless('p2p-queue import', imported.out + imported.err)
    assert.is((await bob.ids()).length, waiting.length)
  })
})

// Names of files.

test('names of files: each becomes a plain file of its own in the directory, whatever it says, and nothing else changes', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const from = (await loadSelf(alice.home)).identity
    const to = (await loadSelf(bob.home)).identity
    const names = [...corpus('path', 'bidi', 'unicode'), 'x'.repeat(255)].filter((name) => name !== '' && fits(name, 255))
    const messages = []
    for (let at = 0; at < names.length; at += 48) {
      const some = names.slice(at, at + 48)
      const parts = some.map((name, n) => ({ type: 'application/octet-stream', name, size: utf8(`${at + n}`).length }))
      const header = JSON.stringify({ parts })
      assert.ok(header.length <= 16_384, 'fits a header')
      messages.push(rawEnvelope({ from, to, header }, utf8(some.map((_, n) => `${at + n}`).join(''))))
    }
    const listener = await bob.listen()
    await pour(alice, bob, messages)
    await listener.stop()
    const target = join(stage.dir, 'deep', 'er', 'saved')
    mkdirSync(target, { recursive: true })
    // what is in the way: links to a file and to a folder, a device, a file with that very name
    const victim = join(stage.dir, 'victim')
    writeFileSync(victim, 'untouched')
    symlinkSync(victim, join(target, 'file'))
    symlinkSync(stage.dir, join(target, 'a.txt'))
    symlinkSync('/dev/full', join(target, 'desktop.ini'))
    writeFileSync(join(target, 'null'), 'mine')
    const before = tree(stage.dir, target)
    for (const { id } of messages) {
      const ran = await bob.run('p2p-inbox', ['save', id, '-o', target], { cwd: stage.dir })
      assert.is(ran.code, 0, ran.err)
      harmless('save', ran.out + ran.err)
    }
    assert.equal(tree(stage.dir, target), before, 'nothing outside the directory')
    const saved = readdirSync(target).filter((name) => lstatSync(join(target, name)).isFile())
    assert.is(saved.length, names.length + 1)
    assert.equal(new Set(saved.filter((name) => name !== 'null').map((name) => readFileSync(join(target, name), 'utf8'))).size, names.length)
    assert.equal([readFileSync(victim, 'utf8'), readFileSync(join(target, 'null'), 'utf8')], ['untouched', 'mine'])
    for (const name of saved) {
      assert.not.match(name, /^[.\s-]|[.\s]$|[<>:"|?*\\\p{Cc}]/u, JSON.stringify(name))
      assert.not.match(name, /^(?:con|prn|aux|nul|clock\$|conin\$|com[0-9¹]|lpt[0-9])(?:\.|$)/i)
      harmless('a name', name)
      assert.ok(Buffer.byteLength(name) <= 255)
    }
  })
})

/** Every file below, without those in `except`, and what is in them. */
function tree(path: string, except: string): string[] {
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => !join(entry.parentPath, entry.name).startsWith(except))
    .filter((entry) => !/\/(?:lock|seen\.index)/.test(join(entry.parentPath, entry.name)))
    .map((entry) => `${join(entry.parentPath, entry.name)} ${entry.isFile() ? lstatSync(join(entry.parentPath, entry.name)).size : ''}`)
    .toSorted()
}

test('a link that somebody puts in the way at the last moment is not followed', async () => {
  await Stage.with(async (stage) => {
    const folder = join(stage.dir, 'saved')
    mkdirSync(folder)
    const victim = join(stage.dir, 'victim')
    writeFileSync(victim, 'untouched')
    const content = async function* (): AsyncGenerator<Uint8Array> {
      yield utf8('evil')
    }
    let planted = 0
    const files = {
      ...nodeFiles,
      async open(path: string, how: Parameters<typeof nodeFiles.open>[1]) {
        if (planted < 3 && how === 'create' && path.startsWith(folder)) { // after it was found to be free
          symlinkSync(planted === 1 ? join(stage.dir, 'nothing-there') : victim, path)
          planted++
        }
        return nodeFiles.open(path, how)
      },
    }
    const saved = await saveFile(files, folder, 'evil.txt', content)
    assert.is(planted, 3)
    assert.is(saved, join(folder, 'evil-3.txt'))
    assert.equal([readFileSync(victim, 'utf8'), existsSync(join(stage.dir, 'nothing-there'))], ['untouched', false])
    assert.is(readFileSync(saved, 'utf8'), 'evil')
    // and with a real racer
    const loop = `while :; do ln -s '${victim}' '${folder}/race' 2>/dev/null; rm -f '${folder}/race'; done`
    const racer = spawn('/bin/sh', ['-c', loop], { stdio: 'ignore', detached: true })
    let through = 0
    try {
      for (let n = 0; n < 200; n++) {
        const path = await saveFile(nodeFiles, folder, 'race', content)
        if (path.endsWith('/race')) through++
      }
    } finally {
      const ended = once(racer, 'exit')
      process.kill(-(racer.pid ?? 0), 'SIGKILL') // with the ln or rm that it has started
      await ended
    }
    assert.is(readFileSync(victim, 'utf8'), 'untouched')
    console.log(`# 200 races, ${through} found the place free`)
  })
})

test.run()
