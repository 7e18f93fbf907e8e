// The keys of config.toml, p2p-config(5): which there are, and how the value of each kind is written. Pure.

import { EX, Failure } from '../base/fail.ts'
import { parseDuration, parseSize, quote } from '../base/text.ts'
import { parseAddress } from '../wire/address.ts'
import { STUN_PORT } from '../wire/stun.ts'

const HOSTS_MAX = 8
/** Ways of telling that a message has come. */
const WAYS: readonly string[] = ['bell', 'osc9', 'desktop']

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
  { name: 'birthday', kind: 'bool', fallback: 'true' },
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

/** What a value of each kind is, for people. */
export const WORDS: Readonly<Record<Kind, string>> = {
  duration: 'a duration',
  size: 'a size',
  bool: 'true or false',
  text: 'a text without NUL',
  hosts: 'a list of HOST:PORT',
  ways: "'bell', 'osc9', 'desktop', several of them or ''",
  hours: "hours as '22:00-07:00'",
}

export type Value = number | boolean | string
export type Values = ReadonlyMap<string, Value>

/** Throws Failure 64 if the text has another form. */
export function readValue(kind: Kind, text: string): Value {
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

function readWays(text: string): string {
  const ways = text.split(/[\s,]+/).filter((each) => each !== '')
  for (const way of ways) if (!WAYS.includes(way)) throw new Failure(EX.USAGE, `bad word ${quote(way)}: write bell, osc9 or desktop`)
  return [...new Set(ways)].join(' ')
}

/** Two times of the day, the second may be of the next one; '' is never. */
function readHours(text: string): string {
  if (text === '' || /^(?:[01]\d|2[0-3]):[0-5]\d-(?:[01]\d|2[0-3]):[0-5]\d$/.test(text)) return text
  throw new Failure(EX.USAGE, `bad hours ${quote(text)}: write 22:00-07:00`)
}
