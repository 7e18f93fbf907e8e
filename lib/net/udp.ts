// The UDP port of a home: hellos and their answers as datagrams, then a stream on the same two ports. It guarantees that
// nothing is sent to anybody whose hello is not a contact's (openers aside, which end on the way), and that an answer
// goes only to where its hello came from. Every failure is a datagram dropped. It trusts the Responder and the Guard.

import { hex, Reader } from '../base/bytes.ts'
import { Malformed } from '../base/fail.ts'
import type { Transport } from '../crypto/noise.ts'
import { FEATURES, HELLO_SIZE, type Payload2 } from '../wire/hello.ts'
import { type AnswerOptions, answerHello, confirm } from './answer.ts'
import type { Datagrams, OpenDatagrams, Pipe } from './datagram.ts'
import { greet, type Greeting, type GreetOptions } from './greeting.ts'
import { Intake } from './intake.ts'
import { Link } from './link.ts'
import { MARK_SIZE, Marks } from './roam.ts'
import { type OnShown, Roster } from './roster.ts'
import { type Endpoint, Lost } from './stream.ts'
import { Stun } from './stun.ts'
import { UdpStream } from './udpstream.ts'

/** A hello is sent again, the same bytes, so long after the first time. */
export const RESENDS_MS: readonly number[] = [1000, 2000, 4000, 8000]

const PATIENCE_MS = 10_000 // an answer is waited for so long after the last time
const REMEMBER_MS = 20_000 // an answer is given again to the same hello from the same place
const REMEMBER_MAX = 2048 // answers; the oldest goes
export const OPENER_HOPS = 5 // enough for a NAT at home and one at the carrier, too few for the other side's
const LINGER_MS = 500 // last words may take so long when the port closes

export interface UdpPortOptions extends AnswerOptions {
  port: number
  /** The door to the network. */
  open: OpenDatagrams
  /** Whether this address is told how it is seen, should it ask (STUN); nobody without. */
  answersStun?: (ip: string) => boolean
  /** Gets every confirmed link of a caller, and must take care of it. */
  onLink: (link: Link) => void
  onShown?: OnShown
  /** Hears of errors of this side (a failing disk, a bug); to the caller they are silence like all else. */
  onFault?: (error: unknown) => void
}

/** A hello goes to `to` so long (ms) after the first time. */
export interface Shot {
  readonly after: number
  readonly to: Endpoint
}

/** A datagram that went out or came in, for whoever explains. */
export interface Passing {
  readonly out: boolean
  readonly size: number
  /** Of an opener. */
  readonly hops?: number | undefined
  readonly place: Endpoint
}

/** A hello of ours without an answer so far. */
interface Pending {
  readonly greeting: Greeting
  readonly streamId: number
  readonly to: Endpoint
  readonly answered: (transport: Transport, hello: Payload2, from: Endpoint) => void
  readonly giveUp: () => void
}

/** A hello that was answered, or is about to be. */
interface Answered {
  readonly hash: string
  message: Uint8Array | undefined
  readonly forget: () => void
}

export class UdpPort {
  readonly #options: UdpPortOptions
  #datagrams!: Datagrams
  /** Asks servers, and answers, from this very port. */
  readonly stun: Stun
  #closed = false
  #closing: Promise<void> | undefined
  readonly #pending = new Set<Pending>()
  readonly #answered = new Map<string, Answered[]>()
  #remembered = 0
  readonly #streams = new Map<number, UdpStream | undefined>()
  readonly #roster: Roster
  readonly #watchers = new Set<(passing: Passing) => void>()

  private constructor(options: UdpPortOptions) {
    this.#options = options
    const { clock, random, onShown, answersStun = () => false } = options
    this.#roster = new Roster(clock, onShown)
    const send = (bytes: Uint8Array, to: Endpoint): boolean => !this.#closed && this.#datagrams.send(bytes, to)
    this.stun = new Stun({ clock, random, send, answers: answersStun })
  }

  /** Binds the port, alone: EADDRINUSE if it is taken. Throws an Error in words if this machine can do no UDP. */
  static async open(options: UdpPortOptions): Promise<UdpPort> {
    const port = new UdpPort(options)
    port.#datagrams = await options.open(options.port, (bytes, from) => port.#arrived(bytes, from))
    return port
  }

  get port(): number {
    return this.#datagrams.port
  }

  get addresses(): readonly Endpoint[] {
    return this.#datagrams.addresses
  }

