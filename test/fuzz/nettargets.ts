// Targets: what anybody near may send. Datagrams of STUN, beacons, answers of what says that it is the router.

import fc from 'fast-check'

import { concat, fromUtf8, utf8 } from '../../lib/base/bytes.ts'
import { crc32 } from '../../lib/base/crc32.ts'
import { systemRandom } from '../../lib/base/random.ts'
import { decodePlace, encodeBeacon, encodePlace, ENTRY_SIZE, NONCE_SIZE, parseBeacon, TAG_SIZE } from '../../lib/wire/beacon.ts'
import { parseIp } from '../../lib/wire/ip.ts'
import { encodeMapRequest, parseAddressResponse, parseMapResponse } from '../../lib/wire/natpmp.ts'
import { encodePcpMap, type MapRequest, parsePcpMap, speaksNatPmp } from '../../lib/wire/pcp.ts'
import { encodeStunRequest, encodeStunResponse, looksLikeStun, parseStun } from '../../lib/wire/stun.ts'
import { gatewayUrl, parseCallAnswer, parseSearchAnswer, servicesOf } from '../../lib/wire/upnp.ts'
import { elementsOf, escapeXml, parseXml } from '../../lib/wire/xml.ts'
import { holds, same, taken, type Target } from './target.ts'
import { sample } from './wiretargets.ts'

const ID = new Uint8Array(12).fill(7)

/** With the length in its header, and the fingerprint if it ends with one, made right; not if its second byte is odd. */
function mended(input: Uint8Array): Uint8Array {
  if (input.length < 20 || ((input[1] ?? 0) & 2) !== 0) return input
  const view = new DataView(input.buffer, input.byteOffset, input.length)
  view.setUint16(2, input.length - 20)
  if (input.length >= 28 && view.getUint32(input.length - 8) === 0x8028_0004) {
    view.setUint32(input.length - 4, (crc32(input.subarray(0, -8)) ^ 0x5354554e) >>> 0)
  }
  return input
}

const stun: Target = {
  name: 'stun',
  max: 700,
  words: [Uint8Array.of(0x21, 0x12, 0xa4, 0x42), Uint8Array.of(0, 1), Uint8Array.of(1, 1), Uint8Array.of(1, 0x11), Uint8Array.of(0, 0x20, 0, 8, 0, 1), Uint8Array.of(0, 1, 0, 20, 0, 2), Uint8Array.of(0x80, 0x2c, 0, 8), Uint8Array.of(0x80, 0x28, 0, 4), new Uint8Array(4)],
  code: /\/lib\/(?:wire\/(?:stun|ip)|base\/crc32)\.ts$/,
  seeds: () => {
    const request = { type: 'request', id: ID, unknown: [], fingerprint: true } as const
    const asked = [encodeStunRequest(ID), encodeStunRequest(ID, { address: true, port: true } as never)]
    const answers = [{ ip: '192.0.2.1', port: 9 }, { ip: '2001:db8::1', port: 65_535 }].flatMap((seen) => [
      encodeStunResponse(request, seen), encodeStunResponse({ ...request, fingerprint: false, unknown: [3] }, seen),
    ])
    return [...asked, ...answers]
  },
  run(raw) {
    const input = mended(raw)
    const parsed = taken(() => parseStun(input))
    if (parsed === undefined) return false
    holds(looksLikeStun(input), 'it looks like STUN')
    const { value } = parsed
    same(value.id, input.slice(8, 20), 'the id')
    if (value.type === 'response') {
      for (const seen of [value.seen, value.other]) holds(seen === undefined || (parseIp(seen.ip) !== undefined && seen.port > 0), 'an address')
      return true
    }
    const seen = { ip: '192.0.2.7', port: 7 }
    const answer = parseStun(encodeStunResponse(value, seen))
    same(answer, { type: 'response', id: value.id, ...(value.unknown.length === 0 && { seen }) }, 'the answer')
    return true
  },
}

const beacon: Target = {
  name: 'beacon',
  max: 1200,
  words: [new Uint8Array(ENTRY_SIZE), new Uint8Array(TAG_SIZE), new Uint8Array(NONCE_SIZE), Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff)],
  code: /\/lib\/wire\/(?:beacon|ip)\.ts$/,
  seeds: (seed) => [
    ...[1, 4, 5, 16].map((count) => encodeBeacon(sample(fc.uint8Array({ minLength: ENTRY_SIZE, maxLength: ENTRY_SIZE }), seed, count).map((bytes) => ({
      tag: bytes.subarray(0, TAG_SIZE), nonce: bytes.subarray(TAG_SIZE, TAG_SIZE + NONCE_SIZE), sealed: bytes.subarray(TAG_SIZE + NONCE_SIZE),
    })), systemRandom)),
    encodePlace({ ip: '192.0.2.1', port: 9, at: 1 }), encodePlace({ ip: '2001:db8::1', port: 9, at: 2 ** 32 - 1 }),
  ],
  run(input) {
    // entries are sealed: what is inside comes from a contact, and is read all the same
    const place = taken(() => decodePlace(input.subarray(0, 22)))
    if (place !== undefined) {
      const again = encodePlace(place.value)
      same(decodePlace(again), place.value, 'the place, written again')
      if (parseIp(place.value.ip)?.length === 16 || input[10] === 0xff) same(again, input.subarray(0, 22), 'the bytes of the place')
    }
    const parsed = taken(() => parseBeacon(input))
    if (parsed === undefined) return place !== undefined
    same(concat(...parsed.value.map(({ tag, nonce, sealed }) => concat(tag, nonce, sealed))), input, 'the entries')
    return true
  },
}

