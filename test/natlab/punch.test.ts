// Acceptance: p2p-punch behind NATs of every kind: what it gets through, what it does not, and what it says then.
// test timeout: 1200 s

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { compare } from '../../lib/base/bytes.ts'
import { nodeSuite } from '../../lib/crypto/suite-node.ts'
import { openHome, realDoors } from '../../lib/disk/home.ts'
import { loadTransportKeys } from '../../lib/disk/identity.ts'
import { loadKeyring } from '../../lib/disk/keyring.ts'
import { PROBES_MAX } from '../../lib/net/birthday.ts'
import { rendezvousKey } from '../../lib/net/rendezvous.ts'
import { nextSlot } from '../../lib/net/slots.ts'
import { argvOf } from '../command.ts'
import { pause, Running } from '../peer.ts'
import { missing } from './lab.ts'
import { Scene, type Who } from './scene.ts'

const skip = missing('tcpdump')
if (skip !== undefined) test(`skip: natlab: ${skip}`, () => console.log(`skip: natlab: ${skip}`))

/** Queues a message on each side; afterwards both are to have arrived. */
function queueBoth(scene: Scene): () => void {
  for (const who of ['a', 'b'] as const) scene.send(who, `from ${who}`, ['--queue-only'])
  return () => {
    assert.equal([scene.inbox('a'), scene.inbox('b')], [['from b'], ['from a']])
    assert.equal([scene.waiting('a'), scene.waiting('b')], [[], []])
  }
}

const other = (who: Who): Who => (who === 'a' ? 'b' : 'a')

/** Both run p2p-punch at once; what each says of it. */
async function both(scene: Scene, args: string[], code = 0): Promise<Running[]> {
  const running = (['a', 'b'] as const).map((who) => scene.start(who, 'p2p-punch', [other(who), '--json', ...args]))
  for (const each of running) assert.is((await each.ended).code, code, each.out + each.err)
  for (const each of running) each.check()
  return running
}

/** Two people on public machines see this side, so that it knows what its router does; without TCP, which tells nothing. */
function showTo(scene: Scene, who: Who): void {
  const { lab } = scene
  const C1 = lab.env['C1'] ?? ''
  const block = 'add table inet t; add chain inet t i { type filter hook input priority 0; }; add rule inet t i meta l4proto tcp drop'
  lab.run('c', ['nft', block])
  scene.run(who, 'p2p-id', ['token', '--addr', '10.9.9.9']) // they cannot call: who is called is not told where it is seen
  for (const [i, name] of ['carol', 'dave'].entries()) {
    const home = join(scene.dir, `${name}-${who}`)
    mkdirSync(home, { recursive: true, mode: 0o700 })
    const env = { PATH: process.env['PATH'] ?? '', HOME: scene.dir, P2P_HOME: home }
    const at = (command: string, args: string[]): string => lab.run('c', [...argvOf(command), ...args], { env })
    at('p2p-id', ['init', '--name', name, '--no-passphrase', '--port', String(40_011 + i), '--addr', `${C1}:${40_011 + i}`])
    at('p2p-id', ['add', who, readFileSync(join(scene.home(who), 'token'), 'utf8').trim()])
    scene.run(who, 'p2p-id', ['add', name, at('p2p-id', ['token']).trim()])
    const listener = new Running(lab.start('c', [...argvOf('p2p-listen'), '--json'], env))
    const [punch] = scene.records(who, 'p2p-punch', [name])
    assert.equal([punch?.['open'], punch?.['over']], [true, 'udp'])
    listener.child.kill()
  }
  lab.run('c', ['nft', 'delete table inet t'])
}

/** Each knows what both routers do, by tokens that say so. */
function learnNats(scene: Scene): void {
  for (const who of ['a', 'b'] as const) {
    showTo(scene, who)
    scene.run(who, 'p2p-id', ['token', '--addr', scene.outside(who)])
  }
  scene.tell('a', 'b')
  scene.tell('b', 'a')
}

