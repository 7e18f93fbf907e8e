// The owner's part in p2p-punch(1): whoever has the port runs the punch, over TCP as well, proves that the contact
// answers, moves what waits on both sides, and says what was tried if nobody answered.

import type { Contact } from '../disk/contact.ts'
import { names } from '../disk/queueread.ts'
import { localAddresses } from '../net/interfaces.ts'
import type { Guard } from '../net/guard.ts'
import type { Link } from '../net/link.ts'
import { NAT_CLASS } from '../net/outside.ts'
import type { Ending } from '../net/stream.ts'
import { Tally } from '../net/tally.ts'
import { type Facts, verdict } from '../net/verdict.ts'
import { type Address, distinctAddresses, formatAddress, isPrivate, parseAddress } from '../wire/address.ts'
import { STUN_PORT } from '../wire/stun.ts'
import type { Message } from './control.ts'
import { lookFromOutside } from './lookout.ts'
import { recallSights } from './meeting.ts'
import { type Nats, natsOf } from './nats.ts'
import type { Peers, Trouble } from './peers.ts'
import type { PortMapping } from './portmapping.ts'
import { type Refusal, Ways } from './punchways.ts'
import { aborted, strings, type Write } from './requests.ts'
import type { Session } from './session.ts'
import type { Station } from './station.ts'
import type { UdpSide } from './udpside.ts'

/** The own router has answered by then, or will not. */
const ASK_MS = 5_000

/** Of two sessions that began at once the one that stays is there by then. */
const SUCCESSOR_MS = 2_000

/** What the owner says of a punch, p2p-spool(5), listen.sock; steps are for people. */
export interface Opened {
  type: 'open'
  over: 'tcp' | 'udp'
  address: string
  /** Milliseconds since it was asked for, and of one round to the contact and back. */
  elapsed: number
  rtt?: number
  tried: Tried[]
  /** Hellos to ports that nobody named. */
  probes: number
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
  guard: Guard<Ending>
  mapping: PortMapping
  /** Something a person should know; the work goes on. */
  fault: (error: unknown) => void
  /** This side cannot go on. */
  fail: (error: unknown) => void
}

/** What was asked for. */
interface Order {
  readonly slot: boolean
  readonly search: boolean
  /** Unix ms; Infinity without end. */
  readonly deadline: number
}

/** What is known of one punch. */
class Trial {
  readonly tally = new Tally([])
  tcp: Trouble | undefined
  /** It was not even begun. */
  refusal: Refusal | undefined

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

  /** One request: key, wait (seconds, -1 without end), keep, slot, birthday, map, stun (HOST:PORT). */
  async serve(request: Message, write: Write, gone: AbortSignal): Promise<void> {
    const { key, wait, keep, slot, birthday, map, stun } = request
    const { station } = this.#options
    const { clock } = station.home
    const contact = station.keyring.byKey(String(key))
    if (contact === undefined) return write({ type: 'error', text: 'not a contact' })
    await this.#recall()
    const late = new AbortController()
    const ms = typeof wait === 'number' && wait >= 0 ? wait * 1000 : Infinity
    const cancel = Number.isFinite(ms) ? clock.after(ms, () => late.abort()) : (): void => undefined
    const order = { slot: slot === true, search: birthday === true, deadline: clock.now() + ms }
    const over = AbortSignal.any([gone, late.signal])
    const step = (text: string): void => write({ type: 'step', text })
    let unmap = (): Promise<void> => Promise.resolve()
    try {
      if (map === true) unmap = await this.#map(step, over)
      await this.#look(strings(stun).map((text) => parseAddress(text, STUN_PORT)), write, over)
      let session = await this.#through(contact, order, write, over)
      if (session === undefined) return
      await station.postmaster.expire(contact)
      let moved = await this.#move(session, over)
      while (!moved && !over.aborted) {
        session = await this.#through(contact, order, () => undefined, over)
        if (session === undefined) break
        moved = await this.#move(session, over)
      }
      write({ type: 'flushed', complete: moved })
      if (keep === true) {
        cancel()
        await this.#keep(contact.key, write, gone)
      }
    } finally {
      cancel()
      await unmap()
    }
  }

