// inbox/ and sent/ as Maildirs that mail programs may read and change at any moment: a message may move from new/ to
// cur/, change its flags or vanish between two system calls. Everybody here therefore looks in both folders, knows a
// message by the part of its name before `:2,`, and takes "not there any more" for an answer.

import { isCode } from '../base/fail.ts'
import { composeMail, type MailFields } from '../wire/mail.ts'
import { removeTree } from './durable.ts'
import type { FileHandle } from './filehandle.ts'
import type { Files } from './files.ts'
import type { Home } from './home.ts'

export type Box = 'inbox' | 'sent'
export type Folder = 'new' | 'cur'

export interface MailEntry {
  box: Box
  /** The name without flags: stays the same for the life of a message. */
  base: string
  /** Absolute. May be out of date a moment later: see relocate(). */
  path: string
  /** Maildir's letters in alphabetical order: D F P R S T. */
  flags: string
  /** Receipt (sent/: acceptance), unix microseconds. */
  time: bigint
  /** The first 32 digits of the id; undefined for a file that some other program put here. */
  id32: string | undefined
}

const FOLDERS = ['new', 'cur'] as const
const OURS = /^(\d{1,17})\.([0-9a-f]{32})\.p2p$/
/** A directory that changes while it is read is read again so many times: readdir may skip what is renamed meanwhile. */
const LIST_TRIES = 3
/** Times a file is looked for again after another program moved it. */
const MOVE_TRIES = 8
/** Bytes gathered for one write. */
const WRITE_BATCH = 128 * 1024

/** `<us>.<first 32 digits of the id>.p2p`; `us` is the time of receipt, in sent/ that of acceptance. */
export function mailName(us: bigint, id: string): string {
  return `${us}.${id.slice(0, 32)}.p2p`
}

/** Writes a message into a new file and makes its bytes durable (not its name). Leaves no half file behind. */
export async function writeMail(files: Files, path: string, mail: MailFields): Promise<void> {
  await writeNew(files, path, composeMail(mail))
}

/** A new file (O_EXCL: follows no link) with these bytes, fsynced; removed again if anything fails. */
export async function writeNew(files: Files, path: string, pieces: AsyncIterable<Uint8Array>): Promise<void> {
  const handle = await files.open(path, 'create')
  try {
    await writePieces(handle, pieces)
    await handle.sync()
    await handle.close()
  } catch (error) {
    await handle.close().catch(() => undefined)
    await files.unlink(path).catch(() => false)
    throw error
  }
}

async function writePieces(handle: FileHandle, pieces: AsyncIterable<Uint8Array>): Promise<void> {
  let held: Uint8Array[] = []
  let size = 0
  const flush = async (): Promise<void> => {
    if (size > 0) await handle.write(Buffer.concat(held, size))
    held = []
    size = 0
  }
  for await (const piece of pieces) {
    held.push(piece)
    size += piece.length
    if (size >= WRITE_BATCH) await flush()
  }
  await flush()
}

/**
 * Calls `take` with each name in new/ and cur/ of a box; with some twice, of which the later call counts, rather than
 * not with one that is being moved.
 */
export async function eachName(home: Home, box: Box, take: (folder: Folder, name: string) => void): Promise<void> {
  const stamp = async (): Promise<string> => {
    const stats = await Promise.all(FOLDERS.map((folder) => home.files.stat(home.at(box, folder))))
    return stats.map((stat) => stat?.mtimeMs).join()
  }
  for (let tries = 0; tries < LIST_TRIES; tries++) {
    const before = await stamp()
    // new/ first: what moves to cur/ in between is seen twice rather than never.
    for (const folder of FOLDERS) {
      for await (const names of home.files.pieces(home.at(box, folder))) for (const name of names) take(folder, name)
    }
    if ((await stamp()) === before) break
  }
}

/** Every message, each once, oldest first; with `since` (Unix us) only those that are not older. */
export async function listMaildir(home: Home, box: Box, since = 0n): Promise<MailEntry[]> {
  const from = Number(since)
  const found = new Map<string, MailEntry>()
  await eachName(home, box, (folder, name) => {
    if (from > 0 && isOlder(name, from)) return
    const entry = parseEntry(home, box, folder, name)
    if (entry !== undefined) found.set(entry.base, entry)
  })
  const entries = [...found.values()]
  for (const entry of entries) if (entry.time < 0n) entry.time = await changeTime(home, entry)
  return entries.filter(({ time }) => time >= since).sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : a.base < b.base ? -1 : 1))
}

