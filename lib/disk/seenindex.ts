// Sorted runs over the seen log, in seen.index/: derived, never trusted beyond "look there". A run covers a range of
// the log and holds, sorted, the first bytes of each id and the record's offset. Every candidate is checked against
// the log by the caller; a run that fails its own sum, or a gap before it, is thrown away and built again.

import { fromHex } from '../base/bytes.ts'
import { crc32 } from '../base/crc32.ts'
import { createFile } from './durable.ts'
import type { FileHandle } from './filehandle.ts'
import type { Files } from './files.ts'
import type { Home } from './home.ts'

/** An entry: the first bytes of the id, then the offset (48 bits: 256 TiB of log). */
const PREFIX = 10
const ENTRY = 16

/** Trailer of a run file: the CRC-32 of everything before it. */
const TRAILER = 4

/** Entries read around the place where an id is expected: ids are hashes, so the guess is off by a few hundred. */
const WINDOW = 2048

/** Records of one id that count: each receiver of the same message leaves one, the first matters. */
const SAME_MAX = 16

/** A new run takes in its older neighbour while that one is at most this many times its size: about log2(n) runs. */
const MERGE_RATIO = 2

/** Runs up to this size are held in memory: most homes never have a larger one. */
const HELD_MAX = 1 << 20

/** Bytes read at once while checking a run. */
const BLOCK = 1 << 20

interface Run {
  from: number
  to: number
  count: number
  handle: FileHandle
  /** All entries of a small run. */
  held?: Uint8Array
}

/** Entries for a run that is to be, in one piece of memory: of a long log nothing else is kept. */
export class Entries {
  readonly #bytes: Buffer
  #count = 0

  /** Room for so many. */
  constructor(room: number) {
    this.#bytes = Buffer.alloc(room * ENTRY)
  }

  get count(): number {
    return this.#count
  }

  /** `id`: 64 hex digits; `offset` of its record. */
  push(id: string, offset: number): void {
    const at = this.#count++ * ENTRY
    this.#bytes.write(id.slice(0, 2 * PREFIX), at, 'hex')
    this.#bytes.writeUIntBE(offset, at + PREFIX, ENTRY - PREFIX)
  }

  /** The same of an id whose digits, in ASCII, stand in `line` from `at` on; what is no digit makes an id that nobody has. */
  pushFrom(line: Uint8Array, at: number, offset: number): void {
    const to = this.#count++ * ENTRY
    for (let i = 0; i < PREFIX; i++) {
      this.#bytes[to + i] = (digit(line[at + 2 * i] as number) << 4) | digit(line[at + 2 * i + 1] as number)
    }
    this.#bytes.writeUIntBE(offset, to + PREFIX, ENTRY - PREFIX)
  }

