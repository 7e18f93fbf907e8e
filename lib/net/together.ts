// TCP simultaneous open (RFC 9293 3.5, figure 8): two contacts whose routers let no call in connect to each other in the
// same moment, from ports that both can compute, so that each router takes the other's SYN for the answer to its own. For
// networks that let no UDP through. Routers must keep the port; those that give each destination another one do not.
// When and which ports is pure; the sockets come from tcp.ts.

import { Reader } from '../base/bytes.ts'
import { type Clock, sleep } from '../base/clock.ts'
import { isCode } from '../base/fail.ts'
import type { Suite } from '../crypto/suite.ts'
import { slotOf, slotValue } from './rendezvous.ts'
import { type ByteStream, type Endpoint, Lost } from './stream.ts'
import { connect } from './tcp.ts'

/** Two moments are so far apart; a side that has been alone for long uses every fifth. */
export const EVERY_MS = 60_000
export const RARELY = 5

/** Clocks may differ by nearly that: each side goes on for so long. */
export const WINDOW_MS = 5_000

const SLOT_MS = 600_000
const PORT_LOWEST = 32_768
const PORTS = 28_000
const AGAIN_MS = 250

/** Of a pair: K (rendezvous.ts), and the I of both. */
export interface Couple {
  readonly suite: Suite
  readonly secret: Uint8Array
  readonly self: Uint8Array
  readonly peer: Uint8Array
  /** The lower of the two I; its owner says hello. */
  readonly lower: Uint8Array
}

/** A moment (Unix ms) and the ports of both sides. */
export interface Moment {
  readonly at: number
  readonly from: number
  readonly to: number
}

/** The first moment of this pair later than `after`; `rarely`: of those that a side uses that has been alone for long. */
export function nextMoment(couple: Couple, after: number, rarely: boolean): Moment {
  const { suite, secret, self, peer, lower } = couple
  const value = (label: string, slot: bigint, sender: Uint8Array): number => new Reader(slotValue(suite, secret, label, slot, sender)).u32()
  for (let slot = slotOf(after); ; slot++) {
    const offset = value('tcp when', slot, lower) % EVERY_MS
    for (let count = 0; count < SLOT_MS / EVERY_MS; count += rarely ? RARELY : 1) {
      const at = Number(slot) * SLOT_MS + offset + count * EVERY_MS
      if (at <= after) continue
      const port = (sender: Uint8Array): number => PORT_LOWEST + (value('tcp port', slot, sender) % PORTS)
      return { at, from: port(self), to: port(peer) }
    }
  }
}

/** Connects from port `from` until it succeeds or `signal` fires: then undefined. What hinders it passes. */
export async function openTogether(clock: Clock, from: number, to: Endpoint, signal: AbortSignal): Promise<ByteStream | undefined> {
  while (!signal.aborted) {
    try {
      return await connect(to, signal, from)
    } catch (error) {
      // The other side's router may refuse until its own SYN has gone out; another connection may have the port.
      if (!(error instanceof Lost) && !isCode(error, 'ECONNREFUSED', 'ECONNRESET', 'ETIMEDOUT')) return undefined
    }
    await sleep(clock, AGAIN_MS, signal)
  }
  return undefined
}
