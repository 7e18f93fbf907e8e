// Two homes on one machine, the built commands between them: what one accepts, the other has, exactly once and to the
// byte, whoever was up when. Times are told, not judged.
// test timeout: 900 s

import { mkdirSync, readdirSync, readFileSync } from 'node:fs'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { concat, utf8 } from '../lib/base/bytes.ts'
import { runCommand } from './command.ts'
import { type Held, noise, type Peer, port, sha256, Stage, until } from './peer.ts'
import { Proxy } from './proxy.ts'
import { records } from './records.ts'

const MIB = 1 << 20

interface Content {
  text: Uint8Array | undefined
  files: { name: string | undefined; bytes: Uint8Array }[]
}

/** One line that says everything of a message. */
function summary(id: string, { text, files }: Content): string {
  const parts = files.map(({ name, bytes }) => `${JSON.stringify(name)} ${bytes.length} ${sha256(bytes)}`)
  return [id, text === undefined ? '-' : `${text.length} ${sha256(text)}`, ...parts].join('  ')
}

const summaries = (held: Held[]): string[] => held.map((one) => summary(one.id, one)).sort()

const words = (text: string): Content => ({ text: utf8(text), files: [] })

/** So many bytes of UTF-8, the same for everybody with this number. */
function prose(size: number, seed: number): string {
  const letters = Array.from('abcdefghijklmnop qrstuvwxyzäöü€\n')
  const line = Array.from({ length: 997 }, (_, at) => letters[(seed * 31 + at * 7 + (at >> 5)) % letters.length]).join('')
  const text = utf8(line.repeat(Math.ceil(size / line.length))).subarray(0, size)
  const cut = new TextDecoder('utf-8', { ignoreBOM: true }).decode(text).replace(/\ufffd+$/, '')
  return cut + 'x'.repeat(size - utf8(cut).length)
}

/** Sends from one side to the other, and remembers what has to arrive. */
class Writer {
  readonly expected = new Map<string, string>()
  readonly me: Peer
  readonly to: string
  readonly #seed: number
  bytes = 0

  constructor(me: Peer, to: Peer, seed: number) {
    this.me = me
    this.to = to.name
    this.#seed = seed
  }

