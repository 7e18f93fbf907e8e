// Commands for messages, as the settings name them: who runs them, for what, how often, and what they get. --exec of
// p2p-listen, which goes the same way, is in listener.test.ts.
// test timeout: 300 s

import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { systemClock } from '../lib/base/clock.ts'
import { LATER, OVERTIME, startHook } from '../lib/delivery/hookrun.ts'
import type { ReadMail } from '../lib/wire/mailread.ts'
import { argvOf } from './command.ts'
import { pause, type Peer, Stage, until } from './peer.ts'
import { type Rec, records } from './records.ts'

const configure = (peer: Peer, text: string): void => writeFileSync(peer.at('config.toml'), text)
const pending = (peer: Peer): string[] => readdirSync(peer.at('hooks', 'pending'))
const shell = (command: string): string => argvOf(command).map((word) => `'${word}'`).join(' ')

interface Collector {
  command: string
  runs: () => string[]
  record: (id: string) => unknown
  body: (id: string) => string
}

/** A command that writes what it got into a folder, and the lines it wrote: one a run. */
function collector(stage: Stage, name: string, rest = 'exit 0'): Collector {
  const folder = join(stage.dir, name)
  const script = `${folder}.sh`
  writeFileSync(
    script,
    `mkdir -p '${folder}'
cat >'${folder}'/"$P2P_ID.body"
cat <&3 >'${folder}'/"$P2P_ID.record"
echo "$P2P_ID $P2P_FROM $P2P_TYPE $P2P_AUTO" >>'${folder}/runs'
${rest}
`,
  )
  const read = (file: string): string => (existsSync(join(folder, file)) ? readFileSync(join(folder, file), 'utf8') : '')
  return {
    command: `. ${script}`,
    runs: () => read('runs').split('\n').filter((line) => line !== ''),
    record: (id) => records(read(`${id}.record`))[0],
    body: (id) => read(`${id}.body`),
  }
}

test('a listener and a flush run the command alike, with the record that p2p-inbox has', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const { command, runs, record, body } = collector(stage, 'hook')
    configure(bob, `[hooks]\nmessage = "${command}"\n`)
    const listener = await bob.listen()
    const first = await alice.send('bob', ['-m', 'one'])
    await until('a run', () => runs().length === 1)
    await until('nothing pending', () => pending(bob).length === 0) // a command that is cut off is run again by the next
    await listener.stop()
    const sender = await alice.listen()
    const second = await alice.queue('bob', ['-a', alice.file('two', 'two')])
    const third = await alice.queue('bob', ['-a', alice.file('a', 'a'), '-a', alice.file('b', 'b')])
    const flushed = await bob.run('p2p-queue', ['flush'])
    assert.equal([flushed.code, flushed.out], [0, ''], flushed.err)
    assert.equal(runs().sort(), [`${first} alice text no`, `${second} alice file no`, `${third} alice file no`].sort(), 'it ends after them')
    assert.equal(pending(bob), [])
    const listed = await bob.good('p2p-inbox', ['list'])
    assert.equal(listed.map(({ id }) => id), [first, second, third])
    for (const one of listed) assert.equal(record(one['id'] as string), one)
    assert.equal([first, second, third].map(body), ['one', 'two', ''], 'of several files none is the body')
    await sender.stop()
  })
})

test('one contact: a command of its own, or none; --exec in place of all', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const eve = await stage.peer('eve')
    const mallory = await stage.peer('mallory')
    await bob.meet(eve, mallory)
    const [all, own, exec] = [collector(stage, 'all'), collector(stage, 'own'), collector(stage, 'exec')]
    configure(bob, `[hooks]\nmessage = "${all.command}"\n[contact.eve]\nhook = "${own.command}"\n[contact.${mallory.key}]\nhook = ""\n`)
    let listener = await bob.listen()
    const sendAll = async (): Promise<unknown> => Promise.all([alice, eve, mallory].map((peer) => peer.send('bob', ['-m', 'x'])))
    await sendAll()
    await until('two runs', () => all.runs().length + own.runs().length === 2)
    await until('nothing pending', () => pending(bob).length === 0)
    assert.equal([all.runs()[0]?.split(' ')[1], own.runs()[0]?.split(' ')[1]], ['alice', 'eve'])
    // other settings from now on
    configure(bob, `[contact.mallory]\nhook = "${own.command}"\n`)
    listener.child.kill('SIGHUP')
    await until('another command', async () => {
      await mallory.send('bob', ['-m', 'x'])
      return own.runs().some((run) => run.includes(' mallory '))
    })
    await until('nothing pending', () => pending(bob).length === 0) // a command that is cut off is run again by the next
    await listener.stop()
    const before = [all.runs().length, own.runs().length]
    listener = await bob.listen(['--exec', exec.command])
    await sendAll()
    await until('three runs', () => exec.runs().length === 3)
    assert.equal([all.runs().length, own.runs().length], before)
    await listener.stop()
  })
})

