// The receiver's promise: each message appears in inbox/ exactly once, whatever dies when (p2p-spool(5), RECEIVER).
// The order is the proof: mail and parts durable, then the record in `seen` durable, then the rename into new/, then
// the answer. Several processes may receive for one home; each works under a tag of its own, held by a lock, and the
// first record of an id decides whose copy is delivered. What a dead one left is finished or taken over.

import { hex } from '../base/bytes.ts'
import { Failure, isCode } from '../base/fail.ts'
import { forAll } from '../base/parallel.ts'
import type { Hash } from '../wire/envelope.ts'
import type { MailFields } from '../wire/mail.ts'
import { ancestry } from './ancestors.ts'
import { type Arrival, type ArrivalOptions, type Receipt, SMALL_MAX, SmallArrival } from './arrival.ts'
import { createFiles, type NewFile, removeTree } from './durable.ts'
import { checkOneDevice, type Home } from './home.ts'
import { InFlight } from './inflight.ts'
import { LargeArrival } from './largearrival.ts'
import { writeNew } from './maildir.ts'
import { partPath, place } from './place.ts'
import { Present } from './present.ts'
import { Receiver } from './receiver.ts'
import type { SeenRecord } from './seenlog.ts'
import type { Self } from './self.ts'
import { finish, finishFor, isOld, parseEntry, takeOverAll, takeOverMessage } from './takeover.ts'

/** Large messages made ready at once in one commit. */
const PARALLEL = 8

/** Random bytes of a MIME boundary. */
const BOUNDARY = 16

/** Unfinished large messages of one contact. */
export const PARTS_MAX = 16

export interface Delivered {
  id: string
  key: string
  /** Absolute. */
  path: string
  mail: MailFields
  /** Offset behind the record in the seen log. */
  cursor: number
  /** A link to it lies in hooks/pending. */
  hooked: boolean
}

/** Who a message is from, for the mail. */
export interface Sender {
  key: string
  identity: Uint8Array
  name: string
  verified: boolean
}

export interface InboxOptions {
  /** Whether mail of this contact (KEY) is linked into hooks/pending; own mail never is. */
  hooks?: (key: string) => boolean
  /** Whether mail without subject and reply is put into one thread a day; it is without. */
  chatThreads?: () => boolean
}

export class Inbox {
  readonly #home: Home
  readonly #hash: Hash
  readonly #self: Self
  readonly #receiver: Receiver
  readonly #chatThreads: () => boolean
  readonly #inFlight = new InFlight()
  /** Own messages go one after the other: two sessions may give up the same message at once. */
  #own: Promise<unknown> = Promise.resolve()
  /** What stood in the inbox before the first commit of this process. */
  #present: Promise<Present> | undefined

  private constructor(home: Home, hash: Hash, self: Self, receiver: Receiver, chatThreads: () => boolean) {
    this.#home = home
    this.#hash = hash
    this.#self = self
    this.#receiver = receiver
    this.#chatThreads = chatThreads
  }

  /** Opens the receiving side of a home and finishes what dead receivers left. */
  static async open(home: Home, hash: Hash, self: Self, options: InboxOptions = {}): Promise<Inbox> {
    const { hooks = (): boolean => false, chatThreads = (): boolean => true } = options
    await checkOneDevice(home)
    const receiver = await Receiver.open(home, (key) => key !== self.key && hooks(key))
    try {
      await takeOverAll(receiver)
    } catch (error) {
      await receiver.release()
      throw error
    }
    return new Inbox(home, hash, self, receiver, chatThreads)
  }

  async close(): Promise<void> {
    await this.#own
    await this.#receiver.close()
  }

