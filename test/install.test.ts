// make install and uninstall: everything in place under PREFIX, running without PATH, and gone again to the last file.

import { existsSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { execa } from 'execa'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

const COMMANDS = readdirSync('bin').map((name) => name.replace(/\.ts$/, ''))
const PAGES = readdirSync('man').filter((name) => /\.[1-8]$/.test(name))

const work = mkdtempSync(join(tmpdir(), 'p2p-install-'))
test.after(() => rmSync(work, { recursive: true }))

async function make(target: string, variables: string[]): Promise<string> {
  // The outer make's flags and variables must not reach this one.
  const env = { MAKEFLAGS: '', MAKELEVEL: '', MFLAGS: '', HOME: join(work, 'home') }
  return (await execa('make', [target, ...variables], { env, stdin: 'ignore', all: true })).all
}

function filesUnder(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(
    (name) => !lstatSync(join(folder, name)).isDirectory(),
  )
}

test('install puts commands and pages under PREFIX, uninstall takes away exactly those', async () => {
  const prefix = join(work, 'prefix with')
  mkdirSync(join(prefix, 'bin'), { recursive: true })
  await make('install', [`PREFIX=${prefix}`])
  assert.equal(
    filesUnder(prefix).sort(),
    [
      ...COMMANDS.map((name) => `bin/${name}`),
      ...COMMANDS.map((name) => `lib/p2p/${name}.cjs`),
      ...PAGES.map((name) => `share/man/man${name.slice(-1)}/${name}`),
    ].sort(),
  )
  for (const name of COMMANDS) {
    const path = join(prefix, 'bin', name)
    assert.is(realpathSync(path), realpathSync(join(prefix, 'lib/p2p', `${name}.cjs`)))
    assert.match(readFileSync(path, 'utf8').split('\n')[0] ?? '', /^#!\/.*node$/)
    const done = await execa(path, ['--version'], { env: {}, extendEnv: false }) // as from cron: no PATH
    assert.match(done.stdout, new RegExp(`^${name} \\d+\\.\\d+\\.\\d+$`))
  }
  const home = join(work, 'home/.local/share/p2p')
  mkdirSync(home, { recursive: true })
  assert.ok((await make('uninstall', [`PREFIX=${prefix}`])).includes(home), 'names the home it leaves')
  assert.ok(existsSync(home))
  assert.equal(filesUnder(prefix), [])
})

test('install honours DESTDIR, BINDIR and MANDIR', async () => {
  const dest = join(work, 'dest')
  const variables = [`DESTDIR=${dest}`, 'PREFIX=/usr', 'BINDIR=/opt/bin', 'MANDIR=/opt/man']
  await make('install', variables)
  const found = filesUnder(dest)
  for (const name of COMMANDS) assert.ok(found.includes(`opt/bin/${name}`) && found.includes(`usr/lib/p2p/${name}.cjs`))
  for (const name of PAGES) assert.ok(found.includes(`opt/man/man${name.slice(-1)}/${name}`))
  await make('uninstall', variables)
  assert.equal(filesUnder(dest), [])
})

test.run()
