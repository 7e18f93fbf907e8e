// Directories: what is packed comes out the same, what cannot be taken along is told; and whatever an archive of somebody
// else says, nothing outside of the new directory is made or changed.

import { chmodSync, existsSync, linkSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, symlinkSync, truncateSync, utimesSync, writeFileSync } from 'node:fs'
import { execFileSync, spawnSync } from 'node:child_process'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { createTarPacker, type TarHeader } from 'modern-tar'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { EX, Failure } from '../lib/base/fail.ts'
import { nodeFiles } from '../lib/disk/files.ts'
import { realDoors } from '../lib/disk/home.ts'
import { treeFiles } from '../lib/disk/tree.ts'
import { unpackTree } from '../lib/disk/unpack.ts'
import { safePath, staysInside } from '../lib/wire/filename.ts'
import { packTar } from '../lib/wire/tar.ts'
import { runCommand, type Ran } from './command.ts'
import { withHome } from './mailbox.ts'
import { records } from './records.ts'

async function withPlace(work: (place: string) => Promise<void>): Promise<void> {
  const place = mkdtempSync(`${tmpdir()}/p2p-tree-`)
  try {
    await work(place)
  } finally {
    rmSync(place, { recursive: true, force: true })
  }
}

/** What is in a directory, one line each: kind, owner's permissions, time, content. */
function listing(directory: string, at = ''): string[] {
  return readdirSync(join(directory, at)).sort().flatMap((name) => {
    const path = join(at, name)
    const stat = lstatSync(join(directory, path))
    if (stat.isDirectory()) return [`${path}/`, ...listing(directory, path)]
    if (stat.isSymbolicLink()) return [`${path} -> ${readlinkSync(join(directory, path))}`]
    const sum = Buffer.from(readFileSync(join(directory, path))).toString('base64').slice(0, 40)
    return [`${path} ${(stat.mode & 0o700).toString(8)} ${Math.floor(stat.mtimeMs / 1000)} ${stat.size} ${sum}`]
  })
}

function makeTree(top: string): void {
  mkdirSync(join(top, 'sub/deeper/empty'), { recursive: true })
  writeFileSync(join(top, '.hidden'), 'h')
  writeFileSync(join(top, 'run.sh'), '#!/bin/sh\n')
  chmodSync(join(top, 'run.sh'), 0o6755)
  writeFileSync(join(top, 'sub', `grüße ${'x'.repeat(150)}: "a" *?`), 'name')
  writeFileSync(join(top, 'sub/large'), Buffer.alloc(3_000_001, 'large'))
  writeFileSync(join(top, 'sub/deeper/none'), '')
  writeFileSync(join(top, 'Twin'), '1')
  writeFileSync(join(top, 'twin'), '2')
  symlinkSync('sub/deeper', join(top, 'down'))
  symlinkSync('../run.sh', join(top, 'sub/up'))
  utimesSync(join(top, 'run.sh'), 1_700_000_000, 1_700_000_000)
}

test('a directory arrives as one archive and comes out of it the same, any number of times', async () => {
  await withHome(async (home) => {
    await withPlace(async (place) => {
      const photos = join(place, 'photos')
      makeTree(photos)
      const run = (command: string, ...args: string[]): Promise<Ran> => runCommand(command, args, { home: home.path, cwd: place })
      const sent = await run('p2p-send', 'me', '-m', 'look', '-a', 'photos/')
      assert.is(sent.code, EX.OK, sent.err)
      const [message] = records((await run('p2p-inbox', 'list')).out)
      const [part] = (message as { parts: { name: string; type: string }[] }).parts
      assert.equal([part?.name, part?.type], ['photos.tar', 'application/x-tar'])
      for (const name of ['photos', 'photos-1']) {
        const saved = await run('p2p-inbox', 'save', '@', '--unpack', '-o', 'out')
        assert.is(saved.code, EX.OK, saved.err)
        assert.is(saved.out, `out/${name}\n`)
        assert.equal(listing(join(place, 'out', name)), listing(photos))
        assert.is(lstatSync(join(place, 'out', name, 'run.sh')).mode & 0o7777, 0o700, 'no setuid, nothing for others')
      }
      assert.equal(readdirSync(join(place, 'out')).sort(), ['photos', 'photos-1'])
      const plain = await run('p2p-inbox', 'save', '@', '-o', 'tar')
      assert.is(plain.out, 'tar/photos.tar\n', 'only on request')
      execFileSync('tar', ['xf', 'photos.tar'], { cwd: join(place, 'tar') })
      assert.equal(listing(join(place, 'tar/photos')), listing(photos), 'GNU tar agrees')
    })
  })
})

