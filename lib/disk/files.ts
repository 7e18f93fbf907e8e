// The one door to the file system: primitive operations, each a single promise to keep or to break, so that a
// simulated disk can take its place. Nothing above knows node:fs. Missing files are answers, not errors, wherever
// "is it there?" is a normal question. Files are made 0600 and directories 0700. What waits for the disk (fsync, large
// reads and writes, listings) is done by other threads, what only changes the system's memory in place.

import {
  chmodSync,
  closeSync,
  constants,
  type Dir,
  fsync as fsyncLater,
  linkSync,
  lstatSync,
  mkdirSync,
  open as openLater,
  openSync,
  opendir as opendirLater,
  readFileSync,
  readSync,
  readdir as readdirLater,
  readdirSync,
  readlinkSync,
  renameSync,
  rmdirSync,
  stat as statLater,
  statfsSync,
  symlinkSync,
  unlink as unlinkLater,
  utimesSync,
  watch as watchLater,
} from 'node:fs'
import { isCode } from '../base/fail.ts'
import { done, type FileHandle, later, NodeFileHandle } from './filehandle.ts'

export interface Stat {
  size: number
  mtimeMs: number
  mode: number
  uid: number
  dev: number
  ino: number
  kind: 'file' | 'dir' | 'link' | 'other'
}

/**
 * read: existing, read only. own: the same of the home itself, where no pipe keeps a reader waiting, hence many times
 * as fast. append: O_APPEND, made if absent. create: O_EXCL. update: existing, read and write.
 */
export type OpenMode = 'read' | 'own' | 'append' | 'create' | 'update'

export interface Files {
  read(path: string): Promise<Uint8Array>
  /** The same of a file of the home itself if it has less than `size` bytes, else nothing. */
  short(path: string, size: number): Promise<Uint8Array | undefined>
  open(path: string, mode: OpenMode): Promise<FileHandle>
  /** lstat; undefined if nothing is there. */
  stat(path: string): Promise<Stat | undefined>
  /** What a symbolic link holds; undefined if there is none. */
  readlink(path: string): Promise<string | undefined>
  /** Names in a directory, in no order; none if there is no directory. */
  list(directory: string): Promise<string[]>
  /** The same piece by piece: however many they are, few are in memory. */
  pieces(directory: string): AsyncIterable<readonly string[]>
  /** False if it was there. */
  mkdir(path: string): Promise<boolean>
  rmdir(path: string): Promise<void>
  rename(from: string, to: string): Promise<void>
  link(from: string, to: string): Promise<void>
  symlink(target: string, path: string): Promise<void>
  /** False if it was not there. */
  unlink(path: string): Promise<boolean>
  syncDir(directory: string): Promise<void>
  chmod(path: string, mode: number): Promise<void>
  utimes(path: string, ms: number): Promise<void>
  /**
   * Calls back after something in the directory or file may have changed, with the name in the directory where the
   * system tells it; a hint, never the only wake-up.
   */
  watch(path: string, onChange: (name?: string) => void): () => void
  /** Bytes free to this user, bytes in all, and the file system's magic number (statfs(2)). */
  statfs(path: string): Promise<{ free: number; total: number; type: number }>
}

const { O_RDONLY, O_NONBLOCK } = constants
const FLAGS: Record<OpenMode, string | number> = {
  read: 'r',
  own: O_RDONLY | O_NONBLOCK,
  append: 'a+',
  create: 'wx+',
  update: 'r+',
}

/** Names in a piece of a directory. */
const PIECE = 128

/** Listings made in place: a command that only looks ends without ever starting node's threads. */
let inPlace = 16
/** Bytes of a directory that has few names in it: what file systems call its size grows with their number. */
const FEW = 16 * 1024

/** See manyThreads(). */
const THREADS = 32

/**
 * For commands that bring many files to disk: `THREADS` fsyncs at once, which the file system answers with few commits
 * of its journal. To be called before anything else here; without, there are four.
 */
export function manyThreads(): void {
  if (process.env['UV_THREADPOOL_SIZE'] !== undefined) return
  process.env['UV_THREADPOOL_SIZE'] = String(THREADS)
  statLater('/', () => undefined) // starts the threads: the number is read once, and is nobody else's business
  delete process.env['UV_THREADPOOL_SIZE']
}

