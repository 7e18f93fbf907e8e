// A sample of make soak: two people write to each other while their processes are killed or stopped at random, and while
// their clocks jump.
// test timeout: 600 s

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { FAKETIME } from './soak/clock.ts'
import { Soak, type SoakPlan } from './soak/soak.ts'

async function sample(plan: Omit<SoakPlan, 'seed'>): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 's-'))
  const seed = Math.floor(Math.random() * 1e6)
  const work = await Soak.open(dir, { ...plan, seed })
  try {
    const report = await work.run()
    assert.not.equal(report, 'more')
    console.log(`# soak: ${JSON.stringify(report)}`)
  } catch (error) {
    console.log(`# seed ${seed}`)
    throw error
  } finally {
    await work.close()
    rmSync(dir, { recursive: true, force: true })
  }
}

test('processes of both sides are killed at random moments: each message once, to the byte, and nothing lies around', async () => {
  await sample({ messages: 120, kills: 14, stops: 0, clocks: false })
})

test('they are stopped, for longer than a lock lasts, and go on: the same', async () => {
  await sample({ messages: 80, kills: 1, stops: 8, clocks: false })
})

test('every process has its own clock, which jumps by years: the same', async () => {
  if (FAKETIME === undefined) return console.log('skip: clocks that jump: libfaketime is not installed')
  await sample({ messages: 80, kills: 6, stops: 1, clocks: true })
})

test.run()
