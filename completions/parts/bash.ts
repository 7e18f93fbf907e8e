// completions/p2p.bash: the tables as arrays for engine.bash, which reads the line and finds what fits.

import type { Command, Offer, Option } from '../../lib/edge/table.ts'
import { argumentsOf, fill, offerOf, quoted, shapes, spellings, unique } from './tables.ts'

/** A shell word as it is if that is safe, so that what is made can be read. */
const word = (text: string): string => (/^[\w./+,=-]+$/.test(text) ? text : quoted(text))

/** Words in lines of at most 120 columns, each behind `indent`. */
function wrapped(words: string[], indent: string): string[] {
  const lines: string[] = []
  for (const each of words) {
    const last = lines.at(-1)
    if (last !== undefined && last.length + each.length < 120) lines[lines.length - 1] = `${last} ${each}`
    else lines.push(indent + each)
  }
  return lines
}

/** completions/p2p.bash */
export function bash(commands: readonly Command[]): string {
  const offer = (what: Offer): string => {
    if (typeof what === 'string') return what
    return what.length === 0 ? '' : `:${what.join('|')}`
  }
  const option = (each: Option): string => {
    const value = each.kind === 'flag' ? '' : `=${offer(offerOf(each))}`
    return word(`${each.kind === 'list' ? '+' : ''}${spellings(each).join('/')}${value}`)
  }
  const list = (indent: string, name: string, words: string[]): string[] => {
    const line = `${indent}${name}(${words.join(' ')})`
    if (words.length === 0) return []
    return line.length <= 120 ? [line] : [`${indent}${name}(`, ...wrapped(words, `${indent}  `), `${indent})`]
  }
  const lines = [
    `p2p_commands=(${commands.map(({ name }) => name).join(' ')})`,
    '',
    '# What a COMMAND and, behind it, a VERB takes: `--spelling/-s=OFFER`, a + in front of what may be repeated.',
    '_p2p_table() {',
    '  p2p_verbs=() p2p_all=() p2p_options=() p2p_arguments=()',
    '  case $1 in',
  ]
  for (const { name, verbs, shared } of shapes(commands)) {
    const named = verbs.filter((verb) => verb.name !== '').map((verb) => verb.name)
    const own = unique(verbs.flatMap((verb) => verb.options)).map(option)
    lines.push(`    ${name})`)
    lines.push(...list('      ', 'p2p_verbs=', named), ...list('      ', 'p2p_options=', shared.map(option)))
    lines.push(...list('      ', 'p2p_all=', ['"${p2p_options[@]}"', ...own]), '      ;;')
  }
  lines.push('  esac', '  case "$1 $2" in')
  for (const { name, verbs } of shapes(commands)) {
    for (const verb of verbs) {
      const args = argumentsOf(verb).map((each) => quoted(`${offer(each.offer)}${each.repeated ? '...' : ''}`))
      const code = [
        ...list('      ', 'p2p_options+=', verb.options.map(option)),
        ...list('      ', 'p2p_arguments=', args),
      ]
      if (code.length > 0) lines.push(`    ${quoted(`${name} ${verb.name}`)})`, ...code, '      ;;')
    }
  }
  lines.push('  esac', '}', '', '# shellcheck disable=SC2016 # the $ are of awk', '_p2p_awk=@AWK@')
  return fill('engine.bash', lines, commands, quoted)
}
