// One end of a simulated connection, as lib/net sees it: bytes in order, three ways to end. What it writes goes to the
// other end through a carrier, which decides when, and whether.

import { type ByteStream, type Endpoint, Lost } from '../../lib/net/stream.ts'
import type { Proc } from './machine.ts'

export type Cargo = Uint8Array | 'end' | 'reset'

export interface Carrier {
  /** Brings it to the other end, or does not. */
  carry(from: SimStream, cargo: Cargo): void
}

/** Bytes on their way beyond which a writer waits. */
const WINDOW = 64 * 1024

export class SimStream implements ByteStream {
  readonly carrier = 'tcp'
  readonly process: Proc
  readonly remote: Endpoint
  readonly closed: Promise<void>
  other!: SimStream
  /** Written and not arrived. */
  under = 0
  readonly #carrier: Carrier
  #chunks: Uint8Array[] = []
  #eof = false
  #ended = false
  #destroyed = false
  #lost: Lost | undefined
  #wake: (() => void) | undefined
  #writers: (() => void)[] = []
  #close!: () => void

  constructor(process: Proc, remote: Endpoint, carrier: Carrier) {
    this.process = process
    this.remote = remote
    this.#carrier = carrier
    this.closed = new Promise((resolve) => (this.#close = resolve))
    const die = (powerCut: boolean): void => {
      this.#destroyed = true
      this.#chunks = []
      if (!powerCut) carrier.carry(this, 'reset')
    }
    process.onDeath.add(die)
    void this.closed.then(() => process.onDeath.delete(die))
  }

  get over(): boolean {
    return this.#destroyed
  }

  async read(): Promise<Uint8Array | undefined> {
    for (;;) {
      const chunk = this.take()
      if (chunk !== undefined) return chunk
      if (this.#eof) return undefined
      if (this.#lost !== undefined) throw this.#lost
      await new Promise<void>((resolve) => (this.#wake = resolve))
    }
  }

  take(): Uint8Array | undefined {
    return this.#chunks.shift()
  }

  unread(bytes: Uint8Array): void {
    if (bytes.length > 0) this.#chunks.unshift(bytes)
  }

  async write(parts: readonly Uint8Array[]): Promise<void> {
    if (this.#lost !== undefined || this.#ended) throw this.#lost ?? new Lost('ended')
    const bytes = new Uint8Array(Buffer.concat(parts))
    this.under += bytes.length
    this.#carrier.carry(this, bytes)
    while (this.under > WINDOW) {
      await new Promise<void>((resolve) => this.#writers.push(resolve))
      if (this.#lost !== undefined) throw this.#lost
    }
  }

  end(): void {
    if (this.#ended || this.#destroyed) return
    this.#ended = true
    this.#carrier.carry(this, 'end')
    if (this.#eof) this.destroy()
  }

  destroy(): void {
    if (this.#destroyed) return
    const unread = this.#chunks.length > 0
    this.lose('connection closed')
    this.#destroyed = true
    this.#carrier.carry(this, unread || !this.#eof ? 'reset' : 'end')
    this.#close()
  }

  /** What the other end has sent is here. */
  arrive(cargo: Cargo): void {
    if (this.#destroyed) {
      if (cargo instanceof Uint8Array) this.#carrier.carry(this, 'reset')
      return
    }
    if (cargo === 'reset') {
      this.lose('connection reset', 'ECONNRESET')
      this.#destroyed = true
      this.#close()
      return
    }
    if (cargo === 'end') {
      this.#eof = true
      if (this.#ended) this.destroy()
    } else {
      this.#chunks.push(cargo)
    }
    this.#rouse()
  }

  /** The other end has taken so many bytes. */
  taken(size: number): void {
    this.under -= size
    for (const wake of this.#writers.splice(0)) wake()
  }

  /** The network breaks this end. */
  lose(message: string, code?: string): void {
    this.#lost ??= new Lost(message, code)
    this.#rouse()
    for (const wake of this.#writers.splice(0)) wake()
  }

  #rouse(): void {
    this.#wake?.()
    this.#wake = undefined
  }
}
