// A conversation as state: who there is, what was said, what becomes of it. Everything comes from the home's files and
// goes into them by the same calls as p2p-send's and p2p-inbox's, so that this program may die at any moment and
// another one may work beside it. What a screen or a line mode shows is read from here after each `changed`.

import { EX, Failure, ioFailure } from '../base/fail.ts'
import { quote } from '../base/text.ts'
import { loadHash } from '../crypto/suite.ts'
import { compose, limitFor, type Letter } from '../delivery/compose.ts'
import type { Outcome } from '../delivery/desk.ts'
import { Outbox } from '../delivery/outbox.ts'
import { arrivals } from '../disk/arrivals.ts'
import type { Config } from '../disk/config.ts'
import { checkSendable, type Contact, isWelcome } from '../disk/contact.ts'
import { Conversation, type Node } from '../disk/conversation.ts'
import type { Home } from '../disk/home.ts'
import type { Self } from '../disk/identity.ts'
import { openMessage, partContent, type View } from '../disk/inboxview.ts'
import { type Keyring, loadKeyring } from '../disk/keyring.ts'
import { setFlags } from '../disk/maildir.ts'
import { readMeeting } from '../disk/meetings.ts'
import { saveFile } from '../disk/savefile.ts'
import { seenEnd } from '../disk/seen.ts'
import { formatAddress } from '../wire/address.ts'
import type { Hash } from '../wire/envelope.ts'
import { collect } from '../wire/mailread.ts'
import { Company } from './company.ts'
import { chatMessage, type ChatMessage } from './message.ts'

/** Messages shown at first, and more of them each time somebody asks for earlier ones. */
export const PAGE = 100
/** Files that change are looked at once for all changes within so much time. */
const CALM_MS = 60
/** How long a message is offered at once; the listener goes on with it. */
const WAIT_MS = 20_000
/** Messages described at once. */
const PARALLEL = 16

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
  /** Something is to be drawn anew. */
  changed(): void
  /** A message has come, of whatever conversation; not one that was read here already. */
  arrived(message: ChatMessage, person: Person): void
  /** One sentence for a person. */
  told(text: string): void
}

export class Room {
  readonly #options: RoomOptions
  readonly #hash: Hash
  readonly #company: Company
  #keyring: Keyring
  #talk: Conversation
  #outbox: Outbox
  /** What belongs to the current conversation, oldest first, and what of it is described. */
  #nodes: Node[] = []
  #shown: ChatMessage[] = []
  #key: string
  #tallies = new Map<string, { unread: number; last: number }>()
  #met = new Map<string, number>()
  #here: 'listener' | 'own' | undefined
  /** One change at a time. */
  #turn: Promise<unknown> = Promise.resolve()
  readonly #done: Promise<unknown>[] = []

