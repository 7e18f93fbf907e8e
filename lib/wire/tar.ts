// Files, directories and links in a POSIX tar stream, ustar with pax headers where that is too narrow, so that every tar
// lists and unpacks it. Streams both ways: memory does not grow with what goes through. What comes out is read strictly
// (sums, ends) but its names are whatever the archive says: the caller judges them. Trusts modern-tar for blocks.

import { Malformed } from '../base/fail.ts'

export interface TarFile {
  name: string
  /** Exactly what `content` yields. */
  size: number
  /** Unix ms; kept to the second. */
  mtimeMs: number
  content: AsyncIterable<Uint8Array>
  /** A file without. */
  type?: 'file' | 'directory' | 'symlink' | undefined
  /** Permissions; 0600 without. */
  mode?: number | undefined
  /** Where a symlink leads. */
  target?: string | undefined
}

export interface TarItem extends Omit<TarFile, 'type'> {
  /** file, or what is none: directory, link, symlink, fifo and the like. */
  type: string
  mode: number
  target: string
}

const MODE = 0o600

/** The archive of these files, in this order. What their source throws ends the stream with that error. */
export async function packTar(files: AsyncIterable<TarFile>): Promise<ReadableStream<Uint8Array>> {
  const { createTarPacker } = await import('modern-tar')
  const { readable, controller } = createTarPacker()
  const feed = async (): Promise<void> => {
    try {
      for await (const { name, size, mtimeMs, content, type = 'file', mode = MODE, target } of files) {
        const header = { name, size, mode, mtime: new Date(mtimeMs), type, ...(target !== undefined && { linkname: target }) }
        const writer = controller.add(header).getWriter()
        writer.closed.catch(() => undefined) // write() tells it
        for await (const piece of content) await writer.write(piece)
        await writer.close()
      }
      controller.finalize()
    } catch (error) {
      controller.error(error) // the reader hears of it, unless it is the reader who left
    }
  }
  void feed()
  return readable
}

/**
 * What is in an archive, in order; the content of one is to be read before the next is asked for, or is passed over.
 * Throws Malformed for what is no tar or ends too early, and whatever the source throws.
 */
export async function* unpackTar(source: AsyncIterable<Uint8Array>): AsyncGenerator<TarItem> {
  const { createTarDecoder } = await import('modern-tar')
  let failed: { error: unknown } | undefined
  const watched = async function* (): AsyncGenerator<Uint8Array> {
    try {
      yield* source
    } catch (error) {
      failed = { error }
      throw error
    }
  }
  const why = (error: unknown): unknown => {
    if (failed !== undefined) return failed.error
    return new Malformed(`no tar archive: ${error instanceof Error ? error.message : 'damaged'}`)
  }
  const items = ReadableStream.from(watched()).pipeThrough(createTarDecoder({ strict: true }))[Symbol.asyncIterator]()
  const next = async (): ReturnType<typeof items.next> => {
    try {
      return await items.next()
    } catch (error) {
      throw why(error)
    }
  }
  try {
    for (let one = await next(); one.done !== true; one = await next()) {
      const { header, body } = one.value
      const { name, size, type = 'file', mtime, mode = MODE, linkname: target = '' } = header
      const content = async function* (): AsyncGenerator<Uint8Array> {
        try {
          yield* body.values({ preventCancel: true })
        } catch (error) {
          throw why(error)
        }
      }
      yield { name, size, type, mtimeMs: mtime?.getTime() ?? 0, mode, target, content: { [Symbol.asyncIterator]: content } }
      for await (const _ of content()) continue // what was left: to cancel it would cut off the next one, whose content waits by now
    }
  } finally {
    await items.return?.().catch(() => undefined) // of a stream that has failed: who reads has been told, or has left
  }
}
