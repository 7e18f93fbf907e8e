// Strangers who knock, p2p-wire(7), FIRST CONTACT: requests/KEY.json until somebody decides, requests/KEY.refused for
// those who need not ask again (p2p-spool(5)). Whoever has the own token can write here, so all of it is bounded: so many
// requests, so many of one source, a random one making room, small files, no fsync. Losing one costs its sender a
// further knock.

import { fromUtf8, utf8 } from '../base/bytes.ts'
import { EX, Failure, isCode, Malformed } from '../base/fail.ts'
import { base58 } from '../base/key.ts'
import { fraction } from '../base/random.ts'
import { quote } from '../base/text.ts'
import { isoTime } from '../base/utc.ts'
import { formatToken, parseToken } from '../wire/token.ts'
import { isContact } from './keyring.ts'

import type { Token } from '../wire/token.ts'
import type { Home } from './home.ts'

/** Requests that wait for a decision, and how many of them may come from one source. */
export const REQUESTS_MAX = 32
export const REQUESTS_PER_SOURCE = 4

/** Refusals that are remembered; the oldest goes. */
const REFUSED_MAX = 1024

/** Digits of a KEY that are enough to name a request, if no other begins so. */
const PREFIX_MIN = 6

const FOLDER = 'requests'
const FILE = '.json'
const REFUSED = '.refused'
const DROPPED = 'dropped'

export interface KnockRequest {
  readonly key: string
  readonly token: Token
  /** Unix ms. */
  readonly received: number
  /** An IPv4 address or an IPv6 /64. */
  readonly source: string
}

/**
 * Keeps the request of a token that was verified. Undefined if nothing is new: it waits already (a newer token takes the
 * place of an older one), was refused before, or is a contact by now.
 */
export async function keepRequest(home: Home, token: Token, source: string): Promise<KnockRequest | undefined> {
  const { files, clock, random } = home
  const key = base58(token.identity)
  await files.mkdir(home.at(FOLDER))
  const names = await files.list(home.at(FOLDER))
  if (names.includes(key + REFUSED)) return undefined
  const waiting = await load(home, names)
  const held = waiting.find((each) => each.key === key)
  if (held !== undefined && held.token.seq >= token.seq) return undefined
  const others = waiting.filter((each) => each.key !== key)
  const ofSource = others.filter((each) => each.source === source)
  const full = ofSource.length >= REQUESTS_PER_SOURCE ? ofSource : others.length >= REQUESTS_MAX ? others : []
  const victim = full[Math.floor(fraction(random) * full.length)]
  if (victim !== undefined) {
    await files.unlink(home.at(FOLDER, victim.key + FILE))
    await write(home, DROPPED, `${(await droppedRequests(home)) + 1}\n`)
  }
  const received = held?.received ?? clock.now()
  const record = { v: 1, received: isoTime(received), source, token: formatToken(token) }
  await write(home, key + FILE, `${JSON.stringify(record)}\n`)
  if (await isContact(home, key)) { // accepted while it knocked: whoever did that may have ended its request before
    await files.unlink(home.at(FOLDER, key + FILE))
    return undefined
  }
  return held === undefined ? { key, token, received, source } : undefined
}

/** What waits for a decision, the oldest first. */
export async function listRequests(home: Home): Promise<KnockRequest[]> {
  return load(home, await home.files.list(home.at(FOLDER)))
}

/** How many were dropped, for want of room, since none waited the last time. */
export async function droppedRequests(home: Home): Promise<number> {
  try {
    return Number(/^(\d{1,15})\n$/.exec(fromUtf8(await home.files.read(home.at(FOLDER, DROPPED))))?.[1] ?? 0)
  } catch (error) {
    if (isCode(error, 'ENOENT')) return 0
    throw error
  }
}

/** The request that a KEY, or the beginning of one, means. Throws Failure 1 if there is none, 65 if there are several. */
export async function findRequest(home: Home, text: string): Promise<KnockRequest> {
  const all = await listRequests(home)
  const exact = all.filter(({ key }) => key === text)
  const hits = exact.length > 0 || text.length < PREFIX_MIN ? exact : all.filter(({ key }) => key.startsWith(text))
  const [only, second] = hits
  if (second !== undefined) {
    throw new Failure(EX.DATA, `${quote(text)} may be ${hits.map(({ key }) => key).join(', ')}`, 'p2p-id requests')
  }
  if (only === undefined) throw new Failure(EX.NEGATIVE, `no request of ${quote(text)}`, 'p2p-id requests')
  return only
}

/** Takes a request away: it was accepted, or, `refused`, its sender need not ask again. */
export async function endRequest(home: Home, key: string, refused: boolean): Promise<void> {
  const { files } = home
  if (refused) await write(home, key + REFUSED, '')
  else await files.unlink(home.at(FOLDER, key + REFUSED)) // of an earlier day
  await files.unlink(home.at(FOLDER, key + FILE))
  const names = await files.list(home.at(FOLDER))
  if (!names.some((name) => name.endsWith(FILE))) await files.unlink(home.at(FOLDER, DROPPED))
  if (refused) await forgetRefusals(home, names)
}

async function forgetRefusals(home: Home, names: string[]): Promise<void> {
  const refusals = names.filter((name) => name.endsWith(REFUSED))
  if (refusals.length <= REFUSED_MAX) return
  const aged = await Promise.all(
    refusals.map(async (name) => ({ name, at: (await home.files.stat(home.at(FOLDER, name)))?.mtimeMs ?? 0 })),
  )
  aged.sort((a, b) => a.at - b.at)
  for (const { name } of aged.slice(0, -REFUSED_MAX)) await home.files.unlink(home.at(FOLDER, name))
}

/** What does not parse was torn by a crash: it is removed. */
async function load(home: Home, names: readonly string[]): Promise<KnockRequest[]> {
  const found: KnockRequest[] = []
  for (const name of names.filter((each) => each.endsWith(FILE))) {
    const path = home.at(FOLDER, name)
    try {
      found.push(parse(fromUtf8(await home.files.read(path)), name.slice(0, -FILE.length)))
    } catch (error) {
      if (isCode(error, 'ENOENT')) continue // decided meanwhile
      if (!(error instanceof SyntaxError || error instanceof Malformed || error instanceof Failure)) throw error
      await home.files.unlink(path)
    }
  }
  return found.sort((a, b) => a.received - b.received)
}

function parse(text: string, key: string): KnockRequest {
  const value: unknown = JSON.parse(text)
  const { received, source, token } = (value ?? {}) as Record<string, unknown>
  const parsed = parseToken(String(token))
  const at = Date.parse(String(received))
  if (base58(parsed.identity) !== key || !Number.isFinite(at) || typeof source !== 'string') throw new Malformed('request')
  return { key, token: parsed, received: at, source }
}

/** Whole or not at all as long as the power stays on. Each name has one process that writes it. */
async function write(home: Home, name: string, text: string): Promise<void> {
  const { files } = home
  const temporary = home.at(FOLDER, `${name}.new`) // one name: what a killed process left is used again
  await files.unlink(temporary)
  const handle = await files.open(temporary, 'create')
  try {
    await handle.write(utf8(text))
  } finally {
    await handle.close()
  }
  await files.rename(temporary, home.at(FOLDER, name))
}
