// Rows of one call each, where starting is what costs: each is paired with a bare node, in turns, so that both sides
// see the same machine. And the memory of a listener that does nothing.

import { spawn } from 'node:child_process'

import { pause, type Peer } from '../peer.ts'
import type { Figure, Goal, Side } from './figure.ts'
import { pidOf, residentMiB, timed, type TimedOptions, type Took } from './measure.ts'
import { People } from './people.ts'
import { scaled } from './scale.ts'

const PAIRS = scaled(40, 12)
const LISTED = 100 // messages in the lists
const LISTENERS = scaled(5, 2)
const SETTLE_MS = 3000 // an idle process has collected what starting left

const bare = (): Promise<Took> => timed([process.execPath, '-e', '0'])

/** Runs both sides in turns, now one first, now the other; the first run of all is not counted. */
async function paired(what: string, run: () => Promise<Took>): Promise<{ ours: Side; peer: Side }> {
  const ours: Side = { what, samples: [], cpuMs: [] }
  const peer: Side = { what: 'node -e 0', samples: [], cpuMs: [] }
  const turn = async (side: Side, work: () => Promise<Took>): Promise<void> => {
    const { ms, cpuMs } = await work()
    side.samples.push(ms)
    side.cpuMs?.push(cpuMs)
  }
  await run() // once for the page cache
  for (let i = 0; i < PAIRS; i++) {
    if (i % 2 === 0) await turn(ours, run)
    await turn(peer, bare)
    if (i % 2 === 1) await turn(ours, run)
  }
  return { ours, peer }
}

/** One line, as from a pipe. */
function lineFile(people: People): string {
  return people.alice.file('line', 'see you at eight?\n')
}

const atMost = (least: number, aim: number): Goal => ({ kind: 'ratio', good: 'less', least, aim })

/** Row 1: accept one line durably and end. */
export async function start(): Promise<Figure[]> {
  const figures: Figure[] = []
  await People.with(async (people) => {
    const stdin = lineFile(people)
    const sides = await paired('p2p-send --queue-only', () => people.run('p2p-send', ['bob', '--queue-only'], { stdin }))
    figures.push({ row: 'start', what: 'one line into the queue, whole process', unit: 'ms', ...sides, goal: atMost(1.6, 1.2) })
  })
  return figures
}

/** Row 2: accept one line and deliver it to a running listener, durable at both ends: by a call of its own, and by the own listener's. */
export async function deliver(): Promise<Figure[]> {
  const figures: Figure[] = []
  await People.with(async (people) => {
    const stdin = lineFile(people)
    await people.listen(people.bob)
    const run = (): Promise<Took> => people.run('p2p-send', ['bob', '-w', '60s'], { stdin })
    const measure = async (what: string, count: number): Promise<void> => {
      const sides = await paired('p2p-send', run)
      if (people.arrived() !== count * (PAIRS + 1)) throw new Error(`${people.arrived()} messages arrived, not ${count * (PAIRS + 1)}`)
      figures.push({ row: 'deliver', what: `${what}, whole process`, unit: 'ms', ...sides, goal: atMost(2.2, 1.5) })
    }
    await measure('one line delivered', 1)
    await people.listen(people.alice)
    await measure('one line delivered, by the own listener', 2)
  })
  return figures
}

/** Row 3: commands that only look. */
export async function look(): Promise<Figure[]> {
  const figures: Figure[] = []
  await People.with(async (people) => {
    const { alice, bob } = people
    const lines = Array.from({ length: LISTED }, (_, i) => `message ${i}, one line of text\n`).join('')
    const stdin = alice.file('lines', lines)
    const listener = await people.listen(bob)
    await people.run('p2p-send', ['bob', '--lines', '-w', '60s'], { stdin })
    await listener.stop()
    await people.run('p2p-send', ['bob', '--lines', '--queue-only'], { stdin })
    const measure = async (peer: Peer, command: string, verb: string, options: TimedOptions = {}): Promise<void> => {
      const name = `${command} ${verb}`
      const sides = await paired(name, () => people.run(command, [verb], { ...options, peer }))
      const what = verb === 'list' ? `${name} of ${LISTED}, whole process` : `${name}, whole process`
      figures.push({ row: 'look', what, unit: 'ms', ...sides, goal: atMost(1.6, 1.2) })
    }
    await measure(alice, 'p2p-id', 'token')
    await measure(alice, 'p2p-queue', 'list')
    await measure(bob, 'p2p-inbox', 'list')
  })
  return figures
}

/** Resident memory of a listener with one contact and nothing to do, over a node that does nothing. */
export async function memory(): Promise<Figure[]> {
  const ours: Side = { what: 'p2p-listen, idle', samples: [] }
  const peer: Side = { what: 'bare node', samples: [] }
  await People.with(async (people) => {
    for (let i = 0; i < LISTENERS; i++) {
      const node = spawn(process.execPath, ['-e', 'setInterval(() => 0, 1e9)'], { stdio: 'ignore' })
      try {
        const listener = await people.listen(people.bob)
        await pause(SETTLE_MS)
        ours.samples.push(residentMiB(listener.pid))
        peer.samples.push(residentMiB(pidOf(node)))
        await listener.stop()
      } finally {
        node.kill()
      }
    }
  })
  const goal: Goal = { kind: 'over', good: 'less', least: 25, aim: 12 }
  return [{ row: 'memory', what: 'resident memory of an idle listener', unit: 'MiB', ours, peer, goal }]
}
