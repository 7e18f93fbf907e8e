// One pass over the queue now, whatever the schedule says: each contact is dialled once, and both directions move over
// that one dial. With a listener running the pass is the listener's.

import type { Contact } from '../disk/contact.ts'
import type { Home } from '../disk/home.ts'
import type { Delivered } from '../disk/inbox.ts'
import type { Keyring } from '../disk/keyring.ts'
import { tryLock } from '../disk/lock.ts'
import { list, names } from '../disk/queue.ts'
import { forAll } from '../base/parallel.ts'
import { attempt } from './attempt.ts'
import { ask } from './control.ts'
import type { DeliverOptions, Outcome } from './deliver.ts'
import { DIAL_MS, Station } from './station.ts'
import type { Session } from './session.ts'

/** Contacts dialled at once. */
const PARALLEL = 8

const GRACE_MS = 1000

export interface FlushOptions extends DeliverOptions {
  onReceived?(message: Delivered, contact: Contact): void
}

/** 'busy' if another process does this pass. Outcomes are told for messages that were waiting when it began. */
export async function flushAll(
  home: Home,
  keyring: Keyring,
  contacts: Contact[],
  options: FlushOptions,
): Promise<'done' | 'busy'> {
  const waiting = new Map<string, { contact: Contact; queued: Outcome['queued'] }>()
  for (const contact of contacts) {
    if ((await names(home, contact.key)).length === 0) continue
    for (const queued of await list(home, contact.key)) waiting.set(queued.id, { contact, queued })
  }
  const since = home.clock.monotonic()
  const tell = (id: string, news: Omit<Outcome, 'queued' | 'contact' | 'elapsedMs'>): void => {
    const item = waiting.get(id)
    if (item === undefined) return
    waiting.delete(id)
    options.onOutcome({ ...news, ...item, elapsedMs: home.clock.monotonic() - since })
  }
  const restOf = (key: string): string[] => [...waiting.keys()].filter((id) => waiting.get(id)?.contact.key === key)
  const request = { op: 'flush', keys: contacts.map(({ key }) => key) }
  const { waitMs, signal } = options
  const byListener = await ask(home, request, { signal, timeoutMs: waitMs + GRACE_MS }, (record) => {
    if (record['type'] === 'away') {
      const { key, ...trouble } = record as { key: string } & Omit<Outcome, 'type'>
      for (const id of restOf(key)) tell(id, { ...trouble, type: 'deferred' })
    } else if (typeof record['id'] === 'string') {
      const { id, ...news } = record as { id: string; type: Outcome['type'] }
      tell(id, news)
    }
  })
  if (byListener) return 'done'
  const lock = await tryLock(home, 'flush')
  if (lock === undefined) return 'busy'
  try {
    await pass(home, keyring, contacts, options, tell, restOf)
  } finally {
    await lock.release()
  }
  return 'done'
}

async function pass(
  home: Home,
  keyring: Keyring,
  contacts: Contact[],
  options: FlushOptions,
  tell: (id: string, news: Omit<Outcome, 'queued' | 'contact' | 'elapsedMs'>) => void,
  rest: (key: string) => string[],
): Promise<void> {
  const sessions = new Set<Session>()
  const station = await Station.open(home, keyring, {
    events: {
      delivered: (queued) => tell(queued.id, { type: 'delivered' }),
      deferred: (queued, _, reason, text, next) => tell(queued.id, { type: 'deferred', reason, text, next }),
      failed: (queued, _, reason, text) => tell(queued.id, { type: 'refused', reason, text }),
      received: (message, contact) => options.onReceived?.(message, contact),
    },
  })
  const over = new AbortController()
  const end = (): void => {
    over.abort()
    for (const session of sessions) session.stop()
    home.clock.after(GRACE_MS, () => sessions.forEach((session) => session.abort()), true)
  }
  const { waitMs, signal } = options
  const cancel = Number.isFinite(waitMs) ? home.clock.after(waitMs, end) : (): void => undefined
  signal.addEventListener('abort', end, { once: true })
  if (signal.aborted) end()
  try {
    await forAll(contacts, PARALLEL, async (contact) => {
      if (over.signal.aborted) return
      const outcome = await attempt(station, contact, {
        receive: true,
        timeoutMs: Math.min(waitMs, DIAL_MS),
        signal: over.signal,
        onSession(session) {
          sessions.add(session)
          void session.ended.then(() => sessions.delete(session))
          if (over.signal.aborted) session.stop()
        },
      })
      for (const id of rest(contact.key)) {
        if (outcome.reached) tell(id, { type: 'deferred', reason: 'lost', text: `the connection to ${contact.name} broke` })
        else tell(id, { type: 'deferred', ...outcome.trouble, attempts: outcome.attempts, next: outcome.next })
      }
    })
  } finally {
    cancel()
    signal.removeEventListener('abort', end)
    await station.close()
  }
}
