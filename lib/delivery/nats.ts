// What the routers of both sides are known to do, and what follows where nothing can lead through them. Pure.

import type { Contact } from '../disk/contact.ts'
import { NAT_CLASS } from '../net/outside.ts'
import { parseIp } from '../wire/ip.ts'
import { EXT_NAT, parseToken } from '../wire/token.ts'

/** NAT classes of both sides of a pair. */
export interface Nats {
  own: number
  peer: number
}

/** `seen`: of this machine as others see it now; if they do not tell, what the own token says. */
export function natsOf(seen: number, ownToken: string, contact: Contact): Nats {
  return { own: seen === NAT_CLASS.UNKNOWN ? natIn(ownToken) : seen, peer: natOf(contact) }
}

/** Of the contact, as it told it last. */
export function natOf(contact: Contact): number {
  return contact.nat ?? natIn(contact.tokenText)
}

/**
 * Both routers give every destination another port, IPv4 is all that both have (`ipv6`: this machine has more), and there
 * never was a session, as there would have been over a port that one of them lets through.
 */
export function isHopeless({ own, peer }: Nats, { addresses, sessionAddresses }: Contact, ipv6: boolean): boolean {
  const symmetric = own === NAT_CLASS.SYMMETRIC && peer === own
  const families = new Set(addresses.map(({ host }) => parseIp(host)?.length))
  return symmetric && sessionAddresses.length === 0 && !families.has(undefined) && !(ipv6 && families.has(16))
}

/** The NAT class that a token tells. */
function natIn(tokenText: string): number {
  if (tokenText === '') return NAT_CLASS.UNKNOWN
  return parseToken(tokenText).ext.find(({ type }) => type === EXT_NAT)?.value[0] ?? NAT_CLASS.UNKNOWN
}
