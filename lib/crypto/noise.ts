// The Noise Protocol Framework, revision 34: an interpreter of message patterns, object and method names as in its
// text. It guarantees that a state only moves forward over messages that were authentic as a whole (a refused message
// leaves it as it was) and that ephemerals are always fresh. It trusts its Suite and its Random. Every refusal of
// foreign bytes is one Malformed, 'cannot open', whatever the reason; any other error is a bug of the caller.

import { concat, utf8 } from '../base/bytes.ts'
import { Malformed } from '../base/fail.ts'
import { type Random } from '../base/random.ts'
import { type PrivateKey, type Suite } from './suite.ts'

export type Token = 'e' | 's' | 'ee' | 'es' | 'se' | 'ss' | 'psk'

/** A handshake pattern of Noise 7; messages alternate, the initiator writes the first. */
export interface Pattern {
  readonly name: string
  /** Whose static key the other side knows beforehand. */
  readonly preMessages: { readonly initiator: readonly 's'[]; readonly responder: readonly 's'[] }
  readonly messages: readonly (readonly Token[])[]
}

// Noise 7.5
export const IK: Pattern = {
  name: 'IK',
  preMessages: { initiator: [], responder: ['s'] },
  messages: [
    ['e', 'es', 's', 'ss'],
    ['e', 'ee', 'se'],
  ],
}

// Noise 7.4: one way
export const X: Pattern = {
  name: 'X',
  preMessages: { initiator: [], responder: ['s'] },
  messages: [['e', 'es', 's', 'ss']],
}

