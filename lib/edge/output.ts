// Standard output carries data only: NDJSON records, human lines, or one bare datum. Every write waits for room, so a
// slow reader holds the writer back and memory stays bounded. A reader that goes away ends the output, not the work:
// later writes are dropped and `closed` fires. Nobody here calls process.exit, which would drop what is still buffered.

import { closeSync, openSync } from 'node:fs'

import { utf8 } from '../base/bytes.ts'
import { type Failure, ioFailure, isCode } from '../base/fail.ts'
import { isTerminal, release, unwaiting, writeSome } from './descriptor.ts'
import { hideStatus } from './words.ts'

/** Characters that JSON lets through raw but that move a terminal's cursor, reorder text or split lines elsewhere. */
const RISKY = /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/
const ALL_RISKY = new RegExp(RISKY, 'g')

/** One NDJSON line without its line feed: plain JSON in which such characters are escaped, so the value is the same. */
export function ndjson(record: object): string {
  const line = JSON.stringify(record)
  if (!RISKY.test(line)) return line // as nearly all
  return line.replace(ALL_RISKY, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/** Characters written at once where much is told. */
const PIECE = 32 * 1024

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
  #stream: NodeJS.WritableStream | undefined
  /** Where it is written in place, as long as there is room. */
  #ready: number | undefined
  readonly #quiet: boolean
  #over = false
  #closed: AbortController | undefined
  #failure: Failure | undefined

  constructor(options: OutputOptions = {}) {
    const { stream, quiet = false } = options
    this.#quiet = quiet
    this.terminal = stream === undefined ? isTerminal(1) : (stream as Partial<NodeJS.WriteStream>).isTTY === true
    this.json = options.json ?? !this.terminal
    if (stream === undefined) this.#ready = unwaiting(1)
    if (this.#ready === undefined) this.#attach(stream ?? process.stdout)
  }

  #attach(stream: NodeJS.WritableStream): NodeJS.WritableStream {
    this.#stream = stream
    stream.on('error', (error: Error) => this.#lost(error))
    stream.on('close', () => this.#close())
    return stream
  }

  #lost(error: unknown): void {
    // ECONNRESET: stdout is a socket. Anything else (disk full behind `>`) is a failure the command must report.
    if (!isCode(error, 'EPIPE', 'ECONNRESET', 'ERR_STREAM_DESTROYED', 'ERR_STREAM_WRITE_AFTER_END')) {
      this.#failure ??= ioFailure(error, 'standard output')
    }
    this.#close()
  }

  /** Of the terminal that it goes to. */
  get size(): { columns: number; rows: number } {
    const { columns, rows } = process.stdout
    return { columns, rows }
  }

  /** Fires when the reader is gone. */
  get closed(): AbortSignal {
    if (this.#closed === undefined) {
      this.#closed = new AbortController() // most calls do without
      if (this.#over) this.#closed.abort()
    }
    return this.#closed.signal
  }

  /** True once the reader is gone. */
  get over(): boolean {
    return this.#over
  }

  #close(): void {
    this.#over = true
    this.#closed?.abort()
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

  /** Many at once, as record() writes each (`json` gives what ndjson() would): what is told of a long queue goes out in large pieces. */
  async records(all: Iterable<{ json: () => string; human: () => string }>): Promise<void> {
    if (this.#quiet) return
    let held: string[] = []
    let size = 0
    for (const { json, human } of all) {
      const line = this.json ? json() : human()
      if (line === '') continue
      held.push(line, '\n')
      size += line.length
      if (size < PIECE) continue
      await this.#write(held.join(''))
      ;[held, size] = [[], 0]
    }
    await this.#write(held.join(''))
  }

  /** A bare datum (token, path, id): one plain line in either form. */
  async datum(line: string): Promise<void> {
    await this.#write(`${line}\n`)
  }

  /** Exactly these bytes, one part behind the other. True: nobody here has them any more. */
  async raw(...parts: Uint8Array[]): Promise<boolean> {
    return this.#writeAll(parts.filter((part) => part.length > 0))
  }

  /** Resolves when everything has left the process or the reader is gone. */
  async flush(): Promise<void> {
    const stream = this.#stream as NodeJS.WriteStream | undefined
    if (stream === undefined || this.#over || !stream.writableLength) return
    await this.#settled((done) => stream.write('', done))
  }

  /**
   * The reader of a pipe learns that nothing more comes, although this process goes on. Node never closes standard
   * output by itself, and what would be opened next must not get its number.
   */
  async end(): Promise<void> {
    await this.flush()
    if (this.terminal || this.#ready === 1 || this.#over) return
    if (this.#ready === undefined) {
      const { _handle: handle } = this.#stream as { _handle?: { close?: () => void } }
      if (this.#stream !== process.stdout || handle?.close === undefined) return
      handle.close()
    }
    this.#leave()
    closeSync(1)
    openSync('/dev/null', 'w')
  }

  #leave(): void {
    release(this.#ready)
    this.#ready = undefined
  }

  async #write(data: string): Promise<void> {
    if (data.length > 0) await this.#writeAll([data])
  }

  async #writeAll(parts: readonly (string | Uint8Array)[]): Promise<boolean> {
    if (this.#quiet || this.#over || parts.length === 0) return true
    if (this.terminal) hideStatus()
    const rest = this.#ready === undefined ? parts : this.#writeReady(parts)
    if (rest.length === 0) return true
    const stream = this.#stream ?? this.#attach(process.stdout)
    let room = true
    for (const part of rest) room = stream.write(part)
    if (!room) await this.#settled((done) => stream.once('drain', done))
    return false
  }

  /** What there was no room for: from there on node's stream waits for it. */
  #writeReady(parts: readonly (string | Uint8Array)[]): readonly Uint8Array[] {
    try {
      const rest = writeSome(this.#ready as number, parts.map((part) => (typeof part === 'string' ? utf8(part) : part)))
      if (rest.length > 0) this.#leave()
      return rest
    } catch (error) {
      this.#lost(error)
      return []
    }
  }

  async #settled(start: (done: () => void) => void): Promise<void> {
    const signal = this.closed
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
