// Pipes, p2p-wire(7): two ends against each other over sessions that are cut anywhere, then the commands over real
// listeners, with whatever may die dying.
// test timeout: 600 s

import { randomBytes } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'

import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { type Clock, systemClock } from '../lib/base/clock.ts'
import { Failure } from '../lib/base/fail.ts'
import { systemRandom } from '../lib/base/random.ts'
import { channelPair, SocketChannel } from '../lib/delivery/channel.ts'
import type { Trouble } from '../lib/delivery/peers.ts'
import { PipeEnd } from '../lib/delivery/pipeend.ts'
import { WINDOW } from '../lib/delivery/pipesource.ts'
import { Pipes } from '../lib/delivery/pipes.ts'
import type { Session } from '../lib/delivery/session.ts'
import { freePort } from '../lib/net/freeport.ts'
import { DATA_LARGE, DATA_MAX, decodeFrame, encodeFrame, type PipeFrame, PIPES, RESET } from '../lib/wire/frame.ts'
import { argvOf } from './command.ts'
import { FakeClock } from './netkit.ts'
import { pattern, until as soon, wild, withPair } from './pair.ts'
import { pause, type Peer, type Running, Stage, until } from './peer.ts'
import { Proxy } from './proxy.ts'

const LOW = new Uint8Array(32)
const HIGH = new Uint8Array(32).fill(9)

interface End {
  end: PipeEnd
  got: Uint8Array[]
  done: Promise<void>
}

/** Two ends; every frame goes through `wire`, which may lose it: as a session that breaks does, with all that follow. */
function ends(
  inputs: [AsyncIterable<Uint8Array>, AsyncIterable<Uint8Array>],
  wire: (from: 0 | 1, frame: PipeFrame) => boolean,
  options: { timeoutMs?: number; clock?: Clock; output?: (bytes: Uint8Array) => Promise<void>; last?: () => boolean } = {},
): [End, End] {
  const made: End[] = []
  for (const side of [0, 1] as const) {
    const got: Uint8Array[] = []
    const end = new PipeEnd({
      clock: options.clock ?? systemClock,
      random: systemRandom,
      self: side === 0 ? LOW : HIGH,
      peer: side === 0 ? HIGH : LOW,
      name: side === 0 ? 'high' : 'low',
      input: reader(inputs[side]),
      async output(parts) {
        const bytes = Buffer.concat(parts)
        got.push(bytes)
        await options.output?.(bytes)
      },
      async send(frame) {
        const bytes = encodeFrame(frame)
        await new Promise((resolve) => setImmediate(resolve))
        if (wire(side, frame)) made[1 - side]?.end.take(decodeFrame(bytes) as PipeFrame)
      },
      timeoutMs: options.timeoutMs ?? Infinity,
      last: options.last,
    })
    made.push({ end, got, done: Promise.resolve() })
  }
  for (const each of made) {
    each.done = each.end.run()
    each.done.catch(() => undefined)
  }
  return made as [End, End]
}

/** Chunks as a descriptor gives them: what does not fit stays for the next call. */
function reader(chunks: AsyncIterable<Uint8Array>): (into: Uint8Array) => Promise<number> {
  const rest = chunks[Symbol.asyncIterator]()
  let chunk = new Uint8Array(0)
  return async (into) => {
    while (chunk.length === 0) {
      const { value, done } = (await rest.next()) as IteratorResult<Uint8Array>
      if (done === true) return 0
      chunk = new Uint8Array(value)
    }
    const size = Math.min(chunk.length, into.length)
    into.set(chunk.subarray(0, size))
    chunk = chunk.subarray(size)
    return size
  }
}

async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

async function* never(): AsyncGenerator<Uint8Array> {
  await new Promise(() => undefined)
  yield new Uint8Array(0)
}

async function reason(work: Promise<unknown>): Promise<string> {
  try {
    await work
  } catch (error) {
    if (error instanceof Failure) return `${error.exit} ${error.message}`
    throw error
  }
  return 'done'
}

