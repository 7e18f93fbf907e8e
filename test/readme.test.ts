// What README and p2p(7) show is run, every line of it. README's ```sh blocks run as they stand, each by its own shell
// in an empty place. All other lines are typed by two people with homes, alice and bob, at a terminal each: those of a
// conversation in their order, with what is shown below them compared; of a crontab without the five fields. A line that
// cannot be run so names the test that runs it. The lines that the project was begun with are typed as they were written.
// test timeout: 420 s

import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { execa } from 'execa'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { explain } from '../lib/delivery/trouble.ts'
import type { Contact } from '../lib/disk/contact.ts'
import type { DialFailure } from '../lib/net/dial.ts'
import { parseAddress } from '../lib/wire/address.ts'
import { pathWithCommands } from './bin.ts'
import { NEIGHBOURLESS } from './command.ts'
import { type Answered, Desk, type Keys } from './desk.ts'
import { pause, type Peer, Stage, until } from './peer.ts'
import { checkLines } from './records.ts'
import { tableOfProofs } from './reliability.ts'
import { skipped } from './vectors.ts'

const ROOT = process.cwd()

/** The shell blocks of a Markdown text, with the line each begins at. */
function shellBlocks(text: string): { line: number; script: string }[] {
  const found: { line: number; script: string }[] = []
  const lines = text.split('\n')
  for (let i = 0; i < lines.length; i++) {
    if (lines[i] !== '```sh') continue
    const end = lines.indexOf('```', i)
    found.push({ line: i + 2, script: lines.slice(i + 1, end).join('\n') + '\n' })
    i = end
  }
  return found
}

const blocks = shellBlocks(await readFile(`${ROOT}/README.md`, 'utf8'))

test('README shows shell blocks', () => {
  assert.ok(blocks.length > 0)
})

test('its reliability table is what make reliability prints', async () => {
  assert.ok((await readFile(`${ROOT}/README.md`, 'utf8')).includes(`\n\n${tableOfProofs()}\n`))
})

for (const { line, script } of blocks) {
  test(`the block at line ${line} of README works`, async () => {
    const place = await mkdtemp(`${tmpdir()}/p2p-readme-`)
    try {
      await mkdir(`${place}/bin`)
      for (const name of await readdir(`${ROOT}/dist`)) {
        if (name.endsWith('.cjs')) await symlink(`${ROOT}/dist/${name}`, `${place}/bin/${name.slice(0, -4)}`)
      }
      const env = { HOME: place, PATH: `${place}/bin:${process.env['PATH']}`, TMPDIR: place, LC_ALL: 'C.UTF-8' }
      // The last shell lines end what the block started in the background, whatever came of it.
      const wrapped = `trap 'kill $(jobs -p) 2>/dev/null || :; wait' EXIT\n${script}`
      const { exitCode, all } = await execa('bash', ['-euo', 'pipefail', '-c', wrapped], {
        cwd: place,
        env,
        extendEnv: false,
        all: true,
        reject: false,
        stdin: 'ignore',
        timeout: 120_000,
      })
      assert.is(exitCode, 0, all)
      checkLines(`${all}\n`, true)
    } finally {
      await rm(place, { recursive: true, force: true })
    }
  })
}

type Who = 'alice' | 'bob'

/** A line to be typed, and what is shown below it. */
interface Line {
  who: Who
  typed: string
  output: string[]
}

/** Lines that are shown together: as a conversation, with prompts, or for themselves; or settings, no commands. */
interface Display {
  from: string
  talk: boolean
  settings: boolean
  lines: Line[]
}

/** Indented lines of a Markdown text, outside of its fenced blocks. */
function indented(text: string): string[] {
  const found = text.replace(/^```[^]*?^```$/gm, '').matchAll(/(?:(?<=\n\n)|^)(?: {4}.*\n|\n(?= {4}))+/g)
  return [...found].map(([block]) => block.replace(/^ {4}/gm, ''))
}

/** Literal displays of a page. */
function literal(page: string): string[] {
  return [...page.matchAll(/^\.Bd -literal.*\n([^]*?)^\.Ed/gm)].map(([, text = '']) => text.replaceAll('\\e', '\\').replaceAll('\\&', ''))
}

