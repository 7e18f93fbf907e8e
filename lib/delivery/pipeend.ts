// One end of a pipe, p2p-wire(7), PIPES: bytes in order both ways, each with an end, over sessions that may come and go.
// Here is how the two ends find each other, again in each session, and what becomes of the pipe; the bytes of the two
// directions are with its source and its sink. Guarantee: the pipe is done only when both ends of both directions are
// known here and the other side was told so, in a session; who alone could tell it again stays for that.
// The other end is a contact, not trusted: what makes no sense ends the pipe, for both.

import { compare, hex } from '../base/bytes.ts'
import type { Clock } from '../base/clock.ts'
import { EX, Failure } from '../base/fail.ts'
import type { Random } from '../base/random.ts'
import { type PipeFrame, RESET } from '../wire/frame.ts'
import { PipeSink } from './pipesink.ts'
import { PipeSource } from './pipesource.ts'

/** An OPEN is said again so often until the other side answers, and until it answers in a new session. */
const OPEN_MS = 10_000
const RESUME_MS = 2000

/** The session may have ended with our last acknowledgement: a new one is there by then, or nobody is. */
const LAST_MS = 10_000

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
  /** Nobody will say our last acknowledgement again when we have ended. */
  last?: (() => boolean) | undefined
}

export class PipeEnd {
  readonly #options: PipeOptions
  #id: string
  #matched = false
  #up = false
  /** The other side's OPEN or CREDIT of this session is here: it is known from where to send. */
  #ready = false
  #awaiting = false
  /** All has come through; what is left is to say so, once in each session. */
  #done = false
  #saidDone = false
  #why = ''

  readonly #source: PipeSource
  readonly #sink: PipeSink
  #cancelLast: () => void = () => undefined
  #cancelTimeout: () => void = () => undefined
  #cancelOpen: () => void = () => undefined
  #settle: (error?: unknown) => void = () => undefined
  #over = false

  constructor(options: PipeOptions) {
    this.#options = options
    this.#id = hex(options.random.bytes(16))
    const { clock, input, output, outputEnd, send } = options
    const isReady = (): boolean => this.#ready
    this.#source = new PipeSource({
      input,
      isReady,
      stream: (offset, bytes) => send({ type: 'stream', id: this.#id, offset, bytes }),
      eof: (total) => send({ type: 'eof', id: this.#id, total }),
    })
    this.#sink = new PipeSink({
      clock,
      output,
      outputEnd,
      isReady,
      credit: (received, window) => void send({ type: 'credit', id: this.#id, received, window }),
      ended: () => this.#look(),
      fail: (error) => this.fail(error),
    })
  }

  /** Resolves when everything has come through both ways. Throws Failure 69, and what input and output throw. */
  async run(): Promise<void> {
    const done = new Promise<void>((resolve, reject) => {
      this.#settle = (error) => {
        if (this.#over) return
        this.#over = true
        this.#cancelTimeout()
        this.#cancelOpen()
        this.#cancelLast()
        this.#source.stop()
        this.#sink.stop()
        if (error === undefined) resolve()
        else reject(error as Error)
      }
    })
    this.#await()
    this.#source.run().catch((error: unknown) => this.#settle(error))
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
    this.#source.large = large
    this.#ready = false
    this.#saidDone = false
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
        if (!this.#sink.stream(frame.offset, frame.bytes)) this.fail(this.#nonsense())
        return
      case 'eof':
        if (!this.#sink.eof(frame.total)) this.fail(this.#nonsense())
        return
      case 'credit':
        return this.#credit(frame.received, frame.window)
      case 'reset':
        if (!this.#matched) return // nobody there yet: asked again until the time is over
        if (this.#done) return this.#settle()
        if (frame.code === RESET.DONE) return // its last word is behind: it comes again when it is asked for
        this.#settle(new Failure(EX.UNREACHABLE, `p2p-pipe of ${this.#options.name} ended before everything had come through`))
    }
  }

  #open(): void {
    this.#cancelOpen()
    if (this.#over || !this.#up) return
    void this.#options.send({ type: 'open', id: this.#id, received: this.#sink.received })
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
    if (received > this.#source.read) return this.fail(this.#nonsense())
    this.#matched = true
    this.#begin(received)
  }

  /** The other side is there, in this session: sends from this byte on. What we say of ours answers its OPEN. */
  #begin(received: number): void {
    this.#cancelOpen()
    this.#cancelTimeout()
    this.#awaiting = false
    this.#ready = true
    this.#sink.sayCredit()
    this.#source.begin(received)
    this.#look()
  }

  #credit(received: number, window: number): void {
    const said = this.#source.credit(received, window)
    if (said === 'nonsense') return this.fail(this.#nonsense())
    if (said === 'old') return
    if (!this.#ready && this.#up) this.#begin(this.#source.acked)
    else this.#look()
  }

  /** Ends it once all has come through; if the other side could hear that from nobody else, not before it says the same. */
  #look(): void {
    if (this.#over || !this.#source.done || !this.#sink.done) return
    if (this.#ready && !this.#saidDone) void this.#options.send({ type: 'reset', id: this.#id, code: RESET.DONE })
    this.#saidDone ||= this.#ready
    if (this.#options.last?.() !== true) return this.#settle()
    if (this.#done) return
    this.#done = true
    this.#cancelTimeout()
    this.#cancelLast = this.#options.clock.after(LAST_MS, () => this.#settle())
  }

  /** From now on, unless it was so before: the other side must be there, or there again, before the time is over. */
  #await(): void {
    if (this.#over || this.#done || this.#awaiting) return
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
