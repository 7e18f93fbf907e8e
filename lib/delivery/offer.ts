// The sending half of a session: p2p-spool(5), SENDER, states S3 to S6. Offers what waits for the contact in order of
// creation, sends what is wanted, settles what is acknowledged. Nothing leaves the queue but by an ACK or a HAVE of
// the contact itself, and nothing here decides that a message arrived.

import { Malformed } from '../base/fail.ts'
import type { Home } from '../disk/home.ts'
import { openOutgoing, type Outgoing } from '../disk/outgoing.ts'
import { describe, names, settle } from '../disk/queue.ts'
import { note } from '../disk/queuelog.ts'
import type { Queued } from '../disk/queued.ts'
import type { Link } from '../net/link.ts'
import type { Hash } from '../wire/envelope.ts'
import { DATA_MAX, OFFER_MAX, padFrames, REFUSE } from '../wire/frame.ts'
import { Recent } from './limits.ts'

/** Offers open at once, p2p-wire(7); the next ones follow when half of them are settled. */
const OPEN_MAX = 1024
const REFILL_BELOW = OPEN_MAX / 2

/** Messages up to this size overtake larger ones. */
const SMALL = 64 * 1024

/** Bytes read from disk at once for a large message. */
const READ_AHEAD = 16 * DATA_MAX

export interface OfferHooks {
  delivered(queued: Queued, elapsedMs: number): void
  /** Refused for now, with the reason word of p2p-send's `deferred` record. */
  deferred(queued: Queued, reason: string, text: string, next: number): void
  /** Cannot be delivered for good: moves it to failed/ and tells its owner. */
  failed(queued: Queued, reason: string, text: string): Promise<void>
}

export interface OfferOptions {
  home: Home
  hash: Hash
  key: string
  link: Link
  /** The largest message the other side takes; 0: it takes none in this session. */
  maxMessage: number
  hooks: OfferHooks
}

interface Open {
  queued: Queued
  since: number
}

interface Wanted {
  queued: Queued
  offset: number
}

export class Offering {
  readonly #home: Home
  readonly #hash: Hash
  readonly #key: string
  readonly #link: Link
  readonly #maxMessage: number
  readonly #hooks: OfferHooks
  /** Names that wait, from #next on not offered yet. */
  #names: string[] = []
  #next = 0
  #rescan = true
  /** Offered, not answered for good. */
  readonly #open = new Map<string, Open>()
  /** Answered in this session: a late word about one of them is no offence. */
  readonly #answered = new Recent()
  /** Refused or gone, but perhaps still in the queue: not offered again in this session. */
  readonly #done = new Set<string>()
  #small: Wanted[] = []
  #large: Wanted[] = []
  #acked: { queued: Queued; elapsed: number }[] = []
  #stopped = false
  #saidAll = false
  #filling: Promise<void> | undefined
  #sending: Promise<void> | undefined
  #settling: Promise<void> | undefined
  #error: unknown
  /** Called whenever something was finished. */
  onProgress: () => void = () => undefined

  constructor(options: OfferOptions) {
    this.#home = options.home
    this.#hash = options.hash
    this.#key = options.key
    this.#link = options.link
    this.#maxMessage = options.maxMessage
    this.#hooks = options.hooks
  }

  /** Everything that waits was offered and answered, and the other side was told so. */
  get finished(): boolean {
    return this.#saidAll && !this.#rescan && !this.busy
  }

  /** Something is offered, being sent, or being settled. */
  get busy(): boolean {
    return (
      this.#open.size > 0 ||
      this.#filling !== undefined ||
      this.#sending !== undefined ||
      this.#settling !== undefined
    )
  }

  /** A message or an answer to one is in hand right now. */
  get sending(): boolean {
    return this.#sending !== undefined || this.#settling !== undefined
  }

  /** An error of this side's disk that ended the work; the session must end. */
  get error(): unknown {
    return this.#error
  }

  /** Looks at the queue (again): at the start, and when something new waits. */
  poke(): void {
    this.#rescan = true
    this.#fill()
  }

  /** Offers nothing more; what is under way goes on. */
  stop(): void {
    this.#stopped = true
  }

