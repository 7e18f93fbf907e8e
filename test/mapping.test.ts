// How the own router is asked for a port: what is sent, byte for byte, what is believed of the answers, and what becomes
// of hostile ones. That real routers understand it is for test/natlab/mapping.test.ts.

import { createSocket } from 'node:dgram'

import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { fromHex, hex } from '../lib/base/bytes.ts'
import { systemClock } from '../lib/base/clock.ts'
import { Malformed } from '../lib/base/fail.ts'
import { gatewayOfNetstat, gatewayOfProc } from '../lib/net/gateway.ts'
import { Mapping, type MappingState, uselessBecause } from '../lib/net/mapping.ts'
import { encodeMapRequest, parseAddressResponse, parseMapResponse } from '../lib/wire/natpmp.ts'
import { encodePcpMap, type MapRequest, parsePcpMap, speaksNatPmp } from '../lib/wire/pcp.ts'
import { addMappingCall, gatewayUrl, parseCallAnswer, parseSearchAnswer, servicesOf } from '../lib/wire/upnp.ts'
import { childText, type Element, parseXml } from '../lib/wire/xml.ts'
import { loadConfig } from '../lib/disk/config.ts'
import type { Home } from '../lib/disk/home.ts'
import type { Peers } from '../lib/delivery/peers.ts'
import { Station } from '../lib/delivery/station.ts'
import { Vicinity } from '../lib/delivery/vicinity.ts'
import { FakeClock } from './netkit.ts'
import { withPair } from './pair.ts'
import { until } from './peer.ts'

const REQUEST: MapRequest = {
  client: '192.168.1.2',
  nonce: fromHex('0102030405060708090a0b0c'),
  protocol: 'udp',
  port: 21873,
  external: 21873,
  lifetime: 7200,
}

const MAPPED = '00000000000000000000ffff'

test('a PCP request is that of RFC 6887 7.1 and 11.1', () => {
  const wanted = `02010000${'00001c20'}${MAPPED}c0a80102` + `0102030405060708090a0b0c11000000${'5571'.repeat(2)}${MAPPED}00000000`
  assert.is(hex(encodePcpMap(REQUEST)), wanted)
  assert.is(hex(encodePcpMap({ ...REQUEST, lifetime: 0 })).slice(0, 16), '0201000000000000')
})

const answer = (result: string, body: string): Uint8Array => fromHex(`028100${result}00000e10` + '00000007'.padEnd(32, '0') + body)
const GOOD = `0102030405060708090a0b0c11000000${'5571'}9c41${MAPPED}0b16210a`

test('a PCP answer counts if it fits the question', () => {
  assert.equal(parsePcpMap(answer('00', GOOD), REQUEST), { ip: '11.22.33.10', external: 40001, lifetime: 3600 })
  assert.match((parsePcpMap(answer('02', GOOD), REQUEST) as { refused: string }).refused, /does not let programs open ports/)
  const malformed = (bytes: Uint8Array): void => assert.throws(() => parsePcpMap(bytes, REQUEST), (error: unknown) => error instanceof Malformed)
  malformed(answer('00', GOOD.replace('0102', '0103'))) // another nonce
  malformed(answer('02', GOOD.replace('0102', '0103')))
  malformed(answer('00', GOOD.replace('11000000', '06000000'))) // TCP
  malformed(answer('00', GOOD.replace('5571', '5572'))) // another port
  malformed(answer('00', GOOD.replace('9c41', '0000')))
  malformed(answer('00', GOOD.replace(MAPPED, '20010db8'.padEnd(24, '0')))) // IPv6
  malformed(fromHex(hex(answer('00', GOOD)).replace(/^0281/, '0201'))) // a request
  malformed(answer('00', GOOD).subarray(0, 59))
  assert.ok(speaksNatPmp(fromHex('0081000100000000')))
  assert.not.ok(speaksNatPmp(answer('00', GOOD)))
})

test('NAT-PMP is that of RFC 6886 3.2 and 3.3', () => {
  assert.is(hex(encodeMapRequest('tcp', 21873, 21874, 7200)), '000200005571557200001c20')
  assert.is(hex(encodeMapRequest('udp', 21873, 21874, 0)), '000100005571000000000000')
  assert.equal(parseAddressResponse(fromHex('008000000000000a0b16210a')), { ip: '11.22.33.10' })
  assert.match((parseAddressResponse(fromHex('008000030000000a')) as { refused: string }).refused, /no outside address/)
  const mapped = '008200000000000a5571557200001c20'
  assert.equal(parseMapResponse(fromHex(mapped), 'tcp', 21873), { external: 21874, lifetime: 7200 })
  assert.throws(() => parseMapResponse(fromHex(mapped), 'udp', 21873))
  assert.throws(() => parseMapResponse(fromHex(mapped), 'tcp', 21874))
  assert.throws(() => parseMapResponse(fromHex(`${mapped}00`), 'tcp', 21873))
})

