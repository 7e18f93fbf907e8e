// Who comes in by an invite, and who does not: one person, whatever is lost or dies on the way. Real doors and homes,
// calls in memory.

import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { equal } from '../lib/base/bytes.ts'
import { nodeSuite } from '../lib/crypto/suite-node.ts'
import { occasionFor } from '../lib/delivery/introduction.ts'
import { nodeFiles } from '../lib/disk/files.ts'
import { openHome, realDoors } from '../lib/disk/home.ts'
import { importToken } from '../lib/disk/import.ts'
import { bindInvite, dropInvite, endInvites, findInvite, giveInvite, keptInvite, listInvites, withdrawInvites } from '../lib/disk/invites.ts'
import { loadKeyring } from '../lib/disk/keyring.ts'
import { noteRevocation, removeContact, updateContact } from '../lib/disk/contacts.ts'
import { KIND } from '../lib/wire/hello.ts'
import { inviteOf, inviteProof } from '../lib/wire/invite.ts'
import { formatToken, isSameToken } from '../lib/wire/token.ts'
import { mortal } from './mortal.ts'
import { byInvite, inviteFrom, type Neighbour, OpenDoor, watchUnlinks, withStreet } from './street.ts'

const now = (): number => Math.floor(realDoors.clock.now() / 1000)
const namesOf = async ({ home }: Neighbour): Promise<string[]> => (await loadKeyring(home)).all().map(({ name }) => name)
const message = (work: Promise<unknown>): Promise<string> => work.then(() => 'no error', (error: Error) => error.message)

test('an invite is the own token with a secret in it, of the same number', () =>
  withStreet(async (enter) => {
    const alice = await enter('alice')
    const before = now()
    const invite = await inviteFrom(alice, 'bob')
    assert.ok(isSameToken(invite, alice.self.token))
    assert.is(invite.seq, alice.self.token.seq)
    const inside = inviteOf(invite)
    assert.ok(inside)
    assert.is(inside.secret.length, 16)
    assert.ok(inside.expires >= before + 3600 && inside.expires <= now() + 3600)
    assert.is(inviteOf(alice.self.token), undefined)
    const [file = '', ...more] = readdirSync(alice.home.at('invites'))
    assert.equal(more, [])
    assert.is(statSync(alice.home.at('invites', file)).mode & 0o777, 0o600)
    assert.is(statSync(alice.home.at('invites')).mode & 0o777, 0o700)
  }))

test('who brings an invite is a contact at once, unverified, by the name in it, and keeps coming in', () =>
  withStreet(async (enter) => {
    const [alice, bob] = [await enter('alice'), await enter('robert')]
    const invite = await inviteFrom(alice, 'bob')
    const door = await OpenDoor.of(alice)
    const link = await door.call(bob, byInvite(bob, invite))
    assert.ok(link)
    link.close()
    const contact = (await loadKeyring(alice.home)).byName('bob')
    assert.is(contact?.key, bob.self.key)
    assert.is(contact?.verified, undefined)
    assert.is(contact?.introduced, 'invite')
    assert.is(contact?.tokenText, bob.self.tokenText)
    for (const occasion of [{ kind: KIND.CONTACT }, { kind: KIND.REQUEST }, byInvite(bob, invite)]) {
      assert.ok(await door.call(bob, occasion), `kind ${occasion.kind}`)
    }
    assert.equal(door.faults, [])
    await door.close()
  }))

test('an invite lets in one person: the first', () =>
  withStreet(async (enter) => {
    const [alice, bob, mallory] = [await enter('alice'), await enter('bob'), await enter('mallory')]
    const invite = await inviteFrom(alice, 'bob')
    const door = await OpenDoor.of(alice)
    assert.ok(await door.call(bob, byInvite(bob, invite)))
    assert.not(await door.call(mallory, byInvite(mallory, invite)))
    assert.ok(await door.call(bob, byInvite(bob, invite)))
    // and after the two have met, when the invite is gone
    await endInvites(alice.home, bob.self.key)
    assert.not(await door.call(mallory, byInvite(mallory, invite)))
    assert.ok(await door.call(bob, byInvite(bob, invite)))
    assert.equal(await namesOf(alice), ['bob'])
    await door.close()
  }))

