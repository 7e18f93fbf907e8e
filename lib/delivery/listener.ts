// The listener: reachable on the home's port, delivering what comes, offering what waits, serving the commands of this
// home. It may be killed at any instant; everything it promised is on disk before it is said.

import { EX, Failure, ioFailure, isCode } from '../base/fail.ts'
import type { Contact } from '../disk/contact.ts'
import type { Home } from '../disk/home.ts'
import type { Delivered } from '../disk/inbox.ts'
import type { Keyring } from '../disk/keyring.ts'
import { tryLock } from '../disk/lock.ts'
import type { Queued } from '../disk/queued.ts'
import { sweep } from '../disk/queuesweep.ts'
import { serve, type Server } from '../net/accept.ts'
import { Guard } from '../net/guard.ts'
import type { ByteStream } from '../net/stream.ts'
import { type Message, openControl } from './control.ts'
import { Hooks } from './hooks.ts'
import { Recent } from './limits.ts'
import { Peers, type Trouble } from './peers.ts'
import { Station } from './station.ts'

/** From a number taken to the message being there, as a rule; a look that comes too early is made up for later. */
const LOOK_DELAY_MS = 500

/** A session that the other side ends so soon is no use dialling for again. */
const YOUNG_MS = 1000

/** What is in hand at the end may take so long: a stopped listener is gone in less than 2 s. */
const GRACE_MS = 1200

export interface ListenerOptions {
  home: Home
  keyring: Keyring
  /** End after the first message. */
  once: boolean
  /** A command for each message. */
  exec: string | undefined
  signal: AbortSignal
  onReady(addresses: { ip: string; port: number }[]): void
  onMessage(message: Delivered, contact: Contact): void
  onDelivered(queued: Queued, contact: Contact, elapsedMs: number): void
  onDeferred(contact: Contact, news: Deferral): void
  onFailed(queued: Queued, contact: Contact, reason: string, text: string): void
  onPeer(contact: Contact, state: 'up' | 'down', address?: { ip: string; port: number }): void
  onContact(contact: Contact): void
  /** Something a person should know; the listener goes on. */
  onNotice(text: string): void
}

export interface Deferral {
  /** Absent: the contact could not be reached, whatever waits. */
  queued?: Queued
  reason: string
  text: string
  attempts?: number
  addresses?: { address: string; reason: string }[]
  next: number
}

/** A command that waits for outcomes; it picks those it asked for. */
type Watcher = (id: string, key: string, news: Message) => void

/** Runs until `signal` fires or the listener cannot go on. Throws 75 if one runs already, 78 if the port is taken. */
export async function runListener(options: ListenerOptions): Promise<void> {
  const lock = await tryLock(options.home, 'listener')
  if (lock === undefined) throw new Failure(EX.TEMPORARY, `p2p-listen already runs for ${options.home.path}`)
  try {
    await new Listener(options).run()
  } finally {
    await lock.release()
  }
}

class Listener {
  readonly #options: ListenerOptions
  readonly #watchers = new Set<Watcher>()
  /** Delivered not long ago. */
  readonly #lately = new Recent()
  readonly #stop = new AbortController()
  #error: unknown

  constructor(options: ListenerOptions) {
    this.#options = options
  }

