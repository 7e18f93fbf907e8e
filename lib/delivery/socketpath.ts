// Where the socket of a home's listener is, p2p-spool(5), listen.sock; asked without anything of the net being loaded.

import { hex, utf8 } from '../base/bytes.ts'
import { EX, Failure } from '../base/fail.ts'
import { sha256 } from '../crypto/sha256.ts'
import type { Home } from '../disk/home.ts'

/** Longest path of a Unix socket: sun_path less its NUL. Node cuts longer ones silently: two homes would share one. */
export const PATH_MAX = 107

/** Where the socket of this home is: in it, unless that path is too long; then in a folder that nobody else may enter. */
export async function socketPath(home: Home): Promise<string> {
  const inside = home.at('listen.sock')
  if (utf8(inside).length <= PATH_MAX) return inside
  const name = `p2p-${hex(sha256(utf8(home.path))).slice(0, 24)}.sock`
  const runtime = process.env['XDG_RUNTIME_DIR']
  if (runtime?.startsWith('/') === true && utf8(`${runtime}/${name}`).length <= PATH_MAX) {
    if (await isPrivate(home, runtime)) return `${runtime}/${name}`
  }
  const folder = `/tmp/p2p-${ownUid()}`
  await home.files.mkdir(folder)
  if (!(await isPrivate(home, folder))) {
    throw new Failure(EX.CONFIG, `${folder} is not a private folder of yours`, `rm -r ${folder}`)
  }
  return `${folder}/${name}`
}

/** 0 where there are no users. */
export function ownUid(): number {
  return process.getuid?.() ?? 0
}

/** A folder, and no link to one, of this user, which nobody else may enter. */
async function isPrivate(home: Home, path: string): Promise<boolean> {
  const stat = await home.files.stat(path)
  return stat?.kind === 'dir' && stat.uid === ownUid() && (stat.mode & 0o077) === 0
}

/** False if nobody can be listening for this home; who is asked may still not answer. */
export async function mayListen(home: Home): Promise<boolean> {
  return (await home.files.stat(await socketPath(home))) !== undefined
}
