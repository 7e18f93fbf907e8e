// One pass over the queue now, whatever the schedule says: each contact is dialled once, and both directions move over
// that one dial. With a listener running the pass is the listener's.

import type { Contact } from '../disk/contact.ts'
import type { Home } from '../disk/home.ts'
import type { Delivered } from '../disk/inbox.ts'
import type { Keyring } from '../disk/keyring.ts'
import { tryLock } from '../disk/lock.ts'
import { list, names } from '../disk/queue.ts'
import { callContacts } from './calls.ts'
import { ask } from './control.ts'
import { type DeliverOptions, newsOf, tellNews } from './deliver.ts'
import { Desk, type Job } from './desk.ts'

/** The listener's pass is waited for so much longer than asked. */
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
  const jobs: Job[] = []
  for (const contact of contacts) {
    if ((await names(home, contact.key)).length === 0) continue
    for (const queued of await list(home, contact.key)) jobs.push({ contact, queued })
  }
  const desk = new Desk(home.clock, jobs, (outcome) => options.onOutcome(outcome))
  const { waitMs, signal } = options
  const request = { op: 'flush', keys: contacts.map(({ key }) => key) }
  const byListener = await ask(home, request, { signal, timeoutMs: waitMs + GRACE_MS }, (record) => {
    if (record['type'] === 'away') desk.tellRest(newsOf('deferred', record), String(record['key']))
    else tellNews(desk, record)
  })
  if (!byListener) {
    const lock = await tryLock(home, 'flush')
    if (lock === undefined) return 'busy'
    try {
      await callContacts(home, keyring, contacts, desk, { ...options, receive: true })
    } finally {
      await lock.release()
    }
  }
  await desk.close(home)
  return 'done'
}