  async run(): Promise<void> {
    const { home, keyring, exec, signal } = this.#options
    const end = (): void => this.#stop.abort()
    signal.addEventListener('abort', end, { once: true })
    if (signal.aborted) end()
    const hooks =
      exec === undefined ? undefined : new Hooks(home, exec, { trouble: (text) => this.#options.onNotice(text) })
    const station = await this.#openStation(home, keyring, hooks)
    const peers = new Peers(station, {
      up: (contact, link) => this.#options.onPeer(contact, 'up', link.remote),
      down: (contact) => {
        this.#options.onPeer(contact, 'down')
      },
      unreachable: (contact, trouble, attempts, next) => {
        this.#options.onDeferred(contact, { ...trouble, attempts, next })
      },
      fatal: (error) => this.#fail(error),
    })
    const closers: (() => Promise<void>)[] = [() => station.close()]
    try {
      await station.inbox() // repairs what a crash left, before anybody may come
      const guard = new Guard<ByteStream>(home.clock, home.random)
      for (const { ip } of knownPlaces(keyring)) guard.know(ip)
      const server = await this.#serve(station, guard, peers)
      closers.unshift(() => server.close())
      const control = await openControl(home, (request, write, gone) => this.#answer(request, write, gone, peers, station))
      closers.unshift(() => control.close())
      this.#options.onReady([...server.addresses])
      await hooks?.start()
      peers.start()
      sweep(home).catch((error: unknown) => this.#options.onNotice(error instanceof Error ? error.message : String(error)))
      // Every message takes a number from queue/clock, so one watch tells of all of them.
      await home.files.mkdir(home.at('queue', 'clock'))
      let looksSoon = false
      const look = (): void => {
        looksSoon = false
        peers.look().catch((error: unknown) => this.#fail(error))
      }
      const watch = home.files.watch(home.at('queue', 'clock'), () => {
        if (!looksSoon) home.clock.after(LOOK_DELAY_MS, look, true)
        looksSoon = true
      })
      await aborted(this.#stop.signal)
      watch()
      await Promise.all([peers.stop(GRACE_MS), hooks?.stop()])
    } finally {
      for (const close of closers) await close()
    }
    if (this.#error !== undefined) throw ioFailure(this.#error, 'cannot go on')
  }

  #fail(error: unknown): void {
    this.#error ??= error
    this.#stop.abort()
  }

  #openStation(home: Home, keyring: Keyring, hooks: Hooks | undefined): Promise<Station> {
    const options = this.#options
    return Station.open(home, keyring, {
      ...(hooks !== undefined && { hooks: () => true }),
      events: {
        delivered: (queued, contact, elapsedMs) => {
          this.#tell(queued, { type: 'delivered' })
          options.onDelivered(queued, contact, elapsedMs)
        },
        deferred: (queued, contact, reason, text, next) => {
          this.#tell(queued, { type: 'deferred', reason, text, next })
          options.onDeferred(contact, { queued, reason, text, next })
        },
        failed: (queued, contact, reason, text) => {
          this.#tell(queued, { type: 'refused', reason, text })
          options.onFailed(queued, contact, reason, text)
        },
        received: (message, contact) => {
          options.onMessage(message, contact)
          hooks?.add(message.path.slice(message.path.lastIndexOf('/') + 1))
          if (options.once) this.#stop.abort()
        },
        changed: (contact) => options.onContact(contact),
        trouble: (error) => options.onNotice(error instanceof Error ? error.message : String(error)),
      },
    })
  }

  async #serve(station: Station, guard: Guard<ByteStream>, peers: Peers): Promise<Server> {
    const { home } = this.#options
    try {
      return await serve({
        suite: station.suite,
        clock: home.clock,
        random: home.random,
        guard,
        responder: station.responder(),
        port: home.port,
        onLink: (link) => {
          guard.know(link.remote.ip)
          peers.adopt(link).catch((error: unknown) => this.#fail(error))
        },
        onFault: (error) => this.#options.onNotice(error instanceof Error ? error.message : String(error)),
      })
    } catch (error) {
      if (!isCode(error, 'EADDRINUSE')) throw ioFailure(error, `cannot listen on port ${home.port}`)
      throw new Failure(EX.CONFIG, `port ${home.port} is taken by another program`, `ss -ltnp 'sport = :${home.port}'`)
    }
  }

  /** One request of a command of this home. */
  async #answer(
    request: Message,
    write: (record: Message) => void,
    gone: AbortSignal,
    peers: Peers,
    station: Station,
  ): Promise<void> {
    switch (request['op']) {
      case 'deliver':
        return this.#deliver(request, write, gone, peers)
      case 'flush':
        return this.#flush(strings(request['keys']), write, gone, peers, station)
      case 'queue':
        return peers.retry(strings(request['keys']))
      case 'reload':
        await station.reload()
        return peers.reload()
      default:
        write({ type: 'error', text: 'unknown request' })
    }
  }

  /** Offers these messages now and tells what becomes of each, until all have their outcome or the wait is over. */
  async #deliver(request: Message, write: (record: Message) => void, gone: AbortSignal, peers: Peers): Promise<void> {
    const keys = strings(request['keys'])
    const rest = new Map(strings(request['ids']).map((id, i) => [id, keys[i] ?? '']))
    const wait = request['wait']
    const over = new AbortController()
    const cancel =
      typeof wait === 'number' && wait >= 0
        ? this.#options.home.clock.after(wait * 1000, () => over.abort())
        : (): void => undefined
    gone.addEventListener('abort', () => over.abort(), { once: true })
    const watcher: Watcher = (id, _, news) => {
      if (!rest.delete(id)) return
      write({ ...news, id })
      if (rest.size === 0) over.abort()
    }
    this.#watchers.add(watcher)
    // A session may have taken some along before they were asked for here.
    for (const [id, key] of rest) if (this.#lately.has(id)) watcher(id, key, { type: 'delivered' })
    for (const key of new Set(rest.values())) {
      this.#offer(key, peers, over.signal)
        .then((trouble) => {
          for (const [id, of] of rest) if (of === key) watcher(id, key, { type: 'deferred', ...trouble })
        })
        .catch((error: unknown) => this.#fail(error))
    }
    if (rest.size > 0 && !gone.aborted) await aborted(over.signal)
    cancel()
    this.#watchers.delete(watcher)
  }

  /** Offers what waits for a contact; resolves with the trouble when that leads no further. */
  async #offer(key: string, peers: Peers, over: AbortSignal): Promise<Trouble> {
    for (;;) {
      const reached = await peers.reach(key)
      if (!('contact' in reached)) return reached
      peers.poke(key)
      const { end } = await reached.ended
      // Of two sessions one ends, and an old one is renewed: neither is a loss. One that ends at once would end again.
      const broke = end === 'lost' || end === 'offended' || reached.link.age < YOUNG_MS
      if (over.aborted || (broke && !peers.isUp(key))) {
        return { reason: 'lost', text: `the connection to ${reached.contact.name} broke`, addresses: [] }
      }
    }
  }

  /** One pass over these contacts, both directions; tells every outcome, and who is away. */
  async #flush(
    keys: string[],
    write: (record: Message) => void,
    gone: AbortSignal,
    peers: Peers,
    station: Station,
  ): Promise<void> {
    const watcher: Watcher = (id, key, news) => {
      if (keys.includes(key)) write({ ...news, id })
    }
    this.#watchers.add(watcher)
    const passes = keys.map(async (key) => {
      const contact = station.keyring.byKey(key)
      if (contact !== undefined) await station.expire(contact)
      const reached = await peers.reach(key)
      if (!('contact' in reached)) return write({ type: 'away', key, ...reached })
      peers.poke(key)
      await reached.settled(gone)
    })
    await Promise.all(passes).finally(() => this.#watchers.delete(watcher))
  }

  #tell(queued: Queued, news: Message): void {
    if (news['type'] === 'delivered') this.#lately.add(queued.id)
    for (const watcher of this.#watchers) watcher(queued.id, queued.key, news)
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}

function strings(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : []
}

/** Addresses in contacts' tokens: callers from there have a handshake budget of their own. */
function knownPlaces(keyring: Keyring): { ip: string }[] {
  return keyring.all().flatMap(({ addresses }) => addresses.map(({ host }) => ({ ip: host })))
}
