// What processes ask of their disk, as values: so that a life can be written down and gone through again.

import type { OpenMode } from '../../lib/disk/files.ts'
import { type Disk, diskError, type FileNode } from './disk.ts'

export type Op =
  | { do: 'read' | 'stat' | 'list' | 'mkdir' | 'rmdir' | 'unlink'; path: string }
  | SyncDir
  | { do: 'rename' | 'link'; path: string; from: string }
  | { do: 'open'; path: string; mode: OpenMode }
  | { do: 'utimes'; path: string; ms: number }
  | { do: 'write'; path: string; file: number; bytes: Uint8Array; at: number | undefined }
  | { do: 'truncate'; path: string; file: number; size: number }
  | { do: 'readAt'; path: string; file: number; at: number; size: number }
  | Sync
  | { do: 'size' | 'close'; path: string; file: number }
  | { do: 'lock'; path: string; stale: number; pid: number }
  | { do: 'unlock'; path: string }

export type Sync = { do: 'sync'; path: string; file: number }
export type SyncDir = { do: 'syncDir'; path: string }

/** What a look at an entry tells; undefined if there is none. */
export type Look = { kind: 'file' | 'dir'; size: number; mtime: number } | undefined

export type Answer = Uint8Array | string[] | Look | number | boolean | undefined

export interface OpenFile {
  readonly node: FileNode
  readonly append: boolean
  at: number
}

const EMPTY = new Uint8Array(0)

/** The state of a machine beside what is on its disk. */
export interface Kernel {
  disk: Disk
  readonly home: string
  /** By number. */
  readonly open: Map<number, OpenFile>
  opened: number
  /** Paths of locks, and who holds them. */
  readonly locks: Map<string, number>
  /** A path where nothing is ever lost: see decidesNothing(). */
  minor(path: string): boolean
  isAlive(pid: number): boolean
  /** For modification times: no two are the same. */
  stamp(): number
}

/** Whether it changes the disk in a way that a power cut may undo, or makes such a change durable. */
export function changes(kernel: Kernel, op: Op): boolean {
  switch (op.do) {
    case 'mkdir':
    case 'rmdir':
    case 'unlink':
    case 'rename':
    case 'link':
    case 'write':
    case 'truncate':
    case 'sync':
      return !kernel.minor(op.path)
    case 'open':
      return !['read', 'own', 'update'].includes(op.mode) && !kernel.minor(op.path)
    case 'syncDir':
      return !kernel.minor(`${op.path}/`)
    default:
      return false
  }
}

/** Done by another thread, where it may take a while. */
export function isSlow(op: Op): boolean {
  return op.do === 'sync' || op.do === 'syncDir' || op.do === 'unlink' || op.do === 'list' || (op.do === 'open' && op.mode === 'read')
}

