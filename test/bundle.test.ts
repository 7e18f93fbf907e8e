// Bundles, p2p-wire(7): the format against every cut and every flipped bit, and what becomes of messages that are
// carried by hand, in whatever order, however often, by whomever.
// test timeout: 600 s

import { spawnSync } from 'node:child_process'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'

import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { concat, fromHex } from '../lib/base/bytes.ts'
import { Failure, Malformed } from '../lib/base/fail.ts'
import { systemRandom } from '../lib/base/random.ts'
import { nodeSuite } from '../lib/crypto/suite-node.ts'
import { importBundle } from '../lib/delivery/bundlein.ts'
import { exportBundle } from '../lib/delivery/bundleout.ts'
import { Station } from '../lib/delivery/station.ts'
import { loadKeyring } from '../lib/disk/keyring.ts'
import { updateContact } from '../lib/disk/contacts.ts'
import { readReceipts } from '../lib/disk/receipts.ts'
import {
  BundleWriter,
  CHUNK_MAX,
  messageRecord,
  openBundle,
  openChunks,
  OPENING_SIZE,
  Pieces,
  receiptProof,
  receiptRecord,
} from '../lib/wire/bundle.ts'
import { argvOf } from './command.ts'
import { mortal, Killed } from './mortal.ts'
import { envelope, file, inboxOf, pattern, send, short, type Side, text, waiting, withPair } from './pair.ts'
import { Stage } from './peer.ts'
import { records } from './records.ts'

const suite = nodeSuite
const me = { identity: systemRandom.bytes(32), key: suite.generate(systemRandom) }
const you = { identity: systemRandom.bytes(32), key: suite.generate(systemRandom) }
const recipient = { identity: you.identity, transport: you.key.publicKey }

async function* split(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

function sealed(contents: Uint8Array[], token = new Uint8Array(0)): Uint8Array {
  const payload = { identity: me.identity, seq: 7n, created: 1_700_000_000_000, token }
  const bundle = new BundleWriter(suite, systemRandom, me.key, recipient, payload)
  return concat(bundle.opening, ...contents.flatMap((piece) => bundle.write(piece)), bundle.finish())
}

async function unseal(bytes: Uint8Array, piece = 1 << 20): Promise<Uint8Array> {
  const source = new Pieces(split(bytes, piece))
  const opening = await source.take(OPENING_SIZE)
  const open = openBundle(opening, suite, systemRandom, { identity: you.identity, keys: [you.key] })
  if (typeof open === 'string') throw new Error(open)
  assert.equal(open.transport, me.key.publicKey)
  assert.equal(open.payload.identity, me.identity)
  const chunks: Uint8Array[] = []
  for await (const chunk of openChunks(source, open.cipher)) chunks.push(chunk)
  return concat(...chunks)
}

async function refusal(work: Promise<unknown>): Promise<string> {
  try {
    await work
  } catch (error) {
    if (error instanceof Malformed || error instanceof Failure) return error.message
    throw error
  }
  return 'taken'
}

test('any content comes back as it was, in pieces of any size', async () => {
  const sizes = [0, 1, CHUNK_MAX - 1, CHUNK_MAX, CHUNK_MAX + 1, 3 * CHUNK_MAX]
  for (const size of sizes) assert.equal(await unseal(sealed([pattern(size)]), 1000), pattern(size), `${size}`)
  await fc.assert(
    fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 70_000 }), { maxLength: 5 }), fc.integer({ min: 1, max: 99_999 }), async (contents, piece) => {
      assert.equal(await unseal(sealed(contents), piece), concat(...contents))
    }),
    { numRuns: 60 },
  )
})

test('a bundle that is cut anywhere, longer, or has one bit flipped anywhere is not taken for whole', async () => {
  const whole = sealed([pattern(200)])
  for (let length = 0; length < whole.length; length++) {
    assert.is(await refusal(unseal(whole.subarray(0, length))), 'truncated', `cut to ${length}`)
  }
  assert.is(await refusal(unseal(concat(whole, Uint8Array.of(0)))), 'bytes behind the last chunk')
  for (let bit = 0; bit < whole.length * 8; bit++) {
    const bent = new Uint8Array(whole)
    bent[bit >> 3] = (bent[bit >> 3] as number) ^ (1 << (bit & 7))
    const said = await refusal(unseal(bent).catch((error: Error) => {
      if (error.message === 'other' || error.message === 'old') throw new Malformed(error.message) // a mark
      throw error
    }))
    assert.is.not(said, 'taken', `bit ${bit}`)
  }
})

