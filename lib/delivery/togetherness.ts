// Contacts that are not there are also looked for by TCP simultaneous open, lib/net/together.ts: at moments that both
// sides know, for a few seconds, towards every outside address of theirs. It costs a few SYNs a minute, later every five
// minutes, and is what is left where no UDP gets through.

import { compare, hex } from '../base/bytes.ts'
import { Failure, Malformed } from '../base/fail.ts'
import { type Contact, isWelcome } from '../disk/contact.ts'
import { greetOver } from '../net/dial.ts'
import { localAddresses } from '../net/interfaces.ts'
import type { Link } from '../net/link.ts'
import { NAT_CLASS } from '../net/outside.ts'
import { rendezvousKey } from '../net/rendezvous.ts'
import { type ByteStream, Lost } from '../net/stream.ts'
import { type Couple, nextMoment, openTogether, WINDOW_MS } from '../net/together.ts'
import { isGlobal } from '../wire/address.ts'
import { parseIp } from '../wire/ip.ts'
import { isFullDisk } from './limits.ts'
import type { Station } from './station.ts'

/** Who has been away for so long is looked for rarely. */
const LONG_MS = 600_000

/** UDP comes first. */
const FIRST_MS = 10_000

const HELLO_MS = 10_000
const PLACES_MAX = 4

export interface TogethernessOptions {
  station: Station
  isUp: (key: string) => boolean
  /** Only this contact (KEY) is looked for. */
  only?: string | undefined
  /** A connection that the other side will say hello over. */
  meet: (stream: ByteStream) => void
  onLink: (link: Link) => void
  fail: (error: unknown) => void
}

interface Held {
  readonly key: string
  readonly transport: string
  readonly couple: Couple
  /** Unix ms since when it has been away. */
  since: number
  cancel: () => void
}

export class Togetherness {
  readonly #options: TogethernessOptions
  readonly #held = new Map<string, Held>()
  readonly #stopped = new AbortController()

  constructor(options: TogethernessOptions) {
    this.#options = options
  }

  /** Begins, or takes in that the keyring is another. */
  start(): void {
    const { station, only } = this.#options
    if (this.#stopped.signal.aborted) return
    const welcome = station.keyring.all().filter((contact) => isWelcome(contact) && (only ?? contact.key) === contact.key)
    for (const contact of welcome) {
      const held = this.#held.get(contact.key)
      if (held?.transport === hex(contact.transport)) this.#schedule(held)
      else this.#begin(contact)
    }
    for (const [key, held] of this.#held) {
      if (welcome.some((contact) => contact.key === key)) continue
      held.cancel()
      this.#held.delete(key)
    }
  }

  stop(): void {
    this.#stopped.abort()
    for (const held of this.#held.values()) held.cancel()
  }

  /** The contact is away again, or this machine has moved (all). */
  restart(key?: string): void {
    const now = this.#options.station.home.clock.now()
    for (const held of this.#held.values()) {
      if (key !== undefined && held.key !== key) continue
      held.since = now
      this.#schedule(held)
    }
  }

  #begin(contact: Contact): void {
    const { home, suite, keyring, ownKey } = this.#options.station
    this.#held.get(contact.key)?.cancel()
    const { identity } = keyring.self
    const secret = rendezvousKey(suite, { self: { identity, key: ownKey }, peer: contact })
    const lower = compare(identity, contact.identity) < 0 ? identity : contact.identity
    const couple = { suite, secret, self: identity, peer: contact.identity, lower }
    const held: Held = { key: contact.key, transport: hex(contact.transport), couple, since: home.clock.now(), cancel: () => undefined }
    this.#held.set(contact.key, held)
    this.#schedule(held)
  }

  #schedule(held: Held): void {
    const { clock } = this.#options.station.home
    held.cancel()
    if (this.#outside(held.key).length === 0) return
    const now = clock.now()
    const moment = nextMoment(held.couple, Math.max(now, held.since + FIRST_MS), now - held.since > LONG_MS)
    held.cancel = clock.after(moment.at - now, () => {
      this.#schedule(held)
      const late = clock.now() - moment.at > WINDOW_MS // the machine slept
      if (!late && !this.#options.isUp(held.key)) this.#open(held, moment.from, moment.to).catch((error: unknown) => this.#hindered(error))
    }, true)
  }

  /** Where the contact may be behind its router. */
  #outside(key: string): string[] {
    const contact = this.#options.station.keyring.byKey(key)
    const known = contact === undefined ? [] : [...contact.sessionAddresses, ...contact.addresses]
    const global = known.filter((address) => isGlobal(address) && parseIp(address.host) !== undefined)
    const own = localAddresses(0).map(({ host }) => host)
    return [...new Set(global.map(({ host }) => host))].filter((ip) => !own.includes(ip)).slice(0, PLACES_MAX)
  }

  async #open(held: Held, from: number, port: number): Promise<void> {
    const { station } = this.#options
    const { clock } = station.home
    const contact = station.keyring.byKey(held.key)
    if (contact === undefined || this.#isHopeless()) return
    const over = new AbortController()
    const cancel = clock.after(WINDOW_MS, () => over.abort())
    const until = AbortSignal.any([over.signal, this.#stopped.signal])
    const opened = this.#outside(held.key).map(async (ip) => {
      const stream = await openTogether(clock, from, { ip, port }, until)
      if (stream === undefined) return
      if (over.signal.aborted || this.#options.isUp(held.key)) return stream.destroy()
      over.abort()
      if (held.couple.lower === held.couple.self) await this.#greet(contact, stream)
      else this.#options.meet(stream)
    })
    await Promise.all(opened).finally(cancel)
  }

  /** A NAT that gives each destination another port: nobody could know which. */
  #isHopeless(): boolean {
    const { outside, home } = this.#options.station
    return outside.natClass(localAddresses(home.port).map(({ host }) => host)) === NAT_CLASS.SYMMETRIC
  }

  async #greet(contact: Contact, stream: ByteStream): Promise<void> {
    const { station, onLink } = this.#options
    const { clock } = station.home
    const { greeting, forget } = await station.greeting(contact)
    try {
      const link = await greetOver(stream, greeting, clock, clock.monotonic() + HELLO_MS)
      if (typeof link === 'string') return stream.destroy()
      station.greeted(contact, link)
      onLink(link)
    } catch (error) {
      stream.destroy()
      if (!(error instanceof Malformed || error instanceof Lost)) throw error
    } finally {
      forget()
    }
  }

  /** What must be noted before a hello is sent: what hinders that passes, unless the disk fails. */
  #hindered(error: unknown): void {
    if (!(error instanceof Failure) && !isFullDisk(error)) this.#options.fail(error)
  }
}