const onlyMalformed = (work: () => unknown): void => {
  try {
    work()
  } catch (error) {
    if (!(error instanceof Malformed)) throw error
  }
}

test('whatever comes as an answer is an answer or Malformed', () => {
  const near = fc.tuple(fc.constantFrom(answer('00', GOOD), answer('02', GOOD), fromHex('008200000000000a5571557200001c20')), fc.array(fc.tuple(fc.nat(70), fc.nat(255)), { maxLength: 4 }), fc.nat(70))
  const bent = near.map(([bytes, changes, length]) => {
    const copy = bytes.slice(0, Math.max(length, 1))
    for (const [at, value] of changes) if (at < copy.length) copy[at] = value
    return copy
  })
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 80 }), bent), (bytes) => {
      onlyMalformed(() => parsePcpMap(bytes, REQUEST))
      onlyMalformed(() => parseAddressResponse(bytes))
      onlyMalformed(() => parseMapResponse(bytes, 'tcp', 21873))
    }),
    { numRuns: 3000 },
  )
})

const DESCRIPTION = (control: string, base = ''): string => `<?xml version="1.0"?>
<root xmlns="urn:schemas-upnp-org:device-1-0">${base}<device><deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:1</deviceType>
<deviceList><device><serviceList>
<service><serviceType>urn:schemas-upnp-org:service:Layer3Forwarding:1</serviceType><controlURL>/l3f</controlURL></service>
<service><serviceType>urn:schemas-upnp-org:service:WANPPPConnection:1</serviceType><controlURL>/ppp</controlURL></service>
<service><serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType><controlURL>${control}</controlURL></service>
</serviceList></device></deviceList></device></root>`

const HERE = { port: 5000, path: '/rootDesc.xml' }

test('a service of a description counts if it is at the gateway itself', () => {
  const services = servicesOf(DESCRIPTION('/ctl/IPConn?a=1&amp;b'), '192.168.1.1', HERE)
  assert.equal(services[0], { type: 'urn:schemas-upnp-org:service:WANIPConnection:1', control: { port: 5000, path: '/ctl/IPConn?a=1&b' } })
  assert.is(services.length, 2)
  assert.is(servicesOf(DESCRIPTION('ctl', '<URLBase>http://192.168.1.1:81/x/</URLBase>'), '192.168.1.1', HERE)[0]?.control.path, '/x/ctl')
  assert.is(servicesOf(DESCRIPTION('http://192.168.1.9/ctl'), '192.168.1.1', HERE)[0]?.control.path, '/ppp') // the one that is not there
  assert.throws(() => servicesOf(DESCRIPTION('/ctl', '<URLBase>http://10.0.0.1/</URLBase>'), '192.168.1.1', HERE), /not at the gateway/)
})

test('a location leads to the gateway or nowhere', () => {
  assert.equal(gatewayUrl('http://192.168.1.1:5000/rootDesc.xml', '192.168.1.1'), HERE)
  assert.equal(gatewayUrl('http://192.168.1.1', '192.168.1.1'), { port: 80, path: '/' })
  for (const text of [
    'http://192.168.1.2/d.xml', 'http://192.168.1.1.example.org/', 'http://router/', 'http://192.168.1.1@10.0.0.1/', 'http://x:y@192.168.1.1/',
    'https://192.168.1.1/', 'file:///etc/passwd', '//192.168.1.1/', 'http://[fe80::1]/', '', `http://192.168.1.1/${'a'.repeat(2000)}`, 'http://localhost/', 'http://127.0.0.1/',
  ]) {
    assert.throws(() => gatewayUrl(text, '192.168.1.1'), (error: unknown) => error instanceof Malformed, text)
  }
  assert.is(parseSearchAnswer('HTTP/1.1 200 OK\r\nST: x\r\nLocation:  http://192.168.1.1/ \r\n\r\n'), 'http://192.168.1.1/')
  for (const text of ['', 'NOTIFY * HTTP/1.1\r\nLOCATION: http://192.168.1.1/\r\n\r\n', 'HTTP/1.1 200 OK\r\n\r\n']) assert.throws(() => parseSearchAnswer(text))
})

