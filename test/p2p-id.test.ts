import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { systemRandom } from '../lib/base/random.ts'
import { bindsTcp, freePort } from '../lib/net/freeport.ts'
import { runCommand } from './command.ts'

import type { Ran, RunOptions } from './command.ts'

type Rec = Record<string, unknown>

let place = ''
let alice = ''
let bob = ''
let eve = ''
let bobToken = ''
const NAMED = /name alice, port (2\d{4}|3[0-2]\d{3}), home /

function id(home: string, args: string[], options: RunOptions = {}): Promise<Ran> {
  return runCommand('p2p-id', args, { home, ...options })
}

function record(ran: Ran): Rec {
  assert.is(ran.code, 0, ran.err)
  assert.is(ran.out.trimEnd().split('\n').length, 1, ran.out)
  return JSON.parse(ran.out) as Rec
}

/** Every file of a home with its content, to show that nothing changed. */
async function snapshot(home: string): Promise<string> {
  const names = await readdir(home, { recursive: true })
  const lines: string[] = []
  for (const name of names.sort()) {
    if ((await stat(`${home}/${name}`)).isFile()) lines.push(`${name} ${await readFile(`${home}/${name}`, 'latin1')}`)
  }
  return lines.join('\n')
}

test.before(async () => {
  place = await mkdtemp(`${tmpdir()}/p2p-id-`)
  ;[alice, bob, eve] = ['alice', 'bob', 'eve'].map((name) => `${place}/${name}`) as [string, string, string]
})

test.after(async () => {
  await rm(place, { recursive: true })
})

test('without an identity every verb says so, and what to do', async () => {
  for (const args of [['token'], ['list'], ['show'], ['add', 'bob', 'p2p1']]) {
    const ran = await id(alice, args)
    assert.is(ran.code, 78)
    assert.match(ran.err, `no identity in ${alice} (from $P2P_HOME)`)
    assert.match(ran.err, 'p2p-id: hint: p2p-id init')
  }
})

test('init makes an identity, says it on stderr, and never makes a second one', async () => {
  const ran = await id(alice, ['init', '--name', 'alice', '--no-passphrase', '--addr', '127.0.0.1'])
  assert.is(ran.code, 0, ran.err)
  assert.is(ran.out, '')
  assert.match(ran.err, NAMED)
  assert.match(ran.err, /p2p-id: p2p1[1-9A-Za-z]{204}\n/)
  assert.match(ran.err, 'p2p-id: hint: p2p-id token')
  assert.is((await stat(alice)).mode & 0o777, 0o700)
  const before = await snapshot(alice)
  const again = await id(alice, ['init', '--name', 'eve', '--no-passphrase'])
  assert.is(again.code, 73)
  assert.match(again.err, 'already holds an identity')
  assert.is(await snapshot(alice), before)
})

test('init with a passphrase seals the identity; without a way to ask it is refused and makes nothing', async () => {
  const none = await id(bob, ['init', '--name', 'bob'])
  assert.is(none.code, 77)
  assert.match(none.err, '--passphrase-file')
  assert.match(none.err, '--passphrase-fd')
  assert.is(await stat(bob).catch(() => undefined), undefined)
  await writeFile(`${place}/pass`, 'sesame\n', { mode: 0o600 })
  const ran = await id(bob, ['init', '-q', '--name', 'bob', '--port', '4000', '--passphrase-file', `${place}/pass`])
  assert.is(ran.code, 0, ran.err)
  assert.is(ran.out + ran.err, '')
  assert.match(await readFile(`${bob}/identity.age`, 'latin1'), /^age-encryption.org\/v1\n-> scrypt /)
  assert.is((await readdir(bob)).includes('identity.key'), false)
})

test('of several inits at once one wins, and its port is in its token', async () => {
  const home = `${place}/race`
  const all = await Promise.all(
    [1, 2, 3].map((n) => id(home, ['init', '--name', `n${n}`, '--no-passphrase', '--addr', '192.0.2.1'])),
  )
  assert.equal(all.map(({ code }) => String(code)).toSorted(), ['0', '73', '73'], all.map(({ err }) => err).join(''))
  const self = record(await id(home, ['show']))
  assert.equal(self.addresses, [`192.0.2.1:${String(self.port)}`])
})

