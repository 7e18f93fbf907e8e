// What of each mail says who wrote it and which other one it is about: kept in mail.index/ so that a look at 100,000 of
// them opens only those that are shown. Derived, and never trusted: each line has a sum, what is shown is read from the
// mail itself, what is missing is read and added. Without it, or on a full disk, everything takes longer, that is all.

import { utf8 } from '../base/bytes.ts'
import { sleep } from '../base/clock.ts'
import { crc32 } from '../base/crc32.ts'
import { isCode } from '../base/fail.ts'
import { forAll } from '../base/parallel.ts'
import { typeOf, type MessageInfo, type MessageType } from '../wire/record.ts'
import { appendRecords, replaceBy } from './durable.ts'
import type { FileHandle } from './filehandle.ts'
import type { Home } from './home.ts'
import { isOlder, type Box, type MailEntry } from './maildir.ts'
import type { MailRoll } from './mailroll.ts'

/** Mails opened at once: all but large ones of other programs are read in place. */
const PARALLEL = 2
/** Lines of mails that are gone, beside as many as there are mails, before the file is written anew. */
const DEAD_MAX = 1000
/**
 * Mails read between two additions to the file: what an interrupted call has read is not read again. Few, so that what
 * is made of them dies young: of 5,000 the process takes 40 MiB more.
 */
const BATCH = 32
/** Mails after which others have their turn. */
const REST = 256
/** Bytes of the file read at once, and of a line at most: ids, KEYs and the media types of some hundred files. */
const BLOCK = 64 * 1024
const LINE_MAX = 64 * 1024

export interface Digest {
  /** 64 hex digits; like all below undefined where the mail does not say it. */
  id: string | undefined
  /** KEY of who wrote it, and in sent/ of who it went to. */
  key: string | undefined
  toKey: string | undefined
  /** The message that it answers. */
  reply: string | undefined
  type: MessageType
  /** The message that a reaction, an edit, a recall or a receipt is about. */
  target: string | undefined
  /** Media types of its files, in lower case. */
  media: string[]
}

/** What is to be known of a mail; undefined if it is gone. */
type Describe = (entry: MailEntry) => Promise<{ info: MessageInfo } | undefined>

const COLUMNS = 9

export interface Wanted {
  roll: MailRoll
  /** The roll has all that is in the box, so that what else is in the file is of no use any more. */
  whole: boolean
  /** Those of which something is to be known, whatever else the roll has; all without. */
  rows?: readonly number[] | undefined
  /** 1 for each row of which the digest was worked out before. */
  known?: Uint8Array | undefined
  describe: Describe
  /** False for a digest that nobody wants to know. */
  worth?: ((digest: Digest) => boolean) | undefined
  /**
   * Gets the digest of each row that is worth it, in no order, of some more than once: the last counts. It is good for
   * the time of the call only.
   */
  take: (row: number, digest: Digest) => void
}

/** What is of this type says something about another message. */
export function isSaying(type: MessageType): boolean {
  return type !== 'text' && type !== 'file'
}

/** Tells the digests of the mails of one box; of one that has vanished there is none. */
export async function readDigests(home: Home, box: Box, wanted: Wanted): Promise<void> {
  const { roll, whole, rows, describe, worth, take, known: before } = wanted
  if (before !== undefined && !hasOthers(roll, box, before)) return
  const path = home.at('mail.index', box)
  const known = before?.slice() ?? new Uint8Array(roll.count)
  let [lines, live] = [0, 0]
  await eachLine(home, path, (line) => {
    lines++
    const { base } = line
    const row = roll.since > 0 && isOlder(base, roll.since) ? -1 : roll.find(box, base) // most lines of a large file
    if (row < 0 || before?.[row] === 1 || !line.isWhole()) return
    if (known[row] === 0) live++
    known[row] = 1
    if (worth?.(line) !== false) take(row, line)
  })
  const most = rows?.length ?? roll.count
  let read = 0
  for (let at = 0; at < most; ) {
    const fresh: number[] = []
    for (; at < most && fresh.length < BATCH; at++) {
      const row = rows === undefined ? at : (rows[at] as number)
      if (known[row] === 0 && roll.boxOf(row) === box) fresh.push(row)
    }
    const found = await forAll(fresh, PARALLEL, async (row) => {
      const entry = roll.entry(row)
      const message = await describe(entry)
      if (message === undefined) return undefined
      const digest = digestOf(message.info)
      take(row, digest)
      return format(entry.base, digest)
    })
    const written = found.filter((line) => line !== undefined)
    live += written.length
    await add(home, path, written)
    // Reading in place is no wait: without one nobody would hear Ctrl-C, and what was read would stay in memory.
    read += fresh.length
    if (read < REST) continue
    read = 0
    await sleep(home.clock, 0)
  }
  if (whole && lines > 2 * live + DEAD_MAX) await rewrite(home, path, roll, box)
}

function hasOthers(roll: MailRoll, box: Box, known: Uint8Array): boolean {
  for (let row = 0; row < roll.count; row++) if (known[row] === 0 && roll.boxOf(row) === box) return true
  return false
}

/** What a mail that was described with its parts says. */
export function digestOf(info: MessageInfo): Digest {
  const type = typeOf(info)
  const target = { reaction: info.reply, edit: info.edit, recall: info.recall, receipt: info.receipt }[type as string]
  const media = info.parts.map((part) => part.type.toLowerCase())
  return { id: info.id, key: info.key, toKey: info.toKey, reply: info.reply, type, target, media }
}

