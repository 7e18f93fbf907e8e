// The identity at rest: one file, identity.age (sealed) or identity.key (plain), that holds the Ed25519 seed. Which of
// the two it is its content says, not its name: so it can change over by two renames, and whatever crashes in between
// leaves exactly one file that opens. Nobody who sends or listens comes here. A file that others can read is refused.

import { equal } from '../base/bytes.ts'
import { EX, Failure, ioFailure, Malformed } from '../base/fail.ts'
import { replaceFile } from './durable.ts'
import { loadSelf } from './self.ts'
import { withLock } from './lock.ts'
import { PLAIN, readSecret, SEALED } from './secret.ts'

import type { Home } from './home.ts'

const LEFTOVER = /^(?:identity\.(?:age|key)|transport(?:\.old)?\.key|token|home\.json)\.tmp\.[0-9a-f]+$/ // replaceFile's

export interface IdentityFile {
  name: string
  bytes: Uint8Array
  sealed: boolean
}

/** The identity's file as it is. Throws Failure 77 if others can read it, 78 if it is not there. */
export async function readIdentity(home: Home): Promise<IdentityFile> {
  const name = await fileName(home)
  const bytes = await readSecret(home, name)
  const { looksSealed } = await import('../crypto/agefile.ts')
  return { name, bytes, sealed: looksSealed(bytes) }
}

/** If both are there, which no command leaves behind, the plain one counts. */
async function fileName(home: Home): Promise<string> {
  return (await home.files.stat(home.at(PLAIN))) === undefined ? SEALED : PLAIN
}

/**
 * The Ed25519 seed, to be wiped by the caller; `ask` is called for the passphrase if there is one, which is wiped here.
 * Throws Failure 77 for a wrong passphrase or a file that others can read, 78 if the file is damaged.
 */
export async function openSeed(home: Home, ask: () => Promise<Uint8Array>): Promise<Uint8Array> {
  return seedOf(home, await readIdentity(home), ask)
}

async function seedOf(home: Home, file: IdentityFile, ask: () => Promise<Uint8Array>): Promise<Uint8Array> {
  const { decodeIdentity, decryptWithPassphrase } = await import('../crypto/agefile.ts')
  const passphrase = file.sealed ? await ask() : undefined
  try {
    const plain = passphrase === undefined ? file.bytes : await decryptWithPassphrase(file.bytes, passphrase)
    try {
      return decodeIdentity(plain)
    } finally {
      plain.fill(0)
    }
  } catch (error) {
    if (error instanceof Malformed) throw new Failure(EX.CONFIG, `${home.at(file.name)} is damaged: ${error.message}`)
    throw error
  } finally {
    passphrase?.fill(0)
  }
}

/** Throws as openSeed if the passphrase does not open the identity; the passphrase stays as it is. */
export async function checkPassphrase(home: Home, file: IdentityFile, passphrase: Uint8Array): Promise<void> {
  ;(await seedOf(home, file, () => Promise.resolve(new Uint8Array(passphrase)))).fill(0)
}

export interface Change {
  /** Asked if the identity is sealed. */
  old(): Promise<Uint8Array>
  /** Asked once the old one was right; undefined keeps the identity in a plain file from now on. */
  fresh(): Promise<Uint8Array | undefined>
}

/**
 * Seals the identity with another passphrase, or with none, durably. At every instant there is one identity file, which
 * opens with the old passphrase or with the new one. False if it was plain and stays so. Throws as openSeed. `logN`: the
 * work factor of scrypt, age's own without.
 */
export async function changePassphrase(home: Home, change: Change, logN?: number): Promise<boolean> {
  const before = await readIdentity(home)
  const held = new Uint8Array(before.bytes) // not slice(): of a Buffer that would be no copy
  const seed = await seedOf(home, before, () => change.old())
  try {
    const { encodeIdentity, encryptWithPassphrase } = await import('../crypto/agefile.ts')
    const { publicKeyOf } = await import('../crypto/ed25519.ts')
    const identity = await publicKeyOf(seed)
    if (!equal(identity, (await loadSelf(home)).identity)) {
      throw new Failure(EX.CONFIG, `${home.at(before.name)} does not belong to ${home.at('token')}`)
    }
    const passphrase = await change.fresh()
    const plain = encodeIdentity(seed, identity)
    const bytes = passphrase === undefined ? plain : await encryptWithPassphrase(plain, passphrase, logN)
    await withLock(home, 'identity', async () => {
      const now = await readIdentity(home)
      if (!equal(now.bytes, held)) {
        throw new Failure(EX.TEMPORARY, `another process has changed ${home.at(now.name)} meanwhile`)
      }
      await replaceIdentity(home, now.name, bytes, passphrase === undefined ? PLAIN : SEALED)
    })
    plain.fill(0)
    passphrase?.fill(0)
    return before.sealed || passphrase !== undefined
  } finally {
    seed.fill(0)
    held.fill(0)
  }
}

/** New content under the name it has, then the name that goes with it: never two files, never none. */
async function replaceIdentity(home: Home, name: string, bytes: Uint8Array, wanted: string): Promise<void> {
  const { files, random, path } = home
  try {
    for (const each of await files.list(path)) if (LEFTOVER.test(each)) await files.unlink(home.at(each))
    await replaceFile(files, random, home.at(name), bytes)
    if (name !== wanted) await files.rename(home.at(name), home.at(wanted))
    else if (wanted === PLAIN) await files.unlink(home.at(SEALED)) // there only if somebody has put it there
    await files.syncDir(path)
  } catch (error) {
    throw ioFailure(error, `cannot write ${home.at(name)}`)
  }
}
