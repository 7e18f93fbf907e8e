// A message as mail: RFC 5322 with LF line ends, written by the receiver (inbox/) and the sender (sent/) from parsed
// values. Guarantee: every byte of the text and of the files can be had back exactly; nothing that a peer says ends
// up in a header except through mimeword.ts. Parts over 10 MiB stay outside as files of the home (RFC 2046 5.2.3).

import { concat, utf8 } from '../base/bytes.ts'
import { isoTime, mailDate } from '../base/utc.ts'
import { TEXT_MAX } from './envelope.ts'
import { cleanReaction, cutColumns, DOMAIN, isId, messageId, NAME_MAX, SUBJECT_MAX } from './mailtext.ts'
import { fileLeaf, textLeaf, type Leaf, type MailFile } from './mimepart.ts'
import { addressHeader, headerText, textHeader } from './mimeword.ts'

/** Parts over this size, in bytes, are kept as files beside the Maildir: mail readers load a message whole. */
export const EMBED_MAX = 10 * 1024 * 1024
/** Columns of a subject that is made from the text. */
const SUBJECT_COLUMNS = 72
/** Sender's clock and receipt may differ by this much, in ms, before the message says so. */
const CLOCK_TOLERANCE = 600_000
const DAY_MS = 86_400_000

export interface Party {
  name: string
  /** base58; empty for the program itself. */
  key: string
}

export interface MailFields {
  from: Party
  to: Party
  /** ms, shown in Date: */
  date: number
  /** ms; the sender's clock */
  created: number
  /** ms; set when the sender's clock is off by more than the tolerance. */
  senderDate?: number | undefined
  /** ms; only on received messages */
  received?: number | undefined
  /** 64 hex digits */
  id: string
  reply?: string | undefined
  /** Ids, oldest first; without it the reply alone. */
  references?: string[] | undefined
  /** chat.YYYYMMDD.KEY */
  thread?: string | undefined
  subject?: string | undefined
  text?: Uint8Array | undefined
  files: MailFile[]
  reaction?: string | undefined
  /** The own earlier message that this one takes the place of, or takes back: 64 hex digits. */
  edit?: string | undefined
  recall?: string | undefined
  /** The message of the other side that was read: this is a disposition notification (RFC 8098). */
  receipt?: string | undefined
  verified?: boolean | undefined
  possibleDuplicate?: boolean | undefined
  auto?: boolean | undefined
  /** Random, of the characters [0-9a-z]; occurs nowhere in the message. */
  boundary: string
}

/** What mailFromHead needs to know of an envelope's head. */
export interface MailHead {
  id: string
  /** unix microseconds */
  created: bigint
  header: {
    parts: { type: string; name?: string | undefined; size: number }[]
    subject?: string | undefined
    reply?: string | undefined
    reaction?: string | undefined
    edit?: string | undefined
    recall?: string | undefined
    receipt?: string | undefined
    auto?: unknown
  }
}

export interface MailContext {
  from: Party
  to: Party
  /** The KEY of the other side: names the thread of the day. */
  other: string
  /** ms of receipt; undefined for the sender's own copy */
  received?: number | undefined
  verified?: boolean | undefined
  possibleDuplicate?: boolean | undefined
  /** false: no thread of the day */
  chatThreads?: boolean | undefined
  /** Of an answer: the ids before it, what it answers last; only that one without. */
  references?: string[] | undefined
  boundary: string
  /** The bytes of part 0 if hasText(head). */
  text?: Uint8Array | undefined
  /** The bytes of a part of at most EMBED_MAX. */
  content(part: number): AsyncIterable<Uint8Array>
  /** Where a larger part is (or will be) kept, relative to the home; by default files/ID/PART. */
  external?(part: number): string
}

/** True if part 0 is the text of the message: text/plain, no name, at most 1 MiB. All other parts are files. */
export function hasText(head: MailHead): boolean {
  const [first] = head.header.parts
  return first !== undefined && isText(first.type) && first.name === undefined && first.size <= TEXT_MAX
}

/** True if this part is kept as a file of its own in files/ID/. */
export function isExternal(part: { size: number }): boolean {
  return part.size > EMBED_MAX
}

/** The place of a part over EMBED_MAX, relative to the home. */
export function externalPath(id: string, part: number): string {
  return `files/${id}/${part}`
}

