// Installed commands in odd places: prefixes and homes with blanks, quotes and other scripts, paths too long for a
// socket, no environment at all (cron at its barest), the C locale, no HOME, closed descriptors. What is sent arrives
// byte for byte everywhere.

import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { execa } from 'execa'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { NEIGHBOURLESS } from './command.ts'
import { until } from './peer.ts'

const PATIENCE_MS = 60_000

const work = mkdtempSync(join(tmpdir(), 'p-'))
const prefix = join(work, "Pr\u00e4fix 'n")
const runtime = join(work, 'runtime')
const fallback = `/tmp/p2p-${process.getuid?.() ?? 0}`

test.before(async () => {
  mkdirSync(runtime, { mode: 0o700 }) // the socket is put into no other
  const env = { MAKEFLAGS: '', MAKELEVEL: '', MFLAGS: '' }
  await execa('make', ['install', `PREFIX=${prefix}`], { env, stdin: 'ignore' })
})
const listeners: { kill(signal: NodeJS.Signals): boolean }[] = []
test.after(() => {
  for (const listener of listeners) listener.kill('SIGKILL') // of tests that failed
  rmSync(work, { recursive: true })
})

type Env = Record<string, string>
interface Done {
  code: number | undefined
  out: string
  err: string
}

/** Runs an installed command by its absolute path with this environment and no other. */
async function p2p(env: Env, command: string, args: string[] = [], input: string | Uint8Array = ''): Promise<Done> {
  const options = { env, extendEnv: false, reject: false, stripFinalNewline: false, timeout: PATIENCE_MS, cwd: work } as const
  const done = await execa(join(prefix, 'bin', command), args, { ...options, input, detached: true })
  return { code: done.exitCode, out: done.stdout, err: done.stderr }
}

async function good(env: Env, command: string, args: string[] = [], input: string | Uint8Array = ''): Promise<string> {
  const { code, out, err } = await p2p(env, command, args, input)
  assert.is(code, 0, `${command} ${args.join(' ')}: exit ${code}: ${err}`)
  return out
}

/** A listener as a supervisor starts it; resolves when it accepts. */
async function listen(env: Env): Promise<{ stop(): Promise<number | undefined> }> {
  const file = join(work, `listener-${Math.floor(performance.now() * 1000)}`)
  const child = execa(join(prefix, 'bin/p2p-listen'), ['--json'], { env: { ...NEIGHBOURLESS, ...env }, extendEnv: false, reject: false, stdout: { file }, stdin: 'ignore' })
  listeners.push(child)
  await until('listening', () => existsSync(file) && readFileSync(file, 'utf8').includes('"listening"'))
  return {
    async stop() {
      child.kill('SIGTERM')
      return (await child).exitCode
    },
  }
}

/** Two people who know each other, with homes of these names; the second has a listener while `talk` runs. */
async function pair(homes: [string, string], extra: Env, talk: (alice: Env, bob: Env) => Promise<void>): Promise<void> {
  const people = homes.map((path): Env => ({ ...extra, P2P_HOME: path }))
  const [alice = {}, bob = {}] = people
  for (const env of people) await good(env, 'p2p-id', ['init', '--no-passphrase', '--addr', '127.0.0.1'])
  await good(alice, 'p2p-id', ['add', 'b\u00f6b'], await good(bob, 'p2p-id', ['token']))
  await good(bob, 'p2p-id', ['add', 'alice'], await good(alice, 'p2p-id', ['token']))
  const listener = await listen(bob)
  await talk(alice, bob)
  assert.is(await listener.stop(), 0)
}

const TEXT = new TextEncoder().encode('gr\u00fc\u00dfe \u96ea \ud83d\ude80 e\u0301\u00a0\u202eabc\n\n  end without a line feed')

