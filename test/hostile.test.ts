// A contact that is who it says it is and means ill: everything above the handshake is tried on a session that it
// holds the other end of. Whatever it does, the session goes on or ends as p2p-wire(7) says, nothing of the other side
// is lost or delivered twice, and what is refused leaves no trace.
// test timeout: 600 s

import { readdir } from 'node:fs/promises'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { nodeSuite } from '../lib/crypto/suite-node.ts'
import type { Session } from '../lib/delivery/session.ts'
import { placesOf } from '../lib/delivery/places.ts'
import { Station } from '../lib/delivery/station.ts'
import type { Contact } from '../lib/disk/contact.ts'
import { takeToken } from '../lib/disk/import.ts'
import { renewToken } from '../lib/disk/identity.ts'
import { openSeed } from '../lib/disk/identityfile.ts'
import { loadKeyring } from '../lib/disk/keyring.ts'
import { updateContact } from '../lib/disk/contacts.ts'
import { mayTry, noteAnswered } from '../lib/disk/tried.ts'
import type { Link } from '../lib/net/link.ts'
import type { Address } from '../lib/wire/address.ts'
import { BYE, type Frame, REFUSE } from '../lib/wire/frame.ts'
import { corpus, jsonFiles, rawEnvelope } from './corpus.ts'
import { FakeClock, linkPair, pipe } from './netkit.ts'
import {
  ends,
  envelope,
  inboxOf,
  links,
  outcomes,
  PATIENCE_MS,
  pattern,
  pieces,
  send,
  type Side,
  text,
  until,
  waiting,
  Wild,
  wild,
  within,
  withPair,
} from './pair.ts'

const NOBODY = 'ee'.repeat(32)
const EIGHT = new Uint8Array(8)
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** Where a session stands: what bob has offered (M), what alice has offered (X), and how far the two are. */
interface Stand {
  /** Bob's message, waiting for alice. */
  m: string
  mSize: number
  /** Alice's message. */
  x: string
  xBytes: Uint8Array
}

type Verdict = 'goes on' | 'offended' | 'over'

/** How far the two messages are. */
interface Told {
  m: 'offered' | 'acked'
  x: 'unknown' | 'offered' | 'half' | 'acked'
}

const STATES: Record<string, { told: Told; reach: (peer: Wild, stand: Stand) => Promise<void> }> = {
  'offered and wanted nothing': {
    told: { m: 'offered', x: 'unknown' },
    reach: async () => undefined,
  },
  'took in a message, not acknowledged': {
    told: { m: 'offered', x: 'unknown' },
    async reach(peer, { m }) {
      await peer.link.send({ type: 'want', items: [{ id: m, offset: 0 }] })
      await until(() => peer.of('data').length > 0)
    },
  },
  'acknowledged a message': {
    told: { m: 'acked', x: 'unknown' },
    async reach(peer, { m }) {
      await peer.link.send({ type: 'ack', ids: [m] })
    },
  },
  'was asked for a message': {
    told: { m: 'offered', x: 'offered' },
    reach: offerX,
  },
  'is in the middle of a message': {
    told: { m: 'offered', x: 'half' },
    async reach(peer, stand) {
      await offerX(peer, stand)
      await peer.link.send({ type: 'data', id: stand.x, offset: 0, bytes: stand.xBytes.subarray(0, 300) })
    },
  },
  'has delivered a message': {
    told: { m: 'offered', x: 'acked' },
    async reach(peer, stand) {
      await offerX(peer, stand)
      for (const frame of pieces(stand.x, stand.xBytes)) await peer.link.send(frame)
      await until(() => peer.of('ack').length > 0)
    },
  },
}

async function offerX(peer: Wild, { x, xBytes }: Stand): Promise<void> {
  await peer.link.send({ type: 'offer', items: [{ id: x, size: xBytes.length }] })
  await until(() => peer.of('want').length > 0)
}