test('both ways everything arrives once and in order, over sessions that break after any number of frames', async () => {
  let met = 0 // large frames
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 0, max: 300_000 }),
      fc.integer({ min: 0, max: 300_000 }),
      fc.integer({ min: 2000, max: 90_000 }),
      fc.array(fc.integer({ min: 0, max: 30 }), { maxLength: 12 }),
      async (here, there, size, cuts) => {
        const data = [new Uint8Array(randomBytes(here)), new Uint8Array(randomBytes(there))] as const
        const clock = new FakeClock()
        let left = cuts.shift() ?? Infinity
        let alive = true
        let large = cuts.length % 2 === 0 // changes from session to session, as versions may
        const [a, b] = ends([pieces(data[0], size), pieces(data[1], size)], (_, frame) => {
          if (frame.type === 'stream' && frame.bytes.length === DATA_LARGE) met++
          if (!large && frame.type === 'stream' && frame.bytes.length > DATA_MAX) return false // as Pipes does
          if (left-- > 0) return alive
          if (!alive) return false
          alive = false
          setImmediate(() => {
            for (const { end } of [a, b]) end.down('cut')
            left = cuts.shift() ?? Infinity
            alive = true
            large = !large
            for (const { end } of [a, b]) end.up(large)
          })
          return false
        }, { clock, last: () => true })
        for (const { end } of [a, b]) end.up(large)
        let both = false
        void Promise.all([a.done, b.done]).then(() => (both = true))
        for (let ms = 0; !both && ms < 60_000; ms += 20) await clock.advance(20)
        assert.ok(both, 'each stays until the other one knows, whatever was lost')
        assert.ok(Buffer.concat(a.got).equals(data[1]), 'what came to the first')
        assert.ok(Buffer.concat(b.got).equals(data[0]), 'what came to the second')
      },
    ),
    { numRuns: 100 },
  )
  assert.ok(met > 0)
})

test('to a command, which may be of an older version, a large frame is two', async () => {
  const channel = new SocketChannel(new PassThrough(), new Uint8Array(0))
  const bytes = new Uint8Array(randomBytes(DATA_LARGE))
  void channel.send({ type: 'stream', id: 'ab'.repeat(16), offset: 7, bytes })
  void channel.send({ type: 'done' })
  const words = [await channel.receive(), await channel.receive(), await channel.receive()]
  const id = 'ab'.repeat(16)
  assert.equal(words, [
    { type: 'stream', id, offset: 7, bytes: Buffer.from(bytes.subarray(0, DATA_MAX)) },
    { type: 'stream', id, offset: 7 + DATA_MAX, bytes: Buffer.from(bytes.subarray(DATA_MAX)) },
    { type: 'done' },
  ])
})

test('a reader that takes nothing holds the writer back, and memory with it', async () => {
  let read = 0
  let taking = false
  async function* endless(): AsyncGenerator<Uint8Array> {
    for (; read < 4 * WINDOW; read += 65_536) yield new Uint8Array(65_536)
  }
  const [a, b] = ends([endless(), pieces(new Uint8Array(0), 1)], () => true, {
    output: () => (taking ? Promise.resolve() : new Promise((resolve) => setTimeout(resolve, 2_000_000_000).unref())),
  })
  for (const { end } of [a, b]) end.up()
  await soon(() => read >= WINDOW / 2)
  await pause(300)
  assert.ok(read <= 2 * WINDOW, `${read} bytes were read ahead`)
  taking = true
  a.end.fail(new Failure(69, 'enough'))
  assert.is(await reason(a.done), '69 enough')
  assert.match(await reason(b.done), /^69 p2p-pipe of low ended/)
})

