// p2p-listen as it is run: what it says, how it ends, what it starts for each message, and how the other commands use
// it. Times are told, not judged, but where the manual promises one with much room.
// test timeout: 600 s

import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { argvOf, type Ran } from './command.ts'
import { noise, pause, type Peer, type Running, sha256, Stage, until } from './peer.ts'
import { type Rec, records } from './records.ts'
import { Proxy } from './proxy.ts'

const MIB = 1 << 20

/** How a command is called from /bin/sh. */
const shell = (command: string): string => argvOf(command).map((word) => `'${word}'`).join(' ')

const types = (list: Rec[]): unknown[] => list.map(({ type }) => type)

test('it says what happens: records field by field', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const late = await alice.queue('bob', ['-m', 'early', '-s', 'a subject'])
    const [left, right] = [await alice.listen(), await bob.listen()]
    const up = await left.until('peer')
    assert.equal([up['v'], up['name'], up['key'], up['state']], [1, 'bob', bob.key, 'up'])
    assert.match(String(up['address']), /^127\.0\.0\.1:\d+$/)
    const [ready] = right.records
    assert.equal([ready?.['v'], ready?.['type'], ready?.['name'], ready?.['key']], [1, 'listening', 'bob', bob.key])
    assert.equal([ready?.['port'], ready?.['home'], ready?.['pid']], [bob.home.port, bob.path, right.pid])
    assert.ok(String(ready?.['addresses']).includes(`0.0.0.0:${bob.home.port}`))

    const message = await right.until('message', ({ id }) => id === late)
    const [listed] = await bob.good('p2p-inbox', ['list'])
    assert.equal(message, listed, 'the same record as in p2p-inbox list')
    assert.equal([message['from'], message['subject'], message['text'], message['verified']], ['alice', 'a subject', 'early', false])
    const delivered = await left.until('delivered')
    assert.equal([delivered['id'], delivered['to'], delivered['key']], [late, 'bob', bob.key])
    assert.ok(Number(delivered['elapsed']) >= 0)

    const long = 'é'.repeat(40_000)
    const big = await alice.send('bob', [], { input: long })
    const told = await right.until('message', ({ id }) => id === big)
    assert.is(told['text'], 'é'.repeat(32_768))
    assert.is(told['truncated'], true)
    const file = await alice.send('bob', ['-a', alice.file('pic.png', Buffer.from(`\x89PNG\r\n\x1a\n${'x'.repeat(2992)}`, 'latin1')), '-r', late])
    const withFile = await right.until('message', ({ id }) => id === file)
    assert.equal(withFile['parts'], [{ type: 'image/png', name: 'pic.png', size: 3000 }])
    assert.is(withFile['reply'], late)

    assert.is((await right.stop()).code, 0)
    assert.is((await left.until('peer', ({ state }) => state === 'down'))['name'], 'bob')
    const ran = await alice.run('p2p-send', ['bob', '-m', 'now?'])
    assert.equal([ran.code, types(records(ran.out))], [0, ['queued', 'deferred']])
    const away = await left.until('deferred')
    assert.equal([away['to'], away['key'], away['reason']], ['bob', bob.key, 'refused'])
    assert.match(String(away['next']), /^\d{4}-\d\d-\d\dT[\d:.]+Z$/)
    assert.equal(away['addresses'], [{ address: `127.0.0.1:${bob.home.port}`, reason: 'refused' }])
    assert.ok(Number(away['attempts']) >= 1)
    for (const record of [...left.records, ...right.records]) {
      assert.is(record['v'], 1)
      for (const value of Object.values(record)) assert.ok(value !== null)
    }
    await left.stop()
  })
})

test('SIGTERM and SIGINT end it with 0, also while a message is on its way; it can begin again', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      const idle = await bob.listen()
      const ended = await idle.stop(signal)
      assert.equal([ended.code, ended.signal, idle.err], [0, null, ''])
      console.log(`# ended within ${Math.round(ended.ms)} ms of ${signal}`)
    }
    // in the middle of a message that comes no further
    const proxy = await Proxy.open({ to: bob.home.port })
    stage.onClose(() => proxy.close())
    assert.is((await bob.run('p2p-id', ['token', '--addr', proxy.address])).code, 0)
    bob.env['P2P_UDP'] = 'false' // past the proxy
    await alice.learn(bob)
    proxy.onBytes = (crossing) => {
      if (crossing.up > 4 * MIB) crossing.hold()
    }
    await alice.queue('bob', ['-a', alice.file('big', noise(40 * MIB, 1))])
    const [right, left] = [await bob.listen(), await alice.listen()]
    await until('4 MiB', () => proxy.crossings.some(({ up }) => up > 4 * MIB))
    const ended = await right.stop()
    console.log(`# ended within ${Math.round(ended.ms)} ms in the middle of a message`)
    assert.equal([ended.code, right.err, right.of('message')], [0, '', []])
    assert.is((await bob.ids()).length, 0)
    proxy.onBytes = () => undefined
    const again = await bob.listen()
    await again.until('message')
    await until('the queue', async () => (await alice.waiting()).length === 0)
    assert.equal([(await left.stop('SIGINT')).code, (await again.stop('SIGINT')).code], [0, 0])
    assert.is((await bob.box('inbox')).length, 1)
    assert.equal([...alice.strays(), ...bob.strays()], [])
    assert.not.ok(existsSync(bob.at('listen.sock')))
  })
})

