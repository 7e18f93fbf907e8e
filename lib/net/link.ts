// An authenticated connection: frames in, frames out, in order, encrypted. It guarantees that everything received
// was sent by `peer` in this order with nothing left out before it; the end of a link, however it looks, promises
// nothing about what was under way. One bad byte ends it without a word. It trusts the handshake that made it.

import { type Clock } from '../base/clock.ts'
import { Malformed } from '../base/fail.ts'
import { freeAtOnce } from '../base/garbage.ts'
import { type Transport } from '../crypto/noise.ts'
import { BYE, decodeFrame, encodeFrame, type Frame, PLAINTEXT_MAX } from '../wire/frame.ts'
import { type Payload1, type Payload2 } from '../wire/hello.ts'
import { Inflow } from './inflow.ts'
import { BATCH, Outflow } from './outflow.ts'
import { type ByteStream, type Endpoint, Lost } from './stream.ts'

export const MESSAGE_MIN = 17 // a type byte and the tag

const AGE_MAX_MS = 3600 * 1000 // sessions are renewed for fresh keys: p2p-wire(7), LIFE OF A SESSION
const FRAMES_MAX = 2 ** 24 // in either direction, for the same reason
const MUCH = 256 // frames in either direction after which this is a large transfer: before the first 32 MiB of them
const LINGER_MS = 2000 // what the other side still sends is read for this long, so that no reset eats our last words

const EMPTY = new Uint8Array(0)
const SCRATCH = new Uint8Array(PLAINTEXT_MAX) // one for all links: a plaintext is sealed before anything else can run

/** Why a link ended: here, by the peer's close, by a broken connection, by bytes that do not decrypt, by nonsense that does. */
export type EndReason = 'closed' | 'eof' | 'reset' | 'bad' | 'malformed'

export interface LinkOptions {
  stream: ByteStream
  transport: Transport
  initiator: boolean
  peer: { identity: Uint8Array; transport: Uint8Array }
  hello: Payload1 | Payload2
  features: number
  clock: Clock
  /** The plaintext of a first message that was read already. */
  first?: Uint8Array
  /** See Link.found. */
  found?: boolean
}

export class Link {
  readonly initiator: boolean
  readonly peer: { readonly identity: Uint8Array; readonly transport: Uint8Array }
  /** What the other side said in its handshake message: Payload2 if this side is the initiator. */
  readonly hello: Payload1 | Payload2
  /** Those both sides have. */
  readonly features: number
  /** Nobody had named the place: it was found by trying ports. */
  readonly found: boolean
  /** A secret of this session that both sides know, 32 bytes. */
  readonly exporter: Uint8Array
  /** Resolves when the connection is gone, both ways. */
  readonly closed: Promise<void>

  readonly #stream: ByteStream
  readonly #transport: Transport
  readonly #clock: Clock
  readonly #since: number
  #reason: EndReason | undefined
  #sent = 0
  #received = 0

  readonly #out: Outflow
  readonly #batch: number
  #writing: Promise<void> | undefined
  #waiting: (() => void)[] = [] // senders, until there is room or the link is closed
  #scheduled = false
  #deaf = false // writing failed; what came in before may still be read

  #first: Uint8Array | undefined
  readonly #in = new Inflow()
  #reading = false
  #over: EndReason | undefined // nothing more will come in
  #wake: (() => void) | undefined

  constructor(options: LinkOptions) {
    this.initiator = options.initiator
    this.peer = options.peer
    this.hello = options.hello
    this.features = options.features
    this.found = options.found ?? false
    this.exporter = options.transport.exporter
    this.closed = options.stream.closed
    this.#stream = options.stream
    this.#transport = options.transport
    this.#out = new Outflow(options.transport.send)
    this.#batch = BATCH[options.stream.carrier]
    this.#clock = options.clock
    this.#since = options.clock.monotonic()
    this.#first = options.first
    if (options.first !== undefined) this.#received++
    options.stream.trust?.()
  }

  /** Where the other side is, as the system sees it; over UDP it may move. */
  get remote(): Endpoint {
    return this.#stream.remote
  }

  /** Lost because the other side moved while something was under way to it: it is at `remote`. */
  get displaced(): boolean {
    return this.#stream.displaced === true
  }

  get carrier(): ByteStream['carrier'] {
    return this.#stream.carrier
  }

  /** Tells the other side where this one is now: see ByteStream. */
  announce(): void {
    this.#stream.announce?.()
  }

