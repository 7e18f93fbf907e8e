// Noise revision 34: every published handshake over 25519 and ChaChaPoly, with both back ends on both sides, and what
// this implementation adds to the text: refusals change nothing, static keys can be read ahead, secrets are wiped.

import { createHash, createHmac } from 'node:crypto'

import { blake2b, blake2s } from '@noble/hashes/blake2.js'
import { hmac } from '@noble/hashes/hmac.js'
import { sha512 } from '@noble/hashes/sha2.js'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { concat, equal, fromHex, hex, isZero, utf8 } from '../lib/base/bytes.ts'
import { Malformed } from '../lib/base/fail.ts'
import { type Random, systemRandom } from '../lib/base/random.ts'
import {
  type HandshakeOptions,
  HandshakeState,
  IK,
  type Pattern,
  type Token,
  type Transport,
  X,
} from '../lib/crypto/noise.ts'
import { CipherState } from '../lib/crypto/noisestate.ts'
import { loadSuite, type PrivateKey, type Suite } from '../lib/crypto/suite.ts'
import { readVectors } from './vectors.ts'

const EMPTY = new Uint8Array(0)

/** Noise 7.4, 7.5 and 10.1 as data: known keys (i, r), then the messages. IK and X come from lib. */
const PATTERNS = `
N   | r  | e es
K   | ir | e es ss
NN  |    | e       | e ee
NK  | r  | e es    | e ee
NX  |    | e       | e ee s es
KN  | i  | e       | e ee se
KK  | ir | e es ss | e ee se
KX  | i  | e       | e ee se s es
XN  |    | e       | e ee         | s se
XK  | r  | e es    | e ee         | s se
XX  |    | e       | e ee s es    | s se
IN  |    | e s     | e ee se
IX  |    | e s     | e ee se s es
NK1 | r  | e       | e ee es
NX1 |    | e       | e ee s       | es
X1N |    | e       | e ee         | s     | se
X1K | r  | e es    | e ee         | s     | se
XK1 | r  | e       | e ee es      | s se
X1K1| r  | e       | e ee es      | s     | se
X1X |    | e       | e ee s es    | s     | se
XX1 |    | e       | e ee s       | es s se
X1X1|    | e       | e ee s       | es s  | se
K1N | i  | e       | e ee         | se
K1K | ir | e es    | e ee         | se
KK1 | ir | e       | e ee se es
K1K1| ir | e       | e ee es      | se
K1X | i  | e       | e ee s es    | se
KX1 | i  | e       | e ee se s    | es
K1X1| i  | e       | e ee s       | se es
I1N |    | e s     | e ee         | se
I1K | r  | e es s  | e ee         | se
IK1 | r  | e s     | e ee se es
I1K1| r  | e s     | e ee es      | se
I1X |    | e s     | e ee s es    | se
IX1 |    | e s     | e ee se s    | es
I1X1|    | e s     | e ee s       | se es
`

const patterns = new Map<string, Pattern>([['IK', IK], ['X', X]])
for (const line of PATTERNS.trim().split('\n')) {
  const [name = '', pre = '', ...messages] = line.split('|').map((cell) => cell.trim())
  patterns.set(name, {
    name,
    preMessages: { initiator: pre.includes('i') ? ['s'] : [], responder: pre.includes('r') ? ['s'] : [] },
    messages: messages.map((message) => message.split(/ +/) as Token[]),
  })
}

/** A pattern by its full name; Noise 9.4: psk0 begins the first message, pskN ends the Nth. */
function pattern(name: string): Pattern {
  const [, base = '', modifiers = ''] = /^([A-Z0-9]+)((?:\+?psk\d)*)$/.exec(name) ?? []
  const found = patterns.get(base)
  if (found === undefined) throw new Error(`pattern ${name} is not in the table`)
  const messages = found.messages.map((tokens) => [...tokens])
  for (const [, n] of modifiers.matchAll(/psk(\d)/g)) {
    if (n === '0') messages[0]?.unshift('psk')
    else messages[Number(n) - 1]?.push('psk')
  }
  return { ...found, name, messages }
}

