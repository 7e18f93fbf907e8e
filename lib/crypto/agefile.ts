// age v1 files with a passphrase (scrypt), so that `age -d` opens them without us: the identity's secret at rest, and
// streams of any length (archives of a home). Also the text inside the former: comment lines and one P2P-SECRET-KEY-1
// line, which is all of an unencrypted identity.key. It trusts the age-encryption package for format and STREAM; scrypt
// is node:crypto's, which runs off the main thread and takes the passphrase as bytes that the caller can wipe. Loaded
// only when a passphrase is asked for.

import { createHash, scrypt } from 'node:crypto'

import { type Decrypter, type Encrypter, type Identity, type Recipient } from 'age-encryption'

import { concat, equal, fromUtf8, utf8 } from '../base/bytes.ts'
import { EX, Failure, Malformed } from '../base/fail.ts'
import { base58, fromBase58 } from '../base/key.ts'
import { type Random, systemRandom } from '../base/random.ts'
import { openPayload, sealPayload } from './agestream.ts'

export const WORK_FACTOR = 18 // log2 of scrypt's N: 256 MiB and 0.7 s a guess; age's own default
const WORK_FACTOR_MAX = 20 // 1 GiB: a file that asks for more is an attack on the reader
const SCRYPT_R = 8
const STANZA_LABEL = utf8('age-encryption.org/v1/scrypt') // C2SP age, section "The scrypt recipient type"
const FILE_KEY = 16
const TAG = 16
const VERSION_LINE = 'age-encryption.org/v1\n'
const HEADER_MAX = 4096 // bytes: a header for one passphrase has about 150
const NONCE = new Uint8Array(12) // the wrapping key is used once

const LINE = 'P2P-SECRET-KEY-1'
const SUM_LABEL = utf8('p2p/1 secret key sum')
const SUM = 4 // bytes: tells a typing error from another key
const SEED = 32
const TEXT_MAX = 4096 // characters of an identity file

function deriveKey(passphrase: Uint8Array, salt: Uint8Array, logN: number): Promise<Uint8Array> {
  const options = { N: 2 ** logN, r: SCRYPT_R, p: 1, maxmem: 2 ** logN * SCRYPT_R * 128 + (1 << 20) }
  return new Promise((resolve, reject) => {
    scrypt(passphrase, concat(STANZA_LABEL, salt), 32, options, (error, key) => {
      if (error === null) resolve(new Uint8Array(key))
      else reject(new Failure(EX.TEMPORARY, `scrypt needs ${2 ** logN / 1024} MiB of memory: ${error.message}`))
    })
  })
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64').replace(/=+$/, '')
}

function fromBase64(text: string): Uint8Array {
  const bytes = new Uint8Array(Buffer.from(text, 'base64'))
  if (base64(bytes) !== text) throw new Malformed('not canonical base64')
  return bytes
}

/**
 * An age v1 file of `bytes` for one passphrase, as bytes (UTF-8 as typed). `logN` is the scrypt work factor, 1 to 20.
 */
export async function encryptWithPassphrase(
  bytes: Uint8Array,
  passphrase: Uint8Array,
  logN: number = WORK_FACTOR,
  random: Random = systemRandom,
): Promise<Uint8Array> {
  return (await encrypterFor(passphrase, logN, random)).encrypt(bytes)
}

/** The same for a stream of any length, of which nothing is kept; throws what the source throws. */
export async function* encryptStream(
  source: AsyncIterable<Uint8Array>,
  passphrase: Uint8Array,
  logN: number = WORK_FACTOR,
  random: Random = systemRandom,
): AsyncGenerator<Uint8Array> {
  let key: Uint8Array | undefined
  const encrypter = await encrypterFor(passphrase, logN, random, (fileKey) => (key = fileKey.slice()))
  const empty = await encrypter.encrypt(new Uint8Array(0))
  if (key === undefined) throw new Error('no file key')
  yield empty.subarray(0, headerEnd(empty))
  yield* sealPayload(source, key, random)
  key.fill(0)
}

async function encrypterFor(
  passphrase: Uint8Array,
  logN: number,
  random: Random,
  tell?: (fileKey: Uint8Array) => void,
): Promise<Encrypter> {
  if (!Number.isInteger(logN) || logN < 1 || logN > WORK_FACTOR_MAX) throw new RangeError('bad scrypt work factor')
  const [{ Encrypter, Stanza }, { chacha20poly1305 }] = await Promise.all([
    import('age-encryption'),
    import('@noble/ciphers/chacha.js'),
  ])
  const recipient: Recipient = {
    async wrapFileKey(fileKey) {
      tell?.(fileKey)
      const salt = random.bytes(16)
      const key = await deriveKey(passphrase, salt, logN)
      const body = chacha20poly1305(key, NONCE).encrypt(fileKey)
      key.fill(0)
      return [new Stanza(['scrypt', base64(salt), String(logN)], body)]
    },
  }
  const encrypter = new Encrypter()
  encrypter.addRecipient(recipient)
  return encrypter
}

/**
 * The bytes inside an age v1 file. Throws Failure 77 if the passphrase is wrong, Malformed if the file is damaged, no
 * age file, or not for a passphrase. (Damage of the wrapped key itself cannot be told from a wrong passphrase.)
 */
export async function decryptWithPassphrase(file: Uint8Array, passphrase: Uint8Array): Promise<Uint8Array> {
  const decrypter = await decrypterFor(() => Promise.resolve(passphrase))
  try {
    return await decrypter.decrypt(file)
  } catch (error) {
    throw asMalformed(error)
  }
}

