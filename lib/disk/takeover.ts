// What receivers that died have left in part/: committed mail is placed, unfinished large messages change owner, the
// rest goes. A receiver is dead if its lock can be had; that lock is held meanwhile, so two who come at once cannot
// both take over.

import type { Hash } from '../wire/envelope.ts'
import { removeTree } from './durable.ts'
import type { Home } from './home.ts'
import { tryLock } from './lock.ts'
import { partPath, place } from './place.ts'
import type { Seen, SeenRecord } from './seen.ts'

/** An unfinished message that nobody went on with for so long is dropped; its sender still has it. */
const PART_MAX_MS = 14 * 86_400_000

const LOCK = /^receiver\.([0-9a-f]{16})\.lock$/
const ENTRY = /^([0-9a-f]{64})\.([0-9a-f]{16})$/

/** The lock that the receiver `tag` holds while it lives. */
export function receiverLock(tag: string): string {
  return `receiver.${tag}`
}

/** Id and tag of an entry in part/KEY/. */
export function parseEntry(name: string): { id: string; tag: string } | undefined {
  const [, id, tag] = ENTRY.exec(name) ?? []
  return id === undefined || tag === undefined ? undefined : { id, tag }
}

export interface Receiver {
  home: Home
  hash: Hash
  seen: Seen
  tag: string
  /** Whether mail of this contact (KEY) is linked into hooks/pending when it is placed. */
  hooks: (key: string) => boolean
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
    if (other !== undefined && other !== tag) await (await tryLock(home, receiverLock(other)))?.release()
  }
}

/** One message of one contact, if a dead receiver has left something of it. */
export async function takeOverMessage(receiver: Receiver, key: string, id: string): Promise<void> {
  for (const name of await receiver.home.files.list(receiver.home.at('part', key))) {
    if (name.startsWith(`${id}.`)) await takeOver(receiver, key, name)
  }
}

/** R4 for a record of another receiver, if that one is dead; a living one does it itself. */
export async function finishFor(receiver: Receiver, record: SeenRecord): Promise<void> {
  const { home } = receiver
  if ((await home.files.stat(partPath(home, record))) === undefined) return
  const lock = await tryLock(home, receiverLock(record.tag))
  if (lock === undefined) return
  try {
    await finish(receiver, record)
  } finally {
    await lock.release()
  }
}

/** R4 for a record of this receiver, or of a dead one whose lock is held. */
export async function finish({ home, hash, hooks }: Receiver, record: SeenRecord): Promise<void> {
  if ((await place(home, hash, record, hooks(record.key))) !== undefined) await home.files.syncDir(home.at('inbox', 'new'))
}

async function takeOver(receiver: Receiver, key: string, name: string): Promise<void> {
  const { home, hash, seen, hooks } = receiver
  const { files } = home
  const entry = parseEntry(name)
  if (entry === undefined || entry.tag === receiver.tag) return
  const { id, tag } = entry
  const lock = await tryLock(home, receiverLock(tag))
  if (lock === undefined) return
  try {
    const path = home.at('part', key, name)
    const stat = await files.stat(path)
    if (stat === undefined) return
    const record = await seen.find(key, id)
    const own = partPath(home, { key, id, tag: receiver.tag })
    if (record?.tag === tag) {
      await place(home, hash, record, hooks(key))
    } else if (stat.kind !== 'dir') {
      await files.unlink(path) // a small one that was never committed: its sender still has it
    } else if (record !== undefined || (await isOld(home, path)) || (await files.stat(own)) !== undefined) {
      await removeTree(files, path)
    } else {
      await files.rename(path, own)
    }
  } finally {
    await lock.release()
  }
}

/** True for the directory of a message that nobody went on with for PART_MAX_MS. */
export async function isOld(home: Home, path: string): Promise<boolean> {
  const times = await Promise.all([path, `${path}/chunks`].map((each) => home.files.stat(each)))
  return home.clock.now() - Math.max(...times.map((stat) => stat?.mtimeMs ?? 0)) > PART_MAX_MS
}
