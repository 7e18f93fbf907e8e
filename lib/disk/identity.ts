// The own identity (p2p-spool(5)): the identity file holds the Ed25519 seed (identityfile.ts), transport.key the X25519
// secret of every session, token what others get. Only a new token needs the seed; sending and listening never ask for
// a passphrase. A secret that others can read is refused. The identity file is written last: without it there is none.

import { equal, utf8 } from '../base/bytes.ts'
import { EX, Failure } from '../base/fail.ts'
import { checkName } from '../base/text.ts'
import { type Invite, inviteExtension } from '../wire/invite.ts'
import { statement, successorExtension } from '../wire/successor.ts'
import { encodeToken, EXT_NAT, formatToken, REVOKED_SEQ, TOKEN_NAME_MAX } from '../wire/token.ts'
import { replaceFile } from './durable.ts'
import { prepareHome, refuseIdentity, writeHomeFile } from './home.ts'
import { withLock } from './lock.ts'
import { decodeSecret, encodeSecret, PLAIN, readSecret, SEALED } from './secret.ts'
import { loadSelf, selfOf, type Self } from './self.ts'

import type { PrivateKey, Suite } from '../crypto/suite.ts'
import type { Address } from '../wire/address.ts'
import type { Token, TokenFields } from '../wire/token.ts'
import type { Doors, Home, Location } from './home.ts'

const LOCK = 'identity'
const TRANSPORT_HEAD = '# p2p transport key: whoever has the next line can pose as you\n'
const TRANSPORT_LABEL = 'P2P-TRANSPORT-KEY-1'

/** The X25519 secret, and the one before it. */
export const TRANSPORT = 'transport.key'
export const OLD_TRANSPORT = 'transport.old.key'

/** So long contacts with an old token can still call. */
export const OLD_KEY_MS = 30 * 86_400_000

/**
 * The transport keys that contacts may use: the current one, then the one before it for 30 days (by the time stamp of
 * transport.old.key), or for as long as it is the one in the token: a rotation was interrupted. Throws Failure 77 if others can read one, 78 if one is damaged or does not belong to the token,
 * which is read unless it is `known`.
 */
export async function loadTransportKeys(home: Home, suite: Suite, known?: Token): Promise<PrivateKey[]> {
  const token = known ?? (await loadSelf(home)).token
  const own = (key: PrivateKey): boolean => equal(key.publicKey, token.transport)
  const keys = [await loadTransportKey(home, suite, TRANSPORT)]
  const old = await home.files.stat(home.at(OLD_TRANSPORT))
  if (old !== undefined) {
    const key = await loadTransportKey(home, suite, OLD_TRANSPORT)
    if (own(key) || home.clock.now() - old.mtimeMs <= OLD_KEY_MS) keys.push(key)
  }
  if (!keys.some(own) && known !== undefined) return loadTransportKeys(home, suite) // renewed meanwhile
  if (!keys.some(own)) throw new Failure(EX.CONFIG, `${home.at(TRANSPORT)} does not belong to ${home.at('token')}`)
  return keys
}

async function loadTransportKey(home: Home, suite: Suite, name: string): Promise<PrivateKey> {
  const secret = await readTransport(home, name)
  try {
    return suite.importPrivate(secret)
  } finally {
    secret.fill(0)
  }
}

/** The 32 bytes of a transport secret, to be wiped. Throws Failure 77 if others can read it, 78 if it is damaged. */
export async function readTransport(home: Home, name: string): Promise<Uint8Array> {
  const found = decodeSecret(await readSecret(home, name), TRANSPORT_LABEL, 32)
  if (found === undefined) throw new Failure(EX.CONFIG, `${home.at(name)} is damaged`)
  return found.secret
}

/** Writes a transport secret, durably. */
export async function writeTransport(home: Home, name: string, secret: Uint8Array): Promise<void> {
  const file = encodeSecret(TRANSPORT_HEAD, TRANSPORT_LABEL, secret)
  await replaceFile(home.files, home.random, home.at(name), file).finally(() => file.fill(0))
}

export interface NewIdentity {
  name: string
  port: number
  addresses: Address[]
  /** Seals the identity; undefined keeps it in a plain file. */
  passphrase: Uint8Array | undefined
}

/** The NAME of an own identity: as for contacts, and short enough for a token. Throws Failure 64. */
export function checkOwnName(text: string): string {
  const name = checkName(text)
  if (utf8(name).length > TOKEN_NAME_MAX) {
    throw new Failure(EX.USAGE, `name '${name}' is longer than the ${TOKEN_NAME_MAX} bytes a token has for it`)
  }
  return name
}

/**
 * A new home with a new identity, durable when this returns. Never overwrites one (73); what an interrupted call left
 * is completed with fresh keys. `revocation` is the text of the token that revokes the identity: to be kept offline.
 */
