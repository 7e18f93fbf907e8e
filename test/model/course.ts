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
  /** Under way, by number, and how many there were; with the state they began in. */
  readonly syncs = new Map<number, { end: () => void; path: string; state: number }>()
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
    const { told } = states.get(state)
    this.states = states
    this.home = states.home
    this.disk = states.diskOf(state) as Disk
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
  readonly blow: Blow | undefined
  #struck = false
  /** What should not have been seen on the way. */
  readonly faults: string[] = []
  /** Called when the blow falls. */
  onBlow: (blow: Blow) => void = () => undefined

  constructor(states: readonly [SideStates, SideStates], pair: readonly [number, number], blow?: Blow) {
    this.sides = [new CourseSide(states[0], pair[0]), new CourseSide(states[1], pair[1])]
    this.blow = blow
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
        side.syncs.set(++side.synced, { end: beginSync(side, event), path: event.path, state: side.state })
        return side.synced
      case 'synced': {
        const sync = side.syncs.get(event.number)
        if (sync === undefined) return undefined
        side.syncs.delete(event.number)
        sync.end()
        // Of what was written meanwhile nothing is durable: that is no step from the present state.
        this.#point(index, sync.state === side.state ? `synced ${sync.path}` : undefined)
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
    const { blow } = this
    if (blow === undefined || this.#struck || this.order.length < blow.after) return
    this.#struck = true
    if (blow.side !== undefined) {
      const hit = this.sides[blow.side]
      hit.die()
      if (blow.state !== undefined) {
        hit.disk = hit.states.diskOf(blow.state) as Disk
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

/** An answer as a number: equal for equal answers. */
type Reply = number

interface Step {
  readonly index: Index
  readonly ask: Ask
  /** Mostly there is one answer: that stands here, and the others in a map. */
  reply: Reply | undefined
  next: Step | End | undefined
  others: Map<Reply, Step | End> | undefined
}

/** A life is over. */
interface End {
  readonly faults: readonly string[]
}

/** What one side did and was answered, whatever the other did meanwhile: by its next event. */
interface Past {
  ask: Ask | undefined
  others: Map<Event, Ask> | undefined
}

/**
 * An event at a place in the past of its side. What the disk answers, and the state in which it is then, depend on that
 * and on the state before, and on nothing else.
 */
interface Ask {
  readonly event: Event
  /** By the state before: the answer and the state after, in one number. */
  readonly known: Map<number, number>
  /** Mostly there is one answer. */
  reply: Reply | undefined
  past: Past | undefined
  others: Map<Reply, Past> | undefined
}

/** States, as numbers, are fewer than this. */
const STATES_MAX = 2 ** 24

const replies = new Map<string, Reply>()

/** Of a modification time nothing, since time stands still. */
function replyOf(answer: Answer): Reply {
  if (answer === undefined || typeof answer === 'boolean' || typeof answer === 'number') return numbered(String(answer))
  if (answer instanceof Uint8Array) return numbered(`#${numberOf(answer)}`)
  if (Array.isArray(answer)) return numbered(answer.join('/'))
  const { kind, size } = answer as Exclude<Look, undefined>
  return numbered(kind === 'dir' ? 'dir' : `file ${size}`)
}

function numbered(text: string): Reply {
  let reply = replies.get(text)
  if (reply === undefined) replies.set(text, (reply = replies.size))
  return reply
}

function after(step: Step, reply: Reply): Step | End | undefined {
  return step.reply === reply ? step.next : step.others?.get(reply)
}

/** All lives that were run with the same blow. */
export class Tree {
  top: Step | End | undefined
  readonly pasts: readonly [Past, Past] = [nothingYet(), nothingYet()]

  /** Goes through a life; the texts of its faults, or undefined if it must be run. */
  follow(course: Course): readonly string[] | undefined {
    const { sides, blow } = course
    let node = this.top
    while (node !== undefined && 'ask' in node) {
      const { event, known } = node.ask
      const side = sides[node.index]
      const { state } = side
      let reply: Reply
      try {
        reply = replyOf(course.apply(node.index, event))
      } catch (error) {
        if (!(error instanceof DiskError)) throw error
        reply = numbered(`!${error.code}`)
      }
      // Where a blow falls more decides, and a fault is not to be passed over.
      if (blow === undefined && course.faults.length === 0) known.set(state, reply * STATES_MAX + side.state)
      node = after(node, reply)
    }
    return node?.faults
  }

  /**
   * The same by the numbers of states alone, without a disk. The faults and the states at the end; undefined where
   * something on the way was not found out before.
   */
  jump(pair: readonly [number, number]): { faults: readonly string[]; pair: readonly [number, number] } | undefined {
    const states: [number, number] = [...pair]
    let node = this.top
    while (node !== undefined && 'ask' in node) {
      const found = node.ask.known.get(states[node.index])
      if (found === undefined) return undefined
      states[node.index] = found % STATES_MAX
      node = after(node, Math.floor(found / STATES_MAX))
    }
    return node && { faults: node.faults, pair: states }
  }

  recorder(): Recorder {
    return new Recorder(this)
  }
}

/** Notes down one life that is being run. */
export class Recorder {
  readonly #tree: Tree
  /** The last step and the answer to it. */
  #at: Step | undefined
  #reply: Reply = 0
  readonly #pasts: [Past, Past]

  constructor(tree: Tree) {
    this.#tree = tree
    this.#pasts = [...tree.pasts]
  }

  /** The answer of `course` to an event of the program. */
  apply(course: Course, index: Index, event: Event): Answer {
    const there = this.#at === undefined ? this.#tree.top : after(this.#at, this.#reply)
    let step: Step
    if (there === undefined) {
      step = { index, ask: this.#ask(index, event), reply: undefined, next: undefined, others: undefined }
      this.#put(step)
    } else {
      if (!('ask' in there) || there.index !== index || !sameEvent(there.ask.event, event)) {
        throw new Error(`not deterministic: ${describe(event)} where it was ${'ask' in there ? describe(there.ask.event) : 'the end'}`)
      }
      step = there
    }
    this.#at = step
    try {
      const answer = course.apply(index, event)
      this.#reply = replyOf(answer)
      return answer
    } catch (error) {
      if (!(error instanceof DiskError)) throw error
      this.#reply = numbered(`!${error.code}`)
      throw diskError(error.code)
    } finally {
      this.#pasts[index] = pastOf(step.ask, this.#reply)
    }
  }

  #ask(index: Index, event: Event): Ask {
    const one = interned(event)
    const past = this.#pasts[index]
    const there = past.ask?.event === one ? past.ask : past.others?.get(one)
    if (there !== undefined) return there
    const ask: Ask = { event: one, known: new Map(), reply: undefined, past: undefined, others: undefined }
    if (past.ask === undefined) past.ask = ask
    else (past.others ??= new Map()).set(one, ask)
    return ask
  }

  end(faults: readonly string[]): void {
    this.#put({ faults })
  }

  #put(next: Step | End): void {
    const at = this.#at
    if (at === undefined) this.#tree.top = next
    else if (at.next === undefined) [at.reply, at.next] = [this.#reply, next]
    else (at.others ??= new Map()).set(this.#reply, next)
  }
}

function nothingYet(): Past {
  return { ask: undefined, others: undefined }
}

function pastOf(ask: Ask, reply: Reply): Past {
  const there = ask.reply === reply ? ask.past : ask.others?.get(reply)
  if (there !== undefined) return there
  const past = nothingYet()
  if (ask.past === undefined) [ask.reply, ask.past] = [reply, past]
  else (ask.others ??= new Map()).set(reply, past)
  return past
}

const events = new Map<string, Event>()

/** One for all that are equal. */
function interned(event: Event): Event {
  const text = describe(event)
  const there = events.get(text)
  if (there === undefined) events.set(text, event)
  return there ?? event
}

function sameEvent(a: Event, b: Event): boolean {
  for (const name in a) {
    const [one, other] = [a[name as keyof Event], b[name as keyof Event]] as unknown[]
    if (one === other) continue
    if (!(one instanceof Uint8Array && other instanceof Uint8Array && numberOf(one) === numberOf(other))) return false
  }
  return true
}

export function describe(event: Event): string {
  return JSON.stringify(event, (_, value: unknown) => (value instanceof Uint8Array ? Buffer.from(value).toString('latin1') : value))
}
