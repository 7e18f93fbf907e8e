// Tokens and invites as QR codes: what a camera sees is the line that would have been printed.

import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { qrCode, qrLines, qrPng } from '../lib/edge/qrcode.ts'
import { runCommand } from './command.ts'
import { Stage } from './peer.ts'
import { skipped } from './vectors.ts'

const ZBAR = spawnSync('zbarimg', ['--version']).status === 0
if (!ZBAR) skipped('zbarimg: not installed: nobody reads the QR codes')

/** What a camera reads in a PNG. */
function read(path: string): string {
  const { stdout, stderr, status } = spawnSync('zbarimg', ['--quiet', '--raw', path], { encoding: 'utf8' })
  assert.is(status, 0, stderr)
  return stdout.trimEnd()
}

/** The modules that lines on a terminal show. */
function modulesOf(lines: readonly string[]): boolean[][] {
  return lines.flatMap((line) => {
    const cells = [...line.replace(/\u001b\[[\d;]*m/g, '')].map((char) => ' ▄▀█'.indexOf(char))
    return [cells.map((cell) => (cell & 2) !== 0), cells.map((cell) => (cell & 1) !== 0)]
  })
}

test('up to 425 characters fit into 80 columns and 40 lines, one more does not', () => {
  for (const length of [1, 212, 425]) {
    const lines = qrLines(qrCode('x'.repeat(length)) ?? [])
    assert.ok(lines !== undefined && lines.length <= 40, String(length))
    for (const line of lines) assert.ok(line.replace(/\u001b\[[\d;]*m/g, '').length <= 80)
  }
  const code = qrCode('x'.repeat(426))
  assert.is(qrLines(code ?? []), undefined)
  assert.is(qrCode('x'.repeat(5000)), undefined)
})

test('p2p-id token and invite: the line and the codes are the same', async () => {
  await Stage.with(async (stage) => {
    const alice = await stage.peer('alice')
    const token = (await alice.run('p2p-id', ['token'])).out.trimEnd()
    const shown = await alice.run('p2p-id', ['token', '--qr'])
    assert.is(shown.code, 0, shown.err)
    const modules = modulesOf(shown.out.trimEnd().split('\n'))
    const code = qrCode(token) ?? []
    assert.equal(modules.slice(0, code.length), code)
    const files = ['svg', 'png', 'invite.png', 'terminal.png'].map((end) => join(stage.dir, `code.${end}`))
    const [svg = '', png = '', invited = '', terminal = ''] = files
    for (const path of [svg, png]) assert.is((await alice.run('p2p-id', ['token', '--qr-file', path])).out.trimEnd(), token)
    assert.match(readFileSync(svg, 'utf8'), /^<svg .*<\/svg>\n$/)
    const invite = (await alice.run('p2p-id', ['invite', 'bob', '--qr-file', invited])).out.trimEnd()
    assert.match(invite, /^p2p1/)
    const path = ['--qr-file', png]
    assert.is((await alice.run('p2p-id', ['token', ...path])).code, 73, 'never over another file')
    assert.is((await alice.run('p2p-id', ['token', '--qr', ...path])).code, 64)
    const gif = join(stage.dir, 'code.gif')
    assert.is((await alice.run('p2p-id', ['token', '--qr-file', gif])).code, 64)
    assert.is(existsSync(gif), false)
    if (!ZBAR) return
    writeFileSync(terminal, qrPng(modules))
    assert.equal([png, invited, terminal].map(read), [token, invite, token])
  })
})

test('a token that is too long for the terminal is printed, and says so', async () => {
  await Stage.with(async (stage) => {
    const addresses = Array.from({ length: 5 }, (_, i) => ['--addr', `a-rather-long-name-of-a-host-number-${i}.example.org`]).flat()
    const path = join(stage.dir, 'long')
    const made = await runCommand('p2p-id', ['init', '--no-passphrase', '--name', 'long', ...addresses], { home: path })
    assert.is(made.code, 0, made.err)
    const shown = await runCommand('p2p-id', ['token', '--qr', '--text'], { home: path })
    assert.is(shown.code, 65)
    assert.match(shown.out, /^p2p1\S{425,}\n$/)
    assert.match(shown.err, /too long for a QR code of 80 columns and 40 lines: --qr-file FILE\.png/)
  })
})

test.run()
