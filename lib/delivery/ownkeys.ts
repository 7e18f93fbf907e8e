// p2p-id rotate, revoke and passwd, and token where it changes something, as a person sees them: what becomes of the own keys, and what others learn of
// it. The work is done in lib/disk/identity.ts, identityfile.ts and rotation.ts.

import { resolve } from 'node:path'

import { EX, Failure, Malformed } from '../base/fail.ts'
import { shellWord } from '../base/quoting.ts'
import { localTime } from '../base/text.ts'
import { loadSuite } from '../crypto/suite.ts'
import { isWelcome } from '../disk/contact.ts'
import { type Home, openHome } from '../disk/home.ts'
import { OLD_KEY_MS, renewToken, signRevocation, signSuccessor } from '../disk/identity.ts'
import { loadSelf, type Self } from '../disk/self.ts'
import { changePassphrase, openSeed } from '../disk/identityfile.ts'
import { loadKeyring } from '../disk/keyring.ts'
import { rotateTransport } from '../disk/rotation.ts'
import { globalAddresses } from '../net/interfaces.ts'
import { type Address, ADDRESSES_MAX, distinctAddresses, parseAddress } from '../wire/address.ts'
import { tellListener } from './control.ts'
import { ownNat } from './netstatus.ts'

import type { Call } from '../edge/cli.ts'

/** Asks for a passphrase, twice with `confirm`; `which` goes before the names of the options that give it instead. */
export type Ask = (prompt: string, confirm: boolean, which?: 'new-' | 'old-' | '') => Promise<Uint8Array>

const homeOf = (call: Call): Promise<Home> => openHome({ flag: call.value('home'), env: process.env })

/** Runs `work` with the Ed25519 seed of a home, which is wiped afterwards. */
async function withSeed<T>(home: Home, ask: () => Promise<Uint8Array>, work: (seed: Uint8Array) => Promise<T>): Promise<T> {
  const seed = await openSeed(home, ask)
  try {
    return await work(seed)
  } catch (error) {
    throw error instanceof Malformed ? new Failure(EX.DATA, `cannot make such a token: ${error.message}`) : error
  } finally {
    seed.fill(0)
  }
}

/** What --addr gives, and nothing else; without it the global addresses of this machine, as far as there is room. */
export function addressesOf(call: Call, port: number): Address[] {
  const given = call.values('addr').map((text) => parseAddress(text, port))
  if (given.length > ADDRESSES_MAX) throw new Failure(EX.USAGE, `a token holds at most ${ADDRESSES_MAX} addresses`)
  return distinctAddresses(given.length > 0 ? given : globalAddresses(port)).slice(0, ADDRESSES_MAX)
}

/** The own token as --addr and --successor-of make it anew. */
export async function renew(call: Call, home: Home, ask: Ask): Promise<Self> {
  let self = await loadSelf(home)
  if (call.flag('addr')) {
    const addresses = addressesOf(call, home.port)
    const nat = await ownNat(home, await loadKeyring(home))
    self = await withSeed(home, () => ask('passphrase', false), (seed) => renewToken(home, seed, addresses, nat))
  }
  if (call.flag('successor-of')) self = await succeed(call, home, ask)
  await tellListener(home, 'reload')
  return self
}

async function succeed(call: Call, home: Home, ask: Ask): Promise<Self> {
  const path = resolve(call.value('successor-of') ?? '')
  const old = await openHome({ flag: path, env: {}, evenRetired: true })
  const self = await withSeed(home, () => ask('passphrase', false), (seed) => {
    const askOld = (): Promise<Uint8Array> => ask(`passphrase of ${path}`, false, 'old-')
    return withSeed(old, askOld, (oldSeed) => signSuccessor(home, seed, oldSeed))
  })
  call.info('who adds this token is told that it succeeds the old identity, and to compare words: a thief can say so, too')
  call.hint(`p2p-id revoke --home ${shellWord(path)}`)
  return self
}

/** p2p-id rotate. */
export async function rotate(call: Call, ask: Ask): Promise<void> {
  const home = await homeOf(call)
  const keyring = await loadKeyring(home)
  const suite = await loadSuite(process.env)
  const compromised = call.flag('compromised')
  const self = await withSeed(home, () => ask('passphrase', false), (seed) => rotateTransport(home, suite, seed, compromised))
  await call.out.datum(self.tokenText)
  const contacts = keyring.all().filter(isWelcome)
  await tellListener(home, 'reload')
  await tellListener(home, 'queue', contacts.map(({ key }) => key))
  const until = localTime(home.clock.now() + OLD_KEY_MS)
  if (compromised) call.info('the old key is deleted: who holds the old token cannot call here until it has this one')
  else call.info(`contacts that hold the old token can still call until ${until}`)
  if (contacts.length === 0) return
  call.info('contacts get the new token with the next session: by p2p-listen, p2p-send or p2p-queue flush')
  if (compromised) call.info('those who cannot be called from here need it by hand, and add it under the name you have there')
}

/** p2p-id revoke. */
export async function revoke(call: Call, ask: Ask): Promise<void> {
  const home = await homeOf(call)
  const text = await withSeed(home, () => ask('passphrase', false), (seed) => signRevocation(home, seed))
  await call.out.datum(text)
  call.info('nothing has changed yet: keep this line offline, or hand it to your contacts to end this identity for good')
  call.info('they take it with p2p-id add, under any name; it cannot be undone')
}

/** p2p-id passwd. */
export async function passwd(call: Call, ask: Ask): Promise<void> {
  const plain = call.flag('no-passphrase')
  if (plain && (call.flag('new-passphrase-file') || call.flag('new-passphrase-fd'))) {
    throw new Failure(EX.USAGE, "'--no-passphrase' and a new passphrase exclude each other")
  }
  const changed = await changePassphrase(await homeOf(call), {
    old: () => ask('old passphrase', false),
    fresh: async () => (plain ? undefined : ask('new passphrase', true, 'new-')),
  })
  if (!changed) call.info('the identity is in a plain file, as before')
  else if (plain) call.warn('the identity is in a plain file: whoever reads it can speak in your name')
  else call.info('sealed with the new passphrase; archives and copies made before open with the old one')
}
