// sent/: the sender's own copies, one per recipient, written when a message is accepted: durable before p2p-send says
// so. Flag F ("flagged" to mail programs) means not delivered yet and goes with the recipient's ACK. The queue never
// reads these copies: a mail program may do with them what it likes.

import { collect, hex } from '../base/bytes.ts'
import { isCode } from '../base/fail.ts'
import { composeMail, externalPath, hasText, isExternal, mailFromHead, type MailHead, type Party } from '../wire/mail.ts'
import { createFiles, type NewFile } from './durable.ts'
import type { Home } from './home.ts'
import { listMaildir, mailName, removeMail, setFlags, writeMail, writeNew, type MailEntry } from './maildir.ts'

/** Not delivered yet (F), and seen by its author (S). */
const UNDELIVERED = 'FS'

export interface SentPart {
  /** The bytes of the part; may be called more than once. */
  content(): AsyncIterable<Uint8Array>
  /** Makes a hard link to a durable file that holds just this part, if there is one. */
  link?: ((path: string) => Promise<void>) | undefined
}

/** A copy that is not yet visible. */
export interface PreparedCopy {
  prepared: string
  path: string
  /** A small one is still to be written, with others: see createFiles(). Without, it is durable. */
  file?: NewFile
  /** Writes it once more, durably. */
  again: () => Promise<void>
}

export interface SentCopy {
  contact: Party
  head: MailHead
  /** The whole body is in memory. */
  small?: boolean
  /** Random, as in MailFields; drawn without. */
  boundary?: string
  /** As in the head. */
  parts: SentPart[]
}

/**
 * One copy in sent/tmp/, not yet visible: the queue makes it durable before the message becomes final, so that a full
 * disk is known in time. Parts over 10 MiB become files/ID/N.
 */
export async function prepareSent(
  home: Home,
  self: Party,
  copy: SentCopy,
  options: { chatThreads?: boolean | undefined; references?: string[] | undefined } = {},
): Promise<PreparedCopy> {
  const { contact, head, parts, small = false, boundary = hex(home.random.bytes(16)) } = copy
  const mail = mailFromHead(head, {
    from: self,
    to: contact,
    other: contact.key,
    chatThreads: options.chatThreads,
    references: options.references,
    boundary,
    text: hasText(head) ? await collect(partAt(parts, 0).content()) : undefined,
    content: (index) => partAt(parts, index).content(),
  })
  const prepared = preparedPath(home, head)
  const path = home.at('sent', 'cur', `${mailName(head.created, head.id)}:2,${UNDELIVERED}`)
  if (small) {
    const bytes = await collect(composeMail(mail))
    const file = { path: prepared, bytes, mtime: mail.created }
    return { prepared, path, file, again: () => createFiles(home.files, [file]) }
  }
  const again = async (): Promise<void> => {
    await writeMail(home.files, prepared, mail)
    await home.files.utimes(prepared, mail.created)
    // By what a dead one left in sent/tmp the sweep knows its files: that must be there as long as they are.
    if (head.header.parts.some(isExternal)) await home.files.syncDir(home.at('sent', 'tmp'))
    await keepLargeParts(home, head, parts)
  }
  await again()
  return { prepared, path, again }
}

/** Where the copy of a message waits until the message is accepted. */
export function preparedPath(home: Home, { created, id }: { created: bigint; id: string }): string {
  return home.at('sent', 'tmp', mailName(created, id))
}

/**
 * Makes prepared copies visible in sent/cur/, durably; the folder is synced once for all. One that is not there was made
 * visible by whoever delivered the message meanwhile, or a sweep after the clock was set took it for old: that is
 * written again.
 */
export async function publishSent(home: Home, copies: PreparedCopy[]): Promise<void> {
  const missing: PreparedCopy[] = []
  for (const copy of copies) if (!(await renamed(home, copy.prepared, copy.path))) missing.push(copy)
  if (missing.length > 0) {
    const visible = new Set((await listMaildir(home, 'sent')).map(({ base }) => home.at('sent', 'tmp', base)))
    for (const { prepared, path, again } of missing.filter((copy) => !visible.has(copy.prepared))) {
      await again()
      await home.files.rename(prepared, path)
    }
  }
  if (copies.length > 0) await home.files.syncDir(home.at('sent', 'cur'))
}

function partAt(parts: SentPart[], index: number): SentPart {
  const part = parts[index]
  if (part === undefined) throw new Error(`no part ${index}`)
  return part
}

async function keepLargeParts(home: Home, head: MailHead, parts: SentPart[]): Promise<void> {
  const large = head.header.parts.flatMap((part, index) => (isExternal(part) ? [index] : []))
  if (large.length === 0) return
  const directory = home.at('files', head.id)
  await home.files.mkdir(directory)
  for (const index of large) {
    const path = home.at(externalPath(head.id, index))
    const part = partAt(parts, index)
    try {
      if (part.link !== undefined) await part.link(path)
      else await writeNew(home.files, path, part.content())
    } catch (error) {
      if (!isCode(error, 'EEXIST')) throw error // a message to oneself: the same bytes under the same id
    }
  }
  await home.files.syncDir(directory)
  await home.files.syncDir(home.at('files'))
}

/**
 * These messages left the queue undelivered: their copies go to the trash (flag T, for a mail program to empty), or away
 * altogether where another message has taken their place.
 */
export async function withdrawSent(
  home: Home,
  messages: { id: string; created: bigint }[],
  to: 'trash' | 'nothing',
): Promise<void> {
  if (messages.length === 0) return
  const copies = new Map((await listMaildir(home, 'sent')).map((entry) => [entry.base, entry]))
  for (const { id, created } of messages) {
    const copy = copies.get(mailName(created, id))
    if (copy?.flags.includes('F') !== true) continue
    if (to === 'trash') await setFlags(home, copy, { remove: 'F', add: 'T' })
    else await removeMail(home, copy, id)
  }
  await home.files.syncDir(home.at('sent', 'cur'))
}

/**
 * The recipients have these messages: flag F goes from their copies, durably, one fsync for all. A copy that its writer
 * did not live to publish is published now.
 */
export async function markDelivered(home: Home, messages: { id: string; created: bigint }[]): Promise<void> {
  let all: Map<string, MailEntry> | undefined
  let changed = false
  for (const { id, created } of messages) {
    const name = mailName(created, id)
    const path = home.at('sent', 'cur', `${name}:2,S`)
    const published = home.at('sent', 'cur', `${name}:2,${UNDELIVERED}`)
    if ((await renamed(home, published, path)) || (await renamed(home, preparedPath(home, { created, id }), path))) {
      changed = true
      continue
    }
    // A mail program has been at it, or it was deleted.
    all ??= new Map((await listMaildir(home, 'sent')).map((entry) => [entry.base, entry]))
    const entry = all.get(name)
    if (entry === undefined) continue
    if (entry.flags.includes('F')) await setFlags(home, entry, { remove: 'F' })
    changed = true // whoever took it off may have died before the fsync
  }
  if (changed) await home.files.syncDir(home.at('sent', 'cur'))
}

/** False if there was nothing to rename. */
async function renamed(home: Home, from: string, to: string): Promise<boolean> {
  try {
    await home.files.rename(from, to)
    return true
  } catch (error) {
    if (isCode(error, 'ENOENT')) return false
    throw error
  }
}
