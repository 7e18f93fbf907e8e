// The sending half of a session: p2p-spool(5), SENDER, states S3 to S6. Offers what waits for the contact in order of
// creation, sends what is wanted, settles what is acknowledged. Nothing leaves the queue but by an ACK or a HAVE of
// the contact itself, and nothing here decides that a message arrived.

import { compileLate } from '../base/garbage.ts'
import type { Home } from '../disk/home.ts'
import { settle } from '../disk/queue.ts'
import { describe, names } from '../disk/queueread.ts'
import { note } from '../disk/queuelog.ts'
import { parseQueueName, type Queued } from '../disk/queued.ts'
import type { Link } from '../net/link.ts'
import type { Hash } from '../wire/envelope.ts'
import { OFFER_MAX, PUSH_MAX } from '../wire/frame.ts'
import { PUSHES } from '../wire/hello.ts'
import { EXPIRED } from './expiry.ts'
import { MANY, Recent, SETTLED } from './limits.ts'
import { saidBy } from './refusals.ts'
import { Upload } from './upload.ts'

/** Offers open at once, p2p-wire(7); the next ones follow when half of them are settled. */
const OPEN_MAX = 1024
const REFILL_BELOW = OPEN_MAX / 2

/** So few small messages of a look go unasked, while no more than so many are open: more are asked for in one go. */
const PUSH_MOST = 2
const PUSH_OPEN = 4

/** Between two looks at the queue, however often we are poked: each may cost three frames that are counted. */
const REST_MS = 20

/** A refused message is not offered again sooner, whatever the other side says. */
const RETRY_MIN_MS = 1000

/** A message may be asked for again after a lost chunk or a cancelled transfer, not for ever. */
const WANTS_MAX = 16

export interface OfferHooks {
  delivered(queued: Queued, elapsedMs: number): void
  /** So many bytes of a message are on their way. */
  progress?(id: string, done: number, size: number): void
  /** Refused for now, with the reason word of p2p-send's `deferred` record. */
  deferred(queued: Queued, reason: string, text: string, next: number): void
  /** Cannot be delivered for good: moves it to failed/ and tells its owner. False if there was no room for that. */
  failed(queued: Queued, reason: string, text: string): Promise<boolean>
}

export interface OfferOptions {
  home: Home
  hash: Hash
  key: string
  link: Link
  hooks: OfferHooks
}

interface Open {
  queued: Queued
  since: number
  /** How often it was asked for. */
  wants: number
}

export class Offering {
  readonly #home: Home
  readonly #key: string
  readonly #link: Link
  /** The largest message the other side takes; 0: none in this session. Undefined until that is known. */
  #maxMessage: number | undefined
  readonly #hooks: OfferHooks
  /** Names that wait, from #next on not offered yet. */
  #names: string[] = []
  #next = 0
  #rescan = true
  #resting = false
  #cancelRest: () => void = () => undefined
  /** Offered, not answered for good. */
  readonly #open = new Map<string, Open>()
  /** Transfers that either side dropped: an ACK on its way counts all the same. The latest, at most OPEN_MAX. */
  readonly #cancelled = new Map<string, Open>()
  /** Answered in this session: a late word about one of them is no offence. */
  readonly #answered = new Recent()
  /** Refused or gone, but perhaps still in the queue: not offered again in this session. */
  readonly #done = new Set<string>()
  readonly #upload: Upload
  #acked: { queued: Queued; elapsed: number }[] = []
  #stopped = false
  #saidAll = false
  #filling: Promise<void> | undefined
  #sending: Promise<void> | undefined
  #settling: Promise<void> | undefined
  /** Cancels the next look for each message that was refused for now. */
  readonly #retries = new Set<() => void>()
  /** Refusals that are being dealt with. */
  readonly #refusing = new Set<Promise<void>>()
  #error: unknown
  /** Messages that the other side has answered for good. */
  #closed = 0
  /** Called whenever something was finished. */
  onProgress: () => void = () => undefined

