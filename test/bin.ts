// The commands under their names in a folder for $PATH, as a person has them who installed them.

import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { COMMANDS } from '../lib/edge/commands.ts'
import { argvOf } from './command.ts'
import type { Stage } from './peer.ts'

/** $PATH with the commands in front, and the worked examples behind them. */
export function pathWithCommands(stage: Stage): string {
  const folder = join(stage.dir, 'bin')
  mkdirSync(folder)
  for (const { name } of COMMANDS) {
    const [node = '', ...before] = argvOf(name)
    const [file = ''] = before
    if (before.length === 1) symlinkSync(file, join(folder, name))
    else writeFileSync(join(folder, name), `#!/bin/sh\nexec ${[node, ...before].map((word) => `'${word}'`).join(' ')} "$@"\n`, { mode: 0o755 })
  }
  return `${folder}:${process.cwd()}/examples:${process.env['PATH'] ?? ''}`
}
