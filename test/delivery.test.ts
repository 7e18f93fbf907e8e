// Sessions between two homes, over links in memory and over TCP on 127.0.0.1: what honest sides deliver, what ends a
// session and what must not, and what a contact that keeps to no rule can do (nothing that lasts).

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { type Clock, systemClock } from '../lib/base/clock.ts'
import { nodeSuite } from '../lib/crypto/suite-node.ts'
import { CallAhead } from '../lib/delivery/ahead.ts'
import { Desk } from '../lib/delivery/desk.ts'
import { fatesOf } from '../lib/delivery/fate.ts'
import { flushAll } from '../lib/delivery/flush.ts'
import { Hooks } from '../lib/delivery/hooks.ts'
import { Admission, Recent } from '../lib/delivery/limits.ts'
import type { Message } from '../lib/delivery/control.ts'
import { Listener } from '../lib/delivery/listener.ts'
import { Requests, type RequestsOptions } from '../lib/delivery/requests.ts'
import type { Session } from '../lib/delivery/session.ts'
import { Station } from '../lib/delivery/station.ts'
import { acceptAll } from '../lib/disk/accept.ts'
import { Config } from '../lib/disk/config.ts'
import type { Contact } from '../lib/disk/contact.ts'
import type { Files } from '../lib/disk/files.ts'
import type { Home } from '../lib/disk/home.ts'
import type { Delivered } from '../lib/disk/inbox.ts'
import { loadKeyring } from '../lib/disk/keyring.ts'
import { updateContact } from '../lib/disk/contacts.ts'
import { tryLock } from '../lib/disk/lock.ts'
import { listMaildir } from '../lib/disk/maildir.ts'
import * as queue from '../lib/disk/queue.ts'
import * as queueread from '../lib/disk/queueread.ts'
import type { Queued } from '../lib/disk/queued.ts'
import { discard, stageBody } from '../lib/disk/staging.ts'
import { BYE, DATA_LARGE, DATA_MAX, type Frame, LARGE, REFUSE } from '../lib/wire/frame.ts'
import { FakeClock, settle } from './netkit.ts'
import {
  ends, envelope, file, inboxOf, links, outcomes, PATIENCE_MS, pattern, pieces, send, sessions, short, type Side, text, until, waiting, wild,
  Wild, withPair, within,
} from './pair.ts'

/** Nothing for the router and the neighbours of this machine. */
const ALONE = new Config({ file: new Map([['map', false], ['lan', false]]) })

test('one call moves what waits on both sides, and ends by itself', async () => {
  await withPair(async (alice, bob) => {
    const there = await send(alice, [[text('one\n')], [text('two\n'), file(pattern(300_000))], [text('three\n')]])
    const back = await send(bob, [[text('four\n')], [file(pattern(2_500_000)), file(pattern(11 << 20, 1))]])
    const { a, b } = await sessions(alice, bob)
    assert.equal(await ends(a, b), ['done', 'done'])
    assert.equal(await inboxOf(bob), short(there))
    assert.equal(await inboxOf(alice), short(back))
    assert.is((await waiting(alice)) + (await waiting(bob)), 0)
  })
})

test('a call with nothing to say on either side ends by itself, every time', async () => {
  await withPair(async (alice, bob) => {
    for (let i = 0; i < 30; i++) {
      const { a, b } = await sessions(alice, bob)
      assert.equal(await ends(a, b), ['done', 'done'])
    }
  })
})

test('a call ends by itself however late the other side says that it has offered all', async () => {
  await withPair(async (alice) => {
    const pair = links()
    const a = await alice.station.session(pair.links[0], alice.contact, { oneShot: true, receive: true })
    const peer = new Wild(pair.links[1])
    await peer.begin()
    await until(() => peer.of('offer').some(({ items }) => items.length === 0))
    await settle()
    await peer.link.send({ type: 'offer', items: [] })
    assert.equal(await ends(a), ['done'])
  })
})

test('twelve hundred small messages each way arrive once and in order', async () => {
  await withPair(async (alice, bob) => {
    const make = (from: Side): Promise<Queued[]> => send(from, Array.from({ length: 1200 }, (_, i) => [text(`${i}\n`)]))
    const [there, back] = [await make(alice), await make(bob)]
    const { a, b } = await sessions(alice, bob)
    assert.equal(await ends(a, b), ['done', 'done'])
    assert.equal(await inboxOf(bob), short(there))
    assert.equal(await inboxOf(alice), short(back))
    const order = bob.events.filter((event) => event.startsWith('received')).map((event) => event.slice(9))
    assert.equal(order, there.map(({ id }) => id))
  })
})

