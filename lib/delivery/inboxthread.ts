// p2p-inbox thread: one message with what it answers and what answers it, of both sides, as a tree.

import { EX, Failure } from '../base/fail.ts'
import { Conversation } from '../disk/conversation.ts'
import { findMessage } from '../disk/inboxlookup.ts'
import { messageRecord, type MessageInfo } from '../wire/record.ts'
import { branches, threadLine } from './inboxlines.ts'
import type { Context } from './inboxlist.ts'

/** Tells the thread: for people a tree, else the records in the order of the tree, each with its `depth`. */
export async function thread({ call, view }: Context): Promise<void> {
  const text = call.args[0] ?? ''
  const { id = '', from, subject = '' } = (await findMessage(view, text, { boxes: ['inbox', 'sent'] })).info
  if (text.startsWith('@')) call.info(`${text} is ${id.slice(0, 8)} from ${from}: ${subject}`)
  const all = await Conversation.read(view)
  const infos: MessageInfo[] = []
  for (const node of all.thread(id)) {
    if (call.over) return
    const message = await all.message(node.row, call.out.json ? 'text' : 'parts')
    if (message === undefined) continue // deleted a moment ago
    message.info.depth = node.depth
    await all.fold(message.info)
    infos.push(message.info)
  }
  if (infos.length === 0) throw new Failure(EX.NEGATIVE, `message ${id.slice(0, 8)} was deleted`)
  const drawn = branches(infos.map(({ depth = 0 }) => depth))
  for (const [at, info] of infos.entries()) await call.out.record(messageRecord(info), () => threadLine(info, drawn[at] ?? ''))
}
