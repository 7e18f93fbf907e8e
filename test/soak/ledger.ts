// What a soak knows, apart from what is on the disks of its two people: a file that only grows, so that a later call
// goes on with it. What was tried and what was told as queued is written when it is known; what the mail reader deletes,
// before it deletes it.

import { appendFileSync, existsSync, readFileSync } from 'node:fs'

import type { Shape } from './message.ts'

export type Side = 'alice' | 'bob'
export const SIDES: readonly Side[] = ['alice', 'bob']
export const other = (side: Side): Side => (side === 'alice' ? 'bob' : 'alice')

export type Fact =
  /** A process begins to send these messages. */
  | { fact: 'try'; from: Side; shape: Shape; numbers: number[] }
  /** It said that this one is queued. */
  | { fact: 'queued'; from: Side; id: string; n: number }
  /** The mail reader has read this file and is about to delete it. */
  | { fact: 'deleted'; by: Side; base: string; id: string; digest: string; n: number | undefined }
  | { fact: 'kill'; what: string }
  | { fact: 'stop'; what: string }
  | { fact: 'time'; seconds: number }

export class Ledger {
  readonly #path: string
  /** Everything that may have been queued, by number. */
  readonly tried = new Map<number, { from: Side; shape: Shape }>()
  /** Everything that a process said was queued, by id. */
  readonly queued = new Map<string, { from: Side; n: number }>()
  readonly deleted: (Fact & { fact: 'deleted' })[] = []
  readonly kills = new Map<string, number>()
  /** Processes that were stopped for a while. */
  stops = 0
  seconds = 0

  constructor(path: string) {
    this.#path = path
    if (!existsSync(path)) return
    for (const line of readFileSync(path, 'utf8').split('\n')) if (line !== '') this.#learn(JSON.parse(line) as Fact)
  }

  get killed(): number {
    return [...this.kills.values()].reduce((sum, count) => sum + count, 0)
  }

  note(fact: Fact): void {
    appendFileSync(this.#path, `${JSON.stringify(fact)}\n`)
    this.#learn(fact)
  }

  #learn(fact: Fact): void {
    switch (fact.fact) {
      case 'try':
        for (const n of fact.numbers) this.tried.set(n, { from: fact.from, shape: fact.shape })
        break
      case 'queued':
        this.queued.set(fact.id, { from: fact.from, n: fact.n })
        break
      case 'deleted':
        this.deleted.push(fact)
        break
      case 'kill':
        this.kills.set(fact.what, (this.kills.get(fact.what) ?? 0) + 1)
        break
      case 'stop':
        this.stops++
        break
      case 'time':
        this.seconds += fact.seconds
    }
  }
}
