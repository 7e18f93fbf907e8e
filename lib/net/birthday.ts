// A way to a NAT that gives every destination another port, from one that does not: the one side sends from many sockets,
// so that many ports of its router are open towards the other, and the other tries ports of it at random until it hits an
// open one (the paradox of birthdays). The limits are those of hyperdht: enough to succeed, too little to alarm a router.

import { Reader } from '../base/bytes.ts'
import { fraction, type Random } from '../base/random.ts'
import type { Suite } from '../crypto/suite.ts'
import { NAT_CLASS } from './outside.ts'
import { slotValue } from './rendezvous.ts'
import type { Shot } from './udp.ts'
import { BOTH_SYMMETRIC } from './verdict.ts'

/** Sockets of the side whose router changes ports. */
export const SOCKETS = 256

/** Hellos to random ports at most, and milliseconds between two of them: at least the one, at most the other. */
export const PROBES_MAX = 1750
const EVERY_MIN_MS = 10
const EVERY_MAX_MS = 20

/** Ports that a NAT gives out. */
const PORT_MIN = 1024
const PORT_MAX = 65_535

/** Two who listen search each other in turns that begin so far apart. */
const TURN_MS = 40_000
const TURNS = 15 // of a slot, p2p-wire(7), HOLES
const SLOT_MS = TURN_MS * TURNS

/** Whoever begins leaves the first seconds to what takes less. */
const FIRST_MS = 8_000

/** For so long every turn is taken, then every second one, after twice as long every fourth. */
const EAGER_MS = 160_000

/** Of so many turns one is taken, however long it has been in vain: while something waits for the contact, and else. */
export const RAREST = { waiting: 64, idle: 256 } as const

/** From the beginning of a turn: ports are tried, open ports are opened again, it is over. */
export const SEARCH_AT_MS = 5_000
export const OPEN_AGAIN_MS = 20_000
export const TURN_OVER_MS = 36_000

/** What a side does in a search. */
export interface Part {
  readonly opens: boolean
  readonly searches: boolean
}

/** By what is known of the NATs of both; without knowledge a side does both. Undefined: a search is of no use. */
export function partOf(own: number, peer: number): Part | undefined {
  const { SYMMETRIC, INDEPENDENT, UNKNOWN } = NAT_CLASS
  if (own === peer && own !== UNKNOWN) return undefined
  if (own === SYMMETRIC || peer === INDEPENDENT) return { opens: true, searches: false }
  if (own === INDEPENDENT || peer === SYMMETRIC) return { opens: false, searches: true }
  return { opens: true, searches: true }
}

/** Why a search is of no use, in words; undefined if it may help. */
export function whyNoSearch(own: number, peer: number): string | undefined {
  if (partOf(own, peer) !== undefined) return undefined
  if (own === NAT_CLASS.SYMMETRIC) return BOTH_SYMMETRIC
  return 'a search is for a router that gives every destination another port, and neither does'
}

/** Of a pair: K (rendezvous.ts), and the lower I. */
export interface Searchers {
  readonly suite: Suite
  readonly secret: Uint8Array
  readonly lower: Uint8Array
}

/**
 * The first turn later than `after` that a side takes which has missed the other one since `since` (Unix ms): all of them
 * at first, then fewer and fewer, of `rarest` at least one. Turns that are taken rarely are among those taken often: two
 * sides meet in those of the one that takes fewer.
 */
export function nextTurn({ suite, secret, lower }: Searchers, since: number, after: number, rarest: number): number {
  const soonest = Math.max(after + 1, since + FIRST_MS)
  for (let slot = Math.floor(soonest / SLOT_MS) - 1; ; slot++) {
    const offset = new Reader(slotValue(suite, secret, 'search when', BigInt(slot), lower)).u32() % TURN_MS
    for (let turn = 0; turn < TURNS; turn++) {
      const at = slot * SLOT_MS + turn * TURN_MS + offset
      if (at >= soonest && (slot * TURNS + turn) % strideAt(at - since, rarest) === 0) return at
    }
  }
}

/** One of so many turns is taken, after so many ms in vain. */
function strideAt(ms: number, rarest: number): number {
  return ms < EAGER_MS ? 1 : Math.min(rarest, 2 ** (Math.floor(Math.log2(ms / EAGER_MS)) + 1))
}

/** Where and when to try within `ms`: distinct ports of `ip`, in random order, none of those `but`. */
export function probes(random: Random, ip: string, ms: number, but: readonly number[] = []): Shot[] {
  const every = Math.min(EVERY_MAX_MS, Math.max(EVERY_MIN_MS, ms / PROBES_MAX))
  const count = Math.min(PROBES_MAX, Math.floor(ms / every))
  const ports = new Set<number>()
  while (ports.size < count) {
    const port = PORT_MIN + Math.floor(fraction(random) * (PORT_MAX - PORT_MIN + 1))
    if (!but.includes(port)) ports.add(port)
  }
  return [...ports].map((port, i) => ({ after: Math.ceil(i * every), to: { ip, port } }))
}
