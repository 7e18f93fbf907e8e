// How a conversation reads: messages to lines of a given width. Pure: what a terminal can do comes in as a Look. Every
// text in a message is fit for a terminal already (message.ts), so that nothing of a peer moves the cursor.

import { localTime } from '../base/text.ts'
import { quoteOf, type ChatMessage } from './message.ts'
import type { Person } from './people.ts'
import type { Room } from './room.ts'

/** What a text is, for its colour. */
export type Role = 'plain' | 'quiet' | 'mine' | 'theirs' | 'alert' | 'strong' | 'chosen'

export interface Look {
  /** Columns. */
  readonly width: number
  /** Colours a text; gives it back as it is where there are none. */
  paint: (role: Role, text: string) => string
  /** Lines of at most `width` columns, wide characters counted. */
  wrap: (text: string, width: number) => string[]
  /** Cut to `width` columns, or filled up to them. */
  fit: (text: string, width: number, fill?: boolean) => string
  /** Columns that it takes. */
  columns: (text: string) => number
}

const INDENT = '      '
const MARKS = { waiting: '…', delivered: '✓', withdrawn: '✗ not delivered' }

/** `14:03` */
export function hour(ms: number): string {
  return localTime(ms).slice(11)
}

/** `Sunday, 29 November 2026` in the user's own zone; `today` and `yesterday` for these. */
export function dayName(ms: number, now: number): string {
  const day = localTime(ms).slice(0, 10)
  if (day === localTime(now).slice(0, 10)) return 'today'
  if (day === localTime(now - 86_400_000).slice(0, 10)) return 'yesterday'
  const date = new Date(ms)
  const weekday = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'][date.getDay()] ?? ''
  return `${weekday}, ${day}`
}

/** A line between two days. */
export function dayLine(ms: number, now: number, look: Look): string {
  const name = ` ${dayName(ms, now)} `
  const left = Math.max(0, Math.floor((look.width - look.columns(name)) / 2))
  return look.paint('quiet', look.fit(`${'─'.repeat(left)}${name}${'─'.repeat(left)}`, look.width))
}

/** One message; `answered` is the one that it answers, if that is known. */
export function messageLines(message: ChatMessage, look: Look, answered?: ChatMessage): string[] {
  const { mine, from, text, subject, files, recalled, edited } = message
  const { width, paint } = look
  const room = Math.max(8, width - INDENT.length)
  const lines: string[] = []
  const below = (role: Role, line: string, first = ''): void => {
    const whole = first === '' ? paint(role, line) : `${first}  ${paint(role, line)}`
    for (const part of look.wrap(whole, room)) lines.push(`${lines.length === 0 ? paint('quiet', hour(message.at).padEnd(INDENT.length)) : INDENT}${part}`)
  }
  const who = paint(mine ? 'mine' : 'theirs', mine ? 'you' : from)
  const [first = '', ...rest] = [
    ...(recalled ? [paint('quiet', '(taken back)')] : []),
    ...(subject === undefined ? [] : [paint('strong', subject)]),
    ...(text === '' ? [] : text.split('\n').map((line) => paint(recalled ? 'quiet' : 'plain', line.replaceAll('\t', '    ')))),
    ...files.map(({ name = 'a file', type, size }) => `${paint(recalled ? 'quiet' : 'strong', `[${name}]`)}  ${paint('quiet', `${type}, ${bytes(size)}`)}`),
  ]
  if (message.reply !== undefined) {
    const quoted = answered === undefined ? (message.quoted ?? 'a message that is not here') : quoteOf(answered)
    below('quiet', look.fit(`│ ${quoted}`, room - look.columns(who) - 2), who)
    below('plain', first)
  } else below('plain', first, who)
  for (const line of rest) below('plain', line)
  const mark = marks(message)
  const last = lines.at(-1) ?? ''
  if (mark !== '' && look.columns(last) + mark.length + 2 <= width) lines[lines.length - 1] = `${last}  ${paint('quiet', mark)}`
  else if (mark !== '') below('quiet', mark)
  if (edited && !recalled) below('quiet', '(edited)')
  if (message.reactions.length > 0) {
    const said = message.reactions.map((each) => `${each.reaction} ${each.from}`)
    below('quiet', said.join('   '))
  }
  return lines
}

/** How many lines these take at least, on so many columns. */
export function linesAtLeast(messages: readonly ChatMessage[], columns: number): number {
  const lines = (text: string): number => text.split('\n').reduce((sum, line) => sum + Math.max(1, Math.ceil(line.length / columns)), 0)
  return messages.reduce((sum, { text }) => sum + lines(text), 0)
}

/** How far an own message has got. */
export function marks({ fate, read }: ChatMessage): string {
  if (fate === undefined) return ''
  return read && fate === 'delivered' ? '✓✓' : MARKS[fate]
}

/** `1.2 MB`, in powers of 1000 as file managers say it. */
export function bytes(size: number): string {
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB']
  let [value, unit] = [size, 0]
  while (value >= 1000 && unit < units.length - 1) [value, unit] = [value / 1000, unit + 1]
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`
}

/** How far a long message is. */
export function transferLine({ name, direction, done, size }: Room['transfers'][number]): string {
  return `${direction === 'in' ? 'from' : 'to'} ${name}: ${bytes(done)} of ${bytes(size)}, ${Math.floor((100 * done) / size)} %`
}

/** `online`, or when it was last there. */
export function presence({ online, seen, me }: Person, now: number): string {
  if (me) return 'notes to yourself, and notices'
  if (online) return 'online'
  if (seen === undefined) return 'never met'
  const day = dayName(seen, now)
  return day === 'today' ? `last here at ${hour(seen)}` : `last here ${day}`
}

/** One line of the list of contacts. */
export function personLine(person: Person, look: Look, chosen: boolean): string {
  const { name, online, unread, me } = person
  const dot = me ? ' ' : online ? '●' : '○'
  const count = unread > 0 ? ` ${unread}` : ''
  const head = look.fit(`${dot} ${name}`, Math.max(1, look.width - look.columns(count)), true)
  const line = `${head}${count}`
  return look.paint(chosen ? 'chosen' : unread > 0 ? 'strong' : 'plain', line)
}
