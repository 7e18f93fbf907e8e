// What goes out of a conversation, and how far long messages are, in either direction. What sends is loaded with the
// first message.

import type { Letter } from '../delivery/compose.ts'
import type { Outcome } from '../delivery/desk.ts'
import type { Transfer } from '../delivery/transfer.ts'
import type { Config } from '../disk/config.ts'
import type { Home } from '../disk/home.ts'
import type { Named, Queued } from '../disk/queued.ts'
import type { People } from './people.ts'
import type { Sender } from './sender.ts'

export interface PostOptions {
  home: Home
  env: NodeJS.ProcessEnv
  config: Config
  signal: AbortSignal
  changed: () => void
  told: (text: string) => void
}

/** How far a long message is. */
export type Moving = Omit<Transfer, 'key'> & { name: string }

export class Post {
  readonly #options: PostOptions
  readonly #people: People
  /** The own copy of a message may say something new. */
  readonly #copied: (copy: Named) => Promise<void>
  #sender: Promise<Sender> | undefined
  /** Contacts of whom it was told that they are not there. */
  readonly #away = new Set<string>()
  readonly #transfers = new Map<string, Transfer>()

  constructor(options: PostOptions, people: People, copied: (copy: Named) => Promise<void>) {
    this.#options = options
    this.#people = people
    this.#copied = copied
  }

  /** Accepts a message for a contact or oneself: it is safe when this resolves. Throws Failure 65, 66, 74, 77. */
  async say(key: string, letter: Partial<Letter>): Promise<void> {
    const sender = await (this.#sender ??= this.#open())
    await sender.say(this.#people.keyring.byKey(key) ?? this.#people.self, letter)
  }

  async #open(): Promise<Sender> {
    const { Sender: Opened } = await import('./sender.ts')
    const { home, config, signal, env } = this.#options
    const queued = (copy: Queued): Promise<void> => this.#copied(copy)
    const progress = (transfer: Transfer): void => this.progress(transfer)
    return Opened.open({ home, config, signal, queued, progress, outcome: (outcome) => this.#outcome(outcome) }, this.#people.keyring, env)
  }

  async #outcome({ type, contact, queued, text = '' }: Outcome): Promise<void> {
    if (type === 'deferred' && !this.#away.has(contact.key)) this.#options.told(`${contact.name} is not there: it waits here until both are (${text})`)
    if (type === 'deferred') this.#away.add(contact.key)
    if (type === 'delivered') this.#away.delete(contact.key)
    if (type === 'refused') this.#options.told(`${contact.name} did not take it: ${text}`)
    await this.#copied(queued)
  }

  /** Contacts have changed. */
  async know(): Promise<void> {
    ;(await this.#sender)?.know(this.#people.keyring)
  }

  /** Resolves when all that is under way has ended. */
  async close(): Promise<void> {
    await (await this.#sender)?.close()
  }

  /** Long messages that are on their way now. */
  get moving(): Moving[] {
    return [...this.#transfers.values()].map(({ key, ...transfer }) => ({ ...transfer, name: this.#people.keyring.byKey(key)?.name ?? key }))
  }

  progress(transfer: Transfer): void {
    if (transfer.done < transfer.size) this.#transfers.set(transfer.id, transfer)
    else this.#transfers.delete(transfer.id)
    this.#options.changed()
  }

  /** A contact has left: what was on its way goes on when they meet again. */
  gone(key: string): void {
    for (const [id, transfer] of this.#transfers) if (transfer.key === key) this.#transfers.delete(id)
  }
}
