// What happens to a message that cannot be delivered: a bounce into the own inbox, then failed/. The bounce comes
// first and is delivered once for each time the message is given up, so a crash in between loses and doubles nothing.

import { hex, utf8 } from '../base/bytes.ts'
import { isCode, Malformed } from '../base/fail.ts'
import type { Contact } from '../disk/contact.ts'
import type { Home } from '../disk/home.ts'
import type { Self } from '../disk/self.ts'
import type { Delivered, Inbox } from '../disk/inbox.ts'
import { openOutgoing } from '../disk/outgoing.ts'
import { fail } from '../disk/queue.ts'
import { headPath, type Queued } from '../disk/queued.ts'
import { outcomeOf, readLog } from '../disk/queuelog.ts'
import type { Hash } from '../wire/envelope.ts'
import { hasText, subjectOf } from '../wire/mail.ts'
import { composeBounce } from '../wire/notice.ts'

/** Bytes of a text in which its first line is looked for. */
const LOOK = 4096

/**
 * Returns the bounce, unless it was delivered by an earlier attempt; 'gone' if the message does not wait any more:
 * its owner was faster, or another session.
 */
export async function giveUp(
  home: Home,
  hash: Hash,
  inbox: Inbox,
  self: Self,
  contact: Contact,
  queued: Queued,
  reason: string,
  text: string,
): Promise<Delivered | 'gone' | undefined> {
  if ((await home.files.stat(headPath(home, queued))) === undefined) return 'gone'
  const id = hex(hash.hash(utf8(`p2p/1 bounce ${queued.id} ${queued.opts.retried ?? 0}`)))
  const subject = await firstWords(home, hash, queued)
  const boundary = hex(home.random.bytes(16))
  const why = reason === 'expired' ? await withLast(home, queued, text) : text
  const bounce = await inbox.deliverOwn(id, async function* (date) {
    yield composeBounce({
      self: { name: self.name, key: self.key },
      date,
      id,
      about: queued.id,
      to: { name: contact.name, key: contact.key },
      subject,
      created: Number(queued.created / 1000n),
      code: reason,
      reason: why,
      boundary,
    })
  })
  return (await fail(home, queued, reason, text)) ? bounce : 'gone'
}

/** An expired message was tried before: why in vain. */
async function withLast(home: Home, queued: Queued, text: string): Promise<string> {
  const { last } = outcomeOf(await readLog(home, queued.key), queued.id, queued.created)
  return last === undefined ? text : `${text}; the last time: ${last.text ?? last.reason}`
}

/** What a message is recognised by: its subject, else its first line, else its first file's name. */
export async function firstWords(home: Home, hash: Hash, queued: Queued): Promise<string | undefined> {
  try {
    const outgoing = await openOutgoing(home, hash, queued)
    if (outgoing === undefined) return undefined
    try {
      const { head, size } = outgoing
      const text = hasText(head) ? await outgoing.read(head.bytes.length, Math.min(LOOK, size)) : undefined
      const { parts, subject, reaction } = head.header
      const files = parts.slice(text === undefined ? 0 : 1)
      return subjectOf({ subject, reaction, text: text?.subarray(0, parts[0]?.size ?? 0), files })
    } finally {
      await outgoing.close()
    }
  } catch (error) {
    if (error instanceof Malformed || isCode(error, 'ENOENT')) return undefined
    throw error
  }
}
