// The sweep of what a message that was never accepted has left, and power cuts in it: files/ID must not stay without the
// copy in sent/tmp by which the next sweep finds it.

import { sweep } from '../../lib/disk/sweep.ts'
import type { Disk } from './disk.ts'
import { open, seeded } from './homes.ts'
import { type Host, Machine } from './machine.ts'
import { execute } from './ops.ts'
import { allOutcomes } from './outcomes.ts'
import { Timeline } from './timeline.ts'

const ID = 'd'.repeat(64)
const COPY = `1700000000000000.${ID.slice(0, 32)}.p2p`

/** In how many states the power was cut, and in how many of them files/ID would stay for ever. */
export async function sweepUnderPowerCuts(disk: Disk): Promise<{ states: number; stays: number }> {
  const found = { states: 0, stays: 0 }
  const host: Host = {
    time: new Timeline(),
    perform({ machine }, op) {
      try {
        const answer = execute(machine, op)
        if (home !== undefined) look(machine.disk)
        return Promise.resolve(answer)
      } catch (error) {
        return Promise.reject(error as Error)
      }
    },
    soon: (_, run) => queueMicrotask(run),
  }
  const machine = new Machine('a', host, () => false)
  machine.disk = disk.clone()
  let home: string | undefined
  const look = (now: Disk): void => {
    for (const outcome of allOutcomes(now)) {
      const left = now.after(outcome)
      found.states++
      if (left.find(`${home}/files/${ID}`) !== undefined && left.find(`${home}/sent/tmp/${COPY}`) === undefined) found.stays++
    }
  }
  const opened = await open(machine.start(seeded(1)))
  const path = machine.home
  machine.disk.mkdir(`${path}/files/${ID}`, true)
  machine.disk.create(`${path}/files/${ID}/0`, true)
  machine.disk.create(`${path}/sent/tmp/${COPY}`, true)
  machine.disk.settle()
  home = path
  await sweep(opened.home)
  if (machine.disk.find(`${path}/files/${ID}`) !== undefined) throw new Error('it was not swept')
  return found
}
