// The two lower objects of the Noise Protocol Framework, revision 34: CipherState (one key and its counter) and
// SymmetricState (the running hash and chaining key of a handshake), method names as in its text. No nonce is used
// twice, and every secret they replace or are done with is zeroed. They trust their Suite. Foreign bytes that do not
// open are Malformed, 'cannot open'; any other error is a bug of the caller.

import { concat, utf8 } from '../base/bytes.ts'
import { Malformed } from '../base/fail.ts'
import { type Suite } from './suite.ts'

const KEY_LENGTH = 32
export const TAG_LENGTH = 16
export const MESSAGE_MAX = 65_535 // Noise 3
const NONCE_END = Number.MAX_SAFE_INTEGER // the last exact integer here; sessions end long before, Noise 5.1 at 2^64-1
const EXPORT_LABEL = utf8('p2p/1 export') // p2p-wire(7), HANDSHAKE

const EMPTY = new Uint8Array(0)

/** Noise 5.1. Without a key it passes bytes through, which only happens inside a handshake. */
export class CipherState {
  readonly #suite: Suite
  readonly #nonce = new Uint8Array(12) // 4 zero bytes, then the counter, little-endian (Noise 12.3)
  readonly #view = new DataView(this.#nonce.buffer)
  #key: Uint8Array | undefined
  #closed = false
  /** The counter of the next message. */
  protected n = 0

  constructor(suite: Suite) {
    this.#suite = suite
  }

  /** Takes `key` over (it is zeroed later) and starts the counter at 0. */
  initializeKey(key: Uint8Array): void {
    if (key.length !== KEY_LENGTH) throw new RangeError('key is not 32 bytes')
    this.#key?.fill(0)
    this.#key = key
    this.n = 0
  }

  hasKey(): boolean {
    return this.#key !== undefined
  }

  /** plaintext sealed with the next nonce: 16 bytes longer; in `into`, if given, which must have as many. */
  encryptWithAd(ad: Uint8Array, plaintext: Uint8Array, into?: Uint8Array): Uint8Array {
    if (this.#closed) throw new Error('cipher state is closed')
    if (this.#key === undefined) return plaintext
    if (plaintext.length > MESSAGE_MAX - TAG_LENGTH) throw new RangeError('message too long')
    const sealed = this.#suite.seal(this.#key, this.#nextNonce(), ad, plaintext, into)
    this.n++
    return sealed
  }

  /** The plaintext; throws Malformed and keeps its nonce if `ciphertext` is not authentic. */
  decryptWithAd(ad: Uint8Array, ciphertext: Uint8Array): Uint8Array {
    if (this.#closed) throw new Error('cipher state is closed')
    if (this.#key === undefined) return ciphertext
    if (ciphertext.length > MESSAGE_MAX) throw new Malformed('cannot open')
    const plaintext = this.#suite.open(this.#key, this.#nextNonce(), ad, ciphertext)
    this.n++
    return plaintext
  }

  #nextNonce(): Uint8Array {
    if (this.n >= NONCE_END) throw new Error('cipher state has used its last nonce')
    this.#view.setUint32(4, this.n >>> 0, true)
    this.#view.setUint32(8, Math.floor(this.n / 0x1_0000_0000), true)
    return this.#nonce
  }

  clone(): CipherState {
    const copy = new CipherState(this.#suite)
    if (this.#key !== undefined) copy.initializeKey(new Uint8Array(this.#key))
    copy.n = this.n
    return copy
  }

  /** Zeroes the key; any later use throws. Closing twice is fine. */
  close(): void {
    this.#key?.fill(0)
    this.#key = undefined
    this.#closed = true
  }
}

/** Noise 5.2. Values it replaces are zeroed. */
export class SymmetricState {
  readonly #suite: Suite
  #cipher: CipherState
  #ck: Uint8Array
  #h: Uint8Array

  constructor(suite: Suite, protocolName: string) {
    this.#suite = suite
    const name = utf8(protocolName)
    if (name.length > suite.hashLength) this.#h = suite.hash(name)
    else this.#h = concat(name, new Uint8Array(suite.hashLength - name.length))
    this.#ck = new Uint8Array(this.#h)
    this.#cipher = new CipherState(suite)
  }

  /** HKDF of Noise 4.3: the first output becomes ck, the others are returned. */
  #advance(ikm: Uint8Array, more: 1 | 2): [Uint8Array, Uint8Array] {
    const temp = this.#suite.hmac(this.#ck, ikm)
    const first = this.#suite.hmac(temp, Uint8Array.of(1))
    const second = this.#suite.hmac(temp, first, Uint8Array.of(2))
    const third = more === 2 ? this.#suite.hmac(temp, second, Uint8Array.of(3)) : EMPTY
    temp.fill(0)
    this.#ck.fill(0)
    this.#ck = first
    return [second, third]
  }

  /** Mixes a secret into ck and makes a new key of it. */
  mixKey(ikm: Uint8Array): void {
    const [key] = this.#advance(ikm, 1)
    this.#cipher.initializeKey(key.subarray(0, KEY_LENGTH))
  }

  mixHash(data: Uint8Array): void {
    this.#h = this.#suite.hash(this.#h, data)
  }

  mixKeyAndHash(ikm: Uint8Array): void {
    const [temp, key] = this.#advance(ikm, 2)
    this.mixHash(temp)
    temp.fill(0)
    this.#cipher.initializeKey(key.subarray(0, KEY_LENGTH))
  }

  hasKey(): boolean {
    return this.#cipher.hasKey()
  }

  getHandshakeHash(): Uint8Array {
    return new Uint8Array(this.#h)
  }

  encryptAndHash(plaintext: Uint8Array): Uint8Array {
    const ciphertext = this.#cipher.encryptWithAd(this.#h, plaintext)
    this.mixHash(ciphertext)
    return ciphertext
  }

  decryptAndHash(ciphertext: Uint8Array): Uint8Array {
    const plaintext = this.#cipher.decryptWithAd(this.#h, ciphertext)
    this.mixHash(ciphertext)
    return plaintext
  }

  /** HMAC(ck, "p2p/1 export"): before split(), which forgets ck. */
  exporter(): Uint8Array {
    return this.#suite.hmac(this.#ck, EXPORT_LABEL)
  }

  /** The two transport ciphers, initiator's first; this state is wiped. */
  split(): [CipherState, CipherState] {
    const temp = this.#suite.hmac(this.#ck, EMPTY)
    const first = this.#suite.hmac(temp, Uint8Array.of(1))
    const second = this.#suite.hmac(temp, first, Uint8Array.of(2))
    temp.fill(0)
    this.wipe()
    const [a, b] = [new CipherState(this.#suite), new CipherState(this.#suite)]
    a.initializeKey(first.subarray(0, KEY_LENGTH))
    b.initializeKey(second.subarray(0, KEY_LENGTH))
    return [a, b]
  }

  clone(): SymmetricState {
    const copy = new SymmetricState(this.#suite, '')
    copy.#cipher = this.#cipher.clone()
    copy.#ck = new Uint8Array(this.#ck)
    copy.#h = new Uint8Array(this.#h)
    return copy
  }

  wipe(): void {
    this.#ck.fill(0)
    this.#cipher.close()
  }
}
