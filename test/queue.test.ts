// The queue on a real file system: what accept() leaves at every size, that failures leave nothing, that creation
// times never repeat, and that every later step can be done twice.

import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm, utimes } from 'node:fs/promises'
import { tmpdir } from 'node:os'

import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { execa } from 'execa'

import { concat, hex, utf8 } from '../lib/base/bytes.ts'
import { EX, Failure, Malformed } from '../lib/base/fail.ts'
import { base58 } from '../lib/base/key.ts'
import { nodeSuite } from '../lib/crypto/suite-node.ts'
import { accept, acceptAll, type Party } from '../lib/disk/accept.ts'
import type { FileHandle } from '../lib/disk/filehandle.ts'
import type { Files } from '../lib/disk/files.ts'
import { createHome, realDoors, type Home } from '../lib/disk/home.ts'
import { openOutgoing } from '../lib/disk/outgoing.ts'
import * as queue from '../lib/disk/queue.ts'
import * as queueread from '../lib/disk/queueread.ts'
import { compareNames, parseQueueName, type Queued } from '../lib/disk/queued.ts'
import { note, outcomeOf, readLog } from '../lib/disk/queuelog.ts'
import { sweep } from '../lib/disk/sweep.ts'
import { reserveStamps } from '../lib/disk/stamp.ts'
import { discard, stageBody, type PartSource, type Staged } from '../lib/disk/staging.ts'
import { ChunkHasher, decodeHead } from '../lib/wire/envelope.ts'

const party = (name: string, fill: number): Party => {
  const identity = new Uint8Array(32).fill(fill)
  return { name, identity, key: base58(identity) }
}
const ME = party('alice', 1)
const BOB = party('bob', 2)
const EVE = party('eve', 3)

async function withHome(work: (home: Home) => Promise<void>, files: Partial<Files> = {}): Promise<void> {
  const path = await mkdtemp(`${tmpdir()}/p2p-queue-`)
  const doors = { ...realDoors, files: { ...realDoors.files, ...files } }
  try {
    await work(await createHome({ path, source: 'test' }, 21000, doors))
  } finally {
    await rm(path, { recursive: true })
  }
}

function pattern(size: number): Uint8Array {
  const bytes = new Uint8Array(size)
  for (let i = 0; i < size; i++) bytes[i] = (i * 31 + (i >> 8)) & 255
  return bytes
}
const octets = (content: PartSource['content'], name = 'f.bin'): PartSource => ({
  type: 'application/octet-stream',
  name,
  content,
})

function stage(home: Home, ...sources: PartSource[]): Promise<Staged> {
  return stageBody(home, nodeSuite, sources)
}

async function send(home: Home, to: Party, content: Uint8Array | string, header = {}): Promise<Queued> {
  const bytes = typeof content === 'string' ? utf8(content) : content
  const staged = await stage(home, octets(bytes))
  const queued = await accept(home, nodeSuite, ME, { to, staged, header })
  await discard(home, staged)
  return queued
}

async function readAll(home: Home, queued: Queued, step = 32_768): Promise<Uint8Array> {
  const outgoing = await openOutgoing(home, nodeSuite, queued)
  if (outgoing === undefined) throw new Error('gone')
  const pieces: Uint8Array[] = []
  let at = 0
  for (;;) {
    const piece = await outgoing.read(at, step)
    if (piece.length === 0) break
    pieces.push(piece)
    at += piece.length
  }
  assert.is(at, outgoing.size)
  await outgoing.close()
  await outgoing.close()
  return concat(...pieces)
}

/** Every path in the home below these folders, sorted. */
function tree(home: Home, ...folders: string[]): string[] {
  return folders
    .flatMap((folder) =>
      existsSync(home.at(folder)) ? readdirSync(home.at(folder), { recursive: true }).map((name) => `${folder}/${String(name)}`) : [],
    )
    .filter((path) => !statSync(home.at(path)).isDirectory())
    .sort()
}

const CHUNK = 1 << 20

