// The order of the system calls of a delivery, and a sample of the crash sweep; the whole of it is `make crash`. Each
// time another sample is taken: CRASH_SEED=N in the environment takes that of an earlier run again.
// test timeout: 600 s

import { join } from 'node:path'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { bundle } from './crash/bundles.ts'
import { Cast } from './crash/cast.ts'
import { breaches, deedsOf, rulesOf } from './crash/order.ts'
import { Play, type Scene, SCENES, titleOf } from './crash/scenes.ts'
import { attempt, type Done, pick, type Series } from './crash/series.ts'
import { countSteps } from './crash/steps.ts'
import { countCalls } from './crash/strace.ts'
import { proofsOf, type Run } from './crash/table.ts'
import { whyNoStrace } from './crash/trace.ts'

/** Of one scene: system calls, and steps of the file door. */
const CALLS = 6
const STEPS = 3

const KINDS = ['text', 'three', 'big'] as const
const ROLES = [...new Set(SCENES.map(({ role }) => role))]

const seed = Number(process.env['CRASH_SEED'] ?? Date.now() % 1_000_000)
const why = whyNoStrace()
if (why !== undefined) console.log(`skip: crashes at system calls: ${why}`)

async function played<T>(scene: Scene, work: (cast: Cast, play: Play) => Promise<T>): Promise<T> {
  return Cast.with(async (cast) => {
    const play = await Play.open(cast, scene)
    const result = await work(cast, play)
    assert.equal(await play.close(), [])
    return result
  })
}

// What sends and what receives is the same code whoever runs it.
const ORDERED = SCENES.filter(({ role, kind }) => role === 'send' || role === 'listen and receive' || kind === 'text')

for (const scene of why === undefined ? ORDERED : []) {
  test(`${titleOf(scene)}: everything is written, fsynced, renamed and said in the order of p2p-spool(5)`, async () => {
    const deeds = await played(scene, deedsOf)
    const rules = rulesOf(scene)
    assert.equal(breaches(deeds, rules), [])
    // The rules would notice: each deed that they name is missed when it is left out.
    for (const what of new Set(rules.chains.flat())) {
      assert.ok(breaches(deeds.filter((deed) => deed.what !== what), rules).length > 0, what)
    }
  })
}

const runs: Run[] = []

function judge(scene: Scene, { series, n, end, lost, doubled, changed, complaints }: Done): void {
  const point = `${titleOf(scene)}: ${series} ${n}, seed ${seed}`
  runs.push({ build: '', scene: titleOf(scene), series, n, end, lost, doubled, changed })
  assert.equal({ lost, doubled, changed, complaints }, { lost: 0, doubled: 0, changed: 0, complaints: [] }, point)
}

async function sampled(scene: Scene, play: Play, all: Series[], count: number): Promise<void> {
  for (const { series, n } of pick(all, count, seed)) {
    const done = await attempt(play, series, n)
    if (done !== undefined) judge(scene, done)
  }
}

for (const [i, role] of ROLES.entries()) {
  const scene: Scene = { role, kind: KINDS[(i + seed) % KINDS.length] ?? 'text' }
  test(`${titleOf(scene)}: dies, fails and starts again: exactly once`, async () => {
    await played(scene, async (cast, play) => {
      const bundles = join(cast.stage.dir, 'bundles')
      await bundle(['p2p-send', 'p2p-queue', 'p2p-listen'], bundles)
      await sampled(scene, play, await countSteps(cast, play, bundles), STEPS)
      if (why === undefined) await sampled(scene, play, (await countCalls(cast, play)).series, CALLS)
    })
  })
}

test('the faults came to pass', () => {
  console.log(`# seed ${seed}`)
  for (const [, proof] of proofsOf(runs)) console.log(`# ${JSON.stringify(proof)}`)
  assert.ok(runs.length >= ROLES.length * (why === undefined ? CALLS : STEPS))
})

test.run()
