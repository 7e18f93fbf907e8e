// What p2p-id doctor finds out, as data: one Check for each thing looked at. A check never throws for what is wrong
// with the home; it says so, with the command that mends it.

import type { Failure } from '../base/fail.ts'
import { printable } from '../base/text.ts'
import type { Suite } from '../crypto/suite.ts'
import type { Config } from '../disk/config.ts'
import type { Home } from '../disk/home.ts'
import type { Self } from '../disk/self.ts'
import type { Keyring } from '../disk/keyring.ts'
import type { Meeting } from '../disk/meetings.ts'

export interface Check {
  /** One word. */
  readonly name: string
  readonly ok: boolean
  /** One sentence: what was found. */
  readonly text: string
  /** A runnable command that mends it, or that leads further. */
  readonly hint?: string
}

/** Everything that the checks look at, read once. */
export interface Patient {
  readonly home: Home
  readonly suite: Suite
  /** Undefined if the own token is damaged. */
  readonly self: Self | undefined
  readonly keyring: Keyring | undefined
  readonly config: Config | Failure
  /** By KEY of a contact: its last session. */
  readonly meetings: ReadonlyMap<string, Meeting>
  readonly listener: { pid: number; version: string } | 'hung' | undefined
}

export const good = (name: string, text: string, hint?: string): Check => ({
  name,
  ok: true,
  text,
  ...(hint !== undefined && { hint }),
})

export const bad = (name: string, text: string, hint?: string): Check => ({
  name,
  ok: false,
  text,
  ...(hint !== undefined && { hint }),
})

/** A few names of many, for a sentence. */
export function few(names: readonly string[], most = 3): string {
  const shown = names.slice(0, most).join(', ')
  return names.length > most ? `${shown} and ${names.length - most} more` : shown
}

/** `1 message`, `3 messages` */
export function plural(count: number, thing: string): string {
  return `${count} ${thing}${count === 1 ? '' : 's'}`
}

const NAME_WIDTH = 10
const DAY_MS = 86_400_000

/** About how long: `40 s`, `12 min`, `5 h`, `12 days`. */
export function span(ms: number): string {
  const abs = Math.abs(ms)
  if (abs < 100_000) return `${Math.round(abs / 1000)} s`
  if (abs < 7_200_000) return `${Math.round(abs / 60_000)} min`
  if (abs < 2 * DAY_MS) return `${Math.round(abs / 3_600_000)} h`
  return `${Math.round(abs / DAY_MS)} days`
}

/** For a terminal: `ok   modes       only you can read it`, and below it what to run. */
export function checkLines({ name, ok, text }: Check, command: string | undefined): string {
  const line = printable(`${ok ? 'ok ' : 'BAD'}  ${name.padEnd(NAME_WIDTH)}  ${text}`)
  return command === undefined ? line : `${line}\n${' '.repeat(NAME_WIDTH + 7)}${printable(command)}`
}
