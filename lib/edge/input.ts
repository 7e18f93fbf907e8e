// Standard input as bounded bytes: whole up to a limit, in chunks with backpressure, or line by line with a limit a
// line. It is opened only when a command asks for it, so a command inside `while read` leaves the loop's input alone.

import { Readable } from 'node:stream'

import { concat } from '../base/bytes.ts'
import { EX, Failure, isCode } from '../base/fail.ts'
import { isTerminal, readInto, readSome, release, unwaiting } from './descriptor.ts'

/** Bytes read at once in place. */
const BLOCK = 64 * 1024

let opened = false
let stopped: Error | undefined

/** True if a person would have to type. */
export function stdinIsTerminal(): boolean {
  return isTerminal(0)
}

/** Ends every reader of standard input with `reason`: a signal arrived, and half an input must not pass for a whole. */
export function stopInput(reason: Error): void {
  stopped = reason
  if (opened) process.stdin.destroy()
}

/** Standard input in the chunks in which it comes. Throws Failure 66 if it cannot be read. */
export async function* stdinChunks(): AsyncGenerator<Uint8Array> {
  if (yield* readyChunks()) return
  opened = true
  // For what it cannot read, a directory, node puts an empty stream in place: it must not pass for an empty message.
  if (process.stdin.constructor === Readable) throw new Failure(EX.NO_INPUT, 'standard input cannot be read')
  try {
    for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
      if (stopped !== undefined) throw stopped
      yield new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.length)
    }
    if (stopped !== undefined) throw stopped
  } catch (error) {
    if (stopped !== undefined) throw stopped
    throw isCode(error, 'EISDIR', 'EIO', 'EAGAIN', 'EBADF', 'ECONNRESET') ? unreadable(error) : error
  } finally {
    process.stdin.destroy() // a reader that leaves early must not keep the process alive
  }
}

/** What is there without waiting; true if that was all. */
async function* readyChunks(): AsyncGenerator<Uint8Array, boolean> {
  const number = unwaiting(0)
  if (number === undefined) return false
  try {
    for (;;) {
      if (stopped !== undefined) throw stopped
      const bytes = readSome(number, BLOCK)
      if (bytes === undefined || bytes.length === 0) return bytes !== undefined
      yield bytes
    }
  } catch (error) {
    throw isCode(error, 'EIO', 'EAGAIN', 'EBADF') ? unreadable(error) : error
  } finally {
    release(number)
  }
}

/** Standard input read into buffers of the caller: what a pipe of the system or a file has is there without a copy. */
export class Input {
  #number = unwaiting(0)
  #chunks: AsyncIterator<Uint8Array> | undefined
  #chunk: Uint8Array = new Uint8Array(0)

  /** How many bytes `into` has now, at its start; 0 at the end. One call at a time. Throws Failure 66 if there is no reading. */
  async read(into: Uint8Array): Promise<number> {
    if (stopped !== undefined) throw stopped
    if (this.#number !== undefined) {
      const size = this.#readInPlace(this.#number, into)
      if (size !== undefined && size > 0) return size
      release(this.#number)
      this.#number = undefined
      if (size === 0) {
        this.#chunks = noChunks()
        return 0
      }
    }
    this.#chunks ??= stdinChunks()
    while (this.#chunk.length === 0) {
      const { value, done } = await this.#chunks.next()
      if (done === true) return 0
      this.#chunk = value
    }
    const size = Math.min(this.#chunk.length, into.length)
    into.set(this.#chunk.subarray(0, size))
    this.#chunk = this.#chunk.subarray(size)
    return size
  }

  #readInPlace(number: number, into: Uint8Array): number | undefined {
    try {
      return readInto(number, into)
    } catch (error) {
      release(number)
      this.#number = undefined
      throw isCode(error, 'EIO', 'EAGAIN', 'EBADF') ? unreadable(error) : error
    }
  }
}

async function* noChunks(): AsyncGenerator<Uint8Array> {}

function unreadable(error: unknown): Failure {
  return new Failure(EX.NO_INPUT, `standard input: ${(error as NodeJS.ErrnoException).code ?? ''}`)
}

/** All of standard input; Failure 65 beyond `limit` bytes. */
export async function readStdin(limit: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of stdinChunks()) {
    size += chunk.length
    if (size > limit) throw new Failure(EX.DATA, `standard input is longer than ${limit} bytes`)
    chunks.push(chunk)
  }
  return concat(...chunks)
}

export interface Line {
  /** From 1. */
  number: number
  /** Without the line feed; a carriage return stays. Empty if the line was too long. */
  bytes: Uint8Array
  /** Longer than the limit: its bytes were passed over. */
  tooLong: boolean
}

/**
 * Splits at line feeds; a last line without one counts, an empty rest does not. Holds one line of `maxLine` bytes.
 */
export async function* lines(source: AsyncIterable<Uint8Array>, maxLine: number): AsyncGenerator<Line> {
  let number = 1
  let parts: Uint8Array[] = []
  let size = 0
  const take = (part: Uint8Array): void => {
    size += part.length
    if (size > maxLine) parts = []
    else if (part.length > 0) parts.push(part)
  }
  const line = (): Line => {
    const tooLong = size > maxLine
    const made = { number: number++, bytes: concat(...parts), tooLong }
    parts = []
    size = 0
    return made
  }
  for await (const chunk of source) {
    let from = 0
    for (let at = chunk.indexOf(10); at !== -1; at = chunk.indexOf(10, from)) {
      take(chunk.subarray(from, at))
      yield line()
      from = at + 1
    }
    take(chunk.slice(from)) // a copy: the source may reuse its buffer
  }
  if (size > 0) yield line()
}
