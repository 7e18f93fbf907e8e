// What the commands of this home ask of its listener, p2p-spool(5), listen.sock: offer these messages, do a pass, look
// again. Answers are told as things happen; a command that hangs up stops nothing that is under way.

import type { Clock } from '../base/clock.ts'
import type { Queued } from '../disk/queued.ts'
import type { Channel } from './channel.ts'
import type { Message } from './control.ts'
import { Recent } from './limits.ts'
import type { Peers, Trouble } from './peers.ts'
import type { Pipes } from './pipes.ts'
import type { Session } from './session.ts'
import type { Station } from './station.ts'
import type { Transfer } from './transfer.ts'

/** A session that the other side ends so soon is no use dialling for again. */
const YOUNG_MS = 1000

/** A pass says who is away rather than to wait longer: what waits goes at the next chance anyway. */
const PASS_PATIENCE_MS = 5000

const NO_CONTACT: Trouble = { reason: 'local-error', text: 'not a contact', addresses: [] }

export type Write = (record: Message) => void

/** A command that waits for outcomes; it picks those it asked for. */
type Watcher = (id: string, key: string, news: Message) => void

export interface RequestsOptions {
  clock: Clock
  station: Station
  peers: Peers
  pipes: Pipes
  /** Tries to reach the contact over UDP; resolves when that is over, or would begin after `patienceMs` only. */
  hurry: (key: string, patienceMs?: number) => Promise<void>
  /** What is known of the net around. */
  status: () => object
  /** Gets through to a contact: punches.ts. */
  punch: (request: Message, write: Write, gone: AbortSignal) => Promise<void>
  /** Ends this process in favour of a listener that is there to stay; none: this is one. */
  giveWay?: (() => void) | undefined
  /** Reads keyring and settings anew. */
  reload: () => Promise<void>
  /** This side cannot go on. */
  fail: (error: unknown) => void
}

export class Requests {
  readonly #options: RequestsOptions
  readonly #watchers = new Set<Watcher>()
  /** Delivered not long ago. */
  readonly #lately = new Recent()
  /** Programs that show who is there. */
  readonly #onlookers = new Set<Write>()

  constructor(options: RequestsOptions) {
    this.#options = options
  }

