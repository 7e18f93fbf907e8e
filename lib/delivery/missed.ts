// Contacts that are not there: one of them for each contact that is welcome, as the keyring has it, and begun anew when
// the contact has another key, which makes other moments. Since when it is missed, whether something waits for it, and
// who else sees to it, stand here for every way of looking for somebody; when and how is up to each way.

import { compare, hex } from '../base/bytes.ts'
import { type Contact, isWelcome } from '../disk/contact.ts'
import { rendezvousKey } from '../net/rendezvous.ts'
import type { Couple } from '../net/together.ts'
import type { Station } from './station.ts'

export interface Held {
  readonly key: string
  /** Of the contact's T. */
  readonly transport: string
  /** Unix ms since when it has been missed. */
  since: number
  waits: boolean
  /** How many see to it themselves. */
  paused: number
  /** Ends the timer of its next time. */
  cancel: () => void
}

/** What this side and the contact know alike, and nobody else. */
export function coupleOf(station: Station, contact: Contact): Couple {
  const { suite, keyring, ownKey } = station
  const self = keyring.self.identity
  const peer = contact.identity
  const secret = rendezvousKey(suite, { self: { identity: self, key: ownKey }, peer: contact })
  return { suite, secret, self, peer, lower: compare(self, peer) < 0 ? self : peer }
}

export interface MissedOptions<More> {
  station: Station
  /** Only this contact (KEY); all without. */
  only?: string | undefined
  /** What one way of looking keeps beside the rest. */
  make: (contact: Contact) => More
}

export class Missed<More extends object> {
  readonly #options: MissedOptions<More>
  readonly #held = new Map<string, Held & More>()
  readonly #stopped = new AbortController()

  constructor(options: MissedOptions<More>) {
    this.#options = options
  }

  /** Aborted for good by stop(). */
  get stopped(): AbortSignal {
    return this.#stopped.signal
  }

  get(key: string): (Held & More) | undefined {
    return this.#held.get(key)
  }

  /** This contact, as far as it is held; all without `key`. */
  of(key?: string): (Held & More)[] {
    return [...this.#held.values()].filter((held) => key === undefined || held.key === key)
  }

  /** Takes in the keyring: who is not welcome any more is let go. Those that are new, or have another key, and the rest. */
  takeIn(): { begun: (Held & More)[]; kept: (Held & More)[] } {
    const { station, only, make } = this.#options
    const begun: (Held & More)[] = []
    const kept: (Held & More)[] = []
    if (this.#stopped.signal.aborted) return { begun, kept }
    const welcome = station.keyring.all().filter((contact) => isWelcome(contact) && (only ?? contact.key) === contact.key)
    for (const contact of welcome) {
      const { key } = contact
      const transport = hex(contact.transport)
      const before = this.#held.get(key)
      if (before?.transport === transport) {
        kept.push(before)
        continue
      }
      before?.cancel()
      const common = { key, transport, since: station.home.clock.now(), waits: false, paused: 0, cancel: () => undefined }
      const held = { ...common, ...make(contact) }
      this.#held.set(key, held)
      begun.push(held)
    }
    for (const [key, held] of this.#held) {
      if (welcome.some((contact) => contact.key === key)) continue
      held.cancel()
      this.#held.delete(key)
    }
    return { begun, kept }
  }

  /** This contact is left alone until the result is called: somebody else sees to it, or wants silence. */
  pause(key: string): () => void {
    const held = this.#held.get(key)
    if (held === undefined) return () => undefined
    held.paused++
    let over = false
    return () => {
      if (!over) held.paused--
      over = true
    }
  }

  /** Ends everything, for good. */
  stop(): void {
    this.#stopped.abort()
    for (const held of this.#held.values()) held.cancel()
    this.#held.clear()
  }
}