test('a command for each type: the nearest word counts, and what has none is dealt with at once', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const eve = await stage.peer('eve')
    await bob.meet(eve)
    const named = (name: string): Collector => collector(stage, name)
    const [all, file, hers, herFile] = [named('all'), named('file'), named('hers'), named('herfile')]
    const [edit, recall] = [named('edit'), named('recall')]
    configure(bob, `[hooks]\nmessage = "${all.command}"\nfile = "${file.command}"\nreaction = ""\nedit = "${edit.command}"\nrecall = "${recall.command}"\n[contact.eve]\nhook = "${hers.command}"\nhook_file = "${herFile.command}"\n`)
    const listener = await bob.listen()
    const photo = alice.file('photo', 'x')
    const sent: Record<string, string> = {}
    for (const peer of [alice, eve]) {
      sent[`${peer.name} text`] = await peer.send('bob', ['-m', 'one'])
      sent[`${peer.name} file`] = await peer.send('bob', ['-m', 'look', '-a', photo])
      const on = sent[`${peer.name} text`] ?? ''
      const [{ id } = {}] = await peer.good('p2p-send', ['--ndjson'], { input: JSON.stringify({ to: 'bob', reply: on, reaction: '👍' }) })
      sent[`${peer.name} reaction`] = String(id)
      for (const [type, ...args] of [['edit', '-m', 'two'], ['recall']] as [string, ...string[]][]) {
        const [{ id } = {}] = await peer.good('p2p-send', [`--${type}`, on, ...args, '-w', '60s'])
        sent[`${peer.name} ${type}`] = String(id)
      }
    }
    await until('nothing pending', async () => (await bob.good('p2p-inbox', ['list'])).length >= 10 && pending(bob).length === 0)
    const told = (type: string, who: string): string => `${sent[`${who} ${type}`]} ${who} ${type} no`
    await until('all have run', () => [all, file, edit, recall, hers, herFile].flatMap(({ runs }) => runs()).length === 9)
    assert.equal(all.runs(), [told('text', 'alice')])
    assert.equal(file.runs(), [told('file', 'alice')])
    assert.equal([edit.runs(), recall.runs()], [[told('edit', 'alice')], [told('recall', 'alice')]])
    const [about, id] = [sent['alice text'], sent['alice edit'] ?? '']
    assert.equal([edit.body(id), (edit.record(id) as Rec)['edit'], (recall.record(sent['alice recall'] ?? '') as Rec)['recall']], ['two', about, about])
    assert.equal(hers.runs().sort(), ['text', 'reaction', 'edit', 'recall'].map((type) => told(type, 'eve')).sort(), 'her own for all counts before that of all for a type')
    assert.equal(herFile.runs(), [told('file', 'eve')])
    await listener.stop()
    assert.equal(bob.strays(), [])
  })
})

test('75 is run again by the next one who runs commands; a killed process leaves it pending', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const { command, runs } = collector(stage, 'hook', `[ -e '${stage.dir}/good' ] || exit 75`)
    configure(bob, `[hooks]\nmessage = "${command}"\n`)
    const sender = await alice.listen()
    await alice.queue('bob', ['-m', 'x'])
    await bob.good('p2p-queue', ['flush'])
    assert.equal([runs().length, pending(bob).length], [1, 1])
    await bob.good('p2p-queue', ['flush'])
    assert.equal([runs().length, pending(bob).length], [2, 1])
    writeFileSync(join(stage.dir, 'good'), '')
    await bob.good('p2p-queue', ['flush'])
    assert.equal([runs().length, pending(bob).length], [3, 0])
    // killed in the middle: at least once
    const slow = join(stage.dir, 'slow')
    configure(bob, `[hooks]\nmessage = "echo >>'${slow}'; [ -e '${slow}.go' ] || exec sleep 20 >/dev/null 2>&1"\n`)
    const listener = await bob.listen()
    await alice.send('bob', ['-m', 'y'])
    await until('it runs', () => existsSync(slow))
    await listener.kill()
    assert.is(pending(bob).length, 1)
    writeFileSync(`${slow}.go`, '')
    const again = await bob.listen()
    await until('nothing pending', () => pending(bob).length === 0)
    assert.is(readFileSync(slow, 'utf8'), '\n\n')
    await Promise.all([again.stop(), sender.stop()])
    assert.equal([...alice.strays(), ...bob.strays()], [])
  })
})

test('what fails, and what cannot run, is told and dealt with', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const sender = await alice.listen()
    for (const [command, why] of [['exit 3', 'ended with 3'], ['kill -9 $$', 'ended with 137'], ['no-such-program', 'ended with 127']]) {
      configure(bob, `[hooks]\nmessage = "${command}"\n`)
      const id = await alice.queue('bob', ['-m', 'x'])
      const ran = await bob.run('p2p-queue', ['flush'])
      assert.is(ran.code, 0)
      assert.match(ran.err, new RegExp(`^p2p-queue: the command for message ${id.slice(0, 8)} ${why}$`, 'm'))
      assert.equal(pending(bob), [])
    }
    await sender.stop()
  })
})

