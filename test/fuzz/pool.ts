// Runs targets in a thread and watches it: a call that does not end, memory that grows without bound and a thread that
// dies are faults like any other, with the input that was running.

import { Worker } from 'node:worker_threads'

import type { Outcome } from './loop.ts'
import type { Shared, Task } from './worker.ts'

/** Usually; ms. */
const HANG_MS = 30_000

/** MiB that a thread may have: of objects, and of all with bytes outside of them. */
const HEAP_MB = 256
const ALL_MB = 768

const WATCH_MS = 100
const INPUT_MAX = 1 << 20

/** A thread does not inherit what reads TypeScript. */
const START = `const { workerData } = require('node:worker_threads')
import(workerData.loader).then(({ register }) => { register(); return import(workerData.program) })`

export interface Order {
  target: string
  inputs: number
  seed: number
  /** It ends after so many milliseconds, if not before. */
  ms?: number
  /** Only these inputs, as hex. */
  only?: string[]
  /** A call that runs longer is taken to hang. */
  hangMs?: number
}

export class Pool {
  readonly #shared: Shared = { state: new SharedArrayBuffer(8), input: new SharedArrayBuffer(INPUT_MAX) }
  #worker: Worker | undefined

  /** The outcome, and how many bytes of memory the process had meanwhile beyond what it had before. */
  async run({ target, inputs, seed, ms, only, hangMs = HANG_MS }: Order): Promise<Outcome & { memory: number }> {
    const worker = (this.#worker ??= this.#start())
    const counters = new Int32Array(this.#shared.state)
    counters.fill(0)
    const before = process.memoryUsage.rss()
    let memory = 0
    let last = 0
    let since = performance.now()
    let watch: NodeJS.Timeout | undefined
    let fail: (error: NodeJS.ErrnoException) => void = () => undefined
    const outcome = await new Promise<Outcome>((resolve, reject) => {
      const blame = (what: string): void => {
        this.#worker = undefined
        void worker.terminate()
        const input = new Uint8Array(this.#shared.input).slice(0, counters[1])
        resolve({ inputs: counters[0] ?? 0, taken: 0, corpus: 0, covered: 0, slowest: 0, found: { what, input } })
      }
      watch = setInterval(() => {
        memory = Math.max(memory, process.memoryUsage.rss() - before)
        const now = Atomics.load(counters, 0)
        if (memory > ALL_MB << 20) blame(`${memory >> 20} MiB are held`)
        else if (now === last && now !== 0 && performance.now() - since > hangMs) blame(`no end within ${hangMs / 1000} s`)
        if (now !== last) [last, since] = [now, performance.now()]
      }, WATCH_MS)
      fail = (error) => {
        if (error.code === 'ERR_WORKER_OUT_OF_MEMORY') blame(`more than ${HEAP_MB} MiB of memory`)
        else {
          this.#worker = undefined
          reject(error)
        }
      }
      worker.once('message', resolve).once('error', fail)
      const task: Task = { target, inputs, seed, ms, only }
      worker.postMessage(task)
    }).finally(() => {
      clearInterval(watch)
      if (this.#worker === worker) worker.off('error', fail)
    })
    return { ...outcome, memory }
  }

  async close(): Promise<void> {
    await this.#worker?.terminate()
  }

  #start(): Worker {
    const loader = import.meta.resolve('tsx/esm/api')
    const program = new URL('worker.ts', import.meta.url).href
    const resourceLimits = { maxOldGenerationSizeMb: HEAP_MB }
    return new Worker(START, { eval: true, workerData: { ...this.#shared, loader, program }, resourceLimits })
  }
}
