// One message as a conversation shows it, received or sent, with what later ones say about it. Made from the record's
// facts; every text in it is fit for a terminal (lib/base/text.ts), for it comes from a peer.

import { printable, printableLines } from '../base/text.ts'
import type { MailEntry } from '../disk/maildir.ts'
import { subjectOf } from '../wire/mail.ts'
import type { FileInfo, MessageInfo } from '../wire/record.ts'

export type Fate = 'waiting' | 'delivered' | 'withdrawn'

export interface ChatMessage {
  /** 64 hex digits; undefined for mail of other programs. */
  readonly id: string | undefined
  readonly mine: boolean
  /** Unix ms: receipt, or acceptance of an own one. */
  readonly at: number
  /** NAME of the sender, or `mailer-daemon`. */
  readonly from: string
  readonly text: string
  /** Only one that its author gave. */
  readonly subject: string | undefined
  readonly files: readonly FileInfo[]
  readonly reply: string | undefined
  /** What it answers, in one line, if that is here. */
  readonly quoted?: string | undefined
  /** The latest of each, e.g. `+1`. */
  readonly reactions: readonly { from: string; reaction: string }[]
  readonly edited: boolean
  readonly recalled: boolean
  /** Of an own one. */
  readonly fate: Fate | undefined
  /** Its recipient opened it, and said so. */
  readonly read: boolean
  /** Received and not marked as seen. */
  readonly unread: boolean
  readonly entry: MailEntry
}

/** From a message that was described with its text and folded. */
export function chatMessage({ entry, info }: { entry: MailEntry; info: MessageInfo }, self: string): ChatMessage {
  const mine = entry.box === 'sent' || info.key?.toLowerCase() === self.toLowerCase()
  const { edited, recalled, reactions = [] } = info
  return {
    id: info.id,
    mine,
    at: Number(entry.time / 1000n),
    from: printable(info.from),
    text: textOf(edited?.text ?? info.text) || reactionOf(info),
    subject: givenSubject(info),
    files: info.parts.map(({ type, name, size }) => ({ type: printable(type), name: name === undefined ? undefined : printable(name), size })),
    reply: info.reply,
    reactions: reactions.map(({ from, key, reaction }) => ({ from: key === self ? 'you' : printable(from), reaction: printable(reaction) })),
    edited: edited !== undefined,
    recalled: recalled !== undefined,
    fate: entry.box === 'sent' ? (info.state ?? 'withdrawn') : undefined,
    read: info.read !== undefined,
    unread: entry.box === 'inbox' && !entry.flags.includes('S'),
    entry,
  }
}

function textOf(bytes: Uint8Array | undefined): string {
  return bytes === undefined ? '' : printableLines(new TextDecoder().decode(bytes)).replace(/\n+$/, '')
}

/** Stands for the text of a reaction where that is a message of its own: quoted in an answer, or to what is not here. */
function reactionOf({ reaction }: MessageInfo): string {
  return reaction === undefined ? '' : printable(reaction) || '(reaction withdrawn)'
}

/** Undefined if the program made it, from the text, a reaction or the name of a file: that is shown anyway. */
function givenSubject({ subject, text, parts, edited, reaction }: MessageInfo): string | undefined {
  const shown = edited?.subject ?? subject
  const made = subjectOf({ subject: undefined, text: edited?.text ?? text, files: parts, reaction })
  return shown === undefined || shown === made || shown.trim() === '' ? undefined : printable(shown)
}

/** What stands above an answer to it. */
export function quoteOf(message: ChatMessage): string {
  return `${message.mine ? 'you' : message.from}: ${gist(message)}`
}

/** The first line of a message, or what stands for it. */
export function gist(message: ChatMessage): string {
  return message.recalled ? 'taken back' : firstLine(message)
}

/** The same of one that was taken back, too. */
export function firstLine({ text, subject, files: [file] }: ChatMessage): string {
  const first = text.split('\n').find((line) => line.trim() !== '') ?? subject ?? file?.name
  return first?.trim() ?? (file === undefined ? 'an empty message' : 'a file')
}
