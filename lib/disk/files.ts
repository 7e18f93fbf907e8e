// The one door to the file system: primitive operations, each a single promise to keep or to break, so that a
// simulated disk can take its place. Nothing above knows node:fs. Missing files are answers, not errors, wherever
// "is it there?" is a normal question. Files are made 0600 and directories 0700.

import { watch as fsWatch } from 'node:fs'
import * as fs from 'node:fs/promises'

import { isCode } from '../base/fail.ts'

export interface FileHandle {
  /** Up to `length` bytes from `position`; shorter only at the end of the file. */
  read(position: number, length: number): Promise<Uint8Array>
  /** All of `bytes`, at `position`, else at the end (append) or where the last write stopped. */
  write(bytes: Uint8Array, position?: number): Promise<void>
  /** Data and size durable. After a failure the file must be written anew: its dirty pages are marked clean. */
  sync(): Promise<void>
  truncate(size: number): Promise<void>
  size(): Promise<number>
  close(): Promise<void>
}

export interface Stat {
  size: number
  mtimeMs: number
  mode: number
  uid: number
  dev: number
  ino: number
  kind: 'file' | 'dir' | 'link' | 'other'
}

/** read: existing, read only. append: O_APPEND, made if absent. create: O_EXCL. update: existing, read and write. */
export type OpenMode = 'read' | 'append' | 'create' | 'update'

export interface Files {
  read(path: string): Promise<Uint8Array>
  open(path: string, mode: OpenMode): Promise<FileHandle>
  /** lstat; undefined if nothing is there. */
  stat(path: string): Promise<Stat | undefined>
  /** What a symbolic link holds; undefined if there is none. */
  readlink(path: string): Promise<string | undefined>
  /** Names in a directory, in no order; none if there is no directory. */
  list(directory: string): Promise<string[]>
  /** False if it was there. */
  mkdir(path: string): Promise<boolean>
  rmdir(path: string): Promise<void>
  rename(from: string, to: string): Promise<void>
  link(from: string, to: string): Promise<void>
  /** False if it was not there. */
  unlink(path: string): Promise<boolean>
  syncDir(directory: string): Promise<void>
  chmod(path: string, mode: number): Promise<void>
  utimes(path: string, ms: number): Promise<void>
  /** Calls back after something in the directory or file may have changed; a hint, never the only wake-up. */
  watch(path: string, onChange: () => void): () => void
  /** Bytes free to this user, bytes in all, and the file system's magic number (statfs(2)). */
  statfs(path: string): Promise<{ free: number; total: number; type: number }>
}

const FLAGS: Record<OpenMode, string> = { read: 'r', append: 'a+', create: 'wx+', update: 'r+' }

class NodeFileHandle implements FileHandle {
  readonly #handle: fs.FileHandle
  #seekable = true

  constructor(handle: fs.FileHandle) {
    this.#handle = handle
  }

  async read(position: number, length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(length)
    let at = 0
    while (at < length) {
      const bytesRead = await this.#readSome(bytes.subarray(at), position + at)
      if (bytesRead === 0) break
      at += bytesRead
    }
    return at === length ? bytes : bytes.subarray(0, at)
  }

  async #readSome(into: Uint8Array, position: number): Promise<number> {
    try {
      return (await this.#handle.read(into, 0, into.length, this.#seekable ? position : null)).bytesRead
    } catch (error) {
      if (!this.#seekable || !isCode(error, 'ESPIPE')) throw error
      this.#seekable = false // a pipe, as in -a <(command): read as it comes
      return this.#readSome(into, position)
    }
  }

  async write(bytes: Uint8Array, position?: number): Promise<void> {
    let at = 0
    while (at < bytes.length) {
      const to = position === undefined ? null : position + at
      const { bytesWritten } = await this.#handle.write(bytes, at, bytes.length - at, to)
      at += bytesWritten
    }
  }

  sync(): Promise<void> {
    return this.#handle.datasync()
  }

  truncate(size: number): Promise<void> {
    return this.#handle.truncate(size)
  }

  async size(): Promise<number> {
    return (await this.#handle.stat()).size
  }

  close(): Promise<void> {
    return this.#handle.close()
  }
}

/** The real file system. */
export const nodeFiles: Files = {
  async read(path) {
    return fs.readFile(path)
  },
  async open(path, mode) {
    return new NodeFileHandle(await fs.open(path, FLAGS[mode], 0o600))
  },
  async stat(path) {
    try {
      const s = await fs.lstat(path)
      const kind = s.isFile() ? 'file' : s.isDirectory() ? 'dir' : s.isSymbolicLink() ? 'link' : 'other'
      return { size: s.size, mtimeMs: s.mtimeMs, mode: s.mode & 0o7777, uid: s.uid, dev: s.dev, ino: s.ino, kind }
    } catch (error) {
      if (isCode(error, 'ENOENT', 'ENOTDIR')) return undefined
      throw error
    }
  },
  async readlink(path) {
    return fs.readlink(path).catch(() => undefined)
  },
  async list(directory) {
    try {
      return await fs.readdir(directory)
    } catch (error) {
      if (isCode(error, 'ENOENT')) return []
      throw error
    }
  },
  async mkdir(path) {
    try {
      await fs.mkdir(path, 0o700)
      return true
    } catch (error) {
      if (isCode(error, 'EEXIST')) return false
      throw error
    }
  },
  rmdir: (path) => fs.rmdir(path),
  rename: (from, to) => fs.rename(from, to),
  link: (from, to) => fs.link(from, to),
  async unlink(path) {
    try {
      await fs.unlink(path)
      return true
    } catch (error) {
      if (isCode(error, 'ENOENT')) return false
      throw error
    }
  },
  async syncDir(directory) {
    const handle = await fs.open(directory, 'r')
    try {
      await handle.sync()
    } finally {
      await handle.close()
    }
  },
  chmod: (path, mode) => fs.chmod(path, mode),
  utimes: (path, ms) => fs.utimes(path, ms / 1000, ms / 1000),
  watch(path, onChange) {
    try {
      const watcher = fsWatch(path, { persistent: false }, onChange)
      watcher.on('error', () => watcher.close())
      return () => watcher.close()
    } catch {
      return () => undefined // inotify may be used up: callers poll as well
    }
  },
  async statfs(path) {
    const s = await fs.statfs(path)
    return { free: s.bavail * s.bsize, total: s.blocks * s.bsize, type: s.type }
  },
}