test('a body of any size comes back byte for byte, in one file up to 64 KiB and beside it beyond', async () => {
  await withHome(async (home) => {
    for (const size of [0, 1, 65_535, 65_536, 65_537, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 7]) {
      const body = pattern(size)
      const queued = await send(home, BOB, body)
      const envelope = await readAll(home, queued, 100_000)
      assert.is(envelope.length, queued.size, `${size}`)
      const head = decodeHead(envelope.subarray(0, envelope.length - size), nodeSuite)
      assert.is(head.id, queued.id)
      assert.is(head.created, queued.created)
      assert.is(hex(head.from), hex(ME.identity))
      assert.is(hex(head.to), hex(BOB.identity))
      assert.ok(Buffer.compare(envelope.subarray(envelope.length - size), body) === 0)
      const hasher = new ChunkHasher(nodeSuite)
      hasher.update(body)
      assert.is(hex(head.root), hex(hasher.root()))
      assert.is(existsSync(home.at('queue', BOB.key, 'body', queued.id)), size > 65_536, `${size}`)
      assert.is(statSync(home.at('queue', BOB.key, 'new', queued.file)).mode & 0o777, 0o600)
    }
    assert.equal(tree(home, 'queue/stage'), [])
    assert.equal(readdirSync(home.at('queue', BOB.key, 'tmp')), [])
  })
})

test('several parts and chunks that come in odd pieces make one body', async () => {
  await withHome(async (home) => {
    const bodies = [utf8('hello'), pattern(70_000), new Uint8Array(0), pattern(CHUNK + 3)]
    const sources = bodies.map((body, i) => octets(pieces(body, 997), `f${i}`))
    const staged = await stage(home, { type: 'text/plain', content: utf8('hello') }, ...sources.slice(1))
    assert.equal(staged.parts.map((part) => part.size), [5, 70_000, 0, CHUNK + 3])
    const queued = await accept(home, nodeSuite, ME, { to: BOB, staged, header: { subject: 's' } })
    await discard(home, staged)
    const envelope = await readAll(home, queued)
    const whole = concat(...bodies)
    assert.ok(Buffer.compare(envelope.subarray(envelope.length - whole.length), whole) === 0)
    const outgoing = await openOutgoing(home, nodeSuite, queued)
    const start = queued.size - whole.length
    for (const at of [0, start - 1, start, start + 4, start + 5, start + 70_004, start + 70_005, queued.size - 1]) {
      assert.is((await outgoing?.read(at, 1))?.[0], envelope[at], `${at}`)
    }
    assert.is((await outgoing?.read(queued.size, 10))?.length, 0)
    await outgoing?.close()
  })
})

async function* pieces(body: Uint8Array, step: number): AsyncGenerator<Uint8Array> {
  const buffer = new Uint8Array(step) // used again and again, as some sources do
  for (let at = 0; at < body.length; at += step) {
    const piece = body.subarray(at, at + step)
    buffer.set(piece)
    yield buffer.subarray(0, piece.length)
  }
}

test('recipients of a large body share one copy on disk', async () => {
  await withHome(async (home) => {
    const staged = await stage(home, octets(pattern(100_000)))
    const drafts = [BOB, EVE, party('carol', 4)].map((to) => ({ to, staged, header: {} }))
    const all = await acceptAll(home, nodeSuite, ME, drafts)
    await discard(home, staged)
    const inodes = all.map(({ key, id }) => statSync(home.at('queue', key, 'body', id, '0')))
    assert.is(new Set(inodes.map((stat) => stat.ino)).size, 1)
    assert.is(inodes[0]?.nlink, 3)
    assert.is(new Set(all.map(({ id }) => id)).size, 3, 'ids tell nothing about the other recipients')
    await queue.settle(home, all.slice(0, 1))
    assert.is((await readAll(home, all[1] as Queued)).length, all[1]?.size)
  })
})

test('a copy with flags F and S lies in sent/, and loses F with delivery', async () => {
  await withHome(async (home) => {
    const queued = await send(home, BOB, 'x')
    const [name] = readdirSync(home.at('sent/cur'))
    assert.is(name, `${queued.created}.${queued.id.slice(0, 32)}.p2p:2,FS`)
    assert.equal(readdirSync(home.at('sent/tmp')), [])
    await queue.settle(home, [queued])
    assert.equal(readdirSync(home.at('sent/cur')), [`${queued.created}.${queued.id.slice(0, 32)}.p2p:2,S`])
  })
})