test('devices, sockets and the home with its keys stay out, a link to a directory is followed only if it is named', async () => {
  await withHome(async (home) => {
    await withPlace(async (place) => {
      const top = join(place, 'd')
      mkdirSync(top)
      spawnSync('mkfifo', [join(top, 'pipe')])
      writeFileSync(join(top, 'ok'), 'ok')
      symlinkSync(top, join(place, 'link'))
      symlinkSync('/etc', join(top, 'etc'))
      mkdirSync(join(top, 'inner'))
      const inside = join(top, 'inner/home')
      execFileSync('mv', [home.path, inside])
      const sent = await runCommand('p2p-send', ['me', '-a', 'link'], { home: inside, cwd: place })
      execFileSync('mv', [inside, home.path])
      assert.is(sent.code, EX.OK, sent.err)
      assert.match(sent.err, /'link\/pipe' is left out: it is a device, a pipe or a socket/)
      assert.match(sent.err, /'link\/inner\/home' is left out: it is the home of p2p, with its keys/)
      const saved = await runCommand('p2p-inbox', ['save', '@', '--unpack'], { home: home.path, cwd: place })
      assert.is(saved.code, EX.DATA, 'something was left out')
      assert.match(saved.err, /etc is left out: a link to \/etc, which leads out/)
      assert.equal(listing(join(place, 'link-1')).map((line) => line.split(' ')[0]), ['inner/', 'ok'])
    })
  })
})

