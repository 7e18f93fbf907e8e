// The leaves of a message as mail: text and files with their part headers (RFC 2045, 2183). Text goes as it is where
// every mail program gives it back as it is, else in base64; files always in base64, so that they stay exact.

import { utf8 } from '../base/bytes.ts'
import { mediaType } from './envelope.ts'
import { cleanName, messageId } from './mailtext.ts'
import { parameter } from './mimeword.ts'

/** RFC 5322 2.1.1: octets of a line. */
const LINE_MAX = 998
/** Bytes of a file that make one line of base64, and how many such lines are encoded at a time. */
const BASE64_LINE = 57
const BASE64_BATCH = 1024

export interface MailFile {
  type: string
  name?: string | undefined
  size: number
  content?: (() => AsyncIterable<Uint8Array>) | undefined
  /** Instead of content: where the file is, relative to the home. */
  external?: string | undefined
}

export interface Leaf {
  headers: string[]
  /** True if the body does not end with a newline. */
  open: boolean
  body(): AsyncGenerator<Uint8Array>
}

/** The text of a message; with a disposition, a part of that kind (RFC 9078: reaction). `bytes` is the whole body. */
export function textLeaf(text: Uint8Array, disposition?: string): Leaf & { bytes: Uint8Array } {
  const safe = isEightBitSafe(text)
  const headers = ['Content-Type: text/plain; charset=utf-8', `Content-Transfer-Encoding: ${safe ? '8bit' : 'base64'}`]
  if (disposition !== undefined) headers.push(`Content-Disposition: ${disposition}`)
  const bytes = safe ? text : encodeBatch(text, false)
  return {
    headers,
    open: !safe,
    bytes,
    async *body() {
      yield bytes
    },
  }
}

/** True if every mail program gives the text back as it is: LF line ends, the last line ended, no NUL, no CR. */
export function isEightBitSafe(text: Uint8Array): boolean {
  if (text.length === 0 || text[text.length - 1] !== 0x0a) return false
  let start = 0
  for (let at = 0; at < text.length; at++) {
    const byte = text[at]
    if (byte === 0 || byte === 0x0d) return false
    if (byte !== 0x0a) continue
    if (at - start > LINE_MAX) return false
    start = at + 1
  }
  return true
}

/** A file, or the reference to one beside the Maildir (RFC 2046 5.2.3). Throws on what no caller may pass. */
export function fileLeaf(file: MailFile, id: string, index: number): Leaf {
  const type = mediaType(file.type)
  const name = file.name === undefined ? undefined : cleanName(file.name)
  const size = String(file.size)
  const plain = name === undefined || /^[!-~]*$/.test(name) ? undefined : name.replace(/[^\w.+-]+/g, '_').slice(-60)
  const charset = type.startsWith('text/') ? '; charset=utf-8' : ''
  const contentType = `Content-Type: ${type}${charset}${plain === undefined ? '' : parameter('name', plain)}`
  // The size comes first: Python reads what follows a name with quotes or backslashes wrongly.
  const disposition = `Content-Disposition: attachment; size=${size}${name === undefined ? '' : parameter('filename', name)}`
  if (file.external !== undefined) {
    if (!/^[\w./-]{1,200}$/.test(file.external)) throw new Error('not a path inside the home')
    const inner = [contentType, 'Content-Transfer-Encoding: binary', `Content-ID: ${messageId(`${id}.${index}`)}`]
    const body = utf8([...inner, disposition, '', ''].join('\n'))
    const outer = `Content-Type: message/external-body; access-type=local-file;\n name="${file.external}";\n size=${size}`
    return {
      headers: [outer],
      open: false,
      async *body() {
        yield body
      },
    }
  }
  const { content } = file
  if (content === undefined) throw new Error('a file without content')
  const headers = [contentType, 'Content-Transfer-Encoding: base64', disposition]
  return { headers, open: true, body: () => base64Lines(content(), file.size) }
}

/** RFC 2045 6.8 in full lines of 76 characters, joined by LF, none after the last. */
async function* base64Lines(content: AsyncIterable<Uint8Array>, size: number): AsyncGenerator<Uint8Array> {
  const batch = new Uint8Array(BASE64_LINE * BASE64_BATCH)
  let held = 0
  let total = 0
  for await (const chunk of content) {
    total += chunk.length
    for (let at = 0; at < chunk.length; ) {
      const piece = chunk.subarray(at, at + batch.length - held)
      batch.set(piece, held)
      held += piece.length
      at += piece.length
      if (held === batch.length) {
        yield encodeBatch(batch, total - chunk.length + at > held)
        held = 0
      }
    }
  }
  if (total !== size) throw new Error(`a part of ${total} bytes where ${size} were announced`)
  if (held > 0) yield encodeBatch(batch.subarray(0, held), total > held)
}

function encodeBatch(bytes: Uint8Array, follows: boolean): Uint8Array {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64')
  const lines = text.match(/.{1,76}/g) ?? []
  return utf8((follows ? '\n' : '') + lines.join('\n'))
}

/** Characters that base64Lines makes of `size` bytes. */
export function base64Size(size: number): number {
  const chars = Math.ceil(size / 3) * 4
  return chars === 0 ? 0 : chars + Math.ceil(chars / 76) - 1
}
