// Tags: a message takes the place of older ones of the same tag for the same contact, so that a week of `disk full` is
// one message. The new one is durable before an old one goes; a crash in between leaves both, for the next of the tag
// to take along.

import type { Home } from './home.ts'
import { drop } from './queue.ts'
import { list } from './queueread.ts'
import type { Queued } from './queued.ts'
import { readLog } from './queuelog.ts'

/**
 * Takes away what waits in new/ under the tags of `fresh` and is older than they are, and returns it. A message whose
 * contact was there since it waits stays: it was offered, and part of it may have arrived.
 */
export async function replaceOlder(home: Home, fresh: Queued[]): Promise<Queued[]> {
  const replaced: Queued[] = []
  const tagged = fresh.filter(({ opts }) => opts.tag !== undefined)
  for (const key of new Set(tagged.map((queued) => queued.key))) {
    const newest = new Map<string, bigint>()
    for (const { opts, created } of tagged.filter((queued) => queued.key === key)) newest.set(opts.tag ?? '', created)
    const { reached = 0 } = await readLog(home, key)
    const old = (await list(home, key)).filter(({ opts, created }) => {
      const since = Number(created / 1000n)
      return opts.tag !== undefined && created < (newest.get(opts.tag) ?? 0n) && reached < since
    })
    await drop(home, old, 'replaced')
    replaced.push(...old)
  }
  return replaced
}
