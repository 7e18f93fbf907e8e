// Standing holes: as long as a contact is not there, our NAT is kept open towards it, and hellos are sent when the other
// side can be open as well. lib/net/holes.ts says when; here are the timers and the sending. A contact that has a session
// needs none of this.

import { hex } from '../base/bytes.ts'
import { Failure } from '../base/fail.ts'
import { type Contact, isWelcome } from '../disk/contact.ts'
import { names } from '../disk/queue.ts'
import { helloAt, type Hole, HOLE_RESENDS_MS, nextAct, PERIOD_MS, PERIOD_WAITING_MS } from '../net/holes.ts'
import { isOnLink, localAddresses } from '../net/interfaces.ts'
import type { Link } from '../net/link.ts'
import { holeOffset, rendezvousKey } from '../net/rendezvous.ts'
import type { Endpoint } from '../net/stream.ts'
import { resolve } from '../net/tcp.ts'
import type { UdpPort } from '../net/udp.ts'
import { acceptFromPeer, ADDRESSES_MAX, distinctAddresses } from '../wire/address.ts'
import { parseIp } from '../wire/ip.ts'
import { isFullDisk } from './limits.ts'
import type { Station } from './station.ts'

/** A timer that is this late has slept, or stood still: what was open is closed. */
const LATE_MS = 10_000

/** A hello out of turn goes at most so often: NATs that it may spoil must be able to forget it. */
const HURRY_EVERY_MS = 45_000

/** It is given up after that. */
const HURRY_MS = 5_000

/** What a name led to counts for so long. */
const NAME_FRESH_MS = 600_000

export interface HoldingOptions {
  station: Station
  port: UdpPort
  /** True while there is a session with the contact. */
  isUp: (key: string) => boolean
  /** A contact has answered our hello. */
  onLink: (link: Link) => void
  /** This side cannot go on. */
  fail: (error: unknown) => void
}

/** Where a contact may be over UDP, and maybe over TCP as well. */
type Place = Endpoint & { readonly tcp: boolean }

interface Held {
  readonly key: string
  readonly offset: number
  /** Of the contact's T: another one makes another offset. */
  readonly transport: string
  since: number
  waits: boolean
  /** Monotonic ms of the last hello out of turn, and what becomes of it. */
  hurried: number
  hurrying: Promise<void> | undefined
  cancel: () => void
  /** Names in the contact's addresses, and what they led to. */
  names: Map<string, { at: number; ips: string[] }>
}

export class Holding {
  readonly #options: HoldingOptions
  readonly #stopped = new AbortController()
  readonly #held = new Map<string, Held>()

  constructor(options: HoldingOptions) {
    this.#options = options
  }

  /** Begins with every contact. */
  start(): void {
    this.reload()
  }

