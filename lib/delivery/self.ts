// Notes to oneself take the way of every message: accepted, committed, settled. Only the link is missing.

import type { Home } from '../disk/home.ts'
import { Inbox } from '../disk/inbox.ts'
import { accept } from '../disk/accept.ts'
import type { Keyring } from '../disk/keyring.ts'
import { openOutgoing } from '../disk/outgoing.ts'
import { list, settle } from '../disk/queue.ts'
import type { Queued } from '../disk/queued.ts'
import type { Staged } from '../disk/staging.ts'
import type { Hash, Header } from '../wire/envelope.ts'

/** Bytes carried at once. */
const BLOCK = 256 * 1024

/** Puts a message from oneself into the own inbox; durable when it resolves. What an earlier call left goes first. */
export async function deliverToSelf(
  home: Home,
  keyring: Keyring,
  hash: Hash,
  message: { staged: Staged; header: Omit<Header, 'parts'> },
): Promise<Queued> {
  const { self } = keyring
  const queued = await accept(home, hash, self, { to: self, ...message })
  const inbox = await Inbox.open(home, hash, self)
  try {
    for (const waiting of await list(home, self.key)) await carry(home, hash, inbox, keyring, waiting)
  } finally {
    await inbox.close()
  }
  return queued
}

async function carry(home: Home, hash: Hash, inbox: Inbox, keyring: Keyring, queued: Queued): Promise<void> {
  const { key, identity, name } = keyring.self
  const from = { key, identity, name, verified: true }
  if (!(await inbox.has(key, queued.id))) {
    const outgoing = await openOutgoing(home, hash, queued)
    const place = await inbox.arrive(from, queued.id, queued.size)
    if (outgoing === undefined || place === undefined) return
    try {
      const { arrival } = place
      while (!arrival.full) await arrival.write(await outgoing.read(arrival.offset, BLOCK))
      if ((await arrival.check()) !== 'good') return await arrival.discard()
      await inbox.commit([{ arrival, from }])
    } finally {
      place.release()
      await outgoing.close()
    }
  }
  await settle(home, [queued])
}
