// Worked examples that answer messages, and programs that keep p2p-send open: each runs as its head says.
// test timeout: 420 s

import { spawn } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { pathWithCommands } from './bin.ts'
import { argvOf } from './command.ts'
import { type Peer, Stage, until } from './peer.ts'
import { checkRecord, type Rec } from './records.ts'
import { skipped } from './vectors.ts'

const answersTo = async (peer: Peer, id: string): Promise<Rec[]> =>
  (await peer.good('p2p-inbox', ['list'])).filter(({ reply }) => reply === id)

/** The one answer to a message. */
async function answer(peer: Peer, id: string): Promise<Rec> {
  await until('an answer', async () => (await answersTo(peer, id)).length > 0)
  const [only, ...more] = await answersTo(peer, id)
  assert.equal(more, [])
  return only as Rec
}

test('echo-bot answers texts to the byte, and nothing else; two of them do not talk for ever', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const env = { PATH: pathWithCommands(stage) }
    const listeners = [
      stage.start('p2p-listen', ['--json', '--exec', 'echo-bot'], { home: bob.path, env: { ...bob.env, ...env } }),
      stage.start('p2p-listen', ['--json', '--exec', 'echo-bot'], { home: alice.path, env: { ...alice.env, ...env } }),
    ]
    for (const listener of listeners) await listener.until('listening')
    const text = 'Grüße, $(id) `x`\r\n  no final newline'
    const first = await alice.send('bob', [], { input: text })
    const echo = await answer(alice, first)
    assert.equal([echo['text'], echo['auto']], [text, true])
    await alice.send('bob', ['-a', alice.file('f', 'x')])
    const last = await alice.send('bob', ['-m', 'bye'])
    await answer(alice, last)
    await until('nothing pending', () => [...alice.strays(), ...bob.strays()].length === 0)
    assert.equal([(await alice.ids()).length, (await bob.ids()).length], [2, 3])
    for (const listener of listeners) await listener.stop()
  })
})

test('report-bot runs what is named, for whose words were compared, once at a time', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const eve = await stage.peer('eve')
    await bob.meet(eve)
    const reports = join(stage.dir, 'reports')
    mkdirSync(reports)
    const report = (name: string, script: string): void => {
      writeFileSync(join(reports, name), `#!/bin/sh\n${script}\n`)
      chmodSync(join(reports, name), 0o755)
    }
    report('disk', 'echo 3 % free')
    report('broken', 'echo no such disk >&2; exit 3')
    report('slow', `echo run >>'${stage.dir}/slow'; until [ -e '${stage.dir}/go' ]; do sleep 0.1; done; echo at last`)
    const config = `[contact.alice]\nhook = "report-bot"\n[contact.eve]\nhook_text = "report-bot"\n`
    writeFileSync(bob.at('config.toml'), config)
    await bob.good('p2p-id', ['verify', 'alice', '--ok'])
    const env = { ...bob.env, PATH: pathWithCommands(stage), REPORTS: reports }
    const listener = stage.start('p2p-listen', ['--json'], { home: bob.path, env })
    await listener.until('listening')
    await alice.listen()
    await eve.listen()
    const asks = async (peer: Peer, text: string): Promise<unknown[]> => {
      const { text: got, subject } = await answer(peer, await peer.send('bob', ['-m', text]))
      return [subject, got]
    }
    assert.equal(await asks(alice, 'disk'), ['disk: done', '3 % free\n'])
    assert.equal(await asks(alice, 'broken\n'), ['broken: failed with 3', 'no such disk\n'])
    for (const wrong of ['../../bin/id', 'disk; id', '$(id)', 'nothing']) {
      assert.equal((await asks(alice, wrong))[1], 'no such report; there are:\nbroken\ndisk\nslow\n', wrong)
    }
    assert.match(String((await asks(eve, 'disk'))[1]), /words were compared/)
    // the second waits for the first: it stands in hooks/pending, and a restart finds it
    const slow = await alice.send('bob', ['-m', 'slow'])
    await until('it runs', () => existsSync(join(stage.dir, 'slow')))
    const second = await alice.send('bob', ['-m', 'slow'])
    await until('both wait', async () => (await bob.ids()).length === 9)
    writeFileSync(join(stage.dir, 'go'), '')
    assert.is((await answer(alice, slow))['text'], 'at last\n')
    await listener.stop()
    const again = stage.start('p2p-listen', ['--json'], { home: bob.path, env })
    assert.is((await answer(alice, second))['text'], 'at last\n')
    await until('nothing pending', () => bob.strays().length === 0)
    assert.is(readFileSync(join(stage.dir, 'slow'), 'utf8'), 'run\nrun\n')
    await again.stop()
  })
})

