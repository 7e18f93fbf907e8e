// Takes away what a crash left of messages that were never accepted or are already gone, and of files that were being
// replaced. Nothing that a head in new/, hold/ or failed/ points to is ever touched, and nothing young: a process may be
// about to write its head.

import { filesNow } from './age.ts'
import { removeTree } from './durable.ts'
import type { Home } from './home.ts'
import { tryLock } from './lock.ts'
import { listMaildir, mailName } from './maildir.ts'
import { keys, names } from './queueread.ts'
import { parseQueueName, queuePath, STATES } from './queued.ts'
import { LEFTOVER_MS, sweepStaging } from './staging.ts'

/** Where files are replaced, and what replaceFile() and the runs of seen call theirs until they are whole. */
const REPLACED = ['.', 'contacts', 'hello', 'invites', 'mail.index', 'seen.index']
const UNFINISHED = /\.tmp\.[0-9a-f]{12}$|\.run\.\d+$/

/** Removes leftovers; safe at any time beside everything else. Does nothing if another process sweeps. */
export async function sweep(home: Home): Promise<void> {
  const held = await tryLock(home, 'sweep', true)
  if (held === undefined) return
  try {
    const now = await filesNow(home)
    // Whoever is staging a large body links it into the queue before its head is there: it must not look old by then,
    // even if the clock was set meanwhile.
    const staging = await sweepStaging(home, now)
    for (const key of await keys(home)) await sweepQueue(home, key, now, staging)
    if (!staging) await sweepSent(home, now)
    for (const directory of REPLACED) {
      for (const name of await oldOnes(home, now, home.at(directory), UNFINISHED)) await home.files.unlink(home.at(directory, name))
    }
    await sweepLocks(home, now)
  } finally {
    await held.release()
  }
}

async function sweepQueue(home: Home, key: string, now: number, staging: boolean): Promise<void> {
  const { files } = home
  for (const name of await oldOnes(home, now, queuePath(home, key, 'tmp'))) await files.unlink(queuePath(home, key, 'tmp', name))
  // Candidates before heads: a head that appears in between cannot belong to something old.
  const bodies = staging ? [] : await oldOnes(home, now, queuePath(home, key, 'body'))
  const options = await oldOnes(home, now, queuePath(home, key, 'opts'))
  if (bodies.length === 0 && options.length === 0) return
  const heads = await headsOf(home, key)
  const ids = new Set([...heads].map((name) => parseQueueName(name)?.id ?? ''))
  for (const id of bodies) if (!ids.has(id)) await removeTree(files, queuePath(home, key, 'body', id))
  for (const name of options) if (!heads.has(name)) await files.unlink(queuePath(home, key, 'opts', name))
}

/** File names of all messages for a contact that were accepted and are not gone. */
async function headsOf(home: Home, key: string): Promise<Set<string>> {
  const heads = new Set<string>()
  // Twice, and new/ after hold/ as well as before: a head may be on its way from one listing to the other.
  for (const state of [...STATES, ...STATES, ...STATES]) {
    for (const name of await names(home, key, state)) heads.add(name)
  }
  return heads
}

/** Copies of messages that were never accepted, and what they brought into files/. */
async function sweepSent(home: Home, now: number): Promise<void> {
  const copies = await oldOnes(home, now, home.at('sent', 'tmp'))
  if (copies.length === 0) return
  const wanted = new Set<string>()
  for (const key of await keys(home)) {
    for (const name of await headsOf(home, key)) {
      const { created, id } = parseQueueName(name) as { created: bigint; id: string }
      wanted.add(mailName(created, id))
    }
  }
  const mail = [...(await listMaildir(home, 'sent')), ...(await listMaildir(home, 'inbox'))]
  const kept = new Set(mail.map(({ id32 }) => id32))
  for (const name of copies.filter((copy) => !wanted.has(copy))) {
    const id32 = name.split('.')[1] ?? ''
    for (const id of id32.length === 32 && !kept.has(id32) ? await home.files.list(home.at('files')) : []) {
      if (!id.startsWith(id32)) continue
      await removeTree(home.files, home.at('files', id))
      await home.files.syncDir(home.at('files')) // before the copy, by which they would be found again
    }
    await home.files.unlink(home.at('sent', 'tmp', name))
  }
}

/** Notes of owners without a lock, locks of the dead on their way out, and what filesNow() was killed over. */
async function sweepLocks(home: Home, now: number): Promise<void> {
  const { files } = home
  for (const name of await oldOnes(home, now, home.at('lock'), /\.dead\.\d+$|\.owner$|^now\.\d+(?:\.[0-9a-f]+)?$/)) {
    const path = home.at('lock', name)
    if (name.startsWith('now.')) await files.unlink(path)
    else if (!name.endsWith('.owner')) await removeTree(files, path)
    else if ((await files.stat(path.replace(/owner$/, 'lock'))) === undefined) await files.unlink(path)
  }
}

async function oldOnes(home: Home, now: number, directory: string, shape = /./): Promise<string[]> {
  const old: string[] = []
  for (const name of await home.files.list(directory)) {
    if (!shape.test(name)) continue
    const stat = await home.files.stat(`${directory}/${name}`)
    if (stat !== undefined && now - stat.mtimeMs > LEFTOVER_MS) old.push(name)
  }
  return old
}
