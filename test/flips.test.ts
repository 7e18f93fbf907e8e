// Every bit of both hellos counts: flipped one at a time, cut at every byte, prolonged by every length, they are driven
// into the side that reads them, with no budget in the way. Each flip must have reached the decryption, or the test
// would prove nothing; none may be answered, and none may leave a trace.
// test timeout: 600 s

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { concat } from '../lib/base/bytes.ts'
import { systemClock } from '../lib/base/clock.ts'
import { Malformed } from '../lib/base/fail.ts'
import { systemRandom } from '../lib/base/random.ts'
import { HandshakeState, IK } from '../lib/crypto/noise.ts'
import { nodeSuite } from '../lib/crypto/suite-node.ts'
import { Station } from '../lib/delivery/station.ts'
import { loadKeyring } from '../lib/disk/keyring.ts'
import { serve } from '../lib/net/accept.ts'
import { dial } from '../lib/net/dial.ts'
import type { Link } from '../lib/net/link.ts'
import type { ByteStream } from '../lib/net/stream.ts'
import { encodePayload2, HELLO_SIZE, prologueFor } from '../lib/wire/hello.ts'
import { helloOf, keysOf } from './caller.ts'
import { counting, flip, Open, state } from './flipkit.ts'
import { type MemoryStream, pipe, settle } from './netkit.ts'
import { type Peer, Stage } from './peer.ts'

const BITS = 8 * HELLO_SIZE
const LONGER = 800 // bytes; the rest of one datagram
const E_BITS = 8 * 32 // the ephemeral key: its last bit is masked by X25519 (RFC 7748 5), the hash still covers it

interface Responding {
  counts: ReturnType<typeof counting>
  guard: Open<ByteStream>
  links: Link[]
  faults: unknown[]
  asked: () => number
  /** Says all of it, and nothing more; the stream of the listener. */
  say: (...pieces: Uint8Array[]) => Promise<MemoryStream>
  close: () => Promise<void>
}

/** bob's own door behind a listener that has all the time there is. */
async function responding(bob: Peer): Promise<Responding> {
  const counts = counting()
  const station = await Station.open(bob.home, await loadKeyring(bob.home))
  const responder = station.responder()
  const guard = new Open<ByteStream>(systemClock, systemRandom)
  let meet: (stream: ByteStream) => void = () => undefined
  let asked = 0
  let inside = 0
  const links: Link[] = []
  const faults: unknown[] = []
  const server = await serve({
    suite: counts.suite,
    clock: systemClock,
    random: systemRandom,
    guard,
    responder: {
      identity: responder.identity,
      transportKeys: () => responder.transportKeys(),
      knows: (transport) => responder.knows(transport),
      async admit(...args) {
        asked++
        inside++
        return responder.admit(...args).finally(() => inside--)
      },
    },
    port: 1,
    hosts: ['192.0.2.1'],
    onLink: (link) => links.push(link),
    onFault: (error) => faults.push(error),
    listen: async (at, onStream) => {
      meet = onStream
      return { ...at, close: async () => {} }
    },
  })
  return {
    counts,
    guard,
    links,
    faults,
    asked: () => asked,
    async say(...pieces) {
      const [near, far] = pipe(systemClock)
      meet(far)
      for (const piece of pieces) {
        await near.write([piece])
        await settle()
      }
      near.end()
      do await settle()
      while (inside > 0)
      return far
    },
    async close() {
      await server.close()
      await station.close()
    },
  }
}

