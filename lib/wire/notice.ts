// Words from the program into its user's own inbox: auto-replied (RFC 3834 5), so that nothing answers them. A bounce is a
// delivery status notification (RFC 3464 in the multipart/report of RFC 6522): for people first, then for programs, then
// the headers of the message it is about.

import { concat, utf8 } from '../base/bytes.ts'
import { isoTime, mailDate } from '../base/utc.ts'
import { partyHeader, type Party } from './mail.ts'
import { DOMAIN, isId, messageId, NAME_MAX, SUBJECT_MAX } from './mailtext.ts'
import { textLeaf } from './mimepart.ts'
import { headerText, textHeader } from './mimeword.ts'

export interface NoticeFields {
  to: Party
  /** ms */
  date: number
  /** Of the notice itself: 64 random hex digits. */
  id: string
  /** The id of the message that it is about. */
  about?: string | undefined
  subject: string
  /** For people; what to do, and why. */
  text: string
}

export interface BounceFields {
  self: Party
  /** ms */
  date: number
  /** Of the bounce itself: 64 random hex digits. */
  id: string
  /** The message that was not delivered. */
  about: string
  /** The contact it was for. */
  to: Party
  /** Its subject or first words. */
  subject?: string | undefined
  /** ms; when it was accepted */
  created: number
  /** The reason word of p2p-record(5). */
  code: string
  /** Why, as a clause: `bob refused it: too large` */
  reason: string
  /** Random, of the characters [0-9a-z]; occurs nowhere in the message. */
  boundary: string
}

/** A message of plain text. */
export function composeNotice(m: NoticeFields): Uint8Array {
  const leaf = textLeaf(utf8(`${m.text.trimEnd()}\n`))
  return concat(utf8([...headers(m), ...leaf.headers, '', ''].join('\n')), leaf.bytes)
}

function headers(m: NoticeFields): string[] {
  const lines = [partyHeader('From', { name: 'p2p', key: '' }), partyHeader('To', m.to), `Date: ${mailDate(m.date)}`]
  lines.push(`Message-ID: ${messageId(m.id)}`)
  if (m.about !== undefined && isId(m.about)) {
    lines.push(`In-Reply-To: ${messageId(m.about)}`, `References: ${messageId(m.about)}`)
  }
  lines.push(textHeader('Subject', headerText(m.subject, SUBJECT_MAX)), `X-P2P-Received: ${isoTime(m.date)}`)
  lines.push('Auto-Submitted: auto-replied', 'MIME-Version: 1.0')
  return lines
}

/** Enhanced status codes (RFC 3463) of the reasons for which a message is given up. */
const STATUS: Readonly<Record<string, string>> = {
  expired: '4.4.7', // delivery time expired; a retry may do
  'too-big': '5.2.3', // message length exceeds administrative limit
  malformed: '5.6.0', // other or undefined media error
  policy: '5.7.1', // delivery not authorized, message refused
  damaged: '5.3.0', // other or undefined mail system status
}
const UNDEFINED = '5.0.0'

/** The bounce of a message that ended in failed/: `not delivered to bob: SUBJECT`. */
export function composeBounce(m: BounceFields): Uint8Array {
  if (!/^[0-9a-z]{16,60}$/.test(m.boundary)) throw new Error('not a boundary')
  const begins = m.subject === undefined || m.subject.trim() === '' ? '' : headerText(m.subject, SUBJECT_MAX)
  const subject = `not delivered to ${m.to.name}${begins === '' ? '' : `: ${begins}`}`
  const top = headers({ to: m.self, date: m.date, id: m.id, about: m.about, subject, text: '' })
  const type = `Content-Type: multipart/report; report-type=delivery-status;\n boundary="${m.boundary}"`
  const words = textLeaf(utf8(wordsOf(m, begins)))
  return concat(
    utf8([...top, type, '', `--${m.boundary}`, ...words.headers, '', ''].join('\n')),
    words.bytes,
    utf8(['', `--${m.boundary}`, 'Content-Type: message/delivery-status', '', ...statusOf(m)].join('\n')),
    utf8(['', `--${m.boundary}`, 'Content-Type: text/rfc822-headers', '', ...original(m, begins)].join('\n')),
    utf8(`\n--${m.boundary}--\n`),
  )
}

function wordsOf(m: BounceFields, begins: string): string {
  const lines = [
    `Your message to ${headerText(m.to.name, NAME_MAX)} was not delivered. It waited for ${span(m.date - m.created)}.`,
    '',
    `Why:     ${headerText(m.reason, SUBJECT_MAX)}`,
    `Message: ${m.about}`,
    `Of:      ${mailDate(m.created)}`,
    ...(begins === '' ? [] : [`Begins:  ${begins}`]),
    '',
    'It is kept in the queue as failed. To try again, or to give it up:',
    '',
    `  p2p-queue retry ${m.about.slice(0, 12)}`,
    `  p2p-queue drop ${m.about.slice(0, 12)}`,
  ]
  return lines.join('\n') + '\n'
}

/** RFC 3464 2.2 and 2.3: of the message, then of its one recipient. ASCII alone. */
function statusOf(m: BounceFields): string[] {
  const recipient = `rfc822; ${m.to.key}@${DOMAIN}`
  const why = headerText(m.reason, SUBJECT_MAX).replace(/[^ -~]+/g, '?')
  return [
    `Reporting-MTA: dns; ${DOMAIN}`,
    `Original-Envelope-Id: ${m.about}`,
    `Arrival-Date: ${mailDate(m.created)}`,
    '',
    `Original-Recipient: ${recipient}`,
    `Final-Recipient: ${recipient}`,
    'Action: failed',
    `Status: ${STATUS[m.code] ?? UNDEFINED}`,
    `Diagnostic-Code: x-p2p; ${m.code} (${why})`,
    `Last-Attempt-Date: ${mailDate(m.date)}`,
    '',
  ]
}

/** The message as its sender knows it (RFC 6522 3). */
function original(m: BounceFields, begins: string): string[] {
  const parties = [partyHeader('From', m.self), partyHeader('To', m.to)]
  const subject = begins === '' ? [] : [textHeader('Subject', begins)]
  return [...parties, `Date: ${mailDate(m.created)}`, `Message-ID: ${messageId(m.about)}`, ...subject, '']
}

/** A stretch of time for people, in its largest unit. */
function span(ms: number): string {
  for (const [unit, size] of SPANS) {
    const count = Math.floor(ms / size)
    if (count > 0) return `${count} ${unit}${count === 1 ? '' : 's'}`
  }
  return 'less than a minute'
}

const SPANS: readonly [string, number][] = [['day', 86_400_000], ['hour', 3_600_000], ['minute', 60_000]]
