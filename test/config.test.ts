// config.toml: what is refused and how it is said, what counts before what, and for each key that it does something in
// the commands as they are run. Hooks are in hooks.test.ts, delay_notice is in notice.test.ts.

import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { Failure } from '../lib/base/fail.ts'
import { Config, loadConfig } from '../lib/disk/config.ts'
import { KEYS } from '../lib/disk/configkeys.ts'
import type { Home } from '../lib/disk/home.ts'
import { realDoors } from '../lib/disk/home.ts'
import { noise, type Peer, Stage } from './peer.ts'
import { records } from './records.ts'

const place = mkdtempSync(join(tmpdir(), 'p2p-config-'))
const home = { ...realDoors, path: place, at: (...parts: string[]) => join(place, ...parts) } as Home

test.after(() => rmSync(place, { recursive: true }))

function load(text: string | Uint8Array, env: Record<string, string> = {}): Promise<Config> {
  writeFileSync(join(place, 'config.toml'), text)
  return loadConfig(home, env)
}

/** What is wrong with a file, without its path; it must be 78. */
async function refusal(text: string | Uint8Array, env: Record<string, string> = {}): Promise<string> {
  try {
    await load(text, env)
  } catch (error) {
    assert.ok(error instanceof Failure, String(error))
    assert.is(error.exit, 78)
    return error.message.replace(`${place}/config.toml`, 'FILE')
  }
  throw new Error(`it was accepted: ${String(text)}`)
}

const BOB = { key: '6SjWSQX5UKC2w6JuUbRtJscckKgSuVnhxcH9qqhmHmcA', name: 'Bob.b' }
const EVE = { key: 'ECLjcSEAbf713kjxWQnSPL1k791Z4nAw1cU74pEuJwoC', name: 'eve' }
const GIB = 2 ** 30

const commands = (all: string): Record<string, string> => ({ text: all, file: all, reaction: all, edit: all, recall: all })

test('without a file, and with an empty one, all is as the manual says', async () => {
  rmSync(join(place, 'config.toml'), { force: true })
  for (const config of [await loadConfig(home), await load(''), new Config()]) {
    const { wait, delayNotice, chatThreads, quietNet, requests, free, hooksAuto } = config
    assert.equal([wait, delayNotice, chatThreads, quietNet, requests, free, hooksAuto], [5, 259_200, true, false, false, undefined, false])
    assert.equal(config.of(BOB), { expires: Infinity, message: GIB, quota: 8 * GIB, hooks: commands(''), receipts: false })
  }
})

test('every key of the manual is in the table, with its kind and default, and the other way round', () => {
  const page = readFileSync('man/p2p-config.5', 'utf8').replaceAll('\\(dq', '"').replaceAll('\n.Li ', ' ').replaceAll(' .\n', '.\n')
  const found = [...page.matchAll(/^\.It Li (\S+)\n(\w+)(?:, default:? (?:the )?(\S+?)(?:\sof all)?)?\.$/gm)]
  const listed = found.map(([, name, kind, fallback = '']) => ({ name, kind, fallback: fallback.replaceAll('"', '') }))
  assert.equal(listed, KEYS.map((key) => ({ ...key })))
  const variables = /^\.It Ev (.*)$/m.exec(page.slice(page.indexOf('.Sh ENVIRONMENT')))?.[1]?.split(' , ')
  assert.equal(variables, KEYS.filter(({ name }) => !name.includes('.')).map(({ name }) => `P2P_${name.toUpperCase()}`))
})

test('ways and hours of notices are read as they are written', async () => {
  const config = await load('[notify]\nby = "osc9, bell"\nquiet = "22:00-07:00"\ntext = true\n[contact."Bob.b"]\nnotify = ""')
  assert.equal(config.notify(), { by: ['osc9', 'bell'], quiet: [1320, 420], text: true })
  assert.equal(config.notify(BOB).by, [])
  assert.equal((await load('')).notify(BOB), { by: ['bell'], quiet: [0, 0], text: false })
  assert.match(await refusal('[notify]\nby = "horn"'), /^FILE:2: 'notify\.by': bad word 'horn': write bell, osc9 or desktop$/)
  assert.match(await refusal('[notify]\nquiet = "22-7"'), /^FILE:2: 'notify\.quiet': bad hours '22-7': write 22:00-07:00$/)
  assert.match(await refusal('[notify]\nquiet = 7'), /must be hours as '22:00-07:00'$/)
})

