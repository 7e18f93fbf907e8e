// What is said of a way that was not found, and what is counted on the way to it.

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { isHopeless, natsOf } from '../lib/delivery/nats.ts'
import type { Contact } from '../lib/disk/contact.ts'
import { NAT_CLASS } from '../lib/net/outside.ts'
import { type Counts, Tally } from '../lib/net/tally.ts'
import { type Facts, natWords, verdict, type VerdictReason, VERDICTS } from '../lib/net/verdict.ts'
import type { Address } from '../lib/wire/address.ts'
import { HELLO_SIZE } from '../lib/wire/hello.ts'
import { readSchema } from './records.ts'

const { UNKNOWN, INDEPENDENT, SYMMETRIC } = NAT_CLASS

const sent: Counts = { address: '192.0.2.7:40001', openers: 4, hellos: 3, seen: 0 }
const heard: Counts = { ...sent, seen: 2 }
const kept: Counts = { ...sent, openers: 0, hellos: 0 }

const facts = (change: Partial<Facts> = {}): Facts => ({
  name: 'bob',
  port: 21_873,
  here: '192.168.1.7',
  own: UNKNOWN,
  peer: UNKNOWN,
  known: ['192.0.2.7:40001'],
  udp: [sent],
  tcp: [{ address: '192.0.2.7:40001', reason: 'timeout' }],
  searched: false,
  slot: false,
  ...change,
})

