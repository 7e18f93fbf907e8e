// Large messages over links that break and between processes that are killed: what has arrived is not sent again, and
// the message is in the inbox exactly once, to the byte.
// test timeout: 600 s

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { missing } from './bench/measure.ts'
import { noise, pause, type Peer, port, type Running, sha256, Stage, until } from './peer.ts'
import { type Cut, Proxy } from './proxy.ts'
import { MIB, Resume, type ResumeReport } from './soak/resume.ts'

interface Scene {
  stage: Stage
  alice: Peer
  bob: Peer
  /** Between alice and bob's door. */
  proxy: Proxy
}

async function scene(work: (scene: Scene) => Promise<void>): Promise<void> {
  await Stage.with(async (stage) => {
    const bobsPort = await port()
    const proxy = await Proxy.open({ to: bobsPort })
    stage.onClose(() => proxy.close())
    const [alice, bob] = await stage.pair({}, { port: bobsPort, addr: [proxy.address] })
    for (const { env } of [alice, bob]) env['P2P_UDP'] = 'false' // past the proxy; and nobody waits for its silence
    await work({ stage, alice, bob, proxy })
  })
}

/** Exactly this message is there, nothing waits, nothing lies around. */
async function arrived({ alice, bob }: Scene, id: string, bytes: Uint8Array): Promise<void> {
  const held = await bob.box('inbox')
  assert.equal(held.map((one) => one.id), [id], 'exactly once')
  assert.equal(held[0]?.files.map((file) => [file.bytes.length, sha256(file.bytes)]), [[bytes.length, sha256(bytes)]])
  assert.equal(await alice.waiting(), [])
  assert.equal([...alice.strays(), ...bob.strays()], [])
}

/** Tries until nothing waits any more. */
async function flush(alice: Peer, tries: number): Promise<void> {
  for (let count = 0; (await alice.waiting()).length > 0; count++) {
    assert.ok(count < tries, `still waiting after ${tries} flushes`)
    const ran = await alice.run('p2p-queue', ['flush'])
    assert.is(ran.code, 0, ran.err)
  }
}

/**
 * As if days had passed, and somebody sweeps. Who died between removing the note of its lock and the lock counts as
 * alive for two seconds: 75.
 */
async function swept(peer: Peer): Promise<void> {
  peer.age()
  await until('a flush', async () => (await peer.run('p2p-queue', ['flush'])).code === 0)
}

/** Two checkpoints of 16 MiB, and some. */
const SIZE = 34 * MIB
// A hello has 768 bytes, the first frame behind it 2 + 256 + 16: then comes the length of the second.
const SECOND = 768 + 2 + 256 + 16
const CUTS: [string, Cut[]][] = [
  ['inside the hellos', [{ up: 1 }, { up: 767 }, { down: 1 }, { down: 500 }, { up: 768 }]],
  ['inside frame headers', [{ up: 769 }, { down: 769 }, { up: SECOND + 1 }, { down: SECOND + 1 }, { up: 2_000_001 }]],
  ['in the middle of chunks', [4, 5, 6, 7, 6].map((mib) => ({ up: mib * MIB + 123_457 }))],
  ['anywhere', Array.from({ length: 5 }, () => ({ up: Math.floor(Math.random() * 6 * MIB) }))],
]

for (const [where, cuts] of CUTS) {
  test(`a link is cut five times ${where}: the file arrives, and not from the start each time`, async () => {
    await scene(async (now) => {
      const { alice, bob, proxy } = now
      const bytes = noise(SIZE, 1)
      const listener = await bob.listen()
      const id = await alice.queue('bob', ['-a', alice.file('big.bin', bytes)])
      proxy.cuts.push(...cuts)
      await flush(alice, cuts.length + 1)
      await arrived(now, id, bytes)
      assert.is(proxy.crossings.length, cuts.length + 1, 'every cut was one')
      assert.ok(proxy.total < 1.6 * SIZE, `${proxy.total} bytes crossed: ${JSON.stringify(cuts)}`)
      assert.is((await listener.stop()).code, 0)
      const share = (proxy.total / SIZE).toFixed(2)
      console.log(`# cut ${where}: ${share} times its size crossed over ${proxy.crossings.length} connections`)
    })
  })
}

