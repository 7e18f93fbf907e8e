// p2p-inbox: read what came. Lists, shows, prints, saves and marks messages of the own Maildir; touches nothing else.

import { EX, Failure, ioFailure } from '../lib/base/fail.ts'
import { printableLines } from '../lib/base/text.ts'
import { loadHash } from '../lib/crypto/suite.ts'
import { cursorsOf } from '../lib/disk/arrivals.ts'
import { loadConfig } from '../lib/disk/config.ts'
import { Conversation } from '../lib/disk/conversation.ts'
import { openHome } from '../lib/disk/home.ts'
import { describe, findMessage, openMessage, partContent, type Message } from '../lib/disk/inboxview.ts'
import { page } from '../lib/delivery/inboxlines.ts'
import { list, type Context } from '../lib/delivery/inboxlist.ts'
import { words } from '../lib/delivery/telling.ts'
import { loadKeyring } from '../lib/disk/keyring.ts'
import { removeMail, setFlags, type Box } from '../lib/disk/maildir.ts'
import { saveFile } from '../lib/disk/savefile.ts'
import { main, type Call } from '../lib/edge/cli.ts'
import { p2pInbox } from '../lib/edge/commands.ts'
import { ProgressMeter } from '../lib/edge/progress.ts'
import type { ReadPart } from '../lib/wire/mailread.ts'
import { deletedRecord, mainPart, messageRecord } from '../lib/wire/record.ts'

const BOTH: Box[] = ['inbox', 'sent']

async function open(call: Call): Promise<Context> {
  const home = await openHome({ flag: call.value('home'), env: process.env })
  const keyring = await loadKeyring(home)
  for (const { failure } of keyring.problems) call.report(failure)
  const { self } = keyring
  const nameOf = (key: string): string | undefined => keyring.byKey(key)?.name ?? (key === self.key ? self.name : undefined)
  return { call, home, keyring, view: { home, nameOf, self: self.key } }
}

/** The message that an argument means; with @N, standard error says which one that is. */
async function meant({ call, view }: Context, text: string, boxes: Box[] = ['inbox']): Promise<Message> {
  const message = await findMessage(view, text, { boxes })
  const { id = '', from, subject = '' } = message.info
  if (text.startsWith('@')) call.info(`${text} is ${id.slice(0, 8)} from ${from}: ${subject}`)
  return message
}

async function show(call: Call): Promise<void> {
  const context = await open(call)
  const found = await meant(context, call.args[0] ?? '', BOTH)
  const message = await describe(context.view, found.entry, 'text')
  if (message === undefined) throw new Failure(EX.NEGATIVE, `message ${found.info.id ?? ''} was deleted`)
  const { info } = message
  if (message.entry.box === 'inbox') info.cursor = (await cursorsOf(context.home, [message.entry])).get(message.entry.id32 ?? '')
  await (await Conversation.about(context.view, message.entry.time)).fold(info)
  await call.out.record(messageRecord(info), () => page(info))
}

async function cat(call: Call): Promise<void> {
  const context = await open(call)
  const message = await meant(context, call.args[0] ?? '', BOTH)
  await openMessage(context.view, message, async (mail) => {
    const part = mainPart(mail)
    if (call.out.terminal && part.kind === 'file' && !part.type.startsWith('text/')) {
      const id = message.info.id?.slice(0, 12) ?? ''
      throw new Failure(EX.DATA, `a file of type ${part.type} is not for a terminal`, `p2p-inbox save ${id}`)
    }
    const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
    for await (const bytes of partContent(context.home, part)) {
      if (call.signal.aborted || call.out.closed.aborted) return
      await call.out.raw(call.out.terminal ? Buffer.from(printableLines(decoder.decode(bytes, { stream: true }))) : bytes)
    }
  })
}

async function save(call: Call): Promise<void> {
  const context = await open(call)
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
  const { isArchive, unpackTree } = await import('../lib/disk/unpack.ts')
  if (!isArchive(part)) return undefined
  return unpackTree(home, directory, part.name, content(), (text) => {
    call.warn(text)
    call.exit(EX.DATA)
  })
}

async function seen(call: Call): Promise<void> {
  const context = await open(call)
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
  const { sendReceipts } = await import('../lib/delivery/reads.ts')
  const { home, keyring } = context
  await sendReceipts({ home, keyring: () => keyring, config: () => config, hash: await loadHash(process.env) })
}

/** All are found before the first goes: otherwise @2 would be another message after @1 is gone. */
async function remove(call: Call): Promise<void> {
  const context = await open(call)
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

main(p2pInbox, {
  list: async (call) => list(await open(call)),
  show,
  thread: async (call) => (await import('../lib/delivery/inboxthread.ts')).thread(await open(call)),
  cat,
  save,
  seen,
  delete: remove,
  export: async (call) => (await import('../lib/delivery/inboxexport.ts')).exportMail(await open(call)),
})