test(`msg1: ${BITS} flips of one bit, each opened in vain: no answer, no trace`, async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const message = await helloOf(alice, bob)
    const door = await responding(bob)
    const before = state(bob.path)
    let answered = 0
    const inS: number[] = []
    for (let bit = 0; bit < BITS; bit++) {
      const { tried, opened } = door.counts
      const far = await door.say(flip(message, bit))
      answered += far.written
      const steps = door.counts.tried - tried
      assert.ok(steps >= 1, `bit ${bit}: nothing was opened`)
      assert.ok(door.counts.opened - opened < 2, `bit ${bit}: all of it was opened`)
      if (steps === 1) inS.push(bit)
      far.destroy()
    }
    // a wrong e or s ends with s; a wrong payload opens s and ends with the payload
    assert.equal([inS.length, inS.every((bit) => bit < E_BITS + 8 * 48)], [E_BITS + 8 * 48, true])
    assert.equal([answered, door.asked(), door.guard.known], [0, 0, 0])
    assert.equal([door.links, door.faults], [[], []])
    assert.is(state(bob.path), before)
    const good = await door.say(message)
    assert.is(good.written, HELLO_SIZE, 'the hello itself is good')
    assert.is.not(state(bob.path), before, 'and what it leaves would have been seen')
    console.log(`# ${door.counts.tried} decryptions tried, ${door.counts.opened} of them authentic`)
    await door.close()
  })
})

test(`msg1: cut at each of ${HELLO_SIZE} bytes it is not even tried; with bytes in front it is garbage`, async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const message = await helloOf(alice, bob)
    const door = await responding(bob)
    const before = state(bob.path)
    for (let size = 0; size < HELLO_SIZE; size++) {
      const far = await door.say(message.subarray(0, size))
      assert.is(far.written, 0)
    }
    assert.is(door.counts.tried, 0)
    for (let more = 1; more <= LONGER - HELLO_SIZE; more++) {
      const { tried } = door.counts
      const far = await door.say(concat(systemRandom.bytes(more), message))
      assert.is(far.written, 0, `${more} bytes in front`)
      assert.ok(door.counts.tried > tried)
    }
    assert.equal([door.asked(), door.links, door.faults, door.guard.known], [0, [], [], 0])
    assert.is(state(bob.path), before)
    await door.close()
  })
})

test('msg1: what follows it on a connection is the first frame; nothing that is none lets anybody in', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const door = await responding(bob)
    for (let more = 1; more <= LONGER - HELLO_SIZE; more++) {
      const far = await door.say(concat(await helloOf(alice, bob), systemRandom.bytes(more)))
      assert.is(far.written, HELLO_SIZE, 'the answer and not one byte more')
    }
    assert.equal([door.links, door.faults, door.guard.known], [[], [], 0])
    await door.close()
  })
})

test('the Noise message itself has one length: every other up to 800 is malformed, on both sides', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const { first, second, responder, initiator } = await messages(alice, bob)
    for (let size = 0; size <= LONGER; size++) {
      if (size === HELLO_SIZE) continue
      const fit = (message: Uint8Array): Uint8Array =>
        size < HELLO_SIZE ? message.subarray(0, size) : concat(message, systemRandom.bytes(size - HELLO_SIZE))
      assert.throws(() => responder().readMessage(fit(first)), (error: unknown) => error instanceof Malformed, `${size}`)
      assert.throws(() => initiator().readMessage(fit(second)), (error: unknown) => error instanceof Malformed, `${size}`)
    }
    responder().readMessage(first)
  })
})

/** One handshake as it should be, and fresh states of both sides for others. */
async function messages(alice: Peer, bob: Peer): Promise<{
  first: Uint8Array
  second: Uint8Array
  responder: () => HandshakeState
  initiator: () => HandshakeState
}> {
  const a = (await keysOf(alice)).self
  const b = (await keysOf(bob)).self
  const common = { suite: nodeSuite, random: systemRandom, pattern: IK, prologue: prologueFor(b.identity) }
  const responder = (): HandshakeState => new HandshakeState({ ...common, initiator: false, s: b.transportKey })
  const speaking = (): HandshakeState =>
    new HandshakeState({ ...common, initiator: true, s: a.transportKey, rs: b.transportKey.publicKey })
  const said = speaking()
  const first = said.writeMessage(new Uint8Array(672))
  const answering = responder()
  answering.readMessage(first)
  const second = answering.writeMessage(encodePayload2({ seqOwn: 1n, features: 0, streamId: 0, clock: 0n, observed: undefined, token: new Uint8Array(0) }))
  return {
    first,
    second,
    responder,
    initiator() {
      const state = speaking()
      state.writeMessage(new Uint8Array(672))
      return state
    },
  }
}

