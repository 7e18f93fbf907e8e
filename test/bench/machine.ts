// Where and of what something was measured.

import { execFileSync } from 'node:child_process'
import { cpus, loadavg, release, totalmem } from 'node:os'

import { quick } from './scale.ts'

export function machine(): Record<string, unknown> {
  let commit: string | undefined
  try {
    commit = execFileSync('git', ['describe', '--always', '--dirty'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
  } catch {
    // not from a checkout
  }
  return {
    row: 'machine',
    node: process.version,
    kernel: release(),
    processors: cpus().length,
    model: cpus()[0]?.model,
    memory_mib: Math.round(totalmem() / 2 ** 20),
    load: loadavg().map((value) => Number(value.toFixed(2))),
    commit,
    quick,
  }
}
