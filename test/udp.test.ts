// The UDP port: hellos, answers, silence, retransmission, moving, in memory and on a virtual clock.

import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { hex } from '../lib/base/bytes.ts'
import { systemRandom } from '../lib/base/random.ts'
import { loadSuite } from '../lib/crypto/suite.ts'
import { type Responder } from '../lib/net/answer.ts'
import { Gathered } from '../lib/net/gathered.ts'
import type { GreetOptions } from '../lib/net/greeting.ts'
import { Guard } from '../lib/net/guard.ts'
import { type Link } from '../lib/net/link.ts'
import { MARK_SIZE } from '../lib/net/roam.ts'
import type { Ending, Endpoint } from '../lib/net/stream.ts'
import { UdpPort } from '../lib/net/udp.ts'
import type { Frame } from '../lib/wire/frame.ts'
import { encodePayload1, HELLO_SIZE } from '../lib/wire/hello.ts'
import { FakeClock, hello, PAYLOAD1, type Person, person, responderFor, settle, stamp } from './netkit.ts'
import { type Sent, UdpNet } from './udpkit.ts'

const suite = await loadSuite(process.env)
const PORT = 21_000
const A: Endpoint = { ip: '192.0.2.1', port: PORT }
const B: Endpoint = { ip: '192.0.2.2', port: PORT }
const C: Endpoint = { ip: '198.51.100.3', port: 4000 }
const PING: Frame = { type: 'ping', bytes: new Uint8Array(8) }

interface Side {
  who: Person
  port: UdpPort
  links: Link[]
  faults: unknown[]
  /** I, and address, of who showed itself. */
  shown: [string, string][]
  guard: Guard<Ending>
  responder: ReturnType<typeof responderFor>
  move: (ip: string) => void
}

interface Scene {
  clock: FakeClock
  net: UdpNet
  alice: Side
  bob: Side
}

async function side(net: UdpNet, clock: FakeClock, at: Endpoint, who: Person, contacts: Person[]): Promise<Side> {
  const guard = new Guard<Ending>(clock, systemRandom)
  const responder = responderFor(who, contacts)
  const links: Link[] = []
  const faults: unknown[] = []
  const shown: Side['shown'] = []
  const { open, move } = net.host(at.ip)
  const port = await UdpPort.open({
    suite,
    clock,
    random: systemRandom,
    guard,
    responder,
    port: at.port,
    open,
    onLink: (link) => void links.push(link),
    onShown: (identity, { ip }) => void shown.push([hex(identity), ip]),
    onFault: (error) => void faults.push(error),
  })
  return { who, port, links, faults, shown, guard, responder, move }
}

async function scene(): Promise<Scene> {
  const clock = new FakeClock()
  const net = new UdpNet(clock)
  const [alice, bob] = [person(suite), person(suite)]
  return {
    clock,
    net,
    alice: await side(net, clock, A, alice, [bob]),
    bob: await side(net, clock, B, bob, [alice]),
  }
}

const greeting = (from: Side, to: Person): GreetOptions => ({
  suite,
  random: systemRandom,
  self: { identity: from.who.identity, transportKey: from.who.key, seq: 1n, token: new Uint8Array(0) },
  peer: { identity: to.identity, transport: to.key.publicKey },
  seqHeld: 1n,
  stamp,
})

/** Starts a call; `outcome` is what came of it so far. */
function calling(from: Side, to: Person, at: Endpoint): { outcome?: Link | string; stop: AbortController } {
  const call: { outcome?: Link | string; stop: AbortController } = { stop: new AbortController() }
  void from.port.call(greeting(from, to), at, call.stop.signal).then((outcome) => (call.outcome = outcome))
  return call
}

async function link({ clock, alice, bob }: Scene): Promise<[Link, Link]> {
  const call = calling(alice, bob.who, B)
  await clock.advance(100)
  const near = call.outcome as Link
  await near.send(PING)
  await settle()
  await clock.advance(100)
  const far = bob.links.at(-1)
  if (far === undefined) throw new Error('the caller was not confirmed')
  return [near, far]
}

const from = (net: UdpNet, { ip }: Endpoint): Sent[] => net.sent.filter((sent) => sent.from.ip === ip)
const toBob = (net: UdpNet, bytes: Uint8Array, place = C): void => net.inject(bytes, place, B)

