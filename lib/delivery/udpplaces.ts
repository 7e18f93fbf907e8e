// Where a contact may be over UDP, as far as this machine can send there. What a host name leads to is remembered for a
// while: holes are kept open every 20 s, and resolvers are not to be asked that often.

import type { Clock } from '../base/clock.ts'
import { isOnLink, localAddresses } from '../net/interfaces.ts'
import type { Endpoint } from '../net/stream.ts'
import { resolve } from '../net/tcp.ts'
import type { UdpPort } from '../net/udp.ts'
import { acceptFromPeer, type Address, ADDRESSES_MAX } from '../wire/address.ts'
import { parseIp } from '../wire/ip.ts'

const FRESH_MS = 600_000

/** Maybe for TCP as well. */
export type Place = Endpoint & { readonly tcp: boolean }

export class UdpPlaces {
  readonly #clock: Clock
  readonly #port: UdpPort
  readonly #quiet: () => boolean
  readonly #names = new Map<string, { at: number; ips: string[] }>()

  /** `quiet`: no name is looked up. */
  constructor(clock: Clock, port: UdpPort, quiet: () => boolean) {
    this.#clock = clock
    this.#port = port
    this.#quiet = quiet
  }

  /** In the order of the addresses; those of families that this machine lacks, and its own, are left out. */
  async of(addresses: readonly Address[]): Promise<Place[]> {
    const families = this.#port.addresses.map(({ ip }) => ip.includes(':'))
    const own = localAddresses(this.#port.port).map(({ host }) => host)
    const places: Place[] = []
    for (const { host, port, tcp, udp } of addresses) {
      if (!udp) continue
      for (const ip of parseIp(host) === undefined ? await this.#resolve(host, port) : [host]) {
        const self = port === this.#port.port && own.includes(ip)
        if (families.includes(ip.includes(':')) && !self) places.push({ ip, port, tcp })
      }
    }
    return places.slice(0, ADDRESSES_MAX)
  }

  async #resolve(host: string, port: number): Promise<string[]> {
    if (this.#quiet()) return []
    const now = this.#clock.monotonic()
    const known = this.#names.get(host)
    if (known !== undefined && now - known.at < FRESH_MS) return known.ips
    const ips = (await resolve(host)).filter((ip) => acceptFromPeer({ host: ip, port }, () => isOnLink(ip)))
    this.#names.set(host, { at: now, ips })
    return ips
  }
}
