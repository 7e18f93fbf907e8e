// A home made of an archive. It is built in a folder beside its place, every name, kind and size judged before anything
// is written, and renamed there in one step when all of it is durable: whatever is wrong, and whenever this process is
// killed, there is no home or a whole one. It gets a new instance: to contacts it is another copy of the same person.

import { equal, hex } from '../base/bytes.ts'
import { EX, Failure, ioFailure, isCode, Malformed, unreadable } from '../base/fail.ts'
import { unpackTar } from '../wire/tar.ts'
import { FIRST, placeOf, queueKey } from './archivename.ts'
import { dirname, removeTree } from './durable.ts'
import { LAYOUT, openHome, parseHomeFile, prepareHome, refuseIdentity, writeHomeFile } from './home.ts'
import { loadTransportKeys } from './identity.ts'
import { loadSelf } from './self.ts'
import { openSeed, readIdentity } from './identityfile.ts'
import { isAlive, noteOwner } from './lock.ts'
import { writeNew } from './maildir.ts'
import { PLAIN, SEALED } from './secret.ts'
import { LEFTOVER_MS } from './staging.ts'

import type { Suite } from '../crypto/suite.ts'
import type { TarItem } from '../wire/tar.ts'
import type { Contents } from './archivewrite.ts'
import type { FileHandle } from './filehandle.ts'
import type { Files } from './files.ts'
import type { Doors, Home, HomeFile, Location } from './home.ts'

/** Files up to this size are written side by side: their fsyncs then cost less. */
const SMALL = 1 << 18
const PARALLEL = 16

/** Bytes read at once. */
const BLOCK = 1 << 18

const OWNER = 'import.owner'
const LINKS_MAX = 8

/**
 * Makes the home at `location` of an archive. Throws Failure 73 if there is something at its place, 77 for a wrong
 * passphrase, 65 for what is no whole archive of a home, 78 for one of a newer version. Then nothing is left behind.
 */
export async function importHome(
  location: Location,
  source: AsyncIterable<Uint8Array>,
  ask: () => Promise<Uint8Array>,
  suite: Suite,
  doors: Doors,
): Promise<{ home: Home } & Contents> {
  const path = await vacantPlace(location, doors.files)
  const { decryptStream } = await import('../crypto/agefile.ts')
  const items = unpackTar(decryptStream(source, ask))
  const contents: Contents = { contacts: 0, waiting: 0, mails: 0 }
  let built: Home | undefined
  try {
    built = await begin(items, { path, source: location.source }, doors)
    await fill(built, items, contents)
    await check(built, suite)
    await commit(built, path)
  } catch (error) {
    if (built !== undefined) await removeTree(doors.files, built.path).catch(() => undefined)
    throw told(error, built)
  } finally {
    await items.return(undefined)
  }
  return { home: await openHome({ flag: location.path, env: {} }, doors), ...contents }
}

function told(error: unknown, built: Home | undefined): unknown {
  if (error instanceof Malformed) return new Failure(EX.DATA, `no archive of a home: ${error.message}`)
  if (built === undefined || !(error instanceof Failure) || error.exit !== EX.CONFIG) return error
  return new Failure(EX.DATA, `no whole archive of a home: ${error.message.replaceAll(`${built.path}/`, '')}`)
}

/** An archive from the file at `path`. Throws Failure 66 if that cannot be read, and the reason of `signal`. */
export async function* archiveBytes(files: Files, path: string, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  let handle: FileHandle | undefined
  try {
    handle = await files.open(path, 'read')
    for (let at = 0; ; ) {
      signal.throwIfAborted()
      const piece = await handle.read(at, BLOCK)
      if (piece.length === 0) return
      yield piece
      at += piece.length
    }
  } catch (error) {
    if (!isCode(error, 'ENOENT', 'ENOTDIR', 'EISDIR', 'EACCES', 'EPERM', 'EIO', 'ELOOP', 'ENAMETOOLONG')) throw error
    throw unreadable(error, path)
  } finally {
    await handle?.close()
  }
}

