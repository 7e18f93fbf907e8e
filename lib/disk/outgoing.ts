// A waiting message opened for sending: its head parsed, its envelope readable from any byte on, wherever the body
// lies. What is read here was written by this program, but the disk may have changed it: the id decides.

import { hex } from '../base/bytes.ts'
import { isCode, Malformed } from '../base/fail.ts'
import { bodySizeIn, decodeHead, headLength, type Hash, type Head } from '../wire/envelope.ts'
import type { FileHandle } from './filehandle.ts'
import type { Home } from './home.ts'
import { bodyPath, headPath, type Queued } from './queued.ts'

/** Bytes that most messages do not have: their files are read in one go. */
const SHORT = 8 * 1024

export interface Outgoing {
  readonly head: Head
  /** Bytes of the envelope: head and body. */
  readonly size: number
  /**
   * Up to `length` bytes of the envelope from `offset`; fewer only at its end or at the end of a part. They may lie in
   * `into`, if it is given.
   */
  read(offset: number, length: number, into?: Uint8Array): Promise<Uint8Array>
  /** Safe to call twice. */
  close(): Promise<void>
}

/**
 * The message, or undefined if it is not waiting there any more; `file` if its own was read before. Throws Malformed if
 * it is damaged on disk.
 */
export async function openOutgoing(home: Home, hash: Hash, queued: Queued, file?: Uint8Array): Promise<Outgoing | undefined> {
  let bytes: Uint8Array
  try {
    const path = headPath(home, queued)
    bytes = file ?? (await home.files.short(path, SHORT)) ?? (await home.files.read(path))
  } catch (error) {
    if (isCode(error, 'ENOENT')) return undefined
    throw error
  }
  const length = headLength(bytes)
  if (length === undefined || length > bytes.length) throw new Malformed('message truncated on disk')
  const start = bytes.subarray(0, length)
  if (hex(hash.hash(start)) !== queued.id) throw new Malformed('message changed on disk')
  if (bytes.length === length + bodySizeIn(start)) return new Inline(start, bytes, hash)
  if (bytes.length !== length) throw new Malformed('message truncated on disk')
  const head = decodeHead(start, hash)
  const parts = head.header.parts.map(({ size }, index) => ({ size, path: `${bodyPath(home, queued)}/${index}` }))
  for (const { path, size } of parts) {
    if ((await home.files.stat(path))?.size !== size) throw new Malformed('body missing or truncated on disk')
  }
  return new PartFiles(home, head, parts)
}

/** Its head is taken apart only for whoever asks: that it is the one that was made once, its id tells. */
class Inline implements Outgoing {
  readonly size: number
  readonly #head: Uint8Array
  readonly #bytes: Uint8Array
  readonly #hash: Hash

  constructor(head: Uint8Array, bytes: Uint8Array, hash: Hash) {
    this.size = bytes.length
    this.#head = head
    this.#bytes = bytes
    this.#hash = hash
  }

  get head(): Head {
    return decodeHead(this.#head, this.#hash)
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    return this.#bytes.subarray(offset, offset + length)
  }

  async close(): Promise<void> {}
}

class PartFiles implements Outgoing {
  readonly head: Head
  readonly size: number
  readonly #home: Home
  readonly #parts: { size: number; path: string }[]
  #open: { path: string; handle: FileHandle } | undefined

  constructor(home: Home, head: Head, parts: { size: number; path: string }[]) {
    this.head = head
    this.size = head.bytes.length + head.bodySize
    this.#home = home
    this.#parts = parts
  }

  async read(offset: number, length: number, into?: Uint8Array): Promise<Uint8Array> {
    const { bytes } = this.head
    if (offset < bytes.length) return bytes.subarray(offset, offset + length)
    let at = offset - bytes.length
    for (const { size, path } of this.#parts) {
      if (at < size) return (await this.#file(path)).read(at, Math.min(length, size - at), into)
      at -= size
    }
    return new Uint8Array(0)
  }

  async close(): Promise<void> {
    const open = this.#open
    this.#open = undefined
    await open?.handle.close()
  }

  async #file(path: string): Promise<FileHandle> {
    if (this.#open?.path !== path) {
      await this.close()
      this.#open = { path, handle: await this.#home.files.open(path, 'read') }
    }
    return this.#open.handle
  }
}
