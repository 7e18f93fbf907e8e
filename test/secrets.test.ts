// Secrets stay where they belong. A whole life of two homes, from init to import, with everything said about it: what was
// printed, told in records, handed to other programs in argv and environment, written to any file. Then all of it is
// searched for every secret in every form in which a program might write it.

import { spawnSync, type SpawnSyncOptions } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, lstatSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { utf8 } from '../lib/base/bytes.ts'
import { encodeIdentity } from '../lib/crypto/agefile.ts'
import { base58 } from '../lib/base/key.ts'
import { openHome } from '../lib/disk/home.ts'
import { openSeed } from '../lib/disk/identityfile.ts'
import { inviteOf } from '../lib/wire/invite.ts'
import { parseToken } from '../lib/wire/token.ts'
import { argvOf } from './command.ts'
import { Stage, until } from './peer.ts'

interface Secret {
  what: string
  forms: Buffer[]
  /** Places that must hold it, as paths on the stage or names of outputs. */
  home: RegExp
}

/** Every way in which bytes become text, and the text whatever stands around it. */
function formsOf(bytes: Uint8Array): Buffer[] {
  assert.ok(bytes.length >= 12, 'no secret')
  const raw = Buffer.from(bytes)
  const texts = [raw.toString('hex'), raw.toString('hex').toUpperCase(), base58(bytes), [...bytes].join(','), [...bytes].join(', ')]
  for (const before of [0, 1, 2]) {
    // in base64 it looks different behind each number of bytes; the ends depend on the neighbours
    const text = Buffer.concat([Buffer.alloc(before), raw]).toString('base64').replace(/=+$/, '')
    const inner = text.slice(Math.ceil((before * 8) / 6), Math.floor(((before + raw.length) * 8) / 6))
    texts.push(inner, inner.replaceAll('+', '-').replaceAll('/', '_'))
  }
  return [raw, Buffer.from(raw.toString('utf16le').length > 0 ? raw.toString('latin1') : '', 'utf16le'), ...texts.map((text) => Buffer.from(text))]
}

/** The line of an identity file as well. */
function seedForms(seed: Uint8Array): Buffer[] {
  const line = Buffer.from(encodeIdentity(seed, new Uint8Array(32))).toString().split('\n')[2] ?? ''
  return [...formsOf(seed), Buffer.from(line)]
}

const digitsOf = (path: string): Uint8Array => new Uint8Array(Buffer.from(/^\S+ ([0-9a-f]{64})$/m.exec(readFileSync(path, 'utf8'))?.[1] ?? '', 'hex'))

/** Every file below, links not followed. */
function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true })
    .map((name) => join(folder, String(name)))
    .filter((path) => lstatSync(path).isFile())
}

/** Whether each of these places of a file or output, by name, holds a form of the secret. */
function leaks(secrets: readonly Secret[], outputs: readonly [string, Buffer][]): string[] {
  const found: string[] = []
  for (const [name, bytes] of outputs) {
    for (const { what, forms, home } of secrets) {
      if (!home.test(name) && forms.some((form) => bytes.includes(form))) found.push(`${what} in ${name}`)
    }
  }
  return found
}

const NOWHERE = /^$/
const PASS = 'correct-horse-battery-staple'
const NEW = 'another Tr0ub4dor phrase'
const ARCHIVE = 'for the archive only'

