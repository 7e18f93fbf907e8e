// System calls as points of a sweep, by strace's fault injection: a process is killed as it enters the n-th call of a
// kind in one of its threads, or that call fails with an error without being done.
//
// How is counted: strace counts each kind of call in each thread by itself. Under UV_THREADPOOL_SIZE=1 and without
// io_uring a command has two threads that work on files: the main one (whatever is done in place, and sockets), and the
// pool's one (fsync, unlink, listings, large reads and writes, and its wake-ups of the main thread, which are writes as
// well). Where both make calls of a kind, the count of the one that is meant is put beyond the reach of the other's: it
// makes so many calls without effect first (shim()), and strace's `when` is that much higher. Calls before the first
// that names the home are not counted: they are node's, and nothing has happened yet.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { argvOf } from '../command.ts'
import type { Cast } from './cast.ts'
import type { Doom, Play, Scene } from './scenes.ts'
import { type Series, soundly } from './series.ts'
import { type Traced, Tracing, TWO_THREADS } from './trace.ts'

/** The calls that change what is on disk, or reach the other side. */
const CALLS = [
  'openat',
  'write',
  'writev',
  'sendmsg',
  'pwrite64',
  'fsync',
  'fdatasync',
  'rename',
  'link',
  'unlink',
  'mkdir',
  'rmdir',
  'ftruncate',
  'utimensat',
  'chmod',
] as const

type Call = (typeof CALLS)[number]
type Thread = 'main' | 'pool'
type Fault = 'KILL' | 'EIO' | 'ENOSPC' | 'EINTR'

const FAULTS: readonly Fault[] = ['KILL', 'EIO', 'ENOSPC', 'EINTR']

/** Calls that take room on the disk, of the opening ones those that make a file: ENOSPC is for them alone. */
const TAKES_ROOM: readonly Call[] = ['openat', 'write', 'pwrite64', 'fsync', 'fdatasync', 'rename', 'link', 'mkdir']

/** With what libuv wakes its threads and tells itself of signals (the last); it aborts, or loses the signal, if that fails. */
const WAKES = /^\(\d+, (?:"\*", 1|"\\1(?:\\0){7}", 8|".*", 16)\)/

/** How often the threads wake each other, packets are split and files are looked at is not the same every time. */
const WAVERING: readonly Call[] = ['openat', 'write', 'writev', 'sendmsg']

