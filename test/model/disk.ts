// A disk that forgets: what a program sees, and what a power cut leaves of it. Nothing is durable before its fsync. Of a
// file the bytes may be lost in pieces, and its size may be there without them (zeros); of a directory each creation,
// rename, link and removal may be lost by itself, until that directory is synced. Only two things are ordered: changes of
// one and the same name, and the removal of a directory after that of what was in it. A rename is lost or kept as a
// whole. This is weaker than any file system in use, and what POSIX leaves open. No clock, no process, no promise here.

export type Node = FileNode | DirNode

/** One write or truncation that is not durable. */
export interface Write {
  readonly seq: number
  readonly at: number
  /** Undefined: the file was cut to `at` bytes. */
  readonly bytes: Uint8Array | undefined
}

const EMPTY = new Uint8Array(0)

export class FileNode {
  readonly kind = 'file'
  /** As programs see it; replaced, never changed in place. */
  data: Uint8Array = EMPTY
  /** What is durable of it. */
  stable: Uint8Array = EMPTY
  /** In order; empty if all is durable. */
  writes: Write[] = []
  /** Of the newest write that is durable. */
  stableSeq = 0
  mtime = 0
}

export class DirNode {
  readonly kind = 'dir'
  entries = new Map<string, Node>()
  /** What is durable of them; undefined: the same. */
  stable: Map<string, Node> | undefined
  mtime = 0
}

export interface Edit {
  readonly dir: DirNode
  readonly name: string
  readonly to: Node | undefined
}

/** One creation, rename, link or removal that is not durable. */
export interface Change {
  readonly edits: readonly Edit[]
  /** Those that must be there if this one is. */
  readonly needs: readonly Change[]
  /** The message that it brought into the inbox. */
  readonly places: string | undefined
  done: boolean
}

/** What a power cut leaves: some of the changes, and for each file with writes what is in it. */
export interface Outcome {
  readonly changes: ReadonlySet<Change>
  readonly contents: ReadonlyMap<FileNode, Uint8Array>
}

export class DiskError extends Error {
  readonly code: string

  constructor(code: string) {
    super(code)
    this.code = code
  }
}

const known = new Map<string, DiskError>()

/** One for each code: making an error is slow, and these are answers. */
export function diskError(code: string): DiskError {
  let error = known.get(code)
  if (error === undefined) {
    error = new DiskError(code)
    error.stack = `DiskError: ${code}`
    known.set(code, error)
  }
  return error
}

export class Disk {
  root = new DirNode()
  /** In order. */
  changes: Change[] = []
  /** How often each message (the first 32 digits of its id) came into the inbox, durably. */
  placed = new Map<string, number>()
  #seq = 0

  /** How often a message came into the inbox, as it looks now. */
  placements(id: string): number {
    return this.changes.reduce((sum, { places }) => sum + (places === id ? 1 : 0), this.placed.get(id) ?? 0)
  }

  find(path: string): Node | undefined {
    let node: Node | undefined = this.root
    for (let at = 1; at < path.length && node !== undefined; ) {
      if (node.kind !== 'dir') return undefined
      const end = path.indexOf('/', at)
      const name = end < 0 ? path.slice(at) : path.slice(at, end)
      if (name !== '.' && name !== '') node = node.entries.get(name)
      at = end < 0 ? path.length : end + 1
    }
    return node
  }

  dir(path: string): DirNode {
    const node = this.find(path)
    if (node === undefined) throw diskError('ENOENT')
    if (node.kind !== 'dir') throw diskError('ENOTDIR')
    return node
  }

  file(path: string): FileNode {
    const node = this.find(path)
    if (node === undefined) throw diskError('ENOENT')
    if (node.kind !== 'file') throw diskError('EISDIR')
    return node
  }

