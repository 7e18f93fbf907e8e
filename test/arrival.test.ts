// What a receiver leaves when it dies, or its disk fails, at the n-th operation of a message's way into the inbox, for
// every n: afterwards the message is there exactly once, with every byte, and nothing else is left.

import { readdir, readFile, utimes, writeFile } from 'node:fs/promises'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { sleep, systemClock } from '../lib/base/clock.ts'
import { nodeSuite } from '../lib/crypto/suite-node.ts'
import { Station } from '../lib/delivery/station.ts'
import type { Arrival } from '../lib/disk/arrival.ts'
import type { FileHandle } from '../lib/disk/filehandle.ts'
import type { Files } from '../lib/disk/files.ts'
import { nodeFiles } from '../lib/disk/files.ts'
import type { Home } from '../lib/disk/home.ts'
import { Inbox, type Sender } from '../lib/disk/inbox.ts'
import { tryLock } from '../lib/disk/lock.ts'
import { breakLocks, check, live, make, senderOf, SHAPES } from './lives.ts'
import { file, PATIENCE_MS, send, sessions, short, waiting, withPair, within } from './pair.ts'

/** A disk that does something at its n-th operation that changes anything; reading is free. */
class Disk {
  readonly files: Files
  /** Operations so far, and what they were. */
  done: string[] = []
  readonly #open = new Set<FileHandle>()
  #at = Infinity
  #until = Infinity
  #code = ''

  constructor(real: Files = nodeFiles) {
    const wrap =
      <A extends unknown[], R>(name: string, work: (...args: A) => Promise<R>) =>
      async (...args: A): Promise<R> => {
        this.#step(`${name} ${typeof args[0] === 'string' ? args[0].split('/').slice(-3).join('/') : ''}`)
        return work(...args)
      }
    this.files = {
      ...real,
      mkdir: wrap('mkdir', real.mkdir.bind(real)),
      rmdir: wrap('rmdir', real.rmdir.bind(real)),
      rename: wrap('rename', real.rename.bind(real)),
      link: wrap('link', real.link.bind(real)),
      unlink: wrap('unlink', real.unlink.bind(real)),
      syncDir: wrap('syncDir', real.syncDir.bind(real)),
      utimes: wrap('utimes', real.utimes.bind(real)),
      open: async (path, mode) => {
        if (mode === 'create' || mode === 'append') this.#step(`${mode} ${path.split('/').slice(-3).join('/')}`)
        const handle = await real.open(path, mode)
        return this.#handle(handle, path.split('/').slice(-3).join('/'))
      },
    }
  }