test('a reader that comes back when many small pieces wait gets them all, in few parts', async () => {
  const counts: number[] = []
  const got: Uint8Array[] = []
  let id = ''
  let come = (): void => undefined
  const back = new Promise<void>((resolve) => (come = resolve))
  const end = new PipeEnd({
    clock: systemClock, random: systemRandom, self: LOW, peer: HIGH, name: 'high', timeoutMs: Infinity,
    input: reader(never()),
    send: async (frame) => void (id = frame.id),
    async output(parts) {
      counts.push(parts.length)
      got.push(Buffer.concat(parts))
      await back
    },
  })
  const done = end.run()
  end.up()
  end.take({ type: 'open', id, received: 0 })
  const bytes = pattern(300_000)
  const put = (at: number, size: number): void => end.take({ type: 'stream', id, offset: at, bytes: bytes.subarray(at, at + size) })
  put(0, 1)
  await soon(() => counts.length === 1)
  for (let at = 1; at < 200_000; at++) put(at, 1)
  put(200_000, 50_000)
  for (let at = 250_000; at < 300_000; at += 10) put(at, 10)
  come()
  await soon(() => got.reduce((sum, { length }) => sum + length, 0) === bytes.length)
  assert.ok(Buffer.concat(got).equals(bytes))
  assert.ok(Math.max(...counts) < 4000, `${Math.max(...counts)} parts at once`)
  end.fail(new Failure(69, 'over'))
  assert.is(await reason(done), '69 over')
})

test('nobody there, somebody there without p2p-pipe, a link that does not come back: 69 in words', async () => {
  const alone = ends([never(), never()], () => false, { timeoutMs: 100 })[0]
  alone.end.down('off or asleep')
  assert.is(await reason(alone.done), '69 high cannot be reached: off or asleep')
  const silent = ends([never(), never()], () => false, { timeoutMs: 100 })[0]
  silent.end.up()
  assert.is(await reason(silent.done), '69 high is there, but p2p-pipe does not run there')
  const clock = new FakeClock()
  const said = new Set<number>()
  const wire = (side: number, { type }: PipeFrame): boolean => type !== 'credit' || said.add(side).size > 0
  const [a, b] = ends([never(), never()], wire, { timeoutMs: 100, clock })
  for (const { end } of [a, b]) end.up()
  await soon(() => said.size === 2) // both know that the other one is there
  await clock.advance(300)
  a.end.down('cut')
  await clock.advance(100)
  assert.is(await reason(a.done), '69 the connection to high was lost: cut')
  b.end.fail(new Failure(69, 'x'))
})

test('frames that make no sense end it: bytes behind the end or beyond all room, more acknowledged than was sent', async () => {
  for (const wrong of [
    [{ type: 'eof', total: 0 }, { type: 'stream', offset: 0, bytes: Uint8Array.of(1) }],
    [{ type: 'stream', offset: 0, bytes: Uint8Array.of(1) }, { type: 'eof', total: 0 }],
    [{ type: 'credit', received: 99, window: 5 }],
    [{ type: 'open', received: 99 }],
  ] as const) {
    let id = ''
    const said = new Set<number>()
    const [a, b] = ends([never(), never()], (side, frame) => {
      id = frame.id
      if (frame.type === 'credit') said.add(side)
      return true
    })
    for (const { end } of [a, b]) end.up()
    await soon(() => said.size === 2) // now both know which pipe it is
    await pause(50)
    for (const frame of wrong) a.end.take({ ...frame, id } as PipeFrame)
    assert.match(await reason(a.done), /^69 high sent what makes no sense/, JSON.stringify(wrong))
    assert.match(await reason(b.done), /^69 p2p-pipe of low ended/)
  }
})

test('an end that passes on the last bytes while there is no session says so in the next one before it is done', async () => {
  for (const last of [false, true]) {
    let take = (): void => undefined
    const slow = new Promise<void>((resolve) => (take = resolve))
    const clock = new FakeClock()
    const inputs = [pieces(pattern(70_000), 70_000), pieces(new Uint8Array(0), 1)] as [AsyncIterable<Uint8Array>, AsyncIterable<Uint8Array>]
    const said = new Set<string>()
    const wire = (side: number, { type }: PipeFrame): boolean => said.add(`${side} ${type}`).size > 0
    const [a, b] = ends(inputs, wire, { clock, output: () => slow, last: () => last })
    let over = 0
    for (const each of [a, b]) void each.done.then(() => over++)
    for (const { end } of [a, b]) end.up()
    await soon(() => said.has('0 eof') && said.has('1 eof'))
    await clock.advance(1000) // enough for a to say that b's end is there
    for (const { end } of [a, b]) end.down('cut')
    take()
    await clock.advance(1000)
    assert.is(over, 0, 'nobody could tell a')
    for (const { end } of [a, b]) end.up()
    await soon(() => over === 2) // and nobody stays: the clock stands still
    assert.ok(Buffer.concat(b.got).equals(pattern(70_000)))
  }
})

