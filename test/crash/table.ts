// The rows of README's reliability table that the crash sweeps give: what was done, how often, and what came of it.

/** One run as it is remembered. */
export interface Run {
  /** Of the program that was run. */
  build: string
  scene: string
  /** `THREAD CALL FAULT` or `step FATE`; with `beyond` in front: the run past the last point, without a fault. */
  series: string
  n: number
  /** How the process ended. */
  end: string
  lost: number
  doubled: number
  changed: number
  complaints?: string[]
}

const KINDS: [string, RegExp][] = [
  ['killed as it enters a system call', /^(?:main|pool) \w+ KILL$/],
  ['a system call fails: EIO, ENOSPC, EINTR', /^(?:main|pool) \w+ E[A-Z]+$/],
  ['killed within a step of the file door', /^step KILL$/],
  ['a step of the file door fails half done, the disk is full from it on, or writes in pieces', /^step (?!KILL)/],
]

/** `| what | runs | lost | doubled | changed | command |` */
export function rowsOf(runs: Run[]): string[] {
  return KINDS.flatMap(([what, series]) => {
    const mine = runs.filter((run) => series.test(run.series))
    if (mine.length === 0) return []
    const sum = (field: 'lost' | 'doubled' | 'changed'): number => mine.reduce((total, run) => total + run[field], 0)
    return [`| ${what} | ${mine.length} | ${sum('lost')} | ${sum('doubled')} | ${sum('changed')} | \`make crash\` |`]
  })
}
