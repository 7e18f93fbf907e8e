// The port of this machine, let through by its own router for as long as it is wanted: asked for by PCP, NAT-PMP or UPnP,
// whichever the router speaks, renewed at half its life, taken away at the end. What the router says of itself is
// believed; a lie leads contacts to an address where nobody is.

import type { Clock } from '../base/clock.ts'
import { type Address, classOf, formatAddress, isGlobal } from '../wire/address.ts'
import type { Protocol } from '../wire/natpmp.ts'
import { openIgd } from './igd.ts'
import { type Mapped, type Mapper, Refused, type Via } from './mapper.ts'
import { type NonceOf, openNatPmp, openPcp } from './portcontrol.ts'

/** After a search in vain: the router may have been restarted, or told to let programs open ports. */
const RETRY_MS = 30 * 60_000

/** After a renewal in vain. */
const RENEW_AGAIN_MS = 60_000

/** A lease is renewed at half its life, but not more often, and not less. */
const RENEW_MIN_MS = 30_000
const RENEW_MAX_MS = 3600_000

/** What is said at the end may take so long: a stopped listener is gone in less than 2 s. */
const LAST_WORDS_MS = 700

export interface MappingOptions {
  clock: Clock
  protocols: readonly Protocol[]
  port: number
  /** Of the default route now; undefined: none. */
  gateway: () => Promise<string | undefined>
  nonceOf: NonceOf
  /** Whether the group of all gateways may be asked. */
  group: () => boolean
  /** The state is another. */
  changed: () => void
}

export type MappingState =
  | { state: 'searching' }
  /** Why not, for people. */
  | { state: 'none'; text: string }
  /** `until`: Unix ms, Infinity if the router keeps it for good. */
  | { state: 'mapped'; via: Via; gateway: string; mapped: readonly Mapped[]; until: number }

export class Mapping {
  readonly #options: MappingOptions
  #state: MappingState = { state: 'searching' }
  #mapper: Mapper | undefined
  /** Asked for, and not answered yet: the router may have opened it all the same. */
  readonly #asked = new Set<Protocol>()
  #run = new AbortController()
  #going: Promise<void> = Promise.resolve()
  #cancel = (): void => undefined

  constructor(options: MappingOptions) {
    this.#options = options
  }

  get state(): MappingState {
    return this.#state
  }

