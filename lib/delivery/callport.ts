// The UDP port of a command that calls and then ends: taken when a call first needs it, waited for while another command
// has it, given up when a listener begins. A contact whose own hello comes meanwhile has been reached as well.

import { Guard } from '../net/guard.ts'
import type { Link } from '../net/link.ts'
import type { Ending } from '../net/stream.ts'
import type { UdpPort } from '../net/udp.ts'
import type { Station } from './station.ts'
import { awaitPort, noUdp, type Owned, onWanted } from './udpowner.ts'

export class CallPort {
  readonly #station: Station
  readonly #stop = new AbortController()
  readonly #wanted = new AbortController()
  /** What becomes of links of contacts that call, by KEY. */
  readonly #awaited = new Map<string, (link: Link) => void>()
  #owned: Promise<Owned | undefined> | undefined
  #unwatch = (): void => undefined

  constructor(station: Station) {
    this.#station = station
  }

  /** Fires when a listener asks for the port: what is in hand is to be finished. */
  get wanted(): AbortSignal {
    return this.#wanted.signal
  }

  /** The port, as soon as it can be had; undefined if it cannot. */
  async get(): Promise<UdpPort | undefined> {
    this.#owned ??= this.#take()
    return (await this.#owned)?.port
  }

  async #take(): Promise<Owned | undefined> {
    const { home, config } = this.#station
    if (!config.udp || (await noUdp()) !== undefined) return undefined
    const options = {
      station: this.#station,
      guard: new Guard<Ending>(home.clock, home.random),
      onLink: (link: Link) => this.#adopt(link),
      onFault: () => undefined, // to a command it is as if the contact had not called
    }
    // Another program on the port: what can be done over TCP is done, and p2p-id doctor tells.
    const owned = await awaitPort(options, this.#stop.signal).catch(() => undefined)
    if (owned !== undefined) this.#unwatch = onWanted(home, () => this.#giveUp())
    return owned
  }

  /** What uses the port has until its last words to finish. */
  #giveUp(): void {
    this.#wanted.abort()
    void this.close()
  }

  /** The first link of this contact that is not ours to make; forgotten when `signal` fires. */
  incoming(key: string, signal: AbortSignal): Promise<Link | undefined> {
    return new Promise((resolve) => {
      const forget = (): void => {
        this.#awaited.delete(key)
        resolve(undefined)
      }
      if (signal.aborted) return resolve(undefined)
      signal.addEventListener('abort', forget, { once: true })
      this.#awaited.set(key, (link) => {
        this.#awaited.delete(key)
        signal.removeEventListener('abort', forget)
        resolve(link)
      })
    })
  }

  #adopt(link: Link): void {
    const key = this.#station.keyring.byIdentity(link.peer.identity)?.key
    const take = key === undefined ? undefined : this.#awaited.get(key)
    if (take === undefined) link.close()
    else take(link)
  }

  /** Gives the port up, once the links over it have said their last words. */
  async close(): Promise<void> {
    this.#stop.abort()
    this.#unwatch()
    await (await this.#owned)?.release()
  }
}
