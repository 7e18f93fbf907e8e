// Who reads our standard output, if it is a pipe: the system tells a writer that nobody does only when it writes, and
// node cannot poll a pipe that is only written. So the processes of this user that hold its other end are looked for
// once, and looked at now and then. Linux only (proc_pid_fd(5)); where a reader cannot be seen, since it is another
// user's or in another namespace, nothing is claimed.

import { fstatSync, lstatSync, readdirSync, readlinkSync } from 'node:fs'

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

/** Calls `onGone` once when nobody reads standard output any more, as far as that can be known; stops when called. */
export function watchReaders(clock: Clock, onGone: () => void): () => void {
  let cancel = (): void => undefined
  try {
    if (!fstatSync(1).isFIFO()) return cancel
    const link = readlinkSync('/proc/self/fd/1')
    let known = readersOf(link)
    const look = (): void => {
      known = known.filter((path) => reads(path, link) !== 'no')
      if (known.length === 0) known = readersOf(link) // handed on meanwhile, as shells do
      if (known.length === 0) return onGone()
      cancel = clock.after(EVERY_MS, look, true)
    }
    if (known.length > 0) cancel = clock.after(EVERY_MS, look, true)
  } catch {
    // no /proc
  }
  return () => cancel()
}
