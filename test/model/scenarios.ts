// What is sent in the worlds that are explored.

import { Course, Tree } from './course.ts'
import { execute } from './ops.ts'
import { open, settle } from './homes.ts'
import { Machine, type Host } from './machine.ts'
import { SideStates } from './sidestate.ts'
import { Timeline } from './timeline.ts'
import { type Post, type Scenario, Trial, type World } from './trial.ts'

const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text))

const small = (from: 0 | 1, text = 'hello\n'): Post => ({ from, parts: [{ type: 'text/plain', content: bytes(text) }] })

/** A text, a file that fits into the mail, and one that stays outside (R4a). */
const large = (from: 0 | 1): Post => ({
  from,
  parts: [
    { type: 'text/plain', content: bytes('see files\n') },
    { type: 'application/octet-stream', name: 'in', content: bytes('i'.repeat(40)) },
    { type: 'application/octet-stream', name: 'out', content: bytes('o'.repeat(150)) },
  ],
})

/** One file, and no mail beside it. */
const file = (from: 0 | 1): Post => ({ from, parts: [{ type: 'application/octet-stream', name: 'out', content: bytes('o'.repeat(200)) }] })

/** The second and later messages of two people who know each other need no new directories. */
const acquainted: Post[][] = [[small(0, 'first\n')], [small(1, 'first\n')]]

export const scenarios: Record<string, Scenario> = {
  first: { name: 'the first message ever', before: [], batches: [[small(0)]] },
  firstLarge: { name: 'the first message, with a file outside the mail', before: [], batches: [[large(0)]] },
  small: { name: 'a message', before: acquainted, batches: [[small(0)]] },
  file: { name: 'a file that stays outside the mail', before: acquainted, batches: [[file(0)]] },
  large: { name: 'a message with a file outside the mail', before: acquainted, batches: [[large(0)]] },
  two: { name: 'two messages accepted together', before: acquainted, batches: [[small(0), small(0, 'again\n')]] },
  twice: { name: 'two messages one after the other', before: acquainted, batches: [[small(0)], [small(0, 'again\n')]] },
  both: { name: 'a message each way', before: acquainted, batches: [[small(0)], [small(1)]] },
  mixed: { name: 'a small and a large message', before: acquainted, batches: [[small(0), large(0)]] },
}

const host: Host = {
  time: new Timeline(),
  perform(process, op) {
    try {
      return Promise.resolve(execute(process.machine, op))
    } catch (error) {
      return Promise.reject(error as Error)
    }
  },
  soon: (_, run) => queueMicrotask(run),
}

/** Two homes that know each other and where to find each other, and have exchanged nothing. */
export async function twoHomes(): Promise<[Machine['disk'], Machine['disk']]> {
  const machines: [Machine, Machine] = [new Machine('a', host, () => false), new Machine('b', host, () => false)]
  await settle(machines, ['10.0.0.1', '10.0.0.2'])
  return [machines[0].disk, machines[1].disk]
}

/** A world in which nothing of the scenario has happened yet. */
export async function worldOf(scenario: Scenario): Promise<World> {
  const machines: [Machine, Machine] = [new Machine('a', host, () => false), new Machine('b', host, () => false)]
  await settle(machines, [undefined, undefined])
  const [a, b] = await Promise.all(machines.map(async (machine) => (await open(machine.start(nothing))).keyring))
  if (a === undefined || b === undefined) throw new Error('nobody there')
  const keyrings = [a, b] as const
  let disks = machines.map(({ disk }) => disk)
  if (scenario.before.length > 0) {
    const past = worldFrom({ name: 'before', before: [], batches: scenario.before }, keyrings, disks)
    const course = new Course(past.states, [0, 0])
    await new Trial(past, course, new Tree().recorder()).run()
    disks = course.sides.map(({ disk, home }) => {
      const inbox = disk.dir(`${home}/inbox/new`)
      for (const name of inbox.entries.keys()) disk.unlink(`${home}/inbox/new/${name}`, false)
      disk.settle()
      disk.placed.clear()
      return disk
    })
  }
  return worldFrom(scenario, keyrings, disks)
}

function worldFrom(scenario: Scenario, keyrings: World['keyrings'], disks: readonly Machine['disk'][]): World {
  const states = [new SideStates('/a', true), new SideStates('/b', true)] as const
  const told = scenario.batches.flat().map(() => 0 as const)
  for (const [i, disk] of disks.entries()) (states[i] as SideStates).number(disk, told)
  return { scenario, keyrings, states, ids: [] }
}

const nothing = { bytes: (size: number): Uint8Array => new Uint8Array(size) }
