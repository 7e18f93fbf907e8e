// Addresses as tokens and ADDRS frames carry them (p2p-wire(7), addresses): the codec, the text form `host:port`
// and `[v6]:port`, and what kind of address one is. Inside the house an address is always canonical: IPv6 in
// RFC 5952 form, a mapped IPv4 as IPv4, a DNS name in lower-case letters, digits and hyphens. Trusts nobody.

import { domainToASCII } from 'node:url'

import { Writer, fromUtf8, utf8 } from '../base/bytes.ts'
import { EX, Failure, Malformed } from '../base/fail.ts'
import { memo } from '../base/memo.ts'
import { formatIp, parseIp, unmap } from './ip.ts'

import type { Reader } from '../base/bytes.ts'

export interface Address {
  /** Canonical text of an IPv4 or IPv6 address, or a DNS name. */
  readonly host: string
  /** 1 to 65535. */
  readonly port: number
  readonly tcp: boolean
  readonly udp: boolean
}

export type AddressClass =
  | 'global'
  | 'private'
  | 'loopback'
  | 'link-local'
  | 'unspecified'
  | 'multicast'
  | 'broadcast'
  | 'reserved'
  | 'name'

export const ADDRESSES_MAX = 8 // per token or ADDRS frame: a dial races them all
const HOST_MAX = 63 // bytes of a DNS name in a token; keeps a token within a few lines
const TEXT_MAX = 300 // characters of an address in argv before any parsing

const IP4 = 0x04
const IP6 = 0x06
const NAME = 0x0a
const TCP = 1
const UDP = 2

/**
 * True for a DNS name a token may carry: lower-case LDH, at most 63 bytes, and not a spelling of a number, which
 * resolvers take for an IPv4 address (`127.1`, `0x7f.1`).
 */
export function isHostName(text: string): boolean {
  if (text.length < 1 || text.length > HOST_MAX) return false
  const labels = text.split('.')
  if (!labels.every((label) => /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/.test(label))) return false
  return !/^(?:[0-9]+|0x[0-9a-f]*)$/.test(labels[labels.length - 1] ?? '')
}

