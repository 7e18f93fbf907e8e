// Two people who write to each other while their processes are killed at random: see crew.ts for who is at work, and
// verdict.ts for what must be true at the end. The work is in a folder, so that a long run can go on another day.

import { existsSync, mkdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { type Peer, Stage } from '../peer.ts'
import { Crew } from './crew.ts'
import { Ledger, type Side, SIDES } from './ledger.ts'
import { Dice } from './random.ts'
import { readAlong } from './reader.ts'
import { judge, type Verdict } from './verdict.ts'

const FAR_AHEAD = Date.UTC(2200, 0) / 1000 // s

export interface SoakPlan {
  messages: number
  kills: number
  stops: number
  /** Every process has a clock of its own, which jumps. */
  clocks: boolean
  seed: number
}

export interface SoakReport extends SoakPlan, Omit<Verdict, 'wrong'> {
  /** Kills that hit, by side and command. */
  killed: Record<string, number>
  seconds: number
}

export class Soak {
  readonly #stage: Stage
  readonly #people: Record<Side, Peer>
  readonly #ledger: Ledger
  readonly #plan: SoakPlan

  private constructor(stage: Stage, people: Record<Side, Peer>, ledger: Ledger, plan: SoakPlan) {
    this.#stage = stage
    this.#people = people
    this.#ledger = ledger
    this.#plan = plan
  }

  /** In this folder, which goes on where it stands if there is something in it, with the seed it began with. */
  static async open(dir: string, plan: SoakPlan): Promise<Soak> {
    mkdirSync(dir, { recursive: true })
    const stage = new Stage(undefined, dir)
    const saved = join(dir, 'seed')
    const there = existsSync(saved)
    const seed = there ? Number(readFileSync(saved, 'utf8')) : plan.seed
    const [alice, bob] = there ? [await stage.enter('alice', true), await stage.enter('bob', true)] : await stage.pair()
    writeFileSync(saved, `${seed}\n`)
    // Where clocks jump by years, messages have been waiting for long and keys are old: their owner would be told.
    for (const { path } of plan.clocks ? [alice, bob] : []) {
      writeFileSync(join(path, 'config.toml'), 'delay_notice = "inf"\n', { mode: 0o600 })
      utimesSync(join(path, 'transport.key'), FAR_AHEAD, FAR_AHEAD)
    }
    return new Soak(stage, { alice, bob }, new Ledger(join(dir, 'ledger')), { ...plan, seed })
  }

  /** Ends every process; the folder stays. */
  close(): Promise<void> {
    return this.#stage.close()
  }

  /** Until there were enough messages and kills, or the time is over: `more` then. Throws if something is wrong. */
  async run(seconds = Infinity): Promise<SoakReport | 'more'> {
    const start = performance.now()
    const ledger = this.#ledger
    const dice = new Dice(this.#plan.seed + ledger.tried.size)
    const crew = new Crew({ ...this.#plan, stage: this.#stage, people: this.#people, ledger, dice })
    let over = false
    const readers = SIDES.map((side) => readAlong(this.#people[side], side, ledger, dice, () => over))
    await crew.work(() => performance.now() - start > seconds * 1000)
    over = true
    await Promise.all(readers)
    ledger.note({ fact: 'time', seconds: Math.round((performance.now() - start) / 1000) })
    if (crew.faults.length > 0) throw new Error(crew.faults.join('\n'))
    if (!crew.enough) return 'more'
    const { wrong, ...found } = await judge(this.#people, ledger, this.#plan.seed)
    if (wrong.length > 0) throw new Error(`${JSON.stringify(found)}\n${wrong.slice(0, 50).join('\n')}`)
    const { killed: kills, stops } = ledger
    return { ...this.#plan, ...found, kills, stops, killed: Object.fromEntries(ledger.kills), seconds: ledger.seconds }
  }
}
