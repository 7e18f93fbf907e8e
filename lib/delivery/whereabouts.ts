// Where this machine is, and where contacts are beside it, as far as a process knows: what the own router maps, the token
// says, others see, and the interfaces have. Guarantee: what is told to others names no loopback, the best first, and
// ADDRESSES_MAX at most. What others say of this machine is hearsay: it is told on and tried, and nothing rests on it.

import type { Contact } from '../disk/contact.ts'
import type { Home } from '../disk/home.ts'
import type { Self } from '../disk/self.ts'
import { localAddresses } from '../net/interfaces.ts'
import { Outside } from '../net/outside.ts'
import { BOTH_SYMMETRIC } from '../net/verdict.ts'
import { acceptFromPeer, type Address, ADDRESSES_MAX, isLoopback, joinedAddresses } from '../wire/address.ts'
import { isHopeless, natsOf } from './nats.ts'
import type { DialTrouble } from './trouble.ts'

/** What a side says of where it is. */
export interface Place {
  /** p2p-wire(7), NAT class. */
  readonly nat: number
  readonly addresses: Address[]
}

export class Whereabouts {
  /** Where others see this machine. */
  readonly outside: Outside
  /** Where the own router lets others in. */
  mapped: () => Address[] = () => []
  /** Where a contact (KEY) was heard in the own network. */
  neighbour: (key: string) => Address | undefined = () => undefined
  readonly #home: Home
  readonly #self: () => Self

  /** `self`: as it is now. */
  constructor(home: Home, self: () => Self) {
    this.outside = new Outside(home.clock)
    this.#home = home
    this.#self = self
  }

  /** Where the own router lets others in, what the token says, where others see this machine, where it is; no loopback. */
  place(): Place {
    const { token } = this.#self()
    const told = token.addresses.filter((address) => !isLoopback(address))
    const seen = this.outside.addresses().filter((address) => acceptFromPeer(address))
    const here = localAddresses(this.#home.port)
    const own = here.filter((address) => acceptFromPeer(address, () => true))
    const addresses = joinedAddresses([...this.mapped(), ...told, ...seen, ...own]).slice(0, ADDRESSES_MAX)
    return { nat: this.outside.natClass(here.map(({ host }) => host)), addresses }
  }

  /** Why nothing can lead to this contact as things are, in the words of DialTrouble. */
  hopelessness(contact: Contact): Pick<DialTrouble, 'reason' | 'text'> | undefined {
    const nats = natsOf(this.place().nat, this.#self().tokenText, contact)
    const ipv6 = localAddresses(this.#home.port).some((each) => each.host.includes(':') && acceptFromPeer(each, () => true))
    return this.mapped().length === 0 && isHopeless(nats, contact, ipv6) ? { reason: 'both-symmetric', text: BOTH_SYMMETRIC } : undefined
  }
}