test('a session beside a newer one lasts while it is answered on, and makes way when it is silent', async () => {
  await withPair(async (alice, bob) => {
    const clock = new FakeClock()
    const home = Object.create(bob.home, { clock: { value: clock } }) as Home
    const station = await Station.open(home, bob.keyring)
    const { head, bytes } = envelope(alice, [{ bytes: pattern(300_000) }])
    const offer: Frame = { type: 'offer', items: [{ id: head.id, size: bytes.length }] }
    const call = async (): Promise<{ peer: Wild; session: Session }> => {
      const pair = links()
      const session = await station.session(pair.links[1], bob.contact, { oneShot: false, receive: true })
      const peer = new Wild(pair.links[0])
      await peer.begin()
      await peer.link.send(offer)
      return { peer, session }
    }
    const old = await call()
    await until(() => old.peer.of('want').length === 1)
    const [first, ...rest] = pieces(head.id, bytes)
    await old.peer.link.send(first as Frame)
    const next = await call()
    old.session.replace()
    for (let turn = 1; turn <= 9; turn++) {
      await clock.advance(4000)
      await until(() => old.peer.of('ping').length >= turn)
      const { bytes: said } = old.peer.of('ping').at(-1) as Frame & { type: 'ping' }
      await old.peer.link.send({ type: 'pong', bytes: said })
      await new Promise((resolve) => setTimeout(resolve, 100)) // it is heard
    }
    assert.is(old.session.link.reason, undefined)
    assert.is(next.peer.of('want').length, 0, 'it has the message in hand')
    await clock.advance(5000)
    assert.is((await within(PATIENCE_MS, old.session.ended)).end, 'lost')
    await until(() => next.peer.of('want').length === 1)
    assert.equal(next.peer.of('want')[0]?.items, [{ id: head.id, offset: (first?.bytes.length ?? 0) }])
    for (const frame of rest) await next.peer.link.send(frame)
    await until(() => next.peer.of('ack').length === 1)
    assert.equal(await inboxOf(bob), [head.id.slice(0, 32)])
    next.session.abort()
    await next.session.ended
    await station.close()
  })
})

test('two sessions of one contact at once deliver each message once', async () => {
  await withPair(async (alice, bob) => {
    const there = await send(alice, [
      ...Array.from({ length: 200 }, (_, i) => [text(`${i}\n`)]),
      [file(pattern(3_000_000))],
      [file(pattern(200_000))],
    ])
    const one = await sessions(alice, bob)
    const two = await sessions(alice, bob)
    assert.equal(await ends(one.a, two.a), ['done', 'done'])
    assert.equal(await inboxOf(bob), short(there))
    assert.is(await waiting(alice), 0)
  })
})

test('an offer of no bytes, or of a few that are no message, is refused and harms nothing', async () => {
  await withPair(async (alice, bob) => {
    const { wild: peer, session } = await wild(bob)
    const id = 'ab'.repeat(32)
    await peer.link.send({ type: 'offer', items: [{ id, size: 0 }] })
    await until(() => peer.of('refuse').length > 0 || peer.over)
    assert.equal(peer.of('refuse').map(({ code }) => code), [REFUSE.MALFORMED])
    const other = 'cd'.repeat(32)
    await peer.link.send({ type: 'offer', items: [{ id: other, size: 10 }] })
    await until(() => peer.of('want').length > 0 || peer.over)
    await peer.link.send({ type: 'data', id: other, offset: 0, bytes: new Uint8Array(10) })
    await until(() => peer.of('refuse').length > 1 || peer.over)
    assert.is(peer.of('refuse').length, 2)
    session.stop()
    assert.equal(await ends(session), ['done'])
    assert.equal(await inboxOf(alice), [])
  })
})

test('bytes behind the end of a message end the session, not the process', async () => {
  await withPair(async (alice, bob) => {
    for (const size of [100, 200_000]) {
      const { wild: peer, session } = await wild(bob)
      const { head, bytes } = envelope(alice, [{ bytes: pattern(size / 2) }, { bytes: pattern(size / 2, 7) }])
      await peer.link.send({ type: 'offer', items: [{ id: head.id, size: bytes.length }] })
      await until(() => peer.of('want').length > 0)
      for (const frame of pieces(head.id, bytes)) void peer.link.send(frame)
      for (let i = 0; i < 3; i++) {
        void peer.link.send({ type: 'data', id: head.id, offset: bytes.length, bytes: new Uint8Array(5) })
      }
      const { error } = await within(PATIENCE_MS, session.ended)
      assert.is(error, undefined)
    }
  })
})

test('large DATA frames are for large messages, and for who understands them', async () => {
  await withPair(async (_, bob) => {
    const [large] = await send(bob, [[file(pattern(200_000))]])
    const [small] = await send(bob, [[text('x'.repeat(60_000))]])
    assert.ok(large !== undefined && small !== undefined)
    for (const features of [0, LARGE]) {
      const { wild: peer, session } = await wild(bob, { features })
      await peer.link.send({ type: 'want', items: [large, small].map(({ id }) => ({ id, offset: 0 })) })
      const sent = (id: string): Uint8Array[] => peer.of('data').filter((frame) => frame.id === id).map(({ bytes }) => bytes)
      for (const { id, size } of [large, small]) await until(() => Buffer.concat(sent(id)).length === size)
      const most = (id: string): number => Math.max(...sent(id).map(({ length }) => length))
      assert.is(most(large.id), features === LARGE ? DATA_LARGE : DATA_MAX)
      assert.is(most(small.id), DATA_MAX)
      session.abort()
      await session.ended
    }
  })
})

