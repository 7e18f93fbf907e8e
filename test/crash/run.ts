// make crash: the commands die, or are told of errors, at every system call and at every step of the file door, while a
// message is on its way; then they are started again and must have kept the promise. Prints what failed as it fails, how
// far it is every minute, and at the end rows for the table in README, which RECORD=1 notes. Exits 0 only if everything
// that this program was put through so far was right; 75 if there is more to do.
//
//   node --import tsx test/crash/run.ts [--shard I/N] [--jobs J] [--minutes M] [--fresh] [--series NAME] [--verbose] [WORD...]
//
// --shard I/N   the I-th of N parts (1/N to N/N)
// --jobs J      so many scenes at once
// --minutes M   ends then; SIGTERM ends it at once. What is done by then is an even share of every scene.
// --fresh       forgets what was done
// --series NAME only the points whose series has this in its name, e.g. 'pool fsync' or 'step KILL'
// --verbose     a line for each run
// WORD...       only scenes whose names contain all of these, e.g. 'listen and receive' big; only what is named
//
// What is done is remembered in dist/crash.ndjson (memory.ts): a sweep that was interrupted goes on.

import { mkdtempSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

import { recordProof } from '../reliability.ts'
import { bundle } from './bundles.ts'
import { isBad, Memory, nameOf } from './memory.ts'
import { type Scene, SCENES, titleOf } from './scenes.ts'
import { proofsOf, type Run } from './table.ts'
import { whyNoStrace } from './trace.ts'
import { BEYOND, type Point, SceneWork } from './work.ts'

/** Scenes at once for each processor: a point is partly waiting, for strace, for the other side, for a retry. */
const JOBS = 2

/** Points of a scene before the next one has its turn. */
const TURN = 4

const TELL_MS = 60_000
const MORE = 75

interface Options {
  shard: { index: number; count: number }
  jobs: number
  minutes: number
  words: string[]
  series: string
  verbose: boolean
}

function read(): Options & { fresh: boolean } {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      shard: { type: 'string', default: '1/1' },
      jobs: { type: 'string', default: String(JOBS * availableParallelism()) },
      minutes: { type: 'string', default: 'Infinity' },
      fresh: { type: 'boolean', default: false },
      series: { type: 'string', default: '' },
      verbose: { type: 'boolean', default: false },
    },
  })
  const [index = 1, count = 1] = values.shard.split('/').map(Number)
  if (!(index >= 1 && index <= count)) throw new Error(`--shard ${values.shard}: 1/4, 2/4, 3/4 or 4/4`)
  const { fresh, series, verbose } = values
  const [jobs, minutes] = [Number(values.jobs), Number(values.minutes)]
  return { shard: { index: index - 1, count }, jobs, minutes, fresh, series, verbose, words: positionals }
}

/** A scene and where it stands. */
interface Stand {
  work: SceneWork
  todo: Point[]
  all: number
  busy: boolean
}

class Sweep {
  readonly #options: Options
  readonly #memory: Memory
  readonly #stands: Stand[] = []
  readonly #end: number
  #over = false
  failed: number

  constructor(options: Options, memory: Memory) {
    this.#options = options
    this.#memory = memory
    this.#end = performance.now() + options.minutes * 60_000
    this.failed = memory.runs.filter(isBad).length
  }

