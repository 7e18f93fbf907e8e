// From composed letters to messages that are safe and on their way: accept() makes them durable and says so, then one
// pass at a time offers them while further letters come in. Whatever a pass does not reach stays in the queue.

import { EX, Failure, Malformed } from '../base/fail.ts'
import { acceptAll, type Draft } from '../disk/accept.ts'
import type { Config } from '../disk/config.ts'
import type { Contact } from '../disk/contact.ts'
import type { Home } from '../disk/home.ts'
import type { Self } from '../disk/self.ts'
import type { Keyring } from '../disk/keyring.ts'
import type { Queued } from '../disk/queued.ts'
import { replaceOlder } from '../disk/replace.ts'
import { discard } from '../disk/staging.ts'
import type { Hash, Header } from '../wire/envelope.ts'
import { Backoff } from './backoff.ts'
import type { Composed } from './compose.ts'
import type { Ahead } from './deliver.ts'
import type { Outcome } from './desk.ts'
import { lasting } from './letters.ts'
import type { Transfer } from './transfer.ts'

export interface Post {
  to: (Contact | Self)[]
  composed: Composed
  /** Echoed in every record. */
  ref?: unknown
}

/** What became of a post for one recipient, told in the order in which it happens. */
export interface Teller {
  queued(queued: Queued, contact: Contact, header: Omit<Header, 'parts'>, ref: unknown): Promise<void>
  outcome(outcome: Outcome, ref: unknown): Promise<void>
  /** How far a long message is. */
  progress?(transfer: Transfer): void
  /** A note is in the own inbox. */
  noted(note: Queued, header: Omit<Header, 'parts'>, ref: unknown): Promise<void>
}

export interface OutboxOptions {
  home: Home
  keyring: Keyring
  config: Config
  hash: Hash
  teller: Teller
  /** How long one pass may take; undefined: nothing is offered. */
  waitMs: number | undefined
  signal: AbortSignal
}

interface Job {
  contact: Contact
  queued: Queued
}

export class Outbox {
  readonly #options: OutboxOptions
  readonly #backoff: Backoff
  readonly #refs = new Map<string, unknown>()
  #waiting: Job[] = []
  /** Ids of the pass under way: their outcomes are its to tell. */
  #offered: ReadonlySet<string> = new Set()
  #pass: Promise<void> | undefined
  /** How the first contact is reached, begun while the first messages come to rest on the disk. */
  #ahead: Promise<Ahead | undefined> | undefined
  #error: unknown

  constructor(options: OutboxOptions) {
    this.#options = options
    this.#backoff = new Backoff(options.home.clock)
  }

  /**
   * Makes posts durable, all or none of those to contacts, tells it, and starts to offer them. The staged bodies are
   * discarded in any case. Throws Failure 74 and 65.
   */
  async accept(posts: Post[]): Promise<void> {
    const { home, keyring, config, hash, teller } = this.#options
    const { chatThreads } = config
    try {
      const meant: { contact: Contact; draft: Draft; ref: unknown }[] = []
      for (const { to, composed, ref } of posts) {
        for (const contact of to) {
          if ('me' in contact) continue
          const opts = lasting(composed.opts, config.of(contact).expires, home.clock.now())
          meant.push({ contact, draft: { to: contact, ...composed, opts }, ref })
        }
      }
      const drafts = meant.map(({ draft }) => draft)
      if (meant[0] !== undefined) await this.#beginAhead(meant[0].contact)
      const all = await acceptAll(home, hash, keyring.self, drafts, { chatThreads }).catch(malformed)
      for (const [at, queued] of all.entries()) {
        const { contact, draft, ref } = meant[at] as (typeof meant)[number]
        if (ref !== undefined) this.#refs.set(queued.id, ref)
        this.#waiting.push({ contact, queued })
        await teller.queued(queued, contact, draft.header, ref)
      }
      await this.#replace(all, meant.map(({ contact }) => contact))
      this.#offer()
      for (const { to, composed, ref } of posts) {
        if (to.some((contact) => 'me' in contact)) {
          const { deliverToSelf } = await import('./self.ts')
          const note = await deliverToSelf(home, keyring, hash, config, composed)
          await teller.noted(note, composed.header, ref)
        }
      }
    } catch (error) {
      await this.#hangUp()
      throw error
    } finally {
      for (const { composed } of posts) await discard(home, composed.staged)
    }
  }

