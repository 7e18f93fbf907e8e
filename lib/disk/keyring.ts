// The keyring: oneself and every contact, read once, and the one resolver of names for all commands (p2p(7), names).
// A damaged contact file hides that contact and no other. Changes are durable when a function returns, one file each,
// replaced whole under a lock, so that no crash and no second process can lose a contact.

import { hex, utf8 } from '../base/bytes.ts'
import { EX, Failure, ioFailure, isCode } from '../base/fail.ts'
import { base58, keyBytes } from '../base/key.ts'
import { checkName, foldName, nearest, quote } from '../base/text.ts'
import { decodeContact, encodeContact } from './contact.ts'
import { replaceFile } from './durable.ts'
import { loadSelf } from './identity.ts'
import { dropInvite, endInvites } from './invites.ts'
import { withLock } from './lock.ts'

import type { Contact } from './contact.ts'
import type { Home } from './home.ts'
import type { Self } from './identity.ts'

const LOCK = 'keyring'
const DOMAIN = '@p2p.invalid' // RFC 2606: no mail program can ever deliver there
const REVOKED = '.revoked'
const FILE = '.json'
const LEFTOVER = /\.tmp\.[0-9a-f]+$/ // replaceFile's

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
  const names = await list(home)
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

async function list(home: Home): Promise<string[]> {
  try {
    return await home.files.list(home.at('contacts'))
  } catch (error) {
    throw ioFailure(error, `cannot read ${home.at('contacts')}`)
  }
}

async function loadContact(home: Home, key: string, revoked: boolean): Promise<Contact | undefined> {
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

/** Runs `work` on a fresh keyring while no other process changes it. */
export function changeKeyring<T>(home: Home, work: (keyring: Keyring) => Promise<T>): Promise<T> {
  return withLock(home, LOCK, async () => {
    // What a crash in the middle of a write has left; nobody else writes while the lock is held.
    for (const name of await list(home)) if (LEFTOVER.test(name)) await home.files.unlink(home.at('contacts', name))
    return work(await loadKeyring(home))
  })
}

/** Durable when this returns. For use inside changeKeyring. */
export async function writeContact(home: Home, contact: Contact): Promise<void> {
  const path = home.at('contacts', contact.key + FILE)
  try {
    await replaceFile(home.files, home.random, path, encodeContact(contact))
  } catch (error) {
    throw ioFailure(error, `cannot write ${path}`)
  }
}

/** Writes a whole contact, durably. */
export async function saveContact(home: Home, contact: Contact): Promise<void> {
  await withLock(home, LOCK, () => writeContact(home, contact))
}

/**
 * Changes one contact as it is on disk now, durably; nothing is written if nothing changed. Returns the contact after
 * the change; undefined if it was removed meanwhile.
 */
export async function updateContact(
  home: Home,
  key: string,
  change: (contact: Contact) => Contact,
): Promise<Contact | undefined> {
  return withLock(home, LOCK, async () => {
    const held = await loadContact(home, key, await isRevoked(home, key))
    if (held === undefined) return undefined
    const changed = change(held)
    if (hex(encodeContact(held)) !== hex(encodeContact(changed))) await writeContact(home, changed)
    return changed
  })
}

/** Gives a contact another name. Throws Failure 64 for a bad name, 73 if it is taken. */
export async function renameContact(home: Home, key: string, text: string): Promise<Contact> {
  const name = checkName(text)
  return changeKeyring(home, async (keyring) => {
    const held = keyring.byKey(key)
    if (held === undefined) throw new Failure(EX.NO_CONTACT, `no contact with the key ${key}`)
    const other = keyring.byName(name)
    if (other !== undefined && other.key !== key) {
      throw new Failure(EX.CANNOT_CREATE, `the name '${other.name}' is taken`, `p2p-id show ${other.name}`)
    }
    const renamed = { ...held, name }
    await writeContact(home, renamed)
    return renamed
  })
}

/** Forgets a contact, durably; false if it was not there. A revocation is remembered for good. */
export async function removeContact(home: Home, key: string): Promise<boolean> {
  return withLock(home, LOCK, async () => {
    await endInvites(home, key) // first: who used one could come back by it
    await dropInvite(home, key)
    const there = await home.files.unlink(home.at('contacts', key + FILE))
    await home.files.syncDir(home.at('contacts'))
    return there
  })
}

export async function isRevoked(home: Home, key: string): Promise<boolean> {
  return (await home.files.stat(home.at('contacts', key + REVOKED))) !== undefined
}

/** Notes durably that an identity is revoked, whether it is a contact or not. False if that was known. */
export async function noteRevocation(home: Home, key: string, tokenText: string): Promise<boolean> {
  if (await isRevoked(home, key)) return false
  const path = home.at('contacts', key + REVOKED)
  await replaceFile(home.files, home.random, path, utf8(`${tokenText}\n`))
  return true
}
