// The owner's part in p2p-punch(1): whoever has the port runs the punch, over TCP as well, proves that the contact
// answers, moves what waits on both sides, and says what was tried if nobody answered.

import type { Contact } from '../disk/contact.ts'
import { localAddresses } from '../net/interfaces.ts'
import type { Link } from '../net/link.ts'
import { NAT_CLASS } from '../net/outside.ts'
import { Tally } from '../net/tally.ts'
import { type Facts, verdict } from '../net/verdict.ts'
import { distinctAddresses, formatAddress, isPrivate } from '../wire/address.ts'
import { EXT_NAT, parseToken } from '../wire/token.ts'
import type { Message } from './control.ts'
import { recallSights } from './meeting.ts'
import type { Peers, Trouble } from './peers.ts'
import { Punch } from './punch.ts'
import { aborted, type Write } from './requests.ts'
import type { Session } from './session.ts'
import type { Station } from './station.ts'
import type { UdpSide } from './udpside.ts'

/** What the owner says of a punch, p2p-spool(5), listen.sock; steps are for people. */
export interface Opened {
  type: 'open'
  over: 'tcp' | 'udp'
  address: string
  /** Milliseconds since it was asked for, and of one round to the contact and back. */
  elapsed: number
  rtt?: number
  tried: Tried[]
}

export interface Tried {
  address: string
  over: 'tcp' | 'udp'
  openers?: number
  hellos?: number
  seen?: number
  reason?: string
}

export interface PunchesOptions {
  station: Station
  peers: Peers
  udp: UdpSide
  /** This side cannot go on. */
  fail: (error: unknown) => void
}

/** What is known of one punch. */
class Trial {
  readonly tally = new Tally([])
  tcp: Trouble | undefined

  get tried(): Tried[] {
    const udp = this.tally.places.map((counts): Tried => ({ ...counts, over: 'udp' }))
    const tcp = (this.tcp?.addresses ?? []).map(({ address, reason }): Tried => ({ address, over: 'tcp', reason }))
    return [...udp, ...tcp]
  }
}

export class Punches {
  readonly #options: PunchesOptions
  #recalled = false

  constructor(options: PunchesOptions) {
    this.#options = options
  }