test('what changes while it is read keeps the archive whole and is told', async () => {
  await withPlace(async (place) => {
    const [short, long, gone, file] = ['a-short', 'b-long', 'c-gone', 'd'].map((name) => join(place, 't', name)) as [string, string, string, string]
    mkdirSync(join(place, 't'))
    for (const path of [short, long, gone, file]) writeFileSync(path, 'x'.repeat(2_000_000))
    const told: string[] = []
    const pieces: Uint8Array[] = []
    const source = async function* () {
      for await (const item of treeFiles(nodeFiles, join(place, 't'), { name: 't', tell: (text) => told.push(text) })) {
        if (item.name === 't/a-short') truncateSync(short, 1_500_000)
        if (item.name === 't/b-long') writeFileSync(long, 'y'.repeat(2_500_000))
        if (item.name === 't/b-long') rmSync(gone)
        yield item
      }
    }
    for await (const piece of await packTar(source())) pieces.push(piece)
    writeFileSync(join(place, 't.tar'), Buffer.concat(pieces))
    assert.is(told.length, 3, told.join('\n'))
    assert.match(told[0] ?? '', /a-short' shrank while it was read: the last 500000 bytes are sent as zeros/)
    assert.match(told[1] ?? '', /b-long' changed while it was read/)
    assert.match(told[2] ?? '', /c-gone' is left out: it vanished/)
    const list = execFileSync('tar', ['tvf', join(place, 't.tar')], { encoding: 'utf8' })
    assert.equal([...list.matchAll(/ (\d+) [-\d]+ [:\d]+ t\/(\S+)/g)].map(([, size, name]) => `${name} ${size}`), ['a-short 2000000', 'b-long 2000000', 'd 2000000'])
  })
})

interface Entry extends Partial<TarHeader> {
  name: string
  bytes?: string
}

/** A tar of whatever entries, honest or not. */
async function* tar(entries: Entry[]): AsyncGenerator<Uint8Array> {
  const { readable, controller } = createTarPacker()
  void (async () => {
    for (const { bytes = '', ...header } of entries) {
      const type = header.type ?? 'file'
      const writer = controller.add({ ...header, type, size: bytes.length }).getWriter()
      if (bytes !== '') await writer.write(Buffer.from(bytes))
      await writer.close().catch(() => undefined)
    }
    controller.finalize()
  })()
  yield* readable
}

interface Unpacked {
  error?: Failure
  told: string[]
  /** What stands in the new directory, and beside it. */
  inside: string[]
  beside: string[]
}

/** Unpacks into PLACE/a/out, where only that directory may change. */
async function unpack(entries: Entry[], source: AsyncIterable<Uint8Array> = tar(entries)): Promise<Unpacked> {
  let result: Unpacked | undefined
  await withPlace(async (place) => {
    const out = join(place, 'a/out')
    mkdirSync(out, { recursive: true })
    writeFileSync(join(place, 'a/treasure'), 'mine')
    writeFileSync(join(out, 'neighbour'), 'mine')
    const told: string[] = []
    let error: Failure | undefined
    let path = ''
    try {
      path = await unpackTree(realDoors, out, 'x.tar', source, (text) => told.push(text))
    } catch (caught) {
      if (!(caught instanceof Failure)) throw caught
      error = caught
    }
    assert.is(readFileSync(join(place, 'a/treasure'), 'utf8'), 'mine')
    assert.is(readFileSync(join(out, 'neighbour'), 'utf8'), 'mine')
    assert.equal(readdirSync(place), ['a'])
    assert.equal(readdirSync(join(place, 'a')).sort(), ['out', 'treasure'])
    const beside = readdirSync(out).filter((name) => name !== 'neighbour')
    result = { told, beside, inside: path === '' ? [] : listing(path), ...(error !== undefined && { error }) }
    if (path !== '') assert.is(path, join(out, 'x'))
  })
  return result as Unpacked
}

test('an archive that wants to leave its directory is refused whole', async () => {
  const good = { name: 'x/good', bytes: 'good' }
  const deep = `${'d/'.repeat(101)}f`
  for (const name of ['../out2', 'x/../../treasure', '/etc/passwd', 'x/..', deep, `x/${'n'.repeat(3001)}`]) {
    const { error, beside } = await unpack([good, { name, bytes: 'bad' }])
    assert.is(error?.exit, EX.DATA, name)
    assert.equal(beside, [], name)
  }
})

test('links that lead out, and to nothing, devices and names that are taken are left out and told, the rest stays', async () => {
  const cases: [string, Entry[]][] = [
    ['absolute', [{ name: 'x/l', type: 'symlink', linkname: '/etc' }]],
    ['above the top', [{ name: 'x/l', type: 'symlink', linkname: '..' }]],
    ['far above', [{ name: 'x/sub/l', type: 'symlink', linkname: '../../treasure' }]],
    ['behind a name', [{ name: 'x/l', type: 'symlink', linkname: 'sub/../../treasure' }]],
    ['empty', [{ name: 'x/l', type: 'symlink', linkname: '' }]],
    ['hard link out', [{ name: 'x/l', type: 'link', linkname: '../treasure' }]],
    ['hard link out, absolute', [{ name: 'x/l', type: 'link', linkname: '/etc/passwd' }]],
    ['hard link to the top', [{ name: 'x/l', type: 'link', linkname: 'x' }]],
    ['hard link to a directory', [{ name: 'x/l', type: 'link', linkname: 'x/sub' }]],
    ['hard link to what comes later', [{ name: 'x/l', type: 'link', linkname: 'x/z' }]],
    ['hard link over a file', [{ name: 'x/good', type: 'link', linkname: 'x/sub/in' }]],
    ['device', [{ name: 'x/l', type: 'character-device' }]],
    ['disk', [{ name: 'x/l', type: 'block-device' }]],
    ['pipe', [{ name: 'x/l', type: 'fifo' }]],
    ['the same name', [{ name: 'x/good', bytes: 'BAD' }]],
    ['a directory over a file', [{ name: 'x/good/', type: 'directory' }]],
    ['a file under a file', [{ name: 'x/good/f', bytes: 'BAD' }]],
    ['a file over a directory', [{ name: 'x/sub', bytes: 'BAD' }]],
    ['a link over a file', [{ name: 'x/good', type: 'symlink', linkname: 'sub' }]],
  ]
  for (const [what, bad] of cases) {
    const { error, told, inside } = await unpack([{ name: 'x/sub/in', bytes: 'in' }, { name: 'x/good', bytes: 'good' }, ...bad, { name: 'x/z', bytes: 'z' }])
    assert.is(error, undefined, what)
    assert.is(told.length, 1, `${what}: ${told.join()}`)
    assert.equal(inside.map((line) => line.split(' ')[0]), ['good', 'sub/', 'sub/in', 'z'], what)
    assert.match(inside[0] ?? '', / 4 Z29vZA==$/, what)
  }
})

test('a second name of a file is one, unless a link leads to it', async () => {
  await withPlace(async (place) => {
    mkdirSync(join(place, 'd/sub'), { recursive: true })
    writeFileSync(join(place, 'd/a'), 'twice')
    linkSync(join(place, 'd/a'), join(place, 'd/sub/b'))
    execFileSync('tar', ['cf', 'd.tar', 'd'], { cwd: place })
    const made = async function* () {
      yield readFileSync(join(place, 'd.tar'))
    }
    const told: string[] = []
    const path = await unpackTree(realDoors, place, 'd.tar', made(), (text) => told.push(text))
    assert.equal([path, told], [join(place, 'd-1'), []])
    assert.is(readFileSync(join(path, 'sub/b'), 'utf8'), 'twice')
    assert.equal([lstatSync(join(path, 'a')).ino, lstatSync(join(path, 'a')).nlink], [lstatSync(join(path, 'sub/b')).ino, 2])
  })
  const { inside, told } = await unpack([
    { name: 'x/sub/in', bytes: 'in' },
    { name: 'x/way', type: 'symlink', linkname: 'sub' },
    { name: 'x/to', type: 'symlink', linkname: 'sub/in' },
    { name: 'x/one', type: 'link', linkname: 'x/way/in' },
    { name: 'x/two', type: 'link', linkname: 'x/to' },
  ])
  assert.equal([inside.map((line) => line.split(' ')[0]), told.length], [['sub/', 'sub/in', 'to', 'way'], 2])
})

test('nothing goes through a link, not even one that leads to a directory inside', async () => {
  const chain: Entry[] = [
    { name: 'x/sub/', type: 'directory' },
    { name: 'x/dot', type: 'symlink', linkname: '.' },
    { name: 'x/l', type: 'symlink', linkname: 'dot/..' }, // by way of dot it would be the directory above
    { name: 'x/in', type: 'symlink', linkname: 'sub' },
    { name: 'x/in/f', bytes: 'through' },
    { name: 'x/in', bytes: 'over' },
    { name: 'x/dangling', type: 'symlink', linkname: 'new' },
    { name: 'x/dangling', bytes: 'over' },
  ]
  const { inside, told } = await unpack(chain)
  assert.equal(inside, ['dangling -> new', 'dot -> .', 'in -> sub', 'sub/'])
  assert.is(told.length, 4)
})

test('names that hide or reorder text lose it, permissions are the own', async () => {
  const { inside, told } = await unpack([
    { name: 'x/a\u001b[31m\u202eb\n', bytes: '1', mode: 0o6777 },
    { name: 'x/.hidden', bytes: '2', mode: 0o000 },
    { name: 'no top/f', bytes: '3', mode: 0o644 },
    { name: './x/./dotted', bytes: '4', mode: 0o755 },
  ])
  assert.equal(told, [])
  assert.equal(inside.map((line) => line.replace(/ [^ ]*( [^ ]*){2}$/, '')), ['.hidden 600', 'a_[31m_b_ 700', 'dotted 700', 'no top/', 'no top/f 600'])
})

test('what is no archive, or is cut off, leaves nothing; a header of 8 GiB is not gathered in memory', async () => {
  const whole: Uint8Array[] = []
  for await (const piece of tar([{ name: 'x/a', bytes: 'a' }, { name: 'x/b', bytes: 'b'.repeat(5000) }])) whole.push(piece)
  const bytes = Buffer.concat(whole)
  const one = async function* (piece: Uint8Array) {
    yield piece
  }
  for (const cut of [bytes.subarray(0, 700), bytes.subarray(0, 3000), Buffer.from('no tar'.repeat(500))]) {
    const { error, beside } = await unpack([], one(cut))
    assert.is(error?.exit, EX.DATA)
    assert.equal(beside, [])
  }
  const header = Buffer.from(bytes.subarray(0, 512))
  header[156] = 'x'.charCodeAt(0)
  header.write('77777777777\0', 124)
  header.write('        ', 148)
  header.write(`${[...header].reduce((sum, byte) => sum + byte, 0).toString(8).padStart(6, '0')}\0 `, 148)
  let given = 0
  const bomb = async function* () {
    yield header
    for (; given < 64; given++) yield new Uint8Array(1 << 20)
  }
  const { error } = await unpack([], bomb())
  assert.match(error?.message ?? 'no error', /metadata/)
  assert.ok(given < 10, `${given} MiB were taken in`)
})

test('a path or link is judged by its letters alone', () => {
  for (const [path, names] of [['a/b', ['a', 'b']], ['./a//b/', ['a', 'b']], ['..a/b..', ['..a', 'b..']], ['', []]] as const) assert.equal(safePath(path), names)
  for (const path of ['/a', 'a/..', '..', 'a\0b', 'a/../b']) assert.is(safePath(path), undefined, path)
  for (const [target, depth, inside] of [
    ['a', 0, true], ['../a', 1, true], ['../../a', 1, false], ['..', 0, false], ['a/..', 5, false], ['/a', 5, false], ['', 0, false], ['./a', 0, true], ['...', 0, true],
  ] as const) assert.is(staysInside(target, depth), inside, target)
})

test('a directory of a path that is none, or may not be read, is an input that cannot be read', async () => {
  await withHome(async (home) => {
    await withPlace(async (place) => {
      assert.is((await runCommand('p2p-send', ['me', '-a', join(place, 'none')], { home: home.path })).code, EX.NO_INPUT)
      mkdirSync(join(place, 'limit'))
      writeFileSync(join(place, 'limit/f'), Buffer.alloc(200_000))
      const limited = await runCommand('p2p-send', ['me', '-a', 'limit'], { home: home.path, cwd: place, env: { P2P_HOME: home.path } })
      assert.is(limited.code, EX.OK)
      writeFileSync(home.at('config.toml'), '[limits]\nmessage = "100k"\n')
      const over = await runCommand('p2p-send', ['me', '-a', 'limit'], { home: home.path, cwd: place })
      assert.is(over.code, EX.DATA)
      assert.match(over.err, /body of \d+ bytes or more, at most 102400 are allowed/)
      assert.equal(existsSync(home.at('queue/stage')) ? readdirSync(home.at('queue/stage')) : [], [])
    })
  })
})

test.run()
