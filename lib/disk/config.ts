// config.toml: what a person has set for all commands of a home, p2p-config(5). One table says which keys there are;
// a file with anything else in it is refused whole, so that a typing error is never a setting that silently does
// nothing. A flag counts before the environment, the environment before the file.

import { EX, Failure, ioFailure, Malformed } from '../base/fail.ts'
import { foldName, nearest, parseDuration, parseSize, quote } from '../base/text.ts'
import { type Address, parseAddress } from '../wire/address.ts'
import { MESSAGE_MAX } from '../wire/envelope.ts'
import { STUN_PORT } from '../wire/stun.ts'
import type { Contact } from './contact.ts'
import { readText } from './durable.ts'
import type { Home } from './home.ts'
import type { Keyring } from './keyring.ts'

const FILE = 'config.toml'
const HOSTS_MAX = 8
const FILE_MAX = 64 * 1024 // bytes: far more than the table can fill
const LINES_MAX = 1000 // the line of a key is only looked for in files up to this

/** duration: seconds. size: bytes. hosts: HOST[:PORT], any number of them. ways: words for bells. hours: `22:00-07:00`. */
export type Kind = 'duration' | 'size' | 'bool' | 'text' | 'hosts' | 'ways' | 'hours'

export interface Key {
  /** With its table: `limits.message`; `contact.NAME.expires` stands for one contact's. */
  name: string
  kind: Kind
  /** What holds if nobody says anything, as it would stand in the file. */
  fallback: string
}

/** What a message can be that a command is run for: P2P_TYPE of p2p-listen(1). */
export const HOOK_TYPES = ['text', 'file', 'reaction', 'edit', 'recall'] as const
export type HookType = (typeof HOOK_TYPES)[number]

/** Every key there is: those without a dot can also be given in the environment, `delay_notice` as $P2P_DELAY_NOTICE. */
export const KEYS: readonly Key[] = [
  { name: 'expires', kind: 'duration', fallback: 'inf' },
  { name: 'wait', kind: 'duration', fallback: '5s' },
  { name: 'delay_notice', kind: 'duration', fallback: '3d' },
  { name: 'chat_threads', kind: 'bool', fallback: 'true' },
  { name: 'quiet_net', kind: 'bool', fallback: 'false' },
  { name: 'map', kind: 'bool', fallback: 'true' },
  { name: 'lan', kind: 'bool', fallback: 'true' },
  { name: 'stun', kind: 'hosts', fallback: '[]' },
  { name: 'requests', kind: 'bool', fallback: 'false' },
  { name: 'pass_tokens', kind: 'bool', fallback: 'false' },
  { name: 'receipts', kind: 'bool', fallback: 'false' },
  { name: 'udp', kind: 'bool', fallback: 'true' },
  { name: 'limits.message', kind: 'size', fallback: '1G' },
  { name: 'limits.quota', kind: 'size', fallback: '8G' },
  { name: 'limits.free', kind: 'size', fallback: '' },
  { name: 'hooks.message', kind: 'text', fallback: '' },
  ...HOOK_TYPES.map((type): Key => ({ name: `hooks.${type}`, kind: 'text', fallback: 'hooks.message' })),
  { name: 'hooks.auto', kind: 'bool', fallback: 'false' },
  { name: 'notify.by', kind: 'ways', fallback: 'bell' },
  { name: 'notify.quiet', kind: 'hours', fallback: '' },
  { name: 'notify.text', kind: 'bool', fallback: 'false' },
  { name: 'contact.NAME.expires', kind: 'duration', fallback: 'expires' },
  { name: 'contact.NAME.message', kind: 'size', fallback: 'limits.message' },
  { name: 'contact.NAME.quota', kind: 'size', fallback: 'limits.quota' },
  { name: 'contact.NAME.hook', kind: 'text', fallback: 'hooks.message' },
  ...HOOK_TYPES.map((type): Key => ({ name: `contact.NAME.hook_${type}`, kind: 'text', fallback: 'contact.NAME.hook' })),
  { name: 'contact.NAME.receipts', kind: 'bool', fallback: 'receipts' },
  { name: 'contact.NAME.notify', kind: 'ways', fallback: 'notify.by' },
]

const CONTACT = 'contact'
const WORDS: Record<Kind, string> = { duration: 'a duration', size: 'a size', bool: 'true or false', text: 'a text without NUL', hosts: 'a list of HOST:PORT', ways: "'bell', 'osc9', both or ''", hours: "hours as '22:00-07:00'" }
const QUOTA = 8 * 2 ** 30
const DURATION_MAX = 1e11 // seconds, as parseDuration: the end of it is still a date

type Value = number | boolean | string
type Values = ReadonlyMap<string, Value>

/** What holds for one contact. */
export interface ContactSettings {
  /** Seconds a message may wait to be delivered; Infinity: for ever. */
  expires: number
  /** Bytes of the largest message, in either direction. */
  message: number
  /** Bytes taken in a day. */
  quota: number
  /** The command for messages of each type; empty: none. */
  hooks: Readonly<Record<HookType, string>>
  /** It is told which of its messages were read. */
  receipts: boolean
}

