// Archives: GNU tar and Python unpack what we pack and we read what they pack, names of any length included; what is no
// archive, cut off or damaged is told; an error of the source comes as it is and nobody is left waiting.

import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { concat, utf8 } from '../lib/base/bytes.ts'
import { Failure, Malformed } from '../lib/base/fail.ts'
import { packTar, type TarFile, type TarItem, unpackTar } from '../lib/wire/tar.ts'
import { skipped } from './vectors.ts'

async function* pieces(bytes: Uint8Array, step: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += step) yield bytes.subarray(at, at + step)
}

const file = (name: string, bytes: Uint8Array, step = 1000): TarFile => ({
  name,
  size: bytes.length,
  mtimeMs: 1_790_000_000_000,
  content: pieces(bytes, step),
})

async function* list<T>(items: T[]): AsyncGenerator<T> {
  yield* items
}

async function all(source: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const held: Uint8Array[] = []
  for await (const piece of source) held.push(piece)
  return concat(...held)
}

async function entries(bytes: Uint8Array, step = 1 << 20): Promise<[string, string, number, string][]> {
  return entriesOf(unpackTar(pieces(bytes, step)))
}

async function entriesOf(items: AsyncIterable<TarItem>): Promise<[string, string, number, string][]> {
  const found: [string, string, number, string][] = []
  for await (const { name, type, size, content } of items) {
    found.push([name, type, size, Buffer.from(await all(content)).toString('latin1').slice(0, 20)])
  }
  return found
}

const NAMES = ['home.json', 'a/b.c', `queue/${'K'.repeat(44)}/failed/1795416809098673.${'a'.repeat(64)}`, `x/${'ü'.repeat(120)}`, 'n'.repeat(255)]

test('what is packed comes back, in any pieces, and files of any size', async () => {
  const files = NAMES.map((name, n) => file(name, new Uint8Array(n * 511).fill(65 + n)))
  const archive = await all(await packTar(list(files)))
  assert.is(archive.length % 512, 0)
  for (const step of [1, 512, 100_000]) {
    const found = await entries(archive, step)
    assert.equal(found.map(([name, type, size]) => [name, type, size]), NAMES.map((name, n) => [name, 'file', n * 511]))
  }
  const times: number[] = []
  for await (const item of unpackTar(pieces(archive, 700))) times.push(item.mtimeMs) // none read: all passed over
  assert.equal(times, NAMES.map(() => 1_790_000_000_000))
})

test('what is passed over, or left half way, leaves the next one whole', async () => {
  const sizes = [3, 5000, 0, 70_000, 2, 1, 513, 9]
  const archive = await all(await packTar(list(sizes.map((size, n) => file(`${n}`, new Uint8Array(size).fill(65 + n))))))
  for (const step of [100, 512, 3000, 100_000]) {
    for (const half of [false, true]) {
      const found: [string, number][] = []
      for await (const { name, content } of unpackTar(pieces(archive, step))) {
        if (Number(name) % 2 === 1) found.push([name, (await all(content)).length])
        else if (half) for await (const _ of content) break
      }
      assert.equal(found, sizes.map((size, n) => [`${n}`, size]).filter((_, n) => n % 2 === 1), `${step}, ${half}`)
    }
  }
})

