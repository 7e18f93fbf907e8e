// One large message over a link that is cut at random points: sender killed, receiver killed, RST, silence. Counts what
// the receiver's process reads from its sockets and from the parts on its disk (strace), against what no receiver could
// do without, and the peak memory of both sides. The state is in a folder, so that a long run goes on another day.

import { createCipheriv, createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { spawn } from 'node:child_process'
import { join } from 'node:path'

import { argvOf } from '../command.ts'
import { pause, type Peer, port, type Running, Stage, until } from '../peer.ts'
import { type Crossing, Proxy } from '../proxy.ts'
import { Dice } from './random.ts'
import { childOf, ReadCount, traced } from './trace.ts'

export const MIB = 2 ** 20
const NAME = 'large.bin'

/** What one DATA frame of 32,768 bytes costs beyond them: p2p-wire(7), FRAMES. */
const FRAME_BYTES = 32_768
const FRAME_COST = 61

/** No cut so close to the end: what the system holds for the receiver then may be all that is missing. */
const MARGIN = 16 * MIB

/** Attempts in a row that come to nothing. */
const TRIES = 20

export type Cut = 'sender' | 'receiver' | 'reset' | 'silence'
export const CUTS: readonly Cut[] = ['sender', 'receiver', 'reset', 'silence']

export interface ResumePlan {
  bytes: number
  cuts: number
  seed: number
  /** These in turn; all kinds by chance without. */
  kinds?: Cut[]
}

/** What one life of a process told of its progress: bytes at its first and last word, of how many words. */
export interface Told {
  who: 'sender' | 'receiver'
  words: number
  first: number
  last: number
}

/** Bytes of resident memory at most, VmHWM of proc(5). */
interface Peaks {
  node: number
  accepting: number
  sender: number
  receiver: number
}

interface State extends ResumePlan {
  ports: { bob: number; proxy: number }
  id: string
  hash: string
  /** Cuts made so far. */
  done: number
  made: Record<Cut, number>
  /** Bytes the receiver has read from sockets, in all its lives. */
  received: number
  /** Bytes of parts that it has read back from its disk, to hash them again. */
  hashed: number
  /** Bytes that lay behind the last checkpoint when it was cut off: all that it may have to hash again. */
  behind: number
  peaks: Peaks
  seconds: number
  told: Told[]
}

export interface ResumeReport extends ResumePlan {
  made: Record<Cut, number>
  received: number
  /** Bytes that the receiver took in more than once. */
  twice: number
  hashed: number
  behind: number
  peaks: Peaks
  seconds: number
  told: Told[]
}

/** A receiver's process. */
interface Life {
  running: Running
  pid: number
  reads: ReadCount
  received: number
  hashed: number
}

/** The bytes of the message from the start on, a MiB at a time; reproducible, no two blocks alike. */
function* content(seed: number, bytes: number): Generator<Buffer> {
  const key = createHash('sha256').update(`resume ${seed}`).digest()
  const stream = createCipheriv('aes-128-ctr', key.subarray(0, 16), key.subarray(16))
  const zeros = Buffer.alloc(MIB)
  for (let at = 0; at < bytes; at += MIB) yield stream.update(zeros.subarray(0, Math.min(MIB, bytes - at)))
}

function peakOf(pid: number): number {
  try {
    return Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024
  } catch {
    return 0 // it is over
  }
}

async function barePeak(): Promise<number> {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => 0, 1e9)'], { stdio: 'ignore' })
  await pause(500)
  const peak = peakOf(child.pid ?? 0)
  child.kill()
  return peak
}

export class Resume {
  readonly #dir: string
  readonly #stage: Stage
  readonly #alice: Peer
  readonly #bob: Peer
  readonly #proxy: Proxy
  readonly #state: State
  #life: Life | undefined
  #lives = 0

