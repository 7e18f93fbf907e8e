// p2p: the dispatcher, the state of things, and the way of somebody who reads nothing but its next step.

import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, copyFileSync, cpSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { execa } from 'execa'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { forHome, shellWord } from '../lib/base/quoting.ts'
import { COMMANDS } from '../lib/edge/commands.ts'
import { splitLine } from '../lib/edge/dispatch.ts'
import { runCommand } from './command.ts'
import { Stage, until } from './peer.ts'
import { type Rec, records } from './records.ts'

async function status(home: string, args: string[] = []): Promise<Rec> {
  const ran = await runCommand('p2p', args, { home })
  const [record = {}, ...more] = records(ran.out)
  assert.is(more.length, 0)
  return record
}

test('without an identity it is 78, says what to do, and makes no error of it', async () => {
  await Stage.with(async (stage) => {
    const home = join(stage.dir, 'nobody')
    const ran = await runCommand('p2p', ['--text'], { home })
    assert.is(ran.code, 78)
    assert.is(ran.err, '')
    assert.match(ran.out, /^you +nobody yet$/m)
    assert.match(ran.out, /^next +p2p-id init /m)
    const { next, listener, contacts, key } = await status(home)
    assert.equal([next, listener, contacts, key], ['p2p-id init', false, 0, undefined])
    assert.is(existsSync(home), false)
    const quiet = await runCommand('p2p', ['-q'], { home })
    assert.equal([quiet.code, quiet.out], [78, ''])
    assert.match(quiet.err, /^p2p: no identity in /)
  })
})

test('a home that others can read is told with the way out', async () => {
  await Stage.with(async (stage) => {
    const alice = await stage.peer('alice')
    await execa('chmod', ['755', alice.path])
    const ran = await runCommand('p2p', [], { home: alice.path })
    assert.is(ran.code, 78)
    assert.match(ran.err, /is open to others/)
    assert.match(String(records(ran.out)[0]?.['next']), /^chmod 700 /)
  })
})

test('whoever follows the next step gets to a first delivered message', async () => {
  await Stage.with(async (stage) => {
    const steps: string[] = []
    const next = async (home: string): Promise<string> => {
      const step = String((await status(home))['next'])
      steps.push(step)
      return step
    }
    const [alice, bob] = ['alice', 'bob'].map((name) => join(stage.dir, name)) as [string, string]
    const names = new Map([[alice, 'alice'], [bob, 'bob']])
    for (const home of [alice, bob]) {
      assert.is(await next(home), 'p2p-id init')
      const args = ['init', '--no-passphrase', '--name', names.get(home) ?? '', '--addr', '127.0.0.1']
      assert.is((await runCommand('p2p-id', args, { home })).code, 0)
      assert.is(await next(home), 'p2p-id invite NAME')
    }
    const invite = await runCommand('p2p-id', ['invite', 'bob'], { home: alice })
    const listen = async (home: string): Promise<void> => {
      assert.is(await next(home), 'p2p-listen -q &')
      const listener = stage.start('p2p-listen', ['--json'], { home })
      await listener.until('listening')
      assert.is((await status(home))['pid'], listener.pid)
    }
    await listen(alice)
    assert.is(await next(alice), 'p2p-id requests')
    const added = await runCommand('p2p-id', ['add', 'alice'], { home: bob, input: invite.out })
    assert.is(added.code, 0, added.err)
    await listen(bob)
    for (const [home, other] of [[alice, 'bob'], [bob, 'alice']] as const) {
      await until(`${other} is announced`, async () => (await status(home))['unread'] === 1)
      assert.is(await next(home), 'p2p-inbox list --new')
      const [notice] = records((await runCommand('p2p-inbox', ['list', '--new'], { home })).out)
      assert.match(String(notice?.['subject']), new RegExp(`; compare words: p2p-id verify ${other}$`))
      await runCommand('p2p', ['inbox', 'seen', String(notice?.['id'])], { home })
      assert.is(await next(home), `p2p-id verify ${other}`)
      assert.is((await runCommand('p2p-id', ['verify', '--ok', other], { home })).code, 0)
    }
    assert.is(await next(alice), 'p2p-send bob')
    const sent = await runCommand('p2p', ['send', 'bob', '-w', '60s'], { home: alice, input: 'hi' })
    assert.equal(records(sent.out).map(({ type }) => type), ['queued', 'delivered'], sent.err)
    assert.is((await status(bob))['unread'], 1)
    assert.is(await next(bob), 'p2p-inbox list --new')
    await runCommand('p2p', ['inbox', 'seen', '@'], { home: bob })
    assert.is(await next(bob), 'p2p-send alice')
  })
})

