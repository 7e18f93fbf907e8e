// The MIME tree of one RFC 5322 message in memory: where each entity begins and ends, byte for byte, so that what must
// stay whole (a signature covers it) can. Nothing is decoded here. Any bytes have a tree: what does not parse is a leaf.

import { parseStructured, type Structured } from './mimeword.ts'

/** Multiparts inside multiparts; beyond that they are leaves. */
const DEPTH_MAX = 32

/** Parts of one multipart; what follows belongs to the last one. */
const PARTS_MAX = 1000

export interface Entity {
  /** Unfolded fields in their order, names in lower case. */
  fields: [name: string, value: string][]
  type: Structured
  disposition: Structured
  /** All of it, fields included; and what follows them. */
  bytes: Uint8Array
  body: Uint8Array
  /** Of a multipart; a leaf has none. */
  parts: Entity[]
}

/** The values of all fields of this name, in their order. */
export function valuesOf(entity: Entity, name: string): string[] {
  return entity.fields.flatMap(([each, value]) => (each === name ? [value] : []))
}

/** The tree of a message or part: the fields before the first empty line, and the parts that its type announces. */
export function parseTree(bytes: Uint8Array, depth = 0): Entity {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  const body = bodyStart(buffer)
  const fields = parseFields(buffer.toString('utf8', 0, body))
  const entity: Entity = { fields, type: EMPTY, disposition: EMPTY, bytes, body: buffer.subarray(body), parts: [] }
  entity.type = parseStructured(valuesOf(entity, 'content-type')[0] ?? 'text/plain')
  entity.disposition = parseStructured(valuesOf(entity, 'content-disposition')[0] ?? '')
  const boundary = entity.type.params.get('boundary') ?? ''
  if (entity.type.value.startsWith('multipart/') && boundary !== '' && depth < DEPTH_MAX) {
    entity.parts = split(buffer, body, boundary).map((part) => parseTree(part, depth + 1))
    if (entity.parts.length === 0) entity.type = parseStructured('text/plain') // it only says so
  }
  return entity
}

const EMPTY: Structured = { value: '', params: new Map() }

/** Behind the empty line; the end if there is none. */
function bodyStart(buffer: Buffer): number {
  for (let at = 0; at < buffer.length; ) {
    const end = buffer.indexOf(10, at)
    if (end < 0) return buffer.length
    if (end === at || (end === at + 1 && buffer[at] === 13)) return end + 1
    at = end + 1
  }
  return buffer.length
}

function parseFields(head: string): [string, string][] {
  const fields: [string, string][] = []
  for (const line of head.replace(/\r?\n(?=[ \t])/g, '').split(/\r?\n/)) {
    const at = line.indexOf(':')
    if (at > 0) fields.push([line.slice(0, at).trimEnd().toLowerCase(), line.slice(at + 1).trim()])
  }
  return fields
}

/** The bytes between the delimiter lines of RFC 2046 5.1.1; the line break before a delimiter belongs to it. */
function split(buffer: Buffer, body: number, boundary: string): Uint8Array[] {
  const parts: Uint8Array[] = []
  const delimiter = Buffer.from(`--${boundary}`)
  let begin: number | undefined
  for (let at = body; parts.length < PARTS_MAX; ) {
    const found = buffer.indexOf(delimiter, at)
    if (found < 0) break
    at = found + delimiter.length
    const lineEnd = buffer.indexOf(10, at)
    const rest = buffer.toString('latin1', at, lineEnd < 0 ? buffer.length : lineEnd)
    const closing = /^--[ \t]*\r?$/.test(rest)
    if ((found > body && buffer[found - 1] !== 10) || !(closing || /^[ \t]*\r?$/.test(rest))) continue
    if (begin !== undefined) {
      const lineBreak = found > begin && buffer[found - 1] === 10 ? (buffer[found - 2] === 13 ? 2 : 1) : 0
      parts.push(buffer.subarray(begin, Math.max(begin, found - lineBreak)))
    }
    begin = lineEnd < 0 ? buffer.length : lineEnd + 1
    if (closing) return parts
  }
  if (begin !== undefined) parts.push(buffer.subarray(begin)) // cut off: what there is
  return parts
}
