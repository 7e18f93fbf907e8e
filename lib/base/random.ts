// The one door to randomness: keys, salts, tags, jitter. A simulation passes its own seeded source.

import { randomBytes } from 'node:crypto'
import { closeSync, constants, openSync, readSync } from 'node:fs'

export interface Random {
  /** `size` fresh bytes, fit for keys. */
  bytes(size: number): Uint8Array
}

/** From what OpenSSL is seeded with as well; unlike /dev/urandom it gives nothing before the kernel has its own seed. */
const KERNEL = '/dev/random'

/** Calls that the kernel answers, before node's cryptography, which takes longer to load than a message to be queued. */
let fromKernel = 16

function kernelBytes(size: number): Uint8Array | undefined {
  if (size > 256 || fromKernel === 0) return undefined
  fromKernel--
  try {
    const fd = openSync(KERNEL, constants.O_RDONLY | constants.O_NONBLOCK)
    try {
      const bytes = new Uint8Array(size)
      return readSync(fd, bytes, 0, size, null) === size ? bytes : undefined
    } finally {
      closeSync(fd)
    }
  } catch {
    return undefined // not seeded yet, or a cage without devices
  }
}

export const systemRandom: Random = {
  bytes: (size) => kernelBytes(size) ?? new Uint8Array(randomBytes(size)),
}

/** A number in [0, 1) with 32 random bits; for jitter, not for keys. */
export function fraction(random: Random): number {
  const [a, b, c, d] = random.bytes(4)
  return ((a ?? 0) * 0x1000000 + (b ?? 0) * 0x10000 + (c ?? 0) * 0x100 + (d ?? 0)) / 0x1_0000_0000
}