  /**
   * True if the message is in the inbox for good: the answer is HAVE. Finishes what a dead receiver has committed, or
   * this one on a full disk.
   */
  async has(key: string, id: string): Promise<boolean> {
    const record = await this.#receiver.seen.find(key, id)
    if (record === undefined) return false
    if (record.tag !== this.#receiver.tag) await finishFor(this.#receiver, record)
    else if (!this.isActive(key, id)) await finish(this.#receiver, record)
    return true
  }

  /** Resolves when nobody here works on this id; at once if nobody does. */
  async idle(key: string, id: string): Promise<void> {
    await this.#inFlight.end(key, id)
  }

  isActive(key: string, id: string): boolean {
    return this.#inFlight.has(key, id)
  }

  /**
   * A place for a message that is about to arrive. `release` must be called when it is committed, suspended or
   * discarded. Undefined if another session of this process is at it: see idle().
   */
  async arrive(
    from: Sender,
    id: string,
    size: number,
  ): Promise<{ arrival: Arrival; release: () => void } | undefined> {
    const release = this.#inFlight.take(from.key, id)
    if (release === undefined) return undefined
    try {
      if (!this.#receiver.hasPart(from.key)) await this.#receiver.makePart(from.key)
      // Nothing is left of a small one that was not committed.
      if (size > SMALL_MAX) await takeOverMessage(this.#receiver, from.key, id)
      const { identity, key } = from
      const options = {
        home: this.#home,
        hash: this.#hash,
        key,
        from: identity,
        to: this.#self.identity,
        id,
        size,
        tag: this.#receiver.tag,
      }
      const arrival = size <= SMALL_MAX ? new SmallArrival(options) : await openLarge(options)
      return { arrival, release }
    } catch (error) {
      release()
      throw error
    }
  }

  /** Unfinished large messages of a contact other than this one, whoever works on them. Those of old are dropped. */
  async unfinished(key: string, id: string): Promise<number> {
    let count = 0
    for (const name of await this.#home.files.list(this.#home.at('part', key))) {
      const path = this.#home.at('part', key, name)
      const { id: other = '', tag } = parseEntry(name) ?? {}
      if (other === id || (await this.#home.files.stat(path))?.kind !== 'dir') continue
      const idle = tag === this.#receiver.tag && !this.isActive(key, other)
      if (idle && (await isOld(this.#home, path)) && !(await this.has(key, other))) {
        await removeTree(this.#home.files, path)
      } else {
        count++
      }
    }
    return count
  }

  /**
   * R2 to R4b for checked arrivals, in this order, with one fsync a step for all of them. After it, every message is
   * in the inbox, delivered here or by whoever came first: the answer is ACK. Returns those delivered here, and those
   * that the disk is too full to move there: they are safe, and has() tries again. If it throws, nothing may be
   * answered: an error of the system has left everything as it was, a Failure ends the process (see Seen.commit).
   * `written` is called when the mails are on disk: the next commit may begin then, and its records come after these.
   */
  async commit(
    items: { arrival: Arrival; from: Sender }[],
    written: () => void = () => undefined,
  ): Promise<{ delivered: Delivered[]; unplaced: Set<Arrival> }> {
    const records = items.map(({ arrival }) => this.#receiver.record(arrival.key, arrival.id))
    let won: boolean[]
    try {
      const present = await (this.#present ??= Present.read(this.#home))
      const boundaries = hex(this.#home.random.bytes(items.length * BOUNDARY))
      const ancestorsOf = ancestry(this.#home)
      const small = await forAll(items, PARALLEL, async ({ arrival, from }, i) => {
        const boundary = boundaries.slice(i * BOUNDARY * 2, (i + 1) * BOUNDARY * 2)
        const receipt = this.#receipt(from, (records[i] as SeenRecord).time, boundary)
        const references = await ancestorsOf(arrival.head?.header.reply)
        return arrival.prepare({ ...receipt, references, ...(present.has(arrival.id) && { possibleDuplicate: true }) })
      })
      await this.#write(small.filter((file) => file !== undefined))
      for (const { arrival } of items) arrival.committed = true
      written()
      won = await this.#receiver.commit(records)
    } catch (error) {
      if (error instanceof Failure) throw error
      for (const { arrival } of items) {
        arrival.committed = false
        await arrival.suspend().catch(() => undefined)
      }
      throw error
    }
    const delivered: Delivered[] = []
    const unplaced = new Set<Arrival>()
    for (const [i, { arrival }] of items.entries()) {
      const record = records[i] as SeenRecord
      if (won[i] !== true) {
        arrival.committed = false
        await arrival.discard()
        continue
      }
      try {
        const kind = arrival instanceof SmallArrival ? 'file' : undefined
        const hooked = this.#receiver.hooks(record.key)
        const path = await place(this.#home, record, hooked, kind)
        const { key, id, mail } = arrival
        if (path !== undefined && mail !== undefined) delivered.push({ id, key, path, mail, cursor: 0, hooked })
      } catch (error) {
        if (!isCode(error, 'ENOSPC', 'EDQUOT')) throw error
        unplaced.add(arrival)
      }
    }
    await this.#home.files.syncDir(this.#home.at('inbox', 'new'))
    for (const item of delivered) {
      item.cursor = (this.#receiver.seen.recent(item) ?? (await this.#receiver.seen.find(item.key, item.id)))?.next ?? 0
      if (item.mail.receipt !== undefined) await this.#markRead(item)
    }
    return { delivered, unplaced }
  }

  /** A receipt is no news that anybody has to read. Where that cannot be noted it is one message more that is new. */
  async #markRead(item: Delivered): Promise<void> {
    const path = this.#home.at('inbox', 'cur', `${item.path.slice(item.path.lastIndexOf('/') + 1)}:2,S`)
    const moved = await this.#home.files.rename(item.path, path).then(() => true, () => false)
    if (moved) item.path = path
  }

  /**
   * A message of this program or to oneself, through the same gate: delivered once for each id, however often it is
   * tried. Returns its path, or undefined if it was delivered before.
   */
  deliverOwn(id: string, mail: (time: number) => AsyncIterable<Uint8Array>): Promise<Delivered | undefined> {
    const turn = this.#own.then(() => this.#deliverOwn(id, mail))
    this.#own = turn.catch(() => undefined)
    return turn
  }

  async #deliverOwn(id: string, mail: (time: number) => AsyncIterable<Uint8Array>): Promise<Delivered | undefined> {
    const { key } = this.#self
    if (await this.has(key, id)) return undefined
    const { files } = this.#home
    await this.#receiver.makePart(key)
    const record = this.#receiver.record(key, id)
    await files.unlink(partPath(this.#home, record)) // what a full disk may have left of an earlier attempt
    await writeNew(files, partPath(this.#home, record), mail(Number(record.time / 1000n)))
    let won: boolean | undefined
    try {
      ;[won] = await this.#receiver.commit([record])
    } catch (error) {
      if (!(error instanceof Failure)) await files.unlink(partPath(this.#home, record)).catch(() => false)
      throw error
    }
    if (won !== true) {
      await files.unlink(partPath(this.#home, record))
      return undefined
    }
    const path = await place(this.#home, record, false)
    await files.syncDir(this.#home.at('inbox', 'new'))
    const cursor = (await this.#receiver.seen.find(key, id))?.next ?? 0
    return path === undefined ? undefined : { id, key, path, mail: undefined as never, cursor, hooked: false }
  }

  async #write(small: NewFile[]): Promise<void> {
    const { files } = this.#home
    try {
      await createFiles(files, small)
    } catch (error) {
      if (!isCode(error, 'EEXIST')) throw error
      for (const { path } of small) await files.unlink(path) // left by a disk too full even for an unlink
      await createFiles(files, small)
    }
  }

  #receipt(from: Sender, time: bigint, boundary: string): Receipt {
    return {
      from: { name: from.name, key: from.key },
      to: { name: this.#self.name, key: this.#self.key },
      received: Number(time / 1000n),
      verified: from.verified,
      chatThreads: this.#chatThreads(),
      boundary,
    }
  }
}

/** R0 or, if an earlier attempt left something that makes sense, R1 of this message. */
async function openLarge(options: ArrivalOptions): Promise<Arrival> {
  const arrival = new LargeArrival(options)
  await arrival.resume()
  return arrival
}
