// A stranger learns nothing over UDP: whatever is sent to the port, not a datagram comes back and nothing changes, except
// where a contact's hello fits in every bit. In this process against the door of a real home, with no budget in the way;
// and against a real listener, from many addresses. test/uniform, flips and silence are the same for TCP.
// test timeout: 600 s

import { createSocket } from 'node:dgram'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { concat } from '../lib/base/bytes.ts'
import { systemClock } from '../lib/base/clock.ts'
import { systemRandom } from '../lib/base/random.ts'
import { Station } from '../lib/delivery/station.ts'
import { nextHelloTime } from '../lib/disk/hellos.ts'
import { loadKeyring } from '../lib/disk/keyring.ts'
import type { Pipe, PipeEvents } from '../lib/net/datagram.ts'
import type { Endpoint } from '../lib/net/stream.ts'
import { UdpPort } from '../lib/net/udp.ts'
import { HELLO_SIZE } from '../lib/wire/hello.ts'
import { helloOf, keysOf } from './caller.ts'
import { counting, flip, Open, state } from './flipkit.ts'
import { pause, type Peer, Stage, until } from './peer.ts'
import { seeded, shuffled } from './statistics.ts'
import { answerTo, KINDS, type Sends, type Town, townOf } from './strangers.ts'

const BITS = 8 * HELLO_SIZE
const LONGER = 800 // bytes
const STRANGER: Endpoint = { ip: '192.0.2.9', port: 4000 }
const STREAM = { streamId: 0x1234_5678 }

/** A pipe through which nothing ever comes. */
class Deaf implements Pipe {
  #events: PipeEvents | undefined
  listen(events: PipeEvents): void {
    this.#events = events
  }
  write = (): boolean => true
  expect = (): void => undefined
  end = (): void => this.destroy()
  destroy(): void {
    const events = this.#events
    this.#events = undefined
    setImmediate(() => events?.close())
  }
  redirect = (): Promise<void> => Promise.resolve()
}

interface Port {
  counts: ReturnType<typeof counting>
  port: UdpPort
  sent: { bytes: Uint8Array; to: Endpoint }[]
  links: unknown[]
  faults: unknown[]
  /** A datagram arrives; resolves when nobody is busy with it any more. */
  arrive: (bytes: Uint8Array, from?: Endpoint) => Promise<void>
  close: () => Promise<void>
}

/** The own door of a home behind a port that has all the time there is. */
async function portOf({ home }: Peer): Promise<Port> {
  const counts = counting()
  const station = await Station.open(home, await loadKeyring(home))
  const responder = station.responder()
  const [sent, links, faults]: [Port['sent'], unknown[], unknown[]] = [[], [], []]
  let [inside, receive] = [0, (_bytes: Uint8Array, _from: Endpoint): void => undefined]
  const port = await UdpPort.open({
    suite: counts.suite,
    clock: systemClock,
    random: systemRandom,
    guard: new Open(systemClock, systemRandom),
    responder: {
      identity: responder.identity,
      transportKeys: () => responder.transportKeys(),
      knows: (transport) => responder.knows(transport),
      async admit(...args) {
        inside++
        return responder.admit(...args).finally(() => inside--)
      },
    },
    port: 1,
    onLink: (link) => links.push(link),
    onFault: (error) => faults.push(error),
    open: async (at, onDatagram) => {
      receive = onDatagram
      return {
        port: at,
        addresses: [],
        send: (bytes, to) => sent.push({ bytes: new Uint8Array(bytes), to }) > 0,
        connect: () => new Deaf(),
        accept: () => new Deaf(),
        close: async () => undefined,
      }
    },
  })
  return {
    counts,
    port,
    sent,
    links,
    faults,
    async arrive(bytes, from = STRANGER) {
      receive(bytes, from)
      do await new Promise(setImmediate)
      while (inside > 0)
      await new Promise(setImmediate)
    },
    async close() {
      await port.close()
      await station.close()
    },
  }
}

test(`msg1: ${BITS} flips of one bit, each opened in vain: not a datagram, no trace`, async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const message = await helloOf(alice, bob, STREAM)
    const door = await portOf(bob)
    const before = state(bob.path)
    for (let bit = 0; bit < BITS; bit++) {
      const { tried, opened } = door.counts
      await door.arrive(flip(message, bit))
      assert.ok(door.counts.tried > tried, `bit ${bit}: nothing was opened`)
      assert.ok(door.counts.opened - opened < 2, `bit ${bit}: all of it was opened`)
    }
    assert.equal([door.sent, door.links, door.faults], [[], [], []])
    assert.equal(door.port.counts, { pending: 0, answered: 0, streams: 0, marks: 0 })
    assert.is(state(bob.path), before)
    await door.arrive(message)
    assert.equal(door.sent.map(({ bytes, to }) => [bytes.length, to]), [[HELLO_SIZE, STRANGER]], 'the hello itself is good')
    assert.is.not(state(bob.path), before, 'and what it leaves would have been seen')
    await door.arrive(message, { ...STRANGER, port: 4001 })
    await door.arrive(message, { ...STRANGER, ip: '192.0.2.10' })
    assert.is(door.sent.length, 1, 'from elsewhere it is a replay')
    await door.close()
  })
})

