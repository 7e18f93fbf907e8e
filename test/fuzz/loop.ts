// The loop: inputs that made new code run are kept and changed further. A batch of inputs runs between two looks at the
// coverage; if it grew, the batch runs again one by one to find out who did it. An input that takes too long is tried
// again before it is blamed: other programs run on the machine too.

import { Dice } from '../soak/random.ts'
import type { Coverage } from './coverage.ts'
import { Mutator } from './mutate.ts'
import type { Target } from './target.ts'

/** No call may take longer; ms. */
export const SLOW_MS = 50
const SLOW_TRIES = 5

const BATCH_MIN = 16
const BATCH_MAX = 512
const CORPUS_MAX = 4000
const SEEDS_SHARE = 0.2

export interface Found {
  what: string
  input: Uint8Array
}

export interface Outcome {
  inputs: number
  /** Of them the parser took so many. */
  taken: number
  /** Inputs that are kept. */
  corpus: number
  /** Characters of the code that ran. */
  covered: number
  slowest: number
  found: Found | undefined
}

/** Until `inputs` were tried, or `ms` are over. `about(input)` hears of every input before it runs; `coverage` began before the target was loaded. */
export async function fuzz(
  target: Target,
  coverage: Coverage,
  { inputs, seed, ms = Infinity, about }: { inputs: number; seed: number; ms?: number | undefined; about: (input: Uint8Array) => void },
): Promise<Outcome> {
  const seeds = (await target.seeds(seed)).filter(({ length }) => length <= target.max)
  const step = Math.ceil(seeds.length / (inputs * SEEDS_SHARE)) // a short run begins with some of them
  const corpus = [new Uint8Array(0), ...seeds.filter((_, at) => at % step === 0)]
  const mutator = new Mutator(new Dice(seed), target.words, target.max)
  const outcome: Outcome = { inputs: 0, taken: 0, corpus: 0, covered: 0, slowest: 0, found: undefined }
  const tryOne = async (input: Uint8Array): Promise<void> => {
    about(input)
    outcome.inputs++
    const { what, took, ms } = await trial(target, input)
    if (took) outcome.taken++
    if (what !== undefined) outcome.found = { what, input: await smaller(target, input, what, about) }
    else if (ms > outcome.slowest) await slow(target, input, ms, outcome)
  }
  Error.stackTraceLimit = 0 // nobody reads the thousands that are thrown on purpose
  for (const input of corpus) if (outcome.found === undefined) await tryOne(input)
  coverage.watch(target.code)
  for (const input of corpus) await trial(target, input)
  coverage.grew()
  let size = BATCH_MIN
  const end = performance.now() + ms
  while (outcome.inputs < inputs && outcome.found === undefined && performance.now() < end) {
    const batch = Array.from({ length: Math.min(size, inputs - outcome.inputs) }, () => mutator.next(corpus))
    for (const input of batch) {
      await tryOne(input)
      if (outcome.found !== undefined) break
    }
    const grew = coverage.grew(true) && outcome.found === undefined
    size = grew ? BATCH_MIN : Math.min(BATCH_MAX, size * 2)
    for (const input of grew ? batch : []) {
      await trial(target, input)
      if (coverage.grew()) corpus.push(input)
    }
    if (corpus.length > CORPUS_MAX) corpus.splice(0, corpus.length - CORPUS_MAX)
  }
  return { ...outcome, corpus: corpus.length, covered: coverage.count }
}

/** What went wrong, if anything did; whether the input was taken; how long it took. */
export async function trial(target: Target, input: Uint8Array): Promise<{ what?: string; took: boolean; ms: number }> {
  const started = performance.now()
  try {
    const took = target.run(input.slice())
    return { took: typeof took === 'boolean' ? took : await took, ms: performance.now() - started }
  } catch (error) {
    return { what: error instanceof Error ? `${error.name}: ${error.message}` : String(error), took: false, ms: 0 }
  }
}

/** The best of some tries counts, in time of the processor: on a busy machine the clock tells of others. */
async function slow(target: Target, input: Uint8Array, ms: number, outcome: Outcome): Promise<void> {
  let best = ms
  for (let n = 1; n < SLOW_TRIES && best > outcome.slowest; n++) {
    const before = process.cpuUsage()
    const again = await trial(target, input)
    const { user, system } = process.cpuUsage(before)
    best = Math.min(best, again.ms, (user + system) / 1000)
  }
  outcome.slowest = Math.max(outcome.slowest, best)
  if (best > SLOW_MS) outcome.found = { what: `took ${best.toFixed(0)} ms`, input }
}

/** The same fault with less around it. */
async function smaller(target: Target, input: Uint8Array, what: string, about: (input: Uint8Array) => void): Promise<Uint8Array> {
  let best = input
  for (let piece = best.length >> 1; piece > 0; piece = piece > 1 ? piece >> 1 : 0) {
    for (let at = 0; at < best.length; ) {
      const shorter = Buffer.concat([best.subarray(0, at), best.subarray(at + piece)])
      about(shorter)
      if ((await trial(target, shorter)).what === what) best = new Uint8Array(shorter)
      else at += piece
    }
  }
  return best
}
