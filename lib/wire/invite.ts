// Invites, p2p-wire(7), FIRST CONTACT: a token with a secret in extension 01 that lets one stranger in, once. The secret
// crosses the network never; what does is a proof, made for one hello and for the keys of the caller, that nobody else
// can use and that tells nothing about the secret. Pure; the 16 bytes come from whoever makes the invite.

import { concat, Reader, utf8, Writer } from '../base/bytes.ts'
import { EXT_INVITE } from './token.ts'

import type { Suite } from '../crypto/suite.ts'
import type { Extension, Token } from './token.ts'

/** Bytes of the secret: guessing it is out of question, and it makes a token 22 bytes longer. */
export const INVITE_SECRET = 16

/** Bytes of a proof. */
const PROOF = 16

const LABEL = utf8('p2p/1 invite')

export interface Invite {
  /** 16 bytes; to be wiped by whoever got it. */
  readonly secret: Uint8Array
  /** Unix seconds: from then on it lets nobody in. */
  readonly expires: number
}

/** What makes an invite of a token. */
export function inviteExtension({ secret, expires }: Invite): Extension {
  if (secret.length !== INVITE_SECRET) throw new RangeError('an invite secret has 16 bytes')
  return { type: EXT_INVITE, value: new Writer().bytes(secret).u32(expires).finish() }
}

/** The invite in a token; undefined if it is a plain one. */
export function inviteOf(token: Token): Invite | undefined {
  const extension = token.ext.find(({ type }) => type === EXT_INVITE)
  if (extension === undefined) return undefined
  const reader = new Reader(extension.value)
  return { secret: reader.bytes(INVITE_SECRET).slice(), expires: reader.u32() }
}

/** True from the instant an invite lets nobody in any more; `now` in Unix milliseconds. */
export function isOver({ expires }: Pick<Invite, 'expires'>, now: number): boolean {
  return now >= expires * 1000
}

/** HMAC(secret, "p2p/1 invite" || e || I || T)[0..16]: e of the first message, I and T of who uses the invite. */
export function inviteProof(
  suite: Pick<Suite, 'hmac'>,
  secret: Uint8Array,
  caller: { ephemeral: Uint8Array; identity: Uint8Array; transport: Uint8Array },
): Uint8Array {
  const { ephemeral, identity, transport } = caller
  return suite.hmac(secret, concat(LABEL, ephemeral, identity, transport)).slice(0, PROOF)
}