/** Sends, flushes and reads; the listener of bob must have been the one to take it. */
async function converse(alice: Env, bob: Env, bothListen = false): Promise<void> {
  const told = (await good(alice, 'p2p-send', ['b\u00f6b', '--json', '-w', '60s'], TEXT)).trim().split('\n')
  assert.match(told[1] ?? '', /"type":"delivered"/)
  assert.equal(new TextEncoder().encode(await good(bob, 'p2p-inbox', ['cat', '@'])), TEXT)
  if (bothListen) {
    await good(bob, 'p2p-send', ['alice', '-w', '60s', '-m', 'back'])
  } else {
    await good(bob, 'p2p-send', ['alice', '--queue-only', '-m', 'back'])
    await good(alice, 'p2p-queue', ['flush'])
  }
  assert.is(await good(alice, 'p2p-inbox', ['cat', '@']), 'back')
  const doubled = await p2p(bob, 'p2p-listen')
  assert.equal([doubled.code, doubled.out], [75, ''], doubled.err)
}

const long = (letter: string, bytes: number): string => {
  const path = join(work, letter)
  const parts = Array.from({ length: Math.ceil((bytes - path.length) / 100) }, () => letter.repeat(99)).join('/')
  return `${path}/${parts}`.slice(0, bytes - 1) + letter
}

const HOMES: [string, (letter: string) => string][] = [
  ['with blanks and quotes', (letter) => join(work, ` it's "${letter}" $HOME \`id\` %s \\n &`)],
  ['in other scripts', (letter) => join(work, `\u0434\u043e\u043c e\u0301 \u5bb6 \ud83c\udfe0 ${letter}`)],
  ['of 107 bytes, as long as a socket may be with its name', (letter) => long(letter, 107 - '/listen.sock'.length)],
  ['one byte longer than that', (letter) => long(letter, 108 - '/listen.sock'.length)],
  ['of 150 bytes', (letter) => long(letter, 150)],
  ['of 2000 bytes', (letter) => long(letter, 2000)],
]
for (const [what, home] of HOMES) {
  test(`a home ${what}`, async () => {
    await pair([home('a'), home('b')], { XDG_RUNTIME_DIR: runtime }, async (alice, bob) => {
      await converse(alice, bob)
      const sockets = [join(home('b'), 'listen.sock'), ...readdirSync(runtime).map((name) => join(runtime, name))]
      const here = sockets.filter((path) => existsSync(path) && statSync(path).isSocket())
      const fits = Buffer.byteLength(sockets[0] ?? '') <= 107
      assert.equal(here.map((path) => path.startsWith(runtime)), [!fits], here.join(' '))
    })
    assert.equal(readdirSync(runtime), [])
  })
}

test('long homes without a runtime folder: a private folder of the user, and two homes are two', async () => {
  const [a, b] = [`${long('c', 150)}a`, `${long('c', 150)}b`]
  const names = [a, b].map((home) => `p2p-${createHash('sha256').update(home).digest('hex').slice(0, 24)}.sock`).sort()
  const ours = (): string[] => readdirSync(fallback).filter((name) => names.includes(name)).sort() // homes of others come and go
  await pair([a, b], {}, async (alice, bob) => {
    const other = await listen(alice)
    await converse(alice, bob, true)
    assert.is(statSync(fallback).mode & 0o777, 0o700)
    assert.equal(ours(), names)
    assert.is(await other.stop(), 0)
  })
  assert.equal(ours(), [])
})

test('nothing in the environment: --home is enough, and without it 78 says what is missing', async () => {
  const home = join(work, 'bare')
  await good({}, 'p2p-id', ['init', '--no-passphrase', '--addr', '127.0.0.1', '--home', home])
  assert.is(await good({}, 'p2p-queue', ['flush', '--home', home]), '')
  assert.is((await good({}, 'p2p-send', ['me', '--home', home, '-q', '-m', 'x'])), '')
  for (const env of [{}, { HOME: '' }]) {
    for (const [command, ...args] of [['p2p-queue', 'flush'], ['p2p-id', 'init', '--no-passphrase'], ['p2p-listen']] as const) {
      const done = await p2p(env, command, args)
      assert.is(done.code, 78, done.err)
      assert.match(done.err, new RegExp(`^${command}: .*\\$HOME[^]*\n${command}: hint: .*P2P_HOME=`))
    }
  }
})

