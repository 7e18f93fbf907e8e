// A way to a NAT that gives every destination another port, from one that does not: the one side sends from many sockets,
// so that many ports of its router are open towards the other, and the other tries ports of it at random until it hits an
// open one (the paradox of birthdays). The limits are those of hyperdht: enough to succeed, too little to alarm a router.

import { fraction, type Random } from '../base/random.ts'
import type { Shot } from './udp.ts'
import { NAT_CLASS } from './outside.ts'

/** Sockets of the side whose router changes ports. */
export const SOCKETS = 256

/** Hellos to random ports at most, and milliseconds between two of them: at least the one, at most the other. */
export const PROBES_MAX = 1750
const EVERY_MIN_MS = 10
const EVERY_MAX_MS = 20

/** Ports that a NAT gives out. */
const PORT_MIN = 1024
const PORT_MAX = 65_535

/** Why a search is of no use, in words; undefined if it may help: one side changes ports, the other does not. */
export function whyNoSearch(name: string, own: number, peer: number): string | undefined {
  const symmetric = [own, peer].filter((nat) => nat === NAT_CLASS.SYMMETRIC).length
  if (symmetric === 2) return 'both sides randomise ports: use IPv6, forward a port, or carry a bundle'
  const unknown = [...(own === NAT_CLASS.UNKNOWN ? ['your router'] : []), ...(peer === NAT_CLASS.UNKNOWN ? [`the router of ${name}`] : [])]
  if (unknown.length > 0) return `a search needs exactly one router that changes ports, and what ${unknown.join(' and ')} does is not known`
  if (symmetric === 1) return undefined
  return 'a search is for a router that gives every destination another port, and neither does'
}

/** Where and when to try within `ms`: distinct ports of `ip`, in random order. */
export function probes(random: Random, ip: string, ms: number): Shot[] {
  const every = Math.min(EVERY_MAX_MS, Math.max(EVERY_MIN_MS, ms / PROBES_MAX))
  const count = Math.min(PROBES_MAX, Math.floor(ms / every))
  const ports = new Set<number>()
  while (ports.size < count) ports.add(PORT_MIN + Math.floor(fraction(random) * (PORT_MAX - PORT_MIN + 1)))
  return [...ports].map((port, i) => ({ after: Math.ceil(i * every), to: { ip, port } }))
}