/** The one place where an ephemeral can be chosen: a subclass that exists in the tests only. */
class FixedHandshake extends HandshakeState {
  readonly #ephemeral: Uint8Array
  constructor(options: HandshakeOptions, ephemeral: string) {
    super(options)
    this.#ephemeral = fromHex(ephemeral)
  }
  protected override generateEphemeral(suite: Suite): PrivateKey {
    return suite.importPrivate(this.#ephemeral)
  }
}

const node = await loadSuite({ P2P_CRYPTO: 'node' })
const noble = await loadSuite({ P2P_CRYPTO: 'noble' })
const PAIRS: [Suite, Suite][] = [[node, node], [node, noble], [noble, node], [noble, noble]]

/** The suite with another hash of the Noise text: OpenSSL's for node, noble's for noble. */
function withHash(suite: Suite, name: string): Suite {
  if (name === suite.hashName) return suite
  const [algorithm, other] = {
    SHA512: ['sha512', sha512],
    BLAKE2s: ['blake2s256', blake2s],
    BLAKE2b: ['blake2b512', blake2b],
  }[name] as [string, typeof sha512]
  const hashLength = name === 'BLAKE2s' ? 32 : 64
  if (suite.name === 'noble') {
    return {
      ...suite,
      hashName: name,
      hashLength,
      hash: (...parts) => other(concat(...parts)),
      hmac: (key, ...parts) => hmac(other, key, concat(...parts)),
    }
  }
  return {
    ...suite,
    hashName: name,
    hashLength,
    hash: (...parts) => new Uint8Array(createHash(algorithm).update(concat(...parts)).digest()),
    hmac: (key, ...parts) => new Uint8Array(createHmac(algorithm, key).update(concat(...parts)).digest()),
  }
}

interface Vector {
  protocol_name: string
  init_prologue: string
  init_ephemeral: string
  init_static?: string
  init_remote_static?: string
  init_psks?: string[]
  resp_prologue: string
  resp_ephemeral?: string
  resp_static?: string
  resp_remote_static?: string
  resp_psks?: string[]
  handshake_hash: string
  messages: { payload: string; ciphertext: string }[]
}

function side(vector: Vector, who: 'init' | 'resp', base: Suite): HandshakeState {
  const [, name = '', , , hash = ''] = vector.protocol_name.split('_')
  const suite = withHash(base, hash)
  const { [`${who}_static` as const]: s, [`${who}_remote_static` as const]: rs } = vector
  return new FixedHandshake({
    suite,
    random: systemRandom,
    pattern: pattern(name),
    initiator: who === 'init',
    prologue: fromHex(vector[`${who}_prologue`]),
    ...(s === undefined ? {} : { s: suite.importPrivate(fromHex(s)) }),
    ...(rs === undefined ? {} : { rs: fromHex(rs) }),
    psks: (vector[`${who}_psks`] ?? []).map(fromHex),
  }, vector[`${who}_ephemeral`] ?? '')
}

/** Runs a published transcript; throws where it departs from it. */
function replay(vector: Vector, mine: Suite, theirs: Suite): void {
  const initiator = side(vector, 'init', mine)
  const responder = side(vector, 'resp', theirs)
  const oneWay = pattern(vector.protocol_name.split('_')[1] ?? '').messages.length === 1
  let transports: Transport[] = []
  for (const [i, message] of vector.messages.entries()) {
    const mineNow = oneWay || i % 2 === 0
    let written: Uint8Array
    let read: Uint8Array
    if (initiator.finished && transports.length === 0) transports = [initiator.split(), responder.split()]
    const [a, b] = transports
    if (a === undefined || b === undefined) {
      const [from, to] = mineNow ? [initiator, responder] : [responder, initiator]
      written = from.writeMessage(fromHex(message.payload))
      read = to.readMessage(written)
    } else {
      const [from, to] = mineNow ? [a, b] : [b, a]
      written = from.send.encryptWithAd(EMPTY, fromHex(message.payload))
      read = to.receive.decryptWithAd(EMPTY, written)
    }
    assert.is(hex(written), message.ciphertext, `${vector.protocol_name}, message ${i}`)
    assert.is(hex(read), message.payload)
  }
  assert.is(transports.length, 2, 'the handshake was finished')
  for (const { handshakeHash } of transports) assert.is(hex(handshakeHash), vector.handshake_hash)
}

// Two of the vectors named below, so that published bytes are checked without the file as well.
const COMMON = {
  init_prologue: '4a6f686e2047616c74',
  init_static: 'e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1',
  init_ephemeral: '893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a',
  init_remote_static: '31e0303fd6418d2f8c0e78b91f22e8caed0fbe48656dcf4767e4834f701b8f62',
  resp_prologue: '4a6f686e2047616c74',
  resp_static: '4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893',
}
const PUBLISHED: Vector[] = [
  {
    ...COMMON,
    protocol_name: 'Noise_IK_25519_ChaChaPoly_SHA256',
    resp_ephemeral: 'bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b',
    handshake_hash: '0b0f68fb0c27e03ce9b97565995ed4838cc0581b762ef72b062f6a546419fad7',
    messages: [
      {
        payload: '4c756477696720766f6e204d69736573',
        ciphertext:
          'ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c7944718da798efbcd91528520204f904b9bd6c7413dc' +
          'cdc214d951e15253e39987f18146e8cd0873654207148333479d4d16c289f0294b29960a72f48e0b7bba2e89083169825e596421' +
          '48d492020664ccf7',
      },
      {
        payload: '4d757272617920526f746862617264',
        ciphertext:
          '95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f1448088435361e70b2ed446e6c9ec387d1d6b3b840f194e37' +
          '3979d241b203c4acafccf5',
      },
      { payload: '462e20412e20486179656b', ciphertext: '050e9f3c8fac16b68dbce8f8c4bfbf6617c897f9ada4aa29aa19c8' },
      { payload: '4361726c204d656e676572', ciphertext: '344233a6cabb7141d80f3da2fedc311d9646bbb0f505afe403a667' },
    ],
  },
  {
    ...COMMON,
    protocol_name: 'Noise_X_25519_ChaChaPoly_SHA256',
    handshake_hash: 'e6adfaa886b76b16b2aa79c54434c77fed488c8aa66d2c545608f4352f70f664',
    messages: [
      {
        payload: '4c756477696720766f6e204d69736573',
        ciphertext:
          'ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c79446c15957a594079a5bdeae05d01e089fbb7cc6ea2' +
          'ecfd209b941f73c9235213bc875f7283e9e17ebdac8112627915b455fdc3aaa6de60cb3c98302f370fdb03ea850b9b0cf22fec13' +
          'e4dc0707245c8721',
      },
      {
        payload: '4d757272617920526f746862617264',
        ciphertext: '9868def631af6242aaf00c35218275832d8d022af1c67b9fc5e8ba90f4d91b',
      },
    ],
  },
]

test('the typed-in handshakes of IK and X come out byte for byte, in four pairings', () => {
  for (const vector of PUBLISHED) for (const [mine, theirs] of PAIRS) replay(vector, mine, theirs)
})

const cacophony = readVectors('noise/cacophony.txt')
if (cacophony !== undefined) {
  const { vectors } = JSON.parse(cacophony) as { vectors: Vector[] }
  const ours = vectors.filter((vector) => vector.protocol_name.includes('_25519_ChaChaPoly_'))

  for (const [mine, theirs] of PAIRS) {
    test(`all cacophony handshakes come out byte for byte: ${mine.name} calls ${theirs.name}`, () => {
      for (const vector of ours) replay(vector, mine, theirs)
      assert.is(ours.length, 236)
      console.log(`${ours.length} handshakes, ${mine.name} calls ${theirs.name}`)
    })
  }
}

// From here on: what the text of Noise leaves to us. node only, since both back ends were shown to be equal.

const PROLOGUE = utf8('prologue')

function pair(options: Partial<HandshakeOptions> = {}) {
  const [a, b] = [node.generate(systemRandom), node.generate(systemRandom)]
  const both = { suite: node, random: systemRandom, pattern: IK, prologue: PROLOGUE, ...options }
  return {
    a,
    b,
    initiator: new HandshakeState({ ...both, initiator: true, s: a, rs: b.publicKey }),
    responder: new HandshakeState({ ...both, initiator: false, s: b }),
  }
}

function finish(initiator: HandshakeState, responder: HandshakeState): [Transport, Transport] {
  responder.readMessage(initiator.writeMessage(EMPTY))
  initiator.readMessage(responder.writeMessage(EMPTY))
  return [initiator.split(), responder.split()]
}

const isRangeError = (error: unknown): boolean => error instanceof RangeError // uvu would call a class, not test it

function refuses(run: () => unknown, what: string): void {
  assert.throws(run, (error: unknown) => error instanceof Malformed && error.message === 'cannot open', what)
}

test('every flipped bit, every truncation and some extensions of both messages are refused and change nothing', () => {
  const { initiator, responder } = pair()
  const damage = (message: Uint8Array, read: (bytes: Uint8Array) => unknown): void => {
    for (let bit = 0; bit < message.length * 8; bit++) {
      const damaged = new Uint8Array(message)
      damaged[bit >> 3]! ^= 1 << (bit & 7)
      refuses(() => read(damaged), `bit ${bit}`)
    }
    for (let size = 0; size < message.length; size++) refuses(() => read(message.subarray(0, size)), `size ${size}`)
    for (const more of [1, 16, 70_000]) refuses(() => read(concat(message, new Uint8Array(more))), `${more} more`)
  }
  const first = initiator.writeMessage(utf8('one'))
  damage(first, (bytes) => responder.readMessage(bytes))
  assert.is(responder.remoteStatic, undefined)
  assert.equal(responder.readMessage(first), utf8('one'))
  const second = responder.writeMessage(utf8('two'))
  damage(second, (bytes) => initiator.readMessage(bytes))
  assert.equal(initiator.readMessage(second), utf8('two'))
  assert.ok(initiator.finished && responder.finished)
})

test('the static key can be read ahead, and nothing is believed before the payload opens', () => {
  const { a, initiator, responder } = pair()
  const message = initiator.writeMessage(utf8('hello'))
  const half = responder.readStatic(message)
  assert.equal(half.claimedStatic, a.publicKey)
  assert.is(responder.remoteStatic, undefined)
  assert.throws(() => responder.writeMessage(EMPTY), /turn/)
  assert.equal(half.readPayload(), utf8('hello'))
  assert.equal(responder.remoteStatic, a.publicKey)
  assert.throws(() => half.readPayload(), /already/)
  assert.equal(initiator.readMessage(responder.writeMessage(utf8('reply'))), utf8('reply'))
})

test('a claimed static key whose payload is damaged leaves the handshake where it was', () => {
  const { a, initiator, responder } = pair()
  const message = initiator.writeMessage(utf8('hello'))
  const damaged = new Uint8Array(message)
  damaged[damaged.length - 1]! ^= 1
  const half = responder.readStatic(damaged)
  assert.equal(half.claimedStatic, a.publicKey)
  refuses(() => half.readPayload(), 'damaged payload')
  assert.is(responder.remoteStatic, undefined)
  assert.equal(responder.readStatic(message).readPayload(), utf8('hello'))
})

test('of two half-read messages only one can be finished', () => {
  const { initiator, responder } = pair()
  const message = initiator.writeMessage(EMPTY)
  const [one, two] = [responder.readStatic(message), responder.readStatic(message)]
  one.readPayload()
  assert.throws(() => two.readPayload(), /already/)
})

test('a message to another static key, prologue or pattern is refused at the static key', () => {
  const { b, initiator } = pair()
  const message = initiator.writeMessage(EMPTY)
  const others: Partial<HandshakeOptions>[] = [
    { s: node.generate(systemRandom) },
    { prologue: utf8('prologuf') },
    { prologue: EMPTY },
    { pattern: X },
  ]
  for (const other of others) {
    const options = { suite: node, random: systemRandom, pattern: IK, prologue: PROLOGUE, initiator: false, s: b }
    const responder = new HandshakeState({ ...options, ...other })
    refuses(() => responder.readStatic(message), JSON.stringify(Object.keys(other)))
  }
})

test('an ephemeral of small order is refused like any garbage', () => {
  const { responder } = pair()
  refuses(() => responder.readMessage(new Uint8Array(100)), 'zero')
  refuses(() => responder.readStatic(concat(Uint8Array.of(1), new Uint8Array(99))), 'one')
})

test('a state refuses what is not its turn', () => {
  const { initiator, responder } = pair()
  assert.throws(() => initiator.readMessage(EMPTY), /turn/)
  assert.throws(() => responder.writeMessage(EMPTY), /turn/)
  assert.throws(() => initiator.split(), /not finished/)
  const message = initiator.writeMessage(EMPTY)
  assert.throws(() => initiator.writeMessage(EMPTY), /turn/)
  responder.readMessage(message)
  const reply = responder.writeMessage(EMPTY)
  assert.throws(() => initiator.readStatic(reply), /no static key/)
  initiator.readMessage(reply)
  assert.throws(() => initiator.writeMessage(EMPTY), /no further message/)
  initiator.split()
  assert.throws(() => initiator.split(), /not finished/)
  assert.throws(() => initiator.writeMessage(EMPTY), /no further message/)
})

test('a state without the key its pattern needs is a bug, not a quiet handshake', () => {
  const options = { suite: node, random: systemRandom, pattern: IK, prologue: EMPTY }
  const key = node.generate(systemRandom)
  assert.throws(() => new HandshakeState({ ...options, initiator: true, s: key }), /lacks a key/)
  assert.throws(() => new HandshakeState({ ...options, initiator: false }), /lacks a key/)
  const keyless = new HandshakeState({ ...options, initiator: true, rs: key.publicKey })
  assert.throws(() => keyless.writeMessage(EMPTY), /lacks a key/)
})

test('messages are at most 65535 bytes', () => {
  const { initiator, responder } = pair()
  assert.throws(() => initiator.writeMessage(new Uint8Array(65_535 - 95)), isRangeError)
  const other = pair()
  const message = other.initiator.writeMessage(new Uint8Array(65_535 - 96))
  assert.is(message.length, 65_535)
  assert.is(other.responder.readMessage(message).length, 65_535 - 96)
  const [{ send }] = (() => {
    const fresh = pair()
    return finish(fresh.initiator, fresh.responder)
  })()
  assert.is(send.encryptWithAd(EMPTY, new Uint8Array(65_519)).length, 65_535)
  assert.throws(() => send.encryptWithAd(EMPTY, new Uint8Array(65_520)), isRangeError)
  refuses(() => responder.readMessage(new Uint8Array(65_536)), 'too long')
  const clear = pair({ pattern: pattern('NN') }) // nothing but the length can be wrong with its first message
  refuses(() => clear.responder.readMessage(new Uint8Array(65_536).fill(9)), 'too long')
  assert.is(clear.responder.readMessage(new Uint8Array(65_535).fill(9)).length, 65_503)
})

test('ephemerals are 32 fresh bytes of the given source, for each message', () => {
  const drawn: Uint8Array[] = []
  const random: Random = {
    bytes(size) {
      const bytes = systemRandom.bytes(size)
      drawn.push(new Uint8Array(bytes))
      return bytes
    },
  }
  const s = node.generate(systemRandom)
  const seen = new Set<string>()
  for (let i = 0; i < 5; i++) {
    const options = { suite: node, random, pattern: IK, prologue: EMPTY, s, rs: s.publicKey }
    const e = new HandshakeState({ ...options, initiator: true }).writeMessage(EMPTY).subarray(0, 32)
    assert.is(drawn.length, i + 1)
    assert.is(drawn[i]?.length, 32)
    assert.equal(e, node.importPrivate(drawn[i] ?? EMPTY).publicKey)
    seen.add(hex(e))
  }
  assert.is(seen.size, 5)
})

test('the exporter is HMAC(final ck, "p2p/1 export"), equal on both sides, and ck is wiped', () => {
  const keys: { key: Uint8Array; copy: string; text: string }[] = []
  const results: Uint8Array[] = []
  const shared: Uint8Array[] = []
  const spy: Suite = {
    ...node,
    hmac(key, ...parts) {
      keys.push({ key, copy: hex(key), text: hex(concat(...parts)) })
      const result = node.hmac(key, ...parts)
      results.push(result)
      return result
    },
    dh(key, publicKey) {
      const result = node.dh(key, publicKey)
      shared.push(result)
      return result
    },
  }
  const { initiator, responder } = pair({ suite: spy })
  const [one, two] = finish(initiator, responder)
  assert.ok(!isZero(one.exporter))
  assert.equal(one.exporter, two.exporter)
  const exports = keys.filter(({ text }) => text === hex(utf8('p2p/1 export')))
  assert.is(exports.length, 2)
  const ck = exports[0]?.copy ?? ''
  assert.equal(one.exporter, node.hmac(fromHex(ck), utf8('p2p/1 export')))
  assert.ok(keys.some(({ copy, text }) => copy === ck && text === ''), 'split hashes nothing with the same ck')
  assert.is(shared.length, 8)
  for (const result of shared) assert.ok(isZero(result), 'a DH result was left behind')
  for (const { key, copy } of keys.slice(1)) {
    if (copy !== keys[0]?.copy) assert.ok(isZero(key), `a chaining key was left behind`)
  }
  // what is left: on each side two transport keys and the exporter
  assert.is(results.filter((result) => !isZero(result)).length, 6)
  const third = pair()
  assert.not.equal(finish(third.initiator, third.responder)[0].exporter, one.exporter)
})

test('the ephemeral key is wiped by split', () => {
  const made: PrivateKey[] = []
  const spy: Suite = {
    ...node,
    generate(random) {
      const key = node.generate(random)
      made.push(key)
      return key
    },
  }
  const { initiator, responder, a } = pair({ suite: spy })
  finish(initiator, responder)
  assert.is(made.length, 2)
  for (const key of made) assert.throws(() => node.dh(key, a.publicKey), /wiped/)
})

test('each direction has its own key, and one-way patterns have one direction only', () => {
  const { initiator, responder } = pair()
  const [one, two] = finish(initiator, responder)
  const sealed = one.send.encryptWithAd(EMPTY, utf8('x'))
  refuses(() => one.receive.decryptWithAd(EMPTY, sealed), 'reflected')
  assert.equal(two.receive.decryptWithAd(EMPTY, sealed), utf8('x'))
  refuses(() => two.receive.decryptWithAd(EMPTY, sealed), 'replayed')

  const bundle = pair({ pattern: X })
  assert.equal(bundle.responder.readMessage(bundle.initiator.writeMessage(utf8('m'))), utf8('m'))
  assert.equal(bundle.responder.remoteStatic, bundle.a.publicKey)
  const [sender, receiver] = [bundle.initiator.split(), bundle.responder.split()]
  assert.equal(receiver.receive.decryptWithAd(EMPTY, sender.send.encryptWithAd(EMPTY, utf8('n'))), utf8('n'))
  assert.throws(() => receiver.send.encryptWithAd(EMPTY, EMPTY), /closed/)
  assert.throws(() => sender.receive.decryptWithAd(EMPTY, new Uint8Array(16)), /closed/)
})

class CountedCipher extends CipherState {
  set counter(n: number) {
    this.n = n
  }
  get counter(): number {
    return this.n
  }
}

test('the nonce is four zero bytes and a little-endian 64-bit counter, and ends at 2^53 - 1', () => {
  const key = systemRandom.bytes(32)
  const ad = utf8('ad')
  const nonces: [number, string][] = [
    [0, '000000000000000000000000'],
    [1, '000000000100000000000000'],
    [0x1234, '000000003412000000000000'],
    [2 ** 32 - 1, '00000000ffffffff00000000'],
    [2 ** 32, '000000000000000001000000'],
    [2 ** 53 - 2, '00000000feffffffffff1f00'],
  ]
  for (const suite of [node, noble]) {
    for (const [n, nonce] of nonces) {
      const cipher = new CountedCipher(suite)
      cipher.initializeKey(new Uint8Array(key))
      cipher.counter = n
      const sealed = cipher.encryptWithAd(ad, utf8('text'))
      assert.is(hex(sealed), hex(suite.seal(key, fromHex(nonce), ad, utf8('text'))), `n = ${n}`)
      assert.is(cipher.counter, n + 1)
      cipher.counter = n
      assert.equal(cipher.decryptWithAd(ad, sealed), utf8('text'))
    }
    const last = new CountedCipher(suite)
    last.initializeKey(new Uint8Array(key))
    last.counter = 2 ** 53 - 1
    assert.throws(() => last.encryptWithAd(ad, EMPTY), /last nonce/)
    assert.throws(() => last.decryptWithAd(ad, new Uint8Array(16)), /last nonce/)
  }
})

test('a refused message does not use up a nonce, a new key starts at zero, a closed cipher is wiped', () => {
  const cipher = new CountedCipher(node)
  assert.is(cipher.hasKey(), false)
  const key = systemRandom.bytes(32)
  cipher.initializeKey(key)
  refuses(() => cipher.decryptWithAd(EMPTY, new Uint8Array(40)), 'garbage')
  refuses(() => cipher.decryptWithAd(EMPTY, new Uint8Array(15)), 'no tag')
  assert.is(cipher.counter, 0)
  cipher.encryptWithAd(EMPTY, EMPTY)
  const next = systemRandom.bytes(32)
  cipher.initializeKey(next)
  assert.is(cipher.counter, 0)
  assert.ok(isZero(key))
  cipher.close()
  cipher.close()
  assert.ok(isZero(next))
  assert.is(cipher.hasKey(), false)
  assert.throws(() => cipher.encryptWithAd(EMPTY, EMPTY), /closed/)
  assert.throws(() => cipher.decryptWithAd(EMPTY, EMPTY), /closed/)
  assert.throws(() => cipher.initializeKey(new Uint8Array(31)), isRangeError)
})

test('messages given as Buffers are copied where they are kept', () => {
  const { initiator, responder } = pair({ pattern: pattern('IX') })
  const message = Buffer.from(initiator.writeMessage(EMPTY))
  responder.readMessage(message)
  const before = new Uint8Array(responder.remoteStatic ?? EMPTY)
  message.fill(7)
  assert.ok(equal(responder.remoteStatic ?? EMPTY, before))
  initiator.readMessage(Buffer.from(responder.writeMessage(EMPTY)))
})

test.run()
