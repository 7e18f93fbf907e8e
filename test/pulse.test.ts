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
  const all: Scene = {
    clock,
    log,
    busy: false,
    pulse: new Pulse({
      clock,
      carrier,
      ask: note('ask'),
      announce: note('announce'),
      busy: () => all.busy,
      dead: note('dead'),
    }),
  }
  return all
}

test('over TCP a silent side is asked after 25 s and dead after 55', async () => {
  const { clock, log } = scene('tcp')
  await clock.advance(200_000)
  assert.equal(log, ['25 announce', '25 ask', '55 dead'])
  assert.is(clock.timers, 0)
})

test('over UDP it is asked after 20, 23 and 26 s, shown each time where we are, and dead after 50', async () => {
  const { clock, log } = scene('udp')
  await clock.advance(200_000)
  const asked = [20, 23, 26].flatMap((at) => [`${at} announce`, `${at} ask`])
  // a look every 3 s: what is due in between is done then at the latest
  assert.equal(log.map((line) => line.replace(/^(?:20|21)/, '20').replace(/^(?:26|27)/, '26')), [...asked, '50 dead'])
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
  await clock.advance(9_000)
  assert.equal(log, ['9 announce', '12 announce', '15 announce'])
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

test('a stopped one is quiet', async () => {
  const { clock, log, pulse } = scene('udp')
  pulse.stop()
  await clock.advance(100_000)
  assert.equal(log, [])
})

test.run()
