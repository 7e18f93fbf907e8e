// export, import and unretire as they are typed: a home goes to another machine and its conversations go on; a home that
// was moved answers nothing any more; age and tar open an archive; what cannot be done is told before anything is done.

import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { COMMANDS } from '../lib/edge/commands.ts'
import { argvOf, runCommand } from './command.ts'
import { type Peer, Stage } from './peer.ts'
import { records } from './records.ts'
import { skipped } from './vectors.ts'

const PASS = 'sesame'

/** A passphrase file on the stage. */
function passphrase(stage: Stage, text = PASS): string[] {
  const path = join(stage.dir, `pass-${text}`)
  writeFileSync(path, `${text}\n`, { mode: 0o600 })
  return ['--passphrase-file', path]
}

/** Takes the archive in as a home of this name, and who lives there then. */
async function settle(stage: Stage, archive: string, name: string, from: Peer): Promise<Peer> {
  const home = join(stage.dir, name)
  const ran = await runCommand('p2p-id', ['import', archive, ...passphrase(stage)], { home })
  assert.is(ran.code, 0, ran.err)
  const [told] = records(ran.out)
  assert.equal([told?.['type'], told?.['key'], told?.['home']], ['imported', from.key, home])
  assert.match(ran.err, 'p2p-id doctor')
  const peer = await stage.enter(name)
  Object.assign(peer.env, from.env)
  return peer
}

test('with all that waits and all mail a home moves, and the conversation goes on where it was', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const up = await bob.listen()
    const first = await alice.send('bob', ['-m', 'one'])
    const door = await alice.listen()
    const answer = await bob.send('alice', ['-m', 'two'])
    await up.stop()
    await door.stop()
    const waiting = [
      await alice.queue('bob', ['-m', 'three']),
      await alice.queue('bob', [], { input: new Uint8Array(200_000).fill(7) }),
      await alice.queue('bob', ['-m', 'four']),
    ]
    const archive = join(stage.dir, 'me.age')
    const [told] = await alice.good('p2p-id', ['export', '--all', '--move', '-o', archive, ...passphrase(stage)])
    assert.equal([told?.['type'], told?.['path'], told?.['size']], ['exported', archive, statSync(archive).size])
    assert.equal([told?.['contacts'], told?.['waiting'], told?.['mails'], told?.['moved']], [1, 3, 5, true])
    assert.is(statSync(archive).mode & 0o777, 0o600)
    const last = readFileSync(alice.at('hello', 'last'), 'utf8')

    const moved = await settle(stage, archive, 'laptop', alice)
    assert.is(readFileSync(moved.at('hello', 'last'), 'utf8'), last)
    assert.not.equal(Buffer.from(moved.home.instance), Buffer.from(alice.home.instance))
    assert.is(moved.home.port, alice.home.port)
    assert.equal(await moved.waiting(), waiting)
    assert.equal(await moved.ids(), [answer])
    const back = await bob.listen()
    const flushed = await moved.good('p2p-queue', ['flush', '-w', '60s'])
    const [three, large, four] = waiting
    assert.equal(flushed.map((record) => [record['type'], record['id']]), [three, four, large].map((id) => ['delivered', id]))
    const again = await moved.listen()
    const late = await bob.send('alice', ['-m', 'five'])
    assert.equal(await bob.ids(), [first, three, four, large])
    assert.equal(await moved.ids(), [answer, late])
    assert.equal((await moved.box('sent')).length, 4)
    assert.equal(moved.strays(), [])
    await again.stop()
    await back.stop()
  })
})

test('a copy of what was delivered meanwhile is dropped by its receiver: nothing comes twice', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const ids = [await alice.queue('bob', ['-m', 'one']), await alice.queue('bob', ['-m', 'two'])]
    const archive = join(stage.dir, 'backup.age')
    await alice.good('p2p-id', ['export', '--queue', '-o', archive, ...passphrase(stage)])
    const up = await bob.listen()
    await alice.good('p2p-queue', ['flush', '-w', '60s'])
    assert.equal(await bob.ids(), ids)
    const copy = await settle(stage, archive, 'copy', alice)
    assert.equal(await copy.waiting(), ids)
    const flushed = await copy.good('p2p-queue', ['flush', '-w', '60s'])
    assert.equal(flushed.map(({ type }) => type), ['delivered', 'delivered'])
    assert.equal(await bob.ids(), ids)
    assert.equal((await bob.box('inbox')).length, 2)
    await up.stop()
  })
})

