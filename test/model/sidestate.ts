// States of one side, each known by a number: a disk, durable or not, and what its user was told. Two disks that differ
// in nothing that decides about delivery are one state. Not told apart: the time, logs, locks, the replay window.

import { createHash } from 'node:crypto'

import { type Change, Disk, type DirNode, type FileNode, type Node } from './disk.ts'
import { type Frozen, freeze, thaw } from './frozen.ts'
import { allOutcomes } from './outcomes.ts'
import { tornOf } from './torn.ts'

/** What became of the promise for a message: 0 not begun, 1 begun and not given, 2 given. */
export type Told = 0 | 1 | 2

export interface SideState {
  /** Ask diskOf() for a disk. Undefined: nobody will want it, see SideStates.keeping. */
  kept: Frozen | Disk | undefined
  /** By message, in the order of the scenario. */
  readonly told: readonly Told[]
  /** What a power cut makes of it, and it itself, which is what a killed process leaves; found when first asked for. */
  after: number[] | undefined
  /** What a crash must not leave: see torn.ts. */
  torn: string | undefined
}

const SKIPPED = new Set(['contacts', 'lock', 'hello', 'clock', 'log', 'log.0', 'home.json', 'identity.key', 'transport.key', 'token'])

/** Everything that changes and decides nothing: written through, and in no key. */
export function decidesNothing(path: string): boolean {
  return /\/(?:lock|hello|queue\/clock)\/|\/log(?:\.0)?$|\/owner$/.test(path)
}

const contents = new Map<string, number>()
const numbers = new WeakMap<Uint8Array, number>()

/** Equal for equal bytes. */
export function numberOf(bytes: Uint8Array): number {
  let number = numbers.get(bytes)
  if (number === undefined) {
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1')
    number = contents.get(text)
    if (number === undefined) contents.set(text, (number = contents.size))
    numbers.set(bytes, number)
  }
  return number
}

const deeds = new Map<string, number>()

/** A text that is the same for equal states. */
export function keyOf(disk: Disk, home: string, told: readonly Told[]): string {
  const labels = new Map<Node, number>()
  let text = told.join('')
  for (const id of [...new Set([...disk.placed.keys(), ...disk.changes.flatMap(({ places }) => places ?? [])])].sort()) {
    text += `;${id.slice(0, 6)}*${Math.min(2, disk.placements(id))}`
  }
  const file = (node: FileNode): string => {
    let own = `${numberOf(node.data)}`
    if (node.writes.length > 0) {
      own += `~${numberOf(node.stable)}`
      for (const { at, bytes } of node.writes) own += `,${at}+${bytes?.length ?? 'cut'}`
    }
    return own
  }
  const visit = (node: Node): string => {
    const there = labels.get(node)
    if (there !== undefined) return `#${there}`
    labels.set(node, labels.size)
    if (node.kind === 'file') return file(node)
    let inner = ''
    const names = [...node.entries.keys()]
    if (names.length > 1) names.sort()
    for (const name of names) {
      if (SKIPPED.has(name)) continue
      const each = node.entries.get(name) as Node
      if (each.kind === 'dir' && each.entries.size === 0) {
        labels.set(each, labels.size)
        inner += `/${name}`
      } else {
        inner += name === 'owner' ? '/owner' : `/${name}${visit(each)}`
      }
    }
    return `(${inner})`
  }
  text += visit(disk.find(home) as DirNode)
  const label = (node: Node | undefined): string => (node === undefined ? '-' : labels.has(node) ? `#${labels.get(node)}` : visit(node))
  const change = ({ edits, places }: Change): string =>
    edits.map(({ dir, name, to }) => `${label(dir)}/${name}:${label(dir.stable?.get(name))}>${label(to)}`).join('&') +
    (places === undefined ? '' : '!')
  for (const each of disk.changes) text += `;${change(each)}`
  return text
}

/** A side on its way from state to state. */
export interface Moving {
  readonly disk: Disk
  readonly told: readonly Told[]
  /** The state it was in before the step. */
  state: number
}

export class SideStates {
  readonly home: string
  /** Where a step leads from a state: what was found out once. */
  readonly #steps: Map<number, number>[] = []
  readonly all: SideState[] = []
  readonly #numbers = new Map<string, number>()
  readonly #reader: boolean

