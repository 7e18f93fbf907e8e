import { createServer, type Server as TcpServer, type Socket } from 'node:net'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { systemClock } from '../lib/base/clock.ts'
import { isCode } from '../lib/base/fail.ts'
import { systemRandom } from '../lib/base/random.ts'
import { loadSuite } from '../lib/crypto/suite.ts'
import { serve, type Server, type ServeOptions } from '../lib/net/accept.ts'
import { dial, type DialOptions } from '../lib/net/dial.ts'
import { Guard } from '../lib/net/guard.ts'
import { type Link } from '../lib/net/link.ts'
import { type ByteStream, Lost } from '../lib/net/stream.ts'
import { connect, listen, resolve } from '../lib/net/tcp.ts'
import { type Address } from '../lib/wire/address.ts'
import { type Payload1 } from '../lib/wire/hello.ts'
import { FakeClock, fastClock, type Person, person, pipe, responderFor, settle, stamp } from './netkit.ts'

const suite = await loadSuite(process.env)
const [alice, bob, mallory] = [person(suite), person(suite), person(suite)]

const at = (host: string, port: number): Address => ({ host, port, tcp: true, udp: true })

function options(change: Partial<DialOptions> & { to?: Person } = {}): DialOptions {
  const to = change.to ?? bob
  return {
    suite,
    random: systemRandom,
    clock: systemClock,
    self: { identity: alice.identity, transportKey: alice.key, seq: 1n, token: new Uint8Array(0) },
    peer: { identity: to.identity, transport: to.key.publicKey },
    seqHeld: 1n,
    addresses: [],
    stamp,
    timeoutMs: 10_000,
    ...change,
  }
}

function bobsDoor(change: Partial<ServeOptions> = {}): ServeOptions & { links: Link[]; admitted: Payload1[] } {
  const links: Link[] = []
  const responder = responderFor(bob, [alice])
  return {
    suite,
    clock: systemClock,
    random: systemRandom,
    guard: new Guard(systemClock, systemRandom),
    responder,
    port: 0,
    hosts: ['127.0.0.1'],
    onLink: (link) => links.push(link),
    links,
    admitted: responder.admitted,
    ...change,
  }
}

