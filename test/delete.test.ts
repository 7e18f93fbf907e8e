// p2p-inbox delete: what goes, what stays, and that a deleted message does not come back.

import { existsSync, mkdirSync, readdirSync, renameSync, writeFileSync } from 'node:fs'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { EX } from '../lib/base/fail.ts'
import { listMaildir, removeMail } from '../lib/disk/maildir.ts'
import { runCommand, type Ran } from './command.ts'
import { BOB, deliver, EVE, mailOf, withHome, writeSent } from './mailbox.ts'
import { records } from './records.ts'

test('messages are found before the first goes, told, and listed as gone', async () => {
  await withHome(async (home) => {
    const inbox = (...args: string[]): Promise<Ran> => runCommand('p2p-inbox', args, { home: home.path })
    const ids: string[] = []
    for (let i = 1n; i <= 4n; i++) ids.push((await deliver(home, { text: `m${i}\n`, received: i * 1_000_000n })).id)
    const ran = await inbox('delete', '@1', '@2', 'ffffff')
    assert.is(ran.code, EX.NEGATIVE, 'one of them is unknown')
    assert.match(ran.err, /no message 'ffffff'/)
    assert.equal(records(ran.out), [ids[3], ids[2]].map((id) => ({ v: 1, type: 'deleted', id, from: 'bob', key: BOB.key })))
    assert.equal((await listMaildir(home, 'inbox')).map(({ id32 }) => id32), ids.slice(0, 2).map((id) => id.slice(0, 32)))
    const told = records((await inbox('list', '--after', 'start')).out)
    assert.equal(told.map(({ id, gone = false }) => [id, gone]), ids.map((id, at) => [id, at >= 2]))
    assert.is((await inbox('delete', String(ids[3]))).code, EX.NEGATIVE)
    assert.is((await inbox('delete', String(ids[0]), String(ids[0]).slice(0, 8))).code, EX.OK, 'named twice')
  })
})

test('outside files go with their message, but not while a copy in sent/ has them', async () => {
  await withHome(async (home) => {
    const keep = (id: string): void => {
      mkdirSync(home.at('files', id))
      writeFileSync(home.at('files', id, '0'), 'large')
    }
    const one = await deliver(home, { text: 'with a file\n' })
    const note = await deliver(home, { text: 'to myself\n', from: EVE })
    const { head } = mailOf({ text: 'to myself\n', id: note.id })
    await writeSent(home, EVE, [{ contact: EVE, head, parts: [{ content: async function* () {} }] }])
    keep(one.id)
    keep(note.id)
    for (const { id } of [one, note]) {
      const entry = (await listMaildir(home, 'inbox')).find(({ id32 }) => id32 === id.slice(0, 32))
      if (entry === undefined) throw new Error('not there')
      renameSync(entry.path, home.at('inbox', 'cur', `${entry.base}:2,S`)) // a mail program was faster
      assert.ok(await removeMail(home, entry, id))
      assert.not.ok(await removeMail(home, entry, id))
    }
    assert.equal(readdirSync(home.at('files')), [note.id])
  })
})

test('mail of another program goes alone, whatever it calls itself', async () => {
  await withHome(async (home) => {
    mkdirSync(home.at('files', 'ab'.repeat(32)))
    writeFileSync(home.at('inbox', 'cur', '1700000000.1.host:2,S'), 'From: x@y\nMessage-ID: <other@host>\n\nhi\n')
    const [entry] = await listMaildir(home, 'inbox')
    if (entry === undefined) throw new Error('not there')
    for (const id of ['', 'ab'.repeat(32)]) {
      await removeMail(home, entry, id)
      assert.ok(existsSync(home.at('files', 'ab'.repeat(32))))
    }
    assert.equal(await listMaildir(home, 'inbox'), [])
  })
})

test.run()
