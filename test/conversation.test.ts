// What belongs together: reactions, edits and recalls with the message that they are about, answers in a tree, the
// index that makes it quick, and what p2p-inbox makes of it all.

import { appendFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { EX } from '../lib/base/fail.ts'
import { branches } from '../lib/delivery/inboxlines.ts'
import { Conversation } from '../lib/disk/conversation.ts'
import type { Home } from '../lib/disk/home.ts'
import type { Self } from '../lib/disk/self.ts'
import { listMessages } from '../lib/disk/inboxfilter.ts'
import { describe, type View } from '../lib/disk/inboxview.ts'
import { listMaildir, setFlags } from '../lib/disk/maildir.ts'
import type { MessageInfo } from '../lib/wire/record.ts'
import { runCommand, type Ran } from './command.ts'
import { BOB, bytesOf, deliver, EVE, freshId, mailOf, withHome, writeSent, type Draft } from './mailbox.ts'
import { records } from './records.ts'

const UP = '\u{1f44d}'

interface Place {
  home: Home
  self: Self
  view: View
  /** One second after the other; returns the id. */
  got: (draft: Draft) => Promise<string>
  sent: (draft: Draft) => Promise<string>
  inbox: (...args: string[]) => Promise<Ran>
}

/** alice's home with two contacts that need not be in the keyring. */
async function withPlace(work: (place: Place) => Promise<void>): Promise<void> {
  await withHome(async (home, self) => {
    let second = 0n
    const nameOf = (key: string): string | undefined => [BOB, EVE].find((one) => one.key === key)?.name
    const next = (): bigint => (second += 1n) * 1_000_000n
    await work({
      home,
      self,
      view: { home, nameOf, self: self.key },
      async got(draft) {
        const us = next()
        return (await deliver(home, { created: us, received: us, ...draft })).id
      },
      async sent(draft) {
        const { head, contents } = mailOf({ created: next(), ...draft })
        const parts = contents.map((bytes) => ({
          async *content() {
            yield bytes
          },
        }))
        await writeSent(home, self, [{ contact: draft.to ?? BOB, head, parts }])
        return head.id
      },
      inbox: (...args) => runCommand('p2p-inbox', args, { home: home.path }),
    })
  })
}

async function folded(view: View, id: string): Promise<MessageInfo> {
  for (const box of ['inbox', 'sent'] as const) {
    for (const entry of await listMaildir(view.home, box)) {
      const message = await describe(view, entry, 'text')
      if (message?.info.id !== id) continue
      await (await Conversation.read(view)).fold(message.info)
      return message.info
    }
  }
  throw new Error('no such message')
}

const said = ({ reactions = [] }: MessageInfo): string[] => reactions.map(({ from, reaction }) => `${from} ${reaction}`)

test('the latest reaction of each counts, an empty one takes it back, and strangers to the message have no say', async () => {
  await withPlace(async ({ view, got, sent }) => {
    const mine = await sent({ text: 'lunch?\n' })
    await got({ reaction: '+1', reply: mine, text: '' })
    await got({ reaction: UP, reply: mine, text: '' })
    await got({ reaction: '-1', reply: mine, text: '', from: EVE })
    assert.equal(said(await folded(view, mine)), [`bob ${UP}`], 'it went to bob alone: eve can know no such message')
    const hers = await got({ text: 'well\n', from: EVE })
    await sent({ reaction: UP, reply: hers, text: '', to: EVE })
    assert.equal(said(await folded(view, hers)), [`alice ${UP}`])
    await got({ reaction: '', reply: mine, text: '' })
    assert.equal(said(await folded(view, mine)), [])
  })
})

test('a reaction that comes late is not later than one that was made after it', async () => {
  await withPlace(async ({ view, got }) => {
    const id = await got({ text: 'x\n' })
    await got({ reaction: 'second', reply: id, text: '', created: 9_000_000n })
    await got({ reaction: 'first', reply: id, text: '', created: 8_000_000n })
    assert.equal(said(await folded(view, id)), ['bob second'])
  })
})

test('only its own sender edits and recalls a message, and what came stays', async () => {
  await withPlace(async ({ view, got, home }) => {
    const id = await got({ text: 'see you at 8\n' })
    const before = readFileSync((await listMaildir(home, 'inbox'))[0]?.path ?? '')
    await got({ text: 'see you never\n', edit: id, from: EVE })
    await got({ text: 'gone\n', recall: id, from: EVE })
    const still = await folded(view, id)
    assert.is(still.edited, undefined)
    assert.is(still.recalled, undefined)
    await got({ text: 'see you at 9\n', edit: id })
    const edit = await got({ text: 'see you at 10\n', edit: id })
    const recall = await got({ text: 'never mind\n', recall: id })
    const now = await folded(view, id)
    assert.is(now.edited?.id, edit)
    assert.equal(now.edited?.text, bytesOf('see you at 10\n'))
    assert.is(now.edited?.subject, 'see you at 10')
    assert.is(now.recalled?.id, recall)
    assert.equal(now.text, bytesOf('see you at 8\n'))
    assert.equal(readFileSync((await listMaildir(home, 'inbox'))[0]?.path ?? ''), before)
  })
})

test('mail programs see an edit as an answer that says what it is', async () => {
  await withPlace(async ({ got, home }) => {
    const id = await got({ text: 'one\n' })
    await got({ text: 'two\n', edit: id })
    const [, edit] = await listMaildir(home, 'inbox')
    const mail = readFileSync(edit?.path ?? '', 'utf8')
    assert.match(mail, /^Subject: edited: two$/m)
    assert.match(mail, new RegExp(`^In-Reply-To: <${id}@p2p\\.invalid>$`, 'm'))
    assert.match(mail, new RegExp(`^X-P2P-Edit: <${id}@p2p\\.invalid>$`, 'm'))
  })
})

test('a thread is the tree of answers of both sides, also where its first message is gone or it runs in a circle', async () => {
  await withPlace(async ({ view, got, sent }) => {
    const top = await got({ text: 'a\n' })
    const b = await sent({ text: 'b\n', reply: top })
    const c = await got({ text: 'c\n', reply: b })
    const d = await got({ text: 'd\n', reply: top })
    await got({ reaction: UP, reply: c, text: '' })
    await got({ text: 'other\n' })
    const all = await Conversation.read(view)
    const shape = (id: string): [string | undefined, number][] => all.thread(id).map(({ digest, depth }) => [digest.id, depth])
    const whole = [[top, 0], [b, 1], [c, 2], [d, 1]]
    for (const id of [top, b, c, d]) assert.equal(shape(id), whole)

    const gone = freshId()
    const e = await got({ text: 'e\n', reply: gone })
    const f = await got({ text: 'f\n', reply: gone })
    const [one, two] = [freshId(), freshId()]
    await got({ text: 'g\n', id: one, reply: two })
    await got({ text: 'h\n', id: two, reply: one })
    const later = await Conversation.read(view)
    assert.equal(later.thread(f).map(({ digest }) => digest.id), [e, f])
    assert.is(later.thread(one).length, 2)
  })
})

test('the tree is drawn with the branches of its depths', () => {
  assert.equal(branches([0, 1, 2, 2, 1, 2]), ['', '├─', '│ ├─', '│ └─', '└─', '  └─'])
  assert.equal(branches([0]), [''])
})

test('the index is made again where it is missing, damaged or out of date, and nothing shown comes from it', async () => {
  await withPlace(async ({ view, got, home }) => {
    const ids = []
    for (const text of ['one', 'two', 'three']) ids.push(await got({ text: `${text}\n`, from: text === 'two' ? EVE : BOB }))
    const index = home.at('mail.index', 'inbox')
    const of = async (key: string): Promise<(string | undefined)[]> => {
      const found = []
      for await (const { info } of listMessages(view, { key }, 'text')) found.push(info.subject)
      return found
    }
    assert.equal(await of(BOB.key), ['one', 'three'])
    const whole = readFileSync(index, 'utf8')
    assert.is(whole.trim().split('\n').length, 3)
    for (const [what, damaged] of [
      ['cut', whole.slice(0, -40)],
      ['another KEY in a line', whole.replace(BOB.key, EVE.key)],
      ['noise', 'x\ty\n\0\0\n'],
      ['nothing', ''],
    ] as const) {
      writeFileSync(index, damaged)
      assert.equal(await of(BOB.key), ['one', 'three'], what)
      assert.equal(await of(EVE.key), ['two'], what)
    }
    rmSync(index)
    mkdirSync(index) // where nothing can be written
    assert.equal(await of(EVE.key), ['two'])
    rmSync(index, { recursive: true })
    appendFileSync(index, Array.from({ length: 1100 }, (_, i) => `gone${i}\tx\n`).join(''))
    await of(BOB.key)
    assert.is(readFileSync(index, 'utf8').trim().split('\n').length, 3, 'lines of mails that are gone go as well')
    assert.is(existsSync(`${index}.tmp`), false)
    appendFileSync(index, Array.from({ length: 1100 }, (_, i) => `other${i}\tx\n`).join(''))
    for await (const _ of listMessages(view, { key: BOB.key, since: 2500 }, 'headers')) break
    await Conversation.about(view, 2_000_000n)
    assert.is(readFileSync(index, 'utf8').trim().split('\n').length, 1103, 'a look at some forgets none of the others')
  })
})

test('what comes while a conversation is open finds its place in it', async () => {
  await withPlace(async ({ view, got, sent }) => {
    const id = await got({ text: 'see you at 8\n' })
    const talk = await Conversation.read(view)
    assert.equal(await talk.fresh('inbox'), [])
    await sent({ reaction: UP, reply: id, text: '' })
    await got({ text: 'see you at 9\n', edit: id })
    const [edit] = await talk.fresh('inbox')
    const [reaction] = await talk.fresh('sent')
    assert.ok(edit && reaction && talk.find(edit) < 0)
    const row = await talk.add(edit)
    assert.is(talk.table.facts(row ?? -1).target, id)
    assert.equal([await talk.add(edit), talk.find(edit), talk.count], [row, row, 2], 'once')
    await talk.add(reaction)
    assert.equal([...(await talk.fresh('inbox')), ...(await talk.fresh('sent'))], [])
    const message = await describe(view, talk.entry(0), 'text')
    assert.ok(message)
    await talk.fold(message.info)
    assert.equal([said(message.info), message.info.edited?.subject], [[`alice ${UP}`], 'see you at 9'])
    const moved = await setFlags(view.home, edit, { add: 'S' })
    assert.equal((await talk.fresh('inbox')).map(({ path }) => path), [moved?.path])
  })
})

test('p2p-inbox lists by type, thread, words, side and sender', async () => {
  await withPlace(async ({ got, sent, inbox, self }) => {
    const file = { type: 'image/png', name: 'Boat.png', bytes: bytesOf('png') }
    const photo = await got({ text: 'the Boat\n', files: [file] })
    const plain = await got({ text: 'hello\nWORLD\n' })
    const answer = await sent({ text: 'nice\n', reply: photo })
    const up = await got({ reaction: UP, reply: answer, text: '' })
    const ids = async (...args: string[]): Promise<string[]> => (await inbox('list', '--id', ...args)).out.split('\n').filter(Boolean)
    assert.equal(await ids('--type', 'file'), [photo])
    assert.equal(await ids('--type', 'image/*'), [photo])
    assert.equal(await ids('--type', 'image'), [photo])
    assert.equal(await ids('--type', 'text', '--type', 'reaction'), [plain, up])
    assert.equal(await ids('--type', 'video/*'), [])
    assert.equal(await ids('--grep', 'boat'), [photo])
    assert.equal(await ids('--grep', '^world$'), [plain])
    assert.equal(await ids('--grep', 'World'), [], 'a capital letter in the pattern is meant')
    assert.equal(await ids('--grep', 'boat\\.PNG'), [])
    assert.equal(await ids('--thread', plain), [plain])
    assert.equal(await ids('--thread', photo), [photo, up])
    assert.equal(await ids('--thread', answer, '--sent'), [answer])
    assert.equal(await ids('--thread', answer, '--type', 'file', '--grep', 'boat'), [photo], 'all of them count')
    assert.equal(await ids('--thread', plain, '--type', 'file', '--grep', 'boat'), [])
    assert.equal(await ids('--sent'), [answer])
    assert.equal(await ids('--to', 'me'), [answer], 'everything sent is from oneself')
    assert.equal(await ids('--from', self.key), [])
    assert.equal(await ids('--after', 'start', '--type', 'reaction'), [up])
    assert.equal(await ids('--after', 'start', '--grep', 'hello'), [plain])
    assert.equal(await ids('--after', 'start', '--thread', answer), [photo, up])
    for (const args of [['--type', 'no type'], ['--grep', '('], ['--sent', '--new'], ['--to', 'me', '--after', 'start']]) {
      assert.is((await inbox('list', ...args)).code, EX.USAGE, args.join(' '))
    }
  })
})

test('p2p-inbox tells reactions and edits with their message, and for people not again', async () => {
  await withPlace(async ({ got, sent, inbox }) => {
    const id = await got({ text: 'see you at 8\n' })
    await got({ text: 'see you at 9\n', edit: id })
    await sent({ reaction: UP, reply: id, text: '' })
    const [first, second] = records((await inbox('list')).out)
    assert.is(first?.['text'], 'see you at 8\n')
    const { edited, reactions } = first as { edited?: { text: string }; reactions?: { reaction: string }[] }
    assert.is(edited?.text, 'see you at 9\n')
    assert.is(reactions?.[0]?.reaction, UP)
    assert.is(second?.['edit'], id)
    const lines = (await inbox('list', '--text')).out.trim().split('\n')
    assert.is(lines.length, 1)
    assert.match(lines[0] ?? '', new RegExp(`see you at 9 {2}\\(edited\\) {2}${UP} alice$`))
    assert.is((await inbox('list', '--text', '--type', 'edit')).out.trim().split('\n').length, 1)
    const shown = (await inbox('show', '--text', id)).out
    assert.match(shown, /\n\nsee you at 9\n\nBefore the edit:\nsee you at 8\n$/)
  })
})

test('a list of all, and one from a time on, tell an edit that came before its message, and what was sent about it', async () => {
  await withPlace(async ({ got, sent, inbox }) => {
    const at = (second: number): bigint => 1_750_000_000_000_000n + BigInt(second) * 1_000_000n
    const id = await got({ created: at(1), received: at(20), text: 'see you at 8\n' })
    await got({ created: at(2), received: at(10), text: 'see you at 9\n', edit: id })
    await sent({ created: at(30), reaction: UP, reply: id, text: '' })
    const since = new Date(Number(at(15) / 1000n)).toISOString()
    for (const args of [['list'], ['list', '--since', since]]) {
      const told = records((await inbox(...args)).out)
      assert.is(told.length, args.length === 1 ? 2 : 1)
      const { edited, reactions } = told.find((each) => each['id'] === id) as { edited?: { text: string }; reactions?: { reaction: string }[] }
      assert.is(edited?.text, 'see you at 9\n', args.join(' '))
      assert.equal(reactions?.map(({ reaction }) => reaction), [UP], args.join(' '))
    }
  })
})

test('p2p-inbox thread draws a tree for people and gives records with their depth', async () => {
  await withPlace(async ({ got, sent, inbox }) => {
    const top = await got({ text: 'a\n' })
    const mine = await sent({ text: 'b\n', reply: top })
    await got({ text: 'c\n', reply: mine })
    const told = records((await inbox('thread', mine)).out)
    assert.equal(told.map(({ subject, depth, to, state }) => [subject, depth, to, state]), [
      ['a', 0, undefined, undefined], ['b', 1, 'bob', 'waiting'], ['c', 2, undefined, undefined]])
    assert.match((await inbox('thread', '--text', '@')).out, /\n.* {2}w {2}.{8} {2}└─> bob {2}b\n.* {2}N {2}.{8} {2} {2}└─bob {2}c\n$/)
    assert.is((await inbox('thread', 'ffffff')).code, EX.NEGATIVE)
  })
})

test('p2p-inbox export gives both sides as records, as an mbox that can be had back, and as text', async () => {
  await withPlace(async ({ got, sent, inbox, home }) => {
    const long = `From me\n>From you\n${'x'.repeat(100_000)}\n`
    const id = await got({ text: long })
    await sent({ text: 'to eve\n', to: EVE })
    await sent({ text: 'see\nbelow\n', reply: id })
    await got({ reaction: UP, reply: id, text: '' })
    assert.is((await inbox('export', BOB.key)).code, EX.NO_CONTACT, 'bob is in no keyring')
    assert.is((await inbox('export', 'me')).out, '', 'no notes to oneself')
    const all = records((await inbox('export')).out)
    assert.equal(all.map(({ from, to }) => [from, to]), [['bob', undefined], ['alice', 'eve'], ['alice', 'bob'], ['bob', undefined]])
    assert.is(all[0]?.['text'], long, 'longer than a record has it otherwise')
    const path = `${home.path}/../all.mbox`
    assert.is((await inbox('export', '--format', 'mbox', '-o', path)).code, EX.OK)
    assert.is((await inbox('export', '--format', 'mbox', '-o', path)).code, EX.CANNOT_CREATE)
    const mails = readFileSync(path, 'latin1').split(/^From .*\n/m).slice(1)
    const entries = [...(await listMaildir(home, 'inbox')), ...(await listMaildir(home, 'sent'))]
    const files = entries.map((entry) => readFileSync(entry.path, 'latin1'))
    assert.equal(mails.map((mail) => mail.replace(/\n$/, '').replace(/^>(?=>*From )/gm, '')).sort(), files.sort())
    const text = (await inbox('export', '--format', 'text')).out
    assert.match(text, /alice: see\n {18}below\n {18}\(not delivered yet\)\n$/)
    assert.match(text, new RegExp(`\\(bob reacts ${UP}\\)`))
    assert.is((await inbox('export', '--format', 'pdf')).code, EX.USAGE)
  })
})

test.run()
