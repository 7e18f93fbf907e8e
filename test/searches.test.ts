// Who searches whom, when, and at what price: what leaves a machine in the turns of a birthday search, on a clock that
// moves by hand and a network in memory. Turns and parts are tested in slots.test.ts; test/natlab has routers.

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { base58 } from '../lib/base/key.ts'
import { systemRandom } from '../lib/base/random.ts'
import { loadSuite } from '../lib/crypto/suite.ts'
import { Searches } from '../lib/delivery/searches.ts'
import type { Station } from '../lib/delivery/station.ts'
import { UdpPlaces } from '../lib/delivery/udpplaces.ts'
import type { Contact } from '../lib/disk/contact.ts'
import { PROBES_MAX, SOCKETS } from '../lib/net/birthday.ts'
import type { Datagrams } from '../lib/net/datagram.ts'
import { Guard } from '../lib/net/guard.ts'
import { NAT_CLASS, type NatClass } from '../lib/net/outside.ts'
import type { Ending, Endpoint } from '../lib/net/stream.ts'
import { UdpPort } from '../lib/net/udp.ts'
import { HELLO_SIZE } from '../lib/wire/hello.ts'
import { FakeClock, person, responderFor, settle, stamp } from './netkit.ts'
import { UdpNet } from './udpkit.ts'

const suite = await loadSuite(process.env)
const { UNKNOWN, INDEPENDENT, SYMMETRIC } = NAT_CLASS
const HERE: Endpoint = { ip: '11.22.33.10', port: 21_000 }
const THERE: Endpoint = { ip: '11.22.33.74', port: 21_000 }

interface Around {
  own?: NatClass
  peer?: NatClass
  /** Something waits for the contact. */
  waits?: boolean
  /** The last session with it; none without. */
  met?: { found?: boolean }
  config?: { birthday: boolean }
  at?: string
  /** No person has seen its addresses. */
  told?: boolean
  contacts?: number
}

interface Scene {
  clock: FakeClock
  searches: Searches
  key: string
  up: boolean
  /** Since the last time this was asked: openers of the many ports, hellos to ports of the contact, all of these ports. */
  sent: () => { openers: number; hellos: number; ports: Set<number> }
  open: () => number
  failures: unknown[]
}

async function scene({ own = UNKNOWN, peer = UNKNOWN, waits = false, met, config, at = THERE.ip, told = false, contacts = 1 }: Around = {}): Promise<Scene> {
  const clock = new FakeClock()
  const net = new UdpNet(clock)
  const alice = person(suite)
  const bobs = Array.from({ length: contacts }, () => person(suite))
  const all: Contact[] = bobs.map((bob) => ({
    name: 'bob', key: base58(bob.identity), identity: bob.identity, transport: bob.key.publicKey, seq: 1n, nat: peer, told,
    addresses: [{ host: at, port: THERE.port, tcp: true, udp: true }], sessionAddresses: [], blocked: false, revoked: false, tokenText: '',
  }) as unknown as Contact)
  const guard = new Guard<Ending>(clock, systemRandom)
  const failures: unknown[] = []
  const responder = responderFor(alice, bobs)
  const port = await UdpPort.open({
    suite, clock, random: systemRandom, guard, responder, port: HERE.port, open: net.host(HERE.ip).open, onLink: () => undefined,
  })
  const station = {
    home: {
      clock,
      random: systemRandom,
      at: (...parts: string[]) => parts.join('/'),
      files: {
        list: async () => (waits ? [`1700000000000000.${'ab'.repeat(32)}`] : []),
        read: async () => {
          if (met === undefined) throw new Error('none')
          return Buffer.from(JSON.stringify({ at: 1, instances: [], ...met }))
        },
      },
    },
    suite,
    ownKey: alice.key,
    config: { quietNet: false, birthday: true, ...config },
    keyring: { self: { identity: alice.identity }, all: () => all, byKey: (key: string) => all.find((each) => each.key === key) },
    responder: () => responder,
    whereabouts: { place: () => ({ nat: own, addresses: [] }), outside: { addresses: () => [] } },
    greeting: async (contact: Contact) => ({
      forget: () => undefined,
      greeting: {
        suite, random: systemRandom, self: { identity: alice.identity, transportKey: alice.key, seq: 1n, token: new Uint8Array(0) },
        peer: contact, seqHeld: 1n, stamp,
      },
    }),
    greeted: () => undefined,
  } as unknown as Station
  let [openers, open] = [0, 0]
  const door = async (): Promise<Datagrams> => {
    open++
    const send = (bytes: Uint8Array, to: Endpoint, hops?: number): boolean => {
      assert.equal([bytes.length, to.ip, to.port, hops], [32, at, THERE.port, 5], 'nothing that could arrive')
      return ++openers > 0
    }
    return { port: 1, addresses: [], send, close: async () => void open-- } as unknown as Datagrams
  }
  const places = new UdpPlaces(clock, port, () => false)
  const scene: Scene = {
    clock, failures, key: all[0]?.key ?? '', up: false, open: () => open,
    searches: new Searches({
      station, guard, port, holding: { places }, isUp: () => scene.up, adopt: () => undefined, door,
      notice: (error) => void failures.push(error), fail: (error) => void failures.push(error),
    }),
    sent: () => {
      const hellos = net.sent.splice(0).filter(({ bytes }) => bytes.length === HELLO_SIZE)
      assert.ok(hellos.every(({ from, to }) => from.ip === HERE.ip && from.port === HERE.port && to.ip === at))
      const now = { openers, hellos: hellos.length, ports: new Set(hellos.map(({ to }) => to.port)) }
      openers = 0
      return now
    },
  }
  scene.searches.start()
  await settle()
  return scene
}

