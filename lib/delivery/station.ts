// What one process needs to talk for a home: keys, keyring, inbox, and the two ways a link begins: called or calling.
// Every session of the process is made here, so that what contacts tell about themselves and what becomes of messages
// is handled once, whether a listener, a flush or a single p2p-send is at work.

import { equal } from '../base/bytes.ts'
import { EX, Failure } from '../base/fail.ts'
import { loadSuite, type PrivateKey, type Suite } from '../crypto/suite.ts'
import { Config } from '../disk/config.ts'
import type { Contact } from '../disk/contact.ts'
import { nextHelloTime } from '../disk/hellos.ts'
import type { Home } from '../disk/home.ts'
import { instanceOf } from '../disk/instance.ts'
import { loadTransportKeys } from '../disk/identity.ts'
import { type Delivered, Inbox } from '../disk/inbox.ts'
import { type Keyring, loadKeyring } from '../disk/keyring.ts'
import type { KnockRequest } from '../disk/quarantine.ts'
import type { Queued } from '../disk/queued.ts'
import { forgetOldKey, KEY_AGE_MS, keyAge } from '../disk/rotation.ts'
import type { Responder } from '../net/answer.ts'
import type { GreetOptions } from '../net/greeting.ts'
import type { Link } from '../net/link.ts'
import type { PipeFrame } from '../wire/frame.ts'
import type { Payload2 } from '../wire/hello.ts'
import { type Claim, Door } from './door.ts'
import { Admission, isFullDisk } from './limits.ts'
import { takeTurns } from './meeting.ts'
import { MeetingNotes } from './meetingnotes.ts'
import { NewsDesk } from './news.ts'
import { Passing } from './passing.ts'
import { Postmaster } from './postmaster.ts'
import { type ConnectOptions, Reach } from './reach.ts'
import { Session } from './session.ts'
import { Thinner, type Transfer } from './transfer.ts'
import type { DialTrouble } from './trouble.ts'
import { Whereabouts } from './whereabouts.ts'

export interface StationEvents {
  delivered?(queued: Queued, contact: Contact, elapsedMs: number): void
  deferred?(queued: Queued, contact: Contact, reason: string, text: string, next: number): void
  /** Given up for good: it stands in failed/, and a bounce is in the own inbox. */
  failed?(queued: Queued, contact: Contact, reason: string, text: string, bounce: Delivered | undefined): void
  received?(message: Delivered, contact: Contact): void
  /** How far a long transfer is: now and then, and at its end. */
  progress?(transfer: Transfer, contact: Contact): void
  /** Something a person should know about a contact: what the notice that came into the own inbox is about, or a copy. */
  noticed?(text: string, contact?: Contact): void
  /** A stranger asks to be a contact. */
  requested?(request: KnockRequest): void
  /** A contact's addresses or token changed. */
  changed?(contact: Contact): void
  /** Something that does not stop the work but that a person should know. */
  trouble?(error: unknown): void
  /** A frame of a pipe; false: out of turn. Without, this process has no pipes. */
  pipe?(frame: PipeFrame, session: Session): boolean
}

export class Station {
  readonly home: Home
  readonly suite: Suite
  readonly admission: Admission
  readonly postmaster: Postmaster
  readonly whereabouts: Whereabouts
  readonly #instance: Uint8Array
  #keys: PrivateKey[]
  readonly #events: StationEvents
  readonly #hooks: ((key: string) => boolean) | undefined
  #keyring: Keyring
  #config: Config
  #inbox: Promise<Inbox> | undefined
  readonly #news: NewsDesk
  readonly #reach: Reach
  readonly #door: Door
  readonly #meetings: MeetingNotes

