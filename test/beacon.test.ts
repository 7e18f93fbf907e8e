// Beacons: what they are byte for byte, that contacts alone recognise them, and that one leads to nowhere but where it
// came from. That they find contacts is for test/natlab/lan.test.ts.

import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { hex, utf8 } from '../lib/base/bytes.ts'
import { Malformed } from '../lib/base/fail.ts'
import { systemRandom } from '../lib/base/random.ts'
import { nodeSuite } from '../lib/crypto/suite-node.ts'
import { rendezvousKey, slotOf, slotValue } from '../lib/net/rendezvous.ts'
import { decodePlace, encodeBeacon, encodePlace, ENTRY_SIZE, type Entry, parseBeacon } from '../lib/wire/beacon.ts'

const entry = (byte: number): Entry => ({
  tag: new Uint8Array(16).fill(byte),
  nonce: new Uint8Array(12).fill(byte),
  sealed: new Uint8Array(38).fill(byte),
})

test('4, 8 or 16 entries, those of contacts anywhere among random ones', () => {
  assert.is(ENTRY_SIZE, 66)
  for (const [contacts, count] of [[1, 4], [4, 4], [5, 8], [9, 16], [16, 16]] as const) {
    const entries = Array.from({ length: contacts }, (_, i) => entry(i + 1))
    const bytes = encodeBeacon(entries, systemRandom)
    assert.is(bytes.length, count * 66)
    const tags = parseBeacon(bytes).map(({ tag }) => hex(tag))
    assert.ok(entries.every(({ tag }) => tags.includes(hex(tag))))
    assert.is(new Set(tags).size, count)
  }
  assert.throws(() => encodeBeacon(Array.from({ length: 17 }, () => entry(1)), systemRandom))
  const first = new Set(Array.from({ length: 200 }, () => hex((parseBeacon(encodeBeacon([entry(7)], systemRandom))[0] as Entry).tag) === '07'.repeat(16)))
  assert.is(first.size, 2, 'sometimes the first, sometimes not')
})

test('places are read as they were written, IPv4 inside IPv6', () => {
  const place = { ip: '192.168.1.2', port: 21873, at: 1_790_000_000 }
  assert.is(hex(encodePlace(place)), `00000000000000000000ffffc0a801025571${(1_790_000_000).toString(16)}`)
  for (const each of [place, { ...place, ip: '2001:db8::1' }]) assert.equal(decodePlace(encodePlace(each)), each)
  assert.throws(() => decodePlace(new Uint8Array(22)), (error: unknown) => error instanceof Malformed)
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 1200 }), (bytes) => {
      try {
        assert.ok([4, 8, 16].includes(parseBeacon(bytes).length))
      } catch (error) {
        if (!(error instanceof Malformed)) throw error
      }
    }),
  )
})

test('the values of a slot are the same on both sides, and others for each direction, slot and purpose', () => {
  const person = (byte: number) => ({ identity: new Uint8Array(32).fill(byte), key: nodeSuite.importPrivate(new Uint8Array(32).fill(byte)) })
  const [alice, bob, eve] = [person(1), person(2), person(3)]
  const between = (self: typeof alice, peer: typeof alice): Uint8Array =>
    rendezvousKey(nodeSuite, { self, peer: { identity: peer.identity, transport: peer.key.publicKey } })
  const secret = between(alice, bob)
  assert.equal(secret, between(bob, alice))
  assert.not.equal(secret, between(alice, eve))
  const values = [
    slotValue(nodeSuite, secret, 'lan-tag', 5n, alice.identity),
    slotValue(nodeSuite, secret, 'lan-tag', 5n, bob.identity),
    slotValue(nodeSuite, secret, 'lan-tag', 6n, alice.identity),
    slotValue(nodeSuite, secret, 'lan-key', 5n, alice.identity),
  ]
  assert.is(new Set(values.map(hex)).size, 4)
  const plain = nodeSuite.hmac(secret, utf8('lan-tag'), Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 5), alice.identity)
  assert.equal(values[0], plain)
  assert.equal([slotOf(0), slotOf(599_999), slotOf(600_000)], [0n, 0n, 1n])
})

test.run()
