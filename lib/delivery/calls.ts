// The calls of a command that ends: each contact is dialled once, and every session ends when its work is done or the
// wait is over, whichever comes first.

import { sleep } from '../base/clock.ts'
import { forAll, Turns } from '../base/parallel.ts'
import { fraction } from '../base/random.ts'
import type { Config } from '../disk/config.ts'
import type { Contact } from '../disk/contact.ts'
import type { Home } from '../disk/home.ts'
import type { Delivered } from '../disk/inbox.ts'
import type { Keyring } from '../disk/keyring.ts'
import type { Held } from '../disk/lock.ts'
import type { CallAhead } from './ahead.ts'
import { attempt } from './attempt.ts'
import type { Backoff } from './backoff.ts'
import { CallPort } from './callport.ts'
import type { Desk } from './desk.ts'
import { DIAL_MS } from './reach.ts'
import type { Session } from './session.ts'
import { Station, type StationEvents } from './station.ts'
import type { Transfer } from './transfer.ts'

/** Contacts dialled at once; sessions last as long as they last. */
const PARALLEL = 8

/** A call that the other side ended in favour of a newer one is made again so often, after so long or up to twice that. */
const AGAIN_MAX = 8
const AGAIN_MS = 100

/** What is under way at the end of the wait may finish for so long. */
const GRACE_MS = 1000

export interface CallOptions {
  /** Infinity: until the work is done. */
  waitMs: number
  signal: AbortSignal
  /** Take messages in, too; else a call is over once every message of the desk for that contact has its outcome. */
  receive: boolean
  /** The defaults without. */
  config?: Config | undefined
  /** Contacts that are not called for now, and where those called in vain are noted. */
  backoff?: Backoff | undefined
  /** Whether a contact may be called, before it is; the claim is released behind its last session. */
  claim?: ((contact: Contact) => Promise<Pick<Held, 'release'> | undefined>) | undefined
  /** Every contact has been dialled, or needs no more dialling: only sessions are left. */
  onDialled?(): void
  onReceived?(message: Delivered, contact: Contact): void
  onProgress?: ((transfer: Transfer) => void) | undefined
  /** A call that was begun before; whatever comes of it, it is over in the end. */
  ahead?: CallAhead | undefined
  /** Something a person should know; the calls go on. */
  onNotice?(text: string): void
}

/** What came of it beside what the desk was told. */
export interface Called {
  /** How many contacts nobody else was calling. */
  readonly called: number
  /** A listener of this home has begun meanwhile and wants the port: what is left is its work. */
  readonly handedOver: boolean
}

/** Calls these contacts and tells the desk what becomes of its messages. Throws what this side's disk threw. */
export async function callContacts(
  home: Home,
  keyring: Keyring,
  contacts: Contact[],
  desk: Desk,
  options: CallOptions,
): Promise<Called> {
  const { waitMs, signal, receive, config, backoff, ahead } = options
  const sessions = new Map<string, Session>()
  const turns = new Turns(PARALLEL)
  let dialled = 0
  let called = 0
  const over = new AbortController()
  const stopIfDone = (key: string): void => {
    if (over.signal.aborted || (!receive && desk.isDone(key))) sessions.get(key)?.stop()
  }
  const events: StationEvents = {
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
    received: (message, contact) => options.onReceived?.(message, contact),
    progress: (transfer) => options.onProgress?.(transfer),
    noticed: (text) => options.onNotice?.(text),
    trouble: (error) => options.onNotice?.(error instanceof Error ? error.message : String(error)),
  }
  ahead?.tell(events)
  const station = ahead?.station ?? (await Station.open(home, keyring, { ...(config !== undefined && { config }), events }))
  const port = ahead?.port ?? new CallPort(station)
  port.wanted.addEventListener('abort', () => {
    for (const session of sessions.values()) if (session.link.carrier === 'udp') session.stop()
  })
  const end = (): void => {
    over.abort()
    for (const session of sessions.values()) session.stop()
    home.clock.after(GRACE_MS, () => sessions.forEach((session) => session.abort()), true)
  }
  const cancel = Number.isFinite(waitMs) ? home.clock.after(waitMs, end) : (): void => undefined
  signal.addEventListener('abort', end, { once: true })
  if (signal.aborted) end()
  try {
    const call = async (contact: Contact, reached: () => void): Promise<void> => {
      const resting = backoff?.rests(contact.key)
      if (resting !== undefined) return desk.tellRest(resting, contact.key)
      for (let again = 0; !over.signal.aborted; again++) {
        const outcome = await attempt(station, contact, {
          receive,
          timeoutMs: Math.min(waitMs, DIAL_MS),
          signal: AbortSignal.any([over.signal, port.wanted]),
          port,
          ahead,
          onSession(session) {
            reached()
            sessions.set(contact.key, session)
            void session.ended.then(() => sessions.get(contact.key) === session && sessions.delete(contact.key))
            stopIfDone(contact.key)
          },
        })
        await desk.look(home)
        if (port.wanted.aborted) return
        if (!outcome.reached) {
          const { trouble, attempts, next } = outcome
          backoff?.note(contact.key, { ...trouble, attempts, next })
          return desk.tellRest({ type: 'deferred', ...trouble, attempts, next }, contact.key)
        }
        if (desk.isDone(contact.key)) return
        // Another command of this home may have called meanwhile: of two sessions the other side keeps the newer.
        if (outcome.end !== 'done' || again === AGAIN_MAX) break
        await sleep(home.clock, AGAIN_MS * (1 + fraction(home.random)), over.signal)
      }
      if (over.signal.aborted) return
      desk.tellRest({ type: 'deferred', reason: 'lost', text: `the connection to ${contact.name} broke` }, contact.key)
    }
    await forAll(contacts, Infinity, async (contact) => {
      const endTurn = await turns.take()
      let held: Pick<Held, 'release'> | undefined
      let open = true
      const reached = (): void => {
        endTurn()
        if (open && ++dialled === contacts.length) options.onDialled?.()
        open = false
      }
      try {
        if (options.claim !== undefined) held = await options.claim(contact)
        if (options.claim !== undefined && held === undefined) return
        called++
        await call(contact, reached)
      } finally {
        reached()
        await held?.release()
      }
    })
    return { called, handedOver: port.wanted.aborted }
  } finally {
    cancel()
    signal.removeEventListener('abort', end)
    await ahead?.drop()
    await port.close()
    await station.close()
  }
}
