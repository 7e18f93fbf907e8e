// make install over an older version whose listeners run on: the new commands work with them, and later with the homes
// they leave. The older version is the newest tag (or $P2P_OLDER, any commit), else this tree under a smaller number.

import { mkdirSync, readFileSync, symlinkSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { join, resolve } from 'node:path'

import { build } from 'esbuild'
import { execa } from 'execa'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { type Peer, Running, Stage, until } from './peer.ts'
import { records } from './records.ts'

const OLDER_VERSION = '0.0.9'

/** The commands of the older version, installed as make install does it. */
async function installOlder(stage: Stage, prefix: string): Promise<string[]> {
  const tree = join(stage.dir, 'older')
  const tag = await execa('git', ['describe', '--tags', '--abbrev=0', '--match', 'v*'], { reject: false })
  const commit = process.env['P2P_OLDER'] ?? (tag.failed ? undefined : tag.stdout)
  mkdirSync(tree)
  if (commit === undefined) {
    for (const folder of ['bin', 'lib']) symlinkSync(resolve(folder), join(tree, folder))
  } else {
    await execa('sh', ['-c', `git archive '${commit}' bin lib | tar -x -C '${tree}'`])
    symlinkSync(resolve('node_modules'), join(tree, 'node_modules'))
  }
  console.log(`# the older version: ${commit ?? 'this tree'}`)
  const names = ['p2p-id', 'p2p-inbox', 'p2p-listen', 'p2p-queue', 'p2p-send']
  const lib = join(prefix, 'lib/p2p')
  await build({
    entryPoints: names.map((name) => join(tree, `bin/${name}.ts`)),
    outdir: lib,
    outExtension: { '.js': '.cjs' },
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node20',
    define: { VERSION: `"${OLDER_VERSION}"` },
    banner: { js: `#!${process.execPath}` },
    logLevel: 'warning',
  })
  mkdirSync(join(prefix, 'bin'))
  for (const name of names) {
    await execa('chmod', ['755', join(lib, `${name}.cjs`)])
    symlinkSync(`../lib/p2p/${name}.cjs`, join(prefix, 'bin', name))
  }
  return names
}

interface Done {
  code: number | undefined
  out: string
  err: string
}

test('an upgrade while listeners of the older version run', async () => {
  await Stage.with(async (stage) => {
    const prefix = join(stage.dir, 'prefix')
    const names = await installOlder(stage, prefix)
    const env = (home: string) => ({ env: { P2P_HOME: join(stage.dir, home) }, extendEnv: false, reject: false, input: '' }) as const
    const run = async (home: string, command: string, ...args: string[]): Promise<Done> => {
      const done = await execa(join(prefix, 'bin', command), args, env(home))
      return { code: done.exitCode, out: done.stdout, err: done.stderr }
    }
    const good = async (home: string, command: string, ...args: string[]): Promise<string> => {
      const { code, out, err } = await run(home, command, ...args)
      assert.is(code, 0, `${command} ${args.join(' ')}: ${err}`)
      return out
    }
    const listen = async (home: string): Promise<Running> => {
      const child = execa(join(prefix, 'bin/p2p-listen'), ['--json'], { ...env(home), buffer: false })
      const running = new Running(child)
      stage.onClose(() => running.kill())
      await running.until('listening')
      return running
    }

    for (const name of names) assert.is(await good('alice', name, '--version'), `${name} ${OLDER_VERSION}`)
    for (const home of ['alice', 'bob']) await good(home, 'p2p-id', 'init', '--name', home, '--no-passphrase', '--addr', '127.0.0.1')
    await good('alice', 'p2p-id', 'add', 'bob', await good('bob', 'p2p-id', 'token'))
    await good('alice', 'p2p-send', 'bob', '--queue-only', '-m', 'queued by the older')
    const [alice, bob] = [await listen('alice'), await listen('bob')]

    const outer = { MAKEFLAGS: '', MAKELEVEL: '', MFLAGS: '' }
    await execa('make', ['install', `PREFIX=${prefix}`], { env: outer, stdin: 'ignore' })
    const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }
    for (const name of names) assert.is(await good('alice', name, '--version'), `${name} ${version}`)
    assert.not.ok(alice.over || bob.over, 'the listeners run on')

    // bob's older listener is told of a contact that a newer p2p-id adds, and takes what alice's older listener offers
    await good('bob', 'p2p-id', 'add', 'alice', await good('alice', 'p2p-id', 'token'))
    await good('alice', 'p2p-queue', 'flush', '-w', '60s')
    await bob.until('message', ({ text }) => text === 'queued by the older')
    const sent = records(await good('alice', 'p2p-send', 'bob', '-w', '60s', '-m', 'sent by the newer', '--json'))
    assert.equal(sent.map(({ type }) => type), ['queued', 'delivered'])
    await alice.until('delivered', ({ id }) => id === sent[0]?.['id']) // through the older listener
    assert.is(await good('bob', 'p2p-inbox', 'cat', '@'), 'sent by the newer')
    await good('bob', 'p2p-id', 'rename', 'alice', 'al')
    await good('bob', 'p2p-send', '-r', '@', '-w', '60s', '-m', 'an answer')
    await alice.until('message', ({ text }) => text === 'an answer')
    await good('alice', 'p2p-send', 'bob', '--queue-only', '-m', 'flushed')
    await good('alice', 'p2p-queue', 'flush', '-w', '60s')
    await bob.until('message', ({ text }) => text === 'flushed')
    assert.is(await good('alice', 'p2p-queue', 'list', '--json'), '')
    assert.is((await run('alice', 'p2p-listen')).code, 75, 'the older one holds its place')
    assert.match((await run('alice', 'p2p-id', 'doctor', '--json')).out, /listener/)
    await good('alice', 'p2p')

    // then the listeners are started anew, one after the other
    assert.is((await alice.stop()).code, 0)
    const newer = await listen('alice')
    await good('bob', 'p2p-send', 'al', '-w', '60s', '-m', 'older to newer')
    await newer.until('message', ({ text }) => text === 'older to newer')
    assert.is((await bob.stop()).code, 0)
    await listen('bob')
    await good('alice', 'p2p-send', 'bob', '-w', '60s', '-m', 'newer to newer')
    const told = (await good('bob', 'p2p-inbox', 'list', '--json')).split('\n').map((line) => (JSON.parse(line) as { text: string }).text)
    assert.equal(told, ['queued by the older', 'sent by the newer', 'flushed', 'newer to newer'])
  })
})

