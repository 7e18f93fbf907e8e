// Strangers in numbers against one listener, while a contact delivers: everything of the contact arrives, sockets and
// memory stay within their limits, and afterwards all of it is given back. make flood: 10,000 connections and 20,000
// forged hellos a second; figures are told, limits alone are asserted.
// test timeout: 600 s

import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { LIMITS } from '../lib/net/guard.ts'
import { missingUdp } from '../lib/net/udx.ts'
import { pause, type Peer, Running, Stage, until } from './peer.ts'

const FULL = process.env['FLOOD'] === 'full'

const CONNECTIONS = FULL ? 10_000 : 1500
const DRIPS = FULL ? 2000 : 400
const HELLOS = FULL ? 1000 : 200 // connections a second, each with a forged hello
const DATAGRAMS = FULL ? 20_000 : 2000 // a second
const SECONDS = FULL ? 10 : 4

/** A message of the contact every so many ms. */
const MESSAGE_MS = 500

/** Connections that strangers may have open at the listener, and some of the listener's own. */
const SOCKETS_MAX = LIMITS.waiting + LIMITS.knownWaiting + LIMITS.unconfirmed + LIMITS.draining + 64

/** MiB beyond what the listener had; V8 takes some before it collects. */
const GROWTH_MAX = 160

const CROWD = fileURLToPath(new URL('flood/crowd.ts', import.meta.url))

interface Counts {
  opened: number
  open: number
  /** That the strangers were sent. */
  bytes: number
  sent: number
  taken: number
  cpu: number
}

/** Starts strangers; the second result tells what they have done so far. */
function crowd(stage: Stage, mode: string, port: number, number = 0): [Running, () => Counts] {
  const running = stage.startProgram([process.execPath, '--import', import.meta.resolve('tsx'), CROWD, mode, String(port), String(number)], {})
  const last = (): Counts => {
    const found = [...running.out.matchAll(/^counts (.*)\n/gm)].at(-1)?.[1]
    return found === undefined ? { opened: 0, open: 0, bytes: 0, sent: 0, taken: 0, cpu: 0 } : (JSON.parse(found) as Counts)
  }
  return [running, last]
}

const portOf = (peer: Peer): number => Number(/"port":\s*(\d+)/.exec(readFileSync(peer.at('home.json'), 'utf8'))?.[1])
const memory = (pid: number): number => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024

/** Seconds of processor time. */
function cpu(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /, '').split(' ')
  return (Number(fields[11]) + Number(fields[12])) / 100
}

