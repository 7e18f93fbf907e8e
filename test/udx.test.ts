// The real carrier over loopback: sockets, pipes and the stream above them. The package is optional, but not here.

import { createSocket } from 'node:dgram'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { isCode } from '../lib/base/fail.ts'
import { systemRandom } from '../lib/base/random.ts'
import type { Datagrams, Pipe, PipeEvents } from '../lib/net/datagram.ts'
import type { Endpoint } from '../lib/net/stream.ts'
import { UdpStream, WINDOW } from '../lib/net/udpstream.ts'
import { missingUdp, openUdx } from '../lib/net/udx.ts'
import { until } from './pair.ts'

interface Heard {
  bytes: Uint8Array
  from: Endpoint
}

interface Host {
  door: Datagrams
  heard: Heard[]
  at: Endpoint
}

async function host(): Promise<Host> {
  const heard: Heard[] = []
  const door = await openUdx(0, (bytes, from) => heard.push({ bytes: new Uint8Array(bytes), from }))
  return { door, heard, at: { ip: '127.0.0.1', port: door.port } }
}

async function withTwo(work: (a: Host, b: Host) => Promise<void>): Promise<void> {
  const [a, b] = [await host(), await host()]
  try {
    await work(a, b)
  } finally {
    await Promise.all([a.door.close(), b.door.close()])
  }
}

/** A socket that sees what is sent to it, and where from. */
async function ear(): Promise<{ at: Endpoint; heard: Buffer[]; send: (bytes: Uint8Array, to: Endpoint) => void; close: () => void }> {
  const socket = createSocket('udp4')
  const heard: Buffer[] = []
  socket.on('message', (bytes) => heard.push(bytes))
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve))
  return {
    at: { ip: '127.0.0.1', port: socket.address().port },
    heard,
    send: (bytes, to) => socket.send(bytes, to.port, to.ip),
    close: () => socket.close(),
  }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
const nothing = (): void => undefined
const ids = (): [number, number] => [1 + Math.floor(Math.random() * 2 ** 31), 1 + Math.floor(Math.random() * 2 ** 31)]

function streams(a: Host, b: Host): [UdpStream, UdpStream] {
  const [one, two] = ids()
  return [
    new UdpStream(a.door.connect(one, two, b.at), b.at, nothing),
    new UdpStream(b.door.accept(two, one, a.at), a.at, nothing),
  ]
}

async function drain(stream: UdpStream): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  for (;;) {
    const chunk = await stream.read()
    if (chunk === undefined) return new Uint8Array(Buffer.concat(chunks))
    chunks.push(new Uint8Array(chunk)) // it is read into again
  }
}

test('the package is there', async () => {
  assert.is(await missingUdp(), undefined)
})

test('datagrams go both ways, over IPv4 and IPv6, and tell where they come from', async () => {
  await withTwo(async (a, b) => {
    assert.ok(a.door.send(new Uint8Array([1, 2]), b.at))
    assert.ok(b.door.send(new Uint8Array([3]), a.at))
    assert.ok(a.door.send(new Uint8Array([4]), { ip: '::1', port: b.door.port }))
    await until(() => b.heard.length === 2 && a.heard.length === 1)
    const four = b.heard.find(({ from }) => !from.ip.includes(':'))
    assert.equal(four, { bytes: new Uint8Array([1, 2]), from: a.at })
    assert.equal(b.heard.find(({ from }) => from.ip.includes(':'))?.from, { ip: '::1', port: a.door.port })
    assert.equal(a.heard[0]?.from, b.at)
  })
})

test('the port is taken alone, by both families', async () => {
  const { door } = await host()
  const error = await openUdx(door.port, nothing).catch((thrown: unknown) => thrown)
  assert.ok(isCode(error, 'EADDRINUSE'))
  const six = createSocket({ type: 'udp6', ipv6Only: true })
  await new Promise<void>((resolve) => six.bind(0, '::', resolve))
  const other = await openUdx(six.address().port, nothing).catch((thrown: unknown) => thrown)
  assert.ok(isCode(other, 'EADDRINUSE'), 'one family is not enough')
  six.close()
  await door.close()
  const again = await openUdx(door.port, nothing)
  assert.is(again.port, door.port)
  await again.close()
})

