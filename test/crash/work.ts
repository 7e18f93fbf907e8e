// One scene of a sweep: its points, counted, in an order of which every beginning is spread evenly over all of them, so
// that a sweep that ends early has seen an even share; and last of all the runs beyond the end of each series.

import { Cast } from './cast.ts'
import { Play, type Scene, titleOf } from './scenes.ts'
import { attempt, beyond, type Done, type Series } from './series.ts'
import { countSteps } from './steps.ts'
import { countCalls } from './strace.ts'

/** In the place of a number: the run beyond the last call or step. */
export const BEYOND = -1

/** n: of the call, from 1, or of the step, from 0. */
export interface Point {
  series: Series
  n: number
}

/** What became of a point: runs (more than one beyond the end), or there is no such call this time. */
export type Result = { runs: Done[]; gone: boolean }

export class SceneWork {
  readonly title: string
  /** Calls before the command's own first, which are no points. */
  readonly before: number
  readonly points: readonly Point[]
  readonly #cast: Cast
  readonly #play: Play
  /** Of a series that wavers: the first that was not there. */
  readonly #ends = new Map<string, number>()

  private constructor(cast: Cast, play: Play, before: number, points: Point[]) {
    this.title = titleOf(play.scene)
    this.before = before
    this.points = points
    this.#cast = cast
    this.#play = play
  }

  /** Sets the scene and counts. `bundles`: what bundle() has made. `only`: series with this in their name. */
  static async open(scene: Scene, bundles: string, only: string): Promise<SceneWork> {
    const cast = await Cast.open()
    try {
      const play = await Play.open(cast, scene)
      const { series, before } = await countCalls(cast, play)
      const all = [...series, ...(await countSteps(cast, play, bundles))].filter(({ name }) => name.includes(only))
      const points = all.flatMap((each) => each.points.map((n) => ({ series: each, n })))
      const order = spread(points.length).map((i) => points[i] as Point)
      return new SceneWork(cast, play, before, [...order, ...all.map((each) => ({ series: each, n: BEYOND }))])
    } catch (error) {
      await cast.stage.close()
      throw error
    }
  }

  /** In an earlier run of this sweep this point was not there. */
  wasGone({ series, n }: Point): void {
    this.#ends.set(series.name, Math.min(this.#ends.get(series.name) ?? Infinity, n))
  }

  get allReal(): number {
    return this.#play.allReal
  }

  get late(): readonly string[] {
    return this.#play.late
  }

  /** One after the other. Throws if the fault did not come to pass, or without a fault something was wrong. */
  async visit({ series, n }: Point): Promise<Result> {
    if (n === BEYOND) {
      const runs: Done[] = []
      for await (const done of beyond(this.#play, series)) runs.push(done)
      return { runs, gone: false }
    }
    const end = this.#ends.get(series.name) ?? Infinity
    const done = n >= end ? undefined : await attempt(this.#play, series, n)
    if (done !== undefined) return { runs: [done], gone: false }
    this.wasGone({ series, n })
    return { runs: [], gone: true }
  }

  /** Ends what runs; what the other side has left lying about, if anything. */
  async close(): Promise<string[]> {
    try {
      return await this.#play.close()
    } finally {
      await this.#cast.stage.close()
    }
  }
}

/** 0 to count - 1, so that the first k are spread evenly, for every k: by their binary digits, read backwards. */
export function spread(count: number): number[] {
  const width = Math.max(1, Math.ceil(Math.log2(Math.max(1, count))))
  const order: number[] = []
  for (let i = 0; i < 1 << width; i++) {
    let back = 0
    for (let bit = 0; bit < width; bit++) if ((i & (1 << bit)) !== 0) back |= 1 << (width - 1 - bit)
    if (back < count) order.push(back)
  }
  return order
}
