// Targets: what strangers and contacts send as bytes. Seeds are valid values made by fast-check and the encoders; what is
// taken must encode to the same bytes again.

import fc from 'fast-check'

import { concat, hex, Reader, utf8 } from '../../lib/base/bytes.ts'
import { systemRandom } from '../../lib/base/random.ts'
import { nodeSuite } from '../../lib/crypto/suite-node.ts'
import { type Address, decodeAddresses, encodeAddresses } from '../../lib/wire/address.ts'
import { BundleWriter, openBundle, openChunks, Pieces } from '../../lib/wire/bundle.ts'
import { type Frame, decodeFrame, encodeFrame } from '../../lib/wire/frame.ts'
import {
  decodePayload1,
  decodePayload2,
  encodePayload1,
  encodePayload2,
  PAYLOAD1_SIZE,
  PAYLOAD2_SIZE,
} from '../../lib/wire/hello.ts'
import { inviteExtension, inviteOf } from '../../lib/wire/invite.ts'
import { successorExtension, successorOf } from '../../lib/wire/successor.ts'
import {
  encodeToken,
  EXT_INVITE,
  EXT_NAT,
  formatToken,
  parseToken,
  parseTokenBytes,
  type Token,
  verifyToken,
} from '../../lib/wire/token.ts'
import { holds, same, taken, takenLater, type Target } from './target.ts'

const bytes = (size: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ minLength: size, maxLength: size })
const upTo = (size: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ maxLength: size })
const u8 = fc.integer({ min: 0, max: 255 })
const u32 = fc.integer({ min: 0, max: 2 ** 32 - 1 })
const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })
const size = fc.maxSafeNat()
const id = bytes(32).map(hex)
const pipeId = bytes(16).map(hex)
const address: fc.Arbitrary<Address> = fc.record({
  host: fc.oneof(fc.ipV4(), fc.constantFrom('2001:db8::1', 'fe80::', '::1', 'example.org', 'x')),
  port: fc.integer({ min: 1, max: 65_535 }),
  tcp: fc.constant(true),
  udp: fc.boolean(),
})
const addresses = fc.array(address, { maxLength: 8 })

export function sample<T>(arbitrary: fc.Arbitrary<T>, seed: number, numRuns = 40): T[] {
  return fc.sample(arbitrary, { seed, numRuns })
}

const frames: fc.Arbitrary<Frame> = fc.oneof(
  fc.record({ type: fc.constant('settings' as const), features: u32, flags: u32, maxMessage: size, instance: bytes(8) }),
  fc.record({ type: fc.constant('offer' as const), items: fc.array(fc.record({ id, size }), { maxLength: 64 }) }),
  fc.record({ type: fc.constant('want' as const), items: fc.array(fc.record({ id, offset: size }), { maxLength: 255 }) }),
  fc.record({ type: fc.constantFrom('have' as const, 'ack' as const), ids: fc.array(id, { maxLength: 255 }) }),
  fc.record({ type: fc.constant('data' as const), id, offset: size, bytes: fc.uint8Array({ minLength: 1, maxLength: 600 }) }),
  fc.record({ type: fc.constant('refuse' as const), id, code: u8, retry: u32 }),
  fc.record({ type: fc.constant('cancel' as const), id }),
  fc.record({ type: fc.constant('addrs' as const), nat: u8, addresses }),
  fc.record({ type: fc.constant('token' as const), token: fc.uint8Array({ minLength: 1, maxLength: 512 }) }),
  fc.record({ type: fc.constantFrom('ping' as const, 'pong' as const), bytes: bytes(8) }),
  fc.record({ type: fc.constant('bye' as const), code: u8 }),
  fc.record({ type: fc.constant('pad' as const), size: fc.integer({ min: 1, max: 16 }).map((n) => n * 256) }),
  fc.record({ type: fc.constant('open' as const), id: pipeId, received: size }),
  fc.record({ type: fc.constant('stream' as const), id: pipeId, offset: size, bytes: fc.uint8Array({ minLength: 1, maxLength: 600 }) }),
  fc.record({ type: fc.constant('eof' as const), id: pipeId, total: size }),
  fc.record({ type: fc.constant('credit' as const), id: pipeId, received: size, window: u32 }),
  fc.record({ type: fc.constant('reset' as const), id: pipeId, code: u8 }),
)