  private constructor(dir: string, stage: Stage, people: [Peer, Peer], proxy: Proxy, state: State) {
    this.#dir = dir
    this.#stage = stage
    ;[this.#alice, this.#bob] = people
    this.#proxy = proxy
    this.#state = state
  }

  /** In this folder, which goes on where it stands if there is something in it. */
  static async open(dir: string, plan: ResumePlan): Promise<Resume> {
    mkdirSync(dir, { recursive: true })
    const stage = new Stage(undefined, dir)
    const saved = join(dir, 'state.json')
    if (existsSync(saved)) {
      const state = JSON.parse(readFileSync(saved, 'utf8')) as State
      const proxy = await Proxy.open({ to: state.ports.bob }, state.ports.proxy)
      return new Resume(dir, stage, [await stage.enter('alice', true), await stage.enter('bob', true)], proxy, state)
    }
    const bobs = await port()
    const proxy = await Proxy.open({ to: bobs })
    const people = await stage.pair({}, { port: bobs, addr: [proxy.address] })
    const limit = `${Math.ceil(plan.bytes / MIB) + 64}M`
    for (const { path } of people) {
      writeFileSync(join(path, 'config.toml'), `udp = false\n[limits]\nmessage = "${limit}"\nquota = "1000G"\n`, { mode: 0o600 })
    }
    const none = { sender: 0, receiver: 0, reset: 0, silence: 0 }
    const peaks = { node: await barePeak(), accepting: 0, sender: 0, receiver: 0 }
    const ports = { bob: bobs, proxy: proxy.port }
    const count = { done: 0, made: none, received: 0, hashed: 0, behind: 0, peaks, seconds: 0, told: [] }
    const resume = new Resume(dir, stage, people, proxy, { ...plan, ports, id: '', hash: '', ...count })
    await resume.#accept()
    return resume
  }

  /** Ends every process; the folder stays. */
  async close(): Promise<void> {
    await this.#stage.close()
    await this.#proxy.close()
  }

  /** Until the message is there, or the time is over: `more` then. `seconds` of this call at most, roughly. */
  async run(seconds = Infinity): Promise<'done' | 'more'> {
    const start = performance.now()
    const points = this.#points()
    const state = this.#state
    const before = state.seconds
    const over = (): boolean => performance.now() - start > seconds * 1000
    const keep = (): void => {
      state.seconds = Math.round(before + (performance.now() - start) / 1000)
      this.#keep()
    }
    while (state.done < points.length && !over()) {
      const dice = new Dice(state.seed * 7919 + state.done) // the same whoever goes on
      const { kinds } = state
      const cut = kinds === undefined ? dice.pick(CUTS) : (kinds[state.done % kinds.length] as Cut)
      const gap = Math.max((points[state.done] ?? 0) - this.#held().body, dice.between(1, MIB))
      await this.#cut(cut, gap)
      state.done++
      state.made[cut]++
      keep()
    }
    if (state.done < points.length) {
      await this.#kill()
      keep()
      return 'more'
    }
    for (let tries = 0; (await this.#alice.waiting()).length > 0; tries++) {
      if (tries === TRIES) throw new Error('still waiting')
      await this.#receiver()
      const sender = this.#alice.start('p2p-queue', ['flush', '-w', '3600s', '--progress'])
      await this.#watch(sender)
    }
    await this.#verify()
    keep()
    return 'done'
  }

  report(): ResumeReport {
    const { bytes, cuts, seed, made, received, hashed, behind, peaks, seconds, told } = this.#state
    const once = bytes + Math.ceil(bytes / FRAME_BYTES) * FRAME_COST
    return { bytes, cuts, seed, made, received, twice: Math.max(0, received - once), hashed, behind, peaks, seconds, told }
  }

  /** What this life said of how far it is; it must not go back. */
  #hear(who: Told['who'], { records }: Running): void {
    const far = records.filter(({ type }) => type === 'progress').map(({ done }) => Number(done))
    for (const [at, done] of far.entries()) if (done < (far[at - 1] ?? 0)) throw new Error(`${who}: ${far[at - 1]} bytes, then ${done}`)
    if (far.length > 0) this.#state.told.push({ who, words: far.length, first: far[0] ?? 0, last: far.at(-1) ?? 0 })
  }

  #keep(): void {
    this.#count()
    writeFileSync(join(this.#dir, 'state.json'), JSON.stringify(this.#state))
  }

  /** Where the message is cut, in bytes from its start. */
  #points(): number[] {
    const { bytes, cuts, seed } = this.#state
    const dice = new Dice(seed)
    return Array.from({ length: cuts }, () => Math.floor(dice.next() * (bytes - MARGIN))).sort((a, b) => a - b)
  }

  /** Alice's p2p-send takes the message from a pipe. */
  async #accept(): Promise<void> {
    const { seed, bytes, peaks } = this.#state
    const sender = this.#alice.start('p2p-send', ['bob', '--queue-only', '--json', '-a', '-', '--name', NAME], { stdin: 'pipe' })
    const sum = createHash('sha256')
    const { stdin } = sender.child
    if (stdin === null) throw new Error('no standard input')
    for (const piece of content(seed, bytes)) {
      sum.update(piece)
      if (!stdin.write(piece)) await new Promise((resolve) => stdin.once('drain', resolve))
      peaks.accepting = Math.max(peaks.accepting, peakOf(sender.pid))
    }
    stdin.end()
    while (!sender.over) {
      peaks.accepting = Math.max(peaks.accepting, peakOf(sender.pid))
      await pause(50)
    }
    this.#state.id = String((await sender.until('queued'))['id'])
    this.#state.hash = sum.digest('hex')
  }

  async #receiver(): Promise<Life> {
    if (this.#life !== undefined && !this.#life.running.over) return this.#life
    const output = join(this.#dir, `trace-${process.pid}-${this.#lives++}`)
    const argv = traced(output, [...argvOf('p2p-listen'), '--json', '--no-text', '--progress'])
    const running = this.#stage.startProgram(argv, { home: this.#bob.path, env: this.#bob.env })
    await running.until('listening')
    const reads = new ReadCount(output, /\/part\/\w+\/\w+\.\w+\/\d+$/)
    return (this.#life = { running, pid: childOf(running.pid), reads, received: 0, hashed: 0 })
  }

  /** Adds what the receiver has read since the last look. */
  #count(): void {
    const life = this.#life
    if (life === undefined) return
    this.#state.peaks.receiver = Math.max(this.#state.peaks.receiver, peakOf(life.pid))
    life.reads.look()
    this.#state.received += life.reads.received - life.received
    this.#state.hashed += life.reads.read - life.hashed
    life.received = life.reads.received
    life.hashed = life.reads.read
  }

  /** What bob's disk holds of the body, and how much of it a checkpoint covers. */
  #held(): { body: number; checked: number } {
    const parts = this.#bob.at('part', this.#alice.key)
    let [body, checked] = [0, 0]
    for (const name of existsSync(parts) ? readdirSync(parts) : []) {
      const size = (file: string): number => statSync(join(parts, name, file), { throwIfNoEntry: false })?.size ?? 0
      body += size('0')
      checked += Math.floor(size('chunks') / 32) * MIB
    }
    return { body, checked }
  }

  /** A sender begins; it is cut once so many bytes have gone up. Tried again if it does not come so far. */
  async #cut(cut: Cut, gap: number): Promise<void> {
    for (let tries = 0; tries < TRIES; tries++) {
      const { pid } = await this.#receiver()
      const sender = this.#alice.start('p2p-queue', ['flush', '-w', '3600s', '--progress'])
      const crossing = await this.#reaches(gap, sender)
      this.#state.peaks.sender = Math.max(this.#state.peaks.sender, peakOf(sender.pid))
      if (crossing === undefined) {
        this.#ended(sender)
        if ((await this.#alice.waiting()).length === 0) throw new Error('it has arrived before its last cut')
        continue
      }
      if (cut === 'receiver') {
        process.kill(pid, 'SIGSTOP') // what it has read is told before it dies
        this.#count()
        process.kill(pid, 'SIGKILL')
        await this.#life?.running.ended
        this.#buried()
      } else if (cut === 'reset') {
        crossing.reset()
      } else {
        if (cut === 'silence') crossing.silence()
        await sender.kill()
      }
      if (cut !== 'receiver') this.#state.behind += MIB // a chunk that was not whole
      await this.#watch(sender)
      return
    }
    throw new Error(`no attempt of ${TRIES} came ${gap} bytes far`)
  }

  /** Both sides at once, between two calls. */
  async #kill(): Promise<void> {
    const life = this.#life
    if (life === undefined) return
    if (!life.running.over) process.kill(life.pid, 'SIGKILL')
    await life.running.ended
    this.#buried()
  }

  /** The receiver is dead: this is what its next life has to hash again. */
  #buried(): void {
    this.#count()
    if (this.#life !== undefined) this.#hear('receiver', this.#life.running)
    this.#life = undefined
    const { body, checked } = this.#held()
    this.#state.behind += body - checked
  }

  /** The connection, when so many bytes have gone up since now; undefined if the sender ends before. */
  async #reaches(gap: number, sender: Running): Promise<Crossing | undefined> {
    const reached = new Promise<Crossing>((resolve) => {
      let up = 0
      const seen = new Map<Crossing, number>(this.#proxy.crossings.map((crossing) => [crossing, crossing.up]))
      this.#proxy.onBytes = (crossing) => {
        up += crossing.up - (seen.get(crossing) ?? 0)
        seen.set(crossing, crossing.up)
        if (up >= gap && crossing.open) resolve(crossing)
      }
    })
    const crossing = await Promise.race([reached, sender.ended.then(() => undefined)])
    this.#proxy.onBytes = () => undefined
    return crossing
  }

