// UPnP's Internet Gateway Device, as a client needs it: the search, where the gateway says that it is described, which
// of its services opens ports, and what is said to that. Pure. The documents are anybody's who answers on the local
// network, so that an address in them counts only if it is the gateway's own.

import { Malformed } from '../base/fail.ts'
import { parseIp } from './ip.ts'
import type { Protocol } from './natpmp.ts'
import { childText, type Element, elementsOf, escapeXml, parseXml } from './xml.ts'

export const SSDP_PORT = 1900
export const SSDP_GROUP = '239.255.255.250'

const DEVICE = 'urn:schemas-upnp-org:device:InternetGatewayDevice:1' // newer ones answer to it as well
const SERVICES = ['WANIPConnection:2', 'WANIPConnection:1', 'WANPPPConnection:1'].map((name) => `urn:schemas-upnp-org:service:${name}`)
const URL_MAX = 1000 // characters
const DESCRIPTION = 'p2p'

/** Error codes of 2.4.16 of WANIPConnection and of UPnP itself. */
export const UPNP_ERROR = { NOT_AUTHORIZED: 606, CONFLICT: 718, SAME_PORT: 724, ONLY_PERMANENT: 725 } as const

/** The question who is a gateway, to all or to one. */
export function encodeSearch(): string {
  const lines = ['M-SEARCH * HTTP/1.1', `HOST: ${SSDP_GROUP}:${SSDP_PORT}`, 'MAN: "ssdp:discover"', 'MX: 1', `ST: ${DEVICE}`]
  return [...lines, '', ''].join('\r\n')
}

/** LOCATION of an answer to it. Throws Malformed. */
export function parseSearchAnswer(text: string): string {
  const [first = '', ...lines] = text.split('\r\n')
  if (!/^HTTP\/1\.[01] 200(?: |$)/.test(first)) throw new Malformed('not an answer')
  for (const line of lines) {
    const found = /^location:[ \t]*(\S+)[ \t]*$/i.exec(line)?.[1]
    if (found !== undefined) return found
  }
  throw new Malformed('no location')
}

/** A place at the gateway. */
export interface GatewayUrl {
  readonly port: number
  /** With its query. */
  readonly path: string
}

/** A URL as it stands in an answer or a description, if it leads to the gateway itself. Throws Malformed. */
export function gatewayUrl(text: string, gateway: string, base?: GatewayUrl): GatewayUrl {
  if (text === '' || text.length > URL_MAX) throw new Malformed('no address')
  let url: URL
  try {
    url = new URL(text, base === undefined ? undefined : `http://${gateway}:${base.port}${base.path}`)
  } catch {
    throw new Malformed('not an address')
  }
  const { protocol, hostname, username, password } = url
  if (protocol !== 'http:' || username !== '' || password !== '') throw new Malformed('not a plain address')
  // The URL parser has made 0x7f.1 into dotted form by now; a name is never looked up.
  if (parseIp(hostname) === undefined || hostname !== gateway) throw new Malformed('not at the gateway')
  return { port: url.port === '' ? 80 : Number(url.port), path: `${url.pathname}${url.search}` }
}

export interface Service {
  /** Its full name, as requests repeat it. */
  readonly type: string
  readonly control: GatewayUrl
}

/** The service of a description that opens ports, the best first; `at` is where it came from. Throws Malformed. */
export function servicesOf(description: string, gateway: string, at: GatewayUrl): Service[] {
  const root = parseXml(description)
  const base = childText(root, 'URLBase')
  const from = base === '' ? at : gatewayUrl(base, gateway, at)
  const found = elementsOf(root, 'service').flatMap((service): Service[] => {
    const type = childText(service, 'serviceType')
    if (!SERVICES.includes(type)) return []
    try {
      return [{ type, control: gatewayUrl(childText(service, 'controlURL'), gateway, from) }]
    } catch {
      return [] // another may be good
    }
  })
  if (found.length === 0) throw new Malformed('no service that opens ports')
  return found.sort((a, b) => SERVICES.indexOf(a.type) - SERVICES.indexOf(b.type))
}

/** What is said to a service: the body of the request, and what stands in SOAPAction. */
export interface Call {
  readonly action: string
  readonly body: string
}

function call(service: string, action: string, values: readonly (readonly [string, string | number])[]): Call {
  const inside = values.map(([name, value]) => `<${name}>${escapeXml(String(value))}</${name}>`).join('')
  const body =
    '<?xml version="1.0"?>\r\n<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" ' +
    's:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body>' +
    `<u:${action} xmlns:u="${service}">${inside}</u:${action}></s:Body></s:Envelope>\r\n`
  return { action: `"${service}#${action}"`, body }
}

export const externalAddressCall = (service: string): Call => call(service, 'GetExternalIPAddress', [])

export interface UpnpMapping {
  protocol: Protocol
  external: number
  port: number
  client: string
  /** Seconds; 0 = for good, which some routers can do alone. */
  lifetime: number
}

export function addMappingCall(service: string, { protocol, external, port, client, lifetime }: UpnpMapping): Call {
  return call(service, 'AddPortMapping', [
    ['NewRemoteHost', ''],
    ['NewExternalPort', external],
    ['NewProtocol', protocol.toUpperCase()],
    ['NewInternalPort', port],
    ['NewInternalClient', client],
    ['NewEnabled', 1],
    ['NewPortMappingDescription', DESCRIPTION],
    ['NewLeaseDuration', lifetime],
  ])
}

export function deleteMappingCall(service: string, protocol: Protocol, external: number): Call {
  return call(service, 'DeletePortMapping', [
    ['NewRemoteHost', ''],
    ['NewExternalPort', external],
    ['NewProtocol', protocol.toUpperCase()],
  ])
}

/** The element with the answer, or the code of the error. Throws Malformed. */
export function parseCallAnswer(text: string): Element | { error: number } {
  const body = parseXml(text).children.find(({ name }) => name === 'Body')
  const [answer] = body?.children ?? []
  if (answer === undefined) throw new Malformed('no answer')
  if (answer.name !== 'Fault') return answer
  const code = elementsOf(answer, 'errorCode')[0]?.text ?? ''
  if (!/^\d{1,4}$/.test(code)) throw new Malformed('a fault without a code')
  return { error: Number(code) }
}