const extensions = fc.tuple(
  fc.option(bytes(20).map((value) => ({ type: EXT_INVITE, value }))),
  fc.option(bytes(1).map((value) => ({ type: EXT_NAT, value }))),
  fc.option(fc.record({ old: bytes(32), seq: u64, signature: bytes(64) }).map(successorExtension)),
  fc.option(upTo(30).map((value) => ({ type: 0x44, value }))),
)

/** Well-formed tokens whose signatures are anything. */
export async function tokens(seed: number, count = 40): Promise<Token[]> {
  const arbitrary = fc.record({
    identity: bytes(32),
    transport: bytes(32),
    seq: fc.bigInt({ min: 0n, max: 2n ** 63n }),
    notAfter: u32,
    name: fc.constantFrom('', 'alice', 'Zoë', '名前', 'a'.repeat(64)),
    addresses: fc.array(address, { maxLength: 3 }),
    ext: extensions.map((list) => list.filter((each) => each !== null)),
    revocation: fc.constant(false),
    signature: bytes(64),
  })
  const made = sample(arbitrary, seed, count).map(({ signature, ...fields }) => takenLater(() => encodeToken(fields, async () => signature)))
  return (await Promise.all(made)).flatMap((one) => (one === undefined ? [] : [one.value]))
}

const token: Target = {
  name: 'token',
  max: 600,
  words: ['alice', 'e\u0301', '\u202e', '\0', ' ', 'x.example', Uint8Array.of(1, 20), Uint8Array.of(2, 1), Uint8Array.of(3, 104), Uint8Array.of(0x0a, 3, 1)],
  code: /\/lib\/(?:wire\/(?:token|address|ip|successor|invite)|base\/(?:bytes|key))\.ts$/,
  seeds: async (seed) => (await tokens(seed)).map((each) => each.bytes),
  async run(input) {
    const parsed = taken(() => parseTokenBytes(input))
    if (parsed === undefined) return false
    const { value } = parsed
    same(value.bytes, input, 'the payload kept')
    const again = await encodeToken(value, async () => input.subarray(input.length - 64))
    same(again.bytes, input, 'the encoding of what was decoded')
    const invite = inviteOf(value)
    if (invite !== undefined) same(inviteExtension(invite), value.ext.find(({ type }) => type === EXT_INVITE), 'the invite')
    const older = successorOf(value)
    if (older !== undefined) same(successorExtension(older).value, value.ext.find(({ type }) => type === 3)?.value, 'the successor')
    // what costs a millisecond each is looked at now and then
    if ((input[input.length - 1] ?? 0) < 4) same(parseToken(formatToken(value)).bytes, input, 'the text')
    if ((input[input.length - 1] ?? 0) === 0) holds((await takenLater(() => verifyToken(value))) === undefined, 'a forgery is believed')
    return true
  },
}

/** Of exactly this size, as it leaves the cipher. */
function exactly(input: Uint8Array, length: number): Uint8Array {
  const out = new Uint8Array(length)
  out.set(input.subarray(0, length))
  return out
}

const hello: Target = {
  name: 'hello',
  max: 800,
  words: [Uint8Array.of(4), Uint8Array.of(6), Uint8Array.of(2, 0), new Uint8Array(12), Uint8Array.of(0, 0, 0xff, 0xff)],
  code: /\/lib\/(?:wire\/(?:hello|ip)|base\/bytes)\.ts$/,
  seeds: (seed) => [
    ...sample(
      fc.record({
        kind: fc.constantFrom(0, 1, 2), identity: bytes(32), ts: u64, seqOwn: u64, seqHeld: u64, features: u32,
        streamId: u32, inviteProof: bytes(16), token: upTo(512),
      }),
      seed,
    ).map((each) => encodePayload1({ ...each, inviteProof: each.kind === 2 ? each.inviteProof : new Uint8Array(16) })),
    ...sample(
      fc.record({
        seqOwn: u64, features: u32, streamId: u32, clock: u64, token: upTo(512),
        observed: fc.option(fc.record({ ip: fc.ipV4(), port: u8 }), { nil: undefined }),
      }),
      seed,
    ).map(encodePayload2),
  ],
  run(input) {
    if (input.length !== PAYLOAD1_SIZE) same(taken(() => decodePayload1(input)), undefined, 'a payload of another length')
    const [one, two] = [exactly(input, PAYLOAD1_SIZE), exactly(input, PAYLOAD2_SIZE)]
    const first = taken(() => decodePayload1(one))
    const second = taken(() => decodePayload2(two))
    if (first !== undefined) same(encodePayload1(first.value), one, 'the first payload')
    if (second !== undefined) same(encodePayload2(second.value), two, 'the second payload')
    return first !== undefined || second !== undefined
  },
}

