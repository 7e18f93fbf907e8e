// Standard output carries data only: NDJSON records, human lines, or one bare datum. Every write waits for room, so a
// slow reader holds the writer back and memory stays bounded. A reader that goes away ends the output, not the work:
// later writes are dropped and `closed` fires. Nobody here calls process.exit, which would drop what is still buffered.

import { closeSync, openSync } from 'node:fs'

import { type Failure, ioFailure, isCode } from '../base/fail.ts'
import { hideStatus } from './words.ts'

/** Characters that JSON lets through raw but that move a terminal's cursor, reorder text or split lines elsewhere. */
const RISKY = /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g

/** One NDJSON line without its line feed: plain JSON in which such characters are escaped, so the value is the same. */
export function ndjson(record: object): string {
  return JSON.stringify(record).replace(RISKY, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

export interface OutputOptions {
  /** True: NDJSON, false: human lines, undefined: NDJSON unless the stream is a terminal. */
  json?: boolean | undefined
  /** Nothing is written at all. */
  quiet?: boolean
  stream?: NodeJS.WriteStream | NodeJS.WritableStream
}

export class Output {
  readonly json: boolean
  readonly terminal: boolean
  readonly #stream: NodeJS.WritableStream
  readonly #quiet: boolean
  readonly #closed = new AbortController()
  #failure: Failure | undefined

  constructor(options: OutputOptions = {}) {
    this.#stream = options.stream ?? process.stdout
    this.#quiet = options.quiet ?? false
    this.terminal = (this.#stream as Partial<NodeJS.WriteStream>).isTTY === true
    this.json = options.json ?? !this.terminal
    this.#stream.on('error', (error: Error) => {
      // ECONNRESET: stdout is a socket. Anything else (disk full behind `>`) is a failure the command must report.
      if (!isCode(error, 'EPIPE', 'ECONNRESET', 'ERR_STREAM_DESTROYED', 'ERR_STREAM_WRITE_AFTER_END')) {
        this.#failure ??= ioFailure(error, 'standard output')
      }
      this.#closed.abort()
    })
    this.#stream.on('close', () => this.#closed.abort())
  }

  /** Fires when the reader is gone. */
  get closed(): AbortSignal {
    return this.#closed.signal
  }

  /** Set when output was lost for another reason than a reader that left. */
  get failure(): Failure | undefined {
    return this.#failure
  }

  /**
   * One record: NDJSON, or the human line(s) of `human`, which is called only if wanted ('' writes nothing).
   * The author of `human` passes every text of a peer through printable().
   */
  async record(record: object, human: () => string): Promise<void> {
    if (this.#quiet) return
    const line = this.json ? ndjson(record) : human()
    if (line !== '') await this.#write(`${line}\n`)
  }

  /** A bare datum (token, path, id): one plain line in either form. */
  async datum(line: string): Promise<void> {
    await this.#write(`${line}\n`)
  }

  /** Exactly these bytes. */
  async raw(bytes: Uint8Array): Promise<void> {
    await this.#write(bytes)
  }

  /** Resolves when everything has left the process or the reader is gone. */
  async flush(): Promise<void> {
    if (this.#closed.signal.aborted || !(this.#stream as NodeJS.WriteStream).writableLength) return
    await this.#settled((done) => this.#stream.write('', done))
  }

  /**
   * The reader of a pipe learns that nothing more comes, although this process goes on. Node never closes standard
   * output by itself, and what would be opened next must not get its number.
   */
  async end(): Promise<void> {
    await this.flush()
    const { _handle: handle } = this.#stream as { _handle?: { close?: () => void } }
    if (this.#stream !== process.stdout || this.terminal || handle?.close === undefined || this.#closed.signal.aborted) return
    handle.close()
    closeSync(1)
    openSync('/dev/null', 'w')
  }

  async #write(data: string | Uint8Array): Promise<void> {
    if (this.#quiet || this.#closed.signal.aborted || data.length === 0) return
    if (this.terminal) hideStatus()
    if (this.#stream.write(data)) return
    await this.#settled((done) => this.#stream.once('drain', done))
  }

  async #settled(start: (done: () => void) => void): Promise<void> {
    const { signal } = this.#closed
    await new Promise<void>((resolve) => {
      const done = (): void => {
        signal.removeEventListener('abort', done)
        resolve()
      }
      signal.addEventListener('abort', done)
      start(done)
    })
  }
}
