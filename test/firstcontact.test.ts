// First contact between the built commands: an invite from the one line that is mailed to the notices on both sides,
// whatever is lost on the way; a stranger's knock from silence to the first message; a flood of strangers.
// test timeout: 300 s

import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { connect as netConnect } from 'node:net'
import { networkInterfaces } from 'node:os'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { KIND } from '../lib/wire/hello.ts'
import { parseToken } from '../lib/wire/token.ts'
import { helloWith, strangersKeys } from './caller.ts'
import type { Ran } from './command.ts'
import type { Cut } from './proxy.ts'
import { Proxy } from './proxy.ts'
import { pause, type Peer, port, Stage, until } from './peer.ts'
import type { Rec } from './records.ts'
import { skipped } from './vectors.ts'

const notices = async (peer: Peer): Promise<string[]> =>
  (await peer.good('p2p-inbox', ['list'])).filter(({ from }) => from === 'mailer-daemon').map(({ subject }) => String(subject))
const one = (records: Rec[]): Rec => {
  assert.is(records.length, 1)
  return records[0] as Rec
}
const contactsOf = (peer: Peer): Promise<Rec[]> => peer.good('p2p-id', ['list'])
const invited = async (alice: Peer, name = 'bob', args: string[] = []): Promise<string> => {
  const ran = await alice.run('p2p-id', ['invite', name, ...args])
  assert.is(ran.code, 0, ran.err)
  assert.match(ran.out, /^p2p1[1-9A-HJ-NP-Za-km-z]+\n$/)
  return ran.out
}

const USED = 'bob has used your invite; compare words: p2p-id verify bob'
const TAKEN = 'alice has taken you in by the invite; compare words: p2p-id verify alice'

test('an invite is mailed, taken and answered: both are contacts, told so, and talk', () =>
  Stage.with(async (stage) => {
    const [alice, bob] = [await stage.peer('alice'), await stage.peer('bob')]
    const listener = await alice.listen()
    const mail = `Dear Bob,\n\n> ${(await invited(alice)).replace(/(.{60})/g, '$1\n> ')}\nAlice\n`
    assert.equal((await alice.good('p2p-id', ['requests'])).map(({ type, name }) => [type, name]), [['invite', 'bob']])
    const added = await bob.run('p2p-id', ['add', 'alice'], { input: mail })
    assert.is(added.code, 0, added.err)
    assert.match(added.err, /p2p-id: alice has answered: you are contacts now\n[^]*p2p-id: compare words: p2p-id verify alice\n/)
    const contact = JSON.parse(added.out) as Rec
    assert.equal([contact['outcome'], contact['pending'], contact['verified'], contact['key']], ['added', undefined, false, alice.key])
    const notice = await listener.until('notice')
    assert.equal([notice['text'], notice['name'], notice['key']], [USED, 'bob', bob.key])
    await listener.until('contact', ({ key, pending }) => key === bob.key && pending === undefined)
    assert.equal([await notices(alice), await notices(bob)], [[USED], [TAKEN]])
    assert.equal(await alice.good('p2p-id', ['requests']), [])
    const [theirs, ours] = [one(await alice.good('p2p-id', ['verify', 'bob'])), one(await bob.good('p2p-id', ['verify', 'alice']))]
    assert.equal([theirs['words'], theirs['own_words']], [ours['own_words'], ours['words']])
    await bob.send('alice', ['-m', 'see you at 8?'])
    assert.equal(readdirSync(alice.at('invites')), [])
    assert.equal(readdirSync(bob.at('contacts')), [`${alice.key}.json`])
    // the line is worth nothing any more
    const mallory = await stage.peer('mallory')
    const late = await mallory.run('p2p-id', ['add', 'alice'], { input: mail })
    assert.is(late.code, 0)
    assert.match(late.err, /not met yet: something listens but did not answer as alice: somebody else has used the invite/)
    assert.is((JSON.parse(late.out) as Rec)['pending'], true)
    assert.equal((await contactsOf(alice)).map(({ name }) => name), ['bob'])
    assert.equal(await notices(alice), [USED])
  }))

