// Strangers in numbers, and a contact who means ill, against one listener while another contact delivers: everything of
// that one arrives, sockets and memory stay within their limits, and afterwards all of it is given back. make flood:
// 10,000 connections and 20,000 forged hellos a second; figures are told, limits alone are asserted.
// test timeout: 600 s

import { readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { LIMITS } from '../lib/net/guard.ts'
import { missingUdp } from '../lib/net/udx.ts'
import { callAs, SETTINGS } from './caller.ts'
import { pause, type Peer, Running, Stage, until } from './peer.ts'

const FULL = process.env['FLOOD'] === 'full'

const CONNECTIONS = FULL ? 10_000 : 1500
const DRIPS = FULL ? 2000 : 400
const MUCH = FULL ? 1000 : 600 // connections that send a mebibyte at once
const HELLOS = FULL ? 1000 : 200 // connections a second, each with a forged hello
const UNKNOWN = FULL ? 300 : 100 // the same, each with a true hello of somebody unknown
const DATAGRAMS = FULL ? 20_000 : 2000 // a second
const SECONDS = FULL ? 10 : 4

/** A message of the contact every so many ms. */
const MESSAGE_MS = 500

/** Connections that strangers may have open at the listener, and some of the listener's own. */
const SOCKETS_MAX = LIMITS.waiting + LIMITS.knownWaiting + LIMITS.unconfirmed + LIMITS.draining + 64

/** Requests that are kept: p2p-wire(7), LIMITS. */
const REQUESTS_MAX = 32

/** Offers in a frame, and calls at once, of a contact who means ill. */
const OFFERED = 64
const CALLS = 4

/** MiB beyond what the listener had; V8 takes some before it collects. */
const GROWTH_MAX = 160

/** The same where strangers send as much as they can: nothing of it is kept. */
const MUCH_GROWTH_MAX = 64

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
function crowd(stage: Stage, mode: string, port: number, number = 0, token = ''): [Running, () => Counts] {
  const running = stage.startProgram([process.execPath, '--import', import.meta.resolve('tsx'), CROWD, mode, String(port), String(number), token], {})
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
  /** A contact of bob who means ill. */
  eve: Peer
  listener: Running
  /** MiB that the listener had before. */
  had: number
}

async function siege(work: (siege: Siege) => Promise<void>, settings = ''): Promise<void> {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const eve = await stage.peer('eve')
    await bob.meet(eve)
    writeFileSync(bob.at('config.toml'), settings)
    const listener = await bob.listen()
    await alice.send('bob', ['-m', 'before']) // from then on alice's address is a known one
    await work({ stage, alice, bob, eve, listener, had: memory(listener.pid) })
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

test(`${MUCH} connections that send a mebibyte at once`, async () => {
  await siege(async (all) => {
    const [strangers, done] = crowd(all.stage, 'much', portOf(all.bob), MUCH)
    await until('all of them', () => done().opened === MUCH)
    const told = await watched(all, SECONDS, async () => void (await strangers.kill()))
    await until('all sockets are given back', () => sockets(all.listener.pid) < 24)
    const left = memory(all.listener.pid) - all.had
    tell(`${MUCH} connections that send a mebibyte at once`, told, `; ${left.toFixed(1)} MiB more when they had gone`)
    bounded(told, done())
    assert.ok(told.memory < MUCH_GROWTH_MAX, `${told.memory} MiB`)
    assert.ok(left < MUCH_GROWTH_MAX, `${left} MiB are kept`)
  })
})

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

for (const mode of ['unknown', 'knock'] as const) {
  const what = `${UNKNOWN} hellos a second of unknown people who ${mode === 'knock' ? 'ask to be contacts' : 'have the token'}`
  test(what, async () => {
    await siege(async (all) => {
      const [strangers, done] = crowd(all.stage, mode, portOf(all.bob), UNKNOWN, all.bob.token())
      await until('the first of them', () => done().opened > UNKNOWN)
      const told = await watched(all, SECONDS, async () => void (await strangers.kill()))
      const asked = all.listener.of('request').length
      tell(what, told, `; ${done().opened} sent, ${asked} requests told`)
      bounded(told, done())
      if (mode === 'unknown') assert.is(asked, 0)
      else assert.ok(asked > 0 && readdirSync(all.bob.at('requests')).length <= REQUESTS_MAX + 2, `${asked} requests`)
      if (FULL) await until('all sockets are given back', () => sockets(all.listener.pid) < 24)
    }, mode === 'knock' ? 'requests = true\n' : '')
  })
}

test('a contact who offers without end, in call after call, four at a time', async () => {
  await siege(async (all) => {
    let [stopped, calls, offers, ended] = [false, 0, 0, 0]
    const work = async (): Promise<void> => {
      while (!stopped) {
        const link = await callAs(all.eve, all.bob).catch(() => undefined) // too many calls at once
        if (link === undefined) {
          await pause(50)
          continue
        }
        calls++
        let over = false
        const heard = (async () => {
          while ((await link.receive().catch(() => undefined)) !== undefined) continue
          over = true
        })()
        await link.send(SETTINGS)
        while (!over && !stopped) {
          const items = Array.from({ length: OFFERED }, (_, i) => ({ id: (offers + i).toString(16).padStart(64, '0'), size: 400 }))
          await link.send({ type: 'offer', items }).catch(() => (over = true))
          offers += OFFERED
          await pause(0) // while the system takes all, sending alone lets nothing else run
        }
        if (!stopped) ended++
        link.close()
        await heard
      }
    }
    const workers = Array.from({ length: CALLS }, work)
    await until('the first to be ended', () => ended > 0)
    const told = await watched(all, SECONDS, async () => {
      stopped = true
      await Promise.all(workers)
    })
    tell('a contact who offers without end', told, `; ${offers} offers in ${calls} calls, ${ended} of them ended by the listener`)
    assert.ok(told.sockets <= SOCKETS_MAX && told.memory < GROWTH_MAX, `${told.sockets} sockets, ${told.memory} MiB`)
    assert.equal((await all.bob.ids()).length, told.delivered + 1, 'nothing of hers')
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
