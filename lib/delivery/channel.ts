// What a p2p-pipe and the listener that serves it say to each other: frames of its pipe, and how the session stands.
// Words arrive in the order in which they were said; who says more than the other takes is made to wait. Both may be in
// one process, where nothing is encoded and nothing copied, or there is a socket between, whose other end is trusted to
// be this user's program and not to be in order.

import type { Duplex } from 'node:stream'

import { fromUtf8, Reader, utf8 } from '../base/bytes.ts'
import { Malformed } from '../base/fail.ts'
import { DATA_MAX, decodeFrame, encodeFrame, type PipeFrame } from '../wire/frame.ts'

/**
 * up, down: the session with the contact is there (large: and takes frames of DATA_LARGE bytes), or is not, for this
 * reason. done: the pipe is.
 */
export type Word = PipeFrame | { type: 'up'; large?: true } | { type: 'down'; why: string } | { type: 'done' }

export interface Channel {
  /** Fires when the connection is gone. */
  readonly closed: AbortSignal
  /** Bytes that wait to be taken by the other end. */
  readonly backlog: number
  /** Resolves when there is room for more; at once if the connection is gone. Bytes in it may not change until they are taken. */
  send(word: Word): Promise<void>
  /** The next word that is here already. */
  next(): Word | undefined
  /** The next word; undefined at the end. Throws Malformed. One call at a time. */
  receive(): Promise<Word | undefined>
  /** What was sent still goes. */
  end(): void
}

/** Bytes taken ahead of whoever reads. */
const AHEAD = 1 << 20

/** The longest word on a socket. */
const WORD_MAX = 1 << 17

const LENGTH_SIZE = 4
const BESIDE = 512 // at least what a frame that carries bytes has beside them: its head, its padding
const EVENTS = { up: 0x80, down: 0x81, done: 0x83 } as const // of the types of frames none is here

const NOW = Promise.resolve()

/** Both ends of a channel within this process. */
export function channelPair(): [Channel, Channel] {
  const [near, far] = [new PairChannel(), new PairChannel()]
  near.join(far)
  far.join(near)
  return [near, far]
}

class PairChannel implements Channel {
  readonly #closing = new AbortController()
  readonly closed = this.#closing.signal
  #other: PairChannel | undefined
  /** Said by the other end, not taken yet; their bytes. */
  #words: Word[] = []
  #size = 0
  #over = false
  #wake: () => void = () => undefined
  /** Of the other end, until there is room here. */
  #waiting: (() => void)[] = []

  join(other: PairChannel): void {
    this.#other = other
  }

  get backlog(): number {
    return this.#other === undefined ? 0 : this.#other.#size
  }

  send(word: Word): Promise<void> {
    return this.closed.aborted || this.#other === undefined ? NOW : this.#other.#take(word)
  }