/** Openers and hellos within so many minutes. */
async function within(all: Scene, minutes: number): Promise<[number, number]> {
  for (let i = 0; i < minutes * 60; i++) {
    await all.clock.advance(1000)
    await settle()
  }
  const { openers, hellos } = all.sent()
  assert.equal(all.failures, [])
  return [openers, hellos]
}

/** Of one turn: opened twice, 0 and 20 s after its beginning. */
const OPENED = 2 * SOCKETS

test('nothing is known, and the contact was never met: both halves of a search, then everything is closed again', async () => {
  const all = await scene()
  await within(all, 2)
  all.searches.pause(all.key)
  await within(all, 1)
  assert.is(all.open(), 0)
  all.searches.restart()
  assert.equal(await within(all, 5), [0, 0], 'somebody else sees to it')
})

test('a turn: at most 1750 distinct ports, not the one that is known, and 256 sockets twice', async () => {
  const all = await scene()
  let found: ReturnType<Scene['sent']> | undefined
  for (let i = 0; i < 130 && found === undefined; i++) {
    await all.clock.advance(1000)
    await settle()
    if (all.open() === 0) continue
    for (let j = 0; j < 38; j++) {
      await all.clock.advance(1000)
      await settle()
    }
    found = all.sent()
  }
  assert.is(found?.hellos, PROBES_MAX)
  assert.is(found?.ports.size, PROBES_MAX)
  assert.is(found?.ports.has(THERE.port), false)
  assert.is(found?.openers, OPENED)
})

test('each side does its part as far as the routers are known, and nothing where a search is of no use', async () => {
  const parts: [Around, [boolean, boolean]][] = [
    [{ own: SYMMETRIC, peer: SYMMETRIC, waits: true }, [false, false]],
    [{ own: INDEPENDENT, peer: INDEPENDENT, waits: true }, [false, false]],
    [{ own: SYMMETRIC, peer: INDEPENDENT }, [true, false]],
    [{ own: INDEPENDENT, peer: SYMMETRIC }, [false, true]],
    [{ own: SYMMETRIC, waits: true }, [true, false]],
    [{ own: INDEPENDENT, waits: true }, [false, true]],
    [{ own: INDEPENDENT, met: {} }, [false, false]],
    [{ own: INDEPENDENT, met: {}, waits: true }, [false, true]],
    [{ own: INDEPENDENT, met: { found: true } }, [false, true]],
    [{ met: {} }, [true, false]],
    [{ met: {}, waits: true }, [true, true]],
    [{ waits: true, config: { birthday: false } }, [false, false]],
    [{ waits: true, at: '192.168.7.7' }, [false, false]],
  ]
  for (const [around, what] of parts) {
    const [openers, hellos] = await within(await scene(around), 3)
    assert.equal([openers > 0, hellos > 0], what, JSON.stringify(around))
  }
})

test('nothing is sent to who is there, and for many for whom nothing waits ten searches in an hour are enough', async () => {
  const up = await scene()
  up.up = true
  assert.equal(await within(up, 5), [0, 0])
  const many = await scene({ contacts: 8 })
  const [, hellos] = await within(many, 59)
  assert.ok(hellos > 9 * PROBES_MAX * 0.9 && hellos <= 10 * PROBES_MAX, `${hellos}`)
})

test('a contact that has told where it is aims at most six searches in a day at that', async () => {
  const [, hellos] = await within(await scene({ waits: true, told: true }), 60)
  assert.is(hellos, 6 * PROBES_MAX)
})

test('what a contact told of its router counts less once something has waited for it for long', async () => {
  const all = await scene({ own: INDEPENDENT, peer: INDEPENDENT, waits: true })
  assert.equal(await within(all, 9), [0, 0])
  const [, hellos] = await within(all, 30)
  assert.ok(hellos >= PROBES_MAX, `${hellos}`)
})

test.run()
