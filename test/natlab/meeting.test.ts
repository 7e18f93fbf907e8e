// Acceptance: two people behind NATs of every kind that lets two meet, each with a listener, write to each other.
// test timeout: 1800 s

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { missing } from './lab.ts'
import { meet } from './meet.ts'
import { Scene } from './scene.ts'
import { pause, until } from '../peer.ts'

const skip = missing()
if (skip !== undefined) test(`skip: natlab: ${skip}`, () => console.log(`skip: natlab: ${skip}`))

const PAIRS = ['cone cone', 'eim eim', 'fw fw', 'cgn cone', 'full sym', 'addr sym', 'fw6 fw6']

if (skip === undefined) {
  for (const pair of PAIRS) {
    test(`${pair}: both listen, both write`, async () => {
      const [a = '', b = ''] = pair.split(' ')
      console.log(`# ${pair}: met after ${(await meet(a, b)).toFixed(1)} s`)
    })
  }

  test('coneopen coneopen, ten times: nothing arrives before the other side is open', async () => {
    const seconds: number[] = []
    for (let i = 0; i < 10; i++) seconds.push(await meet('coneopen', 'coneopen'))
    console.log(`# coneopen coneopen: met after ${seconds.map((each) => each.toFixed(1)).join(' ')} s`)
    assert.ok(Math.max(...seconds) < 30, 'none had to wait for the silence')
  })

  test('same cone: over the addresses of the own network, and nothing leaves it', async () => {
    const addresses = { a: ['192.168.1.2', '11.22.33.10'], b: ['192.168.1.3', '11.22.33.10'] }
    await Scene.with(
      'same',
      'cone',
      async (scene) => {
        const wire = scene.capture('na', `udp or tcp`, 'wan')
        const [left, right] = [await scene.listen('a'), await scene.listen('b')]
        await Promise.all([left.until('peer'), right.until('peer')])
        const from = wire.lines.length
        assert.is(scene.send('a', 'one').type, 'delivered')
        assert.is(scene.send('b', 'two').type, 'delivered')
        await wire.stop()
        assert.equal(wire.lines.slice(from).filter(Boolean), [])
        const stopped = [left, right].map((each) => each.stop())
        await Promise.all(stopped)
      },
      { addresses },
    )
  })

  test('a file of 1 MiB and a text at 1, 5 and 20 % loss and 80 ms: whole, and once', async () => {
    await Scene.with('cone', 'cone', async (scene) => {
      const [left, right] = [await scene.listen('a'), await scene.listen('b')]
      await Promise.all([left.until('peer'), right.until('peer')])
      scene.lab.order('delay', 20)
      const file = scene.file('big.bin', 1 << 20)
      for (const percent of [1, 5, 20]) {
        scene.lab.order('loss', percent)
        const { id } = scene.send('a', `at ${percent} %`, ['--queue-only', ...(percent < 20 ? ['-a', file] : [])])
        await left.until('delivered', (record) => record['id'] === id, 180_000)
        console.log(`# ${percent} % loss: delivered`)
      }
      scene.lab.order('loss', 0)
      assert.equal(scene.inbox('b'), ['at 1 %', 'at 5 %', 'at 20 %'])
      assert.is(left.of('delivered').length, 3, 'receipts are not doubled')
      assert.equal(right.of('message').map(({ parts }) => (parts as unknown[] | undefined)?.length ?? 0), [1, 1, 0])
    })
  })

  for (const pair of ['cone sym', 'coneopen cgnsym', 'eim fw6']) {
    test(`${pair}, nothing known of either: both listen, one writes, and it arrives by a search`, async () => {
      const [a = '', b = ''] = pair.split(' ')
      await Scene.with(
        a,
        b,
        async (scene) => {
          const openers = [scene.openers('a', 'b'), scene.openers('b', 'a')]
          const [left, right] = [await scene.listen('a'), await scene.listen('b')]
          const began = performance.now()
          const { id } = scene.send('b', 'found', ['--queue-only'])
          await left.until('message', undefined, 330_000)
          await until('the receipt', () => !scene.queued('b', id))
          console.log(`# ${pair}: delivered after ${((performance.now() - began) / 1000).toFixed(1)} s`)
          for (const count of openers) {
            const { left: sent, arrived } = count()
            assert.ok(sent > 0)
            assert.is(arrived, 0, 'an opener ends on the way')
          }
          assert.equal(scene.inbox('a'), ['found'])
          await Promise.all([left.stop(), right.stop()])
        },
        { calmMs: 0 },
      )
    })
  }

  test('two whose routers are known to change ports are told so, and nothing is searched; a port let through brings them together', async () => {
    await Scene.with('sym', 'sym', async (scene) => {
      await scene.explore()
      const [left, right] = [await scene.listen('a'), await scene.listen('b')]
      await until('what the router does', () => scene.records('a', 'p2p-punch', ['--status'])[0]?.['nat'] === 'symmetric', 30_000)
      const wire = scene.capture('na', 'udp and greater 790', 'wan')
      const sent = scene.send('a', 'patience')
      assert.equal([sent.type, sent.reason], ['deferred', 'both-symmetric'])
      await pause(60_000)
      await wire.stop()
      assert.ok(wire.lines.length < 20, `${wire.lines.length} hellos`)
      assert.equal(scene.waiting('a'), [sent.id])
      const rule = `udp dport ${scene.port} dnat ip to 192.168.1.2`
      scene.lab.run('na', ['nft', `add table ip mapped; add chain ip mapped p { type nat hook prerouting priority -101; }; add rule ip mapped p iifname "wan" ${rule}`])
      await right.until('message', undefined, 400_000)
      assert.equal(scene.inbox('b'), ['patience'])
      await Promise.all([left.stop(), right.stop()])
    })
  })

  test('who cannot meet over IPv4 is told so by the wait, and the message goes once IPv6 is there', async () => {
    await Scene.with('sym', 'sym', async (scene) => {
      const [left, right] = [await scene.listen('a'), await scene.listen('b')]
      const sent = scene.send('a', 'patience')
      assert.equal([sent.type, sent.reason], ['deferred', 'timeout'], 'nobody knows more')
      assert.equal(scene.waiting('a'), [sent.id])
      await Promise.all([left.stop(), right.stop()])
      scene.rebuild('fw6', 'fw6')
      for (const who of ['a', 'b'] as const) scene.run(who, 'p2p-id', ['token', '--addr', `[${scene.outside(who)}]`])
      scene.tell('a', 'b')
      scene.tell('b', 'a')
      await scene.listen('b')
      await scene.listen('a')
      await until('the message', () => scene.inbox('b').length === 1, 400_000)
      assert.equal(scene.inbox('b'), ['patience'])
      assert.equal(scene.waiting('a'), [])
    })
  })
}

test.run()