test('a closed standard output ends it with 0 after what is in hand', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const listener = await bob.listen()
    await listener.until('deferred') // its try to call alice: from here on it has nothing to say by itself
    listener.child.stdout?.destroy()
    const ran = await alice.run('p2p-send', ['bob', '-m', 'one'])
    assert.is(ran.code, 0, ran.err)
    const { code } = await listener.ended
    assert.equal([code, listener.err], [0, ''])
    const told = records(ran.out)[1]?.['type']
    if (told === 'delivered') assert.is((await bob.ids()).length, 1, 'what was told is there')
    const again = await bob.listen()
    await alice.good('p2p-queue', ['flush'])
    assert.is((await bob.ids()).length, 1)
    await again.stop()
  })
})

test('--once ends after the first message, --no-text leaves the text out, -q says nothing', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const once = await bob.listen(['--once', '--no-text'])
    const id = await alice.send('bob', ['-m', 'first words'])
    assert.equal(await once.ended, { code: 0, signal: null })
    assert.equal(once.of('message').map((record) => [record['id'], 'text' in record]), [[id, false]])
    assert.not.match(once.out.replace(/"subject":"[^"]*"/, ''), /first words/)
    const quiet = bob.start('p2p-listen', ['-q'])
    await until('the socket', () => existsSync(bob.at('listen.sock')))
    await alice.send('bob', ['-m', 'second'])
    assert.is((await quiet.stop()).code, 0)
    assert.equal([quiet.out, quiet.err], ['', ''])
    const human = bob.start('p2p-listen', ['--text'])
    await until('a line', () => human.out.startsWith('listening on port'))
    await alice.send('bob', ['-m', 'evil \u001b[2J\u202e'])
    await until('a line', () => /alice {2}message {2}[0-9a-f]{8} {2}evil/.test(human.out))
    assert.not.match(human.out, /[\u001b\u202e]/)
    assert.is((await human.stop()).code, 0)
  })
})

/** A program for --exec that writes what it got into a folder. */
function collector(stage: Stage, rest = ''): { command: string; runs: () => string[]; read: (id: string, what: string) => Buffer } {
  const folder = join(stage.dir, 'runs')
  const script = join(stage.dir, 'collect.sh')
  writeFileSync(
    script,
    `mkdir -p '${folder}'
cat >"${folder}/$P2P_ID.body.new"
cat <&3 >"${folder}/$P2P_ID.record"
env >"${folder}/$P2P_ID.env"
pwd >"${folder}/$P2P_ID.cwd"
mv "${folder}/$P2P_ID.body.new" "${folder}/$P2P_ID.body"
echo said by the command
${rest}
`,
  )
  return {
    command: `. '${script}'`,
    runs: () => (existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith('.body')).map((name) => name.slice(0, -5)) : []),
    read: (id, what) => readFileSync(join(folder, `${id}.${what}`)),
  }
}

