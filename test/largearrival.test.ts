// A large message on its way in through many lives of its receiver: what a checkpoint covers is never read again, and
// what lay on disk beyond one is never believed before the root of the whole is right.

import fs, { constants } from 'node:fs'
import { open, readdir, readFile, readlink, stat, truncate, writeFile } from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { hex } from '../lib/base/bytes.ts'
import { HashThread } from '../lib/crypto/hashthread.ts'
import { nodeSuite } from '../lib/crypto/suite-node.ts'
import { ChunkStream } from '../lib/disk/chunkstream.ts'
import { nodeFiles } from '../lib/disk/files.ts'
import type { Home } from '../lib/disk/home.ts'
import { LargeArrival } from '../lib/disk/largearrival.ts'
import { envelope, pattern, type Side, withPair } from './pair.ts'

const MIB = 1 << 20
const TAG = '00'.repeat(8)

/** What was handed to the disk and is not there yet. */
let underWay = 0

/** A home that counts the bytes read from message parts, and what is under way to the disk. */
function counting(home: Home): { home: Home; read: () => number } {
  let count = 0
  const counted = <A extends unknown[]>(work: (...of: A) => Promise<void>) =>
    async (...of: A): Promise<void> => {
      underWay++
      await work(...of).finally(() => underWay--)
    }
  const files = {
    ...nodeFiles,
    open: async (...args: Parameters<typeof nodeFiles.open>) => {
      const handle = await nodeFiles.open(...args)
      const [write, sync, cut] = [handle.write.bind(handle), handle.sync.bind(handle), handle.truncate.bind(handle)]
      Object.assign(handle, { write: counted(write), sync: counted(sync), truncate: counted(cut) })
      if (!/\/\d+$/.test(args[0])) return handle
      const read = handle.read.bind(handle)
      return Object.assign(handle, {
        read: async (position: number, length: number) => {
          const bytes = await read(position, length)
          count += bytes.length
          return bytes
        },
      })
    },
  }
  return { home: Object.create(home, { files: { value: files } }) as Home, read: () => count }
}

interface Message {
  id: string
  bytes: Uint8Array
  /** Where the body begins. */
  head: number
}

function make(alice: Side, bodies: Uint8Array[]): Message {
  const { head, bytes } = envelope(alice, bodies.map((body) => ({ bytes: body })))
  return { id: head.id, bytes, head: head.bytes.length }
}

/** A receiver that has just been started. */
async function life(home: Home, bob: Side, { id, bytes }: Message): Promise<LargeArrival> {
  const { key, identity } = bob.contact
  const to = bob.keyring.self.identity
  const arrival = new LargeArrival({ home, hash: nodeSuite, key, from: identity, to, id, size: bytes.length, tag: TAG })
  await arrival.resume()
  return arrival
}

/** Takes in bytes up to `end` and is killed: nothing is made durable any more that is not. */
async function feed(arrival: LargeArrival, { bytes }: Message, end: number): Promise<void> {
  while (arrival.offset < end) await arrival.write(bytes.subarray(arrival.offset, Math.min(arrival.offset + 32_768, end)))
}

async function onDisk(home: Home, bob: Side, { id }: Message): Promise<{ path: string; body: number; checked: number }> {
  const path = home.at('part', bob.contact.key, `${id}.${TAG}`)
  let body = 0
  for (const name of await readdir(path)) if (/^\d+$/.test(name)) body += (await stat(`${path}/${name}`)).size
  const chunks = await stat(`${path}/chunks`).catch(() => undefined)
  return { path, body, checked: Math.floor((chunks?.size ?? 0) / 32) * MIB }
}

/** Until what was handed to the disk is there. */
async function still(home: Home, bob: Side, message: Message): Promise<void> {
  for (let last = '', now = 'x'; now !== last || underWay > 0; ) {
    last = now
    await new Promise((resolve) => setTimeout(resolve, 50))
    now = JSON.stringify(await onDisk(home, bob, message))
  }
}

async function withPart(bob: Side, work: (home: Home, read: () => number) => Promise<void>): Promise<void> {
  const { home, read } = counting(bob.home)
  await home.files.mkdir(home.at('part', bob.contact.key))
  await work(home, read)
}

const good = async (arrival: LargeArrival): Promise<void> => assert.is(await arrival.check(), 'good')

