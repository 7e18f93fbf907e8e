// Archives of a home, through the library: what goes in comes out; whatever is wrong with an archive is told and leaves
// nothing; a process killed at every step of an import, an export or a move leaves a whole home or none, a whole archive
// or none; what changes meanwhile is not lost.

import { existsSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { mkdir, mkdtemp, rename, rm, symlink, utimes } from 'node:fs/promises'
import { tmpdir } from 'node:os'

import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { hex, utf8 } from '../lib/base/bytes.ts'
import { Failure } from '../lib/base/fail.ts'
import { base58 } from '../lib/base/key.ts'
import { encryptStream } from '../lib/crypto/agefile.ts'
import { nodeSuite } from '../lib/crypto/suite-node.ts'
import { accept } from '../lib/disk/accept.ts'
import { exportFile, moveHome, unretire } from '../lib/disk/archive.ts'
import { placeOf } from '../lib/disk/archivename.ts'
import { importHome } from '../lib/disk/archiveread.ts'
import { type Contents, homeFiles } from '../lib/disk/archivewrite.ts'
import { nextHelloTime } from '../lib/disk/hellos.ts'
import { type Doors, type Home, openHome, realDoors, writeHomeFile } from '../lib/disk/home.ts'
import { loadSelf } from '../lib/disk/self.ts'
import { tryLock } from '../lib/disk/lock.ts'
import { mailName } from '../lib/disk/maildir.ts'
import * as queue from '../lib/disk/queue.ts'
import * as queueread from '../lib/disk/queueread.ts'
import { sweep } from '../lib/disk/sweep.ts'
import { readSeen } from '../lib/disk/seenlog.ts'
import { discard, stageBody } from '../lib/disk/staging.ts'
import { packTar, type TarFile, unpackTar } from '../lib/wire/tar.ts'
import { BOB, deliver, EVE, logSeen, withHome } from './mailbox.ts'
import { mortal } from './mortal.ts'

const LOG_N = 2
const PASSPHRASE = utf8('sesame')
const ALL = { queue: true, mail: true }
const NOW = 1_795_000_000_000
const STILL = new AbortController().signal
const ask = (): Promise<Uint8Array> => Promise.resolve(utf8('sesame'))
const options = (scope = ALL) => ({ hash: nodeSuite, scope, passphrase: PASSPHRASE, signal: STILL, logN: LOG_N })

async function withPlace(work: (place: string) => Promise<void>): Promise<void> {
  const place = await mkdtemp(`${tmpdir()}/p2p-archive-`)
  try {
    await work(place)
  } finally {
    await rm(place, { recursive: true })
  }
}

async function* list<T>(items: T[]): AsyncGenerator<T> {
  yield* items
}

async function bytesOf(source: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const held: Uint8Array[] = []
  for await (const piece of source) held.push(piece)
  return new Uint8Array(Buffer.concat(held))
}

interface Entry {
  name: string
  bytes: Uint8Array
  mtimeMs: number
}

/** Everything that an archive of this home would hold, in order. */
async function entriesOf(home: Home, scope = ALL, contents: Contents = { contacts: 0, waiting: 0, mails: 0 }): Promise<Entry[]> {
  const found: Entry[] = []
  for await (const { name, size, mtimeMs, content } of homeFiles(home, nodeSuite, scope, contents)) {
    const bytes = await bytesOf(content)
    assert.is(bytes.length, size, name)
    found.push({ name, bytes, mtimeMs })
  }
  return found
}

const tarOf = (entries: Entry[]): Promise<AsyncIterable<Uint8Array>> =>
  packTar(list(entries.map(({ name, bytes, mtimeMs }): TarFile => ({ name, size: bytes.length, mtimeMs, content: list([bytes]) }))))

const sealed = async (entries: Entry[]): Promise<Uint8Array> =>
  bytesOf(encryptStream(await tarOf(entries), PASSPHRASE, LOG_N))

async function* cut(bytes: Uint8Array, step = 100_000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += step) yield bytes.subarray(at, at + step)
}

function take(path: string, archive: Uint8Array, doors: Doors = realDoors): Promise<{ home: Home } & Contents> {
  return importHome({ path, source: 'test' }, cut(archive), ask, nodeSuite, doors)
}

