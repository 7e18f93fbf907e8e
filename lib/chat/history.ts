// The messages of the conversation that is open: all of them as rows of numbers, and a window of them that was read,
// which moves where somebody looks. What a message says about another one shows there, and is none of its own.

import { EX, Failure } from '../base/fail.ts'
import { quote } from '../base/text.ts'
import type { Conversation } from '../disk/conversation.ts'
import { hasWords } from '../disk/inboxfilter.ts'
import type { MailEntry } from '../disk/maildir.ts'
import { chatMessage, quoteOf, type ChatMessage } from './message.ts'

/** Messages shown at first, and more each time somebody asks for earlier ones. */
const FIRST = 40
/** Messages read at once until a screen is full. */
const FEW = 4
export const PAGE = 100
/** Messages that are shown at once. */
const WINDOW = 600
/** Messages read at once. */
const PARALLEL = 16
/** Messages that a search shows, the latest of those that it finds. */
const FOUND_MAX = 200

export interface Found {
  /** Counted from the latest, 1, back. */
  number: number
  message: ChatMessage
}

export class History {
  readonly #talk: Conversation
  readonly #self: string
  /** All that belong to it, oldest first. */
  #rows: number[]
  /** Where the window begins in them. */
  #first: number
  #shown: ChatMessage[] = []
  readonly #belongs: (row: number) => boolean