  get #isOver(): boolean {
    return this.#over || performance.now() > this.#end
  }

  stop(): void {
    this.#over = true
  }

  /** As many at once as there are jobs. */
  async #inTurns(work: () => Promise<boolean>): Promise<void> {
    const turns = async (): Promise<void> => {
      while (!this.#isOver && (await work())) continue
    }
    await Promise.all(Array.from({ length: this.#options.jobs }, turns))
  }

  async run(bundles: string): Promise<void> {
    const { words } = this.#options
    const scenes = SCENES.filter((scene) => words.every((word) => titleOf(scene).includes(word)))
    const teller = setInterval(() => this.#tell(), TELL_MS)
    try {
      await this.#inTurns(async () => {
        const scene = scenes.shift()
        if (scene !== undefined) await this.#open(scene, bundles)
        return scene !== undefined
      })
      this.#tell()
      await this.#inTurns(() => this.#turn())
    } finally {
      clearInterval(teller)
      for (const { work } of this.#stands) {
        for (const left of await work.close()) this.#fail(`${work.title}: left by the other side: ${left}`)
      }
    }
    this.#tell()
  }

  async #open(scene: Scene, bundles: string): Promise<void> {
    const { shard, series } = this.#options
    try {
      const work = await SceneWork.open(scene, bundles, series)
      const mine = work.points.filter((_, i) => i % shard.count === shard.index)
      const todo = mine.filter((point) => {
        const run = this.#memory.of(work.title, point)
        if (run?.gone === true) work.wasGone(point)
        return run === undefined
      })
      this.#stands.push({ work, todo, all: mine.length, busy: false })
      console.log(`# ${work.title}: ${mine.length} points, ${todo.length} to do; ${work.before} calls before are node's own`)
    } catch (error) {
      this.#fail(`${titleOf(scene)}: ${error instanceof Error ? error.message : String(error)}`)
    }
  }

  /** The scene that is furthest behind goes on a little. */
  async #turn(): Promise<boolean> {
    const left = ({ todo, all }: Stand): number => todo.length / all
    const [next] = this.#stands.filter(({ busy, todo }) => !busy && todo.length > 0).sort((a, b) => left(b) - left(a))
    if (next === undefined) return false
    next.busy = true
    for (let i = 0; i < TURN && !this.#isOver; i++) {
      const point = next.todo.shift()
      if (point !== undefined) await this.#visit(next.work, point)
    }
    next.busy = false
    return true
  }

  async #visit(work: SceneWork, point: Point): Promise<void> {
    const { title: scene } = work
    const { series, n } = point
    const blank = { scene, series: series.name, n, end: '-', lost: 0, doubled: 0, changed: 0 }
    try {
      const { runs, gone } = await work.visit(point)
      for (const { n: at, end, lost, doubled, changed, complaints } of runs) {
        this.#note({ scene, series: series.name, n: at, end, lost, doubled, changed, complaints })
      }
      if (gone || n === BEYOND) this.#note({ ...blank, ...(gone ? { gone: true } : { end: '0' }) })
    } catch (error) {
      this.#note({ ...blank, complaints: [error instanceof Error ? error.message : String(error)] })
    }
  }

  #note(done: Omit<Run, 'build'>): void {
    const run = this.#memory.add(done)
    if (this.#options.verbose) console.log(`      ${nameOf(run)}: ${run.end}`)
    if (!isBad(run)) return
    const { end, lost, doubled, changed, complaints = [] } = run
    const told = complaints.map((text) => `\n      ${text.trimEnd().replaceAll('\n', '\n      ').slice(0, 2000)}`)
    this.#fail(`${nameOf(run)}: ended with ${end}; lost ${lost}, doubled ${doubled}, changed ${changed}${told.join('')}`)
  }

  #fail(text: string): void {
    this.failed++
    console.log(`FAIL  ${text}`)
  }

  get total(): number {
    return this.#stands.reduce((sum, { all }) => sum + all, 0)
  }

  get rest(): number {
    return this.#stands.reduce((sum, { todo }) => sum + todo.length, 0)
  }

  #tell(): void {
    const real = this.#stands.reduce((sum, { work }) => sum + work.allReal, 0)
    const late = this.#stands.flatMap(({ work }) => work.late)
    const { total, rest, failed } = this
    const again = late.length === 0 ? '' : `; ${late.length} passes were in vain: ${[...new Set(late)].join('; ').slice(0, 500)}`
    console.log(`# ${new Date().toISOString()}: ${total - rest} of ${total} points, ${failed} failed; ${real} meetings by real commands${again}`)
  }
}

async function main(): Promise<void> {
  const { fresh, ...options } = read()
  const why = whyNoStrace()
  if (why !== undefined) throw new Error(`NOTHING WAS PROVEN: ${why}`)
  const memory = new Memory(fresh)
  if (memory.runs.length > 0) console.log(`# ${memory.runs.length} runs of this program were done before`)
  const bundles = mkdtempSync(join(tmpdir(), 'crash-'))
  const sweep = new Sweep(options, memory)
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => sweep.stop()) // once() would leave it to proper-lockfile, which ends the process
  try {
    await bundle(['p2p-send', 'p2p-queue', 'p2p-listen'], bundles)
    await sweep.run(bundles)
  } finally {
    rmSync(bundles, { recursive: true, force: true })
  }
  const { total, rest, failed } = sweep
  for (const [name, proof] of proofsOf(memory.runs, rest === 0 ? undefined : 1 - rest / total)) {
    console.log(JSON.stringify(proof))
    recordProof(name, proof)
  }
  if (failed > 0) console.log(`${failed} FAILED`)
  process.exitCode = failed > 0 ? 1 : rest > 0 ? MORE : 0
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
})