async function refusal(run: Promise<unknown>): Promise<Failure> {
  const error = await run.then(
    () => new Error('no failure'),
    (thrown: unknown) => thrown,
  )
  if (error instanceof Failure) return error
  throw error
}

const party = (other: typeof BOB) => ({ ...other, identity: new Uint8Array(32).fill(other === BOB ? 2 : 3) })

async function put(home: Home, size: number, to = BOB): Promise<string> {
  const self = await loadSelf(home)
  const staged = await stageBody(home, nodeSuite, [{ type: 'application/octet-stream', content: new Uint8Array(size).fill(size) }])
  const { id } = await accept(home, nodeSuite, self, { to: party(to), staged, header: {}, opts: { tag: `t${size}` } })
  await discard(home, staged)
  return id
}

/** Some of everything. */
async function furnish(home: Home): Promise<{ mail: string[]; waiting: string[] }> {
  const waiting = [await put(home, 10), await put(home, 70_000), await put(home, 11_000_000, EVE), await put(home, 20)]
  const queued = await queueread.list(home, BOB.key)
  await queue.hold(home, queued[0] as queueread.Page & (typeof queued)[0])
  await queue.fail(home, (await queueread.list(home, BOB.key)).at(-1) as (typeof queued)[0], 'expired')
  const mail: string[] = []
  for (let n = 0; n < 3; n++) mail.push((await deliver(home, { text: `mail ${n}\n`, received: BigInt(NOW + n) * 1000n })).id)
  await rename(home.at('inbox', 'new', mailName(BigInt(NOW) * 1000n, mail[0] ?? '')), home.at('inbox', 'cur', `${mailName(BigInt(NOW) * 1000n, mail[0] ?? '')}:2,RS`))
  writeFileSync(home.at('inbox', 'cur', '1700000000.M1P2.host:2,S'), 'From: x\n\nforeign\n')
  writeFileSync(home.at('inbox', 'cur', `1700000001.${'long'.repeat(50)}:2,S`), 'From: x\n\nlong\n')
  writeFileSync(home.at('hooks', 'pending', mailName(BigInt(NOW) * 1000n, mail[1] ?? '')), 'pending\n')
  writeFileSync(home.at('config.toml'), 'wait = "1s"\n', { mode: 0o600 })
  writeFileSync(home.at('hello', BOB.key), '\n0011223344556677 1795000000000000')
  writeFileSync(home.at('hello', `${BOB.key}.met`), '{}')
  writeFileSync(home.at('contacts', `${BOB.key}.revoked`), 'p2p1\n')
  writeFileSync(home.at('transport.old.key'), readFileSync(home.at('transport.key')), { mode: 0o600 })
  await utimes(home.at('transport.old.key'), 1_790_000_000, 1_790_000_000)
  await nextHelloTime(home)
  return { mail, waiting }
}

/** Content of every file of a home by name, without what an archive leaves out. */
function filesOf(home: Home): Map<string, string> {
  const found = new Map<string, string>()
  for (const name of readdirSync(home.path, { recursive: true, encoding: 'utf8' }).sort()) {
    const stat = statSync(home.at(name))
    if (!stat.isFile() || /^(?:lock|part|seen\.index|queue\/stage)\/|\.met$/.test(name)) continue
    found.set(name, `${readFileSync(home.at(name), 'latin1')} ${Math.floor(stat.mtimeMs / 1000)}`)
  }
  return found
}

