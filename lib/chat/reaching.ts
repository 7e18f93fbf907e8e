// Further messages, where somebody scrolls to an end of those that are shown: what was read stays where it is on the
// screen.

import type { Room } from './room.ts'
import type { Scroll, Talk } from './talkview.ts'

export interface ReachingOptions {
  room: Room
  talk: Talk
  scroll: Scroll
  /** A page stands in place of the conversation. */
  isAway: () => boolean
  run: (work: () => Promise<unknown>) => void
  /** Draws at once; when there is time. */
  renderNow: () => void
  redraw: () => void
}

export class Reaching {
  readonly #options: ReachingOptions
  #busy = false

  constructor(options: ReachingOptions) {
    this.#options = options
  }

  /** Scrolled to the top: what is earlier comes in above. */
  back(): void {
    const { room, talk, scroll, renderNow } = this.#options
    const [first] = room.messages
    if (room.earlier === 0 || scroll.scrollTop > 0 || scroll.isFollowingEnd) return
    this.#reach(async () => {
      await room.older()
      renderNow()
      if (first?.id !== undefined) scroll.scrollTo(Math.max(0, talk.rowOf(first.id) - 1))
      renderNow() // at once: what came in above has been in its place for a moment
    })
  }

  /** At the lower end of what is shown, and there is more: that comes in below. */
  on(): void {
    const { room, talk, scroll, renderNow } = this.#options
    const last = room.messages.at(-1)
    if (room.later === 0) return
    this.#reach(async () => {
      await room.newer()
      renderNow()
      if (last?.id !== undefined) scroll.scrollTo(Math.max(0, talk.rowOf(last.id) - scroll.viewportHeight + 2), { disableFollow: true })
      renderNow()
    })
  }

  #reach(work: () => Promise<void>): void {
    const { isAway, run, redraw } = this.#options
    if (this.#busy || isAway()) return
    this.#busy = true
    run(async () => {
      try {
        await work()
      } finally {
        this.#busy = false
        redraw()
      }
    })
  }
}
