// Who may be talked to: contacts and oneself, with what their conversations hold, by the keyring and the roll of mails.

import { type Contact, isWelcome } from '../disk/contact.ts'
import type { Conversation } from '../disk/conversation.ts'
import type { Home } from '../disk/home.ts'
import type { Self } from '../disk/self.ts'
import type { View } from '../disk/inboxview.ts'
import { type Keyring, loadKeyring } from '../disk/keyring.ts'
import { readMeeting } from '../disk/meetings.ts'
import { formatAddress } from '../wire/address.ts'
import type { Presence } from './presence.ts'

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
}

export class People {
  readonly #home: Home
  readonly #presence: Presence
  #keyring: Keyring
  /** The conversation that each KEY in the mails belongs to, by the numbers that they have there. */
  #places: string[] = []
  #tallies = new Map<string, { unread: number; last: number }>()
  readonly #met = new Map<string, number>()

  constructor(home: Home, keyring: Keyring, presence: Presence) {
    this.#home = home
    this.#keyring = keyring
    this.#presence = presence
  }

  get keyring(): Keyring {
    return this.#keyring
  }

  get self(): Self {
    return this.#keyring.self
  }

  /** What mails are described by. */
  get view(): View {
    const { self } = this
    const nameOf = (key: string): string | undefined => this.#keyring.byKey(key)?.name ?? (key === self.key ? self.name : undefined)
    return { home: this.#home, nameOf, self: self.key }
  }

  /** The latest conversation first, those without one by name, oneself last. */
  get all(): Person[] {
    const contacts = this.#keyring.all().filter(isWelcome).map((contact) => this.of(contact))
    contacts.sort((a, b) => b.last - a.last || (a.name < b.name ? -1 : 1))
    return [...contacts, this.of(this.self)]
  }

  /** By KEY; oneself for whoever is no contact any more. */
  byKey(key: string): Person {
    return this.of(this.#keyring.byKey(key) ?? this.self)
  }

  of(one: Contact | Self): Person {
    const { key } = one
    const { unread = 0, last = 0 } = this.#tallies.get(key) ?? {}
    const me = 'me' in one
    return {
      key,
      name: me ? 'me' : one.name,
      me,
      verified: me || one.verified !== undefined,
      online: this.#presence.isOnline(key),
      seen: this.#met.get(key),
      unread,
      last,
    }
  }

  /** KEY of the other side of a message; notices of the program are notes to oneself. */
  placeOf(talk: Conversation, row: number): string {
    const number = talk.otherOf(row)
    return (this.#places[number] ??= this.#keyring.all().find(({ key }) => key.toLowerCase() === talk.table.keyOf(number)?.toLowerCase())?.key ?? this.self.key)
  }

  /** Counts anew what each conversation holds. */
  count(talk: Conversation): void {
    const { roll } = talk
    this.#tallies = new Map()
    for (let row = 0; row < roll.count; row++) {
      if (!talk.table.isKnown(row)) continue
      const key = this.placeOf(talk, row)
      let tally = this.#tallies.get(key)
      if (tally === undefined) this.#tallies.set(key, (tally = { unread: 0, last: 0 }))
      if (roll.isUnseen(row) && roll.boxOf(row) === 'inbox' && !talk.isSilent(row)) tally.unread += 1
      tally.last = Math.max(tally.last, Math.floor(roll.timeOf(row) / 1000))
    }
  }

  /** Reads when somebody was met last. */
  async meet(key: string): Promise<void> {
    const met = await readMeeting(this.#home, key)
    if (met !== undefined) this.#met.set(key, met.at)
  }

  /** Reads contacts anew; what is new about them, as sentences. */
  async reload(): Promise<string[]> {
    const before = new Map(this.#keyring.all().map((contact) => [contact.key, placesOf(contact)]))
    this.#keyring = await loadKeyring(this.#home)
    this.#places = []
    return this.#keyring.all().filter(isWelcome).flatMap((contact) => {
      const { name } = contact
      const was = before.get(contact.key)
      if (was === undefined) return [`${name} is a contact now: /to ${name}`]
      return was !== '' && placesOf(contact) !== was ? [`${name} has another address now, which came by a call that only ${name} could make`] : []
    })
  }
}

/** Where a contact says it is; '' if it never said so. */
function placesOf(contact: Contact): string {
  return contact.sessionAddresses.map(formatAddress).sort().join(' ')
}
