// The house: folders are floors, and each kind of door stands in one place. Read from the sources, so that a line in
// the wrong room fails here; every rule is also tried on a small house that breaks it.

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

import { transform } from 'esbuild'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { COMMANDS, p2pInbox, p2pSend } from '../lib/edge/commands.ts'
import { splitLine } from '../lib/edge/dispatch.ts'
import { COMMON, type Command, type Option } from '../lib/edge/table.ts'
import { readArguments } from '../lib/edge/options.ts'

/** A folder may import those with a smaller number; those with the same number do not know one another. */
const FLOORS: Record<string, number> = {
  'lib/base': 0,
  'lib/crypto': 1,
  'lib/wire': 2,
  'lib/disk': 3,
  'lib/net': 3,
  'lib/edge': 3,
  'lib/delivery': 4,
  'lib/chat': 5,
  bin: 6,
}

/** Who may import a package or a part of node that touches the world. What is not listed is for nobody. */
const DOORS: [RegExp, RegExp][] = [
  [/^node:fs(?:\/promises)?$/, /^lib\/(?:disk\/file(?:s|handle)|base\/random|edge\/(?:prompt|descriptor|readers|output|sealed))\.ts$/], // what the user gives: terminal, files, fds 0 and 1; /proc/self, /dev/random
  [/^node:net$/, /^lib\/(?:net\/(?:tcp|freeport)|delivery\/control\w*)\.ts$/],
  [/^node:dgram$/, /^lib\/net\/(?:question|freeport|multicast)\.ts$/],
  [/^node:http$/, /^lib\/net\/igd\.ts$/], // to the own router alone
  [/^node:(?:dns|dns\/promises)$/, /^lib\/net\//],
  [/^node:child_process$/, /^lib\/(?:delivery\/(?:background|hooks?\w*|portmapping)|edge\/manual)\.ts$/],
  [/^node:worker_threads$/, /^lib\/crypto\/hashthread\.ts$/],
  [/^node:v[m8]$/, /^lib\/base\/garbage\.ts$/],
  [/^node:module$/, /^lib\/edge\/dispatch\.ts$/],
  [/^node:(?:tty)$/, /^lib\/edge\//],
  [/^node:(?:crypto|os|path|url|util|stream|zlib|events|buffer|string_decoder|process)$/, /./],
  [/^@noble\//, /^lib\/crypto\/(?:suite-noble|sha256|ed25519|agefile)\.ts$/],
  [/^@scure\/bip39/, /^lib\/crypto\/words\.ts$/],
  [/^age-encryption$/, /^lib\/crypto\/agefile\.ts$/],
  [/^bs58$/, /^lib\/base\/key\.ts$/],
  [/^modern-tar$/, /^lib\/wire\/tar\.ts$/],
  [/^postal-mime$/, /^lib\/wire\/mail\w*\.ts$/],
  [/^proper-lockfile$/, /^lib\/disk\/lock\.ts$/],
  [/^udx-native$/, /^lib\/net\/udx\.ts$/],
  [/^smol-toml$/, /^lib\/disk\/configfile\.ts$/],
  [/^@earendil-works\/pi-tui$/, /^lib\/chat\/(?:screen|frame|keymap|layout|talkview|page|window|look|completion)\.ts$/],
  [/^gemoji$/, /^lib\/chat\/emoji\.ts$/],
  [/^uqr$/, /^lib\/edge\/qrcode\.ts$/],
  [/^citty$/, /^lib\/edge\/usage\.ts$/],
]

/** What may stand in the code of these files alone; comments do not count. */
const WORDS: [string, RegExp, RegExp][] = [
  [
    'the clock',
    /\bDate\.now\b|\bnew Date\(\)|\bsetTimeout\b|\bsetInterval\b|\bperformance\b|\bhrtime\b/,
    /^lib\/base\/clock\.ts$/,
  ],
  [
    'randomness',
    /\brandomBytes\b|\bMath\.random\b|\bgetRandomValues\b|\brandomUUID\b|\brandomInt\b/,
    /^lib\/base\/random\.ts$/,
  ],
  ['process.exit', /\bprocess\.(?:exit|abort|reallyExit)\(/, /^lib\/edge\/cli\.ts$/],
  ['standard output', /\bprocess\.stdout\b|\bconsole\./, /^lib\/edge\/output\.ts$/],
  ['standard input', /\bprocess\.stdin\b/, /^lib\/edge\/input\.ts$/],
  ['argv', /\bprocess\.argv\b/, /^lib\/edge\/(?:cli|dispatch)\.ts$/],
  ['import.meta', /\bimport\.meta\b/, /^$/],
  ['a default export', /^export default\b|\bas default\b/m, /^$/],
]

type House = Map<string, string>

function sources(): House {
  const house: House = new Map()
  for (const folder of Object.keys(FLOORS)) {
    for (const name of readdirSync(folder)) {
      const path = `${folder}/${name}`
      if (name.endsWith('.ts')) house.set(path, readFileSync(path, 'utf8'))
    }
  }
  return house
}

const floorOf = (path: string): string => path.split('/').slice(0, -1).join('/')

/** What a file imports, types included: own files as paths from the top, packages as they are. */
function imports(path: string, source: string): { found: string[]; odd: string[] } {
  const found: string[] = []
  const odd: string[] = []
  const statements = [
    ...source.matchAll(/^(?:import|export)\s[^'"();=]*?\bfrom\s+['"]([^'"]+)['"]/gm),
    ...source.matchAll(/^import\s+['"]([^'"]+)['"]/gm),
    ...source.matchAll(/(?<![\w.`])import\(\s*['"]([^'"]+)['"]\s*\)/g),
  ]
  for (const [, target = ''] of statements) {
    if (target.startsWith('.')) found.push(join(floorOf(path), target))
    else found.push(target)
    if (target.startsWith('.') && !target.endsWith('.ts')) odd.push(`imports '${target}' without .ts`)
  }
  if (/(?<![\w.`])import\((?!\s*['"])/.test(source)) odd.push('imports something computed')
  if (/\brequire\(/.test(source)) odd.push('requires')
  if (/^export\s[^'"();=]*?\bfrom\s+['"]/m.test(source)) odd.push('exports what another file exports')
  return { found, odd }
}

/** Every breach of the rules in a house, as `file: what`. */
async function breaches(house: House): Promise<string[]> {
  const wrong: string[] = []
  const graph = new Map<string, string[]>()
  for (const [path, source] of house) {
    const own = floorOf(path)
    const { found, odd } = imports(path, source)
    wrong.push(...odd.map((what) => `${path}: ${what}`))
    graph.set(
      path,
      found.filter((target) => house.has(target)),
    )
    for (const target of found) {
      if (target.endsWith('.ts')) {
        const floor = floorOf(target)
        if (!house.has(target)) wrong.push(`${path}: imports ${target}, which is not in the house`)
        else if (own === 'bin' && floor === 'bin') wrong.push(`${path}: a command imports a command`)
        else if (floor !== own && (FLOORS[floor] ?? 99) >= (FLOORS[own] ?? -1))
          wrong.push(`${path}: ${own} imports ${floor}`)
      } else {
        const door = DOORS.find(([name]) => name.test(target))
        if (door?.[1].test(path) !== true) wrong.push(`${path}: imports ${target}`)
      }
    }
    const { code } = await transform(source, { loader: 'ts', legalComments: 'none', target: 'es2022' }) // without comments
    for (const [what, pattern, where] of WORDS) {
      if (pattern.test(code) && !where.test(path)) wrong.push(`${path}: ${what}: ${pattern.exec(code)?.[0]}`)
    }
  }
  wrong.push(...circles(graph))
  return wrong
}

function circles(graph: Map<string, string[]>): string[] {
  const wrong: string[] = []
  const done = new Set<string>()
  const visit = (path: string, trail: string[]): void => {
    if (trail.includes(path)) wrong.push(`a circle: ${[...trail.slice(trail.indexOf(path)), path].join(' -> ')}`)
    else if (!done.has(path)) for (const next of graph.get(path) ?? []) visit(next, [...trail, path])
    done.add(path)
  }
  for (const path of graph.keys()) visit(path, [])
  return wrong
}

test('the house has these floors and nothing lies in between', () => {
  const floors = Object.keys(FLOORS)
  assert.equal(
    readdirSync('lib').map((name) => `lib/${name}`).sort(),
    floors.filter((floor) => floor !== 'bin').sort(),
  )
  for (const floor of floors) {
    for (const name of readdirSync(floor)) assert.match(name, /^[a-z0-9-]+\.ts$/, floor)
  }
})

test('every import goes down, through the right door, and nothing goes round', async () => {
  const house = sources()
  assert.ok(house.size > 10)
  assert.equal(await breaches(house), [])
})

const BROKEN: [string, Record<string, string>, RegExp][] = [
  [
    'a lower floor imports an upper',
    { 'lib/base/a.ts': "import { b } from '../wire/b.ts'\nb()\n", 'lib/wire/b.ts': '' },
    /lib\/base imports lib\/wire/,
  ],
  [
    'for a type alone',
    { 'lib/wire/a.ts': "import type {\n  B,\n} from '../disk/b.ts'\n", 'lib/disk/b.ts': '' },
    /lib\/wire imports lib\/disk/,
  ],
  [
    'late',
    { 'lib/disk/a.ts': "const x = async () => import('../delivery/b.ts')\n", 'lib/delivery/b.ts': '' },
    /lib\/disk imports lib\/delivery/,
  ],
  [
    'as the type of a module',
    { 'lib/base/a.ts': "type X = typeof import('../disk/b.ts')\n", 'lib/disk/b.ts': '' },
    /lib\/base imports lib\/disk/,
  ],
  ['disk imports net', { 'lib/disk/a.ts': "import '../net/b.ts'\n", 'lib/net/b.ts': '' }, /lib\/disk imports lib\/net/],
  [
    'edge imports disk',
    { 'lib/edge/a.ts': "import { b } from '../disk/b.ts'\n", 'lib/disk/b.ts': '' },
    /lib\/edge imports lib\/disk/,
  ],
  ['a command imports a command', { 'bin/a.ts': "import { b } from './b.ts'\n", 'bin/b.ts': '' }, /a command imports/],
  [
    'a circle',
    { 'lib/net/a.ts': "import './b.ts'\n", 'lib/net/b.ts': "import './c.ts'\n", 'lib/net/c.ts': "import './a.ts'\n" },
    /a circle: lib\/net\/a.ts -> lib\/net\/b.ts -> lib\/net\/c.ts -> lib\/net\/a.ts/,
  ],
  ['the disk', { 'lib/delivery/a.ts': "import { readFile } from 'node:fs/promises'\n" }, /imports node:fs\/promises/],
  ['the net', { 'lib/delivery/a.ts': "import * as net from 'node:net'\n" }, /imports node:net/],
  ['a package', { 'lib/wire/a.ts': "import { x } from 'left-pad'\n" }, /imports left-pad/],
  [
    'a package by another door',
    { 'lib/wire/a.ts': "const { x } = await import('@noble/curves/ed25519.js')\n" },
    /imports @noble/,
  ],
  ['the clock', { 'lib/net/a.ts': 'export const x = () => Date.now()\n' }, /the clock/],
  ['a date of now', { 'lib/net/a.ts': 'export const x = () => new Date()\n' }, /the clock/],
  ['a timer', { 'lib/net/a.ts': 'setTimeout(() => 1, 2)\n' }, /the clock/],
  [
    'randomness',
    { 'lib/crypto/a.ts': "import { randomBytes } from 'node:crypto'\nexport const x = randomBytes(3)\n" },
    /randomness/,
  ],
  ['process.exit', { 'bin/a.ts': 'process.exit(1)\n' }, /process.exit/],
  ['console', { 'bin/a.ts': 'console.log(1)\n' }, /standard output/],
  ['a default export', { 'lib/base/a.ts': 'export default 1\n' }, /default export/],
  ['a barrel', { 'lib/base/a.ts': "export * from './b.ts'\n", 'lib/base/b.ts': '' }, /exports what another/],
  ['an ending', { 'lib/base/a.ts': "import { b } from './b'\n", 'lib/base/b.ts': '' }, /without .ts/],
  ['computed', { 'lib/base/a.ts': 'export const x = (name: string) => import(name)\n' }, /computed/],
]

for (const [what, files, expected] of BROKEN) {
  test(`a broken house is seen: ${what}`, async () => {
    assert.match((await breaches(new Map(Object.entries(files)))).join('\n'), expected)
  })
}

test('a good small house is good, whatever its comments say', async () => {
  const house = {
    'lib/base/a.ts': "// Date.now() and process.exit(1), 'node:fs'\nexport const a = 1\n",
    'lib/disk/b.ts': "import { a } from '../base/a.ts'\nexport const b = a /* setTimeout */\n",
    'bin/c.ts': "import { b } from '../lib/disk/b.ts'\nexport const c = new Date(b)\n",
  }
  assert.equal(await breaches(new Map(Object.entries(house))), [])
})

// The bundles hold their packages: all are for building (CONTRIBUTING), but for udx-native with its machine code.
test('every package that is imported is declared', () => {
  const { devDependencies, optionalDependencies } = JSON.parse(readFileSync('package.json', 'utf8')) as {
    devDependencies: object
    optionalDependencies: object
  }
  assert.equal(Object.keys(optionalDependencies), ['udx-native'])
  const declared = [...Object.keys(devDependencies), ...Object.keys(optionalDependencies)]
  for (const [path, source] of sources()) {
    for (const target of imports(path, source).found) {
      if (target.endsWith('.ts') || target.startsWith('node:')) continue
      assert.ok(
        declared.includes(
          target
            .split('/')
            .slice(0, target.startsWith('@') ? 2 : 1)
            .join('/'),
        ),
        `${path}: ${target}`,
      )
    }
  }
})

test('every command has its table, every table its command', () => {
  const files = readdirSync('bin').map((name) => name.replace(/\.ts$/, ''))
  assert.equal(files.sort(), COMMANDS.map((command) => command.name).sort())
})

const spellings = (options: Option[]): string[] =>
  options.flatMap((option) => [option.name, ...(option.short ?? []), ...(option.aliases ?? [])].map(dashed))
const dashed = (name: string): string => (name.length === 1 ? `-${name}` : `--${name}`)
const ownOptions = (command: Command): string[] =>
  spellings([...command.options, ...command.verbs.flatMap((verb) => verb.options)])

/** The options an mdoc page lists (.It) and those it mentions anywhere. */
function manualOptions(page: string): { listed: Set<string>; mentioned: Set<string> } {
  const listed = new Set<string>()
  const mentioned = new Set<string>()
  for (const line of page.replaceAll('\\-', '-').split('\n')) {
    if (!line.startsWith('.') || line.startsWith('.\\"')) continue
    for (const [, name = ''] of line.matchAll(/(?:^\.|\s)Fl\s+(-?[A-Za-z][\w-]*)/g)) {
      const option = name.startsWith('-') ? `-${name}` : dashed(name)
      mentioned.add(option)
      if (line.startsWith('.It')) listed.add(option)
    }
  }
  return { listed, mentioned }
}

/** Where page and table disagree; the options of all commands may be left to p2p(7). */
function drift(page: string, command: Command): string[] {
  const { listed, mentioned } = manualOptions(page)
  const own = ownOptions(command)
  const common = spellings(COMMON)
  return [
    ...own.filter((option) => !listed.has(option)).map((option) => `${command.name}.1 does not list ${option}`),
    ...[...mentioned]
      .filter((option) => !own.includes(option) && !common.includes(option))
      .map((option) => `${command.name}.1: ${option} does not exist`),
    ...command.verbs
      .filter((verb) => verb.name !== '' && !new RegExp(`\\b${verb.name}\\b`).test(page))
      .map((verb) => `${command.name}.1 has no ${verb.name}`),
  ]
}

test('every command has a manual page whose options are those of its table', () => {
  const wrong = COMMANDS.flatMap((command) => {
    const path = `man/${command.name}.1`
    return existsSync(path) ? drift(readFileSync(path, 'utf8'), command) : [`no ${path}`]
  })
  assert.equal(wrong, [])
})

test('p2p(7) lists the options of all commands', () => {
  const { listed } = manualOptions(readFileSync('man/p2p.7', 'utf8'))
  assert.equal(
    spellings(COMMON).filter((option) => !listed.has(option)),
    [],
  )
})

test('a page that drifts is seen', () => {
  const good = `.It Fl m Ar TEXT , Fl -message Ns = Ns Ar TEXT\n${ownOptions(p2pSend)
    .map((name) => `.It Fl ${name.slice(1)}`)
    .join('\n')}\n.Fl -json\n`
  assert.equal(drift(good, p2pSend), [])
  assert.equal(drift(good.replace('.It Fl -lines', '.Fl -lines'), p2pSend), ['p2p-send.1 does not list --lines'])
  assert.equal(drift(`${good}.Op Fl x\n.Fl \\-bogus\n`, p2pSend), [
    'p2p-send.1: -x does not exist',
    'p2p-send.1: --bogus does not exist',
  ])
  assert.match(drift(good, p2pInbox).join('\n'), /p2p-inbox.1 has no seen/)
})

/** Options that a text gives to our commands and that do not exist. */
function unknownOptions(text: string): string[] {
  const wrong: string[] = []
  for (const [, name = '', rest = ''] of text.matchAll(
    /(?<![\w/.-])(p2p-[a-z]+)((?:[ \t]+(?:'[^'\n]*'|"[^"\n]*"|[^\s|;&<>()`#'"]+))*)/g,
  )) {
    const command = COMMANDS.find((each) => each.name === name)
    if (command === undefined) continue
    const options = [...COMMON, ...command.options, ...command.verbs.flatMap((verb) => verb.options)]
    const known = spellings(options)
    const takesValue = (letter: string): boolean =>
      options.some((option) => option.kind !== 'flag' && spellings([option]).includes(`-${letter}`))
    for (const word of rest.match(/'[^']*'|"[^"]*"|\S+/g) ?? []) {
      if (word === '--') break
      if (word.startsWith('--') && !known.includes(word.replace(/[=.,:].*$/, ''))) wrong.push(`${name} ${word}`)
      if (!/^-[A-Za-z]/.test(word)) continue
      for (const letter of word.slice(1).replace(/[.,:]$/, '')) {
        if (!known.includes(`-${letter}`)) wrong.push(`${name} -${letter}`)
        if (takesValue(letter)) break
      }
    }
  }
  return wrong
}

test('the README and the pages give our commands only options that exist', () => {
  for (const path of ['README.md', ...readdirSync('man').map((name) => `man/${name}`)].filter((each) =>
    existsSync(each),
  )) {
    assert.equal(unknownOptions(readFileSync(path, 'utf8').replaceAll('\\-', '-')), [], path)
  }
})

test('an option that does not exist is seen in a README', () => {
  assert.equal(
    unknownOptions(
      '```\necho hi | p2p-send -qE --wait 5s bob -m "--x" && p2p-inbox list --new -n5\n```\n`p2p-listen`, `p2p-send -- -x`',
    ),
    [],
  )
  assert.equal(unknownOptions('$ p2p-send bob --frob; p2p-inbox list -fz\n`p2p-listen --cont`'), [
    'p2p-send --frob',
    'p2p-inbox -z',
    'p2p-listen --cont',
  ])
})

test('the examples of every table are accepted by the table', () => {
  for (const command of COMMANDS) {
    for (const example of command.verbs.flatMap((verb) => verb.examples)) {
      const words =
        (new RegExp(`${command.name}([^|<>]*)`).exec(example)?.[1] ?? '').match(/'[^']*'|"[^"]*"|\S+/g) ?? []
      const plain = words.map((word) => word.replace(/^'(.*)'$/, '$1'))
      const { word, after } = splitLine(plain) // of p2p alone: another command's
      const other = command.name === 'p2p' ? COMMANDS.find(({ name }) => name === `p2p-${word}`) : undefined
      const request = other === undefined ? readArguments(command, plain) : readArguments(other, after)
      assert.is(request.want, 'run', example)
    }
  }
})

test.run()
