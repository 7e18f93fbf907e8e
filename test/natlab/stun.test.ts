// Acceptance: STUN against coturn, both ways: its server tells the listener what its NAT is, and its client asks a
// listener.
// test timeout: 600 s

import { writeFileSync } from 'node:fs'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { askNetStatus, type NetStatus } from '../../lib/delivery/netstatus.ts'
import { openHome } from '../../lib/disk/home.ts'
import { pause, until } from '../peer.ts'
import { missing } from './lab.ts'
import { Scene, type Who } from './scene.ts'

const skip = missing('turnserver', 'turnutils_stunclient', 'turnutils_natdiscovery')
if (skip !== undefined) test(`skip: natlab: ${skip}`, () => console.log(`skip: natlab: ${skip}`))

/** What the table of nat.md and test/natlab.test.ts says of each kind: class, filtering. */
const KINDS: Record<string, [NetStatus['nat'], NetStatus['filtering']]> = {
  open: ['independent', 'independent'],
  fw: ['independent', 'address+port'],
  full: ['independent', 'independent'],
  addr: ['independent', 'address'],
  cone: ['independent', 'address+port'],
  eim: ['independent', 'address+port'],
  sym: ['symmetric', 'address+port'],
  cgnsym: ['symmetric', 'address+port'],
}

async function status(scene: Scene, who: Who): Promise<NetStatus> {
  const home = await openHome({ flag: scene.home(who), env: {} })
  let found: NetStatus | undefined
  await until('a word of the server', async () => {
    found = await askNetStatus(home)
    return found !== undefined && found.nat !== 'unknown' && found.filtering !== undefined
  })
  return found as NetStatus
}

/** coturn at c, with both its addresses. */
async function serve(scene: Scene): Promise<void> {
  const { C1 = '', C2 = '' } = scene.lab.env
  const options = ['-n', '-S', '--no-tls', '--no-dtls', '--no-cli', '--log-file', 'stdout', '--pidfile', `${scene.dir}/pid`]
  const server = scene.lab.start('c', ['turnserver', ...options, '-L', C1, '-L', C2])
  server.stdout?.resume()
  await until('the server', () => scene.lab.run('c', ['ss', '-lunH']).includes(`${C2}:3479`))
}

if (skip === undefined) {
  const kinds = Object.keys(KINDS)
  for (let i = 0; i < kinds.length; i += 2) {
    const [a = '', b = ''] = kinds.slice(i)
    test(`${a} and ${b}: coturn tells the listener what its NAT is`, async () => {
      await Scene.with(a, b, async (scene) => {
        await serve(scene)
        for (const who of ['a', 'b'] as const) writeFileSync(`${scene.home(who)}/config.toml`, `stun = ["${scene.lab.env['C1']}"]\nmap = false\n`)
        const listeners = [await scene.listen('a'), await scene.listen('b')]
        for (const [who, type] of [['a', a], ['b', b]] as const) {
          const { nat, filtering, seen, addresses } = await status(scene, who)
          assert.equal([nat, filtering], KINDS[type], type)
          const sights = seen.filter(({ by }) => by.startsWith('stun:')).map(({ address }) => address)
          assert.ok(sights.length === 2 && sights.every((each) => each.startsWith(`${scene.outside(who)}:`)), sights.join())
          if (nat === 'independent') assert.ok(addresses.includes(sights[0] ?? ''), `told to contacts: ${addresses.join()}`)
        }
        for (const listener of listeners) await listener.stop()
      })
    })
  }

  const ask = (scene: Scene, from: 'b' | 'c', program: string, ...args: string[]): string => {
    const argv = ['timeout', '4', program, ...args, '-p', String(scene.port), scene.outside('a')]
    return scene.lab.run(from, ['sh', '-c', '"$@" 2>&1 || true', 'sh', ...argv])
  }

  test("coturn's client is told how it is seen, by who answers everybody", async () => {
    await Scene.with('open', 'open', async (scene) => {
      const a = scene.start('a', 'p2p-listen', ['--json', '--stun=any'])
      await a.until('listening')
      assert.match(ask(scene, 'c', 'turnutils_stunclient'), /UDP reflexive addr: 11\.22\.33\.130:\d+/)
      assert.match(ask(scene, 'c', 'turnutils_natdiscovery', '-m'), /UDP reflexive addr: 11\.22\.33\.130:\d+/)
      assert.is((await a.stop()).code, 0)
    })
  })

  test('contacts alone, or nobody: strangers get not a packet', async () => {
    await Scene.with('open', 'open', async (scene) => {
      for (const [options, friend] of [[['--stun'], true], [[], false]] as const) {
        const a = scene.start('a', 'p2p-listen', ['--json', ...options])
        await a.until('listening')
        const wire = scene.capture('c', 'udp and src host 11.22.44.2', 'any')
        await pause(500)
        assert.not.match(ask(scene, 'c', 'turnutils_stunclient'), /reflexive/)
        assert.is(/UDP reflexive addr: 11\.22\.44\.66:\d+/.test(ask(scene, 'b', 'turnutils_stunclient')), friend, 'b is a contact')
        await wire.stop()
        assert.equal(wire.lines.filter(Boolean), [])
        await a.stop()
      }
    })
  })
}

test.run()
