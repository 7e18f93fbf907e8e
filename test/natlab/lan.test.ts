// Acceptance: two contacts behind one router find each other by beacons, and nothing of theirs leaves the network; the
// beacons are noise to everybody else, and lead nowhere when somebody sends them from elsewhere.
// test timeout: 600 s

import { writeFileSync } from 'node:fs'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { LAN_GROUP, LAN_PORT } from '../../lib/net/multicast.ts'
import { pause } from '../peer.ts'
import { line, missing } from './lab.ts'
import { Scene } from './scene.ts'

const skip = missing('tcpdump')
if (skip !== undefined) test(`skip: natlab: ${skip}`, () => console.log(`skip: natlab: ${skip}`))

/** Where both are that only the beacons tell: the tokens name the router's outside address alone. */
const PLACES = ['192.168.1.2', '192.168.1.3']

if (skip === undefined) {
  for (const [type, env] of [['cone', {}], ['full', { HAIRPIN: '1' }]] as const) {
    test(`same ${type}${'HAIRPIN' in env ? ' with hairpin' : ''}: over the address in the own network, and not a packet leaves it`, async () => {
      await Scene.with(
        'same',
        type,
        async (scene) => {
          const wire = scene.capture('na', 'udp or tcp', 'wan')
          await pause(500)
          const [a, b] = [await scene.listen('a'), await scene.listen('b')]
          const ups = await Promise.all([a.until('peer'), b.until('peer')])
          for (const { address } of ups) {
            assert.ok(PLACES.some((place) => String(address as string).startsWith(`${place}:`)), String(address as string))
          }
          assert.is(scene.send('a', 'one').type, 'delivered')
          assert.is(scene.send('b', 'two').type, 'delivered')
          assert.equal([scene.inbox('a'), scene.inbox('b')], [['two'], ['one']])
          await wire.stop()
          assert.equal(wire.lines.filter(Boolean), [])
          await Promise.all([a.stop(), b.stop()])
        },
        { env },
      )
    })
  }

  test('lan = false on one side: it neither sends nor hears, and nobody is found', async () => {
    await Scene.with('same', 'cone', async (scene) => {
      writeFileSync(`${scene.home('a')}/config.toml`, 'lan = false\n')
      const wire = scene.capture('na', `udp and dst port ${LAN_PORT}`, 'lan')
      await pause(500)
      const [a, b] = [await scene.listen('a'), await scene.listen('b')]
      await pause(5000)
      await wire.stop()
      const sent = wire.lines.filter(Boolean)
      assert.ok(sent.length > 0 && sent.every((line) => line.includes('192.168.1.3.')), sent.join('\n'))
      assert.ok(sent.every((line) => line.includes(`> ${LAN_GROUP}.${LAN_PORT}:`) && line.trim().endsWith(' 264')), sent.join('\n'))
      assert.equal([a.of('peer'), b.of('peer')], [[], []])
      await Promise.all([a.stop(), b.stop()])
    })
  })

  test('fw6 fw6, both behind NATs that change ports: over IPv6', async () => {
    await Scene.with('fw6', 'fw6', async (scene) => {
      const [a, b] = [await scene.listen('a'), await scene.listen('b')]
      const ups = await Promise.all([a.until('peer'), b.until('peer')])
      assert.equal([a.of('peer'), b.of('peer')].map(([up]) => String(up?.['address'] as string)), [`[${scene.lab.env['B_V6']}]:${scene.port}`, `[${scene.lab.env['A_V6']}]:${scene.port}`])
      assert.is(ups.length, 2)
      assert.is(scene.send('a', 'one').type, 'delivered')
      assert.is(scene.send('b', 'two').type, 'delivered')
      await Promise.all([a.stop(), b.stop()])
    })
  })

  test('a beacon that somebody keeps and sends from another address leads nowhere', async () => {
    await Scene.with('same', 'cone', async (scene) => {
      // At the router: says the first beacon it hears in hexadecimal, sends the one it is given.
      const join = `s.addMembership('${LAN_GROUP}', '192.168.1.1'); s.setMulticastInterface('192.168.1.1')`
      const script = (work: string): string[] => [
        process.execPath,
        '-e',
        `const s = require('dgram').createSocket({ type: 'udp4', reuseAddr: true }); s.bind(${LAN_PORT}, () => { ${join}; ${work} })`,
      ]
      const keep = scene.lab.start('na', script("s.on('message', (m) => { console.log(m.toString('hex')); s.close() }); console.log('ready')"))
      await line(keep, /ready/)
      const kept = line(keep, /^[0-9a-f]{264,}$/)
      const b = await scene.listen('b')
      const beacon = await kept
      await b.stop()
      const a = await scene.listen('a')
      const wire = scene.capture('na', 'dst host 192.168.1.3 and not arp', 'lan')
      await pause(500)
      scene.lab.run('na', script(`s.send(Buffer.from('${beacon}', 'hex'), ${LAN_PORT}, '${LAN_GROUP}', () => s.close())`))
      await pause(2000)
      await wire.stop()
      assert.equal(wire.lines.filter(Boolean), [], 'nobody is called')
      await a.stop()
    })
  })
}

test.run()
