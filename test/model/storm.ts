// One life of two people in bad weather, drawn from a seed: listeners on both sides, p2p-send and passes over the queue
// beside them, a mail reader, a network that loses, breaks and repeats (network.ts), disks that keep of what is not
// synced what they like (outcomes.ts), and crashes: of a process, of a machine, at any operation of a disk. Then the
// weather is fine, and everything that was promised must come to be. The same seed is the same life.

import { Config } from '../../lib/disk/config.ts'
import { acceptAll } from '../../lib/disk/accept.ts'
import { tryLock } from '../../lib/disk/lock.ts'
import { discard, type PartSource, stageBody } from '../../lib/disk/staging.ts'
import { EX, Failure } from '../../lib/base/fail.ts'
import { beginAhead, deliverNow } from '../../lib/delivery/deliver.ts'
import { flushAll } from '../../lib/delivery/flush.ts'
import { Listener } from '../../lib/delivery/listener.ts'
import type { Disk } from './disk.ts'
import { open, seeded } from './homes.ts'
import { type Host, Machine, never, type Proc } from './machine.ts'
import { Weather } from './network.ts'
import { type Answer, beginSync, changes, execute, type Op } from './ops.ts'
import { someOutcome } from './outcomes.ts'
import { aftermath, type Letter, verdict } from './stormjudge.ts'
import { nodeSuite } from './suite.ts'
import { Timeline } from './timeline.ts'
import { tornOf } from './torn.ts'

export const ADDRESSES = ['10.0.0.1', '10.0.0.2'] as const

/** Virtual ms: how long bad weather may last, and how long it may take until everything is well after it. */
const STORM_MS = 60_000
const PASS_MS = 30_000
const PASSES = 20

/** After this long nobody still takes a dead connection for a living one. */
const QUIET_MS = 130_000

/** What is left of the dead is swept away after days. */
const WEEKS_MS = 15 * 86_400_000

/** So many seeds, one of which has these weeks also if nothing is left. */
const WEEKS_EVERY = 8

/** Turns of the event loop after which a life goes round in circles. */
const TURNS_MAX = 200_000

const UDP_OFF = new Config({ environment: new Map([['udp', false]]) })

interface Listening {
  process: Proc
  stop: AbortController
  over: Promise<void>
}

interface Crash {
  /** Operations of this side until then. */
  left: number
  kind: 'power' | 'kill' | 'one'
}

class Side {
  readonly machine: Machine
  listener: Listening | undefined
  crashes: Crash[] = []

  constructor(machine: Machine) {
    this.machine = machine
  }
}

export class Storm implements Host {
  readonly time = new Timeline()
  readonly #dice: ReturnType<typeof seeded>
  readonly #seed: number
  readonly #sides: readonly [Side, Side]
  readonly #weather: Weather
  readonly #letters: Letter[] = []
  readonly #faults: string[] = []
  readonly #busy = new Set<Promise<unknown>>()
  #over = false
  readonly #trace: ((line: string) => void) | undefined
  #processes = 0

  /** `disks`: two homes that know each other; copies are used. */
  constructor(seed: number, disks: readonly [Disk, Disk], trace?: (line: string) => void) {
    this.#seed = seed
    this.#trace = trace
    this.#dice = seeded(seed)
    for (let i = 0; i < 4; i++) this.#dice.next()
    this.#sides = [this.#side('a', disks[0]), this.#side('b', disks[1])]
    const machines = new Map(this.#sides.map(({ machine }, i) => [ADDRESSES[i] as string, machine]))
    this.#weather = new Weather(this, this.#dice, machines)
  }

  #side(name: string, disk: Disk): Side {
    const machine = new Machine(name, this, () => false)
    machine.disk = disk.clone()
    return new Side(machine)
  }

