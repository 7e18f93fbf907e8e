// p2p-id doctor: every check over a home, in an order in which the first that is wrong is often the cause of the rest.
// A check that cannot be made is itself a finding; a bug stays a bug.

import { EX, Failure, ioFailure, Malformed } from '../base/fail.ts'
import { loadSuite } from '../crypto/suite.ts'
import { loadConfig } from '../disk/config.ts'
import { type Doors, type Home, locateHome, Moved, openHome, realDoors } from '../disk/home.ts'
import { loadSelf, type Self } from '../disk/self.ts'
import { type Keyring, loadKeyring } from '../disk/keyring.ts'
import { type Meeting, readMeeting } from '../disk/meetings.ts'
import { bad, type Check, type Patient } from './check.ts'
import * as disk from './checkhome.ts'
import * as net from './checknet.ts'
import { findListener } from './control.ts'

const CHECKS: readonly [string, (patient: Patient) => Promise<Check | Check[]>][] = [
  ['node', net.checkNode],
  ['folders', disk.checkFolders],
  ['modes', disk.checkModes],
  ['owner', disk.checkOwner],
  ['filesystem', disk.checkFilesystem],
  ['space', disk.checkSpace],
  ['identity', disk.checkIdentity],
  ['key', disk.checkKeyAge],
  ['config', disk.checkConfig],
  ['contacts', disk.checkContacts],
  ['locks', disk.checkLocks],
  ['listener', net.checkListener],
  ['port', net.checkPort],
  ['mapping', net.checkMapping],
  ['token', net.checkToken],
  ['reached', net.checkReached],
  ['clock', net.checkClock],
  ['restore', disk.checkRestore],
  ['clones', net.checkClones],
  ['queue', net.checkQueue],
]

/**
 * Every finding about the home that flag and environment name. Throws Failure 78 if there is no home or no identity in
 * it: then there is nothing to look at. A home that cannot be used at all is one finding, `home`.
 */
export async function* examine(
  from: { flag: string | undefined; env: NodeJS.ProcessEnv },
  doors: Doors = realDoors,
): AsyncGenerator<Check> {
  let home: Home
  try {
    home = await openHome(from, doors)
  } catch (error) {
    const { path } = locateHome(from.flag, from.env)
    const there = await doors.files.stat(`${path}/home.json`).catch(() => undefined)
    if (!(error instanceof Failure) || error instanceof Moved || there === undefined) throw error
    return yield finding('home', error)
  }
  const patient = await admit(home)
  for (const [name, check] of CHECKS) {
    const found = await check(patient).catch((error: unknown) => finding(name, error))
    yield* Array.isArray(found) ? found : [found]
  }
}

/** Reads what the checks have in common. Throws Failure 78 if nobody lives here. */
async function admit(home: Home): Promise<Patient> {
  let self: Self | undefined
  let keyring: Keyring | undefined
  try {
    self = await loadSelf(home)
    keyring = await loadKeyring(home)
  } catch (error) {
    const nobody = (await home.files.stat(home.at('token'))) === undefined
    if (nobody || !(error instanceof Failure)) throw error
  }
  const meetings = new Map<string, Meeting>()
  for (const { key } of [...(keyring?.all() ?? []), ...(keyring?.problems ?? [])]) {
    const meeting = await readMeeting(home, key)
    if (meeting !== undefined) meetings.set(key, meeting)
  }
  const config = await loadConfig(home, process.env).catch((error: unknown) => ioFailure(error, 'config.toml'))
  const listener = await findListener(home).catch(() => undefined)
  return { home, suite: await loadSuite(process.env), self, keyring, config, meetings, listener }
}

/** What hindered a check, as its result. */
function finding(name: string, error: unknown): Check {
  if (error instanceof Malformed) return bad(name, error.message)
  const failure = ioFailure(error, name)
  if (failure.exit === EX.SOFTWARE) throw failure
  return bad(name, failure.message, failure.hint)
}
