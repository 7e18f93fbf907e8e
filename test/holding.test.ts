// Standing holes as they are held: what leaves the port towards a contact that is not there, on a clock that moves by
// hand and a network in memory. The schedule itself is tested in holes.test.ts.

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { EX, Failure } from '../lib/base/fail.ts'
import { systemRandom } from '../lib/base/random.ts'
import { base58 } from '../lib/base/key.ts'
import { loadSuite } from '../lib/crypto/suite.ts'
import { Holding } from '../lib/delivery/holding.ts'
import { coupleOf, Missed } from '../lib/delivery/missed.ts'
import type { Station } from '../lib/delivery/station.ts'
import type { Contact } from '../lib/disk/contact.ts'
import { Guard } from '../lib/net/guard.ts'
import { PERIOD_MS, PERIOD_WAITING_MS, SILENCE_MS } from '../lib/net/holes.ts'
import type { Link } from '../lib/net/link.ts'
import { holeOffset, rendezvousKey } from '../lib/net/rendezvous.ts'
import type { Ending, Endpoint } from '../lib/net/stream.ts'
import { UdpPort } from '../lib/net/udp.ts'
import type { Address } from '../lib/wire/address.ts'
import { HELLO_SIZE } from '../lib/wire/hello.ts'
import { FakeClock, type Person, person, responderFor, settle, stamp } from './netkit.ts'
import { UdpNet } from './udpkit.ts'

const suite = await loadSuite(process.env)
const A: Endpoint = { ip: '203.0.113.1', port: 21_000 }
const B: Endpoint = { ip: '203.0.113.2', port: 21_000 }
const EARLY = 100_000 // of a period: far from its silence

interface Scene {
  clock: FakeClock
  net: UdpNet
  holding: Holding
  alice: Person
  bob: Person
  links: Link[]
  failures: unknown[]
  up: boolean
  contact: Contact
  /** Messages that wait. */
  queue: string[]
  bobsPort: () => Promise<{ port: UdpPort; links: Link[] }>
  /** Milliseconds since the period of this pair began. */
  phase: (period?: number) => number
  /** What has left, as [seconds since `from`, hops, size]. */
  sent: (from?: number) => [number, number | undefined, number][]
}

const both = (host: string, port: number): Address => ({ host, port, tcp: true, udp: true })

async function openPort(net: UdpNet, clock: FakeClock, at: Endpoint, who: Person, contacts: Person[]): Promise<{ port: UdpPort; links: Link[] }> {
  const links: Link[] = []
  const port = await UdpPort.open({
    suite,
    clock,
    random: systemRandom,
    guard: new Guard<Ending>(clock, systemRandom),
    responder: responderFor(who, contacts),
    port: at.port,
    open: net.host(at.ip).open,
    onLink: (link) => void links.push(link),
  })
  return { port, links }
}

