// The rows of README's reliability table that the crash sweeps give: what was done, how often, and what came of it.

import type { Proof, ProofName } from '../reliability.ts'

/** One run as it is remembered. */
export interface Run {
  /** Of the program that was run. */
  build: string
  scene: string
  /** `THREAD CALL FAULT` or `step FATE` */
  series: string
  /** Of the call or step in its series; -1: past the last one, until a run without a fault. */
  n: number
  /** How the process ended. */
  end: string
  lost: number
  doubled: number
  changed: number
  complaints?: string[]
  /** There was no such call: how many there are is not the same every time. */
  gone?: boolean
}

const KINDS: [ProofName, string, RegExp][] = [
  ['crash KILL', 'killed as it enters a system call', /^(?:main|pool) \w+ KILL$/],
  ['crash error', 'a system call fails: EIO, ENOSPC, EINTR', /^(?:main|pool) \w+ E[A-Z]+$/],
  ['step KILL', 'killed within a step of the file door', /^step KILL$/],
  ['step error', 'a step of the file door fails half done, the disk is full from it on, or writes in pieces', /^step (?!KILL)/],
]

/** Of each kind that was done. `share`: of all points, if not all were visited. */
export function proofsOf(runs: Run[], share?: number): [ProofName, Proof][] {
  const part = share === undefined ? '' : `; ${(100 * share).toFixed(1)} % of all points, evenly spread`
  return KINDS.flatMap(([name, what, series]): [ProofName, Proof][] => {
    const mine = runs.filter((run) => run.n >= 0 && run.gone !== true && series.test(run.series))
    if (mine.length === 0) return []
    const sum = (field: 'lost' | 'doubled' | 'changed'): number => mine.reduce((total, run) => total + run[field], 0)
    const counts = { count: mine.length, lost: sum('lost'), doubled: sum('doubled'), changed: sum('changed') }
    return [[name, { what: `real commands: ${what}${part}`, ...counts, command: 'make crash' }]]
  })
}
