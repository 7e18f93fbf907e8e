import { connect as netConnect } from 'node:net'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { concat } from '../lib/base/bytes.ts'
import { systemRandom } from '../lib/base/random.ts'
import { loadSuite, type Suite } from '../lib/crypto/suite.ts'
import { serve, type Server } from '../lib/net/accept.ts'
import { type Responder } from '../lib/net/answer.ts'
import { Guard } from '../lib/net/guard.ts'
import { type Link } from '../lib/net/link.ts'
import { type ByteStream, type Ending } from '../lib/net/stream.ts'
import { encodeFrame } from '../lib/wire/frame.ts'
import { encodePayload1, HELLO_SIZE } from '../lib/wire/hello.ts'
import {
  FakeClock,
  fastClock,
  hello,
  type MemoryStream,
  PAYLOAD1,
  type Person,
  person,
  pipe,
  responderFor,
  settle,
} from './netkit.ts'

const node = await loadSuite({ P2P_CRYPTO: 'node' })
const noble = await loadSuite({ P2P_CRYPTO: 'noble' })
const EMPTY = new Uint8Array(0)
const PING = encodeFrame({ type: 'ping', bytes: new Uint8Array(8) })
const HALF = { bytes: (size: number) => new Uint8Array(size).fill(0x80, 0, 1) } // half the spread
const HOUR = 22_500 // so a failed connection is shut down this long after it was accepted

interface Scene {
  clock: FakeClock
  server: Server
  guard: Guard<Ending>
  responder: ReturnType<typeof responderFor>
  links: Link[]
  faults: unknown[]
  alice: Person
  bob: Person
  mallory: Person
  /** The streams of a new connection: the caller's end and the listener's. */
  arrive: (ip?: string) => [MemoryStream, MemoryStream]
}

/** Bob listens in memory, on a virtual clock; alice is his contact, mallory nobody. */
async function scene(suite: Suite = node, change: Partial<Responder> = {}): Promise<Scene> {
  const clock = new FakeClock()
  const [alice, bob, mallory] = [person(suite), person(suite), person(suite)]
  const guard = new Guard<Ending>(clock, systemRandom)
  const responder = responderFor(bob, [alice])
  const links: Link[] = []
  const faults: unknown[] = []
  let meet: (stream: ByteStream) => void = () => {}
  const server = await serve({
    suite,
    clock,
    random: { bytes: (size) => (size === 4 ? HALF : systemRandom).bytes(size) },
    guard,
    responder: Object.assign(responder, change),
    port: 1,
    hosts: ['192.0.2.1'],
    onLink: (link) => links.push(link),
    onFault: (error) => faults.push(error),
    listen: async (at, onStream) => {
      meet = onStream
      return { ...at, close: async () => {} }
    },
  })
  let callers = 0
  const arrive = (ip = `10.0.${++callers >> 8}.${callers & 255}`): [MemoryStream, MemoryStream] => {
    const ends = pipe(clock, { ip, port: 4000 })
    meet(ends[1])
    return ends
  }
  return { clock, server, guard, responder, links, faults, alice, bob, mallory, arrive }
}

const addressOf = (who: Person) => ({ identity: who.identity, transport: who.key.publicKey })

/** What a caller sends at once. Each of these has to fail. */
type Caller = (scene: Scene) => Uint8Array | Promise<Uint8Array>

const flipped = (bit: number) => ({ alice, bob }: Scene): Uint8Array => {
  const { message } = hello(node, alice, addressOf(bob))
  message[bit >> 3] = (message[bit >> 3] ?? 0) ^ (1 << (bit & 7))
  return message
}