test('a contact cannot fill the listener with pipes that nobody wants', async () => {
  await withPair(async (_alice, bob) => {
    const { wild: peer } = await wild(bob)
    const id = (n: number): string => n.toString(16).padStart(32, '0')
    // a station without pipes says so, and takes such a frame as one out of turn
    assert.is((peer.of('settings')[0]?.features ?? 0) & PIPES, 0)
    await peer.link.send({ type: 'open', id: id(1), received: 0 })
    await soon(() => peer.over)
  })
})

test('a contact of whom only a command without pipes is there is waited for, until p2p-pipe comes', async () => {
  const session = (pipes: boolean, ended: Promise<unknown>): Session => ({ contact: {}, ready: Promise.resolve(), pipes, ended }) as unknown as Session
  let leave = (): void => undefined
  const found = [session(false, new Promise<void>((resolve) => (leave = resolve))), session(true, new Promise(() => undefined))]
  const pipes = new Pipes({ clock: systemClock, reach: () => Promise.resolve(found.shift() as Session), arrival: () => new Promise(() => undefined) })
  const [near, far] = channelPair()
  const attached = pipes.attach('KEY', far)
  assert.equal(await near.receive(), { type: 'down', why: 'what runs there now has no pipes' })
  leave()
  assert.equal(await near.receive(), { type: 'up' })
  near.end()
  await attached
})

test('a contact who calls is there at once, not when it is time to call again', async () => {
  const clock = new FakeClock() // its time stands still
  const there = { contact: {}, ready: Promise.resolve(), pipes: true, ended: new Promise(() => undefined) } as unknown as Session
  let call: (session: Session) => void = () => undefined
  const arrival = new Promise<Session>((resolve) => (call = resolve))
  const away: Trouble = { reason: 'refused', text: 'nobody listens there', addresses: [] }
  const found: (Session | Trouble)[] = [away, there]
  const pipes = new Pipes({ clock, reach: () => Promise.resolve(found.shift() as Session), arrival: () => arrival })
  const [near, far] = channelPair()
  const attached = pipes.attach('KEY', far)
  assert.equal(await near.receive(), { type: 'down', why: 'nobody listens there' })
  call(there)
  assert.equal(await near.receive(), { type: 'up' })
  assert.is(clock.timers, 0)
  near.end()
  await attached
})

test('a large frame that waited for a session with an older version is not sent in it', async () => {
  const sent: PipeFrame[] = []
  const there = { contact: {}, ready: Promise.resolve(), pipes: true, large: false, ended: new Promise(() => undefined), sendPipe: async (frame: PipeFrame) => void sent.push(frame) }
  const pipes = new Pipes({ clock: systemClock, reach: () => Promise.resolve(there as unknown as Session), arrival: () => new Promise(() => undefined) })
  const [near, far] = channelPair()
  const attached = pipes.attach('KEY', far)
  assert.equal(await near.receive(), { type: 'up' })
  const id = 'ab'.repeat(16)
  await near.send({ type: 'stream', id, offset: 0, bytes: new Uint8Array(DATA_LARGE) })
  await near.send({ type: 'credit', id, received: 0, window: 1 })
  await soon(() => sent.length > 0)
  assert.equal(sent, [{ type: 'credit', id, received: 0, window: 1 }])
  near.end()
  await attached
})

