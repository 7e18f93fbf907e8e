// The edge of every command, shown on a built command that exists only here (test/fixtures/edge.ts).

import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { build } from 'esbuild'
import { execa } from 'execa'
import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { Failure } from '../lib/base/fail.ts'
import { COMMANDS, p2pId, p2pListen, p2pSend } from '../lib/edge/commands.ts'
import { COMMON } from '../lib/edge/table.ts'
import { lines } from '../lib/edge/input.ts'
import { Missing, readArguments } from '../lib/edge/options.ts'
import { ndjson } from '../lib/edge/output.ts'

const work = mkdtempSync(join(tmpdir(), 'p2p-cli-'))
const edge = join(work, 'edge.cjs')

test.before(async () => {
  await build({
    entryPoints: ['test/fixtures/edge.ts'],
    bundle: true,
    platform: 'node',
    target: 'node20',
    outfile: edge,
    define: { VERSION: '"1.2.3"' },
    logLevel: 'error',
  })
})

test.after(() => rmSync(work, { recursive: true }))

interface Ran {
  code: number | undefined
  signal: string | undefined
  out: string
  err: string
}

async function run(
  args: string[],
  options: { input?: string | Uint8Array; env?: Record<string, string> } = {},
): Promise<Ran> {
  const done = await execa(process.execPath, [edge, ...args], {
    reject: false,
    stripFinalNewline: false,
    input: options.input ?? '',
    env: { JOURNAL_STREAM: '', ...options.env },
  })
  return { code: done.exitCode, signal: done.signal, out: done.stdout, err: done.stderr }
}

async function shell(script: string): Promise<Ran> {
  const done = await execa('bash', ['-c', script], {
    reject: false,
    stripFinalNewline: false,
    env: { EDGE: `${process.execPath} ${edge}`, JOURNAL_STREAM: '' },
  })
  return { code: done.exitCode, signal: done.signal, out: done.stdout, err: done.stderr }
}

const WRONG: [string[], string, string][] = [
  [['args', '--bogus'], "unknown option '--bogus'", 'p2p-edge args --help'],
  [['args', '--mesage', 'x'], "unknown option '--mesage': did you mean '--message'?", 'p2p-edge args --help'],
  [['args', '--message'], "option '--message' needs a value: TEXT", 'p2p-edge args --help'],
  [['args', '-Em'], "option '-m' needs a value: TEXT", 'p2p-edge args --help'],
  [['args', '--skip-empty=yes'], "option '--skip-empty' takes no value", 'p2p-edge args --help'],
  [['args', '-E=false'], "unknown option '-='", 'p2p-edge args --help'],
  [['args', '-Ex'], "unknown option '-x'", 'p2p-edge args --help'],
  [['args', '-E-'], "unknown option '--'", 'p2p-edge args --help'],
  [
    ['args', '--no-skip-empty'],
    "unknown option '--no-skip-empty': did you mean '--skip-empty'?",
    'p2p-edge args --help',
  ],
  [['args', '--text=x'], "option '--text' takes no value", 'p2p-edge args --help'],
  [['args', '--short f', 'x'], "unknown option '--short f'", 'p2p-edge args --help'],
  [['args', '--__proto__'], "unknown option '--__proto__'", 'p2p-edge args --help'],
  [['args', '--constructor=1'], "unknown option '--constructor'", 'p2p-edge args --help'],
  [['args', '-'.repeat(3)], "unknown option '---'", 'p2p-edge args --help'],
  [['two', '-m', 'x', 'a', 'b'], "unknown option '-m' for 'p2p-edge two'", 'p2p-edge two --help'],
  [['two', 'a', 'b', 'c\u001b[31m'], "surplus argument 'c\\x1b[31m'", 'p2p-edge two --help'],
  [['tow', 'a', 'b'], "unknown command 'tow': did you mean 'two'?", 'p2p-edge --help'],
  [['--bogus', 'two'], "unknown option '--bogus'", 'p2p-edge two --help'],
]

for (const [args, message, hint] of WRONG) {
  test(`64, on stderr only: ${args.join(' ').replace('\u001b', 'ESC')}`, async () => {
    const { code, out, err } = await run(args)
    assert.is(err, `p2p-edge: ${message}\np2p-edge: hint: ${hint}\n`)
    assert.is(out, '')
    assert.is(code, 64)
  })
}

