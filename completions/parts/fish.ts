// completions/p2p.fish: the tables as calls of fish's own complete, with the conditions and words of engine.fish.

import type { Command, Offer, Option } from '../../lib/edge/table.ts'
import { argumentsOf, fill, isLong, offerOf, shapes, spellings, unique } from './tables.ts'

/** In fish a backslash escapes within single quotes. */
const fishQuoted = (text: string): string => `'${text.replace(/[\\']/g, '\\$&')}'`

/** completions/p2p.fish */
export function fish(commands: readonly Command[]): string {
  const offer = (name: string, what: Offer): string => {
    if (typeof what !== 'string') return what.length === 0 ? '-f' : `-f -a ${fishQuoted(what.join(' '))}`
    if (what === 'file') return '-F'
    if (what === 'directory') return `-f -a '(__fish_complete_directories (__p2p_value ${name}))'`
    if (what === 'command') return `-f -a '(complete -C (__p2p_value ${name}))'`
    if (what === 'duration') return "-f -k -a '30s 5m 1h 1d 7d'"
    if (what === 'time') return "-f -k -a '1h 1d 7d'"
    return `-f${/received|new|hold/.test(what) ? ' -k' : ''} -a '(__p2p_read ${name} ${what})'`
  }
  const option = (name: string, verb: string, each: Option): string => {
    const names = spellings(each)
    const condition = fishQuoted(['__p2p_at', name, verb, ...(each.kind === 'list' ? [] : names)].join(' '))
    const forms = names.map((each) => (isLong(each) ? `-l ${each.slice(2)}` : `-s ${each.slice(1)}`))
    const takes = each.kind === 'flag' ? '' : ` -r ${offer(name, offerOf(each))}`
    return `complete -c ${name} -n ${condition} ${forms.join(' ')}${takes} -d ${fishQuoted(each.text)}`
  }
  const lines = ['# The options of a command that take a value: COMMAND.', 'function __p2p_valued']
  lines.push('    switch $argv[1]')
  for (const { name, verbs, shared } of shapes(commands)) {
    const valued = [...verbs.flatMap((verb) => verb.options), ...shared].filter(({ kind }) => kind !== 'flag')
    lines.push(`        case ${name}`, `            printf '%s\\n' ${unique(valued.flatMap(spellings)).join(' ')}`)
  }
  lines.push('    end', 'end', '', 'set -g __p2p_awk @AWK@')
  for (const { name, verbs, shared, others } of shapes(commands)) {
    lines.push('', `complete -c ${name} -e`, `complete -c ${name} -f`)
    lines.push(...shared.map((each) => option(name, others.length > 0 ? '""' : '"*"', each)))
    for (const verb of verbs) {
      const place = verb.name === '' ? '""' : verb.name
      const none = `-n ${fishQuoted(`__p2p_argument ${name} "" 0 0`)}`
      if (verb.name !== '') lines.push(`complete -c ${name} ${none} -f -a ${verb.name} -d ${fishQuoted(verb.text)}`)
      if (others.includes(verb.name)) continue
      lines.push(...verb.options.map((each) => option(name, verb.name === '' ? '"*"' : verb.name, each)))
      for (const [at, each] of argumentsOf(verb).entries()) {
        if (typeof each.offer !== 'string' && each.offer.length === 0) continue
        const condition = fishQuoted(`__p2p_argument ${name} ${place} ${at} ${each.repeated ? 9999 : at}`)
        lines.push(`complete -c ${name} -n ${condition} ${offer(name, each.offer)}`)
      }
    }
    if (others.length > 0) {
      const other = others.map((each) => `__p2p_at ${name} ${each}`).join('; or ')
      lines.push(`complete -c ${name} -n ${fishQuoted(other)} -f -k -a '(__p2p_other)'`)
    }
  }
  return fill('engine.fish', lines, commands, fishQuoted)
}
