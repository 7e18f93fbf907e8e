// Two homes that hold each other's tokens, sessions between them over links in memory, and a peer that does what the
// test says: for the tests of delivery and of arrivals.

import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'

import * as assert from 'uvu/assert'

import { utf8 } from '../lib/base/bytes.ts'
import { systemClock } from '../lib/base/clock.ts'
import { nodeSuite } from '../lib/crypto/suite-node.ts'
import { type Session, type SessionEnd } from '../lib/delivery/session.ts'
import { Station, type StationEvents } from '../lib/delivery/station.ts'
import { acceptAll } from '../lib/disk/accept.ts'
import type { Contact } from '../lib/disk/contact.ts'
import type { Files } from '../lib/disk/files.ts'
import { type Home, realDoors } from '../lib/disk/home.ts'
import { createIdentity } from '../lib/disk/identity.ts'
import { importToken } from '../lib/disk/import.ts'
import { type Keyring, loadKeyring } from '../lib/disk/keyring.ts'
import * as queueread from '../lib/disk/queueread.ts'
import type { Queued, QueuedOptions } from '../lib/disk/queued.ts'
import { discard, type PartSource, stageBody } from '../lib/disk/staging.ts'
import { freePort } from '../lib/net/freeport.ts'
import type { Link } from '../lib/net/link.ts'
import { encodeHead, ChunkHasher, type Head, type Part } from '../lib/wire/envelope.ts'
import type { Frame } from '../lib/wire/frame.ts'
import { FEATURES } from '../lib/wire/hello.ts'
import { linkPair, type MemoryStream, pipe } from './netkit.ts'

/** For things that happen in the end; busy machines are slow. */
export const PATIENCE_MS = 60_000

export interface Side {
  home: Home
  keyring: Keyring
  station: Station
  /** The other one. */
  contact: Contact
  /** `delivered ID`, `received ID`, ... as they happened. */
  events: string[]
}

function record(events: string[]): StationEvents {
  return {
    delivered: (queued) => void events.push(`delivered ${queued.id}`),
    deferred: (queued, _, reason) => void events.push(`deferred ${reason} ${queued.id}`),
    failed: (queued, _, reason) => void events.push(`failed ${reason} ${queued.id}`),
    received: (message) => void events.push(`received ${message.id}`),
    changed: () => void events.push('changed'),
    trouble: (error) => void events.push(`trouble ${String(error)}`),
  }
}

/** Alice and Bob, who hold each other's tokens. `files` stands between Bob and his disk; `tcp`: they can be called. */
export async function withPair(
  work: (alice: Side, bob: Side) => Promise<void>,
  files: Partial<Files> = {},
  tcp = false,
): Promise<void> {
  const root = await mkdtemp(`${tmpdir()}/p2p-delivery-`)
  try {
    const made = await Promise.all(
      ['alice', 'bob'].map(async (name, i) => {
        const doors = i === 0 ? realDoors : { ...realDoors, files: { ...realDoors.files, ...files } }
        const port = tcp ? await freePort(realDoors.random) : 21000 + i
        const addresses = tcp ? [{ host: '127.0.0.1', port, tcp: true, udp: true }] : []
        const fields = { name, port, addresses, passphrase: undefined }
        return createIdentity({ path: `${root}/${name}`, source: 'test' }, fields as never, nodeSuite, doors)
      }),
    )
    const sides: Side[] = []
    for (const [i, { home }] of made.entries()) {
      const other = made[1 - i]?.self
      assert.ok(other)
      const { contact } = await importToken(home, nodeSuite, other.name, other.token)
      assert.ok(contact)
      const keyring = await loadKeyring(home)
      const events: string[] = []
      const station = await Station.open(home, keyring, { events: record(events) })
      sides.push({ home, keyring, station, contact, events })
    }
    const [alice, bob] = sides as [Side, Side]
    try {
      await work(alice, bob)
    } finally {
      await Promise.all(sides.map(({ station }) => station.close()))
    }
  } finally {
    await rm(root, { recursive: true, maxRetries: 5 }).catch(() => undefined) // a failed test may still be at work
  }
}

export const text = (content: string | Uint8Array): PartSource => ({
  type: 'text/plain',
  content: typeof content === 'string' ? utf8(content) : content,
})
export const file = (content: Uint8Array, name = 'f.bin'): PartSource => ({ type: 'application/octet-stream', name, content })

export function pattern(size: number, seed = 0): Uint8Array {
  const bytes = new Uint8Array(size)
  for (let i = 0; i < size; i++) bytes[i] = (i * 31 + (i >> 8) + seed) & 255
  return bytes
}

export async function send(from: Side, sources: PartSource[][], opts?: QueuedOptions): Promise<Queued[]> {
  const staged = await Promise.all(sources.map((parts) => stageBody(from.home, nodeSuite, parts)))
  const drafts = staged.map((each) => ({ to: from.contact, staged: each, header: {}, ...(opts && { opts }) }))
  const queued = await acceptAll(from.home, nodeSuite, from.keyring.self, drafts)
  for (const each of staged) await discard(from.home, each)
  return queued
}

