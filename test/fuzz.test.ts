// A short run of make fuzz: every parser of foreign bytes keeps its promises for some thousand inputs. What longer runs have found stands in test/corpus/fuzz.json and is tried first. That the loop finds anything
// is shown by parsers with planted faults.
// test timeout: 900 s

import { readFileSync } from 'node:fs'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { type Order, Pool } from './fuzz/pool.ts'
import { TARGETS } from './fuzz/targets.ts'

/** Inputs for each parser; make fuzz tries as many as it is told. */
const INPUTS = 500
const SEED = 20_260_131

/** Found once, and mended: by parser, as hex. */
const FOUND = JSON.parse(readFileSync(new URL('corpus/fuzz.json', import.meta.url), 'utf8')) as Record<string, string[]>

const pool = new Pool()
const run = (order: Order): ReturnType<Pool['run']> => pool.run(order)

for (const { name } of TARGETS) {
  test(`${name}: nothing but typed errors, bounded time and memory, and what is decoded encodes to the same`, async () => {
    const known = FOUND[name] ?? []
    if (known.length > 0) {
      const { inputs, found } = await run({ target: name, inputs: 0, seed: SEED, only: known })
      assert.is(found, undefined, found?.what)
      assert.is(inputs, known.length)
    }
    const { inputs, taken, covered, found } = await run({ target: name, inputs: INPUTS, seed: SEED })
    assert.is(found && `${found.what}: ${Buffer.from(found.input).toString('hex').slice(0, 2000)}`, undefined)
    assert.ok(inputs >= INPUTS)
    assert.ok(taken > 0 && taken < inputs + (name === 'mail' || name === 'post' ? 1 : 0), `${taken} of ${inputs} taken`)
    assert.ok(covered > 500, `${covered} characters of code ran`)
  })
}

test('every name in the list of what was found is that of a parser', () => {
  const names = TARGETS.map(({ name }) => name)
  assert.equal(Object.keys(FOUND).filter((name) => !names.includes(name)), [])
})

const faults: [string, RegExp, (input: Uint8Array) => boolean][] = [
  ['planted-throw', /^TypeError: planted$/, (input) => Buffer.from(input).toString('hex').startsWith('7032')],
  ['planted-slow', /^took \d+ ms$/, ([first]) => first === 0x71],
  ['planted-hang', /^no end within/, ([first]) => first === 0x72],
  ['planted-memory', /MiB of memory$/, ([first]) => first === 0x73],
  ['planted-bytes', /MiB are held$/, () => true], // noticed a little later
]

for (const [target, what, is] of faults) {
  test(`the loop finds a fault that no test would meet: ${target}`, async () => {
    const alone = new Pool() // of its coverage nothing is known yet
    const { found } = await alone.run({ target, inputs: 5_000_000, seed: 1, ...(target === 'planted-hang' && { hangMs: 5000 }) })
    await alone.close()
    assert.match(found?.what ?? 'nothing', what)
    assert.ok(is(found?.input ?? new Uint8Array(0)), Buffer.from(found?.input ?? []).toString('hex'))
  })
}

test.after(() => pool.close())

test.run()