/** A TCP server that treats its callers badly; `sockets` are theirs. */
async function rude(welcome: (socket: Socket) => void): Promise<{ port: number; sockets: Socket[]; close: () => void }> {
  const sockets: Socket[] = []
  const server: TcpServer = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.push(socket.on('error', () => {}))
    welcome(socket)
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as { port: number }
  return {
    port,
    sockets,
    close: () => {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}

/** Resolves when the first caller has closed its side. */
function left({ sockets: [socket] }: { sockets: Socket[] }): Promise<void> {
  return new Promise((done) => {
    if (socket === undefined || socket.destroyed || socket.readableEnded) return done()
    socket.resume().on('end', done).on('close', done)
  })
}

/** A port nobody listens on. */
async function emptyPort(): Promise<number> {
  const server = await rude(() => {})
  server.close()
  return server.port
}

async function reasons(change: Partial<DialOptions> & { to?: Person }): Promise<string[]> {
  const outcome = await dial(options(change))
  assert.not('link' in outcome, 'nobody should have answered')
  return 'link' in outcome ? [] : outcome.failures.map((failure) => failure.reason)
}

const noWay = (code: string): typeof connect => () => Promise.reject(Object.assign(new Error(code), { code }))

test('no address, no failure', async () => {
  assert.equal(await reasons({}), [])
  assert.equal(await reasons({ addresses: [{ ...at('127.0.0.1', 1), tcp: false }] }), [])
})

test('a port nobody listens on is refused', async () => {
  assert.equal(await reasons({ addresses: [at('127.0.0.1', await emptyPort())] }), ['refused'])
})

test('what the system says becomes a reason', async () => {
  const codes = {
    ECONNREFUSED: 'refused',
    ENETUNREACH: 'unroutable',
    EHOSTUNREACH: 'unroutable',
    EADDRNOTAVAIL: 'unroutable',
    EAFNOSUPPORT: 'unroutable',
    ETIMEDOUT: 'timeout',
    ECONNRESET: 'lost',
  }
  for (const [code, reason] of Object.entries(codes)) {
    assert.equal(await reasons({ addresses: [at('192.0.2.1', 1)], connect: noWay(code) }), [reason], code)
  }
})

test('an address that never answers is a timeout, at the time given', async () => {
  const clock = new FakeClock()
  let aborted = false
  const dead: typeof connect = (_, signal) =>
    new Promise((_resolve, reject) => {
      signal.addEventListener('abort', () => {
        aborted = true
        reject(new Lost('given up'))
      })
    })
  const outcome = reasons({ clock, addresses: [at('192.0.2.1', 1), at('192.0.2.2', 1)], connect: dead, timeoutMs: 7000 })
  await clock.advance(6999)
  assert.is(aborted, false)
  await clock.advance(1)
  assert.equal(await outcome, ['timeout', 'timeout'])
  assert.is(aborted, true)
  assert.is(clock.timers, 0)
})

test('a name without an address, or with none that may be dialled, is unresolved', async () => {
  assert.equal(await reasons({ addresses: [at('nowhere.invalid', 1)], resolve: async () => [] }), ['unresolved'])
  const inside = ['127.0.0.1', '::1', '169.254.169.254', '0.0.0.0', '224.0.0.1', '255.255.255.255', 'fe80::1']
  assert.equal(await reasons({ addresses: [at('evil.example', 1)], resolve: async () => inside }), ['unresolved'])
})

test('the resolver finds this machine, gives addresses back and fails softly', async () => {
  const found = await resolve('localhost')
  assert.ok(found.includes('127.0.0.1') || found.includes('::1'))
  assert.equal(await resolve('192.0.2.1'), ['192.0.2.1'])
  assert.equal(await resolve('does-not-exist.invalid'), [])
})

test('a resolver that hangs does not outlast the deadline', async () => {
  const clock = new FakeClock()
  const outcome = reasons({ clock, addresses: [at('slow.example', 1)], resolve: () => new Promise(() => {}), timeoutMs: 900 })
  await clock.advance(900)
  assert.equal(await outcome, ['unresolved'])
})

test('a machine that says nothing, nonsense, or goodbye is silent; one that resets is lost', async () => {
  const mute = await rude(() => {})
  const noise = await rude((socket) => socket.write(new Uint8Array(768).fill(3)))
  const chatty = await rude((socket) => socket.write('220 mail.example.org ESMTP\r\n'))
  const polite = await rude((socket) => socket.end())
  const brutal = await rude((socket) => socket.once('data', () => socket.resetAndDestroy()))
  const servers = [mute, noise, chatty, polite, brutal]
  const addresses = servers.map(({ port }) => at('127.0.0.1', port))
  const clock = fastClock(5)
  assert.equal(await reasons({ clock, addresses, timeoutMs: 30_000 }), ['silent', 'silent', 'silent', 'silent', 'lost'])
  await Promise.all(servers.map(left))
  for (const server of servers) server.close()
})

test('somebody else than the contact is silent: wrong identity, wrong transport key, not his contact', async () => {
  const clock = new FakeClock()
  const server = await serve(bobsDoor({ clock }))
  let connected = 0
  const counted: typeof connect = async (to, signal) => {
    const stream = await connect(to, signal)
    connected++
    return stream
  }
  const common = { clock, addresses: [at('127.0.0.1', server.port)], connect: counted, timeoutMs: 5000 }
  const swapped = [
    { identity: mallory.identity, key: bob.key }, // mallory's token with bob's T
    { identity: bob.identity, key: mallory.key },
  ]
  const self = { identity: mallory.identity, transportKey: mallory.key, seq: 1n, token: new Uint8Array(0) }
  const all = Promise.all([
    ...swapped.map((to) => reasons({ ...common, to })),
    reasons({ ...common, self }),
    reasons({ ...common, self: { ...self, transportKey: alice.key } }),
  ])
  while (connected < 4) await new Promise((done) => setTimeout(done, 5))
  await new Promise((done) => setTimeout(done, 300)) // an answer would have come
  await clock.advance(5000)
  assert.equal(await all, [['silent'], ['silent'], ['silent'], ['silent']])
  await server.close()
})

test('among dead, silent and refusing addresses the one that works wins, and the others are dropped', async () => {
  const door = bobsDoor()
  const server = await serve(door)
  const mute = await rude(() => {})
  const given: string[] = []
  const through: typeof connect = (to, signal) => {
    given.push(to.ip)
    if (to.ip !== '192.0.2.1') return connect(to, signal)
    return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(new Lost('given up'))))
  }
  const addresses = [
    at('192.0.2.1', 1),
    at('127.0.0.1', mute.port),
    at('127.0.0.1', await emptyPort()),
    at('127.0.0.1', server.port),
  ]
  const outcome = await dial(options({ addresses, connect: through }))
  if (!('link' in outcome)) throw new Error('no link')
  await outcome.link.send({ type: 'bye', code: 1 })
  while (door.links.length === 0) await new Promise((done) => setTimeout(done, 5))
  const [called] = door.links
  assert.is((await called?.receive())?.type, 'bye')
  assert.equal(given, ['192.0.2.1', '127.0.0.1', '127.0.0.1', '127.0.0.1'])
  await left(mute)
  outcome.link.close()
  called?.close()
  mute.close()
  await server.close()
})