test('a HOME that does not exist: 78 names it; init makes it, for its owner alone', async () => {
  const env = { HOME: join(work, 'no such/user') }
  const done = await p2p(env, 'p2p-inbox', ['list'])
  assert.is(done.code, 78)
  assert.ok(done.err.includes(`${env.HOME}/.local/share/p2p`), done.err)
  assert.not.ok(existsSync(env.HOME))
  await good(env, 'p2p-id', ['init', '--no-passphrase', '--addr', '127.0.0.1'])
  assert.is(statSync(join(env.HOME, '.local/share/p2p')).mode & 0o777, 0o700)
  assert.is(await good(env, 'p2p-inbox', ['list']), '')
})

for (const locale of [{ LANG: 'C' }, { LC_ALL: 'POSIX' }, { LC_ALL: 'xx_XX.ISO-8859-1' }] as Env[]) {
  test(`text is UTF-8 with ${JSON.stringify(locale)}`, async () => {
    const place = mkdtempSync(join(work, 'l\u00f6c-'))
    await pair([join(place, '\u0430'), join(place, '\u0431')], locale, async (alice, bob) => {
      await converse(alice, bob)
      const list = await good(alice, 'p2p-id', ['list', '--text'])
      assert.match(list, /b\u00f6b/)
      const missing = await p2p(alice, 'p2p-send', ['b\u00f6p', '-m', 'x'])
      assert.equal([missing.code, /b\u00f6p.*'b\u00f6b'/.test(missing.err)], [67, true], missing.err)
      writeFileSync(join(place, 'd\u00e4tei \u96ea'), TEXT)
      await good(alice, 'p2p-send', ['b\u00f6b', '-w', '60s', '-a', join(place, 'd\u00e4tei \u96ea')])
      mkdirSync(join(place, 'out'))
      await good(bob, 'p2p-inbox', ['save', '@', '-o', join(place, 'out')])
      assert.equal(readdirSync(join(place, 'out')), ['d\u00e4tei \u96ea'])
      assert.equal(new Uint8Array(readFileSync(join(place, 'out', 'd\u00e4tei \u96ea'))), TEXT)
    })
  })
}

test('a hint names an odd home so that a shell understands it', async () => {
  const home = join(work, `it's "odd" $HOME`)
  for (const args of [['list', '--home', home], ['list']]) {
    const done = await p2p({ P2P_HOME: home }, 'p2p-id', args)
    assert.is(done.code, 78)
    const hint = /hint: (p2p-id init.*)\n/.exec(done.err)?.[1] ?? ''
    const env = { PATH: join(prefix, 'bin'), P2P_HOME: home }
    const line = `${hint} --no-passphrase --addr 127.0.0.1`
    const followed = await execa('/bin/sh', ['-c', line], { env, extendEnv: false, reject: false, input: '' })
    assert.is(followed.exitCode, 0, `${hint}: ${followed.stderr}`)
    assert.ok(existsSync(join(home, 'home.json')), hint)
    rmSync(home, { recursive: true })
  }
})

test('closed descriptors: what was asked for is done, and nothing is written where it should not be', async () => {
  const env = { P2P_HOME: join(work, 'closed') }
  await good(env, 'p2p-id', ['init', '--no-passphrase', '--addr', '127.0.0.1'])
  const bin = join(prefix, 'bin')
  const shell = (line: string) => execa('/bin/bash', ['-c', line, 'bash', bin], { env, extendEnv: false, reject: false, input: '' })
  const files = (): number => readdirSync(env.P2P_HOME, { recursive: true }).length
  for (const [line, code] of [
    ['"$1"/p2p-send me -m one <&- >&-', 0],
    ['"$1"/p2p-send me -m two <&- >&- 2>&-', 0],
    ['"$1"/p2p-send me -E <&-', 0], // a closed input is an empty one
    ['echo three | "$1"/p2p-send me >&- 2>&-', 0],
    ['"$1"/p2p-queue flush <&- >&- 2>&-', 0],
    ['"$1"/p2p-inbox list >&-', 0],
    ['"$1"/p2p-send nobody -m x <&- >&- 2>&-', 67],
  ] as const) {
    const done = await shell(line)
    assert.is(done.exitCode, code, `${line}: ${done.stderr}`)
  }
  assert.is((await good(env, 'p2p-inbox', ['list', '--id'])).trim().split('\n').length, 3)
  const before = files()
  assert.is((await shell('"$1"/p2p-inbox list <&- >&- 2>&-')).exitCode, 0)
  assert.is(files(), before)
})

test.run()