const RIGHT: [string[], object][] = [
  [['args'], { args: [] }],
  [['args', 'a', '-', '--', '-m', '--help', '--'], { args: ['a', '-', '-m', '--help', '--'] }],
  [['--home', '/x', 'args', '-v'], { home: '/x', verbose: true }],
  [['args', '-m', '--help'], { m: '--help' }],
  [['args', '-m', '-5 degrees', '--message', '--'], { m: '--' }],
  [['args', '-mHello', '-Em=x'], { m: '=x', E: true }],
  [['args', '--message=', 'x'], { m: '', args: ['x'] }],
  [['args', '--message', 'one', '--message', 'two'], { m: 'two' }],
  [['args', '-m', '--no-thanks', '--no-text'], { m: '--no-thanks', no: true }],
  [['args', '-a', 'x', '--attach=y', '--file', 'z', '-fw', '-Ef', '-'], { a: ['x', 'y', 'z', 'w', '-'], E: true }],
  [['args', '-m', '\u{1f600}', '-vEm\u00e9'], { m: '\u00e9', E: true, verbose: true }],
  [['args', '--json', '--text', 'args'], { args: ['args'] }],
]

for (const [args, expected] of RIGHT) {
  test(`taken as meant: ${args.join(' ')}`, async () => {
    const { code, out, err } = await run(args)
    const all = { args: [], a: [], E: false, no: false, verbose: false }
    assert.equal(JSON.parse(out), { ...all, ...expected })
    assert.is(err, '')
    assert.is(code, 0)
  })
}

test('without its arguments a command shows its usage and two examples on stderr, 64, even with -q', async () => {
  for (const [args, missing, examples] of [
    [['two', 'a'], 'missing NEW\nusage: p2p-edge two [OPTIONS] OLD NEW', ['two a', 'two b']],
    [['-q', 'two'], 'missing OLD\nusage: p2p-edge two [OPTIONS] OLD NEW', ['two a', 'two b']],
    [['need'], 'missing NAME\nusage: p2p-edge need [OPTIONS]', ['need a', 'need b']],
  ] as const) {
    const { code, out, err } = await run([...args])
    assert.is(err, `p2p-edge: ${missing}\n${examples.map((line) => `  p2p-edge ${line}\n`).join('')}`)
    assert.is(out, '')
    assert.is(code, 64)
  }
  const none = await run([])
  assert.match(
    none.err,
    /^p2p-edge: which command\?\nusage: p2p-edge \[OPTIONS\] args\|two\|.*\n {2}p2p-edge args a\n {2}p2p-edge two a\n$/,
  )
  assert.is(none.code, 64)
})

test('help goes to stdout, without colour, whatever else is wrong', async () => {
  for (const args of [['--help'], ['-h'], ['args', '--bogus', '-h'], ['two', '--help', 'a', 'b', 'c']]) {
    const { code, out, err } = await run(args, { env: { FORCE_COLOR: '1', CI: '', TEST: '', TERM: 'xterm' } })
    assert.match(out, /^USAGE p2p-edge /m)
    assert.match(out, /EXAMPLES/)
    assert.not.match(out, /\u001b/)
    assert.is(err, '')
    assert.is(code, 0)
  }
  const { out } = await run(['args', '--help'])
  assert.match(out, /-a, -f, --attach=<FILE> +a file \(also --file; repeatable\)/)
  assert.match(out, /^USAGE p2p-edge args \[OPTIONS\] \[WORD\.\.\.\]$/m)
})

test('the version is one line on stdout', async () => {
  for (const args of [['-V'], ['--version'], ['args', '-V', 'x'], ['-qV']]) {
    assert.equal(await run(args), { code: 0, signal: undefined, out: 'p2p-edge 1.2.3\n', err: '' })
  }
})

test('records are NDJSON into a pipe, human with --text, the last wins, and -q writes nothing', async () => {
  const json = '{"v":1,"type":"x","text":"a\\u009b\\u202e\\u2028b\\n\\ud800"}\n{"v":1,"type":"y"}\n'
  assert.is((await run(['record'])).out, json)
  assert.is((await run(['record', '--text', '--json'])).out, json)
  assert.is((await run(['record', '--json', '--text'])).out, 'human\n')
  assert.equal(await run(['record', '-q', '--json']), { code: 0, signal: undefined, out: '', err: '' })
})

test('a failure is one printable line and a hint; the worst exit of a call is decided by the table', async () => {
  const one = await run(['fail', '67'])
  assert.is(one.err, 'p2p-edge: failure 67\\x1b[31m\np2p-edge: hint: p2p-edge args\n')
  assert.is(one.out, 'went on\n')
  for (const [exits, worst] of [
    ['65 74 67', 74],
    ['75 1', 75],
    ['65 67 78 77', 77],
    ['69', 69],
    ['1', 1],
    ['73 75', 75],
  ] as const) {
    assert.is((await run(['fail', ...exits.split(' ')])).code, worst, exits)
  }
})

