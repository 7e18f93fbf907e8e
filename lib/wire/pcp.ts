// PCP (RFC 6887), the MAP request alone: a client asks its own router to let a port through to it. Pure. An answer is
// believed in so far as it fits the question, the nonce above all: nobody else on the network knows it.

import { equal, Reader, Writer } from '../base/bytes.ts'
import { Malformed } from '../base/fail.ts'
import { formatIp, parseIp } from './ip.ts'
import type { Protocol } from './natpmp.ts'

export const NONCE_SIZE = 12

const VERSION = 2
const MAP = 1
const RESPONSE = 0x80
const NUMBERS = { tcp: 6, udp: 17 } as const // IANA's protocol numbers
const SIZE_MAX = 1100 // 7
const HEADER = 24 // bytes of it
const MAPPED = Uint8Array.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff])

/** 7.4; what a person can do something with. */
const RESULTS: Record<number, string> = {
  1: 'does not speak this version',
  2: 'does not let programs open ports: it can be set in the router',
  7: 'has no outside address of which it could open a port: it is offline, or itself behind a NAT',
  8: 'has no room for another port',
  10: 'has given this machine as many ports as it may have',
  11: 'cannot give this port',
  12: 'sees this machine under another address: there is a NAT in between',
}

export interface MapRequest {
  /** Of the asking machine, as the router sees it. */
  client: string
  nonce: Uint8Array
  protocol: Protocol
  port: number
  /** The port outside that would be best. */
  external: number
  /** Seconds; 0 ends it. */
  lifetime: number
}

/** 7.1 and 11.1: 60 bytes. */
export function encodePcpMap({ client, nonce, protocol, port, external, lifetime }: MapRequest): Uint8Array {
  const writer = new Writer().u8(VERSION).u8(MAP).u16(0).u32(lifetime).bytes(mapped(client))
  writer.bytes(nonce).u8(NUMBERS[protocol]).zeros(3).u16(port)
  return writer.u16(lifetime === 0 ? 0 : external).bytes(mapped('0.0.0.0')).finish()
}

/**
 * Where the port is outside, and for how many seconds; `refused` says why not, in words that follow "the router". Throws
 * Malformed for what is no answer to `request`.
 */
export function parsePcpMap(
  bytes: Uint8Array,
  request: MapRequest,
): { ip: string; external: number; lifetime: number } | { refused: string } {
  if (bytes.length > SIZE_MAX) throw new Malformed('too long')
  const reader = new Reader(bytes)
  if (reader.u8() !== VERSION || reader.u8() !== RESPONSE + MAP) throw new Malformed('not an answer')
  reader.u8()
  const result = reader.u8()
  const lifetime = reader.u32()
  reader.bytes(HEADER - 8)
  if (reader.left === 0 && result !== 0) return { refused: RESULTS[result] ?? `says ${result}` }
  const { nonce, protocol, port } = request
  if (!equal(reader.bytes(NONCE_SIZE), nonce)) throw new Malformed('an answer to somebody else')
  if (reader.u8() !== NUMBERS[protocol]) throw new Malformed('about another protocol')
  reader.bytes(3)
  if (reader.u16() !== port) throw new Malformed('about another port')
  if (result !== 0) return { refused: RESULTS[result] ?? `says ${result}` }
  const external = reader.u16()
  const ip = formatIp(reader.bytes(16))
  if (request.lifetime > 0 && (external === 0 || ip.includes(':'))) throw new Malformed('no IPv4 port')
  return { ip, external, lifetime }
}

/** True for NAT-PMP's "unsupported version" (RFC 6886 3.5), with which a router says that it speaks that alone. */
export function speaksNatPmp(bytes: Uint8Array): boolean {
  return bytes.length >= 4 && bytes[0] === 0 && (bytes[1] ?? 0) >= RESPONSE && bytes[2] === 0 && bytes[3] === 1
}

/** IPv4 inside IPv6, RFC 6887 5. */
function mapped(ip: string): Uint8Array {
  const bytes = parseIp(ip)
  if (bytes === undefined) throw new RangeError('not an address')
  return bytes.length === 16 ? bytes : new Uint8Array([...MAPPED, ...bytes])
}
