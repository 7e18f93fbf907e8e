// Who is at work in a soak: on each side a listener that is started again whenever it dies, two that send, a cron that
// flushes whether or not the last flush is over, a mail reader; and one who kills any of their processes at any moment,
// or stops it for a while. If wanted each process has a clock of its own, which jumps. All are the real commands. A
// process that ends otherwise than it may, or says more than it may, is a fault.

import { rmSync } from 'node:fs'
import { join } from 'node:path'

import { pause, type Peer, type Running, type Stage } from '../peer.ts'
import { clockEnv, setClock } from './clock.ts'
import { silence } from './silence.ts'
import { type Ledger, other, type Side } from './ledger.ts'
import { contentOf, type Shape } from './message.ts'
import type { Dice } from './random.ts'

/** Exit codes that mean nothing bad, by command; 75: busy, or the wait ran out. 78: the port is taken by a listener. */
const FINE: Record<string, readonly number[]> = {
  'p2p-listen': [0, 75, 78],
  'p2p-queue': [0, 75, 78],
  'p2p-send': [0, 75],
}

/** A flush is begun so often, in ms, while fewer than so many run. */
const CRON_MS = [400, 1800] as const
const FLUSHES = 3

/** ms that a killed listener stays away; every fifth time much longer, so that flushes meet without one. */
const AWAY_MS: [number, number] = [0, 1200]
const LONG_AWAY_MS: [number, number] = [2000, 5000]

/** Messages in one call. */
const LINES = [5, 60] as const
const RECORDS = [5, 30] as const

/** Between two kills, on average; and right after a record of the victim, when something was just done. */
const KILL_MS = 250
const CLOSE_MS = [0, 6] as const

/** Between two stops, on average, and how long they last. */
const STOP_MS = 700
const STOPPED_MS = [300, 4000] as const

/** Between two jumps of somebody's clock, and where to: days from now. */
const JUMP_MS = [100, 700] as const
const DAYS = [0, 0, 3650, -3650, 1, -20]

interface Worker {
  side: Side
  command: string
  running: Running
  /** The file that tells its clock. */
  clock: string | undefined
}

export interface CrewOptions {
  stage: Stage
  people: Record<Side, Peer>
  ledger: Ledger
  dice: Dice
  seed: number
  /** What there is to reach: both get there together. */
  messages: number
  kills: number
  stops: number
  /** Every process has its own clock. */
  clocks: boolean
}

export class Crew {
  readonly #options: CrewOptions
  readonly #workers = new Set<Worker>()
  readonly #jobs: Promise<void>[] = []
  #over = false
  #next: number
  #started = 0
  /** What went wrong, in words. */
  readonly faults: string[] = []

  constructor(options: CrewOptions) {
    this.#options = options
    this.#next = Math.max(-1, ...options.ledger.tried.keys()) + 1
  }

  /** Begins; ends by itself when there are enough messages and kills. */
  async work(over: () => boolean): Promise<void> {
    const { dice } = this.#options
    for (const side of ['alice', 'bob'] as const) {
      this.#jobs.push(this.#listen(side), this.#flush(side), this.#send(side), this.#send(side))
    }
    this.#jobs.push(this.#kill(), this.#stop(), this.#jump())
    while (!over() && !this.enough && this.faults.length === 0) await pause(dice.between(20, 60))
    this.#over = true
    for (const { running } of this.#workers) void running.kill()
    await Promise.all(this.#jobs)
  }

  get enough(): boolean {
    const { messages, kills, stops, ledger } = this.#options
    return ledger.queued.size >= messages && ledger.killed >= kills && ledger.stops >= stops
  }

  /** True for whoever is ahead of the other: senders of the killer, and the killer of the senders. */
  #ahead(of: 'messages' | 'kills' | 'stops'): boolean {
    const { messages, kills, stops, ledger } = this.#options
    const done = { messages: ledger.queued.size / messages, kills: share(ledger.killed, kills), stops: share(ledger.stops, stops) }
    return done[of] >= 1 || done[of] > Math.min(...Object.values(done)) + 0.02
  }

  /** Until it is over; what a job throws is a fault. */
  async #repeat(turn: () => Promise<void>): Promise<void> {
    try {
      while (!this.#over) await turn()
    } catch (error) {
      this.faults.push(error instanceof Error ? (error.stack ?? error.message) : String(error))
    }
  }

  #start(side: Side, command: string, args: string[], stdin?: string): Worker {
    const { people, stage, clocks, dice } = this.#options
    const clock = clocks ? join(stage.dir, `clock-${this.#started++}`) : undefined
    const env = clock === undefined ? {} : clockEnv(clock, dice.pick(DAYS))
    const running = people[side].start(command, args, { env, ...(stdin !== undefined && { stdin: 'pipe' }) })
    running.child.stdin?.on('error', () => undefined) // it is killed while it reads
    running.child.stdin?.end(stdin)
    const worker = { side, command, running, clock }
    this.#workers.add(worker)
    return worker
  }

