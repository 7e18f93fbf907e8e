// A sample of the test bed in test/natlab with the built commands: pairs of NATs through which two people get, the one
// that early datagrams would spoil among them, and one where that is refused. `make natmatrix` measures all pairs.
// test timeout: 900 s

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { missing } from './natlab/lab.ts'
import { meet } from './natlab/meet.ts'
import { Scene } from './natlab/scene.ts'
import { skipped } from './vectors.ts'

const why = missing()
if (why !== undefined) {
  test('the bed of NATs cannot be made here', () => skipped(`natlab: ${why}`))
} else {
  for (const [a, b] of [['cone', 'cone'], ['coneopen', 'coneopen'], ['full', 'sym']] as const) {
    test(`${a} and ${b}: both listen, meet over UDP, and write to each other; no opener arrives`, async () => {
      console.log(`# ${a} ${b}: met after ${(await meet(a, b)).toFixed(1)} s`)
    })
  }

  test('sym and sym: refused with a reason, and the message waits', async () => {
    await Scene.with('sym', 'sym', async (scene) => {
      const [left, right] = [await scene.listen('a'), await scene.listen('b')]
      const sent = scene.send('a', 'patience')
      assert.equal([sent.type, sent.reason], ['deferred', 'timeout'])
      assert.equal(scene.waiting('a'), [sent.id])
      assert.equal([left.of('peer'), right.of('peer'), scene.inbox('b')], [[], [], []])
      await Promise.all([left.stop(), right.stop()])
    })
  })
}

test.run()
