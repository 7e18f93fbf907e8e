// The inbox as p2p-inbox (and whoever answers a message) sees it: entries of the Maildir, described by their headers
// or their whole content, filtered, found by what a person typed. Mail programs change it at any moment: what has
// vanished since it was listed is left out.

import { EX, Failure, isCode, Malformed } from '../base/fail.ts'
import { quote } from '../base/text.ts'
import { TEXT_MAX } from '../wire/envelope.ts'
import type { Headers } from '../wire/mailheaders.ts'
import { collect, looseText, openSource, readHeaders, readMail, readShort, type ReadMail, type ReadPart } from '../wire/mailread.ts'
import { parseMessageRef } from '../wire/msgref.ts'
import { infoOfHeaders, infoOfRead, infoOfShort, recipientOf, TEXT_RECORD_MAX, typeOf, type MessageInfo } from '../wire/record.ts'
import type { Home } from './home.ts'
import { withMail, type Box, type MailEntry } from './maildir.ts'
import { readDigests, type Digest } from './mailindex.ts'
import { MailRoll } from './mailroll.ts'

/** Messages opened at once. */
const PARALLEL = 16
/** Bytes of a message that is read at once: most are much shorter. */
const SHORT = 16 * 1024
/** Candidates named when a prefix is ambiguous. */
const CANDIDATES_SHOWN = 8
/** Bytes of an outside file read at a time. */
const BLOCK = 256 * 1024

export interface View {
  home: Home
  /** The present NAME of a contact (or oneself). */
  nameOf(key: string): string | undefined
  /** The own KEY. */
  self?: string | undefined
}

export interface Message {
  entry: MailEntry
  info: MessageInfo
}

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

/** How much of a message is read: `headers` leaves out text, parts and reaction; `text` is the first 64 KiB of it. */
export type Depth = 'headers' | 'parts' | 'text' | 'all'

/** What an entry says; undefined if it is gone. A damaged message is described by its file name alone. */
export async function describe(view: View, entry: MailEntry, depth: Depth): Promise<Message | undefined> {
  let whole: ReadMail | undefined
  try {
    const bytes = await view.home.files.short(entry.path, SHORT)
    if (bytes !== undefined) whole = readShort(bytes)
  } catch (error) {
    if (!isCode(error, 'ENOENT') && !(error instanceof Malformed)) throw error // looked for below
  }
  const only = whole?.parts[0]
  if (whole !== undefined && only?.held !== undefined) {
    const { headers } = whole
    const info = depth === 'headers' ? infoOfHeaders(headers) : infoOfShort(headers, only, only.held, textMax(depth))
    return described(view, entry, headers, info)
  }
  return withMail(view.home, entry, async (handle, at) => {
    try {
      const source = await openSource(handle)
      if (depth === 'headers') {
        const { headers } = await readHeaders(source)
        return described(view, at, headers, infoOfHeaders(headers))
      }
      const mail = await readMail(source)
      return described(view, at, mail.headers, await infoOfRead(mail, textMax(depth)))
    } catch (error) {
      if (!(error instanceof Malformed)) throw error
      return described(view, at, undefined, { from: 'unknown', parts: [] })
    }
  })
}

function textMax(depth: Depth): number {
  return depth === 'parts' ? 0 : depth === 'text' ? TEXT_RECORD_MAX + 1 : TEXT_MAX
}

function described(view: View, entry: MailEntry, headers: Headers | undefined, info: MessageInfo): Message {
  if (entry.box === 'sent' && headers !== undefined) Object.assign(info, sentInfo(view, headers, entry.flags))
  const name = info.key === undefined ? undefined : view.nameOf(info.key)
  if (name !== undefined) info.from = name
  info.received ??= Number(entry.time / 1000n)
  info.flags = entry.flags
  info.path = entry.path
  return { entry, info }
}

