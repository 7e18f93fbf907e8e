// Which messages belong together: what later ones say about earlier ones (reactions, edits, recalls, receipts), and the tree of
// answers. Inbox and sent/ count together, for a conversation has two sides. Guarantee: only its own sender edits or
// recalls a message, only the two between whom it went react to it, and nothing that arrived is hidden or changed by it.
// Of each only the digest is kept, with its place in the roll: a message is read when it is wanted.

import { EDITED } from '../wire/mail.ts'
import { typeOf, type MessageInfo, type Reaction } from '../wire/record.ts'
import { DigestTable, type Facts } from './digesttable.ts'
import { describe, sameKey, type Depth, type Message, type View } from './inboxview.ts'
import type { Box, MailEntry } from './maildir.ts'
import { digestOf, isSaying, readDigests, type Digest } from './mailindex.ts'
import { MailRoll } from './mailroll.ts'

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

export class Conversation {
  /** Names may be given anew. */
  view: View
  readonly roll: MailRoll
  readonly table: DigestTable
  readonly #self: number

  private constructor(view: View, roll: MailRoll) {
    this.view = view
    this.roll = roll
    this.table = new DigestTable(() => new DataView(view.home.random.bytes(4).slice().buffer).getUint32(0), roll.count)
    this.#self = this.table.keyNumber(view.self)
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
      if (worthIt) all.table.note(row, digestOf(info))
    }
    for (const box of ['inbox', 'sent'] as const) {
      await readDigests(view.home, box, {
        roll,
        worth,
        known: read.length === 0 ? undefined : known,
        whole: since === undefined,
        describe: (entry: MailEntry) => describe(view, entry, 'parts'),
        take: (row, digest) => all.table.note(row, digest),
      })
    }
    for (let row = 0; row < roll.count; row++) all.table.link(row)
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
    this.table.note(row, digestOf(message.info))
    this.table.link(row)
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

  node(row: number): Node {
    return { row, entry: this.entry(row), digest: this.table.facts(row) }
  }

  /** Who is at the other end, who wrote it or who an own one went to: a number of the table; 0 if nobody is. */
  otherOf(row: number): number {
    return this.roll.boxOf(row) === 'sent' ? this.table.recipientOf(row) : this.table.senderOf(row)
  }

  /** The row of the message with this id, or -1. */
  rowOf(id: string): number {
    return this.table.rowOf(this.table.idNumber(id))
  }

  /** True if this message says something about another one that is there, and may. */
  isAbout(row: number): boolean {
    const key = this.table.senderOf(row)
    const target = this.table.targetOf(row)
    if (key === 0 || !this.table.isThere(target)) return false
    const [by, to] = [this.table.byOf(target), this.table.toOf(target)]
    const type = this.table.typeOf(row)
    if (type === 'receipt') return to === key
    return type === 'reaction' ? key === by || key === to || key === this.#self : key === by
  }

  /** True if it is nothing to be shown: about another one, or a receipt for one that is gone. */
  isSilent(row: number): boolean {
    return this.table.typeOf(row) === 'receipt' || this.isAbout(row)
  }

  /** The ids of the messages that say something about this one. */
  idsAbout(id: string): string[] {
    return this.#rowsAbout(this.table.idNumber(id)).map((row) => this.table.idText(this.table.idOf(row)) as string)
  }

  /** False where fold() has nothing to add, and idsAbout() nothing to tell. */
  isSpokenOf(id: string | undefined): boolean {
    return id !== undefined && this.table.idNumber(id) !== 0
  }

  /** Adds to a message what later ones say about it: the latest edit, a recall, the latest reaction of each, its reading. */
  async fold(info: MessageInfo): Promise<void> {
    const number = info.id === undefined ? 0 : this.table.idNumber(info.id)
    if (number === 0) return // nobody speaks of it
    this.table.party(number, this.table.keyNumber(info.key), this.table.keyNumber(info.toKey))
    const reactions = new Map<string, Reaction>()
    for (const row of this.#rowsAbout(number).slice(-SAYINGS_MAX)) {
      const digest = this.table.facts(row)
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
    const parentOf = (row: number): number => this.table.targetOf(row) || this.table.replyOf(row)
    const above = new Set<number>([this.table.idOf(top)])
    for (let up = top; up >= 0; ) {
      const parent = parentOf(up)
      top = up
      up = parent === 0 || above.has(parent) ? -1 : this.table.rowOf(parent)
      if (up >= 0) above.add(parent)
    }
    const answers = this.#answers()
    // Answers to a message that is not there any more still belong together.
    const [target, reply] = [this.table.targetOf(top), this.table.replyOf(top)]
    const tops = target === 0 && reply !== 0 && !above.has(reply) ? (answers.get(reply) ?? [top]) : [top]
    const placed: Placed[] = []
    const done = new Set<number>()
    const stack = tops.map((row) => ({ row, depth: 0 })).reverse()
    for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
      const { row, depth } = next
      if (done.has(row)) continue
      done.add(row)
      placed.push({ ...this.node(row), depth })
      const below = answers.get(this.table.idOf(row)) ?? []
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
      const target = this.table.targetOf(row)
      const parent = target === 0 ? this.table.replyOf(row) : this.isAbout(row) ? 0 : target
      if (parent === 0 || !this.#isFirst(row)) continue
      const list = answers.get(parent)
      if (list === undefined) answers.set(parent, [row])
      else list.push(row)
    }
    return answers
  }

  #rowsAbout(id: number): number[] {
    return this.table.rowsAbout(id).filter((row) => this.isAbout(row))
  }

  /** Not a second copy: a note to oneself is in both boxes. */
  #isFirst(row: number): boolean {
    const id = this.table.idOf(row)
    return id !== 0 && this.table.rowOf(id) === row
  }
}

/** By the sender's own clock, in which its messages are in order; they may arrive in another. */
function later(than: { created?: number | undefined } | undefined, created: number | undefined): boolean {
  return than?.created === undefined || (created ?? 0) >= than.created
}
