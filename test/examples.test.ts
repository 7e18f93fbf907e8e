// What the manual pages and the tables show is run, each example in a world of its own: a copy of alice's home (a home
// holds no absolute path, so a copy is a home), bob with a listener, eve who is away, and stand-ins for the programs
// that are not ours. The terminal on which a passphrase is asked is made by script(1).

import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { execa } from 'execa'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { COMMANDS } from '../lib/edge/commands.ts'
import { NEIGHBOURLESS, runCommand } from './command.ts'
import { type Peer, port, Stage } from './peer.ts'
import { skipped } from './vectors.ts'

const ROOT = process.cwd()
const PASSPHRASE = 'correct horse battery staple'
/** After so long a command that does not end by itself is ended. */
const ENDLESS_MS = 4000

/** Programs of others: what stands in for them is enough for a line to run to its end. */
const STAND_INS: Record<string, string> = {
  'notify-send': 'exit 0',
  systemctl: 'exit 0',
  launchctl: 'exit 0',
  crontab: 'cat >/dev/null',
  lp: 'cat >/dev/null',
  neomutt: 'exit 0',
  mlist: 'exit 0',
  mscan: 'exit 0',
  handle: 'exit 0',
  backup: 'echo 3 files',
  'df-check': 'exit 1',
}

interface Example {
  /** `p2p-send.1`, or `p2p-id verify --help` */
  from: string
  script: string
}

/** The literal displays below EXAMPLES of a page, and the lines of a crontab without their five fields. */
function examplesOf(page: string): string[] {
  const section = /^\.Sh EXAMPLES\n([\s\S]*?)(?=^\.Sh |(?![\s\S]))/m.exec(page)?.[1] ?? ''
  const displays = [...section.matchAll(/^\.Bd -literal.*\n([\s\S]*?)^\.Ed/gm)].map((match) => match[1] ?? '')
  return displays.map((text) => text.replaceAll('\\e', '\\').replaceAll('\\&', '').replace(/^(?:[\d*/,-]+ +){5}/gm, ''))
}

const EXAMPLES: Example[] = [
  ...readdirSync(join(ROOT, 'man'))
    .filter((name) => /\.[1-8]$/.test(name) && name !== 'p2p-config.5') // settings, no commands: config.test.ts
    .flatMap((name) => examplesOf(readFileSync(join(ROOT, 'man', name), 'utf8')).map((script) => ({ from: name, script }))),
  ...COMMANDS.flatMap(({ name, verbs }) =>
    verbs.flatMap((verb) => verb.examples.map((script) => ({ from: `${name} ${verb.name} --help`, script }))),
  ),
]

let stage: Stage
let bob: Peer
let world = ''
let waiting: string[] = []
let received: string[] = []
/** KEY of who asks to be a contact. */
let stranger = ''

/** Runs a script as a person at a terminal would, who types the passphrase whenever it is asked for. */
async function atTerminal(place: string, script: string, during?: () => Promise<void>): Promise<{ code: number; text: string }> {
  const screen = join(place, 'screen')
  writeFileSync(join(place, 'script'), `exec </dev/null >out 2>&1\n${script}\n`)
  const child = execa('script', ['-qefc', 'exec bash -euo pipefail script', screen], {
    cwd: place,
    reject: false,
    stdin: 'pipe',
    stdout: 'ignore',
    extendEnv: false,
    env: { ...NEIGHBOURLESS, HOME: place, PATH: `${world}/bin:${process.env['PATH'] ?? ''}`, LC_ALL: 'C.UTF-8', SHELL: '/bin/bash', TMPDIR: place },
  })
  let over = false
  const ended = child.then((done) => {
    over = true
    return done.exitCode ?? -1
  })
  const typed = (async (): Promise<void> => {
    for (let answered = 0; !over; await new Promise((resolve) => setTimeout(resolve, 30))) {
      const asked = existsSync(screen) ? (readFileSync(screen, 'utf8').match(/passphrase[^:\n]*: /g) ?? []).length : 0
      for (; answered < asked; answered++) child.stdin.write(`${PASSPHRASE}\r`)
    }
  })()
  await during?.()
  const code = await ended
  await typed
  return { code, text: readFileSync(join(place, 'out'), 'utf8') + readFileSync(screen, 'utf8') }
}

