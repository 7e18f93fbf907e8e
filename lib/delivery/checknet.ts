// Doctor's look at what is outside of the home: the listener, the port, the ways in, the clocks, and what the queue
// says of contacts. Asks nobody: what contacts know of this side was noted when they were last met.

import { version } from '../base/version.ts'
import type { Contact } from '../disk/contact.ts'
import { readText } from '../disk/durable.ts'
import type { Home } from '../disk/home.ts'
import { isAlive } from '../disk/lock.ts'
import type { Meeting } from '../disk/meetings.ts'
import { count } from '../disk/queueread.ts'
import { readLog } from '../disk/queuelog.ts'
import { bindsTcp, bindsUdp } from '../net/freeport.ts'
import { globalAddresses } from '../net/interfaces.ts'
import { classOf, formatAddress, isReachable } from '../wire/address.ts'
import { keepersOf } from './background.ts'
import { bad, type Check, few, good, type Patient, plural, span } from './check.ts'
import { isRecent } from './meeting.ts'
import { askNetStatus } from './netstatus.ts'
import { startCommand, SYSTEMD } from './status.ts'

/** Clocks may differ by this much: two that flush by cron for 50 s still meet. */
const SKEW_MS = 30_000

/** What is older says nothing about today's clock. */
const SKEW_FRESH_MS = 30 * 86_400_000

const NODE = [20, 19]

export async function checkNode(): Promise<Check> {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  const [least = 0, after = 0] = NODE
  const enough = major > least || (major === least && minor >= after)
  const text = `node ${process.versions.node} at ${process.execPath}, p2p ${version}`
  return enough ? good('node', text) : bad('node', `${text}: too old, 20.19 is needed`)
}

export async function checkListener({ home, listener }: Patient): Promise<Check> {
  const start = await startCommand(home)
  if (listener === 'hung') {
    return bad('listener', 'something holds its socket and does not answer', 'ps -C node -o pid,args')
  }
  if (listener !== undefined) {
    const { pid, version: runs } = listener
    if (runs === version) return good('listener', `up, pid ${pid}${await keptBy(home, pid)}`)
    const restart = start === SYSTEMD ? 'systemctl --user restart p2p-listen' : `kill ${pid}`
    return bad('listener', `pid ${pid} is still of version ${runs}, this is ${version}: end it, start it anew`, restart)
  }
  const lock = home.at('lock', 'listener.lock')
  const left = await home.files.stat(lock)
  if (left === undefined) {
    return good('listener', 'not running: messages come and go only while a command calls', start)
  }
  if (await isAlive(home, home.at('lock', 'listener.owner'))) {
    return bad('listener', 'a process holds its lock and does not answer', `cat ${home.at('lock', 'listener.owner')}`)
  }
  return bad('listener', 'it died and was not started again', start)
}

/** Who started it, and what would start it again, as far as that can be seen. */
async function keptBy(home: Home, pid: number): Promise<string> {
  const read = (name: string): Promise<string> => readText(home.files, `/proc/${pid}/${name}`).then((text) => text ?? '').catch(() => '')
  const unit = (await read('cgroup')).includes('/p2p-listen.service')
  const [, command = ''] = /(?:^|[\0/])(p2p-[a-z]+)(?:\.\w+)?\0/.exec(await read('cmdline')) ?? []
  const keepers = await keepersOf({ home, env: process.env }).catch(() => [])
  const runs = unit ? ', run by systemd' : command === '' || command === 'p2p-listen' ? '' : `, in ${command} for as long as that is open`
  return `${runs}${keepers.length > 0 ? `; set up: ${keepers.join(', ')}` : ''}`
}

export async function checkPort({ home, listener }: Patient): Promise<Check> {
  const { port } = home
  if (listener !== undefined) return good('port', `${port}, held by the listener`)
  const taken = [...((await bindsTcp(port)) ? [] : ['TCP']), ...((await bindsUdp(port)) ? [] : ['UDP'])]
  if (taken.length === 0) return good('port', `${port} is free for the listener`)
  const flags = taken.includes('TCP') ? '-ltnp' : '-lunp'
  const text = `${taken.join(' and ')} port ${port} is taken by another program`
  return bad('port', text, `ss ${flags} 'sport = :${port}'`)
}

/** Whether the own router lets others in. */
export async function checkMapping({ home, self, listener }: Patient): Promise<Check[]> {
  if (typeof listener !== 'object') return []
  const mapping = (await askNetStatus(home))?.mapping
  if (mapping === undefined || mapping.state === 'searching') return []
  if (mapping.state === 'off') return [good('mapping', 'the router is not asked to open the port: the settings say so')]
  if (mapping.state === 'none') return [good('mapping', mapping.text)]
  const { via, gateway, udp, tcp, useless } = mapping
  if (useless !== undefined) return [good('mapping', useless)]
  const outside = udp ?? tcp ?? ''
  const text = `the router at ${gateway} lets callers in at ${outside} (${via})`
  // A name may well be the router's.
  const named = self?.token.addresses.some((address) => formatAddress(address) === outside || classOf(address) === 'name')
  return [named === true ? good('mapping', text) : good('mapping', `${text}, which the token does not say`, `p2p-id token --addr ${outside}`)]
}

