// Who may call this home, and what they hear: steps 3, 5 and 6 of p2p-wire(7), HANDSHAKE. Nobody but a contact that is
// welcome, whose identity and transport key belong together, and whose hello is new.

import { equal } from '../base/bytes.ts'
import { Malformed } from '../base/fail.ts'
import type { PrivateKey } from '../crypto/suite.ts'
import { type Contact, isWelcome } from '../disk/contact.ts'
import { HelloLog } from '../disk/hellos.ts'
import type { Home } from '../disk/home.ts'
import type { Keyring } from '../disk/keyring.ts'
import type { Responder } from '../net/answer.ts'
import type { Payload1, Payload2 } from '../wire/hello.ts'
import { parseTokenBytes } from '../wire/token.ts'
import type { NewsDesk } from './news.ts'

export interface DoorOptions {
  home: Home
  /** As they are now. */
  keyring: () => Keyring
  keys: () => readonly PrivateKey[]
  news: NewsDesk
}

/** Who somebody says to be: I, and the own token if it is newer than the one held here. */
export type Claim = Pick<Payload1, 'identity' | 'seqOwn' | 'token'>

export class Door implements Responder {
  readonly identity: Uint8Array
  readonly #options: DoorOptions
  readonly #hellos: HelloLog

  constructor(options: DoorOptions) {
    this.identity = options.keyring().self.identity
    this.#options = options
    this.#hellos = new HelloLog(options.home)
  }

  transportKeys(): readonly PrivateKey[] {
    return this.#options.keys()
  }

  knows(transport: Uint8Array): 'contact' | 'unknown' {
    return this.#options.keyring().byTransport(transport) === undefined ? 'unknown' : 'contact'
  }

  /**
   * The welcome contact that this identity and this transport key belong to, after a newer token of its own was taken
   * in. Both belong to one contact, or somebody's token carries somebody else's T (an unknown key share).
   */
  async contactOf(transport: Uint8Array, claim: Claim): Promise<Contact | undefined> {
    const { keyring, news } = this.#options
    let contact = keyring().byIdentity(claim.identity)
    if (contact === undefined || !isWelcome(contact)) return undefined
    if (claim.seqOwn > contact.seq && carries(claim.token, transport)) contact = await news.take(contact, claim.token)
    if (contact === undefined || !isWelcome(contact) || !equal(contact.transport, transport)) return undefined
    return contact
  }

  async admit(transport: Uint8Array, payload: Payload1): Promise<Omit<Payload2, 'observed'> | undefined> {
    const { home, keyring } = this.#options
    const contact = await this.contactOf(transport, payload)
    if (contact === undefined) return undefined
    if (!(await this.#hellos.accept(contact.key, transport, payload.ts))) return undefined
    const { token } = keyring().self
    return {
      seqOwn: token.seq,
      features: 0,
      streamId: 0,
      clock: BigInt(home.clock.now()),
      token: payload.seqHeld < token.seq ? token.bytes : new Uint8Array(0),
    }
  }
}

/** Whether a token says that this T is its owner's; nothing of it is proven by that. */
function carries(token: Uint8Array, transport: Uint8Array): boolean {
  try {
    return token.length > 0 && equal(parseTokenBytes(token).transport, transport)
  } catch (error) {
    if (error instanceof Malformed) return false
    throw error
  }
}
