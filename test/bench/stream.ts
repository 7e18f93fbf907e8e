// Rows of much at once beside a file in a queue: a pipe, and the memory that a very large file takes on its way.

import { existsSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { pause } from '../peer.ts'
import { expect, FILE_BYTES, largeFile, ncat, ROUNDS, settle, SIZE, WARM_BYTES } from './bulk.ts'
import type { Figure, Side } from './figure.ts'
import { warm } from './ground.ts'
import { missing, peakMiB } from './measure.ts'
import { People } from './people.ts'
import { scaled } from './scale.ts'

const HUGE_BYTES = scaled(4 * 2 ** 30, 2 ** 30)
const HUGE = `${HUGE_BYTES / 2 ** 30} GiB`
const LOOK_MS = 100

/** Row 7: the same bytes through p2p-pipe, both ends starting, against ncat --ssl. */
export async function pipe(): Promise<Figure[]> {
  const without = missing('ncat')
  const ours: Side = { what: `p2p-pipe, ${SIZE}`, samples: [], cpuMs: [] }
  const peer: Side = { what: `ncat --ssl, ${SIZE}`, samples: [], cpuMs: [] }
  for (let round = 0; round < ROUNDS; round++) {
    await People.with(async (people) => {
      const source = join(people.stage.dir, 'large')
      const sink = join(people.stage.dir, 'through')
      largeFile(source)
      await settle(people)
      warm(WARM_BYTES)
      const start = performance.now()
      const receiving = people.run('p2p-pipe', ['alice'], { peer: people.bob, stdout: sink })
      const sent = await people.run('p2p-pipe', ['bob'], { stdin: source })
      const received = await receiving
      ours.samples.push((performance.now() - start) / 1000)
      ours.cpuMs?.push(Math.max(sent.cpuMs, received.cpuMs)) // as of ncat
      expect('bytes through p2p-pipe', statSync(sink).size, FILE_BYTES)
      rmSync(sink)
      if (without !== undefined) return
      await settle(people)
      warm(WARM_BYTES)
      const ssl = await ncat(people, source)
      peer.samples.push(ssl.ms / 1000)
      peer.cpuMs?.push(ssl.cpuMs)
    })
  }
  const goal = { kind: 'ratio', good: 'less', least: 1, aim: 0.5 } as const
  const note = 'start and meeting of both ends are in the time; of ncat only the calling one'
  const figure: Figure = { row: 'pipe', what: `${SIZE} through a pipe`, unit: 's', ours, goal }
  return [without === undefined ? { ...figure, peer, note } : { ...figure, note: 'ncat is not installed: no peer' }]
}

/** Row 10: the most memory either side has while a very large file goes over, above a node that does nothing. */
export async function peak(): Promise<Figure[]> {
  const figures: Figure[] = []
  await People.with(async (people) => {
    const { stage, alice, bob } = people
    const source = join(stage.dir, 'huge')
    writeFileSync(source, '')
    truncateSync(source, HUGE_BYTES) // zeros cost no disk, and no less work
    for (const { path } of [alice, bob]) {
      writeFileSync(join(path, 'config.toml'), '[limits]\nmessage = "5G"\n', { mode: 0o600 })
    }
    await people.run('p2p-send', ['bob', '--queue-only', '-a', source])
    const node = stage.startProgram([process.execPath, '-e', 'setInterval(() => 0, 1e9)'])
    const listener = await people.listen(bob)
    const sender = stage.start('p2p-queue', ['flush', '-w', '3600s'], { home: alice.path })
    let sent = 0
    while (!sender.over) {
      if (existsSync(`/proc/${sender.pid}/status`)) sent = Math.max(sent, peakMiB(sender.pid) || 0)
      await pause(LOOK_MS)
    }
    expect('messages in the inbox', people.arrived(), 1)
    const bare = peakMiB(node.pid)
    const goal = { kind: 'over', good: 'less', least: 80, aim: 40 } as const
    for (const [what, most] of [['p2p-queue flush', sent], ['p2p-listen', peakMiB(listener.pid)]] as const) {
      const sides = { ours: { what, samples: [most] }, peer: { what: 'bare node', samples: [bare] } }
      figures.push({ row: 'peak', what: `peak memory of a file of ${HUGE}, ${what}`, unit: 'MiB', ...sides, goal })
    }
  })
  return figures
}
