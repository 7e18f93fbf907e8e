// The listener: reachable on the home's port, delivering what comes, offering what waits, serving the commands of this
// home. It may be killed at any instant; everything it promised is on disk before it is said.

import { sleep } from '../base/clock.ts'
import { EX, Failure, ioFailure, isCode } from '../base/fail.ts'
import type { Config } from '../disk/config.ts'
import { type Contact, isWelcome } from '../disk/contact.ts'
import type { Home } from '../disk/home.ts'
import type { Delivered } from '../disk/inbox.ts'
import type { Keyring } from '../disk/keyring.ts'
import { type Held, tryLock } from '../disk/lock.ts'
import type { KnockRequest } from '../disk/quarantine.ts'
import type { Queued } from '../disk/queued.ts'
import { sweep } from '../disk/sweep.ts'
import { serve, type Server } from '../net/accept.ts'
import { Guard } from '../net/guard.ts'
import type { Link } from '../net/link.ts'
import type { Ending } from '../net/stream.ts'
import type { Channel } from './channel.ts'
import { ask, type Message } from './control.ts'
import { openControl } from './controldoor.ts'
import { Hooks } from './hooks.ts'
import { Peers } from './peers.ts'
import { netStatus } from './netstatus.ts'
import { Pipes } from './pipes.ts'
import { Punches } from './punches.ts'
import { watchReads } from './reads.ts'
import { aborted, Requests, type Write } from './requests.ts'
import { Station } from './station.ts'
import { Togetherness } from './togetherness.ts'
import type { Transfer } from './transfer.ts'
import { UdpSide } from './udpside.ts'
import { Vicinity } from './vicinity.ts'

/** From a number taken to the message being there, as a rule; a look that comes too early is made up for later. */
const LOOK_DELAY_MS = 500

/** Between two looks after the own keys. */
const DAY_MS = 86_400_000

/** A command that listens has ended by then, and is looked after so often. */
const GIVE_WAY_MS = 5_000
const LOCK_LOOK_MS = 100

/** What is in hand at the end may take so long: a stopped listener is gone in less than 2 s. */
const GRACE_MS = 1200

export interface ListenerOptions {
  home: Home
  keyring: Keyring
  config: Config
  /** The settings as they are on disk now, for reload(). */
  reread: () => Promise<Config>
  /** End after the first message. */
  once: boolean
  /** A command for each message, in place of those of the settings. */
  exec: string | undefined
  /** Who is told how it is seen, should it ask (STUN); nobody without. */
  stun?: 'contacts' | 'any' | undefined
  /** False: nobody is called because the listener begins; what waits goes when its time has come. */
  call?: boolean
  /** The own router is asked for the port only when no contact has been there for a second. */
  patient?: boolean
  /** Holes are held towards this KEY alone. */
  only?: string
  /** A command that listens for a while: it gives way to a listener that is there to stay. */
  guest?: boolean
  signal: AbortSignal
  /** `udp`: the UDP port is open, too. */
  onReady: (addresses: { ip: string; port: number }[], udp: boolean) => void
  onMessage: (message: Delivered, contact: Contact) => void
  onDelivered: (queued: Queued, contact: Contact, elapsedMs: number) => void
  onDeferred: (contact: Contact, news: Deferral) => void
  /** How far a long transfer is. */
  onProgress?: (transfer: Transfer, contact: Contact) => void
  onFailed: (queued: Queued, contact: Contact, reason: string, text: string) => void
  /** `link`: with up, the one the session is over. */
  onPeer: (contact: Contact, state: 'up' | 'down', link?: Link) => void
  onContact: (contact: Contact) => void
  /** A stranger asks to be a contact. */
  onRequest: (request: KnockRequest) => void
  /** Something a person should know, maybe about one contact; the listener goes on. */
  onNotice: (text: string, contact?: Contact) => void
}

/** For a command that listens by the way: what happens meanwhile is told by others, or by the files. */
export const UNTOLD = {
  onReady: () => undefined,
  onMessage: () => undefined,
  onDelivered: () => undefined,
  onDeferred: () => undefined,
  onFailed: () => undefined,
  onPeer: () => undefined,
  onContact: () => undefined,
  onRequest: () => undefined,
} satisfies Partial<ListenerOptions>

