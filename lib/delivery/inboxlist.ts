// p2p-inbox list: which messages, in which order, and how each is told. A list of what is there goes by the Maildir, one
// after a cursor by the log of deliveries. Reactions, edits and recalls are told with the message that they are about;
// for people they are no lines of their own where that message is in the list.

import { EX, Failure } from '../base/fail.ts'
import { localTime, parseTime } from '../base/text.ts'
import { arrivals, cursorsOf, parseCursor, type Arrival } from '../disk/arrivals.ts'
import { Conversation } from '../disk/conversation.ts'
import { openHome, type Home } from '../disk/home.ts'
import { accepts, messagePieces, passes, rollFor, type Filter } from '../disk/inboxfilter.ts'
import { findMessage } from '../disk/inboxlookup.ts'
import { describe, type Depth, type Message, type View } from '../disk/inboxview.ts'
import { loadKeyring, type Keyring } from '../disk/keyring.ts'
import { seenEnd } from '../disk/seenlog.ts'
import type { Call } from '../edge/cli.ts'
import { ndjson } from '../edge/output.ts'
import { goneRecord, messageRecord, MESSAGE_TYPES, type MessageInfo } from '../wire/record.ts'
import { listLine } from './inboxlines.ts'

/** Messages that a terminal shows if nothing else was asked for. */
const TERMINAL_LAST = 20
/** Messages told together. */
const BATCH = 1000

export interface Context {
  call: Call
  home: Home
  keyring: Keyring
  view: View
}

/** Says which contacts are damaged. */
export async function openInbox(call: Call): Promise<Context> {
  const home = await openHome({ flag: call.value('home'), env: process.env })
  const keyring = await loadKeyring(home)
  for (const { failure } of keyring.problems) call.report(failure)
  const { self } = keyring
  const nameOf = (key: string): string | undefined => keyring.byKey(key)?.name ?? (key === self.key ? self.name : undefined)
  return { call, home, keyring, view: { home, nameOf, self: self.key } }
}

