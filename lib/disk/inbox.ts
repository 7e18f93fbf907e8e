// The receiver's promise: each message appears in inbox/ exactly once, whatever dies when (p2p-spool(5), RECEIVER).
// The order is the proof: mail and parts durable, then the record in `seen` durable, then the rename into new/, then
// the answer. Several processes may receive for one home; each works under a tag of its own, held by a lock, and the
// first record of an id decides whose copy is delivered. What a dead one left is finished or taken over.

import { hex } from '../base/bytes.ts'
import { EX, Failure, isCode } from '../base/fail.ts'
import { forAll } from '../base/parallel.ts'
import { decodeHead, type Hash } from '../wire/envelope.ts'
import { externalPath, isExternal, type MailFields } from '../wire/mail.ts'
import { type Arrival, openArrival, type Receipt, SMALL_MAX } from './arrival.ts'
import { removeTree } from './durable.ts'
import { checkOneDevice, type Home } from './home.ts'
import type { Self } from './identity.ts'
import { type Held, tryLock } from './lock.ts'
import { listMaildir, mailName, writeNew } from './maildir.ts'
import { Seen, type SeenRecord } from './seen.ts'

/** Files written at once in one commit. */
const PARALLEL = 8

/** An unfinished message that nobody went on with for so long is dropped; its sender still has it. */
const PART_MAX_MS = 14 * 86_400_000

/** Unfinished large messages of one contact. */
export const PARTS_MAX = 16

const LOCK = /^receiver\.([0-9a-f]{16})\.lock$/
const ENTRY = /^([0-9a-f]{64})\.([0-9a-f]{16})$/

export interface Delivered {
  id: string
  key: string
  /** Absolute. */
  path: string
  mail: MailFields
  /** Offset behind the record in the seen log. */
  cursor: number
}

/** Who a message is from, for the mail. */
export interface Sender {
  key: string
  identity: Uint8Array
  name: string
  verified: boolean
}

export class Inbox {
  readonly #home: Home
  readonly #hash: Hash
  readonly #self: Self
  readonly #lock: Held
  readonly #seen: Seen
  readonly #tag: string
  readonly #hooks: boolean
  /** Ids that are arriving now; the promise ends with the arrival. */
  readonly #active = new Map<string, Promise<void>>()
  /** Contacts whose directory in part/ is there. */
  readonly #parts = new Set<string>()
  /** Own messages go one after the other: two sessions may give up the same message at once. */
  #own: Promise<unknown> = Promise.resolve()
  /** Files of the inbox that `seen` does not know although it should: somebody restored an old `seen`. */
  #unrecorded: Set<string> | undefined
  #lastTime = 0n

  private constructor(home: Home, hash: Hash, self: Self, lock: Held, seen: Seen, tag: string, hooks: boolean) {
    this.#home = home
    this.#hash = hash
    this.#self = self
    this.#lock = lock
    this.#seen = seen
    this.#tag = tag
    this.#hooks = hooks
  }

  /** Opens the receiving side of a home and finishes what dead receivers left. `hooks`: link mail into hooks/pending. */
  static async open(home: Home, hash: Hash, self: Self, options: { hooks?: boolean } = {}): Promise<Inbox> {
    await checkOneDevice(home)
    const tag = hex(home.random.bytes(8))
    const lock = await tryLock(home, receiverLock(tag))
    if (lock === undefined) throw new Failure(EX.SOFTWARE, 'a fresh receiver tag is taken')
    try {
      const inbox = new Inbox(home, hash, self, lock, await Seen.open(home), tag, options.hooks === true)
      await inbox.#recover()
      await inbox.#compareWithSeen()
      return inbox
    } catch (error) {
      await lock.release()
      throw error
    }
  }

  async close(): Promise<void> {
    await this.#own
    await this.#seen.close()
    await this.#lock.release()
  }