const SILENT: Record<string, Caller> = {
  'says nothing': () => EMPTY,
  'sends one byte': () => Uint8Array.of(0x16),
  'sends one byte less than a hello': ({ alice, bob }) => hello(node, alice, addressOf(bob)).message.subarray(0, 767),
  'sends garbage': () => systemRandom.bytes(HELLO_SIZE),
  'sends zeros': () => new Uint8Array(HELLO_SIZE),
  'sends much garbage': () => systemRandom.bytes(300_000),
  'speaks HTTP': () => concat(new TextEncoder().encode('GET / HTTP/1.1\r\nHost: example.org\r\n\r\n')),
  'has a bit wrong in its ephemeral key': flipped(17),
  'has a bit wrong in its static key': flipped(8 * 40),
  'has a bit wrong in its payload': flipped(8 * 700),
  'has the last bit wrong': flipped(8 * 768 - 1),
  'means another identity': ({ alice, bob, mallory }) =>
    hello(node, alice, { identity: mallory.identity, transport: bob.key.publicKey }).message,
  'means another transport key': ({ alice, bob, mallory }) =>
    hello(node, alice, { identity: bob.identity, transport: mallory.key.publicKey }).message,
  'is unknown': ({ bob, mallory }) => hello(node, mallory, addressOf(bob)).message,
  'is unknown and claims a contact': ({ alice, bob, mallory }) =>
    hello(node, { identity: alice.identity, key: mallory.key }, addressOf(bob)).message,
  'is a contact with somebody else\'s identity': ({ alice, bob, mallory }) =>
    hello(node, { identity: mallory.identity, key: alice.key }, addressOf(bob)).message,
  'seals a payload with bad padding': ({ alice, bob }) => {
    const payload = encodePayload1({ ...PAYLOAD1, identity: alice.identity })
    payload[671] = 1
    return hello(node, alice, addressOf(bob), payload).message
  },
  'replays': async ({ alice, bob, clock, responder, arrive }) => {
    const { message } = hello(node, alice, addressOf(bob))
    const [stream] = arrive('192.0.2.77')
    await stream.write([message])
    await settle()
    assert.is(responder.admitted.length, 1)
    stream.destroy()
    await clock.advance(30_000)
    responder.admitted.length = 0
    return message
  },
}

for (const [what, caller] of Object.entries(SILENT)) {
  test(`a caller that ${what} gets no byte, no early end, no reset`, async () => {
    const all = await scene()
    const { clock, guard, links, faults, responder, arrive } = all
    const sent = await caller(all)
    const begun = clock.time
    const [near, far] = arrive()
    if (sent.length > 0) await near.write([sent])
    await clock.advance(HOUR - 1)
    assert.equal(far.log, [])
    await clock.advance(1)
    assert.equal(far.log, [`${begun + HOUR} fin`])
    await clock.advance(4999)
    assert.is(far.log.length, 1)
    await clock.advance(1)
    assert.equal(far.log, [`${begun + HOUR} fin`, `${begun + HOUR + 5000} close`])
    assert.equal([far.written, links.length, faults.length, responder.admitted.length], [0, 0, 0, 0])
    assert.equal([guard.counts.waiting, guard.counts.draining, guard.counts.unconfirmed], [0, 0, 0])
    assert.is(clock.timers, 0)
  })
}

test('a caller that closes its side at once, or after garbage, is kept just as long', async () => {
  for (const bytes of [0, 5, 768, 5000]) {
    const { clock, arrive } = await scene()
    const [near, far] = arrive()
    await near.write([systemRandom.bytes(bytes)])
    near.end()
    await clock.advance(HOUR - 1)
    assert.equal(far.log, [])
    await clock.advance(1)
    assert.equal(far.log, [`${HOUR} fin`, `${HOUR} close`])
    assert.is(far.written, 0)
    assert.is(clock.timers, 0)
  }
})

test('a caller that closes between our end and our close ends it', async () => {
  const { clock, arrive } = await scene()
  const [near, far] = arrive()
  await clock.advance(HOUR + 1000)
  near.end()
  await clock.advance(0)
  assert.equal(far.log, [`${HOUR} fin`, `${HOUR + 1000} close`])
})