test('of ten who bring one invite at the same time one comes in', () =>
  withStreet(async (enter) => {
    const alice = await enter('alice')
    const crowd = await Promise.all(Array.from({ length: 10 }, (_, n) => enter(`m${n}`)))
    const invite = await inviteFrom(alice, 'bob')
    const given = inviteOf(invite)
    assert.ok(given)
    const ephemeral = new Uint8Array(32).fill(7)
    const seek = ({ self }: Neighbour): ReturnType<typeof findInvite> => {
      const caller = { ephemeral, identity: self.identity, transport: self.token.transport }
      return findInvite(alice.home, nodeSuite, inviteProof(nodeSuite, given.secret, caller), caller)
    }
    const bind = async (each: Neighbour, found: Awaited<ReturnType<typeof seek>>): Promise<boolean> =>
      found !== undefined && (await bindInvite(alice.home, found, each.self.key))
    const free = await Promise.all(crowd.map(seek)) // all have found it while it was nobody's
    const bound = await Promise.all(crowd.map((each, n) => bind(each, free[n])))
    assert.is(bound.filter(Boolean).length, 1)
    const taken = await Promise.all(crowd.map(seek))
    assert.equal(await Promise.all(crowd.map((each, n) => bind(each, taken[n]))), bound)
    const door = await OpenDoor.of(alice)
    const links = []
    for (const each of crowd) links.push(await door.call(each, byInvite(each, invite)))
    assert.equal(links.map((link) => link !== undefined), bound)
    await door.close()
  }))

test('what is no proof is silence: none, of another invite, for other keys, for another hello', () =>
  withStreet(async (enter) => {
    const [alice, bob, mallory] = [await enter('alice'), await enter('bob'), await enter('mallory')]
    const invite = await inviteFrom(alice, 'bob')
    const [other, secret] = [await inviteFrom(mallory, 'bob'), inviteOf(invite)?.secret]
    assert.ok(secret)
    const door = await OpenDoor.of(alice)
    const proofFor = (keys: { identity?: Uint8Array; transport?: Uint8Array; ephemeral?: Uint8Array }) => ({
      kind: KIND.INVITE,
      prove: (ephemeral: Uint8Array) => inviteProof(nodeSuite, secret, { ephemeral, ...bob.self.token, ...keys }),
    })
    assert.not(await door.call(bob, { kind: KIND.INVITE, prove: () => new Uint8Array(16) }))
    assert.not(await door.call(bob, byInvite(bob, other)), 'a secret of somebody else')
    assert.not(await door.call(bob, byInvite(mallory, invite)), "a proof for mallory's keys")
    const { identity, transport } = mallory.self.token
    assert.not(await door.call(bob, proofFor({ identity })), 'a proof for her identity')
    assert.not(await door.call(bob, proofFor({ transport })), 'a proof for her transport key')
    assert.not(await door.call(bob, proofFor({ ephemeral: new Uint8Array(32) })), 'a proof for another ephemeral')
    assert.not(await door.call(bob, { kind: KIND.CONTACT }), 'no invite at all')
    assert.equal(await namesOf(alice), [])
    assert.equal(readdirSync(alice.home.at('invites')).map((name) => name.length), [16], 'and none of them has used it up')
    assert.ok(await door.call(bob, byInvite(bob, invite)))
    await door.close()
  }))

