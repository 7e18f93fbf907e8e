// p2p-id(1) but for token: identity and keyring. Wiring only: one call per verb, records out.

import { EX, Failure } from '../base/fail.ts'
import { forHome } from '../base/quoting.ts'
import { quote } from '../base/text.ts'
import { loadSuite } from '../crypto/suite.ts'
import { fingerprintWords, sameWords } from '../crypto/words.ts'
import { aliasLine, fits, queryLine } from '../disk/addressbook.ts'
import { isWelcome } from '../disk/contact.ts'
import { openHome } from '../disk/home.ts'
import { importToken } from '../disk/import.ts'
import { loadKeyring } from '../disk/keyring.ts'
import { removeContact, renameContact, updateContact } from '../disk/contacts.ts'
import {
  claimsOf,
  contactRecord,
  selfRecord,
  showContact,
  showSelf,
  standing,
  twoLines,
} from '../disk/person.ts'
import { endRequest } from '../disk/quarantine.ts'
import { drop } from '../disk/queue.ts'
import { count, list } from '../disk/queueread.ts'
import { readStdin, stdinIsTerminal } from '../edge/input.ts'
import { FIND_MAX, findToken } from '../wire/findtoken.ts'
import { parseToken } from '../wire/token.ts'
import { exportArchive, importArchive, takeBack } from './archiving.ts'
import { init } from './beginning.ts'
import { checkLines } from './check.ts'
import { tellListener } from './control.ts'
import { accept, follow, invite, refuse, requests, tellContact } from './inviting.ts'
import { type Ask, passwd, revoke, rotate } from './ownkeys.ts'

import type { Suite } from '../crypto/suite.ts'
import type { Contact } from '../disk/contact.ts'
import type { Home } from '../disk/home.ts'
import type { Keyring } from '../disk/keyring.ts'
import type { Call } from '../edge/cli.ts'
import type { Token } from '../wire/token.ts'

interface Desk {
  home: Home
  suite: Suite
  keyring: Keyring
}

async function open(call: Call): Promise<Desk> {
  const home = await openHome({ flag: call.value('home'), env: process.env })
  return { home, suite: await loadSuite(process.env), keyring: await loadKeyring(home) }
}

/** Called once after every change of the keyring or the own token. */
async function changed(home: Home): Promise<void> {
  await tellListener(home, 'reload')
}

/** The token in the second argument, else in standard input. */
async function readToken(call: Call, text: string | undefined): Promise<Token> {
  if (text !== undefined && text !== '-') return /\s/.test(text.trim()) ? findToken(text) : parseToken(text)
  if (stdinIsTerminal()) call.info('paste the token, end with Ctrl-D')
  return findToken(new TextDecoder().decode(await readStdin(FIND_MAX)))
}

async function add(call: Call): Promise<void> {
  const { home, suite, keyring } = await open(call)
  const [name = '', text] = call.args
  const given = await readToken(call, text)
  const { outcome, key, contact: taken } = await importToken(home, suite, name, given)
  if (taken === undefined) {
    await changed(home)
    await call.out.record({ v: 1, type: 'contact', outcome, key }, () => `${outcome}  ${key}`)
    return
  }
  await endRequest(home, key, false) // it may have knocked, too
  const invited = taken.introduced !== undefined
  const contact = invited ? await follow(call, home, taken) : taken
  if (outcome !== 'same' && !invited) await changed(home)
  const claims = claimsOf(given)
  await tellContact(call, suite, contact, { outcome, ...claims }, outcome)
  const { suggested, succeeds } = claims
  if (suggested !== undefined && suggested !== contact.name) call.info(`their token calls them ${quote(suggested)}`)
  if (succeeds !== undefined) {
    const older = keyring.byKey(succeeds)?.name ?? succeeds
    call.warn(`their token says, signed with both keys, that they succeed ${older}: whoever stole the older key can say so`)
  }
  if (contact.name !== name && keyring.byKey(key) !== undefined) call.tell(`known as '${contact.name}'`)
  if (outcome === 'added' && !invited) {
    call.tell(`${contact.name} must add you, too: p2p-id token prints the line to hand over`)
  }
  if (contact.verified === undefined && isWelcome(contact)) call.info(`compare words: p2p-id verify ${contact.name}`)
  if (outcome === 'added') call.tell(`hint: ${forHome('p2p', call.value('home'))}`)
}

