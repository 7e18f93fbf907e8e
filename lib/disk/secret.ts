// Files of the home that hold a secret: their names, and the one way to read them. What others can read is refused.

import { EX, Failure, ioFailure } from '../base/fail.ts'

import type { Home } from './home.ts'

/** The identity, sealed and plain. */
export const SEALED = 'identity.age'
export const PLAIN = 'identity.key'

/** The bytes of a secret file. Throws 77 if others can read it, 78 if it is not there or no file. */
export async function readSecret(home: Home, name: string): Promise<Uint8Array> {
  const path = home.at(name)
  const stat = await home.files.stat(path)
  if (stat === undefined) throw new Failure(EX.CONFIG, `${path} is missing`)
  if (stat.kind !== 'file') throw new Failure(EX.CONFIG, `${path} is not a plain file`)
  if ((stat.mode & 0o077) !== 0) {
    const mode = (stat.mode & 0o777).toString(8)
    throw new Failure(EX.NOT_PERMITTED, `others can read ${path} (mode ${mode})`, `chmod 600 ${path}`)
  }
  try {
    return await home.files.read(path)
  } catch (error) {
    throw ioFailure(error, `cannot read ${path}`)
  }
}
