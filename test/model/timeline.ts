// Virtual time: timers in the order of their hour, then of their making. Nothing passes but by step().

interface Timer {
  readonly at: number
  readonly seq: number
  run: () => void
}

const nothing = (): void => undefined

export class Timeline {
  now = 0
  readonly #heap: Timer[] = []
  #seq = 0

  /** Returns how to cancel it. */
  at(hour: number, run: () => void): () => void {
    const timer = { at: Math.max(hour, this.now), seq: ++this.#seq, run }
    this.#push(timer)
    return () => {
      timer.run = nothing
    }
  }

  /** The hour of the next timer. */
  get next(): number | undefined {
    while (this.#heap[0]?.run === nothing) this.#pop()
    return this.#heap[0]?.at
  }

  /** Goes on to the next timer and runs it. False if there is none. */
  step(): boolean {
    if (this.next === undefined) return false
    const timer = this.#pop()
    if (timer === undefined) return false
    this.now = timer.at
    timer.run()
    return true
  }

  #push(timer: Timer): void {
    const heap = this.#heap
    let at = heap.push(timer) - 1
    while (at > 0) {
      const up = (at - 1) >> 1
      const parent = heap[up] as Timer
      if (!before(timer, parent)) break
      heap[at] = parent
      at = up
    }
    heap[at] = timer
  }

  #pop(): Timer | undefined {
    const heap = this.#heap
    const first = heap[0]
    const last = heap.pop()
    if (first === undefined || last === undefined || heap.length === 0) return first
    let at = 0
    for (;;) {
      let down = 2 * at + 1
      if (down >= heap.length) break
      if (down + 1 < heap.length && before(heap[down + 1] as Timer, heap[down] as Timer)) down++
      if (!before(heap[down] as Timer, last)) break
      heap[at] = heap[down] as Timer
      at = down
    }
    heap[at] = last
    return first
  }
}

function before(a: Timer, b: Timer): boolean {
  return a.at < b.at || (a.at === b.at && a.seq < b.seq)
}
