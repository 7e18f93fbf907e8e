// A stranger learns nothing from the way its connection ends: the twelve kinds of failing caller get no byte, the same
// time and the same kind of end. On a virtual clock in this process to the millisecond; over real TCP, from many
// addresses, as far as a statistician can tell. `make silence` does the same with 200 real callers of each kind and
// the whole of nmap's probes.
// test timeout: 900 s

import { connect } from 'node:net'

import { execa } from 'execa'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { concat } from '../lib/base/bytes.ts'
import { systemRandom } from '../lib/base/random.ts'
import { Station } from '../lib/delivery/station.ts'
import { loadKeyring } from '../lib/disk/keyring.ts'
import { serve } from '../lib/net/accept.ts'
import type { Responder } from '../lib/net/answer.ts'
import { Guard } from '../lib/net/guard.ts'
import type { ByteStream } from '../lib/net/stream.ts'
import { FakeClock, type MemoryStream, pipe, settle } from './netkit.ts'
import { pause, type Peer, type Running, Stage } from './peer.ts'
import { ALPHA, isUniform, sameDistribution, seeded, shuffled } from './statistics.ts'
import { answerTo, KINDS, type Sends, type Town, townOf } from './strangers.ts'
import { missing } from './bench/measure.ts'
import { skipped } from './vectors.ts'

const FULL = process.env['SILENCE'] === 'full'
const TRIES = 200
const SILENCE_MS = 20_000
const SPREAD_MS = 5_000
const AFTER_FIN_MS = 5_000

test('the measures see what they are there to see', () => {
  const random = seeded(1)
  const sample = (size: number, shift = 0): number[] => Array.from({ length: size }, () => random() * 20 + shift)
  for (let turn = 0; turn < 50; turn++) {
    assert.ok(sameDistribution(sample(8), sample(112)) > ALPHA)
    assert.ok(sameDistribution(sample(200), sample(2800)) > ALPHA)
    assert.ok(isUniform(sample(200), 0, 20) > ALPHA)
  }
  assert.ok(sameDistribution(sample(8, 20), sample(112)) < ALPHA)
  assert.ok(sameDistribution(sample(200, 6), sample(2800)) < ALPHA)
  assert.ok(isUniform(sample(200, 6), 0, 20) < ALPHA)
  assert.is(seeded(7)(), seeded(7)())
})

// In this process, on a virtual clock: a real home decides who is who.

/** A door that tells when nobody is inside any more: what it reads and writes takes real time. */
function watched(responder: Responder): Responder & { idle: () => Promise<void> } {
  let inside = 0
  return {
    identity: responder.identity,
    transportKeys: () => responder.transportKeys(),
    knows: (transport) => responder.knows(transport),
    async admit(...args) {
      inside++
      try {
        return await responder.admit(...args)
      } finally {
        inside--
      }
    },
    async idle() {
      do await settle()
      while (inside > 0)
    },
  }
}

/** One process: every kind calls once, at times and in pieces that the seed decides. What each saw of its end. */
async function oneLife(town: Town, station: Station, seed: number): Promise<Map<string, { got: number; end: string[] }>> {
  const random = seeded(seed)
  const clock = new FakeClock()
  const door = watched(station.responder())
  let meet: (stream: ByteStream) => void = () => undefined
  const drawn = { bytes: (size: number) => Uint8Array.from({ length: size }, () => Math.floor(random() * 256)) }
  const faults: unknown[] = []
  await serve({
    suite: station.suite,
    clock,
    random: { bytes: (size) => (size === 4 ? drawn : systemRandom).bytes(size) },
    guard: new Guard<ByteStream>(clock, systemRandom),
    responder: door,
    port: 1,
    hosts: ['192.0.2.1'],
    onLink: () => assert.unreachable('a link'),
    onFault: (error) => faults.push(error),
    listen: async (at, onStream) => {
      meet = onStream
      return { ...at, close: async () => {} }
    },
  })
  const events: { at: number; run: () => void | Promise<void> }[] = []
  const seen = new Map<string, { begun: number; near: MemoryStream; far: MemoryStream }>()
  for (const [n, [kind, sends]] of shuffled(Object.entries(KINDS), random).entries()) {
    const bytes = await (sends as Sends)(town)
    const begun = Math.floor(random() * 3000)
    events.push({
      at: begun,
      run() {
        const [near, far] = pipe(clock, { ip: `192.0.2.${n + 10}`, port: 4000 })
        seen.set(kind, { begun, near, far })
        meet(far)
      },
    })
    const cuts = random() < 0.5 ? [] : [Math.floor(random() * bytes.length)]
    let sentAt = begun
    for (const [from, to] of [0, ...cuts].map((cut, i) => [cut, cuts[i] ?? bytes.length] as const)) {
      sentAt += Math.floor(random() * 2000)
      const piece = bytes.subarray(from, to)
      if (piece.length > 0) events.push({ at: sentAt, run: () => seen.get(kind)?.near.write([piece]) })
    }
  }
  for (const { at, run } of events.toSorted((a, b) => a.at - b.at)) {
    await clock.advance(at - clock.time)
    await run()
    await door.idle()
  }
  for (let step = 0; step < 25; step++) {
    await clock.advance(100)
    await door.idle()
  }
  await clock.advance(60_000)
  assert.equal(faults, [])
  assert.is(clock.timers, 0)
  return new Map([...seen].map(([kind, { begun, far }]) => {
    const end = far.log.map((line) => line.replace(/^\d+/, (at) => String(Number(at) - begun)))
    return [kind, { got: far.written, end }]
  }))
}