/** Those of our own form with these ids (their first 32 digits); what has just come is found without a look at the rest. */
export async function findMails(home: Home, box: Box, ids: ReadonlySet<string>): Promise<Map<string, MailEntry>> {
  const found = new Map<string, MailEntry>()
  const take = (folder: Folder, name: string): void => {
    const dot = name.indexOf('.')
    if (!ids.has(name.slice(dot + 1, dot + 33))) return
    const entry = parseEntry(home, box, folder, name)
    if (entry?.id32 !== undefined) found.set(entry.id32, entry)
  }
  for await (const names of home.files.pieces(home.at(box, 'new'))) for (const name of names) take('new', name)
  if (found.size < ids.size) await eachName(home, box, take)
  return found
}

/** By its name alone, of our own form; of others the entry tells. */
export function isOlder(name: string, from: number): boolean {
  const dot = name.indexOf('.')
  return dot > 12 && name.indexOf('.p2p', dot) > 0 && Number(name.slice(0, dot)) < from
}

/** What a name in a folder says; the time is -1 where it says none. Undefined for what is no mail. */
export function parseEntry(home: Home, box: Box, folder: Folder, name: string): MailEntry | undefined {
  if (name.startsWith('.')) return undefined
  const [base = '', info = ''] = name.split(':2,', 2)
  const flags = [...new Set(info.replace(/[^A-Za-z]/g, ''))].sort().join('')
  const ours = OURS.exec(base)
  const path = home.at(box, folder, name)
  if (ours !== null) return { box, base, path, flags, time: BigInt(ours[1] ?? 0), id32: ours[2] }
  const seconds = /^(\d{9,11})\./.exec(base)?.[1] // Maildir's own convention
  return { box, base, path, flags, time: seconds === undefined ? -1n : BigInt(seconds) * 1_000_000n, id32: undefined }
}

/** Of a mail whose name tells no time. */
export async function changeTime(home: Home, entry: MailEntry): Promise<bigint> {
  const stat = await home.files.stat(entry.path)
  return BigInt(Math.round((stat?.mtimeMs ?? 0) * 1000))
}

/** Where a message is now; undefined if it is gone. */
async function relocate(home: Home, entry: MailEntry): Promise<MailEntry | undefined> {
  if ((await home.files.stat(entry.path)) !== undefined) return entry
  return (await listMaildir(home, entry.box)).find(({ base }) => base === entry.base)
}

/** Runs `work` on the open file of a message, wherever it has moved to; undefined if the message is gone. */
export async function withMail<T>(
  home: Home,
  entry: MailEntry,
  work: (handle: FileHandle, entry: MailEntry) => Promise<T>,
): Promise<T | undefined> {
  let at: MailEntry | undefined = entry
  for (let tries = 0; at !== undefined && tries < MOVE_TRIES; tries++) {
    let handle: FileHandle
    try {
      handle = await home.files.open(at.path, 'own')
    } catch (error) {
      if (!isCode(error, 'ENOENT')) throw error
      at = await relocate(home, at)
      continue
    }
    try {
      return await work(handle, at)
    } finally {
      await handle.close()
    }
  }
  return undefined
}

/**
 * Gives a message other flags, which moves it to cur/ (Maildir: what has been looked at is not new). Flags that
 * another program sets meanwhile are kept. Returns where it is then; undefined if it is gone. Not fsynced.
 */
export async function setFlags(
  home: Home,
  entry: MailEntry,
  change: { add?: string; remove?: string },
): Promise<MailEntry | undefined> {
  let at: MailEntry | undefined = entry
  for (let tries = 0; at !== undefined && tries < MOVE_TRIES; tries++) {
    const kept = [...at.flags].filter((flag) => change.remove?.includes(flag) !== true)
    const flags = [...new Set([...kept, ...(change.add ?? '')])].sort().join('')
    const path = home.at(at.box, 'cur', `${at.base}:2,${flags}`)
    if (path === at.path) return (await home.files.stat(path)) === undefined ? undefined : at
    try {
      await home.files.rename(at.path, path)
      return { ...at, path, flags }
    } catch (error) {
      if (!isCode(error, 'ENOENT')) throw error
      at = await relocate(home, at)
    }
  }
  return undefined
}

/**
 * Deletes a message wherever a mail program has moved it, and its files in files/ID unless the other box holds a copy
 * of the same message (a note to oneself); `id`: 64 hex digits, or empty. False if it was gone already. Not fsynced.
 */
export async function removeMail(home: Home, entry: MailEntry, id: string): Promise<boolean> {
  let at: MailEntry | undefined = entry
  let removed = false
  for (let tries = 0; at !== undefined && !removed && tries < MOVE_TRIES; tries++) {
    removed = await home.files.unlink(at.path)
    if (!removed) at = await relocate(home, at)
  }
  if (!removed || entry.id32 !== id.slice(0, 32)) return removed // of another program: nothing else is its
  const outside = home.at('files', id)
  if ((await home.files.stat(outside)) !== undefined) {
    const other = await listMaildir(home, entry.box === 'sent' ? 'inbox' : 'sent')
    if (!other.some(({ id32 }) => id32 === id.slice(0, 32))) await removeTree(home.files, outside)
  }
  return removed
}