test('what is lost on the way, and a listener that dies, only cost another try; the sender is told why', () =>
  Stage.with(async (stage) => {
    const own = await port()
    const proxy = await Proxy.open({ to: own })
    stage.onClose(() => proxy.close())
    const alice = await stage.peer('alice', { port: own, addr: [proxy.address] })
    let listener = await alice.listen()
    const cuts: Cut[] = [{ up: 400 }, { down: 0 }, { down: 767 }, { up: 768 }, { up: 780 }]
    for (const [n, cut] of cuts.entries()) {
      const name = `bob${n}`
      const bob = await stage.peer(name)
      const invite = await invited(alice, name)
      proxy.cuts.push(cut)
      const added = await bob.run('p2p-id', ['add', 'alice'], { input: invite })
      assert.is(added.code, 0, added.err)
      if (n < 3) assert.match(added.err, /not met yet: (?:the connection to alice broke|something listens)/, `${n}`)
      if (n === 1) {
        await listener.stop('SIGKILL')
        const away = await bob.run('p2p-send', ['alice', '-m', 'early'])
        assert.is((JSON.parse(away.out.split('\n')[1] ?? '') as Rec)['type'], 'deferred')
        listener = await alice.listen()
      }
      const mallory = await stage.peer(`mallory${n}`)
      if (n < 2) await mallory.run('p2p-id', ['add', 'alice'], { input: invite }) // waits 5 s in vain when she is late
      const names = (await contactsOf(alice)).map((contact) => contact['name'])
      if (n > 0) {
        // Bound before the answer was lost; what was cut on the way to her may have got there or not.
        if (n < 3) assert.ok(names.includes(name), `${n}: ${names.join()}`)
        await new Promise((resolve) => setTimeout(resolve, 1100)) // strangers of one address have one try a second
        await bob.send('alice', ['-m', 'hello'])
        assert.equal(await notices(bob), [TAKEN])
        await until('the notice', async () => (await notices(alice)).filter((text) => text.startsWith(`${name} has used`)).length === 1)
        assert.is((await contactsOf(alice)).find((contact) => contact['name'] === name)?.['key'], bob.key)
      } else {
        // half a hello reached her: mallory, who has the mail too, was first, and bob is not let in besides
        const sent = await bob.run('p2p-send', ['alice', '-m', 'hello', '-w', '3s'])
        assert.match(sent.out, /"type":"deferred".*"reason":"silent","text":"something listens [^"]* somebody else has used the invite/)
        assert.is((await contactsOf(alice)).find((contact) => contact['name'] === name)?.['key'], mallory.key)
      }
    }
  }))

test('if she is away the next send, flush or listener calls by the invite', () =>
  Stage.with(async (stage) => {
    const alice = await stage.peer('alice')
    const ways: ((bob: Peer) => Promise<unknown>)[] = [
      (bob) => bob.send('alice', ['-m', 'hello']),
      (bob) => bob.good('p2p-queue', ['flush', '-w', '60s']),
      async (bob) => (await bob.listen()).until('notice'),
    ]
    for (const [n, way] of ways.entries()) {
      const bob = await stage.peer(`bob${n}`)
      const invite = await invited(alice, `bob${n}`)
      const added = await bob.run('p2p-id', ['add', 'alice'], { input: invite })
      assert.is(added.code, 0)
      assert.match(added.err, /not met yet: [^\n]*p2p is not running there/)
      assert.match(added.err, /the next p2p-send, p2p-queue flush or p2p-listen calls alice again/)
      assert.is(one(await contactsOf(bob))['pending'], true)
      const listener = await alice.listen()
      await way(bob)
      assert.equal(await notices(bob), [TAKEN])
      assert.is(one(await contactsOf(bob))['pending'], undefined)
      await listener.until('notice', ({ text }) => String(text).startsWith(`bob${n} has used`))
      await listener.stop()
    }
  }))

test('with listeners on both sides the one of who adds it calls', () =>
  Stage.with(async (stage) => {
    const [alice, bob] = [await stage.peer('alice'), await stage.peer('bob')]
    const [, bobs] = [await alice.listen(), await bob.listen()]
    const added = await bob.run('p2p-id', ['add', 'alice'], { input: await invited(alice) })
    assert.is(added.code, 0, added.err)
    assert.match(added.err, /alice has answered/)
    assert.is((JSON.parse(added.out) as Rec)['pending'], undefined)
    assert.is((await bobs.until('notice'))['text'], TAKEN)
    await bobs.until('peer', ({ state, name }) => state === 'up' && name === 'alice')
    await alice.send('bob', ['-m', 'over the connection that stands'])
  }))