test('of two commands that wait each is shown a pipe of its own, whoever comes when, and one that ends leaves its to the next', async () => {
  const there = { contact: { key: 'KEY' }, ready: Promise.resolve(), pipes: true, ended: new Promise(() => undefined), sendPipe: async () => undefined } as unknown as Session
  const pipes = new Pipes({ clock: new FakeClock(), reach: () => Promise.resolve(there), arrival: () => new Promise(() => undefined) })
  const open = (letter: string) => ({ type: 'open', id: letter.repeat(32), received: 0 }) as const
  const wait = async (): Promise<{ near: ReturnType<typeof channelPair>[0]; attached: Promise<void> }> => {
    const [near, far] = channelPair()
    const attached = pipes.attach('KEY', far)
    assert.equal(await near.receive(), { type: 'up' })
    return { near, attached }
  }
  assert.ok(pipes.take(open('a'), there))
  const one = await wait()
  assert.equal(await one.near.receive(), open('a'))
  const two = await wait()
  await soon(() => true)
  assert.is(two.near.next(), undefined, 'the first may be about to take it')
  for (const letter of ['a', 'b']) assert.ok(pipes.take(open(letter), there))
  assert.equal(await two.near.receive(), open('b'))
  assert.is(one.near.next(), undefined)
  const three = await wait()
  await two.near.send(open('b'))
  one.near.end() // it has taken nothing
  await one.attached
  assert.equal(await three.near.receive(), open('a'))
  assert.is(two.near.next(), undefined)
  for (const { near, attached } of [two, three]) {
    near.end()
    await attached
  }
})

test('the last word of a pipe that is done is said again to an end that has not heard it, and to nobody else', async () => {
  const sent: PipeFrame[] = []
  const session = (key: string): Session => ({
    contact: { key }, ready: Promise.resolve(), pipes: true, ended: new Promise(() => undefined), sendPipe: async (frame: PipeFrame) => void sent.push(frame),
  }) as unknown as Session
  const there = session('KEY')
  const pipes = new Pipes({ clock: new FakeClock(), reach: () => Promise.resolve(there), arrival: () => new Promise(() => undefined) })
  const run = async (id: string, end: 'done' | undefined): Promise<PipeFrame> => {
    const [near, far] = channelPair()
    const attached = pipes.attach('KEY', far)
    assert.equal(await near.receive(), { type: 'up' })
    const credit = { type: 'credit', id, received: 7, window: 1 } as const
    for (const word of [{ type: 'open', id, received: 0 }, { ...credit, received: 3 }, credit] as const) await near.send(word)
    if (end !== undefined) await near.send({ type: end })
    near.end()
    await attached
    return credit
  }
  const [good, bad] = ['ab'.repeat(16), 'cd'.repeat(16)]
  const last = await run(good, 'done')
  await run(bad, undefined)
  sent.length = 0
  const [waits, its] = channelPair() // another command, which must not take the old pipe for its own
  const attached = pipes.attach('KEY', its)
  assert.equal(await waits.receive(), { type: 'up' })
  assert.ok(pipes.take({ type: 'open', id: good, received: 6 }, there))
  assert.ok(pipes.take({ type: 'eof', id: good, total: 6 }, there))
  assert.ok(pipes.take({ type: 'credit', id: good, received: 1, window: 1 }, there))
  const over = { type: 'reset', id: good, code: RESET.DONE } as const
  assert.equal(sent, [last, over, last, over])
  assert.is(waits.next(), undefined)
  assert.ok(pipes.take({ type: 'eof', id: bad, total: 6 }, there))
  assert.ok(pipes.take({ type: 'eof', id: good, total: 6 }, session('OTHER')))
  assert.equal(sent.slice(4), [{ type: 'reset', id: bad, code: 1 }, { type: 'reset', id: good, code: 1 }])
  waits.end()
  await attached
  for (let n = 0; n < 64; n++) await run(n.toString(16).padStart(32, '0'), 'done')
  sent.length = 0
  assert.ok(pipes.take({ type: 'eof', id: good, total: 6 }, there))
  assert.equal(sent, [{ type: 'reset', id: good, code: 1 }], 'not for ever')
})