test('a whole life of two homes: no secret is anywhere but in its own file', async () => {
  await Stage.with(async (stage) => {
    const outputs: [string, Buffer][] = []
    const told = join(stage.dir, 'told')
    mkdirSync(told)
    for (const [name, text] of [['pass', PASS], ['new', NEW], ['archive', ARCHIVE], ['wrong', 'not it']] as const) {
      writeFileSync(join(stage.dir, `${name}.secret`), `${text}\n`, { mode: 0o600 })
    }
    const secret = (name: string): string => join(stage.dir, `${name}.secret`)
    const strace = spawnSync('strace', ['-V']).status === 0
    if (!strace) console.log('skip: what every process is started with: strace is not installed')
    let step = 0

    /** Runs a command of somebody; what it says is kept. */
    const run = (who: string, command: string, args: string[], { input = '', code = 0 } = {}): string => {
      const trace = join(told, `exec.${step++}`)
      const traced = strace ? ['strace', '-f', '-qq', '-e', 'trace=execve', '-v', '-s', '65535', '-o', trace] : []
      const [program = '', ...rest] = [...traced, ...argvOf(command), ...args]
      const env = { PATH: process.env['PATH'] ?? '', HOME: stage.dir, TMPDIR: stage.dir, P2P_HOME: join(stage.dir, who), P2P_MAP: 'false', P2P_LAN: 'false' }
      const ran = spawnSync(program, rest, { env, input, cwd: stage.dir, timeout: 120_000, detached: true } as SpawnSyncOptions)
      const name = `${who} ${command} ${args[0] ?? ''}`
      outputs.push([`stdout of ${name}`, Buffer.from(ran.stdout)], [`stderr of ${name}`, Buffer.from(ran.stderr)])
      assert.is(ran.status, code, `${name} ${args.join(' ')}: ${String(ran.stderr).slice(0, 600)}`)
      return String(ran.stdout)
    }
    const id = (who: string, ...args: string[]): string => run(who, 'p2p-id', args)
    const with_ = (name: string): string[] => ['--passphrase-file', secret(name)]

    // two homes, one sealed and one plain
    id('alice', 'init', '--name', 'alice', '--addr', '127.0.0.1', ...with_('pass'))
    id('bob', 'init', '--name', 'bob', '--addr', '127.0.0.1', '--no-passphrase')
    const alice = await stage.enter('alice')
    const bob = await stage.enter('bob')
    const seeds = [await openSeed(alice.home, async () => utf8(PASS)), await openSeed(bob.home, () => Promise.reject(new Error('asked')))]
    const keys: [string, Uint8Array][] = [['alice’s first', digitsOf(alice.at('transport.key'))], ['bob’s', digitsOf(bob.at('transport.key'))]]

    // an invite, a wrong passphrase before it
    run('alice', 'p2p-id', ['invite', 'bob', ...with_('wrong')], { code: 77 })
    run('alice', 'p2p-id', ['invite', 'bob', '--passphrase-file', '/nonexistent'], { code: 66 })
    run('alice', 'p2p-id', ['invite', 'bob'], { code: 77 }) // nobody to ask
    const invite = id('alice', 'invite', 'bob', ...with_('pass')).trim()
    const said = inviteOf(parseToken(invite))
    assert.ok(said)

    // listeners whose commands tell all that they were started with
    const dump = `tr '\\0' '\\n' </proc/$PPID/environ; tr '\\0' ' ' </proc/$PPID/cmdline; env; cat; cat <&3`
    const hook = `{ ${dump}; } >>${told}/hook 2>&1`
    const listeners = [await alice.listen(['-v', '--exec', hook]), await bob.listen(['-v'])]
    run('bob', 'p2p-id', ['add', 'alice'], { input: `here it is\n> ${invite}\n` })
    run('bob', 'p2p-id', ['add', 'again'], { input: `${invite.slice(0, -3)}\n`, code: 65 })
    await until('a notice on both sides', async () => (await alice.ids()).length > 0 && (await bob.ids()).length > 0)
    const second = id('alice', 'invite', 'carol', '--expires', '1h', ...with_('pass')).trim() // nobody ever uses it
    const unused = inviteOf(parseToken(second))
    assert.ok(unused)
    run('bob', 'p2p-send', ['alice', '-v', '-m', 'hello', '-w', '60s', '--json'])
    run('bob', 'p2p-send', ['alice', '-a', '-', '--name', 'f.bin', '-w', '60s'], { input: 'x'.repeat(100_000) })
    run('alice', 'p2p-send', ['bob', '--json', '-w', '60s', '-s', 'subject'], { input: 'text\n' })
    await until('the commands for messages', () => existsSync(join(told, 'hook')) && readFileSync(join(told, 'hook'), 'utf8').includes('f.bin'))
    for (const who of ['alice', 'bob']) {
      for (const args of [['list', '--json'], ['list', '--text'], ['show', '@', '--json'], ['show', '@', '--text']]) run(who, 'p2p-inbox', args)
      for (const args of [['list'], ['stat'], ['flush', '-v']]) run(who, 'p2p-queue', args)
      for (const args of [['show', '--json'], ['show', '--text'], ['list'], ['token'], ['setup', 'systemd'], ['setup', 'mutt'], ['setup', 'cron'], ['verify', who === 'alice' ? 'bob' : 'alice']]) run(who, 'p2p-id', args)
      run(who, 'p2p', [])
    }
    spawnSync('true')
    for (const who of ['alice', 'bob']) outputs.push([`stdout of ${who} p2p-id doctor`, Buffer.from((await stage.enter(who).then((peer) => peer.run('p2p-id', ['doctor', '-v']))).out)])
    run('alice', 'p2p-queue', ['export', 'bob', '-o', join(stage.dir, 'bundle')])
    run('bob', 'p2p-queue', ['import', join(stage.dir, 'bundle')])
    run('bob', 'p2p-queue', ['import', secret('pass')], { code: 65 })

    // keys come and go
    id('alice', 'rotate', ...with_('pass'))
    keys.push(['alice’s second', digitsOf(alice.at('transport.key'))])
    run('bob', 'p2p-send', ['alice', '-m', 'with the new one', '-w', '60s'])
    id('alice', 'rotate', '--compromised', ...with_('pass'))
    keys.push(['alice’s third', digitsOf(alice.at('transport.key'))])
    assert.is(existsSync(alice.at('transport.old.key')), false)
    run('alice', 'p2p-id', ['passwd', ...with_('wrong'), '--new-passphrase-file', secret('new')], { code: 77 })
    id('alice', 'passwd', ...with_('pass'), '--new-passphrase-file', secret('new'))
    run('alice', 'p2p-id', ['passwd', ...with_('pass'), '--no-passphrase'], { code: 77 })
    id('alice', 'revoke', ...with_('new'))
    id('alice', 'export', '--all', '-o', join(stage.dir, 'alice.age'), ...with_('new'))
    id('bob', 'export', '--all', '-o', join(stage.dir, 'bob.age'), ...with_('archive'))
    run('third', 'p2p-id', ['import', join(stage.dir, 'bob.age'), ...with_('wrong')], { code: 77 })
    for (const listener of listeners) await listener.stop()
    id('third', 'import', join(stage.dir, 'bob.age'), ...with_('archive'))
    for (const [n, { out, err }] of listeners.entries()) {
      const name = ['alice', 'bob'][n] ?? ''
      outputs.push([`stdout of ${name} p2p-listen`, Buffer.from(out)], [`stderr of ${name} p2p-listen`, Buffer.from(err)])
    }

    for (const path of filesBelow(stage.dir)) outputs.push([relative(stage.dir, path), readFileSync(path)])
    const plain = /^(?:bob|third)\/identity\.key$/
    const secrets: Secret[] = [
      { what: 'alice’s seed', forms: seedForms(seeds[0] as Uint8Array), home: NOWHERE },
      { what: 'bob’s seed', forms: seedForms(seeds[1] as Uint8Array), home: plain },
      ...keys.map(([who, bytes]) => ({
        what: `${who} transport key`,
        forms: formsOf(bytes),
        home: who === 'bob’s' ? /^(?:bob|third)\/transport\.key$/ : who === 'alice’s third' ? /^alice\/transport\.key$/ : NOWHERE,
      })),
      // it was used, and neither side needs it any more
      { what: 'the invite’s secret', forms: [...formsOf(said.secret), Buffer.from(invite)], home: /^stdout of alice p2p-id invite$|^alice\/invites\// },
      { what: 'the unused invite’s secret', forms: [...formsOf(unused.secret), Buffer.from(second)], home: /^stdout of alice p2p-id invite$|^alice\/invites\// },
      ...[PASS, NEW, ARCHIVE].map((text) => ({ what: `the passphrase '${text}'`, forms: formsOf(utf8(text)), home: /^\w+\.secret$/ })),
    ]
    assert.equal(leaks(secrets, outputs), [])

    // the search finds what is there: each secret in the file that must hold it
    const everywhere = secrets.map((one) => ({ ...one, home: NOWHERE }))
    const held = leaks(everywhere, outputs)
    for (const expected of [
      'bob’s seed in bob/identity.key', 'bob’s seed in third/identity.key', 'bob’s transport key in bob/transport.key', 'alice’s third transport key in alice/transport.key',
      'the invite’s secret in stdout of alice p2p-id invite', `the passphrase '${PASS}' in pass.secret`,
    ]) assert.ok(held.includes(expected), `not found: ${expected}; but ${held.join('; ')}`)
    assert.ok(held.some((one) => one.startsWith('the unused invite’s secret in alice/invites/')), held.join('; '))
    if (strace) assert.ok(outputs.some(([name, bytes]) => name.startsWith('told/exec.') && bytes.includes('P2P_HOME=')))
    assert.ok(outputs.some(([name, bytes]) => name === 'told/hook' && bytes.includes('P2P_ID=') && bytes.includes('p2p-listen')))
    console.log(`# ${secrets.length} secrets, ${outputs.length} outputs and files, ${outputs.reduce((sum, [, bytes]) => sum + bytes.length, 0)} bytes searched`)

    // modes: nothing in a home is for anybody else
    for (const who of ['alice', 'bob', 'third']) {
      const path = join(stage.dir, who)
      for (const name of ['.', ...readdirSync(path, { recursive: true }).map(String)]) {
        assert.is(lstatSync(join(path, name)).mode & 0o077, 0, `${who}/${name}`)
      }
    }
    // the identity is a file of age's own program
    const age = spawnSync('age', ['--version'])
    if (age.status === 0) assert.match(readFileSync(alice.at('identity.age'), 'latin1'), /^age-encryption\.org\/v1\n-> scrypt /)
  })
})

test('a search finds a secret in each form', () => {
  const bytes = new Uint8Array(Buffer.from('00ff17c4a09b3e5d6f7081929384a5b6c7d8e9fa0b1c2d3e4f50617283940516', 'hex'))
  const secret: Secret = { what: 'it', forms: formsOf(bytes), home: NOWHERE }
  const raw = Buffer.from(bytes)
  const written = [
    raw, raw.toString('hex'), raw.toString('hex').toUpperCase(), base58(bytes), `key=[${[...bytes].join(',')}]`, raw.toString('base64'), raw.toString('base64url'),
    ...[1, 2, 3, 4].map((before) => Buffer.concat([Buffer.alloc(before, 0x41), raw, Buffer.from('more')]).toString('base64')),
  ]
  for (const text of written) assert.equal(leaks([secret], [['a log', Buffer.from(text)]]), ['it in a log'], String(text).slice(0, 50))
  assert.equal(leaks([secret], [['a log', Buffer.from(raw.map((byte) => byte ^ 1))]]), [])
})

test('a listener that dies leaves no keys in a core dump, and no signal opens its debugger', async () => {
  await Stage.with(async (stage) => {
    const bob = await stage.peer('bob')
    const key = formsOf(digitsOf(bob.at('transport.key')))
    const quoted = argvOf('p2p-listen').map((word) => `'${word}'`).join(' ')
    const running = stage.startProgram(['sh', '-c', `ulimit -c unlimited; exec ${quoted} --json`], { home: bob.path })
    await running.until('listening')
    if (!existsSync('/proc/self/coredump_filter')) {
      console.log('skip: core dumps: no /proc/PID/coredump_filter here')
    } else {
      assert.match(readFileSync(`/proc/${running.pid}/coredump_filter`, 'utf8'), /^0+\n$/)
    }
    const sockets = (): string[] => readdirSync(`/proc/${running.pid}/fd`).flatMap((fd) => {
      try {
        const to = readlinkSync(`/proc/${running.pid}/fd/${fd}`)
        return to.startsWith('socket:') ? [to] : []
      } catch {
        return []
      }
    })
    const before = sockets().length
    running.child.kill('SIGUSR1')
    await bob.run('p2p', [])
    assert.is(sockets().length, before, 'a debugger listens')
    assert.not.match(running.err, /[Dd]ebugger/)
    await running.stop('SIGSEGV')
    const dumps = filesBelow(stage.dir).filter((path) => /\/core[^/]*$/.test(path))
    for (const path of dumps) {
      const dump = readFileSync(path)
      assert.not.ok(key.some((form) => dump.includes(form)), `${path}, ${dump.length} bytes`)
    }
    if (dumps.length === 0) console.log('# no core dump was written to the working directory')
    else console.log(`# a core dump of ${dumps.map((path) => lstatSync(path).size).join()} bytes without a key`)
  })
})

test('a home whose secrets others can read, or that is no place for them, is refused by name', async () => {
  await Stage.with(async (stage) => {
    const home = join(stage.dir, 'real')
    const link = join(stage.dir, 'link')
    const env = { P2P_HOME: link, PATH: process.env['PATH'] ?? '', HOME: stage.dir }
    const call = (command: string, ...args: string[]): { status: number | null; err: string } => {
      const [program = '', ...rest] = [...argvOf(command), ...args]
      const ran = spawnSync(program, rest, { env, detached: true, cwd: stage.dir } as SpawnSyncOptions)
      return { status: ran.status, err: String(ran.stderr) }
    }
    // behind a link: the home is what it leads to, with its modes
    mkdirSync(home, { mode: 0o700 })
    spawnSync('ln', ['-s', 'real', link])
    assert.is(call('p2p-id', 'init', '--name', 'alice', '--no-passphrase').status, 0)
    assert.is(call('p2p-id', 'show').status, 0)
    assert.is(call('p2p-send', 'me', '-m', 'note').status, 0)
    assert.ok((await openHome({ flag: link, env: {} })).path.length > 0)
    for (const name of readdirSync(home, { recursive: true }).map(String)) assert.is(lstatSync(join(home, name)).mode & 0o077, 0, name)
    for (const name of ['transport.key', 'identity.key']) {
      spawnSync('chmod', ['644', join(home, name)])
      const refused = name === 'transport.key' ? call('p2p-listen', '--once') : call('p2p-id', 'rotate')
      assert.is(refused.status, 77, `${name}: ${refused.err}`)
      assert.match(refused.err, new RegExp(`others can read .*${name}.*mode 644[^]*chmod 600`))
      spawnSync('chmod', ['600', join(home, name)])
    }
  })
})

test.run()
