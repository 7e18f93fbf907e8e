import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { systemRandom } from '../lib/base/random.ts'
import { Bucket, Guard, LIMITS, sourceOf } from '../lib/net/guard.ts'
import { FakeClock } from './netkit.ts'

const ip = (n: number): string => `10.${(n >> 16) & 255}.${(n >> 8) & 255}.${n & 255}`

function setup(): { clock: FakeClock; guard: Guard } {
  const clock = new FakeClock()
  return { clock, guard: new Guard(clock, systemRandom) }
}

/** How many of `count` hellos of this source may start now. */
function now(guard: Guard, source: (n: number) => string, count: number): number {
  let started = 0
  for (let n = 0; n < count; n++) if (guard.hello(source(n)) === 0) started++
  return started
}

test('a source is an IPv4 address or an IPv6 /64', () => {
  assert.is(sourceOf('192.0.2.1'), '192.0.2.1')
  assert.is(sourceOf('::ffff:192.0.2.1'), '192.0.2.1')
  assert.is(sourceOf('2001:db8:1:2:3:4:5:6'), sourceOf('2001:db8:1:2::1'))
  assert.is.not(sourceOf('2001:db8:1:2::1'), sourceOf('2001:db8:1:3::1'))
  assert.is(sourceOf('fe80::1%eth0'), sourceOf('fe80::2'))
  assert.is(sourceOf('nonsense'), sourceOf(''))
})

test('a bucket gives its burst at once, its rate after, and never more than its burst', () => {
  const bucket = new Bucket({ rate: 10, burst: 3 }, 0)
  for (let n = 0; n < 3; n++) {
    assert.is(bucket.delay(0), 0)
    bucket.spend(0)
  }
  assert.is(bucket.delay(0), 100)
  assert.is(Math.round(bucket.delay(99)), 1)
  assert.is(bucket.delay(100), 0)
  bucket.spend(100)
  assert.is(bucket.delay(50), 100, 'a clock that goes back gives nothing')
  let burst = 0
  for (; bucket.delay(3_600_000) === 0; burst++) bucket.spend(3_600_000)
  assert.is(burst, 3)
})

test('hellos: burst and rate of one source, with a short queue', () => {
  const { clock, guard } = setup()
  assert.is(now(guard, () => ip(1), 5), 5)
  const delays = Array.from({ length: 60 }, () => guard.hello(ip(1)))
  const queued = delays.filter((delay) => delay !== undefined)
  assert.is(queued.length, 40, 'two seconds of 20/s wait')
  assert.ok(queued.every((delay, n) => Math.abs(delay - (n + 1) * 50) < 1))
  assert.is(guard.hello(ip(1)), undefined)
  assert.is(guard.hello(ip(2)), 0, 'another source is not concerned')
  clock.time = 60_000
  assert.is(now(guard, () => ip(1), 5), 5)
})

test('hellos: burst and rate of all sources together', () => {
  const { clock, guard } = setup()
  assert.is(now(guard, ip, 100), 100)
  const rest = Array.from({ length: 1000 }, (_, n) => guard.hello(ip(1000 + n)))
  assert.is(rest.filter((delay) => delay !== undefined).length, 400, 'two seconds of 200/s wait')
  assert.is(rest.filter((delay) => delay === 0).length, 0)
  clock.time = 10_000
  let started = 0
  for (let n = 0; n < 10_000; n++) {
    clock.time += 1
    if (guard.hello(ip(n)) !== undefined) started++
  }
  assert.ok(started <= 2000 + 100 + 400, `${started} in ten seconds`)
})

test('hellos: known addresses have a pool that strangers cannot empty', () => {
  const { clock, guard } = setup()
  guard.know('192.0.2.9')
  for (let n = 0; n < 2000; n++) guard.hello(ip(n))
  assert.is(guard.hello(ip(5000)), undefined)
  assert.is(now(guard, () => '192.0.2.9', 200), 50)
  clock.time = 1000
  for (let n = 0; n < 2000; n++) guard.hello(ip(n))
  assert.is(now(guard, () => '192.0.2.9', 200), 50)
})

test('an address stays known for 30 days, and only so many do', () => {
  const { clock, guard } = setup()
  guard.know('192.0.2.9')
  guard.know('2001:db8::1')
  assert.ok(guard.knows('192.0.2.9') && guard.knows('2001:db8::ffff') && !guard.knows('192.0.2.8'))
  clock.time = 30 * 24 * 3600 * 1000 - 1
  assert.ok(guard.knows('192.0.2.9'))
  clock.time++
  assert.not(guard.knows('192.0.2.9'))
  for (let n = 0; n < 10_000; n++) guard.know(ip(n))
  assert.is(guard.counts.known, 4096)
  assert.ok(guard.knows(ip(9999)) && !guard.knows(ip(0)))
})