/** The one shape of a message as mail, for inbox/ and sent/ alike. */
export function mailFromHead(head: MailHead, context: MailContext): MailFields {
  const { parts, subject, reaction, edit, recall, receipt, auto } = head.header
  const reply = head.header.reply ?? edit ?? recall ?? receipt // so that mail programs show it there
  const created = Number(head.created / 1000n)
  const { received } = context
  const date = received === undefined ? created : Math.min(created, received)
  const off = received !== undefined && Math.abs(created - received) > CLOCK_TOLERANCE
  const files: MailFile[] = []
  for (const [index, part] of parts.entries()) {
    if (index === 0 && hasText(head)) continue
    const file: MailFile = { type: part.type, name: part.name, size: part.size }
    if (isExternal(part)) file.external = context.external?.(index) ?? externalPath(head.id, index)
    else file.content = () => context.content(index)
    files.push(file)
  }
  const chat = context.chatThreads !== false && subject === undefined && reply === undefined
  return {
    from: context.from,
    to: context.to,
    date,
    created,
    senderDate: off ? created : undefined,
    received,
    id: head.id,
    reply,
    references: context.references,
    thread: chat ? `chat.${day(date)}.${context.other}` : undefined,
    subject,
    text: hasText(head) ? (context.text ?? new Uint8Array()) : undefined,
    files,
    reaction,
    edit,
    recall,
    receipt,
    verified: context.verified,
    possibleDuplicate: context.possibleDuplicate,
    auto: auto === undefined || auto === false ? undefined : true,
    boundary: context.boundary,
  }
}

/** The message at once if it is a text and nothing else, as most are. */
export function composeText(m: MailFields): Uint8Array | undefined {
  if (m.receipt !== undefined || m.reaction !== undefined || m.files.length > 0) return undefined
  const { headers, bytes, open } = textLeaf(m.text ?? new Uint8Array())
  const head = utf8([...mailHeaders(m), ...headers, '', ''].join('\n'))
  return concat(head, bytes, open ? utf8('\n') : bytes.subarray(bytes.length))
}

/** The message, in pieces of any size. Throws if a content does not have the size that was said. */
export async function* composeMail(m: MailFields): AsyncGenerator<Uint8Array> {
  if (!/^[0-9a-z]{16,60}$/.test(m.boundary)) throw new Error('not a boundary')
  const whole = composeText(m)
  if (whole !== undefined) return void (yield whole)
  const head = mailHeaders(m)
  const leaves: Leaf[] = []
  if (m.receipt !== undefined && isId(m.receipt)) return yield* composeReceipt(m, m.receipt, head)
  if (m.reaction !== undefined) leaves.push(textLeaf(utf8(`${cleanReaction(m.reaction)}\n`), 'reaction'))
  if (m.text !== undefined && (m.text.length > 0 || leaves.length === 0)) leaves.push(textLeaf(m.text))
  for (const [index, file] of m.files.entries()) leaves.push(fileLeaf(file, m.id, index))
  if (leaves.length === 0) leaves.push(textLeaf(new Uint8Array()))
  const [only] = leaves
  if (leaves.length === 1 && only !== undefined && m.files.length === 0) {
    yield utf8([...head, ...only.headers, '', ''].join('\n'))
    yield* only.body()
    if (only.open) yield utf8('\n')
    return
  }
  yield utf8([...head, `Content-Type: multipart/mixed; boundary="${m.boundary}"`, '', ''].join('\n'))
  for (const leaf of leaves) {
    yield utf8([`--${m.boundary}`, ...leaf.headers, '', ''].join('\n'))
    yield* leaf.body()
    yield utf8('\n')
  }
  yield utf8(`--${m.boundary}--\n`)
}

/** Names the thread of a day. */
const CHAT = /^chat\.\d{8}\.[1-9A-Za-z]{1,44}$/

/** RFC 8098 3: for people, then for programs. Nothing was asked for and nothing is answered: it says so itself. */
async function* composeReceipt(m: MailFields, receipt: string, head: string[]): AsyncGenerator<Uint8Array> {
  const words = textLeaf(m.text ?? new Uint8Array())
  yield utf8([...head, `Content-Type: multipart/report; report-type=disposition-notification;\n boundary="${m.boundary}"`, '', ''].join('\n'))
  yield utf8([`--${m.boundary}`, ...words.headers, '', ''].join('\n'))
  yield words.bytes
  const fields = [
    `Reporting-UA: ${DOMAIN}; p2p`,
    `Final-Recipient: rfc822; ${m.from.key}@${DOMAIN}`,
    `Original-Message-ID: ${messageId(receipt)}`,
    'Disposition: manual-action/MDN-sent-automatically; displayed',
  ]
  yield utf8(['', `--${m.boundary}`, 'Content-Type: message/disposition-notification', '', ...fields, ''].join('\n'))
  yield utf8(`\n--${m.boundary}--\n`)
}