export interface Given {
  environment?: Values
  file?: Values
  /** By NAME or KEY as written. */
  contacts?: ReadonlyMap<string, Values>
}

/** The settings of a home, checked. */
export class Config {
  readonly #environment: Values
  readonly #file: Values
  readonly #contacts: ReadonlyMap<string, Values>

  constructor({ environment, file, contacts }: Given = {}) {
    this.#environment = environment ?? new Map()
    this.#file = file ?? new Map()
    this.#contacts = contacts ?? new Map()
  }

  /** Seconds that p2p-send tries for. */
  get wait(): number {
    return this.#get('wait', 5)
  }

  /** Seconds after which the owner of a waiting message is told; Infinity: never. */
  get delayNotice(): number {
    return this.#get('delay_notice', 3 * 86_400)
  }

  /** Mail without subject and reply is put into one thread a day. */
  get chatThreads(): boolean {
    return this.#get('chat_threads', true)
  }

  /** Nothing is asked of anybody but contacts: no resolver, no router, no neighbours. */
  get quietNet(): boolean {
    return this.#get('quiet_net', false)
  }

  /** Strangers who hold the own token may ask to be contacts. */
  get requests(): boolean {
    return this.#get('requests', false)
  }

  /** Newer tokens of common contacts are asked of contacts, and given to them. */
  get passTokens(): boolean {
    return this.#get('pass_tokens', false)
  }

  /** The UDP port is used as well as TCP. */
  get udp(): boolean {
    return this.#get('udp', true)
  }

  /** The own router is asked to let the port through. */
  get map(): boolean {
    return this.#get('map', true) && !this.quietNet
  }

  /** Contacts in the own network may notice that this home is there. */
  get lan(): boolean {
    return this.#get('lan', true) && !this.quietNet
  }

  /** Servers that are asked how they see this home. */
  get stun(): Address[] {
    const text = this.#get<string>('stun', '')
    return text === '' ? [] : text.split(' ').map((each) => parseAddress(each, STUN_PORT))
  }

  /** Bytes that stay free on the disk; undefined: the usual floor. */
  get free(): number | undefined {
    return this.#get<number | undefined>('limits.free', undefined)
  }

  /** Messages of programs have commands run as well. */
  get hooksAuto(): boolean {
    return this.#get('hooks.auto', false)
  }

  /** Somebody is told which messages were read. */
  get wantsReceipts(): boolean {
    return this.#get('receipts', false) || [...this.#contacts.values()].some((table) => table.get('receipts') === true)
  }

