// How a contact is called: at the places where it may be, over TCP and, where the caller has the port, over UDP, until
// it answers or calls itself. Why nobody answered is told in words.

import { EX, Failure, ioFailure } from '../base/fail.ts'
import type { PrivateKey, Suite } from '../crypto/suite.ts'
import type { Config } from '../disk/config.ts'
import type { Contact } from '../disk/contact.ts'
import type { Home } from '../disk/home.ts'
import type { Self } from '../disk/self.ts'
import { dial, type UdpCaller } from '../net/dial.ts'
import type { GreetOptions } from '../net/greeting.ts'
import type { Link } from '../net/link.ts'
import type { Address } from '../wire/address.ts'
import { inviteTrouble, occasionFor } from './introduction.ts'
import { isFullDisk } from './limits.ts'
import { placesOf } from './places.ts'
import { type DialTrouble, explain, nowhere } from './trouble.ts'

/** For one attempt at all addresses of a contact. */
export const DIAL_MS = 10_000

export interface ReachOptions {
  home: Home
  suite: Suite
  /** As they are now. */
  self: () => Self
  ownKey: () => PrivateKey
  /** Where a contact (KEY) was heard in the own network. */
  neighbour: (key: string) => Address | undefined
  config: () => Config
  /** A fresh time stamp for a hello, durably noted. */
  stamp: () => Promise<bigint>
}

export interface ConnectOptions {
  timeoutMs?: number
  signal?: AbortSignal
  /** For calls over UDP, and for the contact's own; without, TCP alone. */
  port?: CallingPort
}

/** The UDP port as a call uses it: callport.ts. */
export interface CallingPort {
  get(): Promise<UdpCaller | undefined>
  /** A link that this contact begins; undefined once `signal` has fired. */
  incoming(key: string, signal: AbortSignal): Promise<Link | undefined>
}

type Dialled = Awaited<ReturnType<typeof dial>> | DialTrouble

export class Reach {
  readonly #options: ReachOptions

  constructor(options: ReachOptions) {
    this.#options = options
  }

  /** A link to a contact, or why there is none. */
  async connect(contact: Contact, options: ConnectOptions): Promise<{ link: Link } | DialTrouble> {
    const { home, config } = this.#options
    const places = await this.#unlessHindered(contact, placesOf(home, contact, this.#options.neighbour(contact.key)))
    if ('reason' in places) return places
    const { addresses } = places
    if (addresses.length === 0) return nowhere(contact, places.resting)
    const outcome = await this.#unlessCalled(contact, addresses, options)
    if ('reason' in outcome) return outcome
    if ('failures' in outcome) {
      const trouble = explain(contact, outcome.failures, config().quietNet)
      const text = trouble.reason === 'silent' ? await inviteTrouble(home, contact) : undefined
      return { ...trouble, ...(text !== undefined && { text }) }
    }
    await places.answered(outcome.link).catch(() => undefined)
    return outcome
  }

  /** What a hello to this contact says; `forget` what is secret in it once the calls are over. */
  async greeting(contact: Contact): Promise<{ greeting: GreetOptions; forget: () => void }> {
    const { home, suite, self, ownKey, stamp } = this.#options
    const { identity, token } = self()
    const { occasion, forget } = await occasionFor(home, suite, self(), contact)
    const greeting = {
      suite,
      random: home.random,
      self: { identity, transportKey: ownKey(), seq: token.seq, token: token.bytes },
      peer: { identity: contact.identity, transport: contact.transport },
      seqHeld: contact.seq,
      occasion,
      stamp,
    }
    return { greeting, forget }
  }

  /** A dial, unless the contact calls first. */
  async #unlessCalled(contact: Contact, addresses: Address[], options: ConnectOptions): Promise<Dialled> {
    const { port, signal } = options
    if (port === undefined) return this.#dial(contact, addresses, options)
    const over = new AbortController()
    const until = signal === undefined ? over.signal : AbortSignal.any([signal, over.signal])
    const calling = port.incoming(contact.key, until)
    const dialling = this.#dial(contact, addresses, { ...options, signal: until })
    const link = await Promise.race([calling, dialling.then(() => undefined)])
    over.abort()
    const dialled = await dialling
    if (link === undefined) return dialled
    if ('link' in dialled) dialled.link.close()
    return { link }
  }

  async #dial(contact: Contact, addresses: Address[], { timeoutMs, signal, port }: ConnectOptions): Promise<Dialled> {
    const { home, config } = this.#options
    const { greeting, forget } = await this.greeting(contact)
    const dialling = dial({
      ...greeting,
      clock: home.clock,
      addresses,
      timeoutMs: timeoutMs ?? DIAL_MS,
      ...(port !== undefined && { udp: () => port.get() }),
      ...(signal !== undefined && { signal }),
      ...(config().quietNet && { resolve: () => Promise.resolve([]) }),
    })
    return this.#unlessHindered(contact, dialling.finally(forget))
  }

  /** What must be noted before a call is: what hinders that passes. */
  #unlessHindered<T>(contact: Contact, work: Promise<T>): Promise<T | DialTrouble> {
    return work.catch((error: unknown) => {
      const busy = error instanceof Failure && error.exit === EX.TEMPORARY
      if (!busy && !isFullDisk(error)) throw error
      return { reason: 'local-error', text: ioFailure(error, `cannot dial ${contact.name}`).message, addresses: [] }
    })
  }
}
