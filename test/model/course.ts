// The course of a life as far as it can be told without the program: what the two sides asked of their disks, one after
// the other, and what they heard of each other. Each change is a point at which everything may crash.
//
// The program is deterministic: what it does next follows from the answers it got. So the lives that were run make a
// tree: a step, and by the answer to it the next one. A life from other states is gone through along that tree, at a
// small part of the cost, for as long as the answers are known; at an answer that no life got yet it must be run.

import { diskError, DiskError, type Disk, type FileNode } from './disk.ts'
import { type Answer, beginSync, changes, execute, type Kernel, type Look, type Op, type Sync, type SyncDir } from './ops.ts'
import { EPOCH } from './machine.ts'
import { decidesNothing, numberOf, type SideStates, type Told } from './sidestate.ts'

export type Index = 0 | 1

/** A crash of one side, or of the connection, that the other side lives to see: after so many points of both. */
export interface Blow {
  after: number
  /** The side that dies; undefined: the connection alone. */
  side: Index | undefined
  /** What is on its disk then; undefined: what it has written, durable or not. */
  state: number | undefined
}

/** What is done beside the operations on a disk. */
export type Event =
  | Exclude<Op, Sync | SyncDir>
  /** An fsync begins: what is written from now on is none of its. */
  | Sync
  | SyncDir
  /** The fsync that began as the `number`-th of this side ends: what it covered is durable. */
  | { do: 'synced'; number: number }
  /** A process begins; the answer is its number. */
  | { do: 'start' }
  /** Draws what nothing on this disk has, from `above` on: the tag of a receiver, or the end of a temporary name. */
  | { do: 'tag' | 'suffix'; above: number }
  /** What was promised for a message. */
  | { do: 'told'; message: number }
  | { do: 'tell'; message: number; count: number; told: Told }
  /** Something of the other side was heard. */
  | { do: 'hear' }
  /** The home was opened, and what was to be sent is in the queue. */
  | { do: 'opened' }

export interface Point {
  readonly state: number
  /** The index of the point at which the other side must have been: what it sent then was heard. */
  readonly needs: number
}

export class CourseSide implements Kernel {
  disk: Disk
  readonly home: string
  readonly open = new Map<number, { node: FileNode; append: boolean; at: number }>()
  opened = 0
  readonly locks = new Map<string, number>()
  readonly alive = new Set<number>()
  /** Under way, by number, and how many there were. */
  readonly syncs = new Map<number, () => void>()
  synced = 0
  readonly minor = decidesNothing
  readonly told: Told[]
  readonly points: Point[]
  readonly states: SideStates
  state: number
  /** The last point of the other side that this one has heard of. */
  heard = 0
  boot = 1
  #pid = 100

  constructor(states: SideStates, state: number) {
    const { disk, told } = states.get(state)
    this.states = states
    this.home = states.home
    this.disk = disk.clone()
    bury(this.disk.find(this.home))
    this.told = [...told]
    this.state = state
    this.points = [{ state, needs: 0 }]
  }

  isAlive(pid: number): boolean {
    return this.alive.has(pid)
  }

  /** Time stands still. */
  stamp(): number {
    return EPOCH
  }

  start(): number {
    this.alive.add(++this.#pid)
    return this.#pid
  }

  die(): void {
    this.alive.clear()
    this.syncs.clear()
    this.open.clear()
    this.locks.clear()
  }
}

export class Course {
  readonly sides: readonly [CourseSide, CourseSide]
  /** Which side each point was of, in order. */
  readonly order: Index[] = []
  /** How many points each side had when it had opened its home. */
  readonly begun: [number, number] = [0, 0]
  readonly #blow: Blow | undefined
  #struck = false
  /** What should not have been seen on the way. */
  readonly faults: string[] = []
  /** Called when the blow falls. */
  onBlow: (blow: Blow) => void = () => undefined

  constructor(states: readonly [SideStates, SideStates], pair: readonly [number, number], blow?: Blow) {
    this.sides = [new CourseSide(states[0], pair[0]), new CourseSide(states[1], pair[1])]
    this.#blow = blow
  }

