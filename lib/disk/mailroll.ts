// Which mails there are, in columns of numbers: some 30 bytes each, where an entry takes 500, so that 100,000 of them
// cost a command next to nothing. A row stands for one mail as long as the roll lives; an entry is made when one is
// wanted. Like a listing it is out of date a moment later.

import { hexWord, mixWords, wordHex } from '../base/hexword.ts'
import type { Home } from './home.ts'
import { changeTime, eachName, isOlder, parseEntry, type Box, type Folder, type MailEntry } from './maildir.ts'

const LETTERS = 'DFPRST'
/** Bits of a state; below them one for each letter. */
const NEW = 1 << 6
/** No `:2,` in its name. */
const BARE = 1 << 7
const SENT = 1 << 8
/** Its name is kept as it is: it cannot be made from the other columns. */
const NAMED = 1 << 9
/** US.ID32.p2p, found by the columns; any other base by #others. */
const OURS = 1 << 10
const SEEN = 1 << LETTERS.indexOf('S')

const ID_WORDS = 4
/** Rows that there is room for at first: what is not used takes no memory. */
const FIRST_ROOM = 32_768

/** A name of ours, taken apart into `id`; the time, or -1 for another name. */
function parseOurs(name: string, id: Uint32Array): number {
  const dot = name.indexOf('.')
  const end = dot + 37
  if (dot < 1 || dot > 16 || (name.charCodeAt(0) === 48 && dot > 1) || !name.startsWith('.p2p', dot + 33)) return -1
  if (end !== name.length && !name.startsWith(':2,', end)) return -1
  let time = 0
  for (let at = 0; at < dot; at++) {
    const digit = name.charCodeAt(at) - 48
    if (digit < 0 || digit > 9) return -1
    time = time * 10 + digit
  }
  for (let word = 0; word < ID_WORDS; word++) {
    const value = hexWord(name, dot + 1 + 8 * word)
    if (value < 0) return -1
    id[word] = value
  }
  return time <= Number.MAX_SAFE_INTEGER ? time : -1
}

/** The bits for what stands behind the base; -1 if they would not give it back. */
function parseFlags(name: string, at: number): number {
  if (at === name.length) return BARE
  if (!name.startsWith(':2,', at)) return -1
  let bits = 0
  for (let i = at + 3; i < name.length; i++) {
    const letter = LETTERS.indexOf(name.charAt(i))
    if (letter < 0 || bits >> letter !== 0) return -1
    bits |= 1 << letter
  }
  return bits
}

export class MailRoll {
  readonly #home: Home
  #count = 0
  #times = new Float64Array(FIRST_ROOM)
  #ids = new Uint32Array(FIRST_ROOM * ID_WORDS)
  #states = new Uint16Array(FIRST_ROOM)
  /** Rows of our own form by their ids, from 1 on; 0 for none. */
  #slots = new Uint32Array(2 * FIRST_ROOM)
  /** Names that the columns cannot give, and rows of other forms by box and base. */
  readonly #names = new Map<number, string>()
  readonly #others = new Map<string, number>()
  readonly #id = new Uint32Array(ID_WORDS)

  readonly #seed: number

  private constructor(home: Home) {
    this.#home = home
    this.#seed = new DataView(home.random.bytes(4).slice().buffer).getUint32(0)
  }

  /** What is in these boxes, oldest first; with `since` (Unix us) only what is not older. */
  static async read(home: Home, boxes: readonly Box[], since = 0n): Promise<MailRoll> {
    const roll = new MailRoll(home)
    const from = Number(since)
    for (const box of boxes) {
      await eachName(home, box, (folder, name) => {
        if (!name.startsWith('.') && !(from > 0 && isOlder(name, from))) roll.#put(box, folder, name)
      })
    }
    for (let row = 0; row < roll.#count; row++) {
      if (roll.timeOf(row) < 0) roll.#times[row] = Number(await changeTime(home, roll.entry(row)))
    }
    roll.#order(from)
    return roll
  }

  get count(): number {
    return this.#count
  }

  /** Receipt or acceptance, Unix us. */
  timeOf(row: number): number {
    return this.#times[row] as number
  }

