// What contacts say of themselves in sessions: addresses, newer tokens, which copy of their home this is. Written into
// the keyring one after the other, only what changed; what is not acceptable changes nothing.

import { Malformed } from '../base/fail.ts'
import type { Contact } from '../disk/contact.ts'
import type { Home } from '../disk/home.ts'
import { takeToken } from '../disk/import.ts'
import { type Keyring, updateContact } from '../disk/keyring.ts'
import { isOnLink } from '../net/interfaces.ts'
import type { Link } from '../net/link.ts'
import { acceptFromPeer, type Address, ADDRESSES_MAX, classOf, distinctAddresses, sameAddress } from '../wire/address.ts'

/** What a contact says of itself. */
export interface News {
  addresses?: Address[]
  token?: Uint8Array
  instance?: string
  /** Where it said so. */
  link?: Link
}

export interface NewsDeskOptions {
  home: Home
  keyring: () => Keyring
  /** Reads the keyring anew. */
  reload: () => Promise<void>
  /** Addresses or token of a contact changed. */
  changed: (contact: Contact) => void
  trouble: (error: unknown) => void
}

export class NewsDesk {
  readonly #options: NewsDeskOptions
  /** Not written down yet, by KEY: the latest counts. */
  readonly #news = new Map<string, News>()
  #writing: Promise<void> | undefined

  constructor(options: NewsDeskOptions) {
    this.#options = options
  }

  /** Takes note; errors are told to `trouble`. */
  learn(contact: Contact, news: News): void {
    this.#news.set(contact.key, { ...this.#news.get(contact.key), ...news })
    this.#writeDown()
  }

  /** Resolves when everything learnt is written down. */
  async idle(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing
  }

  /** The contact after a token of its own was taken in, or as it was if the token is no good. */
  async take(contact: Contact, token: Uint8Array): Promise<Contact | undefined> {
    const { home, reload, changed } = this.#options
    try {
      const taken = await takeToken(home, contact.key, token)
      await reload()
      if (taken !== undefined) changed(taken)
      return taken
    } catch (error) {
      if (error instanceof Malformed) return contact
      throw error
    }
  }

  #writeDown(): void {
    this.#writing ??= this.#noteAll().finally(() => {
      this.#writing = undefined
      if (this.#news.size > 0) this.#writeDown()
    })
  }

  async #noteAll(): Promise<void> {
    for (const [key, news] of this.#news) {
      this.#news.delete(key)
      await this.#note(key, news).catch((error: unknown) => this.#options.trouble(error))
    }
  }

  async #note(key: string, { token, addresses, instance, link }: News): Promise<void> {
    const { home, keyring, reload, changed } = this.#options
    const contact = keyring().byKey(key)
    if (contact === undefined) return
    if (token !== undefined) await this.take(contact, token)
    const held = keyring().byKey(key)
    if (held === undefined) return
    const told = addresses === undefined ? held.sessionAddresses : acceptable(addresses, link, held)
    const same =
      told.length === held.sessionAddresses.length &&
      told.every((address, i) => sameAddress(address, held.sessionAddresses[i] as Address))
    if (same && (instance === undefined || instance === held.instance)) return
    const after = await updateContact(home, key, (now) => ({
      ...now,
      sessionAddresses: told,
      ...(instance !== undefined && { instance }),
    }))
    await reload()
    if (!same && after !== undefined) changed(after)
  }
}

/**
 * What a contact says of its addresses, as far as we would dial it, and the place it called from. Names are not looked
 * up because somebody says so: they count in tokens only.
 */
function acceptable(addresses: Address[], link: Link | undefined, contact: Contact): Address[] {
  const good = addresses.filter((address) => classOf(address) !== 'name' && acceptFromPeer(address, isOnLink(address.host)))
  const port = addresses[0]?.port ?? contact.addresses[0]?.port
  if (link !== undefined && !link.initiator && port !== undefined) {
    const seen: Address = { host: link.remote.ip, port, tcp: true, udp: true }
    if (acceptFromPeer(seen, isOnLink(seen.host))) good.push(seen)
  }
  return distinctAddresses(good).slice(0, ADDRESSES_MAX)
}
