// The scenes of the crash sweeps: one message from alice to bob, and in each scene another command meets the fault
// while it has its part in that. A scene is set once and played many times: the one the fault is for begins with a
// fresh home each time, the other lives on. Who meets the fault is always the real command; the next start and the other
// side's flush are mostly done by this process (here.ts), which costs a tenth, and every so many times by real commands.

import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'

import { EX } from '../../lib/base/fail.ts'
import { type Peer, type Running, until } from '../peer.ts'
import { age, type Cast, type Kind, type Letter, stuckLocks } from './cast.ts'
import { flushHere, ListenerHere, type Passed } from './here.ts'
import { judge, type Verdict } from './verdict.ts'

/** So often the next start and the meeting are of real commands, in the first play and then. */
const REAL_EVERY = 10

/** Why a fault did not come to pass: there were so many chances (`made`), and the `wanted`-th was meant. */
export interface Miss {
  why: string
  made: number
  wanted: number
}

/** What happens to a command: how it is started, and whether it came to pass. */
export interface Doom {
  argv(command: string): string[]
  env: Record<string, string>
  /** Asked when the process is over. Undefined: it came to pass. */
  missed(pid: number): Promise<Miss | undefined>
}

export interface Scene {
  /** Who meets the fault, by doing what. */
  role: 'send' | 'flush' | 'listen' | 'flush and receive' | 'listen and receive'
  kind: Kind
}

export const SCENES: readonly Scene[] = (['text', 'three', 'big'] as const).flatMap((kind) =>
  (['send', 'flush', 'listen', 'flush and receive', 'listen and receive'] as const).map((role) => ({ role, kind })),
)

export function titleOf({ role, kind }: Scene): string {
  return `${role}, ${kind}`
}

/** For a process that goes on after an error but does not get anywhere: then it is told to end. */
const QUIET_MS = 3000

/** A command that is not over by then hangs. */
const PATIENCE_MS = 45_000

/** Passes, as of cron, before what still waits is not going to arrive: on a machine that does much else a call may fail. */
const PASSES = 3

/** One life of the command that the fault is for. */
interface Life {
  running: Running
  /** Of the message, as far as anybody has heard of one. */
  id: string | undefined
  /** The promise was given: p2p-send said `queued`, or ended with 0. */
  accepted: boolean
}

export interface Played extends Verdict {
  /** Undefined if the fault came to pass. */
  missed: Miss | undefined
  /** How the process ended: an exit code or a signal. */
  end: string
}

export class Play {
  readonly scene: Scene
  readonly #cast: Cast
  readonly #victim: Peer
  readonly #other: Peer
  /** The other side's listener, where it has one. */
  #listener: Running | undefined
  /** Something was not as it should be: nothing that is left of it must get into the next run. */
  #spoilt = false
  #plays = 0
  /** Plays in which all were real commands. */
  allReal = 0
  /** Why messages were left for another pass. */
  readonly late: string[] = []

  private constructor(cast: Cast, scene: Scene) {
    this.scene = scene
    this.#cast = cast
    const receives = scene.role.endsWith('receive')
    this.#victim = receives ? cast.bob : cast.alice
    this.#other = receives ? cast.alice : cast.bob
  }

  static async open(cast: Cast, scene: Scene): Promise<Play> {
    const play = new Play(cast, scene)
    await play.#setTheScene()
    return play
  }

