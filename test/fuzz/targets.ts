// All targets.

import { FILE } from './filetargets.ts'
import { NET } from './nettargets.ts'
import type { Target } from './target.ts'
import { TEXT } from './texttargets.ts'
import { WIRE } from './wiretargets.ts'

export const TARGETS: readonly Target[] = [...WIRE, ...NET, ...TEXT, ...FILE]