/** Every frame with every kind of argument, and what p2p-wire(7), SESSION, says of it. */
function frames({ m, mSize, x, xBytes }: Stand): [string, Frame, (told: Told) => Verdict][] {
  const always = (): Verdict => 'goes on'
  const never = (): Verdict => 'offended'
  const late = ({ m: state }: Told): Verdict => (state === 'acked' ? 'goes on' : 'offended')
  const ifX = ({ x: state }: Told): Verdict => (state === 'unknown' ? 'offended' : 'goes on')
  const data = (id: string, offset: number, size: number): Frame => ({ type: 'data', id, offset, bytes: xBytes.subarray(offset, offset + size) })
  return [
    ['settings', { type: 'settings', features: 0, flags: 0, maxMessage: 1, instance: EIGHT }, never],
    ['offer of nothing', { type: 'offer', items: [] }, always],
    ['offer of another', { type: 'offer', items: [{ id: NOBODY, size: 400 }] }, always],
    ['offer of the same again', { type: 'offer', items: [{ id: x, size: xBytes.length }] }, always],
    ['offer of the same twice, of two sizes', { type: 'offer', items: [{ id: NOBODY, size: 400 }, { id: NOBODY, size: 4e6 }] }, always],
    ["offer of the other side's own", { type: 'offer', items: [{ id: m, size: mSize }] }, always],
    ['want', { type: 'want', items: [{ id: m, offset: 0 }] }, always],
    ['want of the end', { type: 'want', items: [{ id: m, offset: mSize }] }, always],
    ['want beyond the end', { type: 'want', items: [{ id: m, offset: mSize + 1 }] }, late],
    ['want beyond every end', { type: 'want', items: [{ id: m, offset: Number.MAX_SAFE_INTEGER }] }, late],
    ['want of the own', { type: 'want', items: [{ id: x, offset: 0 }] }, never],
    ['want of nothing', { type: 'want', items: [{ id: NOBODY, offset: 0 }] }, never],
    ['want of none', { type: 'want', items: [] }, always],
    ['have', { type: 'have', ids: [m] }, always],
    ['have of the own', { type: 'have', ids: [x] }, never],
    ['have of nothing', { type: 'have', ids: [NOBODY] }, never],
    ['ack', { type: 'ack', ids: [m] }, always],
    ['ack twice', { type: 'ack', ids: [m, m] }, always],
    ['ack of one and of nothing', { type: 'ack', ids: [m, NOBODY] }, never],
    ['ack of the own', { type: 'ack', ids: [x] }, never],
    ['data from the start', data(x, 0, 100), ({ x: state }) => (state === 'offered' || state === 'acked' ? 'goes on' : 'offended')],
    ['data that goes on', data(x, 300, 100), ({ x: state }) => (state === 'half' || state === 'acked' ? 'goes on' : 'offended')],
    ['data from the middle', data(x, 500, 100), ({ x: state }) => (state === 'acked' ? 'goes on' : 'offended')],
    ['data behind the end', { type: 'data', id: x, offset: xBytes.length, bytes: EIGHT }, ({ x: state }) => (state === 'acked' ? 'goes on' : 'offended')],
    ['data at the end of all numbers', { type: 'data', id: x, offset: Number.MAX_SAFE_INTEGER, bytes: EIGHT }, ({ x: state }) => (state === 'acked' ? 'goes on' : 'offended')],
    ['data of nothing', { type: 'data', id: NOBODY, offset: 0, bytes: EIGHT }, never],
    ["data of the other side's own", { type: 'data', id: m, offset: 0, bytes: EIGHT }, never],
    ['push of nonsense', { type: 'push', id: NOBODY, bytes: EIGHT }, always],
    ['push of what was offered, and is not it', { type: 'push', id: x, bytes: EIGHT }, always],
    ["push of the other side's own", { type: 'push', id: m, bytes: EIGHT }, always],
    ['refuse for now', { type: 'refuse', id: m, code: REFUSE.DISK, retry: 3600 }, always],
    ['refuse for ever', { type: 'refuse', id: m, code: 255, retry: 2 ** 32 - 1 }, always],
    ['refuse of the own', { type: 'refuse', id: x, code: REFUSE.POLICY, retry: 0 }, never],
    ['refuse of nothing', { type: 'refuse', id: NOBODY, code: 0, retry: 0 }, never],
    ["cancel of the other side's", { type: 'cancel', id: m }, always],
    ['cancel of the own', { type: 'cancel', id: x }, ifX],
    ['cancel of nothing', { type: 'cancel', id: NOBODY }, never],
    ['addresses', { type: 'addrs', nat: 255, addresses: [{ host: '203.0.113.9', port: 9, tcp: true, udp: false }] }, always],
    ['no addresses', { type: 'addrs', nat: 0, addresses: [] }, always],
    ['a token that is none', { type: 'token', token: EIGHT }, always],
    ['ping', { type: 'ping', bytes: EIGHT }, always],
    ['pong', { type: 'pong', bytes: EIGHT }, always],
    ['pad', { type: 'pad', size: 65_280 }, always],
    ['bye', { type: 'bye', code: 0 }, () => 'over'],
    ['bye with a code that there is not', { type: 'bye', code: 255 }, () => 'over'],
  ]
}

