// Strict reading of argv against a command's table. node:util parseArgs cuts the arguments into tokens; what they mean
// is decided here, because citty accepts unknown options and surplus arguments, strips --no-x and keeps no repeats.
// As in getopt(3): a value is the next argument whatever it looks like (`-m '-5 degrees'`), `--` ends the options,
// `-` is an argument. An option given twice: the last wins, unless it is a list.

import { parseArgs } from 'node:util'

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

type Spec = { type: 'boolean' | 'string'; multiple: true; short?: string }

/** All spellings of all options of a command, for parseArgs; the map leads from a spelling to its option. */
function spellings(command: Command): { specs: Record<string, Spec>; known: Map<string, Option> } {
  const specs: Record<string, Spec> = {}
  const known = new Map<string, Option>()
  for (const option of [...COMMON, ...command.options, ...command.verbs.flatMap((verb) => verb.options)]) {
    const type = option.kind === 'flag' ? 'boolean' : 'string'
    specs[option.name] = { type, multiple: true, ...(option.short !== undefined && { short: option.short }) }
    known.set(option.name, option)
    for (const alias of option.aliases ?? []) {
      // A second letter needs a long name in parseArgs; a blank in it keeps it from being typed by chance.
      const name = alias.length === 1 ? `short ${alias}` : alias
      specs[name] = { type, multiple: true, ...(alias.length === 1 && { short: alias }) }
      known.set(name, option)
    }
  }
  return { specs, known }
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
  const { specs, known } = spellings(command)
  // Not strict: tokens of whatever was typed, checked below in the order typed.
  const { tokens } = parseArgs({ args: argv, options: specs, strict: false, allowPositionals: true, tokens: true })
  const words = tokens.flatMap((token) => (token.kind === 'positional' ? [token.value] : []))

  const noVerbs = command.verbs[0]?.name === '' && command.verbs.length === 1
  const named = noVerbs ? undefined : words[0]
  const verb = command.verbs.find((each) => each.name === (noVerbs ? '' : (named ?? command.defaultVerb)))
  const self = `${command.name}${verb === undefined || noVerbs ? '' : ` ${verb.name}`}`
  const usage = (message: string): Failure => new Failure(EX.USAGE, message, `${self} --help`)

  const asked = (name: string): boolean => tokens.some((token) => token.kind === 'option' && token.name === name)
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
  for (const token of tokens) {
    if (token.kind === 'option-terminator' && argv[token.index] !== '--') throw usage("unknown option '--'") // from `-q-`
    if (token.kind !== 'option') continue
    const spelled = known.get(token.name)
    if (spelled === undefined || (token.name.includes(' ') && token.rawName.startsWith('--'))) {
      const long = token.rawName.startsWith('--')
      const meant = long ? nearest(token.name, optionNames(command, verb)) : undefined
      throw usage(`unknown option ${quote(token.rawName)}${meant === undefined ? '' : `: did you mean '--${meant}'?`}`)
    }
    const option = taken(command, verb, spelled)
    if (option === undefined) throw usage(`unknown option ${quote(token.rawName)} for '${self}'`)
    if (option.kind === 'flag' && token.value !== undefined && token.value !== option.word) {
      throw usage(`option '--${option.name}' takes no value${option.word === undefined ? '' : ` but ${option.word}`}`)
    }
    if (option.kind !== 'flag' && token.value === undefined) {
      throw usage(`option ${quote(token.rawName)} needs a value: ${option.value ?? 'VALUE'}`)
    }
    if (option.name === 'json' || option.name === 'text') json = option.name === 'json'
    options.set(option.name, [...(options.get(option.name) ?? []), token.value ?? ''])
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
