// A new transport key: who can call whom afterwards, with what, for how long; what a crash at any step leaves; what a
// thief of the old one can do. And identities that end, or say that they succeed another.

import { existsSync, readFileSync, statSync, utimesSync } from 'node:fs'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { hex } from '../lib/base/bytes.ts'
import { base58 } from '../lib/base/key.ts'
import { generateSeed, publicKeyOf, sign } from '../lib/crypto/ed25519.ts'
import { nodeSuite } from '../lib/crypto/suite-node.ts'
import { openHome, realDoors } from '../lib/disk/home.ts'
import { loadTransportKeys, renewToken, signInvite, signRevocation, signSuccessor } from '../lib/disk/identity.ts'
import { loadSelf, type Self } from '../lib/disk/self.ts'
import { openSeed } from '../lib/disk/identityfile.ts'
import { importToken, takeToken } from '../lib/disk/import.ts'
import { loadKeyring } from '../lib/disk/keyring.ts'
import { removeContact } from '../lib/disk/contacts.ts'
import { claimsOf } from '../lib/disk/person.ts'
import { forgetOldKey, rotateTransport } from '../lib/disk/rotation.ts'
import { statement, successorExtension, successorOf } from '../lib/wire/successor.ts'
import { encodeToken, formatToken, parseToken, type Token, verifyToken } from '../lib/wire/token.ts'
import { breakLocks } from './lives.ts'
import { mortal } from './mortal.ts'
import { byInvite, inviteFrom, type Neighbour, OpenDoor, watchUnlinks, withStreet } from './street.ts'

const DAY = 86_400
const message = (work: Promise<unknown>): Promise<string> => work.then(() => 'no error', (error: Error) => error.message)
const seedOf = ({ home }: Neighbour): Promise<Uint8Array> => openSeed(home, () => assert.unreachable() as never)
const rotate = async (who: Neighbour, compromised = false): Promise<Self> => rotateTransport(who.home, nodeSuite, await seedOf(who), compromised)
const publics = async ({ home }: Neighbour): Promise<string[]> => (await loadTransportKeys(home, nodeSuite)).map(({ publicKey }) => hex(publicKey))
const know = (who: Neighbour, other: Neighbour, token = other.self.token): Promise<unknown> => importToken(who.home, nodeSuite, other.self.name, token)
const age = ({ home }: Neighbour, days: number): void => {
  const then = Date.now() / 1000 - days * DAY
  utimesSync(home.at('transport.old.key'), then, then)
}

/** As this person was before: with the keys and the token of then. */
async function before(who: Neighbour): Promise<() => Promise<void>> {
  const kept = ['transport.key', 'token'].map((name) => [name, readFileSync(who.home.at(name))] as const)
  return async () => {
    for (const [name, bytes] of kept) {
      const handle = await realDoors.files.open(who.home.at(name), 'update')
      await handle.truncate(0)
      await handle.write(bytes, 0)
      await handle.close()
    }
  }
}

test('after a rotation the token has a new key and a higher number; nothing else of it changes', () =>
  withStreet(async (enter) => {
    const alice = await enter('alice')
    const [old] = await publics(alice)
    const self = await rotate(alice)
    const { token } = alice.self
    assert.ok(self.token.seq > token.seq)
    assert.equal([self.key, self.name, self.token.addresses], [alice.self.key, token.name, token.addresses])
    await verifyToken(self.token)
    const [now, then, ...more] = await publics(alice)
    assert.equal([now, then, more], [hex(self.token.transport), old, []])
    assert.is.not(now, old)
    for (const name of ['transport.key', 'transport.old.key']) assert.is(statSync(alice.home.at(name)).mode & 0o777, 0o600)
    const third = await rotate(alice)
    assert.equal(await publics(alice), [hex(third.token.transport), now], 'at most one older key')
  }))

