// Beacons: datagrams by which contacts in one network find each other, and in which nobody else can read anything, not
// even whose they are. 4, 8 or 16 entries of 66 bytes; those that are for nobody are random. p2p-wire(7), BEACONS. Pure.

import { concat, Reader, Writer } from '../base/bytes.ts'
import { Malformed } from '../base/fail.ts'
import { fraction, type Random } from '../base/random.ts'
import { formatIp, parseIp } from './ip.ts'

export const TAG_SIZE = 16
export const NONCE_SIZE = 12

const PLACE_SIZE = 16 + 2 + 4
const SEALED_SIZE = PLACE_SIZE + 16
export const ENTRY_SIZE = TAG_SIZE + NONCE_SIZE + SEALED_SIZE
export const ENTRY_COUNTS: readonly number[] = [4, 8, 16]
export const ENTRIES_MAX = 16

export interface Entry {
  readonly tag: Uint8Array
  readonly nonce: Uint8Array
  readonly sealed: Uint8Array
}

/** What is sealed in an entry. */
export interface BeaconPlace {
  readonly ip: string
  readonly port: number
  /** Unix seconds. */
  readonly at: number
}

export function encodePlace({ ip, port, at }: BeaconPlace): Uint8Array {
  const bytes = parseIp(ip) ?? new Uint8Array(0)
  const mapped = bytes.length === 4 ? new Uint8Array([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ...bytes]) : bytes
  if (mapped.length !== 16) throw new RangeError('not an address')
  return new Writer(PLACE_SIZE).bytes(mapped).u16(port).u32(at).finish()
}

/** Throws Malformed. */
export function decodePlace(bytes: Uint8Array): BeaconPlace {
  const reader = new Reader(bytes)
  const place = { ip: formatIp(reader.bytes(16)), port: reader.u16(), at: reader.u32() }
  reader.end()
  if (place.port === 0) throw new Malformed('port 0')
  return place
}

/** One datagram of at most ENTRIES_MAX entries, shuffled among random ones. */
export function encodeBeacon(entries: readonly Entry[], random: Random): Uint8Array {
  const count = ENTRY_COUNTS.find((each) => each >= entries.length)
  if (count === undefined) throw new RangeError('too many entries')
  const all = entries.map(({ tag, nonce, sealed }) => concat(tag, nonce, sealed))
  while (all.length < count) all.push(random.bytes(ENTRY_SIZE))
  for (let last = all.length - 1; last > 0; last--) {
    const other = Math.floor(fraction(random) * (last + 1))
    ;[all[last], all[other]] = [all[other] as Uint8Array, all[last] as Uint8Array]
  }
  return concat(...all)
}

/** Its entries, of which each may be random. Throws Malformed for another size. */
export function parseBeacon(bytes: Uint8Array): Entry[] {
  if (!ENTRY_COUNTS.includes(bytes.length / ENTRY_SIZE)) throw new Malformed('not a beacon')
  const reader = new Reader(bytes)
  const entries: Entry[] = []
  while (reader.left > 0) {
    entries.push({ tag: reader.bytes(TAG_SIZE), nonce: reader.bytes(NONCE_SIZE), sealed: reader.bytes(SEALED_SIZE) })
  }
  return entries
}