test('killed again and again: each life reads only what lies behind the last checkpoint, and that moves on', async () => {
  await withPair(async (alice, bob) => {
    const message = make(alice, [pattern(3 * MIB + 5, 1), pattern(80 * MIB + 77, 2)])
    await withPart(bob, async (home, read) => {
      const ends = [20.5, 41, 42, 60.25, 77.7].map((mib) => Math.floor(mib * MIB))
      for (const end of [...ends, message.bytes.length]) {
        const there = end === ends[0] ? undefined : await onDisk(home, bob, message)
        const before = read()
        const arrival = await life(home, bob, message)
        if (there !== undefined) {
          assert.is(read() - before, there.body - there.checked, 'hashed again')
          assert.ok(there.body - there.checked <= 34 * MIB, `${there.body - there.checked} bytes behind the checkpoint`)
          assert.is(arrival.offset, message.head + there.body, 'and nothing is asked for that is here')
        }
        await feed(arrival, message, end)
        if (end === message.bytes.length) await good(arrival)
        await still(home, bob, message)
      }
    })
  })
})

test('what a power cut spoiled behind a checkpoint is found at the end, however many lives later, and asked for again', async () => {
  await withPair(async (alice, bob) => {
    const message = make(alice, [pattern(70 * MIB, 3)])
    await withPart(bob, async (home) => {
      await feed(await life(home, bob, message), message, 24 * MIB)
      await still(home, bob, message)
      const { path, checked } = await onDisk(home, bob, message)
      assert.is(checked, 16 * MIB)
      // The right size and zeros: what a file system may leave of bytes that were never fsynced.
      await truncate(`${path}/0`, 20 * MIB)
      await truncate(`${path}/0`, 23 * MIB)
      for (const end of [40, 60]) {
        await feed(await life(home, bob, message), message, end * MIB)
        await still(home, bob, message)
      }
      assert.ok((await onDisk(home, bob, message)).checked > 40 * MIB, 'checkpoints went on')
      const arrival = await life(home, bob, message)
      await feed(arrival, message, message.bytes.length)
      assert.is(await arrival.check(), 'again')
      assert.is(arrival.offset, message.head + checked, 'from the checkpoint of the life that was cut')
      await feed(arrival, message, message.bytes.length)
      await good(arrival)
      assert.is(Buffer.compare(await readFile(`${path}/0`), message.bytes.subarray(message.head)), 0)
    })
  })
})

test('a chunk that changed on disk after its checkpoint is found, too, and only what follows it is asked for', async () => {
  await withPair(async (alice, bob) => {
    const message = make(alice, [pattern(40 * MIB, 4)])
    await withPart(bob, async (home) => {
      await feed(await life(home, bob, message), message, 39 * MIB)
      await still(home, bob, message)
      const { path } = await onDisk(home, bob, message)
      const held = await readFile(`${path}/0`)
      held[7 * MIB + 9] = ~(held[7 * MIB + 9] ?? 0)
      await writeFile(`${path}/0`, held)
      const sums = await readFile(`${path}/chunks`)
      sums[5 * 32] = ~(sums[5 * 32] ?? 0) // and one of the sums themselves
      await writeFile(`${path}/chunks`, sums)
      const arrival = await life(home, bob, message)
      await feed(arrival, message, message.bytes.length)
      assert.is(await arrival.check(), 'again')
      assert.is(arrival.offset, message.head + 5 * MIB)
      await feed(arrival, message, message.bytes.length)
      await good(arrival)
      assert.is(Buffer.compare(await readFile(`${path}/0`), message.bytes.subarray(message.head)), 0)
    })
  })
})

test('chunks of a very large body are hashed by a thread, to the same hashes, and written as they came', async () => {
  for (const [size, threads] of [[127 * MIB, 0], [128 * MIB, 1]] as const) {
    const made: HashThread[] = []
    const hash = { ...nodeSuite, hashThread: () => made[made.push(new HashThread()) - 1] as HashThread }
    const written: Uint8Array[] = []
    const stream = new ChunkStream(hash, [], size, async (at, bytes) => {
      assert.is(at, written.reduce((sum, { length }) => sum + length, 0))
      written.push(Uint8Array.from(bytes))
    })
    const body = pattern(6 * MIB + 1000)
    for (let at = 0; at < body.length; at += 65_280) {
      const piece = body.subarray(at, at + 65_280)
      if (!stream.takesNow(piece)) await stream.take(piece)
    }
    const chunks = Array.from({ length: 7 }, (_, i) => body.subarray(i * MIB, (i + 1) * MIB))
    const sums = [...(await stream.hashes()), ...stream.tail()]
    assert.equal(sums.map(hex), chunks.map((chunk) => hex(nodeSuite.hash(chunk))))
    await stream.flush()
    assert.ok(Buffer.concat(written).equals(body))
    assert.is(made.length, threads)
    await stream.close()
  }
})

