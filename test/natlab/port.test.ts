// Acceptance: the UDP port of a home has one owner, and what strangers send to it changes nothing.
// test timeout: 600 s

import { spawnSync } from 'node:child_process'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { systemRandom } from '../../lib/base/random.ts'
import { pause, type Running, until } from '../peer.ts'
import { skipped } from '../vectors.ts'
import { missing, type Node } from './lab.ts'
import { Scene, type Who } from './scene.ts'

const skip = missing('tcpdump', 'python3', 'ss')
if (skip !== undefined) test('no bed', () => skipped(`natlab: ${skip}`))

/** Processes that have the UDP port of the home open. */
function owners(scene: Scene, who: Who): number[] {
  const listed = scene.lab.run(who, ['ss', '-lunpH', `sport = :${scene.port}`])
  return [...new Set([...listed.matchAll(/pid=(\d+)/g)].map(([, pid]) => Number(pid)))]
}

/** Counts what fits at a node from now on, by the kernel. */
function counting(scene: Scene, node: Node, name: string, hook: 'input' | 'output' | 'prerouting', rule: string): () => number {
  const chain = `add chain inet ${name} c { type filter hook ${hook} priority -400; }`
  scene.lab.run(node, ['nft', `add table inet ${name}; ${chain}; add rule inet ${name} c ${rule} counter`])
  return () => Number(/packets (\d+)/.exec(scene.lab.run(node, ['nft', 'list', 'table', 'inet', name]))?.[1])
}

interface Datagram {
  src: string
  dst: string
  payload: Buffer
}

/** UDP datagrams at a node's interface from now on, whole. */
async function sniff(scene: Scene, node: 'inet', device: string): Promise<{ stop: () => Promise<Datagram[]> }> {
  const child = scene.lab.start(node, ['tcpdump', '--immediate-mode', '-U', '-s0', '-w', '-', '-i', device, 'udp'])
  const pieces: Buffer[] = []
  child.stdout?.on('data', (piece: Buffer) => pieces.push(piece))
  await new Promise<void>((resolve) => child.stderr?.on('data', (text: Buffer) => text.includes('listening on') && resolve()))
  return {
    async stop() {
      await pause(500)
      child.kill('SIGINT')
      await new Promise((resolve) => child.on('close', resolve))
      const bytes = Buffer.concat(pieces)
      const found: Datagram[] = []
      for (let at = 24; at + 16 <= bytes.length; ) {
        const size = bytes.readUInt32LE(at + 8)
        const ip = bytes.subarray(at + 16 + 14, at + 16 + size)
        at += 16 + size
        if (ip[0] !== 0x45) continue
        const address = (from: number): string => [...ip.subarray(from, from + 4)].join('.')
        found.push({ src: address(12), dst: address(16), payload: Buffer.from(ip.subarray(28)) })
      }
      return found
    },
  }
}

/** Sends datagrams from c, with whatever sender. */
function forge(scene: Scene, all: { src: string; sport: number; payload: Uint8Array }[]): void {
  const [program = '', ...args] = scene.lab.at('c', ['python3', fileURLToPath(new URL('forge.py', import.meta.url))])
  const dst = scene.outside('a')
  const input = all.map(({ src, sport, payload }) => `${src} ${sport} ${dst} ${scene.port} ${Buffer.from(payload).toString('hex')}\n`)
  const ran = spawnSync(program, args, { input: input.join(''), encoding: 'utf8' })
  assert.is(ran.stdout.trim(), String(all.length), ran.stderr)
}

/** libudx: magic, version, type, offset, stream, window, seq, ack. */
function udx(type: number, id: Uint8Array, body: Uint8Array = new Uint8Array(0)): Uint8Array {
  return Buffer.concat([Uint8Array.of(0xff, 1, type, 0), id, systemRandom.bytes(12), body])
}

/** Names and sizes of a home's files, without what a running listener touches by itself. */
function files(path: string): string[] {
  const names = readdirSync(path, { recursive: true }).map(String).filter((name) => !name.startsWith('lock'))
  return names.map((name) => `${name} ${statSync(join(path, name)).isFile() ? statSync(join(path, name)).size : ''}`).sort()
}

