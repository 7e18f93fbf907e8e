// The handshakes of the Noise Protocol Framework, revision 34: an interpreter of message patterns, names as in its
// text. It guarantees that a state only moves forward over messages that were authentic as a whole (a refused message
// leaves it as it was) and that ephemerals are always fresh. It trusts its Suite and its Random. Every refusal of
// foreign bytes is one Malformed, 'cannot open', whatever the reason; any other error is a bug of the caller.

import { concat } from '../base/bytes.ts'
import { Malformed } from '../base/fail.ts'
import { type Random } from '../base/random.ts'
import { type CipherState, MESSAGE_MAX, SymmetricState, TAG_LENGTH } from './noisestate.ts'
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
const EMPTY = new Uint8Array(0)

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

  /** The next message, at most 65535 bytes. A payload may be made of the ephemeral key that goes before it. */
  writeMessage(payload: Uint8Array | ((ephemeral: Uint8Array) => Uint8Array)): Uint8Array {
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
    parts.push(symmetric.encryptAndHash(typeof payload === 'function' ? payload(known(this.#e).publicKey) : payload))
    const message = concat(...parts)
    if (message.length > MESSAGE_MAX) throw new RangeError('message too long')
    this.#turn++
    return message
  }

  /** The payload of the other side's next message; throws Malformed and changes nothing unless it is authentic. */
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
