// The answering half of a handshake, whatever carried the hello: steps 2 to 8 of p2p-wire(7), HANDSHAKE. It guarantees
// that nobody hears anything before everything has fitted, and that a Link is made only after the initiator has shown
// that it holds the new keys. Undefined, Malformed and Lost all mean silence. It trusts the Responder to know who is who.

import { Reader } from '../base/bytes.ts'
import { type Clock } from '../base/clock.ts'
import { Malformed } from '../base/fail.ts'
import { type Random } from '../base/random.ts'
import { type HalfRead, HandshakeState, IK, type Transport } from '../crypto/noise.ts'
import { type PrivateKey, type Suite } from '../crypto/suite.ts'
import { decodePayload1, encodePayload2, ephemeralOf, type Payload1, type Payload2, prologueFor } from '../wire/hello.ts'
import { type Guard } from './guard.ts'
import { LENGTH_SIZE } from './inflow.ts'
import { type Intake } from './intake.ts'
import { Link, MESSAGE_MIN } from './link.ts'
import { type ByteStream, type Ending, type Endpoint } from './stream.ts'

const CONFIRM_MS = 10_000 // for the first transport message, from our answer

const EMPTY = new Uint8Array(0)

/** What only the floors above know. */
export interface Responder {
  /** Own I, 32 bytes. */
  readonly identity: Uint8Array
  /** Own T: the current one first, then older ones that are still honoured. */
  transportKeys(): readonly PrivateKey[]
  /** Whether this T is some contact's: a first look, nothing is proven yet. */
  knows(transport: Uint8Array): 'contact' | 'unknown'
  /**
   * The decision: I and T belong together and to a contact, ts is new and durably noted. Undefined is silence.
   * `transport` is proven, `ephemeral` is the e of this hello; p2p-wire(7), HANDSHAKE, steps 5 and 6.
   */
  admit(
    transport: Uint8Array,
    payload: Payload1,
    source: Endpoint,
    ephemeral: Uint8Array,
  ): Promise<Omit<Payload2, 'observed'> | undefined>
}

export interface AnswerOptions {
  suite: Suite
  random: Random
  clock: Clock
  guard: Guard<Ending>
  responder: Responder
}

/** A contact's hello and what it gets for it; nothing of it has been sent. */
export interface Answer {
  /** HELLO_SIZE bytes. */
  readonly message: Uint8Array
  readonly keys: Transport
  readonly peer: { readonly identity: Uint8Array; readonly transport: Uint8Array }
  readonly payload: Payload1
  readonly features: number
}

/**
 * Steps 2 to 7, without the sending. `caller` is what the guard counts; `streamId` is told to the initiator (0 over TCP).
 * A budget for the first DH has been taken.
 */
export async function answerHello(
  options: AnswerOptions,
  hello: Uint8Array,
  caller: Ending,
  source: Endpoint,
  streamId: number,
): Promise<Answer | undefined> {
  const { guard, responder } = options
  // 2: es, open s, with each of our keys
  const opened = open(options, hello)
  if (opened === undefined) return undefined
  const { handshake, half } = opened
  // 3: a contact, or a budget for strangers
  if (responder.knows(half.claimedStatic) === 'unknown' && !guard.unknown(source.ip)) return undefined
  // 4: ss, open the payload
  const payload = decodePayload1(half.readPayload())
  const transport = handshake.remoteStatic
  if (transport === undefined || !guard.answer(caller, source.ip)) return undefined
  // 5 and 6: who it is, and that it is no replay
  const answer = await responder.admit(transport, payload, source, ephemeralOf(hello))
  if (answer === undefined) return undefined
  // 7: the answer
  const message = handshake.writeMessage(encodePayload2({ ...answer, streamId, observed: source }))
  const peer = { identity: payload.identity, transport }
  return { message, keys: handshake.split(), peer, payload, features: answer.features }
}

function open(
  { suite, random, responder }: AnswerOptions,
  hello: Uint8Array,
): { handshake: HandshakeState; half: HalfRead } | undefined {
  for (const s of responder.transportKeys()) {
    const prologue = prologueFor(responder.identity)
    const handshake = new HandshakeState({ suite, random, pattern: IK, initiator: false, prologue, s })
    try {
      return { handshake, half: handshake.readStatic(hello) }
    } catch (error) {
      if (!(error instanceof Malformed)) throw error
    }
  }
  return undefined
}

/** Step 8, after the answer was sent: not a byte more, and no act, before the initiator has shown its keys. */
export async function confirm(
  { keys, peer, payload, features }: Answer,
  stream: ByteStream,
  intake: Intake,
  clock: Clock,
): Promise<Link | undefined> {
  const deadline = clock.monotonic() + CONFIRM_MS
  const length = await intake.exactly(LENGTH_SIZE, deadline)
  if (typeof length === 'string') return undefined
  const size = new Reader(length).u16()
  if (size < MESSAGE_MIN) return undefined
  const sealed = await intake.exactly(size, deadline)
  if (typeof sealed === 'string') return undefined
  const first = keys.receive.decryptWithAd(EMPTY, sealed)
  return new Link({ stream, transport: keys, initiator: false, peer, hello: payload, features, clock, first })
}