export async function createIdentity(
  location: Location,
  fields: NewIdentity,
  suite: Suite,
  doors: Doors,
): Promise<{ home: Home; self: Self; revocation: string }> {
  const { generateSeed, publicKeyOf, sign } = await import('../crypto/ed25519.ts')
  const { encodeIdentity, encryptWithPassphrase } = await import('../crypto/agefile.ts')
  const home = await prepareHome(location, fields.port, doors)
  return withLock(home, LOCK, async () => {
    await refuseIdentity(home.path, home.files)
    await writeHomeFile(home) // under the lock: of two who begin at once one has both the port and the token
    const { files, random, clock } = home
    const seed = generateSeed(random)
    const secret = random.bytes(32)
    try {
      const identity = await publicKeyOf(seed)
      const signed = (message: Uint8Array): Promise<Uint8Array> => sign(message, seed)
      const { name, addresses, passphrase } = fields
      const transport = suite.importPrivate(secret).publicKey
      const common = { identity, notAfter: 0, ext: [] }
      const token = await encodeToken(
        { ...common, transport, seq: BigInt(clock.now()), name, addresses, revocation: false },
        signed,
      )
      const revocation = await encodeToken(revocationOf(identity), signed)
      const plain = encodeIdentity(seed, identity)
      const sealed = passphrase === undefined ? plain : await encryptWithPassphrase(plain, passphrase)
      await writeTransport(home, TRANSPORT, secret)
      await replaceFile(files, random, home.at('token'), utf8(`${formatToken(token)}\n`))
      await replaceFile(files, random, home.at(passphrase === undefined ? PLAIN : SEALED), sealed)
      plain.fill(0)
      return { home, self: selfOf(token), revocation: formatToken(revocation) }
    } finally {
      seed.fill(0)
      secret.fill(0)
    }
  })
}

/**
 * A new own token with other addresses, and with the NAT class `nat` of p2p-wire(7) if that is known (not 0), signed by
 * `seed` and durable when this returns.
 */
export async function renewToken(home: Home, seed: Uint8Array, addresses: Address[], nat = 0): Promise<Self> {
  return withLock(home, LOCK, async () => {
    const signed = await signAs(home, seed, (token) => {
      const others = token.ext.filter(({ type }) => type !== EXT_NAT)
      const own = nat === 0 ? [] : [{ type: EXT_NAT, value: Uint8Array.of(nat) }]
      return { ...renewed(home, token), addresses, ext: [...own, ...others].sort((a, b) => a.type - b.type) }
    })
    return writeToken(home, signed)
  })
}

/** The text of an invite: the own token with a secret in it, and the same number, so that it is the same token. */
export async function signInvite(home: Home, seed: Uint8Array, invite: Invite): Promise<string> {
  const signed = await signAs(home, seed, (token) => ({ ...token, ext: [inviteExtension(invite), ...token.ext] }))
  return formatToken(signed)
}

/** A new own token that says, signed with `oldSeed`, that this identity takes the place of that one; durable. */
export async function signSuccessor(home: Home, seed: Uint8Array, oldSeed: Uint8Array): Promise<Self> {
  const { publicKeyOf, sign } = await import('../crypto/ed25519.ts')
  const old = await publicKeyOf(oldSeed)
  return withLock(home, LOCK, async () => {
    const { identity } = await loadSelf(home)
    if (equal(old, identity)) throw new Failure(EX.DATA, 'the two homes have the same identity')
    const seq = BigInt(home.clock.now())
    const extension = successorExtension({ old, seq, signature: await sign(statement(old, identity, seq), oldSeed) })
    const signed = await signAs(home, seed, (token) => {
      const others = token.ext.filter(({ type }) => type !== extension.type)
      return { ...renewed(home, token), ext: [...others, extension].sort((a, b) => a.type - b.type) }
    })
    return writeToken(home, signed)
  })
}

/** The text of the token that ends this identity; the same whenever it is asked for. */
export async function signRevocation(home: Home, seed: Uint8Array): Promise<string> {
  return formatToken(await signAs(home, seed, ({ identity }) => revocationOf(identity)))
}

function revocationOf(identity: Uint8Array): TokenFields {
  const nothing = { transport: new Uint8Array(32), notAfter: 0, name: '', addresses: [], ext: [] }
  return { identity, ...nothing, seq: REVOKED_SEQ, revocation: true }
}

/** Signs what `change` makes of the own token. Throws Failure 78 if `seed` is another identity's. */
export async function signAs(home: Home, seed: Uint8Array, change: (token: Token) => TokenFields): Promise<Token> {
  const { publicKeyOf, sign } = await import('../crypto/ed25519.ts')
  const { token } = await loadSelf(home)
  if (!equal(await publicKeyOf(seed), token.identity)) {
    throw new Failure(EX.CONFIG, `the identity of ${home.path} does not belong to ${home.at('token')}`)
  }
  return encodeToken(change(token), (message) => sign(message, seed))
}

/** Makes a token the own one, durably. */
export async function writeToken(home: Home, token: Token): Promise<Self> {
  await replaceFile(home.files, home.random, home.at('token'), utf8(`${formatToken(token)}\n`))
  return selfOf(token)
}

/** The same with the next number. */
export function renewed(home: Home, token: Token): Token {
  return { ...token, seq: nextSeq(token.seq, home.clock.now()) }
}

/** max(previous + 1, clock): grows even if the clock went back, and even if the state was lost. */
function nextSeq(previous: bigint, now: number): bigint {
  const clock = BigInt(now)
  return clock > previous ? clock : previous + 1n
}
