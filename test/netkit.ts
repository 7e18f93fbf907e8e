// For the tests of the net floor: a clock that moves by hand, connections in memory that record how they end, and
// two people with keys.

import { type Clock } from '../lib/base/clock.ts'
import { concat } from '../lib/base/bytes.ts'
import { systemRandom } from '../lib/base/random.ts'
import { HandshakeState, IK } from '../lib/crypto/noise.ts'
import { type PrivateKey, type Suite } from '../lib/crypto/suite.ts'
import { type Responder } from '../lib/net/answer.ts'
import { Link } from '../lib/net/link.ts'
import { type ByteStream, type Endpoint, Lost } from '../lib/net/stream.ts'
import { encodePayload1, encodePayload2, type Payload1, type Payload2, prologueFor } from '../lib/wire/hello.ts'

/** Lets everything that can run now run. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 4; turn++) await new Promise((resolve) => setImmediate(resolve))
}

export class FakeClock implements Clock {
  time = 0
  #timers: { at: number; run: () => void }[] = []

  now = (): number => 1_700_000_000_000 + this.time
  micros = (): bigint => BigInt(Math.round(this.now() * 1000))
  monotonic = (): number => this.time

  after(ms: number, run: () => void): () => void {
    const timer = { at: this.time + Math.max(0, ms), run }
    this.#timers.push(timer)
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer)
    }
  }

  get timers(): number {
    return this.#timers.length
  }

  /** Runs every timer that falls due within `ms`, in order, each with all that follows from it. */
  async advance(ms: number): Promise<void> {
    const end = this.time + ms
    await settle()
    for (;;) {
      const next = this.#timers.reduce<{ at: number; run: () => void } | undefined>(
        (first, timer) => (timer.at <= end && (first === undefined || timer.at < first.at) ? timer : first),
        undefined,
      )
      if (next === undefined) break
      this.#timers = this.#timers.filter((timer) => timer !== next)
      this.time = Math.max(this.time, next.at)
      next.run()
      await settle()
    }
    this.time = end
  }
}

/** One end of a connection in memory. Closing it with unread bytes resets the other end, as TCP does. */
export class MemoryStream implements ByteStream {
  readonly carrier = 'tcp'
  readonly remote: Endpoint
  readonly closed: Promise<void>
  other!: MemoryStream
  /** [virtual time, what]: the ends of this side as the other one sees them. */
  readonly log: string[] = []
  /** All bytes this side has written, and in how many calls. */
  written = 0
  writes = 0
  /** Changes what this side writes, on the way. */
  tamper: ((bytes: Uint8Array) => Uint8Array) | undefined
  readonly #clock: Clock
  #queue: Uint8Array[] = []
  #eof = false
  #ended = false
  #destroyed = false
  #lost: Lost | undefined
  #wake: (() => void) | undefined
  #close!: () => void