/** Where short files are read to. */
let scratch = Buffer.alloc(0)

/** The real file system. */
export const nodeFiles: Files = {
  async read(path) {
    return readFileSync(path)
  },
  async short(path, size) {
    if (scratch.length < size) scratch = Buffer.alloc(size)
    const fd = openSync(path, FLAGS.own)
    try {
      const read = readSync(fd, scratch, 0, size, null)
      return read < size ? Buffer.from(scratch.subarray(0, read)) : undefined // many share a page
    } finally {
      closeSync(fd)
    }
  },
  async open(path, mode) {
    // What is made or changed is ours; a file to be read may be a pipe that nobody writes to yet.
    if (mode !== 'read') return new NodeFileHandle(openSync(path, FLAGS[mode], 0o600), false)
    return new NodeFileHandle(await later<number>((end) => openLater(path, FLAGS.read, end)), true)
  },
  async stat(path) {
    try {
      const s = lstatSync(path, { throwIfNoEntry: false })
      if (s === undefined) return undefined
      const kind = s.isFile() ? 'file' : s.isDirectory() ? 'dir' : s.isSymbolicLink() ? 'link' : 'other'
      return { size: s.size, mtimeMs: s.mtimeMs, mode: s.mode & 0o7777, uid: s.uid, dev: s.dev, ino: s.ino, kind }
    } catch (error) {
      if (isCode(error, 'ENOENT', 'ENOTDIR')) return undefined
      throw error
    }
  },
  async readlink(path) {
    try {
      return readlinkSync(path)
    } catch {
      return undefined
    }
  },
  async list(directory) {
    try {
      return inPlace-- > 0 ? readdirSync(directory) : await later<string[]>((end) => readdirLater(directory, end))
    } catch (error) {
      if (isCode(error, 'ENOENT')) return []
      throw error
    }
  },
  async *pieces(directory) {
    if (inPlace > 0 && (lstatSync(directory, { throwIfNoEntry: false })?.size ?? 0) <= FEW) {
      yield await nodeFiles.list(directory)
      return
    }
    let dir: Dir
    try {
      dir = await later<Dir>((end) => opendirLater(directory, { bufferSize: PIECE }, end))
    } catch (error) {
      if (isCode(error, 'ENOENT')) return
      throw error
    }
    try {
      // The first read of a piece is another thread's work, the others take what it brought.
      for (let entry = await dir.read(); entry !== null; entry = await dir.read()) {
        const piece = [entry.name]
        while (piece.length < PIECE && (entry = dir.readSync()) !== null) piece.push(entry.name)
        yield piece
        if (entry === null) return
      }
    } finally {
      dir.closeSync()
    }
  },
  async mkdir(path) {
    try {
      mkdirSync(path, 0o700)
      return true
    } catch (error) {
      if (isCode(error, 'EEXIST')) return false
      throw error
    }
  },
  rmdir: async (path) => rmdirSync(path),
  rename: async (from, to) => renameSync(from, to),
  link: async (from, to) => linkSync(from, to),
  symlink: async (target, path) => symlinkSync(target, path),
  async unlink(path) {
    try {
      await done((end) => unlinkLater(path, end)) // frees blocks: this one may wait for the disk
      return true
    } catch (error) {
      if (isCode(error, 'ENOENT')) return false
      throw error
    }
  },
  async syncDir(directory) {
    const fd = openSync(directory, 'r')
    try {
      await done((end) => fsyncLater(fd, end))
    } finally {
      closeSync(fd)
    }
  },
  chmod: async (path, mode) => chmodSync(path, mode),
  utimes: async (path, ms) => utimesSync(path, ms / 1000, ms / 1000),
  watch(path, onChange) {
    try {
      const watcher = watchLater(path, { persistent: false }, (_, name) => onChange(name ?? undefined))
      watcher.on('error', () => watcher.close())
      return () => watcher.close()
    } catch {
      return () => undefined // inotify may be used up: callers poll as well
    }
  },
  async statfs(path) {
    const s = statfsSync(path)
    return { free: s.bavail * s.bsize, total: s.blocks * s.bsize, type: s.type }
  },
}
