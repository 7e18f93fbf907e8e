// The reference back end: noble, in JavaScript. Slower by ten times, it exists to check node:crypto byte for byte in
// the tests and to run where that lacks a primitive. Loaded only when asked for: importing it costs some 40 ms.

import { createHasher } from '@noble/hashes/utils.js'

import { isZero } from '../base/bytes.ts'
import { Malformed } from '../base/fail.ts'
import { type Random } from '../base/random.ts'
import { Noble } from './sha256.ts'

function check(bytes: Uint8Array, length: number, what: string): void {
  if (bytes.length !== length) throw new RangeError(`${what} is ${bytes.length} bytes, not ${length}`)
}

class NobleKey {
  readonly publicKey: Uint8Array
  #secret: Uint8Array | undefined

  constructor(secret: Uint8Array, publicKey: Uint8Array) {
    this.#secret = new Uint8Array(secret)
    this.publicKey = publicKey
  }

  get secret(): Uint8Array {
    if (this.#secret === undefined) throw new Error('private key was wiped')
    return this.#secret
  }

  wipe(): void {
    this.#secret?.fill(0)
    this.#secret = undefined
  }
}

/** The back end on @noble/curves, @noble/ciphers and @noble/hashes. */
export async function loadNobleSuite() {
  const [{ x25519 }, { chacha20poly1305 }, { hmac: hmacOf }] = await Promise.all([
    import('@noble/curves/ed25519.js'),
    import('@noble/ciphers/chacha.js'),
    import('@noble/hashes/hmac.js'),
  ])

  const noble = createHasher(() => new Noble())

  const importPrivate = (secret: Uint8Array): NobleKey => {
    check(secret, 32, 'X25519 private key')
    return new NobleKey(secret, x25519.getPublicKey(secret))
  }

  return {
    name: 'noble' as const,
    hashName: 'SHA256',
    hashLength: 32,
    importPrivate,

    generate(random: Random): NobleKey {
      const secret = random.bytes(32)
      const key = importPrivate(secret)
      secret.fill(0)
      return key
    },

    dh(key: object, publicKey: Uint8Array): Uint8Array {
      if (!(key instanceof NobleKey)) throw new TypeError('private key of another back end')
      check(publicKey, 32, 'X25519 public key')
      const { secret } = key
      let shared: Uint8Array
      try {
        shared = x25519.getSharedSecret(secret, publicKey)
      } catch {
        throw new Malformed('cannot open') // noble refuses the all-zero result itself
      }
      if (isZero(shared)) throw new Malformed('cannot open')
      return shared
    },

    seal(key: Uint8Array, nonce: Uint8Array, ad: Uint8Array, plaintext: Uint8Array, into?: Uint8Array): Uint8Array {
      check(key, 32, 'key')
      check(nonce, 12, 'nonce')
      return chacha20poly1305(key, nonce, ad).encrypt(plaintext, into)
    },

    open(key: Uint8Array, nonce: Uint8Array, ad: Uint8Array, sealed: Uint8Array): Uint8Array {
      check(key, 32, 'key')
      check(nonce, 12, 'nonce')
      const cipher = chacha20poly1305(key, nonce, ad)
      try {
        return cipher.decrypt(sealed)
      } catch {
        throw new Malformed('cannot open')
      }
    },

    hash(...parts: Uint8Array[]): Uint8Array {
      const hash = noble.create()
      for (const part of parts) hash.update(part)
      return hash.digest()
    },

    hmac(key: Uint8Array, ...parts: Uint8Array[]): Uint8Array {
      const mac = hmacOf.create(noble, key)
      for (const part of parts) mac.update(part)
      return mac.digest()
    },
  }
}
