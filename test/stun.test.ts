// STUN: the messages of RFC 5769, strictness, who is answered and how much, and what is believed. That servers and
// clients of others understand it is for test/natlab/stun.test.ts.

import { createSocket, type Socket } from 'node:dgram'

import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { fromHex, hex } from '../lib/base/bytes.ts'
import { systemClock } from '../lib/base/clock.ts'
import { Malformed } from '../lib/base/fail.ts'
import { systemRandom } from '../lib/base/random.ts'
import { ANSWERS_PER_SOURCE, discover, Stun } from '../lib/net/stun.ts'
import { encodeStunRequest, encodeStunResponse, looksLikeStun, parseStun, type StunRequest } from '../lib/wire/stun.ts'
import { readVectors } from './vectors.ts'
import { VirtualClock } from './virtualclock.ts'

const ID = fromHex('b7e7a701bc34d686fa87dfae')

test('the messages of RFC 5769', () => {
  const text = readVectors('stun/rfc5769.json')
  if (text === undefined) return
  const { vectors } = JSON.parse(text) as { vectors: { name: string; hex: string }[] }
  const of = (name: string): Uint8Array => fromHex(vectors.find((each) => each.name === name)?.hex.toLowerCase() ?? '')
  assert.equal(parseStun(of('SAMPLE_IPV4_RESPONSE')), { type: 'response', id: ID, seen: { ip: '192.0.2.1', port: 32853 } })
  const six = { ip: '2001:db8:1234:5678:11:2233:4455:6677', port: 32853 }
  assert.equal(parseStun(of('SAMPLE_IPV6_RESPONSE')), { type: 'response', id: ID, seen: six })
  // PRIORITY is for ICE, and must be understood.
  assert.equal(parseStun(of('SAMPLE_REQUEST')), { type: 'request', id: ID, unknown: [0x0024], fingerprint: true })
  assert.equal((parseStun(of('SAMPLE_REQUEST_LONG_TERM_AUTH')) as StunRequest).unknown, [])
  const broken = of('SAMPLE_IPV4_RESPONSE')
  broken[30] = (broken[30] ?? 0) ^ 1
  assert.throws(() => parseStun(broken), /wrong fingerprint/)
})

test('what is written is read as it was meant', () => {
  assert.is(hex(encodeStunRequest(ID)), `000100002112a442${hex(ID)}`)
  assert.equal((parseStun(encodeStunRequest(ID, { ip: true, port: false })) as StunRequest).unknown, [3])
  const request = (fingerprint: boolean): StunRequest => ({ type: 'request', id: ID, unknown: [], fingerprint })
  for (const seen of [{ ip: '192.0.2.1', port: 32853 }, { ip: '2001:db8::7', port: 1 }]) {
    for (const fingerprint of [false, true]) {
      const bytes = encodeStunResponse(request(fingerprint), seen)
      assert.equal(parseStun(bytes), { type: 'response', id: ID, seen })
      assert.is(bytes.length, 20 + (seen.ip.includes(':') ? 24 : 12) + (fingerprint ? 8 : 0))
    }
  }
  const sealed = encodeStunResponse(request(true), { ip: '192.0.2.1', port: 32853 })
  for (let at = 20; at < sealed.length; at++) {
    const bent = sealed.slice()
    bent[at] = (bent[at] ?? 0) ^ 0x40
    if (at < 32) assert.throws(() => parseStun(bent), /wrong fingerprint|truncated/, `byte ${at}`)
  }
  const refused = encodeStunResponse({ ...request(true), unknown: [3] }, { ip: '192.0.2.1', port: 1 })
  assert.equal(parseStun(refused), { type: 'response', id: ID })
  assert.ok(hex(refused).includes('0009000400000414000a00020003'), 'error 420 and the attribute')
})

