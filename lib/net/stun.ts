// STUN on the home's own UDP port, both ways: asking servers how they see it, and answering those that the owner allows.
// It guarantees that an answer is believed only from where it was expected, that at most as many answers leave as the
// budget says, to the address that asked, and that everything else is dropped without a trace.

import type { Clock } from '../base/clock.ts'
import { hex } from '../base/bytes.ts'
import { Malformed } from '../base/fail.ts'
import type { Random } from '../base/random.ts'
import {
  type Change,
  encodeStunRequest,
  encodeStunResponse,
  looksLikeStun,
  parseStun,
  type StunMessage,
  type StunRequest,
  type StunResponse,
  STUN_ID_SIZE,
} from '../wire/stun.ts'
import { Buckets, Bucket, sourceOf } from './guard.ts'
import type { Endpoint } from './stream.ts'

/** A request is sent so long after the first time, and given up: RFC 8489 6.2.1 with its RTO of 500 ms, cut short. */
const SEND_MS = [0, 500, 1500] as const
const VAIN_MS = 3500

/** Answers a second: in all, and to one source. */
export const ANSWERS = { rate: 100, burst: 50 } as const
export const ANSWERS_PER_SOURCE = { rate: 5, burst: 10 } as const

const PENDING_MAX = 64

interface Pending {
  readonly from: (from: Endpoint) => boolean
  readonly take: (response: StunResponse, from: Endpoint) => void
}

export interface StunOptions {
  clock: Clock
  random: Random
  send: (bytes: Uint8Array, to: Endpoint) => boolean
  /** Whether this address gets an answer. */
  answers: (ip: string) => boolean
}

export class Stun {
  readonly #options: StunOptions
  readonly #pending = new Map<string, Pending>()
  readonly #all: Bucket
  readonly #each = new Buckets(ANSWERS_PER_SOURCE)

  constructor(options: StunOptions) {
    this.#options = options
    this.#all = new Bucket(ANSWERS, options.clock.monotonic())
  }

  /** A datagram that came in; true if it is STUN, and dealt with. */
  take(bytes: Uint8Array, from: Endpoint): boolean {
    if (!looksLikeStun(bytes)) return false
    let message: StunMessage
    try {
      message = parseStun(bytes)
    } catch (error) {
      if (!(error instanceof Malformed)) throw error
      return true
    }
    if (message.type === 'request') this.#answer(message, from)
    else {
      const pending = this.#pending.get(hex(message.id))
      if (pending?.from(from) === true) pending.take(message, from)
    }
    return true
  }

  #answer(request: StunRequest, from: Endpoint): void {
    const { clock, send, answers } = this.#options
    if (!answers(from.ip)) return
    const now = clock.monotonic()
    const source = this.#each.of(sourceOf(from.ip), now)
    if (source.delay(now) > 0 || this.#all.delay(now) > 0) return
    source.spend(now)
    this.#all.spend(now)
    send(encodeStunResponse(request, from), from)
  }

  /**
   * Asks a server; the answer may come from there or, with a change, from one of `others`. Undefined if none comes, it
   * is an error, or `signal` fires.
   */
  ask(server: Endpoint, signal: AbortSignal, change?: Change, others: readonly Endpoint[] = []): Promise<StunResponse | undefined> {
    const { clock, random, send } = this.#options
    const id = random.bytes(STUN_ID_SIZE)
    const request = encodeStunRequest(id, change)
    const at = hex(id)
    if (signal.aborted || this.#pending.size >= PENDING_MAX) return Promise.resolve(undefined)
    return new Promise((resolve) => {
      const finish = (response?: StunResponse): void => {
        for (const cancel of cancels) cancel()
        signal.removeEventListener('abort', vain)
        this.#pending.delete(at)
        resolve(response?.seen === undefined ? undefined : response)
      }
      const vain = (): void => finish()
      const expected = change === undefined ? [server] : others
      this.#pending.set(at, {
        from: ({ ip, port }) => expected.some((each) => each.ip === ip && each.port === port),
        take: (response) => finish(response),
      })
      signal.addEventListener('abort', vain, { once: true })
      const cancels = SEND_MS.map((ms) => clock.after(ms, () => send(request, server)))
      cancels.push(clock.after(VAIN_MS, vain))
    })
  }
}

/** How a NAT treats one port, in the words of RFC 4787. */
export type Behaviour = 'independent' | 'address' | 'address+port'

export interface Discovery {
  /** This port as the server's two addresses see it; one if the server has but one. */
  readonly seen: readonly Endpoint[]
  /** Undefined: the server has but one address, so nobody can tell. */
  readonly mapping?: Behaviour
  readonly filtering?: Behaviour
}

/** What a server can find out (RFC 5780 4.3 and 4.4); undefined if it does not answer. */
export async function discover(stun: Stun, server: Endpoint, signal: AbortSignal): Promise<Discovery | undefined> {
  const first = await stun.ask(server, signal)
  if (first?.seen === undefined) return undefined
  const { seen, other } = first
  const usable = other !== undefined && other.ip !== server.ip && other.port !== server.port
  if (!usable || other.ip.includes(':') !== server.ip.includes(':')) return { seen: [seen] }
  // Filtering first: what is asked of the other address would open the way for it.
  const all = [other, { ip: server.ip, port: other.port }, { ip: other.ip, port: server.port }]
  const far = await stun.ask(server, signal, { ip: true, port: true }, all)
  const near = far ?? (await stun.ask(server, signal, { ip: false, port: true }, all))
  const filtering = far !== undefined ? 'independent' : near !== undefined ? 'address' : 'address+port'
  const second = (await stun.ask({ ip: other.ip, port: server.port }, signal))?.seen
  if (second === undefined) return { seen: [seen], filtering }
  if (same(second, seen)) return { seen: [seen, second], mapping: 'independent', filtering }
  const third = (await stun.ask(other, signal))?.seen
  const mapping = third !== undefined && same(third, second) ? 'address' : 'address+port'
  return { seen: [seen, second], mapping, filtering }
}

function same(a: Endpoint, b: Endpoint): boolean {
  return a.ip === b.ip && a.port === b.port
}
