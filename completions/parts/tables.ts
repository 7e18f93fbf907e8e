// The tables of the commands as the completions of every shell want them: what is offered for each value and argument,
// the spellings of an option, p2p as a command whose verbs are the others.

import { readFileSync } from 'node:fs'

import { COMMON, type Command, type Offer, type Option, type Verb } from '../../lib/edge/table.ts'

/** What is offered for a value or an argument by what it is called in the tables. */
const BY_WORD: Record<string, Offer> = {
  FILE: 'file',
  DIR: 'directory',
  COMMAND: 'command',
  DURATION: 'duration',
  TIME: 'time',
  NAME: 'contact',
  MSG: 'received',
  REQ: 'request',
}
const NOTHING: Offer = []

export interface Argument {
  word: string
  offer: Offer
  repeated: boolean
}

/** `NAME [TOKEN]`, `[MSG...]`, `neomutt|mutt`: what is offered for each argument. */
export function argumentsOf(verb: Verb): Argument[] {
  return verb.usage
    .split(' ')
    .filter((each) => each !== '')
    .map((each, at) => {
      const word = each.replace(/[[\].]/g, '')
      const own = word.includes('|') ? word.split('|') : BY_WORD[word]
      return { word, offer: (at === 0 ? verb.offer : undefined) ?? own ?? NOTHING, repeated: each.includes('...') }
    })
}

/** What is offered for the value of an option. */
export const offerOf = (option: Option): Offer => option.offer ?? BY_WORD[option.value ?? ''] ?? NOTHING
const dashed = (name: string): string => (name.length === 1 ? `-${name}` : `--${name}`)
export const isLong = (spelling: string): boolean => spelling.startsWith('--')
/** Long names first. */
export const spellings = ({ name, short, aliases = [] }: Option): string[] =>
  [name, ...(short ?? []), ...aliases].map(dashed).sort((a, b) => Number(isLong(b)) - Number(isLong(a)))

/** A command as completed: p2p's arguments are the other commands, and they follow as if called by themselves. */
export interface Shape {
  name: string
  verbs: Verb[]
  /** Of every verb, and before there is one. */
  shared: Option[]
  /** The words behind which another command's arguments follow. */
  others: string[]
}

export function shapes(commands: readonly Command[]): Shape[] {
  const others = commands.flatMap(({ name }) => (name.startsWith('p2p-') ? [name.slice(4)] : []))
  return commands.map((command) => {
    const shared = [...command.options, ...COMMON]
    if (command.name !== 'p2p') return { name: command.name, verbs: command.verbs, shared, others: [] }
    const none = { usage: '', min: 0, max: 0, options: [], examples: [] }
    const textOf = (name: string): string => commands.find((each) => each.name === `p2p-${name}`)?.text ?? ''
    const verbs = others.map((name) => ({ ...none, name, text: textOf(name) }))
    const help = { ...none, name: 'help', usage: '[COMMAND]', offer: others, text: 'the manual of a command' }
    return { name: command.name, verbs: [...verbs, help], shared, others }
  })
}

const parts = (name: string): string => readFileSync(new URL(`${name}`, import.meta.url), 'utf8')
/** In single quotes, for bash and zsh. */
export const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`
export function unique<T>(list: T[]): T[] {
  return [...new Set(list)]
}

/** An engine with its tables and the program that reads the home. */
export function fill(
  engine: string,
  tables: string[],
  commands: readonly Command[],
  quote: (text: string) => string,
): string {
  return parts(engine)
    .replace('#TABLES', () => tables.join('\n'))
    .replace('@COMMANDS@', () => commands.map(({ name }) => name).join(' '))
    .replace('@AWK@', () => quote(`\n${parts('home.awk')}\n${parts('text.awk')}`))
}