test('a caller that breaks the connection leaves nothing behind', async () => {
  for (const bytes of [0, 768, 100_000]) {
    const { clock, guard, arrive } = await scene()
    const [near, far] = arrive()
    await near.write([systemRandom.bytes(bytes)])
    await clock.advance(1)
    far.destroy()
    await clock.advance(1)
    assert.is(clock.timers, 0, `${bytes}`)
    assert.is(guard.counts.draining, 0)
  }
})

test('a failed caller is read once a second, at times that do not tell how far it got', async () => {
  let work = 0
  const { clock, alice, bob, arrive } = await scene(node, {
    admit: () => new Promise((resolve) => clock.after(work, () => resolve(undefined))),
  })
  const taken = async (first: Uint8Array): Promise<string[]> => {
    const began = clock.time
    const [near, far] = arrive()
    const times: string[] = []
    const take = far.take.bind(far)
    far.take = () => {
      const chunk = take()
      if (chunk !== undefined) times.push(`${clock.time - began}: ${chunk.length}`)
      return chunk
    }
    await near.write([first])
    for (let n = 0; n < 50; n++) await near.write([new Uint8Array(65_536)])
    await settle()
    for (let step = 0; step < 350; step++) {
      await clock.advance(100)
      await settle() // decisions take turns of the real loop
    }
    return times
  }
  const times = await taken(systemRandom.bytes(HELLO_SIZE))
  const hours = Array.from({ length: 22 }, (_, n) => 1000 * (n + 1))
  const last = Array.from({ length: 5 }, (_, n) => 1000 * (n + 23))
  assert.equal(times, ['0: 768', ...[...hours, ...last].map((at) => `${at}: 65536`)])
  for (work of [0, 300, 700]) assert.equal(await taken(hello(node, alice, addressOf(bob)).message), times, `after ${work} ms`)
})

test('a hello that trickles in within ten seconds is answered, a later one is not', async () => {
  for (const [pause, answered] of [[9_999, HELLO_SIZE], [10_001, 0]] as const) {
    const { clock, alice, bob, arrive } = await scene()
    const [near, far] = arrive()
    const { message } = hello(node, alice, addressOf(bob))
    await near.write([message.subarray(0, 400)])
    await clock.advance(pause)
    await near.write([message.subarray(400)])
    await settle()
    assert.is(far.written, answered)
    await clock.advance(60_000)
    assert.is(far.log[0], `${HOUR} fin`)
  }
})

test('after its answer the listener sends nothing and hands out nothing until the keys are confirmed', async () => {
  const cases: [string, (message: Uint8Array) => Uint8Array][] = [
    ['nothing', () => EMPTY],
    ['half a frame', (message) => message.subarray(0, 100)],
    ['a short length', () => Uint8Array.of(0, 16)],
    ['a flipped frame', (message) => message.map((byte, at) => (at === 50 ? byte ^ 1 : byte))],
    ['garbage', () => systemRandom.bytes(70_000)],
  ]
  for (const [what, change] of cases) {
    const { clock, guard, alice, bob, links, arrive } = await scene()
    const [near, far] = arrive()
    const { message, handshake } = hello(node, alice, addressOf(bob))
    await near.write([message])
    await settle()
    assert.is(far.written, HELLO_SIZE, what)
    assert.is(guard.counts.unconfirmed, 1)
    handshake.readMessage((await near.read()) ?? EMPTY)
    const sealed = handshake.split().send.encryptWithAd(EMPTY, PING)
    await near.write([change(concat(Uint8Array.of(sealed.length >> 8, sealed.length & 255), sealed))])
    await clock.advance(HOUR - 1)
    assert.equal(far.log, [], what)
    await clock.advance(6000)
    assert.equal(far.log, [`${HOUR} fin`, `${HOUR + 5000} close`], what)
    assert.equal([far.written, links.length, guard.counts.unconfirmed], [HELLO_SIZE, 0, 0])
    assert.not(guard.knows(far.remote.ip))
  }
})

