// The receiving half of a session: p2p-spool(5), RECEIVER. Asks for what is offered within its limits, hands the bytes
// to arrivals, commits what is whole in groups and answers only after the commit. The contact is authenticated, not
// trusted: frames out of turn end the session, nonsense inside a message is refused.

import { Malformed } from '../base/fail.ts'
import { compileLate, discard } from '../base/garbage.ts'
import type { Arrival } from '../disk/arrival.ts'
import type { Contact } from '../disk/contact.ts'
import { type Delivered, type Inbox, PARTS_MAX, type Sender } from '../disk/inbox.ts'
import type { Link } from '../net/link.ts'
import { LIST_MAX, PUSH_MAX, REFUSE } from '../wire/frame.ts'
import { GroupCommit } from './groupcommit.ts'
import { type Admission, fullDisk, isFullDisk, MANY, Recent, type Refusal, SETTLED } from './limits.ts'
import { LARGE_OPEN, SMALL, Window } from './window.ts'

/** Offers of the other side that may be open. */
const OFFERS_MAX = 1024

/** Bytes of messages that came unasked and are still looked at. */
const PUSHED_MAX = 4 * PUSH_MAX

const WRONG = 'the body is not what the id says'

export interface ReceiveOptions {
  inbox: Inbox
  link: Link
  contact: () => Contact
  admission: Admission
  delivered: (message: Delivered) => void
  /** So many bytes of a message are here. */
  progress?: (id: string, done: number, size: number) => void
}

interface Offer {
  id: string
  size: number
}

interface Incoming {
  arrival: Arrival
  release: () => void
  /** Frames of an earlier WANT may still come. */
  stale: boolean
  /** A small one that is whole: while it is committed, others may come. */
  here: boolean
}

export class Receiving {
  readonly #inbox: Inbox
  readonly #link: Link
  readonly #contactNow: () => Contact
  readonly #admission: Admission
  readonly #delivered: (message: Delivered) => void
  readonly #progress: ReceiveOptions['progress']
  /** Offered, not asked for yet; by id, in the order of the offers. */
  readonly #small = new Map<string, Offer>()
  readonly #large = new Map<string, Offer>()
  /** Whole messages that came unasked, by id. */
  readonly #pushed = new Map<string, Uint8Array>()
  /** Asked for. */
  readonly #open = new Map<string, Incoming>()
  readonly #window = new Window()
  /** Offered and not answered for good, the above included. */
  readonly #offered = new Map<string, Offer>()
  /** Ids that are done with while their bytes may still be on the way. */
  readonly #answered = new Recent()
  readonly #commits: GroupCommit<Incoming>
  #work: Promise<void> = Promise.resolve()
  #pending = 0
  #error: unknown
  #wantsNoMore = false
  /** PAD frames that DATA has earned. */
  pads = 0
  /** The other side said that it has offered all it holds. */
  saidAll = false
  /** Bytes taken in; a message that is settled counts as SETTLED of them. */
  moved = 0
  /** Calls of the own disk that are under way: nobody else is to blame for their time. */
  atDisk = 0
  onProgress: () => void = () => undefined

