// Storms by hand: SEED=123 replays one, SEEDS=100000 runs so many, from FROM (1 without) on. Prints each seed that shows
// a fault, with the faults; the exit code is 1 then. `make model`.

import { recordProof, STORMS } from '../reliability.ts'
import { load } from './seams.ts'

const number = (name: string): number | undefined => {
  const text = process.env[name]
  if (text === undefined || text === '') return undefined
  if (!/^\d{1,9}$/.test(text)) throw new Error(`${name} is no number: ${text}`)
  return Number(text)
}

const { storm } = await load()
const seed = number('SEED')
const first = seed ?? number('FROM') ?? 1
const count = seed === undefined ? (number('SEEDS') ?? 10_000) : 1
let failed = 0
const kinds = { lost: 0, doubled: 0, changed: 0 }
for (let each = first; each < first + count; each++) {
  const faults = await storm(each)
  if (faults.length === 0) continue
  failed++
  for (const kind of ['lost', 'doubled', 'changed'] as const) if (faults.some((fault) => fault.startsWith(kind))) kinds[kind]++
  console.log(`SEED=${each}`)
  for (const fault of faults) console.log(`  ${fault}`)
}
if (count > 1) {
  recordProof('storms', { what: STORMS, count, ...kinds, command: `make model SEEDS=${count}` })
}
console.log(`${count} storms, ${failed} with a fault`)
process.exitCode = failed === 0 ? 0 : 1
