// The word in the own inbox that messages for somebody have been waiting for long: once for each contact and outage,
// which begins with the last delivery and ends with the next. Its id is made of what it is about, so that the seen log
// lets it through once, whichever process notices and whatever dies when; the queue's log spares looking.

import { hex, utf8 } from '../base/bytes.ts'
import { localTime } from '../base/text.ts'
import type { Contact } from '../disk/contact.ts'
import type { Home } from '../disk/home.ts'
import type { Self } from '../disk/self.ts'
import type { Inbox } from '../disk/inbox.ts'
import { describe, names } from '../disk/queueread.ts'
import { parseQueueName, type Queued } from '../disk/queued.ts'
import { note, type LogState, readLog } from '../disk/queuelog.ts'
import type { Hash } from '../wire/envelope.ts'
import { composeNotice } from '../wire/notice.ts'
import { firstWords } from './bounce.ts'

const DAY_MS = 86_400_000
const WEEKDAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday']

/** A weekday says which day it is as long as it is not today's again. */
const WEEKDAY_MS = 6 * DAY_MS

export interface DelayOptions {
  home: Home
  hash: Hash
  self: Self
  /** Opened when there is something to tell. */
  inbox(): Promise<Inbox>
  /** Ms that the oldest message may wait. */
  afterMs: number
}

/** The subject of the notice if one is due and was not delivered before. */
export async function tellDelay(options: DelayOptions, contact: Contact): Promise<string | undefined> {
  const { home, hash, self, afterMs } = options
  const { key, name } = contact
  if (!Number.isFinite(afterMs)) return undefined
  const waiting = await names(home, key)
  const created = Number((parseQueueName(waiting[0] ?? '')?.created ?? 0n) / 1000n)
  const now = home.clock.now()
  if (waiting.length === 0 || now - created < afterMs) return undefined
  const log = await readLog(home, key)
  if (log.noticed !== undefined) return undefined
  const [oldest] = await describe(home, key, 'new', waiting.slice(0, 1))
  if (oldest === undefined) return undefined
  const many = waiting.length === 1 ? '1 message' : `${waiting.length} messages`
  const subject = `${many} for ${name} ${waiting.length === 1 ? 'is' : 'are'} waiting since ${dayOf(created, now)}`
  const id = hex(hash.hash(utf8(`p2p/1 delay ${key} ${oldest.id} ${log.delivered ?? 0}`)))
  const text = await wordsOf(options, contact, oldest, log)
  const notice = await (await options.inbox()).deliverOwn(id, async function* (date) {
    yield composeNotice({ to: { name: self.name, key: self.key }, date, id, about: oldest.id, subject, text })
  })
  await note(home, key, { event: 'notice' })
  return notice === undefined ? undefined : subject
}

/** `14:05` of today, `Monday` of the last days, else `2026-11-02`; local time. */
function dayOf(ms: number, now: number): string {
  const [day = '', time = ''] = localTime(ms).split(' ')
  if (now - ms < DAY_MS && localTime(now).startsWith(day)) return time
  return now - ms < WEEKDAY_MS ? (WEEKDAYS[new Date(ms).getDay()] ?? day) : day
}

async function wordsOf({ home, hash }: DelayOptions, { name }: Contact, oldest: Queued, log: LogState): Promise<string> {
  const outcomes = [log.last, ...log.messages.values()].filter((outcome) => outcome !== undefined)
  const last = outcomes.sort((a, b) => b.at - a.at)[0]
  const begins = await firstWords(home, hash, oldest)
  const rows = [
    ['Why', last === undefined ? 'nobody has tried yet' : `${last.text ?? last.reason} (${last.reason})`],
    ['Tried', log.count === 0 || last === undefined ? undefined : `${log.count === 1 ? 'once' : `${log.count} times`}, last ${localTime(last.at)}`],
    ['Oldest', `of ${localTime(Number(oldest.created / 1000n))}${begins === undefined ? '' : `: ${begins}`}`],
  ]
  return [
    `${name} has got nothing from you for some time. Nothing is lost: what waits is sent as soon as ${name} can be reached.`,
    '',
    ...rows.flatMap(([label = '', value]) => (value === undefined ? [] : [`${`${label}:`.padEnd(9)}${value}`])),
    '',
    'To see what waits, to try now, or to give it up:',
    '',
    '  p2p-queue list',
    `  p2p-queue flush ${name}`,
    `  p2p-queue drop --to ${name}`,
    '',
    'This is said once; the next time after something was delivered.',
  ].join('\n')
}