test('what goes in comes out: every file, its time, private, with a new instance and the same port', async () => {
  await withHome(async (home, self) => {
    const { mail, waiting } = await furnish(home)
    const contents = { contacts: 0, waiting: 0, mails: 0 }
    const entries = await entriesOf(home, ALL, contents)
    assert.equal(contents, { contacts: 0, waiting: 4, mails: 5 + waiting.length })
    assert.is(entries[0]?.name, 'home.json')
    const taken = await take(`${home.path}2`, await sealed(entries))
    const { home: copy } = taken
    const [before, after] = [filesOf(home), filesOf(copy)]
    assert.is.not(before.get('home.json'), after.get('home.json'))
    for (const files of [before, after]) files.delete('home.json')
    assert.equal([...after.keys()], [...before.keys()])
    for (const [name, content] of before) {
      assert.ok(after.get(name) === content, name)
      assert.is(statSync(copy.at(name)).mode & 0o777, 0o600, name)
    }
    assert.is(copy.port, home.port)
    assert.is.not(hex(copy.instance), hex(home.instance))
    assert.is((await loadSelf(copy)).key, self.key)
    assert.is(statSync(copy.path).mode & 0o777, 0o700)
    assert.equal([taken.waiting, taken.mails], [contents.waiting, contents.mails])
    assert.ok((await nextHelloTime(copy)) > BigInt(readFileSync(home.at('hello', 'last'), 'utf8').trim()))
    const seen: string[] = []
    for await (const { id } of readSeen(copy, 0)) seen.push(id)
    assert.equal(seen, mail)
    assert.equal(readdirSync(copy.at('lock')), [])
    await sweep(copy)
    assert.equal((await queueread.list(copy, BOB.key, 'hold')).length, 1)
    assert.is((await queueread.list(copy, BOB.key, 'failed'))[0]?.opts.reason, 'expired')
    assert.is((await queueread.list(copy, BOB.key, 'new'))[0]?.opts.tag, 't70000')
  })
})

test('without --queue and --all there is what an identity needs, and creation times and hellos go on', async () => {
  await withHome(async (home) => {
    await furnish(home)
    const names = (await entriesOf(home, { queue: false, mail: false })).map(({ name }) => name.replace(/\/\d+$/, '/US'))
    assert.equal(names, [
      'home.json',
      'identity.key',
      'transport.key',
      'token',
      'transport.old.key',
      'config.toml',
      `contacts/${BOB.key}.revoked`,
      ...names.slice(7, 9),
      'queue/clock/US',
      'seen',
    ])
    assert.equal(names.slice(7, 9).sort(), [`hello/${BOB.key}`, 'hello/last'])
    const waits = (await entriesOf(home, { queue: true, mail: false })).map(({ name }) => name)
    assert.ok(waits.some((name) => name.includes('/body/')) && !waits.some((name) => /^(?:inbox|sent|files|hooks)/.test(name)))
  })
})

test('an identity that a crash has left under the other name gets the right one', async () => {
  await withHome(async (home) => {
    await rename(home.at('identity.key'), home.at('identity.age'))
    assert.ok((await entriesOf(home)).some(({ name }) => name === 'identity.key'))
  })
})

/** Entries of a small whole home, to be spoilt. */
async function good(home: Home): Promise<Entry[]> {
  return entriesOf(home, { queue: false, mail: false })
}

const entry = (name: string, text = ''): Entry => ({ name, bytes: utf8(text), mtimeMs: NOW })

test('what is not a whole archive of a home is 65 and leaves nothing, beside it neither', async () => {
  await withHome(async (home, self) => {
    const base = await good(home)
    const without = (...names: string[]): Entry[] => base.filter(({ name }) => !names.includes(name))
    const other = base58(new Uint8Array(32).fill(9))
    const evil = ['../x', '/etc/x', 'a/../../x', 'contacts/../../x.json', 'lock/x', 'part/x', '.ssh/config', 'home.json/x',
      'inbox/cur/..', 'inbox/new/a/b', 'inbox/tmp/x', 'contacts/x.json', 'queue/x/new/1.2', 'listen.sock', 'seen.index/0-1.run', 'identity.key.tmp.aa', '']
    const bad: [string, Entry[]][] = [
      ['nothing in it', []],
      ['home.json is not the first', [...base.slice(1), ...base.slice(0, 1)]],
      ['a home.json of another kind', [entry('home.json', '{}'), ...base.slice(1)]],
      ['something else', [entry('README', 'hello')]],
      ['no token', without('token')],
      ['no transport key', without('transport.key')],
      ['no identity', without('identity.key')],
      ['two identities', [...base, entry('identity.age', 'age-encryption.org/v1\n')]],
      ['a damaged identity', [...without('identity.key'), entry('identity.key', 'x')]],
      ['a damaged token', [...without('token'), entry('token', 'p2p1x\n')]],
      ['home.json twice', [...base, base[0] as Entry]],
      ['a file twice', [...base, entry(`contacts/${other}.json`, '{}'), entry(`contacts/${other}.json`, '{}')]],
      ['a clock with content', [...base, entry('queue/clock/99', 'x')]],
      ['a contact that is too large', [...base, entry(`contacts/${other}.json`, 'x'.repeat(70_000))]],
      ...evil.map((name): [string, Entry[]] => [`a name '${name}'`, [...base, entry(name, 'evil')]]),
    ]
    const root = home.path.slice(0, home.path.lastIndexOf('/'))
    for (const [what, entries] of bad) {
      const failure = await refusal(take(`${root}/new`, await sealed(entries)))
      assert.is(failure.exit, 65, `${what}: ${failure.message}`)
      assert.not.match(failure.message, /new\.import/, what)
      assert.equal(readdirSync(root), ['home'], what)
    }
    for (const name of evil) assert.is(placeOf(name), undefined, name)
    assert.ok(self.key.length > 0)
  })
})