/** What became of messages, without what contacts said of themselves. */
export const outcomes = ({ events }: Side): string[] => events.filter((event) => event !== 'changed')

/** What stands in the inbox: ids (32 digits), sorted. */
export async function inboxOf({ home }: Side): Promise<string[]> {
  const names = [...(await readdir(home.at('inbox', 'new'))), ...(await readdir(home.at('inbox', 'cur')))]
  return names.map((name) => name.split('.')[1] ?? '').sort()
}

export const short = (queued: { id: string }[]): string[] => queued.map(({ id }) => id.slice(0, 32)).sort()

export async function waiting({ home, contact }: Side): Promise<number> {
  return queueread.count(home, contact.key)
}

export interface Pair {
  links: [Link, Link]
  streams: [MemoryStream, MemoryStream]
}

export function links(features = 0): Pair {
  const streams = pipe(systemClock)
  return { links: linkPair(nodeSuite, systemClock, streams, features), streams }
}

/** A session at each end of a link; Alice's is the one that calls. */
export async function sessions(
  alice: Side,
  bob: Side,
  options: { oneShot?: boolean; aliceTakes?: boolean } = {},
): Promise<{ a: Session; b: Session } & Pair> {
  const pair = links(FEATURES)
  const { oneShot = true, aliceTakes = true } = options
  const a = await alice.station.session(pair.links[0], alice.contact, { oneShot, receive: aliceTakes })
  const b = await bob.station.session(pair.links[1], bob.contact, { oneShot: false, receive: true })
  return { a, b, ...pair }
}

/** Ends of both sessions; fails if they do not end by themselves. */
export async function ends(...list: Session[]): Promise<SessionEnd[]> {
  const ended = await within(PATIENCE_MS, Promise.all(list.map((session) => session.ended)))
  for (const { error } of ended) if (error !== undefined) throw error
  return ended.map(({ end }) => end)
}

export async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  let cancel = (): void => undefined
  const late = new Promise<never>((_, reject) => {
    cancel = systemClock.after(ms, () => reject(new Error(`not over after ${ms} ms`)))
  })
  try {
    return await Promise.race([work, late])
  } finally {
    cancel()
  }
}

export async function until(true_: () => boolean | Promise<boolean>, ms = PATIENCE_MS): Promise<void> {
  const end = performance.now() + ms
  while (!(await true_())) {
    if (performance.now() > end) throw new Error('waited in vain')
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}

/** The other end of a session, held by the test: a contact that may do what it likes. */
export class Wild {
  readonly link: Link
  readonly heard: Frame[] = []
  over = false

  constructor(link: Link) {
    this.link = link
  }

  async begin(settings: Partial<Frame & { type: 'settings' }> = {}): Promise<void> {
    const instance = new Uint8Array(8)
    await this.link.send({ type: 'settings', features: 0, flags: 0, maxMessage: 2 ** 31, instance, ...settings })
    void this.listen()
  }

  /** Hears what is said, until the link ends. */
  async listen(): Promise<void> {
    for (;;) {
      const frame = await this.link.receive()
      if (frame === undefined) break
      this.heard.push(frame)
    }
    this.over = true
  }

  of<T extends Frame['type']>(type: T): (Frame & { type: T })[] {
    return this.heard.filter((frame): frame is Frame & { type: T } => frame.type === type)
  }
}

/** Bob's session with a wild Alice, whose offer has been heard. */
export async function wild(bob: Side, settings: Partial<Frame & { type: 'settings' }> = {}, features = 0): Promise<{ wild: Wild; session: Session }> {
  const pair = links(features)
  const session = await bob.station.session(pair.links[1], bob.contact, { oneShot: false, receive: true })
  const peer = new Wild(pair.links[0])
  await peer.begin(settings)
  await until(() => peer.of('offer').length > 0)
  return { wild: peer, session }
}

/** An envelope from one to the other that went through no queue. */
export function envelope(from: Side, parts: { type?: string; bytes: Uint8Array }[]): { head: Head; bytes: Uint8Array } {
  const hasher = new ChunkHasher(nodeSuite)
  for (const { bytes } of parts) hasher.update(bytes)
  const head = encodeHead(
    {
      salt: realDoors.random.bytes(16),
      from: from.keyring.self.identity,
      to: from.contact.identity,
      created: from.home.clock.micros(),
      root: hasher.root(),
      header: {
        parts: parts.map(({ type = 'application/octet-stream', bytes }): Part => ({ type, size: bytes.length })),
      },
    },
    nodeSuite,
  )
  return { head, bytes: new Uint8Array(Buffer.concat([head.bytes, ...parts.map(({ bytes }) => bytes)])) }
}

export function pieces(id: string, bytes: Uint8Array, from = 0): (Frame & { type: 'data' })[] {
  const frames: (Frame & { type: 'data' })[] = []
  for (let offset = from; offset < bytes.length; offset += 32_768) {
    frames.push({ type: 'data', id, offset, bytes: bytes.subarray(offset, offset + 32_768) })
  }
  return frames
}