  /** One request: key, wait (seconds, -1 without end), keep. */
  async serve({ key, wait, keep }: Message, write: Write, gone: AbortSignal): Promise<void> {
    const { station, peers } = this.#options
    const { clock } = station.home
    const contact = station.keyring.byKey(String(key))
    if (contact === undefined) return write({ type: 'error', text: 'not a contact' })
    await this.#recall()
    const late = new AbortController()
    const cancel = typeof wait === 'number' && wait >= 0 ? clock.after(wait * 1000, () => late.abort()) : (): void => undefined
    const over = AbortSignal.any([gone, late.signal])
    try {
      if (!(await this.#through(contact, write, over))) return
      await station.postmaster.expire(contact)
      let moved = await this.#move(contact.key, over)
      while (!moved && !over.aborted && (await this.#through(contact, () => undefined, over))) {
        moved = await this.#move(contact.key, over)
      }
      write({ type: 'flushed', complete: moved })
    } finally {
      cancel()
    }
    while (keep === true && !gone.aborted) {
      const session = await peers.arrival(contact.key, gone)
      if (session === undefined) return
      await Promise.race([session.ended, aborted(gone)])
      if (gone.aborted || peers.isUp(contact.key)) continue
      write({ type: 'lost' })
      const again = await peers.arrival(contact.key, gone)
      if (again !== undefined) write({ type: 'back', ...whereOf(again) })
    }
  }

  /** Moves what waits on both sides; false if a session broke, or time was over, before the end of that. */
  async #move(key: string, over: AbortSignal): Promise<boolean> {
    const { peers } = this.#options
    const known = new Set<Session>()
    let moved = false
    for (;;) {
      const fresh = peers.sessions(key).filter((session) => !known.has(session))
      if (fresh.length === 0 || over.aborted) return moved && !over.aborted
      peers.poke(key)
      for (const session of fresh) {
        known.add(session)
        await session.settled(over)
        // Of two sessions one ends; what it had in hand went, or goes over the other.
        if (!session.replaced) moved = session.link.reason === undefined || (await session.ended).end === 'done'
      }
    }
  }

  /** True once a session has shown that it lives; false when that was told to be impossible. */
  async #through(contact: Contact, write: Write, over: AbortSignal): Promise<boolean> {
    const { station, peers } = this.#options
    const { clock } = station.home
    const asked = clock.monotonic()
    const trial = new Trial()
    const done = new AbortController()
    const until = AbortSignal.any([over, done.signal])
    const trying = this.#try(contact, trial, write, until).then(() => done.abort())
    try {
      while (!over.aborted) {
        const session = await peers.arrival(contact.key, until)
        if (session === undefined) break
        const rtt = await this.#prove(session, over)
        if (rtt === false) continue
        const opened: Opened = {
          type: 'open',
          ...whereOf(session),
          elapsed: clock.monotonic() - asked,
          ...(rtt !== undefined && { rtt }),
          tried: trial.tried,
        }
        write({ ...opened, nat: this.#nats(contact) })
        return true
      }
      done.abort()
      await trying
      write({ type: 'closed', ...verdict(this.#facts(contact, trial)), tried: trial.tried, nat: this.#nats(contact) })
      return false
    } finally {
      done.abort()
      await trying
    }
  }

  /** Milliseconds of a round; undefined if the contact has answered and ended; false if it did not answer. */
  async #prove(session: Session, over: AbortSignal): Promise<number | undefined | false> {
    session.probe()
    const rtt = await Promise.race([session.prove(), aborted(over).then(() => 'late' as const)])
    if (typeof rtt === 'number') return rtt
    if (rtt === 'late' || session.replaced) return false // a better one is there, or about to be
    return (await session.ended).end === 'done' ? undefined : false
  }

  /** Everything that may lead there at once; resolves when `until` fires, or when nothing leads further. */
  async #try(contact: Contact, trial: Trial, write: Write, until: AbortSignal): Promise<void> {
    const { peers } = this.#options
    const held = await peers.arrival(contact.key, AbortSignal.abort())
    if (held !== undefined) await Promise.race([held.ended, aborted(until)])
    if (until.aborted) return
    const step = (text: string): void => write({ type: 'step', text })
    const dialling = peers.reach(contact.key).then(async (reached) => {
      if ('contact' in reached) return aborted(until)
      trial.tcp = reached
    })
    await Promise.race([Promise.all([dialling, this.#punch(contact, trial, step, until)]), aborted(until)])
  }

  async #punch(contact: Contact, { tally }: Trial, step: (text: string) => void, signal: AbortSignal): Promise<void> {
    const { station, peers, udp, fail } = this.#options
    await Promise.race([udp.opened(), aborted(signal)])
    const { port, holding } = udp
    if (port === undefined || holding === undefined || signal.aborted) return
    const resume = holding.pause(contact.key)
    const unwatch = port.watch((passing) => tally.note(passing))
    const onLink = (link: Link): void => void peers.adopt(link).catch(fail)
    try {
      const punch = new Punch({ station, contact, port, holding, tally, step, signal, onLink })
      const sent = await punch.now()
      if (!sent || this.#isHopeless(contact, tally)) return
      resume()
      holding.await(contact.key)
      step(`waiting for ${contact.name}`)
      await aborted(signal)
    } finally {
      unwatch()
      resume()
    }
  }

  /** What was sent cannot arrive, and nothing that comes can get in: over IPv4, with a new port for each on both sides. */
  #isHopeless(contact: Contact, { places }: Tally): boolean {
    const both = [this.#options.station.place().nat, natOf(contact)].every((nat) => nat === NAT_CLASS.SYMMETRIC)
    return both && places.every(({ address }) => !address.startsWith('['))
  }

  #facts(contact: Contact, { tally, tcp }: Trial): Facts {
    const { station, udp } = this.#options
    const { port } = station.home
    const here = localAddresses(port).find((address) => isPrivate(address) && !address.host.includes(':'))
    return {
      name: contact.name,
      port,
      here: here?.host,
      noUdp: udp.missing,
      own: station.place().nat,
      peer: natOf(contact),
      known: distinctAddresses([...contact.sessionAddresses, ...contact.addresses]).map(formatAddress),
      udp: tally.places,
      tcp: tcp?.addresses ?? [],
      searched: true,
      slot: true,
    }
  }

  #nats(contact: Contact): { own: number; peer: number } {
    return { own: this.#options.station.place().nat, peer: natOf(contact) }
  }

  /** A command that has just begun knows what was seen of this machine before. */
  async #recall(): Promise<void> {
    if (this.#recalled) return
    this.#recalled = true
    const { home, keyring, outside } = this.#options.station
    await recallSights(home, keyring.all().map(({ key }) => key), outside)
  }
}

function whereOf({ link: { carrier, remote } }: Session): { over: 'tcp' | 'udp'; address: string } {
  return { over: carrier, address: formatAddress({ host: remote.ip, port: remote.port }) }
}

/** The NAT class of a contact: what it told last, or what its token says. */
export function natOf({ nat, tokenText }: Contact): number {
  if (nat !== undefined || tokenText === '') return nat ?? NAT_CLASS.UNKNOWN
  return parseToken(tokenText).ext.find(({ type }) => type === EXT_NAT)?.value[0] ?? NAT_CLASS.UNKNOWN
}
