// What must be true after a crash, once the two have met again: the message that was accepted is in the inbox exactly
// once and is what was sent; one that was on its way to being accepted may be there or not, but never half; nothing
// else has come, nothing waits, nothing lies around.

import { readFileSync } from 'node:fs'

import type { Held, Peer } from '../peer.ts'
import { until } from '../peer.ts'
import type { Cast, Letter } from './cast.ts'

/** From the ACK to the last trace of the message, on a busy machine. */
const SETTLED_MS = 30_000

export interface Verdict {
  /** Accepted and not in the inbox. */
  lost: number
  /** In the inbox more than once. */
  doubled: number
  /** In the inbox or in sent/, but not as it was sent. */
  changed: number
  /** Whatever else is not as it should be. */
  complaints: string[]
}

/** The verdict over one message; `id` is known if anybody was told of it. */
export async function judge(
  { alice, bob }: Cast,
  letter: Letter,
  { id, accepted }: { id: string | undefined; accepted: boolean },
): Promise<Verdict> {
  const complaints: string[] = []
  const strays = await lasting(() => [...straysOf(alice), ...straysOf(bob)])
  const came = await held(bob, 'inbox', complaints)
  const kept = await held(alice, 'sent', complaints)
  const changed = [...came, ...kept].filter((one) => !isSame(letter, one)).length
  const known = id ?? came[0]?.id
  for (const one of [...came, ...kept]) if (one.id !== known) complaints.push(`${one.id} came, ${known} was sent`)
  const recorded = readFileSync(bob.at('seen'), 'latin1').split(` ${known} `).length - 1
  if (recorded !== Math.min(1, came.length)) complaints.push(`${recorded} records in seen`)
  if (accepted && kept.length !== 1) complaints.push(`${kept.length} copies in sent/`)
  if (kept.length > 1) complaints.push('doubled in sent/')
  complaints.push(...strays)
  for (const peer of [alice, bob]) {
    const files = peer.files('files').filter((name) => name !== known || came.length === 0)
    complaints.push(...files.map((name) => `${peer.name}'s files/${name}`))
  }
  return {
    lost: accepted && came.length === 0 ? 1 : 0,
    doubled: came.length > 1 ? 1 : 0,
    changed,
    complaints,
  }
}

function straysOf(peer: Peer): string[] {
  return peer.strays().map((name) => `${peer.name}'s ${name}`)
}

/** What is found and does not go away: a listener has its own pace. */
async function lasting(find: () => string[]): Promise<string[]> {
  const first = new Set(find())
  const left = (): string[] => find().filter((name) => first.has(name))
  await until('it to go away', () => left().length === 0, SETTLED_MS).catch(() => undefined)
  return left()
}

/** What stands in a box; a mail that cannot be read is a complaint. */
async function held(peer: Peer, box: 'inbox' | 'sent', complaints: string[]): Promise<Held[]> {
  try {
    return await peer.box(box)
  } catch (error) {
    complaints.push(`${peer.name}'s ${box}: ${String(error)}`)
    return []
  }
}

/** Everything of a message that its recipient gets, to the byte. */
function isSame({ text, files }: Letter, held: Held): boolean {
  const words = text === undefined ? undefined : new TextEncoder().encode(text)
  if (words === undefined || held.text === undefined ? words !== held.text : Buffer.compare(words, held.text) !== 0) return false
  if (files.length !== held.files.length) return false
  return files.every(({ name, bytes }, i) => held.files[i]?.name === name && Buffer.compare(bytes, held.files[i].bytes) === 0)
}