  #expect(id: unknown, content: Content): void {
    assert.match(String(id), /^[0-9a-f]{64}$/)
    assert.not.ok(this.expected.has(String(id)), 'an id twice')
    this.expected.set(String(id), summary(String(id), content))
    this.bytes += (content.text?.length ?? 0) + content.files.reduce((sum, file) => sum + file.bytes.length, 0)
  }

  async #run(args: string[], contents: Content[], input: string | Uint8Array): Promise<void> {
    const ran = await this.me.run('p2p-send', [...args, '-w', '50s', '--json'], { input })
    assert.is(ran.code, 0, `${args.join(' ')}: ${ran.err}${ran.out.slice(-300)}`)
    const queued = records(ran.out).filter((record) => record['type'] === 'queued')
    assert.is(queued.length, contents.length)
    for (const [i, record] of queued.entries()) this.#expect(record['id'], contents[i] as Content)
  }

  lines(list: string[], ...args: string[]): Promise<void> {
    return this.#run([this.to, '--lines', ...args], list.map(words), list.map((line) => `${line}\n`).join(''))
  }

  ndjson(list: Content[], ...args: string[]): Promise<void> {
    const lines = list.map(({ text, files }, ref) => {
      const paths = files.map(({ name = '', bytes }) => this.me.file(name, bytes))
      return JSON.stringify({
        to: this.to,
        ref,
        ...(text !== undefined && { text: new TextDecoder('utf-8', { ignoreBOM: true }).decode(text) }),
        ...(paths.length > 0 && { file: paths.length === 1 ? paths[0] : paths }),
      })
    })
    return this.#run(['--ndjson', ...args], list, `${lines.join('\n')}\n`)
  }

  message(text: string, ...args: string[]): Promise<void> {
    return this.#run([this.to, '-m', text, ...args], [words(text)], '')
  }

  stdin(bytes: Uint8Array, content: Content, ...args: string[]): Promise<void> {
    return this.#run([this.to, ...args], [content], bytes)
  }

  files(files: Content['files'], text: string | undefined, ...args: string[]): Promise<void> {
    const attached = files.flatMap(({ name = '', bytes }) => ['-a', this.me.file(name, bytes)])
    const message = text === undefined ? [] : ['-m', text]
    const content = { text: text === undefined ? undefined : utf8(text), files }
    return this.#run([this.to, ...message, ...attached, ...args], [content], '')
  }

  file(size: number, ...args: string[]): Promise<void> {
    const number = this.#seed * 1000 + this.expected.size
    return this.files([{ name: `n${number}.bin`, bytes: noise(size, number) }], undefined, ...args)
  }

  /** `count` messages of every small kind. */
  mixed(count: number): Content[] {
    return Array.from({ length: count }, (_, i): Content => {
      const seed = this.#seed * 10_000 + this.expected.size + i
      const name = `m${seed}.dat`
      switch (i % 10) {
        case 0:
          return words(prose(1 + (i % 7), seed))
        case 1:
          return words(`line one\r\nline two ${seed}\r\n`)
        case 2:
          return words(`no final newline ${seed}`)
        case 3:
          return { text: undefined, files: [{ name, bytes: noise(1 + ((seed * 37) % 5000), seed) }] }
        case 4:
          return {
            text: utf8(`two files ${seed}\n`),
            files: [
              { name: `a-${name}`, bytes: noise(300 + (i % 50), seed) },
              { name: `ü-${name}`, bytes: new Uint8Array(0) },
            ],
          }
        case 5:
          return words(`From me\n.\n>From you ${seed}\n-- \n`)
        case 6:
          return words(prose(8000 + (seed % 9000), seed))
        default:
          return words(prose(20 + (seed % 400), seed))
      }
    })
  }

  /** What the edges are made of, one call each. */
  async edges(): Promise<void> {
    const odd = concat(utf8('a\0b'), new Uint8Array([255, 254]), utf8('\n'))
    await this.stdin(odd, { text: undefined, files: [{ name: 'stdin', bytes: odd }] })
    await this.stdin(odd, { text: undefined, files: [{ name: 'odd.bin', bytes: odd }] }, '--name', 'odd.bin')
    await this.stdin(new Uint8Array(0), words(''))
    await this.stdin(utf8('typed\r\n\r\n'), words('typed\r\n\r\n'), '-s', 'a subject')
    await this.message('\u{1f44d}\n')
    await this.message('')
    const long = prose(MIB, this.#seed)
    await this.stdin(utf8(long), words(long))
    const longer = utf8(`${long}y`)
    await this.stdin(longer, { text: undefined, files: [{ name: 'stdin', bytes: longer }] })
    for (const size of [65_535, 65_536, 65_537]) {
      const text = prose(size, this.#seed + size)
      await this.stdin(utf8(text), words(text))
      await this.file(size)
    }
    await this.files([{ name: 'empty', bytes: new Uint8Array(0) }], undefined)
    await this.lines(Array.from({ length: 30 }, (_, i) => `line ${i} of ${this.#seed}`))
  }

  async large(sizes: number[], ...args: string[]): Promise<void> {
    for (const size of sizes) await this.file(size, ...args)
  }
}

async function made(stage: Stage, name: string): Promise<Peer> {
  const home = `${stage.dir}/${name}`
  const ran = await runCommand('p2p-id', ['init', '--name', name, '--no-passphrase', '--addr', '127.0.0.1'], { home })
  assert.is(ran.code, 0, ran.err)
  return stage.enter(name)
}

async function tell(from: Peer, to: Peer): Promise<void> {
  const { out } = await from.run('p2p-id', ['token'])
  await to.good('p2p-id', ['add', from.name], { input: `Hello,\n> ${out.slice(0, 70)}\n> ${out.slice(70)}\nbye\n` })
}

/** Nobody waits for anything any more. */
async function settled(writers: Writer[]): Promise<void> {
  for (const { me } of writers) await until(`the queue of ${me.name}`, async () => (await me.waiting()).length === 0, 120_000)
}

async function check(from: Writer, to: Peer): Promise<void> {
  const wanted = [...from.expected.values()].sort()
  const arrived = summaries(await to.box('inbox'))
  assert.is(arrived.join('\n'), wanted.join('\n'), `from ${from.me.name}`)
  assert.is(summaries(await from.me.box('sent')).join('\n'), arrived.join('\n'), 'the diff of both sides')
  assert.equal((await to.ids()).toSorted(), [...from.expected.keys()].sort())
  assert.equal(from.me.strays(), [])
  const small = (one: Held): boolean => (one.text?.length ?? 0) + one.files.reduce((sum, { bytes }) => sum + bytes.length, 0) <= 65_000
  const order = async (peer: Peer, box: 'inbox' | 'sent'): Promise<string[]> => (await peer.box(box)).filter(small).map(({ id }) => id)
  assert.is((await order(to, 'inbox')).join('\n'), (await order(from.me, 'sent')).join('\n'), 'the order of small ones')
  const flags = readdirSync(from.me.at('sent', 'cur')).map((name) => name.replace(/^.*:2,/, ''))
  assert.equal([...new Set(flags)], ['S'])
}

/** What p2p-inbox cat and save give is what was sent. */
async function checkByCommands(from: Writer, to: Peer): Promise<void> {
  const held = await to.box('inbox')
  const special = held.filter(({ text, files }, i) => i % 50 === 0 || (text?.length ?? 0) > 60_000 || files.some(({ bytes }) => bytes.length > 60_000))
  for (const { id, text, files } of special) {
    const main = text ?? files[0]?.bytes ?? new Uint8Array(0)
    assert.equal(await to.hash('p2p-inbox', ['cat', id]), { code: 0, hash: sha256(main), size: main.length })
    if (files.length === 0) continue
    const folder = `${to.path}.saved/${id}`
    mkdirSync(folder, { recursive: true })
    const saved = await to.run('p2p-inbox', ['save', id, '-o', folder])
    assert.is(saved.code, 0, saved.err)
    const content = saved.out.trim().split('\n').map((path) => readFileSync(path.startsWith('/') ? path : `${folder}/${path}`))
    assert.equal(content.map(sha256), files.map(({ bytes }) => sha256(bytes)))
  }
  assert.ok(special.length > 10, from.me.name)
}

test('1,000 mixed messages both ways, queued and live: each arrives once, to the byte', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await Promise.all([made(stage, 'alice'), made(stage, 'bob')])
    await Promise.all([tell(alice, bob), tell(bob, alice)])
    const [a, b] = [new Writer(alice, bob, 1), new Writer(bob, alice, 2)]
    const start = performance.now()

    // both down
    const waits = '--queue-only'
    await Promise.all([
      (async () => {
        await a.ndjson(a.mixed(160), waits)
        await a.lines(Array.from({ length: 40 }, (_, i) => `queued ${i} ${prose(i, i).replaceAll('\n', ' ')}`), waits)
        await a.large([3 * MIB, 9 * MIB + 1, 64 * MIB], waits)
      })(),
      (async () => {
        await b.ndjson(b.mixed(160), waits)
        await b.lines(Array.from({ length: 40 }, (_, i) => `waiting ${i}`), waits)
        await b.large([MIB, 11 * MIB], waits)
      })(),
    ])
    assert.is((await alice.waiting()).length, a.expected.size)
    // both up; what waited moves while both write
    const [left, right] = await Promise.all([alice.listen(), bob.listen()])
    const live = async (writer: Writer): Promise<void> => {
      await writer.ndjson(writer.mixed(100))
      await writer.edges()
      await writer.large([MIB + 17, 5 * MIB, 2 * MIB - 1])
      await writer.ndjson(writer.mixed(60))
    }
    await Promise.all([live(a), live(b)])
    await settled([a, b])
    // one down: what it writes goes through a session of p2p-send itself; what the other writes waits
    assert.is((await left.stop()).code, 0, left.err)
    await a.ndjson(a.mixed(40))
    await a.large([12 * MIB])
    await b.ndjson(b.mixed(500 - b.expected.size), waits)
    await a.lines(Array.from({ length: 500 - a.expected.size }, (_, i) => `last ${i}`), waits)
    assert.is((await right.stop()).code, 0, right.err)
    const again = await bob.listen()
    await alice.good('p2p-queue', ['flush'])
    await settled([a, b])
    assert.is((await again.stop()).code, 0, again.err)
    const seconds = (performance.now() - start) / 1000

    assert.is(a.expected.size + b.expected.size, 1000)
    await Promise.all([check(a, bob), check(b, alice)])
    await Promise.all([checkByCommands(a, bob), checkByCommands(b, alice)])
    const told = (await Promise.all([alice, bob].map((peer) => peer.good('p2p-inbox', ['list'])))).flat()
    assert.is(told.length, 1000)
    for (const listener of [left, right, again]) assert.equal(listener.of('notice'), [], listener.err)
    console.log(`# 1000 messages, ${Math.round((a.bytes + b.bytes) / MIB)} MiB, exchanged in ${seconds.toFixed(1)} s`)
  })
})

