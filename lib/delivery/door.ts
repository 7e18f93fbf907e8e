// Who may call this home, and what they hear: steps 3, 5 and 6 of p2p-wire(7), HANDSHAKE. Nobody but a contact that is
// welcome, whose identity and transport key belong together, and whose hello is new; and whoever brings an invite, who is
// a contact from then on. A stranger's request is kept if this home takes requests. It hears nothing, as all others.

import { equal } from '../base/bytes.ts'
import { Malformed } from '../base/fail.ts'
import { base58 } from '../base/key.ts'
import type { PrivateKey, Suite } from '../crypto/suite.ts'
import type { Config } from '../disk/config.ts'
import { type Contact, isWelcome } from '../disk/contact.ts'
import { HelloLog } from '../disk/hellos.ts'
import type { Home } from '../disk/home.ts'
import { isRevoked, type Keyring } from '../disk/keyring.ts'
import { type Caller, checkCaller, spendInvite, takeNewcomer } from '../disk/newcomer.ts'
import { keepRequest, type KnockRequest } from '../disk/quarantine.ts'
import type { Responder } from '../net/answer.ts'
import { sourceOf } from '../net/guard.ts'
import type { Endpoint } from '../net/stream.ts'
import { FEATURES, KIND, type Payload1, type Payload2 } from '../wire/hello.ts'
import { parseTokenBytes } from '../wire/token.ts'
import type { NewsDesk } from './news.ts'

export interface DoorOptions {
  home: Home
  suite: Suite
  config: () => Config
  /** As they are now. */
  keyring: () => Keyring
  keys: () => readonly PrivateKey[]
  /** Reads the keyring anew. */
  reload: () => Promise<void>
  news: NewsDesk
  /** A stranger's request came that was not there before. */
  requested: (request: KnockRequest) => void
}

/** Who somebody says to be: I, and the own token if it is newer than the one held here. */
export type Claim = Pick<Payload1, 'identity' | 'seqOwn' | 'token'>

export class Door implements Responder {
  readonly identity: Uint8Array
  readonly #options: DoorOptions
  readonly #hellos: HelloLog
  /** Requests are kept one after the other: room for one is made for one. */
  #knocks: Promise<unknown> = Promise.resolve()

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

  async admit(
    transport: Uint8Array,
    payload: Payload1,
    source: Endpoint,
    ephemeral: Uint8Array,
  ): Promise<Omit<Payload2, 'observed'> | undefined> {
    const { home, suite, keyring } = this.#options
    const { identity, token, inviteProof } = payload
    const caller: Caller = { ephemeral, identity, transport, token }
    const known = keyring().byIdentity(identity)
    const contact = known === undefined ? await this.#meet(caller, payload, source) : await this.contactOf(transport, payload)
    if (contact === undefined) return undefined
    if (known !== undefined && payload.kind === KIND.INVITE) await spendInvite(home, suite, caller, inviteProof)
    if (!(await this.#hellos.accept(contact.key, transport, payload.ts))) return undefined
    const { self } = keyring()
    return {
      seqOwn: self.token.seq,
      features: payload.features & FEATURES,
      streamId: 0,
      clock: BigInt(home.clock.now()),
      token: payload.seqHeld < self.token.seq ? self.token.bytes : new Uint8Array(0),
    }
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
    return belongs(contact, transport) ? contact : undefined
  }

  /** Nobody yet: a contact if there is an invite for the caller. */
  async #meet(caller: Caller, { kind, inviteProof }: Payload1, source: Endpoint): Promise<Contact | undefined> {
    const { home, suite, reload, config } = this.#options
    if (kind === KIND.INVITE) {
      const contact = await takeNewcomer(home, suite, caller, inviteProof)
      if (contact !== undefined) await reload()
      return belongs(contact, caller.transport) ? contact : undefined
    }
    if (kind === KIND.REQUEST && config().requests) {
      const turn = this.#knocks.then(() => this.#knock(caller, sourceOf(source.ip)))
      this.#knocks = turn.catch(() => undefined)
      await turn
    }
    return undefined
  }

  async #knock(caller: Caller, source: string): Promise<void> {
    const { home, requested } = this.#options
    const token = await checkCaller(home, caller)
    if (token === undefined || (await isRevoked(home, base58(token.identity)))) return
    const request = await keepRequest(home, token, source)
    if (request !== undefined) requested(request)
  }
}

function belongs(contact: Contact | undefined, transport: Uint8Array): contact is Contact {
  return contact !== undefined && isWelcome(contact) && equal(contact.transport, transport)
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
