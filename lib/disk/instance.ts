// Which of the copies of a home this is: what a contact is told at the beginning of a session, p2p-wire(7), SETTINGS, so
// that it sees two copies take turns. A copy is a home in another place: another directory, or the same one on another
// machine. It draws a number of its own when it is first used there. A machine that was copied with everything on it
// differs only in its boot, so that the second half of an instance changes with each.

import { concat, fromUtf8, hex, utf8 } from '../base/bytes.ts'
import type { Hash } from '../wire/envelope.ts'
import { type Home, parseHomeFile, writeHomeFile } from './home.ts'
import { withLock } from './lock.ts'

/** What is drawn for a place, and what follows from that and the boot: bytes of an instance. */
const HALF = 4

/** Two commands may come to a new place at once; nobody waits longer for the other. */
const WAIT_MS = 2000

/**
 * 8 bytes that another copy of this home does not have, unless it was made of the whole running machine. The first 4
 * stay as long as the home stays in its place, and never come back once it was used in another. Where home.json cannot
 * be written they last as long as this process.
 */
export async function instanceOf(home: Home, hash: Hash): Promise<Uint8Array> {
  const place = await placeOf(home, hash)
  const drawn = home.place === place ? home.instance : await settleAt(home, place)
  const boot = await line(home, '/proc/sys/kernel/random/boot_id')
  return concat(drawn.subarray(0, HALF), hash.hash(utf8(`p2p/1 boot ${hex(drawn)} ${boot}`)).subarray(0, HALF))
}

/** Where the home lies: a digest, since the machine's id is nobody's business. */
async function placeOf(home: Home, hash: Hash): Promise<string> {
  const stat = await home.files.stat(`${home.path}/.`) // the directory itself if the home is a link to it
  const machine = await line(home, '/etc/machine-id')
  return hex(hash.hash(utf8(`p2p/1 place ${machine} ${stat?.dev} ${stat?.ino}`)).subarray(0, 8))
}

async function line(home: Home, path: string): Promise<string> {
  try {
    return fromUtf8(await home.files.read(path)).trim()
  } catch {
    return '' // not on this system
  }
}

/** A number for a home that is new here. Whatever hinders writing it down must not hinder a session. */
async function settleAt(home: Home, place: string): Promise<Uint8Array> {
  const fresh = home.random.bytes(home.instance.length)
  try {
    return await withLock(home, 'identity', () => writeDown(home, place, fresh), { waitMs: WAIT_MS })
  } catch {
    return fresh
  }
}

async function writeDown(home: Home, place: string, fresh: Uint8Array): Promise<Uint8Array> {
  const now = parseHomeFile(fromUtf8(await home.files.read(home.at('home.json'))), home.path)
  if (now.place === place) return now.instance // another process was faster
  if (now.retired !== undefined) return fresh
  await writeHomeFile(home, undefined, { instance: fresh, place })
  return fresh
}
