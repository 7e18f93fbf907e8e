// Who reads our standard output, if it is a pipe or a socket: the system tells a writer that nobody does only when it
// writes, and node cannot poll what is only written. So the processes of this user that hold the other end of a pipe are
// looked for once, and looked at now and then; a socket is written nothing to, which fails as a byte would. Linux only
// (proc_pid_fd(5)); where a reader cannot be seen, since it is another user's or in another namespace, nothing is claimed.

import { fstatSync, lstatSync, readdirSync, readlinkSync, writeSync } from 'node:fs'

import type { Clock } from '../base/clock.ts'
import { isCode } from '../base/fail.ts'

const EVERY_MS = 1000

/** Paths under /proc of all descriptors that read the pipe `link`, of other processes of this user. */
function readersOf(link: string): string[] {
  const found: string[] = []
  for (const pid of readdirSync('/proc')) {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) continue
    try {
      for (const fd of readdirSync(`/proc/${pid}/fd`)) if (reads(`/proc/${pid}/fd/${fd}`, link) === 'yes') found.push(`/proc/${pid}/fd/${fd}`)
    } catch {
      // over, or not ours
    }
  }
  return found
}

function reads(path: string, link: string): 'yes' | 'no' | 'unknown' {
  try {
    return readlinkSync(path) === link && (lstatSync(path).mode & 0o400) !== 0 ? 'yes' : 'no'
  } catch (error) {
    return isCode(error, 'EACCES', 'EPERM') ? 'unknown' : 'no' // it runs as somebody else by now
  }
}

/** False once the other end of the socket that is standard output has been closed, or reads no more. */
function isConnected(): boolean {
  try {
    writeSync(1, new Uint8Array(0))
    return true
  } catch (error) {
    return !isCode(error, 'EPIPE', 'ECONNRESET')
  }
}

/** Calls `onGone` once when nobody reads standard output any more, as far as that can be known; stops when called. */
export function watchReaders(clock: Clock, onGone: () => void): () => void {
  let cancel = (): void => undefined
  const watch = (isRead: () => boolean): void => {
    cancel = clock.after(EVERY_MS, () => (isRead() ? watch(isRead) : onGone()), true)
  }
  try {
    const stdout = fstatSync(1)
    if (stdout.isSocket()) watch(isConnected)
    if (stdout.isFIFO()) watchPipe(watch)
  } catch {
    // closed, or no /proc
  }
  return () => cancel()
}

function watchPipe(watch: (isRead: () => boolean) => void): void {
  const link = readlinkSync('/proc/self/fd/1')
  let known = readersOf(link)
  if (known.length === 0) return
  watch(() => {
    known = known.filter((path) => reads(path, link) !== 'no')
    if (known.length === 0) known = readersOf(link) // handed on meanwhile, as shells do
    return known.length > 0
  })
}