test('hosts: a list of them, in the environment apart by blanks', async () => {
  const two = [
    { host: 'stun.example.org', port: 3478, tcp: true, udp: true },
    { host: '2001:db8::1', port: 99, tcp: true, udp: true },
  ]
  assert.equal((await load('stun = ["stun.example.org", "[2001:db8::1]:99"]')).stun, two)
  assert.equal((await load('', { P2P_STUN: ' stun.example.org  [2001:db8::1]:99 ' })).stun, two)
  assert.equal((await load('stun = []')).stun, [])
  assert.match(await refusal('stun = "stun.example.org"'), /^FILE:1: 'stun' must be a list of HOST:PORT$/)
  assert.match(await refusal('stun = ["a.example", 7]'), /must be a list/)
  assert.match(await refusal('stun = ["a.example:0"]'), /^FILE:1: 'stun': address 'a\.example:0': the port is a number from 1 to 65535$/)
  assert.match(await refusal(`stun = [${'"a.example",'.repeat(9)}]`), /at most 8 hosts/)
  assert.match(await refusal('', { P2P_STUN: 'x y/z' }), /^\$P2P_STUN: address 'y\/z'/)
  assert.equal((await load('map = true\nlan = true')).lan, true)
  const quiet = await load('quiet_net = true\nmap = true\nlan = true')
  assert.equal([quiet.map, quiet.lan], [false, false])
})

test('the example of the manual is accepted', async () => {
  const page = readFileSync('man/p2p-config.5', 'utf8')
  const [, example = ''] = /\.Sh EXAMPLES\n\.Bd[^\n]*\n([\s\S]*?)\.Ed/.exec(page) ?? []
  const config = await load(example)
  assert.equal(config.of(BOB), { expires: 7200, message: 50 * 2 ** 20, quota: 8 * GIB, hooks: { ...commands(`notify-send "message from $P2P_FROM"`), reaction: '' }, receipts: false })
  const backup = config.of({ key: EVE.key, name: 'backup' })
  assert.equal(backup, { expires: 14 * 86_400, message: 20 * GIB, quota: 100 * GIB, hooks: commands(''), receipts: false })
})

test('values in every form: text, number, infinity', async () => {
  const config = await load('expires = inf\nwait = 1.5\ndelay_notice = "90s"\n[limits]\nmessage = 10\nfree = "64k"\n')
  assert.equal([config.of(BOB).expires, config.wait, config.delayNotice, config.of(BOB).message, config.free], [Infinity, 1.5, 90, 10, 65_536])
})

test('one contact: by NAME in any case, by KEY before that, by its file where nothing is said', async () => {
  const text = `expires = "1h"\n[contact."bob.B"]\nexpires = "2h"\nquota = 5\n[contact.${BOB.key}]\nquota = 7\n[contact.eve]\nhook = "x"`
  const config = await load(text)
  assert.equal([config.of(BOB).quota, config.of(BOB).expires], [7, 3600], 'the table by KEY alone counts')
  assert.equal([config.of({ ...BOB, key: EVE.key }).quota, config.of({ ...BOB, key: EVE.key }).expires], [5, 7200])
  assert.equal([config.of(EVE).hooks.text, config.of(EVE).expires], ['x', 3600])
  const limits = { maxMessage: 11, quota: 12 }
  assert.equal([config.of({ ...EVE, limits }).message, config.of({ ...EVE, limits }).quota], [11, 12])
  assert.equal(config.of({ ...BOB, limits }).quota, 7)
  assert.equal((await load('[limits]\nquota = 3')).of({ ...EVE, limits }).quota, 12)
})

