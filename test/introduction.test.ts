// The word on both sides that a first contact has come about: once, whatever dies; and the requests of strangers, which
// are kept without an answer, bounded whoever floods them, and decided by a person.

import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { nodeSuite } from '../lib/crypto/suite-node.ts'
import { endIntroduction, inviteTrouble, occasionFor } from '../lib/delivery/introduction.ts'
import { openHome, realDoors } from '../lib/disk/home.ts'
import { importToken } from '../lib/disk/import.ts'
import { Inbox } from '../lib/disk/inbox.ts'
import { loadKeyring } from '../lib/disk/keyring.ts'
import { removeContact } from '../lib/disk/contacts.ts'
import { writeMeeting } from '../lib/disk/meetings.ts'
import { droppedRequests, endRequest, findRequest, keepRequest, listRequests } from '../lib/disk/quarantine.ts'
import { KIND } from '../lib/wire/hello.ts'
import { formatToken, type Token } from '../lib/wire/token.ts'
import { mortal } from './mortal.ts'
import { byInvite, inviteFrom, type Neighbour, OpenDoor, withStreet } from './street.ts'

const message = (work: Promise<unknown>): Promise<string> => work.then(() => 'no error', (error: Error) => error.message)
const REQUEST = { kind: KIND.REQUEST } as const

/** Subjects in the inbox. */
const mails = ({ home }: Neighbour): string[] =>
  readdirSync(home.at('inbox', 'new')).map((name) =>
    (/^Subject: ([\s\S]*?)\n(?! )/m.exec(readFileSync(home.at('inbox', 'new', name), 'utf8'))?.[1] ?? '').replaceAll('\n ', ' '),
  )

/** What a session does when it begins. */
async function meet(home: Neighbour['home'], self: Neighbour['self'], key: string): Promise<string | undefined> {
  const contact = (await loadKeyring(home)).byKey(key)
  assert.ok(contact)
  let inbox: Inbox | undefined
  const open = async (): Promise<Inbox> => (inbox ??= await Inbox.open(home, nodeSuite, self, { hooks: () => false, chatThreads: () => true }))
  try {
    return await endIntroduction({ home, suite: nodeSuite, self, inbox: open }, contact)
  } finally {
    await inbox?.close()
  }
}

test('both are told once, whoever dies at whichever step of it', () =>
  withStreet(async (enter) => {
    const [alice, bob] = [await enter('alice'), await enter('bob')]
    const sides: [Neighbour, Neighbour, string][] = [
      [alice, bob, 'bob has used your invite; compare words: p2p-id verify bob'],
      [bob, alice, 'alice has taken you in by the invite; compare words: p2p-id verify alice'],
    ]
    let told = 0
    for (const [one, other, subject] of sides) {
      let survived = false
      for (let at = 0; !survived; at += 3) {
        const invite = await inviteFrom(alice, 'bob')
        const door = await OpenDoor.of(alice)
        await importToken(bob.home, nodeSuite, 'alice', invite)
        assert.ok(await door.call(bob, byInvite(bob, invite)))
        await door.close()
        const mortality = mortal(at)
        const dying = await openHome({ flag: one.home.path, env: {} }, { ...realDoors, files: mortality.files })
        await meet(dying, one.self, other.self.key).catch(() => undefined)
        await mortality.idle()
        survived = !mortality.dead
        const again = await meet(one.home, one.self, other.self.key)
        assert.ok(again === undefined || again === subject)
        told++
        assert.equal(mails(one), Array.from({ length: told }, () => subject), `step ${at}`)
        assert.is((await loadKeyring(one.home)).byKey(other.self.key)?.introduced, undefined)
        assert.is(await meet(one.home, one.self, other.self.key), undefined)
        assert.not(existsSync(bob.home.at('contacts', `${alice.self.key}.invite`)) && one === bob)
        if (one === alice) assert.equal(readdirSync(alice.home.at('invites')), [])
        await removeContact(alice.home, bob.self.key)
        await removeContact(bob.home, alice.self.key)
        assert.ok(at < 150)
      }
      told = 0
    }
  }))

