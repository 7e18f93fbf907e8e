// p2p-id setup and mutt's forms of the list: each snippet is held against the program that reads it, where there is
// one, with a home whose path has everything that needs quoting.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { execa } from 'execa'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { Failure } from '../lib/base/fail.ts'
import { snippet } from '../lib/edge/setup.ts'
import type { Surroundings } from '../lib/edge/snippet.ts'
import { argvOf } from './command.ts'
import { type Peer, Stage } from './peer.ts'

const PROGRAMS = ['neomutt', 'mutt', 'aerc', 'mblaze', 'notmuch', 'systemd', 'launchd', 'cron', 'bash', 'zsh', 'fish']
const ODD = 'it\'s "q" $HOME `id` %d #é'

const AT: Surroundings = {
  home: `/home/${ODD}`,
  key: 'THJJmd2LTkcLwSHGiphjDP8dCFW6TDeLftD2YuqRL5j',
  name: 'al.ice',
  run: (command) => [`/opt/a b/${command}`],
  completions: { bash: '/opt/a b/p2p.bash', zsh: '/opt/a b/_p2p', fish: "/opt/it's/p2p.fish" },
}

/** From the sources the commands that a snippet names are TypeScript. */
const SOURCES = argvOf('p2p-id').length > 2 ? { NODE_OPTIONS: `--import=${import.meta.resolve('tsx')}` } : {}

async function has(program: string): Promise<boolean> {
  const { exitCode } = await execa('/bin/sh', ['-c', `command -v ${program}`], { reject: false })
  if (exitCode !== 0) console.log(`skip: ${program}: not installed`)
  return exitCode === 0
}

/** Somebody whose home has an odd path, and the snippet for a program as a file. */
async function withSnippet(program: string, work: (file: string, peer: Peer, stage: Stage) => Promise<void>): Promise<void> {
  await Stage.with(async (stage) => {
    const peer = await stage.peer('al.ice', { home: join(stage.dir, ODD) })
    const ran = await peer.run('p2p-id', ['setup', program])
    assert.is(ran.code, 0, ran.err)
    const file = join(stage.dir, 'snippet')
    writeFileSync(file, ran.out, { mode: 0o600 })
    await work(file, peer, stage)
  })
}