test('at most 8 lines on a terminal, however much there is to tell', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    await alice.queue('bob', ['-m', 'one'])
    const [queued] = readdirSync(alice.at('queue', bob.key, 'new'))
    mkdirSync(alice.at('queue', bob.key, 'failed'), { recursive: true })
    copyFileSync(alice.at('queue', bob.key, 'new', String(queued)), alice.at('queue', bob.key, 'failed', String(queued)))
    const ran = await alice.run('p2p', ['--text'])
    assert.is(ran.code, 0, ran.err)
    assert.is(ran.out.trimEnd().split('\n').length, 8)
    assert.match(ran.out, /^waiting +1\nfailed +1$/m)
    assert.ok(ran.out.trimEnd().split('\n').every((line) => line.length <= 100), ran.out)
    await alice.listen()
    assert.is((await status(alice.path))['next'], 'p2p-queue list')
  })
})

test('options before the word are handed on, and the home goes into the next step', async () => {
  await Stage.with(async (stage) => {
    const alice = await stage.peer('alice')
    const shown = await runCommand('p2p', ['--home', alice.path, '--json', 'id', 'show'])
    assert.is(records(shown.out)[0]?.['key'], alice.key, shown.err)
    const wrong = await runCommand('p2p', ['--home', alice.path, 'send', 'nobody', '-m', 'x'])
    assert.is(wrong.code, 67)
    assert.match(wrong.err, /^p2p-send: no contact named 'nobody'/)
    const { next } = records((await runCommand('p2p', ['--home', alice.path])).out)[0] ?? {}
    assert.is(next, `p2p-id invite NAME --home ${alice.path}`)
  })
})

test('it is one process', async () => {
  await Stage.with(async (stage) => {
    const alice = await stage.peer('alice')
    const trace = join(stage.dir, 'trace.cjs')
    writeFileSync(trace, `require('node:fs').appendFileSync(${JSON.stringify(`${stage.dir}/pids`)}, process.pid + '\\n')`)
    const ran = await alice.run('p2p', ['id', 'show'], { env: { NODE_OPTIONS: `--require=${trace}` } })
    assert.is(ran.code, 0, ran.err)
    assert.is(new Set(readFileSync(join(stage.dir, 'pids'), 'utf8').trim().split('\n')).size, 1)
  })
})

test('a word that is no command is 64 with the nearest, and so is a page', async () => {
  for (const [args, expected] of [
    [['sned', 'bob'], /^p2p: unknown command 'sned': did you mean 'send'\?\np2p: hint: p2p --help$/m],
    [['xyzzy'], /^p2p: unknown command 'xyzzy'$/m],
    [['help', 'sned'], /^p2p: no manual page 'sned': did you mean 'send'\?$/m],
    [['help', 'send', 'me'], /^p2p: surplus argument 'me'$/m],
    [['--', 'send'], /^p2p: surplus argument 'send'$/m],
    [['--bogus'], /^p2p: unknown option '--bogus'$/m],
    [['constructor'], /^p2p: unknown command 'constructor'$/m],
  ] as const) {
    const ran = await runCommand('p2p', [...args])
    assert.is(ran.code, 64, args.join(' '))
    assert.match(ran.err, expected)
    assert.is(ran.out, '')
  }
})

test('help falls back to --help where there is no man, and p2p --help is its own', async () => {
  await Stage.with(async (stage) => {
    const env = { PATH: stage.dir }
    const send = await runCommand('p2p', ['help', 'send'], { env })
    assert.match(send.out, /^USAGE p2p-send /m, send.err)
    assert.is(send.code, 0)
    assert.match((await runCommand('p2p', ['help'], { env })).out, /^USAGE p2p /m)
    const page = await runCommand('p2p', ['help', 'spool'], { env })
    assert.is(page.code, 66)
    const { out } = await runCommand('p2p', ['--help'])
    assert.match(out, /^USAGE p2p /m)
    for (const { name, text } of COMMANDS.slice(1)) assert.match(out, `  ${name.padEnd(12)}  ${text}`)
    assert.match((await runCommand('p2p', ['send', '--help'])).out, /^USAGE p2p-send /m)
    assert.match((await runCommand('p2p', ['--version'])).out, /^p2p \d/)
  })
})

