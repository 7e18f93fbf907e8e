// Why a contact cannot be reached, in one word for scripts and a sentence for people.

import type { Contact } from '../disk/contact.ts'
import type { DialFailure, DialReason } from '../net/dial.ts'
import { type Address, formatAddress } from '../wire/address.ts'

export interface DialTrouble {
  /** The word of p2p-send's `deferred` record. */
  reason: DialReason | 'no-address' | 'local-error' | 'backoff' | 'both-symmetric'
  text: string
  addresses: { address: string; reason: DialReason | 'backoff' }[]
}

/** Most telling first. */
const TELLING: readonly DialReason[] = ['silent', 'lost', 'refused', 'timeout', 'unroutable', 'unresolved']

/** The trouble with all addresses of a contact together. `quiet`: host names were not looked up. */
export function explain(contact: Contact, failures: DialFailure[], quiet = false): DialTrouble {
  const reason = TELLING.find((word) => failures.some((failure) => failure.reason === word)) ?? 'timeout'
  const { name } = contact
  const texts: Record<DialReason, string> = {
    silent:
      `something listens but did not answer as ${name}: ${name} has not added you yet, removed or blocked you, ` +
      'has a new key, or a home was restored from an old copy',
    lost: `the connection to ${name} broke`,
    refused: 'the machine answers but p2p is not running there, or the port is wrong',
    timeout: `${name}'s machine is off or asleep, or a router blocks the port`,
    unroutable: `there is no route to ${name}'s address from here`,
    unresolved: quiet
      ? `the host name in ${name}'s address was not looked up: quiet_net is on`
      : `the host name in ${name}'s address has no address now`,
  }
  const addresses = failures.map((failure) => ({ address: formatAddress(failure.address), reason: failure.reason }))
  return { reason, text: texts[reason], addresses }
}

/** There is no address to call: none is known, or those that the contact told have been called often enough for a day. */
export function nowhere({ name }: Contact, resting: readonly Address[]): DialTrouble {
  if (resting.length === 0) return { reason: 'no-address', text: `no address of ${name} is known`, addresses: [] }
  const text = `no address that ${name} told has ever answered, and each was called often enough for today`
  return { reason: 'backoff', text, addresses: resting.map((each) => ({ address: formatAddress(each), reason: 'backoff' })) }
}