test('a confirmed caller gets a link, and its address becomes known', async () => {
  for (const suite of [node, noble]) {
    const { clock, guard, alice, bob, links, arrive } = await scene(suite)
    const [near, far] = arrive()
    const { message, handshake } = hello(suite, alice, addressOf(bob))
    await near.write([message])
    await settle()
    handshake.readMessage((await near.read()) ?? EMPTY)
    const sealed = handshake.split().send.encryptWithAd(EMPTY, PING)
    const frame = concat(Uint8Array.of(sealed.length >> 8, sealed.length & 255), sealed)
    for (const byte of frame) await near.write([Uint8Array.of(byte)])
    await settle()
    assert.is(links.length, 1)
    assert.is((await links[0]?.receive())?.type, 'ping')
    assert.ok(guard.knows(far.remote.ip))
    assert.equal([guard.counts.waiting, guard.counts.unconfirmed, guard.counts.draining], [0, 0, 0])
    await clock.advance(60_000)
    assert.equal(far.log, [])
  }
})

test('the second of our own keys opens hellos too', async () => {
  const all = await scene()
  const old = node.generate(systemRandom)
  all.responder.transportKeys = () => [all.bob.key, old]
  const [near, far] = all.arrive()
  await near.write([hello(node, all.alice, { identity: all.bob.identity, transport: old.publicKey }).message])
  await settle()
  assert.is(far.written, HELLO_SIZE)
})

