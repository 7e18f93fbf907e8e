// The completions in the real shells: what is checked in is what the tables say now, it is read by each shell, offers
// what fits and nothing else, shows nothing from a peer that a terminal or a shell could take for more than text, and
// leaves the home as it was. bash and fish are asked directly; in all three somebody also types and presses Tab.

import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { FILES } from '../completions/make.ts'
import { base58 } from '../lib/base/key.ts'
import { nodeSuite } from '../lib/crypto/suite-node.ts'
import type { Contact } from '../lib/disk/contact.ts'
import { realDoors, type Home } from '../lib/disk/home.ts'
import { createIdentity } from '../lib/disk/identity.ts'
import { writeContact } from '../lib/disk/contacts.ts'
import { COMMANDS } from '../lib/edge/commands.ts'
import { COMMON } from '../lib/edge/table.ts'
import { runCommand } from './command.ts'
import { deliver } from './mailbox.ts'
import { skipped } from './vectors.ts'

const FILE = (name: string): string => resolve('completions', name)
const root = mkdtempSync(join(tmpdir(), 'p2p-completions-'))
/** Where the shells are: a subject that were run would leave a file here. */
const place = join(root, 'place')
const home = join(root, "my home's")
const key = (fill: number): string => base58(new Uint8Array(32).fill(fill))
const id = (begin: string): string => begin.padEnd(64, '0123456789abcdef')

/** Subjects as they are in the header, the words that are to be shown, and ids; oldest first. */
const SUBJECTS: [string, string, string][] = [
  ['3f9a0001', 'see you at 8?', 'see you at 8?'],
  ['3f9a0002', '$(touch pwned) `touch pwned`', '$(touch pwned) `touch pwned`'],
  ['3f9b0003', 'a:b \\: "two" \'one\' %F{red} $HOME ~ *', 'a:b \\: "two" \'one\' %F{red} $HOME ~ *'],
  ['aaaa0004', encoded('two\nlines\twith \u001b[31mred\u0007 and \u202eRTL \u009b2J'), 'two lines with �[31mred� and �RTL �2J'],
  ['aaaa0005', '=?utf-8?Q?caf=C3=A9_?=\n =?UTF-8?q?=E6=BC=A2=E5=AD=97?=', 'café 漢字'],
  ['bbbb0006', `raw \u001b]0;title\u0007 \xff`, 'raw �]0;title� �'],
  ['bbbb0007', encoded('x'.repeat(60)), `${'x'.repeat(48)}...`],
]

function encoded(text: string): string {
  return `=?utf-8?B?${Buffer.from(text).toString('base64')}?=`
}

function contact(name: string, fill: number, more: Partial<Contact> = {}): Contact {
  const identity = new Uint8Array(32).fill(fill)
  const rest = { seq: 1n, tokenText: '', addresses: [], sessionAddresses: [], added: 0, features: 0 }
  const fine = { blocked: false, revoked: false }
  return { name, key: base58(identity), identity, transport: identity, ...rest, ...fine, ...more }
}

/** The waiting messages by subject. */
const waiting = new Map<string, string>()

async function fill(): Promise<Home> {
  mkdirSync(join(place, 'my dir'), { recursive: true })
  for (const name of ['my file', 'photo.jpg', 'my dir/deep']) writeFileSync(join(place, name), '')
  const fields = { name: 'alice', port: 21000, addresses: [], passphrase: undefined }
  const { home: made } = await createIdentity({ path: home, source: 'test' }, fields, nodeSuite, realDoors)
  await writeContact(made, contact('bob', 2, { verified: 1 }))
  await writeContact(made, contact('bobby', 3))
  await writeContact(made, contact('Ünal', 4))
  await writeContact(made, contact('eve', 5, { blocked: true }))
  await writeContact(made, contact('mallory', 6))
  writeFileSync(made.at('contacts', `${key(6)}.revoked`), 'x\n')
  writeFileSync(made.at('contacts', `${key(7)}.json`), `{"v":1,"name":"ren\\u00e9","key":"${key(7)}"}`) // as another program writes it
  writeFileSync(made.at('contacts', `${key(8)}.json`), '{"v":1,"name":"$(touch pwned)"}')
  writeFileSync(made.at('contacts', `${key(9)}.json`), '{"v":1,"na')
  mkdirSync(made.at('requests'))
  for (const name of [`${key(11)}.json`, `${key(12)}.refused`, '$(touch pwned).json', 'dropped']) writeFileSync(made.at('requests', name), '{}')
  let us = 1_790_000_000_000_000n
  for (const [at, [begin, subject]] of SUBJECTS.entries()) {
    const from = at === 4 ? { name: 'bobby', key: key(3) } : { name: 'bob', key: key(2) }
    const { path } = await deliver(made, { text: 'x', subject: '@@', from, id: id(begin), received: (us += 1_000_000n) })
    const mail = readFileSync(path, 'latin1').replace('Subject: @@', () => `Subject: ${subject}`)
    writeFileSync(path, mail, 'latin1')
  }
  return made
}

