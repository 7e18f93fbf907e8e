// What two contacts can agree on without a word: values from the secret that their transport keys share, p2p-wire(7),
// RENDEZVOUS. Nobody else can compute them, or tell which two they belong to. They change with either T. Pure.

import { compare, concat, Reader, utf8, Writer } from '../base/bytes.ts'
import { hkdf, type PrivateKey, type Suite } from '../crypto/suite.ts'
import { OFFSET_MAX_MS } from './holes.ts'

const SALT = utf8('p2p/1 rendezvous')
const HOLE_LABEL = utf8('hole')

/** One side of a pair: I, and T, of which the own one is held. */
export interface Pair {
  readonly self: { readonly identity: Uint8Array; readonly key: PrivateKey }
  readonly peer: { readonly identity: Uint8Array; readonly transport: Uint8Array }
}

/** K, 32 bytes, the same on both sides. Throws Malformed if the shared secret is zero. */
export function rendezvousKey(suite: Suite, { self, peer }: Pair): Uint8Array {
  const shared = suite.dh(self.key, peer.transport)
  const ordered = compare(self.identity, peer.identity) < 0
  const info = ordered ? concat(self.identity, peer.identity) : concat(peer.identity, self.identity)
  const key = hkdf(suite, SALT, shared, info, 32)
  shared.fill(0)
  return key
}

/** Where the periods of this pair begin: Hole.offset. */
export function holeOffset(suite: Suite, key: Uint8Array): number {
  return new Reader(suite.hmac(key, HOLE_LABEL)).u32() % OFFSET_MAX_MS
}

const SLOT_MS = 600_000

/** The slot of ten minutes that a time (Unix ms) is in. */
export function slotOf(now: number): bigint {
  return BigInt(Math.floor(now / SLOT_MS))
}

/** 32 bytes for one purpose, one slot and one direction: that of the sender, by its I. */
export function slotValue(suite: Suite, key: Uint8Array, label: string, slot: bigint, sender: Uint8Array): Uint8Array {
  return suite.hmac(key, utf8(label), new Writer(8).u64(slot).finish(), sender)
}