test('a caller with an invite must show its own token: signed, for these keys, not expired, no invite, no revocation', () =>
  withStreet(async (enter) => {
    const [alice, bob, mallory] = [await enter('alice'), await enter('bob'), await enter('mallory')]
    const invite = await inviteFrom(alice, 'bob')
    const door = await OpenDoor.of(alice)
    const cases: [string, Uint8Array][] = [
      ['none', new Uint8Array(0)],
      ['torn', bob.self.token.bytes.subarray(0, 100)],
      ["mallory's", mallory.self.token.bytes],
      ['a bit of the signature wrong', bob.self.token.bytes.map((byte, at, all) => (at === all.length - 5 ? byte ^ 1 : byte))],
      ["bob's with mallory's transport key", (await bob.sign({ transport: mallory.self.token.transport })).bytes],
      ['expired', (await bob.sign({ notAfter: now() - 1 })).bytes],
      ['an invite', (await inviteFrom(bob, 'alice')).bytes],
    ]
    for (const [what, token] of cases) assert.not(await door.call(bob, byInvite(bob, invite), { token }), what)
    const { identity } = mallory.self
    const inHerName = byInvite({ ...bob, self: { ...bob.self, token: { ...bob.self.token, identity } } }, invite)
    assert.not(await door.call(bob, inHerName, { identity }), "in mallory's name")
    assert.equal(await namesOf(alice), [])
    assert.ok(await door.call(bob, byInvite(bob, invite)))
    await door.close()
  }))

test("tokens that carry somebody else's transport key lead nowhere, in either direction, with and without an invite", () =>
  withStreet(async (enter) => {
    const [alice, bob, mallory] = [await enter('alice'), await enter('bob'), await enter('mallory')]
    // Bob knows Mallory by a token with Alice's T: Alice's call must not be filed under Mallory.
    await importToken(bob.home, nodeSuite, 'mallory', await mallory.sign({ transport: alice.self.token.transport }))
    const bobs = await OpenDoor.of(bob)
    assert.not(await bobs.call(alice), 'alice is nobody here')
    const invite = await inviteFrom(bob, 'friend')
    assert.ok(await bobs.call(alice, byInvite(alice, invite)))
    assert.equal((await loadKeyring(bob.home)).byName('friend')?.key, alice.self.key)
    assert.not(await bobs.call(mallory, byInvite(mallory, invite)))
    assert.not(await bobs.call(mallory), "mallory does not have alice's key")
    await bobs.close()
    // Alice holds a token of Mallory with Bob's T, and calls "Mallory" where Bob listens: he must not answer.
    await importToken(bob.home, nodeSuite, 'alice', alice.self.token).catch(() => undefined)
    const again = await OpenDoor.of(bob)
    const forged = await mallory.sign({ transport: bob.self.token.transport })
    assert.not(await again.call(alice, undefined, { to: forged }), 'a call meant for mallory')
    const lure = await inviteFrom({ ...mallory, sign: mallory.sign }, 'alice')
    const forgedInvite = await mallory.sign({ transport: bob.self.token.transport, ext: lure.ext })
    assert.not(await again.call(alice, byInvite(alice, forgedInvite), { to: forgedInvite }), 'with an invite of mallory')
    assert.ok(await again.call(alice), 'and meant for bob it comes in')
    await again.close()
  }))

test('mallory, who has read the invite, is a contact by the name of bob with other words, and bob is told nothing', () =>
  withStreet(async (enter) => {
    const [alice, bob, mallory] = [await enter('alice'), await enter('bob'), await enter('mallory')]
    const invite = await inviteFrom(alice, 'bob')
    const door = await OpenDoor.of(alice)
    assert.ok(await door.call(mallory, byInvite(mallory, invite)))
    assert.not(await door.call(bob, byInvite(bob, invite)))
    const contact = (await loadKeyring(alice.home)).byName('bob')
    assert.is(contact?.key, mallory.self.key)
    // alice compares words, removes her, and invites again: neither the old invite nor the old contact is worth a thing
    await removeContact(alice.home, mallory.self.key)
    const second = await inviteFrom(alice, 'bob')
    await door.station.reload()
    assert.not(await door.call(mallory, byInvite(mallory, invite)))
    assert.not(await door.call(mallory))
    assert.ok(await door.call(bob, byInvite(bob, second)))
    assert.equal((await loadKeyring(alice.home)).byName('bob')?.key, bob.self.key)
    // the invite does not let her pose as alice either: it holds no secret of alice's
    await importToken(bob.home, nodeSuite, 'alice', second)
    const bobs = await OpenDoor.of(bob)
    const { identity } = alice.self
    assert.not(await bobs.call(mallory, undefined, { identity, token: alice.self.token.bytes }))
    await bobs.close()
    await door.close()
  }))

