// The commands of a scene that do not meet the fault, done by this process: the same delivery code on the same homes,
// without a node being started for each. What it does is what bin/p2p-queue.ts and bin/p2p-listen.ts do; every few points
// of a sweep these are run themselves.

import os from 'node:os'
import { syncBuiltinESMExports } from 'node:module'

import { type Clock, systemClock } from '../../lib/base/clock.ts'
import { loadSuite } from '../../lib/crypto/suite.ts'
import { flushAll } from '../../lib/delivery/flush.ts'
import { Listener } from '../../lib/delivery/listener.ts'
import { UNTOLD } from '../../lib/delivery/listening.ts'
import { isRefusal } from '../../lib/delivery/telling.ts'
import { type Config, loadConfig } from '../../lib/disk/config.ts'
import { isWelcome } from '../../lib/disk/contact.ts'
import { type Home, openHome, realDoors } from '../../lib/disk/home.ts'
import { type Keyring, loadKeyring } from '../../lib/disk/keyring.ts'
import { forgetOldKey } from '../../lib/disk/rotation.ts'
import { sweep } from '../../lib/disk/sweep.ts'
import { NEIGHBOURLESS } from '../command.ts'
import { pause } from '../peer.ts'

/** A listener ends in less than 2 s; on a machine that does much else, later. */
const END_MS = 20_000

interface Opened {
  home: Home
  keyring: Keyring
  config: Config
  reread: () => Promise<Config>
}

const interfaces = os.networkInterfaces

/** As the commands of a stage this process sees no interface but loopback: no other way leads to anybody. */
function loopbackOnly(): void {
  if (os.networkInterfaces !== interfaces) return
  os.networkInterfaces = () =>
    Object.fromEntries(Object.entries(interfaces()).map(([name, list]) => [name, list?.filter(({ internal }) => internal)]))
  syncBuiltinESMExports()
}

/** The clock of what would be a process: when that is over its timers go, and what hangs on them. */
class OwnClock implements Clock {
  readonly now = (): number => systemClock.now()
  readonly micros = (): bigint => systemClock.micros()
  readonly monotonic = (): number => systemClock.monotonic()
  readonly #timers = new Set<() => void>()

  after(ms: number, run: () => void, background?: boolean): () => void {
    const cancel = systemClock.after(
      ms,
      () => {
        this.#timers.delete(end)
        run()
      },
      background,
    )
    const end = (): void => {
      cancel()
      this.#timers.delete(end)
    }
    this.#timers.add(end)
    return end
  }

  stop(): void {
    for (const end of this.#timers) end()
  }
}

async function open(path: string, clock: Clock = systemClock): Promise<Opened> {
  loopbackOnly()
  const home = await openHome({ flag: path, env: {} }, { ...realDoors, clock })
  const reread = (): Promise<Config> => loadConfig(home, NEIGHBOURLESS)
  return { home, keyring: await loadKeyring(home), config: await reread(), reread }
}

/** How a pass went, in words: what went wrong, and why a message was left for the next one. */
export interface Passed {
  wrong: string[]
  deferred: string[]
}

/** p2p-queue flush. */
export async function flushHere(path: string): Promise<Passed> {
  const [wrong, deferred]: [string[], string[]] = [[], []]
  try {
    const { home, keyring, config, reread } = await open(path)
    const result = await flushAll(home, keyring, keyring.all().filter(isWelcome), {
      waitMs: Infinity,
      lingerMs: 0,
      config,
      reread,
      signal: new AbortController().signal,
      onOutcome(outcome) {
        const { type, reason, text } = outcome
        if (isRefusal(outcome)) wrong.push(`refused: ${JSON.stringify(reason)}`)
        else if (type === 'deferred') deferred.push(`${reason}: ${text}`)
      },
      onReceived: () => undefined,
      onNotice: () => undefined,
    })
    if (result === 'busy') return { wrong: [...wrong, 'another process is delivering'], deferred }
    await sweep(home)
    await forgetOldKey(home, await loadSuite({}))
  } catch (error) {
    wrong.push(error instanceof Error ? (error.stack ?? error.message) : String(error))
  }
  return { wrong, deferred }
}

/** p2p-listen. */
export class ListenerHere {
  readonly #home: Home
  readonly #clock: OwnClock
  readonly #stop: AbortController
  readonly #over: Promise<string[]>

  private constructor(home: Home, clock: OwnClock, stop: AbortController, over: Promise<string[]>) {
    this.#home = home
    this.#clock = clock
    this.#stop = stop
    this.#over = over
  }

  /** Resolves when it accepts, or has failed to. */
  static async open(path: string): Promise<ListenerHere> {
    const clock = new OwnClock()
    const { home, keyring, config, reread } = await open(path, clock)
    const stop = new AbortController()
    let over: Promise<string[]> = Promise.resolve([])
    await new Promise<void>((onReady) => {
      const listener = new Listener({
        home,
        keyring,
        config,
        reread,
        once: false,
        exec: undefined,
        signal: stop.signal,
        ...UNTOLD,
        onReady: () => onReady(),
        onNotice: () => undefined,
      })
      over = listener.run().then(
        () => [],
        (error: unknown) => [error instanceof Error ? (error.stack ?? error.message) : String(error)],
      )
      void over.then(() => onReady())
    })
    return new ListenerHere(home, clock, stop, over)
  }

  /** Ends it; what went wrong in its life. */
  async stop(): Promise<string[]> {
    this.#stop.abort()
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<string[]>((resolve) => (timer = setTimeout(() => resolve(['it does not end']), END_MS)))
    const wrong = await Promise.race([this.#over, late])
    clearTimeout(timer)
    await this.#rest()
    this.#clock.stop()
    return wrong
  }

  /** What it began by the way, as a sweep, would end with its process; here it comes to its own end. */
  async #rest(): Promise<void> {
    const { files } = this.#home
    const busy = async (): Promise<boolean> => (await files.list(this.#home.at('lock'))).some((name) => name.endsWith('.lock'))
    for (const late = performance.now() + END_MS; performance.now() < late && (await busy()); ) await pause(5)
  }
}