test('whoever asks for one message again and again is not served for ever', async () => {
  await withPair(async (_, bob) => {
    const [queued] = await send(bob, [[text('x'.repeat(60_000))]])
    assert.ok(queued)
    const { wild: peer, session } = await wild(bob)
    const items = Array.from({ length: 255 }, () => ({ id: queued.id, offset: 0 }))
    for (let i = 0; i < 500 && !peer.over; i++) await peer.link.send({ type: 'want', items }).catch(() => undefined)
    assert.equal(await ends(session), ['offended'])
    assert.is(await waiting(bob), 1)
  })
})

test('what a contact says of itself a thousand times is written down a few times', async () => {
  await withPair(async (_, bob) => {
    const { wild: peer, session } = await wild(bob)
    for (let i = 0; i < 150; i++) {
      await peer.link.send({ type: 'addrs', nat: 0, addresses: [{ host: `203.0.113.${i}`, port: 1000 + i, tcp: true, udp: true }] })
    }
    await until(() => bob.events.includes('changed'))
    await peer.link.send({ type: 'bye', code: 0 })
    await ends(session)
    await bob.station.close()
    const [contact] = (await loadKeyring(bob.home)).all()
    assert.is(contact?.sessionAddresses[0]?.host, '203.0.113.149')
    assert.ok(bob.events.filter((event) => event === 'changed').length < 100)
  })
})

test('a message that is dropped or held while it is being sent is cancelled, and sent when it is back', async () => {
  await withPair(async (alice, bob) => {
    const parts = [file(pattern(9 << 20)), file(pattern(9 << 20, 5), 'g.bin')]
    const [first, second] = await send(alice, [parts, [text('small\n')]])
    assert.ok(first && second)
    const { a, b, streams } = await sessions(alice, bob, { oneShot: false })
    await until(() => streams[0].written > 3 << 20)
    await queue.drop(alice.home, [first])
    await until(async () => (await waiting(alice)) === 0)
    assert.equal(await inboxOf(bob), short([second]))

    const [third] = await send(alice, [parts])
    assert.ok(third)
    await queue.hold(alice.home, third)
    a.poke()
    await new Promise((resolve) => setTimeout(resolve, 100))
    assert.ok(await queue.release(alice.home, { ...third, state: 'hold' }))
    a.poke()
    await until(async () => (await inboxOf(bob)).length === 2)
    a.stop()
    assert.equal(await ends(a, b), ['done', 'done'])
  })
})

test('a message that is held between offer and request goes when it is released', async () => {
  await withPair(async (alice) => {
    const [queued] = await send(alice, [[text('x\n')]])
    assert.ok(queued)
    const pair = links()
    const a = await alice.station.session(pair.links[0], alice.contact, { oneShot: false, receive: true })
    const peer = new Wild(pair.links[1])
    await peer.begin()
    await until(() => peer.of('offer').length === 2)
    await queue.hold(alice.home, queued)
    await peer.link.send({ type: 'want', items: [{ id: queued.id, offset: 0 }] })
    await until(() => peer.of('cancel').length === 1)
    await queue.release(alice.home, { ...queued, state: 'hold' })
    a.poke()
    await until(() => peer.of('offer').filter(({ items }) => items.length === 1).length === 2)
    await peer.link.send({ type: 'bye', code: 0 })
    await ends(a)
  })
})

test('an expired message that two sessions come across bounces once and ends neither', async () => {
  await withPair(async (alice, bob) => {
    const queued = await send(alice, [[text('late\n')], [text('late too\n')]], { expires: alice.home.clock.now() - 1 })
    const one = await sessions(alice, bob)
    const two = await sessions(alice, bob)
    assert.equal(await ends(one.a, two.a, one.b, two.b), ['done', 'done', 'done', 'done'])
    assert.is((await inboxOf(alice)).length, 2)
    assert.is(await queueread.count(alice.home, alice.contact.key, 'failed'), 2)
    assert.equal(outcomes(alice).sort(), queued.map(({ id }) => `failed expired ${id}`).sort())
    assert.equal(await inboxOf(bob), [])
  })
})

test('a message refused for good bounces once, is told before the session ends, and goes again after a retry', async () => {
  await withPair(async (alice) => {
    const [queued] = await send(alice, [[text('no\n')]])
    assert.ok(queued)
    const pair = links()
    const a = await alice.station.session(pair.links[0], alice.contact, { oneShot: false, receive: true })
    const peer = new Wild(pair.links[1])
    await peer.begin()
    const offers = (): number => peer.of('offer').filter(({ items }) => items.some(({ id }) => id === queued.id)).length
    await until(() => offers() === 1)
    await peer.link.send({ type: 'refuse', id: queued.id, code: REFUSE.POLICY, retry: 0 })
    await until(() => outcomes(alice).length > 0)
    assert.equal(outcomes(alice), [`failed policy ${queued.id}`])
    const [failed] = await queueread.list(alice.home, alice.contact.key, 'failed')
    assert.ok(failed)
    await queue.retry(alice.home, failed)
    a.poke()
    await until(() => offers() === 2)
    await peer.link.send({ type: 'refuse', id: queued.id, code: REFUSE.POLICY, retry: 0 })
    await until(() => outcomes(alice).length > 1)
    assert.is((await inboxOf(alice)).length, 2)
    await peer.link.send({ type: 'bye', code: 0 })
    await ends(a)
  })
})

