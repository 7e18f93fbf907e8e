// A conversation as state: who there is, what was said, what becomes of it. Everything comes from the home's files and
// goes into them by the same calls as p2p-send's and p2p-inbox's, so that this program may die at any moment and
// another one may work beside it. What a screen or a line mode shows is read from here after each `changed`.

import { sleep } from '../base/clock.ts'
import type { Letter } from '../delivery/compose.ts'
import { arrivals } from '../disk/arrivals.ts'
import type { Config } from '../disk/config.ts'
import { checkSendable, type Contact } from '../disk/contact.ts'
import { Conversation } from '../disk/conversation.ts'
import type { Home } from '../disk/home.ts'
import type { Self } from '../disk/self.ts'
import { loadKeyring } from '../disk/keyring.ts'
import { setFlags, type MailEntry } from '../disk/maildir.ts'
import { seenEnd } from '../disk/seenlog.ts'
import { bytesOfFile, saveFiles } from './attached.ts'
import { type Found, History, PAGE } from './history.ts'
import type { ChatMessage } from './message.ts'
import { People, type Person } from './people.ts'
import { type Moving, Post } from './post.ts'
import { Presence } from './presence.ts'
import { changedCopies, copyNames, watchCalmly } from './watching.ts'

export interface RoomOptions {
  home: Home
  env: NodeJS.ProcessEnv
  config: Config
  reread: () => Promise<Config>
  signal: AbortSignal
  /** Whether these messages are enough to be shown at first: the rest of a page is read after that. A page without. */
  enough?: ((shown: readonly ChatMessage[]) => boolean) | undefined
  /** Something is to be drawn anew. */
  changed: () => void
  /** A message has come, of whatever conversation; not one that was read here already. */
  arrived(message: ChatMessage, person: Person): void
  /** One sentence for a person. */
  told: (text: string) => void
}

export class Room {
  readonly presence: Presence
  readonly #options: RoomOptions
  readonly #people: People
  readonly #talk: Conversation
  readonly #post: Post
  /** The current conversation; none while it is being entered. */
  #history: History | undefined
  #key: string
  /** What has come later is to be told. */
  #end = 0
  /** One change at a time. */
  #turn: Promise<unknown> = Promise.resolve()
  readonly #done: Promise<unknown>[] = []

  private constructor(options: RoomOptions, presence: Presence, people: People, talk: Conversation, key: string) {
    this.presence = presence
    this.#options = options
    this.#people = people
    this.#talk = talk
    this.#post = new Post(options, people, (copy) => this.#refreshSent(copyNames(copy)))
    this.#key = key
  }

  /** Opens the home's conversations at that with `name`, else at the latest one. Throws Failure 67 as the resolver does. */
  static async open(options: RoomOptions, name?: string): Promise<Room> {
    const { home } = options
    const keyring = await loadKeyring(home)
    const end = await seenEnd(home)
    const first = name === undefined ? undefined : keyring.resolveAny(name).key
    const presence = new Presence()
    const people = new People(home, keyring, presence)
    const talk = await Conversation.read(people.view)
    people.count(talk)
    const room = new Room(options, presence, people, talk, first ?? people.all.find(({ me }) => !me)?.key ?? keyring.self.key)
    room.#end = end
    await room.enter(room.#key, options.enough)
    for (const { key } of keyring.all()) await people.meet(key)
    return room
  }

  /** From here on it follows what happens, with a listener beside it. */
  start(): void {
    this.#done.push(this.#follow(this.#end), this.#keepCompany(), this.#move((history) => history.fill()))
    this.#watchFiles()
  }

  async #keepCompany(): Promise<void> {
    const { Company } = await import('./company.ts') // most of the program is in it
    const { home, reread, signal, changed, told } = this.#options
    const company = new Company({
      home,
      reread,
      signal,
      presence: this.presence,
      onPeer: (peer, up) => void this.#peer(peer, up),
      onListener: changed,
      onNotice: told,
      onProgress: (transfer) => this.#post.progress(transfer),
    })
    await company.keep()
  }