test(`msg1: a datagram of any other size up to ${LONGER} is not even tried; without a stream's number there is no answer`, async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const message = await helloOf(alice, bob, STREAM)
    const door = await portOf(bob)
    const before = state(bob.path)
    for (let size = 0; size <= LONGER; size++) {
      if (size === HELLO_SIZE) continue
      const more = systemRandom.bytes(Math.max(0, size - HELLO_SIZE))
      for (const bytes of [message.subarray(0, size), concat(message, more), concat(more, message)]) {
        if (bytes.length !== HELLO_SIZE) await door.arrive(new Uint8Array(bytes))
      }
    }
    assert.equal([door.counts.tried, door.sent, door.faults], [0, [], []])
    assert.is(state(bob.path), before)
    await door.arrive(await helloOf(alice, bob, { streamId: 0 }))
    assert.ok(door.counts.opened > 0)
    assert.equal([door.sent, door.port.counts.streams], [[], 0])
    await door.close()
  })
})

test(`msg2: ${BITS} flips of one bit: the caller goes on waiting, has no link, and takes the right one afterwards`, async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const [near, far] = [await portOf(alice), await portOf(bob)]
    const { self } = await keysOf(alice)
    const { identity, transportKey } = (await keysOf(bob)).self
    const stop = new AbortController()
    let outcome: unknown
    const calling = near.port
      .call(
        {
          suite: near.counts.suite,
          random: systemRandom,
          self,
          peer: { identity, transport: transportKey.publicKey },
          seqHeld: 1n,
          stamp: () => nextHelloTime(alice.home),
        },
        STRANGER,
        stop.signal,
        [600_000],
      )
      .then((found) => (outcome = found))
    while (near.sent.length === 0) await pause(1)
    await far.arrive(near.sent[0]?.bytes ?? new Uint8Array(0))
    const answer = far.sent[0]?.bytes ?? new Uint8Array(0)
    assert.is(answer.length, HELLO_SIZE)
    const before = state(alice.path)
    for (let bit = 0; bit < BITS; bit++) {
      const { tried } = near.counts
      await near.arrive(flip(answer, bit))
      assert.ok(near.counts.tried > tried, `bit ${bit}`)
    }
    assert.equal([outcome, near.sent.length, near.port.counts.pending], [undefined, 1, 1])
    assert.is(state(alice.path), before)
    await near.arrive(answer)
    assert.ok(typeof outcome === 'object', String(outcome))
    stop.abort()
    await Promise.all([calling, near.close(), far.close()])
  })
})

// A real listener.

/** What an answered datagram, a scanner, and somebody who knows libudx would send. */
const MORE: Record<string, () => Buffer> = {
  'a mark': () => Buffer.from(systemRandom.bytes(32)),
  'a STUN request': () => Buffer.from(concat(Buffer.from('000100002112a442', 'hex'), systemRandom.bytes(12))),
  'a DNS query': () => Buffer.from('1234010000010000000000000765786d61706c6503636f6d0000010001', 'hex'),
  'a QUIC initial': () => Buffer.from(concat(Buffer.from('c300000001088394c8f03e51570800', 'hex'), systemRandom.bytes(1185))),
  ...Object.fromEntries(
    [1, 2, 4, 8, 16, 32].map((flag) => [
      `a libudx packet of type ${flag}`,
      () => Buffer.from(concat(Uint8Array.of(0xff, 1, flag, 0), systemRandom.bytes(16), systemRandom.bytes(flag === 1 ? 100 : 0))),
    ]),
  ),
}

/** Sends one datagram from an address of its own; what came back, and so far. */
async function send(port: number, from: string, bytes: Buffer): Promise<(() => Buffer[]) & { came: Buffer[] }> {
  const socket = createSocket('udp4')
  const came: Buffer[] = []
  socket.on('message', (message) => came.push(message))
  socket.on('error', (error) => came.push(Buffer.from(error.message)))
  await new Promise<void>((done) => socket.bind(0, from, done))
  await new Promise((done) => socket.send(bytes, port, '127.0.0.1', done))
  const end = (): Buffer[] => {
    socket.close()
    return came
  }
  return Object.assign(end, { came })
}

const address = (n: number): string => `127.2.${n >> 7}.${1 + (n & 127)}`

test('over real UDP: every kind, from many addresses, hears nothing; only a contact is answered, once', async () => {
  await Stage.with(async (stage) => {
    const plain = await townOf(stage)
    const town: Town = { ...plain, hello: (from, lie) => plain.hello(from, { ...STREAM, ...lie }) }
    const { bob } = town
    const listener = await bob.listen()
    const udp = listener.of('listening')[0]?.['udp']
    assert.is(udp, true)
    const spent = town.hello(town.alice)
    const first = await send(bob.home.port, '127.0.0.1', spent)
    await until('an answer', () => first.came.length > 0)
    await pause(2000) // to no second one
    assert.equal(first().map(({ length }) => length), [HELLO_SIZE], 'the hello that is replayed was a good one')
    const before = bob.snapshot()
    const random = seeded(7)
    const all: [string, Sends][] = [...Object.entries(KINDS), ...Object.entries(MORE)]
    const callers = shuffled(Array.from({ length: 8 }, () => all).flat(), random)
    const heard = await Promise.all(
      callers.map(async ([kind, sends], n) => {
        const bytes = (await sends({ ...town, spent })).subarray(0, 60_000)
        await pause(random() * 3000)
        return [kind, await send(bob.home.port, address(n), bytes)] as const
      }),
    )
    await pause(12_000) // longer than an answered caller is waited for
    for (const [kind, came] of heard) {
      assert.equal(came().map(({ length }) => length), answerTo(kind) === 0 ? [] : [HELLO_SIZE], kind)
    }
    const changed = bob.snapshot().filter((line) => !before.includes(line))
    assert.equal(changed.filter((line) => !line.startsWith('hello/')), [])
    assert.is((await listener.stop()).code, 0, listener.err)
    assert.equal([listener.of('notice'), listener.of('peer')], [[], []])
  })
})

test.run()
