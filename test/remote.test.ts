// What runs over p2p-pipe: an archive, a remote shell, git and rsync, over a link that is cut again and again; as README
// shows them they run in readme.test.ts. What happens when a side is killed is in pipe.test.ts.
// test timeout: 420 s

import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { pathWithCommands } from './bin.ts'
import { noise, port, type Running, Stage, until } from './peer.ts'
import { Proxy } from './proxy.ts'
import { skipped } from './vectors.ts'

interface Scene {
  /** Before each of them: whoever calls, calls through one. */
  proxies: Proxy[]
  /** A path in the folder of one of them. */
  at: (who: 'alice' | 'bob', ...path: string[]) => string
  /** Starts a script in that folder. */
  start: (who: 'alice' | 'bob', script: string) => Running
  /** Runs one of alice's to its end. */
  run: (script: string, code?: number) => Promise<string>
}

/** Alice and bob with listeners and a folder each; alice reaches bob through a proxy. */
async function play(programs: string[], work: (scene: Scene) => Promise<void>): Promise<void> {
  for (const program of programs) {
    if (spawnSync('sh', ['-c', `command -v ${program}`]).status !== 0) return skipped(`${program}: not installed`)
  }
  await Stage.with(async (stage) => {
    const ports = [await port(), await port()]
    const proxies = await Promise.all(ports.map((to) => Proxy.open({ to })))
    for (const proxy of proxies) stage.onClose(() => proxy.close())
    const doors = ports.map((own, i) => ({ port: own, addr: [proxies[i]?.address ?? ''] }))
    const [alice, bob] = await stage.pair(doors[0], doors[1])
    const listeners = [await alice.listen(), await bob.listen()]
    const PATH = pathWithCommands(stage)
    const at = (who: string, ...rest: string[]): string => join(stage.dir, `desk-${who}`, ...rest)
    for (const who of ['alice', 'bob']) mkdirSync(at(who, 'photos/old'), { recursive: true })
    const start = (who: string, script: string): Running => {
      const peer = who === 'alice' ? alice : bob
      return stage.startProgram(['sh', '-c', script], { home: peer.path, cwd: at(who), env: { ...peer.env, PATH, ...GIT } })
    }
    await work({
      proxies,
      at,
      start,
      async run(script, code = 0) {
        const running = start('alice', script)
        assert.equal(await running.ended, { code, signal: null }, `${script}\n${running.out}${running.err}`)
        return running.out
      },
    })
    for (const listener of listeners) await listener.stop()
  })
}

const PHOTOS = [['photos/1.jpg', noise(6_000_000, 1)], ['photos/old/2 ü.jpg', noise(3_000_000, 2)], ['photos/empty', new Uint8Array(0)]] as const

const GIT = Object.fromEntries(
  ['AUTHOR', 'COMMITTER'].flatMap((who) => [[`GIT_${who}_NAME`, 'A'], [`GIT_${who}_EMAIL`, 'a@example.org']]),
)

function writePhotos(folder: string): void {
  for (const [name, bytes] of PHOTOS) writeFileSync(join(folder, name), bytes)
}

function holdsPhotos(folder: string): void {
  for (const [name, bytes] of PHOTOS) assert.ok(readFileSync(join(folder, name)).equals(bytes), name)
}

/** Cuts the link whenever another two megabytes have crossed; how often, so far. */
function cutAgain(proxies: Proxy[]): () => number {
  let cuts = 0
  for (const proxy of proxies) {
    proxy.onBytes = (crossing) => {
      if (!crossing.open || crossing.up + crossing.down < 2_000_000) return
      cuts++
      crossing.cut()
    }
  }
  return () => cuts
}

test('an archive, over a link that is cut', async () => {
  await play(['tar'], async ({ proxies, at, start, run }) => {
    writePhotos(at('alice'))
    const cuts = cutAgain(proxies)
    const there = start('bob', 'p2p-pipe --timeout 3m alice | tar x')
    await run('tar c photos | p2p-pipe --timeout 3m bob')
    assert.equal(await there.ended, { code: 0, signal: null })
    holdsPhotos(at('bob'))
    assert.ok(cuts() >= 2, `${cuts()} cuts`)
  })
})

