// A terminal's screen as text with its colours, as `tmux capture-pane -e` gives it, kept beside the tests and drawn as a
// picture (SVG). What differs from run to run is made the same before it is compared.
//
//   make screens     plays the scenes, keeps what they show in test/screens/, and draws it

import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

import * as assert from 'uvu/assert'

import { lookOf, painter } from '../lib/chat/look.ts'
import type { Terminal } from './terminal.ts'

const FOLDER = fileURLToPath(new URL('screens/', import.meta.url))
/** Pixels of a cell, and around the screen. */
const [WIDE, HIGH, EDGE] = [8.4, 18, 12]
const [PAPER, INK, QUIET] = ['#1b1d22', '#d6d8dd', '#868b96']
const INKS: Record<string, string> = { 30: '#1b1d22', 31: '#ff8272', 33: '#e5c07b', 36: '#6cc6d9', 37: '#d6d8dd', 90: '#5c616c', 97: '#ffffff' }
const PATIENCE_MS = 60_000

/** True if screens are to be kept, not compared. */
const KEEPING = process.env['SCREENS'] === 'keep'

/** Times of the day and paths of this run are always the same, and colours are written in one way. */
function steady(screen: string, folder: string): string {
  let written = ''
  let before = codesOf(PLAIN)
  for (const [row, line] of runs(screen.replaceAll(folder, '/tmp/play').replace(/(?<!\d)\d\d:\d\d(?!\d)/g, '12:34')).entries()) {
    if (row > 0) written += '\n'
    for (const [at, { text, style }] of line.entries()) {
      const end = at === line.length - 1 && style.paper === undefined && !style.turned
      const shown = end ? text.trimEnd() : text
      const codes = codesOf(style)
      if (shown === '') continue
      written += codes === before ? shown : `\u001b[${codes}m${shown}`
      before = codes
    }
  }
  return written.trimEnd()
}

interface Run {
  text: string
  style: Style
}

/** What stands there, line by line, each piece of one style. */
function runs(screen: string): Run[][] {
  let style = PLAIN
  return screen.split('\n').map((line) => {
    const found: Run[] = []
    for (const piece of line.split(/(\u001b\[[\d;]*m)/)) {
      const codes = /^\u001b\[([\d;]*)m$/.exec(piece)?.[1]
      if (codes !== undefined) style = styled(style, codes)
      else if (piece !== '') found.push({ text: piece, style })
    }
    return found
  })
}

function codesOf({ strong, quiet, turned, ink, paper }: Style): string {
  return ['0', ...(strong ? ['1'] : []), ...(quiet ? ['2'] : []), ...(turned ? ['7'] : []), ...(ink === '' ? [] : [ink]), ...(paper === undefined ? [] : [paper])].join(';')
}

/** Waits until the screen is the one that was kept under this name, times apart; it is there when `seen` is. */
export async function holds(terminal: Terminal, name: string, folder: string, seen: RegExp): Promise<void> {
  const path = `${FOLDER}${name}.txt`
  if (KEEPING) {
    await terminal.see(seen)
    await terminal.calm()
    mkdirSync(FOLDER, { recursive: true })
    writeFileSync(path, `${steady(terminal.styled(), folder)}\n`)
    writeFileSync(path.replace(/txt$/, 'svg'), drawn(readFileSync(path, 'utf8')))
    return
  }
  const kept = readFileSync(path, 'utf8').trimEnd()
  await terminal.see(() => steady(terminal.styled(), folder) === kept, PATIENCE_MS).catch(() => {
    assert.fixture(steady(terminal.styled(), folder), kept, `${name}: another screen than the one that was kept; make screens keeps this one`)
  })
}

/** Every picture is drawn from the text beside it. */
export function checkPictures(): void {
  const names = readdirSync(FOLDER).filter((name) => name.endsWith('.txt'))
  assert.ok(names.length > 0)
  for (const name of names) {
    const picture = `${FOLDER}${name.replace(/txt$/, 'svg')}`
    assert.ok(existsSync(picture), picture)
    assert.is(readFileSync(picture, 'utf8'), drawn(readFileSync(`${FOLDER}${name}`, 'utf8')), `${name}: make screens draws it`)
  }
}

interface Style {
  /** Of SGR; '' for the usual one. */
  ink: string
  strong: boolean
  quiet: boolean
  turned: boolean
  paper: string | undefined
}

const PLAIN: Style = { ink: '', strong: false, quiet: false, turned: false, paper: undefined }

function styled(style: Style, codes: string): Style {
  let now = { ...style }
  for (const code of codes === '' ? ['0'] : codes.split(';')) {
    if (code === '0') now = { ...PLAIN }
    else if (code === '1') now.strong = true
    else if (code === '2') now.quiet = true
    else if (code === '7') now.turned = true
    else if (code === '22') [now.strong, now.quiet] = [false, false]
    else if (code === '27') now.turned = false
    else if (code === '39') now.ink = ''
    else if (code === '49') now.paper = undefined
    else if (code === '107') now.paper = code
    else if (INKS[code] !== undefined) now.ink = code
  }
  return now
}

const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')

/** The picture of a screen. */
export function drawn(screen: string): string {
  const look = lookOf(1, painter(false))
  const lines = runs(screen.trimEnd())
  let columns = 0
  const [papers, inks]: [string[], string[]] = [[], []]
  for (const [row, line] of lines.entries()) {
    let column = 0
    for (const { text: piece, style } of line) {
      const width = look.columns(piece)
      if (width === 0) continue
      const [x, y] = [EDGE + column * WIDE, EDGE + row * HIGH]
      const size = (width * WIDE).toFixed(1)
      const ordinary = INKS[style.ink] ?? INK
      const paper = style.turned ? ordinary : style.paper === undefined ? undefined : '#ffffff'
      if (paper !== undefined) papers.push(`<rect x="${x.toFixed(1)}" y="${y}" width="${size}" height="${HIGH}" fill="${paper}"/>`)
      const ink = style.turned ? PAPER : style.quiet ? QUIET : ordinary
      if (piece.trim() !== '') {
        const bold = style.strong ? ' font-weight="bold"' : ''
        inks.push(`<text x="${x.toFixed(1)}" y="${y + 13.5}" textLength="${size}" lengthAdjust="spacingAndGlyphs" fill="${ink}"${bold} xml:space="preserve">${escaped(piece)}</text>`)
      }
      column += width
    }
    columns = Math.max(columns, column)
  }
  const [width, height] = [(2 * EDGE + columns * WIDE).toFixed(0), 2 * EDGE + lines.length * HIGH]
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="ui-monospace, 'DejaVu Sans Mono', monospace" font-size="14">
<rect width="${width}" height="${height}" rx="8" fill="${PAPER}"/>
${[...papers, ...inks].join('\n')}
</svg>
`
}
