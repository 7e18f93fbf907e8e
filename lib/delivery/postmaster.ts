// What the owner of a home is told in the own inbox: the bounce of a message that is given up, the notice that some have
// been waiting for long, the notice that a first contact has come about. On a disk that is too full for that nothing is given up and nothing
// ends; it is told again later.

import { hex, utf8 } from '../base/bytes.ts'
import { ioFailure } from '../base/fail.ts'
import type { Suite } from '../crypto/suite.ts'
import type { Config } from '../disk/config.ts'
import type { Contact } from '../disk/contact.ts'
import type { Home } from '../disk/home.ts'
import type { Self } from '../disk/self.ts'
import type { Delivered, Inbox } from '../disk/inbox.ts'
import type { Queued } from '../disk/queued.ts'
import { composeNotice } from '../wire/notice.ts'
import { giveUp } from './bounce.ts'
import { tellDelay } from './delay.ts'
import { expire } from './expiry.ts'
import { endIntroduction } from './introduction.ts'
import { isFullDisk } from './limits.ts'

const KEY_WORDS = [
  'Whoever takes the key from this machine can pose as you until there is another one, and can tell who called here since',
  'it was made. A new one takes a moment; contacts learn of it by themselves, and can call by the old one for 30 days:',
  '',
  '  p2p-id rotate',
].join('\n')

/** Between two looks for messages that wait for long, after a contact has refused something for now. */
const DELAY_LOOK_MS = 60_000

export interface PostmasterOptions {
  home: Home
  suite: Suite
  self: () => Self
  config: () => Config
  /** The receiving side, opened when there is something to tell. */
  inbox: () => Promise<Inbox>
  /** Given up for good: it stands in failed/, and the bounce, unless an earlier attempt told it, in the own inbox. */
  failed: (queued: Queued, contact: Contact, reason: string, text: string, bounce: Delivered | undefined) => void
  /** A first contact has come about, and its owner was told. */
  introduced: (contact: Contact) => Promise<void>
  /** A notice came into the own inbox; its subject. */
  noticed: (text: string, contact?: Contact) => void
  trouble: (error: unknown) => void
}

export class Postmaster {
  readonly #options: PostmasterOptions
  readonly #looking = new Set<Promise<void>>()
  /** Contacts whose introduction is being ended, by KEY. */
  readonly #introducing = new Set<string>()
  /** Contacts for whom it was looked not long ago whether messages wait for long. */
  readonly #looked = new Set<string>()

  constructor(options: PostmasterOptions) {
    this.#options = options
  }

  /** Resolves when nothing is under way here. */
  async idle(): Promise<void> {
    await Promise.all(this.#looking)
  }

  /**
   * Gives a message up: a bounce in the own inbox first, so that it is never silently lost, then failed/. False if the
   * disk is too full for that: it goes on waiting.
   */
  async fail(queued: Queued, contact: Contact, reason: string, text: string): Promise<boolean> {
    const { home, suite, self, inbox, failed, trouble } = this.#options
    try {
      const bounce = await giveUp(home, suite, await inbox(), self(), contact, queued, reason, text)
      if (bounce !== 'gone') failed(queued, contact, reason, text, bounce)
      return true
    } catch (error) {
      if (!isFullDisk(error)) throw error
      trouble(ioFailure(error, `cannot give up a message for ${contact.name}`))
      return false
    }
  }

  /** Gives up what waits for this contact and has expired. */
  expire(contact: Contact): Promise<void> {
    return expire(this.#options.home, contact.key, (queued, reason, text) => this.fail(queued, contact, reason, text))
  }

  /** A notice in the own inbox if something has been waiting for this contact for long; once an outage. */
  async tellDelay(contact: Contact): Promise<void> {
    const { home, suite: hash, self, config, inbox, noticed, trouble } = this.#options
    const afterMs = config().delayNotice * 1000
    try {
      const subject = await tellDelay({ home, hash, self: self(), inbox, afterMs }, contact)
      if (subject !== undefined) noticed(subject, contact)
    } catch (error) {
      if (!isFullDisk(error)) throw error
      trouble(ioFailure(error, `cannot tell that messages wait for ${contact.name}`))
    }
  }

  /** The same now and then: after a refusal for now, of which there may be thousands at once. */
  lookForDelay(contact: Contact): void {
    if (this.#looked.has(contact.key)) return
    const look = this.tellDelay(contact)
      .catch((error: unknown) => this.#options.trouble(error))
      .finally(() => this.#looking.delete(look))
    this.#looking.add(look)
    this.#looked.add(contact.key)
    this.#options.home.clock.after(DELAY_LOOK_MS, () => this.#looked.delete(contact.key), true)
  }
  /** Says, once for each key, that it is time for a new transport key. */
  async remindOfKey(): Promise<void> {
    const { suite, self, inbox, noticed } = this.#options
    const { name, key, token } = self()
    const id = hex(suite.hash(utf8(`p2p/1 rotate ${key} ${hex(token.transport)}`)))
    const subject = 'your transport key is over 90 days old: p2p-id rotate'
    const notice = await (await inbox()).deliverOwn(id, async function* (date) {
      yield composeNotice({ to: { name, key }, date, id, subject, text: KEY_WORDS })
    })
    if (notice !== undefined) noticed(subject)
  }

  /** Tells, once, that a first contact has come about; the next session does it if it cannot be told now. */
  introduce(contact: Contact): void {
    if (contact.introduced === undefined || this.#introducing.has(contact.key)) return
    const { home, suite, self, inbox, introduced, noticed, trouble } = this.#options
    this.#introducing.add(contact.key)
    const told = endIntroduction({ home, suite, self: self(), inbox }, contact)
      .then(async (subject) => {
        await introduced(contact)
        if (subject !== undefined) noticed(subject, contact)
      })
      .catch((error: unknown) => trouble(error))
      .finally(() => {
        this.#introducing.delete(contact.key)
        this.#looking.delete(told)
      })
    this.#looking.add(told)
  }
}