// The other side: one who calls, and gets an answer that is almost right.

/** What comes of a call whose answer somebody changes on the way; the bytes that the caller sent. */
async function called(
  alice: Peer,
  bob: Peer,
  change: (message: Uint8Array) => Uint8Array,
  counts = counting(),
): Promise<{ outcome: string; sent: number; tried: number; link?: Link }> {
  const { self } = await cached(alice)
  const to = await cached(bob)
  const { tried } = counts
  const [near, far] = pipe(systemClock)
  void (async () => {
    let held: Uint8Array = new Uint8Array(0)
    while (held.length < HELLO_SIZE) held = concat(held, (await far.read()) ?? new Uint8Array(HELLO_SIZE))
    const state = new HandshakeState({
      suite: nodeSuite,
      random: systemRandom,
      pattern: IK,
      initiator: false,
      prologue: prologueFor(to.self.identity),
      s: to.self.transportKey,
    })
    state.readMessage(held)
    const answer = encodePayload2({ seqOwn: 1n, features: 0, streamId: 0, clock: 0n, observed: undefined, token: new Uint8Array(0) })
    const changed = change(state.writeMessage(answer))
    if (changed.length > 0) await far.write([changed])
    far.end()
  })()
  const outcome = await dial({
    suite: counts.suite,
    random: systemRandom,
    clock: systemClock,
    self,
    peer: { identity: to.self.identity, transport: to.self.transportKey.publicKey },
    seqHeld: 1n,
    addresses: [{ host: '192.0.2.1', port: 1, tcp: true, udp: true }],
    stamp: async () => 1n,
    timeoutMs: 60_000,
    connect: async () => near,
  })
  const told = 'link' in outcome ? 'link' : (outcome.failures[0]?.reason ?? '')
  return { outcome: told, sent: near.written, tried: counts.tried - tried, ...('link' in outcome && { link: outcome.link }) }
}

const keys = new Map<Peer, ReturnType<typeof keysOf>>()
function cached(peer: Peer): ReturnType<typeof keysOf> {
  const held = keys.get(peer) ?? keysOf(peer)
  keys.set(peer, held)
  return held
}

test(`msg2: ${BITS} flips of one bit, each opened in vain: the caller says nothing more and has no link`, async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const before = state(alice.path)
    const counts = counting()
    for (let bit = 0; bit < BITS; bit++) {
      const { outcome, sent, tried } = await called(alice, bob, (message) => flip(message, bit), counts)
      assert.equal([outcome, sent, tried], ['silent', HELLO_SIZE, 1], `bit ${bit}`)
    }
    assert.is(counts.opened, 0)
    assert.is(state(alice.path), before)
    const good = await called(alice, bob, (message) => message, counts)
    assert.is(good.outcome, 'link')
    good.link?.close()
  })
})

test('msg2: cut at any byte it is silence; what follows it is the first frame, and ends the link if it is none', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const counts = counting()
    for (let size = 0; size < HELLO_SIZE; size++) {
      const { outcome, sent } = await called(alice, bob, (message) => message.subarray(0, size), counts)
      assert.equal([outcome, sent], ['silent', HELLO_SIZE], `${size}`)
    }
    assert.is(counts.tried, 0)
    for (let more = 1; more <= LONGER - HELLO_SIZE; more++) {
      const inFront = await called(alice, bob, (message) => concat(systemRandom.bytes(more), message))
      assert.equal([inFront.outcome, inFront.tried], ['silent', 1])
      const { link } = await called(alice, bob, (message) => concat(message, systemRandom.bytes(more)))
      assert.is(await link?.receive(), undefined)
      assert.ok(link?.reason === 'bad' || link?.reason === 'reset', link?.reason)
    }
  })
})

test.run()
