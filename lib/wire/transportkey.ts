// Which 32 bytes may stand in a token as an X25519 public key. Rejecting the points of small order by name equals
// trying a scalar and looking for zero, and needs no back end.

import { compare, equal, fromHex } from '../base/bytes.ts'

/**
 * The canonical points of small order on the curve and its twist, little-endian: X25519 with any of them gives zero
 * whatever the scalar. 0, 1, -1 and the two of order 8 (RFC 7748 6.1; curve25519 paper, validation of public keys).
 */
const smallOrder = (): Uint8Array[] => [
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
  '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
].map(fromHex)

/** 2^255 - 19, the first byte the highest. */
const P_REVERSED = '7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffed'

/** True for a canonical X25519 public key (top bit 0, below 2^255 - 19) that does not force an all-zero secret. */
export function isTransportKey(key: Uint8Array): boolean {
  if (key.length !== 32 || compare(key.slice().reverse(), fromHex(P_REVERSED)) >= 0) return false
  return !smallOrder().some((point) => equal(point, key))
}
