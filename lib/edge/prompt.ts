// Passphrases come from the terminal itself (/dev/tty, never standard input), from a file or from an open descriptor;
// never from argv or the environment. Beside the disk floor this is the one file that opens something: what it opens
// is not part of a home. Line editing is done here because the terminal must not echo.

import { closeSync, fstatSync, openSync, readSync, writeSync } from 'node:fs'
import { ReadStream } from 'node:tty'

import { equal } from '../base/bytes.ts'
import { sleep, systemClock } from '../base/clock.ts'
import { EX, Failure, ioFailure, isCode } from '../base/fail.ts'

const PASSPHRASE_MAX = 4096 // bytes; a longer first line is some other file

export interface PassphraseOptions {
  /** Ask twice: a new passphrase. */
  confirm?: boolean
  /** What is asked, without the colon. */
  prompt?: string
  /** --passphrase-file: its first line. */
  file?: string | undefined
  /** --passphrase-fd: the first line of an open descriptor. */
  fd?: number | string | undefined
  /** The options named where there is no terminal. */
  options?: string
}

/**
 * The passphrase as bytes, never empty. Throws Failure 77 without a terminal, for an empty or a twice different one
 * and for a file that others can read; 66 if the file cannot be read, 64 for a bad descriptor.
 */
export async function askPassphrase(options: PassphraseOptions): Promise<Uint8Array> {
  if (options.fd !== undefined) {
    if (!/^\d{1,6}$/.test(String(options.fd))) throw new Failure(EX.USAGE, 'the passphrase descriptor must be a number')
    return firstLine(Number(options.fd), `descriptor ${options.fd}`)
  }
  if (options.file !== undefined) {
    const fd = openFile(options.file)
    try {
      return firstLine(fd, options.file)
    } finally {
      closeSync(fd)
    }
  }
  return askTerminal(options)
}

function openFile(path: string): number {
  try {
    const fd = openSync(path, 'r')
    const stat = fstatSync(fd)
    if (stat.isFile() && (stat.mode & 0o077) !== 0) {
      closeSync(fd)
      throw new Failure(EX.NOT_PERMITTED, `others can read the passphrase in ${path}`, `chmod 600 ${path}`)
    }
    return fd
  } catch (error) {
    if (isCode(error, 'ENOENT', 'ENOTDIR', 'EISDIR', 'ELOOP'))
      throw new Failure(EX.NO_INPUT, `no passphrase file ${path}`)
    throw ioFailure(error, path)
  }
}

function firstLine(fd: number, from: string): Uint8Array {
  const buffer = new Uint8Array(PASSPHRASE_MAX + 2)
  let size = 0
  try {
    while (size < buffer.length && !buffer.subarray(0, size).includes(10)) {
      const got = readSync(fd, buffer, size, buffer.length - size, null)
      if (got === 0) break
      size += got
    }
  } catch (error) {
    if (isCode(error, 'EBADF', 'EISDIR', 'EINVAL')) throw new Failure(EX.NO_INPUT, `${from} cannot be read`)
    throw ioFailure(error, from)
  }
  const end = buffer.subarray(0, size).indexOf(10)
  let line = buffer.slice(0, end === -1 ? size : end)
  if (line.at(-1) === 13) line = line.subarray(0, -1)
  if (line.length === 0) throw new Failure(EX.NOT_PERMITTED, `the passphrase in ${from} is empty`)
  if (line.length > PASSPHRASE_MAX) throw new Failure(EX.NOT_PERMITTED, `the passphrase in ${from} is too long`)
  return line
}

async function askTerminal(asked: PassphraseOptions): Promise<Uint8Array> {
  const { prompt = 'passphrase', confirm = false, options = '--passphrase-file FILE or --passphrase-fd N' } = asked
  let fd: number
  try {
    fd = openSync('/dev/tty', 'r+')
  } catch {
    throw new Failure(EX.NOT_PERMITTED, `a passphrase is needed and there is no terminal: use ${options}`)
  }
  const terminal = new Terminal(fd)
  try {
    const first = await terminal.ask(`${prompt}: `)
    if (first.length === 0) throw new Failure(EX.NOT_PERMITTED, `the passphrase is empty${confirm ? ': --no-passphrase does without' : ''}`)
    if (confirm && !equal(first, await terminal.ask(`${prompt} again: `))) {
      throw new Failure(EX.NOT_PERMITTED, 'the two passphrases differ')
    }
    return first
  } finally {
    terminal.close()
  }
}

/** A terminal without echo; what was typed ahead of a question stays for the next one. */
class Terminal {
  readonly #fd: number
  readonly #stream: ReadStream
  #ahead: number[] = []

  constructor(fd: number) {
    this.#fd = fd
    this.#stream = new ReadStream(fd) // owns fd from here
    this.#stream.setRawMode(true)
  }

  close(): void {
    this.#stream.setRawMode(false)
    this.#stream.destroy()
  }

  /** One line: Backspace, Ctrl-U, Ctrl-D and Ctrl-C work. */
  async ask(prompt: string): Promise<Uint8Array> {
    writeSync(this.#fd, prompt)
    try {
      const line: number[] = []
      for (;;) {
        const byte = this.#ahead.shift()
        if (byte === undefined) this.#ahead.push(...(await this.#next()))
        else if (byte === 3)
          await interrupt() // Ctrl-C
        else if (byte === 13 || byte === 10 || byte === 4) return Uint8Array.from(line)
        else if (byte === 21)
          line.length = 0 // Ctrl-U
        else if (byte === 127 || byte === 8) eraseCharacter(line)
        else if (line.length < PASSPHRASE_MAX) line.push(byte)
      }
    } finally {
      writeSync(this.#fd, '\n')
    }
  }

  #next(): Promise<Uint8Array> {
    const stream = this.#stream
    return new Promise((resolve, reject) => {
      const done = (): void => {
        stream.off('data', onData).off('end', onEnd).off('error', onError).pause()
      }
      const onData = (chunk: Uint8Array): void => {
        done()
        resolve(chunk)
      }
      const onEnd = (): void => {
        done()
        reject(new Failure(EX.NOT_PERMITTED, 'the terminal went away'))
      }
      const onError = (error: Error): void => {
        done()
        reject(ioFailure(error, '/dev/tty'))
      }
      stream.on('data', onData).on('end', onEnd).on('error', onError).resume()
    })
  }
}

function eraseCharacter(line: number[]): void {
  while (((line.at(-1) ?? 0) & 0xc0) === 0x80) line.pop() // continuation bytes of UTF-8
  line.pop()
}

/** In raw mode Ctrl-C is a byte: turned back into the signal it stands for, which the edge then handles. */
async function interrupt(): Promise<never> {
  process.kill(process.pid, 'SIGINT')
  await sleep(systemClock, 20) // signals arrive with the next turn of the loop
  throw new DOMException('interrupted', 'AbortError')
}
