// What stands around a conversation on the full screen: the list of contacts, whom it is with, what the keys do now.

import { type Component, truncateToWidth, wrapTextWithAnsi } from '@earendil-works/pi-tui'

import { type Look, personLine, presence, transferLine } from './lines.ts'
import { lookOf } from './look.ts'
import type { ChatMessage } from './message.ts'
import type { Room } from './room.ts'

/** Columns of the list of contacts, and those below which there is none. */
export const LIST_WIDTH = 22
export const LIST_FROM = 80

/** Lines of what was told. */
const TOLD_LINES = 3

type Paint = Look['paint']

/** Lines that a function makes anew each time: few, and they change. */
export class Drawn implements Component {
  readonly #draw: (width: number) => string[]

  constructor(draw: (width: number) => string[]) {
    this.#draw = draw
  }

  render(width: number): string[] {
    return this.#draw(width)
  }

  invalidate(): void {
    // Nothing is kept.
  }
}

/** The list of contacts, `rows` lines of it at least. */
export function peopleLines(room: Room, rows: number, width: number, paint: Paint): string[] {
  const look = lookOf(width - 2, paint)
  const lines = room.people.map((person) => personLine(person, look, person.key === room.current.key))
  const height = Math.max(rows, lines.length)
  return Array.from({ length: height }, (_, at) => `${lines[at] ?? ' '.repeat(width - 2)}${paint('quiet', ' │')}`)
}

/** With whom, and when they were there last. */
export function headLines(room: Room, now: number, width: number, paint: Paint): string[] {
  const { current } = room
  const trust = current.verified ? '' : '  not verified: /words'
  const others = room.people.filter(({ key }) => key !== current.key).reduce((sum, { unread }) => sum + unread, 0)
  const elsewhere = others > 0 && width + LIST_WIDTH < LIST_FROM ? `  ${others} new elsewhere` : ''
  const line = `${paint('strong', current.name)}  ${paint('quiet', presence(current, now))}${paint('quiet', trust)}${paint('alert', elsewhere)}`
  return [truncateToWidth(line, width, '…')]
}

export interface Footing {
  /** Lines that are left of the page that stands in place of the conversation, so wide; undefined where none does. */
  left: ((width: number) => number) | undefined
  /** Lines of the screen. */
  rows: number
  /** The message that was chosen. */
  chosen: ChatMessage | undefined
  /** Sentences that stand for a while. */
  told: readonly string[]
}

/** What moves, what was told, what the keys do. */
export function footLines(room: Room, { left, rows, chosen, told }: Footing, width: number, paint: Paint): string[] {
  const moving = room.transfers.slice(-2).map((transfer) => paint('quiet', truncateToWidth(transferLine(transfer), width, '…')))
  const lines: string[] = [] // whole sentences, the latest in any case
  for (const text of [...told].reverse()) {
    const some = wrapTextWithAnsi(text, width).slice(0, TOLD_LINES)
    if (lines.length + some.length <= TOLD_LINES) lines.unshift(...some)
  }
  const above = [...moving, ...lines.map((text) => paint('alert', truncateToWidth(text, width, '…')))]
  const below = left === undefined ? undefined : left(width) - (rows - 1 - above.length - 1)
  const hint = below !== undefined
    ? `${below > 0 ? `PgDn ${below} more ${below === 1 ? 'line' : 'lines'}  ` : ''}any other key goes back`
    : chosen !== undefined
      ? choices(chosen)
      : `${room.presence.listener === undefined ? 'not listening  ' : ''}Enter send  ↑ messages  Ctrl-N next  F1 help  Ctrl-C leave`
  return [...above, paint('quiet', truncateToWidth(hint, width, '…'))]
}

/** What may be done with a message that was chosen. */
function choices({ mine, files }: ChatMessage): string {
  const open = files.some(({ type }) => type.startsWith('image/')) ? '  o open' : ''
  return `r reply  e emoji${files.length > 0 ? '  s save' : ''}${open}${mine ? '  c change  d take back' : ''}  Esc`
}

/** What the window of the terminal is called. */
export function titleOf(room: Room): string {
  const unread = room.people.reduce((sum, person) => sum + person.unread, 0)
  return `${unread > 0 ? `(${unread}) ` : ''}p2p: ${room.current.name}`
}