/** Does it, and gives the answer; throws a DiskError. */
export function execute(kernel: Kernel, op: Op): Answer {
  const { disk } = kernel
  switch (op.do) {
    case 'read':
      return disk.file(op.path).data
    case 'stat': {
      const node = disk.find(op.path)
      if (node === undefined) return undefined
      return { kind: node.kind, size: node.kind === 'file' ? node.data.length : 0, mtime: node.mtime }
    }
    case 'list': {
      const node = disk.find(op.path)
      if (node === undefined) return []
      if (node.kind !== 'dir') throw diskError('ENOTDIR')
      return [...node.entries.keys()]
    }
    case 'mkdir': {
      const made = disk.mkdir(op.path, kernel.minor(op.path))
      if (made) {
        touch(kernel, op.path)
        disk.dir(op.path).mtime = kernel.stamp()
      }
      return made
    }
    case 'rmdir':
      disk.rmdir(op.path, kernel.minor(op.path))
      touch(kernel, op.path)
      return undefined
    case 'unlink': {
      const gone = disk.unlink(op.path, kernel.minor(op.path))
      if (gone) touch(kernel, op.path)
      return gone
    }
    case 'rename':
      disk.rename(op.from, op.path, kernel.minor(op.path) && kernel.minor(op.from), placed(kernel, op.path))
      touch(kernel, op.path)
      touch(kernel, op.from)
      return undefined
    case 'link':
      disk.link(op.from, op.path, kernel.minor(op.path), placed(kernel, op.path))
      touch(kernel, op.path)
      return undefined
    case 'syncDir':
    case 'sync':
      beginSync(kernel, op)()
      return undefined
    case 'utimes':
      disk.file(op.path).mtime = op.ms
      return undefined
    case 'open':
      return openFile(kernel, op.path, op.mode)
    case 'write': {
      const file = fileOf(kernel, op.file)
      const { node } = file
      const at = file.append ? node.data.length : (op.at ?? file.at)
      disk.write(node, at, op.bytes, kernel.minor(op.path))
      node.mtime = kernel.stamp()
      if (op.at === undefined) file.at = at + op.bytes.length
      return undefined
    }
    case 'truncate': {
      const { node } = fileOf(kernel, op.file)
      disk.truncate(node, op.size, kernel.minor(op.path))
      node.mtime = kernel.stamp()
      return undefined
    }
    case 'readAt': {
      const { data } = fileOf(kernel, op.file).node
      return op.at >= data.length ? EMPTY : data.subarray(op.at, op.at + op.size)
    }
    case 'size':
      return fileOf(kernel, op.file).node.data.length
    case 'close':
      kernel.open.delete(op.file)
      return undefined
    case 'lock':
      return lock(kernel, op.path, op.stale, op.pid)
    case 'unlock':
      kernel.locks.delete(op.path)
      if (disk.find(op.path) !== undefined) disk.rmdir(op.path, true)
      return undefined
  }
}

/** What an fsync that begins now will have made durable when it ends: nothing before the result is called. */
export function beginSync(kernel: Kernel, op: Sync | SyncDir): () => void {
  if (op.do === 'sync') return kernel.disk.syncFile(fileOf(kernel, op.file).node)
  return kernel.disk.syncDir(kernel.disk.dir(op.path))
}

function fileOf(kernel: Kernel, number: number): OpenFile {
  const file = kernel.open.get(number)
  if (file === undefined) throw diskError('EBADF')
  return file
}

function openFile(kernel: Kernel, path: string, mode: OpenMode): number {
  const { disk } = kernel
  let node = disk.find(path)
  if (mode === 'create' || (mode === 'append' && node === undefined)) {
    node = disk.create(path, kernel.minor(path), placed(kernel, path))
    node.mtime = kernel.stamp()
    touch(kernel, path)
  }
  if (node === undefined) throw diskError('ENOENT')
  if (node.kind === 'dir') throw diskError('EISDIR')
  const number = ++kernel.opened
  kernel.open.set(number, { node, append: mode === 'append', at: 0 })
  return number
}

/** The first 32 digits of the id of a message that a change of this name brings into the inbox. */
function placed(kernel: Kernel, path: string): string | undefined {
  const folder = `${kernel.home}/inbox/new/`
  return path.startsWith(folder) ? (path.slice(folder.length).split('.')[1] ?? path) : undefined
}

function touch(kernel: Kernel, path: string): void {
  const dir = kernel.disk.find(path.slice(0, path.lastIndexOf('/')))
  if (dir !== undefined) dir.mtime = kernel.stamp()
}

/** As proper-lockfile does it, but for the touching: a holder is known to live. */
function lock(kernel: Kernel, path: string, stale: number, pid: number): undefined {
  const { disk, locks } = kernel
  if (!disk.mkdir(path, true)) {
    const holder = locks.get(path)
    const age = kernel.stamp() - (disk.find(path)?.mtime ?? 0)
    if ((holder !== undefined && kernel.isAlive(holder)) || age <= stale) throw diskError('ELOCKED')
  }
  const dir = disk.find(path)
  if (dir !== undefined) dir.mtime = kernel.stamp()
  locks.set(path, pid)
  return undefined
}
