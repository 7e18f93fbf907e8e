// A process that dies by SIGKILL with a lock, whichever of the program's locks it is, noted or not: the next who wants
// it gets it and leaves nothing behind. So it is with one that is stopped, for the locks that p2p-spool(5)
// names; and when it goes on, it takes nothing away from anybody.
// test timeout: 600 s

import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm, utimes } from 'node:fs/promises'
import { tmpdir } from 'node:os'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { type Clock, systemClock } from '../lib/base/clock.ts'
import { EX, type Failure } from '../lib/base/fail.ts'
import { nodeSuite } from '../lib/crypto/suite-node.ts'
import { noUdp } from '../lib/delivery/udpowner.ts'
import { nodeFiles } from '../lib/disk/files.ts'
import { realDoors } from '../lib/disk/home.ts'
import { createIdentity } from '../lib/disk/identity.ts'
import { importToken } from '../lib/disk/import.ts'
import { freePort } from '../lib/net/freeport.ts'
import { until } from './pair.ts'
import { patternOf, sceneOf, type When, WORK } from './lockwork.ts'

const MAN = new URL('../man/p2p-spool.5', import.meta.url)
const missing = await noUdp()

/** Whoever waits for a lock waits for ten seconds: not here. */
const HASTE = 20
const HASTY: Clock = {
  ...systemClock,
  monotonic: () => systemClock.monotonic() * HASTE,
  after: (ms, run, background) => systemClock.after(ms / HASTE, run, background),
}

const WORKER = new URL('./lockwork.ts', import.meta.url).pathname

async function withHome(work: (path: string) => Promise<void>): Promise<void> {
  const root = await mkdtemp(`${tmpdir()}/p2p-lockdeath-`)
  try {
    const port = await freePort(realDoors.random)
    const made = []
    for (const [i, name] of ['alice', 'bob'].entries()) {
      const addresses = i === 0 ? [] : [{ host: '127.0.0.1', port: 1, tcp: true, udp: false }]
      const fields = { name, port: port + i, addresses, passphrase: undefined }
      made.push(await createIdentity({ path: `${root}/${name}`, source: 'test' }, fields as never, nodeSuite, realDoors))
    }
    const [alice, bob] = made
    assert.ok(alice && bob)
    await importToken(alice.home, nodeSuite, 'bob', bob.self.token)
    await work(alice.home.path)
  } finally {
    await rm(root, { recursive: true, force: true })
  }
}

function start(path: string, name: string, when: When): ChildProcess {
  return spawn(process.execPath, ['--import', 'tsx', WORKER, path, name, when], { stdio: ['ignore', 'pipe', 'inherit'] })
}

function ended(child: ChildProcess): Promise<[number | null, string | null]> {
  return new Promise((resolve) => child.once('exit', (code, signal) => resolve([code, signal])))
}

/** It says that it stops, and then does; whoever continued it before that would leave it stopped for good. */
async function stopped({ pid }: ChildProcess): Promise<void> {
  if (existsSync('/proc/self/stat')) await until(() => /^\d+ \(.*\) T /s.test(readFileSync(`/proc/${pid}/stat`, 'utf8')))
}

async function left(path: string, name: string): Promise<string[]> {
  return (await readdir(`${path}/lock`)).filter((each) => patternOf(name).test(each)).sort()
}

/** As if its holder had not touched it, nor others that it has, for long. */
async function age(path: string): Promise<void> {
  for (const each of await readdir(`${path}/lock`)) if (each.endsWith('.lock')) await utimes(`${path}/lock/${each}`, 1, 1)
}

test('these are all the locks there are', async () => {
  const text = await readFile(MAN, 'utf8')
  const listed = /^NAME is\n([^]*?)^or\n\.Li (\S+) \.$/m.exec(text)
  const names = [...(listed?.[1] ?? '').matchAll(/[a-z]+(?:\.[A-Z]\w*)?(?= ?,| *$)/gm)].map(([name]) => name)
  assert.equal(new Set([...names, listed?.[2]]), new Set(Object.keys(WORK)))
})

for (const [name, work] of Object.entries(WORK)) {
  for (const when of ['made', 'held'] as const) {
    test(`${name}: killed when it is ${when}`, () =>
      withHome(async (path) => {
        if (name === 'port' && missing !== undefined) {
          console.log(`# port: skipped: ${missing}`)
          return
        }
        await work.prepare?.(await sceneOf(path))
        assert.equal(await ended(start(path, name, when)), [null, 'SIGKILL'])
        const locks = await left(path, name)
        assert.is(locks.filter((each) => each.endsWith('.lock')).length, 1, locks.join(' '))
        assert.is(locks.length, when === 'held' ? 2 : 1, locks.join(' '))
        if (when !== 'held') await age(path) // nobody is noted: it counts for two seconds
        await work.prepare?.(await sceneOf(path))
        await work.run(await sceneOf(path))
        assert.equal(await left(path, name), [])
      }))
  }

  test(`${name}: stopped while it is held, ${work.overtakes ? 'passed' : 'left alone'}, and continued`, () =>
    withHome(async (path) => {
      if (name === 'port' && missing !== undefined) {
        console.log(`# port: skipped: ${missing}`)
        return
      }
      await work.prepare?.(await sceneOf(path))
      const child = start(path, name, 'stopped')
      const over = ended(child)
      try {
        await Promise.race([new Promise((resolve) => child.stdout?.once('data', resolve)), over])
        await stopped(child)
        await age(path)
        await work.prepare?.(await sceneOf(path))
        if (work.overtakes) {
          await work.run(await sceneOf(path))
          assert.equal(await left(path, name), [], 'whoever passes it leaves nothing')
        } else {
          const before = await left(path, name)
          const untouched = work.without === undefined ? '' : await readFile(`${path}/${work.without}`, 'utf8')
          assert.is(before.length, 2, before.join(' '))
          const refused = await work.run(await sceneOf(path, nodeFiles, HASTY)).then(
            () => undefined,
            (error: unknown) => error,
          )
          if (work.without === undefined) assert.is((refused as Failure | undefined)?.exit, EX.TEMPORARY)
          else assert.equal([refused, await readFile(`${path}/${work.without}`, 'utf8')], [undefined, untouched])
          assert.equal(await left(path, name), before)
        }
      } finally {
        child.kill('SIGCONT')
      }
      const [code, signal] = await over
      assert.is(signal, null)
      if (!work.overtakes) assert.is(code, 0)
      await work.prepare?.(await sceneOf(path))
      await work.run(await sceneOf(path))
      assert.equal(await left(path, name), [])
    }))
}

test.run()
