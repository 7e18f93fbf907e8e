// What the tables of the commands are made of: a command has verbs, a verb has options. No behaviour lives here.

/**
 * What the completions offer. NAMEs: contact (all), recipient (who may be written to, and me), anyone (all, and me),
 * welcome (not blocked), blocked. request: KEYs of strangers. MSGs: received, or states of the queue. A list: these words.
 */
export type Offer =
  | 'file'
  | 'directory'
  | 'command'
  | 'duration'
  | 'time'
  | 'contact'
  | 'recipient'
  | 'anyone'
  | 'welcome'
  | 'blocked'
  | 'request'
  | 'received'
  | 'new'
  | 'hold'
  | 'new+failed'
  | 'new+hold+failed'
  | readonly string[]

export interface Option {
  /** Long name without dashes. */
  name: string
  /** One letter. */
  short?: string
  /** Further names; a single letter is a further short form. */
  aliases?: string[]
  /** flag: no value. value: one, the last given wins. list: repeatable. */
  kind: 'flag' | 'value' | 'list'
  /** Of a flag: what may be attached to it with =, the one word that changes its meaning. */
  word?: string
  /** What the value is, e.g. 'TEXT'. */
  value?: string
  /** Offered for the value, where that does not follow from what it is. */
  offer?: Offer
  text: string
}

export interface Verb {
  /** '' for a command without verbs. */
  name: string
  /** The arguments, e.g. 'NAME [TOKEN]'. */
  usage: string
  /** Offered for the first argument, where that does not follow from its name. */
  offer?: Offer
  min: number
  max: number
  options: Option[]
  text: string
  /** Runnable lines; at least two where an argument is required. */
  examples: string[]
}

export interface Command {
  name: string
  text: string
  verbs: Verb[]
  /** Of every verb, beside those all commands share. */
  options: Option[]
  /** The verb meant when none is given; without it a verb is required. */
  defaultVerb?: string
  /** Commands that its help names. */
  others?: () => Command[]
  /** clean: SIGINT and SIGTERM are the normal end, exit 0. die (the rule): the process dies by the signal. */
  signals?: 'clean' | 'die'
}

export const flag = (name: string, text: string, short?: string): Option => ({
  name,
  kind: 'flag',
  text,
  ...(short !== undefined && { short }),
})
export const value = (name: string, value: string, text: string, short?: string, offer?: Offer): Option => ({
  name,
  kind: 'value',
  value,
  text,
  ...(short !== undefined && { short }),
  ...(offer !== undefined && { offer }),
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
