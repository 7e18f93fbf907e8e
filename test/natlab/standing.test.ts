// Acceptance: holes that stand, sessions that idle, machines that move, processes that die.
// test timeout: 900 s

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { missing } from './lab.ts'
import { Scene } from './scene.ts'
import { pause, until } from '../peer.ts'

const skip = missing('tcpdump')
if (skip !== undefined) test(`skip: natlab: ${skip}`, () => console.log(`skip: natlab: ${skip}`))

if (skip === undefined) {
  test('a standing hole: after 75 s alone one command gets in, with one hello; no opener ever arrives', async () => {
    for (const [a, b] of [['cone', 'cone'], ['coneopen', 'coneopen']] as const) {
      await Scene.with(
        a,
        b,
        async (scene) => {
          const listener = await scene.listen('a')
          const wire = scene.capture('nb', `udp and src host ${scene.outside('a')}`, 'wan')
          await pause(75_000)
          assert.equal(wire.lines.filter((line) => line.endsWith('UDP, length 32')), [], 'no opener arrives')
          const early = wire.lines.length // hellos of the schedule; nobody was there
          const out = scene.capture('b', 'udp and dst port not 53', 'eth0')
          const sent = scene.send('b', 'in one')
          await out.stop()
          assert.is(sent.type, 'delivered', sent.reason)
          const hellos = out.lines.filter((line) => line.includes(' 192.168.2.2.') && /> 11\.22\.33\.10\.\d+: UDP, length 768$/.test(line))
          assert.ok(hellos.length <= 3, out.lines.join('\n'))
          assert.equal(scene.inbox('a'), ['in one'])
          await wire.stop()
          assert.equal(wire.lines.filter((line) => line.endsWith('UDP, length 32')), [])
          console.log(`# ${a} ${b}: delivered after ${sent.elapsed} s with ${hellos.length} hello(s); ${early} hellos of the listener before`)
          await listener.stop()
        },
        { calmMs: 110_000 },
      )
    }
  })

  test('idle for 100 s, and for 60 s at NATs that forget after 30: the next message takes one round', async () => {
    for (const [timeout, idle] of [[undefined, 100], [30, 60]] as const) {
      await Scene.with('cone', 'cone', async (scene) => {
        if (timeout !== undefined) scene.lab.order('udptimeout', timeout)
        scene.lab.order('delay', 20)
        const [left, right] = [await scene.listen('a'), await scene.listen('b')]
        await Promise.all([left.until('peer'), right.until('peer')])
        await pause(idle * 1000)
        assert.equal([left, right].map((each) => each.of('peer').length), [1, 1], 'still the same session')
        const sent = scene.send('b', 'after it')
        assert.is(sent.type, 'delivered', sent.reason)
        console.log(`# ${idle} s idle: delivered after ${sent.elapsed} s at 80 ms of round trip`)
        await Promise.all([left.stop(), right.stop()])
      })
    }
  })

  test('kill -9 of a listener: noticed within a minute, the message waits, and goes once when it is back', async () => {
    await Scene.with('cone', 'cone', async (scene) => {
      const [left, right] = [await scene.listen('a'), await scene.listen('b')]
      await Promise.all([left.until('peer'), right.until('peer')])
      await right.kill()
      const killed = performance.now()
      const { id } = scene.send('a', 'are you there', ['--queue-only'])
      await left.until('peer', (record) => record['state'] === 'down', 120_000)
      const noticed = (performance.now() - killed) / 1000
      assert.ok(noticed <= 60, `${noticed} s`)
      assert.equal(scene.waiting('a'), [id])
      const again = await scene.listen('b')
      const back = performance.now()
      await again.until('message')
      console.log(`# kill -9: noticed after ${noticed.toFixed(1)} s, delivered ${((performance.now() - back) / 1000).toFixed(1)} s after the return`)
      await until('the receipt', () => scene.waiting('a').length === 0)
      assert.equal(scene.inbox('b'), ['are you there'])
      await Promise.all([left.stop(), again.stop()])
    })
  })

  test('a side whose router gets another address goes on with a side that is open, nothing lost or doubled', async () => {
    await Scene.with('full', 'cone', async (scene) => {
      const [left, right] = [await scene.listen('a'), await scene.listen('b')]
      await Promise.all([left.until('peer'), right.until('peer')])
      scene.lab.order('newip', 'b')
      const sent = scene.send('b', 'from elsewhere', ['-w', '30s'])
      assert.is(sent.type, 'delivered', sent.reason)
      const back = scene.send('a', 'and back', ['-w', '30s'])
      assert.is(back.type, 'delivered', back.reason)
      assert.equal([left, right].map((each) => each.of('peer').length), [1, 1], 'the session went on')
      assert.equal([scene.inbox('a'), scene.inbox('b')], [['from elsewhere'], ['and back']])
      console.log(`# moved: delivered after ${sent.elapsed} s and ${back.elapsed} s`)
      await Promise.all([left.stop(), right.stop()])
    })
  })

  test('between two that filter by address it is told, and recovers with the new token', async () => {
    await Scene.with('cone', 'cone', async (scene) => {
      const [left, right] = [await scene.listen('a'), await scene.listen('b')]
      await Promise.all([left.until('peer'), right.until('peer')])
      scene.lab.order('newip', 'b')
      await left.until('peer', (record) => record['state'] === 'down', 120_000)
      const sent = scene.send('a', 'where are you')
      assert.is(sent.type, 'deferred', sent.reason)
      scene.run('b', 'p2p-id', ['token', '--addr', '11.22.33.84'])
      scene.tell('b', 'a')
      await right.until('message', undefined, 400_000)
      assert.equal(scene.inbox('b'), ['where are you'])
      await Promise.all([left.stop(), right.stop()])
    })
  })
}

test.run()