test('invite says what is wrong: a taken name, a lifetime that is none, no invite to withdraw', () =>
  Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const cases: [string[], number, RegExp][] = [
      [['invite', 'BOB'], 73, /^p2p-id: the name 'bob' is taken\np2p-id: hint: p2p-id show bob\n$/],
      [['invite', 'all'], 64, /^p2p-id: bad name 'all'/],
      [['invite', 'carol', '--expires', 'inf'], 64, /^p2p-id: an invite lasts from a second to 366 days\n/],
      [['invite', 'carol', '--expires', '0'], 64, /^p2p-id: an invite lasts from a second to 366 days\n/],
      [['invite', 'carol', '--withdraw', '--expires', '1d'], 64, /exclude each other/],
      [['invite', 'carol', '--withdraw'], 1, /^p2p-id: no invite for 'carol' waits to be used\np2p-id: hint: p2p-id requests\n$/],
      [['accept', bob.key, 'x'], 1, /^p2p-id: no request of '/],
      [['refuse', 'abcdef'], 1, /^p2p-id: no request of 'abcdef'\n/],
    ]
    for (const [args, code, err] of cases) {
      const ran = await alice.run('p2p-id', args)
      assert.equal([ran.code, ran.out], [code, ''], args.join(' '))
      assert.match(ran.err, err)
    }
    assert.not(existsSync(alice.at('invites')))
    await invited(alice, 'carol', ['--expires', '90s'])
    const again = await alice.run('p2p-id', ['invite', 'Carol'])
    assert.match(again.err, /^p2p-id: the earlier invite for Carol is void\np2p-id: for one use, until /)
    assert.match((await alice.run('p2p-id', ['invite', '--withdraw', 'carol'])).err, /^p2p-id: the invite for carol is void\n/)
    assert.equal(readdirSync(alice.at('invites')), [])
    const own = await alice.run('p2p-id', ['add', 'x'], { input: await invited(alice, 'carol') })
    assert.match(own.err, /^p2p-id: this is your own token/)
  }))

/** An address of this machine that a stranger may name: whoever is accepted is not called on loopback. */
const outside = Object.values(networkInterfaces())
  .flatMap((list = []) => list)
  .find(({ internal, family }) => !internal && family === 'IPv4')?.address