  /**
   * True if the message is in the inbox for good: the answer is HAVE. Finishes what a dead receiver has committed, or
   * this one on a full disk.
   */
  async has(key: string, id: string): Promise<boolean> {
    const record = await this.#seen.find(key, id)
    if (record === undefined) return false
    if (record.tag !== this.#tag) await this.#finishFor(record)
    else if (!this.isActive(key, id)) await this.#finish(record)
    return true
  }

  /** Resolves when nobody here works on this id; at once if nobody does. */
  async idle(key: string, id: string): Promise<void> {
    await this.#active.get(`${key}/${id}`)
  }

  isActive(key: string, id: string): boolean {
    return this.#active.has(`${key}/${id}`)
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
    const name = `${from.key}/${id}`
    if (this.#active.has(name)) return undefined
    let release = (): void => undefined
    this.#active.set(name, new Promise((resolve) => (release = resolve)))
    let freed = false
    const free = (): void => {
      if (freed) return
      freed = true
      this.#active.delete(name)
      release()
    }
    try {
      await this.#makePart(from.key)
      if (size > SMALL_MAX) await this.#adopt(from.key, id) // nothing is left of a small one that was not committed
      const { identity, key } = from
      const arrival = await openArrival({
        home: this.#home,
        hash: this.#hash,
        key,
        from: identity,
        to: this.#self.identity,
        id,
        size,
        tag: this.#tag,
      })
      return { arrival, release: free }
    } catch (error) {
      free()
      throw error
    }
  }

  /** Unfinished large messages of a contact other than this one, whoever works on them. Those of old are dropped. */
  async unfinished(key: string, id: string): Promise<number> {
    let count = 0
    for (const name of await this.#home.files.list(this.#home.at('part', key))) {
      const path = this.#home.at('part', key, name)
      const [, other = '', tag] = ENTRY.exec(name) ?? []
      if (other === id || (await this.#home.files.stat(path))?.kind !== 'dir') continue
      if (tag === this.#tag && !this.isActive(key, other) && (await this.#isOld(path)) && !(await this.has(key, other))) {
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
   */
  async commit(
    items: { arrival: Arrival; from: Sender }[],
  ): Promise<{ delivered: Delivered[]; unplaced: Set<Arrival> }> {
    const times = items.map(() => this.#nextTime())
    const records = items.map(({ arrival }, i) => this.#record(arrival.key, arrival.id, times[i] as bigint))
    let won: boolean[]
    try {
      await forAll(items, PARALLEL, async ({ arrival, from }, i) => {
        await arrival.prepare(this.#receipt(arrival.id, from, times[i] as bigint))
      })
      for (const { arrival } of items) arrival.committed = true
      won = await this.#commitRecords(records)
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
        const path = await this.#place(record)
        const { key, id, mail } = arrival
        if (path !== undefined && mail !== undefined) delivered.push({ id, key, path, mail, cursor: 0 })
      } catch (error) {
        if (!isCode(error, 'ENOSPC', 'EDQUOT')) throw error
        unplaced.add(arrival)
      }
    }
    await this.#home.files.syncDir(this.#home.at('inbox', 'new'))
    for (const item of delivered) item.cursor = (await this.#seen.find(item.key, item.id))?.next ?? 0
    return { delivered, unplaced }
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
    await this.#makePart(key)
    const record = this.#record(key, id, this.#nextTime())
    await files.unlink(this.#partPath(record)) // what a full disk may have left of an earlier attempt
    await writeNew(files, this.#partPath(record), mail(Number(record.time / 1000n)))
    let won: boolean | undefined
    try {
      ;[won] = await this.#commitRecords([record])
    } catch (error) {
      if (!(error instanceof Failure)) await files.unlink(this.#partPath(record)).catch(() => false)
      throw error
    }
    if (won !== true) {
      await files.unlink(this.#partPath(record))
      return undefined
    }
    const path = await this.#place(record, false)
    await files.syncDir(this.#home.at('inbox', 'new'))
    const cursor = (await this.#seen.find(key, id))?.next ?? 0
    return path === undefined ? undefined : { id, key, path, mail: undefined as never, cursor }
  }

  async #makePart(key: string): Promise<void> {
    if (this.#parts.has(key)) return
    if (await this.#home.files.mkdir(this.#home.at('part', key))) await this.#home.files.syncDir(this.#home.at('part'))
    this.#parts.add(key)
  }

  #record(key: string, id: string, time: bigint): SeenRecord {
    return { key, id, time, tag: this.#tag }
  }

  /** R2 to R3: the entries in part/ durable, then the records. Throws as Seen.commit does. */
  async #commitRecords(records: SeenRecord[]): Promise<boolean[]> {
    // Whoever holds it now took our parts for those of a dead process.
    if (this.#lock.lost.aborted) throw new Failure(EX.IO, `lock '${receiverLock(this.#tag)}' was lost: not receiving`)
    for (const key of new Set(records.map((record) => record.key))) {
      await this.#home.files.syncDir(this.#home.at('part', key))
    }
    return this.#seen.commit(records)
  }

  /** Strictly increasing, so that the order of the log is the order of the names. */
  #nextTime(): bigint {
    const now = this.#home.clock.micros()
    this.#lastTime = now > this.#lastTime ? now : this.#lastTime + 1n
    return this.#lastTime
  }

  #receipt(id: string, from: Sender, time: bigint): Receipt {
    return {
      from: { name: from.name, key: from.key },
      to: { name: this.#self.name, key: this.#self.key },
      received: Number(time / 1000n),
      verified: from.verified,
      possibleDuplicate: this.#unrecorded?.has(id.slice(0, 32)) === true ? true : undefined,
      boundary: hex(this.#home.random.bytes(16)),
    }
  }

  #partPath(record: Pick<SeenRecord, 'key' | 'id' | 'tag'>): string {
    return this.#home.at('part', record.key, `${record.id}.${record.tag}`)
  }

  /**
   * R3 to R4b for a message whose record is durable. Every step may have been done before; inbox/new is not synced
   * yet. Returns the mail's path, undefined if it was placed before.
   */
  async #place(record: SeenRecord, hooks = this.#hooks): Promise<string | undefined> {
    const { files } = this.#home
    const part = this.#partPath(record)
    const stat = await files.stat(part)
    if (stat === undefined) return undefined
    const large = stat.kind === 'dir'
    const mail = large ? `${part}/mail` : part
    if (large) await this.#placeFiles(record.id, part)
    const name = mailName(record.time, record.id)
    const path = this.#home.at('inbox', 'new', name)
    let placed: string | undefined = path
    try {
      if (hooks) await this.#linkHook(mail, name)
      await files.utimes(mail, Number(record.time / 1000n))
      await files.rename(mail, path)
    } catch (error) {
      if (!isCode(error, 'ENOENT')) throw error
      placed = undefined // another process finished it first
    }
    if (large) {
      await files.syncDir(this.#home.at('inbox', 'new')) // before the rest of the part goes
      await removeTree(files, part)
    }
    return placed
  }

  /** R4a: parts too large for the mail move to files/ID/. */
  async #placeFiles(id: string, part: string): Promise<void> {
    const { files } = this.#home
    let head
    try {
      head = decodeHead(await files.read(`${part}/head`), this.#hash)
    } catch (error) {
      if (isCode(error, 'ENOENT')) return // only left-overs of a removal
      throw error
    }
    let moved = false
    for (const [index, { size }] of head.header.parts.entries()) {
      if (!isExternal({ size })) continue
      if (!moved) await files.mkdir(this.#home.at('files', id))
      moved = true
      try {
        await files.rename(`${part}/${index}`, this.#home.at(externalPath(id, index)))
      } catch (error) {
        if (!isCode(error, 'ENOENT')) throw error
      }
    }
    if (!moved) return
    await files.syncDir(this.#home.at('files', id))
    await files.syncDir(this.#home.at('files')) // whoever made the directory may have died before this
  }

  async #linkHook(mail: string, name: string): Promise<void> {
    try {
      await this.#home.files.link(mail, this.#home.at('hooks', 'pending', name))
    } catch (error) {
      if (!isCode(error, 'EEXIST')) throw error
    }
    await this.#home.files.syncDir(this.#home.at('hooks', 'pending'))
  }

  /** R4 for a record of another receiver, if that one is dead. */
  async #finishFor(record: SeenRecord): Promise<void> {
    if ((await this.#home.files.stat(this.#partPath(record))) === undefined) return
    const lock = await tryLock(this.#home, receiverLock(record.tag))
    if (lock === undefined) return // alive: it will
    try {
      await this.#finish(record)
    } finally {
      await lock.release()
    }
  }

  async #finish(record: SeenRecord): Promise<void> {
    if ((await this.#place(record)) !== undefined) await this.#home.files.syncDir(this.#home.at('inbox', 'new'))
  }

  /** Takes over an unfinished large message from a receiver that died. */
  async #adopt(key: string, id: string): Promise<void> {
    for (const name of await this.#home.files.list(this.#home.at('part', key))) {
      if (name.startsWith(`${id}.`)) await this.#recoverEntry(key, name)
    }
  }

  /** What dead receivers left: committed mail is delivered, unfinished parts are taken over, the rest goes. */
  async #recover(): Promise<void> {
    const { files } = this.#home
    for (const key of await files.list(this.#home.at('part'))) {
      for (const name of await files.list(this.#home.at('part', key))) await this.#recoverEntry(key, name)
    }
    await files.syncDir(this.#home.at('part')) // whoever made a directory may have died before this
    await files.syncDir(this.#home.at('inbox', 'new'))
    for (const name of await files.list(this.#home.at('lock'))) {
      const [, tag] = LOCK.exec(name) ?? []
      if (tag !== undefined && tag !== this.#tag) await (await tryLock(this.#home, receiverLock(tag)))?.release()
    }
  }

  async #recoverEntry(key: string, name: string): Promise<void> {
    const match = ENTRY.exec(name)
    const [, id, tag] = match ?? []
    if (id === undefined || tag === undefined || tag === this.#tag) return
    const lock = await tryLock(this.#home, receiverLock(tag))
    if (lock === undefined) return
    try {
      const path = this.#home.at('part', key, name)
      const stat = await this.#home.files.stat(path)
      if (stat === undefined) return
      const record = await this.#seen.find(key, id)
      if (record?.tag === tag) {
        await this.#place(record)
      } else if (record !== undefined || stat.kind !== 'dir') {
        // Delivered from another copy, or a small one that was never committed: its sender still has it.
        await removeAny(this.#home, path, stat.kind)
      } else if (await this.#isOld(path)) {
        await removeTree(this.#home.files, path)
      } else {
        const own = this.#partPath({ key, id, tag: this.#tag })
        if ((await this.#home.files.stat(own)) === undefined) await this.#home.files.rename(path, own)
        else await removeTree(this.#home.files, path)
      }
    } finally {
      await lock.release()
    }
  }

  /** True for the directory of a message that nobody went on with for PART_MAX_MS. */
  async #isOld(path: string): Promise<boolean> {
    const times = await Promise.all([path, `${path}/chunks`].map((each) => this.#home.files.stat(each)))
    return this.#home.clock.now() - Math.max(...times.map((stat) => stat?.mtimeMs ?? 0)) > PART_MAX_MS
  }

  /** If the inbox holds mail younger than the last record, `seen` is an old copy: such mail may come again. */
  async #compareWithSeen(): Promise<void> {
    const unrecorded = new Set<string>()
    const newest = await this.#seen.newest()
    for (const { time, id32 } of await listMaildir(this.#home, 'inbox')) {
      if (id32 !== undefined && time > newest) unrecorded.add(id32)
    }
    if (unrecorded.size > 0) this.#unrecorded = unrecorded
  }
}

function receiverLock(tag: string): string {
  return `receiver.${tag}`
}

async function removeAny(home: Home, path: string, kind: string): Promise<void> {
  if (kind === 'dir') await removeTree(home.files, path)
  else await home.files.unlink(path)
}
