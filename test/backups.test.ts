// Homes that are put back to an older state, and homes that run twice: nothing is lost that either side still has,
// nothing comes twice unless its record is gone and then it is marked, whatever is said is understood, and two copies
// in use at once are noticed on both sides. Real commands; copies are made with cp while nothing runs in them.

import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { hex } from '../lib/base/bytes.ts'
import { nodeSuite } from '../lib/crypto/suite-node.ts'
import { type Home, openHome, parseHomeFile, realDoors } from '../lib/disk/home.ts'
import { instanceOf } from '../lib/disk/instance.ts'
import { parseToken } from '../lib/wire/token.ts'
import { helloOf, knock } from './caller.ts'
import { noise, pause, type Peer, Stage, until } from './peer.ts'

const MIB = 1 << 20

/** Whole homes, as cp -a makes them. */
function keep(peer: Peer, name: string): () => void {
  const copy = `${peer.path}.${name}`
  execFileSync('cp', ['-a', peer.path, copy])
  return () => {
    rmSync(peer.path, { recursive: true })
    execFileSync('cp', ['-a', copy, peer.path])
  }
}

/** Ids in the inbox, each once however often it is there. */
async function heldBy(peer: Peer): Promise<{ ids: string[]; marked: string[] }> {
  const ids: string[] = []
  const marked: string[] = []
  for (const { id, path } of await peer.good('p2p-inbox', ['list'])) {
    ids.push(String(id))
    if (/^X-P2P-Possible-Duplicate: yes$/m.test(readFileSync(String(path), 'latin1'))) marked.push(String(id))
  }
  return { ids, marked }
}

const flush = async (peer: Peer): Promise<string[]> =>
  (await peer.good('p2p-queue', ['flush', '-w', '60s'])).map(({ type, id }) => `${String(type)} ${String(id)}`)

/** Creation times that the home has given out, the last one. */
const lastStamp = (peer: Peer): bigint => BigInt(execFileSync('ls', [peer.at('queue', 'clock')], { encoding: 'utf8' }).trim())

const lastHello = (peer: Peer): bigint =>
  existsSync(peer.at('hello', 'last')) ? BigInt(readFileSync(peer.at('hello', 'last'), 'utf8')) : 0n

test("a sender's home is put back: what was delivered since is not sent twice, what comes after is understood", async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const small = await alice.queue('bob', ['-m', 'before'])
    const large = await alice.queue('bob', ['-a', alice.file('large', noise(3 * MIB, 1))])
    const putBack = keep(alice, 'week')
    const listener = await bob.listen()
    assert.equal(await flush(alice), [`delivered ${small}`, `delivered ${large}`])
    const later = [await alice.send('bob', ['-m', 'one']), await alice.send('bob', ['-m', 'two'])]
    await bob.queue('alice', ['-m', 'a word back'])
    await alice.good('p2p-queue', ['flush'])
    assert.is((await alice.ids()).length, 1)
    const [stamp, hello] = [lastStamp(alice), lastHello(alice)]
    await alice.good('p2p-id', ['token', '--addr', '127.0.0.1', '--addr', '203.0.113.9'])
    const { seq } = parseToken(alice.token())
    await alice.send('bob', ['-m', 'with a new token'])

    putBack()
    assert.ok(parseToken(alice.token()).seq < seq)
    const older = lastHello(alice)
    assert.ok(older < hello)
    assert.equal(await flush(alice), [`delivered ${small}`, `delivered ${large}`], 'he has them: HAVE')
    const after = await alice.send('bob', ['-m', 'after'])
    assert.ok(lastStamp(alice) > stamp, 'creation times go on increasing')
    assert.ok(lastHello(alice) > older, 'and so do hellos') // up to a second of chance in them: not all above the lost one
    await alice.good('p2p-id', ['token', '--addr', '127.0.0.1', '--addr', '203.0.113.10'])
    assert.ok(parseToken(alice.token()).seq > seq, 'and the numbers of tokens')
    const last = await alice.send('bob', ['-m', 'with a newer token'])
    const { ids, marked } = await heldBy(bob)
    assert.is(new Set(ids).size, ids.length, 'nothing twice')
    assert.equal(marked, [])
    assert.equal(ids.filter((id) => [small, large, ...later, after, last].includes(id)).length, 6)
    const back = await bob.queue('alice', ['-m', 'another word'])
    await alice.good('p2p-queue', ['flush'])
    assert.equal(await alice.ids(), [back], 'a Maildir that was put back lacks what came since')
    assert.is((await listener.stop()).code, 0, listener.err)
    assert.equal([...alice.strays(), ...bob.strays()], [])
  })
})

