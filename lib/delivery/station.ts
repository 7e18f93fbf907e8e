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
import { localAddresses } from '../net/interfaces.ts'
import type { Link } from '../net/link.ts'
import { Outside } from '../net/outside.ts'
import { BOTH_SYMMETRIC } from '../net/verdict.ts'
import { acceptFromPeer, type Address, ADDRESSES_MAX, isLoopback, joinedAddresses } from '../wire/address.ts'
import type { PipeFrame } from '../wire/frame.ts'
import type { Payload2 } from '../wire/hello.ts'
import { type Claim, Door } from './door.ts'
import { Admission, isFullDisk } from './limits.ts'
import { type Greeting, noteMeeting, takeTurns } from './meeting.ts'
import { isHopeless, natsOf } from './nats.ts'
import { NewsDesk } from './news.ts'
import { Passing } from './passing.ts'
import { Postmaster } from './postmaster.ts'
import { type ConnectOptions, Reach } from './reach.ts'
import { type Place, Session } from './session.ts'
import { Thinner, type Transfer } from './transfer.ts'
import type { DialTrouble } from './trouble.ts'

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
  /** Where others see this machine. */
  readonly outside: Outside
  /** Where the own router lets others in. */
  mapped: () => Address[] = () => []
  /** Where a contact (KEY) was heard in the own network. */
  neighbour: (key: string) => Address | undefined = () => undefined
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
  /** Notes of meetings that are being made, by KEY. */
  readonly #noting = new Map<string, Promise<void>>()

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
    this.outside = new Outside(home.clock)
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
    this.#reach = new Reach({
      home,
      suite,
      self: () => this.#keyring.self,
      ownKey: () => this.ownKey,
      neighbour: (key) => this.neighbour(key),
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
    await Promise.all([this.#news.close(), this.postmaster.idle(), ...this.#noting.values()])
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
    else if (outcome.reason === 'timeout') return { ...outcome, ...this.hopelessness(contact) }
    return outcome
  }

  /** Why nothing can lead to this contact as things are, in the words of DialTrouble. */
  hopelessness(contact: Contact): Pick<DialTrouble, 'reason' | 'text'> | undefined {
    const nats = natsOf(this.place().nat, this.#keyring.self.tokenText, contact)
    const ipv6 = localAddresses(this.home.port).some((each) => each.host.includes(':') && acceptFromPeer(each, true))
    return this.mapped().length === 0 && isHopeless(nats, contact, ipv6) ? { reason: 'both-symmetric', text: BOTH_SYMMETRIC } : undefined
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
    if (link.carrier === 'udp' && observed !== undefined) this.outside.note(contact.key, observed)
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
      place: () => this.place(),
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
        met: async (greeting) => void (turns = await this.#note(now(), link, greeting)),
        takesTurns: async () => turns ?? takeTurns(this.home, contact.key),
      },
    })
  }

  #passing(link: Link): Passing {
    const take = (contact: Contact, token: Uint8Array): void => this.#news.learn(contact, { token })
    return new Passing({ suite: this.suite, link, keyring: () => this.#keyring, now: () => this.home.clock.now(), take })
  }

  /**
   * For doctor; a note that cannot be written is nobody's trouble. Resolves when it is known what the note says, with
   * whether two copies of the contact's home take turns.
   */
  #note(contact: Contact, link: Link, greeting: Greeting): Promise<boolean | undefined> {
    const { key } = contact
    const before = this.#noting.get(key) ?? Promise.resolve() // each waits for the one before it, however many begin at once
    const noting = before.then(() => noteMeeting(this.home, contact, link, this.#keyring.self.token.seq, greeting))
    const told = noting.then(async ({ news, written }) => {
      await written
      for (const text of news) this.#events.noticed?.(text, contact)
    })
    const over: Promise<void> = told.catch(() => undefined).then(() => {
      if (this.#noting.get(key) === over) this.#noting.delete(key)
    })
    this.#noting.set(key, over)
    return noting.then(({ takesTurns }) => takesTurns, () => undefined)
  }

  /** See Door.contactOf. */
  contactOf(transport: Uint8Array, claim: Claim): Promise<Contact | undefined> {
    return this.#door.contactOf(transport, claim)
  }

  /** Who may call, and what they hear. */
  responder(): Responder {
    return this.#door
  }

  /** Where the own router lets others in, what the token says, where others see this machine, where it is; no loopback. */
  place(): Place {
    const { token } = this.#keyring.self
    const told = token.addresses.filter((address) => !isLoopback(address))
    const seen = this.outside.addresses().filter((address) => acceptFromPeer(address))
    const here = localAddresses(this.home.port)
    const own = here.filter((address) => acceptFromPeer(address, true))
    const addresses = joinedAddresses([...this.mapped(), ...told, ...seen, ...own]).slice(0, ADDRESSES_MAX)
    return { nat: this.outside.natClass(here.map(({ host }) => host)), addresses }
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
