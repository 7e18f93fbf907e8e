// One attempt at one contact, by a process that calls and then ends: dial, one session after the other until the work
// is done, and a line in the queue's log that says what came of it. A dead contact costs one dial, however many
// messages wait.

import { fraction } from '../base/random.ts'
import type { Contact } from '../disk/contact.ts'
import type { Home } from '../disk/home.ts'
import { type LogEvent, note, readLog } from '../disk/queuelog.ts'
import { queuePath } from '../disk/queued.ts'
import type { CallAhead } from './ahead.ts'
import { nextAttempt } from './schedule.ts'
import type { Session, SessionEnd } from './session.ts'
import type { CallingPort } from './reach.ts'
import type { Station } from './station.ts'
import type { DialTrouble } from './trouble.ts'

export interface AttemptOptions {
  /** Take messages in, too. */
  receive: boolean
  timeoutMs: number
  signal: AbortSignal
  /** For UDP. */
  port?: CallingPort
  /** A call that was begun before. */
  ahead?: CallAhead | undefined
  /** Gets each session as it begins. */
  onSession?(session: Session): void
}

export type Attempt =
  | { reached: true; end: SessionEnd }
  | { reached: false; trouble: DialTrouble; attempts: number; next: number }

/** Throws what this side's disk threw. */
export async function attempt(station: Station, contact: Contact, options: AttemptOptions): Promise<Attempt> {
  const { home } = station
  await station.postmaster.expire(contact)
  for (;;) {
    const outcome = (await options.ahead?.take(contact, options.signal)) ?? (await station.connect(contact, options))
    if (!('link' in outcome)) return { reached: false, trouble: outcome, ...(await noteFailure(station, contact, outcome)) }
    if (options.signal.aborted) outcome.link.close()
    await noteReached(home, contact)
    const session = await station.session(outcome.link, contact, { oneShot: true, receive: options.receive })
    options.onSession?.(session)
    const { end, error } = await session.ended
    if (error !== undefined) throw error
    if (end !== 'worn') return { reached: true, end }
  }
}

/**
 * Writes the failed attempt into the log of the contact's queue, and tells the owner if messages wait for long. `next`:
 * when to try again, by the age of the outage; `since` (Unix ms) is when it began as far as this process knows, the log
 * may know better.
 */
export async function noteFailure(
  station: Station,
  contact: Contact,
  trouble: DialTrouble,
  since = Infinity,
): Promise<{ attempts: number; next: number }> {
  const { home } = station
  const now = home.clock.now()
  const log = await readLog(home, contact.key)
  // Of all attempts, not the oldest: the clock may have been set back since.
  const next = nextAttempt(Math.min(...log.attempts, since, now), now, fraction(home.random))
  const { reason, text, addresses } = trouble
  await noteIfQueued(home, contact, { event: 'attempt', reason, text, addresses, next })
  await station.postmaster.tellDelay(contact)
  return { attempts: log.count + 1, next }
}

/** Attempts start again from zero. */
export function noteReached(home: Home, contact: Contact): Promise<void> {
  return noteIfQueued(home, contact, { event: 'session' })
}

/** A contact that never got a message has no queue, and needs no log. */
async function noteIfQueued(home: Home, contact: Contact, event: LogEvent): Promise<void> {
  if ((await home.files.stat(queuePath(home, contact.key))) !== undefined) await note(home, contact.key, event)
}
