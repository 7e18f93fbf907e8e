// A page in place of the conversation: help, words, an invite with its QR code. Its lines as they stand on a screen.

import { visibleWidth } from '@earendil-works/pi-tui'

import { hanging } from './look.ts'

/** Lines around a page: whom the conversation is with, what the keys do. */
const AROUND = 2
/** Lines of the light edge of a code that may be out of sight. */
const EDGE = 2

/** A line of a QR code: it has colours of its own and cannot be wrapped. */
const isCode = (line: string): boolean => line.startsWith('\u001b')

/** True if a code in it can be read on a screen of this size. */
function fits(page: readonly string[], width: number, rows: number): boolean {
  const code = page.filter(isCode)
  return widthOf(code) <= width && code.length - EDGE <= rows - AROUND
}

const widthOf = (lines: readonly string[]): number => Math.max(0, ...lines.map(visibleWidth))

/** True if a code in it can be read on the whole screen and not beside so many columns. */
export function needsAll(page: readonly string[], width: number, rows: number, beside: number): boolean {
  return fits(page, width, rows) && !fits(page, width - beside, rows)
}

/** Wrapped, beside the bar of whoever scrolls. Of a code that no camera could read here it is said what it needs. */
export function pageLines(page: readonly string[], width: number, rows: number): string[] {
  const [code, fit, at] = [page.filter(isCode), fits(page, width, rows), page.findIndex(isCode)]
  const needs = `As a QR code it needs a window of ${widthOf(code)} columns and ${code.length} lines; or p2p-id writes a picture: --qr-file FILE.png`
  return page.flatMap((line, row) => {
    if (!isCode(line)) return hanging(line, width - 1)
    if (fit) return [line]
    return row === at ? hanging(needs, width - 1) : []
  })
}