test('--exec: the exact body, the record, an environment without anything a peer wrote', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    await bob.good('p2p-id', ['verify', 'alice', '--ok'])
    const { command, runs, read } = collector(stage)
    const listener = await bob.listen(['--exec', command])
    const evil = '$(touch pwned) `x` \' "\r\nno final newline \u202e'
    const first = await alice.send('bob', ['-s', '$(touch pwned) --help'], { input: evil })
    const bytes = noise(300_000, 1)
    const second = await alice.send('bob', ['-a', alice.file('$(x) `y`;.bin', bytes)])
    const large = noise(12 * MIB, 2)
    const third = await alice.send('bob', ['-a', alice.file('large', large)])
    const fourth = await alice.send('bob', ['-r', first], { input: '' })
    await until('four runs', () => runs().length === 4)
    assert.is(read(first, 'body').toString(), evil)
    assert.is(sha256(read(second, 'body')), sha256(bytes))
    assert.is(sha256(read(third, 'body')), sha256(large))
    assert.is(read(fourth, 'body').length, 0)
    for (const id of [first, second, third, fourth]) {
      const [record] = records(read(id, 'record').toString())
      const listed = (await bob.good('p2p-inbox', ['list'])).find((one) => one['id'] === id)
      assert.equal(record, listed)
      const env = new Map(read(id, 'env').toString().split('\n').map((line) => [line.split('=')[0] ?? '', line.replace(/^[^=]*=/, '')]))
      const wanted: Record<string, string> = {
        P2P_HOME: bob.path,
        P2P_ID: id,
        P2P_FROM: 'alice',
        P2P_KEY: alice.key,
        P2P_TYPE: id === first || id === fourth ? 'text' : 'file',
        P2P_PATH: String(listed?.['path']),
        P2P_REPLY: id === fourth ? first : '',
        P2P_DATE: String(listed?.['created']),
        P2P_RECEIVED: String(listed?.['received']),
      }
      for (const [name, value] of Object.entries(wanted)) assert.is(env.get(name), value, name)
      assert.match(String(env.get('P2P_VERIFIED')), /^(?:1|yes|true)$/)
      assert.ok(existsSync(String(env.get('P2P_PATH'))))
      assert.not.match(read(id, 'env').toString(), /pwned|touch|\$\(x\)/)
    }
    await until('nothing pending', () => bob.strays().length === 0)
    assert.not.match(listener.out, /said by the command/, 'standard output is for records')
    await until('what the commands say', () => /said by the command/.test(listener.err))
    assert.equal(readdirSync(stage.dir).filter((name) => name === 'pwned'), [])
    assert.is((await listener.stop()).code, 0)
  })
})

test('--exec: 75 stays pending and runs again after a restart; another failure is told and done; what runs is ended', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const { command, runs, read } = collector(stage, `[ -e '${stage.dir}/good' ] || exit 75`)
    let listener = await bob.listen(['--exec', command])
    const ids = [await alice.send('bob', ['-m', 'one']), await alice.send('bob', ['-m', 'two'])]
    await until('two runs', () => runs().length === 2)
    const pending = (): string[] => readdirSync(bob.at('hooks', 'pending'))
    assert.is(pending().length, 2)
    await listener.kill()
    // a flush without a listener receives as well: without a hook there, nothing is pending of it
    assert.is(pending().length, 2)
    for (const id of ids) writeFileSync(join(stage.dir, 'runs', `${id}.body`), 'not yet')
    writeFileSync(join(stage.dir, 'good'), '')
    listener = await bob.listen(['--exec', command])
    await until('nothing pending', () => pending().length === 0)
    assert.equal(ids.map((id) => read(id, 'body').toString()), ['one', 'two'])
    await listener.stop()

    listener = await bob.listen(['--exec', 'exit 3'])
    await alice.send('bob', ['-m', 'three'])
    const notice = await listener.until('notice')
    assert.match(String(notice['text']), /ended with 3/)
    await until('nothing pending', () => pending().length === 0)
    await listener.stop()

    // one that runs is ended with its children when the listener ends, and stays pending
    listener = await bob.listen(['--exec', `echo $$ >'${stage.dir}/pid'; sleep 300 & sleep 300`])
    await alice.send('bob', ['-m', 'four'])
    await until('its pid', () => existsSync(join(stage.dir, 'pid')) && readFileSync(join(stage.dir, 'pid'), 'utf8') !== '')
    const group = Number(readFileSync(join(stage.dir, 'pid'), 'utf8'))
    assert.is((await listener.stop()).code, 0)
    assert.is(pending().length, 1)
    const alive = (): boolean => {
      try {
        process.kill(-group, 0)
        return true
      } catch {
        return false
      }
    }
    await until('the end of the group', () => !alive())
  })
})

test('--exec: four at once, each message once', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const log = join(stage.dir, 'log')
    // The first ones wait until four have begun, however slowly they do.
    const four = `while [ "$(grep -c start '${log}')" -lt 4 ]; do sleep 0.05; done`
    const listener = await bob.listen(['--exec', `echo start >>'${log}'; ${four}; sleep 0.3; echo "end $P2P_ID" >>'${log}'`])
    await alice.good('p2p-send', ['bob', '-l', '-w', '30s'], { input: Array.from({ length: 20 }, (_, i) => `n ${i}\n`).join('') })
    const lines = (): string[] => (existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n') : [])
    await until('20 ends', () => lines().filter((line) => line.startsWith('end')).length === 20)
    let [running, most] = [0, 0]
    for (const line of lines()) most = Math.max(most, (running += line === 'start' ? 1 : -1))
    assert.is(most, 4)
    assert.is(new Set(lines()).size, 21)
    await listener.stop()
  })
})