/** Alice holds a hole towards Bob from `EARLY` in their period on. */
async function scene(change: Partial<Contact> = {}, greet?: () => Promise<bigint>): Promise<Scene> {
  const clock = new FakeClock()
  const net = new UdpNet(clock)
  const [alice, bob] = [person(suite), person(suite)]
  const peer = { identity: bob.identity, transport: bob.key.publicKey }
  const contact = {
    name: 'bob',
    key: base58(bob.identity),
    ...peer,
    seq: 1n,
    addresses: [both(B.ip, B.port)],
    sessionAddresses: [],
    blocked: false,
    revoked: false,
    ...change,
  } as unknown as Contact
  const offset = holeOffset(suite, rendezvousKey(suite, { self: alice, peer }))
  const phase = (period = PERIOD_MS): number => (clock.now() + offset) % period
  await clock.advance((PERIOD_MS - phase() + EARLY) % PERIOD_MS)
  const all: Partial<Scene> = { links: [], failures: [], up: false, queue: [], contact }
  const { port } = await openPort(net, clock, A, alice, [bob])
  const station = {
    home: { clock, at: () => '', files: { list: async () => all.queue } },
    suite,
    ownKey: alice.key,
    config: { quietNet: false },
    keyring: {
      self: { identity: alice.identity },
      all: () => (all.contact === undefined ? [] : [all.contact]),
      byKey: (key: string) => (all.contact?.key === key ? all.contact : undefined),
    },
    greeting: async () => ({
      forget: () => undefined,
      greeting: {
        suite,
        random: systemRandom,
        self: { identity: alice.identity, transportKey: alice.key, seq: 1n, token: new Uint8Array(0) },
        peer,
        seqHeld: 1n,
        stamp: greet ?? stamp,
      },
    }),
    greeted: () => undefined,
    whereabouts: { neighbour: () => undefined },
  } as unknown as Station
  const begun = clock.time
  const scene: Scene = Object.assign(all as Scene, {
    clock,
    net,
    alice,
    bob,
    phase,
    bobsPort: () => openPort(net, clock, B, bob, [alice]),
    sent: (from = begun) =>
      net.sent
        .filter((sent) => sent.from.ip === A.ip && sent.at >= from)
        .map(({ at, hops, bytes }): [number, number | undefined, number] => [Math.round((at - from) / 1000), hops, bytes.length]),
    holding: new Holding({
      station,
      port,
      isUp: () => scene.up,
      onLink: (link) => {
        scene.links.push(link)
        scene.up = true
      },
      fail: (error) => void scene.failures.push(error),
    }),
  })
  scene.holding.start()
  await settle()
  return scene
}

const OPENER = (at: number): [number, number, number] => [at, 5, 32]
const HELLO = (at: number): [number, undefined, number] => [at, undefined, HELLO_SIZE]

test('a listener that begins opens its NAT at once, says hello from 3 s on, then keeps it open', async () => {
  const all = await scene()
  await all.clock.advance(62_000)
  assert.equal(all.sent(), [OPENER(0), OPENER(1), HELLO(3), HELLO(4), HELLO(6), OPENER(20), OPENER(40), OPENER(60)])
})

test('a hole that somebody else sees to is left alone, and held on when that is over', async () => {
  const all = await scene()
  await all.clock.advance(10_000)
  const { key } = all.contact
  const [one, two] = [all.holding.pause(key), all.holding.pause(key)]
  const paused = all.clock.monotonic()
  await all.clock.advance(40_000)
  one()
  one()
  await all.clock.advance(30_000)
  await all.holding.hurry(key)
  assert.equal(all.sent(paused), [], 'neither the schedule nor a message')
  two()
  const resumed = all.clock.monotonic()
  await all.clock.advance(40_000)
  assert.ok(all.sent(resumed).some(([, hops]) => hops === 5), 'openers again')
  assert.is(all.holding.hole(key)?.since, all.clock.now() - 120_000, 'as old as before')
})

test('the last 40 s of a period are silent, and an idle contact costs 15 openers and 3 hellos in it', async () => {
  const all = await scene()
  await all.clock.advance(PERIOD_MS - EARLY)
  const from = all.clock.time
  await all.clock.advance(PERIOD_MS - 1)
  const sent = all.sent(from)
  assert.is(sent.filter(([, hops]) => hops === 5).length, 15)
  assert.is(sent.filter(([, hops]) => hops === undefined).length, 3)
  assert.ok(sent.every(([at]) => at * 1000 <= PERIOD_MS - SILENCE_MS))
})

test('nothing is sent to a contact that is there, and all begins anew when it goes', async () => {
  const all = await scene()
  all.up = true
  await all.clock.advance(60_000)
  const before = all.sent().length
  await all.clock.advance(60_000)
  assert.is(all.sent().length, before)
  all.up = false
  const from = all.clock.time
  all.holding.restart(all.contact.key)
  await all.clock.advance(7_000)
  assert.equal(all.sent(from), [OPENER(0), OPENER(1), HELLO(3), HELLO(4), HELLO(6)])
})