  #handle(handle: FileHandle, name: string): FileHandle {
    this.#open.add(handle)
    return {
      read: (position, length) => handle.read(position, length),
      write: async (bytes, position) => {
        try {
          this.#step(`write ${name}`)
        } catch (error) {
          await handle.write(bytes.subarray(0, bytes.length / 2), position) // torn
          throw error
        }
        return handle.write(bytes, position)
      },
      sync: async () => {
        this.#step(`sync ${name}`)
        return handle.sync()
      },
      truncate: async (size) => {
        this.#step(`truncate ${name}`)
        return handle.truncate(size)
      },
      size: () => handle.size(),
      close: () => {
        this.#open.delete(handle)
        return handle.close()
      },
    }
  }

  /** What the system does for a dead process. */
  async bury(): Promise<void> {
    for (const handle of this.#open) await handle.close()
    this.#open.clear()
  }

  #step(what: string): void {
    if (what.includes('lock/')) return // locks are advisory, and the tests break them
    this.done.push(what)
    if (this.done.length < this.#at || this.done.length > this.#until) return
    throw Object.assign(new Error(`${this.#code} at ${what}`), this.#code === 'dead' ? {} : { code: this.#code })
  }

  /** From the n-th operation on (counted from now), for `times` operations. 'dead': the process is gone. */
  fail(n: number, code: 'dead' | 'ENOSPC' | 'EIO', times = Infinity): void {
    this.done = []
    this.#at = n
    this.#until = n + times - 1
    this.#code = code
  }

  heal(): void {
    this.#at = Infinity
  }

  get hit(): boolean {
    return this.done.length >= this.#at
  }
}

for (const shape of Object.keys(SHAPES)) {
  test(`${shape}: a receiver that dies at any operation, and its successor at another, lose and double nothing`, async () => {
    await withPair(async (alice, bob) => {
      const disk = new Disk()
      const home: Home = Object.create(bob.home, { files: { value: disk.files } }) as Home
      const from = senderOf(bob)
      const large = shape.includes('MiB')
      for (let n = 1; ; n++) {
        const message = make(alice, shape, n)
        disk.fail(n, 'dead')
        const acked = await live(home, bob, from, message).catch(() => false)
        if (!disk.hit) break
        assert.not(acked)
        await disk.bury()
        await breakLocks(home)
        if (!large || n % 4 === 0) {
          disk.fail(1 + ((n * 7) % 19), 'dead')
          await live(home, bob, from, message).catch(() => false)
          await disk.bury()
          await breakLocks(home)
        }
        disk.heal()
        assert.ok(await live(home, bob, from, message), `after ${n}`)
        await check(home, from.key, message)
      }
      assert.ok(disk.done.length > 8, `${disk.done.length} operations`)
    })
  })

  test(`${shape}: no room or a failing disk at any operation loses and doubles nothing, and the session ends`, async () => {
    const disk = new Disk()
    await withPair(async (alice, bob) => {
      const sources = (seed: number) => (SHAPES[shape]?.(seed) ?? []).map(({ type, bytes }) =>
        type === undefined ? file(bytes) : { type, content: bytes })
      const from = senderOf(bob)
      let station = bob.station
      const meet = async (): Promise<unknown> => {
        const { a, b } = await sessions(alice, { ...bob, station })
        const [one, two] = await within(PATIENCE_MS, Promise.all([a.ended, b.ended]))
        if (one.error !== undefined) throw one.error
        return two.error
      }
      await meet() // Bob writes down what Alice says of herself
      const restart = async (): Promise<void> => {
        await station.close()
        await breakLocks(bob.home)
        station = await Station.open(bob.home, bob.keyring)
      }
      const step = shape.includes('MiB') ? 3 : 1 // each costs a third of a second
      for (const [code, times] of [['ENOSPC', 1], ['ENOSPC', Infinity], ['EIO', 1]] as const) {
        for (let n = 1; n < 100; n += step) {
          const [queued] = await send(alice, [sources(n)])
          assert.ok(queued)
          disk.fail(n, code, times)
          const error = await meet()
          const what = disk.done[n - 1]
          const hit = disk.hit
          disk.heal()
          if (hit && code === 'ENOSPC' && error !== undefined) {
            assert.match(what ?? '', /^(?:write|sync|syncDir) (?:.*\/seen|.*inbox\/new)$/, `${(error as Error).message}: ends no process`)
          }
          if (error !== undefined) await restart()
          const late = await meet()
          assert.is(late, undefined, `${code} at ${what}: ${String(late)}`)
          assert.is(await waiting(alice), 0, `${code} at ${what}`)
          const contents = (SHAPES[shape]?.(n) ?? [])
          await check(bob.home, from.key, { id: queued.id, bytes: new Uint8Array(), parts: contents })
          if (!hit) break
        }
      }
      await station.close()
    }, disk.files)
  })
}

test('whoever lives keeps its lock, however old it looks; whoever died leaves it at once', async () => {
  await withPair(async (_, { home }) => {
    const held = await tryLock(home, 'x')
    assert.ok(held)
    await utimes(home.at('lock', 'x.lock'), 1, 1) // as after a night's sleep, or when the clock was set
    assert.is(await tryLock(home, 'x'), undefined)
    const note = JSON.parse(await readFile(home.at('lock', 'x.owner'), 'utf8')) as object
    await writeFile(home.at('lock', 'x.owner'), JSON.stringify({ ...note, start: '1' })) // that number, another process
    const next = await tryLock(home, 'x')
    assert.ok(next)
    await next.release()
    await held.release()
    const full = Object.create(home, {
      files: { value: { ...nodeFiles, open: () => Promise.reject(Object.assign(new Error('full'), { code: 'ENOSPC' })) } },
    }) as Home
    assert.is(await tryLock(full, 'receiver.x').catch((error: Error) => error.message), 'full')
    const after = await tryLock(home, 'receiver.x')
    assert.ok(after, 'no lock is left behind by a process that could not say whose it is')
    await after.release()
  })
})

test('three receivers of one message at once deliver it once', async () => {
  await withPair(async (alice, bob) => {
    const from = senderOf(bob)
    for (const shape of Object.keys(SHAPES)) {
      const message = make(alice, shape, 9)
      await Promise.all([1, 2, 3].map(() => live(bob.home, bob, from, message)))
      await check(bob.home, from.key, message)
    }
  })
})

test('records come into the log in the order of the names, although the mails of a second group are written meanwhile', async () => {
  let slow = true
  const files: Files = {
    ...nodeFiles,
    async syncDir(path) {
      if (path.includes('/part/') && slow) {
        slow = false // for the first group alone
        await sleep(systemClock, 200)
      }
      return nodeFiles.syncDir(path)
    },
  }
  await withPair(async (alice, bob) => {
    const from = senderOf(bob)
    const inbox = await Inbox.open(bob.home, nodeSuite, bob.keyring.self)
    const arrived = async (n: number): Promise<{ arrival: Arrival; from: Sender }[]> => {
      const message = make(alice, 'a small text', n)
      const place = await inbox.arrive(from, message.id, message.bytes.length)
      await place?.arrival.write(message.bytes)
      return [{ arrival: place?.arrival as Arrival, from }]
    }
    const [one, two] = [await arrived(1), await arrived(2)]
    let second: ReturnType<Inbox['commit']> | undefined
    await inbox.commit(one, () => void (second = inbox.commit(two)))
    await second
    await inbox.close()
    const log = await readFile(bob.home.at('seen'), 'utf8')
    const at = [...one, ...two].map(({ arrival }) => log.indexOf(arrival.id))
    assert.ok((at[0] as number) >= 0 && (at[0] as number) < (at[1] as number), at.join(' '))
    const names = (await readdir(bob.home.at('inbox', 'new'))).sort()
    assert.equal(names.map((name) => name.split('.')[1]), [...one, ...two].map(({ arrival }) => arrival.id.slice(0, 32)))
  }, files)
})

test('while one group is noted the next one is written: nothing waits for a disk that has nothing to do', async () => {
  let written = (): void => undefined
  const another = new Promise<void>((resolve) => (written = resolve))
  let synced = false
  const files: Files = {
    ...nodeFiles,
    async open(path, mode) {
      const part = path.includes('/part/')
      if (synced && part) written()
      const handle = await nodeFiles.open(path, mode)
      const sync = async (): Promise<void> => {
        if (path.endsWith('/seen')) await another
        await handle.sync()
        synced ||= part
      }
      return {
        read: (position, length) => handle.read(position, length),
        write: (bytes, position) => handle.write(bytes, position),
        sync,
        truncate: (size) => handle.truncate(size),
        size: () => handle.size(),
        close: () => handle.close(),
      }
    },
  }
  await withPair(async (alice, bob) => {
    const texts = Array.from({ length: 40 }, (_, n) => SHAPES['a small text']?.(n)[0]?.bytes as Uint8Array)
    await send(alice, texts.map((content) => [{ type: 'text/plain', content }]))
    const { a, b } = await sessions(alice, bob)
    const ends = await within(PATIENCE_MS, Promise.all([a.ended, b.ended]))
    assert.equal(ends.map(({ error }) => error), [undefined, undefined])
    assert.is(await waiting(alice), 0)
    assert.is((await readdir(bob.home.at('inbox', 'new'))).length, 40)
  }, files)
})

test('a message that was suspended goes on where it stopped, whoever takes it up', async () => {
  await withPair(async (alice, bob) => {
    const from = senderOf(bob)
    const message = make(alice, 'a file of more than 10 MiB', 1)
    assert.not(await live(bob.home, bob, from, message, 5 << 20))
    const inbox = await Inbox.open(bob.home, nodeSuite, bob.keyring.self)
    const place = await inbox.arrive(from, message.id, message.bytes.length)
    assert.ok((place?.arrival.offset ?? 0) >= 5 << 20)
    await place?.arrival.suspend()
    place?.release()
    await inbox.close()
    assert.ok(await live(bob.home, bob, from, message))
    await check(bob.home, from.key, message)
    assert.equal(short([message]).length, 1)
  })
})

test.run()
