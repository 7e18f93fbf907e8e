// What p2p-listen does at each signal, with a terminal and without, what it reads anew, and how its words reach the
// journal. How fast it ends in the middle of a message is in listener.test.ts.
// test timeout: 300 s

import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { argvOf } from './command.ts'
import { pause, type Peer, Running, Stage, until } from './peer.ts'
import { records } from './records.ts'

const configure = (peer: Peer, text: string): void => writeFileSync(peer.at('config.toml'), text)
const hasScript = spawnSync('script', ['--version']).status === 0

/** A command line of sh on a terminal of its own, by script(1). `$LISTEN` is p2p-listen. */
function onTerminal(stage: Stage, peer: Peer, line: string): Running {
  const listen = argvOf('p2p-listen').map((word) => `'${word}'`).join(' ')
  const file = join(stage.dir, 'line.sh')
  writeFileSync(file, line.replaceAll('$LISTEN', listen))
  return stage.startProgram(['script', '-qfec', `exec sh ${file}`, '/dev/null'], { home: peer.path, env: peer.env })
}

/** What a listener wrote into a file, once it listens. */
async function listening(file: string): Promise<number> {
  const told = (): Record<string, unknown>[] => (existsSync(file) ? records(readFileSync(file, 'utf8').replace(/[^\n]*$/, '')) : [])
  await until(`listening in ${file}`, () => told()[0]?.['type'] === 'listening')
  return Number(told()[0]?.['pid'])
}

const alive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

test('the reader of its pipe or socket leaves, or hands it on to another that does: it ends with 0, though nothing happens', async () => {
  await Stage.with(async (stage) => {
    const peer = await stage.peer('alice')
    for (const reader of ['head -n 1', '{ read -r line; (sleep 2.5; exec head -n 0); }']) {
      const file = join(stage.dir, 'line.sh')
      const listen = argvOf('p2p-listen').map((word) => `'${word}'`).join(' ')
      writeFileSync(file, `set -o pipefail; ${listen} --json | ${reader}\n`)
      const running = stage.startProgram(['bash', file], { home: peer.path, env: peer.env })
      const { code } = await running.ended
      assert.is(code, 0, running.err)
    }
    const [program = '', ...before] = argvOf('p2p-listen') // at node's other end of a socket
    const child = spawn(program, [...before, '--json', '--home', peer.path], { env: { ...process.env, ...peer.env }, stdio: ['ignore', 'pipe', 'inherit'] })
    stage.onClose(() => void child.kill())
    const ended = once(child, 'close')
    await once(child.stdout, 'data')
    await pause(500)
    child.stdout.destroy()
    assert.equal(await Promise.race([ended, pause(20_000)]), [0, null])
  })
})

test('SIGHUP without a terminal: settings and keyring are read again; what cannot be used changes nothing', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const eve = await stage.peer('eve')
    const ran = join(stage.dir, 'ran')
    const listener = await bob.listen()
    configure(bob, `[hooks]\nmessage = "echo $P2P_FROM >>'${ran}'"\n`)
    await bob.learn(eve) // behind the listener's back
    await eve.learn(bob)
    listener.child.kill('SIGHUP')
    await eve.send('bob', ['-m', 'x'])
    await until('the new command', () => existsSync(ran) && readFileSync(ran, 'utf8') === 'eve\n')
    configure(bob, 'delay_notice = "3d"\nfrob = 1\n')
    listener.child.kill('SIGHUP')
    const notice = await listener.until('notice')
    assert.is(notice['text'], `${bob.path}/config.toml:2: unknown key 'frob': everything stays as it was`)
    await until('the same in words', () => /^p2p-listen: .*unknown key 'frob': everything stays as it was$/m.test(listener.err))
    await alice.send('bob', ['-m', 'x'])
    await until('the old command', () => readFileSync(ran, 'utf8') === 'eve\nalice\n')
    configure(bob, '[contact.bbo]\nhook = "x"\n')
    listener.child.kill('SIGHUP')
    await listener.until('notice', ({ text }) => text === "config.toml: no contact named 'bbo'")
    for (let i = 0; i < 5; i++) listener.child.kill('SIGHUP')
    await pause(300)
    assert.is((await listener.stop()).code, 0)
    assert.match(listener.err, /frob/)
  })
})

