// Which characters of the code under test have run: V8's precise coverage, asked for in the same thread. Block by block,
// so that a branch taken for the first time shows; asking costs about a millisecond, whatever ran in between. V8 counts
// blocks only of what it compiles from then on: coverage begins before the code is loaded.

import { Session, type Profiler } from 'node:inspector'

export class Coverage {
  readonly #session = new Session()
  #code = /^$/
  /** By script: 1 for each character that has ever run. */
  readonly #known = new Map<string, Uint8Array>()
  #count = 0

  constructor() {
    this.#session.connect()
    this.#post('Profiler.enable')
    this.#post('Profiler.startPreciseCoverage', { callCount: true, detailed: true })
  }

  /** From now on of scripts whose URL matches; nothing of them is known yet. */
  watch(code: RegExp): void {
    this.#code = /^$/
    this.grew()
    this.#code = code
    this.#known.clear()
    this.#count = 0
  }

  /** Characters that have run so far. */
  get count(): number {
    return this.#count
  }

  /** Whether since the last call something ran that had never run before. Nothing of it is noted with `peek`. */
  grew(peek = false): boolean {
    let grown = false
    const { result } = this.#post('Profiler.takePreciseCoverage') as Profiler.TakePreciseCoverageReturnType
    for (const script of result) {
      if (!this.#code.test(script.url)) continue
      const ran = painted(script.functions)
      const known = this.#known.get(script.scriptId) ?? new Uint8Array(0)
      const all = known.length < ran.length ? new Uint8Array(ran.length) : known
      if (all !== known) all.set(known)
      for (let at = 0; at < ran.length; at++) {
        if (ran[at] === 0 || all[at] === 1) continue
        grown = true
        if (peek) return true
        all[at] = 1
        this.#count++
      }
      if (!peek) this.#known.set(script.scriptId, all)
    }
    return grown
  }

  /** In one thread the answer is there when post() returns. */
  #post(method: string, params: object = {}): unknown {
    let answer: unknown
    this.#session.post(method, params, (error, result) => {
      if (error !== null) throw error
      answer = result
    })
    return answer
  }
}

/** Inner ranges stand behind the outer ones that they correct. */
function painted(functions: readonly Profiler.FunctionCoverage[]): Uint8Array {
  const ranges = functions.flatMap((each) => each.ranges)
  const ran = new Uint8Array(Math.max(0, ...ranges.map((range) => range.endOffset)))
  for (const { startOffset, endOffset, count } of ranges) ran.fill(count > 0 ? 1 : 0, startOffset, endOffset)
  return ran
}
