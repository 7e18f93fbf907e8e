// Notes to oneself take the way of every message: accepted, committed, settled. Only the link is missing.

import { Malformed } from '../base/fail.ts'
import type { Arrival } from '../disk/arrival.ts'
import type { Config } from '../disk/config.ts'
import type { Home } from '../disk/home.ts'
import { Inbox } from '../disk/inbox.ts'
import { accept } from '../disk/accept.ts'
import type { Keyring } from '../disk/keyring.ts'
import { openOutgoing } from '../disk/outgoing.ts'
import { fail, settle } from '../disk/queue.ts'
import { list } from '../disk/queueread.ts'
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
  config: Config,
  message: { staged: Staged; header: Omit<Header, 'parts'> },
): Promise<Queued> {
  const { self } = keyring
  const { staged, header } = message
  const { chatThreads } = config
  const queued = await accept(home, hash, self, { to: self, staged, header }, { chatThreads })
  const inbox = await Inbox.open(home, hash, self, {
    hooks: (key) => config.hooksOf(keyring, key) !== undefined,
    chatThreads: () => chatThreads,
  })
  try {
    for (const waiting of await list(home, self.key)) await carry(home, hash, inbox, keyring, waiting)
  } finally {
    await inbox.close()
  }
  return queued
}

/** One that the disk has damaged is given up, so that it does not stand in the way of the others. */
async function carry(home: Home, hash: Hash, inbox: Inbox, keyring: Keyring, queued: Queued): Promise<void> {
  const { key, identity, name } = keyring.self
  const from = { key, identity, name, verified: true }
  if (!(await inbox.has(key, queued.id))) {
    const place = await inbox.arrive(from, queued.id, queued.size)
    if (place === undefined) return
    try {
      if (!(await fill(home, hash, place.arrival, queued))) return
      const { unplaced } = await inbox.commit([{ arrival: place.arrival, from }])
      if (unplaced.size > 0) return // it waits in the queue as well until there is room
    } catch (error) {
      if (!(error instanceof Malformed)) throw error
      await place.arrival.discard()
      await fail(home, queued, 'damaged', `the waiting copy is damaged: ${error.message}`)
      return
    } finally {
      place.release()
    }
  }
  await settle(home, [queued])
}

/** False if the message is gone: another process has carried it. */
async function fill(home: Home, hash: Hash, arrival: Arrival, queued: Queued): Promise<boolean> {
  const outgoing = await openOutgoing(home, hash, queued)
  if (outgoing === undefined) return false
  try {
    while (!arrival.full) {
      const bytes = await outgoing.read(arrival.offset, BLOCK)
      if (bytes.length === 0) throw new Malformed('message truncated on disk')
      await arrival.write(bytes)
    }
    if ((await arrival.check()) !== 'good') throw new Malformed('message changed on disk')
    return true
  } finally {
    await outgoing.close()
  }
}
