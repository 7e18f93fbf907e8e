// The header fields of a mail, or of a part of one, each looked for when it is asked for: a list asks for ten of each of a
// hundred mails, and what takes them all apart first takes longer than all else. Nothing read is trusted.

import { memo } from '../base/memo.ts'

export interface Headers {
  /** The unfolded value of a field, by its name in lower case; of a repeated field the first counts. */
  get(name: string): string | undefined
  has(name: string): boolean
}

/** The fields of the text before the empty line, whatever it is. */
export function headersOf(head: string): Headers {
  let text = head.includes('\r') ? head.replaceAll('\r\n', '\n') : head
  if (text.includes('\n ') || text.includes('\n\t')) text = text.replace(/\n(?=[ \t])/g, '')
  const lower = text.toLowerCase()
  // A blank before a colon may stand behind a name, where it counts for nothing; that "at 8 :)" is told so, too, costs little.
  return lower.length === text.length && !/\s:/.test(text) ? new Fields(text, lower) : mapped(text)
}

const sought = memo((name) => `\n${name}:`)

class Fields implements Headers {
  /** A field and a line feed, again and again; and the same in lower case, as long. */
  readonly #text: string
  readonly #lower: string

  constructor(text: string, lower: string) {
    this.#text = text
    this.#lower = lower
  }

  get(name: string): string | undefined {
    const at = this.#find(name)
    if (at < 0) return undefined
    const start = at + name.length + 1
    const end = this.#text.indexOf('\n', start)
    return this.#text.slice(this.#text.startsWith(' ', start) ? start + 1 : start, end < 0 ? undefined : end).trim()
  }

  has(name: string): boolean {
    return this.#find(name) >= 0
  }

  #find(name: string): number {
    if (this.#lower.startsWith(':', name.length) && this.#lower.startsWith(name)) return 0
    const feed = this.#lower.indexOf(sought(name))
    return feed < 0 ? -1 : feed + 1
  }
}

/** All fields taken apart. */
export function mapped(text: string): Headers {
  const headers = new Map<string, string>()
  for (const line of text.split('\n')) {
    const at = line.indexOf(':')
    const name = line.slice(0, Math.max(0, at)).trimEnd().toLowerCase()
    if (name !== '' && !headers.has(name)) headers.set(name, line.slice(at + 1).trim())
  }
  return headers
}

const [LF, CR] = [10, 13]

/** Where headers end. */
export interface Top {
  headers: Headers
  /** Where the body begins. */
  body: number
  crlf: boolean
}

/** The headers from `at` on; undefined if they do not end, unless these bytes are the `last`. */
export function parseTop(bytes: Uint8Array, at: number, last: boolean): Top | undefined {
  const buffer = asBuffer(bytes)
  const blank = buffer[at] === LF || buffer.includes(CR) ? -1 : buffer.indexOf('\n\n', at) // as we write it
  if (blank >= 0) return { headers: headersOf(buffer.toString('utf8', at, blank)), body: blank + 2, crlf: false }
  const end = /^(?:\r?\n)|\r?\n\r?\n/.exec(buffer.toString('latin1', at))
  if (end === null && !last) return undefined
  const length = end === null ? bytes.length : at + end.index
  const head = buffer.toString('utf8', at, length)
  return { headers: headersOf(head), body: length + (end?.[0].length ?? 0), crlf: head.includes('\r') }
}

/** The same as parseTop() makes of a message in which each byte is a character: as text it is searched faster. */
export function asciiTop(whole: Uint8Array): Top | undefined {
  const text = asBuffer(whole).toString()
  if (text.length !== whole.length || text.startsWith('\n') || text.includes('\r')) return undefined
  const blank = text.indexOf('\n\n')
  return blank < 0 ? undefined : { headers: headersOf(text.slice(0, blank)), body: blank + 2, crlf: false }
}

/** The same bytes. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
}
