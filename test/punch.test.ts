// p2p-punch between the built commands of two people over loopback, who know each other by UDP alone unless said: through
// a listener, without one, against nobody. What routers do to it is in test/natlab/punch.test.ts.

import { writeFileSync } from 'node:fs'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { updateContact } from '../lib/disk/contacts.ts'
import type { Address } from '../lib/wire/address.ts'
import type { Ran } from './command.ts'
import { type Peer, Stage, until } from './peer.ts'
import { type Rec, records } from './records.ts'

/** From now on `who` knows `other` by these addresses. */
async function point(who: Peer, other: Peer, change: (address: Address) => Address): Promise<void> {
  await updateContact(who.home, other.key, (contact) => ({ ...contact, addresses: contact.addresses.map(change) }))
}

const overUdp = (address: Address): Address => ({ ...address, tcp: false })

/** Alice and Bob, who know each other by UDP alone. */
async function withPair(work: (alice: Peer, bob: Peer) => Promise<void>): Promise<void> {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    await point(alice, bob, overUdp)
    await point(bob, alice, overUdp)
    await work(alice, bob)
  })
}

const of = (found: Rec[], type: string): Rec[] => found.filter((record) => record['type'] === type)

test('through to a listener: proven, both queues moved, exit 0', () =>
  withPair(async (alice, bob) => {
    const [there, back] = [await alice.queue('bob', ['-m', 'there']), await bob.queue('alice', ['-m', 'back'])]
    const listener = await bob.listen()
    const found = await alice.good('p2p-punch', ['bob'])
    const [punch] = of(found, 'punch')
    assert.equal([punch?.['open'], punch?.['over'], punch?.['name']], [true, 'udp', 'bob'])
    assert.is(punch?.['address'], `127.0.0.1:${bob.home.port}`)
    assert.ok(Number(punch?.['rtt']) >= 0, 'a round to the contact and back')
    assert.equal(of(found, 'delivered').map(({ id }) => id), [there])
    assert.equal([await alice.ids(), await bob.ids()], [[back], [there]])
    assert.equal(await alice.waiting(), [])
    await until('the queue of bob', async () => (await bob.waiting()).length === 0) // his listener hears last that it arrived
    await listener.stop()
  }))

test('without a listener on either side: both call at once, both get through, everything moves', () =>
  withPair(async (alice, bob) => {
    const [there, back] = [await alice.queue('bob', ['-m', 'there']), await bob.queue('alice', ['-m', 'back'])]
    const both = [alice.start('p2p-punch', ['bob', '--json']), bob.start('p2p-punch', ['alice', '--json'])]
    for (const each of both) assert.is((await each.ended).code, 0, each.out + each.err)
    for (const each of both) {
      assert.equal(each.of('punch').map(({ open }) => open), [true])
      assert.is(each.of('delivered').length, 1, each.out)
    }
    assert.equal([await alice.ids(), await bob.ids()], [[back], [there]])
    assert.equal([await alice.waiting(), await bob.waiting()], [[], []])
  }))

test('through the own listener, which keeps the port, and over the session that it has', () =>
  withPair(async (alice, bob) => {
    const own = await alice.listen()
    const far = await bob.listen()
    const [first] = of(await alice.good('p2p-punch', ['bob']), 'punch')
    assert.is(first?.['open'], true)
    const [again] = of(await alice.good('p2p-punch', ['bob']), 'punch')
    assert.equal([again?.['open'], again?.['tried']], [true, undefined], 'nothing had to be tried')
    assert.ok(Number(again?.['rtt']) >= 0)
    assert.equal(own.of('peer').map(({ state, over }) => `${String(state)} ${String(over)}`), ['up udp'], 'one session, and it is the listener’s')
    await Promise.all([own.stop(), far.stop()])
  }))

test('nobody there: 69 with the cause, what was tried and seen, and the message waits', () =>
  withPair(async (alice, bob) => {
    const id = await alice.queue('bob', ['-m', 'still here'])
    const ran = await alice.run('p2p-punch', ['bob', '--timeout', '18s', '--json']) // no hello may go for up to 16
    assert.is(ran.code, 69, ran.err)
    assert.match(ran.err, /^p2p-punch: no way to bob: nothing came from bob: [^\n]*\np2p-punch: hint: p2p-punch bob --explain\n$/)
    const [punch] = of(records(ran.out), 'punch')
    assert.equal([punch?.['open'], punch?.['reason']], [false, 'silent'])
    assert.equal(punch?.['nat'], { own: 'unknown', peer: 'unknown' })
    const [way] = (punch?.['tried'] ?? []) as Rec[]
    assert.equal([way?.['address'], way?.['over'], way?.['seen']], [`127.0.0.1:${bob.home.port}`, 'udp', 0])
    assert.ok(Number(way?.['openers']) >= 2 && Number(way?.['hellos']) >= 1, JSON.stringify(way))
    assert.equal(await alice.waiting(), [id])
    assert.equal(of(records(ran.out), 'deferred').length, 0, 'the message is as it was')
  }))

