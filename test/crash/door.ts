// What stands in place of lib/disk/files.ts in the bundles of the second sweep (bundles.ts): the same door, whose n-th
// step meets a fate. Nothing of it is in the bundles that are shipped.
//
//   CRASH_AT='17 KILL'    step 17, and what happens there
//   CRASH_LOG=FILE        each step, and whether it met its fate, is appended to FILE

import { shorten } from './shortwrite.ts'

import { appendFileSync } from 'node:fs'

import type { Files } from '../../lib/disk/files.ts'
import { type Fate, mortal } from '../mortal.ts'

export * from '../../lib/disk/files.ts'

const [at = '', fate] = (process.env['CRASH_AT'] ?? '').split(' ')
const log = process.env['CRASH_LOG'] ?? '/dev/null'

export const nodeFiles: Files = mortal(at === '' ? Infinity : Number(at), {
  ...(fate !== undefined && { fate: fate as Fate }),
  told: (what, met) => appendFileSync(log, `${met ? '! ' : ''}${what}\n`),
  shorten,
}).files