test('every snippet ends with a line feed, says where it goes, and names nothing that does not exist', () => {
  for (const program of PROGRAMS) {
    const text = snippet(program, AT)
    assert.ok(text.endsWith('\n') && !text.endsWith('\n\n'), program)
    assert.match(text, program === 'launchd' ? '<!--' : /^# /m)
    if (PROGRAMS.indexOf(program) < 5) assert.match(text, /p2p-sendmail/)
    for (const line of text.split('\n').filter((each) => each.startsWith('# ') && !each.includes(AT.home))) assert.ok(line.length <= 120, line)
  }
})

test('an unknown program is 64 with the nearest and all there are', async () => {
  const refused = (program: string, at = AT): Failure | undefined => {
    try {
      snippet(program, at)
    } catch (error) {
      return error as Failure
    }
    return undefined
  }
  assert.is(refused('neomut')?.exit, 64)
  assert.match(refused('neomut')?.message ?? '', /^no snippet for 'neomut' \(did you mean 'neomutt'\?\): there are neomutt, mutt, /)
  assert.is(refused('toString')?.exit, 64)
  assert.is(refused('bash', { ...AT, completions: {} })?.exit, 78)
  assert.is(refused('cron', { ...AT, home: '/a\nb' })?.exit, 78)
  assert.is(refused('notmuch', { ...AT, home: '/a;b' })?.exit, 78)
})

test('nothing is written, and without an identity it is 78', async () => {
  await Stage.with(async (stage) => {
    const alice = await stage.peer('alice')
    const before = alice.snapshot()
    for (const program of PROGRAMS.slice(0, 8)) await alice.good('p2p-id', ['setup', program])
    assert.equal(alice.snapshot(), before)
    assert.is((await alice.run('p2p-id', ['setup', 'systemd'], { home: join(stage.dir, 'none') })).code, 78)
    assert.is((await alice.run('p2p-id', ['setup'])).code, 64)
  })
})

/** Programs that note how they were called; crontab keeps what it is given. */
function stubs(folder: string): string {
  mkdirSync(folder)
  for (const name of ['systemctl', 'launchctl', 'crontab']) {
    const tab = 'case $1 in -l) cat "$0.tab" 2>/dev/null || exit 1 ;; -) cat >"$0.new"; mv "$0.new" "$0.tab" ;; esac'
    writeFileSync(join(folder, name), `#!/bin/sh\necho "$*" >>"$0.args"\n${name === 'crontab' ? tab : ''}\n`, { mode: 0o755 })
  }
  return folder
}

test('systemd, launchd and cron are each set up by one command and taken away by one, and nothing of others is touched', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = [await stage.peer('alice'), await stage.peer('bob')]
    const bin = stubs(join(stage.dir, 'bin'))
    const env = { PATH: `${bin}:${process.env['PATH']}`, HOME: stage.dir }
    const setup = async (peer: Peer, ...args: string[]): Promise<[number | undefined, string]> => {
      const { code, err } = await peer.run('p2p-id', ['setup', ...args], { env: { ...peer.env, ...env } })
      return [code, err]
    }
    const called = (name: string): string[] => readFileSync(join(bin, `${name}.args`), 'utf8').trim().split('\n')
    const unit = join(stage.dir, '.config/systemd/user/p2p-listen.service')
    assert.match((await setup(alice, 'systemd', '--install'))[1], /^p2p-id: .*p2p-listen\.service\n.*the listener runs/)
    assert.is(readFileSync(unit, 'utf8'), (await alice.run('p2p-id', ['setup', 'systemd'])).out)
    assert.equal(called('systemctl'), ['--user daemon-reload', '--user enable --now p2p-listen'])
    assert.equal(await setup(alice, 'systemd', '--install').then(([code]) => code), 0, 'twice is fine')
    for (const verb of ['--install', '--remove']) {
      const [code, err] = await setup(bob, 'systemd', verb)
      assert.is(code, 73)
      assert.match(err, /is of another home, or was written by hand: it stays as it is/)
    }
    assert.match((await alice.run('p2p-id', ['doctor', '--text'], { env: { ...alice.env, ...env } })).out, /not running/)
    assert.is((await setup(alice, 'systemd', '--remove'))[0], 0)
    assert.equal([existsSync(unit), called('systemctl').slice(-2)], [false, ['--user disable --now p2p-listen', '--user daemon-reload']])
    assert.is((await setup(alice, 'systemd', '--remove'))[0], 1)
    const agent = join(stage.dir, 'Library/LaunchAgents/invalid.p2p.listen.plist')
    assert.is((await setup(alice, 'launchd', '--install'))[0], 0)
    assert.is(readFileSync(agent, 'utf8'), (await alice.run('p2p-id', ['setup', 'launchd'])).out)
    assert.match(called('launchctl').at(-1) ?? '', new RegExp(`^bootstrap gui/\\d+ ${agent}$`))
    assert.is((await setup(alice, 'launchd', '--remove'))[0], 0)
    assert.equal([existsSync(agent), called('launchctl').at(-1)?.startsWith('bootout gui')], [false, true])
    writeFileSync(join(bin, 'crontab.tab'), '5 4 * * *  backup # mine\n')
    assert.is((await setup(alice, 'cron', '--install'))[0], 0)
    assert.is((await setup(alice, 'cron', '--install'))[0], 0)
    assert.is((await setup(bob, 'cron', '--install'))[0], 0)
    const lines = readFileSync(join(bin, 'crontab.tab'), 'utf8').split('\n')
    assert.equal(lines.map((line) => line.replace(/ P2P_HOME=(\S+) .*p2p-listen\S* -q .*/, ' $1')), ['5 4 * * *  backup # mine', `@reboot  ${alice.path}`, `@reboot  ${bob.path}`, ''])
    assert.is((await setup(alice, 'cron', '--remove'))[0], 0)
    assert.is((await setup(alice, 'cron', '--remove'))[0], 1)
    assert.is(readFileSync(join(bin, 'crontab.tab'), 'utf8'), `${lines[0]}\n${lines[2]}\n`)
    const listener = await bob.listen()
    assert.match((await bob.run('p2p-id', ['doctor', '--text'], { env: { ...bob.env, ...env } })).out, /up, pid \d+; set up: cron/)
    await listener.stop()
    writeFileSync(join(bin, 'systemctl'), '#!/bin/sh\necho "Failed to connect to bus" >&2\nexit 1\n')
    const [code, err] = await setup(alice, 'systemd', '--install')
    assert.is(code, 74)
    assert.match(err, /systemctl --user daemon-reload: 'Failed to connect to bus'/)
    for (const args of [['bash', '--install'], ['cron', '--install', '--remove'], ['nix', '--remove']]) assert.is((await setup(alice, ...args))[0], 64)
  })
})