test('two bots that answer every message do not keep each other busy', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const bot = (peer: Peer): string => `${shell('p2p-send')} -q --reply "$P2P_ID" -m "${peer.name} has read it"`
    const listeners: Running[] = []
    for (const peer of [alice, bob]) listeners.push(await peer.listen(['--exec', bot(peer)]))
    const id = await alice.send('bob', ['-m', 'begin'])
    await until('the answer', async () => (await alice.ids()).length === 1)
    await pause(2500)
    const texts = async (peer: Peer): Promise<string[]> => (await peer.box('inbox')).map(({ text }) => new TextDecoder().decode(text))
    assert.equal([await texts(alice), await texts(bob)], [['bob has read it'], ['begin']])
    const [answer] = await alice.good('p2p-inbox', ['list'])
    assert.equal([answer?.['reply'], answer?.['auto']], [id, true])
    for (const listener of listeners) {
      assert.is((await listener.stop()).code, 0)
      assert.equal(listener.of('notice'), [], listener.err)
    }
    assert.equal([...alice.strays(), ...bob.strays()], [])
  })
})

/** Speaks to the socket of a listener. */
function ask(path: string, request: Rec): Promise<Rec[]> {
  return new Promise((resolve, reject) => {
    const socket = connect(path)
    let text = ''
    socket.setEncoding('utf8')
    socket.on('data', (piece: string) => {
      if (text === '') socket.write(`${JSON.stringify({ v: 1, ...request })}\n`)
      text += piece
    })
    socket.on('error', reject)
    socket.on('close', () => resolve(text.split('\n').slice(0, -1).map((line) => JSON.parse(line) as Rec)))
  })
}

test('the control socket: greeting, a request nobody knows, nonsense', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const receiver = await bob.listen()
    const listener = await alice.listen()
    const path = alice.at('listen.sock')
    assert.is(statSync(path).mode & 0o777, 0o600)
    const [greeting, error] = await ask(path, { op: 'dance' })
    assert.equal([greeting?.['v'], greeting?.['type'], greeting?.['pid'], greeting?.['home']], [1, 'listener', listener.pid, alice.path])
    assert.is(error?.['type'], 'error')
    // nonsense costs its sender the connection, and nothing else
    const noisy = connect(path)
    noisy.on('error', () => undefined).resume()
    noisy.write('\u0000\u0001 not json\n')
    await new Promise((resolve) => noisy.on('close', resolve))
    await alice.send('bob', ['-m', 'after'])
    await Promise.all([listener.stop(), receiver.stop()])
    assert.is(receiver.of('message').length, 1)
  })
})

test('a command that asks for the outcome of what the listener has delivered meanwhile is told', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    await bob.listen()
    await alice.listen()
    const id = await alice.send('bob', ['-m', 'quick'])
    const told = await ask(alice.at('listen.sock'), { op: 'deliver', ids: [id], keys: [bob.key], wait: 5 })
    assert.equal(told.slice(1).map(({ type, id: of }) => [type, of]), [['delivered', id], ['done', undefined]])
  })
})

test('a home with a path of 150 bytes: two such homes do not share a socket', async () => {
  await Stage.with(async (stage) => {
    const deep = (letter: string): string => join(stage.dir, 'd'.repeat(60), 'e'.repeat(150 - stage.dir.length - 64), letter)
    assert.is(deep('a').length, 150)
    const [alice, bob] = await stage.pair({ home: deep('a') }, { home: deep('b') })
    const [left, right] = [await alice.listen(), await bob.listen()]
    const id = await alice.send('bob', ['-m', 'deep'])
    await left.until('delivered', (record) => record['id'] === id) // so it went through the listener
    const back = await bob.send('alice', ['-m', 'down'])
    await right.until('delivered', (record) => record['id'] === back)
    assert.equal([await alice.ids(), await bob.ids()], [[back], [id]])
    assert.equal([(await left.stop()).code, (await right.stop()).code], [0, 0])
  })
})

