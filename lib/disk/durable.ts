// What "written" means here: the bytes and the name survive a power cut once the promise resolves. A failed step
// leaves the old state and at most a `.tmp.` file that nobody reads.

import { fromUtf8, hex, utf8 } from '../base/bytes.ts'
import { isCode } from '../base/fail.ts'
import { forAll } from '../base/parallel.ts'
import type { Random } from '../base/random.ts'
import type { FileHandle } from './filehandle.ts'
import type { Files } from './files.ts'

/** Files open at once while a group is written: below the 1,024 descriptors that a process may have. */
const GROUP = 512

/** A new file with these bytes, fsynced; its name is durable only after the directory is synced. Throws EEXIST. */
export async function createFile(files: Files, path: string, bytes: Uint8Array): Promise<void> {
  const handle = await files.open(path, 'create')
  try {
    await handle.write(bytes)
    await handle.sync()
  } catch (error) {
    await closeQuietly(handle)
    await files.unlink(path).catch(() => false)
    throw error
  }
  await handle.close()
}

export interface NewFile {
  path: string
  bytes: Uint8Array
  /** Modification time, Unix ms; now without. */
  mtime?: number
}

/**
 * Many new files, each as by createFile(), all or none. They are written first and fsynced together then: the journal
 * of the file system is committed for a group of them, not for each. Throws EEXIST.
 */
export async function createFiles(files: Files, list: NewFile[]): Promise<void> {
  const made: string[] = []
  try {
    for (let at = 0; at < list.length; at += GROUP) await createGroup(files, list.slice(at, at + GROUP), made)
  } catch (error) {
    await forAll(made, GROUP, (path) => files.unlink(path).catch(() => false))
    throw error
  }
}

async function createGroup(files: Files, group: NewFile[], made: string[]): Promise<void> {
  const handles: FileHandle[] = []
  try {
    for (const { path, bytes, mtime } of group) {
      const handle = await files.open(path, 'create')
      handles.push(handle)
      made.push(path)
      await handle.write(bytes)
      if (mtime !== undefined) await files.utimes(path, mtime)
    }
    await forAll(handles, GROUP, (handle) => handle.sync())
  } finally {
    for (const handle of handles) await closeQuietly(handle)
  }
}

/** The file holds either its old or its new bytes at any instant, and the new ones durably at the end. */
export async function replaceFile(files: Files, random: Random, path: string, bytes: Uint8Array): Promise<void> {
  const temporary = `${path}.tmp.${hex(random.bytes(6))}`
  await createFile(files, temporary, bytes)
  try {
    await files.rename(temporary, path)
  } catch (error) {
    await files.unlink(temporary).catch(() => false)
    throw error
  }
  await files.syncDir(dirname(path))
}

/** The same with the bytes that `work` writes, for what is too much to be in memory at once. */
export async function replaceBy(
  files: Files,
  random: Random,
  path: string,
  work: (write: (bytes: Uint8Array) => Promise<void>) => Promise<void>,
): Promise<void> {
  const temporary = `${path}.tmp.${hex(random.bytes(6))}`
  const handle = await files.open(temporary, 'create')
  try {
    await work((bytes) => handle.write(bytes))
    await handle.sync()
    await files.rename(temporary, path)
  } catch (error) {
    await files.unlink(temporary).catch(() => false)
    throw error
  } finally {
    await closeQuietly(handle)
  }
  await files.syncDir(dirname(path))
}

/** The text of a file; undefined if there is none. Throws Malformed if it is not UTF-8. */
export async function readText(files: Files, path: string): Promise<string | undefined> {
  try {
    return fromUtf8(await files.read(path))
  } catch (error) {
    if (isCode(error, 'ENOENT')) return undefined
    throw error
  }
}

/**
 * Appends records to a log that several processes write: one O_APPEND write that starts with a newline, so that a
 * line torn by a crash can never swallow the next one, and ends with one, so that whatever a power cut leaves in the
 * place of the next write (zeros, if only its size was durable) is never part of the last line. Readers skip what does
 * not parse.
 */
export async function appendRecords(files: Files, path: string, records: string[], sync: boolean): Promise<void> {
  const handle = await files.open(path, 'append')
  try {
    await handle.write(utf8(`\n${records.join('\n')}\n`))
    if (sync) await handle.sync()
  } finally {
    await closeQuietly(handle)
  }
}

/** False if the disk is too full for this work, which can be done without. */
export async function unlessFull(work: () => Promise<unknown>): Promise<boolean> {
  try {
    await work()
    return true
  } catch (error) {
    if (!isCode(error, 'ENOSPC', 'EDQUOT')) throw error
    return false
  }
}

async function closeQuietly(handle: FileHandle): Promise<void> {
  await handle.close().catch(() => undefined)
}

export function dirname(path: string): string {
  const at = path.lastIndexOf('/')
  return at <= 0 ? '/' : path.slice(0, at)
}

/** Removes a directory and the plain files in it (one level of directories below, too); what is absent is fine. */
export async function removeTree(files: Files, path: string): Promise<void> {
  for (const name of await files.list(path)) {
    const inner = `${path}/${name}`
    if ((await files.stat(inner))?.kind === 'dir') await removeTree(files, inner)
    else await files.unlink(inner)
  }
  await files.rmdir(path).catch((error: unknown) => {
    if (!isCode(error, 'ENOENT')) throw error
  })
}