test('whatever comes is a message or Malformed', () => {
  const shape = fc.tuple(fc.constantFrom(0x0001, 0x0101, 0x0111, 0x0011), fc.array(fc.tuple(fc.constantFrom(1, 3, 0x20, 0x8028, 0x802c, 9, 0x24), fc.uint8Array({ maxLength: 24 })), { maxLength: 6 }), fc.nat(3))
  const bytes = shape.map(([type, attributes, cut]) => {
    const inside = attributes.flatMap(([attribute, value]) => [attribute >> 8, attribute & 255, 0, value.length, ...value, ...new Array<number>(-value.length & 3).fill(0)])
    return Uint8Array.from([type >> 8, type & 255, inside.length >> 8, inside.length & 255, 0x21, 0x12, 0xa4, 0x42, ...ID, ...inside.slice(0, inside.length - cut)])
  })
  let read = 0
  fc.assert(
    fc.property(fc.oneof(bytes, fc.uint8Array({ maxLength: 100 })), (each) => {
      try {
        parseStun(each)
        read++
      } catch (error) {
        if (!(error instanceof Malformed)) throw error
      }
    }),
    { numRuns: 5000 },
  )
  assert.ok(read > 100, `${read} were messages`)
  assert.not.ok(looksLikeStun(new Uint8Array(768)))
})

test('only who may ask is answered, as often as the budget says, and never to elsewhere', () => {
  const clock = new VirtualClock()
  const sent: { bytes: Uint8Array; to: string }[] = []
  const send = (bytes: Uint8Array, { ip, port }: { ip: string; port: number }): boolean => {
    sent.push({ bytes, to: `${ip} ${port}` })
    return true
  }
  const stun = new Stun({ clock, random: systemRandom, send, answers: (ip) => ip !== '192.0.2.66' })
  assert.ok(stun.take(encodeStunRequest(ID), { ip: '192.0.2.66', port: 7 }), 'it is dealt with')
  assert.equal(sent, [])
  for (let i = 0; i < 100; i++) stun.take(encodeStunRequest(ID), { ip: '192.0.2.1', port: 7 })
  assert.is(sent.length, ANSWERS_PER_SOURCE.burst)
  assert.ok(sent.every(({ to }) => to === '192.0.2.1 7'))
  assert.equal(parseStun(sent[0]?.bytes ?? ID), { type: 'response', id: ID, seen: { ip: '192.0.2.1', port: 7 } })
  stun.take(encodeStunRequest(ID), { ip: '192.0.2.2', port: 7 })
  assert.is(sent.length, ANSWERS_PER_SOURCE.burst + 1)
  // Neither an answer to nothing nor garbage is answered.
  const before = sent.length
  assert.ok(stun.take(encodeStunResponse({ type: 'request', id: ID, unknown: [], fingerprint: false }, { ip: '192.0.2.9', port: 9 }), { ip: '192.0.2.3', port: 7 }))
  assert.not.ok(stun.take(new Uint8Array(32), { ip: '192.0.2.3', port: 7 }))
  assert.is(sent.length, before)
})

async function bound(address: string, port = 0): Promise<Socket> {
  const socket = createSocket('udp4')
  await new Promise<void>((resolve) => socket.bind(port, address, resolve))
  return socket
}

test('an answer counts from where it was expected, and with the right number alone', async () => {
  const [own, server, thief] = [await bound('127.0.0.1'), await bound('127.0.0.1'), await bound('127.0.0.1')]
  const stun = new Stun({
    clock: systemClock,
    random: systemRandom,
    send: (bytes, { ip, port }) => (own.send(bytes, port, ip), true),
    answers: () => false,
  })
  own.on('message', (bytes, { address: ip, port }) => stun.take(new Uint8Array(bytes), { ip, port }))
  const good = { ip: '192.0.2.1', port: 1 }
  const bad = { ip: '192.0.2.66', port: 66 }
  server.on('message', (bytes, from) => {
    const request = parseStun(new Uint8Array(bytes)) as StunRequest
    const answer = (socket: Socket, id: Uint8Array, seen: typeof good): void => socket.send(encodeStunResponse({ ...request, id, unknown: [] }, seen), from.port, from.address)
    answer(thief, request.id, bad)
    answer(server, ID, bad)
    setTimeout(() => answer(server, request.id, good), 100)
  })
  const found = await discover(stun, { ip: '127.0.0.1', port: server.address().port }, new AbortController().signal)
  assert.equal(found, { seen: [good] })
  for (const socket of [own, server, thief]) socket.close()
})

test.run()