function sockets(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).filter((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`).startsWith('socket:')
    } catch {
      return false
    }
  }).length
}

interface Siege {
  stage: Stage
  alice: Peer
  bob: Peer
  listener: Running
  /** MiB that the listener had before. */
  had: number
}

async function siege(work: (siege: Siege) => Promise<void>): Promise<void> {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const listener = await bob.listen()
    await alice.send('bob', ['-m', 'before']) // from then on alice's address is a known one
    await work({ stage, alice, bob, listener, had: memory(listener.pid) })
  })
}

interface Told {
  sockets: number
  memory: number
  cpu: number
  seconds: number
  delivered: number
  slowest: number
}

/** What strangers cost while a contact sends, call after call, for `seconds`; all that was sent has arrived. */
async function watched({ alice, bob, listener, had }: Siege, seconds: number, stop: () => Promise<void>): Promise<Told> {
  const { pid } = listener
  const [since, spent] = [performance.now(), cpu(pid)]
  const told: Told = { sockets: 0, memory: 0, cpu: 0, seconds: 0, delivered: 0, slowest: 0 }
  const ids: string[] = []
  while (performance.now() - since < seconds * 1000 || ids.length < 2) {
    const began = performance.now()
    ids.push(await alice.send('bob', ['-m', `message ${ids.length}`]))
    told.slowest = Math.max(told.slowest, (performance.now() - began) / 1000)
    told.sockets = Math.max(told.sockets, sockets(pid))
    told.memory = Math.max(told.memory, memory(pid) - had)
    await pause(MESSAGE_MS)
  }
  told.seconds = (performance.now() - since) / 1000
  told.cpu = (cpu(pid) - spent) / told.seconds
  await stop()
  const there = await bob.ids()
  assert.ok(ids.every((id) => there.filter((other) => other === id).length === 1), 'all of them, once')
  assert.is(listener.over, false)
  told.delivered = ids.length
  return told
}

function tell(what: string, told: Told, more = ''): void {
  const { sockets: count, memory: mib, cpu: share, delivered, slowest } = told
  console.log(`# ${what}: at most ${count} sockets and ${mib.toFixed(1)} MiB more, ${(100 * share).toFixed(1)} % of a core; ${delivered} of ${delivered} messages arrived meanwhile, the slowest p2p-send took ${slowest.toFixed(1)} s${more}`)
}

function bounded({ sockets: count, memory: mib }: Told, { bytes }: Counts): void {
  assert.ok(count <= SOCKETS_MAX, `${count} sockets`)
  assert.ok(mib < GROWTH_MAX, `${mib} MiB`)
  assert.is(bytes, 0, 'strangers are sent nothing')
}

for (const [mode, count] of [['hold', CONNECTIONS], ['drip', DRIPS]] as const) {
  test(`${count} connections that are opened and ${mode === 'hold' ? 'held' : 'fed byte by byte'}`, async () => {
    await siege(async (all) => {
      const [strangers, done] = crowd(all.stage, mode, portOf(all.bob), count)
      await until('all of them', () => done().opened === count)
      const told = await watched(all, SECONDS, async () => void (await strangers.kill()))
      tell(`${count} connections, ${mode}`, told, `; ${done().open} of the connections were still open at the end`)
      bounded(told, done())
      if (FULL || mode === 'hold') await until('all sockets are given back', () => sockets(all.listener.pid) < 24)
    })
  })
}

test(`${HELLOS} forged hellos a second over TCP`, async () => {
  await siege(async (all) => {
    const [strangers, done] = crowd(all.stage, 'hello', portOf(all.bob), HELLOS)
    await until('the first of them', () => done().opened > HELLOS)
    const told = await watched(all, SECONDS, async () => void (await strangers.kill()))
    tell(`${HELLOS} forged hellos a second over TCP`, told, `; ${done().opened} sent`)
    bounded(told, done())
    if (FULL) await until('all sockets are given back', () => sockets(all.listener.pid) < 24)
  })
})

test(`${DATAGRAMS} forged hellos a second in datagrams`, async () => {
  const missing = await missingUdp()
  if (missing !== undefined) {
    console.log(`skip: datagrams: ${missing}`)
    return
  }
  await siege(async (all) => {
    const [strangers, done] = crowd(all.stage, 'udp', portOf(all.bob), DATAGRAMS)
    await until('the first of them', () => done().sent > DATAGRAMS)
    const from = done().sent
    const told = await watched(all, SECONDS, async () => void (await strangers.kill()))
    const rate = (done().sent - from) / told.seconds
    bounded(told, done())
    // the same datagrams to somebody who does nothing with them
    const port = portOf(all.alice)
    const [idle, taken] = crowd(all.stage, 'nobody', port)
    await until('somebody who does nothing', () => taken().cpu > 0)
    const [others, sent] = crowd(all.stage, 'udp', port, DATAGRAMS)
    await until('the first of them', () => sent().sent > DATAGRAMS)
    const [start, begun, had] = [cpu(idle.pid), performance.now(), taken().taken]
    await pause(SECONDS * 1000)
    const share = (cpu(idle.pid) - start) / ((performance.now() - begun) / 1000)
    await others.kill()
    const got = (taken().taken - had) / SECONDS
    await idle.kill()
    tell(`${rate.toFixed(0)} forged hellos a second in datagrams`, told, `; an empty handler that takes ${got.toFixed(0)} a second: ${(100 * share).toFixed(1)} % of a core`)
    assert.ok(got > 0)
  })
})

test.run()
