// p2p-id setup for mail readers: reading, since the inbox is a Maildir, names from the contacts, and answering through
// p2p-sendmail. Each program takes a command in a way of its own: where it knows no quoting, paths with blanks go by
// the environment.

import { EX, Failure } from '../base/fail.ts'
import { shellWord } from '../base/quoting.ts'
import { mailAddress, mailbox } from '../wire/mailbox.ts'
import { comment, iniValue, muttWord, shellCommand, type Surroundings, urlPath } from './snippet.ts'

/** mutt and neomutt: a file for -F. */
export function muttrc(at: Surroundings, program: 'mutt' | 'neomutt'): string {
  const path = (folder: string): string => muttWord(`${at.home}/${folder}`)
  // mutt puts %s into quotes by itself; a % of ours must not look like one
  const query = `${shellCommand(at, 'p2p-id', 'list --query').replaceAll('%', '%%')} %s`
  const { env, command } = wordsOnly(at, ['-oi', '-oem'])
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
ignore *
unignore from to date subject x-p2p-verified

# Who you are, and who you know: query with Q or, in a To: line, with ^T.
set realname = ${muttWord(at.name)}
set from = ${muttWord(mailAddress(at.key))}
set hostname = p2p.invalid
alternates ${muttWord(`^${mailAddress(at.key).replaceAll('.', '\\.')}$`)}
set query_command = ${muttWord(query)}
source ${muttWord(`${shellCommand(at, 'p2p-id', 'list --aliases')}|`)}

# Answers, forwards and bounces go out by p2p-sendmail(1), which keeps the copy in sent by itself. Commands that you
# run from here, such as |p2p-id add NAME, know the home.
${Object.entries({ P2P_HOME: at.home, ...env })
  .map(([name, value]) => `setenv ${name} ${muttWord(value)}\n`)
  .join('')}set sendmail = ${muttWord(command)}
set record = ''
set abort_nosubject = no
`
}

/**
 * A command line for programs that split it at blanks and know no quotes, and what it wants in the environment. Its
 * arguments may follow it.
 */
function wordsOnly(at: Surroundings, options: string[]): { env: Record<string, string>; command: string } {
  const argv = [...at.run('p2p-sendmail'), ...options]
  if (argv.every((word) => /^[\w@%+=:,./-]+$/.test(word))) return { env: {}, command: argv.join(' ') }
  const script = `exec ${argv.map(shellWord).join(' ')} "$@"`
  return { env: { P2P_SENDMAIL: script }, command: '/bin/sh -c eval${IFS}"$P2P_SENDMAIL" p2p-sendmail' }
}

/** A section of aerc's accounts.conf. */
export function aerc(at: Surroundings): string {
  const sendmail = shellCommand(at, 'p2p-sendmail', '-oi')
  return `${comment(`aerc for the messages of ${at.name}: append this to ~/.config/aerc/accounts.conf (mode 600)
  p2p-id setup aerc >> ~/.config/aerc/accounts.conf
Answers and forwards go out by p2p-sendmail(1), which keeps the copy in sent by itself. To bounce a message:
  :pipe -m p2p-sendmail NAME`)}

[p2p]
source = maildir://${urlPath(at.home)}
folders = inbox,sent
default = inbox
from = ${mailbox(at.name, at.key)}
address-book-cmd = ${iniValue(shellCommand(at, 'p2p-id', 'list --query %s'))}
outgoing = ${urlCommand(sendmail)}
`
}

/** aerc takes the command for an URL: what could look like a part of one is escaped. */
function urlCommand(command: string): string {
  return command.replace(/[^\w ./-]/gu, encodeURIComponent).replaceAll("'", '%27')
}

/** Functions of a shell. */
export function mblaze(at: Surroundings): string {
  const { env, command } = wordsOnly(at, [])
  const variables = Object.entries({ P2P_HOME: at.home, ...env }).map(([name, value]) => `${name}=${shellWord(value)} `)
  const blank = /\s/.test(at.home) ? '\nmrep, mfwd and mbnc take no blank in a path, and that of this home has one.' : ''
  return `${comment(`mblaze for the messages of ${at.name}, for sh, bash and zsh. In ~/.profile or the like:
  eval "$(p2p-id setup mblaze)"
  p2p_scan            what came and what was sent, in threads; p2p_scan -N: what is new
  p2p_mail mshow 1    any command of mblaze on these messages: mshow, mrep, mcom, mfwd, mbnc and so on
  p2p_who WORD        whom you know
Other mail of yours is left alone: the profile for these messages is in ~/.mblaze-p2p.${blank}`)}

p2p_mail() {
  mkdir -p "$HOME/.mblaze-p2p"
  [ -e "$HOME/.mblaze-p2p/profile" ] || cat >"$HOME/.mblaze-p2p/profile" <<'END'
Local-Mailbox: ${mailbox(at.name, at.key)}
FQDN: p2p.invalid
Sendmail: ${command}
Sendmail-Args: -t
END
  MBLAZE="$HOME/.mblaze-p2p" ${variables.join('')}"$@"
}

p2p_scan() {
  p2p_mail mlist "$@" ${shellWord(`${at.home}/inbox`)} ${shellWord(`${at.home}/sent`)} | p2p_mail mthread |
    p2p_mail mseq -S >/dev/null
  p2p_mail mscan :
}

p2p_who() {
  ${shellCommand(at, 'p2p-id', 'list --query')} "$1"
}
`
}

/** A configuration file of its own, so that other mail keeps its database. Throws Failure 78 for a path with `;`. */
export function notmuch(at: Surroundings): string {
  if (at.home.includes(';')) throw new Failure(EX.CONFIG, `notmuch takes no path with ';' in it: ${at.home}`)
  const database = `${at.home}-notmuch`
  // Emacs puts options of its own right behind the program: it has to be one word.
  const words = at.run('p2p-sendmail')
  const program = words.length === 1 ? (words[0] ?? '') : 'p2p-sendmail'
  return `${comment(`notmuch for the messages of ${at.name}, with a database of its own
  p2p-id setup notmuch > ~/.config/notmuch-p2p
  mkdir -p ${shellWord(database)}
  export NOTMUCH_CONFIG=~/.config/notmuch-p2p
  notmuch new
  notmuch search tag:unread
To answer:
  notmuch reply id:... > answer; $EDITOR answer
  ${shellCommand(at, 'p2p-sendmail', '-t')} < answer
In Emacs, which reads with notmuch.el and answers with Message:
  (setq message-send-mail-function 'message-send-mail-with-sendmail
        sendmail-program ${lispString(program)}
        message-sendmail-extra-arguments '("--home" ${lispString(at.home)})
        message-bogus-addresses nil  ; those here end in .invalid
        notmuch-fcc-dirs nil)        ; p2p-sendmail keeps the copy in sent`)}

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
`
}

/** What a home has beside its two Maildirs. */
const IGNORED = [
  'config.toml', 'contacts', 'files', 'hello', 'home.json', 'hooks', 'identity.age', 'identity.key', 'listen.sock',
  'lock', 'mail.index', 'part', 'queue', 'read.log', 'requests', 'seen', 'seen.index', 'token', 'transport.key', 'transport.old.key',
] // prettier-ignore

/** A string in GLib's key files. */
function keyFileValue(text: string): string {
  return text.replaceAll('\\', '\\\\').replace(/^ /, '\\s')
}

function lispString(text: string): string {
  return `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`
}
