// What each key does on the full screen: the one table of them, which page F1 shows in words (bin/p2p-chat.ts). It trusts
// the terminal library with how terminals spell keys, knows the screen by what Moment says of it, and changes nothing.

import { type KeyId, matchesKey } from '@earendil-works/pi-tui'

/** How things stand when a key is pressed. */
export interface Moment {
  /** A page stands in place of the conversation. */
  readonly page: boolean
  /** A message is chosen; `mine`: it is an own one, `gone`: it is not shown any more. */
  readonly chosen: 'mine' | 'theirs' | 'gone' | undefined
  /** What is typed. */
  readonly text: string
  /** It is a command that needs no completion any more, whatever is offered. */
  readonly whole: () => boolean
  /** The latest message is in sight. */
  readonly atEnd: boolean
}

/** `leave` the program, `back` from a page, `unchoose` a message; `none`: the key does nothing, not even to the editor. */
export type Action =
  | 'leave'
  | 'back'
  | 'help'
  | 'suspend'
  | 'next'
  | 'previous'
  | 'submit'
  | 'latest'
  | 'up'
  | 'down'
  | 'unchoose'
  | 'reply'
  | 'react'
  | 'save'
  | 'open'
  | 'edit'
  | 'recall'
  | 'none'

/** How a click or a turn of the wheel begins (xterm's mode 1006). */
const MOUSE = '\u001b[<'

/** What is to be done; undefined: the key is the editor's, or scrolls. */
export function actionOf(data: string, now: Moment): Action | undefined {
  const is = (...keys: KeyId[]): boolean => keys.some((key) => matchesKey(data, key))
  if (is('ctrl+c')) return 'leave'
  if (now.page) return is('pageUp', 'pageDown', 'up', 'down') || data.startsWith(MOUSE) ? undefined : 'back'
  if (is('f1')) return 'help'
  if (is('ctrl+z')) return 'suspend'
  if (is('ctrl+n', 'alt+down')) return 'next'
  if (is('ctrl+p', 'alt+up')) return 'previous'
  if (now.chosen !== undefined) return actionOnChosen(is, now)
  if (is('enter') && now.whole()) return 'submit'
  if (now.text !== '') return undefined
  if (is('up')) return 'up'
  if (is('escape') && !now.atEnd) return 'latest'
  return is('ctrl+d') ? 'leave' : undefined
}

function actionOnChosen(is: (key: KeyId) => boolean, { chosen, text }: Moment): Action | undefined {
  if (is('up')) return 'up'
  if (is('down')) return 'down'
  if (is('escape') || chosen === 'gone') return 'unchoose'
  if (text !== '') return undefined
  if (is('r') || is('enter')) return 'reply'
  if (is('e')) return 'react'
  if (is('s')) return 'save'
  if (is('o')) return 'open'
  if (is('c') && chosen === 'mine') return 'edit'
  if (is('d') && chosen === 'mine') return 'recall'
  return 'none'
}