test('whom we never met we ask, whom we met we call; an invite goes first, and not when it is over', () =>
  withStreet(async (enter) => {
    const [alice, bob] = [await enter('alice'), await enter('bob')]
    const { key } = alice.self
    const kind = async (): Promise<number> => {
      const contact = (await loadKeyring(bob.home)).byKey(key)
      assert.ok(contact)
      return (await occasionFor(bob.home, nodeSuite, bob.self, contact)).occasion.kind
    }
    await importToken(bob.home, nodeSuite, 'alice', alice.self.token)
    assert.is(await kind(), KIND.REQUEST)
    await writeMeeting(bob.home, key, { at: 1, instances: [] })
    assert.is(await kind(), KIND.CONTACT)
    const { contact } = await importToken(bob.home, nodeSuite, 'alice', await inviteFrom(alice, 'bob', 60))
    assert.ok(contact)
    assert.is(await kind(), KIND.INVITE)
    assert.match((await inviteTrouble(bob.home, contact)) ?? '', /somebody else has used the invite, alice has withdrawn it/)
    const later = { ...bob.home, clock: { ...realDoors.clock, now: () => Date.now() + 61_000 }, at: bob.home.at.bind(bob.home) }
    assert.is((await occasionFor(later, nodeSuite, bob.self, contact)).occasion.kind, KIND.CONTACT)
    assert.match((await inviteTrouble(later, contact)) ?? '', /^the invite of alice expired on 2.*: ask for a new one$/)
    await removeContact(bob.home, key)
    assert.is(await inviteTrouble(bob.home, contact), undefined)
  }))

test('a knock is kept, once, without an answer, and only where requests are taken', () =>
  withStreet(async (enter) => {
    const [alice, bob, eve] = [await enter('alice'), await enter('bob'), await enter('eve')]
    const shut = await OpenDoor.of(alice)
    assert.not(await shut.call(bob, REQUEST))
    assert.not(existsSync(alice.home.at('requests')))
    await shut.close()
    const heard: string[] = []
    const door = await OpenDoor.of(alice, { requests: true, events: { requested: ({ token, source }) => void heard.push(`${token.name} ${source}`) } })
    assert.not(await door.call(bob, REQUEST))
    assert.not(await door.call(bob, REQUEST))
    assert.not(await door.call(eve, { kind: KIND.CONTACT }), 'who does not ask is not kept')
    assert.equal(heard, ['bob 192.0.2.7'])
    const [request, ...more] = await listRequests(alice.home)
    assert.equal(more, [])
    assert.equal([request?.key, request?.source, request?.token.seq], [bob.self.key, '192.0.2.7', bob.self.token.seq])
    assert.equal((await loadKeyring(alice.home)).all(), [], 'a request is no contact')
    // accepted, bob's call is answered
    await importToken(alice.home, nodeSuite, 'bob', request?.token as Token, 'request')
    await endRequest(alice.home, bob.self.key, false)
    assert.not(await door.call(bob, REQUEST), 'nobody has told this listener yet')
    assert.equal([await listRequests(alice.home), heard.length], [[], 1])
    await door.station.reload()
    assert.ok(await door.call(bob, REQUEST))
    assert.equal(await listRequests(alice.home), [])
    assert.match((await meet(alice.home, alice.self, bob.self.key)) ?? '', /^bob has answered; compare words/)
    await door.close()
  }))

test('a knock with a token that is not the caller\'s own, or of a revoked identity, is not kept', () =>
  withStreet(async (enter) => {
    const [alice, bob, mallory] = [await enter('alice'), await enter('bob'), await enter('mallory')]
    const door = await OpenDoor.of(alice, { requests: true })
    const forged = bob.self.token.bytes.map((byte, at, all) => (at === all.length - 1 ? byte ^ 1 : byte))
    for (const token of [new Uint8Array(0), forged, mallory.self.token.bytes, (await inviteFrom(bob, 'x')).bytes]) {
      assert.not(await door.call(bob, REQUEST, { token }))
    }
    // Mallory asks in bob's name: bob's token carries bob's T, which she has not
    assert.not(await door.call(mallory, REQUEST, { identity: bob.self.identity, token: bob.self.token.bytes }))
    assert.not(await door.call(mallory, REQUEST, { identity: bob.self.identity }))
    writeFileSync(alice.home.at('contacts', `${mallory.self.key}.revoked`), 'x\n')
    assert.not(await door.call(mallory, REQUEST))
    assert.equal(await listRequests(alice.home), [])
    assert.equal(door.faults, [])
    await door.close()
  }))