test("a receiver's home is put back: what its sender still has comes, once, and from where it was", async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    let listener = await bob.listen()
    const first = await alice.send('bob', ['-m', 'before'])
    const bytes = noise(40 * MIB, 2)
    const large = await alice.queue('bob', ['-a', alice.file('large', bytes)])
    // Bob's home with a third of it, alice's with all of it waiting
    const calling = alice.start('p2p-queue', ['flush', '-w', '60s', '--json'])
    await until('a part', () => partOf(bob, alice) > 17 * MIB)
    await listener.kill()
    await calling.ended
    const [bobBack, aliceBack] = [keep(bob, 'week'), keep(alice, 'week')]
    listener = await bob.listen()
    assert.equal(await flush(alice), [`delivered ${large}`])
    const gone = await alice.send('bob', ['-m', 'during the week'])
    await listener.stop()

    bobBack()
    aliceBack()
    listener = await bob.listen()
    assert.equal(await flush(alice), [`delivered ${large}`])
    const after = await alice.send('bob', ['-m', 'after'])
    const { ids, marked } = await heldBy(bob)
    assert.equal([ids, marked], [[first, large, after], []])
    assert.not(ids.includes(gone), 'nobody has it any more')
    assert.equal((await bob.box('inbox'))[1]?.files[0]?.bytes, bytes)
    assert.is((await listener.stop()).code, 0, listener.err)
    assert.equal([...alice.strays(), ...bob.strays()], [])
  })
})

function partOf(bob: Peer, alice: Peer): number {
  const folder = bob.at('part', alice.key)
  if (!existsSync(folder)) return 0
  return Number(execFileSync('du', ['-sb', folder], { encoding: 'utf8' }).split('\t')[0])
}

test("only the record of deliveries is put back: a duplicate is marked, also by a later listener, and nothing else is", async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    let listener = await bob.listen()
    const first = await alice.send('bob', ['-m', 'before'])
    const old = readFileSync(bob.at('seen'))
    const twice = await alice.queue('bob', ['-m', 'twice'])
    const large = await alice.queue('bob', ['-a', alice.file('large', noise(2 * MIB, 3))])
    const unacknowledged = keep(alice, 'unacknowledged')
    await flush(alice)
    unacknowledged()
    await listener.stop()
    writeFileSync(bob.at('seen'), old)
    assert.match((await bob.run('p2p-id', ['doctor', '--text'])).out, /^BAD +restore +'seen' knows nothing of 2 messages/m)
    listener = await bob.listen()
    // The newest record is younger than those two again, and the next listener knows nothing of what this one saw.
    const [eve] = [await stage.peer('eve')]
    await eve.meet(bob)
    await listener.stop()
    listener = await bob.listen()
    const other = await eve.send('bob', ['-m', 'meanwhile'])
    await listener.stop()
    listener = await bob.listen()
    assert.equal(await flush(alice), [`delivered ${twice}`, `delivered ${large}`])
    const after = await alice.send('bob', ['-m', 'after'])
    const { ids, marked } = await heldBy(bob)
    assert.equal(ids.toSorted(), [first, twice, twice, large, large, other, after].toSorted())
    assert.equal(marked.toSorted(), [twice, large].toSorted(), 'the second of each')
    // gone altogether
    await listener.stop()
    rmSync(bob.at('seen'))
    rmSync(bob.at('seen.index'), { recursive: true, force: true })
    unacknowledged()
    listener = await bob.listen()
    assert.equal(await flush(alice), [`delivered ${twice}`, `delivered ${large}`])
    assert.equal((await heldBy(bob)).marked.filter((id) => id === twice).length, 2)
    assert.is((await listener.stop()).code, 0, listener.err)
  })
})

test('a hello that was recorded before a home was put back moves nothing', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const putBack = keep(bob, 'week')
    let listener = await bob.listen()
    const hello = await helloOf(alice, bob)
    const first = await knock(bob.home.port)
    first.socket.write(hello)
    await until('an answer', () => first.came().length === 768)
    first.socket.destroy()
    await listener.stop()
    putBack()
    await bob.queue('alice', ['-m', 'for alice alone'])
    listener = await bob.listen()
    const replay = await knock(bob.home.port)
    replay.socket.write(hello)
    await pause(1000)
    assert.ok(replay.came().length <= 768, 'nothing follows the answer')
    assert.equal([(await bob.waiting()).length, await bob.ids()], [1, []])
    replay.socket.destroy()
    const id = await alice.send('bob', ['-m', 'still understood'])
    assert.equal(await bob.ids(), [id])
    await listener.stop()
  })
})

test('two copies of a home at once: their contact and both owners are told, and each message arrives once', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const listener = await bob.listen()
    const both = await alice.queue('bob', ['-m', 'waits in both'])
    execFileSync('cp', ['-a', alice.path, join(stage.dir, 'twin')])
    const twin = await stage.enter('twin')
    Object.assign(twin.env, alice.env)
    const sent = [await alice.send('bob', ['-m', 'one'])]
    sent.push(await twin.send('bob', ['-m', 'two']))
    assert.equal(await clones(bob, alice, twin), [[], [], []], 'a home may move')
    sent.push(await alice.send('bob', ['-m', 'three']))
    const told = await listener.until('notice')
    assert.is(told['text'], 'two copies of the home of alice are in use at once')
    sent.push(await twin.send('bob', ['-m', 'four']))
    sent.push(await alice.send('bob', ['-m', 'five']))
    assert.is(listener.of('notice').length, 1, 'said once')
    const ours = ['bob met two copies of this home in turns: each has only a part of the mail; keep one']
    assert.equal(await clones(bob, alice, twin), [
      ['two copies of the home of alice are in use at once: tell them to stop one'],
      ours,
      ours,
    ])
    assert.is((await bob.run('p2p-id', ['doctor'])).code, 1)
    assert.equal((await bob.ids()).toSorted(), [both, ...sent].toSorted())
    assert.equal(await twin.waiting(), [], 'HAVE')
    assert.is((await listener.stop()).code, 0)
  })
})