export interface Deferral {
  /** Absent: the contact could not be reached, whatever waits. */
  queued?: Queued
  reason: string
  text: string
  attempts?: number
  addresses?: { address: string; reason: string }[]
  next: number
}

/** What exists while the listener runs. */
interface Works {
  guard: Guard<Ending>
  station: Station
  peers: Peers
  pipes: Pipes
  hooks: Hooks
  requests: Requests
  udp: UdpSide
  vicinity: Vicinity
  together: Togetherness
}

export class Listener {
  readonly #options: ListenerOptions
  readonly #stop = new AbortController()
  #works: Works | undefined
  #server: Server | undefined
  #error: unknown

  constructor(options: ListenerOptions) {
    this.#options = options
  }

  /** Runs until the signal fires or it cannot go on. Throws 75 if one runs for this home, 78 if the port is taken. */
  async run(): Promise<void> {
    const { home } = this.#options
    const lock = (await tryLock(home, 'listener')) ?? (await this.#displace())
    if (lock === undefined) throw new Failure(EX.TEMPORARY, `a listener already runs for ${home.path}`)
    try {
      await this.#run()
    } finally {
      await lock.release()
    }
  }

  /** A command that listens for a while gives way; one that is there to stay does not, and neither does one to another. */
  async #displace(): Promise<Held | undefined> {
    const { home, guest, signal } = this.#options
    if (guest === true || !(await ask(home, { op: 'yield' }, { timeoutMs: GIVE_WAY_MS }, () => undefined))) return undefined
    const end = home.clock.monotonic() + GIVE_WAY_MS
    while (home.clock.monotonic() < end && !signal.aborted) {
      const lock = await tryLock(home, 'listener')
      if (lock !== undefined) return lock
      await sleep(home.clock, LOCK_LOOK_MS, signal)
    }
    return undefined
  }

  /** Ends it after what is in hand, the commands for messages included; the signal ends it sooner. */
  finish(): void {
    this.#stop.abort()
  }

