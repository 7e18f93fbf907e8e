// What a listener does with the network that its machine is in: the own router is asked for the port, contacts nearby are
// found. Each begins when the settings allow it, and ends when they no longer do.

import { Neighbours } from './neighbours.ts'
import type { Peers } from './peers.ts'
import { PortMapping } from './portmapping.ts'
import type { Station } from './station.ts'

/** Whoever is patient asks the router when nobody has been there for so long: most meet without it. */
const PATIENCE_MS = 1000

export class Vicinity {
  readonly mapping: PortMapping
  readonly #neighbours: Neighbours
  readonly #station: Station
  readonly #peers: Peers
  #patient: boolean
  #cancel: () => void = () => undefined

  /** `patient`: see ListenerOptions. */
  constructor(station: Station, peers: Peers, patient: boolean, notice: (text: string) => void) {
    this.#station = station
    this.#peers = peers
    this.#patient = patient
    this.mapping = new PortMapping({ station, changed: () => peers.tellPlace(), notice })
    this.#neighbours = new Neighbours({ station, found: (key) => peers.isUp(key) || peers.retry([key]) })
    station.whereabouts.mapped = () => this.mapping.addresses
    station.whereabouts.neighbour = (key) => this.#neighbours.of(key)
  }

  /** Begins, or takes in that the keyring or the settings are others now. */
  async start(): Promise<void> {
    if (this.#patient) this.#askLater()
    else await this.mapping.start()
    await this.#neighbours.start()
  }

  #askLater(): void {
    this.#cancel()
    const ask = (): void => {
      if (this.#peers.up().length > 0) return this.#askLater()
      this.#patient = false
      void this.mapping.start()
    }
    this.#cancel = this.#station.home.clock.after(PATIENCE_MS, ask, true)
  }

  /** This machine has moved or woken. */
  async moved(): Promise<void> {
    this.mapping.moved()
    await this.#neighbours.moved()
  }

  /** The router is told that it is over. */
  async stop(): Promise<void> {
    this.#cancel()
    this.#neighbours.stop()
    await this.mapping.close()
  }
}
