// UDP ports beside the home's, for one punch: fresh ones for a slot, many of them for a birthday search. Contacts are
// answered at them as at the home's port. They stay as long as sessions over them do.

import { isCode } from '../base/fail.ts'
import type { OpenDatagrams } from '../net/datagram.ts'
import type { Link } from '../net/link.ts'
import { UdpPort } from '../net/udp.ts'
import type { OwnerOptions } from './udpowner.ts'

export class SparePort {
  readonly port: UdpPort
  readonly #links: Set<Promise<void>>

  private constructor(port: UdpPort, links: Set<Promise<void>>) {
    this.port = port
    this.#links = links
  }

  /** Undefined if another program has the port. */
  static async open({ station, guard, onLink, onFault }: OwnerOptions, port: number, open: OpenDatagrams): Promise<SparePort | undefined> {
    const { home, suite } = station
    const links = new Set<Promise<void>>()
    const take = (link: Link): void => {
      links.add(link.closed)
      onLink(link)
    }
    try {
      const options = { suite, clock: home.clock, random: home.random, guard, responder: station.responder() }
      return new SparePort(await UdpPort.open({ ...options, port, open, onLink: take, onFault }), links)
    } catch (error) {
      if (isCode(error, 'EADDRINUSE', 'EACCES', 'EMFILE', 'ENFILE')) return undefined
      throw error
    }
  }

  /** There is or was a link over it. */
  get used(): boolean {
    return this.#links.size > 0
  }

  /** A link that was called over it. */
  keepFor(link: Link): void {
    this.#links.add(link.closed)
  }

  /** Closes it when no session needs it any more. */
  release(): void {
    void Promise.all(this.#links).then(() => this.port.close())
  }
}
