// Offering freshly queued messages now: through the listener of this home if one runs, else by calls of our own.
// Nothing here decides whether a message is safe: it was before, and it stays queued until its ACK.

import { sleep } from '../base/clock.ts'
import type { Config } from '../disk/config.ts'
import type { Contact } from '../disk/contact.ts'
import type { Home } from '../disk/home.ts'
import type { Keyring } from '../disk/keyring.ts'
import type { AddressFailure } from '../disk/queuelog.ts'
import type { CallAhead } from './ahead.ts'
import type { Backoff } from './backoff.ts'
import { ask, Line, type Message } from './control.ts'
import { mayListen } from './socketpath.ts'
import { Desk, type Job, type Outcome } from './desk.ts'
import type { News } from './fate.ts'
import { type Transfer, transferOf } from './transfer.ts'

/** The listener ends at the wait by itself; it is waited for so much longer. */
const GRACE_MS = 1000

/** A listener that has asked for the UDP port answers after so long at most, and is asked so often. */
const BEGIN_MS = 10_000
const AGAIN_MS = 100

/** What is told of messages that were not waited for. */
const GIVEN: News = { type: 'deferred', reason: 'timeout', text: 'the listener has it; not waited for' }
const UNCALLED: News = { type: 'deferred', reason: 'backoff', text: 'nobody was called: no listener runs, and no time was given; it stays queued' }

export interface DeliverOptions {
  /** Infinity: until every message has its outcome. 0: offered by a running listener, not waited for. */
  waitMs: number
  signal: AbortSignal
  /** The defaults without. */
  config?: Config | undefined
  /** Contacts called in vain a moment ago. */
  backoff?: Backoff | undefined
  /** See beginAhead(); over in the end. */
  ahead?: Ahead | undefined
  onOutcome: (outcome: Outcome) => void
  onProgress?: ((transfer: Transfer) => void) | undefined
}

/** What is begun while messages come to rest on the disk: the contact is called, or the listener that will do that. */
export interface Ahead {
  readonly call?: CallAhead
  readonly line?: Line
}

/** Begins to reach a contact for whom something will be queued. Resolves when that is under way, before anybody has answered. */
export async function beginAhead(home: Home, keyring: Keyring, contact: Contact, config: Config, waitMs: number): Promise<Ahead> {
  if (await mayListen(home)) return { line: new Line(home) }
  if (waitMs === 0) return {}
  const { CallAhead: Call } = await import('./ahead.ts') // what a call takes is loaded where no listener makes it
  return { call: await Call.begin(home, keyring, contact, config, waitMs) }
}

/** Ends what was begun in vain. */
export async function endAhead({ call, line }: Ahead): Promise<void> {
  await Promise.all([call?.close(), line?.close()])
}

/** Tells one outcome for every job. Resolves when all have theirs or the wait is over. */
export async function deliverNow(home: Home, keyring: Keyring, jobs: Job[], options: DeliverOptions): Promise<void> {
  if (jobs.length === 0) return
  const desk = new Desk(home.clock, jobs, (outcome) => options.onOutcome(outcome))
  const { waitMs, signal, config, backoff, ahead, onProgress } = options
  const request = {
    op: 'deliver',
    ids: jobs.map((job) => job.queued.id),
    keys: jobs.map((job) => job.contact.key),
    wait: Number.isFinite(waitMs) ? waitMs / 1000 : -1,
  }
  const limits = { signal, timeoutMs: waitMs + GRACE_MS, line: ahead?.line }
  const tell = (record: Message): void => tellNews(desk, record, onProgress)
  let taken = true
  try {
    taken = await ask(home, request, limits, tell)
  } finally {
    if (taken || waitMs === 0) await ahead?.call?.close()
  }
  if (!taken && waitMs > 0) {
    const { callContacts } = await import('./calls.ts')
    const contacts = [...new Map(jobs.map(({ contact }) => [contact.key, contact])).values()]
    const how = { waitMs, signal, config, backoff, ahead: ahead?.call, onProgress, receive: false }
    const { handedOver } = await callContacts(home, keyring, contacts, desk, how)
    if (handedOver) await askSoon(home, request, limits, tell)
  }
  await desk.look(home)
  if (waitMs === 0) desk.tellRest(taken ? GIVEN : UNCALLED)
  await desk.close(home)
}

/** A listener of this home has just begun: asks it as soon as it answers. */
export async function askSoon(
  home: Home,
  request: Message,
  limits: { signal: AbortSignal; timeoutMs: number },
  tell: (record: Message) => void,
): Promise<void> {
  const end = home.clock.monotonic() + Math.min(limits.timeoutMs, BEGIN_MS)
  while (!limits.signal.aborted && home.clock.monotonic() < end) {
    if (await ask(home, request, limits, tell)) return
    await sleep(home.clock, AGAIN_MS, limits.signal)
  }
}

/** A record of the listener about one message, told to the desk. */
export function tellNews(desk: Desk, record: Message, onProgress?: DeliverOptions['onProgress']): void {
  const { type, id } = record
  const transfer = transferOf(record)
  if (transfer !== undefined) onProgress?.(transfer)
  if (typeof id !== 'string') return
  if (type === 'delivered' || type === 'deferred' || type === 'refused') desk.tell(id, newsOf(type, record))
}

/** The news in a record of the listener; what has another form than ours is left out. */
export function newsOf(type: News['type'], { reason, text, attempts, addresses, next }: Message): News {
  return {
    type,
    ...(typeof reason === 'string' && { reason }),
    ...(typeof text === 'string' && { text }),
    ...(typeof attempts === 'number' && { attempts }),
    ...(Array.isArray(addresses) && { addresses: addresses as AddressFailure[] }),
    ...(typeof next === 'number' && { next }),
  }
}
