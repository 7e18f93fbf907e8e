// Somebody calls who is nobody here and brings an invite, p2p-wire(7), FIRST CONTACT: proof, token, binding, contact, in
// this order, everything durable before the caller is answered. The proof is an HMAC and comes before any Ed25519:
// strangers without an invite cost no more than that. Whatever dies in between, the same caller comes through with the
// same invite later, and nobody else does.

import { equal } from '../base/bytes.ts'
import { Failure, Malformed } from '../base/fail.ts'
import { base58 } from '../base/key.ts'
import { foldName, NAME_MAX } from '../base/text.ts'
import { inviteOf } from '../wire/invite.ts'
import { isExpired, parseTokenBytes, verifyToken } from '../wire/token.ts'
import { newcomer } from './import.ts'
import { bindInvite, findInvite } from './invites.ts'
import { isRevoked, type Keyring } from './keyring.ts'
import { changeKeyring, writeContact } from './contacts.ts'

import type { Suite } from '../crypto/suite.ts'
import type { Token } from '../wire/token.ts'
import type { Contact } from './contact.ts'
import type { Home } from './home.ts'

/** A caller whose T the handshake has proven and whose I is only claimed. */
export interface Caller {
  readonly ephemeral: Uint8Array
  readonly identity: Uint8Array
  readonly transport: Uint8Array
  /** The signed token payload that it sent. */
  readonly token: Uint8Array
}

/** The contact that the caller is from now on; undefined if its invite is none, over, or somebody else's. */
export async function takeNewcomer(
  home: Home,
  suite: Suite,
  caller: Caller,
  proof: Uint8Array,
): Promise<Contact | undefined> {
  const key = base58(caller.identity)
  const invite = await findInvite(home, suite, proof, caller)
  if (invite === undefined || (invite.user !== undefined && invite.user !== key)) return undefined
  const token = await checkCaller(home, caller)
  if (token === undefined) return undefined
  return changeKeyring(home, async (keyring) => {
    const held = keyring.byKey(key)
    if (held !== undefined) return held // another call of it was faster
    const unusable = key === keyring.self.key || keyring.problems.some((problem) => problem.key === key)
    if (unusable || (await isRevoked(home, key)) || !(await bindInvite(home, invite, key))) return undefined
    const contact: Contact = {
      ...newcomer(freeName(keyring, invite.name), token, home.clock.now()),
      introduced: 'invite',
    }
    await writeContact(home, contact)
    return contact
  })
}

/** An invite that a contact has used is spent, too: durably, so that nobody else comes in by it. */
export async function spendInvite(home: Home, suite: Suite, caller: Caller, proof: Uint8Array): Promise<void> {
  const invite = await findInvite(home, suite, proof, caller)
  if (invite !== undefined) await bindInvite(home, invite, base58(caller.identity))
}

/** The caller's token if it is one for a stranger to show: signed by I, for this T; undefined if not. */
export async function checkCaller(home: Home, caller: Caller): Promise<Token | undefined> {
  try {
    const token = parseTokenBytes(caller.token)
    // I and T of the handshake: a token that carries somebody else's leads nowhere.
    if (!equal(token.identity, caller.identity) || !equal(token.transport, caller.transport)) return undefined
    if (token.revocation || inviteOf(token) !== undefined || isExpired(token, home.clock.now())) return undefined
    await verifyToken(token)
    return token
  } catch (error) {
    if (error instanceof Malformed || error instanceof Failure) return undefined
    throw error
  }
}

/** NAME as the invite says, or the first of NAME-2, NAME-3, ... if somebody else is called so by now. */
function freeName(keyring: Keyring, name: string): string {
  const taken = new Set(keyring.all().map((contact) => foldName(contact.name)))
  for (let n = 1; ; n++) {
    const tail = n === 1 ? '' : `-${n}`
    const free = `${Array.from(name).slice(0, NAME_MAX - tail.length).join('')}${tail}`
    if (!taken.has(foldName(free))) return free
  }
}
