// What a sweep has done, in dist/crash.ndjson: one line a run, each with the fingerprint of the program that was run.
// Lines of another program count for nothing, and stay.

import { createHash } from 'node:crypto'
import { appendFileSync, existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import type { Run } from './table.ts'
import type { Point } from './work.ts'

const DIST = fileURLToPath(new URL('../../dist', import.meta.url))
const LOG = join(DIST, 'crash.ndjson')

/** The program in short: the same for the same sources, whatever commit they are of. */
function buildOf(): string {
  const sum = createHash('sha256')
  const code = (name: string): boolean => name.endsWith('.cjs') && (!name.startsWith('p2p') || /^p2p-(?:send|queue|listen)\./.test(name))
  for (const name of readdirSync(join(DIST, 'code')).filter(code).sort()) sum.update(name).update(readFileSync(join(DIST, 'code', name)))
  return sum.digest('hex').slice(0, 16)
}

export class Memory {
  readonly #build = buildOf()
  readonly #known = new Map<string, Run>()

  /** `fresh`: nothing was done before. */
  constructor(fresh: boolean) {
    if (fresh) rmSync(LOG, { force: true })
    if (!existsSync(LOG)) return
    for (const line of readFileSync(LOG, 'utf8').split('\n')) {
      if (!line.endsWith('}')) continue // torn
      const run = JSON.parse(line) as Run
      if (run.build === this.#build) this.#known.set(nameOf(run), run)
    }
  }

  /** One for each point, the last. */
  get runs(): Run[] {
    return [...this.#known.values()]
  }

  /** What became of this point; undefined if it is to be done. */
  of(scene: string, { series, n }: Point): Run | undefined {
    return this.#known.get(nameOf({ scene, series: series.name, n }))
  }

  add(done: Omit<Run, 'build'>): Run {
    const run = { build: this.#build, ...done }
    this.#known.set(nameOf(run), run)
    appendFileSync(LOG, `${JSON.stringify(run)}\n`)
    return run
  }
}

export function nameOf({ scene, series, n }: { scene: string; series: string; n: number }): string {
  return `${scene}: ${series} ${n}`
}

export function isBad({ lost, doubled, changed, complaints = [] }: Run): boolean {
  return lost + doubled + changed > 0 || complaints.length > 0
}