test('a contact that calls tells both copies, too; a home that moves, or is put back, is no second one', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    let listener = await bob.listen()
    await alice.send('bob', ['-m', 'one'])
    // put back in its place, then moved, then put back elsewhere
    const putBack = keep(alice, 'week')
    await alice.send('bob', ['-m', 'two'])
    putBack()
    await alice.send('bob', ['-m', 'three'])
    await alice.send('bob', ['-m', 'four'])
    execFileSync('mv', [alice.path, join(stage.dir, 'moved')])
    const moved = await stage.enter('moved')
    Object.assign(moved.env, alice.env)
    await moved.send('bob', ['-m', 'five'])
    assert.equal(await clones(bob, moved), [[], []])
    execFileSync('cp', ['-a', `${alice.path}.week`, join(stage.dir, 'other')])
    const other = await stage.enter('other')
    Object.assign(other.env, alice.env)
    await other.send('bob', ['-m', 'six'])
    assert.equal(await clones(bob, moved, other), [[], [], []])
    // now both are used, and it is bob who calls
    await moved.send('bob', ['-m', 'seven'])
    await listener.stop()
    for (const one of [moved, other]) {
      listener = await one.listen()
      await bob.queue('alice', ['-m', 'to one of you'])
      await bob.good('p2p-queue', ['flush'])
      await listener.stop()
    }
    const [theirs, first, second] = await clones(bob, moved, other)
    assert.equal([theirs?.length, first?.length, second?.length], [1, 1, 1])
  })
})

/** What doctor says of copies, of each of these homes. */
async function clones(...peers: Peer[]): Promise<string[][]> {
  const found: string[][] = []
  for (const peer of peers) {
    const ran = await peer.run('p2p-id', ['doctor', '--json'])
    const checks = ran.out.trim().split('\n').map((line) => JSON.parse(line) as { name: string; ok: boolean; text: string })
    found.push(checks.filter(({ name, ok }) => name === 'clones' && !ok).map(({ text }) => text))
  }
  return found
}

/** The same home as another machine, or another boot of it, would open it. */
async function elsewhere(path: string, facts: { machine?: string; boot?: string; writable?: boolean } = {}): Promise<Home> {
  const { machine = 'm1', boot = 'b1', writable = true } = facts
  const files = {
    ...realDoors.files,
    async read(name: string) {
      if (name === '/etc/machine-id') return Buffer.from(`${machine}\n`)
      if (name === '/proc/sys/kernel/random/boot_id') return Buffer.from(`${boot}\n`)
      return realDoors.files.read(name)
    },
    async rename(from: string, to: string) {
      if (!writable) throw Object.assign(new Error('EROFS'), { code: 'EROFS' })
      await realDoors.files.rename(from, to)
    },
  }
  return openHome({ flag: path, env: {} }, { ...realDoors, files })
}

test('an instance stays with its place, changes by half with a boot, and never comes back', async () => {
  await Stage.with(async (stage) => {
    const alice = await stage.peer('alice')
    const at = async (facts = {}, path = alice.path): Promise<string> =>
      hex(await instanceOf(await elsewhere(path, facts), nodeSuite))
    const half = (instance: string): string => instance.slice(0, 8)
    const one = await at()
    assert.match(one, /^[0-9a-f]{16}$/)
    assert.is(await at(), one)
    const { ino } = statSync(alice.at('home.json'))
    assert.is(await at(), one)
    assert.is(statSync(alice.at('home.json')).ino, ino, 'nothing is written for what is known')
    const booted = await at({ boot: 'b2' })
    assert.is(half(booted), half(one))
    assert.is.not(booted, one)
    execFileSync('cp', ['-a', alice.path, join(stage.dir, 'twin')])
    const twin = await at({}, join(stage.dir, 'twin'))
    assert.is.not(half(twin), half(one), 'a copy')
    const carried = await at({ machine: 'm2' })
    assert.is.not(half(carried), half(one), 'a disk that was carried to another machine')
    const home = await at()
    assert.not([half(one), half(carried)].includes(half(home)), 'and back: no copy is in use')
    const all = await Promise.all(Array.from({ length: 4 }, () => at({ machine: 'm3' })))
    assert.is(new Set(all).size, 1, 'four commands at once agree')
    const before = readFileSync(alice.at('home.json'), 'utf8')
    const unwritten = await at({ machine: 'm4', writable: false })
    assert.is.not(half(unwritten), half(all[0] as string))
    assert.is(readFileSync(alice.at('home.json'), 'utf8'), before)
    const { port, place } = parseHomeFile(before, alice.path)
    assert.equal([port, typeof place], [alice.home.port, 'string'])
  })
})

test.run()
