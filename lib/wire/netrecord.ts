// The NDJSON records about the ways between two machines, p2p-record(5): what came of a punch, and how this machine
// is seen from outside. What is not known is absent.

import { isoTime } from '../base/utc.ts'

/** NAT classes of p2p-wire(7) by number. */
const NATS = ['unknown', 'independent', 'symmetric'] as const

export type NatName = (typeof NATS)[number]

/** A class that came from outside may be any number. */
export function natName(nat: number): NatName {
  return NATS[nat] ?? 'unknown'
}

export function natNumber(name: NatName): number {
  return NATS.indexOf(name)
}

export interface TriedWay {
  readonly address: string
  readonly over: string
  /** Datagrams sent there, and seen from there. */
  readonly openers?: number
  readonly hellos?: number
  readonly seen?: number
  /** Why not, over TCP. */
  readonly reason?: string
}

export interface PunchInfo {
  name: string
  key: string
  open: boolean
  over?: string
  address?: string
  /** Milliseconds. */
  elapsed?: number
  rtt?: number
  reason?: string
  text?: string
  advice?: readonly string[]
  nat: { own: number; peer: number }
  tried: readonly TriedWay[]
  /** Hellos to random ports. */
  probes?: number
}

/** Whether there is a way to a contact, and what was done for it. */
export function punchRecord({ name, key, open, over, address, elapsed, rtt, reason, text, advice = [], nat, tried, probes = 0 }: PunchInfo): object {
  return {
    v: 1,
    type: 'punch',
    name,
    key,
    open,
    ...(over !== undefined && { over }),
    ...(address !== undefined && { address }),
    ...(elapsed !== undefined && { elapsed: Math.round(elapsed) / 1000 }),
    ...(rtt !== undefined && { rtt: Math.round(rtt) / 1000 }),
    ...(reason !== undefined && { reason }),
    ...(text !== undefined && { text }),
    ...(advice.length > 0 && { advice }),
    nat: { own: natName(nat.own), peer: natName(nat.peer) },
    ...(tried.length > 0 && { tried }),
    ...(probes > 0 && { probes }),
  }
}

export interface NetworkInfo {
  port: number
  listener: boolean
  /** Of the listener. */
  udp?: boolean
  addresses: readonly string[]
  nat: NatName
  /** Unix ms. */
  seen: readonly { by: string; address: string; at: number }[]
  mapping?: object
  reached?: { by: string; address: string; over: 'tcp' | 'udp'; at: number }
  forward?: string
}

/** How this machine is seen from outside. */
export function networkRecord({ port, listener, udp, addresses, nat, seen, mapping, reached, forward }: NetworkInfo): object {
  const timed = <T extends { at: number }>(each: T): object => ({ ...each, at: isoTime(each.at) })
  return {
    v: 1,
    type: 'network',
    port,
    listener,
    ...(udp !== undefined && { udp }),
    nat,
    ...(addresses.length > 0 && { addresses }),
    ...(seen.length > 0 && { seen: seen.map(timed) }),
    ...(mapping !== undefined && { mapping }),
    ...(reached !== undefined && { reached: timed(reached) }),
    ...(forward !== undefined && { forward }),
  }
}
