// queue/KEY/log: what happened to the messages for one contact. Append-only lines of JSON, each write one O_APPEND
// that starts with a newline; a torn or foreign line is skipped. A failed attempt is one line per contact, however
// many messages wait. The log explains and schedules, it decides nothing: losing it costs a reason, never a message.

import { isCode } from '../base/fail.ts'
import { appendRecords } from './durable.ts'
import type { Home } from './home.ts'
import { queuePath } from './queued.ts'

/** Beyond this size the log becomes log.0 and a new one begins with a summary: 1 MiB reads in some 10 ms. */
const LOG_MAX = 1 << 20

/** Attempt times kept in a summary: enough to count the attempts of any one message in an outage. */
const ATTEMPTS_KEPT = 256

export interface AddressFailure {
  address: string
  reason: string
}

/** Times are Unix ms; `at` is filled in by note(). */
export type LogEvent =
  /** Nobody answered as the contact: counts for all that waits. `next` = when to try again. */
  | { event: 'attempt'; at?: number; reason: string; text?: string; addresses?: AddressFailure[]; next?: number }
  /** The contact was there: attempts start again from zero. */
  | { event: 'session'; at?: number }
  | { event: 'delivered'; at?: number; id: string; elapsed?: number }
  /** Refused for now by the contact. */
  | { event: 'deferred'; at?: number; id: string; reason: string; text?: string; next?: number }
  | { event: 'failed'; at?: number; id: string; reason: string; text?: string }
  | { event: 'hold' | 'release' | 'retry' | 'drop' | 'replaced' | 'exported'; at?: number; id: string }
  /** The owner was told that messages have been waiting for long. */
  | { event: 'notice'; at?: number }
  /** First line of a log that follows another: the attempts in a row until then. */
  | {
      event: 'carry'
      at?: number
      attempts: number[]
      count: number
      last?: Outcome
      delivered?: number
      noticed?: number
    }

/** The latest failed attempt, or one message's latest temporary refusal. */
export interface Outcome {
  at: number
  reason: string
  text?: string
  addresses?: AddressFailure[]
  next?: number
}

export interface LogState {
  /** Times (Unix ms) of the failed attempts since the contact was last there, oldest first; the older ones may be missing. */
  attempts: number[]
  /** How many there were in all since then. */
  count: number
  /** The latest of them. */
  last: Outcome | undefined
  /** When the contact was last there. */
  reached: number | undefined
  /** When something was last delivered. */
  delivered: number | undefined
  /** When the owner was told that messages wait, since then. */
  noticed: number | undefined
  /** Temporary refusals and retries by id, since the contact was last dialled in vain or not. */
  messages: Map<string, Outcome>
}

/** Appends events to the log of a contact in one write; not fsynced. */
export async function note(home: Home, key: string, events: LogEvent | LogEvent[]): Promise<void> {
  const list = Array.isArray(events) ? events : [events]
  if (list.length === 0) return
  const now = home.clock.now()
  const path = queuePath(home, key, 'log')
  try {
    await appendRecords(home.files, path, list.map((event) => JSON.stringify({ at: now, ...event })), false)
    const size = (await home.files.stat(path))?.size ?? 0
    if (size > LOG_MAX) await rotate(home, key)
  } catch (error) {
    if (!isCode(error, 'ENOSPC', 'EDQUOT')) throw error // a full disk must not stop an ACK from being processed
  }
}

/** What the log says about now. Reads at most the two files of a log. */
export async function readLog(home: Home, key: string): Promise<LogState> {
  const state: LogState = {
    attempts: [],
    count: 0,
    last: undefined,
    reached: undefined,
    delivered: undefined,
    noticed: undefined,
    messages: new Map(),
  }
  for await (const event of readEvents(home, key)) apply(state, event)
  return state
}

/** A torn line may end within a character: it must not hide the others. */
async function readLossy(home: Home, path: string): Promise<string> {
  try {
    return new TextDecoder().decode(await home.files.read(path))
  } catch (error) {
    if (isCode(error, 'ENOENT')) return ''
    throw error
  }
}

/** All events still there, oldest first. */
export async function* readEvents(home: Home, key: string): AsyncGenerator<LogEvent & { at: number }> {
  for (const name of ['log.0', 'log']) {
    for (const line of (await readLossy(home, queuePath(home, key, name))).split('\n')) {
      const event = parseEvent(line)
      if (event !== undefined) yield event
    }
  }
}

