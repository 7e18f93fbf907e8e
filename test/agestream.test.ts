// Streams of age: at every size around a chunk they are what age and typage make and read, in whatever pieces they come;
// whatever is cut off or changed is noticed at the latest at the end; errors of the source pass.

import { spawnSync } from 'node:child_process'

import { Decrypter, Encrypter } from 'age-encryption'
import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { concat, utf8 } from '../lib/base/bytes.ts'
import { EX, Failure, Malformed } from '../lib/base/fail.ts'
import { systemRandom } from '../lib/base/random.ts'
import { decryptStream, encryptStream } from '../lib/crypto/agefile.ts'
import { openPayload, sealPayload } from '../lib/crypto/agestream.ts'
import { skipped } from './vectors.ts'

const PASSPHRASE = 'correct horse'
const LOG_N = 2
const CHUNK = 65_536
const SIZES = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 17]

async function* pieces(bytes: Uint8Array, step: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += step) yield bytes.subarray(at, at + step)
}

async function all(source: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const list: Uint8Array[] = []
  for await (const piece of source) list.push(piece)
  return concat(...list)
}

const ask = (): Promise<Uint8Array> => Promise.resolve(utf8(PASSPHRASE))
const seal = (bytes: Uint8Array, step = 10_000): Promise<Uint8Array> =>
  all(encryptStream(pieces(bytes, step), utf8(PASSPHRASE), LOG_N))
const open = (file: Uint8Array, step = 10_000): Promise<Uint8Array> => all(decryptStream(pieces(file, step), ask))

async function isMalformed(work: Promise<unknown>, what: string): Promise<void> {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  assert.ok(error instanceof Malformed, `${what}: ${String(error)}`)
}

test('what is sealed in any pieces is what typage reads, and the other way round', async () => {
  for (const size of SIZES) {
    const bytes = systemRandom.bytes(size)
    const file = await seal(bytes, size % 2 === 0 ? 777 : 100_000)
    const theirs = new Decrypter()
    theirs.addPassphrase(PASSPHRASE)
    assert.equal(await theirs.decrypt(file), bytes, `${size}`)
    assert.equal(await open(file, 31), bytes, `${size}`)
    const other = new Encrypter()
    other.setPassphrase(PASSPHRASE)
    other.setScryptWorkFactor(LOG_N)
    assert.equal(await open(await other.encrypt(bytes), 1_000_000), bytes, `${size}`)
  }
})

test('any payload in any pieces comes back; one byte less, more or different does not', async () => {
  const key = new Uint8Array(16).fill(7)
  const sizes = fc.integer({ min: 0, max: 2 * CHUNK + 2 })
  const property = fc.asyncProperty(sizes, fc.integer({ min: 1, max: 70_000 }), fc.nat(), async (size, step, where) => {
    const bytes = systemRandom.bytes(size)
    const file = await all(sealPayload(pieces(bytes, step), key))
    assert.equal(await all(openPayload(pieces(file, step), key)), bytes)
    const at = where % file.length
    await isMalformed(all(openPayload(pieces(file.subarray(0, at), step), key)), `cut at ${at} of ${file.length}`)
    const changed = file.slice()
    changed[at] = (changed[at] ?? 0) ^ 1
    await isMalformed(all(openPayload(pieces(changed, step), key)), `changed at ${at} of ${file.length}`)
    await isMalformed(all(openPayload(pieces(concat(file, changed.subarray(0, 1)), step), key)), 'longer')
  })
  await fc.assert(property, { numRuns: 40 })
})

test('cut at a chunk, with the rest in the wrong order or with an empty chunk at the end it is damaged', async () => {
  const key = new Uint8Array(16)
  const sealed = CHUNK + 16
  const file = await all(sealPayload(pieces(systemRandom.bytes(3 * CHUNK), CHUNK), key))
  const chunk = (n: number): Uint8Array => file.subarray(16 + n * sealed, 16 + (n + 1) * sealed)
  const nonce = file.subarray(0, 16)
  await isMalformed(all(openPayload(pieces(concat(nonce, chunk(0), chunk(1)), 999), key)), 'cut')
  await isMalformed(all(openPayload(pieces(concat(nonce, chunk(1), chunk(0), chunk(2)), 999), key)), 'order')
  await isMalformed(all(openPayload(pieces(concat(nonce, chunk(0), chunk(2)), 999), key)), 'left out')
})

test('what is no age file is told without asking for a passphrase, and without reading on', async () => {
  let read = 0
  const endless = async function* (first: string): AsyncGenerator<Uint8Array> {
    yield utf8(first)
    for (;;) {
      read += 1000
      yield new Uint8Array(1000).fill(97)
    }
  }
  const never = (): Promise<Uint8Array> => Promise.reject(new Error('asked'))
  for (const first of ['hello', '', 'age-encryption.org/v1\n', 'age-encryption.org/v1\n-> scrypt ', '-----BEGIN AGE']) {
    await isMalformed(all(decryptStream(endless(first), never)), first)
  }
  assert.ok(read < 30_000, `${read} bytes read`)
  for (const text of ['', 'age-', 'age-encryption.org/v1\n', 'age-encryption.org/v1\n-> X25519 x\ny\n--- z\n']) {
    await isMalformed(all(decryptStream(pieces(utf8(text), 3), never)), text)
  }
})

test('a wrong passphrase is 77; an error of the source comes as it is, and its end is told to it', async () => {
  const file = await seal(systemRandom.bytes(200_000))
  const wrong = await all(decryptStream(pieces(file, 5000), async () => utf8('x'))).catch((error: unknown) => error)
  assert.ok(wrong instanceof Failure && wrong.exit === EX.NOT_PERMITTED, String(wrong))
  for (const after of [10, 300, 100_000]) {
    let closed = false
    const broken = async function* (): AsyncGenerator<Uint8Array> {
      try {
        yield file.subarray(0, after)
        throw new RangeError('the disk')
      } finally {
        closed = true
      }
    }
    const error = await all(decryptStream(broken(), ask)).catch((thrown: unknown) => thrown)
    assert.ok(error instanceof RangeError, String(error))
    assert.ok(closed)
  }
  let ended = false
  const watched = async function* (): AsyncGenerator<Uint8Array> {
    try {
      yield* pieces(file, 1000)
    } finally {
      ended = true
    }
  }
  for await (const _ of decryptStream(watched(), ask)) break
  assert.ok(ended)
})

test('age opens what we seal', async () => {
  const bytes = systemRandom.bytes(2 * CHUNK + 5)
  const file = await all(encryptStream(pieces(bytes, 4096), utf8(PASSPHRASE), 10))
  const script = 'exec age -d -o "$1/out" "$1/in"'
  const { mkdtempSync, readFileSync, rmSync, writeFileSync } = await import('node:fs')
  const dir = mkdtempSync('/tmp/p2p-age-')
  try {
    writeFileSync(`${dir}/in`, file)
    // script(1) gives age the terminal it wants to ask on
    const command = `sh -c '${script}' sh ${dir}`
    const ran = spawnSync('script', ['-qec', command, '/dev/null'], { input: `${PASSPHRASE}\n`, timeout: 30_000 })
    if (ran.error !== undefined || /not found/.test(String(ran.stdout))) return skipped('age or script is not here')
    assert.equal(new Uint8Array(readFileSync(`${dir}/out`)), bytes, String(ran.stdout))
  } finally {
    rmSync(dir, { recursive: true })
  }
})

test.run()
