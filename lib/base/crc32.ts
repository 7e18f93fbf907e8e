// CRC-32 of zlib (RFC 1952), which is loaded only for more than a few lines: until then it takes longer to load.

import { utf8 } from './bytes.ts'

const POLYNOMIAL = 0xedb88320

let zlib: Pick<typeof import('node:zlib'), 'crc32'> | undefined
let table: Int32Array | undefined

/** Bytes that are summed up here before zlib does it: to load it takes as long. */
let left = 96 * 1024

/** Four tables of 256 entries, one after the other: what a byte does with none to three bytes behind it. */
function makeTable(): Int32Array {
  const made = new Int32Array(1024)
  for (let byte = 0; byte < 256; byte++) {
    let sum = byte
    for (let bit = 0; bit < 8; bit++) sum = sum & 1 ? (sum >>> 1) ^ POLYNOMIAL : sum >>> 1
    made[byte] = sum
  }
  for (let at = 256; at < 1024; at++) made[at] = ((made[at - 256] as number) >>> 8) ^ (made[(made[at - 256] as number) & 0xff] as number)
  return made
}

/** Of bytes or of the UTF-8 of a text; `before` is the sum of what stands before them. */
export function crc32(data: Uint8Array | string, before = 0): number {
  if (data.length === 0) return before // node 20 has 0 for it
  left -= data.length
  if (left < 0) {
    zlib ??= process.getBuiltinModule('node:zlib')
    return zlib.crc32(data, before)
  }
  table ??= makeTable()
  const bytes = typeof data === 'string' ? utf8(data) : data
  return ~summed(table, bytes, ~before) >>> 0
}

/** Four bytes a turn, by index: in a process that has just begun, turns are what takes time, and iterators most of all. */
function summed(table: Int32Array, bytes: Uint8Array, before: number): number {
  let [sum, at] = [before, 0]
  for (; at + 4 <= bytes.length; at += 4) {
    sum ^= (bytes[at] as number) | ((bytes[at + 1] as number) << 8) | ((bytes[at + 2] as number) << 16) | ((bytes[at + 3] as number) << 24)
    const a = table[768 + (sum & 0xff)] as number
    const b = table[512 + ((sum >>> 8) & 0xff)] as number
    sum = a ^ b ^ (table[256 + ((sum >>> 16) & 0xff)] as number) ^ (table[sum >>> 24] as number)
  }
  for (; at < bytes.length; at++) sum = (sum >>> 8) ^ (table[(sum ^ (bytes[at] as number)) & 0xff] as number)
  return sum
}
