// Runs a command as users do, for tests: the built bundle if it is newer than the sources, else the sources. Whatever it
// prints must be records of p2p-record(5), unless it was asked for something else.

import { readdirSync, statSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

import { execa } from 'execa'

import { checkLines } from './records.ts'

export interface Ran {
  code: number | undefined
  signal: string | undefined
  out: string
  err: string
}

export interface RunOptions {
  home?: string
  input?: string | Uint8Array
  env?: Record<string, string>
  cwd?: string
}

/** No test sends anything to the router or the network of the machine it runs on. */
export const NEIGHBOURLESS = { P2P_MAP: 'false', P2P_LAN: 'false' } as const

const ROOT = fileURLToPath(new URL('..', import.meta.url))

function newest(folder: string): number {
  const times = readdirSync(folder, { recursive: true }).map((name) => statSync(`${folder}/${String(name)}`).mtimeMs)
  return Math.max(...times)
}

/** argv of a command, e.g. argvOf('p2p-id'). */
export function argvOf(command: string): string[] {
  const built = `${ROOT}dist/${command}.cjs`
  const time = statSync(built, { throwIfNoEntry: false })?.mtimeMs ?? 0
  if (time > Math.max(newest(`${ROOT}bin`), newest(`${ROOT}lib`))) return [process.execPath, built]
  // an URL: node would look for a bare 'tsx' in the directory the command runs in
  return [process.execPath, '--import', import.meta.resolve('tsx'), `${ROOT}bin/${command}.ts`]
}

/** Runs a command to its end, in a session of its own without a terminal. Never throws for an exit code. */
export async function runCommand(command: string, args: string[], options: RunOptions = {}): Promise<Ran> {
  const [program = '', ...before] = argvOf(command)
  const { home, input = '', env = {}, cwd } = options
  const ran = await execa(program, [...before, ...args], {
    reject: false,
    detached: true, // setsid(2): a prompt on /dev/tty must fail here, not wait for the developer
    stripFinalNewline: false,
    extendEnv: false,
    env: {
      PATH: process.env['PATH'] ?? '',
      HOME: '/nonexistent',
      ...NEIGHBOURLESS,
      ...(home !== undefined && { P2P_HOME: home }),
      ...env,
    },
    input,
    timeout: 60_000,
    ...(cwd !== undefined && { cwd }),
  })
  const out = String(ran.stdout)
  if (!args.includes('--text') && !args.slice(0, 2).includes('cat')) checkLines(out)
  return { code: ran.exitCode, signal: ran.signal, out, err: `${String(ran.stderr)}${ran.timedOut ? '(no end within 60 s)' : ''}` }
}
