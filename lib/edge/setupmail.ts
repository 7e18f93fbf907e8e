// p2p-id setup for mail readers. Reading is set up: the inbox is a Maildir. Answering goes through p2p-sendmail, which
// each snippet names and none sets: how a command with blanks in it is written differs from program to program.

import { EX, Failure } from '../base/fail.ts'
import { shellWord } from '../base/quoting.ts'
import { mailAddress, mailbox } from '../wire/mailbox.ts'
import { comment, muttWord, shellCommand, type Surroundings, urlPath } from './snippet.ts'

const ANSWER = `Answering goes through p2p-sendmail(1), in sendmail's place in this program's settings: "p2p-sendmail -oi",
where it is in $PATH and the home is the usual one or in $P2P_HOME. Or in a shell:
  p2p-send --reply MSG       with the Message-ID, the first digits of it, or @ for the latest`

/** mutt and neomutt: a file for -F. */
export function muttrc(at: Surroundings, program: 'mutt' | 'neomutt'): string {
  const path = (folder: string): string => muttWord(`${at.home}/${folder}`)
  // mutt puts %s into quotes by itself; a % of ours must not look like one
  const query = `${shellCommand(at, 'p2p-id', 'list --query').replaceAll('%', '%%')} %s`
  return `${comment(`${program} for the messages of ${at.name}
  p2p-id setup ${program} > ~/.config/${program}/p2p.rc
  ${program} -F ~/.config/${program}/p2p.rc`)}

# The inbox and the copies of what was sent (flagged: not delivered yet) are Maildirs.
set mbox_type = Maildir
set folder = ${muttWord(at.home)}
set spoolfile = ${path('inbox')}
mailboxes ${path('inbox')} ${path('sent')}
set move = no
set mark_old = no
set sort = threads

# Who you are, and who you know: query with Q or, in a To: line, with ^T.
set realname = ${muttWord(at.name)}
set from = ${muttWord(mailAddress(at.key))}
set hostname = p2p.invalid
alternates ${muttWord(`^${mailAddress(at.key).replaceAll('.', '\\.')}$`)}
set query_command = ${muttWord(query)}
source ${muttWord(`${shellCommand(at, 'p2p-id', 'list --aliases')}|`)}

${comment(ANSWER)}
set record = ''
set sendmail = false
`
}

/** A section of aerc's accounts.conf. */
export function aerc(at: Surroundings): string {
  return `${comment(`aerc for the messages of ${at.name}: append this to ~/.config/aerc/accounts.conf (mode 600)
  p2p-id setup aerc >> ~/.config/aerc/accounts.conf`)}

[p2p]
source = maildir://${urlPath(at.home)}
folders = inbox,sent
default = inbox
from = ${mailbox(at.name, at.key)}
address-book-cmd = ${shellCommand(at, 'p2p-id', 'list --query %s')}

${comment(ANSWER)}
`
}

/** Functions of a shell. */
export function mblaze(at: Surroundings): string {
  return `${comment(`mblaze for the messages of ${at.name}, for sh, bash and zsh. In ~/.profile or the like:
  eval "$(p2p-id setup mblaze)"
then p2p_scan lists what came in threads, p2p_scan -N what is new; mshow 1 shows the first, and so on.`)}

p2p_scan() {
  mkdir -p "\${MBLAZE:-$HOME/.mblaze}"
  mlist "$@" ${shellWord(`${at.home}/inbox`)} | mthread | mseq -S
  mscan :
}

# Whoever you know, for mcom and mrep: p2p_who WORD
p2p_who() {
  ${shellCommand(at, 'p2p-id', 'list --query')} "$1"
}

${comment(`In ~/.mblaze/profile, if you have no other address:
  Local-Mailbox: ${mailbox(at.name, at.key)}

${ANSWER}`)}
`
}

/** A configuration file of its own, so that other mail keeps its database. Throws Failure 78 for a path with `;`. */
export function notmuch(at: Surroundings): string {
  if (at.home.includes(';')) throw new Failure(EX.CONFIG, `notmuch takes no path with ';' in it: ${at.home}`)
  const database = `${at.home}-notmuch`
  return `${comment(`notmuch for the messages of ${at.name}, with a database of its own
  p2p-id setup notmuch > ~/.config/notmuch-p2p
  mkdir -p ${shellWord(database)}
  notmuch --config ~/.config/notmuch-p2p new
  notmuch --config ~/.config/notmuch-p2p search tag:unread`)}

[database]
mail_root=${keyFileValue(at.home)}
path=${keyFileValue(database)}

[user]
name=${at.name}
primary_email=${mailAddress(at.key)}

[new]
tags=unread;inbox
ignore=${IGNORED.join(';')}

[maildir]
synchronize_flags=true

${comment(ANSWER)}
`
}

/** What a home has beside its two Maildirs. */
const IGNORED = [
  'config.toml', 'contacts', 'files', 'hello', 'home.json', 'hooks', 'identity.age', 'identity.key', 'listen.sock',
  'lock', 'mail.index', 'part', 'queue', 'requests', 'seen', 'seen.index', 'token', 'transport.key', 'transport.old.key',
] // prettier-ignore

/** A string in GLib's key files. */
function keyFileValue(text: string): string {
  return text.replaceAll('\\', '\\\\').replace(/^ /, '\\s')
}