  /** Waits for its end and looks whether that is one it may have. */
  async #ended(worker: Worker): Promise<void> {
    const { side, command, running } = worker
    const { code, signal } = await running.ended
    this.#workers.delete(worker)
    running.check()
    this.#options.stage.forget(running)
    if (worker.clock !== undefined) rmSync(worker.clock, { force: true })
    const fine = signal === 'SIGKILL' || (FINE[command] ?? []).includes(code ?? -1)
    if (fine && !running.err.includes('    at ')) return
    this.faults.push(`${side}: ${running.child.spawnargs.slice(1).join(' ')}: ${code ?? signal}: ${running.err}`)
  }

  #listen(side: Side): Promise<void> {
    const { dice } = this.#options
    return this.#repeat(async () => {
      await this.#ended(this.#start(side, 'p2p-listen', ['--json', '--no-text']))
      const away = dice.chance(0.2) ? LONG_AWAY_MS : AWAY_MS
      await pause(dice.between(...away))
    })
  }

  #flush(side: Side): Promise<void> {
    const { dice } = this.#options
    const running = new Set<Promise<void>>()
    return this.#repeat(async () => {
      if (running.size < FLUSHES) {
        const linger = dice.chance(0.3) ? ['--linger', '2s'] : []
        const one = this.#ended(this.#start(side, 'p2p-queue', ['flush', '-w', `${dice.between(2, 8)}s`, ...linger]))
        running.add(one)
        void one.then(() => running.delete(one))
      }
      await pause(dice.between(...CRON_MS))
    }).then(async () => void (await Promise.all(running)))
  }

  #send(side: Side): Promise<void> {
    const { dice } = this.#options
    return this.#repeat(async () => {
      if (this.#ahead('messages')) return pause(50)
      const way = dice.pick(['one', 'one', 'one', 'lines', 'records'] as const)
      if (way === 'one') await this.#sendOne(side)
      else if (way === 'lines') await this.#sendMany(side, 'line', dice.between(...LINES))
      else await this.#sendMany(side, 'record', dice.between(...RECORDS))
      await pause(dice.between(0, 200))
    })
  }

  #wait(): string[] {
    return this.#options.dice.pick([['--queue-only'], ['-w', '0'], ['-w', '1s'], ['-w', '4s']])
  }

  #take(from: Side, shape: Shape, count: number): number[] {
    const numbers = Array.from({ length: count }, () => this.#next++)
    this.#options.ledger.note({ fact: 'try', from, shape, numbers })
    return numbers
  }

  async #sendOne(side: Side): Promise<void> {
    const { seed, people } = this.#options
    const numbers = this.#take(side, 'any', 1)
    const { text, files } = contentOf(seed, numbers[0] ?? 0, 'any')
    const words = text === undefined ? undefined : Buffer.from(text).toString()
    const paths = files.map(({ name, bytes }) => people[side].file(name ?? '', bytes))
    const args = [...paths.flatMap((path) => ['-a', path]), ...(words !== undefined && paths.length > 0 ? ['-m', words] : [])]
    await this.#sent(side, numbers, paths, [other(side), '--json', ...args, ...this.#wait()], paths.length > 0 ? '' : words)
  }

  async #sendMany(side: Side, shape: 'line' | 'record', count: number): Promise<void> {
    const { seed, people } = this.#options
    const numbers = this.#take(side, shape, count)
    const paths: string[] = []
    const lines = numbers.map((n) => {
      const { text, files } = contentOf(seed, n, shape)
      const words = text === undefined ? undefined : Buffer.from(text).toString()
      if (shape === 'line') return words
      const file = files.map(({ name, bytes }) => people[side].file(name ?? '', bytes))
      paths.push(...file)
      return JSON.stringify({ to: other(side), ref: n, ...(words !== undefined && { text: words }), ...(file.length > 0 && { file }) })
    })
    const args = shape === 'line' ? [other(side), '--lines'] : ['--ndjson']
    await this.#sent(side, numbers, paths, [...args, '--json', ...this.#wait()], lines.join('\n') + '\n')
  }

  /** Notes each message that it says is queued, in the order in which it was given them. */
  async #sent(side: Side, numbers: number[], paths: string[], args: string[], stdin: string | undefined): Promise<void> {
    const { ledger } = this.#options
    const worker = this.#start(side, 'p2p-send', args, stdin ?? '')
    await this.#ended(worker)
    for (const [index, { id, ref }] of worker.running.of('queued').entries()) {
      ledger.note({ fact: 'queued', from: side, id: String(id), n: typeof ref === 'number' ? ref : (numbers[index] ?? -1) })
    }
    for (const path of paths) rmSync(path)
  }

  #kill(): Promise<void> {
    const { dice } = this.#options
    return this.#repeat(async () => {
      await pause(-Math.log(1 - dice.next()) * KILL_MS)
      const victim = this.#victim()
      if (victim === undefined || this.#ahead('kills')) return
      const all = dice.chance(0.05) // as if the machine went down
      if (!all && dice.chance(0.3)) await this.#nextRecord(victim)
      for (const worker of this.#workers) if (worker === victim || (all && worker.side === victim.side)) this.#strike(worker)
    })
  }

  /** One of those at work: each command as often as the others. */
  #victim(): Worker | undefined {
    const { dice } = this.#options
    const commands = [...new Set([...this.#workers].map(({ command }) => command))]
    if (commands.length === 0) return undefined
    const command = dice.pick(commands)
    return dice.pick([...this.#workers].filter((worker) => worker.command === command))
  }

  /** SIGSTOP, for so long that its locks look as if nobody held them, then SIGCONT. */
  #stop(): Promise<void> {
    const { dice, ledger, people } = this.#options
    return this.#repeat(async () => {
      await pause(-Math.log(1 - dice.next()) * STOP_MS)
      const victim = this.#victim()
      if (victim === undefined || this.#ahead('stops') || isOver(victim)) return
      const { side, command, running } = victim
      running.child.kill('SIGSTOP')
      const restore = silence(people[side].home, running.pid)
      await Promise.race([pause(dice.between(...STOPPED_MS)), running.ended])
      restore()
      running.child.kill('SIGCONT')
      ledger.note({ fact: 'stop', what: `${side} ${command}` })
    })
  }

  /** Somebody's clock is set. */
  #jump(): Promise<void> {
    const { dice, clocks } = this.#options
    return this.#repeat(async () => {
      await pause(dice.between(...JUMP_MS))
      const { clock } = (clocks ? this.#victim() : undefined) ?? {}
      if (clock !== undefined) setClock(clock, dice.pick(DAYS))
    })
  }

  /** Right after it has said something, if it does so soon. */
  async #nextRecord({ running }: Worker): Promise<void> {
    const said = new Promise<void>((resolve) => running.child.stdout?.once('data', () => resolve()))
    await Promise.race([said, running.ended, pause(1500)])
    await pause(this.#options.dice.between(...CLOSE_MS))
  }

  #strike(worker: Worker): void {
    const { side, command, running } = worker
    if (isOver(worker) || !running.child.kill('SIGKILL')) return
    void running.ended.then(({ signal }) => {
      if (signal === 'SIGKILL') this.#options.ledger.note({ fact: 'kill', what: `${side} ${command}` })
    })
  }
}

function isOver({ running }: Worker): boolean {
  return running.over || running.child.exitCode !== null || running.child.signalCode !== null
}

/** What there is of what there is to be. */
function share(done: number, of: number): number {
  return of === 0 ? Infinity : done / of
}
