// A Pipe as a ByteStream: what UDP's pipes lack is a reader that can hold the writer back, so each side tells the other
// how much it may send. Records in each direction, p2p-wire(7), UDP: u32 n, then n bytes; u32 0, the end of them; u32
// 2^31 + n, you may send n bytes more. It guarantees bounded memory whatever the other side does; who sends more than it may is cut off.

import { Lost, type ByteStream, type Endpoint } from './stream.ts'
import type { Pipe } from './datagram.ts'
import { Gathered } from './gathered.ts'

/** Bytes each side may send at first, and at most has under way: 400 Mbit/s at 80 ms. */
export const WINDOW = 4 * 1024 * 1024

const GRANT_MIN = WINDOW / 4 // used up before more is granted
const HEADER = 4
const CREDIT = 0x8000_0000
const RECORD_MAX = 1 << 20 // bytes of a data record this side makes

export class UdpStream implements ByteStream {
  readonly carrier = 'udp'
  readonly closed: Promise<void>
  readonly #pipe: Pipe
  readonly #announce: (to: Endpoint) => void
  #remote: Endpoint
  #redirecting = Promise.resolve()
  #displaced = false

  readonly #gathered = new Gathered()
  #buffered = 0
  #granted = WINDOW // what the other side may still send
  #used = 0 // read by our reader since the last grant
  #ended = false // they have said their end
  #ending = false // we have said ours
  #lost: Lost | undefined
  #reader: (() => void) | undefined
  #waking = false

  #allowed = WINDOW // what we may still send
  #full = false
  #writers: (() => void)[] = []

  #header = new Uint8Array(HEADER)
  #filled = 0 // bytes of the header that are here
  #record = 0 // bytes of the present data record still to come

  /** `announce` shows the other side, there, where this one is now. */
  constructor(pipe: Pipe, remote: Endpoint, announce: (to: Endpoint) => void) {
    this.#pipe = pipe
    this.#announce = announce
    this.#remote = remote
    this.closed = new Promise((resolve) => {
      pipe.listen({
        data: (bytes) => this.#parse(bytes),
        end: () => {
          if (!this.#ended) this.#cut('the connection broke off')
        },
        drain: () => {
          this.#full = false
          this.#wakeWriters()
        },
        close: (code) => {
          this.#lose(code === undefined ? 'connection closed' : 'connection lost', code)
          resolve()
        },
      })
    })
  }

  /** Where the other side was last known to be. */
  get remote(): Endpoint {
    return this.#remote
  }

  /** The other side has shown that it is there now. Resolves when nothing is under way to another place any more. */
  redirect(to: Endpoint): Promise<void> {
    if (to.ip !== this.#remote.ip || to.port !== this.#remote.port) this.#redirecting = this.#pipe.redirect(to)
    this.#remote = to
    return this.#redirecting
  }

  get displaced(): boolean {
    return this.#displaced
  }

  /** What was under way when the other side moved will never arrive. */
  displace(): void {
    if (this.#lost === undefined) this.#displaced = true
    this.#cut('the other side has moved')
  }

  announce(): void {
    if (this.#lost === undefined) this.#announce(this.#remote)
  }

  #parse(bytes: Uint8Array): void {
    let at = 0
    while (at < bytes.length && this.#lost === undefined) {
      if (this.#record > 0) {
        const part = at === 0 && bytes.length <= this.#record ? bytes : bytes.subarray(at, at + this.#record)
        this.#record -= part.length
        at += part.length
        this.#gathered.push(part)
        this.#buffered += part.length
        continue
      }
      while (this.#filled < HEADER && at < bytes.length) this.#header[this.#filled++] = bytes[at++] ?? 0
      if (this.#filled < HEADER) break
      this.#filled = 0
      const value = new DataView(this.#header.buffer).getUint32(0)
      if (value >= CREDIT) this.#credit(value - CREDIT)
      else this.#begin(value)
    }
    this.#pipe.expect(this.#record)
    if (this.#buffered > 0) this.#wakeSoon()
  }

  #begin(size: number): void {
    this.#granted -= size
    this.#record = size
    if (this.#ended || this.#granted < 0) return this.#cut()
    if (size > 0) return
    this.#ended = true
    if (this.#ending) this.#pipe.end()
    this.#wakeReader()
  }

  #credit(size: number): void {
    this.#allowed += size
    if (size === 0 || this.#allowed > WINDOW) this.#cut()
    else this.#wakeWriters()
  }

  /** The other side does not keep to the rules. */
  #cut(why = 'the other side sends more than it may'): void {
    this.#lose(why)
    this.#pipe.destroy()
  }

  #lose(message: string, code?: string): void {
    this.#lost ??= new Lost(message, code)
    this.#wakeReader()
    this.#wakeWriters()
  }

  /** Once for all packets that the system has: a reader that is woken for each of them costs as much as the packets do. */
  #wakeSoon(): void {
    if (this.#waking) return
    this.#waking = true
    setImmediate(() => {
      this.#waking = false
      this.#wakeReader()
    })
  }

  #wakeReader(): void {
    this.#reader?.()
    this.#reader = undefined
  }

  #wakeWriters(): void {
    for (const wake of this.#writers.splice(0)) wake()
  }

  async read(): Promise<Uint8Array | undefined> {
    for (;;) {
      const chunk = this.take()
      if (chunk !== undefined) return chunk
      if (this.#ended) return undefined
      if (this.#lost !== undefined) throw this.#lost
      await new Promise<void>((resolve) => (this.#reader = resolve))
    }
  }

  take(): Uint8Array | undefined {
    const chunk = this.#gathered.take()
    if (chunk === undefined) return undefined
    this.#buffered -= chunk.length
    this.#used += chunk.length
    if (this.#used >= GRANT_MIN && this.#lost === undefined) {
      this.#granted += this.#used
      this.#pipe.write(word(CREDIT + this.#used))
      this.#used = 0
    }
    return chunk
  }

  unread(bytes: Uint8Array): void {
    if (bytes.length === 0) return
    this.#gathered.putBack(bytes)
    this.#buffered += bytes.length
    this.#used -= bytes.length
  }

  async write(parts: readonly Uint8Array[]): Promise<void> {
    let left = parts.reduce((sum, part) => sum + part.length, 0)
    let [index, offset] = [0, 0]
    while (left > 0) {
      await this.#room()
      const size = Math.min(left, this.#allowed, RECORD_MAX)
      this.#allowed -= size
      left -= size
      this.#full = !this.#pipe.write(word(size)) || this.#full
      for (let rest = size; rest > 0; ) {
        const part = parts[index] as Uint8Array
        const piece = part.subarray(offset, offset + rest)
        this.#full = !this.#pipe.write(piece) || this.#full
        rest -= piece.length
        offset += piece.length
        if (offset === part.length) [index, offset] = [index + 1, 0]
      }
    }
    if (this.#full) await this.#room()
  }

  /** Waits until something may be written. */
  async #room(): Promise<void> {
    for (;;) {
      if (this.#lost !== undefined) throw this.#lost
      if (!this.#full && this.#allowed > 0) return
      await new Promise<void>((resolve) => this.#writers.push(resolve))
    }
  }

  /** Credit is granted after it as before. */
  end(): void {
    if (this.#lost !== undefined || this.#ending) return
    this.#ending = true
    this.#pipe.write(word(0))
    if (this.#ended) this.#pipe.end()
  }

  destroy(): void {
    this.#lose('connection closed')
    this.#pipe.destroy()
  }
}

function word(value: number): Uint8Array {
  const bytes = new Uint8Array(HEADER)
  new DataView(bytes.buffer).setUint32(0, value)
  return bytes
}
