// IP addresses as text and bytes, without node:net, which the wire floor does not know. Strict in, canonical out.

import { compare } from '../base/bytes.ts'

const DOT = 0x2e
const ZERO = 0x30

/** The 4 or 16 bytes of an address in text form (a mapped IPv4 gives 4); undefined if the text is none. No zones. */
export function parseIp(text: string): Uint8Array | undefined {
  if (!text.includes(':')) return parseIp4(text)
  if (text.length > 45) return undefined
  const halves = text.split('::')
  if (halves.length > 2) return undefined
  const head = groups(halves[0] ?? '', halves.length === 1)
  const tail = halves.length === 2 ? groups(halves[1] ?? '', true) : []
  if (head === undefined || tail === undefined) return undefined
  const size = head.length + tail.length
  if (halves.length === 2 ? size > 14 : size !== 16) return undefined
  return unmap(Uint8Array.from([...head, ...new Array<number>(16 - size).fill(0), ...tail]))
}

/** By hand: every stranger that calls has its address read several times, and a pattern takes ten times as long. */
function parseIp4(text: string): Uint8Array | undefined {
  const bytes = new Uint8Array(4)
  let [part, digits, value] = [0, 0, 0]
  for (let at = 0; at <= text.length; at++) {
    const code = at === text.length ? DOT : text.charCodeAt(at)
    if (code === DOT) {
      if (digits === 0 || part === 4) return undefined
      bytes[part++] = value
      digits = value = 0
      continue
    }
    if (code < ZERO || code > ZERO + 9 || (digits > 0 && value === 0)) return undefined
    value = value * 10 + code - ZERO
    digits++
    if (value > 255) return undefined
  }
  return part === 4 ? bytes : undefined
}

/** The bytes of one side of `::`; the last group of the whole may be a dotted quad. */
function groups(text: string, last: boolean): number[] | undefined {
  if (text === '') return []
  const out: number[] = []
  const parts = text.split(':')
  for (const [index, part] of parts.entries()) {
    if (/^[0-9a-fA-F]{1,4}$/.test(part)) {
      const value = Number.parseInt(part, 16)
      out.push(value >> 8, value & 0xff)
    } else {
      const quad = last && index === parts.length - 1 ? parseIp4(part) : undefined
      if (quad === undefined) return undefined
      out.push(...quad)
    }
  }
  return out
}

const MAPPED = Uint8Array.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff])

/** The 4 bytes inside an IPv4-mapped IPv6 address (RFC 4291 2.5.5.2), any other address as it is. */
export function unmap(bytes: Uint8Array): Uint8Array {
  return compare(bytes.subarray(0, 12), MAPPED) === 0 ? bytes.slice(12) : bytes
}

/** Canonical text of 4 or 16 bytes: dotted quad, or RFC 5952; mapped IPv4 as dotted quad. */
export function formatIp(bytes: Uint8Array): string {
  const ip = bytes.length === 16 ? unmap(bytes) : bytes
  if (ip.length === 4) return ip.join('.')
  if (ip.length !== 16) throw new RangeError('an address has 4 or 16 bytes')
  const parts: number[] = []
  for (let at = 0; at < 16; at += 2) parts.push(((ip[at] ?? 0) << 8) | (ip[at + 1] ?? 0))
  // RFC 5952 4.2: the longest run of two or more zero groups, the first of equals
  let start = -1
  let length = 1
  for (let at = 0; at < 8; at++) {
    let end = at
    while (end < 8 && parts[end] === 0) end++
    if (end - at > length) [start, length] = [at, end - at]
  }
  const hexadecimal = parts.map((part) => part.toString(16))
  if (start < 0) return hexadecimal.join(':')
  return `${hexadecimal.slice(0, start).join(':')}::${hexadecimal.slice(start + length).join(':')}`
}
