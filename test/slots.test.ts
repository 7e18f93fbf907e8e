// When and where two meet who agree on nothing but the clock, and how a search for an open port is laid out.

import * as fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { compare } from '../lib/base/bytes.ts'
import { systemRandom } from '../lib/base/random.ts'
import { nodeSuite as suite } from '../lib/crypto/suite-node.ts'
import { type Begun, keepsNewer } from '../lib/delivery/glare.ts'
import { nextTurn, partOf, probes, PROBES_MAX, RAREST, type Searchers, SOCKETS, whyNoSearch } from '../lib/net/birthday.ts'
import { Crowd } from '../lib/net/crowd.ts'
import type { Datagrams } from '../lib/net/datagram.ts'
import { NAT_CLASS } from '../lib/net/outside.ts'
import { rendezvousKey } from '../lib/net/rendezvous.ts'
import { freshPort, LINGER_MS, nextSlot, SLOT_MS, timingFor } from '../lib/net/slots.ts'
import type { Payload1, Payload2 } from '../lib/wire/hello.ts'
import { FakeClock, person } from './netkit.ts'

const [alice, bob] = [person(suite), person(suite)]
const KEY = rendezvousKey(suite, { self: alice, peer: { identity: bob.identity, transport: bob.key.publicKey } })
const BOBS = rendezvousKey(suite, { self: bob, peer: { identity: alice.identity, transport: alice.key.publicKey } })
const LOWER = [alice.identity, bob.identity].sort(compare)[0] as Uint8Array
const NOW = 1_800_000_000_000

const times = fc.integer({ min: NOW, max: NOW + 365 * 86_400_000 })

test('both compute the same slot and the same two ports, and another pair others', () => {
  fc.assert(
    fc.property(times, (now) => {
      const [here, there] = [nextSlot(suite, KEY, LOWER, now, 0), nextSlot(suite, BOBS, LOWER, now, 0)]
      assert.equal(here, there)
      for (const { identity } of [alice, bob]) {
        assert.is(freshPort(suite, KEY, here.number, identity), freshPort(suite, BOBS, here.number, identity))
      }
      assert.is.not(freshPort(suite, KEY, here.number, alice.identity), freshPort(suite, KEY, here.number + 1, alice.identity))
    }),
  )
})

test('a meeting and what lingers of it lies within its slot, and what cron starts at the beginning is in time for it', () => {
  const whens = new Set<number>()
  for (let number = 0; number < 500; number++) {
    const start = NOW + number * SLOT_MS
    const slot = nextSlot(suite, KEY, LOWER, start, undefined)
    assert.is(slot.number, Math.floor(start / SLOT_MS))
    const offset = slot.begins - slot.number * SLOT_MS
    assert.ok(offset >= 20_000 && offset + LINGER_MS <= SLOT_MS, String(offset))
    whens.add(offset)
  }
  assert.ok(whens.size > 250, 'no two pairs, and no two slots, always meet at the same time')
})

test('who comes too late for the guard waits for the next slot', () => {
  const slot = nextSlot(suite, KEY, LOWER, NOW, 0)
  assert.is(nextSlot(suite, KEY, LOWER, slot.begins + slot.guard - 1, 0).number, slot.number)
  assert.is(nextSlot(suite, KEY, LOWER, slot.begins + slot.guard, 0).number, slot.number + 1)
})

test('guard and window are longer than the clocks differ, and long if that is not known', () => {
  assert.equal([0, 1000, 5000, -5000, 20_000].map(timingFor), [
    { guard: 2000, window: 6000 },
    { guard: 2000, window: 6000 },
    { guard: 6000, window: 8000 },
    { guard: 6000, window: 8000 },
    { guard: 21_000, window: 23_000 },
  ])
  for (const skew of [undefined, 20_001, -3_600_000]) assert.equal(timingFor(skew), { guard: 30_000, window: 60_000 })
})

test('however the clocks differ, each side says hello while the other one is open, and never before', () => {
  fc.assert(
    fc.property(times, fc.integer({ min: -540_000, max: 540_000 }), (now, skew) => {
      // Bob's clock is `skew` ahead; times in ours.
      const ours = nextSlot(suite, KEY, LOWER, now, skew)
      const theirs = nextSlot(suite, KEY, LOWER, now + skew, -skew)
      if (ours.number !== theirs.number) return // one of them was just too late: the next slot
      const theirBegin = theirs.begins - skew
      for (const [one, begins, other] of [[ours, ours.begins, theirBegin], [theirs, theirBegin, ours.begins]] as const) {
        assert.ok(begins + one.guard > other, 'no hello before the other side has opened')
        assert.ok(begins + one.guard < other + LINGER_MS, 'a hello while the other side is still open')
      }
    }),
    { numRuns: 500 },
  )
})

