// Machines with a disk and processes that die. A dead process does nothing any more: what it waits for never comes, its
// timers do not run, its locks are found to be a dead one's. Locks are directories and notes on the simulated disk, as
// on a real one, under the real lib/disk/lock.ts; they are never lost in a power cut (a lost one of a dead process is
// no lock, so keeping it is the harder case), and who lives is told by the table of processes here.

import type { Clock } from '../../lib/base/clock.ts'
import type { Random } from '../../lib/base/random.ts'
import type { Doors } from '../../lib/disk/home.ts'
import { Disk } from './disk.ts'
import { SimFiles } from './files.ts'
import type { Answer, Kernel, Op } from './ops.ts'
import type { Timeline } from './timeline.ts'

/** Who decides when an operation takes place, and whether its process lives to see it. */
export interface Host {
  readonly time: Timeline
  /** The answer, now or later; never, if the process dies before. Rejects with a DiskError. */
  perform(process: Proc, op: Op): Promise<Answer>
  /** Runs it after what can run now. */
  soon(process: Proc, run: () => void): void
}

/** Unix ms at the beginning of virtual time. */
export const EPOCH = 1_700_000_000_000

export class Machine implements Kernel {
  readonly name: string
  readonly host: Host
  disk = new Disk()
  readonly home: string
  readonly open: Kernel['open'] = new Map()
  opened = 0
  readonly locks = new Map<string, number>()
  readonly minor: (path: string) => boolean
  boot = 1
  /** By which its wall clock is ahead, ms. */
  skew = EPOCH
  free = 2 ** 40
  readonly processes = new Map<number, Proc>()
  readonly watchers = new Map<string, Set<() => void>>()
  #pid = 100
  #ticks = 0

  constructor(name: string, host: Host, minor: (path: string) => boolean) {
    this.name = name
    this.host = host
    this.home = `/${name}`
    this.minor = minor
  }

  isAlive(pid: number): boolean {
    return this.processes.has(pid)
  }

  stamp(): number {
    return this.host.time.now + this.skew + ++this.#ticks * 1e-4
  }

  start(random: Random, pid = ++this.#pid): Proc {
    const process = new Proc(this, pid, random)
    this.processes.set(process.pid, process)
    return process
  }

  /** Everything that runs dies, and the disk is as it is found then. */
  powerCut(disk: Disk): void {
    for (const process of this.processes.values()) process.die(true)
    this.disk = disk
    this.boot++
    this.open.clear()
    this.locks.clear()
  }

  /** Tells those who watch the directory of `path`. */
  changed(path: string): void {
    if (this.watchers.size === 0) return
    for (const tell of this.watchers.get(path.slice(0, path.lastIndexOf('/'))) ?? []) tell()
  }
}

export class Proc {
  readonly machine: Machine
  readonly pid: number
  readonly files: SimFiles
  readonly clock: SimClock
  readonly random: Random
  alive = true
  /** What happens when it dies: connections break. */
  readonly onDeath = new Set<(powerCut: boolean) => void>()

  constructor(machine: Machine, pid: number, random: Random) {
    this.machine = machine
    this.pid = pid
    this.random = random
    this.files = new SimFiles(this)
    this.clock = new SimClock(this)
  }

  get doors(): Doors {
    return { files: this.files, clock: this.clock, random: this.random }
  }

  /** At once; whatever it was doing stays as it is. */
  die(powerCut = false): void {
    if (!this.alive) return
    this.alive = false
    this.machine.processes.delete(this.pid)
    for (const tell of this.onDeath) tell(powerCut)
    this.onDeath.clear()
  }
}

export class SimClock implements Clock {
  readonly #process: Proc

  constructor(process: Proc) {
    this.#process = process
  }

  get #time(): Timeline {
    return this.#process.machine.host.time
  }

  now(): number {
    return Math.floor(this.#time.now + this.#process.machine.skew)
  }

  micros(): bigint {
    return BigInt(Math.floor((this.#time.now + this.#process.machine.skew) * 1000))
  }

  monotonic(): number {
    return this.#time.now
  }

  after(ms: number, run: () => void): () => void {
    const process = this.#process
    return this.#time.at(this.#time.now + Math.max(0, ms), () => {
      if (process.alive) run()
    })
  }

  /** After what can run now: setImmediate. */
  soon(run: () => void): void {
    this.#process.machine.host.soon(this.#process, run)
  }
}

export function never<T>(): Promise<T> {
  return new Promise<T>(() => undefined)
}
