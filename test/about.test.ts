// What is said about an earlier message, by real commands from one home to another: reactions, edits, recalls, answers.
// They travel as any message does, here in bundles, and change nothing that arrived.

import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { EX } from '../lib/base/fail.ts'
import { nodeSuite } from '../lib/crypto/suite-node.ts'
import { realDoors, type Home } from '../lib/disk/home.ts'
import { createIdentity } from '../lib/disk/identity.ts'
import { importToken } from '../lib/disk/import.ts'
import { runCommand, type Ran } from './command.ts'
import { records } from './records.ts'

const UP = '\u{1f44d}\u{1f3fd}'

interface Person {
  home: Home
  run: (command: string, ...args: string[]) => Promise<Ran>
  /** p2p-send --queue-only; returns the id. */
  send: (...args: string[]) => Promise<string>
  /** The records of the inbox. */
  list: (...args: string[]) => Promise<Record<string, unknown>[]>
}

interface Pair {
  alice: Person
  bob: Person
  /** All that waits for the other one gets there, in a bundle. */
  carry: (from: Person, to: Person) => Promise<void>
}

async function withPeople(work: (pair: Pair) => Promise<void>): Promise<void> {
  const root = await mkdtemp(`${tmpdir()}/p2p-about-`)
  try {
    const made = []
    for (const name of ['alice', 'bob']) {
      const fields = { name, port: 21000, addresses: [], passphrase: undefined }
      made.push(await createIdentity({ path: `${root}/${name}`, source: 'test' }, fields as never, nodeSuite, realDoors))
    }
    const people = made.map(({ home }): Person => {
      const run = (command: string, ...args: string[]): Promise<Ran> => runCommand(command, args, { home: home.path })
      return {
        home,
        run,
        async send(...args) {
          const ran = await run('p2p-send', '--queue-only', ...args)
          assert.is(ran.code, EX.OK, ran.err)
          return String(records(ran.out)[0]?.['id'])
        },
        list: async (...args) => records((await run('p2p-inbox', 'list', ...args)).out),
      }
    })
    for (const [i, { home }] of made.entries()) {
      const other = made[1 - i]?.self
      if (other !== undefined) await importToken(home, nodeSuite, other.name, other.token)
    }
    const [alice, bob] = people as [Person, Person]
    let number = 0
    await work({
      alice,
      bob,
      async carry(from, to) {
        const bundle = `${root}/${(number += 1)}.p2p`
        assert.is((await from.run('p2p-queue', 'export', from === alice ? 'bob' : 'alice', '-o', bundle)).code, EX.OK)
        const taken = await to.run('p2p-queue', 'import', bundle)
        assert.is(taken.code, EX.OK, taken.err)
      },
    })
  } finally {
    await rm(root, { recursive: true })
  }
}

test('a reaction crosses, replaces the one before, and can be taken back', async () => {
  await withPeople(async ({ alice, bob, carry }) => {
    const id = await alice.send('bob', '-m', 'lunch?')
    await carry(alice, bob)
    await bob.send('-r', '@', '--react', '-1')
    await bob.send('-r', id.slice(0, 8), '--react', UP)
    await carry(bob, alice)
    const came = await alice.list()
    assert.equal(came.map(({ type, reaction, reply }) => [type, reaction, reply]), [['message', '-1', id], ['message', UP, id]])
    const mail = readFileSync(String(came[1]?.['path']), 'utf8')
    assert.match(mail, /^Content-Disposition: reaction$/m, 'RFC 9078')
    assert.match(mail, new RegExp(`^In-Reply-To: <${id}@p2p\\.invalid>$`, 'm'))
    const reactions = async (): Promise<unknown> => {
      const [own] = records((await alice.run('p2p-inbox', 'show', id)).out)
      return (own?.['reactions'] as { from: string; reaction: string }[] | undefined)?.map(({ from, reaction }) => [from, reaction])
    }
    assert.equal(await reactions(), [['bob', UP]])
    assert.match((await alice.run('p2p-inbox', 'list', '--sent', '--text')).out, new RegExp(`lunch\\? {2}${UP} bob\n$`))
    await bob.send('-r', id, '--react', '')
    await carry(bob, alice)
    assert.is(await reactions(), undefined)
    const own = await alice.run('p2p-send', '--queue-only', '-r', id, '--react', '+1')
    assert.is(own.code, EX.OK, 'to an own message: it goes to whom that one went')
    assert.is(records(own.out)[0]?.['to'], 'bob')
  })
})

test('an edit and a recall reach whom the message reached, and what came stays as it came', async () => {
  await withPeople(async ({ alice, bob, carry }) => {
    const id = await alice.send('bob', '-m', 'see you at 8')
    await carry(alice, bob)
    const [before] = await bob.list()
    const bytes = readFileSync(String(before?.['path']))
    const edit = await alice.send('--edit', '@', '-m', 'see you at 9')
    const again = await alice.send('--edit', edit, '-m', 'see you at 10', '-s', 'later')
    await carry(alice, bob)
    const [first, second, third] = await bob.list()
    assert.is(first?.['text'], 'see you at 8')
    const { edited } = first as { edited?: { text: string; subject: string } }
    assert.equal([edited?.text, edited?.subject], ['see you at 10', 'later'])
    assert.equal([second?.['edit'], third?.['edit'], third?.['id']], [id, id, again], 'an edit of an edit is one of the message')
    assert.is(third?.['subject'], 'edited: later')
    const told = await alice.run('p2p-send', '--queue-only', '--recall', id)
    assert.is(told.code, EX.OK)
    await carry(alice, bob)
    const now = await bob.list()
    assert.type(now[0]?.['recalled'], 'object')
    assert.is(now[3]?.['recall'], id)
    assert.is(now[3]?.['text'], 'I take this message back.\n', 'for whoever knows no recalls')
    assert.equal(readFileSync(String(now[0]?.['path'])), bytes)
    const lines = (await bob.run('p2p-inbox', 'list', '--text')).out.trim().split('\n')
    assert.is(lines.length, 1)
    assert.match(lines[0] ?? '', / later {2}\(edited\) {2}\(recalled\)$/)
    const waits = await alice.run('p2p-send', '--queue-only', '--recall', await alice.send('bob', '-m', 'oops'))
    assert.match(waits.err, /it still waits: p2p-queue drop [0-9a-f]{12} takes it back/)
  })
})

