import { connect as netConnect, createServer, type Socket } from 'node:net'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { concat, hex } from '../lib/base/bytes.ts'
import { systemClock } from '../lib/base/clock.ts'
import { systemRandom } from '../lib/base/random.ts'
import { loadSuite, type Suite } from '../lib/crypto/suite.ts'
import { serve, type Server } from '../lib/net/accept.ts'
import { dial } from '../lib/net/dial.ts'
import { Guard } from '../lib/net/guard.ts'
import { Link } from '../lib/net/link.ts'
import { Reads } from '../lib/net/reads.ts'
import { type ByteStream, Lost } from '../lib/net/stream.ts'
import { connect, intoBuffers, listen, throughNode } from '../lib/net/tcp.ts'
import { DATA_MAX, encodeFrame, type Frame } from '../lib/wire/frame.ts'
import { type Payload1, type Payload2 } from '../lib/wire/hello.ts'
import { FakeClock, linkPair, type MemoryStream, type Person, person, pipe, responderFor, settle, stamp } from './netkit.ts'

const node = await loadSuite({ P2P_CRYPTO: 'node' })
const noble = await loadSuite({ P2P_CRYPTO: 'noble' })
const PING: Frame = { type: 'ping', bytes: new Uint8Array(8) }
const ID = 'ab'.repeat(32)

/** As lib/net/tcp's, should node not let a connection be taken over. */
const listenPlainly: typeof listen = (at, onStream) => listen(at, onStream, throughNode)

/** A listener of bob who knows alice, on real TCP; `next()` is the next link he gets. */
async function listener(suite: Suite, bob: Person, alice: Person, door = listen) {
  const links: Link[] = []
  const waiting: ((link: Link) => void)[] = []
  const responder = responderFor(bob, [alice])
  const server = await serve({
    suite,
    clock: systemClock,
    random: systemRandom,
    guard: new Guard(systemClock, systemRandom),
    responder,
    port: 0,
    hosts: ['127.0.0.1'],
    listen: door,
    onLink: (link) => {
      const wake = waiting.shift()
      if (wake === undefined) links.push(link)
      else wake(link)
    },
    onFault: (error) => {
      throw error
    },
  })
  const next = (): Promise<Link> =>
    new Promise((resolve) => {
      const link = links.shift()
      if (link === undefined) waiting.push(resolve)
      else resolve(link)
    })
  return { server, responder, links, next }
}

async function call(suite: Suite, server: Server, alice: Person, bob: Person): Promise<Link> {
  const outcome = await dial({
    suite,
    random: systemRandom,
    clock: systemClock,
    self: { identity: alice.identity, transportKey: alice.key, seq: 7n, token: Uint8Array.of(1, 2, 3) },
    peer: { identity: bob.identity, transport: bob.key.publicKey },
    seqHeld: 4n,
    features: 3,
    addresses: [{ host: '127.0.0.1', port: server.port, tcp: true, udp: false }],
    stamp,
    timeoutMs: 10_000,
  })
  if (!('link' in outcome)) throw new Error(outcome.failures.map((failure) => failure.reason).join())
  return outcome.link
}

function memory(): { clock: FakeClock; ends: [MemoryStream, MemoryStream]; links: [Link, Link] } {
  const clock = new FakeClock()
  const ends = pipe(clock)
  return { clock, ends, links: linkPair(node, clock, ends) }
}

/** Lets whatever `link` sent arrive, and lets closing run its course on the virtual clock. */
async function lost(promise: Promise<void>): Promise<void> {
  try {
    await promise
  } catch (error) {
    assert.ok(error instanceof Lost)
    return
  }
  assert.unreachable('sent on a closed link')
}

