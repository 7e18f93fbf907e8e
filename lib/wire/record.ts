// The NDJSON record `message`, p2p-record(5): built here for p2p-inbox and p2p-listen alike, from a message's file or
// from what is about to become one, so that both say the same. Peer text stays as it is: whoever prints it to a
// terminal makes it printable. What is not known is absent.

import { collect } from '../base/bytes.ts'
import { EX, Failure } from '../base/fail.ts'
import { looksLikeKey } from '../base/key.ts'
import { memo } from '../base/memo.ts'
import { isoTime } from '../base/utc.ts'
import { mediaType } from './envelope.ts'
import { subjectOf, type MailFields } from './mail.ts'
import type { Headers } from './mailheaders.ts'
import { looseText, type ReadMail, type ReadPart } from './mailread.ts'
import { cleanName, cleanReaction, DOMAIN } from './mailtext.ts'
import { decodeWords, utf8Floor } from './mimeword.ts'

/** Bytes of text in a record; the rest is in the message. */
export const TEXT_RECORD_MAX = 64 * 1024

export interface FileInfo {
  type: string
  name?: string | undefined
  size: number
}

export interface MessageInfo {
  /** 64 hex digits; absent for a message that some other program put into the inbox. */
  id?: string | undefined
  /** NAME of the contact; `mailer-daemon` for the program itself. */
  from: string
  key?: string | undefined
  verified?: boolean | undefined
  /** ms, the sender's clock */
  created?: number | undefined
  /** ms */
  received?: number | undefined
  subject?: string | undefined
  text?: Uint8Array | undefined
  /** The files; the text is none of them. */
  parts: FileInfo[]
  reply?: string | undefined
  reaction?: string | undefined
  /** The earlier message of the same sender that this one takes the place of, or takes back. */
  edit?: string | undefined
  recall?: string | undefined
  /** The own message that was read. */
  receipt?: string | undefined
  auto?: boolean | undefined
  /** Maildir's letters; '' if none. */
  flags?: string | undefined
  /** Absolute. */
  path?: string | undefined
  /** The end of its record in the seen log. */
  cursor?: number | undefined
  /** An own message: who it went to, and whether it was delivered; undefined if it was given up. */
  to?: string | undefined
  toKey?: string | undefined
  state?: SentState | undefined
  /** What later messages say about it: the latest reaction of each, oldest first. */
  reactions?: Reaction[] | undefined
  edited?: Edit | undefined
  recalled?: Recall | undefined
  /** ms; when its receiver read it, if that was told. */
  read?: number | undefined
  /** How far below the first message of its thread. */
  depth?: number | undefined
}

/** How far an own message has got. */
export type SentState = 'waiting' | 'delivered'

export interface Reaction {
  id: string
  from: string
  key: string
  reaction: string
  created?: number | undefined
}

export interface Edit {
  id: string
  created?: number | undefined
  subject?: string | undefined
  text?: Uint8Array | undefined
}

export interface Recall {
  id: string
  created?: number | undefined
}

/** What a message is, in the word that --type, $P2P_TYPE and people use. */
export const MESSAGE_TYPES = ['text', 'file', 'reaction', 'edit', 'recall', 'receipt', 'notice', 'foreign'] as const
export type MessageType = (typeof MESSAGE_TYPES)[number]

/** The one word for a message of which text, parts and reaction are known. */
export function typeOf(m: MessageInfo): MessageType {
  if (m.receipt !== undefined) return 'receipt'
  if (m.recall !== undefined) return 'recall'
  if (m.edit !== undefined) return 'edit'
  if (m.reaction !== undefined) return 'reaction'
  if (m.id === undefined) return 'foreign'
  if (m.key === undefined) return 'notice'
  return m.parts.length > 0 ? 'file' : 'text'
}

