// CRC-32 of zlib (RFC 1952), which is loaded only once somebody asks for it: few commands do.

let zlib: Pick<typeof import('node:zlib'), 'crc32'> | undefined

/** Of bytes or of the UTF-8 of a text; `before` is the sum of what stands before them. */
export function crc32(data: Uint8Array | string, before = 0): number {
  zlib ??= process.getBuiltinModule('node:zlib')
  return zlib.crc32(data, before)
}