test('GNU tar unpacks ours and we read that of GNU tar, links told as what they are', async () => {
  if (spawnSync('tar', ['--version']).status !== 0) return skipped('no tar')
  const dir = mkdtempSync('/tmp/p2p-tar-')
  try {
    const archive = await all(await packTar(list(NAMES.map((name) => file(name, utf8(name))))))
    mkdirSync(`${dir}/out`)
    execFileSync('tar', ['xf', '-', '-C', `${dir}/out`], { input: archive })
    for (const name of NAMES) assert.is(readFileSync(`${dir}/out/${name}`, 'utf8'), name)
    const listed = execFileSync('tar', ['tvf', '-'], { input: archive, encoding: 'utf8', env: { ...process.env, LC_ALL: 'C.UTF-8' } })
    assert.match(listed, /^-rw------- 0\/0 +9 \d{4}-\d\d-\d\d \d\d:\d\d home\.json$/m)
    symlinkSync('/etc/passwd', `${dir}/out/link`)
    for (const format of ['gnu', 'pax', 'ustar', 'v7']) {
      const names = format === 'v7' ? ['a/b.c', 'link'] : [...NAMES.slice(0, 3), 'link']
      const theirs = execFileSync('tar', ['cf', '-', '--format', format, '-C', `${dir}/out`, ...names])
      const found = await entries(new Uint8Array(theirs))
      assert.equal(
        found.map(([name, type]) => [name, type]),
        names.map((name) => [name, name === 'link' ? 'symlink' : 'file']),
        format,
      )
    }
    mkdirSync(`${dir}/sub`)
    writeFileSync(`${dir}/sub/x`, '')
    const folder = execFileSync('tar', ['cf', '-', '-C', dirname(`${dir}/sub`), 'sub'])
    assert.equal((await entries(new Uint8Array(folder))).map(([name, type]) => [name, type]), [['sub/', 'directory'], ['sub/x', 'file']])
  } finally {
    rmSync(dir, { recursive: true })
  }
})

test('what is no archive, or not all of one, is malformed', async () => {
  const archive = await all(await packTar(list([file('a', new Uint8Array(3000)), file('b', new Uint8Array(10))])))
  const damaged = archive.slice()
  damaged[5] = 1
  const bad: [string, Uint8Array][] = [
    ['nothing', new Uint8Array(0)],
    ['text', utf8('hello '.repeat(1000))],
    ['a flipped bit', damaged],
    ...[100, 512, 1000, 3584, 4096, archive.length - 512, archive.length - 1].map(
      (at): [string, Uint8Array] => [`cut at ${at}`, archive.subarray(0, at)],
    ),
    ['something behind', concat(archive, utf8('x'.repeat(512)))],
  ]
  for (const [what, bytes] of bad) {
    const error = await entries(bytes, 700).catch((thrown: unknown) => thrown)
    assert.ok(error instanceof Malformed, `${what}: ${String(error)}`)
  }
})

test('errors of a source come as they are, on both sides', async () => {
  const broken = async function* (): AsyncGenerator<Uint8Array> {
    yield new Uint8Array(600)
    throw new Failure(74, 'the disk')
  }
  const pack = await packTar(list([{ ...file('a', new Uint8Array(2000)), content: broken() }]))
  const packed = await all(pack).catch((error: unknown) => error)
  assert.ok(packed instanceof Failure, String(packed))
  const archive = await all(await packTar(list([file('a', new Uint8Array(2000))])))
  const cut = async function* (): AsyncGenerator<Uint8Array> {
    yield archive.subarray(0, 700)
    throw new RangeError('the disk')
  }
  const unpacked = await entriesOf(unpackTar(cut())).catch((error: unknown) => error)
  assert.ok(unpacked instanceof RangeError, String(unpacked))
})

test('a reader who leaves ends the source', async () => {
  let ended = false
  const endless = async function* (): AsyncGenerator<TarFile> {
    try {
      for (let n = 0; ; n++) yield file(`${n}`, new Uint8Array(1 << 20), 1 << 20)
    } finally {
      ended = true
    }
  }
  let seen = 0
  for await (const piece of await packTar(endless())) if ((seen += piece.length) > 20_000_000) break
  for (let turn = 0; turn < 100 && !ended; turn++) await new Promise((resolve) => setImmediate(resolve))
  assert.ok(ended)
})

test('who leaves an archive that has ended too early has been told once, and no second time', async () => {
  const whole = await all(await packTar(list([file('a', new Uint8Array(5000))])))
  for await (const { content } of unpackTar(pieces(whole.subarray(0, 1500), 512))) {
    assert.instance(await all(content).catch((error: unknown) => error), Malformed)
    break
  }
})

test.run()
