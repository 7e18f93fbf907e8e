// How costs grow: with what waits, with the contacts, with the size of a message. Drawn as plots in bench/results/ with
// the numbers beside them. Processor time where starting and files are what costs: other people's load is not in it.

import { mkdirSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { base58 } from '../../lib/base/key.ts'
import { type Contact, encodeContact } from '../../lib/disk/contact.ts'
import { type Figure, median } from './figure.ts'
import { machine } from './machine.ts'
import type { Took } from './measure.ts'
import { People } from './people.ts'
import { draw, type Series } from './plot.ts'
import { scaled } from './scale.ts'
import { fill } from './spool.ts'

export const RESULTS = 'bench/results'
const QUEUED = scaled([1, 10, 100, 1000, 10_000, 100_000], [1, 100, 1000])
const CONTACTS = scaled([1, 10, 100, 1000], [1, 100])
const SIZES = scaled([1, 2 ** 10, 2 ** 16, 2 ** 20, 2 ** 24, 2 ** 28, 2 ** 30, 2 ** 32], [1, 2 ** 16, 2 ** 24])
const RUNS = scaled(5, 3)
const LARGE = 2 ** 26 // bytes from which one run must do

/** Median of some runs; the first of all is not counted, unless there is only one. */
async function typical(runs: number, value: (took: Took) => number, run: () => Promise<Took>): Promise<number> {
  const samples: number[] = []
  for (let i = 0; i <= runs; i++) {
    if (i === 0 && runs === 1) continue
    const took = await run()
    if (i > 0) samples.push(value(took))
  }
  return Math.max(1, median(samples)) // a tick is 10 ms: 0 cannot be drawn
}

const cpu = ({ cpuMs }: Took): number => cpuMs

async function messages(): Promise<Series[]> {
  const send: Series = { what: 'p2p-send --queue-only of one line', points: [] }
  const list: Series = { what: 'p2p-queue list', points: [] }
  const flush: Series = { what: 'p2p-queue flush, the contact refuses the call', points: [] }
  for (const count of QUEUED) {
    await People.with(async (people) => {
      fill(people.alice, people.bob, count)
      const stdin = people.alice.file('line', 'see you at eight?\n')
      const runs = count > 10_000 ? 1 : RUNS
      const point = async (series: Series, command: string, args: string[]): Promise<void> => {
        series.points.push([count, await typical(runs, cpu, () => people.run(command, args, { stdin }))])
      }
      await point(list, 'p2p-queue', ['list'])
      await point(flush, 'p2p-queue', ['flush'])
      await point(send, 'p2p-send', ['bob', '--queue-only'])
    })
  }
  return [send, list, flush]
}

/** Contacts that nobody is: their keys are numbers. */
function addContacts(folder: string, count: number): void {
  for (let i = 0; i < count; i++) {
    const identity = new Uint8Array(32).fill(7)
    new DataView(identity.buffer).setUint32(0, i)
    const contact: Contact = {
      name: `contact${i}`,
      key: base58(identity),
      identity,
      transport: identity,
      seq: 1n,
      tokenText: '',
      addresses: [],
      sessionAddresses: [],
      blocked: false,
      revoked: false,
      added: Date.now(),
      features: 0,
    }
    writeFileSync(join(folder, `${contact.key}.json`), encodeContact(contact), { mode: 0o600 })
  }
}

async function contacts(): Promise<Series[]> {
  const all: Series[] = ['p2p-send --queue-only of one line', 'p2p-id list'].map((what) => ({ what, points: [] }))
  for (const count of CONTACTS) {
    await People.with(async (people) => {
      addContacts(people.alice.at('contacts'), count - 1)
      const stdin = people.alice.file('line', 'see you at eight?\n')
      const calls: [string, string[]][] = [['p2p-send', ['bob', '--queue-only']], ['p2p-id', ['list']]]
      for (const [index, [command, args]] of calls.entries()) {
        all[index]?.points.push([count, await typical(RUNS, cpu, () => people.run(command, args, { stdin }))])
      }
    })
  }
  return all
}

async function sizes(): Promise<Series[]> {
  const series: Series = { what: 'p2p-send -a FILE, delivered and durable at both ends', points: [] }
  await People.with(async (people) => {
    const { stage, alice, bob } = people
    for (const { path } of [alice, bob]) {
      writeFileSync(join(path, 'config.toml'), '[limits]\nmessage = "5G"\nquota = "20G"\n', { mode: 0o600 })
    }
    const listener = await people.listen(bob)
    const source = join(stage.dir, 'source')
    for (const size of SIZES) {
      writeFileSync(source, 'x')
      truncateSync(source, size) // a hole costs no disk here, and no less work
      const run = (): Promise<Took> => people.run('p2p-send', ['bob', '-a', source, '-w', '3600s'])
      series.points.push([size, await typical(size > LARGE ? 1 : RUNS, ({ ms }) => ms, run)])
    }
    await listener.stop()
  })
  return [series]
}

/** Row: measures, draws, and says where the plots are; no figure is held against anything. */
export async function growth(): Promise<Figure[]> {
  mkdirSync(RESULTS, { recursive: true })
  const { node, kernel, model, processors, commit } = machine()
  const below = `${String(commit)}, node ${String(node)}, linux ${String(kernel)}, ${String(processors)} x ${String(model)}, ${new Date().toISOString().slice(0, 10)}`
  const lines = [JSON.stringify(machine())]
  const plots: [string, string, string, string, () => Promise<Series[]>][] = [
    ['messages', 'Processor time by what waits', 'messages in the queue', 'ms', messages],
    ['contacts', 'Processor time by contacts', 'contacts in the keyring', 'ms', contacts],
    ['sizes', 'Time to deliver by size', 'bytes', 'ms', sizes],
  ]
  for (const [name, title, x, y, measure] of plots) {
    const series = await measure()
    writeFileSync(`${RESULTS}/${name}.svg`, draw({ title, x, y, series, below }))
    for (const { what, points } of series) {
      for (const [at, value] of points) lines.push(JSON.stringify({ row: 'growth', plot: name, what, x: at, ms: Number(value.toPrecision(4)) }))
      console.log(`growth: ${name}: ${what}: ${points.map(([at, value]) => `${at}: ${value.toPrecision(3)} ms`).join(', ')}`)
    }
  }
  writeFileSync(`${RESULTS}/growth.ndjson`, lines.join('\n') + '\n')
  console.log(`growth: ${plots.map(([name]) => `${RESULTS}/${name}.svg`).join(' ')}`)
  return []
}
