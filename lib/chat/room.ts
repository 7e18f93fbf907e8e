// A conversation as state: who there is, what was said, what becomes of it. Everything comes from the home's files and
// goes into them by the same calls as p2p-send's and p2p-inbox's, so that this program may die at any moment and
// another one may work beside it. What a screen or a line mode shows is read from here after each `changed`.

import { sleep } from '../base/clock.ts'
import { EX, Failure, ioFailure } from '../base/fail.ts'
import type { Letter } from '../delivery/compose.ts'
import type { Outcome } from '../delivery/desk.ts'
import type { Transfer } from '../delivery/transfer.ts'
import { arrivals } from '../disk/arrivals.ts'
import type { Config } from '../disk/config.ts'
import { checkSendable, type Contact, isWelcome } from '../disk/contact.ts'
import { Conversation } from '../disk/conversation.ts'
import type { Home } from '../disk/home.ts'
import type { Self } from '../disk/self.ts'
import { openMessage, partContent, type View } from '../disk/inboxview.ts'
import { type Keyring, loadKeyring } from '../disk/keyring.ts'
import { changeTime, mailName, parseEntry, setFlags, type MailEntry } from '../disk/maildir.ts'
import { readMeeting } from '../disk/meetings.ts'
import type { Named, Queued } from '../disk/queued.ts'
import { saveFile } from '../disk/savefile.ts'
import { seenEnd } from '../disk/seen.ts'
import { formatAddress } from '../wire/address.ts'
import { collect } from '../wire/mailread.ts'
import type { Company } from './company.ts'
import { type Found, History, PAGE } from './history.ts'
import type { ChatMessage } from './message.ts'
import type { Sender } from './sender.ts'