async function build(): Promise<void> {
  stage = new Stage()
  world = mkdtempSync(join(tmpdir(), 'p2p-examples-'))
  mkdirSync(join(world, 'bin'))
  for (const { name } of COMMANDS) symlinkSync(join(ROOT, 'dist', `${name}.cjs`), join(world, 'bin', name))
  for (const [name, body] of Object.entries(STAND_INS)) writeFileSync(join(world, 'bin', name), `#!/bin/sh\n${body}\n`)
  for (const name of Object.keys(STAND_INS)) chmodSync(join(world, 'bin', name), 0o755)

  bob = await stage.peer('bob')
  await bob.listen()
  const ports = [await port(), await port(), await port()]
  const place = join(world, 'alice')
  mkdirSync(join(place, 'photos'), { recursive: true })
  for (const folder of ['.config/systemd/user', '.config/neomutt', '.mutt', 'Library/LaunchAgents']) mkdirSync(join(place, folder), { recursive: true })
  writeFileSync(join(place, 'photo.jpg'), 'JPEG')
  writeFileSync(join(place, '.p2p-passphrase'), `${PASSPHRASE}\n`, { mode: 0o600 })
  writeFileSync(join(place, 'photos/1.jpg'), 'JPEG')
  writeFileSync(join(place, 'mail.eml'), 'To: bob\nSubject: report\n\nall is well\n')
  writeFileSync(join(place, 'bob.token'), `${(await bob.run('p2p-id', ['token'])).out}`)
  const made = await atTerminal(
    place,
    `p2p-id init --name alice --addr 127.0.0.1:${ports[0]} --port ${ports[0]}
    p2p-id add bob <bob.token
    for name in eve ops; do
      p2p-id init --home $name --no-passphrase --name $name --addr 127.0.0.1:${ports[1]}
      p2p-id token --home $name | p2p-id add $name
    done
    p2p-id init --home dave --no-passphrase --name dave --addr 127.0.0.1:${ports[1]}
    p2p-id token > alice.token
    p2p-id export -o me.age
    p2p-send -q --queue-only -l eve <<< $'one\\ntwo\\nthree'`,
  )
  assert.is(made.code, 0, made.text)
  stranger = await knocker(place)
  rmSync(join(place, 'eve'), { recursive: true })
  rmSync(join(place, 'ops'), { recursive: true })
  rmSync(join(place, 'dave'), { recursive: true })
  await bob.run('p2p-id', ['add', 'alice', readFileSync(join(place, 'alice.token'), 'utf8').trim()])
  await bob.good('p2p-send', ['alice', '--queue-only', '-m', 'see you at 8?'])
  await bob.good('p2p-send', ['alice', '--queue-only', '-a', join(place, 'photo.jpg')])
  await bob.good('p2p-queue', ['export', 'alice', '-o', join(place, 'from-bob.p2p')])
  const fetched = await atTerminal(place, 'p2p-send -w 20s bob -m hello; p2p-queue flush bob; p2p-inbox list --id > ids; p2p-queue list --json | tee queue')
  assert.is(fetched.code, 0, fetched.text)
  received = readFileSync(join(place, 'ids'), 'utf8').trim().split('\n')
  waiting = readFileSync(join(place, 'queue'), 'utf8').trim().split('\n').map((line) => String((JSON.parse(line) as { id: string }).id))
  assert.is(received.length, 2, fetched.text)
  assert.is(waiting.length, 3)
}

/** As the listener keeps the request of a stranger; the KEY. */
async function knocker(place: string): Promise<string> {
  const { out } = await runCommand('p2p-id', ['show', '--json'], { home: join(place, 'dave') })
  const { out: token } = await runCommand('p2p-id', ['token'], { home: join(place, 'dave') })
  const { key } = JSON.parse(out) as { key: string }
  mkdirSync(join(place, 'requests'))
  const request = { v: 1, received: new Date().toISOString(), source: '192.0.2.1', token: token.trim() }
  writeFileSync(join(place, 'requests', `${key}.json`), `${JSON.stringify(request)}\n`)
  return key
}

test.before(() =>
  build().catch((error: unknown) => {
    console.log(error) // uvu would not say
    throw error
  }),
)

