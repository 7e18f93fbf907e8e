// What became of a message whose outcome nobody saw: another session, process or person may have dealt with it. The
// queue says whether it still waits, its log what happened to one that is gone.

import type { Home } from '../disk/home.ts'
import { describe } from '../disk/queueread.ts'
import { type AddressFailure, readEvents } from '../disk/queuelog.ts'
import { headPath, type Named, queuePath, type QueueState } from '../disk/queued.ts'

/** From so many on one listing is quicker than a look at each. */
const MANY = 32

/** What became of a message. refused: given up, it stands in failed/. replaced: another of its tag goes instead. */
export interface News {
  type: 'delivered' | 'deferred' | 'refused' | 'replaced'
  reason?: string
  text?: string
  attempts?: number
  addresses?: AddressFailure[]
  /** Unix ms of the next attempt. */
  next?: number
}

/** The news of those that do not wait any more, by id. */
export async function fatesOf(home: Home, messages: Named[]): Promise<Map<string, News>> {
  const waiting = new Set<string>()
  if (messages.length >= MANY) {
    for (const key of new Set(messages.map((queued) => queued.key))) {
      for (const file of await home.files.list(queuePath(home, key, 'new'))) waiting.add(file)
    }
  }
  const fates = new Map<string, News>()
  const gone = new Map<string, Set<string>>() // by KEY
  for (const queued of messages) {
    if (waiting.has(queued.file) || (await isIn(home, queued, 'new'))) continue
    const fate = await keptBack(home, queued)
    if (fate !== undefined) fates.set(queued.id, fate)
    else gone.set(queued.key, (gone.get(queued.key) ?? new Set()).add(queued.id))
  }
  for (const [key, ids] of gone) {
    // What leaves the queue without a word was delivered: only a full disk keeps that out of the log.
    for (const id of ids) fates.set(id, { type: 'delivered' })
    for await (const event of readEvents(home, key)) {
      if (!('id' in event) || !ids.has(event.id)) continue
      if (event.event === 'replaced') fates.set(event.id, { type: 'replaced' })
      if (event.event === 'drop') fates.set(event.id, { type: 'deferred', reason: 'held', text: 'it was dropped' })
      if (event.event === 'delivered') fates.set(event.id, { type: 'delivered' }) // the ACK came late
    }
  }
  return fates
}

async function isIn(home: Home, queued: Named, state: QueueState): Promise<boolean> {
  return (await home.files.stat(headPath(home, { ...queued, state }))) !== undefined
}

async function keptBack(home: Home, queued: Named): Promise<News | undefined> {
  const [failed] = await describe(home, queued.key, 'failed', [queued.file])
  if (failed !== undefined) {
    const { reason = 'refused', text } = failed.opts
    return { type: 'refused', reason, ...(text !== undefined && { text }) }
  }
  const held = await isIn(home, queued, 'hold')
  return held ? { type: 'deferred', reason: 'held', text: 'it is held back' } : undefined
}
