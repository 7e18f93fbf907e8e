// p2p-id doctor: a healthy home passes; whatever is broken on purpose is the one thing it names, with the way out; and
// what sessions tell of clocks, ways and copies is noted.

import { spawn } from 'node:child_process'
import { appendFileSync, chmodSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { hex } from '../lib/base/bytes.ts'
import { Failure } from '../lib/base/fail.ts'
import { nodeSuite } from '../lib/crypto/suite-node.ts'
import type { Check } from '../lib/delivery/check.ts'
import { noteMeeting, takeTurns } from '../lib/delivery/meeting.ts'
import { MeetingNotes } from '../lib/delivery/meetingnotes.ts'
import { examine } from '../lib/delivery/doctor.ts'
import { SYSTEMD, startCommand } from '../lib/delivery/status.ts'
import type { Contact } from '../lib/disk/contact.ts'
import { type Home, prepareHome, realDoors, UNSOUND } from '../lib/disk/home.ts'
import { instanceOf } from '../lib/disk/instance.ts'
import { nodeFiles } from '../lib/disk/files.ts'
import { type Meeting, readMeeting, writeMeeting } from '../lib/disk/meetings.ts'
import { systemdHome } from '../lib/edge/setupservice.ts'
import type { Link } from '../lib/net/link.ts'
import { type Peer, Stage } from './peer.ts'
import { records } from './records.ts'

/** Noted and written down; what a person is told of it. */
async function noted(...meeting: Parameters<typeof noteMeeting>): Promise<string[]> {
  const { news, written } = await noteMeeting(...meeting)
  await written
  return news
}

async function checks(peer: Peer, doors = realDoors): Promise<Check[]> {
  const found: Check[] = []
  for await (const check of examine({ flag: peer.path, env: {} }, doors)) found.push(check)
  return found
}

/** What is wrong, and nothing else. */
const wrong = async (peer: Peer, doors = realDoors): Promise<Check[]> => (await checks(peer, doors)).filter(({ ok }) => !ok)

async function only(peer: Peer, name: string, text: RegExp, hint?: RegExp, doors = realDoors): Promise<void> {
  const found = await wrong(peer, doors)
  assert.equal(found.map((check) => check.name), [name], JSON.stringify(found))
  assert.match(found[0]?.text ?? '', text)
  if (hint !== undefined) assert.match(found[0]?.hint ?? '', hint)
}

/** A pair who have met: alice is healthy. */
async function withAlice(work: (alice: Peer, bob: Peer, stage: Stage) => Promise<void>): Promise<void> {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    await meeting(alice, bob, {})
    await work(alice, bob, stage)
  })
}

async function meeting(one: Peer, other: Peer, more: Partial<Meeting>): Promise<void> {
  await writeMeeting(one.home, other.key, { at: Date.now(), instances: ['0102030405060708'], ...more })
}

test('a healthy home: one line a check, exit 0; something wrong: 1, and the hint below it', async () => {
  await withAlice(async (alice) => {
    const ran = await alice.run('p2p-id', ['doctor'])
    const told = records(ran.out)
    assert.is(ran.code, 0, ran.out)
    assert.ok(told.length >= 18 && told.every(({ type, ok }) => type === 'check' && ok === true))
    assert.is(new Set(told.map(({ name }) => name)).size, told.length)
    const human = await alice.run('p2p-id', ['doctor', '--text'])
    assert.match(human.out, /^ok {3}modes +only you can read it$/m)
    chmodSync(alice.at('transport.key'), 0o644)
    const bad = await alice.run('p2p-id', ['doctor', '--text'])
    assert.is(bad.code, 1)
    assert.match(bad.out, /^BAD {2}modes +others have rights to transport\.key\n +chmod -R go= /m)
    assert.match(bad.out, /^BAD {2}identity +others can read /m)
    const quiet = await alice.run('p2p-id', ['doctor', '-q'])
    assert.equal([quiet.code, quiet.out, quiet.err], [1, '', ''])
  })
})

