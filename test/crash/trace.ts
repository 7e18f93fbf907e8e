// What strace says about a command: which system calls its threads made, in which order, and how it ended.

import { spawnSync } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'

import { pause } from '../peer.ts'
import type { Cast } from './cast.ts'

/** strace itself ends right after the process. */
const PATIENCE_MS = 20_000

/** One thread for files beside the main one, whatever the machine has. */
export const TWO_THREADS = { UV_THREADPOOL_SIZE: '1', UV_USE_IO_URING: '0' }

/** Why commands cannot be traced here; undefined if they can. */
export function whyNoStrace(): string | undefined {
  const ran = spawnSync('strace', ['-D', '-f', '-o', '/dev/null', '-e', 'trace=openat', '-e', 'inject=openat:signal=KILL', 'true'])
  if (ran.error !== undefined) return 'strace is not installed'
  return ran.signal === 'SIGKILL' ? undefined : `strace may not trace here: ${String(ran.stderr).trim()}`
}

export interface Traced {
  tid: number
  call: string
  /** Arguments and result. */
  rest: string
  /** Lines of the trace on which it began and ended. */
  begin: number
  end: number
}

export interface Trace {
  calls: Traced[]
  /** `exited with 0`, `killed by SIGKILL` */
  end: string
}

let serial = 0

/** A trace to be: what stands before a command to make it, and how to read it when the command is over. */
export class Tracing {
  readonly #path: string
  /** The command is the parent of strace, not the other way round: signals and exit codes are those of the command. */
  readonly argv: string[]

  constructor(cast: Cast, calls: readonly string[], more: string[]) {
    this.#path = join(cast.stage.dir, `trace-${++serial}`)
    this.argv = ['strace', '-D', '-f', '-q', '-s', '200', '-o', this.#path, '-e', `trace=${calls.join(',')}`, ...more]
  }

  /** Everything, once it is there. */
  async read(pid: number): Promise<Trace> {
    for (const late = performance.now() + PATIENCE_MS; ; ) {
      const text = readFileSync(this.#path, 'latin1')
      const end = new RegExp(`^${pid} +\\+\\+\\+ (.*) \\+\\+\\+$`, 'm').exec(text)?.[1]
      if (end !== undefined) {
        rmSync(this.#path)
        return { calls: parse(text), end }
      }
      if (performance.now() > late) throw new Error(`strace did not end: ${text.slice(-500)}`)
      await pause(5)
    }
  }
}

function parse(text: string): Traced[] {
  const calls: Traced[] = []
  const last = new Map<number, Traced>()
  for (const [at, line] of text.split('\n').entries()) {
    const [, id, name, begun = '', resumed] = /^(\d+) +(?:(\w+)(\(.*)|<\.\.\. \w+ resumed>(.*))$/.exec(line) ?? []
    const tid = Number(id)
    if (name !== undefined) {
      const call = { tid, call: name, rest: begun.replace(/ <unfinished \.\.\.>$/, ''), begin: at, end: at }
      calls.push(call)
      last.set(tid, call)
    } else if (resumed !== undefined) {
      const call = last.get(tid)
      if (call !== undefined) Object.assign(call, { rest: call.rest + resumed, end: at })
    }
  }
  return calls
}