/** The frame is answered with BYE 3, or the session goes on to answer a PING, or it is over. */
async function verdictOf(peer: Wild, session: Session): Promise<Verdict> {
  const bytes = new Uint8Array(8).fill(77)
  await peer.link.send({ type: 'ping', bytes }).catch(() => undefined)
  const answered = (): boolean => peer.of('pong').some((pong) => pong.bytes[0] === 77)
  await until(() => peer.over || answered())
  if (answered() && !peer.over) return 'goes on'
  const { end, error } = await within(PATIENCE_MS, session.ended)
  assert.is(error, undefined)
  if (end === 'done') return 'over'
  assert.is(end, 'offended')
  assert.is(peer.of('bye').at(-1)?.code, BYE.OUT_OF_TURN)
  return 'offended'
}

for (const [state, { told, reach }] of Object.entries(STATES)) {
  test(`every frame from a contact that ${state}: it goes on or ends as it should`, async () => {
    await withPair(async (alice, bob) => {
      let message = await fresh(alice, bob)
      for (const [what] of frames(message)) {
        const { wild: peer, session } = await wild(bob)
        await reach(peer, message)
        const [, frame, expected] = frames(message).find(([name]) => name === what) ?? []
        if (frame === undefined || expected === undefined) throw new Error(what)
        await peer.link.send(frame)
        assert.is(await verdictOf(peer, session), expected(told), `${what}, from one that ${state}`)
        peer.link.close()
        await within(PATIENCE_MS, session.ended)
        // A message left the queue by an ACK, a HAVE, or a refusal for good of this contact; no other way.
        const gone = (await waiting(bob)) === 0
        const answered = state === 'acknowledged a message' || /^(?:have|ack|ack twice|refuse for ever)$/.test(what)
        assert.is(gone, answered, `${what}: left the queue`)
        const arrived = (await inboxOf(bob)).includes(message.x.slice(0, 32))
        assert.is(arrived, told.x === 'acked', `${what}: in the inbox`)
        if (gone || arrived) message = await fresh(alice, bob)
      }
      assert.equal(outcomes(bob).filter((event) => event.startsWith('trouble')), [])
    })
  })
}

/** A message that waits at bob for alice, and one that alice might send. */
async function fresh(alice: Side, bob: Side): Promise<Stand> {
  const [queued] = (await waiting(bob)) > 0 ? [] : await send(bob, [[text(`for you ${Math.random()}\n`)]])
  if (queued !== undefined) held = { m: queued.id, mSize: queued.size }
  const { head, bytes } = envelope(alice, [{ type: 'text/plain', bytes: pattern(900, Math.floor(Math.random() * 250)) }])
  return { ...held, x: head.id, xBytes: bytes }
}
let held = { m: '', mSize: 0 }

test('before its settings nothing of a contact is heard', async () => {
  await withPair(async (alice, bob) => {
    const stand = await fresh(alice, bob)
    for (const [what, frame] of frames(stand)) {
      if (frame.type === 'settings') continue
      const { a, session } = await unsettled(bob)
      await a.send(frame)
      const { end } = await within(PATIENCE_MS, session.ended)
      assert.is(end, frame.type === 'bye' ? 'done' : 'offended', what)
      a.close()
    }
    assert.is(await waiting(bob), 1)
  })
})

async function unsettled(bob: Side): Promise<{ a: Wild['link']; session: Session }> {
  const pair = links()
  const session = await bob.station.session(pair.links[1], bob.contact, { oneShot: false, receive: true })
  return { a: pair.links[0], session }
}

/** What stands in part/, whoever left it. */
async function parts({ home }: Side): Promise<string[]> {
  return readdir(home.at('part'), { recursive: true })
}

type Message = ReturnType<typeof rawEnvelope>