test('every hello has a ts of its own, and two good addresses give one link', async () => {
  const door = bobsDoor()
  const server = await serve(door)
  let calls = 0
  const slow: typeof connect = async (to, signal) => {
    if (++calls === 1) await new Promise((done) => setTimeout(done, 250))
    return connect(to, signal)
  }
  const addresses = [at('127.0.0.1', server.port), at('127.0.0.2', server.port)]
  const second = await serve({ ...door, hosts: ['127.0.0.2'], port: server.port })
  const outcome = await dial(options({ addresses, connect: slow }))
  if (!('link' in outcome)) throw new Error('no link')
  await outcome.link.send({ type: 'bye', code: 1 })
  await new Promise((done) => setTimeout(done, 200))
  assert.is(door.links.length, 1, 'the loser never becomes a link')
  const stamps = door.admitted.map((payload) => payload.ts)
  assert.is(new Set(stamps).size, stamps.length)
  outcome.link.close()
  door.links[0]?.close()
  await Promise.all([server.close(), second.close()])
})

test('addresses start 150 ms apart, or as soon as the last one failed; the same one twice starts once', async () => {
  const clock = new FakeClock()
  const log: string[] = []
  const dead: typeof connect = (to, signal) => {
    log.push(`${Math.round(clock.time)} ${to.ip}`)
    if (to.ip === '192.0.2.2') return Promise.reject(Object.assign(new Error(), { code: 'ECONNREFUSED' }))
    return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(new Lost('given up'))))
  }
  const addresses = ['192.0.2.1', '192.0.2.2', '192.0.2.1', '192.0.2.3', '192.0.2.4'].map((host) => at(host, 1))
  const outcome = reasons({ clock, addresses, connect: dead, timeoutMs: 5000 })
  await clock.advance(5000)
  assert.equal(await outcome, ['timeout', 'refused', 'timeout', 'timeout'])
  assert.equal(log, ['0 192.0.2.1', '150 192.0.2.2', '150 192.0.2.3', '300 192.0.2.4'])
  assert.is(clock.timers, 0)
})

test('where a connection was taken up the answer is waited for before the next address has its turn', async () => {
  const mute = await rude((socket) => void socket.resume())
  const clock = new FakeClock()
  const log: string[] = []
  let taken = false
  const first: typeof connect = async (to, signal) => {
    log.push(`${Math.round(clock.time)} ${to.ip}`)
    if (to.ip !== '127.0.0.1') throw Object.assign(new Error(), { code: 'ECONNREFUSED' })
    const stream = await connect(to, signal)
    taken = true
    return stream
  }
  const addresses = [at('127.0.0.1', mute.port), at('192.0.2.2', 1)]
  const outcome = reasons({ clock, addresses, connect: first, timeoutMs: 5000 })
  while (mute.sockets.length === 0 || !taken) await new Promise((done) => setTimeout(done, 5))
  await clock.advance(5000)
  assert.equal(await outcome, ['silent', 'refused'])
  assert.equal(log, ['0 127.0.0.1', '1000 192.0.2.2'])
  await left(mute)
  mute.close()
})

test('all addresses of a name are tried, the most telling reason is kept', async () => {
  const tried: string[] = []
  const dead: typeof connect = (to) => {
    tried.push(to.ip)
    return noWay(to.ip.includes(':') ? 'ENETUNREACH' : 'ECONNREFUSED')(to, new AbortController().signal)
  }
  const found = ['2001:db8::1', '198.51.100.7', '127.0.0.1', '2001:db8::1', '2600::1']
  const outcome = await reasons({ addresses: [at('bob.example', 1)], connect: dead, resolve: async () => found })
  assert.equal(outcome, ['refused'])
  assert.not(tried.includes('127.0.0.1'))
  assert.is(tried.length, new Set(tried).size)
  const many = Array.from({ length: 20 }, (_, n) => `198.51.100.${n}`)
  tried.length = 0
  await reasons({ addresses: [at('bob.example', 1)], connect: dead, resolve: async () => many })
  assert.is(tried.length, 8)
})

