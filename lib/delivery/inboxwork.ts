// The verbs of p2p-inbox about messages that are named: shown, printed, saved, marked, deleted.

import { EX, Failure, ioFailure } from '../base/fail.ts'
import { printableLines } from '../base/text.ts'
import { loadHash } from '../crypto/suite.ts'
import { cursorsOf } from '../disk/arrivals.ts'
import { loadConfig } from '../disk/config.ts'
import { Conversation } from '../disk/conversation.ts'
import { findMessage } from '../disk/inboxlookup.ts'
import { describe, openMessage, partContent, type Message } from '../disk/inboxview.ts'
import { removeMail, setFlags, type Box } from '../disk/maildir.ts'
import { saveFile } from '../disk/savefile.ts'
import type { Call } from '../edge/cli.ts'
import { ProgressMeter } from '../edge/progress.ts'
import type { ReadPart } from '../wire/mailread.ts'
import { deletedRecord, mainPart, messageRecord } from '../wire/record.ts'
import { page } from './inboxlines.ts'
import { openInbox, type Context } from './inboxlist.ts'
import { words } from './telling.ts'

const BOTH: Box[] = ['inbox', 'sent']

/** The message that an argument means; with @N, standard error says which one that is. */
async function meant({ call, view }: Context, text: string, boxes: Box[] = ['inbox']): Promise<Message> {
  const message = await findMessage(view, text, { boxes })
  const { id = '', from, subject = '' } = message.info
  if (text.startsWith('@')) call.info(`${text} is ${id.slice(0, 8)} from ${from}: ${subject}`)
  return message
}

export async function show(call: Call): Promise<void> {
  const context = await openInbox(call)
  const found = await meant(context, call.args[0] ?? '', BOTH)
  const message = await describe(context.view, found.entry, 'text')
  if (message === undefined) throw new Failure(EX.NEGATIVE, `message ${found.info.id ?? ''} was deleted`)
  const { info } = message
  if (message.entry.box === 'inbox') info.cursor = (await cursorsOf(context.home, [message.entry])).get(message.entry.id32 ?? '')
  await (await Conversation.about(context.view, message.entry.time)).fold(info)
  await call.out.record(messageRecord(info), () => page(info))
}

export async function cat(call: Call): Promise<void> {
  const context = await openInbox(call)
  const message = await meant(context, call.args[0] ?? '', BOTH)
  await openMessage(context.view, message, async (mail) => {
    const part = mainPart(mail)
    if (call.out.terminal && part.kind === 'file' && !part.type.startsWith('text/')) {
      const id = message.info.id?.slice(0, 12) ?? ''
      throw new Failure(EX.DATA, `a file of type ${part.type} is not for a terminal`, `p2p-inbox save ${id}`)
    }
    const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
    for await (const bytes of partContent(context.home, part)) {
      if (call.over) return
      await call.out.raw(call.out.terminal ? Buffer.from(printableLines(decoder.decode(bytes, { stream: true }))) : bytes)
    }
  })
}

export async function save(call: Call): Promise<void> {
  const context = await openInbox(call)
  const { files } = context.home
  const message = await meant(context, call.args[0] ?? '', BOTH)
  const directory = call.value('output') ?? '.'
  await files.mkdir(directory).catch((error: unknown) => {
    throw new Failure(EX.CANNOT_CREATE, ioFailure(error, `cannot create ${directory}`).message)
  })
  if ((await files.stat(`${directory}/.`))?.kind !== 'dir') throw new Failure(EX.CANNOT_CREATE, `${directory} is not a directory`)
  await openMessage(context.view, message, async (mail) => {
    const parts = mail.parts.filter(({ kind }) => kind === 'file')
    if (parts.length === 0) throw new Failure(EX.NEGATIVE, `no files in message ${message.info.id ?? ''}`)
    const meter = new ProgressMeter({ clock: context.home.clock, out: call.out, records: false, line: !call.quiet })
    const { id = '', from: name, key = '' } = message.info
    const direction = message.entry.box === 'inbox' ? 'in' : 'out'
    for (const part of parts) {
      if (call.signal.aborted) return
      const content = async function* (): AsyncGenerator<Uint8Array> {
        let done = 0
        for await (const bytes of partContent(context.home, part)) {
          yield bytes
          done += bytes.length
          meter.note({ id, name, key, direction, done, size: part.size })
        }
      }
      try {
        const saved = call.flag('unpack') ? await unpacked(context, directory, part, content) : undefined
        await call.out.datum(saved ?? (await saveFile(files, directory, part.name, content)))
      } catch (error) {
        call.report(error)
      } finally {
        await meter.end()
      }
    }
  })
}

/** The path of the directory that an archive has become; undefined for a part that is none. */
async function unpacked(
  { call, home }: Context,
  directory: string,
  part: ReadPart,
  content: () => AsyncIterable<Uint8Array>,
): Promise<string | undefined> {
  const { isArchive, unpackTree } = await import('../disk/unpack.ts')
  if (!isArchive(part)) return undefined
  return unpackTree(home, directory, part.name, content(), (text) => {
    call.warn(text)
    call.exit(EX.DATA)
  })
}

export async function seen(call: Call): Promise<void> {
  const context = await openInbox(call)
  for (const text of call.args) {
    try {
      const message = await meant(context, text)
      const now = await setFlags(context.home, message.entry, { add: 'S' })
      if (now === undefined) throw new Failure(EX.NEGATIVE, `message ${text} was deleted`)
    } catch (error) {
      call.report(error)
    }
  }
  const config = await loadConfig(context.home, process.env)
  if (!config.wantsReceipts) return
  const { sendReceipts } = await import('./reads.ts')
  const { home, keyring } = context
  await sendReceipts({ home, keyring: () => keyring, config: () => config, hash: await loadHash(process.env) })
}

/** All are found before the first goes: otherwise @2 would be another message after @1 is gone. */
export async function remove(call: Call): Promise<void> {
  const context = await openInbox(call)
  const found: Message[] = []
  for (const text of call.args) {
    try {
      found.push(await meant(context, text))
    } catch (error) {
      call.report(error)
    }
  }
  for (const { entry, info } of found) {
    const { id, from, key } = info
    if (!(await removeMail(context.home, entry, id ?? ''))) continue // by a mail program meanwhile, or named twice
    await call.out.record(deletedRecord({ id, from, key }), () => words(from, 'deleted', id ?? ''))
  }
}