  private constructor(
    home: Home,
    suite: Suite,
    keyring: Keyring,
    keys: PrivateKey[],
    instance: Uint8Array,
    options: StationOptions,
  ) {
    this.home = home
    this.suite = suite
    this.#instance = instance
    this.whereabouts = new Whereabouts(home, () => this.#keyring.self)
    this.#config = options.config ?? new Config()
    this.admission = new Admission(home, () => this.#config)
    this.#keyring = keyring
    this.#keys = keys
    this.#events = options.events ?? {}
    this.#hooks = options.hooks
    this.#news = new NewsDesk({
      home,
      keyring: () => this.#keyring,
      reload: () => this.reload(),
      changed: (contact) => this.#events.changed?.(contact),
      trouble: (error) => this.#events.trouble?.(error),
    })
    this.postmaster = new Postmaster({
      home,
      suite,
      self: () => this.#keyring.self,
      config: () => this.#config,
      inbox: () => this.inbox(),
      introduced: async (contact) => {
        await this.reload()
        this.#events.changed?.(this.#keyring.byKey(contact.key) ?? contact)
      },
      failed: (queued, contact, reason, text, bounce) => this.#events.failed?.(queued, contact, reason, text, bounce),
      noticed: (text, contact) => this.#events.noticed?.(text, contact),
      trouble: (error) => this.#events.trouble?.(error),
    })
    this.#meetings = new MeetingNotes({
      home,
      ownSeq: () => this.#keyring.self.token.seq,
      noticed: (text, contact) => this.#events.noticed?.(text, contact),
    })
    this.#reach = new Reach({
      home,
      suite,
      self: () => this.#keyring.self,
      ownKey: () => this.ownKey,
      neighbour: (key) => this.whereabouts.neighbour(key),
      config: () => this.#config,
      stamp: options.stamp ?? (() => nextHelloTime(home)),
    })
    this.#door = new Door({
      home,
      suite,
      config: () => this.#config,
      keyring: () => this.#keyring,
      keys: () => this.#keys,
      reload: () => this.reload(),
      news: this.#news,
      requested: (request) => this.#events.requested?.(request),
    })
  }

  static async open(home: Home, keyring: Keyring, options: StationOptions = {}): Promise<Station> {
    const suite = await loadSuite(process.env)
    const keys = await loadTransportKeys(home, suite, keyring.self.token)
    return new Station(home, suite, keyring, keys, await instanceOf(home, suite), options)
  }

  async close(): Promise<void> {
    await Promise.all([this.#news.close(), this.postmaster.idle(), this.#meetings.idle()])
    await (await this.#inbox)?.close()
  }

  get keyring(): Keyring {
    return this.#keyring
  }

  get config(): Config {
    return this.#config
  }

  /** Other settings from now on; sessions that are open keep the limits they have told. */
  configure(config: Config): void {
    this.#config = config
  }

  /** The commands that the settings have for messages of this contact (KEY), see Config.hooksOf. */
  hooksOf(key: string): ReturnType<Config['hooksOf']> {
    return this.#config.hooksOf(this.#keyring, key)
  }

  /** Reads identity, contacts and, if they were renewed, transport keys anew. */
  async reload(): Promise<void> {
    const keyring = await loadKeyring(this.home)
    const { transport } = keyring.self.token
    if (!equal(transport, this.#keyring.self.token.transport)) this.#keys = await loadTransportKeys(this.home, this.suite)
    this.#keyring = keyring
  }

  /** Once a day: an old key is deleted when its time is over, and the owner reminded of one that should be replaced. */
  async tendKeys(): Promise<void> {
    await forgetOldKey(this.home, this.suite)
    this.#keys = await loadTransportKeys(this.home, this.suite)
    if (((await keyAge(this.home)) ?? 0) > KEY_AGE_MS) await this.postmaster.remindOfKey()
  }

  /** The receiving side of the home, opened when it is first needed. */
  inbox(): Promise<Inbox> {
    this.#inbox ??= Inbox.open(this.home, this.suite, this.#keyring.self, {
      hooks: this.#hooks ?? ((key) => this.hooksOf(key) !== undefined),
      chatThreads: () => this.#config.chatThreads,
    })
    return this.#inbox
  }

  /** A link to a contact, or why there is none. */
  async connect(contact: Contact, options: ConnectOptions = {}): Promise<{ link: Link } | DialTrouble> {
    const outcome = await this.#reach.connect(contact, options)
    if ('link' in outcome) this.greeted(contact, outcome.link)
    else if (outcome.reason === 'timeout') return { ...outcome, ...this.whereabouts.hopelessness(contact) }
    return outcome
  }

  /** What a hello to this contact says; `forget` what is secret in it once the calls are over. */
  greeting(contact: Contact): Promise<{ greeting: GreetOptions; forget: () => void }> {
    return this.#reach.greeting(contact)
  }

  /** What the contact said when it answered our hello. */
  greeted(contact: Contact, link: Link): void {
    if (!link.initiator) return
    const { token, observed } = link.hello as Payload2
    if (token.length > 0) this.#news.learn(contact, { token })
    if (link.carrier === 'udp' && observed !== undefined) this.whereabouts.outside.note(contact.key, observed)
  }

  /** The own transport keys: the one in the own token, and maybe an older one. */
  get keys(): readonly PrivateKey[] {
    return this.#keys
  }

  /** The one of the own token. */
  get ownKey(): PrivateKey {
    const { transport } = this.#keyring.self.token
    const key = this.#keys.find((each) => equal(each.publicKey, transport)) ?? this.#keys[0]
    if (key === undefined) throw new Failure(EX.CONFIG, 'no transport key')
    return key
  }

  /** A session over a link with this contact. `receive`: messages are taken in, too. */
  async session(link: Link, contact: Contact, options: { oneShot: boolean; receive: boolean }): Promise<Session> {
    const events = this.#events
    let inbox: Inbox | undefined
    try {
      if (options.receive) inbox = await this.inbox()
    } catch (error) {
      if (!isFullDisk(error)) {
        link.close()
        throw error
      }
      this.#inbox = undefined // another time; what waits is sent all the same
    }
    // A contact may be renamed, verified or limited while a session lasts.
    const now = (): Contact => this.#keyring.byKey(contact.key) ?? contact
    this.postmaster.introduce(now())
    const far = new Thinner(this.home.clock, (transfer) => events.progress?.(transfer, now()))
    let turns: boolean | undefined // what the meeting that is being noted says of it
    return new Session({
      home: this.home,
      instance: this.#instance,
      hash: this.suite,
      clock: this.home.clock,
      random: this.home.random,
      link,
      contact: now,
      inbox,
      admission: this.admission,
      place: () => this.whereabouts.place(),
      oneShot: options.oneShot,
      passing: this.#config.passTokens ? this.#passing(link) : undefined,
      pipe: events.pipe && ((frame, session) => events.pipe?.(frame, session) ?? false),
      hooks: {
        delivered: (queued, ms) => events.delivered?.(queued, now(), ms),
        deferred: (queued, reason, text, next) => {
          events.deferred?.(queued, now(), reason, text, next)
          this.postmaster.lookForDelay(now())
        },
        failed: (queued, reason, text) => this.postmaster.fail(queued, now(), reason, text),
        received: (message) => events.received?.(message, now()),
        progress: (id, done, size) => far.note({ id, key: contact.key, direction: 'out', done, size }),
        arriving: (id, done, size) => far.note({ id, key: contact.key, direction: 'in', done, size }),
        learned: (news) => this.#news.learn(contact, { ...news, link }),
        met: async (greeting) => void (turns = await this.#meetings.note(now(), link, greeting)),
        takesTurns: async () => turns ?? takeTurns(this.home, contact.key),
      },
    })
  }

  #passing(link: Link): Passing {
    const take = (contact: Contact, token: Uint8Array): void => this.#news.learn(contact, { token })
    return new Passing({ suite: this.suite, link, keyring: () => this.#keyring, now: () => this.home.clock.now(), take })
  }

  /** See Door.contactOf. */
  contactOf(transport: Uint8Array, claim: Claim): Promise<Contact | undefined> {
    return this.#door.contactOf(transport, claim)
  }

  /** Who may call, and what they hear. */
  responder(): Responder {
    return this.#door
  }
}

export interface StationOptions {
  /** The defaults without. */
  config?: Config
  /** Whether mail of this contact (KEY) is linked into hooks/pending; as the configuration says without. */
  hooks?: (key: string) => boolean
  events?: StationEvents
  /** See ReachOptions; drawn when a hello needs it without. */
  stamp?: () => Promise<bigint>
}
