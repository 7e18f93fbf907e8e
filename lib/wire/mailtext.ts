// What a peer's words become in mail and in records: the same everywhere, so that p2p-listen and p2p-inbox say the
// same of one message. Cleaning is for headers; how a file is named on disk is decided in filename.ts.

import { isAscii } from '../base/text.ts'
import { headerText } from './mimeword.ts'

/** Every address of ours ends in this; RFC 6761 promises that it never exists. */
export const DOMAIN = 'p2p.invalid'
/** Bytes of UTF-8 that one header value may carry, so that no message begins with a megabyte of headers. */
export const SUBJECT_MAX = 2048
export const NAME_MAX = 1024
export const REACTION_MAX = 256

/** True for the form of a message id: 64 lower-case hexadecimal digits. */
export function isId(text: string): boolean {
  return /^[0-9a-f]{64}$/.test(text)
}

/** A Message-ID of ours (RFC 5322 3.6.4). */
export function messageId(local: string): string {
  return `<${local}@${DOMAIN}>`
}

/** What a peer's reaction becomes: one line, short. */
export function cleanReaction(text: string): string {
  return headerText(text, REACTION_MAX).trim()
}

/** What a peer's file name becomes in mail and in records: one line and no slash. Saving it takes safeName, still. */
export function cleanName(name: string): string {
  return headerText(name, NAME_MAX).replaceAll('/', '_')
}

const wide = (): RegExp => /\p{Emoji_Presentation}|\ufe0f|[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff]|[\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|[\u{1f300}-\u{1f64f}\u{1f900}-\u{1f9ff}\u{20000}-\u{3fffd}]/u

/** The longest beginning that fits `columns` of a terminal; wide characters count 2, no grapheme is split. */
export function cutColumns(text: string, columns: number): string {
  // Segmenting takes a hundred times as long as all the rest of a short message; most texts need none.
  const start = text.slice(0, columns + 1)
  if (isAscii(start)) return start.slice(0, columns).trimEnd()
  let used = 0
  let out = ''
  for (const { segment } of new Intl.Segmenter('en', { granularity: 'grapheme' }).segment(text)) {
    used += wide().test(segment) ? 2 : /^[\p{Mn}\p{Me}\p{Cf}]+$/u.test(segment) ? 0 : 1
    if (used > columns || out.length > columns * 8) break
    out += segment
  }
  return out.trimEnd()
}
