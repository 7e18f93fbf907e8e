// Both peers run their delivery code on simulated disks and a simulated network (test/model/storm.ts), from one seed
// each: after crashes, lost and repeated calls, cut and half-open connections and calls that cross, every message that
// was accepted is there once, as it was, and nothing is left over. And it bites: with one thing wrong a storm shows it.
// A seed that fails is printed: make model SEED=123. In CI it is 10,000 seeds, elsewhere a part of them.
// test timeout: 3600 s

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { load } from './model/seams.ts'
import { wrongs } from './model/stormmutations.ts'
import { recordProof, STORMS } from './reliability.ts'

const SEEDS = process.env['CI'] === 'true' ? 10_000 : 2000

/** A wrong is hunted so long. */
const HUNT = 4000

test(`${SEEDS} storms: every message is there once, as it was, and nothing is left over`, async () => {
  const { storm } = await load()
  const failed: string[] = []
  for (let seed = 1; seed <= SEEDS && failed.length < 10; seed++) {
    const faults = await storm(seed)
    if (faults.length > 0) failed.push(`make model SEED=${seed}: ${faults.join('; ')}`)
  }
  assert.equal(failed, [])
  recordProof('storms', { what: STORMS, count: SEEDS, lost: 0, doubled: 0, changed: 0, command: 'CI=true make test T=storm' })
})

test('the same seed is the same storm', async () => {
  const lives = []
  for (let i = 0; i < 2; i++) {
    const { storm } = await load()
    const trace: string[] = []
    for (const seed of [3, 14, 159]) await storm(seed, (line) => trace.push(line))
    lives.push(trace)
  }
  assert.ok((lives[0]?.length ?? 0) > 300)
  assert.equal(lives[0], lives[1])
})

for (const { name, cuts, shows, near } of wrongs) {
  test(`it bites: ${name}`, async () => {
    const { storm } = await load(cuts)
    const seen: string[] = []
    let found = 0
    for (let i = 0; i <= HUNT && found === 0; i++) {
      const seed = i === 0 ? near : i
      const faults = await storm(seed)
      seen.push(...faults)
      if (faults.some((fault) => shows.test(fault))) found = seed
    }
    console.log(`# ${name}: seed ${found}: ${seen.at(-1) ?? 'nothing'}`)
    assert.ok(found > 0, `in ${HUNT} storms only: ${seen.join('; ').slice(0, 500)}`)
  })
}

test.run()