test('links, directories and devices are refused, however they are called', async () => {
  await withHome(async (home) => {
    const { createTarPacker } = await import('modern-tar')
    const base = await good(home)
    for (const type of ['symlink', 'link', 'directory', 'fifo', 'character-device'] as const) {
      const { readable, controller } = createTarPacker()
      const all = async (): Promise<void> => {
        for (const { name, bytes } of base) {
          const writer = controller.add({ name, size: bytes.length, type: 'file' }).getWriter()
          await writer.write(bytes)
          await writer.close()
        }
        await controller.add({ name: 'config.toml', size: 0, type, linkname: '/etc/passwd' }).close()
        controller.finalize()
      }
      void all()
      const archive = await bytesOf(encryptStream(readable, PASSPHRASE, LOG_N))
      const failure = await refusal(take(`${home.path}2`, archive))
      assert.is(failure.exit, 65)
      assert.match(failure.message, "'config.toml' in it is no plain file")
      assert.not.ok(existsSync(`${home.path}2`))
    }
  })
})

test('identities and tokens that do not belong together are 65, an archive of a newer version is 78', async () => {
  await withHome(async (home) => {
    await withHome(async (other) => {
      const [mine, theirs] = [await good(home), await good(other)]
      for (const name of ['identity.key', 'transport.key', 'token']) {
        const mixed = [...mine.filter((one) => one.name !== name), ...theirs.filter((one) => one.name === name)]
        const failure = await refusal(take(`${home.path}2`, await sealed(mixed)))
        assert.is(failure.exit, 65, `${name}: ${failure.message}`)
      }
      const newer = utf8(JSON.stringify({ v: 99, instance: '0011223344556677', port: 4000 }))
      const failure = await refusal(take(`${home.path}2`, await sealed([{ ...(mine[0] as Entry), bytes: newer }, ...mine.slice(1)])))
      assert.is(failure.exit, 78)
      assert.match(failure.message, 'newer version')
      assert.equal(readdirSync(home.path.slice(0, -5)), ['home'])
    })
  })
})

test('cut anywhere, or with any bit flipped, an archive gives nothing; with another passphrase it is 77', async () => {
  await withHome(async (home) => {
    await deliver(home, { text: 'x'.repeat(150_000), received: BigInt(NOW) * 1000n })
    const archive = await sealed(await entriesOf(home))
    const root = home.path.slice(0, home.path.lastIndexOf('/'))
    const header = Buffer.from(archive).indexOf('\n---') + 49
    const spoil = async (at: number): Promise<void> => {
      const short = await refusal(take(`${root}/new`, archive.subarray(0, at)))
      assert.is(short.exit, 65, `cut at ${at}: ${short.message}`)
      const changed = archive.slice()
      changed[at] = (changed[at] ?? 0) ^ (1 << (at % 8))
      const flipped = await refusal(take(`${root}/new`, changed))
      assert.ok([65, 77].includes(flipped.exit), `flipped at ${at}: ${flipped.message}`)
      if (at >= header) assert.is(flipped.exit, 65)
      assert.equal(readdirSync(root), ['home'])
    }
    for (const at of [0, 5, 22, 30, 60, header - 5, header, header + 16, header + 16 + 65_552, archive.length - 1]) await spoil(at)
    await fc.assert(fc.asyncProperty(fc.nat(archive.length - 1), spoil), { numRuns: 15 })
    const wrong = importHome({ path: `${root}/new`, source: 'test' }, cut(archive), async () => utf8('x'), nodeSuite, realDoors)
    assert.is((await refusal(wrong)).exit, 77)
    assert.equal(readdirSync(root), ['home'])
  })
})

