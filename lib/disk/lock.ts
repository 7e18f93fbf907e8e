// Advisory locks in lock/: they keep two processes from doing the same work twice. No promise of the spool rests on
// one: proper-lockfile lets two holders in after a stale lock (its issue 121), so every step under one is also
// safe without it. A holder that was killed is recognised at once by pid, start time and boot id, whatever the clock
// says. One that lives is left alone, unless the caller wants to get past one that was stopped; one that cannot be
// judged (another pid namespace, a note that is torn) counts as dead once it no longer touches its lock.

import { fromUtf8, utf8 } from '../base/bytes.ts'
import { sleep } from '../base/clock.ts'
import { EX, Failure, isCode } from '../base/fail.ts'
import { fraction } from '../base/random.ts'
import { filesNow } from './age.ts'
import { briefLock } from './brieflock.ts'
import type { Stat } from './files.ts'
import type { Home } from './home.ts'

/** A holder that runs touches its lock every half of this. A lock that is older, or that much ahead, is a silent one's. */
const SILENT_MS = 10_000

/** Between making its lock and leaving a note of itself a process takes a millisecond. One that did not died there. */
const UNNOTED_MS = 2000

/** How long withLock waits unless told otherwise. */
const WAIT_MS = 10_000

export interface Held {
  /** Aborted if the lock was lost: to a process that could not judge this one, or by hand. */
  readonly lost: AbortSignal
  /** Safe to call twice; whoever waits for either call waits until the lock is free. */
  release(): Promise<void>
}

interface Owner {
  pid: number
  start: string
  boot: string
  space: string
}

/** Who has a lock that cannot be had. */
export interface Holder {
  /** Certainly: a process of this machine that runs or was stopped. Else it cannot be judged. */
  alive: boolean
  /** It has not touched its lock as a process does that runs. */
  silent: boolean
  /** The lock as it was then. */
  seen: Stat | undefined
}

/** The lock if nobody has it or its holder is certainly dead; else what is known of the holder. */
export async function claim(home: Home, name: string): Promise<{ held: Held } | Holder> {
  const held = await acquire(home, name)
  if (held !== undefined) return { held }
  const seen = await home.files.stat(home.at('lock', `${name}.lock`))
  const holder = await judge(home, home.at('lock', `${name}.owner`))
  if (holder === 'dead') {
    const next = await breakLock(home, name, seen)
    return next === undefined ? { alive: true, silent: false, seen: undefined } : { held: next }
  }
  const limit = holder === 'unnoted' ? UNNOTED_MS : SILENT_MS
  return { alive: holder === 'alive', silent: seen !== undefined && (await isSilent(home, seen, limit)), seen }
}

/** By both clocks: that of this process may be another than the one that stamps files. */
async function isSilent(home: Home, { mtimeMs }: Stat, limit: number): Promise<boolean> {
  const far = (now: number): boolean => Math.abs(now - mtimeMs) > limit
  return far(home.clock.now()) && far(await filesNow(home))
}

/**
 * The lock, or undefined if somebody has it: a living process, or one that cannot be judged and was heard of lately. With
 * `overtake` also from a living process that was stopped for so long.
 */
export async function tryLock(home: Home, name: string, overtake = false): Promise<Held | undefined> {
  const claimed = await claim(home, name)
  if ('held' in claimed) return claimed.held
  if (!claimed.silent || (claimed.alive && !overtake)) return undefined
  return breakLock(home, name, claimed.seen)
}

export interface WaitOptions {
  waitMs?: number
  /** As for tryLock(). */
  overtake?: boolean
}

/** Runs `work` under the lock; 75 if it cannot be had within `waitMs`. */
export async function withLock<T>(
  home: Home,
  name: string,
  work: () => Promise<T>,
  { waitMs = WAIT_MS, overtake = false }: WaitOptions = {},
): Promise<T> {
  const deadline = home.clock.monotonic() + waitMs
  let held = (await acquire(home, name, true)) ?? (await tryLock(home, name, overtake))
  while (held === undefined) {
    if (home.clock.monotonic() > deadline) {
      throw new Failure(EX.TEMPORARY, `another process holds the lock '${name}' of ${home.path}`)
    }
    await sleep(home.clock, 2 + 20 * fraction(home.random))
    held = await tryLock(home, name, overtake)
  }
  try {
    return await work()
  } finally {
    await held.release()
  }
}

