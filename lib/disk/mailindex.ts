// What of each mail says who wrote it and which other one it is about: kept in mail.index/ so that a look at 100,000 of
// them opens only those that are shown. Derived, and never trusted: each line has a sum, what is shown is read from the
// mail itself, what is missing is read and added. Without it, or on a full disk, everything takes longer, that is all.

import { utf8 } from '../base/bytes.ts'
import { crc32 } from '../base/crc32.ts'
import { isCode } from '../base/fail.ts'
import { forAll } from '../base/parallel.ts'
import { typeOf, type MessageInfo, type MessageType } from '../wire/record.ts'
import { appendRecords, replaceFile } from './durable.ts'
import type { Home } from './home.ts'
import type { Box, MailEntry } from './maildir.ts'

/** Mails opened at once. */
const PARALLEL = 16
/** Lines of mails that are gone, beside as many as there are mails, before the file is written anew. */
const DEAD_MAX = 1000
/** Mails read between two additions to the file: what an interrupted call has read is not read again. */
const BATCH = 5000

export interface Digest {
  /** 64 hex digits; like all below undefined where the mail does not say it. */
  id: string | undefined
  /** KEY of who wrote it, and in sent/ of who it went to. */
  key: string | undefined
  toKey: string | undefined
  /** The message that it answers. */
  reply: string | undefined
  type: MessageType
  /** The message that a reaction, an edit or a recall is about. */
  target: string | undefined
  /** Media types of its files, in lower case. */
  media: string[]
}

/** What is to be known of a mail; undefined if it is gone. */
type Describe = (entry: MailEntry) => Promise<{ info: MessageInfo } | undefined>

const COLUMNS = 9

/**
 * The digests of these mails by the names of their entries; of one that has vanished there is none. `whole`: they are
 * all that the box has, so that what else is in the file is of no use any more.
 */
export async function digestsOf(
  home: Home,
  box: Box,
  entries: MailEntry[],
  whole: boolean,
  describe: Describe,
): Promise<Map<string, Digest>> {
  const path = home.at('mail.index', box)
  const { known, lines } = await readLines(home, path, new Set(entries.map(({ base }) => base)))
  const fresh = entries.filter(({ base }) => !known.has(base))
  for (let at = 0; at < fresh.length; at += BATCH) {
    const found = await forAll(fresh.slice(at, at + BATCH), PARALLEL, async (entry) => {
      const message = await describe(entry)
      return message === undefined ? undefined : { base: entry.base, digest: digestOf(message.info) }
    })
    const added = found.filter((one) => one !== undefined)
    for (const { base, digest } of added) known.set(base, digest)
    await add(home, path, added.flatMap(({ base, digest }) => format(base, digest) ?? []))
  }
  if (whole && lines - known.size > known.size + DEAD_MAX) await rewrite(home, path, known)
  return known
}

/** What a mail that was described with its parts says. */
export function digestOf(info: MessageInfo): Digest {
  const type = typeOf(info)
  const target = type === 'reaction' ? info.reply : type === 'edit' ? info.edit : type === 'recall' ? info.recall : undefined
  const media = info.parts.map((part) => part.type.toLowerCase())
  return { id: info.id, key: info.key, toKey: info.toKey, reply: info.reply, type, target, media }
}

function format(base: string, { id, key, toKey, reply, type, target, media }: Digest): string | undefined {
  const fields = [base, id, key, toKey, reply, type, target, media.join()].map((field) => field ?? '')
  if (fields.some((field) => /[\t\n]/.test(field))) return undefined // of another program: it is read each time
  const text = fields.join('\t')
  return `${text}\t${crc32(text).toString(16)}`
}

function parse(line: string): { base: string; digest: Digest } | undefined {
  const fields = line.split('\t')
  if (fields.length !== COLUMNS) return undefined
  const [base = '', id, key, toKey, reply, type, target, media = '', sum = ''] = fields
  if (crc32(line.slice(0, line.length - sum.length - 1)).toString(16) !== sum) return undefined
  const known = { id: text(id), key: text(key), toKey: text(toKey), reply: text(reply), target: text(target) }
  return { base, digest: { ...known, type: type as MessageType, media: media === '' ? [] : media.split(',') } }
}

function text(field: string | undefined): string | undefined {
  return field === '' ? undefined : field
}

async function readLines(home: Home, path: string, wanted: Set<string>): Promise<{ known: Map<string, Digest>; lines: number }> {
  const known = new Map<string, Digest>()
  let lines = 0
  let all: string
  try {
    all = Buffer.from(await home.files.read(path)).toString('utf8')
  } catch (error) {
    if (!isCode(error, 'ENOENT', 'EISDIR', 'EACCES')) throw error
    return { known, lines }
  }
  for (let at = 0; at < all.length; ) {
    const end = all.indexOf('\n', at)
    const line = all.slice(at, end < 0 ? all.length : end)
    at += line.length + 1
    if (line === '') continue
    lines++
    const tab = line.indexOf('\t')
    if (!wanted.has(line.slice(0, Math.max(0, tab)))) continue
    const one = parse(line)
    if (one !== undefined) known.set(one.base, one.digest)
  }
  return { known, lines }
}

async function add(home: Home, path: string, lines: string[]): Promise<void> {
  if (lines.length === 0) return
  await unlessUnwritable(async () => {
    await home.files.mkdir(home.at('mail.index'))
    await appendRecords(home.files, path, lines, false)
  })
}

async function rewrite(home: Home, path: string, known: Map<string, Digest>): Promise<void> {
  const lines = [...known].flatMap(([base, digest]) => format(base, digest) ?? [])
  // Whoever adds to the old file meanwhile has to read those mails once more.
  await unlessUnwritable(() => replaceFile(home.files, home.random, path, utf8(`${lines.join('\n')}\n`)))
}

/** It can be done without: the disk may be full or read only. */
async function unlessUnwritable(work: () => Promise<unknown>): Promise<void> {
  try {
    await work()
  } catch (error) {
    if (!isCode(error, 'ENOSPC', 'EDQUOT', 'EROFS', 'EACCES', 'EPERM', 'EISDIR', 'ENOTDIR', 'EIO')) throw error
  }
}
