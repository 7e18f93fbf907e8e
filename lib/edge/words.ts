// Standard error carries words for people: `p2p-send: message`, one line each, made printable because a message may
// quote a peer. Under systemd ($JOURNAL_STREAM) each line carries its priority, sd-daemon(3).

import { printable } from '../base/text.ts'

export type Level = 'error' | 'warning' | 'info'
const PRIORITY: Record<Level, string> = { error: '<3>', warning: '<4>', info: '<6>' }

let guarded = false

/** Writes `text`, line by line, under the name of the program; a lost standard error is nobody's error. */
export function say(program: string, level: Level, text: string): void {
  if (!guarded) process.stderr.on('error', () => undefined)
  guarded = true
  const journal = (process.env['JOURNAL_STREAM'] ?? '') === '' ? '' : PRIORITY[level]
  const name = program === '' ? '' : `${program}: `
  process.stderr.write(
    text
      .split('\n')
      .map((line) => `${journal}${name}${printable(line)}\n`)
      .join(''),
  )
}
