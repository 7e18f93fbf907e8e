// The listening side. It guarantees that nobody gets a byte, or learns from the way a connection ends, unless the
// handshake proved a contact; and that a Link is handed out only after the initiator has shown that it holds the new
// keys. Every failure, whatever the step, takes the one silent path below. It trusts the Responder to know who is who.

import { Reader } from '../base/bytes.ts'
import { type Clock, sleep } from '../base/clock.ts'
import { isCode, Malformed } from '../base/fail.ts'
import { fraction, type Random } from '../base/random.ts'
import { type HalfRead, HandshakeState, IK } from '../crypto/noise.ts'
import { type PrivateKey, type Suite } from '../crypto/suite.ts'
import { decodePayload1, encodePayload2, HELLO_SIZE, type Payload1, type Payload2, prologueFor } from '../wire/hello.ts'
import { type Guard } from './guard.ts'
import { LENGTH_SIZE } from './inflow.ts'
import { Intake, type Outcome } from './intake.ts'
import { Link, MESSAGE_MIN } from './link.ts'
import { type ByteStream, type Endpoint, Lost } from './stream.ts'
import { listen, type Listening } from './tcp.ts'

const HELLO_MS = 10_000 // for the first 768 bytes, from the accept
const CONFIRM_MS = 10_000 // for the first transport message, from our answer
const SILENCE_MS = 20_000 // a failed connection is held open for this long, from the accept,
const SILENCE_SPREAD_MS = 5_000 // and up to this much longer, the same for all connections of a process
const AFTER_FIN_MS = 5_000 // then read for this much longer, so that no reset is sent over unread bytes
const DISCARD_RATE = 64 * 1024 // bytes a second read from a failed connection

const EVERYWHERE = ['0.0.0.0', '::']
const EMPTY = new Uint8Array(0)

/** What only the floors above know. */
export interface Responder {
  /** Own I, 32 bytes. */
  readonly identity: Uint8Array
  /** Own T: the current one first, then older ones that are still honoured. */
  transportKeys(): readonly PrivateKey[]
  /** Whether this T is some contact's: a first look, nothing is proven yet. */
  knows(transport: Uint8Array): 'contact' | 'unknown'
  /**
   * The decision: I and T belong together and to a contact, ts is new and durably noted. Undefined is silence.
   * `transport` is proven; p2p-wire(7), HANDSHAKE, steps 5 and 6.
   */
  admit(transport: Uint8Array, payload: Payload1, source: Endpoint): Promise<Omit<Payload2, 'observed'> | undefined>
}

export interface ServeOptions {
  suite: Suite
  clock: Clock
  random: Random
  guard: Guard<ByteStream>
  responder: Responder
  /** 0 takes a free one. */
  port: number
  /** Addresses to listen on; all of IPv4 and IPv6 without. */
  hosts?: readonly string[]
  /** Gets every confirmed link, and must take care of it. */
  onLink: (link: Link) => void
  /** Hears of errors of this side (a failing disk, a bug); to the caller they are silence like all else. */
  onFault?: (error: unknown) => void
  /** The door to the network; TCP without. */
  listen?: typeof listen
}

export interface Server {
  readonly port: number
  readonly addresses: readonly Endpoint[]
  /** Stops listening and drops whoever has not authenticated; links live on. Resolves when the port is free. */
  close(): Promise<void>
}

/**
 * Listens on one port of all addresses. A machine without IPv6, or without IPv4, does with what there is. Rejects with
 * the system's error otherwise: EADDRINUSE if the port is taken.
 */
export async function serve(options: ServeOptions): Promise<Server> {
  const door = new Door(options)
  const open = options.listen ?? listen
  const bound: Listening[] = []
  let missing: unknown
  for (const ip of options.hosts ?? EVERYWHERE) {
    try {
      bound.push(await open({ ip, port: bound[0]?.port ?? options.port }, (stream) => void door.meet(stream)))
    } catch (error) {
      missing = error
      if (options.hosts === undefined && isCode(error, 'EAFNOSUPPORT', 'EADDRNOTAVAIL')) continue
      await Promise.all(bound.map((one) => one.close()))
      throw error
    }
  }
  const [first] = bound
  if (first === undefined) throw missing
  return {
    port: first.port,
    addresses: bound.map(({ ip, port }) => ({ ip, port })),
    async close(): Promise<void> {
      await Promise.all(bound.map((one) => one.close()))
      door.close()
    },
  }
}

interface Guest {
  readonly stream: ByteStream
  readonly intake: Intake
  /** Aborted once the connection is gone: nothing waits for the dead. */
  readonly gone: AbortController
}

class Door {
  readonly #options: ServeOptions
  readonly #silence: number
  readonly #strangers = new Set<ByteStream>()
  #closed = false

  constructor(options: ServeOptions) {
    this.#options = options
    this.#silence = SILENCE_MS + fraction(options.random) * SILENCE_SPREAD_MS
  }

