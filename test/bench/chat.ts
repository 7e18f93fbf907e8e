// Row: p2p-chat on a terminal: how soon its screen stands there, beside a bare node, and what it takes with a history of
// 100,000 messages, its own listener included.

import { rmSync } from 'node:fs'

import { pause } from '../peer.ts'
import type { Figure, Goal, Side } from './figure.ts'
import { fillBoth } from './history.ts'
import { missing, timed } from './measure.ts'
import { onScreen } from './onscreen.ts'
import { built, People } from './people.ts'
import { scaled } from './scale.ts'

const PAIRS = scaled(20, 6)
const FEW = 100
const TYPED = 'zq'
const MANY = scaled(100_000, 10_000)
const RUNS = 3
const SETTLE_MS = 3000 // its listener is up by then
const PAGES = 30

export async function chat(): Promise<Figure[]> {
  const script = missing('script')
  if (script !== undefined) throw new Error(`${script} is not installed: there is no terminal`)
  return [...(await starting()), ...(await long())]
}

/** From its start to the latest message on the screen, and to what was typed meanwhile in the place to type. */
async function starting(): Promise<Figure[]> {
  const ours: Side = { what: 'p2p-chat, to its screen', samples: [] }
  const keys: Side = { what: 'p2p-chat, to the echo', samples: [], cpuMs: [] }
  const peer: Side = { what: 'node -e 0', samples: [], cpuMs: [] }
  await People.with(async ({ alice, bob }) => {
    await fillBoth(alice, bob, FEW)
    for (let i = 0; i <= PAIRS; i++) {
      const shown = await onScreen([...built('p2p-chat'), 'bob'], { P2P_HOME: alice.path, ...alice.env }, [`number ${FEW - 1}`, TYPED], TYPED)
      await shown.leave()
      rmSync(alice.at('chat'), { recursive: true, force: true }) // what was typed is a draft now
      const { ms, cpuMs } = await timed([process.execPath, '-e', '0'])
      if (i === 0) continue // for the page cache
      ours.samples.push(shown.ms[0] ?? NaN)
      keys.samples.push(shown.ms[1] ?? NaN)
      keys.cpuMs?.push(shown.cpuMs)
      peer.samples.push(ms)
      peer.cpuMs?.push(cpuMs)
    }
  })
  const goal: Goal = { kind: 'ratio', good: 'less', least: 2.5, aim: 2 }
  const what = `p2p-chat shows a conversation of ${FEW} messages`
  return [
    { row: 'chat', what, unit: 'ms', ours, peer, goal },
    { row: 'chat', what: `${what}, and a key typed while it started`, unit: 'ms', ours: keys, peer, goal },
  ]
}

/** With a long history: the first screen, and the most memory, when it has come up and after somebody scrolled in it. */
async function long(): Promise<Figure[]> {
  const time: Side = { what: 'p2p-chat, to its screen', samples: [] }
  const size: Side = { what: 'p2p-chat with its listener', samples: [] }
  const first: Side = { what: 'the same, making the index', samples: [] }
  const none: Side = { what: 'nothing', samples: [0] }
  await People.with(async ({ alice, bob }) => {
    await fillBoth(alice, bob, MANY)
    for (let i = 0; i <= RUNS; i++) {
      const shown = await onScreen([...built('p2p-chat'), 'bob'], { P2P_HOME: alice.path, ...alice.env }, [`number ${MANY - 1}`])
      await pause(SETTLE_MS)
      for (let page = 0; page < PAGES && i > 0; page++) {
        shown.type('\u001b[5~')
        await pause(50)
      }
      const peak = shown.peakMiB()
      await shown.leave()
      if (i === 0) first.samples.push(peak)
      else time.samples.push(shown.ms[0] ?? NaN)
      if (i > 0) size.samples.push(peak)
    }
  })
  const goal: Goal = { kind: 'over', good: 'less', least: 120, aim: 100 }
  const what = `of a conversation of ${MANY} messages`
  return [
    { row: 'chat', what: `the first screen ${what}`, unit: 'ms', ours: time },
    { row: 'chat', what: `peak memory ${what}, ${PAGES} pages scrolled back`, unit: 'MiB', ours: size, peer: none, goal },
    { row: 'chat', what: `peak memory ${what}, at its very first look`, unit: 'MiB', ours: first, peer: none, goal },
  ]
}