test('init refuses what makes no sense', async () => {
  const bad: [string[], number, string][] = [
    [['--name', 'me'], 64, 'reserved'],
    [['--name', 'a\u202eb'], 64, 'bad name'],
    [['--name', 'a\x1bb'], 64, "'\\x1b' is not a letter"],
    [['--name', '字'.repeat(22)], 64, 'longer than the 64 bytes'],
    [['--name', 'x', '--port', '0'], 64, 'bad port'],
    [['--name', 'x', '--port', '65536'], 64, 'bad port'],
    [['--name', 'x', '--addr', 'a b'], 64, 'not a host name'],
    [['--name', 'x', ...Array.from({ length: 9 }, (_, at) => ['--addr', `192.0.2.${at}`]).flat()], 64, 'at most 8'],
    [['--name', 'x', '--passphrase-file', 'x'], 64, 'exclude each other'],
  ]
  for (const [args, code, text] of bad) {
    const ran = await id(eve, ['init', '--no-passphrase', ...args])
    assert.is(ran.code, code, ran.err)
    assert.match(ran.err, text)
    assert.is(ran.out, '')
  }
  assert.is(await stat(eve).catch(() => undefined), undefined)
  await writeFile(`${place}/file`, '')
  const nowhere = await id(`${place}/file/x`, ['init', '--no-passphrase'])
  assert.equal([nowhere.code, nowhere.out, nowhere.err], [73, '', `p2p-id: cannot create ${place}/file/x: not a directory\n`])
})

test('the own token is one line; one that nobody outside can reach is warned about', async () => {
  const ran = await id(alice, ['token'])
  assert.is(ran.code, 0)
  assert.match(ran.out, /^p2p1[1-9A-HJ-NP-Za-km-z]{204,716}\n$/)
  bobToken = (await id(bob, ['token'])).out
})

test('a new address makes a new token, which needs the passphrase', async () => {
  const none = await id(bob, ['token', '--addr', '10.0.0.1'])
  assert.is(none.code, 77)
  assert.is((await id(bob, ['token'])).out, bobToken)
  await writeFile(`${place}/wrong`, 'open\n', { mode: 0o600 })
  const wrong = await id(bob, ['token', '--addr', '10.0.0.1', '--passphrase-file', `${place}/wrong`])
  assert.is(wrong.code, 77)
  assert.match(wrong.err, 'wrong passphrase')
  const ran = await id(bob, ['token', '--addr', 'bob.example:5000', '--passphrase-file', `${place}/pass`])
  assert.is(ran.code, 0, ran.err)
  assert.is.not(ran.out, bobToken)
  assert.not.match(ran.err, 'reached from outside')
  assert.equal((record(await id(bob, ['show'])).addresses as string[])[0], 'bob.example:5000')
})

test('add takes a token as argument and from a mail, updates by a newer one, and is idempotent', async () => {
  const first = record(await id(alice, ['add', 'bob', bobToken.trim()]))
  assert.equal([first.v, first.type, first.outcome, first.name, first.verified], [1, 'contact', 'added', 'bob', false])
  const newer = (await id(bob, ['token'])).out
  const mail = `Hi,\n\n> ${newer.trim().match(/.{1,60}/g)?.join('\n> ')}\n> Bye\n`
  const ran = await id(alice, ['add', 'bob'], { input: mail })
  assert.is(record(ran).outcome, 'updated')
  assert.match(ran.err, 'p2p-id verify bob')
  assert.is(record(await id(alice, ['add', 'bob'], { input: mail })).outcome, 'same')
  const older = await id(alice, ['add', 'bob', bobToken.trim()])
  assert.is(older.code, 65)
  assert.match(older.err, 'older than the one held')
  bobToken = newer
})

test('every bad token is 65 with words of its own, and changes nothing', async () => {
  const before = await snapshot(alice)
  const token = bobToken.trim()
  const typo = token.slice(0, 50) + (token[50] === 'x' ? 'y' : 'x') + token.slice(51)
  const bad: [string, string][] = [
    ['', 'no token'],
    ['hello', 'no token'],
    [typo, 'typing error'],
    [token.slice(0, 120), 'cut off'],
    ['p2p1' + 'z'.repeat(717), 'too long: 721 characters'],
    ['x'.repeat(65_537), 'longer than 65536 bytes'],
    [`${token}\n${(await id(alice, ['token'])).out}`, '2 different tokens'],
    [(await id(alice, ['token'])).out, 'your own token'],
  ]
  for (const [input, text] of bad) {
    const ran = await id(alice, ['add', 'carol'], { input })
    assert.is(ran.code, 65, ran.err)
    assert.match(ran.err, text)
    assert.is(ran.out, '')
  }
  const huge = await id(alice, ['add', 'carol', 'p2p1' + 'z'.repeat(100_000)])
  assert.is(huge.code, 65)
  assert.match(huge.err, 'too long')
  assert.is(await snapshot(alice), before)
})