test('listing is in order of creation and can be paged; finding goes by prefix', async () => {
  await withHome(async (home) => {
    const staged = await stage(home, octets(utf8('x')))
    const sent = await acceptAll(home, nodeSuite, ME, Array.from({ length: 25 }, () => ({ to: BOB, staged, header: {} })))
    const big = await send(home, BOB, pattern(70_000))
    const listed = await queueread.list(home, BOB.key)
    assert.equal(listed, [...sent, big])
    assert.equal(listed.map((q) => q.created), listed.map((q) => q.created).sort((a, b) => (a < b ? -1 : 1)))
    const page = await queueread.list(home, BOB.key, 'new', { after: sent[9]?.file as string, limit: 5 })
    assert.equal(page, sent.slice(10, 15))
    assert.is(await queueread.count(home, BOB.key), 26)
    assert.equal(await queueread.find(home, big.id.slice(0, 12)), [big])
    assert.equal(await queueread.find(home, 'f'.repeat(64)), [])
    assert.equal(await queueread.keys(home), [BOB.key])
    assert.equal(await queueread.list(home, EVE.key), [])
    writeFileSync(home.at('queue', BOB.key, 'new', 'README'), 'not ours')
    assert.is(await queueread.count(home, BOB.key), 26)
  })
})

test('names of different length sort by their number', () => {
  const id = 'a'.repeat(64)
  const names = [`10.${id}`, `9.${id}`, `1700000000000000.${id}`, `9.${'b'.repeat(64)}`]
  assert.equal(names.sort(compareNames), [`9.${id}`, `9.${'b'.repeat(64)}`, `10.${id}`, `1700000000000000.${id}`])
  assert.is(parseQueueName(`10.${id}.opts`), undefined)
  assert.is(parseQueueName(`.${id}`), undefined)
})

test('settling removes everything of a message and may be repeated', async () => {
  await withHome(async (home) => {
    const staged = await stage(home, octets(pattern(70_000)))
    const draft = { to: BOB, staged, header: {}, opts: { expires: 5, tag: 'df' } }
    const queued = await accept(home, nodeSuite, ME, draft)
    await discard(home, staged)
    const small = await send(home, BOB, 'small')
    assert.equal((await queueread.list(home, BOB.key))[0]?.opts, { expires: 5, tag: 'df' })
    await queue.settle(home, [queued, small], new Map([[small.id, 12]]))
    await queue.settle(home, [queued, small])
    assert.equal(tree(home, `queue/${BOB.key}`), [`queue/${BOB.key}/log`])
    assert.equal(readdirSync(home.at('queue', BOB.key, 'body')), [])
    assert.is(await openOutgoing(home, nodeSuite, small), undefined)
  })
})

test('a message that was held back meanwhile is settled where it is', async () => {
  await withHome(async (home) => {
    const queued = await send(home, BOB, 'x')
    assert.ok(await queue.hold(home, queued))
    await queue.settle(home, [queued])
    assert.is(await queueread.count(home, BOB.key, 'hold'), 0)
  })
})

test('hold, release, fail, retry and drop move a message and keep what it is', async () => {
  await withHome(async (home) => {
    const staged = await stage(home, octets(pattern(70_000)))
    const draft = { to: BOB, staged, header: {}, opts: { expires: 1, tag: 't' } }
    const queued = await accept(home, nodeSuite, ME, draft)
    const at = async (state: 'new' | 'hold' | 'failed'): Promise<Queued> =>
      (await queueread.list(home, BOB.key, state))[0] as Queued
    assert.ok(await queue.hold(home, queued))
    assert.is(await queueread.count(home, BOB.key), 0)
    assert.not.ok(await queue.hold(home, queued), 'not in new/ any more')
    assert.ok(await queue.release(home, await at('hold')))
    assert.ok(await queue.fail(home, await at('new'), 'too-big', 'more than 1 MiB'))
    const failed = await at('failed')
    assert.is(failed.opts.reason, 'too-big')
    assert.is(failed.opts.text, 'more than 1 MiB')
    assert.is((await readAll(home, failed)).length, queued.size)
    assert.ok(await queue.retry(home, failed))
    const again = await at('new')
    assert.equal(again.opts, { tag: 't', retried: 1 }, 'an expiry that has passed would end it at once')
    await queue.drop(home, [again])
    assert.equal(await queueread.find(home, queued.id), [])
    assert.equal(readdirSync(home.at('queue', BOB.key, 'body')), [])
    assert.equal(readdirSync(home.at('queue', BOB.key, 'opts')), [])
  })
})

