// When a silent side is asked, shown where we are, and given up; on a clock that moves by hand.

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { Pulse } from '../lib/delivery/pulse.ts'
import { FakeClock } from './netkit.ts'

interface Scene {
  clock: FakeClock
  pulse: Pulse
  /** `seconds what`. */
  log: string[]
  busy: boolean
}

function scene(carrier: 'tcp' | 'udp'): Scene {
  const clock = new FakeClock()
  const log: string[] = []
  const note = (what: string) => (): void => void log.push(`${Math.round(clock.time / 1000)} ${what}`)
  const all = { clock, log, busy: false }
  const busy = (): boolean => all.busy
  return Object.assign(all, { pulse: new Pulse({ clock, carrier, ask: note('ask'), announce: note('announce'), busy, dead: note('dead') }) })
}

test('over TCP a silent side is asked after 25 s and dead after 55', async () => {
  const { clock, log } = scene('tcp')
  await clock.advance(200_000)
  assert.equal(log, ['25 announce', '25 ask', '55 dead'])
  assert.is(clock.timers, 0)
})

test('over TCP sessions are asked at the same moments, whenever they began, and none before 20 s of silence', async () => {
  const clock = new FakeClock()
  const asked = new Map<number, number[]>()
  for (let n = 0; n < 50; n++) {
    const times: number[] = []
    asked.set(n, times)
    let answer = (): void => undefined
    const ask = (): void => {
      times.push(clock.time)
      clock.after(40, () => answer())
    }
    const pulse = new Pulse({ clock, carrier: 'tcp', ask, announce: () => undefined, busy: () => false, dead: () => assert.unreachable() })
    let last = clock.time
    answer = (): void => {
      assert.ok(clock.time - 40 - last >= 20_000 && clock.time - 40 - last <= 30_000, `${clock.time} ${last}`)
      last = clock.time
      pulse.heard()
    }
    await clock.advance(137)
  }
  await clock.advance(300_000)
  const moments = new Set([...asked.values()].flat())
  assert.ok([...asked.values()].every((times) => times.length >= 9))
  assert.ok(moments.size <= 24, `${moments.size} moments`)
})

test('over UDP it is asked after 20, 23 and 26 s, shown each time where we are, and dead after 50', async () => {
  const { clock, log } = scene('udp')
  await clock.advance(200_000)
  const asked = [20, 23, 26].flatMap((at) => [`${at} announce`, `${at} ask`])
  assert.equal(log, [...asked, '50 dead'])
})

test('whatever is heard begins the silence anew', async () => {
  for (const carrier of ['tcp', 'udp'] as const) {
    const { clock, log, pulse } = scene(carrier)
    for (let i = 0; i < 20; i++) {
      await clock.advance(19_000)
      pulse.heard()
    }
    assert.equal(log, [])
    await clock.advance(30_000)
    assert.ok(log.includes(`${carrier === 'tcp' ? 405 : 400} ask`), log.join())
  }
})

test('while something is under way over UDP and nothing is heard, we show where we are every 3 s', async () => {
  const all = scene('udp')
  const { clock, log } = all
  await clock.advance(8_000)
  assert.equal(log, [])
  all.busy = true
  all.pulse.stir()
  await clock.advance(1_000)
  all.pulse.stir()
  await clock.advance(8_500)
  assert.equal(log, ['11 announce', '14 announce', '17 announce'])
  all.busy = false
  await clock.advance(2_000)
  assert.equal(log.length, 3)
})

test('after a move it is asked at once, and dead if it has said nothing for 10 s', async () => {
  for (const carrier of ['tcp', 'udp'] as const) {
    const { clock, log, pulse } = scene(carrier)
    await clock.advance(5_000)
    pulse.probe()
    assert.equal(log, ['5 announce', '5 ask'])
    await clock.advance(4_000)
    pulse.heard()
    await clock.advance(9_000)
    assert.is(log.length, 2)
    pulse.probe()
    await clock.advance(60_000)
    assert.is(log.at(-1), '28 dead', carrier)
  }
})

test('beside a newer session it is asked after a second and dead after five', async () => {
  for (const carrier of ['tcp', 'udp'] as const) {
    const { clock, log, pulse } = scene(carrier)
    await clock.advance(10_000)
    pulse.replace()
    await clock.advance(900)
    assert.equal(log, [])
    await clock.advance(60_000)
    assert.equal(log, ['11 announce', '11 ask', '15 dead'], carrier)
  }
})

test('an idle side is woken for its pings alone, whatever it heard in between', async () => {
  const { clock, pulse, log } = scene('udp')
  let woken = 0
  const after = clock.after.bind(clock)
  clock.after = (ms, run) => after(ms, () => (woken++, run()))
  for (let i = 0; i < 10; i++) {
    await clock.advance(20_000)
    pulse.heard()
    pulse.stir()
  }
  assert.is(log.filter((line) => line.endsWith('ask')).length, 10)
  assert.ok(woken <= 20, `${woken} times in 200 s`)
})

test('a stopped one is quiet', async () => {
  const { clock, log, pulse } = scene('udp')
  pulse.stop()
  await clock.advance(100_000)
  assert.equal(log, [])
})

test.run()
