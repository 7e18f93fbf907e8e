// p2p-chat: what typed lines mean, how messages read, and two people who talk line by line. The full screen is in
// chatscreen.test.ts.
// test timeout: 300 s

import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

import { execa } from 'execa'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { Failure } from '../lib/base/fail.ts'
import { readDraft, writeDraft } from '../lib/chat/drafts.ts'
import { emojify } from '../lib/chat/emoji.ts'
import { bytes, dayLine, type Look, messageLines, personLine, transferLine } from '../lib/chat/lines.ts'
import { chatMessage, type ChatMessage, gist } from '../lib/chat/message.ts'
import { isQuiet, onDesktop, ringing } from '../lib/chat/notify.ts'
import { numbered, parseOrder, WORDS } from '../lib/chat/order.ts'
import { noticeCommand } from '../lib/delivery/hookdesktop.ts'
import { qrPng } from '../lib/edge/qrcode.ts'
import { Config } from '../lib/disk/config.ts'
import type { MailEntry } from '../lib/disk/maildir.ts'
import type { MessageInfo } from '../lib/wire/record.ts'
import { argvOf } from './command.ts'
import { deliver, freshId, withHome } from './mailbox.ts'
import { type Running, Stage, until } from './peer.ts'
import { skipped } from './vectors.ts'

const EXPECT = spawnSync('expect', ['-v']).status === 0
if (!EXPECT) skipped('expect: not installed: nobody drives p2p-chat --plain with it')

const LOOK: Look = {
  width: 40,
  paint: (_, text) => text,
  wrap: (text, width) => text.match(new RegExp(`.{1,${width}}`, 'gu')) ?? [''],
  fit: (text, width, fill = false) => (fill ? text.padEnd(width) : text).slice(0, width),
  columns: (text) => text.length,
}

const ID = 'ab'.repeat(32)

function message(info: Partial<MessageInfo>, box: 'inbox' | 'sent' = 'inbox', flags = ''): ChatMessage {
  const time = BigInt(new Date(2026, 10, 29, 14, 3).getTime()) * 1000n
  const entry: MailEntry = { box, base: 'x', path: '/x', flags, time, id32: ID.slice(0, 32) }
  return chatMessage({ entry, info: { id: ID, from: 'bob', parts: [], ...info } }, 'SELF')
}

const text = (words: string): Uint8Array => new TextEncoder().encode(words)

test('a line is a text unless it begins with one slash; commands may be shortened as long as one is meant', () => {
  assert.equal(parseOrder('hello /help'), { do: 'say', text: 'hello /help' })
  assert.equal(parseOrder('//etc is a folder'), { do: 'say', text: '/etc is a folder' })
  assert.equal(parseOrder('/reply 2 yes\nno'), { do: 'reply', rest: '2 yes\nno' })
  assert.equal(parseOrder('/q'), { do: 'quit', rest: '' })
  for (const { word } of WORDS) assert.is(parseOrder(`/${word} x`).do, word)
  for (const [line, said] of [
    ['/nix', /^no command '\/nix'/],
    ['/hepl', /did you mean \/help\?/],
    ['/s x', /^no command/], // save or search
    ['/', /^no command/],
    ['/file  ', /^\/file takes PATH/],
  ] as const) {
    assert.throws(() => parseOrder(line), (error: unknown) => error instanceof Failure && error.exit === 64 && said.test(error.message), line)
  }
  assert.equal(numbered('3 yes'), { number: 3, rest: 'yes' })
  assert.equal(numbered('3yes'), { number: undefined, rest: '3yes' })
  assert.equal(numbered('12'), { number: 12, rest: '' })
})

