// The addresses of this machine, as the kernel tells them: nobody is asked.

import { networkInterfaces } from 'node:os'

import { isGlobal } from '../wire/address.ts'
import { formatIp, parseIp } from '../wire/ip.ts'

import type { Address } from '../wire/address.ts'

/** Every address of every interface that is up, with `port`, for TCP and UDP, in the kernel's order. */
export function localAddresses(port: number): Address[] {
  const hosts = new Set<string>()
  for (const list of Object.values(networkInterfaces())) {
    for (const { address } of list ?? []) {
      const ip = parseIp(address.replace(/%.*$/, ''))
      if (ip !== undefined) hosts.add(formatIp(ip))
    }
  }
  return [...hosts].map((host) => ({ host, port, tcp: true, udp: true }))
}

/** Those of them that the whole internet can route to. */
export function globalAddresses(port: number): Address[] {
  return localAddresses(port).filter(isGlobal)
}
