// Standard descriptors without the streams that node has for them, which take 3 ms to load. What cannot wait is read and
// written in place: a plain file, /dev/null, a pipe as long as it has bytes or room. The rest is for node's streams.

import { closeSync, constants, fstatSync, openSync, readSync, type Stats, writeSync } from 'node:fs'
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

/** Writes what there is room for; returns how much. Throws as write(2) fails, but for EAGAIN. */
export function writeSome(number: number, bytes: Uint8Array): number {
  let at = 0
  try {
    while (at < bytes.length) at += writeSync(number, bytes, at, bytes.length - at, null)
  } catch (error) {
    if (!isCode(error, 'EAGAIN')) throw error
  }
  return at
}

/** Up to `size` bytes; empty at the end, undefined if there are none yet. Throws as read(2) fails. */
export function readSome(number: number, size: number): Uint8Array | undefined {
  const bytes = new Uint8Array(size)
  try {
    return bytes.subarray(0, readSync(number, bytes, 0, size, null))
  } catch (error) {
    if (isCode(error, 'EAGAIN')) return undefined
    throw error
  }
}