  /** The answer; throws a DiskError. */
  apply(index: Index, event: Event): Answer {
    const side = this.sides[index]
    switch (event.do) {
      case 'start':
        return side.start()
      case 'tag':
      case 'suffix':
        return unused(side.disk, event.do === 'tag' ? TAG : SUFFIX, event.above)
      case 'told':
        return side.told[event.message]
      case 'tell':
        side.told.fill(event.told, event.message, event.message + event.count)
        this.#point(index, `tell ${event.message} ${event.told}`)
        return undefined
      case 'hear':
        side.heard = Math.max(side.heard, this.sides[1 - index]!.points.length - 1)
        return undefined
      case 'opened':
        this.begun[index] = side.points.length
        return undefined
      case 'sync':
      case 'syncDir':
        if (!changes(side, event)) return execute(side, event)
        side.syncs.set(++side.synced, beginSync(side, event))
        return side.synced
      case 'synced': {
        const sync = side.syncs.get(event.number)
        if (sync === undefined) return undefined
        side.syncs.delete(event.number)
        sync()
        this.#point(index)
        return undefined
      }
      default: {
        if (event.do === 'unlink' && event.path.includes('/new/')) this.#watch(side, event.path)
        const answer = execute(side, event)
        if (changes(side, event)) this.#point(index, textOf(event))
        return answer
      }
    }
  }

  /** A message leaves the queue: what became of it must have been noted, or nobody who asks later could be told. */
  #watch({ disk, home }: CourseSide, path: string): void {
    const [, queue, id] = /^(.*\/queue\/[^/]+)\/new\/\d+\.([0-9a-f]{64})$/.exec(path) ?? []
    if (queue === undefined || id === undefined || disk.find(path) === undefined) return
    const log = disk.find(`${queue}/log`)
    const text = log?.kind === 'file' ? Buffer.from(log.data).toString('latin1') : ''
    if (!text.includes(`"delivered","id":"${id}"`)) this.faults.push('unnoted: a message left the queue without a line in the log')
    const copies = disk.dir(`${home}/sent/cur`).entries
    for (const name of copies.keys()) {
      if (name.includes(id.slice(0, 32)) && /:2,.*F/.test(name)) this.faults.push('unnoted: its copy in sent/ says it is undelivered')
    }
  }

  /** Without a step, the state is found out by looking. */
  #point(index: Index, step?: string): void {
    const side = this.sides[index]
    side.state = step === undefined ? side.states.number(side.disk, side.told) : side.states.step(side, step)
    this.#add(index)
    const blow = this.#blow
    if (blow === undefined || this.#struck || this.order.length < blow.after) return
    this.#struck = true
    if (blow.side !== undefined) {
      const hit = this.sides[blow.side]
      hit.die()
      if (blow.state !== undefined) {
        hit.disk = hit.states.get(blow.state).disk.clone()
        bury(hit.disk.find(hit.home))
        hit.state = blow.state
        hit.boot++
        this.#add(blow.side)
      }
    }
    this.onBlow(blow)
  }

  #add(index: Index): void {
    const { points, state, heard } = this.sides[index]
    points.push({ state, needs: heard })
    this.order.push(index)
  }
}

/** What processes noted about themselves is of an earlier time: whoever reads it finds that they are dead. */
function bury(node: ReturnType<Disk['find']>, name = ''): void {
  if (node?.kind === 'dir') for (const [each, inner] of node.entries) bury(inner, each)
  else if (node !== undefined && /^owner$|\.owner$/.test(name)) node.data = node.stable = DEAD
}

const DEAD = new Uint8Array(Buffer.from('{"pid":1,"start":"7","boot":"boot-0","space":"pid:[1]"}'))

/** What makes one step of a disk another. */
function textOf(op: Op): string {
  switch (op.do) {
    case 'rename':
    case 'link':
      return `${op.do} ${op.path} ${op.from}`
    case 'write':
      return `write ${op.path} ${op.at} ${numberOf(op.bytes)}`
    case 'truncate':
      return `truncate ${op.path} ${op.size}`
    default:
      return `${op.do} ${op.path}`
  }
}

