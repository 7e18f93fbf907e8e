// What crosses the socket between two real listeners, seen by a third: nothing of what is said, by whom, or with which
// keys, and not a byte for whoever cannot prove to be a contact.
// test timeout: 300 s

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { hex, utf8 } from '../lib/base/bytes.ts'
import { base58 } from '../lib/base/key.ts'
import { loadSelf } from '../lib/disk/self.ts'
import { DATA_LARGE, DATA_MAX, dataSize } from '../lib/wire/frame.ts'
import { HELLO_SIZE } from '../lib/wire/hello.ts'
import { callAs, helloOf, knock, SETTINGS } from './caller.ts'
import { noise, pause, type Peer, port, Stage, until } from './peer.ts'
import { type Crossing, Proxy } from './proxy.ts'

const TEXT = 'meet me under the old clock tower at a quarter past nine\n'
const SUBJECT = 'the surprise for Wilhelmina'
const FILE = 'Treasure-Map-Final.pdf'

/** Messages that are full of a large file; all others are padded to 256 bytes. */
const FULL = [DATA_MAX, DATA_LARGE].map((size) => dataSize(size) + 16)

interface Captured {
  up: Buffer
  down: Buffer
  crossings: Crossing[]
}

interface Scene {
  stage: Stage
  alice: Peer
  bob: Peer
  proxy: Proxy
}

async function scene(work: (scene: Scene) => Promise<void>): Promise<void> {
  await Stage.with(async (stage) => {
    const bobsPort = await port()
    const proxy = await Proxy.open({ to: bobsPort, keep: true })
    stage.onClose(() => proxy.close())
    const alice = await stage.peer('Alexandrina')
    const bob = await stage.peer('Bartholomew', { port: bobsPort, addr: [proxy.address] })
    bob.env['P2P_UDP'] = 'false' // past the proxy
    await alice.meet(bob)
    await work({ stage, alice, bob, proxy })
  })
}

function captured({ crossings }: Proxy): Captured {
  const all = (way: 'upBytes' | 'downBytes'): Buffer => Buffer.concat(crossings.flatMap((crossing) => crossing[way]))
  return { up: all('upBytes'), down: all('downBytes'), crossings }
}

/** Every form in which a secret could stand in the open. */
function spellings(secret: Uint8Array): Buffer[] {
  const raw = Buffer.from(secret)
  const text = raw.toString('utf8')
  const shifted = [0, 1, 2].map((n) => Buffer.from(raw.subarray(n).toString('base64').replace(/.{0,2}=*$/, '')))
  const utf16 = Buffer.from(text, 'utf16le')
  return [
    raw,
    Buffer.from(raw).reverse(),
    ...shifted,
    Buffer.from(hex(secret)),
    Buffer.from(hex(secret).toUpperCase()),
    Buffer.from(base58(secret)),
    utf16,
    Buffer.from(utf16).swap16(),
    Buffer.from(text.toUpperCase()),
  ]
}

/** Pieces of 8 bytes of any spelling of the secret that occur in the bytes. */
function found(bytes: Buffer, secret: Uint8Array): string[] {
  const hits: string[] = []
  for (const spelling of spellings(secret)) {
    for (let at = 0; at === 0 || at + 8 <= spelling.length; at += 8) {
      const piece = spelling.subarray(at, at + 8)
      if (piece.length >= 6 && bytes.includes(piece)) hits.push(piece.toString('latin1'))
    }
  }
  return hits
}

async function talk({ alice, bob, proxy }: Scene): Promise<{ said: Captured; ids: string[] }> {
  const listener = await bob.listen()
  const ids = [
    await alice.send(bob.name, ['-m', TEXT, '-s', SUBJECT]),
    await alice.send(bob.name, ['-a', alice.file(FILE, noise(100_000, 8))]),
    await bob.queue(alice.name, ['-m', `${TEXT}?`]),
  ]
  await alice.good('p2p-queue', ['flush'])
  assert.is((await alice.ids()).length, 1)
  await listener.stop()
  return { said: captured(proxy), ids }
}