/** Offers these messages and gives what is asked for; what was said of each. */
async function push(peer: Wild, messages: Message[], size = (message: Message): number => message.size): Promise<Map<string, string>> {
  const byId = new Map(messages.map((message) => [message.id, message]))
  const verdicts = new Map<string, string>()
  const answered = (): number => peer.of('refuse').length + peer.of('ack').flatMap(({ ids }) => ids).length
  const before = answered()
  let [asked, read] = [peer.of('want').length, before]
  for (let at = 0; at < messages.length; at += 64) {
    const items = messages.slice(at, at + 64).map((message) => ({ id: message.id, size: size(message) }))
    await peer.link.send({ type: 'offer', items })
    const due = before + Math.min(at + 64, messages.length)
    while (answered() < due) {
      if (peer.over) return verdicts
      const wants = peer.of('want').slice(asked)
      asked += wants.length
      for (const { id, offset } of wants.flatMap((want) => want.items)) {
        for (const frame of pieces(id, byId.get(id)?.bytes ?? EIGHT, offset)) await peer.link.send(frame)
      }
      await until(() => peer.over || peer.of('want').length > asked || answered() >= due || answered() > read)
      read = answered()
    }
  }
  for (const { id, code } of peer.of('refuse')) verdicts.set(id, `refused ${code}`)
  for (const id of peer.of('ack').flatMap(({ ids }) => ids)) verdicts.set(id, `taken${verdicts.has(id) ? ' and refused' : ''}`)
  return verdicts
}

const BODY = new Uint8Array([0x68, 0x0a])
const PLAIN = '{"parts":[{"type":"text/plain","size":2}]}'

test('heads that lie or are none are refused as malformed, and nothing of them stays', async () => {
  await withPair(async (alice, bob) => {
    const from = alice.keyring.self.identity
    const to = bob.keyring.self.identity
    const good = { from, to, header: PLAIN }
    const latin = new Uint8Array(Buffer.from(PLAIN.replace('plain', 'pl\xe4in'), 'latin1'))
    const bad: [string, Message][] = [
      ...corpus('header_json').map((header): [string, Message] => [header.slice(0, 100), rawEnvelope({ ...good, header }, BODY)]),
      ['not UTF-8', rawEnvelope({ ...good, header: latin }, BODY)],
      ['16 KiB and a byte', rawEnvelope({ ...good, header: PLAIN + ' '.repeat(16_385 - PLAIN.length) }, BODY)],
      ['another magic', rawEnvelope({ ...good, magic: new Uint8Array(5) }, BODY)],
      ['another version', rawEnvelope({ ...good, magic: new Uint8Array([0x70, 0x32, 0x70, 0x6d, 2]) }, BODY)],
      ['from somebody else', rawEnvelope({ ...good, from: to }, BODY)],
      ['to somebody else', rawEnvelope({ ...good, to: from }, BODY)],
      ['created after the year 9999', rawEnvelope({ ...good, created: 253_402_300_800_000_000n }, BODY)],
      ['created at the end of all numbers', rawEnvelope({ ...good, created: 2n ** 64n - 1n }, BODY)],
      ['a body of another size', rawEnvelope({ ...good, bodySize: 3n }, BODY)],
      ['a body of 2^53 bytes', rawEnvelope({ ...good, bodySize: 2n ** 53n }, BODY)],
      ['a body of 2^64 - 1 bytes', rawEnvelope({ ...good, bodySize: 2n ** 64n - 1n }, BODY)],
      ['another root', rawEnvelope({ ...good, root: new Uint8Array(32) }, BODY)],
      ['a header that is said to be shorter', rawEnvelope({ ...good, headerLength: PLAIN.length - 1 }, BODY)],
      ['a header that is said to be longer', rawEnvelope({ ...good, headerLength: PLAIN.length + 1 }, BODY)],
      ['a header that is said to be 64 KiB', rawEnvelope({ ...good, headerLength: 65_535 }, BODY)],
      ['no header', rawEnvelope({ ...good, headerLength: 0, header: '' }, BODY)],
    ]
    for (const [name, bytes] of jsonFiles()) {
      // as a value inside a header that is good otherwise, so that nothing but it can be at fault
      const header = Buffer.concat([Buffer.from(PLAIN.slice(0, -1)), Buffer.from(',"x":'), Buffer.from(bytes), Buffer.from('}')])
      if (name.startsWith('n_') && header.length < 16_384) bad.push([name, rawEnvelope({ ...good, header }, BODY)])
    }
    const { wild: peer, session } = await wild(bob)
    const verdicts = await push(peer, bad.map(([, message]) => message))
    for (const [what, { id }] of bad) assert.is(verdicts.get(id), `refused ${REFUSE.MALFORMED}`, what)
    assert.equal(await inboxOf(bob), [])
    assert.equal((await parts(bob)).filter((name) => name.includes('/')), [])
    const taken: [string, Message][] = corpus('header_json_taken').map((header) => [header, rawEnvelope({ ...good, header }, BODY)])
    taken.push(['created in 1970', rawEnvelope({ ...good, created: 0n }, BODY)])
    taken.push(['created in 9999', rawEnvelope({ ...good, created: 253_402_300_799_999_999n }, BODY)])
    for (const [name, bytes] of jsonFiles()) {
      const header = Buffer.concat([Buffer.from(PLAIN.slice(0, -1)), Buffer.from(',"x":'), Buffer.from(bytes), Buffer.from('}')])
      if (name.startsWith('y_') && !/duplicated_key/.test(name)) taken.push([name, rawEnvelope({ ...good, header }, BODY)])
    }
    const later = await wild(bob)
    const kept = await push(later.wild, taken.map(([, message]) => message))
    for (const [what, { id }] of taken) assert.is(kept.get(id), 'taken', what)
    assert.is((await inboxOf(bob)).length, taken.length)
    console.log(`# ${bad.length} heads refused, ${taken.length} taken`)
    for (const each of [session, later.session]) each.stop()
    peer.link.close()
    later.wild.link.close()
    await ends(session, later.session)
  })
})