  constructor(remote: Endpoint, clock: Clock) {
    this.remote = remote
    this.#clock = clock
    this.closed = new Promise((resolve) => (this.#close = resolve))
  }

  async read(): Promise<Uint8Array | undefined> {
    for (;;) {
      const chunk = this.take()
      if (chunk !== undefined) return chunk
      if (this.#eof) return undefined
      if (this.#lost !== undefined) throw this.#lost
      await new Promise<void>((resolve) => (this.#wake = resolve))
    }
  }

  take(): Uint8Array | undefined {
    return this.#queue.shift()
  }

  unread(bytes: Uint8Array): void {
    if (bytes.length > 0) this.#queue.unshift(bytes)
  }

  async write(parts: readonly Uint8Array[]): Promise<void> {
    if (this.#lost !== undefined || this.#ended) throw this.#lost ?? new Lost('ended')
    const plain = concat(...parts)
    const bytes = this.tamper?.(plain) ?? plain
    this.written += bytes.length
    this.writes++
    if (!this.other.#destroyed) this.other.#queue.push(bytes)
    this.other.#rouse()
  }

  end(): void {
    if (this.#ended || this.#destroyed) return
    this.#ended = true
    this.log.push(`${Math.round(this.#clock.monotonic())} fin`)
    this.other.#eof = true
    this.other.#rouse()
    if (this.#eof) this.destroy()
  }

  destroy(): void {
    if (this.#destroyed) return
    this.#destroyed = true
    const reset = this.#queue.length > 0
    this.log.push(`${Math.round(this.#clock.monotonic())} ${reset ? 'reset' : 'close'}`)
    if (reset) this.other.lose()
    this.other.#eof = true
    this.other.#rouse()
    this.lose()
    this.#close()
  }

  /** The network breaks this end. */
  lose(): void {
    this.#lost ??= new Lost('connection reset', 'ECONNRESET')
    this.#rouse()
  }

  #rouse(): void {
    this.#wake?.()
    this.#wake = undefined
  }
}

/** [the caller's end, the listener's end]; `from` is the caller as the listener sees it. */
export function pipe(clock: Clock, from: Endpoint = { ip: '192.0.2.7', port: 4000 }): [MemoryStream, MemoryStream] {
  const caller = new MemoryStream({ ip: '198.51.100.1', port: 20_000 }, clock)
  const listener = new MemoryStream(from, clock)
  caller.other = listener
  listener.other = caller
  return [caller, listener]
}

export interface Person {
  identity: Uint8Array
  key: PrivateKey
}

/** Two keys; nothing on this floor looks into an identity, so 32 random bytes will do. */
export function person(suite: Suite): Person {
  return { identity: systemRandom.bytes(32), key: suite.generate(systemRandom) }
}

export function same(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0
}

/** A responder that knows some people and takes each ts once. */
export function responderFor(
  self: Person,
  contacts: readonly Person[],
): Responder & { admitted: Payload1[]; asked: number } {
  const seen = new Set<bigint>()
  const admitted: Payload1[] = []
  const responder = {
    identity: self.identity,
    admitted,
    asked: 0,
    transportKeys: () => [self.key],
    knows: (transport: Uint8Array) =>
      contacts.some((contact) => same(contact.key.publicKey, transport)) ? ('contact' as const) : ('unknown' as const),
    async admit(transport: Uint8Array, payload: Payload1) {
      responder.asked++
      const contact = contacts.find((one) => same(one.identity, payload.identity))
      if (contact === undefined || !same(contact.key.publicKey, transport) || seen.has(payload.ts)) return undefined
      seen.add(payload.ts)
      admitted.push(payload)
      return { seqOwn: 5n, features: payload.features & 1, streamId: 0, clock: 1_700_000_000_000n, token: new Uint8Array(0) }
    },
  }
  return responder
}

/** A clock that runs `factor` times as fast as the real one: for deadlines over real sockets. */
export function fastClock(factor: number): Clock {
  return {
    now: () => Math.round(1_700_000_000_000 + performance.now() * factor),
    micros: () => BigInt(Math.round((1_700_000_000_000 + performance.now() * factor) * 1000)),
    monotonic: () => performance.now() * factor,
    after(ms, run) {
      const timer = setTimeout(run, ms / factor)
      return () => clearTimeout(timer)
    },
  }
}

export const PAYLOAD1: Payload1 = {
  kind: 0,
  identity: new Uint8Array(32),
  ts: 1n,
  seqOwn: 7n,
  seqHeld: 4n,
  features: 3,
  streamId: 0,
  inviteProof: new Uint8Array(16),
  token: new Uint8Array(0),
}

/** The first message of `from` to `to`, and the state that can read the answer. */
export function hello(
  suite: Suite,
  from: Person,
  to: { identity: Uint8Array; transport: Uint8Array },
  payload: Uint8Array = encodePayload1({ ...PAYLOAD1, identity: from.identity }),
): { message: Uint8Array; handshake: HandshakeState } {
  const handshake = new HandshakeState({
    suite,
    random: systemRandom,
    pattern: IK,
    initiator: true,
    prologue: prologueFor(to.identity),
    s: from.key,
    rs: to.transport,
  })
  return { message: handshake.writeMessage(payload), handshake }
}

/** Two links over the two streams, without a listener between: the initiator's first. `features`: those that both have. */
export function linkPair(suite: Suite, clock: Clock, streams: readonly [ByteStream, ByteStream], features = 0): [Link, Link] {
  const [alice, bob] = [person(suite), person(suite)]
  const to = { identity: bob.identity, transport: bob.key.publicKey }
  const { message, handshake } = hello(suite, alice, to)
  const answering = new HandshakeState({
    suite,
    random: systemRandom,
    pattern: IK,
    initiator: false,
    prologue: prologueFor(bob.identity),
    s: bob.key,
  })
  answering.readMessage(message)
  const answer: Payload2 = {
    seqOwn: 1n,
    features: 0,
    streamId: 0,
    clock: 0n,
    observed: undefined,
    token: new Uint8Array(0),
  }
  handshake.readMessage(answering.writeMessage(encodePayload2(answer)))
  const from = { identity: alice.identity, transport: alice.key.publicKey }
  const common = { features, clock }
  return [
    new Link({ ...common, stream: streams[0], transport: handshake.split(), initiator: true, peer: to, hello: answer }),
    new Link({ ...common, stream: streams[1], transport: answering.split(), initiator: false, peer: from, hello: PAYLOAD1 }),
  ]
}

let lastStamp = 0n
/** Never the same twice. */
export async function stamp(): Promise<bigint> {
  return ++lastStamp
}
