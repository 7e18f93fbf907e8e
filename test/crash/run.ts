// make crash: the commands die, or are told of errors, at every system call and at every step of the file door, while a
// message is on its way; then they are started again and must have kept the promise. Prints what failed as it fails, and
// at the end rows for the table in README, which RECORD=1 notes. Exits 0 only if everything that this build was put through so far was right.
//
//   node --import tsx test/crash/run.ts [--shard I/N] [--sample K [--seed S]] [--jobs J] [--fresh]
//                                       [--series NAME] [--verbose] [WORD...]
//
// --shard I/N   the I-th of N parts (1/N to N/N); the rows at the end count all parts that were done
// --sample K    every K-th point, from one that the seed says; not remembered
// --fresh       forgets what was done
// --series NAME only the points whose series has this in its name, e.g. 'pool fsync' or 'step KILL'
// --verbose     a line for each run
// WORD...       only scenes whose names contain all of these, e.g. 'listen and receive' big; only what is named
//
// What is done is remembered in dist/crash.log, one line of JSON a run, for as long as commands and sweep stay the same:
// a sweep that was interrupted goes on.

import { createHash } from 'node:crypto'
import { appendFileSync, existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

import { recordProof } from '../reliability.ts'
import { bundle } from './bundles.ts'
import { Cast } from './cast.ts'
import { Play, type Scene, SCENES, titleOf } from './scenes.ts'
import { beyond, type Done, sweep } from './series.ts'
import { countSteps } from './steps.ts'
import { countCalls } from './strace.ts'
import { proofsOf, type Run } from './table.ts'
import { whyNoStrace } from './trace.ts'

const HERE = fileURLToPath(new URL('.', import.meta.url))
const DIST = join(HERE, '../../dist')
const LOG = join(DIST, 'crash.log')

/** Scenes at once for each processor: a point is mostly waiting, for strace, for the disk, for the other side. */
const JOBS = 3

interface Options {
  shard: { index: number; count: number }
  sample: { every: number; seed: number } | undefined
  jobs: number
  words: string[]
  series: string
  verbose: boolean
}

function read(): Options & { fresh: boolean } {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      shard: { type: 'string', default: '1/1' },
      sample: { type: 'string' },
      seed: { type: 'string', default: String(Date.now() % 1_000_000) },
      jobs: { type: 'string', default: String(JOBS * availableParallelism()) },
      fresh: { type: 'boolean', default: false },
      series: { type: 'string', default: '' },
      verbose: { type: 'boolean', default: false },
    },
  })
  const [index = 1, count = 1] = values.shard.split('/').map(Number)
  if (!(index >= 1 && index <= count)) throw new Error(`--shard ${values.shard}: 1/4, 2/4, 3/4 or 4/4`)
  const sample = values.sample === undefined ? undefined : { every: Number(values.sample), seed: Number(values.seed) }
  const { fresh, series, verbose } = values
  return { shard: { index: index - 1, count }, sample, jobs: Number(values.jobs), fresh, series, verbose, words: positionals }
}

/** Everything that the outcome depends on, in short. */
function buildOf(): string {
  const sum = createHash('sha256')
  for (const name of readdirSync(DIST).filter((file) => file.endsWith('.cjs')).sort()) sum.update(readFileSync(join(DIST, name)))
  for (const name of readdirSync(HERE).sort()) sum.update(readFileSync(join(HERE, name)))
  return sum.digest('hex').slice(0, 16)
}

/** What was done with this build. */
function remembered(build: string): Run[] {
  if (!existsSync(LOG)) return []
  const lines = readFileSync(LOG, 'utf8').split('\n').filter((line) => line.endsWith('}'))
  return lines.map((line) => JSON.parse(line) as Run).filter((run) => run.build === build)
}