test('what comes in during a write is the next one, and no chunk gives way before it is written and hashed', async () => {
  const body = pattern(40 * MIB, 3)
  for (const slow of ['writing', 'hashing']) {
    const [writes, gates]: [number[], (() => void)[]] = [[], []]
    const behind: boolean[] = []
    const gate = (which: string): Promise<void> => (which === slow ? new Promise((open) => gates.push(open)) : Promise.resolve())
    const hashApart = async (bytes: Uint8Array): Promise<Uint8Array> => {
      await gate('hashing')
      return nodeSuite.hash(bytes)
    }
    const disk = Buffer.alloc(body.length)
    const stream = new ChunkStream({ hash: (...parts) => nodeSuite.hash(...parts), hashApart }, [], body.length, async (at, bytes, late) => {
      writes.push(bytes.length / MIB)
      behind.push(late)
      await gate('writing')
      disk.set(bytes, at)
    })
    let taken = 0
    const feeding = (async () => {
      for (; taken < 40; taken++) await stream.take(body.subarray(taken * MIB, (taken + 1) * MIB))
    })()
    await new Promise(setImmediate)
    assert.is(taken, 8, `memory is bounded: ${slow}`)
    while (stream.size < body.length || gates.length > 0) {
      gates.splice(0).forEach((open) => open())
      await new Promise(setImmediate)
    }
    await feeding
    assert.equal((await stream.hashes()).map(hex), Array.from({ length: 40 }, (_, i) => hex(nodeSuite.hash(body.subarray(i * MIB, (i + 1) * MIB)))))
    assert.ok(disk.equals(body), slow)
    if (slow === 'writing') assert.is(Math.max(...writes), 2)
    assert.is(behind[2], false)
    assert.is(behind.at(-1), slow === 'writing', 'it is the disk that is behind')
    await stream.close()
  }
})

test('a disk that is slow is behind, and its file hears of it; what lay there already says nothing of it', async () => {
  const lay: boolean[] = []
  const body = pattern(40 * MIB, 5)
  const stream = new ChunkStream(nodeSuite, [], body.length, async (_at, _bytes, behind) => void lay.push(behind))
  await stream.take(body.subarray(0, 20 * MIB), true)
  for (let at = 20; at < 40; at++) await stream.take(body.subarray(at * MIB, (at + 1) * MIB))
  await stream.flush()
  await stream.close()
  assert.equal([lay.length > 0, lay.includes(true)], [true, false])
  await withPair(async (alice, bob) => {
    const message = make(alice, [body])
    await bob.home.files.mkdir(bob.home.at('part', bob.contact.key))
    const late: boolean[] = []
    const files = {
      ...nodeFiles,
      open: async (...args: Parameters<typeof nodeFiles.open>) => {
        const handle = await nodeFiles.open(...args)
        if (!/\/\d+$/.test(args[0])) return handle
        const write = handle.write.bind(handle)
        const slow = async (...piece: Parameters<typeof write>): Promise<void> => {
          late.push(piece[2] === true)
          await new Promise((resolve) => setTimeout(resolve, 20))
          await write(...piece)
        }
        return Object.assign(handle, { write: slow })
      },
    }
    const arrival = await life(Object.create(bob.home, { files: { value: files } }) as Home, bob, message)
    await feed(arrival, message, message.bytes.length)
    await good(arrival)
    assert.equal([late[0], late.at(-1)], [false, true])
    await arrival.discard()
  })
})

test('a thread that hashes answers what it was asked also when it ends', async () => {
  const thread = new HashThread()
  const room = thread.room(3 * MIB).fill(pattern(3 * MIB))
  const parts = [0, 1, 2].map((i) => room.subarray(i * MIB, (i + 1) * MIB))
  const asked = parts.map((part) => thread.hash(part))
  thread.close()
  asked.push(thread.hash(room))
  assert.equal((await Promise.all(asked)).map(hex), [...parts, room].map((part) => hex(nodeSuite.hash(part))))
})

