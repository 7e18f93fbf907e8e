// Frames of all sizes on their way out and back in: in order, whole, and no slab is used again before it was sent.

import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { concat, hex } from '../lib/base/bytes.ts'
import { systemRandom } from '../lib/base/random.ts'
import { CipherState } from '../lib/crypto/noisestate.ts'
import { nodeSuite } from '../lib/crypto/suite-node.ts'
import { Inflow } from '../lib/net/inflow.ts'
import { BATCH, Outflow } from '../lib/net/outflow.ts'

const EMPTY = new Uint8Array(0)
const FULL = 65_323 // a full DATA frame

function pair(): { out: Outflow; open: (bytes: Uint8Array) => Uint8Array[] } {
  const [send, receive] = [new CipherState(nodeSuite), new CipherState(nodeSuite)]
  for (const state of [send, receive]) state.initializeKey(new Uint8Array(32).fill(7))
  const inflow = new Inflow()
  let before = new Uint8Array(0)
  const open = (bytes: Uint8Array): Uint8Array[] => {
    const found: Uint8Array[] = []
    const chunk = new Uint8Array(bytes)
    if (chunk.length > 0) inflow.push(chunk)
    before.fill(0xee) // a stream reads into it again
    before = chunk
    while (inflow.complete) found.push(receive.decryptWithAd(EMPTY, inflow.pull()))
    return found
  }
  return { out: new Outflow(send), open }
}

test('what is pushed comes out in order, whatever the sizes and wherever batches and chunks are cut', () => {
  const sizes = fc.array(fc.oneof(fc.constantFrom(1, 256, 4078, 4079, FULL, 65_519), fc.integer({ min: 1, max: 65_519 })), { maxLength: 24 })
  fc.assert(
    fc.property(sizes, fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 100_000 }), (lengths, every, cut) => {
      const { out, open } = pair()
      const plain = lengths.map((length) => systemRandom.bytes(length))
      const held: { parts: Uint8Array[]; sent: () => void }[] = []
      const opened: Uint8Array[] = []
      const deliver = (): void => {
        const batch = held.shift()
        const bytes = concat(...(batch?.parts ?? []))
        for (let at = 0; at < bytes.length; at += cut) opened.push(...open(bytes.subarray(at, at + cut)))
        batch?.sent()
      }
      plain.forEach((bytes, i) => {
        const same = new Uint8Array(bytes)
        out.push(same)
        same.fill(0) // may change afterwards
        if (i % every === 0) held.push(out.take())
        if (held.length > 2) deliver()
      })
      held.push(out.take())
      assert.is(out.size, 0)
      while (held.length > 0) deliver()
      assert.equal(opened.map(hex), plain.map(hex))
    }),
    { numRuns: 60, endOnFailure: true },
  )
})

test('full frames go into slabs, one part each; a slab is used again once it was sent, and not before', () => {
  const { out } = pair()
  const fill = (): { parts: Uint8Array[]; sent: () => void } => {
    while (out.size < BATCH.tcp) out.push(new Uint8Array(FULL))
    return out.take()
  }
  const first = fill()
  assert.is(first.parts.length, 1)
  assert.is(first.parts[0]?.length, BATCH.tcp)
  const before = hex(concat(...first.parts))
  const second = fill()
  assert.is(hex(concat(...first.parts)), before, 'still to be sent')
  first.sent()
  const third = fill()
  assert.ok(third.parts[0]?.buffer === first.parts[0]?.buffer, 'used again')
  assert.ok(third.parts[0]?.buffer !== second.parts[0]?.buffer)
})

test('of slabs that are not needed any more one is kept, for all, and is in one hand at a time', () => {
  const fill = (out: Outflow): { parts: Uint8Array[]; sent: () => void; memory: unknown } => {
    while (out.size < BATCH.tcp) out.push(new Uint8Array(FULL))
    const batch = out.take()
    return { ...batch, memory: batch.parts[0]?.buffer }
  }
  const [a, b, c] = [pair().out, pair().out, pair().out]
  const under = [fill(a), fill(a)]
  for (const { sent } of under) sent()
  const kept = under.map(({ memory }) => memory)
  const [next, other] = [fill(b), fill(c)]
  assert.ok(kept.includes(next.memory), 'used again by another')
  assert.not.ok([...kept, next.memory].includes(other.memory), 'both are under way')
  next.sent()
  assert.ok(fill(a).memory === next.memory)
})

test.run()