test('a stranger who knocks hears nothing, is listed, and talks once accepted', () =>
  Stage.with(async (stage) => {
    const here = outside === undefined ? {} : { addr: [outside], alone: false }
    const [alice, bob] = [await stage.peer('alice', here), await stage.peer('bob', here)]
    writeFileSync(alice.at('config.toml'), 'requests = true\n')
    const listener = await alice.listen()
    await bob.learn(alice)
    const sent = await bob.run('p2p-send', ['alice', '-m', 'it is me', '-w', '5s'])
    assert.match(sent.out, /"type":"deferred".*"reason":"silent","text":"something listens but did not answer as alice: alice has not added you yet/)
    const request = await listener.until('request')
    assert.equal([request['key'], request['suggested'], request['source']], [bob.key, 'bob', outside ?? '127.0.0.1'])
    assert.equal(await alice.good('p2p-id', ['requests']), [request])
    assert.equal([await contactsOf(alice), await alice.ids()], [[], []])
    const next = await alice.run('p2p')
    assert.is((JSON.parse(next.out) as Rec)['next'], 'p2p-id requests')
    const bobs = await bob.listen()
    const accepted = one(await alice.good('p2p-id', ['accept', bob.key.slice(0, 8), 'robert']))
    assert.equal([accepted['name'], accepted['key'], accepted['outcome']], ['robert', bob.key, 'added'])
    if (outside !== undefined) assert.is(accepted['pending'], undefined)
    else {
      skipped('no network but loopback: who is accepted is not called, and calls')
      await bob.run('p2p-queue', ['flush', '-w', '60s'])
    }
    await bobs.until('delivered')
    assert.match((await listener.until('notice'))['text'] as string, /^robert has answered; compare words: p2p-id verify robert$/)
    assert.equal(await alice.good('p2p-id', ['requests']), [])
    assert.equal((await alice.box('inbox')).map(({ from }) => from).filter((from) => from === bob.key), [bob.key])
  }))

test('refused, a stranger is not listed again; accepted while away, it is met later', () =>
  Stage.with(async (stage) => {
    const [alice, bob, eve] = [await stage.peer('alice'), await stage.peer('bob'), await stage.peer('eve')]
    writeFileSync(alice.at('config.toml'), 'requests = true\n')
    const listener = await alice.listen()
    for (const each of [bob, eve]) {
      await each.learn(alice)
      await each.run('p2p-queue', ['flush', '-w', '3s'])
      await listener.until('request', ({ key }) => key === each.key)
    }
    const refused = one(await alice.good('p2p-id', ['refuse', eve.key]))
    assert.equal([refused['type'], refused['key'], refused['outcome']], ['request', eve.key, 'refused'])
    await eve.run('p2p-queue', ['flush', '-w', '3s'])
    assert.equal((await alice.good('p2p-id', ['requests'])).map(({ key }) => key), [bob.key])
    const accepted = await alice.run('p2p-id', ['accept', bob.key, 'bob'])
    assert.is(accepted.code, 0)
    assert.match(accepted.err, /not met yet: no address of bob is known\n/) // none but loopback, which he named himself
    await bob.send('alice', ['-m', 'at last'])
    await listener.until('notice', ({ text }) => text === 'bob has answered; compare words: p2p-id verify bob')
    assert.equal(listener.of('request').length, 2)
  }))

/** The first message of somebody who exists for this call alone. */
async function strangersHello(to: Peer): Promise<Uint8Array> {
  const token = parseToken(to.token())
  return helloWith(await strangersKeys('x\u{1f600}y'), { identity: token.identity, token }, { ts: 1n, kind: KIND.REQUEST })
}

test('a flood of strangers who knock fills 32 places, not one byte goes back, and a contact gets through', () =>
  Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    writeFileSync(alice.at('config.toml'), 'requests = true\n')
    const listener = await alice.listen()
    const sockets: ReturnType<typeof netConnect>[] = []
    let came = 0
    stage.onClose(() => sockets.forEach((socket) => socket.destroy()))
    const flood = async (from: number, count: number): Promise<void> => {
      for (let n = from; n < from + count; n++) {
        const hello = await strangersHello(alice)
        const socket = netConnect({ host: '127.0.0.1', port: alice.home.port, localAddress: `127.0.${1 + (n >> 7)}.${1 + (n & 127)}` })
        socket.on('error', () => undefined).on('data', (bytes) => (came += bytes.length))
        socket.write(hello)
        sockets.push(socket)
      }
    }
    await flood(0, 60)
    await bob.send('alice', ['-m', 'in the middle of it'])
    await flood(60, 60)
    await bob.send('alice', ['-m', 'and after it'])
    // a second lets 20 strangers pass: the flood goes on until there is no room for one more
    for (let n = 120; listener.of('request').length <= 32 && n < 2000; n += 20) {
      await flood(n, 20)
      await pause(300)
    }
    assert.ok(listener.of('request').length > 32)
    // One goes, one comes: the house is full when nobody of the flood is left outside.
    const lists: Ran[] = []
    await until('a full house', async () => {
      if (lists.length > 0) await pause(500)
      lists.unshift(await alice.run('p2p-id', ['requests']))
      return lists[0]?.out === lists[1]?.out && lists[0]?.out.trim().split('\n').length === 32
    })
    const [listed] = lists as [Ran]
    const kept = listed.out.trim().split('\n').map((line) => JSON.parse(line) as Rec)
    assert.is(kept.length, 32)
    assert.match(listed.err, /^p2p-id: \d+ further requests were dropped: there was no room for them\n$/)
    assert.ok(readdirSync(alice.at('requests')).length <= 34)
    const largest = Math.max(...readdirSync(alice.at('requests')).map((name) => readFileSync(alice.at('requests', name)).length))
    assert.ok(largest < 1024, `${largest}`)
    assert.not.match((await alice.run('p2p-id', ['requests', '--text'])).out, /[^ -~\n\u{1f600}]/u)
    await pause(100)
    assert.is(came, 0)
    const all = kept.map(({ key }) => String(key))
    assert.is((await alice.good('p2p-id', ['refuse', ...all])).length, 32)
    assert.is((await alice.run('p2p-id', ['requests', '-q'])).code, 1)
  }))

test.run()