  /** Until it ends, with an eye on its memory. */
  async #watch(sender: Running): Promise<void> {
    const { peaks } = this.#state
    const look = setInterval(() => {
      peaks.sender = Math.max(peaks.sender, peakOf(sender.pid))
      if (this.#life !== undefined) peaks.receiver = Math.max(peaks.receiver, peakOf(this.#life.pid))
    }, 200)
    await sender.ended
    clearInterval(look)
    this.#ended(sender)
  }

  #ended(sender: Running): void {
    const { exitCode, signalCode } = sender.child
    this.#hear('sender', sender)
    if (exitCode !== 0 && signalCode !== 'SIGKILL') throw new Error(`flush: exit ${exitCode ?? signalCode}: ${sender.err}`)
    this.#stage.forget(sender)
  }

  /** Exactly this message is there, to the byte, and nothing lies around. */
  async #verify(): Promise<void> {
    const { id, hash, bytes } = this.#state
    await this.#life?.running.until('message')
    const { running } = await this.#receiver()
    const found = await this.#bob.ids()
    if (found.length !== 1 || found[0] !== id) throw new Error(`in the inbox: ${JSON.stringify(found)}, not ${id}`)
    const saved = await this.#bob.hash('p2p-inbox', ['cat', id])
    if (saved.size !== bytes || saved.hash !== hash) throw new Error(`arrived: ${JSON.stringify(saved)}, not ${hash}`)
    await until('nothing lies around', () => [...this.#alice.strays(), ...this.#bob.strays()].length === 0, 10_000)
    this.#count()
    process.kill(this.#life?.pid ?? 0, 'SIGTERM')
    await running.ended
    this.#hear('receiver', running)
    this.#life = undefined
  }
}