test('a peer that edits or recalls what is not its own is heard, and changes nothing', async () => {
  await withPeople(async ({ alice, bob, carry }) => {
    const id = await alice.send('bob', '-m', 'mine')
    await carry(alice, bob)
    // bob's own program refuses: so the header is forged into a message of his.
    for (const [wish, done] of [[['--edit', id, '-m', 'yours'], 'edited'], [['--recall', id], 'recalled']] as const) {
      const refused = await bob.run('p2p-send', ...wish)
      assert.equal([refused.code, refused.err], [EX.NEGATIVE, `p2p-send: message ${id.slice(0, 8)} is from alice: only an own one can be ${done}\n`])
    }
    const { acceptAll } = await import('../lib/disk/accept.ts')
    const { loadKeyring } = await import('../lib/disk/keyring.ts')
    const { stageBody } = await import('../lib/disk/staging.ts')
    const keyring = await loadKeyring(bob.home)
    const to = keyring.all()[0]
    if (to === undefined) throw new Error('no contact')
    for (const header of [{ edit: id }, { recall: id }]) {
      const staged = await stageBody(bob.home, nodeSuite, [{ type: 'text/plain', content: new TextEncoder().encode('forged\n') }])
      await acceptAll(bob.home, nodeSuite, keyring.self, [{ to, staged, header }])
    }
    await carry(bob, alice)
    assert.equal((await alice.list()).map(({ text }) => text), ['forged\n', 'forged\n'])
    const [own] = records((await alice.run('p2p-inbox', 'show', id)).out)
    assert.equal([own?.['text'], own?.['edited'], own?.['recalled']], ['mine', undefined, undefined])
    assert.is((await alice.run('p2p-inbox', 'list', '--text')).out.trim().split('\n').length, 2, 'they are lines of their own')
  })
})

test('records ask for the same, and each wrong wish is told by its line', async () => {
  await withPeople(async ({ alice, bob, carry }) => {
    const id = await alice.send('bob', '-m', 'one')
    await carry(alice, bob)
    const lines = [
      { edit: id, text: 'two', ref: 1 },
      { reply: id, reaction: '+1', ref: 2 },
      { recall: id, ref: 3 },
      { recall: id, text: 'x', ref: 4 },
      { edit: id, recall: id, ref: 5 },
      { reaction: '+1', ref: 6 },
      { edit: id, file: '/etc/hostname', ref: 7 },
      { edit: 'ffffffff', text: 'x', ref: 8 },
      { reply: id, reaction: 'a\nb', ref: 9 },
    ]
    const { out, code } = await runCommand('p2p-send', ['--ndjson', '--queue-only'], {
      home: alice.home.path,
      input: lines.map((line) => `${JSON.stringify(line)}\n`).join(''),
    })
    assert.is(code, EX.DATA)
    const told = records(out).map(({ type, ref }) => `${String(ref)} ${String(type)}`)
    assert.equal(told.sort(), lines.map(({ ref }) => `${ref} ${ref <= 3 ? 'queued' : 'error'}`).sort())
    await carry(alice, bob)
    assert.equal((await bob.list()).map(({ edit, reaction, recall }) => [edit, reaction, recall]), [
      [undefined, undefined, undefined], [id, undefined, undefined], [undefined, '+1', undefined], [undefined, undefined, id]])
  })
})

test('wishes that make no sense are refused before anything is read', async () => {
  await withPeople(async ({ alice }) => {
    const id = await alice.send('bob', '-m', 'one')
    const reaction = await alice.send('-r', id, '--react', '+1')
    for (const [args, code] of [
      [['--react', '+1', 'bob'], EX.USAGE],
      [['-r', id, '--react', '+1', '-m', 'x'], EX.USAGE],
      [['-r', id, '--react', 'x'.repeat(65)], EX.DATA],
      [['-r', id, '--react', 'a\nb'], EX.DATA],
      [['--edit', id, '--recall', id], EX.USAGE],
      [['--edit', id, '-r', id, '-m', 'x'], EX.USAGE],
      [['--edit', id, 'bob', '-m', 'x'], EX.USAGE],
      [['--edit', id, '-a', '/etc/hostname'], EX.USAGE],
      [['--recall', id, '-m', 'x'], EX.USAGE],
      [['--recall', reaction], EX.DATA],
      [['--edit', 'ffffff', '-m', 'x'], EX.NEGATIVE],
      [['--lines', '--edit', id], EX.USAGE],
    ] as const) {
      const ran = await alice.run('p2p-send', '--queue-only', ...args)
      assert.is(ran.code, code, `${args.join(' ')}: ${ran.err}`)
      assert.is(ran.out, '')
    }
  })
})

test.run()
