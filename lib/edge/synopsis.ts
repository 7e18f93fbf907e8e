// How a command is called, in one line and in examples.

import type { Command, Verb } from './table.ts'

/** `p2p-id add [OPTIONS] NAME [TOKEN]` */
export function synopsis(command: Command, verb: Verb | undefined): string {
  if (verb === undefined) return `${command.name} [OPTIONS] ${command.verbs.map((each) => each.name).join('|')} ...`
  return [command.name, verb.name, '[OPTIONS]', verb.usage].filter((word) => word !== '').join(' ')
}

/** The usage line and two examples: what a call without its required arguments gets to see. */
export function shortUsage(command: Command, verb: Verb | undefined): string {
  return `usage: ${synopsis(command, verb)}\n${examples(command, verb, 2)}`
}

/** Those of the verb; of a whole command the first of each verb. */
export function examples(command: Command, verb: Verb | undefined, count: number): string {
  const all = verb === undefined ? command.verbs.map((each) => each.examples[0] ?? '') : verb.examples
  return all
    .slice(0, count)
    .map((line) => `  ${line}`)
    .join('\n')
}