test('one hello, one answer, and the two talk', async () => {
  const all = await scene()
  const { net, alice, bob } = all
  const [near, far] = await link(all)
  assert.is(near.carrier, 'udp')
  assert.equal(near.remote, B)
  assert.equal(far.remote, A)
  assert.equal(
    net.sent.map(({ from: { ip }, bytes }) => [ip, bytes.length]),
    [
      [A.ip, HELLO_SIZE],
      [B.ip, HELLO_SIZE],
    ],
  )
  assert.is((await far.receive())?.type, 'ping')
  await far.send({ type: 'pong', bytes: new Uint8Array(8) })
  await settle()
  await all.clock.advance(100)
  assert.is((await near.receive())?.type, 'pong')
  const [told] = bob.responder.admitted
  assert.ok(told !== undefined && told.streamId !== 0)
  assert.equal('observed' in near.hello && near.hello.observed, A)
  assert.ok(bob.guard.knows(A.ip))
  assert.is(bob.guard.counts.unconfirmed, 0)
  assert.equal([alice.faults, bob.faults], [[], []])
})

test('nothing follows the answer before the caller has shown its keys, and it is given up after 10 s', async () => {
  const { clock, net, alice, bob } = await scene()
  const call = calling(alice, bob.who, B)
  await clock.advance(100)
  assert.ok(typeof call.outcome === 'object')
  await clock.advance(9_000)
  assert.is(from(net, B).length, 1)
  assert.is(bob.links.length, 0)
  assert.is(bob.guard.counts.unconfirmed, 1)
  await clock.advance(2_000)
  assert.is(bob.guard.counts.unconfirmed, 0)
  await settle()
  assert.is(bob.port.counts.streams, 0)
  assert.is(from(net, B).length, 1)
})

test('a hello is sent again after 1, 2, 4 and 8 s, the same bytes, and then given up', async () => {
  const { clock, net, alice, bob } = await scene()
  net.way = () => undefined
  const call = calling(alice, bob.who, B)
  await clock.advance(18_500)
  assert.is(call.outcome, 'timeout')
  assert.equal(net.sent.map(({ at }) => at), [0, 1000, 2000, 4000, 8000])
  assert.is(new Set(net.sent.map(({ bytes }) => Buffer.from(bytes).toString('hex'))).size, 1)
  assert.equal(alice.port.counts, { pending: 0, answered: 0, streams: 0, marks: 0 })
})

test('a call can be stopped', async () => {
  const { clock, net, alice, bob } = await scene()
  net.way = () => undefined
  const call = calling(alice, bob.who, B)
  await clock.advance(1500)
  call.stop.abort()
  await clock.advance(20_000)
  assert.is(call.outcome, 'timeout')
  assert.is(net.sent.length, 2)
})

test('an answer that was lost is given again to the same hello from the same place, for 20 s', async () => {
  const { clock, net, alice, bob } = await scene()
  net.way = (sent) => (sent.from.ip === B.ip ? undefined : sent)
  calling(alice, bob.who, B)
  await clock.advance(3_000)
  const answers = from(net, B)
  assert.is(answers.length, 3)
  assert.equal(answers[1]?.bytes, answers[0]?.bytes)
  assert.is(bob.responder.admitted.length, 1)
  const [first] = from(net, A)
  assert.ok(first)
  toBob(net, first.bytes)
  await clock.advance(100)
  assert.is(from(net, B).length, 3, 'from elsewhere it is a replay')
  await clock.advance(25_000)
  assert.is(bob.port.counts.answered, 0)
  const before = from(net, B).length
  net.inject(first.bytes, A, B)
  await clock.advance(100)
  assert.is(from(net, B).length, before, 'later it is a replay as well')
})

test('the answer goes to where the hello came from, and that is where the caller is', async () => {
  const all = await scene()
  const { net } = all
  const outside: Endpoint = { ip: '203.0.113.9', port: 40_007 }
  net.way = (sent) => {
    if (sent.from.ip === A.ip) return { ...sent, from: outside } // a NAT
    if (sent.to.ip === outside.ip) return { ...sent, to: A }
    return sent
  }
  const call = calling(all.alice, all.bob.who, B)
  await all.clock.advance(100)
  const near = call.outcome as Link
  assert.equal('observed' in near.hello && near.hello.observed, outside)
  assert.equal(from(net, B)[0]?.to, outside)
})