test('--explain says it in lines: the verdict, each place, both routers, what would help', () =>
  withPair(async (alice) => {
    const ran = await alice.run('p2p-punch', ['bob', '--timeout', '4s', '--explain', '--text'])
    assert.is(ran.code, 69, ran.err)
    const lines = ran.out.split('\n')
    assert.match(lines[0] ?? '', /^bob {2}no way {2}nothing came from bob/)
    assert.is(lines[1], 'tried:')
    assert.match(lines[2] ?? '', /^ {2}127\.0\.0\.1:\d+ {2}UDP: \d+ openers and \d hellos? sent, 0 seen$/)
    assert.equal(lines.slice(3, 6), ['your router: not known', 'the router of bob: not known', 'what would help:'])
    assert.match(ran.out, new RegExp(`^ {2}forward TCP\\+UDP ${alice.home.port} to `, 'm'))
    assert.not.match(ran.err, /hint/)
  }))

test('somebody is there who does not know us: it is told apart from nobody', () =>
  Stage.with(async (stage) => {
    const [alice, bob] = [await stage.peer('alice'), await stage.peer('bob')]
    await alice.learn(bob)
    const listener = await bob.listen()
    const ran = await alice.run('p2p-punch', ['bob', '--timeout', '4s', '--json'])
    assert.is(ran.code, 69, ran.err)
    const tried = (of(records(ran.out), 'punch')[0]?.['tried'] ?? []) as Rec[]
    assert.equal(tried.map(({ over }) => over), ['udp'], 'TCP is still being discarded when time is over')
    assert.equal(tried.map(({ seen }) => seen), [0], 'silence towards strangers')
    assert.equal(await bob.ids(), [])
    await listener.stop()
  }))

test('without UDP it goes over TCP and says so; with nobody there the cause is named', () =>
  withPair(async (alice, bob) => {
    writeFileSync(alice.at('config.toml'), 'udp = false\n')
    await point(alice, bob, (address) => ({ ...address, tcp: true }))
    const gone = await alice.run('p2p-punch', ['bob', '--json'])
    assert.is(gone.code, 69)
    assert.equal(of(records(gone.out), 'punch').map(({ reason }) => reason), ['refused'])
    const listener = await bob.listen()
    const [punch] = of(await alice.good('p2p-punch', ['bob']), 'punch')
    assert.equal([punch?.['open'], punch?.['over']], [true, 'tcp'])
    await listener.stop()
    await point(alice, bob, overUdp)
    const none = await alice.run('p2p-punch', ['bob', '--json'])
    assert.is(none.code, 69)
    assert.match(none.err, /UDP cannot be used here, and bob has no address for TCP: udp is off in config\.toml/)
  }))

test('--keep holds the way until ended, and tells when it is lost and there again', () =>
  withPair(async (alice, bob) => {
    const listener = await bob.listen()
    const kept = alice.start('p2p-punch', ['bob', '--keep', '--json'])
    await kept.until('punch')
    const id = await bob.send('alice', ['-m', 'while it is kept'])
    await listener.stop()
    await kept.until('peer', ({ state }) => state === 'down')
    const again = await bob.listen()
    const back = await kept.until('peer', ({ state }) => state === 'up')
    assert.is(back['over'], 'udp')
    assert.equal(await alice.ids(), [id])
    const { code, signal } = await kept.stop()
    assert.equal([code, signal, kept.err], [null, 'SIGTERM', ''])
    await again.stop()
  }))

