// The runs over a long seen log, made when it has none and as it grows, and power cuts in that: whatever is left of them,
// the first record of an id is the one that counts.

import { base58 } from '../../lib/base/key.ts'
import { Seen } from '../../lib/disk/seen.ts'
import type { SeenRecord } from '../../lib/disk/seenlog.ts'
import type { Disk } from './disk.ts'
import { open, seeded } from './homes.ts'
import { type Host, Machine } from './machine.ts'
import { execute } from './ops.ts'
import { allOutcomes } from './outcomes.ts'
import { Timeline } from './timeline.ts'

const KEY = base58(new Uint8Array(32).fill(7))
/** Which ids the log begins with: 1 comes again within what becomes a run, in a later one, and in the tail. */
const BEFORE = [1, 2, 1, 3, 4, 5, 6, 1, 7, 2, 8, 9, 10, 1]
/** What is committed after that, in groups: old and new. */
const AFTER = [[11, 1], [2, 12, 13]]

let tags = 0

function record(n: number): SeenRecord {
  const tag = (++tags).toString(16).padStart(16, '0')
  return { time: 1n, key: KEY, id: `${n}`.padStart(2, '0').repeat(32), tag }
}

/** In how many states the power was cut, and what was found wrong after it. */
export async function farLogUnderPowerCuts(disk: Disk): Promise<{ states: number; wrong: string[] }> {
  const first = new Map<string, string>()
  const left: Disk[] = []
  let watched = false
  const host = (look: boolean): Host => ({
    time: new Timeline(),
    perform({ machine }, op) {
      try {
        const answer = execute(machine, op)
        if (look && watched && op.do !== 'readAt' && op.do !== 'size' && op.do !== 'stat') {
          for (const outcome of allOutcomes(machine.disk)) left.push(machine.disk.after(outcome))
        }
        return Promise.resolve(answer)
      } catch (error) {
        return Promise.reject(error as Error)
      }
    },
    soon: (_, run) => queueMicrotask(run),
  })
  const wrong: string[] = []
  let states = 0
  /** Each disk that a power cut may have left is opened again, looked at, and written to. */
  const judge = async (): Promise<void> => {
    for (const found of left.splice(0)) {
      states++
      const again = new Machine('a', host(false), () => false)
      again.disk = found
      const seen = await Seen.open((await open(again.start(seeded(2)))).home)
      for (const [id, tag] of first) {
        const entry = await seen.find(KEY, id)
        if (entry?.tag !== tag) wrong.push(`${id.slice(0, 2)}: ${entry?.tag} instead of ${tag}`)
      }
      const [old, fresh] = await seen.commit([record(1), record(99)])
      if (old !== false || fresh !== true) wrong.push(`after it: ${old} ${fresh}`)
      await seen.close()
    }
  }

  const machine = new Machine('a', host(true), () => false)
  machine.disk = disk.clone()
  const { home } = await open(machine.start(seeded(1)))
  const grown = await Seen.open(home)
  for (const n of BEFORE) {
    const one = record(n)
    if (!first.has(one.id)) first.set(one.id, one.tag)
    await grown.commit([one])
  }
  await grown.close()
  for (const name of await home.files.list(home.at('seen.index'))) await home.files.unlink(home.at('seen.index', name))
  machine.disk.settle()

  watched = true
  const seen = await Seen.open(home)
  await judge()
  for (const group of AFTER) {
    const records = group.map(record)
    const won = await seen.commit(records)
    await judge()
    for (const [i, { id, tag }] of records.entries()) {
      if (won[i] === first.has(id)) wrong.push(`${id.slice(0, 2)}: ${won[i]}`)
      if (!first.has(id)) first.set(id, tag)
    }
  }
  await seen.close()
  await judge()
  return { states, wrong }
}
