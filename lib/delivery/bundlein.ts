// p2p-queue import: a bundle that somebody brought. Each message takes the way of every other one: gathered, checked,
// committed, exactly once however often and in whatever order bundles come. What a damaged bundle holds before its
// damage is authentic and is taken; a message that was cut is kept as far as it came, like one of a broken link.

import { concat, equal, fromHex, hex, Reader } from '../base/bytes.ts'
import { EX, Failure, Malformed } from '../base/fail.ts'
import { base58 } from '../base/key.ts'
import type { Arrival } from '../disk/arrival.ts'
import type { Contact } from '../disk/contact.ts'
import type { Delivered, Inbox, Sender } from '../disk/inbox.ts'
import { openOutgoing } from '../disk/outgoing.ts'
import { settle } from '../disk/queue.ts'
import { describe, names } from '../disk/queueread.ts'
import { parseQueueName, STATES, type Queued } from '../disk/queued.ts'
import { noteReceipts, type Receipt } from '../disk/receipts.ts'
import { openBundle, openChunks, type OpenBundle, OPENING_SIZE, Pieces, RECEIPT_SIZE, receiptProof, RECORD } from '../wire/bundle.ts'
import { decodeHead, HEAD_FIXED, headLength, type Head } from '../wire/envelope.ts'
import type { Station } from './station.ts'

/** Complete messages committed together: this many, or this many bytes. */
const BATCH = 64
const BATCH_BYTES = 4 << 20

/** Bytes taken at once. */
const BLOCK = 1 << 20

const NO_ROOM = 'no room for it: bring it again later'

/** Receipts that are held before they are worked off. */
const RECEIPTS_MAX = 4096

export interface BundleEvents {
  received(message: Delivered, contact: Contact): void
  /** A receipt says that this message of ours is in the contact's inbox. */
  delivered(queued: Queued, contact: Contact): void
}

/** `passes`: another time it may be taken. */
export interface Refused {
  id: string
  text: string
  passes: boolean
}

export interface BundleResult {
  contact: Contact
  /** Unix ms, by the contact's clock. */
  created: number
  /** Messages delivered by this bundle. */
  messages: number
  /** Those that were in the inbox before. */
  known: number
  /** Those that are not taken, now or at all, with the reason in words. */
  refused: Refused[]
  /** Messages of ours that it acknowledges. */
  receipts: number
  /** What is wrong with the bundle from some place on. */
  damage?: Failure
}

/**
 * Takes a bundle in. Throws Failure 65 if it is none, for somebody else, or for a transport key that is gone; 67 if its
 * sender is no contact; 77 if the contact is blocked or the key in it is not the contact's. Throws what the disk threw.
 */
export async function importBundle(
  station: Station,
  source: AsyncIterable<Uint8Array>,
  events: BundleEvents,
): Promise<BundleResult> {
  const pieces = new Pieces(source)
  const open = await opened(station, pieces)
  const contact = await senderOf(station, open)
  const inbox = await station.inbox()
  const intake = new Intake(station, inbox, contact, events)
  const result: BundleResult = { contact, created: open.payload.created, messages: 0, known: 0, refused: [], receipts: 0 }
  try {
    await intake.take(new Pieces(chunksOf(pieces, open)), result)
  } catch (error) {
    if (!(error instanceof Damage || error instanceof Malformed)) throw error
    const cut = error.message === 'truncated'
    const what = cut ? 'the bundle is cut off' : `the bundle is damaged (${error.message})`
    result.damage = new Failure(EX.DATA, `${what}: what it holds before that was taken`)
  } finally {
    await intake.close(result)
  }
  return result
}

async function opened(station: Station, pieces: Pieces): Promise<OpenBundle> {
  const { home, suite, keyring } = station
  let open: ReturnType<typeof openBundle>
  try {
    const opening = await pieces.take(OPENING_SIZE)
    open = openBundle(opening, suite, home.random, { identity: keyring.self.identity, keys: station.keys })
  } catch (error) {
    if (!(error instanceof Malformed)) throw error
    throw new Failure(EX.DATA, error.message === 'not a bundle' ? error.message : `the bundle is damaged (${error.message})`)
  }
  if (open === 'other') throw new Failure(EX.DATA, 'the bundle is for somebody else')
  if (open === 'old') {
    throw new Failure(EX.DATA, 'the bundle was made for a transport key of yours that is gone: its maker needs your present token', 'p2p-id token')
  }
  return open
}

