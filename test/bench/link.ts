// One Link over loopback TCP, the receiver in a process of its own: MiB/s of DATA.
//   node --import tsx test/bench/link.ts [MiB]

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

import { systemClock } from '../../lib/base/clock.ts'
import { systemRandom } from '../../lib/base/random.ts'
import { loadSuite } from '../../lib/crypto/suite.ts'
import { serve } from '../../lib/net/accept.ts'
import { dial } from '../../lib/net/dial.ts'
import { Guard } from '../../lib/net/guard.ts'
import { type Link } from '../../lib/net/link.ts'
import { DATA_MAX } from '../../lib/wire/frame.ts'
import { type Person, responderFor, stamp } from '../netkit.ts'

const suite = await loadSuite(process.env)
const secret = (fill: number): Person => ({
  identity: new Uint8Array(32).fill(fill),
  key: suite.importPrivate(new Uint8Array(32).fill(fill)),
})
const [alice, bob] = [secret(1), secret(2)]

async function pour(link: Link, bytes: number, small: boolean): Promise<void> {
  const chunk = systemRandom.bytes(small ? 64 : DATA_MAX)
  const id = 'ab'.repeat(32)
  for (let offset = 0; offset < bytes; offset += chunk.length) await link.send({ type: 'data', id, offset, bytes: chunk })
  await link.send({ type: 'bye', code: 0 })
}

async function main(): Promise<void> {
  const mebibytes = Number(process.argv[2] ?? 1024)
  for (const small of [false, true]) {
    const bytes = small ? 64 * 100_000 : mebibytes * 2 ** 20
    const child = fork(fileURLToPath(import.meta.url), { env: { ...process.env, RECEIVER: '1' } })
    const [port] = (await once(child, 'message')) as [number]
    const outcome = await dial({
      suite,
      random: systemRandom,
      clock: systemClock,
      self: { identity: alice.identity, transportKey: alice.key, seq: 1n, token: new Uint8Array(0) },
      peer: { identity: bob.identity, transport: bob.key.publicKey },
      seqHeld: 1n,
      addresses: [{ host: '127.0.0.1', port, tcp: true, udp: false }],
      stamp,
      timeoutMs: 5000,
    })
    if (!('link' in outcome)) throw new Error(JSON.stringify(outcome))
    const start = performance.now()
    const cpu = process.cpuUsage()
    const done = once(child, 'message')
    await pour(outcome.link, bytes, small)
    const [theirs] = (await done) as [NodeJS.CpuUsage]
    const ours = process.cpuUsage(cpu)
    const seconds = (performance.now() - start) / 1000
    const frames = outcome.link.frames
    const speed = `${(bytes / 2 ** 20 / seconds).toFixed(0)} MiB/s, ${(frames / seconds).toFixed(0)} frames/s`
    const cost = [ours, theirs].map(({ user, system }) => ((user + system) / frames).toFixed(1)).join(' and ')
    console.log(`${suite.name}: ${small ? '64-byte' : 'full'} DATA ${speed}; CPU us per frame: ${cost}`)
    outcome.link.close()
    child.disconnect()
  }
}

async function receiver(): Promise<void> {
  const server = await serve({
    suite,
    clock: systemClock,
    random: systemRandom,
    guard: new Guard(systemClock, systemRandom),
    responder: responderFor(bob, [alice]),
    port: 0,
    hosts: ['127.0.0.1'],
    onLink: (link) => void drain(link),
  })
  process.send?.(server.port)
  process.once('disconnect', () => process.exit())
}

/** Reads a link to its end and tells the CPU time that took. */
async function drain(link: Link): Promise<void> {
  const cpu = process.cpuUsage()
  for (;;) {
    const frame = await link.receive()
    if (frame === undefined || frame.type === 'bye') break
  }
  process.send?.(process.cpuUsage(cpu))
}

if (process.env['RECEIVER'] === undefined) await main()
else await receiver()