/** Where the home is to be: nothing, or an empty folder, behind links if there are any. Throws Failure 73 or 78. */
export async function vacantPlace(location: Location, files: Files): Promise<string> {
  let { path } = location
  for (let links = 0; links < LINKS_MAX; links++) {
    const stat = await files.stat(path)
    if (stat?.kind === 'link') {
      const to = (await files.readlink(path)) ?? ''
      path = to.startsWith('/') ? to : `${dirname(path)}/${to}`
      continue
    }
    if (stat === undefined) return path
    if (stat.kind !== 'dir') throw new Failure(EX.CANNOT_CREATE, `${path} is there and no directory`)
    await refuseIdentity(path, files)
    if ((await files.list(path)).length === 0) return path
    throw new Failure(EX.CANNOT_CREATE, `${path} is not empty, although no identity is in it`, `mv ${path} ${path}.old`)
  }
  throw new Failure(EX.CANNOT_CREATE, `${location.path} leads round in circles`)
}

/** The folder in which the home is built, after a look at the first entry. */
async function begin(items: AsyncGenerator<TarItem>, location: Location, doors: Doors): Promise<Home> {
  const next = await items.next()
  if (next.done === true || next.value.name !== FIRST || next.value.size > (placeOf(FIRST)?.max ?? 0)) {
    throw new Malformed('its first entry is another')
  }
  const { v, port } = homeFile(new TextDecoder().decode(await collect(next.value)))
  if (v > LAYOUT) throw new Failure(EX.CONFIG, `the archive was made by a newer version of p2p (layout ${v})`)
  const path = `${location.path}.import.${hex(doors.random.bytes(8))}`
  try {
    const home = await prepareHome({ path, source: location.source }, port, doors)
    await noteOwner(home, home.at('lock', OWNER))
    await sweep(home, location.path)
    return home
  } catch (error) {
    await removeTree(doors.files, path).catch(() => undefined)
    throw error
  }
}

function homeFile(text: string): HomeFile {
  try {
    return parseHomeFile(text, '')
  } catch {
    throw new Malformed(`${FIRST} in it is damaged`)
  }
}

/** What imports that were killed have left beside the place. */
async function sweep(home: Home, place: string): Promise<void> {
  const parent = dirname(place)
  const start = `${place.slice(place.lastIndexOf('/') + 1)}.import.`
  for (const name of await home.files.list(parent)) {
    const path = `${parent}/${name}`
    if (!name.startsWith(start) || !/^[0-9a-f]{16}$/.test(name.slice(start.length)) || path === home.path) continue
    const note = await home.files.stat(`${path}/lock/${OWNER}`)
    if (note === undefined) continue
    const old = home.clock.now() - note.mtimeMs > LEFTOVER_MS // whatever a torn note would say
    if (old || !(await isAlive(home, `${path}/lock/${OWNER}`))) await removeTree(home.files, path)
  }
}

async function fill(home: Home, items: AsyncIterable<TarItem>, contents: Contents): Promise<void> {
  const writer = new Writer(home)
  try {
    for await (const item of items) {
      const place = placeOf(item.name)
      if (item.type !== 'file') throw new Malformed(`'${item.name}' in it is no plain file (${item.type})`)
      if (place === undefined || item.name === FIRST) throw new Malformed(`'${item.name}' has no place in it`)
      if (item.size > place.max) throw new Malformed(`'${item.name}' in it is too large`)
      if (place.kind === 'contact') contents.contacts++
      else if (place.kind === 'waiting') contents.waiting++
      else if (place.kind === 'mail') contents.mails++
      await writer.write(item)
    }
  } finally {
    await writer.idle()
  }
  await writer.sync()
}

/** Writes the files of an archive, durably once sync() has resolved. */
class Writer {
  readonly #home: Home
  readonly #directories = new Set<string>()
  readonly #running = new Set<Promise<void>>()
  #failed: { error: unknown } | undefined

  constructor(home: Home) {
    this.#home = home
  }