async function senderOf(station: Station, { transport, payload }: OpenBundle): Promise<Contact> {
  const { identity, seq, token } = payload
  const contact = await station.contactOf(transport, { identity, seqOwn: seq, token })
  if (contact !== undefined) return contact
  const held = station.keyring.byIdentity(identity)
  if (held === undefined) throw new Failure(EX.NO_CONTACT, `the bundle is from ${base58(identity)}, who is no contact`)
  if (held.blocked || held.revoked) {
    throw new Failure(EX.NOT_PERMITTED, `the bundle is from ${held.name}, who is ${held.revoked ? 'revoked' : 'blocked'}`)
  }
  const text = `the bundle says it is from ${held.name}, but the key in it is another than the one known of ${held.name}`
  throw new Failure(EX.NOT_PERMITTED, text, `p2p-id show ${held.name}`)
}

interface Taken {
  arrival: Arrival
  release: () => void
  receipt: Receipt
}

class Intake {
  readonly #station: Station
  readonly #inbox: Inbox
  readonly #contact: Contact
  readonly #events: BundleEvents
  #ready: Taken[] = []
  #readyBytes = 0
  /** For messages that were here before. */
  #known: Receipt[] = []
  #receipts: Receipt[] = []

  constructor(station: Station, inbox: Inbox, contact: Contact, events: BundleEvents) {
    this.#station = station
    this.#inbox = inbox
    this.#contact = contact
    this.#events = events
  }

