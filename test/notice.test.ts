// What the program writes into its user's own inbox: that messages have been waiting for long, and that one was not
// delivered. Once each, whoever notices, whatever is killed when; and in words that say what to do.

import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import * as queueread from '../lib/disk/queueread.ts'
import { note, readLog } from '../lib/disk/queuelog.ts'
import { send, text, waiting, withPair } from './pair.ts'
import { type Peer, Stage } from './peer.ts'
import { records } from './records.ts'

const configure = (peer: Peer, file: string): void => writeFileSync(peer.at('config.toml'), file)

/** The mails of the program in an inbox, oldest first. */
function fromProgram(peer: Peer): string[] {
  const mails = ['new', 'cur'].flatMap((box) => readdirSync(peer.at('inbox', box)).sort().map((name) => peer.at('inbox', box, name)))
  return mails.map((path) => readFileSync(path, 'utf8')).filter((mail) => mail.startsWith('From: p2p <MAILER-DAEMON@p2p.invalid>\n'))
}

const header = (mail: string | undefined, name: string): string | undefined =>
  new RegExp(`^${name}: (.*(?:\n[ \t].*)*)$`, 'm').exec(mail?.split('\n\n')[0] ?? '')?.[1]
const subjects = (peer: Peer): (string | undefined)[] => fromProgram(peer).map((mail) => header(mail, 'Subject'))

/** Makes the waiting messages for somebody older. */
function age(peer: Peer, key: string, days: number): void {
  const folder = peer.at('queue', key, 'new')
  for (const name of readdirSync(folder)) {
    const [created = '', id = ''] = name.split('.')
    renameSync(join(folder, name), join(folder, `${BigInt(created) - BigInt(days * 86_400_000_000)}.${id}`))
  }
}

/** The time of the waiting messages for somebody is over. */
function overtake(peer: Peer, key: string): void {
  for (const name of peer.files('queue', key, 'opts')) {
    const path = peer.at('queue', key, 'opts', name)
    const opts = JSON.parse(readFileSync(path, 'utf8')) as object
    writeFileSync(path, JSON.stringify({ ...opts, expires: Date.now() - 1 }))
  }
}

test('messages that wait for long: one notice, with how many, since when, why, and what to do', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    configure(alice, 'delay_notice = "12h"\n')
    const oldest = await alice.queue('bob', ['-m', 'see you at 8?\nor at 9?'])
    await alice.queue('bob', ['-m', 'well?'])
    await alice.good('p2p-queue', ['flush'])
    assert.equal(subjects(alice), [], 'they are young')
    age(alice, bob.key, 1)
    const flushed = await alice.run('p2p-queue', ['flush'])
    assert.match(flushed.err, /^p2p-queue: 2 messages for bob are waiting since (?:\d\d:\d\d|[A-Z]\w+day)\n$/)
    const [mail, ...more] = fromProgram(alice)
    assert.equal(more, [])
    assert.is(`p2p-queue: ${header(mail, 'Subject')}\n`, flushed.err)
    assert.is(header(mail, 'Auto-Submitted'), 'auto-replied')
    assert.is(header(mail, 'In-Reply-To'), `<${oldest}@p2p.invalid>`)
    for (const part of [/^Why: {5}the machine answers but p2p is not running there.* \(refused\)$/m, /^Tried: {3}2 times, last 20/m]) {
      assert.match(mail ?? '', part)
    }
    assert.match(mail ?? '', /^Oldest: {2}of 20[\d :-]+: see you at 8\?\n\n[\s\S]*^ {2}p2p-queue flush bob\n {2}p2p-queue drop --to bob$/m)
    // Nobody says it again: another flush, a message, a listener; not even one that has lost the log.
    await alice.good('p2p-queue', ['flush', 'bob'])
    await alice.good('p2p-send', ['bob', '-m', 'hello?'])
    const listener = await alice.listen()
    await listener.until('deferred')
    await listener.kill()
    for (const name of ['log', 'log.0']) rmSync(alice.at('queue', bob.key, name), { force: true })
    await alice.good('p2p-queue', ['flush'])
    assert.is(fromProgram(alice).length, 1)
    const [listed] = await alice.good('p2p-inbox', ['list'])
    assert.equal([listed?.['from'], listed?.['reply'], listed?.['auto']], ['mailer-daemon', oldest, true])
  })
})

test('a delivery ends the outage; the next one has a notice of its own, and each contact has its own', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const eve = await stage.peer('eve')
    await alice.meet(eve)
    for (const name of ['bob', 'eve']) await alice.queue(name, ['-m', 'x'])
    for (const peer of [bob, eve]) age(alice, peer.key, 4)
    await alice.good('p2p-queue', ['flush'])
    assert.is(fromProgram(alice).length, 2, 'after three days without any settings')
    const there = await bob.listen()
    await alice.good('p2p-queue', ['flush'])
    await there.stop()
    await alice.queue('bob', ['-m', 'y'])
    await alice.good('p2p-queue', ['flush'])
    assert.is(fromProgram(alice).length, 2, 'this one is young')
    age(alice, bob.key, 30)
    const listener = await alice.listen()
    const notice = await listener.until('notice')
    assert.match(String(notice['text']), /^1 message for bob is waiting since \d{4}-\d\d-\d\d$/)
    assert.match(listener.err, /^p2p-listen: 1 message for bob is waiting since/m)
    await listener.kill()
    const again = await alice.listen()
    await again.until('deferred', ({ to }) => to === 'bob')
    await again.stop()
    assert.equal(again.of('notice'), [])
    const all = subjects(alice).map((subject = '') => subject.replace(/ is waiting since .*/, ''))
    assert.equal([all.slice(0, 2).toSorted(), all.slice(2)], [['1 message for bob', '1 message for eve'], ['1 message for bob']])
  })
})