/** The record of a message, with at most `textMax` bytes of its text. */
export function messageRecord(m: MessageInfo, textMax = TEXT_RECORD_MAX): Record<string, unknown> {
  const record: Record<string, unknown> = { v: 1, type: 'message' }
  const put = (name: string, value: unknown): void => {
    if (value !== undefined) record[name] = value
  }
  put('id', m.id)
  put('from', m.from)
  if (m.key !== undefined && looksLikeKey(m.key)) put('key', m.key) // mail of other programs may have any address
  put('verified', m.verified)
  put('created', time(m.created))
  put('received', time(m.received))
  put('subject', m.subject)
  if (m.text !== undefined) {
    put('text', looseText(m.text.subarray(0, utf8Floor(m.text, textMax))))
    if (m.text.length > textMax) put('truncated', true)
  }
  if (m.parts.length > 0) put('parts', m.parts.map(fileRecord))
  put('reply', m.reply)
  put('reaction', m.reaction)
  put('edit', m.edit)
  put('recall', m.recall)
  put('receipt', m.receipt)
  put('auto', m.auto)
  put('flags', m.flags)
  put('path', m.path)
  put('cursor', m.cursor)
  put('to', m.to)
  put('state', m.state)
  if (m.reactions !== undefined && m.reactions.length > 0) put('reactions', m.reactions.map(saidRecord))
  if (m.edited !== undefined) {
    const { text } = m.edited
    const words = text === undefined ? undefined : looseText(text.subarray(0, utf8Floor(text, textMax)))
    put('edited', saidRecord({ ...m.edited, text: words }))
  }
  if (m.recalled !== undefined) put('recalled', saidRecord(m.recalled))
  put('read', time(m.read))
  put('depth', m.depth)
  return record
}

/** What is known of what a later message said. */
function saidRecord(said: Omit<Reaction | Edit | Recall, 'text'> & { text?: string | undefined }): object {
  const record = { ...said, created: time(said.created) }
  return Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined))
}

function fileRecord({ type, name, size }: FileInfo): FileInfo {
  return name === undefined ? { type, size } : { type, name, size }
}

/** Absent for a year that RFC 3339 has no form for: mail of other programs may say anything. */
function time(ms: number | undefined): string | undefined {
  const text = ms === undefined ? '' : isoTime(ms)
  return text.length === 'YYYY-MM-DDTHH:MM:SS.sssZ'.length ? text : undefined
}

/** The record of a message that a mail program deleted before it was read from the log. */
export function goneRecord(m: { id: string; from: string; key: string; received: number; cursor: number }): object {
  return { v: 1, type: 'message', id: m.id, from: m.from, key: m.key, received: time(m.received), gone: true, cursor: m.cursor }
}

/** A message that its reader deleted; one that some other program had put into the inbox has no id and KEY. */
export function deletedRecord({ id, from, key }: { id: string | undefined; from: string; key: string | undefined }): object {
  return { v: 1, type: 'deleted', ...(id !== undefined && { id }), from, ...(key !== undefined && looksLikeKey(key) && { key }) }
}

/** What p2p-listen tells of a message that it just delivered as `mail`. */
export function infoOfMail(
  mail: MailFields,
  extra: { path?: string | undefined; cursor?: number | undefined; flags?: string | undefined; text?: boolean | undefined } = {},
): MessageInfo {
  const reacted = mail.reaction !== undefined && (mail.text === undefined || mail.text.length === 0)
  return {
    id: mail.id,
    from: mail.from.name,
    key: mail.from.key,
    verified: mail.verified,
    created: mail.created,
    received: mail.received,
    subject: subjectOf(mail),
    text: extra.text === false || reacted ? undefined : mail.text,
    parts: mail.files.map(({ type, name, size }) => ({
      type: mediaType(type),
      name: name === undefined ? undefined : cleanName(name),
      size,
    })),
    reply: mail.reply,
    reaction: mail.reaction === undefined ? undefined : cleanReaction(mail.reaction),
    edit: mail.edit,
    recall: mail.recall,
    receipt: mail.receipt,
    auto: mail.auto,
    flags: extra.flags ?? '',
    path: extra.path,
    cursor: extra.cursor,
  }
}

/** What the headers of a message say; `parts` is empty. */
export function infoOfHeaders(headers: Headers): MessageInfo {
  const get = (name: string): string | undefined => headers.get(name)
  const from = partyOf(get('from') ?? '')
  const verified = get('x-p2p-verified')
  const subject = get('subject')
  return {
    id: idOf(get('message-id')),
    from: from.name,
    key: from.key,
    verified: verified === undefined ? undefined : verified === 'yes',
    created: parseTime(get('x-p2p-created') ?? get('date')),
    received: parseTime(get('x-p2p-received')),
    subject: subject === undefined ? undefined : decodeWords(subject),
    parts: [],
    reply: idOf(get('in-reply-to')),
    edit: idOf(get('x-p2p-edit')),
    recall: idOf(get('x-p2p-recall')),
    receipt: idOf(get('x-p2p-receipt')),
    auto: isAuto(get('auto-submitted')) ? true : undefined,
  }
}

