// What a full screen can do with a line: colours, widths of wide characters, wrapping.

import { truncateToWidth, visibleWidth, wrapTextWithAnsi } from '@earendil-works/pi-tui'

import type { Look, Role } from './lines.ts'

const SGR: Record<Role, string> = { plain: '', quiet: '2', mine: '36', theirs: '33', alert: '31', strong: '1', chosen: '7' }

/** Colours as SGR sequences; without `colour` only what was chosen stands out. */
export function painter(colour: boolean): Look['paint'] {
  return (role, text) => (SGR[role] === '' || text === '' || (!colour && role !== 'chosen') ? text : `\u001b[${SGR[role]}m${text}\u001b[0m`)
}

export function lookOf(width: number, paint: Look['paint']): Look {
  const columns = Math.max(1, width)
  return {
    width: columns,
    paint,
    wrap: wrapTextWithAnsi,
    fit: (text, size, fill = false) => truncateToWidth(text, size, '…', fill),
    columns: visibleWidth,
  }
}

/** Wrapped, further lines below the text of the first. */
export function hanging(line: string, width: number): string[] {
  const indent = /^ *\S+(?: \S+)* {2,}(?=\S)/.exec(line)?.[0].length ?? 0
  const [first = '', ...rest] = wrapTextWithAnsi(line, width)
  if (rest.length === 0) return [first]
  const below = ' '.repeat(Math.min(indent, Math.floor(width / 2)))
  return [first, ...wrapTextWithAnsi(line.slice(first.length).trimStart(), width - below.length).map((part) => below + part)]
}