test('an import goes where nothing is or an empty folder, through a link too, and nowhere else', async () => {
  await withHome(async (home) => {
    const archive = await sealed(await good(home))
    await withPlace(async (place) => {
      await mkdir(`${place}/empty`)
      await take(`${place}/empty`, archive)
      await mkdir(`${place}/disk`)
      await symlink('disk/home', `${place}/link`)
      await take(`${place}/link`, archive)
      assert.ok(existsSync(`${place}/disk/home/home.json`))
      await take(`${place}/deep/er/home`, archive)
      assert.is((await refusal(take(`${place}/empty`, archive))).exit, 73)
      await mkdir(`${place}/full`)
      writeFileSync(`${place}/full/note`, '')
      const full = await refusal(take(`${place}/full`, archive))
      assert.equal([full.exit, full.hint], [73, `mv ${place}/full ${place}/full.old`])
      writeFileSync(`${place}/file`, '')
      assert.is((await refusal(take(`${place}/file`, archive))).exit, 73)
      await symlink('round', `${place}/round`)
      assert.is((await refusal(take(`${place}/round`, archive))).exit, 73)
      assert.equal(readdirSync(place).filter((name) => name.includes('.import.')), [])
    })
  })
})

test('an import killed at any step leaves no home or a whole one, and the next one succeeds and cleans up', async () => {
  await withHome(async (home) => {
    await put(home, 70_000)
    await deliver(home, { text: 'hello\n', received: BigInt(NOW) * 1000n })
    const archive = await sealed(await entriesOf(home))
    let points = 0
    let whole = 0
    await withPlace(async (place) => {
      for (let at = 0; ; at += at < 40 ? 3 : 2) {
        const path = `${place}/${at}/home`
        const grim = mortal(at)
        await take(path, archive, { ...realDoors, files: grim.files }).catch(() => undefined)
        await grim.idle()
        const opened = await openHome({ flag: path, env: {} }).catch((error: unknown) => error as Failure)
        if (opened instanceof Failure) {
          assert.is(opened.exit, 78, `step ${at}: ${opened.message}`)
          assert.not.ok(existsSync(`${path}/identity.key`), `step ${at}`)
          // As if the process were dead: its note says which one it was, and this one lives.
          for (const name of existsSync(`${place}/${at}`) ? readdirSync(`${place}/${at}`) : []) {
            const note = `${place}/${at}/${name}/lock/import.owner`
            if (!existsSync(note)) continue
            const told = readFileSync(note, 'utf8')
            if (told.endsWith('}')) writeFileSync(note, told.replace(/"start":"\d+"/, '"start":"1"'))
            else utimesSync(note, 0, 0) // killed while it wrote the note: that is known by its age alone
          }
          await take(path, archive)
        } else whole++
        const { home: copy } = { home: await openHome({ flag: path, env: {} }) }
        assert.is((await loadSelf(copy)).key, (await loadSelf(home)).key)
        assert.is(filesOf(copy).size, filesOf(home).size, `step ${at}`)
        const left = readdirSync(`${place}/${at}`).filter((name) => name !== 'home')
        for (const name of left) assert.not.ok(existsSync(`${place}/${at}/${name}/lock/import.owner`), `step ${at}: ${name}`)
        for (const name of left) assert.not.ok(existsSync(`${place}/${at}/${name}/identity.key`), `step ${at}: ${name}`)
        if (!grim.dead) break
        points++
      }
    })
    console.log(`# killed at ${points} steps, ${whole} of them left the home`)
    assert.ok(points > 30 && whole > 1 && whole < 6)
  })
})

test('an export killed at any step leaves the archive whole or not at all', async () => {
  await withHome(async (home) => {
    await withPlace(async (place) => {
      let points = 0
      for (let at = 0; ; at++) {
        const path = `${place}/${at}.age`
        const grim = mortal(at)
        const doomed = await openHome({ flag: home.path, env: {} }, { ...realDoors, files: grim.files })
        const scope = { queue: false, mail: false }
        const done = await exportFile(doomed, path, options(scope)).catch(() => undefined)
        if (existsSync(path)) assert.ok((await take(`${place}/${at}`, readFileSync(path))).contacts === 0)
        else assert.is(done, undefined)
        if (!grim.dead) break
        points++
      }
      console.log(`# killed at ${points} steps`)
      assert.ok(points >= 4)
    })
  })
})

