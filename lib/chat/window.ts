// The terminal as the screen sees it: what it says beside keys, and nothing on it before there is something to show.

import { ProcessTerminal, TuiAltScreen } from '@earendil-works/pi-tui'

/** So the terminal tells that it is looked at, and not any more (xterm's mode 1004, which comes with the mouse). */
const LOOKED_AT = '\u001b[I'
const LEFT = '\u001b[O'

/** Where keys come from; the library keeps to itself whether somebody looks. */
export class Keys extends ProcessTerminal {
  readonly #looked: (looked: boolean) => void

  constructor(looked: (looked: boolean) => void) {
    super()
    this.#looked = looked
  }

  override start(onInput: (data: string) => void, onResize: () => void): void {
    super.start((data) => {
      if (data === LOOKED_AT || data === LEFT) this.#looked(data === LOOKED_AT)
      onInput(data)
    }, onResize)
  }
}

/** The screen of the library; nothing is drawn before it is ready. */
export class Terminal extends TuiAltScreen {
  ready = false

  override requestRender(force?: boolean): void {
    if (this.ready) super.requestRender(force)
  }
}
