// First contact inside the conversation: an invite for somebody in three steps, the taking of one, and the words that
// both compare. The same deeds as p2p-id invite, add and verify; who must be asked for a passphrase is sent there.

import { EX, Failure } from '../base/fail.ts'
import { checkName, localTime, printable } from '../base/text.ts'
import { loadSuite } from '../crypto/suite.ts'
import { fingerprintWords } from '../crypto/words.ts'
import { tellListener } from '../delivery/control.ts'
import { firstCall } from '../delivery/firstcall.ts'
import type { Config } from '../disk/config.ts'
import type { Contact } from '../disk/contact.ts'
import type { Home } from '../disk/home.ts'
import { signInvite } from '../disk/identity.ts'
import { openSeed } from '../disk/identityfile.ts'
import { importToken } from '../disk/import.ts'
import { giveInvite, wipe } from '../disk/invites.ts'
import { loadKeyring } from '../disk/keyring.ts'
import { updateContact } from '../disk/contacts.ts'
import { isReachable } from '../wire/address.ts'
import { findToken } from '../wire/findtoken.ts'

/** As p2p-id invite has it without --expires. */
const LIFETIME_S = 7 * 86_400

/** A line that is handed over, and as a QR code below it where there is a screen that it fits. */
export async function tokenPage(line: string, full: boolean): Promise<string[]> {
  const { qrCode, qrLines } = await import('../edge/qrcode.ts')
  const code = full ? qrCode(line) : undefined
  return [line, ...(code === undefined ? [] : ['', ...(qrLines(code) ?? ['it is too long for a QR code on a terminal: p2p-id token --qr-file FILE.png'])])]
}

/** The page of an invite for `name`. Throws Failure 64, 73, and 77 where the identity has a passphrase. */
export async function invitePage(home: Home, typed: string, full: boolean): Promise<string[]> {
  const name = checkName(typed)
  const keyring = await loadKeyring(home)
  const { self } = keyring
  const taken = keyring.byName(name)
  if (taken !== undefined) throw new Failure(EX.CANNOT_CREATE, `the name '${taken.name}' is taken`)
  const seed = await openSeed(home, () => {
    throw new Failure(EX.NOT_PERMITTED, `the identity has a passphrase, which is asked for in a shell: p2p-id invite ${name}`)
  })
  const expires = Math.floor(home.clock.now() / 1000 + LIFETIME_S)
  const { invite } = await giveInvite(home, name, expires)
  try {
    const line = await signInvite(home, seed, invite)
    const warning = self.token.addresses.some(isReachable) ? [] : ['', 'No address in it can be reached from outside the local network: p2p-id token --addr HOST.']
    return [
      `1. Give ${name} this line, by mail or by its picture. It is for one use, until ${localTime(expires * 1000)}.`,
      `2. There: /add ${self.name} and the line, in p2p-chat; or p2p-id add ${self.name} in a shell. Leave this open meanwhile.`,
      '3. When you are contacts: /words shows 12 words to compare by telephone, and /verify keeps that they were the same.',
      ...warning,
      '',
      ...(await tokenPage(line, full)),
    ]
  } finally {
    wipe([invite])
    seed.fill(0)
  }
}

export interface Newcomer {
  contact: Contact
  /** Why the two have not met yet; undefined if they have, or need not. */
  trouble: string | undefined
  /** By an invite, which is all that is needed; by a token each must add the other. */
  invited: boolean
}

/** Takes a token or an invite for a new contact, and calls who gave an invite. Throws what importToken throws. */
export async function addContact(home: Home, name: string, text: string, options: { env: NodeJS.ProcessEnv; config: Config; signal: AbortSignal }): Promise<Newcomer> {
  const { contact } = await importToken(home, await loadSuite(options.env), checkName(name), findToken(text))
  if (contact === undefined) throw new Failure(EX.DATA, 'that line ends an identity: p2p-id add takes it')
  await tellListener(home, 'reload')
  if (contact.introduced === undefined) return { contact, trouble: undefined, invited: false }
  return { contact, trouble: await firstCall(home, await loadKeyring(home), contact, options), invited: true }
}

/** The words of both sides, side by side. */
export async function wordsPage(own: Uint8Array, contact: Contact, env: NodeJS.ProcessEnv): Promise<string[]> {
  const suite = await loadSuite(env)
  const [mine, theirs] = await Promise.all([fingerprintWords(own, suite), fingerprintWords(contact.identity, suite)])
  const rows = theirs.map((word, at) => `  ${String(at + 1).padStart(2)}  ${word.padEnd(12)}  ${mine[at] ?? ''}`)
  const name = printable(contact.name)
  return [
    `By telephone ${name} reads the left ones, you the right ones:`, // all of them show in 16 lines
    `      ${name.slice(0, 12).padEnd(12)}  you`,
    ...rows,
    '',
    contact.verified === undefined ? 'Both the same there: /verify. Until then all works as well; only nobody has looked.' : 'You have compared them before.',
  ]
}

/** From here on the words of this contact count as compared. */
export async function verifyContact(home: Home, contact: Contact): Promise<void> {
  const held = await updateContact(home, contact.key, (one) => ({ ...one, verified: home.clock.now() }))
  if (held === undefined) throw new Failure(EX.NO_CONTACT, `${contact.name} was removed meanwhile`)
  await tellListener(home, 'reload')
}
