// The home: one directory that is everything a person has here. It holds no absolute path, so that copying it with
// nothing running is a valid move. Home carries the doors (files, clock, randomness) to everybody who works in it.

import { fromHex, fromUtf8, hex, utf8 } from '../base/bytes.ts'
import { systemClock, type Clock } from '../base/clock.ts'
import { EX, Failure, ioFailure, isCode } from '../base/fail.ts'
import { systemRandom, type Random } from '../base/random.ts'
import { isoTime } from '../base/utc.ts'
import { readText, replaceFile } from './durable.ts'
import { nodeFiles, type Files } from './files.ts'

/** The version of the layout that this program reads and writes. */
export const LAYOUT = 1

/** Every directory of a fresh home. All of them must lie on one device: mail moves between them by rename and link. */
export const DIRECTORIES: readonly string[] = [
  'contacts',
  'files',
  'hello',
  'hooks',
  'hooks/pending',
  'inbox',
  'inbox/cur',
  'inbox/new',
  'inbox/tmp',
  'lock',
  'part',
  'queue',
  'sent',
  'sent/cur',
  'sent/new',
  'sent/tmp',
]

/** File systems without sound rename, link or locks (statfs(2) magic numbers). */
export const UNSOUND: ReadonlyMap<number, string> = new Map([
  [0x6969, 'NFS'],
  [0x01021997, '9p'],
  [0x4d44, 'FAT'],
  [0x2011bab0, 'exFAT'],
])

export interface Doors {
  files: Files
  clock: Clock
  random: Random
}

export const realDoors: Doors = { files: nodeFiles, clock: systemClock, random: systemRandom }

export interface Home extends Doors {
  /** Absolute. */
  readonly path: string
  /** Where the path came from, for error texts. */
  readonly source: string
  /** 8 random bytes drawn for `place`: see instanceOf(). */
  readonly instance: Uint8Array
  /** The place where they were drawn; undefined if nobody has drawn them for one. */
  readonly place: string | undefined
  /** The one port, TCP and UDP, of this identity. */
  readonly port: number
  /** The absolute path of a place in the home. */
  at(...parts: string[]): string
}

export interface Location {
  path: string
  source: string
}

/** --home, else $P2P_HOME, else $XDG_DATA_HOME/p2p if that is absolute, else ~/.local/share/p2p; made absolute. */
export function locateHome(flag: string | undefined, env: NodeJS.ProcessEnv): Location {
  if (flag !== undefined) return { path: absolute(flag, '--home'), source: '--home' }
  const own = env['P2P_HOME']
  if (own !== undefined && own !== '') return { path: absolute(own, '$P2P_HOME'), source: '$P2P_HOME' }
  const xdg = env['XDG_DATA_HOME']
  if (xdg?.startsWith('/') === true) return { path: absolute(`${xdg}/p2p`, ''), source: '$XDG_DATA_HOME' }
  const home = env['HOME']
  if (home === undefined || home === '') {
    throw new Failure(EX.CONFIG, 'no home: $HOME is not set', 'export P2P_HOME=/path/to/home')
  }
  return { path: absolute(`${home}/.local/share/p2p`, '$HOME'), source: '$HOME' }
}

function absolute(path: string, source: string): string {
  if (path === '') throw new Failure(EX.USAGE, `${source} is empty`)
  if (path.includes('\0')) throw new Failure(EX.USAGE, `${source} contains a NUL byte`)
  const full = path.startsWith('/') ? path : `${process.cwd()}/${path}`
  const parts: string[] = []
  for (const part of full.split('/')) {
    if (part === '..') parts.pop()
    else if (part !== '' && part !== '.') parts.push(part)
  }
  return '/' + parts.join('/')
}

class OpenHome implements Home {
  readonly path: string
  readonly source: string
  readonly instance: Uint8Array
  readonly place: string | undefined
  readonly port: number
  readonly files: Files
  readonly clock: Clock
  readonly random: Random

