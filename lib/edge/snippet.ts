// What the snippets of p2p-id setup are made of: where this home and the commands are, and how a path is written in
// each kind of file. Nothing here is taken from a peer: names of contacts never get into a snippet.

import { shellWord } from '../base/quoting.ts'

export interface Surroundings {
  /** The home, absolute, without control characters. */
  readonly home: string
  /** The own KEY and NAME. */
  readonly key: string
  readonly name: string
  /** The words that run a command of ours from anywhere, e.g. ['/usr/bin/node', '/opt/p2p/p2p-id.cjs']. */
  readonly run: (command: string) => readonly string[]
  /** The completions' files by shell, as far as they are installed. */
  readonly completions: Readonly<Record<string, string>>
}

/** A shell command that runs one of ours for this home. */
export function shellCommand(at: Surroundings, command: string, args: string): string {
  return [...at.run(command).map(shellWord), '--home', shellWord(at.home), args].join(' ')
}

/** A word of fish, where a backslash counts inside quotes. */
export function fishWord(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`
}

/** A value in a muttrc: in single quotes nothing is special, as in a shell. */
export function muttWord(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`
}

/** A word in a systemd unit, systemd.syntax(7) and systemd.unit(5): C escapes in quotes, % doubled. */
export function systemdWord(text: string): string {
  return `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('%', '%%')}"`
}

/** As systemdWord, for a line that is run: there a $ starts a variable. */
export function systemdArgument(text: string): string {
  return systemdWord(text).replaceAll('$', '$$$$')
}

export function xmlText(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}

/** The path of a URL. */
export function urlPath(path: string): string {
  return path.split('/').map(encodeURIComponent).join('/')
}

/** A value in a file of go-ini, where a # or ; starts a comment anywhere but in three quotes. */
export function iniValue(text: string): string {
  return /[#;"`\\]/.test(text) ? `"""${text}"""` : text
}

/** Lines that begin with a mark: comments. */
export function comment(text: string, mark = '#'): string {
  return text
    .trim()
    .split('\n')
    .map((line) => `${mark} ${line}`.trimEnd())
    .join('\n')
}