/**
 * The bytes inside an age v1 file as they come: each 64 KiB are authentic, but only the end of the stream says that
 * nothing is missing. `ask` is called for the passphrase once the header is seen to be right. Throws as
 * decryptWithPassphrase, and what the source throws.
 */
export async function* decryptStream(
  source: AsyncIterable<Uint8Array>,
  ask: () => Promise<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const pieces = source[Symbol.asyncIterator]()
  try {
    let held: Uint8Array = new Uint8Array(0)
    let end: number | undefined
    while (end === undefined) {
      const next = await pieces.next()
      if (next.done === true) throw new Malformed('not an age file, or truncated')
      held = concat(held, next.value)
      end = headerEnd(held)
    }
    const key = await fileKeyOf(held.slice(0, end), ask)
    const start = held.subarray(end)
    const payload = async function* (): AsyncGenerator<Uint8Array> {
      yield start
      yield* { [Symbol.asyncIterator]: () => pieces }
    }
    yield* openPayload(payload(), key)
    key.fill(0)
  } finally {
    await pieces.return?.()
  }
}

/** Where the header in the first bytes of a file ends; undefined while it does not. Throws Malformed for what is none. */
function headerEnd(bytes: Uint8Array): number | undefined {
  const text = Buffer.from(bytes.subarray(0, HEADER_MAX)).toString('latin1')
  if (!text.startsWith(VERSION_LINE.slice(0, text.length))) throw new Malformed('not an age file')
  const mac = text.indexOf('\n---')
  const end = mac < 0 ? -1 : text.indexOf('\n', mac + 1)
  if (end < 0 && text.length === HEADER_MAX) throw new Malformed('not an age file')
  return end < 0 ? undefined : end + 1
}

async function fileKeyOf(header: Uint8Array, ask: () => Promise<Uint8Array>): Promise<Uint8Array> {
  const decrypter = await decrypterFor(ask)
  try {
    return await decrypter.decryptHeader(header)
  } catch (error) {
    throw asMalformed(error)
  }
}

function asMalformed(error: unknown): unknown {
  const own = error instanceof Failure || error instanceof Malformed || (error instanceof Error && 'code' in error)
  const aborted = error instanceof Error && error.name === 'AbortError'
  return own || aborted ? error : new Malformed('not an age file, or damaged')
}

/** True if these bytes begin as an age file does. */
export function looksSealed(file: Uint8Array): boolean {
  return Buffer.from(file.subarray(0, VERSION_LINE.length)).toString('latin1') === VERSION_LINE
}

async function decrypterFor(ask: () => Promise<Uint8Array>): Promise<Decrypter> {
  const [{ Decrypter }, { chacha20poly1305 }] = await Promise.all([
    import('age-encryption'),
    import('@noble/ciphers/chacha.js'),
  ])
  const identity: Identity = {
    async unwrapFileKey(stanzas) {
      const [stanza] = stanzas
      const [type, salt = '', factor = ''] = stanza?.args ?? []
      if (stanza === undefined || type !== 'scrypt') throw new Malformed('not encrypted with a passphrase')
      // C2SP age: a scrypt stanza is the only one, with two arguments, and the body is one wrapped file key
      if (stanzas.length !== 1 || stanza.args.length !== 3) throw new Malformed('bad age header')
      if (!/^[1-9][0-9]?$/.test(factor)) throw new Malformed('bad age header')
      if (Number(factor) > WORK_FACTOR_MAX) throw new Malformed(`scrypt work factor ${factor} is too high`)
      const saltBytes = fromBase64(salt)
      if (saltBytes.length !== 16 || stanza.body.length !== FILE_KEY + TAG) throw new Malformed('bad age header')
      const key = await deriveKey(await ask(), saltBytes, Number(factor))
      try {
        return chacha20poly1305(key, NONCE).decrypt(stanza.body)
      } catch {
        throw new Failure(EX.NOT_PERMITTED, 'wrong passphrase')
      } finally {
        key.fill(0)
      }
    },
  }
  const decrypter = new Decrypter()
  decrypter.addIdentity(identity)
  return decrypter
}

function sum(seed: Uint8Array): Uint8Array {
  return new Uint8Array(createHash('sha256').update(SUM_LABEL).update(seed).digest()).subarray(0, SUM)
}

/** The text of an identity file, as bytes: P2P-SECRET-KEY-1 and base58 of the seed and 4 bytes of a hash of it. */
export function encodeIdentity(seed: Uint8Array, publicKey: Uint8Array): Uint8Array {
  if (seed.length !== SEED) throw new RangeError('seed is not 32 bytes')
  const secret = concat(seed, sum(seed))
  const text = [
    `# p2p identity ${base58(publicKey)}`,
    '# whoever has the next line can speak in this name',
    `${LINE}${base58(secret)}`,
    '',
  ]
  secret.fill(0)
  return utf8(text.join('\n'))
}

/** The 32-byte seed of an identity file: one secret line among comments (#) and empty lines; else throws Malformed. */
export function decodeIdentity(text: Uint8Array): Uint8Array {
  if (text.length > TEXT_MAX) throw new Malformed('identity file too long')
  const lines = fromUtf8(text).split(/\r?\n/).filter((line) => line !== '' && !line.startsWith('#'))
  const [line = ''] = lines
  if (lines.length !== 1 || !line.startsWith(LINE)) throw new Malformed(`identity file without one ${LINE} line`)
  const secret = fromBase58(line.slice(LINE.length), 60)
  if (secret.length !== SEED + SUM) throw new Malformed('secret key of a wrong length')
  const seed = secret.slice(0, SEED)
  if (!equal(secret.subarray(SEED), sum(seed))) throw new Malformed('typing error in the secret key')
  secret.fill(0)
  return seed
}