test('bytes arrive whole and in order, both directions at once', async () => {
  await withTwo(async (a, b) => {
    const [near, far] = streams(a, b)
    const [there, back] = [systemRandom.bytes(5_000_000), systemRandom.bytes(1_000_001)]
    const send = async (stream: UdpStream, bytes: Uint8Array, size: number): Promise<void> => {
      for (let at = 0; at < bytes.length; at += size) await stream.write([bytes.subarray(at, at + 7), bytes.subarray(at + 7, at + size)])
      stream.end()
    }
    await near.write([new Uint8Array(1)])
    assert.is((await far.read())?.length, 1)
    const [came, went] = await Promise.all([drain(far), drain(near), send(near, there, 400_000), send(far, back, 100_000)])
    assert.is(Buffer.compare(came, there), 0)
    assert.is(Buffer.compare(went, back), 0)
    await Promise.all([near.closed, far.closed])
  })
})

test('who does not read holds the writer back, and what is kept is bounded', async () => {
  await withTwo(async (a, b) => {
    const [near, far] = streams(a, b)
    const chunk = new Uint8Array(256 * 1024)
    let sent = 0
    let over = false
    const writing = (async () => {
      while (!over && sent < 8 * WINDOW) {
        await near.write([chunk])
        sent += chunk.length
      }
    })()
    await until(() => sent >= WINDOW - chunk.length, 60_000)
    let before = -1
    while (before !== sent) {
      before = sent
      await pause(700)
    }
    assert.ok(sent <= WINDOW + chunk.length, `${sent} bytes were taken`)
    let read = 0
    over = true
    const whole = sent + chunk.length // with the one whose writer waits
    while (read < whole) read += (await far.read())?.length ?? Infinity
    await writing
    assert.equal([read, sent], [whole, whole])
    near.destroy()
    await Promise.all([near.closed, far.closed])
  })
})

test('who sends more than it may is cut off', async () => {
  for (const spoil of [
    (pipe: Pipe) => {
      const size = WINDOW + 1
      pipe.write(Uint8Array.of(size >>> 24, size >>> 16, size >>> 8, size))
    },
    (pipe: Pipe) => pipe.write(Uint8Array.of(0x80, 0, 0, 1)), // credit that was not used up
    (pipe: Pipe) => pipe.write(Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 1, 7)), // more after the end
    (pipe: Pipe) => {
      pipe.write(Uint8Array.of(0, 0, 0, 2, 7)) // the end of the pipe within a record
      pipe.end()
    },
  ]) {
    await withTwo(async (a, b) => {
      const [one, two] = ids()
      const wild = a.door.connect(one, two, b.at)
      const closed = new Promise<string | undefined>((resolve) => {
        const events: PipeEvents = { data: nothing, end: nothing, drain: nothing, close: resolve }
        wild.listen(events)
      })
      const far = new UdpStream(b.door.accept(two, one, a.at), a.at, nothing)
      spoil(wild)
      await far.closed
      assert.is(await closed, 'ECONNRESET')
      await far.write([new Uint8Array(1)]).then(
        () => assert.unreachable(),
        (error: Error) => assert.is(error.name, 'Lost'),
      )
    })
  }
})

test('many small pieces take no more memory than their bytes, and arrive', async () => {
  await withTwo(async (a, b) => {
    const [one, two] = ids()
    const wild = a.door.connect(one, two, b.at)
    wild.listen({ data: nothing, end: nothing, drain: nothing, close: nothing })
    const far = new UdpStream(b.door.accept(two, one, a.at), a.at, nothing)
    const count = 40_000
    for (let i = 0; i < count; i++) wild.write(Uint8Array.of(0, 0, 0, 1, i))
    let read = 0
    while (read < count) {
      const piece = await far.read()
      const start = read
      assert.ok(piece?.every((byte, i) => byte === ((start + i) & 255)) ?? false)
      read += piece?.length ?? Infinity
    }
    assert.is(read, count)
    far.destroy()
    wild.destroy()
    await far.closed
  })
})

