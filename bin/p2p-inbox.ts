// p2p-inbox: read what came. Lists, shows, prints, saves and marks messages of the own Maildir; touches nothing else.

import { EX, Failure, ioFailure } from '../lib/base/fail.ts'
import { localTime, parseTime, printable, printableLines } from '../lib/base/text.ts'
import { arrivals, cursorsOf, parseCursor, type Arrival } from '../lib/disk/arrivals.ts'
import { openHome, type Home } from '../lib/disk/home.ts'
import {
  describe,
  findMessage,
  listMessages,
  openMessage,
  partContent,
  passes,
  type Depth,
  type Filter,
  type Message,
  type View,
} from '../lib/disk/inboxview.ts'
import { words } from '../lib/delivery/telling.ts'
import { loadKeyring, type Keyring } from '../lib/disk/keyring.ts'
import { removeMail, setFlags } from '../lib/disk/maildir.ts'
import { saveFile } from '../lib/disk/savefile.ts'
import { seenEnd } from '../lib/disk/seen.ts'
import { main, type Call } from '../lib/edge/cli.ts'
import { p2pInbox } from '../lib/edge/commands.ts'
import { deletedRecord, goneRecord, mainPart, messageRecord, type MessageInfo } from '../lib/wire/record.ts'

/** Messages that a terminal shows if nothing else was asked for. */
const TERMINAL_LAST = 20

interface Context {
  call: Call
  home: Home
  keyring: Keyring
  view: View
}

async function open(call: Call): Promise<Context> {
  const home = await openHome({ flag: call.value('home'), env: process.env })
  const keyring = await loadKeyring(home)
  for (const { failure } of keyring.problems) call.report(failure)
  const { self } = keyring
  const nameOf = (key: string): string | undefined => keyring.byKey(key)?.name ?? (key === self.key ? self.name : undefined)
  return { call, home, keyring, view: { home, nameOf } }
}

async function list(call: Call): Promise<void> {
  if (call.flag('id') && call.flag('path')) throw new Failure(EX.USAGE, 'only one of --id and --path')
  const context = await open(call)
  const { filter, filtered } = readFilter(context)
  const after = call.value('after')
  const from = after === undefined ? undefined : await parseCursor(context.home, after)
  if (!call.flag('follow')) {
    if (call.out.terminal && !call.out.json && !filtered && from === undefined) filter.last = TERMINAL_LAST
    const count = from === undefined ? await listNow(context, filter) : await listAfter(context, filter, from)
    if (count === 0 && call.quiet) call.exit(EX.NEGATIVE)
    return
  }
  const start = from ?? (await seenEnd(context.home))
  if (from === undefined && filter.last !== undefined) await listNow(context, filter, start)
  const signal = AbortSignal.any([call.signal, call.out.closed])
  for await (const arrival of arrivals(context.home, start, { follow: true, signal })) {
    await tellArrival(context, filter, arrival)
  }
}

function readFilter({ call, home, keyring }: Context): { filter: Filter; filtered: boolean } {
  const time = (name: string): number | undefined => {
    const text = call.value(name)
    return text === undefined ? undefined : parseTime(text, home.clock.now())
  }
  const number = call.value('number')
  if (number !== undefined && !/^\d{1,9}$/.test(number)) throw new Failure(EX.USAGE, `bad number '${number}'`)
  const from = call.value('from')
  const filter: Filter = {
    unseen: call.flag('new'),
    key: from === undefined ? undefined : keyring.resolveAny(from).key,
    since: time('since'),
    until: time('until'),
    last: number === undefined ? undefined : Number(number),
  }
  return { filter, filtered: Object.values(filter).some((value) => value !== undefined && value !== false) }
}

/** How much of each message the output needs. */
function depthOf(call: Call): Depth {
  if (call.flag('id') || call.flag('path')) return 'headers'
  return call.out.json ? 'text' : 'parts'
}

async function listNow({ call, home, view }: Context, filter: Filter, before = Infinity): Promise<number> {
  let count = 0
  let batch: Message[] = []
  const tell = async (): Promise<void> => {
    const cursors = call.out.json ? await cursorsOf(home, batch.map(({ entry }) => entry)) : new Map<string, number>()
    for (const { entry, info } of batch) {
      info.cursor = cursors.get(entry.id32 ?? '')
      if ((info.cursor ?? 0) > before) continue
      count += 1
      await tellMessage(call, info)
    }
    batch = []
  }
  for await (const message of listMessages(view, filter, depthOf(call))) {
    batch.push(message)
    if (batch.length >= 1000) await tell()
    if (call.signal.aborted || call.out.closed.aborted) return count
  }
  await tell()
  return count
}

/** With -n the first so many, so that the cursor of the last one leads on to the next page. */
async function listAfter(context: Context, filter: Filter, from: number): Promise<number> {
  const signal = AbortSignal.any([context.call.signal, context.call.out.closed])
  const { last: most = Infinity } = filter
  let count = 0
  if (most === 0) return count
  for await (const arrival of arrivals(context.home, from, { follow: false, signal })) {
    count += await tellArrival(context, filter, arrival)
    if (count >= most) break
  }
  return count
}

