// How far long transfers are: what a meter makes of the steps, and that both ends tell them, with a listener and without.

import { Writable } from 'node:stream'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { Thinner, type Transfer, transferOf } from '../lib/delivery/transfer.ts'
import { Output } from '../lib/edge/output.ts'
import { ProgressMeter, statusLine } from '../lib/edge/progress.ts'
import { noise, Stage } from './peer.ts'
import { records, type Rec } from './records.ts'

const KEY = '8qbHbw2BbbTHBW1sbeqakYXVKRQM8Ne7pLK7m6CVfeR'
const MIB = 1 << 20
const ID = 'ab'.repeat(32)

/** A clock that stands still until it is set. */
function stopped(): { monotonic: () => number; now: () => number; micros: () => bigint; after: () => () => void; at: number } {
  const clock = { at: 0, monotonic: () => clock.at, now: () => clock.at, micros: () => 0n, after: () => () => undefined }
  return clock
}

test('records come once a second and at the end, with the rate of the last seconds and the time that is left', async () => {
  const clock = stopped()
  let written = ''
  const stream = new Writable({
    write(chunk: Buffer, _, done) {
      written += String(chunk)
      done()
    },
  })
  const meter = new ProgressMeter({ clock, out: new Output({ json: true, stream }), records: true, line: false })
  const size = 100 * MIB
  const note = (at: number, done: number): void => {
    clock.at = at
    meter.note({ id: ID, name: 'bob', key: KEY, direction: 'out', done, size })
  }
  note(0, 50 * MIB) // an earlier call moved these
  for (let at = 100; at < 2000; at += 100) note(at, 50 * MIB + (at / 1000) * MIB)
  note(2000, 52 * MIB)
  note(30_000, 80 * MIB) // a pause and a burst: the last seconds count
  note(30_100, size)
  await meter.end()
  const told = records(written)
  assert.equal(told.map(({ done }) => done), [51 * MIB, 52 * MIB, 80 * MIB, size])
  assert.equal([told[0]?.['to'], told[0]?.['rate'], told[0]?.['remaining']], ['bob', MIB, 49])
  assert.is(told[2]?.['rate'], MIB)
  assert.is(told[3]?.['remaining'], 0)
})

test('a line for people says how much, how fast and how long still', () => {
  const step = { id: ID, name: 'b\u001bob', key: KEY, direction: 'in' as const, done: 1.2 * 2 ** 30, size: 2.6 * 2 ** 30 }
  assert.is(statusLine(step, { rate: 34 * MIB, remaining: 41 }), 'from b\\x1bob  abababab  46 %  1.2 GiB of 2.6 GiB  34.0 MiB/s  0:41 left')
  assert.is(statusLine({ ...step, name: 'bob', done: 512, size: 2 * MIB }, {}), 'from bob  abababab  0 %  512 B of 2.0 MiB')
  assert.match(statusLine({ ...step, name: 'bob' }, { rate: 1, remaining: 3723 }), / {2}1 B\/s {2}1:02:03 left$/)
})

test('short messages and steps in between are not told', () => {
  const clock = stopped()
  const told: number[] = []
  const thinner = new Thinner(clock, ({ done }) => told.push(done))
  const step: Transfer = { id: ID, key: KEY, direction: 'out', done: 0, size: 10 * MIB }
  for (clock.at = 0; clock.at <= 500; clock.at += 50) thinner.note({ ...step, done: clock.at })
  thinner.note({ ...step, done: step.size })
  thinner.note({ ...step, size: MIB - 1, done: MIB - 1 })
  assert.equal(told, [0, 200, 400, step.size])
  assert.equal(transferOf({ type: 'progress', ...step }), step)
  assert.is(transferOf({ type: 'progress', id: ID }), undefined)
})

const steps = (list: Rec[], id: string): number[] => list.filter((record) => record['type'] === 'progress' && record['id'] === id).map(({ done }) => Number(done))

function checkSteps(list: Rec[], id: string, who: string): void {
  const far = steps(list, id)
  assert.ok(far.length > 0, `${who} tells nothing`)
  assert.equal(far, [...far].sort((a, b) => a - b), who)
  const last = list.filter((record) => record['id'] === id && record['type'] === 'progress').at(-1)
  assert.is(last?.['done'], last?.['size'], `${who}: its end is told`)
}

test('both ends tell a long transfer: a listener, a send through a listener, a send and a flush without one', async () => {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const right = await bob.listen(['--progress'])
    const file = alice.file('big', noise(24 * MIB, 1))
    const send = async (): Promise<Rec[]> => alice.good('p2p-send', ['bob', '-a', file, '-w', '60s', '--progress'])
    const sent = await send()
    const id = String(sent[0]?.['id'])
    checkSteps(sent, id, 'p2p-send')
    assert.is(sent.at(-1)?.['type'], 'delivered')
    await right.until('message', (record) => record['id'] === id)
    checkSteps(right.records, id, 'p2p-listen')
    assert.is(right.records.find(({ type }) => type === 'progress')?.['from'], 'alice')

    const left = await alice.listen([])
    const through = await send()
    checkSteps(through, String(through[0]?.['id']), 'p2p-send through a listener')
    assert.is(left.records.filter(({ type }) => type === 'progress').length, 0, 'only on request')
    await left.stop()

    const waiting = await alice.queue('bob', ['-a', file])
    checkSteps(await alice.good('p2p-queue', ['flush', '--progress']), waiting, 'p2p-queue flush')
  })
})

test.run()