test('what is said to a service is XML, and its faults have a code', () => {
  const { action, body } = addMappingCall('urn:s:1', { protocol: 'udp', external: 1, port: 2, client: '192.168.1.2', lifetime: 7200 })
  assert.is(action, '"urn:s:1#AddPortMapping"')
  const call = (parseXml(body).children[0] as Element).children[0] as Element
  assert.is(call.name, 'AddPortMapping')
  assert.equal(['NewProtocol', 'NewExternalPort', 'NewInternalPort', 'NewLeaseDuration'].map((name) => childText(call, name)), ['UDP', '1', '2', '7200'])
  const fault = (code: string): string =>
    `<s:Envelope xmlns:s="x"><s:Body><s:Fault><detail><UPnPError><errorCode>${code}</errorCode></UPnPError></detail></s:Fault></s:Body></s:Envelope>`
  assert.equal(parseCallAnswer(fault('718')), { error: 718 })
  assert.throws(() => parseCallAnswer(fault('x')))
  assert.throws(() => parseCallAnswer('<s:Envelope><s:Body/></s:Envelope>'))
})

test('hostile XML is refused or read, in bounds', () => {
  assert.is(parseXml('<a>&#65;&lt;&amp;&#x42;<!-- <b> --></a>').text, 'A<&B')
  for (const text of [
    '', '<a>', '<a></b>', '</a>', '<a/><b/>', '<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>', '<a>&x;</a>', '<a>&#0;</a>', '<a>&#xd800;</a>', '<a>& b</a>',
    '<a><![CDATA[x]]></a>', '<a'.repeat(10), '<a>'.repeat(40) + '</a>'.repeat(40), `<a>${'<b/>'.repeat(5000)}</a>`, `<a>${' '.repeat(200_000)}</a>`, '<1/>', '<a><!-- </a>',
  ]) {
    assert.throws(() => parseXml(text), (error: unknown) => error instanceof Malformed, text.slice(0, 40))
  }
  const piece = fc.constantFrom('<a>', '</a>', '<b/>', '<s:service>', '</s:service>', '&lt;', '&', ';', '<!--', '-->', '<', '>', 'text', '<?', '?>', '"')
  fc.assert(
    fc.property(fc.oneof(fc.array(piece, { maxLength: 60 }).map((parts) => parts.join('')), fc.string({ maxLength: 300 })), (text) => {
      onlyMalformed(() => parseXml(text))
      onlyMalformed(() => servicesOf(text, '192.168.1.1', HERE))
      onlyMalformed(() => parseCallAnswer(text))
      onlyMalformed(() => parseSearchAnswer(text))
    }),
    { numRuns: 3000 },
  )
})

test('the default gateway is read from the routes of the system', () => {
  const proc = 'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n'
  const line = (gateway: string, flags: string, metric: number): string => `eth0\t00000000\t${gateway}\t${flags}\t0\t0\t${metric}\t00000000\t0\t0\t0\n`
  assert.is(gatewayOfProc(`${proc}${line('0101A8C0', '0003', 600)}${line('FE00000A', '0003', 100)}`), '10.0.0.254')
  assert.is(gatewayOfProc(`${proc}${line('00000000', '0001', 0)}eth0\t0001A8C0\t0101A8C0\t0003\t0\t0\t0\t00FFFFFF\t0\t0\t0\n`), undefined)
  assert.is(gatewayOfProc(''), undefined)
  const netstat = 'Routing tables\n\nInternet:\nDestination        Gateway            Flags           Netif Expire\n'
  assert.is(gatewayOfNetstat(`${netstat}default            link#14            UCSIg           bridge100\ndefault            192.168.0.1        UGScg                 en0\n`), '192.168.0.1')
  assert.is(gatewayOfNetstat(netstat), undefined)
})

test('a router that is itself behind a NAT is found out', () => {
  const at = (ip: string): MappingState => ({
    state: 'mapped', via: 'upnp', gateway: '192.168.1.1', mapped: [{ protocol: 'udp', ip, port: 1, lifetime: 7200 }], until: 0,
  })
  assert.match(uselessBecause(at('100.64.3.2'), []) ?? '', /behind a NAT \(its outside address is 100\.64\.3\.2\)/)
  assert.match(uselessBecause(at('10.0.0.2'), ['11.22.33.10']) ?? '', /behind a NAT/)
  assert.match(uselessBecause(at('11.22.33.10'), ['11.22.33.11']) ?? '', /contacts see 11\.22\.33\.11/)
  assert.is(uselessBecause(at('11.22.33.10'), ['11.22.33.11', '11.22.33.10']), undefined)
  assert.is(uselessBecause(at('11.22.33.10'), []), undefined)
  assert.is(uselessBecause({ state: 'searching' }, ['11.22.33.11']), undefined)
})

