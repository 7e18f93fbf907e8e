// What a power cut may leave: every legal outcome (for states that are explored one by one), or one drawn at random.

import { type Change, type Disk, type DirNode, type FileNode, type Node, type Outcome, resized, spliced, type Write } from './disk.ts'

/** Writes of one file up to which every subset of them is taken, and up to which also their halves. */
const EACH = 3
const HALVES = 1

/** Every legal outcome, each once; files that cannot be reached in it count for nothing. */
export function* allOutcomes(disk: Disk): Generator<Outcome> {
  for (const changes of subsets(disk.changes)) {
    const files = reachable(disk, changes).filter(({ writes }) => writes.length > 0)
    for (const contents of products(files)) yield { changes, contents }
  }
}

/** One of them, drawn with `chance`, which gives true with the probability asked for. */
export function someOutcome(disk: Disk, chance: (probability: number) => boolean): Outcome {
  const keep = chance(0.5) ? 0.5 : chance(0.5) ? 0.9 : 0.1
  const changes = new Set<Change>()
  for (const change of disk.changes) {
    if (change.needs.every((need) => need.done || changes.has(need)) && chance(keep)) changes.add(change)
  }
  const contents = new Map<FileNode, Uint8Array>()
  for (const file of reachable(disk, changes)) {
    if (file.writes.length === 0) continue
    const sizes = sizesOf(file)
    const size = chance(keep) ? (sizes.at(-1) ?? 0) : (sizes.find(() => chance(0.5)) ?? sizes[0] ?? 0)
    const writes = file.writes.flatMap(halves).filter(() => chance(keep))
    contents.set(file, content(file, size, writes))
  }
  return { changes, contents }
}

/** All that hold together, the empty one first. */
function* subsets(changes: readonly Change[], at = 0, chosen = new Set<Change>()): Generator<ReadonlySet<Change>> {
  const change = changes[at]
  if (change === undefined) {
    yield new Set(chosen)
    return
  }
  yield* subsets(changes, at + 1, chosen)
  if (!change.needs.every((need) => need.done || chosen.has(need))) return
  chosen.add(change)
  yield* subsets(changes, at + 1, chosen)
  chosen.delete(change)
}

function reachable(disk: Disk, changes: ReadonlySet<Change>): FileNode[] {
  const edited = new Map<DirNode, Map<string, Node | undefined>>()
  for (const { edits } of changes) {
    for (const { dir, name, to } of edits) {
      let names = edited.get(dir)
      if (names === undefined) edited.set(dir, (names = new Map()))
      names.set(name, to)
    }
  }
  const files = new Set<FileNode>()
  const visit = (node: Node): void => {
    if (node.kind === 'file') {
      files.add(node)
      return
    }
    const names = edited.get(node)
    for (const [name, inner] of node.stable ?? node.entries) if (names?.has(name) !== true) visit(inner)
    for (const inner of names?.values() ?? []) if (inner !== undefined) visit(inner)
  }
  visit(disk.root)
  return [...files]
}

function* products(files: readonly FileNode[], at = 0): Generator<Map<FileNode, Uint8Array>> {
  const file = files[at]
  if (file === undefined) {
    yield new Map()
    return
  }
  const own = contentsOf(file)
  for (const rest of products(files, at + 1)) {
    for (const bytes of own) yield new Map(rest).set(file, bytes)
  }
}

/** The sizes that may be durable. */
function sizesOf(file: FileNode): number[] {
  const sizes = [file.stable.length]
  let size = file.stable.length
  for (const { at, bytes } of file.writes) {
    size = bytes === undefined ? at : Math.max(size, at + bytes.length)
    sizes.push(size)
  }
  return [...new Set(sizes)]
}

function halves(write: Write): Write[] {
  const { seq, at, bytes } = write
  if (bytes === undefined || bytes.length < 2) return [write]
  const middle = bytes.length >> 1
  return [
    { seq, at, bytes: bytes.subarray(0, middle) },
    { seq, at: at + middle, bytes: bytes.subarray(middle) },
  ]
}

function contentsOf(file: FileNode): Uint8Array[] {
  const { writes } = file
  const sizes = sizesOf(file)
  const found = new Map<string, Uint8Array>()
  const add = (size: number, kept: readonly Write[]): void => {
    const bytes = content(file, size, kept)
    found.set(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1'), bytes)
  }
  const last = sizes.at(-1) ?? 0
  if (writes.length > EACH) {
    for (const size of sizes) add(size, writes)
    add(last, [])
    for (const write of writes) add(last, writes.filter((other) => other !== write))
  } else {
    const pieces = writes.length <= HALVES ? writes.flatMap(halves) : writes
    for (let mask = 0; mask < 1 << pieces.length; mask++) {
      const kept = pieces.filter((_, i) => (mask & (1 << i)) !== 0)
      for (const size of sizes) add(size, kept)
    }
  }
  return [...found.values()]
}

/** A file of this size in which these writes left their bytes, and the others nothing. */
function content(file: FileNode, size: number, kept: readonly Write[]): Uint8Array {
  let data = resized(file.stable, Math.max(size, file.stable.length))
  for (const { at, bytes } of kept) {
    if (bytes !== undefined) data = spliced(data, at, bytes)
  }
  return data.length === size ? data : resized(data, size)
}