test('a damaged message is named and never sent', async () => {
  await withHome(async (home) => {
    const refused = async (queued: Queued): Promise<void> => {
      try {
        await openOutgoing(home, nodeSuite, queued)
      } catch (error) {
        assert.instance(error, Malformed)
        return
      }
      assert.unreachable()
    }
    const [a, b, c, d] = [await send(home, BOB, 'aaaa'), await send(home, BOB, 'bb'), await send(home, BOB, pattern(70_000)), await send(home, BOB, 'd')]
    truncateSync(home.at('queue', BOB.key, 'new', a.file), a.size - 1)
    await refused(a)
    const path = home.at('queue', BOB.key, 'new', b.file)
    const bytes = readFileSync(path)
    bytes[30] = (bytes[30] as number) ^ 1
    writeFileSync(path, bytes)
    await refused(b)
    truncateSync(home.at('queue', BOB.key, 'body', c.id, '0'), 69_999)
    await refused(c)
    truncateSync(home.at('queue', BOB.key, 'new', d.file), 0)
    await refused(d)
  })
})

// Story: a full disk in the middle of queueing left half a message for the listener to find.
test('a disk that fills up at any step leaves nothing in the queue, in sent/ or in files/', async () => {
  const body = new Uint8Array(11 << 20) // over 10 MiB: sent/ keeps it in files/
  let failures = 0
  for (let step = 0; step < 40; step++) {
    let left = step
    const full = (): void => {
      if (left-- === 0) throw Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC', syscall: 'write' })
    }
    const wrap = (handle: FileHandle): FileHandle => ({
      read: (position, length) => handle.read(position, length),
      write: async (bytes, position) => {
        full()
        await handle.write(bytes, position)
      },
      sync: async () => {
        full()
        await handle.sync()
      },
      truncate: (to) => handle.truncate(to),
      size: () => handle.size(),
      close: () => handle.close(),
    })
    let armed = false
    const files: Partial<Files> = {
      open: async (path, mode) => {
        const handle = await realDoors.files.open(path, mode)
        return armed ? wrap(handle) : handle
      },
      link: async (from, to) => {
        if (armed) full()
        await realDoors.files.link(from, to)
      },
    }
    await withHome(async (home) => {
      const first = await send(home, BOB, 'before')
      armed = true
      let staged: Staged | undefined
      try {
        staged = await stage(home, octets(body))
        await acceptAll(home, nodeSuite, ME, [BOB, EVE].map((to) => ({ to, staged: staged as Staged, header: {}, opts: { tag: 't' } })))
      } catch (error) {
        failures += 1
        if (error instanceof Failure) assert.is(error.exit, EX.IO)
        else assert.is((error as { code?: string }).code, 'ENOSPC')
        armed = false
        if (staged !== undefined) await discard(home, staged)
        assert.equal(await queueread.list(home, BOB.key), [first])
        assert.equal(tree(home, `queue/${EVE.key}`, 'queue/stage', 'sent/tmp', 'files'), [], `step ${step}`)
        assert.equal(tree(home, `queue/${BOB.key}`), [`queue/${BOB.key}/new/${first.file}`])
        assert.is(readdirSync(home.at('sent/cur')).length, 1)
      }
    }, files)
    if (left >= 0) break // no step was left to fail
  }
  assert.ok(failures > 10, `${failures}`)
})

