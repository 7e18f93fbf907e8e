// A program on a terminal that script(1) makes: how long until something stands there, and what memory it has had at
// most by then and later.

import { spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'

export interface Shown {
  pid: number
  /** From its start to each of the words standing on the screen. */
  ms: number[]
  /** Processor time of all its threads when the last of them stood there. */
  cpuMs: number
  /** The most that has been resident so far, MiB. */
  peakMiB: () => number
  type: (text: string) => void
  /** The latest million characters that were written to it. */
  output: () => string
  until: (word: string) => Promise<void>
  /** Ctrl-C, and its end. */
  leave: () => Promise<void>
}

/** By the scheduler's count, in nanoseconds: ticks of 10 ms are too coarse for one start. */
function runMs(pid: number): number {
  const tasks = readdirSync(`/proc/${pid}/task`)
  return tasks.reduce((sum, task) => sum + Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'latin1').split(' ')[0]), 0) / 1e6
}

const quoted = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`

/**
 * Starts `argv` on 80 columns and 24 rows, with `typed` waiting for it, and waits until all these words were written to
 * it, one after the other. The terminal echoes nothing: what shows, the program has drawn.
 */
export async function onScreen(argv: string[], env: Record<string, string>, words: string[], typed = ''): Promise<Shown> {
  const script = `stty rows 24 cols 80 -echo; echo pid $$; exec ${argv.map(quoted).join(' ')}`
  const child = spawn('script', ['-qfc', script, '/dev/null'], {
    env: { PATH: process.env['PATH'] ?? '', HOME: '/nonexistent', TERM: 'xterm', SHELL: '/bin/sh', LC_ALL: 'C.UTF-8', ...env },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  let output = ''
  let tell = (): void => undefined
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output = (output + text).slice(-1_000_000)
    tell()
  })
  const ended = new Promise<void>((resolve) => child.on('exit', () => resolve()))
  const until = async (word: string): Promise<void> => {
    for (let over = false; !output.includes(word); ) {
      if (over) throw new Error(`${argv.join(' ')} ended without '${word}': ${output}`)
      await Promise.race([new Promise<void>((resolve) => (tell = resolve)), ended.then(() => void (over = true))])
    }
  }
  await until('pid ')
  const start = performance.now()
  if (typed !== '') child.stdin.write(typed)
  const ms: number[] = []
  for (const word of words) {
    await until(word)
    ms.push(performance.now() - start)
  }
  const pid = Number(/pid (\d+)/.exec(output)?.[1])
  return {
    pid,
    ms,
    cpuMs: runMs(pid),
    peakMiB: () => Number(/^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]) / 1024,
    type: (text) => void child.stdin.write(text),
    output: () => output,
    until: (word) => {
      output = ''
      return until(word)
    },
    async leave() {
      child.stdin.write('\u0003')
      await ended
    },
  }
}
