// Contacts that a process has called in vain a moment ago. A stream of messages to somebody who is away then costs one
// call now and then, not one a message; what is not offered stays queued like everything else.

import type { Clock } from '../base/clock.ts'
import type { AddressFailure } from '../disk/queuelog.ts'
import type { News } from './fate.ts'

/** How long a contact is left alone: a person who sees "deferred" and sends again soon is to be tried again. */
const REST_MS = 30_000

export interface Vain {
  reason: string
  text: string
  addresses: AddressFailure[]
  attempts: number
  /** Unix ms. */
  next: number
}

/** The memory of one process; nothing of it is on disk. */
export class Backoff {
  readonly #clock: Clock
  readonly #called = new Map<string, { at: number; vain: Vain }>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** The contact KEY was called and was not there. */
  note(key: string, vain: Vain): void {
    this.#called.set(key, { at: this.#clock.monotonic(), vain })
  }

  /** What is to be told of messages for a contact that is not called for now; undefined: call. */
  rests(key: string): News | undefined {
    const called = this.#called.get(key)
    if (called === undefined || this.#clock.monotonic() - called.at >= REST_MS) return undefined
    const { text, addresses, attempts, next } = called.vain
    return { type: 'deferred', reason: 'backoff', text: `called in vain a moment ago: ${text}`, addresses, attempts, next }
  }
}
