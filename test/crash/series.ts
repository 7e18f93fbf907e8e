// A series of points of one kind in one scene, and how it is swept: one run a point, each judged. A run whose fault did
// not come to pass counts for nothing and is repeated; the series ends only with a run beyond the last point that was
// counted.

import type { Doom, Miss, Play, Played } from './scenes.ts'

export interface Series {
  name: string
  /** In ascending order. */
  points: number[]
  /** As counted: with a greater number nothing happens. */
  total: number
  strike(n: number): Doom
  /** How many of them there are depends on how the two threads and the network happen to meet. */
  wavers?: boolean
}

export interface Done extends Played {
  series: string
  n: number
}

/** Runs for one point before it is given up. Wakeful threads and packets do not count alike every time. */
const TRIES = 5

/** A run without a fault: throws unless everything is as it should be. */
export async function soundly(play: Play, doom: Doom): Promise<Played> {
  const played = await play.run(doom)
  const { end, complaints, lost, doubled, changed } = played
  if (end !== '0' || complaints.length > 0 || lost + doubled + changed > 0) {
    throw new Error(`without a fault, ${lost} lost, ${doubled} doubled, ${changed} changed, end ${end}: ${complaints.join('; ')}`)
  }
  return played
}

/** Runs beyond the total until one comes through; those that did not are points as all others. */
export async function* beyond(play: Play, series: Series): AsyncGenerator<Done> {
  for (let n = series.total + 1; ; n++) {
    const played = await play.run(series.strike(n))
    if (played.missed === undefined) {
      yield { ...played, series: series.name, n }
      continue
    }
    const { complaints, lost, doubled, changed } = played
    if (complaints.length > 0 || lost + doubled + changed > 0) throw new Error(`beyond the last point of ${series.name}: ${complaints.join('; ')}`)
    return
  }
}

/** `count` of all points, evenly spread, the first of them where the seed says. */
export function pick(all: Series[], count: number, seed: number): { series: Series; n: number }[] {
  const points = all.flatMap((series) => series.points.map((n) => ({ series, n })))
  const step = points.length / count
  const picked = Array.from({ length: count }, (_, i) => points[Math.floor(seed + i * step) % points.length])
  return picked.filter((point) => point !== undefined)
}

/** One point. Undefined if it turns out to lie beyond the last one. */
export async function attempt(play: Play, series: Series, n: number): Promise<Done | undefined> {
  const misses: Miss[] = []
  for (let tries = 0; tries < TRIES; tries++) {
    const played = await play.run(series.strike(n))
    if (played.missed === undefined) return { ...played, series: series.name, n }
    misses.push(played.missed)
  }
  if (series.wavers === true && misses.every(({ made, wanted }) => made < wanted)) return undefined
  throw new Error(`${series.name} ${n}: ${misses.map(({ why }) => why).join('; ')}`)
}