test('a message to a peer that is down arrives when its listener comes up', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const sender = await alice.listen()
    const ran = await alice.run('p2p-send', ['bob', '-m', 'wait for it'])
    assert.is(ran.code, 0, ran.err)
    const [queued, deferred] = records(ran.out)
    assert.equal([queued?.['type'], deferred?.['type'], deferred?.['reason']], ['queued', 'deferred', 'refused'])
    assert.equal(await alice.waiting(), [queued?.['id']])
    const receiver = await bob.listen()
    const since = performance.now()
    const message = await receiver.until('message')
    console.log(`# arrived after ${Math.round(performance.now() - since)} ms`)
    assert.equal([message['id'], message['from'], message['text']], [queued?.['id'], 'alice', 'wait for it'])
    await sender.until('delivered', ({ id }) => id === queued?.['id'])
    assert.equal(await alice.waiting(), [])
  })
})

test('one flush delivers and fetches over one dial, without a listener', async () => {
  await Stage.with(async (stage) => {
    const bobsPort = await port()
    const proxy = await Proxy.open({ to: bobsPort })
    stage.onClose(() => proxy.close())
    const [alice, bob] = await stage.pair({}, { port: bobsPort, addr: [proxy.address] })
    bob.env['P2P_UDP'] = 'false' // past the proxy
    const away = await alice.run('p2p-queue', ['flush'])
    assert.equal([away.code, away.out], [0, ''], 'nothing waits')
    const sent = [await alice.queue('bob', ['-m', 'one']), await alice.queue('bob', ['-m', 'two'])]
    const down = await alice.good('p2p-queue', ['flush'])
    assert.equal(down.map(({ type }) => type), ['deferred', 'deferred'])
    const listener = await bob.listen()
    const back = [await bob.queue('alice', ['-m', 'three']), await bob.queue('alice', ['-a', bob.file('x', noise(MIB, 3))])]
    const before = proxy.crossings.length
    const told = await alice.good('p2p-queue', ['flush'])
    assert.is(proxy.crossings.length - before, 1)
    assert.equal(told.filter(({ type }) => type === 'delivered').map(({ id }) => id), sent)
    assert.equal(await bob.ids(), sent)
    assert.equal(await alice.ids(), back)
    await until('the queue of bob', async () => (await bob.waiting()).length === 0)
    assert.is((await listener.stop()).code, 0)
    assert.equal([...alice.strays(), ...bob.strays()], [])
  })
})

