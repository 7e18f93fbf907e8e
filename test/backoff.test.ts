// When p2p-send does not offer a message, and says so: somebody who was called in vain a moment ago is not called for
// each line of a stream, and what its owner holds back is not told as a failure.

import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { systemClock } from '../lib/base/clock.ts'
import { Backoff } from '../lib/delivery/backoff.ts'
import { Stage } from './peer.ts'

test('a contact rests for 30 seconds, and no other with it', () => {
  let now = 0
  const backoff = new Backoff({ ...systemClock, monotonic: () => now })
  const vain = { reason: 'timeout', text: 'off', addresses: [], attempts: 3, next: 99 }
  backoff.note('bob', vain)
  assert.is(backoff.rests('eve'), undefined)
  now = 29_999
  assert.equal(backoff.rests('bob'), { ...vain, type: 'deferred', reason: 'backoff', text: 'called in vain a moment ago: off' })
  now = 30_000
  assert.is(backoff.rests('bob'), undefined)
})

test('a wait that is over is one of 0: newer nodes warn of less, on standard error', async () => {
  const before = globalThis.setTimeout
  const asked: number[] = []
  const noting = (run: () => void, ms: number): NodeJS.Timeout => {
    asked.push(ms)
    return before(run, ms)
  }
  globalThis.setTimeout = noting as typeof setTimeout
  try {
    await new Promise<void>((done) => systemClock.after(-20, done))
  } finally {
    globalThis.setTimeout = before
  }
  assert.equal(asked, [0])
})

test('a stream of messages to somebody who is away costs one call; somebody else is called', async () => {
  await Stage.with(async (stage) => {
    const [alice] = await stage.pair()
    const eve = await stage.peer('eve')
    await alice.meet(eve)
    const there = await eve.listen()
    const sending = alice.start('p2p-send', ['--ndjson', '-w', '20s'], { stdin: 'pipe' })
    const say = (ref: number, to: string): void => void sending.child.stdin?.write(`{"to":"${to}","text":"x","ref":${ref}}\n`)
    say(1, 'bob')
    const first = await sending.until('deferred', ({ ref }) => ref === 1)
    assert.equal([first['reason'], first['attempts']], ['refused', 1])
    say(2, 'bob')
    const second = await sending.until('deferred', ({ ref }) => ref === 2)
    assert.equal([second['reason'], second['attempts'], second['addresses']], ['backoff', 1, first['addresses']])
    assert.match(String(second['text']), /^called in vain a moment ago: the machine answers/)
    assert.is(second['next'], first['next'])
    say(3, 'eve')
    await sending.until('delivered', ({ ref }) => ref === 3)
    sending.child.stdin?.end()
    assert.is((await sending.ended).code, 75)
    const listed = await alice.good('p2p-queue', ['list'])
    assert.equal(listed.map(({ attempts }) => attempts), [1, 0])
    await there.stop()
  })
})

test('a pass over a thousand messages for somebody who hangs up is one call, and one line in the log', async () => {
  await Stage.with(async (stage) => {
    let calls = 0
    const gruff = createServer((socket) => {
      calls++
      socket.on('error', () => undefined).destroy()
    })
    await new Promise<void>((resolve) => gruff.listen(0, '127.0.0.1', resolve))
    stage.onClose(() => new Promise<void>((resolve) => gruff.close(() => resolve())))
    const address = gruff.address()
    const port = typeof address === 'object' ? address?.port : 0
    const [alice, bob] = await stage.pair({}, { addr: [`127.0.0.1:${port}`] })
    const lines = alice.file('lines', 'hello\n'.repeat(1000))
    await alice.good('p2p-send', ['bob', '--lines', '--queue-only'], { input: readFileSync(lines) })
    await alice.run('p2p-queue', ['flush', '--json'])
    assert.is(calls, 1)
    const log = readFileSync(alice.at('queue', bob.key, 'log'), 'utf8')
    assert.is(log.split('\n').filter((line) => line.includes('"event":"attempt"')).length, 1)
    assert.is(alice.files('queue', bob.key, 'new').length, 1000)
  })
})

test('a message that is held back while p2p-send waits is told as held, not as lost', async () => {
  await Stage.with(async (stage) => {
    const silent = createServer((socket) => void socket.resume().on('error', () => undefined))
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
    stage.onClose(() => new Promise<void>((resolve) => silent.close(() => resolve())))
    const address = silent.address()
    const port = typeof address === 'object' ? address?.port : 0
    const [alice] = await stage.pair({}, { addr: [`127.0.0.1:${port}`] })
    const sending = alice.start('p2p-send', ['--json', 'bob', '-m', 'x', '-w', '8s'])
    const { id } = await sending.until('queued')
    await alice.good('p2p-queue', ['hold', String(id)])
    const held = await sending.until('deferred')
    assert.equal([held['id'], held['reason'], held['text']], [id, 'held', 'it is held back'])
    assert.is((await sending.ended).code, 75)
  })
})

test.run()
