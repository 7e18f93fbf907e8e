// What a listener does with the network that its machine is in: the own router is asked for the port, contacts nearby are
// found. Each begins when the settings allow it, and ends when they no longer do.

import { Neighbours } from './neighbours.ts'
import type { Peers } from './peers.ts'
import { PortMapping } from './portmapping.ts'
import type { Station } from './station.ts'

export class Vicinity {
  readonly mapping: PortMapping
  readonly #neighbours: Neighbours

  constructor(station: Station, peers: Peers, notice: (text: string) => void) {
    this.mapping = new PortMapping({ station, changed: () => peers.tellPlace(), notice })
    this.#neighbours = new Neighbours({ station, found: (key) => peers.isUp(key) || peers.retry([key]) })
    station.mapped = () => this.mapping.addresses
    station.neighbour = (key) => this.#neighbours.of(key)
  }

  /** Begins, or takes in that the keyring or the settings are others now. */
  async start(): Promise<void> {
    await this.mapping.start()
    await this.#neighbours.start()
  }

  /** This machine has moved or woken. */
  async moved(): Promise<void> {
    this.mapping.moved()
    await this.#neighbours.moved()
  }

  /** The router is told that it is over. */
  async stop(): Promise<void> {
    this.#neighbours.stop()
    await this.mapping.close()
  }
}
