// Every state that crashes can lead to: breadth first from two fresh homes, so that each pair of states is met with as
// few crashes behind it as possible. From each pair both sides live on; at every point of that life, and at every pair
// of points that can have been at the same time, everything may crash: each side is left in what it has written, or in
// what a power cut makes of that, in every legal way. Equal states are one. Beside these come crashes of one side, or
// of the connection, that the other side lives to see.

import { type Blow, Course, type Index, type Point, Tree } from './course.ts'
import type { Disk } from './disk.ts'
import { type Fault, faultOf, type Judged, judge } from './judge.ts'
import { seeded } from './homes.ts'
import { keyOf } from './sidestate.ts'
import { Trial, type World } from './trial.ts'

export interface Limits {
  /** Crashes one after the other. */
  crashes: number
  /** As long as there are fewer crashes than this, also those that one side lives to see. */
  blows: number
  /** Pairs after which it ends, unfinished. */
  pairs?: number
  /** End at the first fault. */
  first?: boolean
  /** Outcomes of a power cut that are looked at, of each state; all without. */
  outcomes?: number
}

export interface Found {
  /** Different pairs of disks from which the two sides found together; all but the first are left by crashes. */
  pairs: number
  /** Of these by the number of crashes before. */
  byCrashes: number[]
  /** Different states of each side, crashed or not. */
  states: number[]
  /** Crashes that one side lived to see. */
  blows: number
  /** Lives that were run; all others got the same answers from their disks as one of these. */
  run: number
  /** Lives that were found by what is known of their two sides: see Tree.jump(). */
  jumped: number
  complete: boolean
  faults: { fault: Fault; story: string[] }[]
}

/** Of so many lives that were found without a disk one is gone through on disks as well. */
const SPOT_CHECK = 50

/** Two numbers as one. */
const FACTOR = 2 ** 24
const pairOf = (a: number, b: number): number => a * FACTOR + b

export class Explorer {
  readonly #world: World
  readonly #limits: Limits
  readonly #struck = new Set<string>()
  readonly #expanded = new Set<number>()
  /** By pair: from where it was reached. */
  readonly #known = new Map<number, number>()
  readonly #trees = new Map<string, Tree>()
  /** By the pair of states at the end of a life. */
  readonly #judged = new Map<number, Fault[]>()
  #next: number[] = []
  readonly found: Found = { pairs: 0, byCrashes: [], states: [], blows: 0, run: 0, jumped: 0, complete: true, faults: [] }

  constructor(world: World, limits: Limits) {
    this.#world = world
    this.#limits = limits
    for (const states of world.states) states.most = limits.outcomes ?? Infinity
  }

