// Where test data written by others lies: $P2P_VECTORS, or shared/vectors beside the checkout. It is used in place and
// never copied here; a test whose data is absent says so and relies on the published values typed into it.

import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const BESIDE = fileURLToPath(new URL('../../shared/vectors', import.meta.url))

/** Where a file or folder of them is, if it is there. */
export function vectorsAt(name: string): string {
  const wanted = process.env['P2P_VECTORS'] ?? ''
  return join(wanted === '' ? BESIDE : wanted, name)
}

/** The text of a vector file, e.g. 'noise/cacophony.txt'; undefined, and a line on stdout, if it is not there. */
export function readVectors(name: string): string | undefined {
  const path = vectorsAt(name)
  if (existsSync(path)) return readFileSync(path, 'utf8')
  skipped(`no ${name} (set P2P_VECTORS)`)
  return undefined
}

/** Says what was not tested, in the form every test file uses. */
export function skipped(why: string): void {
  console.log(`skip: ${why}`)
}

/** The tests of a Wycheproof file, each with the fields of its group; undefined if the file is not there. */
export function readWycheproof(name: string): Record<string, string | number>[] | undefined {
  const text = readVectors(`wycheproof/${name}`)
  if (text === undefined) return undefined
  const file = JSON.parse(text) as { testGroups: { tests: object[] }[] }
  return file.testGroups.flatMap((group) => group.tests.map((one) => ({ ...group, ...one }))) as never
}