/** A router that speaks NAT-PMP alone and is behind a NAT, which those that can be had here refuse to be. */
async function withRouter(ip: string, outside: string, work: (asked: string[]) => Promise<void>, mute = false): Promise<void> {
  const socket = createSocket('udp4')
  const asked: string[] = []
  await new Promise<void>((resolve) => socket.bind(5351, ip, resolve))
  socket.on('message', (bytes, from) => {
    asked.push(hex(bytes))
    const say = (text: string): void => socket.send(fromHex(text), from.port, from.address)
    if (bytes[0] !== 0) return say('0081000100000000')
    const address = Buffer.from(outside.split('.').map(Number)).toString('hex')
    if (bytes[1] === 0) return say(`0080000000000001${address}`)
    if (mute && !hex(bytes).endsWith('00000000')) return // opens the port; its word is lost
    say(`00${(128 + (bytes[1] ?? 0)).toString(16)}000000000001${hex(bytes.subarray(4, 6))}${hex(bytes.subarray(4, 6))}${hex(bytes.subarray(8, 12))}`)
  })
  try {
    await work(asked)
  } finally {
    await new Promise<void>((resolve) => socket.close(() => resolve()))
  }
}

const mappingAt = (ip: string): Mapping =>
  new Mapping({
    clock: systemClock,
    protocols: ['udp', 'tcp'],
    port: 21873,
    gateway: () => Promise.resolve(ip),
    nonceOf: () => new Uint8Array(12),
    group: () => false,
    changed: () => undefined,
  })

test('who ends before the router has answered takes back what it was asked for', async () => {
  await withRouter(
    '127.0.53.52',
    '100.64.7.7',
    async (asked) => {
      const mapping = mappingAt('127.0.53.52')
      mapping.start()
      await until('it is asked for the port', () => asked.some((text) => text.startsWith('0001')))
      await mapping.stop()
      assert.ok(asked.includes('000100005571000000000000'), asked.join())
      assert.is(asked.filter((text) => text.startsWith('0002')).length, 0, 'TCP was not asked for')
    },
    true,
  )
})

test('who wants to meet one contact asks the router only when nobody has been there for a second', async () => {
  await withPair(async (alice) => {
    const clock = new FakeClock()
    let looks = 0
    const read: Home['files']['read'] = (path) => {
      if (path === '/proc/net/route') looks++ // that there is no router: nothing is sent here
      return path === '/proc/net/route' ? Promise.resolve(new Uint8Array(0)) : alice.home.files.read(path)
    }
    const home = Object.create(alice.home, { clock: { value: clock }, files: { value: { ...alice.home.files, read } } }) as Home
    const config = await loadConfig(home, { P2P_LAN: 'false' })
    const station = await Station.open(home, alice.keyring, { config })
    let there: string[] = []
    const peers = { up: () => there, tellPlace: () => undefined } as unknown as Peers
    const usual = new Vicinity(station, peers, false, () => undefined)
    await usual.start()
    await usual.stop()
    assert.is(looks, 1)

    const patient = new Vicinity(station, peers, true, () => undefined)
    await patient.start()
    await clock.advance(999)
    there = ['somebody']
    await clock.advance(5000)
    assert.is(looks, 1, 'nobody is there too briefly, then somebody is')
    there = []
    await clock.advance(1000)
    assert.is(looks, 2)
    await patient.stop()

    const brief = new Vicinity(station, peers, true, () => undefined)
    await brief.start()
    await brief.stop()
    await clock.advance(5000)
    assert.is(looks, 2)
    await station.close()
  })
})

test('a port that a router behind a NAT opens is no address, and is taken away at the end', async () => {
  await withRouter('127.0.53.51', '100.64.7.7', async (asked) => {
    const mapping = mappingAt('127.0.53.51')
    mapping.start()
    await until('a mapping', () => mapping.state.state === 'mapped')
    assert.equal(mapping.addresses, [])
    assert.match(uselessBecause(mapping.state, []) ?? '', /100\.64\.7\.7/)
    await mapping.stop()
    assert.equal(asked.filter((text) => /^000[12]/.test(text) && text.endsWith('00000000')).sort(), ['000100005571000000000000', '000200005571000000000000'])
  })
})

test.run()
