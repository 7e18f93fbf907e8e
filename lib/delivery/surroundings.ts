// Where this home and the commands are, as p2p-id setup writes it into other programs' configurations.

import type { Home } from '../disk/home.ts'
import { loadSelf } from '../disk/self.ts'
import { programFolder, siblingPaths } from '../edge/dispatch.ts'
import type { Surroundings } from '../edge/snippet.ts'

/** Where completions lie, seen from the program: in the source tree and the package, then as installed. */
const COMPLETIONS: Readonly<Record<string, readonly string[]>> = {
  bash: ['../completions/p2p.bash', '../../share/bash-completion/completions/p2p'],
  zsh: ['../completions/_p2p', '../../share/zsh/site-functions/_p2p', '../../share/zsh/vendor-completions/_p2p'],
  fish: ['../completions/p2p.fish', '../../share/fish/vendor_completions.d/p2p.fish'],
}

const COMMANDS = ['p2p-id', 'p2p-inbox', 'p2p-listen', 'p2p-queue', 'p2p-send', 'p2p-sendmail']

/** Bytes that the first line of a command may have. */
const FIRST_LINE = 512

/** Throws Failure 78 without an identity. */
export async function surroundings(home: Home): Promise<Surroundings> {
  const { name, key } = await loadSelf(home)
  const argvs = new Map<string, string[]>()
  for (const command of COMMANDS) argvs.set(command, await argvOf(home, command))
  const completions: Record<string, string> = {}
  for (const [shell, paths] of Object.entries(COMPLETIONS)) {
    for (const path of paths.map((each) => joined(programFolder(), each))) {
      if ((await home.files.stat(path)) !== undefined) completions[shell] ??= path
    }
  }
  return { home: home.path, key, name, completions, run: (command) => argvs.get(command) ?? [command] }
}

/** The command as it was installed; with node in front unless its first line names node by an absolute path. */
async function argvOf(home: Home, command: string): Promise<string[]> {
  for (const path of siblingPaths(command)) {
    if ((await home.files.stat(path)) === undefined) continue
    return /^#!\/\S*\/node\S*$/.test(await firstLine(home, path)) ? [path] : [process.execPath, path]
  }
  return [command]
}

async function firstLine(home: Home, path: string): Promise<string> {
  const handle = await home.files.open(path, 'read')
  try {
    return new TextDecoder().decode(await handle.read(0, FIRST_LINE)).split('\n', 1)[0] ?? ''
  } finally {
    await handle.close()
  }
}

function joined(folder: string, relative: string): string {
  const parts = folder.split('/')
  for (const part of relative.split('/')) {
    if (part === '..') parts.pop()
    else parts.push(part)
  }
  return parts.join('/')
}