  /** How p2p-chat tells of a message of this contact (undefined: of oneself). */
  notify(contact?: Pick<Contact, 'key' | 'name'>): { by: string[]; quiet: [number, number]; text: boolean } {
    const own = contact === undefined ? undefined : this.#tableOf(contact)?.get('notify')
    const by = (own as string | undefined) ?? this.#get('notify.by', 'bell')
    const [from = 0, until = 0] = this.#get('notify.quiet', '').split('-').filter((each) => each !== '').map(minuteOf)
    return { by: by.split(' ').filter((way) => way !== ''), quiet: [from, until], text: this.#get('notify.text', false) }
  }

  /** What the contact's own table says, else its file in the keyring, else what holds for all. */
  of(contact: Pick<Contact, 'key' | 'name' | 'limits'>): ContactSettings {
    const own = this.#tableOf(contact)
    const at = <T extends Value>(name: string, otherwise: T): T => (own?.get(name) as T | undefined) ?? otherwise
    const { maxMessage, quota } = contact.limits ?? {}
    const expires = at('expires', this.#get('expires', Infinity))
    return {
      expires: (this.#environment.get('expires') as number | undefined) ?? expires,
      message: at('message', maxMessage ?? this.#get('limits.message', MESSAGE_MAX)),
      quota: at('quota', quota ?? this.#get('limits.quota', QUOTA)),
      hooks: Object.fromEntries(HOOK_TYPES.map((type) => [type, this.#command(own, type)])) as ContactSettings['hooks'],
      receipts: at('receipts', this.#get('receipts', false)),
    }
  }

  /** The nearest word: the contact's own for this type, its own for all, that for this type, that for all. */
  #command(own: Values | undefined, type: HookType): string {
    const said = [own?.get(`hook_${type}`), own?.get('hook'), this.#file.get(`hooks.${type}`), this.#file.get('hooks.message')]
    return (said.find((each) => each !== undefined) as string | undefined) ?? ''
  }

  /**
   * The commands to be run for messages of this contact (KEY), by their type, empty for one that has none; undefined if
   * there is none for any.
   */
  hooksOf(keyring: Keyring, key: string): ContactSettings['hooks'] | undefined {
    const contact = keyring.byKey(key)
    const hooks = contact === undefined ? undefined : this.of(contact).hooks
    return hooks !== undefined && HOOK_TYPES.some((type) => hooks[type] !== '') ? hooks : undefined
  }

  /** For each table of somebody who is no contact: a line for people. It has no effect, which may be a typing error. */
  strangers(keyring: Keyring): string[] {
    const contacts = keyring.all()
    const names = [...this.#contacts.keys()].filter((name) => !contacts.some((contact) => means(name, contact)))
    return names.map((name) => {
      const meant = nearest(name, contacts.map((contact) => contact.name))
      return `${FILE}: no contact named ${quote(name)}${meant === undefined ? '' : `: did you mean '${meant}'?`}`
    })
  }

  #get<T extends Value | undefined>(name: string, otherwise: T): T {
    return ((this.#environment.get(name) ?? this.#file.get(name)) as T | undefined) ?? otherwise
  }

  /** A table by KEY counts before one by NAME: the name may have been somebody else's once. */
  #tableOf(contact: Pick<Contact, 'key' | 'name'>): Values | undefined {
    const found = [...this.#contacts.keys()].filter((name) => means(name, contact))
    const name = found.find((each) => each === contact.key) ?? found[0]
    return name === undefined ? undefined : this.#contacts.get(name)
  }
}

function means(name: string, { key, name: own }: Pick<Contact, 'key' | 'name'>): boolean {
  return name === key || foldName(name) === foldName(own)
}

/**
 * The settings of a home. Throws Failure 78 naming file, line and key, or the variable, for what is not in the table
 * or has no such value; 77 if the file may not be read.
 */
export async function loadConfig(home: Home, env: NodeJS.ProcessEnv = {}): Promise<Config> {
  const environment = readEnvironment(env)
  const path = home.at(FILE)
  let text: string | undefined
  try {
    text = await readText(home.files, path)
  } catch (error) {
    if (error instanceof Malformed) throw new Failure(EX.CONFIG, `${path}: not UTF-8`)
    throw ioFailure(error, `cannot read ${path}`)
  }
  if (text === undefined) return new Config({ environment })
  if (text.length > FILE_MAX) throw new Failure(EX.CONFIG, `${path}: longer than ${FILE_MAX} bytes`)
  const parse = await loadParser()
  const parsed = parse(text)
  if ('error' in parsed) throw wrong(path, parsed.line, parsed.error)
  const reader = new Reader((at, message) => wrong(path, lineOf(text, at, parse), message))
  reader.table(parsed.table, [])
  return new Config({ environment, file: reader.values, contacts: reader.contacts })
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

/** Throws Failure 64 if the text has another form. */
function readValue(kind: Kind, text: string): Value {
  if (kind === 'duration') return parseDuration(text)
  if (kind === 'size') return parseSize(text)
  if (kind === 'text') return text
  if (kind === 'hosts') return readHosts(text)
  if (kind === 'ways') return readWays(text)
  if (kind === 'hours') return readHours(text)
  if (text === 'true' || text === 'false') return text === 'true'
  throw new Failure(EX.USAGE, `bad value ${quote(text)}: write true or false`)
}

/** As one text, the hosts apart by blanks. */
function readHosts(text: string): string {
  const hosts = text.split(/\s+/).filter((each) => each !== '')
  if (hosts.length > HOSTS_MAX) throw new Failure(EX.USAGE, `at most ${HOSTS_MAX} hosts`)
  for (const each of hosts) parseAddress(each, STUN_PORT)
  return hosts.join(' ')
}

/** $P2P_WAIT and the like; an empty one counts as absent. */
function readEnvironment(env: NodeJS.ProcessEnv): Values {
  const values = new Map<string, Value>()
  for (const { name, kind } of KEYS.filter((key) => !key.name.includes('.'))) {
    const variable = `P2P_${name.toUpperCase()}`
    const text = env[variable] ?? ''
    if (text === '') continue
    try {
      values.set(name, readValue(kind, text))
    } catch (error) {
      throw error instanceof Failure ? new Failure(EX.CONFIG, `$${variable}: ${error.message}`) : error
    }
  }
  return values
}

function readWays(text: string): string {
  const ways = text.split(/[\s,]+/).filter((each) => each !== '')
  for (const way of ways) if (way !== 'bell' && way !== 'osc9') throw new Failure(EX.USAGE, `bad word ${quote(way)}: write bell or osc9`)
  return [...new Set(ways)].join(' ')
}

/** Two times of the day, the second may be of the next one; '' is never. */
function readHours(text: string): string {
  if (text === '' || /^(?:[01]\d|2[0-3]):[0-5]\d-(?:[01]\d|2[0-3]):[0-5]\d$/.test(text)) return text
  throw new Failure(EX.USAGE, `bad hours ${quote(text)}: write 22:00-07:00`)
}

function minuteOf(time: string): number {
  return Number(time.slice(0, 2)) * 60 + Number(time.slice(3))
}
