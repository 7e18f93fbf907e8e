// The listener beside a conversation: the one of this home if it runs, else one in this process for as long as the
// conversation is open, which gives way to one that is there to stay. Who is there is learnt from it over its socket in
// either case, as any other command would.

import { sleep } from '../base/clock.ts'
import { EX, Failure } from '../base/fail.ts'
import { ask, findListener } from '../delivery/control.ts'
import { Listener } from '../delivery/listener.ts'
import { UNTOLD } from '../delivery/listening.ts'
import type { Transfer } from '../delivery/transfer.ts'
import type { Config } from '../disk/config.ts'
import type { Home } from '../disk/home.ts'
import { loadKeyring } from '../disk/keyring.ts'
import type { Presence } from './presence.ts'

/** Between two looks for a listener that has ended. */
const AGAIN_MS = 1000

export interface CompanyOptions {
  home: Home
  reread: () => Promise<Config>
  signal: AbortSignal
  /** Learns who is there, and whether a listener is. */
  presence: Presence
  /** A contact came or went. */
  onPeer: (key: string, up: boolean) => void
  /** The listener came or went. */
  onListener: () => void
  /** How far a long message is that comes in, or goes out, by the own listener. */
  onProgress: (transfer: Transfer) => void
  /** Something a person should know. */
  onNotice: (text: string) => void
}

export class Company {
  readonly #options: CompanyOptions
  #own: Promise<void> | undefined

  constructor(options: CompanyOptions) {
    this.#options = options
  }

  /** Until the signal fires; then resolves when the own listener, if there is one, has ended cleanly. */
  async keep(): Promise<void> {
    const { home, signal, presence, onPeer, onNotice } = this.#options
    while (!signal.aborted) {
      const other = await findListener(home)
      if (other === undefined && this.#own === undefined) this.#start()
      await this.#watch()
      for (const key of presence.clear()) onPeer(key, false)
      if (!signal.aborted) this.#listener(undefined)
      await sleep(home.clock, AGAIN_MS, signal)
    }
    await this.#own?.catch((error: unknown) => onNotice(String(error)))
  }

  async #watch(): Promise<void> {
    const { home, signal, presence, onPeer } = this.#options
    await ask(home, { op: 'watch' }, { signal }, ({ type, key, state }) => {
      if (type === 'watching') this.#listener(this.#own === undefined ? 'listener' : 'own')
      if (type !== 'peer' || typeof key !== 'string') return
      presence.note(key, state === 'up')
      onPeer(key, state === 'up')
    })
  }

  #listener(here: Presence['listener']): void {
    this.#options.presence.listener = here
    this.#options.onListener()
  }

  #start(): void {
    this.#own = this.#run()
      .catch((error: unknown) => {
        // Another one was faster: it serves as well.
        if (error instanceof Failure && error.exit === EX.TEMPORARY) return
        this.#options.onNotice(error instanceof Error ? error.message : String(error))
      })
      .finally(() => {
        this.#own = undefined
      })
  }

  async #run(): Promise<void> {
    const { home, reread, signal, onNotice, onProgress } = this.#options
    const listener = new Listener({
      home,
      keyring: await loadKeyring(home),
      config: await reread(),
      reread,
      once: false,
      exec: undefined,
      guest: true,
      signal,
      ...UNTOLD,
      onProgress,
      onNotice: (text) => onNotice(text.replace(/; compare words: p2p-id verify \S+$/, '')), // here /words does that
    })
    await listener.run()
  }
}
