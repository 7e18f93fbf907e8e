// Offering freshly queued messages now: through the listener of this home if one runs, else with a session of our own.
// Nothing here decides whether a message is safe: it was before, and it stays queued until its ACK.

import type { Contact } from '../disk/contact.ts'
import type { Home } from '../disk/home.ts'
import type { Keyring } from '../disk/keyring.ts'
import type { Queued } from '../disk/queued.ts'
import type { AddressFailure } from '../disk/queuelog.ts'
import { attempt } from './attempt.ts'
import { ask } from './control.ts'
import { DIAL_MS, Station } from './station.ts'
import type { Session } from './session.ts'

/** What is under way at the end of the wait may finish for so long. */
const GRACE_MS = 1000

export interface Outcome {
  type: 'delivered' | 'deferred' | 'refused'
  queued: Queued
  contact: Contact
  reason?: string
  text?: string
  attempts?: number
  addresses?: AddressFailure[]
  /** Unix ms of the next attempt. */
  next?: number
  elapsedMs: number
}

export interface DeliverOptions {
  /** Infinity: until every message has its outcome. */
  waitMs: number
  signal: AbortSignal
  onOutcome(outcome: Outcome): void
}

export interface Job {
  contact: Contact
  queued: Queued
}

type News = Omit<Outcome, 'queued' | 'contact' | 'elapsedMs'>

/** Tells one outcome for every job. Resolves when all have theirs or the wait is over. */
export async function deliverNow(home: Home, keyring: Keyring, jobs: Job[], options: DeliverOptions): Promise<void> {
  if (jobs.length === 0) return
  const desk = new Desk(home, jobs, options)
  if (!(await throughListener(home, desk, options))) await onOurOwn(home, keyring, desk, options)
  const text = 'not delivered within the wait; it stays queued'
  desk.tellRest({ type: 'deferred', reason: 'timeout', text })
}

/** The jobs without an outcome so far. */
class Desk {
  readonly #open = new Map<string, Job>()
  readonly #since: number
  readonly #home: Home
  readonly #tell: (outcome: Outcome) => void

  constructor(home: Home, jobs: Job[], options: DeliverOptions) {
    this.#home = home
    this.#since = home.clock.monotonic()
    this.#tell = (outcome) => options.onOutcome(outcome)
    for (const job of jobs) this.#open.set(job.queued.id, job)
  }

  get jobs(): Job[] {
    return [...this.#open.values()]
  }

  isDone(key: string): boolean {
    for (const { contact } of this.#open.values()) if (contact.key === key) return false
    return true
  }

  tell(id: string, news: News): void {
    const job = this.#open.get(id)
    if (job === undefined) return
    this.#open.delete(id)
    this.#tell({ ...news, ...job, elapsedMs: this.#home.clock.monotonic() - this.#since })
  }

  tellRest(news: News, key?: string): void {
    for (const { contact, queued } of this.jobs) if (key === undefined || contact.key === key) this.tell(queued.id, news)
  }
}

async function throughListener(home: Home, desk: Desk, { waitMs, signal }: DeliverOptions): Promise<boolean> {
  const { jobs } = desk
  const request = {
    op: 'deliver',
    ids: jobs.map((job) => job.queued.id),
    keys: jobs.map((job) => job.contact.key),
    wait: Number.isFinite(waitMs) ? waitMs / 1000 : -1,
  }
  return ask(home, request, { signal, timeoutMs: waitMs + GRACE_MS }, (record) => {
    const { type, id, reason, text, attempts, addresses, next } = record
    if (typeof id !== 'string') return
    if (type !== 'delivered' && type !== 'deferred' && type !== 'refused') return
    desk.tell(id, {
      type,
      ...(typeof reason === 'string' && { reason }),
      ...(typeof text === 'string' && { text }),
      ...(typeof attempts === 'number' && { attempts }),
      ...(Array.isArray(addresses) && { addresses: addresses as AddressFailure[] }),
      ...(typeof next === 'number' && { next }),
    })
  })
}

async function onOurOwn(home: Home, keyring: Keyring, desk: Desk, options: DeliverOptions): Promise<void> {
  if (options.waitMs <= 0) return
  const sessions = new Map<string, Session>()
  const stopIfDone = (key: string): void => {
    if (desk.isDone(key)) sessions.get(key)?.stop()
  }
  const station = await Station.open(home, keyring, {
    events: {
      delivered(queued, contact) {
        desk.tell(queued.id, { type: 'delivered' })
        stopIfDone(contact.key)
      },
      deferred(queued, contact, reason, text, next) {
        desk.tell(queued.id, { type: 'deferred', reason, text, next })
        stopIfDone(contact.key)
      },
      failed(queued, contact, reason, text) {
        desk.tell(queued.id, { type: 'refused', reason, text })
        stopIfDone(contact.key)
      },
    },
  })
  const over = new AbortController()
  const end = (): void => {
    over.abort()
    for (const session of sessions.values()) session.stop()
    home.clock.after(GRACE_MS, () => sessions.forEach((session) => session.abort()), true)
  }
  const cancel = Number.isFinite(options.waitMs) ? home.clock.after(options.waitMs, end) : (): void => undefined
  options.signal.addEventListener('abort', end, { once: true })
  if (options.signal.aborted) end()
  try {
    const contacts = new Map(desk.jobs.map(({ contact }) => [contact.key, contact]))
    const done = [...contacts.values()].map(async (contact) => {
      const outcome = await attempt(station, contact, {
        receive: false,
        timeoutMs: Math.min(options.waitMs, DIAL_MS),
        signal: over.signal,
        onSession(session) {
          sessions.set(contact.key, session)
          if (over.signal.aborted) session.stop()
          else stopIfDone(contact.key)
        },
      })
      if (outcome.reached) {
        if (!over.signal.aborted) desk.tellRest({ type: 'deferred', reason: 'lost', text: lost(contact) }, contact.key)
      } else {
        const { trouble, attempts, next } = outcome
        desk.tellRest({ type: 'deferred', ...trouble, attempts, next }, contact.key)
      }
    })
    for (const result of await Promise.allSettled(done)) if (result.status === 'rejected') throw result.reason
  } finally {
    cancel()
    options.signal.removeEventListener('abort', end)
    await station.close()
  }
}

function lost(contact: Contact): string {
  return `the connection to ${contact.name} broke`
}
