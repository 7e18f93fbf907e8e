// Acceptance: where no UDP gets through, two contacts behind routers that let no call in meet by TCP simultaneous open.
// test timeout: 600 s

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { missing } from './lab.ts'
import { Scene } from './scene.ts'

const skip = missing()
if (skip !== undefined) test(`skip: natlab: ${skip}`, () => console.log(`skip: natlab: ${skip}`))

/** Two moments of a pair lie a minute apart. */
const PATIENCE_MS = 200_000

async function meet(a: string, b: string): Promise<void> {
  await Scene.with(a, b, async (scene) => {
    scene.lab.order('blockudp', 'on')
    const started = performance.now()
    const [left, right] = [await scene.listen('a'), await scene.listen('b')]
    const ups = await Promise.all([left.until('peer', undefined, PATIENCE_MS), right.until('peer', undefined, PATIENCE_MS)])
    console.log(`# ${a} ${b}: met after ${((performance.now() - started) / 1000).toFixed(1)} s`)
    for (const { over } of ups) assert.is(over, 'tcp')
    assert.is(scene.send('a', 'one').type, 'delivered')
    assert.is(scene.send('b', 'two').type, 'delivered')
    assert.equal([scene.inbox('a'), scene.inbox('b')], [['two'], ['one']])
    for (const each of [left, right]) assert.equal([await each.stop().then(({ code }) => code), each.err], [0, ''])
  })
}

if (skip === undefined) {
  for (const [a, b] of [['cone', 'cone'], ['fw', 'fw'], ['cgn', 'cone']] as const) {
    test(`${a} ${b}, without UDP: delivered over TCP`, () => meet(a, b))
  }
}

test.run()