test('a move killed at any step: a retired home has its archive', async () => {
  await withHome(async (home) => {
    await withPlace(async (place) => {
      for (let at = 0; ; at++) {
        const path = `${place}/${at}.age`
        const grim = mortal(at)
        const doomed = await openHome({ flag: home.path, env: {} }, { ...realDoors, files: grim.files })
        await moveHome(doomed, path, options()).catch(() => undefined)
        const opened = await openHome({ flag: home.path, env: {} }).catch((error: unknown) => error as Failure)
        if (opened instanceof Failure) {
          assert.match(opened.message, 'was moved')
          assert.equal([opened.exit, opened.hint], [78, 'p2p-id unretire'])
          assert.ok(existsSync(path), `step ${at}`)
          assert.ok(await unretire(home))
        }
        assert.not.ok(await unretire(home))
        if (!grim.dead) return assert.ok(at > 6, `${at}`)
      }
    })
  })
})

test('whatever comes in between stops a move, and the home is as before', async () => {
  const changes: [string, (home: Home) => Promise<unknown>][] = [
    ['a message accepted', (home) => put(home, 5)],
    ['a message received', (home) => logSeen(home, BigInt(NOW), BOB.key, 'ab'.repeat(32))],
    ['a message dropped', async (home) => queue.drop(home, (await queueread.list(home, EVE.key)).slice(0, 1))],
    ['a contact', async (home) => writeFileSync(home.at('contacts', `${EVE.key}.json`), '{}')],
  ]
  for (const [what, change] of changes) {
    await withHome(async (home) => {
      await put(home, 7, EVE)
      const path = `${home.path}.age`
      const files = {
        ...realDoors.files,
        async link(from: string, to: string) {
          await realDoors.files.link(from, to)
          if (to === path) await change(home)
        },
      }
      const watched = await openHome({ flag: home.path, env: {} }, { ...realDoors, files })
      const failure = await refusal(moveHome(watched, path, options()))
      assert.is(failure.exit, 75, what)
      assert.not.ok(existsSync(path), what)
      await openHome({ flag: home.path, env: {} })
      const { mails } = await moveHome(home, path, options())
      assert.ok(mails > 0)
    })
  }
})

test('a move waits for nobody: a listener, a flush and a command that talks stop it; a message that waits, too', async () => {
  await withHome(async (home) => {
    const path = `${home.path}.age`
    for (const name of ['listener', 'flush', 'receiver.0011223344556677']) {
      const held = await tryLock(home, name)
      const failure = await refusal(moveHome(home, path, options()))
      assert.is(failure.exit, 75, name)
      if (name === 'listener') assert.is(failure.hint, `kill ${process.pid}`)
      await held?.release()
    }
    await put(home, 5)
    const behind = await refusal(moveHome(home, path, options({ queue: false, mail: false })))
    assert.is(behind.exit, 1)
    assert.match(behind.message, '1 message waits here')
    assert.not.ok(existsSync(path))
  })
})

test('a process that had the home open accepts nothing more once it is moved', async () => {
  await withHome(async (home) => {
    await put(home, 5)
    await writeHomeFile(home, NOW)
    assert.is((await refusal(put(home, 70_000))).exit, 78)
    assert.is(await queueread.count(home, BOB.key), 1)
    assert.is(readdirSync(home.at('sent', 'cur')).length, 1)
    assert.equal(readdirSync(home.at('queue', BOB.key, 'body')), [])
  })
})

test('mail that is in the log but not yet in the inbox is waited for, or placed if its receiver is dead', async () => {
  await withHome(async (home) => {
    const id = 'cd'.repeat(32)
    const commit = async (): Promise<string> => {
      const tag = await logSeen(home, BigInt(NOW) * 1000n, BOB.key, id)
      await mkdir(home.at('part', BOB.key), { recursive: true })
      writeFileSync(home.at('part', BOB.key, `${id}.${tag}`), 'From: x\n\ncommitted\n')
      return tag
    }
    await commit()
    const names = (await entriesOf(home)).map(({ name }) => name)
    assert.ok(names.includes(`inbox/new/${mailName(BigInt(NOW) * 1000n, id)}`), names.join(' '))
  })
  await withHome(async (home) => {
    const id = 'ef'.repeat(32)
    const tag = await logSeen(home, BigInt(NOW) * 1000n, BOB.key, id)
    const living = await tryLock(home, `receiver.${tag}`)
    await mkdir(home.at('part', BOB.key), { recursive: true })
    const part = home.at('part', BOB.key, `${id}.${tag}`)
    writeFileSync(part, 'From: x\n\ncommitted\n')
    const name = mailName(BigInt(NOW) * 1000n, id)
    setTimeout(() => void rename(part, home.at('inbox', 'new', name)), 300)
    const names = (await entriesOf(home)).map((one) => one.name)
    assert.ok(names.includes(`inbox/new/${name}`))
    await living?.release()
  })
})