test('a remote shell: what goes in, what comes out, one command after the other', async () => {
  await play([], async ({ at, start, run }) => {
    writeFileSync(at('bob', 'here'), 'bob was here\n')
    const server = start('bob', 'exec p2p-rshd alice')
    assert.is(await run('p2p-rsh bob cat here </dev/null'), 'bob was here\n')
    assert.is(await run(`printf 'b\\na\\n' | p2p-rsh bob 'sort; echo "$HOME" >/dev/null'`), 'a\nb\n')
    assert.is(await run(`printf 'x=3\\necho $((x+1))\\ncat here\\n' | p2p-rsh bob sh`), '4\nbob was here\n')
    assert.is(await run('yes | head -c 3000000 | p2p-rsh bob true'), '', 'what the command does not read is no failure')
    await run('p2p-rsh bob', 64)
    // a command that is at it is ended with what it started: when p2p-rsh goes, and when p2p-rshd goes
    const long = 'sleep 600 & echo $$ $! >pids; wait'
    const running = async (): Promise<string[]> => {
      await until('it runs', () => existsSync(at('bob', 'pids')) && readFileSync(at('bob', 'pids'), 'utf8').endsWith('\n'))
      const pids = readFileSync(at('bob', 'pids'), 'utf8').trim().split(' ')
      rmSync(at('bob', 'pids'))
      assert.equal(pids.map((pid) => existsSync(`/proc/${pid}`)), [true, true])
      return pids
    }
    const gone = (pids: string[]): Promise<void> => until('they are gone', () => pids.every((pid) => !existsSync(`/proc/${pid}`)))
    const first = start('alice', `exec p2p-rsh bob '${long}' </dev/null`)
    const itsOwn = await running()
    assert.equal((await first.stop()).code, 143)
    await gone(itsOwn)
    assert.is(await run('p2p-rsh bob cat here </dev/null'), 'bob was here\n', 'the next one is served')
    const second = start('alice', `exec p2p-rsh bob '${long}' </dev/null`)
    const last = await running()
    assert.equal((await server.stop()).code, 143)
    await gone(last)
    assert.is((await second.ended).code, 69)
  })
})

test('git clones, pushes and fetches over it', async () => {
  await play(['git'], async ({ at, start, run }) => {
    const made = start('bob', 'git init -q --bare work.git')
    assert.is((await made.ended).code, 0, made.err)
    const server = start('bob', 'exec p2p-rshd alice')
    await run(`export GIT_SSH_COMMAND=p2p-rsh GIT_SSH_VARIANT=simple
      git clone -q bob:work.git mine; cd mine; echo one >file; git add file; git commit -qm one; git push -q origin HEAD:main
      git clone -q -b main bob:work.git ../other; cd ../other; echo two >>file; git commit -qam two; git push -q
      cd ../mine; git fetch -q; git merge -q origin/main`)
    assert.is(readFileSync(at('alice', 'mine', 'file'), 'utf8'), 'one\ntwo\n')
    await server.stop()
  })
})

test('rsync copies both ways over a link that is cut, and the second time next to nothing', async () => {
  await play(['rsync'], async ({ proxies, at, start, run }) => {
    writePhotos(at('alice'))
    const server = start('bob', 'exec p2p-rshd alice')
    const cuts = cutAgain(proxies)
    await run('rsync -a --blocking-io -e p2p-rsh photos/ bob:photos/')
    holdsPhotos(at('bob'))
    assert.ok(cuts() >= 2, `${cuts()} cuts`)
    assert.match(await run('rsync -a --stats --blocking-io -e p2p-rsh photos/ bob:photos/'), /^Number of regular files transferred: 0$/m)
    await run('rsync -a --blocking-io -e p2p-rsh bob:photos back/')
    holdsPhotos(at('alice', 'back'))
    await server.stop()
  })
})

test.run()
