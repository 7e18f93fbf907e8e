// The waiting messages. Nothing here rewrites a message: it is read, moved between new/, hold/ and failed/ by
// rename(2), and unlinked once the other side has it. Every step may be repeated after a crash. What only looks is in
// queueread.ts.

import { utf8 } from '../base/bytes.ts'
import { isCode } from '../base/fail.ts'
import { forAll } from '../base/parallel.ts'
import { removeTree, replaceFile, unlessFull } from './durable.ts'
import type { Home } from './home.ts'
import {
  bodyPath,
  headPath,
  optionsPath,
  queuePath,
  STATES,
  type Queued,
  type QueuedOptions,
  type QueueState,
} from './queued.ts'
import { note, type LogEvent } from './queuelog.ts'
import { extras } from './queueread.ts'
import { markDelivered, withdrawSent } from './sent.ts'

/** System calls at once: as long as no thread runs out of work none has to be woken for the next one. */
const PARALLEL = 512

/**
 * The other side has these messages (S6): noted in the log, then gone. Idempotent; a full disk does not stop it. What
 * was moved to another state meanwhile is found there. `elapsed`: ms from the offer to the ACK, by id. `away` is called
 * when they do not wait any more, durably; what only they pointed to is still to be removed then.
 */
export async function settle(home: Home, settled: Queued[], elapsed?: Map<string, number>, away?: () => void): Promise<void> {
  await logByKey(home, settled, ({ id }) => {
    const ms = elapsed?.get(id)
    return { event: 'delivered', id, ...(ms !== undefined && { elapsed: ms }) }
  })
  await around(() => markDelivered(home, settled), () => remove(home, settled, away))
}

/** Removes messages undelivered, at their owner's wish; their copies in sent/ follow. */
export async function drop(home: Home, dropped: Queued[], event: 'drop' | 'replaced' = 'drop'): Promise<void> {
  await logByKey(home, dropped, ({ id }) => ({ event, id }))
  const to = event === 'drop' ? 'trash' : 'nothing'
  await around(() => withdrawSent(home, dropped, to), () => remove(home, dropped))
}

/**
 * The change in sent/, then the removal. On a full disk, where even a rename may want a block for its folder, the removal
 * comes first, and if that makes no room the copy keeps the flags it has.
 */
async function around(change: () => Promise<void>, removal: () => Promise<void>): Promise<void> {
  const done = await unlessFull(change)
  await removal()
  if (!done) await unlessFull(change)
}

/** Keeps a waiting message back. False if it is no longer there. */
export function hold(home: Home, queued: Queued): Promise<boolean> {
  return move(home, queued, 'hold', { event: 'hold', id: queued.id })
}

/** Lets a message that was kept back wait again. False if it is no longer there. */
export function release(home: Home, queued: Queued): Promise<boolean> {
  return move(home, queued, 'new', { event: 'release', id: queued.id })
}

/** Makes a message due now; one that had failed waits again, without an expiry that has passed. */
export async function retry(home: Home, queued: Queued): Promise<boolean> {
  const event: LogEvent = { event: 'retry', id: queued.id }
  if (queued.state !== 'failed') {
    await note(home, queued.key, event)
    return true
  }
  const { expires, tag, retried = 0 } = queued.opts
  const late = expires !== undefined && expires <= home.clock.now()
  await writeOptions(home, queued, {
    ...(expires !== undefined && !late && { expires }),
    ...(tag !== undefined && { tag }),
    retried: retried + 1,
  })
  return move(home, queued, 'new', event)
}

/** Gives a message up: it stays in failed/ with the reason until it is retried or dropped. False if it is gone. */
export async function fail(home: Home, queued: Queued, reason: string, text?: string): Promise<boolean> {
  const why = { reason, ...(text !== undefined && { text }), failed: home.clock.now() }
  await writeOptions(home, queued, { ...queued.opts, ...why })
  const { id } = queued
  return move(home, queued, 'failed', { event: 'failed', id, reason, ...(text !== undefined && { text }) })
}

async function move(home: Home, queued: Queued, to: QueueState, event: LogEvent): Promise<boolean> {
  if (queued.state === to) return true
  try {
    await home.files.rename(headPath(home, queued), headPath(home, { ...queued, state: to }))
  } catch (error) {
    if (isCode(error, 'ENOENT')) return false
    throw error
  }
  await home.files.syncDir(queuePath(home, queued.key, to))
  await home.files.syncDir(queuePath(home, queued.key, queued.state))
  await note(home, queued.key, event)
  return true
}

async function writeOptions(home: Home, queued: Queued, opts: QueuedOptions): Promise<void> {
  const path = optionsPath(home, queued)
  if (Object.keys(opts).length === 0) await home.files.unlink(path)
  else await replaceFile(home.files, home.random, path, utf8(JSON.stringify(opts)))
}

/** Heads first and durably, then what only they pointed to. */
async function remove(home: Home, gone: Queued[], away = (): void => undefined): Promise<void> {
  const directories = new Set<string>()
  await forAll(gone, PARALLEL, async (queued) => {
    const states = [queued.state, ...STATES.filter((state) => state !== queued.state)]
    for (const state of states) {
      if (!(await home.files.unlink(headPath(home, { ...queued, state })))) continue
      directories.add(queuePath(home, queued.key, state))
      break
    }
  })
  await forAll([...directories], PARALLEL, (path) => home.files.syncDir(path))
  away()
  for (const key of new Set(gone.map((queued) => queued.key))) await removeExtras(home, key, gone)
}

/** Bodies and options of messages without a head; most have none, so look first. */
async function removeExtras(home: Home, key: string, gone: Queued[]): Promise<void> {
  const { bodies, options } = await extras(home, key)
  const mine = gone.filter((queued) => queued.key === key && (bodies.has(queued.id) || options.has(queued.file)))
  await forAll(mine, PARALLEL, async (queued) => {
    await home.files.unlink(optionsPath(home, queued))
    await removeTree(home.files, bodyPath(home, queued))
  })
}

async function logByKey(home: Home, messages: Queued[], event: (queued: Queued) => LogEvent): Promise<void> {
  for (const key of new Set(messages.map((queued) => queued.key))) {
    await note(home, key, messages.filter((queued) => queued.key === key).map(event))
  }
}
