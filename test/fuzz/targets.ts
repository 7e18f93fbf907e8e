// All targets.

import { FILE } from './filetargets.ts'
import { NET } from './nettargets.ts'
import { PLANTED } from './planted.ts'
import type { Target } from './target.ts'
import { TEXT } from './texttargets.ts'
import { WIRE } from './wiretargets.ts'

export const TARGETS: readonly Target[] = [...WIRE, ...NET, ...TEXT, ...FILE]

/** By its name; those with planted faults as well, which make fuzz does not run. */
export function findTarget(name: string): Target {
  const found = [...TARGETS, ...PLANTED].find((target) => target.name === name)
  if (found === undefined) throw new Error(`no target ${name}`)
  return found
}
