// The full screen of p2p-chat as state: whether a page, a choice or something told stands on it, and what is typed. What
// there is to be seen comes from the Room, where it stands from the layout, what a key means from the keymap, and what a
// typed line does from the Doing. The terminal library is loaded with this file and nothing else of the program.

import { Editor } from '@earendil-works/pi-tui'

import { printable } from '../base/text.ts'
import type { Doing } from './doing.ts'
import { Completion, type Suggest } from './completion.ts'
import { type Footing, titleOf } from './frame.ts'
import { type Action, actionOf } from './keymap.ts'
import { layoutOf } from './layout.ts'
import { painter } from './look.ts'
import type { ChatMessage } from './message.ts'
import { pageLines } from './page.ts'
import { Reaching } from './reaching.ts'
import { Scroll, Talk, type TalkOptions } from './talkview.ts'
import { Keys, Terminal } from './window.ts'

const TOLD_MS = 8000

export interface ScreenOptions extends TalkOptions {
  doing: Doing
  /** For what the library would write if it failed: a private folder. */
  folder: string
  colour: boolean
  emoji: Suggest
  /** The program is to end. */
  leave: () => void
}

/** What the keys do now. */
type Mode = { readonly kind: 'type' } | { readonly kind: 'choose'; readonly id: string }

export class Screen {
  readonly #options: ScreenOptions
  readonly #tui: Terminal
  readonly #editor: Editor
  readonly #scroll: Scroll
  readonly #talk: Talk
  #mode: Mode = { kind: 'type' }
  #told: string[] = []
  #stopTold: () => void = () => undefined
  #page: string[] | undefined
  #key = ''
  #clearing = false
  #looked = true
  readonly #acts: Record<Action, () => void> = {
    leave: () => this.#options.leave(),
    back: () => this.#back(),
    help: () => this.run(() => this.#options.doing.line('/help')),
    suspend: () => this.#suspend(),
    next: () => this.#next(1),
    previous: () => this.#next(-1),
    submit: () => this.#submit(this.#editor.getText()),
    latest: () => this.run(() => this.#toLatest()),
    up: () => this.#choose(-1),
    down: () => this.#choose(1),
    unchoose: () => this.#unchoose(),
    reply: () => this.#type('/reply '),
    react: () => this.#type('/react '),
    save: () => this.#command('/save'),
    open: () => this.#command('/open'),
    edit: () => this.#type(`/edit ${this.#message?.text ?? ''}`),
    recall: () => this.#type('/recall'),
    none: () => undefined,
  }

  constructor(options: ScreenOptions) {
    this.#options = options
    const { room, folder } = options
    const paint = painter(options.colour)
    this.#tui = new Terminal(new Keys((looked) => this.#look(looked)), true, folder, {
      mouse: true,
      scrollToEndIndicator: () => (this.#page === undefined ? paint('chosen', ' to the latest ') : ''),
      copyOnSelect: true,
    })
    const quiet = (text: string): string => paint('quiet', text)
    const chosen = (text: string): string => paint('chosen', text)
    this.#editor = new Editor(this.#tui, {
      borderColor: quiet,
      selectList: { selectedPrefix: chosen, selectedText: chosen, description: quiet, scrollInfo: quiet, noMatch: quiet },
    })
    this.#editor.setAutocompleteProvider(new Completion(room, options.emoji))
    this.#editor.onSubmit = (text) => this.#submit(text)
    this.#editor.onChange = () => {
      if (!this.#clearing) options.doing.draft(this.#editor.getExpandedText()) // long pastes show as one mark
    }
    this.#talk = new Talk(this, options, paint)
    this.#scroll = new Scroll(this.#talk, {
      top: () => reaching.back(),
      end: () => reaching.on(),
      place: () => {
        if (this.#page !== undefined) this.redraw() // how much is left of it
      },
    })
    const reaching = new Reaching({
      room,
      talk: this.#talk,
      scroll: this.#scroll,
      isAway: () => this.#page !== undefined,
      run: (work) => this.run(work),
      renderNow: () => this.#tui.renderNow(),
      redraw: () => this.redraw(),
    })
    const layout = layoutOf({
      room,
      now: () => options.clock.now(),
      paint,
      rows: () => this.rows,
      page: () => this.#page,
      footing: () => this.#footing,
      scroll: this.#scroll,
      editor: this.#editor,
      enter: (key) => this.run(() => options.doing.enter(key)),
    })
    this.#tui.setLayoutRoot(layout)
    this.#tui.addInputListener((data) => (this.#onKey(data) ? { consume: true } : undefined))
  }

  /** It stands on the terminal when this resolves, with what was typed while all this started. */
  async start(): Promise<void> {
    this.#tui.ready = false
    this.#tui.start()
    this.#tui.setFocus(this.#editor)
    this.#tui.setSuspendSignalHandler(undefined)
    this.changed()
    await new Promise(setImmediate)
    this.#tui.ready = true
    this.#tui.renderNow()
  }

  /** Gives the terminal back as it was. */
  async stop(): Promise<void> {
    this.#stopTold()
    await this.#tui.terminal.drainInput(200, 20)
    this.#tui.stop({ preserveScreen: true })
  }

  get #footing(): Footing {
    const page = this.#page
    const left = page === undefined ? undefined : (width: number): number => pageLines(page, width, this.rows).length - this.#scroll.scrollTop
    return { left, rows: this.rows, chosen: this.#message, told: this.#told }
  }

  /** The one that is chosen, if it is shown. */
  get #message(): ChatMessage | undefined {
    return this.chosen === undefined ? undefined : this.#options.room.byId(this.chosen)
  }

  get chosen(): string | undefined {
    return this.#mode.kind === 'choose' ? this.#mode.id : undefined
  }

  changed(): void {
    const { room, doing } = this.#options
    const { current } = room
    if (current.key !== this.#key) {
      this.#key = current.key
      this.#mode = { kind: 'type' }
      this.#editor.setText(doing.drafted)
      this.#scroll.scrollToEnd()
    }
    this.#tui.terminal.setTitle(titleOf(room))
    if (this.atEnd && this.#looked) this.run(() => room.markSeen())
    this.#tui.requestRender()
  }

  /** One sentence, for a while. */
  tell(text: string): void {
    this.#told = [...this.#told, printable(text)].slice(-3)
    this.#stopTold()
    this.#stopTold = this.#options.clock.after(TOLD_MS, () => {
      this.#told = []
      this.#tui.requestRender()
    }, true)
    this.#tui.requestRender()
  }

  /** A page in place of the conversation, until a key is pressed. */
  show(lines: string[]): void {
    this.#page = lines
    this.#scroll.scrollTo(0, { disableFollow: true })
    this.#tui.requestRender()
  }

  get rows(): number {
    return this.#tui.terminal.rows
  }

  get page(): readonly string[] | undefined {
    return this.#page
  }

  /** What comes now is in sight: no page stands there, and nobody has scrolled back. */
  get atEnd(): boolean {
    return this.#page === undefined && this.#scroll.isFollowingEnd
  }

  /** False once the terminal has said that it lost the focus. */
  get looked(): boolean {
    return this.#looked
  }

  #look(looked: boolean): void {
    this.#looked = looked
    if (looked) this.changed() // what came meanwhile is seen now
  }

  ring(bytes: string): void {
    if (bytes !== '') this.#tui.terminal.write(bytes)
  }

  run(work: () => Promise<unknown>): void {
    work().catch((error: unknown) => this.tell(error instanceof Error ? error.message : String(error)))
  }

  redraw(): void {
    this.#tui.requestRender()
  }

  #submit(text: string): void {
    const { room, doing } = this.#options
    const target = this.chosen
    const { key } = room.current
    this.#mode = { kind: 'type' }
    this.#clearing = true
    this.#editor.setText('')
    this.#clearing = false
    if (!/^\/[^/re]/.test(text)) doing.draft(text) // what was written stays the draft until it is safe
    this.run(async () => {
      try {
        await doing.line(text, target)
        if (this.#page === undefined) await this.#toLatest()
      } catch (error) {
        if (this.#editor.getText() === '' && room.current.key === key) this.#editor.setText(text)
        throw error
      }
    })
  }

  /** True if the key is no business of the editor. */
  #onKey(data: string): boolean {
    const text = this.#editor.getText()
    const mine = this.#message?.mine
    const action = actionOf(data, {
      page: this.#page !== undefined,
      chosen: this.chosen === undefined ? undefined : mine === undefined ? 'gone' : mine ? 'mine' : 'theirs',
      text,
      whole: () => this.#editor.isShowingAutocomplete() && this.#isWhole(text),
      atEnd: this.#scroll.isFollowingEnd,
    })
    if (action !== undefined) this.#acts[action]()
    return action !== undefined
  }

  /** Of what is chosen, if something is. */
  #command(line: string): void {
    this.run(() => this.#options.doing.line(line, this.chosen))
  }

  #back(): void {
    this.#page = undefined
    this.#scroll.scrollToEnd()
    this.changed()
  }

  #unchoose(): void {
    this.#mode = { kind: 'type' }
    this.#type('')
  }

  /** Puts this where one types. */
  #type(text: string): void {
    this.#editor.setText(text)
    this.redraw()
  }

  /** A name that was typed to its end needs no completion, whatever is offered. */
  #isWhole(text: string): boolean {
    const [, name] = /^\/to\s+(\S+)$/.exec(text) ?? []
    return this.#options.room.people.some((person) => person.name === name)
  }

  /** The next message up or down; below the last one is the editor. */
  #choose(step: number): void {
    const ids = this.#options.room.messages.flatMap(({ id }) => id ?? [])
    const at = this.#mode.kind === 'choose' ? ids.indexOf(this.#mode.id) : ids.length
    const id = ids[at + step]
    if (id === undefined && step < 0) return
    this.#mode = id === undefined ? { kind: 'type' } : { kind: 'choose', id }
    if (id !== undefined) this.#scroll.scrollTo(Math.max(0, this.#talk.rowOf(id) - 2))
    else this.run(() => this.#toLatest())
    this.redraw()
  }

  async #toLatest(): Promise<void> {
    await this.#options.room.latest()
    this.#scroll.scrollToEnd()
  }

  #next(step: number): void {
    const { room, doing } = this.#options
    const { people, current } = room
    const at = people.findIndex(({ key }) => key === current.key)
    const person = people[(at + step + people.length) % people.length]
    if (person !== undefined) this.run(() => doing.enter(person.key))
  }

  #suspend(): void {
    this.#tui.stop({ preserveScreen: true })
    process.once('SIGCONT', () => this.run(() => this.start()))
    process.kill(process.pid, 'SIGTSTP')
  }
}
