// Receivers whose lives a test plays in its own process, one after the other or side by side, and the messages they take.

import { readdir, rm } from 'node:fs/promises'

import * as assert from 'uvu/assert'

import { collect } from '../lib/base/bytes.ts'
import { nodeSuite } from '../lib/crypto/suite-node.ts'
import type { Home } from '../lib/disk/home.ts'
import { Inbox, type Sender } from '../lib/disk/inbox.ts'
import { findMessage } from '../lib/disk/inboxlookup.ts'
import { openMessage, partContent } from '../lib/disk/inboxview.ts'
import { envelope, pattern, type Side } from './pair.ts'

/** The tests play several processes in one: what one of them held is free once it is dead. */
export async function breakLocks(home: Home): Promise<void> {
  for (const name of await readdir(home.at('lock'))) {
    if (name.startsWith('receiver.')) await rm(home.at('lock', name), { recursive: true })
  }
}

export interface Message {
  id: string
  bytes: Uint8Array
  parts: { type?: string; bytes: Uint8Array }[]
}

const LARGE = pattern((10 << 20) + 77)

/** Bytes of its own at the start, the end and between. */
function marked(seed: number): Uint8Array {
  const bytes = LARGE.slice()
  for (let at = 0; at < bytes.length; at += 1 << 20) bytes[at] = seed
  return bytes
}

export const SHAPES: Record<string, (seed: number) => Message['parts']> = {
  'a small text': (seed) => [{ type: 'text/plain', bytes: pattern(500, seed).map((byte) => 97 + (byte % 26)) }],
  'three files': (seed) => [1, 2, 3].map((i) => ({ bytes: pattern(60_000 * i, seed + i) })),
  'a file of more than 10 MiB': (seed) => [
    { type: 'text/plain', bytes: new TextEncoder().encode(`look ${seed}\n`) },
    { bytes: marked(seed) },
  ],
}

export function make(from: Side, shape: string, seed: number): Message {
  const parts = SHAPES[shape]?.(seed) ?? []
  const { head, bytes } = envelope(from, parts)
  return { id: head.id, bytes, parts }
}

/** One life of a receiver: takes what is offered; true once it has answered that it has it. */
export async function live(home: Home, side: Side, from: Sender, message: Message, cut = Infinity): Promise<boolean> {
  const inbox = await Inbox.open(home, nodeSuite, side.keyring.self)
  if (await inbox.has(from.key, message.id)) {
    await inbox.close()
    return true
  }
  const place = await inbox.arrive(from, message.id, message.bytes.length)
  assert.ok(place)
  const { arrival, release } = place
  while (!arrival.full && arrival.offset < cut) {
    await arrival.write(message.bytes.subarray(arrival.offset, arrival.offset + 32_768))
    if (!arrival.full) continue
    if ((await arrival.check()) === 'bad') throw new Error('bad')
  }
  if (!arrival.full) {
    await arrival.suspend()
  } else {
    if ((await arrival.check()) !== 'good') throw new Error('not good')
    await inbox.commit([{ arrival, from }])
  }
  release()
  await inbox.close()
  return arrival.full
}

/** Exactly once, every byte, no rest. */
export async function check(home: Home, key: string, message: Message): Promise<void> {
  const names = [...(await readdir(home.at('inbox', 'new'))), ...(await readdir(home.at('inbox', 'cur')))]
  assert.is(names.filter((name) => name.includes(message.id.slice(0, 32))).length, 1, 'once')
  assert.equal(await readdir(home.at('part', key)), [], 'nothing left in part/')
  const view = { home, nameOf: () => undefined }
  await openMessage(view, await findMessage(view, message.id), async (mail) => {
    assert.is(mail.parts.length, message.parts.length)
    for (const [i, part] of mail.parts.entries()) {
      assert.is(Buffer.compare(await collect(partContent(home, part)), message.parts[i]?.bytes ?? new Uint8Array()), 0, 'bytes')
    }
  })
}

export function senderOf({ contact }: Side): Sender {
  return { key: contact.key, identity: contact.identity, name: contact.name, verified: false }
}