  constructor(location: Location, { instance, place, port }: Omit<HomeFile, 'v' | 'retired'>, doors: Doors) {
    this.path = location.path
    this.source = location.source
    this.instance = instance
    this.place = place
    this.port = port
    this.files = doors.files
    this.clock = doors.clock
    this.random = doors.random
  }

  at(...parts: string[]): string {
    return [this.path, ...parts].join('/')
  }
}

/** A new home: prepareHome and writeHomeFile. */
export async function createHome(location: Location, port: number, doors: Doors = realDoors): Promise<Home> {
  const home = await prepareHome(location, port, doors)
  await writeHomeFile(home)
  return home
}

/**
 * Makes the directories of a new home, with a new instance. Refuses a home that has an identity (73) and a file system
 * that cannot keep the promise (78). What an interrupted call left behind is completed.
 */
export async function prepareHome(location: Location, port: number, doors: Doors = realDoors): Promise<Home> {
  const { files, random } = doors
  const { path } = location
  await refuseIdentity(path, files)
  try {
    let built = ''
    for (const part of path.split('/').slice(1)) {
      built += `/${part}`
      if (await files.mkdir(built)) await files.syncDir(built.slice(0, built.lastIndexOf('/')) || '/')
    }
    await checkDirectory(location, files)
    const { type } = await files.statfs(path)
    const unsound = UNSOUND.get(type)
    if (unsound !== undefined) throw new Failure(EX.CONFIG, `${path} is on ${unsound}, which cannot keep messages safe`)
    for (const name of DIRECTORIES) await files.mkdir(`${path}/${name}`)
    await files.syncDir(path)
    return new OpenHome(location, { instance: random.bytes(8), place: undefined, port }, doors)
  } catch (error) {
    const failure = ioFailure(error, `cannot create ${path}`)
    throw isCode(error, 'ENOENT', 'ENOTDIR', 'ELOOP', 'ENAMETOOLONG') ? new Failure(EX.CANNOT_CREATE, failure.message) : failure
  }
}

/**
 * Writes home.json durably; `retired` (Unix ms) marks a home that was moved elsewhere. Where two may write, the caller
 * holds the lock `identity`.
 */
export async function writeHomeFile(
  home: Home,
  retired?: number,
  { instance, place }: Pick<HomeFile, 'instance' | 'place'> = home,
): Promise<void> {
  const { files, random, port } = home
  const mark = retired === undefined ? {} : { retired: isoTime(retired) }
  const path = home.at('home.json')
  const content = { v: LAYOUT, instance: hex(instance), ...(place !== undefined && { place }), port, ...mark }
  try {
    await replaceFile(files, random, path, utf8(JSON.stringify(content) + '\n'))
  } catch (error) {
    throw ioFailure(error, `cannot write ${path}`)
  }
}

/** Throws Failure 73 if an identity lies at this path, 78 if it was moved elsewhere. */
export async function refuseIdentity(path: string, files: Files): Promise<void> {
  for (const name of ['identity.age', 'identity.key']) {
    if ((await files.stat(`${path}/${name}`)) === undefined) continue
    await refuseRetired(path, files)
    throw new Failure(EX.CANNOT_CREATE, `${path} already holds an identity`, 'p2p-id show')
  }
}

/** Throws Failure 78 if the home at this path has been moved elsewhere by now. */
export async function refuseRetired(path: string, files: Files): Promise<void> {
  const text = await readText(files, `${path}/home.json`)
  const retired = text === undefined ? undefined : parseHomeFile(text, path).retired
  if (retired !== undefined) throw new Moved(path, retired)
}

/** 78: the identity of this home lives elsewhere. */
export class Moved extends Failure {
  constructor(path: string, retired: string) {
    const day = retired.slice(0, 10)
    super(EX.CONFIG, `this home was moved on ${day}: the identity of ${path} lives elsewhere`, 'p2p-id unretire')
  }
}

