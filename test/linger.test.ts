// p2p-queue flush --linger: two homes with nothing but cron meet if their clocks agree well enough. Beside that: what a
// flush does when somebody else does its work, and that overlapping lines of crontab do no harm.
// test timeout: 300 s

import { existsSync, readdirSync } from 'node:fs'
import { createServer } from 'node:net'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { openHome } from '../lib/disk/home.ts'
import { tryLock } from '../lib/disk/lock.ts'
import type { Link } from '../lib/net/link.ts'
import type { Frame } from '../lib/wire/frame.ts'
import { answerAs, SETTINGS } from './caller.ts'
import { pause, type Peer, Stage, until } from './peer.ts'
import { records } from './records.ts'

const flush = (peer: Peer, ...args: string[]): ReturnType<Peer['start']> => peer.start('p2p-queue', ['flush', '--json', ...args])
const types = (list: Record<string, unknown>[]): unknown[] => list.map(({ type }) => type)

test('two homes that only flush, one two seconds after the other: both queues move', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const there = [await alice.queue('bob', ['-m', 'one']), await alice.queue('bob', ['-m', 'two'])]
    const back = await bob.queue('alice', ['-m', 'three'])
    const first = flush(alice, '--linger', '7s')
    await first.until('deferred', ({ id }) => id === there[1]) // its pass was in vain
    await pause(2000)
    const second = flush(bob, '--linger', '1s')
    assert.equal((await second.ended).code, 0, second.err)
    assert.equal((await first.ended).code, 0, first.err)
    assert.equal([await bob.ids(), await alice.ids()], [there, [back]])
    assert.equal(types(second.records), ['delivered'])
    assert.equal(types(first.records), ['deferred', 'deferred', 'delivered', 'delivered'], 'later news follow')
    assert.equal([...alice.strays(), ...bob.strays()], [])
    for (const peer of [alice, bob]) {
      assert.not.ok(existsSync(peer.at('listen.sock')))
      assert.equal(readdirSync(peer.at('lock')), [])
    }
  })
})

test('who lingers can be called, and takes what this home queues meanwhile', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const lingering = flush(alice, '--linger', '1h')
    await until('the socket', () => existsSync(alice.at('listen.sock')))
    await bob.send('alice', ['-m', 'are you there?'])
    const listener = await bob.listen()
    await alice.send('bob', ['-m', 'yes']) // through the one that lingers
    const flushed = await alice.run('p2p-queue', ['flush', '--linger', '1h'])
    assert.equal([flushed.code, flushed.err], [0, ''], 'it asks the other one and returns')
    const stays = await alice.listen() // one that is there to stay: who lingers gives way
    assert.is((await lingering.ended).code, 0, lingering.err)
    assert.equal(types(lingering.records), ['delivered'])
    const one = await alice.run('p2p-listen', ['-v'])
    assert.is(one.code, 75)
    assert.match(one.err, /a listener already runs for/)
    await stays.stop()
    await listener.stop()
    assert.equal([(await alice.ids()).length, (await bob.ids()).length], [1, 1])
  })
})

test('one that has the lock and cannot be asked yet, or any more, is waited for', async () => {
  await Stage.with(async (stage) => {
    const alice = await stage.peer('alice')
    const lock = await tryLock(await openHome({ flag: alice.path, env: {} }), 'listener')
    assert.ok(lock)
    const stays = alice.start('p2p-listen', ['--json'])
    await pause(1500)
    assert.not.ok(stays.over, stays.err)
    await lock.release()
    await stays.until('listening')
    await stays.stop()
  })
})

test('NAME: nobody else is called; a signal ends it', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const eve = await stage.peer('eve')
    eve.env['P2P_UDP'] = 'false' // she does not call by herself
    await alice.meet(eve)
    const [left, right] = [await bob.listen(), await eve.listen()]
    const lingering = flush(alice, 'bob', '--linger', 'inf')
    await left.until('peer', ({ name, state }) => name === 'alice' && state === 'up')
    await pause(500)
    assert.equal(right.of('peer'), [])
    await eve.send('alice', ['-m', 'from somebody else'])
    const ended = await lingering.stop()
    assert.equal([ended.code, ended.signal], [null, 'SIGTERM'])
    console.log(`# ended within ${Math.round(ended.ms)} ms of SIGTERM`)
    assert.not.ok(existsSync(alice.at('listen.sock')))
    await Promise.all([left.stop(), right.stop()])
  })
})

