// How p2p-id tells of people: the records of p2p-record(5) and the lines for a terminal, for a contact and for oneself.
// Names and addresses in them were checked when they came in; the edge makes the rest printable.

import { base58 } from '../base/key.ts'
import { localTime, printable, quote } from '../base/text.ts'
import { isoTime } from '../base/utc.ts'
import { formatAddress } from '../wire/address.ts'
import { successorOf } from '../wire/successor.ts'
import { parseToken, type Token } from '../wire/token.ts'

import type { Contact } from './contact.ts'
import type { Home } from './home.ts'
import type { Self } from './self.ts'
import type { KnockRequest } from './quarantine.ts'

type Rec = Record<string, unknown>

/** The record of a contact; further fields are appended by the caller. */
export function contactRecord(contact: Contact, words: readonly string[], more: Rec = {}): Rec {
  const { name, key, verified, blocked, revoked, added, addresses, sessionAddresses, introduced } = contact
  return {
    v: 1,
    type: 'contact',
    name,
    key,
    verified: verified !== undefined,
    ...(verified !== undefined && { verified_at: isoTime(verified) }),
    ...(blocked && { blocked }),
    ...(revoked && { revoked }),
    ...(introduced !== undefined && { pending: true }),
    added: isoTime(added),
    addresses: addresses.map(formatAddress),
    ...(sessionAddresses.length > 0 && { session_addresses: sessionAddresses.map(formatAddress) }),
    words: words.join(' '),
    ...more,
  }
}

/** The record of a stranger's request. */
export function requestRecord({ key, token, received, source }: KnockRequest, words: readonly string[]): Rec {
  const { name, addresses } = token
  return {
    v: 1,
    type: 'request',
    key,
    ...(name !== '' && { suggested: name }),
    addresses: addresses.map(formatAddress),
    words: words.join(' '),
    source,
    received: isoTime(received),
  }
}

/** The record of oneself. */
export function selfRecord(self: Self, home: Home, words: readonly string[]): Rec {
  return {
    v: 1,
    type: 'identity',
    name: self.name,
    key: self.key,
    port: home.port,
    home: home.path,
    addresses: self.token.addresses.map(formatAddress),
    words: words.join(' '),
  }
}

/** In one word how far a contact is to be trusted. */
export function standing(contact: Contact): string {
  if (contact.revoked) return 'revoked'
  if (contact.blocked) return 'blocked'
  return contact.verified === undefined ? 'unverified' : 'verified'
}

/** Lines `label  value`, several values of one label below each other. */
function table(rows: readonly [string, string | readonly string[]][]): string {
  const width = Math.max(...rows.map(([label]) => label.length)) + 2
  const lines: string[] = []
  for (const [label, value] of rows) {
    const values = typeof value === 'string' ? [value] : value
    values.forEach((text, at) => lines.push(`${(at === 0 ? label : '').padEnd(width)}${text}`))
  }
  return lines.join('\n')
}

/** What people say of themselves in their token, and what counts for nothing. */
export interface Claims {
  /** A name. */
  readonly suggested?: string
  /** KEY of an older identity of theirs, which has signed that: as could whoever stole it. */
  readonly succeeds?: string
}

/** Of a token, or of the one that is held of a contact. */
export function claimsOf(of: Token | Contact): Claims {
  try {
    if ('tokenText' in of) return of.tokenText === '' ? {} : claimsOf(parseToken(of.tokenText))
    const older = successorOf(of)
    return { ...(of.name !== '' && { suggested: of.name }), ...(older !== undefined && { succeeds: base58(older.old) }) }
  } catch {
    return {} // damaged on disk: nothing else needs it
  }
}

export function showContact(contact: Contact, words: readonly string[], { suggested, succeeds }: Claims): string {
  const { verified, added, introduced } = contact
  return table([
    ['name', contact.name],
    ...(suggested === undefined ? [] : [['suggested', printable(suggested)] as [string, string]]),
    ['key', contact.key],
    ...(succeeds === undefined ? [] : [['succeeds', `${succeeds}, as it says itself`] as [string, string]]),
    ['standing', `${standing(contact)}${verified === undefined ? '' : ` since ${localTime(verified)}`}`],
    ...(introduced === undefined ? [] : [['', 'not met yet'] as [string, string]]),
    ['words', twoLines(words)],
    ['addresses', contact.addresses.map(formatAddress)],
    ['last known', contact.sessionAddresses.map(formatAddress)],
    ['added', localTime(added)],
  ])
}

export function showRequest({ key, token, received, source }: KnockRequest, words: readonly string[]): string {
  const named = token.name === '' ? '' : `, calls itself ${quote(token.name)}`
  return `${key}  ${localTime(received)}, from ${source}${named}\n  ${words.join(' ')}`
}

export function showSelf(self: Self, home: Home, words: readonly string[]): string {
  return table([
    ['name', self.name],
    ['key', self.key],
    ['words', twoLines(words)],
    ['addresses', self.token.addresses.map(formatAddress)],
    ['port', String(home.port)],
    ['home', home.path],
  ])
}

/** 12 words as they are read aloud: six and six. */
export function twoLines(words: readonly string[]): string[] {
  return [words.slice(0, 6).join(' '), words.slice(6).join(' ')]
}
