// The control socket among programs of the same user that hang, flood and lie: the listener lives, its memory stays
// bounded, and commands come through or do their work themselves. And where the socket may lie.

import { spawnSync } from 'node:child_process'
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, symlinkSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { ask, Line } from '../lib/delivery/control.ts'
import { socketPath } from '../lib/delivery/socketpath.ts'
import { openControl } from '../lib/delivery/controldoor.ts'
import { nodeFiles } from '../lib/disk/files.ts'
import type { Home } from '../lib/disk/home.ts'
import { argvOf } from './command.ts'
import { type Peer, Stage, until } from './peer.ts'

/** As lib/delivery/controldoor.ts has it. */
const CONNECTIONS_MAX = 64

/** MiB that hostile requests may cost beyond what the listener had. */
const GROWTH_MAX = 192

interface Heard {
  socket: Socket
  text: () => string
  closed: () => boolean
}

function call(bob: Peer): Heard {
  const socket = connect(bob.at('listen.sock'))
  let text = ''
  let closed = false
  socket.setEncoding('utf8').on('data', (piece: string) => (text += piece))
  socket.on('error', () => undefined).on('close', () => (closed = true))
  return { socket, text: () => text, closed: () => closed }
}

const greeted = ({ text }: Heard): boolean => text().includes('"type":"listener"')

/** Says it when greeted; resolves with all that was heard, once it is over. */
async function say(bob: Peer, ...pieces: (string | Buffer)[]): Promise<string> {
  const heard = call(bob)
  await until('a greeting', () => greeted(heard))
  for (const piece of pieces) heard.socket.write(piece)
  await until(`the end of ${String(pieces[0]).slice(0, 60)}`, heard.closed)
  return heard.text()
}

function memoryOf(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024
}

const line = (request: object): string => `${JSON.stringify({ v: 1, ...request })}\n`
const keys = Array.from({ length: 40_000 }, (_, n) => `key ${n}`)
const ids = keys.map((_, n) => n.toString(16).padStart(64, '0'))

test('hostile requests end the connection or are answered, and nothing else', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const listener = await bob.listen()
    await alice.listen()
    await bob.send('alice', ['-m', 'before'])
    const before = memoryOf(listener.pid)
    const cut: (string | Buffer)[] = [
      '\n', 'null\n', '[]\n', '7\n', '"x"\n', '{"v":1\n', '{"a":1}{"b":2}\n', Buffer.alloc(300, 0xff).fill('\n', 299),
      `${'['.repeat(100_000)}\n`, 'x'.repeat((4 << 20) + 1), line({ op: 'deliver', ids: [...ids, ...ids], wait: 1 }),
      line({ op: 'deliver', keys: [bob.home.path], ids: [ids[0]], wait: 30 }) + line({ op: 'status' }),
    ]
    for (const text of cut) assert.not.match(await say(bob, text), /"type":"(?:done|status)"/, String(text).slice(0, 60))
    const answered: [object, RegExp][] = [
      [{}, /unknown request.*done/s],
      [{ op: '__proto__' }, /unknown request.*done/s],
      [{ op: 'deliver', keys, ids, wait: 1e308 }, /not a contact.*done/s],
      [{ op: 'deliver', keys: 7, ids: { length: 1e9 }, wait: -1 }, /done/],
      [{ op: 'deliver', keys: [null, {}], ids: [[], 5], wait: {} }, /done/],
      [{ op: 'flush', keys: keys.concat(keys) }, /^[^\n]*\n[^\n]*"done"[^\n]*\n$/],
      [{ op: 'queue', keys }, /done/],
      [{ op: 'pipe', key: 'nobody' }, /not a contact/],
      [{ op: 'pipe', key: { toString: 1 } }, /not a contact/],
      [{ op: 'punch', key: 'nobody', wait: 0 }, /not a contact/],
      [{ op: 'punch', key: ['a'], wait: 'x', keep: true }, /not a contact/],
      [{ op: 'reload', keys }, /done/],
    ]
    for (const [request, answer] of answered) assert.match(await say(bob, line(request)), answer, JSON.stringify(request).slice(0, 60))
    // a channel whose first message is said to have 4 GiB
    const pipe = call(bob)
    await until('a greeting', () => greeted(pipe))
    pipe.socket.write(line({ op: 'pipe', key: alice.key }))
    await until('a channel', () => pipe.text().includes('channel'))
    pipe.socket.write(Buffer.alloc(64, 0xff))
    await until('the end of the channel', pipe.closed)
    const grown = memoryOf(listener.pid) - before
    assert.ok(grown < GROWTH_MAX, `${grown.toFixed(0)} MiB more`)
    console.log(`# ${cut.length + answered.length + 1} hostile requests, ${grown.toFixed(1)} MiB more`)
    await bob.send('alice', ['-m', 'after'])
    assert.is((await alice.ids()).length, 2)
    assert.is(listener.over, false)
  })
})

