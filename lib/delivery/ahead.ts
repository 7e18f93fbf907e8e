// A call begun while what it is about still comes to rest on the disk. Keys, addresses and a handshake depend on nothing
// that is sent: until somebody takes the call over, the other side has nobody's word, and learns nothing but that it is
// called. Without effect but on time: what goes wrong here goes wrong again, and is told, where the call is made.

import type { Config } from '../disk/config.ts'
import type { Contact } from '../disk/contact.ts'
import { nextHelloTime } from '../disk/hellos.ts'
import type { Home } from '../disk/home.ts'
import type { Keyring } from '../disk/keyring.ts'
import { loadSockets } from '../net/tcp.ts'
import { CallPort } from './callport.ts'
import { DIAL_MS } from './reach.ts'
import { Station, type StationEvents } from './station.ts'

type Connected = Awaited<ReturnType<Station['connect']>>

/** A link nobody has spoken on is given up by the other side after 10 s: p2p-wire(7), HANDSHAKE. */
const FRESH_MS = 5000

export class CallAhead {
  readonly station: Station
  readonly port: CallPort
  readonly #events: StationEvents
  readonly #stop = new AbortController()
  readonly #key: string
  #connecting: Promise<Connected> | undefined

  private constructor(station: Station, events: StationEvents, contact: Contact, waitMs: number) {
    this.station = station
    this.port = new CallPort(station)
    this.#events = events
    this.#key = contact.key
    this.#connecting = station.connect(contact, { timeoutMs: Math.min(waitMs, DIAL_MS), signal: this.#stop.signal, port: this.port })
    this.#connecting.catch(() => undefined)
  }

  /** Resolves as soon as the contact is being called; the time stamp of the hello is drawn while keys and sockets are loaded. */
  static async begin(home: Home, keyring: Keyring, contact: Contact, config: Config, waitMs: number): Promise<CallAhead> {
    let drawn: Promise<bigint> | undefined = nextHelloTime(home)
    drawn.catch(() => undefined)
    const stamp = (): Promise<bigint> => {
      const next = drawn ?? nextHelloTime(home)
      drawn = undefined
      return next
    }
    loadSockets()
    const events: StationEvents = {}
    const station = await Station.open(home, keyring, { config, events, stamp })
    return new CallAhead(station, events, contact, waitMs)
  }

  /** Who hears of what happens from now on. */
  tell(events: StationEvents): void {
    Object.assign(this.#events, events)
  }

  /** What came of the call, once; undefined if it was another contact's, or has to be made anew. */
  async take(contact: Contact, signal: AbortSignal): Promise<Connected | undefined> {
    const connecting = contact.key === this.#key ? this.#connecting : undefined
    if (connecting === undefined) return undefined
    this.#connecting = undefined
    const stop = (): void => this.#stop.abort()
    signal.addEventListener('abort', stop, { once: true })
    if (signal.aborted) stop()
    try {
      const connected = await connecting
      if (!('link' in connected) || (connected.link.reason === undefined && connected.link.age < FRESH_MS)) return connected
      connected.link.close()
      return undefined
    } finally {
      signal.removeEventListener('abort', stop)
    }
  }

  /** Ends a call that nobody has taken. */
  async drop(): Promise<void> {
    const connecting = this.#connecting
    this.#connecting = undefined
    if (connecting === undefined) return
    this.#stop.abort()
    const connected = await connecting.catch(() => undefined)
    if (connected !== undefined && 'link' in connected) connected.link.close()
  }

  /** The same, and all else with it. */
  async close(): Promise<void> {
    await this.drop()
    await this.port.close()
    await this.station.close()
  }
}
