// A message that is about an earlier one: an answer, a reaction, an edit, a recall. Which one is meant, who it therefore
// goes to, and what stands in its header. Only an own message is edited or recalled, here as at the other side.

import { EX, Failure } from '../base/fail.ts'
import { printable, quote } from '../base/text.ts'
import { checkSendable, type Contact } from '../disk/contact.ts'
import type { Home } from '../disk/home.ts'
import type { Self } from '../disk/self.ts'
import type { View } from '../disk/inboxview.ts'
import type { Keyring } from '../disk/keyring.ts'
import type { Letter } from './compose.ts'

export type Recipient = Contact | Self

/** What a message says to whoever does not know recalls: it stands below the one that it takes back. */
export const RECALLED = 'I take this message back.\n'

/** As typed: MSG and the rest. */
export interface Wish {
  reply?: string | undefined
  /** With `reply`; empty withdraws. */
  reaction?: string | undefined
  edit?: string | undefined
  recall?: string | undefined
}

export interface About {
  header: Pick<Letter, 'reply' | 'reaction' | 'edit' | 'recall' | 'text'>
  to: Recipient[]
}

export interface AboutDesk {
  home: Home
  keyring: Keyring
  /** Says which message was meant. */
  info: (text: string) => void
}

/** Throws Failure 64 for wishes that exclude each other, 65 for a reaction that is none. */
export function checkWish({ reply, reaction, edit, recall }: Wish, names: Record<keyof Wish, string>): void {
  const given = [reply, edit, recall].filter((text) => text !== undefined)
  if (given.length > 1) throw new Failure(EX.USAGE, `only one of ${names.reply}, ${names.edit} and ${names.recall}`)
  if (reaction === undefined) return
  if (reply === undefined) throw new Failure(EX.USAGE, `${names.reaction} without ${names.reply}: which message is it about?`)
  if (/[\p{Cc}\u2028\u2029]/u.test(reaction)) throw new Failure(EX.DATA, `bad reaction ${quote(reaction)}: an emoji or a word expected`)
}

/** What is wished, found; undefined if nothing is. Throws Failure 1, 64, 65, 67. */
export async function aboutWhat(desk: AboutDesk, wish: Wish, to: Recipient[]): Promise<About | undefined> {
  if (wish.edit !== undefined) return ownMessage(desk, wish.edit, to, 'edit')
  if (wish.recall !== undefined) return ownMessage(desk, wish.recall, to, 'recall')
  return wish.reply === undefined ? undefined : answer(desk, wish.reply, wish.reaction, to)
}

function viewOf({ home, keyring }: AboutDesk): View {
  const { self } = keyring
  const nameOf = (key: string): string | undefined => keyring.byKey(key)?.name ?? (key === self.key ? self.name : undefined)
  return { home, nameOf, self: self.key }
}

/** The id that is answered and, if nobody is named, who wrote it. */
async function answer(desk: AboutDesk, text: string, reaction: string | undefined, to: Recipient[]): Promise<About> {
  const { findMessage } = await import('../disk/inboxlookup.ts') // most messages are about none
  const key = to.length === 1 ? to[0]?.key : undefined
  const message = await findMessage(viewOf(desk), text, { key, boxes: ['inbox', 'sent'] })
  const { id, from, subject, edit } = message.info
  if (id === undefined) throw new Failure(EX.DATA, 'that message has no id that could be answered')
  if (text.startsWith('@')) desk.info(`replying to ${id.slice(0, 8)} from ${from}${subject === undefined ? '' : `: ${subject}`}`)
  // An edit is the message that it edits, as people see it.
  const header = reaction === undefined ? { reply: id } : { reply: edit ?? id, reaction, text: new Uint8Array(0) }
  if (to.length > 0) return { header, to }
  const own = message.entry.box === 'sent'
  if (own && reaction === undefined) throw new Failure(EX.USAGE, 'that is an own message: name the recipient')
  const other = own ? message.info.toKey : message.info.key
  if (other === undefined) throw new Failure(EX.NO_CONTACT, `${from} cannot be answered`, 'p2p-id list')
  return { header, to: [sendable(desk, other)] }
}

/** An own message to be edited or recalled: it goes to whom that one went. */
async function ownMessage(desk: AboutDesk, text: string, to: Recipient[], what: 'edit' | 'recall'): Promise<About> {
  if (to.length > 0) throw new Failure(EX.USAGE, `--${what} goes to whom the message went: without NAME`)
  const [{ findMessage }, { describe }, { typeOf }] = await Promise.all([
    import('../disk/inboxlookup.ts'),
    import('../disk/inboxview.ts'),
    import('../wire/record.ts'),
  ])
  const message = await findMessage(viewOf(desk), text, { boxes: ['sent'], latest: 'sent' }).catch(async (error: unknown) => {
    const theirs = await findMessage(viewOf(desk), text, { boxes: ['inbox'] }).catch(() => undefined)
    if (theirs === undefined || text.startsWith('@')) throw error
    const { id: itsId = '', from } = theirs.info
    throw new Failure(EX.NEGATIVE, printable(`message ${itsId.slice(0, 8)} is from ${from}: only an own one can be ${what}ed`))
  })
  const { info } = (await describe(viewOf(desk), message.entry, 'parts')) ?? message
  const { id, subject, toKey, to: name = '' } = info
  const type = typeOf(info)
  if (id === undefined || toKey === undefined || info.key !== desk.keyring.self.key) {
    throw new Failure(EX.DATA, 'that is no message of yours')
  }
  if (type === 'reaction') throw new Failure(EX.DATA, 'that is a reaction', `p2p-send --reply ${(info.reply ?? '').slice(0, 12)} --react ''`)
  if (type === 'recall') throw new Failure(EX.DATA, 'that is a recall: it cannot be taken back')
  if (text.startsWith('@')) desk.info(printable(`${what} of ${id.slice(0, 8)} to ${name}${subject === undefined ? '' : `: ${subject}`}`))
  if (what === 'recall' && info.state === 'waiting') desk.info(`it still waits: p2p-queue drop ${id.slice(0, 12)} takes it back without a trace`)
  const target = info.edit ?? id
  const header = what === 'edit' ? { edit: target } : { recall: target, text: new TextEncoder().encode(RECALLED) }
  return { header, to: [sendable(desk, toKey)] }
}

function sendable({ keyring }: AboutDesk, name: string): Recipient {
  const found = keyring.resolveAny(name)
  if (!('me' in found)) checkSendable(found)
  return found
}

