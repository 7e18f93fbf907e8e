// Messages that their owner holds back, releases, drops or retries while they are being sent, and transfers that either
// side drops: whatever the order of words and renames, each message is at the other side once, or here, or was dropped.

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { fatesOf } from '../lib/delivery/fate.ts'
import * as queue from '../lib/disk/queue.ts'
import * as queueread from '../lib/disk/queueread.ts'
import type { Queued } from '../lib/disk/queued.ts'
import { readEvents } from '../lib/disk/queuelog.ts'
import { ends, links, outcomes, send, type Side, text, until, waiting, Wild, withPair } from './pair.ts'
import { noise, type Peer, port, Stage, until as happens } from './peer.ts'
import { Proxy } from './proxy.ts'

/** Alice's session with a wild bob, who was offered these. */
async function offered(alice: Side, count: number): Promise<{ all: Queued[]; peer: Wild; end: () => Promise<void> }> {
  const all = await send(alice, Array.from({ length: count }, (_, i) => [text(`${i}\n`)]))
  const pair = links()
  const session = await alice.station.session(pair.links[0], alice.contact, { oneShot: false, receive: true })
  const peer = new Wild(pair.links[1])
  await peer.begin()
  await until(() => peer.of('offer').flatMap(({ items }) => items).length === count)
  return {
    all,
    peer,
    async end() {
      await peer.link.send({ type: 'bye', code: 0 })
      await ends(session)
    },
  }
}

const states = async (side: Side): Promise<number[]> =>
  Promise.all((['new', 'hold', 'failed'] as const).map((state) => queueread.count(side.home, side.contact.key, state)))

test('an ACK after CANCEL counts, whoever dropped the transfer and wherever the message lies by then', async () => {
  await withPair(async (alice) => {
    const { all, peer, end } = await offered(alice, 4)
    const [held, dropped, theirs, kept] = all as [Queued, Queued, Queued, Queued]
    await queue.hold(alice.home, held)
    await queue.drop(alice.home, [dropped])
    await peer.link.send({ type: 'want', items: [held, dropped].map(({ id }) => ({ id, offset: 0 })) })
    await until(() => peer.of('cancel').length === 2)
    await peer.link.send({ type: 'cancel', id: theirs.id })
    await peer.link.send({ type: 'cancel', id: kept.id })
    // they had all of it before the CANCEL reached them
    await peer.link.send({ type: 'ack', ids: [held.id, dropped.id, theirs.id] })
    await until(() => outcomes(alice).length === 3)
    assert.equal(outcomes(alice).toSorted(), [held, dropped, theirs].map(({ id }) => `delivered ${id}`).toSorted())
    assert.equal(await states(alice), [1, 0, 0])
    const fates = await fatesOf(alice.home, all)
    assert.equal([fates.get(held.id)?.type, fates.get(dropped.id)?.type, fates.get(kept.id)], ['delivered', 'delivered', undefined])
    // said again, it is nothing new
    await peer.link.send({ type: 'ack', ids: [held.id, theirs.id] })
    await end()
    assert.is(outcomes(alice).length, 3)
    const delivered: string[] = []
    for await (const event of readEvents(alice.home, alice.contact.key)) if (event.event === 'delivered') delivered.push(event.id)
    assert.equal(delivered.toSorted(), [held.id, dropped.id, theirs.id].toSorted())
  })
})

test('a transfer that the other side drops is offered in the next session', async () => {
  await withPair(async (alice) => {
    const { peer, end } = await offered(alice, 1)
    const [{ id } = { id: '' }] = peer.of('offer').flatMap(({ items }) => items)
    await peer.link.send({ type: 'want', items: [{ id, offset: 0 }] })
    await until(() => peer.of('data').length === 1)
    await peer.link.send({ type: 'cancel', id })
    await end()
    assert.is(await waiting(alice), 1)
    const pair = links()
    const session = await alice.station.session(pair.links[0], alice.contact, { oneShot: false, receive: true })
    const again = new Wild(pair.links[1])
    await again.begin()
    await until(() => again.of('offer').some(({ items }) => items[0]?.id === id))
    await again.link.send({ type: 'have', ids: [id] })
    await until(() => outcomes(alice).length === 1)
    await again.link.send({ type: 'bye', code: 0 })
    await ends(session)
    assert.is(await waiting(alice), 0)
  })
})

