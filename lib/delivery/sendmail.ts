// p2p-sendmail(1), and p2p-send -t: a mail of a mail program becomes messages to contacts. Every recipient is known
// before anything is queued; it is silent and never waits, since whoever calls it has its own window to show.

import { hostname } from 'node:os'

import { EX, Failure, Malformed } from '../base/fail.ts'
import { quote } from '../base/text.ts'
import { loadSuite } from '../crypto/suite.ts'
import { loadConfig } from '../disk/config.ts'
import { checkSendable, type Contact } from '../disk/contact.ts'
import { openHome, type Home } from '../disk/home.ts'
import type { Self } from '../disk/self.ts'
import { findMessage } from '../disk/inboxlookup.ts'
import { type Keyring, loadKeyring } from '../disk/keyring.ts'
import type { Call } from '../edge/cli.ts'
import { readStdin, stdinIsTerminal } from '../edge/input.ts'
import { addressesIn, parsePost, type Post } from '../wire/mailpost.ts'
import { compose, insideHook, limitFor } from './compose.ts'
import { Outbox, type Teller } from './outbox.ts'

/** A mail is taken apart in memory: larger files go by p2p-send -a. */
const MAIL_MAX = 256 * 2 ** 20

const P2P_DOMAIN = 'p2p.invalid'

const SILENT: Teller = {
  queued: () => Promise.resolve(),
  outcome: () => Promise.resolve(),
  noted: () => Promise.resolve(),
}

/** Reads one mail from standard input and queues it for each recipient. */
export async function sendmail(call: Call): Promise<void> {
  const mode = call.value('mode') ?? 'm'
  if (mode !== 'm') throw new Failure(EX.USAGE, `unknown option ${quote(`-b${mode}`)}`, 'p2p-sendmail --help')
  if (call.args.length === 0 && !call.flag('read-recipients')) throw call.missing('ADDRESS')
  const home = await openHome({ flag: call.value('home'), env: process.env })
  const keyring = await loadKeyring(home)
  const config = await loadConfig(home, process.env)
  const named = await argvRecipients(call.args, keyring) // before the mail is read, as far as it is known
  if (stdinIsTerminal()) call.info('type the mail, end with Ctrl-D')
  const post = await readPost()
  const to = named.length > 0 ? named : unique(post.recipients.map((address) => recipientOf(address, keyring)))
  if (to.length === 0) throw new Failure(EX.USAGE, 'the mail names no recipient')
  const hash = await loadSuite(process.env)
  const letter = {
    text: post.text ?? (post.files.length === 0 ? new Uint8Array(0) : undefined),
    attachments: post.files.map(({ content, ...file }) => ({ ...file, content: once(content) })),
    subject: post.subject,
    reply: await answered(home, keyring, post),
    auto: post.auto || insideHook(),
  }
  const composed = await compose(home, hash, letter, limitFor(config, to))
  const outbox = new Outbox({ home, keyring, config, hash, teller: SILENT, waitMs: 0, signal: call.signal })
  await outbox.accept([{ to, composed }])
  await outbox.finish()
}

async function readPost(): Promise<Post> {
  try {
    return await parsePost(await readStdin(MAIL_MAX))
  } catch (error) {
    if (error instanceof Malformed) throw new Failure(EX.DATA, error.message)
    throw error
  }
}

async function argvRecipients(args: string[], keyring: Keyring): Promise<(Contact | Self)[]> {
  const addresses = await Promise.all(args.map((text) => addressesIn(text)))
  return unique(addresses.flat().map((address) => recipientOf(address, keyring)))
}

/** Throws Failure 67 for whoever cannot be meant, 77 for a contact that nothing may be sent to. */
function recipientOf(address: string, keyring: Keyring): Contact | Self {
  const at = address.lastIndexOf('@')
  const domain = at < 0 ? '' : address.slice(at + 1).toLowerCase()
  if (domain !== '' && domain !== P2P_DOMAIN && !isHere(domain)) {
    throw new Failure(EX.NO_CONTACT, `${quote(address)} is no address of p2p: NAME@${P2P_DOMAIN} expected`, 'p2p-id list')
  }
  const found = keyring.resolveAny(at < 0 ? address : address.slice(0, at))
  if (!('me' in found)) checkSendable(found)
  return found
}

/** Programs that send to a user without a domain add this machine's name, or localhost. */
function isHere(domain: string): boolean {
  const own = hostname().toLowerCase()
  return [own, own.split('.')[0], 'localhost', 'localhost.localdomain'].includes(domain)
}

/** The message that it answers: the likeliest of those that it names and that are here. */
async function answered(home: Home, keyring: Keyring, { answers }: Post): Promise<string | undefined> {
  const nameOf = (key: string): string | undefined => keyring.byKey(key)?.name
  for (const id of answers) {
    try {
      return (await findMessage({ home, nameOf }, id, { boxes: ['inbox', 'sent'] })).info.id
    } catch (error) {
      if (!(error instanceof Failure) || error.exit !== EX.NEGATIVE) throw error
    }
  }
  return undefined
}

function unique(list: (Contact | Self)[]): (Contact | Self)[] {
  return [...new Map(list.map((one) => [one.key, one])).values()]
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}
