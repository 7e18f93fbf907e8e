// The schedule of standing holes, and what comes of it at the NAT that punishes early packets, as a model.

import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

import {
  type Act,
  helloAt,
  type Hole,
  HOLE_RESENDS_MS,
  isSilent,
  nextAct,
  OFFSET_MAX_MS,
  PERIOD_MS,
  PERIOD_WAITING_MS,
  SILENCE_MS,
} from '../lib/net/holes.ts'

const T0 = 1_700_000_400_000 // a multiple of both periods
const hole = (since: number, change: Partial<Hole> = {}): Hole => ({ offset: 0, period: PERIOD_MS, since, ...change })

/** All acts of a hole in [from, to). */
function acts(of: Hole, from: number, to: number): Act[] {
  const all: Act[] = []
  for (let act = nextAct(of, from - 1); act.at < to; act = nextAct(of, act.at)) all.push(act)
  return all
}

test('a period: openers at 0 and 1 s and every 20 s, a hello at 3 s, the last 40 s silent', () => {
  const found = acts(hole(T0 - 10 * PERIOD_MS), T0, T0 + PERIOD_MS)
  assert.equal(
    found.map(({ at, what }) => [(at - T0) / 1000, what]),
    [
      [0, 'opener'],
      [1, 'opener'],
      [3, 'hello'],
      ...Array.from({ length: 13 }, (_, i) => [20 * (i + 1), 'opener']),
    ],
  )
  const waiting = acts(hole(T0 - 10 * PERIOD_MS, { period: PERIOD_WAITING_MS }), T0, T0 + 2 * PERIOD_WAITING_MS)
  assert.equal(waiting.map(({ at }) => (at - T0) / 1000), [0, 1, 3, 20, 40, 60, 80, 120, 121, 123, 140, 160, 180, 200])
})

test('the offset moves the period', () => {
  const [first] = acts(hole(T0 - 10 * PERIOD_MS, { offset: 70_000 }), T0, T0 + PERIOD_MS)
  assert.equal(first, { at: T0 + 10_000, what: 'opener' })
})

test('who comes in the middle of a period begins at once, who comes in the silence waits for its end', () => {
  const since = T0 + 100_300
  assert.equal(acts(hole(since), 0, since + 25_000), [
    { at: since, what: 'opener' },
    { at: since + 1000, what: 'opener' },
    { at: since + 3000, what: 'hello' },
    { at: T0 + 120_000, what: 'opener' },
  ])
  const late = T0 + PERIOD_MS - SILENCE_MS + 1
  assert.equal(nextAct(hole(late), 0), { at: T0 + PERIOD_MS, what: 'opener' })
  const justBefore = T0 + PERIOD_MS - SILENCE_MS - 500
  assert.equal(acts(hole(justBefore), 0, T0 + PERIOD_MS).map(({ what }) => what), ['opener', 'opener'])
})

test('nothing is ever due in the silence, and time goes on', () => {
  const times = fc.integer({ min: 0, max: 4 * PERIOD_MS })
  fc.assert(
    fc.property(times, times, fc.integer({ min: 0, max: OFFSET_MAX_MS }), fc.boolean(), (since, after, offset, waits) => {
      const of = hole(T0 + since, { offset, ...(waits && { period: PERIOD_WAITING_MS }) })
      const act = nextAct(of, T0 + after)
      assert.ok(act.at > T0 + after && act.at >= of.since && act.at - Math.max(of.since, T0 + after) <= SILENCE_MS + 1000)
      assert.not.ok(isSilent(of, act.at))
    }),
  )
})

test('a hello out of turn goes at once, but not before 3 s and not while the far hole is closed', () => {
  const old = hole(T0 - PERIOD_MS)
  assert.is(helloAt(old, T0 + 50_000), T0 + 50_000)
  assert.is(helloAt(old, T0 + 289_999), T0 + 289_999)
  assert.is(helloAt(old, T0 + 290_000), T0 + 303_000)
  assert.is(helloAt(old, T0 + 299_999), T0 + 303_000)
  assert.is(helloAt(hole(T0 + 50_000), T0 + 50_100), T0 + 53_000)
  assert.is(helloAt(hole(T0 + 289_000), T0 + 289_000), T0 + 303_000)
})

