// What Tab and a few letters offer where one types.

import { type AutocompleteItem, CombinedAutocompleteProvider } from '@earendil-works/pi-tui'

import { WORDS } from './order.ts'
import type { Room } from './room.ts'

/** Emoji whose names begin so. */
export type Suggest = (start: string) => Promise<{ name: string; emoji: string }[]>

/** Commands after `/`, paths after Tab, emoji after `:`. */
export class Completion extends CombinedAutocompleteProvider {
  readonly triggerCharacters = [':']
  readonly #emoji: Suggest

  constructor(room: Room, emoji: Suggest) {
    const names = (start: string): AutocompleteItem[] =>
      room.people.filter(({ name }) => name.startsWith(start)).map(({ name }) => ({ value: name, label: name }))
    super(
      WORDS.map(({ word, takes, text }) => ({
        name: word,
        description: text,
        ...(takes !== '' && { argumentHint: takes }),
        ...(word === 'to' && { getArgumentCompletions: names }),
      })),
      process.cwd(),
    )
    this.#emoji = emoji
  }

  override async getSuggestions(
    ...[lines, line, column, options]: Parameters<CombinedAutocompleteProvider['getSuggestions']>
  ): ReturnType<CombinedAutocompleteProvider['getSuggestions']> {
    const [, start] = /(?:^|\s)(:[a-z0-9_+-]{2,})$/.exec((lines[line] ?? '').slice(0, column)) ?? []
    if (start === undefined) return super.getSuggestions(lines, line, column, options)
    const items = (await this.#emoji(start.slice(1))).map(({ name, emoji }) => ({ value: emoji, label: emoji, description: name }))
    return items.length === 0 ? null : { items, prefix: start }
  }

  override applyCompletion(
    ...[lines, line, column, item, prefix]: Parameters<CombinedAutocompleteProvider['applyCompletion']>
  ): ReturnType<CombinedAutocompleteProvider['applyCompletion']> {
    if (!prefix.startsWith(':')) return super.applyCompletion(lines, line, column, item, prefix)
    const text = lines[line] ?? ''
    const before = text.slice(0, column - prefix.length) + item.value
    return { lines: lines.with(line, before + text.slice(column)), cursorLine: line, cursorCol: before.length }
  }
}
