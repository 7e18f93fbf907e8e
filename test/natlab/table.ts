// What the matrix of NATs has measured, as Markdown: for each pair of kinds, and for each condition, how many of the
// rounds were delivered, after how long, and with how many datagrams. Pure. What was not run is said to be so.

/** One cell of the matrix as a line of JSON: what `make natmatrix` keeps. */
export interface Cell {
  readonly v: 1
  readonly type: 'natmatrix'
  /** `A:B`, or the name of a condition. */
  readonly cell: string
  /** RFC 3339, when it ended. */
  readonly at: string
  readonly rounds: readonly Round[]
}

export interface Round {
  /** The side that wrote. */
  readonly from: 'a' | 'b'
  readonly outcome: 'delivered' | 'refused' | 'wrong'
  /** From the message accepted to its receipt; of a refusal to the moment it was told. */
  readonly seconds?: number
  /** deferred.reason of a refusal; of what is wrong, what it is. */
  readonly reason?: string
  /** Openers, hellos and answers that either side sent, from the start of the first listener to the end. */
  readonly packets?: number
  /** Of them, openers that came to the other side's router. */
  readonly strays?: number
  /** What carried the session. */
  readonly over?: string
}

/** Kinds of natlab.sh, in the order of the table. */
export const KINDS = ['open', 'fw', 'full', 'addr', 'upnp', 'cone', 'coneopen', 'eim', 'cgn', 'sym', 'cgnsym', 'fw6'] as const

/** All pairs, each once. */
export function pairs(): string[] {
  return KINDS.flatMap((a, i) => KINDS.slice(i).map((b) => `${a}:${b}`))
}

export function median(values: readonly number[]): number | undefined {
  const sorted = values.toSorted((x, y) => x - y)
  const [low, high] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]]
  return low === undefined || high === undefined ? undefined : (low + high) / 2
}

const digits = (value: number): string => value.toFixed(value < 10 ? 1 : 0)

interface Sum {
  readonly share: string
  readonly median: string
  readonly max: string
  readonly packets: string
  readonly reasons: string
}

function sum({ rounds }: Cell): Sum {
  const delivered = rounds.filter(({ outcome }) => outcome === 'delivered')
  const times = delivered.flatMap(({ seconds }) => seconds ?? [])
  const packets = median(delivered.flatMap((round) => (round.packets === undefined ? [] : [round.packets / 2])))
  const reasons = rounds.filter(({ outcome }) => outcome !== 'delivered').map(({ reason = '?' }) => reason)
  return {
    share: `${delivered.length}/${rounds.length}`,
    median: times.length === 0 ? '' : `${digits(median(times) ?? 0)} s`,
    max: times.length === 0 ? '' : `${digits(Math.max(...times))} s`,
    packets: packets === undefined ? '' : String(Math.round(packets)),
    reasons: [...new Set(reasons)].join(', '),
  }
}

/** delivered/rounds, the median of the seconds, datagrams a side; a refusal by its reason. */
function short(cell: Cell | undefined): string {
  if (cell === undefined) return 'not run'
  const { share, median: time, packets, reasons } = sum(cell)
  return [share, time, packets].filter(Boolean).join(' · ') + (reasons === '' ? '' : ` ${reasons}`)
}

/** The latest cell of each name. */
export function latest(cells: readonly Cell[]): Map<string, Cell> {
  const found = new Map<string, Cell>()
  for (const cell of cells) found.set(cell.cell, cell)
  return found
}

const row = (words: readonly string[]): string => `| ${words.join(' | ')} |`

/** The pairs as a triangle: who is above in the list stands left. */
export function pairTable(cells: readonly Cell[]): string {
  const known = latest(cells)
  const head = [row(['', ...KINDS]), row(['---', ...KINDS.map(() => '---')])]
  const lines = KINDS.map((a, i) =>
    row([`**${a}**`, ...KINDS.map((b, j) => (j < i ? '' : short(known.get(`${a}:${b}`))))]),
  )
  return [...head, ...lines].join('\n')
}

/** A line for each condition, by its name, with what it is. */
export function conditionTable(cells: readonly Cell[], about: Readonly<Record<string, string>>): string {
  const known = latest(cells)
  const lines = Object.entries(about).map(([name, text]) => {
    const cell = known.get(name)
    if (cell === undefined) return row([text, 'not run', '', '', ''])
    const { share, median: time, max, packets, reasons } = sum(cell)
    return row([text, share + (reasons === '' ? '' : ` ${reasons}`), time, max, packets])
  })
  return [row(['condition', 'delivered', 'median', 'longest', 'datagrams a side']), row(['---', '---', '---', '---', '---']), ...lines].join('\n')
}