test('a contact that answers is handed over, once', async () => {
  const all = await scene({ addresses: [both('203.0.113.99', 21_000), both(B.ip, B.port)] })
  await all.bobsPort()
  await all.clock.advance(4_000)
  assert.is(all.links.length, 1)
  assert.equal(all.links[0]?.remote, B)
  assert.is(all.links[0]?.initiator, true)
  const before = all.sent().length
  await all.clock.advance(30_000)
  assert.is(all.sent().length, before, 'nothing more to the other place')
})

test('a message for it is sent a hello out of turn, which tells how it ended', async () => {
  const all = await scene()
  await all.clock.advance(50_000)
  const from = all.clock.time
  let over = false
  void all.holding.hurry(all.contact.key).then(() => (over = true))
  await settle()
  await all.clock.advance(4_900)
  assert.not.ok(over)
  assert.equal(all.sent(from), [OPENER(0), HELLO(0), HELLO(1), HELLO(3)])
  await all.clock.advance(200)
  assert.ok(over)
  void all.holding.hurry(all.contact.key)
  await all.clock.advance(5_000)
  assert.is(all.sent(from).filter(([, hops]) => hops === undefined).length, 3, 'not again so soon')
  await all.bobsPort()
  await all.clock.advance(40_000)
  over = false
  void all.holding.hurry(all.contact.key).then(() => (over = true))
  await all.clock.advance(500)
  assert.ok(over)
  assert.is(all.links.length, 1)
})

test('with something waiting the periods are shorter, and a hello out of turn waits until it does no harm', async () => {
  const all = await scene()
  void all.holding.hurry(all.contact.key)
  await all.clock.advance(20_000)
  await all.clock.advance(PERIOD_WAITING_MS - all.phase(PERIOD_WAITING_MS))
  const from = all.clock.time
  await all.clock.advance(PERIOD_WAITING_MS - 5_000)
  assert.ok(all.sent(from).every(([at]) => at * 1000 <= PERIOD_WAITING_MS - SILENCE_MS))
  assert.is(all.sent(from).filter(([, hops]) => hops === undefined).length, 3)
  const late = all.clock.time
  let over = false
  void all.holding.hurry(all.contact.key).then(() => (over = true))
  await settle()
  await all.clock.advance(4_900)
  assert.equal(all.sent(late), [], 'nothing in the silence')
  await all.clock.advance(8_000)
  assert.not.ok(over, 'an answer is waited for')
  const said = all.sent(late).filter(([, hops]) => hops === undefined)
  assert.equal(said.map(([at]) => Math.round(at)), [8, 9, 11], 'as early as the period allows, and not twice')
  await all.clock.advance(200)
  assert.ok(over)
})

test('to a neighbour that is called over TCP no hello goes out of turn, and none is waited for, in the silence neither', async () => {
  const all = await scene({ addresses: [both('127.0.0.1', 21_001)] })
  await all.clock.advance(2 * PERIOD_WAITING_MS - all.phase(PERIOD_WAITING_MS) - 5_000)
  const from = all.clock.time
  let over = false
  void all.holding.hurry(all.contact.key).then(() => (over = true))
  await settle()
  assert.ok(over)
  assert.equal(all.sent(from), [])
})

test('a hello that waits for the end of the silence is not said if somebody else sees to the contact by then', async () => {
  const all = await scene()
  const { key } = all.contact
  void all.holding.hurry(key)
  await all.clock.advance(20_000)
  await all.clock.advance(2 * PERIOD_WAITING_MS - 5_000 - all.phase(PERIOD_WAITING_MS))
  const from = all.clock.time
  let over = false
  void all.holding.hurry(key, 5_000).then(() => (over = true))
  await settle()
  assert.ok(over, 'who has no time is told at once')
  void all.holding.hurry(key)
  await all.clock.advance(1_000)
  all.holding.pause(key)
  await all.clock.advance(15_000)
  assert.equal(all.sent(from), [])
})

