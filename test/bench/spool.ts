// Rows of a long queue: p2p-send beside it, and a pass over it for a contact that is long gone. What lies there is written
// as the library would have left it, without its fsyncs.

import { mkdirSync, writeFileSync } from 'node:fs'

import { nodeSuite } from '../../lib/crypto/suite-node.ts'
import { keyBytes } from '../../lib/base/key.ts'
import { queueName } from '../../lib/disk/queued.ts'
import { ChunkHasher, encodeHead } from '../../lib/wire/envelope.ts'
import type { Peer } from '../peer.ts'
import type { Figure, Goal, Side } from './figure.ts'
import { timed, type Took } from './measure.ts'
import { built, People } from './people.ts'
import { scaled } from './scale.ts'

const QUEUED = scaled(100_000, 10_000)
const ROUNDS = scaled(10, 4)
const START = 1_700_000_000_000_000n // us

const text = new TextEncoder().encode('see you at eight?\n')

/** Messages for `to` in the queue of `from`. */
export function fill(from: Peer, to: Peer, count: number): void {
  const hasher = new ChunkHasher(nodeSuite)
  hasher.update(text)
  const root = hasher.root()
  const folder = from.at('queue', to.key)
  for (const name of ['', 'new', 'hold', 'failed', 'body', 'opts', 'tmp']) mkdirSync(`${folder}/${name}`, { recursive: true, mode: 0o700 })
  const salt = new Uint8Array(16)
  for (let i = 0; i < count; i++) {
    new DataView(salt.buffer).setUint32(0, i)
    const created = START + BigInt(i)
    const header = { parts: [{ type: 'text/plain', size: text.length }] }
    const { bytes, id } = encodeHead({ salt, from: identityOf(from), to: identityOf(to), created, root, header }, nodeSuite)
    writeFileSync(`${folder}/new/${queueName(created, id)}`, Buffer.concat([bytes, text]), { mode: 0o600 })
  }
}

function identityOf(peer: Peer): Uint8Array {
  const bytes = keyBytes(peer.key)
  if (bytes === undefined) throw new Error(`no key: ${peer.key}`)
  return bytes
}

const atMost = (least: number, aim: number): Goal => ({ kind: 'ratio', good: 'less', least, aim })

/** p2p-send with a long queue, beside the same with an empty one; another contact's and the same contact's. */
export async function queued(): Promise<Figure[]> {
  const figures: Figure[] = []
  await People.with(async (full) => {
    await People.with(async (empty) => {
      fill(full.alice, full.bob, QUEUED)
      const ours: Side = { what: `with ${QUEUED} messages queued`, samples: [], cpuMs: [] }
      const peer: Side = { what: 'with an empty queue', samples: [], cpuMs: [] }
      const turn = async (people: People, side?: Side): Promise<void> => {
        const stdin = people.alice.file('line', 'see you at eight?\n')
        const { ms, cpuMs } = await people.run('p2p-send', ['bob', '--queue-only'], { stdin })
        side?.samples.push(ms)
        side?.cpuMs?.push(cpuMs)
      }
      for (const people of [full, empty]) await turn(people)
      for (let i = 0; i < 2 * ROUNDS; i++) {
        await turn(full, ours)
        await turn(empty, peer)
      }
      figures.push({ row: 'queued', what: 'p2p-send --queue-only of one line', unit: 'ms', ours, peer, goal: atMost(1.2, 1) })
    })
  })
  return figures
}

/** A pass over the messages of a contact that is not there. */
export async function dead(): Promise<Figure[]> {
  const figures: Figure[] = []
  await People.with(async ({ alice, bob }) => {
    fill(alice, bob, QUEUED)
    const ours: Side = { what: `a pass over ${QUEUED} messages`, samples: [], cpuMs: [] }
    const peer: Side = { what: 'node -e 0', samples: [], cpuMs: [] }
    for (let i = 0; i <= ROUNDS / 2; i++) {
      const pass = await flushed(alice)
      const bare = await timed([process.execPath, '-e', '0'])
      if (i === 0) continue
      ours.samples.push(pass.ms)
      ours.cpuMs?.push(pass.cpuMs)
      peer.samples.push(bare.ms)
      peer.cpuMs?.push(bare.cpuMs)
    }
    const goal: Goal = { kind: 'over', good: 'less', least: 2000, aim: 300 }
    figures.push({ row: 'dead', what: 'p2p-queue flush, the contact refuses the call', unit: 'ms', ours, peer, goal })
  })
  return figures
}

/** Nobody was reached, which is no failure of the command. */
function flushed(alice: Peer): Promise<Took> {
  const script = `"$@" >/dev/null; [ $? -le 75 ]`
  return timed(['sh', '-c', script, 'sh', ...built('p2p-queue'), 'flush', '--json'], { env: { P2P_HOME: alice.path } })
}
