// PUSH, p2p-wire(7): a small message that goes unasked, in the caller's first words already.

import { writeFile } from 'node:fs/promises'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import type { Session } from '../lib/delivery/session.ts'
import { realDoors } from '../lib/disk/home.ts'
import { headPath, type Queued } from '../lib/disk/queued.ts'
import { type Frame, PUSH_MAX, REFUSE, SEND_ONLY } from '../lib/wire/frame.ts'
import { FEATURES } from '../lib/wire/hello.ts'
import { ends, envelope, file, inboxOf, links, outcomes, pattern, pieces, send, sessions, short, type Side, text, until, waiting, Wild, wild, withPair } from './pair.ts'
import { pause } from './peer.ts'

/** Alice's session with a wild Bob whom she calls and who has said nothing yet. */
async function calling(alice: Side, features = FEATURES): Promise<{ peer: Wild; session: Session }> {
  const pair = links(features)
  const session = await alice.station.session(pair.links[0], alice.contact, { oneShot: true, receive: false })
  const peer = new Wild(pair.links[1])
  void peer.listen()
  return { peer, session }
}

/** What was heard so far, PAD and ADDRS aside. */
const types = (peer: Wild): string[] => peer.heard.map(({ type }) => type).filter((type) => type !== 'pad' && type !== 'addrs')
const settings = (flags = 0): Frame => ({ type: 'settings', features: 0, flags, maxMessage: 2 ** 30, instance: new Uint8Array(8) })

test('a caller sends little messages behind its settings, before the other side has said a word', async () => {
  await withPair(async (alice, bob) => {
    const queued = await send(alice, [[text('one\n')], [text('two\n')]])
    const { peer, session } = await calling(alice)
    await until(() => peer.of('offer').length > 0)
    assert.equal(types(peer), ['settings', 'push', 'push', 'offer'])
    assert.equal(peer.of('push').map(({ id, bytes }) => [id, bytes.length]), queued.map(({ id, size }) => [id, size]))
    assert.equal(peer.of('offer'), [{ type: 'offer', items: [] }])
    await peer.link.send(settings())
    await peer.link.send({ type: 'ack', ids: queued.map(({ id }) => id) })
    assert.equal(await ends(session), ['done'])
    assert.equal(outcomes(alice), queued.map(({ id }) => `delivered ${id}`))
    assert.equal(types(peer).slice(4), ['bye'], 'nothing was said twice')
    assert.is(await waiting(bob), 0)
  })
})

test('not to one that does not understand it, not many, not long ones: those are offered, and asked for', async () => {
  await withPair(async (alice, bob) => {
    const said = async (features?: number): Promise<string[]> => {
      const { peer, session } = await calling(alice, features)
      await until(() => peer.of('settings').length > 0)
      await pause(200) // enough to say what must not be said
      const before = types(peer)
      await peer.link.send(settings())
      await until(() => peer.of('offer').some(({ items }) => items.length === 0))
      peer.link.close()
      await session.ended
      return [before.join(' '), types(peer).slice(1).join(' ')]
    }
    await send(alice, [[text('one\n')]])
    assert.equal(await said(0), ['settings', 'offer offer'])
    await send(alice, [[file(pattern(PUSH_MAX))]])
    assert.equal(await said(), ['settings', 'offer offer'])
    await send(alice, [[text('three\n')]])
    assert.equal(await said(), ['settings', 'offer offer'])
    const { a, b } = await sessions(alice, bob)
    await ends(a, b)
    assert.equal([(await inboxOf(bob)).length, await waiting(alice)], [3, 0])
  })
})

test('a caller that has nothing says so, and waits for what the other side has', async () => {
  await withPair(async (alice) => {
    const { peer, session } = await calling(alice)
    await until(() => peer.of('offer').length > 0)
    await pause(200)
    assert.equal(types(peer), ['settings', 'offer'])
    await peer.link.send(settings())
    assert.equal(await ends(session), ['done'])
    assert.equal(types(peer), ['settings', 'offer', 'bye'])
  })
})