test('a third sees neither texts, subjects, file names nor names, keys, tokens, ids', async () => {
  await scene(async (now) => {
    const { said, ids } = await talk(now)
    const bytes = Buffer.concat([said.up, said.down])
    assert.ok(said.up.length > 100_000 && said.down.length > 2000)
    const secrets: [string, Uint8Array][] = [
      ['text', utf8(TEXT)],
      ['subject', utf8(SUBJECT)],
      ['file name', utf8(FILE)],
      ['file', noise(100_000, 8).subarray(0, 4096)],
      ['type', utf8('application/pdf')],
      ['magic', utf8('p2p/env/1')],
      ...ids.map((id): [string, Uint8Array] => ['id', Buffer.from(id, 'hex')]),
    ]
    for (const peer of [now.alice, now.bob]) {
      const { identity, token, tokenText } = await loadSelf(peer.home)
      secrets.push(
        ['name', utf8(peer.name)],
        ['identity', identity],
        ['transport key', token.transport],
        ['KEY', utf8(peer.key)],
        ['token', token.bytes],
        ['token text', utf8(tokenText)],
        ['instance', peer.home.instance],
        ['address', utf8('127.0.0.1')],
      )
    }
    for (const [what, secret] of secrets) assert.equal(found(bytes, secret), [], what)
    // and the eye is not blind
    assert.ok(found(Buffer.concat([bytes, utf8(SUBJECT)]), utf8(SUBJECT)).length > 0)
    assert.ok(found(Buffer.concat([bytes, Buffer.from(TEXT, 'utf16le')]), utf8(TEXT)).length > 0)
    assert.ok(found(Buffer.concat([bytes, Buffer.from(`x${TEXT}`).subarray(0)]), utf8(TEXT)).length > 0)
  })
})

test('each way begins with 768 bytes, and two conversations have nothing in common', async () => {
  const blocks = (bytes: Buffer): string[] =>
    Array.from({ length: Math.max(0, bytes.length - 15) }, (_, at) => bytes.toString('latin1', at, at + 16))
  const seen = new Set<string>()
  for (let turn = 0; turn < 2; turn++) {
    await scene(async (now) => {
      const { said } = await talk(now)
      assert.is(said.crossings.length, 3)
      for (const { upBytes, downBytes, firstUp = 0, firstDown = 0 } of said.crossings) {
        assert.is(upBytes[0]?.length, HELLO_SIZE)
        assert.is(downBytes[0]?.length, HELLO_SIZE)
        assert.ok(firstUp <= firstDown, 'the caller speaks first')
        // every transport message says its length, and nothing is left over
        for (const way of [upBytes, downBytes]) {
          const bytes = Buffer.concat(way)
          let at = HELLO_SIZE
          while (at + 2 <= bytes.length) {
            const length = bytes.readUInt16BE(at)
            assert.ok(FULL.includes(length) || (length - 16) % 256 === 0, `a message of ${length} bytes`)
            at += 2 + length
          }
          assert.is(at, bytes.length)
        }
      }
      // the same text, file, names and sizes; other people in another conversation, the same people in one conversation
      const own = said.crossings.flatMap(({ upBytes, downBytes }) => [upBytes, downBytes]).map((way) => blocks(Buffer.concat(way)))
      for (const way of own) {
        assert.is(way.filter((block) => seen.has(block)).length, 0)
        for (const block of way) seen.add(block)
      }
    })
  }
})

/** Pearson's chi-square of the 256 byte values: 255 on average for random bytes, its spread 22.6. */
function chiSquare(bytes: Buffer): number {
  const counts = new Float64Array(256)
  for (const byte of bytes) counts[byte] = (counts[byte] ?? 0) + 1
  const mean = bytes.length / 256
  return counts.reduce((sum, count) => sum + (count - mean) ** 2 / mean, 0)
}

test('the bytes look random, whatever is sent', async () => {
  await scene(async (now) => {
    const { alice, bob, proxy } = now
    const listener = await bob.listen()
    await alice.send(bob.name, ['-a', alice.file('zeros', new Uint8Array(3_000_000))])
    await alice.good('p2p-send', [bob.name, '-l', '-w', '30s'], { input: 'a\n'.repeat(200) })
    await listener.stop()
    const { up, down } = captured(proxy)
    // the lengths in the open, two bytes a message, weigh too little to be seen
    const value = chiSquare(Buffer.concat([up.subarray(0, 3_000_000), down.subarray(0, HELLO_SIZE)]))
    console.log(`# chi-square of ${up.length} bytes: ${value.toFixed(0)}`)
    assert.ok(value > 130 && value < 420, `chi-square ${value}`)
    assert.ok(chiSquare(Buffer.alloc(1000, 1)) > 1000, 'the measure measures')
  })
})

