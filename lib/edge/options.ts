// Strict reading of argv against a command's table: citty accepts unknown options and surplus arguments, strips --no-x
// and keeps no repeats, and node's parseArgs takes a millisecond to load. As in getopt(3): a value is the next argument
// whatever it looks like (`-m '-5 degrees'`), `--` ends the options, `-` is an argument. An option given twice: the last
// wins, unless it is a list.

import { EX, Failure } from '../base/fail.ts'
import { nearest, quote } from '../base/text.ts'

import { COMMON, type Command, type Option, type Verb } from './table.ts'

export type Request =
  | { want: 'help'; verb: Verb | undefined }
  | { want: 'version' }
  | { want: 'run'; verb: Verb; args: string[]; options: Map<string, string[]>; json: boolean | undefined }

/** A required argument is not there: the edge shows the usage and two examples instead of a hint. */
export class Missing extends Failure {
  readonly verb: Verb | undefined

  constructor(message: string, verb?: Verb) {
    super(EX.USAGE, message)
    this.verb = verb
  }
}

/** All spellings of all options of a command, long and short. */
interface Spellings {
  long: Map<string, Option>
  short: Map<string, Option>
}

function spellings(command: Command): Spellings {
  const [long, short] = [new Map<string, Option>(), new Map<string, Option>()]
  for (const list of [COMMON, command.options, ...command.verbs.map((verb) => verb.options)]) {
    for (const option of list) {
      long.set(option.name, option)
      if (option.short !== undefined) short.set(option.short, option)
      for (const alias of option.aliases ?? []) (alias.length === 1 ? short : long).set(alias, option)
    }
  }
  return { long, short }
}

interface Token {
  /** As typed, without a value: `--name` or `-n`; undefined for an argument. */
  raw?: string
  /** Undefined if there is none of that spelling. */
  option?: Option | undefined
  value?: string
}

/** Cuts argv into options with their values, and arguments. */
function tokens(argv: string[], { long, short }: Spellings): Token[] {
  const found: Token[] = []
  const rest = [...argv]
  const valueOf = (option: Option | undefined, inline: string | undefined): Pick<Token, 'value'> => {
    const value = inline ?? (option === undefined || option.kind === 'flag' ? undefined : rest.shift())
    return value === undefined ? {} : { value }
  }
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    if (word === '--') {
      found.push(...rest.splice(0).map((value) => ({ value })))
    } else if (word.startsWith('--')) {
      const end = word.indexOf('=', 3)
      const raw = end < 0 ? word : word.slice(0, end)
      const option = long.get(raw.slice(2))
      found.push({ raw, option, ...valueOf(option, end < 0 ? undefined : word.slice(end + 1)) })
    } else if (word.startsWith('-') && word.length > 1) {
      // A cluster: the first that takes a value takes what is left of it, else the next argument.
      const letters = Array.from(word.slice(1))
      while (letters.length > 0) {
        const letter = letters.shift() as string
        const option = short.get(letter)
        const takes = option !== undefined && option.kind !== 'flag'
        const inline = takes && letters.length > 0 ? letters.splice(0).join('') : undefined
        found.push({ raw: `-${letter}`, option, ...valueOf(option, inline) })
      }
    } else found.push({ value: word })
  }
  return found
}

/** The option of that name as this verb has it: its value may be another thing than with other verbs. */
function taken(command: Command, verb: Verb | undefined, { name, kind }: Option): Option | undefined {
  const lists = [
    COMMON,
    command.options,
    ...(verb === undefined ? command.verbs.map((each) => each.options) : [verb.options]),
  ]
  return lists.flat().find((option) => option.name === name && option.kind === kind)
}

/** What argv (without node and script) asks for. Throws Failure 64 with a hint, Missing for an absent argument. */
export function readArguments(command: Command, argv: string[]): Request {
  const typed = tokens(argv, spellings(command))
  const words = typed.flatMap(({ raw, value }) => (raw === undefined ? [value as string] : []))

  const noVerbs = command.verbs[0]?.name === '' && command.verbs.length === 1
  const named = noVerbs ? undefined : words[0]
  const verb = command.verbs.find((each) => each.name === (noVerbs ? '' : (named ?? command.defaultVerb)))
  const self = `${command.name}${verb === undefined || noVerbs ? '' : ` ${verb.name}`}`
  const usage = (message: string): Failure => new Failure(EX.USAGE, message, `${self} --help`)

  const asked = (name: string): boolean => typed.some(({ option }) => option?.name === name)
  if (named !== undefined && verb === undefined) {
    const meant = nearest(
      named,
      command.verbs.map((each) => each.name),
    )
    throw usage(`unknown command ${quote(named)}${meant === undefined ? '' : `: did you mean '${meant}'?`}`)
  }
  if (asked('help')) return { want: 'help', verb: noVerbs || named === undefined ? undefined : verb }
  if (asked('version')) return { want: 'version' }

  const options = new Map<string, string[]>()
  let json: boolean | undefined
  for (const { raw, option: spelled, value } of typed) {
    if (raw === undefined) continue
    if (spelled === undefined) {
      const meant = /^--./.test(raw) ? nearest(raw.slice(2), optionNames(command, verb)) : undefined
      throw usage(`unknown option ${quote(raw)}${meant === undefined ? '' : `: did you mean '--${meant}'?`}`)
    }
    const option = taken(command, verb, spelled)
    if (option === undefined) throw usage(`unknown option ${quote(raw)} for '${self}'`)
    if (option.kind === 'flag' && value !== undefined && value !== option.word) {
      throw usage(`option '--${option.name}' takes no value${option.word === undefined ? '' : ` but ${option.word}`}`)
    }
    if (option.kind !== 'flag' && value === undefined) {
      throw usage(`option ${quote(raw)} needs a value: ${option.value ?? 'VALUE'}`)
    }
    if (option.name === 'json' || option.name === 'text') json = option.name === 'json'
    options.set(option.name, [...(options.get(option.name) ?? []), value ?? ''])
  }

  if (verb === undefined) throw new Missing('which command?')
  const args = named === undefined ? words : words.slice(1)
  if (args.length < verb.min) {
    const wanted = verb.usage.split(' ').filter((word) => !word.startsWith('['))
    throw new Missing(`missing ${(wanted[args.length] ?? wanted.at(-1) ?? 'argument').replace('...', '')}`, verb)
  }
  if (args.length > verb.max) throw usage(`surplus argument ${quote(args[verb.max] ?? '')}`)
  return { want: 'run', verb, args, options, json }
}

function optionNames(command: Command, verb: Verb | undefined): string[] {
  const options = [
    ...(verb ?? { options: command.verbs.flatMap((each) => each.options) }).options,
    ...command.options,
    ...COMMON,
  ]
  return options.flatMap((option) => [option.name, ...(option.aliases ?? []).filter((alias) => alias.length > 1)])
}
