// How a command starts: with what V8 has kept of its program, if that is of exactly this program, and without else.

import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { execa } from 'execa'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

const COMMAND = 'p2p-id'

const work = mkdtempSync(join(tmpdir(), 'start-'))
test.after(() => rmSync(work, { recursive: true }))

const [code, cache] = [join(work, 'code', `${COMMAND}.cjs`), join(work, 'code', `${COMMAND}.cache`)]

/** Tells on standard error whether V8 took what was kept: nothing if it was not given any. */
const watch = join(work, 'watch.cjs')

/** The command in a place of its own, with what V8 keeps of it. */
test.before(async () => {
  cpSync('dist', work, { recursive: true })
  cpSync('.ci/compile.cjs', join(work, '.ci/compile.cjs'))
  cpSync('dist', join(work, 'dist'), { recursive: true })
  await execa(process.execPath, [join(work, '.ci/compile.cjs'), COMMAND, '--version'])
  cpSync(join(work, 'dist/code', `${COMMAND}.cache`), cache)
  writeFileSync(
    watch,
    `const vm = require('node:vm')
    vm.Script = class extends vm.Script {
      constructor(code, options) {
        super(code, options)
        if (options.cachedData !== undefined) console.error(this.cachedDataRejected ? 'refused' : 'taken')
      }
    }`,
  )
})

async function start(): Promise<{ out: string; kept: string }> {
  const { stdout, stderr } = await execa(process.execPath, ['--require', watch, join(work, `${COMMAND}.cjs`), '--version'])
  return { out: stdout.replace(/ .*/, ''), kept: stderr }
}

test('parts of node that are loaded late are whole to whoever asks for all of them', async () => {
  const program = join(work, 'code', 'late.cjs')
  writeFileSync(join(work, 'late.cjs'), readFileSync(join(work, `${COMMAND}.cjs`)))
  const body = `const os = require('node:os'); console.log(Object.keys({ ...os }).length === Object.keys(process.getBuiltinModule('node:os')).length,
    'cpus' in os, 'nothing' in os, typeof os.cpus, os.nothing)`
  writeFileSync(program, `// x\n(function (exports, require, module, __filename) {\n${body}\n})`)
  const { stdout } = await execa(process.execPath, [join(work, 'late.cjs')])
  assert.is(stdout, 'true true false function undefined')
})

test('what was kept of this program is taken', async () => {
  assert.equal(await start(), { out: COMMAND, kept: 'taken' })
})

test('of another program, damaged, cut off or absent it is not, and the command runs all the same', async () => {
  const good = readFileSync(cache)
  const other = readFileSync(code, 'utf8').replace(/^\/\/ ./, '// x') // of another sum, and as long as before
  const sum = good.indexOf(10) + 1
  for (const bad of [Buffer.alloc(0), good.subarray(0, sum - 1), good.subarray(0, sum), good.subarray(0, 1000), good.subarray(1)]) {
    writeFileSync(cache, bad)
    const { out, kept } = await start()
    assert.is(out, COMMAND)
    assert.is.not(kept, 'taken', `${bad.length} bytes`)
  }
  writeFileSync(cache, good)
  const own = readFileSync(code)
  writeFileSync(code, other)
  assert.equal((await start()).kept, '', 'of a program that was changed')
  writeFileSync(code, own)
  rmSync(cache)
  assert.equal(await start(), { out: COMMAND, kept: '' })
  writeFileSync(cache, good)
})

test('what looks, or only queues, loads no part of node that takes long to load', async () => {
  const look = join(work, 'look.cjs')
  const parts = ['child_process', 'crypto', 'dgram', 'http', 'net', 'os', 'stream', 'tty', 'zlib']
  writeFileSync(look, `process.on('exit', () => process._rawDebug('LOADED', ...${JSON.stringify(parts)}.filter((part) => process.moduleLoadList.includes('NativeModule ' + part))))`)
  const [home, other] = [join(work, 'home'), join(work, 'other')]
  const run = async (command: string, ...args: string[]): Promise<{ out: string; loaded: string | undefined }> => {
    const env = { P2P_HOME: home, P2P_LAN: 'false', P2P_MAP: 'false', JOURNAL_STREAM: '' }
    const file = join(work, 'out') // a pipe of execa is a socket, which takes node's streams
    const argv = [process.execPath, '--require', look, join(work, `${command}.cjs`), ...args]
    const { stderr } = await execa('sh', ['-c', '"$@" >"$0"', file, ...argv], { env, stdin: 'ignore' })
    return { out: readFileSync(file, 'utf8').trim(), loaded: /^LOADED ?(.*)$/m.exec(stderr)?.[1] }
  }
  for (const [name, path] of [['alice', home], ['bob', other]] as const) await run('p2p-id', 'init', '--home', path, '--name', name, '--no-passphrase')
  await run('p2p-id', 'add', 'bob', (await run('p2p-id', 'token', '--home', other)).out)
  for (let i = 0; i < 12; i++) assert.is((await run('p2p-send', 'bob', '--queue-only', '-m', `${i}`)).loaded, '', 'p2p-send')
  await run('p2p-send', 'me', '-m', 'a note')
  assert.is((await run('p2p-id', 'token')).loaded, '')
  const [queued, came] = [await run('p2p-queue', 'list', '--json'), await run('p2p-inbox', 'list', '--json')]
  assert.equal([queued.out.split('\n').length, came.out.split('\n').length], [12, 1])
  assert.equal([queued.loaded, came.loaded], ['', ''])
})

test('for another V8 it is refused', async () => {
  const good = readFileSync(cache)
  const foreign = Buffer.from(good)
  const at = foreign.indexOf(10) + 5
  foreign.fill(0, at, at + 4) // behind the sum of the program and V8's magic number: the hash of its version
  writeFileSync(cache, foreign)
  assert.equal(await start(), { out: COMMAND, kept: 'refused' })
  writeFileSync(cache, good)
  assert.ok(existsSync(cache))
})

test.run()