test('coprocess.py tells what became of each line', async () => {
  const python = spawn('python3', ['--version'], { stdio: 'ignore' })
  if ((await new Promise((resolve) => python.on('error', () => resolve(127)).on('exit', resolve))) !== 0) return skipped('python3: not installed')
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const listener = await bob.listen()
    const running = stage.startProgram(['coprocess.py', 'bob'], {
      home: alice.path,
      env: { ...alice.env, PATH: pathWithCommands(stage) },
      stdin: 'pipe',
    })
    running.child.stdin?.write('one\n')
    await until('the first', () => running.out === '1 delivered \n')
    running.child.stdin?.end('two "quoted"\nthree ü\n')
    assert.equal(await running.ended, { code: 0, signal: null })
    assert.equal(running.out.split('\n').sort(), ['', '1 delivered ', '2 delivered ', '3 delivered '])
    assert.equal((await bob.good('p2p-inbox', ['list'])).map(({ text }) => text), ['one', 'two "quoted"', 'three ü'])
    await listener.stop()
  })
})

/** What a coprocess has written and what came back. */
interface Talk {
  accepted: number
  written: number
  queued: Map<unknown, string>
  delivered: Map<unknown, string>
  others: Rec[]
}

/** Keeps a p2p-send open, writes `count` orders as fast as it takes them, and reads only once `reading` has resolved. */
async function converse(stage: Stage, alice: Peer, count: number, text: string, reading: (talk: Talk) => Promise<void>): Promise<Talk> {
  const [program = '', ...args] = argvOf('p2p-send')
  const child = spawn(program, [...args, '--ndjson', '--wait', '10m'], {
    env: { PATH: process.env['PATH'], P2P_HOME: alice.path, ...alice.env },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  stage.onClose(() => void child.kill('SIGKILL'))
  child.stdin.on('error', () => undefined) // killed: the test has failed elsewhere
  const talk: Talk = { accepted: 0, written: 0, queued: new Map(), delivered: new Map(), others: [] }
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve))
  const write = async (): Promise<void> => {
    for (let ref = 0; ref < count; ref++) {
      const line = `${JSON.stringify({ to: 'bob', text: `${ref} ${text}`, ref: { order: ref } })}\n`
      talk.written++
      const room = child.stdin.write(line, () => void talk.accepted++)
      if (!room) await Promise.race([ended, new Promise((resolve) => child.stdin.once('drain', resolve))])
      if (child.stdin.destroyed) return
    }
    child.stdin.end()
  }
  const writing = write()
  await reading(talk)
  let rest = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    const lines = (rest + chunk).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) {
      const record = JSON.parse(line) as Rec
      checkRecord(record)
      const { order } = record['ref'] as { order: number }
      const seen = record['type'] === 'queued' ? talk.queued : record['type'] === 'delivered' ? talk.delivered : undefined
      if (seen === undefined || seen.has(order)) talk.others.push(record)
      else seen.set(order, String(record['id']))
    }
  })
  await writing
  assert.is(await ended, 0)
  assert.is(rest, '')
  return talk
}

test('10,000 orders in flight through one p2p-send: each is answered under its ref, and all of them arrive once', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const listeners = [await alice.listen(['--no-text']), await bob.listen(['--no-text'])]
    const { queued, delivered, others } = await converse(stage, alice, 10_000, 'x', async () => undefined)
    assert.equal([queued.size, delivered.size, others], [10_000, 10_000, []])
    for (const [ref, id] of queued) assert.is(delivered.get(ref), id)
    for (const listener of listeners) await listener.stop()
    const ids = await bob.ids()
    assert.is(ids.length, 10_000)
    assert.equal(new Set(ids), new Set(queued.values()))
    const texts = new Map((await bob.good('p2p-inbox', ['list', '-n', '20'])).map(({ id, text }) => [id, text]))
    for (const [ref, id] of queued) if (texts.has(id)) assert.is(texts.get(id), `${String(ref)} x`)
    assert.equal([...alice.strays(), ...bob.strays()], [])
  })
})

test('a coprocess that does not read is not read either, and loses nothing by it', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const listener = await bob.listen(['--no-text'])
    const count = 2000
    const { queued, delivered, others } = await converse(stage, alice, count, 'y'.repeat(4000), async (talk) => {
      let before = -1
      await until('it takes no more', async () => {
        await new Promise((resolve) => setTimeout(resolve, 1500))
        const still = talk.accepted === before && talk.accepted > 0
        before = talk.accepted
        return still
      })
      assert.ok(talk.written < count, `${talk.written} of ${count} were taken although nobody read`)
    })
    assert.equal([queued.size, delivered.size, others], [count, count, []])
    assert.is((await bob.ids()).length, count)
    await listener.stop()
  })
})

test.run()