test('chunks that are left out, doubled or swapped are found', async () => {
  const whole = sealed([pattern(4 * CHUNK_MAX)])
  const chunks: Uint8Array[] = []
  for (let at = OPENING_SIZE; at < whole.length; ) {
    const size = 2 + ((whole[at] as number) << 8) + (whole[at + 1] as number)
    chunks.push(whole.subarray(at, at + size))
    at += size
  }
  const [a, b, c, d] = chunks as [Uint8Array, Uint8Array, Uint8Array, Uint8Array]
  assert.is(chunks.length, 4)
  const opening = whole.subarray(0, OPENING_SIZE)
  for (const order of [[a, c, d], [a, a, b, c, d], [b, a, c, d], [d], [a, b, d]]) {
    assert.is(await refusal(unseal(concat(opening, ...order))), 'cannot open')
  }
  assert.is(await refusal(unseal(concat(opening, a, b, c))), 'truncated')
})

test('whom it is for can be told from the marks, and only by those who hold that token', () => {
  const whole = sealed([])
  const opening = whole.subarray(0, OPENING_SIZE)
  const other = { identity: me.identity, keys: [me.key] }
  assert.is(openBundle(opening, suite, systemRandom, other), 'other')
  assert.is(openBundle(opening, suite, systemRandom, { identity: you.identity, keys: [me.key] }), 'old')
  const older = openBundle(opening, suite, systemRandom, { identity: you.identity, keys: [me.key, you.key] })
  assert.type(older, 'object', 'an older key opens it as well')
  const again = sealed([])
  assert.not.equal(opening.subarray(5, 21), again.subarray(5, 21), 'no two bundles share a mark')
})

async function bundleFrom(from: Side): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  const tally = { messages: [], receipts: 0, damaged: [] }
  for await (const piece of exportBundle(from.station, from.contact, tally)) parts.push(piece)
  return concat(...parts)
}

const quiet = { received: () => undefined, delivered: () => undefined }
const take = (to: Side, bundle: Uint8Array, piece = 50_000): ReturnType<typeof importBundle> =>
  importBundle(to.station, split(bundle, piece), quiet)

/** A bundle as this side could make it, with whatever content. */
function forged(from: Side, contents: Uint8Array[], identity = from.keyring.self.identity): Uint8Array {
  const { token } = from.keyring.self
  const payload = { identity, seq: token.seq, created: from.home.clock.now(), token: token.bytes }
  const bundle = new BundleWriter(suite, systemRandom, from.station.ownKey, from.contact, payload)
  return concat(bundle.opening, ...contents.flatMap((piece) => bundle.write(piece)), bundle.finish())
}

test('messages arrive once however often a bundle is brought; the receipts of the next one empty the queue', async () => {
  await withPair(async (alice, bob) => {
    const sent = await send(alice, [
      [text('one')],
      [text('two'), file(pattern(100_000)), file(new Uint8Array(0))],
      [file(pattern(12 << 20, 3))],
    ])
    const bundle = await bundleFrom(alice)
    assert.is(await waiting(alice), 3, 'nothing leaves the queue by an export')
    const first = await take(bob, bundle)
    assert.equal([first.messages, first.known, first.damage], [3, 0, undefined])
    const second = await take(bob, bundle, 777)
    assert.equal([second.messages, second.known], [0, 3])
    assert.equal(await inboxOf(bob), short(sent))
    assert.is((await readReceipts(bob.home, bob.contact.key)).length, 3, 'each once')

    const back = await bundleFrom(bob)
    assert.is((await take(alice, back)).receipts, 3)
    assert.is(await waiting(alice), 0)
    assert.equal((await take(alice, back)).receipts, 0, 'an old receipt does nothing')
    assert.equal(alice.events.filter((event) => !event.startsWith('changed')), [])
  })
})

