// Sessions between two homes, over links in memory and over TCP on 127.0.0.1: what honest sides deliver, what ends a
// session and what must not, and what a contact that keeps to no rule can do (nothing that lasts).

import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'

import { test } from 'uvu'
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
import * as queue from '../lib/disk/queue.ts'
import type { Queued, QueuedOptions } from '../lib/disk/queued.ts'
import { discard, type PartSource, stageBody } from '../lib/disk/staging.ts'
import type { Link } from '../lib/net/link.ts'
import { encodeHead, ChunkHasher, type Head, type Part } from '../lib/wire/envelope.ts'
import { type Frame, REFUSE } from '../lib/wire/frame.ts'
import { linkPair, type MemoryStream, pipe, settle } from './netkit.ts'

interface Side {
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

/** Alice and Bob, who hold each other's tokens. `files` stands between Bob and his disk. */
async function withPair(work: (alice: Side, bob: Side) => Promise<void>, files: Partial<Files> = {}): Promise<void> {
  const root = await mkdtemp(`${tmpdir()}/p2p-delivery-`)
  try {
    const made = await Promise.all(
      ['alice', 'bob'].map((name, i) => {
        const doors = i === 0 ? realDoors : { ...realDoors, files: { ...realDoors.files, ...files } }
        const fields = { name, port: 21000 + i, addresses: [], passphrase: undefined }
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
    await work(alice, bob)
    await Promise.all(sides.map(({ station }) => station.close()))
  } finally {
    await rm(root, { recursive: true, maxRetries: 5 }).catch(() => undefined) // a failed test may still be at work
  }
}

const text = (content: string | Uint8Array): PartSource => ({
  type: 'text/plain',
  content: typeof content === 'string' ? utf8(content) : content,
})
const file = (content: Uint8Array, name = 'f.bin'): PartSource => ({ type: 'application/octet-stream', name, content })

function pattern(size: number, seed = 0): Uint8Array {
  const bytes = new Uint8Array(size)
  for (let i = 0; i < size; i++) bytes[i] = (i * 31 + (i >> 8) + seed) & 255
  return bytes
}

async function send(from: Side, sources: PartSource[][], opts?: QueuedOptions): Promise<Queued[]> {
  const staged = await Promise.all(sources.map((parts) => stageBody(from.home, nodeSuite, parts)))
  const drafts = staged.map((each) => ({ to: from.contact, staged: each, header: {}, ...(opts && { opts }) }))
  const queued = await acceptAll(from.home, nodeSuite, from.keyring.self, drafts)
  for (const each of staged) await discard(from.home, each)
  return queued
}

/** What stands in the inbox: ids (32 digits), sorted. */
async function inboxOf({ home }: Side): Promise<string[]> {
  const names = [...(await readdir(home.at('inbox', 'new'))), ...(await readdir(home.at('inbox', 'cur')))]
  return names.map((name) => name.split('.')[1] ?? '').sort()
}

const short = (queued: { id: string }[]): string[] => queued.map(({ id }) => id.slice(0, 32)).sort()

async function waiting({ home, contact }: Side): Promise<number> {
  return queue.count(home, contact.key)
}

interface Pair {
  links: [Link, Link]
  streams: [MemoryStream, MemoryStream]
}

function links(): Pair {
  const streams = pipe(systemClock)
  return { links: linkPair(nodeSuite, systemClock, streams), streams }
}

/** A session at each end of a link; Alice's is the one that calls. */
async function sessions(
  alice: Side,
  bob: Side,
  options: { oneShot?: boolean; aliceTakes?: boolean } = {},
): Promise<{ a: Session; b: Session } & Pair> {
  const pair = links()
  const { oneShot = true, aliceTakes = true } = options
  const a = await alice.station.session(pair.links[0], alice.contact, { oneShot, receive: aliceTakes })
  const b = await bob.station.session(pair.links[1], bob.contact, { oneShot: false, receive: true })
  return { a, b, ...pair }
}

/** Ends of both sessions; fails if they do not end by themselves. */
async function ends(...list: Session[]): Promise<SessionEnd[]> {
  const ended = await within(20_000, Promise.all(list.map((session) => session.ended)))
  for (const { error } of ended) if (error !== undefined) throw error
  return ended.map(({ end }) => end)
}

async function within<T>(ms: number, work: Promise<T>): Promise<T> {
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

async function until(true_: () => boolean | Promise<boolean>, ms = 10_000): Promise<void> {
  const end = performance.now() + ms
  while (!(await true_())) {
    if (performance.now() > end) throw new Error('waited in vain')
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}

/** The other end of a session, held by the test: a contact that may do what it likes. */
class Wild {
  readonly link: Link
  readonly heard: Frame[] = []
  over = false

  constructor(link: Link) {
    this.link = link
  }

  async begin(settings: Partial<Frame & { type: 'settings' }> = {}): Promise<void> {
    const instance = new Uint8Array(8)
    await this.link.send({ type: 'settings', features: 0, flags: 0, maxMessage: 2 ** 31, instance, ...settings })
    void this.#listen()
  }

  async #listen(): Promise<void> {
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

/** Bob's session with a wild Alice. */
async function wild(bob: Side): Promise<{ wild: Wild; session: Session }> {
  const pair = links()
  const session = await bob.station.session(pair.links[1], bob.contact, { oneShot: false, receive: true })
  const peer = new Wild(pair.links[0])
  await peer.begin()
  await until(() => peer.of('offer').length > 0)
  return { wild: peer, session }
}

/** An envelope from one to the other that went through no queue. */
function envelope(from: Side, parts: { type?: string; bytes: Uint8Array }[]): { head: Head; bytes: Uint8Array } {
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

function pieces(id: string, bytes: Uint8Array, from = 0): (Frame & { type: 'data' })[] {
  const frames: (Frame & { type: 'data' })[] = []
  for (let offset = from; offset < bytes.length; offset += 32_768) {
    frames.push({ type: 'data', id, offset, bytes: bytes.subarray(offset, offset + 32_768) })
  }
  return frames
}

test('one call moves what waits on both sides, and ends by itself', async () => {
  await withPair(async (alice, bob) => {
    const there = await send(alice, [[text('one\n')], [text('two\n'), file(pattern(300_000))], [text('three\n')]])
    const back = await send(bob, [[text('four\n')], [file(pattern(2_500_000)), file(pattern(11 << 20, 1))]])
    const { a, b } = await sessions(alice, bob)
    assert.equal(await ends(a, b), ['done', 'done'])
    assert.equal(await inboxOf(bob), short(there))
    assert.equal(await inboxOf(alice), short(back))
    assert.is((await waiting(alice)) + (await waiting(bob)), 0)
  })
})

test('a call with nothing to say on either side ends by itself, every time', async () => {
  await withPair(async (alice, bob) => {
    for (let i = 0; i < 30; i++) {
      const { a, b } = await sessions(alice, bob)
      assert.equal(await ends(a, b), ['done', 'done'])
    }
  })
})

test('a call ends by itself however late the other side says that it has offered all', async () => {
  await withPair(async (alice) => {
    const pair = links()
    const a = await alice.station.session(pair.links[0], alice.contact, { oneShot: true, receive: true })
    const peer = new Wild(pair.links[1])
    await peer.begin()
    await until(() => peer.of('offer').some(({ items }) => items.length === 0))
    await settle()
    await peer.link.send({ type: 'offer', items: [] })
    assert.equal(await ends(a), ['done'])
  })
})

test('twelve hundred small messages each way arrive once and in order', async () => {
  await withPair(async (alice, bob) => {
    const make = (from: Side): Promise<Queued[]> => send(from, Array.from({ length: 1200 }, (_, i) => [text(`${i}\n`)]))
    const [there, back] = [await make(alice), await make(bob)]
    const { a, b } = await sessions(alice, bob)
    assert.equal(await ends(a, b), ['done', 'done'])
    assert.equal(await inboxOf(bob), short(there))
    assert.equal(await inboxOf(alice), short(back))
    const order = bob.events.filter((event) => event.startsWith('received')).map((event) => event.slice(9))
    assert.equal(order, there.map(({ id }) => id))
  })
})

test('two sessions of one contact at once deliver each message once', async () => {
  await withPair(async (alice, bob) => {
    const there = await send(alice, [
      ...Array.from({ length: 200 }, (_, i) => [text(`${i}\n`)]),
      [file(pattern(3_000_000))],
      [file(pattern(200_000))],
    ])
    const one = await sessions(alice, bob)
    const two = await sessions(alice, bob)
    assert.equal(await ends(one.a, two.a), ['done', 'done'])
    assert.equal(await inboxOf(bob), short(there))
    assert.is(await waiting(alice), 0)
  })
})

test('an offer of no bytes, or of a few that are no message, is refused and harms nothing', async () => {
  await withPair(async (alice, bob) => {
    const { wild: peer, session } = await wild(bob)
    const id = 'ab'.repeat(32)
    await peer.link.send({ type: 'offer', items: [{ id, size: 0 }] })
    await until(() => peer.of('refuse').length > 0 || peer.over)
    assert.equal(peer.of('refuse').map(({ code }) => code), [REFUSE.MALFORMED])
    const other = 'cd'.repeat(32)
    await peer.link.send({ type: 'offer', items: [{ id: other, size: 10 }] })
    await until(() => peer.of('want').length > 0 || peer.over)
    await peer.link.send({ type: 'data', id: other, offset: 0, bytes: new Uint8Array(10) })
    await until(() => peer.of('refuse').length > 1 || peer.over)
    assert.is(peer.of('refuse').length, 2)
    session.stop()
    assert.equal(await ends(session), ['done'])
    assert.equal(await inboxOf(alice), [])
  })
})

test('bytes behind the end of a message end the session, not the process', async () => {
  await withPair(async (alice, bob) => {
    for (const size of [100, 200_000]) {
      const { wild: peer, session } = await wild(bob)
      const { head, bytes } = envelope(alice, [{ bytes: pattern(size / 2) }, { bytes: pattern(size / 2, 7) }])
      await peer.link.send({ type: 'offer', items: [{ id: head.id, size: bytes.length }] })
      await until(() => peer.of('want').length > 0)
      for (const frame of pieces(head.id, bytes)) void peer.link.send(frame)
      for (let i = 0; i < 3; i++) {
        void peer.link.send({ type: 'data', id: head.id, offset: bytes.length, bytes: new Uint8Array(5) })
      }
      const { error } = await within(5000, session.ended)
      assert.is(error, undefined)
    }
  })
})

test.run()
