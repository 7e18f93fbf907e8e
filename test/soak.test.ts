// A sample of make soak: two people write to each other while their processes are killed at random.
// test timeout: 600 s

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { Soak } from './soak/soak.ts'

test('processes of both sides are killed at random moments: each message once, to the byte, and nothing lies around', async () => {
  const dir = mkdtempSync(join(tmpdir(), 's-'))
  const seed = Math.floor(Math.random() * 1e6)
  let good = false
  try {
    const work = await Soak.open(dir, { messages: 200, kills: 20, seed })
    try {
      const report = await work.run()
      assert.not.equal(report, 'more')
      console.log(`# soak: ${JSON.stringify(report)}`)
      good = true
    } finally {
      await work.close()
    }
  } finally {
    if (good) rmSync(dir, { recursive: true, force: true })
    else console.log(`# seed ${seed}`)
  }
})

test.run()