  /** Tells when the way is lost and there again, until nobody asks any more. */
  async #keep(key: string, write: Write, gone: AbortSignal): Promise<void> {
    const { peers } = this.#options
    while (!gone.aborted) {
      const session = await peers.arrival(key, gone)
      if (session === undefined) return
      await Promise.race([session.ended, aborted(gone)])
      if (gone.aborted || peers.isUp(key)) continue
      write({ type: 'lost' })
      const again = await peers.arrival(key, gone)
      if (again !== undefined) write({ type: 'back', ...whereOf(again) })
    }
  }

  /** The own router is asked for the port, whatever the settings say. */
  async #map(step: (text: string) => void, over: AbortSignal): Promise<() => Promise<void>> {
    const { mapping, station } = this.#options
    step(`asking the own router for port ${station.home.port}`)
    const unmap = await mapping.want()
    const late = new AbortController()
    const cancel = station.home.clock.after(ASK_MS, () => late.abort())
    await mapping.settled(AbortSignal.any([over, late.signal])).finally(cancel)
    return unmap
  }

  /** Servers say how they see this machine: those that were named, those of the settings if it is not known otherwise. */
  async #look(named: readonly Address[], write: Write, over: AbortSignal): Promise<void> {
    const { station, udp } = this.#options
    const servers = named.length > 0 || station.whereabouts.place().nat !== NAT_CLASS.UNKNOWN ? named : station.config.stun
    if (servers.length === 0) return
    await Promise.race([udp.opened(), aborted(over)])
    if (udp.port === undefined || over.aborted) return
    write({ type: 'step', text: `asking ${servers.map(formatAddress).join(', ')} how this machine is seen` })
    const sightings = await lookFromOutside(station, udp.port, servers, over)
    for (const { server, discovery } of sightings) {
      if (discovery === undefined) write({ type: 'warning', text: `no answer from ${formatAddress(server)}` })
    }
  }

  /**
   * Moves what waits on both sides over this session, which may be over by now, and others with the contact; false if all
   * of them broke, or time was over, before the end of that.
   */
  async #move(first: Session, over: AbortSignal): Promise<boolean> {
    const { peers } = this.#options
    const { key } = first.contact
    const known = new Set<Session>()
    let moved = false
    for (let fresh = [first]; fresh.length > 0 && !over.aborted; fresh = peers.sessions(key).filter((each) => !known.has(each))) {
      peers.poke(key)
      for (const session of fresh) {
        known.add(session)
        await session.settled(over)
        moved ||= session.exhausted || (await this.#isLast(session, over))
      }
    }
    return moved && !over.aborted
  }

  /** A session that has shown that it lives; undefined when that was told to be impossible. */
  async #through(contact: Contact, order: Order, write: Write, over: AbortSignal): Promise<Session | undefined> {
    const { station, peers } = this.#options
    const { clock } = station.home
    const asked = clock.monotonic()
    const trial = new Trial()
    const done = new AbortController()
    const until = AbortSignal.any([over, done.signal])
    const trying = this.#try(contact, order, trial, write, until).then(() => done.abort())
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
          probes: trial.tally.probes,
        }
        write({ ...opened, nat: this.#nats(contact) })
        return session
      }
      done.abort()
      await trying
      write({ type: 'closed', ...(trial.refusal ?? verdict(this.#facts(contact, order, trial))), tried: trial.tried, probes: trial.tally.probes, nat: this.#nats(contact) })
      return undefined
    } finally {
      done.abort()
      await trying
    }
  }

  /**
   * Whether the contact has ended this session because it was done, with nothing left here: of two sessions one ends, by
   * the choice of either side, and the other is there a moment later.
   */
  async #isLast(session: Session, over: AbortSignal): Promise<boolean> {
    const { station, peers } = this.#options
    const { home } = station
    const { key } = session.contact
    if (session.link.reason === undefined || (await session.ended).end !== 'done') return false
    const soon = new AbortController()
    const cancel = home.clock.after(SUCCESSOR_MS, () => soon.abort())
    const next = await peers.arrival(key, AbortSignal.any([over, soon.signal])).finally(cancel)
    return next === undefined && (await names(home, key)).length === 0
  }

  /** Milliseconds of a round; undefined if the contact has answered and ended; false if it did not answer. */
  async #prove(session: Session, over: AbortSignal): Promise<number | undefined | false> {
    session.probe()
    const rtt = await Promise.race([session.prove(), aborted(over).then(() => 'late' as const)])
    if (typeof rtt === 'number') return rtt
    if (rtt === 'late') return false
    return session.exhausted || (await this.#isLast(session, over)) ? undefined : false
  }

  /** Everything that may lead there at once; resolves when `until` fires, or when nothing leads further. */
  async #try(contact: Contact, order: Order, trial: Trial, write: Write, until: AbortSignal): Promise<void> {
    const { station, peers, udp, guard, fail, fault } = this.#options
    const held = await peers.arrival(contact.key, AbortSignal.abort())
    if (held !== undefined) await Promise.race([held.ended, aborted(until)])
    if (until.aborted) return
    const step = (text: string): void => write({ type: 'step', text })
    const adopt = (link: Link): void => void peers.adopt(link).catch(fail)
    const { own, peer } = this.#nats(contact)
    const { deadline, search } = order
    const ways = new Ways({ station, guard, udp, contact, own, peer, adopt, fault, step, signal: until, deadline })
    if (search) trial.refusal = ways.refuseSearch()
    const slot = order.slot && trial.refusal === undefined ? await ways.slot() : undefined
    if (slot !== undefined && 'reason' in slot) trial.refusal = slot
    if (trial.refusal !== undefined) return
    const dialling = peers.reach(contact.key).then(async (reached) => {
      if ('contact' in reached) return aborted(until)
      trial.tcp = reached
    })
    const punching = Promise.race([udp.opened(), aborted(until)]).then(() => {
      return ways.take(slot !== undefined && 'number' in slot ? slot : undefined, search, trial.tally)
    })
    await Promise.race([Promise.all([dialling, punching]), aborted(until).then(() => punching)])
  }

  #facts(contact: Contact, { slot, search }: Order, { tally, tcp }: Trial): Facts {
    const { station, udp } = this.#options
    const { port } = station.home
    const here = localAddresses(port).find((address) => isPrivate(address) && !address.host.includes(':'))
    return {
      name: contact.name,
      port,
      here: here?.host,
      noUdp: udp.missing,
      ...this.#nats(contact),
      known: distinctAddresses([...contact.sessionAddresses, ...contact.addresses]).map(formatAddress),
      udp: tally.places,
      tcp: tcp?.addresses ?? [],
      searched: search,
      slot,
    }
  }

  #nats(contact: Contact): Nats {
    const { station } = this.#options
    return natsOf(station.whereabouts.place().nat, station.keyring.self.tokenText, contact)
  }

  /** A command that has just begun knows what was seen of this machine before. */
  async #recall(): Promise<void> {
    if (this.#recalled) return
    this.#recalled = true
    const { home, keyring, whereabouts } = this.#options.station
    await recallSights(home, keyring.all().map(({ key }) => key), whereabouts.outside)
  }
}

function whereOf({ link: { carrier, remote } }: Session): { over: 'tcp' | 'udp'; address: string } {
  return { over: carrier, address: formatAddress({ host: remote.ip, port: remote.port }) }
}
