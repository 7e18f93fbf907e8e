// The messages that the other side has asked for, read from the queue and sent as DATA, p2p-wire(7): small ones first,
// large ones one after the other, each from the byte that was wanted. Some go unasked, as PUSH. Guarantee: what is sent
// of a message is what lies in the queue, or the transfer is dropped; that it was sent says nothing of whether it arrived.

import { isCode, Malformed } from '../base/fail.ts'
import type { Home } from '../disk/home.ts'
import { openOutgoing, type Outgoing } from '../disk/outgoing.ts'
import type { Queued } from '../disk/queued.ts'
import type { Link } from '../net/link.ts'
import type { Hash } from '../wire/envelope.ts'
import { DATA_LARGE, DATA_MAX, padFrames } from '../wire/frame.ts'

/** Messages up to this size overtake larger ones. */
const SMALL = 64 * 1024

/** Bytes read from disk at once for a large message: whole frames of either size. Each time wakes two threads. */
const READ_AHEAD = { large: 32 * DATA_LARGE, common: 64 * DATA_MAX }

export interface UploadOptions {
  home: Home
  hash: Hash
  link: Link
  /** So many bytes of a message are on their way. */
  progress: ((id: string, done: number, size: number) => void) | undefined
  /** It is gone meanwhile, or damaged as `why` says: its transfer is to be dropped. */
  unsendable: (queued: Queued, why: string | undefined) => Promise<void>
}

interface Wanted {
  queued: Queued
  offset: number
}

export class Upload {
  readonly #options: UploadOptions
  readonly #link: Link
  /** The other side understands large DATA frames. */
  large = false
  readonly #small = new Map<string, Wanted>()
  #large: Wanted[] = []
  /** Bytes that the link has taken. */
  moved = 0

  constructor(options: UploadOptions) {
    this.#options = options
    this.#link = options.link
  }

  /** Something is wanted and not sent yet. */
  get waiting(): boolean {
    return this.#small.size + this.#large.length > 0
  }

  /** The other side wants it from this byte on; what it wanted of it before counts no more. */
  want(queued: Queued, offset: number): void {
    const wanted = { queued, offset }
    if (queued.size <= SMALL) this.#small.set(queued.id, wanted)
    else this.#large = [...this.#large.filter((other) => other.queued.id !== queued.id), wanted]
  }

  /** Nothing more of this one, also if it is being sent. */
  drop(id: string): void {
    this.#small.delete(id)
    this.#large = this.#large.filter((wanted) => wanted.queued.id !== id)
  }

  clear(): void {
    this.#small.clear()
    this.#large = []
  }

  /** Sends a message of at most PUSH_MAX bytes unasked. False if it cannot be read: whoever wants it then is told. */
  async push(queued: Queued): Promise<boolean> {
    const { home, hash } = this.#options
    try {
      const outgoing = await openOutgoing(home, hash, queued)
      const bytes = await outgoing?.read(0, queued.size)
      if (bytes?.length !== queued.size) return false
      await this.#link.send({ type: 'push', id: queued.id, bytes })
    } catch (error) {
      if (error instanceof Malformed || isCode(error, 'ENOENT')) return false
      throw error
    }
    for (const pad of padFrames(queued.size)) await this.#link.send(pad)
    this.moved += queued.size
    return true
  }

  /** Sends what is wanted, also what comes to be wanted meanwhile. Throws Lost, and what the disk throws. */
  async sendAll(): Promise<void> {
    while (this.waiting) {
      await this.#sendSmall()
      if (this.#large[0] !== undefined) await this.#sendMessage(this.#large[0])
    }
  }

  async #sendSmall(): Promise<void> {
    for (const [id, wanted] of this.#small) {
      this.#small.delete(id)
      await this.#sendMessage(wanted)
    }
  }

  async #sendMessage(wanted: Wanted): Promise<void> {
    const { home, hash, unsendable } = this.#options
    let why: string | undefined
    try {
      const outgoing = await openOutgoing(home, hash, wanted.queued)
      if (outgoing !== undefined) return await this.#sendFrom(outgoing, wanted)
    } catch (error) {
      if (error instanceof Malformed) why = error.message
      else if (!isCode(error, 'ENOENT')) throw error
    }
    await unsendable(wanted.queued, why)
  }

  async #sendFrom(outgoing: Outgoing, wanted: Wanted): Promise<void> {
    const { queued } = wanted
    if (queued.size <= SMALL) return this.#sendShort(outgoing, wanted)
    let { offset } = wanted
    const frame = this.large ? DATA_LARGE : DATA_MAX
    const ahead = this.large ? READ_AHEAD.large : READ_AHEAD.common
    const most = Math.min(ahead, queued.size)
    const buffers = [Buffer.allocUnsafeSlow(most), Buffer.allocUnsafeSlow(most)] // one is sealed while the other is filled
    const read = (from: number): Promise<Uint8Array> => {
      const reading = outgoing.read(from, ahead, buffers[0])
      buffers.reverse()
      reading.catch(() => undefined) // whoever awaits it is told
      return reading
    }
    let next = read(offset)
    try {
      while (offset < outgoing.size) {
        if (this.#large[0] !== wanted) return // cancelled, or wanted from another offset
        const bytes = await next
        if (bytes.length === 0) throw new Malformed('message truncated on disk')
        next = read(offset + bytes.length) // while these are sealed
        for (let at = 0; at < bytes.length; ) {
          const size = bytes.length - at < frame ? DATA_MAX : frame
          const piece = bytes.subarray(at, at + size)
          const room = this.#link.put({ type: 'data', id: queued.id, offset: offset + at, bytes: piece })
          this.moved += piece.length
          at += piece.length
          if (room === undefined) continue
          await room
          this.#options.progress?.(queued.id, offset + at, outgoing.size)
          await this.#sendSmall()
          if (this.#large[0] !== wanted) return // cancelled, or wanted from another offset
        }
        offset += bytes.length
        this.#options.progress?.(queued.id, offset, outgoing.size)
        await this.#sendSmall()
      }
    } finally {
      await next.catch(() => undefined)
      await outgoing.close()
      if (this.#large[0] === wanted) this.#large.shift()
    }
  }

  async #sendShort(outgoing: Outgoing, { queued, offset }: Wanted): Promise<void> {
    try {
      for (let at = offset; at < outgoing.size; ) {
        const bytes = await outgoing.read(at, DATA_MAX)
        if (bytes.length === 0) throw new Malformed('message truncated on disk')
        await this.#link.send({ type: 'data', id: queued.id, offset: at, bytes })
        this.moved += bytes.length
        at += bytes.length
      }
      for (const pad of padFrames(outgoing.size)) await this.#link.send(pad)
    } finally {
      await outgoing.close()
    }
  }
}
