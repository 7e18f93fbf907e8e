// For tests that change hellos a bit at a time: what counts the attempts to open them, lets everything in, and sees
// every trace.

import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'

import { nodeSuite } from '../lib/crypto/suite-node.ts'
import type { Suite } from '../lib/crypto/suite.ts'
import { Guard } from '../lib/net/guard.ts'
import type { Ending } from '../lib/net/stream.ts'

/** A suite that counts what it is asked to open, and what of that was authentic. */
export function counting(): { suite: Suite; tried: number; opened: number } {
  const counts = {
    tried: 0,
    opened: 0,
    suite: {
      ...nodeSuite,
      open(...args: Parameters<Suite['open']>) {
        counts.tried++
        const plaintext = nodeSuite.open(...args)
        counts.opened++
        return plaintext
      },
    },
  }
  return counts
}

/** No budget: everything is let in at once, and nobody is remembered. */
export class Open<T extends Ending> extends Guard<T> {
  known = 0
  override arrive = (): boolean => true
  override answer = (): boolean => true
  override hello = (): number => 0
  override unknown = (): boolean => true
  override drain = (): undefined => undefined
  override know = (): void => void this.known++
}

/** Every file below, with its bytes. */
export function state(path: string): string {
  const sum = createHash('sha256')
  for (const name of readdirSync(path, { recursive: true }).map(String).toSorted()) {
    const file = join(path, name)
    sum.update(`${name}\0`)
    if (statSync(file).isFile()) sum.update(readFileSync(file))
  }
  return sum.digest('hex')
}

export function flip(message: Uint8Array, bit: number): Uint8Array {
  const copy = new Uint8Array(message) // a Buffer's slice() would be a view
  copy[bit >> 3] = (copy[bit >> 3] ?? 0) ^ (1 << (bit & 7))
  return copy
}
