// NAT-PMP (RFC 6886), as a client speaks it to its own router: what is its outside address, and let this port through.
// Pure. An answer is believed in so far as it fits the question; a router can lie about anything.

import { Reader, Writer } from '../base/bytes.ts'
import { Malformed } from '../base/fail.ts'
import { formatIp } from './ip.ts'

/** Where routers listen, for PCP as well. */
export const NATPMP_PORT = 5351

export type Protocol = 'tcp' | 'udp'

const VERSION = 0
const RESPONSE = 128
const OPCODES = { udp: 1, tcp: 2 } as const // 3.3

/** 3.5; what a person can do something with. */
const RESULTS: Record<number, string> = {
  1: 'does not speak this version',
  2: 'does not let programs open ports: it can be set in the router',
  3: 'has no outside address of which it could open a port: it is offline, or itself behind a NAT',
  4: 'has no room for another port',
  5: 'does not know this request',
}

/** 3.2: the outside address. */
export function encodeAddressRequest(): Uint8Array {
  return Uint8Array.of(VERSION, 0)
}

/** 3.3: lets `port` through, by the same number outside if it can be had. Lifetime in seconds, 0 ends it. */
export function encodeMapRequest(protocol: Protocol, port: number, external: number, lifetime: number): Uint8Array {
  const writer = new Writer().u8(VERSION).u8(OPCODES[protocol]).u16(0).u16(port)
  return writer.u16(lifetime === 0 ? 0 : external).u32(lifetime).finish()
}

export type Refusal = { refused: string }

/** The outside address of the router. Throws Malformed for what is no answer to encodeAddressRequest(). */
export function parseAddressResponse(bytes: Uint8Array): { ip: string } | Refusal {
  const reader = new Reader(bytes)
  const refused = begin(reader, 0)
  if (refused !== undefined) return refused
  const ip = formatIp(reader.bytes(4))
  reader.end()
  return { ip }
}

/** The port outside, and for how many seconds. Throws Malformed for what is no answer about `protocol` and `port`. */
export function parseMapResponse(
  bytes: Uint8Array,
  protocol: Protocol,
  port: number,
): { external: number; lifetime: number } | Refusal {
  const reader = new Reader(bytes)
  const refused = begin(reader, OPCODES[protocol])
  if (refused !== undefined) return refused
  if (reader.u16() !== port) throw new Malformed('about another port')
  const external = reader.u16()
  const lifetime = reader.u32()
  reader.end()
  if (lifetime > 0 && external === 0) throw new Malformed('port 0')
  return { external, lifetime }
}

/** Version, opcode, result, and the age of the router's table (3.6), which is not needed. */
function begin(reader: Reader, opcode: number): Refusal | undefined {
  if (reader.u8() !== VERSION || reader.u8() !== RESPONSE + opcode) throw new Malformed('not an answer')
  const result = reader.u16()
  if (result !== 0) return { refused: RESULTS[result] ?? `says ${result}` }
  reader.u32()
  return undefined
}
