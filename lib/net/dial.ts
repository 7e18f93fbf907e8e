// The calling side: all addresses of a contact at once, a little staggered, until one of them answers as that contact.
// A returned Link is authenticated: whoever holds the other end has the contact's transport key, and was called by the
// contact's identity. Everything else about an address is a reason in words the rest of the program can act on.

import { type Clock } from '../base/clock.ts'
import { isCode, Malformed } from '../base/fail.ts'
import { acceptFromPeer, type Address, ADDRESSES_MAX, distinctAddresses, sameAddress } from '../wire/address.ts'
import { FEATURES, HELLO_SIZE } from '../wire/hello.ts'
import { parseIp } from '../wire/ip.ts'
import { greet, type GreetOptions } from './greeting.ts'
import { Intake } from './intake.ts'
import { isOnLink } from './interfaces.ts'
import { Link } from './link.ts'
import { type ByteStream, type Endpoint, Lost } from './stream.ts'
import { connect, resolve } from './tcp.ts'

const STAGGER_MS = 150 // between two addresses: the better one, which stands first, wins if both work
const ANSWER_MS = 1000 // from a connection on: where somebody took it up, the answer is most likely on its way

/** Most telling first: an address with several IPs reports the first of these that occurred. */
const REASONS = ['silent', 'lost', 'refused', 'timeout', 'unroutable', 'unresolved'] as const

/**
 * silent: connected, but nobody answered as this contact; lost: the connection broke; refused: the machine answers, the
 * port does not; timeout: nothing answers; unroutable: this machine has no way there; unresolved: the name has no address.
 */
export type DialReason = (typeof REASONS)[number]

export interface DialFailure {
  address: Address
  reason: DialReason
}

export interface DialOptions extends GreetOptions {
  clock: Clock
  /** In order of preference. Each is tried over TCP if it is for that, then each over UDP likewise. */
  addresses: readonly Address[]
  /** The own UDP port, or undefined if it cannot be had; UDP is left out without. */
  udp?: () => Promise<UdpCaller | undefined>
  /** For everything, names and handshakes included. */
  timeoutMs: number
  signal?: AbortSignal
  /** The doors to the network; TCP and the system's resolver without. */
  connect?: typeof connect
  resolve?: typeof resolve
  /** Whether an address that a name led to may be dialled; global and on-link ones without. */
  permit?: (ip: string, port: number) => boolean
}

/** What calls over UDP: lib/net/udp.ts. */
export interface UdpCaller {
  call(options: GreetOptions, to: Endpoint, signal: AbortSignal): Promise<Link | 'timeout' | 'unroutable'>
}

/** One address over one protocol. */
interface Way {
  readonly address: Address
  readonly over: 'tcp' | 'udp'
}

/** The first link that authenticates, all other attempts dropped; or why each address failed. */
export async function dial(options: DialOptions): Promise<{ link: Link } | { failures: DialFailure[] }> {
  const stop = new AbortController()
  const giveUp = (): void => stop.abort()
  const cancel = options.clock.after(options.timeoutMs, giveUp)
  options.signal?.addEventListener('abort', giveUp, { once: true })
  if (options.signal?.aborted === true) giveUp()
  try {
    const attempt = new Attempt(options, stop.signal, options.clock.monotonic() + options.timeoutMs)
    const ways = waysOf(options)
    const outcome = await race(ways, (way, connected) => attempt.way(way, connected), options.clock, stop.signal)
    if (outcome instanceof Link) return { link: outcome }
    const failures = distinctAddresses(ways.map(({ address }) => address)).map((address) => ({
      address,
      reason: telling(outcome.filter((_, i) => ways[i] !== undefined && sameAddress(ways[i].address, address))),
    }))
    return { failures }
  } finally {
    cancel()
    options.signal?.removeEventListener('abort', giveUp)
    stop.abort()
  }
}

function waysOf({ addresses, udp }: DialOptions): Way[] {
  const all = distinctAddresses(addresses)
  const tcp = all.filter((address) => address.tcp).map((address): Way => ({ address, over: 'tcp' }))
  if (udp === undefined) return tcp
  return [...tcp, ...all.filter((address) => address.udp).map((address): Way => ({ address, over: 'udp' }))]
}

/** Of several reasons the one that says most. */
function telling(reasons: readonly DialReason[]): DialReason {
  return REASONS.find((reason) => reasons.includes(reason)) ?? 'timeout'
}

class Attempt {
  readonly #options: DialOptions
  readonly #signal: AbortSignal
  readonly #deadline: number
  /** Neighbours that refused TCP: with no router in between they would not take UDP either. */
  readonly #refused = new Set<string>()

  constructor(options: DialOptions, signal: AbortSignal, deadline: number) {
    this.#options = options
    this.#signal = signal
    this.#deadline = deadline
  }