function format(base: string, { id, key, toKey, reply, type, target, media }: Digest): string | undefined {
  const fields = [base, type, id, key, toKey, reply, target, media.join()].map((field) => field ?? '')
  if (fields.some((field) => /[\t\n]/.test(field))) return undefined // of another program: it is read each time
  const text = fields.join('\t')
  if (Buffer.byteLength(text) > LINE_MAX - 10) return undefined
  return `${text}\t${crc32(text).toString(16)}`
}

/** One line of the file where it was read: what is not asked for is not taken out of it. */
class Line implements Digest {
  readonly #bytes: Buffer
  /** Where each field begins, and behind the last one. */
  readonly #starts = new Int32Array(COLUMNS + 1)
  #fields = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  /** From here on it is the line between these places. */
  set(start: number, end: number): void {
    this.#starts[0] = start
    this.#fields = 1
    for (let tab = this.#bytes.indexOf(9, start); tab >= 0 && tab < end && this.#fields < COLUMNS; tab = this.#bytes.indexOf(9, tab + 1)) {
      this.#starts[this.#fields++] = tab + 1
    }
    this.#starts[this.#fields] = end + 1
  }

  isWhole(): boolean {
    if (this.#fields !== COLUMNS) return false
    const sum = this.#starts[COLUMNS - 1] as number
    return crc32(this.#bytes.subarray(this.#starts[0], sum - 1)).toString(16) === this.#text(COLUMNS - 1)
  }

  get whole(): string {
    return this.#bytes.toString('utf8', this.#starts[0], (this.#starts[COLUMNS] as number) - 1)
  }

  get base(): string {
    return this.#text(0) ?? ''
  }

  get type(): MessageType {
    return this.#text(1) as MessageType
  }

  get id(): string | undefined {
    return this.#text(2)
  }

  get key(): string | undefined {
    return this.#text(3)
  }

  get toKey(): string | undefined {
    return this.#text(4)
  }

  get reply(): string | undefined {
    return this.#text(5)
  }

  get target(): string | undefined {
    return this.#text(6)
  }

  get media(): string[] {
    return this.#text(7)?.split(',') ?? []
  }

  /** Undefined for an empty field. */
  #text(field: number): string | undefined {
    const [start, end] = [this.#starts[field] as number, (this.#starts[field + 1] as number) - 1]
    return end > start ? this.#bytes.toString('utf8', start, end) : undefined
  }
}

/**
 * Tells every line of the file that is not empty, each as the same object, and calls `after` now and then; nothing if
 * it cannot be read.
 */
async function eachLine(home: Home, path: string, take: (line: Line) => void, after?: () => Promise<void>): Promise<void> {
  let handle: FileHandle
  try {
    handle = await home.files.open(path, 'own')
  } catch (error) {
    if (!isCode(error, 'ENOENT', 'EACCES')) throw error
    return
  }
  const bytes = Buffer.alloc(LINE_MAX + BLOCK)
  const line = new Line(bytes)
  const tell = (start: number, end: number): void => {
    if (end === start) return
    line.set(start, end)
    take(line)
  }
  try {
    let held = 0 // bytes of a line that goes on
    for (let at = 0, last = false; !last; ) {
      const room = bytes.subarray(held, held + BLOCK)
      const read = await handle.read(at, BLOCK, room)
      if (read.buffer !== bytes.buffer) room.set(read)
      at += read.length
      last = read.length < BLOCK
      const end = held + read.length
      let start = 0
      for (let stop = bytes.indexOf(10); stop >= 0 && stop < end; stop = bytes.indexOf(10, start)) {
        tell(start, stop)
        start = stop + 1
      }
      if (last) tell(start, end)
      bytes.copyWithin(0, start, end)
      held = end - start > LINE_MAX ? 0 : end - start // no line of ours
      await after?.()
    }
  } catch (error) {
    if (!isCode(error, 'EISDIR')) throw error
  } finally {
    await handle.close()
  }
}

async function add(home: Home, path: string, lines: string[]): Promise<void> {
  if (lines.length === 0) return
  await unlessUnwritable(async () => {
    await home.files.mkdir(home.at('mail.index'))
    await appendRecords(home.files, path, lines, false)
  })
}

async function rewrite(home: Home, path: string, roll: MailRoll, box: Box): Promise<void> {
  const done = new Uint8Array(roll.count)
  // Whoever adds to the old file meanwhile has to read those mails once more.
  await unlessUnwritable(() =>
    replaceBy(home.files, home.random, path, async (write) => {
      let kept = ''
      const take = (line: Line): void => {
        const row = line.isWhole() ? roll.find(box, line.base) : -1
        if (row < 0 || done[row] === 1) return
        done[row] = 1
        kept += `${line.whole}\n`
      }
      await eachLine(home, path, take, async () => {
        await write(utf8(kept))
        kept = ''
      })
    }),
  )
}

/** It can be done without: the disk may be full or read only. */
async function unlessUnwritable(work: () => Promise<unknown>): Promise<void> {
  try {
    await work()
  } catch (error) {
    if (!isCode(error, 'ENOSPC', 'EDQUOT', 'EROFS', 'EACCES', 'EPERM', 'EISDIR', 'ENOTDIR', 'EIO')) throw error
  }
}
