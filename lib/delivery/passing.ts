// Newer tokens of contacts that both sides have: what one of them holds, signed by its owner, helps the other to find who
// has moved. Only between two homes that both allow it, since it shows which contacts the two have in common. Asked for
// by tags of this session, so that a side learns nothing of contacts that are the other's alone. p2p-wire(7), PASSING.

import { equal, hex, utf8 } from '../base/bytes.ts'
import { Malformed } from '../base/fail.ts'
import type { Suite } from '../crypto/suite.ts'
import { type Contact, isWelcome } from '../disk/contact.ts'
import type { Keyring } from '../disk/keyring.ts'
import type { Link } from '../net/link.ts'
import { SEEK_MAX, SEEK_TAG_SIZE, type Sought } from '../wire/frame.ts'
import { isExpired, parseToken, parseTokenBytes } from '../wire/token.ts'

const LABEL = utf8('p2p/1 seek')

export interface PassingOptions {
  suite: Suite
  link: Link
  keyring: () => Keyring
  /** Unix ms. */
  now: () => number
  /** A token of this contact came; nothing of it is checked but whose it says it is. */
  take: (contact: Contact, token: Uint8Array) => void
}

export class Passing {
  readonly #options: PassingOptions
  #answered = false
  #wanted: Contact[] = []

  constructor(options: PassingOptions) {
    this.#options = options
  }

  /** Contacts of this side but the other one itself. */
  #contacts(): Contact[] {
    const { keyring, link } = this.#options
    return keyring().all().filter((contact) => isWelcome(contact) && !equal(contact.identity, link.peer.identity))
  }

  /** The tag of an identity, as the initiator or the responder of the session asks for it. */
  #tag(identity: Uint8Array, byInitiator: boolean): Uint8Array {
    const { suite, link } = this.#options
    return suite.hmac(link.exporter, LABEL, Uint8Array.of(byInitiator ? 1 : 0), identity).subarray(0, SEEK_TAG_SIZE)
  }

  /** What this side asks for. */
  seek(): Sought[] {
    this.#wanted = this.#contacts().slice(0, SEEK_MAX)
    return this.#wanted.map(({ identity, seq }) => ({ tag: this.#tag(identity, this.#options.link.initiator), seq }))
  }

  /** The tokens here that are newer than those of the other side; once in a session. */
  answer(sought: readonly Sought[]): Uint8Array[] {
    if (this.#answered) return []
    this.#answered = true
    const asked = new Map(sought.map(({ tag, seq }) => [hex(tag), seq]))
    const tokens: Uint8Array[] = []
    for (const { identity, seq, tokenText } of this.#contacts()) {
      const theirs = asked.get(hex(this.#tag(identity, !this.#options.link.initiator)))
      if (theirs === undefined || theirs >= seq || tokenText === '') continue
      const token = parseToken(tokenText)
      if (!isExpired(token, this.#options.now())) tokens.push(token.bytes)
    }
    return tokens
  }

  /** A token that the other side holds: taken if it was asked for. Others are nothing. */
  accept(bytes: Uint8Array): void {
    try {
      const { identity } = parseTokenBytes(bytes)
      const contact = this.#wanted.find((each) => equal(each.identity, identity))
      if (contact === undefined) return
      this.#wanted = this.#wanted.filter((each) => each !== contact)
      this.#options.take(contact, bytes)
    } catch (error) {
      if (!(error instanceof Malformed)) throw error
    }
  }
}
