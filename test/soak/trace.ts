// What a process reads, told by strace(1): bytes from its sockets, and bytes from files whose path fits. The process is
// the real command; strace stops it at reads only.

import { closeSync, openSync, readdirSync, readFileSync, readSync } from 'node:fs'

/** Goes in front of a command; `output` is where strace writes. */
export function traced(output: string, argv: string[]): string[] {
  const calls = 'trace=read,pread64,readv,recvfrom,recvmsg'
  return ['strace', '-f', '--seccomp-bpf', '-y', '-s', '0', '-e', calls, '-e', 'signal=none', '-o', output, ...argv]
}

/** The process that strace has started. */
export function childOf(strace: number): number {
  for (const task of readdirSync(`/proc/${strace}/task`)) {
    const [child] = readFileSync(`/proc/${strace}/task/${task}/children`, 'utf8').split(' ')
    if (child !== undefined && child !== '') return Number(child)
  }
  throw new Error('strace has no child')
}

const CALL = /^(\d+) +(\w+)\((\d+)<([^>]*)>/
const RESUMED = /^(\d+) +<\.\.\. \w+ resumed>/
const RESULT = / = (\d+)$/

/** Follows what strace writes. */
export class ReadCount {
  /** Bytes from sockets. */
  received = 0
  /** Bytes from files whose path fits. */
  read = 0
  readonly #path: string
  readonly #fits: RegExp
  #at = 0
  #rest = ''
  /** Calls that another thread's line has cut in two: where they read from, by thread. */
  readonly #unfinished = new Map<string, string>()

  constructor(path: string, fits: RegExp) {
    this.#path = path
    this.#fits = fits
  }

  /** Takes in what was written since the last look. */
  look(): void {
    const fd = openSync(this.#path, 'r')
    const block = Buffer.alloc(1 << 20)
    for (;;) {
      const size = readSync(fd, block, 0, block.length, this.#at)
      if (size === 0) break
      this.#at += size
      const lines = (this.#rest + block.toString('latin1', 0, size)).split('\n')
      this.#rest = lines.pop() ?? ''
      for (const line of lines) this.#take(line)
    }
    closeSync(fd)
  }

  #take(line: string): void {
    const call = CALL.exec(line)
    const thread = call?.[1] ?? RESUMED.exec(line)?.[1]
    if (thread === undefined) return
    const from = call?.[4] ?? this.#unfinished.get(thread) ?? ''
    if (line.endsWith('<unfinished ...>')) this.#unfinished.set(thread, from)
    const result = Number(RESULT.exec(line)?.[1] ?? 0)
    if (from.startsWith('socket:')) this.received += result
    else if (this.#fits.test(from)) this.read += result
  }
}