/** Tells what is there, or what comes after a cursor; with --follow until the signal says so. */
export async function list(context: Context): Promise<void> {
  const { call } = context
  checkUsage(call)
  const { filter, filtered } = await readFilter(context)
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

function checkUsage(call: Call): void {
  if (call.flag('id') && call.flag('path')) throw new Failure(EX.USAGE, 'only one of --id and --path')
  if (!isSent(call)) return
  for (const other of ['from', 'new', 'after', 'follow']) {
    if (call.value(other) !== undefined) throw new Failure(EX.USAGE, `--${other} is about what came: not with --sent and --to`)
  }
}

function isSent(call: Call): boolean {
  return call.flag('sent') || call.value('to') !== undefined
}

async function readFilter({ call, home, keyring, view }: Context): Promise<{ filter: Filter; filtered: boolean }> {
  const time = (name: string): number | undefined => {
    const text = call.value(name)
    return text === undefined ? undefined : parseTime(text, home.clock.now())
  }
  const number = call.value('number')
  if (number !== undefined && !/^\d{1,9}$/.test(number)) throw new Failure(EX.USAGE, `bad number '${number}'`)
  const who = call.value('from') ?? call.value('to')
  const grep = call.value('grep')
  const thread = call.value('thread')
  const types = call.values('type').map(checkType)
  const filter: Filter = {
    unseen: call.flag('new'),
    key: who === undefined ? undefined : keyring.resolveAny(who).key,
    since: time('since'),
    until: time('until'),
    last: number === undefined ? undefined : Number(number),
    types: types.length === 0 ? undefined : types,
    grep: grep === undefined ? undefined : pattern(grep),
    only: thread === undefined ? undefined : await threadOf(view, thread),
  }
  return { filter, filtered: Object.values(filter).some((value) => value !== undefined && value !== false) }
}

function checkType(text: string): string {
  if ((MESSAGE_TYPES as readonly string[]).includes(text) || /^[a-z]+(?:\/[\w.+*-]+)?$/i.test(text)) return text
  throw new Failure(EX.USAGE, `bad type '${text}': one of ${MESSAGE_TYPES.join(' ')}, or a media type such as image/*`)
}

/** A regular expression of ECMAScript; small letters stand for capital ones too unless there is a capital in it. */
export function pattern(text: string): RegExp {
  try {
    return new RegExp(text, /\p{Lu}/u.test(text.replace(/\\./g, '')) ? 'mu' : 'imu')
  } catch (error) {
    throw new Failure(EX.USAGE, `bad pattern '${text}': ${error instanceof Error ? error.message.replace(/^.*\/[a-z]*: /, '').toLowerCase() : ''}`)
  }
}

/** The entries of the thread in which this message is, and of what is said about them. */
async function threadOf(view: View, text: string): Promise<Set<string>> {
  const { id = '' } = (await findMessage(view, text, { boxes: ['inbox', 'sent'] })).info
  const all = await Conversation.read(view)
  const thread = all.thread(id).map(({ digest }) => digest.id ?? '')
  const ids = new Set(thread.flatMap((each) => [each, ...all.idsAbout(each)]))
  const bases = new Set<string>()
  // Of a note to oneself there are two copies.
  for (let row = 0; row < all.count; row++) if (ids.has(all.table.facts(row).id ?? '')) bases.add(all.entry(row).base)
  return bases
}

/** How much of each message the output needs. */
function depthOf(call: Call): Depth {
  if (call.flag('id') || call.flag('path')) return 'headers'
  return call.out.json ? 'text' : 'parts'
}

async function listNow(context: Context, filter: Filter, before = Infinity): Promise<number> {
  const { call, home, view } = context
  const box = isSent(call) ? 'sent' : 'inbox'
  let count = 0
  let batch: Message[] = []
  const depth = depthOf(call)
  let all: Conversation | undefined
  const hidden = new Set<string>()
  const roll = await rollFor(view, filter, box)
  const tell = async (): Promise<void> => {
    const cursors = call.out.json ? await cursorsOf(home, batch.map(({ entry }) => entry)) : new Map<string, number>()
    const told = batch.filter(({ entry, info }) => {
      info.cursor = box === 'sent' ? undefined : cursors.get(entry.id32 ?? '')
      return (info.cursor ?? 0) <= before
    })
    const [first] = told
    if (depth !== 'headers' && first !== undefined) all ??= await Conversation.about(view, first.entry.time, roll, batch)
    batch = []
    for (const { info } of told) {
      if (all?.isSpokenOf(info.id) !== true) continue
      await all.fold(info)
      if (!call.out.json && filter.types === undefined) for (const id of all.idsAbout(info.id ?? '')) hidden.add(id)
    }
    count += told.length
    await tellAll(call, told.map(({ info }) => info).filter(({ id = '' }) => !hidden.has(id)))
  }
  for await (const piece of messagePieces(view, filter, depth, box, roll)) {
    for (const message of piece) {
      // Nobody reads receipts one by one: they are told with what was read.
      if (!call.out.json && depth !== 'headers' && filter.types === undefined && message.info.receipt !== undefined) continue
      batch.push(message)
    }
    if (batch.length >= BATCH) await tell()
    if (call.over) return count
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

async function passesArrival(view: View, filter: Filter, { seen, entry }: Arrival): Promise<boolean> {
  if (filter.key !== undefined && filter.key !== seen.key) return false
  if (entry !== undefined) return passes(entry, filter) && (await accepts(view, entry, filter))
  if (filter.only !== undefined || filter.types !== undefined || filter.grep !== undefined) return false
  const ms = Number(seen.time / 1000n)
  return filter.unseen !== true && ms >= (filter.since ?? -Infinity) && ms < (filter.until ?? Infinity)
}

async function tellArrival({ call, view }: Context, filter: Filter, arrival: Arrival): Promise<number> {
  if (!(await passesArrival(view, filter, arrival))) return 0
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

function tellMessage(call: Call, info: MessageInfo): Promise<void> {
  return tellAll(call, [info])
}

async function tellAll(call: Call, all: MessageInfo[]): Promise<void> {
  if (call.flag('id') || call.flag('path')) {
    for (const { id, path = '' } of all) {
      if (call.flag('path')) await call.out.datum(path)
      else if (id !== undefined) await call.out.datum(id)
    }
    return
  }
  await call.out.records(lines(all))
}

function* lines(all: MessageInfo[]): Generator<{ json: () => string; human: () => string }> {
  for (const info of all) yield { json: () => ndjson(messageRecord(info)), human: () => listLine(info) }
}
