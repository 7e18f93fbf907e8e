// What came, in the order of the `seen` log, from a cursor on. The cursor is a byte offset in that log: who keeps the
// cursor of the last record he has dealt with never misses and never repeats one, whatever crashes. The log is ahead of
// the Maildir for a moment (p2p-spool(5), R3 to R4b): a record whose part is still there is waited for; one whose file
// is nowhere was deleted by a mail program.

import { EX, Failure } from '../base/fail.ts'
import { quote } from '../base/text.ts'
import type { Home } from './home.ts'
import { findMails, type MailEntry } from './maildir.ts'
import { findSeen, readSeen, seenEnd, type SeenEntry } from './seenlog.ts'

/** Records resolved with one look at the Maildir. */
const BATCH = 1000
/** Bytes of log before the cursor in which a first record of the same message is looked for: two receivers at once. */
const LOOK_BACK = 64 * 1024
/** Ids remembered for that. */
const KNOWN_MAX = 4096
/** ms between looks for a message that is committed but not yet in the Maildir, and for new ones if nobody tells. */
const PENDING_POLL = 50
const IDLE_POLL = 1000
/** Microseconds that the clock may have been set back by without a full search for cursors. */
const CLOCK_SLACK = 86_400_000_000n
/** Bytes of log below which searching is not worth its while. */
const SEARCH_MIN = 256 * 1024

export interface Arrival {
  seen: SeenEntry
  /** Undefined: deleted meanwhile. */
  entry: MailEntry | undefined
  /** To be given to arrivals() to go on after this one. */
  cursor: number
}

/** A cursor as typed: an offset or `start`. Throws Failure 64 for anything else, 65 beyond the end of the log. */
export async function parseCursor(home: Home, text: string): Promise<number> {
  if (text === 'start') return 0
  const cursor = /^\d{1,15}$/.test(text) ? Number(text) : NaN
  if (Number.isNaN(cursor)) throw new Failure(EX.USAGE, `bad cursor ${quote(text)}: take it from a record, or write 'start'`)
  if (cursor <= (await seenEnd(home))) return cursor
  const hint = 'p2p-inbox list --after start'
  throw new Failure(EX.DATA, `cursor ${text} is beyond the log: it belongs to another home or to a newer state`, hint)
}

/** Arrivals after `from`; ends at the first that is not complete yet, with `follow` only when the signal says so. */
export async function* arrivals(
  home: Home,
  from: number,
  options: { follow: boolean; signal: AbortSignal },
): AsyncGenerator<Arrival> {
  const { follow, signal } = options
  const known = await knownBefore(home, from)
  let at = from
  const bell = new Bell(home, follow)
  try {
    while (!signal.aborted) {
      const batch: SeenEntry[] = []
      for await (const seen of readSeen(home, at)) if (batch.push(seen) === BATCH) break
      let pending = false
      for await (const arrival of resolve(home, batch, known)) {
        if (arrival === 'pending') {
          pending = true
          break
        }
        yield arrival
        at = arrival.cursor
      }
      if (!pending) at = batch.at(-1)?.next ?? at
      if (batch.length === BATCH && !pending) continue
      if (!follow) return
      await bell.wait(pending ? PENDING_POLL : IDLE_POLL, signal)
    }
  } finally {
    bell.close()
  }
}

async function knownBefore(home: Home, from: number): Promise<Set<string>> {
  const known = new Set<string>()
  if (from === 0) return known
  for await (const seen of readSeen(home, Math.max(0, from - LOOK_BACK))) {
    if (seen.offset >= from) break
    known.add(`${seen.key} ${seen.id}`)
  }
  return known
}

