// What typed lines do: orders become calls of the Room, and answers become pages and sentences for whatever shows them,
// the full screen or the line mode. Keeps the draft of each conversation.

import { utf8 } from '../base/bytes.ts'
import { EX, Failure } from '../base/fail.ts'
import { printable } from '../base/text.ts'
import { RECALLED } from '../delivery/about.ts'
import type { Contact } from '../disk/contact.ts'
import type { Home } from '../disk/home.ts'
import { readDraft, writeDraft } from './drafts.ts'
import { type Found, fit } from './history.ts'
import { quoteOf, type ChatMessage } from './message.ts'
import { bytes, hour, presence } from './lines.ts'
import type { Newcomer } from './welcome.ts'
import { numbered, parseOrder, WORDS } from './order.ts'
import type { Room } from './room.ts'

/** After the last key a draft is written. */
const DRAFT_MS = 500
/** Bytes of a file that is not there at once. */
const LARGE = 100_000_000

export interface Surface {
  /** A page of lines. */
  show(lines: string[]): void
  tell(text: string): void
  leave(): void
}

/** First contact, and what makes it sure. */
export interface Welcome {
  /** Pages: the own token, an invite for this name, the words of a contact beside the own ones. */
  token: () => Promise<string[]>
  invite: (name: string) => Promise<string[]>
  words: (contact: Contact) => Promise<string[]>
  add: (name: string, line: string) => Promise<Newcomer>
  verify: (contact: Contact) => Promise<void>
}

export interface DoingOptions {
  home: Home
  room: Room
  surface: Surface
  /** `:name:` for emoji. */
  emojify: (text: string) => Promise<string>
  welcome: Welcome
  /** Shows the first picture of a message; the file that it is in now, and why it is not shown, if it is not. */
  openPicture: (message: ChatMessage) => Promise<{ path: string; trouble: string | undefined }>
  /** Keys, if there are any. */
  keys: readonly string[]
}

export class Doing {
  readonly #options: DoingOptions
  /** What stands there now, and what is on disk, by KEY. */
  readonly #drafts = new Map<string, string>()
  readonly #written = new Map<string, string>()
  #cancel: () => void = () => undefined
  #saving: Promise<unknown> = Promise.resolve()

  constructor(options: DoingOptions) {
    this.#options = options
  }

  /** What was typed into the current conversation before. */
  get drafted(): string {
    return this.#drafts.get(this.#options.room.current.key) ?? ''
  }

  /** Reads what was typed at other times, so that later nobody has to wait for it. */
  async start(): Promise<void> {
    const { home, room } = this.#options
    for (const { key } of room.people) {
      const text = await readDraft(home, key)
      this.#drafts.set(key, text)
      this.#written.set(key, text)
    }
  }

  /** Another conversation, at once: the next key that is typed belongs there. */
  async enter(key: string): Promise<void> {
    const entered = this.#options.room.enter(key)
    await this.keep()
    await entered
  }

  /** What stands in the place to type now. */
  draft(text: string): void {
    this.#drafts.set(this.#options.room.current.key, text)
    this.#cancel()
    this.#cancel = this.#options.home.clock.after(DRAFT_MS, () => void this.keep().catch((error: unknown) => this.#fail(error)))
  }

