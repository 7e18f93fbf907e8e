// A contact, and its file contacts/KEY.json (p2p-spool(5)): everything known about one person. A file is written only
// from tokens that were verified and from authenticated sessions; it is trusted when read, but read strictly, so that
// a damaged one is named and never half believed.

import { base58, fromBase58, keyBytes } from '../base/key.ts'
import { fromUtf8, utf8 } from '../base/bytes.ts'
import { EX, Failure } from '../base/fail.ts'
import { checkName } from '../base/text.ts'
import { isoTime } from '../base/utc.ts'
import { ADDRESSES_MAX, formatAddress, parseAddress } from '../wire/address.ts'
import { REVOKED_SEQ } from '../wire/token.ts'

import type { Address } from '../wire/address.ts'
import type { Token } from '../wire/token.ts'

export interface Contact {
  /** The name given here; unique in the keyring. */
  readonly name: string
  /** base58 of `identity`; the name of its file. */
  readonly key: string
  readonly identity: Uint8Array
  /** The peer's current X25519 public key. */
  readonly transport: Uint8Array
  /** Of the newest token held. */
  readonly seq: bigint
  /** The newest token as text; '' if it was an invite, whose secret is not kept. */
  readonly tokenText: string
  /** As in the token. */
  readonly addresses: readonly Address[]
  /** The token came in a session: no person has seen its addresses. */
  readonly told?: boolean
  /** As last told in a session; tried first. */
  readonly sessionAddresses: readonly Address[]
  /** NAT class, p2p-wire(7), as last told in a session. */
  readonly nat?: number
  /** Unix ms when a person compared the words. */
  readonly verified?: number
  readonly blocked: boolean
  /** The identity was revoked by its owner: for good. Held in contacts/KEY.revoked, not in this file. */
  readonly revoked: boolean
  /** Unix ms. */
  readonly added: number
  readonly limits?: { readonly maxMessage?: number; readonly quota?: number }
  /** Bytes of the largest message that the peer takes, as last told in a session. */
  readonly takes?: number
  /** Feature bits the peer has shown; a shown bit is required from then on. */
  readonly features: number
  /** The peer's home as last seen, hex. */
  readonly instance?: string
  /** How the two came to know one another, as long as they have not met since and the owner was not told that it worked. */
  readonly introduced?: Introduction | undefined
}

/** invite: one that was given out or received. request: of a stranger, accepted here. */
export type Introduction = 'invite' | 'request'

const VERSION = 1
const FILE_MAX = 16_384 // bytes: many times what a contact needs

/** Throws Failure 77 for a contact that nothing may be sent to: revoked by its owner, or blocked here. */
export function checkSendable(contact: Contact): void {
  if (contact.revoked) {
    throw new Failure(EX.NOT_PERMITTED, `${contact.name} has revoked this identity`, `p2p-id show ${contact.name}`)
  }
  if (contact.blocked) {
    throw new Failure(EX.NOT_PERMITTED, `${contact.name} is blocked`, `p2p-id unblock ${contact.name}`)
  }
}

/** True if sessions with the contact are wanted at all: neither blocked nor revoked. */
export function isWelcome(contact: Contact): boolean {
  return !contact.blocked && !contact.revoked
}

/** What a verified token says of a contact. */
export function fromToken(token: Token, text: string): Pick<Contact, 'transport' | 'seq' | 'tokenText' | 'addresses'> {
  return { transport: token.transport, seq: token.seq, tokenText: text, addresses: token.addresses }
}

/** `host:port`, with `/tcp` or `/udp` behind if it is for one of them only. */
function addressText(address: Address): string {
  const only = address.tcp && address.udp ? '' : address.tcp ? '/tcp' : '/udp'
  return formatAddress(address) + only
}

export function encodeContact(contact: Contact): Uint8Array {
  const { name, key, transport, seq, tokenText, addresses, sessionAddresses } = contact
  const { told, nat, verified, blocked, added, limits, takes, features, instance, introduced } = contact
  const record = {
    v: VERSION,
    name,
    key,
    transport: base58(transport),
    seq: String(seq),
    ...(tokenText !== '' && { token: tokenText }),
    addresses: addresses.map(addressText),
    ...(told === true && { told }),
    ...(sessionAddresses.length > 0 && { session_addresses: sessionAddresses.map(addressText) }),
    ...(nat !== undefined && { nat }),
    ...(verified !== undefined && { verified: isoTime(verified) }),
    ...(blocked && { blocked }),
    added: isoTime(added),
    ...(limits?.maxMessage !== undefined && { max_message: limits.maxMessage }),
    ...(limits?.quota !== undefined && { quota: limits.quota }),
    ...(takes !== undefined && { takes }),
    ...(features !== 0 && { features }),
    ...(instance !== undefined && { instance }),
    ...(introduced !== undefined && { introduced }),
  }
  return utf8(JSON.stringify(record, null, 1) + '\n')
}

