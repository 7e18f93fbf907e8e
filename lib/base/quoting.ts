// Words of a shell, for lines that people paste and for files that a shell reads.

/** One word of a POSIX shell (also of fish and of a muttrc) that stands for exactly this text, which has no NUL. */
export function shellWord(text: string): string {
  return /^[\w./+@%:,=-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}

/** A command of ours, for the home that --home named: the option goes before `&`, `<`, `>`, `|` and a comment. */
export function forHome(command: string, home: string | undefined): string {
  if (home === undefined || !/^p2p(?:-|\s|$)/.test(command)) return command
  const end = / +[&<>|#]/.exec(command)?.index ?? command.length
  return `${command.slice(0, end)} --home ${shellWord(home)}${command.slice(end)}`
}
