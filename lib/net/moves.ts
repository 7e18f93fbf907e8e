// When this machine has woken, or its addresses are others: what was open towards outside may not be any more, and what
// was told to contacts may be wrong.

import { type Clock } from '../base/clock.ts'
import { localAddresses } from './interfaces.ts'

const LOOK_MS = 5_000
const JUMP_MS = 5_000 // the wall clock ran on and ours did not: the machine slept, or the clock was set

/** Calls `onMove` after each move; returns how to stop looking. `addresses` is the door to the system. */
export function watchMoves(clock: Clock, onMove: () => void, addresses = localAddresses): () => void {
  const place = (): string => addresses(1).map(({ host }) => host).sort().join(' ')
  const apart = (): number => clock.now() - clock.monotonic()
  let [before, offset] = [place(), apart()]
  let cancel = (): void => undefined
  const look = (): void => {
    const [now, drift] = [place(), apart()]
    const moved = now !== before || Math.abs(drift - offset) > JUMP_MS
    ;[before, offset] = [now, drift]
    cancel = clock.after(LOOK_MS, look, true)
    if (moved) onMove()
  }
  cancel = clock.after(LOOK_MS, look, true)
  return () => cancel()
}
