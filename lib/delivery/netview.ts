// p2p-punch --status: how this machine is seen from outside, as a running listener knows it, or as contacts said when they
// were last met. Nobody is asked.

import { printable } from '../base/text.ts'
import { type Home, openHome } from '../disk/home.ts'
import { type Keyring, loadKeyring } from '../disk/keyring.ts'
import { type Meeting, readMeeting } from '../disk/meetings.ts'
import type { Call } from '../edge/cli.ts'
import { localAddresses } from '../net/interfaces.ts'
import { natWords } from '../net/verdict.ts'
import { formatAddress, isPrivate } from '../wire/address.ts'
import { type NatName, natName, natNumber, type NetworkInfo, networkRecord } from '../wire/netrecord.ts'
import { span } from './check.ts'
import { hosts } from './meeting.ts'
import { askNetStatus, type MappingReport, type NetStatus, ownNat } from './netstatus.ts'

export async function netView(call: Call): Promise<void> {
  const home = await openHome({ flag: call.value('home'), env: process.env })
  const keyring = await loadKeyring(home)
  const info = await look(home, keyring)
  await call.out.record(networkRecord(info), () => lines(info, home.clock.now()).map(printable).join('\n'))
}

async function look(home: Home, keyring: Keyring): Promise<NetworkInfo> {
  const live = await askNetStatus(home)
  const met: [string, Meeting][] = []
  for (const { key, name } of keyring.all()) {
    const meeting = await readMeeting(home, key)
    if (meeting !== undefined) met.push([name, meeting])
  }
  const reached = met
    .flatMap(([by, { outside }]) => (outside === undefined ? [] : [{ by, over: 'tcp' as const, ...outside }]))
    .sort((a, b) => b.at - a.at)[0]
  const nat: NatName = live?.nat ?? natName(await ownNat(home, keyring))
  const lan = localAddresses(home.port).find((address) => isPrivate(address) && !address.host.includes(':'))
  return {
    port: home.port,
    listener: live !== undefined,
    ...(live !== undefined && { udp: live.udp }),
    addresses: live?.addresses ?? keyring.self.token.addresses.map(formatAddress),
    nat,
    seen: live === undefined ? remembered(met) : now(home, keyring, live),
    ...(live !== undefined && live.mapping.state !== 'off' && { mapping: live.mapping }),
    ...(reached === undefined
      ? { forward: `forward TCP+UDP ${home.port} to ${lan?.host ?? 'this machine'}` }
      : { reached }),
  }
}

/** As the listener knows it now. */
function now(home: Home, keyring: Keyring, { seen }: NetStatus): NetworkInfo['seen'] {
  return seen.map(({ by, address, ago }) => {
    return { by: keyring.byKey(by)?.name ?? by, address, at: home.clock.now() - ago * 1000 }
  })
}

/** As contacts said while this machine had the addresses that it has. */
function remembered(met: [string, Meeting][]): NetworkInfo['seen'] {
  const here = hosts().join()
  return met.flatMap(([by, { seen }]) => (seen?.here.join() === here ? [{ by, address: seen.address, at: seen.at }] : []))
}

function lines(info: NetworkInfo, at: number): string[] {
  const { port, listener, udp, addresses, nat, seen, mapping, reached, forward } = info
  const held = listener ? `held by the listener, ${udp === true ? 'TCP and UDP' : 'TCP alone'}` : 'no listener runs'
  const ago = (then: number): string => `${span(Math.max(0, at - then))} ago`
  return [
    `port       ${port}, ${held}`,
    `addresses  ${addresses.length === 0 ? 'none' : addresses.join(', ')}`,
    `router     ${natWords(natNumber(nat))}`,
    `mapping    ${mapping === undefined ? 'none' : mappingWords(mapping as MappingReport)}`,
    ...seen.map(({ by, address, at: then }) => `seen       ${address} by ${by}, ${ago(then)}`),
    reached === undefined
      ? `reached    never: ${forward ?? ''}`
      : `reached    from outside by ${reached.by}, ${reached.over.toUpperCase()} from ${reached.address}, ${ago(reached.at)}`,
  ]
}

function mappingWords(mapping: MappingReport): string {
  if (mapping.state === 'none') return `none: ${mapping.text}`
  if (mapping.state !== 'mapped') return mapping.state === 'searching' ? 'being looked for' : 'off'
  const { via, udp, tcp, useless } = mapping
  const where = [...new Set([udp, tcp])].filter((each) => each !== undefined).join(', ')
  return `${where} by ${via}${useless === undefined ? '' : `, in vain: ${useless}`}`
}
