// The own router, asked to let this home's port through: joins the settings, the routes of this machine and
// lib/net/mapping.ts. With `map = false` or `quiet_net = true` the router gets no packet.

import { execFile } from 'node:child_process'

import { utf8, concat } from '../base/bytes.ts'
import { sleep } from '../base/clock.ts'
import { hkdf } from '../crypto/suite.ts'
import { readText } from '../disk/durable.ts'
import type { Home } from '../disk/home.ts'
import { gatewayOfNetstat, gatewayOfProc } from '../net/gateway.ts'
import { Mapping, type MappingState, uselessBecause } from '../net/mapping.ts'
import type { Address } from '../wire/address.ts'
import type { Protocol } from '../wire/natpmp.ts'
import { NONCE_SIZE } from '../wire/pcp.ts'
import type { Station } from './station.ts'

const LABEL = 'p2p/1 pcp'
const ROUTES = '/proc/net/route'
const LOOK_MS = 50 // between two looks whether the router has answered

export interface PortMappingOptions {
  station: Station
  /** Addresses of this machine are others now. */
  changed: () => void
  /** Something a person should know. */
  notice: (text: string) => void
}

export class PortMapping {
  readonly #options: PortMappingOptions
  #mapping: Mapping | undefined
  /** How many want it whatever the settings say. */
  #wanted = 0
  #closed = false
  #told = ''

  constructor(options: PortMappingOptions) {
    this.#options = options
  }

  /** Undefined while the settings forbid it, and before it has begun. */
  get state(): MappingState | undefined {
    return this.#mapping?.state
  }

  get addresses(): Address[] {
    return this.#mapping?.addresses ?? []
  }

  /** Begins if the settings allow it or somebody wants it; ends what neither does. */
  async start(): Promise<void> {
    if (!this.#options.station.config.map && this.#wanted === 0) return this.#stop()
    if (this.#mapping !== undefined || this.#closed) return
    this.#mapping = this.#make()
    this.#mapping.start()
  }

  /** Whatever the settings say, until the result is called. */
  async want(): Promise<() => Promise<void>> {
    this.#wanted++
    await this.start()
    return async () => {
      this.#wanted--
      await this.start()
    }
  }

  /** This machine has moved or woken. */
  moved(): void {
    this.#mapping?.start()
  }

  /** Resolves when the router has answered, does not answer, or `signal` fires. */
  async settled(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options.station.home
    while (this.state?.state === 'searching' && !signal.aborted) await sleep(clock, LOOK_MS, signal)
  }

  /** For good: the router is told that it is over. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#stop()
  }

  async #stop(): Promise<void> {
    const mapping = this.#mapping
    this.#mapping = undefined
    await mapping?.stop()
  }

  /** Why the mapping leads nowhere, for people. */
  get useless(): string | undefined {
    const seen = this.#options.station.whereabouts.outside.addresses().map(({ host }) => host)
    return this.state && uselessBecause(this.state, seen.filter((host) => !host.includes(':')))
  }

  #make(): Mapping {
    const { station, changed, notice } = this.#options
    const { home, suite, config } = station
    const protocols: Protocol[] = config.udp ? ['udp', 'tcp'] : ['tcp']
    // The same after a restart, or the router would not let us renew what it holds; nobody else's to know.
    const secret = suite.dh(station.ownKey, station.ownKey.publicKey)
    const nonceOf = (protocol: Protocol): Uint8Array => {
      return hkdf(suite, utf8(LABEL), secret, concat(utf8(protocol), utf8(String(home.port))), NONCE_SIZE)
    }
    return new Mapping({
      clock: home.clock,
      protocols,
      port: home.port,
      gateway: () => defaultGateway(home),
      nonceOf,
      group: () => station.config.lan,
      changed: () => {
        const { useless } = this
        if (useless !== undefined && useless !== this.#told) notice(`the router opens port ${home.port}, in vain: ${useless}`)
        this.#told = useless ?? ''
        changed()
      },
    })
  }
}

/** Of this machine's default IPv4 route; undefined if there is none, or it cannot be found out here. */
export async function defaultGateway(home: Pick<Home, 'files'>): Promise<string | undefined> {
  const routes = await readText(home.files, ROUTES).catch(() => undefined)
  if (routes !== undefined) return gatewayOfProc(routes)
  return new Promise((resolve) => {
    execFile('netstat', ['-rn'], { timeout: 5000 }, (error, out) => resolve(error === null ? gatewayOfNetstat(out) : undefined))
  })
}
