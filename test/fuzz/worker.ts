// Targets in a thread of their own, so that whoever started it can tell and end what hangs, and bound its memory. Takes
// one task after the other.

import { parentPort, workerData } from 'node:worker_threads'

import { Coverage } from './coverage.ts'
import { fuzz, type Outcome, trial } from './loop.ts'
import type { Target } from './target.ts'

export interface Task {
  target: string
  inputs: number
  seed: number
  /** It ends after so many milliseconds, if not before. */
  ms: number | undefined
  /** Only these, as hex. */
  only: string[] | undefined
}

/** What the thread shares with its starter. */
export interface Shared {
  /** The number of the call that runs, and the length of its input. */
  state: SharedArrayBuffer
  /** The input itself. */
  input: SharedArrayBuffer
}

const shared = workerData as Shared
const counters = new Int32Array(shared.state)
const current = new Uint8Array(shared.input)

function about(bytes: Uint8Array): void {
  current.set(bytes.subarray(0, current.length))
  counters[1] = bytes.length
  Atomics.add(counters, 0, 1)
}

async function these(target: Target, inputs: readonly string[]): Promise<Outcome> {
  const outcome: Outcome = { inputs: 0, taken: 0, corpus: 0, covered: 0, slowest: 0, found: undefined }
  for (const each of inputs) {
    const input = new Uint8Array(Buffer.from(each, 'hex'))
    about(input)
    outcome.inputs++
    const { what, took, ms } = await trial(target, input)
    if (took) outcome.taken++
    outcome.slowest = Math.max(outcome.slowest, ms)
    if (what !== undefined) outcome.found ??= { what, input }
  }
  return outcome
}

/** By its name; those with planted faults, which make fuzz does not run, are apart. */
async function load(name: string): Promise<Target> {
  const targets = name.startsWith('planted') ? (await import('./planted.ts')).PLANTED : (await import('./targets.ts')).TARGETS
  const found = targets.find((target) => target.name === name)
  if (found === undefined) throw new Error(`no target ${name}`)
  return found
}

const coverage = new Coverage()

async function work({ target: name, inputs, seed, ms, only }: Task): Promise<Outcome> {
  const target = await load(name)
  return only === undefined ? fuzz(target, coverage, { inputs, seed, ms, about }) : these(target, only)
}

parentPort?.on('message', (task: Task) => void work(task).then((outcome) => parentPort?.postMessage(outcome)))