test('a name and an identity that do not belong together are 77, with the words and the way out', async () => {
  await id(eve, ['init', '--name', 'eve', '--no-passphrase'])
  const token = (await id(eve, ['token'])).out
  const other = await id(alice, ['add', 'BOB'], { input: token })
  assert.is(other.code, 77)
  assert.is(other.err.match(/(?:[a-z]+ ){11}[a-z]+\n/g)?.length, 2)
  assert.match(other.err, 'hint: p2p-id rename bob bob-old')
  const renamed = await id(alice, ['add', 'robert'], { input: bobToken })
  assert.is(renamed.code, 77)
  assert.match(renamed.err, "already known as 'bob'")
  for (const name of ['me', 'a\u202eb', 'a\x07b']) {
    assert.is((await id(alice, ['add', name], { input: token })).code, 64)
  }
})

test('the name that a token suggests is told, and shown', async () => {
  const home = `${place}/frank`
  await id(home, ['init', '--name', 'frank', '--no-passphrase'])
  const added = await id(home, ['add', 'robert'], { input: bobToken })
  assert.is(record(added).suggested, 'bob')
  assert.match(added.err, "their token calls them 'bob'")
  assert.is(record(await id(home, ['show', 'robert'])).suggested, 'bob')
  const human = await id(home, ['show', '--text', 'robert'])
  assert.match(human.out, /^suggested +bob$/m)
  assert.match(human.out, /^added +\d{4}-\d\d-\d\d \d\d:\d\d$/m)
  assert.not.match((await id(home, ['add', 'robert', '--text'], { input: bobToken })).out, 'calls them')
})

test('list is NDJSON in a pipe, lines on demand, and 1 with -q if empty', async () => {
  const ran = await id(alice, ['list'])
  assert.is(record(ran).name, 'bob')
  assert.match((await id(alice, ['list', '--text'])).out, /^bob  unverified  [1-9A-Za-z]{32,44}\n$/)
  assert.is((await id(eve, ['list'])).code, 0)
  const empty = await id(eve, ['list', '-q'])
  assert.is(empty.code, 1)
  assert.is(empty.out + empty.err, '')
})

test('show tells of oneself and of a contact, by name, key and address', async () => {
  const self = record(await id(bob, ['show']))
  assert.equal([self.type, self.name, self.port, self.home], ['identity', 'bob', 4000, bob])
  assert.is(String(self.words).split(' ').length, 12)
  const key = String(self.key)
  for (const text of ['bob', 'BOB', key, key.toLowerCase(), `${key}@p2p.invalid`, 'bob@P2P.INVALID']) {
    const seen = record(await id(alice, ['show', text]))
    assert.equal([seen.key, seen.words], [key, self.words])
  }
  const none = await id(alice, ['show', 'bbo'])
  assert.is(none.code, 67)
  assert.match(none.err, "no contact named 'bbo': did you mean 'bob'?")
  assert.match(none.err, 'hint: p2p-id list')
  assert.match((await id(alice, ['show', '--text', 'bob'])).out, 'standing    unverified')
})

test('verify shows both sets of words, and notes what a person compared', async () => {
  const both = record(await id(alice, ['verify', 'bob']))
  const [theirs, yours] = [String(both.words), String(both.own_words)]
  assert.is(theirs, record(await id(bob, ['show'])).words)
  assert.is(yours, record(await id(alice, ['show'])).words)
  const wrong = await id(alice, ['verify', 'bob', '--words', yours])
  assert.is(wrong.code, 1)
  assert.match(wrong.err, 'not the words of bob')
  assert.is((await id(alice, ['verify', 'bob', '--ok', '--words', theirs])).code, 64)
  assert.is(record(await id(alice, ['show', 'bob'])).verified, false)
  const said = theirs.toUpperCase().replace(/ /g, ', ')
  assert.is(record(await id(alice, ['verify', 'bob', '--words', said])).verified, true)
  assert.is(record(await id(alice, ['show', 'bob'])).verified, true)
  assert.is(record(await id(alice, ['verify', '--ok', 'bob'])).verified, true)
})