/**
 * The home that the options and the environment name. 78 if there is none, if it is not safe to use, or if it was moved
 * elsewhere (unless `evenRetired`).
 */
export async function openHome(
  from: { flag: string | undefined; env: NodeJS.ProcessEnv; evenRetired?: boolean },
  doors: Doors = realDoors,
): Promise<Home> {
  const location = locateHome(from.flag, from.env)
  await checkDirectory(location, doors.files)
  let text: string
  try {
    text = fromUtf8(await doors.files.read(`${location.path}/home.json`))
  } catch (error) {
    if (isCode(error, 'ENOENT')) throw noIdentity(location)
    throw ioFailure(error, `cannot read ${location.path}/home.json`)
  }
  const { v, retired, ...file } = parseHomeFile(text, location.path)
  if (v > LAYOUT) {
    throw new Failure(EX.CONFIG, `${location.path} was made by a newer version of p2p (layout ${v})`)
  }
  if (retired !== undefined && from.evenRetired !== true) throw new Moved(location.path, retired)
  return new OpenHome(location, file, doors)
}

export interface HomeFile {
  v: number
  instance: Uint8Array
  place: string | undefined
  port: number
  /** RFC 3339: when it was moved elsewhere. */
  retired: string | undefined
}

/** What home.json says. Throws Failure 78 naming the home at `path`. */
export function parseHomeFile(text: string, path: string): HomeFile {
  try {
    const { v, instance, place, port, retired } = JSON.parse(text) as Record<string, unknown>
    if (place !== undefined && typeof place !== 'string') throw new Error('shape')
    if (retired !== undefined && typeof retired !== 'string') throw new Error('shape')
    if (typeof v !== 'number' || typeof instance !== 'string' || typeof port !== 'number') throw new Error('shape')
    const bytes = fromHex(instance)
    if (bytes.length !== 8 || !Number.isInteger(port) || port < 1 || port > 65535) throw new Error('range')
    return { v, instance: bytes, place, port, retired }
  } catch {
    throw new Failure(EX.CONFIG, `${path}/home.json is damaged`)
  }
}

function noIdentity(location: Location): Failure {
  return new Failure(EX.CONFIG, `no identity in ${location.path} (from ${location.source})`, 'p2p-id init')
}

async function checkDirectory(location: Location, files: Files): Promise<void> {
  const { path, source } = location
  const resolved = await files.stat(path)
  if (resolved === undefined) throw noIdentity(location)
  // A link is followed on purpose: people keep homes on other disks.
  const stat = resolved.kind === 'link' ? await files.stat(`${path}/.`) : resolved
  if (stat?.kind !== 'dir') throw new Failure(EX.CONFIG, `${path} (from ${source}) is not a directory`)
  const uid = process.getuid?.()
  if (uid !== undefined && stat.uid !== uid) {
    throw new Failure(EX.CONFIG, `${path} (from ${source}) belongs to another user (uid ${stat.uid})`)
  }
  if ((stat.mode & 0o077) !== 0) {
    const mode = (stat.mode & 0o777).toString(8)
    throw new Failure(EX.CONFIG, `${path} (from ${source}) is open to others (mode ${mode})`, `chmod 700 ${path}`)
  }
}

/** Mail moves by rename and link, which do not cross devices: refuse to start rather than fail on the first mail. */
export async function checkOneDevice(home: Home): Promise<void> {
  const devices = new Set<number>()
  for (const name of ['part', 'inbox/new', 'inbox/tmp', 'inbox/cur', 'sent/cur', 'queue', 'files']) {
    const stat = await home.files.stat(home.at(name))
    if (stat === undefined) throw new Failure(EX.CONFIG, `${home.at(name)} is missing`)
    devices.add(stat.dev)
  }
  if (devices.size > 1) throw new Failure(EX.CONFIG, `the folders of ${home.path} lie on different devices`)
}