test('the environment counts before the file; an empty variable does not', async () => {
  const file = 'wait = "1s"\nexpires = "1h"\nquiet_net = false\n[contact.eve]\nexpires = "3h"'
  const config = await load(file, { P2P_WAIT: '7', P2P_EXPIRES: '2h', P2P_QUIET_NET: 'true', P2P_CHAT_THREADS: 'false', P2P_DELAY_NOTICE: 'inf' })
  const { wait, quietNet, chatThreads, delayNotice } = config
  assert.equal([wait, quietNet, chatThreads, delayNotice, config.of(EVE).expires], [7, true, false, Infinity, 7200])
  assert.is((await load(file, { P2P_WAIT: '' })).wait, 1)
  assert.is((await load(file, { P2P_LIMITS_MESSAGE: '1', P2P_HOOKS_MESSAGE: 'x' })).of(BOB).hooks.text, '')
  assert.match(await refusal('', { P2P_WAIT: 'soon' }), /^\$P2P_WAIT: bad duration 'soon'/)
  assert.match(await refusal('', { P2P_QUIET_NET: 'yes' }), /^\$P2P_QUIET_NET: bad value 'yes': write true or false/)
})

const WRONG: [string, RegExp][] = [
  ['wiat = "5s"', /^FILE:1: unknown key 'wiat': did you mean 'wait'\?$/],
  ['wait = 5\n\n# hm\nfrobnicate = 1\n', /^FILE:4: unknown key 'frobnicate'$/],
  ['message = "1G"', /^FILE:1: unknown key 'message': did you mean 'limits.message'\?$/],
  ['[limits]\nmessage = 1\n[limit]\nfree = 3', /^FILE:4?3?: unknown key 'limit/],
  ['[limits]\n\nmesage = 1', /^FILE:3: unknown key 'limits.mesage': did you mean 'limits.message'\?$/],
  ['[limits]\nwait = 1', /^FILE:2: unknown key 'limits.wait': did you mean 'wait'\?$/],
  ['[contact.bob]\nexpire = "1h"', /^FILE:2: unknown key 'contact.bob.expire': did you mean 'contact.bob.expires'\?$/],
  ['[contact.bob]\nfree = "1h"', /^FILE:2: unknown key 'contact.bob.free': did you mean 'limits.free'\?$/],
  ['[contact.bob.more]\nhook = "1h"', /^FILE:1?2?: unknown key 'contact.bob.more/],
  ['contact = 3', /^FILE:1: 'contact' must be a table$/],
  ['[contact]\nbob = "x"', /^FILE:2: 'contact.bob' must be a table$/],
  ['limits = "x"', /^FILE:1: 'limits' must be a table$/],
  ['[[limits]]\nmessage = 1', /^FILE:1?2?: 'limits' must be a table$/],
  ['wait.long = 3', /^FILE:1: 'wait' must be a duration$/],
  ['wait = true', /^FILE:1: 'wait' must be a duration$/],
  ['wait = -1', /^FILE:1: 'wait' must be a duration$/],
  ['wait = nan', /^FILE:1: 'wait' must be a duration$/],
  ['wait = 1e300', /^FILE:1: 'wait' must be a duration$/],
  ['wait = ["5s"]', /^FILE:1: 'wait' must be a duration$/],
  ['wait = 2026-01-01', /^FILE:1: 'wait' must be a duration$/],
  ['wait = "soon"', /^FILE:1: 'wait': bad duration 'soon': write 500ms/],
  ['[limits]\nfree = 1.5', /^FILE:2: 'limits.free' must be a size$/],
  ['[limits]\nfree = inf', /^FILE:2: 'limits.free' must be a size$/],
  ['[limits]\nfree = "1T"', /^FILE:2: 'limits.free': bad size '1T'/],
  ['chat_threads = "true"', /^FILE:1: 'chat_threads' must be true or false$/],
  ['chat_threads = 1', /^FILE:1: 'chat_threads' must be true or false$/],
  ['[hooks]\nmessage = true', /^FILE:2: 'hooks.message' must be a text/],
  ['[hooks]\nmessage = "a\\u0000b"', /^FILE:2: 'hooks.message' must be a text without NUL$/],
  ['a = 1\na = 2', /^FILE:2: not TOML: /],
  ['x = [\n  1,\n  2', /^FILE:\d: not TOML: /],
  ['wait = "5s', /^FILE:1: not TOML: /],
  ['[hooks]\nmessage = """\nwait = 3\n"""\nfoo = 1', /^FILE:5: unknown key 'hooks.foo'/],
  ['__proto__ = 1', /^FILE:1: unknown key '__proto__'$/],
  ['constructor = 1\n', /^FILE:1: unknown key 'constructor'$/],
  ['[contact.__proto__]\nfoo = 1', /^FILE:2: unknown key 'contact.__proto__.foo'/],
  [`"a\\u001b[2J\\n" = 1`, /^FILE:1: unknown key 'a\\x1b\[2J\\n'$/],
]

test('what is not in the table, or has no such value, is 78 and named with its line', async () => {
  for (const [text, expected] of WRONG) assert.match(await refusal(text), expected, text)
  assert.match(await refusal(Uint8Array.of(0x61, 0xff, 0x0a)), /^FILE: not UTF-8$/)
  assert.match(await refusal(`# ${'x'.repeat(70_000)}`), /^FILE: longer than/)
  rmSync(join(place, 'config.toml'))
})

test('whatever stands in the file, it is a Config or a Failure', async () => {
  const word = fc.constantFrom('wait', 'limits', 'contact', '.', '=', '"5s"', '3', '\n', '[', ']', '"', "'", '{', '}', ',', '#', 'true', ' ', '\\')
  await fc.assert(
    fc.asyncProperty(fc.oneof(fc.string({ unit: 'binary' }), fc.array(word).map((words) => words.join(''))), async (text) => {
      const outcome = await load(text).catch((error: unknown) => error)
      assert.ok(outcome instanceof Config || (outcome instanceof Failure && outcome.exit === 78), String(outcome))
    }),
    { numRuns: 300 },
  )
  rmSync(join(place, 'config.toml'))
})

const configure = (peer: Peer, text: string): void => writeFileSync(peer.at('config.toml'), text)
const types = (ran: { out: string }): unknown[] => records(ran.out).map(({ type, reason }) => (reason === undefined ? type : [type, reason].join(' ')))

test('a bad file stops the commands that act by it, and no other', async () => {
  await Stage.with(async (stage) => {
    const [alice] = await stage.pair()
    configure(alice, '\nwiat = "5s"\n')
    for (const args of [['p2p-send', 'bob', '-m', 'x'], ['p2p-queue', 'flush'], ['p2p-listen']]) {
      const [command = '', ...rest] = args
      const ran = await alice.run(command, rest)
      assert.is(ran.code, 78, ran.err)
      assert.equal(ran.err.split('\n')[0], `${command}: ${alice.path}/config.toml:2: unknown key 'wiat': did you mean 'wait'?`)
      assert.match(ran.err, /\n[\w-]+: hint: man p2p-config/)
    }
    assert.equal(await alice.waiting(), [])
    assert.is((await alice.run('p2p-inbox', ['list'])).code, 0)
    configure(alice, '[contact.bbo]\nexpires = "1h"\n')
    const ran = await alice.run('p2p-send', ['bob', '-m', 'x', '--queue-only'])
    assert.equal([ran.code, ran.err], [0, "p2p-send: config.toml: no contact named 'bbo': did you mean 'bob'?\n"])
    assert.is((await alice.run('p2p-send', ['bob', '-m', 'x', '--queue-only', '-q'])).err, '')
  })
})

test('expires: for every message without an expiry of its own, by contact, in the environment, in --ndjson', async () => {
  await Stage.with(async (stage) => {
    const [alice] = await stage.pair()
    const eve = await stage.peer('eve')
    await alice.learn(eve)
    configure(alice, 'expires = "1h"\n[contact.eve]\nexpires = "2h"\n')
    const hours = async (args: string[], options: { input?: string; env?: Record<string, string> } = {}): Promise<unknown[]> => {
      const told = await alice.good('p2p-send', ['--queue-only', ...args], options)
      return told.map(({ created, expires }) =>
        expires === undefined ? 'never' : Math.round((Date.parse(expires as string) - Date.parse(created as string)) / 360_000) / 10,
      )
    }
    assert.equal(await hours(['bob', 'eve', '-m', 'x']), [1, 2])
    assert.equal(await hours(['bob', 'eve', '-m', 'x', '--expires', 'inf']), ['never', 'never'])
    assert.equal(await hours(['bob', '-m', 'x', '--expires', '3h']), [3])
    assert.equal(await hours(['bob', 'eve', '-m', 'x'], { env: { P2P_EXPIRES: '4h' } }), [4, 4])
    const lines = ['{"to":"bob","text":"x"}', '{"to":"bob","text":"x","expires":"inf"}', '{"to":"eve","text":"x","expires":"5h"}']
    assert.equal(await hours(['--ndjson'], { input: lines.join('\n') }), [1, 'never', 5])
    await alice.good('p2p-send', ['me', '-m', 'note'])
    assert.is((await alice.ids()).length, 1)
  })
})

test('wait: how long p2p-send tries, unless -w says; 75 is for -w alone', async () => {
  await Stage.with(async (stage) => {
    const [alice] = await stage.pair()
    configure(alice, 'wait = "0"\n')
    await alice.good('p2p-send', ['bob', '-m', 'x'])
    assert.equal((await alice.good('p2p-queue', ['list'])).map(({ attempts }) => attempts), [0])
    const tried = await alice.run('p2p-send', ['bob', '-m', 'x', '-w', '20s'])
    assert.equal([tried.code, types(tried)], [75, ['queued', 'deferred refused']])
    const asked = await alice.run('p2p-send', ['bob', '-m', 'x'], { env: { P2P_WAIT: '20s' } })
    assert.equal([asked.code, types(asked)], [0, ['queued', 'deferred refused']])
  })
})

test('chat_threads: the thread of the day in the inbox of one and the copy of the other, each as its home wants', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const threads = (peer: Peer, box: string): number => {
      const folders = ['new', 'cur'].map((name) => peer.at(box, name))
      const mails = folders.flatMap((folder) => readdirSync(folder).map((name) => readFileSync(join(folder, name), 'utf8')))
      return mails.filter((mail) => /^References: <chat\.\d{8}\./m.test(mail)).length
    }
    configure(bob, 'chat_threads = false\n')
    const listener = await bob.listen()
    await alice.send('bob', ['-m', 'one'])
    assert.equal([threads(alice, 'sent'), threads(bob, 'inbox')], [1, 0])
    configure(alice, 'chat_threads = false\n')
    configure(bob, '')
    await bob.good('p2p-id', ['block', 'alice']) // whatever p2p-id changes, the listener reads the settings again
    await bob.good('p2p-id', ['unblock', 'alice'])
    await alice.send('bob', ['-m', 'two'])
    assert.equal([threads(alice, 'sent'), threads(bob, 'inbox')], [1, 1])
    await alice.good('p2p-send', ['me', '-m', 'three'])
    assert.equal([threads(alice, 'sent'), threads(alice, 'inbox')], [1, 0])
    await listener.stop()
  })
})

