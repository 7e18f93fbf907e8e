// The line mode of p2p-chat: one line for each thing that happens, typed lines in, nothing that moves a cursor. For
// screen readers, for expect, for a terminal that can do no more, and for pipes.

import { printable } from '../base/text.ts'
import type { Output } from '../edge/output.ts'
import type { Line } from '../edge/input.ts'
import type { Doing, Surface } from './doing.ts'
import { bytes, dayName, hour, marks, presence, transferLine } from './lines.ts'
import { firstLine, gist, quoteOf, type ChatMessage } from './message.ts'
import type { Room } from './room.ts'

/** Messages told when a conversation is entered. */
const LAST = 10

export class Plain implements Surface {
  readonly #out: Output
  readonly #now: () => number
  readonly leave: () => void
  #last: Promise<void> = Promise.resolve()
  /** What was told of each message, so that each thing is told once. */
  readonly #told = new Map<string, string>()
  /** Of long messages, how many quarters were told. */
  readonly #quarters = new Map<string, number>()
  #key = ''
  #day = ''

  constructor(out: Output, now: () => number, leave: () => void) {
    this.#out = out
    this.#now = now
    this.leave = leave
  }

  /** Reads lines until there are no more, or until `leave` stops the reading. */
  async run(room: Room, doing: Doing, lines: AsyncIterable<Line>): Promise<void> {
    this.changed(room)
    for await (const { bytes: line } of lines) {
      await doing.line(new TextDecoder().decode(line).replace(/\r$/, '')).catch((error: unknown) => {
        this.tell(error instanceof Error ? error.message : String(error))
      })
    }
  }

  /** Tells what is new in the current conversation. */
  changed(room: Room): void {
    const { current, messages, entering } = room
    if (entering) return
    let shown = messages
    if (current.key !== this.#key) {
      this.#key = current.key
      this.#day = ''
      this.#say(`-- ${current.name}: ${presence(current, this.#now())}${current.verified ? '' : ', not verified'}`)
      shown = messages.slice(-LAST)
      for (const message of messages.slice(0, -LAST)) this.#told.set(keyOf(message), state(message))
    }
    for (const message of shown) {
      const before = this.#told.get(keyOf(message))
      const now = state(message)
      if (before === now) continue
      this.#told.set(keyOf(message), now)
      for (const line of before === undefined ? this.#message(message, room) : change(message, before)) this.#say(line)
    }
    for (const transfer of room.transfers) {
      const quarter = Math.floor((4 * transfer.done) / transfer.size)
      if ((this.#quarters.get(transfer.id) ?? 0) < quarter) this.tell(transferLine(transfer))
      this.#quarters.set(transfer.id, quarter)
    }
    room.markSeen().catch((error: unknown) => this.tell(String(error)))
  }

  show(lines: string[]): void {
    for (const line of lines) this.#say(line)
  }

  tell(text: string): void {
    this.#say(`-- ${printable(text)}`)
  }

  /** Resolves when everything has been written. */
  rest(): Promise<void> {
    return this.#last
  }

  #message(message: ChatMessage, room: Room): string[] {
    const who = message.mine ? 'you' : message.from
    const day = dayName(message.at, this.#now())
    const lines = day === this.#day ? [] : [`-- ${day}`]
    this.#day = day
    const quoted = message.reply === undefined ? undefined : room.byId(message.reply)
    if (message.reply !== undefined) lines.push(`   answers ${quoted === undefined ? (message.quoted ?? 'a message that is not here') : quoteOf(quoted)}`)
    const [first = '', ...rest] = [
      ...(message.subject === undefined ? [] : [message.subject]),
      ...(message.text === '' ? [] : message.text.split('\n')),
      ...message.files.map(({ name = 'without a name', type, size }) => `file ${name}, ${type}, ${bytes(size)}`),
    ]
    lines.push(`${hour(message.at)} ${who}: ${first}${mark(message)}`, ...rest.map((line) => `   ${line}`))
    return [...lines, ...said(message)]
  }

  #say(line: string): void {
    this.#last = this.#last.then(() => this.#out.datum(line))
  }
}

function keyOf({ entry }: ChatMessage): string {
  return `${entry.box} ${entry.base}`
}

function mark(message: ChatMessage): string {
  return message.fate === 'waiting' ? '  (waiting)' : message.fate === 'withdrawn' ? '  (not delivered)' : ''
}

/** All that can change about a message, in words. */
function state(message: ChatMessage): string {
  return [marks(message), ...said(message), message.edited ? message.text : ''].join('\n')
}

function said({ reactions, edited, recalled }: ChatMessage): string[] {
  return [
    ...(recalled ? ['   taken back'] : edited ? ['   edited'] : []),
    ...reactions.map(({ from, reaction }) => `   ${reaction} from ${from}`),
  ]
}

function change(message: ChatMessage, before: string): string[] {
  const about = `${message.mine ? 'your message' : `the message of ${message.from}`} ${firstLine(message)}`
  const lines = said(message).filter((line) => !before.includes(line)).map((line) => `-- ${line.trim()}: ${about}`)
  const [was = ''] = before.split('\n')
  const is = marks(message)
  if (is !== was && message.fate !== undefined) {
    lines.push(`-- ${is === '✓✓' ? 'read' : message.fate === 'delivered' ? 'delivered' : message.fate}: ${gist(message)}`)
  }
  return lines
}
