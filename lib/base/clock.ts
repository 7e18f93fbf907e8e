// The one door to time. Everything that waits or stamps takes a Clock, so that the same code runs on a virtual one.

export interface Clock {
  /** Unix time in milliseconds; may jump. */
  now(): number
  /** Unix time in microseconds; may jump. */
  micros(): bigint
  /** Milliseconds since some fixed instant; never goes back. */
  monotonic(): number
  /** Calls `run` once after `ms`; the returned function cancels. Keeps the process alive unless `background`. */
  after(ms: number, run: () => void, background?: boolean): () => void
}

export const systemClock: Clock = {
  now: () => Date.now(),
  // Not from performance.timeOrigin: that clock stands still while the machine sleeps, and is never set right.
  micros: () => BigInt(Date.now()) * 1000n + BigInt(Math.floor(process.hrtime()[1] / 1000) % 1000),
  // Not performance.now(): the first use of it loads eight parts of node.
  monotonic: () => {
    const [seconds, nanoseconds] = process.hrtime()
    return seconds * 1000 + nanoseconds / 1e6
  },
  after(ms, run, background = false) {
    // setTimeout fires at once beyond 2^31 - 1; below 0 it writes a warning to standard error, since Node 21.
    const timer = setTimeout(run, Math.max(0, Math.min(ms, 0x7fff_ffff)))
    if (background) timer.unref()
    return () => clearTimeout(timer)
  },
}

/** Resolves after `ms`, or at once when `signal` aborts. */
export function sleep(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted === true) return resolve()
    const done = (): void => {
      cancel()
      signal?.removeEventListener('abort', done)
      resolve()
    }
    const cancel = clock.after(ms, done)
    signal?.addEventListener('abort', done, { once: true })
  })
}
