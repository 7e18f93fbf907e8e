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
  /** The message that a reaction, an edit, a recall or a receipt is about. */
  target: string | undefined
  /** Media types of its files, in lower case. */
  media: string[]
}

/** What is to be known of a mail; undefined if it is gone. */
type Describe = (entry: MailEntry) => Promise<{ info: MessageInfo } | undefined>

const COLUMNS = 9

export interface Wanted {
  entries: MailEntry[]
  /** They are all that the box has, so that what else is in the file is of no use any more. */
  whole: boolean
  describe: Describe
  /** False for a line of the index whose digest nobody wants to know: most need not be taken apart then. */
  worth?: ((line: string) => boolean) | undefined
}

/** A line about another message: its type stands behind the name, and is neither text nor file. */
export function isSaying(line: string): boolean {
  const at = line.indexOf('\t') + 1
  return !line.startsWith('text\t', at) && !line.startsWith('file\t', at)
}

/**
 * The digests of these mails by the names of their entries, as far as they are worth it; of one that has vanished there
 * is none.
 */
export async function digestsOf(home: Home, box: Box, { entries, whole, describe, worth }: Wanted): Promise<Map<string, Digest>> {
  const path = home.at('mail.index', box)
  const { known, names, lines } = await readLines(home, path, new Set(entries.map(({ base }) => base)), worth)
  const fresh = entries.filter(({ base }) => !names.has(base))
  for (let at = 0; at < fresh.length; at += BATCH) {
    const found = await forAll(fresh.slice(at, at + BATCH), PARALLEL, async (entry) => {
      const message = await describe(entry)
      return message === undefined ? undefined : { base: entry.base, digest: digestOf(message.info) }
    })
    const added = found.filter((one) => one !== undefined)
    for (const { base, digest } of added) known.set(base, digest)
    const written = added.flatMap(({ base, digest }) => format(base, digest) ?? [])
    for (const line of written) names.set(line.slice(0, line.indexOf('\t')), line)
    await add(home, path, written)
  }
  if (whole && lines > 2 * names.size + DEAD_MAX) await rewrite(home, path, names)
  return known
}

/** What a mail that was described with its parts says. */
export function digestOf(info: MessageInfo): Digest {
  const type = typeOf(info)
  const target = { reaction: info.reply, edit: info.edit, recall: info.recall, receipt: info.receipt }[type as string]
  const media = info.parts.map((part) => part.type.toLowerCase())
  return { id: info.id, key: info.key, toKey: info.toKey, reply: info.reply, type, target, media }
}

function format(base: string, { id, key, toKey, reply, type, target, media }: Digest): string | undefined {
  const fields = [base, type, id, key, toKey, reply, target, media.join()].map((field) => field ?? '')
  if (fields.some((field) => /[\t\n]/.test(field))) return undefined // of another program: it is read each time
  const text = fields.join('\t')
  return `${text}\t${crc32(text).toString(16)}`
}

function parse(line: string): { base: string; digest: Digest } | undefined {
  const fields = line.split('\t')
  if (fields.length !== COLUMNS) return undefined
  const [base = '', type, id, key, toKey, reply, target, media = ''] = fields
  const known = { id: text(id), key: text(key), toKey: text(toKey), reply: text(reply), target: text(target) }
  return { base, digest: { ...known, type: type as MessageType, media: media === '' ? [] : media.split(',') } }
}

function text(field: string | undefined): string | undefined {
  return field === '' ? undefined : field
}

function isWhole(line: string): boolean {
  const at = line.lastIndexOf('\t')
  return at > 0 && crc32(line.slice(0, at)).toString(16) === line.slice(at + 1)
}

interface Lines {
  /** Of those worth it. */
  known: Map<string, Digest>
  /** All that are wanted and stand in the file, with their lines. */
  names: Map<string, string>
  /** How many there are in all. */
  lines: number
}

async function readLines(home: Home, path: string, wanted: Set<string>, worth: Wanted['worth']): Promise<Lines> {
  const known = new Map<string, Digest>()
  const names = new Map<string, string>()
  let lines = 0
  let all: string
  try {
    const bytes = await home.files.read(path)
    all = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8')
  } catch (error) {
    if (!isCode(error, 'ENOENT', 'EISDIR', 'EACCES')) throw error
    return { known, names, lines }
  }
  for (let at = 0; at < all.length; ) {
    const end = all.indexOf('\n', at)
    const line = all.slice(at, end < 0 ? all.length : end)
    at += line.length + 1
    if (line === '') continue
    lines++
    const tab = line.indexOf('\t')
    const name = line.slice(0, Math.max(0, tab))
    if (!wanted.has(name) || !isWhole(line)) continue
    names.set(name, line)
    const one = worth?.(line) === false ? undefined : parse(line)
    if (one !== undefined) known.set(one.base, one.digest)
  }
  return { known, names, lines }
}

async function add(home: Home, path: string, lines: string[]): Promise<void> {
  if (lines.length === 0) return
  await unlessUnwritable(async () => {
    await home.files.mkdir(home.at('mail.index'))
    await appendRecords(home.files, path, lines, false)
  })
}

async function rewrite(home: Home, path: string, names: Map<string, string>): Promise<void> {
  // Whoever adds to the old file meanwhile has to read those mails once more.
  await unlessUnwritable(() => replaceFile(home.files, home.random, path, utf8(`${[...names.values()].join('\n')}\n`)))
}

/** It can be done without: the disk may be full or read only. */
async function unlessUnwritable(work: () => Promise<unknown>): Promise<void> {
  try {
    await work()
  } catch (error) {
    if (!isCode(error, 'ENOSPC', 'EDQUOT', 'EROFS', 'EACCES', 'EPERM', 'EISDIR', 'ENOTDIR', 'EIO')) throw error
  }
}
