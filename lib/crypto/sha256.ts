// SHA-256 of a few hundred bytes, for whoever may need nothing else of cryptography: noble's computes a block in 20 us,
// node:crypto takes 2.5 ms to load. Whoever hashes more loads it.

import { createHash } from 'node:crypto'

import { _SHA256 as Noble } from '@noble/hashes/sha2.js' // its sha256 says more about itself, which takes 0.2 ms

export { Noble }

/** Bytes that are hashed here before node:crypto does it: to load it costs as much. */
let left = 2048

/** From now on by node:crypto: for whoever will come to load it anyway. */
export function hashByNode(): void {
  left = 0
}

/** The hash of the parts, one after the other. */
export function sha256(...parts: Uint8Array[]): Uint8Array {
  left -= parts.reduce((sum, part) => sum + part.length, 0)
  const hash = left > 0 ? new Noble() : createHash('sha256')
  for (const part of parts) hash.update(part)
  return new Uint8Array(hash.digest())
}