async function changeContact(side: Side, change: Partial<Contact>): Promise<Contact> {
  const contact = await updateContact(side.home, side.contact.key, (held) => ({ ...held, ...change }))
  await side.station.reload()
  return contact as Contact
}

test('a contact that is renamed and verified during a session is so in the next mail', async () => {
  await withPair(async (alice, bob) => {
    const pair = links()
    const a = await alice.station.session(pair.links[0], alice.contact, { oneShot: false, receive: true })
    const b = await bob.station.session(pair.links[1], bob.contact, { oneShot: false, receive: true })
    await changeContact(bob, { name: 'oldalice', verified: 1 })
    await send(alice, [[text('who is it?\n')]])
    a.poke()
    await until(async () => (await inboxOf(bob)).length === 1)
    const [entry] = await listMaildir(bob.home, 'inbox')
    const mail = new TextDecoder().decode(await bob.home.files.read(entry?.path ?? ''))
    assert.match(mail, /^From: oldalice </m)
    assert.match(mail, /^X-P2P-Verified: yes$/m)
    a.stop()
    await ends(a, b)
  })
})

test('one look at the disk lets in many small messages, and no more than there is room for', async () => {
  await withPair(async (alice) => {
    const clock = new FakeClock()
    const FLOOR = 64 * 2 ** 20
    const disk = { free: FLOOR + 10 * 4096, total: 2 ** 40, type: 0 }
    let looks = 0
    const statfs: Files['statfs'] = async () => {
      looks++
      return disk
    }
    const admission = new Admission({ ...alice.home, at: (...parts) => alice.home.at(...parts), clock, files: { ...alice.home.files, statfs } }, () => ALONE)
    const codes = async (count: number, size: number): Promise<(number | undefined)[]> => {
      const all: (number | undefined)[] = []
      for (let i = 0; i < count; i++) all.push((await admission.refuse(alice.contact, size))?.code)
      return all
    }
    assert.equal(await codes(11, 4096), [...Array.from({ length: 10 }, () => undefined), REFUSE.DISK])
    assert.is(looks, 1)
    clock.time += 50
    assert.equal(await codes(1, 4096), [undefined], 'what came is there by now, or is not coming')
    assert.is(looks, 2)
    assert.equal(await codes(1, 2 ** 20), [REFUSE.DISK], 'for a large one it is looked anew')
    assert.is(looks, 3)
    clock.time += 50
    disk.free = 2 ** 40
    assert.equal(await codes(300, 4096), Array.from({ length: 300 }, () => undefined))
    assert.is(looks, 5, 'a look is good for a MiB')
    disk.free = FLOOR + 2 * 4096
    clock.time += 50
    assert.equal(await codes(3, 65_536), [REFUSE.DISK, REFUSE.DISK, REFUSE.DISK])
    assert.equal(await codes(3, 4096), [undefined, undefined, REFUSE.DISK], 'what was refused takes no room')
    disk.free = 0
    clock.time += 50
    assert.equal(await codes(1, 1), [REFUSE.DISK])
  })
})

test('of many ids the latest are known, and not for ever', () => {
  const recent = new Recent()
  const ids = Array.from({ length: 40_000 }, (_, i) => String(i))
  for (const id of ids) recent.add(id)
  const known = ids.filter((id) => recent.has(id))
  assert.ok(known.length >= 8192 && known.length <= 2 * 8192, String(known.length))
  assert.equal(known, ids.slice(-known.length))
})

test('a desk is done with a contact when the last of its messages has an outcome, and each has one', async () => {
  await withPair(async (alice, bob) => {
    const [first, second] = await send(alice, [[text('1\n')], [text('2\n')]])
    const other = { ...(first as Queued), id: 'f'.repeat(64), key: bob.contact.key }
    const jobs = [first, second].map((queued) => ({ contact: alice.contact, queued: queued as Queued }))
    const told: string[] = []
    const desk = new Desk(alice.home.clock, [...jobs, { contact: bob.contact, queued: other }], ({ queued }) => told.push(queued.id))
    const { key } = alice.contact
    const done = (): boolean[] => [desk.isDone(key), desk.isDone(bob.contact.key), desk.isDone('nobody')]
    assert.equal(done(), [false, false, true])
    desk.tell(first?.id ?? '', { type: 'delivered' })
    desk.tell(first?.id ?? '', { type: 'delivered' })
    assert.equal(done(), [false, false, true])
    desk.tell(second?.id ?? '', { type: 'delivered' })
    assert.equal(done(), [true, false, true])
    desk.tellRest({ type: 'deferred', reason: 'timeout' })
    assert.equal(done(), [true, true, true])
    assert.equal(told, [first?.id, second?.id, other.id])
  })
})