test('no notice with inf, nor for what is held back or has failed; one for what is refused for now', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const held = await alice.queue('bob', ['-m', 'x'])
    age(alice, bob.key, 5)
    configure(alice, 'delay_notice = "inf"\n')
    await alice.good('p2p-queue', ['flush'])
    configure(alice, '')
    await alice.good('p2p-queue', ['hold', held])
    await alice.good('p2p-queue', ['flush'])
    assert.equal(subjects(alice), [])
    configure(bob, '[limits]\nquota = 1\n')
    const there = await bob.listen()
    await alice.good('p2p-queue', ['release', held])
    await alice.good('p2p-queue', ['flush'])
    await there.stop()
    assert.match(fromProgram(alice)[0] ?? '', /\nWhy: {5}the daily quota at the other side is used up \(peer-full\)\n/)
  })
})

test('the log remembers a notice and the last delivery when it is put aside', async () => {
  await withPair(async (alice) => {
    const [queued] = await send(alice, [[text('x')]])
    const { key } = alice.contact
    await note(alice.home, key, { event: 'delivered', id: queued?.id ?? '' })
    const { delivered } = await readLog(alice.home, key)
    await note(alice.home, key, { event: 'notice' })
    const { noticed } = await readLog(alice.home, key)
    assert.ok(delivered !== undefined && noticed !== undefined)
    for (let i = 0; i < 3; i++) {
      await note(alice.home, key, Array.from({ length: 1000 }, () => ({ event: 'attempt' as const, reason: 'timeout', text: 'x'.repeat(1200) })))
    }
    const log = await readLog(alice.home, key)
    assert.equal([log.delivered, log.noticed, log.count], [delivered, noticed, 3000])
    await note(alice.home, key, { event: 'session' })
    assert.is((await readLog(alice.home, key)).noticed, noticed, 'a session alone is no delivery')
    await note(alice.home, key, { event: 'delivered', id: queued?.id ?? '' })
    assert.is((await readLog(alice.home, key)).noticed, undefined)
  })
})

test('a message whose time is over: a bounce with all one needs, and the way out works', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const id = await alice.queue('bob', ['-m', 'the first words\nand more', '--expires', '1h'])
    await alice.good('p2p-queue', ['flush'])
    overtake(alice, bob.key)
    const flushed = await alice.run('p2p-queue', ['flush'])
    assert.is(flushed.code, 0, flushed.err)
    assert.equal(records(flushed.out).map(({ type, reason }) => [type, reason]), [['failed', 'expired']])
    const [mail, ...more] = fromProgram(alice)
    assert.equal(more, [])
    assert.is(header(mail, 'Subject'), 'not delivered to bob: the first words')
    assert.is(header(mail, 'To'), `alice <${alice.key}@p2p.invalid>`)
    assert.is(header(mail, 'Auto-Submitted'), 'auto-replied')
    assert.is(header(mail, 'In-Reply-To'), `<${id}@p2p.invalid>`)
    for (const part of [
      /^Your message to bob was not delivered\. It waited for less than a minute\.$/m,
      /^Why: {5}it was not delivered in time; the last time: the machine answers but p2p is not running there, or the port is wrong$/m,
      new RegExp(`^Message: ${id}$`, 'm'),
      /^Begins: {2}the first words$/m,
    ]) {
      assert.match(mail ?? '', part)
    }
    assert.not.match(mail ?? '', /and more/)
    const [, way = ''] = /^ {2}p2p-queue (retry [0-9a-f]+)$/m.exec(mail ?? '') ?? []
    await alice.good('p2p-queue', way.split(' '))
    const there = await bob.listen()
    await alice.good('p2p-queue', ['flush'])
    assert.equal(await bob.ids(), [id])
    await there.stop()
    assert.equal([fromProgram(alice).length, alice.strays()], [1, []])
  })
})

test('given up by a process that dies between the steps: one bounce, one failed message', async () => {
  let broken: string | undefined
  const files: Parameters<typeof withPair>[1] = {}
  await withPair(async (_, bob) => {
    const { files: real } = bob.home
    const rename = real.rename.bind(real)
    const link = /\/failed\/|\/inbox\/new\//
    files.rename = async (from, to) => {
      if (broken !== undefined && to.includes(broken) && link.test(to)) throw Object.assign(new Error('killed'), { code: 'EIO' })
      return rename(from, to)
    }
    Object.assign(bob.home.files, files)
    await send(bob, [[text('x')]], { expires: 1 })
    for (const step of ['/inbox/new/', '/failed/', undefined, undefined]) {
      broken = step
      const died = await bob.station.postmaster.expire(bob.contact).then(() => false, () => true)
      assert.is(died, step !== undefined)
    }
    assert.is(await queueread.count(bob.home, bob.contact.key, 'failed'), 1)
    assert.is(await waiting(bob), 0)
    assert.is((await bob.home.files.list(bob.home.at('inbox', 'new'))).length, 1)
  })
})

test.run()