test('a changed address needs no human: told in a hello, in an answer, in a session', async () => {
  await Stage.with(async (stage) => {
    const bobsPort = await port()
    const ways: Proxy[] = []
    const way = async (): Promise<Proxy> => {
      const proxy = await Proxy.open({ to: bobsPort })
      stage.onClose(() => proxy.close())
      ways.push(proxy)
      return proxy
    }
    const first = await way()
    const [alice, bob] = await stage.pair({}, { port: bobsPort, addr: [first.address] })
    bob.env['P2P_UDP'] = 'false' // past the proxies
    const move = async (to: Proxy): Promise<void> => {
      const moved = await bob.run('p2p-id', ['token', '--addr', to.address])
      assert.is(moved.code, 0, moved.err)
    }
    /** alice reaches bob by `now` and by nothing else. */
    const reachedBy = async (now: Proxy): Promise<void> => {
      const counts = ways.map(({ crossings }) => crossings.length)
      await alice.send('bob', ['-m', 'are you there?'])
      assert.equal(ways.map(({ crossings }, i) => crossings.length - (counts[i] ?? 0)), ways.map((proxy) => (proxy === now ? 1 : 0)))
      const [bobs] = await alice.good('p2p-id', ['show', 'bob'])
      assert.equal(bobs?.['addresses'], [now.address])
    }
    let listener = await bob.listen()
    await reachedBy(first)
    await listener.stop()

    // bob moves while alice is away, and calls her from his new place: the token is in the hello
    const second = await way()
    await move(second)
    const hers = await alice.listen()
    await bob.send('alice', ['-m', 'I have moved'])
    await hers.until('contact')
    assert.is((await hers.stop()).code, 0)
    listener = await bob.listen()
    await reachedBy(second)
    await listener.stop()

    // bob moves, his old place still works: the token is in the answer
    const third = await way()
    await move(third)
    listener = await bob.listen()
    await alice.send('bob', ['-m', 'the old way'])
    assert.is(third.crossings.length, 0)
    await reachedBy(third)

    // bob moves while they talk: the token goes through the session
    const fourth = await way()
    const again = await alice.listen()
    await again.until('peer', ({ state }) => state === 'up')
    await move(fourth)
    await again.until('contact')
    await again.stop()
    await reachedBy(fourth)
    await listener.stop()
  })
})

