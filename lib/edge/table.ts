// What the tables of the commands are made of: a command has verbs, a verb has options. No behaviour lives here.

export interface Option {
  /** Long name without dashes. */
  name: string
  /** One letter. */
  short?: string
  /** Further names; a single letter is a further short form. */
  aliases?: string[]
  /** flag: no value. value: one, the last given wins. list: repeatable. */
  kind: 'flag' | 'value' | 'list'
  /** What the value is, e.g. 'TEXT'. */
  value?: string
  text: string
}

export interface Verb {
  /** '' for a command without verbs. */
  name: string
  /** The arguments, e.g. 'NAME [TOKEN]'. */
  usage: string
  min: number
  max: number
  options: Option[]
  text: string
}

export interface Command {
  name: string
  text: string
  verbs: Verb[]
  /** Of every verb, beside those all commands share. */
  options: Option[]
  /** Runnable lines; a verb's usage shows those that name it first. */
  examples: string[]
  /** The verb meant when none is given; without it a verb is required. */
  defaultVerb?: string
  /** clean: SIGINT and SIGTERM are the normal end, exit 0. die (the rule): the process dies by the signal. */
  signals?: 'clean' | 'die'
}

export const flag = (name: string, text: string, short?: string): Option => ({
  name,
  kind: 'flag',
  text,
  ...(short !== undefined && { short }),
})
export const value = (name: string, value: string, text: string, short?: string): Option => ({
  name,
  kind: 'value',
  value,
  text,
  ...(short !== undefined && { short }),
})

/** Options of every command and verb. */
export const COMMON: Option[] = [
  value('home', 'DIR', 'the home directory instead of $P2P_HOME'),
  flag('json', 'records as NDJSON (the rule unless on a terminal)'),
  flag('text', 'human lines'),
  flag('quiet', 'nothing on standard output, only errors that need a person', 'q'),
  flag('verbose', 'say more on standard error', 'v'),
  flag('help', 'show this help', 'h'),
  flag('version', 'show the version', 'V'),
]
