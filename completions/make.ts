// The completions of bash, zsh and fish, made from the tables of the commands: `make completions` writes them, and a
// test holds what is checked in against them. Each shell has an engine in parts/ that knows no command; the tables
// become its data. They hold nothing from a user or a peer, and are quoted for the shell all the same.

import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

import { COMMANDS } from '../lib/edge/commands.ts'
import type { Command } from '../lib/edge/table.ts'
import { bash } from './parts/bash.ts'
import { fish } from './parts/fish.ts'
import { zsh } from './parts/zsh.ts'

/** What is checked in, by file name. */
export const FILES: Record<string, (commands: readonly Command[]) => string> = {
  'p2p.bash': bash,
  _p2p: zsh,
  'p2p.fish': fish,
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const [name, make] of Object.entries(FILES)) writeFileSync(new URL(name, import.meta.url), make(COMMANDS))
}