test('an invite that is over, withdrawn or replaced by a newer one for the name lets nobody in', () =>
  withStreet(async (enter) => {
    const [alice, bob] = [await enter('alice'), await enter('bob')]
    const door = await OpenDoor.of(alice)
    const over = await inviteFrom(alice, 'old', -1)
    assert.not(await door.call(bob, byInvite(bob, over)))
    const first = await inviteFrom(alice, 'Bob')
    const second = await inviteFrom(alice, 'bob')
    assert.not(await door.call(bob, byInvite(bob, first)))
    assert.is(await withdrawInvites(alice.home, 'BOB'), 1)
    assert.is(await withdrawInvites(alice.home, 'bob'), 0)
    assert.not(await door.call(bob, byInvite(bob, second)))
    assert.equal(await namesOf(alice), [])
    assert.equal(await listInvites(alice.home), [])
    assert.equal(readdirSync(alice.home.at('invites')), [], 'what is over is removed')
    await door.close()
  }))

test('a name that is taken by then gets a number; a revoked identity and oneself stay out', () =>
  withStreet(async (enter) => {
    const [alice, bob, eve, carol] = [await enter('alice'), await enter('bob'), await enter('eve'), await enter('carol')]
    const invites = [await inviteFrom(alice, 'bob'), await inviteFrom(alice, 'b2'), await inviteFrom(alice, 'b3')] as const
    await importToken(alice.home, nodeSuite, 'BOB', eve.self.token)
    await noteRevocation(alice.home, carol.self.key, 'x')
    const door = await OpenDoor.of(alice)
    assert.ok(await door.call(bob, byInvite(bob, invites[0])))
    assert.is((await loadKeyring(alice.home)).byName('bob-2')?.key, bob.self.key)
    assert.not(await door.call(carol, byInvite(carol, invites[1])))
    assert.not(await door.call(alice, byInvite(alice, invites[2])))
    assert.equal(readdirSync(alice.home.at('invites')).filter((name) => name.length === 16).length, 2)
    await door.close()
  }))

test('a contact who brings an invite has used it: nobody else can', () =>
  withStreet(async (enter) => {
    const [alice, bob, mallory] = [await enter('alice'), await enter('bob'), await enter('mallory')]
    await importToken(alice.home, nodeSuite, 'rob', bob.self.token)
    const invite = await inviteFrom(alice, 'bob')
    const door = await OpenDoor.of(alice)
    assert.ok(await door.call(bob, byInvite(bob, invite)))
    assert.not(await door.call(mallory, byInvite(mallory, invite)))
    assert.equal(await namesOf(alice), ['rob'])
    await updateContact(alice.home, bob.self.key, (contact) => ({ ...contact, blocked: true }))
    await door.station.reload()
    assert.not(await door.call(bob, byInvite(bob, invite)), 'blocked')
    await door.close()
  }))

test('alice dies at every step of letting bob in: he comes in later, mallory never besides', () =>
  withStreet(async (enter) => {
    const [alice, bob, mallory] = [await enter('alice'), await enter('bob'), await enter('mallory')]
    let survived = false
    const seen = { bob: 0, mallory: 0 }
    for (let at = 0; !survived; at++) {
      const invite = await inviteFrom(alice, 'bob')
      const mortality = mortal(at)
      const dying = await OpenDoor.of(alice, { files: mortality.files })
      const link = await dying.call(bob, byInvite(bob, invite))
      await dying.close().catch(() => undefined)
      await mortality.idle()
      survived = !mortality.dead
      if (survived) assert.ok(link)
      const door = await OpenDoor.of(alice)
      const bound = readdirSync(alice.home.at('invites')).some((name) => name.endsWith(bob.self.key))
      const order = at % 2 === 0 ? [bob, mallory] : [mallory, bob]
      const came: string[] = []
      for (const each of order) if ((await door.call(each, byInvite(each, invite))) !== undefined) came.push(each.self.name)
      assert.is(came.length, 1, `step ${at}: ${came.join(' and ')}`)
      if (bound || survived || order[0] === bob) assert.equal(came, ['bob'], `step ${at}`)
      seen[came[0] as 'bob' | 'mallory']++
      assert.equal((await loadKeyring(alice.home)).all().length, 1)
      for (const { key } of (await loadKeyring(alice.home)).all()) await removeContact(alice.home, key)
      assert.equal(readdirSync(alice.home.at('invites')).filter((name) => name.length > 16), [], 'removing burns it')
      await door.close()
      assert.ok(at < 200)
    }
    assert.ok(seen.bob > 8 && seen.mallory > 0, JSON.stringify(seen))
  }))