test('what moves or goes while it is copied is taken once, whole, or was settled', async () => {
  await withHome(async (home) => {
    for (let n = 0; n < 20; n++) await put(home, n % 2 === 0 ? 100 + n : 70_000 + n)
    for (let n = 0; n < 20; n++) await deliver(home, { text: `${n}\n`, received: BigInt(NOW + n) * 1000n })
    const found: Entry[] = []
    let round = 0
    for await (const { name, content } of homeFiles(home, nodeSuite, ALL, { contacts: 0, waiting: 0, mails: 0 })) {
      found.push({ name, bytes: await bytesOf(content), mtimeMs: 0 })
      round++
      const waiting = await queueread.list(home, BOB.key)
      const held = await queueread.list(home, BOB.key, 'hold')
      if (round % 3 === 0 && waiting.length > 0) await queue.hold(home, waiting.at(-1) as (typeof waiting)[0])
      if (round % 3 === 1 && held.length > 0) await queue.release(home, held[0] as (typeof held)[0])
      if (round % 8 === 2 && waiting.length > 3) await queue.settle(home, waiting.slice(-2, -1))
      const [fresh] = readdirSync(home.at('inbox', 'new')).slice(-1)
      if (fresh !== undefined) await rename(home.at('inbox', 'new', fresh), home.at('inbox', 'cur', `${fresh}:2,S`))
    }
    const names = found.map(({ name }) => name)
    assert.is(new Set(names).size, names.length)
    const heads = names.filter((name) => /\/(?:new|hold|failed)\/\d+\.[0-9a-f]{64}$/.test(name))
    const ids = heads.map((name) => name.slice(-64))
    assert.is(new Set(ids).size, ids.length)
    for (const state of ['new', 'hold'] as const) {
      for (const { id } of await queueread.list(home, BOB.key, state)) assert.ok(ids.includes(id), `${id} is missing`)
    }
    for (const name of names.filter((one) => one.includes('/body/'))) assert.ok(ids.includes(name.split('/')[3] ?? ''), name)
    assert.is(names.filter((name) => name.startsWith('inbox/')).length, 20)
    await withPlace(async (place) => {
      const { home: copy } = await take(`${place}/h`, await sealed(found))
      for (const state of ['new', 'hold'] as const) {
        for (const queued of await queueread.list(copy, BOB.key, state)) assert.ok(queued.size > 100, queued.id)
      }
    })
  })
})

test('a message that moves to a folder that was listed already is found all the same', async () => {
  await withHome(async (home) => {
    await put(home, 5)
    const [queued] = await queueread.list(home, BOB.key)
    if (queued === undefined) throw new Error('nothing waits')
    await queue.hold(home, queued)
    let listed = false
    const files = {
      ...realDoors.files,
      async list(path: string) {
        if (path.endsWith('/hold') && !listed) {
          listed = true
          await queue.release(home, { ...queued, state: 'hold' })
        }
        return realDoors.files.list(path)
      },
    }
    const watched = await openHome({ flag: home.path, env: {} }, { ...realDoors, files })
    const names = (await entriesOf(watched)).map(({ name }) => name)
    assert.ok(names.includes(`queue/${BOB.key}/new/${queued.file}`), names.join(' '))
    assert.ok(listed)
  })
})

test('a tar of the archive lists as a home', async () => {
  await withHome(async (home) => {
    const names: string[] = []
    for await (const { name } of unpackTar(await tarOf(await entriesOf(home)))) names.push(name)
    assert.equal(names.slice(0, 4), ['home.json', 'identity.key', 'transport.key', 'token'])
  })
})

test.run()