  /** Resolves when everything that is under way has ended; call after the signal fired. */
  async close(): Promise<void> {
    await this.#turn.catch(() => undefined)
    await this.#post.close()
    await Promise.all(this.#done)
  }

  get self(): Self {
    return this.#people.self
  }

  /** Who may be talked to: the latest conversation first, those without one by name, oneself last. */
  get people(): Person[] {
    return this.#people.all
  }

  get current(): Person {
    return this.#people.byKey(this.#key)
  }

  /** The contact of the current conversation; undefined for notes to oneself. */
  get contact(): Contact | undefined {
    return this.#people.keyring.byKey(this.#key)
  }

  /** Oldest first. */
  get messages(): readonly ChatMessage[] {
    return this.#history?.shown ?? []
  }

  /** Long messages that are on their way now. */
  get transfers(): Moving[] {
    return this.#post.moving
  }

  /** While its messages are being read. */
  get entering(): boolean {
    return this.#history === undefined
  }

  /** Messages further back than those that are shown, and later ones. */
  get earlier(): number {
    return this.#history?.earlier ?? 0
  }

  get later(): number {
    return this.#history?.later ?? 0
  }

  /** The message with this id among those that are shown. */
  byId(id: string): ChatMessage | undefined {
    return this.messages.find((message) => message.id === id)
  }

  /** As History.nth(). */
  async nth(number: number | undefined, wanted: (message: ChatMessage) => boolean): Promise<ChatMessage & { id: string }> {
    return (this.#history ?? this.#newHistory()).nth(number, wanted)
  }

  find(name: string): Person {
    const found = this.#people.keyring.resolveAny(name)
    if (!('me' in found)) checkSendable(found)
    return this.#people.of(found)
  }

  /** The conversation is another one at once; its messages, or `enough` of them, are there when this resolves. */
  enter(key: string, enough?: RoomOptions['enough']): Promise<void> {
    this.#key = key
    this.#history = undefined
    this.#options.changed()
    return this.#inTurn(async () => {
      if (this.#key !== key) return // gone on meanwhile
      const history = this.#newHistory()
      await history.latest(enough)
      if (this.#key !== key) return
      this.#history = history
      this.#options.changed()
    })
  }

  /** Earlier messages into the window, later ones, or the latest again. */
  older(count = PAGE): Promise<void> {
    return this.#move((history) => history.older(count))
  }

  newer(count = PAGE): Promise<void> {
    return this.#move((history) => history.newer(count))
  }

  latest(): Promise<void> {
    return this.#move((history) => (history.later > 0 ? history.latest() : Promise.resolve()))
  }

  #move(work: (history: History) => Promise<void>): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#history !== undefined) await work(this.#history)
      this.#options.changed()
    })
  }

  /** As Post.say(). */
  say(key: string, letter: Partial<Letter>): Promise<void> {
    return this.#post.say(key, letter)
  }

  /** Marks what is shown as seen: flag S, as mail programs do. */
  async markSeen(): Promise<void> {
    const unread = this.messages.filter((message) => message.unread)
    if (unread.length === 0) return
    await this.#inTurn(async () => {
      for (const { entry } of unread) await this.#moved(await setFlags(this.#options.home, entry, { add: 'S' }))
      this.#people.count(this.#talk)
      this.#options.changed()
    })
  }

  /** As saveFiles(). */
  save(message: ChatMessage, folder: string): Promise<string[]> {
    return saveFiles(this.#options.home, this.#talk, message, folder)
  }

  /** As bytesOfFile(). */
  fileOf(message: ChatMessage, at: number, most: number): Promise<Uint8Array | undefined> {
    return bytesOfFile(this.#options.home, this.#talk, message, at, most)
  }

  /** Messages of the current conversation that contain `words`, the latest last. */
  async search(words: string): Promise<Found[]> {
    const { home, signal } = this.#options
    return (this.#history ?? this.#newHistory()).search(words, signal, () => sleep(home.clock, 0, signal))
  }

  #newHistory(): History {
    const key = this.#key
    const own = key === this.self.key // a note to oneself is in both boxes
    return new History(this.#talk, this.self.key, (row) => this.#people.placeOf(this.#talk, row) === key && (!own || this.#talk.roll.boxOf(row) === 'inbox'))
  }

  /** What arrives, from a cursor on, whoever receives it. */
  async #follow(from: number): Promise<void> {
    const { home, signal } = this.#options
    for await (const { entry } of arrivals(home, from, { follow: true, signal })) {
      if (entry !== undefined) await this.#inTurn(() => this.#take(entry))
    }
  }

  async #take(entry: MailEntry): Promise<void> {
    const row = await this.#talk.add(entry)
    if (row === undefined) return
    const key = this.#people.placeOf(this.#talk, row)
    this.#people.count(this.#talk)
    if (this.#talk.isSilent(row)) {
      await this.#history?.renew(this.#talk.rowOf(this.#talk.table.facts(row).target ?? ''))
      if (entry.box === 'inbox') await this.#moved(await setFlags(this.#options.home, entry, { add: 'S' }))
    } else {
      const history = this.#history ?? this.#newHistory()
      const message = await history.read(row)
      if (message === undefined) return
      if (key === this.#key && (entry.box === 'inbox' || key !== this.self.key)) this.#history?.append(row, message)
      const person = this.#people.byKey(key)
      if (!message.mine && message.unread) this.#options.arrived(message, person)
    }
    this.#options.changed()
  }

  /** A mail has another place or other flags now. */
  async #moved(entry: MailEntry | undefined): Promise<void> {
    const row = entry === undefined ? undefined : await this.#talk.add(entry)
    if (row !== undefined) await this.#history?.renew(row)
  }

  /** Copies in sent/ that are new, by whatever program, and those whose flags say something new: of these names, or all. */
  #refreshSent(names?: readonly string[]): Promise<void> {
    return this.#inTurn(async () => {
      for (const entry of await changedCopies(this.#options.home, this.#talk, names)) {
        if (this.#talk.find(entry) < 0) await this.#take(entry)
        else await this.#moved(entry)
      }
      this.#options.changed()
    })
  }

  #watchFiles(): void {
    const { home, signal, told } = this.#options
    const failed = (error: unknown): void => told(String(error))
    watchCalmly(home, home.at('sent', 'cur'), signal, (names) => this.#refreshSent(names), failed)
    watchCalmly(home, home.at('contacts'), signal, () => this.reload(), failed)
  }

  /** Contacts are read anew, and what is new about them told. */
  reload(): Promise<void> {
    return this.#inTurn(async () => {
      const news = await this.#people.reload()
      this.#talk.view = this.#people.view
      await this.#post.know()
      this.#people.count(this.#talk)
      for (const each of news) this.#options.told(each)
      this.#options.changed()
    })
  }

  async #peer(key: string, up: boolean): Promise<void> {
    if (!up) {
      await this.#people.meet(key)
      this.#post.gone(key)
    }
    this.#options.changed()
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work, work)
    this.#turn = turn.catch(() => undefined)
    return turn
  }
}