  #chance(probability: number): boolean {
    return this.#dice.next() < probability
  }

  #whole(below: number): number {
    return Math.floor(this.#dice.next() * below)
  }

  // Host

  perform(process: Proc, op: Op): Promise<Answer> {
    if (!process.alive) return never()
    const { machine } = process
    this.#trace?.(`${this.time.now} ${machine.name}${process.pid} ${op.do} ${op.path}`)
    const side = machine === this.#sides[0].machine ? this.#sides[0] : this.#sides[1]
    if (this.#struck(side, process)) return never()
    try {
      if (op.do === 'sync' || op.do === 'syncDir') return this.#sync(process, op)
      const answer = execute(machine, op)
      // Whoever holds a lock touches it.
      if (op.do === 'stat' && typeof answer === 'object' && 'mtime' in answer && machine.isAlive(machine.locks.get(op.path) ?? 0)) {
        answer.mtime = machine.stamp()
      }
      if ('path' in op && (op.do === 'open' || op.do === 'rename' || op.do === 'link' || op.do === 'unlink')) machine.changed(op.path)
      return Promise.resolve(answer)
    } catch (error) {
      return Promise.reject(error as Error)
    }
  }

  /** It takes a while, and is done at its end. */
  #sync(process: Proc, op: Op & { do: 'sync' | 'syncDir' }): Promise<Answer> {
    const { machine } = process
    if (!changes(machine, op)) return Promise.resolve(undefined)
    const end = beginSync(machine, op)
    const { boot } = machine
    return new Promise((resolve) => {
      this.#weather.after(this.#chance(0.1) ? this.#whole(200) : this.#dice.next() * 5, () => {
        if (machine.boot === boot) end()
        if (process.alive) resolve(undefined)
      })
    })
  }

  soon(process: Proc, run: () => void): void {
    queueMicrotask(() => {
      if (process.alive) run()
    })
  }

  /** True if the process is dead now. */
  #struck(side: Side, process: Proc): boolean {
    for (const crash of side.crashes) {
      if (--crash.left !== 0) continue
      const { machine } = side
      if (crash.kind === 'power') {
        const outcome = someOutcome(machine.disk, (probability) => this.#chance(probability))
        machine.powerCut(machine.disk.after(outcome))
        const torn = tornOf(machine.disk, machine.home)
        if (torn !== undefined) this.#faults.push(torn)
      } else if (crash.kind === 'kill') {
        for (const one of machine.processes.values()) one.die()
      } else {
        process.die()
      }
    }
    return !process.alive
  }

  // What people do

  #start(side: Side): Proc {
    const process = side.machine.start(seeded(this.#seed * 64 + ++this.#processes))
    process.files.network = this.#weather
    return process
  }

  /** Work of one process, which then ends. Resolves when it is over, by itself or not. */
  #run(side: Side, work: (process: Proc) => Promise<void>): Promise<void> {
    const process = this.#start(side)
    const dead = new Promise<void>((resolve) => process.onDeath.add(() => resolve()))
    const working = work(process)
      .catch((error: unknown) => {
        const busy = error instanceof Failure && error.exit === EX.TEMPORARY
        if (process.alive && !busy) this.#faults.push(`error ${error instanceof Error ? (error.stack ?? error.message) : 'of no class'}`)
      })
      .then(() => process.die())
    const over = Promise.race([working, dead])
    this.#busy.add(over)
    void over.then(() => this.#busy.delete(over))
    return over
  }

  #listen(side: Side): void {
    if (side.listener !== undefined) return
    const stop = new AbortController()
    const nobody = (): undefined => undefined
    let own: Proc | undefined
    const over = this.#run(side, async (process) => {
      own = process
      const { home, keyring } = await open(process)
      const listener = new Listener({
        home,
        keyring,
        config: UDP_OFF,
        reread: () => Promise.resolve(UDP_OFF),
        once: false,
        exec: undefined,
        signal: stop.signal,
        onReady: nobody,
        onMessage: nobody,
        onDelivered: nobody,
        onDeferred: nobody,
        onFailed: (_, __, reason, text) => this.#faults.push(`error refused for good: ${reason}: ${text}`),
        onPeer: nobody,
        onContact: nobody,
        onRequest: nobody,
        onNotice: nobody,
      })
      await listener.run()
    })
    const listening = { process: own as unknown as Proc, stop, over }
    side.listener = listening
    void over.then(() => {
      if (side.listener === listening) side.listener = undefined
    })
  }

  #send(letter: Letter): void {
    const side = this.#sides[letter.from]
    void this.#run(side, async (process) => {
      const { home, keyring } = await open(process)
      const [to] = keyring.all()
      if (to === undefined) return
      letter.told = 1
      const staged = await stageBody(home, nodeSuite, letter.parts)
      const waitMs = this.#chance(0.3) ? 0 : 5000
      const calling = beginAhead(home, keyring, to, UDP_OFF, waitMs) // as p2p-send does, and sooner: nothing is queued yet
      const queued = await acceptAll(home, nodeSuite, keyring.self, [{ to, staged, header: {} }])
      letter.told = 2
      await discard(home, staged)
      const jobs = queued.map((each) => ({ contact: to, queued: each }))
      const signal = new AbortController().signal
      const ahead = await calling
      await deliverNow(home, keyring, jobs, { waitMs, signal, config: UDP_OFF, ahead, onOutcome: () => undefined })
    })
  }

  #flush(side: Side): Promise<void> {
    return this.#run(side, async (process) => {
      const { home, keyring } = await open(process)
      const options = {
        waitMs: 10_000,
        lingerMs: 0,
        signal: new AbortController().signal,
        config: UDP_OFF,
        reread: () => Promise.resolve(UDP_OFF),
        onOutcome: (): void => undefined,
        onReceived: (): void => undefined,
        onNotice: (): void => undefined,
      }
      await flushAll(home, keyring, keyring.all(), options)
    })
  }

  /** A mail reader: what it has read it moves, what it has moved it deletes. */
  #read({ machine }: Side): void {
    const { disk, home } = machine
    for (const name of disk.dir(`${home}/inbox/cur`).entries.keys()) {
      if (this.#chance(0.5)) disk.unlink(`${home}/inbox/cur/${name}`, true)
    }
    for (const name of disk.dir(`${home}/inbox/new`).entries.keys()) {
      if (this.#chance(0.5)) disk.rename(`${home}/inbox/new/${name}`, `${home}/inbox/cur/${name}:2,S`, true)
    }
  }

  // The life

  /** The texts of what should not be. */
  async run(): Promise<readonly string[]> {
    const living = this.#live()
      .catch((error: unknown) => this.#faults.push(`error ${error instanceof Error ? (error.stack ?? error.message) : 'of no class'}`))
      .finally(() => (this.#over = true))
    for (let turn = 0; ; turn++) {
      await new Promise<void>((resolve) => process.nextTick(resolve)) // when all that can run now has run
      if (this.#over) break
      if (turn > TURNS_MAX || !this.time.step()) {
        this.#faults.push(`stuck after ${this.time.now} ms`)
        break
      }
    }
    if (this.#over) await living
    return [...this.#faults, ...this.#weather.faults]
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.#weather.after(ms, resolve))
  }

  async #live(): Promise<void> {
    this.#plan()
    await this.#sleep(STORM_MS)
    this.#weather.calm = true
    for (const side of this.#sides) side.crashes = []
    await this.#comeTrue()
    await this.#sleep(QUIET_MS)
    const open = [...this.#weather.connections].filter((connection) => connection.open).length
    if (open > 1) this.#faults.push(`glare: ${open} connections are left`)
    await this.#stopAll()
    this.#faults.push(...(await verdict(this.#letters, this.#sides.map(({ machine }) => machine))))
    if (this.#seed % WEEKS_EVERY === 0 || this.#sides.some(({ machine }) => aftermath(machine).length > 0)) await this.#weeks()
    for (const side of this.#sides) await this.#takeLocks(side)
    this.#faults.push(...this.#sides.flatMap(({ machine }) => aftermath(machine)))
  }

  /** Weeks pass; then a listener begins, which sweeps. */
  async #weeks(): Promise<void> {
    for (const { machine } of this.#sides) machine.skew += WEEKS_MS
    for (const side of this.#sides) this.#listen(side)
    await this.#sleep(10_000)
    await this.#stopAll()
  }

  #plan(): void {
    const { after } = { after: (ms: number, run: () => void): void => this.#weather.after(ms, run) }
    const when = (): number => this.#dice.next() * STORM_MS
    for (const side of this.#sides) {
      if (this.#chance(0.85)) after(this.#chance(0.5) ? 0 : this.#whole(20_000), () => this.#listen(side))
      // Whoever looks after it starts it again.
      for (let ms = 15_000; ms < STORM_MS; ms += 15_000) after(ms + this.#whole(5000), () => this.#chance(0.7) && this.#listen(side))
      for (let i = this.#whole(3); i > 0; i--) after(when(), () => void this.#flush(side))
      for (let i = this.#whole(3); i > 0; i--) after(when(), () => this.#read(side))
      for (let i = this.#whole(4); i > 0; i--) {
        const kind = (['power', 'power', 'kill', 'one'] as const)[this.#whole(4)] ?? 'power'
        after(when(), () => side.crashes.push({ left: 1 + this.#whole(this.#chance(0.5) ? 60 : 400), kind }))
      }
    }
    const count = 1 + this.#whole(4)
    const both = this.#chance(0.5) // at one moment, as far as they can be
    const moment = when()
    for (let number = 0; number < count; number++) {
      const letter: Letter = { number, from: this.#whole(2) as 0 | 1, parts: partsOf(number, this.#whole(10)), told: 0 }
      this.#letters.push(letter)
      after(both ? moment : when(), () => this.#send(letter))
    }
  }

  /** In fine weather, with passes now and then as by cron, until nothing that was promised is missing. */
  async #comeTrue(): Promise<void> {
    for (let pass = 0; pass < PASSES; pass++) {
      for (const side of this.#sides) this.#listen(side)
      await this.#sleep(PASS_MS)
      if (this.#sides.every(({ machine }) => isEmpty(machine))) return
      await Promise.race([Promise.all(this.#sides.map((side) => this.#flush(side))), this.#sleep(PASS_MS)])
    }
    this.#faults.push('stuck: in fine weather, and not delivered')
  }

  /** A lock that a dead process has left stays until somebody wants it, who must get it at once. */
  #takeLocks(side: Side): Promise<void> {
    return this.#run(side, async (process) => {
      const { home } = await open(process)
      for (const name of await home.files.list(home.at('lock'))) {
        if (!name.endsWith('.lock')) continue
        const held = await tryLock(home, name.slice(0, -'.lock'.length))
        if (held === undefined) this.#faults.push(`lock: ${name} is had by nobody and cannot be had`)
        await held?.release()
      }
    })
  }

  async #stopAll(): Promise<void> {
    const listeners = this.#sides.flatMap(({ listener }) => listener ?? [])
    for (const { stop } of listeners) stop.abort()
    const all = Promise.all(this.#busy)
    const late = this.#sleep(60_000).then(() => 'late')
    if ((await Promise.race([all, late])) === 'late') this.#faults.push('stuck: processes do not end')
  }
}

/** Nothing waits to be sent. */
function isEmpty({ disk, home }: Machine): boolean {
  const queue = disk.find(`${home}/queue`)
  if (queue?.kind !== 'dir') return true
  for (const each of queue.entries.values()) {
    const waiting = each.kind === 'dir' ? each.entries.get('new') : undefined
    if (waiting?.kind === 'dir' && waiting.entries.size > 0) return false
  }
  return true
}

const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text))

/** A text; a text with a file in the mail and one outside; a file; each of them known by its number. */
function partsOf(number: number, kind: number): PartSource[] {
  const file = (name: string, size: number): PartSource => ({
    type: 'application/octet-stream',
    name,
    content: bytes(`${number}${name}`.repeat(Math.ceil(size / 4)).slice(0, size)),
  })
  const text: PartSource = { type: 'text/plain', content: bytes(`letter ${number}\n`) }
  if (kind < 6) return [text]
  if (kind < 8) return [file('out', 200)]
  return [text, file('inn', 40), file('out', 500)]
}
