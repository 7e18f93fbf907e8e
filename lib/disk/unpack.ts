// An archive that a contact sent, unpacked into a directory of its own: the one place where names that somebody else
// chose become a tree on this disk. Whatever the archive says, nothing outside of the new directory is written or linked
// to, nothing that is there is touched, no device, pipe or foreign owner is made, no file is more than its owner may
// read, write and run, and the tree appears whole under its name or not at all. A hard link is made to a file that this
// archive has brought, and to nothing else.

import { hex } from '../base/bytes.ts'
import { EX, Failure, ioFailure, isCode, Malformed } from '../base/fail.ts'
import type { Random } from '../base/random.ts'
import { quote } from '../base/text.ts'
import { numberedName, safeName, safePath, staysInside } from '../wire/filename.ts'
import { type TarItem, unpackTar } from '../wire/tar.ts'
import { removeTree } from './durable.ts'
import type { Files } from './files.ts'

/** Entries of one archive: far more than a large source tree has, far fewer than there are inodes on a small disk. */
const ENTRIES_MAX = 1_000_000
/** Names tried for the directory before giving up. */
const NUMBERS = 10_000

/** Whether a part of a message is what unpackTree() takes. */
export function isArchive({ name = '', type }: { name?: string | undefined; type: string }): boolean {
  return type === 'application/x-tar' || /\.tar$/i.test(name)
}

/**
 * Unpacks a tar into a new directory in `directory`, called as the archive without `.tar`; returns its path. `tell`
 * hears of each entry that was left out, by a name for printable(). Throws Failure 65 for what is no tar, or one that wants to leave the directory
 * or has too many entries, 73 and 74: then nothing is left behind.
 */
export async function unpackTree(
  doors: { files: Files; random: Random },
  directory: string,
  name: string | undefined,
  content: AsyncIterable<Uint8Array>,
  tell: (text: string) => void,
): Promise<string> {
  const { files, random } = doors
  const stem = (name ?? '').replace(/\.tar$/i, '')
  const building = `${directory}/${safeName(stem)}.tmp.${hex(random.bytes(6))}`
  try {
    if (!(await files.mkdir(building))) throw new Failure(EX.CANNOT_CREATE, `${building} is there already`)
    await new Tree(files, building, stem, tell).fill(unpackTar(content))
    return await publish(files, building, directory, safeName(stem))
  } catch (error) {
    await removeTree(files, building).catch(() => undefined)
    if (error instanceof Malformed) throw new Failure(EX.DATA, `cannot unpack ${quote(name ?? 'the archive')}: ${error.message}`)
    throw error instanceof Failure ? error : ioFailure(error, `cannot unpack into ${directory}`)
  }
}

/** Under the first free name: an empty directory holds the place until the tree takes it. */
async function publish(files: Files, from: string, directory: string, safe: string): Promise<string> {
  for (let nth = 0; nth < NUMBERS; nth++) {
    const path = `${directory}/${numberedName(safe, nth)}`
    if ((await files.stat(path)) !== undefined || !(await files.mkdir(path))) continue
    await files.rename(from, path)
    await files.syncDir(directory)
    return path
  }
  throw new Failure(EX.CANNOT_CREATE, `cannot make ${directory}/${safe}: every number is taken`)
}

class Tree {
  readonly #files: Files
  readonly #top: string
  readonly #stem: string
  readonly #tell: (text: string) => void
  /** Directories known to be ours, of the entry before: the next one is mostly beside it. */
  #parents: string[] = []

  constructor(files: Files, top: string, stem: string, tell: (text: string) => void) {
    this.#files = files
    this.#top = top
    this.#stem = safePath(stem)?.[0] ?? ''
    this.#tell = tell
  }

  async fill(items: AsyncIterable<TarItem>): Promise<void> {
    let count = 0
    for await (const item of items) {
      if (++count > ENTRIES_MAX) throw new Malformed(`more than ${ENTRIES_MAX} entries`)
      const names = this.#inside(item.name)
      if (names === undefined) throw new Malformed(`${quote(item.name.slice(0, 200))} leads out of it`)
      if (names.length === 0) continue
      const why = await this.#make(item, names)
      if (why !== undefined) this.#tell(`${names.join('/')} is left out: ${why}`)
    }
  }

  /** The names below our directory; undefined if it leads out. */
  #inside(path: string): string[] | undefined {
    const names = safePath(path)
    // An archive of a directory says its name first: it has become that of ours.
    if (names?.[0] === this.#stem) names.shift()
    return names
  }

  /** Undefined, or why there is no such entry now. */
  async #make(item: TarItem, names: string[]): Promise<string | undefined> {
    const path = `${this.#top}/${names.join('/')}`
    const { type, target } = item
    try {
      if (type === 'directory') return (await this.#enter(names)) ? undefined : 'something else has its name'
      if (!(await this.#enter(names.slice(0, -1)))) return 'what should be its directory is none'
      if (type === 'file') return await this.#write(path, item)
      if (type === 'link') return await this.#link(path, target)
      if (type !== 'symlink') return `no file, but a ${type}`
      if (!staysInside(target, names.length - 1)) return `a link to ${target}, which leads out`
      await this.#files.symlink(target, path)
      return undefined
    } catch (error) {
      if (isCode(error, 'EEXIST', 'EISDIR')) return 'there is one of that name, or of one that the disk takes for the same'
      if (isCode(error, 'ENAMETOOLONG', 'EILSEQ', 'EINVAL')) return 'the disk cannot have such a name'
      if (type === 'link' && isCode(error, 'EPERM', 'ENOTSUP', 'EMLINK')) return 'the disk gives a file no second name'
      throw error
    }
  }

  /** A new file (O_EXCL: never over, nor through, what is there). Not fsynced: the message it came in stays. */
  async #write(path: string, { content, mode, mtimeMs }: TarItem): Promise<undefined> {
    const handle = await this.#files.open(path, 'create')
    try {
      for await (const piece of content) await handle.write(piece)
    } finally {
      await handle.close()
    }
    if ((mode & 0o100) !== 0) await this.#files.chmod(path, 0o700)
    await this.#files.utimes(path, mtimeMs)
  }

  /** A second name of a file that came before: reached through our own directories alone, and no link itself. */
  async #link(path: string, target: string): Promise<string | undefined> {
    const names = this.#inside(target)
    if (names === undefined || names.length === 0) return `a second name of ${target}, which leads out`
    let from = this.#top
    for (const [at, name] of names.entries()) {
      from += `/${name}`
      const kind = at < names.length - 1 ? 'dir' : 'file'
      if ((await this.#files.stat(from))?.kind !== kind) return `a second name of ${target}, which is no file in it so far`
    }
    await this.#files.link(from, path)
    return undefined
  }

  /** Makes sure that each of these is a directory of ours, and no link to one. False if one is something else. */
  async #enter(names: string[]): Promise<boolean> {
    if (names.length === this.#parents.length && names.every((name, at) => name === this.#parents[at])) return true
    this.#parents = []
    let path = this.#top
    for (const name of names) {
      path += `/${name}`
      if (!(await this.#files.mkdir(path)) && (await this.#files.stat(path))?.kind !== 'dir') return false
    }
    this.#parents = names
    return true
  }
}
