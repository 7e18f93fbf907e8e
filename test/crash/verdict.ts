// What must be true after a crash, once the two have met again: the message that was accepted is in the inbox exactly
// once and is what was sent; one that was on its way to being accepted may be there or not, but never half; nothing
// else has come, nothing waits, nothing lies around.

import { closeSync, openSync, readFileSync, readSync } from 'node:fs'

import { collect, utf8 } from '../../lib/base/bytes.ts'
import { isCode } from '../../lib/base/fail.ts'
import type { Home } from '../../lib/disk/home.ts'
import { describe, openMessage } from '../../lib/disk/inboxview.ts'
import { type Box, listMaildir } from '../../lib/disk/maildir.ts'
import { type ReadPart } from '../../lib/wire/mailread.ts'
import type { Peer } from '../peer.ts'
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
  const came = await held(bob, 'inbox', letter, complaints)
  const kept = await held(alice, 'sent', letter, complaints)
  const changed = [...came, ...kept].filter(({ same }) => !same).length
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
  try {
    return peer.strays().map((name) => `${peer.name}'s ${name}`)
  } catch (error) {
    if (isCode(error, 'ENOENT')) return straysOf(peer) // what was listed has just gone
    throw error
  }
}

/** What is found and does not go away: a listener has its own pace. */
async function lasting(find: () => string[]): Promise<string[]> {
  const first = new Set(find())
  const left = (): string[] => find().filter((name) => first.has(name))
  await until('it to go away', () => left().length === 0, SETTLED_MS).catch(() => undefined)
  return left()
}

interface Mail {
  id: string
  /** It is this letter, to the byte. */
  same: boolean
}

/** What stands in a box; a mail that cannot be read is a complaint. */
async function held({ home, name }: Peer, box: Box, letter: Letter, complaints: string[]): Promise<Mail[]> {
  const view = { home, nameOf: () => undefined }
  const mails: Mail[] = []
  try {
    for (const entry of await listMaildir(home, box)) {
      const message = await describe(view, entry, 'text')
      if (message === undefined) throw new Error(`${entry.path} vanished`)
      let same = false
      await openMessage(view, message, async ({ parts }) => {
        same = await isSame(home, parts, letter)
      })
      mails.push({ id: message.info.id ?? '', same })
    }
  } catch (error) {
    complaints.push(`${name}'s ${box}: ${String(error)}`)
  }
  return mails
}

async function isSame(home: Home, parts: readonly ReadPart[], { text, files }: Letter): Promise<boolean> {
  const wanted = [
    ...(text === undefined ? [] : [{ kind: 'text', name: undefined, bytes: utf8(text) }]),
    ...files.map((file) => ({ kind: 'file', ...file })),
  ]
  if (parts.length !== wanted.length) return false
  for (const [i, part] of parts.entries()) {
    const { kind, name, bytes } = wanted[i] as (typeof wanted)[number]
    if (part.kind !== kind || (kind === 'file' && part.name !== name)) return false
    if (part.external === undefined) {
      if (Buffer.compare(await collect(part.content()), bytes) !== 0) return false
    } else if (!isSameFile(home.at(part.external), bytes)) {
      return false
    }
  }
  return true
}

const scratch = Buffer.alloc(1 << 20)

/** Piece by piece: what is read whole a thousand times costs more than all else. */
function isSameFile(path: string, bytes: Uint8Array): boolean {
  const fd = openSync(path, 'r')
  try {
    for (let at = 0; ; ) {
      const count = readSync(fd, scratch, 0, scratch.length, at)
      if (count === 0) return at === bytes.length
      if (Buffer.compare(scratch.subarray(0, count), bytes.subarray(at, at + count)) !== 0) return false
      at += count
    }
  } finally {
    closeSync(fd)
  }
}
