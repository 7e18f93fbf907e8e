// One life, run: both sides start, find each other, and go on until nothing is left to do. What runs is the shipped
// code: opening the home and the inbox (with its repairs), accepting into the queue, a Session at each end of a Link.

import { Station } from '../../lib/delivery/station.ts'
import type { Session } from '../../lib/delivery/session.ts'
import { acceptAll } from '../../lib/disk/accept.ts'
import { type Home, openHome } from '../../lib/disk/home.ts'
import type { Keyring } from '../../lib/disk/keyring.ts'
import { discard, type PartSource, stageBody } from '../../lib/disk/staging.ts'
import type { Random } from '../../lib/base/random.ts'
import type { Blow, Course, Event, Index, Recorder } from './course.ts'
import { suffixBytes, tagBytes } from './course.ts'
import { seeded } from './homes.ts'
import { links, Wire } from './link.ts'
import { type Host, Machine, never, type Proc } from './machine.ts'
import type { Answer, Op } from './ops.ts'
import type { SideStates } from './sidestate.ts'
import { nodeSuite } from './suite.ts'
import { Timeline } from './timeline.ts'

/** Virtual ms after which a life that does not end is stuck. */
const PATIENCE_MS = 600_000

/** Sessions after which it should be done. */
const MEETINGS = 4

/** A message of a scenario. */
export interface Post {
  from: Index
  parts: PartSource[]
}

export interface Scenario {
  name: string
  /** What was exchanged before, in the same form; it is read and deleted. */
  before: Post[][]
  /** What is accepted together, one call of p2p-send after the other. */
  batches: Post[][]
}

/** The first side calls, the second listens. */
export interface World {
  scenario: Scenario
  keyrings: readonly [Keyring, Keyring]
  states: readonly [SideStates, SideStates]
  /** The ids of its messages; found out in the first life. */
  ids: string[]
}

class Person {
  readonly index: Index
  readonly machine: Machine
  process: Proc | undefined
  station: Station | undefined
  /** What it has delivered is nobody's business any more: a mail program may have it. */
  open = false

  constructor(index: Index, machine: Machine) {
    this.index = index
    this.machine = machine
  }
}

export class Trial implements Host {
  readonly time = new Timeline()
  readonly #world: World
  readonly #course: Course
  readonly #recorder: Recorder
  readonly #persons: readonly [Person, Person]
  readonly #faults: string[] = []
  /** An fsync takes until nothing else can go on. */
  readonly #syncs: { process: Proc; number: number; resolve: (answer: undefined) => void }[] = []
  #wire: Wire | undefined
  /** Has just fallen. */
  #blow: Blow | undefined
  #error: unknown
  #onDeath: () => void = () => undefined

  constructor(world: World, course: Course, recorder: Recorder) {
    this.#world = world
    this.#course = course
    this.#recorder = recorder
    this.#persons = [this.#person(0), this.#person(1)]
    course.onBlow = (blow) => {
      this.#blow = blow
    }
  }