test(`on a virtual clock, ${TRIES} of each kind: not a byte, and the same end to the millisecond`, async () => {
  await Stage.with(async (stage) => {
    const town = await townOf(stage)
    let station = await Station.open(town.bob.home, await loadKeyring(town.bob.home))
    assert.ok(await answers(station, town.spent), 'the hello that is replayed was a good one')
    const hours = new Map(Object.keys(KINDS).map((kind) => [kind, [] as number[]]))
    let wrong = 0
    for (let seed = 0; seed < TRIES; seed++) {
      if (seed % 50 === 49) { // a new process: what it knows of hellos is on the disk
        await station.close()
        station = await Station.open(town.bob.home, await loadKeyring(town.bob.home))
      }
      const seen = await oneLife(town, station, seed)
      const hour = Number(/^\d+/.exec(seen.get('no bytes')?.end[0] ?? '')?.[0])
      assert.ok(hour >= SILENCE_MS && hour <= SILENCE_MS + SPREAD_MS, `${hour}`)
      for (const [kind, { got, end }] of seen) {
        assert.is(got, answerTo(kind), `${kind}, seed ${seed}`)
        if (end.join() !== `${hour} fin,${hour + AFTER_FIN_MS} close`) wrong++
        hours.get(kind)?.push(Number(/^\d+/.exec(end[0] ?? '')?.[0]))
      }
    }
    await station.close()
    assert.is(wrong, 0)
    for (const [kind, times] of hours) {
      assert.is(times.length, TRIES)
      assert.ok(sameDistribution(times, hours.get('garbage') ?? []) > ALPHA, kind)
      assert.ok(isUniform(times, SILENCE_MS, SILENCE_MS + SPREAD_MS) > ALPHA, `${kind}: the hour is drawn evenly`)
    }
    console.log(`# ${hours.size} kinds x ${TRIES}: every end the same`)
  })
})

/** Whether a hello is answered. */
async function answers(station: Station, hello: Uint8Array): Promise<boolean> {
  const clock = new FakeClock()
  const door = watched(station.responder())
  let meet: (stream: ByteStream) => void = () => undefined
  await serve({
    suite: station.suite,
    clock,
    random: systemRandom,
    guard: new Guard<ByteStream>(clock, systemRandom),
    responder: door,
    port: 1,
    hosts: ['192.0.2.1'],
    onLink: () => undefined,
    listen: async (at, onStream) => {
      meet = onStream
      return { ...at, close: async () => {} }
    },
  })
  const [near, far] = pipe(clock)
  meet(far)
  await near.write([concat(hello)])
  await door.idle()
  near.destroy()
  await clock.advance(60_000)
  return far.written > 0
}

// A real listener, callers from many addresses of 127.0.0.0/8.

interface End {
  got: number
  how: string
  after: number
}

/** Calls from `from`, says what it has to say, and waits for the end. */
function call(port: number, from: string, bytes: Uint8Array): Promise<End> {
  return new Promise((resolve) => {
    let got = 0
    const begun = performance.now() // not when it hears that it was accepted, which may be late
    const socket = connect({ host: '127.0.0.1', port, localAddress: from, allowHalfOpen: true }, () => {
      if (bytes.length > 0) socket.write(bytes)
    })
    const done = (how: string): void => resolve({ got, how, after: performance.now() - begun })
    socket.on('data', (chunk) => (got += chunk.length))
    socket.on('error', (error) => done(error.message))
    socket.on('close', () => done('closed'))
    socket.on('end', () => {
      done('fin')
      setTimeout(() => socket.destroy(), AFTER_FIN_MS + 3000).unref() // whoever leaves sooner tells nothing
    })
  })
}

/** One address of its own for each caller. */
const address = (n: number): string => `127.${1 + (n >> 14)}.${(n >> 7) & 127}.${1 + (n & 127)}`