test('help shows the page by man', async () => {
  const man = await execa('man', ['-w', 'man'], { reject: false })
  if (man.exitCode !== 0) return console.log('skip: man: not installed')
  assert.match((await runCommand('p2p', ['help', 'queue'], { env: { MANWIDTH: '80' } })).out, /P2P-QUEUE\(1\)/)
  assert.match((await runCommand('p2p', ['help'], { env: { MANWIDTH: '80' } })).out, /P2P\(7\)/)
})

test('it finds the others through links, as make install lays them', async () => {
  if (!existsSync('dist/p2p-id.cjs') || !existsSync('dist/p2p.cjs')) return console.log('skip: nothing is built')
  await Stage.with(async (stage) => {
    const alice = await stage.peer('alice')
    const lib = join(stage.dir, 'a b', 'lib')
    const bin = join(stage.dir, 'bin')
    cpSync('dist/code', join(lib, 'code'), { recursive: true })
    mkdirSync(bin)
    for (const name of ['p2p', 'p2p-id']) {
      copyFileSync(`dist/${name}.cjs`, join(lib, `${name}.cjs`))
      symlinkSync(join(lib, `${name}.cjs`), join(bin, name))
    }
    const env = { P2P_HOME: alice.path, HOME: stage.dir, PATH: '' }
    const run = (args: string[]): Promise<{ exitCode?: number; stdout: string; stderr: string }> =>
      execa(process.execPath, [join(bin, 'p2p'), ...args], { reject: false, extendEnv: false, env })
    const shown = await run(['id', 'show'])
    assert.is(shown.exitCode, 0, shown.stderr)
    const missing = await run(['send', 'bob'])
    assert.is(missing.exitCode, 78)
    assert.match(missing.stderr, /^p2p: .*p2p-send\.cjs is missing/)
    // what setup prints names the command as it was installed, also through the dispatcher
    assert.match((await run(['id', 'setup', 'cron'])).stdout, `P2P_HOME=${alice.path}`)
    assert.match((await run(['id', 'setup', 'mutt'])).stdout, `${bin}/p2p-id --home`)
    rmSync(join(bin, 'p2p-id'))
    assert.match((await run(['id', 'setup', 'mutt'])).stdout, `/a b/lib/p2p-id.cjs`)
  })
})

test('the word is the first argument that is no option and no value of one', () => {
  const word = (line: string): (string | undefined)[] => {
    const { before, word: found, after } = splitLine(line.split(' ').filter((each) => each !== ''))
    return [before.join(' '), found, after.join(' ')]
  }
  assert.equal(word(''), ['', undefined, ''])
  assert.equal(word('-q --json'), ['-q --json', undefined, ''])
  assert.equal(word('--home D send -m x'), ['--home D', 'send', '-m x'])
  assert.equal(word('--home=D -qv send --home E'), ['--home=D -qv', 'send', '--home E'])
  assert.equal(word('-- send'), ['-- send', undefined, ''])
  assert.equal(word('--home'), ['--home', undefined, ''])
  assert.equal(word('- x'), ['', '-', 'x'])
})

test('a step carries the home where a shell takes it', async () => {
  assert.is(forHome('p2p-listen -q &', 'D'), 'p2p-listen -q --home D &')
  assert.is(forHome('p2p-id add NAME < TOKEN', "a 'b"), "p2p-id add NAME --home 'a '\\''b' < TOKEN")
  assert.is(forHome('p2p', 'D'), 'p2p --home D')
  assert.is(forHome('chmod 700 /x', 'D'), 'chmod 700 /x')
  assert.is(forHome('p2p-id list', undefined), 'p2p-id list')
  for (const text of ["it's", 'a b', '$HOME', '`x`', 'ümlaut', '!', '', '~', '*', '-n', 'a\\b', 'x=y']) {
    const { stdout } = await execa('/bin/sh', ['-c', `printf '%s|' ${shellWord(text)}`])
    assert.is(stdout, `${text}|`)
  }
})

test.run()