test('connections that only hang: so many are held, for so long, and commands do their work all the same', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const listener = await bob.listen()
    await alice.listen()
    const open = Array.from({ length: 300 }, () => call(bob))
    await until('an end for those that are too many', () => open.filter((each) => each.closed()).length >= open.length - CONNECTIONS_MAX)
    const held = open.filter((each) => !each.closed())
    assert.is(held.length, CONNECTIONS_MAX)
    assert.ok(open.filter((each) => each.closed()).every((each) => each.text() === ''))
    const drip = setInterval(() => held.forEach(({ socket }) => socket.write('[')), 50)
    await bob.send('alice', ['-m', 'by myself'])
    await until('the end of the time for a request', () => held.every((each) => each.closed()))
    clearInterval(drip)
    assert.is(listener.over, false)
    assert.match(await say(bob, line({ op: 'status' })), /"type":"status"/)
  })
})

/** A home so deep that the socket cannot lie in it. */
function deep(path: string): Home {
  return { path, files: nodeFiles, at: (...parts: string[]) => [path, ...parts].join('/') } as unknown as Home
}

test('a connection made early carries the request; it is none if it is too old, or if its listener has gone', async () => {
  await Stage.with(async (stage) => {
    const [{ home }] = await stage.pair()
    let late = 0
    const clock = { ...home.clock, monotonic: () => home.clock.monotonic() + late }
    const shifted = Object.create(home, { clock: { value: clock } }) as Home
    const asks = async (made: Line): Promise<string> => {
      const heard: string[] = []
      const served = await ask(shifted, { op: 'x' }, { line: made }, ({ type }) => void heard.push(String(type)))
      return `${[...heard, served].join(' ')}`
    }
    let calls = 0
    const sockets: Socket[] = []
    const listening = async (): Promise<Server> => {
      const server = createServer((socket) => {
        calls++
        sockets.push(socket)
        socket.write(line({ type: 'listener' }))
        socket.on('error', () => undefined).once('data', () => socket.end(line({ type: 'it' }) + line({ type: 'done' })))
      })
      await new Promise<void>((resolve, reject) => server.on('error', reject).listen(home.at('listen.sock'), resolve))
      stage.onClose(() => void server.unref().close())
      return server
    }
    const ended = (server: Server): Promise<void> => {
      for (const socket of sockets) socket.destroy()
      return new Promise((resolve) => server.close(() => resolve()))
    }
    const first = await listening()
    assert.is(await asks(new Line(home)), 'it true')
    assert.is(calls, 1, 'over the connection that was there')
    const aged = new Line(shifted)
    await until('the call', () => calls === 2)
    late = 6000
    assert.is(await asks(aged), 'it true')
    assert.is(calls, 3, 'over another')
    const unused = new Line(home)
    await unused.close()
    const orphans = [new Line(home), new Line(home)] as const
    await until('both calls', () => calls === 6)
    await ended(first)
    const second = await listening()
    assert.is(await asks(orphans[0]), 'it true', 'another listener is there')
    assert.is(calls, 7)
    await ended(second)
    assert.is(await asks(orphans[1]), 'false', 'nobody is there')
  })
})

