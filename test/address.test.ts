import { test } from 'uvu'
import * as assert from 'uvu/assert'
import fc from 'fast-check'

import { Reader, concat, fromHex, hex } from '../lib/base/bytes.ts'
import { Failure, Malformed } from '../lib/base/fail.ts'
import {
  acceptFromPeer,
  classOf,
  decodeAddresses,
  encodeAddresses,
  formatAddress,
  isGlobal,
  isHostName,
  isLoopback,
  isPrivate,
  isReachable,
  parseAddress,
} from '../lib/wire/address.ts'
import { formatIp, parseIp } from '../lib/wire/ip.ts'

import type { Address } from '../lib/wire/address.ts'

function decode(bytes: Uint8Array): Address[] {
  const reader = new Reader(bytes)
  const addresses = decodeAddresses(reader)
  reader.end()
  return addresses
}

const PLAIN = { noNullPrototype: true } as const // uvu compares prototypes

const label = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?$/)
const host = fc.oneof(
  fc.ipV4().map((text) => formatIp(parseIp(text) as Uint8Array)),
  fc.uint8Array({ minLength: 16, maxLength: 16 }).map(formatIp),
  fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join('.')).filter(isHostName),
)
const address: fc.Arbitrary<Address> = fc
  .record({ host, port: fc.integer({ min: 1, max: 65_535 }), tcp: fc.boolean(), udp: fc.boolean() }, PLAIN)
  .filter(({ tcp, udp }) => tcp || udp)

test('an address list comes back from its bytes', () => {
  fc.assert(
    fc.property(fc.array(address, { maxLength: 8 }), (list) => {
      assert.equal(decode(encodeAddresses(list)), list)
    }),
  )
})

test('any bytes decode to addresses that encode to the same bytes, or are malformed', () => {
  const near = fc
    .tuple(fc.array(address, { maxLength: 3 }), fc.nat(), fc.nat(255))
    .map(([list, at, value]) => {
      const bytes = encodeAddresses(list).slice()
      bytes[at % bytes.length] = value
      return bytes
    })
  fc.assert(
    fc.property(fc.oneof(near, fc.uint8Array({ maxLength: 80 })), (bytes) => {
      try {
        assert.is(hex(encodeAddresses(decode(bytes))), hex(bytes))
      } catch (error) {
        assert.instance(error, Malformed)
      }
    }),
    { numRuns: 2000 },
  )
})

test('the bytes are those of the specification', () => {
  const list: Address[] = [
    { host: '192.0.2.7', port: 21_873, tcp: true, udp: true },
    { host: '2001:db8::1', port: 1, tcp: true, udp: false },
    { host: 'a.example', port: 65_535, tcp: false, udp: true },
  ]
  const expected =
    '03' + '0403c00002075571' + '060120010db80000000000000000000000010001' + '0a0209612e6578616d706c65ffff'
  assert.is(hex(encodeAddresses(list)), expected)
  assert.equal(decode(fromHex(expected)), list)
})

test('what is not written in the one way is refused', () => {
  const refused: Record<string, string> = {
    'port 0': '010403c00002070000',
    'no transport': '010400c00002075571',
    'unknown transport': '010407c00002075571',
    'unknown family': '010503c00002075571',
    'nine addresses': '09' + '0403c00002075571'.repeat(9),
    'IPv4 inside IPv6': '01060300000000000000000000ffff7f0000010001',
    'upper case': '010a0301410001',
    'empty name': '010a03000001',
    'IPv4 as a name': '010a0309' + hex(new TextEncoder().encode('127.0.0.1')) + '0001',
    'trailing dot': '010a0302612e0001',
    'underscore': '010a0303615f620001',
    'hyphen first': '010a03022d610001',
    'name of 64': '010a0340' + '61'.repeat(64) + '0001',
    'not UTF-8': '010a0301ff0001',
    'cut off': '010403c000020755',
    'trailing byte': '010403c0000207557100',
    'nothing': '',
  }
  for (const [name, bytes] of Object.entries(refused)) {
    assert.throws(() => decode(fromHex(bytes)), (error: unknown) => error instanceof Malformed, name)
  }
  assert.equal(decode(fromHex('010a033f' + '61'.repeat(63) + '0001'))[0]?.host, 'a'.repeat(63))
})