test('sizes that lie: more, fewer and other bytes than offered', async () => {
  await withPair(async (alice, bob) => {
    const from = alice.keyring.self.identity
    const to = bob.keyring.self.identity
    for (const body of [BODY, pattern(70_000), pattern(3 << 20)]) {
      const header = `{"parts":[{"type":"application/octet-stream","size":${body.length}}]}`
      for (const lie of [-1, 1, 500]) {
        const { wild: peer, session } = await wild(bob)
        const message = rawEnvelope({ from, to, header }, body)
        const verdicts = await push(peer, [message], ({ size }) => size + lie)
        // refused when the head is read; what else is on the way is late, or out of turn
        assert.ok(peer.over || verdicts.get(message.id) === `refused ${REFUSE.MALFORMED}`, `${body.length} ${lie}`)
        peer.link.close()
        await within(PATIENCE_MS, session.ended)
      }
    }
    assert.equal(await inboxOf(bob), [])
    assert.equal((await parts(bob)).filter((name) => name.includes('/')), [])
  })
})

test('sizes that nobody has: refused before a byte is asked for', async () => {
  await withPair(async (_, bob) => {
    const { wild: peer, session } = await wild(bob)
    const sizes = [2 ** 31, 2 ** 40, Number.MAX_SAFE_INTEGER]
    await peer.link.send({ type: 'offer', items: sizes.map((size, i) => ({ id: i.toString(16).padStart(64, '0'), size })) })
    await until(() => peer.of('refuse').length === sizes.length)
    assert.ok(peer.of('refuse').every(({ code }) => code === REFUSE.TOO_BIG))
    assert.equal(peer.of('want'), [])
    // none, and fewer than a head has, are messages that cannot be
    const small = [0, 1, 134, 135]
    const ids = small.map((_, i) => `f${i}`.padStart(64, 'f'))
    await peer.link.send({ type: 'offer', items: small.map((size, i) => ({ id: ids[i] as string, size })) })
    await until(() => peer.of('want').flatMap(({ items }) => items).length === 3)
    for (const [i, id] of ids.entries()) {
      if (i > 0) await peer.link.send({ type: 'data', id, offset: 0, bytes: pattern(small[i] as number, 3) })
    }
    await until(() => peer.of('refuse').length === sizes.length + small.length)
    peer.link.close()
    await within(PATIENCE_MS, session.ended)
  })
})

test('offers without end: so many are open, and then it is over', async () => {
  await withPair(async (_, bob) => {
    const { wild: peer, session } = await wild(bob)
    let offered = 0
    for (; !peer.over && offered < 100_000; offered += 64) {
      const items = Array.from({ length: 64 }, (_, i) => ({ id: (offered + i).toString(16).padStart(64, '0'), size: 400 }))
      await peer.link.send({ type: 'offer', items }).catch(() => undefined)
      await until(() => peer.over || peer.of('want').length > 0)
    }
    await until(() => peer.over)
    assert.equal(await ends(session), ['offended'])
    const asked = peer.of('want').flatMap(({ items }) => items).length
    assert.ok(asked <= 256, `${asked} asked for at once`)
    assert.equal(await inboxOf(bob), [])
  })
})

