// What a user waits for: one message from the start of p2p-send to its end, told by what both sides print on the way,
// beside programs of a few lines that make the same calls of disk and network and promise nothing.

import { spawn } from 'node:child_process'
import { join } from 'node:path'

import { port, until } from '../peer.ts'
import type { Figure, Side } from './figure.ts'
import { listens, timed } from './measure.ts'
import { built, People } from './people.ts'
import { scaled } from './scale.ts'

const MESSAGES = scaled(30, 10)

/** Two files and their folder durable, as a message and its copy are. */
const ENQUEUE = `const fs = require('fs')
for (const name of [process.argv[1] + '/x', process.argv[1] + '/y']) {
  const fd = fs.openSync(name, 'w'); fs.writeSync(fd, 'hi'); fs.fdatasyncSync(fd); fs.closeSync(fd)
}
const sync = () => { const fd = fs.openSync(process.argv[1]); fs.fsyncSync(fd); fs.closeSync(fd) }
sync(); sync()`

/** The same, then there and back over TCP, and what an acknowledged message is settled with. */
const CALL = `${ENQUEUE}
const socket = require('net').connect(Number(process.argv[2]), '127.0.0.1', () => socket.write('hi'))
socket.on('data', () => { sync(); sync(); socket.destroy() })`

/** Three fsyncs before it answers: mail, record, folder. */
const ANSWER = `const fs = require('fs')
require('net').createServer((socket) => socket.on('data', () => {
  const fd = fs.openSync(process.argv[1] + '/z', 'w')
  for (let i = 0; i < 3; i++) { fs.writeSync(fd, 'hi'); fs.fdatasyncSync(fd) }
  fs.closeSync(fd); socket.write('hi')
}).on('error', () => 0)).listen(Number(process.argv[2]), '127.0.0.1')`

/** When each record was seen, in ms since the start; `over` is the end of p2p-send. */
type Seen = Record<'queued' | 'peer' | 'message' | 'delivered' | 'over', number>

const PARTS: [keyof Seen, string][] = [
  ['queued', 'durable in the queue'],
  ['peer', 'connected, handshake done'],
  ['message', 'durable in the inbox, told there'],
  ['delivered', 'acknowledged, told here'],
  ['over', 'settled, the command has ended'],
]

/** Row: when each step of one message is done. */
export async function latency(): Promise<Figure[]> {
  const sides = new Map<keyof Seen, Side>(PARTS.map(([part, what]) => [part, { what, samples: [] }]))
  const enqueue: Side = { what: 'two files, four fsyncs', samples: [] }
  const call: Side = { what: 'the same, one round trip to a node that has fsynced three times, two fsyncs', samples: [] }
  await People.with(async (people) => {
    const { stage, bob } = people
    const listener = stage.start('p2p-listen', ['--json'], { home: bob.path })
    await listener.until('listening')
    const own = await port()
    stage.startProgram([process.execPath, '-e', ANSWER, stage.dir, String(own)])
    await until('the other node', () => listens(own))
    for (let i = 0; i < MESSAGES + 1; i++) {
      const seen = await send(people, listener.child)
      const bare = await timed([process.execPath, '-e', ENQUEUE, stage.dir])
      const there = await timed([process.execPath, '-e', CALL, stage.dir, String(own)])
      if (i === 0) continue // once for the page cache
      for (const [part] of PARTS) sides.get(part)?.samples.push(seen[part])
      enqueue.samples.push(bare.ms)
      call.samples.push(there.ms)
    }
  })
  const peers: Partial<Record<keyof Seen, Side>> = { queued: enqueue, over: call }
  return PARTS.map(([part, what]) => {
    const peer = peers[part]
    const ours = { ...(sides.get(part) as Side), what: 'p2p-send' }
    return { row: 'latency', what: `one message: ${what}`, unit: 'ms since the start', ours, ...(peer !== undefined && { peer }) }
  })
}

type Listener = ReturnType<typeof spawn>

/** Sends one message and watches what both sides print. */
function send({ alice, stage }: People, listener: Listener): Promise<Seen> {
  const seen: Partial<Seen> = {}
  const start = performance.now()
  const note = (types: (keyof Seen)[]) => (text: Buffer | string): void => {
    const at = performance.now() - start
    for (const type of types) if (String(text).includes(`"type":"${type}"`)) seen[type] ??= at
  }
  const there = note(['peer', 'message'])
  listener.stdout?.on('data', there)
  const [program, ...args] = [...built('p2p-send'), 'bob', '--json', '-w', '60s', '-m', 'see you at eight?']
  const child = spawn(program, args, {
    env: { PATH: process.env['PATH'] ?? '', HOME: join(stage.dir, 'nowhere'), P2P_HOME: alice.path },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  child.stdout.on('data', note(['queued', 'delivered']))
  return new Promise((resolve, reject) => {
    child.on('close', (code) => {
      seen.over = performance.now() - start
      until('the record of the message', () => seen.message !== undefined)
        .then(() => {
          listener.stdout?.off('data', there)
          const { queued, peer, message, delivered, over } = seen
          if (code !== 0 || queued === undefined || peer === undefined || delivered === undefined) {
            return reject(new Error(`p2p-send: exit ${code}, seen ${JSON.stringify(seen)}`))
          }
          resolve({ queued, peer, message: message ?? NaN, delivered, over: over ?? NaN })
        })
        .catch(reject)
    })
  })
}