  async run(): Promise<Found> {
    const { found } = this
    const { crashes, first } = this.#limits
    this.#known.set(pairOf(0, 0), -1)
    this.#next = [pairOf(0, 0)]
    for (let depth = 0; depth <= crashes && this.#next.length > 0; depth++) {
      const present = first === true ? shuffled(this.#next) : this.#next
      found.byCrashes.push(present.length)
      this.#next = []
      for (const pair of present) {
        await this.#live(Math.floor(pair / FACTOR), pair % FACTOR, depth)
        if (first === true && found.faults.length > 0) return this.#finish(false)
        if (this.#known.size > (this.#limits.pairs ?? Infinity)) return this.#finish(false)
      }
    }
    return this.#finish(true)
  }

  #finish(complete: boolean): Found {
    const { states } = this.#world
    return Object.assign(this.found, { pairs: this.#known.size, states: states.map(({ all }) => all.length), complete })
  }

  async #live(a: number, b: number, depth: number): Promise<void> {
    const last = depth >= this.#limits.crashes
    for (const [i, number] of [a, b].entries()) {
      const { torn } = this.#world.states[i as Index].get(number)
      if (torn !== undefined) this.#fault(faultOf(torn), a, b)
    }
    for (const states of this.#world.states) states.keeping = !last
    if (last && (await this.#jump(a, b))) return
    const course = await this.#pass(a, b)
    if (last) return
    this.#expandAll(course, a, b)
    if (depth < this.#limits.blows) await this.#strike(course, a, b)
  }

  /** A life of which only the end counts, and whose way there is known. False if it is not. */
  async #jump(a: number, b: number): Promise<boolean> {
    const there = this.#tree().jump([a, b])
    if (there === undefined || !this.#canJudge(there.pair)) return false
    this.found.jumped++
    if (this.found.jumped % SPOT_CHECK === 0) await this.#check(a, b, there)
    await this.#judge(a, b, undefined, there.faults, there.pair)
    return true
  }

  /** On the disks themselves it must come to the same. */
  async #check(a: number, b: number, there: { faults: readonly string[]; pair: readonly [number, number] }): Promise<void> {
    const course = new Course(this.#world.states, [a, b])
    const faults = this.#tree().follow(course)
    const ends = course.sides.map(({ state }) => state)
    if (faults !== there.faults || ends[0] !== there.pair[0] || ends[1] !== there.pair[1]) {
      throw new Error(`life from ${a} and ${b} ends in ${ends.join(' and ')}, not ${there.pair.join(' and ')}`)
    }
  }

  #tree(blow?: Blow): Tree {
    const key = blow === undefined ? '' : `${blow.after} ${blow.side} ${blow.state !== undefined}`
    let tree = this.#trees.get(key)
    if (tree === undefined) this.#trees.set(key, (tree = new Tree()))
    return tree
  }

  /** One life, run only as far as it is new. */
  async #pass(a: number, b: number, blow?: Blow): Promise<Course> {
    const { states } = this.#world
    const tree = this.#tree(blow)
    let course = new Course(states, [a, b], blow)
    let faults = tree.follow(course)
    if (faults === undefined) {
      course = new Course(states, [a, b], blow)
      faults = await new Trial(this.#world, course, tree.recorder()).run()
      this.found.run++
    }
    const [first, second] = course.sides
    for (const { states: own, state, disk } of course.sides) own.lend(state, disk)
    await this.#judge(a, b, blow, [...faults, ...course.faults], [first.state, second.state])
    return course
  }

  /** What is at the end of it. */
  async #judge(
    a: number,
    b: number,
    blow: Blow | undefined,
    faults: readonly string[],
    pair: readonly [number, number],
  ): Promise<void> {
    const all = faults.map(faultOf)
    const key = pairOf(...pair)
    if (all.length === 0) {
      let own = this.#judged.get(key)
      if (own === undefined) this.#judged.set(key, (own = await judge(this.#world, [this.#side(0, pair[0]), this.#side(1, pair[1])])))
      all.push(...own)
    }
    for (const fault of all) this.#fault(fault, a, b, blow)
  }

  #fault(fault: Fault, a: number, b: number, blow?: Blow): void {
    if (this.found.faults.length < 20) this.found.faults.push({ fault, story: this.#story(a, b, blow) })
  }

  /** All pairs of points that can have been at the same time: what one side has heard, the other has done. */
  #expandAll({ sides }: Course, a: number, b: number): void {
    const [first, second] = sides.map(({ points }) => points) as [Point[], Point[]]
    let low = 0
    for (const [j, q] of second.entries()) {
      low = Math.max(low, q.needs)
      for (let i = low; i < first.length; i++) {
        const p = first[i] as Point
        if (p.needs > j) break
        this.#expand(p, q, pairOf(a, b))
      }
    }
  }

  /** Everything crashes here. */
  #expand(p: Point, q: Point, from: number): void {
    const key = pairOf(p.state, q.state)
    if (this.#expanded.has(key)) return
    this.#expanded.add(key)
    const [first, second] = this.#world.states
    const left = second.after(q.state)
    for (const x of first.after(p.state)) {
      for (const y of left) {
        const pair = pairOf(x, y)
        if (this.#known.has(pair)) continue
        this.#known.set(pair, from)
        this.#next.push(pair)
      }
    }
  }

  async #strike(course: Course, a: number, b: number): Promise<void> {
    const { states } = this.#world
    const at: [number, number] = [a, b]
    const counts = [0, 0]
    // Alone nobody lives to see anything.
    const begin = Math.max(0, course.begun[0] + course.begun[1] - 2)
    for (const [step, index] of course.order.entries()) {
      counts[index] = (counts[index] ?? 0) + 1
      at[index] = course.sides[index].points[counts[index] as number]?.state ?? 0
      if (step + 1 < begin) continue
      const blows: Blow[] = [{ after: step + 1, side: undefined, state: undefined }]
      for (const side of [0, 1] as const) {
        for (const state of states[side].after(at[side])) {
          blows.push({ after: step + 1, side, state: state === at[side] ? undefined : state })
        }
      }
      for (const blow of blows) {
        const key = `${at[0]} ${at[1]} ${blow.side} ${blow.state}`
        if (this.#struck.has(key)) continue
        this.#struck.add(key)
        this.found.blows++
        this.#expandAll(await this.#pass(a, b, blow), a, b)
      }
    }
  }

  #canJudge(pair: readonly [number, number]): boolean {
    const { states } = this.#world
    return this.#judged.has(pairOf(...pair)) || pair.every((number, i) => states[i as Index].get(number).kept !== undefined)
  }

  #side(index: Index, number: number): Judged {
    const states = this.#world.states[index]
    return { disk: states.diskOf(number) as Disk, told: states.get(number).told, home: states.home }
  }

  /** The states on the way to a fault, the first last. */
  #story(a: number, b: number, blow?: Blow): string[] {
    const lines: string[] = blow === undefined ? [] : [JSON.stringify(blow)]
    const { states } = this.#world
    for (let pair = pairOf(a, b); pair >= 0; pair = this.#known.get(pair) ?? -1) {
      const x = Math.floor(pair / FACTOR)
      const y = pair % FACTOR
      const keys = [x, y].map((number, i) => {
        const { disk, told, home } = this.#side(i as Index, number)
        return keyOf(disk, home, told)
      })
      lines.push(`a${x}: ${keys[0]}`, `b${y}: ${keys[1]}`)
      const show = (node: ReturnType<Disk['find']>, path: string): void => {
        if (node?.kind === 'dir') for (const [name, inner] of node.entries) show(inner, `${path}/${name}`)
        else if (node !== undefined) lines.push(`   ${path.replace(/[0-9a-zA-Z]{30,}/g, (x) => x.slice(0, 6))} ${node.data.length} ${JSON.stringify(Buffer.from(node.data).toString('latin1').replace(/\0+/g, (z) => `<${z.length}>`)).slice(0, 150)} ${node.writes.length}`)
      }
      show(states[1].diskOf(y)?.find('/b/part'), '')
    }
    return lines
  }
}

/** What is hunted may be anywhere. */
function shuffled(pairs: number[]): number[] {
  const dice = seeded(pairs.length)
  for (let i = pairs.length - 1; i > 0; i--) {
    const j = Math.floor(dice.next() * (i + 1))
    ;[pairs[i], pairs[j]] = [pairs[j] as number, pairs[i] as number]
  }
  return pairs
}
