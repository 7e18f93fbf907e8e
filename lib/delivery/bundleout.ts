// p2p-queue export: what waits for a contact, sealed into a bundle that somebody carries. Nothing leaves the queue by
// it: only the receipts of a bundle that comes back, or a session, say that a message has arrived.

import { fromHex } from '../base/bytes.ts'
import { Malformed } from '../base/fail.ts'
import type { Contact } from '../disk/contact.ts'
import { openOutgoing } from '../disk/outgoing.ts'
import { describe, names } from '../disk/queueread.ts'
import type { Queued } from '../disk/queued.ts'
import { readReceipts } from '../disk/receipts.ts'
import { BundleWriter, messageRecord, receiptRecord } from '../wire/bundle.ts'
import type { Station } from './station.ts'

/** Bytes read at once from a large message. */
const BLOCK = 1 << 20

/** Messages looked at together. */
const PAGE = 64

export interface BundleTally {
  /** Those in the bundle. */
  messages: Queued[]
  /** Receipts for messages that came in bundles of the contact. */
  receipts: number
  /** Those that are damaged on disk, and stay. */
  damaged: Queued[]
}

/** The bundle, piece by piece; `tally` is complete when it ends. What is held back or has expired stays here. */
export async function* exportBundle(
  station: Station,
  contact: Contact,
  tally: BundleTally,
): AsyncGenerator<Uint8Array> {
  const { home, suite, keyring } = station
  const { token, identity } = keyring.self
  const bundle = new BundleWriter(suite, home.random, station.ownKey, contact, {
    identity,
    seq: token.seq,
    created: home.clock.now(),
    token: token.bytes,
  })
  yield bundle.opening
  const waiting = await names(home, contact.key)
  for (let at = 0; at < waiting.length; at += PAGE) {
    for (const queued of await describe(home, contact.key, 'new', waiting.slice(at, at + PAGE))) {
      if (queued.opts.expires !== undefined && queued.opts.expires <= home.clock.now()) continue
      yield* write(bundle, contentOf(station, queued, tally))
    }
  }
  for (const { id, proof } of await readReceipts(home, contact.key)) {
    yield* bundle.write(receiptRecord(fromHex(id), proof))
    tally.receipts++
  }
  yield bundle.finish()
}

async function* write(bundle: BundleWriter, content: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const bytes of content) yield* bundle.write(bytes)
}

/** The record of one message; nothing if it is gone or damaged. */
async function* contentOf(station: Station, queued: Queued, tally: BundleTally): AsyncGenerator<Uint8Array> {
  let outgoing: Awaited<ReturnType<typeof openOutgoing>>
  try {
    outgoing = await openOutgoing(station.home, station.suite, queued)
  } catch (error) {
    if (!(error instanceof Malformed)) throw error
    tally.damaged.push(queued)
    return
  }
  if (outgoing === undefined) return
  try {
    yield messageRecord(outgoing.size)
    for (let at = 0; at < outgoing.size; ) {
      const bytes = await outgoing.read(at, BLOCK)
      if (bytes.length === 0) throw new Malformed('message truncated on disk')
      yield bytes
      at += bytes.length
    }
    tally.messages.push(queued)
  } finally {
    await outgoing.close()
  }
}
