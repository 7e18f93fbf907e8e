// A process that is killed, for tests through the file door: the step that would be the `at`-th to change the disk fails
// half done, as do all later ones. What is on disk then is what a crash leaves. (Not a power cut: nothing that was
// written without fsync is lost.)

import { type FileHandle, type Files, nodeFiles } from '../lib/disk/files.ts'

export class Killed extends Error {}

export interface Mortal {
  files: Files
  /** Changes so far. */
  readonly steps: number
  readonly dead: boolean
  /** Resolves when nothing that had begun is under way any more: a dead process does nothing either. */
  idle(): Promise<void>
}

export function mortal(at: number): Mortal {
  let steps = 0
  const step = (): void => {
    if (steps++ >= at) throw new Killed(`killed at step ${at}`)
  }
  const change = <A extends unknown[], R>(work: (...args: A) => Promise<R>): ((...args: A) => Promise<R>) =>
    async (...args) => {
      step()
      return during(work(...args))
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
  const handle = (inner: FileHandle): FileHandle => ({
    read: (...args) => inner.read(...args),
    size: () => inner.size(),
    close: () => inner.close(),
    sync: change(() => inner.sync()),
    truncate: change((size) => inner.truncate(size)),
    async write(bytes, position) {
      if (steps >= at) await during(inner.write(bytes.subarray(0, bytes.length / 2), position))
      step()
      await during(inner.write(bytes, position))
    },
  })
  const files: Files = {
    ...nodeFiles,
    async open(path, mode) {
      if (mode !== 'read') step()
      return handle(await during(nodeFiles.open(path, mode)))
    },
    mkdir: change((path: string) => nodeFiles.mkdir(path)),
    rmdir: change((path: string) => nodeFiles.rmdir(path)),
    rename: change((from: string, to: string) => nodeFiles.rename(from, to)),
    link: change((from: string, to: string) => nodeFiles.link(from, to)),
    unlink: change((path: string) => nodeFiles.unlink(path)),
    syncDir: change((path: string) => nodeFiles.syncDir(path)),
    chmod: change((path: string, mode: number) => nodeFiles.chmod(path, mode)),
    utimes: change((path: string, ms: number) => nodeFiles.utimes(path, ms)),
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
