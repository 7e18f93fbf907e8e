// Header values of RFC 5322 messages, written and read: encoded words (RFC 2047), parameters (RFC 2231), folding.
// What it guarantees: whatever text goes in, what comes out is printable ASCII in lines of at most 78 characters that
// each continue the header they stand in; no input can end a header or start another. It trusts nobody.

import { fromUtf8, utf8 } from '../base/bytes.ts'
import { memo } from '../base/memo.ts'
import { isAscii } from '../base/text.ts'

/** RFC 5322 2.1.1 and RFC 2047 2: a line that carries an encoded word has at most 76 characters. */
const LINE_MAX = 76
/** `=?utf-8?B?` and `?=` */
const WORD_FRAME = 12

/**
 * Text fit for a header value: line breaks and tabs become one blank, other control characters and unpaired
 * surrogates U+FFFD (a mail program that answers writes them out again), at most `maxBytes` of UTF-8.
 */
export function headerText(text: string, maxBytes: number): string {
  if (isAscii(text)) return text.slice(0, maxBytes)
  const clean = text.replace(/[\t\r\n\u2028\u2029]+/gu, ' ').replace(/[\p{Cc}\p{Cs}]/gu, '\ufffd')
  return cutBytes(clean, maxBytes)
}

/** The longest beginning of `text` that is at most `maxBytes` of UTF-8, whole characters only. */
export function cutBytes(text: string, maxBytes: number): string {
  if (text.length * 3 <= maxBytes) return text
  const bytes = utf8(text)
  return bytes.length <= maxBytes ? text : fromUtf8(bytes.subarray(0, utf8Floor(bytes, maxBytes)))
}

