// A lock for work of a moment, made as proper-lockfile makes it and kept out of its way: whoever holds one way is seen
// by whoever tries the other. That package takes longer to load than such work does. Like there, a lock that was lost
// belongs to somebody else: it is neither touched nor removed.

import { isCode } from '../base/fail.ts'
import type { Home } from './home.ts'

/** The part of proper-lockfile that lock.ts uses: rejects with ELOCKED if there is one; what it gives releases it. */
export function briefLock({ files, clock }: Home) {
  return async (_: string, { lockfilePath: path, update }: { lockfilePath: string; update: number }): Promise<() => Promise<void>> => {
    if (!(await files.mkdir(path))) throw Object.assign(new Error('there is a lock'), { code: 'ELOCKED' })
    const made = (await files.stat(path))?.ino
    const isOurs = async (): Promise<boolean> => made !== undefined && (await files.stat(path))?.ino === made
    const touch = async (): Promise<void> => {
      if (await isOurs()) await files.utimes(path, clock.now())
    }
    let cancel: () => void
    const again = (): void => {
      cancel = clock.after(
        update,
        () => {
          touch().catch(() => undefined) // others may take the holder for silent: see lock.ts
          again()
        },
        true,
      )
    }
    again()
    return async () => {
      cancel()
      if (!(await isOurs())) return
      await files.rmdir(path).catch((error: unknown) => {
        if (!isCode(error, 'ENOENT')) throw error
      })
    }
  }
}