test('a body over the limit is refused with both numbers and leaves nothing', async () => {
  await withHome(async (home) => {
    try {
      await stageBody(home, nodeSuite, [octets(pieces(pattern(200_000), 1000))], { bytes: 150_000 })
      assert.unreachable()
    } catch (error) {
      assert.instance(error, Failure)
      assert.is((error as Failure).exit, EX.DATA)
      assert.match((error as Failure).message, /151000 .* 150000/)
    }
    assert.equal(tree(home, 'queue/stage'), [])
    await discard(home, await stageBody(home, nodeSuite, [octets(pattern(150_000))], { bytes: 150_000 }))
  })
})

test('creation times are above the last one, whatever the clock does', async () => {
  await withHome(async (home) => {
    let now = 1_000n
    const shaky: Home = Object.assign(Object.create(home) as Home, { clock: { ...home.clock, micros: () => now } })
    assert.is(await reserveStamps(shaky, 1), 1_000n)
    assert.is(await reserveStamps(shaky, 3), 1_001n)
    now = 5n
    assert.is(await reserveStamps(shaky, 1), 1_004n)
    now = 2_000n
    assert.is(await reserveStamps(shaky, 1), 2_000n)
    assert.equal(readdirSync(home.at('queue/clock')), ['2000'])
  })
})

test('eight processes at once give every message its own time and lose none', async () => {
  await withHome(async (home) => {
    const script = new URL('queue.worker.ts', import.meta.url).pathname
    const runs = Array.from({ length: 8 }, () => execa('node', ['--import', 'tsx', script, home.path, '50']))
    const lines = (await Promise.all(runs)).flatMap((run) => run.stdout.split('\n'))
    assert.is(lines.length, 400)
    const listed = await queueread.list(home, BOB.key)
    assert.is(listed.length, 400)
    assert.is(new Set(listed.map(({ created }) => created)).size, 400)
    assert.equal([...lines].sort(), listed.map(({ file }) => file).sort())
    // within one process the order is the order of sending
    for (const run of await Promise.all(runs)) {
      const own = run.stdout.split('\n')
      assert.equal(own, [...own].sort(compareNames))
    }
    assert.is(readdirSync(home.at('queue/clock')).length, 1)
  })
})

test('attempts are counted per message from its creation on, and end with a session', async () => {
  await withHome(async (home) => {
    const queued = await send(home, BOB, 'x')
    const start = Number(queued.created / 1000n)
    assert.equal(outcomeOf(await readLog(home, BOB.key), queued.id, queued.created), { attempts: 0, last: undefined })
    const attempt = { event: 'attempt' as const, reason: 'timeout', text: 'off', addresses: [{ address: 'a', reason: 'timeout' }] }
    await note(home, BOB.key, { ...attempt, at: start - 5000 })
    await note(home, BOB.key, [{ ...attempt, at: start + 1000, next: start + 9000 }, { ...attempt, at: start + 2000, next: start + 8000 }])
    const { attempts, last } = outcomeOf(await readLog(home, BOB.key), queued.id, queued.created)
    assert.is(attempts, 2)
    assert.equal(last, { at: start + 2000, reason: 'timeout', text: 'off', addresses: attempt.addresses, next: start + 8000 })
    await note(home, BOB.key, { event: 'deferred', at: start + 3000, id: queued.id, reason: 'peer-full', next: start + 9000 })
    assert.is(outcomeOf(await readLog(home, BOB.key), queued.id, queued.created).last?.reason, 'peer-full')
    await queue.retry(home, queued)
    assert.is((await readLog(home, BOB.key)).last?.next, undefined, 'due now')
    await note(home, BOB.key, { event: 'session', at: start + 4000 })
    const state = await readLog(home, BOB.key)
    assert.is(state.reached, start + 4000)
    assert.equal([state.attempts, state.count, state.last], [[], 0, undefined])
  })
})