test('a contact with the old token gets through for 30 days and learns the new one; who has the new one gets through', () =>
  withStreet(async (enter) => {
    const [alice, bob, carol] = [await enter('alice'), await enter('bob'), await enter('carol')]
    await know(alice, bob)
    await know(alice, carol)
    const old = alice.self.token
    const fresh = (await rotate(alice)).token
    const door = await OpenDoor.of(alice)
    const link = await door.call(bob, undefined, { to: old })
    assert.ok(link)
    assert.equal(Buffer.from((link.hello as { token: Uint8Array }).token), Buffer.from(fresh.bytes), 'the answer brings the new token')
    assert.ok(await door.call(carol, undefined, { to: fresh }))
    age(alice, 29.9)
    assert.ok(await (await OpenDoor.of(alice)).call(bob, undefined, { to: old }))
    age(alice, 30.1)
    const later = await OpenDoor.of(alice)
    assert.not(await later.call(bob, undefined, { to: old }))
    assert.ok(await later.call(bob, undefined, { to: fresh }))
  }))

test('an old key is deleted when its time is over, also by a listener that runs; one that is in use is not', () =>
  withStreet(async (enter) => {
    const [alice, bob] = [await enter('alice'), await enter('bob')]
    await know(alice, bob)
    const old = alice.self.token
    await rotate(alice)
    const door = await OpenDoor.of(alice)
    await door.station.tendKeys()
    assert.ok(await door.call(bob, undefined, { to: old }))
    age(alice, 31)
    // a rotation between the first look and the lock: what is old now is not the key that was looked at
    const late: Neighbour['home']['files'] = {
      ...alice.home.files,
      async stat(path) {
        const stat = await alice.home.files.stat(path)
        if (path.endsWith('transport.old.key') && ++looks === 1) await rotate(alice)
        return stat
      },
    }
    let looks = 0
    await forgetOldKey({ ...alice.home, files: late, at: (...parts) => alice.home.at(...parts) }, nodeSuite)
    assert.ok(looks > 1 && existsSync(alice.home.at('transport.old.key')))
    age(alice, 31)
    await door.station.reload()
    await door.station.tendKeys()
    assert.not(existsSync(alice.home.at('transport.old.key')))
    assert.not(await door.call(bob, undefined, { to: old }), 'a listener that has been running for a month')
    await door.close()
    // interrupted between the two keys: the older file holds the key of the token, however old it is
    let survived = false
    for (let at = 0; !survived; at++) {
      const mortality = mortal(at)
      const dying = await openHome({ flag: alice.home.path, env: {} }, { ...realDoors, files: mortality.files })
      await rotateTransport(dying, nodeSuite, await seedOf(alice), false).catch(() => undefined)
      await mortality.idle()
      survived = !mortality.dead
      await breakLocks(alice.home)
      if (existsSync(alice.home.at('transport.old.key'))) age(alice, 400)
      const watched = watchUnlinks(alice.home)
      await forgetOldKey(watched.home, nodeSuite)
      assert.equal(watched.loose(), [])
      assert.ok((await publics(alice)).includes(hex((await loadSelf(alice.home)).token.transport)), `dead at step ${at}`)
    }
  }))

test('whoever dies at whichever step of a rotation can be called and can call, and rotates again', () =>
  withStreet(async (enter) => {
    const [alice, bob] = [await enter('alice'), await enter('bob')]
    await know(alice, bob)
    await know(bob, alice)
    let survived = false
    let interrupted = 0
    for (let at = 0; !survived; at++) {
      const held = (await loadKeyring(bob.home)).byName('alice')
      const { token } = await loadSelf(alice.home)
      assert.ok(held && held.seq <= token.seq)
      const mortality = mortal(at)
      const dying = await openHome({ flag: alice.home.path, env: {} }, { ...realDoors, files: mortality.files })
      await rotateTransport(dying, nodeSuite, await seedOf(alice), at % 2 === 1).catch(() => undefined)
      await mortality.idle()
      survived = !mortality.dead
      const now = await loadSelf(alice.home)
      const keys = await publics(alice)
      assert.ok(keys.includes(hex(now.token.transport)), `step ${at}: no key for the token`)
      if (keys[0] !== hex(now.token.transport)) interrupted++
      const compromised = at % 2 === 1 && now.token.seq > token.seq
      const door = await OpenDoor.of(alice)
      assert.is((await door.call(bob, undefined, { to: token })) !== undefined, !compromised, `step ${at}: bob with the old token`)
      assert.ok(await door.call(bob, undefined, { to: now.token }), `step ${at}: bob with the new token`)
      await door.close()
      // alice calls bob with the key of her token, which tells him of it
      const bobs = await OpenDoor.of(bob)
      const key = (await loadTransportKeys(alice.home, nodeSuite)).find(({ publicKey }) => hex(publicKey) === hex(now.token.transport))
      assert.ok(key)
      assert.ok(await bobs.call({ ...alice, self: now }, undefined, { key }), `step ${at}: alice to bob`)
      await bobs.close()
      assert.is((await loadKeyring(bob.home)).byName('alice')?.seq, now.token.seq)
      assert.ok(at < 100)
    }
    assert.ok(interrupted > 0, 'some crash came between the new key and its token')
    await rotate(alice)
    assert.is((await publics(alice))[0], hex((await loadSelf(alice.home)).token.transport))
  }))

