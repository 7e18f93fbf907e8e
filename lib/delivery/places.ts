// Where a contact may be called: what it told in its last session first, then its token. Addresses that no person has
// seen, because the contact told them in sessions, may be anybody's: those that never answered are called a few times
// a day (lib/disk/tried.ts), so that no contact can aim our calls at others for long.

import type { Contact } from '../disk/contact.ts'
import type { Home } from '../disk/home.ts'
import { mayTry, noteAnswered } from '../disk/tried.ts'
import type { Link } from '../net/link.ts'
import { type Address, classOf, joinedAddresses } from '../wire/address.ts'

export interface Places {
  /** To be called now, the best first; those told count as called. */
  addresses: Address[]
  /** Called often enough for today. */
  resting: Address[]
  /** The call led to this link. */
  answered(link: Link): Promise<void>
}

/** `neighbour`: where it was heard in the own network. */
export async function placesOf(home: Home, contact: Contact, neighbour?: Address): Promise<Places> {
  const known = joinedAddresses([...contact.sessionAddresses, ...contact.addresses])
  const pasted = contact.told === true ? [] : contact.addresses
  const told = known.filter((address) => !pasted.some((other) => samePlace(address, other)))
  const allowed = await mayTry(home, contact.key, told)
  const near = neighbour === undefined ? [] : [neighbour]
  const addresses = joinedAddresses([...near, ...known.filter((address) => !told.includes(address) || allowed.includes(address))])
  return {
    addresses,
    resting: told.filter((address) => !allowed.includes(address)),
    async answered({ remote: { ip: host, port } }) {
      const here = addresses.some((address) => samePlace(address, { host, port }))
      // By a name, if none of the plain addresses fits.
      const by = allowed.filter((address) => (here ? samePlace(address, { host, port }) : classOf(address) === 'name'))
      if (by.length > 0) await noteAnswered(home, contact.key, by)
    },
  }
}

function samePlace(a: { host: string; port: number }, b: { host: string; port: number }): boolean {
  return a.host === b.host && a.port === b.port
}