test('one side that knows the clocks and one that does not meet as well', () => {
  const [knows, guesses] = [nextSlot(suite, KEY, LOWER, NOW, 0), nextSlot(suite, KEY, LOWER, NOW, undefined)]
  assert.is(knows.begins, guesses.begins)
  assert.ok(guesses.begins + guesses.guard < knows.begins + LINGER_MS)
})

const { UNKNOWN, INDEPENDENT, SYMMETRIC } = NAT_CLASS

test('a search is refused where both routers are known to be of one kind; each side does what it knows to be its part', () => {
  const part = (own: number, peer: number): string => {
    const { opens, searches } = partOf(own, peer) ?? {}
    return `${opens === true ? 'opens' : ''}${searches === true ? 'searches' : ''}`
  }
  assert.match(whyNoSearch(SYMMETRIC, SYMMETRIC) ?? '', /^both sides randomise ports/)
  assert.match(whyNoSearch(INDEPENDENT, INDEPENDENT) ?? '', /neither does$/)
  assert.equal([part(SYMMETRIC, SYMMETRIC), part(INDEPENDENT, INDEPENDENT)], ['', ''])
  for (const [own, peer, what] of [
    [SYMMETRIC, INDEPENDENT, 'opens'], [SYMMETRIC, UNKNOWN, 'opens'], [UNKNOWN, INDEPENDENT, 'opens'],
    [INDEPENDENT, SYMMETRIC, 'searches'], [INDEPENDENT, UNKNOWN, 'searches'], [UNKNOWN, SYMMETRIC, 'searches'],
    [UNKNOWN, UNKNOWN, 'openssearches'],
  ] as const) {
    assert.is(whyNoSearch(own, peer), undefined)
    assert.is(part(own, peer), what, `${own} ${peer}`)
  }
})

const MINUTE = 60_000
const TURN = 40_000
const pairOf = (bytes: Uint8Array): Searchers => ({ suite, secret: bytes, lower: LOWER })

/** Turns that a side takes within `ms`, which has missed the other since `since`. */
function turns(pair: Searchers, since: number, rarest: number, ms: number): number[] {
  const all: number[] = []
  for (let at = nextTurn(pair, since, since, rarest); at < since + ms; at = nextTurn(pair, since, at, rarest)) all.push(at)
  return all
}

test('turns of a search: every 40 s at first, then ever more rarely, never before what takes less has been tried', () => {
  for (let i = 0; i < 20; i++) {
    const pair = pairOf(systemRandom.bytes(32))
    const since = NOW + i * 7_654_321
    const all = turns(pair, since, RAREST.idle, 86_400_000)
    assert.ok((all[0] ?? 0) - since >= 8_000)
    assert.ok((all[0] ?? 0) - since < 8_000 + 2 * TURN)
    const hour = all.filter((at) => at < since + 60 * MINUTE).length
    assert.ok(hour >= 11 && hour <= 15, `${hour} in the first hour`)
    const later = all.filter((at) => at > since + 12 * 60 * MINUTE)
    assert.ok(later.length >= 3 && later.length <= 5, `${later.length} in the second half of a day`)
    for (let j = 1; j < all.length; j++) assert.ok((all[j] ?? 0) > (all[j - 1] ?? 0))
    const waiting = turns(pair, since, RAREST.waiting, 86_400_000).filter((at) => at > since + 12 * 60 * MINUTE).length
    assert.ok(waiting >= 15 && waiting <= 18, `${waiting}`)
  }
})

test('two sides meet in the turns of the one that takes fewer, and compute the same', () => {
  const pair = pairOf(systemRandom.bytes(32))
  for (const earlier of [1, 30, 600, 5_000, 50_000]) {
    const [since, met] = [NOW + 123_456, NOW + 123_456 + earlier * 1000]
    const long = turns(pair, since, RAREST.idle, 200_000_000)
    const fresh = turns(pair, met, RAREST.waiting, 86_400_000)
    const [first] = long.filter((at) => at >= met + 8_000)
    assert.ok(first !== undefined)
    const rare = long.filter((at) => at >= met + 8_000 && at < met + 43_200_000)
    assert.ok(rare.filter((at) => fresh.includes(at)).length >= Math.max(1, rare.length / 2), `${earlier} s`)
  }
})