test('compromised: the old key is gone at once, and who has stolen it is nobody at contacts that know', () =>
  withStreet(async (enter) => {
    const [alice, bob] = [await enter('alice'), await enter('bob')]
    await know(alice, bob)
    await know(bob, alice)
    const old = alice.self.token
    const back = await before(alice)
    const fresh = await rotate(alice, true)
    assert.not(existsSync(alice.home.at('transport.old.key')))
    const door = await OpenDoor.of(alice)
    assert.not(await door.call(bob, undefined, { to: old }), 'silence for the old token')
    await door.close()
    const bobs = await OpenDoor.of(bob)
    assert.ok(await bobs.call({ ...alice, self: fresh }), "alice's first call after it brings the token")
    await back() // the thief: key and token of before
    assert.not(await bobs.call(alice), 'the thief')
    assert.not(await bobs.call(alice, undefined, { token: fresh.token.bytes }), 'the thief with the new token')
    assert.match(await message(know(bob, alice, old)), /^token is older than the one held of alice/)
    await bobs.close()
  }))

test('an invite of before a rotation lets in whoever it was for, with the old key', () =>
  withStreet(async (enter) => {
    const [alice, bob] = [await enter('alice'), await enter('bob')]
    const invite = await inviteFrom(alice, 'bob')
    await rotate(alice)
    const door = await OpenDoor.of(alice)
    assert.ok(await door.call(bob, byInvite(bob, invite), { to: invite }))
    await door.close()
  }))

test('nothing is written when the seed is another identity\'s', () =>
  withStreet(async (enter) => {
    const [alice, bob] = [await enter('alice'), await enter('bob')]
    const keys = await publics(alice)
    assert.match(await message(rotateTransport(alice.home, nodeSuite, await seedOf(bob), true)), /does not belong to/)
    assert.equal(await publics(alice), keys)
    assert.not(existsSync(alice.home.at('transport.old.key')))
    const seed = await seedOf(bob)
    assert.match(await message(signRevocation(alice.home, seed)), /does not belong to/)
    assert.match(await message(signInvite(alice.home, seed, { secret: new Uint8Array(16), expires: 1 })), /does not belong to/)
  }))

test('a revocation beats everything: newer tokens, an invite, a call; also after removal and import again', () =>
  withStreet(async (enter) => {
    const [alice, bob] = [await enter('alice'), await enter('bob')]
    await know(alice, bob)
    const text = await signRevocation(bob.home, await seedOf(bob))
    assert.is(text, await signRevocation(bob.home, await seedOf(bob)), 'the line of init again')
    const door = await OpenDoor.of(alice)
    assert.ok(await door.call(bob))
    const invite = await inviteFrom(alice, 'robert')
    const { outcome, contact } = await importToken(alice.home, nodeSuite, 'whatever', parseToken(text))
    assert.equal([outcome, contact?.revoked], ['revoked', true])
    await door.station.reload()
    await rotate(bob)
    for (let round = 0; round < 2; round++) {
      assert.not(await door.call(bob))
      assert.not(await door.call(bob, byInvite(bob, invite)))
      for (const token of [bob.self.token, (await loadSelf(bob.home)).token]) {
        assert.match(await message(know(alice, bob, token)), /was revoked by its owner, for good$/)
      }
      await removeContact(alice.home, bob.self.key)
      await door.station.reload()
    }
    assert.equal((await importToken(alice.home, nodeSuite, 'x', parseToken(text))).outcome, 'revoked')
    await door.close()
  }))

