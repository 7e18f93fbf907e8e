import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { concat, hex } from '../lib/base/bytes.ts'
import { Malformed } from '../lib/base/fail.ts'
import {
  decodePayload1,
  decodePayload2,
  encodePayload1,
  encodePayload2,
  HELLO_SIZE,
  type Payload1,
  PAYLOAD1_SIZE,
  type Payload2,
  PAYLOAD2_SIZE,
} from '../lib/wire/hello.ts'

// plain objects: uvu tells objects without a prototype apart
const record = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }) => fc.record<T>(model, { noNullPrototype: true })
const bytes = (min: number, max = min) => fc.uint8Array({ minLength: min, maxLength: max })
const u32 = fc.integer({ min: 0, max: 0xffff_ffff })
const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })
const token = fc.oneof(bytes(0), bytes(1, 512), bytes(512))
const ZERO16 = new Uint8Array(16)

const payload1: fc.Arbitrary<Payload1> = record({
    kind: fc.integer({ min: 0, max: 2 }),
    identity: bytes(32),
    ts: u64,
    seqOwn: u64,
    seqHeld: u64,
    features: u32,
    streamId: u32,
    inviteProof: bytes(16),
    token,
  })
  .map((payload) => (payload.kind === 2 ? payload : { ...payload, inviteProof: ZERO16 }))

const observed = fc.option(
  record({
    ip: fc.oneof(fc.ipV4(), fc.constantFrom('::1', '2001:db8::5', 'fd00::1:2')),
    port: fc.integer({ min: 0, max: 65_535 }),
  }),
  { nil: undefined },
)
const payload2: fc.Arbitrary<Payload2> = record({ seqOwn: u64, features: u32, streamId: u32, clock: u64, observed, token })

const ONE: Payload1 = {
  kind: 0,
  identity: new Uint8Array(32).fill(0x11),
  ts: 2n,
  seqOwn: 3n,
  seqHeld: 4n,
  features: 5,
  streamId: 6,
  inviteProof: ZERO16,
  token: Uint8Array.of(0xaa, 0xbb),
}
const TWO: Payload2 = {
  seqOwn: 3n,
  features: 5,
  streamId: 6,
  clock: 7n,
  observed: { ip: '192.0.2.1', port: 258 },
  token: Uint8Array.of(0xaa, 0xbb),
}

function refused(run: () => unknown, what = ''): void {
  assert.throws(run, (error: unknown) => error instanceof Malformed, what)
}

test('both payloads decode to what was encoded and fill the hello', () => {
  assert.is(32 + 48 + PAYLOAD1_SIZE + 16, HELLO_SIZE)
  assert.is(32 + PAYLOAD2_SIZE + 16, HELLO_SIZE)
  assert.is(HELLO_SIZE, 768)
  fc.assert(
    fc.property(payload1, (payload) => {
      assert.is(encodePayload1(payload).length, 672)
      assert.equal(decodePayload1(encodePayload1(payload)), payload)
    }),
  )
  fc.assert(
    fc.property(payload2, (payload) => {
      assert.is(encodePayload2(payload).length, 720)
      assert.equal(decodePayload2(encodePayload2(payload)), payload)
    }),
  )
})

test('whatever is accepted encodes to the same bytes, and nothing else is thrown than Malformed', () => {
  const edits = fc.array(fc.tuple(fc.nat({ max: 719 }), fc.integer({ min: 0, max: 255 })), { maxLength: 2 })
  const mutate = (original: Uint8Array, changes: [number, number][]): Uint8Array => {
    const copy = original.slice()
    for (const [at, value] of changes) copy[at % copy.length] = value
    return copy
  }
  let accepted = 0
  const stable = <T>(plain: Uint8Array, decode: (b: Uint8Array) => T, encode: (t: T) => Uint8Array): void => {
    let payload: T
    try {
      payload = decode(plain)
    } catch (error) {
      if (error instanceof Malformed) return
      throw error
    }
    accepted++
    assert.is(hex(encode(payload)), hex(plain))
  }
  fc.assert(
    fc.property(payload1, payload2, edits, (one, two, changes) => {
      stable(mutate(encodePayload1(one), changes), decodePayload1, encodePayload1)
      stable(mutate(encodePayload2(two), changes), decodePayload2, encodePayload2)
    }),
    { numRuns: 1000 },
  )
  fc.assert(
    fc.property(bytes(672), bytes(720), (one, two) => {
      stable(one, decodePayload1, encodePayload1)
      stable(two, decodePayload2, encodePayload2)
    }),
  )
  assert.ok(accepted > 300)
})