test('an answer from another address than the one called counts', async () => {
  const all = await scene()
  const other: Endpoint = { ip: '203.0.113.77', port: 555 }
  all.net.way = (sent) => (sent.from.ip === B.ip ? { ...sent, from: other } : sent)
  const call = calling(all.alice, all.bob.who, B)
  await all.clock.advance(100)
  assert.equal((call.outcome as Link).remote, other)
})

test('both call at once: both are answered', async () => {
  const { clock, alice, bob } = await scene()
  const [one, two] = [calling(alice, bob.who, B), calling(bob, alice.who, A)]
  await clock.advance(100)
  for (const { outcome } of [one, two]) await (outcome as Link).send(PING)
  await settle()
  await clock.advance(100)
  assert.is(alice.links.length, 1)
  assert.is(bob.links.length, 1)
})

/** What a stranger sends; nothing must come back, and nothing must change. */
type Caller = (scene: Scene) => Uint8Array

const valid = ({ alice, bob }: Scene, streamId = 7): Uint8Array => {
  const payload = encodePayload1({ ...PAYLOAD1, identity: alice.who.identity, streamId, ts: BigInt(Date.now()) })
  return hello(suite, alice.who, { identity: bob.who.identity, transport: bob.who.key.publicKey }, payload).message
}
const flipped = (bit: number): Caller => (all) => {
  const message = valid(all)
  message[bit >> 3] = (message[bit >> 3] ?? 0) ^ (1 << (bit & 7))
  return message
}

const SILENT: Record<string, Caller> = {
  'nothing in a datagram': () => new Uint8Array(0),
  'one byte': () => Uint8Array.of(1),
  'an opener': () => systemRandom.bytes(MARK_SIZE),
  'garbage of the right size': () => systemRandom.bytes(HELLO_SIZE),
  'zeros of the right size': () => new Uint8Array(HELLO_SIZE),
  'a hello one byte short': (all) => valid(all).subarray(0, HELLO_SIZE - 1),
  'a hello one byte long': (all) => new Uint8Array([...valid(all), 0]),
  'a large datagram': () => systemRandom.bytes(1400),
  'the head of a udx packet': () => new Uint8Array([255, 1, 16, 0, ...systemRandom.bytes(16)]),
  'a STUN request': () => new Uint8Array([0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, ...systemRandom.bytes(12)]),
  'a DNS query': () => new Uint8Array([0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1]),
  'a hello with a bit wrong in its ephemeral key': flipped(9),
  'a hello with a bit wrong in its static key': flipped(8 * 40),
  'a hello with a bit wrong in its payload': flipped(8 * 500),
  'a hello with the last bit wrong': flipped(8 * HELLO_SIZE - 1),
  "a stranger's hello": ({ bob }) => {
    const stranger = person(suite)
    return hello(suite, stranger, { identity: bob.who.identity, transport: bob.who.key.publicKey }).message
  },
  'a hello to somebody else': ({ alice }) => {
    const other = person(suite)
    return hello(suite, alice.who, { identity: other.identity, transport: other.key.publicKey }).message
  },
  'a hello without a stream': (all) => valid(all, 0),
}

for (const [what, caller] of Object.entries(SILENT)) {
  test(`no answer to ${what}`, async () => {
    const all = await scene()
    const { clock, net, bob } = all
    toBob(net, caller(all))
    await clock.advance(60_000)
    assert.equal(from(net, B), [])
    assert.equal(bob.port.counts, { pending: 0, answered: 0, streams: 0, marks: 0 })
    assert.equal([bob.links, bob.faults, bob.guard.counts.unconfirmed], [[], [], 0])
  })
}

test('that hello is answered if nothing is wrong with it', async () => {
  const all = await scene()
  toBob(all.net, valid(all))
  await all.clock.advance(100)
  assert.is(from(all.net, B).length, 1)
  assert.is(from(all.net, B)[0]?.bytes.length, HELLO_SIZE)
})

test('a flood of forged hellos costs no more than its budget, and a friend gets through', async () => {
  const all = await scene()
  const { clock, net, alice, bob } = all
  bob.guard.know(A.ip)
  let opened = 0
  bob.responder.transportKeys = (): ReturnType<Responder['transportKeys']> => {
    opened++
    return [bob.who.key]
  }
  const garbage = systemRandom.bytes(HELLO_SIZE)
  for (let i = 0; i < 5_000; i++) net.inject(garbage, { ip: `10.${i >> 8}.${i & 255}.1`, port: 1 }, B)
  const call = calling(alice, bob.who, B)
  await clock.advance(1000)
  assert.ok(typeof call.outcome === 'object')
  assert.ok(opened <= 310, `${opened} hellos were opened`) // burst 100, 200 a second, and the friend
  assert.is(from(net, B).length, 1)
})

