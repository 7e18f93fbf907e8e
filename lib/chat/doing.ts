// What typed lines do: orders become calls of the Room, and answers become pages and sentences for whatever shows them,
// the full screen or the line mode. Keeps the draft of each conversation.

import { utf8 } from '../base/bytes.ts'
import { EX, Failure } from '../base/fail.ts'
import { printable } from '../base/text.ts'
import { RECALLED } from '../delivery/about.ts'
import type { Contact } from '../disk/contact.ts'
import type { Home } from '../disk/home.ts'
import { readDraft, writeDraft } from './drafts.ts'
import { gist, type ChatMessage } from './message.ts'
import { hour, presence } from './lines.ts'
import { numbered, parseOrder, WORDS } from './order.ts'
import { nth, type Room } from './room.ts'

/** After the last key a draft is written. */
const DRAFT_MS = 500

export interface Surface {
  /** A page of lines. */
  show(lines: string[]): void
  tell(text: string): void
  leave(): void
}

export interface DoingOptions {
  home: Home
  room: Room
  surface: Surface
  /** `:name:` for emoji. */
  emojify: (text: string) => Promise<string>
  /** The words of this contact and the own ones. */
  words: (contact: Contact) => Promise<string[]>
  /** Lines that show the own token. */
  token: () => Promise<string[]>
  /** Keys, if there are any. */
  keys: readonly string[]
}

export class Doing {
  readonly #options: DoingOptions
  #draft = ''
  #written = ''
  #cancel: () => void = () => undefined
  #saving: Promise<unknown> = Promise.resolve()

  constructor(options: DoingOptions) {
    this.#options = options
  }

  /** What was typed into the current conversation before. */
  get drafted(): string {
    return this.#draft
  }

  /** Reads the draft of the conversation that the room opened with. */
  async start(): Promise<void> {
    const { home, room } = this.#options
    this.#draft = this.#written = await readDraft(home, room.current.key)
  }

  /** Another conversation; what was typed is kept for this one. */
  async enter(key: string): Promise<void> {
    const { home, room } = this.#options
    await this.keep()
    this.#draft = this.#written = await readDraft(home, key)
    await room.enter(key)
  }

  /** What stands in the place to type now. */
  draft(text: string): void {
    this.#draft = text
    this.#cancel()
    this.#cancel = this.#options.home.clock.after(DRAFT_MS, () => void this.keep().catch((error: unknown) => this.#fail(error)))
  }

  /** The draft is on disk when this resolves. */
  async keep(): Promise<void> {
    this.#cancel()
    const { home, room } = this.#options
    const { key } = room.current
    const text = this.#draft
    if (text === this.#written) return this.#saving.then(() => undefined)
    this.#written = text
    const saving = this.#saving.then(() => writeDraft(home, key, text))
    this.#saving = saving.catch(() => undefined)
    await saving
  }

  #fail(error: unknown): void {
    this.#options.surface.tell(`cannot keep the draft: ${error instanceof Error ? error.message : String(error)}`)
  }

  /** One typed line, or several; `target` is the message that was chosen for it. Throws Failures for a person. */
  async line(text: string, target?: string): Promise<void> {
    const { room, surface, emojify } = this.#options
    const order = parseOrder(text)
    if (order.do === 'say') {
      if (order.text.trim() === '') return
      return this.#say(await emojify(order.text))
    }
    const { number, rest } = target === undefined ? numbered(order.rest) : { number: undefined, rest: order.rest }
    const pick = (wanted: (message: ChatMessage) => boolean): ChatMessage & { id: string } => {
      const chosen = target === undefined ? undefined : room.byId(target)
      return chosen === undefined ? nth(room.messages, number, wanted) : nth([chosen], 1, wanted)
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
      case 'reply':
        return this.#say(await emojify(need(rest)), pick(target === undefined && number === undefined ? ({ mine }) => !mine : () => true).id)
      case 'react': {
        const reaction = need(rest) === '-' ? '' : await emojify(rest)
        return room.say({ reply: pick(number === undefined && target === undefined ? ({ mine }) => !mine : () => true).id, reaction, text: utf8('') })
      }
      case 'edit':
        return room.say({ edit: pick(({ mine }) => mine).id, text: utf8(await emojify(need(rest))) })
      case 'recall':
        return room.say({ recall: pick(({ mine }) => mine).id, text: utf8(RECALLED) })
      case 'file':
        return room.sendFile({ path: pathOf(order.rest) })
      case 'save': {
        const paths = await room.save(pick(({ files }) => files.length > 0), rest === '' ? '.' : pathOf(rest))
        return surface.tell(`saved: ${paths.join('  ')}`)
      }
      case 'search':
        return surface.show(this.#found(order.rest, await room.search(order.rest)))
      case 'older':
        return room.older()
      case 'words': {
        const { contact } = room
        if (contact === undefined) throw new Failure(EX.USAGE, 'there is nobody to compare words with')
        return surface.show(await this.#options.words(contact))
      }
      case 'token':
        return surface.show(await this.#options.token())
      case 'help':
        return surface.show(this.#help())
      case 'quit':
        return surface.leave()
    }
  }

  async #say(text: string, reply?: string): Promise<void> {
    await this.#options.room.say({ text: utf8(text), reply })
    this.#draft = ''
    await this.keep()
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

  #found(words: string, found: ChatMessage[]): string[] {
    const { room } = this.#options
    const numberOf = new Map(room.messages.map((message, at) => [message, room.messages.length - at]))
    if (found.length === 0) return [`nothing with ${printable(words)}`]
    return found.map((message) => {
      const who = message.mine ? 'you' : message.from
      return `${String(numberOf.get(message) ?? '').padStart(5)}  ${dayAndHour(message.at)}  ${who}: ${gist(message)}`
    })
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
