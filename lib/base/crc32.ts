// CRC-32 of zlib (RFC 1952), which is loaded only for more than a few lines: until then it takes longer to load.

import { utf8 } from './bytes.ts'

const POLYNOMIAL = 0xedb88320

let zlib: Pick<typeof import('node:zlib'), 'crc32'> | undefined
let table: Uint32Array | undefined

/** Bytes that are summed up here before zlib does it. */
let left = 16 * 1024

function makeTable(): Uint32Array {
  return Uint32Array.from({ length: 256 }, (_, byte) => {
    let sum = byte
    for (let bit = 0; bit < 8; bit++) sum = sum & 1 ? (sum >>> 1) ^ POLYNOMIAL : sum >>> 1
    return sum
  })
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
  let sum = ~before
  for (let at = 0; at < bytes.length; at++) sum = (sum >>> 8) ^ (table[(sum ^ (bytes[at] as number)) & 0xff] as number)
  return ~sum >>> 0
}