const frame: Target = {
  name: 'frame',
  max: 66_000,
  words: [...Array.from({ length: 0x25 }, (_, type) => Uint8Array.of(type)), Uint8Array.of(0x80), new Uint8Array(256), new Uint8Array(32)],
  code: /\/lib\/(?:wire\/(?:frame|address|ip)|base\/bytes)\.ts$/,
  seeds: (seed) => sample(frames, seed, 200).map((each) => encodeFrame(each)),
  run(input) {
    // as it comes, and padded as a sender would
    const padded = exactly(input, Math.ceil(input.length / 256) * 256)
    const results = [input, padded].map((plaintext) => {
      const decoded = taken(() => decodeFrame(plaintext))
      if (decoded?.value === undefined) return false
      same(encodeFrame(decoded.value), plaintext, `the encoding of ${decoded.value.type}`)
      return true
    })
    return results.includes(true)
  },
}

const addrs: Target = {
  name: 'addrs',
  max: 700,
  words: [Uint8Array.of(4, 1), Uint8Array.of(6, 2), Uint8Array.of(0x0a, 3, 1), 'localhost', '127.1', '0x7f.1', new Uint8Array(10), Uint8Array.of(0xff, 0xff)],
  code: /\/lib\/wire\/(?:address|ip)\.ts$/,
  seeds: (seed) => sample(addresses, seed).map(encodeAddresses),
  run(input) {
    const reader = new Reader(input)
    const decoded = taken(() => decodeAddresses(reader))
    if (decoded === undefined) return false
    same(encodeAddresses(decoded.value), input.subarray(0, reader.offset), 'the list')
    return true
  },
}

const keys = { bob: nodeSuite.generate(systemRandom), alice: nodeSuite.generate(systemRandom) }
const bob = { identity: new Uint8Array(32).fill(2), transport: keys.bob.publicKey }

function bundleOf(content: Uint8Array, about: { seq: bigint; created: number; token: Uint8Array }): Uint8Array {
  const writer = new BundleWriter(nodeSuite, systemRandom, keys.alice, bob, { identity: new Uint8Array(32).fill(1), ...about })
  const chunks = writer.write(content)
  return concat(writer.opening, ...chunks, writer.finish())
}

const bundle: Target = {
  name: 'bundle',
  max: 70_000,
  words: ['p2pb\x01', Uint8Array.of(0, 17), Uint8Array.of(0x80, 0x11), new Uint8Array(17)],
  code: /\/lib\/(?:wire\/bundle|crypto\/noise(?:state)?|base\/bytes)\.ts$/,
  seeds: (seed) => sample(fc.tuple(upTo(300), u64, fc.integer({ min: 0, max: 2 ** 40 }), upTo(512)), seed, 8).map(([content, seq, created, about]) => bundleOf(content, { seq, created, token: about })),
  async run(input) {
    const opened = await takenLater(async () => {
      const pieces = new Pieces(each(input))
      const open = openBundle(await pieces.take(789), nodeSuite, systemRandom, { identity: bob.identity, keys: [keys.bob] })
      if (typeof open === 'string') return undefined
      let got = 0
      for await (const chunk of openChunks(pieces, open.cipher)) got += chunk.length
      return got
    })
    return opened?.value !== undefined
  },
}

/** In pieces of uneven length. */
export async function* each(input: Uint8Array): AsyncGenerator<Uint8Array> {
  const step = Math.max(1 + ((input[0] ?? 0) % 7) * 97, input.length >> 5)
  for (let at = 0; at < input.length; at += step) yield input.subarray(at, at + step)
}

/** Of a person's text: parseToken and findToken. */
export const TOKEN_WORDS = ['p2p1', 'p2p2', '\n> ', '=\r\n', ' ', '\u200b', utf8('1'.repeat(60)), utf8('z'.repeat(60))]

export const WIRE: Target[] = [token, hello, frame, addrs, bundle]
