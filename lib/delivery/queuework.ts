// The verbs of p2p-queue that change something, or tell more than its list. Every step is one that may be repeated.

import { EX, Failure } from '../base/fail.ts'
import { localTime, parseDuration, printable, printableLines } from '../base/text.ts'
import { isoTime } from '../base/utc.ts'
import { loadHash, loadSuite } from '../crypto/suite.ts'
import { loadConfig } from '../disk/config.ts'
import { checkSendable, isWelcome } from '../disk/contact.ts'
import { manyThreads } from '../disk/files.ts'
import * as queue from '../disk/queue.ts'
import { STATES, type Queued, type QueueState } from '../disk/queued.ts'
import { readLog, type LogEvent } from '../disk/queuelog.ts'
import { describe, keys, names } from '../disk/queueread.ts'
import { forgetOldKey } from '../disk/rotation.ts'
import { sweep } from '../disk/sweep.ts'
import type { Call } from '../edge/cli.ts'
import { ProgressMeter } from '../edge/progress.ts'
import type { Head } from '../wire/envelope.ts'
import { droppedRecord } from '../wire/outrecord.ts'
import type { Outcome } from './desk.ts'
import { flushAll } from './flush.ts'
import { nameOf, openDesk, PAGE, told, type Desk } from './queuelist.ts'
import { countQueue, eventsOf, findOne, headOf } from './queueview.ts'
import { isRefusal, tellOutcomes, words } from './telling.ts'

export async function show(call: Call): Promise<void> {
  const desk = await openDesk(call)
  const queued = await findOne(desk.home, call.args[0] as string)
  const head = await headOf(desk.home, desk.hash, queued)
  const log = await readLog(desk.home, queued.key)
  const events = await eventsOf(desk.home, queued)
  await call.out.records([told(desk, queued, head?.header.subject, log, {
    ...(head !== undefined && { parts: head.header.parts }),
    ...(head?.header.reply !== undefined && { reply: head.header.reply }),
    log: events.map(({ at, event, ...rest }) => ({ at: isoTime(at), event, ...timesOf(rest) })),
  })])
  if (!call.out.json) await showMore(call, queued, head, events)
}

function timesOf(rest: object): object {
  const { next, elapsed, id: _, ...others } = rest as { next?: number; elapsed?: number; id?: string }
  return {
    ...others,
    ...(next !== undefined && { next: isoTime(next) }),
    ...(elapsed !== undefined && { elapsed: elapsed / 1000 }),
  }
}

async function showMore(call: Call, queued: Queued, head: Head | undefined, events: (LogEvent & { at: number })[]): Promise<void> {
  const rows = [`id       ${queued.id}`, `size     ${queued.size}`]
  if (head === undefined) rows.push('damaged on disk: it cannot be sent')
  for (const { type, name, size } of head?.header.parts ?? []) rows.push(`part     ${type}  ${size}  ${name ?? ''}`)
  if (queued.opts.expires !== undefined) rows.push(`expires  ${localTime(queued.opts.expires)}`)
  for (const event of events) {
    const why = 'reason' in event ? `  ${event.text ?? event.reason}` : ''
    rows.push(`${localTime(event.at)}  ${event.event}${why}`)
  }
  await call.out.record({}, () => printableLines(rows.join('\n')))
}

export async function flush(call: Call): Promise<void> {
  manyThreads()
  const { home, keyring } = await openDesk(call)
  const named = call.args.map((name) => keyring.resolve(name))
  for (const contact of named) checkSendable(contact)
  const wait = call.value('wait')
  const waitMs = wait === undefined ? Infinity : parseDuration(wait) * 1000
  const lingerMs = parseDuration(call.value('linger') ?? '0') * 1000
  const config = await loadConfig(home, process.env)
  for (const text of config.strangers(keyring)) call.warn(text)
  if (config.wantsReceipts) {
    const { sendReceipts } = await import('./reads.ts')
    await sendReceipts({ home, keyring: () => keyring, config: () => config, hash: await loadHash(process.env) })
  }
  const contacts = named.length > 0 ? [...new Set(named)] : keyring.all().filter(isWelcome)
  const start = home.clock.monotonic()
  const stop = call.waiting('trying to deliver')
  let told = Promise.resolve()
  const outcomes: Outcome[] = [] // told together where many come at once
  let received = 0
  const meter = new ProgressMeter({ clock: home.clock, out: call.out, records: call.flag('progress'), line: !call.quiet })
  const result = await flushAll(home, keyring, contacts, {
    waitMs,
    lingerMs,
    config,
    reread: () => loadConfig(home, process.env),
    signal: call.signal,
    onOutcome(outcome) {
      if (isRefusal(outcome)) call.exit(EX.REFUSED)
      if (outcomes.push(outcome) === 1) told = told.then(() => tellOutcomes(call.out, outcomes.splice(0)))
    },
    onReceived() {
      received += 1
    },
    onProgress: (transfer) => meter.note({ ...transfer, name: keyring.byKey(transfer.key)?.name ?? transfer.key }),
    onNotice: (text) => call.warn(text),
    onPassed() {
      stop()
      if (waitMs > 0 && home.clock.monotonic() - start >= waitMs) call.exit(EX.TEMPORARY)
      if (lingerMs > 0) call.tell(`reachable for ${call.value('linger')}`)
    },
  }).finally(stop)
  await told
  await meter.end()
  if (received > 0) call.tell(`received ${received === 1 ? '1 message' : `${received} messages`}`)
  if (result === 'busy') {
    call.tell('another process is delivering right now')
    call.exit(EX.TEMPORARY)
  } else {
    await sweep(home)
    await forgetOldKey(home, await loadSuite(process.env))
  }
}