  constructor(options: ReceiveOptions) {
    this.#inbox = options.inbox
    this.#link = options.link
    this.#contactNow = options.contact
    this.#admission = options.admission
    this.#delivered = options.delivered
    this.#progress = options.progress
    this.#commits = new GroupCommit({
      commit: (batch, written) => this.#commit(batch, written),
      isHalted: () => this.#error !== undefined,
      failed: (error) => this.#note(error),
      progress: () => this.onProgress(),
    })
  }

  get #contact(): Contact {
    return this.#contactNow()
  }

  /** For the mail. */
  get #sender(): Sender {
    const { key, identity, name, verified } = this.#contactNow()
    return { key, identity, name, verified: verified !== undefined }
  }

  get busy(): boolean {
    return this.#offered.size > 0 || this.#pending > 0 || this.#commits.busy
  }

  /** Offered by the other side, and not answered for good. */
  isOpen(id: string): boolean {
    return this.#offered.has(id)
  }

  /** Something was asked for and is not committed yet. */
  get inFlight(): boolean {
    return this.#open.size > 0 || this.#pending > 0 || this.#commits.busy
  }

  get error(): unknown {
    return this.#error
  }

  /** Asks for nothing more; what was asked for is finished. */
  stop(): void {
    this.#wantsNoMore = true
  }

  /** False: out of turn. */
  offer(items: Offer[]): boolean {
    if (items.length === 0) {
      this.saidAll = true
      return true
    }
    this.saidAll = false
    if (this.#offered.size + items.length > OFFERS_MAX) return false
    const fresh = items.filter(({ id }) => !this.#offered.has(id))
    for (const item of fresh) this.#offered.set(item.id, item)
    if (this.#offered.size >= MANY) compileLate()
    if (fresh.length > 0) this.#then(() => this.#consider(fresh))
    return true
  }

  /**
   * A whole message unasked. What there is no room to keep until it is looked at is asked for as any other. False: out of
   * turn.
   */
  push(id: string, bytes: Uint8Array): boolean {
    this.pads++
    const held = [...this.#pushed.values()].reduce((sum, { length }) => sum + length, 0)
    if (held + bytes.length <= PUSHED_MAX) this.#pushed.set(id, bytes)
    return this.offer([{ id, size: bytes.length }])
  }

  /** False: out of turn. A promise, which resolves when the bytes are taken, if that takes time. */
  data(id: string, offset: number, bytes: Uint8Array): boolean | Promise<boolean> {
    if (!this.#offered.has(id) && !this.#answered.has(id)) return false
    this.pads++
    const incoming = this.#open.get(id)
    return incoming === undefined || this.#take(incoming, offset, bytes)
  }

  #take(incoming: Incoming, offset: number, bytes: Uint8Array): boolean | Promise<boolean> {
    const { arrival } = incoming
    if (arrival.full) return false // it is being committed: nothing may touch it any more
    if (offset !== arrival.offset) return incoming.stale
    incoming.stale = false
    try {
      if (!arrival.takesNow(bytes)) return this.#store(incoming, bytes)
      this.#took(arrival, bytes)
      if (!arrival.full) return true
      if (arrival.check() !== 'good') throw new Malformed(WRONG) // a small one, which knows at once
    } catch (error) {
      return this.#reject(incoming, error).then(() => true)
    }
    this.#hold(incoming)
    return true
  }

  #took(arrival: Arrival, bytes: Uint8Array): void {
    this.moved += bytes.length
    if (arrival.size <= SMALL) return
    discard(bytes) // they were copied
    this.#progress?.(arrival.id, arrival.offset, arrival.size)
  }

  async #store(incoming: Incoming, bytes: Uint8Array): Promise<true> {
    const { arrival } = incoming
    try {
      await this.#onDisk(arrival.write(bytes))
      this.#took(arrival, bytes)
      if (arrival.full) await this.#complete(incoming)
    } catch (error) {
      await this.#reject(incoming, error)
    }
    return true
  }

  /** The other side dropped a transfer: what there is stays for the next time. */
  cancel(id: string): boolean {
    const offer = this.#offered.get(id)
    if (offer === undefined) return this.#answered.has(id)
    const incoming = this.#open.get(id)
    if (incoming?.arrival.full === true) return true // about to be committed: the ACK will tell
    this.#forget(id)
    if (incoming !== undefined) {
      this.#then(async () => {
        await this.#suspend(incoming)
        this.#ask()
      })
    }
    return true
  }

  /** Ends this half: unfinished arrivals keep what they have. */
  async close(): Promise<void> {
    this.#wantsNoMore = true
    while (this.#pending > 0 || this.#commits.busy) await Promise.all([this.#commits.idle(), this.#work])
    for (const incoming of this.#open.values()) await this.#suspend(incoming).catch((error: unknown) => this.#note(error))
    this.#open.clear()
    this.#offered.clear()
    this.#pushed.clear()
  }

  /** What a full disk does not take is sent again. */
  async #suspend(incoming: Incoming): Promise<void> {
    try {
      await incoming.arrival.suspend()
    } catch (error) {
      if (!isFullDisk(error)) throw error
    } finally {
      incoming.release()
    }
  }

  /** One thing after the other, in order; the first error stays. */
  #then(work: () => Promise<void>): void {
    this.#pending++
    this.#work = this.#work.then(work).catch((error: unknown) => this.#note(error))
    void this.#work.then(() => {
      this.#pending--
      this.onProgress()
    })
  }

  #note(error: unknown): void {
    if (!(error instanceof Error && error.name === 'Lost')) this.#error ??= error
  }

  async #consider(items: Offer[]): Promise<void> {
    const have: string[] = []
    for (const item of items) {
      try {
        if (await this.#inbox.has(this.#contact.key, item.id)) {
          have.push(item.id)
          this.#forget(item.id)
        } else {
          ;(item.size <= SMALL ? this.#small : this.#large).set(item.id, item)
        }
      } catch (error) {
        if (!isFullDisk(error)) throw error
        await this.#refuse(item.id, fullDisk)
      }
    }
    await this.#list('have', have)
    this.#ask()
  }

  /** Sends WANT for as much as the limits allow. */
  #ask(): void {
    this.#window.asking()
    this.#then(async () => {
      const wants: { id: string; offset: number }[] = []
      for (const queue of [this.#small, this.#large]) {
        for (const [id, offer] of queue) {
          if (this.#wantsNoMore || !this.#window.hasRoom(offer.size)) break
          queue.delete(id)
          const want = await this.#begin(offer)
          if (want !== undefined) wants.push(want)
        }
      }
      for (let at = 0; at < wants.length; at += LIST_MAX) {
        await this.#link.send({ type: 'want', items: wants.slice(at, at + LIST_MAX) })
      }
      this.#window.asked()
    })
  }

  /** What to ask for, if that is still to be done. */
  async #begin(offer: Offer): Promise<{ id: string; offset: number } | void> {
    const { id, size } = offer
    if (!this.#offered.has(id)) return // cancelled meanwhile
    const pushed = this.#pushed.get(id)
    this.#pushed.delete(id)
    // Asked when its turn has come: what else is on the way counts, and the disk fills meanwhile.
    const refusal = await this.#admission.refuse(this.#contact, size)
    if (refusal !== undefined) return this.#refuse(id, refusal)
    if (size > SMALL && (await this.#inbox.unfinished(this.#contact.key, id)) >= PARTS_MAX + LARGE_OPEN) {
      return this.#refuse(id, { code: REFUSE.QUOTA, retry: 3600 })
    }
    let incoming: Incoming
    try {
      const place = await this.#inbox.arrive(this.#sender, id, size)
      if (place === undefined) return this.#waitFor(offer)
      const arrived = this.#admission.expect(this.#contact.key, size)
      const release = (): void => {
        arrived()
        place.release()
      }
      incoming = { arrival: place.arrival, release, stale: false, here: false }
    } catch (error) {
      if (!isFullDisk(error)) throw error
      return this.#refuse(id, fullDisk)
    }
    this.#open.set(id, incoming)
    this.#window.open(size)
    try {
      if (incoming.arrival.full) await this.#complete(incoming)
      else if (pushed?.length === size && incoming.arrival.offset === 0) return void (await this.#take(incoming, 0, pushed))
    } catch (error) {
      return this.#reject(incoming, error)
    }
    return incoming.arrival.full || incoming.stale ? undefined : { id, offset: incoming.arrival.offset }
  }

  /** Another session of this process is at the same message: afterwards it is there, or it is our turn. */
  #waitFor(offer: Offer): void {
    void this.#inbox.idle(this.#contact.key, offer.id).then(() => {
      if (this.#offered.has(offer.id) && this.#link.reason === undefined) this.#then(() => this.#consider([offer]))
    })
  }

  async #complete(incoming: Incoming): Promise<void> {
    const { arrival } = incoming
    const checked = arrival.check()
    const verdict = typeof checked === 'string' ? checked : await this.#onDisk(checked)
    if (verdict === 'good') {
      this.#hold(incoming)
    } else if (verdict === 'again') {
      incoming.stale = true
      await this.#link.send({ type: 'want', items: [{ id: arrival.id, offset: arrival.offset }] })
    } else {
      throw new Malformed(WRONG)
    }
  }

  /** It is whole and right: it is committed with the next group. */
  #hold(incoming: Incoming): void {
    this.#arrived(incoming)
    this.#commits.add(incoming)
  }

  /** A message that cannot be taken: refused for good if it is nonsense, for now if the disk is full. */
  async #reject(incoming: Incoming, error: unknown): Promise<void> {
    const { arrival } = incoming
    if (error instanceof Malformed) {
      await arrival.discard()
      this.#drop(incoming)
      this.#admission.count(this.#contact.key, arrival.offset) // it came all the same, and may again
      await this.#refuse(arrival.id, { code: REFUSE.MALFORMED, retry: 0 })
    } else if (isFullDisk(error)) {
      await arrival.suspend().catch(() => undefined)
      this.#drop(incoming)
      await this.#refuse(arrival.id, fullDisk)
    } else {
      throw error
    }
    this.#ask()
  }

  #onDisk<T>(work: Promise<T>): Promise<T> {
    this.atDisk++
    return work.finally(() => this.atDisk--)
  }

  #drop(incoming: Incoming): void {
    this.#leave(incoming.arrival.id)
    incoming.release()
  }

  async #commit(batch: Incoming[], written: () => void): Promise<void> {
    let committed: Awaited<ReturnType<Inbox['commit']>>
    try {
      const items = batch.map(({ arrival }) => ({ arrival, from: this.#sender }))
      committed = await this.#onDisk(this.#inbox.commit(items, written))
    } catch (error) {
      if (!isFullDisk(error)) throw error
      for (const incoming of batch) await this.#reject(incoming, error)
      return
    }
    const { delivered, unplaced } = committed
    for (const incoming of batch) {
      this.#admission.count(this.#contact.key, incoming.arrival.size)
      this.#drop(incoming)
      this.#forget(incoming.arrival.id)
      this.moved += SETTLED
    }
    const placed = batch.filter(({ arrival }) => !unplaced.has(arrival)).map(({ arrival }) => arrival.id)
    await this.#list('ack', placed).catch(() => undefined) // they are in the inbox all the same
    for (const { id } of unplaced) await this.#refuse(id, fullDisk).catch(() => undefined)
    for (const message of delivered) this.#delivered(message)
    this.#ask()
  }

  async #list(type: 'ack' | 'have', ids: string[]): Promise<void> {
    for (let at = 0; at < ids.length; at += LIST_MAX) {
      await this.#link.send({ type, ids: ids.slice(at, at + LIST_MAX) })
    }
  }

  async #refuse(id: string, { code, retry }: Refusal): Promise<void> {
    this.#forget(id)
    await this.#link.send({ type: 'refuse', id, code, retry })
  }

  #forget(id: string): void {
    this.#offered.delete(id)
    this.#leave(id)
    this.#answered.add(id)
    this.#small.delete(id)
    this.#large.delete(id)
    this.#pushed.delete(id)
  }

  /** No longer asked for. */
  #leave(id: string): void {
    const incoming = this.#open.get(id)
    if (incoming === undefined) return
    this.#open.delete(id)
    this.#window.close(incoming.arrival.size, incoming.here)
  }

  /** Makes room for others to come while it is committed: neither the disk waits for the network nor the other way round. */
  #arrived(incoming: Incoming): void {
    const { size } = incoming.arrival
    if (size > SMALL) return
    incoming.here = true
    if (this.#window.arrive(size) && this.#small.size > 0) this.#ask()
  }
}