test('with -q only what needs a person is on stderr', async () => {
  for (const code of [1, 75])
    assert.equal(await run(['-q', 'fail', String(code)]), { code, signal: undefined, out: '', err: '' })
  for (const code of [64, 65, 69, 70, 73, 74, 76, 77, 78])
    assert.match((await run(['-q', 'fail', String(code)])).err, /failure/)
  assert.is((await run(['-q', 'words'])).err, '')
})

test('warnings, infos and hints; what is only told goes to a terminal or with -v', async () => {
  const plain = 'p2p-edge: a warning\np2p-edge: an info\np2p-edge: hint: p2p-edge args\n'
  assert.equal(await run(['words']), { code: 75, signal: undefined, out: '', err: plain })
  assert.match((await run(['words', '-v'])).err, /only with -v/)
})

test('under systemd every line carries its priority', async () => {
  const env = { JOURNAL_STREAM: '9:1234' }
  assert.is(
    (await run(['fail', '65'], { env })).err,
    '<3>p2p-edge: failure 65\\x1b[31m\n<6>p2p-edge: hint: p2p-edge args\n',
  )
  assert.match((await run(['words'], { env })).err, /^<4>p2p-edge: a warning\n<6>/)
  assert.match((await run(['bug'], { env })).err, /^(<3>.*\n)+$/)
})

test('a bug ends as 70 with a stack', async () => {
  const { code, err } = await run(['bug'])
  assert.match(err, /^p2p-edge: bug in version 1\.2\.3: TypeError: a bug\np2p-edge: {5}at .*\n/)
  assert.is(code, 70)
})

test('a bug outside the handler ends as 70 too, without cutting the output', async () => {
  const { out, err } = await shell('$EDGE late | (sleep 0.3; wc -c); echo ${PIPESTATUS[0]}')
  assert.is(out, '300000\n70\n')
  assert.match(err, /out of band/)
})

test('output of many megabytes reaches a slow reader whole', async () => {
  const { out, err } = await shell('$EDGE big 5000000 | (sleep 0.5; wc -c); echo ${PIPESTATUS[0]}')
  assert.is(out, '5000000\n0\n')
  assert.is(err, 'p2p-edge: done, closed false\n')
})

test('a reader that leaves ends the output quietly and not the work', async () => {
  const { out, err } = await shell('$EDGE big 5000000 | head -c 10; echo; echo ${PIPESTATUS[0]}')
  assert.is(out, `${'x'.repeat(10)}\n0\n`)
  assert.is(err, 'p2p-edge: done, closed true\n')
  const gone = await shell('$EDGE big 5000000 | true; echo ${PIPESTATUS[0]}')
  assert.is(gone.out, '0\n')
})

test('a closed stdout or stderr is no error', async () => {
  assert.is((await shell('$EDGE record >&-')).code, 0)
  assert.is((await shell('$EDGE fail 65 2>&-')).code, 65)
  assert.is((await shell('$EDGE bug 2>&1 >/dev/null | true; exit ${PIPESTATUS[0]}')).code, 70)
})

test('a full disk behind stdout is 74', async () => {
  const { code, err } = await shell('$EDGE record >/dev/full')
  assert.is(err, 'p2p-edge: standard output: no space left on the device\n')
  assert.is(code, 74)
  assert.is((await shell('$EDGE --help >/dev/full')).code, 74)
})

/** Starts a verb, waits for its first line, sends signals, returns the end. */
async function interrupted(
  verb: string,
  signals: NodeJS.Signals[],
  env: Record<string, string> = {},
): Promise<Ran & { ms: number }> {
  const child = execa(process.execPath, [edge, verb], { reject: false, stripFinalNewline: false, env, stdin: 'pipe' })
  if (verb !== 'stdin') await new Promise((resolve) => child.stdout.once('data', resolve))
  else await new Promise((resolve) => setTimeout(resolve, 1000))
  const started = performance.now()
  for (const signal of signals) {
    child.kill(signal)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  const done = await child
  return {
    code: done.exitCode,
    signal: done.signal,
    out: done.stdout,
    err: done.stderr,
    ms: performance.now() - started,
  }
}

test('SIGINT and SIGTERM let the handler close, then the process dies by the signal', async () => {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    const done = await interrupted('wait', [signal])
    assert.equal([done.code, done.signal, done.out, done.err], [undefined, signal, 'waiting\nclosing\n', ''])
  }
})