/** Files that change are looked at once for all changes within so much time; of more changes the whole folder is. */
const CALM_MS = 60
const NAMES_MAX = 200
export interface Person {
  readonly key: string
  readonly name: string
  readonly me: boolean
  readonly verified: boolean
  readonly online: boolean
  /** Unix ms of the last session, if there was one. */
  readonly seen: number | undefined
  readonly unread: number
  /** Unix ms of the latest message either way; 0 if there is none. */
  readonly last: number
  /** The present addresses came in a session: no person has seen them. */
  readonly moved: boolean
}

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
  readonly #options: RoomOptions
  #company: Company | undefined
  #keyring: Keyring
  #talk: Conversation
  /** From the first message on. */
  #sender: Promise<Sender> | undefined
  /** The current conversation; none while it is being entered. */
  #history: History | undefined
  #key: string
  /** The conversation that each KEY in the mails belongs to, by the numbers that they have there. */
  #places: string[] = []
  #tallies = new Map<string, { unread: number; last: number }>()
  #met = new Map<string, number>()
  readonly #transfers = new Map<string, Transfer>()
  /** What has come later is to be told. */
  #end = 0
  #here: 'listener' | 'own' | undefined
  /** One change at a time. */
  #turn: Promise<unknown> = Promise.resolve()
  readonly #done: Promise<unknown>[] = []

  private constructor(options: RoomOptions, keyring: Keyring, talk: Conversation, key: string) {
    this.#options = options
    this.#keyring = keyring
    this.#talk = talk
    this.#key = key
  }

  /** Opens the home's conversations at that with `name`, else at the latest one. Throws Failure 67 as the resolver does. */
  static async open(options: RoomOptions, name?: string): Promise<Room> {
    const { home } = options
    const keyring = await loadKeyring(home)
    const end = await seenEnd(home)
    const first = name === undefined ? undefined : keyring.resolveAny(name).key
    const talk = await Conversation.read(viewOf(home, keyring))
    const room = new Room(options, keyring, talk, first ?? keyring.self.key)
    room.#end = end
    room.#count()
    if (first === undefined) room.#key = room.people.find(({ me }) => !me)?.key ?? keyring.self.key
    await room.enter(room.#key, options.enough)
    for (const { key } of keyring.all()) await room.#meet(key)
    return room
  }

  /** From here on it follows what happens, with a listener beside it. */
  start(): void {
    this.#done.push(this.#follow(this.#end), this.#keepCompany(), this.#move((history) => history.fill()))
    this.#watchFiles()
  }

  async #keepCompany(): Promise<void> {
    const { Company: Beside } = await import('./company.ts') // most of the program is in it
    const { home, reread, signal, changed, told } = this.#options
    this.#company = new Beside({
      home,
      reread,
      signal,
      onPeer: (peer, up) => void this.#peer(peer, up),
      onListener: (here, own) => {
        this.#here = here ? (own ? 'own' : 'listener') : undefined
        changed()
      },
      onNotice: told,
      onProgress: (transfer) => this.#progress(transfer),
    })
    await this.#company.keep()
  }

  /** Resolves when everything that is under way has ended; call after the signal fired. */
  async close(): Promise<void> {
    await this.#turn.catch(() => undefined)
    await (await this.#sender)?.close()
    await Promise.all(this.#done)
  }

  get self(): Self {
    return this.#keyring.self
  }

  get listener(): 'listener' | 'own' | undefined {
    return this.#here
  }

  /** Who may be talked to: the latest conversation first, those without one by name, oneself last. */
  get people(): Person[] {
    const { self } = this.#keyring
    const contacts = this.#keyring.all().filter(isWelcome).map((contact) => this.#person(contact))
    contacts.sort((a, b) => b.last - a.last || (a.name < b.name ? -1 : 1))
    return [...contacts, this.#person(self)]
  }

  get current(): Person {
    return this.#person(this.#keyring.byKey(this.#key) ?? this.#keyring.self)
  }

  /** The contact of the current conversation; undefined for notes to oneself. */
  get contact(): Contact | undefined {
    return this.#keyring.byKey(this.#key)
  }

  /** Oldest first. */
  get messages(): readonly ChatMessage[] {
    return this.#history?.shown ?? []
  }

  /** Long messages that are on their way now. */
  get transfers(): { id: string; name: string; direction: 'in' | 'out'; done: number; size: number }[] {
    return [...this.#transfers.values()].map(({ key, ...transfer }) => ({ ...transfer, name: this.#keyring.byKey(key)?.name ?? key }))
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
    const found = this.#keyring.resolveAny(name)
    if (!('me' in found)) checkSendable(found)
    return this.#person(found)
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

  /** Accepts a message for a contact or oneself: it is safe when this resolves. Throws Failure 65, 66, 74, 77. */
  async say(key: string, letter: Partial<Letter>): Promise<void> {
    const sender = await (this.#sender ??= this.#openSender())
    await sender.say(this.#keyring.byKey(key) ?? this.self, letter)
  }

  async #openSender(): Promise<Sender> {
    const { Sender: Opened } = await import('./sender.ts')
    const { home, config, signal, env } = this.#options
    const queued = (copy: Queued): Promise<void> => this.#refreshCopy(copy)
    const progress = (transfer: Transfer): void => this.#progress(transfer)
    return Opened.open({ home, config, signal, queued, progress, outcome: (outcome) => this.#outcome(outcome) }, this.#keyring, env)
  }

  /** Marks what is shown as seen: flag S, as mail programs do. */
  async markSeen(): Promise<void> {
    const unread = this.messages.filter((message) => message.unread)
    if (unread.length === 0) return
    await this.#inTurn(async () => {
      for (const { entry } of unread) await this.#moved(await setFlags(this.#options.home, entry, { add: 'S' }))
      this.#count()
      this.#options.changed()
    })
  }

  /** Saves the files of a message into a folder; the paths. Throws Failure 1 if it has none. */
  async save(message: ChatMessage, folder: string): Promise<string[]> {
    const { home } = this.#options
    const row = this.#talk.find(message.entry)
    const found = row < 0 ? undefined : await this.#talk.message(row, 'parts')
    if (found === undefined) throw new Failure(EX.NEGATIVE, 'that message was deleted')
    await home.files.mkdir(folder).catch((error: unknown) => {
      throw ioFailure(error, `cannot create ${folder}`)
    })
    return openMessage(this.#view, found, async (mail) => {
      const paths: string[] = []
      for (const part of mail.parts.filter(({ kind }) => kind === 'file')) {
        paths.push(await saveFile(home.files, folder, part.name, () => partContent(home, part)))
      }
      if (paths.length === 0) throw new Failure(EX.NEGATIVE, 'that message has no files')
      return paths
    })
  }

  /** The bytes of the file at this place among a message's; undefined if it is gone or larger than `most`. */
  async fileOf(message: ChatMessage, at: number, most: number): Promise<Uint8Array | undefined> {
    const row = this.#talk.find(message.entry)
    const found = row < 0 ? undefined : await this.#talk.message(row, 'parts')
    if (found === undefined) return undefined
    return openMessage(this.#view, found, async (mail) => {
      const part = mail.parts.filter(({ kind }) => kind === 'file')[at]
      return part === undefined ? undefined : collect(partContent(this.#options.home, part), most)
    })
  }

  /** Messages of the current conversation that contain `words`, the latest last. */
  async search(words: string): Promise<Found[]> {
    const { home, signal } = this.#options
    return (this.#history ?? this.#newHistory()).search(words, signal, () => sleep(home.clock, 0, signal))
  }

  #newHistory(): History {
    const key = this.#key
    const own = key === this.self.key // a note to oneself is in both boxes
    return new History(this.#talk, this.self.key, (row) => this.#placeOf(row) === key && (!own || this.#talk.roll.boxOf(row) === 'inbox'))
  }

  get #view(): View {
    return viewOf(this.#options.home, this.#keyring)
  }

  #person(one: Contact | Self): Person {
    const { key } = one
    const { unread = 0, last = 0 } = this.#tallies.get(key) ?? {}
    const me = 'me' in one
    return {
      key,
      name: me ? 'me' : one.name,
      me,
      verified: me || one.verified !== undefined,
      online: this.#company?.isOnline(key) === true,
      seen: this.#met.get(key),
      unread,
      last,
      moved: !me && one.sessionAddresses.length > 0,
    }
  }

  /** KEY of the other side of a message; notices of the program are notes to oneself. */
  #placeOf(row: number): string {
    const number = this.#talk.otherOf(row)
    return (this.#places[number] ??= this.#keyring.all().find(({ key }) => key.toLowerCase() === this.#talk.keyOf(number)?.toLowerCase())?.key ?? this.self.key)
  }

  #count(): void {
    const { roll } = this.#talk
    this.#tallies = new Map()
    for (let row = 0; row < roll.count; row++) {
      if (!this.#talk.isKnown(row)) continue
      const key = this.#placeOf(row)
      let tally = this.#tallies.get(key)
      if (tally === undefined) this.#tallies.set(key, (tally = { unread: 0, last: 0 }))
      if (roll.isUnseen(row) && roll.boxOf(row) === 'inbox' && !this.#talk.isAbout(row)) tally.unread += 1
      tally.last = Math.max(tally.last, Math.floor(roll.timeOf(row) / 1000))
    }
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
    const key = this.#placeOf(row)
    this.#count()
    if (this.#talk.isAbout(row)) {
      await this.#history?.renew(this.#talk.rowOf(this.#talk.digest(row).target ?? ''))
      if (entry.box === 'inbox') await this.#moved(await setFlags(this.#options.home, entry, { add: 'S' }))
    } else {
      const history = this.#history ?? this.#newHistory()
      const message = await history.read(row)
      if (message === undefined) return
      if (key === this.#key && (entry.box === 'inbox' || key !== this.self.key)) this.#history?.append(row, message)
      const person = this.#person(this.#keyring.byKey(key) ?? this.self)
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
      for (const entry of names === undefined ? await this.#talk.fresh('sent') : await this.#named(names)) {
        if (this.#talk.find(entry) < 0) await this.#take(entry)
        else await this.#moved(entry)
      }
      this.#options.changed()
    })
  }

  /** Those of these names in sent/cur/ that are there and say something new. */
  async #named(names: readonly string[]): Promise<MailEntry[]> {
    const { home } = this.#options
    const found: MailEntry[] = []
    for (const name of names) {
      const entry = parseEntry(home, 'sent', 'cur', name)
      if (entry === undefined || (await home.files.stat(entry.path)) === undefined) continue
      if (entry.time < 0n) entry.time = await changeTime(home, entry)
      const row = this.#talk.find(entry)
      if (row < 0 || this.#talk.entry(row).path !== entry.path) found.push(entry)
    }
    return found
  }

  /** The own copy of a message, with the flags that it has now as a rule; a mail program may have given it others. */
  #refreshCopy({ created, id }: Named): Promise<void> {
    const base = mailName(created, id)
    return this.#refreshSent([`${base}:2,FS`, `${base}:2,S`, `${base}:2,ST`])
  }

  #watchFiles(): void {
    const { home, signal } = this.#options
    const calm = (work: (names: readonly string[] | undefined) => Promise<void>): ((name?: string) => void) => {
      const names = new Set<string | undefined>()
      return (name) => {
        if (signal.aborted) return
        if (names.size <= NAMES_MAX) names.add(name)
        if (names.size > 1) return
        home.clock.after(CALM_MS, () => {
          const some = [...names].filter((each) => each !== undefined)
          const all = some.length < names.size || some.length > NAMES_MAX
          names.clear()
          if (!signal.aborted) work(all ? undefined : some).catch((error: unknown) => this.#options.told(String(error)))
        })
      }
    }
    const sent = home.files.watch(home.at('sent', 'cur'), calm((names) => this.#refreshSent(names)))
    const contacts = home.files.watch(home.at('contacts'), calm(() => this.reload()))
    signal.addEventListener('abort', () => (sent(), contacts()), { once: true })
  }

  /** Contacts are read anew, and what is new about them told. */
  reload(): Promise<void> {
    return this.#inTurn(async () => {
      const { home, told } = this.#options
      const before = new Map(this.#keyring.all().map((contact) => [contact.key, placesOf(contact)]))
      this.#keyring = await loadKeyring(home)
      this.#places = []
      this.#talk.view = this.#view
      ;(await this.#sender)?.know(this.#keyring)
      this.#count()
      for (const contact of this.#keyring.all().filter(isWelcome)) {
        const was = before.get(contact.key)
        if (was === undefined) told(`${contact.name} is a contact now: /to ${contact.name}`)
        else if (was !== '' && placesOf(contact) !== was) told(`${contact.name} has another address now, which came by a call that only ${contact.name} could make`)
      }
      this.#options.changed()
    })
  }

  async #outcome({ type, contact, queued, text = '' }: Outcome): Promise<void> {
    if (type === 'deferred') this.#options.told(`${contact.name} is not there: it waits here until both are (${text})`)
    if (type === 'refused') this.#options.told(`${contact.name} did not take it: ${text}`)
    await this.#refreshCopy(queued)
  }

  #progress(transfer: Transfer): void {
    if (transfer.done < transfer.size) this.#transfers.set(transfer.id, transfer)
    else this.#transfers.delete(transfer.id)
    this.#options.changed()
  }

  async #peer(key: string, up: boolean): Promise<void> {
    if (!up) {
      await this.#meet(key)
      for (const [id, transfer] of this.#transfers) if (transfer.key === key) this.#transfers.delete(id) // it goes on when they meet again
    }
    this.#options.changed()
  }

  async #meet(key: string): Promise<void> {
    const met = await readMeeting(this.#options.home, key)
    if (met !== undefined) this.#met.set(key, met.at)
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work, work)
    this.#turn = turn.catch(() => undefined)
    return turn
  }
}

/** Where a contact says it is; '' if it never said so. */
function placesOf(contact: Contact): string {
  return contact.sessionAddresses.map(formatAddress).sort().join(' ')
}

function viewOf(home: Home, keyring: Keyring): View {
  const { self } = keyring
  const nameOf = (key: string): string | undefined => keyring.byKey(key)?.name ?? (key === self.key ? self.name : undefined)
  return { home, nameOf, self: self.key }
}
