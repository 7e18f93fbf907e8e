// The default gateway, read from what the system prints about its routes. Pure.

import { endianness } from 'node:os'

import { formatIp, parseIp } from '../wire/ip.ts'

const GATEWAY_FLAG = 2 // RTF_GATEWAY

/** From Linux's /proc/net/route: the IPv4 gateway of the default route with the lowest metric; undefined if there is none. */
export function gatewayOfProc(text: string): string | undefined {
  const routes = text.split('\n').slice(1).flatMap((line) => {
    const [, to = '', gateway = '', flags = '', , , metric = '', mask = ''] = line.trim().split(/\s+/)
    const byGateway = (Number.parseInt(flags, 16) & GATEWAY_FLAG) !== 0
    if (to !== '00000000' || mask !== '00000000' || !byGateway || !/^[0-9A-F]{8}$/i.test(gateway)) return []
    const bytes = Buffer.from(gateway, 'hex')
    return [{ ip: formatIp(endianness() === 'LE' ? bytes.reverse() : bytes), metric: Number(metric) }]
  })
  return routes.sort((a, b) => a.metric - b.metric)[0]?.ip
}

/** From what `netstat -rn` prints on other systems. */
export function gatewayOfNetstat(text: string): string | undefined {
  for (const line of text.split('\n')) {
    const [to, gateway = ''] = line.trim().split(/\s+/)
    const ip = parseIp(gateway)
    if ((to === 'default' || to === '0.0.0.0') && ip?.length === 4) return formatIp(ip)
  }
  return undefined
}
