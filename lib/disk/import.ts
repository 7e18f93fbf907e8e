// Taking a token into the keyring, by hand or inside a session. Everything is judged before anything changes: the token
// itself (typing error, forged, expired), then against what is held (own, older, another name, another identity).

import { compare } from '../base/bytes.ts'
import { EX, Failure, Malformed } from '../base/fail.ts'
import { base58 } from '../base/key.ts'
import { checkName } from '../base/text.ts'
import { isoTime } from '../base/utc.ts'
import { fingerprintWords } from '../crypto/words.ts'
import { acceptFromPeer, type Address } from '../wire/address.ts'
import { inviteOf, isOver } from '../wire/invite.ts'
import { successorOf } from '../wire/successor.ts'
import { formatToken, isExpired, isSameToken, parseToken, parseTokenBytes, verifyToken } from '../wire/token.ts'
import { fromToken } from './contact.ts'
import { keepInvite } from './invites.ts'
import { isRevoked } from './keyring.ts'
import { changeKeyring, noteRevocation, updateContact, writeContact } from './contacts.ts'

import type { Suite } from '../crypto/suite.ts'
import type { Token } from '../wire/token.ts'
import type { Contact, Introduction } from './contact.ts'
import type { Home } from './home.ts'
import type { Keyring } from './keyring.ts'

const DATE_MAX = 8_640_000_000_000_000n // ECMA-262: the last time a Date can hold

export interface Imported {
  /** same: nothing was new. revoked: the token revokes its identity; `contact` only if it is one. */
  outcome: 'added' | 'updated' | 'same' | 'revoked'
  key: string
  contact: Contact | undefined
}

/**
 * Adds or updates the contact `name` by a token, durably; an invite is kept until it is answered. `introduced`: of a
 * stranger whose request was accepted. Throws Failure 64 for a bad name; 65 for the own token and one that is expired,
 * forged or older than the one held; 77 if identity and name do not belong together or if the identity was revoked; 78
 * if its file is damaged.
 */
export async function importToken(
  home: Home,
  suite: Suite,
  name: string,
  token: Token,
  introduced?: Introduction,
): Promise<Imported> {
  const given = checkName(name)
  await verifyToken(token)
  const key = base58(token.identity)
  const now = home.clock.now()
  const invite = inviteOf(token)
  const until = isExpired(token, now) ? token.notAfter : invite !== undefined && isOver(invite, now) ? invite.expires : 0
  if (until > 0) {
    const what = invite === undefined ? 'token' : 'invite'
    throw new Failure(EX.DATA, `${what} expired on ${isoTime(until * 1000)}: ask for a new one`)
  }
  return changeKeyring(home, async (keyring) => {
    if (key === keyring.self.key) throw new Failure(EX.DATA, 'this is your own token: give it to others')
    const damaged = keyring.problems.find((problem) => problem.key === key)
    if (damaged !== undefined) throw damaged.failure
    const held = keyring.byKey(key)
    if (token.revocation) {
      await noteRevocation(home, key, formatToken(token))
      return { outcome: 'revoked', key, contact: held && { ...held, revoked: true } }
    }
    if (await isRevoked(home, key)) {
      throw new Failure(EX.NOT_PERMITTED, `the identity ${key} was revoked by its owner, for good`)
    }
    await checkBelonging(keyring, suite, given, token, held)
    const outcome = held === undefined ? 'added' : isNewer(held, token) ? 'updated' : 'same'
    const met = invite === undefined ? introduced : 'invite'
    const fresh = introduced === 'request' ? newcomer : newContact
    const contact = {
      ...(held === undefined ? fresh(given, token, now) : outcome === 'same' ? held : updated(held, token)),
      ...(met !== undefined && { introduced: met }),
    }
    if (invite !== undefined) await keepInvite(home, key, invite) // first: nobody is called without it
    if (outcome !== 'same' || met !== undefined) await writeContact(home, contact)
    invite?.secret.fill(0)
    return { outcome, key, contact }
  })
}

/** A contact of whom nothing is known but a token that a person has handed over. */
function newContact(name: string, token: Token, added: number): Contact {
  const { identity } = token
  const fresh = { sessionAddresses: [], blocked: false, revoked: false, added, features: 0 }
  return { name, key: base58(identity), identity, ...fromToken(token, keptText(token)), ...fresh }
}

