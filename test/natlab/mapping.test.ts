// Acceptance: a router that lets programs open ports lets in whoever the own NAT and the other side's would keep apart;
// each of the three languages once, with miniupnpd as the router.
// test timeout: 600 s

import { readFileSync, writeFileSync } from 'node:fs'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { askNetStatus } from '../../lib/delivery/netstatus.ts'
import { openHome } from '../../lib/disk/home.ts'
import { pause, until } from '../peer.ts'
import { missing } from './lab.ts'
import { Scene } from './scene.ts'

const skip = missing('miniupnpd')
if (skip !== undefined) test(`skip: natlab: ${skip}`, () => console.log(`skip: natlab: ${skip}`))

interface Lease {
  protocol: string
  outside: number
  client: string
  port: number
  /** Unix seconds. */
  until: number
}

/** What miniupnpd has written down. */
function leases(scene: Scene): Lease[] {
  const lines = readFileSync(`/run/natlab-${scene.lab.prefix}/miniupnpd-na/leases`, 'utf8').split('\n').filter(Boolean)
  return lines.map((line) => {
    const [protocol = '', outside, client = '', port, until] = line.split(':')
    return { protocol, outside: Number(outside), client, port: Number(port), until: Number(until) }
  })
}

/** Lets the router speak only some of its languages. */
function silence(scene: Scene, ...rules: string[]): void {
  const text = `table inet mute { chain input { type filter hook input priority -10; policy accept; ${rules.join('; ')}\n}\n}`
  scene.lab.run('na', ['nft', text])
}

const ONLY: Record<string, string[]> = {
  pcp: [],
  'nat-pmp': ['udp dport 5351 @th,64,8 2 drop'],
  upnp: ['udp dport 5351 drop'],
}

/** What doctor says of the router of a, once that has answered or is known not to. */
async function mappingCheck(scene: Scene): Promise<string> {
  let text = ''
  await until('a word on the router', () => {
    const found = scene.records('a', 'p2p-id', ['doctor']).find((record) => record['name'] === 'mapping')
    text = (found?.['text'] as string | undefined) ?? ''
    return text !== ''
  })
  return text
}

/** Who lets callers in, and where. */
async function mapped(scene: Scene): Promise<{ via: string; address: string }> {
  const [, address = '', via = ''] = /lets callers in at (\S+) \((.*?)\)/.exec(await mappingCheck(scene)) ?? []
  return { via, address }
}

if (skip === undefined) {
  for (const [via, rules] of Object.entries(ONLY)) {
    for (const other of via === 'pcp' ? ['sym', 'cgnsym'] : ['sym']) {
      test(`upnp ${other}: delivered through the mapping, by ${via}`, async () => {
        await Scene.with('upnp', other, async (scene) => {
          if (rules.length > 0) silence(scene, ...rules)
          const a = await scene.listen('a')
          const address = `${scene.outside('a')}:${scene.port}`
          assert.equal(await mapped(scene), { via, address })
          const left = leases(scene)
          assert.equal(left.map(({ protocol, outside, client, port }) => `${protocol} ${outside} ${client} ${port}`).sort(), [
            `TCP ${scene.port} 192.168.1.2 ${scene.port}`,
            `UDP ${scene.port} 192.168.1.2 ${scene.port}`,
          ])
          for (const lease of left) {
            const life = lease.until - Date.now() / 1000
            assert.ok(life > 120 && life <= 7200, `a lease of ${life} s`)
          }
          const sent = scene.send('b', 'through the mapping')
          assert.is(sent.type, 'delivered', sent.reason)
          assert.equal(scene.inbox('a'), ['through the mapping'])
          const b = await scene.listen('b')
          await a.until('peer')
          assert.is(scene.send('a', 'and back').type, 'delivered')
          assert.is((await a.stop()).code, 0)
          assert.equal(leases(scene), [], 'taken away at a clean stop')
          await b.stop()
        })
      })
    }
  }

  test('upnp cone, only a local address in the token: the command that puts the outside one into it is told', async () => {
    await Scene.with(
      'upnp',
      'cone',
      async (scene) => {
        const a = await scene.listen('a')
        const address = `${scene.outside('a')}:${scene.port}`
        const home = await openHome({ flag: scene.home('a'), env: {} })
        await until('a mapping', async () => (await askNetStatus(home))?.mapping.state === 'mapped')
        const asked = scene.start('a', 'p2p-id', ['token'])
        await asked.ended
        assert.match(asked.err, `hint: p2p-id token --addr ${address}\n`)
        await a.stop()
      },
      { addresses: { a: ['192.168.1.2'] } },
    )
  })

  test('cgnupnp cone: a router behind its provider\'s NAT opens nothing, and doctor says so', async () => {
    await Scene.with('cgnupnp', 'cone', async (scene) => {
      await scene.listen('a')
      const said = await mappingCheck(scene)
      assert.match(said, /^the router at 192\.168\.1\.1 has no outside address of which it could open a port/)
    })
  })

  test('upnp cone, map = false: the router hears nothing', async () => {
    await Scene.with('upnp', 'cone', async (scene) => {
      writeFileSync(`${scene.home('a')}/config.toml`, 'map = false\n')
      const wire = scene.capture('na', 'host 192.168.1.1 and not arp', 'lan')
      const a = await scene.listen('a')
      await pause(2000)
      assert.match(await mappingCheck(scene), /the settings say so/)
      await wire.stop()
      assert.equal(wire.lines.filter(Boolean), [])
      await a.stop()
    })
  })
}

test.run()