test('who asks without end and reads no answer gets so many, and again when it has read them', async () => {
  let said = 0
  let read: (() => void)[] = []
  const there = {
    contact: { key: 'KEY' },
    sendPipe: () => new Promise<void>((resolve) => (said++, read.push(resolve))),
  } as unknown as Session
  const pipes = new Pipes({ clock: new FakeClock(), reach: () => new Promise(() => undefined), arrival: () => new Promise(() => undefined) })
  const ask = (): void => {
    for (let n = 0; n < 1000; n++) {
      assert.ok(pipes.take({ type: 'eof', id: n.toString(16).padStart(32, '0'), total: 6 }, there))
      assert.ok(pipes.take({ type: 'stream', id: 'ab'.repeat(16), offset: 0, bytes: new Uint8Array(1) }, there))
    }
  }
  ask()
  const once = said
  assert.ok(once > 0 && once < 100, `${once} answers wait`)
  for (const resolve of read) resolve()
  read = []
  await pause(0)
  ask()
  assert.is(said, 2 * once)
})

interface Piped {
  running: Running
  /** What came out so far. */
  got(): Buffer
}

/** p2p-pipe with this on standard input; without, an input that never ends. */
function piped(stage: Stage, peer: Peer, to: string, input: Uint8Array | undefined, ...args: string[]): Piped {
  const place = mkdtempSync(join(stage.dir, 'p'))
  writeFileSync(join(place, 'in'), input ?? '')
  const script = input === undefined ? 'sleep 600 2>/dev/null | "$@" >out' : 'exec "$@" <in >out'
  const argv = ['sh', '-c', script, 'sh', ...argvOf('p2p-pipe'), to, ...args]
  const running = stage.startProgram(argv, { home: peer.path, cwd: place, env: { ...peer.env } })
  const out = join(place, 'out')
  return { running, got: () => (existsSync(out) ? readFileSync(out) : Buffer.alloc(0)) }
}

const size = (each: Piped): number => each.got().length

test('two commands: with listeners, with one, with none; both directions are whole', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const data = [randomBytes(3_000_000), randomBytes(1_000_000)] as const
    const listeners: Running[] = []
    for (const more of [undefined, alice, bob]) {
      if (more !== undefined) listeners.push(await more.listen())
      const a = piped(stage, alice, 'bob', data[0])
      const b = piped(stage, bob, 'alice', data[1])
      assert.equal([(await a.running.ended).code, (await b.running.ended).code], [0, 0], a.running.err + b.running.err)
      assert.ok(a.got().equals(data[1]) && b.got().equals(data[0]))
      assert.equal([a.running.err, b.running.err], ['', ''])
    }
    // two pipes at once between the same two, and an empty one
    const many = [piped(stage, alice, 'bob', data[0]), piped(stage, alice, 'bob', data[0])]
    await pause(500)
    const back = [piped(stage, bob, 'alice', new Uint8Array(0)), piped(stage, bob, 'alice', new Uint8Array(0))]
    for (const each of [...many, ...back]) assert.is((await each.running.ended).code, 0, each.running.err)
    for (const each of back) assert.ok(each.got().equals(data[0]))
    assert.is((await alice.send('bob', ['-m', 'mail goes on'])).length, 64)
    for (const listener of listeners) await listener.stop()
  })
})

test('a link that is cut again and again, and listeners that are killed: what comes is what went', async () => {
  await Stage.with(async (stage) => {
    const port = await freePort(systemRandom)
    const proxy = await Proxy.open({ to: port })
    stage.onClose(() => proxy.close())
    const [alice, bob] = await stage.pair({}, { port, addr: [proxy.address] })
    let listeners = [await alice.listen(), await bob.listen()]
    const data = [randomBytes(24_000_000), randomBytes(4_000_000)] as const
    const a = piped(stage, alice, 'bob', data[0], '--timeout', '60s')
    const b = piped(stage, bob, 'alice', data[1], '--timeout', '60s')
    for (let cut = 1; cut <= 5 && !a.running.over && !b.running.over; cut++) {
      const aim = Math.min(data[0].length - 1, cut * 4_000_000)
      await until(`byte ${aim}`, () => size(b) >= aim || b.running.over)
      if (cut === 3) {
        await Promise.all(listeners.map((listener) => listener.kill()))
        listeners = [await alice.listen(), await bob.listen()]
      } else {
        proxy.crossings.filter(({ open }) => open).forEach((crossing) => crossing.cut())
      }
    }
    assert.equal([(await a.running.ended).code, (await b.running.ended).code], [0, 0], a.running.err + b.running.err)
    assert.ok(a.got().equals(data[1]), 'what alice got')
    assert.ok(b.got().equals(data[0]), 'what bob got')
    for (const listener of listeners) await listener.stop()
  })
})