test('before alice answers bob, his invite is bound and he is written down, durably and in this order', () =>
  withStreet(async (enter) => {
    const [alice, bob] = [await enter('alice'), await enter('bob')]
    const invite = await inviteFrom(alice, 'bob')
    const steps: string[] = []
    const short = (path: string): string => path.slice(alice.home.path.length + 1).replace(/\.tmp\..*|\.[0-9a-f]{12}$/, '')
    const files = {
      ...nodeFiles,
      rename: async (from: string, to: string) => {
        steps.push(`rename ${short(to).replace(/[0-9a-f]{16}/, 'ID')}`)
        return nodeFiles.rename(from, to)
      },
      syncDir: async (path: string) => {
        await nodeFiles.syncDir(path)
        steps.push(`synced ${short(path)}`)
      },
    }
    const door = await OpenDoor.of(alice, { files })
    const link = await door.call(bob, byInvite(bob, invite))
    const { key } = bob.self
    assert.equal(
      steps.filter((step) => /invites|contacts|hello/.test(step)),
      [`rename invites/ID.${key}`, 'synced invites', `rename contacts/${key}.json`, 'synced contacts', 'synced hello'],
    )
    assert.ok(link)
    await door.close()
  }))

test('what takes an invite away is on the disk before it is said', () =>
  withStreet(async (enter) => {
    const [alice, bob] = [await enter('alice'), await enter('bob')]
    const invite = await inviteFrom(alice, 'bob')
    await importToken(bob.home, nodeSuite, 'alice', invite)
    const [alices, bobs] = [watchUnlinks(alice.home), watchUnlinks(bob.home)]
    const deeds: [string, () => Promise<unknown>][] = [
      ['a newer one', () => giveInvite(alices.home, 'bob', now() + 60)],
      ['withdrawn', () => withdrawInvites(alices.home, 'bob')],
      ['used and met', async () => {
        const { invite: given } = await giveInvite(alice.home, 'bob', now() + 60)
        const [held] = (await listInvites(alice.home)).filter(({ secret }) => equal(secret, given.secret))
        assert.ok(held && (await bindInvite(alice.home, held, bob.self.key)))
        await endInvites(alices.home, bob.self.key)
      }],
      ['received and met', () => dropInvite(bobs.home, alice.self.key)],
    ]
    for (const [i, [what, deed]] of deeds.entries()) {
      await deed()
      assert.is(alices.unlinked() + bobs.unlinked(), i + 1, what)
      assert.equal([...alices.loose(), ...bobs.loose()], [], what)
    }
  }))

