// What receivers that died have left in part/: committed mail is placed, unfinished large messages change owner, the
// rest goes. Of a receiver that is silent but may live (its pid means nothing here) only that is taken which it can go
// on without, or which makes it fail before it commits: its lock stays, since no lock can stop a process that wakes up.

import { sleep } from '../base/clock.ts'
import { isCode } from '../base/fail.ts'
import { filesNow } from './age.ts'
import { removeTree } from './durable.ts'
import type { Home } from './home.ts'
import { claim, tryLock } from './lock.ts'
import { partPath, place } from './place.ts'
import { type Receiver, receiverLock } from './receiver.ts'
import type { SeenRecord } from './seenlog.ts'

/** An unfinished message that nobody went on with for so long is dropped; its sender still has it. */
const PART_MAX_MS = 14 * 86_400_000

/** How long a living receiver is given to place what it has committed: a slow disk needs seconds. */
const PATIENCE_MS = 2000
const POLL_MS = 20

const LOCK = /^receiver\.([0-9a-f]{16})\.lock$/
const ENTRY = /^([0-9a-f]{64})\.([0-9a-f]{16})$/

interface Entry {
  id: string
  tag: string
}

/** Id and tag of an entry in part/KEY/. */
export function parseEntry(name: string): Entry | undefined {
  const [, id, tag] = ENTRY.exec(name) ?? []
  return id === undefined || tag === undefined ? undefined : { id, tag }
}

/** Everything in part/; inbox/new is synced at the end. */
export async function takeOverAll(receiver: Receiver): Promise<void> {
  const { home, tag } = receiver
  const { files } = home
  for (const key of await files.list(home.at('part'))) {
    for (const name of await files.list(home.at('part', key))) await takeOver(receiver, key, name)
  }
  await files.syncDir(home.at('part')) // whoever made a directory may have died before this
  await files.syncDir(home.at('inbox', 'new'))
  for (const name of await files.list(home.at('lock'))) {
    const [, other] = LOCK.exec(name) ?? []
    if (other === undefined || other === tag) continue
    const claimed = await claim(home, receiverLock(other))
    if ('held' in claimed) await claimed.held.release()
    // While it is there, whoever has it may be one that was stopped.
    else if (await isOld(home, home.at('lock', name))) await (await tryLock(home, receiverLock(other)))?.release()
  }
}

/** One message of one contact, if a dead receiver has left something of it. */
export async function takeOverMessage(receiver: Receiver, key: string, id: string): Promise<void> {
  for (const name of await receiver.home.files.list(receiver.home.at('part', key))) {
    if (name.startsWith(`${id}.`)) await takeOver(receiver, key, name)
  }
}

/** R4 for a record of another receiver. One that lives is about to do it itself, unless it was stopped. */
export async function finishFor(receiver: Receiver, record: SeenRecord): Promise<void> {
  const { home } = receiver
  const part = partPath(home, record)
  if ((await home.files.stat(part)) === undefined) return
  const claimed = await claim(home, receiverLock(record.tag))
  try {
    if (!('held' in claimed) && !claimed.silent) await vanishes(home, part)
    await finish(receiver, record) // safe without the lock, too: each step may have been done before
  } finally {
    if ('held' in claimed) await claimed.held.release()
  }
}

/** When the part is gone, or it has taken too long. */
async function vanishes(home: Home, part: string): Promise<void> {
  const end = home.clock.monotonic() + PATIENCE_MS
  while ((await home.files.stat(part)) !== undefined && home.clock.monotonic() < end) await sleep(home.clock, POLL_MS)
}

/** R4 for a record of this receiver, or of a dead one whose lock is held. */
export async function finish({ home, hooks }: Receiver, record: SeenRecord): Promise<void> {
  if ((await place(home, record, hooks(record.key))) !== undefined) await home.files.syncDir(home.at('inbox', 'new'))
}

async function takeOver(receiver: Receiver, key: string, name: string): Promise<void> {
  const entry = parseEntry(name)
  if (entry === undefined || entry.tag === receiver.tag) return
  const claimed = await claim(receiver.home, receiverLock(entry.tag))
  if ('held' in claimed) {
    try {
      await takeAll(receiver, key, entry)
    } finally {
      await claimed.held.release()
    }
  } else if (!claimed.alive && claimed.silent) {
    await takeSome(receiver, key, entry)
  }
}

/** Of a receiver that is dead. */
async function takeAll(receiver: Receiver, key: string, { id, tag }: Entry): Promise<void> {
  const { home, seen, hooks } = receiver
  const path = partPath(home, { key, id, tag })
  const stat = await home.files.stat(path)
  if (stat === undefined) return
  const record = await seen.find(key, id)
  const own = partPath(home, { key, id, tag: receiver.tag })
  const small = stat.kind !== 'dir' // not committed, its sender still has it
  if (record?.tag === tag) await place(home, record, hooks(key))
  else if (small || record !== undefined || (await isOld(home, path)) || (await home.files.stat(own)) !== undefined) await drop(home, path)
  else await move(home, path, own)
}

/**
 * Of a receiver that is probably dead, but may be one that was stopped just before its commit: then what it relies on
 * must still be there when it goes on, or it must fail.
 */
async function takeSome(receiver: Receiver, key: string, { id, tag }: Entry): Promise<void> {
  const { home, seen, hooks } = receiver
  const path = partPath(home, { key, id, tag })
  const own = partPath(home, { key, id, tag: receiver.tag })
  const record = await seen.find(key, id)
  if (record?.tag === tag) {
    await place(home, record, hooks(key))
  } else if (record !== undefined || (await isOld(home, path))) {
    await drop(home, path) // it can only come second
  } else if ((await isUnfinished(home, path)) && (await home.files.stat(own)) === undefined && (await move(home, path, own))) {
    // Without this directory it cannot write its mail, which comes before its record. If it had written it meanwhile:
    if (await isUnfinished(home, own)) return
    await move(home, own, path)
    const late = await seen.find(key, id)
    if (late?.tag === tag) await place(home, late, hooks(key))
  }
}

/** True for the directory of a large message whose mail is not written yet. */
async function isUnfinished(home: Home, path: string): Promise<boolean> {
  return (await home.files.stat(path))?.kind === 'dir' && (await home.files.stat(`${path}/mail`)) === undefined
}

async function drop(home: Home, path: string): Promise<void> {
  if ((await home.files.stat(path))?.kind === 'dir') await removeTree(home.files, path)
  else await home.files.unlink(path)
}

/** False if somebody else was faster. */
async function move(home: Home, from: string, to: string): Promise<boolean> {
  try {
    await home.files.rename(from, to)
    return true
  } catch (error) {
    if (!isCode(error, 'ENOENT')) throw error
    return false
  }
}

/** True for the directory of a message that nobody went on with for PART_MAX_MS. */
export async function isOld(home: Home, path: string): Promise<boolean> {
  const times = await Promise.all([path, `${path}/chunks`].map((each) => home.files.stat(each)))
  return (await filesNow(home)) - Math.max(...times.map((stat) => stat?.mtimeMs ?? 0)) > PART_MAX_MS
}
