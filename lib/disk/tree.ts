// A directory as the files of one archive: sorted, links as links, nothing followed out of it. Each file is read as long
// as its header says, whatever happens to it meanwhile; what could not be taken as it is, or changed, is told. Memory does
// not grow with the tree, but for the names in one directory.

import { isCode } from '../base/fail.ts'
import { quote } from '../base/text.ts'
import type { TarFile } from '../wire/tar.ts'
import type { FileHandle } from './filehandle.ts'
import type { Files, Stat } from './files.ts'

/** Bytes read at once. */
const BLOCK = 1 << 20
/** Of the permissions: who may read, write and run it; nothing that lends a user's rights. */
const MODE = 0o777

export interface TreeOptions {
  /** What the directory is called in the archive. */
  name: string
  /** A directory that is left out wherever it lies in the tree. */
  without?: string
  /** Hears what is amiss. */
  tell: (text: string) => void
}

/** Everything in the directory at `path`; the directory itself comes first. */
export async function* treeFiles(files: Files, path: string, options: TreeOptions): AsyncGenerator<TarFile> {
  const top = await files.stat(`${path}/.`)
  if (top === undefined) return
  const { name, without, tell } = options
  const secret = without === undefined ? undefined : await files.stat(`${without}/.`)
  yield entry(`${name}/`, 'directory', top)
  yield* below(files, path, name, { tell, secret })
}

interface Look {
  tell: (text: string) => void
  secret: Stat | undefined
}

async function* below(files: Files, path: string, name: string, look: Look): AsyncGenerator<TarFile> {
  const { tell, secret } = look
  let names: string[]
  try {
    names = (await files.list(path)).sort()
  } catch (error) {
    return tell(`${quote(path)} is left out: ${why(error)}`)
  }
  for (const each of names) {
    const [inner, inside] = [`${path}/${each}`, `${name}/${each}`]
    const stat = await files.stat(inner).catch(() => undefined)
    if (stat === undefined) {
      tell(`${quote(inner)} is left out: ${each.includes('\ufffd') ? 'its name is not UTF-8' : 'it vanished'}`)
    } else if (stat.kind === 'dir' && stat.ino === secret?.ino && stat.dev === secret.dev) {
      tell(`${quote(inner)} is left out: it is the home of p2p, with its keys`)
    } else if (stat.kind === 'dir') {
      yield entry(`${inside}/`, 'directory', stat)
      yield* below(files, inner, inside, look)
    } else if (stat.kind === 'link') {
      const target = await files.readlink(inner)
      if (target === undefined) tell(`${quote(inner)} is left out: it vanished`)
      else yield { ...entry(inside, 'symlink', stat), target }
    } else if (stat.kind === 'file') {
      yield* file(files, inner, inside, tell)
    } else {
      tell(`${quote(inner)} is left out: it is a device, a pipe or a socket`)
    }
  }
}

function entry(name: string, type: TarFile['type'], { mode, mtimeMs }: Stat): TarFile {
  return { name, type, size: 0, mode: mode & MODE, mtimeMs, content: nothing() }
}

async function* nothing(): AsyncGenerator<Uint8Array> {}

async function* file(files: Files, path: string, name: string, tell: (text: string) => void): AsyncGenerator<TarFile> {
  let handle: FileHandle
  try {
    handle = await files.open(path, 'own') // a pipe in its place by now keeps nobody waiting
  } catch (error) {
    return tell(`${quote(path)} is left out: ${why(error)}`)
  }
  try {
    const stat = await files.stat(path)
    if (stat?.kind !== 'file') return tell(`${quote(path)} is left out: it changed while the directory was read`)
    const size = await handle.size()
    const changed = async (): Promise<boolean> => {
      const now = await files.stat(path)
      return now?.ino !== stat.ino || now.mtimeMs !== stat.mtimeMs || (await handle.size()) !== size
    }
    yield { name, size, mode: stat.mode & MODE, mtimeMs: stat.mtimeMs, content: exactly(handle, size, path, changed, tell) }
  } finally {
    await handle.close()
  }
}

/** `size` bytes: what is missing of a file that shrank is zeros, what it grew by is left out, and either is told. */
async function* exactly(
  handle: FileHandle,
  size: number,
  path: string,
  changed: () => Promise<boolean>,
  tell: (text: string) => void,
): AsyncGenerator<Uint8Array> {
  let at = 0
  while (at < size) {
    const bytes = await handle.read(at, Math.min(BLOCK, size - at))
    if (bytes.length === 0) break
    at += bytes.length
    yield bytes
  }
  if (at < size) tell(`${quote(path)} shrank while it was read: the last ${size - at} bytes are sent as zeros`)
  else if (await changed()) tell(`${quote(path)} changed while it was read`)
  while (at < size) {
    const zeros = new Uint8Array(Math.min(BLOCK, size - at))
    at += zeros.length
    yield zeros
  }
}

function why(error: unknown): string {
  if (isCode(error, 'ENOENT')) return 'it vanished'
  if (isCode(error, 'EACCES', 'EPERM')) return 'permission denied'
  if (error instanceof Error && 'code' in error) return String(error.code)
  throw error
}