/**
 * For each MSG: what `change` makes of it is told; what is refused is reported and the others go on. What waits then
 * is tried at once by a running listener.
 */
async function eachMessage(call: Call, change: (desk: Desk, queued: Queued) => Promise<Queued>): Promise<void> {
  const desk = await openDesk(call)
  const due = new Set<string>()
  for (const text of call.args) {
    try {
      const after = await change(desk, await findOne(desk.home, text))
      if (after.state === 'new') due.add(after.key)
      const head = await headOf(desk.home, desk.hash, after)
      await call.out.records([told(desk, after, head?.header.subject, await readLog(desk.home, after.key))])
    } catch (error) {
      call.report(error)
    }
  }
  if (due.size === 0) return
  const { tellListener } = await import('./control.ts')
  await tellListener(desk.home, 'queue', [...due])
}

/** Moves a message that is in one of the states `from`; throws Failure 1 if it is in another or gone. */
async function moved(
  queued: Queued,
  from: QueueState[],
  to: QueueState,
  move: (queued: Queued) => Promise<boolean>,
  hint: string,
): Promise<Queued> {
  const id = queued.id.slice(0, 8)
  if (!from.includes(queued.state)) {
    const is = { new: 'is waiting', hold: 'is held back', failed: 'has failed' }[queued.state]
    throw new Failure(EX.NEGATIVE, `message ${id} ${is}`, `${hint} ${id}`)
  }
  if (!(await move(queued))) throw new Failure(EX.NEGATIVE, `message ${id} is no longer in the queue`)
  const { tag, expires } = queued.opts
  const opts = { ...(tag !== undefined && { tag }), ...(expires !== undefined && { expires }) }
  return { ...queued, state: to, opts: to === 'new' ? opts : queued.opts }
}

export function hold(call: Call): Promise<void> {
  return eachMessage(call, ({ home }, queued) =>
    moved(queued, ['new', 'hold'], 'hold', (held) => queue.hold(home, held), 'p2p-queue retry'),
  )
}

export function release(call: Call): Promise<void> {
  return eachMessage(call, ({ home }, queued) =>
    moved(queued, ['new', 'hold'], 'new', (held) => queue.release(home, held), 'p2p-queue retry'),
  )
}

export function retry(call: Call): Promise<void> {
  return eachMessage(call, ({ home }, queued) =>
    moved(queued, ['new', 'failed'], 'new', (failed) => queue.retry(home, failed), 'p2p-queue release'),
  )
}

export async function drop(call: Call): Promise<void> {
  const to = call.value('to')
  if ((to === undefined) === (call.args.length === 0)) {
    throw to === undefined ? call.missing('MSG') : new Failure(EX.USAGE, 'either MSG or --to NAME')
  }
  const desk = await openDesk(call)
  if (to !== undefined) await dropAll(desk, await queueKey(desk, to))
  for (const text of call.args) {
    try {
      await dropThese(desk, [await findOne(desk.home, text)])
    } catch (error) {
      call.report(error)
    }
  }
}

/** A contact, or the KEY of a removed one whose messages are still here. */
async function queueKey({ home, keyring }: Desk, text: string): Promise<string> {
  return (await keys(home)).includes(text) ? text : keyring.resolve(text).key
}

async function dropAll(desk: Desk, key: string): Promise<void> {
  for (const state of STATES) {
    const all = await names(desk.home, key, state)
    for (let at = 0; at < all.length; at += PAGE) {
      await dropThese(desk, await describe(desk.home, key, state, all.slice(at, at + PAGE)))
    }
  }
}

async function dropThese(desk: Desk, dropped: Queued[]): Promise<void> {
  await queue.drop(desk.home, dropped)
  for (const { id, key } of dropped) {
    const to = nameOf(desk, key)
    await desk.call.out.record(droppedRecord({ id, to, key }), () => words(to, 'dropped', id))
  }
}

export async function stat(call: Call): Promise<void> {
  const desk = await openDesk(call)
  for (const key of await keys(desk.home)) {
    const counted = await countQueue(desk.home, key)
    if (counted === undefined) continue
    const { states, ages, oldest, log } = counted
    const { count, last } = log
    const why = last?.text ?? last?.reason
    const to = nameOf(desk, key)
    const record = {
      v: 1,
      type: 'queue',
      to,
      key,
      ...states,
      oldest: isoTime(oldest),
      ages,
      attempts: count,
      ...(last !== undefined && { reason: last.reason, text: why, last: isoTime(last.at) }),
      ...(last?.next !== undefined && { next: isoTime(last.next) }),
    }
    await call.out.record(record, () => {
      const many = `${states.new} waiting  ${states.hold} held  ${states.failed} failed`
      const old = `(1 h: ${ages.hour}, 1 d: ${ages.day}, 7 d: ${ages.week}, older: ${ages.older})`
      return printable(`${to}  ${many}  ${old}  ${why ?? ''}`.trimEnd())
    })
  }
}
