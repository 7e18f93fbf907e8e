// The listening side of TCP. It guarantees that nobody gets a byte, or learns from the way a connection ends, unless the
// handshake (answer.ts) proved a contact. Every failure, whatever the step, takes the one silent path below.

import { type Clock } from '../base/clock.ts'
import { isCode, Malformed } from '../base/fail.ts'
import { fraction, type Random } from '../base/random.ts'
import { type Suite } from '../crypto/suite.ts'
import { HELLO_SIZE } from '../wire/hello.ts'
import { answerHello, confirm, type Responder } from './answer.ts'
import { type Guard } from './guard.ts'
import { Intake, type Outcome } from './intake.ts'
import { type Link } from './link.ts'
import { type ByteStream, type Ending, type Endpoint, Lost } from './stream.ts'
import { listen, type Listening } from './tcp.ts'

const HELLO_MS = 10_000 // for the first 768 bytes, from the accept
const SILENCE_MS = 20_000 // a failed connection is held open for this long, from the accept,
const SILENCE_SPREAD_MS = 5_000 // and up to this much longer, the same for all connections of a process
const AFTER_FIN_MS = 5_000 // then read for this much longer, so that no reset is sent over unread bytes
const DISCARD_MS = 1000 // between two reads from a failed connection: whatever it sends costs no more than these

const EVERYWHERE = ['0.0.0.0', '::']

export interface ServeOptions {
  suite: Suite
  clock: Clock
  random: Random
  guard: Guard<Ending>
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
  /** A connection that did not come in by the port, treated as if it had. */
  meet(stream: ByteStream): void
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
    meet: (stream) => void door.meet(stream),
    async close(): Promise<void> {
      await Promise.all(bound.map((one) => one.close()))
      door.close()
    },
  }
}

interface Guest {
  readonly stream: ByteStream
  readonly intake: Intake
  /** The connection is over: nothing waits for the dead. */
  gone: boolean
  /** Ends the one pause there may be. */
  wake: () => void
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
    const guest: Guest = { stream, intake: new Intake(stream, clock), gone: false, wake: () => undefined }
    void stream.closed.then(() => {
      guest.gone = true
      guest.wake()
    })
    this.#strangers.add(stream)
    const link = await this.#handshake(guest, since).catch((error: unknown) => this.#fault(error))
    if (link === undefined || this.#closed) {
      await this.#fade(guest, since)
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

  /** By hand: AbortControllers and their listeners were a tenth of what a stranger costs. */
  #pause(guest: Guest, ms: number): Promise<void> {
    return new Promise((resolve) => {
      if (guest.gone) return resolve()
      const cancel = this.#options.clock.after(ms, resolve)
      guest.wake = () => {
        cancel()
        resolve()
      }
    })
  }

  #fault(error: unknown): undefined {
    if (!(error instanceof Malformed || error instanceof Lost)) this.#options.onFault?.(error)
  }

  /** The eight steps of p2p-wire(7), HANDSHAKE; undefined, Malformed and Lost all mean silence. */
  async #handshake(guest: Guest, since: number): Promise<Link | undefined> {
    const { stream, intake } = guest
    const { clock, guard } = this.#options
    const { ip } = stream.remote
    // 1: the size, and a budget
    if (!guard.arrive(stream, ip)) return undefined
    const hello = await intake.exactly(HELLO_SIZE, since + HELLO_MS)
    if (typeof hello === 'string') return undefined
    const wait = guard.hello(ip)
    if (wait === undefined) return undefined
    if (wait > 0) await this.#pause(guest, wait)
    const answer = await answerHello(this.#options, hello, stream, stream.remote, 0)
    if (answer === undefined) return undefined
    await stream.write([answer.message])
    return confirm(answer, stream, intake, clock)
  }

  /** The one end of all failures: read and discard until the hour, FIN, read a little longer. Never a byte. */
  async #fade(guest: Guest, since: number): Promise<void> {
    const { stream, intake } = guest
    const { clock, guard } = this.#options
    const hour = since + this.#silence
    guard.drain(stream, stream.remote.ip)?.destroy()
    stream.ignore?.()
    // At whole seconds since the accept: whose buffers begin to be emptied when does not tell how far it got.
    const discard = async (deadline: number): Promise<Outcome> => {
      for (;;) {
        const now = clock.monotonic()
        await this.#pause(guest, Math.min(DISCARD_MS - ((now - since) % DISCARD_MS), deadline - now))
        if (clock.monotonic() >= deadline) return 'late'
        const chunk = await intake.next(deadline)
        if (typeof chunk === 'string') return chunk
      }
    }
    const outcome = await discard(hour)
    if (outcome === 'eof') await this.#pause(guest, hour - clock.monotonic())
    if (outcome !== 'lost') {
      stream.end()
      if (outcome === 'late') await discard(clock.monotonic() + AFTER_FIN_MS)
      stream.destroy()
    }
    guard.leave(stream)
  }
}