test('quiet_net: a host name is not looked up', async () => {
  await Stage.with(async (stage) => {
    const [alice] = await stage.pair({}, { addr: ['nowhere.invalid'] })
    const reason = async (): Promise<unknown[]> => {
      const [, deferred] = await alice.good('p2p-send', ['bob', '-m', 'x'])
      return [deferred?.['reason'], deferred?.['text']]
    }
    // In place of the system's resolver: one that notes that it was asked.
    const asked = join(stage.dir, 'asked')
    const fake = `require('node:fs').writeFileSync('${asked}', ''); throw Object.assign(new Error('x'), { code: 'ENOTFOUND' })`
    writeFileSync(join(stage.dir, 'dns.cjs'), `require('node:dns/promises').lookup = async () => { ${fake} }`)
    alice.env['NODE_OPTIONS'] = `${alice.env['NODE_OPTIONS'] ?? ''} --require=${join(stage.dir, 'dns.cjs')}`
    assert.equal(await reason(), ['unresolved', "the host name in bob's address has no address now"])
    assert.ok(existsSync(asked))
    rmSync(asked)
    configure(alice, 'quiet_net = true\n')
    assert.equal(await reason(), ['unresolved', "the host name in bob's address was not looked up: quiet_net is on"])
    assert.not.ok(existsSync(asked))
  })
})