/** Whether others can find a way here. */
export async function checkToken({ self, home, meetings }: Patient): Promise<Check> {
  if (self === undefined) return bad('token', 'it cannot be read')
  const { addresses } = self.token
  const outside = addresses.filter(isReachable)
  const fresh = globalAddresses(home.port).find(({ host }) => !addresses.some((address) => address.host === host))
  const hint = fresh === undefined ? 'p2p-id token --addr HOST' : `p2p-id token --addr ${fresh.host}`
  if (outside.length > 0) return good('token', `names ${few(outside.map(formatAddress))}`)
  const text =
    addresses.length === 0
      ? 'it names no address: nobody can call here'
      : 'no address in it can be reached from outside the local network'
  if (meetings.size === 0) return bad('token', `${text}, and nobody was met yet`, hint)
  return good('token', `${text}; contacts are met all the same, since one reachable side is enough`, hint)
}

export async function checkReached({ home, self, keyring, meetings }: Patient): Promise<Check> {
  const calls = [...meetings].flatMap(([key, { outside }]) => {
    const contact = keyring?.byKey(key)
    return outside === undefined || contact === undefined ? [] : [{ contact, ...outside }]
  })
  const last = calls.sort((a, b) => b.at - a.at)[0]
  if (last === undefined) {
    const forward = `open TCP and UDP port ${home.port} in the firewall, and let your router forward it to this machine`
    const named = self?.token.addresses.some(isReachable) === true
    return good('reached', `never from outside: ${forward}`, named ? undefined : 'p2p-id token --addr HOST')
  }
  const { contact, address, at, over = 'tcp' } = last
  return good('reached', `from outside by ${contact.name}, ${over.toUpperCase()} from ${address}, ${ago(home.clock.now() - at)}`)
}

const ago = (ms: number): string => `${span(ms)} ago`

/** The own clock against itself and against contacts: one contact apart is its trouble, most of them are ours. */
export async function checkClock({ home, keyring, meetings }: Patient): Promise<Check> {
  const now = home.clock.now()
  const set = process.platform === 'linux' ? 'timedatectl' : 'date -u'
  const text = (await readText(home.files, home.at('hello', 'last')).catch(() => undefined)) ?? ''
  const used = /^\d{1,18}\n$/.test(text) ? Number(BigInt(text.trim()) / 1000n) : 0
  if (used > now + SKEW_MS) return bad('clock', `it was set back by ${span(used - now)}, or was wrong before`, set)
  const apart: { contact: Contact; skew: number }[] = []
  let compared = 0
  for (const [key, { at, skew }] of meetings) {
    const contact = keyring?.byKey(key)
    if (contact === undefined || skew === undefined || now - at > SKEW_FRESH_MS) continue
    compared++
    if (Math.abs(skew) > SKEW_MS) apart.push({ contact, skew })
  }
  if (compared === 0) return good('clock', 'no contact was met lately to compare it with')
  if (apart.length === 0) return good('clock', `agrees with ${plural(compared, 'contact')}`)
  const words = apart.map(({ contact, skew }) => `${contact.name}'s is ${span(skew)} ${skew > 0 ? 'ahead' : 'behind'}`)
  if (apart.length * 2 > compared) {
    const whose = compared === 1 ? 'one of the two is wrong' : 'this one is likely wrong'
    return bad('clock', `${few(words)}: ${whose}`, set)
  }
  return good('clock', `agrees with most contacts; ${few(words)}`)
}

/** Homes that run in two copies which take turns: of contacts, and this one, as contacts have told. */
export async function checkClones({ home, keyring, meetings }: Patient): Promise<Check[]> {
  const now = home.clock.now()
  const names = (when: (meeting: Meeting) => number | undefined): string[] =>
    [...meetings].flatMap(([key, meeting]) => (isRecent(when(meeting), now) ? [keyring?.byKey(key)?.name ?? key] : []))
  const theirs = names(({ turns }) => turns)
  const witnesses = names(({ told }) => told)
  const found: Check[] = []
  if (witnesses.length > 0) {
    const text = `${few(witnesses)} met two copies of this home in turns: each has only a part of the mail; keep one`
    found.push(bad('clones', text, 'p2p-id export --all --move -o FILE'))
  }
  if (theirs.length > 0) {
    found.push(bad('clones', `two copies of the home of ${few(theirs)} are in use at once: tell them to stop one`))
  }
  return found.length > 0 ? found : [good('clones', 'no home was seen in two copies')]
}

/** What waits and why, what was given up. */
export async function checkQueue({ home, keyring }: Patient): Promise<Check[]> {
  const checks: Check[] = []
  let failed = 0
  for (const { key, name } of keyring?.all() ?? []) {
    failed += await count(home, key, 'failed')
    const waiting = (await count(home, key, 'new')) + (await count(home, key, 'hold'))
    if (waiting === 0) continue
    const { last } = await readLog(home, key)
    const why = last === undefined ? 'not tried yet' : (last.text ?? last.reason)
    checks.push(good('queue', `${plural(waiting, 'message')} for ${name}: ${why}`, `p2p-queue flush ${name}`))
  }
  if (failed > 0) checks.unshift(bad('queue', `${plural(failed, 'message')} could not be delivered`, 'p2p-queue list'))
  return checks.length > 0 ? checks : [good('queue', 'nothing waits')]
}