test('a command whose normal end is a signal exits 0', async () => {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    const done = await interrupted('wait', [signal], { P2P_EDGE_CLEAN: '1' })
    assert.equal([done.code, done.signal, done.out], [0, undefined, 'waiting\nclosing\n'])
  }
})

test('a handler that hangs does not hold the process: the grace ends, or a second signal comes', async () => {
  assert.is((await interrupted('hang', ['SIGTERM'])).signal, 'SIGTERM')
  assert.is((await interrupted('hang', ['SIGTERM'], { P2P_EDGE_CLEAN: '1' })).code, 0)
  assert.is((await interrupted('hang', ['SIGINT', 'SIGINT'])).signal, 'SIGINT')
})

test('what a handler leaves open does not hold the process, and a signal that comes then does not change how it ended', async () => {
  assert.is((await run(['leave'])).code, 74)
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    const child = execa(process.execPath, [edge, 'leave'], { reject: false, stdin: 'ignore' })
    await new Promise((resolve) => child.stderr.once('data', resolve))
    await new Promise((resolve) => setTimeout(resolve, 100))
    child.kill(signal)
    const { exitCode, signal: by } = await child
    assert.equal([exitCode, by], [74, undefined])
  }
})

test('a signal while stdin is awaited ends at once, without taking half an input for a whole', async () => {
  const done = await interrupted('stdin', ['SIGINT'])
  assert.equal([done.signal, done.out, done.err], ['SIGINT', '', ''])
})

test('stdin is bounded, and a directory is 66', async () => {
  assert.is((await run(['stdin'], { input: 'hi\n' })).out, '68690a\n')
  assert.is((await run(['stdin', '3'], { input: 'abc' })).code, 0)
  const long = await run(['stdin', '3'], { input: 'abcd' })
  assert.equal([long.code, long.out], [65, ''])
  assert.equal((await shell('$EDGE stdin </')).code, 66)
  assert.equal(await shell('$EDGE stdin <&-'), { code: 0, signal: undefined, out: '\n', err: '' })
  assert.is((await shell('yes | $EDGE first')).out, 'true\n')
})

test('a command that does not ask for stdin leaves it alone', async () => {
  const { out } = await shell('printf \'a\\nb\\n\' | while read -r line; do $EDGE two "$line" x; done')
  assert.is(out, 'a x\nb x\n')
})

test('lines are numbered, bounded and kept as bytes', async () => {
  const { out } = await run(['lines', '3'], { input: 'abc\nabcd\n\r\n\n\xff' })
  assert.is(out, '1 616263\n2 too long\n3 0d\n4 \n5 c3bf\n')
})

test('lines: any text in any chunks splits at line feeds only', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.uint8Array({ maxLength: 12 })),
      fc.integer({ min: 0, max: 8 }),
      async (chunks, max) => {
        const all = Buffer.concat(chunks.map((chunk) => Buffer.from(chunk.map((byte) => (byte > 200 ? 10 : byte)))))
        const given = chunks.map((chunk) => chunk.map((byte) => (byte > 200 ? 10 : byte)))
        const expected = all.toString('latin1').split('\n')
        if (expected.at(-1) === '') expected.pop()
        const seen: string[] = []
        for await (const line of lines(
          (async function* () {
            yield* given
          })(),
          max,
        )) {
          assert.is(line.number, seen.length + 1)
          seen.push(line.tooLong ? 'too long' : Buffer.from(line.bytes).toString('latin1'))
        }
        assert.equal(
          seen,
          expected.map((text) => (text.length > max ? 'too long' : text)),
        )
      },
    ),
  )
})

test('files are created for the owner alone', async () => {
  assert.is((await shell('umask 0; $EDGE umask')).out, '77\n')
})

test('a passphrase needs a terminal', async () => {
  const done = await execa('setsid', ['-w', process.execPath, edge, 'passphrase'], { reject: false, input: 'secret\n' })
  assert.is(done.exitCode, 77)
  assert.match(done.stderr, /--passphrase-file FILE or --passphrase-fd N/)
})

const SCREEN = join(work, 'screen')

/** Types into a command on a pseudo-terminal made by script(1), and returns what the screen showed. */
async function type(keys: string[]): Promise<{ code: number | undefined; screen: string }> {
  rmSync(SCREEN, { force: true })
  const child = execa('script', ['-qefc', `${process.execPath} ${edge} passphrase`, SCREEN], {
    reject: false,
    stdin: 'pipe',
    stdout: 'ignore',
  })
  for (const [at, key] of keys.entries()) {
    const asked = (): number => (readSafely(SCREEN).match(/passphrase/g) ?? []).length
    for (let tries = 0; tries < 1200 && asked() <= at; tries++) await new Promise((resolve) => setTimeout(resolve, 50))
    child.stdin.write(key)
  }
  const done = await child
  return {
    code: done.exitCode,
    screen: readSafely(SCREEN)
      .replace(/^Script.*\n|\n?Script done.*\n*$/g, '')
      .replaceAll('\r\n', '\n'),
  }
}

