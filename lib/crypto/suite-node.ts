// The fast back end: node:crypto, that is OpenSSL. Constant time in C, private keys outside the JavaScript heap.
// It trusts OpenSSL and nothing else: plaintext leaves open() only after final() has passed (with the tag length
// fixed), and a public key is always computed from its private key (before version 26 node ignores the `x` of a private JWK).

import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  hash as hashAtOnce,
  type KeyObject,
  webcrypto,
} from 'node:crypto'

import { isZero } from '../base/bytes.ts'
import { Malformed } from '../base/fail.ts'
import { discard } from '../base/garbage.ts'
import { type Random } from '../base/random.ts'
import { HashThread } from './hashthread.ts'

const CIPHER = 'chacha20-poly1305'
const TAG = 16 // bytes; always given, or node would accept shorter tags

/** A Buffer as what the rest of the house knows; no copy. */
function plain(buffer: Buffer): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length)
}

function base64url(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64url')
}

function check(bytes: Uint8Array, length: number, what: string): void {
  if (bytes.length !== length) throw new RangeError(`${what} is ${bytes.length} bytes, not ${length}`)
}

// JWK because it is the quick way in: 10 us for a public and 32 us for a private key; DER takes ten times as long.
function importPublic(bytes: Uint8Array): KeyObject {
  return createPublicKey({ key: { kty: 'OKP', crv: 'X25519', x: base64url(bytes) }, format: 'jwk' })
}

/** What stands before the 32 bytes of a private key in PKCS #8 (RFC 8410, 7). */
const PKCS8 = Buffer.from('302e020100300506032b656e04220420', 'hex')

/** Node 26 compares `x` with the key and refuses one that is made up; there DER is quick as well. */
function importPrivate(secret: Uint8Array): KeyObject {
  try {
    return createPrivateKey({ key: { kty: 'OKP', crv: 'X25519', d: base64url(secret), x: '' }, format: 'jwk' })
  } catch {
    const key = Buffer.concat([PKCS8, secret])
    try {
      return createPrivateKey({ key, format: 'der', type: 'pkcs8' })
    } finally {
      key.fill(0)
    }
  }
}

class NodeKey {
  readonly publicKey: Uint8Array
  #key: KeyObject | undefined

  constructor(secret: Uint8Array) {
    check(secret, 32, 'X25519 private key')
    this.#key = importPrivate(secret)
    const { x } = createPublicKey(this.#key).export({ format: 'jwk' })
    this.publicKey = new Uint8Array(Buffer.from(x ?? '', 'base64url'))
    check(this.publicKey, 32, 'X25519 public key')
  }

  agree(publicKey: Uint8Array): Uint8Array {
    check(publicKey, 32, 'X25519 public key')
    if (this.#key === undefined) throw new Error('private key was wiped')
    const theirs = importPublic(publicKey)
    let shared: Uint8Array
    try {
      shared = plain(diffieHellman({ privateKey: this.#key, publicKey: theirs }))
    } catch {
      throw new Malformed('cannot open') // OpenSSL refuses the all-zero result itself
    }
    if (isZero(shared)) throw new Malformed('cannot open')
    return shared
  }

  wipe(): void {
    this.#key = undefined
  }
}

export const nodeSuite = {
  name: 'node' as const,
  hashName: 'SHA256',
  hashLength: 32,

  generate(random: Random): NodeKey {
    const secret = random.bytes(32)
    const key = new NodeKey(secret)
    secret.fill(0)
    return key
  },

  importPrivate(secret: Uint8Array): NodeKey {
    return new NodeKey(secret)
  },

  dh(key: object, publicKey: Uint8Array): Uint8Array {
    if (!(key instanceof NodeKey)) throw new TypeError('private key of another back end')
    return key.agree(publicKey)
  },

  seal(key: Uint8Array, nonce: Uint8Array, ad: Uint8Array, plaintext: Uint8Array, into?: Uint8Array): Uint8Array {
    check(key, 32, 'key')
    check(nonce, 12, 'nonce')
    const sealed = into ?? plain(Buffer.allocUnsafeSlow(plaintext.length + TAG))
    check(sealed, plaintext.length + TAG, 'place for the sealed')
    const cipher = createCipheriv(CIPHER, key, nonce, { authTagLength: TAG })
    if (ad.length > 0) cipher.setAAD(ad, { plaintextLength: plaintext.length })
    const ciphertext = cipher.update(plaintext)
    sealed.set(ciphertext)
    discard(ciphertext)
    cipher.final() // empty for a stream cipher
    sealed.set(cipher.getAuthTag(), plaintext.length)
    return sealed
  },

  open(key: Uint8Array, nonce: Uint8Array, ad: Uint8Array, sealed: Uint8Array): Uint8Array {
    check(key, 32, 'key')
    check(nonce, 12, 'nonce')
    const size = sealed.length - TAG
    if (size < 0) throw new Malformed('cannot open')
    const decipher = createDecipheriv(CIPHER, key, nonce, { authTagLength: TAG })
    if (ad.length > 0) decipher.setAAD(ad, { plaintextLength: size })
    decipher.setAuthTag(sealed.subarray(size))
    const plaintext = decipher.update(sealed.subarray(0, size))
    try {
      decipher.final()
    } catch {
      plaintext.fill(0)
      throw new Malformed('cannot open')
    }
    return plain(plaintext)
  },

  hash(...parts: Uint8Array[]): Uint8Array {
    const [only] = parts
    // a fourth of what an object for it takes
    if (parts.length === 1 && only !== undefined) return plain(Buffer.from(hashAtOnce('sha256', only, 'hex'), 'hex'))
    const hash = createHash('sha256')
    for (const part of parts) hash.update(part)
    return plain(hash.digest())
  },

  async hashApart(bytes: Uint8Array): Promise<Uint8Array> {
    return new Uint8Array(await webcrypto.subtle.digest('SHA-256', bytes))
  },

  hashThread(): HashThread {
    return new HashThread()
  },

  hmac(key: Uint8Array, ...parts: Uint8Array[]): Uint8Array {
    const hmac = createHmac('sha256', key)
    for (const part of parts) hmac.update(part)
    return plain(hmac.digest())
  },
}