function mailHeaders(m: MailFields): string[] {
  const lines = [partyHeader('From', m.from), partyHeader('To', m.to), `Date: ${mailDate(m.date)}`]
  lines.push(`Message-ID: ${messageId(m.id)}`)
  if (m.reply !== undefined && isId(m.reply)) lines.push(`In-Reply-To: ${messageId(m.reply)}`)
  const references = (m.references ?? (m.reply === undefined ? [] : [m.reply])).filter((id) => isId(id) || CHAT.test(id))
  if (m.thread !== undefined && CHAT.test(m.thread)) references.unshift(m.thread)
  if (references.length > 0) lines.push(`References: ${references.map(messageId).join('\n ')}`)
  const subject = subjectOf(m)
  if (subject !== undefined) lines.push(textHeader('Subject', subject))
  if (m.edit !== undefined && isId(m.edit)) lines.push(`X-P2P-Edit: ${messageId(m.edit)}`)
  if (m.recall !== undefined && isId(m.recall)) lines.push(`X-P2P-Recall: ${messageId(m.recall)}`)
  if (m.receipt !== undefined && isId(m.receipt)) lines.push(`X-P2P-Receipt: ${messageId(m.receipt)}`)
  lines.push(`X-P2P-Created: ${isoTime(m.created)}`)
  if (m.senderDate !== undefined) lines.push(`X-P2P-Sender-Date: ${isoTime(m.senderDate)}`)
  if (m.received !== undefined) lines.push(`X-P2P-Received: ${isoTime(m.received)}`)
  if (m.verified !== undefined) lines.push(`X-P2P-Verified: ${m.verified ? 'yes' : 'no'}`)
  if (m.possibleDuplicate === true) lines.push('X-P2P-Possible-Duplicate: yes')
  if (m.receipt !== undefined) lines.push('Auto-Submitted: auto-replied')
  else if (m.auto === true) lines.push('Auto-Submitted: auto-generated')
  lines.push('MIME-Version: 1.0')
  return lines
}

/** `NAME <KEY@p2p.invalid>`; the program itself is MAILER-DAEMON (RFC 3834 3.1.1 wants such a name on notices). */
export function partyHeader(field: string, party: Party): string {
  const local = /^[1-9A-HJ-NP-Za-km-z]{32,44}$/.test(party.key) ? party.key : 'MAILER-DAEMON'
  return addressHeader(field, headerText(party.name, NAME_MAX), `${local}@${DOMAIN}`)
}

/** The day that was named last: thousands of messages in a row are of one. */
let named = { day: NaN, text: '' }

function day(ms: number): string {
  const number = Math.floor(ms / DAY_MS)
  if (number !== named.day) named = { day: number, text: isoTime(ms).slice(0, 10).replaceAll('-', '') }
  return named.text
}

/** The first line with something in it; that of most texts is found without Unicode's tables. */
const first = (): RegExp => /^.*[^\s\p{Cc}\p{Cf}].*$/mu
const FIRST_ASCII = /^[ -~]*[!-~][ -~]*(?=[\n\r]|$)/

/** What stands before the subject of an edit: to most mail programs it is a message like others. */
export const EDITED = 'edited: '
const WITHDRAWN = 'reaction withdrawn'

/** The subject that a message shows: as given, else the first line with something in it, else the first file's name. */
export function subjectOf(m: Pick<MailFields, 'subject' | 'text' | 'files' | 'reaction' | 'edit'>): string | undefined {
  const subject = givenOrFirst(m) ?? (m.reaction === '' ? WITHDRAWN : undefined)
  return m.edit === undefined || subject === undefined ? subject : `${EDITED}${subject}`
}

function givenOrFirst(m: Pick<MailFields, 'subject' | 'text' | 'files' | 'reaction'>): string | undefined {
  const given = headerText(m.subject ?? '', SUBJECT_MAX)
  if (given.trim() !== '') return given
  const start = new TextDecoder().decode(m.text?.subarray(0, 64 * 1024) ?? new Uint8Array())
  const line = FIRST_ASCII.exec(start)?.[0] ?? first().exec(start)?.[0] ?? m.reaction
    ?? m.files.find((file) => file.name !== undefined)?.name
  const clean = headerText(line ?? '', SUBJECT_MAX).trim()
  return clean === '' ? undefined : cutColumns(clean, SUBJECT_COLUMNS)
}

function isText(type: string): boolean {
  return type.toLowerCase() === 'text/plain'
}