// What was measured of a Linux router that masquerades and accepts input: a packet that comes before ours owns the
// ports for 30 s, and ours get another port until both are forgotten.
const LIFE_MS = 30_000
const HALF_RTT_MS = 40

class Router {
  readonly accepts: boolean
  early = -Infinity
  mapped = -Infinity
  good = true

  constructor(accepts: boolean) {
    this.accepts = accepts
  }

  /** One of ours leaves; true if with its own port. */
  leaves(at: number): boolean {
    if (at >= this.mapped) this.good = at >= this.early
    this.mapped = at + LIFE_MS
    return this.good
  }

  /** One arrives; true if it gets in. */
  arrives(at: number, fromGoodPort: boolean): boolean {
    if (!fromGoodPort) return false
    if (at < this.mapped && this.good) return true
    if (this.accepts) this.early = at + LIFE_MS
    return false
  }
}

interface Peer {
  hole: Hole
  router: Router
  /** Of its clock. */
  skew: number
}

/** Milliseconds from the later one's coming until a hello gets in. */
function meets(a: Peer, b: Peer): number {
  const begin = Math.max(a.hole.since - a.skew, b.hole.since - b.skew)
  const end = begin + 4 * PERIOD_MS
  const events: { at: number; from: Peer; to: Peer; arrives: boolean }[] = []
  for (const [from, to] of [[a, b], [b, a]] as const) {
    for (const { at, what } of acts(from.hole, 0, end + from.skew)) {
      const times = what === 'hello' ? [0, ...HOLE_RESENDS_MS] : [0]
      for (const later of times) events.push({ at: at - from.skew + later, from, to, arrives: what === 'hello' })
    }
  }
  events.sort((x, y) => x.at - y.at)
  for (const { at, from, to, arrives } of events) {
    const good = from.router.leaves(at)
    if (arrives && to.router.arrives(at + HALF_RTT_MS, good)) return at + HALF_RTT_MS - begin
  }
  return Infinity
}

const peer = (since: number, skew: number, offset: number, accepts: boolean): Peer => ({
  hole: hole(T0 + since, { offset }),
  router: new Router(accepts),
  skew,
})

function spread(accepts: boolean, runs: number): number[] {
  const times: number[] = []
  let seed = 1
  const random = (): number => (seed = (seed * 48_271) % 0x7fff_ffff) / 0x7fff_ffff
  for (let i = 0; i < runs; i++) {
    const offset = Math.floor(random() * OFFSET_MAX_MS)
    const [one, two] = [Math.floor(random() * 1e6), Math.floor(random() * 1e6)]
    const skew = Math.floor(random() * 2000) - 1000
    times.push(meets(peer(one, 0, offset, accepts), peer(two, skew, offset, accepts)))
  }
  return times.sort((x, y) => x - y)
}

test('two who come at any moment meet behind NATs that keep their ports: most in three seconds, all by the next period', () => {
  const times = spread(false, 400)
  assert.ok((times[200] ?? Infinity) < 4_000, `median ${times[200]}`)
  assert.ok((times.at(-1) ?? Infinity) < SILENCE_MS + 5_000, `worst ${times.at(-1)}`)
})

test('they meet behind NATs that early packets spoil, too, within two periods', () => {
  const times = spread(true, 400)
  assert.ok((times[200] ?? Infinity) < 4_000, `median ${times[200]}`)
  assert.ok((times.at(-1) ?? Infinity) < 2 * PERIOD_MS, `worst ${times.at(-1)}`)
})

test('the one who comes a second after the other is not spoilt', () => {
  for (const late of [0, 300, 1000, 2000, 2900]) {
    for (const at of [3_000, 100_000, 250_000]) {
      const time = meets(peer(at, 0, 0, true), peer(at + late, 0, 0, true))
      assert.ok(time < 5_000, `${late} ms late at ${at}: ${time}`)
    }
  }
})

test.run()