test('while a listener takes in mail an archive has every mail that its log calls delivered', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const up = await bob.listen()
    const text = Array.from({ length: 400 }, (_, n) => `message ${n}`).join('\n')
    const sending = alice.run('p2p-send', ['bob', '--lines', '-w', '120s'], { input: `${text}\n` })
    await up.until('message')
    const copies: Peer[] = []
    for (let n = 0; n < 3; n++) {
      const archive = join(stage.dir, `${n}.age`)
      await bob.good('p2p-id', ['export', '--all', '-o', archive, ...passphrase(stage)])
      copies.push(await settle(stage, archive, `copy${n}`, bob))
    }
    assert.is((await sending).code, 0)
    for (const copy of copies) {
      const listed = await copy.good('p2p-inbox', ['list', '--after', 'start'])
      assert.equal(listed.filter((record) => record['gone'] === true), [])
      assert.ok(listed.length > 0)
    }
    console.log(`# ${(await Promise.all(copies.map(async (copy) => (await copy.ids()).length))).join(', ')} of 400`)
    await up.stop()
  })
})

/** What a verb needs to get as far as the home. */
const ARGUMENTS: Record<string, string[]> = {
  'p2p-id init': ['--name', 'x', '--no-passphrase'],
  'p2p-id export': ['-o', '/nonexistent/x.age'],
  'p2p-id setup': ['cron'],
  'p2p-queue drop': ['abcdef'],
  'p2p-send': ['bob', '-m', 'hi'],
  'p2p-sendmail': ['bob@p2p.invalid'],
  'p2p-pipe': ['bob'],
}

test('a home that was moved answers 78 in every command and names the way back, which takes it back', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const archive = join(stage.dir, 'me.age')
    await alice.good('p2p-id', ['export', '--move', '-o', archive, ...passphrase(stage)])
    const before = readFileSync(alice.at('home.json'), 'utf8')
    let calls = 0
    for (const command of COMMANDS) {
      if (!existsSync(`dist/${command.name}.cjs`)) {
        skipped(`${command.name} is not built`)
        continue
      }
      for (const verb of command.verbs) {
        const name = `${command.name} ${verb.name}`
        if (name === 'p2p-id unretire') continue
        const args = ARGUMENTS[name.trim()] ?? Array.from({ length: verb.min }, () => 'x')
        const words = verb.name === '' ? args : [verb.name, ...args]
        const ran = await alice.run(command.name, words)
        assert.is(ran.code, 78, `${name}: ${ran.code} ${ran.err}${ran.out}`)
        assert.match(ran.err, /this home was moved on \d{4}-\d\d-\d\d/, name)
        assert.match(ran.err, 'hint: p2p-id unretire', name)
        if (name !== 'p2p ') assert.is(ran.out, '', name) // which tells the next step in any state
        calls++
      }
      assert.is((await alice.run(command.name, ['--help'])).code, 0, command.name)
    }
    assert.ok(calls > 25)
    assert.is(readFileSync(alice.at('home.json'), 'utf8'), before)
    assert.is((await alice.run('p2p-id', ['import', archive])).code, 78)

    const back = await alice.run('p2p-id', ['unretire'])
    assert.equal([back.code, back.out], [0, ''])
    assert.match(back.err, 'two homes of one identity')
    assert.match((await alice.run('p2p-id', ['unretire'])).err, 'was not moved')
    const up = await bob.listen()
    await alice.send('bob', ['-m', 'here again'])
    await up.stop()
  })
})

