// Newer tokens of common contacts: passed on where both homes allow it, never else, and nothing is learnt of contacts
// that one side has alone.
// test timeout: 300 s

import { writeFileSync } from 'node:fs'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { hex } from '../lib/base/bytes.ts'
import { Passing } from '../lib/delivery/passing.ts'
import { loadKeyring } from '../lib/disk/keyring.ts'
import { nodeSuite } from '../lib/crypto/suite-node.ts'
import type { Link } from '../lib/net/link.ts'
import type { Sought } from '../lib/wire/frame.ts'
import { parseToken } from '../lib/wire/token.ts'
import { type Peer, Stage, until } from './peer.ts'

/** Three who know each other; alice alone has the new token of carol. */
async function withThree(work: (alice: Peer, bob: Peer, carol: Peer) => Promise<void>): Promise<void> {
  await Stage.with(async (stage) => {
    const [alice, bob] = await stage.pair()
    const carol = await stage.peer('carol')
    await alice.meet(carol)
    await bob.meet(carol)
    await carol.good('p2p-id', ['token', '--addr', '203.0.113.9:4711'])
    await alice.learn(carol)
    await work(alice, bob, carol)
  })
}

const allow = (peer: Peer): void => writeFileSync(peer.at('config.toml'), 'pass_tokens = true\n')

async function addressOf(peer: Peer, name: string): Promise<string> {
  const [contact] = await peer.good('p2p-id', ['show', name])
  return String((contact?.['addresses'] as string[] | undefined)?.[0])
}

test('both allow it: who holds an old token gets the new one in the next session', async () => {
  await withThree(async (alice, bob) => {
    allow(alice)
    allow(bob)
    assert.not.match(await addressOf(bob, 'carol'), /4711/)
    const [a, b] = [await alice.listen(), await bob.listen()]
    await Promise.all([a.until('peer'), b.until('peer')])
    await until('the token', async () => (await addressOf(bob, 'carol')) === '203.0.113.9:4711')
    assert.is(b.of('contact').filter(({ name }) => name === 'carol').length, 1)
    assert.equal(a.of('contact').filter(({ name }) => name === 'carol'), [])
    await Promise.all([a.stop(), b.stop()])
  })
})

test('one of the two does not allow it: nothing is passed on', async () => {
  await withThree(async (alice, bob) => {
    for (const [one, other] of [[alice, bob], [bob, alice]] as const) {
      allow(one)
      writeFileSync(other.at('config.toml'), '')
      const [a, b] = [await alice.listen(), await bob.listen()]
      await Promise.all([a.until('peer'), b.until('peer')])
      await alice.send('bob', ['-m', 'one'])
      await bob.send('alice', ['-m', 'two'])
      await Promise.all([a.stop(), b.stop()])
      assert.not.match(await addressOf(bob, 'carol'), /4711/)
    }
  })
})

test('tags tell nothing of contacts that the other side does not have, and only what was asked for is taken', async () => {
  await withThree(async (alice, bob, carol) => {
    const taken: string[] = []
    const side = async (self: Peer, other: Peer, initiator: boolean): Promise<Passing> => {
      const keyring = await loadKeyring(self.home)
      const identity = (await loadKeyring(other.home)).self.identity
      const link = { exporter: new Uint8Array(32).fill(5), initiator, peer: { identity } } as unknown as Link
      return new Passing({ suite: nodeSuite, link, keyring: () => keyring, now: () => Date.now(), take: ({ name }, token) => void taken.push(`${name} ${hex(token)}`) })
    }
    const [a, b] = [await side(alice, bob, true), await side(bob, alice, false)]
    const [fromA, fromB] = [a.seek(), b.seek()]
    assert.equal([fromA.length, fromB.length], [1, 1], 'carol, and not each other')
    assert.not.equal(fromA[0]?.tag, fromB[0]?.tag, 'a tag sent back asks for nothing')
    assert.equal((await side(bob, alice, false)).answer(fromA), [], 'his is older')
    const stranger: Sought = { tag: new Uint8Array(16).fill(1), seq: 0n }
    const tokens = a.answer([stranger, ...fromB])
    const { token } = (await loadKeyring(carol.home)).self
    assert.equal(tokens, [token.bytes])
    assert.equal(a.answer(fromB), [], 'once in a session')
    b.accept(parseToken((await loadKeyring(alice.home)).self.tokenText).bytes)
    b.accept(new Uint8Array(100))
    assert.equal(taken, [])
    b.accept(token.bytes)
    b.accept(token.bytes)
    assert.equal(taken, [`carol ${hex(token.bytes)}`])
  })
})

test.run()