test('a bundle that is cut: what is whole before the cut is taken, a large one goes on from there', async () => {
  await withPair(async (alice, bob) => {
    const sent = await send(alice, [[text('one')], [file(pattern(5 << 20))], [text('three')]])
    const bundle = await bundleFrom(alice)
    for (const length of [OPENING_SIZE, OPENING_SIZE + 1, 2 << 20, bundle.length - 1]) {
      const cut = await take(bob, bundle.subarray(0, length))
      assert.is(cut.damage?.exit, 65)
      assert.match(cut.damage?.message ?? '', /is cut off/)
    }
    assert.is((await inboxOf(bob)).length, 1, 'the end of the second stands in the last chunk')
    assert.is((await bob.home.files.list(bob.home.at('part', bob.contact.key))).length, 1, 'and what came of it is kept')
    assert.is((await take(bob, bundle)).messages, 2)
    assert.equal(await inboxOf(bob), short(sent))
  })
})

test('who it is from is proven, and all that somebody claims beyond that is refused', async () => {
  await withPair(async (alice, bob) => {
    const own = envelope(alice, [{ bytes: pattern(10) }])
    const others = envelope(bob, [{ bytes: pattern(10) }]) // from bob to alice, in a bundle of alice's
    const record = ({ bytes }: { bytes: Uint8Array }): Uint8Array[] => [messageRecord(bytes.length), bytes]
    const lying = new Uint8Array(own.bytes)
    lying[lying.length - 1] = 99
    const result = await take(bob, forged(alice, [...record(others), ...record({ bytes: lying }), ...record(own)]))
    assert.equal([result.messages, result.refused.map(({ text }) => text)], [
      1,
      ['malformed: sent by somebody else', 'malformed: the body is not what the id says'],
    ])
    assert.equal(await inboxOf(bob), [own.head.id.slice(0, 32)])

    const claimed = forged(alice, [], bob.keyring.self.identity) // alice's key, another's identity
    assert.match(await refusal(take(bob, claimed)), /who is no contact$/)
    for (const junk of [[Uint8Array.of(9)], [messageRecord(5), pattern(5)], [messageRecord(2 ** 52), pattern(500)], [Uint8Array.of(1, 2)]]) {
      assert.is((await take(bob, forged(alice, junk))).damage?.exit, 65)
    }
    assert.is(await refusal(take(bob, pattern(5000))), 'not a bundle')
    assert.match(await refusal(take(alice, await bundleFrom(alice))), /for somebody else/)
    assert.is((await inboxOf(bob)).length, 1)

    await updateContact(bob.home, bob.contact.key, (contact) => ({ ...contact, transport: bob.station.ownKey.publicKey }))
    await bob.station.reload()
    assert.match(await refusal(take(bob, await bundleFrom(alice))), /the key in it is another/)
    await updateContact(bob.home, bob.contact.key, (contact) => ({ ...contact, blocked: true }))
    await bob.station.reload()
    assert.match(await refusal(take(bob, await bundleFrom(alice))), /who is blocked/)
  })
})

test('a receipt that does not prove itself takes nothing out of a queue', async () => {
  await withPair(async (alice, bob) => {
    const [queued] = await send(alice, [[text('wait for me')]])
    assert.ok(queued)
    const id = fromHex(queued.id)
    const wrong = [new Uint8Array(32), systemRandom.bytes(32), receiptProof(suite, new Uint8Array(100), id)]
    const bundle = forged(bob, wrong.map((proof) => receiptRecord(id, proof)))
    assert.is((await take(alice, bundle)).receipts, 0)
    assert.is(await waiting(alice), 1)
    const unknown = systemRandom.bytes(32)
    assert.is((await take(alice, forged(bob, [receiptRecord(unknown, unknown)]))).receipts, 0)
  })
})

