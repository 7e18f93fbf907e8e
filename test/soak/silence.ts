// A stopped process as it looks to the others after more than the ten seconds in which it would have touched its locks.
// To the process itself, when it goes on, its locks look as it left them, unless somebody has taken them.

import { readdirSync, readFileSync, statSync, utimesSync } from 'node:fs'

import type { Home } from '../../lib/disk/home.ts'

/** Makes the locks of this process old; returns how to undo it. */
export function silence(home: Home, pid: number): () => void {
  const undo: (() => void)[] = []
  for (const name of readdirSync(home.at('lock'))) {
    if (!name.endsWith('.owner')) continue
    const lock = home.at('lock', name.replace(/owner$/, 'lock'))
    try {
      if ((JSON.parse(readFileSync(home.at('lock', name), 'utf8')) as { pid: number }).pid !== pid) continue
      const { mtimeMs, ino } = statSync(lock)
      utimesSync(lock, 1, 1)
      undo.push(() => {
        const now = statSync(lock, { throwIfNoEntry: false })
        if (now?.ino === ino && now.mtimeMs === 1000) utimesSync(lock, mtimeMs / 1000, mtimeMs / 1000)
      })
    } catch {
      // it was released just before, or the note is not whole
    }
  }
  return () => undo.forEach((each) => each())
}
