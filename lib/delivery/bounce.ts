// What happens to a message that cannot be delivered: a bounce into the own inbox, then failed/. The bounce comes
// first and is delivered once for each time the message is given up, so a crash in between loses and doubles nothing.

import { hex, utf8 } from '../base/bytes.ts'
import { Malformed } from '../base/fail.ts'
import type { Contact } from '../disk/contact.ts'
import type { Home } from '../disk/home.ts'
import type { Self } from '../disk/identity.ts'
import type { Delivered, Inbox } from '../disk/inbox.ts'
import { openOutgoing } from '../disk/outgoing.ts'
import { fail } from '../disk/queue.ts'
import { headPath, type Queued } from '../disk/queued.ts'
import type { Hash } from '../wire/envelope.ts'
import { composeBounce } from '../wire/mail.ts'

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
  const subject = await subjectOf(home, hash, queued)
  const bounce = await inbox.deliverOwn(id, async function* (date) {
    yield composeBounce({
      self: { name: self.name, key: self.key },
      date,
      id,
      about: queued.id,
      name: contact.name,
      subject,
      created: Number(queued.created / 1000n),
      reason: text,
    })
  })
  return (await fail(home, queued, reason, text)) ? bounce : 'gone'
}

async function subjectOf(home: Home, hash: Hash, queued: Queued): Promise<string | undefined> {
  try {
    const outgoing = await openOutgoing(home, hash, queued)
    await outgoing?.close()
    return outgoing?.head.header.subject
  } catch (error) {
    if (error instanceof Malformed) return undefined
    throw error
  }
}
