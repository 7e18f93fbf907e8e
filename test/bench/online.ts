// The listener at rest while contacts are online, none of whom has anything to say: its processor time, how often it
// wakes, its memory, and what goes over each connection. The contacts are simulated: this process holds the other ends of
// real, authenticated connections over TCP, and answers what it is asked.

import { spawn } from 'node:child_process'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { systemClock } from '../../lib/base/clock.ts'
import { base58 } from '../../lib/base/key.ts'
import { systemRandom } from '../../lib/base/random.ts'
import { nodeSuite } from '../../lib/crypto/suite-node.ts'
import { encodeContact } from '../../lib/disk/contact.ts'
import { dial } from '../../lib/net/dial.ts'
import type { Link } from '../../lib/net/link.ts'
import { connect } from '../../lib/net/tcp.ts'
import { formatToken, parseToken, parseTokenBytes, type Token } from '../../lib/wire/token.ts'
import { type Keys, SETTINGS, strangersKeys } from '../caller.ts'
import { pause, type Peer } from '../peer.ts'
import type { Figure, Side } from './figure.ts'
import { pidOf, residentMiB } from './measure.ts'
import { People } from './people.ts'
import { scaled } from './scale.ts'

const CONTACTS = scaled([1, 100, 200, 1000], [200])
const WANTED = 200 // contacts, of whom the table speaks
const WINDOWS = scaled(3, 1)
const WINDOW_MS = 50_000 // two questions whether the other side is there, on each connection
const SETTLE_MS = 15_000
const CALL_MS = 60 // between two calls: one address has 20 hellos a second
const HOUR_MS = 3_600_000

/** The far ends. */
class Crowd {
  readonly links: Link[] = []
  bytes = 0
  gone = 0

  async call(to: Token, people: readonly Keys[]): Promise<void> {
    let ts = BigInt(Date.now()) * 1000n
    for (const { self } of people) {
      const outcome = await dial({
        suite: nodeSuite,
        random: systemRandom,
        clock: systemClock,
        self,
        peer: to,
        seqHeld: to.seq,
        addresses: to.addresses.filter(({ host }) => host === '127.0.0.1'),
        stamp: async () => ++ts,
        timeoutMs: 20_000,
        connect: async (place, signal) => this.#counted(await connect(place, signal)),
      })
      if (!('link' in outcome)) throw new Error(`no call: ${JSON.stringify(outcome.failures)}`)
      this.links.push(outcome.link)
      void this.#answer(outcome.link)
      await pause(CALL_MS)
    }
  }

  async #answer(link: Link): Promise<void> {
    await link.send(SETTINGS)
    await link.send({ type: 'offer', items: [] })
    for (let frame = await link.receive(); frame !== undefined; frame = await link.receive()) {
      if (frame.type === 'ping') await link.send({ type: 'pong', bytes: frame.bytes })
    }
    this.gone++
  }

  #counted(stream: Awaited<ReturnType<typeof connect>>): typeof stream {
    const [take, read, write] = [stream.take.bind(stream), stream.read.bind(stream), stream.write.bind(stream)]
    const came = <T extends Uint8Array | undefined>(piece: T): T => {
      this.bytes += piece?.length ?? 0
      return piece
    }
    stream.take = () => came(take())
    stream.read = async () => came(await read())
    stream.write = (parts, sent) => {
      for (const { length } of parts) this.bytes += length
      return write(parts, sent)
    }
    return stream
  }
}

/** As if `peer` had been given their tokens. */
async function introduce(peer: Peer, count: number): Promise<Keys[]> {
  const people = await Promise.all(Array.from({ length: count }, (_, n) => strangersKeys(`contact${n}`)))
  for (const [n, { self }] of people.entries()) {
    const token = parseTokenBytes(self.token)
    const { identity, transport, seq } = token
    const rest = { addresses: [], sessionAddresses: [], blocked: false, revoked: false, added: Date.now(), features: 0 }
    const contact = { name: `contact${n}`, key: base58(identity), identity, transport, seq, tokenText: formatToken(token), ...rest }
    writeFileSync(peer.at('contacts', `${contact.key}.json`), encodeContact(contact), { mode: 0o600 })
  }
  return people
}

/** Processor time in ms and the times it went to sleep by itself, of all threads of a process. */
function spent(pid: number): { cpuMs: number; sleeps: number } {
  const sum = { cpuMs: 0, sleeps: 0 }
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    const about = join(`/proc/${pid}/task`, task)
    sum.cpuMs += Number(readFileSync(join(about, 'schedstat'), 'utf8').split(' ')[0]) / 1e6
    sum.sleeps += Number(/^voluntary_ctxt_switches:\s+(\d+)/m.exec(readFileSync(join(about, 'status'), 'utf8'))?.[1])
  }
  return sum
}

/** Row: what a listener does while nobody wants anything, in % of a processor. */
export async function online(): Promise<Figure[]> {
  const figures: Figure[] = []
  for (const count of CONTACTS) {
    await People.with(async (people) => {
      const { bob } = people
      const contacts = await introduce(bob, count)
      const listener = await people.listen(bob)
      const node = spawn(process.execPath, ['-e', 'setInterval(() => 0, 1e9)'], { stdio: 'ignore' })
      const crowd = new Crowd()
      try {
        await crowd.call(parseToken(bob.token()), contacts)
        await pause(SETTLE_MS)
        const ours: Side = { what: `p2p-listen, ${count} online`, samples: [] }
        const peer: Side = { what: 'bare node', samples: [] }
        const [since, bytes, { sleeps }] = [performance.now(), crowd.bytes, spent(listener.pid)]
        for (let i = 0; i < WINDOWS; i++) {
          const [began, own, bare] = [performance.now(), spent(listener.pid), spent(pidOf(node))]
          await pause(WINDOW_MS)
          const ms = performance.now() - began
          ours.samples.push((100 * (spent(listener.pid).cpuMs - own.cpuMs)) / ms)
          peer.samples.push((100 * (spent(pidOf(node)).cpuMs - bare.cpuMs)) / ms)
        }
        const ms = performance.now() - since
        if (crowd.gone > 0) throw new Error(`${crowd.gone} of ${count} connections ended`)
        const wakes = ((spent(listener.pid).sleeps - sleeps) / ms) * 1000
        const hourly = ((crowd.bytes - bytes) / count / ms) * HOUR_MS
        const note = `simulated contacts, over TCP; it wakes ${wakes.toFixed(1)} times a second, holds ${residentMiB(listener.pid).toFixed(0)} MiB; ${(hourly / 1000).toFixed(1)} kB a contact and hour without headers`
        figures.push({
          row: 'online',
          what: `processor time of a listener, ${count} contacts online, idle`,
          unit: '%',
          ours,
          peer,
          note,
          ...(count === WANTED && { goal: { kind: 'over' as const, good: 'less' as const, least: 1, aim: 0.2 } }),
        })
      } finally {
        for (const link of crowd.links) link.close()
        node.kill()
        await listener.stop()
      }
    })
  }
  return figures
}