const TABLE: [string, Partial<Facts>, VerdictReason, RegExp][] = [
  ['nobody knows where', { known: [], udp: [], tcp: [] }, 'no-address', /^no address of bob is known here$/],
  ['no UDP here', { udp: [], noUdp: 'udx is not there' }, 'no-udp', /nobody answers over TCP: udx is not there$/],
  ['no UDP here, no TCP there', { udp: [], tcp: [], noUdp: 'x' }, 'no-udp', /bob has no address for TCP: x$/],
  ['no UDP here, TCP refused', { udp: [], tcp: [{ address: '192.0.2.7:1', reason: 'refused' }], noUdp: 'x' }, 'refused', /does not run there/],
  ['both symmetric', { own: SYMMETRIC, peer: SYMMETRIC }, 'both-symmetric', /^both sides randomise ports: use IPv6, forward a port, or carry a bundle$/],
  ['only here', { own: SYMMETRIC, peer: INDEPENDENT }, 'symmetric', /^your router gives every destination another port/],
  ['only there', { own: INDEPENDENT, peer: SYMMETRIC }, 'symmetric', /^bob's router gives every destination/],
  ['something came', { udp: [heard] }, 'unanswered', /^something came from bob's address but no answer as bob/],
  ['both symmetric, something came', { own: SYMMETRIC, peer: SYMMETRIC, udp: [heard] }, 'both-symmetric', /randomise/],
  ['nothing could be sent', { udp: [kept], tcp: [] }, 'unroutable', /^this machine has no way to 192\.0\.2\.7:40001$/],
  ['nothing could be tried', { udp: [], tcp: [] }, 'unroutable', /no way to 192/],
  ['nothing could be sent, TCP hangs', { udp: [kept] }, 'silent', /^nothing came from bob/],
  ['nothing came', {}, 'silent', /^nothing came from bob: the machine there is off or asleep/],
  ['nothing came, TCP refused by a router', { tcp: [{ address: '192.0.2.7:1', reason: 'refused' }] }, 'silent', /^nothing came/],
  ['a class that nobody knows', { own: 7, peer: SYMMETRIC }, 'symmetric', /^bob's router/],
]

for (const [what, change, reason, text] of TABLE) {
  test(`the verdict: ${what}`, () => {
    const found = verdict(facts(change))
    assert.is(found.reason, reason)
    assert.match(found.text, text)
    assert.ok(found.advice.length > 0)
  })
}

test('every word of the verdict is in the table above and in the schema', () => {
  assert.equal([...new Set(TABLE.map(([, , reason]) => reason))].sort(), [...VERDICTS].sort())
  const reason = readSchema().$defs['punch']?.properties?.['reason'] as { enum: string[] }
  assert.equal([...reason.enum].sort(), [...VERDICTS, 'no-slot', 'no-search'].sort())
})

test('the advice names the port and the machine, and never what was just done', () => {
  const all = (change: Partial<Facts>): string => verdict(facts(change)).advice.join('\n')
  assert.match(all({ own: SYMMETRIC, peer: SYMMETRIC }), /^forward TCP\+UDP 21873 to 192\.168\.1\.7 on your router\n/)
  assert.match(all({ here: undefined }), /to this machine on your router/)
  assert.match(all({ own: SYMMETRIC }), /p2p-queue export bob > FILE/)
  assert.match(all({ own: SYMMETRIC }), /--birthday/)
  assert.not.match(all({ own: SYMMETRIC, searched: true }), /--birthday/)
  assert.match(all({}), /--slot/)
  assert.not.match(all({ slot: true }), /--slot/)
})

test('what a router does, in words', () => {
  assert.equal([UNKNOWN, INDEPENDENT, SYMMETRIC, 9].map(natWords), [
    'not known',
    'one outside port for all destinations',
    'another outside port for each destination',
    'not known',
  ])
})

const bob = { ip: '192.0.2.7', port: 40_001 }

test('a tally counts by place what goes to a contact and comes from it, and nothing of others', () => {
  const tally = new Tally([bob])
  tally.note({ out: true, size: 32, hops: 5, place: bob })
  tally.note({ out: true, size: HELLO_SIZE, place: bob })
  tally.note({ out: true, size: HELLO_SIZE, place: bob })
  tally.note({ out: false, size: HELLO_SIZE, place: bob })
  tally.note({ out: true, size: HELLO_SIZE, place: { ip: '192.0.2.8', port: 40_001 } })
  tally.note({ out: false, size: 9, place: { ip: '192.0.2.8', port: 40_001 } })
  assert.equal(tally.places, [{ address: '192.0.2.7:40001', openers: 1, hellos: 2, seen: 1 }])
})

test('another port of the contact shows when something comes from it, and probes of ports are one number', () => {
  const tally = new Tally([bob])
  for (let port = 1; port <= 300; port++) tally.note({ out: true, size: HELLO_SIZE, place: { ...bob, port } })
  assert.is(tally.probes, 300)
  tally.note({ out: false, size: 9, place: { ...bob, port: 7 } })
  assert.equal(tally.places.at(-1), { address: '192.0.2.7:7', openers: 0, hellos: 0, seen: 1 })
  for (let port = 1000; port < 2000; port++) tally.note({ out: false, size: 9, place: { ...bob, port } })
  assert.ok(tally.places.length <= 24, 'bounded')
  assert.is(tally.places.reduce((sum, { seen }) => sum + seen, 0), 1001)
})

test('a pair is hopeless only if both routers are known to change ports and nothing else can lead there', () => {
  const place = (host: string): Address => ({ host, port: 1, tcp: true, udp: true })
  const contact = (change: Partial<Contact> = {}): Contact =>
    ({ nat: SYMMETRIC, tokenText: '', addresses: [place('11.22.33.74')], sessionAddresses: [], ...change }) as unknown as Contact
  const hopeless = (seen: number, change: Partial<Contact> = {}, ipv6 = true): boolean => isHopeless(natsOf(seen, '', contact(change)), contact(change), ipv6)
  assert.is(hopeless(SYMMETRIC), true)
  assert.is(hopeless(UNKNOWN), false)
  assert.is(hopeless(INDEPENDENT), false)
  assert.is(hopeless(SYMMETRIC, { nat: INDEPENDENT }), false)
  assert.is(hopeless(SYMMETRIC, { nat: UNKNOWN }), false)
  assert.is(hopeless(SYMMETRIC, { addresses: [place('11.22.33.74'), place('2001:db8::1')] }), false)
  assert.is(hopeless(SYMMETRIC, { addresses: [place('11.22.33.74'), place('2001:db8::1')] }, false), true, 'of no use here')
  assert.is(hopeless(SYMMETRIC, { addresses: [place('bob.example.org')] }), false)
  assert.is(hopeless(SYMMETRIC, { sessionAddresses: [place('11.22.33.74')] }), false, 'there was a session')
})

test.run()