test('probes go to distinct ports, at most 1750 of them, never more than 100 a second', () => {
  for (const ms of [0, 500, 10_000, 27_000, 90_000, Infinity]) {
    const shots = probes(systemRandom, '192.0.2.7', ms)
    assert.ok(shots.length <= PROBES_MAX)
    assert.is(new Set(shots.map(({ to }) => to.port)).size, shots.length)
    assert.ok(shots.every(({ to }) => to.port >= 1024 && to.port <= 65_535 && to.ip === '192.0.2.7'))
    for (let i = 1; i < shots.length; i++) assert.ok((shots[i]?.after ?? 0) - (shots[i - 1]?.after ?? 0) >= 10)
    assert.ok(shots.every(({ after }) => after <= ms), `${ms}`)
  }
  assert.is(probes(systemRandom, '192.0.2.7', 27_000).length, PROBES_MAX)
  const but = Array.from({ length: 60_000 }, (_, i) => i + 1024)
  assert.ok(probes(systemRandom, '192.0.2.7', 27_000, but).every(({ to }) => to.port >= 61_024), 'none of those that others use')
})

test('a crowd is a port: it opens from every socket, and answers from the one that heard', async () => {
  const clock = new FakeClock()
  const heard: ((bytes: Uint8Array, from: { ip: string; port: number }) => void)[] = []
  const sent: [number, number | undefined][] = []
  const closed: number[] = []
  const crowd = new Crowd(SOCKETS, async (port, onDatagram) => {
    assert.is(port, 0)
    const number = heard.push(onDatagram) - 1
    return {
      port: 50_000 + number,
      addresses: [],
      send: (_: Uint8Array, __: unknown, hops?: number) => sent.push([number, hops]) > 0,
      close: async () => void closed.push(number),
    } as unknown as Datagrams
  })
  const got: string[] = []
  const port = await crowd.open(7, (_, from) => void got.push(`${from.ip}:${from.port}`))
  assert.is(crowd.size, SOCKETS)
  const bobs = { ip: '192.0.2.7', port: 40_001 }
  const spreading = crowd.spread(() => new Uint8Array(32), bobs, 5, clock, 10, new AbortController().signal)
  await clock.advance(1000)
  assert.ok(sent.length <= 101, `${sent.length} in a second`)
  await clock.advance(3000)
  await spreading
  assert.equal([sent.length, new Set(sent.map(([number]) => number)).size, sent[0]?.[1]], [SOCKETS, SOCKETS, 5])
  heard[99]?.(new Uint8Array(1), bobs)
  assert.equal(got, ['192.0.2.7:40001'])
  port.send(new Uint8Array(1), bobs)
  assert.equal(sent.at(-1), [99, undefined])
  await crowd.thin()
  assert.equal([closed.length, closed.includes(99), crowd.size], [SOCKETS - 1, false, 1], 'a session keeps its socket alone')
  port.send(new Uint8Array(1), bobs)
  assert.equal(sent.at(-1), [99, undefined])
  await port.close()
  assert.is(closed.at(-1), 99)
})

test('a crowd takes as many sockets as there are, and fails only without any', async () => {
  let left = 3
  const few = new Crowd(SOCKETS, async () => {
    if (left-- === 0) throw Object.assign(new Error('too many'), { code: 'EMFILE' })
    return { port: 1, addresses: [], close: async () => undefined } as unknown as Datagrams
  })
  await few.open(0, () => undefined)
  assert.is(few.size, 3)
  const none = new Crowd(SOCKETS, () => Promise.reject(new Error('none')))
  const failure = await none.open(0, () => undefined).catch((error: unknown) => String(error))
  assert.is(failure, 'Error: none')
})

test('of two sessions that of the lower I stays, unless the other side called long after it had answered', () => {
  const mine = (clock: number): Begun => ({ initiator: true, hello: { clock: BigInt(clock) } as unknown as Payload2 })
  const theirs = (ms: number): Begun => ({ initiator: false, hello: { ts: BigInt(ms) * 1000n } as unknown as Payload1 })
  for (const lower of [true, false]) {
    assert.is(keepsNewer(mine(NOW + 1), mine(NOW), lower), true, 'of one initiator the newest')
    assert.is(keepsNewer(theirs(NOW + 1), theirs(NOW), lower), true)
    assert.is(keepsNewer(theirs(NOW + 4000), mine(NOW), lower), !lower, 'in the same moment')
    assert.is(keepsNewer(theirs(NOW + 6000), mine(NOW), lower), true, 'it has lost the older one')
    assert.is(keepsNewer(mine(NOW + 6000), theirs(NOW), lower), lower)
  }
})

test.run()