test('messages of programs, bounces and notes run nothing; with hooks.auto those of programs do', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const { command, runs } = collector(stage, 'hook')
    const file = `delay_notice = "0"\n[hooks]\nmessage = "${command}"\n`
    configure(bob, file)
    await bob.good('p2p-send', ['me', '-m', 'a note'])
    await bob.good('p2p-send', ['alice', '-m', 'late', '--expires', '0', '--queue-only'])
    await bob.good('p2p-send', ['alice', '-m', 'later', '--queue-only'])
    await bob.good('p2p-queue', ['flush'])
    const listed = await bob.good('p2p-inbox', ['list'])
    assert.equal(listed.slice(1).map(({ from }) => from), ['mailer-daemon', 'mailer-daemon'], 'behind the note a bounce and a notice')
    const sender = await alice.listen()
    await alice.queue('bob', ['-m', 'of a program'], { env: { P2P_ID: '0f'.repeat(32) } })
    await bob.good('p2p-queue', ['flush'])
    assert.equal([runs(), pending(bob)], [[], []])
    configure(bob, `${file}auto = true\n`)
    const id = await alice.queue('bob', ['-m', 'of a program'], { env: { P2P_ID: '0f'.repeat(32) } })
    await bob.good('p2p-queue', ['flush'])
    assert.equal(runs(), [`${id} alice text yes`])
    await sender.stop()
  })
})

test('an answer from inside a command goes out, and is of a program', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    configure(bob, `[hooks]\nmessage = '''${shell('p2p-send')} -q --reply "$P2P_ID" -m "got it"'''\n`)
    const sender = await alice.listen()
    const id = await alice.queue('bob', ['-m', 'x'])
    await bob.good('p2p-queue', ['flush'])
    const answer = await sender.until('message')
    assert.equal([answer['text'], answer['reply'], answer['auto']], ['got it', id, true])
    configure(bob, `[hooks]\nmessage = '''printf 'To: %s\\n\\nby mail' "$P2P_FROM" | ${shell('p2p-sendmail')} -t'''\n`)
    await alice.queue('bob', ['-m', 'y'])
    await bob.good('p2p-queue', ['flush'])
    await bob.good('p2p-queue', ['flush'])
    assert.is((await sender.until('message', ({ text }) => text === 'by mail'))['auto'], true, 'by p2p-sendmail as well')
    await sender.stop()
  })
})

test('--once: the command of the one message gets its time', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const done = join(stage.dir, 'done')
    const once = await bob.listen(['--once', '--exec', `sleep 2; echo done >'${done}'`])
    await alice.send('bob', ['-m', 'x'])
    assert.equal(await once.ended, { code: 0, signal: null })
    assert.equal([existsSync(done), pending(bob), once.of('message').length], [true, [], 1])
    // a signal does not wait for it
    const other = await bob.listen(['--once', '--exec', 'sleep 100'])
    await alice.send('bob', ['-m', 'x'])
    await pause(300)
    const ended = await other.stop()
    assert.equal([ended.code, pending(bob).length], [0, 1])
    console.log(`# ended within ${Math.round(ended.ms)} ms`)
  })
})

test('two who see the same message do not both run its command', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const { command, runs } = collector(stage, 'hook', 'sleep 2')
    const sender = await alice.listen()
    configure(bob, '[hooks]\nmessage = "exit 75"\n')
    await alice.queue('bob', ['-m', 'x'])
    await bob.good('p2p-queue', ['flush'])
    configure(bob, `[hooks]\nmessage = "${command}"\n`)
    const flushing = bob.start('p2p-queue', ['flush'])
    await until('it runs', () => runs().length === 1)
    const listener = await bob.listen()
    await flushing.ended
    await pause(500)
    assert.equal([runs().length, pending(bob)], [1, []])
    await Promise.all([listener.stop(), sender.stop()])
  })
})

test('a command that takes too long is ended with its group, politely or not; one that cannot begin comes later', async () => {
  await Stage.with(async (stage) => {
    const [alice] = await stage.pair()
    const fast = { ...systemClock, after: (ms: number, run: () => void, background?: boolean) => systemClock.after(ms / 60, run, background) }
    const home = { ...alice.home, at: alice.home.at.bind(alice.home), clock: fast }
    const mail: ReadMail = { headers: new Map(), parts: [] }
    const troubles: unknown[] = []
    const run = (command: string): Promise<number> =>
      startHook(home, command, { info: { from: 'bob', parts: [] }, mail }, (error) => void troubles.push(error)).code
    assert.is(await run('exit 7'), 7)
    assert.is(await run('sleep 300 & sleep 300'), OVERTIME)
    assert.is(await run("trap '' TERM; sleep 300; sleep 300; sleep 300"), OVERTIME)
    assert.is(await run('kill -TERM $$'), 143)
    assert.equal(troubles, [])
    process.env['TOO_LONG'] = 'x'.repeat(1 << 18)
    assert.is(await run('exit 0'), LATER)
    delete process.env['TOO_LONG']
    assert.match(String(troubles[0]), /E2BIG/)
  })
})

test.run()