test('an import that is killed at any step: brought again, each message is there once', async () => {
  await withPair(async (alice, bob) => {
    const steps: number[] = []
    for (let at = 0; at < 400; at++) {
      const sent = await send(alice, [[text(`one ${at}`)], [file(pattern(70_000, at))]])
      const bundle = await bundleFrom(alice)
      const doors = mortal(at)
      const home = Object.assign(Object.create(Object.getPrototypeOf(bob.home) as object) as typeof bob.home, bob.home, {
        files: doors.files,
      })
      const station = await Station.open(home, await loadKeyring(bob.home))
      await importBundle(station, split(bundle, 9999), quiet).catch((error: unknown) => assert.instance(error, Killed))
      await doors.idle()
      for (const name of await bob.home.files.list(bob.home.at('lock'))) {
        if (name.startsWith('receiver.')) rmSync(bob.home.at('lock', name), { recursive: true }) // its holder is dead
      }
      await take(bob, bundle)
      const there = new Set(await inboxOf(bob))
      assert.ok(short(sent).every((id) => there.has(id)), `lost after step ${at}`)
      const all = await inboxOf(bob)
      assert.is(all.length, new Set(all).size, `doubled after step ${at}`)
      await take(alice, await bundleFrom(bob))
      assert.is(await waiting(alice), 0)
      if (!doors.dead) {
        steps.push(at)
        break
      }
    }
    assert.ok((steps[0] ?? 0) > 20, 'the sweep reached the end')
  })
})

test('the commands, between two machines without any network', async () => {
  const alone = spawnSync('unshare', ['-rn', 'true']).status === 0 ? ['unshare', '-rn'] : undefined
  if (alone === undefined) console.log('skip: bundles without a network: no right to make a network namespace')
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const run = (peer: typeof alice, args: string[], stdin?: Uint8Array): { code: number | null; out: string; raw: Uint8Array; err: string } => {
      const [program = '', ...before] = [...(alone ?? []), ...argvOf('p2p-queue')]
      const ran = spawnSync(program, [...before, ...args, '--home', peer.path], { input: stdin ?? '', env: { PATH: process.env['PATH'] } })
      return { code: ran.status, out: ran.stdout.toString(), raw: ran.stdout, err: ran.stderr.toString() }
    }
    const ids = [await alice.queue('bob', ['-m', 'by hand']), await alice.queue('bob', ['-m', 'and again'])]
    const exported = run(alice, ['export', 'bob'])
    assert.is(exported.code, 0, exported.err)
    assert.match(exported.err, /2 messages and 0 receipts for bob/)
    const taken = run(bob, ['import'], exported.raw)
    assert.is(taken.code, 0, taken.err)
    assert.equal(records(taken.out).map(({ type, id }) => [type, id]), [['message', ids[0]], ['message', ids[1]], ['bundle', undefined]])
    const again = run(bob, ['import', '--text'], exported.raw)
    assert.equal([again.code, again.out], [0, 'alice  bundle  0 new messages, 2 that were here already\n'])
    for (const [bytes, said] of [
      [exported.raw.subarray(0, 900), /the bundle is cut off/],
      [pattern(3000), /not a bundle/],
      [new Uint8Array(0), /the bundle is damaged/],
    ] as const) {
      const bad = run(bob, ['import'], bytes)
      assert.is(bad.code, 65)
      assert.match(bad.err, said)
    }
    assert.match(run(alice, ['import'], exported.raw).err, /the bundle is for somebody else/)
    const path = alice.at('..', 'back.p2p')
    const back = run(bob, ['export', 'alice', '-o', path])
    assert.equal(records(back.out).map(({ type, messages, receipts, size }) => [type, messages, receipts, size]), [
      ['bundle', 0, 2, readFileSync(path).length],
    ])
    assert.is(run(bob, ['export', 'alice', '-o', path]).code, 73, 'never over a file')
    const told = run(alice, ['import', path])
    assert.equal(records(told.out).map(({ type, id }) => [type, id]), [['delivered', ids[0]], ['delivered', ids[1]], ['bundle', undefined]])
    assert.equal(run(alice, ['list']).out, '')
    assert.is(run(alice, ['import', `${path}.none`]).code, 66)
    assert.is(run(alice, ['export', 'nobody']).code, 67)
    assert.is(run(alice, ['export', '-q', 'bob']).code, 64)
    writeFileSync(path, 'x')
    const eve = await stage.peer('eve')
    await eve.meet(bob)
    await eve.queue('bob', ['-m', 'hi'])
    const stranger = run(eve, ['export', 'bob'])
    await bob.good('p2p-id', ['remove', 'eve'])
    const refused = run(bob, ['import'], stranger.raw)
    assert.equal([refused.code, /who is no contact/.test(refused.err)], [67, true])
    assert.equal([...alice.strays(), ...bob.strays()], [])
  })
})

test.run()
