// Which mails there are, in columns of numbers: some 30 bytes each, where an entry takes 500, so that 100,000 of them
// cost a command next to nothing. A row stands for one mail as long as the roll lives; an entry is made when one is
// wanted. Like a listing it is out of date a moment later.

import { keepSmall } from '../base/garbage.ts'
import { mixWords } from '../base/hexword.ts'
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
/** Rows that there is room for at first, and how many times as many then: what is not used takes no memory. */
const FIRST_ROOM = 1024
const WIDER = 8
/** So many rows make memory worth a thought. */
const MANY = FIRST_ROOM * WIDER
/** So many rows are searched by their times. */
const SEARCHED = 1000

const idBytes = Buffer.alloc(4 * ID_WORDS)
const idView = new DataView(idBytes.buffer, idBytes.byteOffset, idBytes.length)

/**
 * A name of ours, taken apart into `id`; the time, or -1 for another name. Each number is read as a whole and held against
 * what it would be written as: loops over characters take a process that has just begun many times as long.
 */
function parseOurs(name: string, id: Uint32Array): number {
  const dot = name.indexOf('.')
  const end = dot + 37
  if (dot < 1 || dot > 16 || !name.startsWith('.p2p', dot + 33)) return -1
  if (end !== name.length && !name.startsWith(':2,', end)) return -1
  const digits = name.slice(0, dot)
  const time = Number(digits)
  if (!Number.isSafeInteger(time) || time < 0 || String(time) !== digits) return -1
  const hex = name.slice(dot + 1, dot + 33)
  idBytes.write(hex, 'hex')
  if (idBytes.toString('hex') !== hex) return -1
  for (let word = 0; word < ID_WORDS; word++) id[word] = idView.getUint32(4 * word)
  return time
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
  /** Rows of our own form by their ids, from 1 on; 0 for none. Made when it is first needed. */
  #slots: Uint32Array | undefined
  /** Names that the columns cannot give, and rows of other forms by box and base. */
  readonly #names = new Map<number, string>()
  readonly #others = new Map<string, number>()
  readonly #id = new Uint32Array(ID_WORDS)

  /** Drawn when there is a table. */
  #seed = 0
  /** What it was read for. */
  readonly #boxes: readonly Box[]
  readonly #since: number

  private constructor(home: Home, boxes: readonly Box[], since: number) {
    this.#home = home
    this.#boxes = boxes
    this.#since = since
  }

  /**
   * What is in these boxes, oldest first; with `since` (Unix us) only what is not older. What `known` has of them, read
   * a moment ago, is not listed again.
   */
  static async read(home: Home, boxes: readonly Box[], since = 0n, known?: MailRoll): Promise<MailRoll> {
    const from = Number(since)
    const roll = new MailRoll(home, boxes, from)
    for (const box of boxes) {
      if (known !== undefined && known.#since <= from && known.#boxes.includes(box)) roll.#takeOver(known, box, from)
      else await eachName(home, box, (folder, name) => {
        if (!name.startsWith('.') && !(from > 0 && isOlder(name, from))) roll.#append(box, folder, name)
      })
    }
    for (let row = 0; row < roll.#count; row++) {
      if (roll.timeOf(row) < 0) roll.#times[row] = Number(await changeTime(home, roll.entry(row)))
    }
    roll.#order(from)
    return roll
  }

  /** Unix us: it has nothing older. */
  get since(): number {
    return this.#since
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
    for (let word = 0; word < ID_WORDS; word++) idView.setUint32(4 * word, this.#ids[row * ID_WORDS + word] as number)
    const id32 = idBytes.toString('hex')
    const flags = (state & (NEW - 1)) === 0 ? '' : [...LETTERS].filter((_, at) => (state & (1 << at)) !== 0).join('')
    const base = `${time}.${id32}.p2p`
    const path = this.#home.at(box, folder, (state & BARE) === 0 ? `${base}:2,${flags}` : base)
    return { box, base, path, flags, time: BigInt(time), id32 }
  }

  /** The row of a mail by the name of its entry, flags or none behind it; -1 if it has none. */
  find(box: Box, name: string): number {
    const time = parseOurs(name, this.#id)
    if (time >= 0) return this.#slots === undefined && this.#count <= SEARCHED ? this.#search(box, time) : this.#held(box, time)
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

  /** The row of a name, an old one if there is one. */
  #put(box: Box, folder: Folder, name: string): number {
    const time = parseOurs(name, this.#id)
    if (time < 0) return this.#putOther(box, folder, name)
    let row = this.#held(box, time)
    if (row < 0) {
      row = this.#ours(time)
      const slots = this.#slots as Uint32Array
      slots[this.#slot(slots, box, time)] = row + 1
    }
    this.#mark(row, box, folder, name)
    return row
  }

  /** As put, but a name that comes again has two rows until they are ordered. */
  #append(box: Box, folder: Folder, name: string): void {
    const time = parseOurs(name, this.#id)
    if (time < 0) this.#putOther(box, folder, name)
    else this.#mark(this.#ours(time), box, folder, name)
  }

  /** A new row with this time and the id in `#id`. */
  #ours(time: number): number {
    const row = this.#grow()
    this.#times[row] = time
    this.#ids.set(this.#id, row * ID_WORDS)
    return row
  }

  #mark(row: number, box: Box, folder: Folder, name: string): void {
    const flags = parseFlags(name, name.indexOf('.') + 37)
    this.#states[row] = OURS | whereOf(box, folder) | (flags < 0 ? NAMED : flags)
    if (flags < 0) this.#names.set(row, name)
    else this.#names.delete(row)
  }

  #putOther(box: Box, folder: Folder, name: string): number {
    const base = `${box}/${name.split(':2,', 1)[0]}`
    const row = this.#others.get(base) ?? this.#grow()
    if (!this.#others.has(base)) this.#times[row] = Number(parseEntry(this.#home, box, folder, name)?.time ?? -1)
    this.#others.set(base, row)
    this.#names.set(row, name)
    this.#states[row] = NAMED | whereOf(box, folder)
    return row
  }

  /** Another roll's rows of a box that are not older than `from`. */
  #takeOver(known: MailRoll, box: Box, from: number): void {
    for (let other = 0; other < known.#count; other++) {
      if (known.timeOf(other) < from || known.boxOf(other) !== box) continue
      const row = this.#grow()
      this.#times[row] = known.timeOf(other)
      this.#states[row] = known.#states[other] as number
      for (let word = 0; word < ID_WORDS; word++) this.#ids[row * ID_WORDS + word] = known.#ids[other * ID_WORDS + word] as number
      const name = known.#names.get(other)
      if (name !== undefined) this.#names.set(row, name)
    }
  }

  /** The row of the mail of the id in `#id` and this time, or -1. */
  #held(box: Box, time: number): number {
    if (this.#slots === undefined) this.#index(2 * this.#states.length)
    const slots = this.#slots as unknown as Uint32Array
    return (slots[this.#slot(slots, box, time)] as number) - 1
  }

  /** The same where rows are in order, for a few rows: a table takes longer to make. */
  #search(box: Box, time: number): number {
    let [low, high] = [0, this.#count]
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.timeOf(middle) < time) low = middle + 1
      else high = middle
    }
    for (let row = low; row < this.#count && this.timeOf(row) === time; row++) if (this.#isSame(row, box, time)) return row
    return -1
  }

  #isSame(row: number, box: Box, time: number): boolean {
    const state = this.#states[row] as number
    const [at, id, ids] = [row * ID_WORDS, this.#id, this.#ids]
    if ((state & OURS) === 0 || this.#times[row] !== time || ((state & SENT) !== 0) !== (box === 'sent')) return false
    return ids[at] === id[0] && ids[at + 1] === id[1] && ids[at + 2] === id[2] && ids[at + 3] === id[3]
  }

  /** Where it stands in the table, or would. */
  #slot(slots: Uint32Array, box: Box, time: number): number {
    const mask = slots.length - 1
    for (let slot = mixWords(this.#id, this.#seed) & mask; ; slot = (slot + 1) & mask) {
      const row = (slots[slot] as number) - 1
      if (row < 0 || this.#isSame(row, box, time)) return slot
    }
  }

  /** A new row. */
  #grow(): number {
    if (this.#count === MANY) keepSmall()
    if (this.#count === this.#states.length) {
      const room = WIDER * this.#count
      this.#times = widened(new Float64Array(room), this.#times)
      this.#ids = widened(new Uint32Array(room * ID_WORDS), this.#ids)
      this.#states = widened(new Uint16Array(room), this.#states)
      if (this.#slots !== undefined) this.#index(2 * room)
    }
    return this.#count++
  }

  #index(room: number): void {
    if (this.#slots === undefined) this.#seed = new DataView(this.#home.random.bytes(4).slice().buffer).getUint32(0)
    const slots = new Uint32Array(room)
    this.#slots = slots
    const mask = room - 1
    for (let row = 0; row < this.#count; row++) {
      if (((this.#states[row] as number) & OURS) === 0) continue
      let slot = mixWords(this.#ids.subarray(row * ID_WORDS, (row + 1) * ID_WORDS), this.#seed) & mask
      while (slots[slot] !== 0) slot = (slot + 1) & mask
      slots[slot] = row + 1
    }
  }

  /** Of one instant: the inbox first, then by name; of one name the one that came later last. */
  #compare(a: number, b: number): number {
    const [one, other] = [this.entry(a), this.entry(b)]
    if (one.box !== other.box) return one.box === 'inbox' ? -1 : 1
    return one.base === other.base ? a - b : one.base < other.base ? -1 : 1
  }

  /** The rows in order, each mail once. */
  #sorted(rows: Uint32Array): Uint32Array {
    const times = this.#times
    const apart = sortedByTime(rows, times)
    if (apart !== undefined) return apart
    rows.sort((a, b) => (times[a] as number) - (times[b] as number) || this.#compare(a, b))
    return rows.filter((row, at) => {
      const next = rows[at + 1]
      if (next === undefined || times[next] !== times[row]) return true
      const [one, other] = [this.entry(row), this.entry(next)]
      return one.box !== other.box || one.base !== other.base // else it came again
    })
  }

  /** True if its rows are in order already, as those of a roll that was taken over: of our own form alone, no two of one time. */
  #isOrdered(from: number): boolean {
    let before = from - 1
    for (let row = 0; row < this.#count; row++) {
      const time = this.#times[row] as number
      if (time <= before || ((this.#states[row] as number) & OURS) === 0) return false
      before = time
    }
    return true
  }

  /** Oldest first, and only what is not older than `from`. */
  #order(from: number): void {
    if (this.#isOrdered(from)) return
    const times = this.#times
    const all = new Uint32Array(this.#count).map((_, row) => row)
    const rows = this.#sorted(from > 0 ? all.filter((row) => (times[row] as number) >= from) : all)
    const names = new Map(this.#names)
    const [ids, states] = [this.#ids, this.#states]
    this.#times = new Float64Array(times.length)
    this.#ids = new Uint32Array(ids.length)
    this.#states = new Uint16Array(states.length)
    this.#names.clear()
    this.#others.clear()
    this.#count = rows.length
    for (let to = 0; to < rows.length; to++) {
      const row = rows[to] as number
      this.#times[to] = times[row] as number
      this.#states[to] = states[row] as number
      for (let word = 0; word < ID_WORDS; word++) this.#ids[to * ID_WORDS + word] = ids[row * ID_WORDS + word] as number
      const name = names.get(row)
      if (name === undefined) continue
      this.#names.set(to, name)
      if (((states[row] as number) & OURS) === 0) this.#others.set(`${this.boxOf(to)}/${name.split(':2,', 1)[0]}`, to)
    }
  }
}

const whereOf = (box: Box, folder: Folder): number => (folder === 'new' ? NEW : 0) | (box === 'sent' ? SENT : 0)

/** The rows in the order of their times, by which V8 sorts without a call for each two; undefined if two have the same. */
function sortedByTime(rows: Uint32Array, times: Float64Array): Uint32Array | undefined {
  const rowOf = new Map<number, number>()
  const sorted = new Float64Array(rows.length)
  for (let at = 0; at < rows.length; at++) {
    const row = rows[at] as number
    sorted[at] = times[row] as number
    rowOf.set(sorted[at] as number, row)
  }
  if (rowOf.size < rows.length) return undefined
  sorted.sort()
  for (let at = 0; at < rows.length; at++) rows[at] = rowOf.get(sorted[at] as number) as number
  return rows
}

function widened<T extends { set: (from: T) => void }>(to: T, from: T): T {
  to.set(from)
  return to
}
