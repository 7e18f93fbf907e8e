// One UDP port, one owner: a command has it as long as it calls, a listener for good. Real processes of this house are
// played in one process, over loopback; contacts are known by addresses for UDP alone, so that nothing else can carry.

import { createSocket } from 'node:dgram'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { EX, Failure } from '../lib/base/fail.ts'
import { CallPort } from '../lib/delivery/callport.ts'
import { deliverNow } from '../lib/delivery/deliver.ts'
import { Listener } from '../lib/delivery/listener.ts'
import { takePort } from '../lib/delivery/udpowner.ts'
import { Config } from '../lib/disk/config.ts'
import { noteOwner } from '../lib/disk/lock.ts'
import { loadKeyring } from '../lib/disk/keyring.ts'
import { updateContact } from '../lib/disk/contacts.ts'
import { Guard } from '../lib/net/guard.ts'
import type { Link } from '../lib/net/link.ts'
import type { Ending } from '../lib/net/stream.ts'
import type { Address } from '../lib/wire/address.ts'
import { inboxOf, send, short, type Side, text, until, waiting, within, withPair } from './pair.ts'

/** Nothing for the router and the neighbours of this machine. */
const ALONE = new Config({ file: new Map([['map', false], ['lan', false]]) })

const nothing = (): void => undefined

/** Both know each other by UDP alone. */
async function withUdpPair(work: (alice: Side, bob: Side) => Promise<void>): Promise<void> {
  await withPair(
    async (alice, bob) => {
      for (const side of [alice, bob]) await point(side, side.contact.addresses.map((address) => ({ ...address, tcp: false })))
      await work(alice, bob)
    },
    {},
    true,
  )
}

/** From now on the other one is known by these addresses. */
async function point(side: Side, addresses: readonly Address[]): Promise<void> {
  side.contact = (await updateContact(side.home, side.contact.key, (now) => ({ ...now, addresses }))) ?? side.contact
  side.keyring = await loadKeyring(side.home)
  await side.station.reload()
}

interface Heard {
  listener: Listener
  over: string[]
  udp: boolean | undefined
  notices: string[]
  ended: Promise<void>
  stop: () => Promise<void>
}

async function listen(side: Side): Promise<Heard> {
  const signal = new AbortController()
  const heard: Partial<Heard> & Pick<Heard, 'over' | 'notices'> = { over: [], notices: [], udp: undefined }
  const listener = new Listener({
    home: side.home,
    keyring: side.keyring,
    config: ALONE,
    reread: async () => ALONE,
    once: false,
    exec: undefined,
    signal: signal.signal,
    onReady: (_, udp) => (heard.udp = udp),
    onMessage: nothing,
    onDelivered: nothing,
    onDeferred: nothing,
    onFailed: nothing,
    onRequest: nothing,
    onPeer: (_, state, link) => void heard.over.push(`${state} ${link?.carrier ?? ''}`.trim()),
    onContact: nothing,
    onNotice: (line) => void heard.notices.push(line),
  })
  const ended = listener.run()
  ended.catch(nothing)
  await Promise.race([until(() => heard.udp !== undefined, 30_000), ended])
  return Object.assign(heard as Heard, {
    listener,
    ended,
    stop: async () => {
      signal.abort()
      await ended
    },
  })
}

const owner = (side: Side, onLink: (link: Link) => void = nothing): Parameters<typeof takePort>[0] => ({
  station: side.station,
  guard: new Guard<Ending>(side.home.clock, side.home.random),
  onLink,
  onFault: nothing,
})

/** What p2p-send does after the message is queued. */
async function deliver(side: Side, waitMs: number): Promise<{ ids: string[]; outcomes: string[]; ended: Promise<void> }> {
  const queued = await send(side, [[text('hello')]])
  const outcomes: string[] = []
  const jobs = queued.map((each) => ({ contact: side.contact, queued: each }))
  const signal = new AbortController().signal
  const ended = deliverNow(side.home, side.keyring, jobs, {
    waitMs,
    signal,
    onOutcome: ({ type, reason }) => void outcomes.push([type, reason].filter(Boolean).join(' ')),
  })
  return { ids: short(queued), outcomes, ended }
}

test('a command reaches a listener over UDP alone, and gives the port up when it ends', async () => {
  await withUdpPair(async (alice, bob) => {
    const there = await listen(bob)
    assert.is(there.udp, true)
    const sent = await deliver(alice, 20_000)
    await within(30_000, sent.ended)
    assert.equal(sent.outcomes, ['delivered'])
    assert.equal(await inboxOf(bob), sent.ids)
    assert.is(there.over[0], 'up udp')
    const owned = await takePort(owner(alice))
    assert.ok(owned !== 'busy')
    await owned.release()
    await there.stop()
    assert.equal(there.notices, [])
  })
})

test('two commands at once use one port, one after the other', async () => {
  await withUdpPair(async (alice, bob) => {
    const there = await listen(bob)
    const [one, two] = [await deliver(alice, 30_000), await deliver(alice, 30_000)]
    await within(40_000, Promise.all([one.ended, two.ended]))
    assert.equal([...one.outcomes, ...two.outcomes], ['delivered', 'delivered'])
    assert.equal(await inboxOf(bob), [...one.ids, ...two.ids].sort())
    await there.stop()
  })
})