test('a message reads as who said what and what became of it, and nothing of it can move a cursor', () => {
  assert.equal(messageLines(message({ text: text('see you\nat 8\n') }), LOOK), ['14:03 bob  see you', '      at 8'])
  const own = message({ from: 'alice', key: 'SELF', text: text('yes'), state: 'waiting' }, 'sent')
  assert.equal(messageLines(own, LOOK), ['14:03 you  yes  …'])
  const delivered = message({ from: 'alice', key: 'SELF', text: text('yes'), state: 'delivered' }, 'sent')
  assert.equal(messageLines(delivered, LOOK), ['14:03 you  yes  ✓'])
  const read = message({ from: 'alice', key: 'SELF', text: text('yes'), state: 'delivered', read: 1 }, 'sent')
  assert.equal(messageLines(read, LOOK), ['14:03 you  yes  ✓✓'])
  const answer = message({ text: text('at 9'), reply: ID })
  assert.equal(messageLines(answer, LOOK, own), ['14:03 bob  │ you: yes', '      at 9'])
  assert.match(messageLines(answer, LOOK)[0] ?? '', /a message that is not her/)
  const evil = '\u001b[2J\u001b]0;x\u0007\u202ecod.exe\r\n\u009b31m'
  const nasty = message({
    text: text(evil),
    from: 'bob\u001b[7m',
    subject: `re: ${evil}`,
    parts: [{ type: 'image/png\u001b[0m', name: `${evil}.png`, size: 1234 }],
    reactions: [{ id: ID, from: 'eve\u0007', key: 'K', reaction: '\u001b[5m' }],
  })
  for (const line of messageLines(nasty, { ...LOOK, width: 400 })) assert.not.match(line, /[\p{Cc}\p{Bidi_Control}]/u)
  const edited = message({ text: text('at 8'), edited: { id: ID, text: text('at 9') } })
  assert.equal(messageLines(edited, LOOK), ['14:03 bob  at 9', '      (edited)'])
  const recalled = message({ text: text('at 8'), recalled: { id: ID } })
  assert.equal(messageLines(recalled, LOOK), ['14:03 bob  (taken back)', '      at 8'])
  const files = message({ subject: 'cat.png', parts: [{ type: 'image/png', name: 'cat.png', size: 1_234_567 }] })
  assert.equal(messageLines(files, LOOK), ['14:03 bob  [cat.png]  image/png, 1.2 MB'])
  assert.is(message({ subject: 'see you at 8, then', text: text('see you at 8, then\nbye') }).subject, undefined, 'made from the text')
  assert.is(message({ subject: 'the plan', text: text('see you at 8') }).subject, 'the plan')
  // What is quoted is what somebody would say of it.
  const gists = [
    { text: text('\n  at 8\nbye') },
    { reply: ID, subject: '👍', reaction: '👍' },
    { reply: ID, subject: 'reaction withdrawn', reaction: '' },
    { subject: 'the plan', parts: [{ type: 'text/plain', name: 'plan.txt', size: 1 }] },
    { subject: 'plan.txt', parts: [{ type: 'text/plain', name: 'plan.txt', size: 1 }] },
    { parts: [{ type: 'text/plain', name: undefined, size: 1 }] },
    { text: text('\n') },
    { text: text('at 8'), recalled: { id: ID } },
  ].map((info) => gist(message(info)))
  assert.equal(gists, ['at 8', '👍', '(reaction withdrawn)', 'the plan', 'plan.txt', 'a file', 'an empty message', 'taken back'])
  assert.equal(messageLines(message({ reply: ID, subject: '👍', reaction: '👍' }), LOOK).slice(1), ['      👍'], 'once')
  assert.equal([0, 999, 1000, 123_456, 5e9].map(bytes), ['0 bytes', '999 bytes', '1.0 kB', '123 kB', '5.0 GB'])
})

