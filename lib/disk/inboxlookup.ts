// The one message that a person names: by an id, by its beginning, or by how far back it is (MSG, p2p(7)). Guarantee: a
// beginning that fits several names none of them, and says which. An id is what the mail itself has in its header; its
// file name, which mail programs may change, only says where to look first.

import { EX, Failure } from '../base/fail.ts'
import { quote } from '../base/text.ts'
import { parseMessageRef } from '../wire/msgref.ts'
import { typeOf } from '../wire/record.ts'
import { describe, sameKey, type Message, type View } from './inboxview.ts'
import type { Box, MailEntry } from './maildir.ts'
import { MailRoll } from './mailroll.ts'

/** Candidates named when a prefix is ambiguous. */
const CANDIDATES_SHOWN = 8

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