  /** With room for the sum behind them. */
  sorted(): Uint8Array {
    const bytes = this.#bytes
    const out = withRoom(this.#count * ENTRY)
    // By their first two bytes, then within those: ids are hashes, so few are alike so far.
    const begin = new Uint32Array(2 ** 16 + 1)
    const first = (at: number): number => ((bytes[at] as number) << 8) | (bytes[at + 1] as number)
    const size = this.#count * ENTRY
    for (let at = 0; at < size; at += ENTRY) begin[first(at) + 1]!++
    for (let i = 1; i < begin.length; i++) begin[i]! += begin[i - 1] as number
    const order = new Uint32Array(this.#count)
    const next = begin.slice()
    for (let at = 0; at < size; at += ENTRY) order[next[first(at)]!++] = at
    for (let i = 0; i + 1 < begin.length; i++) {
      const [from, to] = [begin[i] as number, begin[i + 1] as number]
      if (to - from > 1) order.subarray(from, to).sort((a, b) => compareEntries(bytes, a, bytes, b))
    }
    for (let i = 0; i < order.length; i++) copyEntry(bytes, order[i] as number, out, i * ENTRY)
    return out
  }
}

/** Of a hex digit. */
function digit(code: number): number {
  return (code & 15) + 9 * (code >> 6)
}

/** Room for so many bytes of entries, and behind it for their sum. */
function withRoom(size: number): Uint8Array {
  return new Uint8Array(size + TRAILER).subarray(0, size)
}

const NAME = /^(\d+)-(\d+)\.run$/

export class SeenIndex {
  readonly #files: Files
  readonly #directory: string
  #runs: Run[]
  /** Look-ups under way, and merged runs that they may still be reading. */
  #searches = 0
  #retired: Run[] = []

  private constructor(files: Files, directory: string, runs: Run[]) {
    this.#files = files
    this.#directory = directory
    this.#runs = runs
  }

  /** Opens the runs that cover the log from its start without a gap; `size` is the log's size. */
  static async open(home: Home, size: number): Promise<SeenIndex> {
    const directory = home.at('seen.index')
    const spans = (await home.files.list(directory))
      .map((name) => NAME.exec(name))
      .filter((match) => match !== null)
      .map((match) => ({ name: match[0], from: Number(match[1]), to: Number(match[2]) }))
      .sort((a, b) => a.from - b.from || b.to - a.to) // of two that start together the merged one is longer
    const runs: Run[] = []
    let end = 0
    for (const { name, from, to } of spans) {
      if (from < end && to <= end) {
        await home.files.unlink(`${directory}/${name}`) // merged into an earlier one
      } else if (to > size) {
        await home.files.unlink(`${directory}/${name}`) // of a log that was replaced by an older copy
      } else if (from === end) {
        const run = await openRun(home.files, `${directory}/${name}`, from, to)
        if (run === undefined) continue
        runs.push(run)
        end = to
      }
    }
    return new SeenIndex(home.files, directory, runs)
  }

  /** The runs cover the log up to here. */
  get end(): number {
    return this.#runs.at(-1)?.to ?? 0
  }

  /** Offsets of the records that may be of this id, oldest first. */
  async candidates(id: string): Promise<number[]> {
    const prefix = fromHex(id.slice(0, 2 * PREFIX))
    const found: number[] = []
    this.#searches++
    try {
      for (const run of this.#runs) found.push(...(await search(run, prefix)))
    } finally {
      if (--this.#searches === 0) for (const run of this.#retired.splice(0)) await run.handle.close()
    }
    return found.sort((a, b) => a - b)
  }

  /** Adds a run for the log between the present end and `to`, merging it with neighbours of like size. */
  async add(records: Entries, to: number): Promise<void> {
    let entries = records.sorted()
    const merged: Run[] = []
    let from = this.end
    for (let i = this.#runs.length - 1; i >= 0; i--) {
      const run = this.#runs[i]
      if (run === undefined || run.count > (MERGE_RATIO * entries.length) / ENTRY) break
      entries = merge(run.held ?? (await run.handle.read(0, run.count * ENTRY)), entries)
      from = run.from
      merged.push(run)
    }
    await this.#files.mkdir(this.#directory)
    const path = `${this.#directory}/${from}-${to}.run`
    const file = new Uint8Array(entries.buffer)
    new DataView(file.buffer).setUint32(entries.length, crc32(entries))
    // Another process may write the very same run; whichever rename comes last leaves the same bytes.
    const temporary = `${path}.${process.pid}`
    await this.#files.unlink(temporary)
    await createFile(this.#files, temporary, file)
    await this.#files.rename(temporary, path)
    const run = await openRun(this.#files, path, from, to)
    if (run === undefined) return
    this.#runs = [...this.#runs.slice(0, this.#runs.length - merged.length), run]
    for (const old of merged) {
      if (this.#searches > 0) this.#retired.push(old)
      else await old.handle.close()
      await this.#files.unlink(`${this.#directory}/${old.from}-${old.to}.run`)
    }
  }

  async close(): Promise<void> {
    for (const run of [...this.#runs, ...this.#retired]) await run.handle.close()
  }
}

function merge(a: Uint8Array, b: Uint8Array): Uint8Array {
  const out = withRoom(a.length + b.length)
  let i = 0
  let j = 0
  for (let at = 0; at < out.length; at += ENTRY) {
    const takeLeft = j === b.length || (i < a.length && compareEntries(a, i, b, j) <= 0)
    copyEntry(takeLeft ? a : b, takeLeft ? i : j, out, at)
    if (takeLeft) i += ENTRY
    else j += ENTRY
  }
  return out
}

function compareEntries(a: Uint8Array, i: number, b: Uint8Array, j: number): number {
  for (let at = 0; at < ENTRY; at++) {
    const difference = (a[i + at] as number) - (b[j + at] as number)
    if (difference !== 0) return difference
  }
  return 0
}

function copyEntry(from: Uint8Array, i: number, to: Uint8Array, j: number): void {
  for (let at = 0; at < ENTRY; at++) to[j + at] = from[i + at] as number
}

/** The run in a file, if its sum is right; a damaged file is removed. */
async function openRun(files: Files, path: string, from: number, to: number): Promise<Run | undefined> {
  const handle = await files.open(path, 'read')
  const size = (await handle.size()) - TRAILER
  const held = size > 0 && size <= HELD_MAX ? await handle.read(0, size) : undefined
  let sum = held === undefined ? 0 : crc32(held)
  for (let at = held?.length ?? 0; at < size; at += BLOCK) sum = crc32(await handle.read(at, Math.min(BLOCK, size - at)), sum)
  const trailer = await handle.read(Math.max(size, 0), TRAILER)
  const right =
    size >= 0 && size % ENTRY === 0 && trailer.length === TRAILER && Buffer.from(trailer).readUInt32BE() === sum
  if (right) {
    return { from, to, count: size / ENTRY, handle, ...(size <= HELD_MAX && { held: held ?? new Uint8Array() }) }
  }
  await handle.close()
  await files.unlink(path)
  return undefined
}

/** Offsets of all entries with this prefix: first a guess by interpolation, then halving if ids are not spread. */
async function search(run: Run, prefix: Uint8Array): Promise<number[]> {
  let low = 0
  let high = run.count // the first entry that is not smaller lies in [low, high]
  let guess = Math.floor((Buffer.from(prefix).readUIntBE(0, 6) / 2 ** 48) * run.count)
  while (high - low > WINDOW) {
    const start = Math.max(low, Math.min(guess - WINDOW / 2, high - WINDOW))
    const entries = run.held === undefined ? await readEntries(run, start, WINDOW) : heldEntries(run.held, start, WINDOW)
    if (compareAt(entries, 0, prefix) >= 0) high = start
    else if (compareAt(entries, WINDOW - 1, prefix) < 0) low = start + WINDOW
    else [low, high] = [start + 1, start + WINDOW - 1]
    guess = Math.floor((low + high) / 2)
  }
  const most = high - low + SAME_MAX
  const entries = run.held === undefined ? await readEntries(run, low, most) : heldEntries(run.held, low, most)
  const count = Math.min(Math.floor(entries.length / ENTRY), run.count - low)
  let first = 0
  for (let end = count; first < end; ) {
    const middle = (first + end) >> 1
    if (compareAt(entries, middle, prefix) < 0) first = middle + 1
    else end = middle
  }
  const found: number[] = []
  for (let i = first; i < count && compareAt(entries, i, prefix) === 0; i++) found.push(decodeOffset(entries, i))
  return found
}

function heldEntries(held: Uint8Array, start: number, count: number): Uint8Array {
  return held.subarray(start * ENTRY, (start + count) * ENTRY)
}

function readEntries(run: Run, start: number, count: number): Promise<Uint8Array> {
  return run.handle.read(start * ENTRY, count * ENTRY)
}

function compareAt(entries: Uint8Array, index: number, prefix: Uint8Array): number {
  const start = index * ENTRY
  for (let i = 0; i < PREFIX; i++) {
    const difference = (entries[start + i] as number) - (prefix[i] as number)
    if (difference !== 0) return difference
  }
  return 0
}

function decodeOffset(entries: Uint8Array, index: number): number {
  const view = new DataView(entries.buffer, entries.byteOffset + index * ENTRY + PREFIX, ENTRY - PREFIX)
  return view.getUint16(0) * 2 ** 32 + view.getUint32(2)
}
