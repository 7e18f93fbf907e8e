// The listener's half of UDP: it owns the port as long as it runs, keeps holes open towards contacts that are not there,
// searches those that no hole leads to, and begins anew when the machine has moved or woken. Without UDP on this machine it does nothing.

import type { Guard } from '../net/guard.ts'
import type { Link } from '../net/link.ts'
import { Moves } from '../net/moves.ts'
import type { Ending, Endpoint } from '../net/stream.ts'
import type { UdpPort } from '../net/udp.ts'
import { Holding } from './holding.ts'
import { Lookout } from './lookout.ts'
import { Searches } from './searches.ts'
import type { Station } from './station.ts'
import { awaitPort, noUdp, type Owned, takePort, wantPort } from './udpowner.ts'

/** A command that has the port may finish what it has in hand; later it is waited for behind. */
const HAND_OVER_MS = 5_000

export interface UdpSideOptions {
  station: Station
  guard: Guard<Ending>
  /** Holes are held towards this KEY alone. */
  only?: string | undefined
  isUp: (key: string) => boolean
  /** A link with a contact, whoever began it. */
  adopt: (link: Link) => void
  /** Who is told how it is seen (STUN). */
  answersStun: (ip: string) => boolean
  /** Others see this machine somewhere else. */
  seen: () => void
  /** The machine has moved or woken. */
  moved: () => void
  /** Something a person should know; the listener goes on. */
  notice: (error: unknown) => void
  fail: (error: unknown) => void
}

export class UdpSide {
  readonly #options: UdpSideOptions
  readonly #stop = new AbortController()
  #owned: Owned | undefined
  #holding: Holding | undefined
  #missing: string | undefined
  #lookout: Lookout | undefined
  #searches: Searches | undefined
  #started = false
  #waiting: Promise<void> | undefined
  #moves: Moves | undefined

  constructor(options: UdpSideOptions) {
    this.#options = options
  }

  /** Undefined while this machine has no UDP, or another process has the port. */
  get port(): UdpPort | undefined {
    return this.#owned?.port
  }

  get holding(): Holding | undefined {
    return this.#holding
  }

  get searches(): Searches | undefined {
    return this.#searches
  }

  /** Why there is no UDP here, in words; undefined if there is, or will be once another process has done with the port. */
  get missing(): string | undefined {
    return this.#missing
  }

  /** Resolves when the port is here, if it is to come at all. */
  async opened(): Promise<void> {
    await this.#waiting
  }

  /** Takes the port, from a command of this home if need be. Throws 78 if another program has it. */
  async open(): Promise<void> {
    if (!this.#options.station.config.udp) {
      this.#missing = 'udp is off in config.toml'
      return
    }
    this.#missing = await noUdp()
    if (this.#missing !== undefined) {
      return this.#options.notice(new Error(`contacts are reached over TCP alone: ${this.#missing}`))
    }
    const onShown = (identity: Uint8Array, from: Endpoint): void => this.#follow(identity, from)
    const options = { ...this.#options, onLink: this.#options.adopt, onShown, onFault: this.#options.notice }
    const owned = await takePort(options)
    if (owned !== 'busy') return this.#take(owned)
    const { home } = this.#options.station
    const unask = await wantPort(home)
    const late = new AbortController()
    const cancel = home.clock.after(HAND_OVER_MS, () => late.abort())
    // What throws later can only be that another program was faster.
    this.#waiting = awaitPort(options, this.#stop.signal)
      .then((got) => got !== undefined && this.#take(got), this.#options.notice)
      .then(unask)
      .finally(cancel)
    const over = new Promise<void>((resolve) => late.signal.addEventListener('abort', () => resolve(), { once: true }))
    await Promise.race([this.#waiting, over])
  }

  #take(owned: Owned): void {
    const { station, isUp, only, adopt, fail, seen } = this.#options
    const { port } = owned
    this.#owned = owned
    const awake = (): void => this.#moves?.look()
    const holding = new Holding({ station, port, isUp, only, onLink: adopt, awake, fail })
    this.#holding = holding
    this.#lookout = new Lookout({ station, port, changed: seen })
    this.#searches = new Searches({ ...this.#options, port, holding })
    if (this.#started) this.#begin()
  }

  /** A contact that has not noticed yet that its session is over. */
  #follow(identity: Uint8Array, from: Endpoint): void {
    const contact = this.#options.station.keyring.byIdentity(identity)
    if (contact !== undefined) this.#holding?.follow(contact.key, from)
  }

  /** Holes are held from now on. */
  start(): void {
    this.#started = true
    this.#begin()
    this.#moves = new Moves(this.#options.station.home.clock, () => {
      this.#options.station.whereabouts.outside.forget()
      this.#holding?.restart()
      this.#lookout?.start()
      this.#searches?.restart()
      this.#options.moved()
    })
  }

  #begin(): void {
    this.#holding?.start()
    this.#lookout?.start()
    this.#searches?.start()
  }

  /** Keyring or settings changed. */
  reload(): void {
    this.#begin()
  }

  /** The contact is not there any more. */
  lost(key: string, link: Link): void {
    this.#holding?.restart(key)
    this.#searches?.restart(key)
    if (link.displaced) this.#holding?.follow(key, link.remote)
  }

  /** Something is to go to the contact now: resolves when it is there, or when UDP leads no further; see Holding. */
  async hurry(key: string, patienceMs?: number): Promise<void> {
    this.#moves?.look()
    this.#searches?.await(key)
    await this.#holding?.hurry(key, patienceMs)
  }

  /** The port is free once it resolves; sessions have ended before. */
  async close(): Promise<void> {
    this.#moves?.stop()
    this.#holding?.stop()
    this.#searches?.stop()
    this.#lookout?.stop()
    this.#stop.abort()
    await this.#waiting
    await this.#owned?.release()
  }
}
