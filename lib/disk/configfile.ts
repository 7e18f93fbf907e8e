// What a person wrote into config.toml, read and held against the table of keys: a file with anything else in it is
// refused whole, with the line, so that a typing error is never a setting that silently does nothing.

import { EX, Failure } from '../base/fail.ts'
import { nearest, quote } from '../base/text.ts'
import { type Key, KEYS, type Kind, readValue, type Value, type Values, WORDS } from './configkeys.ts'

const FILE_MAX = 64 * 1024 // bytes: far more than the table can fill
const LINES_MAX = 1000 // the line of a key is only looked for in files up to this
const CONTACT = 'contact'
const DURATION_MAX = 1e11 // seconds, as parseDuration: the end of it is still a date

/** What stands in the file at `path`. Throws Failure 78 naming file, line and key. */
export async function readConfigFile(path: string, text: string): Promise<{ file: Values; contacts: ReadonlyMap<string, Values> }> {
  if (text.length > FILE_MAX) throw new Failure(EX.CONFIG, `${path}: longer than ${FILE_MAX} bytes`)
  const parse = await loadParser()
  const parsed = parse(text)
  if ('error' in parsed) throw wrong(path, parsed.line, parsed.error)
  const reader = new Reader((at, message) => wrong(path, lineOf(text, at, parse), message))
  reader.table(parsed.table, [])
  return { file: reader.values, contacts: reader.contacts }
}

function wrong(path: string, line: number | undefined, message: string): Failure {
  return new Failure(EX.CONFIG, `${path}:${line === undefined ? '' : `${line}:`} ${message}`, 'man p2p-config')
}

type Table = Record<string, unknown>
type Parse = (text: string) => { table: Table } | { error: string; line: number }

async function loadParser(): Promise<Parse> {
  const { parse, TomlError } = await import('smol-toml')
  return (text) => {
    try {
      return { table: parse(text) }
    } catch (error) {
      if (!(error instanceof TomlError)) throw error
      const [first = ''] = error.message.split('\n') // the rest quotes the file
      return { error: first.replace(/^Invalid TOML document: /, 'not TOML: '), line: error.line }
    }
  }
}

/** The first line with which the file has this key; undefined if that cannot be told. */
function lineOf(text: string, at: readonly string[], parse: Parse): number | undefined {
  const lines = text.split('\n')
  if (lines.length > LINES_MAX) return undefined
  for (let count = 1; count <= lines.length; count++) {
    const parsed = parse(lines.slice(0, count).join('\n'))
    let found: unknown = 'table' in parsed ? parsed.table : undefined
    for (const name of at) found = isTable(found) && Object.hasOwn(found, name) ? found[name] : undefined
    if (found !== undefined) return count
  }
  return undefined
}

/** Walks through what the parser gives and keeps what the table of keys allows. */
class Reader {
  readonly values = new Map<string, Value>()
  readonly contacts = new Map<string, Values>()
  readonly #wrong: (at: readonly string[], message: string) => Failure

  constructor(failure: (at: readonly string[], message: string) => Failure) {
    this.#wrong = failure
  }

  table(table: Table, at: readonly string[]): void {
    for (const [name, value] of Object.entries(table)) this.#entry([...at, name], value)
  }

  #entry(at: readonly string[], value: unknown): void {
    const [first = '', second = '', third = ''] = at
    const ofContact = first === CONTACT && at.length === 3
    const name = ofContact ? `${CONTACT}.NAME.${third}` : at.join('.')
    const key = first === CONTACT && at.length !== 3 ? undefined : KEYS.find((each) => each.name === name)
    if (key !== undefined) {
      const checked = this.#check(key, value, at)
      if (!ofContact) this.values.set(name, checked)
      else this.contacts.set(second, new Map([...(this.contacts.get(second) ?? []), [third, checked]]))
      return
    }
    const within = first === CONTACT ? at.length < 3 : KEYS.some((each) => each.name.startsWith(`${name}.`))
    if (!within) throw this.#unknown(at)
    if (!isTable(value)) throw this.#wrong(at, `${quote(at.join('.'))} must be a table`)
    if (at.length === 2) this.contacts.set(second, new Map())
    this.table(value, at)
  }

  #unknown(at: readonly string[]): Failure {
    const name = at.join('.')
    const [table, word = ''] = [at.slice(0, -1).join('.'), at.at(-1)]
    const known = KEYS.map((key) => key.name.replace('NAME', at[0] === CONTACT ? (at[1] ?? '') : 'NAME'))
    const elsewhere = known.find((each) => leaf(each) === word)
    const beside = nearest(word, known.filter((each) => each === [table, leaf(each)].join('.')).map(leaf))
    const meant = elsewhere ?? (beside === undefined ? nearest(name, known) : `${table}.${beside}`)
    return this.#wrong(at, `unknown key ${quote(name)}${meant === undefined ? '' : `: did you mean '${meant}'?`}`)
  }

  #check({ kind }: Key, value: unknown, at: readonly string[]): Value {
    const name = quote(at.join('.'))
    if (kind === 'bool' && typeof value === 'boolean') return value
    if (kind === 'text' && typeof value === 'string' && !value.includes('\0')) return value
    if (kind === 'hosts' && Array.isArray(value) && value.every((each) => typeof each === 'string')) {
      return this.#read(kind, value.join(' '), at)
    }
    if (typeof value === 'number' && value >= 0) {
      if (kind === 'size' && Number.isSafeInteger(value)) return value
      if (kind === 'duration' && (value <= DURATION_MAX || value === Infinity)) return value
    }
    if (kind === 'bool' || kind === 'text' || kind === 'hosts' || typeof value !== 'string') {
      throw this.#wrong(at, `${name} must be ${WORDS[kind]}`)
    }
    return this.#read(kind, value, at)
  }

  #read(kind: Kind, value: string, at: readonly string[]): Value {
    try {
      return readValue(kind, value)
    } catch (error) {
      throw error instanceof Failure ? this.#wrong(at, `${quote(at.join('.'))}: ${error.message}`) : error
    }
  }
}

/** The word behind the last dot. */
function leaf(name: string): string {
  return name.slice(name.lastIndexOf('.') + 1)
}

function isTable(value: unknown): value is Table {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date)
}