const REQUEST: MapRequest = { client: '192.168.1.7', nonce: ID, protocol: 'udp', port: 21_873, external: 21_873, lifetime: 7200 }

/** As a router answers: the request with its first bytes changed. */
function answered(request: Uint8Array, result = 0): Uint8Array {
  const answer = request.slice()
  answer[1] = (answer[1] ?? 0) | 0x80
  answer[3] = result
  return answer
}

const router: Target = {
  name: 'router',
  max: 1200,
  words: [Uint8Array.of(2, 0x81), Uint8Array.of(0, 0x80), Uint8Array.of(0, 0x81), Uint8Array.of(0x55, 0x71), ID, new Uint8Array(4)],
  code: /\/lib\/wire\/(?:pcp|natpmp|ip)\.ts$/,
  seeds: () => [
    answered(encodePcpMap(REQUEST)), answered(encodePcpMap(REQUEST), 8), answered(encodePcpMap(REQUEST), 1).slice(0, 24),
    concat(Uint8Array.of(0, 0x80, 0, 0, 0, 0, 0, 9), Uint8Array.of(192, 0, 2, 1)), Uint8Array.of(0, 0x80, 0, 3, 0, 0, 0, 0),
    concat(answered(encodeMapRequest('udp', 21_873, 21_873, 7200)).subarray(0, 4), Uint8Array.of(0, 0, 0, 9, 0x55, 0x71, 0x55, 0x71, 0, 0, 0x1c, 0x20)),
  ],
  run(input) {
    speaksNatPmp(input)
    const results = [
      taken(() => parsePcpMap(input, REQUEST)),
      taken(() => parseAddressResponse(input)),
      taken(() => parseMapResponse(input, 'udp', 21_873)),
      taken(() => parseMapResponse(input, 'tcp', 21_873)),
    ]
    for (const one of results) {
      if (one === undefined) continue
      const { ip, external, refused } = one.value as { ip?: string; external?: number; refused?: string }
      if (refused !== undefined) holds(/^[\x20-\x7e]+$/.test(refused), 'words for people')
      else holds((ip === undefined || parseIp(ip) !== undefined) && (external === undefined || external <= 65_535), 'an address')
    }
    return results.some((one) => one !== undefined)
  },
}

const SERVICE = 'urn:schemas-upnp-org:service:WANIPConnection:1'
const DESCRIPTION = `<?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0"><URLBase>http://192.168.1.1:49152/</URLBase><device><serviceList><service><serviceType>${SERVICE}</serviceType><controlURL>/ctl?a=1&amp;b=2</controlURL></service></serviceList></device></root>`
const GATEWAY = '192.168.1.1'

const upnp: Target = {
  name: 'upnp',
  max: 20_000,
  words: ['<', '>', '</', '/>', '<!--', '-->', '<?', '?>', '<!DOCTYPE x>', '<![CDATA[', '&amp;', '&#x41;', '&#55296;', '&', '<s:Body>', '<Fault>', '<errorCode>718</errorCode>', 'HTTP/1.1 200 OK\r\n', 'LOCATION: ', `http://${GATEWAY}:80/`, 'http://127.0.0.1/', '//', '@', '0x7f.1', SERVICE],
  code: /\/lib\/wire\/(?:upnp|xml|ip)\.ts$/,
  seeds: () => [
    DESCRIPTION, `HTTP/1.1 200 OK\r\nST: x\r\nLOCATION: http://${GATEWAY}:49152/desc.xml\r\n\r\n`, `http://${GATEWAY}:5000/x`,
    '<s:Envelope><s:Body><u:R xmlns:u="x"><NewExternalIPAddress>192.0.2.1</NewExternalIPAddress></u:R></s:Body></s:Envelope>',
    '<s:Envelope><s:Body><s:Fault><detail><UPnPError><errorCode>725</errorCode></UPnPError></detail></s:Fault></s:Body></s:Envelope>',
  ].map(utf8),
  run(input) {
    const text = taken(() => fromUtf8(input))?.value ?? Buffer.from(input).toString('latin1')
    const at = { port: 49_152, path: '/desc.xml' }
    const location = taken(() => parseSearchAnswer(text))
    if (location !== undefined) holds(!/[\s]/.test(location.value), 'a location is one word')
    for (const url of [taken(() => gatewayUrl(text, GATEWAY)), taken(() => gatewayUrl(text, GATEWAY, at))]) {
      if (url !== undefined) holds(/^\/[!-~]*$/.test(url.value.path) && url.value.port <= 65_535, 'a place at the gateway')
    }
    const services = taken(() => servicesOf(text, GATEWAY, at))
    for (const { control } of services?.value ?? []) holds(/^\/[!-~]*$/.test(control.path), 'a place at the gateway')
    const answer = taken(() => parseCallAnswer(text))
    const document = taken(() => parseXml(text))
    if (document !== undefined) {
      const { name, text: inner } = document.value
      holds(elementsOf(document.value, name).length > 0, 'the root')
      same(parseXml(`<a>${escapeXml(inner)}</a>`).text, inner, 'the text, written again')
    }
    return document !== undefined || answer !== undefined || location !== undefined
  },
}

export const NET: Target[] = [stun, beacon, router, upnp]
