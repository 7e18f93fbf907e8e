// Row: an inbox of 100,000 messages and a log of 1,000,000 deliveries: what looking into it costs, beside a bare node and
// grep, and how a listener starts there. The first look, which makes the index, is a figure of its own.

import { closeSync, openSync, writeFileSync, writeSync } from 'node:fs'

import { hex } from '../../lib/base/bytes.ts'
import { crc32 } from '../../lib/base/crc32.ts'
import { realDoors } from '../../lib/disk/home.ts'
import { mailName } from '../../lib/disk/maildir.ts'
import { composed, mailOf } from '../mailbox.ts'
import type { Peer } from '../peer.ts'
import type { Figure, Goal, Side } from './figure.ts'
import { missing, residentMiB, timed, type Took } from './measure.ts'
import { People } from './people.ts'

const MAILS = 100_000
const SEEN = 1_000_000
const UNSEEN = 50
const RUNS = 5
/** A message every five minutes: a year of them. */
const STEP_US = 300_000_000n
const FIRST_US = 1_750_000_000_000_000n

/** Messages of one contact, every tenth an answer and every fiftieth a reaction, as a receiver and a mail program leave them. */
async function fill(home: Peer['home'], key: string): Promise<string> {
  const ids: string[] = []
  const log = openSync(home.at('seen'), 'a')
  const from = { name: 'bob', key }
  const line = (us: bigint, id: string): string => {
    const text = `${us} ${key} ${id} ${'0'.repeat(16)}`
    return `\n${text} ${crc32(text).toString(16).padStart(8, '0')}\n`
  }
  for (let at = 0; at < SEEN - MAILS; at += 1000) {
    writeSync(log, Array.from({ length: 1000 }, (_, i) => line(FIRST_US - BigInt(SEEN - at - i), hex(realDoors.random.bytes(32)))).join(''))
  }
  for (let i = 0; i < MAILS; i++) {
    const us = FIRST_US + BigInt(i) * STEP_US
    const about = i % 50 === 25 ? { reaction: '+1', reply: ids[i - 1] ?? '' } : i % 10 === 5 ? { reply: ids[i - 3] ?? '' } : {}
    const text = 'reaction' in about ? '' : `message number ${i}\n${'some words of a message '.repeat(i % 20)}\n`
    const { mail, head } = mailOf({ from, text, created: us, received: us, ...about })
    ids.push(head.id)
    const [folder, flags] = i < MAILS - UNSEEN ? ['cur', ':2,S'] : ['new', '']
    writeFileSync(home.at('inbox', folder, `${mailName(us, head.id)}${flags}`), await composed(mail), { mode: 0o600 })
    writeSync(log, line(us, head.id))
  }
  closeSync(log)
  return ids[MAILS - 40] ?? ''
}

async function sampled(what: string, run: () => Promise<Took>, times = RUNS): Promise<Side> {
  const side: Side = { what, samples: [], cpuMs: [] }
  for (let i = 0; i < times; i++) {
    const { ms, cpuMs } = await run()
    side.samples.push(ms)
    side.cpuMs?.push(cpuMs)
  }
  return side
}

const atMost = (least: number, aim: number): Goal => ({ kind: 'ratio', good: 'less', least, aim })

export async function inbox(): Promise<Figure[]> {
  const figures: Figure[] = []
  await People.with(async (people) => {
    const { home } = people.alice
    const id = await fill(home, people.bob.key)
    const bare = await sampled('node -e 0', () => timed([process.execPath, '-e', '0']))
    const look = (args: string[]): (() => Promise<Took>) => () => people.run('p2p-inbox', args)
    const add = async (args: string[], goal: Goal, peer: Side = bare, times = RUNS): Promise<void> => {
      const what = `p2p-inbox ${args.join(' ')}`.replace(id, 'MSG')
      figures.push({ row: 'inbox', what: `${what} of ${MAILS} messages`, unit: 'ms', ours: await sampled(what, look(args), times), peer, goal })
    }
    await add(['list', '--from', 'bob', '--type', 'image'], atMost(400, 100), { ...bare, what: 'node -e 0 (the first look)' }, 1)
    await add(['list', '--text', '-n', '20'], atMost(20, 8))
    await add(['list', '--new', '--text'], atMost(20, 8))
    await add(['list', '--from', 'bob', '-n', '20'], atMost(40, 15))
    await add(['thread', id], atMost(50, 20))
    if (missing('grep') === undefined) {
      const grep = await sampled('grep -rl', () => timed(['grep', '-rl', 'number 77777', home.at('inbox')]))
      await add(['list', '--grep', 'number 77777', '--id'], atMost(10, 4), grep)
    }
    figures.push(...(await starting(people)))
  })
  return figures
}

/** A listener until it says that it listens, and its memory then. */
async function starting({ stage, alice }: People): Promise<Figure[]> {
  const time: Side = { what: 'p2p-listen', samples: [] }
  const size: Side = { what: 'p2p-listen', samples: [] }
  const empty: Side = { what: 'nothing', samples: [0] }
  const base: Side = { what: 'the smallest of them', samples: [0] }
  for (let i = 0; i < RUNS; i++) {
    const start = performance.now()
    const running = stage.start('p2p-listen', ['--json', '--no-text'], { home: alice.path })
    await running.until('listening')
    time.samples.push(performance.now() - start)
    size.samples.push(residentMiB(running.pid))
    await running.stop()
  }
  const rows = `${SEEN} ids seen, ${MAILS} messages`
  return [
    { row: 'inbox', what: `listener starts: ${rows}`, unit: 'ms', ours: time, peer: empty, goal: { kind: 'over', good: 'less', least: 2000, aim: 500 } },
    { row: 'inbox', what: `its memory then: ${rows}`, unit: 'MiB', ours: size, peer: base, goal: { kind: 'over', good: 'less', least: 120 + 45, aim: 40 + 45 }, note: 'a bare node has some 45 MiB' },
  ]
}
