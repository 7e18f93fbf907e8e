// The NDJSON records about the ways between two machines, p2p-record(5): what came of a punch. What is not known is
// absent.

/** NAT classes of p2p-wire(7) by number. */
const NATS = ['unknown', 'independent', 'symmetric'] as const

export type NatName = (typeof NATS)[number]

/** A class that came from outside may be any number. */
export function natName(nat: number): NatName {
  return NATS[nat] ?? 'unknown'
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
}

/** Whether there is a way to a contact, and what was done for it. */
export function punchRecord({ name, key, open, over, address, elapsed, rtt, reason, text, advice = [], nat, tried }: PunchInfo): object {
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
  }
}