test('without a home or an identity there is nothing to look at: 78', async () => {
  await Stage.with(async (stage) => {
    const none = await stage.peer('alice')
    rmSync(none.at('token'))
    for (const home of [join(stage.dir, 'none'), none.path]) {
      const ran = await none.run('p2p-id', ['doctor'], { home })
      assert.equal([ran.code, ran.out], [78, ''])
      assert.match(ran.err, /no identity in .*\np2p-id: hint: p2p-id init/)
    }
  })
})

test('a home that cannot be used is one finding', async () => {
  await withAlice(async (alice) => {
    chmodSync(alice.path, 0o755)
    await only(alice, 'home', /is open to others \(mode 755\)/, /^chmod 700 /)
    chmodSync(alice.path, 0o700)
    writeFileSync(alice.at('home.json'), '{')
    await only(alice, 'home', /home\.json is damaged/)
    writeFileSync(alice.at('home.json'), JSON.stringify({ v: 99, instance: '00'.repeat(8), port: 20_000 }))
    await only(alice, 'home', /newer version of p2p/)
  })
})

test('it changes nothing', async () => {
  await withAlice(async (alice) => {
    const before = alice.snapshot()
    const times = ['', 'lock', 'inbox', 'hello'].map((name) => statSync(alice.at(name)).mtimeMs)
    await checks(alice)
    assert.equal(alice.snapshot(), before)
    const after = ['', 'inbox', 'hello'].map((name) => statSync(alice.at(name)).mtimeMs)
    assert.equal(after.slice(1), times.slice(2))
    assert.equal(alice.strays(), [])
  })
})

test('folders, contacts, config, identity: what is damaged is named', async () => {
  await withAlice(async (alice, bob) => {
    const path = alice.at('contacts', `${bob.key}.json`)
    const contact = readFileSync(path)
    rmSync(alice.at('part'), { recursive: true })
    await only(alice, 'folders', /^part missing$/, /^mkdir -m 700 -p .*\/part$/)
    mkdirSync(alice.at('part'), { mode: 0o700 })
    writeFileSync(path, '{}')
    await only(alice, 'contacts', /is damaged/, /^mv \/.*\.json \/.*\.json\.damaged$/)
    writeFileSync(path, contact)
    writeFileSync(alice.at('config.toml'), 'expires = "never"\n')
    await only(alice, 'config', /config\.toml:1: /)
    writeFileSync(alice.at('config.toml'), '[contact.bbo]\nexpires = "2d"\n')
    await only(alice, 'config', /no contact named 'bbo': did you mean 'bob'\?/)
    rmSync(alice.at('config.toml'))
    renameSync(alice.at('identity.key'), alice.at('aside'))
    await only(alice, 'identity', /neither identity\.age nor identity\.key/)
    renameSync(alice.at('aside'), alice.at('identity.key'))
    writeFileSync(alice.at('transport.key'), readFileSync(bob.at('transport.key')))
    await only(alice, 'identity', /does not belong to/)
    writeFileSync(alice.at('token'), 'p2p1 nonsense')
    assert.ok((await wrong(alice)).some(({ name, text }) => name === 'identity' && /token is damaged/.test(text)))
  })
})

