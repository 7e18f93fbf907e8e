// Of two sessions with one contact one stays, and both sides must mean the same one: p2p-wire(7), SESSION. Pure.

import type { Payload1, Payload2 } from '../wire/hello.ts'

/** What counts of a session's link. */
export interface Begun {
  readonly initiator: boolean
  /** What the other side said: Payload2 if this side is the initiator. */
  readonly hello: Payload1 | Payload2
}

/** Time stamps of hellos run ahead of the clock, by half a second each when many are made at once. */
const AHEAD_MS = 5_000n

/**
 * Of one initiator the newest. Of two that of the lower I, unless the contact called after it had answered our call, and
 * not in the same moment: it would not have done so if it still had that session.
 */
export function keepsNewer(newer: Begun, older: Begun, selfIsLower: boolean): boolean {
  if (newer.initiator === older.initiator) return true
  if (!newer.initiator) {
    const [called, answered] = [(newer.hello as Payload1).ts / 1000n, (older.hello as Payload2).clock] // both by its clock
    if (called > answered + AHEAD_MS) return true
  }
  return newer.initiator === selfIsLower
}
