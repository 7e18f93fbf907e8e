// p2p-id init as a person sees it: what is asked, what is told, what to do next. The work is done in lib/disk/identity.ts.

import { userInfo } from 'node:os'

import { EX, Failure } from '../base/fail.ts'
import { quote } from '../base/text.ts'
import { loadSuite } from '../crypto/suite.ts'
import { locateHome, realDoors, refuseIdentity } from '../disk/home.ts'
import { checkOwnName, createIdentity } from '../disk/identity.ts'
import { freePort } from '../net/freeport.ts'
import { addressesOf, type Ask } from './ownkeys.ts'
import { warnUnreachable } from './owntoken.ts'

import type { Call } from '../edge/cli.ts'

function ownName(call: Call): string {
  const given = call.value('name')
  if (given !== undefined) return checkOwnName(given)
  try {
    return checkOwnName(userInfo().username)
  } catch {
    throw new Failure(EX.USAGE, 'the login name is no name for an identity', 'p2p-id init --name NAME')
  }
}

function givenPort(text: string): number {
  if (/^[1-9][0-9]{0,4}$/.test(text) && Number(text) <= 65_535) return Number(text)
  throw new Failure(EX.USAGE, `bad port ${quote(text)}: a number from 1 to 65535`)
}

/** p2p-id init. */
export async function init(call: Call, ask: Ask): Promise<void> {
  const plain = call.flag('no-passphrase')
  const given = call.flag('passphrase-file') || call.flag('passphrase-fd')
  if (plain && given) throw new Failure(EX.USAGE, "'--no-passphrase' and a passphrase exclude each other")
  const name = ownName(call)
  const text = call.value('port')
  const port = text === undefined ? await freePort(realDoors.random) : givenPort(text)
  const addresses = addressesOf(call, port)
  const location = locateHome(call.value('home'), process.env)
  await refuseIdentity(location.path, realDoors.files)
  if (!plain && !given) call.tell('it seals the identity: sending and receiving ask for none; to do without: p2p-id init --no-passphrase')
  const passphrase = plain ? undefined : await ask('new passphrase', true)
  const suite = await loadSuite(process.env)
  const made = await createIdentity(location, { name, port, addresses, passphrase }, suite, realDoors)
  passphrase?.fill(0)
  call.info(`name ${made.self.name}, port ${port}, home ${made.home.path}`)
  call.info('keep the next line offline: whoever gives it to your contacts ends this identity for good')
  call.info(made.revocation)
  await warnUnreachable(call, made.home, addresses)
  call.info(`to be reached from outside, let TCP and UDP port ${port} through the firewall and forward it in the router`)
  if (addresses.length > 0) {
    call.tell('next: hand an invite to the other person, or take theirs with p2p-id add')
    return call.hint('p2p-id invite NAME')
  }
  call.tell('next: hand the line of p2p-id token to the other person, who does the same, and add theirs')
  call.hint('p2p-id token')
}