test('file system and space: refused kinds, failing probes, a disk that is nearly full', async () => {
  await withAlice(async (alice, _, stage) => {
    const doors = (files: object): typeof realDoors => ({ ...realDoors, files: { ...nodeFiles, ...files } })
    const disk = { free: 2 ** 40, total: 2 ** 41, type: 0xef53 }
    const statfs = (change: object) => ({ statfs: () => Promise.resolve({ ...disk, ...change }) })
    for (const [type, kind] of UNSOUND) {
      await only(alice, 'filesystem', new RegExp(`^${kind} cannot keep`), /^cp -a /, doors(statfs({ type })))
      const path = join(stage.dir, `new-${type}`)
      const refused: unknown = await prepareHome({ path, source: '--home' }, 20_000, doors(statfs({ type }))).catch((error: unknown) => error)
      assert.equal([(refused as Failure).exit, (refused as Failure).message], [78, `${path} is on ${kind}, which cannot keep messages safe`])
    }
    const refuse = (code: string) => () => Promise.reject(Object.assign(new Error(code), { code, syscall: 'x' }))
    await only(alice, 'filesystem', /: link does not work/, /^cp/, doors({ ...statfs({}), link: refuse('EPERM') }))
    await only(alice, 'filesystem', /: rename does not work/, /^cp/, doors({ ...statfs({}), rename: refuse('EINVAL') }))
    await only(alice, 'filesystem', /: link does not work/, /^cp/, doors({ ...statfs({}), link: () => Promise.resolve() }))
    await only(alice, 'filesystem', /writing: no space left/, undefined, doors({ ...statfs({}), open: refuse('ENOSPC') }))
    await only(alice, 'space', /^900\.0 MiB free: only small messages/, /^du /, doors(statfs({ free: 900 * 2 ** 20 })))
    await only(alice, 'space', /^1\.0 MiB free: nothing is accepted below 64\.0 MiB/, /^du /, doors(statfs({ free: 2 ** 20 })))
    assert.equal(await wrong(alice, doors(statfs({ type: 0x01021994 }))), [])
    assert.equal(alice.strays(), [])
  })
})

test('the listener: up, down, hung, dead, of another version; and the port', async () => {
  await withAlice(async (alice, bob, stage) => {
    const said = async (name: string): Promise<Check | undefined> => (await checks(alice)).find((check) => check.name === name)
    assert.match((await said('listener'))?.text ?? '', /^not running/)
    assert.match((await said('port'))?.text ?? '', / is free/)
    const listener = await alice.listen()
    const ran = await alice.run('p2p-id', ['doctor']) // not in this process, whose version is that of the sources
    assert.is(ran.code, 0, ran.out)
    assert.match(ran.out, `up, pid ${listener.pid}`)
    assert.match((await said('port'))?.text ?? '', /held by the listener$/)
    await listener.kill()
    await only(alice, 'listener', /^it died and was not started again$/, /^p2p-listen -q &$/)
    rmSync(alice.at('lock', 'listener.lock'), { recursive: true })
    rmSync(alice.at('listen.sock'))

    const other = createServer()
    await new Promise<void>((resolve) => other.listen(alice.home.port, '127.0.0.1', resolve))
    await only(alice, 'port', /^TCP port \d+ is taken by another program$/, /^ss -ltnp 'sport = :\d+'$/)
    await new Promise((resolve) => other.close(resolve))

    let greeting = JSON.stringify({ v: 1, type: 'listener', version: '0.0.1', pid: 4711, home: alice.path }) + '\n'
    const old = createServer((socket) => socket.on('error', () => undefined).resume().write(greeting))
    await new Promise<void>((resolve) => old.listen(alice.at('listen.sock'), resolve))
    await only(alice, 'listener', /^pid 4711 is still of version 0\.0\.1, this is /, /^kill 4711$/)
    greeting = '\n'
    await only(alice, 'listener', /does not answer$/)
    await new Promise((resolve) => old.close(resolve))
    assert.ok(stage.dir !== bob.path)
  })
})

test('locks: one of a dead process is told', async () => {
  await withAlice(async (alice) => {
    const lock = alice.at('lock', 'flush.lock')
    mkdirSync(lock)
    const child = spawn('true')
    await new Promise((resolve) => child.on('close', resolve))
    const owner = JSON.stringify({ pid: child.pid, start: '1', boot: 'another', space: '' })
    writeFileSync(alice.at('lock', 'flush.owner'), owner)
    const told = (await checks(alice)).find(({ name }) => name === 'locks')
    assert.match(told?.text ?? '', /^1 lock of a process that died \(flush\)/)
    assert.is(told?.ok, true)
  })
})