test('a revocation is not taken from a session: only by hand', () =>
  withStreet(async (enter) => {
    const [alice, bob] = [await enter('alice'), await enter('bob')]
    await know(alice, bob)
    const door = await OpenDoor.of(alice)
    const revocation = parseToken(await signRevocation(bob.home, await seedOf(bob)))
    assert.ok(await door.call(bob, undefined, { token: revocation.bytes, seq: revocation.seq }), 'bob calls as before')
    assert.match(await message(takeToken(alice.home, bob.self.key, revocation.bytes)), /no token for a session/)
    assert.not(existsSync(alice.home.at('contacts', `${bob.self.key}.revoked`)))
    await door.close()
  }))

test('an identity says that it succeeds another, signed by both: it is shown and changes nothing', () =>
  withStreet(async (enter) => {
    const [alice, old, young] = [await enter('alice'), await enter('bob'), await enter('bob')]
    await know(alice, old)
    const self = await signSuccessor(young.home, await seedOf(young), await seedOf(old))
    const older = successorOf(self.token)
    assert.equal([older && base58(older.old), self.key], [old.self.key, young.self.key])
    await verifyToken(parseToken(self.tokenText))
    assert.equal(claimsOf(self.token), { suggested: 'bob', succeeds: old.self.key })
    const refused = await message(know(alice, young, self.token))
    assert.match(refused, /^'bob' is known with another identity; the token says, signed with both keys, that it succeeds the one held, which a thief of that key can say, too; only if the words below/)
    assert.match(refused, old.self.key)
    assert.match(refused, young.self.key)
    const { contact } = await importToken(alice.home, nodeSuite, 'bob-new', self.token)
    assert.equal([contact?.verified, contact && claimsOf(contact).succeeds], [undefined, old.self.key])
    assert.ok((await loadKeyring(alice.home)).byKey(old.self.key), 'the old one is as it was')
    // it stays through further tokens, and a statement of somebody else takes its place
    const later = await renewToken(young.home, await seedOf(young), [])
    assert.is(claimsOf(later.token).succeeds, old.self.key)
    assert.is(claimsOf((await rotateTransport(young.home, nodeSuite, await seedOf(young), false)).token).succeeds, old.self.key)
    assert.match(await message(signSuccessor(old.home, await seedOf(old), await seedOf(old))), /the same identity/)
  }))

test('a succession that the older identity has not signed makes a token forged', () =>
  withStreet(async (enter) => {
    const [bob, mallory] = [await enter('bob'), await enter('mallory')]
    const [seed, seq] = [await seedOf(mallory), 1_790_000_000_000n]
    const good = await sign(statement(bob.self.identity, mallory.self.identity, seq), await seedOf(bob))
    const claim = (old: Uint8Array, signature: Uint8Array, number = seq): Promise<Token> =>
      mallory.sign({ ext: [successorExtension({ old, seq: number, signature })] })
    await verifyToken(await claim(bob.self.identity, good))
    const forged = [
      await claim(bob.self.identity, await sign(statement(bob.self.identity, mallory.self.identity, seq), seed)),
      await claim(bob.self.identity, good, seq + 1n),
      await claim(bob.self.identity, await sign(statement(bob.self.identity, bob.self.identity, seq), await seedOf(bob))),
      await claim(new Uint8Array(32), good),
      await claim(mallory.self.identity, good),
    ]
    for (const token of forged) assert.match(await message(verifyToken(token)), /^forged token: the identity it says it succeeds has not signed that$/)
    // nor can somebody else use what bob has signed for mallory
    const eve = generateSeed(realDoors.random)
    const fields = { ...mallory.self.token, identity: await publicKeyOf(eve), ext: [successorExtension({ old: bob.self.identity, seq, signature: good })] }
    assert.match(await message(verifyToken(await encodeToken(fields, (bytes) => sign(bytes, eve)))), /^forged token/)
    assert.match(await message(claim(bob.self.identity, good.subarray(1)).then(formatToken)), /extension 3 of wrong size/)
  }))

test.run()
