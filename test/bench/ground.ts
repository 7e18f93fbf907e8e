// Where the bench works, so that a figure does not depend on what was done before it. Two things of Linux would get in
// the way: ext4 without a journal looks at every inode that was deleted near by within a minute before it hands one
// out, which makes new files ten times as dear; and on a virtual machine memory that was never used costs more to
// touch for the first time than to fill.

import { execFileSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, rmSync, unlinkSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const MIB = 2 ** 20

let made: string | undefined

/** A folder in $TMPDIR, gone when the process ends; each folder made in it gets a part of the disk of its own. */
export function ground(): string {
  if (made !== undefined) return made
  const folder = mkdtempSync(join(tmpdir(), 'b-'))
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  try {
    execFileSync('chattr', ['+T', folder], { stdio: 'ignore' }) // ext4: what is in here are tops of hierarchies
  } catch {
    // another file system: nothing of this is known of it
  }
  made = folder
  return folder
}

/** Has as many bytes of page cache handed out and given back: who writes next gets memory that the machine has. */
export function warm(bytes: number): void {
  const path = join(ground(), 'warm')
  const page = new Uint8Array(MIB).fill(1)
  const fd = openSync(path, 'wx')
  try {
    for (let at = 0; at < bytes; at += MIB) writeSync(fd, page)
  } finally {
    closeSync(fd)
    unlinkSync(path)
  }
}