test('what another session took along is told as delivered, not as lost', async () => {
  await withPair(async (alice, bob) => {
    const [first] = await send(alice, [[text('one\n')]])
    const told: string[] = []
    const desk = new Desk(alice.home.clock, [{ contact: alice.contact, queued: first as Queued }], (outcome) => {
      told.push(`${outcome.type} ${outcome.reason ?? ''}`)
    })
    const running = links()
    const a = await alice.station.session(running.links[0], alice.contact, { oneShot: true, receive: false })
    const b = await bob.station.session(running.links[1], bob.contact, { oneShot: false, receive: true })
    await ends(a, b)
    await desk.close(alice.home)
    assert.equal(told, ['delivered '])
    const [held, dropped, waits] = await send(alice, [[text('2\n')], [text('3\n')], [text('4\n')]])
    await queue.hold(alice.home, held as Queued)
    await queue.drop(alice.home, [dropped as Queued])
    const fates = await fatesOf(alice.home, [held, dropped, waits] as Queued[])
    assert.is(fates.get(held?.id ?? '')?.text, 'it is held back')
    assert.is(fates.get(dropped?.id ?? '')?.text, 'it was dropped')
    assert.not(fates.has(waits?.id ?? ''))
  })
})

test('a one-shot that is refused is not over before the bounce is', async () => {
  await withPair(async (alice, bob) => {
    const contact = await changeContact(bob, { limits: { maxMessage: 10 } })
    const [queued] = await send(alice, [[text('longer than ten bytes\n')]])
    const pair = links()
    const a = await alice.station.session(pair.links[0], alice.contact, { oneShot: true, receive: false })
    await bob.station.session(pair.links[1], contact, { oneShot: false, receive: true })
    assert.equal(await ends(a), ['done'])
    assert.equal(outcomes(alice), [`failed too-big ${queued?.id}`])
    assert.is((await inboxOf(alice)).length, 1)
  })
})

test('many messages of a large size cannot get past the quota together', async () => {
  await withPair(async (alice, bob) => {
    const contact = await changeContact(bob, { limits: { quota: 1_000_000 } })
    const pair = links()
    const session = await bob.station.session(pair.links[1], contact, { oneShot: false, receive: true })
    const peer = new Wild(pair.links[0])
    await peer.begin()
    const made = Array.from({ length: 10 }, (_, i) => envelope(alice, [{ bytes: pattern(300_000, i) }]))
    await peer.link.send({ type: 'offer', items: made.map(({ head, bytes }) => ({ id: head.id, size: bytes.length })) })
    await until(() => peer.of('refuse').length > 0 || peer.of('want').length > 3)
    const sizes = new Map(made.map(({ head, bytes }) => [head.id, bytes]))
    const send = async (): Promise<void> => {
      for (const { items } of peer.of('want')) {
        for (const { id } of items) {
          for (const frame of pieces(id, sizes.get(id) ?? new Uint8Array())) await peer.link.send(frame)
          sizes.delete(id)
        }
      }
    }
    await send()
    await until(() => peer.of('refuse').length === 7)
    await until(async () => (await inboxOf(bob)).length === 3)
    assert.ok(peer.of('refuse').every(({ code }) => code === REFUSE.QUOTA))
    await peer.link.send({ type: 'bye', code: 0 })
    await ends(session)
    assert.is((await inboxOf(bob)).length, 3)
  })
})

test('a link that is reset in the middle ends the session without an error, on both sides', async () => {
  for (let cut = 1; cut <= 6; cut++) {
    await withPair(async (alice, bob) => {
      await send(alice, [[file(pattern(4 << 20))], [text('x\n')]])
      await send(bob, [[file(pattern(4 << 20))]])
      const { a, b, streams } = await sessions(alice, bob)
      await until(() => streams[0].written + streams[1].written > cut * 700_000)
      streams[0].lose()
      streams[1].lose()
      const [one, two] = await within(PATIENCE_MS, Promise.all([a.ended, b.ended]))
      assert.is(one.error, undefined)
      assert.is(two.error, undefined)
      const again = await sessions(alice, bob)
      assert.equal(await ends(again.a, again.b), ['done', 'done'])
      assert.is((await inboxOf(bob)).length, 2)
      assert.is((await inboxOf(alice)).length, 1)
    })
  }
})

interface Running {
  said: string[]
  stop(): Promise<void>
  ended: Promise<void>
}

/** A listener of one side, in this process. */
async function listener(side: Side, exec?: string): Promise<Running> {
  const said: string[] = []
  const control = new AbortController()
  const ended = new Listener({
    home: side.home,
    keyring: await loadKeyring(side.home),
    config: ALONE,
    reread: () => Promise.resolve(ALONE),
    once: false,
    exec,
    signal: control.signal,
    onReady: () => void said.push('ready'),
    onMessage: ({ id }) => void said.push(`message ${id}`),
    onDelivered: ({ id }) => void said.push(`delivered ${id}`),
    onDeferred: (_, { reason }) => void said.push(`deferred ${reason}`),
    onFailed: (_, __, reason) => void said.push(`failed ${reason}`),
    onPeer: (_, state) => void said.push(state),
    onContact: () => undefined,
    onRequest: () => undefined,
    onNotice: (text) => void said.push(`notice ${text}`),
  }).run()
  ended.catch(() => undefined)
  await until(() => said.includes('ready'))
  return {
    said,
    ended,
    async stop() {
      control.abort()
      await within(PATIENCE_MS, ended)
    },
  }
}

