// p2p-id invite, requests, accept and refuse, and the greeting that follows add, as a person sees them: what is asked,
// what is refused before anything is done, what is told at the end. The work is done in lib/disk/invites.ts,
// newcomer.ts and quarantine.ts.

import { EX, Failure, Malformed } from '../base/fail.ts'
import { checkName, localTime, parseDuration, printable, quote } from '../base/text.ts'
import { isoTime } from '../base/utc.ts'
import { loadSuite } from '../crypto/suite.ts'
import { fingerprintWords } from '../crypto/words.ts'
import { loadConfig } from '../disk/config.ts'
import { type Home, openHome } from '../disk/home.ts'
import { signInvite } from '../disk/identity.ts'
import { openSeed } from '../disk/identityfile.ts'
import { importToken } from '../disk/import.ts'
import { giveInvite, listInvites, wipe, withdrawInvites } from '../disk/invites.ts'
import { loadKeyring } from '../disk/keyring.ts'
import { contactRecord, requestRecord, showRequest } from '../disk/person.ts'
import { droppedRequests, endRequest, findRequest, listRequests } from '../disk/quarantine.ts'
import { isReachable } from '../wire/address.ts'
import { tellListener } from './control.ts'
import { firstCall } from './firstcall.ts'
import { checkHandOver, handOver } from './handover.ts'

import type { Suite } from '../crypto/suite.ts'
import type { Contact } from '../disk/contact.ts'
import type { Call } from '../edge/cli.ts'

const LIFETIME = '7d'
const LONGEST = 366 * 86_400 // seconds: an invite that lies about is a door that stands open

type Ask = (prompt: string, confirm: boolean) => Promise<Uint8Array>

const homeOf = (call: Call): Promise<Home> => openHome({ flag: call.value('home'), env: process.env })

/** p2p-id invite. */
export async function invite(call: Call, ask: Ask): Promise<void> {
  const home = await homeOf(call)
  const name = checkName(call.args[0] ?? '')
  if (call.flag('withdraw')) return withdraw(call, home, name)
  const keyring = await loadKeyring(home)
  const taken = keyring.byName(name)
  if (taken !== undefined) {
    throw new Failure(EX.CANNOT_CREATE, `the name '${taken.name}' is taken`, `p2p-id show ${taken.name}`)
  }
  const seconds = parseDuration(call.value('expires') ?? LIFETIME)
  if (seconds < 1 || seconds > LONGEST) throw new Failure(EX.USAGE, 'an invite lasts from a second to 366 days')
  await checkHandOver(call, home)
  const seed = await openSeed(home, () => ask('passphrase', false))
  const expires = Math.floor(home.clock.now() / 1000 + seconds)
  const { invite: given, replaced } = await giveInvite(home, name, expires)
  try {
    await handOver(call, home, await signInvite(home, seed, given))
  } catch (error) {
    throw error instanceof Malformed ? new Failure(EX.DATA, `no room for an invite: ${error.message}`) : error
  } finally {
    wipe([given])
    seed.fill(0)
  }
  if (replaced > 0) call.info(`the earlier invite for ${name} is void`)
  call.info(`for one use, until ${localTime(expires * 1000)}: whoever uses it first is ${name} here`)
  const { name: own, token } = keyring.self
  if (!token.addresses.some(isReachable)) {
    call.warn('no address in it can be reached from outside the local network')
    call.hint('p2p-id token --addr HOST')
  }
  call.tell(`${name} takes it with p2p-id add ${own}, and calls here by it: p2p-listen must run`)
}

async function withdraw(call: Call, home: Home, name: string): Promise<void> {
  if (call.flag('expires')) throw new Failure(EX.USAGE, "'--withdraw' and '--expires' exclude each other")
  const count = await withdrawInvites(home, name)
  if (count === 0) throw new Failure(EX.NEGATIVE, `no invite for ${quote(name)} waits to be used`, 'p2p-id requests')
  call.info(`the invite for ${name} is void`)
}

/** Calls a contact that came by an invite or a request, for some seconds. The contact after that. */
export async function follow(call: Call, home: Home, contact: Contact): Promise<Contact> {
  await tellListener(home, 'reload')
  const { name, key, introduced } = contact
  if (introduced === undefined) return contact
  const stop = call.waiting(`calling ${name}`)
  const config = await loadConfig(home, process.env)
  const trouble = await firstCall(home, await loadKeyring(home), contact, { config, signal: call.signal })
  stop()
  if (trouble === undefined) call.info(`${name} has answered: you are contacts now`)
  else {
    call.info(`not met yet: ${trouble}`)
    call.info(`the next p2p-send, p2p-queue flush or p2p-listen calls ${name} again`)
  }
  return (await loadKeyring(home)).byKey(key) ?? contact
}

/** p2p-id requests. */
export async function requests(call: Call): Promise<void> {
  const home = await homeOf(call)
  await loadKeyring(home) // 78 without an identity
  const suite = await loadSuite(process.env)
  const asking = await listRequests(home)
  for (const request of asking) {
    const words = await fingerprintWords(request.token.identity, suite)
    await call.out.record(requestRecord(request, words), () => showRequest(request, words))
  }
  const given = await listInvites(home)
  wipe(given)
  const unused = given.filter(({ user }) => user === undefined)
  for (const { name, expires } of unused) {
    const until = expires * 1000
    const record = { v: 1, type: 'invite', name, expires: isoTime(until) }
    await call.out.record(record, () => `${name}  invited, not used yet, until ${localTime(until)}`)
  }
  const dropped = await droppedRequests(home)
  if (dropped > 0) call.warn(`${dropped} further requests were dropped: there was no room for them`)
  if (asking.length + unused.length > 0) return
  if (call.quiet) return call.exit(EX.NEGATIVE)
  if (!(await loadConfig(home, process.env)).requests) {
    call.tell("requests of strangers are not taken: write 'requests = true' into config.toml, see p2p-config(5)")
  }
}

/** p2p-id accept. */
export async function accept(call: Call): Promise<void> {
  const home = await homeOf(call)
  await loadKeyring(home)
  const [which = '', name = ''] = call.args
  checkName(name)
  const { key, token } = await findRequest(home, which)
  const suite = await loadSuite(process.env)
  const { contact, outcome } = await importToken(home, suite, name, token, 'request')
  await endRequest(home, key, false)
  if (contact === undefined) throw new Error('a request cannot revoke')
  const met = await follow(call, home, contact)
  await tellContact(call, suite, met, { outcome }, outcome)
  if (met.verified === undefined) call.info(`compare words: p2p-id verify ${met.name}`)
}

/** The record of a contact, or its line for people, with one word about it. */
export async function tellContact(
  call: Call,
  suite: Suite,
  contact: Contact,
  more: Record<string, unknown>,
  word: string,
): Promise<void> {
  const record = contactRecord(contact, await fingerprintWords(contact.identity, suite), more)
  await call.out.record(record, () => `${contact.name}  ${word}  ${contact.key}`)
}

/** p2p-id refuse. */
export async function refuse(call: Call): Promise<void> {
  const home = await homeOf(call)
  await loadKeyring(home)
  const suite = await loadSuite(process.env)
  for (const which of call.args) {
    try {
      const request = await findRequest(home, which)
      await endRequest(home, request.key, true)
      const words = await fingerprintWords(request.token.identity, suite)
      const record = { ...requestRecord(request, words), outcome: 'refused' }
      await call.out.record(record, () => printable(`${request.key}  refused`))
    } catch (error) {
      call.report(error)
    }
  }
}
