// Contacts that are not there are also looked for by TCP simultaneous open, lib/net/together.ts: at moments that both
// sides know, for a few seconds, towards every outside address of theirs. It costs a few SYNs a minute, later every five
// minutes, and is what is left where no UDP gets through.

import { Failure, Malformed } from '../base/fail.ts'
import type { Contact } from '../disk/contact.ts'
import { greetOver } from '../net/dial.ts'
import { localAddresses } from '../net/interfaces.ts'
import type { Link } from '../net/link.ts'
import { NAT_CLASS } from '../net/outside.ts'
import { type ByteStream, Lost } from '../net/stream.ts'
import { type Couple, nextMoment, openTogether, WINDOW_MS } from '../net/together.ts'
import { isGlobal } from '../wire/address.ts'
import { parseIp } from '../wire/ip.ts'
import { isFullDisk } from './limits.ts'
import { coupleOf, type Held as HeldContact, Missed } from './missed.ts'
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

interface More {
  readonly couple: Couple
}

type Held = HeldContact & More

export class Togetherness {
  readonly #options: TogethernessOptions
  readonly #missed: Missed<More>

  constructor(options: TogethernessOptions) {
    this.#options = options
    const { station, only } = options
    this.#missed = new Missed({ station, only, make: (contact) => ({ couple: coupleOf(station, contact) }) })
  }

  /** Begins, or takes in that the keyring is another: who is known may have other addresses. */
  start(): void {
    const { begun, kept } = this.#missed.takeIn()
    for (const held of [...begun, ...kept]) this.#schedule(held)
  }

  stop(): void {
    this.#missed.stop()
  }

  /** The contact is away again, or this machine has moved (all). */
  restart(key?: string): void {
    const now = this.#options.station.home.clock.now()
    for (const held of this.#missed.of(key)) {
      held.since = now
      this.#schedule(held)
    }
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
    const until = AbortSignal.any([over.signal, this.#missed.stopped])
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
    const { whereabouts, home } = this.#options.station
    return whereabouts.outside.natClass(localAddresses(home.port).map(({ host }) => host)) === NAT_CLASS.SYMMETRIC
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
