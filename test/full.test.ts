// A disk that is full at the sender: nothing new is accepted, and what waits is not stuck for it, since its going makes
// room. Nor are the ways to get rid of it: drop, hold, release. A full disk at the receiver: nothing is acknowledged
// that is not safe, what waits goes by itself when there is room. Real commands, on file systems that are really full.

import { execFileSync } from 'node:child_process'
import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { type Files, nodeFiles } from '../lib/disk/files.ts'
import { ends, inboxOf, send, sessions, short, text, waiting, withPair } from './pair.ts'
import { noise, pause, type Peer, port, Stage, until } from './peer.ts'
import { Proxy } from './proxy.ts'
import { enterNamespace, fillUp, type Kind, smallDisk } from './smalldisk.ts'

enterNamespace()

const MIB = 1 << 20
const KINDS: readonly Kind[] = ['tmpfs', 'ext4']

/** True if not one more byte can be written. */
function isFull(folder: string): boolean {
  try {
    execFileSync('sh', ['-c', 'echo x >"$1" && sync "$1"', 'sh', join(folder, 'one-more')], { stdio: 'pipe' })
    return false
  } catch {
    return true
  }
}

const types = async (peer: Peer, ...args: string[]): Promise<string[]> =>
  (await peer.good('p2p-queue', args)).map(({ type, reason }) => (typeof reason === 'string' ? `${String(type)} ${reason}` : String(type)))

for (const kind of KINDS) {
  test(`a sender whose disk is full (${kind}): drop, hold, release and delivery go on, and make room`, async () => {
    await Stage.with(async (stage) => {
      const disk = smallDisk(stage, kind, 24)
      if (disk === undefined) return
      const [alice, bob] = await stage.pair({ home: join(disk, 'alice') })
      const ids: string[] = []
      for (let i = 0; i < 4; i++) ids.push(await alice.queue('bob', ['-m', `word ${i}`]))
      const bytes = noise(3 * MIB, 1)
      ids.push(await alice.queue('bob', ['-a', alice.file('large', bytes)]))
      ids.push(await alice.queue('bob', ['-m', 'late', '--expires', '1s']))
      fillUp(disk)
      assert.ok(isFull(disk))
      const [dropped = '', held = '', , , , late = ''] = ids
      assert.equal(await types(alice, 'drop', dropped), ['dropped'])
      fillUp(disk, 'what drop gave back')
      assert.equal(await types(alice, 'hold', held), ['queued'])
      assert.equal(await types(alice, 'release', held), ['queued'])
      const refused = await alice.run('p2p-send', ['bob', '-m', 'more', '--queue-only'])
      assert.is(refused.code, 74, refused.err)
      const receiving = await bob.listen()
      await pause(1100) // what expires has expired, and waits: there is no room for its bounce
      const flushed = await alice.run('p2p-queue', ['flush', '-w', '60s'])
      assert.is(flushed.code, 0, flushed.err)
      const arrived = ids.slice(1, 5)
      assert.equal((await bob.ids()).toSorted(), arrived.toSorted())
      assert.equal((await alice.waiting()).filter((id) => arrived.includes(id)), [], 'ACKs are dealt with')
      assert.not(isFull(disk), 'there is room again')
      await alice.good('p2p-queue', ['flush'])
      assert.equal((await alice.good('p2p-queue', ['list'])).map(({ id, state, reason }) => [id, state, reason]), [[late, 'failed', 'expired']])
      assert.is((await receiving.stop()).code, 0, receiving.err)
      const held2 = (await bob.box('inbox')).flatMap(({ files }) => files)
      assert.equal(held2.map((file) => file.bytes), [bytes])
    })
  })
}