  stop(): void {
    this.#stopped.abort()
    for (const held of this.#held.values()) held.cancel()
    this.#held.clear()
  }

  /** The keyring changed. */
  reload(): void {
    const { keyring } = this.#options.station
    if (this.#stopped.signal.aborted) return
    for (const contact of keyring.all()) {
      const held = this.#held.get(contact.key)
      if (isWelcome(contact) && held?.transport !== hex(contact.transport)) this.#begin(contact)
    }
    for (const [key, held] of this.#held) {
      const contact = keyring.byKey(key)
      if (contact !== undefined && isWelcome(contact)) continue
      held.cancel()
      this.#held.delete(key)
    }
  }

  #begin(contact: Contact): void {
    const { station } = this.#options
    const { home, suite, keyring, ownKey } = station
    this.#held.get(contact.key)?.cancel()
    const self = { identity: keyring.self.identity, key: ownKey }
    const held: Held = {
      key: contact.key,
      offset: holeOffset(suite, rendezvousKey(suite, { self, peer: contact })),
      transport: hex(contact.transport),
      since: home.clock.now(),
      waits: false,
      hurried: -Infinity,
      hurrying: undefined,
      cancel: () => undefined,
      names: new Map(),
    }
    this.#held.set(contact.key, held)
    this.#schedule(held, held.since - 1)
    names(home, contact.key).then((waiting) => (held.waits ||= waiting.length > 0), this.#options.fail)
  }

  /** The contact is not there any more, or this machine has moved or slept: from the beginning. All without `key`. */
  restart(key?: string): void {
    const now = this.#options.station.home.clock.now()
    for (const held of this.#held.values()) {
      if (key !== undefined && held.key !== key) continue
      held.since = now
      this.#schedule(held, now - 1)
    }
  }

  /**
   * Something is to go to this contact now. Resolves when it has answered, or when that leads no further: it does not
   * answer, or a hello would do harm.
   */
  async hurry(key: string): Promise<void> {
    const held = this.#held.get(key)
    if (held === undefined || this.#options.isUp(key)) return
    held.waits = true
    held.hurrying ??= this.#hurry(held).finally(() => (held.hurrying = undefined))
    return held.hurrying
  }

  async #hurry(held: Held): Promise<void> {
    const { clock } = this.#options.station.home
    const now = clock.now()
    const wait = helloAt(this.#hole(held), now) - now
    if (clock.monotonic() - held.hurried < HURRY_EVERY_MS || wait > HURRY_MS) return
    held.hurried = clock.monotonic()
    const over = new AbortController()
    const until = AbortSignal.any([over.signal, this.#stopped.signal])
    const cancel = clock.after(wait + HURRY_MS, () => over.abort())
    try {
      // Neighbours are called over TCP: what keeps that out keeps UDP out as well.
      const places = (await this.#places(held)).filter(({ ip, tcp }) => !(tcp && isOnLink(ip)))
      if (places.length === 0) return
      for (const place of places) this.#options.port.opener(place)
      await new Promise<void>((done) => {
        const giveUp = (): void => done()
        until.addEventListener('abort', giveUp, { once: true })
        clock.after(wait, () => void this.#hello(held, places, until).then(done))
      })
    } finally {
      cancel()
      over.abort()
    }
  }

  #hole({ offset, since, waits }: Held): Hole {
    return { offset, since, period: waits ? PERIOD_WAITING_MS : PERIOD_MS }
  }

  #schedule(held: Held, after: number): void {
    const { clock } = this.#options.station.home
    held.cancel()
    const act = nextAct(this.#hole(held), after)
    held.cancel = clock.after(act.at - clock.now(), () => {
      const late = clock.now() - act.at
      if (late > LATE_MS) return this.restart(held.key)
      this.#schedule(held, act.at)
      if (!this.#options.isUp(held.key)) void this.#act(held, act.what)
    })
  }

  async #act(held: Held, what: 'opener' | 'hello'): Promise<void> {
    const places = await this.#places(held)
    if (what === 'hello') return this.#hello(held, places, this.#stopped.signal)
    if (!this.#stopped.signal.aborted) for (const place of places) this.#options.port.opener(place)
  }

  /** To all places at once; the first answer counts. */
  async #hello(held: Held, places: readonly Endpoint[], signal: AbortSignal): Promise<void> {
    const { station, port, isUp, onLink, fail } = this.#options
    const contact = station.keyring.byKey(held.key)
    if (contact === undefined || signal.aborted || isUp(held.key)) return
    const over = new AbortController()
    const until = AbortSignal.any([over.signal, signal])
    const calls = places.map(async (place) => {
      const outcome = await port.call(station.greeting(contact), place, until, HOLE_RESENDS_MS)
      if (typeof outcome === 'string') return
      if (over.signal.aborted) return outcome.close()
      over.abort()
      station.greeted(contact, outcome)
      held.waits = false
      onLink(outcome)
    })
    for (const { reason } of (await Promise.allSettled(calls)).filter((each) => each.status === 'rejected')) {
      // The time of a hello must be noted before it is sent. What hinders that passes.
      if (!(reason instanceof Failure) && !isFullDisk(reason)) fail(reason)
    }
  }

  /** Where the contact may be, as far as this machine can send there. */
  async #places(held: Held): Promise<Place[]> {
    const { station, port } = this.#options
    const contact = station.keyring.byKey(held.key)
    if (contact === undefined) return []
    const families = port.addresses.map(({ ip }) => ip.includes(':'))
    const own = localAddresses(port.port).map(({ host }) => host)
    const places: Place[] = []
    for (const { host, port: at, tcp, udp } of distinctAddresses([...contact.sessionAddresses, ...contact.addresses])) {
      if (!udp) continue
      const ips = parseIp(host) === undefined ? await this.#resolve(held, host, at) : [host]
      for (const ip of ips) {
        const self = at === port.port && own.includes(ip)
        if (families.includes(ip.includes(':')) && !self) places.push({ ip, port: at, tcp })
      }
    }
    return places.slice(0, ADDRESSES_MAX)
  }

  async #resolve(held: Held, host: string, port: number): Promise<string[]> {
    const { station } = this.#options
    if (station.config.quietNet) return []
    const now = station.home.clock.monotonic()
    const known = held.names.get(host)
    if (known !== undefined && now - known.at < NAME_FRESH_MS) return known.ips
    const ips = (await resolve(host)).filter((ip) => acceptFromPeer({ host: ip, port }, isOnLink(ip)))
    held.names.set(host, { at: now, ips })
    return ips
  }
}