test('while one has the port, another of this home finds it busy', async () => {
  await withPair(async (alice) => {
    const owned = await takePort(owner(alice))
    assert.ok(owned !== 'busy')
    assert.is(await takePort(owner(alice)), 'busy')
    await owned.release()
    const again = await takePort(owner(alice))
    assert.ok(again !== 'busy')
    await again.release()
  }, {}, true)
})

test('whoever gives the port up a second time has it until it is free', async () => {
  await withUdpPair(async (alice, bob) => {
    const there = await listen(bob)
    const port = new CallPort(alice.station)
    const called = await alice.station.connect(alice.contact, { port, timeoutMs: 15_000 })
    assert.ok('link' in called)
    const first = port.close() // the link is open: it is waited for a while
    await port.close()
    const again = await takePort(owner(alice))
    assert.ok(again !== 'busy')
    await again.release()
    await first
    await there.stop()
  })
})

test('a listener that begins gets the port from a command, and the work with it', async () => {
  await withUdpPair(async (alice, bob) => {
    const there = await listen(bob)
    const addresses = alice.contact.addresses
    await point(alice, addresses.map((address) => ({ ...address, port: 9 }))) // nobody answers there
    const sent = await deliver(alice, 60_000)
    await until(async () => {
      const owned = await takePort(owner(alice))
      if (owned !== 'busy') await owned.release()
      return owned === 'busy'
    })
    await point(alice, addresses)
    const here = await listen(alice)
    assert.is(here.udp, true, 'the port was handed over')
    await within(60_000, sent.ended)
    assert.equal(sent.outcomes, ['delivered'])
    assert.equal(await inboxOf(bob), sent.ids)
    assert.is(await waiting(alice), 0)
    await Promise.all([here.stop(), there.stop()])
    assert.equal(await alice.home.files.stat(alice.home.at('lock', 'port.wanted')), undefined)
  })
})

test('what wants the port and is dead gets nothing', async () => {
  await withUdpPair(async (alice, bob) => {
    const path = alice.home.at('lock', 'port.wanted')
    await noteOwner(alice.home, path)
    const note = JSON.parse(Buffer.from(await alice.home.files.read(path)).toString()) as { boot: string }
    await alice.home.files.unlink(path)
    const handle = await alice.home.files.open(path, 'append')
    await handle.write(Buffer.from(JSON.stringify({ ...note, boot: 'before' })))
    await handle.close()
    const there = await listen(bob)
    const sent = await deliver(alice, 20_000)
    await within(30_000, sent.ended)
    assert.equal(sent.outcomes, ['delivered'])
    await there.stop()
  })
})

test('a contact that calls while it is called is reached by that', async () => {
  await withUdpPair(async (alice, bob) => {
    const port = new CallPort(alice.station)
    assert.ok(await port.get())
    const gone = { ...alice.contact, addresses: [{ host: '127.0.0.1', port: 9, tcp: false, udp: true }] }
    let waits = false
    const incoming: CallPort['incoming'] = (...of) => {
      waits = true
      return port.incoming(...of)
    }
    const called = alice.station.connect(gone, { port: { get: () => port.get(), incoming }, timeoutMs: 15_000 })
    await until(() => waits) // whoever calls before that is turned away
    const bobs = new CallPort(bob.station)
    const calling = bob.station.connect(bob.contact, { port: bobs, timeoutMs: 15_000 })
    const theirs = await within(20_000, calling)
    assert.ok('link' in theirs)
    if ('link' in theirs) await theirs.link.send({ type: 'ping', bytes: new Uint8Array(8) })
    const outcome = await within(20_000, called)
    assert.ok('link' in outcome)
    for (const each of [theirs, outcome]) {
      if (!('link' in each)) continue
      assert.is(each.link.initiator, each === theirs)
      each.link.close()
    }
    await Promise.all([port.close(), bobs.close()])
  })
})

test('another program on the UDP port: a listener says so, a command does without', async () => {
  await withPair(
    async (alice, bob) => {
      const other = createSocket('udp4')
      await new Promise<void>((resolve) => other.bind(bob.home.port, '0.0.0.0', resolve))
      const failure = await listen(bob).then(
        () => assert.unreachable(),
        (error: unknown) => error,
      )
      assert.ok(failure instanceof Failure && failure.exit === EX.CONFIG)
      assert.match(String((failure as Failure).message), /^UDP port \d+ is taken by another program$/)
      other.close()
      const there = await listen(bob)
      const mine = createSocket('udp4')
      await new Promise<void>((resolve) => mine.bind(alice.home.port, '0.0.0.0', resolve))
      const sent = await deliver(alice, 20_000)
      await within(30_000, sent.ended)
      assert.equal(sent.outcomes, ['delivered'])
      assert.is(there.over[0], 'up tcp')
      mine.close()
      await there.stop()
    },
    {},
    true,
  )
})

test.run()