test('clocks: one contact apart, most apart, one of three, an own clock set back', async () => {
  await withAlice(async (alice, bob, stage) => {
    await meeting(alice, bob, { skew: 29_000 })
    assert.equal(await wrong(alice), [])
    await meeting(alice, bob, { skew: -300_000 })
    await only(alice, 'clock', /^bob's is 5 min behind: one of the two is wrong$/)
    await meeting(alice, bob, { skew: -300_000, at: Date.now() - 40 * 86_400_000 })
    assert.equal(await wrong(alice), [])
    const more = [await stage.peer('carol'), await stage.peer('dave')]
    for (const peer of more) {
      await alice.learn(peer)
      await meeting(alice, peer, { skew: 100 })
    }
    await meeting(alice, bob, { skew: 7_200_000 })
    const clock = (await checks(alice)).find(({ name }) => name === 'clock')
    assert.equal([clock?.ok, clock?.text], [true, "agrees with most contacts; bob's is 2 h ahead"])
    await meeting(alice, more[0] as Peer, { skew: 7_200_000 })
    await only(alice, 'clock', /this one is likely wrong$/)
    writeFileSync(alice.at('hello', 'last'), `${(Date.now() + 3_600_000) * 1000}\n`)
    await only(alice, 'clock', /^it was set back by 60 min/)
  })
})

test('an older state that was put back: by seen, by the index, by a token', async () => {
  await withAlice(async (alice, bob) => {
    await alice.good('p2p-send', ['me', '-m', 'one'])
    assert.equal(await wrong(alice), [])
    const seen = readFileSync(alice.at('seen'))
    writeFileSync(alice.at('seen'), '')
    await only(alice, 'restore', /^'seen' knows nothing of 1 message in the inbox/)
    writeFileSync(alice.at('seen'), seen)
    await alice.good('p2p-send', ['me', '-m', 'two'])
    assert.equal(await wrong(alice), [])
    const longer = readFileSync(alice.at('seen'))
    writeFileSync(alice.at('seen'), seen)
    await only(alice, 'restore', /^'seen' knows nothing of 1 message in the inbox/)
    writeFileSync(alice.at('seen'), longer)
    mkdirSync(alice.at('seen.index'))
    writeFileSync(alice.at('seen.index', `0-${longer.length + 1}.run`), '')
    await only(alice, 'restore', /^'seen' is shorter than it was/)
    rmSync(alice.at('seen.index'), { recursive: true })
    await meeting(alice, bob, { newerToken: String(2n ** 63n) })
    await only(alice, 'restore', /^bob holds a newer token of yours/, /^p2p-id token --addr HOST$/)
  })
})

test('two copies of a home that take turns are told for a week: those of a contact, and those of this home', async () => {
  await withAlice(async (alice, bob) => {
    const lately = Date.now() - 6 * 86_400_000
    const longAgo = Date.now() - 8 * 86_400_000
    await meeting(alice, bob, { turns: longAgo, told: longAgo })
    assert.equal(await wrong(alice), [])
    await meeting(alice, bob, { turns: lately })
    await only(alice, 'clones', /^two copies of the home of bob are in use at once/)
    await meeting(alice, bob, { told: lately })
    await only(alice, 'clones', /^bob met two copies of this home in turns/, /^p2p-id export --all --move/)
    await meeting(alice, bob, { turns: lately, told: lately })
    assert.equal((await wrong(alice)).map(({ name }) => name), ['clones', 'clones'])
  })
})

test('copies take turns when one comes back after another; a home that moves or is started anew does not', async () => {
  await withAlice(async (alice, bob) => {
    const link = { initiator: true, age: 0, remote: { ip: '127.0.0.1', port: 1 }, hello: { clock: 0n } } as unknown as Link
    const meet = async (...instances: string[]): Promise<boolean> => {
      rmSync(alice.at('hello', `${bob.key}.met`), { force: true })
      let news: string[] = []
      for (const instance of instances) {
        news = await noted(alice.home, { key: bob.key, name: 'bob' }, link, 10n, { instance, copies: false })
      }
      assert.equal(news, (await takeTurns(alice.home, bob.key)) ? ['two copies of the home of bob are in use at once'] : [])
      return news.length > 0
    }
    const [one, two] = ['00000001', '00000002']
    const [a, b, c, d] = ['aaaaaaaa', 'bbbbbbbb', 'cccccccc', 'dddddddd']
    assert.not(await meet(`${one}${a}`, `${one}${a}`), 'the same')
    assert.not(await meet(`${one}${a}`, `${one}${b}`, `${one}${c}`, `${one}${d}`), 'started anew')
    assert.not(await meet(`${one}${a}`, `${two}${b}`, `${two}${c}`), 'moved')
    assert.ok(await meet(`${one}${a}`, `${two}${b}`, `${one}${a}`), 'two places')
    assert.ok(await meet(`${one}${a}`, `${two}${b}`, `${one}${c}`), 'two places, started anew in between')
    assert.ok(await meet(`${one}${a}`, `${one}${b}`, `${one}${a}`), 'two machines that are one copy')
    const days = Array.from({ length: 12 }, (_, i) => `${two}${String(i).padStart(8, '0')}`)
    assert.ok(await meet(`${one}${a}`, ...days, `${one}${a}`), 'one of them seldom')
    await meet(`${one}${a}`, `${two}${b}`, `${one}${a}`)
    const again = await noted(alice.home, { key: bob.key, name: 'bob' }, link, 10n, { instance: `${two}${b}`, copies: true })
    assert.equal(again, ['bob has met two copies of this home in turns'], 'what was told is not told again')
    await noted(alice.home, { key: bob.key, name: 'bob' }, link, 10n, { instance: `${two}${b}`, copies: false })
    assert.is((await readMeeting(alice.home, bob.key))?.told, undefined, 'until the contact says so no more')
  })
})

test('sessions of one contact that begin at once are noted one after the other, and none waits for a note that cannot be written', async () => {
  await withAlice(async (alice, bob) => {
    const link = { initiator: true, age: 0, remote: { ip: '127.0.0.1', port: 1 }, hello: { clock: 0n } } as unknown as Link
    const [a, b] = ['00000001aaaaaaaa', '00000002bbbbbbbb']
    const contact = { key: bob.key, name: 'bob' } as Contact
    const met = async (home: Home): Promise<[(boolean | undefined)[], string[]]> => {
      const told: string[] = []
      const notes = new MeetingNotes({ home, ownSeq: () => 10n, noticed: (text) => void told.push(text) })
      const takesTurns = await Promise.all([a, b, a, b].map((instance) => notes.note(contact, link, { instance, copies: false })))
      await notes.idle()
      return [takesTurns, told]
    }
    rmSync(alice.at('hello', `${bob.key}.met`))
    assert.equal(await met(alice.home), [[false, false, true, true], ['two copies of the home of bob are in use at once']])
    assert.equal((await readMeeting(alice.home, bob.key))?.instances, [a, b, a, b])
    const full = { ...nodeFiles, open: () => Promise.reject(Object.assign(new Error('full'), { code: 'ENOSPC' })) }
    assert.equal((await met(Object.create(alice.home, { files: { value: full } }) as Home))[1], [])
  })
})

test('token, reach, key and queue', async () => {
  await withAlice(async (alice, bob) => {
    const said = async (name: string): Promise<string> => {
      const found = (await checks(alice)).filter((check) => check.name === name)
      return found.map(({ ok, text }) => `${ok ? 'ok' : 'BAD'} ${text}`).join('; ')
    }
    assert.match(await said('reached'), /^ok never from outside: open TCP and UDP port \d+/)
    await meeting(alice, bob, { outside: { at: Date.now() - 7_200_000, address: '198.51.100.7:4242' } })
    assert.is(await said('reached'), 'ok from outside by bob, TCP from 198.51.100.7:4242, 2 h ago')
    assert.match(await said('token'), /^ok no address in it .* contacts are met all the same/)
    rmSync(alice.at('hello', `${bob.key}.met`))
    assert.match(await said('token'), /^BAD no address in it .* nobody was met yet$/)
    const long = new Date(Date.now() - 100 * 86_400_000)
    utimesSync(alice.at('transport.key'), long, long)
    assert.is(await said('key'), 'ok the transport key is 100 days old: time for a new one')
    await alice.queue('bob', ['-m', 'one'])
    assert.is(await said('queue'), 'ok 1 message for bob: not tried yet')
    mkdirSync(alice.at('queue', bob.key, 'failed'), { recursive: true })
    writeFileSync(alice.at('queue', bob.key, 'failed', `1795416809098673.${'ab'.repeat(32)}`), 'x')
    assert.match(await said('queue'), /^BAD 1 message could not be delivered; ok 1 message for bob/)
  })
})

test('a session notes the clocks, the other home, and nothing of an outside that is none', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const listener = await bob.listen()
    await alice.send('bob', ['-m', 'hi'])
    await listener.stop()
    for (const [one, other] of [[alice, bob], [bob, alice]] as const) {
      const met = await readMeeting(one.home, other.key)
      assert.ok(met !== undefined && Math.abs(met.skew ?? Infinity) < 5000, JSON.stringify(met))
      assert.equal(met?.instances, [hex(await instanceOf(other.home, nodeSuite))])
      assert.is(met?.outside, undefined)
      assert.is(met?.newerToken, undefined)
      assert.equal(one.strays(), [])
    }
  })
})