test('what waited from the start counts as well', async () => {
  const held = await scene()
  held.queue.push('1700000000000000.' + 'ab'.repeat(32))
  held.contact = { ...held.contact, transport: person(suite).key.publicKey } // begun anew with another key
  held.holding.start()
  await settle()
  await held.clock.advance(3 * PERIOD_WAITING_MS)
  const hellos = held.sent().filter(([, hops]) => hops === undefined).length
  assert.ok(hellos >= 3 * 3, `${hellos} hellos`)
})

test('after a sleep all begins anew', async () => {
  const all = await scene()
  await all.clock.advance(50_000)
  all.clock.time += PERIOD_MS - 50_000 + 7_000 // no timer ran meanwhile
  const from = all.clock.time
  await all.clock.advance(7_000)
  assert.equal(all.sent(from), [OPENER(0), OPENER(1), HELLO(3), HELLO(4), HELLO(6)])
})

test('of all contacts one alone is held where one is asked for; both sides of a pair know the same', () => {
  const [alice, bob, eve] = [person(suite), person(suite), person(suite)]
  const contactOf = ({ identity, key }: Person): Contact => ({ key: base58(identity), identity, transport: key.publicKey }) as unknown as Contact
  const stationOf = ({ identity, key }: Person, ...others: Person[]): Station =>
    ({ suite, ownKey: key, home: { clock: new FakeClock() }, keyring: { self: { identity }, all: () => others.map(contactOf) } }) as unknown as Station
  const { key } = contactOf(bob)
  const held = (only?: string): string[] =>
    new Missed({ station: stationOf(alice, bob, eve), only, make: () => ({}) }).takeIn().begun.map((each) => each.key)
  assert.equal(held(), [key, contactOf(eve).key])
  assert.equal(held(key), [key])
  const [hers, his] = [coupleOf(stationOf(alice), contactOf(bob)), coupleOf(stationOf(bob), contactOf(alice))]
  assert.equal([hers.secret, hers.lower, hers.self, hers.peer], [his.secret, his.lower, his.peer, his.self])
  assert.not.equal(hers.secret, coupleOf(stationOf(alice), contactOf(eve)).secret)
})

test('blocked and removed contacts get nothing more', async () => {
  for (const change of [{ blocked: true }, undefined]) {
    const all = await scene()
    await all.clock.advance(10_000)
    const from = all.clock.time
    all.contact = (change === undefined ? undefined : { ...all.contact, ...change }) as Contact
    all.holding.start()
    await all.clock.advance(100_000)
    assert.equal(all.sent(from), [])
  }
})

test('only addresses for UDP, in families this machine has, and not its own', async () => {
  const all = await scene({
    addresses: [
      { host: '203.0.113.50', port: 1, tcp: true, udp: false },
      both('2001:db8::7', 21_000),
      both('127.0.0.1', 21_000),
      both(B.ip, B.port),
    ],
  })
  await all.clock.advance(30_000)
  assert.equal([...new Set(all.net.sent.map(({ to }) => to.ip))], [B.ip])
})

test('a hello that cannot be noted is left out, a disk that fails ends it', async () => {
  const busy = await scene({}, () => Promise.reject(new Failure(EX.TEMPORARY, 'the lock is held')))
  await busy.clock.advance(30_000)
  assert.equal(busy.failures, [])
  assert.ok(busy.sent().every(([, hops]) => hops === 5))
  const broken = await scene({}, () => Promise.reject(Object.assign(new Error('EIO'), { code: 'EIO' })))
  await broken.clock.advance(30_000)
  assert.is(broken.failures.length, 1)
})

test('a stopped one is quiet', async () => {
  const all = await scene()
  all.holding.stop()
  const from = all.clock.time
  await all.clock.advance(400_000)
  assert.equal(all.sent(from), [])
})

test.run()