  /** For diagnosis and tests. */
  get counts(): { pending: number; answered: number; streams: number; marks: number } {
    const [pending, streams] = [this.#pending.size, this.#streams.size]
    return { pending, answered: this.#remembered, streams, marks: this.#roster.size }
  }

  /** Opens the own NAT towards an address; the datagram ends on the way. */
  opener(to: Endpoint): void {
    if (!this.#closed) this.#send(this.#options.random.bytes(MARK_SIZE), to, OPENER_HOPS)
  }

  /** Tells of every datagram but those of streams, until the result is called. */
  watch(onPassing: (passing: Passing) => void): () => void {
    this.#watchers.add(onPassing)
    return () => this.#watchers.delete(onPassing)
  }

  #send(bytes: Uint8Array, to: Endpoint, hops?: number): boolean {
    const sent = this.#datagrams.send(bytes, to, hops)
    if (sent) for (const tell of this.#watchers) tell({ out: true, size: bytes.length, hops, place: to })
    return sent
  }

  /**
   * Sends one hello to one address, again after `resends`, until it is answered, or for so long in vain, or `signal`
   * fires. Throws what its stamp throws.
   */
  call(options: GreetOptions, to: Endpoint, signal: AbortSignal, resends = RESENDS_MS): Promise<Link | 'timeout' | 'unroutable'> {
    const shots = [0, ...resends].map((after): Shot => ({ after, to }))
    return this.search(options, shots, signal)
  }

  /** As call(), the same hello to several places, the first of them at once: a search for the one that is open. */
  async search(options: GreetOptions, shots: readonly Shot[], signal: AbortSignal): Promise<Link | 'timeout' | 'unroutable'> {
    const [first, ...others] = shots
    if (first === undefined) return 'unroutable'
    const { to } = first
    const { clock } = this.#options
    const streamId = this.#newId()
    try {
      const greeting = await greet(options, streamId)
      if (signal.aborted || this.#closed) return 'timeout'
      if (!this.#send(greeting.message, to)) return 'unroutable'
      return await new Promise((resolve) => {
        const cancels: (() => void)[] = []
        const finish = (outcome: Link | 'timeout'): void => {
          for (const cancel of cancels) cancel()
          signal.removeEventListener('abort', giveUp)
          this.#pending.delete(pending)
          resolve(outcome)
        }
        const giveUp = (): void => finish('timeout')
        const pending: Pending = {
          greeting,
          streamId,
          to,
          giveUp,
          answered: (transport, hello, from) => {
            const pipe = this.#datagrams.connect(streamId, hello.streamId, from)
            const stream = this.#stream(streamId, pipe, from, transport, true, options.peer.identity)
            const features = hello.features & (options.features ?? FEATURES)
            const { peer } = options
            const found = others.some((shot) => shot.to.port !== to.port)
            finish(new Link({ stream, transport, initiator: true, peer, hello, features, clock, found }))
          },
        }
        this.#pending.add(pending)
        signal.addEventListener('abort', giveUp, { once: true })
        for (const shot of others) cancels.push(clock.after(shot.after, () => this.#send(greeting.message, shot.to)))
        cancels.push(clock.after((others.at(-1)?.after ?? 0) + PATIENCE_MS, giveUp))
      })
    } finally {
      if (this.#streams.get(streamId) === undefined) this.#streams.delete(streamId)
    }
  }

  /** Lets links say their last words, then closes those left. The port is free once it resolves, whoever has called first. */
  close(): Promise<void> {
    return (this.#closing ??= this.#close())
  }

  async #close(): Promise<void> {
    this.#closed = true
    for (const pending of this.#pending) pending.giveUp()
    const streams = [...this.#streams.values()].filter((stream) => stream !== undefined)
    const cancel = this.#options.clock.after(LINGER_MS, () => streams.forEach((stream) => stream.destroy()))
    await Promise.all(streams.map((stream) => stream.closed))
    cancel()
    for (const list of this.#answered.values()) for (const each of list) each.forget()
    this.#roster.close()
    await this.#datagrams.close()
  }

  /** Unguessable: who knows the number of a stream can break it. Reserved until the stream is over. */
  #newId(): number {
    for (;;) {
      const id = new Reader(this.#options.random.bytes(4)).u32()
      if (id === 0 || this.#streams.has(id)) continue
      this.#streams.set(id, undefined)
      return id
    }
  }

  #stream(id: number, pipe: Pipe, remote: Endpoint, { exporter }: Transport, initiator: boolean, identity: Uint8Array): UdpStream {
    const { suite } = this.#options
    const [own, theirs] = [new Marks(suite, exporter, initiator), new Marks(suite, exporter, !initiator)]
    const stream = new UdpStream(pipe, remote, (to) => this.#datagrams.send(own.make(), to))
    this.#streams.set(id, stream)
    this.#roster.add(stream, theirs, identity)
    void stream.closed.then(() => this.#streams.delete(id))
    return stream
  }

  /** What no stream has taken. p2p-wire(7), UDP, says the order. */
  #arrived(bytes: Uint8Array, from: Endpoint): void {
    if (this.#closed) return
    for (const tell of this.#watchers) tell({ out: false, size: bytes.length, place: from })
    if (this.stun.take(bytes, from)) return
    if (bytes.length === HELLO_SIZE) this.#hello(bytes, from)
    else if (bytes.length === MARK_SIZE) this.#roster.take(bytes, from)
  }

  #hello(bytes: Uint8Array, from: Endpoint): void {
    const { guard } = this.#options
    if (this.#repeat(bytes, from)) return
    const here = (pending: Pending): boolean => pending.to.ip === from.ip && pending.to.port === from.port
    const all = [...this.#pending]
    for (const pending of [...all.filter(here), ...all.filter((each) => !here(each))]) {
      if (guard.hello(from.ip, 0) === undefined) return
      try {
        const { transport, hello } = pending.greeting.read(bytes)
        if (hello.streamId !== 0) pending.answered(transport, hello, from)
        return
      } catch (error) {
        if (!(error instanceof Malformed)) throw error
      }
    }
    if (guard.hello(from.ip, 0) === undefined) return
    this.#answer(new Uint8Array(bytes), from).catch((error: unknown) => this.#fault(error))
  }

  /** True if this very hello came from there a moment ago. */
  #repeat(bytes: Uint8Array, from: Endpoint): boolean {
    const list = this.#answered.get(placeOf(from))
    if (list === undefined) return false
    const hash = this.#hash(bytes)
    const known = list.find((each) => each.hash === hash)
    if (known?.message !== undefined) this.#send(known.message, from)
    return known !== undefined
  }

  #hash(bytes: Uint8Array): string {
    return hex(this.#options.suite.hash(bytes))
  }

  #remember(bytes: Uint8Array, from: Endpoint): Answered {
    const place = placeOf(from)
    const list = this.#answered.get(place) ?? []
    const cancel = this.#options.clock.after(REMEMBER_MS, () => entry.forget(), true)
    const entry: Answered = {
      hash: this.#hash(bytes),
      message: undefined,
      forget: () => {
        cancel()
        const at = list.indexOf(entry)
        if (at < 0) return
        list.splice(at, 1)
        this.#remembered--
        if (list.length === 0) this.#answered.delete(place)
      },
    }
    this.#answered.set(place, list)
    list.push(entry)
    if (++this.#remembered > REMEMBER_MAX) {
      const [[oldest] = []] = this.#answered.values()
      oldest?.forget()
    }
    return entry
  }

  /** The eight steps of p2p-wire(7), HANDSHAKE; undefined, Malformed and Lost all mean silence. */
  async #answer(bytes: Uint8Array, from: Endpoint): Promise<void> {
    const { guard, clock, onLink } = this.#options
    const entry = this.#remember(bytes, from)
    const streamId = this.#newId()
    let stream: UdpStream | undefined
    const caller = { destroy: () => stream?.destroy() }
    let link: Link | undefined
    try {
      const answer = await answerHello(this.#options, bytes, caller, from, streamId)
      if (answer === undefined || answer.payload.streamId === 0 || this.#closed) return
      const pipe = this.#datagrams.accept(streamId, answer.payload.streamId, from)
      stream = this.#stream(streamId, pipe, from, answer.keys, false, answer.peer.identity)
      entry.message = answer.message
      this.#send(answer.message, from)
      link = await confirm(answer, stream, new Intake(stream, clock), clock)
    } finally {
      guard.leave(caller)
      if (entry.message === undefined) entry.forget()
      if (stream === undefined) this.#streams.delete(streamId)
      else if (link === undefined) stream.destroy()
    }
    if (link === undefined) return
    guard.know(from.ip)
    try {
      onLink(link)
    } catch (error) {
      link.close()
      throw error
    }
  }

  #fault(error: unknown): void {
    if (!(error instanceof Malformed || error instanceof Lost)) this.#options.onFault?.(error)
  }
}

const placeOf = ({ ip, port }: Endpoint): string => `${ip} ${port}`
