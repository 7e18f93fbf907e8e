// make install and uninstall: everything in place under PREFIX, running without PATH, and gone again to the last file,
// whatever PREFIX is called and wherever node lies.

import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { execa } from 'execa'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { NEIGHBOURLESS } from './command.ts'

const COMMANDS = readdirSync('bin').map((name) => name.replace(/\.ts$/, ''))
const PAGES = readdirSync('man').filter((name) => /\.[1-8]$/.test(name))
const SCHEMAS = readdirSync('man').filter((name) => name.endsWith('.schema.json'))

/** Where each shell looks for the completions of a command. */
const COMPLETIONS: [string, (command: string) => string][] = [
  ['completions/p2p.bash', (command) => `share/bash-completion/completions/${command}`],
  ['completions/_p2p', () => 'share/zsh/site-functions/_p2p'],
  ['completions/p2p.fish', (command) => `share/fish/vendor_completions.d/${command}.fish`],
]

const work = mkdtempSync(join(tmpdir(), 'p2p-install-'))
test.after(() => rmSync(work, { recursive: true }))

// Not the developer's own table.
const tools = join(work, 'tools')
mkdirSync(tools)
writeFileSync(join(tools, 'crontab'), '#!/bin/sh\nprintf "$CRONTAB"\n', { mode: 0o755 })

async function make(target: string, variables: string[], extra: Record<string, string> = {}): Promise<string> {
  // The outer make's flags and variables must not reach this one.
  const outer = { MAKEFLAGS: '', MAKELEVEL: '', MFLAGS: '', SUDO_USER: '', CRONTAB: '' }
  const env = { ...outer, HOME: join(work, 'home'), PATH: `${tools}:${process.env['PATH']}`, ...extra }
  return (await execa('make', [target, ...variables], { env, stdin: 'ignore', all: true })).all
}

function filesUnder(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => !lstatSync(join(folder, name)).isDirectory())
    .sort()
}

/** What stands under PREFIX after make install. */
function everything(): string[] {
  return [
    ...COMMANDS.map((name) => `bin/${name}`),
    ...COMMANDS.map((name) => `lib/p2p/${name}.cjs`),
    ...readdirSync('dist/code').map((name) => `lib/p2p/code/${name}`),
    ...readdirSync('dist/udx-native').map((name) => `lib/p2p/node_modules/udx-native/${name}`),
    ...PAGES.map((name) => `share/man/man${name.slice(-1)}/${name}`),
    ...SCHEMAS.map((name) => `share/p2p/${name}`),
    ...COMPLETIONS.filter(([source]) => existsSync(source)).flatMap(([, target]) => [...new Set(COMMANDS.map(target))]),
    ...readdirSync('examples').map((name) => `share/doc/p2p-messenger/examples/${name}`),
    'share/doc/p2p-messenger/copyright',
    'share/systemd/user/p2p-listen.service',
  ].sort()
}

/** Runs an installed command as cron does at worst: no PATH, no HOME, nothing. */
async function version(path: string): Promise<string> {
  return (await execa(path, ['--version'], { env: {}, extendEnv: false })).stdout
}

