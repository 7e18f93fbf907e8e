// Two people behind two NATs, each with a listener, who meet and write to each other: what most acceptance tests are
// made of.

import * as assert from 'uvu/assert'

import { PERIOD_MS } from '../../lib/net/holes.ts'
import { Scene } from './scene.ts'

/** Whoever comes at the wrong moment waits for the next silence, p2p-wire(7), HOLES: a period and its beginning. */
const PATIENCE_MS = PERIOD_MS + 60_000

/**
 * Both begin to listen at once; once they have met each writes and is acknowledged at once. No opener of either comes to
 * the other's router. Seconds until they had met.
 */
export async function meet(a: string, b: string): Promise<number> {
  let seconds = 0
  await Scene.with(a, b, async (scene) => {
    const openers = [scene.openers('a', 'b'), scene.openers('b', 'a')]
    const started = performance.now()
    const both = await Promise.all([scene.listen('a'), scene.listen('b')])
    const [left, right] = both
    const [up] = await Promise.all(both.map((each) => each.until('peer', () => true, PATIENCE_MS)))
    seconds = (performance.now() - started) / 1000
    assert.is(up?.['over'], 'udp')
    for (const count of openers) {
      const { left: sent, arrived } = count()
      assert.ok(sent > 0, 'the own NAT was opened')
      assert.is(arrived, 0, 'an opener ends on the way')
    }
    for (const [from, to] of [['a', 'b'], ['b', 'a']] as const) {
      const sent = scene.send(from, `from ${from}`)
      assert.is(sent.type, 'delivered', sent.reason)
      assert.equal(scene.inbox(to), [`from ${from}`])
    }
    for (const each of [left, right]) assert.equal([await each.stop().then(({ code }) => code), each.err], [0, ''])
  })
  return seconds
}