const DH_LENGTH = 32
const KEY_LENGTH = 32
const TAG_LENGTH = 16
const MESSAGE_MAX = 65_535 // Noise 3
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

  /** plaintext sealed with the next nonce: 16 bytes longer. */
  encryptWithAd(ad: Uint8Array, plaintext: Uint8Array): Uint8Array {
    if (this.#closed) throw new Error('cipher state is closed')
    if (this.#key === undefined) return plaintext
    if (plaintext.length > MESSAGE_MAX - TAG_LENGTH) throw new RangeError('message too long')
    const sealed = this.#suite.seal(this.#key, this.#nextNonce(), ad, plaintext)
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

export interface HandshakeOptions {
  suite: Suite
  random: Random
  pattern: Pattern
  initiator: boolean
  prologue: Uint8Array
  /** Own static key. */
  s?: PrivateKey
  /** The other side's static public key, where the pattern says it is known. */
  rs?: Uint8Array
  /** 32 bytes each, in the order of the pattern's psk tokens. */
  psks?: readonly Uint8Array[]
}

/** What a finished handshake leaves behind. */
export interface Transport {
  /** Own messages; after a one-way pattern the unused direction is closed. */
  readonly send: CipherState
  readonly receive: CipherState
  /** h of the whole transcript: public, the same on both sides, unique. */
  readonly handshakeHash: Uint8Array
  /** A secret both sides know, 32 bytes: p2p-wire(7), HANDSHAKE. */
  readonly exporter: Uint8Array
}

/** A message opened up to the sender's static key; the handshake itself has not moved yet. */
export interface HalfRead {
  /** Decrypted, but nobody has proven to own it: good for looking up who may call, for nothing else. */
  readonly claimedStatic: Uint8Array
  /** Reads the rest, moves the handshake on and returns the payload; throws Malformed and moves nothing otherwise. */
  readPayload(): Uint8Array
}

/** What reading a message changes; kept apart until the message has proven authentic. */
interface Progress {
  symmetric: SymmetricState
  re: Uint8Array | undefined
  rs: Uint8Array | undefined
  psk: number
}

/** Noise 5.3. */
export class HandshakeState {
  readonly #suite: Suite
  readonly #random: Random
  readonly #pattern: Pattern
  readonly #initiator: boolean
  readonly #psks: readonly Uint8Array[]
  readonly #s: PrivateKey | undefined
  #e: PrivateKey | undefined
  #at: Progress
  /** Index of the next message of the pattern; Infinity after split. */
  #turn = 0

  constructor(options: HandshakeOptions) {
    const { suite, pattern, initiator, s, rs } = options
    this.#suite = suite
    this.#random = options.random
    this.#pattern = pattern
    this.#initiator = initiator
    this.#psks = options.psks ?? []
    this.#s = s
    const symmetric = new SymmetricState(suite, `Noise_${pattern.name}_25519_ChaChaPoly_${suite.hashName}`)
    symmetric.mixHash(options.prologue)
    const { preMessages } = pattern
    const own = s?.publicKey
    for (const _ of preMessages.initiator) symmetric.mixHash(known(initiator ? own : rs))
    for (const _ of preMessages.responder) symmetric.mixHash(known(initiator ? rs : own))
    this.#at = { symmetric, re: undefined, rs: rs === undefined ? undefined : new Uint8Array(rs), psk: 0 }
  }

  /** The other side's static key: given, or proven by a message read as a whole; undefined before that. */
  get remoteStatic(): Uint8Array | undefined {
    return this.#at.rs
  }

  /** True once every message of the pattern has been written and read: time to split(). */
  get finished(): boolean {
    return this.#turn === this.#pattern.messages.length
  }

  /** A fresh key pair. Protected so that the tests, and only they, can reproduce published transcripts. */
  protected generateEphemeral(suite: Suite, random: Random): PrivateKey {
    return suite.generate(random)
  }

  /** The next message, at most 65535 bytes. */
  writeMessage(payload: Uint8Array): Uint8Array {
    const tokens = this.#tokens(true)
    const { symmetric } = this.#at
    const parts: Uint8Array[] = []
    for (const token of tokens) {
      if (token === 'e') {
        this.#e = this.generateEphemeral(this.#suite, this.#random)
        parts.push(this.#e.publicKey)
        this.#mixEphemeral(symmetric, this.#e.publicKey)
      } else if (token === 's') {
        parts.push(symmetric.encryptAndHash(known(this.#s).publicKey))
      } else {
        this.#mixSecret(this.#at, token)
      }
    }
    parts.push(symmetric.encryptAndHash(payload))
    const message = concat(...parts)
    if (message.length > MESSAGE_MAX) throw new RangeError('message too long')
    this.#turn++
    return message
  }

  /** The payload of the other side's next message; throws Malformed and changes nothing unless all of it is authentic. */
  readMessage(message: Uint8Array): Uint8Array {
    return this.#read(message, false).readPayload()
  }

  /**
   * Reads a message that carries a static key up to that key only, so that the caller can decide whether the rest
   * is worth its work. Throws Malformed if that much is not authentic. The handshake moves on in readPayload().
   */
  readStatic(message: Uint8Array): HalfRead {
    return this.#read(message, true)
  }

  /** The transport ciphers and the exporter of a finished handshake; everything else is wiped. Once only. */
  split(): Transport {
    if (!this.finished) throw new Error('handshake is not finished')
    const { symmetric } = this.#at
    const handshakeHash = symmetric.getHandshakeHash()
    const exporter = symmetric.exporter()
    const [first, second] = symmetric.split()
    this.#e?.wipe()
    this.#e = undefined
    this.#turn = Infinity
    if (this.#pattern.messages.length === 1) second.close() // Noise 7.4: nothing goes back
    const [send, receive] = this.#initiator ? [first, second] : [second, first]
    return { send, receive, handshakeHash, exporter }
  }

  #tokens(writing: boolean): readonly Token[] {
    const tokens = this.#pattern.messages[this.#turn]
    if (tokens === undefined) throw new Error('handshake has no further message')
    if ((this.#turn % 2 === 0) !== (this.#initiator === writing)) throw new Error('not the turn of this side')
    return tokens
  }

  #mixEphemeral(symmetric: SymmetricState, publicKey: Uint8Array): void {
    symmetric.mixHash(publicKey)
    if (this.#pattern.messages.some((tokens) => tokens.includes('psk'))) symmetric.mixKey(publicKey) // Noise 9.2
  }

  #mixSecret(at: Progress, token: Exclude<Token, 'e' | 's'>): void {
    if (token === 'psk') {
      at.symmetric.mixKeyAndHash(known(this.#psks[at.psk++]))
      return
    }
    const [mine, theirs] = this.#initiator ? [token[0], token[1]] : [token[1], token[0]]
    const shared = this.#suite.dh(known(mine === 'e' ? this.#e : this.#s), known(theirs === 'e' ? at.re : at.rs))
    at.symmetric.mixKey(shared)
    shared.fill(0)
  }

  #read(message: Uint8Array, half: boolean): HalfRead {
    const tokens = this.#tokens(false)
    const turn = this.#turn
    const stop = half ? tokens.indexOf('s') + 1 : 0
    if (half && stop === 0) throw new Error('message carries no static key')
    const at: Progress = { ...this.#at, symmetric: this.#at.symmetric.clone() }
    let offset = 0
    const take = (size: number): Uint8Array => {
      if (message.length - offset < size) throw new Malformed('cannot open')
      offset += size
      return message.subarray(offset - size, offset)
    }
    const step = (token: Token): void => {
      if (token === 'e') {
        at.re = new Uint8Array(take(DH_LENGTH))
        this.#mixEphemeral(at.symmetric, at.re)
      } else if (token === 's') {
        const size = at.symmetric.hasKey() ? DH_LENGTH + TAG_LENGTH : DH_LENGTH
        at.rs = new Uint8Array(at.symmetric.decryptAndHash(take(size)))
      } else {
        this.#mixSecret(at, token)
      }
    }
    const guarded = <T>(run: () => T): T => {
      try {
        return run()
      } catch (error) {
        at.symmetric.wipe()
        throw error
      }
    }
    guarded(() => {
      if (message.length > MESSAGE_MAX) throw new Malformed('cannot open')
      for (const token of tokens.slice(0, stop)) step(token)
    })
    return {
      claimedStatic: half ? known(at.rs) : EMPTY,
      readPayload: () => {
        if (this.#turn !== turn) throw new Error('message was read already')
        const payload = guarded(() => {
          for (const token of tokens.slice(stop)) step(token)
          return at.symmetric.decryptAndHash(message.subarray(offset))
        })
        this.#at.symmetric.wipe()
        this.#at = at
        this.#turn++
        return payload
      },
    }
  }
}

function known<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('handshake lacks a key')
  return value
}
