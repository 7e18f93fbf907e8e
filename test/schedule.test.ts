// When a contact that is away is called again: the schedule as numbers, and a listener with real sockets and files that
// keeps to it on a virtual clock, for days in a few seconds.

import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { Listener } from '../lib/delivery/listener.ts'
import type { ListenerOptions } from '../lib/delivery/listening.ts'
import { nextAttempt } from '../lib/delivery/schedule.ts'
import { Config } from '../lib/disk/config.ts'
import { type Home, openHome, realDoors } from '../lib/disk/home.ts'
import { loadKeyring } from '../lib/disk/keyring.ts'
import * as queueread from '../lib/disk/queueread.ts'
import { outcomeOf, readEvents, readLog } from '../lib/disk/queuelog.ts'
import { inboxOf, send, short, type Side, text, until, waiting, withPair } from './pair.ts'
import { VirtualClock } from './virtualclock.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR

/** A listener looks at its queues so often; whatever waits longer is a call. */
const LOOK_MS = 30_000

/** UDP has a schedule of its own: holes.test.ts. */
const TCP = new Config({ file: new Map([['udp', false], ['map', false], ['lan', false]]) })

test('the schedule: 400 s, 1600 s, 3600 s ... after the first failure, then every four hours, for ever', () => {
  const first = 1_800_000_000_000
  const times: number[] = []
  for (let now = first; times.length < 60; ) times.push(((now = nextAttempt(first, now, 0.5)) - first) / 1000)
  const quadratic = Array.from({ length: 18 }, (_, i) => 400 * (i + 1) ** 2)
  assert.equal(times.slice(0, 18), quadratic)
  for (let i = 18; i < 60; i++) assert.is((times[i] as number) - (times[i - 1] as number), 14_400, `${i}`)
})

test('jitter moves an attempt by a tenth at most, no clock that is set moves it further', () => {
  const ms = fc.integer({ min: 0, max: 2 ** 43 })
  const property = fc.property(ms, ms, fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (first, now, fraction) => {
    const age = Math.max(0, now - first)
    const gap = Math.min(4 * HOUR, 40 * Math.sqrt(age * 1000) + 400_000)
    const next = nextAttempt(first, now, fraction)
    assert.ok(next >= now + 0.9 * gap - 1 && next <= now + 1.1 * gap + 1, `${next - now} of ${gap}`)
  })
  fc.assert(property, { numRuns: 2000 })
  const spread = new Set(Array.from({ length: 100 }, (_, i) => nextAttempt(0, 0, i / 100)))
  assert.is(spread.size, 100)
})

interface Said {
  at: number
  next: number
  attempts: number | undefined
}

interface Running {
  /** Each time that bob could not be reached. */
  vain: Said[]
  up: number[]
  delivered: string[]
  listener: Listener
  end(): Promise<void>
}

/** A home with another clock. */
function withClock(home: Home, clock: VirtualClock): Promise<Home> {
  return openHome({ flag: home.path, env: {} }, { ...realDoors, clock })
}

const listeners = new Set<() => void>()

async function listen(home: Home, clock: VirtualClock, more: Partial<ListenerOptions> = {}): Promise<Running> {
  const control = new AbortController()
  const running: Running = {
    vain: [],
    up: [],
    delivered: [],
    listener: new Listener({
      home,
      keyring: await loadKeyring(home),
      config: TCP,
      reread: () => Promise.resolve(TCP),
      once: false,
      exec: undefined,
      signal: control.signal,
      onReady: () => undefined,
      onMessage: () => undefined,
      onDelivered: ({ id }) => void running.delivered.push(id),
      onDeferred: (_, { queued, attempts, next }) => {
        if (queued === undefined) running.vain.push({ at: clock.now(), next, attempts })
      },
      onFailed: () => undefined,
      onPeer: (_, state) => void (state === 'up' && running.up.push(clock.now())),
      onContact: () => undefined,
      onRequest: () => undefined,
      onNotice: () => undefined,
      ...more,
    }),
    async end() {
      control.abort()
      clock.idle = () => true
      await clock.advance(10_000)
      await ended
    },
  }
  listeners.add(() => control.abort())
  const ended = running.listener.run()
  ended.catch(() => undefined)
  clock.idle = (lengths) => lengths.some((ms) => ms > LOOK_MS && ms !== DAY) // the next call is set; once a day it looks after its keys
  return running
}

