// The queue as p2p-queue shows it: one message found by what a person typed, described with what happened to it, and
// all messages of a contact counted. Reads only.

import { EX, Failure, Malformed } from '../base/fail.ts'
import { quote } from '../base/text.ts'
import type { Home } from '../disk/home.ts'
import { openOutgoing } from '../disk/outgoing.ts'
import { find, names } from '../disk/queueread.ts'
import { parseQueueName, STATES, type Queued, type QueueState } from '../disk/queued.ts'
import { outcomeOf, readEvents, readLog, type LogEvent, type LogState } from '../disk/queuelog.ts'
import type { Hash, Head } from '../wire/envelope.ts'
import { parseMessageId } from '../wire/msgref.ts'
import type { QueuedInfo } from '../wire/outrecord.ts'

/** Candidates named when a prefix is ambiguous. */
const CANDIDATES_SHOWN = 8

const HOUR_MS = 3_600_000

/** The one message of the queue that MSG names. Throws Failure 1 (unknown), 64 (no MSG), 65 (ambiguous). */
export async function findOne(home: Home, text: string): Promise<Queued> {
  const [only, ...others] = await find(home, parseMessageId(text))
  if (only === undefined) throw new Failure(EX.NEGATIVE, `no message ${quote(text)} in the queue`, 'p2p-queue list')
  if (others.length === 0) return only
  const shown = [only, ...others].slice(0, CANDIDATES_SHOWN).map(({ id }) => id)
  const more = others.length >= CANDIDATES_SHOWN ? ', ...' : ''
  throw new Failure(EX.DATA, `ambiguous message ${quote(text)}: ${shown.join(', ')}${more}`)
}

/** The head of a waiting message; undefined if it is gone or damaged: it can be looked at all the same. */
export async function headOf(home: Home, hash: Hash, queued: Queued): Promise<Head | undefined> {
  try {
    const outgoing = await openOutgoing(home, hash, queued)
    await outgoing?.close()
    return outgoing?.head
  } catch (error) {
    if (error instanceof Malformed) return undefined
    throw error
  }
}

/** What its record says: who it is for, how often it was tried, what came of it, when it is tried again. */
export function describeQueued(to: string, queued: Queued, subject: string | undefined, log: LogState): QueuedInfo {
  const { id, key, state, created, size, opts } = queued
  const { attempts, last } = outcomeOf(log, id, created)
  const failed = opts.reason !== undefined
  const reason = failed ? opts.reason : last?.reason
  return {
    id,
    to,
    key,
    state,
    created,
    size,
    subject,
    attempts,
    reason,
    text: (failed ? opts.text : last?.text) ?? reason,
    last: failed ? opts.failed : last?.at,
    next: state === 'new' ? last?.next : undefined,
    expires: opts.expires,
  }
}

/** What the log still has about a message, oldest first: its own events, and the attempts since it waits. */
export async function eventsOf(home: Home, queued: Queued): Promise<(LogEvent & { at: number })[]> {
  const since = Number(queued.created / 1000n)
  const events: (LogEvent & { at: number })[] = []
  for await (const event of readEvents(home, queued.key)) {
    const own = 'id' in event ? event.id === queued.id : event.event !== 'carry' && event.at >= since
    if (own) events.push(event)
  }
  return events
}

export interface QueueCount {
  states: Record<QueueState, number>
  /** Messages not older than an hour, a day, a week, and the others. */
  ages: { hour: number; day: number; week: number; older: number }
  /** Unix ms. */
  oldest: number
  log: LogState
}

/** The messages for one contact, counted by their names alone; undefined if there are none. */
export async function countQueue(home: Home, key: string): Promise<QueueCount | undefined> {
  const states = { new: 0, hold: 0, failed: 0 }
  const ages = { hour: 0, day: 0, week: 0, older: 0 }
  const now = home.clock.now()
  let oldest: number | undefined
  for (const state of STATES) {
    for (const name of await names(home, key, state)) {
      const created = Number((parseQueueName(name)?.created ?? 0n) / 1000n)
      const hours = (now - created) / HOUR_MS
      states[state] += 1
      ages[hours <= 1 ? 'hour' : hours <= 24 ? 'day' : hours <= 168 ? 'week' : 'older'] += 1
      oldest = Math.min(oldest ?? created, created)
    }
  }
  return oldest === undefined ? undefined : { states, ages, oldest, log: await readLog(home, key) }
}