  constructor(options: OfferOptions) {
    this.#home = options.home
    this.#key = options.key
    this.#link = options.link
    this.#hooks = options.hooks
    const { home, hash, link, hooks } = options
    this.#upload = new Upload({
      home,
      hash,
      link,
      progress: hooks.progress && ((...far) => hooks.progress?.(...far)),
      unsendable: (queued, why) => this.#unsendable(queued, why),
    })
  }

  /** Bytes that the link has taken; a message that the other side has answered for good counts as SETTLED of them. */
  get moved(): number {
    return this.#upload.moved + this.#closed * SETTLED
  }

  /** Everything that waits was offered and answered, and the other side was told so. */
  get finished(): boolean {
    return this.#saidAll && !this.#rescan && !this.busy
  }

  /** The other side is to do nothing more for this one: all is said, and what it has acknowledged is settled here. */
  get needless(): boolean {
    const inHand = this.#filling !== undefined || this.#sending !== undefined || this.#refusing.size > 0
    return this.#saidAll && !this.#rescan && this.#open.size === 0 && !inHand
  }

  /** Something is offered, being sent, or being settled. */
  get busy(): boolean {
    return this.#open.size > 0 || this.#filling !== undefined || this.sending
  }

  /** A message or an answer to one is in hand right now. */
  get sending(): boolean {
    return this.#sending !== undefined || this.#settling !== undefined || this.#refusing.size > 0
  }

  /** An error of this side's disk that ended the work; the session must end. */
  get error(): unknown {
    return this.#error
  }

  /**
   * Before the other side has said what it takes: a little goes unasked, as any side takes it that understands that.
   * Resolves when it is on its way.
   */
  async hurry(): Promise<void> {
    this.#fill()
    await this.#filling
  }

  /** The other side takes messages of up to `maxMessage` bytes, 0: none; `large`: and large DATA frames. */
  begin(maxMessage: number, large: boolean): void {
    this.#maxMessage = maxMessage
    this.#upload.large = large
    if (maxMessage === 0) for (const id of this.#open.keys()) this.cancel(id)
    if (this.#filling !== undefined) void this.#filling.then(() => this.#saidAll || this.#fill())
    else if (!this.#saidAll) this.#fill()
  }

  /** Looks at the queue (again) when something new waits. `all`: what was refused for now, too. */
  poke(all = false): void {
    if (all) this.#done.clear()
    this.#rescan = true
    if (!this.#resting) this.#fill()
  }

  /** Offers nothing more; what is under way goes on. */
  stop(): void {
    this.#stopped = true
  }

  /** Resolves when nothing of this half touches the disk any more. The link must be closed. */
  async close(): Promise<void> {
    this.#stopped = true
    this.#cancelRest()
    for (const cancel of this.#retries) cancel()
    this.#upload.clear()
    while (this.#filling !== undefined || this.sending) {
      await Promise.all([this.#filling, this.#sending, this.#settling, ...this.#refusing])
    }
  }

  want(items: { id: string; offset: number }[]): boolean {
    for (const { id, offset } of items) {
      if (!this.#knows(id)) return false
      const open = this.#open.get(id)
      if (open === undefined) continue
      if (offset > open.queued.size) return false
      if (++open.wants > WANTS_MAX) return false
      this.#upload.want(open.queued, offset)
    }
    this.#send()
    return true
  }

  /** ACK and HAVE mean the same: the other side has it in its inbox. False if it never was offered. */
  acknowledge(ids: string[]): boolean {
    const now = this.#home.clock.monotonic()
    for (const id of ids) {
      if (!this.#knows(id)) return false
      const open = this.#open.get(id) ?? this.#cancelled.get(id)
      if (open === undefined) continue
      this.#cancelled.delete(id)
      this.#close(id)
      this.#closed++
      this.#acked.push({ queued: open.queued, elapsed: now - open.since })
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
    const { reason, text, permanent } = saidBy(code)
    if (permanent) this.#closed++
    const work = permanent
      ? this.#fail(open.queued, reason, text)
      : this.#defer(open.queued, reason, text, this.#home.clock.now() + retryS * 1000)
    const refusing = this.#guard(work).finally(() => {
      this.#refusing.delete(refusing)
      this.onProgress()
    })
    this.#refusing.add(refusing)
    return true
  }

  /** Out of new/ then, unless the disk is full; whoever puts it there again wants it offered again. */
  async #fail(queued: Queued, reason: string, text: string): Promise<boolean> {
    this.#done.add(queued.id)
    const failed = await this.#hooks.failed(queued, reason, text)
    if (failed) this.#done.delete(queued.id)
    return failed
  }

  async #defer(queued: Queued, reason: string, text: string, next: number): Promise<void> {
    await note(this.#home, this.#key, { event: 'deferred', id: queued.id, reason, text, next })
    this.#hooks.deferred(queued, reason, text, next)
    const { clock } = this.#home
    const again = (): void => {
      this.#retries.delete(cancel)
      this.#done.delete(queued.id)
      this.poke()
    }
    const cancel = clock.after(Math.max(next - clock.now(), RETRY_MIN_MS), again, true)
    this.#retries.add(cancel)
  }

  /** The other side drops the transfer for now; an ACK may still come. */
  cancel(id: string): boolean {
    const open = this.#open.get(id)
    if (open === undefined) return this.#knows(id)
    this.#cancelled.set(id, open)
    for (const oldest of this.#cancelled.keys()) if (this.#cancelled.size > OPEN_MAX) this.#cancelled.delete(oldest)
    this.#close(id)
    return true
  }

  #knows(id: string): boolean {
    return this.#open.has(id) || this.#answered.has(id)
  }

  /** Offered, and not answered for good. */
  isOpen(id: string): boolean {
    return this.#open.has(id)
  }

  #close(id: string): void {
    this.#open.delete(id)
    this.#upload.drop(id)
    this.#answered.add(id)
    this.#done.add(id)
    if (this.#open.size < REFILL_BELOW && this.#next < this.#names.length) this.#fill()
    queueMicrotask(() => this.onProgress())
  }

  #fill(): void {
    if (this.#filling !== undefined || this.#stopped || this.#error !== undefined) return
    if (this.#maxMessage === undefined && !this.#pushes) return
    this.#filling = this.#guard(this.#fillOnce()).finally(() => {
      this.#filling = undefined
      if (this.#rescan && !this.#resting) this.#fill()
      this.onProgress()
    })
  }

  #rest(): void {
    this.#resting = true
    this.#cancelRest = this.#home.clock.after(REST_MS, () => {
      this.#resting = false
      if (this.#rescan) this.#fill()
    }, true)
  }

  async #fillOnce(): Promise<void> {
    if (this.#rescan) {
      this.#rescan = false
      this.#rest()
      this.#names = await names(this.#home, this.#key, 'new')
      this.#next = 0
      this.#saidAll = false
      if (this.#names.length >= MANY) compileLate()
    }
    if (this.#maxMessage === 0) this.#next = this.#names.length
    while (this.#next < this.#names.length && this.#open.size + OFFER_MAX <= OPEN_MAX && !this.#stopped) {
      const items = await this.#offerable(this.#page())
      if (items.length === 0) continue
      if (this.#maxMessage === 0) return this.#putBack(items) // it said so just now
      const since = this.#home.clock.monotonic()
      for (const queued of items) {
        this.#cancelled.delete(queued.id)
        this.#open.set(queued.id, { queued, since, wants: 0 })
      }
      const rest = this.#pushable(items) ? await this.#push(items) : items
      if (rest.length === 0) continue
      if (this.#most === Infinity) return this.#putBack(rest)
      await this.#link.send({ type: 'offer', items: rest.map(({ id, size }) => ({ id, size })) })
    }
    if (this.#next >= this.#names.length && !this.#saidAll && !this.#stopped) {
      this.#saidAll = true
      await this.#link.send({ type: 'offer', items: [] })
    }
  }

  /** Of what may be offered. Unlimited while nothing may: it is not known what the other side takes, or it takes nothing. */
  get #most(): number {
    return this.#maxMessage === undefined || this.#maxMessage === 0 ? Infinity : this.#maxMessage
  }

  /** The other side understands PUSH. */
  get #pushes(): boolean {
    return (this.#link.features & PUSHES) !== 0
  }

  #pushable(items: Queued[]): boolean {
    if (!this.#pushes || this.#next < this.#names.length) return false
    return items.length <= PUSH_MOST && this.#open.size <= PUSH_OPEN && items.every(({ size }) => size <= PUSH_MAX)
  }

  /** Those that could not be sent. */
  async #push(items: Queued[]): Promise<Queued[]> {
    const rest: Queued[] = []
    for (const queued of items) if (!(await this.#upload.push(queued))) rest.push(queued)
    return rest
  }

  /** To be offered once it is known what the other side takes, if it takes any. */
  #putBack(items: Queued[]): void {
    for (const { id } of items) this.#open.delete(id)
    this.#next = 0
  }

  /** The next names that are not dealt with yet, enough for one OFFER. */
  #page(): string[] {
    const page: string[] = []
    for (; this.#next < this.#names.length && page.length < OFFER_MAX; this.#next++) {
      const name = this.#names[this.#next] as string
      const id = parseQueueName(name)?.id ?? ''
      if (!this.#open.has(id) && !this.#done.has(id)) page.push(name)
    }
    return page
  }

  async #offerable(page: string[]): Promise<Queued[]> {
    const found: Queued[] = []
    for (const queued of await describe(this.#home, this.#key, 'new', page)) {
      const { size, opts } = queued
      if (opts.expires !== undefined && opts.expires <= this.#home.clock.now()) {
        await this.#fail(queued, 'expired', EXPIRED)
      } else if (size > this.#most) {
        const text = `it has ${size} bytes and the other side takes at most ${this.#maxMessage}`
        await this.#fail(queued, 'too-big', text)
      } else {
        found.push(queued)
      }
    }
    return found
  }

  #send(): void {
    if (this.#sending !== undefined || this.#error !== undefined) return
    this.#sending = this.#guard(this.#upload.sendAll()).finally(() => {
      this.#sending = undefined
      if (this.#upload.waiting && this.#link.reason === undefined) this.#send()
      this.onProgress()
    })
  }

  /** One that is gone meanwhile is cancelled, one that the disk has damaged is given up. */
  async #unsendable(queued: Queued, why: string | undefined): Promise<void> {
    const gone = why === undefined || (await this.#fail(queued, 'damaged', `the waiting copy is damaged: ${why}`))
    this.cancel(queued.id)
    if (gone) this.#done.delete(queued.id) // if it comes back into new/, it is to be offered
    await this.#link.send({ type: 'cancel', id: queued.id })
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
      await settle(this.#home, batch.map((item) => item.queued), elapsed, () => {
        for (const { queued } of batch) this.#done.delete(queued.id)
        for (const { queued, elapsed: ms } of batch) this.#hooks.delivered(queued, ms)
      })
    }
  }

  /** A link that broke ends the work and the session quietly; anything else is kept for the session to report. */
  async #guard(work: Promise<unknown>): Promise<void> {
    try {
      await work
    } catch (error) {
      if (error instanceof Error && error.name === 'Lost') this.#link.close()
      else this.#error ??= error
    }
  }
}