  /** Resolves when nothing of this half touches the disk any more. The link must be closed. */
  async close(): Promise<void> {
    this.#stopped = true
    this.#small = []
    this.#large = []
    await Promise.allSettled([this.#filling, this.#sending, this.#settling])
  }

  want(items: { id: string; offset: number }[]): boolean {
    for (const { id, offset } of items) {
      if (!this.#knows(id)) return false
      const open = this.#open.get(id)
      if (open === undefined) continue
      if (offset > open.queued.size) return false
      const wanted = { queued: open.queued, offset }
      if (open.queued.size <= SMALL) this.#small.push(wanted)
      else this.#large = [...this.#large.filter((other) => other.queued.id !== id), wanted]
    }
    this.#send()
    return true
  }

  /** ACK and HAVE mean the same: the other side has it in its inbox. False if it never was offered. */
  acknowledge(ids: string[]): boolean {
    for (const id of ids) {
      if (!this.#knows(id)) return false
      const open = this.#open.get(id)
      if (open === undefined) continue
      this.#close(id)
      this.#acked.push({ queued: open.queued, elapsed: this.#home.clock.monotonic() - open.since })
    }
    this.#settle()
    return true
  }

  /** False if it never was offered. */
  refuse(id: string, code: number, retryS: number): boolean {
    if (!this.#knows(id)) return false
    const open = this.#open.get(id)
    if (open === undefined) return true
    this.#close(id)
    const [reason, text, permanent] = refusals.get(code) ?? (code >= 10 ? unknownForGood : unknownForNow)
    this.#track(
      permanent
        ? this.#hooks.failed(open.queued, reason, text)
        : this.#defer(open.queued, reason, text, this.#home.clock.now() + retryS * 1000),
    )
    return true
  }

  async #defer(queued: Queued, reason: string, text: string, next: number): Promise<void> {
    await note(this.#home, this.#key, { event: 'deferred', id: queued.id, reason, text, next })
    this.#hooks.deferred(queued, reason, text, next)
  }

  /** The other side drops the transfer for now; an ACK may still come. */
  cancel(id: string): boolean {
    this.#small = this.#small.filter((wanted) => wanted.queued.id !== id)
    this.#large = this.#large.filter((wanted) => wanted.queued.id !== id)
    if (this.#open.has(id)) this.#close(id)
    return this.#knows(id)
  }

  #knows(id: string): boolean {
    return this.#open.has(id) || this.#answered.has(id)
  }

  #close(id: string): void {
    this.#open.delete(id)
    this.#answered.add(id)
    this.#done.add(id)
    if (this.#open.size < REFILL_BELOW) this.#fill()
    queueMicrotask(() => this.onProgress())
  }

  #fill(): void {
    if (this.#filling !== undefined || this.#stopped || this.#error !== undefined) return
    this.#filling = this.#guard(this.#fillOnce()).finally(() => {
      this.#filling = undefined
      if (this.#rescan && !this.#stopped && this.#error === undefined) this.#fill()
      this.onProgress()
    })
  }

  async #fillOnce(): Promise<void> {
    if (this.#rescan) {
      this.#rescan = false
      this.#names = await names(this.#home, this.#key, 'new')
      this.#next = 0
      this.#saidAll = false
    }
    if (this.#maxMessage === 0) this.#next = this.#names.length
    while (this.#next < this.#names.length && this.#open.size < OPEN_MAX && !this.#stopped) {
      const page = this.#names.slice(this.#next, this.#next + Math.min(OFFER_MAX, OPEN_MAX - this.#open.size))
      this.#next += page.length
      const items = await this.#offerable(page)
      if (items.length === 0) continue
      for (const queued of items) {
        this.#open.set(queued.id, { queued, since: this.#home.clock.monotonic() })
      }
      await this.#link.send({ type: 'offer', items: items.map(({ id, size }) => ({ id, size })) })
    }
    if (this.#next >= this.#names.length && !this.#saidAll && !this.#stopped) {
      this.#saidAll = true
      await this.#link.send({ type: 'offer', items: [] })
    }
  }

  async #offerable(page: string[]): Promise<Queued[]> {
    const found: Queued[] = []
    for (const queued of await describe(this.#home, this.#key, 'new', page)) {
      const { id, size, opts } = queued
      if (this.#open.has(id) || this.#done.has(id)) continue
      if (opts.expires !== undefined && opts.expires <= this.#home.clock.now()) {
        this.#done.add(id)
        await this.#hooks.failed(queued, 'expired', 'it was not delivered in time')
      } else if (size > this.#maxMessage) {
        this.#done.add(id)
        const text = `it has ${size} bytes and the other side takes at most ${this.#maxMessage}`
        await this.#hooks.failed(queued, 'too-big', text)
      } else {
        found.push(queued)
      }
    }
    return found
  }

  #send(): void {
    if (this.#sending !== undefined || this.#error !== undefined) return
    this.#sending = this.#guard(this.#sendAll()).finally(() => {
      this.#sending = undefined
      if (this.#small.length + this.#large.length > 0 && this.#link.reason === undefined) this.#send()
      this.onProgress()
    })
  }

  async #sendAll(): Promise<void> {
    for (;;) {
      const small = this.#small.shift()
      if (small !== undefined) await this.#sendMessage(small)
      else if (this.#large[0] !== undefined) await this.#sendMessage(this.#large[0])
      else return
    }
  }

  async #sendMessage(wanted: Wanted): Promise<void> {
    const { queued } = wanted
    const outgoing = await this.#openOutgoing(queued)
    if (outgoing === undefined) {
      this.cancel(queued.id)
      await this.#link.send({ type: 'cancel', id: queued.id })
      return
    }
    try {
      let { offset } = wanted
      const isSmall = queued.size <= SMALL
      while (offset < outgoing.size) {
        if (!isSmall && this.#large[0] !== wanted) return // cancelled, or wanted from another offset
        const bytes = await outgoing.read(offset, READ_AHEAD)
        if (bytes.length === 0) throw new Malformed('message truncated on disk')
        for (let at = 0; at < bytes.length; at += DATA_MAX) {
          const piece = bytes.subarray(at, at + DATA_MAX)
          await this.#link.send({ type: 'data', id: queued.id, offset: offset + at, bytes: piece })
        }
        offset += bytes.length
        while (!isSmall && this.#small.length > 0) await this.#sendMessage(this.#small.shift() as Wanted)
      }
      if (isSmall) for (const pad of padFrames(outgoing.size)) await this.#link.send(pad)
    } finally {
      await outgoing.close()
      if (this.#large[0] === wanted) this.#large.shift()
    }
  }

  /** Undefined if the message is not waiting any more; one that the disk has damaged is given up. */
  async #openOutgoing(queued: Queued): Promise<Outgoing | undefined> {
    try {
      return await openOutgoing(this.#home, this.#hash, queued)
    } catch (error) {
      if (!(error instanceof Malformed)) throw error
      await this.#hooks.failed(queued, 'damaged', `the waiting copy is damaged: ${error.message}`)
      return undefined
    }
  }

  #settle(): void {
    if (this.#settling !== undefined || this.#acked.length === 0 || this.#error !== undefined) return
    this.#settling = this.#guard(this.#settleAll()).finally(() => {
      this.#settling = undefined
      this.#settle()
      this.onProgress()
    })
  }

  async #settleAll(): Promise<void> {
    while (this.#acked.length > 0) {
      const batch = this.#acked.splice(0)
      const elapsed = new Map(batch.map((item) => [item.queued.id, Math.round(item.elapsed)]))
      await settle(this.#home, batch.map((item) => item.queued), elapsed)
      for (const { queued } of batch) this.#done.delete(queued.id)
      for (const { queued, elapsed: ms } of batch) this.#hooks.delivered(queued, ms)
    }
  }

  /** Work that must be over before this half counts as idle. */
  #track(work: Promise<void>): void {
    const before = this.#settling
    this.#settling = this.#guard(Promise.all([before, work]).then(() => undefined)).finally(() => {
      this.#settling = undefined
      this.#settle()
      this.onProgress()
    })
  }

  /** A closed link ends the work quietly; anything else is kept for the session to report. */
  async #guard(work: Promise<void>): Promise<void> {
    try {
      await work
    } catch (error) {
      if (this.#link.reason === undefined || !(error instanceof Error && error.name === 'Lost')) this.#error ??= error
    }
  }
}

/** Reason word, words for people, permanent. */
const refusals = new Map<number, [string, string, boolean]>([
  [REFUSE.DISK, ['peer-full', 'the other side has no room on its disk', false]],
  [REFUSE.BUSY, ['peer-busy', 'the other side is busy', false]],
  [REFUSE.QUOTA, ['peer-full', 'the daily quota at the other side is used up', false]],
  [REFUSE.TOO_BIG, ['too-big', 'the other side does not take messages of this size', true]],
  [REFUSE.MALFORMED, ['malformed', 'the other side found the message malformed', true]],
  [REFUSE.POLICY, ['policy', 'the other side does not want this message', true]],
])
const unknownForGood: [string, string, boolean] = ['refused', 'the other side refused the message', true]
const unknownForNow: [string, string, boolean] = ['peer-busy', 'the other side refused the message for now', false]