test('a handshake over TCP, every pairing of back ends: who, what, and one shared secret', async () => {
  for (const [ours, theirs] of [[node, node], [node, noble], [noble, node], [noble, noble]] as const) {
    const [alice, bob] = [person(ours), person(theirs)]
    const { server, next, links } = await listener(theirs, bob, alice)
    const caller = await call(ours, server, alice, bob)
    await new Promise((resolve) => setTimeout(resolve, 20))
    assert.is(links.length, 0, 'no link before the initiator has shown its keys')
    await caller.send({ type: 'settings', features: 0, flags: 1, maxMessage: 9, instance: new Uint8Array(8) })
    const called = await next()
    assert.is(caller.initiator, true)
    assert.is(called.initiator, false)
    assert.is(hex(called.peer.identity), hex(alice.identity))
    assert.is(hex(called.peer.transport), hex(alice.key.publicKey))
    assert.is(hex(caller.peer.identity), hex(bob.identity))
    assert.is(hex(caller.exporter), hex(called.exporter))
    assert.is(caller.exporter.length, 32)
    assert.is(caller.features, 1)
    assert.is(called.features, 1)
    const said = called.hello as Payload1
    assert.equal([said.seqOwn, said.seqHeld, said.features, hex(said.token)], [7n, 4n, 3, '010203'])
    const answer = caller.hello as Payload2
    assert.is(answer.observed?.ip, '127.0.0.1')
    assert.is(answer.observed?.port, called.remote.port)
    assert.is(called.buffered, true)
    const first = await called.receive()
    assert.ok(first?.type === 'settings' && first.flags === 1)
    await called.send({ type: 'bye', code: 0 })
    assert.equal(await caller.receive(), { type: 'bye', code: 0 })
    called.close()
    assert.is(await caller.receive(), undefined)
    assert.is(caller.reason, 'eof')
    await Promise.all([caller.closed, called.closed, server.close()])
  }
})

test('frames of every size arrive in order, both ways at once, though the bytes come one by one', async () => {
  const { ends, links } = memory()
  const [a, b] = links
  const trickle = (stream: MemoryStream): void => {
    const read = stream.read.bind(stream)
    stream.read = async () => {
      const chunk = await read()
      if (chunk === undefined || chunk.length === 1) return chunk
      stream.unread(chunk.subarray(1))
      return chunk.subarray(0, 1)
    }
  }
  for (const end of ends) trickle(end)
  const frames: Frame[] = [1, 2, 200, 213, 214, 5000].map((size) => ({
    type: 'data',
    id: ID,
    offset: size,
    bytes: systemRandom.bytes(size),
  }))
  const roundtrip = async (from: Link, to: Link): Promise<void> => {
    for (const frame of frames) await from.send(frame)
    for (const frame of frames) assert.equal(await to.receive(), frame)
  }
  await Promise.all([roundtrip(a, b), roundtrip(b, a)])
})

test('many frames leave in one write, and an empty queue in none', async () => {
  const { ends, links } = memory()
  for (let n = 0; n < 100; n++) await links[0].send(PING)
  await settle()
  assert.is(ends[0].writes, 1)
  assert.is(ends[0].written, 100 * (2 + 256 + 16))
  for (let n = 0; n < 100; n++) assert.equal(await links[1].receive(), PING)
  assert.is(links[1].buffered, false)
  await links[0].send(PING)
  await settle()
  assert.is(links[1].buffered, true)
  assert.is(links[1].frames, 100)
})

