// What contacts say of themselves in sessions: addresses, newer tokens, which copy of their home this is. Written into
// the keyring one after the other, only what changed; what is not acceptable changes nothing.

import { Malformed } from '../base/fail.ts'
import type { Contact } from '../disk/contact.ts'
import type { Home } from '../disk/home.ts'
import { takeToken } from '../disk/import.ts'
import type { Keyring } from '../disk/keyring.ts'
import { updateContact } from '../disk/contacts.ts'
import { isOnLink } from '../net/interfaces.ts'
import type { Link } from '../net/link.ts'
import { Bucket } from '../net/guard.ts'
import { acceptFromPeer, type Address, ADDRESSES_MAX, classOf, distinctAddresses, sameAddress } from '../wire/address.ts'

/** What a contact says of itself. */
export interface News {
  addresses?: Address[]
  /** NAT class, comes with the addresses. */
  nat?: number
  token?: Uint8Array
  instance?: string
  /** Bytes of the largest message that it takes. */
  takes?: number
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

/** What a contact says of itself is written down so often at once, and one more time a rate's second. */
const WRITES = { rate: 0.2, burst: 5 }

export class NewsDesk {
  readonly #options: NewsDeskOptions
  /** Not written down yet, by KEY: the latest counts. */
  readonly #news = new Map<string, News>()
  /** Whose news may be written down when. */
  readonly #budgets = new Map<string, Bucket>()
  #writing: Promise<void> | undefined
  #cancelLater: (() => void) | undefined
  #closing = false

  constructor(options: NewsDeskOptions) {
    this.#options = options
  }

  /** Takes note; errors are told to `trouble`. */
  learn(contact: Contact, news: News): void {
    this.#news.set(contact.key, { ...this.#news.get(contact.key), ...news })
    this.#writeDown()
  }

  /** Resolves when everything learnt is written down, at the end of this process. */
  async close(): Promise<void> {
    this.#closing = true
    this.#cancelLater?.()
    if (this.#news.size > 0) this.#writeDown()
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
      this.#again()
    })
  }

  /** Whoever changes its mind all the time must not keep the disk busy: its latest word is written down later. */
  #again(): void {
    const { clock } = this.#options.home
    const waits = [...this.#news.keys()].map((key) => this.#delay(key))
    if (waits.length === 0) return
    this.#cancelLater?.()
    this.#cancelLater = clock.after(Math.min(...waits), () => this.#writeDown(), true)
  }

  /** Milliseconds. */
  #delay(key: string): number {
    const now = this.#options.home.clock.monotonic()
    const budget = this.#budgets.get(key) ?? new Bucket(WRITES, now)
    this.#budgets.set(key, budget)
    return this.#closing ? 0 : budget.delay(now)
  }

  async #noteAll(): Promise<void> {
    for (const [key, news] of this.#news) {
      if (this.#delay(key) > 0) continue
      this.#news.delete(key)
      const wrote = await this.#note(key, news).catch((error: unknown) => {
        this.#options.trouble(error)
        return true
      })
      if (wrote) this.#budgets.get(key)?.spend(this.#options.home.clock.monotonic())
    }
  }

  /** Whether there was something to write. */
  async #note(key: string, { token, addresses, nat, instance, takes, link }: News): Promise<boolean> {
    const { home, keyring, reload, changed } = this.#options
    const contact = keyring().byKey(key)
    if (contact === undefined) return false
    if (token !== undefined) await this.take(contact, token)
    const held = keyring().byKey(key)
    if (held === undefined) return true
    const told = addresses === undefined ? held.sessionAddresses : acceptable(addresses, link, held)
    const same =
      told.length === held.sessionAddresses.length &&
      told.every((address, i) => sameAddress(address, held.sessionAddresses[i] as Address))
    const news = {
      ...(nat !== undefined && { nat }),
      ...(instance !== undefined && { instance }),
      ...(takes !== undefined && { takes }),
    }
    const known = Object.entries(news).every(([name, value]) => held[name as keyof typeof news] === value)
    if (same && known) return token !== undefined
    const after = await updateContact(home, key, (now) => ({ ...now, sessionAddresses: told, ...news }))
    await reload()
    if (!same && after !== undefined) changed(after)
    return true
  }
}

/**
 * What a contact says of its addresses, as far as we would dial it, and the place it called from. Names are not looked
 * up because somebody says so: they count in tokens only.
 */
function acceptable(addresses: Address[], link: Link | undefined, contact: Contact): Address[] {
  const good = addresses.filter((address) => classOf(address) !== 'name' && acceptFromPeer(address, () => isOnLink(address.host)))
  const port = addresses[0]?.port ?? contact.addresses[0]?.port
  if (link !== undefined && !link.initiator && port !== undefined) {
    const { ip: host, port: outside } = link.remote
    const overUdp = link.carrier === 'udp' // then the port is its own, as its router has it
    const seen: Address = { host, port: overUdp ? outside : port, tcp: !overUdp, udp: true }
    if (acceptFromPeer(seen, () => isOnLink(seen.host))) good.push(seen)
  }
  return distinctAddresses(good).slice(0, ADDRESSES_MAX)
}