test('two listeners dial again by themselves after a cut', async () => {
  await scene(async (now) => {
    const { alice, bob, proxy } = now
    const bytes = noise(SIZE, 2)
    proxy.cuts.push({ up: 9 * MIB }, { up: 12 * MIB + 1 })
    const id = await alice.queue('bob', ['-a', alice.file('big.bin', bytes)])
    const receiver = await bob.listen()
    const sender = await alice.listen()
    await receiver.until('message')
    await sender.until('delivered')
    await arrived(now, id, bytes)
    assert.ok(proxy.total < 1.6 * SIZE, `${proxy.total} bytes crossed`)
  })
})

/** When so many bytes have crossed to bob since now. */
function crossed(proxy: Proxy, bytes: number): Promise<void> {
  const since = proxy.crossings.reduce((sum, { up }) => sum + up, 0)
  return new Promise((resolve) => {
    proxy.onBytes = () => {
      if (proxy.crossings.reduce((sum, { up }) => sum + up, 0) - since >= bytes) resolve()
    }
  })
}

test('the receiver is killed at six moments: resumed, exactly once', async () => {
  await scene(async (now) => {
    const { alice, bob, proxy } = now
    const bytes = noise(SIZE, 3)
    const id = await alice.queue('bob', ['-a', alice.file('big.bin', bytes)])
    let receiver: Running
    // the first hello, early, after the first durable 16 MiB, late, and twice around the end
    for (const after of [700, 3 * MIB, 17 * MIB, 5 * MIB, 4 * MIB]) {
      receiver = await bob.listen()
      const there = crossed(proxy, after)
      const sender = alice.start('p2p-queue', ['flush'])
      await Promise.race([there, sender.ended])
      await receiver.kill()
      assert.is((await sender.ended).code, 0, sender.err)
    }
    receiver = await bob.listen()
    const sender = alice.start('p2p-queue', ['flush'])
    await receiver.until('message') // delivered: the ACK may or may not be on its way
    await receiver.kill()
    await sender.ended
    receiver = await bob.listen()
    await flush(alice, 3)
    await receiver.stop()
    await swept(bob)
    await arrived(now, id, bytes)
    console.log(`# killed receiver: ${(proxy.total / SIZE).toFixed(2)} times its size crossed`)
  })
})

test('the sender is killed at six moments: resumed, exactly once', async () => {
  await scene(async (now) => {
    const { alice, bob, proxy } = now
    const bytes = noise(SIZE, 4)
    const path = alice.file('big.bin', bytes)
    const receiver = await bob.listen()
    const id = await alice.queue('bob', ['-a', path])
    for (const after of [700, 2 * MIB, 17 * MIB, 8 * MIB]) {
      const there = crossed(proxy, after)
      const sender = alice.start('p2p-queue', ['flush'])
      await Promise.race([there, sender.ended])
      await sender.kill()
    }
    const last = alice.start('p2p-queue', ['flush'])
    await receiver.until('message')
    await last.kill() // before the ACK, or between the steps that settle the message
    await flush(alice, 3)
    await swept(alice)
    await arrived(now, id, bytes)
    console.log(`# killed sender: ${(proxy.total / SIZE).toFixed(2)} times its size crossed`)
  })
})