test('small messages keep their order and overtake large ones, which keep theirs', async () => {
  await Stage.with(async (stage) => {
    const bobsPort = await port()
    const proxy = await Proxy.open({ to: bobsPort })
    stage.onClose(() => proxy.close())
    const [alice, bob] = await stage.pair({}, { port: bobsPort, addr: [proxy.address] })
    bob.env['P2P_UDP'] = 'false' // past the proxy
    const lines = (from: number, to: number): string => Array.from({ length: to - from }, (_, i) => `n ${from + i}\n`).join('')
    const queueLines = (from: number, to: number): Promise<unknown> =>
      alice.good('p2p-send', ['bob', '--lines', '--queue-only'], { input: lines(from, to) })
    const large = [await alice.queue('bob', ['-a', alice.file('l0', noise(60 * MIB, 1))])]
    await queueLines(0, 120)
    large.push(await alice.queue('bob', ['-a', alice.file('l1', noise(2 * MIB, 2))]))
    await queueLines(120, 240)
    // From the middle of the first large message on nothing passes but a little from time to time, until a small one that
    // is written then has arrived.
    let [stopped, free] = [false, false]
    proxy.onBytes = (crossing) => {
      if (free || crossing.up < 4 * MIB) return
      stopped = true
      crossing.hold()
    }
    const overtaken = (): boolean => {
      for (const crossing of proxy.crossings) crossing.go()
      return bob.files('inbox', 'new').length > 240
    }
    const [listener, sender] = [await bob.listen(), await alice.listen()]
    await until('4 MiB', () => stopped)
    await until('the large ones on the way', () => bob.strays().length > 0)
    await alice.good('p2p-send', ['bob', '-w', '0', '-m', 'n 240'])
    await until('the small ones', overtaken)
    free = true
    for (const crossing of proxy.crossings) crossing.go()
    await until('the queue', async () => (await alice.waiting()).length === 0)
    const arrived = await bob.box('inbox')
    const small = arrived.filter(({ text }) => text !== undefined).map(({ text }) => new TextDecoder().decode(text))
    assert.is(small.join('\n'), lines(0, 241).trimEnd())
    assert.equal(large.map((id) => arrived.findIndex((one) => one.id === id)), [241, 242])
    // more than may be open at once
    await queueLines(241, 1600)
    await alice.good('p2p-queue', ['flush'])
    await until('the queue', async () => (await alice.waiting()).length === 0)
    const texts = (await bob.box('inbox')).filter(({ text }) => text !== undefined)
    assert.is(texts.map(({ text }) => new TextDecoder().decode(text)).join('\n'), lines(0, 1600).trimEnd())
    await Promise.all([listener.stop(), sender.stop()])
  })
})

test.run()