/** Two listings for all records together: one tells who is there, the other, after the look for parts, who is gone. */
async function* resolve(home: Home, batch: SeenEntry[], known: Set<string>): AsyncGenerator<Arrival | 'pending'> {
  if (batch.length === 0) return
  const wanted = new Set(batch.map(({ id }) => id.slice(0, 32)))
  const before = await findMails(home, 'inbox', wanted)
  const waiting = new Set<SeenEntry>()
  for (const seen of batch) {
    if (before.has(seen.id.slice(0, 32))) continue
    if (await isPending(home, seen)) waiting.add(seen)
  }
  const missing = batch.some((seen) => !before.has(seen.id.slice(0, 32)))
  const after = missing ? await findMails(home, 'inbox', wanted) : before
  for (const seen of batch) {
    const name = `${seen.key} ${seen.id}`
    if (known.has(name)) continue // the loser of two receivers: the first record counts
    const entry = before.get(seen.id.slice(0, 32)) ?? after.get(seen.id.slice(0, 32))
    if (entry === undefined && waiting.has(seen)) return yield 'pending'
    known.add(name)
    if (known.size > KNOWN_MAX) for (const oldest of [...known].slice(0, KNOWN_MAX / 2)) known.delete(oldest)
    yield { seen, entry, cursor: seen.next }
  }
}

/** True while a committed message is still in part/: a file, or a directory with its `mail`. */
async function isPending(home: Home, seen: SeenEntry): Promise<boolean> {
  const part = home.at('part', seen.key, `${seen.id}.${seen.tag}`)
  const stat = await home.files.stat(part)
  return stat?.kind === 'dir' ? (await home.files.stat(`${part}/mail`)) !== undefined : stat !== undefined
}

/** Wakes up when something is put into inbox/new, and after a while in any case. */
class Bell {
  readonly #home: Home
  readonly #close: () => void
  #rung = false
  #ring: (() => void) | undefined

  constructor(home: Home, watched: boolean) {
    this.#home = home
    this.#close = watched ? home.files.watch(home.at('inbox', 'new'), () => this.#onChange()) : () => undefined
  }

  #onChange(): void {
    this.#rung = true
    this.#ring?.()
  }

  async wait(ms: number, signal: AbortSignal): Promise<void> {
    if (!this.#rung && !signal.aborted) {
      await new Promise<void>((done) => {
        const wake = (): void => {
          cancel()
          signal.removeEventListener('abort', wake)
          done()
        }
        const cancel = this.#home.clock.after(ms, wake)
        this.#ring = wake
        signal.addEventListener('abort', wake)
      })
    }
    this.#ring = undefined
    this.#rung = false
  }

  close(): void {
    this.#close()
  }
}

/** The cursors of inbox entries by the first 32 digits of their ids; of what is not in the log there is none. */
export async function cursorsOf(home: Home, entries: Pick<MailEntry, 'id32' | 'time'>[]): Promise<Map<string, number>> {
  const wanted = new Set<string>()
  const cursors = new Map<string, number>()
  let earliest: bigint | undefined
  for (const { id32, time } of entries) {
    if (id32 === undefined) continue
    wanted.add(id32)
    if (earliest === undefined || time < earliest) earliest = time
  }
  if (earliest === undefined) return cursors
  const start = await offsetOf(home, earliest - CLOCK_SLACK)
  for (const from of start === 0 ? [0] : [start, 0]) {
    const note = (id32: string, next: number): boolean => {
      if (!cursors.has(id32)) cursors.set(id32, next)
      return cursors.size === wanted.size
    }
    await findSeen(home, from, wanted, note, from < start ? start : Infinity)
    if (cursors.size === wanted.size) break
  }
  return cursors
}

/** An offset before every record since `time`, as far as the log is in the order of time. */
async function offsetOf(home: Home, time: bigint): Promise<number> {
  let low = 0
  let high = await seenEnd(home)
  while (high - low > SEARCH_MIN) {
    const middle = Math.floor((low + high) / 2)
    let first: SeenEntry | undefined
    for await (const seen of readSeen(home, middle)) {
      first = seen
      break
    }
    if (first === undefined || first.time >= time) high = middle
    else low = middle
  }
  return low
}
