// Standard error carries words for people: `p2p-send: message`, one line each, made printable because a message may
// quote a peer. Under systemd ($JOURNAL_STREAM) each line carries its priority, sd-daemon(3).

import { printable } from '../base/text.ts'

export type Level = 'error' | 'warning' | 'info'
const PRIORITY: Record<Level, string> = { error: '<3>', warning: '<4>', info: '<6>' }

let guarded = false
/** What stands on the last line of the terminal and is written over. */
let status = ''

/** One line on standard error, a terminal, in place of the one before; '' takes it away. Other lines push it down. */
export function showStatus(text: string): void {
  if (text === status) return
  status = text.slice(0, Math.max(20, (process.stderr.columns ?? 80) - 1))
  process.stderr.write(`\r\x1b[K${status}`)
}

/** To be called before anything else is written to the terminal. */
export function hideStatus(): void {
  if (status !== '') showStatus('')
}

/** Writes `text`, line by line, under the name of the program; a lost standard error is nobody's error. */
export function say(program: string, level: Level, text: string): void {
  if (!guarded) process.stderr.on('error', () => undefined)
  guarded = true
  hideStatus()
  const journal = (process.env['JOURNAL_STREAM'] ?? '') === '' ? '' : PRIORITY[level]
  const name = program === '' ? '' : `${program}: `
  process.stderr.write(
    text
      .split('\n')
      .map((line) => `${journal}${name}${printable(line)}\n`)
      .join(''),
  )
}
