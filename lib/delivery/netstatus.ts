// What the listener knows of the net around it, as data for commands: where this home is, what others see of it, what its
// router does. Answered over the control socket (p2p-spool(5), listen.sock, status).

import { isoTime } from '../base/utc.ts'
import type { Home } from '../disk/home.ts'
import type { Keyring } from '../disk/keyring.ts'
import { localAddresses } from '../net/interfaces.ts'
import { NAT_CLASS, Outside, type Sight } from '../net/outside.ts'
import { formatAddress } from '../wire/address.ts'
import { ask, type Message } from './control.ts'
import { recallSights } from './meeting.ts'
import type { PortMapping } from './portmapping.ts'
import type { Station } from './station.ts'

/** A mapping by the own router, or why there is none. */
export type MappingReport =
  | { state: 'off' }
  | { state: 'searching' }
  | { state: 'none'; text: string }
  | { state: 'mapped'; via: string; gateway: string; udp?: string; tcp?: string; until?: string; useless?: string }

export interface NetStatus {
  port: number
  udp: boolean
  /** As sessions and the token tell them, the best first. */
  addresses: string[]
  nat: 'unknown' | 'independent' | 'symmetric'
  /** Who gets through the own NAT, as a STUN server with two addresses found out. */
  filtering?: 'independent' | 'address' | 'address+port'
  /** Who sees this machine where: KEYs of contacts, or stun: and the server. */
  seen: { by: string; address: string; ago: number }[]
  mapping: MappingReport
}

const CLASSES = { [NAT_CLASS.UNKNOWN]: 'unknown', [NAT_CLASS.INDEPENDENT]: 'independent', [NAT_CLASS.SYMMETRIC]: 'symmetric' } as const

const NOBODY_MS = 2000

export function netStatus(station: Station, mapping: PortMapping, udp: boolean): NetStatus {
  const { home, whereabouts } = station
  const { outside } = whereabouts
  return {
    port: home.port,
    udp,
    addresses: whereabouts.place().addresses.map(formatAddress),
    nat: CLASSES[outside.natClass(localAddresses(home.port).map(({ host }) => host))],
    ...(outside.filtering !== undefined && { filtering: outside.filtering }),
    seen: outside.sights().map(({ by, seen, ago }: Sight) => ({
      by,
      address: formatAddress({ host: seen.ip, port: seen.port }),
      ago: Math.round(ago / 1000),
    })),
    mapping: reportOf(mapping),
  }
}

/** The NAT class of this machine, as a running listener knows it, or by what contacts said within the last hour. */
export async function ownNat(home: Home, keyring: Keyring): Promise<number> {
  const told = await askNetStatus(home)
  if (told !== undefined && told.nat !== 'unknown') return told.nat === 'symmetric' ? NAT_CLASS.SYMMETRIC : NAT_CLASS.INDEPENDENT
  const outside = new Outside(home.clock)
  await recallSights(home, keyring.all().map(({ key }) => key), outside)
  return outside.natClass(localAddresses(home.port).map(({ host }) => host))
}

function reportOf({ state, useless }: PortMapping): MappingReport {
  if (state === undefined) return { state: 'off' }
  if (state.state !== 'mapped') return state
  const { via, gateway, mapped, until } = state
  const at = Object.fromEntries(mapped.map(({ protocol, ip, port }) => [protocol, formatAddress({ host: ip, port })]))
  const ends = Number.isFinite(until) && { until: isoTime(until) }
  return { state: 'mapped', via, gateway, ...at, ...ends, ...(useless !== undefined && { useless }) }
}

/** What the running listener says; undefined if none runs, or an older one that does not know the question. */
export async function askNetStatus(home: Home): Promise<NetStatus | undefined> {
  let found: NetStatus | undefined
  const take = (record: Message): void => {
    if (record['type'] === 'status') found = record as unknown as NetStatus
  }
  await ask(home, { op: 'status' }, { timeoutMs: NOBODY_MS }, take)
  return found
}
