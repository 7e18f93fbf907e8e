// p2p-id token as most call it: the own token is printed. What changes it, and all that this needs, is loaded when it is
// wanted (ownkeys.ts).

import { forHome } from '../base/quoting.ts'
import { openHome, type Home } from '../disk/home.ts'
import { loadSelf } from '../disk/self.ts'
import { isReachable, type Address } from '../wire/address.ts'
import { checkHandOver, handOver } from './handover.ts'
import { mayListen } from './socketpath.ts'

import type { Call } from '../edge/cli.ts'
import type { Ask } from './ownkeys.ts'

/** p2p-id token. */
export async function token(call: Call, ask: Ask): Promise<void> {
  const home = await openHome({ flag: call.value('home'), env: process.env })
  await checkHandOver(call, home)
  const changes = call.flag('addr') || call.flag('successor-of')
  const self = changes ? await (await import('./ownkeys.ts')).renew(call, home, ask) : await loadSelf(home)
  await handOver(call, home, self.tokenText)
  await warnUnreachable(call, home, self.token.addresses)
  call.tell('hand this line to the other person, by mail or any messenger; they hand you theirs, to be added under a name')
  call.tell(`hint: ${forHome('p2p-id add NAME', call.value('home'))}`)
}

/** Names the address at which the own router lets callers in, if a listener runs and has found one. */
export async function warnUnreachable(call: Call, home: Home, addresses: readonly Address[]): Promise<void> {
  if (addresses.some(isReachable)) return
  call.warn('no address in the token can be reached from outside the local network')
  call.hint(`p2p-id token --addr ${(await addressOutside(home)) ?? 'HOST'}`)
}

async function addressOutside(home: Home): Promise<string | undefined> {
  if (!(await mayListen(home).catch(() => false))) return undefined
  const { askNetStatus } = await import('./netstatus.ts')
  const mapping = (await askNetStatus(home).catch(() => undefined))?.mapping
  return mapping?.state === 'mapped' && mapping.useless === undefined ? (mapping.udp ?? mapping.tcp) : undefined
}