  /** `belongs`: whether a row is of this conversation. */
  constructor(talk: Conversation, self: string, belongs: (row: number) => boolean) {
    this.#talk = talk
    this.#self = self
    this.#belongs = belongs
    this.#rows = []
    for (let row = 0; row < talk.count; row++) if (this.#isOne(row)) this.#rows.push(row)
    this.#first = this.#rows.length
  }

  /** The window, oldest first. */
  get shown(): readonly ChatMessage[] {
    return this.#shown
  }

  /** Messages before the window, and behind it. */
  get earlier(): number {
    return this.#first
  }

  get later(): number {
    return this.#rows.length - this.#first - this.#shown.length
  }

  /** Takes `count` more into the window; those at its other end leave it when they are too many. */
  async older(count: number): Promise<void> {
    const from = Math.max(0, this.#first - count)
    const found = await this.#read(from, this.#first)
    this.#shown = [...found, ...this.#shown].slice(0, Math.max(WINDOW, found.length))
    this.#first = from
  }

  async newer(count: number): Promise<void> {
    const from = this.#first + this.#shown.length
    const found = await this.#read(from, Math.min(this.#rows.length, from + count))
    const all = [...this.#shown, ...found]
    const over = Math.max(0, all.length - WINDOW)
    this.#shown = all.slice(over)
    this.#first += over
  }

  /** The window is the latest page, or only as much of it as `enough` wants. */
  async latest(enough?: (shown: readonly ChatMessage[]) => boolean): Promise<void> {
    this.#shown = []
    this.#first = this.#rows.length
    if (enough === undefined) return this.older(FIRST)
    while (this.#first > 0 && this.#shown.length < FIRST && !enough(this.#shown)) await this.older(FEW)
  }

  /** The window is a page at least, if there are so many. */
  async fill(): Promise<void> {
    if (this.#shown.length < FIRST) await this.older(FIRST - this.#shown.length)
  }

  /** A message that has come; it shows if the end of the conversation does. */
  append(row: number, message: ChatMessage): void {
    const shows = this.later === 0
    this.#rows.push(row)
    if (!shows) return
    this.#shown = [...this.#shown, message].slice(-WINDOW)
    this.#first = this.#rows.length - this.#shown.length
  }

  /** The message in this row as it is now, if it shows. */
  async renew(row: number): Promise<void> {
    const at = this.#rows.indexOf(row, this.#first) - this.#first
    if (at < 0 || at >= this.#shown.length) return
    const message = await this.read(row)
    if (message !== undefined) this.#shown = this.#shown.with(at, message)
  }

  /**
   * The Nth message from the latest, 1, back, or without a number the latest in the window that `wanted` takes. Throws
   * Failure 1 if there is none.
   */
  async nth(number: number | undefined, wanted: (message: ChatMessage) => boolean): Promise<ChatMessage & { id: string }> {
    const row = number === undefined ? undefined : this.#rows.at(-number)
    const found = row === undefined ? this.#shown.findLast((message) => number === undefined && wanted(message)) : await this.read(row)
    if (found === undefined) throw new Failure(EX.NEGATIVE, number === undefined ? 'there is no such message' : `there is no message ${number}`)
    return fit(found, number, wanted)
  }

  /** Those that contain `words`, the latest last; `rest` lets others have their turn. */
  async search(words: string, signal: AbortSignal, rest: () => Promise<void>): Promise<Found[]> {
    const pattern = new RegExp(words.replace(/[^\p{L}\p{N}]/gu, (char) => `\\u{${char.codePointAt(0)?.toString(16) ?? ''}}`), 'iu')
    const rows = [...this.#rows]
    const found: Found[] = []
    for (let end = rows.length; end > 0 && found.length < FOUND_MAX && !signal.aborted; end -= PARALLEL) {
      const batch = rows.slice(Math.max(0, end - PARALLEL), end)
      const hits = await Promise.all(batch.map((row) => this.#says(row, pattern)))
      for (const [at, row] of [...batch.entries()].reverse()) {
        const message = hits[at] === true ? await this.read(row) : undefined
        if (message !== undefined) found.push({ number: rows.length - (end - batch.length + at), message })
      }
      await rest()
    }
    return found.slice(0, FOUND_MAX).reverse()
  }

  /** One message with what later ones say about it; undefined if it vanished, or is about another one. */
  async read(row: number): Promise<ChatMessage | undefined> {
    if (this.#talk.isSilent(row)) return undefined
    const message = await this.#talk.message(row, 'text')
    if (message === undefined) return undefined
    await this.#talk.fold(message.info)
    const shown = chatMessage(message, this.#self)
    return shown.reply === undefined ? shown : { ...shown, quoted: await this.#quoted(shown.reply) }
  }

  /** Of an answered message of the same conversation, wherever it is. */
  async #quoted(id: string): Promise<string | undefined> {
    const row = this.#talk.rowOf(id)
    if (row < 0 || !this.#belongs(row)) return undefined
    const message = await this.#talk.message(row, 'text')
    if (message === undefined) return undefined
    await this.#talk.fold(message.info)
    return quoteOf(chatMessage(message, this.#self))
  }

  #isOne(row: number): boolean {
    return this.#talk.table.isKnown(row) && this.#belongs(row) && !this.#talk.isSilent(row)
  }

  async #says(row: number, pattern: RegExp): Promise<boolean> {
    const { entry, view } = { entry: this.#talk.entry(row), view: this.#talk.view }
    const edits = this.#talk.idsAbout(this.#talk.table.facts(row).id ?? '')
    const entries: MailEntry[] = [entry, ...edits.map((id) => this.#talk.entry(this.#talk.rowOf(id)))]
    for (const each of entries) if (await hasWords(view, each, pattern)) return true
    return false
  }

  /** Reads the rows from one place to another; those that show nothing are none any more. */
  async #read(from: number, to: number): Promise<ChatMessage[]> {
    const rows = this.#rows.slice(from, to)
    const found: ChatMessage[] = []
    const gone = new Set<number>()
    for (let at = 0; at < rows.length; at += PARALLEL) {
      const some = rows.slice(at, at + PARALLEL)
      for (const [i, message] of (await Promise.all(some.map((row) => this.read(row)))).entries()) {
        if (message === undefined) gone.add(some[i] as number)
        else found.push(message)
      }
    }
    if (gone.size > 0) this.#rows = this.#rows.filter((row) => !gone.has(row))
    return found
  }
}

/** The message, if it is one of those. Throws Failure 1. */
export function fit(found: ChatMessage, number: number | undefined, wanted: (message: ChatMessage) => boolean): ChatMessage & { id: string } {
  if (!wanted(found)) throw new Failure(EX.NEGATIVE, `${number === undefined ? 'it' : `message ${number}`} is none of that kind: ${quote(found.text)}`)
  if (found.id === undefined) throw new Failure(EX.NEGATIVE, 'that message is not from a contact')
  return { ...found, id: found.id }
}
