// A body on its way into the queue, hashed once however many recipients it gets. Up to 64 KiB it stays in memory;
// beyond that each part becomes a durable file in queue/stage/, which the queue then hard-links, so that three
// recipients cost one copy. What a killed process left there is removed by sweepStaging().

import { hex } from '../base/bytes.ts'
import { EX, Failure } from '../base/fail.ts'
import { ChunkHasher, INLINE_MAX, type Hash, type Part } from '../wire/envelope.ts'
import { removeTree } from './durable.ts'
import type { FileHandle } from './filehandle.ts'
import type { Home } from './home.ts'
import { judge, noteOwner } from './lock.ts'

/** A leftover whose owner cannot be judged goes after this time: 36 h, as mail programs do with tmp/. */
export const LEFTOVER_MS = 36 * 3600 * 1000

/** Bytes read at once from a staged file. */
const BLOCK = 1 << 20

export interface PartSource {
  type: string
  name?: string
  content: Uint8Array | AsyncIterable<Uint8Array>
}

/** Bytes of the largest body, and whose limit that is: NAME of a contact, else the own. */
export interface Limit {
  bytes: number
  of?: string | undefined
}

/** What is said of a body over the limit; `size` as far as it is known. */
export function overLimit(size: string, { bytes, of }: Limit): Failure {
  if (of === undefined) return new Failure(EX.DATA, `body of ${size}, at most ${bytes} are allowed`)
  return new Failure(EX.DATA, `body of ${size}, ${of} takes at most ${bytes}`, `p2p-queue flush ${of}`)
}

export interface Staged {
  parts: Part[]
  size: number
  /** Root of the chunk tree: p2p-wire(7). */
  root: Uint8Array
  /** The whole body, if it is at most 64 KiB; else it lies in `directory` as one file per part, named 0, 1, ... */
  inline: Uint8Array | undefined
  directory: string | undefined
}

/**
 * Takes in a body and makes it ready for any number of accept() calls; end with discard(). Throws Failure 65 with both
 * numbers when the body outgrows `limit`, and whatever the sources throw; nothing is left behind then.
 */
export async function stageBody(home: Home, hash: Hash, sources: PartSource[], limit: Limit = { bytes: Infinity }): Promise<Staged> {
  const stage = new Stage(home, hash, limit)
  try {
    for (const source of sources) {
      await stage.begin(source)
      const pieces = source.content instanceof Uint8Array ? [source.content] : source.content
      for await (const piece of pieces) await stage.write(piece)
    }
    return await stage.finish()
  } catch (error) {
    await stage.abandon()
    throw error
  }
}

/** Forgets a staged body; what was linked into the queue meanwhile stays there. */
export async function discard(home: Home, staged: Staged): Promise<void> {
  if (staged.directory !== undefined) await removeTree(home.files, staged.directory)
}

/** The bytes of part `index` of a staged body. */
export async function* stagedPart(home: Home, staged: Staged, index: number): AsyncGenerator<Uint8Array> {
  const size = staged.parts[index]?.size ?? 0
  if (staged.directory !== undefined) {
    yield* fileChunks(home, `${staged.directory}/${index}`)
  } else if (size > 0) {
    const start = staged.parts.slice(0, index).reduce((sum, part) => sum + part.size, 0)
    yield (staged.inline as Uint8Array).subarray(start, start + size)
  }
}

/** A file from its start to its end. */
export async function* fileChunks(home: Home, path: string): AsyncGenerator<Uint8Array> {
  const handle = await home.files.open(path, 'read')
  try {
    for (let at = 0; ; ) {
      const piece = await handle.read(at, BLOCK)
      if (piece.length > 0) yield piece
      if (piece.length < BLOCK) return
      at += piece.length
    }
  } finally {
    await handle.close()
  }
}

