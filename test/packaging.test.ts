// What is handed on: the tarball of npm pack and the package for dpkg. Each holds what make install puts in place and
// nothing else, needs nothing from a network, and is installed here as whoever gets it would.

import { existsSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

import { execa } from 'execa'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

const COMMANDS = readdirSync('bin').map((name) => name.replace(/\.ts$/, '')).sort()
const PAGES = readdirSync('man').filter((name) => /\.[1-8]$/.test(name)).sort()
const COMPLETIONS = existsSync('completions') ? ['p2p.bash', '_p2p', 'p2p.fish'].filter((name) => existsSync(`completions/${name}`)) : []
const EXAMPLES = readdirSync('examples')

const work = mkdtempSync(join(tmpdir(), 'p2p-pack-'))
test.after(() => rmSync(work, { recursive: true }))

// The outer make's flags must not reach ours; npm must neither find nor fetch anything.
const env = {
  MAKEFLAGS: '',
  MAKELEVEL: '',
  MFLAGS: '',
  npm_config_cache: join(work, 'cache'),
  npm_config_offline: 'true',
  npm_config_update_notifier: 'false',
}
const run = (program: string, args: string[]) => execa(program, args, { env, stdin: 'ignore' })

interface Manifest {
  version: string
  bin: Record<string, string>
  man: string[]
  dependencies?: object
  optionalDependencies?: object
  private?: boolean
}
const manifest = JSON.parse(readFileSync('package.json', 'utf8')) as Manifest

/** The programs and the packages beside them, without what is of use to one node only. */
const CODE = readdirSync('dist/code').flatMap((name) => (name.endsWith('.cjs') ? [`code/${name}`] : []))

async function pack(): Promise<string> {
  const { stdout } = await run('npm', ['pack', '--silent', '--pack-destination', work])
  return join(work, stdout.trim())
}

test('package.json names every command and every page, and nothing to fetch but what carries UDP', () => {
  assert.equal(manifest.bin, Object.fromEntries(COMMANDS.map((name) => [name, `dist/${name}.cjs`])))
  assert.equal(manifest.man, PAGES.map((name) => `man/${name}`))
  assert.is(manifest.dependencies, undefined)
  assert.equal(manifest.optionalDependencies, { 'udx-native': '1.21.3' })
  assert.is(manifest.private, undefined)
})

test('every package is pinned to one version, and what npm ci brings to its hash', () => {
  const { devDependencies, optionalDependencies } = JSON.parse(readFileSync('package.json', 'utf8')) as Record<string, Record<string, string>>
  const { packages } = JSON.parse(readFileSync('package-lock.json', 'utf8')) as { packages: Record<string, { version: string; integrity?: string }> }
  const pins = Object.entries({ ...devDependencies, ...optionalDependencies })
  assert.ok(pins.length > 20)
  for (const [name, version] of pins) {
    assert.match(version, /^\d+\.\d+\.\d+$/, name)
    assert.is(packages[`node_modules/${name}`]?.version, version, name)
  }
  for (const [path, { integrity }] of Object.entries(packages)) {
    if (path !== '') assert.match(integrity ?? '', /^sha512-/, path)
  }
})

test('publishing needs a decision', async () => {
  const plain = await execa('npm', ['run', '--silent', 'prepublishOnly'], { env: { ...env, PUBLISH: '' }, reject: false })
  assert.is(plain.exitCode, 1)
  const decided = await execa('npm', ['run', '--silent', 'prepublishOnly'], { env: { ...env, PUBLISH: 'yes' }, reject: false })
  assert.is(decided.exitCode, 0)
})

test('every package in the bundles is named with its licence', () => {
  const named = [...readFileSync('dist/THIRD-PARTY', 'utf8').matchAll(/^-{80}\n(\S+) \S+ \(/gm)].map((match) => match[1] ?? '')
  const used = new Set<string>()
  for (const name of [...CODE, 'udx-native/index.js']) {
    for (const [, path = ''] of readFileSync(`dist/${name}`, 'utf8').matchAll(/^ *\/\/ (?:.*\/)?node_modules\/((?:@[^/]+\/)?[^/\n]+)\//gm)) {
      used.add(path)
    }
  }
  assert.ok(used.size >= 10)
  assert.equal([...new Set(named)].sort(), [...used].sort())
})

test('npm pack: the tarball installs globally without a network, with manuals, and runs', async () => {
  const tarball = await pack()
  const listed = (await run('tar', ['-tzf', tarball])).stdout.split('\n').map((name) => name.replace(/^package\//, ''))
  assert.equal(
    listed.sort(),
    [
      'CHANGELOG.md',
      'LICENSE',
      'README.md',
      'SECURITY.md',
      'package.json',
      'dist/THIRD-PARTY',
      ...COMMANDS.map((name) => `dist/${name}.cjs`),
      ...CODE.map((name) => `dist/${name}`),
      ...readdirSync('man').map((name) => `man/${name}`),
      ...COMPLETIONS.map((name) => `completions/${name}`),
      ...EXAMPLES.map((name) => `examples/${name}`),
    ].sort(),
  )
  const prefix = join(work, 'a prefix')
  mkdirSync(prefix)
  const { stdout } = await run('npm', ['install', '--global', '--prefix', prefix, tarball])
  assert.match(stdout, /added 1 package/)
  for (const page of PAGES) {
    const installed = readFileSync(join(prefix, 'share/man', `man${page.slice(-1)}`, page))
    assert.equal(installed, readFileSync(join('man', page)))
  }
  // The node that runs this test comes first in PATH, so that the tarball's #! lines find it.
  const own = { env: { PATH: process.env['PATH'] ?? '', HOME: join(work, 'home') }, extendEnv: false, stdin: 'ignore' } as const
  const command = (name: string, ...args: string[]) => execa(join(prefix, 'bin', name), args, own)
  for (const name of COMMANDS) assert.is((await command(name, '--version')).stdout, `${name} ${manifest.version}`)
  await command('p2p-id', 'init', '--name', 'npm', '--no-passphrase', '--addr', '127.0.0.1')
  await command('p2p', 'send', 'me', '-m', 'out of the tarball')
  assert.is((await command('p2p-inbox', 'cat', '@')).stdout, 'out of the tarball')
  await run('npm', ['uninstall', '--global', '--prefix', prefix, 'p2p-messenger'])
  const left = readdirSync(prefix, { recursive: true, encoding: 'utf8' }).filter((name) => !lstatSync(join(prefix, name)).isDirectory())
  assert.equal(left.filter((name) => !name.endsWith('.package-lock.json')), [])
})

const DEB = `p2p-messenger_${manifest.version}_all.deb`

/** The package, built under this umask; its path. */
async function deb(umask: string): Promise<string> {
  const path = join(work, umask, DEB)
  if (existsSync(path)) return path
  mkdirSync(join(work, umask))
  await run('sh', ['-c', `umask ${umask}; make deb DEB='${path}'`])
  return path
}

test('make deb: the same bytes whoever builds it, all of root, nothing for others to write', async () => {
  if ((await execa('dpkg-deb', ['--version'], { reject: false })).failed) return console.log('skip: make deb: no dpkg-deb')
  const [first, second] = [await deb('022'), await deb('077')]
  assert.equal(readFileSync(first), readFileSync(second))
  assert.not.ok(existsSync('dist/deb'), 'nothing is left behind')
  const listed = (await run('dpkg-deb', ['-c', first])).stdout.split('\n').map((line) => line.split(/\s+/))
  for (const [mode = '', owner] of listed) {
    assert.is(owner, 'root/root')
    if (!mode.startsWith('l')) assert.match(mode, /^(?:drwxr-xr-x|-rwxr-xr-x|-rw-r--r--)$/)
  }
  const files = listed.filter(([mode = '']) => !mode.startsWith('d')).map((fields) => fields[5])
  for (const name of COMMANDS) {
    assert.ok(files.includes(`./usr/bin/${name}`) && files.includes(`./usr/lib/p2p/${name}.cjs`))
    assert.ok(files.includes(`./usr/lib/p2p/code/${name}.cjs`) && !files.includes(`./usr/lib/p2p/code/${name}.cache`))
  }
  for (const name of ['package.json', 'index.js', 'linux-x64.node', 'linux-arm64.node']) {
    assert.ok(files.includes(`./usr/lib/p2p/node_modules/udx-native/${name}`), name)
  }
  for (const name of PAGES) assert.ok(files.includes(`./usr/share/man/man${name.slice(-1)}/${name}.gz`))
  for (const name of ['copyright', 'changelog.gz', 'CHANGELOG.md.gz']) {
    assert.ok(files.includes(`./usr/share/doc/p2p-messenger/${name}`))
  }
  for (const name of EXAMPLES) {
    const path = `./usr/share/doc/p2p-messenger/examples/${name}`
    assert.is(listed.find((fields) => fields[5] === path)?.[0], '-rwxr-xr-x', path)
  }
  const control = (await run('dpkg-deb', ['-f', first])).stdout
  assert.match(control, /^Recommends: nodejs \(>= 20\.19\)$/m)
  assert.not.match(control, /^Depends:/m)
  assert.ok(Number(/^Installed-Size: (\d+)$/m.exec(control)?.[1]) * 1024 > statSync('dist/p2p-send.cjs').size)
})

test('dpkg -i: what was installed works from an empty environment, and dpkg -r takes it away', async () => {
  if ((await execa('dpkg', ['--version'], { reject: false })).failed) return console.log('skip: dpkg -i: no dpkg')
  const path = await deb('022')
  const done = await execa('bash', [resolve('test/deb.sh'), path], { env, reject: false, all: true, stdin: 'ignore' })
  if (done.exitCode === 77) return console.log('skip: dpkg -i: needs root and a machine in memory (overlay)')
  assert.is(done.exitCode, 0, done.all)
  assert.match(done.all, /# installed [^]*# removed$/)
})

test.run()
