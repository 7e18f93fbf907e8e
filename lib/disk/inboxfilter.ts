// Which messages of a box pass a filter, by the names of their files as far as these tell, then by their digests, then by
// their text: each is opened only if nothing before has told enough. The digests are trusted to choose, not to show:
// what passes is described from the mail itself.

import { collect } from '../base/bytes.ts'
import { Malformed } from '../base/fail.ts'
import { TEXT_MAX } from '../wire/envelope.ts'
import { looseText, openSource, readMail } from '../wire/mailread.ts'
import { infoOfRead, typeOf } from '../wire/record.ts'
import { describe, sameKey, type Depth, type Message, type View } from './inboxview.ts'
import { withMail, type Box, type MailEntry } from './maildir.ts'
import { readDigests, type Digest } from './mailindex.ts'
import { MailRoll } from './mailroll.ts'

/** Messages opened at once. */
const PARALLEL = 16

export interface Filter {
  /** Only without flag S. */
  unseen?: boolean
  /** Only from this KEY. */
  key?: string | undefined
  /** ms of receipt, inclusive */
  since?: number | undefined
  /** ms of receipt, exclusive */
  until?: number | undefined
  /** At most so many, the latest. */
  last?: number | undefined
  /** Only of one of these types: text, file, reaction, edit, recall, notice, foreign, or a media type, `image/*`. */
  types?: string[] | undefined
  /** Only these (names of entries). */
  only?: ReadonlySet<string> | undefined
  /** Only with this in subject, text or the name of a file. */
  grep?: RegExp | undefined
}

/** What is in a box now, as far as a filter wants it. */
export function rollFor(view: View, filter: Filter, box: Box): Promise<MailRoll> {
  return MailRoll.read(view.home, [box], sinceOf(filter))
}

function sinceOf(filter: Filter): bigint {
  return BigInt(Math.max(0, Math.floor((filter.since ?? 0) * 1000)))
}

/** The messages that pass, oldest first. */
export async function* listMessages(view: View, filter: Filter, depth: Depth, box: Box = 'inbox'): AsyncGenerator<Message> {
  for await (const piece of messagePieces(view, filter, depth, box)) yield* piece
}

/** The same, some together. */
export async function* messagePieces(
  view: View,
  filter: Filter,
  depth: Depth,
  box: Box = 'inbox',
  listed?: MailRoll,
): AsyncGenerator<Message[]> {
  const { key, types, grep, last } = filter
  const roll = listed ?? (await rollFor(view, filter, box))
  let rows = rowsOf(roll, filter)
  if (key !== undefined || types !== undefined) {
    const fitting = new Uint8Array(roll.count)
    await readDigests(view.home, box, {
      roll,
      whole: sinceOf(filter) === 0n,
      rows,
      describe: (entry) => describe(view, entry, 'parts'),
      take: (row, digest) => void (fitting[row] = Number(fits(digest, filter))),
    })
    rows = rows.filter((row) => fitting[row] === 1)
  }
  if (grep !== undefined) rows = await withWords(view, roll, rows, grep, last)
  if (last !== undefined) rows = last === 0 ? [] : rows.slice(-last)
  for (let at = 0; at < rows.length; at += PARALLEL) {
    const batch = await Promise.all(rows.slice(at, at + PARALLEL).map((row) => describe(view, roll.entry(row), depth)))
    yield batch.filter((message) => message !== undefined)
  }
}

/** Those that pass as far as the names tell. */
function rowsOf(roll: MailRoll, filter: Filter): number[] {
  const rows: number[] = []
  for (let row = 0; row < roll.count; row++) {
    if (filter.unseen === true && !roll.isUnseen(row)) continue
    const ms = Math.floor(roll.timeOf(row) / 1000)
    if (ms < (filter.since ?? -Infinity) || ms >= (filter.until ?? Infinity)) continue
    if (filter.only?.has(roll.entry(row).base) !== false) rows.push(row)
  }
  return rows
}

/** What of a filter the digest tells. */
export function fits(digest: Partial<Digest> | undefined, { key, types }: Filter): boolean {
  if (digest === undefined) return false
  if (key !== undefined && !sameKey(digest.key, key) && !sameKey(digest.toKey, key)) return false
  return types === undefined || types.some((type) => isOfType(digest, type))
}

/** `image` and `image/*` are any image. */
function isOfType({ type, media = [] }: Partial<Digest>, wanted: string): boolean {
  const word = wanted.toLowerCase()
  if (type === word) return true
  const [top, sub = '*'] = word.split('/')
  return media.some((each) => each === word || (sub === '*' && each.startsWith(`${top}/`)))
}

/** Those with these words, oldest first; looks from the latest on and stops after `last`. */
async function withWords(view: View, roll: MailRoll, rows: number[], words: RegExp, last = Infinity): Promise<number[]> {
  const found: number[] = []
  for (let end = rows.length; end > 0 && found.length < last; end -= PARALLEL) {
    const batch = rows.slice(Math.max(0, end - PARALLEL), end)
    const hits = await Promise.all(batch.map((row) => hasWords(view, roll.entry(row), words)))
    found.push(...batch.filter((_, at) => hits[at] === true).reverse())
  }
  return found.reverse()
}

/** What of a filter only the message itself tells. */
export async function accepts(view: View, entry: MailEntry, filter: Filter): Promise<boolean> {
  const { types, grep } = filter
  if (types !== undefined) {
    const found = await describe(view, entry, 'parts')
    const media = found?.info.parts.map(({ type }) => type.toLowerCase()) ?? []
    if (found === undefined || !types.some((type) => isOfType({ type: typeOf(found.info), media }, type))) return false
  }
  return grep === undefined || hasWords(view, entry, grep)
}

/** The whole text is looked at, not only what a record shows of it. */
export async function hasWords(view: View, entry: MailEntry, words: RegExp): Promise<boolean> {
  const has = await withMail(view.home, entry, async (handle) => {
    const mail = await readMail(await openSource(handle))
    const info = await infoOfRead(mail, 0)
    if (words.test(info.subject ?? '') || info.parts.some(({ name }) => words.test(name ?? ''))) return true
    const text = mail.parts.find(({ kind }) => kind === 'text')
    return text !== undefined && words.test(looseText(await collect(text.content(), TEXT_MAX)))
  }).catch((error: unknown) => {
    if (error instanceof Malformed) return false
    throw error
  })
  return has === true
}

/** What of a filter can be told without opening the message; its sender cannot. */
export function passes(entry: MailEntry, filter: Filter): boolean {
  const ms = Number(entry.time / 1000n)
  if (filter.unseen === true && entry.flags.includes('S')) return false
  if (filter.only?.has(entry.base) === false) return false
  return ms >= (filter.since ?? -Infinity) && ms < (filter.until ?? Infinity)
}
