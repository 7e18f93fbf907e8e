// How far a long transfer is, for whoever waits: a line on a terminal that is written over, NDJSON records on request.
// Rate and remaining time are of the last seconds, so that what an earlier call has moved counts for neither.

import type { Clock } from '../base/clock.ts'
import { printable } from '../base/text.ts'
import { isTerminal } from './descriptor.ts'
import type { Output } from './output.ts'
import { showStatus } from './words.ts'

/** ms over which the rate is taken, and between two tellings. */
const WINDOW_MS = 10_000
const EVERY_MS = 1000

export interface Step {
  id: string
  name: string
  key: string
  direction: 'in' | 'out'
  done: number
  size: number
}

interface Track {
  /** When how much was done; the first is older than the window, or the oldest there is. */
  points: { at: number; done: number }[]
  told: number
}

export interface ProgressOptions {
  clock: Clock
  out: Output
  /** Records on standard output. */
  records: boolean
  /** A line on standard error, if that is a terminal. */
  line: boolean
}

export class ProgressMeter {
  readonly #options: ProgressOptions
  readonly #tracks = new Map<string, Track>()
  #last: Promise<void> = Promise.resolve()

  constructor(options: ProgressOptions) {
    this.#options = { ...options, line: options.line && isTerminal(2) }
  }

  /** Takes note; tells at most once a second of each transfer, and its end. */
  note(step: Step): void {
    const { clock, out, records, line } = this.#options
    if (!records && !line) return
    const now = clock.monotonic()
    const over = step.done >= step.size
    const track = this.#tracks.get(step.id) ?? { points: [], told: now }
    this.#tracks.set(step.id, track)
    track.points.push({ at: now, done: step.done })
    while (track.points.length > 2 && now - (track.points[1]?.at ?? now) >= WINDOW_MS) track.points.shift()
    if (over) this.#tracks.delete(step.id)
    else if (now - track.told < EVERY_MS) return
    track.told = now
    const pace = paceOf(track.points, step)
    if (line) showStatus(over ? '' : statusLine(step, pace))
    if (records) this.#last = this.#last.then(() => out.record(progressRecord(step, pace), () => ''))
  }

  /** Nothing is under way any more; resolves when all is written. */
  end(): Promise<void> {
    if (this.#options.line) showStatus('')
    return this.#last
  }
}

interface Pace {
  /** Bytes a second. */
  rate?: number
  /** Seconds. */
  remaining?: number
}

function paceOf(points: Track['points'], { done, size }: Step): Pace {
  const [first, last] = [points[0], points.at(-1)]
  if (first === undefined || last === undefined || last.at <= first.at || last.done <= first.done) return {}
  const rate = ((last.done - first.done) * 1000) / (last.at - first.at)
  return { rate: Math.round(rate), remaining: Math.round((size - done) / rate) }
}

function progressRecord({ id, name, key, direction, done, size }: Step, pace: Pace): object {
  return { v: 1, type: 'progress', id, [direction === 'out' ? 'to' : 'from']: name, key, done, size, ...pace }
}

/** `bob  3f9a2c1b  45 %  1.2 GiB of 2.6 GiB  34.0 MiB/s  0:41 left` */
export function statusLine({ id, name, direction, done, size }: Step, { rate, remaining }: Pace): string {
  const words = [`${direction === 'out' ? 'to' : 'from'} ${name}`, id.slice(0, 8), `${Math.floor((done / size) * 100)} %`]
  words.push(`${bytes(done)} of ${bytes(size)}`)
  if (rate !== undefined && remaining !== undefined) words.push(`${bytes(rate)}/s`, `${duration(remaining)} left`)
  return printable(words.join('  '))
}

function bytes(count: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let unit = 0
  let value = count
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024
  return `${value.toFixed(unit === 0 ? 0 : 1)} ${units[unit] ?? ''}`
}

function duration(seconds: number): string {
  const two = (value: number): string => String(value).padStart(2, '0')
  const [hours, minutes, rest] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60]
  return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`
}
