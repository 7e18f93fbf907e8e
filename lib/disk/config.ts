// config.toml: what a person has set for all commands of a home, p2p-config(5). A flag counts before the environment,
// the environment before the file.

import { EX, Failure, ioFailure, Malformed } from '../base/fail.ts'
import { foldName, nearest, quote } from '../base/text.ts'
import { type Address, parseAddress } from '../wire/address.ts'
import { MESSAGE_MAX } from '../wire/envelope.ts'
import { STUN_PORT } from '../wire/stun.ts'
import { readConfigFile } from './configfile.ts'
import { HOOK_TYPES, type HookType, KEYS, readValue, type Value, type Values } from './configkeys.ts'
import type { Contact } from './contact.ts'
import { readText } from './durable.ts'
import type { Home } from './home.ts'
import type { Keyring } from './keyring.ts'

const FILE = 'config.toml'
const QUOTA = 8 * 2 ** 30

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
  /** Worked out once for each contact as the keyring has it: for thousands of messages in a row. */
  readonly #settings = new WeakMap<object, ContactSettings>()
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

  /** The listener searches ports of contacts whose router gives every destination another one. */
  get birthday(): boolean {
    return this.#get('birthday', true) && !this.quietNet
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
    let settings = this.#settings.get(contact)
    if (settings === undefined) this.#settings.set(contact, (settings = this.#settingsOf(contact)))
    return settings
  }

  #settingsOf(contact: Pick<Contact, 'key' | 'name' | 'limits'>): ContactSettings {
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
  return new Config({ environment, ...(await readConfigFile(path, text)) })
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

function minuteOf(time: string): number {
  return Number(time.slice(0, 2)) * 60 + Number(time.slice(3))
}
