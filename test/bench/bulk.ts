// Rows of many messages and of much: enqueueing from a stream, flushing to a listener, one large file.

import { closeSync, mkdirSync, openSync, readFileSync, rmSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'

import { noise, port, type Running, until } from '../peer.ts'
import type { Figure, Side } from './figure.ts'
import { warm } from './ground.ts'
import { listens, missing, processCpuMs, timed, type Took } from './measure.ts'
import { DEADLINE_S, missingNncp, Nncp } from './nncp.ts'
import { People } from './people.ts'
import { scaled } from './scale.ts'

const MESSAGES = scaled(10_000, 2000)
const NNCP_FILES = scaled(100, 50) // a round; each is a process of its own
const NNCP_CARRIED = scaled(1000, 200) // a round; its cost grows with the count, ours is compared per message
export const ROUNDS = scaled(5, 1)
export const FILE_BYTES = scaled(2 ** 30, 2 ** 28)
export const WARM_BYTES = 1.5 * FILE_BYTES
export const SIZE = `${FILE_BYTES / 2 ** 20} MiB`

/** Lines for p2p-send --ndjson, in a file. */
function ordersFile(people: People): string {
  const lines = Array.from({ length: MESSAGES }, (_, i) => JSON.stringify({ to: 'bob', text: `message ${i}, one line of text` }))
  return people.alice.file('orders', lines.join('\n') + '\n')
}

async function nncpIn(people: People): Promise<Nncp> {
  const dir = join(people.stage.dir, 'nncp')
  mkdirSync(dir)
  const nncp = await Nncp.start(dir)
  people.stage.onClose(() => nncp.stop())
  return nncp
}

const queueLines = (people: People, orders: string): ReturnType<People['run']> =>
  people.run('p2p-send', ['--ndjson', '--queue-only', '--json'], { stdin: orders, stdout: join(people.stage.dir, 'told') })

/** Alice's queue to bob's listener: the whole command, and the CPU time of both sides. */
async function flushTo(people: People, listener: Running): Promise<Took> {
  const before = processCpuMs(listener.pid)
  const { ms, cpuMs } = await people.run('p2p-queue', ['flush', '-w', '600s'])
  return { ms, cpuMs: cpuMs + processCpuMs(listener.pid) - before }
}

export function expect(what: string, found: number, expected: number): void {
  if (found !== expected) throw new Error(`${what}: ${found}, not ${expected}`)
}

/** Row 4: durable messages a second of p2p-send --ndjson, against one nncp-file each. */
export async function ndjson(): Promise<Figure[]> {
  const without = missingNncp()
  const ours: Side = { what: `p2p-send --ndjson, ${MESSAGES} lines`, samples: [], cpuMs: [] }
  const peer: Side = { what: 'nncp-file', samples: [], cpuMs: [] }
  const rounds = async (left: number): Promise<void> => {
    if (left === 0) return
    await People.with(async (people) => {
      const nncp = without === undefined ? await nncpIn(people) : undefined
      const enqueue = async (): Promise<void> => {
        for (let i = 0; nncp !== undefined && i < NNCP_FILES / 2; i++) {
          const took = await nncp.file()
          peer.samples.push(1000 / took.ms)
          peer.cpuMs?.push(took.cpuMs)
        }
      }
      await enqueue() // before and after: the machine's mood is shared
      const took = await queueLines(people, ordersFile(people))
      await enqueue()
      const told = readFileSync(join(people.stage.dir, 'told'), 'utf8').split('\n').length - 1
      expect('queued records', told, MESSAGES)
      ours.samples.push((MESSAGES * 1000) / took.ms)
      ours.cpuMs?.push(took.cpuMs)
      await rounds(left - 1) // within: ext4 makes files several times as slowly for minutes after many were removed
    })
  }
  await rounds(ROUNDS)
  const goal = { kind: 'ratio', good: 'more', least: 20, aim: 60 } as const
  const figure: Figure = { row: 'ndjson', what: 'messages made durable per second', unit: '/s', ours, goal }
  return [without === undefined ? { ...figure, peer } : { ...figure, note: `${without} is not installed: no peer` }]
}

/** Row 5: messages a second from a queue into a durable inbox, against nncp-call and nncp-toss. */
export async function flush(): Promise<Figure[]> {
  const without = missingNncp()
  const ours: Side = { what: `p2p-queue flush, ${MESSAGES} messages`, samples: [], cpuMs: [] }
  const peer: Side = { what: `nncp-call + nncp-toss, ${NNCP_CARRIED} files`, samples: [], cpuMs: [] }
  for (let round = 0; round < ROUNDS; round++) {
    await People.with(async (people) => {
      await queueLines(people, ordersFile(people))
      const took = await flushTo(people, await people.listen(people.bob))
      expect('messages in the inbox', people.arrived(), MESSAGES)
      ours.samples.push((MESSAGES * 1000) / took.ms)
      ours.cpuMs?.push(took.cpuMs)
    })
    if (without !== undefined) continue
    await People.with(async (people) => {
      const nncp = await nncpIn(people)
      for (let i = 0; i < NNCP_CARRIED; i++) await nncp.file()
      const called = await nncp.call()
      const tossed = await nncp.toss()
      expect('files unpacked', nncp.arrived(), NNCP_CARRIED)
      peer.samples.push((NNCP_CARRIED * 1000) / (called.ms - DEADLINE_S * 1000 + tossed.ms))
      peer.cpuMs?.push(called.cpuMs + tossed.cpuMs)
    })
  }
  const goal = { kind: 'ratio', good: 'more', least: 8, aim: 25 } as const
  const note = `nncp carries ${NNCP_CARRIED} and is credited its ${DEADLINE_S} s deadline; cpu: all processes, of nncp without its daemon`
  const figure: Figure = { row: 'flush', what: 'messages per second, queue to inbox, durable at both ends', unit: '/s', ours, goal }
  return [without === undefined ? { ...figure, peer, note } : { ...figure, note: `${without} is not installed: no peer` }]
}

/** A file that does not repeat within the span of any compression. */
export function largeFile(path: string, bytes = FILE_BYTES): void {
  const page = noise(16 << 20, 7)
  const fd = openSync(path, 'wx')
  for (let at = 0; at < bytes; at += page.length) {
    page[0] = at >> 24
    writeSync(fd, page)
  }
  closeSync(fd)
}

/** Row 6: one large file from the queue into a durable inbox, against the same bytes through ncat --ssl. */
export async function file(): Promise<Figure[]> {
  const without = missing('ncat')
  const ours: Side = { what: `p2p-queue flush, ${SIZE} in the queue`, samples: [], cpuMs: [] }
  const peer: Side = { what: `ncat --ssl, ${SIZE}`, samples: [], cpuMs: [] }
  for (let round = 0; round < ROUNDS; round++) {
    await People.with(async (people) => {
      const source = join(people.stage.dir, 'large')
      largeFile(source)
      await people.run('p2p-send', ['bob', '--queue-only', '-a', source])
      await settle(people)
      const listener = await people.listen(people.bob)
      warm(WARM_BYTES)
      const took = await flushTo(people, listener)
      expect('messages in the inbox', people.arrived(), 1)
      ours.samples.push(took.ms / 1000)
      ours.cpuMs?.push(took.cpuMs)
      await listener.stop()
      rmSync(people.bob.path, { recursive: true })
      if (without !== undefined) return
      await settle(people)
      warm(WARM_BYTES)
      const ssl = await ncat(people, source)
      peer.samples.push(ssl.ms / 1000)
      peer.cpuMs?.push(ssl.cpuMs)
    })
  }
  const goal = { kind: 'ratio', good: 'less', least: 1, aim: 0.6 } as const
  const note = 'ncat promises nothing: no fsync, no check, and its file is not flushed when the clock stops'
  const figure: Figure = { row: 'file', what: `${SIZE}, queue to durable inbox, wire part`, unit: 's', ours, goal }
  return [without === undefined ? { ...figure, peer, note } : { ...figure, note: 'ncat is not installed: no peer' }]
}

/** Writes what is dirty on this disk to it, so that no side pays for what was written before. */
export async function settle(people: People): Promise<void> {
  await timed(['sync', '-f', people.stage.dir])
}

/**
 * The whole file through ncat --ssl into another file; ends when both processes have. The listening side sends: when the
 * calling side does, the tail is lost at times, since it resets a connection on which it left TLS tickets unread.
 */
export async function ncat(people: People, source: string): Promise<Took> {
  const own = await port()
  const sink = join(people.stage.dir, 'sink')
  const sender = timed(['ncat', '--ssl', '--send-only', '-l', '127.0.0.1', String(own)], { stdin: source })
  await until('ncat', () => listens(own)) // it makes a key first
  const start = performance.now()
  const received = await timed(['ncat', '--ssl', '--recv-only', '127.0.0.1', String(own)], { stdout: sink })
  const sent = await sender
  const ms = performance.now() - start
  const cpuMs = Math.max(sent.cpuMs, received.cpuMs) // who ended last has the other's in its own
  expect('bytes through ncat', statSync(sink).size, FILE_BYTES)
  rmSync(sink)
  return { ms, cpuMs }
}
