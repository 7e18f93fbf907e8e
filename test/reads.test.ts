// Read receipts: nothing without being asked for, one for each message that got flag S, whoever set it, in the form of
// RFC 8098, and never one for a receipt.

import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { EX } from '../lib/base/fail.ts'
import { nodeSuite } from '../lib/crypto/suite-node.ts'
import { sendReceipts } from '../lib/delivery/reads.ts'
import { loadConfig } from '../lib/disk/config.ts'
import { realDoors, type Home } from '../lib/disk/home.ts'
import { createIdentity } from '../lib/disk/identity.ts'
import { importToken } from '../lib/disk/import.ts'
import { loadKeyring } from '../lib/disk/keyring.ts'
import { listMaildir } from '../lib/disk/maildir.ts'
import { runCommand, type Ran } from './command.ts'
import { records, type Rec } from './records.ts'

interface Person {
  home: Home
  run: (command: string, ...args: string[]) => Promise<Ran>
  send: (...args: string[]) => Promise<string>
  list: (...args: string[]) => Promise<Rec[]>
  /** Ids of what waits. */
  waiting: () => Promise<string[]>
}

/** alice and bob; everything that waits at one is carried to the other in a bundle. */
async function withPeople(work: (alice: Person, bob: Person, carry: (from: Person, to: Person) => Promise<void>) => Promise<void>): Promise<void> {
  const root = await mkdtemp(`${tmpdir()}/p2p-reads-`)
  try {
    const made = []
    for (const name of ['alice', 'bob']) {
      const fields = { name, port: 21000, addresses: [], passphrase: undefined }
      made.push(await createIdentity({ path: `${root}/${name}`, source: 'test' }, fields as never, nodeSuite, realDoors))
    }
    for (const [i, { home }] of made.entries()) {
      const other = made[1 - i]?.self
      if (other !== undefined) await importToken(home, nodeSuite, other.name, other.token)
    }
    const people = made.map(({ home }): Person => {
      const run = (command: string, ...args: string[]): Promise<Ran> => runCommand(command, args, { home: home.path })
      return {
        home,
        run,
        send: async (...args) => String(records((await run('p2p-send', '--queue-only', ...args)).out)[0]?.['id']),
        list: async (...args) => records((await run('p2p-inbox', 'list', ...args)).out),
        waiting: async () => records((await run('p2p-queue', 'list')).out).map(({ id }) => String(id)),
      }
    })
    const [alice, bob] = people as [Person, Person]
    let number = 0
    await work(alice, bob, async (from, to) => {
      const bundle = `${root}/${(number += 1)}.p2p`
      assert.is((await from.run('p2p-queue', 'export', from === alice ? 'bob' : 'alice', '-o', bundle)).code, EX.OK)
      assert.is((await to.run('p2p-queue', 'import', bundle)).code, EX.OK)
    })
  } finally {
    await rm(root, { recursive: true })
  }
}

const wish = ({ home }: Person, text: string): void => writeFileSync(home.at('config.toml'), `${text}\n`)

test('nothing is told unless it is wished, and what came before the wish never is', async () => {
  await withPeople(async (alice, bob, carry) => {
    await alice.send('bob', '-m', 'one')
    await carry(alice, bob)
    await bob.run('p2p-inbox', 'seen', '@')
    assert.equal(await bob.waiting(), [])
    wish(bob, 'receipts = true')
    await bob.run('p2p-inbox', 'seen', '@')
    assert.equal(await bob.waiting(), [])
    await alice.send('bob', '-m', 'two')
    await carry(alice, bob)
    wish(bob, 'receipts = true\n[contact.alice]\nreceipts = false')
    await bob.run('p2p-inbox', 'seen', '@')
    assert.equal(await bob.waiting(), [], 'not to this one')
    wish(bob, 'recipts = true')
    assert.is((await bob.run('p2p-inbox', 'seen', '@')).code, EX.CONFIG)
  })
})