test('udp: false, and only TCP is spoken', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    for (const udp of [false, true]) {
      configure(bob, `udp = ${udp}\n`)
      const listener = await bob.listen()
      assert.equal(listener.of('listening').map((record) => record['udp']), [udp])
      assert.equal(listener.err, '', 'that is no notice')
      await alice.send('bob', ['-m', 'one'])
      await listener.stop()
    }
  })
})

test('limits.message: 65 for what is sent here, a bounce for what the other side does not take', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const big = alice.file('big', noise(200_000, 1))
    configure(alice, '[contact.bob]\nmessage = "100k"\n')
    const refused = await alice.run('p2p-send', ['bob', '-a', big])
    assert.equal([refused.code, refused.out], [65, ''])
    assert.match(refused.err, /body of 200000 bytes, at most 102400 are allowed/)
    configure(alice, '')
    configure(bob, '[limits]\nmessage = "100k"\n')
    const listener = await bob.listen()
    const bounced = await alice.run('p2p-send', ['bob', '-a', big, '-w', '20s'])
    assert.equal([bounced.code, types(bounced)], [76, ['queued', 'failed too-big']])
    await alice.send('bob', ['-m', 'small'])
    await listener.stop()
    configure(bob, '[limits]\nmessage = "100k"\n[contact.alice]\nmessage = "300k"\n')
    const again = await bob.listen()
    const known = await alice.run('p2p-send', ['bob', '-a', big])
    assert.equal([known.code, known.out], [65, ''], 'what bob said last counts')
    assert.match(known.err, /body of 200000 bytes, bob takes at most 102400\n.*hint: p2p-queue flush bob/)
    await alice.good('p2p-queue', ['flush', 'bob'])
    await alice.send('bob', ['-a', big])
    await again.stop()
    assert.is((await bob.ids()).length, 2)
  })
})

test('limits.quota and limits.free: refused for now', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    configure(bob, '[limits]\nquota = "10k"\n')
    const listener = await bob.listen()
    await alice.send('bob', ['-m', 'one'])
    await alice.send('bob', ['-m', 'two'])
    const third = await alice.run('p2p-send', ['bob', '-m', 'three', '-w', '20s'])
    assert.equal([third.code, types(third)], [75, ['queued', 'deferred peer-full']])
    assert.match(third.out, /daily quota/)
    configure(bob, '[contact.alice]\nquota = "1M"\n')
    listener.child.kill('SIGHUP')
    await alice.good('p2p-queue', ['flush', '-w', '20s'])
    assert.is((await bob.ids()).length, 3)
    await listener.stop()
    configure(bob, '[limits]\nfree = "900000G"\n')
    const full = await bob.listen()
    await alice.send('bob', ['-m', 'small ones are taken'])
    const large = await alice.run('p2p-send', ['bob', '-a', alice.file('large', noise(100_000, 1)), '-w', '20s'])
    assert.equal(types(large), ['queued', 'deferred peer-full'])
    assert.match(large.out, /no room on its disk/)
    await full.stop()
  })
})

test.run()
