// Whose marks are known (roam.ts): a session that lives goes on where its mark came from; of one that has ended here, which
// the other side may not have noticed yet, it is told for a while where that is. A mark that is nobody's is noise.

import type { Clock } from '../base/clock.ts'
import { type Marks, Roll } from './roam.ts'
import type { Endpoint } from './stream.ts'
import type { UdpStream } from './udpstream.ts'

const MOVED_MS = 1000 // what is under way to a side that has moved is given so long to arrive where it was
const SHOWN_MS = 60_000 // a side that still has a session has shown itself by then
const MARKS_MAX = 4096 // beyond that nothing is kept of sessions that have ended

/** Who had a session that has ended here (its I) still has it, and is there. */
export type OnShown = (identity: Uint8Array, from: Endpoint) => void

interface Entry {
  readonly stream: UdpStream
  readonly identity: Uint8Array
  over: boolean
}

export class Roster {
  readonly #clock: Clock
  readonly #onShown: OnShown | undefined
  readonly #roll = new Roll<Entry>()
  /** Of what is known though it is over. */
  readonly #forgets = new Set<() => void>()
  #closed = false

  constructor(clock: Clock, onShown?: OnShown) {
    this.#clock = clock
    this.#onShown = onShown
  }

  /** Marks that are known. */
  get size(): number {
    return this.#roll.size
  }

  /** `marks`: those of the other side of this session, whose I is `identity`. */
  add(stream: UdpStream, marks: Marks, identity: Uint8Array): void {
    const entry: Entry = { stream, identity, over: false }
    this.#roll.add(marks, entry)
    void stream.closed.then(() => {
      entry.over = true
      const forget = (): void => {
        cancel()
        this.#roll.remove(marks)
        this.#forgets.delete(forget)
      }
      const cancel = this.#clock.after(SHOWN_MS, forget, true)
      this.#forgets.add(forget)
      if (this.#closed || this.#onShown === undefined || this.#roll.size > MARKS_MAX) forget()
    })
  }

  /** A stream sends what is lost again to where it was sent first: what was under way to a place left is lost with it. */
  take(bytes: Uint8Array, from: Endpoint): void {
    const entry = this.#roll.take(bytes)
    if (entry === undefined) return
    const { stream, identity, over } = entry
    if (over) return this.#onShown?.(identity, from)
    const cancel = this.#clock.after(MOVED_MS, () => stream.displace(), true)
    void stream.redirect(from).then(cancel)
  }

  close(): void {
    this.#closed = true
    for (const forget of this.#forgets) forget()
  }
}
