// The seven primitives everything above is built from: X25519, ChaCha20-Poly1305, SHA-256 and HMAC. Two back ends
// compute the same bytes; nothing above this file knows which one runs. Foreign bytes that are refused (a low-order
// public key, a wrong tag) are Malformed with one text for every reason; anything else thrown here is a bug.

import { compare, concat, fromHex } from '../base/bytes.ts'
import { EX, Failure } from '../base/fail.ts'
import { type Random } from '../base/random.ts'
import type { HashThread } from './hashthread.ts'
import { sha256 } from './sha256.ts'
import { nodeSuite } from './suite-node.ts'

/** An X25519 private key inside its back end; only its own suite can use it. */
export interface PrivateKey {
  readonly publicKey: Uint8Array
  /** Forgets the secret as far as the back end can; later use throws. */
  wipe(): void
}

/** The DH, cipher and hash of Noise_*_25519_ChaChaPoly_SHA256. No function keeps or changes its arguments, but for `into`. */
export interface Suite {
  readonly name: 'node' | 'noble'
  /** As in a Noise protocol name. */
  readonly hashName: string
  /** HASHLEN: bytes of hash() and hmac(). */
  readonly hashLength: number
  /** A fresh key pair from 32 bytes of `random`. */
  generate(random: Random): PrivateKey
  /** The key pair of a 32-byte secret (any value; RFC 7748 section 5 clamps it). */
  importPrivate(secret: Uint8Array): PrivateKey
  /** The 32-byte X25519 shared secret; throws Malformed if it is all zero (RFC 7748 section 6.1). */
  dh(key: PrivateKey, publicKey: Uint8Array): Uint8Array
  /**
   * ciphertext || 16-byte tag (RFC 8439 section 2.8); key 32 and nonce 12 bytes. In `into`, if given, which must have
   * that size and is returned.
   */
  seal(key: Uint8Array, nonce: Uint8Array, ad: Uint8Array, plaintext: Uint8Array, into?: Uint8Array): Uint8Array
  /** The plaintext, in memory of its own; throws Malformed, before any of it is handed out, unless the whole is authentic. */
  open(key: Uint8Array, nonce: Uint8Array, ad: Uint8Array, sealed: Uint8Array): Uint8Array
  /** Hash of the parts, one after the other. */
  hash(...parts: Uint8Array[]): Uint8Array
  /** The same of one array, which must not change meanwhile, in another thread: for 1 MiB and such. */
  hashApart?(bytes: Uint8Array): Promise<Uint8Array>
  /** The same in a thread of its own, without a copy, for a body of many MiB. */
  hashThread?(): HashThread
  /** HMAC (RFC 2104) of the parts, one after the other. */
  hmac(key: Uint8Array, ...parts: Uint8Array[]): Uint8Array
}

// One known answer for all primitives, chained as in worksHere(), from the first vector of RFC 7748 section 5.2. Half
// the work of a handshake and it fails for the same causes: a runtime without the curve or the cipher.
const CHECK_SECRET = fromHex('a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4')
const CHECK_PUBLIC = fromHex('e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c')
const CHECK_ANSWER = fromHex('da517eeb74aafd1332852f5b59d670897f5e97958d500cfdfe3a246f78795154')

/** True if the back end reproduces a known answer of all its primitives on this machine. */
export function worksHere(suite: Suite): boolean {
  try {
    const shared = suite.dh(suite.importPrivate(CHECK_SECRET), CHECK_PUBLIC)
    const sealed = suite.seal(shared, new Uint8Array(12), CHECK_PUBLIC, CHECK_SECRET)
    const opened = suite.open(shared, new Uint8Array(12), CHECK_PUBLIC, sealed)
    return compare(suite.hmac(shared, suite.hash(sealed), opened), CHECK_ANSWER) === 0
  } catch {
    return false // a runtime without the cipher: FIPS builds, other engines
  }
}

/** Of this process: it was tried. */
let nodeWorks: boolean | undefined

/**
 * The back end to use: node:crypto if it works here, else noble. P2P_CRYPTO=node|noble in `env` forces one.
 * Throws Failure 78 if P2P_CRYPTO is neither, or if no back end works.
 */
export async function loadSuite(env: Record<string, string | undefined>): Promise<Suite> {
  const wanted = env['P2P_CRYPTO'] ?? ''
  if (!['', 'node', 'noble'].includes(wanted)) {
    throw new Failure(EX.CONFIG, `P2P_CRYPTO is '${wanted}', not 'node' or 'noble'`)
  }
  if (wanted !== 'noble' && (nodeWorks ??= worksHere(nodeSuite))) return nodeSuite
  if (wanted === 'node') throw new Failure(EX.CONFIG, 'P2P_CRYPTO=node: this runtime lacks X25519 or ChaCha20-Poly1305')
  const { loadNobleSuite } = await import('./suite-noble.ts')
  const suite: Suite = await loadNobleSuite()
  if (!worksHere(suite)) throw new Failure(EX.CONFIG, 'the cryptography library gives wrong answers on this machine')
  return suite
}

/**
 * The hash of the back end that loadSuite() would use, for whoever needs no more: SHA-256 works wherever node does, so
 * nothing is tried first, and for a few hundred bytes node:crypto is not loaded. Throws as loadSuite does.
 */
export async function loadHash(env: Record<string, string | undefined>): Promise<Pick<Suite, 'hash' | 'hashApart' | 'hashThread'>> {
  return (env['P2P_CRYPTO'] ?? '') === '' ? { ...nodeSuite, hash: sha256 } : loadSuite(env)
}

/** RFC 5869 with the suite's hash: `length` bytes, at most 255 * hashLength. */
export function hkdf(
  suite: Suite,
  salt: Uint8Array,
  ikm: Uint8Array,
  info: Uint8Array,
  length: number,
): Uint8Array {
  if (length > 255 * suite.hashLength) throw new RangeError('hkdf: length too large')
  const prk = suite.hmac(salt, ikm)
  const blocks: Uint8Array[] = []
  let last: Uint8Array = new Uint8Array(0)
  for (let i = 1; (i - 1) * suite.hashLength < length; i++) {
    last = suite.hmac(prk, last, info, Uint8Array.of(i))
    blocks.push(last)
  }
  prk.fill(0)
  return concat(...blocks).subarray(0, length)
}
