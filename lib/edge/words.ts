// Standard error carries words for people: `p2p-send: message`, one line each, made printable because a message may
// quote a peer. Under systemd ($JOURNAL_STREAM) each line carries its priority, sd-daemon(3).

import { utf8 } from '../base/bytes.ts'
import { printable } from '../base/text.ts'
import { writeSome } from './descriptor.ts'

export type Level = 'error' | 'warning' | 'info'
const PRIORITY: Record<Level, string> = { error: '<3>', warning: '<4>', info: '<6>' }

/** What was written last is still in node's stream: all else goes there, too. */
let streams = false
/** What stands on the last line of the terminal and is written over. */
let status = ''

/** One line on standard error, a terminal, in place of the one before; '' takes it away. Other lines push it down. */
export function showStatus(text: string): void {
  if (text === status) return
  status = text.slice(0, Math.max(20, (process.stderr.columns ?? 80) - 1))
  write(`\r\x1b[K${status}`)
}

/** To be called before anything else is written to the terminal. */
export function hideStatus(): void {
  if (status !== '') showStatus('')
}

/** In place, as node does it as well; where there is no room its stream waits for it. A lost standard error is nobody's error. */
function write(text: string): void {
  const bytes = utf8(text)
  try {
    const rest = streams ? bytes : (writeSome(2, [bytes])[0] ?? new Uint8Array(0))
    if (rest.length === 0) return
    if (!streams) process.stderr.on('error', () => undefined)
    streams = true
    process.stderr.write(rest)
  } catch {
    // closed, or nobody reads it
  }
}

/** Writes `text`, line by line, under the name of the program. */
export function say(program: string, level: Level, text: string): void {
  hideStatus()
  const journal = (process.env['JOURNAL_STREAM'] ?? '') === '' ? '' : PRIORITY[level]
  const name = program === '' ? '' : `${program}: `
  write(text.split('\n').map((line) => `${journal}${name}${printable(line)}\n`).join(''))
}
