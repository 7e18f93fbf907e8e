// How a side that has moved is recognised at its new address: by marks, datagrams of 32 bytes that only the two ends of
// a session can make, each good once, random to all others. p2p-wire(7), UDP. Pure; it trusts the exporter of the
// session. Who catches a mark and sends it from elsewhere diverts the session until the next one comes, and can neither
// read nor change anything: as in WireGuard.

import { hex, utf8, Writer } from '../base/bytes.ts'
import { type Suite } from '../crypto/suite.ts'

/** Bytes of a mark; openers have as many. */
export const MARK_SIZE = 32

const LABEL = utf8('p2p/1 roam')
const AHEAD = 16 // marks that may get lost one after the other before a side is not recognised any more

/** The marks of one direction of a session: made at one end, expected at the other. */
export class Marks {
  readonly #suite: Suite
  readonly #key: Uint8Array
  #next = 0

  /** Those that the initiator makes, or those that the responder makes. */
  constructor(suite: Suite, exporter: Uint8Array, initiator: boolean) {
    this.#suite = suite
    this.#key = suite.hmac(exporter, LABEL, Uint8Array.of(initiator ? 1 : 0))
  }

  #at(counter: number): Uint8Array {
    return this.#suite.hmac(this.#key, new Writer().u64(BigInt(counter)).finish())
  }

  /** The next one to send. */
  make(): Uint8Array {
    return this.#at(this.#next++)
  }

  /** Those that may come next, in hexadecimal. */
  expected(): string[] {
    return Array.from({ length: AHEAD }, (_, i) => hex(this.#at(this.#next + i)))
  }

  /** One of those came: it and those before it are used up. */
  spend(mark: string): void {
    this.#next += this.expected().indexOf(mark) + 1
  }
}

/** Which session a mark belongs to. */
export class Roll<T> {
  readonly #sessions = new Map<string, { marks: Marks; owner: T }>()

  get size(): number {
    return this.#sessions.size
  }

  add(marks: Marks, owner: T): void {
    for (const mark of marks.expected()) this.#sessions.set(mark, { marks, owner })
  }

  remove(marks: Marks): void {
    for (const mark of marks.expected()) this.#sessions.delete(mark)
  }

  /** Whose mark this is; it is nobody's from now on. */
  take(datagram: Uint8Array): T | undefined {
    const mark = hex(datagram)
    const found = this.#sessions.get(mark)
    if (found === undefined) return undefined
    const { marks, owner } = found
    this.remove(marks)
    marks.spend(mark)
    this.add(marks, owner)
    return owner
  }
}
