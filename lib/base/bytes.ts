// Bytes are Uint8Array everywhere; integers on the wire are big-endian. Reader and Writer are the only way the
// wire floor takes bytes apart and puts them together: a Reader never reads past its end and must be emptied.

import { Malformed } from './fail.ts'

/** All parts, one after the other, in a fresh array. */
export function concat(...parts: Uint8Array[]): Uint8Array {
  let size = 0
  for (const part of parts) size += part.length
  const out = new Uint8Array(size)
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.length
  }
  return out
}

/** All bytes of a content; up to `limit`, if given, and then whether there was more. */
export async function collect(content: AsyncIterable<Uint8Array>, limit = Infinity): Promise<Uint8Array> {
  const pieces: Uint8Array[] = []
  let size = 0
  for await (const piece of content) {
    pieces.push(piece)
    size += piece.length
    if (size >= limit) break
  }
  return new Uint8Array(Buffer.concat(pieces, Math.min(size, limit)))
}

/** Equality in constant time for equal lengths. */
export function equal(a: Uint8Array, b: Uint8Array): boolean {
  let difference = a.length ^ b.length
  for (let i = 0; i < a.length; i++) difference |= (a[i] as number) ^ (b[i] as number)
  return difference === 0
}

/** -1, 0 or 1 by unsigned byte order; for public values only. */
export function compare(a: Uint8Array, b: Uint8Array): number {
  return Buffer.compare(a, b)
}

export function isZero(bytes: Uint8Array): boolean {
  let all = 0
  for (let at = 0; at < bytes.length; at++) all |= bytes[at] as number // an iterator makes an object of each byte at first
  return all === 0
}

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export function utf8(text: string): Uint8Array {
  return encoder.encode(text)
}

/** Strict UTF-8 (a byte order mark is kept); throws Malformed. */
export function fromUtf8(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes)
  } catch {
    throw new Malformed('not valid UTF-8')
  }
}

/** Lower-case hexadecimal. */
export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex')
}

/** Strict: even length, digits of either case; throws Malformed. */
export function fromHex(text: string): Uint8Array {
  if (!/^(?:[0-9a-fA-F]{2})*$/.test(text)) throw new Malformed('not hexadecimal')
  return new Uint8Array(Buffer.from(text, 'hex'))
}

/** Takes bytes apart from the front. Every method throws Malformed rather than read past the end. */
export class Reader {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  }

  get offset(): number {
    return this.#at
  }

  get left(): number {
    return this.#bytes.length - this.#at
  }

  #take(size: number): number {
    if (size > this.left) throw new Malformed('truncated')
    const at = this.#at
    this.#at += size
    return at
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1))
  }

  u16(): number {
    return this.#view.getUint16(this.#take(2))
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4))
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#take(8))
  }

  /** A u64 that must fit a JS integer (at most 2^53 - 1). */
  size(): number {
    const value = this.u64()
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new Malformed('number too large')
    return Number(value)
  }

  /** A view of the next `size` bytes, not a copy. */
  bytes(size: number): Uint8Array {
    const at = this.#take(size)
    return this.#bytes.subarray(at, at + size)
  }

  rest(): Uint8Array {
    return this.bytes(this.left)
  }

  /** The format ends here: nothing may follow. */
  end(): void {
    if (this.left !== 0) throw new Malformed('trailing bytes')
  }

  /** The rest is padding and must be zero (unchecked padding is a covert channel). */
  zeros(): void {
    if (!isZero(this.rest())) throw new Malformed('padding is not zero')
  }
}

/** Puts bytes together; grows as needed. */
export class Writer {
  #bytes: Uint8Array
  #view: DataView
  #at = 0

  constructor(capacity = 256) {
    this.#bytes = new Uint8Array(capacity)
    this.#view = new DataView(this.#bytes.buffer)
  }

  get length(): number {
    return this.#at
  }

  #room(size: number): number {
    const at = this.#at
    if (at + size > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(this.#bytes.length * 2, at + size))
      grown.set(this.#bytes.subarray(0, at))
      this.#bytes = grown
      this.#view = new DataView(grown.buffer)
    }
    this.#at += size
    return at
  }

  u8(value: number): this {
    this.#view.setUint8(this.#room(1), value)
    return this
  }

  u16(value: number): this {
    this.#view.setUint16(this.#room(2), value)
    return this
  }

  u32(value: number): this {
    this.#view.setUint32(this.#room(4), value)
    return this
  }

  u64(value: bigint | number): this {
    this.#view.setBigUint64(this.#room(8), BigInt(value))
    return this
  }

  bytes(value: Uint8Array): this {
    const at = this.#room(value.length)
    this.#bytes.set(value, at)
    return this
  }

  zeros(size: number): this {
    this.#room(size)
    return this
  }

  /** The bytes written so far, as a view that later writes may not touch: finish once. */
  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.#at)
  }
}
