// Text of people: made safe to print, and read where it stands for a duration, a size, a time or a name.
// Nothing here trusts its argument; what a parser refuses, it refuses with a Failure that quotes the text visibly.

import { EX, Failure, type ExitCode } from './fail.ts'

/**
 * True for U+0020 to U+007E alone: one line, printable, in every normal form, with letters that have two cases and no
 * more. Most texts are; what asks Unicode's tables about the others costs a short command some ms the first time.
 */
export function isAscii(text: string): boolean {
  return /^[ -~]*$/.test(text)
}

/**
 * What must not reach a terminal raw: C0, DEL and C1 (U+009B alone starts an escape sequence), line and paragraph
 * separators, unpaired surrogates, everything that reorders or annotates, a byte order mark, language tags.
 * Joiners and variation selectors stay: emoji and many scripts are built with them. A function, as other patterns that
 * ask Unicode's tables: V8 reads those when it makes the pattern, which takes a start longer than most files.
 */
const unprintable = (): RegExp =>
  /[\p{Cc}\p{Zl}\p{Zp}\p{Cs}\p{Bidi_Control}\u206a-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff\u{e0000}-\u{e001f}]/gu

function escape(char: string): string {
  const code = char.codePointAt(0) ?? 0
  if (code === 0x0a) return '\\n'
  if (code === 0x0d) return '\\r'
  if (code === 0x09) return '\\t'
  if (code < 0x100) return `\\x${code.toString(16).padStart(2, '0')}`
  return code < 0x10000 ? `\\u${code.toString(16).padStart(4, '0')}` : `\\u{${code.toString(16)}}`
}

/** One line, fit for a terminal: controls, escapes, line breaks, bidi marks and lone surrogates become `\x1b`, `\u202e`. */
export function printable(text: string): string {
  return isAscii(text) ? text : text.replace(unprintable(), escape)
}

/** As printable, but line feeds and tabs stay: for a text shown in several lines. CR LF counts as one line feed. */
export function printableLines(text: string): string {
  return text
    .replace(/\r\n/g, '\n')
    .replace(unprintable(), (char) => (char === '\n' || char === '\t' ? char : escape(char)))
}

/** Text in single quotes for a message, shortened to 60 characters. */
export function quote(text: string): string {
  const chars = Array.from(printable(text))
  return `'${chars.length > 60 ? `${chars.slice(0, 59).join('')}…` : chars.join('')}'`
}

const SECONDS: Record<string, number> = { '': 1, ms: 0.001, s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 }
const DURATION_MAX = 1e11 // seconds, about 3000 years: in milliseconds still an exact integer and still a valid Date

/** `500ms 90s 5m 2h 7d 3w inf`, a bare number is seconds. Returns seconds, `inf` as Infinity. Throws Failure 64. */
export function parseDuration(text: string): number {
  if (text === 'inf') return Infinity
  const match = /^(\d{1,15}(?:\.\d{1,9})?)(ms|[smhdw]?)$/.exec(text)
  const seconds = match === null ? NaN : Number(match[1]) * (SECONDS[match[2] ?? ''] ?? NaN)
  if (seconds <= DURATION_MAX) return seconds
  throw new Failure(EX.USAGE, `bad duration ${quote(text)}: write 500ms, 90s, 5m, 2h, 7d, 3w or inf`)
}

const UNITS: Record<string, number> = { '': 1, k: 1024, K: 1024, M: 1024 ** 2, G: 1024 ** 3 }

/** Bytes, or `k M G` in powers of 1024. Throws Failure 64. */
export function parseSize(text: string): number {
  const match = /^(\d{1,16})([kKMG]?)$/.exec(text)
  const size = match === null ? NaN : Number(match[1]) * (UNITS[match[2] ?? ''] ?? NaN)
  if (Number.isSafeInteger(size)) return size
  throw new Failure(EX.USAGE, `bad size ${quote(text)}: write a number of bytes, or 64k, 10M, 2G`)
}

const DATE = /^(\d{4})-(\d\d)-(\d\d)(?:([Tt ])(\d\d):(\d\d)(?::(\d\d)(\.\d{1,9})?)?([Zz]|[+-]\d\d:\d\d)?)?$/

/**
 * RFC 3339, or `YYYY-MM-DD[ HH:MM]` in local time, or a duration meaning so long ago (`inf`: 1970).
 * Takes and returns Unix milliseconds. Throws Failure 64.
 */
