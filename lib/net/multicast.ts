// The multicast group of beacons, on every IPv4 network that this machine is in: what is sent goes no farther than those
// (TTL 1). Several homes of one machine share the group. Who sends there is unknown; nothing is ever answered.

import { createSocket, type Socket } from 'node:dgram'
import { networkInterfaces } from 'node:os'

import type { Endpoint } from './stream.ts'

/** RFC 2365: of local scope, never routed further. */
export const LAN_GROUP = '239.255.112.50'
export const LAN_PORT = 28784

/** Own IPv4 addresses in networks with others. */
export function lanAddresses(): string[] {
  const all = Object.values(networkInterfaces()).flatMap((list) => list ?? [])
  return all.filter(({ family, internal }) => family === 'IPv4' && !internal).map(({ address }) => address)
}

export class Multicast {
  readonly #onDatagram: (bytes: Uint8Array, from: Endpoint) => void
  #sockets = new Map<string, Socket>()
  #receiver: Socket | undefined

  constructor(onDatagram: (bytes: Uint8Array, from: Endpoint) => void) {
    this.#onDatagram = onDatagram
  }

  /** Own addresses at which others in each network see what is sent. */
  get addresses(): string[] {
    return [...this.#sockets.keys()]
  }

  /** Joins in all networks there are now, anew if it had before. Where that cannot be, it is silent. */
  async open(): Promise<void> {
    this.close()
    const found = lanAddresses()
    if (found.length === 0) return
    // By the group's own address nothing else that is sent to the port comes in.
    const receiver = await bind(LAN_PORT, process.platform === 'win32' ? undefined : LAN_GROUP)
    if (receiver === undefined) return
    this.#receiver = receiver
    receiver.on('message', (bytes, { address: ip, port }) => this.#onDatagram(new Uint8Array(bytes), { ip, port }))
    for (const ip of found) {
      try {
        receiver.addMembership(LAN_GROUP, ip)
      } catch {
        continue // no multicast there
      }
      const socket = await bind(0, ip)
      if (socket === undefined) continue
      try {
        socket.setMulticastInterface(ip)
        socket.setMulticastTTL(1)
        this.#sockets.set(ip, socket)
      } catch {
        socket.close()
      }
    }
  }

  /** Sends into the network of this own address. */
  send(bytes: Uint8Array, from: string): void {
    this.#sockets.get(from)?.send(bytes, LAN_PORT, LAN_GROUP)
  }

  close(): void {
    this.#receiver?.close()
    for (const socket of this.#sockets.values()) socket.close()
    this.#receiver = undefined
    this.#sockets = new Map()
  }
}

function bind(port: number, address: string | undefined): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = createSocket({ type: 'udp4', reuseAddr: true })
    socket.unref()
    const fail = (): void => {
      socket.close()
      resolve(undefined)
    }
    socket.once('error', fail)
    socket.bind({ port, ...(address !== undefined && { address }) }, () => {
      socket.off('error', fail)
      socket.on('error', () => undefined) // a network that went away: the next open() sees
      resolve(socket)
    })
  })
}