async function wave(town: Town, each: number, seed: number): Promise<Map<string, End[]>> {
  const random = seeded(seed)
  const callers = await Promise.all(
    shuffled(Array.from({ length: each }, () => Object.entries(KINDS)).flat(), random).map(async ([kind, sends], n) => ({
      kind,
      bytes: await sends(town),
      from: address(seed * 1000 + n),
      wait: random() * 1500,
    })),
  )
  const ends = await Promise.all(callers.map(async ({ kind, bytes, from, wait }) => {
    await pause(wait)
    return [kind, await call(town.bob.home.port, from, bytes)] as const
  }))
  const found = new Map<string, End[]>()
  for (const [kind, end] of ends) found.set(kind, [...(found.get(kind) ?? []), end])
  return found
}

test('over real TCP: every kind, from many addresses, before and after a restart of the listener', async () => {
  await Stage.with(async (stage) => {
    const town = await townOf(stage)
    const { bob } = town
    let listener = await bob.listen()
    const first = await call(bob.home.port, '127.0.0.1', town.spent)
    assert.is(first.got, answerTo('no confirmation'), 'the hello that is replayed was a good one')
    await listener.stop()
    listener = await bob.listen()
    const before = bob.snapshot()
    const scans = [scan(listener, bob), curl(bob)]
    // 512 failed connections are kept: so many at a time that none has to go for another
    const [waves, each] = FULL ? [7, 30] : [1, 8]
    for (let n = 0; n < waves; n++) {
      if (n > 0) await pause(AFTER_FIN_MS + 4000) // those of the wave before still count until they have left
      judge(await wave(town, each, n + 1), each)
      if (waves > 1) console.log(`# wave ${n + 1} of ${waves}: ${Object.keys(KINDS).length} kinds x ${each}`)
    }
    await Promise.all(scans)
    // what the one good kind left behind is its timestamps; nothing else has changed
    const changed = bob.snapshot().filter((line) => !before.includes(line))
    assert.equal(changed.filter((line) => !line.startsWith('hello/')), [])
    assert.is((await listener.stop()).code, 0, listener.err)
    assert.equal([listener.of('notice'), listener.of('peer')], [[], []])
  })
})

/** Not a byte, a FIN, never too early, and no kind that ends at another time than the others. */
function judge(found: Map<string, End[]>, each: number): void {
  const all = [...found.values()].flat()
  const sorted = all.map(({ after }) => after).toSorted((a, b) => a - b)
  console.log(`# ${all.length} callers: ends ${sorted[0]?.toFixed(0)} to ${sorted.at(-1)?.toFixed(0)} ms after the accept`)
  for (const [kind, ends] of found) {
    assert.is(ends.length, each)
    const others = [...found].filter(([other]) => other !== kind).flatMap(([, list]) => list)
    for (const { got, how, after } of ends) {
      assert.is(got, answerTo(kind), kind)
      assert.is(how, 'fin', kind)
      assert.ok(after > SILENCE_MS - 100, `${kind}: after ${after} ms`)
    }
    const p = sameDistribution(ends.map(({ after }) => after), others.map(({ after }) => after))
    assert.ok(p > ALPHA, `${kind} ends at other times than the others (p ${p}): ${ends.map(({ after }) => after.toFixed(0)).join(' ')}`)
  }
}

/** nmap finds that something is open, and not what. */
async function scan(listener: Running, { home }: Peer): Promise<void> {
  if (missing('nmap') !== undefined) return skipped('what a scanner learns: nmap is not installed')
  const light = FULL ? [] : ['--version-light'] // all probes: 165 s
  const { stdout } = await execa('nmap', ['-n', '-Pn', '-sV', ...light, '-oX', '-', '-p', `${home.port}`, '127.0.0.1'])
  const port = /<port .*<\/port>/.exec(stdout)?.[0] ?? stdout
  assert.match(port, /<state state="open"/)
  assert.not.match(port, /<script|product=|version=|extrainfo=|method="probed"|servicefp=|tcpwrapped/)
  assert.not.ok(listener.over)
}

/** curl gets nothing, and cannot say more than that. */
async function curl({ home }: Peer): Promise<void> {
  if (missing('curl') !== undefined) return skipped('what a browser learns: curl is not installed')
  for (const scheme of ['http', 'https', 'ftp']) {
    const ran = await execa('curl', ['-sS', '-m', '3', `${scheme}://127.0.0.1:${home.port}/`], { reject: false })
    assert.equal([ran.exitCode, ran.stdout], [28, ''], `${scheme}: ${ran.stderr}`) // 28: time is over
  }
}

test.run()