  /** What became of a message, for whoever waits for it. False if that it was delivered is no news: two sessions had it. */
  tell(queued: Queued, news: Message): boolean {
    if (news['type'] === 'delivered') {
      if (this.#lately.has(queued.id)) return false
      this.#lately.add(queued.id)
    }
    for (const watcher of this.#watchers) watcher(queued.id, queued.key, news)
    return true
  }

  /** How far a transfer is, for whoever waits for it or for its contact. */
  progress(transfer: Transfer): void {
    for (const watcher of this.#watchers) watcher(transfer.id, transfer.key, { type: 'progress', ...transfer })
  }

  /** One request; resolves when it is answered or, `gone`, nobody waits for the answer any more. */
  async answer(request: Message, write: Write, gone: AbortSignal, upgrade: () => Channel): Promise<void> {
    switch (request['op']) {
      case 'deliver':
        return this.#deliver(request, write, gone)
      case 'flush':
        return this.flush(this.#contacts(request['keys']), write, gone)
      case 'pipe': {
        const [key] = this.#contacts([request['key']])
        if (key === undefined) return write({ type: 'error', text: NO_CONTACT.text })
        return this.#options.pipes.attach(key, upgrade())
      }
      case 'punch':
        return this.punch(request, write, gone)
      case 'queue':
        return this.#options.peers.retry(this.#contacts(request['keys']))
      case 'status':
        return write({ type: 'status', ...this.#options.status() })
      case 'reload':
        return this.#options.reload()
      case 'watch':
        return this.#show(write, gone)
      case 'yield':
        if (this.#options.giveWay !== undefined) return this.#options.giveWay()
        return write({ type: 'error', text: 'this one stays' })
      default:
        write({ type: 'error', text: 'unknown request' })
    }
  }

  /** A contact came or went, for whoever shows it. */
  tellPeer(key: string, state: 'up' | 'down'): void {
    for (const write of this.#onlookers) write({ type: 'peer', key, state })
  }

  /** Who is there, and who comes and goes, until nobody looks any more. */
  async #show(write: Write, gone: AbortSignal): Promise<void> {
    for (const key of this.#options.peers.up()) write({ type: 'peer', key, state: 'up' })
    write({ type: 'watching' })
    this.#onlookers.add(write)
    await aborted(gone)
    this.#onlookers.delete(write)
  }

  /** Offers these messages now and tells what becomes of each, until all have their outcome or the wait is over. */
  async #deliver(request: Message, write: Write, gone: AbortSignal): Promise<void> {
    const { clock, fail } = this.#options
    const keys = strings(request['keys'])
    const rest = new Map(strings(request['ids']).map((id, i) => [id, keys[i] ?? '']))
    const wait = request['wait']
    const waitMs = typeof wait === 'number' && wait >= 0 ? wait * 1000 : Infinity
    const over = new AbortController()
    const cancel = waitMs < Infinity ? clock.after(waitMs, () => over.abort()) : (): void => undefined
    gone.addEventListener('abort', () => over.abort(), { once: true })
    const watcher: Watcher = (id, _, news) => {
      if (news['type'] === 'progress' ? !rest.has(id) : !rest.delete(id)) return
      write({ ...news, id })
      if (rest.size === 0) over.abort()
    }
    this.#watchers.add(watcher)
    // A session may have taken some along before they were asked for here.
    for (const [id, key] of rest) if (this.#lately.has(id)) watcher(id, key, { type: 'delivered' })
    const waiting = new Map<string, string[]>()
    for (const [id, key] of rest) {
      const ids = waiting.get(key)
      if (ids === undefined) waiting.set(key, [id])
      else ids.push(id)
    }
    const known = new Set(this.#contacts([...waiting.keys()]))
    const troubles = new Map<string, Trouble>()
    for (const [key, ids] of waiting) {
      const defer = (trouble: Trouble): void => {
        for (const id of ids) watcher(id, key, { type: 'deferred', ...trouble })
      }
      const patienceMs = waitMs || Infinity // who does not wait is kept from nothing
      if (known.has(key)) this.#offer(key, over.signal, troubles, patienceMs).then(defer).catch(fail)
      else defer(NO_CONTACT)
    }
    if (rest.size > 0 && !gone.aborted) await aborted(over.signal)
    cancel()
    this.#watchers.delete(watcher)
    if (gone.aborted) return
    const { station } = this.#options
    for (const [id, key] of rest) {
      const contact = station.keyring.byKey(key)
      const why = (contact && station.whereabouts.hopelessness(contact)) ?? troubles.get(key)
      if (why !== undefined) write({ type: 'deferred', id, ...why })
    }
  }

  /** Those that are contacts, each once: nothing is begun or kept for anybody else. */
  #contacts(keys: unknown): string[] {
    const { keyring } = this.#options.station
    return [...new Set(strings(keys))].filter((key) => keyring.byKey(key) !== undefined)
  }

  /** A session with the contact, over whatever leads there. While UDP is tried, `troubles` has why TCP does not lead there. */
  async #reach(key: string, troubles: Map<string, Trouble>, patienceMs: number): Promise<Session | Trouble> {
    const { peers, hurry } = this.#options
    const hurrying = hurry(key, patienceMs)
    hurrying.catch(() => undefined) // whoever awaits it is told
    const reached = await peers.reach(key)
    if ('contact' in reached) return reached
    const over = new AbortController()
    troubles.set(key, reached)
    try {
      await Promise.race([hurrying, peers.arrival(key, over.signal)])
    } finally {
      over.abort()
      troubles.delete(key)
    }
    return peers.isUp(key) ? peers.reach(key) : reached
  }

  /** Offers what waits for a contact; resolves with the trouble when that leads no further. */
  async #offer(key: string, over: AbortSignal, troubles: Map<string, Trouble>, patienceMs: number): Promise<Trouble> {
    const { peers } = this.#options
    for (let lost = false; ; ) {
      const reached = await this.#reach(key, troubles, patienceMs)
      if (!('contact' in reached)) return reached
      peers.poke(key)
      const { end } = await reached.ended
      // Of two sessions one ends, and an old one is renewed: neither is a loss. What broke is called once more: one of the
      // two may have moved, or each has dropped a session for one that the other was dropping. Then it would break again.
      const broke = end === 'lost' || end === 'offended' || reached.link.age < YOUNG_MS
      if (over.aborted || (broke && !peers.isUp(key) && (lost || end === 'offended'))) {
        return { reason: 'lost', text: `the connection to ${reached.contact.name} broke`, addresses: [] }
      }
      lost ||= broke
    }
  }

  /** One pass over these contacts, both directions; tells every outcome, and who is away. */
  async flush(keys: string[], write: Write, gone: AbortSignal): Promise<void> {
    const { station, peers } = this.#options
    const unwatch = this.#watch(keys, write)
    const passes = keys.map(async (key) => {
      const contact = station.keyring.byKey(key)
      if (contact !== undefined) await station.postmaster.expire(contact)
      const reached = await this.#reach(key, new Map(), PASS_PATIENCE_MS)
      if (!('contact' in reached)) return write({ type: 'away', key, ...reached })
      // Of two sessions that began at once one ends: the pass goes on in the other.
      const known = new Set<Session>()
      for (let fresh = [reached]; fresh.length > 0 && !gone.aborted; fresh = peers.sessions(key).filter((each) => !known.has(each))) {
        peers.poke(key)
        for (const session of fresh) {
          known.add(session)
          await session.settled(gone)
        }
      }
    })
    await Promise.all(passes).finally(unwatch)
  }

  /** A punch, and what becomes of messages meanwhile. */
  async punch(request: Message, write: Write, gone: AbortSignal): Promise<void> {
    const unwatch = this.#watch(strings([request['key']]), write)
    await this.#options.punch(request, write, gone).finally(unwatch)
  }

  /** Tells what becomes of messages for these contacts, until the result is called. */
  #watch(keys: string[], write: Write): () => void {
    const watcher: Watcher = (id, key, news) => {
      if (keys.includes(key)) write({ ...news, id })
    }
    this.#watchers.add(watcher)
    return () => this.#watchers.delete(watcher)
  }
}

export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}

export function strings(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : []
}