test('what a contact says of itself does not lead anywhere it must not', async () => {
  await withPair(async (_, bob) => {
    const { wild: peer, session } = await wild(bob)
    const hosts = ['127.0.0.1', '::1', '0.0.0.0', '169.254.169.254', 'fe80::1', '224.0.0.1', '255.255.255.255', 'victim.example.org']
    const as = (list: string[]): Frame => ({ type: 'addrs', nat: 0, addresses: list.map((host) => ({ host, port: 80, tcp: true, udp: true })) })
    await peer.link.send(as(hosts))
    await peer.link.send(as(['64:ff9b::7f00:1', '2002:7f00:1::', '10.99.99.99', 'localhost', '203.0.113.77']))
    await until(async () => (await told(bob)).includes('203.0.113.77'))
    // 192.0.2.7 is where the call came from
    assert.equal(await told(bob), ['203.0.113.77', '192.0.2.7'], 'no name to look up, nothing local to call')
    peer.link.close()
    await within(PATIENCE_MS, session.ended)
  })
})

async function told({ home }: Side): Promise<string[]> {
  return ((await loadKeyring(home)).all()[0]?.sessionAddresses ?? []).map(({ host }) => host)
}

test('a contact that changes its mind all the time does not keep the disk busy; its last word counts', async () => {
  await withPair(async (_, bob) => {
    const { wild: peer, session } = await wild(bob)
    const since = performance.now()
    for (let i = 0; i < 60; i++) {
      await peer.link.send({ type: 'addrs', nat: 0, addresses: [{ host: `203.0.113.${i}`, port: 9, tcp: true, udp: true }] })
      await pause(20)
    }
    const written = bob.events.filter((event) => event === 'changed').length
    const most = 6 + Math.floor((performance.now() - since) / 5000)
    assert.ok(written <= most, `written ${written} times, ${most} at most`) // five at once, then one in five seconds
    peer.link.close()
    await within(PATIENCE_MS, session.ended)
    await bob.station.close()
    assert.is((await told(bob))[0], '203.0.113.59')
  })
})

test('late words without end: no more of them than of anything nobody asked for', async () => {
  await withPair(async (alice, bob) => {
    const message = await fresh(alice, bob)
    for (const word of ['refuse', 'cancel'] as const) {
      const { wild: peer, session } = await wild(bob)
      const frame: Frame = word === 'cancel' ? { type: 'cancel', id: message.m } : { type: 'refuse', id: message.m, code: REFUSE.BUSY, retry: 9 }
      for (let n = 0; n < 2000 && !peer.over; n++) await peer.link.send(frame).catch(() => undefined)
      assert.equal(await ends(session), ['offended'], word)
    }
    assert.is(await waiting(bob), 1)
  })
})

test('what was malformed counts against the quota of who sent it', async () => {
  await withPair(async (alice, bob) => {
    const from = alice.keyring.self.identity
    const to = bob.keyring.self.identity
    const contact = { ...bob.contact, limits: { quota: 1_000_000 } }
    await updateContact(bob.home, contact.key, () => contact)
    await bob.station.reload()
    const { wild: peer, session } = await wild({ ...bob, contact })
    const body = pattern(400_000)
    const header = '{"parts":[{"type":"a/b","size":400000}]}'
    const made = Array.from({ length: 4 }, () => rawEnvelope({ from, to, header, root: new Uint8Array(32) }, body))
    const verdicts: (string | undefined)[] = []
    for (const message of made) verdicts.push((await push(peer, [message])).get(message.id))
    assert.equal(verdicts, ['refused 11', 'refused 11', 'refused 3', 'refused 3'])
    peer.link.close()
    await within(PATIENCE_MS, session.ended)
  })
})