test('a caller with an answer under way is tried against it, a flood of those too within the budget', async () => {
  const { clock, net, alice, bob } = await scene()
  net.way = (sent) => (sent.to.ip === B.ip ? undefined : sent)
  const calls = Array.from({ length: 20 }, () => calling(alice, bob.who, B))
  await clock.advance(100)
  for (let i = 0; i < 500; i++) net.inject(systemRandom.bytes(HELLO_SIZE), C, A)
  await clock.advance(100)
  assert.ok(calls.every(({ outcome }) => outcome === undefined))
  assert.is(from(net, A).length, 20)
})

test('a side that has moved is followed', async () => {
  const all = await scene()
  const { clock, alice, bob, net } = all
  const [near, far] = await link(all)
  const other: Endpoint = { ip: '203.0.113.50', port: PORT }
  alice.move(other.ip)
  await far.send(PING)
  await settle()
  await clock.advance(1000)
  assert.equal(far.remote, A)
  near.announce()
  await clock.advance(100)
  assert.equal(far.remote, other)
  assert.is((await near.receive())?.type, 'ping', 'what was under way came after it')
  const [mark] = from(net, other)
  assert.is(mark?.bytes.length, MARK_SIZE)
  toBob(net, mark?.bytes ?? new Uint8Array(0))
  await clock.advance(100)
  assert.equal(far.remote, other, 'a mark is good once')
  assert.equal([alice.faults, bob.faults], [[], []])
})

test('what was under way to a side that has moved is lost, and so is the link, a second later', async () => {
  const all = await scene()
  const { clock, alice, bob, net } = all
  const [near, far] = await link(all)
  const other: Endpoint = { ip: '203.0.113.50', port: PORT }
  net.sticks = true
  alice.move(other.ip)
  await far.send(PING)
  await settle()
  await clock.advance(1000)
  near.announce()
  await clock.advance(900)
  assert.equal([far.reason, far.displaced, far.remote], [undefined, false, other])
  await clock.advance(200)
  assert.is((await far.receive())?.type, 'ping')
  assert.is(await far.receive(), undefined)
  assert.ok(far.displaced)
  assert.is(bob.port.counts.streams, 0)
  assert.not.ok(near.displaced)
})

test('a mark from where the side is anyway changes nothing', async () => {
  const all = await scene()
  const { clock, net } = all
  const [near, far] = await link(all)
  net.sticks = true
  near.announce()
  await clock.advance(100)
  await far.send(PING)
  await settle()
  near.announce()
  await clock.advance(5000)
  assert.equal([far.reason, far.displaced, (await near.receive())?.type], [undefined, false, 'ping'])
})

test('marks that are lost do not matter', async () => {
  const all = await scene()
  const { clock, alice, net } = all
  const [near, far] = await link(all)
  alice.move('203.0.113.51')
  net.way = () => undefined
  for (let i = 0; i < 15; i++) near.announce()
  await clock.advance(100)
  net.way = (sent) => sent
  near.announce()
  await clock.advance(100)
  assert.is(far.remote.ip, '203.0.113.51')
})

test('a mark of a session that has ended here a moment ago tells where the other side is', async () => {
  const all = await scene()
  const { clock, net, alice, bob } = all
  const [near, far] = await link(all)
  net.way = () => undefined
  for (let i = 0; i < 3; i++) near.announce()
  const [one, two, three] = net.sent.slice(-3).map(({ bytes }) => bytes) as [Uint8Array, Uint8Array, Uint8Array]
  net.way = (sent) => sent
  near.close()
  far.close()
  await clock.advance(5000)
  assert.is(bob.port.counts.streams, 0)
  toBob(net, one)
  toBob(net, one)
  await clock.advance(100)
  assert.equal(bob.shown, [[hex(alice.who.identity), C.ip]], 'once')
  toBob(net, two)
  await clock.advance(60_000)
  assert.equal([bob.shown.length, bob.port.counts.marks], [2, 0])
  toBob(net, three)
  await clock.advance(100)
  assert.is(bob.shown.length, 2, 'for a minute')
})

test('openers end on the way', async () => {
  const { clock, net, alice } = await scene()
  alice.port.opener(B)
  await clock.advance(100)
  assert.equal(net.sent.map(({ hops, bytes }) => [hops, bytes.length]), [[5, MARK_SIZE]])
})

