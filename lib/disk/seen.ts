// What was delivered: one append-only log per home, and sorted runs derived from it for look-ups. The log alone is
// the truth; the runs are checked and rebuilt when missing. Several processes append at once: a record is part of
// one O_APPEND write that starts and ends with a newline, and the first record of an id wins (p2p-spool(5), SEEN).
// Lines with a wrong sum are skipped, never cut off. No process loads the whole log: look-ups cost one or two reads a
// run.

import { utf8 } from '../base/bytes.ts'
import { EX, Failure, ioFailure, isCode } from '../base/fail.ts'
import { unlessFull } from './durable.ts'
import { Entries, SeenIndex } from './seenindex.ts'
import { formatRecord, LINE_MAX, parseRecord, scan, type SeenEntry, type SeenRecord } from './seenlog.ts'
import { seenPlaces } from './seenplaces.ts'
import type { FileHandle } from './filehandle.ts'
import type { Home } from './home.ts'

/** So many records beyond the newest run are held in memory before they become a run (16 bytes each on disk). */
const TAIL_MAX = 4096

/** Bytes of the log that no run covers, from which on they are not held as records on their way into one. */
const FAR = 1 << 20

/** So many records become a run at once then. */
const RUN = 1 << 18

const CANNOT = 'cannot note what was delivered'

/** An open seen log. One per receiving process. */
export class Seen {
  readonly #handle: FileHandle
  readonly #index: SeenIndex
  /** Records beyond the newest run, by id; the first of an id stays. */
  #tail = new Map<string, SeenEntry>()
  /** Size of the tail at which it becomes a run; later if there was no room for one. */
  #tailMax = TAIL_MAX
  /** Everything before this offset is in the runs or in the tail. */
  #known: number
  /** Records before this offset are known to be durable, whoever wrote them. */
  #durable = 0
  /** The first fsync that failed. */
  #failed: { error: unknown } | undefined
  /** One commit at a time: the read-back of one must not run into the write of another. */
  #queue: Promise<unknown> = Promise.resolve()

  private constructor(handle: FileHandle, index: SeenIndex) {
    this.#handle = handle
    this.#index = index
    this.#known = index.end
  }

  static async open(home: Home): Promise<Seen> {
    const path = home.at('seen')
    const handle = await home.files.open(path, 'append')
    const size = await handle.size()
    if (size === 0) await home.files.syncDir(home.path) // whoever made it may have died before this
    const seen = new Seen(handle, await SeenIndex.open(home, size))
    await seen.#ingest()
    return seen
  }

  /**
   * The record that delivered this id from this contact, if there is one. It is durable then: another process may
   * still be between its write and its fsync, and whoever answers HAVE makes the sender forget the message.
   */
  async find(key: string, id: string): Promise<SeenEntry | undefined> {
    if ((await this.#handle.size()) > this.#known) await this.#inTurn(() => this.#ingest())
    const entry = await this.#lookUp(key, id)
    if (entry !== undefined && entry.offset >= this.#durable) await this.#inTurn(() => this.#sync())
    return entry
  }

  /** The same of a record that this process has just committed, if it is at hand; undefined says nothing. */
  recent({ key, id }: Pick<SeenRecord, 'key' | 'id'>): SeenEntry | undefined {
    const entry = this.#tail.get(id)
    return entry?.key === key ? entry : undefined
  }

  /**
   * The commit. Appends the records in one write, makes them durable, reads back what others wrote meanwhile.
   * Returns for each record whether it is the first of its id: only then may its writer deliver. An error of the
   * system means that nothing was appended. A Failure means that records may be visible without being durable: what
   * they speak of must stay where it is, and the process must answer nothing more and end.
   */
  commit(records: SeenRecord[]): Promise<boolean[]> {
    return this.#inTurn(async () => {
      try {
        await this.#handle.write(utf8(`\n${records.map(formatRecord).join('\n')}\n`))
      } catch (error) {
        const tags = await this.#readBack(records).catch(() => undefined)
        if (tags?.every((tag, i) => tag !== records[i]?.tag) === true) throw error
        throw ioFailure(error, CANNOT)
      }
      let tags: (string | undefined)[]
      try {
        await this.#sync()
        tags = await this.#readBack(records)
      } catch (error) {
        throw ioFailure(error, CANNOT)
      }
      // A record that is not there was torn: then nobody has won, and nobody may drop a copy.
      if (tags.includes(undefined)) throw new Failure(EX.IO, `${CANNOT}: a record was torn`)
      return tags.map((tag, i) => tag === records[i]?.tag)
    })
  }

  /** Whose record counts for each of these ids, as the log has it now. */
  async #readBack(records: SeenRecord[]): Promise<(string | undefined)[]> {
    await this.#ingest()
    const tags: (string | undefined)[] = []
    for (const { key, id } of records) tags.push((await this.#lookUp(key, id))?.tag)
    return tags
  }

  async close(): Promise<void> {
    await this.#queue
    await this.#index.close()
    await this.#handle.close()
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#queue.then(work)
    this.#queue = turn.catch(() => undefined)
    return turn
  }

  async #lookUp(key: string, id: string): Promise<SeenEntry | undefined> {
    // The runs come first: they are older, and the first record of an id counts.
    for (const offset of await this.#index.candidates(id)) {
      for await (const entry of this.#at(offset)) {
        if (entry.id === id && entry.key === key) return entry
      }
    }
    return this.recent({ key, id })
  }

  /** The record at an offset, checked against its sum; nothing if there is none. */
  async *#at(offset: number): AsyncGenerator<SeenEntry> {
    const text = Buffer.from(await this.#handle.read(offset, LINE_MAX)).toString('latin1')
    const end = text.indexOf('\n')
    const entry = parseRecord(end < 0 ? text : text.slice(0, end), offset, offset + (end < 0 ? text.length : end + 1))
    if (entry !== undefined) yield entry
  }

  async #sync(): Promise<void> {
    if (this.#failed !== undefined) throw this.#failed.error // its pages count as clean: another fsync would say nothing of them
    const size = await this.#handle.size()
    try {
      await this.#handle.sync()
    } catch (error) {
      this.#failed = { error }
      throw error
    }
    this.#durable = size
  }

  /** Learns what the log holds beyond #known. */
  async #ingest(): Promise<void> {
    if (this.#tail.size === 0 && (await this.#handle.size()) - this.#known > FAR) await unlessFull(() => this.#indexFar())
    for await (const found of scan(this.#handle, this.#known)) {
      for (const entry of found) {
        if (!this.#tail.has(entry.id)) this.#tail.set(entry.id, entry)
        this.#known = entry.next
        if (this.#tail.size >= this.#tailMax) await this.#makeRun()
      }
    }
  }

  /** Runs for all but the last records of a log that has none. */
  async #indexFar(): Promise<void> {
    for await (const { entries, next } of seenPlaces(this.#handle, this.#known, RUN)) {
      if (entries.count < TAIL_MAX) continue
      await this.#index.add(entries, next)
      this.#known = next
    }
  }

  async #makeRun(): Promise<void> {
    try {
      const entries = new Entries(this.#tail.size)
      for (const { id, offset } of this.#tail.values()) entries.push(id, offset)
      await this.#index.add(entries, this.#known)
      this.#tail = new Map()
      this.#tailMax = TAIL_MAX
    } catch (error) {
      if (!isCode(error, 'ENOSPC', 'EDQUOT')) throw error
      this.#tailMax = this.#tail.size + TAIL_MAX // a run can be had later, the tail serves as well
    }
  }
}

