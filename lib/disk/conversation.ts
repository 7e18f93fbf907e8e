// Which messages belong together: what later ones say about earlier ones (reactions, edits, recalls, receipts), and the tree of
// answers. Inbox and sent/ count together, for a conversation has two sides. Guarantee: only its own sender edits or
// recalls a message, only the two between whom it went react to it, and nothing that arrived is hidden or changed by it.
// What is known of each is a row of numbers, 100 bytes with its place in the roll: a message is read when it is wanted.

import { IdTable } from '../base/idtable.ts'
import { EDITED } from '../wire/mail.ts'
import { MESSAGE_TYPES, typeOf, type MessageInfo, type Reaction } from '../wire/record.ts'
import { describe, sameKey, type Depth, type Message, type View } from './inboxview.ts'
import type { Box, MailEntry } from './maildir.ts'
import { digestOf, isSaying, readDigests, type Digest } from './mailindex.ts'
import { MailRoll } from './mailroll.ts'

/** What is kept of a digest. */
export type Facts = Omit<Digest, 'media'>

export interface Node {
  row: number
  entry: MailEntry
  digest: Facts
}

/** A message in its thread, `depth` answers below the first. */
export interface Placed extends Node {
  depth: number
}

/** Levels of a thread that are told apart: a tree that a peer made deeper shows flat from there. */
const DEPTH_MAX = 100
/** Messages about one message that are read, the latest of them: nobody means more of them seriously. */
const SAYINGS_MAX = 1000
/** What is about a large message may have overtaken it: by less than this, in microseconds. */
const OVERTAKEN_US = 86_400_000_000n

/** Columns of a row. The numbers of KEYs, ids and types begin at 1; 0 is none. */
const [TYPE, KEY, TO_KEY, ID, REPLY, TARGET, NEXT] = [0, 1, 2, 3, 4, 5, 6]
const COLUMNS = 7
/** Columns of an id: whose it is, whom it went to, the row it is in (from 1 on), and the first and last rows about it. */
const [KNOWN, BY, TO, ROW, FIRST, LAST] = [0, 1, 2, 3, 4, 5]
const ID_COLUMNS = 6

export class Conversation {
  /** Names may be given anew. */
  view: View
  readonly roll: MailRoll
  readonly #ids: IdTable
  #rows: Uint32Array
  /** By the number of an id. */
  #about: Uint32Array
  readonly #keys: string[] = ['']
  /** Of each as it was met, and in small letters. */
  readonly #keyNumbers = new Map<string, number>()
  readonly #self: number

  private constructor(view: View, roll: MailRoll) {
    this.view = view
    this.roll = roll
    this.#rows = new Uint32Array(COLUMNS * (roll.count + 1024))
    this.#about = new Uint32Array(ID_COLUMNS * (roll.count + 1024))
    this.#ids = new IdTable(() => new DataView(view.home.random.bytes(4).slice().buffer).getUint32(0), roll.count)
    this.#self = this.#keyNumber(view.self)
  }

  /** All that is in inbox and sent/. */
  static read(view: View): Promise<Conversation> {
    return Conversation.#read(view)
  }

  /**
   * Only what is said about messages of `since` (Unix us) or later: for fold(), and idsAbout() of what was folded. What
   * the caller has listed and read a moment ago, with its parts at least, is not looked at again.
   */
  static about(view: View, since: bigint, listed?: MailRoll, read: readonly Message[] = []): Promise<Conversation> {
    return Conversation.#read(view, since - OVERTAKEN_US, listed, read)
  }

