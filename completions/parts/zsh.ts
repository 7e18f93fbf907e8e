// completions/_p2p: the tables as specifications for zsh's own _arguments, with the actions of engine.zsh.

import type { Command, Offer, Option, Verb } from '../../lib/edge/table.ts'
import { argumentsOf, fill, isLong, offerOf, quoted, shapes, spellings } from './tables.ts'

/** completions/_p2p */
export function zsh(commands: readonly Command[]): string {
  const action = (what: Offer): string => {
    if (typeof what !== 'string') return what.length === 0 ? ' ' : `(${what.join(' ')})`
    if (what === 'file' || what === 'directory') return what === 'file' ? '_files' : '_directories'
    if (what === 'command') return '_cmdstring'
    if (what === 'duration' || what === 'time') return ` _p2p_${what}s`
    return ` ${/received|new|hold/.test(what) ? '_p2p_messages' : '_p2p_names'} ${what}`
  }
  const escape = (text: string): string => text.replace(/[\\:]/g, '\\$&')
  const option = (each: Option): string => {
    const names = spellings(each).sort((a, b) => a.length - b.length)
    const takes = each.kind !== 'flag'
    const forms = names.map((name) => `${name}${!takes ? '' : isLong(name) ? '=' : '+'}`)
    const leave = each.name === 'help' || each.name === 'version' ? '(- : *)' : `(${names.join(' ')})`
    const before = each.kind === 'list' ? '*' : leave
    const value = takes ? `:${escape(each.value ?? '')}:${action(offerOf(each))}` : ''
    const behind = `[${each.text.replace(/[\\[\]]/g, '\\$&')}]${value}`
    if (forms.length === 1) return quoted(before + (forms[0] ?? '') + behind)
    return `${quoted(before)}{${forms.join(',')}}${quoted(behind)}`
  }
  const specs = (verb: Verb, indent: string): string[] => [
    `${indent}_arguments -s -S \\`,
    ...verb.options.map((each) => `${indent}  ${option(each)} \\`),
    ...argumentsOf(verb).map(({ word, offer, repeated }, at) => {
      const spec = `${repeated ? '*' : at + 1}:${escape(word)}:${action(offer)}`
      return `${indent}  ${quoted(spec)} \\`
    }),
    `${indent}  $shared`,
  ]
  const lines = ['_p2p_service() {', '  local -a shared verbs', '  case $1 in']
  for (const { name, verbs, shared, others } of shapes(commands)) {
    lines.push(`    ${name})`, '      shared=(', ...shared.map((each) => `        ${option(each)}`), '      )')
    const [only] = verbs
    if (only?.name === '') {
      lines.push(...specs(only, '      '), '      ;;')
      continue
    }
    lines.push("      _arguments -C -s -S $shared '1:command:->verb' '*::argument:->argument' && return")
    lines.push('      case $state in')
    lines.push('        verb)', '          verbs=(')
    for (const verb of verbs) {
      const described = `${escape(verb.name)}:${verb.text.replaceAll('\\', '\\\\')}`
      lines.push(`            ${quoted(described)}`)
    }
    lines.push('          )', '          _describe -t commands command verbs', '          ;;')
    lines.push('        argument)', '          case $line[1] in')
    for (const verb of verbs.filter((each) => !others.includes(each.name))) {
      lines.push(`            ${verb.name})`, ...specs(verb, '              '), '              ;;')
    }
    if (others.length > 0) {
      lines.push(`            ${others.join('|')})`)
      lines.push('              service=p2p-$line[1]', '              _p2p_service $service', '              ;;')
    }
    lines.push('          esac', '          ;;', '      esac', '      ;;')
  }
  lines.push('  esac', '}')
  return fill('engine.zsh', lines, commands, quoted)
}