/** open(2) flags of all descriptors of this process that are this file. */
async function flagsOf(path: string): Promise<number[]> {
  const flags: number[] = []
  for (const fd of await readdir('/proc/self/fd')) {
    if ((await readlink(`/proc/self/fd/${fd}`).catch(() => '')) !== path) continue
    flags.push(Number.parseInt(/^flags:\s+(\d+)$/m.exec(await readFile(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1] ?? '', 8))
  }
  return flags
}

/** Whether a file can be written past the page cache there; makes it. */
async function hasDirect(path: string): Promise<boolean> {
  const file = await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_DIRECT).catch(() => undefined)
  await file?.close()
  return file !== undefined
}

test('chunks are written past the page cache where that is possible, and all bytes are in the file wherever it is not', async () => {
  await withPair(async (_, bob) => {
    const path = bob.home.at('direct')
    const has = await hasDirect(path)
    let handle = await nodeFiles.open(path, 'update')
    const bytes = pattern(8 * MIB)
    const chunk = new HashThread().room(MIB)
    const put = async (room: Uint8Array, at: number, size: number): Promise<boolean> => {
      Buffer.from(room.buffer, room.byteOffset, size).fill(bytes.subarray(at, at + size))
      await handle.write(room.subarray(0, size), at)
      return (await flagsOf(path)).some((flags) => (flags & constants.O_DIRECT) !== 0)
    }
    assert.is(await put(Buffer.allocUnsafeSlow(MIB), 0, MIB), false, 'memory of malloc')
    assert.is(await put(chunk, MIB + 1, MIB), false, 'not at the border of a page')
    await handle.write(chunk, 0, true)
    assert.is(await put(Buffer.allocUnsafeSlow(MIB), 0, MIB), false, 'the disk was behind')
    assert.is(await put(chunk, MIB, MIB), has)
    assert.is(await put(chunk, 2 * MIB, MIB - 1), has, 'a tail')
    assert.is(await put(chunk.subarray(1), 3 * MIB - 1, 8192), has)
    assert.is(await put(chunk, 3 * MIB, MIB), has)
    await handle.close()
    assert.equal(await flagsOf(path), [])
    handle = await nodeFiles.open(path, 'update')
    const liar = Buffer.allocUnsafeSlow(MIB) // the system refuses it, and from then on nothing is tried
    Object.defineProperty(liar.buffer, 'growable', { value: true })
    await put(liar, 4 * MIB, MIB)
    for (const at of [5, 6, 7]) await put(chunk, at * MIB, MIB)
    await handle.sync()
    await handle.close()
    assert.equal(await flagsOf(path), [])
    assert.is(Buffer.compare(await readFile(path), bytes), 0)
  })
})

test('a file that is closed while it is written to is left alone from then on, and so is what gets its numbers', async () => {
  const { write } = fs
  type Write = [number, Uint8Array, number, number, ...unknown[]]
  const ways = {
    short: ([fd, bytes, at, size, ...more]: Write) => Reflect.apply(write, fs, [fd, bytes, at, size / 2, ...more]) as void, // a disk that is nearly full
    unfit: (call: Write) => setImmediate(call[5] as (error: Error) => void, Object.assign(new Error('other pages'), { code: 'EINVAL' })),
  }
  for (const [way, act] of Object.entries(ways)) {
    await withPair(async (_, bob) => {
      const chunk = new HashThread().room(MIB).fill(1)
      const direct = await hasDirect(bob.home.at('direct'))
      const handle = await nodeFiles.open(bob.home.at('closed'), 'create')
      const patch = (by: typeof write): void => {
        fs.write = by
        syncBuiltinESMExports()
      }
      let calls = 0
      patch(((...call: Write) => (calls++ === 0 ? act(call) : Reflect.apply(write, fs, call))) as typeof write)
      const written = handle.write(chunk, 0).then(() => 'all', (error: NodeJS.ErrnoException) => error.code)
      await handle.close()
      const others = await Promise.all(['x', 'y', 'z'].map((name) => nodeFiles.open(bob.home.at(name), 'create')))
      try {
        assert.is(await written, way === 'unfit' && !direct ? 'EINVAL' : 'EBADF', way)
        assert.is(calls, 1, way)
        for (const other of others) assert.is(await other.size(), 0, way)
      } finally {
        patch(write)
        for (const other of others) await other.close()
      }
    })
  }
})

test.run()