test('a note that is shorter than the one before leaves nothing of it, and has the same file', async () => {
  await Stage.with(async (stage) => {
    const alice = await stage.peer('alice')
    const bob = 'KEY'
    const long = { at: 1, instances: ['0123456789abcdef', '0123456789abcdef'], found: true }
    const short = { at: 2, instances: [] }
    const files = new Set<number>()
    for (const met of [long, short, long, short]) {
      await writeMeeting(alice.home, bob, met)
      assert.equal(await readMeeting(alice.home, bob), met)
      assert.is(readFileSync(alice.at('hello', `${bob}.met`), 'utf8').at(-1), '\n')
      files.add(statSync(alice.at('hello', `${bob}.met`)).ino)
    }
    assert.is(files.size, 1)
    appendFileSync(alice.at('hello', `${bob}.met`), 'the end of a longer one"}\n') // of another process, at the same time
    assert.equal(await readMeeting(alice.home, bob), short)
    await Promise.all(['one', 'two'].map((key) => Promise.all([short, long, short].map((met) => writeMeeting(alice.home, key, met)))))
    for (const key of ['one', 'two']) assert.ok(await readMeeting(alice.home, key))
  })
})

test('what a caller tells: from where it came, a newer token, another home', async () => {
  await withAlice(async (alice, bob) => {
    const { home } = alice
    const link = (ip: string, hello: object, initiator = false): Link =>
      ({ initiator, age: 5000, remote: { ip, port: 4242 }, hello: { seqHeld: 0n, ts: 0n, clock: 0n, ...hello } }) as unknown as Link
    const note = async (made: Link, instance = 'aa'): Promise<Meeting | undefined> => {
      await noted(home, { key: bob.key, name: 'bob' }, made, 10n, { instance, copies: false })
      return readMeeting(home, bob.key)
    }
    for (const ip of ['127.0.0.1', '192.168.7.7', '10.0.0.1', 'fe80::1', '100.64.0.9', '::1']) {
      assert.is((await note(link(ip, {})))?.outside, undefined, ip)
    }
    assert.is((await note(link('203.0.113.9', {}, true)))?.outside, undefined, 'we called')
    assert.is((await note(link('2001:db8::9', {})))?.outside?.address, '[2001:db8::9]:4242')
    assert.is((await note(link('127.0.0.1', {})))?.outside?.address, '[2001:db8::9]:4242', 'kept')
    const now = BigInt(Date.now())
    const ahead = await note(link('127.0.0.1', { ts: (now + 55_000n) * 1000n }))
    assert.ok(Math.abs((ahead?.skew ?? 0) - 60_000) < 3000)
    const behind = await note(link('127.0.0.1', { clock: now - 65_000n }, true))
    assert.ok(Math.abs((behind?.skew ?? 0) + 60_000) < 3000)
    assert.is((await note(link('127.0.0.1', { seqHeld: 10n })))?.newerToken, undefined)
    assert.is((await note(link('127.0.0.1', { seqHeld: 11n })))?.newerToken, '11')
    assert.is((await note(link('127.0.0.1', {}, true)))?.newerToken, '11', 'kept until the own token is newer')
    const greeting = { instance: 'aa', copies: false }
    await noted(home, { key: bob.key, name: 'bob' }, link('127.0.0.1', {}), 12n, greeting)
    assert.is((await readMeeting(home, bob.key))?.newerToken, undefined)
    for (const instance of ['bb', 'bb', 'aa', 'cc', 'dd']) await note(link('127.0.0.1', {}), instance)
    assert.equal((await readMeeting(home, bob.key))?.instances, ['0102030405060708', 'aa', 'bb', 'aa', 'cc', 'dd'])
  })
})