test('a caller who gives up gets an answer at once, and nothing stays open', async () => {
  const mute = await rude((socket) => void socket.resume())
  const stop = new AbortController()
  const outcome = reasons({ addresses: [at('127.0.0.1', mute.port)], signal: stop.signal })
  while (mute.sockets.length === 0) await new Promise((done) => setTimeout(done, 5))
  stop.abort()
  assert.equal(await outcome, ['silent'])
  await left(mute)
  mute.close()
  assert.equal(await reasons({ addresses: [at('127.0.0.1', mute.port)], signal: stop.signal }), ['timeout'])
})

test('a timestamp that cannot be noted is the caller\'s error, not a reason', async () => {
  const mute = await rude(() => {})
  let error: unknown
  try {
    await dial(options({ addresses: [at('127.0.0.1', mute.port)], stamp: () => Promise.reject(new Error('disk full')) }))
  } catch (thrown) {
    error = thrown
  }
  assert.is((error as Error).message, 'disk full')
  mute.close()
})

test('a link that comes too late is closed', async () => {
  const clock = new FakeClock()
  const ends: ByteStream[] = []
  let meet: (stream: ByteStream) => void = () => {}
  await serve(
    bobsDoor({
      clock,
      guard: new Guard(clock, systemRandom),
      listen: async (where, onStream) => {
        meet = onStream
        return { ...where, close: async () => {} }
      },
    }),
  )
  const both: typeof connect = async () => {
    const [near, far] = pipe(clock)
    ends.push(near)
    meet(far)
    return near
  }
  const [one, two] = [at('192.0.2.1', 1), at('192.0.2.2', 1)]
  let calls = 0
  const slowStamp = async (): Promise<bigint> => {
    if (++calls === 1) await new Promise<void>((done) => clock.after(1200, done))
    return stamp()
  }
  const outcome = dial(options({ clock, addresses: [one, two], connect: both, stamp: slowStamp }))
  await clock.advance(2000)
  assert.ok('link' in (await outcome))
  assert.is(ends.length, 2)
  await ends[0]?.closed
  await settle()
})

async function codeOf(starting: Promise<Server>): Promise<string> {
  try {
    await (await starting).close()
    return ''
  } catch (error) {
    return isCode(error, 'EADDRINUSE') ? 'EADDRINUSE' : String(error)
  }
}

test('a port that is taken is told apart, for IPv4 and for IPv6', async () => {
  const first = await serve(bobsDoor())
  assert.is(await codeOf(serve(bobsDoor({ port: first.port }))), 'EADDRINUSE')
  await first.close()
  assert.is(await codeOf(serve(bobsDoor({ port: first.port }))), '')
  const taken: typeof listen = (where, onStream) =>
    where.ip === '::'
      ? Promise.reject(Object.assign(new Error('taken'), { code: 'EADDRINUSE' }))
      : listen({ ...where, ip: '127.0.0.1' }, onStream)
  const { hosts: _, ...everywhere } = bobsDoor({ listen: taken })
  assert.is(await codeOf(serve(everywhere)), 'EADDRINUSE')
})

test('without IPv6 IPv4 is enough, with neither serving fails', async () => {
  const only4: typeof listen = (where, onStream) =>
    where.ip === '::'
      ? Promise.reject(Object.assign(new Error('no IPv6'), { code: 'EAFNOSUPPORT' }))
      : listen({ ...where, ip: '127.0.0.1' }, onStream)
  const { hosts: _, ...everywhere } = bobsDoor({ listen: only4 })
  const server = await serve(everywhere)
  assert.is(server.addresses.length, 1)
  await server.close()
  const none: typeof listen = () => Promise.reject(Object.assign(new Error('none'), { code: 'EAFNOSUPPORT' }))
  assert.is(await codeOf(serve({ ...everywhere, listen: none })), 'Error: none')
})

test('IPv4 and IPv6 share one port where there is IPv6', async () => {
  const { hosts: _, links, ...everywhere } = bobsDoor()
  const server = await serve(everywhere)
  for (const { ip, port } of server.addresses) {
    assert.is(port, server.port)
    const host = ip === '::' ? '::1' : '127.0.0.1'
    const outcome = await dial(options({ addresses: [at(host, port)] }))
    assert.ok('link' in outcome, host)
    if ('link' in outcome) outcome.link.close()
  }
  assert.ok(server.addresses.length >= 1)
  assert.is(links.length, 0)
  await server.close()
})

test.run()