for (const called of ['prefix', "Präfix 'd\"ü\\ & 雪"]) {
  test(`install puts everything under ${called}, uninstall takes away exactly that`, async () => {
    const prefix = join(work, called)
    mkdirSync(join(prefix, 'bin'), { recursive: true })
    await make('install', [`PREFIX=${prefix}`])
    assert.equal(filesUnder(prefix), everything())
    for (const name of COMMANDS) {
      const path = join(prefix, 'bin', name)
      assert.is(realpathSync(path), realpathSync(join(prefix, 'lib/p2p', `${name}.cjs`)))
      assert.match(readFileSync(path, 'utf8').split('\n')[0] ?? '', /^#!\/.*node$/)
      assert.match(await version(path), new RegExp(`^${name} \\d+\\.\\d+\\.\\d+$`))
    }
    for (const [source, target] of COMPLETIONS.filter(([file]) => existsSync(file))) {
      for (const name of COMMANDS) assert.equal(readFileSync(join(prefix, target(name))), readFileSync(source))
    }
    assert.match(readFileSync(join(prefix, 'share/doc/p2p-messenger/copyright'), 'utf8'), /MIT License[^]*@noble\/curves/)
    for (const name of readdirSync('examples')) {
      const path = join(prefix, 'share/doc/p2p-messenger/examples', name)
      assert.equal([readFileSync(path, 'utf8'), statSync(path).mode & 0o777], [readFileSync(`examples/${name}`, 'utf8'), 0o755])
    }
    assert.equal(await make('uninstall', [`PREFIX=${prefix}`]), '')
    assert.equal(readdirSync(prefix, { recursive: true }).filter((name) => String(name).includes('p2p')), [], 'no folder either')
    assert.equal(filesUnder(prefix), [])
  })
}

/** What an installed listener says first, and on standard error. */
async function listening(prefix: string, home: string): Promise<{ udp: boolean; err: string }> {
  const running = execa(join(prefix, 'bin/p2p-listen'), ['--home', home, '--json'], { env: NEIGHBOURLESS, extendEnv: false, reject: false })
  let out = ''
  for await (const text of running.stdout) {
    out += String(text)
    if (out.includes('\n')) break
  }
  running.kill('SIGTERM')
  const { stderr } = await running
  return { udp: (JSON.parse(out.split('\n')[0] ?? '') as { udp: boolean }).udp, err: stderr }
}

test('what is installed does UDP, and without the package for it TCP alone', async () => {
  const prefix = join(work, 'udp')
  const home = join(work, 'udp home')
  await make('install', [`PREFIX=${prefix}`])
  await execa(join(prefix, 'bin/p2p-id'), ['init', '--home', home, '--no-passphrase', '--addr', '127.0.0.1'], { env: {}, extendEnv: false })
  assert.equal(await listening(prefix, home), { udp: true, err: '' })
  rmSync(join(prefix, 'lib/p2p/node_modules'), { recursive: true })
  const without = await listening(prefix, home)
  assert.not.ok(without.udp)
  assert.match(without.err, /^p2p-listen: contacts are reached over TCP alone: the package udx-native is not installed$/m)
})

test('what is installed may be moved', async () => {
  const prefix = join(work, 'before')
  await make('install', [`PREFIX=${prefix}`])
  renameSync(prefix, join(work, 'after'))
  assert.match(await version(join(work, 'after/bin/p2p-send')), /^p2p-send /)
})

test('install honours DESTDIR, BINDIR and MANDIR', async () => {
  const dest = join(work, 'dest')
  const variables = [`DESTDIR=${dest}`, 'PREFIX=/usr', 'BINDIR=/opt/bin', 'MANDIR=/opt/man']
  await make('install', variables)
  const moved = everything().map((name) =>
    name.startsWith('bin/') ? `opt/${name}` : name.startsWith('share/man/') ? name.replace('share', 'opt') : `usr/${name}`,
  )
  assert.equal(filesUnder(dest), moved.sort())
  for (const name of COMMANDS) assert.ok(lstatSync(join(dest, 'opt/bin', name)).isSymbolicLink())
  assert.match(readFileSync(join(dest, 'usr/share/systemd/user/p2p-listen.service'), 'utf8'), /^ExecStart="\/opt\/bin\/p2p-listen" -q$/m)
  await make('uninstall', variables)
  assert.equal(filesUnder(dest), [])
})

const NODES: [string, string][] = [
  ['a folder with a blank', "no de's"],
  ['a folder too deep for a #! line', 'n'.repeat(130)],
]
for (const [what, folder] of NODES) {
  test(`node may lie in ${what}`, async () => {
    const own = join(work, folder)
    mkdirSync(own)
    symlinkSync(process.execPath, join(own, 'node'))
    const prefix = join(work, "for its node's")
    await make('install', [`PREFIX=${prefix}`, `NODE=${join(own, 'node')}`])
    assert.equal(filesUnder(prefix), everything())
    for (const name of COMMANDS) {
      assert.match(await version(join(prefix, 'bin', name)), new RegExp(`^${name} \\d`))
    }
    const refused = await execa(join(prefix, 'bin/p2p-send'), ['--'], { env: {}, extendEnv: false, reject: false, input: 'x' })
    assert.is(refused.exitCode, 64, 'the exit code comes through')
    rmSync(own, { recursive: true })
    const alone = await execa(join(prefix, 'bin/p2p-send'), ['--version'], { env: {}, extendEnv: false, reject: false })
    assert.equal([alone.exitCode, alone.stdout], [78, ''])
    assert.match(alone.stderr, /^p2p-send: .*Node\.js 20\.19/)
    await make('install', [`PREFIX=${prefix}`]) // over it, with a node in an ordinary place
    assert.match(await version(join(prefix, 'bin/p2p-send')), /^p2p-send /)
    await make('uninstall', [`PREFIX=${prefix}`])
    assert.equal(filesUnder(prefix), [])
  })
}

test("of a version manager's shim the node behind it is taken", async () => {
  const shims = join(work, 'shims')
  mkdirSync(shims)
  writeFileSync(join(shims, 'node'), `#!/bin/sh\n[ -n "$MANAGER" ] && exec '${process.execPath}' "$@"\n`, { mode: 0o755 })
  const prefix = join(work, 'managed')
  await make('install', [`PREFIX=${prefix}`], { PATH: `${shims}:${process.env['PATH']}`, MANAGER: 'yes' })
  assert.is(readFileSync(join(prefix, 'bin/p2p-send'), 'utf8').split('\n')[0], `#!${realpathSync(process.execPath)}`)
})

test('an older node is told apart from a fault', async () => {
  // What a command says is decided by process.versions alone; --require changes that for a node that is new enough.
  const old = join(work, 'old.cjs')
  writeFileSync(
    old,
    "Object.defineProperty(process, 'versions', { value: { ...process.versions, node: process.env.AS } })\n" +
      "Object.defineProperty(process, 'version', { value: 'v' + process.env.AS })\n",
  )
  for (const [as, code] of [['16.20.2', 78], ['18.20.8', 78], ['20.18.3', 78], ['20.19.0', 0], ['22.0.0', 0]] as const) {
    for (const name of COMMANDS) {
      const argv = ['--require', old, `dist/${name}.cjs`, '--version']
      const done = await execa(process.execPath, argv, { reject: false, env: { AS: as } })
      assert.is(done.exitCode, code, `${name} under ${as}`)
      if (code !== 0) assert.match(done.stderr, new RegExp(`^p2p needs Node\\.js 20\\.19 or newer: /.* is v${as}$`))
    }
  }
})

test('uninstall names the home and the units that it leaves', async () => {
  const prefix = join(work, 'left')
  await make('install', [`PREFIX=${prefix}`])
  const home = join(work, 'home/.local/share/p2p')
  const units = join(work, 'home/.config/systemd/user')
  mkdirSync(home, { recursive: true })
  mkdirSync(join(units, 'default.target.wants'), { recursive: true })
  writeFileSync(join(units, 'p2p-listen.service'), '')
  symlinkSync('/nowhere/p2p-listen.service', join(units, 'default.target.wants/p2p-listen.service'))
  const said = await make('uninstall', [`PREFIX=${prefix}`])
  assert.equal(said.split('\n'), [
    `left in place: ${home} (identity, contacts, messages)`,
    `left in place: ${units}/p2p-listen.service (unit)`,
    `left in place: ${units}/default.target.wants/p2p-listen.service (unit)`,
  ])
  assert.ok(existsSync(home) && existsSync(join(units, 'p2p-listen.service')))
  const table = '# p2p-queue\\n*/10 * * * * p2p-queue flush -q\\n'
  const elsewhere = await make('uninstall', [`PREFIX=${prefix}`], { P2P_HOME: work, CRONTAB: table })
  assert.match(elsewhere, new RegExp(`^left in place: ${work} `, 'm'))
  assert.match(elsewhere, /^left in place: lines of crontab -l/m)
})

test('the installed unit says what p2p-id setup systemd says, but for the home and the path', async () => {
  const prefix = join(work, 'units')
  await make('install', [`PREFIX=${prefix}`])
  const home = join(work, 'u')
  const own = { env: { P2P_HOME: home }, extendEnv: false }
  await execa(join(prefix, 'bin/p2p-id'), ['init', '--no-passphrase', '--name', 'u', '--addr', '127.0.0.1'], own)
  const { stdout } = await execa(join(prefix, 'bin/p2p-id'), ['setup', 'systemd'], own)
  const lines = (text: string): string[] =>
    text
      .slice(text.indexOf('[Unit]'))
      .split('\n')
      .filter((line) => !/^(?:$|#|Environment=|ExecStart=)/.test(line))
  assert.equal(lines(readFileSync(join(prefix, 'share/systemd/user/p2p-listen.service'), 'utf8')), lines(stdout))
})

test.run()
