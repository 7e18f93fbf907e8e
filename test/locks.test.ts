// No promise rests on a lock: two receivers, two senders, holders that were stopped, locks that were left, clocks that
// jump. Whatever of it comes together, each message is there once, and nobody waits for ever.

import { readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { nodeSuite } from '../lib/crypto/suite-node.ts'
import type { FileHandle } from '../lib/disk/filehandle.ts'
import { type Files, nodeFiles } from '../lib/disk/files.ts'
import { nextHelloTime } from '../lib/disk/hellos.ts'
import type { Home } from '../lib/disk/home.ts'
import { Inbox } from '../lib/disk/inbox.ts'
import { tryLock } from '../lib/disk/lock.ts'
import { openOutgoing } from '../lib/disk/outgoing.ts'
import { listMaildir } from '../lib/disk/maildir.ts'
import { drop } from '../lib/disk/queue.ts'
import { list } from '../lib/disk/queueread.ts'
import { sweep } from '../lib/disk/sweep.ts'
import { breakLocks, check, live, make, type Message, senderOf, SHAPES } from './lives.ts'
import { file, pattern, send, type Side, text, withPair } from './pair.ts'

/** The disk of a process that is stopped before its n-th operation that changes anything, and continued later. */
class Stopped {
  readonly files: Files
  /** Resolves when it is stopped. */
  readonly stopped: Promise<void>
  #stop = (): void => undefined
  #go = (): void => undefined
  readonly #gate: Promise<void>
  readonly #at: number
  steps = 0

  constructor(at: number) {
    this.#at = at
    this.stopped = new Promise((resolve) => (this.#stop = resolve))
    this.#gate = new Promise((resolve) => (this.#go = resolve))
    const wrap = <A extends [string, ...unknown[]], R>(work: (...args: A) => Promise<R>, changes: boolean) =>
      async (...args: A): Promise<R> => {
        if (!args[0].includes('/lock/')) await this.#step(changes)
        return work(...args)
      }
    const disk = nodeFiles
    this.files = {
      ...disk,
      read: wrap(disk.read.bind(disk), false),
      stat: wrap(disk.stat.bind(disk), false),
      list: wrap(disk.list.bind(disk), false),
      mkdir: wrap(disk.mkdir.bind(disk), true),
      rmdir: wrap(disk.rmdir.bind(disk), true),
      rename: wrap(disk.rename.bind(disk), true),
      link: wrap(disk.link.bind(disk), true),
      unlink: wrap(disk.unlink.bind(disk), true),
      syncDir: wrap(disk.syncDir.bind(disk), true),
      utimes: wrap(disk.utimes.bind(disk), true),
      open: async (path, mode) => {
        if (path.includes('/lock/')) return disk.open(path, mode)
        await this.#step(mode === 'create' || mode === 'append')
        return this.#handle(await disk.open(path, mode))
      },
    }
  }

  #handle(handle: FileHandle): FileHandle {
    const step = <A extends unknown[], R>(work: (...args: A) => Promise<R>, changes: boolean) =>
      async (...args: A): Promise<R> => {
        await this.#step(changes)
        return work(...args)
      }
    return {
      read: step((position: number, length: number) => handle.read(position, length), false),
      write: step((bytes: Uint8Array, position?: number) => handle.write(bytes, position), true),
      sync: step(() => handle.sync(), true),
      truncate: step((size: number) => handle.truncate(size), true),
      size: step(() => handle.size(), false),
      close: () => handle.close(),
    }
  }

  async #step(changes: boolean): Promise<void> {
    if (changes) this.steps++
    if (this.steps < this.#at) return
    this.#stop()
    await this.#gate
  }

  /** SIGCONT. */
  go(): void {
    this.#go()
  }
}

/** What others can know of a stopped receiver: it lives here, or it cannot be judged (its number is one of another pid namespace). */
const KNOWN: Record<string, { here: boolean; old: boolean }> = {
  'that is seen to live': { here: true, old: true },
  'in another container': { here: false, old: true },
  'in another container, not long ago': { here: false, old: false },
}

async function appear(home: Home, { here, old }: { here: boolean; old: boolean }): Promise<void> {
  for (const name of await readdir(home.at('lock'))) {
    const path = home.at('lock', name)
    if (name.endsWith('.owner') && !here) {
      const note = JSON.parse(await readFile(path, 'utf8')) as object
      await writeFile(path, JSON.stringify({ ...note, space: 'pid:[1]' }))
    }
    if (name.endsWith('.lock') && old) await utimes(path, 1, 1) // beyond any stale time
  }
}

/** What another receiver does meanwhile: it takes the message as well, or it has only just been started. */
const OTHERS: Record<string, (home: Home, bob: Side, message: Message) => Promise<unknown>> = {
  'another takes the message': async (home, bob, message) => assert.ok(await live(home, bob, senderOf(bob), message)),
  'another is started': async (home, bob) => (await Inbox.open(home, nodeSuite, bob.keyring.self)).close(),
}

for (const [shape, parts] of Object.entries(SHAPES)) {
  for (const [who, known] of Object.entries(KNOWN)) {
    for (const [meanwhile, other] of Object.entries(OTHERS)) {
      test(`${shape}: a receiver ${who} is stopped at any operation, ${meanwhile}, the first goes on: once`, async () => {
        await withPair(async (alice, bob) => {
          assert.ok(parts(1).length > 0)
          const { home } = bob
          const life = (disk: Stopped, message: Message): Promise<boolean> =>
            live(Object.create(home, { files: { value: disk.files } }) as Home, bob, senderOf(bob), message)
          const free = new Stopped(Infinity)
          await life(free, make(alice, shape, 0))
          assert.ok(free.steps > 8, `${free.steps} operations`)
          for (let n = 1; n <= free.steps; n += shape.includes('MiB') ? 4 : shape.includes('three') ? 2 : 1) {
            const what = `stopped at ${n} of ${free.steps}`
            const message = make(alice, shape, n)
            const disk = new Stopped(n)
            // It may find its part gone, and ends: then its sender still has the message.
            const first = life(disk, message).catch(() => false)
            if ((await Promise.race([disk.stopped, first])) !== undefined) break // the very first had more to do
            await appear(home, known)
            await other(home, bob, message)
            disk.go()
            const acknowledged = await first
            await breakLocks(home) // all have ended
            if (!acknowledged) assert.ok(await live(home, bob, senderOf(bob), message), what)
            else await (await Inbox.open(home, nodeSuite, bob.keyring.self)).close()
            await check(home, senderOf(bob).key, message).catch((error: unknown) => {
              throw new Error(`${what}: ${error instanceof Error ? error.message : String(error)}`)
            })
          }
        })
      })
    }
  }
}

const DECADE_MS = 10 * 365 * 86_400_000

/** The same home after the clock was set ten years ahead: of the process, and of the disk that stamps the files. */
function later(home: Home): Home {
  const files: Files = {
    ...nodeFiles,
    async stat(path) {
      const stat = await nodeFiles.stat(path)
      return stat !== undefined && /\/lock\/now\./.test(path) ? { ...stat, mtimeMs: stat.mtimeMs + DECADE_MS } : stat
    },
  }
  const clock = { ...home.clock, now: () => home.clock.now() + DECADE_MS }
  return Object.create(home, { files: { value: files }, clock: { value: clock } }) as Home
}

/** The same home where the clock is ten years behind: its messages look as old as that, its files do not. */
function behind(home: Home): Home {
  const { clock } = home
  const early = { ...clock, now: () => clock.now() - DECADE_MS, micros: () => clock.micros() - BigInt(DECADE_MS) * 1000n }
  return Object.create(home, { clock: { value: early } }) as Home
}

for (const [shape, sources, opts, slow = false] of [
  ['a small text', [text('hello\n')], {}],
  ['a small text', [text('hello\n')], {}, true],
  ['a small text that expires', [text('hello\n')], { tag: 'x', expires: 4e12 }],
  ['a body of its own', [text('look\n'), file(pattern(70_000))], { tag: 'x' }],
  ['a file of more than 10 MiB', [file(pattern((10 << 20) + 1))], {}],
  ['a file of more than 10 MiB', [file(pattern((10 << 20) + 1))], {}, true],
] as const) {
  const clock = slow ? 'its clock ten years behind' : 'the clock is set ten years ahead'
  test(`${shape}: a sender is stopped at any operation, ${clock}, another sweeps: whole or not accepted`, async () => {
    await withPair(async (alice) => {
      const { home, contact } = alice
      let accepted = 0
      for (let n = 1; ; n++) {
        const disk = new Stopped(n)
        const sender = Object.create(slow ? behind(home) : home, { files: { value: disk.files } }) as Home
        const sending = send({ ...alice, home: sender }, [[...sources]], opts).catch(() => undefined)
        if ((await Promise.race([disk.stopped, sending])) !== undefined) break
        await sweep(slow ? home : later(home))
        disk.go()
        const queued = (await sending)?.[0]
        const names = await list(home, contact.key)
        assert.equal(names.map(({ id }) => id), queued === undefined ? [] : [queued.id], `stopped at ${n}`)
        if (queued === undefined) continue
        accepted++
        assert.equal(names[0]?.opts, opts, `stopped at ${n}`)
        const copies = (await listMaildir(home, 'sent')).filter(({ id32 }) => id32 !== undefined && queued.id.startsWith(id32))
        assert.equal(copies.map(({ flags }) => flags), ['FS'], `stopped at ${n}: copies in sent/`)
        const outgoing = await openOutgoing(home, nodeSuite, queued)
        assert.ok(outgoing, `stopped at ${n}`)
        let size = 0
        for (let piece; size < outgoing.size; size += piece.length) {
          piece = await outgoing.read(size, 1 << 20)
          assert.ok(piece.length > 0, `stopped at ${n}: ${size} of ${outgoing.size} bytes`)
        }
        await outgoing.close()
        await drop(home, [queued])
      }
      assert.ok(accepted > 0)
    })
  })
}

test('a lock that is released twice is free when either call is over', async () => {
  await withPair(async (alice) => {
    for (const order of ['first', 'second']) {
      const held = await tryLock(alice.home, order)
      const [first, second] = [held?.release(), held?.release()]
      await (order === 'first' ? first : second)
      assert.equal((await readdir(alice.home.at('lock'))).filter((name) => name.startsWith(order)), [])
    }
  })
})

test('lock/ may be deleted while nothing runs', async () => {
  await withPair(async (alice, bob) => {
    const message = make(alice, 'a small text', 1)
    await bob.station.inbox()
    await bob.station.close()
    await rm(bob.home.at('lock'), { recursive: true })
    await nextHelloTime(bob.home)
    assert.ok(await live(bob.home, bob, senderOf(bob), message))
    await check(bob.home, senderOf(bob).key, message)
  })
})

test.run()