async function main(): Promise<void> {
  const options = read()
  const why = whyNoStrace()
  if (why !== undefined) throw new Error(`NOTHING WAS PROVEN: ${why}`)
  const build = buildOf()
  if (options.fresh) rmSync(LOG, { force: true })
  const runs = options.sample === undefined ? remembered(build) : []
  const known = new Set(runs.map(nameOf))
  if (runs.length > 0) console.log(`# ${runs.length} runs of this build were done before`)
  if (options.sample !== undefined) console.log(`# every ${options.sample.every}. point, seed ${options.sample.seed}`)
  let failed = runs.filter(isBad).length

  const note = (scene: string, done: Done): void => {
    const { series, n, end, lost, doubled, changed, complaints } = done
    const run: Run = { build, scene, series, n, end, lost, doubled, changed, ...(complaints.length > 0 && { complaints }) }
    runs.push(run)
    if (options.sample === undefined) appendFileSync(LOG, `${JSON.stringify(run)}\n`)
    if (options.verbose) console.log(`      ${nameOf(run)}: ${end}`)
    if (!isBad(run)) return
    failed++
    console.log(`FAIL  ${nameOf(run)}: ended with ${end}; lost ${lost}, doubled ${doubled}, changed ${changed}`)
    for (const complaint of complaints) console.log(`      ${complaint.trimEnd().replaceAll('\n', '\n      ').slice(0, 2000)}`)
  }

  const todo = SCENES.filter((scene) => options.words.every((word) => titleOf(scene).includes(word)))
  const work = async (): Promise<void> => {
    for (let scene = todo.shift(); scene !== undefined; scene = todo.shift()) {
      await Cast.with((cast) => playAll(cast, scene as Scene, options, known, note)).catch((error: unknown) => {
        failed++
        console.log(`FAIL  ${titleOf(scene as Scene)}: ${error instanceof Error ? error.message : String(error)}`)
      })
    }
  }
  await Promise.all(Array.from({ length: options.jobs }, work))
  for (const [name, proof] of proofsOf(runs)) {
    console.log(JSON.stringify(proof))
    if (options.sample === undefined) recordProof(name, proof)
  }
  if (failed > 0) console.log(`${failed} FAILED`)
  process.exitCode = failed > 0 ? 1 : 0
}

function nameOf({ scene, series, n }: { scene: string; series: string; n: number }): string {
  return `${scene}: ${series} ${n}`
}

function isBad({ lost, doubled, changed, complaints = [] }: Run): boolean {
  return lost + doubled + changed > 0 || complaints.length > 0
}

/** One scene: counted, then swept in both ways. */
async function playAll(
  cast: Cast,
  scene: Scene,
  { shard, sample, series: only }: Options,
  known: ReadonlySet<string>,
  note: (scene: string, done: Done) => void,
): Promise<void> {
  const title = titleOf(scene)
  const bundles = join(cast.stage.dir, 'bundles')
  await bundle(['p2p-send', 'p2p-queue', 'p2p-listen'], bundles)
  const play = await Play.open(cast, scene)
  const since = performance.now()
  let count = 0
  const tell = (done: Done): void => {
    count++
    note(title, done)
  }
  const counted = [...(await countCalls(cast, play)), ...(await countSteps(cast, play, bundles))]
  const all = counted.filter(({ name }) => name.includes(only))
  let at = 0
  for (const series of all) {
    const first = at
    at += series.points.length
    const chosen = (n: number): boolean => {
      const place = first + series.points.indexOf(n)
      if (known.has(nameOf({ scene: title, series: series.name, n }))) return false
      return sample === undefined ? place % shard.count === shard.index : (place + sample.seed) % sample.every === 0
    }
    const end = { scene: title, series: `beyond ${series.name}`, n: 0 }
    const last = sample === undefined && first % shard.count === shard.index && !known.has(nameOf(end))
    try {
      for await (const done of sweep(play, series, chosen)) tell(done)
      if (!last) continue
      for await (const done of beyond(play, series)) tell(done)
      note(title, { series: end.series, n: 0, end: '0', lost: 0, doubled: 0, changed: 0, complaints: [], missed: undefined })
    } catch (error) {
      const complaints = [error instanceof Error ? error.message : String(error)]
      note(title, { series: series.name, n: -1, end: '-', lost: 0, doubled: 0, changed: 0, complaints, missed: undefined })
    }
  }
  for (const left of await play.close()) throw new Error(`left by the other side: ${left}`)
  console.log(`# ${title}: ${count} of ${at} points, ${((performance.now() - since) / 1000).toFixed(0)} s`)
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
})
