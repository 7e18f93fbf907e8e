// SHA-256 in a thread of its own, of memory that both threads see: nothing is copied. The thread costs 30 ms of a
// processor and 6 MiB, so this is for bodies of many MiB. It trusts its caller to leave the bytes alone until their hash is
// here. Should the thread not start, or die, the hashes are computed in place.

import { createHash } from 'node:crypto'
import type { Worker } from 'node:worker_threads'

const PROGRAM = `
const { parentPort } = process.getBuiltinModule('node:worker_threads')
const { createHash } = process.getBuiltinModule('node:crypto')
parentPort.on('message', (bytes) => parentPort.postMessage(createHash('sha256').update(bytes).digest()))
`

/** MiB; what it works on lies elsewhere. */
const LIMITS = { maxYoungGenerationSizeMb: 1, maxOldGenerationSizeMb: 16 }

/** As of ES2024. */
const Shared = SharedArrayBuffer as new (size: number, options: { maxByteLength: number }) => SharedArrayBuffer

interface Asked {
  bytes: Uint8Array
  answer: (hash: Uint8Array) => void
}

export class HashThread {
  #worker: Promise<Worker | undefined> | undefined
  /** In the order of the answers. */
  #asked: Asked[] = []
  #over = false

  /**
   * Memory that hash() takes, in pages of its own, which a disk can read (FileHandle.write). To be filled by fill(): what
   * set() of such an array does takes ten times as long.
   */
  room(size: number): Buffer {
    return Buffer.from(new Shared(size, { maxByteLength: size }), 0, size)
  }

  /** Of bytes in such memory, which must not change meanwhile. Never rejects. */
  hash(bytes: Uint8Array): Promise<Uint8Array> {
    if (this.#over) return Promise.resolve(sum(bytes))
    this.#worker ??= this.#start()
    return new Promise((answer) => {
      this.#asked.push({ bytes, answer })
      void this.#worker?.then((worker) => this.#ask(worker, bytes))
    })
  }

  async #start(): Promise<Worker | undefined> {
    try {
      const { Worker: Thread } = await import('node:worker_threads')
      const worker = new Thread(PROGRAM, { eval: true, env: {}, execArgv: [], resourceLimits: LIMITS })
      worker.on('message', (hash: Uint8Array) => {
        this.#asked.shift()?.answer(hash)
        if (this.#asked.length === 0) worker.unref()
      })
      worker.on('error', () => this.close())
      worker.on('exit', () => this.close())
      return worker
    } catch {
      this.close()
      return undefined
    }
  }

  /** The process lives on for as long as something is asked. */
  #ask(worker: Worker | undefined, bytes: Uint8Array): void {
    if (this.#over) return
    worker?.ref()
    worker?.postMessage(bytes)
  }

  /** Ends the thread; what was asked before is answered. Twice is fine. */
  close(): void {
    if (this.#over) return
    this.#over = true
    for (const { bytes, answer } of this.#asked.splice(0)) answer(sum(bytes))
    void this.#worker?.then((worker) => worker?.terminate())
  }
}

function sum(bytes: Uint8Array): Uint8Array {
  return createHash('sha256').update(bytes).digest()
}
