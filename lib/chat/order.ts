// What a typed line of p2p-chat asks for: a line that begins with `/` is a command, `//` in front writes a text that
// begins with `/`. The same words in the window and in the line mode, so that there is one thing to learn.

import { EX, Failure } from '../base/fail.ts'
import { nearest, quote } from '../base/text.ts'

export type Order =
  | { readonly do: 'say'; readonly text: string }
  | { readonly do: Word; readonly rest: string }

export type Word = (typeof WORDS)[number]['word']

interface Described {
  readonly word: string
  readonly takes: string
  readonly text: string
}

/** In the order in which help shows them. N counts messages from the latest, 1, back. */
export const WORDS = [
  { word: 'to', takes: 'NAME', text: 'go to another conversation' },
  { word: 'contacts', takes: '', text: 'show the contacts' },
  { word: 'reply', takes: '[N] TEXT', text: 'answer message N, the latest received one without a number' },
  { word: 'react', takes: '[N] EMOJI', text: 'put an emoji on message N; - takes it away' },
  { word: 'edit', takes: '[N] TEXT', text: 'write an own message anew' },
  { word: 'recall', takes: '[N]', text: 'take an own message back' },
  { word: 'file', takes: 'PATH', text: 'send a file or a folder' },
  { word: 'save', takes: '[N] [FOLDER]', text: 'save the files of message N' },
  { word: 'open', takes: '[N]', text: 'show the picture of message N in a window of the desktop' },
  { word: 'search', takes: 'WORDS', text: 'find messages of this conversation' },
  { word: 'older', takes: '', text: 'show earlier messages' },
  { word: 'invite', takes: 'NAME', text: 'a line, and as a QR code if it fits, that makes somebody a contact' },
  { word: 'add', takes: 'NAME LINE', text: 'take the line that somebody gave you: an invite or a token' },
  { word: 'words', takes: '', text: 'the 12 words to compare with this contact' },
  { word: 'verify', takes: '', text: 'they were the same' },
  { word: 'token', takes: '', text: 'show the own token, and as a QR code if it fits' },
  { word: 'help', takes: '', text: 'show the keys and commands' },
  { word: 'quit', takes: '', text: 'leave; a draft is kept' },
] as const satisfies readonly Described[]

const NEEDED: ReadonlySet<Word> = new Set(['to', 'react', 'reply', 'edit', 'file', 'search', 'invite', 'add'])

/** Throws Failure 64 for a command that is none or lacks what it takes. */
export function parseOrder(line: string): Order {
  if (!line.startsWith('/') || line.startsWith('//')) return { do: 'say', text: line.startsWith('//') ? line.slice(1) : line }
  const [, typed = '', rest = ''] = /^\/(\S*)\s*([^]*)$/.exec(line) ?? []
  const known = WORDS.map(({ word }) => word)
  const hits = known.filter((word) => word === typed || (typed !== '' && word.startsWith(typed)))
  const word = known.find((each) => each === typed) ?? (hits.length === 1 ? hits[0] : undefined)
  if (word === undefined) {
    const meant = nearest(typed, known) ?? hits[0]
    throw new Failure(EX.USAGE, `no command ${quote(`/${typed}`)}${meant === undefined ? '' : `: did you mean /${meant}?`}`)
  }
  if (rest.trim() === '' && NEEDED.has(word)) {
    throw new Failure(EX.USAGE, `/${word} takes ${WORDS.find((each) => each.word === word)?.takes ?? ''}`)
  }
  return { do: word, rest: rest.trim() }
}

/** A number in front, `1` without; and what is behind it. */
export function numbered(rest: string): { number: number | undefined; rest: string } {
  const [, number, behind = ''] = /^(\d{1,6})(?:\s+([^]*))?$/.exec(rest) ?? []
  return number === undefined ? { number: undefined, rest } : { number: Number(number), rest: behind.trim() }
}
