import { mkdtemp, readFile, rm, truncate, writeFile, appendFile, readdir } from 'node:fs/promises'
import { createHash } from 'node:crypto'
import { tmpdir } from 'node:os'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { EX, Failure } from '../lib/base/fail.ts'
import { base58 } from '../lib/base/key.ts'
import { createHome, type Home } from '../lib/disk/home.ts'
import { Seen } from '../lib/disk/seen.ts'
import { findSeen, readSeen, seenEnd, type SeenRecord } from '../lib/disk/seenlog.ts'

const KEY = base58(new Uint8Array(32).fill(7))
const OTHER = base58(new Uint8Array(32).fill(8))

async function withHome(work: (home: Home) => Promise<void>): Promise<void> {
  const path = await mkdtemp(`${tmpdir()}/p2p-seen-`)
  try {
    await work(await createHome({ path, source: 'test' }, 21000))
  } finally {
    await rm(path, { recursive: true })
  }
}

function record(n: number, tag = 'a'.repeat(16), key = KEY): SeenRecord {
  return { time: BigInt(n), key, id: createHash('sha256').update(`${n}`).digest('hex'), tag }
}

test('a committed record is found by contact and id, also after opening again', async () => {
  await withHome(async (home) => {
    const seen = await Seen.open(home)
    assert.equal(await seen.commit([record(1), record(2)]), [true, true])
    assert.is((await seen.find(KEY, record(1).id))?.time, 1n)
    assert.is(await seen.find(OTHER, record(1).id), undefined)
    assert.is(await seen.find(KEY, record(3).id), undefined)
    await seen.close()
    const again = await Seen.open(home)
    assert.is((await again.find(KEY, record(2).id))?.tag, 'a'.repeat(16))
    await again.close()
  })
})

test('a record that another write has torn apart is nobody else\'s victory, and one that was not written is nothing', async () => {
  await withHome(async (home) => {
    let write: 'whole' | 'torn' | 'full' | 'late' = 'whole'
    const open: Home['files']['open'] = async (path, mode) => {
      const handle = await home.files.open(path, mode)
      if (!path.endsWith('/seen')) return handle
      return {
        read: (at, length) => handle.read(at, length),
        sync: () => handle.sync(),
        truncate: (size) => handle.truncate(size),
        size: () => handle.size(),
        close: () => handle.close(),
        async write(bytes) {
          const full = Object.assign(new Error('full'), { code: 'ENOSPC' })
          if (write === 'full') await handle.write(bytes.subarray(0, 100)).then(() => Promise.reject(full))
          if (write === 'late') await handle.write(bytes).then(() => Promise.reject(full))
          if (write === 'whole') return handle.write(bytes)
          await handle.write(bytes.subarray(0, 100)) // as a short write(2) would, with another process in between
          await appendFile(home.at('seen'), '\nsomebody else')
          await handle.write(bytes.subarray(100))
        },
      }
    }
    const seen = await Seen.open(Object.create(home, { files: { value: { ...home.files, open } } }) as Home)
    const failure = (error: unknown): unknown => (error instanceof Failure ? error.exit : (error as { code: string }).code)
    write = 'torn'
    assert.is(await seen.commit([record(1)]).catch(failure), EX.IO)
    write = 'full'
    assert.is(await seen.commit([record(2)]).catch(failure), 'ENOSPC')
    write = 'late'
    assert.is(await seen.commit([record(3)]).catch(failure), EX.IO)
    write = 'whole'
    assert.equal(await seen.commit([record(1), record(2)]), [true, true])
    await seen.close()
  })
})

test('after an fsync that failed nothing is durable any more, whatever the next one says', async () => {
  await withHome(async (home) => {
    let broken = false
    const open: Home['files']['open'] = async (path, mode) => {
      const handle = await home.files.open(path, mode)
      const sync = handle.sync.bind(handle)
      return Object.assign(handle, {
        sync: () => (broken ? ((broken = false), Promise.reject(Object.assign(new Error('EIO'), { code: 'EIO' }))) : sync()), // once: it counts as clean then
      })
    }
    const seen = await Seen.open(Object.create(home, { files: { value: { ...home.files, open } } }) as Home)
    const failure = (error: unknown): unknown => (error instanceof Failure ? error.exit : (error as { code: string }).code)
    assert.equal(await seen.commit([record(1)]), [true])
    broken = true
    assert.is(await seen.commit([record(2)]).catch(failure), EX.IO)
    assert.is(await seen.commit([record(3)]).catch(failure), EX.IO, 'a group that was under way meanwhile')
    assert.is(await seen.find(KEY, record(2).id).catch(failure), 'EIO', 'no HAVE')
    assert.is((await seen.find(KEY, record(1).id))?.time, 1n)
    await seen.close()
  })
})