  close(): void {
    this.#closed = true
    for (const stream of this.#strangers) stream.destroy()
  }

  /** A connection from its first moment to a Link or its end. Never rejects. */
  async meet(stream: ByteStream): Promise<void> {
    if (this.#closed) return stream.destroy()
    const { clock, guard } = this.#options
    const since = clock.monotonic()
    const guest: Guest = { stream, intake: new Intake(stream, clock), gone: new AbortController() }
    void stream.closed.then(() => guest.gone.abort())
    this.#strangers.add(stream)
    const link = await this.#handshake(guest, since).catch((error: unknown) => this.#fault(error))
    if (link === undefined || this.#closed) {
      await this.#fade(guest, since + this.#silence)
      this.#strangers.delete(stream)
      return
    }
    this.#strangers.delete(stream)
    guard.leave(stream)
    guard.know(stream.remote.ip)
    try {
      this.#options.onLink(link)
    } catch (error) {
      this.#fault(error)
      link.close()
    }
  }

  #fault(error: unknown): undefined {
    if (!(error instanceof Malformed || error instanceof Lost)) this.#options.onFault?.(error)
  }

  /** The eight steps of p2p-wire(7), HANDSHAKE; undefined, Malformed and Lost all mean silence. */
  async #handshake({ stream, intake, gone }: Guest, since: number): Promise<Link | undefined> {
    const { clock, guard, responder } = this.#options
    const { ip } = stream.remote
    // 1: the size, and a budget
    if (!guard.arrive(stream, ip)) return undefined
    const hello = await intake.exactly(HELLO_SIZE, since + HELLO_MS)
    if (typeof hello === 'string') return undefined
    const wait = guard.hello(ip)
    if (wait === undefined) return undefined
    if (wait > 0) await sleep(clock, wait, gone.signal)
    // 2: es, open s, with each of our keys
    const opened = this.#open(hello)
    if (opened === undefined) return undefined
    const { handshake, half } = opened
    // 3: a contact, or a budget for strangers
    if (responder.knows(half.claimedStatic) === 'unknown' && !guard.unknown(ip)) return undefined
    // 4: ss, open the payload
    const payload = decodePayload1(half.readPayload())
    const transport = handshake.remoteStatic
    if (transport === undefined || !guard.answer(stream, ip)) return undefined
    // 5 and 6: who it is, and that it is no replay
    const answer = await responder.admit(transport, payload, stream.remote)
    if (answer === undefined) return undefined
    // 7: the answer
    const message = handshake.writeMessage(encodePayload2({ ...answer, observed: stream.remote }))
    const keys = handshake.split()
    await stream.write([message])
    // 8: not a byte more, and no act, before the initiator has shown its keys
    const deadline = clock.monotonic() + CONFIRM_MS
    const length = await intake.exactly(LENGTH_SIZE, deadline)
    if (typeof length === 'string') return undefined
    const size = new Reader(length).u16()
    if (size < MESSAGE_MIN) return undefined
    const sealed = await intake.exactly(size, deadline)
    if (typeof sealed === 'string') return undefined
    return new Link({
      stream,
      transport: keys,
      initiator: false,
      peer: { identity: payload.identity, transport },
      hello: payload,
      features: answer.features,
      clock,
      first: keys.receive.decryptWithAd(EMPTY, sealed),
    })
  }

  #open(hello: Uint8Array): { handshake: HandshakeState; half: HalfRead } | undefined {
    const { suite, random, responder } = this.#options
    for (const s of responder.transportKeys()) {
      const prologue = prologueFor(responder.identity)
      const handshake = new HandshakeState({ suite, random, pattern: IK, initiator: false, prologue, s })
      try {
        return { handshake, half: handshake.readStatic(hello) }
      } catch (error) {
        if (!(error instanceof Malformed)) throw error
      }
    }
    return undefined
  }

  /** The one end of all failures: read and discard until the hour, FIN, read a little longer. Never a byte. */
  async #fade({ stream, intake, gone }: Guest, hour: number): Promise<void> {
    const { clock, guard } = this.#options
    guard.drain(stream, stream.remote.ip)?.destroy()
    const discard = async (deadline: number): Promise<Outcome> => {
      for (;;) {
        const chunk = await intake.next(deadline)
        if (typeof chunk === 'string') return chunk
        const pause = Math.min((chunk.length * 1000) / DISCARD_RATE, deadline - clock.monotonic())
        if (pause > 0) await sleep(clock, pause, gone.signal)
      }
    }
    const outcome = await discard(hour)
    if (outcome === 'eof') await sleep(clock, hour - clock.monotonic(), gone.signal)
    if (outcome !== 'lost') {
      stream.end()
      if (outcome === 'late') await discard(clock.monotonic() + AFTER_FIN_MS)
      stream.destroy()
    }
    guard.leave(stream)
  }
}