function passesArrival(filter: Filter, { seen, entry }: Arrival): boolean {
  if (filter.key !== undefined && filter.key !== seen.key) return false
  if (entry !== undefined) return passes(entry, filter)
  const ms = Number(seen.time / 1000n)
  return filter.unseen !== true && ms >= (filter.since ?? -Infinity) && ms < (filter.until ?? Infinity)
}

async function tellArrival({ call, view }: Context, filter: Filter, arrival: Arrival): Promise<number> {
  if (!passesArrival(filter, arrival)) return 0
  const { seen, cursor } = arrival
  const message = arrival.entry === undefined ? undefined : await describe(view, arrival.entry, depthOf(call))
  if (message !== undefined) {
    if (filter.key !== undefined && message.info.key === undefined) return 0 // a notice stands under the own KEY
    message.info.cursor = cursor
    await tellMessage(call, message.info)
    return 1
  }
  if (filter.unseen === true) return 0
  const from = view.nameOf(seen.key) ?? seen.key
  if (call.flag('path')) return 0
  if (call.flag('id')) await call.out.datum(seen.id)
  else {
    const record = goneRecord({ id: seen.id, from, key: seen.key, received: Number(seen.time / 1000n), cursor })
    await call.out.record(record, () => `${localTime(Number(seen.time / 1000n))}  ${seen.id.slice(0, 8)}  ${from}  (deleted)`)
  }
  return 1
}

async function tellMessage(call: Call, info: MessageInfo): Promise<void> {
  if (call.flag('id')) {
    if (info.id !== undefined) await call.out.datum(info.id)
  } else if (call.flag('path')) await call.out.datum(info.path ?? '')
  else await call.out.record(messageRecord(info), () => line(info))
}

/** `2026-11-23 06:10  N  3f9a2c1b  bob  see you at 8?  [2 files]` */
function line(info: MessageInfo): string {
  const files = info.parts.length === 0 ? '' : `  [${info.parts.length === 1 ? 'file' : `${info.parts.length} files`}]`
  const fresh = info.flags?.includes('S') === true ? ' ' : 'N'
  const start = [localTime(info.received), fresh, (info.id ?? '').slice(0, 8).padEnd(8), printable(info.from).padEnd(12)]
  return `${start.join('  ')}  ${printable(info.subject ?? '')}${files}`.trimEnd()
}

/** The message that an argument means; with @N, standard error says which one that is. */
async function meant({ call, view }: Context, text: string): Promise<Message> {
  const message = await findMessage(view, text)
  const { id = '', from, subject = '' } = message.info
  if (text.startsWith('@')) call.info(`${text} is ${id.slice(0, 8)} from ${from}: ${subject}`)
  return message
}

async function show(call: Call): Promise<void> {
  const context = await open(call)
  const found = await meant(context, call.args[0] ?? '')
  const message = await describe(context.view, found.entry, 'text')
  if (message === undefined) throw new Failure(EX.NEGATIVE, `message ${found.info.id ?? ''} was deleted`)
  const { info } = message
  info.cursor = (await cursorsOf(context.home, [message.entry])).get(message.entry.id32 ?? '')
  await call.out.record(messageRecord(info), () => page(info))
}

function page(info: MessageInfo): string {
  const rows: [string, string | undefined][] = [
    ['From', `${info.from}${info.verified === true ? ' (verified)' : info.verified === false ? ' (not verified)' : ''}`],
    ['Received', localTime(info.received)],
    ['Sent', localTime(info.created) === localTime(info.received) ? undefined : localTime(info.created)],
    ['Subject', info.subject],
    ['Id', info.id],
    ['Reply to', info.reply],
    ['Reaction', info.reaction],
    ...info.parts.map(({ type, name, size }): [string, string] => ['File', `${name ?? '(no name)'}  ${type}  ${size} bytes`]),
  ]
  const head = rows.flatMap(([name, value]) => (value === undefined ? [] : [`${`${name}:`.padEnd(10)}${printable(value)}`]))
  const text = info.text === undefined ? '' : printableLines(new TextDecoder().decode(info.text)).replace(/\n$/, '')
  return [...head, '', text].join('\n').trimEnd()
}

async function cat(call: Call): Promise<void> {
  const context = await open(call)
  const message = await meant(context, call.args[0] ?? '')
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
  const message = await meant(context, call.args[0] ?? '')
  const directory = call.value('output') ?? '.'
  await files.mkdir(directory).catch((error: unknown) => {
    throw new Failure(EX.CANNOT_CREATE, ioFailure(error, `cannot create ${directory}`).message)
  })
  if ((await files.stat(`${directory}/.`))?.kind !== 'dir') throw new Failure(EX.CANNOT_CREATE, `${directory} is not a directory`)
  await openMessage(context.view, message, async (mail) => {
    const parts = mail.parts.filter(({ kind }) => kind === 'file')
    if (parts.length === 0) throw new Failure(EX.NEGATIVE, `no files in message ${message.info.id ?? ''}`)
    for (const part of parts) {
      if (call.signal.aborted) return
      try {
        await call.out.datum(await saveFile(files, directory, part.name, () => partContent(context.home, part)))
      } catch (error) {
        call.report(error)
      }
    }
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

main(p2pInbox, { list, show, cat, save, seen, delete: remove })