test('a move is refused while a listener runs or messages would be left behind', async () => {
  await Stage.with(async (stage) => {
    const [alice] = await stage.pair()
    const archive = join(stage.dir, 'me.age')
    const pass = passphrase(stage)
    const up = await alice.listen()
    const busy = await alice.run('p2p-id', ['export', '--move', '-o', archive, ...pass])
    assert.is(busy.code, 75)
    assert.match(busy.err, `hint: kill ${up.pid}`)
    assert.is((await up.stop()).code, 0)
    await alice.queue('bob', ['-m', 'hi'])
    const behind = await alice.run('p2p-id', ['export', '--move', '-o', archive, ...pass])
    assert.is(behind.code, 1)
    assert.match(behind.err, '1 message waits here and would never be sent')
    assert.not.ok(existsSync(archive))
    assert.equal((await alice.good('p2p-id', ['show'])).length, 1)
    const told = await alice.run('p2p-id', ['export', '-o', archive, ...pass])
    assert.match(told.err, '1 message waits here and stay')
  })
})

test('an archive goes through a pipe to another machine', async () => {
  await Stage.with(async (stage) => {
    const [alice] = await stage.pair()
    await alice.good('p2p-send', ['me', '-m', 'a note'])
    const [id, home] = [argvOf('p2p-id'), join(stage.dir, 'far')]
    const pass = passphrase(stage)
    const script = '"$0" "$1" export --home "$2" --all --passphrase-file "$4" | "$0" "$1" import - --home "$3" --passphrase-file "$4"'
    const args = ['-c', `set -o pipefail; ${script}`, id[0] ?? '', id[1] ?? '', alice.path, home, pass[1] ?? '']
    if (id.length > 2) return skipped('commands are not built')
    const ran = spawnSync('bash', args, { encoding: 'utf8', env: { PATH: process.env['PATH'] ?? '' } })
    assert.is(ran.status, 0, ran.stderr)
    assert.equal(records(ran.stdout).map(({ type, mails }) => [type, mails]), [['imported', 2]])
    assert.equal((await (await stage.enter('far')).ids()).length, 1)
  })
})

/** Runs a command on a terminal of its own and types an answer whenever it asks for a passphrase. */
const ON_A_TERMINAL = `
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(sys.argv[2], sys.argv[2:])
said = b''
try:
    while True:
        piece = os.read(terminal, 1000)
        if not piece: break
        said += piece
        if piece.rstrip(b' ').endswith(b':'):
            os.write(terminal, sys.argv[1].encode() + b'\\n')
except OSError:
    pass
os.write(1, said)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`

function onTerminal(args: string[], cwd: string): { code: number | null; said: string } {
  const ran = spawnSync('python3', ['-c', ON_A_TERMINAL, PASS, ...args], { encoding: 'utf8', timeout: 60_000, cwd })
  return { code: ran.status, said: ran.stdout + ran.stderr }
}

test('on a terminal the passphrase is asked, twice if it is new, and no archive is written to it', async () => {
  if (spawnSync('python3', ['--version']).status !== 0) return skipped('no python3')
  await Stage.with(async (stage) => {
    const [alice] = await stage.pair()
    const id = [...argvOf('p2p-id')]
    const plain = onTerminal([...id, 'export', '--home', alice.path], stage.dir)
    assert.is(plain.code, 64, plain.said)
    assert.match(plain.said, 'not written to a terminal')
    const first = onTerminal([...id, 'export', '-o', 'a.age', '--home', alice.path], stage.dir)
    assert.is(first.code, 0, first.said)
    assert.match(first.said, /passphrase for the archive: \r?\npassphrase for the archive again: /)
    assert.match(first.said, /a\.age +\d+ bytes: 1 contacts?, 0 waiting/)
    const taken = onTerminal([...id, 'import', 'a.age', '--home', join(stage.dir, 'b')], stage.dir)
    assert.is(taken.code, 0, taken.said)
    assert.match(taken.said, /passphrase of the archive: \r?\n/)
    assert.not.match(taken.said, PASS)
  })
})