test('days and people take one line of the width there is', () => {
  const at = new Date(2026, 10, 29, 14, 3).getTime()
  assert.match(dayLine(at, at + 60_000, LOOK), /^─+ today ─+$/)
  assert.match(dayLine(at, at + 86_400_000, LOOK), /^─+ yesterday ─+$/)
  assert.match(dayLine(at, at + 9 * 86_400_000, LOOK), /^─+ Sunday, 2026-11-29 ─+$/)
  const person = { key: 'K', name: 'bob', me: false, verified: true, online: true, seen: at, unread: 12, last: at }
  assert.is(transferLine({ id: ID, name: 'bob', direction: 'out', done: 1_234_567, size: 5e6 }), 'to bob: 1.2 MB of 5.0 MB, 24 %')
  assert.is(personLine(person, { ...LOOK, width: 12 }, false), '● bob     12')
})

test('what rings says who wrote, at no hour that is quiet, and never what, unless asked', () => {
  const at = (hour: number, minute = 0): number => new Date(2026, 10, 29, hour, minute).getTime()
  const night = new Config({ file: new Map([['notify.quiet', '22:00-07:00']]) }).notify()
  assert.equal([at(21, 59), at(22), at(3), at(6, 59), at(7)].map((now) => isQuiet(night, now)), [false, true, true, true, false])
  const noon = new Config({ file: new Map([['notify.quiet', '12:00-13:00']]) }).notify()
  assert.equal([at(11, 59), at(12), at(13)].map((now) => isQuiet(noon, now)), [false, true, false])
  const usual = new Config().notify()
  assert.is(isQuiet(usual, at(3)), false)
  const evil = message({ text: text('secret\u0007\u001b]0;x\u0007') })
  assert.is(ringing(usual, 'bob', evil), '\u0007')
  const both = { ...usual, by: ['bell', 'osc9'] }
  assert.is(ringing(both, 'bob', evil), '\u0007\u001b]9;p2p: bob wrote\u0007')
  assert.is(ringing({ ...both, by: ['osc9'], text: true }, 'bob', evil), '\u001b]9;p2p: bob: secret\\x07\\x1b]0,x\\x07\u0007')
  assert.is(ringing({ ...usual, by: [] }, 'bob', evil), '')
  const contact = { key: 'K', name: 'bob' }
  const own = new Config({ file: new Map([['notify.by', 'bell']]), contacts: new Map([['bob', new Map([['notify', '']])]]) })
  assert.equal([own.notify(contact).by, own.notify().by], [[], ['bell']])
})

test('a notice on the desktop is one argument of the program that the system has, and says what was asked for', () => {
  const evil = message({ text: text('$(rm -rf ~)\u0007\u001b]0;x') })
  const quiet = { by: ['desktop'], quiet: [0, 0], text: false } as const
  assert.is(onDesktop(quiet, 'bob', evil), 'bob wrote')
  assert.is(onDesktop({ ...quiet, text: true }, 'bob', evil), 'bob: $(rm -rf ~)\\x07\\x1b]0;x')
  assert.is(onDesktop({ ...quiet, by: ['bell'] }, 'bob', evil), undefined)
  assert.is(ringing(quiet, 'bob', evil), '')
  assert.equal(noticeCommand('-x', 'linux').slice(-3), ['--', 'p2p', '-x'])
  const mac = noticeCommand('-x "', 'darwin')
  assert.equal([mac[0], mac.at(-1), mac.slice(1, -1).some((word) => word.includes('x'))], ['osascript', '-x "', false])
})

test('emoji have names; what is no name stays', async () => {
  assert.is(await emojify('I :heart: it, :+1:, at 10:30:00 :nosuch: :constructor:'), 'I ❤️ it, 👍, at 10:30:00 :nosuch: :constructor:')
})

test('a draft is kept for each contact until it is sent or cleared', async () => {
  await withHome(async (home) => {
    assert.is(await readDraft(home, 'K1'), '')
    await writeDraft(home, 'K1', 'half a\nthought')
    await writeDraft(home, 'K2', 'other')
    assert.equal([await readDraft(home, 'K1'), await readDraft(home, 'K2')], ['half a\nthought', 'other'])
    await writeDraft(home, 'K1', '')
    assert.equal([await readDraft(home, 'K1'), existsSync(home.at('chat', 'K1.draft'))], ['', false])
    writeFileSync(home.at('chat', 'K2.draft'), new Uint8Array([0xff, 0xfe]))
    assert.is(await readDraft(home, 'K2'), '', 'a damaged one is none')
  })
})