test('a closed port is silent, and its streams are over', async () => {
  const all = await scene()
  const { clock, net, alice, bob } = all
  const [near, far] = await link(all)
  far.close()
  near.close()
  await clock.advance(100)
  const before = net.sent.length
  await bob.port.close()
  net.inject(valid(all), A, B)
  await clock.advance(1000)
  assert.is(net.sent.length, before + 1)
  assert.equal(bob.port.counts, { pending: 0, answered: 0, streams: 0, marks: 0 })
  await clock.advance(60_000)
  assert.is(alice.port.counts.marks, 0)
})

test('a port with a link that does not end closes all the same', async () => {
  const all = await scene()
  const [, far] = await link(all)
  const closing = all.bob.port.close()
  await all.clock.advance(2_500)
  await closing
  assert.is(await far.receive().then((frame) => frame?.type), 'ping')
  assert.is(await far.receive(), undefined)
})

test('packets of several connections are gathered in memory that they share one after the other, and stay what they were', () => {
  const step = fc.record({
    which: fc.nat(2),
    push: fc.oneof(fc.nat({ max: 1400 }), fc.nat({ max: 90_000 }), fc.constant(65_536)),
    takes: fc.nat(4),
    back: fc.nat({ max: 70_000 }),
  })
  fc.assert(
    fc.property(fc.array(step, { minLength: 20, maxLength: 120 }), (steps) => {
      const all = [0, 1, 2].map(() => ({ gathered: new Gathered(), in: 0, out: 0, held: new Uint8Array(0) as Uint8Array }))
      const right = ({ held, out }: (typeof all)[number]): boolean => held.every((byte, i) => byte === (out - held.length + i) % 251)
      for (const { which, push, takes, back } of steps) {
        const one = all[which] as (typeof all)[number]
        one.gathered.push(Uint8Array.from({ length: push }, (_, i) => (one.in + i) % 251))
        one.in += push
        for (let turn = 0; turn < takes; turn++) {
          assert.ok(right(one)) // until the next is taken
          const taken = one.gathered.take()
          if (taken === undefined) {
            assert.is(one.out, one.in)
            break
          }
          one.held = taken
          one.out += taken.length
          assert.ok(all.every(right))
          if (turn > 0 || back >= taken.length) continue
          one.gathered.putBack(taken.subarray(taken.length - back))
          one.held = taken.subarray(0, taken.length - back)
          one.out -= back
        }
      }
    }),
    { numRuns: 60 },
  )
})

test('a byte here and there between large pieces takes no buffer of its own', () => {
  const gathered = new Gathered()
  const [large, count] = [60_000, 64]
  for (let i = 0; i < count; i++) {
    gathered.push(Uint8Array.of(i))
    gathered.push(new Uint8Array(large + 7584).subarray(0, large).fill(i))
  }
  const memory = new Set<ArrayBufferLike>()
  for (let i = 0; i < 2 * count; i++) {
    const piece = gathered.take() as Uint8Array
    assert.equal([piece.length, piece[0], piece.at(-1)], [i % 2 === 0 ? 1 : large, i >> 1, i >> 1])
    memory.add(piece.buffer)
  }
  assert.is(gathered.take(), undefined)
  const held = [...memory].reduce((sum, { byteLength }) => sum + byteLength, 0)
  assert.ok(held < 1.3 * count * large, `${held} bytes`)
})

test('a buffer that goes on after a large piece is nobody else\'s', () => {
  const [one, other] = [new Gathered(), new Gathered()]
  const push = (to: Gathered, value: number, count: number): void => {
    for (let i = 0; i < count; i++) to.push(new Uint8Array(1000).fill(value))
  }
  const takeAll = (from: Gathered): Set<number> => {
    const seen = new Set<number>()
    for (let piece = from.take(); piece !== undefined; piece = from.take()) for (const byte of piece) seen.add(byte)
    return seen
  }
  for (const each of [one, other]) {
    push(each, 1, 200) // until its buffers are of the size that is used again
    takeAll(each)
  }
  push(one, 2, 1)
  one.push(new Uint8Array(40_000).fill(3))
  assert.equal([...takeAll(one)], [2, 3])
  push(other, 4, 130)
  push(one, 5, 1)
  assert.equal([...takeAll(other)], [4])
  assert.equal([...takeAll(one)], [5])
})

test.run()