test('what a decoder refuses cannot be encoded', () => {
  const good: Address = { host: '192.0.2.7', port: 1, tcp: true, udp: true }
  const bad: Address[][] = [
    new Array<Address>(9).fill(good),
    [{ ...good, port: 0 }],
    [{ ...good, port: 65_536 }],
    [{ ...good, tcp: false, udp: false }],
    [{ ...good, host: 'A.example' }],
    [{ ...good, host: '127.1' }],
  ]
  for (const list of bad) assert.throws(() => encodeAddresses(list), (error: unknown) => error instanceof RangeError)
})

test('text of an IP address is read strictly and written as RFC 5952 says', () => {
  const table: [string, string | undefined][] = [
    ['1.2.3.4', '1.2.3.4'],
    ['01.2.3.4', undefined],
    ['1.2.3', undefined],
    ['1.2.3.4.5', undefined],
    ['1.2.3.256', undefined],
    ['::', '::'],
    ['::1', '::1'],
    ['1::', '1::'],
    ['0:0:0:0:0:0:0:1', '::1'],
    ['2001:DB8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:0db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0'],
    ['::2:3:4:5:6:7:8', '0:2:3:4:5:6:7:8'],
    ['1:2:3:4:5:6:7:8', '1:2:3:4:5:6:7:8'],
    ['1:2:3:4::5:6:7:8', undefined],
    ['1:2:3:4:5:6:7:8:9', undefined],
    ['1:2:3:4:5:6:7', undefined],
    ['1::2::3', undefined],
    [':::', undefined],
    [':1:2:3:4:5:6:7', undefined],
    ['::12345', undefined],
    ['::ffff:1.2.3.4', '1.2.3.4'],
    ['::ffff:102:304', '1.2.3.4'],
    ['64:ff9b::1.2.3.4', '64:ff9b::102:304'],
    ['1.2.3.4::', undefined],
    ['::1.2.3.4:5', undefined],
    ['fe80::1%eth0', undefined],
    ['', undefined],
  ]
  for (const [text, expected] of table) {
    const ip = parseIp(text)
    assert.is(ip && formatIp(ip), expected, text)
  }
  assert.throws(() => formatIp(new Uint8Array(5)))
})

test('any 16 bytes come back from their text', () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom(0, 0, 1, 255), { minLength: 16, maxLength: 16 }), (list) => {
      const bytes = Uint8Array.from(list)
      assert.is(hex(parseIp(formatIp(bytes)) ?? new Uint8Array()), hex(bytes))
    }),
  )
})

test('an address as a person types it', () => {
  const table: [string, string][] = [
    ['192.0.2.7', '192.0.2.7:4000'],
    ['192.0.2.7:1', '192.0.2.7:1'],
    ['[2001:DB8::1]', '[2001:db8::1]:4000'],
    ['[2001:db8::1]:65535', '[2001:db8::1]:65535'],
    ['2001:db8::1', '[2001:db8::1]:4000'],
    ['[::ffff:192.0.2.7]:5', '192.0.2.7:5'],
    ['localhost', 'localhost:4000'],
    ['Home.Example.ORG.:22', 'home.example.org:22'],
    ['bücher.example', 'xn--bcher-kva.example:4000'],
    ['xn--bcher-kva.example', 'xn--bcher-kva.example:4000'],
  ]
  for (const [text, expected] of table) {
    const parsed = parseAddress(text, 4000)
    assert.is(formatAddress(parsed), expected, text)
    assert.ok(parsed.tcp && parsed.udp)
  }
})

test('an address that makes no sense is a usage error that quotes it', () => {
  const table = ['', ':', ':1', 'a:', 'a:0', 'a:65536', 'a:01', 'a:1x', 'a b', 'a_b', '-a', 'a..b', '127.1', '0x7f.1']
  table.push('2130706433', '0x7f000001', '[192.0.2.7]', '[::1', '::1]', '[::1]x', '[::1]:', '2001:db8::1::2')
  table.push('[fe80::1%1]:5', '0.0.0.0', '[::]:1', 'a/b', 'a@b', '%41.example', 'a'.repeat(64), 'x'.repeat(5000))
  table.push('fe80::1%a', 'a\nb', 'ä\nb', 'ä%41')
  for (const text of table) {
    assert.throws(
      () => parseAddress(text, 4000),
      (error: unknown) => error instanceof Failure && error.exit === 64 && error.message.includes('address'),
      text,
    )
  }
})

