// When and from where two connect to each other in the same moment: both sides reckon the same. That it gets through
// routers is for test/natlab/simultaneous.test.ts.

import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { nodeSuite } from '../lib/crypto/suite-node.ts'
import { type Couple, EVERY_MS, nextMoment, RARELY } from '../lib/net/together.ts'

const [A, B] = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)]
const secret = new Uint8Array(32).fill(9)
const couple = (self: Uint8Array, peer: Uint8Array): Couple => ({ suite: nodeSuite, secret, self, peer, lower: A })

test('both sides reckon the same moment, and each the port of the other', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 41 }), fc.boolean(), (after, rarely) => {
      const ours = nextMoment(couple(A, B), after, rarely)
      const theirs = nextMoment(couple(B, A), after, rarely)
      assert.equal([ours.at, ours.from, ours.to], [theirs.at, theirs.to, theirs.from])
      assert.ok(ours.at > after && ours.at - after <= 2 * EVERY_MS * (rarely ? RARELY : 1))
      for (const port of [ours.from, ours.to]) assert.ok(port >= 32_768 && port < 60_768)
    }),
  )
})

test('who has been alone for long uses some of the moments of who has not', () => {
  const start = 1_790_000_000_000
  const all = new Set<number>()
  const some: number[] = []
  for (let at = start; at < start + 7_200_000; all.add(at)) at = nextMoment(couple(A, B), at, false).at
  for (let at = start; at < start + 6_600_000; some.push(at)) at = nextMoment(couple(A, B), at, true).at
  assert.ok(some.length >= 20 && some.length <= 24, `${some.length}`)
  assert.ok(some.every((at) => all.has(at)))
  assert.ok(all.size >= 118 && all.size <= 122, `${all.size}`)
})

test('the ports are others in another slot and for another pair', () => {
  const first = nextMoment(couple(A, B), 0, false)
  assert.not.equal(first.from, first.to)
  assert.not.equal(nextMoment(couple(A, B), 600_000, false).from, first.from)
  assert.not.equal(nextMoment({ ...couple(A, B), secret: B }, 0, false).from, first.from)
})

test.run()