test('p2p-id tells it of what changed: a bad settings file hides no contact from it', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const eve = await stage.peer('eve')
    await eve.learn(bob)
    const listener = await bob.listen()
    configure(bob, 'frob = 1\n')
    await bob.good('p2p-id', ['add', 'eve', eve.token()])
    await listener.until('notice')
    await eve.send('bob', ['-m', 'x'])
    await alice.send('bob', ['-m', 'y'])
    await until('both messages', () => listener.of('message').length === 2) // told when they have been acknowledged
    await listener.stop()
  })
})

test('SIGHUP with a terminal ends it, 0', async () => {
  if (!hasScript) return console.log('# skip: script(1) is not installed')
  await Stage.with(async (stage) => {
    const [, bob] = await stage.pair()
    const out = join(stage.dir, 'out')
    const terminal = onTerminal(stage, bob, `exec $LISTEN --json >'${out}'\n`)
    const pid = await listening(out)
    const since = performance.now()
    process.kill(pid, 'SIGHUP')
    assert.equal(await terminal.ended, { code: 0, signal: null }, terminal.out)
    console.log(`# ended within ${Math.round(performance.now() - since)} ms of SIGHUP`)
    assert.not.ok(existsSync(bob.at('listen.sock')))
    // and when the terminal is gone
    const other = join(stage.dir, 'other')
    const window = onTerminal(stage, bob, `exec $LISTEN --json >'${other}'\n`)
    const listener = await listening(other)
    await window.kill()
    await until('its end', () => !alive(listener))
    assert.not.ok(existsSync(bob.at('listen.sock')))
  })
})

test('with all its streams turned away from the terminal, as by nohup(1), it goes on', async () => {
  if (!hasScript) return console.log('# skip: script(1) is not installed')
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const out = join(stage.dir, 'out')
    const terminal = onTerminal(stage, bob, `$LISTEN --json >'${out}' 2>'${out}.err' </dev/null &\nwait\n`)
    const pid = await listening(out)
    stage.onClose(() => void (alive(pid) && process.kill(pid, 'SIGKILL')))
    configure(bob, 'frob = 1\n')
    process.kill(pid, 'SIGHUP')
    await until('the notice', () => readFileSync(`${out}.err`, 'utf8').includes("unknown key 'frob'"))
    await terminal.kill()
    await pause(300)
    assert.ok(alive(pid))
    await alice.send('bob', ['-m', 'still there?'])
    process.kill(pid, 'SIGTERM')
    await until('its end', () => !alive(pid))
  })
})

test('a command that is stopped by a signal dies of it, after it has cleaned up', async () => {
  await Stage.with(async (stage) => {
    const silent = createServer((socket) => void socket.resume().on('error', () => undefined))
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
    stage.onClose(() => new Promise<void>((resolve) => silent.close(() => resolve())))
    const address = silent.address()
    const port = typeof address === 'object' ? address?.port : 0
    const [alice] = await stage.pair({}, { addr: [`127.0.0.1:${port}`] })
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      const sending = alice.start('p2p-send', ['--json', 'bob', '-m', 'x', '-w', '60s'])
      await sending.until('queued')
      await pause(500)
      const ended = await sending.stop(signal)
      assert.equal([ended.code, ended.signal], [null, signal], sending.err)
    }
    assert.is((await alice.waiting()).length, 2)
  })
})

test('under systemd each line carries its priority', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const env = { JOURNAL_STREAM: '8:1234' }
    configure(bob, '[hooks]\nmessage = "exit 3"\n')
    const listener = await bob.listen(['-v'], { env })
    const id = await alice.send('bob', ['-m', 'x'])
    await listener.until('notice')
    await until('the line', () => listener.err.includes('ended with 3'))
    assert.match(listener.err, new RegExp(`^<4>p2p-listen: the command for message ${id.slice(0, 8)} ended with 3$`, 'm'))
    for (const line of listener.err.trimEnd().split('\n')) assert.match(line, /^<[346]>p2p-listen: /)
    const second = await bob.run('p2p-listen', ['-v'], { env })
    assert.match(second.err, /^<3>p2p-listen: a listener already runs/m)
    await listener.stop()
    configure(bob, 'frob = 1\n')
    const bad = await bob.run('p2p-listen', [], { env })
    assert.match(bad.err, /^<3>p2p-listen: .*unknown key 'frob'\n<6>p2p-listen: hint: man p2p-config/)
    const quiet = await bob.run('p2p-listen', ['-q'], { env })
    assert.match(quiet.err, /^<3>/)
  })
})

test.run()