  /** Where others can reach this machine by it. */
  get addresses(): Address[] {
    return addressesOf(this.#state)
  }

  /** Begins, or begins anew because this machine has moved. */
  start(): void {
    this.#run.abort()
    this.#cancel()
    this.#run = new AbortController()
    const { signal } = this.#run
    this.#go(() => this.#search(signal))
  }

  /** One after the other; what goes wrong in it is no reason for the rest of the program to end. */
  #go(step: () => Promise<void>): void {
    this.#going = this.#going.then(step).catch((error: unknown) => {
      this.#tell({ state: 'none', text: error instanceof Error ? error.message : String(error) })
    })
  }

  /** Takes away what was asked for. */
  async stop(): Promise<void> {
    this.#run.abort()
    this.#cancel()
    await this.#going
    const { clock, port } = this.#options
    const mapper = this.#mapper
    const mapped = this.#state.state === 'mapped' ? this.#state.mapped : []
    const asked = [...this.#asked].filter((protocol) => !mapped.some((each) => each.protocol === protocol))
    const open = [...mapped, ...asked.map((protocol): Mapped => ({ protocol, ip: '', port, lifetime: 0 }))]
    if (mapper !== undefined) {
      const over = new AbortController()
      const cancel = clock.after(LAST_WORDS_MS, () => over.abort())
      await Promise.all(open.map((each) => mapper.unmap(each, port, over.signal)))
      cancel()
      mapper.close()
    }
    this.#mapper = undefined
    this.#state = { state: 'none', text: 'stopped' }
  }

  #tell(state: MappingState): void {
    this.#state = state
    this.#options.changed()
  }

  async #search(signal: AbortSignal): Promise<void> {
    const { clock, gateway, group, nonceOf } = this.#options
    if (signal.aborted) return
    this.#mapper?.close()
    this.#mapper = undefined
    this.#asked.clear()
    const ip = await gateway()
    const refusals: string[] = []
    const ways =
      ip === undefined
        ? []
        : [
            () => openPcp(clock, ip, nonceOf),
            () => openNatPmp(clock, ip),
            () => openIgd({ clock, gateway: ip, group: group(), signal }),
          ]
    for (const open of ways) {
      if (signal.aborted) return
      const mapper = await open()
      if (mapper === undefined) continue
      this.#mapper = mapper
      try {
        const mapped = await this.#map(mapper, signal)
        if (mapped.length > 0) return this.#keep(mapped, ip ?? '', signal)
      } catch (error) {
        if (!(error instanceof Refused)) throw error
        refusals.push(`the router at ${ip} ${error.message}`)
      }
      if (signal.aborted) return // who ends this takes back what was asked for
      this.#asked.clear()
      this.#mapper = undefined
      mapper.close()
    }
    if (signal.aborted) return
    const mute = `the router at ${ip} opens no ports for programs: it answers neither PCP nor NAT-PMP nor UPnP`
    this.#tell({ state: 'none', text: ip === undefined ? 'there is no IPv4 router' : (refusals.at(-1) ?? mute) })
    this.#again(RETRY_MS, signal)
  }

  /** Each protocol; those that the router did not answer are left out. Throws Refused if none is let through. */
  async #map(mapper: Mapper, signal: AbortSignal): Promise<Mapped[]> {
    const { protocols, port } = this.#options
    const before = this.#state.state === 'mapped' ? this.#state.mapped : []
    const mapped: Mapped[] = []
    let refused: Refused | undefined
    for (const protocol of protocols) {
      const external = before.find((each) => each.protocol === protocol)?.port ?? port
      this.#asked.add(protocol)
      try {
        const one = await mapper.map(protocol, port, external, signal)
        if (one === undefined) break
        this.#asked.delete(protocol)
        mapped.push(one)
      } catch (error) {
        if (!(error instanceof Refused)) throw error
        this.#asked.delete(protocol)
        refused = error
      }
    }
    if (mapped.length === 0 && refused !== undefined) throw refused
    return mapped
  }

  #keep(mapped: Mapped[], gateway: string, signal: AbortSignal): void {
    const { clock } = this.#options
    const via = this.#mapper?.via ?? 'pcp'
    const life = Math.min(...mapped.map(({ lifetime }) => lifetime * 1000))
    this.#tell({ state: 'mapped', via, gateway, mapped, until: clock.now() + life })
    this.#cancel = clock.after(Math.min(Math.max(life / 2, RENEW_MIN_MS), RENEW_MAX_MS), () => {
      this.#go(() => this.#renew(gateway, signal))
    }, true)
  }

  async #renew(gateway: string, signal: AbortSignal): Promise<void> {
    const mapper = this.#mapper
    if (signal.aborted || mapper === undefined) return
    const mapped = await this.#map(mapper, signal).catch((error: unknown) => {
      if (!(error instanceof Refused)) throw error
      return []
    })
    if (signal.aborted) return
    if (mapped.length > 0) return this.#keep(mapped, gateway, signal)
    this.#again(RENEW_AGAIN_MS, signal)
  }

  #again(ms: number, signal: AbortSignal): void {
    this.#cancel = this.#options.clock.after(ms, () => {
      this.#go(() => this.#search(signal))
    }, true)
  }
}

/** Nothing of a router that is itself behind another one. */
export function addressesOf(state: MappingState): Address[] {
  if (state.state !== 'mapped') return []
  const found = new Map<string, Address>()
  for (const { protocol, ip: host, port } of state.mapped) {
    if (!isGlobal({ host })) continue
    const text = formatAddress({ host, port })
    const known = found.get(text) ?? { host, port, tcp: false, udp: false }
    found.set(text, { ...known, [protocol]: true })
  }
  return [...found.values()]
}

/**
 * Why a mapping is of no use outside, for people; undefined if it may be. `seen`: IPv4 addresses at which others see this
 * machine.
 */
export function uselessBecause(state: MappingState, seen: readonly string[]): string | undefined {
  const ip = state.state === 'mapped' ? state.mapped[0]?.ip : undefined
  if (ip === undefined) return undefined
  if (!isGlobal({ host: ip })) {
    const whose = classOf({ host: ip }) === 'private' ? "the provider's, or a second one at home" : 'another one'
    return `the router is itself behind a NAT (its outside address is ${ip}): ${whose} lets nothing through`
  }
  const [other] = seen
  if (other === undefined || seen.includes(ip)) return undefined
  return `the router says that its outside address is ${ip}, but contacts see ${other}: there is another NAT in between`
}