test('of much that is known to follow few large pieces are made, and what waits for more comes with the next packet, or the end', async () => {
  await withTwo(async (a, b) => {
    const [one, two] = ids()
    const near = a.door.connect(one, two, b.at)
    near.listen({ data: nothing, end: nothing, drain: nothing, close: nothing })
    const far = b.door.accept(two, one, a.at)
    const closed = new Promise((resolve) => far.listen({ data, end: () => (ended = true), drain: nothing, close: resolve }))
    let ended = false
    const all = systemRandom.bytes(4 << 20)
    const came: Uint8Array[] = []
    let [whole, read] = [0, 0]
    function data(bytes: Uint8Array): void {
      came.push(bytes)
      read += bytes.length
      far.expect(whole - read)
    }
    const send = (from: number, to: number): void => {
      for (let at = from; at < to; at += 50_000) near.write(all.subarray(at, Math.min(to, at + 50_000)))
    }
    try {
      whole = 2 << 20
      send(0, whole)
      await until(() => read === whole)
      assert.ok(came.some(({ length }) => length > 30_000)) // no packet is
      whole = 4 << 20 // of which a part is late
      send(2 << 20, 3_100_000)
      await pause(300)
      send(3_100_000, 3_100_001)
      await until(() => read === 3_100_001)
      send(3_100_001, whole)
      await until(() => read === whole)
      near.write(all.subarray(0, 9)) // nothing is known to follow
      await until(() => read === whole + 9)
      whole += 4 << 20 // of which most never comes
      send(0, 1_000_000)
      near.end()
      await until(() => ended)
      assert.is(Buffer.compare(Buffer.concat(came), Buffer.concat([all, all.subarray(0, 9), all.subarray(0, 1_000_000)])), 0)
    } finally {
      far.destroy()
      near.destroy()
      await closed
    }
  })
})

test('a pipe that waits for its first packet sends nothing, not even when it is given up', async () => {
  const b = await host()
  const a = await ear()
  const [one, two] = ids()
  const stream = new UdpStream(b.door.accept(two, one, a.at), a.at, nothing)
  await pause(300)
  stream.destroy()
  await stream.closed
  await pause(200)
  assert.equal(a.heard, [])
  a.close()
  await b.door.close()
})

test('packets for a pipe that does not exist are answered by nothing and are datagrams like others', async () => {
  const b = await host()
  const a = await ear()
  const other = new UdpStream(b.door.accept(77, 78, a.at), a.at, nothing)
  for (const type of [1, 2, 4, 8, 16, 32]) a.send(new Uint8Array([255, 1, type, 0, ...systemRandom.bytes(16)]), b.at)
  await until(() => b.heard.length === 6)
  await pause(100)
  assert.equal(a.heard, [])
  other.destroy()
  await other.closed
  a.close()
  await b.door.close()
})

test('what is under way when a stream is redirected goes where it was sent to, and that is told', async () => {
  await withTwo(async (a, b) => {
    const c = await ear() // another socket of the same udx would know the stream
    const [near, far] = streams(a, b)
    await near.write([new Uint8Array(10)])
    assert.is((await far.read())?.length, 10)
    await near.redirect(c.at)
    await near.write([new Uint8Array(20)])
    await until(() => c.heard.length > 0) // it is on its way
    let arrived = false
    const redirected = near.redirect(b.at).then(() => (arrived = true))
    await until(() => c.heard.length > 2, 60_000) // sent again
    const late = arrived
    near.destroy()
    far.destroy()
    await Promise.all([near.closed, far.closed])
    c.close()
    assert.is(late, false)
    await redirected
  })
})

test('a stream goes on where it is redirected to', async () => {
  await withTwo(async (a, b) => {
    const c = await host() // b's other address: the pipes of one id there
    const [near, far] = streams(a, b)
    await near.write([new Uint8Array(10)])
    assert.is((await far.read())?.length, 10)
    await pause(200) // nothing is under way
    await near.redirect({ ip: '127.0.0.2', port: b.door.port })
    assert.equal(near.remote, { ip: '127.0.0.2', port: b.door.port })
    await near.write([new Uint8Array(20)])
    assert.is((await far.read())?.length, 20)
    void near.redirect(c.at)
    void near.redirect({ ip: '127.0.0.2', port: b.door.port })
    void near.redirect(b.at)
    await near.write([new Uint8Array(30)])
    assert.is((await far.read())?.length, 30)
    near.end()
    far.end()
    await Promise.all([near.closed, far.closed, c.door.close()])
  })
})

test('a stream that is destroyed is lost at the other end', async () => {
  await withTwo(async (a, b) => {
    const [near, far] = streams(a, b)
    await near.write([new Uint8Array(10)])
    assert.is((await far.read())?.length, 10)
    near.destroy()
    const error = await far.read().catch((thrown: unknown) => thrown)
    assert.ok(error instanceof Error && error.name === 'Lost')
    await Promise.all([near.closed, far.closed])
    await near.write([new Uint8Array(1)]).then(() => assert.unreachable(), nothing)
  })
})

test.run()
