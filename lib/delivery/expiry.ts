// Messages whose time is over are given up even if their contact is never met: p2p-send --expires.

import type { Home } from '../disk/home.ts'
import { describe } from '../disk/queueread.ts'
import { parseQueueName, queuePath, type Queued } from '../disk/queued.ts'

/** For people. */
export const EXPIRED = 'it was not delivered in time'

/** Hands what waits for the contact KEY and has expired to `giveUp`. Reads only the messages that have options. */
export async function expire(
  home: Home,
  key: string,
  giveUp: (queued: Queued, reason: string, text: string) => Promise<unknown>,
): Promise<void> {
  const named = await home.files.list(queuePath(home, key, 'opts'))
  const files = named.filter((name) => parseQueueName(name) !== undefined)
  for (const queued of await describe(home, key, 'new', files)) {
    const { expires } = queued.opts
    if (expires !== undefined && expires <= home.clock.now()) await giveUp(queued, 'expired', EXPIRED)
  }
}