export function parseTime(text: string, now: number): number {
  const bad = new Failure(
    EX.USAGE,
    `bad time ${quote(text)}: write 2026-01-31, '2026-01-31 18:30', RFC 3339 or 2h (ago)`,
  )
  const match = DATE.exec(text)
  if (match === null) {
    if (!/^(?:\d|inf$)/.test(text) || text.includes('-') || text.includes(':')) throw bad
    return Math.max(0, now - parseDuration(text) * 1000)
  }
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = [1, 2, 3, 5, 6, 7].map((at) =>
    Number(match[at] ?? 0),
  )
  const millis = Math.floor(Number(match[8] ?? 0) * 1000)
  if (hour > 23 || minute > 59 || second > 60) throw bad // RFC 3339 5.6: second 60 is a leap second
  const days = new Date(Date.UTC(year, month - 1, day))
  days.setUTCFullYear(year) // Date.UTC takes 0 to 99 for 1900 to 1999
  if (days.getUTCMonth() !== month - 1 || days.getUTCDate() !== day || days.getUTCFullYear() !== year) throw bad
  const zone = match[9]
  if (zone === undefined) {
    if (match[4] !== undefined && (match[4] !== ' ' || match[7] !== undefined)) throw bad // seconds or a T need a zone
    const local = new Date(year, month - 1, day, hour, minute)
    local.setFullYear(year, month - 1, day)
    return local.getTime()
  }
  if (match[7] === undefined) throw bad
  const utc = days.getTime() + ((hour * 60 + minute) * 60 + second) * 1000 + millis
  if (zone === 'Z' || zone === 'z') return utc
  const [zoneHour, zoneMinute] = [Number(zone.slice(1, 3)), Number(zone.slice(4, 6))]
  if (zoneHour > 23 || zoneMinute > 59) throw bad
  return utc - (zone.startsWith('-') ? -1 : 1) * (zoneHour * 60 + zoneMinute) * 60_000
}

/** `YYYY-MM-DD HH:MM` in local time, for people; of an unknown time as many blanks. Takes Unix milliseconds. */
export function localTime(ms: number | undefined): string {
  if (ms === undefined) return ' '.repeat(16)
  const date = new Date(ms)
  const two = (value: number): string => String(value).padStart(2, '0')
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}`
}

export const NAME_MAX = 64 // characters (code points) of a NAME
const RESERVED = new Set(['p2p', 'all', 'me', 'mailer-daemon', 'postmaster'])
const KEY_SHAPE = /^[1-9a-z]{32,44}$/ // of a KEY whose case a mail program has folded

/** The form under which names are compared: compatibility forms and case do not count. Not for display. */
export function foldName(text: string): string {
  if (isAscii(text)) return text.toLowerCase()
  return text.normalize('NFKC').toLowerCase().toUpperCase().toLowerCase().normalize('NFKC') // ẞ, ß and SS are one
}

/**
 * The NFC form of a NAME: 1 to 64 letters, digits and `. _ + -` of any script, a letter or digit first, no reserved
 * word, nothing that looks like a KEY. Throws a Failure that says why, with `exit` 64 (typed) or 65 (read as data).
 */
export function checkName(text: string, exit: ExitCode = EX.USAGE): string {
  const name = text.normalize('NFC')
  const refuse = (why: string): Failure => new Failure(exit, `bad name ${quote(text)}: ${why}`)
  if (name === '') throw refuse('it is empty')
  if (Array.from(name).length > NAME_MAX) throw refuse(`it is longer than ${NAME_MAX} characters`)
  if (!/^[A-Za-z0-9][A-Za-z0-9._+-]*$/.test(name)) {
    const wrong = /[^\p{L}\p{Nd}._+-]/u.exec(name)?.[0]
    if (wrong !== undefined) throw refuse(`${quote(wrong)} is not a letter, a digit or one of . _ + -`)
    if (!/^[\p{L}\p{Nd}]/u.test(name)) throw refuse('it must begin with a letter or a digit')
  }
  const folded = foldName(name)
  if (RESERVED.has(folded)) throw refuse('it is reserved')
  if (KEY_SHAPE.test(folded)) throw refuse('it looks like a key')
  return name
}

/** The candidate a person most likely meant: at most a third of the letters wrong, swapped, missing or surplus. */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined
  let least = Math.max(1, Math.floor(Array.from(word).length / 3)) + 1
  for (const candidate of candidates) {
    const far = distance(foldName(word), foldName(candidate), least)
    if (far < least) {
      least = far
      best = candidate
    }
  }
  return best
}

/** Edits (insert, delete, replace, swap neighbours) between two words; `limit` if there are as many or more. */
function distance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) >= limit) return limit
  let before: number[] = []
  let above = Array.from({ length: b.length + 1 }, (_, at) => at)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1
      let value = Math.min((above[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (above[j - 1] ?? 0) + cost)
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        value = Math.min(value, (before[j - 2] ?? 0) + 1)
      row.push(value)
    }
    before = above
    above = row
  }
  return Math.min(limit, above[b.length] ?? limit)
}
