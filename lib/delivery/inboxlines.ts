// Messages of the inbox and of sent/ as people read them: one line in a list or a thread, a page. Everything that a peer
// has said passes printable() here, and nothing else does it again.

import { localTime, printable, printableLines } from '../base/text.ts'
import { typeOf, type MessageInfo } from '../wire/record.ts'

/** `2026-11-23 06:10  N  3f9a2c1b  bob  see you at 8?  [2 files]  (edited)  +1 eve` */
export function listLine(info: MessageInfo): string {
  const start = [localTime(info.received), mark(info), (info.id ?? '').slice(0, 8).padEnd(8), who(info).padEnd(12)]
  return `${start.join('  ')}  ${said(info)}`.trimEnd()
}

/** N: not seen yet. Of an own message how far it has got: w waits, d is there, r was read. */
function mark({ flags, state, to, read }: MessageInfo): string {
  if (to !== undefined && read !== undefined) return 'r'
  if (to !== undefined) return state === 'waiting' ? 'w' : state === 'delivered' ? 'd' : ' '
  return flags?.includes('S') === true ? ' ' : 'N'
}

function who({ from, to }: MessageInfo): string {
  return printable(to === undefined ? from : `> ${to}`)
}

/** What a message says, with what later ones say about it. */
function said(info: MessageInfo): string {
  const { edited, recalled, reactions = [], reaction, parts } = info
  const words = [printable((edited?.subject ?? (edited === undefined ? info.subject : undefined)) ?? '')]
  if (reaction !== undefined) words[0] = reaction === '' ? '(takes a reaction back)' : `(reacts) ${printable(reaction)}`
  if (parts.length > 0) words.push(`[${parts.length === 1 ? 'file' : `${parts.length} files`}]`)
  if (edited !== undefined) words.push('(edited)')
  if (recalled !== undefined) words.push('(recalled)')
  words.push(...reactions.map((each) => printable(`${each.reaction} ${each.from}`)))
  return words.filter((word) => word !== '').join('  ')
}

/** One line of a thread: `06:10` alone is not enough where answers come days later. */
export function threadLine(info: MessageInfo, branch: string): string {
  const id = (info.id ?? '').slice(0, 8)
  return `${localTime(info.received ?? info.created)}  ${mark(info)}  ${id}  ${branch}${who(info)}  ${said(info)}`.trimEnd()
}

/** What is drawn before each of these, by their depths: `|- ` and so on, with the characters that terminals have for it. */
export function branches(depths: number[]): string[] {
  const open: boolean[] = []
  const lines: string[] = []
  for (let at = depths.length - 1; at >= 0; at--) {
    const depth = depths[at] as number
    const last = open[depth] !== true
    open.length = depth + 1
    open[depth] = true
    let line = ''
    for (let level = 1; level < depth; level++) line += open[level] === true ? '│ ' : '  '
    lines.unshift(depth === 0 ? '' : `${line}${last ? '└─' : '├─'}`)
  }
  return lines
}

/** All of a message: what its headers say, its text, and what became of it. */
export function page(info: MessageInfo): string {
  const { edited, recalled, reactions = [], to } = info
  const verified = info.verified === true ? ' (verified)' : info.verified === false ? ' (not verified)' : ''
  const about = (said: { id: string; created?: number | undefined }): string => `${localTime(said.created)}, ${said.id.slice(0, 8)}`
  const rows: [string, string | undefined][] = [
    ['From', `${info.from}${verified}`],
    ['To', to === undefined ? undefined : `${to}${info.state === undefined ? '' : ` (${info.state})`}`],
    ['Received', localTime(info.received)],
    ['Sent', localTime(info.created) === localTime(info.received) ? undefined : localTime(info.created)],
    ['Subject', info.subject],
    ['Id', info.id],
    ['Reply to', info.reply],
    ['Reaction', info.reaction === '' ? '(withdrawn)' : info.reaction],
    ['Read', info.read === undefined ? undefined : localTime(info.read)],
    ['Edits', info.edit],
    ['Recalls', info.recall],
    ...info.parts.map(({ type, name, size }): [string, string] => ['File', `${name ?? '(no name)'}  ${type}  ${size} bytes`]),
    ...reactions.map(({ from, reaction }): [string, string] => ['Reaction', `${reaction}  ${from}`]),
    ['Edited', edited === undefined ? undefined : about(edited)],
    ['Recalled', recalled === undefined ? undefined : about(recalled)],
  ]
  const head = rows.flatMap(([name, value]) => (value === undefined ? [] : [`${`${name}:`.padEnd(10)}${printable(value)}`]))
  const first = words(info.text)
  const body = edited?.text === undefined ? [first] : [words(edited.text), '', `Before the edit:`, first]
  return [...head, '', ...body].join('\n').trimEnd()
}

function words(text: Uint8Array | undefined): string {
  return text === undefined ? '' : printableLines(new TextDecoder().decode(text)).replace(/\n$/, '')
}

/** One message of a conversation as running text; the lines of a longer text stand below each other. */
export function transcript(info: MessageInfo): string {
  const { parts, edited, recalled, reactions = [] } = info
  const start = `${localTime(info.received ?? info.created)}  ${printable(info.from)}: `
  const indent = ' '.repeat('YYYY-MM-DD HH:MM  '.length)
  const lines = words(edited?.text ?? info.text).split('\n').filter((line, at, all) => line !== '' || (at > 0 && at < all.length - 1))
  const type = typeOf(info)
  if (type === 'reaction') lines.unshift(info.reaction === '' ? '(takes a reaction back)' : `(reacts) ${printable(info.reaction ?? '')}`)
  const more = parts.map(({ name, type: media, size }) => `[file ${printable(name ?? '')}, ${printable(media)}, ${size} bytes]`)
  if (info.state === 'waiting') more.push('(not delivered yet)')
  if (edited !== undefined) more.push(`(edited ${localTime(edited.created)})`)
  if (recalled !== undefined) more.push(`(recalled ${localTime(recalled.created)})`)
  more.push(...reactions.map(({ reaction, from }) => `(${printable(`${from} reacts ${reaction}`)})`))
  const all = [...lines, ...more]
  return `${start}${all.join(`\n${indent}`)}`.trimEnd()
}
