// A file for its owner, outside the home: written beside its name and put under it only when all of it is durable, never
// over anything. A crash leaves no file, or the whole one.

import { hex } from '../base/bytes.ts'
import { EX, Failure, ioFailure, isCode } from '../base/fail.ts'
import type { Random } from '../base/random.ts'
import { dirname } from './durable.ts'
import type { Files } from './files.ts'
import { writeNew } from './maildir.ts'

/** Throws Failure 73 if there is something at this path. */
export async function refuseExisting(files: Files, path: string): Promise<void> {
  if ((await files.stat(path)) !== undefined) throw taken(path)
}

/** Writes these bytes to a new file, durably, mode 0600; returns how many. Throws Failure 73 if the path is taken. */
export async function writeOut(
  files: Files,
  random: Random,
  path: string,
  pieces: AsyncIterable<Uint8Array>,
): Promise<number> {
  let size = 0
  const counted = async function* (): AsyncGenerator<Uint8Array> {
    for await (const piece of pieces) {
      size += piece.length
      yield piece
    }
  }
  await refuseExisting(files, path)
  const temporary = `${path}.tmp.${hex(random.bytes(6))}`
  try {
    await writeNew(files, temporary, counted())
    try {
      await publish(files, temporary, path)
    } finally {
      await files.unlink(temporary)
    }
    await files.syncDir(dirname(path))
  } catch (error) {
    throw targetFailure(error, temporary, path)
  }
  return size
}

/** Errors of what is written pass as they are. */
function targetFailure(error: unknown, temporary: string, path: string): unknown {
  const { path: where = '' } = error as NodeJS.ErrnoException
  const own = error instanceof Error && 'syscall' in error && (where === temporary || where === '')
  if (!own) return error
  if (isCode(error, 'EEXIST')) return taken(path)
  if (isCode(error, 'ENOENT', 'ENOTDIR')) return new Failure(EX.CANNOT_CREATE, `cannot write ${path}: no such directory`)
  return ioFailure(error, `cannot write ${path}`)
}

function taken(path: string): Failure {
  return new Failure(EX.CANNOT_CREATE, `${path} is there already`)
}

/** Under its name, which a link never takes from another file; where there are no links the look just before must do. */
async function publish(files: Files, temporary: string, path: string): Promise<void> {
  try {
    await files.link(temporary, path)
  } catch (error) {
    if (!isCode(error, 'EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK')) throw error // FAT, some network disks
    await refuseExisting(files, path)
    await files.rename(temporary, path)
  }
}