/** `host:port` or `[v6]:port`. */
export function formatAddress(address: { host: string; port: number }): string {
  return address.host.includes(':') ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`
}

/**
 * `HOST[:PORT]` as a person types it, host being IPv4, `[IPv6]`, a bare IPv6 (then without a port) or a DNS name in any
 * case or script; for TCP and UDP. Throws Failure 64 naming what is wrong.
 */
export function parseAddress(text: string, defaultPort: number): Address {
  const wrong = (why: string): Failure => new Failure(EX.USAGE, `address '${text.slice(0, TEXT_MAX)}': ${why}`)
  if (text.length > TEXT_MAX) throw wrong('too long')
  let host = text
  let port: string | undefined
  const bracketed = /^\[([^\]]*)\](?::(.*))?$/s.exec(text)
  if (bracketed !== null) {
    host = bracketed[1] ?? ''
    port = bracketed[2]
    if (!host.includes(':')) throw wrong('brackets are for IPv6')
  } else if (parseIp(text) === undefined) {
    const colon = text.lastIndexOf(':')
    if (colon >= 0) {
      host = text.slice(0, colon)
      port = text.slice(colon + 1)
      if (host.includes(':')) throw wrong('not an IPv6 address; with a port it is written [ADDRESS]:PORT')
    }
  }
  if (port !== undefined && !(/^[1-9][0-9]{0,4}$/.test(port) && Number(port) <= 65_535)) {
    throw wrong('the port is a number from 1 to 65535')
  }
  if (host.includes('%')) throw wrong('an address with a zone means nothing on another machine')
  const address = { port: port === undefined ? defaultPort : Number(port), tcp: true, udp: true }
  const ip = parseIp(host)
  if (ip !== undefined) {
    if (ip.every((byte) => byte === 0)) throw wrong('the unspecified address cannot be dialled')
    return { host: formatIp(ip), ...address }
  }
  if (host.includes(':')) throw wrong('not an IPv6 address')
  if (host.length > HOST_MAX) throw wrong(`a host name has at most ${HOST_MAX} characters`)
  // domainToASCII is the parser of web addresses: it also drops line breaks, reads %41 as a letter and 127.1 as IPv4
  const plain = /^[A-Za-z0-9.-]+$/.test(host) || /^[\p{L}\p{M}\p{N}.-]+$/u.test(host)
  const name = (/^[\x00-\x7f]*$/.test(host) ? host : domainToASCII(host)).toLowerCase().replace(/\.$/, '')
  if (!plain || !isHostName(name)) throw wrong('not a host name or IP address')
  return { host: name, ...address }
}

/** Count, then each address (p2p-wire(7), addresses). Throws RangeError for what a decoder would refuse. */
export function encodeAddresses(addresses: readonly Address[]): Uint8Array {
  if (addresses.length > ADDRESSES_MAX) throw new RangeError(`more than ${ADDRESSES_MAX} addresses`)
  const out = new Writer()
  out.u8(addresses.length)
  for (const address of addresses) {
    const proto = (address.tcp ? TCP : 0) | (address.udp ? UDP : 0)
    if (proto === 0 || !(address.port >= 1 && address.port <= 65_535)) throw new RangeError('not an address')
    const ip = parseIp(address.host)
    if (ip !== undefined) {
      out.u8(ip.length === 4 ? IP4 : IP6).u8(proto).bytes(ip)
    } else {
      if (!isHostName(address.host)) throw new RangeError('not a host name')
      out.u8(NAME).u8(proto).u8(address.host.length).bytes(utf8(address.host))
    }
    out.u16(address.port)
  }
  return out.finish()
}

/** Takes a counted list from `reader`, strictly: what it returns encodes to the same bytes. Throws Malformed. */
export function decodeAddresses(reader: Reader): Address[] {
  const count = reader.u8()
  if (count > ADDRESSES_MAX) throw new Malformed('too many addresses')
  const out: Address[] = []
  for (let index = 0; index < count; index++) {
    const family = reader.u8()
    const proto = reader.u8()
    if (proto === 0 || (proto & ~(TCP | UDP)) !== 0) throw new Malformed('unknown transport of an address')
    let host: string
    if (family === IP4) {
      host = formatIp(reader.bytes(4))
    } else if (family === IP6) {
      const ip = reader.bytes(16)
      if (unmap(ip).length === 4) throw new Malformed('an IPv4 address written as IPv6')
      host = formatIp(ip)
    } else if (family === NAME) {
      host = fromUtf8(reader.bytes(reader.u8()))
      if (!isHostName(host)) throw new Malformed('not a host name')
    } else {
      throw new Malformed('unknown family of an address')
    }
    const port = reader.u16()
    if (port === 0) throw new Malformed('port 0')
    out.push({ host, port, tcp: (proto & TCP) !== 0, udp: (proto & UDP) !== 0 })
  }
  return out
}

export function sameAddress(a: Address, b: Address): boolean {
  return a.host === b.host && a.port === b.port && a.tcp === b.tcp && a.udp === b.udp
}

type Host = Pick<Address, 'host'>

// What kind of address one is, after IANA's special-purpose registries (RFC 6890).

/** [prefix, bits, class], the first that matches decides; what matches nothing is global. */
const FOUR: readonly [string, number, AddressClass][] = [
  ['0.0.0.0', 8, 'unspecified'], // RFC 791 3.2: "this network"; Linux sends it to itself
  ['10.0.0.0', 8, 'private'], // RFC 1918
  ['100.64.0.0', 10, 'private'], // RFC 6598: behind a carrier's NAT; overlay networks use it too
  ['127.0.0.0', 8, 'loopback'],
  ['169.254.0.0', 16, 'link-local'], // RFC 3927; cloud machines keep their secrets at 169.254.169.254
  ['172.16.0.0', 12, 'private'], // RFC 1918
  ['192.0.0.0', 24, 'reserved'], // RFC 6890
  ['192.168.0.0', 16, 'private'], // RFC 1918
  ['198.18.0.0', 15, 'private'], // RFC 2544
  ['224.0.0.0', 4, 'multicast'],
  ['255.255.255.255', 32, 'broadcast'],
  ['240.0.0.0', 4, 'reserved'],
]

const SIX: readonly [string, number, AddressClass][] = [
  ['::', 128, 'unspecified'],
  ['::1', 128, 'loopback'],
  ['fe80::', 10, 'link-local'],
  ['fec0::', 10, 'private'], // RFC 3879: old site-local
  ['fc00::', 7, 'private'], // RFC 4193
  ['ff00::', 8, 'multicast'],
  ['2000::', 3, 'global'], // all that IANA ever gave out
  ['::', 0, 'reserved'],
]

/** [prefix, bits, offset of the IPv4 address inside]: NAT64 and 6to4 end up at that IPv4 address. */
const CARRIERS: readonly [string, number, number][] = [
  ['64:ff9b::', 96, 12], // RFC 6052
  ['2002::', 16, 2], // RFC 3056
]

const network = memo(parseIp)

function within(ip: Uint8Array, prefix: string, bits: number): boolean {
  const net = network(prefix)
  if (net === undefined || net.length !== ip.length) return false
  for (let at = 0; at * 8 < bits; at++) {
    const mask = (0xff << Math.max(0, 8 - (bits - at * 8))) & 0xff
    if (((ip[at] ?? 0) & mask) !== ((net[at] ?? 0) & mask)) return false
  }
  return true
}

/** The class of an address; `name` for a DNS name. Documentation prefixes count as global: laboratories route them. */
export function classOf(address: Host): AddressClass {
  const ip = parseIp(address.host)
  if (ip === undefined) return 'name'
  if (ip.length === 16) {
    const carrier = CARRIERS.find(([prefix, bits]) => within(ip, prefix, bits))
    if (carrier !== undefined) {
      const inner = classOf({ host: formatIp(ip.subarray(carrier[2], carrier[2] + 4)) })
      return inner === 'global' ? 'global' : 'reserved'
    }
  }
  const row = (ip.length === 4 ? FOUR : SIX).find(([prefix, bits]) => within(ip, prefix, bits))
  return row === undefined ? 'global' : row[2]
}

export function isGlobal(address: Host): boolean {
  return classOf(address) === 'global'
}

export function isLoopback(address: Host): boolean {
  return classOf(address) === 'loopback'
}

export function isPrivate(address: Host): boolean {
  return classOf(address) === 'private'
}

/** True if somebody outside the local network may reach it: a global address, or a name (for all we know). */
export function isReachable(address: Host): boolean {
  return ['global', 'name'].includes(classOf(address))
}

/**
 * Whether an address named by a peer (an ADDRS frame) or by DNS may be dialled: global ones, names (to be judged again
 * when resolved), and private ones if they are `onLink`, on a directly attached network. Never loopback, link-local
 * and the like: a peer must not be able to aim our packets at our own machine. p2p-wire(7), limits.
 */
export function acceptFromPeer(address: Host & { port: number }, onLink: () => boolean = () => false): boolean {
  if (address.port < 1 || address.port > 65_535) return false
  const kind = classOf(address)
  return kind === 'global' || kind === 'name' || (kind === 'private' && onLink())
}

/** The addresses, those of one host and port made one for all that any of them is for. */
export function joinedAddresses(addresses: readonly Address[]): Address[] {
  return distinctAddresses(addresses).map((first) => {
    const same = addresses.filter(({ host, port }) => host === first.host && port === first.port)
    return { ...first, tcp: same.some(({ tcp }) => tcp), udp: same.some(({ udp }) => udp) }
  })
}

/** The addresses without those that name the same host and port as an earlier one. */
export function distinctAddresses(addresses: readonly Address[]): Address[] {
  const first = new Map<string, Address>()
  for (const address of addresses) {
    const text = formatAddress(address)
    if (!first.has(text)) first.set(text, address)
  }
  return [...first.values()]
}
