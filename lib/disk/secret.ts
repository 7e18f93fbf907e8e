// Files of the home that hold a secret: their names, their one form, and the one way to read them. What others can read
// is refused. Secrets stay bytes from end to end: a string that holds one cannot be wiped.

import { isZero, utf8 } from '../base/bytes.ts'
import { EX, Failure, ioFailure } from '../base/fail.ts'

import type { Home } from './home.ts'

/** The identity, sealed and plain. */
export const SEALED = 'identity.age'
export const PLAIN = 'identity.key'

const DIGITS = utf8('0123456789abcdef')
const [LF, CR] = [10, 13]

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

/** `head`, which ends with a line feed, then a line of `label`, a blank and the secret in hexadecimal. */
export function encodeSecret(head: string, label: string, secret: Uint8Array): Uint8Array {
  const before = utf8(`${head}${label} `)
  const out = new Uint8Array(before.length + 2 * secret.length + 1)
  out.set(before)
  secret.forEach((byte, at) => {
    out[before.length + 2 * at] = DIGITS[byte >> 4] ?? 0
    out[before.length + 2 * at + 1] = DIGITS[byte & 15] ?? 0
  })
  out[out.length - 1] = LF
  return out
}

/** The head and the `size` bytes of such a file, which is wiped; undefined if it is none, or of zeros. */
export function decodeSecret(
  file: Uint8Array,
  label: string,
  size: number,
): { head: string; secret: Uint8Array } | undefined {
  const at = Buffer.from(file.buffer, file.byteOffset, file.length).indexOf(`\n${label} `) + 1
  const head = new TextDecoder().decode(file.subarray(0, at))
  const digits = file.subarray(at + label.length + 1).filter((byte) => byte !== LF && byte !== CR)
  const values = digits.map((byte) => DIGITS.indexOf(byte))
  const good = at > 0 && digits.length === 2 * size && digits.every((byte) => DIGITS.includes(byte))
  const secret = new Uint8Array(size).map((_, index) => ((values[2 * index] ?? 0) << 4) | (values[2 * index + 1] ?? 0))
  for (const bytes of [file, digits, values]) bytes.fill(0)
  return good && !isZero(secret) ? { head, secret } : undefined
}