  #strike({ side }: Blow): void {
    if (side === undefined) return this.#wire?.cut()
    const hit = this.#persons[side]
    hit.machine.boot = this.#course.sides[side].boot
    hit.process?.die()
    hit.station = undefined
    hit.open = false
  }

  #person(index: Index): Person {
    return new Person(index, new Machine(index === 0 ? 'a' : 'b', this, () => false))
  }

  // Host

  perform(process: Proc, op: Op): Promise<Answer> {
    if (!process.alive) return never()
    const person = this.#of(process)
    this.#watch(person, op)
    let answer: Answer
    try {
      answer = this.#event(person, op)
    } catch (error) {
      return Promise.reject(error as Error)
    }
    if (!process.alive) return never()
    if (op.do !== 'sync' && op.do !== 'syncDir') return Promise.resolve(answer)
    if (typeof answer !== 'number') return Promise.resolve(undefined)
    return new Promise((resolve) => this.#syncs.push({ process, number: answer, resolve }))
  }

  soon(process: Proc, run: () => void): void {
    queueMicrotask(() => {
      if (process.alive) run()
    })
  }

  #event(person: Person, event: Event): Answer {
    const answer = this.#recorder.apply(this.#course, person.index, event)
    const blow = this.#blow
    this.#blow = undefined
    if (blow !== undefined) this.#strike(blow)
    return answer
  }

  #of(process: Proc): Person {
    return this.#persons[process.machine.name === 'a' ? 0 : 1]
  }

  /** Ends the fsync that began first. */
  #sync(): boolean {
    const sync = this.#syncs.shift()
    if (sync === undefined) return false
    const { process, number, resolve } = sync
    if (!process.alive) return true
    this.#event(this.#of(process), { do: 'synced', number })
    if (process.alive) resolve(undefined)
    return true
  }

  #watch({ open, machine }: Person, op: Op): void {
    const looks = op.do === 'stat' || op.do === 'read' || op.do === 'open'
    if (open && looks && /^\/inbox\/(?:new|cur)\//.test(op.path.slice(machine.home.length))) {
      this.#faults.push(`error ${op.do} of ${op.path}: delivery looks at delivered mail`)
    }
  }

  // The life

  /** Both sides, until nothing is left to do. */
  run(): Promise<readonly string[]> {
    return this.#run(() => this.#live())
  }

  /** One side alone, as far as it goes without the other. */
  open(index: Index): Promise<readonly string[]> {
    return this.#run(() => this.#start(this.#persons[index]))
  }

  async #run(life: () => Promise<void>): Promise<readonly string[]> {
    let over = false
    const living = life()
      .catch((error: unknown) => {
        this.#error = error
      })
      .finally(() => (over = true))
    for (;;) {
      await new Promise<void>((resolve) => process.nextTick(resolve)) // when all that can run now has run
      if (over) break
      if (this.#sync()) continue
      if (this.time.now > PATIENCE_MS || !this.time.step()) {
        this.#faults.push(`stuck after ${this.time.now} ms`)
        break
      }
    }
    if (over) await living
    const error = this.#error
    if (error !== undefined) this.#faults.push(`error ${error instanceof Error ? (error.stack ?? error.message) : 'of no class'}`)
    this.#recorder.end(this.#faults)
    return this.#faults
  }

  async #live(): Promise<void> {
    const [caller, listener] = this.#persons
    for (let meeting = 0; meeting < MEETINGS; meeting++) {
      const whole = await this.#unlessDead(async () => {
        if (listener.station === undefined) await this.#start(listener)
        if (caller.station === undefined) await this.#start(caller)
        return this.#meet()
      })
      if (whole === true) return
    }
    this.#faults.push('stuck: they meet and meet and are never done')
  }

  /** What `work` gives; undefined if a process dies meanwhile. */
  #unlessDead<T>(work: () => Promise<T>): Promise<T | undefined> {
    return new Promise((resolve, reject) => {
      this.#onDeath = () => resolve(undefined)
      work().then(resolve, reject)
    })
  }

  /** A process that opens the home, with what a crash has left in it, and the messages that nobody tried to send yet. */
  async #start(person: Person): Promise<void> {
    const { index, machine } = person
    const pid = this.#event(person, { do: 'start' }) as number
    const process = machine.start(this.#random(person), pid)
    process.onDeath.add(() => this.#onDeath())
    person.process = process
    const home = await openHome({ flag: machine.home, env: {} }, process.doors)
    const station = await Station.open(home, this.#world.keyrings[index])
    await station.inbox()
    person.open = true
    await this.#send(person, home)
    person.station = station
    this.#event(person, { do: 'opened' })
  }

  #random(person: Person): Random {
    const rest = seeded(7)
    let [tag, suffix] = [-1, -1]
    return {
      bytes: (size) => {
        if (size === 8) return tagBytes((tag = this.#event(person, { do: 'tag', above: tag }) as number))
        if (size === 6) return suffixBytes((suffix = this.#event(person, { do: 'suffix', above: suffix }) as number))
        return rest.bytes(size)
      },
    }
  }

  async #send(person: Person, home: Home): Promise<void> {
    const { scenario, keyrings } = this.#world
    const { self } = keyrings[person.index]
    const [to] = keyrings[person.index].all()
    const { process } = person
    let next = 0
    for (const [at, batch] of scenario.batches.entries()) {
      const message = next
      next += batch.length
      if (batch[0]?.from !== person.index || to === undefined) continue
      if (this.#event(person, { do: 'told', message }) !== 0) continue
      this.#event(person, { do: 'tell', message, count: batch.length, told: 1 })
      if (process?.alive !== true) return never()
      const own = Object.assign(Object.create(home) as Home, { random: seeded(scenario.before.length + at + 1) })
      const staged = []
      for (const { parts } of batch) staged.push(await stageBody(own, nodeSuite, parts))
      const drafts = staged.map((each) => ({ to, staged: each, header: {} }))
      const queued = await acceptAll(own, nodeSuite, self, drafts)
      for (const [i, { id }] of queued.entries()) this.#world.ids[message + i] = id.slice(0, 32)
      this.#event(person, { do: 'tell', message, count: batch.length, told: 2 })
      if (!process.alive) return never()
      for (const each of staged) await discard(own, each)
    }
  }

  /** One session; true if it came to its end. */
  async #meet(): Promise<boolean> {
    const [caller, listener] = this.#persons
    const ends = [caller.process, listener.process] as [Proc, Proc]
    const wire = new Wire(...ends, (to) => {
      if (to.alive) this.#event(this.#of(to), { do: 'hear' })
    })
    this.#wire = wire
    const contacts = this.#world.keyrings.map((keyring) => keyring.all()[0]) as never
    const [first, second] = links(wire, contacts)
    const sessions: Session[] = await Promise.all([
      (caller.station as Station).session(first, contacts[0], { oneShot: true, receive: true }),
      (listener.station as Station).session(second, contacts[1], { oneShot: false, receive: true }),
    ])
    const ended = await Promise.all(sessions.map((session) => session.ended))
    this.#wire = undefined
    for (const { error } of ended) if (error !== undefined) throw error
    return ended[0]?.end === 'done'
  }
}