  static async #read(view: View, since?: bigint, listed?: MailRoll, read: readonly Message[] = []): Promise<Conversation> {
    const roll = await MailRoll.read(view.home, ['inbox', 'sent'], since, listed)
    const all = new Conversation(view, roll)
    const worth = since === undefined ? undefined : ({ type }: Digest) => isSaying(type)
    const known = new Uint8Array(roll.count)
    const box = read[0]?.entry.box
    // All that the caller has listed, and it was not listed again: then what was read need not be found one by one.
    const whole = listed !== undefined && listed.count === read.length && listed.since <= roll.since && read.every(({ entry }) => entry.box === box)
    if (whole) for (let row = 0; row < roll.count; row++) if (roll.boxOf(row) === box) known[row] = 1
    for (const { entry, info } of read) {
      const worthIt = since === undefined || isSaying(typeOf(info))
      const row = worthIt || !whole ? roll.find(entry.box, entry.base) : -1
      if (row < 0) continue
      known[row] = 1
      if (worthIt) all.#note(row, digestOf(info))
    }
    for (const box of ['inbox', 'sent'] as const) {
      await readDigests(view.home, box, {
        roll,
        worth,
        known: read.length === 0 ? undefined : known,
        whole: since === undefined,
        describe: (entry: MailEntry) => describe(view, entry, 'parts'),
        take: (row, digest) => all.#note(row, digest),
      })
    }
    for (let row = 0; row < roll.count; row++) all.#link(row)
    return all
  }

  /** Rows are numbered from 0, oldest first, those that came later behind them. */
  get count(): number {
    return this.roll.count
  }

  /** A mail that has come since, or that has another place or other flags now; its row, or undefined if it is gone. */
  async add(entry: MailEntry): Promise<number | undefined> {
    const known = this.roll.find(entry.box, entry.base)
    if (known >= 0) {
      this.roll.set(entry)
      return known
    }
    const message = await describe(this.view, entry, 'parts')
    if (message === undefined) return undefined
    const row = this.roll.set(message.entry)
    this.#note(row, digestOf(message.info))
    this.#link(row)
    return row
  }

  /** The row of a mail that is known, with whatever flags; -1 without. */
  find({ box, base }: MailEntry): number {
    return this.roll.find(box, base)
  }

  /** What has come into a box or was renamed in it since: the entries as they are now. */
  fresh(box: Box): Promise<MailEntry[]> {
    return this.roll.changed(box)
  }

  entry(row: number): MailEntry {
    return this.roll.entry(row)
  }

  /** False for a mail that vanished before it was looked at. */
  isKnown(row: number): boolean {
    return this.#get(row, TYPE) !== 0
  }

  digest(row: number): Facts {
    const id = (column: number): string | undefined => this.#idText(this.#get(row, column))
    const type = MESSAGE_TYPES[this.#get(row, TYPE) - 1] ?? 'foreign'
    return { id: id(ID), key: this.keyOf(this.#get(row, KEY)), toKey: this.keyOf(this.#get(row, TO_KEY)), reply: id(REPLY), target: id(TARGET), type }
  }

  node(row: number): Node {
    return { row, entry: this.entry(row), digest: this.digest(row) }
  }

  /** Who is at the other end, who wrote it or who an own one went to: a number for keyOf(); 0 if nobody is. */
  otherOf(row: number): number {
    return this.#get(row, this.roll.boxOf(row) === 'sent' ? TO_KEY : KEY)
  }

  /** The KEY with this number, in the case in which it was first met. */
  keyOf(number: number): string | undefined {
    return number === 0 ? undefined : this.#keys[number]
  }

  /** The row of the message with this id, or -1. */
  rowOf(id: string): number {
    return this.#ofId(this.#ids.find(id), ROW) - 1
  }

  /** True if this message says something about another one that is there, and may. */
  isAbout(row: number): boolean {
    const target = this.#get(row, TARGET)
    const key = this.#get(row, KEY)
    if (target === 0 || key === 0 || this.#ofId(target, KNOWN) === 0) return false
    const [by, to] = [this.#ofId(target, BY), this.#ofId(target, TO)]
    const type = MESSAGE_TYPES[this.#get(row, TYPE) - 1]
    if (type === 'receipt') return to === key
    return type === 'reaction' ? key === by || key === to || key === this.#self : key === by
  }

  /** True if it is nothing to be shown: about another one, or a receipt for one that is gone. */
  isSilent(row: number): boolean {
    return MESSAGE_TYPES[this.#get(row, TYPE) - 1] === 'receipt' || this.isAbout(row)
  }

  /** The ids of the messages that say something about this one. */
  idsAbout(id: string): string[] {
    return this.#rowsAbout(id).map((row) => this.#idText(this.#get(row, ID)) as string)
  }

  /** False where fold() has nothing to add, and idsAbout() nothing to tell. */
  isSpokenOf(id: string | undefined): boolean {
    return id !== undefined && this.#ids.find(id) !== 0
  }

  /** Adds to a message what later ones say about it: the latest edit, a recall, the latest reaction of each, its reading. */
  async fold(info: MessageInfo): Promise<void> {
    const number = info.id === undefined ? 0 : this.#ids.find(info.id)
    if (number === 0) return // nobody speaks of it
    this.#party(number, this.#keyNumber(info.key), this.#keyNumber(info.toKey))
    const reactions = new Map<string, Reaction>()
    for (const row of this.#rowsAbout(info.id as string).slice(-SAYINGS_MAX)) {
      const digest = this.digest(row)
      const said = (await describe(this.view, this.entry(row), 'text'))?.info
      if (said === undefined || said.id !== digest.id || said.key === undefined || !sameKey(digest.key, said.key)) continue
      const { id = '', from, key, created } = said
      if (digest.type === 'edit' && said.edit === info.id && later(info.edited, created)) {
        const subject = said.subject?.startsWith(EDITED) === true ? said.subject.slice(EDITED.length) : said.subject
        info.edited = { id, created, subject, text: said.text }
      } else if (digest.type === 'receipt' && said.receipt === info.id) {
        info.read ??= created
      } else if (digest.type === 'recall' && said.recall === info.id) {
        info.recalled = { id, created }
      } else if (digest.type === 'reaction' && said.reaction !== undefined && later(reactions.get(key), created)) {
        reactions.set(key, { id, from, key, reaction: said.reaction, created })
      }
    }
    const left = [...reactions.values()].filter(({ reaction }) => reaction !== '')
    if (left.length > 0) info.reactions = left
  }

  /** The whole thread that this message is in, each answer below what it answers, oldest first. */
  thread(id: string): Placed[] {
    let top = this.rowOf(id)
    if (top < 0) return []
    const parentOf = (row: number): number => this.#get(row, TARGET) || this.#get(row, REPLY)
    const above = new Set<number>([this.#get(top, ID)])
    for (let up = top; up >= 0; ) {
      const parent = parentOf(up)
      top = up
      up = parent === 0 || above.has(parent) ? -1 : this.#ofId(parent, ROW) - 1
      if (up >= 0) above.add(parent)
    }
    const answers = this.#answers()
    // Answers to a message that is not there any more still belong together.
    const [target, reply] = [this.#get(top, TARGET), this.#get(top, REPLY)]
    const tops = target === 0 && reply !== 0 && !above.has(reply) ? (answers.get(reply) ?? [top]) : [top]
    const placed: Placed[] = []
    const done = new Set<number>()
    const stack = tops.map((row) => ({ row, depth: 0 })).reverse()
    for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
      const { row, depth } = next
      if (done.has(row)) continue
      done.add(row)
      placed.push({ ...this.node(row), depth })
      const below = answers.get(this.#get(row, ID)) ?? []
      stack.push(...below.map((each) => ({ row: each, depth: Math.min(depth + 1, DEPTH_MAX) })).reverse())
    }
    return placed
  }

  /** Of a message that is in the inbox or in sent/. */
  message(row: number, depth: Depth): Promise<Message | undefined> {
    return describe(this.view, this.entry(row), depth)
  }

  /** Rows by the number of the id that they answer, oldest first. What somebody says of a message of others is an answer like any. */
  #answers(): Map<number, number[]> {
    const answers = new Map<number, number[]>()
    for (let row = 0; row < this.count; row++) {
      const target = this.#get(row, TARGET)
      const parent = target === 0 ? this.#get(row, REPLY) : this.isAbout(row) ? 0 : target
      if (parent === 0 || !this.#isFirst(row)) continue
      const list = answers.get(parent)
      if (list === undefined) answers.set(parent, [row])
      else list.push(row)
    }
    return answers
  }

  #rowsAbout(id: string): number[] {
    const rows: number[] = []
    for (let at = this.#ofId(this.#ids.find(id), FIRST); at !== 0; at = this.#get(at - 1, NEXT)) if (this.isAbout(at - 1)) rows.push(at - 1)
    return rows
  }

  /** Not a second copy: a note to oneself is in both boxes. */
  #isFirst(row: number): boolean {
    const id = this.#get(row, ID)
    return id !== 0 && this.#ofId(id, ROW) === row + 1
  }

  #note(row: number, { id, key, toKey, reply, type, target }: Digest): void {
    if ((row + 1) * COLUMNS > this.#rows.length) this.#rows = doubled(this.#rows)
    const number = (text: string | undefined): number => (text === undefined ? 0 : this.#ids.take(text))
    const kind = MESSAGE_TYPES.includes(type) ? type : 'foreign' // of a later version
    const columns = [MESSAGE_TYPES.indexOf(kind) + 1, this.#keyNumber(key), this.#keyNumber(toKey), number(id), number(reply), number(target), 0]
    this.#rows.set(columns, row * COLUMNS)
  }

  #link(row: number): void {
    const id = this.#get(row, ID)
    if (id === 0 || this.#ofId(id, ROW) !== 0) return
    this.#setOfId(id, ROW, row + 1)
    this.#party(id, this.#get(row, KEY), this.#get(row, TO_KEY))
    const target = this.#get(row, TARGET)
    if (target === 0) return
    const last = this.#ofId(target, LAST)
    if (last === 0) this.#setOfId(target, FIRST, row + 1)
    else this.#rows[(last - 1) * COLUMNS + NEXT] = row + 1
    this.#setOfId(target, LAST, row + 1)
  }

  #party(id: number, key: number, toKey: number): void {
    this.#setOfId(id, KNOWN, 1)
    this.#setOfId(id, BY, key)
    this.#setOfId(id, TO, toKey)
  }

  #get(row: number, column: number): number {
    return this.#rows[row * COLUMNS + column] ?? 0
  }

  #ofId(id: number, column: number): number {
    return id === 0 ? 0 : (this.#about[id * ID_COLUMNS + column] ?? 0)
  }

  #setOfId(id: number, column: number, value: number): void {
    while ((id + 1) * ID_COLUMNS > this.#about.length) this.#about = doubled(this.#about)
    this.#about[id * ID_COLUMNS + column] = value
  }

  #idText(id: number): string | undefined {
    return id === 0 ? undefined : this.#ids.text(id)
  }

  /** One number for a KEY in whatever case: mail programs fold it. */
  #keyNumber(key: string | undefined): number {
    if (key === undefined) return 0
    const known = this.#keyNumbers.get(key)
    if (known !== undefined) return known
    const folded = key.toLowerCase()
    const number = this.#keyNumbers.get(folded) ?? this.#keys.push(key) - 1
    this.#keyNumbers.set(key, number).set(folded, number)
    return number
  }
}

function doubled(array: Uint32Array): Uint32Array<ArrayBuffer> {
  const wider = new Uint32Array(2 * array.length)
  wider.set(array)
  return wider
}

/** By the sender's own clock, in which its messages are in order; they may arrive in another. */
function later(than: { created?: number | undefined } | undefined, created: number | undefined): boolean {
  return than?.created === undefined || (created ?? 0) >= than.created
}