/** The greatest end <= `size` that does not split a UTF-8 character. */
export function utf8Floor(bytes: Uint8Array, size: number): number {
  if (size >= bytes.length) return bytes.length
  let end = size
  while (end > 0 && size - end < 3 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1
  return ((bytes[end] ?? 0) & 0xc0) === 0x80 ? size : end // not UTF-8: cut where it is
}

/** `Name: value` for unstructured text (RFC 5322 2.2.1), folded, without the last newline. */
export function textHeader(name: string, value: string): string {
  const plain = /^[!-~]+(?: [!-~]+)*$/.test(value) && !value.includes('=?')
  const lines = plain ? foldWords(value, name.length + 2) : undefined
  return `${name}: ${(lines ?? encodeWords(value, name.length + 2)).join('\n ')}`
}

/** `Name: display-name <address>` (RFC 5322 3.4); the address is the caller's own. */
export function addressHeader(name: string, display: string, address: string): string {
  if (display === '') return `${name}: <${address}>`
  const short = display.length + name.length + 6 <= LINE_MAX && !display.includes('=?')
  let lines: string[]
  if (short && /^[\w!#$%&'*+/=?^`{|}~-]+(?: [\w!#$%&'*+/=?^`{|}~-]+)*$/.test(display)) lines = [display]
  else if (short && /^[!-~](?:[ -~]*[!-~])?$/.test(display)) lines = [`"${display.replace(/["\\]/g, '\\$&')}"`]
  else lines = encodeWords(display, name.length + 2)
  const fits = lines.length === 1 && `${name}: ${lines[0] ?? ''} <${address}>`.length <= LINE_MAX + 22
  return `${name}: ${lines.join('\n ')}${fits ? ' ' : '\n '}<${address}>`
}

/** Parts of a folded line at single blanks; undefined if a word is too long for a line. */
function foldWords(value: string, used: number): string[] | undefined {
  const lines: string[] = []
  let line = ''
  for (const word of value.split(' ')) {
    if (word.length > LINE_MAX - used) return undefined
    const room = LINE_MAX - (lines.length === 0 ? used : 1)
    if (line !== '' && line.length + 1 + word.length > room) {
      lines.push(line)
      line = word
    } else {
      line = line === '' ? word : `${line} ${word}`
    }
  }
  return [...lines, line]
}

function encodeWords(value: string, used: number): string[] {
  const words: string[] = []
  let pending = ''
  let size = 0
  for (const char of value) {
    const length = utf8(char).length
    const room = LINE_MAX - WORD_FRAME - (words.length === 0 ? used : 1)
    if (size + length > Math.floor(room / 4) * 3) {
      words.push(word(pending))
      pending = ''
      size = 0
    }
    pending += char
    size += length
  }
  return [...words, word(pending)]
}

function word(text: string): string {
  return `=?utf-8?B?${Buffer.from(text, 'utf8').toString('base64')}?=`
}

/** `; name=value` folded onto lines of its own: a quoted string where that is harmless, else RFC 2231 in UTF-8. */
export function parameter(name: string, value: string): string {
  if (value.length <= 60 && /^[\w.+,@~()-](?:[\w .+,@~()-]*[\w.+,@~()-])?$/.test(value)) return `;\n ${name}="${value}"`
  const room = LINE_MAX - name.length - 10
  const segments: string[] = []
  let segment = "utf-8''"
  for (const char of value) {
    const coded = [...utf8(char)].map(percent).join('')
    if (segment.length + coded.length > room) {
      segments.push(segment)
      segment = ''
    }
    segment += coded
  }
  segments.push(segment)
  if (segments.length === 1) return `;\n ${name}*=${segment}`
  return segments.map((text, at) => `;\n ${name}*${at}*=${text}`).join('')
}

function percent(byte: number): string {
  const char = String.fromCharCode(byte)
  return /[A-Za-z0-9._~-]/.test(char) ? char : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
}

const lenient = new TextDecoder('utf-8', { ignoreBOM: true })

/** The text of an unfolded header value with its encoded words decoded; what is not one stays as it is. */
export function decodeWords(value: string): string {
  if (!value.includes('=?')) return value
  const joined = value.replace(/(=\?[\w-]+\?[bq]\?[!->@-~]*\?=)\s+(?==\?[\w-]+\?[bq]\?[!->@-~]*\?=)/gi, '$1')
  // Neighbours of one charset are joined as bytes: some writers split characters between words.
  return joined.replace(/(?:=\?utf-8\?[bq]\?[!->@-~]*\?=)+/gi, (run) => {
    const parts = [...run.matchAll(/=\?utf-8\?([bq])\?([!->@-~]*)\?=/gi)]
    return lenient.decode(Buffer.concat(parts.map(([, kind, text]) => wordBytes(kind ?? 'b', text ?? ''))))
  })
}

function wordBytes(kind: string, text: string): Buffer {
  if (kind.toLowerCase() === 'b') return Buffer.from(text, 'base64')
  const octets = text.replace(/_/g, ' ').replace(/=([0-9a-f]{2})/gi, (_, code: string) => octet(code))
  return Buffer.from(octets, 'latin1')
}

function octet(code: string): string {
  return String.fromCharCode(parseInt(code, 16))
}

export interface Structured {
  /** Lower case, e.g. `text/plain` or `attachment`. */
  value: string
  params: ReadonlyMap<string, string>
}

/** What most mails are: their patterns take a process that has just begun longer than all else here. */
const OWN_TEXT = 'text/plain; charset=utf-8'

/** A header value with parameters (RFC 2045 5.1, RFC 2231), unfolded. Never throws: what does not parse is left out. */
export const parseStructured = memo((header): Structured => {
  if (header === OWN_TEXT) return { value: 'text/plain', params: new Map([['charset', 'utf-8']]) }
  const [value = ''] = header.split(';', 1)
  const plain = new Map<string, string>()
  if (value.length === header.length) return { value: value.trim().toLowerCase(), params: plain }
  const pieces = new Map<string, { at: number; coded: boolean; text: string }[]>()
  const rest = header.slice(value.length)
  for (const [, rawName, quoted, token] of rest.matchAll(/;\s*([^\s=;"]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]*))/gs)) {
    const text = quoted === undefined ? (token ?? '') : quoted.replace(/\\(.)/gs, '$1')
    const [, name = '', at, star] = /^([^*]+)(?:\*(\d{1,4}))?(\*)?$/.exec((rawName ?? '').toLowerCase()) ?? []
    if (name === '') continue
    if (at === undefined && star === undefined) {
      if (!plain.has(name)) plain.set(name, text)
      continue
    }
    const list = pieces.get(name) ?? []
    list.push({ at: Number(at ?? 0), coded: star !== undefined, text })
    pieces.set(name, list)
  }
  for (const [name, list] of pieces) plain.set(name, joinPieces(list))
  return { value: value.trim().toLowerCase(), params: plain }
})

function joinPieces(list: { at: number; coded: boolean; text: string }[]): string {
  const octets = list
    .sort((a, b) => a.at - b.at)
    .map(({ at, coded, text }) => {
      if (!coded) return utf8(text)
      const value = at === 0 ? text.replace(/^[^']*'[^']*'/, '') : text
      const raw = value.replace(/%([0-9a-f]{2})/gi, (_, code: string) => octet(code))
      return Buffer.from(raw, 'latin1')
    })
  return lenient.decode(Buffer.concat(octets))
}