test('any text is an address that formats to itself, or a usage error', () => {
  const near = fc.string({ unit: fc.constantFrom(...'[]:.%-019afgz/'), maxLength: 24 })
  fc.assert(
    fc.property(fc.oneof(near, fc.string({ maxLength: 60 }), address.map(formatAddress)), (text) => {
      try {
        const parsed = parseAddress(text, 4000)
        assert.equal(parseAddress(formatAddress(parsed), 1), parsed)
        assert.equal(decode(encodeAddresses([parsed])), [parsed])
      } catch (error) {
        if (!(error instanceof Failure)) throw error
        assert.is(error.exit, 64)
      }
    }),
    { numRuns: 3000 },
  )
})

test('classes of addresses', () => {
  const table: Record<string, string> = {
    '8.8.8.8': 'global',
    '0.0.0.0': 'unspecified',
    '0.1.2.3': 'unspecified',
    '9.255.255.255': 'global',
    '10.0.0.0': 'private',
    '10.255.255.255': 'private',
    '11.0.0.0': 'global',
    '100.63.255.255': 'global',
    '100.64.0.0': 'private',
    '100.127.255.255': 'private',
    '100.128.0.0': 'global',
    '127.0.0.1': 'loopback',
    '127.255.255.255': 'loopback',
    '169.254.169.254': 'link-local',
    '172.15.255.255': 'global',
    '172.16.0.0': 'private',
    '172.31.255.255': 'private',
    '172.32.0.0': 'global',
    '192.0.0.1': 'reserved',
    '192.168.0.1': 'private',
    '198.18.0.1': 'private',
    '223.255.255.255': 'global',
    '224.0.0.1': 'multicast',
    '239.255.255.255': 'multicast',
    '240.0.0.1': 'reserved',
    '255.255.255.255': 'broadcast',
    '::': 'unspecified',
    '::1': 'loopback',
    '::2': 'reserved',
    '2001:db8::1': 'global',
    '2a00:1450::1': 'global',
    'fe80::1': 'link-local',
    'febf::1': 'link-local',
    'fec0::1': 'private',
    'fc00::1': 'private',
    'fdff::1': 'private',
    'ff02::1': 'multicast',
    '4000::1': 'reserved',
    '::ffff:127.0.0.1': 'loopback',
    '64:ff9b::8.8.8.8': 'global',
    '64:ff9b::127.0.0.1': 'reserved',
    '2002:808:808::1': 'global',
    '2002:7f00:1::1': 'reserved',
    'example.org': 'name',
  }
  for (const [text, expected] of Object.entries(table)) assert.is(classOf({ host: text }), expected, text)
  assert.ok(isGlobal({ host: '8.8.8.8' }) && !isGlobal({ host: 'a.example' }))
  assert.ok(isLoopback({ host: '::1' }) && !isLoopback({ host: '8.8.8.8' }))
  assert.ok(isPrivate({ host: 'fd00::1' }) && !isPrivate({ host: '8.8.8.8' }))
  assert.ok(isReachable({ host: 'a.example' }) && !isReachable({ host: '10.0.0.1' }))
})

test('a peer can name only addresses that cannot be turned against us', () => {
  const verdict = (text: string, onLink: boolean): boolean => acceptFromPeer({ host: text, port: 4000 }, () => onLink)
  for (const text of ['8.8.8.8', '2a00:1450::1', 'a.example']) assert.ok(verdict(text, false), text)
  for (const text of ['10.0.0.1', 'fd00::1']) {
    assert.not.ok(verdict(text, false), text)
    assert.ok(verdict(text, true), text)
  }
  for (const text of ['127.0.0.1', '::1', '0.0.0.0', '::', '224.0.0.1', 'ff02::1', '255.255.255.255', '169.254.1.1']) {
    assert.not.ok(verdict(text, true), text)
  }
  assert.not.ok(verdict('fe80::1', true))
  assert.not.ok(acceptFromPeer({ host: '8.8.8.8', port: 0 }))
})

test('a list is taken from the front of what else there is', () => {
  const reader = new Reader(concat(encodeAddresses([]), Uint8Array.of(7)))
  assert.equal(decodeAddresses(reader), [])
  assert.is(reader.u8(), 7)
})

test.run()