test('the folder of a socket outside the home is this user’s, private, and no link', async () => {
  await Stage.with(async (stage) => {
    const home = deep(join(stage.dir, 'd'.repeat(150)))
    const at = async (name: string, mode = 0o700): Promise<string> => {
      process.env['XDG_RUNTIME_DIR'] = join(stage.dir, name)
      if (mode > 0) {
        mkdirSync(process.env['XDG_RUNTIME_DIR'], { mode })
        chmodSync(process.env['XDG_RUNTIME_DIR'], mode)
      }
      return socketPath(home)
    }
    const before = process.env['XDG_RUNTIME_DIR']
    const own = `/tmp/p2p-${process.getuid?.()}`
    try {
      assert.ok((await at('good')).startsWith(join(stage.dir, 'good/p2p-')))
      assert.ok((await at('loose', 0o711)).startsWith(`${own}/`), 'others may enter')
      symlinkSync(join(stage.dir, 'good'), join(stage.dir, 'link'))
      assert.ok((await at('link', 0)).startsWith(`${own}/`), 'a link')
      assert.ok((await at('none', 0)).startsWith(`${own}/`), 'not there')
      assert.is(statSync(own).mode & 0o777, 0o700)
      if (process.getuid?.() === 0) {
        mkdirSync(join(stage.dir, 'other'), { mode: 0o700 })
        chownSync(join(stage.dir, 'other'), 65_534, 65_534)
        assert.ok((await at('other', 0)).startsWith(`${own}/`), 'somebody else’s')
      } else {
        console.log('skip: a folder of another user: only root can make one')
      }
    } finally {
      if (before === undefined) delete process.env['XDG_RUNTIME_DIR']
      else process.env['XDG_RUNTIME_DIR'] = before
    }
  })
})

test('a socket whose mode cannot be set is closed again: nothing keeps the process alive', async () => {
  await Stage.with(async (stage) => {
    const { home } = await stage.peer('bob')
    const chmod = (): Promise<void> => Promise.reject(Object.assign(new Error('EIO'), { code: 'EIO' }))
    const broken = Object.assign(Object.create(home) as Home, { files: { ...home.files, chmod } })
    let failed: unknown
    await openControl(broken, () => Promise.resolve()).catch((error: unknown) => (failed = error))
    assert.is((failed as Error).message, 'EIO')
    assert.not(existsSync(await socketPath(home)))
  })
})

test('a socket that another user has put in its place is not talked to', async () => {
  if (process.getuid?.() !== 0) {
    console.log('skip: a socket of another user: only root can make one')
    return
  }
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    await alice.listen()
    const listener = await bob.listen()
    assert.match((await bob.run('p2p', ['--text'])).out, /listen/)
    chownSync(bob.at('listen.sock'), 65_534, 65_534)
    const [, delivered] = await bob.good('p2p-send', ['alice', '-m', 'hi', '-w', '60s'])
    assert.is(delivered?.['type'], 'delivered')
    const told = await bob.run('p2p-id', ['doctor', '--text'])
    assert.not.match(told.out, new RegExp(`listener.*${listener.pid}`))
    rmSync(bob.at('listen.sock'))
  })
})

test('where the socket has no private place a message is queued all the same, and the reason is told', async () => {
  if (process.getuid?.() !== 0) {
    console.log('skip: another folder in the place of the own one: only root can mount one')
    return
  }
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const deep = join(stage.dir, 'deep'.repeat(30))
    renameSync(alice.path, deep)
    const own = `/tmp/p2p-${process.getuid?.()}`
    mkdirSync(own, { recursive: true, mode: 0o700 })
    const mounted = ['--mount', 'sh', '-c', 'mount -t tmpfs -o mode=777 none "$0" && exec "$@"', own]
    const env = { PATH: process.env['PATH'], HOME: stage.dir, P2P_HOME: deep, P2P_MAP: 'false', P2P_LAN: 'false' }
    const { status, stderr } = spawnSync('unshare', [...mounted, ...argvOf('p2p-send'), 'bob', '-m', 'hi', '-w', '1s'], { env, encoding: 'utf8' })
    assert.match(stderr, /is not a private folder of yours/)
    assert.is(status, 78)
    assert.is(readdirSync(join(deep, 'queue', bob.key, 'new')).length, 1)
  })
})

test.run()