/** The contact in a file's bytes. Throws Failure 78 naming `path` for anything but what encodeContact writes. */
export function decodeContact(bytes: Uint8Array, path: string, revoked: boolean): Contact {
  try {
    if (bytes.length > FILE_MAX) throw new Error('it is too long')
    const record: unknown = JSON.parse(fromUtf8(bytes))
    if (typeof record !== 'object' || record === null) throw new Error('it is no JSON object')
    return new Fields(record as Record<string, unknown>).contact(revoked)
  } catch (error) {
    const why = error instanceof SyntaxError ? 'it is not JSON' : (error as Error).message
    throw new Failure(EX.CONFIG, `${path} is damaged: ${why}`)
  }
}

/** Typed access to the fields of a record; every method throws an Error that says what is wrong. */
class Fields {
  readonly #record: Record<string, unknown>

  constructor(record: Record<string, unknown>) {
    this.#record = record
  }

  contact(revoked: boolean): Contact {
    const v = this.number('v') ?? 0
    if (v > VERSION) throw new Error('it was written by a newer version of p2p')
    if (v !== VERSION) throw new Error('it has no version')
    const key = this.text('key')
    const identity = keyBytes(key)
    const transport = fromBase58(this.text('transport'), 44)
    if (identity === undefined || transport.length !== 32) throw new Error('a key in it is none')
    const seq = this.text('seq')
    if (!/^[0-9]{1,20}$/.test(seq) || BigInt(seq) >= REVOKED_SEQ) throw new Error(`'seq' is no number of a token`)
    const verified = this.time('verified')
    const nat = this.number('nat')
    const maxMessage = this.number('max_message')
    const quota = this.number('quota')
    const takes = this.number('takes')
    const limits = { ...(maxMessage !== undefined && { maxMessage }), ...(quota !== undefined && { quota }) }
    const instance = this.#record['instance'] === undefined ? undefined : this.text('instance')
    const introduced = this.#record['introduced']
    return {
      name: checkName(this.text('name')),
      key,
      identity,
      transport,
      seq: BigInt(seq),
      tokenText: this.#record['token'] === undefined ? '' : this.text('token'),
      addresses: this.addresses('addresses'),
      ...(this.#record['told'] === true && { told: true }),
      sessionAddresses: this.addresses('session_addresses'),
      ...(nat !== undefined && { nat }),
      ...(verified !== undefined && { verified }),
      blocked: this.#record['blocked'] === true,
      revoked,
      added: this.time('added') ?? 0,
      ...(Object.keys(limits).length > 0 && { limits }),
      ...(takes !== undefined && { takes }),
      features: this.number('features') ?? 0,
      ...(instance !== undefined && { instance }),
      ...((introduced === 'invite' || introduced === 'request') && { introduced }),
    }
  }

  text(name: string): string {
    const value = this.#record[name]
    if (typeof value !== 'string') throw new Error(`'${name}' is no text`)
    return value
  }

  number(name: string): number | undefined {
    const value = this.#record[name]
    if (value === undefined) return undefined
    if (Number.isSafeInteger(value) && (value as number) >= 0 && !Object.is(value, -0)) return value as number
    throw new Error(`'${name}' is no number`)
  }

  time(name: string): number | undefined {
    if (this.#record[name] === undefined) return undefined
    const value = Date.parse(this.text(name))
    if (Number.isNaN(value)) throw new Error(`'${name}' is no time`)
    return value
  }

  addresses(name: string): Address[] {
    const list = this.#record[name] ?? []
    if (!Array.isArray(list) || list.length > ADDRESSES_MAX) throw new Error(`'${name}' is no list of addresses`)
    return list.map((item: unknown) => {
      if (typeof item !== 'string') throw new Error(`'${name}' is no list of addresses`)
      const only = /\/(tcp|udp)$/.exec(item)?.[1]
      const address = parseAddress(item.replace(/\/(?:tcp|udp)$/, ''), 0)
      if (address.port === 0) throw new Error(`an address in '${name}' has no port`)
      return { ...address, tcp: only !== 'udp', udp: only !== 'tcp' }
    })
  }
}
