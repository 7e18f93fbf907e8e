// A mail of the Maildir as p2p-inbox (and whoever answers a message) sees it: described by its headers or its whole
// content, opened, read part by part. Mail programs change it at any moment: what has vanished since it was listed is
// left out, and what they damaged is described by its file name alone. What a mail says was written by a peer, and is
// checked where it is parsed (lib/wire).

import { EX, Failure, isCode, Malformed } from '../base/fail.ts'
import { TEXT_MAX } from '../wire/envelope.ts'
import type { Headers } from '../wire/mailheaders.ts'
import { openSource, readHeaders, readMail, readShort, type ReadMail, type ReadPart } from '../wire/mailread.ts'
import { infoOfHeaders, infoOfRead, infoOfShort, recipientOf, TEXT_RECORD_MAX, type MessageInfo } from '../wire/record.ts'
import type { Home } from './home.ts'
import { withMail, type MailEntry } from './maildir.ts'

/** Bytes of a message that is read at once: most are much shorter. */
const SHORT = 16 * 1024
/** Bytes of an outside file read at a time. */
const BLOCK = 256 * 1024

export interface View {
  home: Home
  /** The present NAME of a contact (or oneself). */
  nameOf(key: string): string | undefined
  /** The own KEY. */
  self?: string | undefined
}

export interface Message {
  entry: MailEntry
  info: MessageInfo
}

/** How much of a message is read: `headers` leaves out text, parts and reaction; `text` is the first 64 KiB of it. */
export type Depth = 'headers' | 'parts' | 'text' | 'all'

/** What an entry says; undefined if it is gone. A damaged message is described by its file name alone. */
export async function describe(view: View, entry: MailEntry, depth: Depth): Promise<Message | undefined> {
  let whole: ReadMail | undefined
  try {
    const bytes = await view.home.files.short(entry.path, SHORT)
    if (bytes !== undefined) whole = readShort(bytes)
  } catch (error) {
    if (!isCode(error, 'ENOENT') && !(error instanceof Malformed)) throw error // looked for below
  }
  const only = whole?.parts[0]
  if (whole !== undefined && only?.held !== undefined) {
    const { headers } = whole
    const info = depth === 'headers' ? infoOfHeaders(headers) : infoOfShort(headers, only, only.held, textMax(depth))
    return described(view, entry, headers, info)
  }
  return withMail(view.home, entry, async (handle, at) => {
    try {
      const source = await openSource(handle)
      if (depth === 'headers') {
        const { headers } = await readHeaders(source)
        return described(view, at, headers, infoOfHeaders(headers))
      }
      const mail = await readMail(source)
      return described(view, at, mail.headers, await infoOfRead(mail, textMax(depth)))
    } catch (error) {
      if (!(error instanceof Malformed)) throw error
      return described(view, at, undefined, { from: 'unknown', parts: [] })
    }
  })
}

function textMax(depth: Depth): number {
  return depth === 'parts' ? 0 : depth === 'text' ? TEXT_RECORD_MAX + 1 : TEXT_MAX
}

function described(view: View, entry: MailEntry, headers: Headers | undefined, info: MessageInfo): Message {
  if (entry.box === 'sent' && headers !== undefined) Object.assign(info, sentInfo(view, headers, entry.flags))
  const name = info.key === undefined ? undefined : view.nameOf(info.key)
  if (name !== undefined) info.from = name
  info.received ??= Number(entry.time / 1000n)
  info.flags = entry.flags
  info.path = entry.path
  return { entry, info }
}

/** Who it went to and whether it got there: flag F says that it waits, T that it was given up. */
function sentInfo(view: View, headers: Headers, flags: string): Pick<MessageInfo, 'to' | 'toKey' | 'state'> {
  const { to, toKey } = recipientOf(headers)
  const state = flags.includes('F') ? 'waiting' : flags.includes('T') ? undefined : 'delivered'
  return { to: (toKey === undefined ? undefined : view.nameOf(toKey)) ?? to, toKey, state }
}

/** Runs `work` on the parsed message. Throws Failure 1 if it is gone, 65 if it is damaged. */
export async function openMessage<T>(view: View, message: Message, work: (mail: ReadMail) => Promise<T>): Promise<T> {
  const what = message.info.id ?? message.entry.base
  const done = await withMail(view.home, message.entry, async (handle) => {
    let mail: ReadMail
    try {
      mail = await readMail(await openSource(handle))
    } catch (error) {
      if (error instanceof Malformed) throw new Failure(EX.DATA, `cannot read message ${what}: ${error.message}`)
      throw error
    }
    return { value: await work(mail) }
  })
  if (done === undefined) throw new Failure(EX.NEGATIVE, `message ${what} was deleted`)
  return done.value
}

/** The exact bytes of a part, wherever they are kept. Throws Failure 66 if a file beside the Maildir is missing. */
export async function* partContent(home: Home, part: ReadPart): AsyncGenerator<Uint8Array> {
  if (part.external === undefined) return yield* part.content()
  const path = home.at(part.external)
  if ((await home.files.stat(path))?.kind !== 'file') throw new Failure(EX.NO_INPUT, `${path} is missing`)
  const handle = await home.files.open(path, 'read')
  try {
    for (let at = 0; ; at += BLOCK) {
      const bytes = await handle.read(at, BLOCK)
      if (bytes.length > 0) yield bytes
      if (bytes.length < BLOCK) return
    }
  } finally {
    await handle.close()
  }
}

/** Whether two KEYs that mails name are one: mail programs fold their case. */
export function sameKey(a: string | undefined, b: string): boolean {
  return a === b || a?.toLowerCase() === b.toLowerCase()
}