/** Something that holds the socket of a home: it greets so, and answers every request with these records. */
async function pretend(stage: Stage, peer: Peer, greeting: object, answers: object[]): Promise<object[]> {
  const asked: object[] = []
  const server: Server = createServer((socket) => {
    socket.on('error', () => socket.destroy())
    socket.write(`${JSON.stringify({ type: 'listener', version: '9.9.9', pid: 1, home: peer.path, ...greeting })}\n`)
    socket.setEncoding('utf8').once('data', (line: string) => {
      asked.push(JSON.parse(line) as object)
      socket.end(answers.map((answer) => `${JSON.stringify(answer)}\n`).join(''))
    })
  })
  server.listen(peer.at('listen.sock'))
  stage.onClose(() => void server.close())
  await until('the socket', () => server.listening)
  return asked
}

test('a listener of another major version: 75, what was promised is safe, and the hint says what to do', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const asked = await pretend(stage, alice, { v: 2 }, [])
    for (const [command, ...args] of [
      ['p2p-send', 'bob', '-m', 'safe'],
      ['p2p-queue', 'flush'],
      ['p2p-id', 'rename', 'bob', 'bobby'],
    ] as [string, ...string[]][]) {
      const { code, err } = await alice.run(command, args)
      assert.is(code, 75, err)
      assert.match(err, new RegExp(`^${command}: .*another version\n${command}: hint: .*restart p2p-listen`, 'm'))
    }
    assert.equal(asked, [], 'it is asked nothing in a language it may not know')
    assert.is((await alice.waiting()).length, 1)
    assert.match((await alice.run('p2p-id', ['list'])).out, /"bobby"/)
    assert.equal([(await alice.run('p2p-inbox', ['list'])).code, (await alice.run('p2p-queue', ['list'])).code], [0, 0])
    assert.equal(await bob.ids(), [])
  })
})

test('a listener that does not know a request: the command does its work itself', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    await bob.listen()
    const asked = await pretend(stage, alice, { v: 1 }, [{ v: 1, type: 'error', text: 'unknown request' }, { v: 1, type: 'done' }])
    const id = await alice.send('bob', ['-m', 'one'])
    assert.equal(await bob.ids(), [id])
    const second = await alice.queue('bob', ['-m', 'two'])
    await alice.good('p2p-queue', ['flush'])
    assert.equal(await bob.ids(), [id, second])
    assert.is(asked.length, 2)
  })
})

test('a greeting with fields of the future is as good as one without', async () => {
  await Stage.with(async (stage) => {
    const [alice] = await stage.pair()
    await pretend(stage, alice, { v: 1, more: { of: 'it' } }, [{ v: 1, type: 'news' }, { v: 1, type: 'done', too: 1 }])
    await alice.good('p2p-id', ['rename', 'bob', 'bobby'])
  })
})

test.run()
