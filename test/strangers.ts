// The kinds of caller that a listener must treat alike: what each of them sends. All but one get no byte; the one that
// is a contact's and never shows its keys gets the 768 of the answer. Everything is made with real homes.

import { concat, hex, utf8, Writer } from '../lib/base/bytes.ts'
import { systemRandom } from '../lib/base/random.ts'
import { nodeSuite } from '../lib/crypto/suite-node.ts'
import { loadSelf } from '../lib/disk/self.ts'
import { appendRecords } from '../lib/disk/durable.ts'
import { HELLO_SIZE } from '../lib/wire/hello.ts'
import { helloWith, type Keys, keysOf, type Lie } from './caller.ts'
import { type Peer, type Stage } from './peer.ts'

/** bob, whom all of them call. */
export interface Town {
  bob: Peer
  /** A contact. */
  alice: Peer
  /** Has bob's token, and bob does not know her. */
  mallory: Peer
  /** A contact that bob has blocked. */
  eve: Peer
  /** A contact whose window of timestamps is full. */
  carol: Peer
  /** A hello of alice that bob has answered once. */
  spent: Buffer
  /** A hello of one of them to bob, unless it lies; its ts is new. */
  hello: (from: Peer, lie?: Lie) => Buffer
}

/** Timestamps that bob holds of carol; every one up to the first is stale. */
const HELD = 1024
const FIRST = 1_700_000_000_000_000n

/** Everybody and their keyrings. `spent` is only a hello yet: somebody has to deliver it to bob. */
export async function townOf(stage: Stage): Promise<Town> {
  const [bob, alice, mallory, eve, carol] = await Promise.all(
    ['bob', 'alice', 'mallory', 'eve', 'carol'].map((name) => stage.peer(name)),
  )
  if (!bob || !alice || !mallory || !eve || !carol) throw new Error('nobody')
  await bob.meet(alice, eve, carol)
  await mallory.learn(bob)
  await bob.good('p2p-id', ['block', 'eve'])
  const { token } = await loadSelf(carol.home)
  const lines = Array.from({ length: HELD }, (_, n) => `${hex(token.transport.subarray(0, 8))} ${FIRST + BigInt(n)}`)
  await appendRecords(bob.home.files, bob.at('hello', carol.key), lines, true)
  const self = await loadSelf(bob.home)
  const keys = new Map<Peer, Keys>()
  for (const peer of [alice, mallory, eve, carol]) keys.set(peer, await keysOf(peer))
  let ts = bob.home.clock.micros()
  const hello = (from: Peer, lie: Lie = {}): Buffer => helloWith(keys.get(from) as Keys, self, { ts: ts++, ...lie })
  return { bob, alice, mallory, eve, carol, spent: hello(alice), hello }
}

/** What a caller of one kind sends, all it ever does. */
export type Sends = (town: Town) => Buffer | Promise<Buffer>

/** A token of alice that says another key is hers, signed by nobody. */
async function forged({ alice, hello }: Town): Promise<Buffer> {
  const key = nodeSuite.generate(systemRandom)
  const { token } = await loadSelf(alice.home)
  const bytes = token.bytes.slice()
  bytes.set(key.publicKey, 34)
  bytes.set(new Writer().u64(token.seq + 1n).finish(), 66)
  return hello(alice, { key, token: bytes, seqOwn: token.seq + 1n })
}

const TLS = '16030100f8010000f40303'
const bytes = (size: number): Buffer => Buffer.from(systemRandom.bytes(size))

/** The twelve, some of them in several forms. */
export const KINDS: Record<string, Sends> = {
  'no bytes': () => Buffer.alloc(0),
  'half a hello': ({ alice, hello }) => hello(alice).subarray(0, HELLO_SIZE / 2),
  garbage: () => bytes(HELLO_SIZE),
  'wrong responder key': ({ alice, hello }) => hello(alice, { transport: nodeSuite.generate(systemRandom).publicKey }),
  'wrong responder identity': ({ alice, hello }) => hello(alice, { meant: systemRandom.bytes(32) }),
  'unknown identity': ({ mallory, hello }) => hello(mallory),
  'blocked contact': ({ eve, hello }) => hello(eve),
  'replayed hello': ({ spent }) => spent,
  'stale timestamp': ({ carol, hello }) => hello(carol, { ts: FIRST }),
  'wrong token': (town) => forged(town),
  'no confirmation': ({ alice, hello }) => hello(alice),
  oversize: () => bytes(200_000),
  'HTTP scanner': () => Buffer.from('GET / HTTP/1.1\r\nHost: example.org\r\nUser-Agent: x\r\n\r\n'),
  'TLS scanner': () => Buffer.from(concat(Buffer.from(TLS, 'hex'), systemRandom.bytes(244))),
  'SSH scanner': () => Buffer.from(utf8('SSH-2.0-OpenSSH_9.6\r\n')),
}

/** What a kind of caller gets back, in bytes. */
export const answerTo = (kind: string): number => (kind === 'no confirmation' ? HELLO_SIZE : 0)