  async #setTheScene(): Promise<void> {
    await this.#listener?.kill()
    this.#cast.reset(this.#other)
    if (this.scene.role !== 'listen and receive') this.#listener = await this.#other.listen()
    this.#spoilt = false
  }

  /** Ends what runs; what the other side has left lying about, if anything. */
  async close(): Promise<string[]> {
    if (this.#listener === undefined) return []
    const { code } = await this.#listener.stop()
    return [...(code === 0 ? [] : [`the other listener ended with ${code}`]), ...this.#other.strays(), ...(await stuckLocks(this.#other))]
  }

  /** Plays the scene once: the fault, the next start, the meeting, the verdict. */
  async run(doom: Doom): Promise<Played> {
    const { kind, role } = this.scene
    if (this.#spoilt) await this.#setTheScene()
    this.#spoilt = true
    const real = this.#plays++ % REAL_EVERY === 0
    if (real) this.allReal++
    const letter = this.#cast.letter(kind)
    this.#cast.reset(this.#victim)
    const life = await this.#live(doom, letter, real)
    const { running } = life
    const hung = !(await inTime(running.ended, PATIENCE_MS))
    const stands = hung ? whereItStands(running.pid) : ''
    if (hung) await running.kill()
    const { code, signal } = await running.ended
    const missed = await doom.missed(running.pid)
    this.#cast.stage.forget(running)
    const complaints = hung ? [`hung: ${running.out}${running.err}${stands}`] : []
    if (code === 70 || running.err.includes('bug in version')) complaints.push(`a bug: ${running.err}`)
    if (signal === 'SIGTERM') complaints.push(`did not end by itself, or not as it should: ${running.err}`)
    if (role === 'send' && code === 0) life.accepted = true
    age(this.#victim)
    complaints.push(...(await this.#again(real)))
    const verdict = await judge(this.#cast, letter, { id: life.id, accepted: life.accepted })
    complaints.push(...verdict.complaints, ...(await stuckLocks(this.#victim)))
    this.#forget()
    if (this.#listener?.over === true) complaints.push(`the other listener has ended: ${this.#listener.err}`)
    this.#spoilt = complaints.length > 0 || verdict.lost + verdict.doubled + verdict.changed > 0
    return { ...verdict, complaints, missed, end: String(signal ?? code) }
  }

  #start(doom: Doom, command: string, args: string[]): Running {
    const env = { ...this.#victim.env, ...doom.env }
    env['NODE_OPTIONS'] = [this.#victim.env['NODE_OPTIONS'], doom.env['NODE_OPTIONS']].filter((text) => text !== undefined).join(' ')
    return this.#cast.stage.startProgram([...doom.argv(command), ...args], { home: this.#victim.path, env })
  }

  async #live(doom: Doom, letter: Letter, real: boolean): Promise<Life> {
    const cast = this.#cast
    const { role } = this.scene
    if (role === 'send') {
      const running = this.#start(doom, 'p2p-send', ['bob', '--json', '-w', '30s', ...cast.argsOf(letter)])
      await inTime(running.ended, PATIENCE_MS)
      const id = running.of('queued')[0]?.['id']
      return { running, id: id as string | undefined, accepted: id !== undefined }
    }
    if (role === 'listen and receive') {
      const running = this.#start(doom, 'p2p-listen', ['--json'])
      await first(running, 'listening')
      const id = await cast.queue(letter)
      if (!running.over) {
        await flushed(cast.alice, real) // into a fault: how it goes is the verdict's business
        await end(running)
      }
      return { running, id, accepted: true }
    }
    const id = await cast.queue(letter)
    if (role === 'listen') {
      const running = this.#start(doom, 'p2p-listen', ['--json'])
      await first(running, 'delivered')
      await end(running)
      return { running, id, accepted: true }
    }
    return { running: this.#start(doom, 'p2p-queue', ['flush', '--json']), id, accepted: true }
  }

  /** The next start, and the meeting; what went wrong. */
  async #again(real: boolean): Promise<string[]> {
    const { role } = this.scene
    const victim = this.#victim
    if (role !== 'listen' && role !== 'listen and receive') return this.#meet(victim, real)
    const listener = await listening(victim, real)
    const told: string[] = []
    if (role === 'listen and receive') {
      told.push(...(await this.#meet(this.#cast.alice, real)))
    } else {
      const empty = (): boolean => victim.files('queue', this.#cast.bob.key, 'new').length === 0
      const waits = until('an empty queue', empty, PATIENCE_MS).catch(() => this.#meet(victim, true))
      told.push(...((await waits) ?? []))
    }
    return [...told, ...(await listener.stop())]
  }

  /** Passes until nothing waits; what went wrong. */
  async #meet(peer: Peer, real: boolean): Promise<string[]> {
    for (let n = 1; ; n++) {
      const { wrong, deferred } = await flushed(peer, real)
      if (wrong.length > 0 || deferred.length === 0) return wrong
      if (n === PASSES) return deferred
      this.late.push(...deferred)
    }
  }

  /** Mail that was judged goes, as a mail reader may do at any time: the next verdict is about the next message. */
  #forget(): void {
    for (const peer of [this.#cast.alice, this.#cast.bob]) {
      if (peer === this.#victim) continue
      for (const folder of ['inbox/new', 'inbox/cur', 'sent/cur', 'files']) {
        for (const name of peer.files(folder)) rmSync(join(peer.at(folder), name), { recursive: true, force: true })
      }
    }
  }
}

/** A pass over the queue. */
async function flushed(peer: Peer, real: boolean): Promise<Passed> {
  if (!real) return flushHere(peer.path)
  const { code, signal, err } = await peer.run('p2p-queue', ['flush'])
  if (code === EX.TEMPORARY) return { wrong: [], deferred: [err] }
  return { wrong: code === 0 ? [] : [`the next flush ended with ${code ?? signal}: ${err}`], deferred: [] }
}

/** A listener that accepts; stop() tells what went wrong. */
async function listening(peer: Peer, real: boolean): Promise<{ stop(): Promise<string[]> }> {
  if (real) {
    const running = await peer.listen()
    return {
      async stop() {
        const { code } = await running.stop()
        return code === 0 ? [] : [`the next listener ended with ${code}: ${running.err}`]
      },
    }
  }
  const listener = await ListenerHere.open(peer.path)
  return { stop: async () => (await listener.stop()).map((text) => `the next listener, in this process: ${text}`) }
}

/** What the threads of a process and of its children are waiting for, as the system sees it. */
function whereItStands(pid: number): string {
  const of = (path: string): string => {
    try {
      return readFileSync(`/proc/${path}`, 'utf8').trim()
    } catch {
      return '-' // gone meanwhile
    }
  }
  let tasks: string[] = []
  try {
    tasks = readdirSync(`/proc/${pid}/task`)
  } catch {
    // gone meanwhile
  }
  const lines = tasks.map((task) => {
    const about = `${pid}/task/${task}`
    return `${task} ${of(`${about}/comm`)} in ${of(`${about}/wchan`)}, system call ${of(`${about}/syscall`)}\n`
  })
  const children = of(`${pid}/task/${pid}/children`).split(' ').map(Number).filter((child) => child > 0)
  return [...lines, ...children.map(whereItStands)].join('')
}

/** Tells a listener to end, unless it is about to for a reason of its own. */
async function end(running: Running): Promise<void> {
  if (/cannot|standard output/.test(running.err)) await inTime(running.ended, PATIENCE_MS)
  if (!running.over) running.child.kill('SIGTERM')
}

/** Waits for a record, the end of the process, or until nothing is to be expected any more. */
async function first(running: Running, type: string): Promise<void> {
  await inTime(Promise.race([running.until(type).catch(() => undefined), running.ended, running.until('deferred').catch(() => undefined)]), QUIET_MS)
}

async function inTime(work: Promise<unknown>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<boolean>((resolve) => (timer = setTimeout(() => resolve(false), ms)))
  try {
    return await Promise.race([work.then(() => true), late])
  } finally {
    clearTimeout(timer)
  }
}