  #place(path: string): { dir: DirNode; name: string } {
    const at = path.lastIndexOf('/')
    return { dir: this.dir(path.slice(0, at)), name: path.slice(at + 1) }
  }

  /** With `through` a change is durable at once. */
  create(path: string, through: boolean, places?: string): FileNode {
    const { dir, name } = this.#place(path)
    if (dir.entries.has(name)) throw diskError('EEXIST')
    const node = new FileNode()
    this.#change([{ dir, name, to: node }], through, places)
    return node
  }

  mkdir(path: string, through: boolean): boolean {
    const { dir, name } = this.#place(path)
    if (dir.entries.has(name)) return false
    this.#change([{ dir, name, to: new DirNode() }], through)
    return true
  }

  rmdir(path: string, through: boolean): void {
    const { dir, name } = this.#place(path)
    const node = dir.entries.get(name)
    if (node === undefined) throw diskError('ENOENT')
    if (node.kind !== 'dir') throw diskError('ENOTDIR')
    if (node.entries.size > 0) throw diskError('ENOTEMPTY')
    const emptied = this.changes.filter(({ edits }) => edits.some((edit) => edit.dir === node))
    this.#change([{ dir, name, to: undefined }], through, undefined, emptied)
  }

  unlink(path: string, through: boolean): boolean {
    const { dir, name } = this.#place(path)
    const node = dir.entries.get(name)
    if (node === undefined) return false
    if (node.kind === 'dir') throw diskError('EISDIR')
    this.#change([{ dir, name, to: undefined }], through)
    return true
  }

  link(from: string, to: string, through: boolean, places?: string): void {
    const node = this.file(from)
    const { dir, name } = this.#place(to)
    if (dir.entries.has(name)) throw diskError('EEXIST')
    this.#change([{ dir, name, to: node }], through, places)
  }

  rename(from: string, to: string, through: boolean, places?: string): void {
    const source = this.#place(from)
    const node = source.dir.entries.get(source.name)
    if (node === undefined) throw diskError('ENOENT')
    const target = this.#place(to)
    const there = target.dir.entries.get(target.name)
    if (there === node) return
    if (there?.kind === 'dir') {
      if (node.kind !== 'dir') throw diskError('EISDIR')
      if (there.entries.size > 0) throw diskError('ENOTEMPTY')
    } else if (there !== undefined && node.kind === 'dir') {
      throw diskError('ENOTDIR')
    }
    const edits = [
      { ...source, to: undefined },
      { ...target, to: node },
    ]
    this.#change(edits, through, places)
  }

  #change(edits: Edit[], through: boolean, places?: string, needs: Change[] = []): void {
    if (through) {
      // What it rests on is as durable: else a power cut might bring back what this one took away.
      this.#persist(this.changes.filter((change) => change.edits.some((edit) => touches(edits, edit))))
      for (const { dir, name, to } of edits) {
        set(dir.entries, name, to)
        if (dir.stable !== undefined) set(dir.stable, name, to)
      }
      if (places !== undefined) this.placed.set(places, (this.placed.get(places) ?? 0) + 1)
      return
    }
    for (const change of this.changes) {
      if (!needs.includes(change) && change.edits.some((edit) => touches(edits, edit))) needs.push(change)
    }
    for (const { dir, name, to } of edits) {
      dir.stable ??= new Map(dir.entries)
      set(dir.entries, name, to)
    }
    this.changes.push({ edits, needs, places, done: false })
  }

  write(file: FileNode, at: number, bytes: Uint8Array, through: boolean): void {
    file.data = spliced(file.data, at, bytes)
    if (through) file.stable = file.data
    else file.writes.push({ seq: ++this.#seq, at, bytes })
  }

  truncate(file: FileNode, size: number, through: boolean): void {
    file.data = resized(file.data, size)
    if (through) file.stable = file.data
    else file.writes.push({ seq: ++this.#seq, at: size, bytes: undefined })
  }

  /** What an fsync that begins now will have made durable when it ends: nothing before the result is called. */
  syncFile(file: FileNode): () => void {
    const { data } = file
    const seq = file.writes.at(-1)?.seq ?? file.stableSeq
    return () => {
      if (seq <= file.stableSeq) return
      file.stable = data
      file.stableSeq = seq
      file.writes = file.writes.filter((write) => write.seq > seq)
    }
  }

  /** The same for a directory. */
  syncDir(dir: DirNode): () => void {
    const covered = this.changes.filter(({ edits }) => edits.some((edit) => edit.dir === dir))
    return () => this.#persist(covered)
  }

  /** Everything is durable from now on. */
  settle(): void {
    this.#persist(this.changes)
    const all = new Set<Node>()
    visit(this.root, all)
    for (const node of all) if (node.kind === 'file') this.syncFile(node)()
  }

  #persist(changes: readonly Change[]): void {
    const persisted = new Set<Change>()
    const add = (change: Change): void => {
      if (change.done || persisted.has(change)) return
      persisted.add(change)
      change.needs.forEach(add)
    }
    changes.forEach(add)
    if (persisted.size === 0) return
    const dirs = new Set<DirNode>()
    for (const change of this.changes) {
      if (!persisted.has(change)) continue
      change.done = true
      for (const { dir, name, to } of change.edits) {
        set(dir.stable as Map<string, Node>, name, to)
        dirs.add(dir)
      }
      const { places } = change
      if (places !== undefined) this.placed.set(places, (this.placed.get(places) ?? 0) + 1)
    }
    this.changes = this.changes.filter((change) => !change.done)
    for (const { edits } of this.changes) for (const { dir } of edits) dirs.delete(dir)
    for (const dir of dirs) dir.stable = undefined
  }

  /** The disk as it is found after a power cut with this outcome. */
  after({ changes, contents }: Outcome): Disk {
    const edited = new Map<DirNode, Map<string, Node>>()
    const disk = new Disk()
    disk.placed = new Map(this.placed)
    for (const change of this.changes) {
      if (!changes.has(change)) continue
      for (const { dir, name, to } of change.edits) {
        let entries = edited.get(dir)
        if (entries === undefined) edited.set(dir, (entries = new Map(dir.stable)))
        set(entries, name, to)
      }
      const { places } = change
      if (places !== undefined) disk.placed.set(places, (disk.placed.get(places) ?? 0) + 1)
    }
    const copies = new Map<Node, Node>()
    const copy = (node: Node): Node => {
      const there = copies.get(node)
      if (there !== undefined) return there
      if (node.kind === 'file') {
        const file = new FileNode()
        file.data = file.stable = node.writes.length === 0 ? node.data : (contents.get(node) ?? node.stable)
        file.mtime = node.mtime
        copies.set(node, file)
        return file
      }
      const dir = new DirNode()
      dir.mtime = node.mtime
      copies.set(node, dir)
      for (const [name, inner] of edited.get(node) ?? node.stable ?? node.entries) dir.entries.set(name, copy(inner))
      return dir
    }
    disk.root = copy(this.root) as DirNode
    return disk
  }

  /** Another disk in the same state, durable or not. */
  clone(): Disk {
    const disk = new Disk()
    disk.placed = new Map(this.placed)
    disk.#seq = this.#seq
    const copies = new Map<Node, Node>()
    const copy = (node: Node): Node => {
      const there = copies.get(node)
      if (there !== undefined) return there
      if (node.kind === 'file') {
        const file = new FileNode()
        Object.assign(file, node)
        file.writes = node.writes.length === 0 ? [] : [...node.writes]
        copies.set(node, file)
        return file
      }
      const dir = new DirNode()
      dir.mtime = node.mtime
      copies.set(node, dir)
      for (const [name, inner] of node.entries) dir.entries.set(name, copy(inner))
      if (node.stable !== undefined) {
        dir.stable = new Map()
        for (const [name, inner] of node.stable) dir.stable.set(name, copy(inner))
      }
      return dir
    }
    disk.root = copy(this.root) as DirNode
    const changes = new Map<Change, Change>()
    for (const change of this.changes) {
      const twin: Change = {
        edits: change.edits.map(({ dir, name, to }) => ({
          dir: copy(dir) as DirNode,
          name,
          to: to === undefined ? undefined : copy(to),
        })),
        needs: change.needs.flatMap((need) => changes.get(need) ?? []),
        places: change.places,
        done: false,
      }
      changes.set(change, twin)
      disk.changes.push(twin)
    }
    return disk
  }
}

function set(entries: Map<string, Node>, name: string, to: Node | undefined): void {
  if (to === undefined) entries.delete(name)
  else entries.set(name, to)
}

function touches(edits: readonly Edit[], { dir, name }: Edit): boolean {
  return edits.some((edit) => edit.dir === dir && edit.name === name)
}

function visit(node: Node, all: Set<Node>): void {
  if (all.has(node)) return
  all.add(node)
  if (node.kind === 'dir') for (const inner of node.entries.values()) visit(inner, all)
}

export function resized(data: Uint8Array, size: number): Uint8Array {
  const out = new Uint8Array(size)
  out.set(data.length > size ? data.subarray(0, size) : data)
  return out
}

export function spliced(data: Uint8Array, at: number, bytes: Uint8Array): Uint8Array {
  const out = resized(data, Math.max(data.length, at + bytes.length))
  out.set(bytes, at)
  return out
}
