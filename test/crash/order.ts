// The order of the system calls of one delivery, held against p2p-spool(5). Killing a process shows every wrong order of
// what a process does, but not an fsync that is missing or comes too late: a killed process loses nothing of what it
// wrote. Here each one has its place between two others, so that whoever leaves it out or moves it breaks a line.

import { argvOf } from '../command.ts'
import type { Cast } from './cast.ts'
import type { Play, Scene } from './scenes.ts'
import { soundly } from './series.ts'
import { Tracing, TWO_THREADS } from './trace.ts'

const CALLS = ['write', 'writev', 'pwrite64', 'openat', 'fsync', 'fdatasync', 'rename', 'link', 'unlink', 'mkdir', 'rmdir']

/** One call, in the words of p2p-spool(5): `fdatasync seen`, `rename sent/tmp/MAIL sent/cur/MAIL:2,FS`, `write socket`. */
export interface Deed {
  what: string
  begin: number
  end: number
}

/** Each must come after the one before it has ended, the first time it comes after that. */
type Chain = readonly string[]

export interface Rules {
  /** What is ordered, as the manual says it. */
  chains: readonly Chain[]
  /** From the first to the last, both the first of their kind, nothing is said to the other side. */
  silent: readonly (readonly [string, string])[]
}

const ACCEPT: readonly Chain[] = [
  ['write queue/KEY/tmp/NAME', 'fdatasync queue/KEY/tmp/NAME', 'rename queue/KEY/tmp/NAME queue/KEY/new/NAME', 'fsync queue/KEY/new'],
  ['fsync queue/KEY/new', 'rename sent/tmp/MAIL sent/cur/MAIL:2,FS', 'fsync sent/cur', 'say queued', 'write socket'],
  ['write sent/tmp/MAIL', 'fdatasync sent/tmp/MAIL', 'rename queue/KEY/tmp/NAME queue/KEY/new/NAME'],
  ['mkdir queue/KEY', 'mkdir queue/KEY/new', 'fsync queue/KEY', 'fsync queue', 'mkdir queue/KEY/tmp', 'create queue/KEY/tmp/NAME'],
]
const BODY: readonly Chain[] = [
  ['write queue/stage/R/0', 'fdatasync queue/stage/R/0', 'fsync queue/stage/R', 'link queue/stage/R/0 queue/KEY/body/ID/0'],
  ['mkdir queue/KEY/body/ID', 'link queue/stage/R/0 queue/KEY/body/ID/0', 'fsync queue/KEY/body/ID', 'fsync queue/KEY/body'],
  ['fsync queue/KEY/body', 'rename queue/KEY/tmp/NAME queue/KEY/new/NAME'],
]
const KEPT: readonly Chain[] = [
  ['fdatasync sent/tmp/MAIL', 'link queue/stage/R/0 files/ID/0', 'fsync files/ID', 'fsync files', 'rename queue/KEY/tmp/NAME queue/KEY/new/NAME'],
]
const HELLO: Chain = ['fdatasync hello/last.tmp', 'rename hello/last.tmp hello/last', 'fsync hello', 'write socket']
const SETTLE: Chain = ['rename sent/cur/MAIL:2,FS sent/cur/MAIL:2,S', 'fsync sent/cur', 'unlink queue/KEY/new/NAME', 'fsync queue/KEY/new']
const COMMIT = ['fsync part/KEY', 'write seen', 'fdatasync seen']
const SHOW = ['fsync inbox/new', 'write socket']