test.after(async () => {
  await stage.close()
  rmSync(world, { recursive: true, force: true })
})

/** The messages and the token of this world instead of those that were made up. */
function fitted(script: string): string {
  const ids = /p2p-queue|p2p queue/.test(script) ? waiting : received
  return script
    .replaceAll('3f9a2c', ids[0] ?? '')
    .replaceAll('81be07', ids[1] ?? '')
    .replaceAll(/6SjWSQ(?:X5)?/g, (begin) => stranger.slice(0, begin.length))
    .replaceAll('p2p1...', readFileSync(join(world, 'alice/bob.token'), 'utf8').trim())
    .replace(/^p2p-id import/m, script.includes('export') ? 'P2P_HOME=$HOME/new p2p-id import' : 'p2p-id import') // another machine
    .replaceAll('--linger 50s', '--linger 2s')
    .replaceAll('/srv/bot', '"$HOME/.local/share/p2p"')
}

/** What a script needs to stand before it in the home. */
function preparation(script: string): string {
  const home = '"$HOME/.local/share/p2p"'
  if (script.includes('p2p-id export')) return 'rm me.age'
  if (/p2p-id (init|import)\b/.test(script)) return `rm -r ${home}`
  if (script.includes('p2p-id unretire')) return 'p2p-id export --all --move -o moved.age'
  if (/setup \w+ --remove/.test(script)) return script.replace('--remove', '--install')
  if (script.includes('p2p-id unblock')) return 'p2p-id block bob'
  if (/p2p-id (accept|refuse)/.test(script)) return `mkdir -p ${home}/requests; cp requests/* ${home}/requests`
  return `export P2P_HOME=${home}`
}

/** Exit codes other than 0 that an example may end with. */
const ENDS: [RegExp, number][] = [
  [/p2p-id doctor/, 1], // no listener, no address outside: that is what it says
  [/jq -e/, 4],
]

let count = 0

for (const { from, script } of EXAMPLES) {
  test(`${from}: ${script.trim().split('\n')[0]}`, async () => {
    const place = join(world, String(count++))
    await execa('cp', ['-a', join(world, 'alice'), place]) // cpSync of Node 24 makes directories of mode 755
    const endless = /p2p-listen(?!.*--once)(?!\.service)|list (-f|--follow)/.test(script) && !/systemctl|setup/.test(script)
    const lines = `${preparation(script)}\n${fitted(script)}`
    const wrapped = endless ? `set -m\n( ${lines}\n) & sleep ${ENDLESS_MS / 1000}; kill -- -$!; wait $! || [ $? -ge 128 ]` : lines
    const during = /p2p-listen/.test(script) && !/systemctl|setup/.test(script) ? () => talk(script) : undefined
    const other = /p2p-pipe bob$/m.test(script) ? bob.start('p2p-pipe', ['alice']) : undefined // the other end
    const { code, text } = await atTerminal(place, wrapped, during)
    await other?.kill()
    const absent = /(?:^|: )(?!p2p)([\w-]+): (?:command )?not found/m.exec(text)?.[1] // CI has them all, and skips nothing
    if (absent !== undefined) return skipped(`${absent}: not installed: ${from}: ${script.trim().split('\n')[0]}`)
    const allowed = [0, ...ENDS.flatMap(([fits, end]) => (fits.test(script) ? [end] : []))]
    assert.ok(allowed.includes(code), `exit ${code}: ${text}`)
    assert.not.match(text, /command not found|unknown option|bug in version/)
    rmSync(place, { recursive: true })
  })
}

/** While alice's listener runs bob writes to her, and a bot answers him. */
async function talk(script: string): Promise<void> {
  const before = (await bob.ids()).length
  await bob.run('p2p-send', ['alice', '-w', '20s', '-m', 'are you there?'])
  if (!script.includes('--reply')) return
  for (let tries = 0; tries < 1200 && (await bob.ids()).length === before; tries++) await new Promise((resolve) => setTimeout(resolve, 50))
  assert.is((await bob.ids()).length, before + 1, 'the bot has answered')
}

test('there are examples, and script(1) to run them', () => {
  assert.ok(EXAMPLES.length > 50)
  assert.is(spawnSync('script', ['-qec', 'true', '/dev/null'], { stdio: 'ignore' }).status, 0)
})

test.run()