function readSafely(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

test('a passphrase is read from the terminal twice, without echo, with line editing', async () => {
  const probe = await execa('script', ['-qec', 'true', '/dev/null'], { reject: false, stdin: 'ignore' })
  if (probe.exitCode !== 0)
    return console.log('skip: passphrase on a terminal: script(1) of util-linux is not installed')
  const good = await type(['xy\u0015ab\u007f\u00e9\u007fc\r', 'ac\r'])
  assert.is(good.screen.trimEnd(), 'passphrase: \npassphrase again: \n6163')
  assert.is((await type(['ab\rab\r'])).screen.trimEnd(), 'passphrase: \npassphrase again: \n6162')
  const differ = await type(['a\r', 'b\r'])
  assert.match(differ.screen, /p2p-edge: the two passphrases differ/)
  assert.is(differ.code, 77)
  assert.is((await type(['a\u0003'])).code, 130)
})

test('escaping in NDJSON never changes the value', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const line = ndjson({ text })
      assert.equal(JSON.parse(line), { text })
      assert.not.match(line, /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e]/)
    }),
  )
})

test('the tables: no spelling means two things, no verb is missing a text', () => {
  for (const command of COMMANDS) {
    const spelled = new Map<string, string>()
    for (const option of [...COMMON, ...command.options, ...command.verbs.flatMap((verb) => verb.options)]) {
      assert.match(option.name, /^[a-z][a-z0-9-]+$/)
      assert.is(option.kind === 'flag', option.value === undefined, `${command.name} --${option.name}`)
      for (const name of [option.name, option.short ?? [], option.aliases ?? []].flat()) {
        const meaning = `${option.name} ${option.kind}`
        assert.is(spelled.get(name) ?? meaning, meaning, `${command.name}: ${name}`)
        spelled.set(name, meaning)
      }
    }
    for (const verb of command.verbs) {
      assert.ok(verb.text.length > 0 && verb.min <= verb.max)
      assert.ok(verb.examples.length >= (verb.min > 0 ? 2 : 1), `${command.name} ${verb.name}`)
      for (const example of verb.examples) assert.ok(example.includes(`${command.name} ${verb.name}`.trim()), example)
      const words = verb.usage.split(' ').filter((word) => word !== '')
      assert.is(words.filter((word) => !word.startsWith('[')).length, verb.min, `${command.name} ${verb.name}`)
      assert.is(
        words.some((word) => word.includes('...')) ? Infinity : words.length,
        verb.max,
        `${command.name} ${verb.name}`,
      )
    }
  }
})

test('any arguments are read or refused with 64, never otherwise', () => {
  const word = fc.oneof(
    fc.string({ maxLength: 6 }),
    fc.constantFrom(
      '-',
      '--',
      '-q',
      '-m',
      '-mx',
      '--message',
      '--message=',
      '--help',
      '-qE-',
      '--no-text',
      'bob',
      '--__proto__',
      '-\u{1f600}',
    ),
  )
  fc.assert(
    fc.property(fc.array(word, { maxLength: 6 }), fc.constantFrom(p2pId, p2pSend, p2pListen), (argv, command) => {
      try {
        const request = readArguments(command, argv)
        if (request.want === 'run')
          assert.ok(request.args.length >= request.verb.min && request.args.length <= request.verb.max)
      } catch (error) {
        assert.ok(error instanceof Failure && error.exit === 64, String(error))
        assert.ok(error instanceof Missing || error.hint !== undefined)
      }
    }),
    { numRuns: 2000 },
  )
})

test('everything after -- is an argument, whatever it looks like', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ maxLength: 8 })), (words) => {
      const request = readArguments(p2pSend, ['-mx', '--', ...words])
      assert.equal(request.want === 'run' && request.args, words)
    }),
  )
})

test('what follows -m is its value, whatever it looks like', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.constantFrom('--help', '-q', '--', '--no-x', '-')), (text) => {
      const request = readArguments(p2pSend, ['bob', '-m', text])
      assert.equal(request.want === 'run' && [request.args, request.options.get('message')], [['bob'], [text]])
    }),
  )
})

test.run()