test('the responder is silent before 768 bytes have come, and to all that proves nothing', async () => {
  await scene(async ({ stage, alice, bob, proxy }) => {
    const mallory = await stage.peer('mallory')
    await mallory.learn(bob)
    const eve = await stage.peer('eve')
    await eve.meet(bob)
    assert.is((await bob.run('p2p-id', ['block', 'eve'])).code, 0)
    const listener = await bob.listen()
    await alice.send(bob.name, ['-m', 'hello']) // captured, to be played again
    const again = proxy.crossings[0]?.upBytes
    const { home } = bob
    const flipped = await helloOf(alice, bob)
    flipped[700] = (flipped[700] ?? 0) ^ 1
    const tries: [string, Buffer[]][] = [
      ['nothing', []],
      ['one byte', [Buffer.from([1])]],
      ['HTTP', [Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')]],
      ['TLS', [Buffer.from('16030100f8010000f40303', 'hex'), Buffer.from(noise(244, 1))]],
      ['SSH', [Buffer.from('SSH-2.0-OpenSSH_9.6\r\n')]],
      ['768 bytes of noise', [Buffer.from(noise(768, 2))]],
      ['768 zeros', [Buffer.alloc(768)]],
      ['a lot of noise', [Buffer.from(noise(200_000, 3))]],
      ['half a hello', [(await helloOf(alice, bob)).subarray(0, 384)]],
      ['all but the last byte', [(await helloOf(alice, bob)).subarray(0, 767)]],
      ['a hello with one bit changed', [flipped]],
      ['a hello for somebody else', [await helloOf(alice, mallory)]],
      ["a stranger's hello", [await helloOf(mallory, bob)]],
      ["a blocked contact's hello", [await helloOf(eve, bob)]],
      ['the first hello once more', [Buffer.concat(again ?? []).subarray(0, 768)]],
      ['the whole conversation once more', [Buffer.concat(again ?? [])]],
    ]
    const raws = []
    for (const [what, pieces] of tries) {
      const raw = await knock(home.port)
      for (const piece of pieces) raw.socket.write(piece)
      raws.push({ what, raw })
    }
    await pause(2500)
    for (const { what, raw } of raws) {
      assert.is(raw.came().length, 0, what)
      assert.ok(!raw.socket.readableEnded && !raw.socket.destroyed, `${what}: not even a close`)
    }
    // the byte that was missing: then, and only then, an answer, of just this size
    const good = await helloOf(alice, bob)
    const slow = await knock(home.port)
    slow.socket.write(good.subarray(0, 767))
    await pause(500)
    assert.is(slow.came().length, 0)
    slow.socket.write(good.subarray(767))
    await until('the answer', () => slow.came().length > 0)
    await pause(1500)
    assert.is(slow.came().length, HELLO_SIZE, 'nothing more before the caller has shown its keys')
    slow.socket.write(Buffer.concat([Buffer.from([1, 16]), Buffer.from(noise(272, 4))])) // a frame with other keys
    await pause(500)
    assert.is(slow.came().length, HELLO_SIZE)
    for (const { raw } of [...raws, { raw: slow }]) raw.socket.destroy()
    // none of it did any harm
    await alice.send(bob.name, ['-m', 'still there?'])
    assert.is((await bob.ids()).length, 2)
    assert.is((await listener.stop()).code, 0, listener.err)
    assert.equal(listener.of('notice'), [])
  })
})

test('whoever has the keys is answered: the eye above is not blind', async () => {
  await scene(async ({ alice, bob }) => {
    const listener = await bob.listen()
    const link = await callAs(alice, bob)
    await link.send(SETTINGS)
    assert.is((await link.receive())?.type, 'settings')
    link.close()
    await listener.stop()
  })
})

test.run()
