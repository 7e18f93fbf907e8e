// What the matrix of NATs has measured, as Markdown: for each pair of kinds, and for each condition, how many of the
// rounds were delivered, after how long, and with how many datagrams. Pure. What was not run is said to be so.

export interface Round {
  /** The side that wrote. */
  readonly from: 'a' | 'b'
  readonly outcome: 'delivered' | 'refused' | 'wrong'
  /** From the message accepted to its receipt; of a refusal to the moment it was told. */
  readonly seconds?: number
  /** deferred.reason of a refusal; of what is wrong, what it is. */
  readonly reason?: string
  /** Openers, hellos and answers that the two sides sent, from the start of the first listener to the end. */
  readonly packets: number
  /** Openers, or datagrams as long, that came to the other side's router. */
  readonly strays: number
  /** What carried the session. */
  readonly over?: string
}

/** One cell of the matrix as a line of JSON: what `make natmatrix` keeps. */
export interface Cell {
  readonly v: 1
  readonly type: 'natmatrix'
  /** `A:B`, or the name of a condition. */
  readonly cell: string
  /** RFC 3339, when it ended. */
  readonly at: string
  readonly rounds: number
  readonly delivered: number
  /** Of the delivered rounds, sorted. */
  readonly seconds: readonly number[]
  /** Datagrams a side, the median of the delivered rounds. */
  readonly packets?: number
  readonly strays: number
  /** How many rounds were refused, by the reason. */
  readonly refused: Readonly<Record<string, number>>
  /** The longest of them, to the moment the sender was told. */
  readonly told?: number
  /** What must not happen. */
  readonly wrong: readonly string[]
  /** How many sessions, by what carried them. */
  readonly over: Readonly<Record<string, number>>
}

function count(words: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const word of words) counts[word] = (counts[word] ?? 0) + 1
  return counts
}

const round2 = (value: number): number => Math.round(value * 100) / 100

export function cellOf(cell: string, at: string, rounds: readonly Round[]): Cell {
  const of = (outcome: Round['outcome']): Round[] => rounds.filter((round) => round.outcome === outcome)
  const [delivered, refused] = [of('delivered'), of('refused')]
  const packets = median(delivered.map((round) => round.packets / 2))
  const told = refused.map(({ seconds = 0 }) => seconds)
  return {
    v: 1,
    type: 'natmatrix',
    cell,
    at,
    rounds: rounds.length,
    delivered: delivered.length,
    seconds: delivered.map(({ seconds = 0 }) => round2(seconds)).toSorted((x, y) => x - y),
    ...(packets !== undefined && { packets: Math.round(packets) }),
    strays: rounds.reduce((sum, { strays }) => sum + strays, 0),
    refused: count(refused.map(({ reason = '' }) => reason)),
    ...(told.length > 0 && { told: round2(Math.max(...told)) }),
    wrong: of('wrong').map(({ reason = '' }) => reason),
    over: count(rounds.flatMap(({ over }) => over ?? [])),
  }
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

/** A refusal by its reason, what is wrong by name. */
function flaws({ refused, wrong }: Cell): string {
  return [...Object.keys(refused), ...wrong.map((what) => `WRONG: ${what}`)].join(', ')
}

const time = (seconds: number | undefined): string => (seconds === undefined ? '' : `${digits(seconds)} s`)

/** delivered/rounds, the median of the seconds, datagrams a side. */
function short(cell: Cell | undefined): string {
  if (cell === undefined) return 'not run'
  const { delivered, rounds, seconds, packets } = cell
  const words = [`${delivered}/${rounds}`, time(median(seconds)), packets === undefined ? '' : String(packets), flaws(cell)]
  return words.filter(Boolean).join(' ')
}

/** Lines of JSON, as they are kept. */
export function readCells(text: string): Cell[] {
  return text.split('\n').filter(Boolean).map((line) => JSON.parse(line) as Cell)
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
    const { delivered, rounds, seconds, packets } = cell
    const share = [`${delivered}/${rounds}`, flaws(cell)].filter(Boolean).join(' ')
    return row([text, share, time(median(seconds)), time(seconds.at(-1)), packets === undefined ? '' : String(packets)])
  })
  return [row(['condition', 'delivered', 'median', 'longest', 'datagrams a side']), row(['---', '---', '---', '---', '---']), ...lines].join('\n')
}