test('-w bounds the pass, not the lingering: 75 at the end', async () => {
  await Stage.with(async (stage) => {
    // a port that takes calls and never answers
    const silent = createServer((socket) => void socket.resume().on('error', () => undefined))
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
    stage.onClose(() => new Promise<void>((resolve) => silent.close(() => resolve())))
    const address = silent.address()
    const port = typeof address === 'object' ? address?.port : 0
    const [alice, bob] = await stage.pair({}, { addr: [`127.0.0.1:${port}`] })
    await alice.queue('bob', ['-m', 'x'])
    const lingering = flush(alice, '-w', '1s', '--linger', '6s')
    await lingering.until('deferred')
    await bob.send('alice', ['-m', 'in the time after it'])
    assert.is((await lingering.ended).code, 75, lingering.err)
    assert.equal(await alice.ids().then((ids) => ids.length), 1)
    const plain = await alice.run('p2p-queue', ['flush', '-w', '1s'])
    assert.is(plain.code, 75)
  })
})

test('another flush does the pass: 75, silent unless asked', async () => {
  await Stage.with(async (stage) => {
    const silent = createServer((socket) => void socket.resume().on('error', () => undefined))
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
    stage.onClose(() => new Promise<void>((resolve) => silent.close(() => resolve())))
    const address = silent.address()
    const port = typeof address === 'object' ? address?.port : 0
    const [alice] = await stage.pair({}, { addr: [`127.0.0.1:${port}`] })
    const first = flush(alice) // for ten seconds
    await until('its lock', () => existsSync(alice.at('lock', 'flush.lock')))
    for (const args of [[], ['--linger', '50s']]) {
      const other = await alice.run('p2p-queue', ['flush', ...args])
      assert.equal([other.code, other.out, other.err], [75, '', ''])
    }
    const told = await alice.run('p2p-queue', ['flush', '-v'])
    assert.equal([told.code, told.err], [75, 'p2p-queue: another process is delivering right now\n'])
    assert.is((await first.ended).code, 0)
  })
})

test('a contact that keeps a pass for itself does not keep it from the others', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const mallory = await stage.peer('mallory')
    await alice.meet(mallory)
    const held: Link[] = []
    stage.onClose(await answerAs(mallory, (link) => {
      held.push(link) // she talks, and never says that she has nothing more
      void link.receive().then(() => link.send({ ...SETTINGS, flags: 0 } as Frame))
    }))
    await alice.queue('bob', ['-m', 'one'])
    const first = flush(alice)
    await until('her call', () => held.length > 0)
    await first.until('deferred') // bob was away
    const listener = await bob.listen()
    const second = await alice.run('p2p-queue', ['flush'])
    assert.is(second.code, 0, second.err)
    assert.equal(types(records(second.out)), ['delivered'])
    assert.is(held.length, 1, 'she was not called twice')
    const third = await alice.run('p2p-queue', ['flush', 'mallory'])
    assert.equal([third.code, third.out, third.err], [75, '', ''], 'that pass is the first one')
    assert.not.ok(first.over)
    await first.stop()
    await listener.stop()
    for (const link of held) link.close()
  })
})

test('a contact with whom every session breaks at once is called once more for a message, and not for ever', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const listener = await alice.listen() // which finds nobody yet
    let calls = 0
    stage.onClose(await answerAs(bob, (link) => {
      calls++
      void link.receive().then(() => link.close())
    }))
    const { code, out } = await alice.run('p2p-send', ['bob', '-m', 'one', '-w', '20s', '--json'])
    const [, outcome] = records(out)
    assert.equal([code, outcome?.['reason']], [75, 'lost'])
    assert.ok(calls === 2 || calls === 3, `${calls} calls`) // the listener's own look at the queue may fall between
    await listener.stop()
  })
})

test('a port that is taken: the pass is done, then 78', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const other = createServer((socket) => void socket.resume().on('error', () => undefined))
    await new Promise<void>((resolve) => other.listen(alice.home.port, '127.0.0.1', resolve))
    stage.onClose(() => new Promise<void>((resolve) => other.close(() => resolve())))
    const id = await alice.queue('bob', ['-m', 'x'])
    const listener = await bob.listen()
    const ran = await alice.run('p2p-queue', ['flush', '--linger', '5s'])
    assert.is(ran.code, 78, ran.err)
    assert.match(ran.err, /port \d+ is taken/)
    assert.equal(types(records(ran.out)), ['delivered'])
    assert.equal(await bob.ids(), [id])
    await listener.stop()
  })
})

test.run()