const said = (chat: Running, what: RegExp): Promise<void> => until(`${what} in:\n${chat.out}`, () => what.test(chat.out))

function type(chat: Running, line: string): void {
  chat.child.stdin?.write(`${line}\n`)
}

test('two people talk line by line without a listener of their own, answer, react, and send a file', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const a = alice.start('p2p-chat', ['bob'], { stdin: 'pipe' })
    await said(a, /^-- bob: never met, not verified$/m)
    type(a, 'hello\u001b[2J :heart:')
    await said(a, /^\d\d:\d\d you: hello\\x1b\[2J ❤️ {2}\(waiting\)$/m)
    const viewer = bob.file('xdg-open', '#!/bin/sh\ncp "$1" "$0.part"; mv "$0.part" "$0.shown"\n')
    chmodSync(viewer, 0o755)
    const env = { PATH: `${dirname(viewer)}:${process.env['PATH']}`, TMPDIR: stage.dir }
    const b = bob.start('p2p-chat', ['--plain', 'alice'], { stdin: 'pipe', env })
    await said(b, /^\d\d:\d\d alice: hello\\x1b\[2J ❤️$/m)
    await said(a, /^-- delivered: hello/m)
    type(b, '/reply yes?')
    await said(a, /^ {3}answers you: hello.*\n\d\d:\d\d bob: yes\?$/m)
    type(a, '/react :+1:')
    await said(b, /^-- 👍 from alice: your message yes\?$/m)
    await said(a, /^-- 👍 from you: the message of bob yes\?$/m)
    await bob.send('alice', ['-r', '@1', '-m', 'that soon?'])
    await said(a, /^ {3}answers you: 👍\n\d\d:\d\d bob: that soon\?$/m)
    await said(b, /you: that soon\?/)
    type(b, '/edit 2 yes, at 9')
    await said(a, /^-- edited: the message of bob yes, at 9$/m)
    const path = alice.file('a photo.txt', 'hello')
    type(a, `/file '${path}'`)
    await said(a, /you: file a photo\.txt, text\/plain, 5 bytes/)
    await said(b, /^\d\d:\d\d alice: file a photo\.txt, text\/plain, 5 bytes$/m)
    type(b, `/save ${stage.dir}/got`)
    await said(b, /^-- saved: .*a photo\.txt$/m)
    assert.is(readFileSync(join(stage.dir, 'got', 'a photo.txt'), 'utf8'), 'hello')
    const picture = qrPng([[true]])
    for (const [name, bytes] of [['a.png', picture], ['b.png', new Uint8Array([0x89, 0x50, 0x4e, 0x47, 1, 2, 3])]] as const) {
      writeFileSync(join(stage.dir, name), bytes)
      type(a, `/file ${join(stage.dir, name)}`)
      await said(b, new RegExp(`alice: file ${name}`))
    }
    type(b, '/open 2')
    await said(b, /^-- shown: .*\.png$/m)
    await until('it is shown', () => existsSync(`${viewer}.shown`))
    assert.equal(new Uint8Array(readFileSync(`${viewer}.shown`)), picture)
    writeFileSync(viewer, '#!/bin/sh\nexit 3\n')
    type(b, '/open 2')
    await said(b, /^-- not shown, xdg-open finds no desktop: .*\.png$/m)
    type(b, '/open 1')
    await said(b, /^-- that is no picture: \/save keeps the file$|^-- message 1 is none of that kind/m)
    type(b, '/save 9')
    type(b, '/nix')
    await said(b, /^-- there is no message 9$/m)
    await said(b, /^-- no command '\/nix'/m)
    type(b, '/search PHOTO')
    await said(b, /^ +3 {2}\d{4}-\d\d-\d\d \d\d:\d\d {2}alice: a photo\.txt$/m)
    type(a, '/recall')
    await said(b, /^-- taken back: the message of alice b\.png$/m)
    // What others send meanwhile is seen as well, and what is shown counts as read.
    await alice.send('bob', ['-m', 'from a shell'])
    await said(a, /^\d\d:\d\d you: from a shell/m)
    await said(b, /^\d\d:\d\d alice: from a shell$/m)
    await until('all is seen', async () => (await bob.good('p2p-inbox', ['list', '--new'])).length === 0)
    b.child.stdin?.end()
    assert.is((await b.ended).code, 0)
    type(a, '/quit')
    assert.is((await a.ended).code, 0)
    assert.equal([a.err, b.err], ['', ''])
    const kept = (await bob.box('inbox')).map(({ text: words }) => Buffer.from(words ?? []).toString())
    assert.ok(kept.includes('from a shell'))
  })
})

