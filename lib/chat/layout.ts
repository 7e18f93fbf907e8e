// What stands where on the full screen: the list of contacts at the left where there is room for it, at the right the
// conversation between its head and its foot, and below that the editor, but not under a page. Each part draws itself
// when the terminal library asks for it, from what is there then; nothing is kept here.

import { type Component, HStack, MouseRegion, VStack } from '@earendil-works/pi-tui'

import { Drawn, type Footing, footLines, headLines, LIST_FROM, LIST_WIDTH, peopleLines } from './frame.ts'
import type { Look } from './lines.ts'
import { needsAll } from './page.ts'
import type { Room } from './room.ts'

export interface Parts {
  room: Room
  /** Unix ms. */
  now: () => number
  paint: Look['paint']
  /** Lines of the terminal. */
  rows: () => number
  /** What stands in place of the conversation. */
  page: () => readonly string[] | undefined
  footing: () => Footing
  /** What scrolls: the conversation, or the page. */
  scroll: Component
  editor: Component
  /** Somebody clicked on this contact (KEY). */
  enter: (key: string) => void
}

export function layoutOf({ room, now, paint, rows, page, footing, scroll, editor, enter }: Parts): HStack {
  const list = new MouseRegion(new Drawn((width) => peopleLines(room, rows(), width, paint)), (event) => {
    const person = event.type === 'click' ? room.people[event.y] : undefined
    if (person === undefined) return undefined
    enter(person.key)
    return { handled: true }
  })
  const right = new VStack([
    { component: new Drawn((width) => headLines(room, now(), width, paint)) },
    { component: scroll, basis: 0, grow: 1, minSize: 1 },
    { component: new Drawn((width) => footLines(room, footing(), width, paint)) },
    { component: editor, basis: 'auto', shrink: 1, minSize: 3, visible: () => page() === undefined },
  ])
  return new HStack([
    { component: list, basis: LIST_WIDTH, visible: ({ width }) => width >= LIST_FROM && !needsAll(page() ?? [], width, rows(), LIST_WIDTH) },
    { component: right, basis: 0, grow: 1 },
  ])
}
