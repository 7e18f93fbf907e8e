// Reading with a deadline: a read that is still under way when time runs out is not lost but taken up by the next
// call, so that a connection can be read on after a step of its handshake has failed.

import { type Clock } from '../base/clock.ts'
import { type ByteStream } from './stream.ts'

export type Outcome = 'late' | 'eof' | 'lost'

export class Intake {
  readonly #stream: ByteStream
  readonly #clock: Clock
  #pending: Promise<Uint8Array | 'eof' | 'lost'> | undefined

  constructor(stream: ByteStream, clock: Clock) {
    this.#stream = stream
    this.#clock = clock
  }

  /** The next bytes, or why there are none: `deadline` (of clock.monotonic) passed, the end, a broken connection. */
  next(deadline: number): Promise<Uint8Array | Outcome> {
    const pending = (this.#pending ??= this.#stream.read().then(
      (chunk) => chunk ?? 'eof',
      () => 'lost' as const,
    ))
    return new Promise((resolve) => {
      let late = false
      const cancel = this.#clock.after(Math.max(0, deadline - this.#clock.monotonic()), () => {
        late = true
        resolve('late')
      })
      void pending.then((result) => {
        if (late) return // the next call gets it
        cancel()
        this.#pending = undefined
        resolve(result)
      })
    })
  }

  /** Exactly `size` bytes, later ones stay in the stream; else why not, and what came is forgotten. */
  async exactly(size: number, deadline: number): Promise<Uint8Array | Outcome> {
    const out = new Uint8Array(size)
    let filled = 0
    while (filled < size) {
      const chunk = await this.next(deadline)
      if (typeof chunk === 'string') return chunk
      const part = chunk.subarray(0, size - filled)
      out.set(part, filled)
      filled += part.length
      if (part.length < chunk.length) this.#stream.unread(chunk.subarray(part.length))
    }
    return out
  }
}