/** With prompts what follows a line is what it prints; without, each line is one to be typed. */
function display(from: string, text: string): Display {
  const lines: Line[] = []
  const talk = /^(?:alice|bob)\$ /m.test(text)
  const settings = /^\[\w+\]$/m.test(text)
  for (const line of text.split('\n').filter((each) => each.trim() !== '')) {
    const [, who = /# (alice|bob)\b/.exec(line)?.[1] ?? 'alice', typed = line] = /^(alice|bob)\$ +(.*)$/.exec(line) ?? []
    if ((talk || (settings && lines.length > 0)) && typed === line) lines.at(-1)?.output.push(line)
    else lines.push({ who: who as Who, typed: typed.replace(/^(?:[\d*/,-]+ +){5}/, '').replace(/ +# .*$/, ''), output: [] })
  }
  return { from, talk, settings, lines }
}

/** What was to be possible, before anything was. */
const BEGUN = [
  String.raw`alice$ p2p-id init --name alice && systemctl --user enable --now p2p-listen
alice$ p2p-id invite bob > for-bob.txt            # mail it; one use, 7 days
bob$   p2p-id init --name bob && p2p-id add alice < for-bob.txt
bob$   p2p-id verify alice                        # on the phone: 12 words each
bob$   echo 'see you at 8?' | p2p-send alice
alice$ p2p-inbox list --new;  echo 'yes' | p2p-send --reply @
`,
  String.raw`17 3 * * *   backup 2>&1 | p2p-send -qE -s "backup $(hostname)" ops
*/5 * * * *  df-check || p2p-send -q --expires 2d --replace df -m "$(df -h /)" ops
*/10 * * * * p2p-queue flush -q --linger 50s      # no listener needed, clocks within 50 s meet
p2p-listen -q --exec 'uptime | p2p-send -q --reply "$P2P_ID"'          # a bot
p2p-id setup neomutt > ~/.config/neomutt/p2p.rc;  neomutt -F ~/.config/neomutt/p2p.rc
p2p-send bob -m 'the photos' -a photos/;  tar c photos | p2p-pipe bob
p2p-id export --all --move -o me.age              # to the new laptop: p2p-id import me.age
p2p;  p2p-queue stat;  p2p-id doctor;  p2p-punch bob --explain         # when it does not work
`,
]

const DISPLAYS: Display[] = [
  ...indented(readFileSync(`${ROOT}/README.md`, 'utf8')).map((text) => display('README', text)),
  ...literal(readFileSync(`${ROOT}/man/p2p.7`, 'utf8')).map((text) => display('p2p(7)', text)),
  ...BEGUN.map((text) => display('the beginning', text)),
]

/** Lines for other machines and about the whole tree, by how they begin, and who runs them: a file and the words by which it does, or that say that nobody has. */
const ELSEWHERE: Record<string, [file: string, words: string]> = {
  'make demo': ['.ci/run', 'make demo'],
  'make test': ['.ci/run', 'make test'],
  'make lint': ['.ci/run', 'make lint'],
  '.ci/run': ['CONTRIBUTING.md', '`.ci/run` has'],
  'make install PREFIX=$HOME/.local': ['test/install.test.ts', "make('install'"],
  'make deb && dpkg -i dist/p2p-messenger_': ['test/packaging.test.ts', "resolve('test/deb.sh')"],
  'pkg install nodejs': ['README.md', 'Not tried on a telephone yet'],
  'npm install -g --omit=optional': ['README.md', 'Not tried on a telephone yet'],
  'p2p-id init && p2p-chat': ['README.md', 'Not tried on a telephone yet'],
  "printf '%s\\n' '#!/data/data/com.termux": ['README.md', 'Not tried on a telephone yet'],
  'npm pack && npm install -g ./p2p-messenger-': ['test/packaging.test.ts', "'install', '--global'"],
}

/** What one line takes besides being typed. */
interface How {
  /** Programs of others: without them it is not run, and that is said. */
  needs?: string[]
  /** What the other one types at the same time. Both end with 0; a server is ended when the line is over. */
  beside?: string
  server?: true
  /** For programs that take keys, or do not end by themselves. */
  keys?: (world: World) => Keys
  /** Exit status, if not 0. */
  code?: number[]
  /** What comes on the terminal when it goes on behind. */
  shows?: RegExp
  /** What is typed after it, for the lines that follow. */
  after?: string
}

const [CTRL_C, CTRL_D] = ['\u0003', '\u0004']
const HIS = 'see you at 8?'
const here = new RegExp(HIS.replace('?', '\\?'))

/** By how the line begins; the longest counts. */
const HOWS: Record<string, How> = {
  'p2p-id invite bob > for-bob.txt': { after: 'cp for-bob.txt ../b/' }, // it was mailed
  'p2p-listen &': { shows: /listening/ },
  'tar c photos | p2p-pipe bob': { beside: 'rm -rf photos; p2p-pipe alice | tar x && test -s photos/1.jpg' },
  "p2p-send bob -m 'the photos' -a photos/;": { beside: 'rm -rf photos; p2p-pipe alice | tar x && test -s photos/1.jpg' },
  'p2p-pipe alice | tar x': { beside: 'tar c photos | p2p-pipe bob' },
  'p2p-listen -q --exec': { keys: (world) => ({ when: () => answered(world), press: CTRL_C }) },
  'p2p-inbox list -f': { keys: () => ({ when: here, press: CTRL_C }), code: [0, 130] },
  'p2p-inbox list -f --json | jq': { needs: ['jq'], keys: (world) => ({ when: () => came(world), press: CTRL_C }), code: [0, 130] },
  'p2p-inbox list -f | jq': { needs: ['jq'], keys: (world) => ({ when: () => came(world), press: CTRL_C }), code: [0, 130] },
  'p2p-id setup neomutt': { needs: ['neomutt'], keys: () => ({ when: here, press: 'x' }) },
  'neomutt -f': { needs: ['neomutt'], keys: () => ({ when: here, press: 'x' }) },
  'mlist ': { needs: ['mlist', 'mscan'] },
  'python3 ': { needs: ['python3'] },
  'rsync ': { needs: ['rsync'], beside: 'p2p-rshd alice', server: true },
  'GIT_SSH_COMMAND=p2p-rsh ': { needs: ['git'], beside: 'p2p-rshd alice', server: true },
  'p2p-chat bob': { keys: () => ({ when: /bob/, press: CTRL_C }) },
  'p2p-chat --plain bob': { keys: () => ({ when: /bob/, press: CTRL_D }) },
  'p2p-id setup systemd --install': { after: 'p2p-id setup systemd --remove' },
  'p2p-id doctor': { code: [0, 1] }, // there is something to say: no address from outside, no listener
  'p2p-id export --all --move': { after: 'p2p-id unretire' },
}

const howOf = (typed: string): [begin: string, how: How] | undefined =>
  Object.entries(HOWS).filter(([begin]) => typed.startsWith(begin)).sort(([a], [b]) => b.length - a.length)[0]

/** This machine's stick and address instead of those that were made up, and no minute of waiting. */
const fitted = (typed: string): string =>
  typed
    .replaceAll('203.0.113.7', '127.0.0.1')
    .replaceAll('/media/stick', '~/stick')
    .replaceAll('--linger 50s', '--linger 1s')
    .replace('--name alice &&', '--name alice --addr 127.0.0.1 &&') // who is on no network has no address that others reach

/** Programs of others that are named as somebody's own. */
const STAND_INS = {
  backup: 'echo 3 files',
  'df-check': 'exit 1',
  systemctl: '[ ! -t 1 ] || p2p-listen -q >/dev/null 2>&1 &', // typed, and not what p2p-id setup calls
}

class World {
  readonly stage = new Stage()
  readonly desks = new Map<Who, Desk>()
  peers: Record<Who, Peer> | undefined
  /** How often bob has said something, so that each is another. */
  said = 0

  /** A desk for each; they know each other unless all is new to them. */
  static async open(known: boolean): Promise<World> {
    const world = new World()
    const { stage } = world
    const path = pathWithCommands(stage)
    for (const [name, script] of Object.entries(STAND_INS)) writeFileSync(join(stage.dir, 'bin', name), `#!/bin/sh\n${script}\n`, { mode: 0o755 })
    for (const who of ['alice', 'bob'] as const) {
      for (const folder of ['photos', 'stick', 'Mail', '.config/neomutt', '.local/share']) mkdirSync(join(world.place(who), folder), { recursive: true })
    }
    let env: Record<string, string> = {}
    if (known) {
      const [alice, bob] = [await world.person('alice'), await world.person('bob')]
      await alice.meet(bob, await stage.peer('ops'))
      world.peers = { alice, bob }
      ;({ env } = alice)
    }
    for (const who of ['alice', 'bob'] as const) {
      const desk = new Desk(world.place(who), { ...NEIGHBOURLESS, ...env, PATH: path, TMPDIR: stage.dir })
      world.desks.set(who, desk)
      await desk.open()
    }
    return world
  }

  place(who: Who): string {
    return join(this.stage.dir, who[0] ?? '')
  }

  person(who: Who): Promise<Peer> {
    return this.stage.peer(who, { home: join(this.place(who), '.local/share/p2p') })
  }

  desk(who: Who): Desk {
    return this.desks.get(who) as Desk
  }

  /** What the lines of README and p2p(7) take for granted. */
  async furnish(): Promise<void> {
    const { alice, bob } = this.peers as Record<Who, Peer>
    const at = (name: string): string => join(this.place('alice'), name)
    for (const name of ['photos/1.jpg', 'photo.jpg', 'pic.png', 'trip.log']) writeFileSync(at(name), name)
    writeFileSync(at('cursor'), 'start')
    writeFileSync(at('orders.ndjson'), '{"to":"bob","text":"one","ref":1}\n{"to":"bob","file":"pic.png","ref":2}\n')
    await bob.listen()
    await bob.queue('alice', ['-m', HIS])
    await alice.good('p2p-queue', ['flush'])
    await bob.good('p2p-queue', ['export', 'alice', '-o', at('stick/from-bob.p2p')])
    if (missing(['git']) !== undefined) return
    const git = 'git -c user.name=bob -c user.email=bob@example.org'
    const made = await this.desk('bob').line(`${git} init -q work && cd work && echo one > file && ${git} add file && ${git} commit -qm one; cd`)
    assert.is(made.code, 0, made.text)
  }

  async close(): Promise<void> {
    for (const desk of this.desks.values()) await desk.close()
    await this.stage.close()
  }
}

/** Bob writes to whoever listens, and has an answer. */
async function answered(world: World): Promise<boolean> {
  const { bob } = world.peers as Record<Who, Peer>
  const text = `how is it? ${world.said}`
  const told = await bob.run('p2p-send', ['alice', '-w', '60s', '-m', text])
  if (!told.out.includes('"delivered"')) return false // nobody listens yet
  world.said++
  const id = (JSON.parse(told.out.split('\n')[0] ?? '') as { id: string }).id
  await until('an answer', async () => (await bob.good('p2p-inbox', ['list'])).some(({ reply, auto }) => reply === id && auto === true))
  return true
}

/** Something came from bob, and is on alice's terminal. */
async function came(world: World): Promise<boolean> {
  const { alice, bob } = world.peers as Record<Who, Peer>
  if (/^as it comes \d/m.test(world.desk('alice').text)) return true
  await bob.queue('alice', ['-m', `as it comes ${world.said++}`])
  await alice.good('p2p-queue', ['flush'])
  await pause(200)
  return false
}

async function typeLine(world: World, { who, typed }: Line, how: How): Promise<Answered> {
  const other = world.desk(who === 'alice' ? 'bob' : 'alice')
  let over = false
  const beside = how.beside === undefined ? undefined : other.line(how.beside, how.server && { when: () => over, press: CTRL_C })
  beside?.catch(() => undefined) // if this one fails first, that is what is told
  const done = await world.desk(who).line(fitted(typed), how.keys?.(world))
  over = true
  const its = await beside
  assert.ok((how.code ?? [0]).includes(done.code), `${typed}: exit ${done.code}\n${done.text}\n${its?.text ?? ''}`)
  if (its !== undefined && how.server !== true) assert.is(its.code, 0, `${how.beside ?? ''}\n${its.text}`)
  assert.not.match(done.text, /command not found|unknown option|bug in version/, typed)
  const { shows, after } = how
  if (shows !== undefined) await until(String(shows), () => shows.test(world.desk(who).text))
  if (after !== undefined) assert.is((await world.desk(who).line(after)).code, 0, after)
  return done
}

/** Why somebody is not reached depends on how he is away. */
const WHY = (['silent', 'lost', 'refused', 'timeout', 'unroutable'] as const).map(
  (reason) => explain({ name: 'alice' } as Contact, [{ reason, address: parseAddress('127.0.0.1', 1) } as DialFailure]).text,
)

/** What is shown is there, with ids, times and why somebody is away as they came; the same id wherever it is shown. */
function assertShown(shown: string[], done: Answered, ids: Map<string, string>): void {
  for (const line of shown) {
    const why = WHY.find((text) => line.includes(text))
    const [before = '', behind = ''] = why === undefined ? [line] : line.split(why)
    const loose = (text: string): string =>
      text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&').replace(/\d{4}-\d\d-\d\d \d\d:\d\d/, '\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d').replace(/\d+\\\.\d s\b/, '\\d+\\.\\d s').replace(/ {2,}/g, ' +')
    const whys = WHY.map(loose).join('|')
    const id = /\b[0-9a-f]{8}\b/.exec(line)?.[0]
    const pattern = loose(before).replace(id ?? /$^/, '([0-9a-f]{8})') + (why === undefined ? '' : `(?:${whys})`) + loose(behind)
    const found = new RegExp(`^${pattern}$`, 'm').exec(done.text)
    assert.ok(found, `'${line}' is not in: ${done.text}`)
    if (id === undefined) continue
    assert.is(ids.get(id) ?? found?.[1], found?.[1], `${id} stands for one message`)
    ids.set(id, found?.[1] ?? '')
  }
}

/** They are settings, and the home works with them. */
async function accepts({ peers }: World, lines: Line[]): Promise<void> {
  const { alice } = peers as Record<Who, Peer>
  writeFileSync(alice.at('config.toml'), lines.flatMap(({ typed, output }) => [typed, ...output, '']).join('\n'))
  const { code, err } = await alice.run('p2p-inbox', ['list', '-n', '1'])
  assert.is(code, 0, err)
  rmSync(alice.at('config.toml'))
}

const missing = (programs: string[] = []): string | undefined =>
  programs.find((name) => spawnSync('sh', ['-c', `command -v ${name}`]).status !== 0)

/** What is known of lines, as far as it was of use, and the lines that were typed: shown twice, they are typed once. */
const used = new Set<string>()
const typed = new Set<string>()

let office: World | undefined

test.after(() => office?.close())

for (const { from, talk, settings, lines } of DISPLAYS) {
  test(`${from}: ${lines[0]?.typed}`, async () => {
    const world = talk ? await World.open(!lines.some(({ typed }) => typed.startsWith('p2p-id init'))) : (office ??= await World.open(true))
    if (!talk && !existsSync(join(world.place('alice'), 'cursor'))) await world.furnish()
    const ids = new Map<string, string>()
    if (settings) return accepts(world, lines)
    try {
      for (const line of lines) {
        const elsewhere = Object.keys(ELSEWHERE).find((begin) => line.typed.startsWith(begin))
        const [begin, how] = howOf(line.typed) ?? ['', {}]
        used.add(elsewhere ?? begin)
        if (elsewhere !== undefined || (!talk && typed.has(line.typed))) continue
        typed.add(line.typed)
        const absent = missing(how.needs)
        if (absent === undefined) assertShown(line.output, await typeLine(world, line, how), ids)
        else skipped(`${absent}: not installed: ${from}: ${line.typed}`)
      }
    } catch (error) {
      if (world === office) office = undefined // whatever is typed next is typed at another desk
      if (!talk) await world.close()
      throw error
    } finally {
      if (talk) await world.close()
    }
  })
}

test('no line that is shown was passed over, and what is known of lines is of lines that are shown', () => {
  const readme = readFileSync(`${ROOT}/README.md`, 'utf8')
  const page = readFileSync(`${ROOT}/man/p2p.7`, 'utf8')
  const count = (from: string): number =>
    DISPLAYS.filter((each) => each.from === from).flatMap((each) => each.lines.flatMap(({ output }) => ['', ...output])).length
  assert.is(count('README'), readme.replace(/^```[^]*?^```$/gm, '').match(/^(?: {4}|\t)\s*\S/gm)?.length)
  const fences = readme.match(/^ {0,3}(?:```|~~~).*$/gm) ?? []
  assert.equal(fences.filter((fence, at) => fence !== (at % 2 === 0 ? '```sh' : '```')), [])
  assert.is(DISPLAYS.filter(({ from }) => from === 'p2p(7)').length, page.match(/^\.(?:Bd|Dl|D1)\b/gm)?.length)
  assert.equal([...Object.keys(HOWS), ...Object.keys(ELSEWHERE)].filter((begin) => !used.has(begin)), [])
  for (const [file, words] of Object.values(ELSEWHERE)) assert.ok(readFileSync(`${ROOT}/${file}`, 'utf8').includes(words), `${file}: ${words}`)
})

test.run()
