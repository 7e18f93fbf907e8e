// A session has begun: what it tells about the two clocks, about who can reach this machine, and about copies of a
// home is noted for p2p-id doctor. Nothing here may hinder the session: a note that cannot be written is left out.

import type { Home } from '../disk/home.ts'
import { INSTANCES_MAX, type Meeting, readMeeting, writeMeeting } from '../disk/meetings.ts'
import { localAddresses } from '../net/interfaces.ts'
import type { Link } from '../net/link.ts'
import { formatAddress, isGlobal } from '../wire/address.ts'
import type { Payload1, Payload2 } from '../wire/hello.ts'

/** Notes a session with the contact `key`; `ownSeq` is the number of the own token, `instance` the contact's home. */
export async function noteMeeting(
  home: Home,
  key: string,
  link: Link,
  ownSeq: bigint,
  instance: string,
): Promise<void> {
  const held = await readMeeting(home, key)
  const now = home.clock.now()
  const { ip: host, port } = link.remote
  const called = !link.initiator && cameFromOutside(host)
  const outside = called ? { at: now, address: formatAddress({ host, port }) } : held?.outside
  const newer = newerToken(link, ownSeq) ?? held?.newerToken
  const meeting: Meeting = {
    at: now,
    skew: skewOf(link, now),
    ...(outside !== undefined && { outside }),
    ...(newer !== undefined && BigInt(newer) > ownSeq && { newerToken: newer }),
    instances: added(held?.instances ?? [], instance),
  }
  await writeMeeting(home, key, meeting)
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

/** Neither this machine nor the local network. */
function cameFromOutside(ip: string): boolean {
  return isGlobal({ host: ip }) && localAddresses(1).every(({ host }) => host !== ip)
}

function added(instances: readonly string[], now: string): string[] {
  return instances.at(-1) === now ? [...instances] : [...instances, now].slice(-INSTANCES_MAX)
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