test('in a session that is there a new message goes at once', async () => {
  await withPair(async (alice) => {
    const { wild: peer, session } = await wild(alice, {}, FEATURES)
    const [queued] = (await send(alice, [[text('one\n')]])) as [Queued]
    session.poke()
    await until(() => peer.of('push').length > 0)
    assert.is(peer.of('push')[0]?.id, queued.id)
    await peer.link.send({ type: 'want', items: [{ id: queued.id, offset: 0 }] }) // what had no room for it asks for it
    await until(() => peer.of('data').length > 0)
    await peer.link.send({ type: 'ack', ids: [queued.id] })
    await until(async () => (await waiting(alice)) === 0)
    assert.ok(peer.of('offer').every(({ items }) => items.length === 0))
    peer.link.close()
    await session.ended
  })
})

test('one that only sends passes it over, and it stays', async () => {
  await withPair(async (alice, bob) => {
    const queued = await send(alice, [[text('one\n')]])
    const { peer, session } = await calling(alice)
    await until(() => peer.of('push').length > 0)
    await peer.link.send(settings(SEND_ONLY))
    assert.equal(await ends(session), ['done'])
    assert.equal([outcomes(alice), await waiting(alice)], [[], 1])
    const pair = links(FEATURES)
    const only = await bob.station.session(pair.links[1], bob.contact, { oneShot: false, receive: false })
    const wildly = new Wild(pair.links[0])
    await wildly.begin()
    await wildly.link.send({ type: 'push', id: queued[0]?.id ?? '', bytes: new Uint8Array(9) })
    await wildly.link.send({ type: 'ping', bytes: new Uint8Array(8) })
    await until(() => wildly.of('pong').length > 0)
    wildly.link.close()
    await only.ended
  })
})

test('one that says so while the queue is still looked at gets nothing, and nothing is given up', async () => {
  let look = (): void => undefined
  let gate = Promise.resolve()
  const files = {
    async list(path: string) {
      const found = await realDoors.files.list(path)
      if (path.endsWith('/opts')) {
        look()
        await gate
      }
      return found
    },
  }
  await withPair(async (_, bob) => {
    for (let count = 1; count <= 6; count++) {
      await send(bob, [[text(`${count}\n`)]])
      const pair = links(FEATURES)
      const looking = new Promise<void>((resolve) => (look = resolve))
      let open = (): void => undefined
      gate = new Promise((resolve) => (open = resolve))
      const session = await bob.station.session(pair.links[0], bob.contact, { oneShot: true, receive: false })
      const peer = new Wild(pair.links[1])
      void peer.listen()
      await looking
      await peer.link.send(settings(SEND_ONLY))
      await session.ready
      open()
      assert.equal(await ends(session), ['done'])
      assert.equal([outcomes(bob), await waiting(bob)], [[], count])
      assert.equal(types(peer), ['settings', 'offer', 'bye'])
      assert.equal(peer.of('offer')[0]?.items, [])
    }
  }, files)
})

test('a beginning that is pushed as if it were the whole ends nothing but its own session', async () => {
  await withPair(async (alice, bob) => {
    for (let n = 0; n < 20; n++) {
      const { wild: peer, session } = await wild(bob)
      const { head, bytes } = envelope(alice, [{ bytes: pattern(150_000, n) }])
      const id = head.id
      void peer.link.send({ type: 'offer', items: [{ id, size: bytes.length }] })
      void peer.link.send({ type: 'push', id, bytes: bytes.subarray(0, PUSH_MAX) })
      await until(() => peer.of('want').length > 0)
      for (const frame of pieces(id, bytes, head.bytes.length)) await peer.link.send(frame).catch(() => undefined)
      await until(() => peer.over)
      const { end, error } = await session.ended
      assert.equal([end, error], ['offended', undefined])
    }
    assert.equal(await inboxOf(bob), [])
  })
})

