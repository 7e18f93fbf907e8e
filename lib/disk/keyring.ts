// The keyring: oneself and every contact, read once, and the one resolver of names for all commands (p2p(7), names).
// A damaged contact file hides that contact and no other. Nothing is changed here: contacts.ts.

import { hex } from '../base/bytes.ts'
import { EX, Failure, ioFailure, isCode } from '../base/fail.ts'
import { base58, keyBytes } from '../base/key.ts'
import { foldName, nearest, quote } from '../base/text.ts'
import { decodeContact } from './contact.ts'
import { loadSelf } from './self.ts'

import type { Contact } from './contact.ts'
import type { Home } from './home.ts'
import type { Self } from './self.ts'

const DOMAIN = '@p2p.invalid' // RFC 2606: no mail program can ever deliver there
export const REVOKED = '.revoked'
export const FILE = '.json'

/** A contact file that cannot be used: 78, names the file. */
export interface Problem {
  readonly key: string
  readonly failure: Failure
}

export class Keyring {
  readonly self: Self
  /** Contact files that could not be read. */
  readonly problems: readonly Problem[]
  readonly #contacts: readonly Contact[]
  readonly #keys = new Map<string, Contact>()
  readonly #transports = new Map<string, Contact>()

  constructor(self: Self, contacts: readonly Contact[], problems: readonly Problem[] = []) {
    this.self = self
    this.problems = problems
    this.#contacts = [...contacts].sort((a, b) => (foldName(a.name) < foldName(b.name) ? -1 : 1))
    for (const contact of this.#contacts) {
      this.#keys.set(contact.key, contact)
      this.#transports.set(hex(contact.transport), contact)
    }
  }

  /** Every contact, in order of name. */
  all(): Contact[] {
    return [...this.#contacts]
  }

  byKey(key: string): Contact | undefined {
    return this.#keys.get(key)
  }

  byIdentity(identity: Uint8Array): Contact | undefined {
    return this.#keys.get(base58(identity))
  }

  /** A contact with this transport key. It says nothing about who calls: the identity must be checked as well. */
  byTransport(transport: Uint8Array): Contact | undefined {
    return this.#transports.get(hex(transport))
  }

  /** The contact of exactly this name, case and compatibility forms aside. */
  byName(name: string): Contact | undefined {
    const folded = foldName(name)
    return this.#contacts.find((contact) => foldName(contact.name) === folded)
  }

  /**
   * The one contact meant by NAME, KEY, NAME@p2p.invalid or KEY@p2p.invalid, ignoring case. Throws Failure 67 if there
   * is none or if it is oneself, 65 if there are several, 78 if a damaged file may be the one.
   */
  resolve(text: string): Contact {
    const found = this.resolveAny(text)
    if ('me' in found) throw new Failure(EX.NO_CONTACT, `${quote(text)} is yourself`, 'p2p-id list')
    return found
  }

  /** As resolve, but `me` and the own KEY give oneself. */
  resolveAny(text: string): Contact | Self {
    const word = text.toLowerCase().endsWith(DOMAIN) ? text.slice(0, -DOMAIN.length) : text
    if (foldName(word) === 'me' || word === this.self.key) return this.self
    const exact = this.#keys.get(word)
    if (exact !== undefined) return exact
    const folded = foldName(word)
    const lower = word.toLowerCase() // a KEY whose case a mail program folded
    const hits: (Contact | Self)[] = this.#contacts.filter(
      ({ name, key }) => foldName(name) === folded || key.toLowerCase() === lower,
    )
    if (this.self.key.toLowerCase() === lower) hits.push(this.self)
    const [only, second] = hits
    if (second !== undefined) {
      const names = hits.map(({ name, key }) => `${name} (${key})`).join(', ')
      throw new Failure(EX.DATA, `${quote(text)} may be ${names}`, 'p2p-id list')
    }
    if (only === undefined) throw this.#unknown(text, word)
    return only
  }

  #unknown(text: string, word: string): Failure {
    const [first] = this.problems
    const damaged = this.problems.find(({ key }) => key.toLowerCase() === word.toLowerCase())
    if (damaged !== undefined) return damaged.failure
    if (first !== undefined) {
      return new Failure(EX.CONFIG, `no contact named ${quote(text)}, but ${first.failure.message}`)
    }
    const own = foldName(word) === foldName(this.self.name)
    const meant = own ? 'me' : nearest(word, this.#contacts.map(({ name }) => name))
    const guess = meant === undefined ? '' : `: did you mean '${meant}'?`
    return new Failure(EX.NO_CONTACT, `no contact named ${quote(text)}${guess}`, 'p2p-id list')
  }
}

/** Everything there is. Throws Failure 78 without an identity; damaged contacts are in `problems`. */
export async function loadKeyring(home: Home): Promise<Keyring> {
  const self = await loadSelf(home)
  const contacts: Contact[] = []
  const problems: Problem[] = []
  const names = await contactFiles(home)
  const keys = names.filter((name) => name.endsWith(FILE)).map((name) => name.slice(0, -FILE.length))
  for (const key of keys.filter((each) => keyBytes(each) !== undefined)) {
    try {
      const contact = await loadContact(home, key, names.includes(key + REVOKED))
      if (contact !== undefined) contacts.push(contact)
    } catch (error) {
      if (!(error instanceof Failure)) throw error
      problems.push({ key, failure: error })
    }
  }
  return new Keyring(self, contacts, problems)
}

/** Names of files in contacts/. */
export async function contactFiles(home: Home): Promise<string[]> {
  try {
    return await home.files.list(home.at('contacts'))
  } catch (error) {
    throw ioFailure(error, `cannot read ${home.at('contacts')}`)
  }
}

/** Undefined if it is not there. Throws Failure 78 if it is damaged. */
export async function loadContact(home: Home, key: string, revoked: boolean): Promise<Contact | undefined> {
  const path = home.at('contacts', key + FILE)
  let bytes: Uint8Array
  try {
    bytes = await home.files.read(path)
  } catch (error) {
    if (isCode(error, 'ENOENT')) return undefined // removed meanwhile
    throw ioFailure(error, `cannot read ${path}`)
  }
  const contact = decodeContact(bytes, path, revoked)
  if (contact.key !== key) throw new Failure(EX.CONFIG, `${path} is damaged: it is about ${contact.key}`)
  return contact
}

/** As the disk has it now, damaged or not. */
export async function isContact(home: Home, key: string): Promise<boolean> {
  return (await home.files.stat(home.at('contacts', key + FILE))) !== undefined
}

export async function isRevoked(home: Home, key: string): Promise<boolean> {
  return (await home.files.stat(home.at('contacts', key + REVOKED))) !== undefined
}