for (const program of ['neomutt', 'mutt']) {
  test(`${program} reads its file: folders, sender, query and aliases`, async () => {
    if (!(await has(program))) return
    await withSnippet(program, async (file, peer, stage) => {
      const bob = await stage.peer('bob')
      await peer.learn(bob, 'bob.b')
      const env = { HOME: join(stage.dir, 'nowhere'), LC_ALL: 'C.UTF-8', ...SOURCES } // it writes ~ for $HOME
      const { stdout, stderr, exitCode } = await execa(
        program,
        ['-n', '-F', file, ...['folder', 'from', 'realname', 'query_command'].flatMap((name) => ['-Q', name])],
        { env, reject: false },
      )
      assert.equal([exitCode, stderr], [0, ''])
      const values = stdout.split('\n').map((line) => /=\s*"(.*)"$/.exec(line)?.[1]?.replace(/\\(["\\])/g, '$1'))
      assert.equal(values.slice(0, 3), [peer.path, `${peer.key}@p2p.invalid`, 'al.ice'])
      // what mutt runs: %% is a percent sign, %s the quoted word
      const query = String(values[3]).replace(/%(.)/g, (_, letter: string) => (letter === 's' ? "'BOB'" : letter))
      const answer = await execa('/bin/sh', ['-c', query], { env })
      assert.match(answer.stdout, new RegExp(`^p2p: 1 of 1 contacts\n${bob.key}@p2p.invalid\tbob.b\tunverified$`))
    })
  })
}

for (const program of ['neomutt', 'mutt']) {
  test(`${program} runs p2p-sendmail, also under a path with a blank`, async () => {
    if (!(await has(program))) return
    await Stage.with(async (stage) => {
      for (const folder of ['plain', 'a b']) {
        const run = (command: string): string[] => [join(stage.dir, folder, command)]
        mkdirSync(join(stage.dir, folder))
        const script = `#!/bin/sh\nprintf '%s\\n' "$P2P_HOME" "$@" >'${stage.dir}/args'\ncat >'${stage.dir}/mail'\n`
        writeFileSync(join(stage.dir, folder, 'p2p-sendmail'), script, { mode: 0o755 })
        writeFileSync(join(stage.dir, folder, 'p2p-id'), '#!/bin/sh\nexit 0\n', { mode: 0o755 })
        const file = join(stage.dir, 'rc')
        writeFileSync(file, snippet(program, { ...AT, run }))
        const env = { HOME: stage.dir, LC_ALL: 'C.UTF-8' }
        await execa(program, ['-n', '-F', file, '-s', 'hello', '-b', 'eve@p2p.invalid', '--', 'bob@p2p.invalid'], { env, input: 'text\n' })
        const words = [AT.home, '-oi', '-oem', '--', 'bob@p2p.invalid', 'eve@p2p.invalid', '']
        assert.equal(readFileSync(join(stage.dir, 'args'), 'utf8').split('\n'), words)
        assert.match(readFileSync(join(stage.dir, 'mail'), 'utf8'), /^Subject: hello$/m)
      }
    })
  })
}

test('mblaze lists the inbox by the function', async () => {
  if (!(await has('mlist'))) return
  await withSnippet('mblaze', async (file, peer, stage) => {
    await peer.good('p2p-send', ['me', '-m', 'buy milk'])
    const env = { HOME: stage.dir, LC_ALL: 'C.UTF-8', ...SOURCES }
    const { stdout } = await execa('/bin/sh', ['-eu', '-c', `. ${file}; p2p_scan -N`], { env, stdin: 'ignore' })
    assert.match(stdout, /buy milk/)
    assert.match((await execa('/bin/sh', ['-c', `. ${file}; p2p_who x`], { env, reject: false })).stdout, /^p2p: 0 of 0/)
  })
})

test('notmuch indexes the mail and nothing else of the home', async () => {
  if (!(await has('notmuch'))) return
  await withSnippet('notmuch', async (file, peer, stage) => {
    await peer.good('p2p-send', ['me', '-m', 'buy milk'])
    mkdirSync(`${peer.path}-notmuch`)
    const run = async (...args: string[]): Promise<string> => {
      const { all } = await execa('notmuch', ['--config', file, ...args], { all: true, env: { HOME: stage.dir } })
      return all
    }
    const made = await run('new')
    assert.match(made, /Added \d/)
    assert.not.match(made, /non-mail file/)
    assert.match(await run('search', 'from:al.ice'), /buy milk/)
    assert.is(await run('config', 'get', 'user.primary_email'), `${peer.key}@p2p.invalid`)
    assert.not.ok(existsSync(peer.at('.notmuch')))
  })
})

test('systemd takes the unit without a word', async () => {
  if (!(await has('systemd-analyze'))) return
  await withSnippet('systemd', async (file, _, stage) => {
    const unit = join(stage.dir, 'p2p-listen.service')
    const verify = async (text: string): Promise<string> => {
      writeFileSync(unit, text)
      const args = ['verify', '--user', '--man=no', unit]
      const { all } = await execa('systemd-analyze', args, { all: true, reject: false, env: { XDG_RUNTIME_DIR: stage.dir } })
      return all
    }
    const text = readFileSync(file, 'utf8')
    assert.is(await verify(text), '')
    assert.match(await verify(text.replace('LockPersonality', 'LockPersonalitee')), /Unknown key/) // it does look
    assert.match(text, `Environment="P2P_HOME=${stage.dir}/it's \\"q\\" $HOME \`id\` %%d #é"`)
  })
})

test('cron runs its line with nothing in the environment', async () => {
  await withSnippet('cron', async (file, peer) => {
    const [line = ''] = readFileSync(file, 'utf8').split('\n').filter((each) => /^[^#]/.test(each))
    const fields = /^((?:\S+\s+){5})(.*)$/.exec(line) ?? []
    assert.is(fields[1]?.trim(), '*/10 * * * *')
    assert.not.match(fields[2] ?? '', /(?<!\\)%/) // crontab(5): such a one ends the command
    const command = (fields[2] ?? '').replaceAll('\\%', '%').replace(/flush .*$/, 'list --json')
    await peer.good('p2p-send', ['me', '-m', 'x'])
    const { exitCode, stderr } = await execa('/bin/sh', ['-c', command], { extendEnv: false, env: SOURCES, reject: false })
    assert.equal([exitCode, stderr], [0, ''])
  })
})

test('launchd gets a property list that means the same', async () => {
  if (!(await has('python3'))) return
  const xml = snippet('launchd', { ...AT, home: `/home/${ODD} <&>` })
  const script = 'import json, plistlib, sys; print(json.dumps(plistlib.loads(sys.stdin.buffer.read())))'
  const { stdout } = await execa('python3', ['-c', script], { input: xml })
  const list = JSON.parse(stdout) as Record<string, unknown>
  assert.equal(list['ProgramArguments'], ['/opt/a b/p2p-listen', '-q'])
  assert.equal(list['EnvironmentVariables'], { P2P_HOME: `/home/${ODD} <&>` })
})

test('aerc gets a URL that leads to the home and commands of the shell', async () => {
  const text = snippet('aerc', AT)
  const url = /^source = maildir:\/\/(.*)$/m.exec(text)?.[1] ?? ''
  assert.is(decodeURIComponent(url), AT.home)
  assert.match(text, `from = "al.ice" <${AT.key}@p2p.invalid>`)
  const words = async (command: string): Promise<string[]> => (await execa('/bin/sh', ['-c', `printf '%s\\n' ${command}`])).stdout.split('\n')
  const query = (/^address-book-cmd = """(.*)"""$/m.exec(text)?.[1] ?? '').replace('%s', 'bob')
  assert.equal(await words(query), ['/opt/a b/p2p-id', '--home', AT.home, 'list', '--query', 'bob'])
  const outgoing = /^outgoing = (.*)$/m.exec(text)?.[1] ?? ''
  assert.not.match(outgoing, /[#;?'"]/)
  assert.equal(await words(decodeURIComponent(outgoing)), ['/opt/a b/p2p-sendmail', '--home', AT.home, '-oi'])
})

for (const shell of ['bash', 'zsh', 'fish']) {
  test(`${shell} parses its lines and finds the file`, async () => {
    if (!(await has(shell))) return
    await Stage.with(async (stage) => {
      const file = join(stage.dir, shell === 'zsh' ? '_p2p' : "it's $x.sh")
      writeFileSync(file, 'echo loaded\n')
      const rc = join(stage.dir, 'rc')
      writeFileSync(rc, snippet(shell, { ...AT, completions: { [shell]: file } }).replace(/^autoload.*/m, '. $fpath[1]/_p2p'))
      await execa(shell, ['-n', rc])
      assert.is((await execa(shell, [rc], { env: { HOME: stage.dir } })).stdout, 'loaded')
    })
  })
}

test("the list in mutt's forms: bare lines whatever is asked for, names and keys in any case", async () => {
  await Stage.with(async (stage) => {
    const alice = await stage.peer('alice')
    const people = [await stage.peer('bob'), await stage.peer('Zoë'), await stage.peer('mueller')]
    for (const [at, name] of ['bob.b', 'Zoë', 'müller+1'].entries()) await alice.learn(people[at] as Peer, name)
    const [bob, zoe, mueller] = people as [Peer, Peer, Peer]
    for (const form of [[], ['--json'], ['--text']]) {
      const ran = await alice.run('p2p-id', ['list', '--aliases', ...form])
      assert.equal(ran.out.split('\n'), [
        `alias bob.b "bob.b" <${bob.key}@p2p.invalid>`,
        `alias müller+1 müller+1 <${mueller.key}@p2p.invalid>`,
        `alias Zoë Zoë <${zoe.key}@p2p.invalid>`,
        '',
      ])
    }
    const query = async (word: string): Promise<[number | undefined, string[]]> => {
      const { code, out } = await alice.run('p2p-id', ['list', '--query', word])
      return [code, out.trimEnd().split('\n').map((line) => line.split('\t')[1] ?? line)]
    }
    assert.equal(await query('MÜL'), [0, ['p2p: 1 of 3 contacts', 'müller+1']])
    assert.equal(await query(zoe.key.slice(0, 6).toLowerCase()), [0, ['p2p: 1 of 3 contacts', 'Zoë']])
    assert.equal(await query(`${bob.key}@p2p.invalid`), [0, ['p2p: 1 of 3 contacts', 'bob.b']])
    assert.equal((await query(''))[1].length, 4)
    assert.equal(await query('nobody'), [1, ['p2p: 0 of 3 contacts']])
    assert.equal(await query('--new'), [1, ['p2p: 0 of 3 contacts']])
    assert.is((await alice.run('p2p-id', ['list', '--query', 'x', '--aliases'])).code, 64)
  })
})

test.run()
