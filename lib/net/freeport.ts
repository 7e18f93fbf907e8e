// A port for a new identity: free for TCP and UDP on all addresses at this moment, which is all that can be known.

import { createSocket } from 'node:dgram'
import { createServer } from 'node:net'

import { EX, Failure, isCode } from '../base/fail.ts'
import { fraction } from '../base/random.ts'

import type { Random } from '../base/random.ts'

// Above what services are registered for, below Linux's ephemeral ports (32768): nothing takes it by chance.
const LOWEST = 20_000
const HIGHEST = 32_767
const TRIES = 100

/** A random port from 20000 to 32767. Throws Failure 78 if none can be bound. */
export async function freePort(random: Random): Promise<number> {
  for (let count = 0; count < TRIES; count++) {
    const port = LOWEST + Math.floor(fraction(random) * (HIGHEST - LOWEST + 1))
    if ((await bindsTcp(port)) && (await bindsUdp(port))) return port
  }
  throw new Failure(EX.CONFIG, `no free port from ${LOWEST} to ${HIGHEST}`, 'p2p-id init --port PORT')
}

/** True if a TCP listener can stand on the port, on IPv6 and IPv4 or on what there is of them. */
export function bindsTcp(port: number, host = '::'): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', (error) => resolve(noIpv6(error) && host === '::' ? bindsTcp(port, '0.0.0.0') : false))
    server.listen({ port, host, exclusive: true }, () => server.close(() => resolve(true)))
  })
}

/** True if a UDP socket can stand on the port, as above. */
export function bindsUdp(port: number, host = '::'): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createSocket(host === '::' ? 'udp6' : 'udp4')
    socket.once('error', (error) => {
      socket.close()
      resolve(noIpv6(error) && host === '::' ? bindsUdp(port, '0.0.0.0') : false)
    })
    socket.bind({ port, address: host, exclusive: true }, () => socket.close(() => resolve(true)))
  })
}

function noIpv6(error: unknown): boolean {
  return isCode(error, 'EAFNOSUPPORT', 'EADDRNOTAVAIL', 'EINVAL')
}