  /** Whether the disks of new states are kept that are not durable as a whole: from these more states may be found. */
  keeping = true

  /** Of each state so many outcomes at most: Infinity to explore, fewer to hunt. */
  most = Infinity

  constructor(home: string, reader: boolean) {
    this.home = home
    this.#reader = reader
  }

  /** The number of a state; the disk is copied if it is new, unless it is given away. */
  number(disk: Disk, told: readonly Told[], given = false): number {
    // Its hash: the texts of all states would be most of the memory.
    const key = createHash('sha1').update(keyOf(disk, this.home, told)).digest('base64')
    let number = this.#numbers.get(key)
    if (number === undefined) {
      number = this.all.length
      this.#numbers.set(key, number)
      this.all.push({ kept: this.#keep(disk, given), told: [...told], after: undefined, torn: undefined })
    }
    return number
  }

  /** The number of the state that `step` has just led to. Equal steps from equal states lead to equal states. */
  step(moving: Moving, step: string): number {
    const steps = (this.#steps[moving.state] ??= new Map())
    let deed = deeds.get(step)
    if (deed === undefined) deeds.set(step, (deed = deeds.size))
    let number = steps.get(deed)
    if (number === undefined) steps.set(deed, (number = this.number(moving.disk, moving.told)))
    return (moving.state = number)
  }

  get(number: number): SideState {
    return this.all[number] as SideState
  }

  #keep(disk: Disk, given: boolean): Frozen | Disk | undefined {
    return freeze(disk) ?? (this.keeping ? (given ? disk : disk.clone()) : undefined)
  }

  /** The disk of this state, so that diskOf() has one. */
  lend(number: number, disk: Disk): void {
    this.get(number).kept ??= disk.clone()
  }

  /** A disk of one's own in this state; undefined if none was kept. */
  diskOf(number: number): Disk | undefined {
    const { kept } = this.get(number)
    return kept instanceof Disk ? kept.clone() : kept && thaw(kept)
  }

  /** The states in which a crash may leave this one. */
  after(number: number): readonly number[] {
    const state = this.get(number)
    if (state.after === undefined) {
      const found = new Set([number])
      const now = this.diskOf(number) as Disk
      for (const outcome of thinned(allOutcomes(now), this.most)) {
        const disk = now.after(outcome)
        for (const read of this.#reader ? readings(disk, this.home) : [disk]) {
          const count = this.all.length
          const left = this.number(read, state.told, true)
          if (left === count) this.get(left).torn = tornOf(read, this.home)
          found.add(left)
        }
      }
      state.after = [...found]
    }
    return state.after
  }
}

/** So many of them, more or less evenly. */
function* thinned<T>(items: Iterable<T>, most: number): Generator<T> {
  const kept: T[] = []
  let stride = 1
  let count = 0
  for (const item of items) {
    if (most === Infinity) {
      yield item
      continue
    }
    if (count++ % stride !== 0) continue
    kept.push(item)
    if (kept.length < 2 * most) continue
    kept.splice(0, kept.length, ...kept.filter((_, i) => i % 2 === 0))
    stride *= 2
    if (count > STRIDES * most) break
  }
  yield* kept
}

const STRIDES = 64

/**
 * A mail program moves mail from new/ to cur/ and deletes it, at any moment. Nothing in the program looks at mail that
 * it has delivered (watched by the trial), so all moments before a crash are one: the last.
 */
function* readings(disk: Disk, home: string): Generator<Disk> {
  const mails = ['new', 'cur'].flatMap((folder) =>
    [...disk.dir(`${home}/inbox/${folder}`).entries.keys()].map((name) => ({ folder, name })),
  )
  const choices = mails.reduce((product, { folder }) => product * (folder === 'new' ? 3 : 2), 1)
  for (let choice = 0; choice < choices; choice++) {
    const copy = choice === 0 ? disk : disk.clone()
    let rest = choice
    for (const { folder, name } of mails) {
      const path = `${home}/inbox/${folder}/${name}`
      const own = rest % (folder === 'new' ? 3 : 2)
      rest = Math.floor(rest / (folder === 'new' ? 3 : 2))
      if (own === 1) copy.unlink(path, true)
      else if (own === 2) copy.rename(path, `${home}/inbox/cur/${name}:2,S`, true)
    }
    yield copy
  }
}