test('unknown callers: 1/s of a source, 20/s of all', () => {
  const { clock, guard } = setup()
  assert.ok(guard.unknown(ip(1)))
  assert.not(guard.unknown(ip(1)))
  clock.time = 1000
  assert.ok(guard.unknown(ip(1)))
  clock.time = 5000
  let passed = 0
  for (let n = 0; n < 100; n++) if (guard.unknown(ip(n))) passed++
  assert.is(passed, 20)
})

test('waiting: 16 of a source, 512 of all, and room beyond for known addresses', () => {
  const { guard } = setup()
  const arrive = (from: string): boolean => guard.arrive({}, from)
  for (let n = 0; n < 16; n++) assert.ok(arrive('192.0.2.1'))
  assert.not(arrive('192.0.2.1'))
  for (let n = 0; n < 16; n++) assert.ok(arrive(`2001:db8::${n}`))
  assert.not(arrive('2001:db8::99'))
  for (let n = 0; n < 512 - 32; n++) assert.ok(arrive(ip(n)))
  assert.not(arrive(ip(9999)))
  guard.know('192.0.2.1')
  for (let n = 0; n < LIMITS.knownWaiting; n++) assert.ok(arrive('192.0.2.1'))
  assert.not(arrive('192.0.2.1'))
  assert.is(guard.counts.waiting, 512 + LIMITS.knownWaiting)
})

test('who leaves makes room', () => {
  const { guard } = setup()
  const guests = Array.from({ length: 16 }, () => ({}))
  for (const guest of guests) assert.ok(guard.arrive(guest, ip(1)))
  assert.not(guard.arrive({}, ip(1)))
  guard.leave(guests[3] ?? {})
  guard.leave(guests[3] ?? {})
  assert.ok(guard.arrive({}, ip(1)))
  assert.not(guard.arrive({}, ip(1)))
  guard.drain(guests[4] ?? {}, ip(1))
  assert.ok(guard.arrive({}, ip(1)), 'draining and waiting are counted apart')
})

test('draining: room is made by a random one, of the same source if that has too many', () => {
  const { guard } = setup()
  const own = new Set<object>()
  for (let n = 0; n < 16; n++) {
    const guest = {}
    own.add(guest)
    assert.is(guard.drain(guest, '192.0.2.1'), undefined)
  }
  const victim = guard.drain({}, '192.0.2.1')
  assert.ok(victim !== undefined && own.has(victim))
  const victims = new Set<object>()
  for (let n = 0; n < 1000; n++) {
    const gone = guard.drain({}, ip(n))
    if (gone !== undefined) victims.add(gone)
  }
  assert.is(guard.counts.draining, 512)
  assert.is(victims.size, 1000 + 16 - 512)
})

test('unconfirmed handshakes have a bound of their own', () => {
  const { guard } = setup()
  for (let n = 0; n < LIMITS.unconfirmed; n++) {
    const guest = {}
    assert.ok(guard.arrive(guest, ip(n)))
    assert.ok(guard.answer(guest, ip(n)))
  }
  const late = {}
  assert.ok(guard.arrive(late, ip(1)), 'they no longer count as waiting')
  assert.not(guard.answer(late, ip(1)))
  assert.equal(guard.counts.unconfirmed, LIMITS.unconfirmed)
})

test('a source in use is not forgotten for thousands of others', () => {
  const { clock, guard } = setup()
  assert.ok(guard.unknown('192.0.2.1'))
  for (let n = 0; n < 9000; n++) {
    guard.unknown(ip(n))
    if (n % 3000 === 0) assert.not(guard.unknown('192.0.2.1'))
  }
  clock.time += 900 // 18 of the 20 a second of all are there again, but not the one of this source
  assert.not(guard.unknown('192.0.2.1'))
  assert.ok(guard.unknown('192.0.2.2'))
})

test('memory stays bounded whatever the number of sources', () => {
  const { guard } = setup()
  for (let n = 0; n < 50_000; n++) {
    guard.hello(`2001:db8:${(n >> 8).toString(16)}:${(n & 255).toString(16)}::1`)
    guard.unknown(ip(n))
  }
  assert.is(guard.counts.sources, 2 * 4096)
})

test.run()
