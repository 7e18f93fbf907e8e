// One way to ask the own router for a port, whatever it speaks. Routers refuse, lie, and give another port than asked for.

import type { Protocol } from '../wire/natpmp.ts'

export const VIAS = ['pcp', 'nat-pmp', 'upnp'] as const

export type Via = (typeof VIAS)[number]

/** Where a port of this machine is outside. */
export interface Mapped {
  readonly protocol: Protocol
  readonly ip: string
  readonly port: number
  /** Seconds from now; Infinity: until somebody takes it away. */
  readonly lifetime: number
}

export interface Mapper {
  readonly via: Via
  /** Makes or renews the mapping of this port, by `external` outside if it can be had. Throws Refused; undefined: no answer. */
  map(protocol: Protocol, port: number, external: number, signal: AbortSignal): Promise<Mapped | undefined>
  /** Takes it away; what hinders that is nobody's trouble, since it ends by itself. */
  unmap(mapped: Mapped, port: number, signal: AbortSignal): Promise<void>
  close(): void
}

/** The router has said no; the message follows "the router". */
export class Refused extends Error {}

/** Seconds that are asked for: a router that forgets us, or that we forget, is in order again after that. */
export const LEASE_S = 7200