test('layouts to the byte', () => {
  assert.is(
    hex(encodePayload1(ONE).subarray(0, 86)),
    `00${'11'.repeat(32)}${'0000000000000002'}${'0000000000000003'}${'0000000000000004'}${'00000005'}${'00000006'}` +
      `${'00'.repeat(16)}0002aabb00`,
  )
  assert.is(
    hex(encodePayload2(TWO).subarray(0, 48)),
    `${'0000000000000003'}${'00000005'}${'00000006'}${'0000000000000007'}04c0000201${'00'.repeat(12)}0102${'0002aabb'}00`,
  )
})

test('every other length is refused', () => {
  const [one, two] = [encodePayload1(ONE), encodePayload2(TWO)]
  for (let length = 0; length < one.length; length++) refused(() => decodePayload1(one.subarray(0, length)))
  for (let length = 0; length < two.length; length++) refused(() => decodePayload2(two.subarray(0, length)))
  refused(() => decodePayload1(concat(one, Uint8Array.of(0))))
  refused(() => decodePayload2(concat(two, Uint8Array.of(0))))
})

test('padding that is not zero is refused at every byte of it', () => {
  const cases: [Uint8Array, number, (b: Uint8Array) => unknown][] = [
    [encodePayload1(ONE), 85, decodePayload1],
    [encodePayload2(TWO), 47, decodePayload2],
  ]
  for (const [plain, from, decode] of cases) {
    for (let at = from; at < plain.length; at++) {
      const copy = plain.slice()
      copy[at] = 0x80
      refused(() => decode(copy), `byte ${at}`)
    }
  }
})

test('unknown kinds, proofs without invite, odd families and long tokens are refused', () => {
  const one = (at: number, value: number): Uint8Array => {
    const plain = encodePayload1(ONE)
    plain[at] = value
    return plain
  }
  const two = (at: number, value: number, payload = TWO): Uint8Array => {
    const plain = encodePayload2(payload)
    plain[at] = value
    return plain
  }
  for (let kind = 3; kind < 256; kind++) refused(() => decodePayload1(one(0, kind)))
  for (let at = 65; at < 81; at++) refused(() => decodePayload1(one(at, 1)))
  refused(() => decodePayload1(one(81, 0x02))) // token of 514 bytes
  for (const family of [1, 2, 3, 5, 7, 255]) refused(() => decodePayload2(two(24, family)))
  refused(() => decodePayload2(two(24, 0)), 'an address of no family')
  refused(() => decodePayload2(two(29, 1)), 'an IPv4 address of 5 bytes')
  refused(() => decodePayload2(two(42, 1, { ...TWO, observed: undefined })), 'a port of no address')
  const mapped = encodePayload2({ ...TWO, observed: { ip: '2001:db8::1', port: 1 } })
  mapped.set([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff], 25)
  refused(() => decodePayload2(mapped), 'an IPv4 address written as IPv6')
})

test('fields of the wrong size are a bug of the caller', () => {
  const bug = (error: unknown): boolean => error instanceof RangeError
  assert.throws(() => encodePayload1({ ...ONE, identity: new Uint8Array(31) }), bug)
  assert.throws(() => encodePayload1({ ...ONE, inviteProof: new Uint8Array(15) }), bug)
  assert.throws(() => encodePayload1({ ...ONE, token: new Uint8Array(513) }), bug)
  assert.throws(() => encodePayload2({ ...TWO, token: new Uint8Array(513) }), bug)
})

test.run()