/** Removes what killed processes left in queue/stage/. Safe beside running ones: true if there are some. */
export async function sweepStaging(home: Home, now: number): Promise<boolean> {
  let alive = false
  for (const name of await home.files.list(home.at('queue', 'stage'))) {
    const directory = home.at('queue', 'stage', name)
    const owner = await judge(home, `${directory}/owner`)
    // No note yet, or a torn one, or one from another pid namespace: whoever works there writes now and then.
    const young = now - (await newest(home, directory)) < LEFTOVER_MS
    if (owner === 'dead' || (owner !== 'alive' && !young)) await removeTree(home.files, directory)
    else if (owner !== 'unnoted') alive = true // without a note it has just begun
  }
  return alive
}

/** The latest modification of a directory and of what is in it, Unix ms. */
async function newest(home: Home, directory: string): Promise<number> {
  const paths = [directory, ...(await home.files.list(directory)).map((name) => `${directory}/${name}`)]
  const stats = await Promise.all(paths.map((path) => home.files.stat(path)))
  return Math.max(...stats.map((stat) => stat?.mtimeMs ?? 0))
}

class Stage {
  readonly #home: Home
  readonly #limit: Limit
  readonly #hasher: ChunkHasher
  readonly #parts: Part[] = []
  #held: Uint8Array[] = []
  #directory: string | undefined
  #handle: FileHandle | undefined

  constructor(home: Home, hash: Hash, limit: Limit) {
    this.#home = home
    this.#limit = limit
    this.#hasher = new ChunkHasher(hash)
  }

  async begin(source: PartSource): Promise<void> {
    await this.#closePart()
    this.#parts.push({ type: source.type, ...(source.name !== undefined && { name: source.name }), size: 0 })
    if (this.#directory !== undefined) await this.#openPart(this.#parts.length - 1)
  }

  async write(piece: Uint8Array): Promise<void> {
    const size = this.#hasher.size + piece.length
    if (size > this.#limit.bytes) throw overLimit(`${size} bytes or more`, this.#limit)
    this.#hasher.update(piece)
    const part = this.#parts.at(-1) as Part
    if (this.#directory === undefined && size > INLINE_MAX) await this.#spill()
    part.size += piece.length
    if (this.#handle !== undefined) await this.#handle.write(piece)
    else this.#held.push(piece.slice()) // the source may reuse its buffer
  }

  async finish(): Promise<Staged> {
    await this.#closePart()
    const directory = this.#directory
    if (directory !== undefined) await this.#home.files.syncDir(directory)
    const { size } = this.#hasher
    const inline = directory === undefined ? join(this.#held, size) : undefined
    return { parts: this.#parts, size, root: this.#hasher.root(), inline, directory }
  }

  async abandon(): Promise<void> {
    await this.#handle?.close().catch(() => undefined)
    if (this.#directory !== undefined) await removeTree(this.#home.files, this.#directory).catch(() => undefined)
  }

  /** From memory to files: what is held is written out part by part. */
  async #spill(): Promise<void> {
    const { files, random } = this.#home
    await files.mkdir(this.#home.at('queue', 'stage'))
    this.#directory = this.#home.at('queue', 'stage', hex(random.bytes(8)))
    await files.mkdir(this.#directory)
    await noteOwner(this.#home, `${this.#directory}/owner`)
    const held = join(this.#held, this.#held.reduce((sum, piece) => sum + piece.length, 0))
    this.#held = []
    let at = 0
    for (const [index, part] of this.#parts.entries()) {
      await this.#closePart()
      await this.#openPart(index)
      if (part.size > 0) await this.#handle?.write(held.subarray(at, at + part.size))
      at += part.size
    }
  }

  async #openPart(index: number): Promise<void> {
    this.#handle = await this.#home.files.open(`${this.#directory}/${index}`, 'create')
  }

  async #closePart(): Promise<void> {
    const handle = this.#handle
    if (handle === undefined) return
    await handle.sync()
    this.#handle = undefined
    await handle.close()
  }
}

function join(pieces: Uint8Array[], size: number): Uint8Array {
  const out = new Uint8Array(size)
  let at = 0
  for (const piece of pieces) {
    out.set(piece, at)
    at += piece.length
  }
  return out
}
