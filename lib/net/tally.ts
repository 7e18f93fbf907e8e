// What went to the places of a contact and what came from them while it was called, for whoever explains why nobody
// answered. Counts only; a datagram that came from a place need not be the contact's.

import { formatAddress } from '../wire/address.ts'
import { HELLO_SIZE } from '../wire/hello.ts'
import type { Endpoint } from './stream.ts'
import type { Passing } from './udp.ts'

/** One place over UDP. */
export interface Counts {
  /** host:port, IPv6 in brackets. */
  readonly address: string
  /** Datagrams that end on the way. */
  openers: number
  /** First messages of handshakes, and answers to those. */
  hellos: number
  /** Datagrams that came from there. */
  seen: number
}

/** Ports of one host that are told apart; what comes from further ones counts for the last. */
const PLACES_MAX = 24

export class Tally {
  readonly #places = new Map<string, Counts>()
  readonly #hosts = new Set<string>()
  /** Hellos to ports that nobody named: a search. */
  probes = 0

  constructor(places: readonly Endpoint[]) {
    for (const place of places) this.add(place)
  }

  add(place: Endpoint): void {
    this.#hosts.add(place.ip)
    this.#of(place)
  }

  /** Of any datagram of the port; those from and to others do not count. */
  note({ out, size, hops, place }: Passing): void {
    if (!this.#hosts.has(place.ip)) return
    const known = this.#places.has(addressOf(place))
    if (out && !known) {
      this.probes++
      return
    }
    const counts = this.#of(place)
    if (!out) counts.seen++
    else if (hops !== undefined) counts.openers++
    else if (size === HELLO_SIZE) counts.hellos++
  }

  get places(): readonly Counts[] {
    return [...this.#places.values()]
  }

  #of(place: Endpoint): Counts {
    const address = addressOf(place)
    const known = this.#places.get(address)
    if (known !== undefined) return known
    const [last] = [...this.#places.values()].slice(-1)
    if (last !== undefined && this.#places.size >= PLACES_MAX) return last
    const counts: Counts = { address, openers: 0, hellos: 0, seen: 0 }
    this.#places.set(address, counts)
    return counts
  }
}

const addressOf = ({ ip, port }: Endpoint): string => formatAddress({ host: ip, port })
