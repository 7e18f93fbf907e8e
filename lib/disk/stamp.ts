// The creation times of a home: strictly increasing, whatever the clock does and however many processes send at once.
// The last one given out is the *name* of the one file in queue/clock/. Whoever renames it to a higher number owns
// the numbers in between: rename(2) lets exactly one of several win, needs no lock, and a process killed at any
// instant leaves the file under its old or its new name.

import { EX, Failure, isCode } from '../base/fail.ts'
import type { Home } from './home.ts'
import { withLock } from './lock.ts'

/** Listings without a file before it counts as absent: a listing may miss a file that is being renamed. */
const LOOKS = 8

/** Lost races before giving up; each means that another process got its numbers. */
const RACES = 100_000

/**
 * The first of `count` numbers (Unix us) that nobody else in this home gets: at least now, above all before.
 * Not fsynced: after a power cut the clock itself is beyond what was given out.
 */
export async function reserveStamps(home: Home, count: number): Promise<bigint> {
  const directory = home.at('queue', 'clock')
  for (let race = 0; race < RACES; race++) {
    const last = await lastStamp(home, directory)
    if (last === undefined) {
      await withLock(home, 'clock', () => firstStamp(home, directory), { overtake: true })
      continue
    }
    const now = home.clock.micros()
    const first = now > last ? now : last + 1n
    try {
      await home.files.rename(`${directory}/${last}`, `${directory}/${first + BigInt(count) - 1n}`)
      return first
    } catch (error) {
      if (!isCode(error, 'ENOENT')) throw error
    }
  }
  throw new Failure(EX.SOFTWARE, `no creation time to be had in ${directory}`)
}

async function lastStamp(home: Home, directory: string): Promise<bigint | undefined> {
  for (let look = 0; look < LOOKS; look++) {
    let last: bigint | undefined
    for (const name of await home.files.list(directory)) {
      if (/^[0-9]{1,18}$/.test(name) && (last === undefined || BigInt(name) > last)) last = BigInt(name)
    }
    if (last !== undefined) return last
  }
  return undefined
}

/** The first file; under the lock, since two of them would be two clocks. */
async function firstStamp(home: Home, directory: string): Promise<void> {
  await home.files.mkdir(directory)
  if ((await lastStamp(home, directory)) !== undefined) return
  try {
    await (await home.files.open(`${directory}/0`, 'create')).close()
  } catch (error) {
    if (!isCode(error, 'EEXIST')) throw error // of somebody who thought the lock was his
  }
}