if (skip === undefined) {
  test('a command uses the port of the listener, takes it where none runs, and two commands take turns', async () => {
    await Scene.with('cone', 'cone', async (scene) => {
      const [left, right] = [await scene.listen('a'), await scene.listen('b')]
      await Promise.all([left.until('peer'), right.until('peer')])
      assert.equal(owners(scene, 'a'), [left.pid])
      const seen = new Set<number>()
      const watched = async (commands: Running[]): Promise<void> => {
        while (commands.some(({ over }) => !over)) {
          const now = owners(scene, 'a')
          assert.ok(now.length <= 1, now.join(' '))
          for (const pid of now) seen.add(pid)
          await pause(20)
        }
      }
      const one = await scene.sending('a', 'one')
      await watched([one.command])
      assert.is(one.command.records.at(-1)?.['type'], 'delivered')
      assert.equal([...seen], [left.pid])
      await left.stop()
      seen.clear()
      const own = counting(scene, 'a', 'own', 'output', `udp sport ${scene.port}`)
      const others = counting(scene, 'a', 'others', 'output', `udp sport != ${scene.port}`)
      const rest = await Promise.all(['two', 'three'].map((text) => scene.sending('a', text, ['-w', '60s'])))
      await watched(rest.map(({ command }) => command))
      for (const { command } of rest) assert.is(command.records.at(-1)?.['type'], 'delivered', command.out + command.err)
      assert.ok(own() > 0)
      assert.is(others(), 0, 'nothing leaves from another port')
      assert.ok([...seen].every((pid) => rest.some(({ command }) => command.pid === pid)))
      assert.equal(scene.inbox('b').sort(), ['one', 'three', 'two'])
      await right.stop()
    })
  })

  test('from a third place: garbage, replays, forged packets of streams: no answer, no change; one who sees all can end a session and nothing more', async () => {
    await Scene.with('full', 'cone', async (scene) => {
      const { C1 = '', C2 = '' } = scene.lab.env
      const b = scene.outside('b')
      // The way lets senders forge.
      for (const device of ['all', 'to-c']) scene.lab.run('inet', ['sysctl', '-qw', `net.ipv4.conf.${device}.rp_filter=0`])
      const wire = await sniff(scene, 'inet', 'to-a')
      const [left, right] = [await scene.listen('a'), await scene.listen('b')]
      await Promise.all([left.until('peer'), right.until('peer')])
      assert.is(left.of('peer')[0]?.['over'], 'udp')
      const found = await wire.stop()
      const hellos = found.filter(({ src, payload }) => src === b && payload.length === 768)
      const streams = found.filter(({ src, payload }) => src === b && payload.length >= 20 && payload.length < 768)
      assert.ok(hellos.length > 0)

      const before = files(scene.home('a'))
      const arrived = counting(scene, 'na', 'arrived', 'prerouting', `iifname "wan" udp dport ${scene.port}`)
      const heard = counting(scene, 'c', 'heard', 'input', `ip saddr ${scene.outside('a')}`)
      const random = (size: number): Uint8Array => systemRandom.bytes(size)
      const attack = [0, 1, 20, 31, 32, 33, 48, 100, 767, 768, 769, 1200, 1400].flatMap((size) => [
        { src: C1, sport: 4000, payload: random(size) },
        { src: C2, sport: scene.port, payload: random(size) },
        { src: b, sport: scene.port, payload: random(size) },
      ])
      for (const { payload } of hellos) attack.push({ src: C1, sport: 4000, payload }, { src: C2, sport: scene.port, payload })
      for (const type of [1, 2, 4, 8, 16, 32, 17, 63]) {
        for (const src of [C1, b]) {
          for (let i = 0; i < 20; i++) attack.push({ src, sport: scene.port, payload: udx(type, random(4), random(type === 1 ? 200 : 0)) })
        }
      }
      forge(scene, attack)
      await pause(3000)
      assert.ok(arrived() >= attack.length, `${arrived()} of ${attack.length} arrived`)
      assert.is(heard(), 0, 'and c heard nothing')
      assert.equal(files(scene.home('a')), before)
      for (const each of [left, right]) assert.equal([each.over, each.err, each.of('peer').length], [false, '', 1])
      assert.is(scene.send('a', 'still here').type, 'delivered')
      assert.is(scene.send('b', 'me too').type, 'delivered')

      // libudx checks no sender, only that the number is one still to come: a packet seen on the way, as its DESTROY.
      const [packet] = streams
      assert.ok(packet !== undefined)
      const destroy = Buffer.from(packet.payload.subarray(0, 20))
      destroy[2] = 16
      destroy[3] = 0
      destroy.writeUInt32LE(destroy.readUInt32LE(12) + 100, 12)
      forge(scene, [{ src: C1, sport: 4000, payload: destroy }])
      await left.until('peer', ({ state }) => state === 'down')
      const { id: sent } = scene.send('a', 'once', ['-w', '0'])
      await until('the receipt', () => !scene.queued('a', sent))
      assert.equal(scene.inbox('b').sort(), ['once', 'still here'])
      await Promise.all([left.stop(), right.stop()])
    })
  })
}

test.run()