async function queue(): Promise<void> {
  for (const subject of ['first', '$(touch pwned)', 'third']) {
    const args = ['bob', '-s', subject, '-m', 'x', '--queue-only', '--json']
    const { out } = await runCommand('p2p-send', args, { home })
    waiting.set(subject, (JSON.parse(out) as { id: string }).id)
  }
  await runCommand('p2p-queue', ['hold', waiting.get('third') ?? ''], { home })
}

/** Every path of the home with its size and times of change. */
function stateOf(): string {
  return execFileSync('find', [home, '-printf', '%p %s %T@ %C@\\n'], { encoding: 'utf8' }).split('\n').sort().join('\n')
}

const here = (shell: string): boolean => spawnSync(shell, ['--version']).status === 0
const ENV = { PATH: process.env['PATH'] ?? '', HOME: place, LC_ALL: 'C.UTF-8', P2P_HOME: home }
/** Runs a test where the shell is; says so where it is not. */
function inShell(shell: string, name: string, work: () => Promise<void> | void): void {
  test(`${shell}: ${name}`, async () => {
    if (!here(shell)) return skipped(`${shell}: not installed`)
    await work()
  })
}

interface Asked {
  env?: Record<string, string | undefined>
  /** COMP_TYPE: 9 for Tab, 63 for the second one, which lists. */
  type?: number
}

const ASK = `
  set -u
  . "$1"; COMP_LINE=$2 COMP_POINT=\${#2} COMP_TYPE=$3 COMPREPLY=()
  read -ra COMP_WORDS <<<"$2"; [[ $2 == *' ' ]] && COMP_WORDS+=('')
  COMP_CWORD=$((\${#COMP_WORDS[@]} - 1))
  last=\${COMP_WORDS[COMP_CWORD]} before=\${EPOCHREALTIME/[.,]/}
  _p2p "\${COMP_WORDS[0]}" "\${last##*[=:]}" "\${COMP_WORDS[COMP_CWORD - 1]}"
  echo "$(((\${EPOCHREALTIME/[.,]/} - before) / 1000))" >&2
  ((\${#COMPREPLY[@]} == 0)) || printf '%s\\0' "\${COMPREPLY[@]}"`

/** What bash offers for a line, its function called as readline does. */
function askBash(line: string, { env = {}, type = 9 }: Asked = {}): { words: string[]; ms: number } {
  const args = ['--norc', '--noprofile', '-c', ASK, 'ask', FILE('p2p.bash'), line, String(type)]
  const ran = spawnSync('bash', args, { cwd: place, env: { ...ENV, ...env }, encoding: 'utf8' })
  assert.match(ran.stderr, /^\d+\n$/, line)
  return { words: ran.stdout.split('\0').slice(0, -1), ms: Number(ran.stderr) }
}

/** What fish offers: words, and behind each a tab and its description if it has one. */
function askFish(line: string, { env = {} }: Asked = {}): { words: string[]; ms: number } {
  const took = 'math -s0 "("(date +%s%N)" - $before) / 1000000" >&2'
  const script = `source $argv[1]; set before (date +%s%N); complete -C $argv[2]; ${took}`
  const args = ['--no-config', '-c', script, FILE('p2p.fish'), line]
  const ran = spawnSync('fish', args, { cwd: place, env: { ...ENV, ...env }, encoding: 'utf8' })
  assert.match(ran.stderr, /^\d+\n$/, line)
  return { words: ran.stdout.split('\n').slice(0, -1), ms: Number(ran.stderr) }
}