test('of two writers of one id the first in the log wins and the other learns it', async () => {
  await withHome(async (home) => {
    const [one, two] = [await Seen.open(home), await Seen.open(home)]
    const results = await Promise.all([one.commit([record(1, '1'.repeat(16))]), two.commit([record(1, '2'.repeat(16))])])
    assert.is(results.flat().filter(Boolean).length, 1)
    const first = (await readFile(home.at('seen'), 'latin1')).split('\n')[1]?.split(' ')[3]
    assert.is((await one.find(KEY, record(1).id))?.tag, first)
    assert.is((await two.find(KEY, record(1).id))?.tag, first)
    assert.equal(await two.commit([record(1, '3'.repeat(16))]), [false])
    await one.close()
    await two.close()
  })
})

test('a torn line is skipped and never swallows the next record', async () => {
  await withHome(async (home) => {
    const seen = await Seen.open(home)
    await seen.commit([record(1)])
    const size = await seenEnd(home)
    await seen.commit([record(2)])
    await seen.close()
    const whole = (await seenEnd(home)) - 1
    for (let cut = size; cut < whole; cut += 7) {
      await truncate(home.at('seen'), cut)
      const torn = await Seen.open(home)
      assert.is(await torn.find(KEY, record(2).id), undefined)
      await torn.commit([record(3)])
      assert.ok(await torn.find(KEY, record(3).id))
      assert.ok(await torn.find(KEY, record(1).id))
      await torn.close()
      const reread = await Seen.open(home)
      assert.ok(await reread.find(KEY, record(3).id), `cut at ${cut}`)
      await reread.close()
      await truncate(home.at('seen'), size)
      const back = await Seen.open(home)
      await back.commit([record(2)])
      await back.close()
    }
  })
})

test('a write of which a power cut left the size and zeros does not reach into the record before it', async () => {
  await withHome(async (home) => {
    const seen = await Seen.open(home)
    await seen.commit([record(1)])
    const size = await seenEnd(home)
    await seen.commit([record(2)])
    await seen.close()
    const end = await seenEnd(home)
    await truncate(home.at('seen'), size)
    await truncate(home.at('seen'), end)
    const torn = await Seen.open(home)
    assert.ok(await torn.find(KEY, record(1).id))
    assert.is(await torn.find(KEY, record(2).id), undefined)
    await torn.commit([record(3)])
    assert.ok(await torn.find(KEY, record(3).id))
    await torn.close()
  })
})

test('a line with a changed byte is no record', async () => {
  await withHome(async (home) => {
    const seen = await Seen.open(home)
    await seen.commit([record(1)])
    await seen.close()
    const bytes = await readFile(home.at('seen'))
    for (let i = 1; i < bytes.length; i += 3) {
      const changed = Uint8Array.from(bytes)
      changed[i] = (changed[i] ?? 0) ^ 1
      await writeFile(home.at('seen'), changed)
      const again = await Seen.open(home)
      assert.is(await again.find(KEY, record(1).id), undefined, `byte ${i}`)
      await again.close()
    }
  })
})

test('20,000 records in runs: all found, none invented, order and cursors of the log kept', async () => {
  await withHome(async (home) => {
    const seen = await Seen.open(home)
    const total = 20_000
    for (let at = 0; at < total; at += 500) {
      await seen.commit(Array.from({ length: 500 }, (_, i) => record(at + i)))
    }
    await seen.close()
    assert.ok((await readdir(home.at('seen.index'))).length <= 5, 'runs are merged')
    const again = await Seen.open(home)
    for (let i = 0; i < total; i += 37) assert.is((await again.find(KEY, record(i).id))?.time, BigInt(i))
    for (let i = 0; i < 200; i++) assert.is(await again.find(KEY, record(total + i).id), undefined)
    await again.close()
    let count = 0
    let cursor = 0
    for await (const entry of readSeen(home, 0)) {
      assert.is(entry.time, BigInt(count++))
      if (count === 10_000) cursor = entry.next
    }
    assert.is(count, total)
    for await (const entry of readSeen(home, cursor)) assert.is(entry.time, BigInt(count++ - total + 10_000))
    assert.is(count, total + 10_000)
  })
})

