// How STUN servers see the home's UDP port: those that the owner has named, and no others. What they say is noted beside
// what contacts see (lib/net/outside.ts); each of them can lie, and learns nothing but that this address asked.

import type { Clock } from '../base/clock.ts'
import { discover, type Discovery } from '../net/stun.ts'
import type { Endpoint } from '../net/stream.ts'
import { resolve } from '../net/tcp.ts'
import type { UdpPort } from '../net/udp.ts'
import { type Address, formatAddress } from '../wire/address.ts'
import { parseIp } from '../wire/ip.ts'
import type { Station } from './station.ts'

/** NATs that choose the outside port themselves forget it when nothing is sent; contacts keep it alive, servers see it. */
const EVERY_MS = 10 * 60_000
const AGAIN_MS = 60_000 // after nobody answered

/** What one server said, in the order of the servers; undefined: nothing. */
export interface Sighting {
  readonly server: Address
  readonly discovery: Discovery | undefined
}

/** Asks each of the servers and notes what they see. */
export async function lookFromOutside(station: Station, port: UdpPort, servers: readonly Address[], signal: AbortSignal): Promise<Sighting[]> {
  const asked = servers.map(async (server): Promise<Sighting> => {
    const places = await placesOf(server, station.config.quietNet)
    const here = places.find(({ ip }) => port.addresses.some((own) => own.ip.includes(':') === ip.includes(':')))
    const discovery = here && (await discover(port.stun, here, signal))
    discovery?.seen.forEach((seen, i) => station.whereabouts.outside.note(`stun:${formatAddress(server)}${i === 0 ? '' : `#${i}`}`, seen))
    if (discovery?.filtering !== undefined) station.whereabouts.outside.noteFiltering(discovery.filtering)
    return { server, discovery }
  })
  return Promise.all(asked)
}

/** IPv4 first: it is what NATs are about. */
async function placesOf({ host, port }: Address, quiet: boolean): Promise<Endpoint[]> {
  const named = parseIp(host) === undefined
  const ips = named && quiet ? [] : await resolve(host)
  const all = ips.map((ip) => ({ ip, port }))
  return [...all.filter(({ ip }) => !ip.includes(':')), ...all.filter(({ ip }) => ip.includes(':'))]
}

export interface LookoutOptions {
  station: Station
  port: UdpPort
  /** Others see this machine somewhere else. */
  changed: () => void
}

export class Lookout {
  readonly #options: LookoutOptions
  #run = new AbortController()
  #cancel = (): void => undefined

  constructor(options: LookoutOptions) {
    this.#options = options
  }

  get #clock(): Clock {
    return this.#options.station.home.clock
  }

  /** Begins, or begins anew: the machine has moved, or the settings are others. */
  start(): void {
    this.stop()
    this.#run = new AbortController()
    this.#look(this.#run.signal).catch(() => undefined)
  }

  stop(): void {
    this.#run.abort()
    this.#cancel()
  }

  async #look(signal: AbortSignal): Promise<void> {
    const { station, port, changed } = this.#options
    const servers = station.config.stun
    if (servers.length === 0) return
    const sightings = await lookFromOutside(station, port, servers, signal)
    if (signal.aborted) return
    const seen = sightings.some(({ discovery }) => discovery !== undefined)
    if (seen) changed()
    this.#cancel = this.#clock.after(seen ? EVERY_MS : AGAIN_MS, () => this.start(), true)
  }
}