const bash = (line: string, asked?: Asked): string[] => askBash(line, asked).words
const fish = (line: string, asked?: Asked): string[] => askFish(line, asked).words.map((each) => each.split('\t')[0] ?? '')
const sorted = (words: string[]): string[] => [...words].sort()

interface Answer {
  screen: string
  line: string
  ms: number
}

const SETUP: Record<string, string> = {
  bash: `. '${FILE('p2p.bash')}'; PS1='> '`,
  zsh: `fpath=('${resolve('completions')}' $fpath); autoload -U compinit; compinit -u -D; PS1='> '`,
  fish: `source '${FILE('p2p.fish')}'; function fish_prompt; echo '> '; end`,
}

/** Types each line at a terminal, tabs and all. */
function type(shell: string, lines: string[], { setup = SETUP[shell] ?? '', env = {} } = {}): Answer[] {
  const path = join(root, `setup.${shell}`)
  writeFileSync(path, `${setup}\n`)
  const ran = spawnSync('python3', [resolve('test/fixtures/tab.py'), shell, path, join(root, 'scratch')], {
    cwd: place,
    env: { ...ENV, ...env },
    input: lines.map((keys) => `${JSON.stringify({ keys })}\n`).join(''),
    encoding: 'utf8',
    timeout: 240_000,
  })
  assert.is(ran.status, 0, ran.stderr)
  const answers = ran.stdout.split('\n').slice(0, -1).map((each) => JSON.parse(each) as Answer)
  assert.is(answers.length, lines.length)
  for (const answer of answers) {
    // Nothing but the shell's own sequences: what follows an escape is never what a subject had behind its own.
    assert.not.match(answer.screen, /\u001b\[31m|\u001b\]0;title|[\u0080-\u009f\u202e]/, answer.screen)
    answer.screen = answer.screen.replace(/\u001b\[[0-9;?]*[ -/]*[@-~]/g, '')
  }
  return answers
}

function includes(answer: Answer | undefined, text: string): void {
  assert.ok(answer?.screen.includes(text) === true, `${text} is not in ${answer?.screen ?? ''}`)
}

const shown = SUBJECTS.map(([short, , words], at) => ({ short, words, from: at === 4 ? 'bobby' : 'bob' })).reverse()
const shorts = shown.map(({ short }) => short)

test.before(async () => {
  await fill()
  await queue()
})

test.after(() => {
  assert.not(existsSync(join(place, 'pwned')))
  rmSync(root, { recursive: true })
})

test('what is checked in is what the tables say now: make completions', () => {
  for (const [name, make] of Object.entries(FILES)) assert.is(readFileSync(FILE(name), 'utf8'), make(COMMANDS), name)
})

test('each shell reads its file, and shellcheck has nothing to say', () => {
  for (const [program, args] of [
    ['bash', ['-n', FILE('p2p.bash')]],
    ['zsh', ['-n', FILE('_p2p')]],
    ['fish', ['-n', FILE('p2p.fish')]],
    ['shellcheck', [FILE('p2p.bash')]],
  ] as const) {
    if (!here(program)) {
      skipped(`${program}: not installed`)
      continue
    }
    const ran = spawnSync(program, args, { encoding: 'utf8' })
    assert.equal([ran.status, ran.stdout, ran.stderr], [0, '', ''], program)
  }
})

for (const [shell, ask] of [
  ['bash', bash],
  ['fish', fish],
] as const) {
  const common = COMMON.map(({ name }) => `--${name}`)

  inShell(shell, 'verbs of a command, and the commands of p2p', () => {
    for (const { name, verbs } of COMMANDS.filter((command) => command.name !== 'p2p' && command.verbs[0]?.name !== '')) {
      assert.equal(sorted(ask(`${name} `)), sorted(verbs.map((verb) => verb.name)), name)
      assert.equal(sorted(ask(`${name} --home /x -q `)), sorted(verbs.map((verb) => verb.name)), name)
    }
    assert.equal(sorted(ask('p2p-id un')), ['unblock', 'unretire'])
    assert.equal(sorted(ask('p2p ')), ['chat', 'help', 'id', 'inbox', 'listen', 'pipe', 'punch', 'queue', 'send', 'sendmail'])
    assert.equal(ask('p2p help inb'), ['inbox'])
    assert.equal(ask('p2p inbox sho'), ['show'])
    assert.equal(ask('p2p --json send bobb'), ['bobby'])
    assert.equal(ask('p2p send bob --dry'), ['--dry-run'])
  })

  inShell(shell, 'options: those of the verb, each once unless it may be repeated', () => {
    for (const { name, verbs } of COMMANDS.filter((command) => command.name !== 'p2p')) {
      for (const verb of verbs) {
        const own = verb.options.flatMap((option) => [option.name, ...(option.aliases ?? [])]).filter((each) => each.length > 1)
        const offered = ask(`${name} ${verb.name} --`.replace('  ', ' '))
        assert.equal(sorted(offered), sorted([...own.map((each) => `--${each}`), ...common]), `${name} ${verb.name}`)
      }
    }
    assert.equal(sorted(ask('p2p-id --')), sorted(common))
    assert.equal(ask('p2p-send --subj'), ['--subject'])
    assert.equal(ask('p2p-send --subject x --subj'), [])
    assert.equal(ask('p2p-send -s x --subj'), [])
    assert.equal(ask('p2p-send -qs x --subj'), [])
    assert.equal(ask('p2p-send --subject=x --subj'), [])
    assert.equal(ask('p2p-send --attach x --atta'), ['--attach'])
    assert.equal(ask('p2p-send -m --subject --subj'), ['--subject']) // a value that looks like an option
    assert.equal(ask('p2p-id init --addr 192.0.2.1 --add'), ['--addr'])
    assert.equal(ask('p2p-send -- --subj'), [])
  })

  inShell(shell, 'values by what they are', () => {
    assert.equal(ask('p2p-send -w '), ['30s', '5m', '1h', '1d', '7d'])
    assert.equal(ask('p2p-inbox list --since '), ['1h', '1d', '7d'])
    assert.equal(ask('p2p-inbox list --after st'), ['start'])
    assert.equal(sorted(ask('p2p-id setup n')), ['neomutt', 'notmuch'])
    assert.equal(ask('p2p-id add bob '), []) // a token
    assert.equal(ask('p2p-send -m '), [])
    assert.equal(ask('p2p-id init --name '), []) // a new one
    assert.ok(ask('p2p-listen --exec sle').includes('sleep'))
  })

  inShell(shell, 'NAMEs: of any script, only where they are of use, not twice', () => {
    assert.equal(sorted(ask('p2p-send ')), ['bob', 'bobby', 'me', 'rené', 'Ünal'])
    assert.equal(sorted(ask('p2p-send bob')), ['bob', 'bobby'])
    assert.equal(sorted(ask('p2p-send bob b')), ['bobby'])
    assert.equal(ask('p2p-send -m bobby bobb'), ['bobby'])
    assert.equal(ask('p2p-send Ü'), ['Ünal'])
    assert.equal(sorted(ask('p2p-id remove ')), ['bob', 'bobby', 'eve', 'mallory', 'rené', 'Ünal'])
    assert.equal(ask('p2p-id remove bob '), [])
    assert.equal(ask('p2p-id unblock '), ['eve'])
    assert.equal(sorted(ask('p2p-id block ')), ['bob', 'bobby', 'mallory', 'rené', 'Ünal'])
    assert.equal(ask('p2p-id rename e'), ['eve'])
    assert.equal(ask('p2p-id invite '), [])
    assert.equal(ask('p2p-id accept '), [key(11)])
    assert.equal(ask(`p2p-id refuse ${key(11).slice(0, 4)}`), [key(11)])
    assert.equal(ask('p2p-id rename eve '), [])
    assert.equal(sorted(ask('p2p-queue drop --to b')), ['bob', 'bobby'])
    assert.ok(ask('p2p-inbox list --from ').includes('me'))
  })

  inShell(shell, 'MSGs: received ones, the latest first, by id or counted', () => {
    assert.equal(ask('p2p-inbox show '), ['@', ...shorts])
    assert.equal(ask('p2p-inbox cat 3f9a'), ['3f9a0002', '3f9a0001'])
    assert.equal(ask('p2p-inbox cat 3f9b00'), ['3f9b0003'])
    assert.equal(ask(`p2p-inbox cat ${id('3f9b0003').slice(0, 12)}`), [id('3f9b0003')])
    assert.equal(ask('p2p-inbox cat 00'), [])
    assert.equal(ask('p2p-inbox seen 3f9a0001 3f9a'), ['3f9a0002'])
    assert.equal(ask('p2p-inbox show @'), ['@', ...shorts.slice(1).map((_, at) => `@${at + 2}`)])
    assert.equal(ask('p2p-send -r 3f9b'), ['3f9b0003'])
    assert.equal(ask('p2p-send -qr 3f9b'), ['3f9b0003'])
    assert.equal(ask('p2p-send bobby -r @'), ['@']) // counted within bobby
    assert.equal(ask('p2p-send nobody -r @'), [])
    assert.equal(ask('p2p-send bobby bob -r @').length, shorts.length)
  })

  inShell(shell, 'MSGs: waiting ones for p2p-queue, in the state that the verb is about', () => {
    const short = (subject: string): string => waiting.get(subject)?.slice(0, 8) ?? ''
    const [first, second, third] = ['first', '$(touch pwned)', 'third'].map(short)
    assert.equal(ask('p2p-queue show '), [third, second, first])
    assert.equal(ask('p2p-queue drop '), [third, second, first])
    assert.equal(ask('p2p-queue hold '), [second, first])
    assert.equal(ask(`p2p-queue hold ${first} `), [second])
    assert.equal(ask('p2p-queue release '), [third])
    assert.equal(ask('p2p-queue retry '), [second, first])
    assert.equal(ask('p2p-queue flush bob'), ['bob', 'bobby'])
  })

  inShell(shell, 'the home of the line, of the environment, and none', () => {
    const nowhere = { P2P_HOME: join(root, 'nowhere') }
    assert.equal(ask(`p2p-send --home "${home}" bobb`, { env: nowhere }), ['bobby'])
    assert.equal(ask(`p2p-send --home="${home}" bobb`, { env: nowhere }), ['bobby'])
    assert.equal(ask(`p2p-send --home ${home.replace(/[ ']/g, '\\$&')} bobb`, { env: nowhere }), ['bobby'])
    assert.equal(ask('p2p-send --home $BASE/other bobb', { env: { BASE: root } }), [])
    symlinkSync(home, join(place, 'home'))
    assert.equal(ask('p2p-send --home ~/home bobb', { env: nowhere }), ['bobby'])
    assert.equal(ask('p2p-send --home $HOME/home bobb', { env: nowhere }), ['bobby'])
    assert.equal(ask('p2p-send --home home bobb', { env: nowhere }), ['bobby'])
    assert.equal(ask('p2p-send bobb', { env: { P2P_HOME: 'home' } }), ['bobby'])
    rmSync(join(place, 'home'))
    mkdirSync(join(place, '.local/share'), { recursive: true })
    symlinkSync(home, join(place, '.local/share/p2p'))
    assert.equal(ask('p2p-send bobb', { env: { P2P_HOME: undefined } }), ['bobby'])
    assert.equal(ask('p2p-send bobb', { env: { P2P_HOME: '', XDG_DATA_HOME: join(place, '.local/share'), HOME: '/' } }), ['bobby'])
    assert.equal(ask('p2p-send bobb', { env: { P2P_HOME: '', XDG_DATA_HOME: 'share' } }), ['bobby']) // not absolute: not used
    rmSync(join(place, '.local'), { recursive: true })
    for (const line of ['p2p-send ', 'p2p-inbox show ', 'p2p-queue show ', 'p2p-id remove ']) {
      assert.equal(ask(line, { env: nowhere }), [], line)
      assert.equal(ask(line, { env: { P2P_HOME: undefined } }), [], line)
      assert.equal(ask(line, { env: { P2P_HOME: undefined, HOME: undefined } }), [], line)
    }
    assert.not(existsSync(nowhere.P2P_HOME))
  })

  inShell(shell, 'reads only', () => {
    const before = stateOf()
    for (const line of ['p2p-send ', 'p2p-inbox show ', 'p2p-queue show ', 'p2p-id remove ', 'p2p-send -r @']) ask(line)
    assert.is(stateOf(), before)
  })
}

inShell('bash', 'descriptions only where they are listed, never where something is inserted', () => {
  const listed = bash('p2p-inbox show ', { type: 63 })
  const lines = shown.map(({ short, words, from }) => `${short.padEnd(10)} ${from}: ${words}`)
  assert.equal(listed.slice(1), lines)
  assert.is(listed[0], `@          bob: ${shown[0]?.words ?? ''}`)
  assert.equal(bash('p2p-inbox show 3f9b', { type: 63 }), ['3f9b0003'])
  for (const inserting of [9, 37, 42]) assert.equal(bash('p2p-inbox show ', { type: inserting }), ['@', ...shorts])
  const queued = bash('p2p-queue show ', { type: 63 }).join('\n')
  assert.match(queued, /^\w{8} {3}bob \(held\): third\n\w{8} {3}bob: \$\(touch pwned\)\n\w{8} {3}bob: first$/)
})

inShell('bash', 'values behind --option= and in clusters, where readline keeps what stands before', () => {
  assert.equal(bash('p2p-send --reply=3f9b'), ['3f9b0003'])
  assert.equal(bash('p2p-send --wait='), ['30s', '5m', '1h', '1d', '7d'])
  assert.equal(bash('p2p-send -qr3f9b'), ['-qr3f9b0003'])
  assert.equal(bash('p2p-send -w5'), ['-w5m'])
  assert.equal(bash('p2p-send -aphoto'), ['-aphoto.jpg'])
  assert.equal(bash('p2p-send -qE'), ['-qE'])
  assert.equal(bash('p2p-send -qX'), [])
  assert.equal(bash("p2p-send --home '"), [])
  assert.equal(bash('p2p-send $(touch pwned) `touch pwned` bobb'), ['bobby'])
})

inShell('fish', 'values behind --option= and in clusters; descriptions beside what is offered', () => {
  assert.equal(fish('p2p-send --reply=3f9b'), ['--reply=3f9b0003'])
  assert.equal(fish('p2p-send -qr3f9b'), ['-qr3f9b0003'])
  assert.equal(fish('p2p-send --attach=pho'), ['--attach=photo.jpg'])
  assert.equal(sorted(fish('p2p-send -a my')), ['my dir/', 'my file'])
  assert.equal(fish('p2p-send --home=my'), ['--home=my dir/'])
  assert.equal(fish('p2p-inbox save -o m'), ['my dir/'])
  assert.equal(fish('p2p send --reply=3f9b'), ['--reply=3f9b0003'])
  const lines = askFish('p2p-inbox show ').words.slice(1)
  assert.equal(lines, shown.map(({ short, words, from }) => `${short}\t${from}: ${words}`))
  assert.equal(askFish('p2p-send bob').words, ['bob\tverified', 'bobby\tnot verified'])
})

inShell('bash', 'somebody presses Tab', () => {
  if (!here('python3')) return skipped('python3: not installed')
  const lines = [
    ['p2p-id ver', 'p2p-send bo\t', 'p2p-inbox show \t', 'p2p-inbox show 3f9b', 'p2p-send --reply=aaaa0004'],
    ['p2p-send -a my\\ f', 'p2p-send --attach=pho', 'p2p-send --attach=my\\ f', 'p2p-send --home=my'],
    ['p2p-inbox save -o m', 'p2p-send <pho'],
    ['p2p-send -r @\t', "p2p-send 'bobb", 'p2p-send --json'],
  ]
  const answers = type('bash', lines.flat().map((line) => `${line}\t`))
  assert.equal(
    answers.map(({ line }) => line),
    [
      'p2p-id verify ',
      'p2p-send bob',
      'p2p-inbox show ',
      'p2p-inbox show 3f9b0003 ',
      'p2p-send --reply=aaaa0004 ',
      'p2p-send -a my\\ file ',
      'p2p-send --attach=photo.jpg ',
      'p2p-send --attach=my\\ file ',
      'p2p-send --home=my\\ dir/',
      'p2p-inbox save -o my\\ dir/',
      'p2p-send <photo.jpg ',
      'p2p-send -r @',
      "p2p-send 'bobby' ",
      'p2p-send --json ',
    ],
  )
  for (const { short, words, from } of shown) includes(answers[2], `${short}   ${from}: ${words}`)
})

inShell('bash', 'with the package bash-completion, which loads it when it is needed', () => {
  const package_ = '/usr/share/bash-completion/bash_completion'
  if (!here('python3') || !existsSync(package_)) return console.log('# bash-completion is not installed here')
  const folder = join(root, 'user/completions')
  mkdirSync(folder, { recursive: true })
  for (const { name } of COMMANDS) symlinkSync(FILE('p2p.bash'), join(folder, name))
  const lines = ['p2p-inbox show 3f9b\t', 'p2p-send --reply=3f9b\t', 'p2p send bobb\t']
  const answers = type('bash', lines, { setup: `. ${package_}; PS1='> '`, env: { BASH_COMPLETION_USER_DIR: join(root, 'user') } })
  assert.equal(answers.map(({ line }) => line), ['p2p-inbox show 3f9b0003 ', 'p2p-send --reply=3f9b0003 ', 'p2p send bobby '])
})

inShell('zsh', 'somebody presses Tab', () => {
  if (!here('python3')) return skipped('python3: not installed')
  const lines = [
    ['p2p-id ', 'p2p-id init --p', 'p2p-send --subject x --s', 'p2p-send bob', 'p2p-inbox show ', 'p2p-inbox show 3f9b'],
    ['p2p-send --reply=3f9b', 'p2p-send -qr3f9b', 'p2p-send bobby -r @', 'p2p-queue release ', 'p2p-queue show '],
    ['p2p-send -w ', 'p2p send bobb', 'p2p help inb', 'p2p-id unblock ', 'p2p-send Ü', 'p2p-send bob bobb'],
    [`p2p-send --home '${join(root, 'nowhere')}' `, 'p2p-send -a my\\ f', 'p2p-send --home=my', 'p2p-send -r '],
    ['p2p-id setup neo', 'p2p-inbox list --from me'],
  ]
  const answers = type('zsh', lines.flat().map((line) => `${line}\t`))
  const [ids, options, subject, names, messages, one, reply, cluster, within, release, queued, waits, ...rest] = answers
  for (const verb of ['verify', 'doctor', 'unretire']) assert.match(ids?.screen ?? '', new RegExp(`\\b${verb} +-- `))
  assert.match(options?.screen ?? '', /--passphrase-file/)
  assert.not.match(options?.screen ?? '', /--no-passphrase|--words/)
  assert.is(subject?.line, 'p2p-send --subject x --skip-empty ')
  assert.match(names?.screen ?? '', /\bbob +-- verified/)
  assert.match(names?.screen ?? '', /\bbobby +-- not verified/)
  for (const { short, words, from } of shown) includes(messages, `${short}   ${from}: ${words}`)
  assert.is(messages?.line, 'p2p-inbox show ')
  assert.is(one?.line, 'p2p-inbox show 3f9b0003 ')
  assert.is(reply?.line, 'p2p-send --reply=3f9b0003 ')
  assert.is(cluster?.line, 'p2p-send -qr3f9b0003 ')
  assert.is(within?.line, 'p2p-send bobby -r @ ')
  assert.is(release?.line, `p2p-queue release ${waiting.get('third')?.slice(0, 8) ?? ''} `)
  assert.match(queued?.screen ?? '', /bob \(held\): third\s+\w{8} {3}bob: \$\(touch pwned\)\s+\w{8} {3}bob: first/)
  assert.match(waits?.screen ?? '', /30s +5m +1h +1d +7d/)
  assert.equal(
    rest.map(({ line }) => line),
    [
      'p2p send bobby ',
      'p2p help inbox ',
      'p2p-id unblock eve ',
      'p2p-send Ünal ',
      'p2p-send bob bobby ',
      `p2p-send --home '${join(root, 'nowhere')}' `,
      'p2p-send -a my\\ file ',
      'p2p-send --home=my\\ dir/',
      'p2p-send -r ',
      'p2p-id setup neomutt ',
      'p2p-inbox list --from me ',
    ],
  )
})

inShell('zsh', 'the home of the line, of the environment, and none', () => {
  if (!here('python3')) return skipped('python3: not installed')
  symlinkSync(home, join(place, 'home'))
  const escaped = home.replace(/[ ']/g, '\\$&')
  const homes = [`--home "${home}"`, `--home="${home}"`, `--home ${escaped}`, '--home ~/home', '--home "$HOME/home"', '--home home']
  const lines = [...homes.map((option) => `p2p-send ${option} bobb`), `p2p-send --home="${home}" -r 3f9b`]
  const answers = type('zsh', [...lines, 'p2p-send bobb'].map((line) => `${line}\t`), { env: { P2P_HOME: join(root, 'nowhere') } })
  rmSync(join(place, 'home'))
  const expected = [...homes.map((option) => `p2p-send ${option} bobby `), `p2p-send --home="${home}" -r 3f9b0003 `]
  assert.equal(answers.map(({ line }) => line), [...expected, 'p2p-send bobb'])
  assert.not(existsSync(join(root, 'nowhere')))
})

inShell('fish', 'somebody presses Tab', () => {
  if (!here('python3')) return skipped('python3: not installed')
  const answers = type('fish', ['p2p-inbox show \t', 'p2p-inbox show 3f9b\t', 'p2p-send --reply=3f9b\t', 'p2p send bobb\t'])
  for (const { words } of shown) includes(answers[0], words)
  assert.equal(
    answers.slice(1).map(({ line }) => line),
    ['p2p-inbox show 3f9b0003 ', 'p2p-send --reply=3f9b0003 ', 'p2p send bobby '],
  )
})

test('every awk here reads the same', () => {
  const program = readFileSync(FILE('parts/home.awk'), 'utf8') + readFileSync(FILE('parts/text.awk'), 'utf8')
  const awks = [['awk'], ['mawk'], ['gawk'], ['gawk', '--posix'], ['original-awk'], ['busybox', 'awk']]
  const found = awks.filter(([name = '', ...args]) => spawnSync(name, [...args, 'BEGIN { exit }']).status === 0)
  console.log(`# ${found.map((each) => each.join(' ')).join(', ')}`)
  for (const args of [['received'], ['received', '3f9'], ['received', '@', 'BOB'], ['new+hold+failed'], ['recipient'], ['anyone']]) {
    const outputs = found.map(([name = '', ...before]) =>
      execFileSync(name, [...before, program, ...args], { cwd: home, env: { PATH: ENV.PATH, LC_ALL: 'C' }, encoding: 'utf8' }),
    )
    assert.is.not(outputs[0], '')
    for (const output of outputs) assert.is(output, outputs[0], args.join(' '))
  }
})

test('the latest of 10,000 messages are there before anybody waits', () => {
  const folder = join(home, 'inbox/cur')
  for (let at = 0; at < 10_000; at++) {
    const mail = id((at * 7919).toString(16).padStart(8, '0'))
    const text = `From: bob <${key(2)}@p2p.invalid>\nMessage-ID: <${mail}@p2p.invalid>\nSubject: message ${at}\n\nx\n`
    writeFileSync(join(folder, `${1_795_000_000_000_000 + at * 1000}.${mail.slice(0, 32)}.p2p:2,S`), text)
  }
  assert.is(readdirSync(folder).length, 10_000)
  const times = { bash: (line: string) => askBash(line).ms, fish: (line: string) => askFish(line).ms }
  for (const [shell, time] of Object.entries(times)) {
    if (!here(shell)) continue
    for (const line of ['p2p-inbox show ', 'p2p-inbox show 04', 'p2p-send -r @', 'p2p-send ']) {
      const [least] = [1, 2, 3].map(() => time(line)).sort((a, b) => a - b)
      console.log(`# ${shell} ${least} ms: ${line}`)
    }
  }
  if (here('zsh') && here('python3')) {
    for (const { ms } of type('zsh', ['p2p-inbox show \t', 'p2p-inbox show 04\t']).slice(1)) console.log(`# zsh ${ms} ms`)
  }
  if (here('bash')) assert.equal(bash('p2p-inbox show ').slice(0, 2), ['@', (9_999 * 7919).toString(16).padStart(8, '0')])
})

test.run()
