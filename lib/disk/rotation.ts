// A new transport key, p2p-wire(7), KEYS. The old one stays for 30 days, for contacts that hold an old token, unless it
// is compromised. The token is written last and says which key counts: whatever dies in between, the key that contacts
// know is there, in transport.key before and in transport.old.key after the new one has taken that name.

import { equal } from '../base/bytes.ts'
import { EX, Failure, ioFailure } from '../base/fail.ts'
import { OLD_KEY_MS, OLD_TRANSPORT, readTransport, renewed, signAs, TRANSPORT, writeToken, writeTransport } from './identity.ts'
import { loadSelf, type Self } from './self.ts'
import { withLock } from './lock.ts'

import type { Suite } from '../crypto/suite.ts'
import type { Home } from './home.ts'

const LOCK = 'identity'

/** Older keys than this are worth a reminder. */
export const KEY_AGE_MS = 90 * 86_400_000

/**
 * A new transport key and the token that says so, durable when this returns. `compromised`: the old key is worth nothing
 * from then on and is deleted. Throws Failure 78 if `seed` is another identity's, or no key belongs to the token.
 */
export async function rotateTransport(home: Home, suite: Suite, seed: Uint8Array, compromised: boolean): Promise<Self> {
  return withLock(home, LOCK, async () => {
    const { files } = home
    const before = await secretOfToken(home, suite)
    const fresh = home.random.bytes(32)
    try {
      const transport = suite.importPrivate(fresh).publicKey
      const token = await signAs(home, seed, (held) => ({ ...renewed(home, held), transport }))
      await writeTransport(home, OLD_TRANSPORT, before)
      if (compromised) await files.utimes(home.at(OLD_TRANSPORT), 0) // out of use with the token that names it
      await writeTransport(home, TRANSPORT, fresh)
      const self = await writeToken(home, token)
      if (compromised) await removeOldKey(home)
      return self
    } catch (error) {
      throw ioFailure(error, `cannot write the keys of ${home.path}`)
    } finally {
      for (const secret of [before, fresh]) secret.fill(0)
    }
  })
}

/** The secret of the key that the token names: after an interrupted rotation in the file of the old one. */
async function secretOfToken(home: Home, suite: Suite): Promise<Uint8Array> {
  const { token } = await loadSelf(home)
  for (const name of [TRANSPORT, OLD_TRANSPORT]) {
    if ((await home.files.stat(home.at(name))) === undefined) continue
    const secret = await readTransport(home, name)
    if (equal(suite.importPrivate(secret).publicKey, token.transport)) return secret
    secret.fill(0)
  }
  throw new Failure(EX.CONFIG, `${home.at(TRANSPORT)} does not belong to ${home.at('token')}`)
}

/** Deletes the old key once its 30 days are over: what was recorded for it is then safe from whoever takes the disk. */
export async function forgetOldKey(home: Home, suite: Suite): Promise<void> {
  const isOver = async (): Promise<boolean> => {
    const old = await home.files.stat(home.at(OLD_TRANSPORT))
    return old !== undefined && home.clock.now() - old.mtimeMs > OLD_KEY_MS
  }
  if (!(await isOver())) return
  await withLock(home, LOCK, async () => {
    const secret = await readTransport(home, OLD_TRANSPORT)
    const { publicKey } = suite.importPrivate(secret)
    secret.fill(0)
    const { token } = await loadSelf(home)
    if ((await isOver()) && !equal(publicKey, token.transport)) await removeOldKey(home)
  })
}

async function removeOldKey(home: Home): Promise<void> {
  await home.files.unlink(home.at(OLD_TRANSPORT))
  await home.files.syncDir(home.path)
}

/** Milliseconds since the transport key was made; undefined if it is not there. */
export async function keyAge(home: Home): Promise<number | undefined> {
  const stat = await home.files.stat(home.at(TRANSPORT))
  return stat === undefined ? undefined : Math.max(0, home.clock.now() - stat.mtimeMs)
}
