// The one door to randomness: keys, salts, tags, jitter. A simulation passes its own seeded source.

import { randomBytes } from 'node:crypto'

export interface Random {
  /** `size` fresh bytes, fit for keys. */
  bytes(size: number): Uint8Array
}

export const systemRandom: Random = {
  bytes: (size) => new Uint8Array(randomBytes(size)),
}

/** A number in [0, 1) with 32 random bits; for jitter, not for keys. */
export function fraction(random: Random): number {
  const [a, b, c, d] = random.bytes(4)
  return ((a ?? 0) * 0x1000000 + (b ?? 0) * 0x10000 + (c ?? 0) * 0x100 + (d ?? 0)) / 0x1_0000_0000
}