if (EXPECT) {
  test('expect drives it on a terminal, and both sides are told how far a large file is', async () => {
    await Stage.with(async (stage) => {
      const [alice, bob] = await stage.pair()
      writeFileSync(join(stage.dir, 'big.bin'), new Uint8Array(160 << 20))
      const script = join(stage.dir, 'two.exp')
      writeFileSync(
        script,
        `set timeout 120
        log_user 0
        proc want {who how} { expect -i $who -re $how {} timeout { puts "in vain: $how"; exit 1 } eof { puts "ended before: $how"; exit 2 } }
        spawn {*}$env(CHAT) --home $env(A) bob
        set a $spawn_id
        spawn {*}$env(CHAT) --home $env(B) alice
        set b $spawn_id
        want $a {-- bob: never met, not verified}
        want $b {-- alice: .*not verified}
        send -i $a "hello\\r"
        want $b {\\d\\d:\\d\\d alice: hello}
        want $a {-- delivered: hello}
        send -i $a "/file $env(BIG)\\r"
        want $a {-- to bob: [0-9.]+ MB of 168 MB, \\d+ %}
        want $b {-- from alice: [0-9.]+ MB of 168 MB, \\d+ %}
        want $b {alice: file big.bin, application/octet-stream, 168 MB}
        want $a {-- delivered: big.bin}
        send -i $a "/quit\\r"
        send -i $b "\\004"
        foreach who [list $a $b] {
          expect -i $who eof
          set code [lindex [wait -i $who] 3]
          if {$code != 0} { puts "exit $code"; exit 3 }
        }
        puts done`,
      )
      const env = { ...process.env, ...alice.env, CHAT: [...argvOf('p2p-chat'), '--plain'].join(' '), A: alice.path, B: bob.path, BIG: join(stage.dir, 'big.bin'), TERM: 'xterm' }
      const { stdout } = await execa('expect', [script], { env, reject: false })
      assert.is(stdout.trim(), 'done')
    })
  })
}