const TAG = /7a9(\d{13})/g
const SUFFIX = /\.tmp\.(\d{12})$/g

export function tagBytes(number: number): Uint8Array {
  return new Uint8Array(Buffer.from(`7a9${String(number).padStart(13, '0')}`, 'hex'))
}

export function suffixBytes(number: number): Uint8Array {
  return new Uint8Array(Buffer.from(String(number).padStart(12, '0'), 'hex'))
}

/** The first number that stands in no name and in no record of `seen`, durable or not. */
function unused(disk: Disk, pattern: RegExp, above: number): number {
  const used = new Set<number>()
  const look = (text: string): void => {
    for (const [, digits] of text.matchAll(pattern)) used.add(Number(digits))
  }
  const visit = (node: ReturnType<Disk['find']>, name: string): void => {
    if (node?.kind === 'dir') {
      for (const entries of [node.entries, node.stable ?? []]) {
        for (const [each, inner] of entries) {
          look(each)
          visit(inner, each)
        }
      }
    } else if (node !== undefined && name === 'seen') {
      for (const bytes of [node.data, node.stable]) look(Buffer.from(bytes).toString('latin1'))
    }
  }
  visit(disk.root, '')
  let number = above + 1
  while (used.has(number)) number++
  return number
}

// The tree

interface Step {
  readonly index: Index
  readonly event: Event
  readonly next: Map<string, Step | End>
}

/** A life is over. */
interface End {
  readonly faults: readonly string[]
}

/** An answer as a text; of a modification time nothing, since time stands still. */
function textOfAnswer(answer: Answer): string {
  if (answer === undefined || typeof answer === 'boolean' || typeof answer === 'number') return String(answer)
  if (answer instanceof Uint8Array) return `#${numberOf(answer)}`
  if (Array.isArray(answer)) return answer.join('/')
  const { kind, size } = answer as Exclude<Look, undefined>
  return kind === 'dir' ? 'dir' : `file ${size}`
}

/** All lives that were run with the same blow. */
export class Tree {
  readonly #top = new Map<string, Step | End>()

  /** Goes through a life; the texts of its faults, or undefined if it must be run. */
  follow(course: Course): readonly string[] | undefined {
    let node = this.#top.get('')
    while (node !== undefined && 'event' in node) {
      let answer: string
      try {
        answer = textOfAnswer(course.apply(node.index, node.event))
      } catch (error) {
        if (!(error instanceof DiskError)) throw error
        answer = `!${error.code}`
      }
      node = node.next.get(answer)
    }
    return node?.faults
  }

  recorder(): Recorder {
    return new Recorder(this.#top)
  }
}

/** Notes down one life that is being run. */
export class Recorder {
  #at: Map<string, Step | End>
  #answer = ''

  constructor(top: Map<string, Step | End>) {
    this.#at = top
  }

  /** The answer of `course` to an event of the program. */
  apply(course: Course, index: Index, event: Event): Answer {
    const there = this.#at.get(this.#answer)
    if (there === undefined) {
      const step: Step = { index, event, next: new Map() }
      this.#at.set(this.#answer, step)
      this.#at = step.next
    } else {
      if (!('event' in there) || there.index !== index || !sameEvent(there.event, event)) {
        throw new Error(`not deterministic: ${describe(event)} where it was ${'event' in there ? describe(there.event) : 'the end'}`)
      }
      this.#at = there.next
    }
    try {
      const answer = course.apply(index, event)
      this.#answer = textOfAnswer(answer)
      return answer
    } catch (error) {
      if (!(error instanceof DiskError)) throw error
      this.#answer = `!${error.code}`
      throw diskError(error.code)
    }
  }

  end(faults: readonly string[]): void {
    this.#at.set(this.#answer, { faults })
  }
}

function sameEvent(a: Event, b: Event): boolean {
  return a.do === b.do && describe(a) === describe(b)
}

export function describe(event: Event): string {
  return JSON.stringify(event, (_, value: unknown) => (value instanceof Uint8Array ? Buffer.from(value).toString('latin1') : value))
}