function isAuto(value: string | undefined): boolean {
  return value !== undefined && /^auto-/i.test(value)
}

/** Who an own message went to, by its headers. */
export function recipientOf(headers: Headers): Pick<MessageInfo, 'to' | 'toKey'> {
  const { name, key } = partyOf(headers.get('to') ?? '')
  return { to: name, toKey: key }
}

/** As we write that of a contact whose name needs no quotes: one pattern takes the place of five. */
const OWN_MAILBOX = /^([\w.-]+) <([1-9A-HJ-NP-Za-km-z]{32,44})@p2p\.invalid>$/

/** The first mailbox of an address field; the program itself has no KEY. */
const partyOf = memo((field): { name: string; key: string | undefined } => {
  const [own, simple = '', base58] = OWN_MAILBOX.exec(field) ?? []
  if (own !== undefined) return { name: simple, key: base58 }
  const address = /<([^<>\s]+)>\s*$/.exec(field)?.[1] ?? field
  const [, local] = /^([^@]+)@p2p\.invalid$/i.exec(address) ?? []
  const daemon = local?.toLowerCase() === 'mailer-daemon'
  const display = decodeWords(field.replace(/\s*<[^<>]*>\s*$/, '').replace(/^"(.*)"$/, (_, inner: string) => inner.replace(/\\(.)/g, '$1')))
  const name = daemon ? 'mailer-daemon' : display === '' ? address : display
  return { name, key: daemon ? undefined : local }
})

const OWN_ID = new RegExp(`<([0-9a-f]{64})@${DOMAIN.replace('.', '\\.')}>`, 'i')
const HEX = /^[0-9a-f]{64}$/

/** The id in a Message-ID of ours: most are nothing else. */
function idOf(value: string | undefined): string | undefined {
  if (value === undefined) return undefined
  const id = value.startsWith('<') ? value.slice(1, 65) : ''
  if (HEX.test(id) && value.startsWith(`@${DOMAIN}>`, 65)) return id
  return OWN_ID.exec(value)?.[1]?.toLowerCase()
}

function parseTime(value: string | undefined): number | undefined {
  const ms = Date.parse(value ?? '')
  return Number.isNaN(ms) ? undefined : ms
}

/** What a whole message says, with at most `textMax` bytes of its text. */
export async function infoOfRead(mail: ReadMail, textMax = TEXT_RECORD_MAX + 1): Promise<MessageInfo> {
  const [only] = mail.parts
  if (mail.parts.length === 1 && only?.held !== undefined) return infoOfShort(mail.headers, only, only.held, textMax)
  const info = infoOfHeaders(mail.headers)
  info.parts = mail.parts.filter(({ kind }) => kind === 'file').map(({ type, name, size }) => ({ type, name, size }))
  const words = mail.parts.find(({ kind }) => kind === 'text')
  const reaction = mail.parts.find(({ kind }) => kind === 'reaction')
  if (words !== undefined && textMax > 0) info.text = await collect(words.content(), textMax)
  if (reaction !== undefined) info.reaction = reactionOf(await collect(reaction.content(), REACTION_BYTES))
  return info
}

/** The same of a message of one part whose content is there. */
export function infoOfShort(headers: Headers, { kind, type, name, size }: ReadPart, content: Uint8Array, textMax: number): MessageInfo {
  const info = infoOfHeaders(headers)
  if (kind === 'file') info.parts = [{ type, name, size }]
  else if (kind === 'reaction') info.reaction = reactionOf(content.subarray(0, REACTION_BYTES))
  else if (textMax > 0) info.text = content.subarray(0, textMax)
  return info
}

const REACTION_BYTES = 1024

function reactionOf(content: Uint8Array): string {
  return looseText(content).trim()
}

/** The part whose bytes p2p-inbox cat prints: the text, else the one file. Throws Failure 65 if there is a choice. */
export function mainPart(mail: ReadMail): ReadPart {
  const text = mail.parts.find(({ kind }) => kind === 'text') ?? mail.parts.find(({ kind }) => kind === 'reaction')
  const files = mail.parts.filter(({ kind }) => kind === 'file')
  const [only] = files
  if (text !== undefined) return text
  if (only === undefined) throw new Failure(EX.DATA, 'the message has no text')
  if (files.length > 1) throw new Failure(EX.DATA, `the message has no text and ${files.length} files`)
  return only
}