  /** Serves a p2p-pipe to the contact KEY that is in this very process. False if it does not run. */
  pipe(key: string, channel: Channel): boolean {
    if (this.#works === undefined || this.#stop.signal.aborted) return false
    this.#works.pipes.attach(key, channel).catch((error: unknown) => this.#fail(error))
    return true
  }

  /** Reads keyring and settings anew. What cannot be used changes nothing and is told. */
  async reload(): Promise<void> {
    const { onNotice, reread } = this.#options
    if (this.#works === undefined) return
    const { guard, station, peers, hooks, udp, vicinity, together } = this.#works
    const keep = (error: unknown): void => {
      if (!(error instanceof Failure)) throw error
      onNotice(`${error.message}: everything stays as it was`)
    }
    await station.reload().catch(keep)
    for (const { ip } of knownPlaces(station.keyring)) guard.know(ip)
    await reread().then((config) => station.configure(config), keep)
    for (const { failure } of station.keyring.problems) onNotice(failure.message)
    for (const text of station.config.strangers(station.keyring)) onNotice(text)
    peers.reload()
    udp.reload()
    together.start()
    await vicinity.start()
    await hooks.look()
  }

  /** One pass over these contacts as a command asks for it. */
  async flush(keys: string[], write: Write, gone: AbortSignal): Promise<void> {
    await this.#works?.requests.flush(keys, write, gone)
  }

  /** A punch as a command asks for it. */
  async punch(request: Message, write: Write, gone: AbortSignal): Promise<void> {
    await this.#works?.requests.punch(request, write, gone)
  }

  async #run(): Promise<void> {
    const { home, keyring, signal } = this.#options
    const end = (): void => this.#stop.abort()
    signal.addEventListener('abort', end, { once: true })
    if (signal.aborted) end()
    const station = await this.#openStation(home, keyring)
    const closers: (() => Promise<void>)[] = [() => station.close()]
    try {
      await station.inbox() // repairs what a crash left, before anybody may come
      const { guard, peers, pipes, hooks, requests, udp, vicinity, together } = (this.#works = this.#build(station))
      closers.unshift(() => peers.stop(0), () => hooks.stop()) // both may have been stopped by then
      for (const { ip } of knownPlaces(keyring)) guard.know(ip)
      const server = await this.#serve(station, guard, peers)
      this.#server = server
      closers.unshift(() => server.close())
      closers.unshift(() => udp.close())
      await udp.open()
      const control = await openControl(home, (...asked) => requests.answer(...asked))
      closers.unshift(() => control.close())
      this.#options.onReady([...server.addresses], udp.port !== undefined)
      await hooks.look()
      udp.start()
      closers.push(() => vicinity.stop())
      together.start()
      await vicinity.start()
      peers.start(this.#options.call !== false)
      sweep(home).catch((error: unknown) => this.#notice(error))
      this.#tend(station)
      const unwatch = await this.#watchQueue(peers)
      const reads = { home, hash: station.suite, keyring: () => station.keyring, config: () => station.config }
      const unwatchReads = watchReads(reads, (error) => this.#notice(error))
      await aborted(this.#stop.signal)
      unwatch()
      unwatchReads()
      pipes.stop()
      together.stop()
      await Promise.all([vicinity.stop(), peers.stop(GRACE_MS)])
      if (this.#error === undefined && !signal.aborted) {
        for (const close of closers.splice(0, 3)) await close() // nobody else is let in meanwhile
        await Promise.race([hooks.idle(), aborted(signal)])
      }
      await hooks.stop()
    } finally {
      for (const close of closers) await close()
    }
    if (this.#error !== undefined) throw ioFailure(this.#error, 'cannot go on')
  }

  #build(station: Station): Works {
    const { home } = station
    const { exec, only, guest, onPeer, onDeferred, onNotice } = this.#options
    const fail = (error: unknown): void => this.#fail(error)
    const peers = new Peers(station, {
      up: (contact, link) => {
        onPeer(contact, 'up', link)
        requests.tellPeer(contact.key, 'up')
      },
      down: (contact, link) => {
        onPeer(contact, 'down')
        requests.tellPeer(contact.key, 'down')
        udp.lost(contact.key, link)
        together.restart(contact.key)
      },
      unreachable: (contact, trouble, attempts, next) => onDeferred(contact, { ...trouble, attempts, next }),
      fatal: fail,
    })
    const hooks = new Hooks(home, {
      command: (key, type) => exec ?? station.hooksOf(key)?.[type],
      auto: () => station.config.hooksAuto,
      nameOf: (key) => station.keyring.byKey(key)?.name,
      trouble: onNotice,
    })
    const guard = new Guard<Ending>(home.clock, home.random)
    const udp = new UdpSide({
      station,
      guard,
      only,
      isUp: (key) => peers.isUp(key),
      adopt: (link) => void peers.adopt(link).catch(fail),
      answersStun: (ip) => this.#answersStun(station, ip),
      seen: () => peers.tellPlace(),
      moved: () => {
        vicinity.moved().catch(fail)
        together.restart()
        peers.moved()
      },
      notice: (error) => this.#notice(error),
      fail,
    })
    const together = new Togetherness({
      station,
      isUp: (key) => peers.isUp(key),
      only,
      meet: (stream) => (this.#server === undefined ? stream.destroy() : this.#server.meet(stream)),
      onLink: (link) => void peers.adopt(link).catch(fail),
      fail,
    })
    const vicinity = new Vicinity(station, peers, this.#options.patient === true, (text) => onNotice(text))
    const hurry = (key: string): Promise<void> => udp.hurry(key)
    const pipes = new Pipes({ clock: home.clock, reach: (key) => peers.reach(key), arrival: (key, signal) => peers.arrival(key, signal) })
    const punches = new Punches({
      station,
      peers,
      udp,
      guard,
      mapping: vicinity.mapping,
      fail,
      fault: (error) => this.#notice(error),
    })
    const requests = new Requests({
      clock: home.clock,
      station,
      peers,
      pipes,
      hurry,
      fail,
      punch: (...asked) => punches.serve(...asked),
      status: () => netStatus(station, vicinity.mapping, udp.port !== undefined),
      reload: () => this.reload(),
      ...(guest === true && { giveWay: () => this.finish() }),
    })
    return { guard, station, peers, pipes, hooks, requests, udp, vicinity, together }
  }

  #answersStun(station: Station, ip: string): boolean {
    const { stun } = this.#options
    const contacts = stun === 'contacts' ? station.keyring.all().filter(isWelcome) : []
    const known = contacts.some(({ addresses, sessionAddresses }) => [...addresses, ...sessionAddresses].some(({ host }) => host === ip))
    return stun === 'any' || known
  }

  /** Every message takes a number from queue/clock, so one watch tells of all of them. Returns how to end it. */
  async #watchQueue(peers: Peers): Promise<() => void> {
    const { home } = this.#options
    await home.files.mkdir(home.at('queue', 'clock'))
    let looksSoon = false
    const look = (): void => {
      looksSoon = false
      peers.look().catch((error: unknown) => this.#fail(error))
    }
    return home.files.watch(home.at('queue', 'clock'), () => {
      if (!looksSoon) home.clock.after(LOOK_DELAY_MS, look, true)
      looksSoon = true
    })
  }

  /** Looks after the own keys now and every day. */
  #tend(station: Station): void {
    station.tendKeys().catch((error: unknown) => this.#notice(error))
    this.#options.home.clock.after(DAY_MS, () => this.#stop.signal.aborted || this.#tend(station), true)
  }

  #fail(error: unknown): void {
    this.#error ??= error
    this.#stop.abort()
  }

  #notice(error: unknown): void {
    this.#options.onNotice(error instanceof Error ? error.message : String(error))
  }

  #openStation(home: Home, keyring: Keyring): Promise<Station> {
    const options = this.#options
    const { config, exec } = options
    return Station.open(home, keyring, {
      config,
      ...(exec !== undefined && { hooks: () => true }),
      events: {
        delivered: (queued, contact, elapsedMs) => {
          this.#works?.requests.tell(queued, { type: 'delivered' })
          options.onDelivered(queued, contact, elapsedMs)
        },
        deferred: (queued, contact, reason, text, next) => {
          this.#works?.requests.tell(queued, { type: 'deferred', reason, text, next })
          options.onDeferred(contact, { queued, reason, text, next })
        },
        failed: (queued, contact, reason, text) => {
          this.#works?.requests.tell(queued, { type: 'refused', reason, text })
          options.onFailed(queued, contact, reason, text)
        },
        progress: (transfer, contact) => {
          this.#works?.requests.progress(transfer)
          options.onProgress?.(transfer, contact)
        },
        received: (message, contact) => {
          options.onMessage(message, contact)
          this.#works?.hooks.add(message)
          if (options.once) this.finish()
        },
        changed: (contact) => options.onContact(contact),
        noticed: (text, contact) => options.onNotice(text, contact),
        requested: (request) => options.onRequest(request),
        trouble: (error) => this.#notice(error),
        pipe: (frame, session) => this.#works?.pipes.take(frame, session) ?? false,
      },
    })
  }

  async #serve(station: Station, guard: Guard<Ending>, peers: Peers): Promise<Server> {
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
        onFault: (error) => this.#notice(error),
      })
    } catch (error) {
      if (!isCode(error, 'EADDRINUSE')) throw ioFailure(error, `cannot listen on port ${home.port}`)
      throw new Failure(EX.CONFIG, `port ${home.port} is taken by another program`, `ss -ltnp 'sport = :${home.port}'`)
    }
  }
}

/** Addresses in contacts' tokens: callers from there have a handshake budget of their own. */
function knownPlaces(keyring: Keyring): { ip: string }[] {
  return keyring.all().flatMap(({ addresses }) => addresses.map(({ host }) => ({ ip: host })))
}
