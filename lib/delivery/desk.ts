// The messages a command is asked about, and what became of them: each gets one outcome, the first that is told.

import type { Clock } from '../base/clock.ts'
import type { Contact } from '../disk/contact.ts'
import type { Home } from '../disk/home.ts'
import type { Named } from '../disk/queued.ts'
import { fatesOf, type News } from './fate.ts'

export interface Job {
  contact: Contact
  queued: Named
}

export interface Outcome extends News, Job {
  /** Since the desk was opened. */
  elapsedMs: number
}

export class Desk {
  /** Without an outcome so far, by id. */
  readonly #open = new Map<string, Job>()
  /** How many those are, by KEY: a map that thousands were taken out of takes long to be gone through. */
  readonly #left = new Map<string, number>()
  readonly #since: number
  readonly #clock: Clock
  readonly #tell: (outcome: Outcome) => void

  constructor(clock: Clock, jobs: Job[], tell: (outcome: Outcome) => void) {
    this.#clock = clock
    this.#since = clock.monotonic()
    this.#tell = tell
    for (const job of jobs) {
      this.#open.set(job.queued.id, job)
      this.#count(job.contact.key, 1)
    }
  }

  /** Those without an outcome. */
  get jobs(): Job[] {
    return [...this.#open.values()]
  }

  /** Every message for the contact KEY has its outcome. */
  isDone(key: string): boolean {
    return (this.#left.get(key) ?? 0) === 0
  }

  #count(key: string, by: 1 | -1): void {
    this.#left.set(key, (this.#left.get(key) ?? 0) + by)
  }

  tell(id: string, news: News): void {
    const job = this.#open.get(id)
    if (job === undefined) return
    this.#open.delete(id)
    this.#count(job.contact.key, -1)
    const { contact, queued } = job
    this.#tell({ ...news, contact, queued, elapsedMs: this.#clock.monotonic() - this.#since })
  }

  /** The same for all that are left, or for those of one contact. */
  tellRest(news: News, key?: string): void {
    for (const { contact, queued } of this.jobs) if (key === undefined || contact.key === key) this.tell(queued.id, news)
  }

  /** Tells what happened to those that do not wait any more: another session may have taken them along. */
  async look(home: Home): Promise<void> {
    for (const [id, news] of await fatesOf(home, this.jobs.map(({ queued }) => queued))) this.tell(id, news)
  }

  /** The wait is over, or the pass: what has no outcome goes on waiting. */
  async close(home: Home): Promise<void> {
    await this.look(home)
    this.tellRest({ type: 'deferred', reason: 'timeout', text: 'not delivered within the wait; it stays queued' })
  }
}
