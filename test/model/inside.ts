// What the model offers once it is loaded around the shipped code (seams.ts).

import { Explorer, type Found, type Limits } from './explore.ts'
import type { Disk } from './disk.ts'
import { farLogUnderPowerCuts } from './farlog.ts'
import { scenarios, twoHomes, worldOf } from './scenarios.ts'
import { Storm } from './storm.ts'
import { sweepUnderPowerCuts } from './sweeping.ts'

Error.stackTraceLimit = 0 // thousands of lives end by an error that nobody reads

/** Every state that crashes lead to in the scenario of this name. */
export async function explore(name: string, limits: Limits): Promise<Found> {
  const scenario = scenarios[name]
  if (scenario === undefined) throw new Error(`no scenario ${name}`)
  return new Explorer(await worldOf(scenario), limits).run()
}

/** A storm from this seed; what should not have been. `trace` hears of every step on a disk. */
export async function storm(seed: number, trace?: (line: string) => void): Promise<readonly string[]> {
  disks ??= twoHomes()
  return new Storm(seed, await disks, trace).run()
}

/** See sweeping.ts. */
export async function sweeping(): Promise<{ states: number; stays: number }> {
  const [disk] = await twoHomes()
  return sweepUnderPowerCuts(disk)
}

/** See farlog.ts. */
export async function farLog(): Promise<{ states: number; wrong: string[] }> {
  const [disk] = await twoHomes()
  return farLogUnderPowerCuts(disk)
}

let disks: Promise<[Disk, Disk]> | undefined

// Its seam belongs to the model as well.
export { SeenIndex } from '../../lib/disk/seenindex.ts'