/** The part of a log that concerns one message created at `created` us: how often it was tried, and what came of it. */
export function outcomeOf(state: LogState, id: string, created: bigint): { attempts: number; last: Outcome | undefined } {
  const since = Number(created / 1000n)
  let attempts = state.attempts.filter((at) => at >= since).length
  const oldest = state.attempts[0]
  if (oldest !== undefined && oldest >= since) attempts += state.count - state.attempts.length
  const own = state.messages.get(id)
  const common = attempts > 0 ? state.last : undefined
  const last = own !== undefined && own.at >= (common?.at ?? 0) ? own : common
  return { attempts: attempts + (own === undefined ? 0 : 1), last }
}

function apply(state: LogState, event: LogEvent & { at: number }): void {
  switch (event.event) {
    case 'attempt':
      state.attempts.push(event.at)
      state.count += 1
      state.last = outcome(event)
      break
    case 'carry':
      state.attempts = [...event.attempts]
      state.count = event.count
      state.last = event.last
      state.delivered = event.delivered
      state.noticed = event.noticed
      break
    case 'notice':
      state.noticed = event.at
      break
    case 'session':
      reach(state, event.at)
      break
    case 'delivered':
      reach(state, event.at)
      state.delivered = event.at
      state.noticed = undefined
      state.messages.delete(event.id)
      break
    case 'deferred':
      state.messages.set(event.id, outcome(event))
      break
    case 'retry':
    case 'release':
      state.messages.delete(event.id)
      if (state.last !== undefined) delete state.last.next // due now
      break
    case 'failed':
    case 'hold':
    case 'drop':
    case 'replaced':
      state.messages.delete(event.id)
  }
}

function reach(state: LogState, at: number): void {
  state.reached = at
  state.attempts = []
  state.count = 0
  state.last = undefined
}

function outcome({ at, reason, text, addresses, next }: Outcome): Outcome {
  return {
    at,
    reason,
    ...(text !== undefined && { text }),
    ...(addresses !== undefined && { addresses }),
    ...(next !== undefined && { next }),
  }
}

function parseEvent(line: string): (LogEvent & { at: number }) | undefined {
  if (!line.startsWith('{')) return undefined
  try {
    const event = JSON.parse(line) as LogEvent & { at: number }
    return Number.isFinite(event.at) && isSound(event) ? event : undefined
  } catch {
    return undefined
  }
}

/** Whether it has what its kind is read for; other fields are words for people. */
function isSound(event: LogEvent): boolean {
  switch (event.event) {
    case 'attempt':
      return isOutcome(event)
    case 'deferred':
      return typeof event.id === 'string' && isOutcome(event)
    case 'carry': {
      const { attempts, count, last } = event
      const times = Array.isArray(attempts) && attempts.every((at) => Number.isFinite(at))
      return times && Number.isSafeInteger(count) && (last === undefined || (isOutcome(last) && Number.isFinite(last.at)))
    }
    case 'session':
    case 'notice':
      return true
    default:
      return typeof event.id === 'string'
  }
}

function isOutcome(told: { reason: string; text?: string; addresses?: AddressFailure[]; next?: number } | null): boolean {
  if (told === null || typeof told !== 'object' || typeof told.reason !== 'string') return false
  const { text, addresses, next } = told
  const list = addresses === undefined || (Array.isArray(addresses) && addresses.every(isAddressFailure))
  return list && (text === undefined || typeof text === 'string') && (next === undefined || Number.isFinite(next))
}

function isAddressFailure(told: AddressFailure | null): boolean {
  return typeof told?.address === 'string' && typeof told.reason === 'string'
}

/** Two rotating at once would lose a log: one does, the others leave it. */
async function rotate(home: Home, key: string): Promise<void> {
  const path = queuePath(home, key, 'log')
  const { tryLock } = await import('./lock.ts')
  const held = await tryLock(home, `log.${key}`, true)
  if (held === undefined) return
  try {
    if (((await home.files.stat(path))?.size ?? 0) <= LOG_MAX) return
    const { attempts, count, last, delivered, noticed } = await readLog(home, key)
    await home.files.rename(path, `${path}.0`)
    const carry: LogEvent = {
      event: 'carry',
      attempts: attempts.slice(-ATTEMPTS_KEPT),
      count,
      ...(last && { last }),
      ...(delivered !== undefined && { delivered }),
      ...(noticed !== undefined && { noticed }),
    }
    await appendRecords(home.files, path, [JSON.stringify({ at: home.clock.now(), ...carry })], false)
  } finally {
    await held.release()
  }
}
