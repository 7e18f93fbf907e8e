// The ciphers of the simulated world: by default ones that cost nothing and protect nothing, but tell a wrong key, a
// wrong order and a changed byte; real ones where the real bytes are wanted. Hashes are always real: ids depend on them.

import { createHash } from 'node:crypto'

import { compare, concat, equal, utf8 } from '../../lib/base/bytes.ts'
import { Malformed } from '../../lib/base/fail.ts'
import type { Random } from '../../lib/base/random.ts'
import type { PrivateKey, Suite } from '../../lib/crypto/suite.ts'
import { nodeSuite as real } from '../../lib/crypto/suite-node.ts'

const TAG = 16

class ToyKey implements PrivateKey {
  readonly publicKey: Uint8Array

  constructor(secret: Uint8Array) {
    this.publicKey = sha256(utf8('public'), secret)
    this.publicKey[31] = 0x3f // below the prime, as every X25519 key
  }

  wipe(): void {}
}

function sha256(...parts: Uint8Array[]): Uint8Array {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return new Uint8Array(hash.digest())
}

function tagOf(key: Uint8Array, nonce: Uint8Array, ad: Uint8Array, text: Uint8Array): Uint8Array {
  let sum = 0x811c9dc5
  for (const bytes of [key, nonce, ad, text]) {
    for (let i = 0; i < bytes.length; i++) sum = Math.imul(sum ^ (bytes[i] as number), 0x01000193)
  }
  const tag = new Uint8Array(TAG)
  new DataView(tag.buffer).setInt32(0, sum)
  return tag
}

const toy: Omit<Suite, 'name' | 'hashName' | 'hashLength' | 'hash'> = {
  generate: (random: Random) => new ToyKey(random.bytes(32)),
  importPrivate: (secret) => new ToyKey(secret),
  dh(key, publicKey) {
    const [low, high] = compare(key.publicKey, publicKey) < 0 ? [key.publicKey, publicKey] : [publicKey, key.publicKey]
    return sha256(low, high)
  },
  seal: (key, nonce, ad, plaintext) => concat(plaintext, tagOf(key, nonce, ad, plaintext)),
  open(key, nonce, ad, sealed) {
    const size = sealed.length - TAG
    if (size < 0) throw new Malformed('cannot open')
    const text = Uint8Array.from(sealed.subarray(0, size)) // of a Buffer slice() is a view
    if (!equal(tagOf(key, nonce, ad, text), sealed.subarray(size))) throw new Malformed('cannot open')
    return text
  },
  hmac: (key, ...parts) => sha256(key, ...parts),
}

let now: Omit<Suite, 'name' | 'hashName' | 'hashLength' | 'hash'> = toy

/** For everything from now on; keys of the other kind are good for nothing then. */
export function useCiphers(kind: 'toy' | 'real'): void {
  now = kind === 'toy' ? toy : (real as unknown as typeof now)
}

/** In the place of lib/crypto/suite-node.ts. */
export const nodeSuite: Suite = {
  name: 'node',
  hashName: 'SHA256',
  hashLength: 32,
  generate: (random) => now.generate(random),
  importPrivate: (secret) => now.importPrivate(secret),
  dh: (key, publicKey) => now.dh(key, publicKey),
  seal: (key, nonce, ad, plaintext) => now.seal(key, nonce, ad, plaintext),
  open: (key, nonce, ad, sealed) => now.open(key, nonce, ad, sealed),
  hash: (...parts) => sha256(...parts),
  hmac: (key, ...parts) => now.hmac(key, ...parts),
}