test('age and tar open an archive, and what they unpack is a home', async () => {
  const absent = ['age', 'tar', 'python3'].filter((name) => spawnSync(name, ['--version']).status !== 0)
  if (absent.length > 0) return skipped(`no ${absent.join(', no ')}`)
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    await alice.good('p2p-send', ['me', '-m', 'a note'])
    const waiting = await alice.queue('bob', ['-m', 'hi'])
    await alice.good('p2p-id', ['export', '--all', '-o', join(stage.dir, 'me.age'), ...passphrase(stage)])
    const opened = onTerminal(['age', '-d', '-o', 'me.tar', 'me.age'], stage.dir)
    assert.is(opened.code, 0, opened.said)
    const listed = spawnSync('tar', ['tf', 'me.tar'], { cwd: stage.dir, encoding: 'utf8' })
    assert.is(listed.status, 0, listed.stderr)
    assert.match(listed.stdout, /^home\.json\nidentity\.key\n/)
    assert.match(listed.stdout, `contacts/${bob.key}.json`)
    mkdirSync(join(stage.dir, 'byhand'), { mode: 0o700 })
    const unpacked = spawnSync('tar', ['xf', 'me.tar', '-C', 'byhand'], { cwd: stage.dir, encoding: 'utf8' })
    assert.equal([unpacked.status, unpacked.stderr], [0, ''])
    assert.equal(await (await stage.enter('byhand')).waiting(), [waiting])
  })
})

test('a sealed identity seals its archive: a wrong passphrase is 77 and nothing is written', async () => {
  await Stage.with(async (stage) => {
    const home = join(stage.dir, 'carol')
    const [pass, wrong] = [passphrase(stage), passphrase(stage, 'wrong')]
    const made = await runCommand('p2p-id', ['init', '--name', 'carol', ...pass], { home })
    assert.is(made.code, 0, made.err)
    const archive = join(stage.dir, 'c.age')
    for (const args of [wrong, []]) {
      const ran = await runCommand('p2p-id', ['export', '-o', archive, ...args], { home })
      assert.is(ran.code, 77, ran.err)
      assert.equal(readdirSync(stage.dir).filter((name) => name.startsWith('c.age')), [])
    }
    const piped = await runCommand('p2p-id', ['export', ...wrong], { home })
    assert.equal([piped.code, piped.out], [77, ''])
    assert.is((await runCommand('p2p-id', ['export', '-o', archive, ...pass], { home })).code, 0)
    const copy = join(stage.dir, 'copy')
    assert.is((await runCommand('p2p-id', ['import', archive, ...wrong], { home: copy })).code, 77)
    assert.not.ok(existsSync(copy))
    assert.is((await runCommand('p2p-id', ['import', archive, ...pass], { home: copy })).code, 0)
    assert.match(readFileSync(join(copy, 'identity.age'), 'latin1'), /^age-encryption/)
    const renewed = await runCommand('p2p-id', ['token', '--addr', '127.0.0.1', ...pass], { home: copy })
    assert.is(renewed.code, 0, renewed.err)
  })
})

test('what cannot be is told before anything is done', async () => {
  await Stage.with(async (stage) => {
    const [alice] = await stage.pair()
    const pass = passphrase(stage)
    const taken = join(stage.dir, 'taken')
    writeFileSync(taken, 'mine')
    const spoilt = join(stage.dir, 'spoilt.age')
    const age = await alice.run('p2p-id', ['export', '-o', spoilt, ...pass])
    assert.is(age.code, 0)
    truncateSync(spoilt, statSync(spoilt).size - 1)
    const cases: [string[], number, RegExp][] = [
      [['export', '-o', taken], 73, /taken is there already/],
      [['export', '-o', join(stage.dir, 'no', 'x'), ...pass], 73, /no such directory/],
      [['export', '--move', ...pass], 64, /'--move' needs '-o FILE'/],
      [['export', '-q', ...pass], 64, /nothing is written to standard output/],
      [['export', 'x'], 64, /./],
      [['import'], 64, /missing FILE/],
    ]
    for (const [args, code, text] of cases) {
      const ran = await alice.run('p2p-id', args)
      assert.equal([ran.code, ran.out], [code, ''], `${args.join(' ')}: ${ran.err}`)
      assert.match(ran.err, text)
    }
    assert.is(readFileSync(taken, 'utf8'), 'mine')
    const home = join(stage.dir, 'fresh')
    const imports: [string[], number, RegExp][] = [
      [[join(stage.dir, 'absent')], 66, /cannot read .*absent/],
      [[stage.dir], 66, /cannot read/],
      [[taken], 65, /not an age file/],
      [['-'], 65, /not an age file/],
      [[spoilt, ...pass], 65, /cut off|damaged/],
      [[alice.at('token'), ...pass], 65, /not an age file/],
    ]
    for (const [args, code, text] of imports) {
      const ran = await runCommand('p2p-id', ['import', ...args], { home })
      assert.equal([ran.code, ran.out], [code, ''], `${args.join(' ')}: ${ran.err}`)
      assert.match(ran.err, text)
      assert.equal(readdirSync(stage.dir).filter((name) => name.startsWith('fresh')), [])
    }
    const there = await alice.run('p2p-id', ['import', spoilt, ...pass])
    assert.is(there.code, 73)
    assert.match(there.err, 'already holds an identity')
    assert.not.ok(readdirSync(stage.dir).some((name) => name.includes('.tmp.')))
  })
})

