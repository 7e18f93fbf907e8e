// One end of a pipe, p2p-wire(7), PIPES: bytes in order both ways, each with an end, over sessions that may come and go.
// Nothing is forgotten before the other end has passed it on and said so, nothing is passed on twice, and the pipe is
// done only when both ends of both directions are known on both sides.

import { compare, hex } from '../base/bytes.ts'
import type { Clock } from '../base/clock.ts'
import { EX, Failure } from '../base/fail.ts'
import { discard } from '../base/garbage.ts'
import type { Random } from '../base/random.ts'
import { DATA_LARGE, DATA_MAX, type PipeFrame, RESET } from '../wire/frame.ts'
import { Pieces } from './pieces.ts'

/** Bytes under way in one direction, and kept until they are acknowledged. */
export const WINDOW = 8 << 20

/** Bytes passed on before that is said; a little later when they are fewer. */
const CREDIT_EVERY = WINDOW / 8
const CREDIT_MS = 20

/** Bytes read at once, and passed on at once: what comes in one turn of the loop goes on together. */
const BLOCK = 4 * DATA_LARGE

/** What is kept lies in a ring of whole blocks: it always has room for one beside all that may be under way. */
const RING = (Math.ceil(WINDOW / BLOCK) + 1) * BLOCK

/** An OPEN is said again so often until the other side answers, and until it answers in a new session. */
const OPEN_MS = 10_000
const RESUME_MS = 2000

export interface PipeOptions {
  clock: Clock
  random: Random
  /** I of both: of two pipes that are opened at once the one of the lower stays. */
  self: Uint8Array
  peer: Uint8Array
  /** NAME of the other side. */
  name: string
  /** Reads into this buffer: how many bytes, 0 at the end. */
  input: (into: Uint8Array) => Promise<number>
  /** Passes bytes on, one part behind the other; resolves when they are. True: and nobody looks at the parts any more. */
  output: (parts: Uint8Array[]) => Promise<boolean | void>
  /** Nothing more will be passed on: the other side has ended. */
  outputEnd?: () => Promise<void>
  send: (frame: PipeFrame) => Promise<void>
  /** So long it may take until the other side is there, or is there again. */
  timeoutMs: number
}

const EMPTY = new Uint8Array(0)

export class PipeEnd {
  readonly #options: PipeOptions
  #id: string
  #matched = false
  #up = false
  /** The other side's OPEN or CREDIT of this session is here: it is known from where to send. */
  #ready = false
  #awaiting = false
  #why = ''

  /** Read from the input and not acknowledged yet: the byte at an offset lies at its rest by RING. */
  #ring: Uint8Array = EMPTY
  /** Offsets: acknowledged, to be sent next, behind the last byte read, that the other side has room for. */
  #acked = 0
  #next = 0
  #read = 0
  #room = 0
  /** Set at the end of the input. */
  #total: number | undefined
  #saidEnd = false
  #large = false
  #endAcked = false

  #received = 0
  #passedOn = 0
  #credited = 0
  #theirTotal: number | undefined
  #endPassedOn = false
  /** Received, not handed to the output yet. */
  readonly #pending = new Pieces()
  #passing = false
  #scheduled = false
  /** Their end came (again): it is to be answered behind what came before. */
  #answer = false

  #wakeSender: () => void = () => undefined
  #wakeReader: () => void = () => undefined
  #cancelTimeout: () => void = () => undefined
  #cancelOpen: () => void = () => undefined
  #cancelCredit: (() => void) | undefined
  #settle: (error?: unknown) => void = () => undefined
  #over = false

  constructor(options: PipeOptions) {
    this.#options = options
    this.#id = hex(options.random.bytes(16))
  }

  /** Resolves when everything has come through both ways. Throws Failure 69, and what input and output throw. */
  async run(): Promise<void> {
    const done = new Promise<void>((resolve, reject) => {
      this.#settle = (error) => {
        if (this.#over) return
        this.#over = true
        this.#cancelTimeout()
        this.#cancelOpen()
        this.#cancelCredit?.()
        this.#wakeSender()
        this.#wakeReader()
        if (error === undefined) resolve()
        else reject(error as Error)
      }
    })
    this.#await()
    const fail = (error: unknown): void => this.#settle(error)
    this.#readAll().catch(fail)
    this.#sendAll().catch(fail)
    await done
  }

