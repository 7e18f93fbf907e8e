// A home as one age file with a tar inside (p2p-spool(5), ARCHIVES): written beside its name and linked there only when
// all of it is durable, never over anything; and the move, after which this home answers nobody any more. A crash at
// any step leaves either no archive or a whole one, and a home that is in use unless the archive is there.

import { sleep } from '../base/clock.ts'
import { EX, Failure } from '../base/fail.ts'
import { packTar } from '../wire/tar.ts'
import { type Contents, fingerprint, homeFiles, type Scope } from './archivewrite.ts'
import { readText } from './durable.ts'
import { parseHomeFile, writeHomeFile } from './home.ts'
import { claim, type Held, tryLock, withLock } from './lock.ts'
import { writeOut } from './outfile.ts'
import { count, keys } from './queueread.ts'

import type { Hash } from '../wire/envelope.ts'
import type { Home } from './home.ts'

const SETTLE_MS = 300 // a process that had opened the home before the mark needs less for the step it is in

export interface Archiving {
  hash: Hash
  scope: Scope
  /** Opens the archive. */
  passphrase: Uint8Array
  /** Ends the work with its reason. */
  signal: AbortSignal
  /** Work factor of scrypt; age's own without. */
  logN?: number
}

export interface Exported extends Contents {
  /** Of the archive. */
  size: number
}

/** The bytes of an archive of this home; `contents` is complete at their end. */
export async function* archive(home: Home, options: Archiving, contents: Contents): AsyncGenerator<Uint8Array> {
  const { encryptStream } = await import('../crypto/agefile.ts')
  const { hash, scope, passphrase, signal, logN } = options
  const tar = await packTar(homeFiles(home, hash, scope, contents))
  for await (const piece of encryptStream(tar, passphrase, logN)) {
    signal.throwIfAborted()
    yield piece
  }
}

/** Writes an archive to a new file, durably, mode 0600. Throws Failure 73 if the path is taken. */
export async function exportFile(home: Home, path: string, options: Archiving): Promise<Exported> {
  const exported: Exported = { contacts: 0, waiting: 0, mails: 0, size: 0 }
  exported.size = await writeOut(home.files, home.random, path, archive(home, options, exported))
  return exported
}

/**
 * Writes an archive and retires this home: from then on every command answers 78. Throws Failure 75 while others are at
 * work here or if something came in between, and then the home is as before; 1 if messages wait and are not to go along.
 */
export async function moveHome(home: Home, path: string, options: Archiving): Promise<Exported> {
  const locks: Held[] = []
  try {
    for (const name of ['listener', 'flush']) locks.push(await lockOrRefuse(home, name))
    await refuseReceivers(home)
    if (!options.scope.queue) await refuseWaiting(home, path)
    const before = await fingerprint(home)
    const exported = await exportFile(home, path, options)
    await withLock(home, 'identity', () => writeHomeFile(home, home.clock.now()))
    await sleep(home.clock, SETTLE_MS)
    if ((await fingerprint(home)) !== before) {
      await withLock(home, 'identity', () => writeHomeFile(home))
      await home.files.unlink(path)
      throw new Failure(EX.TEMPORARY, `${home.path} has changed meanwhile: it was not moved, and ${path} is gone again`)
    }
    return exported
  } finally {
    for (const lock of locks) await lock.release()
  }
}

async function lockOrRefuse(home: Home, name: string): Promise<Held> {
  const lock = await tryLock(home, name)
  if (lock !== undefined) return lock
  const who = name === 'listener' ? 'p2p-listen runs' : 'p2p-queue flush is at work'
  const pid = await holder(home, name)
  throw new Failure(EX.TEMPORARY, `${who} for ${home.path}: end it first`, pid === undefined ? undefined : `kill ${pid}`)
}

async function holder(home: Home, name: string): Promise<number | undefined> {
  try {
    const { pid } = JSON.parse(Buffer.from(await home.files.read(home.at('lock', `${name}.owner`))).toString()) as { pid?: unknown }
    return typeof pid === 'number' ? pid : undefined
  } catch {
    return undefined
  }
}

/** A p2p-send that is just talking to somebody. */
async function refuseReceivers(home: Home): Promise<void> {
  for (const file of await home.files.list(home.at('lock'))) {
    const name = /^(receiver\.[0-9a-f]{16})\.lock$/.exec(file)?.[1]
    if (name === undefined) continue
    const claimed = await claim(home, name)
    if ('held' in claimed) await claimed.held.release()
    else if (!claimed.silent) throw new Failure(EX.TEMPORARY, `another command is at work in ${home.path}`)
  }
}

/** Messages that wait or are held back, for whomever. */
export async function countWaiting(home: Home): Promise<number> {
  let waiting = 0
  for (const key of await keys(home)) {
    for (const state of ['new', 'hold'] as const) waiting += await count(home, key, state)
  }
  return waiting
}

async function refuseWaiting(home: Home, path: string): Promise<void> {
  const waiting = await countWaiting(home)
  if (waiting === 0) return
  const many = waiting === 1 ? '1 message waits' : `${waiting} messages wait`
  throw new Failure(EX.NEGATIVE, `${many} here and would never be sent`, `p2p-id export --move --queue -o ${path}`)
}

/** Takes a home into use again that was moved, durably; false if it was not moved. */
export async function unretire(home: Home): Promise<boolean> {
  return withLock(home, 'identity', async () => {
    const text = (await readText(home.files, home.at('home.json'))) ?? ''
    if (parseHomeFile(text, home.path).retired === undefined) return false
    await writeHomeFile(home)
    return true
  })
}
