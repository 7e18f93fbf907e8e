// A link between two simulated processes without a handshake: the shipped Link, with its frames as they are, over
// connections that lose nothing until they break, under ciphers that do nothing.

import { concat, equal } from '../../lib/base/bytes.ts'
import { Malformed } from '../../lib/base/fail.ts'
import type { Transport } from '../../lib/crypto/noise.ts'
import type { Contact } from '../../lib/disk/contact.ts'
import { Link } from '../../lib/net/link.ts'
import { type Payload2, PUSHES } from '../../lib/wire/hello.ts'
import type { Proc } from './machine.ts'
import { type Cargo, type Carrier, SimStream } from './stream.ts'

const SECRET = new Uint8Array(32)

/** Numbers its messages and finds out about one that is missing. */
class Counter {
  #n = 0

  encryptWithAd(_ad: Uint8Array, plaintext: Uint8Array): Uint8Array {
    return concat(plaintext, this.#tag())
  }

  decryptWithAd(_ad: Uint8Array, sealed: Uint8Array): Uint8Array {
    const size = sealed.length - 16
    if (!equal(sealed.subarray(size), this.#tag())) throw new Malformed('cannot open')
    return Uint8Array.from(sealed.subarray(0, size)) // of a Buffer slice() is a view
  }

  #tag(): Uint8Array {
    const tag = new Uint8Array(16)
    new DataView(tag.buffer).setUint32(0, this.#n++)
    return tag
  }

  close(): void {}
}

function transport(): Transport {
  const ciphers = { send: new Counter(), receive: new Counter() } as unknown as Pick<Transport, 'send' | 'receive'>
  return { ...ciphers, exporter: SECRET, handshakeHash: SECRET }
}

export class Wire implements Carrier {
  readonly ends: [SimStream, SimStream]
  readonly #onArrival: (to: Proc) => void

  constructor(caller: Proc, listener: Proc, onArrival: (to: Proc) => void) {
    this.#onArrival = onArrival
    const a = new SimStream(caller, { ip: '10.0.0.2', port: 20_001 }, this)
    const b = new SimStream(listener, { ip: '10.0.0.1', port: 40_000 }, this)
    a.other = b
    b.other = a
    this.ends = [a, b]
  }

  carry(from: SimStream, cargo: Cargo): void {
    this.#onArrival(from.other.process)
    if (cargo instanceof Uint8Array) from.under -= cargo.length
    from.other.arrive(cargo)
  }

  /** Both ends find that the connection is gone. */
  cut(): void {
    for (const end of this.ends) end.arrive('reset')
  }
}

/** `contacts`: whom the caller calls, and who calls the listener. */
export function links(wire: Wire, contacts: readonly [Contact, Contact]): [Link, Link] {
  const hello: Payload2 = {
    seqOwn: 1n,
    features: 0,
    streamId: 0,
    clock: BigInt(wire.ends[0].process.clock.now()),
    observed: undefined,
    token: new Uint8Array(0),
  }
  const hello1 = {
    kind: 0,
    identity: contacts[1].identity,
    ts: wire.ends[0].process.clock.micros(),
    seqOwn: 1n,
    seqHeld: 1n,
    features: 0,
    streamId: 0,
    inviteProof: new Uint8Array(16),
    token: new Uint8Array(0),
  }
  const both = { transport: transport(), features: PUSHES }
  return [
    new Link({ ...both, transport: transport(), stream: wire.ends[0], initiator: true, peer: contacts[0], hello, clock: wire.ends[0].process.clock }),
    new Link({ ...both, transport: transport(), stream: wire.ends[1], initiator: false, peer: contacts[1], hello: hello1, clock: wire.ends[1].process.clock }),
  ]
}