/** A clock behind which all pauses of a process are so many times as long: what it does itself counts so much less. */
const SLOW = 3
const SLOWED: Clock = { ...systemClock, after: (ms, run, background) => systemClock.after(ms * SLOW, run, background) }

test('two listeners that call each other at once keep one session, and what waits on both sides moves', async () => {
  await withPair(
    async (alice, bob) => {
      const [there, back] = [await send(alice, [[text('a\n')], [file(pattern(500_000))]]), await send(bob, [[text('b\n')]])]
      const running = await Promise.all([listener(alice), listener(bob)])
      await until(async () => (await inboxOf(bob)).length === 2 && (await inboxOf(alice)).length === 1)
      assert.equal(await inboxOf(bob), short(there))
      assert.equal(await inboxOf(alice), short(back))
      await until(async () => (await waiting(alice)) + (await waiting(bob)) === 0)
      await Promise.all(running.map((one) => one.stop()))
    },
    {},
    true,
  )
})

test('a listener that is killed and started again in the middle of a large message loses and doubles nothing', async () => {
  await withPair(
    async (alice, bob) => {
      const there = await send(alice, [[file(pattern(30 << 20))], ...Array.from({ length: 50 }, (_, i) => [text(`${i}\n`)])])
      const caller = await listener(alice)
      for (let i = 0; i < 3; i++) {
        const callee = await listener(bob)
        await new Promise((resolve) => setTimeout(resolve, 150))
        await callee.stop()
      }
      const callee = await listener(bob)
      await until(async () => (await waiting(alice)) === 0, 20_000)
      assert.equal(await inboxOf(bob), short(there))
      await Promise.all([caller.stop(), callee.stop()])
    },
    {},
    true,
  )
})

test('a listener ends within two seconds while a contact takes nothing and a command ignores SIGTERM', async () => {
  await withPair(
    async (alice, bob) => {
      await send(alice, [[text('go\n')]])
      const home = Object.create(bob.home, { clock: { value: SLOWED } }) as Home
      const callee = await listener({ ...bob, home }, 'trap "" TERM; sleep 20; sleep 20')
      await send(bob, [[file(pattern(30 << 20))]])
      const outcome = await alice.station.connect(alice.contact)
      assert.ok('link' in outcome)
      const peer = new Wild(outcome.link)
      await outcome.link.send({ type: 'settings', features: 0, flags: 0, maxMessage: 2 ** 31, instance: new Uint8Array(8) })
      const offered = async (): Promise<string> => {
        for (;;) {
          const frame = await outcome.link.receive()
          if (frame?.type === 'offer' && frame.items[0] !== undefined) return frame.items[0].id
        }
      }
      const id = await within(PATIENCE_MS, offered())
      const { head, bytes } = envelope(alice, [{ type: 'text/plain', bytes: new TextEncoder().encode('hook\n') }])
      await outcome.link.send({ type: 'offer', items: [{ id: head.id, size: bytes.length }] })
      await outcome.link.send({ type: 'want', items: [{ id, offset: 0 }] })
      for (const frame of pieces(head.id, bytes)) await outcome.link.send(frame).catch(() => undefined)
      await new Promise((resolve) => setTimeout(resolve, 300))
      await within(2000 * SLOW, callee.stop())
      peer.link.close()
    },
    {},
    true,
  )
})

