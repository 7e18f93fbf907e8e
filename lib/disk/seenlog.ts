// The lines of `seen`, the log of what was delivered (p2p-spool(5), SEEN): how a record is written, and how the log is
// read, from any offset on. Lines that do not parse or whose sum is wrong are passed over.

import { crc32 } from '../base/crc32.ts'
import type { FileHandle } from './filehandle.ts'
import type { Home } from './home.ts'

/** Bytes read at once while scanning the log: in place, no other thread is started for it. */
const SCAN = 64 * 1024

/** A record is about 150 bytes; a line beyond this is damage. */
export const LINE_MAX = 512

export interface SeenRecord {
  /** Receipt, unix microseconds. */
  time: bigint
  /** The contact. */
  key: string
  /** 64 hex digits. */
  id: string
  /** The receiver whose part holds the message: of two receivers of one id the first in the log delivers. */
  tag: string
}

export interface SeenEntry extends SeenRecord {
  /** Byte offset of the record in the log: p2p-inbox's cursor. */
  offset: number
  /** Offset behind its line. */
  next: number
}

/** Characters of a line from its id on. */
const ID_FROM_END = 64 + 1 + 16 + 1 + 8

const LINE = /^(\d{1,20}) ([1-9A-HJ-NP-Za-km-z]{32,44}) ([0-9a-f]{64}) ([0-9a-f]{16}) ([0-9a-f]{8})$/

function sum(text: string): string {
  return crc32(text).toString(16).padStart(8, '0')
}

/** Its line, without the line feed. */
export function formatRecord(record: SeenRecord): string {
  const text = `${record.time} ${record.key} ${record.id} ${record.tag}`
  return `${text} ${sum(text)}`
}

/**
 * Undefined for what is damaged. Made in one go: of an object that is spread into another one V8 keeps half a kilobyte
 * until it cleans up its old space, 40 MiB of a long log.
 */
export function parseRecord(line: string, offset: number, next: number): SeenEntry | undefined {
  const match = LINE.exec(line)
  if (match === null) return undefined
  const [, time, key, id, tag, crc] = match as unknown as [string, string, string, string, string, string]
  if (sum(line.slice(0, -9)) !== crc) return undefined
  return { time: BigInt(time), key, id, tag, offset, next }
}

/** The records from a byte offset on, in the order of the log. Damaged lines are passed over. */
export async function* readSeen(home: Home, from: number): AsyncGenerator<SeenEntry> {
  const handle = await openSeen(home)
  if (handle === undefined) return
  try {
    for await (const piece of scan(handle, from)) yield* piece
  } finally {
    await handle.close()
  }
}

/**
 * Tells the offset behind each record with one of these ids (their first 32 digits) from `from` on, before `until`, in the
 * order of the log, until `take` returns true. No other line is taken apart, and no sum looked at: that an id is found says
 * more.
 */
export async function findSeen(
  home: Home,
  from: number,
  ids: { has: (id32: string) => boolean },
  take: (id32: string, next: number) => boolean,
  until = Infinity,
): Promise<void> {
  const handle = await openSeen(home)
  if (handle === undefined) return
  try {
    let over = false
    for await (const { at, text } of texts(handle, from)) {
      eachLine(text, (start, end, next) => {
        const id32 = text.slice(end - ID_FROM_END, end - ID_FROM_END + 32)
        if (at + start >= until) over = true
        else if (ids.has(id32) && LINE.test(text.slice(start, end))) over = take(id32, at + next)
        return over
      })
      if (over) return
    }
  } finally {
    await handle.close()
  }
}

async function openSeen(home: Home): Promise<FileHandle | undefined> {
  return (await home.files.stat(home.at('seen'))) === undefined ? undefined : home.files.open(home.at('seen'), 'own')
}

/** The offset behind the last record: where --follow starts. */
export async function seenEnd(home: Home): Promise<number> {
  return (await home.files.stat(home.at('seen')))?.size ?? 0
}

/** The records of each piece of an open log together. */
export async function* scan(handle: FileHandle, from: number): AsyncGenerator<SeenEntry[]> {
  for await (const { at, text } of texts(handle, from)) {
    const found: SeenEntry[] = []
    eachLine(text, (start, end, next) => {
      const entry = end === start ? undefined : parseRecord(text.slice(start, end), at + start, at + next)
      if (entry !== undefined) found.push(entry)
    })
    yield found
  }
}

/** Calls `take` with where each line begins and ends and the next one begins, until it returns true. */
function eachLine(text: string, take: (start: number, end: number, next: number) => boolean | void): void {
  for (let start = 0; start < text.length; ) {
    const feed = text.indexOf('\n', start)
    const end = feed < 0 ? text.length : feed
    if (take(start, end, Math.min(end + 1, text.length)) === true) return
    start = end + 1
  }
}

/** The log from `from` on in pieces of whole lines, and where each begins; no line feed ends the last line, if it is whole it counts. */
async function* texts(handle: FileHandle, from: number): AsyncGenerator<{ at: number; text: string }> {
  let at = from // file offset of `held`
  let held = ''
  for (;;) {
    // Records are ASCII; latin1 keeps one character a byte through any damage.
    const { buffer, byteOffset, length } = await handle.read(at + held.length, SCAN)
    const block = Buffer.from(buffer, byteOffset, length).toString('latin1')
    const last = block.length < SCAN
    held += block
    const end = last ? held.length : held.lastIndexOf('\n') + 1
    if (end > 0) yield { at, text: held.slice(0, end) }
    if (last) return
    at += end
    held = held.slice(end)
    if (held.length > LINE_MAX) {
      at += held.length - LINE_MAX
      held = held.slice(-LINE_MAX)
    }
  }
}