test('bob dies at every step of taking an invite: he takes it again and calls with it', () =>
  withStreet(async (enter) => {
    const [alice, bob] = [await enter('alice'), await enter('bob')]
    let survived = false
    for (let at = 0; !survived; at++) {
      const invite = await inviteFrom(alice, 'bob')
      const mortality = mortal(at)
      const home = await openHome({ flag: bob.home.path, env: {} }, { ...realDoors, files: mortality.files })
      await importToken(home, nodeSuite, 'alice', invite).catch(() => undefined)
      await mortality.idle()
      survived = !mortality.dead
      const found = (await loadKeyring(bob.home)).byName('alice')
      if (found !== undefined) assert.ok(await keptInvite(bob.home, alice.self.key), `step ${at}: a contact without its invite`)
      const { contact } = await importToken(bob.home, nodeSuite, 'alice', invite)
      assert.is(contact?.introduced, 'invite')
      assert.ok(contact)
      const { occasion } = await occasionFor(bob.home, nodeSuite, bob.self, contact)
      assert.is(occasion.kind, KIND.INVITE)
      const door = await OpenDoor.of(alice)
      assert.ok(await door.call(bob, occasion), `step ${at}`)
      await door.close()
      await removeContact(bob.home, alice.self.key)
      await removeContact(alice.home, bob.self.key)
      assert.not(existsSync(bob.home.at('contacts', `${alice.self.key}.invite`)))
      assert.ok(at < 100)
    }
  }))

test('an invite is kept beside the contact, not in it, and refused when it is over', () =>
  withStreet(async (enter) => {
    const [alice, bob] = [await enter('alice'), await enter('bob')]
    const invite = await inviteFrom(alice, 'bob')
    const { contact } = await importToken(bob.home, nodeSuite, 'alice', invite)
    const { key } = alice.self
    assert.is(contact?.tokenText, '')
    const secret = Buffer.from(inviteOf(invite)?.secret ?? [])
    assert.not.match(readFileSync(bob.home.at('contacts', `${key}.json`), 'utf8'), secret.toString('hex'))
    assert.match(readFileSync(bob.home.at('contacts', `${key}.invite`), 'utf8'), secret.toString('hex'))
    assert.is(statSync(bob.home.at('contacts', `${key}.invite`)).mode & 0o777, 0o600)
    const over = await inviteFrom(alice, 'bob2', -60)
    assert.match(await message(importToken(bob.home, nodeSuite, 'alice', over)), /^invite expired on 2.*: ask for a new one$/)
    assert.match(await message(importToken(alice.home, nodeSuite, 'me2', invite)), /^this is your own token/)
    // the plain token afterwards is no news, and the kept invite stays
    assert.is((await importToken(bob.home, nodeSuite, 'alice', alice.self.token)).outcome, 'same')
    assert.ok(await keptInvite(bob.home, key))
    assert.not.match(formatToken(alice.self.token), formatToken(invite))
  }))

test('what is torn or loose in invites/ is not believed', () =>
  withStreet(async (enter) => {
    const [alice, bob] = [await enter('alice'), await enter('bob')]
    const invite = await inviteFrom(alice, 'bob')
    const [file = ''] = readdirSync(alice.home.at('invites'))
    const good = readFileSync(alice.home.at('invites', file), 'utf8')
    const door = await OpenDoor.of(alice)
    for (const bad of ['', 'x', good.slice(0, -10), good.replace('expires ', 'expires x'), good.replace(/[0-9a-f]{32}/, '0'.repeat(32)), good.replace(/name .*\n/, '')]) {
      writeFileSync(alice.home.at('invites', file), bad)
      assert.not(await door.call(bob, byInvite(bob, invite)), bad)
    }
    writeFileSync(alice.home.at('invites', file), good)
    await nodeFiles.chmod(alice.home.at('invites', file), 0o644)
    assert.not(await door.call(bob, byInvite(bob, invite)), 'others can read it')
    assert.match(String(door.faults[0]), /others can read .*invites/)
    await nodeFiles.chmod(alice.home.at('invites', file), 0o600)
    assert.ok(await door.call(bob, byInvite(bob, invite)))
    await door.close()
  }))

test('no more than 64 invites wait at a time', () =>
  withStreet(async (enter) => {
    const alice = await enter('alice')
    for (let n = 0; n < 64; n++) await giveInvite(alice.home, `n${n}`, now() + 60)
    assert.match(await message(giveInvite(alice.home, 'more', now() + 60)), /64 invites .* no more at a time/)
    await giveInvite(alice.home, 'n7', now() + 60)
    assert.is((await listInvites(alice.home)).length, 64)
  }))

test.run()