test('a message that is acknowledged in two sessions is told as delivered once', async () => {
  await withPair(
    async (alice, bob) => {
      const [{ id }] = (await send(bob, [[text('one\n')]])) as [Queued]
      let open = (): void => undefined
      const gate = new Promise<void>((resolve) => (open = resolve))
      const { files } = bob.home
      const unlink: Files['unlink'] = async (path) => {
        if (/\/queue\/\w+\/new\//.test(path)) await gate // a slow disk
        return files.unlink(path)
      }
      const home: Home = { ...bob.home, at: (...parts) => bob.home.at(...parts), files: { ...files, unlink } }
      const callee = await listener({ ...bob, home })
      for (let call = 0; call < 2; call++) {
        const called = await alice.station.connect(alice.contact)
        assert.ok('link' in called)
        const peer = new Wild(called.link)
        await peer.begin()
        await until(() => peer.of('push').some((each) => each.id === id))
        await peer.link.send({ type: 'have', ids: [id] })
        const bytes = new Uint8Array(8)
        await peer.link.send({ type: 'ping', bytes })
        await until(() => peer.of('pong').length > 0)
      }
      open()
      await until(async () => (await waiting(bob)) === 0)
      await callee.stop()
      assert.equal(callee.said.filter((word) => word.startsWith('delivered')), [`delivered ${id}`])
    },
    {},
    true,
  )
})

test('what a pass finds gone from the queue is told as delivered once, however late its session says so', async () => {
  await withPair(
    async (alice, bob) => {
      const [{ id }] = (await send(alice, [[text('one\n')]])) as [Queued]
      let open = (): void => undefined
      const gate = new Promise<void>((resolve) => (open = resolve))
      const { files } = alice.home
      const syncDir: Files['syncDir'] = async (path) => {
        if (/\/queue\/\w+\/new$/.test(path)) await gate // a slow disk
        return files.syncDir(path)
      }
      const home: Home = { ...alice.home, at: (...parts) => alice.home.at(...parts), files: { ...files, syncDir } }
      const callee = await listener(bob)
      const told: string[] = []
      const control = new AbortController()
      const flushed = flushAll(home, await loadKeyring(home), [alice.contact], {
        config: ALONE,
        reread: () => Promise.resolve(ALONE),
        waitMs: 1000,
        lingerMs: 60_000,
        signal: control.signal,
        onOutcome: ({ type, queued }) => void told.push(`${type} ${queued.id}`),
        onReceived: () => undefined,
        onNotice: (words) => void told.push(words),
        onPassed: () => open(),
      })
      flushed.catch(() => undefined)
      await gate
      await callee.stop() // and with it the session, once what it has in hand is over
      control.abort()
      await within(PATIENCE_MS, flushed).catch(() => undefined)
      assert.equal(told, [`delivered ${id}`])
    },
    {},
    true,
  )
})

test('a pass goes on in the session that has taken the place of another', async () => {
  const session = (settled: Promise<void>): Session => ({ contact: { key: 'KEY' }, settled: () => settled }) as unknown as Session
  let settleIt = (): void => undefined
  const [old, newer] = [session(Promise.resolve()), session(new Promise((resolve) => (settleIt = resolve)))]
  const peers = { reach: async () => old, sessions: () => [newer], poke: () => undefined }
  const station = { keyring: { byKey: () => ({ key: 'KEY' }) }, postmaster: { expire: async () => undefined } }
  const requests = new Requests({ station, peers, hurry: async () => undefined } as unknown as RequestsOptions)
  let over = false
  const pass = requests.flush(['KEY'], () => undefined, new AbortController().signal).then(() => (over = true))
  await settle()
  assert.not.ok(over, 'told as timeout what is delivered a moment later')
  settleIt()
  await pass
})

test('when the wait ends while UDP is still tried, what TCP said is told', async () => {
  const contact = { key: 'KEY' }
  const peers = { reach: async () => ({ reason: 'refused', text: 'nobody listens', addresses: [] }), arrival: () => new Promise(() => undefined) }
  const station = { keyring: { byKey: () => contact }, whereabouts: { hopelessness: () => undefined } }
  const hurry = (): Promise<void> => new Promise(() => undefined) // the silence lasts longer than anybody waits
  const requests = new Requests({ clock: systemClock, station, peers, hurry } as unknown as RequestsOptions)
  const told: string[] = []
  const write = ({ type, id, reason }: Message): void => void told.push(`${String(type)} ${String(id)} ${String(reason)}`)
  await requests.answer({ op: 'deliver', ids: ['7'], keys: ['KEY'], wait: 0.1 }, write, new AbortController().signal, () => assert.unreachable() as never)
  assert.equal(told, ['deferred 7 refused'])
})

test('a listener that ends before it has swept leaves no lock behind', async () => {
  await withPair(async (alice) => {
    const { files } = alice.home
    const list: Files['list'] = async (path) => {
      if (path.endsWith('/sent/tmp')) await new Promise((resolve) => setTimeout(resolve, 300)) // a slow disk
      return files.list(path)
    }
    const home: Home = { ...alice.home, at: (...parts) => alice.home.at(...parts), files: { ...files, list } }
    const running = await listener({ ...alice, home })
    await until(async () => (await files.list(home.at('lock'))).includes('sweep.lock'))
    await running.stop()
    assert.equal(await files.list(home.at('lock')), [])
  }, {}, true)
})

test('a receipt leaves nothing pending: no command is for it', async () => {
  await withPair(async (alice, bob) => {
    const staged = await stageBody(alice.home, nodeSuite, [text('Your message was read.\n')])
    const read = 'ab'.repeat(32)
    await acceptAll(alice.home, nodeSuite, alice.keyring.self, [{ to: alice.contact, staged, header: { receipt: read, reply: read, auto: true } }])
    await discard(alice.home, staged)
    const came: Delivered[] = []
    const events = { received: (message: Delivered) => void came.push(message) }
    const station = await Station.open(bob.home, bob.keyring, { hooks: () => true, events })
    const { a, b } = await sessions(alice, { ...bob, station })
    await ends(a, b)
    await station.close()
    const hooks = new Hooks(bob.home, { command: () => 'exit 0', auto: () => true, nameOf: () => undefined, trouble: assert.unreachable })
    for (const message of came) hooks.add(message)
    await hooks.idle()
    await hooks.stop()
    assert.is(came.length, 1)
    assert.equal(await bob.home.files.list(bob.home.at('hooks', 'pending')), [])
  })
})

test('ten calls of one contact at once are not ten sessions', async () => {
  await withPair(
    async (alice, bob) => {
      const callee = await listener(bob)
      const calls = await Promise.all(Array.from({ length: 10 }, () => alice.station.connect(alice.contact)))
      const peers: Wild[] = []
      for (const call of calls) {
        assert.ok('link' in call)
        const peer = new Wild(call.link)
        await peer.begin()
        peers.push(peer)
      }
      await until(() => peers.filter((peer) => !peer.over).length <= 4)
      const codes = peers.flatMap((peer) => peer.of('bye').map(({ code }) => code))
      assert.ok(codes.filter((code) => code === BYE.LIMIT).length >= 1, `told that there are too many: ${codes.join(' ')}`)
      assert.is(callee.said.filter((word) => word === 'up').length, 1)
      for (const peer of peers) peer.link.close()
      await callee.stop()
    },
    {},
    true,
  )
})

test('commands that read nothing, end at once or fail leave the listener alone', async () => {
  await withPair(async (alice, bob) => {
    const troubles: string[] = []
    const there = await send(alice, [[text('x'.repeat(900_000))], [file(pattern(11 << 20))], [text('y\n')]])
    const station = await Station.open(bob.home, bob.keyring, { hooks: () => true })
    const { a, b } = await sessions(alice, { ...bob, station })
    await ends(a, b)
    await station.close()
    for (const command of ['exit 0', 'head -c 10 >/dev/null; exit 3', 'exec <&-; exit 75']) {
      const hooks = new Hooks(bob.home, {
        command: () => command,
        auto: () => false,
        nameOf: () => undefined,
        trouble: (what) => void troubles.push(what),
      })
      await hooks.look()
      await hooks.idle()
      await hooks.stop()
      if (command === 'exit 0') for (const { id } of there) await rerun(bob, id)
    }
    assert.is(troubles.length, 3)
    await settle()
  })
})

test('a message whose command another process seems to run is looked at again soon, not only after a minute', async () => {
  await withPair(async (alice, bob) => {
    const [message] = await send(alice, [[text('one')]])
    const station = await Station.open(bob.home, bob.keyring, { hooks: () => true })
    const { a, b } = await sessions(alice, { ...bob, station })
    await ends(a, b)
    await station.close()
    const waits: { ms: number; run: () => void }[] = []
    const clock: Clock = {
      ...systemClock,
      after(ms, run, background) {
        if (ms < 1000 || ms > 100_000) return systemClock.after(ms, run, background)
        waits.push({ ms, run })
        return () => undefined
      },
    }
    const hooks = new Hooks(Object.assign(Object.create(bob.home), { clock }) as Home, {
      command: () => 'exit 0',
      auto: () => false,
      nameOf: () => undefined,
      trouble: (what) => assert.unreachable(what),
    })
    const other = await tryLock(bob.home, `hook.${message?.id.slice(0, 32) ?? ''}`)
    assert.ok(other)
    await hooks.look()
    await hooks.idle()
    await other.release()
    assert.equal(waits.map(({ ms }) => ms), [3000])
    waits[0]?.run()
    await hooks.idle()
    assert.equal(await bob.home.files.list(bob.home.at('hooks', 'pending')), [])
    await hooks.stop()
  })
})

/** Puts a message into hooks/pending once more. */
async function rerun({ home }: Side, id: string): Promise<void> {
  const name = (await home.files.list(home.at('inbox', 'new'))).find((each) => each.includes(id.slice(0, 32)))
  await home.files.link(home.at('inbox', 'new', name ?? ''), home.at('hooks', 'pending', name ?? ''))
}

test('a call made ahead is its contact\'s alone, is taken once, and not when nothing was said on it for long', async () => {
  await withPair(async (alice, bob) => {
    const called = await listener(bob)
    const { signal } = new AbortController()
    const begin = (home: Home): Promise<CallAhead> => CallAhead.begin(home, alice.keyring, alice.contact, ALONE, 20_000)
    const ahead = await begin(alice.home)
    const stranger = { ...alice.contact, key: alice.keyring.self.key }
    assert.is(await ahead.take(stranger, signal), undefined)
    const taken = await ahead.take(alice.contact, signal)
    assert.ok(taken !== undefined && 'link' in taken)
    assert.is(await ahead.take(alice.contact, signal), undefined)
    const options = { timeoutMs: 20_000, signal, port: ahead.port }
    const second = await ahead.station.connect(alice.contact, options) // with a time stamp of its own
    assert.ok('link' in second)
    taken.link.close()
    second.link.close()
    await ahead.close()
    let late = 0
    const clock = { ...alice.home.clock, monotonic: () => systemClock.monotonic() + (late += 5001) }
    const old = await begin(Object.create(alice.home, { clock: { value: clock } }) as Home)
    assert.is(await old.take(alice.contact, signal), undefined)
    await old.close()
    const dropped = await begin(alice.home)
    await dropped.drop()
    assert.is(await dropped.take(alice.contact, signal), undefined)
    await dropped.close()
    await called.stop()
  }, {}, true)
})

test.run()