test('a torn or foreign line hides no other, not even one cut within a character', async () => {
  await withHome(async (home) => {
    await send(home, BOB, 'x')
    const path = home.at('queue', BOB.key, 'log')
    await note(home, BOB.key, { event: 'attempt', at: 1, reason: 'gr\u00fc\u00df' })
    const torn = readFileSync(path)
    writeFileSync(path, torn.subarray(0, torn.length - 3)) // half of the last letter
    await note(home, BOB.key, { event: 'attempt', at: 2, reason: 'timeout' })
    writeFileSync(path, '\n[]\n{}\n{"at":"x","event":"attempt"}\nnoise', { flag: 'a' })
    await note(home, BOB.key, { event: 'attempt', at: 3, reason: 'refused' })
    assert.equal((await readLog(home, BOB.key)).attempts, [2, 3])
  })
})

test('a log that grows beyond 1 MiB is put aside and its sum carried over', async () => {
  await withHome(async (home) => {
    await send(home, BOB, 'x')
    const text = 'x'.repeat(2000)
    for (let i = 1; i <= 1200; i++) await note(home, BOB.key, { event: 'attempt', at: i, reason: 'timeout', text })
    const size = statSync(home.at('queue', BOB.key, 'log')).size
    assert.ok(size < 1 << 20, `${size}`)
    assert.ok(existsSync(home.at('queue', BOB.key, 'log.0')))
    const state = await readLog(home, BOB.key)
    assert.is(state.count, 1200)
    assert.is(state.attempts.at(-1), 1200)
    assert.is(state.last?.text, text)
  })
})

test('the log can not stop an ACK: a full disk costs the line only', async () => {
  const files: Partial<Files> = {
    open: async (path, mode) => {
      if (path.endsWith('/log')) throw Object.assign(new Error('full'), { code: 'ENOSPC' })
      return realDoors.files.open(path, mode)
    },
  }
  await withHome(async (home) => {
    const queued = await send(home, BOB, 'x')
    await queue.settle(home, [queued])
    assert.is(await queueread.count(home, BOB.key), 0)
  }, files)
})

test('the sweep takes what is old and belongs to nothing, and nothing else', async () => {
  await withHome(async (home) => {
    const old = new Date(Date.now() - 37 * 3600 * 1000)
    const age = (path: string): Promise<void> => utimes(home.at(path), old, old)
    const base = `queue/${BOB.key}`
    const staged = await stage(home, octets(pattern(70_000)))
    const drafts = [0, 1, 2, 3].map(() => ({ to: BOB, staged, header: {}, opts: { tag: 't' } }))
    const [kept, held, orphan, young] = (await acceptAll(home, nodeSuite, ME, drafts)) as [Queued, Queued, Queued, Queued]
    await queue.hold(home, held)
    for (const queued of [orphan, young]) await realDoors.files.unlink(home.at(base, 'new', queued.file))
    for (const queued of [kept, held, orphan]) {
      await age(`${base}/body/${queued.id}`)
      await age(`${base}/opts/${queued.file}`)
    }
    writeFileSync(home.at(base, 'tmp/old'), '')
    writeFileSync(home.at(base, 'tmp/young'), '')
    await age(`${base}/tmp/old`)
    await discard(home, staged) // while somebody stages, bodies are left alone
    await sweep(home)
    assert.equal(readdirSync(home.at(base, 'body')).sort(), [kept.id, held.id, young.id].sort())
    assert.equal(readdirSync(home.at(base, 'opts')).sort(), [kept.file, held.file, young.file].sort())
    assert.equal(readdirSync(home.at(base, 'tmp')), ['young'])
    const living = await stage(home, octets(pattern(70_000)))
    await sweep(home)
    assert.ok(existsSync(living.directory as string), 'its owner lives')
    // the same note from a process that is no more
    const note = JSON.parse(readFileSync(`${living.directory}/owner`, 'utf8')) as object
    writeFileSync(`${living.directory}/owner`, JSON.stringify({ ...note, boot: 'another' }))
    await sweep(home)
    assert.not.ok(existsSync(living.directory as string))
    // a note that its process did not live to finish tells nothing: the age does, of what was written last
    const torn = await stage(home, octets(pattern(70_000)))
    writeFileSync(`${torn.directory}/owner`, JSON.stringify(note).slice(0, 40))
    for (const path of ['owner', '.', '0']) {
      assert.ok(existsSync(torn.directory as string), path)
      await utimes(`${torn.directory}/${path}`, old, old)
      await sweep(home)
    }
    assert.not.ok(existsSync(torn.directory as string))
  })
})

