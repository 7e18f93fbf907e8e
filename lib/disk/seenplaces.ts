// Where the records of a long log are, found by the shape of its lines alone: a million of them in half a second, and
// in the memory that their places take. What is found is for an index whose user reads each record again, with its sum:
// a damaged line in it does no harm, a whole one is never missed.

import type { FileHandle } from './filehandle.ts'
import { Entries } from './seenindex.ts'

/** Bytes read at once: in place, no other thread is started for it. */
const BLOCK = 64 * 1024

/** Bytes of a line without its end: p2p-spool(5), SEEN. */
const SHORTEST = 125
const LONGEST = 156

const BLANK = 0x20
const END = 0x0a

/** Behind the id of a record: its tag, its sum and the blanks before them. */
const AFTER_ID = 26
const ID = 64

/**
 * The records in whole lines from a byte offset to the end of the log, at most `most` at once; `next` is the offset
 * behind the last of their lines.
 */
export async function* seenPlaces(handle: FileHandle, from: number, most: number): AsyncGenerator<{ entries: Entries; next: number }> {
  const room = Math.min(most, Math.ceil(((await handle.size()) - from) / SHORTEST))
  const block = new Uint8Array(BLOCK)
  let entries = new Entries(room)
  for (let at = from; ; ) {
    const bytes = await handle.read(at, BLOCK, block)
    let start = 0
    for (let end = bytes.indexOf(END); end >= 0; end = bytes.indexOf(END, start)) {
      if (isShaped(bytes, start, end)) entries.pushFrom(bytes, end - AFTER_ID - ID, at + start)
      start = end + 1
      if (entries.count < room) continue
      yield { entries, next: at + start }
      entries = new Entries(room)
    }
    if (bytes.length < BLOCK) {
      yield { entries, next: at + start }
      return
    }
    at += start > 0 ? start : BLOCK - LONGEST // so much without the end of a line is damage
  }
}

/** Whether a line has a record's length, and its blanks where they are counted from the end. */
function isShaped(bytes: Uint8Array, start: number, end: number): boolean {
  const size = end - start
  if (size < SHORTEST || size > LONGEST) return false
  return bytes[end - 9] === BLANK && bytes[end - AFTER_ID] === BLANK && bytes[end - AFTER_ID - ID - 1] === BLANK
}