/** Who it went to and whether it got there: flag F says that it waits, T that it was given up. */
function sentInfo(view: View, headers: Headers, flags: string): Pick<MessageInfo, 'to' | 'toKey' | 'state'> {
  const { to, toKey } = recipientOf(headers)
  const state = flags.includes('F') ? 'waiting' : flags.includes('T') ? undefined : 'delivered'
  return { to: (toKey === undefined ? undefined : view.nameOf(toKey)) ?? to, toKey, state }
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

function sameKey(a: string | undefined, b: string): boolean {
  return a === b || a?.toLowerCase() === b.toLowerCase() // mail programs fold it
}

/**
 * The one message that `text` (MSG) names, with `key` counting @N among the messages of one sender. `boxes` says
 * where an id is looked for; @N counts in the inbox and passes over notices, or, with `latest`, in sent/ over reactions
 * and recalls.
 * Throws Failure 64 (no MSG), 1 (unknown), 65 (ambiguous, with the candidates).
 */
export async function findMessage(
  view: View,
  text: string,
  options: { key?: string | undefined; boxes?: Box[]; latest?: Box } = {},
): Promise<Message> {
  const ref = parseMessageRef(text)
  const unknown = new Failure(EX.NEGATIVE, `no message ${quote(text)}`, 'p2p-inbox list')
  if (ref.kind === 'latest') {
    const message = await latest(view, ref.nth, options.key, options.latest)
    if (message !== undefined) return message
    throw new Failure(EX.NEGATIVE, `no message ${quote(text)}: notices are not counted`, 'p2p-inbox list')
  }
  const found = new Map<string, Message>()
  for (const box of options.boxes ?? ['inbox']) {
    for (const message of await byPrefix(view, box, ref.prefix)) {
      const id = message.info.id ?? ''
      if (!found.has(id)) found.set(id, message)
    }
  }
  const [only] = found.values()
  if (only === undefined) throw unknown
  if (found.size > 1) {
    const shown = [...found.keys()].slice(0, CANDIDATES_SHOWN).join(', ')
    throw new Failure(EX.DATA, `ambiguous message ${quote(text)}: ${shown}${found.size > CANDIDATES_SHOWN ? ', ...' : ''}`)
  }
  return only
}

async function latest(view: View, nth: number, key: string | undefined, box: Box = 'inbox'): Promise<Message | undefined> {
  let left = nth
  const roll = await MailRoll.read(view.home, [box])
  for (let row = roll.count - 1; row >= 0; row--) {
    const entry = roll.entry(row)
    const message = await describe(view, entry, box === 'sent' ? 'parts' : 'headers')
    const from = message?.info.key
    if (box === 'sent' && message !== undefined && ['reaction', 'recall'].includes(typeOf(message.info))) continue
    if (from === undefined || (key !== undefined && !sameKey(from, key))) continue
    left -= 1
    if (left === 0) return message
  }
  return undefined
}

/** Messages whose id begins so; the latest copy comes first. */
async function byPrefix(view: View, box: Box, prefix: string): Promise<Message[]> {
  const roll = await MailRoll.read(view.home, [box])
  const short = prefix.slice(0, 32)
  const [ours, others]: [MailEntry[], MailEntry[]] = [[], []]
  for (let row = roll.count - 1; row >= 0; row--) {
    const entry = roll.entry(row)
    if (entry.id32 === undefined) others.push(entry)
    else if (entry.id32.startsWith(short)) ours.push(entry)
  }
  // A file that a mail program wrote anew has another name: then only the header tells.
  const likely = ours.length > 0 ? ours : others
  const messages = await Promise.all(likely.map((entry) => describe(view, entry, 'headers')))
  return messages.filter((message) => message !== undefined).filter(({ info }) => info.id?.startsWith(prefix) === true)
}

/** Runs `work` on the parsed message. Throws Failure 1 if it is gone, 65 if it is damaged. */
export async function openMessage<T>(view: View, message: Message, work: (mail: ReadMail) => Promise<T>): Promise<T> {
  const what = message.info.id ?? message.entry.base
  const done = await withMail(view.home, message.entry, async (handle) => {
    let mail: ReadMail
    try {
      mail = await readMail(await openSource(handle))
    } catch (error) {
      if (error instanceof Malformed) throw new Failure(EX.DATA, `cannot read message ${what}: ${error.message}`)
      throw error
    }
    return { value: await work(mail) }
  })
  if (done === undefined) throw new Failure(EX.NEGATIVE, `message ${what} was deleted`)
  return done.value
}

/** The exact bytes of a part, wherever they are kept. Throws Failure 66 if a file beside the Maildir is missing. */
export async function* partContent(home: Home, part: ReadPart): AsyncGenerator<Uint8Array> {
  if (part.external === undefined) return yield* part.content()
  const path = home.at(part.external)
  if ((await home.files.stat(path))?.kind !== 'file') throw new Failure(EX.NO_INPUT, `${path} is missing`)
  const handle = await home.files.open(path, 'read')
  try {
    for (let at = 0; ; at += BLOCK) {
      const bytes = await handle.read(at, BLOCK)
      if (bytes.length > 0) yield bytes
      if (bytes.length < BLOCK) return
    }
  } finally {
    await handle.close()
  }
}
