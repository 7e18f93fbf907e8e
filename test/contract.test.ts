// What p2p(7) promises of every command, held against all commands and verbs of the tables: a verb that is added is
// tested here without a line being written.

import { execFile, spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { EX, Failure } from '../lib/base/fail.ts'
import { forAll } from '../lib/base/parallel.ts'
import { KEYS } from '../lib/disk/configkeys.ts'
import { COMMANDS } from '../lib/edge/commands.ts'
import { readArguments } from '../lib/edge/options.ts'
import { COMMON, type Command, type Verb } from '../lib/edge/table.ts'
import { argvOf, runCommand, type Ran } from './command.ts'

/** Processes at once. */
const PARALLEL = 3

/** Something for an argument of each kind, where `x` would not do. */
const ARGUMENTS: Record<string, string> = { MSG: '3f9a2c', 'MSG...': '3f9a2c', FILE: '/nonexistent.age' }

interface Case {
  command: Command
  verb: Verb
  /** What is typed before any option. */
  words: string[]
  /** `p2p-id add` */
  self: string
}

const CASES: Case[] = COMMANDS.flatMap((command) =>
  command.verbs.map((verb): Case => {
    const words = verb.name === '' ? [] : [verb.name]
    return { command, verb, words, self: [command.name, ...words].join(' ') }
  }),
)

let place = ''
let home = ''

test.before(async () => {
  place = await mkdtemp(`${tmpdir()}/p2p-contract-`)
  home = `${place}/alice`
  for (const name of ['alice', 'bob']) {
    const made = await runCommand('p2p-id', ['init', '--name', name, '--no-passphrase', '--addr', '127.0.0.1'], { home: `${place}/${name}` })
    assert.is(made.code, 0, made.err)
  }
  const token = await runCommand('p2p-id', ['token'], { home: `${place}/bob` })
  assert.is((await runCommand('p2p-id', ['add', 'bob'], { home, input: token.out })).code, 0)
})

test.after(() => rm(place, { recursive: true }))

const run = (each: Case, args: string[], env: Record<string, string> = {}): Promise<Ran> =>
  runCommand(each.command.name, [...each.words, ...args], { home: `${place}/none`, env })

/** The arguments that a verb requires. */
function required({ command, verb }: Case): string[] {
  if (command.name === 'p2p-sendmail') return ['bob'] // not without -t
  if (verb.usage.includes('|')) return [verb.usage.split('|')[0] ?? '']
  const words = verb.usage.split(' ').filter((word) => word !== '' && !word.startsWith('['))
  return words.map((word) => ARGUMENTS[word] ?? 'x')
}

/** Runs `check` for every verb, several at once; says which verb it was that failed. */
async function everywhere(check: (each: Case) => Promise<void>, cases = CASES): Promise<void> {
  assert.ok(cases.length > 0)
  await forAll(cases, PARALLEL, async (each) => {
    try {
      await check(each)
    } catch (error) {
      throw new Error(`${each.self}: ${error instanceof Error ? `${error.message} ${JSON.stringify(error)}` : String(error)}`, { cause: error })
    }
  })
  assert.not.ok(existsSync(`${place}/none`), 'no home came into being')
}

/** One line of the command about what is wrong, its hint below, nothing on stdout. */
function refused(ran: Ran, code: number, first: RegExp, hint?: string): void {
  const [line = '', second, ...more] = ran.err.trimEnd().split('\n')
  assert.is(ran.code, code, ran.err)
  assert.match(line, first)
  if (hint !== undefined) {
    assert.is(second, hint)
    assert.equal(more, [])
  }
  assert.is(ran.out, '')
  assert.not.match(line, /\.$|: [A-Z][a-z]+ /, 'lower case, no full stop')
}

test('p2p(7) has every exit status, every setting of the environment and every command', () => {
  const page = readFileSync('man/p2p.7', 'utf8')
  const part = (name: string): string => page.split(`.Sh ${name}\n`)[1]?.split(/^\.Sh /m)[0] ?? ''
  const found = (text: string, pattern: RegExp): string[] => [...text.matchAll(pattern)].map(([, one = '']) => one)
  assert.equal(found(part('EXIT STATUS'), /^\.It (\d+)$/gm).map(Number), Object.values(EX).sort((a, b) => a - b))
  const settings = KEYS.map(({ name }) => name).filter((name) => !name.includes('.'))
  const named = new Set(found(part('ENVIRONMENT'), /\b(P2P_[A-Z_]+)/g))
  assert.equal(settings.filter((name) => !named.has(`P2P_${name.toUpperCase()}`)), [])
  const commands = COMMANDS.map(({ name }) => name).sort()
  assert.equal(found(page.split('.Pp\nBeside this page')[0] ?? '', /^\.It Xr (p2p[\w-]*) 1$/gm).sort(), commands)
  assert.equal(found(part('SEE ALSO'), /^\.Xr (p2p[\w-]*) 1 ,$/gm), commands)
})

test('help names every option and shows the examples, on stdout, 0', () =>
  everywhere(async (each) => {
    const { command, verb } = each
    const { code, out, err } = await run(each, ['--help'])
    assert.equal([code, err], [0, ''])
    for (const { name } of [...COMMON, ...command.options, ...verb.options]) assert.match(out, `--${name}`)
    for (const example of verb.examples) assert.match(out, example)
    assert.match(out, `USAGE ${each.self} [OPTIONS] ${verb.usage}`.trim())
    assert.not.match(out, /\u001b/)
  }))

/** What the edge says of such arguments; how it says so is shown in cli.test.ts. */
function usageError({ command, words, self }: Case, args: string[], says: RegExp): void {
  try {
    readArguments(command, [...words, ...args])
  } catch (error) {
    assert.instance(error, Failure, String(error))
    const { exit, message, hint } = error as Failure
    assert.equal([exit, hint], [64, `${self} --help`], `${self} ${args.join(' ')}`)
    assert.match(message, says, `${self} ${args.join(' ')}`)
    return
  }
  throw new Error(`${self} takes ${args.join(' ')}`)
}

test('-h, --help, -V and --version are options of every verb, whatever else is typed', () => {
  for (const { command, words, self } of CASES) {
    for (const [flag, want] of [['-h', 'help'], ['--help', 'help'], ['-V', 'version'], ['--version', 'version']] as const) {
      assert.is(readArguments(command, [...words, 'x', '--bogus', flag]).want, want, self)
    }
  }
})

test('an unknown option is refused, and one that is nearly right is named', () => {
  for (const each of CASES) {
    usageError(each, ['--bogus'], /^unknown option '--bogus'$/)
    usageError(each, ['-qZ'], /^unknown option '-Z'$/)
    for (const { name } of [...each.verb.options, ...each.command.options].filter((one) => one.name.length > 4)) {
      const typo = `--${name.slice(0, -2)}${name.slice(-1)}`
      usageError(each, [...required(each), typo], new RegExp(`^unknown option '${typo}': did you mean '--[a-z-]+'\\?$`))
    }
  }
})

test('a missing value, a value for a flag and a surplus argument are refused', () => {
  for (const each of CASES) {
    const { command, verb } = each
    const common = COMMON.filter(({ name }) => name !== 'help' && name !== 'version') // those win over what is wrong
    for (const { name, kind, short } of [...common, ...command.options, ...verb.options]) {
      if (kind === 'flag') usageError(each, [`--${name}=yes`], /^option '--[a-z-]+' takes no value(?: but any)?$/)
      else usageError(each, [`--${name}`], /^option '--[a-z-]+' needs a value: [A-Z]/)
      if (kind !== 'flag' && short !== undefined) usageError(each, [`-q${short}`], /^option '-.' needs a value: [A-Z]/)
    }
    const many = [...Array.from({ length: verb.max === Infinity ? 0 : verb.max }, () => 'x'), 'surplus']
    if (verb.max < Infinity) usageError(each, many, /^surplus argument 'surplus'$/)
  }
})

test('without what it requires a verb shows its usage and two examples, 64', () =>
  everywhere(async (each) => {
    const { verb, self, command } = each
    const ran = await run(each, ['-q'])
    refused(ran, 64, new RegExp(`^${command.name}: missing `))
    const [, usage, ...examples] = ran.err.trimEnd().split('\n')
    assert.is(usage, `usage: ${self} [OPTIONS] ${verb.usage}`)
    assert.equal(examples, verb.examples.slice(0, 2).map((line) => `  ${line}`))
    assert.is(examples.length, 2)
  }, CASES.filter(({ verb }) => verb.min > 0)))

test('an unknown verb is refused, and one that is nearly right is named', () => {
  for (const command of COMMANDS.filter(({ verbs }) => verbs.length > 1)) {
    for (const { name } of command.verbs) {
      const typo = `${name}x`
      const each = { command, verb: command.verbs[0] as Verb, words: [], self: command.name }
      usageError(each, [typo], new RegExp(`^unknown command '${typo}': did you mean '[a-z]+'\\?$`))
    }
  }
})

test('a home without identity is 78: the path, where it came from, and what to do', () => {
  const without = (each: Case): boolean => !['p2p-id init', 'p2p-id import', 'p2p'].includes(each.self)
  return everywhere(async (each) => {
    const args = each.self === 'p2p-send' ? ['bob', '-m', 'x'] : each.self === 'p2p-queue drop' ? ['3f9a2c'] : required(each)
    refused(await run(each, args), 78, new RegExp(`: no identity in ${place}/none \\(from \\$P2P_HOME\\)$`), `${each.command.name}: hint: p2p-id init`)
  }, CASES.filter(without))
    .then(() => runCommand('p2p-id', ['show', '--home', `${place}/not here`]))
    .then((ran) => refused(ran, 78, /not here \(from --home\)$/, `p2p-id: hint: p2p-id init --home '${place}/not here'`))
    .then(() => runCommand('p2p-id', ['show'], { env: { HOME: '' } }))
    .then((ran) => refused(ran, 78, /no home: \$HOME is not set$/, 'p2p-id: hint: export P2P_HOME=/path/to/home'))
})

/** What may be asked of a home in which there is nothing. */
const EMPTY: [string, string[]][] = [
  ['p2p-queue', ['list']],
  ['p2p-queue', ['stat']],
  ['p2p-inbox', ['list']],
  ['p2p-inbox', ['list', '--new', '--from', 'bob', '--since', '2d', '-n', '3']],
]

test('an empty list is 0, and 1 with -q', async () => {
  for (const [command, args] of EMPTY) {
    const ran = await runCommand(command, args, { home })
    assert.equal([ran.code, ran.out, ran.err], [0, '', ''], command)
    const quiet = await runCommand(command, [...args, '-q'], { home })
    const negative = command === 'p2p-queue' && args[0] === 'stat' ? [quiet.code, '', ''] : [1, '', '']
    assert.equal([quiet.code, quiet.out, quiet.err], negative, command)
  }
})

/** [command, arguments, exit code]: values that are none, in every place that takes one. */
const VALUES: [string, string[], number][] = [
  ...['5x', '', '-1s', '1h30', 'one day', '1e3', '0x10'].flatMap((bad): [string, string[], number][] => [
    ['p2p-send', ['bob', '-m', 'x', '--wait', bad], 64],
    ['p2p-send', ['bob', '-m', 'x', '--expires', bad], 64],
    ['p2p-queue', ['flush', '--wait', bad], 64],
    ['p2p-queue', ['flush', '--linger', bad], 64],
  ]),
  ...['yesterday', '2026-13-01', '2026-02-30', '12:00', ''].flatMap((bad): [string, string[], number][] => [
    ['p2p-inbox', ['list', '--since', bad], 64],
    ['p2p-inbox', ['list', '--until', bad], 64],
  ]),
  ...['x', '-1', '1.5', ''].map((bad): [string, string[], number] => ['p2p-inbox', ['list', '-n', bad], 64]),
  ...['0', '65536', 'x', ''].map((bad): [string, string[], number] => ['p2p-id', ['init', '--port', bad, '--home', '/nonexistent/h'], 64]),
  ...['host:0', '[::1', 'a b', ''].map((bad): [string, string[], number] => ['p2p-id', ['init', '--addr', bad, '--home', '/nonexistent/h'], 64]),
  ...['me', 'all', 'a b', '-x', '', 'x'.repeat(65)].map((bad): [string, string[], number] => ['p2p-id', ['rename', '--', 'bob', bad], 64]),
  ...['show', 'cat', 'save', 'seen', 'delete'].flatMap((verb): [string, string[], number][] => [
    ['p2p-inbox', [verb, 'xyz'], 64],
    ['p2p-inbox', [verb, '@0'], 64],
    ['p2p-inbox', [verb, '@'], 1],
    ['p2p-inbox', [verb, 'ffffff'], 1],
  ]),
  ...['show', 'hold', 'release', 'retry', 'drop'].flatMap((verb): [string, string[], number][] => [
    ['p2p-queue', [verb, '@'], 64],
    ['p2p-queue', [verb, '123'], 64],
    ['p2p-queue', [verb, 'ffffff'], 1],
  ]),
  ...['show', 'rename', 'remove', 'block', 'unblock', 'verify'].map((verb): [string, string[], number] => {
    return ['p2p-id', verb === 'rename' ? [verb, 'bbo', 'x'] : [verb, 'bbo'], 67]
  }),
  ['p2p-send', ['bbo', '-m', 'x'], 67],
  ['p2p-send', ['bob', '-m', 'x', '-r', 'ffffff'], 1],
  ['p2p-queue', ['flush', 'bbo'], 67],
  ['p2p-queue', ['drop', '--to', 'bbo'], 67],
  ['p2p-inbox', ['list', '--from', 'bbo'], 67],
  ['p2p-inbox', ['list', '--after', 'x'], 64],
]

test('a value that is none is refused in every place that takes one, and nothing is queued', async () => {
  await forAll(VALUES, PARALLEL, async ([command, args, code]) => {
    const ran = await runCommand(command, args, { home })
    assert.is(ran.code, code, `${command} ${args.join(' ')}: ${ran.code} ${ran.err}`)
    assert.is(ran.out, '', `${command} ${args.join(' ')}`)
    assert.match(ran.err, new RegExp(`^${command}: [^A-Z]`), `${command} ${args.join(' ')}`)
    if (code === 67) assert.match(ran.err, /no contact named 'bbo': did you mean 'bob'\?\n.*hint: p2p-id list/)
  })
  assert.not.ok(existsSync(`${home}/queue/new`))
  assert.equal(readdirSync(`${home}/sent/cur`), [])
})

test('the last of --json and --text wins, flags cluster, -- ends the options', async () => {
  const json = await runCommand('p2p-id', ['list', '--text', '--json'], { home })
  assert.match(json.out, /^\{"v":1,"type":"contact","name":"bob"/)
  const text = await runCommand('p2p-id', ['list', '--json', '--text'], { home })
  assert.match(text.out, /^bob {2}unverified {2}\w{43,44}\n$/)
  const quiet = await runCommand('p2p-id', ['list', '-qv', '--json'], { home })
  assert.equal([quiet.code, quiet.out], [0, ''])
  const dashes = await runCommand('p2p-send', ['-nm', '-5 degrees', '--', 'bob'], { home })
  assert.match(dashes.out, /"type":"dry-run","to":"bob".*"size":10/)
})

/** Pipes as shells make them; those of node's own children are sockets. */
const shell = (line: string): Promise<{ code: number | null; out: string; err: string }> => {
  const [node = '', ...before] = argvOf('p2p-send')
  const inbox = argvOf('p2p-inbox').slice(1)
  const quoted = (words: string[]): string => words.map((word) => `'${word}'`).join(' ')
  const names = `set -o pipefail; send() { '${node}' ${quoted(before)} "$@"; }; inbox() { '${node}' ${quoted(inbox)} "$@"; }`
  return new Promise((resolve, reject) => {
    execFile('bash', ['-c', `${names}; ${line}`], { env: { ...process.env, P2P_HOME: home } }, (error, out, err) => {
      if (error !== null && typeof error.code !== 'number') reject(error)
      else resolve({ code: error === null ? 0 : (error.code as unknown as number), out, err })
    })
  })
}

test('pipes: a writer that takes its time, a reader that does, one that leaves, a descriptor that others use too', async () => {
  const text = '0123456789abcdef'.repeat(6250) // more than a pipe holds
  const slow = await shell(`{ printf one; sleep 0.3; printf two; } | send me | cat`)
  assert.match(slow.out, /"type":"delivered"/, slow.err)
  assert.is((await shell('inbox cat @ 2>/dev/null | cat')).out, 'onetwo')
  assert.is((await shell(`printf %s ${text} | send me -q`)).code, 0)
  assert.is((await shell('inbox cat @ 2>/dev/null | { sleep 0.3; cat; }')).out, text)
  assert.is((await shell('inbox cat @ 2>/dev/null | { sleep 0.3; head -c 10; }')).out, text.slice(0, 10))
  assert.equal(await shell('inbox cat @ 2>/dev/null | true'), { code: 0, out: '', err: '' })
  assert.is((await shell('{ inbox cat @; inbox cat @2; } 2>/dev/null | cat')).out, `${text}onetwo`)
  const loop = await shell('printf "%s\\n" a b c | while read -r line; do send me -q -m "$line"; done; inbox list --text | tail -n 3')
  assert.match(loop.out, / a\n.* b\n.* c\n$/, loop.err)
})

test('a reader that is gone is no error of any command that lists', async () => {
  for (const [command, args] of [...EMPTY, ['p2p-id', ['list']], ['p2p-id', ['token']], ['p2p-id', ['show']]] as [string, string[]][]) {
    const [program = '', ...before] = argvOf(command)
    const child = spawn(program, [...before, ...args, '--home', home], { stdio: ['ignore', 'pipe', 'pipe'] })
    child.stdout.destroy()
    let err = ''
    child.stderr.on('data', (data: Buffer) => (err += data.toString()))
    const code = await new Promise<number | null>((resolve) => child.on('close', resolve))
    assert.is(code, 0, `${command} ${args.join(' ')}: ${err}`)
    assert.not.match(err, /EPIPE|bug/)
  }
})

test.run()