  /** Resolves when that is under way, before anybody has answered. */
  async #beginAhead(contact: Contact): Promise<void> {
    const { home, keyring, config, waitMs } = this.#options
    if (waitMs === undefined || this.#ahead !== undefined) return
    this.#ahead = import('./deliver.ts').then(({ beginAhead }) => beginAhead(home, keyring, contact, config, waitMs)).catch(() => undefined)
    if ((await this.#ahead)?.call !== undefined) await nextTurn() // a connection within the machine or the house stands then
  }

  /** What older messages these take the place of is told, unless this process waits for it and tells it then. */
  async #replace(all: Queued[], contacts: Contact[]): Promise<void> {
    const { home } = this.#options
    for (const queued of await replaceOlder(home, all)) {
      const at = this.#waiting.findIndex((job) => job.queued.id === queued.id)
      if (at >= 0) this.#waiting.splice(at, 1)
      else if (this.#offered.has(queued.id)) continue
      const contact = contacts.find(({ key }) => key === queued.key) as Contact
      await this.#tell({ type: 'replaced', queued, contact, elapsedMs: 0 })
    }
  }

  /** A ref is kept while a further record about its message may follow. */
  #tell(outcome: Outcome): Promise<void> {
    const { id, opts } = outcome.queued
    const ref = this.#refs.get(id)
    if (outcome.type !== 'deferred' || opts.tag === undefined) this.#refs.delete(id)
    return this.#options.teller.outcome(outcome, ref)
  }

  /** Resolves when the last pass is over; throws what went wrong in one. `begin` is called if one is to be waited for. */
  async finish(begin?: () => () => void): Promise<void> {
    const end = this.#pass === undefined ? undefined : begin?.()
    while (this.#pass !== undefined) await this.#pass
    await this.#hangUp()
    end?.()
    if (this.#error !== undefined) throw this.#error
  }

  /** What was begun in vain. */
  async #hangUp(): Promise<void> {
    const ahead = await this.#taken()
    if (ahead !== undefined) await (await import('./deliver.ts')).endAhead(ahead)
  }

  /** What was begun, once. */
  #taken(): Promise<Ahead | undefined> {
    const ahead = this.#ahead
    if (ahead !== undefined) this.#ahead = Promise.resolve(undefined)
    return ahead ?? Promise.resolve(undefined)
  }

  #offer(): void {
    if (this.#options.waitMs === undefined || this.#pass !== undefined || this.#waiting.length === 0) return
    const jobs = this.#waiting
    this.#waiting = []
    this.#offered = new Set(jobs.map(({ queued }) => queued.id))
    this.#pass = this.#deliver(jobs, this.#options.waitMs)
      .catch((error: unknown) => {
        this.#error ??= error
      })
      .then(() => {
        this.#pass = undefined
        this.#offered = new Set()
        if (!this.#options.signal.aborted) this.#offer()
      })
  }

  async #deliver(jobs: Job[], waitMs: number): Promise<void> {
    const { home, keyring, config, signal } = this.#options
    const { deliverNow } = await import('./deliver.ts') // what the network takes is loaded only where it is used
    let told = Promise.resolve()
    await deliverNow(home, keyring, jobs, {
      waitMs,
      signal,
      config,
      backoff: this.#backoff,
      ahead: await this.#taken(),
      onProgress: (transfer) => this.#options.teller.progress?.(transfer),
      onOutcome: (outcome) => {
        told = told.then(() => this.#tell(outcome))
      },
    })
    await told
  }
}

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

function malformed(error: unknown): never {
  if (error instanceof Malformed) throw new Failure(EX.DATA, `cannot send this: ${error.message}`)
  throw error
}
