// make fuzz: every parser of foreign bytes, until something breaks or INPUTS were tried on each. SEED decides what is
// changed; which inputs are kept for that depends on what V8 says has run, which is not the same in every process.
//
//   make fuzz T='token frame' INPUTS=1000000 SEED=7
//   make fuzz MINUTES=2               for each, at most
//   make fuzz T=token HEX=0a1b       one input again, as a failure prints it; HEX=@FILE if it is long

import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { Pool } from './pool.ts'
import { TARGETS } from './targets.ts'

const INPUTS = 100_000

/** Hex digits that are printed; a longer input is left in a file. */
const SHOWN_MAX = 2000

async function main(parts: string[]): Promise<void> {
  const given = (name: string, otherwise: string): string => (process.env[name] ?? '') || otherwise // make exports empty ones
  const inputs = Number(given('INPUTS', String(INPUTS)))
  const seed = Number(given('SEED', '1'))
  const ms = Number(given('MINUTES', 'Infinity')) * 60_000
  const one = given('HEX', '')
  const hex = one.startsWith('@') ? readFileSync(one.slice(1), 'utf8').trim() : one
  const targets = TARGETS.filter(({ name }) => parts.length === 0 || parts.includes(name))
  if (targets.length === 0) throw new Error(`no target ${parts.join(' ')}: there are ${TARGETS.map(({ name }) => name).join(' ')}`)
  console.log('target      inputs      taken  corpus  covered  slowest ms  inputs/s  memory MiB')
  for (const { name } of targets) {
    const started = performance.now()
    const pool = new Pool() // each in a thread of its own: what one has compiled and kept is not the next one's
    const outcome = await pool.run({ target: name, inputs, seed, ms, ...(hex !== '' && { only: [hex] }) })
    await pool.close()
    const speed = (outcome.inputs / (performance.now() - started)) * 1000
    const { corpus, covered, slowest, memory, found } = outcome
    const columns: [string, number][] = [
      [String(outcome.inputs), 8], [String(outcome.taken), 11], [String(corpus), 8], [String(covered), 9],
      [slowest.toFixed(1), 12], [speed.toFixed(0), 10], [(memory / 2 ** 20).toFixed(0), 12],
    ]
    console.log(name.padEnd(10) + columns.map(([text, width]) => text.padStart(width)).join(''))
    if (found === undefined) continue
    const bytes = Buffer.from(found.input)
    console.log(`FAIL  ${name}: ${found.what}\n  ${JSON.stringify(bytes.toString('latin1').slice(0, 200))}`)
    console.log(`  make fuzz T=${name} HEX=${shown(name, bytes.toString('hex'))}`)
    process.exitCode = 1
  }
}

function shown(name: string, hex: string): string {
  if (hex.length <= SHOWN_MAX) return hex
  const path = join(mkdtempSync(join(tmpdir(), 'p2p-fuzz-')), `${name}.hex`)
  writeFileSync(path, `${hex}\n`)
  return `@${path}`
}

void main(process.argv.slice(2))