  /** The drafts are on disk when this resolves. */
  async keep(): Promise<void> {
    this.#cancel()
    for (const [key, text] of this.#drafts) {
      if ((this.#written.get(key) ?? '') === text) continue
      this.#written.set(key, text)
      this.#saving = this.#saving.then(() => writeDraft(this.#options.home, key, text))
    }
    const saving = this.#saving
    this.#saving = saving.catch(() => undefined)
    await saving
  }

  #fail(error: unknown): void {
    this.#options.surface.tell(`cannot keep the draft: ${error instanceof Error ? error.message : String(error)}`)
  }

  /**
   * One typed text; `target` is the message that was chosen for it. It is no draft any more once it is done. Throws
   * Failures for a person.
   */
  async line(text: string, target?: string): Promise<void> {
    const { key } = this.#options.room.current
    await this.#do(text, target)
    if (this.#drafts.get(key) === text) this.#drafts.set(key, '') // else something new is typed already
    await this.keep()
  }

  async #do(text: string, target?: string): Promise<void> {
    const { home, room, surface, emojify, welcome } = this.#options
    const order = parseOrder(text)
    const { key } = room.current // whoever is shown when the line is typed, whatever is shown when it goes
    if (order.do === 'say') {
      if (order.text.trim() === '') return
      return this.#say(key, await emojify(order.text))
    }
    const { number, rest } = target === undefined ? numbered(order.rest) : { number: undefined, rest: order.rest }
    const pick = async (wanted: (message: ChatMessage) => boolean): Promise<ChatMessage & { id: string }> => {
      const chosen = target === undefined ? undefined : room.byId(target)
      return chosen === undefined ? room.nth(number, wanted) : fit(chosen, number, wanted)
    }
    const need = (words: string): string => {
      if (words !== '') return words
      throw new Failure(EX.USAGE, `/${order.do} takes ${WORDS.find(({ word }) => word === order.do)?.takes ?? ''}`)
    }
    switch (order.do) {
      case 'to':
        return this.enter(room.find(order.rest).key)
      case 'contacts':
        return surface.show(this.#contacts())
      case 'reply': {
        const { id } = await pick(target === undefined && number === undefined ? ({ mine }) => !mine : () => true)
        return this.#say(key, await emojify(need(rest)), id)
      }
      case 'react': {
        const { id } = await pick(number === undefined && target === undefined ? ({ mine }) => !mine : () => true)
        const reaction = need(rest) === '-' ? '' : await emojify(rest)
        return room.say(key, { reply: id, reaction, text: utf8('') })
      }
      case 'edit': {
        const { id } = await pick(({ mine }) => mine)
        return room.say(key, { edit: id, text: utf8(await emojify(need(rest))) })
      }
      case 'recall':
        return room.say(key, { recall: (await pick(({ mine }) => mine)).id, text: utf8(RECALLED) })
      case 'file': {
        const path = pathOf(order.rest)
        const { size } = (await home.files.stat(path).catch(() => undefined)) ?? { size: 0 }
        if (size >= LARGE) surface.tell(`reading ${bytes(size)}, which takes a moment`)
        return room.say(key, { attachments: [{ path }] })
      }
      case 'save': {
        const paths = await room.save(await pick(({ files }) => files.length > 0), rest === '' ? '.' : pathOf(rest))
        return surface.tell(`saved: ${paths.join('  ')}`)
      }
      case 'open': {
        const { path, trouble } = await this.#options.openPicture(await pick(({ files }) => files.some(({ type }) => type.startsWith('image/'))))
        return surface.tell(trouble === undefined ? `shown: ${path}` : `not shown, ${trouble}: ${path}`)
      }
      case 'search':
        return surface.show(this.#found(order.rest, await room.search(order.rest)))
      case 'older':
        return room.older()
      case 'invite':
        return surface.show(await welcome.invite(order.rest))
      case 'add':
        return this.#add(order.rest)
      case 'words':
        return surface.show(await welcome.words(this.#somebody))
      case 'verify': {
        const contact = this.#somebody
        await welcome.verify(contact)
        await room.reload()
        return surface.tell(`${contact.name} is verified`)
      }
      case 'token':
        return surface.show(await welcome.token())
      case 'help':
        return surface.show(this.#help())
      case 'quit':
        return surface.leave()
    }
  }

  get #somebody(): Contact {
    const { contact } = this.#options.room
    if (contact === undefined) throw new Failure(EX.USAGE, 'there is nobody to compare words with: /to NAME')
    return contact
  }

  async #add(rest: string): Promise<void> {
    const { room, surface, welcome } = this.#options
    const [, name = '', line = ''] = /^(\S+)\s+([^]+)$/.exec(rest) ?? []
    if (line === '') throw new Failure(EX.USAGE, '/add takes NAME LINE: the line that they gave you')
    surface.tell(`calling whom the line is of ...`)
    const { contact, trouble, invited } = await welcome.add(name, line)
    await room.reload()
    await this.enter(contact.key)
    if (trouble !== undefined) surface.tell(`${contact.name} is not met yet, which is tried again: ${trouble}`)
    else surface.tell(invited ? `you and ${contact.name} are contacts now: /words` : `${contact.name} must add you, too: /token shows the line to hand over`)
  }

  #say(key: string, text: string, reply?: string): Promise<void> {
    return this.#options.room.say(key, { text: utf8(text), reply })
  }

  #contacts(): string[] {
    const { room, home } = this.#options
    const now = home.clock.now()
    return room.people.map((person) => {
      const unread = person.unread === 0 ? '' : `  ${person.unread} new`
      const trust = person.verified ? '' : '  not verified'
      return `${person.key === room.current.key ? '*' : ' '} ${person.name.padEnd(16)}  ${presence(person, now)}${unread}${trust}`
    })
  }

  #found(words: string, found: Found[]): string[] {
    if (found.length === 0) return [`nothing with ${printable(words)}`]
    return found.map(({ number, message }) => `${String(number).padStart(5)}  ${dayAndHour(message.at)}  ${quoteOf(message)}`)
  }

  #help(): string[] {
    const width = Math.max(...WORDS.map(({ word, takes }) => word.length + takes.length + 2))
    const commands = WORDS.map(({ word, takes, text }) => `  ${`/${word} ${takes}`.padEnd(width)}  ${text}`)
    const more = ['', 'N counts messages back: 1 is the latest. A text that begins with / is written with // in front.', 'Emoji have names, :heart: is one. Nothing is lost when you leave, whatever way.']
    return [...this.#options.keys, ...(this.#options.keys.length > 0 ? [''] : []), ...commands, ...more]
  }
}

function dayAndHour(ms: number): string {
  return `${new Date(ms).toLocaleDateString('sv-SE')} ${hour(ms)}`
}

/** As a shell would take it: `~/` is the user's own folder, quotes around it are none of it. */
function pathOf(text: string): string {
  const bare = /^(['"])([^]*)\1$/.exec(text)?.[2] ?? text.replace(/\\(.)/g, '$1')
  return bare.startsWith('~/') ? `${process.env['HOME'] ?? '~'}${bare.slice(1)}` : bare
}
