// Changes of the keyring. Each is durable when its function returns: one file, replaced whole under a lock, so that no
// crash and no second process can lose a contact.

import { hex, utf8 } from '../base/bytes.ts'
import { EX, Failure, ioFailure } from '../base/fail.ts'
import { checkName } from '../base/text.ts'
import { encodeContact } from './contact.ts'
import { replaceFile } from './durable.ts'
import { dropInvite, endInvites } from './invites.ts'
import { contactFiles, FILE, isRevoked, loadContact, loadKeyring, REVOKED, type Keyring } from './keyring.ts'
import { withLock } from './lock.ts'

import type { Contact } from './contact.ts'
import type { Home } from './home.ts'

const LOCK = 'keyring'
const LEFTOVER = /\.tmp\.[0-9a-f]+$/ // replaceFile's

/** Runs `work` on a fresh keyring while no other process changes it. */
export function changeKeyring<T>(home: Home, work: (keyring: Keyring) => Promise<T>): Promise<T> {
  return withLock(home, LOCK, async () => {
    // What a crash in the middle of a write has left; nobody else writes while the lock is held.
    for (const name of await contactFiles(home)) if (LEFTOVER.test(name)) await home.files.unlink(home.at('contacts', name))
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

/** Notes durably that an identity is revoked, whether it is a contact or not. False if that was known. */
export async function noteRevocation(home: Home, key: string, tokenText: string): Promise<boolean> {
  if (await isRevoked(home, key)) return false
  const path = home.at('contacts', key + REVOKED)
  await replaceFile(home.files, home.random, path, utf8(`${tokenText}\n`))
  return true
}
