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

async function main(): Promise<void> {
  const coverage = new Coverage()
  const { findTarget } = await import('./targets.ts')
  parentPort?.on('message', ({ target: name, inputs, seed, ms, only }: Task) => {
    const target = findTarget(name)
    const outcome = only === undefined ? fuzz(target, coverage, { inputs, seed, ms, about }) : these(target, only)
    void outcome.then((told) => parentPort?.postMessage(told))
  })
}

void main()
