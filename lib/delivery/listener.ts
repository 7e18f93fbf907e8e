// The listener: reachable on the home's port, delivering what comes, offering what waits, serving the commands of this
// home. It may be killed at any instant; everything it promised is on disk before it is said.

import { sleep } from '../base/clock.ts'
import { EX, Failure, ioFailure, isCode } from '../base/fail.ts'
import type { Keyring } from '../disk/keyring.ts'
import { type Held, tryLock } from '../disk/lock.ts'
import { sweep } from '../disk/sweep.ts'
import { serve, type Server } from '../net/accept.ts'
import type { Channel } from './channel.ts'
import { ask, findListener, type Message } from './control.ts'
import { openControl } from './controldoor.ts'
import type { ListenerOptions } from './listening.ts'
import type { Peers } from './peers.ts'
import { watchReads } from './reads.ts'
import { aborted, type Write } from './requests.ts'
import type { Station } from './station.ts'
import { build, type Hands, openStation, type Works } from './works.ts'

/** From a number taken to the message being there, as a rule; a look that comes too early is made up for later. */
const LOOK_DELAY_MS = 500

/** Between two looks after the own keys. */
const DAY_MS = 86_400_000

/** A command that listens has ended by then, and is looked after so often. */
const GIVE_WAY_MS = 5_000
const LOCK_LOOK_MS = 100

/** What is in hand at the end may take so long: a stopped listener is gone in less than 2 s. */
const GRACE_MS = 1200

export class Listener {
  readonly #options: ListenerOptions
  readonly #stop = new AbortController()
  #works: Works | undefined
  #server: Server | undefined
  #error: unknown
  readonly #hands: Hands = {
    fail: (error) => this.#fail(error),
    notice: (error) => this.#notice(error),
    finish: () => this.finish(),
    reload: () => this.reload(),
    meet: (stream) => (this.#server === undefined ? stream.destroy() : this.#server.meet(stream)),
  }

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

  /**
   * A command that listens for a while gives way; one that is there to stay does not, and neither does one to another.
   * Whoever has the lock and does not answer yet has just begun, or is ending.
   */
  async #displace(): Promise<Held | undefined> {
    const { home, guest, signal } = this.#options
    if (guest === true) return undefined
    const end = home.clock.monotonic() + GIVE_WAY_MS
    for (let yields = false; home.clock.monotonic() < end && !signal.aborted; ) {
      yields ||= await ask(home, { op: 'yield' }, { signal, timeoutMs: end - home.clock.monotonic() }, () => undefined)
      if (!yields && (await findListener(home)) !== undefined) return undefined
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
    const station = await openStation(this.#options, this.#hands, () => this.#works)
    const closers: (() => Promise<void>)[] = [() => station.close()]
    try {
      await station.inbox() // repairs what a crash left, before anybody may come
      const { guard, peers, pipes, hooks, requests, udp, vicinity, together } = (this.#works = build(this.#options, station, this.#hands))
      closers.unshift(() => peers.stop(0), () => hooks.stop()) // both may have been stopped by then
      for (const { ip } of knownPlaces(keyring)) guard.know(ip)
      const server = await this.#serve(this.#works)
      this.#server = server
      closers.unshift(() => server.close())
      closers.unshift(() => udp.close())
      await udp.open()
      udp.start() // before anybody asks for a way to a contact
      const control = await openControl(home, (...asked) => requests.answer(...asked))
      closers.unshift(() => control.close())
      this.#options.onReady([...server.addresses], udp.port !== undefined)
      await hooks.look()
      closers.push(() => vicinity.stop())
      together.start()
      await vicinity.start()
      peers.start(this.#options.call !== false)
      const sweeping = sweep(home).catch((error: unknown) => this.#notice(error))
      closers.push(() => this.#await(sweeping))
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

  /** It has a lock, which it gives back; but not for ever. */
  async #await(work: Promise<void>): Promise<void> {
    let cancel = (): void => undefined
    const late = new Promise<void>((resolve) => (cancel = this.#options.home.clock.after(GRACE_MS, resolve)))
    await Promise.race([work, late])
    cancel()
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

  async #serve({ station, guard, peers }: Works): Promise<Server> {
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