test('a note that is damaged, or cannot be written, hinders nobody', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    for (const text of ['', '{', '[]', 'null', '{"at":1}', '{"at":1,"instances":[],"newerToken":"x"}']) {
      writeFileSync(alice.at('hello', `${bob.key}.met`), text)
      assert.is(await readMeeting(alice.home, bob.key), undefined, text)
    }
    rmSync(alice.at('hello', `${bob.key}.met`))
    mkdirSync(alice.at('hello', `${bob.key}.met`))
    await bob.listen()
    await alice.send('bob', ['-m', 'hi'])
    assert.match((await alice.run('p2p-id', ['doctor'])).out, /no contact was met lately/)
  })
})

test('the start of the listener is the unit only if it is for this home and a manager runs', async () => {
  await Stage.with(async (stage) => {
    const alice = await stage.peer('alice')
    const env = { HOME: stage.dir, XDG_RUNTIME_DIR: stage.dir }
    const unit = join(stage.dir, '.config/systemd/user')
    const ask = (home: Home = alice.home): Promise<string> => startCommand(home, env)
    mkdirSync(unit, { recursive: true })
    writeFileSync(join(unit, 'p2p-listen.service'), `[Service]\n${systemdHome(alice.path)}\n`)
    assert.is(await ask(), 'p2p-listen -q &')
    mkdirSync(join(stage.dir, 'systemd'))
    assert.is(await ask(), SYSTEMD)
    assert.is(await startCommand(alice.home, {}), 'p2p-listen -q &')
    const other = await stage.peer('other')
    assert.is(await ask(other.home), 'p2p-listen -q &')
    rmSync(join(unit, 'p2p-listen.service'))
    mkdirSync(join(stage.dir, '.local/share/systemd/user'), { recursive: true })
    appendFileSync(join(stage.dir, '.local/share/systemd/user/p2p-listen.service'), '[Service]\n')
    assert.is(await ask(), 'p2p-listen -q &')
    const usual = Object.create(alice.home, { source: { value: '$HOME' } }) as Home
    assert.is(await ask(usual), SYSTEMD)
  })
})

test('a bug in a check stays a bug', async () => {
  await withAlice(async (alice) => {
    const files = { ...nodeFiles, statfs: () => Promise.reject(new TypeError('bug')) }
    let thrown: unknown
    await checks(alice, { ...realDoors, files }).catch((error: unknown) => void (thrown = error))
    assert.ok(thrown instanceof TypeError && !(thrown instanceof Failure))
  })
})

test.run()
