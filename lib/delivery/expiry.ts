// Messages whose time is over are given up even if their contact is never met: p2p-send --expires.

import type { Contact } from '../disk/contact.ts'
import { describe } from '../disk/queue.ts'
import { parseQueueName, queuePath } from '../disk/queued.ts'
import type { Station } from './station.ts'

/** Gives up what waits for this contact and has expired. Reads only the messages that have options. */
export async function expire(station: Station, contact: Contact): Promise<void> {
  const { home } = station
  const named = await home.files.list(queuePath(home, contact.key, 'opts'))
  const files = named.filter((name) => parseQueueName(name) !== undefined)
  for (const queued of await describe(home, contact.key, 'new', files)) {
    const { expires } = queued.opts
    if (expires === undefined || expires > home.clock.now()) continue
    await station.fail(queued, contact, 'expired', EXPIRED)
  }
}

/** For people. */
export const EXPIRED = 'it was not delivered in time'
