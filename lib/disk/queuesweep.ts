// Takes away what a crash left of messages that were never accepted or are already gone. Nothing that a head in new/,
// hold/ or failed/ points to is ever touched, and nothing young: a process may be about to write its head.

import { removeTree } from './durable.ts'
import type { Home } from './home.ts'
import { tryLock } from './lock.ts'
import { keys, names } from './queue.ts'
import { parseQueueName, queuePath, STATES } from './queued.ts'
import { LEFTOVER_MS, sweepStaging } from './staging.ts'

/** Removes leftovers of the queue; safe at any time beside everything else. Does nothing if another process sweeps. */
export async function sweep(home: Home): Promise<void> {
  const held = await tryLock(home, 'sweep')
  if (held === undefined) return
  try {
    await sweepStaging(home)
    for (const key of await keys(home)) await sweepQueue(home, key)
  } finally {
    await held.release()
  }
}

async function sweepQueue(home: Home, key: string): Promise<void> {
  const { files } = home
  for (const name of await files.list(queuePath(home, key, 'tmp'))) {
    const path = queuePath(home, key, 'tmp', name)
    if (await isOld(home, path)) await files.unlink(path)
  }
  // Candidates before heads: a head that appears in between cannot belong to something old.
  const bodies = await oldOnes(home, queuePath(home, key, 'body'))
  const options = await oldOnes(home, queuePath(home, key, 'opts'))
  if (bodies.length === 0 && options.length === 0) return
  const heads = new Set<string>()
  // Twice, and new/ after hold/ as well as before: a head may be on its way from one listing to the other.
  for (const state of [...STATES, ...STATES, ...STATES]) {
    for (const name of await names(home, key, state)) heads.add(name).add(parseQueueName(name)?.id ?? '')
  }
  for (const id of bodies) if (!heads.has(id)) await removeTree(files, queuePath(home, key, 'body', id))
  for (const name of options) if (!heads.has(name)) await files.unlink(queuePath(home, key, 'opts', name))
}

async function oldOnes(home: Home, directory: string): Promise<string[]> {
  const old: string[] = []
  for (const name of await home.files.list(directory)) if (await isOld(home, `${directory}/${name}`)) old.push(name)
  return old
}

async function isOld(home: Home, path: string): Promise<boolean> {
  const stat = await home.files.stat(path)
  return stat !== undefined && home.clock.now() - stat.mtimeMs > LEFTOVER_MS
}
