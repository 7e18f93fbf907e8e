// What this machine can know of its own place: what others see, when it has moved, and what it shares with a contact.

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { loadSuite } from '../lib/crypto/suite.ts'
import { OFFSET_MAX_MS } from '../lib/net/holes.ts'
import { Moves } from '../lib/net/moves.ts'
import { NAT_CLASS, Outside } from '../lib/net/outside.ts'
import { holeOffset, rendezvousKey } from '../lib/net/rendezvous.ts'
import type { Address } from '../lib/wire/address.ts'
import { FakeClock, person } from './netkit.ts'

const suite = await loadSuite(process.env)
const at = (ip: string, port: number): { ip: string; port: number } => ({ ip, port })

test('what others see is told, the latest first, each place once', () => {
  const outside = new Outside(new FakeClock())
  assert.ok(outside.note('bob', at('192.0.2.1', 4000)))
  assert.not.ok(outside.note('eve', at('192.0.2.1', 4000)))
  assert.ok(outside.note('dan', at('192.0.2.1', 4001)))
  assert.not.ok(outside.note('bob', at('192.0.2.1', 4000)))
  const udp = { tcp: false, udp: true }
  assert.equal(outside.addresses(), [
    { host: '192.0.2.1', port: 4000, ...udp },
    { host: '192.0.2.1', port: 4001, ...udp },
  ])
  outside.forget()
  assert.equal(outside.addresses(), [])
})

test('what was seen an hour ago counts no more, and memory is bounded', async () => {
  const clock = new FakeClock()
  const outside = new Outside(clock)
  for (let i = 0; i < 500; i++) outside.note(`contact ${i}`, at('192.0.2.1', 1000 + i))
  assert.is(outside.addresses().length, 64)
  await clock.advance(3_600_001)
  assert.equal(outside.addresses(), [])
  assert.ok(outside.note('contact 499', at('192.0.2.1', 1499)), 'news again')
})

test('the class of the NAT follows from what at least two see', () => {
  const cases: [string, [string, number][], number][] = [
    ['nobody', [], NAT_CLASS.UNKNOWN],
    ['one alone', [['192.0.2.1', 4000]], NAT_CLASS.UNKNOWN],
    ['two the same', [['192.0.2.1', 4000], ['192.0.2.1', 4000]], NAT_CLASS.INDEPENDENT],
    ['two apart', [['192.0.2.1', 4000], ['192.0.2.1', 4001]], NAT_CLASS.SYMMETRIC],
    ['an own address', [['10.0.0.7', 21_000]], NAT_CLASS.INDEPENDENT],
    ['IPv6 says nothing', [['2001:db8::1', 4000], ['2001:db8::2', 4001]], NAT_CLASS.UNKNOWN],
  ]
  for (const [what, seen, expected] of cases) {
    const outside = new Outside(new FakeClock())
    seen.forEach(([ip, port], i) => outside.note(`contact ${i}`, at(ip, port)))
    assert.is(outside.natClass(['10.0.0.7']), expected, what)
  }
})

test('moves are seen: other addresses, or a clock that ran on while ours stood still', async () => {
  const clock = new FakeClock()
  let ips = ['10.0.0.7', 'fe80::1']
  let slept = 0
  const sleeping = { ...clock, now: () => clock.now() + slept, after: clock.after.bind(clock) }
  const addresses = (port: number): Address[] => ips.map((host) => ({ host, port, tcp: true, udp: true }))
  let moves = 0
  const watching = new Moves(sleeping, () => moves++, addresses)
  await clock.advance(60_000)
  assert.is(moves, 0)
  ips = ['fe80::1', '10.0.0.7'] // another order is no move
  await clock.advance(20_000)
  assert.is(moves, 0)
  ips = ['10.0.9.9', 'fe80::1']
  await clock.advance(20_000)
  assert.is(moves, 1)
  slept = 3_600_000
  await clock.advance(20_000)
  assert.is(moves, 2)
  slept -= 60_000 // set back
  await clock.advance(20_000)
  assert.is(moves, 3)
  ips = ['10.0.7.7']
  watching.look()
  assert.is(moves, 4, 'whoever is awake looks')
  watching.stop()
  ips = []
  watching.look()
  await clock.advance(60_000)
  assert.is(moves, 4)
  assert.is(clock.timers, 0)
})

test('two contacts share a secret and an offset, and nobody else has it', () => {
  const [alice, bob, eve] = [person(suite), person(suite), person(suite)]
  const key = (self: typeof alice, peer: typeof alice): Uint8Array =>
    rendezvousKey(suite, { self, peer: { identity: peer.identity, transport: peer.key.publicKey } })
  assert.equal(key(alice, bob), key(bob, alice))
  assert.not.equal(key(alice, bob), key(alice, eve))
  assert.not.equal(key(eve, bob), key(alice, bob))
  const other = { identity: alice.identity, key: eve.key }
  assert.not.equal(key(other, bob), key(alice, bob), 'it changes with T')
  const offsets = new Set<number>()
  for (let i = 0; i < 50; i++) {
    const offset = holeOffset(suite, key(alice, person(suite)))
    assert.ok(Number.isInteger(offset) && offset >= 0 && offset < OFFSET_MAX_MS)
    offsets.add(Math.floor(offset / (OFFSET_MAX_MS / 10)))
  }
  assert.ok(offsets.size >= 8, 'spread over the period')
})

test.run()