if (skip === undefined) {
  for (const pair of ['cone cone', 'cgn cone', 'fw fw', 'full sym', 'fw6 fw6']) {
    test(`${pair}: both run p2p-punch without a listener, and everything moves`, async () => {
      const [a = '', b = ''] = pair.split(' ')
      await Scene.with(a, b, async (scene) => {
        const moved = queueBoth(scene)
        const running = await both(scene, [])
        moved()
        const seconds = running.map((each) => Number(each.of('punch')[0]?.['elapsed']).toFixed(1))
        console.log(`# ${pair}: open after ${seconds.join(' and ')} s`)
      })
    })
  }

  test('cone cone: one p2p-punch against a standing listener', async () => {
    await Scene.with('cone', 'cone', async (scene) => {
      const moved = queueBoth(scene)
      const listener = await scene.listen('b')
      await pause(10_000)
      const [punch] = scene.records('a', 'p2p-punch', ['b'])
      assert.is(punch?.['open'], true)
      moved()
      await listener.stop()
    })
  })

  test('upnp sym --map: the router of one side opens its port, and the other one gets through it', async () => {
    await Scene.with('upnp', 'sym', async (scene) => {
      writeFileSync(join(scene.home('a'), 'config.toml'), 'map = false\n')
      const moved = queueBoth(scene)
      const there = scene.start('a', 'p2p-punch', ['b', '--json', '--map'])
      const here = scene.start('b', 'p2p-punch', ['a', '--json'])
      for (const each of [there, here]) assert.is((await each.ended).code, 0, each.out + each.err)
      moved()
    })
  })

  test('sym sym: refused with the reason, in bounded time, and the message stays; IPv6 lets it through', async () => {
    await Scene.with('sym', 'sym', async (scene) => {
      learnNats(scene)
      const { id } = scene.send('a', 'still here', ['--queue-only'])
      const began = performance.now()
      const running = await both(scene, ['--explain'], 69)
      const seconds = (performance.now() - began) / 1000
      assert.ok(seconds < 40, `${seconds} s`)
      for (const each of running) {
        const [punch] = each.of('punch')
        assert.equal([punch?.['open'], punch?.['reason']], [false, 'both-symmetric'])
        assert.equal(punch?.['nat'], { own: 'symmetric', peer: 'symmetric' })
        assert.match(each.err, /both sides randomise ports: use IPv6, forward a port, or carry a bundle/)
      }
      const searched = scene.records('a', 'p2p-punch', ['b', '--birthday'], 69)
      assert.is(searched[0]?.['reason'], 'both-symmetric')
      assert.equal(searched[0]?.['tried'], undefined, 'not even begun')
      assert.equal(scene.waiting('a'), [id])
      scene.rebuild('fw6', 'fw6')
      for (const who of ['a', 'b'] as const) {
        scene.run(who, 'p2p-id', ['token', '--addr', scene.outside(who)])
        scene.tell(who, other(who))
      }
      await both(scene, [])
      assert.equal(scene.inbox('b'), ['still here'])
    })
  })

  test('sym cone --birthday, ten times: an open port is found within the limits', async () => {
    const told: string[] = []
    await Scene.with('sym', 'cone', async (scene) => {
      learnNats(scene)
      for (let i = 0; i < 10; i++) {
        scene.lab.order('reset')
        const wire = scene.capture('nb', 'udp and src host 11.22.33.74 and greater 790', 'wan')
        const running = await both(scene, ['--birthday', '--timeout', '40s'])
        await wire.stop()
        const probes = wire.lines.filter((line) => line.endsWith('length 768')).length
        assert.ok(probes <= PROBES_MAX + 20, `${probes} probes`)
        told.push(`${Number(running[1]?.of('punch')[0]?.['elapsed']).toFixed(1)} s ${probes}`)
      }
    })
    console.log(`# sym cone --birthday: seconds and probes: ${told.join(', ')}`)
  })

  test('sym cone --birthday, though nobody knows what the routers do: each side does both, and it is open', async () => {
    const told: string[] = []
    await Scene.with('sym', 'cone', async (scene) => {
      for (let i = 0; i < 3; i++) {
        scene.lab.order('reset')
        const running = await both(scene, ['--birthday', '--timeout', '40s'])
        for (const each of running) assert.is(each.of('punch')[0]?.['open'], true, each.out)
        told.push(Number(running[1]?.of('punch')[0]?.['elapsed']).toFixed(1))
      }
    })
    console.log(`# sym cone --birthday, nothing known: open after ${told.join(' and ')} s`)
  })

  for (const skew of [0, 1, 5]) {
    test(`coneopen coneopen --slot, clocks ${skew} s apart: both sides get through`, async () => {
      await Scene.with('coneopen', 'coneopen', async (scene) => {
        const moved = queueBoth(scene)
        const begun = Date.now()
        const running = await inSlot(scene, skew * 1000)
        for (const each of running) assert.is((await each.ended).code, 0, each.out + each.err)
        for (const each of running) assert.match(each.out, /"type":"open"/, each.out + each.err)
        moved()
        console.log(`# coneopen coneopen --slot, skew ${skew} s: through after ${((Date.now() - begun) / 1000).toFixed(1)} s`)
      })
    })
  }
}

/** Both meet in a slot that begins in a few seconds by their clocks, of which b's is `skew` ms ahead; each has learnt that. */
async function inSlot(scene: Scene, skew: number): Promise<Running[]> {
  const home = await openHome({ flag: scene.home('a'), env: {} }, realDoors)
  const keyring = await loadKeyring(home)
  const [peer] = keyring.all()
  const [key] = await loadTransportKeys(home, nodeSuite)
  if (peer === undefined || key === undefined) throw new Error('no contact')
  const shared = rendezvousKey(nodeSuite, { self: { identity: keyring.self.identity, key }, peer })
  const [lower] = [keyring.self.identity, peer.identity].sort(compare) as [Uint8Array]
  const { begins } = nextSlot(nodeSuite, shared, lower, Date.now() + 3_600_000, skew)
  const offset = begins - 15_000 - Date.now()
  const keys = { a: peer.key, b: keyring.self.key }
  return (['a', 'b'] as const).map((who) => {
    const own = offset + (who === 'b' ? skew : 0)
    const met = { at: Date.now() + own, skew: who === 'a' ? skew : -skew, instances: [] }
    writeFileSync(join(scene.home(who), 'hello', `${keys[who]}.met`), JSON.stringify(met), { mode: 0o600 })
    return new Running(scene.lab.start(who, scene.lab.script('slotter.ts', scene.home(who), keys[who], own)))
  })
}

test.run()
