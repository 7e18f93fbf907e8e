// The sessions and the schedule of a listener: one dial at a time for each contact, one session kept of several, dead
// contacts tried again at growing intervals, any sign of life resetting them to now.

import { compare } from '../base/bytes.ts'
import { Turns } from '../base/parallel.ts'
import { fraction } from '../base/random.ts'
import { type Contact, isWelcome } from '../disk/contact.ts'
import { names } from '../disk/queueread.ts'
import { queuePath } from '../disk/queued.ts'
import type { Link } from '../net/link.ts'
import { noteFailure, noteReached } from './attempt.ts'
import { keepsNewer } from './glare.ts'
import { nextAttempt } from './schedule.ts'
import type { Session } from './session.ts'
import type { Station } from './station.ts'
import type { DialTrouble } from './trouble.ts'

/** Contacts dialled at once. */
const DIALS_MAX = 8

/** p2p-wire(7): sessions of one contact at a time. */
const SESSIONS_MAX = 4

/** A link that broke is dialled again after this long, plus up to as much again; twice as long after each that breaks
 * before it is STEADY_MS old: a contact on whom every session breaks is not dialled for ever. */
const REDIAL_MS = 1000
const REDIAL_MAX_MS = 600_000
const STEADY_MS = 60_000

/** Queues are looked at so often even if nobody tells: a sender may have died between queueing and telling. */
const LOOK_MS = 30_000

export interface PeerEvents {
  up(contact: Contact, link: Link): void
  /** `link`: the last one. */
  down(contact: Contact, link: Link): void
  unreachable(contact: Contact, trouble: DialTrouble, attempts: number, next: number): void
  /** This side cannot go on: its disk failed. */
  fatal(error: unknown): void
}

/** Why a contact is not there; `attempts` and `next` (Unix ms) if it was dialled for this. */
export type Trouble = DialTrouble & { attempts?: number; next?: number }

interface Peer {
  key: string
  sessions: Set<Session>
  dialing: Promise<Session | Trouble> | undefined
  /** Who waits for a session. */
  awaiting: Set<(session: Session) => void>
  /** Ends a dial: the contact is there. */
  stopDial: () => void
  /** Unix ms of the first failure since the contact was last there. */
  since: number | undefined
  /** Links in a row that broke while they were young. */
  broken: number
  cancel: () => void
  /** mtime of the queue when it was last looked at. */
  looked: number
}

export class Peers {
  readonly #station: Station
  readonly #events: PeerEvents
  readonly #peers = new Map<string, Peer>()
  readonly #stopped = new AbortController()
  readonly #turns = new Turns(DIALS_MAX)
  #cancelLook: () => void = () => undefined

  constructor(station: Station, events: PeerEvents) {
    this.#station = station
    this.#events = events
  }

  /** With `call` every contact is dialled: whoever is there learns that we are, and what waits on either side moves. */
  start(call = true): void {
    if (call) for (const contact of this.#station.keyring.all()) this.#wake(contact.key)
    this.#lookLater()
  }

  /** The keyring changed: new contacts are dialled, sessions with unwelcome ones end. */
  reload(): void {
    const { keyring } = this.#station
    for (const contact of keyring.all()) {
      const peer = this.#peers.get(contact.key)
      if (!isWelcome(contact)) peer?.sessions.forEach((session) => session.abort())
      else if (peer === undefined) this.#wake(contact.key)
      else peer.sessions.forEach((session) => session.sendToken(keyring.self.token.bytes))
    }
    for (const [key, peer] of this.#peers) {
      if (keyring.byKey(key) === undefined) peer.sessions.forEach((session) => session.abort())
    }
  }

  /** Ends all sessions after what is in hand, at once after `graceMs`. */
  async stop(graceMs: number): Promise<void> {
    this.#stopped.abort()
    this.#cancelLook()
    const ended: Promise<unknown>[] = []
    for (const peer of this.#peers.values()) {
      peer.cancel()
      for (const session of peer.sessions) {
        session.stop()
        ended.push(session.ended)
      }
    }
    const cancel = this.#station.home.clock.after(graceMs, () => {
      for (const peer of this.#peers.values()) peer.sessions.forEach((session) => session.abort())
    })
    await Promise.all(ended)
    cancel()
  }