test('a bit flipped anywhere in a frame ends the link without a word', async () => {
  for (let bit = 0; bit < 8 * 274; bit += 13) {
    const { clock, ends, links } = memory()
    ends[0].tamper = (bytes) => {
      const copy = bytes.slice()
      copy[bit >> 3] = (copy[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      return copy
    }
    await links[0].send(PING)
    await settle()
    const pending = links[1].receive()
    await settle()
    if (bit < 16 && links[1].reason === undefined) links[0].close() // it may wait for the rest of a longer frame
    assert.is(await pending, undefined, `bit ${bit}`)
    assert.ok(links[1].reason === 'bad' || (bit < 16 && links[1].reason === 'reset'), `bit ${bit}: ${links[1].reason}`)
    await lost(links[1].send(PING))
    await clock.advance(3000)
    assert.is(ends[1].written, 0)
    await links[1].closed
  }
})

test('frames replayed, swapped or left out end the link', async () => {
  const mix: ((frames: Uint8Array[]) => Uint8Array[])[] = [
    ([one, two]) => [one, one, two] as Uint8Array[],
    ([one, two]) => [two, one] as Uint8Array[],
    ([, two]) => [two] as Uint8Array[],
  ]
  for (const reorder of mix) {
    const { ends, links } = memory()
    ends[0].tamper = (bytes) => concat(...reorder([bytes.subarray(0, 274), bytes.subarray(274)]))
    await links[0].send(PING)
    await links[0].send({ type: 'bye', code: 0 })
    let last: Frame | undefined
    do last = await links[1].receive()
    while (last !== undefined && last.type !== 'bye')
    assert.is(last, undefined)
    assert.is(links[1].reason, 'bad')
  }
})

test('lengths below 17 end the link', async () => {
  for (const length of [0, 1, 16]) {
    const { ends, links } = memory()
    await ends[0].write([Uint8Array.of(0, length)])
    assert.is(await links[1].receive(), undefined)
    assert.is(links[1].reason, 'bad')
  }
})

/** A frame the encoder would not make, sealed all the same. */
function sendRaw(suite: Suite, plaintext: Uint8Array): Promise<{ links: [Link, Link]; clock: FakeClock }> {
  const clock = new FakeClock()
  const ends = pipe(clock)
  const seal: Suite['seal'] = (...sealed) => suite.seal(...sealed)
  let armed = true
  const forging: Suite = {
    ...suite,
    seal: (key, nonce, ad, plain) => {
      const forged = armed && ad.length === 0 && plain.length === 256 && plain[0] === 0x0b
      if (forged) armed = false
      return seal(key, nonce, ad, forged ? plaintext : plain)
    },
  }
  const links = linkPair(forging, clock, ends)
  return links[0].send(PING).then(() => ({ links, clock }))
}

test('sealed nonsense is answered with BYE and ends the link; unknown types from 80 on are skipped', async () => {
  const nonsense = new Uint8Array(256)
  nonsense[0] = 0x42
  const padding = encodeFrame(PING)
  padding[255] = 1
  for (const plaintext of [nonsense, padding, Uint8Array.of(1)]) {
    const { links } = await sendRaw(node, plaintext)
    assert.is(await links[1].receive(), undefined)
    assert.is(links[1].reason, 'malformed')
    assert.equal(await links[0].receive(), { type: 'bye', code: 1 })
    assert.is(await links[0].receive(), undefined)
    assert.is(links[0].reason, 'eof')
  }
  const { links } = await sendRaw(node, Uint8Array.of(0xc0, 1, 2, 3)) // a type of a later version
  await links[0].send({ type: 'bye', code: 9 })
  assert.equal(await links[1].receive(), { type: 'bye', code: 9 })
})

test('the reason tells an end, a cut frame and a broken connection apart', async () => {
  const end = memory()
  await end.links[0].send(PING)
  end.links[0].close()
  end.links[0].close()
  assert.equal(await end.links[1].receive(), PING)
  assert.is(await end.links[1].receive(), undefined)
  assert.is(end.links[1].reason, 'eof')
  assert.is(await end.links[0].receive(), undefined)
  assert.is(end.links[0].reason, 'closed')
  await lost(end.links[0].send(PING))

  const cut = memory()
  cut.ends[0].tamper = (bytes) => bytes.subarray(0, 100)
  await cut.links[0].send(PING)
  cut.links[0].close()
  assert.is(await cut.links[1].receive(), undefined)
  assert.is(cut.links[1].reason, 'reset')

  const broken = memory()
  const pending = broken.links[1].receive()
  broken.ends[1].lose()
  assert.is(await pending, undefined)
  assert.is(broken.links[1].reason, 'reset')
})

test('close() wakes a waiting receive(), and a peer that never closes is not waited for', async () => {
  const { clock, ends, links } = memory()
  const pending = links[1].receive()
  links[1].close()
  assert.is(await pending, undefined)
  await links[0].send(PING)
  await clock.advance(1999)
  assert.equal(ends[1].log, ['0 fin'])
  await clock.advance(1)
  assert.equal(ends[1].log, ['0 fin', '2000 close'])
  assert.is(clock.timers, 0)
})

test('what comes in after close() is read, so that it resets nothing', async () => {
  const { clock, ends, links } = memory()
  links[1].close()
  await clock.advance(100)
  await links[0].send(PING)
  await clock.advance(5000)
  assert.equal(ends[1].log, ['0 fin', '2000 close'])
})

test('a write that fails does not hide what had come in before', async () => {
  const { ends, links } = memory()
  await links[0].send(PING)
  await settle()
  ends[1].write = () => Promise.reject(new Lost('broken pipe', 'EPIPE'))
  await links[1].send(PING)
  await settle()
  assert.equal(await links[1].receive(), PING)
  await lost(links[1].send(PING))
})

test('after an hour a link is worn', async () => {
  const { clock, links } = memory()
  assert.is(links[0].worn, false)
  await clock.advance(3600 * 1000 - 1)
  assert.is(links[0].worn, false)
  await clock.advance(1)
  assert.is(links[0].age, 3600 * 1000)
  assert.is(links[0].worn, true)
})

test('our last words arrive though the other side was still sending, over TCP', async () => {
  const [alice, bob] = [person(node), person(node)]
  const { server, next } = await listener(node, bob, alice)
  for (let round = 0; round < 5; round++) {
    const caller = await call(node, server, alice, bob)
    const bytes = new Uint8Array(DATA_MAX)
    const pour = async (): Promise<void> => {
      for (let offset = 0; ; offset++) await caller.send({ type: 'data', id: ID, offset, bytes })
    }
    const poured = pour().catch((error: unknown) => assert.ok(error instanceof Lost))
    const called = await next()
    await called.receive()
    await called.send({ type: 'bye', code: round })
    called.close()
    assert.equal(await caller.receive(), { type: 'bye', code: round })
    caller.close()
    await Promise.all([poured, caller.closed, called.closed])
  }
  await server.close()
})

test('a frame flipped between two machines ends the link at the receiver, over TCP', async () => {
  const [alice, bob] = [person(node), person(node)]
  const { server, next } = await listener(node, bob, alice)
  let flip = -1 // bytes from the caller until the one to flip, once set
  const proxy = createServer((near: Socket) => {
    const far = netConnect(server.port, '127.0.0.1')
    for (const [from, to] of [[near, far], [far, near]] as const) {
      from.on('error', () => to.destroy())
      from.on('end', () => to.end())
    }
    far.on('data', (chunk) => near.write(chunk))
    near.on('data', (chunk: Buffer) => {
      if (flip >= 0 && flip < chunk.length) chunk[flip] = (chunk[flip] ?? 0) ^ 0x10
      if (flip >= 0) flip -= chunk.length
      far.write(chunk)
    })
  })
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  const { port } = proxy.address() as { port: number }
  const caller = await call(node, { ...server, port }, alice, bob)
  await caller.send(PING)
  const called = await next()
  assert.equal(await called.receive(), PING)
  flip = 40_000
  for (let offset = 0; offset < 4; offset++) {
    await caller.send({ type: 'data', id: ID, offset, bytes: systemRandom.bytes(DATA_MAX) })
  }
  const frame = await called.receive()
  assert.ok(frame?.type === 'data')
  assert.is(await called.receive(), undefined)
  assert.is(called.reason, 'bad')
  assert.is(await caller.receive(), undefined)
  assert.is(caller.reason, 'eof')
  caller.close()
  await Promise.all([caller.closed, called.closed, server.close()])
  proxy.close()
})

for (const [mebibytes, door, through] of [[64, listen, ''], [16, listenPlainly, ', through node\'s own buffers']] as const) {
  test(`${mebibytes} MiB both ways at once past slow readers${through}: all there, and never more than a few MiB in memory`, async () => {
    const [alice, bob] = [person(node), person(node)]
    const { server, next } = await listener(node, bob, alice, door)
    const caller = await call(node, server, alice, bob)
    const total = mebibytes * 2 ** 20
    const bytes = systemRandom.bytes(DATA_MAX)
    const before = process.memoryUsage().arrayBuffers
    let peak = 0
    const inFlight = { sent: 0, received: 0, most: 0 }
    const pour = async (link: Link): Promise<void> => {
      for (let offset = 0; offset < total; offset += DATA_MAX) {
        await link.send({ type: 'data', id: ID, offset, bytes })
        inFlight.sent += DATA_MAX
        inFlight.most = Math.max(inFlight.most, inFlight.sent - inFlight.received)
      }
    }
    const drink = async (link: Link): Promise<void> => {
      for (let offset = 0; offset < total; offset += DATA_MAX) {
        const frame = await link.receive()
        if (frame?.type !== 'data' || frame.offset !== offset) throw new Error(`at ${offset}: ${frame?.type}`)
        inFlight.received += DATA_MAX
        if (offset % (4 * 2 ** 20) === 0) {
          await new Promise((resolve) => setTimeout(resolve, 20))
          peak = Math.max(peak, process.memoryUsage().arrayBuffers - before)
        }
      }
    }
    const outgoing = pour(caller)
    const called = await next()
    await Promise.all([outgoing, pour(called), drink(caller), drink(called)])
    caller.close()
    called.close()
    await Promise.all([caller.closed, called.closed, server.close()])
    // the system keeps up to some MiB per direction, a stream 512 KiB before it and 256 KiB behind it
    assert.ok(inFlight.most < 32 * 2 ** 20, `${inFlight.most >> 20} MiB under way`)
    assert.ok(peak < 100 * 2 ** 20, `${peak >> 20} MiB of buffers`) // garbage included: not collected at once
  })

  test(`a sender whose peer does not read at all is stopped${through}`, async () => {
    const [alice, bob] = [person(node), person(node)]
    const { server, next } = await listener(node, bob, alice, door)
    const caller = await call(node, server, alice, bob)
    let sent = 0
    const pour = async (): Promise<void> => {
      for (;;) {
        await caller.send({ type: 'data', id: ID, offset: 0, bytes: new Uint8Array(DATA_MAX) })
        sent += DATA_MAX
      }
    }
    const poured = pour().catch((error: unknown) => assert.ok(error instanceof Lost))
    const called = await next()
    let last = -1
    while (sent !== last) {
      last = sent
      await new Promise((resolve) => setTimeout(resolve, 200))
    }
    assert.ok(sent > 0 && sent < 24 * 2 ** 20, `${sent >> 20} MiB`)
    caller.close()
    called.close()
    await Promise.all([poured, caller.closed, called.closed, server.close()])
  })
}

/** What a server that reads this way gets from somebody who sends so much at once: the stream, and that somebody. */
async function pouring(read: typeof intoBuffers, size: number): Promise<{ stream: ByteStream; close: () => Promise<unknown> }> {
  let came: (stream: ByteStream) => void
  const stream = new Promise<ByteStream>((resolve) => (came = resolve))
  const listening = await listen({ ip: '127.0.0.1', port: 0 }, (one) => came(one), read)
  const socket = netConnect({ host: '127.0.0.1', port: listening.port }, () => socket.write(new Uint8Array(size).fill(7)))
  socket.on('error', () => undefined)
  return {
    stream: await stream,
    close: () => {
      socket.destroy()
      return listening.close()
    },
  }
}

for (const read of [intoBuffers, throughNode]) {
  test(`of who has not shown who it is little is kept (${read.name}), and nothing of what nobody will look at`, async () => {
    const size = 2 ** 20
    const { stream, close } = await pouring(read, size)
    try {
      const first = await stream.read()
      await new Promise((resolve) => setTimeout(resolve, 100)) // it would read on, if it did
      const ahead = [first]
      for (let chunk = stream.take(); chunk !== undefined; chunk = stream.take()) ahead.push(chunk)
      assert.ok(ahead.every((chunk) => chunk !== undefined && chunk.every((byte) => byte === 7)))
      let got = ahead.reduce((sum, chunk) => sum + (chunk?.length ?? 0), 0)
      if (read === intoBuffers) assert.ok(got <= 3 * 1024, `${got} bytes, the first read among them`)
      stream.ignore?.()
      const buffers = new Set<ArrayBufferLike>()
      while (got < size) {
        const chunk = await stream.read()
        assert.ok(chunk)
        got += chunk.length
        if (chunk.length > 1024) buffers.add(chunk.buffer)
      }
      assert.is(got, size)
      if (read === intoBuffers) assert.is(buffers.size, 1, 'one for all')
    } finally {
      stream.destroy()
      await close()
    }
  })
}

test('what strangers and friends are read into does not get mixed up', () => {
  const reads = new Reads()
  const arrive = (text: string): boolean => {
    const buffer = reads.options.buffer()
    buffer.set(Buffer.from(text))
    return reads.options.callback(text.length, buffer)
  }
  const taken = (): string => Buffer.from(reads.take() ?? new Uint8Array(0)).toString()
  const shared = reads.options.buffer() // as the system has it before anything has come
  assert.ok(shared.length <= 1024)
  assert.equal([arrive('one'), arrive('two')], [true, false])
  assert.is(taken(), 'one')
  reads.become('friend')
  shared.set(Buffer.from('three'))
  reads.options.callback(5, shared)
  shared.fill(0) // another stranger
  assert.equal([arrive('four'), arrive('five')], [false, false]) // two are full already
  assert.equal([taken(), taken(), taken(), taken(), taken()], ['two', 'three', 'four', 'five', ''])
  const own = new Set<ArrayBufferLike>()
  for (let turn = 0; turn < 100; turn++) {
    const buffer = reads.options.buffer()
    own.add(buffer.buffer)
    reads.options.callback(buffer.length, buffer)
    if (turn % 3 === 2) while (reads.take() !== undefined) continue
  }
  assert.ok(own.size <= 5, `${own.size} buffers`)
  const given = Array.from({ length: 100 }, () => new Uint8Array(256 * 1024))
  for (const chunk of given) reads.push(chunk) // as node's own buffers come
  while (reads.take() !== undefined) continue
  const again = Array.from({ length: 100 }, () => reads.options.buffer().buffer)
  assert.ok(given.filter(({ buffer }) => again.includes(buffer)).length <= 4, 'few are kept')
})

test('friends who say little are read into one buffer, and what each said is its own', () => {
  const friends = Array.from({ length: 50 }, () => new Reads())
  const buffers = friends.map((reads) => (reads.become('friend'), reads.options.buffer())) // as the system has them
  assert.is(new Set(buffers.map(({ buffer }) => buffer)).size, 1)
  for (let turn = 0; turn < 3; turn++) {
    for (const [n, reads] of friends.entries()) {
      const [buffer] = buffers as [Uint8Array]
      buffer.fill(n, 0, 300)
      reads.options.callback(300, buffer)
      assert.is(reads.options.buffer(), buffer)
    }
    for (const [n, reads] of friends.entries()) assert.equal(reads.take(), new Uint8Array(300).fill(n))
  }
  const [one, other] = friends as [Reads, Reads]
  const [shared] = buffers as [Uint8Array]
  one.options.callback(shared.length, shared.fill(1))
  const own = one.options.buffer()
  assert.ok(own.length >= 2 ** 19, 'it sends much')
  other.options.callback(300, shared.fill(2, 0, 300))
  assert.equal(one.take(), new Uint8Array(shared.length).fill(1))
  one.options.callback(own.length, own)
  assert.is(one.take()?.buffer, own.buffer, 'and is not copied any more')
})

test('a connection that was lost tells its readers and writers', async () => {
  const sockets: Socket[] = []
  const server = createServer((socket) => sockets.push(socket.on('error', () => {})))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  const stream = await connect({ ip: '127.0.0.1', port }, new AbortController().signal)
  const reading = stream.read().then(
    () => 'read',
    (error: unknown) => error instanceof Lost,
  )
  while (sockets.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
  sockets[0]?.resetAndDestroy()
  assert.is(await reading, true)
  await stream.closed
  await lost(stream.write([Uint8Array.of(1)]))
  stream.end()
  stream.destroy()
  server.close()
})

test.run()