test('rename, block and unblock change one contact', async () => {
  assert.is(record(await id(alice, ['rename', 'bob', 'robert'])).name, 'robert')
  assert.is((await id(alice, ['show', 'bob'])).code, 67)
  assert.is((await id(alice, ['rename', 'robert', 'all'])).code, 64)
  assert.is((await id(alice, ['rename', 'me', 'x'])).code, 67)
  assert.is(record(await id(alice, ['block', 'robert'])).blocked, true)
  assert.is(record(await id(alice, ['show', 'robert'])).blocked, true)
  assert.is(record(await id(alice, ['unblock', 'robert'])).blocked, undefined)
  assert.is(record(await id(alice, ['rename', 'robert', 'bob'])).verified, true)
})

test('remove refuses while messages wait, and drops them on demand', async () => {
  const key = String(record(await id(alice, ['show', 'bob'])).key)
  const messages = { new: `1.${'a'.repeat(64)}`, hold: `2.${'b'.repeat(64)}`, tmp: `3.${'c'.repeat(64)}` }
  for (const [state, name] of Object.entries(messages)) {
    await mkdir(`${alice}/queue/${key}/${state}`, { recursive: true })
    await writeFile(`${alice}/queue/${key}/${state}/${name}`, new Uint8Array(200))
  }
  const refused = await id(alice, ['remove', 'bob'])
  assert.is(refused.code, 1)
  assert.match(refused.err, '2 messages wait for bob')
  assert.match(refused.err, 'hint: p2p-id remove --drop bob')
  assert.is(record(await id(alice, ['show', 'bob'])).name, 'bob')
  const done = record(await id(alice, ['remove', '--drop', 'bob']))
  assert.equal([done.type, done.name, done.key, done.dropped], ['removed', 'bob', key, 2])
  assert.is((await id(alice, ['show', 'bob'])).code, 67)
  assert.equal([await readdir(`${alice}/queue/${key}/new`), await readdir(`${alice}/queue/${key}/hold`)], [[], []])
  assert.is((await id(alice, ['remove', 'bob'])).code, 67)
})

test('a home that others can enter, and a secret that others can read, are refused', async () => {
  await chmod(bob, 0o755)
  const open = await id(bob, ['token'])
  assert.is(open.code, 78)
  assert.match(open.err, `chmod 700 ${bob}`)
  await chmod(bob, 0o700)
  await chmod(`${bob}/identity.age`, 0o640)
  const read = await id(bob, ['token', '--addr', '10.0.0.2', '--passphrase-file', `${place}/pass`])
  assert.is(read.code, 77)
  assert.match(read.err, `chmod 600 ${bob}/identity.age`)
  await chmod(`${bob}/identity.age`, 0o600)
})

test('a damaged contact is named, the others are listed', async () => {
  await id(alice, ['add', 'bob'], { input: bobToken })
  await id(alice, ['add', 'eve'], { input: (await id(eve, ['token'])).out })
  const key = String(record(await id(alice, ['show', 'eve'])).key)
  await writeFile(`${alice}/contacts/${key}.json`, '')
  const ran = await id(alice, ['list'])
  assert.is(ran.code, 78)
  assert.match(ran.err, `${alice}/contacts/${key}.json is damaged`)
  assert.is((JSON.parse(ran.out) as Rec).name, 'bob')
  assert.is((await id(alice, ['show', 'bob'])).code, 0)
})

test('a revocation from init ends a contact for good', async () => {
  const dave = `${place}/dave`
  const made = await id(dave, ['init', '--name', 'dave', '--no-passphrase'])
  const revocation = /p2p1[1-9A-Za-z]{204}/.exec(made.err)?.[0] ?? ''
  const token = (await id(dave, ['token'])).out
  assert.is(record(await id(bob, ['add', 'dave'], { input: token })).outcome, 'added')
  const revoked = record(await id(bob, ['add', 'dave'], { input: revocation }))
  assert.equal([revoked.outcome, revoked.revoked], ['revoked', true])
  assert.is((await id(bob, ['add', 'dave'], { input: token })).code, 77)
})

test('a port is taken only if it is free for TCP and UDP', async () => {
  const server = createServer()
  const taken = await new Promise<number>((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port))
  })
  assert.is(await bindsTcp(taken), false)
  await new Promise((resolve) => server.close(resolve))
  const port = await freePort(systemRandom)
  assert.ok(port >= 20_000 && port <= 32_767)
})

test.run()