/** What can be opened to write without anything outliving the process. */
const OPENS_TO_WRITE = /O_CREAT|O_WRONLY|O_RDWR|O_TRUNC/
const PASSING = /^\(AT_FDCWD, "\/(?:dev|proc\/self)\/.* = (\d+)$/

export interface Counted {
  series: Series[]
  /** Calls of node's own start, which are no points: nothing that they do outlives the process. */
  before: number
}

/** Plays a scene without a fault under strace, and counts. Throws if anything outlives node's own start. */
export async function countCalls(cast: Cast, play: Play): Promise<Counted> {
  const tracing = new Tracing(cast, CALLS, ['--seccomp-bpf'])
  let all: Traced[] = []
  let main = 0
  await soundly(play, {
    argv: (command) => [...tracing.argv, ...argvOf(command)],
    env: TWO_THREADS,
    async missed(pid) {
      main = pid
      all = (await tracing.read(pid)).calls
      return undefined
    },
  })
  const start = all.findIndex(({ rest }) => rest.includes(cast.stage.dir) && rest.includes('home.json'))
  if (start < 0) throw new Error('the home is not named')
  leavesNothing(all.slice(0, start))
  // V8's threads only ever wake the main one, and look at how the system gives memory and how many processors it has.
  const looks = /"\/(?:proc\/sys\/vm|sys\/devices\/system\/cpu)\//
  const ours = all.slice(start).filter(({ call, rest }) => call !== 'write' && !looks.test(rest))
  const threads = new Set(ours.map(({ tid }) => tid))
  if (threads.size > 2) throw new Error(`${threads.size} threads make the calls`)
  const found: Series[] = []
  for (const thread of ['main', 'pool'] as const) {
    for (const call of CALLS) {
      const mine = all.filter((one) => one.call === call && (one.tid === main) === (thread === 'main'))
      const others = all.filter((one) => one.call === call).length - mine.length
      for (const fault of FAULTS) {
        const points = mine.flatMap((one, i) => (all.indexOf(one) >= start && meets(fault, one, play.scene) ? [i + 1] : []))
        if (points.length === 0) continue
        found.push({
          name: `${thread} ${call} ${fault}`,
          points,
          total: mine.length,
          wavers: WAVERING.includes(call),
          strike: (n) => strike(cast, { thread, call, others }, fault, n),
        })
      }
    }
  }
  return { series: found, before: start }
}

/** Throws unless these calls, node's own before the command has begun, leave nothing behind when the process is gone. */
function leavesNothing(calls: readonly Traced[]): void {
  const passing = new Set<string>()
  for (const { call, rest } of calls) {
    const opened = call === 'openat' ? PASSING.exec(rest)?.[1] : undefined
    if (opened !== undefined) passing.add(opened)
    else if (call === 'openat' && !OPENS_TO_WRITE.test(rest)) continue
    else if (call === 'write' && (WAKES.test(rest) || passing.has(/^\((\d+)/.exec(rest)?.[1] ?? ''))) continue
    else throw new Error(`before the command has begun: ${call}${rest}`)
  }
}

interface Kind {
  thread: Thread
  call: Call
  /** So many of these the other thread makes. */
  others: number
}

/** Whether a fault makes sense for a call. What is woken by which write is taken from the run that was counted. */
function meets(fault: Fault, { call, rest }: Traced, { kind }: Scene): boolean {
  if (fault === 'KILL') return true
  if (call === 'write' && WAKES.test(rest)) return false
  if (fault === 'EINTR') return kind === 'three' // libuv's business: one kind of message shows it for all
  return fault === 'EIO' || (TAKES_ROOM.includes(call as Call) && (call !== 'openat' || rest.includes('O_CREAT')))
}

/** The n-th call of a kind meets its fault. */
function strike(cast: Cast, { thread, call, others }: Kind, fault: Fault, n: number): Doom {
  const ahead = others === 0 ? 0 : others + 64
  const what = fault === 'KILL' ? 'signal=KILL' : `error=${fault}`
  // Under --seccomp-bpf, which is faster, no signal is sent.
  const more = ['-e', `inject=${call}:${what}:when=${ahead + n}`, ...(fault === 'KILL' ? [] : ['--seccomp-bpf'])]
  const tracing = new Tracing(cast, [call], more)
  const env: Record<string, string> = { ...TWO_THREADS }
  if (ahead > 0) {
    env['NODE_OPTIONS'] = `--require=${shim(cast)}`
    env['CRASH_AHEAD'] = `${thread} ${call} ${ahead}`
  }
  return {
    argv: (command) => [...tracing.argv, ...argvOf(command)],
    env,
    async missed(pid) {
      const { calls, end } = await tracing.read(pid)
      const mine = calls.filter(({ tid }) => (tid === pid) === (thread === 'main'))
      const hit = mine[ahead + n - 1]
      const miss = { made: mine.length - ahead, wanted: n }
      if (hit === undefined) return { why: `${miss.made} calls of ${call} in the ${thread} thread`, ...miss }
      // In this run it was libuv's own.
      if (fault !== 'KILL' && call === 'write' && WAKES.test(hit.rest)) return { why: `${fault} met a wake-up`, made: n - 1, wanted: n }
      const met = fault === 'KILL' ? end === 'killed by SIGKILL' && hit === mine.at(-1) : hit.rest.endsWith('(INJECTED)')
      return met ? undefined : { why: `${fault} did not meet ${call}${hit.rest}, ${end}`, ...miss }
    },
  }
}

const shims = new Map<Cast, string>()

/** A program for node to load first, which makes calls without effect in one of the threads. */
function shim(cast: Cast): string {
  const made = shims.get(cast)
  if (made !== undefined) return made
  const path = join(cast.stage.dir, 'ahead.cjs')
  writeFileSync(
    path,
    `const fs = require('node:fs')
const [thread, call, count] = (process.env.CRASH_AHEAD ?? 'main none 0').split(' ')
delete process.env.CRASH_AHEAD
const nothing = () => undefined
const attempt = (work) => { try { work() } catch {} }
const file = fs.openSync('/dev/null', 'w')
const byte = Buffer.alloc(1)
const calls = {
  main: {
    openat: () => fs.closeSync(fs.openSync('/dev/null')),
    write: () => fs.writeSync(file, byte, 0, 1),
    pwrite64: () => fs.writeSync(file, byte, 0, 1, 0),
    mkdir: () => fs.mkdirSync('/'),
    rmdir: () => fs.rmdirSync('/dev/null'),
    rename: () => fs.renameSync('/dev/null/a', '/dev/null/b'),
    link: () => fs.linkSync('/dev/null/a', '/dev/null/b'),
    unlink: () => fs.unlinkSync('/dev/null/a'),
    utimensat: () => fs.utimesSync('/dev/null/a', 0, 0),
  },
  pool: {
    openat: () => fs.open('/dev/null', (error, fd) => fs.closeSync(fd)),
    write: () => fs.write(file, byte, 0, 1, nothing),
    pwrite64: () => fs.write(file, byte, 0, 1, 0, nothing),
    mkdir: () => fs.mkdir('/', nothing),
    rmdir: () => fs.rmdir('/dev/null', nothing),
    rename: () => fs.rename('/dev/null/a', '/dev/null/b', nothing),
    link: () => fs.link('/dev/null/a', '/dev/null/b', nothing),
    unlink: () => fs.unlink('/dev/null/a', nothing),
    utimensat: () => fs.utimes('/dev/null/a', 0, 0, nothing),
  },
}
for (let n = 0; n < Number(count); n++) attempt(calls[thread][call])
`,
  )
  shims.set(cast, path)
  return path
}
