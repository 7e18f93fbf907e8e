// The row of a punched hole: a pipe between two homes behind two NATs, which only datagrams get through, against a bare
// udx stream between the same two nodes. The NATs are made of network namespaces: as root, on Linux.

import { once } from 'node:events'
import { existsSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'

import { argvOf } from '../command.ts'
import { line, missing as missingLab } from '../natlab/lab.ts'
import { Scene, type Who } from '../natlab/scene.ts'
import { until } from '../peer.ts'
import { expect, largeFile } from './bulk.ts'
import { type Figure, type Side, Unmeasured } from './figure.ts'
import { timed, type Took } from './measure.ts'
import { scaled } from './scale.ts'

const BYTES = scaled(2 ** 30, 2 ** 26)
const SIZE = `${BYTES / 2 ** 20} MiB`
const ROUNDS = scaled(3, 1)
const NAT = 'cone' // filters by address and port: who was not called is not heard
const RAW_PORT = 40_003
const MEET_MS = 120_000

/** Row 8. */
export async function hole(): Promise<Figure[]> {
  const without = missingLab()
  if (without !== undefined) throw new Unmeasured(without)
  const ours: Side = { what: `p2p-pipe, ${SIZE}`, samples: [], cpuMs: [] }
  const peer: Side = { what: `bare udx stream, ${SIZE}`, samples: [], cpuMs: [] }
  await Scene.with(NAT, NAT, async (scene) => {
    const source = join(scene.dir, 'source')
    largeFile(source, BYTES)
    for (let round = 0; round < ROUNDS; round++) {
      const [own, raw] = [await piped(scene, source), await bare(scene)]
      ours.samples.push(own.ms / 1000)
      ours.cpuMs?.push(own.cpuMs)
      peer.samples.push(raw.ms / 1000)
      peer.cpuMs?.push(raw.cpuMs)
    }
  }, { calmMs: MEET_MS })
  const goal = { kind: 'ratio', good: 'less', least: 1.3, aim: 1.1 } as const
  const note = 'NATs of network namespaces; from the first byte at the other end until both have ended, cpu of ours with the start of both commands'
  return [{ row: 'hole', what: `${SIZE} through a punched hole`, unit: 's', ours, peer, goal, note }]
}

/** Both ends find each other and one sends; how long that is is not the question here. */
async function piped(scene: Scene, source: string): Promise<Took> {
  const sink = join(scene.dir, 'sink')
  rmSync(sink, { force: true })
  const pipe = (who: Who, to: Who, files: { stdin?: string; stdout?: string }): Promise<Took> =>
    timed(scene.lab.at(who, [...argvOf('p2p-pipe'), to, '--timeout', `${MEET_MS}ms`]), { ...files, env: { P2P_HOME: scene.home(who) } })
  const running = Promise.all([pipe('a', 'b', { stdin: source }), pipe('b', 'a', { stdout: sink })])
  running.catch(() => undefined) // until() says that nothing came
  await until('the first byte', () => existsSync(sink) && statSync(sink).size > 0, MEET_MS)
  const start = performance.now()
  const [sent, received] = await running
  const ms = performance.now() - start
  expect('bytes through the hole', statSync(sink).size, BYTES)
  return { ms, cpuMs: Math.max(sent.cpuMs, received.cpuMs) } // who ended last has the other's in its own
}

/** The bytes over a udx stream through the same NATs, from other ports. */
async function bare(scene: Scene): Promise<Took> {
  const run = async (who: Who, role: string, to: Who): Promise<Took> => {
    const argv = scene.lab.script('rawudx.ts', role, RAW_PORT, scene.outside(to), RAW_PORT, BYTES)
    const child = scene.lab.start(who, argv)
    const ended = once(child, 'close') // or its time would be counted with what runs next
    const took = JSON.parse(await line(child, /^\{/)) as Took
    await ended
    return took
  }
  const [received, sent] = await Promise.all([run('b', 'receive', 'a'), run('a', 'send', 'b')])
  return { ms: Math.max(received.ms, sent.ms), cpuMs: sent.cpuMs + received.cpuMs }
}