/** The rules for whoever meets the fault in a scene. */
export function rulesOf({ role, kind }: Scene): Rules {
  if (!role.endsWith('receive')) {
    const accept = role !== 'send' ? [] : [...ACCEPT, ...(kind === 'text' ? [] : BODY), ...(kind === 'big' ? KEPT : [])]
    const emptied = kind === 'text' ? [] : [['fsync queue/KEY/new', 'unlink queue/KEY/body/ID/0', 'rmdir queue/KEY/body/ID']]
    return { chains: [...accept, HELLO, SETTLE, ...emptied], silent: [] }
  }
  const called: readonly Chain[] =
    role === 'listen and receive' ? [['write hello/KEY', 'fdatasync hello/KEY', 'fsync hello', 'write socket']] : [HELLO]
  const silent: [string, string][] = role === 'listen and receive' ? [['write hello/KEY', 'fdatasync hello/KEY']] : []
  if (kind === 'text') {
    const part = 'part/KEY/ID.TAG'
    const chain = [`write ${part}`, `fdatasync ${part}`, ...COMMIT, `rename ${part} inbox/new/MAIL`, ...SHOW]
    return { chains: [...called, chain], silent: [...silent, [`create ${part}`, `rename ${part} inbox/new/MAIL`]] }
  }
  const part = 'part/KEY/ID.TAG'
  const begun = [`mkdir ${part}`, `write ${part}/head`, `fdatasync ${part}/head`, `fsync ${part}`, 'fsync part/KEY', `write ${part}/0`]
  const written = [`write ${part}/0`, `fdatasync ${part}/0`, `create ${part}/mail`]
  const mail = [`write ${part}/mail`, `fdatasync ${part}/mail`, `fsync ${part}`, ...COMMIT]
  const placed = ['fdatasync seen', `rename ${part}/mail inbox/new/MAIL`, 'fsync inbox/new', `unlink ${part}/head`, `rmdir ${part}`, 'write socket']
  const big = [
    ['fdatasync seen', 'mkdir files/ID', 'fsync files', `rename ${part}/0 files/ID/0`, 'fsync files/ID', `rename ${part}/mail inbox/new/MAIL`],
    [`fdatasync ${part}/0`, `write ${part}/chunks`, `fdatasync ${part}/chunks`, `create ${part}/mail`],
  ]
  return {
    chains: [...called, begun, written, mail, placed, ...(kind === 'big' ? big : [])],
    silent: [...silent, [`create ${part}/mail`, `rename ${part}/mail inbox/new/MAIL`]],
  }
}

/** Plays the scene without a fault; what was done in it, in the order in which it was begun. */
export async function deedsOf(cast: Cast, play: Play): Promise<Deed[]> {
  const tracing = new Tracing(cast, CALLS, ['--seccomp-bpf', '-y'])
  const { path } = play.scene.role.endsWith('receive') ? cast.bob : cast.alice
  let deeds: Deed[] = []
  await soundly(play, {
    argv: (command) => [...tracing.argv, ...argvOf(command)],
    env: TWO_THREADS,
    async missed(pid) {
      const { calls } = await tracing.read(pid)
      deeds = calls.flatMap(({ call, rest, begin, end }) => {
        const what = / = -1 /.test(rest) ? undefined : inWords(call, rest, path)
        return what === undefined ? [] : [{ what, begin, end }]
      })
      return undefined
    },
  })
  return deeds
}

/** The rules that are broken. */
export function breaches(deeds: readonly Deed[], { chains, silent }: Rules): string[] {
  const wrong: string[] = []
  for (const chain of chains) {
    let after = -1
    let before = 'the beginning'
    for (const what of chain) {
      const next = deeds.find((deed) => deed.what === what && deed.begin > after)
      if (next === undefined) {
        wrong.push(`no '${what}' after '${before}'`)
        break
      }
      after = next.end
      before = what
    }
  }
  for (const [first, last] of silent) {
    const from = deeds.find(({ what }) => what === first)?.begin ?? 0
    const to = deeds.find(({ what }) => what === last)?.end ?? Infinity
    const said = deeds.some(({ what, begin }) => what === 'write socket' && begin > from && begin < to)
    if (said) wrong.push(`something is said between '${first}' and '${last}'`)
  }
  return wrong
}

/** Undefined for what is no business of the order. */
function inWords(call: string, rest: string, home: string): string | undefined {
  const names = [...rest.matchAll(/[<"]([^<>"]*)[>"]/g)].map(([, name = '']) => name)
  if (call.includes('write')) {
    const [to = ''] = names
    if (/^\([12]</.test(rest)) return rest.includes('\\"type\\":\\"queued\\"') ? 'say queued' : undefined
    if (to.startsWith('socket:')) return 'write socket'
    return to.startsWith(home) ? `write ${plain(to, home)}` : undefined
  }
  const paths = names.filter((name) => name.startsWith(home)).map((name) => plain(name, home))
  if (call === 'openat') return rest.includes('O_CREAT') && paths[0] !== undefined ? `create ${paths[0]}` : undefined
  return paths.length === 0 ? undefined : `${call} ${paths.join(' ')}`
}

/** A path in the home with what is different each time put into words. */
function plain(path: string, home: string): string {
  return path
    .slice(home.length + 1)
    .replace(/\b\d{16}\.[0-9a-f]{64}\b/, 'NAME')
    .replace(/\b\d{16}\.[0-9a-f]{32}\.p2p\b/, 'MAIL')
    .replace(/\b[0-9a-f]{64}\b/, 'ID')
    .replace(/^(part\/.*\.)[0-9a-f]{16}\b/, '$1TAG')
    .replace(/^queue\/stage\/[0-9a-f]{16}/, 'queue/stage/R')
    .replace(/\.tmp\.[0-9a-f]{12}$/, '.tmp')
    .replace(/\b[1-9A-HJ-NP-Za-km-z]{42,44}\b/, 'KEY')
}
