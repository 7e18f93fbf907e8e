// A line of text as a QR code (ISO/IEC 18004, by uqr), for a terminal, as SVG or as PNG: four modules of quiet zone,
// error correction L, which is enough from screen to camera. Loaded only where one is wanted.

import { deflateSync } from 'node:zlib'

import { encode } from 'uqr'

import { concat, utf8, Writer } from '../base/bytes.ts'
import { crc32 } from '../base/crc32.ts'

/** Modules of quiet zone on each side. */
const QUIET = 4
/** Columns and lines of a terminal that must be enough: 425 bytes. */
const COLUMNS = 80
const LINES = 40
/** Pixels of a module in a PNG. */
const SCALE = 8

/** Rows of modules, true is dark, quiet zone included. */
export type Modules = readonly (readonly boolean[])[]

/** Undefined if it is too long for any QR code. */
export function qrCode(text: string): Modules | undefined {
  try {
    return encode(text, { ecc: 'L', border: QUIET }).data
  } catch {
    return undefined
  }
}

/** Two rows of modules a line, dark on light whatever the terminal's colours are; undefined if it needs more than 80x40. */
export function qrLines(code: Modules): string[] | undefined {
  if (code.length > COLUMNS || Math.ceil(code.length / 2) > LINES) return undefined
  const lines: string[] = []
  for (let y = 0; y < code.length; y += 2) {
    const line = (code[y] ?? []).map((top, x) => ' ▄▀█'.charAt((top ? 2 : 0) + (code[y + 1]?.[x] === true ? 1 : 0)))
    lines.push(`\u001b[30;107m${line.join('')}\u001b[0m`)
  }
  return lines
}

export function qrSvg(code: Modules): Uint8Array {
  const dark = code.flatMap((row, y) => row.flatMap((on, x) => (on ? [`M${x} ${y}h1v1h-1z`] : [])))
  const { length } = code
  return utf8(
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${length} ${length}" shape-rendering="crispEdges">` +
      `<path fill="#fff" d="M0 0h${length}v${length}H0z"/><path d="${dark.join('')}"/></svg>\n`,
  )
}

/** One bit a pixel (PNG 1.2, colour type 0, 0 is dark). */
export function qrPng(code: Modules): Uint8Array {
  const side = code.length * SCALE
  const rows = code.map((row) => {
    const bytes = new Uint8Array(1 + Math.ceil(side / 8)).fill(0xff)
    bytes[0] = 0 // no filter
    for (let x = 0; x < side; x++) if (row[Math.floor(x / SCALE)] === true) bytes[1 + (x >> 3)] = (bytes[1 + (x >> 3)] as number) & ~(0x80 >> (x & 7))
    return bytes
  })
  const pixels = concat(...rows.flatMap((row) => Array.from({ length: SCALE }, () => row)))
  const size = new Writer(13).u32(side).u32(side).u8(1).u8(0).u8(0).u8(0).u8(0).finish()
  const signature = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a)
  return concat(signature, chunk('IHDR', size), chunk('IDAT', deflateSync(pixels)), chunk('IEND', new Uint8Array(0)))
}

function chunk(type: string, data: Uint8Array): Uint8Array {
  const body = concat(utf8(type), data)
  return concat(new Writer(4).u32(data.length).finish(), body, new Writer(4).u32(crc32(body)).finish())
}