for (const [name, suite, step] of [['node', node, 7], ['noble', noble, 101]] as const) {
  test(`bits of the first message flipped one at a time: never an answer (${name})`, async () => {
    const all = await scene(suite)
    const { clock, alice, bob, responder, arrive } = all
    const { message } = hello(suite, alice, addressOf(bob))
    let written = 0
    for (let bit = 0; bit < 8 * HELLO_SIZE; bit += step) {
      const copy = message.slice()
      copy[bit >> 3] = (copy[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      const [near, far] = arrive()
      await near.write([copy])
      await clock.advance(10)
      written += far.written
    }
    assert.equal([written, responder.asked], [0, 0])
    const [near, far] = arrive()
    await near.write([message])
    await clock.advance(1000)
    assert.is(far.written, HELLO_SIZE, 'the original still works')
  })
}

test('a responder that fails is silence outside and heard of inside', async () => {
  const { clock, alice, bob, faults, arrive } = await scene(node, {
    admit: () => Promise.reject(new Error('disk full')),
  })
  const [near, far] = arrive()
  await near.write([hello(node, alice, addressOf(bob)).message])
  await clock.advance(60_000)
  assert.is(far.written, 0)
  assert.equal(far.log, [`${HOUR} fin`, `${HOUR + 5000} close`])
  assert.is((faults[0] as Error).message, 'disk full')
})

test('over budget is silence too; a contact\'s known address still gets through', async () => {
  const { clock, guard, alice, bob, responder, arrive } = await scene()
  guard.know('192.0.2.50')
  const junk: MemoryStream[] = []
  for (let n = 0; n < 800; n++) {
    const [near, far] = arrive()
    await near.write([systemRandom.bytes(HELLO_SIZE)])
    junk.push(far)
  }
  const friend = arrive('192.0.2.50')
  await friend[0].write([hello(node, alice, addressOf(bob)).message])
  const stranger = arrive('192.0.2.51')
  await stranger[0].write([hello(node, alice, addressOf(bob)).message])
  await settle()
  assert.is(friend[1].written, HELLO_SIZE)
  await clock.advance(3000)
  const kept = junk.filter((stream) => stream.log.length === 0).length
  assert.ok(kept === 512 || kept === 511, `${kept} kept`) // the stranger may be one of the 512
  await clock.advance(57_000)
  assert.is(stranger[1].written, 0)
  assert.is(responder.asked, 1)
  assert.ok(junk.every((stream) => stream.written === 0))
  const ends = new Set(junk.map((stream) => stream.log.join()))
  assert.ok([...ends].every((end) => end === `${HOUR} fin,${HOUR + 5000} close` || !end.includes('fin')))
  assert.is(clock.timers, 0)
})

test('of unknown callers at one address one a second gets as far as the responder', async () => {
  const { clock, bob, mallory, responder, arrive } = await scene()
  for (let n = 0; n < 4; n++) {
    const [near] = arrive('192.0.2.60')
    await near.write([hello(node, mallory, addressOf(bob)).message])
    await settle()
    assert.is(responder.asked, 1)
  }
  await clock.advance(1000)
  const [near] = arrive('192.0.2.60')
  await near.write([hello(node, mallory, addressOf(bob)).message])
  await settle()
  assert.is(responder.asked, 2)
})

test('a burst of one contact from one address waits a moment and gets through', async () => {
  const { clock, alice, bob, responder, arrive } = await scene()
  const streams = Array.from({ length: 16 }, () => arrive('127.0.0.1'))
  for (const [n, [near]] of streams.entries()) {
    const payload = encodePayload1({ ...PAYLOAD1, identity: alice.identity, ts: BigInt(n) })
    await near.write([hello(node, alice, addressOf(bob), payload).message])
  }
  await clock.advance(1000)
  assert.is(responder.admitted.length, 16)
})

test('closing the server drops strangers at once and lets the process end', async () => {
  const { clock, server, arrive } = await scene()
  const ends = [arrive(), arrive(), arrive()]
  await ends[0]?.[0].write([systemRandom.bytes(HELLO_SIZE)])
  ends[1]?.[0].end()
  await clock.advance(5000)
  await server.close()
  await clock.advance(0)
  assert.is(clock.timers, 0)
  assert.ok(ends.every(([, far]) => far.log.includes('5000 close')))
})

test('over TCP: no byte, no early end and a FIN, whatever the caller does', async () => {
  const clock = fastClock(40)
  const [alice, bob, mallory] = [person(node), person(node), person(node)]
  const server = await serve({
    suite: node,
    clock,
    random: systemRandom,
    guard: new Guard<Ending>(clock, systemRandom),
    responder: responderFor(bob, [alice]),
    port: 0,
    hosts: ['127.0.0.1'],
    onLink: () => assert.unreachable('a link'),
  })
  const torn = hello(node, alice, addressOf(bob)).message
  torn[100] = (torn[100] ?? 0) ^ 1
  const callers: [Uint8Array, boolean][] = [
    [EMPTY, false],
    [EMPTY, true],
    [Uint8Array.of(1), false],
    [torn.subarray(0, 767), false],
    [torn, false],
    [torn, true],
    [systemRandom.bytes(100_000), false],
    [hello(node, mallory, addressOf(bob)).message, false],
  ]
  const run = ([bytes, closes]: [Uint8Array, boolean]): Promise<{ got: number; how: string; after: number }> =>
    new Promise((resolve) => {
      let got = 0
      const begun = clock.monotonic() // not when it hears that it was accepted, which may be late
      const socket = netConnect({ port: server.port, host: '127.0.0.1', allowHalfOpen: true }, () => {
        if (bytes.length > 0) socket.write(bytes)
        if (closes) socket.end()
      })
      const done = (how: string): void => resolve({ got, how, after: clock.monotonic() - begun })
      socket.on('data', (chunk) => (got += chunk.length))
      socket.on('error', (error) => done(error.message))
      socket.on('end', () => {
        done('fin')
        setTimeout(() => socket.destroy(), 5000 / 40 + 50)
      })
    })
  for (const { got, how, after } of await Promise.all(callers.map(run))) {
    assert.is(got, 0)
    assert.is(how, 'fin')
    assert.ok(after > 19_900, `after ${after} ms`) // timers may be a millisecond early, which is 40 here
  }
  await server.close()
})

test.run()
