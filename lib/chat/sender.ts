// What is written in a conversation, on its way: as p2p-send accepts and offers it. Loaded when the first message is
// sent.

import { loadHash } from '../crypto/suite.ts'
import { compose, limitFor, type Letter } from '../delivery/compose.ts'
import type { Outcome } from '../delivery/desk.ts'
import { Outbox } from '../delivery/outbox.ts'
import type { Transfer } from '../delivery/transfer.ts'
import type { Config } from '../disk/config.ts'
import { checkSendable, type Contact } from '../disk/contact.ts'
import type { Home } from '../disk/home.ts'
import type { Self } from '../disk/self.ts'
import type { Keyring } from '../disk/keyring.ts'
import type { Queued } from '../disk/queued.ts'
import type { Hash } from '../wire/envelope.ts'

/** How long a message is offered at once; the listener goes on with it. */
const WAIT_MS = 20_000

export interface SenderOptions {
  home: Home
  config: Config
  signal: AbortSignal
  queued: (queued: Queued) => Promise<void>
  outcome: (outcome: Outcome) => Promise<void>
  progress: (transfer: Transfer) => void
}

export class Sender {
  readonly #options: SenderOptions
  readonly #hash: Hash
  #keyring: Keyring
  #outbox: Outbox
  readonly #ending: Promise<unknown>[] = []

  private constructor(options: SenderOptions, hash: Hash, keyring: Keyring) {
    this.#options = options
    this.#hash = hash
    this.#keyring = keyring
    this.#outbox = this.#open()
  }

  static async open(options: SenderOptions, keyring: Keyring, env: NodeJS.ProcessEnv): Promise<Sender> {
    return new Sender(options, await loadHash(env), keyring)
  }

  /** Accepts a message for a contact or oneself: it is safe when this resolves. Throws Failure 65, 66, 74, 77. */
  async say(to: Contact | Self, letter: Partial<Letter>): Promise<void> {
    const { home, config } = this.#options
    if (!('me' in to)) checkSendable(to)
    const composed = await compose(home, this.#hash, { attachments: [], ...letter }, limitFor(config, [to]))
    await this.#outbox.accept([{ to: [to], composed }])
  }

  /** Contacts have changed; what is under way goes on with what it has. */
  know(keyring: Keyring): void {
    this.#ending.push(this.#outbox.finish().catch(() => undefined))
    this.#keyring = keyring
    this.#outbox = this.#open()
  }

  /** Resolves when all that is under way has ended. */
  async close(): Promise<void> {
    await this.#outbox.finish().catch(() => undefined)
    await Promise.all(this.#ending)
  }

  #open(): Outbox {
    const { home, config, signal, queued, outcome, progress } = this.#options
    return new Outbox({
      home,
      keyring: this.#keyring,
      config,
      hash: this.#hash,
      waitMs: WAIT_MS,
      signal,
      teller: { queued, outcome, progress, noted: () => Promise.resolve() },
    })
  }
}