// make resume does the same with 4 GiB and 100 cuts. A receiver that is killed has up to a chunk in memory and a few on
// their way to the disk; in every other case it keeps what it took in, but for what its socket had read ahead.
test('sender killed, receiver killed, reset, silence: little crosses twice, only what no checkpoint covers is hashed again', async () => {
  if (missing('strace') !== undefined) return console.log('skip: what a receiver reads again: strace is not installed')
  const dir = mkdtempSync(join(tmpdir(), 's-'))
  try {
    let ended: string | undefined
    let told: ResumeReport | undefined
    for (const seconds of [4, Infinity]) {
      if (ended === 'done') break // a fast machine
      const work = await Resume.open(dir, { bytes: 96 * MIB, cuts: 8, seed: 7 })
      try {
        ended = await work.run(seconds)
        told = work.report()
      } finally {
        await work.close()
      }
    }
    assert.is(ended, 'done')
    const { made, twice, hashed, behind, peaks } = told as ResumeReport
    assert.equal(made, { sender: 3, receiver: 2, reset: 2, silence: 1 })
    assert.ok(twice <= 3 * 4 * MIB + 6 * MIB, `${twice} bytes twice`) // of three deaths, the one between the two calls
    assert.ok(hashed > 0 && hashed <= behind, `${hashed} bytes hashed again, ${behind} lay behind checkpoints`)
    for (const peak of [peaks.accepting, peaks.sender, peaks.receiver]) {
      assert.ok(peak > peaks.node && peak - peaks.node < 80 * MIB, JSON.stringify(peaks))
    }
    console.log(`# resume: ${JSON.stringify(told)}`)
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
})

test('p2p-send is killed while it accepts: nothing waits, or the whole message', async () => {
  await scene(async ({ alice, bob }) => {
    const bytes = noise(SIZE, 6)
    const path = alice.file('big.bin', bytes)
    for (const ms of [180, 260, 340, 500, 700]) {
      const sender = alice.start('p2p-send', ['bob', '-a', path, '--queue-only'])
      await pause(ms)
      await sender.kill()
    }
    const waiting = await alice.waiting()
    const listener = await bob.listen()
    await flush(alice, 2)
    const held = await bob.box('inbox')
    assert.equal(held.map(({ id }) => id), waiting)
    for (const { files } of held) assert.is(sha256(files[0]?.bytes ?? new Uint8Array(0)), sha256(bytes))
    await alice.send('bob', ['-m', 'end'])
    console.log(`# killed while accepting: ${waiting.length} of 5 were accepted, left over: ${alice.strays().length}`)
    await listener.stop()
  })
})

test('p2p-send is killed while it sends: its message stays queued and is resumed', async () => {
  await scene(async (now) => {
    const { alice, bob, proxy } = now
    const bytes = noise(SIZE, 5)
    await bob.listen()
    const there = crossed(proxy, 20 * MIB)
    const sender = alice.start('p2p-send', ['bob', '-a', alice.file('big.bin', bytes), '--json', '-w', '60s'])
    const { id } = await sender.until('queued')
    await there
    await sender.kill()
    await flush(alice, 3)
    await arrived(now, String(id), bytes)
    assert.ok(proxy.total < 1.6 * SIZE, `${proxy.total} bytes crossed`)
  })
})

test('both sides are killed again and again while many small messages move: each once', async () => {
  await scene(async ({ alice, bob, proxy }) => {
    const lines = Array.from({ length: 400 }, (_, i) => `n ${i}`)
    await alice.good('p2p-send', ['bob', '-l', '--queue-only'], { input: lines.join('\n') })
    await bob.good('p2p-send', ['alice', '-l', '--queue-only'], { input: lines.join('\n') })
    const left = (): number => alice.files('queue', bob.key, 'new').length + bob.files('queue', alice.key, 'new').length
    // So little passes in a turn that some are left, however fast the machine: the offers and a quarter of the messages.
    proxy.onBytes = (crossing) => {
      if (crossing.up > 50_000) crossing.hold()
    }
    let turns = 0
    for (; turns < 8 && left() > 0; turns++) {
      const b = await bob.listen()
      const a = await alice.listen() // it is she who calls, through the proxy
      await until('some messages', () => left() === 0 || b.of('message').length + a.of('message').length > turns * 4)
      await Promise.all(turns % 2 === 0 ? [a.kill(), b.kill()] : [b.kill(), a.kill()])
    }
    console.log(`# both killed ${turns} times`)
    assert.ok(turns > 2)
    proxy.onBytes = () => undefined
    const [a, b] = [await alice.listen(), await bob.listen()]
    await until('both queues', async () => (await alice.waiting()).length + (await bob.waiting()).length === 0)
    await Promise.all([a.stop(), b.stop()])
    for (const peer of [alice, bob]) {
      const texts = (await peer.box('inbox')).map(({ text }) => new TextDecoder().decode(text))
      assert.equal(texts.toSorted(), lines.toSorted(), `${peer.name} has each once`)
      assert.equal(peer.strays(), [])
    }
  })
})

test.run()