test('the sweep takes copies in sent/tmp of what was never accepted, with their files, and leaves those of what waits', async () => {
  await withHome(async (home) => {
    const old = new Date(Date.now() - 37 * 3600 * 1000)
    const staged = await stage(home, octets(pattern(11_000_000)))
    const drafts = [0, 1, 2, 3].map(() => ({ to: BOB, staged, header: {} }))
    const [waiting, dead, young, shown] = (await acceptAll(home, nodeSuite, ME, drafts)) as [Queued, Queued, Queued, Queued]
    await discard(home, staged)
    const name = ({ created, id }: Queued): string => `${created}.${id.slice(0, 32)}.p2p`
    const put = (queued: Queued): string => home.at('sent/tmp', name(queued))
    for (const queued of [waiting, dead, young]) await realDoors.files.rename(home.at('sent/cur', `${name(queued)}:2,FS`), put(queued))
    for (const queued of [dead, young, shown]) await realDoors.files.unlink(home.at('queue', BOB.key, 'new', queued.file))
    writeFileSync(put(shown), '') // nobody knows how it came here; the mail is in sent/cur and its file belongs to that
    writeFileSync(home.at('sent/tmp/1700000000.foreign'), '')
    for (const path of [put(waiting), put(dead), put(shown), home.at('sent/tmp/1700000000.foreign')]) await utimes(path, old, old)
    await sweep(home)
    assert.equal(readdirSync(home.at('sent/tmp')).sort(), [name(waiting), name(young)].sort())
    assert.equal(readdirSync(home.at('files')).sort(), [waiting.id, young.id, shown.id].sort())
  })
})

test('the sweep takes what was to replace a file, and what a lock of the dead has left', async () => {
  await withHome(async (home) => {
    const old = new Date(Date.now() - 37 * 3600 * 1000)
    mkdirSync(home.at('seen.index'))
    const gone = ['home.json.tmp.0123456789ab', 'hello/last.tmp.0123456789ab', 'contacts/K.json.tmp.0123456789ab', 'seen.index/0-9.run.77']
    const kept = ['hello/last', 'notes.tmp.txt', 'contacts/K.json', 'seen.index/0-9.run', 'lock/b.owner', 'hello/last.tmp.ba9876543210']
    for (const name of [...gone, ...kept, 'lock/a.owner']) writeFileSync(home.at(name), '')
    for (const name of ['lock/b.lock', 'lock/c.dead.77']) mkdirSync(home.at(name))
    for (const name of [...gone, ...kept, 'lock/a.owner', 'lock/b.lock', 'lock/c.dead.77']) {
      if (name !== 'hello/last.tmp.ba9876543210') await utimes(home.at(name), old, old)
    }
    await sweep(home)
    for (const name of gone) assert.not.ok(existsSync(home.at(name)), name)
    for (const name of kept) assert.ok(existsSync(home.at(name)), name)
    assert.equal(readdirSync(home.at('lock')).sort(), ['b.lock', 'b.owner'])
  })
})

test('whatever parts come in, the staged body is their concatenation', async () => {
  await withHome(async (home) => {
    const part = fc.record({ size: fc.integer({ min: 0, max: 70_000 }), step: fc.integer({ min: 1000, max: 80_000 }) })
    await fc.assert(
      fc.asyncProperty(fc.array(part, { minLength: 1, maxLength: 4 }), async (list) => {
        const bodies = list.map(({ size }) => pattern(size))
        const staged = await stage(home, ...list.map(({ step }, i) => octets(pieces(bodies[i] as Uint8Array, step))))
        const queued = await accept(home, nodeSuite, ME, { to: EVE, staged, header: {} })
        await discard(home, staged)
        const whole = concat(...bodies)
        const envelope = await readAll(home, queued)
        assert.ok(Buffer.compare(envelope.subarray(envelope.length - whole.length), whole) === 0)
        assert.is(staged.inline !== undefined, whole.length <= 65_536)
      }),
      { numRuns: 25 },
    )
  })
})

test.run()