  /** Frames sent or received, whichever are more. */
  get frames(): number {
    return Math.max(this.#sent, this.#received)
  }

  /** Milliseconds since the handshake. */
  get age(): number {
    return this.#clock.monotonic() - this.#since
  }

  /** Time to finish what is in hand and dial anew. */
  get worn(): boolean {
    return this.age >= AGE_MAX_MS || this.frames >= FRAMES_MAX
  }

  /** Undefined while the link works. */
  get reason(): EndReason | undefined {
    return this.#reason
  }

  /** True if receive() will not have to wait for the network. */
  get buffered(): boolean {
    if (this.#first !== undefined) return true
    this.#gather()
    return this.#in.complete
  }

  /** Takes what the stream has until a message is whole. */
  #gather(): void {
    while (!this.#in.complete && !this.#reading && this.#reason === undefined) {
      const chunk = this.#stream.take()
      if (chunk === undefined) return
      this.#in.push(chunk)
    }
  }

  /** True if the next send() will wait for room. */
  get full(): boolean {
    return this.#writing !== undefined && this.#out.size >= this.#batch
  }

  /**
   * Queues one frame; frames leave in the order of the calls, many in one write. Resolves when there is room for
   * more, which is not when it was sent. Throws Lost once the link is closed or broken.
   */
  async send(frame: Frame): Promise<void> {
    await this.put(frame)
  }

  /** As send(), for those who send many: undefined if there is room for more now. Throws, and never rejects. */
  put(frame: Frame): Promise<void> | undefined {
    if (this.#reason !== undefined || this.#deaf) throw new Lost('link is closed')
    this.#seal(frame)
    if (this.#out.size >= this.#batch) this.#flush()
    else this.#schedule()
    return this.full ? new Promise<void>((resolve) => this.#waiting.push(resolve)) : undefined
  }

  #wakeSenders(): void {
    for (const wake of this.#waiting.splice(0)) wake()
  }

  #seal(frame: Frame): void {
    this.#out.push(encodeFrame(frame, SCRATCH))
    if (++this.#sent === MUCH) freeAtOnce()
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      this.#flush()
    })
  }

  /** Hands all queued frames to the stream, unless it is still busy with the last ones: then right after. */
  #flush(): void {
    if (this.#writing !== undefined || this.#out.size === 0 || this.#deaf) return
    const { parts, sent } = this.#out.take()
    this.#writing = this.#stream.write(parts, sent).then(
      () => {
        this.#writing = undefined
        this.#flush()
        this.#wakeSenders()
      },
      () => {
        this.#writing = undefined
        this.#deaf = true
        this.#out.clear()
        this.#wakeSenders()
      },
    )
  }

  /**
   * The next frame; undefined once the link has ended, for the `reason` told there. A message that does not decrypt
   * ends it silently; one that decrypts to nonsense is answered with BYE. One call at a time.
   */
  async receive(): Promise<Frame | undefined> {
    while (this.#reason === undefined) {
      const frame = this.next()
      if (frame !== undefined) return frame
      if (this.#reason !== undefined) break
      if (this.#over !== undefined) this.#finish(this.#in.empty ? this.#over : 'reset')
      else await this.#more()
    }
    return undefined
  }

  /** As receive(), but only of what is here already: undefined if no frame is. For those who take many in one turn of the loop. */
  next(): Frame | undefined {
    while (this.#reason === undefined) {
      const plaintext = this.#first ?? this.#open()
      this.#first = undefined
      if (plaintext === undefined) return undefined
      const frame = this.#decode(plaintext)
      if (frame !== undefined) return frame
    }
    return undefined
  }

  #decode(plaintext: Uint8Array): Frame | undefined {
    try {
      return decodeFrame(plaintext)
    } catch (error) {
      if (!(error instanceof Malformed)) throw error
      if (!this.#deaf) this.#seal({ type: 'bye', code: BYE.UNKNOWN_TYPE })
      this.#finish('malformed')
      return undefined
    }
  }

  /** The plaintext of the next message that is here as a whole; undefined if there is none, or it is bad. */
  #open(): Uint8Array | undefined {
    this.#gather()
    if ((this.#in.length ?? MESSAGE_MIN) < MESSAGE_MIN) this.#finish('bad')
    if (this.#reason !== undefined || !this.#in.complete) return undefined
    const message = this.#in.pull()
    try {
      const plaintext = this.#transport.receive.decryptWithAd(EMPTY, message)
      if (++this.#received === MUCH) freeAtOnce()
      return plaintext
    } catch (error) {
      if (!(error instanceof Malformed)) throw error
      this.#finish('bad')
      return undefined
    }
  }

  /** Waits until more bytes are here, or the link is over. */
  #more(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve
      this.#read()
    })
  }

  #read(): void {
    if (this.#reading || this.#over !== undefined) return
    this.#reading = true
    this.#stream.read().then(
      (chunk) => this.#arrived(chunk, 'eof'),
      () => this.#arrived(undefined, 'reset'),
    )
  }

  #arrived(chunk: Uint8Array | undefined, over: EndReason): void {
    this.#reading = false
    if (chunk === undefined) this.#over = over
    if (this.#reason !== undefined) {
      if (this.#over === 'reset') this.#stream.destroy()
      else this.#read() // lingering: what comes now is for nobody
    } else if (chunk !== undefined) {
      this.#in.push(chunk)
    }
    this.#wakeReader()
  }

  #wakeReader(): void {
    this.#wake?.()
    this.#wake = undefined
  }

  /** Sends what is queued, then closes; a waiting receive() ends. Twice is fine. `closed` tells when all is done. */
  close(): void {
    if (this.#reason === undefined) this.#finish('closed')
  }

  #finish(reason: EndReason): void {
    this.#reason = reason
    this.#in.clear()
    this.#first = undefined
    this.#wakeReader()
    this.#wakeSenders()
    if (this.#over === 'reset') return this.#stream.destroy()
    const cancel = this.#clock.after(LINGER_MS, () => this.#stream.destroy())
    void this.#stream.closed.then(cancel)
    void this.#farewell()
  }

  async #farewell(): Promise<void> {
    this.#flush()
    while (this.#writing !== undefined) await this.#writing
    this.#stream.end()
    this.#transport.send.close()
    this.#transport.receive.close()
    this.#read()
  }
}