  /** Ends it with an error; the other side is told. */
  fail(error: unknown): void {
    if (!this.#over && this.#up) void this.#options.send({ type: 'reset', id: this.#id, code: RESET.ENDED })
    this.#settle(error)
  }

  /** A session is there; `large`: whoever sends for us, and the other side, take frames of DATA_LARGE bytes. */
  up(large = false): void {
    this.#up = true
    this.#large = large
    this.#ready = false
    this.#saidEnd = false
    this.#open()
  }

  /** The session is gone, or there is none: `why` in words. */
  down(why: string): void {
    this.#why = why
    this.#up = false
    this.#ready = false
    this.#cancelOpen()
    this.#await()
  }

  /** A frame of the other side. */
  take(frame: PipeFrame): void {
    if (this.#over) return
    if (frame.type === 'open') return this.#opened(frame.id, frame.received)
    if (frame.id !== this.#id) return
    switch (frame.type) {
      case 'stream':
        return this.#stream(frame.offset, frame.bytes)
      case 'eof':
        return this.#ended(frame.total)
      case 'credit':
        return this.#credit(frame.received, frame.window)
      case 'reset':
        if (!this.#matched) return // nobody there yet: asked again until the time is over
        this.#settle(new Failure(EX.UNREACHABLE, `p2p-pipe of ${this.#options.name} ended before everything had come through`))
    }
  }

  #open(): void {
    this.#cancelOpen()
    if (this.#over || !this.#up) return
    void this.#options.send({ type: 'open', id: this.#id, received: this.#received })
    if (this.#ready) return
    this.#cancelOpen = this.#options.clock.after(this.#matched ? RESUME_MS : OPEN_MS, () => this.#open(), true)
  }

  #opened(id: string, received: number): void {
    const { self, peer } = this.#options
    if (id !== this.#id) {
      if (this.#matched) return // another pipe, of another command
      if (compare(peer, self) > 0) return this.#open() // ours stays: the other side may not have heard of it
      this.#id = id
      this.#open()
    }
    if (received > this.#read) return this.fail(this.#nonsense())
    this.#matched = true
    this.#begin(received)
  }

  /** The other side is there, in this session: sends from this byte on. What we say of ours answers its OPEN. */
  #begin(received: number): void {
    this.#cancelOpen()
    this.#cancelTimeout()
    this.#awaiting = false
    this.#ready = true
    this.#next = Math.max(this.#acked, received)
    this.#saidEnd = false
    this.#sayCredit()
    this.#wakeSender()
  }

  #stream(offset: number, bytes: Uint8Array): void {
    const end = offset + bytes.length
    if (offset > this.#received) return // left over from a session that broke: it comes again
    if (end > this.#passedOn + 2 * WINDOW || (this.#theirTotal ?? end) < end) return this.fail(this.#nonsense())
    if (end <= this.#received) return
    const fresh = bytes.subarray(this.#received - offset)
    this.#received = end
    this.#pending.push(fresh)
    this.#pass()
  }

  #ended(total: number): void {
    if (total > this.#received) return // as above
    if (total < this.#received || (this.#theirTotal ?? total) !== total) return this.fail(this.#nonsense())
    this.#theirTotal = total
    this.#answer = true
    this.#pass()
  }

  #credit(received: number, window: number): void {
    const end = this.#total === undefined ? this.#read : this.#total + 1
    if (received > end) return this.fail(this.#nonsense())
    if (received < this.#acked) return
    this.#endAcked ||= this.#total !== undefined && received === end
    this.#acked = Math.min(received, this.#read)
    this.#room = received + Math.min(window, WINDOW)
    if (!this.#ready && this.#up) this.#begin(this.#acked)
    this.#wakeSender()
    this.#wakeReader()
    this.#look()
  }

  /** The end counts as one byte more. */
  #sayCredit(): void {
    this.#cancelCredit?.()
    this.#cancelCredit = undefined
    if (!this.#ready || this.#over) return
    this.#credited = this.#passedOn
    const received = this.#passedOn + (this.#endPassedOn ? 1 : 0)
    void this.#options.send({ type: 'credit', id: this.#id, received, window: WINDOW })
  }

  /** At once if there is much; else when what is here of the other side has been looked at. */
  #pass(): void {
    if (this.#passing) return
    if (this.#pending.size >= BLOCK) return this.#passAll()
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      if (!this.#passing) this.#passAll()
    })
  }

  #passAll(): void {
    this.#passing = true
    this.#passPending()
      .catch((error: unknown) => this.fail(error))
      .finally(() => {
        this.#passing = false
        if (!this.#over && (this.#pending.size > 0 || this.#answer)) this.#pass()
      })
  }

  async #passPending(): Promise<void> {
    while (this.#pending.size > 0 && !this.#over) {
      const { size } = this.#pending
      const parts = this.#pending.take()
      if ((await this.#options.output(parts)) === true) for (const part of parts) discard(part)
      this.#passedOn += size
      this.#owe()
    }
    if (!this.#answer || this.#over) return
    this.#answer = false
    if (!this.#endPassedOn) await this.#options.outputEnd?.()
    this.#endPassedOn = true
    this.#sayCredit()
    this.#look()
  }

  /** What was passed on is to be said, now or soon. */
  #owe(): void {
    if (this.#passedOn - this.#credited >= CREDIT_EVERY) this.#sayCredit()
    else this.#cancelCredit ??= this.#options.clock.after(CREDIT_MS, () => this.#sayCredit())
  }

  #look(): void {
    if (this.#endAcked && this.#endPassedOn) this.#settle()
  }

  async #readAll(): Promise<void> {
    for (;;) {
      while (this.#read - this.#acked >= WINDOW && !this.#over) await new Promise<void>((resolve) => (this.#wakeReader = resolve))
      if (this.#over) return
      if (this.#ring.length === 0) this.#ring = Buffer.allocUnsafeSlow(RING) // memory of the machine only as it is filled
      const at = this.#read % RING
      const size = await this.#options.input(this.#ring.subarray(at, Math.min(at + BLOCK, RING)))
      if (this.#over) return
      if (size === 0) break
      this.#read += size
      this.#wakeSender()
    }
    this.#total = this.#read
    this.#wakeSender()
  }

  async #sendAll(): Promise<void> {
    while (!this.#over) {
      const bytes = this.#ready ? this.#nextBytes() : EMPTY
      if (bytes.length > 0) {
        const offset = this.#next
        this.#next += bytes.length
        await this.#options.send({ type: 'stream', id: this.#id, offset, bytes })
      } else if (this.#ready && this.#next === this.#total && !this.#saidEnd) {
        this.#saidEnd = true
        await this.#options.send({ type: 'eof', id: this.#id, total: this.#total })
      } else {
        await new Promise<void>((resolve) => (this.#wakeSender = resolve))
      }
    }
  }

  /**
   * From #next on, as far as there is room; empty if nothing is to be sent. They stay until they are acknowledged: what
   * is overwritten while it waits somewhere to be sent again was received already, and the other side leaves it out.
   */
  #nextBytes(): Uint8Array {
    const at = this.#next % RING
    const size = Math.min(this.#read - this.#next, this.#room - this.#next, RING - at)
    if (size <= 0) return EMPTY
    return this.#ring.subarray(at, at + (this.#large && size >= DATA_LARGE ? DATA_LARGE : Math.min(size, DATA_MAX)))
  }

  /** From now on, unless it was so before: the other side must be there, or there again, before the time is over. */
  #await(): void {
    if (this.#over || this.#awaiting) return
    this.#awaiting = true
    const { clock, timeoutMs } = this.#options
    if (Number.isFinite(timeoutMs)) this.#cancelTimeout = clock.after(timeoutMs, () => this.#settle(this.#late()))
  }

  #late(): Failure {
    const { name } = this.#options
    if (this.#up) return new Failure(EX.UNREACHABLE, `${name} is there, but p2p-pipe does not run there`)
    const what = this.#matched ? `the connection to ${name} was lost` : `${name} cannot be reached`
    return new Failure(EX.UNREACHABLE, this.#why === '' ? what : `${what}: ${this.#why}`)
  }

  #nonsense(): Failure {
    return new Failure(EX.UNREACHABLE, `${this.#options.name} sent what makes no sense in a pipe`)
  }
}