test('files of other programs stay where they are, and that is said', async () => {
  await Stage.with(async (stage) => {
    const [alice] = await stage.pair()
    mkdirSync(alice.at('inbox', '.Archive', 'cur'), { recursive: true })
    writeFileSync(alice.at('notes.txt'), '')
    const pass = passphrase(stage)
    const ran = await alice.run('p2p-id', ['export', '--all', '-o', join(stage.dir, 'a.age'), ...pass])
    assert.is(ran.code, 0, ran.err)
    assert.match(ran.err, 'not in the archive: inbox/.Archive, notes.txt')
  })
})

/** Exit code and the peak of memory (MB) of a command. */
async function peak(args: string[], cwd: string): Promise<{ code: number | null; mb: number }> {
  const tell = join(cwd, 'peak.cjs')
  writeFileSync(tell, `process.on('exit', () => require('node:fs').writeSync(2, 'peak ' + process.resourceUsage().maxRSS + '\\n'))\n`)
  const [program = '', ...before] = argvOf('p2p-id')
  const env = { PATH: process.env['PATH'] ?? '', NODE_OPTIONS: `--require=${tell}` }
  const child = spawn(program, [...before, ...args], { cwd, env, stdio: ['ignore', 'ignore', 'pipe'] })
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text))
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve))
  return { code, mb: Number(/peak (\d+)/.exec(said)?.[1] ?? Infinity) / 1000 }
}

test('a mail of 200 MiB needs no more memory than none', async () => {
  await Stage.with(async (stage) => {
    const [alice] = await stage.pair()
    const pass = passphrase(stage)
    const empty = await peak(['export', '--all', '-o', 'none.age', '--home', alice.path, ...pass], stage.dir)
    const without = await peak(['import', 'none.age', '--home', join(stage.dir, 'one'), ...pass], stage.dir)
    const mail = alice.at('inbox', 'cur', '1700000000.M1.host:2,S')
    writeFileSync(mail, 'From: x\n\n')
    truncateSync(mail, 200 * 2 ** 20)
    const since = performance.now()
    const full = await peak(['export', '--all', '-o', 'full.age', '--home', alice.path, ...pass], stage.dir)
    const between = performance.now()
    const taken = await peak(['import', 'full.age', '--home', join(stage.dir, 'two'), ...pass], stage.dir)
    const [out, back] = [between - since, performance.now() - between].map((ms) => `${(ms / 1000).toFixed(1)} s`)
    assert.equal([empty.code, without.code, full.code, taken.code], [0, 0, 0, 0])
    console.log(`# export: ${empty.mb} MB, with 200 MiB ${full.mb} MB in ${out}`)
    console.log(`# import: ${without.mb} MB, with 200 MiB ${taken.mb} MB in ${back}`)
    assert.is(statSync(join(stage.dir, 'two', 'inbox', 'cur', '1700000000.M1.host:2,S')).size, 200 * 2 ** 20)
    assert.ok(full.mb < empty.mb + 100 && taken.mb < without.mb + 100)
  })
})

test.run()