test('runs that are damaged, missing or foreign are built again', async () => {
  await withHome(async (home) => {
    const seen = await Seen.open(home)
    for (let at = 0; at < 9000; at += 500) await seen.commit(Array.from({ length: 500 }, (_, i) => record(at + i)))
    await seen.close()
    for (const name of await readdir(home.at('seen.index'))) {
      const path = home.at('seen.index', name)
      const bytes = await readFile(path)
      bytes[5] = (bytes[5] ?? 0) ^ 0xff
      await writeFile(path, bytes)
    }
    await appendFile(home.at('seen.index', '7-9.run'), 'x')
    const again = await Seen.open(home)
    for (let i = 0; i < 9000; i += 91) assert.ok(await again.find(KEY, record(i).id))
    await again.close()
  })
})

test('a long log without runs, damaged here and there: what reading it tells, a search finds, and nothing else', async () => {
  await withHome(async (home) => {
    const seen = await Seen.open(home)
    for (let at = 0; at < 9000; at += 500) await seen.commit(Array.from({ length: 500 }, (_, i) => record(at + i)))
    await seen.close()
    await rm(home.at('seen.index'), { recursive: true })
    const log = await readFile(home.at('seen'))
    for (let at = 5000; at < log.length; at += 40_009) log[at] = (log[at] ?? 0) ^ 0x15 // of lines, of their ends and of blanks
    const middle = log.indexOf(10, log.length >> 1) + 1
    const noise = Buffer.alloc(200_000, 'p2p ')
    await writeFile(home.at('seen'), Buffer.concat([log.subarray(0, middle), noise, Buffer.from('\n'), log.subarray(middle)]))
    const whole = new Set<string>()
    const ends = new Map<string, number>()
    for await (const { id, next } of readSeen(home, 0)) {
      whole.add(id)
      ends.set(id.slice(0, 32), next)
    }
    assert.ok(whole.size > 8500 && whole.size < 9000, String(whole.size))
    const wanted = new Map(ends)
    await findSeen(home, 0, wanted, (id, next) => {
      assert.is(next, wanted.get(id))
      wanted.delete(id)
      return wanted.size === 0
    })
    assert.is(wanted.size, 0, 'each is found where it stands')
    await findSeen(home, 0, { has: () => true }, (id) => {
      assert.match(id, /^[0-9a-f]{32}$/)
      return false
    })
    const end = [...ends.values()][5000] as number
    const some: number[] = []
    await findSeen(home, [...ends.values()][4990] as number, ends, (_, next) => some.push(next) === 0, end)
    assert.equal(some, [...ends.values()].slice(4991, 5001), 'from one offset to another')
    const again = await Seen.open(home)
    assert.ok((await readdir(home.at('seen.index'))).length > 0)
    for (let i = 0; i < 9000; i++) assert.is((await again.find(KEY, record(i).id)) !== undefined, whole.has(record(i).id), String(i))
    await again.close()
  })
})

test('ids that share a long prefix are told apart', async () => {
  await withHome(async (home) => {
    const seen = await Seen.open(home)
    const ids = Array.from({ length: 9000 }, (_, i) => 'f'.repeat(14) + i.toString(16).padStart(6, '0') + '0'.repeat(44))
    for (let at = 0; at < ids.length; at += 1000) {
      await seen.commit(ids.slice(at, at + 1000).map((id, i) => ({ time: BigInt(at + i), key: KEY, id, tag: 'b'.repeat(16) })))
    }
    for (let i = 0; i < 9000; i += 100) assert.is((await seen.find(KEY, ids[i] ?? ''))?.time, BigInt(i))
    await seen.close()
  })
})

test.run()