test('p2p-send with and without a listener, and two of them at once', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const receiver = await bob.listen()
    const senders = (start: number): Promise<Ran[]> =>
      Promise.all(
        [0, 1, 2].map((n) => {
          const input = Array.from({ length: 40 }, (_, i) => `${start + n} ${i}\n`).join('')
          return alice.run('p2p-send', ['bob', '-l', '-w', '20s'], { input })
        }),
      )
    const texts = async (): Promise<string[]> => (await bob.box('inbox')).map(({ text }) => new TextDecoder().decode(text))
    // three sessions of one caller: the newest stays, what the others had begun is finished, what is left stays queued
    for (const { code, err } of await senders(0)) assert.ok(code === 0 || code === 75, `${code}: ${err}`)
    await alice.good('p2p-queue', ['flush'])
    assert.equal(await alice.waiting(), [])
    assert.is(new Set(await texts()).size, 120)
    const listener = await alice.listen()
    for (const { code, err } of await senders(3)) assert.is(code, 0, err)
    await until('the listener did it', () => listener.of('delivered').length === 120)
    await until('the queue', async () => (await alice.waiting()).length === 0)
    assert.is((await texts()).length, 240)
    assert.is(new Set(await texts()).size, 240)
    // both flush at once: one does the pass, nobody fails
    await listener.stop()
    await alice.good('p2p-send', ['bob', '-l', '--queue-only'], { input: 'a\nb\nc\n' })
    const passes = await Promise.all([1, 2, 3].map(() => alice.run('p2p-queue', ['flush'])))
    for (const pass of passes) assert.ok(pass.code === 0 || (pass.code === 75 && pass.err === ''), `${pass.code} ${pass.err}`)
    assert.is(passes.filter(({ code }) => code === 0).length > 0, true)
    await until('the queue', async () => (await alice.waiting()).length === 0)
    assert.is((await bob.box('inbox')).length, 243)
    await receiver.stop()
    assert.equal([...alice.strays(), ...bob.strays()], [])
  })
})

test('a blocked contact hears silence, also with a session open; a removed one too; both can come back', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const [left, right] = [await alice.listen(), await bob.listen()]
    await left.until('peer', ({ state }) => state === 'up')
    await bob.good('p2p-id', ['block', 'alice'])
    await left.until('peer', ({ state }) => state === 'down')
    await left.stop()
    const tries = async (): Promise<unknown> => {
      const ran = await alice.run('p2p-send', ['bob', '-m', 'hello?', '-w', '2s'])
      const deferred = records(ran.out).find(({ type }) => type === 'deferred')
      assert.is(ran.code, 75, ran.err + ran.out)
      return deferred?.['reason']
    }
    assert.match(String(await tries()), /^(?:silent|timeout)$/) // 2 s are less than the handshake is given
    const flushed = await alice.good('p2p-queue', ['flush'])
    assert.equal(flushed.map(({ type, reason }) => [type, reason]), [['deferred', 'silent']])
    assert.match(String(flushed[0]?.['text']), /did not answer as bob/)
    assert.equal(await bob.ids(), [])
    const toBlocked = await bob.run('p2p-send', ['alice', '-m', 'x'])
    assert.is(toBlocked.code, 77, toBlocked.err)
    await bob.good('p2p-id', ['unblock', 'alice'])
    await alice.good('p2p-queue', ['flush'])
    assert.is((await bob.ids()).length, 1)

    await bob.good('p2p-id', ['remove', 'alice'])
    await alice.queue('bob', ['-m', 'and now?'])
    const removed = await alice.good('p2p-queue', ['flush'])
    assert.equal(removed.map(({ type, reason }) => [type, reason]), [['deferred', 'silent']])
    await bob.good('p2p-id', ['add', 'alice', alice.token()])
    await alice.good('p2p-queue', ['flush'])
    assert.is((await bob.ids()).length, 2)
    assert.is((await right.stop()).code, 0, right.err)
    assert.equal([...alice.strays(), ...bob.strays()], [])
  })
})

test('p2p-send me: a note in the own inbox, with and without a listener', async () => {
  await Stage.with(async (stage) => {
    const [alice] = await stage.pair()
    const told = await alice.good('p2p-send', ['me', '-m', 'buy milk'])
    const [id] = await alice.ids()
    assert.equal(told.map((record) => [record['type'], record['to'], record['id']]), [['queued', 'me', id], ['delivered', 'me', id]])
    const listener = await alice.listen()
    const bytes = noise(11 * MIB, 1)
    await alice.good('p2p-send', ['me', '-a', alice.file('note', bytes), '-s', 'kept'])
    await listener.stop()
    const held = await alice.box('inbox')
    assert.equal(held.slice(0, 2).map(({ text }) => text && new TextDecoder().decode(text)), ['buy milk', undefined])
    assert.is(sha256(held[1]?.files[0]?.bytes ?? new Uint8Array(0)), sha256(bytes))
    assert.equal(held.map(({ from }) => from), held.map(() => alice.key))
    assert.equal(alice.strays(), [])
  })
})

test.run()
