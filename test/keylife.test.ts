// The life of keys between the built commands: a rotation that contacts learn of by themselves, one after a theft, the
// end of an identity, another identity under a known name, and what a sender is told who meets silence.
// test timeout: 300 s

import { existsSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { type Peer, Stage, until } from './peer.ts'
import type { Rec } from './records.ts'

const DAY = 86_400
const seqOf = (peer: Peer, key: string): string =>
  String((JSON.parse(readFileSync(peer.at('contacts', `${key}.json`), 'utf8')) as Rec)['seq'])
const told = async (bob: Peer, alice: Peer, before: string): Promise<void> =>
  until('the new token', () => seqOf(bob, alice.key) !== before)

test('rotate: contacts that are connected, that call with the old token and that are called learn the new one', () =>
  Stage.with(async (stage) => {
    const alice = await stage.peer('alice')
    const [bob, carol, dave] = [await stage.peer('bob'), await stage.peer('carol'), await stage.peer('dave')]
    await alice.meet(bob, carol, dave)
    await alice.listen()
    const bobs = await bob.listen()
    await bobs.until('peer', ({ state }) => state === 'up')
    const before = seqOf(bob, alice.key)
    const old = alice.token()
    const ran = await alice.run('p2p-id', ['rotate'])
    assert.is(ran.code, 0, ran.err)
    assert.is(ran.out, `${alice.token()}\n`)
    assert.is.not(alice.token(), old)
    assert.match(ran.err, /^p2p-id: contacts that hold the old token can still call until 20\d\d-/)
    assert.match(ran.err, /contacts get the new token with the next session/)
    await told(bob, alice, before) // over the connection that stood
    await carol.send('alice', ['-m', 'by the old token']) // and the answer brings the new one
    await told(carol, alice, before)
    assert.is(seqOf(dave, alice.key), before)
    const daves = await dave.listen([])
    await told(dave, alice, before) // dave calls when he comes up, or alice does
    await daves.stop()
    await bob.send('alice', ['-m', 'hello'])
    await alice.send('bob', ['-m', 'hello'])
  }))

test('rotate --compromised: the old token meets silence until the new one is known, by a call or by hand', () =>
  Stage.with(async (stage) => {
    const [alice, bob, carol] = [await stage.peer('alice'), await stage.peer('bob'), await stage.peer('carol')]
    await alice.meet(bob, carol)
    writeFileSync(carol.at('config.toml'), 'udp = false\n', { mode: 0o600 }) // alice's listener would call her there
    await alice.listen()
    await bob.listen()
    const before = seqOf(bob, alice.key)
    const ran = await alice.run('p2p-id', ['rotate', '--compromised'])
    assert.is(ran.code, 0, ran.err)
    assert.match(ran.err, /^p2p-id: the old key is deleted: who holds the old token cannot call here until it has this one\n/)
    assert.not(existsSync(alice.at('transport.old.key')))
    await told(bob, alice, before) // alice's listener has called him
    const sent = await carol.run('p2p-send', ['alice', '-m', 'hi', '-w', '3s'])
    const deferred = JSON.parse(sent.out.trim().split('\n')[1] ?? '') as Rec
    assert.equal([deferred['reason'], seqOf(carol, alice.key)], ['silent', before])
    assert.match(String(deferred['text']), /did not answer as alice: alice has not added you yet, removed or blocked you, has a new key, or a home was restored from an old copy/)
    assert.is((await carol.good('p2p-id', ['add', 'alice'], { input: ran.out }))[0]?.['outcome'], 'updated')
    assert.equal((await carol.good('p2p-queue', ['flush', '-w', '60s'])).map(({ type }) => type), ['delivered'])
    const stale = await carol.run('p2p-id', ['add', 'alice'], { input: alice.token() })
    assert.is((JSON.parse(stale.out) as Rec)['outcome'], 'same')
  }))

test('revoke prints the line of init; whoever adds it is done with that identity, whatever comes later', () =>
  Stage.with(async (stage) => {
    const home = { home: `${stage.dir}/alice` }
    const { runCommand } = await import('./command.ts')
    const made = await runCommand('p2p-id', ['init', '--no-passphrase', '--name', 'alice', '--addr', '127.0.0.1'], home)
    const printed = /p2p-id: (p2p1\w+)\n/.exec(made.err)?.[1]
    const alice = await stage.enter('alice')
    const bob = await stage.peer('bob')
    await alice.meet(bob)
    const revoked = await alice.run('p2p-id', ['revoke'])
    assert.equal([revoked.code, revoked.out], [0, `${printed}\n`])
    assert.match(revoked.err, /^p2p-id: nothing has changed yet: keep this line offline/)
    const bobs = await bob.listen()
    await alice.send('bob', ['-m', 'still here'])
    const [record] = await bob.good('p2p-id', ['add', 'anybody'], { input: revoked.out })
    assert.equal([record?.['outcome'], record?.['revoked'], record?.['name']], ['revoked', true, 'alice'])
    const gone = await alice.run('p2p-send', ['bob', '-m', 'x', '-w', '3s'])
    assert.match(gone.out, /"reason":"silent"/)
    const to = await bob.run('p2p-send', ['alice', '-m', 'x'])
    assert.equal([to.code, to.err.split('\n')[0]], [77, 'p2p-send: alice has revoked this identity'])
    const rotated = await alice.run('p2p-id', ['rotate'])
    await bob.good('p2p-id', ['remove', 'alice'])
    for (const token of [rotated.out, (await alice.run('p2p-id', ['invite', 'bob2'])).out]) {
      const again = await bob.run('p2p-id', ['add', 'alice'], { input: token })
      assert.equal([again.code, again.out], [77, ''])
      assert.match(again.err, /was revoked by its owner, for good/)
    }
    assert.equal((await bob.box('inbox')).length, 1)
    await bobs.stop()
  }))

test('another identity under a known name stops everything, 77, and says the way out; a successor is shown only', () =>
  Stage.with(async (stage) => {
    const [alice, bob, mallory] = [await stage.peer('alice'), await stage.peer('bob'), await stage.peer('mallory')]
    await alice.learn(bob)
    const wrong = await alice.run('p2p-id', ['add', 'bob'], { input: mallory.token() })
    assert.equal([wrong.code, wrong.out], [77, ''])
    assert.match(wrong.err, /^p2p-id: 'bob' is known with another identity; only if the words below the token are what bob reads to you, rename the old one and add again\n/)
    assert.match(wrong.err, new RegExp(`held: ${bob.key}\\np2p-id: +(?:[a-z]+ ){11}[a-z]+\\np2p-id: +token: ${mallory.key}\\np2p-id: +(?:[a-z]+ ){11}[a-z]+\\np2p-id: hint: p2p-id rename bob bob-old\\n$`))
    // a new home of bob's that says it succeeds the old one
    const young = await stage.peer('robert')
    const ran = await young.run('p2p-id', ['token', '--successor-of', bob.path])
    assert.equal([ran.code, ran.out], [0, `${young.token()}\n`], ran.err)
    assert.match(ran.err, /a thief can say so, too\n[^]*hint: p2p-id revoke --home /)
    const stopped = await alice.run('p2p-id', ['add', 'bob'], { input: ran.out })
    assert.is(stopped.code, 77)
    assert.match(stopped.err, /the token says, signed with both keys, that it succeeds the one held, which a thief of that key can say, too; only if/)
    await alice.good('p2p-id', ['rename', 'bob', 'bob-old'])
    const added = await alice.run('p2p-id', ['add', 'bob'], { input: ran.out })
    assert.is(added.code, 0, added.err)
    const record = JSON.parse(added.out) as Rec
    assert.equal([record['outcome'], record['succeeds'], record['verified']], ['added', bob.key, false])
    assert.match(added.err, /their token says, signed with both keys, that they succeed bob-old: whoever stole the older key can say so\n/)
    assert.is((await alice.good('p2p-id', ['show', 'bob']))[0]?.['succeeds'], bob.key)
    assert.match((await alice.run('p2p-id', ['show', 'bob', '--text'])).out, new RegExp(`^succeeds +${bob.key}, as it says itself$`, 'm'))
    assert.equal((await alice.good('p2p-id', ['list'])).map(({ name, verified }) => [name, verified]), [['bob', false], ['bob-old', false]])
  }))

test('passphrases of both homes are needed to succeed one, and that of its own for a rotation', () =>
  Stage.with(async (stage) => {
    const { runCommand } = await import('./command.ts')
    for (const name of ['old', 'young']) {
      writeFileSync(`${stage.dir}/${name}.pass`, `${name} passphrase\n`, { mode: 0o600 })
      const args = ['init', '--name', name, '--addr', '127.0.0.1', '--passphrase-file', `${stage.dir}/${name}.pass`]
      assert.is((await runCommand('p2p-id', args, { home: `${stage.dir}/${name}` })).code, 0)
    }
    const young = await stage.enter('young')
    const before = young.token()
    const own = ['--passphrase-file', `${stage.dir}/young.pass`]
    const old = ['--old-passphrase-file', `${stage.dir}/old.pass`]
    for (const args of [['rotate'], ['revoke'], ['invite', 'x'], ['token', '--successor-of', `${stage.dir}/old`, ...old], ['token', '--successor-of', `${stage.dir}/old`, ...own]]) {
      const ran = await young.run('p2p-id', args)
      assert.equal([ran.code, ran.out], [77, ''], args.join(' '))
      assert.match(ran.err, /there is no terminal: use --(?:old-)?passphrase-file FILE or --(?:old-)?passphrase-fd N/)
    }
    assert.is(young.token(), before)
    const wrong = await young.run('p2p-id', ['rotate', '--passphrase-file', `${stage.dir}/old.pass`])
    assert.equal([wrong.code, young.token() === before, existsSync(young.at('transport.old.key'))], [77, true, false])
    assert.is((await young.run('p2p-id', ['token', '--successor-of', `${stage.dir}/old`, ...own, ...old])).code, 0)
    assert.is((await young.run('p2p-id', ['rotate', ...own])).code, 0)
    assert.equal(readdirSync(young.path).filter((name) => /tmp/.test(name)), [])
  }))

test('a key of over 90 days: doctor, p2p and one notice say that it is time for a new one', () =>
  Stage.with(async (stage) => {
    const [alice] = await stage.pair()
    const key = async (): Promise<Rec | undefined> => {
      const ran = await alice.run('p2p-id', ['doctor', '--json'])
      return ran.out.trim().split('\n').map((line) => JSON.parse(line) as Rec).find(({ name }) => name === 'key')
    }
    const next = async (): Promise<unknown> => (JSON.parse((await alice.run('p2p')).out) as Rec)['next']
    await alice.good('p2p-id', ['verify', '--ok', 'bob'])
    assert.equal([(await key())?.['ok'], (await key())?.['hint']], [true, undefined])
    const then = statSync(alice.at('transport.key')).mtimeMs / 1000 - 91 * DAY
    utimesSync(alice.at('transport.key'), then, then)
    assert.match(String((await key())?.['text']), /is 91 days old: time for a new one$/)
    assert.is((await key())?.['hint'], 'p2p-id rotate')
    const SUBJECT = 'your transport key is over 90 days old: p2p-id rotate'
    for (let round = 0; round < 2; round++) {
      const listener = await alice.listen()
      if (round === 0) assert.is((await listener.until('notice'))['text'], SUBJECT)
      if (round === 0) await alice.good('p2p-inbox', ['list', '--id']).then(async () => alice.run('p2p-inbox', ['seen', String((await alice.good('p2p-inbox', ['list']))[0]?.['id'])]))
      assert.is(await next(), 'p2p-id rotate')
      await listener.stop()
    }
    assert.equal((await alice.good('p2p-inbox', ['list'])).map(({ subject }) => subject), [SUBJECT])
    await alice.good('p2p-id', ['rotate'])
    assert.is((await key())?.['hint'], undefined)
  }))

test.run()
