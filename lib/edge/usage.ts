// The help of a command, made from the tables by citty's renderUsage. citty colours even into a pipe: the colour goes.

import type { ArgsDef, CommandDef } from 'citty'

import { version } from '../base/version.ts'

import { examples, synopsis } from './synopsis.ts'
import { COMMON, type Command, type Option, type Verb } from './table.ts'

function args(options: Option[]): ArgsDef {
  const defs: ArgsDef = {}
  for (const option of options) {
    const short = [option.short ?? [], option.aliases?.filter((alias) => alias.length === 1) ?? []].flat()
    const long = option.aliases?.filter((alias) => alias.length > 1) ?? []
    const also = long.length > 0 ? [`also --${long.join(', --')}`] : []
    const repeat = option.kind === 'list' ? ['repeatable'] : []
    const notes = [...also, ...repeat].join('; ')
    const description = notes === '' ? option.text : `${option.text} (${notes})`
    defs[option.name] =
      option.kind === 'flag'
        ? { type: 'boolean', alias: short, description }
        : { type: 'string', alias: short, description, valueHint: option.value ?? 'VALUE' }
  }
  return defs
}

/** The table of a command or of one verb as citty's definition. */
function definition(command: Command, verb: Verb | undefined): CommandDef {
  const only = verb ?? (command.verbs[0]?.name === '' ? command.verbs[0] : undefined)
  const subCommands: Record<string, CommandDef> = {}
  if (only === undefined) {
    for (const { name, text } of command.verbs) subCommands[name] = { meta: { name, description: text } }
  }
  return {
    meta: {
      name: only === undefined || only.name === '' ? command.name : `${command.name} ${only.name}`,
      version,
      description: (only ?? command).text,
    },
    args: args([...(only?.options ?? []), ...command.options, ...COMMON]),
    ...(only === undefined && { subCommands }),
  }
}

/** The full help of a command or verb, ending with a line feed, without colour. */
export async function helpText(command: Command, verb: Verb | undefined): Promise<string> {
  const only = verb ?? (command.verbs[0]?.name === '' ? command.verbs[0] : undefined)
  const { renderUsage } = await import('citty')
  const rendered = (await renderUsage(definition(command, verb)))
    .replace(/\u001b\[[0-9;]*m/g, '')
    .replace(/^USAGE .*$/m, () => `USAGE ${synopsis(command, only)}`)
    .replace(/^Use .* <command> --help.*$/m, `Use ${command.name} COMMAND --help for the options of one command.`)
    .replace(/[ \t]+$/gm, '')
  const others = command.others === undefined ? '' : `\n\nCOMMANDS\n\n${list(command.others())}`
  return `${rendered.trimEnd()}${others}\n\nEXAMPLES\n\n${examples(command, only, Infinity)}\n`
}

/** Commands with what each is for, in two columns. */
function list(commands: Command[]): string {
  const width = Math.max(...commands.map(({ name }) => name.length))
  return commands.map(({ name, text }) => `  ${name.padEnd(width)}  ${text}`).join('\n')
}