test('what was read is told once, as RFC 8098 has it, shown with the message, and not told back', async () => {
  await withPeople(async (alice, bob, carry) => {
    for (const one of [alice, bob]) wish(one, 'receipts = true')
    await bob.run('p2p-inbox', 'seen', 'ffffff') // from now on
    await alice.run('p2p-inbox', 'seen', 'ffffff')
    const id = await alice.send('bob', '-m', 'see you at 8?')
    const other = await alice.send('bob', '-m', 'unread')
    await carry(alice, bob)
    for (let times = 0; times < 3; times++) assert.is((await bob.run('p2p-inbox', 'seen', id)).code, EX.OK)
    assert.is((await bob.waiting()).length, 1)
    await carry(bob, alice)
    const [receipt] = await alice.list()
    assert.equal([receipt?.['receipt'], receipt?.['reply'], receipt?.['auto'], receipt?.['flags']], [id, id, true, 'S'])
    const mail = readFileSync(String(receipt?.['path']), 'utf8')
    assert.match(mail, /^Content-Type: multipart\/report; report-type=disposition-notification;\n boundary=/m)
    assert.match(mail, /^Auto-Submitted: auto-replied$/m)
    assert.match(mail, new RegExp(`\nContent-Type: message/disposition-notification\n\nReporting-UA: .*\nFinal-Recipient: rfc822; ${String(receipt?.['key'])}@p2p\\.invalid\nOriginal-Message-ID: <${id}@p2p\\.invalid>\nDisposition: manual-action/MDN-sent-automatically; displayed\n`))
    const sent = await alice.list('--sent')
    assert.equal(sent.map((own) => [own['id'], typeof own['read']]), [[id, 'string'], [other, 'undefined']])
    assert.match((await alice.run('p2p-inbox', 'list', '--sent', '--text')).out, / {2}r {2}.* see you at 8\?\n.* {2}d {2}.* unread\n$/)
    assert.is((await alice.run('p2p-inbox', 'list', '--text')).out, '', 'it is no line of its own')
    await alice.run('p2p-inbox', 'seen', String(receipt?.['id']))
    assert.equal(await alice.waiting(), [], 'a receipt is never receipted')
  })
})

test('a mail program sets the flag as well, and programs, reactions and edits get no receipt', async () => {
  await withPeople(async (alice, bob, carry) => {
    wish(bob, '[contact.alice]\nreceipts = true')
    await bob.run('p2p-inbox', 'seen', 'ffffff')
    const id = await alice.send('bob', '-m', 'read me')
    await alice.send('--edit', id, '-m', 'read me now')
    await runCommand('p2p-send', ['bob', '--queue-only', '-m', 'by a program'], { home: alice.home.path, env: { P2P_ID: id } })
    await carry(alice, bob)
    for (const { path, base } of await listMaildir(bob.home, 'inbox')) renameSync(path, bob.home.at('inbox', 'cur', `${base}:2,RS`))
    const flush = await bob.run('p2p-queue', 'flush', '-w', '1s')
    assert.match(flush.out, /"deferred"/)
    const waiting = records((await bob.run('p2p-queue', 'list')).out)
    assert.equal(waiting.map(({ subject }) => subject), ['read: read me'])
  })
})

test('a crash before the note sends it once more, and a pass that finds another at work does nothing', async () => {
  await withPeople(async (alice, bob, carry) => {
    wish(bob, 'receipts = true')
    await bob.run('p2p-inbox', 'seen', 'ffffff')
    const log = bob.home.at('read.log')
    const before = readFileSync(log)
    const id = await alice.send('bob', '-m', 'x')
    await carry(alice, bob)
    const keyring = await loadKeyring(bob.home)
    const config = await loadConfig(bob.home, {})
    const options = { home: bob.home, keyring: () => keyring, config: () => config, hash: nodeSuite }
    const [entry] = await listMaildir(bob.home, 'inbox')
    renameSync(entry?.path ?? '', bob.home.at('inbox', 'cur', `${entry?.base}:2,S`))
    const both = await Promise.all([sendReceipts(options), sendReceipts(options)])
    assert.equal(both.sort((a, b) => a - b), [0, 1])
    assert.is(await sendReceipts(options), 0)
    writeFileSync(log, before)
    assert.is(await sendReceipts(options), 1)
    await carry(bob, alice)
    assert.type((await alice.list('--sent')).find((own) => own['id'] === id)?.['read'], 'string')
    rmSync(log)
    assert.is(await sendReceipts(options), 0, 'without a log it begins now')
  })
})

test.run()
