import { chmod, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import fc from 'fast-check'

import { fromUtf8, hex, utf8 } from '../lib/base/bytes.ts'
import { systemClock } from '../lib/base/clock.ts'
import { Failure, Malformed } from '../lib/base/fail.ts'
import { base58, keyBytes } from '../lib/base/key.ts'
import { publicKeyOf, sign } from '../lib/crypto/ed25519.ts'
import { nodeSuite } from '../lib/crypto/suite-node.ts'
import { checkSendable, decodeContact, encodeContact, isWelcome } from '../lib/disk/contact.ts'
import { openHome, realDoors } from '../lib/disk/home.ts'
import { createIdentity, loadTransportKeys, renewToken } from '../lib/disk/identity.ts'
import { loadSelf } from '../lib/disk/self.ts'
import { openSeed } from '../lib/disk/identityfile.ts'
import { importToken, takeToken } from '../lib/disk/import.ts'
import { Keyring, loadKeyring } from '../lib/disk/keyring.ts'
import { removeContact, renameContact, saveContact, updateContact } from '../lib/disk/contacts.ts'
import { encodeToken, REVOKED_SEQ } from '../lib/wire/token.ts'

import type { Contact } from '../lib/disk/contact.ts'
import type { Home } from '../lib/disk/home.ts'
import type { Imported } from '../lib/disk/import.ts'
import type { Token, TokenFields } from '../lib/wire/token.ts'

const NOON = Date.UTC(2026, 0, 1, 12)
let time = NOON
const doors = { ...realDoors, clock: { ...systemClock, now: () => time } }
const ADDRESS = { host: '192.0.2.7', port: 4000, tcp: true, udp: true }
const places: string[] = []

test.before.each(() => {
  time = NOON
})

test.after(async () => {
  for (const place of places) await rm(place, { recursive: true })
})

async function freshPath(): Promise<string> {
  const place = await mkdtemp(`${tmpdir()}/p2p-keyring-`)
  places.push(place)
  return `${place}/home`
}

async function freshHome(passphrase?: Uint8Array): Promise<{ home: Home; revocation: string }> {
  const location = { path: await freshPath(), source: 'test' }
  return createIdentity(location, { name: 'alice', port: 4000, addresses: [ADDRESS], passphrase }, nodeSuite, doors)
}

/** The token of a person with the seed of n's. */
async function tokenOf(n: number, change: Partial<TokenFields> = {}): Promise<Token> {
  const seed = new Uint8Array(32).fill(n)
  const transport = nodeSuite.importPrivate(seed).publicKey
  const fields = { transport, seq: 100n, notAfter: 0, name: 'x', addresses: [ADDRESS], ext: [], revocation: false }
  return encodeToken({ identity: await publicKeyOf(seed), ...fields, ...change }, (message) => sign(message, seed))
}

async function revocationOf(n: number): Promise<Token> {
  return tokenOf(n, { transport: new Uint8Array(32), seq: REVOKED_SEQ, name: '', addresses: [], revocation: true })
}

function take(home: Home, name: string, token: Token): Promise<Imported> {
  return importToken(home, nodeSuite, name, token)
}

async function refusal(run: Promise<unknown> | (() => unknown)): Promise<Failure> {
  try {
    await (typeof run === 'function' ? run() : run)
  } catch (error) {
    if (error instanceof Failure) return error
    throw error
  }
  throw new Error('no failure')
}

function contactOf(n: number, name: string): Contact {
  const identity = new Uint8Array(32).fill(n)
  const fresh = { blocked: false, revoked: false, added: NOON, features: 0, sessionAddresses: [], tokenText: '' }
  const transport = new Uint8Array(32).fill(n)
  return { name, key: base58(identity), identity, transport, seq: 1n, addresses: [], ...fresh }
}

async function keyringOf(...contacts: Contact[]): Promise<Keyring> {
  const { home } = await freshHome()
  return new Keyring(await loadSelf(home), contacts)
}

// The own identity.

test('a new identity is whole, private, and its own', async () => {
  const { home, revocation } = await freshHome()
  const again = await openHome({ flag: home.path, env: {} }, doors)
  const self = await loadSelf(again)
  assert.is(self.name, 'alice')
  assert.is(hex(keyBytes(self.key) ?? new Uint8Array()), hex(self.identity))
  assert.equal(self.token.addresses, [ADDRESS])
  assert.is(self.token.seq, BigInt(NOON))
  const [key, ...more] = await loadTransportKeys(again, nodeSuite)
  assert.is(more.length, 0)
  assert.is(hex(key?.publicKey ?? new Uint8Array()), hex(self.token.transport))
  assert.ok(revocation.startsWith('p2p1'))
  for (const name of ['identity.key', 'transport.key', 'token', 'home.json']) {
    assert.is((await stat(home.at(name))).mode & 0o777, 0o600, name)
  }
})

test('an identity is never overwritten', async () => {
  const { home } = await freshHome()
  const before = await readFile(home.at('identity.key'))
  const fields = { name: 'eve', port: 1, addresses: [], passphrase: undefined }
  const location = { path: home.path, source: 'test' }
  assert.is((await refusal(createIdentity(location, fields, nodeSuite, doors))).exit, 73)
  assert.equal(await readFile(home.at('identity.key')), before)
  assert.is((await loadSelf(home)).name, 'alice')
})

test('two that create an identity at once: one wins, the home fits together', async () => {
  const location = { path: await freshPath(), source: 'test' }
  const make = (name: string): Promise<unknown> =>
    createIdentity(location, { name, port: 4000, addresses: [], passphrase: undefined }, nodeSuite, doors)
  const results = await Promise.allSettled([make('one'), make('two')])
  const lost = results.filter((result) => result.status === 'rejected')
  assert.is(lost.length, 1)
  const home = await openHome({ flag: location.path, env: {} }, doors)
  assert.is((await loadTransportKeys(home, nodeSuite)).length, 1)
  const seed = await openSeed(home, () => Promise.reject(new Error('not asked')))
  assert.is(hex(await publicKeyOf(seed)), hex((await loadSelf(home)).identity))
})

test('an interrupted creation counts for nothing and can be done again', async () => {
  const { home } = await freshHome()
  await rm(home.at('identity.key'))
  await rm(home.at('token'))
  assert.is((await refusal(loadSelf(home))).exit, 78)
  assert.is((await refusal(loadSelf(home))).hint, 'p2p-id init')
  const fields = { name: 'second', port: 4001, addresses: [], passphrase: undefined }
  const made = await createIdentity({ path: home.path, source: 'test' }, fields, nodeSuite, doors)
  assert.is(made.self.name, 'second')
  assert.is((await loadTransportKeys(made.home, nodeSuite)).length, 1)
})

test('the seed comes back only with the passphrase, and signs the next token', async () => {
  const { home } = await freshHome(utf8('sesame'))
  assert.is((await stat(home.at('identity.age'))).mode & 0o777, 0o600)
  const held = await loadSelf(home)
  const wrong = await refusal(openSeed(home, () => Promise.resolve(utf8('Sesame'))))
  assert.is(wrong.exit, 77)
  assert.match(wrong.message, 'passphrase')
  const seed = await openSeed(home, () => Promise.resolve(utf8('sesame')))
  time = NOON - 3_600_000 // the clock went back: the number still grows
  const renewed = await renewToken(home, seed, [])
  assert.is(renewed.token.seq, held.token.seq + 1n)
  assert.is(hex(renewed.identity), hex(held.identity))
  assert.equal((await loadSelf(home)).token, renewed.token)
  assert.is((await loadTransportKeys(home, nodeSuite)).length, 1)
  assert.is((await refusal(renewToken(home, new Uint8Array(32), []))).exit, 78)
})

test('a secret that others can read is refused, with the way out', async () => {
  const { home } = await freshHome()
  const { home: sealed } = await freshHome(utf8('a'))
  const use: [string, () => Promise<unknown>][] = [
    [home.at('identity.key'), () => openSeed(home, () => Promise.reject(new Error('not asked')))],
    [home.at('transport.key'), () => loadTransportKeys(home, nodeSuite)],
    [sealed.at('identity.age'), () => openSeed(sealed, () => Promise.reject(new Error('not asked')))],
  ]
  for (const [path, run] of use) {
    for (const mode of [0o640, 0o604, 0o620, 0o644, 0o601]) {
      await chmod(path, mode)
      const failure = await refusal(run)
      assert.is(failure.exit, 77, path)
      assert.match(failure.message, path)
      assert.is(failure.hint, `chmod 600 ${path}`)
    }
    await chmod(path, 0o400)
  }
  await loadTransportKeys(home, nodeSuite)
})

test('a damaged or missing file of the identity is named', async () => {
  const damages: [string, string | undefined][] = [
    ['transport.key', undefined],
    ['transport.key', ''],
    ['transport.key', 'P2P-TRANSPORT-KEY-1 00'],
    ['transport.key', `# x\nP2P-TRANSPORT-KEY-1 ${'0'.repeat(64)}\n`],
    ['transport.key', `# x\nP2P-TRANSPORT-KEY-1 ${'g'.repeat(64)}\n`],
    ['transport.key', `# x\nP2P-TRANSPORT-KEY-1 ${'1'.repeat(66)}\n`],
    ['transport.key', `# a key of somebody else\nP2P-TRANSPORT-KEY-1 ${'1'.repeat(64)}\n`],
    ['token', ''],
    ['token', 'p2p1'],
    ['token', '\xff'],
    ['identity.key', ''],
    ['identity.key', 'P2P-SECRET-KEY-1xyz'],
    ['identity.key', undefined],
  ]
  for (const [name, text] of damages) {
    const { home } = await freshHome()
    if (text === undefined) await rm(home.at(name))
    else await writeFile(home.at(name), text, 'latin1')
    const failure = await refusal(async () => {
      await loadTransportKeys(home, nodeSuite)
      await openSeed(home, () => Promise.resolve(utf8('a')))
    })
    assert.is(failure.exit, 78, `${name} ${text}`)
    assert.match(failure.message, name === 'identity.key' && text === undefined ? 'identity.age' : home.at(name))
  }
})

test('the transport key before the current one serves for 30 days', async () => {
  const { home } = await freshHome()
  const old = home.at('transport.old.key')
  await writeFile(old, `# x\nP2P-TRANSPORT-KEY-1 ${'1'.repeat(64)}\n`, { mode: 0o600 })
  const age = async (days: number): Promise<number> => {
    await utimes(old, new Date(NOON - days * 86_400_000), new Date(NOON - days * 86_400_000))
    return (await loadTransportKeys(home, nodeSuite)).length
  }
  assert.is(await age(0), 2)
  assert.is(await age(30), 2)
  assert.is(await age(30.01), 1)
})

// Contacts as files.

const anyContact: fc.Arbitrary<Contact> = fc
  .record({
    n: fc.integer({ min: 1, max: 255 }),
    name: fc.constantFrom('bob', 'Jürgen', '字', 'a.b_c+d-e', 'x'.repeat(64)),
    seq: fc.bigInt({ min: 0n, max: REVOKED_SEQ - 1n }),
    verified: fc.option(fc.nat(4e12), { nil: undefined }),
    blocked: fc.boolean(),
    features: fc.nat(0xffff_ffff),
    addresses: fc.array(fc.constantFrom(ADDRESS, { ...ADDRESS, udp: false }, { ...ADDRESS, host: '::1', tcp: false })),
    quota: fc.option(fc.maxSafeNat(), { nil: undefined }),
    instance: fc.option(fc.constant('00ff00ff00ff00ff'), { nil: undefined }),
  })
  .map(({ n, name, seq, verified, blocked, features, addresses, quota, instance }) => ({
    ...contactOf(n, name),
    seq,
    blocked,
    features,
    addresses: addresses.slice(0, 8),
    sessionAddresses: addresses.slice(0, 1),
    tokenText: blocked ? 'p2p1x' : '',
    ...(verified !== undefined && { verified }),
    ...(quota !== undefined && { limits: { quota } }),
    ...(instance !== undefined && { instance }),
  }))

test('any contact comes back from its file', () => {
  const check = (contact: Contact): void => assert.equal(decodeContact(encodeContact(contact), 'x', false), contact)
  fc.assert(fc.property(anyContact, check))
})

test('any bytes are a contact or a failure that names the file', () => {
  const near = fc.tuple(anyContact, fc.nat(), fc.nat(255)).map(([contact, at, value]) => {
    const bytes = encodeContact(contact).slice()
    bytes[at % bytes.length] = value
    return bytes
  })
  const json = fc.json().map(utf8)
  fc.assert(
    fc.property(fc.oneof(near, json, fc.uint8Array({ maxLength: 100 })), (bytes) => {
      try {
        decodeContact(bytes, '/a/file', false)
      } catch (error) {
        assert.instance(error, Failure)
        assert.is((error as Failure).exit, 78)
        assert.match((error as Failure).message, '/a/file is damaged')
      }
    }),
    { numRuns: 1000 },
  )
})

test('a contact file says why it is refused', () => {
  const good = JSON.parse(fromUtf8(encodeContact(contactOf(5, 'bob')))) as Record<string, unknown>
  const bad: Record<string, unknown>[] = [
    { v: 2 },
    { v: 'x' },
    { name: 'me' },
    { name: 'a\u202eb' },
    { name: 5 },
    { key: 'x' },
    { key: undefined },
    { transport: 'abc' },
    { seq: 5 },
    { seq: '-1' },
    { seq: String(REVOKED_SEQ) },
    { addresses: 'x' },
    { addresses: ['nowhere at all'] },
    { addresses: ['192.0.2.7'] },
    { addresses: new Array(9).fill('192.0.2.7:1') },
    { verified: 'yesterday' },
    { added: 5 },
    { features: -1 },
    { features: 1.5 },
  ]
  assert.is(decodeContact(utf8(JSON.stringify(good)), 'x', false).name, 'bob')
  for (const change of bad) {
    const bytes = utf8(JSON.stringify({ ...good, ...change }))
    const named = (error: unknown): boolean => error instanceof Failure && error.exit === 78
    assert.throws(() => decodeContact(bytes, 'x', false), named, JSON.stringify(change))
  }
})

test('one damaged contact file hides nobody else', async () => {
  const { home } = await freshHome()
  await saveContact(home, contactOf(5, 'bob'))
  await saveContact(home, contactOf(6, 'eve'))
  const path = home.at('contacts', `${contactOf(6, 'eve').key}.json`)
  await writeFile(path, '{"v":1,')
  await writeFile(home.at('contacts', 'notes.txt'), 'not ours')
  const keyring = await loadKeyring(home)
  assert.equal(keyring.all().map(({ name }) => name), ['bob'])
  assert.is(keyring.problems.length, 1)
  assert.is(keyring.resolve('bob').name, 'bob')
  for (const text of ['eve', contactOf(6, 'eve').key, contactOf(6, 'eve').key.toLowerCase()]) {
    const failure = await refusal(() => keyring.resolve(text))
    assert.is(failure.exit, 78)
    assert.match(failure.message, path)
  }
  await writeFile(path, encodeContact(contactOf(7, 'eve')))
  assert.match((await loadKeyring(home)).problems[0]?.failure.message ?? '', 'it is about')
})

test('a contact is changed as it is on disk, and written only if it changed', async () => {
  const { home } = await freshHome()
  const bob = contactOf(5, 'bob')
  await saveContact(home, bob)
  const path = home.at('contacts', `${bob.key}.json`)
  assert.is((await stat(path)).mode & 0o777, 0o600)
  const { ino } = await stat(path)
  await updateContact(home, bob.key, (contact) => ({ ...contact }))
  assert.is((await stat(path)).ino, ino)
  const changes = Array.from({ length: 8 }, (_, bit) =>
    updateContact(home, bob.key, (contact) => ({ ...contact, features: contact.features | (1 << bit) })),
  )
  await Promise.all(changes)
  assert.is((await loadKeyring(home)).byKey(bob.key)?.features, 255)
  assert.is(await updateContact(home, contactOf(9, 'x').key, (contact) => contact), undefined)
})

test('what a crash left beside a contact is not read, and is swept by the next change', async () => {
  const { home } = await freshHome()
  const bob = contactOf(5, 'bob')
  await saveContact(home, bob)
  await writeFile(home.at('contacts', `${bob.key}.json.tmp.00ff`), '{')
  assert.is((await loadKeyring(home)).problems.length, 0)
  await renameContact(home, bob.key, 'robert')
  assert.equal(await readdir(home.at('contacts')), [`${bob.key}.json`])
})

test('a contact is renamed to a free name, itself included, and removed for good', async () => {
  const { home } = await freshHome()
  const [bob, eve] = [contactOf(5, 'bob'), contactOf(6, 'eve')]
  await saveContact(home, bob)
  await saveContact(home, eve)
  assert.is((await renameContact(home, bob.key, 'Bob')).name, 'Bob')
  assert.is((await refusal(renameContact(home, bob.key, 'ＥＶＥ'))).exit, 73)
  assert.is((await refusal(renameContact(home, bob.key, 'me'))).exit, 64)
  assert.is((await refusal(renameContact(home, bob.key, 'a\u202eb'))).exit, 64)
  assert.is(await removeContact(home, bob.key), true)
  assert.is(await removeContact(home, bob.key), false)
  assert.is((await refusal(renameContact(home, bob.key, 'robert'))).exit, 67)
})

test('nothing is sent to who is blocked or revoked', async () => {
  const bob = contactOf(5, 'bob')
  checkSendable(bob)
  assert.ok(isWelcome(bob))
  for (const change of [{ blocked: true }, { revoked: true }]) {
    assert.is((await refusal(() => checkSendable({ ...bob, ...change }))).exit, 77)
    assert.not.ok(isWelcome({ ...bob, ...change }))
  }
})

// The resolver.

test('a contact is found by name and key, as an address, in any case', async () => {
  const bob = contactOf(5, 'Bob')
  const keyring = await keyringOf(bob, contactOf(6, 'Jürgen'), contactOf(7, 'straße'))
  const forms = [bob.name, 'bob', 'BOB', 'ｂｏｂ', bob.key, bob.key.toLowerCase(), bob.key.toUpperCase()]
  for (const form of forms) {
    for (const text of [form, `${form}@p2p.invalid`, `${form}@P2P.Invalid`]) {
      assert.is(keyring.resolve(text).key, bob.key, text)
    }
  }
  assert.is(keyring.resolve('JU\u0308RGEN').name, 'Jürgen')
  assert.is(keyring.resolve('STRASSE').name, 'straße')
  assert.is(keyring.byKey(bob.key)?.name, 'Bob')
  assert.is(keyring.byIdentity(bob.identity)?.name, 'Bob')
  assert.is(keyring.byTransport(bob.transport)?.name, 'Bob')
  assert.is(keyring.byName('bOB')?.name, 'Bob')
  assert.is(keyring.byKey('x'), undefined)
})

test('who is not known is not found, with the name that may be meant', async () => {
  const keyring = await keyringOf(contactOf(5, 'bob'), contactOf(6, 'eve'))
  const say = async (text: string): Promise<string> => {
    const failure = await refusal(() => keyring.resolve(text))
    assert.is(failure.exit, 67)
    return failure.message
  }
  assert.match(await say('bbo'), "no contact named 'bbo': did you mean 'bob'?")
  assert.is(await say('zoltan'), "no contact named 'zoltan'")
  assert.match(await say('bob@example.org'), 'no contact')
  assert.match(await say('@p2p.invalid'), 'no contact')
  assert.match(await say(''), 'no contact')
  assert.match(await say('a\x1b[2J'), '\\x1b')
  assert.match(await say('alice'), "did you mean 'me'?")
  assert.match(await say(contactOf(8, 'x').key), 'no contact')
  assert.match(await say('bo'), "did you mean 'bob'?")
})

test('oneself is `me` and the own key', async () => {
  const keyring = await keyringOf(contactOf(5, 'bob'))
  const { key } = keyring.self
  for (const text of ['me', 'ME', 'me@p2p.invalid', key, `${key}@p2p.invalid`, key.toLowerCase()]) {
    assert.is(keyring.resolveAny(text), keyring.self, text)
    assert.match((await refusal(() => keyring.resolve(text))).message, 'is yourself')
  }
})

test('a folded key that fits two contacts is ambiguous, the exact one is not', async () => {
  const bob = contactOf(5, 'bob')
  const twin = { ...contactOf(6, 'eve'), key: swapCase(bob.key) }
  const keyring = await keyringOf(bob, twin)
  assert.is(keyring.resolve(bob.key).name, 'bob')
  assert.is(keyring.resolve(twin.key).name, 'eve')
  const failure = await refusal(() => keyring.resolve(bob.key.toLowerCase()))
  assert.is(failure.exit, 65)
  assert.match(failure.message, 'bob')
  assert.match(failure.message, 'eve')
})

function swapCase(text: string): string {
  return text.replace(/[a-z]/i, (char) => (char === char.toLowerCase() ? char.toUpperCase() : char.toLowerCase()))
}

// Tokens coming in.

test('a token adds a contact, a newer one updates it, the same one does nothing', async () => {
  const { home } = await freshHome()
  const first = await take(home, 'bob', await tokenOf(5))
  assert.is(first.outcome, 'added')
  const bob = (await loadKeyring(home)).resolve('bob')
  assert.equal(bob, first.contact)
  assert.is(bob.verified, undefined)
  assert.equal(bob.addresses, [ADDRESS])
  assert.is(bob.added, NOON)
  assert.is((await take(home, 'BOB', await tokenOf(5))).outcome, 'same')
  await updateContact(home, bob.key, (contact) => ({ ...contact, verified: NOON, features: 3 }))
  const transport = nodeSuite.importPrivate(new Uint8Array(32).fill(99)).publicKey
  const newer = await take(home, 'bob', await tokenOf(5, { seq: 101n, transport, addresses: [] }))
  assert.is(newer.outcome, 'updated')
  const now = (await loadKeyring(home)).resolve('bob')
  assert.is(hex(now.transport), hex(transport))
  assert.equal([now.verified, now.features, now.addresses, now.name, now.seq], [NOON, 3, [], 'bob', 101n])
})

test('an older token is refused, and one of the same number that says something else', async () => {
  const { home } = await freshHome()
  await take(home, 'bob', await tokenOf(5))
  for (const change of [{ seq: 99n }, { seq: 0n }, { addresses: [] }]) {
    const failure = await refusal(take(home, 'bob', await tokenOf(5, change)))
    assert.is(failure.exit, 65)
    assert.match(failure.message, 'older')
  }
  assert.is((await loadKeyring(home)).resolve('bob').seq, 100n)
  await take(home, 'bob', await tokenOf(5, { seq: REVOKED_SEQ - 1n }))
  assert.match((await refusal(take(home, 'bob', await tokenOf(5)))).message, 'number 18446744073709551614')
})

test('the token of an invite is the plain one; its secret is not kept', async () => {
  const { home } = await freshHome()
  const ext = [{ type: 1, value: new Uint8Array(20).fill(0xab) }]
  await take(home, 'bob', await tokenOf(5))
  assert.is((await take(home, 'bob', await tokenOf(5, { ext }))).outcome, 'same')
  const eve = await take(home, 'eve', await tokenOf(6, { ext }))
  assert.is(eve.contact?.tokenText, '')
  assert.is((await take(home, 'eve', await tokenOf(6))).outcome, 'same')
})

test('an expired, a forged and the own token are told apart', async () => {
  const { home } = await freshHome()
  const say = async (token: Token): Promise<string> => {
    const failure = await refusal(take(home, 'bob', token))
    assert.is(failure.exit, 65)
    return failure.message
  }
  assert.match(await say(await tokenOf(5, { notAfter: NOON / 1000 })), 'expired on 2026-01-01T12:00:00.000Z')
  const good = await tokenOf(5)
  const bytes = good.bytes.map((byte, at) => (at === good.bytes.length - 1 ? byte ^ 1 : byte))
  assert.match(await say({ ...good, bytes }), 'forged')
  assert.match(await say((await loadSelf(home)).token), 'your own token')
  assert.equal(await readdir(home.at('contacts')), [])
  assert.is((await take(home, 'bob', await tokenOf(5, { notAfter: NOON / 1000 + 1 }))).outcome, 'added')
})

test('a bad name is a usage error and adds nobody', async () => {
  const { home } = await freshHome()
  const bad = ['', 'me', 'p2p', 'Mailer-Daemon', 'a b', '-a', 'a\x1bb', 'a\u202eb', 'a/b', 'x'.repeat(65)]
  for (const name of [...bad, contactOf(5, 'x').key]) {
    assert.is((await refusal(take(home, name, await tokenOf(5)))).exit, 64, name)
  }
  assert.equal(await readdir(home.at('contacts')), [])
})

test('name and identity belong together: anything else is 77 with both fingerprints', async () => {
  const { home } = await freshHome()
  await take(home, 'bob', await tokenOf(5))
  const words = /(?:[a-z]+ ){11}[a-z]+/g
  const other = await refusal(take(home, 'Bob', await tokenOf(6)))
  assert.is(other.exit, 77)
  assert.match(other.message, "'bob' is known with another identity")
  const [, ...below] = other.message.split('\n')
  assert.is(below.join('\n').match(words)?.length, 2)
  assert.is(other.hint, 'p2p-id rename bob bob-old')
  const renamed = await refusal(take(home, 'robert', await tokenOf(5, { seq: 200n })))
  assert.is(renamed.exit, 77)
  assert.match(renamed.message, "already known as 'bob'")
  assert.is(renamed.hint, 'p2p-id rename bob robert')
  await take(home, 'eve', await tokenOf(6))
  const crossed = await refusal(take(home, 'eve', await tokenOf(5)))
  assert.is(crossed.exit, 77)
  assert.is(crossed.message.match(words)?.length, 2)
  assert.equal((await loadKeyring(home)).all().map(({ name, seq }) => [name, seq]), [['bob', 100n], ['eve', 100n]])
})

test('the way out works: rename the old one, add again', async () => {
  const { home } = await freshHome()
  const { key } = await take(home, 'bob', await tokenOf(5))
  await renameContact(home, key, 'bob-old')
  assert.is((await take(home, 'bob', await tokenOf(6))).outcome, 'added')
})

test('two processes that add the same name at once: one wins', async () => {
  const { home } = await freshHome()
  const tokens = await Promise.all([5, 6, 7].map((n) => tokenOf(n)))
  const results = await Promise.allSettled(tokens.map((token) => take(home, 'bob', token)))
  assert.is(results.filter(({ status }) => status === 'fulfilled').length, 1)
  assert.is((await loadKeyring(home)).all().length, 1)
})

test('a revocation ends an identity for good, known or not', async () => {
  const { home } = await freshHome()
  const { key } = await take(home, 'bob', await tokenOf(5))
  const done = await take(home, 'bob', await revocationOf(5))
  assert.is(done.outcome, 'revoked')
  const bob = (await loadKeyring(home)).resolve('bob')
  assert.ok(bob.revoked && !isWelcome(bob))
  assert.is((await refusal(take(home, 'bob', await tokenOf(5, { seq: 200n })))).exit, 77)
  assert.is(await takeToken(home, key, (await tokenOf(5, { seq: 200n })).bytes).then((c) => c?.seq), 100n)
  await removeContact(home, key)
  assert.is((await refusal(take(home, 'bob', await tokenOf(5, { seq: 300n })))).exit, 77)
  assert.is((await take(home, 'stranger', await revocationOf(6))).contact, undefined)
  assert.is((await refusal(take(home, 'stranger', await tokenOf(6)))).exit, 77)
  const forged = await encodeToken(await revocationOf(7), (message) => sign(message, new Uint8Array(32).fill(8)))
  assert.is((await refusal(take(home, 'x', forged))).exit, 65)
  assert.is((await take(home, 'seven', await tokenOf(7))).outcome, 'added')
})

test('a damaged contact is not written over by its token', async () => {
  const { home } = await freshHome()
  const { key } = await take(home, 'bob', await tokenOf(5))
  await writeFile(home.at('contacts', `${key}.json`), '{')
  assert.is((await refusal(take(home, 'bob', await tokenOf(5)))).exit, 78)
  assert.is(await readFile(home.at('contacts', `${key}.json`), 'utf8'), '{')
})

test('a token inside a session updates its own sender and nobody else', async () => {
  const { home } = await freshHome()
  const { key } = await take(home, 'bob', await tokenOf(5))
  assert.is((await takeToken(home, key, (await tokenOf(5, { seq: 101n })).bytes))?.seq, 101n)
  assert.is((await takeToken(home, key, (await tokenOf(5, { seq: 50n })).bytes))?.seq, 101n)
  const bad: Uint8Array[] = [
    (await tokenOf(6, { seq: 999n })).bytes,
    (await tokenOf(5, { seq: 102n, notAfter: 1 })).bytes,
    (await tokenOf(5, { seq: 102n, ext: [{ type: 1, value: new Uint8Array(20) }] })).bytes,
    (await revocationOf(5)).bytes,
    (await tokenOf(5, { seq: 102n })).bytes.map((byte, at) => (at === 73 ? byte ^ 1 : byte)), // the number: forged
    new Uint8Array(10),
  ]
  for (const bytes of bad) {
    await takeToken(home, key, bytes).then(
      () => assert.unreachable(),
      (error: unknown) => assert.instance(error, Malformed),
    )
  }
  assert.is((await loadKeyring(home)).resolve('bob').seq, 101n)
  await removeContact(home, key)
  assert.is(await takeToken(home, key, (await tokenOf(5, { seq: 103n })).bytes), undefined)
})

test.run()