  async write(item: TarItem): Promise<void> {
    await this.#makeDirectory(item.name)
    if (item.size > SMALL) return this.#save(item, item.content)
    const bytes = await collect(item)
    while (this.#running.size >= PARALLEL) await Promise.race(this.#running)
    if (this.#failed !== undefined) throw this.#failed.error
    const one = this.#save(item, pieces(bytes))
      .catch((error: unknown) => {
        this.#failed ??= { error }
      })
      .finally(() => this.#running.delete(one))
    this.#running.add(one)
  }

  async #save({ name, mtimeMs }: TarItem, content: AsyncIterable<Uint8Array>): Promise<void> {
    const { files } = this.#home
    const path = this.#home.at(name)
    try {
      await writeNew(files, path, content)
      await files.utimes(path, mtimeMs)
    } catch (error) {
      if (isCode(error, 'EEXIST')) throw new Malformed(`'${name}' is in it twice`)
      throw isCode(error, 'ENAMETOOLONG', 'EILSEQ', 'EINVAL') ? ioFailure(error, path) : error
    }
  }

  async #makeDirectory(name: string): Promise<void> {
    const { files } = this.#home
    const key = queueKey(name)
    if (key !== undefined && !this.#directories.has(this.#home.at('queue', key))) {
      await files.mkdir(this.#home.at('queue', key))
      for (const state of ['new', 'hold', 'failed', 'body', 'opts', 'tmp']) {
        await files.mkdir(this.#home.at('queue', key, state))
      }
    }
    for (let at = dirname(this.#home.at(name)); at.length >= this.#home.path.length; at = dirname(at)) {
      if (this.#directories.has(at)) return
      if (at !== this.#home.path) await files.mkdir(at)
      this.#directories.add(at)
    }
  }

  /** Resolves when nothing is under way any more. */
  async idle(): Promise<void> {
    await Promise.all(this.#running)
  }

  /** All written files and their names are durable. */
  async sync(): Promise<void> {
    await this.idle()
    if (this.#failed !== undefined) throw this.#failed.error
    for (const directory of this.#directories) await this.#home.files.syncDir(directory)
  }
}

async function* pieces(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}

async function collect({ content }: TarItem): Promise<Uint8Array> {
  const held: Uint8Array[] = []
  for await (const piece of content) held.push(piece)
  return new Uint8Array(Buffer.concat(held))
}

/** Identity, transport key and token are there and belong together; a sealed identity is taken at its word. */
async function check(home: Home, suite: Suite): Promise<void> {
  for (const name of ['token', 'transport.key']) {
    if ((await home.files.stat(home.at(name))) === undefined) throw new Malformed(`no ${name} in it`)
  }
  const { publicKeyOf } = await import('../crypto/ed25519.ts')
  const self = await loadSelf(home)
  await loadTransportKeys(home, suite)
  const { sealed, name } = await readIdentity(home)
  const other = name === PLAIN ? SEALED : PLAIN
  if ((await home.files.stat(home.at(other))) !== undefined) throw new Malformed('two identities in it')
  if (sealed) return
  const seed = await openSeed(home, () => Promise.reject(new Error('asked')))
  const same = equal(await publicKeyOf(seed), self.identity)
  seed.fill(0)
  if (!same) throw new Malformed('identity and token do not belong together')
}

/** Renames the finished home to its place. */
async function commit(home: Home, path: string): Promise<void> {
  const { files } = home
  await writeHomeFile(home)
  try {
    await files.rename(home.path, path)
  } catch (error) {
    if (!isCode(error, 'ENOTEMPTY', 'EEXIST', 'EBUSY', 'EXDEV', 'ENOTDIR')) throw error
    const why = isCode(error, 'EBUSY', 'EXDEV') ? 'it is a mount point: choose a folder in it' : 'something is there now'
    throw new Failure(EX.CANNOT_CREATE, `cannot make ${path}: ${why}`)
  }
  await files.syncDir(dirname(path))
  await files.unlink(`${path}/lock/${OWNER}`)
}
