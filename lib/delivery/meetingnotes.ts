// The notes of the meetings of one process, see meeting.ts. Guarantee: one at a time for each contact, in the order in
// which its sessions began, however many begin at once; and no session waits for the disk or fails by it, since a note
// that cannot be written is nobody's trouble.

import type { Contact } from '../disk/contact.ts'
import type { Home } from '../disk/home.ts'
import type { Link } from '../net/link.ts'
import { type Greeting, noteMeeting } from './meeting.ts'

export interface MeetingNotesOptions {
  home: Home
  /** The number of the own token, as it is now. */
  ownSeq: () => bigint
  /** What a person should know of it. */
  noticed: (text: string, contact: Contact) => void
}

export class MeetingNotes {
  readonly #options: MeetingNotesOptions
  /** Those that are being made, by KEY. */
  readonly #noting = new Map<string, Promise<void>>()

  constructor(options: MeetingNotesOptions) {
    this.#options = options
  }

  /** Resolves when what is being noted now is written. */
  async idle(): Promise<void> {
    await Promise.all(this.#noting.values())
  }

  /** Resolves when it is known what the note says, with whether two copies of the contact's home take turns. */
  note(contact: Contact, link: Link, greeting: Greeting): Promise<boolean | undefined> {
    const { home, ownSeq, noticed } = this.#options
    const { key } = contact
    const before = this.#noting.get(key) ?? Promise.resolve() // each waits for the one before it
    const noting = before.then(() => noteMeeting(home, contact, link, ownSeq(), greeting))
    const told = noting.then(async ({ news, written }) => {
      await written
      for (const text of news) noticed(text, contact)
    })
    const over: Promise<void> = told.catch(() => undefined).then(() => {
      if (this.#noting.get(key) === over) this.#noting.delete(key)
    })
    this.#noting.set(key, over)
    return noting.then(({ takesTurns }) => takesTurns, () => undefined)
  }
}