test('listeners that are away so long that each p2p-pipe listens itself, and come back when it has just begun', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    for (const gap of [2700, 3200]) {
      const gone = [await alice.listen(), await bob.listen()]
      const data = [randomBytes(24_000_000), randomBytes(4_000_000)] as const
      const a = piped(stage, alice, 'bob', data[0], '--timeout', '60s')
      const b = piped(stage, bob, 'alice', data[1], '--timeout', '60s')
      await until('half of it', () => size(b) >= 12_000_000 || b.running.over)
      await Promise.all(gone.map((listener) => listener.kill()))
      await pause(gap)
      const back = await Promise.all([alice.listen(), bob.listen()])
      assert.equal([(await a.running.ended).code, (await b.running.ended).code], [0, 0], a.running.err + b.running.err)
      assert.ok(a.got().equals(data[1]) && b.got().equals(data[0]))
      for (const listener of back) await listener.stop()
    }
  })
})

test('whoever dies: the other side ends with 69 and says so; nobody there is 69 as well', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const soon = await alice.run('p2p-pipe', ['bob', '--timeout', '1ms']) // before it listens
    assert.equal([soon.code, soon.err], [69, 'p2p-pipe: bob cannot be reached\n'])
    const away = await alice.run('p2p-pipe', ['bob', '--timeout', '5s']) // a busy machine knows no reason after one
    assert.is(away.code, 69)
    assert.match(away.err, /^p2p-pipe: bob cannot be reached: /)
    const listeners = [await alice.listen(), await bob.listen()]
    const without = await alice.run('p2p-pipe', ['bob', '--timeout', '5s'])
    assert.equal([without.code, without.err], [69, 'p2p-pipe: bob is there, but p2p-pipe does not run there\n'])
    for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
      const a = piped(stage, alice, 'bob', undefined)
      const b = piped(stage, bob, 'alice', randomBytes(1_000_000))
      await until('the bytes', () => size(a) === 1_000_000)
      const shell = String(a.running.child.pid)
      const children = readFileSync(`/proc/${shell}/task/${shell}/children`, 'utf8').trim().split(' ')
      const pipe = children.filter((pid) => readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('p2p-pipe'))
      assert.is(pipe.length, 1)
      process.kill(Number(pipe[0]), signal)
      assert.is((await b.running.ended).code, 69)
      assert.match(b.running.err, /^p2p-pipe: p2p-pipe of alice ended before everything had come through\n$/)
      await a.running.kill()
    }
    for (const listener of listeners) await listener.stop()
    assert.is((await alice.run('p2p-pipe', ['bob', '-q'])).code, 64)
    assert.is((await alice.run('p2p-pipe', ['nobody'])).code, 67)
  })
})

test('standard output that closes is told to the other side: 74 here, 69 there', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const listeners = [await alice.listen(), await bob.listen()]
    const place = mkdtempSync(join(stage.dir, 'p'))
    const script = '{ "$@" </dev/null; echo $? >code; } | head -c 1000 >head'
    const a = stage.startProgram(['sh', '-c', script, 'sh', ...argvOf('p2p-pipe'), 'bob'], { home: alice.path, cwd: place })
    const b = piped(stage, bob, 'alice', randomBytes(20_000_000))
    assert.is((await b.running.ended).code, 69)
    await a.ended
    assert.is(readFileSync(join(place, 'code'), 'utf8').trim(), '74')
    for (const listener of listeners) await listener.stop()
  })
})

test.run()
