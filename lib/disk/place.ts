// The last steps of a message whose record is durable: p2p-spool(5), RECEIVER, R3 to R4b. Each may have been done
// before, by this process or by one that died or by one that lives: what is not there any more was placed already.

import { isCode } from '../base/fail.ts'
import { externalPath, isExternal } from '../wire/mail.ts'
import { removeTree } from './durable.ts'
import type { Home } from './home.ts'
import { mailName } from './maildir.ts'
import type { SeenRecord } from './seenlog.ts'

/** The name of a part. */
const PART = /^\d{1,4}$/

/** Where the receiver `tag` keeps a message until it is placed: a file (small) or a directory (large). */
export function partPath(home: Home, { key, id, tag }: Pick<SeenRecord, 'key' | 'id' | 'tag'>): string {
  return home.at('part', key, `${id}.${tag}`)
}

/**
 * Parts over the limit to files/, with `hooks` a link into hooks/pending/, the mail into inbox/new last. inbox/new is
 * not synced yet. `kind`: what part it is, if that is known. Returns the mail's path, undefined if it was placed before.
 */
export async function place(home: Home, record: SeenRecord, hooks: boolean, kind?: 'file'): Promise<string | undefined> {
  const { files } = home
  const part = partPath(home, record)
  const is = kind ?? (await files.stat(part))?.kind
  if (is === undefined) return undefined
  const large = is === 'dir'
  const mail = large ? `${part}/mail` : part
  if (large) await placeFiles(home, record.id, part)
  const name = mailName(record.time, record.id)
  const path = home.at('inbox', 'new', name)
  let placed: string | undefined = path
  try {
    if (hooks) await linkHook(home, mail, name)
    await files.utimes(mail, Number(record.time / 1000n))
    await files.rename(mail, path)
  } catch (error) {
    if (!isCode(error, 'ENOENT')) throw error
    placed = undefined // another process finished it first
  }
  if (large) {
    await files.syncDir(home.at('inbox', 'new')) // before the rest of the part goes
    await removeTree(files, part)
  }
  return placed
}

/**
 * R4a: parts too large for the mail move to files/ID/. Which those are their size tells, since they are whole; `head`
 * need not be: a receiver that was killed may have left it undurable to the one that went on.
 */
async function placeFiles(home: Home, id: string, part: string): Promise<void> {
  const { files } = home
  const target = home.at('files', id)
  let moved = false
  for (const name of await files.list(part)) {
    const size = PART.test(name) ? (await files.stat(`${part}/${name}`))?.size : undefined
    if (size === undefined || !isExternal({ size })) continue
    if (!moved) {
      await files.mkdir(target)
      await files.syncDir(home.at('files')) // before anything is only in it; whoever made it may have died before this
    }
    moved = true
    try {
      await files.rename(`${part}/${name}`, home.at(externalPath(id, Number(name))))
    } catch (error) {
      if (!isCode(error, 'ENOENT')) throw error
    }
  }
  if (moved || (await files.stat(target)) !== undefined) await files.syncDir(target) // they may have been moved before
}

async function linkHook(home: Home, mail: string, name: string): Promise<void> {
  try {
    await home.files.link(mail, home.at('hooks', 'pending', name))
  } catch (error) {
    if (!isCode(error, 'EEXIST')) throw error
  }
  await home.files.syncDir(home.at('hooks', 'pending'))
}
