// The calling half of a handshake, whatever carries it: one hello to one contact, fresh keys and a fresh time stamp each,
// and the reading of the answer. Whoever can answer holds the contact's transport key.

import { type Random } from '../base/random.ts'
import { HandshakeState, IK, type Transport } from '../crypto/noise.ts'
import { type PrivateKey, type Suite } from '../crypto/suite.ts'
import { decodePayload2, encodePayload1, FEATURES, KIND, type Payload2, prologueFor } from '../wire/hello.ts'

export interface GreetOptions {
  suite: Suite
  random: Random
  /** `token` is the own signed token payload, or empty. */
  self: { identity: Uint8Array; transportKey: PrivateKey; seq: bigint; token: Uint8Array }
  peer: { identity: Uint8Array; transport: Uint8Array }
  /** seq of the newest token of the peer that this side holds. */
  seqHeld: bigint
  /** Why we call, and for an invite its proof for the ephemeral key of a hello; as a contact without. */
  occasion?: Occasion
  /** Those of this version without. */
  features?: number
  /** A fresh, durably noted timestamp (unix microseconds) for one hello. What it throws, greet() throws. */
  stamp: () => Promise<bigint>
}

export type Occasion =
  | { readonly kind: typeof KIND.CONTACT | typeof KIND.REQUEST }
  | { readonly kind: typeof KIND.INVITE; readonly prove: (ephemeral: Uint8Array) => Uint8Array }

export interface Greeting {
  /** HELLO_SIZE bytes, to be sent. */
  readonly message: Uint8Array
  /** The keys and what the other side said; throws Malformed, and changes nothing, if this is not the answer. */
  read(answer: Uint8Array): { transport: Transport; hello: Payload2 }
}

/** `streamId`: for the stream that follows, 0 over TCP. */
export async function greet(options: GreetOptions, streamId: number): Promise<Greeting> {
  const { suite, random, self, peer, seqHeld, occasion = { kind: KIND.CONTACT }, features = FEATURES, stamp } = options
  const handshake = new HandshakeState({
    suite,
    random,
    pattern: IK,
    initiator: true,
    prologue: prologueFor(peer.identity),
    s: self.transportKey,
    rs: peer.transport,
  })
  const ts = await stamp()
  const payload = (ephemeral: Uint8Array): Uint8Array =>
    encodePayload1({
      kind: occasion.kind,
      identity: self.identity,
      ts,
      seqOwn: self.seq,
      seqHeld,
      features,
      streamId,
      inviteProof: occasion.kind === KIND.INVITE ? occasion.prove(ephemeral) : new Uint8Array(16),
      token: self.token,
    })
  return {
    message: handshake.writeMessage(payload),
    read(answer) {
      const hello = decodePayload2(handshake.readMessage(answer))
      return { transport: handshake.split(), hello }
    },
  }
}
