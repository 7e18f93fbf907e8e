// A process that meets its fate at one step, for tests through the file door. A step is an operation that changes the
// disk; what is done by halves is a write of which the first half is there. What is on disk after a death is what a
// crash leaves. (Not a power cut: nothing that was written without fsync is lost.)

import type { FileHandle } from '../lib/disk/filehandle.ts'
import { type Files, nodeFiles } from '../lib/disk/files.ts'

export class Killed extends Error {}

/**
 * What happens at the `at`-th step, counted from 0.
 *
 * dead: it fails half done, as do all later ones: a process that was killed, seen from within.
 * KILL: the process itself is killed there, half done.
 * EIO, ENOSPC: it fails half done with this error; later ones do not.
 * full: it and all later ones that take room fail with ENOSPC, half done.
 * short: it is a write that the system does only in part, without an error; the rest is up to the caller.
 */
export type Fate = 'dead' | 'KILL' | 'EIO' | 'ENOSPC' | 'full' | 'short'

export interface Mortal {
  files: Files
  /** Changes so far. */
  readonly steps: number
  readonly dead: boolean
  /** Resolves when nothing that had begun is under way any more: a dead process does nothing either. */
  idle(): Promise<void>
}

export interface MortalOptions {
  fate?: Fate
  /** Told of each step before it is done, and whether it meets its fate. */
  told?: (what: string, met: boolean) => void
  /** Makes the next write of this process a short one. */
  shorten?: () => void
}

/** Steps that a full disk does not allow. */
export const TAKES_ROOM: readonly string[] = ['create', 'mkdir', 'link', 'write']

export function mortal(at: number, { fate = 'dead', told, shorten }: MortalOptions = {}): Mortal {
  let steps = 0
  const meets = (what: string): boolean => {
    if (fate === 'dead') return steps >= at
    if (fate === 'full') return steps >= at && TAKES_ROOM.includes(what)
    return steps === at
  }
  const step = (what: string, path: string): void => {
    const met = meets(what)
    told?.(`${what} ${path}`, met)
    steps++
    if (!met) return
    if (fate === 'dead') throw new Killed(`killed at step ${at}`)
    if (fate === 'KILL') process.kill(process.pid, 'SIGKILL')
    if (fate === 'short') return shorten?.()
    const code = fate === 'full' ? 'ENOSPC' : fate
    throw Object.assign(new Error(`${code}: step ${at}, ${what} ${path}`), { code, syscall: what, path })
  }
  const underWay = new Set<Promise<unknown>>()
  const during = async <R>(work: Promise<R>): Promise<R> => {
    underWay.add(work)
    try {
      return await work
    } finally {
      underWay.delete(work)
    }
  }
  const change = async <R>(what: string, path: string, work: () => Promise<R>): Promise<R> => {
    // Whose process is dead holds no lock; here the process lives, so what it gives back on its way out counts.
    if (fate === 'dead' && steps >= at && what === 'rmdir' && /\/lock\/[^/]+\.lock$/.test(path)) return during(work())
    step(what, path)
    return during(work())
  }
  const handle = (inner: FileHandle, path: string): FileHandle => ({
    read: (...args) => inner.read(...args),
    size: () => inner.size(),
    close: () => inner.close(),
    sync: () => change('sync', path, () => inner.sync()),
    truncate: (size) => change('truncate', path, () => inner.truncate(size)),
    async write(bytes, ...where) {
      const half = fate === 'dead' ? steps === at : fate !== 'short' && meets('write')
      if (half) await during(inner.write(bytes.subarray(0, bytes.length / 2), ...where))
      await change('write', path, () => inner.write(bytes, ...where))
    },
  })
  const files: Files = {
    ...nodeFiles,
    async open(path, mode) {
      if (mode === 'read' || mode === 'own') return during(nodeFiles.open(path, mode))
      return handle(await change(mode, path, () => nodeFiles.open(path, mode)), path)
    },
    mkdir: (path) => change('mkdir', path, () => nodeFiles.mkdir(path)),
    rmdir: (path) => change('rmdir', path, () => nodeFiles.rmdir(path)),
    rename: (from, to) => change('rename', `${from} ${to}`, () => nodeFiles.rename(from, to)),
    link: (from, to) => change('link', `${from} ${to}`, () => nodeFiles.link(from, to)),
    symlink: (target, path) => change('symlink', path, () => nodeFiles.symlink(target, path)),
    unlink: (path) => change('unlink', path, () => nodeFiles.unlink(path)),
    syncDir: (path) => change('syncDir', path, () => nodeFiles.syncDir(path)),
    chmod: (path, mode) => change('chmod', path, () => nodeFiles.chmod(path, mode)),
    utimes: (path, ms) => change('utimes', path, () => nodeFiles.utimes(path, ms)),
  }
  return {
    files,
    get steps() {
      return steps
    },
    get dead() {
      return steps > at
    },
    async idle() {
      do {
        await Promise.allSettled(underWay)
        await new Promise((resolve) => setTimeout(resolve, 5))
      } while (underWay.size > 0)
    },
  }
}
