// A session has begun: what it tells about the two clocks, about who can reach this machine, and about copies of a
// home is noted for p2p-id doctor, and copies that take turns are told of each other. Nothing here may hinder the
// session: a note that cannot be written is left out.

import type { Contact } from '../disk/contact.ts'
import type { Home } from '../disk/home.ts'
import { INSTANCES_MAX, type Meeting, readMeeting, writeMeeting } from '../disk/meetings.ts'
import { localAddresses } from '../net/interfaces.ts'
import type { Link } from '../net/link.ts'
import type { Outside } from '../net/outside.ts'
import { formatAddress, isGlobal, parseAddress } from '../wire/address.ts'
import type { Payload1, Payload2 } from '../wire/hello.ts'

/** Copies that took turns are spoken of for so long after they last did. */
const TURNS_MS = 7 * 86_400_000

/** First half of an instance, hex: stays while a home stays in its place, see instanceOf(). */
const PLACE_DIGITS = 8

/** What SETTINGS say of homes: the contact's own, and whether it has met two copies of this one in turns. */
export interface Greeting {
  /** 16 hex digits. */
  instance: string
  copies: boolean
}

/** What a session tells at its beginning. */
export interface Noted {
  /** What a person should know of it. */
  news: string[]
  /** Whether two copies of the contact's home take turns: what SETTINGS tell it. */
  takesTurns: boolean
  /** Resolves when it is written down; rejects if it cannot be. */
  written: Promise<void>
}

/** Notes a session with a contact; `ownSeq` is the number of the own token. One at a time for each contact. */
export async function noteMeeting(
  home: Home,
  { key, name }: Pick<Contact, 'key' | 'name'>,
  link: Link,
  ownSeq: bigint,
  { instance, copies }: Greeting,
): Promise<Noted> {
  const held = await readMeeting(home, key)
  const now = home.clock.now()
  const { ip: host, port } = link.remote
  const called = !link.initiator && cameFromOutside(host)
  const outside = called ? { at: now, address: formatAddress({ host, port }), over: link.carrier } : held?.outside
  const seen = seenBy(link, now) ?? held?.seen
  const newer = newerToken(link, ownSeq) ?? held?.newerToken
  const known = held?.instances ?? []
  const turns = comesBack(known, instance) ? now : held?.turns
  const meeting: Meeting = {
    at: now,
    skew: skewOf(link, now),
    ...(outside !== undefined && { outside }),
    ...(seen !== undefined && { seen }),
    ...(newer !== undefined && BigInt(newer) > ownSeq && { newerToken: newer }),
    instances: known.at(-1) === instance ? known : [...known, instance].slice(-INSTANCES_MAX),
    ...(turns !== undefined && { turns }),
    ...(copies && { told: now }),
    ...(link.found && { found: true }),
  }
  const written = writeMeeting(home, key, meeting)
  const news: string[] = []
  if (turns === now && !isRecent(held?.turns, now)) news.push(`two copies of the home of ${name} are in use at once`)
  if (copies && !isRecent(held?.told, now)) news.push(`${name} has met two copies of this home in turns`)
  return { news, takesTurns: isRecent(turns, now), written }
}

/** Whether two copies of the home of the contact `key` take turns: what SETTINGS tell both of them. */
export async function takeTurns(home: Home, key: string): Promise<boolean> {
  return isRecent((await readMeeting(home, key))?.turns, home.clock.now())
}

/** Whether what `turns` or `told` of a meeting says still counts. */
export function isRecent(at: number | undefined, now: number): boolean {
  return at !== undefined && now - at < TURNS_MS
}

/** True if this home of the contact was met before, and another one since. */
function comesBack(seen: readonly string[], now: string): boolean {
  const place = now.slice(0, PLACE_DIGITS)
  let away = false
  for (const one of seen.toReversed()) {
    if (one === now) return one !== seen.at(-1)
    const here = one.startsWith(place)
    if (here && away) return true
    away ||= !here
  }
  return false
}

/** Milliseconds by which the other clock is ahead; of a caller to a second: its time stamps are jittered. */
function skewOf(link: Link, now: number): number {
  const then = now - link.age
  const theirs = link.initiator ? Number((link.hello as Payload2).clock) : Number((link.hello as Payload1).ts / 1000n)
  return Math.round(theirs - then)
}

/** A caller says which token of ours it holds. */
function newerToken(link: Link, ownSeq: bigint): string | undefined {
  if (link.initiator) return undefined
  const { seqHeld } = link.hello as Payload1
  return seqHeld > ownSeq ? String(seqHeld) : undefined
}

/** Who answers over UDP says where it sees this machine's port. */
function seenBy(link: Link, now: number): Meeting['seen'] {
  if (!link.initiator || link.carrier !== 'udp') return undefined
  const { observed } = link.hello as Payload2
  if (observed === undefined) return undefined
  const { ip: host, port } = observed
  return { at: now, address: formatAddress({ host, port }), here: hosts() }
}

/** What contacts saw lately counts for `outside` again, as long as this machine's addresses are the same. */
export async function recallSights(home: Home, keys: readonly string[], outside: Outside): Promise<void> {
  const here = hosts().join()
  for (const key of keys) {
    const { seen } = (await readMeeting(home, key)) ?? {}
    if (seen === undefined || seen.here.join() !== here) continue
    const { host: ip, port } = parseAddress(seen.address, 0)
    outside.recall(key, { ip, port }, Math.max(0, home.clock.now() - seen.at))
  }
}

/** The addresses of this machine, in an order that stays. */
export function hosts(): string[] {
  return localAddresses(1).map(({ host }) => host).sort()
}

/** Neither this machine nor the local network. */
function cameFromOutside(ip: string): boolean {
  return isGlobal({ host: ip }) && localAddresses(1).every(({ host }) => host !== ip)
}

/** For a sender at a terminal, when a contact was called in vain: what is missing, or who tries again. */
export async function adviceFor(home: Home, key: string, name: string): Promise<string> {
  if ((await readMeeting(home, key)) === undefined) {
    return (
      `${name} was never met yet: ${name} must have added you (p2p-id token prints what to hand over) and run ` +
      'p2p-listen, and one of you two must be reachable through firewall and router'
    )
  }
  return `tried again when ${name} shows up, as long as p2p-listen runs here, or by p2p-queue flush ${name}`
}