test('--status: what contacts saw and when one called, without a listener and with it; never asked for a NAME', () =>
  withPair(async (alice, bob) => {
    const forward = `forward TCP+UDP ${alice.home.port} to this machine`
    const before = await alice.good('p2p-punch', ['--status'])
    const addresses = [`127.0.0.1:${alice.home.port}`]
    assert.equal(before, [{ v: 1, type: 'network', port: alice.home.port, listener: false, nat: 'unknown', addresses, forward }])
    await point(bob, alice, (address) => ({ ...address, port: 9 })) // who is called is not told where it is seen
    const far = await bob.listen()
    await alice.good('p2p-punch', ['bob'])
    await far.stop()
    const [after] = await alice.good('p2p-punch', ['--status'])
    const seen = (after?.['seen'] ?? []) as Rec[]
    assert.equal(seen.map(({ by, address }) => [by, address]), [['bob', `127.0.0.1:${alice.home.port}`]])
    assert.is(after?.['forward'], forward, 'bob is on this machine, not outside')
    writeFileSync(alice.at('hello', `${bob.key}.met`), JSON.stringify({ at: 1, instances: [], outside: { at: 1_800_000_000_000, address: '192.0.2.9:4', over: 'udp' } }))
    const own = await alice.listen()
    const [live] = await alice.good('p2p-punch', ['--status'])
    assert.equal([live?.['listener'], live?.['udp'], live?.['forward']], [true, true, undefined])
    assert.equal(live?.['reached'], { at: '2027-01-15T08:00:00.000Z', address: '192.0.2.9:4', over: 'udp', by: 'bob' })
    const text = await alice.run('p2p-punch', ['--status', '--text'])
    assert.match(text.out, /^port {7}\d+, held by the listener, TCP and UDP\naddresses {2}\S+\nrouter {5}not known\nmapping {4}/)
    assert.match(text.out, /^reached {4}from outside by bob, UDP from 192\.0\.2\.9:4, \d+ \w+ ago$/m)
    await own.stop()
    const surplus = await alice.run('p2p-punch', ['bob', '--status'])
    assert.is(surplus.code, 64, surplus.err)
  }))

test('a slot that comes too late is refused at once, and nothing is sent; a search is made though nothing is known', () =>
  withPair(async (alice) => {
    const soon = (): Promise<Ran> => alice.run('p2p-punch', ['bob', '--slot', '--timeout', '1s', '--json'])
    let late = await soon()
    if (!late.out.includes('no-slot')) late = await soon() // one second of 600 is in time
    const [first] = of(records(late.out), 'punch')
    assert.equal([late.code, first?.['reason'], first?.['tried']], [69, 'no-slot', undefined], late.err)
    assert.match(late.err, /the next meeting with bob begins at \d{4}-\d\d-\d\d \d\d:\d\d, later than the time that was given/)
    const search = await alice.run('p2p-punch', ['bob', '--birthday', '--timeout', '5s', '--json'])
    const [second] = of(records(search.out), 'punch')
    // On one machine the ports that are tried are its own.
    assert.is(search.code, 69, search.err)
    assert.match(String(second?.['reason']), /^(silent|unanswered)$/)
    assert.ok(Number(second?.['probes']) > 20, search.out)
  }))

test('a listener that begins gets the home from a command that listens, which goes on through it', () =>
  withPair(async (alice, bob) => {
    const far = await bob.listen()
    const kept = alice.start('p2p-punch', ['bob', '--keep', '--json'])
    await kept.until('punch')
    const pipe = bob.start('p2p-pipe', ['alice', '--timeout', '60s'], { stdin: 'pipe' }) // through bob's own listener: nothing to give way
    const own = await alice.listen()
    await until('asked again', () => kept.of('punch').length === 2)
    assert.is(kept.over, false, 'it still holds the way')
    const id = await bob.send('alice', ['-m', 'to the listener'])
    await own.until('message', (record) => record['id'] === id)
    pipe.child.kill('SIGKILL')
    assert.equal([(await kept.stop()).signal, kept.err], ['SIGTERM', ''])
    await Promise.all([own.stop(), far.stop()])
  }))

test('--stun asks the server that was named, and what it says shows in the verdict', () =>
  withPair(async (alice, bob) => {
    const far = await bob.listen(['--stun=any'])
    const [punch] = of(await alice.good('p2p-punch', ['bob', '--stun', `127.0.0.1:${bob.home.port}`]), 'punch')
    assert.equal([punch?.['open'], punch?.['nat']], [true, { own: 'independent', peer: 'unknown' }], 'seen at an own address: no router')
    await far.stop()
    const mute = await alice.run('p2p-punch', ['bob', '--stun', `127.0.0.1:${bob.home.port}`, '--timeout', '8s', '--json'])
    assert.is(mute.code, 69)
    assert.match(mute.err, /^p2p-punch: no answer from 127\.0\.0\.1:\d+\n/)
    assert.is((await alice.run('p2p-punch', ['bob', '--stun', '[::1'])).code, 64)
  }))

test('a contact that is none, one that is blocked, a time that is none', () =>
  withPair(async (alice) => {
    assert.is((await alice.run('p2p-punch', ['bbo'])).code, 67)
    for (const bad of ['5x', '', '-1s']) assert.is((await alice.run('p2p-punch', ['bob', '--timeout', bad])).code, 64)
    await alice.good('p2p-id', ['block', 'bob'])
    const ran = await alice.run('p2p-punch', ['bob'])
    assert.is(ran.code, 77)
    assert.match(ran.err, /^p2p-punch: bob is blocked\n/)
  }))

test.run()