  get #sender(): Sender {
    const { key, identity, name, verified } = this.#contact
    return { key, identity, name, verified: verified !== undefined }
  }

  /** Everything in the content. Throws Damage or Malformed where that is damaged. */
  async take(content: Pieces, result: BundleResult): Promise<void> {
    while (!(await content.ended())) {
      const [type] = await content.take(1)
      if (type === RECORD.MESSAGE) await this.#message(content, result)
      else if (type === RECORD.RECEIPT) await this.#receipt(await content.take(RECEIPT_SIZE), result)
      else throw new Malformed('unknown record')
    }
  }

  /** Commits what is whole, and notes what is to be told in the next bundle of the other direction. */
  async close(result: BundleResult): Promise<void> {
    await this.#commit(result)
    await this.#settle(result)
    await noteReceipts(this.#station.home, this.#contact.key, this.#known.splice(0))
  }

  async #message(content: Pieces, result: BundleResult): Promise<void> {
    const size = new Reader(await content.take(8)).size()
    const head = await this.#head(content, size)
    const { id } = head
    const receipt = { id, proof: receiptProof(this.#station.suite, head.bytes, fromHex(id)) }
    const rest = size - head.bytes.length
    if (this.#inbox.isActive(this.#contact.key, id)) await this.#commit(result) // twice in one bundle
    if (await this.#inbox.has(this.#contact.key, id)) {
      result.known++
      this.#known.push(receipt)
      return skip(content, rest)
    }
    const refusal = await this.#station.admission.refuse(this.#contact, size)
    if (refusal !== undefined) {
      const passes = refusal.retry > 0
      result.refused.push({ id, passes, text: passes ? NO_ROOM : 'larger than what is taken from this contact' })
      return skip(content, rest)
    }
    const place = await this.#inbox.arrive(this.#sender, id, size)
    if (place === undefined) throw new Error('a message is arriving twice')
    await this.#gather(content, head, { ...place, receipt }, result)
    if (this.#ready.length >= BATCH || this.#readyBytes >= BATCH_BYTES) await this.#commit(result)
  }

  async #head(content: Pieces, size: number): Promise<Head> {
    if (size < HEAD_FIXED) throw new Malformed('message of wrong length')
    const fixed = await content.take(HEAD_FIXED)
    const length = headLength(fixed) as number
    if (length > size) throw new Malformed('message of wrong length')
    return decodeHead(concat(fixed, await content.take(length - HEAD_FIXED)), this.#station.suite)
  }

  /** The body, from where an earlier attempt may have stopped. */
  async #gather(content: Pieces, head: Head, taken: Taken, result: BundleResult): Promise<void> {
    const { arrival, release } = taken
    let at = head.bytes.length
    try {
      if (arrival.offset === 0) await arrival.write(head.bytes)
      for (; at < arrival.offset; at += (await content.take(Math.min(BLOCK, arrival.offset - at))).length);
      while (!arrival.full) {
        const piece = await content.some(Math.min(BLOCK, arrival.size - at))
        if (piece.length === 0) throw new Damage('it ends inside a message')
        at += piece.length
        await arrival.write(piece)
      }
      if ((await arrival.check()) !== 'good') throw new Malformed('the body is not what the id says')
    } catch (error) {
      const broken = error instanceof Malformed
      await (broken ? arrival.discard() : arrival.suspend()).finally(release)
      if (!broken) throw error
      result.refused.push({ id: arrival.id, text: `malformed: ${error.message}`, passes: false })
      return skip(content, arrival.size - at)
    }
    this.#ready.push(taken)
    this.#readyBytes += arrival.size
  }

  async #commit(result: BundleResult): Promise<void> {
    const batch = this.#ready.splice(0)
    this.#readyBytes = 0
    if (batch.length === 0) return
    const { home, admission } = this.#station
    const { key } = this.#contact
    try {
      const { delivered, unplaced } = await this.#inbox.commit(batch.map(({ arrival }) => ({ arrival, from: this.#sender })))
      for (const { arrival } of batch) admission.count(key, arrival.size)
      const placed = batch.filter(({ arrival }) => !unplaced.has(arrival))
      for (const { id } of unplaced) result.refused.push({ id, text: NO_ROOM, passes: true })
      result.messages += delivered.length
      result.known += placed.length - delivered.length // another process was faster
      await noteReceipts(home, key, placed.map(({ receipt }) => receipt))
      for (const message of delivered) this.#events.received(message, this.#contact)
    } finally {
      for (const { release } of batch) release()
    }
  }

  async #receipt(bytes: Uint8Array, result: BundleResult): Promise<void> {
    this.#receipts.push({ id: hex(bytes.subarray(0, 32)), proof: bytes.slice(32) })
    if (this.#receipts.length >= RECEIPTS_MAX) await this.#settle(result)
  }

  /** Takes out of the queue what the receipts prove to have arrived; what proves nothing changes nothing. */
  async #settle(result: BundleResult): Promise<void> {
    const proofs = new Map(this.#receipts.splice(0).map(({ id, proof }) => [id, proof]))
    if (proofs.size === 0) return
    const { home } = this.#station
    const { key } = this.#contact
    for (const state of STATES) {
      const hits = (await names(home, key, state)).filter((name) => proofs.has(parseQueueName(name)?.id ?? ''))
      const arrived: Queued[] = []
      for (const queued of await describe(home, key, state, hits)) {
        if (await this.#proves(queued, proofs.get(queued.id) as Uint8Array)) arrived.push(queued)
      }
      await settle(home, arrived)
      result.receipts += arrived.length
      for (const queued of arrived) this.#events.delivered(queued, this.#contact)
    }
  }

  async #proves(queued: Queued, proof: Uint8Array): Promise<boolean> {
    const { home, suite } = this.#station
    try {
      const outgoing = await openOutgoing(home, suite, queued)
      if (outgoing === undefined) return false
      await outgoing.close()
      return equal(proof, receiptProof(suite, outgoing.head.bytes, fromHex(queued.id)))
    } catch (error) {
      if (error instanceof Malformed) return false // damaged here: nothing to compare with
      throw error
    }
  }
}

/** The bundle itself is cut or damaged, which says nothing about the message that it happened in. */
class Damage extends Error {}

async function* chunksOf(pieces: Pieces, { cipher }: OpenBundle): AsyncGenerator<Uint8Array> {
  try {
    yield* openChunks(pieces, cipher)
  } catch (error) {
    throw error instanceof Malformed ? new Damage(error.message) : error
  }
}

async function skip(content: Pieces, size: number): Promise<void> {
  for (let left = size; left > 0; ) {
    const piece = await content.some(Math.min(BLOCK, left))
    if (piece.length === 0) throw new Damage('it ends inside a message')
    left -= piece.length
  }
}
