// The conversation on the full screen: messages, days between them, pictures. Each message is drawn once for a width
// and as long as it stays the same, so that a long history costs its lines and no more.

import { type Component, getCapabilities, getImageDimensions, Image, ScrollView } from '@earendil-works/pi-tui'

import type { Clock } from '../base/clock.ts'
import { dayLine, dayName, type Look, messageLines } from './lines.ts'
import { hanging, lookOf } from './look.ts'
import { pageLines } from './page.ts'
import type { ChatMessage } from './message.ts'
import type { Picture } from './pictures.ts'
import type { Room } from './room.ts'

/** Lines and columns of a picture at most. */
const PICTURE_LINES = 12
const PICTURE_COLUMNS = 60
/** Pixels of a picture that a terminal is asked to unpack. */
const PIXELS_MAX = 50_000_000
/** Pictures that are shown of those in the window, the last to be read. */
const PICTURES_MAX = 24

/** In the place of a first conversation. */
const NOBODY = [
  'nobody is here yet:',
  '  /invite NAME    makes a line that makes somebody a contact',
  '  /add NAME LINE  takes the line that they made for you',
]

export interface TalkOptions {
  room: Room
  clock: Clock
  /** The bytes of a picture; undefined if it is none that can be shown. */
  picture: (message: ChatMessage) => Promise<Picture | undefined>
}

/** What the screen around it is at. */
export interface TalkState {
  /** Id of the message that was chosen. */
  readonly chosen: string | undefined
  /** A page that is shown in place of the messages. */
  readonly page: readonly string[] | undefined
  /** Lines of the screen. */
  readonly rows: number
  run: (work: () => Promise<unknown>) => void
  redraw: () => void
}

/** The messages, each drawn once for a width and as long as it stays the same. */
export class Talk implements Component {
  readonly #state: TalkState
  readonly #options: TalkOptions
  readonly #paint: Look['paint']
  readonly #drawn = new Map<ChatMessage, { width: number; answered: ChatMessage | undefined; lines: readonly string[] }>()
  readonly #pictures = new Map<string, Image | 'none'>()
  readonly #rows = new Map<string, number>()

  constructor(state: TalkState, options: TalkOptions, paint: Look['paint']) {
    this.#state = state
    this.#options = options
    this.#paint = paint
  }

  /** The line on which a message starts. */
  rowOf(id: string): number {
    return this.#rows.get(id) ?? 0
  }

  invalidate(): void {
    this.#drawn.clear()
  }

  render(width: number): string[] {
    const { room, clock } = this.#options
    const { page } = this.#state
    const look = lookOf(width, this.#paint)
    if (page !== undefined) return pageLines(page, width, this.#state.rows)
    const lines: string[] = []
    this.#rows.clear()
    if (room.earlier > 0) lines.push(this.#paint('quiet', look.fit(`${room.earlier} earlier`, width)))
    let day = ''
    const now = clock.now()
    const alive = new Set<ChatMessage>(room.messages)
    for (const old of this.#drawn.keys()) if (!alive.has(old)) this.#drawn.delete(old)
    const bases = new Set(room.messages.map(({ entry }) => entry.base))
    for (const base of this.#pictures.keys()) if (!bases.has(base)) this.#pictures.delete(base)
    for (const message of room.messages) {
      const name = dayName(message.at, now)
      if (name !== day) lines.push(dayLine(message.at, now, look))
      day = name
      if (message.id !== undefined) this.#rows.set(message.id, lines.length)
      const drawn = this.#draw(message, look)
      const chosen = this.#state.chosen !== undefined && this.#state.chosen === message.id
      lines.push(...(chosen ? drawn.map((line, at) => (at === 0 ? `${this.#paint('chosen', '>')}${line}` : line)) : drawn))
      lines.push(...this.#picture(message, width))
    }
    if (room.later > 0) lines.push(this.#paint('quiet', look.fit(`${room.later} later`, width)))
    if (room.entering) lines.push(this.#paint('quiet', look.fit('reading ...', width)))
    else if (room.people.length === 1 && room.messages.length === 0) lines.push(...NOBODY.flatMap((line) => hanging(line, width)))
    else if (room.messages.length === 0) lines.push(this.#paint('quiet', look.fit('nothing yet: type below and press Enter', width)))
    return lines
  }

  #draw(message: ChatMessage, look: Look): readonly string[] {
    const answered = message.reply === undefined ? undefined : this.#options.room.byId(message.reply)
    const known = this.#drawn.get(message)
    if (known?.width === look.width && known.answered === answered) return known.lines
    const lines = messageLines(message, lookOf(look.width - 1, this.#paint), answered)
    this.#drawn.set(message, { width: look.width, answered, lines })
    return lines
  }

  #picture(message: ChatMessage, width: number): readonly string[] {
    if (getCapabilities().images === null || message.recalled || !message.files.some(({ type }) => type.startsWith('image/'))) return []
    const { base } = message.entry
    const known = this.#pictures.get(base)
    if (known instanceof Image) return known.render(width)
    if (known === undefined) {
      this.#pictures.set(base, 'none')
      this.#state.run(async () => {
        const picture = await this.#options.picture(message)
        if (picture === undefined || !isSound(picture)) return
        const look = { maxWidthCells: PICTURE_COLUMNS, maxHeightCells: PICTURE_LINES }
        const held = [...this.#pictures].filter(([, each]) => each !== 'none').map(([name]) => name)
        for (const oldest of held.slice(0, Math.max(0, held.length - PICTURES_MAX + 1))) this.#pictures.set(oldest, 'none')
        this.#pictures.delete(base)
        this.#pictures.set(base, new Image(picture.base64, picture.type, { fallbackColor: (text) => this.#paint('quiet', text) }, look))
        this.#state.redraw()
      })
    }
    return []
  }
}


/** Bytes of a peer go on to the terminal's decoder only if they are the beginning of such a picture, of a sane size. */
function isSound({ base64, type }: Picture): boolean {
  const size = getImageDimensions(base64, type)
  return size !== null && size.widthPx > 0 && size.heightPx > 0 && size.widthPx * size.heightPx <= PIXELS_MAX
}

export interface Reached {
  top: () => void
  end: () => void
  /** Some other place than before. */
  place: () => void
}

/** The conversation, at its end unless somebody scrolls; tells when its top or its end is reached. */
export class Scroll extends ScrollView {
  readonly #reached: Reached

  constructor(talk: Component, reached: Reached) {
    super(talk, { follow: 'end', primary: true, scrollbar: 'auto' })
    this.#reached = reached
  }

  override scrollBy(lines: number): number {
    const rest = super.scrollBy(lines)
    this.#reached.place()
    if (lines < 0 && this.scrollTop === 0) this.#reached.top()
    if (lines > 0 && this.isFollowingEnd) this.#reached.end()
    return rest
  }

  override scrollToStart(): void {
    super.scrollToStart()
    this.#reached.top()
  }
}
