// Whether a message that came makes the terminal ring, and what it says: never what the message says, unless the
// settings ask for it. Pure; the bytes go to the terminal by whoever draws on it.

import { printable } from '../base/text.ts'
import { gist, type ChatMessage } from './message.ts'

export interface NotifySettings {
  /** `bell`, `osc9`, `desktop`, several or none of them. */
  readonly by: readonly string[]
  /** Minutes of the day, from and until; the same twice: never. */
  readonly quiet: readonly [number, number]
  /** The first line of the text is shown as well. */
  readonly text: boolean
}

/** True while nothing is to ring; `now` in Unix ms, the hours in the user's own zone. */
export function isQuiet({ quiet: [from, until] }: NotifySettings, now: number): boolean {
  if (from === until) return false
  const date = new Date(now)
  const minute = date.getHours() * 60 + date.getMinutes()
  return from < until ? minute >= from && minute < until : minute >= from || minute < until
}

/** What to write to the terminal; '' for nothing. `name` is the own name of the contact. */
export function ringing(settings: NotifySettings, name: string, message: ChatMessage): string {
  const osc9 = `\u001b]9;p2p: ${line(said(settings, name, message))}\u0007`
  return settings.by.map((way) => (way === 'bell' ? '\u0007' : way === 'osc9' ? osc9 : '')).join('')
}

/** What a notice on the desktop says; undefined for none. */
export function onDesktop(settings: NotifySettings, name: string, message: ChatMessage): string | undefined {
  return settings.by.includes('desktop') ? printable(said(settings, name, message)).slice(0, 200) : undefined
}

function said({ text }: NotifySettings, name: string, message: ChatMessage): string {
  return text ? `${name}: ${gist(message)}` : `${name} wrote`
}

/** Fit for the inside of an escape sequence: a terminal shows it as it is. */
function line(text: string): string {
  return printable(text).replaceAll(';', ',').slice(0, 200)
}
