// How far long transfers are: told by both halves of every session, thinned out here, carried to whoever shows it. No
// promise hangs on it.

import type { Clock } from '../base/clock.ts'
import type { Message } from './control.ts'

export interface Transfer {
  id: string
  /** KEY of the contact. */
  key: string
  direction: 'in' | 'out'
  /** Bytes of the envelope that are there or on their way, of how many. */
  done: number
  size: number
}

/** Smaller messages are over before anybody could read of them. */
const LONG = 1 << 20

/** Of one transfer so often at most, in ms; its end always. */
const EVERY_MS = 200

/** Lets through what is worth telling. */
export class Thinner {
  readonly #clock: Clock
  readonly #tell: (transfer: Transfer) => void
  /** When something was told last, by id; of those under way. */
  readonly #told = new Map<string, number>()

  constructor(clock: Clock, tell: (transfer: Transfer) => void) {
    this.#clock = clock
    this.#tell = tell
  }

  note(transfer: Transfer): void {
    const { id, done, size } = transfer
    if (size < LONG) return
    const now = this.#clock.monotonic()
    if (done < size && now - (this.#told.get(id) ?? -Infinity) < EVERY_MS) return
    if (done < size) this.#told.set(id, now)
    else this.#told.delete(id)
    this.#tell(transfer)
  }
}

/** What a listener says of a transfer to a command that waits; undefined if the record is of another kind. */
export function transferOf({ type, id, key, direction, done, size }: Message): Transfer | undefined {
  if (type !== 'progress' || typeof id !== 'string' || typeof key !== 'string') return undefined
  if ((direction !== 'in' && direction !== 'out') || typeof done !== 'number' || typeof size !== 'number') return undefined
  return { id, key, direction, done, size }
}
