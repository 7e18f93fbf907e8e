// One measured figure: the samples of both sides, their ratio, and what the ratio is held against. Speed is told, never
// asserted: whether a limit holds is a word on the line, the exit code knows nothing of it.

/** How the ratio of a figure is formed and what it must be; `aim` is what we would like. */
export interface Goal {
  /** ratio: median(ours) / median(peer). over: median(ours) - median(peer), in the unit. */
  kind: 'ratio' | 'over'
  /** less: at most `least` is good. more: at least `least` is good. */
  good: 'less' | 'more'
  least: number
  aim: number
}

export interface Side {
  what: string
  samples: number[]
  /** User and system time of the same runs, in ms each, if it was taken. */
  cpuMs?: number[]
}

export interface Figure {
  row: string
  what: string
  unit: string
  ours: Side
  /** Absent if the peer is not installed; `note` says so. */
  peer?: Side
  /** Absent if nothing is held against it. */
  goal?: Goal
  /** Whatever a reader must know: smaller counts, what was subtracted. */
  note?: string
}

/** Why this machine cannot measure a row, which is no failure of it. */
export class Unmeasured extends Error {}

export function median(samples: number[]): number {
  const sorted = samples.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? NaN) + upper) / 2
}

/** CPU time comes in ticks: only a mean of many says something. */
function mean(samples: number[]): number {
  return samples.reduce((sum, value) => sum + value, 0) / samples.length
}

function spread(samples: number[]): { min: number; median: number; max: number } {
  return { min: Math.min(...samples), median: median(samples), max: Math.max(...samples) }
}

/** Three digits that matter, whatever the size. */
function short(value: number): string {
  if (!Number.isFinite(value)) return '-'
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2
  return value.toFixed(digits)
}

const round = (value: number): number => Number(value.toPrecision(5))
const rounded = (samples: number[]): Record<string, number> =>
  Object.fromEntries(Object.entries(spread(samples)).map(([name, value]) => [name, round(value)]))

function compared(goal: Goal, ours: number[], peer: number[]): number {
  return goal.kind === 'ratio' ? median(ours) / median(peer) : median(ours) - median(peer)
}

function holds(goal: Goal, value: number, limit: number): boolean {
  return goal.good === 'less' ? value <= limit : value >= limit
}

/** The same relation of what the processors did: other people's load is not in it. */
function cpuRatio({ ours, peer }: Figure): number | undefined {
  if (ours.cpuMs === undefined || peer?.cpuMs === undefined) return undefined
  return mean(ours.cpuMs) / mean(peer.cpuMs)
}

/** Lines for people. */
export function describe(figure: Figure): string {
  const { row, what, unit, ours, peer, goal, note } = figure
  const width = Math.max(ours.what.length, peer?.what.length ?? 0)
  const line = (side: Side): string => {
    const { min, median: middle, max } = spread(side.samples)
    const cpu = side.cpuMs === undefined ? '' : `   cpu ${short(mean(side.cpuMs))} ms`
    return `    ${side.what.padEnd(width)}  ${short(min)} / ${short(middle)} / ${short(max)} ${unit}${cpu}`
  }
  const lines = [`${row}: ${what} (min / median / max of ${ours.samples.length})`, line(ours)]
  if (peer !== undefined) lines.push(line(peer))
  if (peer !== undefined && goal !== undefined) {
    const value = compared(goal, ours.samples, peer.samples)
    const sign = goal.kind === 'ratio' ? ' x' : ` ${unit} over`
    const word = holds(goal, value, goal.aim) ? 'aim reached' : holds(goal, value, goal.least) ? 'holds' : 'DOES NOT HOLD'
    const bound = goal.good === 'less' ? 'at most' : 'at least'
    const cpu = goal.kind === 'ratio' && goal.good === 'less' ? cpuRatio(figure) : undefined
    const also = cpu === undefined ? '' : ` (of cpu time: ${short(cpu)} x)`
    lines.push(`    = ${short(value)}${sign}${also}; ${bound} ${goal.least}, aim ${goal.aim}: ${word}`)
  }
  if (note !== undefined) lines.push(`    (${note})`)
  return lines.join('\n')
}

/** The same as one JSON line. */
export function record(figure: Figure): string {
  const { row, what, unit, ours, peer, goal, note } = figure
  const side = ({ what: name, samples, cpuMs }: Side): object => ({
    what: name,
    runs: samples.length,
    ...rounded(samples),
    ...(cpuMs !== undefined && { cpu_ms: round(mean(cpuMs)) }),
  })
  const value = peer === undefined || goal === undefined ? undefined : compared(goal, ours.samples, peer.samples)
  return JSON.stringify({
    row,
    figure: what,
    unit,
    ours: side(ours),
    ...(peer !== undefined && { peer: side(peer) }),
    ...(goal !== undefined && value !== undefined && { [goal.kind]: round(value) }),
    ...(peer?.cpuMs !== undefined && { cpu_ratio: round(cpuRatio(figure) ?? NaN) }),
    ...(goal !== undefined && { bound: goal.good === 'less' ? 'at most' : 'at least', least: goal.least, aim: goal.aim }),
    ...(goal !== undefined &&
      value !== undefined && { holds: holds(goal, value, goal.least), aim_reached: holds(goal, value, goal.aim) }),
    ...(note !== undefined && { note }),
  })
}
