// p2p-id setup: what another program needs to work with this home, as text for its configuration. Pure: nothing is
// written, nothing is looked up.

import { EX, Failure } from '../base/fail.ts'
import { shellWord } from '../base/quoting.ts'
import { nearest, printable, quote } from '../base/text.ts'
import { aerc, mblaze, muttrc, notmuch } from './setupmail.ts'
import { cron, launchd, systemd } from './setupservice.ts'
import { comment, fishWord, type Surroundings } from './snippet.ts'

const SNIPPETS: Record<string, (at: Surroundings) => string> = {
  neomutt: (at) => muttrc(at, 'neomutt'),
  mutt: (at) => muttrc(at, 'mutt'),
  aerc,
  mblaze,
  notmuch,
  systemd,
  launchd,
  cron,
  bash: (at) => completion(at, 'bash', '~/.bashrc'),
  zsh: (at) => completion(at, 'zsh', '~/.zshrc, before compinit'),
  fish: (at) => completion(at, 'fish', '~/.config/fish/config.fish'),
}

/**
 * The snippet for a program, ending with a line feed. Throws Failure 64 for a program that is not known, 78 for a home
 * whose path cannot stand in a configuration file, or completions that are not installed.
 */
export function snippet(program: string, at: Surroundings): string {
  const make = Object.hasOwn(SNIPPETS, program) ? SNIPPETS[program] : undefined
  if (make === undefined) {
    const known = Object.keys(SNIPPETS)
    const meant = nearest(program, known)
    const guess = meant === undefined ? '' : ` (did you mean '${meant}'?)`
    const message = `no snippet for ${quote(program)}${guess}: there are ${known.join(', ')}`
    throw new Failure(EX.USAGE, message, 'p2p-id setup --help')
  }
  if (printable(at.home) !== at.home) {
    throw new Failure(EX.CONFIG, `the home's path has characters that no configuration file holds: ${quote(at.home)}`)
  }
  return make(at)
}

function completion(at: Surroundings, shell: string, where: string): string {
  const file = at.completions[shell]
  if (file === undefined) throw new Failure(EX.CONFIG, `the completions for ${shell} are not installed`)
  const head = comment(`${shell} completes the commands, options, names and messages of p2p, by a line in ${where}:`)
  if (shell === 'bash') return `${head}\n. ${shellWord(file)}\n`
  if (shell === 'fish') return `${head}\nsource ${fishWord(file)}\n`
  const folder = shellWord(file.slice(0, file.lastIndexOf('/')))
  return `${head}\nfpath=(${folder} $fpath)\nautoload -Uz compinit && compinit\n`
}