/** Where each message is in the end: at bob (how often), or in one of alice's states. */
async function where(alice: Peer, bob: Peer, ids: string[]): Promise<Map<string, string>> {
  const there = await bob.ids()
  const here = new Map((await alice.good('p2p-queue', ['list'])).map(({ id, state }) => [String(id), String(state)]))
  return new Map(ids.map((id) => [id, `${there.filter((other) => other === id).length} ${here.get(id) ?? '-'}`]))
}

for (const by of ['a flush', 'a listener'] as const) {
  test(`hold, release, retry and drop while ${by} sends: nothing lost, nothing twice, and a dropped one stays dropped`, async () => {
    await Stage.with(async (stage) => {
      const bobsPort = await port()
      const proxy = await Proxy.open({ to: bobsPort })
      stage.onClose(() => proxy.close())
      const [alice, bob] = await stage.pair({}, { port: bobsPort, addr: [proxy.address] })
      bob.env['P2P_UDP'] = 'false' // past the proxy
      const [small, large] = [120, 12]
      const orders = [
        ...Array.from({ length: small }, (_, i) => ({ to: 'bob', text: `line ${i} ${'x'.repeat(2000)}` })),
        ...Array.from({ length: large }, (_, i) => ({ to: 'bob', file: alice.file(`f${i}`, noise(300_000, i)) })),
      ]
      const input = orders.map((order) => `${JSON.stringify(order)}\n`).join('')
      const ids = (await alice.good('p2p-send', ['--ndjson', '--queue-only'], { input })).map(({ id }) => String(id))
      const receiving = await bob.listen()
      // The line stands still at some byte, the owner changes his mind, it goes on.
      const stops = [3000, 150_000, 700_000, 1_500_000, 2_600_000]
      let standing: (() => void) | undefined
      proxy.onBytes = (crossing) => {
        if (standing !== undefined || crossing.up < (stops[0] ?? Infinity)) return
        stops.shift()
        crossing.hold()
        standing = () => {
          standing = undefined
          crossing.go()
        }
      }
      const sending = by === 'a flush' ? alice.start('p2p-queue', ['flush', '-w', '60s', '--json']) : await alice.listen()
      const every = (n: number, from = 0): string[] => ids.filter((_, at) => at % n === from)
      const change = async (verb: string, which: string[]): Promise<string[]> => {
        const ran = await alice.run('p2p-queue', [verb, ...which])
        assert.ok(ran.code === 0 || ran.code === 1, `${verb}: ${ran.code} ${ran.err}`) // 1: some are delivered by now
        return ran.out.split('\n').filter((line) => line.startsWith('{')).map((line) => String((JSON.parse(line) as { id: string }).id))
      }
      const dropped = new Set<string>()
      for (const turn of [0, 1, 2, 3, 4]) {
        await happens('the line stands', () => standing !== undefined || sending.over)
        if (sending.over) break
        const waits = new Set((await alice.good('p2p-queue', ['list'])).map(({ id }) => String(id)))
        const still = (which: string[]): string[] => which.filter((id) => waits.has(id))
        const held = still(every(3, turn % 3))
        if (held.length > 0) await change('hold', held)
        const go = standing as (() => void) | undefined
        if (turn % 2 === 1) go?.()
        const gone = still(every(11, turn))
        if (gone.length > 0) for (const id of await change('drop', gone)) dropped.add(id)
        if (held.length > 0) await change('release', held.filter((id) => !dropped.has(id)))
        const again = still(every(7, turn)).filter((id) => !dropped.has(id))
        if (again.length > 0) await change('retry', again)
        if (turn % 2 === 0) go?.()
      }
      if (by === 'a flush') await sending.ended
      await happens('all is settled', async () => {
        if (by === 'a flush') await alice.run('p2p-queue', ['flush', '-w', '60s'])
        return (await alice.waiting()).length === 0
      })
      const found = await where(alice, bob, ids)
      for (const [id, place] of found) {
        if (dropped.has(id)) assert.ok(place === '0 -' || place === '1 -', `${id}: ${place}`)
        else assert.is(place, '1 -', id)
      }
      assert.ok(dropped.size > 0)
      if (by === 'a listener') await sending.stop()
      assert.is((await receiving.stop()).code, 0, receiving.err)
      const left = [...alice.strays(), ...bob.strays()].filter((name) => !/^part\/[^/]+\/([0-9a-f]{64})\./.test(name))
      assert.equal(left, [], 'a dropped message may leave a part, for 14 days')
    })
  })
}

test.run()
