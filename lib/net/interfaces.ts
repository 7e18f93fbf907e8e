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

/** True if `ip` lies in a network this machine is directly attached to. */
export function isOnLink(ip: string): boolean {
  const bytes = parseIp(ip)
  if (bytes === undefined) return false
  for (const addresses of Object.values(networkInterfaces())) {
    for (const { address, netmask } of addresses ?? []) {
      const own = parseIp(address)
      const mask = parseIp(netmask)
      if (own?.length !== bytes.length || mask?.length !== bytes.length) continue
      if (bytes.every((byte, at) => ((byte ^ (own[at] ?? 0)) & (mask[at] ?? 255)) === 0)) return true
    }
  }
  return false
}
