// Standard descriptors without the streams that node has for them, which take 3 ms to load. What cannot wait is read and
// written in place: a plain file, /dev/null, a pipe as long as it has bytes or room. The rest is for node's streams.

import { closeSync, constants, fstatSync, openSync, readSync, type Stats, writeSync, writevSync } from 'node:fs'
import { isatty } from 'node:tty'

import { isCode } from '../base/fail.ts'

const { O_NONBLOCK, O_RDONLY, O_WRONLY } = constants

/** st_rdev of /dev/null on Linux: null(4). */
const NULL_DEVICE = 0x103

function stat(fd: number): Stats | undefined {
  try {
    return fstatSync(fd)
  } catch {
    return undefined // closed
  }
}

/** True if a person may sit there. */
export function isTerminal(fd: 0 | 1 | 2): boolean {
  const found = stat(fd)
  if (found?.isCharacterDevice() !== true || found.rdev === NULL_DEVICE) return false
  return isatty(fd)
}

/**
 * A number at which descriptor 0 or 1 is read or written without waiting; undefined if that is not possible. A pipe is
 * opened anew, by which nobody else who has it comes to not waiting (EAGAIN then). 0 and 1 themselves are not to be closed.
 */
export function unwaiting(fd: 0 | 1): number | undefined {
  const found = stat(fd)
  if (found === undefined) return undefined
  if (found.isFile() || (found.isCharacterDevice() && found.rdev === NULL_DEVICE)) return fd
  if (!found.isFIFO()) return undefined
  try {
    return openSync(`/proc/self/fd/${fd}`, (fd === 0 ? O_RDONLY : O_WRONLY) | O_NONBLOCK)
  } catch {
    return undefined // not Linux; another user's; a FIFO whose other end is gone
  }
}

/** Closes what unwaiting() opened. */
export function release(number: number | undefined): void {
  if (number !== undefined && number > 2) closeSync(number)
}

/** Writes what there is room for, one part behind the other; returns what is left. Throws as writev(2) fails, but for EAGAIN. */
export function writeSome(number: number, parts: readonly Uint8Array[]): readonly Uint8Array[] {
  let left = parts
  try {
    while (left.length > 0) left = behind(left, left.length === 1 ? writeSync(number, left[0] as Uint8Array) : writevSync(number, left))
  } catch (error) {
    if (!isCode(error, 'EAGAIN')) throw error
  }
  return left
}

/** Without the first `size` bytes, and without parts that are empty. */
function behind(parts: readonly Uint8Array[], size: number): Uint8Array[] {
  const left: Uint8Array[] = []
  let gone = size
  for (const part of parts) {
    if (part.length > gone) left.push(gone === 0 ? part : part.subarray(gone))
    gone = Math.max(0, gone - part.length)
  }
  return left
}

/** How many bytes were read to the start of `into`: 0 at the end, undefined if there are none yet. Throws as read(2) fails. */
export function readInto(number: number, into: Uint8Array): number | undefined {
  try {
    return readSync(number, into, 0, into.length, null)
  } catch (error) {
    if (isCode(error, 'EAGAIN')) return undefined
    throw error
  }
}

/** Up to `size` bytes; empty at the end, undefined if there are none yet. Throws as read(2) fails. */
export function readSome(number: number, size: number): Uint8Array | undefined {
  const bytes = new Uint8Array(size)
  const read = readInto(number, bytes)
  return read === undefined ? undefined : bytes.subarray(0, read)
}