/** `brief`: for work of a moment. */
async function acquire(home: Home, name: string, brief = false): Promise<Held | undefined> {
  const path = home.at('lock', name)
  const compromised = new AbortController()
  const lock = brief ? briefLock(home) : (await import('proper-lockfile')).lock
  let release: () => Promise<void>
  try {
    release = await lock(path, {
      lockfilePath: `${path}.lock`,
      realpath: false,
      stale: Infinity, // when a lock is to be broken is decided here: proper-lockfile would trust the clock
      update: SILENT_MS / 2,
      onCompromised: () => compromised.abort(),
    })
  } catch (error) {
    if (isCode(error, 'ELOCKED')) return undefined
    // On a full disk nobody can take a lock, and nobody is hindered: what waits is sent and dropped, which makes room.
    if (isFull(error, name)) return { lost: compromised.signal, release: () => Promise.resolve() }
    if (!isCode(error, 'ENOENT')) throw error
    // There was no lock/, which may be deleted. Or somebody with another clock has broken the lock that was just made.
    return (await home.files.mkdir(home.at('lock'))) ? acquire(home, name, brief) : undefined
  }
  try {
    await noteOwner(home, `${path}.owner`)
  } catch (error) {
    if (!isFull(error, name)) {
      await release().catch(() => undefined)
      throw error
    }
  }
  const free = async (): Promise<void> => {
    if (!compromised.signal.aborted) await home.files.unlink(`${path}.owner`).catch(() => false)
    await release().catch(() => undefined) // a lock lost meanwhile belongs to somebody else now
  }
  let freed: Promise<void> | undefined
  return { lost: compromised.signal, release: () => (freed ??= free()) }
}

/** Moves the lock that `seen` tells of out of the way, and takes its place; undefined if somebody else did. */
async function breakLock(home: Home, name: string, seen: Stat | undefined): Promise<Held | undefined> {
  const { files } = home
  const path = home.at('lock', name)
  const aside = `${path}.dead.${process.pid}`
  try {
    await files.rename(`${path}.lock`, aside) // only one breaker wins
    const moved = await files.stat(aside)
    if (seen === undefined || moved?.ino !== seen.ino || moved.mtimeMs !== seen.mtimeMs) {
      await files.rename(aside, `${path}.lock`) // of somebody who came meanwhile
      return undefined
    }
    await files.unlink(`${path}.owner`)
    await files.rmdir(aside)
  } catch (error) {
    if (!isCode(error, 'ENOENT', 'ENOTEMPTY', 'EEXIST')) throw error
  }
  return acquire(home, name)
}

/** Not durable: a note lost in a power cut belongs to a dead process. */
export async function noteOwner(home: Home, path: string): Promise<void> {
  if ((await home.files.stat(path)) !== undefined) await home.files.unlink(path)
  const handle = await home.files.open(path, 'append')
  try {
    await handle.write(utf8(JSON.stringify(await ourselves(home))))
  } finally {
    await handle.close()
  }
}

/** A receiver without a lock and its note would be taken for dead, and what it is about to commit for rubbish. */
function isFull(error: unknown, name: string): boolean {
  return isCode(error, 'ENOSPC', 'EDQUOT') && !name.startsWith('receiver.')
}

/** Whether the process that wrote the note may still run; true when in doubt. */
export async function isAlive(home: Home, path: string): Promise<boolean> {
  return (await judge(home, path)) !== 'dead'
}

/** What is known of the process that wrote the note; unnoted: there is none, or not yet. */
export async function judge(home: Home, path: string): Promise<'alive' | 'dead' | 'unknown' | 'unnoted'> {
  let owner: Owner
  try {
    owner = JSON.parse(fromUtf8(await home.files.read(path))) as Owner
  } catch {
    return 'unnoted' // or torn
  }
  const here = await ourselves(home)
  if (owner.boot !== here.boot) return 'dead'
  if (owner.space !== here.space) return 'unknown'
  try {
    process.kill(owner.pid, 0)
  } catch (error) {
    if (isCode(error, 'ESRCH')) return 'dead'
  }
  return (await identifyProcess(home, owner.pid)).start === owner.start ? 'alive' : 'dead'
}

const known = new WeakMap<Home, Owner>()

/** This process; it stays who it is. */
async function ourselves(home: Home): Promise<Owner> {
  let owner = known.get(home)
  if (owner === undefined) known.set(home, (owner = await identifyProcess(home, process.pid)))
  return owner
}

/** A process beyond its number, which is used again: start time and boot from proc(5), empty where there is none. */
async function identifyProcess(home: Home, pid: number): Promise<Owner> {
  const read = async (path: string): Promise<string> => {
    try {
      return fromUtf8(await home.files.read(path))
    } catch {
      return ''
    }
  }
  const stat = await read(`/proc/${pid}/stat`)
  const start = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '' // proc(5): field 22, counted after comm
  const boot = (await read('/proc/sys/kernel/random/boot_id')).trim()
  const space = (await home.files.readlink('/proc/self/ns/pid')) ?? ''
  return { pid, start, boot, space }
}