  /** A contact has called. */
  async adopt(link: Link): Promise<void> {
    const contact = this.#station.keyring.byIdentity(link.peer.identity)
    if (contact === undefined || !isWelcome(contact) || this.#stopped.signal.aborted) return link.close()
    await this.#begin(contact, link)
  }

  /** The session with a contact, dialling if there is none; or why there can be none. */
  reach(key: string): Promise<Session | Trouble> {
    const peer = this.#peer(key)
    const [session] = peer.sessions
    if (session !== undefined && session.link.reason === undefined) return Promise.resolve(session)
    peer.dialing ??= this.#dial(peer).finally(() => {
      peer.dialing = undefined
    })
    return peer.dialing
  }

  /** A session with the contact, now or as soon as there is one; undefined once `signal` has fired. */
  arrival(key: string, signal: AbortSignal): Promise<Session | undefined> {
    const peer = this.#peer(key)
    const session = this.sessions(key).at(-1)
    if (session !== undefined || signal.aborted) return Promise.resolve(session)
    return new Promise((resolve) => {
      const finish = (found?: Session): void => {
        peer.awaiting.delete(finish)
        signal.removeEventListener('abort', giveUp)
        resolve(found)
      }
      const giveUp = (): void => finish()
      signal.addEventListener('abort', giveUp, { once: true })
      peer.awaiting.add(finish)
    })
  }

  /** Those with this contact that are open, the newest last. */
  sessions(key: string): Session[] {
    return [...this.#peer(key).sessions].filter(({ link }) => link.reason === undefined)
  }

  /** True while there is a session with this contact. */
  isUp(key: string): boolean {
    return this.#peer(key).sessions.size > 0
  }

  /** KEYs of those there is a session with. */
  up(): string[] {
    return [...this.#peers.values()].filter(({ sessions }) => sessions.size > 0).map(({ key }) => key)
  }

  /** Something new waits for this contact. */
  poke(key: string): void {
    for (const session of this.#peer(key).sessions) session.poke()
  }

  /** Tries these contacts now, whatever the schedule says, what they refused for now included. */
  retry(keys: string[]): void {
    for (const key of keys) {
      for (const session of this.#peer(key).sessions) session.poke(true)
      if (!this.isUp(key)) this.#wake(key)
    }
  }

  /** Where this machine is has changed: told in all sessions. */
  tellPlace(): void {
    for (const peer of this.#peers.values()) peer.sessions.forEach((session) => session.tellPlace())
  }

  /** This machine has moved or woken: sessions show whether they live, and who is not there is called. */
  moved(): void {
    for (const peer of this.#peers.values()) {
      peer.sessions.forEach((session) => session.probe())
      if (peer.sessions.size > 0) continue
      peer.since = undefined
      this.#wake(peer.key)
    }
  }

  /** Looks for messages that were queued without telling, and for those whose time is over. */
  async look(): Promise<void> {
    const { home, keyring } = this.#station
    for (const contact of keyring.all()) {
      const { key } = contact
      await this.#station.postmaster.expire(contact)
      const peer = this.#peer(key)
      const mtime = (await home.files.stat(queuePath(home, key, 'new')))?.mtimeMs ?? 0
      if (mtime === peer.looked) continue
      peer.looked = mtime
      if ((await names(home, key)).length === 0) continue
      if (peer.sessions.size > 0) this.poke(key)
      else if (peer.since === undefined) this.#wake(key)
    }
  }

  #lookLater(): void {
    this.#cancelLook = this.#station.home.clock.after(LOOK_MS, () => {
      this.look()
        .catch((error: unknown) => this.#events.fatal(error))
        .finally(() => this.#stopped.signal.aborted || this.#lookLater())
    })
  }

  #peer(key: string): Peer {
    let peer = this.#peers.get(key)
    if (peer === undefined) {
      const fresh = { dialing: undefined, stopDial: () => undefined, since: undefined, broken: 0, cancel: () => undefined, looked: 0 }
      peer = { key, sessions: new Set(), awaiting: new Set(), ...fresh }
      this.#peers.set(key, peer)
    }
    return peer
  }

  #wake(key: string): void {
    this.reach(key).catch((error: unknown) => this.#events.fatal(error))
  }

  async #dial(peer: Peer): Promise<Session | Trouble> {
    peer.cancel()
    const contact = this.#station.keyring.byKey(peer.key)
    if (contact === undefined || !isWelcome(contact)) return nobody
    const endTurn = await this.#turns.take()
    try {
      const there = new AbortController()
      peer.stopDial = () => there.abort()
      const signal = AbortSignal.any([this.#stopped.signal, there.signal])
      const outcome = await this.#station.connect(contact, { signal })
      if ('link' in outcome) {
        const session = await this.#begin(contact, outcome.link)
        return session ?? [...peer.sessions][0] ?? nobody
      }
      const [called] = peer.sessions // the contact may have called meanwhile
      if (called !== undefined) return called
      if (signal.aborted) return outcome
      const now = this.#station.home.clock.now()
      if (peer.since === undefined || peer.since > now) peer.since = now
      const { attempts, next } = await noteFailure(this.#station, contact, outcome, peer.since)
      this.#events.unreachable(contact, outcome, attempts, next)
      this.#retry(peer, next - now)
      return { ...outcome, attempts, next }
    } finally {
      endTurn()
    }
  }

  #retry(peer: Peer, ms: number): void {
    if (this.#stopped.signal.aborted) return
    peer.cancel()
    peer.cancel = this.#station.home.clock.after(ms, () => this.#wake(peer.key))
  }

  async #begin(contact: Contact, link: Link): Promise<Session | undefined> {
    const peer = this.#peer(contact.key)
    const session = await this.#station.session(link, contact, { oneShot: false, receive: true })
    if (peer.sessions.size >= SESSIONS_MAX || this.#stopped.signal.aborted) {
      session.turnAway()
      return undefined
    }
    const first = peer.sessions.size === 0
    peer.sessions.add(session)
    peer.since = undefined
    peer.cancel()
    peer.stopDial()
    if (first) this.#events.up(contact, link)
    for (const tell of peer.awaiting) tell(session)
    for (const other of peer.sessions) {
      if (other !== session) (this.#keeps(session, other) ? other : session).replace()
    }
    void session.ended.then(({ end, error }) => {
      peer.sessions.delete(session)
      if (error !== undefined) this.#events.fatal(error)
      if (peer.sessions.size > 0 || this.#stopped.signal.aborted) return
      this.#events.down(contact, link)
      peer.broken = end === 'lost' && link.age < STEADY_MS ? peer.broken + 1 : 0
      const random = fraction(this.#station.home.random)
      if (end === 'worn' && link.initiator) this.#wake(contact.key)
      else if (end === 'lost') this.#retry(peer, Math.min(REDIAL_MS * 2 ** peer.broken, REDIAL_MAX_MS) * (1 + random))
      else this.#retry(peer, nextAttempt(0, 0, random))
    })
    await noteReached(this.#station.home, contact)
    return session
  }

  #keeps(newer: Session, older: Session): boolean {
    const { identity } = this.#station.keyring.self
    return keepsNewer(newer.link, older.link, compare(identity, newer.contact.identity) < 0)
  }
}

const nobody: DialTrouble = { reason: 'no-address', text: 'not a contact', addresses: [] }