test('addresses that a contact told and that never answered are called six times a day, and so many of them', async () => {
  await withPair(async (_, bob) => {
    const clock = { ...bob.home.clock, now: () => Date.now() + ahead }
    let ahead = 0
    const home = Object.assign(Object.create(bob.home) as typeof bob.home, { clock })
    const at = (host: string): Address => ({ host, port: 9, tcp: true, udp: true })
    const [victim, other] = [at('203.0.113.1'), at('203.0.113.2')]
    const may = async (...list: Address[]): Promise<string[]> => (await mayTry(home, bob.contact.key, list)).map(({ host }) => host)
    for (let n = 0; n < 6; n++) assert.equal(await may(victim), ['203.0.113.1'])
    assert.equal(await may(victim), [])
    assert.equal(await may(victim, other), ['203.0.113.2'], 'each has its own')
    ahead = 23 * 3_600_000
    assert.equal(await may(victim), [])
    ahead = 25 * 3_600_000
    assert.equal(await may(victim), ['203.0.113.1'])
    await noteAnswered(home, bob.contact.key, [victim])
    for (let n = 0; n < 20; n++) assert.equal(await may(victim), ['203.0.113.1'], 'it answered')
    let called = 0
    for (let n = 0; n < 200; n++) called += (await may(at(`198.51.100.${n}`))).length
    assert.is(called, 64, 'ever new ones give no new calls')
  })
})

test('who is called: what a person handed over always, what a contact told until the day is full', async () => {
  await withPair(async (_, bob) => {
    const at = (host: string): Address => ({ host, port: 9, tcp: true, udp: true })
    const contact = { ...bob.contact, addresses: [at('192.0.2.1')], sessionAddresses: [at('203.0.113.1'), at('192.0.2.1')] }
    const called = async (who: Contact): Promise<string[]> => (await placesOf(bob.home, who)).addresses.map(({ host }) => host)
    for (let n = 0; n < 6; n++) assert.equal(await called(contact), ['203.0.113.1', '192.0.2.1'])
    for (let n = 0; n < 6; n++) assert.equal(await called(contact), ['192.0.2.1'], 'the token was pasted')
    const renewed = { ...contact, told: true }
    for (let n = 0; n < 6; n++) assert.equal(await called(renewed), ['192.0.2.1'], 'the token was told')
    const places = await placesOf(bob.home, renewed)
    assert.equal([places.addresses, places.resting.length], [[], 2])
    await (await placesOf(bob.home, { ...renewed, addresses: [at('198.51.100.1')] })).answered({ remote: { ip: '198.51.100.1', port: 9 } } as Link)
    for (let n = 0; n < 9; n++) assert.equal(await called({ ...renewed, addresses: [at('198.51.100.1')] }), ['198.51.100.1'])
  })
})

test('a token that came in a session leads to no place of this machine', async () => {
  await withPair(async (alice, bob) => {
    const hosts = ['127.0.0.1', '::1', '169.254.169.254', '203.0.113.5']
    const addresses = hosts.map((host) => ({ host, port: 9, tcp: true, udp: true }))
    const seed = await openSeed(alice.home, () => Promise.reject(new Error('not asked')))
    const { token: renewed } = await renewToken(alice.home, seed, addresses)
    const taken = await takeToken(bob.home, bob.contact.key, renewed.bytes)
    assert.equal(taken?.addresses.map(({ host }) => host), ['203.0.113.5'])
    assert.is(taken?.told, true)
    const read = (await loadKeyring(bob.home)).byKey(bob.contact.key)
    assert.equal([read?.told, read?.addresses.length], [true, 1], 'and so it is remembered')
  })
})

test('a call that ends by itself is not kept up by one who only talks', async () => {
  await withPair(async (_, bob) => {
    const clock = new FakeClock()
    const streams = pipe(clock)
    const [near, far] = linkPair(nodeSuite, clock, streams)
    const home = Object.assign(Object.create(bob.home) as typeof bob.home, { clock })
    const station = await Station.open(home, bob.keyring)
    const session = await station.session(near, bob.contact, { oneShot: true, receive: true })
    const peer = new Wild(far)
    await peer.begin()
    let over = false
    void session.ended.then(() => (over = true))
    let said = 0
    for (; !over && said < 600; said++) {
      const talk: Frame[] = [
        { type: 'addrs', nat: 0, addresses: [] },
        { type: 'offer', items: [{ id: said.toString(16).padStart(64, '0'), size: 2 ** 30 - 9 }] },
        { type: 'ping', bytes: EIGHT },
      ]
      await peer.link.send(talk[said % 3] as Frame).catch(() => undefined)
      await clock.advance(1000)
      await pause(said < 60 ? 2 : 100) // its disk has no such clock
    }
    assert.ok(said >= 60 && said < 120, `after ${said} s`)
    await station.close()
  })
})

test.run()