async function listContacts(call: Call): Promise<void> {
  const { suite, keyring } = await open(call)
  const contacts = keyring.all()
  if (call.flag('aliases') || call.flag('query')) return listForMutt(call, contacts)
  const width = Math.max(0, ...contacts.map(({ name }) => name.length))
  for (const contact of contacts) {
    const words = await fingerprintWords(contact.identity, suite)
    const human = (): string => `${contact.name.padEnd(width)}  ${standing(contact).padEnd(10)}  ${contact.key}`
    await call.out.record(contactRecord(contact, words), human)
  }
  for (const { failure } of keyring.problems) call.report(failure)
  if (contacts.length === 0 && call.quiet) call.exit(EX.NEGATIVE)
  if (contacts.length === 0) call.tell('no contacts yet: p2p-id add NAME < TOKEN')
}

/** mutt's two forms: bare lines whatever the output is, since mutt reads them from a pipe. */
async function listForMutt(call: Call, contacts: Contact[]): Promise<void> {
  const word = call.value('query')
  if (word !== undefined && call.flag('aliases')) {
    throw new Failure(EX.USAGE, "'--aliases' and '--query' exclude each other")
  }
  if (word === undefined) {
    for (const contact of contacts) await call.out.datum(aliasLine(contact))
    return
  }
  const found = contacts.filter((contact) => fits(contact, word))
  await call.out.datum(`p2p: ${found.length} of ${contacts.length} contacts`)
  for (const contact of found) await call.out.datum(queryLine(contact))
  if (found.length === 0) call.exit(EX.NEGATIVE)
}

async function show(call: Call): Promise<void> {
  const { home, suite, keyring } = await open(call)
  const who = keyring.resolveAny(call.args[0] ?? 'me')
  const words = await fingerprintWords(who.identity, suite)
  if ('me' in who) await call.out.record(selfRecord(who, home, words), () => showSelf(who, home, words))
  else {
    const claims = claimsOf(who)
    await call.out.record(contactRecord(who, words, { ...claims }), () => showContact(who, words, claims))
  }
}

/** Tells of a contact after a change. */
async function tellChanged(call: Call, { home, suite }: Desk, contact: Contact): Promise<void> {
  await changed(home)
  await tellContact(call, suite, contact, {}, standing(contact))
}

async function rename(call: Call): Promise<void> {
  const desk = await open(call)
  const [old = '', name = ''] = call.args
  const { key } = desk.keyring.resolve(old)
  await tellChanged(call, desk, await renameContact(desk.home, key, name))
}

async function remove(call: Call): Promise<void> {
  const { home, keyring } = await open(call)
  const { name, key } = keyring.resolve(call.args[0] ?? '')
  const waiting = (await count(home, key, 'new')) + (await count(home, key, 'hold'))
  if (waiting > 0 && !call.flag('drop')) {
    const many = waiting === 1 ? '1 message waits' : `${waiting} messages wait`
    throw new Failure(EX.NEGATIVE, `${many} for ${name}`, `p2p-id remove --drop ${name}`)
  }
  await removeContact(home, key) // first: from here on nothing new can be queued for this name
  await changed(home)
  for (const state of ['new', 'hold'] as const) await drop(home, await list(home, key, state))
  const record = { v: 1, type: 'removed', name, key, dropped: waiting }
  await call.out.record(record, () => `${name}  removed  ${waiting === 0 ? key : `${waiting} ${waiting === 1 ? 'message' : 'messages'} dropped`}`)
}