test('one that is gone, or damaged, is not pushed: it is told as without', async () => {
  await withPair(async (alice, bob) => {
    const [damaged, good] = (await send(alice, [[text('one\n')], [text('two\n')]])) as [Queued, Queued]
    await writeFile(headPath(alice.home, damaged), 'nonsense')
    const { a, b } = await sessions(alice, bob)
    await ends(a, b)
    assert.equal(outcomes(alice).sort(), [`delivered ${good.id}`, `failed damaged ${damaged.id}`])
    assert.equal(await inboxOf(bob), short([good]))
  })
})

test('what comes unasked is committed and acknowledged, once, without being asked for', async () => {
  await withPair(async (alice, bob) => {
    const { wild: peer, session } = await wild(bob)
    const { head, bytes } = envelope(alice, [{ type: 'text/plain', bytes: pattern(500) }])
    for (let n = 1; n <= 3; n++) await peer.link.send({ type: 'push', id: head.id, bytes })
    await until(() => peer.of('ack').length > 0)
    await peer.link.send({ type: 'push', id: head.id, bytes })
    await until(() => peer.of('have').length > 0)
    assert.equal([peer.of('ack'), peer.of('have'), peer.of('want')], [[{ type: 'ack', ids: [head.id] }], [{ type: 'have', ids: [head.id] }], []])
    assert.equal(await inboxOf(bob), short([head]))
    await peer.link.send({ type: 'push', id: 'ab'.repeat(32), bytes })
    await until(() => peer.of('refuse').length > 0)
    assert.is(peer.of('refuse')[0]?.code, REFUSE.MALFORMED)
    await peer.link.send({ type: 'bye', code: 0 })
    assert.equal(await ends(session), ['done'])
    assert.is((await inboxOf(bob)).length, 1)
  })
})

test('what there is no room for is asked for', async () => {
  await withPair(async (alice, bob) => {
    const { wild: peer, session } = await wild(bob)
    const made = Array.from({ length: 40 }, (_, i) => envelope(alice, [{ bytes: pattern(PUSH_MAX - 300, i) }]))
    for (const { head, bytes } of made) void peer.link.send({ type: 'push', id: head.id, bytes })
    const wanted = new Set<string>()
    await until(async () => {
      for (const { id } of peer.of('want').flatMap(({ items }) => items)) {
        const found = made.find(({ head }) => head.id === id)
        if (!wanted.has(id) && found !== undefined) await peer.link.send({ type: 'data', id, offset: 0, bytes: found.bytes })
        wanted.add(id)
      }
      return peer.of('ack').flatMap(({ ids }) => ids).length === made.length
    })
    assert.ok(wanted.size > 0 && wanted.size < made.length, `${wanted.size} were asked for`)
    assert.equal(await inboxOf(bob), short(made.map(({ head }) => head)))
    await peer.link.send({ type: 'bye', code: 0 })
    assert.equal(await ends(session), ['done'])
  })
})

test('what is being asked for already is taken from where it was asked for', async () => {
  await withPair(async (alice, bob) => {
    const { wild: peer, session } = await wild(bob)
    const { head, bytes } = envelope(alice, [{ type: 'text/plain', bytes: pattern(500) }])
    await peer.link.send({ type: 'offer', items: [{ id: head.id, size: bytes.length }] })
    await until(() => peer.of('want').length > 0)
    await peer.link.send({ type: 'data', id: head.id, offset: 0, bytes: bytes.subarray(0, 100) })
    await peer.link.send({ type: 'push', id: head.id, bytes })
    await peer.link.send({ type: 'data', id: head.id, offset: 100, bytes: bytes.subarray(100) })
    await until(() => peer.of('ack').length > 0)
    assert.equal(await inboxOf(bob), short([head]))
    await peer.link.send({ type: 'bye', code: 0 })
    assert.equal(await ends(session), ['done'])
  })
})

test.run()
