// For tests: one who speaks the protocol with somebody's real keys but follows no rules above the handshake, and one
// who only has a socket.

import { connect as netConnect, type Socket } from 'node:net'

import { systemClock } from '../lib/base/clock.ts'
import { systemRandom } from '../lib/base/random.ts'
import { generateSeed, publicKeyOf, sign } from '../lib/crypto/ed25519.ts'
import { HandshakeState, IK } from '../lib/crypto/noise.ts'
import { nodeSuite } from '../lib/crypto/suite-node.ts'
import type { PrivateKey } from '../lib/crypto/suite.ts'
import { Station } from '../lib/delivery/station.ts'
import { nextHelloTime } from '../lib/disk/hellos.ts'
import { loadTransportKeys } from '../lib/disk/identity.ts'
import { loadSelf, type Self } from '../lib/disk/self.ts'
import { loadKeyring } from '../lib/disk/keyring.ts'
import { serve } from '../lib/net/accept.ts'
import { dial } from '../lib/net/dial.ts'
import { Guard } from '../lib/net/guard.ts'
import type { Link } from '../lib/net/link.ts'
import type { ByteStream } from '../lib/net/stream.ts'
import { connect } from '../lib/net/tcp.ts'
import { type Frame, SEND_ONLY } from '../lib/wire/frame.ts'
import { encodePayload1, KIND, type Payload1, prologueFor } from '../lib/wire/hello.ts'
import { encodeToken } from '../lib/wire/token.ts'
import { pause, type Peer } from './peer.ts'

export async function keysOf(from: Peer): Promise<Pick<Parameters<typeof dial>[0], 'self'>> {
  const self = await loadSelf(from.home)
  const [transportKey] = await loadTransportKeys(from.home, nodeSuite)
  if (transportKey === undefined) throw new Error('no transport key')
  return { self: { identity: self.identity, transportKey, seq: self.token.seq, token: self.token.bytes } }
}

/** What a hello says that is not so. */
export interface Lie extends Partial<Payload1> {
  /** T of whom it is sealed for. */
  transport?: Uint8Array
  /** I of whom it is meant for. */
  meant?: Uint8Array
  /** T of the caller. */
  key?: PrivateKey
}

/** The first 768 bytes that `from` would send to `to`, unless it lies. */
export async function helloOf(from: Peer, to: Peer, lie: Lie = {}): Promise<Buffer> {
  return helloWith(await keysOf(from), await loadSelf(to.home), { ts: await nextHelloTime(from.home), ...lie })
}

export type Keys = Awaited<ReturnType<typeof keysOf>>

/** Keys and a token of somebody nobody has met, who has no home either. */
export async function strangersKeys(name = 'stranger'): Promise<Keys> {
  const seed = generateSeed(systemRandom)
  const identity = await publicKeyOf(seed)
  const transportKey = nodeSuite.generate(systemRandom)
  const rest = { seq: 1n, notAfter: 0, name, addresses: [], ext: [], revocation: false }
  const token = await encodeToken({ identity, transport: transportKey.publicKey, ...rest }, (message) => sign(message, seed))
  return { self: { identity, transportKey, seq: 1n, token: token.bytes } }
}

/** The same of keys and a token that are at hand; `ts` must be new. */
export function helloWith({ self }: Keys, to: { identity: Uint8Array; token: Pick<Self['token'], 'transport' | 'seq'> }, lie: Lie & { ts: bigint }): Buffer {
  const { transport, meant, key, ...fields } = lie
  const prologue = prologueFor(meant ?? to.identity)
  const s = key ?? self.transportKey
  const rs = transport ?? to.token.transport
  const state = new HandshakeState({ suite: nodeSuite, random: systemRandom, pattern: IK, initiator: true, prologue, s, rs })
  const payload = encodePayload1({
    kind: KIND.CONTACT,
    identity: self.identity,
    seqOwn: self.seq,
    seqHeld: to.token.seq,
    features: 0,
    streamId: 0,
    inviteProof: new Uint8Array(16),
    token: self.token,
    ...fields,
  })
  return Buffer.from(state.writeMessage(payload))
}

/**
 * An authenticated link of `from` to the listener of `to`; what is said over it is up to the test. `below`: the
 * connection itself, for bytes that no link would send.
 */
export async function callAs(from: Peer, to: Peer): Promise<Link & { below: ByteStream }> {
  let below: ByteStream | undefined
  const { identity, token } = await loadSelf(to.home)
  const outcome = await dial({
    suite: nodeSuite,
    random: systemRandom,
    clock: systemClock,
    ...(await keysOf(from)),
    peer: { identity, transport: token.transport },
    seqHeld: token.seq,
    addresses: token.addresses,
    stamp: () => nextHelloTime(from.home),
    features: 0,
    timeoutMs: 10_000,
    async connect(place, signal) {
      return (below = await connect(place, signal))
    },
  })
  if (!('link' in outcome)) throw new Error(`no link: ${JSON.stringify(outcome.failures)}`)
  return Object.assign(outcome.link, { below: below as unknown as ByteStream })
}

export const SETTINGS: Frame = {
  type: 'settings',
  features: 0,
  flags: SEND_ONLY,
  maxMessage: 2 ** 30,
  instance: new Uint8Array(8).fill(7),
}

/** Frames until the link ends; `ms` at most. */
export async function hear(link: Link, ms = 10_000): Promise<{ frames: Frame[]; ended: boolean }> {
  const frames: Frame[] = []
  let ended = false
  const all = (async () => {
    for (let frame = await link.receive(); frame !== undefined; frame = await link.receive()) frames.push(frame)
    ended = true
  })()
  await Promise.race([all, pause(ms)])
  return { frames, ended }
}

/** A socket, and what came back through it. */
export interface Raw {
  socket: Socket
  came: () => Buffer
}

export async function knock(port: number): Promise<Raw> {
  const socket = netConnect({ host: '127.0.0.1', port, allowHalfOpen: true })
  const pieces: Buffer[] = []
  socket.on('data', (bytes) => pieces.push(bytes))
  socket.on('error', () => undefined)
  await new Promise((resolve) => socket.once('connect', resolve))
  return { socket, came: () => Buffer.concat(pieces) }
}

/** A listener of `who`, at its port, that lets in whoever may come; what is said over the links is up to the test. */
export async function answerAs(who: Peer, onLink: (link: Link) => void): Promise<() => Promise<void>> {
  const station = await Station.open(who.home, await loadKeyring(who.home))
  const server = await serve({
    suite: nodeSuite,
    clock: systemClock,
    random: systemRandom,
    guard: new Guard(systemClock, systemRandom),
    responder: station.responder(),
    port: who.home.port,
    hosts: ['127.0.0.1'],
    onLink,
  })
  return async () => {
    await server.close()
    await station.close()
  }
}
