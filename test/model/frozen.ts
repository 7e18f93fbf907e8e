// Disks in which everything is durable, kept small: directories that are the same, names and bytes and all below, are
// kept once, whichever disks they are of. What was frozen is thawed into a disk of its own.

import { Disk, DirNode, FileNode, type Node } from './disk.ts'
import { numberOf } from './sidestate.ts'

interface FrozenFile {
  readonly data: Uint8Array
  readonly mtime: number
  /** Of a file with several names: the same number for each of them. */
  readonly link: number | undefined
}

interface FrozenDir {
  readonly names: readonly string[]
  readonly nodes: readonly number[]
  readonly mtime: number
}

export interface Frozen {
  readonly root: number
  readonly placed: ReadonlyMap<string, number> | undefined
}

const kept: (FrozenFile | FrozenDir)[] = []
const numbers = new Map<string, number>()

function keep(key: string, make: () => FrozenFile | FrozenDir): number {
  let number = numbers.get(key)
  if (number === undefined) {
    number = kept.push(make()) - 1
    numbers.set(key, number)
  }
  return number
}

/** Undefined if something on it is not durable. */
export function freeze(disk: Disk): Frozen | undefined {
  if (disk.changes.length > 0) return undefined
  const names = new Map<FileNode, number>()
  let durable = true
  const count = (node: Node): void => {
    if (node.kind === 'dir') {
      node.entries.forEach(count)
      return
    }
    names.set(node, (names.get(node) ?? 0) + 1)
    durable &&= node.writes.length === 0
  }
  count(disk.root)
  if (!durable) return undefined
  const links = new Map<FileNode, number>()
  const visit = (node: Node): number => {
    const { mtime } = node
    if (node.kind === 'dir') {
      const inner = [...node.entries.keys()]
      const nodes = [...node.entries.values()].map(visit)
      return keep(`d${mtime}/${inner.map((name, i) => `${name}:${nodes[i]}`).join('/')}`, () => ({ names: inner, nodes, mtime }))
    }
    let link: number | undefined
    if ((names.get(node) ?? 0) > 1) {
      link = links.get(node) ?? links.size
      links.set(node, link)
    }
    return keep(`f${mtime},${numberOf(node.data)},${link}`, () => ({ data: node.data, mtime, link }))
  }
  return { root: visit(disk.root), placed: disk.placed.size === 0 ? undefined : new Map(disk.placed) }
}

export function thaw({ root, placed }: Frozen): Disk {
  const links = new Map<number, FileNode>()
  const make = (number: number): Node => {
    const frozen = kept[number] as FrozenFile | FrozenDir
    if ('nodes' in frozen) {
      const dir = new DirNode()
      dir.mtime = frozen.mtime
      frozen.nodes.forEach((inner, i) => dir.entries.set(frozen.names[i] as string, make(inner)))
      return dir
    }
    const { data, mtime, link } = frozen
    const there = link === undefined ? undefined : links.get(link)
    if (there !== undefined) return there
    const file = new FileNode()
    file.data = file.stable = data
    file.mtime = mtime
    if (link !== undefined) links.set(link, file)
    return file
  }
  const disk = new Disk()
  disk.root = make(root) as DirNode
  disk.placed = new Map(placed)
  return disk
}