test('a refused stranger need not ask again; a flood keeps 32 requests, 4 of one source, and counts the rest', () =>
  withStreet(async (enter) => {
    const alice = await enter('alice')
    const strangers: Neighbour[] = []
    for (let n = 0; n < 12; n++) strangers.push(await enter(`s${n}`))
    for (const [n, { self }] of strangers.entries()) {
      assert.ok(await keepRequest(alice.home, self.token, '192.0.2.1'))
      assert.is((await listRequests(alice.home)).length, Math.min(n + 1, 4))
    }
    assert.is(await droppedRequests(alice.home), 8)
    const { self } = await enter('template')
    // 500 further identities, whose tokens were verified before they came here
    for (let n = 0; n < 500; n++) {
      const identity = realDoors.random.bytes(32)
      const token = { ...self.token, identity, bytes: self.token.bytes.map((byte, at) => (at >= 2 && at < 34 ? (identity[at - 2] ?? 0) : byte)) }
      assert.ok(await keepRequest(alice.home, token, `198.51.100.${n % 250}`))
    }
    const kept = await listRequests(alice.home)
    assert.is(kept.length, 32)
    assert.is(await droppedRequests(alice.home), 8 + 500 + 4 - 32)
    for (const source of new Set(kept.map((each) => each.source))) assert.ok(kept.filter((each) => each.source === source).length <= 4)
    const files = readdirSync(alice.home.at('requests'))
    assert.is(files.length, 33, 'and nothing else is left')
    for (const { key } of kept) await endRequest(alice.home, key, true)
    assert.equal(await listRequests(alice.home), [])
    assert.is(await droppedRequests(alice.home), 0, 'counted from the last time that nobody waited')
    const [refused] = kept
    assert.ok(refused)
    assert.not(await keepRequest(alice.home, refused.token, '203.0.113.1'))
    await endRequest(alice.home, refused.key, false)
    assert.ok(await keepRequest(alice.home, refused.token, '203.0.113.1'), 'until it was taken in by hand')
  }))

test('REQ is a KEY or the beginning of one that is enough; what is torn is removed', () =>
  withStreet(async (enter) => {
    const [alice, bob, eve] = [await enter('alice'), await enter('bob'), await enter('eve')]
    await keepRequest(alice.home, bob.self.token, '192.0.2.1')
    await keepRequest(alice.home, eve.self.token, '192.0.2.1')
    assert.is((await findRequest(alice.home, bob.self.key)).key, bob.self.key)
    assert.is((await findRequest(alice.home, eve.self.key.slice(0, 6))).key, eve.self.key)
    assert.match(await message(findRequest(alice.home, bob.self.key.slice(0, 5))), /^no request of/)
    assert.match(await message(findRequest(alice.home, '')), /^no request of ''/)
    const newer = await bob.sign({ seq: bob.self.token.seq + 5n })
    assert.not(await keepRequest(alice.home, newer, '192.0.2.9'), 'a newer token is no new request')
    assert.is(formatToken((await findRequest(alice.home, bob.self.key)).token), formatToken(newer))
    const path = alice.home.at('requests', `${bob.self.key}.json`)
    for (const torn of ['', '{"v":1', '{}', 'null', readFileSync(path, 'utf8').replace(/"token":"p2p1.{9}/, '"token":"')]) {
      writeFileSync(path, torn)
      assert.equal((await listRequests(alice.home)).map(({ key }) => key), [eve.self.key], torn)
      assert.not(existsSync(path))
    }
  }))

test.run()