  /** `connected` is called when there is a connection, and the handshake begins. */
  async way({ address: { host, port }, over }: Way, connected: () => void): Promise<Link | DialReason> {
    const { clock, permit = (ip) => acceptFromPeer({ host: ip, port }, () => isOnLink(ip)) } = this.#options
    let ips = [host]
    if (parseIp(host) === undefined) {
      const found = await this.#unlessAborted((this.#options.resolve ?? resolve)(host), [])
      ips = [...new Set(found)].filter((ip) => permit(ip, port)).slice(0, ADDRESSES_MAX)
    }
    if (ips.length === 0) return 'unresolved'
    const endpoint = (ip: string, taken: () => void): Promise<Link | DialReason> => {
      if (over === 'udp') return this.#overUdp({ ip, port })
      return this.#overTcp({ ip, port }, () => {
        taken()
        connected()
      })
    }
    const outcome = await race(ips, endpoint, clock, this.#signal)
    return outcome instanceof Link ? outcome : telling(outcome)
  }

  /** What `work` gives, or `instead` once time is over: the system's resolver cannot be stopped. */
  #unlessAborted<T>(work: Promise<T>, instead: T): Promise<T> {
    return new Promise((done, fail) => {
      const giveUp = (): void => done(instead)
      if (this.#signal.aborted) giveUp()
      this.#signal.addEventListener('abort', giveUp, { once: true })
      work.then(done, fail).finally(() => this.#signal.removeEventListener('abort', giveUp))
    })
  }

  async #overUdp(to: Endpoint): Promise<Link | DialReason> {
    if (this.#refused.has(to.ip)) return 'refused'
    const port = await this.#unlessAborted(Promise.resolve(this.#options.udp?.()), undefined)
    if (port === undefined || this.#signal.aborted) return 'timeout'
    return port.call(this.#options, to, this.#signal)
  }

  async #overTcp(to: Endpoint, connected: () => void): Promise<Link | DialReason> {
    let stream: ByteStream
    try {
      stream = await (this.#options.connect ?? connect)(to, this.#signal)
    } catch (error) {
      const reason = reasonOf(error)
      if (reason === 'refused' && isOnLink(to.ip)) this.#refused.add(to.ip)
      return reason
    }
    connected()
    const drop = (): void => stream.destroy()
    this.#signal.addEventListener('abort', drop, { once: true })
    let link: Link | DialReason = 'lost'
    try {
      link = await this.#handshake(stream)
    } catch (error) {
      if (error instanceof Malformed) link = 'silent'
      else if (!(error instanceof Lost)) throw error
    } finally {
      this.#signal.removeEventListener('abort', drop)
      if (!(link instanceof Link)) drop()
    }
    if (this.#signal.aborted && link instanceof Link) drop()
    return link
  }

  async #handshake(stream: ByteStream): Promise<Link | DialReason> {
    const { clock } = this.#options
    const outcome = await greetOver(stream, this.#options, clock, this.#deadline)
    return outcome === 'lost' && this.#signal.aborted ? 'silent' : outcome
  }
}

/** The calling half of a handshake over a connection that is there; until `deadline` (monotonic). Throws Malformed, Lost. */
export async function greetOver(stream: ByteStream, options: GreetOptions, clock: Clock, deadline: number): Promise<Link | 'lost' | 'silent'> {
  const greeting = await greet(options, 0)
  await stream.write([greeting.message])
  const message = await new Intake(stream, clock).exactly(HELLO_SIZE, deadline)
  if (typeof message === 'string') return message === 'lost' ? 'lost' : 'silent'
  const { transport, hello } = greeting.read(message)
  const { peer } = options
  return new Link({ stream, transport, initiator: true, peer, hello, features: hello.features & (options.features ?? FEATURES), clock })
}

function reasonOf(error: unknown): DialReason {
  if (error instanceof Lost || isCode(error, 'ETIMEDOUT')) return 'timeout'
  if (isCode(error, 'ECONNREFUSED')) return 'refused'
  if (isCode(error, 'ECONNRESET', 'ECONNABORTED', 'EPIPE')) return 'lost'
  return 'unroutable' // ENETUNREACH, EHOSTUNREACH, EADDRNOTAVAIL, EAFNOSUPPORT, a local firewall's EPERM
}

/**
 * Runs the items in order, the next one when the last has failed or after STAGGER_MS, or ANSWER_MS after the last was
 * connected, all of them side by side. The first Link ends it; without one, the reasons in the order of the items. Later
 * links are closed. Throws what an item throws.
 */
function race<T>(
  items: readonly T[],
  run: (item: T, connected: () => void) => Promise<Link | DialReason>,
  clock: Clock,
  signal: AbortSignal,
): Promise<Link | DialReason[]> {
  return new Promise((done, fail) => {
    const reasons: DialReason[] = []
    let [started, ended] = [0, 0]
    let over = false
    let cancel = (): void => {}
    const finish = (settle: () => void): void => {
      over = true
      cancel()
      settle()
    }
    const start = (): void => {
      cancel()
      const index = started++
      const item = items[index]
      if (over || item === undefined) return
      const next = (ms: number): void => {
        if (index !== started - 1) return // of those that run the last one decides
        cancel()
        if (started < items.length && !over && !signal.aborted) cancel = clock.after(ms, start)
      }
      next(STAGGER_MS)
      run(item, () => next(ANSWER_MS)).then(
        (outcome) => {
          if (outcome instanceof Link) {
            if (over) outcome.close()
            else finish(() => done(outcome))
            return
          }
          reasons[index] = outcome
          if (++ended === items.length) finish(() => done(reasons))
          else if (index === started - 1) start()
        },
        (error: unknown) => finish(() => fail(error)),
      )
    }
    if (items.length === 0) return done([])
    start()
  })
}