  boxOf(row: number): Box {
    return ((this.#states[row] as number) & SENT) === 0 ? 'inbox' : 'sent'
  }

  /** Without flag S. */
  isUnseen(row: number): boolean {
    const name = this.#names.get(row)
    return name === undefined ? ((this.#states[row] as number) & SEEN) === 0 : !this.entry(row).flags.includes('S')
  }

  entry(row: number): MailEntry {
    const state = this.#states[row] as number
    const box = this.boxOf(row)
    const folder = (state & NEW) === 0 ? 'cur' : 'new'
    const time = this.#times[row] as number
    const name = this.#names.get(row)
    if (name !== undefined) {
      const entry = parseEntry(this.#home, box, folder, name) as MailEntry
      return entry.time < 0n ? { ...entry, time: BigInt(time) } : entry
    }
    const id32 = Array.from(this.#ids.subarray(row * ID_WORDS, (row + 1) * ID_WORDS), wordHex).join('')
    const flags = [...LETTERS].filter((_, at) => (state & (1 << at)) !== 0).join('')
    const base = `${time}.${id32}.p2p`
    const path = this.#home.at(box, folder, (state & BARE) === 0 ? `${base}:2,${flags}` : base)
    return { box, base, path, flags, time: BigInt(time), id32 }
  }

  /** The row of a mail by the name of its entry, flags or none behind it; -1 if it has none. */
  find(box: Box, name: string): number {
    const time = parseOurs(name, this.#id)
    if (time >= 0) return (this.#slots[this.#slot(box, time)] as number) - 1
    return this.#others.get(`${box}/${name.split(':2,', 1)[0]}`) ?? -1
  }

  /** A row for a mail that has come, or the one it has, with its present place and flags. */
  set(entry: MailEntry): number {
    const { box, path, time } = entry
    const slash = path.lastIndexOf('/')
    const row = this.#put(box, path.endsWith('/new', slash) ? 'new' : 'cur', path.slice(slash + 1))
    this.#times[row] = Number(time)
    return row
  }

  /** What has come into a box since, or has another place or other flags now. */
  async changed(box: Box): Promise<MailEntry[]> {
    const found = new Map<string, MailEntry>()
    await eachName(this.#home, box, (folder, name) => {
      const row = this.find(box, name)
      if (row >= 0 && this.#isAt(row, folder, name)) return
      const entry = parseEntry(this.#home, box, folder, name)
      if (entry !== undefined) found.set(entry.base, entry)
    })
    for (const entry of found.values()) if (entry.time < 0n) entry.time = await changeTime(this.#home, entry)
    return [...found.values()]
  }

  #isAt(row: number, folder: Folder, name: string): boolean {
    const state = this.#states[row] as number
    if (((state & NEW) === 0) !== (folder === 'cur')) return false
    const kept = this.#names.get(row)
    if (kept !== undefined) return kept === name
    return parseFlags(name, name.indexOf('.') + 37) === (state & (BARE | (NEW - 1)))
  }

  #put(box: Box, folder: Folder, name: string): number {
    const where = (folder === 'new' ? NEW : 0) | (box === 'sent' ? SENT : 0)
    const time = parseOurs(name, this.#id)
    const flags = time < 0 ? -1 : parseFlags(name, name.indexOf('.') + 37)
    if (time >= 0) {
      const slot = this.#slot(box, time)
      let row = (this.#slots[slot] as number) - 1
      if (row < 0) {
        row = this.#grow()
        this.#times[row] = time
        this.#ids.set(this.#id, row * ID_WORDS)
        this.#slots[this.#slot(box, time)] = row + 1
      }
      this.#states[row] = OURS | where | (flags < 0 ? NAMED : flags)
      if (flags < 0) this.#names.set(row, name)
      else this.#names.delete(row)
      return row
    }
    const base = `${box}/${name.split(':2,', 1)[0]}`
    const row = this.#others.get(base) ?? this.#grow()
    if (!this.#others.has(base)) this.#times[row] = Number(parseEntry(this.#home, box, folder, name)?.time ?? -1)
    this.#others.set(base, row)
    this.#names.set(row, name)
    this.#states[row] = NAMED | where
    return row
  }

  /** Where the mail of this id in `#id` and this time stands, or would. */
  #slot(box: Box, time: number): number {
    const mask = this.#slots.length - 1
    const id = this.#id
    const sent = box === 'sent' ? SENT : 0
    for (let slot = mixWords(id, this.#seed) & mask; ; slot = (slot + 1) & mask) {
      const row = (this.#slots[slot] as number) - 1
      if (row < 0) return slot
      const at = row * ID_WORDS
      const ids = this.#ids
      if (
        ids[at] === id[0] && ids[at + 1] === id[1] && ids[at + 2] === id[2] && ids[at + 3] === id[3] &&
        this.#times[row] === time && ((this.#states[row] as number) & SENT) === sent
      ) return slot
    }
  }

  /** A new row. */
  #grow(): number {
    if (this.#count === this.#states.length) {
      const room = 2 * this.#count
      this.#times = widened(new Float64Array(room), this.#times)
      this.#ids = widened(new Uint32Array(room * ID_WORDS), this.#ids)
      this.#states = widened(new Uint16Array(room), this.#states)
      this.#index(2 * room)
    }
    return this.#count++
  }

  #index(room: number): void {
    this.#slots = new Uint32Array(room)
    const mask = room - 1
    for (let row = 0; row < this.#count; row++) {
      if (((this.#states[row] as number) & OURS) === 0) continue
      let slot = mixWords(this.#ids.subarray(row * ID_WORDS, (row + 1) * ID_WORDS), this.#seed) & mask
      while (this.#slots[slot] !== 0) slot = (slot + 1) & mask
      this.#slots[slot] = row + 1
    }
  }

  /** Of one instant: the inbox first, then by name. */
  #compare(a: number, b: number): number {
    const [one, other] = [this.entry(a), this.entry(b)]
    if (one.box !== other.box) return one.box === 'inbox' ? -1 : 1
    return one.base < other.base ? -1 : 1
  }

  /** Oldest first, and only what is not older than `from`. */
  #order(from: number): void {
    const times = this.#times
    const all = new Uint32Array(this.#count).map((_, row) => row)
    const rows = (from > 0 ? all.filter((row) => (times[row] as number) >= from) : all).sort(
      (a, b) => (times[a] as number) - (times[b] as number) || this.#compare(a, b),
    )
    const names = new Map(this.#names)
    const [ids, states] = [this.#ids, this.#states]
    this.#times = new Float64Array(times.length)
    this.#ids = new Uint32Array(ids.length)
    this.#states = new Uint16Array(states.length)
    this.#names.clear()
    this.#others.clear()
    this.#count = rows.length
    for (const [to, row] of rows.entries()) {
      this.#times[to] = times[row] as number
      this.#states[to] = states[row] as number
      this.#ids.set(ids.subarray(row * ID_WORDS, (row + 1) * ID_WORDS), to * ID_WORDS)
      const name = names.get(row)
      if (name === undefined) continue
      this.#names.set(to, name)
      if (((states[row] as number) & OURS) === 0) this.#others.set(`${this.boxOf(to)}/${name.split(':2,', 1)[0]}`, to)
    }
    this.#index(this.#slots.length)
  }
}

function widened<T extends { set: (from: T) => void }>(to: T, from: T): T {
  to.set(from)
  return to
}
