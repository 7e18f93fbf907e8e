// When and at which ports two contacts meet who have agreed on nothing but to try: times and ports that both compute from
// the secret of the pair and the clock, p2p-wire(7), SLOTS. In a slot each side first opens its own NAT, for longer than
// the two clocks differ, then says hello, for longer than they differ and a round takes. Pure.

import { Reader } from '../base/bytes.ts'
import type { Suite } from '../crypto/suite.ts'
import { slotOf, slotValue } from './rendezvous.ts'

/** Milliseconds of a slot. */
export const SLOT_MS = 600_000

/** What cron starts at the beginning of a slot has begun by then. */
const BEGIN_MS = 20_000

/** The meeting begins in one of so many seconds from there. */
const WHEN_S = 480

const PORT_MIN = 32_768
const PORTS = 28_000

/** From the beginning of a meeting each side keeps its port open and answers, whatever its own guard and window are. */
export const LINGER_MS = 90_000

/** Clocks that differ by more than this are brought together, by half of it on each side; nobody's guard is that long. */
const APART_MS = 20_000

/** Both clocks are set by NTP: more than those differ. A round takes at most the difference between the last two. */
const GUARD_MIN_MS = 2_000
const GUARD_MORE_MS = 1_000
const WINDOW_MIN_MS = 6_000
const WINDOW_MORE_MS = 3_000

/** Nothing is known of the contact's clock, or it was brought nearer. */
const UNKNOWN: Timing = { guard: 30_000, window: 60_000 }

export interface Timing {
  /** Milliseconds for openers alone. */
  readonly guard: number
  /** Milliseconds for hellos, after that. */
  readonly window: number
}

export interface Slot extends Timing {
  readonly number: number
  /** Unix ms by the own clock. */
  readonly begins: number
}

/** `skew`: milliseconds by which the contact's clock is ahead, as far as it is known. */
export function timingFor(skew: number | undefined): Timing {
  const apart = skew === undefined ? Infinity : Math.abs(skew)
  if (apart > APART_MS) return UNKNOWN
  return {
    guard: Math.max(GUARD_MIN_MS, apart + GUARD_MORE_MS),
    window: Math.max(WINDOW_MIN_MS, apart + WINDOW_MORE_MS),
  }
}

/** What both clocks are taken to be ahead by. */
function shiftFor(skew = 0): number {
  return Math.abs(skew) > APART_MS ? Math.round(skew / 2) : 0
}

/** A number for a slot, from the pair's K: the same on both sides, or one for each side, `dir` being its I. */
function value(suite: Suite, key: Uint8Array, label: string, slot: number, dir: Uint8Array): number {
  return new Reader(slotValue(suite, key, label, BigInt(slot), dir)).u32()
}

/** The first meeting that can still be joined at `now` (Unix ms, own clock). `lower`: the lower I of the pair. */
export function nextSlot(suite: Suite, key: Uint8Array, lower: Uint8Array, now: number, skew?: number): Slot {
  const timing = timingFor(skew)
  const shift = shiftFor(skew)
  for (let number = Number(slotOf(now + shift)); ; number++) {
    const when = (value(suite, key, 'when', number, lower) % WHEN_S) * 1000
    const begins = number * SLOT_MS + BEGIN_MS + when - shift
    if (begins + timing.guard > now) return { number, begins, ...timing }
  }
}

/** The port that a side uses in a slot beside its own: nothing has gone there yet that could be in the way. */
export function freshPort(suite: Suite, key: Uint8Array, slot: number, identity: Uint8Array): number {
  return (value(suite, key, 'port', slot, identity) % PORTS) + PORT_MIN
}