test('who is invited inside the conversation is a contact when the line was taken, and is verified by words', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = [await stage.peer('alice'), await stage.peer('bob')]
    const a = alice.start('p2p-chat', ['--plain'], { stdin: 'pipe' })
    await said(a, /^-- me: /m)
    type(a, '/invite bob')
    await said(a, /^3\. When you are contacts/m)
    const [line = ''] = /^p2p\S{80,}$/m.exec(a.out) ?? []
    type(a, '/invite p2p')
    await said(a, /^-- bad name 'p2p': it is reserved$/m)
    const b = bob.start('p2p-chat', ['--plain'], { stdin: 'pipe' })
    await said(b, /^-- me: /m)
    type(b, '/words')
    await said(b, /^-- there is nobody to compare words with/m)
    type(b, '/add alice')
    await said(b, /^-- \/add takes NAME LINE/m)
    type(b, `/add alice ${line.slice(0, -1)}`)
    await said(b, /^-- .*typing error|^-- .*token/m)
    type(b, `/add alice ${line}`)
    await said(b, /^-- alice: .*not verified$/m)
    await said(b, /^-- you and alice are contacts now: \/words$|^-- alice is not met yet, which is tried again/m) // on a slow machine
    await said(a, /^-- bob is a contact now: \/to bob$/m)
    type(b, '/words')
    await said(b, /^ +12 {2}\w+ +\w+$/m)
    const words = bob.good('p2p-id', ['show', 'alice'])
    const theirs = [...b.out.matchAll(/^ +\d+ {2}(\w+) /gm)].map(([, word]) => word)
    assert.is((await words)[0]?.['words'], theirs.slice(-12).join(' '))
    type(b, '/verify')
    await said(b, /^-- alice is verified$/m)
    assert.is((await bob.good('p2p-id', ['show', 'alice']))[0]?.['verified'], true)
    type(b, 'hello')
    type(a, '/to bob')
    await said(a, /^\d\d:\d\d bob: hello$/m)
    b.child.stdin?.end()
    await b.ended
    // Another address than one that was known, which a session brings, is told, calmly.
    for (const host of ['192.0.2.77', '192.0.2.78']) {
      assert.not.match(a.out, /another address/)
      await bob.good('p2p-id', ['token', '--addr', host])
      const listener = await bob.listen()
      await bob.send('alice', ['-m', host])
      await said(a, new RegExp(`bob: ${host}$`, 'm'))
      await listener.stop()
    }
    await said(a, /^-- bob has another address now, which came by a call that only bob could make$/m)
    for (const chat of [a, b]) chat.child.stdin?.end()
    assert.equal([(await a.ended).code, (await b.ended).code], [0, 0])
  })
})

test('killed in the middle it has lost nothing, and a contact elsewhere is only told of', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const carol = await stage.peer('carol')
    await alice.meet(carol)
    const listener = await alice.listen()
    writeFileSync(alice.at('config.toml'), '[notify]\nby = "desktop bell"\n[contact.bob]\nnotify = ""\n', { mode: 0o600 })
    const recorder = alice.file('notify-send', '#!/bin/sh\nprintf "%s\\n" "$@" >"$0.args.part"; mv "$0.args.part" "$0.args"\n')
    chmodSync(recorder, 0o755)
    const a = alice.start('p2p-chat', ['bob'], { stdin: 'pipe', env: { PATH: `${dirname(recorder)}:${process.env['PATH']}` } })
    await said(a, /^-- bob: /m)
    type(a, 'while you are away')
    await said(a, /while you are away {2}\(waiting\)$/m)
    await said(a, /^-- bob is not there: it waits here until both are/m)
    type(a, 'still?')
    await said(a, /still\? {2}\(waiting\)$/m)
    await carol.send('alice', ['-m', 'psst'])
    await said(a, /^-- carol wrote$/m)
    assert.not.match(a.out, /psst/)
    // A receipt for a message that is deleted is no message, rings nothing and counts for nothing.
    await deliver(alice.home, { from: { name: 'carol', key: carol.key }, receipt: freshId() })
    await carol.send('alice', ['-m', 'psst!'])
    await until('both are told of', () => a.out.split('-- carol wrote\n').length > 2)
    type(a, '/contacts')
    await said(a, /^ {2}carol .* 2 new/m)
    assert.is(a.out.split('-- carol wrote\n').length, 3)
    assert.is(a.out.split('-- bob is not there').length, 2, 'once')
    await until('a notice', () => existsSync(`${recorder}.args`))
    assert.equal(readFileSync(`${recorder}.args`, 'utf8').split('\n').slice(-3), ['p2p', 'carol wrote', ''], 'never what she wrote')
    await a.kill()
    assert.is((await alice.good('p2p-inbox', ['list', '--new'])).filter(({ receipt }) => receipt === undefined).length, 2, 'of another conversation: not read')
    const received = await bob.listen()
    await received.until('message', ({ text: words }) => words === 'while you are away')
    await listener.stop()
  })
})

test.run()
