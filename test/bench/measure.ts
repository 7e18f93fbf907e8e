// Runs one program to its end and says what it took; finds the programs we are compared with. Linux only: CPU time comes
// from /proc/self/stat, in ticks of 10 ms, so that it means something over many runs only.

import { type ChildProcess, spawn } from 'node:child_process'
import { accessSync, closeSync, constants, existsSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

export interface Took {
  /** From the call that starts it to its end. */
  ms: number
  /** User and system time of all children that ended meanwhile. */
  cpuMs: number
}

export interface TimedOptions {
  env?: Record<string, string>
  cwd?: string
  /** Paths; nothing is read and what is written is lost, without. */
  stdin?: string
  stdout?: string
}

const TICK_MS = 10 // USER_HZ is 100 on every Linux

/** proc_pid_stat(5) from field 3 on, what follows the name. */
function statFields(process: string): string[] {
  const stat = readFileSync(`/proc/${process}/stat`, 'latin1')
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')
}

/** CPU time of all children of this process that have been waited for. */
function childrenCpuMs(): number {
  const fields = statFields('self')
  return (Number(fields[13]) + Number(fields[14])) * TICK_MS
}

/** CPU time of a running process. */
export function processCpuMs(pid: number): number {
  const fields = statFields(String(pid))
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS
}

/** Runs `argv`, which must exit 0: anything else is thrown with what it said. */
export async function timed(argv: string[], options: TimedOptions = {}): Promise<Took> {
  const [program = '', ...args] = argv
  const input = openSync(options.stdin ?? '/dev/null', 'r')
  const output = openSync(options.stdout ?? '/dev/null', 'w', 0o600)
  const env = { PATH: process.env['PATH'] ?? '', HOME: '/nonexistent', ...options.env }
  const cpu = childrenCpuMs()
  const start = performance.now()
  const child = spawn(program, args, { env, cwd: options.cwd, stdio: [input, output, 'pipe'] })
  let said = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (said += text))
  const ended = await new Promise<string>((resolve) => {
    child.on('error', (error) => resolve(String(error)))
    child.on('exit', (code, signal) => resolve(code === 0 ? '' : `exit ${code ?? signal}`))
  })
  const ms = performance.now() - start
  const cpuMs = childrenCpuMs() - cpu
  closeSync(input)
  closeSync(output)
  if (ended !== '') throw new Error(`${argv.join(' ')}: ${ended}: ${said}`)
  return { ms, cpuMs }
}

/** The first of these programs that is not in $PATH. */
export function missing(...programs: string[]): string | undefined {
  return programs.find((program) => !(process.env['PATH'] ?? '').split(':').some((folder) => executable(join(folder, program))))
}

function executable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** Resident memory of a process in MiB: VmRSS of proc(5). */
export function residentMiB(pid: number): number {
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return Number(kib) / 1024
}

/** The most resident memory a process has had so far, in MiB: VmHWM of proc(5). */
export function peakMiB(pid: number): number {
  const kib = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return Number(kib) / 1024
}

/** True if somebody waits for connections at this port: proc_net_tcp(5). Asking uses none up. */
export function listens(port: number): boolean {
  const place = `:${port.toString(16).toUpperCase().padStart(4, '0')} `
  const tables = ['/proc/net/tcp', '/proc/net/tcp6'].filter((path) => existsSync(path))
  return tables.some((path) => {
    const rows = readFileSync(path, 'latin1').split('\n')
    return rows.some((row) => row.includes(place) && / 0A /.test(row))
  })
}

export function pidOf(child: ChildProcess): number {
  if (child.pid === undefined) throw new Error('node did not start')
  return child.pid
}
