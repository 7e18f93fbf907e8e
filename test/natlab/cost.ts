// What an idle contact costs: all datagrams that one side sends and receives at its network interface, with and without
// a session, from the kernel's counters, reckoned up to an hour. Prints one JSON line for each.
//
//   node --import tsx test/natlab/cost.ts [SECONDS]     600 without: two periods of holes, many keepalives

import { type Node } from './lab.ts'
import { Scene } from './scene.ts'
import { pause } from '../peer.ts'

const HOUR_S = 3600

/** Datagrams and bytes, IP headers included, that leave and come. */
function counting(scene: Scene, node: Node): () => { packets: number; bytes: number } {
  const { lab } = scene
  lab.run(node, ['nft', 'add table inet cost; add counter inet cost both'])
  for (const hook of ['input', 'output']) {
    lab.run(node, ['nft', `add chain inet cost ${hook} { type filter hook ${hook} priority 0; }; add rule inet cost ${hook} meta l4proto udp counter name both`])
  }
  return () => {
    const [, packets, bytes] = /packets (\d+) bytes (\d+)/.exec(lab.run(node, ['nft', 'list', 'counter', 'inet', 'cost', 'both'])) ?? []
    return { packets: Number(packets), bytes: Number(bytes) }
  }
}

/** CPU seconds that a process has used so far. */
function cpu(scene: Scene, pid: number): number {
  const fields = scene.lab.run('a', ['cat', `/proc/${pid}/stat`]).split(') ')[1]?.split(' ') ?? []
  return (Number(fields[11]) + Number(fields[12])) / 100
}

async function measure(what: string, both: boolean, seconds: number): Promise<void> {
  await Scene.with(
    'cone',
    'cone',
    async (scene) => {
      const left = await scene.listen('a')
      const right = both ? await scene.listen('b') : undefined
      if (right !== undefined) await Promise.all([left.until('peer'), right.until('peer')])
      await pause(15_000) // the beginning costs more
      const count = counting(scene, 'a')
      const before = cpu(scene, left.pid)
      await pause(seconds * 1000)
      const { packets, bytes } = count()
      const hourly = (value: number): number => Math.round((value * HOUR_S) / seconds)
      console.log(
        JSON.stringify({
          v: 1,
          type: 'natcost',
          what,
          seconds,
          packets_per_hour: hourly(packets),
          bytes_per_hour: hourly(bytes),
          cpu_seconds_per_hour: hourly((cpu(scene, left.pid) - before) * 10) / 10,
        }),
      )
      await Promise.all([left.stop(), right?.stop()])
    },
    { calmMs: 0 },
  )
}

const seconds = Number(process.argv[2] ?? 600)
await measure('no session: holes held towards a contact that is away', false, seconds)
await measure('an idle session over UDP', true, seconds)