const many = (from: Side, count: number): Promise<{ id: string }[]> =>
  send(from, Array.from({ length: count }, (_, i) => [text(`${i}\n`)]))

test('a dead contact is called by the schedule, once each time however many messages wait, and the log says when', async () => {
  await withPair(
    async (alice) => {
      const clock = new VirtualClock()
      const home = await withClock(alice.home, clock)
      await many({ ...alice, home }, 300)
      const start = clock.now()
      const running = await listen(home, clock)
      await until(() => running.vain.length === 1)
      await clock.advance(7 * DAY)
      const { vain } = running
      // 18 in the first 36 hours, then one every four hours
      assert.ok(vain.length >= 45 && vain.length <= 57, `${vain.length} calls in a week`)
      for (const [i, { at, next, attempts }] of vain.entries()) {
        assert.is(attempts, i + 1)
        assert.is(at, i === 0 ? start : (vain[i - 1] as Said).next, 'when the one before said')
        const gap = Math.min(4 * HOUR, 40 * Math.sqrt((at - start) * 1000) + 400_000)
        assert.ok(next - at >= 0.9 * gap - 1 && next - at <= 1.1 * gap + 1, `${next - at} of ${gap}`)
      }
      const events: string[] = []
      for await (const { event } of readEvents(home, alice.contact.key)) events.push(event)
      assert.equal(events.filter((event) => event !== 'notice'), vain.map(() => 'attempt'), 'one line a call')
      const log = await readLog(home, alice.contact.key)
      const [oldest] = await queueread.list(home, alice.contact.key)
      assert.equal([log.count, log.last?.next], [vain.length, vain.at(-1)?.next])
      assert.is(outcomeOf(log, oldest?.id ?? '', oldest?.created ?? 0n).attempts, vain.length)

      // a listener that is started anew calls at once, and then goes by the age of the outage
      await running.end()
      const again = await listen(home, clock)
      await until(() => again.vain.length === 1)
      const [{ at, next } = { at: 0, next: 0 }] = again.vain
      assert.is(at, clock.now())
      assert.ok(next - at >= 0.9 * 4 * HOUR, `${next - at}`)
      await again.end()
    },
    {},
    true,
  )
})

test('a clock that is set years forth or back neither stops the calls nor makes them a storm', async () => {
  await withPair(
    async (alice) => {
      const clock = new VirtualClock()
      const home = await withClock(alice.home, clock)
      await many({ ...alice, home }, 3)
      const running = await listen(home, clock)
      await until(() => running.vain.length === 1)
      for (const years of [3, -6, 3]) {
        clock.epoch += years * 365 * DAY
        const before = running.vain.length
        await clock.advance(DAY)
        const calls = running.vain.length - before
        assert.ok(calls >= 5 && calls <= 20, `${calls} calls on a day after ${years} years`)
      }
      await running.end()
    },
    {},
    true,
  )
})

test('a sign of life ends the outage: what waits goes at once, and the next outage begins with 400 s', async () => {
  await withPair(
    async (alice, bob) => {
      const clock = new VirtualClock()
      const home = await withClock(alice.home, clock)
      const sent = await many({ ...alice, home }, 5)
      const running = await listen(home, clock)
      await until(() => running.vain.length === 1)
      await clock.advance(3 * DAY)
      const before = running.vain.length
      // bob calls: the next attempt of this side would be hours away
      const link = await bob.station.connect(bob.contact)
      assert.ok('link' in link)
      const session = await bob.station.session(link.link, bob.contact, { oneShot: true, receive: true })
      await session.ended
      await until(async () => (await waiting(alice)) === 0)
      assert.equal(await inboxOf(bob), short(sent as never))
      assert.is(running.vain.length, before)
      assert.equal((await readLog(home, alice.contact.key)).attempts, [])
      await many({ ...alice, home }, 1)
      const ended = clock.now()
      await clock.advance(HOUR)
      const since = running.vain.slice(before).map(({ at }) => (at - ended) / 1000)
      assert.ok(since.length >= 3, `${since.length} calls in the hour after`)
      assert.ok((since[1] ?? 0) - (since[0] ?? 0) <= 440, 'the first again after 400 s')
      assert.is(running.vain[before]?.attempts, 1)
      await running.end()
    },
    {},
    true,
  )
})

test.after.each(() => {
  for (const stop of listeners) stop() // of a test that failed
  listeners.clear()
})

test.run()