function setBlocked(blocked: boolean): (call: Call) => Promise<void> {
  return async (call) => {
    const desk = await open(call)
    await change(call, desk, (contact) => ({ ...contact, blocked }))
  }
}

/** Changes the contact that the first argument names, and tells of it. */
async function change(call: Call, desk: Desk, how: (contact: Contact) => Contact): Promise<void> {
  const { name, key } = desk.keyring.resolve(call.args[0] ?? '')
  const contact = await updateContact(desk.home, key, how)
  if (contact === undefined) throw new Failure(EX.NO_CONTACT, `${name} was removed meanwhile`)
  await tellChanged(call, desk, contact)
}

async function verify(call: Call): Promise<void> {
  const desk = await open(call)
  const { home, suite, keyring } = desk
  const contact = keyring.resolve(call.args[0] ?? '')
  const said = call.value('words')
  if (said !== undefined && call.flag('ok')) throw new Failure(EX.USAGE, "'--ok' and '--words' exclude each other")
  const theirs = await fingerprintWords(contact.identity, suite)
  if (said !== undefined && !sameWords(theirs, said)) {
    throw new Failure(EX.NEGATIVE, `these are not the words of ${contact.name}`, `p2p-id verify ${contact.name}`)
  }
  if (said !== undefined || call.flag('ok')) {
    return change(call, desk, (held) => ({ ...held, verified: home.clock.now() }))
  }
  const yours = await fingerprintWords(keyring.self.identity, suite)
  const block = (who: string, words: string[]): string => `${who}\n  ${twoLines(words).join('\n  ')}`
  await call.out.record(
    contactRecord(contact, theirs, { own_words: yours.join(' ') }),
    () => `${block('yours', yours)}\n${block(contact.name, theirs)}`,
  )
  if (contact.verified !== undefined) return call.info(`${contact.name} is verified`)
  call.info(`read yours to ${contact.name} and hear theirs, by telephone or face to face; if both agree:`)
  call.hint(`p2p-id verify --ok ${contact.name}`)
}

async function doctor(call: Call): Promise<void> {
  const { examine } = await import('./doctor.ts')
  const stop = call.waiting('looking at the home')
  for await (const check of examine({ flag: call.value('home'), env: process.env })) {
    const { name, ok, text, hint } = check
    if (!ok) call.exit(EX.NEGATIVE)
    const command = hint === undefined ? undefined : forHome(hint, call.value('home'))
    const record = { v: 1, type: 'check', name, ok, text, ...(command !== undefined && { hint: command }) }
    await call.out.record(record, () => checkLines(check, command))
  }
  stop()
}

async function setup(call: Call): Promise<void> {
  const { snippet } = await import('../edge/setup.ts')
  const { surroundings } = await import('./surroundings.ts')
  const home = await openHome({ flag: call.value('home'), env: process.env })
  const program = call.args[0] ?? ''
  const at = await surroundings(home)
  const text = snippet(program, at) // a wrong word is told in any case
  if (call.flag('install') || call.flag('remove')) {
    if (call.flag('install') && call.flag('remove')) throw new Failure(EX.USAGE, "'--install' and '--remove' exclude each other")
    const { install, keeperOf, remove } = await import('./background.ts')
    const place = { home, at, env: process.env, uid: process.getuid?.() ?? 0 }
    const keeper = keeperOf(program)
    for (const line of await (call.flag('install') ? install(keeper, place) : remove(keeper, place))) call.info(line)
    return
  }
  await call.out.raw(new TextEncoder().encode(text))
}

/** By name; those that never ask for a passphrase leave `ask` out. */
export const verbs = {
  init,
  invite,
  add,
  list: listContacts,
  show,
  rename,
  remove,
  block: setBlocked(true),
  unblock: setBlocked(false),
  verify,
  requests,
  accept,
  refuse,
  rotate,
  revoke,
  passwd,
  export: exportArchive,
  import: importArchive,
  unretire: takeBack,
  doctor,
  setup,
} satisfies Record<string, (call: Call, ask: Ask) => Promise<void>>
