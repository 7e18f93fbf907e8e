// Files that change while a conversation is open: who hears of it, and which own copies say something new.

import type { Conversation } from '../disk/conversation.ts'
import type { Home } from '../disk/home.ts'
import { changeTime, mailName, parseEntry, type MailEntry } from '../disk/maildir.ts'
import type { Named } from '../disk/queued.ts'

/** Files that change are looked at once for all changes within so much time; of more changes the whole folder is. */
const CALM_MS = 60
const NAMES_MAX = 200

/** Calls `work` after changes in a folder, with the names that changed where these are known, until the signal fires. */
export function watchCalmly(home: Home, folder: string, signal: AbortSignal, work: (names: readonly string[] | undefined) => Promise<void>, failed: (error: unknown) => void): void {
  const names = new Set<string | undefined>()
  const stop = home.files.watch(folder, (name) => {
    if (signal.aborted) return
    if (names.size <= NAMES_MAX) names.add(name)
    if (names.size > 1) return
    home.clock.after(CALM_MS, () => {
      const some = [...names].filter((each) => each !== undefined)
      const all = some.length < names.size || some.length > NAMES_MAX
      names.clear()
      if (!signal.aborted) work(all ? undefined : some).catch(failed)
    })
  })
  signal.addEventListener('abort', stop, { once: true })
}

/** Those of these names in sent/cur/ that are there and say something new; of the whole folder without names. */
export async function changedCopies(home: Home, talk: Conversation, names?: readonly string[]): Promise<MailEntry[]> {
  if (names === undefined) return talk.fresh('sent')
  const found: MailEntry[] = []
  for (const name of names) {
    const entry = parseEntry(home, 'sent', 'cur', name)
    if (entry === undefined || (await home.files.stat(entry.path)) === undefined) continue
    if (entry.time < 0n) entry.time = await changeTime(home, entry)
    const row = talk.find(entry)
    if (row < 0 || talk.entry(row).path !== entry.path) found.push(entry)
  }
  return found
}

/** Names of the own copy of a message, with the flags that it has as a rule; a mail program may have given it others. */
export function copyNames({ created, id }: Named): string[] {
  const base = mailName(created, id)
  return [`${base}:2,FS`, `${base}:2,S`, `${base}:2,ST`]
}