  private constructor(options: RoomOptions, hash: Hash, keyring: Keyring, talk: Conversation, key: string) {
    const { home, reread, signal } = options
    this.#options = options
    this.#hash = hash
    this.#keyring = keyring
    this.#talk = talk
    this.#key = key
    this.#outbox = this.#newOutbox()
    this.#company = new Company({
      home,
      reread,
      signal,
      onPeer: (peer, up) => void this.#peer(peer, up),
      onListener: (here, own) => {
        this.#here = here ? (own ? 'own' : 'listener') : undefined
        options.changed()
      },
      onNotice: (text) => options.told(text),
    })
  }

  /** Opens the home's conversations at that with `name`, else at the latest one. Throws Failure 67 as the resolver does. */
  static async open(options: RoomOptions, name?: string): Promise<Room> {
    const { home, env } = options
    const keyring = await loadKeyring(home)
    const end = await seenEnd(home)
    const first = name === undefined ? undefined : keyring.resolveAny(name).key
    const talk = await Conversation.read(viewOf(home, keyring))
    const room = new Room(options, await loadHash(env), keyring, talk, first ?? keyring.self.key)
    room.#count()
    if (first === undefined) room.#key = room.people.find(({ me }) => !me)?.key ?? keyring.self.key
    await room.enter(room.#key)
    for (const { key } of keyring.all()) await room.#meet(key)
    room.#done.push(room.#follow(end), room.#company.keep())
    room.#watchFiles()
    return room
  }

  /** Resolves when everything that is under way has ended; call after the signal fired. */
  async close(): Promise<void> {
    await this.#turn.catch(() => undefined)
    await this.#outbox.finish().catch(() => undefined)
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
    return this.#shown
  }

  /** Messages further back than those that are shown. */
  get earlier(): number {
    return this.#nodes.length - this.#shown.length
  }

  /** The message with this id among those that are shown. */
  byId(id: string): ChatMessage | undefined {
    return this.#shown.find((message) => message.id === id)
  }

  find(name: string): Person {
    const found = this.#keyring.resolveAny(name)
    if (!('me' in found)) checkSendable(found)
    return this.#person(found)
  }

  /** The conversation is another one at once; its messages are there when this resolves. */
  enter(key: string): Promise<void> {
    this.#key = key
    this.#nodes = []
    this.#shown = []
    this.#options.changed()
    return this.#inTurn(async () => {
      if (this.#key !== key) return // gone on meanwhile
      // A note to oneself is in both boxes.
      const boxes = key === this.self.key ? ['inbox'] : ['inbox', 'sent']
      this.#nodes = this.#talk.nodes.filter(({ entry, digest }) => boxes.includes(entry.box) && this.#belongs(entry.box, digest) === key)
      this.#shown = []
      await this.#older(PAGE)
    })
  }

  older(count = PAGE): Promise<void> {
    return this.#inTurn(() => this.#older(count))
  }

  /** Accepts a message for a contact or oneself: it is safe when this resolves. Throws Failure 65, 66, 74, 77. */
  async say(key: string, letter: Partial<Letter>): Promise<void> {
    const { home, config } = this.#options
    const to = this.#keyring.byKey(key) ?? this.self
    if (!('me' in to)) checkSendable(to)
    const composed = await compose(home, this.#hash, { attachments: [], ...letter }, limitFor(config, [to]))
    await this.#outbox.accept([{ to: [to], composed }])
    await this.#refreshSent()
  }

  /** Marks what is shown as seen: flag S, as mail programs do. */
  async markSeen(): Promise<void> {
    const unread = this.#shown.filter((message) => message.unread)
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
    const node = this.#nodes.find(({ entry }) => entry.base === message.entry.base)
    const found = node === undefined ? undefined : await this.#talk.message(node, 'parts')
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
    const node = this.#nodes.find(({ entry }) => entry.base === message.entry.base)
    const found = node === undefined ? undefined : await this.#talk.message(node, 'parts')
    if (found === undefined) return undefined
    return openMessage(this.#view, found, async (mail) => {
      const part = mail.parts.filter(({ kind }) => kind === 'file')[at]
      return part === undefined ? undefined : collect(partContent(this.#options.home, part), most)
    })
  }

  /** Messages of the current conversation that contain `words`, the latest last; loads the whole of it. */
  async search(words: string): Promise<ChatMessage[]> {
    await this.older(Infinity)
    const wanted = words.toLocaleLowerCase()
    const has = ({ text, subject, files }: ChatMessage): boolean =>
      [text, subject ?? '', ...files.map(({ name = '' }) => name)].some((each) => each.toLocaleLowerCase().includes(wanted))
    return this.#shown.filter(has)
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
      online: this.#company.isOnline(key),
      seen: this.#met.get(key),
      unread,
      last,
      moved: !me && one.sessionAddresses.length > 0,
    }
  }

  /** KEY of the other side of a message; notices of the program are notes to oneself. */
  #belongs(box: string, { key, toKey }: { key: string | undefined; toKey: string | undefined }): string {
    const other = box === 'sent' ? toKey : key
    return this.#keyring.all().find((contact) => contact.key.toLowerCase() === other?.toLowerCase())?.key ?? this.self.key
  }

  #count(): void {
    this.#tallies = new Map()
    const folded = new Map(this.#keyring.all().map(({ key }) => [key.toLowerCase(), key]))
    for (const { entry, digest } of this.#talk.nodes) {
      const other = entry.box === 'sent' ? digest.toKey : digest.key
      const key = folded.get(other?.toLowerCase() ?? '') ?? this.self.key
      const tally = this.#tallies.get(key) ?? { unread: 0, last: 0 }
      if (entry.box === 'inbox' && !entry.flags.includes('S') && !this.#talk.isAbout(digest)) tally.unread += 1
      tally.last = Math.max(tally.last, Number(entry.time / 1000n))
      this.#tallies.set(key, tally)
    }
  }

  async #older(count: number): Promise<void> {
    const to = this.#nodes.length - this.#shown.length
    const some = this.#nodes.slice(Math.max(0, to - count), to)
    const found: ChatMessage[] = []
    const key = this.#key
    for (let at = 0; at < some.length; at += PARALLEL) {
      const described = await Promise.all(some.slice(at, at + PARALLEL).map((node) => this.#describe(node)))
      for (const message of described) if (message !== undefined) found.push(message)
      if (this.#key !== key) return
    }
    // What says something about another one shows there, and is none of its own; one that vanished is none either.
    const shown = new Set(found.map(({ entry }) => entry.base))
    this.#nodes = this.#nodes.filter((node) => !some.includes(node) || shown.has(node.entry.base))
    this.#shown = [...found, ...this.#shown]
    this.#options.changed()
  }

  async #describe(node: Node): Promise<ChatMessage | undefined> {
    if (this.#talk.isAbout(node.digest)) return undefined
    const message = await this.#talk.message(node, 'text')
    if (message === undefined) return undefined
    await this.#talk.fold(message.info)
    return chatMessage(message, this.self.key)
  }

  /** What arrives, from a cursor on, whoever receives it. */
  async #follow(from: number): Promise<void> {
    const { home, signal } = this.#options
    for await (const { entry } of arrivals(home, from, { follow: true, signal })) {
      if (entry !== undefined) await this.#inTurn(() => this.#take(entry))
    }
  }

  async #take(entry: Node['entry']): Promise<void> {
    const node = await this.#talk.add(entry)
    if (node === undefined) return
    const key = this.#belongs(entry.box, node.digest)
    this.#count()
    if (this.#talk.isAbout(node.digest)) {
      await this.#retell(node.digest.target)
      if (entry.box === 'inbox') await this.#moved(await setFlags(this.#options.home, entry, { add: 'S' }))
    } else {
      const message = await this.#describe(node)
      if (message === undefined) return
      if (key === this.#key && (entry.box === 'inbox' || key !== this.self.key)) {
        this.#nodes.push(node)
        this.#shown = [...this.#shown, message]
      }
      const person = this.#person(this.#keyring.byKey(key) ?? this.self)
      if (!message.mine && message.unread) this.#options.arrived(message, person)
    }
    this.#options.changed()
  }

  /** Something was said about a message. */
  async #retell(id: string | undefined): Promise<void> {
    const at = this.#shown.findIndex((message) => message.id !== undefined && message.id === id)
    const node = this.#nodes.find(({ digest }) => digest.id !== undefined && digest.id === id)
    if (at < 0 || node === undefined) return
    const message = await this.#describe(node)
    if (message !== undefined) this.#shown = this.#shown.with(at, message)
  }

  /** A mail has another place or other flags now. */
  async #moved(entry: Node['entry'] | undefined): Promise<void> {
    const node = entry === undefined ? undefined : await this.#talk.add(entry)
    if (entry === undefined || node === undefined) return
    node.entry = entry
    const at = this.#shown.findIndex((shown) => shown.entry.base === entry.base && shown.entry.box === entry.box)
    const message = at < 0 ? undefined : await this.#describe(node)
    if (message !== undefined) this.#shown = this.#shown.with(at, message)
  }

  /** New copies in sent/, by whatever program, and those whose flags say something new. */
  #refreshSent(): Promise<void> {
    return this.#inTurn(async () => {
      for (const entry of await this.#talk.fresh('sent')) {
        if (this.#talk.has(entry)) await this.#moved(entry)
        else await this.#take(entry)
      }
      this.#options.changed()
    })
  }

  #watchFiles(): void {
    const { home, signal } = this.#options
    const calm = (work: () => Promise<void>): (() => void) => {
      let waiting = false
      return () => {
        if (waiting || signal.aborted) return
        waiting = true
        home.clock.after(CALM_MS, () => {
          waiting = false
          if (!signal.aborted) work().catch((error: unknown) => this.#options.told(String(error)))
        })
      }
    }
    const sent = home.files.watch(home.at('sent', 'cur'), calm(() => this.#refreshSent()))
    const contacts = home.files.watch(home.at('contacts'), calm(() => this.#reload()))
    signal.addEventListener('abort', () => (sent(), contacts()), { once: true })
  }

  #reload(): Promise<void> {
    return this.#inTurn(async () => {
      const { home } = this.#options
      const before = placesOf(this.contact)
      this.#keyring = await loadKeyring(home)
      this.#talk.view = this.#view
      this.#done.push(this.#outbox.finish().catch(() => undefined)) // it goes on with what it has
      this.#outbox = this.#newOutbox()
      this.#count()
      const { contact } = this
      if (contact !== undefined && before !== '' && placesOf(contact) !== before) this.#options.told(`${contact.name} has a new address`)
      this.#options.changed()
    })
  }

  #newOutbox(): Outbox {
    const { home, config, signal } = this.#options
    return new Outbox({
      home,
      keyring: this.#keyring,
      config,
      hash: this.#hash,
      waitMs: WAIT_MS,
      signal,
      teller: {
        queued: () => Promise.resolve(),
        noted: () => Promise.resolve(),
        outcome: (outcome) => this.#outcome(outcome),
      },
    })
  }

  async #outcome({ type, contact, text = '' }: Outcome): Promise<void> {
    if (type === 'deferred') this.#options.told(`${contact.name} is not there: it waits here until both are (${text})`)
    if (type === 'refused') this.#options.told(`${contact.name} did not take it: ${text}`)
    await this.#refreshSent()
  }

  async #peer(key: string, up: boolean): Promise<void> {
    if (!up) await this.#meet(key)
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
function placesOf(contact: Contact | undefined): string {
  return contact?.sessionAddresses.map(formatAddress).sort().join(' ') ?? ''
}

function viewOf(home: Home, keyring: Keyring): View {
  const { self } = keyring
  const nameOf = (key: string): string | undefined => keyring.byKey(key)?.name ?? (key === self.key ? self.name : undefined)
  return { home, nameOf, self: self.key }
}

/** The Nth message from the latest, 1, back, of those that `wanted` takes. Throws Failure 1 if there is none. */
export function nth(
  messages: readonly ChatMessage[],
  number: number | undefined,
  wanted: (message: ChatMessage) => boolean,
): ChatMessage & { id: string } {
  const found = number === undefined ? messages.filter(wanted).at(-1) : messages.at(-number)
  if (found === undefined) throw new Failure(EX.NEGATIVE, number === undefined ? 'there is no such message' : `there is no message ${number}`)
  if (!wanted(found)) throw new Failure(EX.NEGATIVE, `message ${number} is none of that kind: ${quote(found.text)}`)
  if (found.id === undefined) throw new Failure(EX.NEGATIVE, 'that message is not from a contact')
  return { ...found, id: found.id }
}