/** As newContact, by a token that it sent itself: it must not aim our calls at this machine. */
export function newcomer(name: string, token: Token, added: number): Contact {
  const contact = newContact(name, token, added)
  return { ...contact, addresses: token.addresses.filter((address) => acceptFromPeer(address, () => true)), told: true }
}

/** By a token that a person has handed over. */
function updated(held: Contact, token: Token): Contact {
  return { ...held, ...fromToken(token, keptText(token)), told: false }
}

/** By one that the contact sent itself; see newcomer. */
function renewed(held: Contact, token: Token): Contact {
  const fresh = fromToken(token, keptText(token))
  const known = (address: Address): boolean => held.addresses.some(({ host }) => host === address.host)
  const addresses = fresh.addresses.filter((address) => known(address) || acceptFromPeer(address, () => true))
  return { ...held, ...fresh, addresses, told: true }
}

/** The secret of an invite is for one use and never kept. */
function keptText(token: Token): string {
  return inviteOf(token) === undefined ? formatToken(token) : ''
}

/** A name means one identity, and an identity has one name: anything else is decided by a person. Throws 77. */
async function checkBelonging(
  keyring: Keyring,
  suite: Suite,
  name: string,
  token: Token,
  held: Contact | undefined,
): Promise<void> {
  const named = keyring.byName(name)
  if (named === held) return
  const describe = async (who: string, identity: Uint8Array): Promise<string> =>
    `  ${who}: ${base58(identity)}\n    ${(await fingerprintWords(identity, suite)).join(' ')}`
  if (held === undefined && named !== undefined) {
    const old = `${named.name}-old`
    const older = successorOf(token)
    const says =
      older !== undefined && compare(older.old, named.identity) === 0
        ? '; the token says, signed with both keys, that it succeeds the one held, which a thief of that key can say, too'
        : ''
    throw new Failure(
      EX.NOT_PERMITTED,
      `'${named.name}' is known with another identity${says}; only if the words below the token are what ` +
        `${named.name} reads to you, rename the old one and add again\n${await describe('held', named.identity)}\n` +
        (await describe('token', token.identity)),
      `p2p-id rename ${named.name} ${old}`,
    )
  }
  if (held !== undefined) {
    const taken = named === undefined ? '' : `, and '${named.name}' is somebody else`
    const others = named === undefined ? '' : `\n${await describe(named.name, named.identity)}`
    throw new Failure(
      EX.NOT_PERMITTED,
      `this identity is already known as '${held.name}'${taken}\n${await describe('token', token.identity)}${others}`,
      named === undefined ? `p2p-id rename ${held.name} ${name}` : `p2p-id add ${held.name}`,
    )
  }
}

/** False if the token says what is held already. Throws Failure 65 if it is older. */
function isNewer(held: Contact, token: Token): boolean {
  if (token.seq > held.seq) return true
  if (token.seq === held.seq && (held.tokenText === '' || isSameToken(parseToken(held.tokenText), token))) return false
  const ages = token.seq === held.seq ? '' : ` (of ${dateOf(token.seq)}, held ${dateOf(held.seq)})`
  throw new Failure(EX.DATA, `token is older than the one held of ${held.name}${ages}: ask for a new one`)
}

/** A sequence number is a time in Unix ms unless its owner's clock was off by ages. */
function dateOf(seq: bigint): string {
  return seq < DATE_MAX ? isoTime(Number(seq)) : `number ${seq}`
}

/**
 * A token that a contact sent inside a session or a hello: taken if it is a verified, unexpired, newer token of the
 * same identity; a revocation is not taken this way. Returns the contact as it is then; undefined if it is no contact
 * any more. Throws Malformed for anything else, which changes nothing.
 */
export async function takeToken(home: Home, key: string, bytes: Uint8Array): Promise<Contact | undefined> {
  const token = parseTokenBytes(bytes)
  if (base58(token.identity) !== key) throw new Malformed('a token of somebody else')
  if (token.revocation || keptText(token) === '') throw new Malformed('no token for a session')
  if (isExpired(token, home.clock.now())) throw new Malformed('expired token')
  await verifyToken(token).catch((error: unknown) => {
    throw error instanceof Failure ? new Malformed(error.message) : error
  })
  return updateContact(home, key, (held) => (token.seq > held.seq && !held.revoked ? renewed(held, token) : held))
}
