// An open file of node: bytes to and from it, and made durable. Small pieces are read and written in place, all else is
// done by other threads. Much that is written is not copied into the system's memory of files, as long as the disk keeps
// up: the copy takes time, and the fsync at the end would find it all still to be done. It trusts its caller to leave the
// bytes of a write alone until that is done.

import {
  closeSync,
  constants,
  fdatasync as fdatasyncLater,
  fstatSync,
  ftruncateSync,
  openSync,
  read as readLater,
  readSync,
  write as writeLater,
  writeSync,
} from 'node:fs'

import { isCode } from '../base/fail.ts'

export interface FileHandle {
  /** Up to `length` bytes from `position`; shorter only at the end of the file. They may lie in `into`, if it is given. */
  read(position: number, length: number, into?: Uint8Array): Promise<Uint8Array>
  /**
   * All of `bytes`, at `position`, else at the end (append) or where the last write stopped. What lies in a growable
   * SharedArrayBuffer, whole pages of it, goes past the system's memory of files if the file system has that; not if
   * the disk is `behind`: that memory takes it at once, and hands the disk much at a time.
   */
  write(bytes: Uint8Array, position?: number, behind?: boolean): Promise<void>
  /** Data and size durable. After a failure the file must be written anew: its dirty pages are marked clean. */
  sync(): Promise<void>
  truncate(size: number): Promise<void>
  size(): Promise<number>
  /** Twice is fine. */
  close(): Promise<void>
}

/**
 * Up to this many bytes are read and written at once, in place. Handing an operation to another thread costs both
 * cores some 50 us, ten times what the operation itself costs as long as it moves bytes between us and the page cache.
 */
const IN_PLACE = 64 * 1024

/** A disk reads a program's own memory by whole pages, into as many of the file. */
const PAGE = 4096

/** What `start` hands on when another thread has done it. */
export function later<T>(start: (done: (error: Error | null, value: T) => void) => void): Promise<T> {
  return new Promise((resolve, reject) => start((error, value) => (error instanceof Error ? reject(error) : resolve(value))))
}

/** For what hands on nothing: fsync(2) and the like. */
export function done(start: (done: (error: Error | null) => void) => void): Promise<void> {
  return later<void>((end) => start((error) => end(error, undefined)))
}

export class NodeFileHandle implements FileHandle {
  /** Undefined once closed: the number may be another file by then. */
  #number: number | undefined
  /** Opened to be read by whoever named it: it may be a pipe, and block. */
  readonly #foreign: boolean
  #seekable = true
  /** The same file for writing past the page cache, open as long as this is; null if that is not to be had. */
  #direct: number | null | undefined
  /** It does not take what it was given. */
  #unfit = false
  /** Operations in other threads, which close() waits for. */
  #running = 0
  #idle: (() => void) | undefined

  constructor(fd: number, foreign: boolean) {
    this.#number = fd
    this.#foreign = foreign
  }

  get #fd(): number {
    if (this.#number === undefined) throw Object.assign(new Error('EBADF: file is closed'), { code: 'EBADF' })
    return this.#number
  }

  async #elsewhere<T>(work: Promise<T>): Promise<T> {
    this.#running++
    try {
      return await work
    } finally {
      if (--this.#running === 0) this.#idle?.()
    }
  }

  async read(position: number, length: number, into?: Uint8Array): Promise<Uint8Array> {
    const fresh = (): Uint8Array => (length > IN_PLACE ? Buffer.allocUnsafeSlow(length) : new Uint8Array(length))
    const bytes = into !== undefined && into.length >= length ? into.subarray(0, length) : fresh()
    let at = 0
    while (at < length) {
      const bytesRead = await this.#readSome(bytes.subarray(at), position + at)
      if (bytesRead === 0) break
      at += bytesRead
    }
    return at === length ? bytes : bytes.subarray(0, at)
  }

  async #readSome(into: Uint8Array, position: number): Promise<number> {
    if (!this.#foreign && into.length <= IN_PLACE) return readSync(this.#fd, into, 0, into.length, position)
    try {
      const from = this.#seekable ? position : null
      return await this.#elsewhere(later<number>((end) => readLater(this.#fd, into, 0, into.length, from, end)))
    } catch (error) {
      if (!this.#seekable || !isCode(error, 'ESPIPE')) throw error
      this.#seekable = false // a pipe, as in -a <(command): read as it comes
      return this.#readSome(into, position)
    }
  }

  async write(bytes: Uint8Array, position?: number, behind = false): Promise<void> {
    let at = 0
    while (at < bytes.length) {
      const to = position === undefined ? null : position + at
      const [from, left] = [at, bytes.length - at]
      at += left <= IN_PLACE ? writeSync(this.#fd, bytes, from, left, to) : await this.#writeSome(bytes, from, left, to, behind)
    }
  }

  async #writeSome(bytes: Uint8Array, from: number, left: number, to: number | null, behind: boolean): Promise<number> {
    const write = (fd: number): Promise<number> => this.#elsewhere(later<number>((end) => writeLater(fd, bytes, from, left, to, end)))
    const fd = this.#fd // throws once it is closed, and the second number with it
    const direct = !this.#unfit && !behind && wholePages(bytes, from, left, to) ? this.#openDirect() : null
    if (direct === null) return write(fd)
    try {
      return await write(direct)
    } catch (error) {
      if (!isCode(error, 'EINVAL', 'EOPNOTSUPP')) throw error
      this.#unfit = true // other pages than thought; not closed: another write may be about to use its number
      return write(this.#fd) // or it is closed by now, and the number may be another file's
    }
  }

  #openDirect(): number | null {
    if (this.#direct === undefined) {
      try {
        this.#direct = openSync(`/proc/self/fd/${this.#fd}`, constants.O_WRONLY | constants.O_DIRECT)
      } catch {
        this.#direct = null // another system, or a file system without it
      }
    }
    return this.#direct
  }

  sync(): Promise<void> {
    return new Promise((resolve, reject) => {
      fdatasyncLater(this.#fd, (error) => {
        if (--this.#running === 0) this.#idle?.()
        if (error === null) resolve()
        else reject(error)
      })
      this.#running++
    })
  }

  async truncate(size: number): Promise<void> {
    ftruncateSync(this.#fd, size)
  }

  async size(): Promise<number> {
    return fstatSync(this.#fd).size
  }

  async close(): Promise<void> {
    const fd = this.#number
    if (fd === undefined) return
    this.#number = undefined
    if (this.#running > 0) await new Promise<void>((resolve) => (this.#idle = resolve))
    if (typeof this.#direct === 'number') closeSync(this.#direct)
    closeSync(fd)
  }
}

/** Of memory that begins with a page: V8 takes what may grow from the system, all else from malloc. */
function wholePages(bytes: Uint8Array, from: number, size: number, to: number | null): boolean {
  const { growable } = bytes.buffer as { growable?: boolean }
  return growable === true && to !== null && [bytes.byteOffset + from, size, to].every((at) => at % PAGE === 0)
}