test('a disk that fills up under a listener with a session open: its queue empties all the same', async () => {
  await Stage.with(async (stage) => {
    const disk = smallDisk(stage, 'ext4', 24)
    if (disk === undefined) return
    const bobsPort = await port()
    const proxy = await Proxy.open({ to: bobsPort })
    stage.onClose(() => proxy.close())
    const [alice, bob] = await stage.pair({ home: join(disk, 'alice') }, { port: bobsPort, addr: [proxy.address] })
    bob.env['P2P_UDP'] = 'false' // past the proxy
    const receiving = await bob.listen()
    const input = Array.from({ length: 400 }, (_, i) => `${i} ${'x'.repeat(1000)}\n`).join('')
    const ids = (await alice.good('p2p-send', ['bob', '--lines', '--queue-only'], { input })).map(({ id }) => String(id))
    let free: (() => void) | undefined
    proxy.onBytes = (crossing) => {
      if (free !== undefined || crossing.up < 50_000) return
      crossing.hold()
      free = fillUp(disk)
      crossing.go()
    }
    const sending = await alice.listen()
    await until('all is there', async () => (await bob.ids()).length === ids.length)
    await until('all is settled', async () => (await alice.waiting()).length === 0)
    await until('all is told', () => sending.of('delivered').length >= ids.length) // which is later
    assert.ok(free !== undefined && !sending.over, sending.err)
    assert.equal(sending.of('delivered').map(({ id }) => String(id)).toSorted(), ids.toSorted())
    assert.equal(await bob.ids(), ids)
    free()
    await alice.send('bob', ['-m', 'room again'])
    assert.is((await sending.stop()).code, 0, sending.err)
    await receiving.stop()
    assert.equal([...alice.strays(), ...bob.strays()], [])
  })
})

for (const kind of KINDS) {
  test(`a receiver whose disk is full (${kind}) says so, keeps nothing half, and takes it when there is room`, async () => {
    await Stage.with(async (stage) => {
      const disk = smallDisk(stage, kind, 40)
      if (disk === undefined) return
      const [alice, bob] = await stage.pair({}, { home: join(disk, 'bob') })
      writeFileSync(bob.at('config.toml'), '[limits]\nfree = "1"\n') // no floor: the system itself says no
      const receiving = await bob.listen()
      const free = fillUp(disk)
      const ids = [await alice.queue('bob', ['-m', 'small']), await alice.queue('bob', ['-a', alice.file('large', noise(5 * MIB, 2))])]
      for (let turn = 0; turn < 2; turn++) {
        assert.equal(await types(alice, 'flush', '-w', '60s'), ['deferred peer-full', 'deferred peer-full'])
        assert.equal([await bob.ids(), await alice.waiting()], [[], ids])
        assert.ok(!receiving.over, receiving.err)
      }
      assert.equal(readdirSync(bob.at('inbox', 'new')), [])
      free()
      assert.equal(await types(alice, 'flush', '-w', '60s'), ['delivered', 'delivered'])
      assert.equal(await bob.ids(), ids)
      assert.is((await receiving.stop()).code, 0, receiving.err)
      assert.equal([...alice.strays(), ...bob.strays()], [])
    })
  })
}

test('without room even for what a receiver makes first, a session sends all the same, and the next one receives', async () => {
  let full = true
  const open: Files['open'] = (path, mode) =>
    full && path.endsWith('/seen') ? Promise.reject(Object.assign(new Error('full'), { code: 'ENOSPC' })) : nodeFiles.open(path, mode)
  await withPair(
    async (alice, bob) => {
      const [there, back] = [await send(alice, [[text('to bob\n')]]), await send(bob, [[text('to alice\n')]])]
      const one = await sessions(alice, bob)
      assert.equal(await ends(one.a, one.b), ['done', 'done'])
      assert.equal([await inboxOf(alice), await inboxOf(bob)], [short(back), []])
      assert.equal([await waiting(alice), await waiting(bob)], [1, 0])
      full = false
      const two = await sessions(alice, bob)
      assert.equal(await ends(two.a, two.b), ['done', 'done'])
      assert.equal([await inboxOf(bob), await waiting(alice)], [short(there), 0])
    },
    { open },
  )
})

test.run()
