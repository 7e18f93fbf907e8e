// One receiver of a home, for as long as a process receives: the tag that its entries in part/ have, the lock that holds
// the tag, and the records that it commits under it. Guarantee: nothing is committed once the lock was lost, no record
// before what it speaks of is durable in part/, and the order of the log is the order of the names. It trusts the lock
// to tell of its loss; of other receivers it knows what the log says.

import { hex } from '../base/bytes.ts'
import { EX, Failure } from '../base/fail.ts'
import type { Home } from './home.ts'
import { type Held, tryLock } from './lock.ts'
import { Seen } from './seen.ts'
import type { SeenRecord } from './seenlog.ts'

/** The lock that the receiver `tag` holds while it lives. */
export function receiverLock(tag: string): string {
  return `receiver.${tag}`
}

export class Receiver {
  readonly home: Home
  readonly seen: Seen
  readonly tag: string
  /** Whether mail of this contact (KEY) is linked into hooks/pending when it is placed. */
  readonly hooks: (key: string) => boolean
  readonly #lock: Held
  /** Contacts whose directory in part/ is there. */
  readonly #parts = new Set<string>()
  /** One commit after the other, in the order in which they were asked for. */
  #commits: Promise<unknown> = Promise.resolve()
  #lastTime = 0n

  private constructor(home: Home, lock: Held, seen: Seen, tag: string, hooks: (key: string) => boolean) {
    this.home = home
    this.seen = seen
    this.tag = tag
    this.hooks = hooks
    this.#lock = lock
  }

  static async open(home: Home, hooks: (key: string) => boolean): Promise<Receiver> {
    const tag = hex(home.random.bytes(8))
    const lock = await tryLock(home, receiverLock(tag))
    if (lock === undefined) throw new Failure(EX.SOFTWARE, 'a fresh receiver tag is taken')
    try {
      return new Receiver(home, lock, await Seen.open(home), tag, hooks)
    } catch (error) {
      await lock.release()
      throw error
    }
  }

  async close(): Promise<void> {
    await this.seen.close()
    await this.release()
  }

  /** From here on others take over what this one has left. */
  release(): Promise<void> {
    return this.#lock.release()
  }

  /** True if makePart() has nothing to do. */
  hasPart(key: string): boolean {
    return this.#parts.has(key)
  }

  /** The directory of a contact in part/, durable. */
  async makePart(key: string): Promise<void> {
    if (this.#parts.has(key)) return
    if (await this.home.files.mkdir(this.home.at('part', key))) await this.home.files.syncDir(this.home.at('part'))
    this.#parts.add(key)
  }

  /** What is to be committed of a message that has come now. */
  record(key: string, id: string): SeenRecord {
    return { key, id, time: this.#nextTime(), tag: this.tag }
  }

  /** R2 to R3: the entries in part/ durable, then the records. Returns and throws as Seen.commit does. */
  commit(records: SeenRecord[]): Promise<boolean[]> {
    const turn = this.#commits.then(() => this.#commit(records))
    this.#commits = turn.catch(() => undefined)
    return turn
  }

  async #commit(records: SeenRecord[]): Promise<boolean[]> {
    // Whoever holds it now took our parts for those of a dead process.
    if (this.#lock.lost.aborted) throw new Failure(EX.IO, `lock '${receiverLock(this.tag)}' was lost: not receiving`)
    for (const key of new Set(records.map((record) => record.key))) {
      await this.home.files.syncDir(this.home.at('part', key))
    }
    return this.seen.commit(records)
  }

  /** Strictly increasing, so that the order of the log is the order of the names. */
  #nextTime(): bigint {
    const now = this.home.clock.micros()
    this.#lastTime = now > this.#lastTime ? now : this.#lastTime + 1n
    return this.#lastTime
  }
}