  #take(word: Word): Promise<void> {
    this.#words.push(word)
    this.#size += sizeOf(word)
    this.#wake()
    return this.#size <= AHEAD ? NOW : new Promise((resolve) => this.#waiting.push(resolve))
  }

  next(): Word | undefined {
    const word = this.#words.shift()
    if (word === undefined) return undefined
    this.#size -= sizeOf(word)
    if (this.#size <= AHEAD / 2) this.#release()
    return word
  }

  async receive(): Promise<Word | undefined> {
    for (;;) {
      const word = this.next()
      if (word !== undefined || this.#over) return word
      await new Promise<void>((resolve) => (this.#wake = resolve))
    }
  }

  end(): void {
    this.#finish()
    if (this.#other !== undefined) this.#other.#finish()
  }

  #finish(): void {
    this.#over = true
    this.#closing.abort()
    this.#wake()
    this.#release()
  }

  #release(): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
  }
}

function sizeOf(word: Word): number {
  return word.type === 'stream' ? word.bytes.length : 0
}

/**
 * On a socket each word has its length (u32) in front: a frame as it is on the wire, or a byte that is no frame's type.
 * The other end may be of an older version: frames of more than DATA_MAX bytes become several.
 */
export class SocketChannel implements Channel {
  readonly #closing = new AbortController()
  readonly closed = this.#closing.signal
  readonly #socket: Duplex
  #held: Uint8Array[] = []
  #size = 0
  #wake: () => void = () => undefined
  /** Senders, until there is room or the connection is gone. */
  #waiting: (() => void)[] = []
  #over = false

  /** `held` came before. */
  constructor(socket: Duplex, held: Uint8Array) {
    this.#socket = socket
    if (held.length > 0) this.#take(held)
    socket.on('data', (chunk: Buffer) => this.#take(chunk))
    socket.on('drain', () => this.#release())
    socket.on('end', () => this.#finish())
    socket.on('close', () => {
      this.#finish()
      this.#closing.abort()
      this.#release()
    })
    if (socket.destroyed) this.#closing.abort()
  }

  get backlog(): number {
    return this.#socket.writableLength
  }

  send(word: Word): Promise<void> {
    if (this.#socket.destroyed) return NOW
    if (this.#socket.writableCorked === 0) {
      this.#socket.cork() // what is said in one go leaves in one go
      process.nextTick(() => this.#socket.uncork())
    }
    if (this.#socket.write(encodeWord(word)) || this.closed.aborted) return NOW
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  next(): Word | undefined {
    if (this.#size < LENGTH_SIZE) return undefined
    const length = new Reader(this.#peek(LENGTH_SIZE)).u32()
    if (length > WORD_MAX) throw new Malformed('word too long')
    if (this.#size < LENGTH_SIZE + length) return undefined
    return decodeWord(this.#pull(LENGTH_SIZE + length).subarray(LENGTH_SIZE))
  }

  async receive(): Promise<Word | undefined> {
    for (;;) {
      const word = this.next()
      if (word !== undefined || this.#over) return word
      await new Promise<void>((resolve) => (this.#wake = resolve))
    }
  }

  end(): void {
    this.#socket.end()
  }

  #take(chunk: Uint8Array): void {
    this.#held.push(chunk)
    this.#size += chunk.length
    if (this.#size > AHEAD) this.#socket.pause()
    this.#wake()
  }

  #finish(): void {
    this.#over = true
    this.#wake()
  }

  #release(): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
  }

  #peek(size: number): Uint8Array {
    const [first] = this.#held
    if (first !== undefined && first.length >= size) return first
    const all = Buffer.concat(this.#held)
    this.#held = [all]
    return all
  }

  #pull(size: number): Uint8Array {
    const parts: Uint8Array[] = []
    for (let missing = size; missing > 0; ) {
      const first = this.#held[0] as Uint8Array
      if (first.length > missing) this.#held[0] = first.subarray(missing)
      else this.#held.shift()
      parts.push(first.subarray(0, missing))
      missing -= Math.min(missing, first.length)
    }
    this.#size -= size
    if (this.#size <= AHEAD) this.#socket.resume()
    return parts.length === 1 ? (parts[0] as Uint8Array) : Buffer.concat(parts)
  }
}

/** With its length in front. */
function encodeWord(word: Word): Uint8Array {
  if (word.type !== 'stream') return framed(wordBytes(word))
  if (word.bytes.length > DATA_MAX) {
    const [head, rest] = [word.bytes.subarray(0, DATA_MAX), word.bytes.subarray(DATA_MAX)]
    return Buffer.concat([encodeWord({ ...word, bytes: head }), encodeWord({ ...word, offset: word.offset + head.length, bytes: rest })])
  }
  const out = Buffer.allocUnsafe(LENGTH_SIZE + word.bytes.length + BESIDE)
  const { length } = encodeFrame(word, out.subarray(LENGTH_SIZE))
  out.writeUInt32BE(length)
  return out.subarray(0, LENGTH_SIZE + length)
}

function wordBytes(word: Word): Uint8Array {
  if (word.type === 'up' || word.type === 'done') return Uint8Array.of(EVENTS[word.type])
  if (word.type === 'down') return Buffer.concat([Uint8Array.of(EVENTS.down), utf8(word.why)])
  return encodeFrame(word)
}

function framed(bytes: Uint8Array): Uint8Array {
  const out = Buffer.allocUnsafe(LENGTH_SIZE + bytes.length)
  out.writeUInt32BE(bytes.length)
  out.set(bytes, LENGTH_SIZE)
  return out
}

function decodeWord(bytes: Uint8Array): Word {
  switch (bytes[0]) {
    case EVENTS.up:
      return { type: 'up' }
    case EVENTS.done:
      return { type: 'done' }
    case EVENTS.down:
      return { type: 'down', why: fromUtf8(bytes.subarray(1)) }
    default:
      return decodeFrame(bytes) as PipeFrame
  }
}
